"""How a frame is weighted by diffusion: its b-value, and the direction of its gradient in the patient. Pure (no I/O).

The standard has both since Enhanced MR (PS3.3 section C.8.13.5.9), and they were added to classic images later; before
that each vendor kept them in private attributes, and two measure directions along the picture.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.model.private import private_value, private_values
from dicomzarr.dicom.volume.computed import in_single_precision, number_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.model.binary import Scalar
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.volume.frame_context import FrameContext

    Vector = npt.NDArray[np.float64]

B_VALUE: Final = "b_value"
DIRECTION: Final = "gradient_direction"
"""The names of their dimensions."""

_B_OF_SEQUENCE: Final = re.compile(r"_b(\d{1,5})(?!\d)", re.ASCII)
"""The b-value in what Siemens calls sequences of diffusion, as ``*ep_b1000#2``."""

_NO_DIRECTION: Final = frozenset({"NONE", "ISOTROPIC"})
"""Values of DiffusionDirectionality (0018,9075) of frames whose direction, if there is one, means nothing."""

_STRONGEST: Final = 1e6
"""s/mm2; what is more, or less than nothing, was never measured: headers hold what memory held."""

_LONGEST: Final = 1.5
"""Of the parts of a direction, which is 1 long; likewise."""

_GE_OFFSET: Final = 1_000_000_000
"""What GE adds to b-values of some images."""

_GE_SHORT: Final = (0.03, 0.97)
"""Lengths of GE's gradients that say by how much of the b-value an image is weighted; others are rounding."""

_GE_STEP: Final = 5
"""Such b-values are whole multiples of it: gradients are written with few digits."""

_GE_WITHOUT: Final = 14
"""What GE counts in (0043,1030) for an image without diffusion, and the next for one along a gradient of many."""
_GE_ALONG: Final = 16

_SAME: Final = 1e-3
"""By how much cosines of one orientation may differ: of a series whose headers round."""

_Y: Final = 1


def b_value(frame: FrameContext) -> Value:
    """DiffusionBValue (0018,9087); that of a vendor where the standard's is absent, or the one in SequenceName."""
    item = frame.item
    told = [frame.attribute("diffusion", "diffusion_b_value").first, item.diffusion_b_value.first]
    told += [private_value(item, name) for name in ("siemens_b_value", "philips_b_value", "uih_b_value")]
    numbers = map(number_of, told)
    found = next((number for number in numbers if number is not None and 0 <= number <= _STRONGEST), None)
    if found is None:
        found = _ge_b_value(item)
    if found is None and (named := _B_OF_SEQUENCE.search(frame.read.text(item.sequence_name) or "")):
        found = float(named[1])
    return None if found is None else in_single_precision(found)


def _ge_b_value(item: ImageItem) -> float | None:
    """What GE prescribed, by the square of the gradient's length; of images without one in a series of many, 0."""
    told = number_of(private_value(item, "ge_b_value"))
    if told is None:
        return None
    prescribed = told % _GE_OFFSET
    gradient = [number_of(value) for value in _of_axes(item, "ge")]
    if None in gradient:
        return prescribed
    length = float(np.linalg.norm(np.array(gradient, float)))
    if length == 0:
        return 0.0 if _is_ge_reference(item) else prescribed
    if not _GE_SHORT[0] < length < _GE_SHORT[1]:
        return prescribed
    return max(_GE_STEP, round(prescribed * length**2 / _GE_STEP) * _GE_STEP) if prescribed else 0.0


def _is_ge_reference(item: ImageItem) -> bool:
    """Whether an image without a gradient is the reference of a series of directions, and no mean of these."""
    kind, directions = (number_of(private_value(item, name)) for name in ("ge_kind", "ge_directions"))
    return kind == _GE_WITHOUT or (kind in {None, _GE_ALONG} and (directions or 0) > 0)


def gradient_direction(frame: FrameContext) -> Value:
    """The diffusion gradient direction, a unit vector: as it is written, which `Turns` turns into the patient."""
    item = frame.item
    directionality = frame.attribute("diffusion", "directionality").first or item.directionality.first
    if str(directionality or "").strip().upper() in _NO_DIRECTION:
        return None
    numbers = [number_of(value) for value in _told_in_patient(frame) or _told_in_picture(item)[1]]
    if len(numbers) != len("xyz") or None in numbers:
        return None
    vector = np.array(numbers, float).round(6)
    if not 0 < np.abs(vector).max() <= _LONGEST:
        return None
    return tuple(((vector / np.linalg.norm(vector)).round(6) + 0.0).tolist())  # no negative zero


def _told_in_patient(frame: FrameContext) -> Sequence[Scalar]:
    """The direction of the standard, or of a vendor who measures it likewise; empty where there is none."""
    item = frame.item
    directions: Any = frame.attribute("diffusion", "gradient_directions").values
    told: list[Sequence[Scalar]] = [each.orientation.values for each in directions[:1]]
    told += [item.gradient_orientation.values, private_values(item, "siemens_gradient"), _of_axes(item, "philips")]
    return next((values for values in told if len(values) == len("xyz") and any(values)), ())


def _told_in_picture(item: ImageItem) -> tuple[str, Sequence[Scalar]]:
    """(whose it is, direction) of a vendor who measures it along the picture."""
    uih = private_values(item, "uih_gradient")
    return ("UIH", uih) if any(uih) else ("GE", _of_axes(item, "ge"))


def _of_axes(item: ImageItem, vendor: str) -> list[Scalar]:
    return [private_value(item, f"{vendor}_gradient_{axis}") for axis in "xyz"]


class Turns:
    """Turns directions along pictures into the patient, frame after frame of a series.

    Frames of nearly one orientation are turned alike, so that headers which round make no other directions.
    """

    def __init__(self) -> None:
        self._orientations: list[Vector] = []

    def turned(
        self, frame: FrameContext, orientation: Vector | None, values: Mapping[str, Value]
    ) -> tuple[Mapping[str, Value], bool]:
        """What tells a frame apart, with its direction in LPS.

        Args:
            frame: The frame.
            orientation: Its ImageOrientationPatient (0020,0037).
            values: What tells it apart, by the name of the dimension.

        Returns:
            These values, and whether the direction could be turned, or did not need to be.
        """
        direction = values.get(DIRECTION)
        if not isinstance(direction, tuple) or _told_in_patient(frame):
            return values, True
        axes = None if orientation is None else axes_of(frame.item, self._known(orientation))
        if axes is None:
            return values, False
        turned = (axes @ np.array(direction, float)).round(6) + 0.0  # no negative zero
        return {**values, DIRECTION: tuple(turned.tolist())}, True

    def _known(self, orientation: Vector) -> Vector:
        for known in self._orientations:
            if np.abs(known - orientation).max() < _SAME:
                return known
        self._orientations.append(orientation)
        return orientation


def axes_of(item: ImageItem, orientation: Vector) -> Vector | None:
    """The axes that a vendor measures a direction along, as columns in LPS; None where that is not known for sure.

    UIH's are those of rows, columns and slices. GE's are of frequency, phase and against the slices; that is known of
    axial and sagittal pictures of people who lie head first and supine, and converters contradict each other on
    coronal ones. A direction and its opposite weight alike.

    Args:
        item: The instance.
        orientation: Six cosines, along a row and along a column.
    """
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    if _told_in_picture(item)[0] == "UIH":
        return np.stack([row, column, normal], axis=1)
    phase = str(item.phase_direction.first or "").strip().upper()
    position = str(item.patient_position.first or "").strip().upper()
    if position != "HFS" or int(np.abs(normal).argmax()) == _Y or phase not in {"ROW", "COL"}:
        return None
    # Phase along columns has frequency along rows; phase along rows has it against columns.
    return np.stack([row, column, -normal] if phase == "COL" else [-column, row, -normal], axis=1)

"""One volume of an image, or several of one place, in memory: modality values, and where they lie."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.arrays.same_frames import shown_with
from dicomzarr.arrays.volume.diffusion import Gradients, gradients_of
from dicomzarr.arrays.volume.reasons import Why, refuse, why_absent, why_no_grid
from dicomzarr.arrays.volume.times import step_of_times
from dicomzarr.errors import InvalidOptionError, LeftOutWarning, UsageError
from dicomzarr.plan import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dicomzarr.arrays.level import MultiscaleImage
    from dicomzarr.plan import ImagePlan

    Indices = dict[str, npt.NDArray[np.int64]]

_NO_VOLUME: Final = "This image is no volume"
INDICES: Final = (
    'Values are numbers of colours in a palette, which is left out: the option values="color" gives colours.'
)
_MEASURED: Final = frozenset({"modality", "suv"})
"""Options for values that mean something beyond the series."""

_SAMPLES: Final = 3
"""Of a pixel in colour, which follow each other along c."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Values and where they lie."""

    values: npt.NDArray[Any]
    """(z, y, x), or (n, z, y, x) of several volumes; in colour with R, G, B behind x."""
    affine: npt.NDArray[np.float64]
    """(4, 4): (column, row, slice, 1) to LPS millimetres at voxel centres."""
    color: bool
    time_step: float
    """From one time to the next; 1 where times are not known, or n counts something else."""
    time_unit: str | None
    """As ``second``; None likewise."""
    gradients: Gradients | None
    """What n counts, where that is diffusion."""


def volume_of(
    image: MultiscaleImage,
    *,
    time: int | None = None,
    channel: int | None = None,
    absent: float | None = None,
    color: bool = False,
) -> Volume:
    """Read a volume in one plan.

    Args:
        image: Of any values; stored ones are read as those of the modality.
        time: The index along t to take; all by default.
        channel: The index along c to take; all by default, of diffusion.
        absent: What absent slices are filled with.
        color: Whether R, G, B can be handed on.

    Raises:
        UsageError: It is no volume; the text says why.
        DicomZarrError: A frame cannot be had.
    """
    image = measured(image)
    plan, level = image.plan, image.levels[0]
    taken = indices_taken(plan, time=time, channel=channel)
    color = color and plan.color and channel is None
    gradients = None if color else gradients_of(plan, taken)
    lost = _lost(plan, taken)
    refuse(_reasons(plan, taken, gradients, color=color, lost=0 if absent is not None else len(lost)), _NO_VOLUME)
    if holds_indices(plan):
        warnings.warn(INDICES, LeftOutWarning, stacklevel=4)
    values = level.read([tuple(_index(taken, axis) for axis in level.axes)])[0]
    values = _full(values, level.axes)
    if lost and absent is not None:
        _fill(values, lost, absent)
    if color:
        values = np.moveaxis(values.reshape(-1, _SAMPLES, *values.shape[2:]), 1, -1)
    else:
        values = values.reshape(-1, *values.shape[2:])
    step, unit = step_of_times(plan) if taken["t"].size > 1 and gradients is None else (1.0, None)
    affine = np.array(plan.affine_at(int(taken["t"][0])))
    return Volume(values if len(values) > 1 else values[0], affine, color, step, unit, gradients)


def holds_indices(plan: ImagePlan) -> bool:
    """Whether values are numbers of colours in a palette, and not those of segments, which mean something alone."""
    return plan.is_indexed and not plan.color and plan.attributes.segmentation is None


def measured(image: MultiscaleImage) -> MultiscaleImage:
    """The same image with the values of its modality, unless it has others than stored ones, or colours.

    Raises:
        UsageError: Rescaled values make other images of the series.
        SeriesChangedError: The series is another one now.
    """
    options = image._handle.options  # noqa: SLF001  # one room
    if options.values in _MEASURED or image.plan.color or LABELS in image.path.split("/"):
        return image
    return shown_with(image, replace(options, values="modality"))


def indices_taken(plan: ImagePlan, *, time: int | None = None, channel: int | None = None) -> Indices:
    """The indices along t and c that are taken, all by default; [0] along an axis that is not there.

    Raises:
        UsageError: There is no such index.
    """
    sizes = dict(zip((axis.name for axis in plan.axes), plan.levels[0].shape, strict=True))
    found = {}
    for axis, name, one in (("t", "time", time), ("c", "channel", channel)):
        size = sizes.get(axis, 1)
        is_index = isinstance(one, int | np.integer) and not isinstance(one, bool)
        if one is not None and not (is_index and -size <= one < size):
            raise UsageError(
                f"There is no {name} {one!r:.20}.",
                remedy=f"The image has 0 to {size - 1}, and -1 to {-size} counts them from the last.",
            )
        found[axis] = np.arange(size) if one is None else np.array([one % size])
    return found


def _reasons(plan: ImagePlan, taken: Indices, gradients: Gradients | None, *, color: bool, lost: int) -> Iterator[Why]:
    yield from why_no_grid(plan)
    poses = {plan.attributes.poses[time] for time in taken["t"]} if plan.attributes.poses else set()
    yield Why(
        len(poses) > 1 or poses == {None},
        "the patient moved, and each time has a place of its own",
        "Choose a time, as time=0.",
    )
    segmented = plan.attributes.segmentation is not None
    channels = taken["c"].size
    yield Why(
        channels > 1 and gradients is None and not color,
        f"it has {channels} {'segments' if segmented else 'channels'}",
        "Choose one, as channel=0" + ("; label_map() has all in one." if segmented else "."),
    )
    yield why_absent(lost)


def _lost(plan: ImagePlan, taken: Indices) -> list[dict[str, int]]:
    """Absent frames, by their indices along what is taken of t, c and along z; each colour of a pixel by itself."""
    samples = _SAMPLES if plan.color else 1
    found = []
    for cell in plan.attributes.absent:
        times = np.flatnonzero(taken["t"] == cell.get("t", 0))
        channels = np.flatnonzero(taken["c"] // samples == cell.get("c", 0) // samples)
        found += [{"t": int(t), "c": int(c), "z": cell.get("z", 0)} for t in times for c in channels]
    return found


def _index(taken: Indices, axis: str) -> slice:
    if axis not in taken:
        return slice(None)
    return slice(int(taken[axis][0]), int(taken[axis][-1]) + 1)


def _full(values: npt.NDArray[Any], axes: tuple[str, ...]) -> npt.NDArray[Any]:
    """With all of t, c, z, y and x."""
    sizes = dict(zip(axes, values.shape, strict=True))
    return values.reshape([sizes.get(axis, 1) for axis in "tczyx"])


def _fill(values: npt.NDArray[Any], lost: list[dict[str, int]], absent: float) -> None:
    """Put the value into absent slices.

    Raises:
        InvalidOptionError: The array cannot hold it.
    """
    kind = values.dtype
    if kind.kind in "iu" and not (float(absent).is_integer() and np.iinfo(kind).min <= absent <= np.iinfo(kind).max):
        raise InvalidOptionError(
            f"absent={absent:g} is no value of {kind} of the array.", remedy="Choose one that it can hold."
        )
    for cell in lost:
        values[cell["t"], cell["c"], cell["z"]] = absent

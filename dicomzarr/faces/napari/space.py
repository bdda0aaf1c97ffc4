"""Where the pixels of a layer are: napari's world is the patient's, (z, y, x) of LPS in millimetres. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.plan.placing import patient_affine

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.plan import ImagePlan

    Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """How the axes of an image become those of a layer, colour and channels left out."""

    names: tuple[str, ...]
    """The axis of the image that each of the layer is: ``z`` stands where the image has one slice too."""
    scale: tuple[float, ...]
    """Step along each, in its unit."""
    translate: tuple[float, ...]
    """Of the first pixel, in the same units, where the world is counted from that of the image."""
    units: tuple[str, ...]
    """As pint has them; ``pixel`` where DICOM gives none."""
    affine: Numbers | None
    """What leads from steps to the world, (n + 1, n + 1); None where the world is counted from the first pixel."""


def placed(image: ImagePlan) -> Placed:
    """Where an image lies.

    A volume lies in the patient. Its axes go where those of the patient are nearest: the sliders of the viewer move
    along z, y and x of LPS, whatever plane it was taken in, and series of one frame of reference lie upon each other.
    """
    axes = {axis.name: axis for axis in image.axes if axis.name != "c"}
    steps = dict(zip((axis.name for axis in image.axes), image.levels[0].scale, strict=True))
    affine = patient_affine(image)
    if affine is None:
        units = tuple(axis.unit or "pixel" for axis in axes.values())
        starts = dict(zip(steps, image.levels[0].translation, strict=True))
        scale, translate = (tuple(each[name] for name in axes) for each in (steps, starts))
        return Placed(tuple(axes), scale, translate, units, None)
    matrix = np.array(affine)
    names = _nearest_axes(matrix[:3, :3])
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    by_name = {name: (matrix[:3, column] / lengths[column], lengths[column]) for column, name in enumerate("xyz")}
    time = [name for name in axes if name == "t"]
    full = np.eye(len(time) + 4)
    for column, name in enumerate(names, len(time)):
        full[len(time) : -1, column] = by_name[name][0][::-1]
    full[len(time) : -1, -1] = matrix[:3, 3][::-1]
    scale = (*(steps[name] for name in time), *(float(by_name[name][1]) for name in names))
    units = (*(axes[name].unit or "pixel" for name in time), *("millimeter",) * 3)
    return Placed((*time, *names), scale, (0.0,) * len(scale), units, full)


def _nearest_axes(directions: Numbers) -> tuple[str, ...]:
    """The axes of the image that run the most along z, y and x of the patient, each taken once."""
    left = dict(enumerate("xyz"))
    chosen: dict[int, str] = {}
    for flat in np.argsort(-np.abs(directions / np.linalg.norm(directions, axis=0)), axis=None):
        patient, column = divmod(int(flat), 3)
        if patient not in chosen and column in left:
            chosen[patient] = left.pop(column)
    return chosen[2], chosen[1], chosen[0]

"""``multiscales`` of OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5/#multiscale-md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.ome.omero import omero

if TYPE_CHECKING:
    from dicomzarr.multiscale import Axis, ImagePlan, LevelPlan

OME_VERSION = "0.5"


def image_attributes(image: ImagePlan) -> dict[str, object]:
    """The ``ome`` attribute of an image group."""
    return {
        "version": OME_VERSION,
        "multiscales": [
            {
                "name": image.name,
                "axes": [_axis(axis) for axis in image.axes],
                "datasets": [
                    {"path": str(number), "coordinateTransformations": _transformations(level)}
                    for number, level in enumerate(image.levels)
                ],
            }
        ],
        "omero": omero(image),
    }


def _axis(axis: Axis) -> dict[str, str]:
    described = {"name": axis.name, "type": axis.type}
    return {**described, "unit": axis.unit} if axis.unit else described


def _transformations(level: LevelPlan) -> list[dict[str, object]]:
    scale: dict[str, object] = {"type": "scale", "scale": level.scale}
    if not any(level.translation):
        return [scale]
    return [scale, {"type": "translation", "translation": level.translation}]

"""``ome`` of an image group: ``multiscales``, and ``omero`` or ``image-label`` (https://ngff.openmicroscopy.org/0.5/)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dicomzarr.plan.placing import aligned_axes, patient_affine

if TYPE_CHECKING:
    from dicomzarr.plan import Axis, Channel, ImagePlan, LevelPlan

OME_VERSION = "0.5"

_DIRECTIONS: Final = {
    (0, 1): "right-to-left",
    (0, -1): "left-to-right",
    (1, 1): "anterior-to-posterior",
    (1, -1): "posterior-to-anterior",
    (2, 1): "inferior-to-superior",
    (2, -1): "superior-to-inferior",
}
"""By (axis of the patient, sign), as in `aligned_axes`; the words of RFC 4 (https://ngff.openmicroscopy.org/rfc/4/)."""


def image_attributes(image: ImagePlan) -> dict[str, object]:
    """The ``ome`` attribute of an image group."""
    return {
        "version": OME_VERSION,
        **({"image-label": _image_label(image)} if image.segments else {"omero": _omero(image)}),
        "multiscales": [
            {
                "name": image.name,
                "axes": _axes(image),
                "datasets": [
                    {"path": str(number), "coordinateTransformations": _transformations(level)}
                    for number, level in enumerate(image.levels)
                ],
            }
        ],
    }


def _axes(image: ImagePlan) -> list[dict[str, object]]:
    directions = _orientations(image)
    return [{**_axis(axis), **(directions.get(axis.name, {}) if axis.unit else {})} for axis in image.axes]


def _axis(axis: Axis) -> dict[str, object]:
    described: dict[str, object] = {"name": axis.name, "type": axis.type}
    return {**described, "unit": axis.unit} if axis.unit else described


def _orientations(image: ImagePlan) -> dict[str, dict[str, object]]:
    """``orientation`` of the axes of space, where each runs along an axis of a patient who stands on two legs."""
    affine = patient_affine(image)
    aligned = None if affine is None else aligned_axes(affine)
    if aligned is None or image.attributes.anatomical_orientation == "QUADRUPED":
        return {}
    return {
        name: {"orientation": {"type": "anatomical", "value": _DIRECTIONS[direction]}}
        for name, direction in zip("xyz", aligned, strict=True)
    }


def _transformations(level: LevelPlan) -> list[dict[str, object]]:
    scale: dict[str, object] = {"type": "scale", "scale": level.scale}
    if not any(level.translation):
        return [scale]
    return [scale, {"type": "translation", "translation": level.translation}]


def _omero(image: ImagePlan) -> dict[str, object]:
    """Channel names, colours and windows, in the units of the arrays."""
    return {
        "channels": [_channel(channel) for channel in image.channels],
        "rdefs": {"model": "color" if image.color or len(image.channels) > 1 else "greyscale"},
    }


def _channel(channel: Channel) -> dict[str, object]:
    low, high = channel.window
    start, end = channel.shown or channel.window
    return {
        "label": channel.label,
        "color": channel.color,
        "active": True,
        "coefficient": 1.0,
        "family": "linear",
        "inverted": channel.inverted,
        "window": {"min": low, "max": high, "start": start, "end": end},
    }


def _image_label(image: ImagePlan) -> dict[str, object]:
    """Colours and names of the segments; the background, which a label map may describe as one, is transparent."""
    colors = {each.number: [*bytes.fromhex(each.color), 255] for each in image.segments if each.color}
    padding = int(image.levels[0].fill_value)  # PixelPaddingValue (PS3.3 section C.8.20.2), which no reader takes for 0
    described = {each.number for each in image.segments}
    for number in ({0} & described) | ({padding} - {0}):
        colors[number] = [*colors.get(number, [0, 0, 0])[:3], 0]
    return {
        **({"colors": [{"label-value": number, "rgba": rgba} for number, rgba in colors.items()]} if colors else {}),
        "properties": [{"label-value": each.number, "name": each.label} for each in image.segments],
        "source": {"image": "../../"},
    }

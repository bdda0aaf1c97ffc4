"""Images of a series to layers, as a reader of napari gives them: (data, arguments, type)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.napari.arrays import LayerArray
from dicomzarr.faces.napari.contrast import limits, middle_frame, needs_pixels
from dicomzarr.faces.napari.layout import Layout
from dicomzarr.faces.napari.refreshing import keep_fresh
from dicomzarr.faces.napari.screen import Screen
from dicomzarr.faces.napari.space import placed
from dicomzarr.plan.coverage import edge_to_edge

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dicomzarr.arrays import Image
    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.faces.napari.layout import Item
    from dicomzarr.faces.napari.space import Placed
    from dicomzarr.plan import Channel

    Pixels = npt.NDArray[np.generic]

LayerData: TypeAlias = "tuple[Any, dict[str, Any], str]"

_MOST_HELD: Final = 2**26
"""Values of the coarsest level, which is held in memory."""

_MOST_SHOWN: Final = 2**28
"""Values of a picture that has no coarser level: all of it is put on the screen."""


def layers_of(image: Image) -> list[LayerData]:
    """The layers of an image and its labels; reads its coarsest level, if it has several.

    Args:
        image: One image of a series.

    Raises:
        UsageError: It is too large to be shown without a coarser level.
        DicomZarrError: A frame cannot be had.
    """
    where = placed(image.plan)
    layers = [_image_layer(image, where, channel, width) for channel, width in _channels(image)]
    return [*layers, *(_labels_layer(label) for label in image.labels.values())]


def _channels(image: Image) -> Iterator[tuple[int, int]]:
    """The first channel of each layer, and how many it has: three of colour."""
    width = 3 if image.plan.color else 1
    for channel in range(0, max(width, len(image.channels)), width):
        yield channel, width


def _layout(image: MultiscaleImage, where: Placed, channel: int, width: int) -> Layout:
    names = [axis.name for axis in image.axes]
    axes = [names.index(name) if name in names else None for name in where.names]
    if "c" not in names:
        return Layout(tuple(axes))
    c = names.index("c")
    if width == 1:
        return Layout(tuple(axes), {c: channel})
    whole: dict[int, Item] = {} if image.levels[0].shape[c] == width else {c: slice(channel, channel + width)}
    return Layout((*axes, c), whole)


def _image_layer(image: Image, where: Placed, channel: int, width: int) -> LayerData:
    told = image.channels[channel]
    plan = image.plan.levels[0]
    middle = middle_frame(image.plan, where.names, channel)
    blank = plan.absent[min(channel, len(plan.absent) - 1)]
    data, multiscale = _data(image, _layout(image, where, channel, width), blank)
    arguments = {
        "name": _name(image, told, width),
        "multiscale": multiscale,
        "rgb": width > 1,
        "metadata": _facts(image, where),
        **_placing(where),
        **({} if width > 1 else _shown(told, data, middle, many=len(image.channels) > 1)),
    }
    return data, arguments, "image"


def _data(image: MultiscaleImage, layout: Layout, blank: float) -> tuple[Any, bool]:
    """What a layer is made of, and whether that is several levels, the coarsest of which is read here.

    napari has all levels reach from edge to edge of the first: what of each does so is shown.
    """
    shown = [(image.levels[number], *window) for number, window in edge_to_edge(image.plan)]
    levels = tuple(level for level, *_ in shown)
    layouts = tuple(layout.within(level.shape, rows, columns) for level, rows, columns in shown)
    _check_size(levels)
    if len(levels) == 1:
        screen = Screen(levels, layouts, blank=blank)
        keep_fresh(screen)
        return LayerArray(screen, 0), False
    coarsest = LayerArray(Screen(levels[-1:], layouts[-1:]), 0)[...]
    screen = Screen(levels[:-1], layouts[:-1], coarsest)
    keep_fresh(screen)
    return [*(LayerArray(screen, number) for number in range(len(levels) - 1)), coarsest], True


def _check_size(levels: tuple[Level, ...]) -> None:
    *_, rows, columns = levels[-1].shape
    size, most = (levels[-1].size, _MOST_HELD) if len(levels) > 1 else (rows * columns, _MOST_SHOWN)
    if size > most:
        raise UsageError(
            f"The coarsest level of the image has {rows} x {columns} pixels, more than napari can show at once.",
            remedy="Read regions of it in Python: dicomzarr.open(url).levels[0][...].",
        )


def _name(image: Image, channel: Channel, width: int) -> str:
    alone = width > 1 or len(image.channels) == 1
    return image.name if alone else channel.label or image.name


def _shown(channel: Channel, data: Any, middle: tuple[Item, ...], *, many: bool) -> dict[str, Any]:
    coarsest = data[-1] if isinstance(data, list) else data
    plane = _pixels(coarsest, middle) if needs_pixels(channel, coarsest.dtype) else None
    grey = channel.color == "FFFFFF"
    colormap = "gray" if grey else f"#{channel.color}"
    return {
        "contrast_limits": limits(channel, plane),
        "colormap": "gray_r" if channel.inverted and grey else colormap,
        "blending": "additive" if many and not grey else "translucent_no_depth",
    }


def _pixels(data: Any, middle: tuple[Item, ...]) -> Pixels | None:
    """The frame in the middle, or all of what is held; None where it cannot be had, which whoever looks at it hears."""
    if not isinstance(data, LayerArray):
        return np.asarray(data)
    try:
        return np.asarray(data[middle])
    except DicomZarrError:
        return None


def _placing(where: Placed) -> dict[str, Any]:
    return {
        "scale": where.scale,
        "translate": where.translate,
        "units": where.units,
        "axis_labels": where.names if where.affine is None else (*where.names[:-3], "z", "y", "x"),
        **({} if where.affine is None else {"affine": where.affine}),
    }


def _facts(image: MultiscaleImage, where: Placed) -> dict[str, Any]:
    """What layers carry along: where they come from, and nobody's name."""
    return {
        "dicomzarr": {
            "url": image.url,
            "affine": image.affine,
            "units": image.plan.attributes.units,
            "slices_along": None if where.affine is None else where.names[-3:].index("z"),
        }
    }


def _labels_layer(label: MultiscaleImage) -> LayerData:
    where = placed(label.plan)
    data, _ = _data(label, _layout(label, where, 0, 1), label.plan.levels[0].fill_value)
    names = {segment.number: segment.label for segment in label.segments}
    colors: dict[int | None, str] = {segment.number: f"#{segment.color}" for segment in label.segments if segment.color}
    arguments: dict[str, Any] = {
        "name": ", ".join(name for name in names.values() if name) or label.name,
        "multiscale": False,
        "metadata": _facts(label, where),
        "opacity": 0.5,
        "features": {"index": list(names), "label": list(names.values())},
        **_placing(where),
    }
    if colors:
        from napari.utils import DirectLabelColormap  # noqa: PLC0415  # napari is there when it asks

        # Segments without a colour, and values that no segment describes, are seen; the background is not.
        shown: dict[int | None, str] = {None: "gray", **colors, 0: "transparent"}
        shown[int(label.plan.levels[0].fill_value)] = "transparent"
        arguments["colormap"] = DirectLabelColormap(color_dict=shown)
    return data, arguments, "labels"

"""Colours of slides whose pixels are indices into a palette: ``values="color"``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.plan.plan import Axis, Channel
from dicomzarr.plan.slide_facts import absent_color
from dicomzarr.plan.views import LookedUp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.series import Series
    from dicomzarr.plan.plan import FrameIndex, ImagePlan, LevelPlan, SeriesPlan

NOT_APPLIED: Final = "values are indices into a palette that is not applied."
_COLORS: Final = (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
_PALETTE: Final = "PALETTE COLOR"


@dataclass(frozen=True, slots=True, eq=False)
class WithColors:
    """The frames of chunk indices that have a place for colours, all of which are in one chunk."""

    frames: FrameIndex
    place: int

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """The frame of the chunk at these indices."""
        return self.frames.locate((*chunk[: self.place], *chunk[self.place + 1 :]))

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameIndex.state`."""
        return self.frames.state()


def with_palettes(plan: SeriesPlan, series: Series, bulk: Mapping[str, bytes]) -> SeriesPlan:
    """The same plan, its images of one palette in colours.

    Args:
        plan: Of a slide.
        series: Its instances.
        bulk: Values that the metadata only name, by their URI.

    Raises:
        InvalidAttributeError: A palette is broken, or is not there.
    """
    from dicomzarr.dicom.volume.tables import image_palette  # noqa: PLC0415  # most slides have none

    palettes = {each: image_palette(each, series.items[each], bulk) for each in _indexed(series)}
    if not palettes:
        return plan
    view = LookedUp(palettes, np.result_type(*(palette.dtype for palette in palettes.values())))
    known = {instance.sop_instance_uid: instance for instance in palettes}
    return replace(
        plan,
        images=tuple(_colored(image, view, known) for image in plan.images),
        associated=tuple((name, _colored(image, view, known)) for name, image in plan.associated),
    )


def note_palettes(plan: SeriesPlan, series: Series) -> None:
    """Say of which instances values are indices."""
    shown = {uid for image in plan.images if _is_indexed(image) for uid in image.levels[0].attributes.sop_instance_uids}
    for instance in _indexed(series):
        if instance.sop_instance_uid in shown:
            series.remarks.add(instance.sop_instance_uid, NOT_APPLIED)


def _indexed(series: Series) -> Iterable[Instance]:
    return [each for each in series.instances if each.pixel.photometric_interpretation == _PALETTE]


def _is_indexed(image: ImagePlan) -> bool:
    return image.levels[0].attributes.photometric_interpretation == _PALETTE


def _colored(image: ImagePlan, view: LookedUp, known: Mapping[str, Instance]) -> ImagePlan:
    if not _is_indexed(image) or any(axis.name == "c" for axis in image.axes):
        return image
    place = sum(axis.name == "t" for axis in image.axes)
    top = 2 ** (8 * view.dtype.itemsize) - 1
    return replace(
        image,
        axes=(*image.axes[:place], Axis("c", "channel"), *image.axes[place:]),
        levels=tuple(
            _colored_level(level, view, place, _absent(level, view, _header(level, known), top))
            for level in image.levels
        ),
        channels=tuple(Channel(name, color, (0.0, float(top))) for name, color in _COLORS),
        color=True,
    )


def _header(level: LevelPlan, known: Mapping[str, Instance]) -> Instance:
    return known[level.attributes.sop_instance_uids[0]]


def _absent(level: LevelPlan, view: LookedUp, header: Instance, top: int) -> tuple[tuple[float, ...], float]:
    """The colour of an absent tile: of a label map that of the number that is there."""
    if header.segmentation is None:
        return absent_color(header, top)
    number = np.full((1, 1, 1), level.fill_value, header.pixel.dtype)
    color = tuple(float(sample) for sample in view.tables[header].apply(number).reshape(-1).tolist())
    return color, color[0]


def _colored_level(level: LevelPlan, view: LookedUp, place: int, absent: tuple[tuple[float, ...], float]) -> LevelPlan:
    return replace(
        level,
        shape=(*level.shape[:place], 3, *level.shape[place:]),
        chunks=(*level.chunks[:place], 3, *level.chunks[place:]),
        dtype=view.dtype,
        scale=(*level.scale[:place], 1.0, *level.scale[place:]),
        translation=(*level.translation[:place], 0.0, *level.translation[place:]),
        absent=absent[0],
        fill_value=absent[1],
        frames=WithColors(level.frames, place),
        view=view,
        attributes=replace(level.attributes, photometric_interpretation="RGB"),
    )

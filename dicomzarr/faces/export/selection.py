"""What of a series is exported: images, levels and a region, as a plan of its own. Pure (no I/O)."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import compress, product
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.errors import InvalidOptionError, MissingInstanceError
from dicomzarr.faces.export.options import TIFF
from dicomzarr.plan import label_path
from dicomzarr.plan.coverage import edge_to_edge
from dicomzarr.plan.placing import origin_of, stepped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dicomzarr.dicom.segmentation import Segmentation
    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.plan import Affine, ImagePlan, LevelPlan, SeriesPlan
    from dicomzarr.plan.attributes import ImageAttributes, LevelAttributes, RescaleFactors

_SMALLEST_BUILT = 512
"""Pixels of the longer side at which no coarser level is built."""


class Taken(NamedTuple):
    """Where an exported level is taken from."""

    image: str
    """Path of the image in the series."""
    number: int
    """Of the level there."""
    start: tuple[int, ...]
    """Its first index along each axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One array that is exported."""

    path: str
    """In the exported hierarchy, as ``0`` or ``labels/lung/0``."""
    level: LevelPlan
    """As exported."""
    axes: tuple[str, ...]
    taken: Taken
    """Where it is taken from; of one that is built, where that is which it is built of in the end."""
    whole: LevelPlan
    """The level there."""
    halvings: int = 0
    """How often it is halved; each time of the array before."""
    averages: bool = True
    """Of one that is built: pixels are averaged; else one of them stands for all."""
    is_background: bool = False
    """What has no frame is in no segment: it is nothing that the option ``absent`` fills."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """All that is exported."""

    plan: SeriesPlan
    parts: tuple[Part, ...]
    """Arrays; one that is built comes behind the one that it is built of."""


def select(plan: SeriesPlan, options: ExportOptions) -> Selection:
    """Choose images, levels and a region.

    Raises:
        InvalidOptionError: The series has no such image, level, axis or region.
    """
    chosen = _chosen(plan, options)
    _check_levels([plan.at(path) for path in chosen], options.levels or ())
    images = [(path, plan.at(path)) for path in chosen if path in plan.image_paths]
    associated = [(path, plan.at(path)) for path in chosen if path not in plan.image_paths]
    if not images:
        images, associated = associated, []
    cut = [_Cut(path, image, options) for path, image in (*images, *associated)]
    cut_images, cut_associated = cut[: len(images)], cut[len(images) :]
    named = tuple(
        (path.rpartition("/")[2], each.plan) for (path, _), each in zip(associated, cut_associated, strict=True)
    )
    selected = replace(plan, images=tuple(each.plan for each in cut_images), associated=named)
    paths = (*selected.image_paths, *selected.associated_paths)
    return Selection(selected, tuple(part for path, each in zip(paths, cut, strict=True) for part in each.parts(path)))


def _chosen(plan: SeriesPlan, options: ExportOptions) -> list[str]:
    known = [*plan.image_paths, *plan.associated_paths]
    if options.images is None:
        return list(plan.image_paths) if options.region else known
    for path in options.images:
        if path not in known and path in plan.by_path:
            raise InvalidOptionError(
                f"{path} is a label, which goes along with its image.",
                remedy="Export the image, with labels=True; image.label_map() writes segments as NIfTI, and the"
                " segmentation can be exported by its own URL.",
            )
        if path not in known:
            shown = ", ".join(each or "/" for each in known)
            raise InvalidOptionError(f"The series has no image {path or '/'}.", remedy=f"It has {shown}.")
        if options.region and path in plan.associated_paths:
            raise InvalidOptionError(
                f"A region is counted in pixels of the images, and {path} is another picture.",
                remedy="Export it without a region.",
            )
    return [path for path in known if path in options.images]


class _Cut:
    """One image, cut, with its labels.

    Args:
        path: Of the image in the series.
        image: As the series has it.
        options: What is taken of it.
        counted: Of a label: along each axis of the level that the region is counted in, by name, the step and where
            the first pixel begins; by default those of its own finest level.
    """

    def __init__(
        self,
        path: str,
        image: ImagePlan,
        options: ExportOptions,
        counted: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._path = path
        self._image = image
        self._options = options
        self._axes = tuple(axis.name for axis in image.axes)
        self._counted = counted or dict(zip(self._axes, _edges(image.levels[0]), strict=True))
        is_label = counted is not None
        # A label has axes of space alone: it is the same at each time, and in each channel.
        self._region = {name: ends for name, ends in options.region.items() if name in self._axes or not is_label}
        numbers = _numbers(image, options.levels, is_label=is_label)
        # A TIFF says of levels how many pixels they have, and no more: readers take them to reach from edge to edge.
        self._shown = dict(edge_to_edge(image)) if options.format == TIFF else {}
        self._numbers = [number for number in numbers if number in self._shown] or numbers
        ranges = {number: self._range(number) for number in self._numbers}
        self._starts = {number: tuple(start for start, _ in each) for number, each in ranges.items()}
        levels = [_cut_level(image.levels[number], ranges[number]) for number in self._numbers]
        is_segments = bool(is_label or image.segments or image.attributes.segmentation)
        self._averages = not (is_segments or _is_indexed(image))
        self._is_background = is_segments and not image.attributes.absent
        self._built = len(levels)
        while options.build_levels and max(levels[-1].shape[-2:]) > _SMALLEST_BUILT:
            levels.append(_halved(levels[-1]))
        self._labels = [
            (label_path(path, label), _Cut(label_path(path, label), label, options, self._counted))
            for label in image.labels
        ]
        self.plan = self._cut_plan(tuple(levels), ranges[self._numbers[0]])

    def parts(self, path: str) -> Iterator[Part]:
        """The arrays, below a path of the exported hierarchy."""
        before = f"{path}/" if path else ""
        for number, level in enumerate(self.plan.levels):
            source = self._numbers[min(number, self._built - 1)]
            yield Part(
                f"{before}{number}",
                level,
                self._axes,
                Taken(self._path, source, self._starts[source]),
                self._image.levels[source],
                max(0, number - self._built + 1),
                self._averages,
                self._is_background,
            )
        for _, label in self._labels:
            yield from label.parts(label_path(path, label.plan))

    def _range(self, number: int) -> tuple[tuple[int, int], ...]:
        """What of a level is taken, by axis."""
        level = self._image.levels[number]
        found: list[tuple[int, int]] = []
        shown = dict(zip("yx", self._shown.get(number, ()), strict=False))
        for name, size, edge, chunk in zip(self._axes, level.shape, _edges(level), level.chunks, strict=True):
            if name not in self._region:
                found.append((shown[name].start, shown[name].stop) if name in shown else (0, size))
                continue
            start, stop = self._region[name]
            ratio, before = self._beside(name, edge)
            first = max(0, math.floor(start / ratio - before + 1e-6))
            last = min(size, math.ceil(stop / ratio - before - 1e-6))
            samples = chunk if name == "c" else 1
            if first >= size or stop / ratio <= before or first % samples or (last - first) % samples:
                raise InvalidOptionError(
                    f"The region {name}={start}:{stop} cannot be cut out of {size} along {name}"
                    + (", where R, G and B stay together." if samples > 1 else "."),
                    remedy="dicomzarr info shows the sizes of level 0"
                    + (
                        f"; if level {number} shows another part of the slide, leave it out by levels."
                        if number
                        else "."
                    ),
                )
            found.append((first, max(last, first + samples)))
        return tuple(found)

    def _beside(self, name: str, edge: tuple[float, float]) -> tuple[float, float]:
        """How many pixels a pixel of a level is, and at which of its own the level begins, along an axis.

        Less than one is what spacings and origins were rounded by.
        """
        if name not in "yx":
            return 1.0, 0.0
        (step, begin), (counted, origin) = edge, self._counted[name]
        before = (begin - origin) / step
        return step / counted, before if abs(before) >= 1 else 0.0

    def _cut_plan(self, levels: tuple[LevelPlan, ...], ranges: Sequence[tuple[int, int]]) -> ImagePlan:
        image, by_axis = self._image, dict(zip(self._axes, ranges, strict=True))
        for axis in self._region:
            if axis not in by_axis:
                raise InvalidOptionError(
                    f"Image {self._path or '/'} has no axis {axis}.", remedy=f"It has {', '.join(by_axis)}."
                )
        c = slice(*by_axis.get("c", (0, None)))
        return replace(
            image,
            levels=tuple(self._at_pose(level, by_axis) for level in levels),
            channels=image.channels[c],
            numbers=image.numbers[c] if image.numbers else (),
            affine=self._moved(self._affine_at(by_axis), levels[0]),
            attributes=self._cut_attributes(levels[0], by_axis),
            labels=tuple(label.plan for _, label in self._labels),
        )

    def _affine_at(self, by_axis: Mapping[str, tuple[int, int]]) -> Affine | None:
        """The affine of the first time that is taken: where the patient moved, each has its own."""
        return self._image.affine_at(by_axis.get("t", (0, 1))[0])

    def _at_pose(self, level: LevelPlan, by_axis: Mapping[str, tuple[int, int]]) -> LevelPlan:
        """A level that lies, by its translation too, where its first time does."""
        if not self._image.attributes.poses:
            return level
        ends = zip(origin_of(self._affine_at(by_axis)), origin_of(self._image.affine), strict=True)
        moved = dict(zip("zyx", (own - first for own, first in ends), strict=True))
        named = zip(self._axes, level.translation, strict=True)
        return replace(level, translation=tuple(start + moved.get(name, 0.0) for name, start in named))

    def _moved(self, affine: Affine | None, level: LevelPlan) -> Affine | None:
        """An affine of the finest level, from indices of an exported one."""
        return None if affine is None else stepped(affine, self._to_finest(level))

    def _to_finest(self, level: LevelPlan) -> list[tuple[float, float]]:
        """(step, first) of columns, rows and slices of an exported level in those of the finest."""
        finest = self._image.levels[0]
        found = []
        for name in "xyz":
            if name not in self._axes:
                found.append((1.0, 0.0))
                continue
            axis = self._axes.index(name)
            shift = level.translation[axis] - finest.translation[axis]
            found.append((level.scale[axis] / finest.scale[axis], shift / finest.scale[axis]))
        return found

    def _cut_attributes(self, level: LevelPlan, by_axis: Mapping[str, tuple[int, int]]) -> ImageAttributes:
        known = self._image.attributes
        z, t = by_axis.get("z", (0, 1)), by_axis.get("t", (0, 1))
        leads = "".join(name for name in self._axes if name in "tcz")
        is_whole = level.shape[-2:] == self._image.levels[0].shape[-2:]
        plane = known.plane_affine
        if plane is not None:
            along = known.coordinates["z"].values if "z" in known.coordinates else None
            step = (1.0, float(along[z[0]] - along[0]) if along else 0.0)
            plane = stepped(plane, [*self._to_finest(level)[:2], step])
        return replace(
            known,
            rescale=None if known.rescale is None else _cut_rescale(known.rescale, leads, by_axis),
            coordinates={
                name: replace(each, values=_nested(each.values, each.axes, by_axis))
                for name, each in known.coordinates.items()
            },
            absent=tuple(_cut_absent(known.absent, by_axis)),
            plane_affine=plane,
            poses=tuple(self._moved(each, level) for each in known.poses[slice(*t)]) if known.poses else (),
            ultrasound_regions=known.ultrasound_regions if is_whole else (),
            segmentation=self._cut_segments(slice(*by_axis.get("c", (0, None)))),
            virtual_levels=tuple(place for place, each in enumerate(self._numbers) if each in known.virtual_levels),
            z_offsets=known.z_offsets[slice(*z)] if known.z_offsets and "z" in by_axis else known.z_offsets,
        )

    def _cut_segments(self, c: slice) -> Segmentation | None:
        """The segmentation with the segments of the channels that are taken, where channels are segments."""
        known, numbers = self._image.attributes.segmentation, self._image.numbers
        if known is None or numbers[c] == numbers:
            return known
        return replace(known, segments=tuple(each for each in known.segments if each.number in numbers[c]))


def _check_levels(images: Sequence[ImagePlan], wanted: Sequence[int]) -> None:
    most = max(len(image.levels) for image in images)
    for number in wanted:
        if number >= most:
            raise _no_level(number, most)


def _numbers(image: ImagePlan, wanted: tuple[int, ...] | None, *, is_label: bool) -> list[int]:
    """The levels that are taken of an image; there are others, which may have more."""
    numbers = range(len(image.levels))
    if wanted is None:
        return list(numbers)
    found = [number for number in wanted if number in numbers]
    if not found and (is_label or len(numbers) == 1):
        return [numbers[-1]]  # of one resolution, whatever that of others is
    if not found:
        raise _no_level(wanted[0], len(numbers))
    return found


def _no_level(number: int, levels: int) -> InvalidOptionError:
    return InvalidOptionError(
        f"There is no level {number} in an image of {levels} level{'s' * (levels != 1)}.",
        remedy="dicomzarr info lists the levels.",
    )


def _is_indexed(image: ImagePlan) -> bool:
    level = image.levels[0]
    return level.attributes.photometric_interpretation == "PALETTE COLOR" and level.view is None


def _cut_level(level: LevelPlan, ranges: Sequence[tuple[int, int]]) -> LevelPlan:
    return replace(
        level,
        shape=tuple(stop - start for start, stop in ranges),
        translation=tuple(
            shift + start * step for shift, (start, _), step in zip(level.translation, ranges, level.scale, strict=True)
        ),
        attributes=_cut_facts(level, ranges),
    )


def _cut_facts(level: LevelPlan, ranges: Sequence[tuple[int, int]]) -> LevelAttributes:
    """Facts about a level, of whose instances only those count of which a frame is taken."""
    known = level.attributes
    if len(known.sop_instance_uids) < 2 or all(  # noqa: PLR2004  # else there is none to leave out
        taken == (0, size) for taken, size in zip(ranges, level.shape, strict=True)
    ):
        return known
    chunks = (range(start // side, -(-stop // side)) for (start, stop), side in zip(ranges, level.chunks, strict=True))
    shown: set[str] = set()
    for chunk in product(*chunks):
        with suppress(MissingInstanceError):
            frame = level.frames.locate(chunk)
            shown.update([] if frame is None else [frame.instance.sop_instance_uid])
        if len(shown) == len(known.sop_instance_uids):
            return known
    is_shown = [uid in shown for uid in known.sop_instance_uids]
    profiles = tuple(compress(known.icc_profiles, is_shown))
    return replace(known, sop_instance_uids=tuple(compress(known.sop_instance_uids, is_shown)), icc_profiles=profiles)


def _edges(level: LevelPlan) -> list[tuple[float, float]]:
    """Along each axis the step, and where the first pixel begins."""
    return [(step, centre - step / 2) for step, centre in zip(level.scale, level.translation, strict=True)]


def _halved(level: LevelPlan) -> LevelPlan:
    """A level of half the size along y and x, rounded down."""

    def last_two(values: Sequence[Any], change: Any) -> tuple[Any, ...]:
        return (*values[:-2], *(change(*each) for each in zip(values[-2:], level.scale[-2:], strict=True)))

    return replace(
        level,
        shape=last_two(level.shape, lambda size, _: max(1, size // 2)),
        scale=last_two(level.scale, lambda step, _: step * 2),
        translation=last_two(level.translation, lambda shift, step: shift + step / 2),
        attributes=replace(level.attributes, sop_instance_uids=()),
    )


def _nested(values: Any, axes: str, by_axis: Mapping[str, tuple[int, int]]) -> Any:
    if not axes or not isinstance(values, list | tuple):
        return values
    chosen = values[slice(*by_axis.get(axes[0], (0, None)))]
    return [_nested(each, axes[1:], by_axis) for each in chosen]


def _cut_rescale(rescale: RescaleFactors, axes: str, by_axis: Mapping[str, tuple[int, int]]) -> RescaleFactors:
    return replace(
        rescale,
        slope=_nested(rescale.slope, axes, by_axis),
        intercept=_nested(rescale.intercept, axes, by_axis),
    )


def _cut_absent(
    absent: Sequence[Mapping[str, int]], by_axis: Mapping[str, tuple[int, int]]
) -> Iterator[Mapping[str, int]]:
    for place in absent:
        if all(by_axis[axis][0] <= index < by_axis[axis][1] for axis, index in place.items()):
            yield {axis: index - by_axis[axis][0] for axis, index in place.items()}

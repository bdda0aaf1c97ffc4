"""Tiled images to levels, and levels to pyramids: what complements is joined, what is doubtful stays apart."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dicomzarr.dicom.slide.level import SlideLevel
from dicomzarr.dicom.slide.likeness import (
    area_ratio,
    is_coarser,
    is_one_pyramid,
    is_one_size,
    kind_key,
    known_paths,
    level_key,
    matrix_of,
    may_be_one_pyramid,
    may_be_one_slide,
    origins_within,
    pixel_key,
    same_area,
    same_directions,
    same_meaning,
    same_paths,
    same_planes,
    same_spacing,
)
from dicomzarr.dicom.slide.tiling import FullTiling

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.slide.positions import OpticalPath
    from dicomzarr.dicom.slide.tiled import TiledImage

    Place = tuple[OpticalPath, float]
    Tiles = npt.NDArray[np.int64] | None

_Candidate = TypeVar("_Candidate")
_OWN_VALUES = 3
"""Levels from which on it is no glass each that has a ContainerIdentifier of its own: a writer counted."""
_SAME_AREA = 1.05
"""Times the least difference in area by which scans may differ from a level that may belong to either."""


_OTHERWISE_NAMED = "its optical path reads otherwise than that of other instances of its level, and is taken for that."


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """Levels of one image, finest first."""

    levels: tuple[SlideLevel, ...]


@dataclass(slots=True)
class _Joining:
    """A level that still takes images."""

    images: list[TiledImage] = field(default_factory=list)
    tiles: dict[Place, list[Tiles]] = field(default_factory=dict)
    pyramids: set[str] = field(default_factory=set)
    """PyramidUIDs of the images."""
    guessed: bool = False

    def fitted(self, image: TiledImage) -> TiledImage | None:
        """An image of the same `level_key` as it complements those that are there; None where it does not."""
        first, header = self.images[0], image.header
        belongs = (
            first.header.segmentation is header.segmentation is None  # each is an image of its own: numbers are its own
            and (header.pyramid_uid is None or self.pyramids <= {header.pyramid_uid})
            and same_spacing(first.size.spacing, image.size.spacing)
            and same_directions(first.header, header)
            and may_be_one_slide(first.header, header)
            and same_meaning(first.header, header)
            and origins_within(first, image, pixels=1.0)
        )
        if not belongs:
            return None
        renamed = self._renamed(image)
        readings = [renamed] if header.pixel.samples > 1 else [renamed, image]  # a name tells channels apart, not scans
        return next((each for each in readings if not self._overlap(each)), None)

    def add(self, image: TiledImage) -> None:
        self.images.append(image)
        if image.header.pyramid_uid is not None:
            self.pyramids.add(image.header.pyramid_uid)
        for place, own in _cover(image).items():
            self.tiles.setdefault(place, []).append(own)

    def _renamed(self, image: TiledImage) -> TiledImage:
        """Its optical paths named as those of the level, where they are these."""
        there = tuple(dict.fromkeys(path for each in self.images for path in each.paths))
        known = known_paths(image.paths, there, image.header)
        paths = tuple(known.get(path, path) for path in image.paths)
        if paths == image.paths:
            return image
        return replace(image, paths=paths, remarks=(*image.remarks, _OTHERWISE_NAMED))

    def _overlap(self, image: TiledImage) -> bool:
        return any(self._overlaps(place, own) for place, own in _cover(image).items())

    def _overlaps(self, place: Place, own: Tiles) -> bool:
        return any(
            own is None or other is None or bool(np.intersect1d(own, other).size) for other in self.tiles.get(place, [])
        )


@dataclass(slots=True)
class _Alike:
    """The levels of one `level_key`."""

    levels: list[_Joining] = field(default_factory=list)
    holding: Counter[Place] = field(default_factory=Counter)
    """How many of them hold tiles of a place."""

    def candidates(self, image: TiledImage) -> list[tuple[_Joining, TiledImage]]:
        """Those that take an image, each with the image as it complements it.

        Of thousands alike none is looked at, if all of them have tiles where all of the image's would lie.
        """
        if any(own is None and self.holding[place] == len(self.levels) for place, own in _cover(image).items()):
            return []
        return [(level, own) for level in self.levels if (own := level.fitted(image)) is not None]

    def add(self, level: _Joining, image: TiledImage) -> None:
        """Add an image to a level, which may be new."""
        if not level.images:
            self.levels.append(level)
        self.holding.update(_cover(image).keys() - level.tiles.keys())
        level.add(image)


def join_levels(images: Sequence[TiledImage]) -> list[SlideLevel]:
    """Images that complement one another become one level; a second of the same stays apart."""
    joining: list[_Joining] = []
    alike: defaultdict[Hashable, _Alike] = defaultdict(_Alike)
    are_numbered = _are_numbered([image.header for image in images])
    for image in images:
        others = alike[level_key(image.header)]
        found = _nearest(others.candidates(image), image.header, lambda each: each[0].images[0].header)
        if found and (len(found) == 1 or are_numbered):
            level, fitted = found[0]
            level.guessed |= len(found) > 1
        else:
            level, fitted = _Joining(), image
            joining.append(level)
        others.add(level, fitted)
    return [SlideLevel(tuple(level.images), guessed=level.guessed) for level in joining]


def stack_pyramids(levels: Sequence[SlideLevel]) -> list[Pyramid]:
    """Stack levels of one area, finest first, into as many pyramids as it takes."""
    stacks: list[list[SlideLevel]] = []
    by_last: defaultdict[Hashable, dict[int, SlideLevel]] = defaultdict(dict)
    """The last level of each, by its number, and by what tells whether others are coarser: it is the same of many."""
    are_numbered = _are_numbered([level.header for level in levels])
    told = {(level.header.acquisition[0], _resolution(level)) for level in levels}
    counted = len(levels) >= _OWN_VALUES and all(len(set(values)) == len(levels) for values in zip(*told, strict=True))
    for level in sorted(levels, key=_by_resolution):
        finer = (alike for alike in by_last.values() if alike and is_coarser(next(iter(alike.values())), level))
        numbers = sorted(number for alike in finer for number in alike)
        candidates = [number for number in numbers if _belongs(stacks[number], level, counted=counted)]
        found = _nearest(candidates, level.header, lambda number: stacks[number][0].header)
        found = [number for number in found if len(stacks[number][0].paths) == len(level.paths)] or found
        if len(found) > 1:
            least = min(area_ratio(stacks[number][0], level) for number in found)
            found = [number for number in found if area_ratio(stacks[number][0], level) <= least * _SAME_AREA]
        if found and (len(found) == 1 or are_numbered):
            # Channel names are those of the finest level: all levels hold them in its order.
            number, stack = found[0], stacks[found[0]]
            known = known_paths(stack[0].paths, level.paths, level.header)
            order = tuple(known.get(path, path) for path in stack[0].paths) if len(known) == len(level.paths) else ()
            guessed = level.guessed or len(found) > 1 or _is_left_over(level, stacks)
            del by_last[_resolution(stack[-1])][number]
            stack.append(replace(level, order=order, guessed=guessed))
        else:
            number = len(stacks)
            stacks.append([level])
        by_last[_resolution(level)][number] = level
    return [Pyramid(tuple(stack)) for stack in sorted(stacks, key=lambda stack: _largest_first(stack[0]))]


def _is_left_over(level: SlideLevel, stacks: Sequence[Sequence[SlideLevel]]) -> bool:
    """Whether another of its size was put where it could have been, by guess."""
    return any(each.guessed and matrix_of(each.header) == matrix_of(level.header) for stack in stacks for each in stack)


def _are_numbered(headers: Sequence[Instance]) -> bool:
    """Whether InstanceNumber orders what is of one size: the first of each is taken for the first scan's, and so on."""
    return len({(matrix_of(header), header.instance_number) for header in headers}) == len(headers)


def why_several(pyramids: Sequence[Pyramid], lists: int) -> str | None:
    """Why a series holds several images, in a sentence; None where it holds one.

    Args:
        pyramids: Images of levels.
        lists: How many images there are besides, whose tiles fit no grid.
    """
    count = len(pyramids) + lists
    if count < 2:  # noqa: PLR2004  # several
        return None
    why = [f"{lists} of them are lists of tiles that fit no grid"] if lists else []
    return f"The series holds {count} images: {'; '.join([*_why_apart(pyramids), *why])}."


def _why_apart(pyramids: Sequence[Pyramid]) -> list[str]:
    """Why levels are several pyramids, in clauses."""
    if not pyramids:
        return []
    first, *others = (pyramid.levels[0] for pyramid in pyramids)
    reasons = [_differences(first, other) for other in others]
    found = list(dict.fromkeys(reason for each in reasons for reason in each))
    why = [f"they differ in {', '.join(found)}"] if found else []
    for other in (other for other, each in zip(others, reasons, strict=True) if not each):
        if is_coarser(first, other):
            why.append(f"nothing tells to which of them instance {other.header.sop_instance_uid} belongs")
        else:
            both = f"{first.header.sop_instance_uid} and {other.header.sop_instance_uid}"
            why.append(f"instances {both} are alike, as two scans are")
    guessed = (level for pyramid in pyramids for level in pyramid.levels if level.guessed)
    uids = (level.header.sop_instance_uid for level in guessed)
    return [*why, *(f"nothing but InstanceNumber tells to which of them instance {uid} belongs" for uid in uids)]


def _differences(one: SlideLevel, other: SlideLevel) -> list[str]:
    """What keeps the finest levels of two pyramids from being levels of one, in words."""
    first, second = one.header, other.header
    half_a_tile = 0.5 * max(one.grid.tile_rows, one.grid.tile_columns)
    same_size = same_spacing(one.spacing, other.spacing)
    apart = 1.0 if same_size and is_one_size(one, other) else half_a_tile
    told = (
        ("PyramidUID", first.pyramid_uid == second.pyramid_uid),
        ("ContainerIdentifier", may_be_one_slide(first, second)),
        ("extended depth of field", first.extended_depth_of_field == second.extended_depth_of_field),
        ("kind of pixels", pixel_key(first) == pixel_key(second)),
        ("what values stand for", same_meaning(first, second)),
        ("optical paths", same_paths(one, other)),
        ("focal planes", same_planes(one.planes, other.planes)),
        ("orientation", same_directions(first, second)),
        ("place on the slide", origins_within(one.images[0], other.images[0], pixels=apart)),
        ("the area that they show", same_area(one, other) and (not same_size or is_one_size(one, other))),
        ("the size of pixels", same_size or is_coarser(one, other)),
    )
    return [name for name, same in told if not same]


def _nearest(
    candidates: list[_Candidate], header: Instance, header_of: Callable[[_Candidate], Instance]
) -> list[_Candidate]:
    """Those that may belong to the same scan, as far as anything tells; several where it is doubtful."""
    frame = header.frame_of_reference_uid
    for place, told in enumerate(_scan_of(header)):
        candidates = [each for each in candidates if told and _scan_of(header_of(each))[place] == told] or candidates
    if not candidates:
        return []
    least = min(_distance(header, header_of(each)) for each in candidates)
    found = [each for each in candidates if _distance(header, header_of(each)) == least]
    is_one_frame = bool(frame) and header_of(found[0]).frame_of_reference_uid == frame
    return found if len(found) == 1 or is_one_frame else []


def _scan_of(header: Instance) -> tuple[str | None, ...]:
    """What tells scans apart, the strongest first."""
    return (header.pyramid_uid, header.frame_of_reference_uid, *header.acquisition)


def _distance(one: Instance, other: Instance) -> float:
    if one.origin is None or other.origin is None:
        return math.inf
    return math.dist(one.origin[:2], other.origin[:2])


def _cover(image: TiledImage) -> dict[Place, Tiles]:
    """The tiles an image holds of each path and plane; None means all."""
    tiling = image.tiling
    places = [(path, plane) for path in image.paths for plane in image.planes]
    if isinstance(tiling, FullTiling):
        return dict.fromkeys(places)
    per_place = tiling.grid.rows * tiling.grid.columns
    ordinal, tiles = np.divmod(tiling.keys, per_place)
    cuts = np.searchsorted(ordinal, np.arange(1, len(places)))
    return dict(zip(places, np.split(tiles, cuts), strict=True))


def _by_resolution(level: SlideLevel) -> tuple[bool, float, int, int]:
    """By the size of pixels, where DICOM gives it: levels may be padded to the size of finer ones."""
    edof, columns, rows = _largest_first(level)
    return edof, max(level.spacing or (0.0,)), columns, rows


def _resolution(level: SlideLevel) -> Hashable:
    """All that `is_coarser` depends on."""
    return level.spacing, level.grid.matrix_rows, level.grid.matrix_columns


def _largest_first(level: SlideLevel) -> tuple[bool, int, int]:
    grid = level.grid
    return (level.header.extended_depth_of_field, -grid.matrix_columns, -grid.matrix_rows)


def _belongs(stack: list[SlideLevel], level: SlideLevel, *, counted: bool) -> bool:
    """Whether a level that is coarser than the last is one of theirs."""
    first = stack[0]
    half_a_tile = 0.5 * max(first.grid.tile_rows, first.grid.tile_columns)
    return (
        kind_key(first.header) == kind_key(level.header)
        and all(may_be_one_pyramid(each.header, level.header) for each in stack)
        and same_paths(first, level)
        and same_planes(first.planes, level.planes)
        and same_directions(first.header, level.header)
        and (counted or may_be_one_slide(first.header, level.header))
        and same_meaning(first.header, level.header)
        and (
            is_one_pyramid(first.header, level.header)
            or (origins_within(first.images[0], level.images[0], pixels=half_a_tile) and same_area(first, level))
        )
    )

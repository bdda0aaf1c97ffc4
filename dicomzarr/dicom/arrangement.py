"""Stacks of frames to grids of (t, c, z): the rungs by which every series that holds pixels opens.

Places first; contrasts are never mixed along z; then the attributes that tell frames apart, by what each value covers;
then the order of acquisition; then a list. Every frame is in exactly one cell of one grid.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.acquisition_order import order_of, runs_of
from dicomzarr.dicom.columns import (
    ACQUISITION_ORDER,
    LAST,
    ORDER,
    Column,
    column_of,
    columns_of,
    combined,
    distinct_partitions,
    independent,
    ranked,
    ranks,
)
from dicomzarr.dicom.coverage import Choice, best, evaluate
from dicomzarr.dicom.dimensions import BY_NAME, FRAME_NUMBER
from dicomzarr.dicom.grid import ABSENT, GUESSED, LIST, ORDER_ONLY, Dimension, Grid
from dicomzarr.dicom.lattice import Slices, find_lattice, runs, sparse_lattice, uneven
from dicomzarr.dicom.words import part_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.frame import Frame, Vector
    from dicomzarr.dicom.grouping import Stack
    from dicomzarr.dicom.lattice import Places

    Codes = npt.NDArray[np.int64]

_LISTED: Final = frozenset({"CT", "MR", "PT"})
"""Modalities whose frames, where nothing else tells them apart, are a list."""

_MOST_BESIDE: Final = 2
"""Images beside one for each doubled frame into which attributes may part a volume, and still mean something."""

_FEW: Final = 1 / 4
"""Part of the cells up to which doubled frames are images of their own beside a volume."""


def arrange(stack: Stack) -> list[Grid]:
    """Arrange the frames of a stack; the grid with the most frames first.

    Several grids where values cover different places, where places are no lattice, or where there are more dimensions
    than t and c can hold.
    """
    places = stack.places()
    if places is None and len({frame.whole for frame in stack.frames}) > 1:
        return _without_grid(stack)
    ladder = _Ladder(stack, places)
    return sorted(ladder.grids(), key=lambda grid: -len(grid.frames))


class _Ladder:
    """What is found out of one stack on the way down."""

    def __init__(self, stack: Stack, places: Places | None) -> None:
        self.stack = stack
        self.frames = stack.frames
        self.found = places
        self.places = np.zeros(len(self.frames), np.int64) if places is None else places.codes
        self.segmented = self.frames[0].image.header.segmentation is not None
        self.never_split = self.segmented or self.frames[0].image.header.modality == "RTDOSE"
        self._even: dict[bytes, bool] = {}

    def grids(self) -> Iterator[Grid]:
        columns = list(distinct_partitions(columns_of(self.frames)))
        forced = [column for column in columns if column.name == "segment" or column.holds_stacks(self.places)]
        base = combined([column.codes for column in forced]) if forced else np.zeros(len(self.frames), np.int64)
        alone = evaluate((), base, self.places, self._is_lattice)
        choice = alone
        if alone.doubled or (alone.uneven and not self.never_split):
            choice = self._chosen(columns, forced, base)
        if (
            choice.uneven
            and not choice.doubled
            and len(choice.images) > _MOST_BESIDE + len(alone.images) + alone.doubled
        ):
            choice = alone
        if self.segmented:
            choice = replace(choice, images=(np.arange(int(choice.keys.max()) + 1),))
        yield from self._guessed(choice) if choice.doubled else self._images(forced, choice)

    def _is_lattice(self, places: Codes) -> bool:
        if self.found is None or self.never_split:
            return True
        key = places.tobytes()
        if key not in self._even:
            kept = self.found.only(places)
            self._even[key] = find_lattice(kept, self._numbers_at(kept)) is not None
        return self._even[key]

    def _chosen(self, columns: Sequence[Column], forced: Sequence[Column], base: Codes) -> Choice:
        candidates = [column for column in columns if not any(column is other for other in forced)]
        candidates = list(distinct_partitions([*self._candidates(candidates, forced, base)]))
        candidates = [column for column in candidates if combined([base, column.codes]).max() > base.max()]
        candidates.sort(key=lambda column: column.strength)

        def evaluated(subset: tuple[Column, ...]) -> Choice:
            return evaluate(subset, base, self.places, self._is_lattice)

        return best(candidates, evaluated)

    def _candidates(self, columns: Sequence[Column], forced: Sequence[Column], base: Codes) -> Iterator[Column]:
        """What may tell frames apart beside contrasts: values, their ranks, the order of acquisition, last resorts."""
        groups = combined([self.places, base])
        numbers = self._numbers()
        order = self._order(columns, forced, numbers)
        for column in columns:
            by_rank = ranked(column, self.places, groups, order, numbers)
            yield from (by_rank, column) if by_rank is not None else (column,)
        if order is not None:
            within = ranks(order.codes, base)
            yield from [replace(order, codes=within.codes, count=within.count)] if within is not None else []
            yield order
        yield from self._last_resorts(groups, numbers)

    def _order(self, columns: Sequence[Column], forced: Sequence[Column], numbers: Codes) -> Column | None:
        """The order of acquisition: volumes in instances of their own, or numbers that go through all places."""
        wholes = column_by([frame.whole for frame in self.frames], ACQUISITION_ORDER, ORDER)
        if self.found is None:
            return None
        each = len(np.unique(self.places))
        if wholes.count > 1 and wholes.count * each == len(self.frames) and each > 1:
            cells = np.unique(wholes.codes * (int(self.places.max()) + 1) + self.places)
            orders = {frame.whole: frame.image.header.instance_number for frame in self.frames}
            if len(cells) == len(self.frames) and len(set(orders.values())) == len(orders):
                rank = {whole: place for place, whole in enumerate(sorted(orders, key=orders.__getitem__))}
                return replace(wholes, codes=np.array([rank[frame.whole] for frame in self.frames], np.int64))
        clocks = [column for column in columns if column.axis == "t" and None not in column.levels]
        return order_of(
            numbers, self._on_lattice(), contrasts=forced, clocks=clocks, most=self._most_temporal_positions()
        )

    def _on_lattice(self) -> Codes:
        """The slice of each frame on the lattice of all places; its place where there is none."""
        lattice = find_lattice(self.found) if self.found is not None else None
        return self.places if lattice is None else lattice.places

    def _most_temporal_positions(self) -> int | None:
        told = [frame.image.item.number_of_temporal_positions.values for frame in self.frames[:1]]
        number = told[0][0] if told[0] else None
        try:
            return int(float(str(number))) if number is not None and float(str(number)) >= 1 else None
        except (ValueError, OverflowError):
            return None

    def _numbers(self) -> Codes:
        """InstanceNumber of each frame, or its place in the order of (instance, frame)."""
        headers = [frame.image.header for frame in self.frames]
        if all(header.stored.number_of_frames == 1 for header in headers):
            return np.array([header.instance_number for header in headers], np.int64)
        numbers = {frame.whole: frame.image.header.instance_number for frame in self.frames}
        if len(set(numbers.values())) < len(numbers):
            return np.zeros(len(self.frames), np.int64)
        ordered = sorted(range(len(self.frames)), key=lambda place: self._order_in_instances(self.frames[place]))
        found = np.empty(len(ordered), np.int64)
        found[ordered] = np.arange(1, len(ordered) + 1)
        return found

    def _order_in_instances(self, frame: Frame) -> tuple[int, int, int]:
        return (frame.image.header.instance_number, *frame.number_in_whole)

    def _last_resorts(self, groups: Codes, numbers: Codes) -> Iterator[Column]:
        """What tells series apart that were sent twice, beds, and the frames of an instance that says nothing."""
        if self.found is None:
            if len({frame.whole for frame in self.frames}) == 1:
                codes = combined(list(np.array([frame.number_in_whole for frame in self.frames], np.int64).T))
                planes = self.frames[0].image.header.modality == "RTDOSE"  # whatever their offsets say
                yield Column("slice" if planes else FRAME_NUMBER.name, codes, int(codes.max()) + 1, strength=LAST)
            return
        created = column_of(self.frames, "creation_time")
        roots = [frame.ref.instance.sop_instance_uid.rpartition(".")[0] for frame in self.frames]
        for column in (created, column_by(roots, "uid_root", LAST)):
            if column.count > 1 and None not in column.levels:
                apart = replace(column, strength=LAST, apart=True)
                by_rank = ranked(apart, self.places, groups, None, numbers) if column is created else None
                yield from (apart,) if by_rank is None else (by_rank, apart)
        found = runs_of(numbers, self.places, self.found.distances[self.places])
        if found is not None:
            yield found

    def _numbers_at(self, kept: Places) -> Vector | None:
        """InstanceNumber at each of some places, of the frames that come first; None where they prove nothing."""
        if any(frame.ref.instance.number_of_frames > 1 for frame in self.frames):
            return None
        numbers = self._numbers()
        found = np.full(len(kept), np.inf)
        there = kept.codes >= 0
        np.minimum.at(found, kept.codes[there], numbers[there])
        return found if len(np.unique(numbers[there])) == int(there.sum()) else None

    def _images(self, forced: Sequence[Column], choice: Choice) -> Iterator[Grid]:
        columns = [*forced, *choice.columns]
        kind = next((ORDER_ONLY for column in columns if column.name == ACQUISITION_ORDER), "")
        kind = next((GUESSED for column in columns if column.name in _SENT_TWICE), kind)
        images = [np.flatnonzero(np.isin(choice.keys, keys)) for keys in choice.images]
        for frames in images:
            part = self._part(columns, frames) if len(images) > 1 else ""
            yield from self._image(columns, frames, part, kind)

    def _part(self, columns: Sequence[Column], frames: Codes) -> str:
        """What tells the frames of one image from those of others, in words."""
        members = [self.frames[place] for place in frames.tolist()]
        same = [column for column in columns if len(np.unique(column.codes[frames])) == 1 and column.name in BY_NAME]
        words = [part_words(self.frames, int(frames[0]), column.name) for column in same]
        held, all_places = len(np.unique(self.places[frames])), len(np.unique(self.places))
        if held < all_places:
            words.append(f"{held} of {all_places} slices")
        return ", ".join(word for word in dict.fromkeys(words) if word) or f"{len(members)} frames"

    def _image(self, columns: Sequence[Column], frames: Codes, part: str, kind: str) -> Iterator[Grid]:
        for kept, slices in self._slices(frames):
            own = [column.of(kept) for column in columns if not column.apart]
            own = list(distinct_partitions([column for column in own if column.count > 1]))
            dimensions = independent(sorted(own, key=lambda column: -column.count)) if own else []
            words = part if len(kept) == len(frames) else _from_to(part, slices)
            members = tuple(self.frames[place] for place in kept.tolist())
            yield from _split(members, dimensions, slices, replace_stack(self.stack, kept), (words, kind))

    def _slices(self, frames: Codes) -> Iterator[tuple[Codes, Slices | None]]:
        """(frames, their slices) of one image, or of each run of its slices that is even."""
        if self.found is None:
            yield frames, None
            return
        places = self.found.of(frames)
        if self.segmented:
            yield frames, sparse_lattice(places, self.frames[0].between)
            return
        lattice = find_lattice(places, self._numbers_of(frames, places))
        parts = None if lattice is not None or self.never_split else runs(places)
        if parts is None:
            yield frames, lattice or uneven(places)
            return
        for part in parts:
            kept = np.flatnonzero(np.isin(places.codes, part))
            of_run = self.found.of(frames[kept])
            yield frames[kept], find_lattice(of_run) or uneven(of_run)

    def _numbers_of(self, frames: Codes, places: Places) -> Vector | None:
        numbers = self._numbers()[frames]
        if len(np.unique(numbers)) < len(numbers) or self.frames[0].ref.instance.number_of_frames > 1:
            return None
        found = np.full(len(places), np.inf)
        np.minimum.at(found, places.codes, numbers)
        return found

    def _guessed(self, choice: Choice) -> Iterator[Grid]:
        """The first frame at each place is of the volume, by its UID; the others are images of their own, or a list."""
        if self.segmented or self.found is None or choice.doubled > _FEW * (len(self.frames) - choice.doubled):
            yield from _without_grid(self.stack)
            return
        uids = [frame.ref.instance.sop_instance_uid for frame in self.frames]
        order = sorted(range(len(uids)), key=lambda place: (uids[place], self.frames[place].ref.number))
        cells = choice.keys * (int(self.places.max()) + 1) + self.places
        first: dict[int, int] = {}
        for place in order:
            first.setdefault(int(cells[place]), place)
        kept = np.array(sorted(first.values()))
        others = np.setdiff1d(np.arange(len(uids)), kept)
        doubled = [self.frames[place] for place in others.tolist()]
        notice = (
            f"{len(doubled)} of {len(uids)} frames lie where others do, and nothing tells which belongs there: those "
            f"with the first UID stay, the others are images of their own. This is a guess. The first is frame "
            f"{doubled[0].ref.number} of instance {doubled[0].ref.instance.sop_instance_uid}."
        )
        for number, part in enumerate((kept, others)):
            for grid in arrange(replace_stack(self.stack, part)):
                words = ", ".join(filter(None, [grid.part, "" if number == 0 else GUESSED]))
                yield replace(grid, part=words, notices=(*grid.notices, notice), kind=grid.kind or GUESSED)


_SENT_TWICE: Final = frozenset({"creation_time", "uid_root"})


def column_by(values: Sequence[str], name: str, strength: int) -> Column:
    """A column of texts, in the order of their first frames."""
    number = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return Column(name, np.array([number[value] for value in values], np.int64), len(number), strength=strength)


def replace_stack(stack: Stack, kept: Codes) -> Stack:
    """The stack of some of the frames."""
    positions = None if stack.positions is None else stack.positions[kept]
    return replace(stack, frames=tuple(stack.frames[place] for place in kept.tolist()), positions=positions)


def _without_grid(stack: Stack) -> list[Grid]:
    """Frames that nothing arranges: a list along t; of modalities that are no scan, each instance by itself."""
    wholes = list(dict.fromkeys(frame.whole for frame in stack.frames))
    if len(wholes) > 1 and stack.frames[0].image.header.modality not in _LISTED:
        of = np.array([wholes.index(frame.whole) for frame in stack.frames])
        return [
            grid for whole in range(len(wholes)) for grid in arrange(replace_stack(stack, np.flatnonzero(of == whole)))
        ]
    return [_listed(stack)]


def _listed(stack: Stack) -> Grid:
    """Frames along t in the order of (InstanceNumber, UID, frame number)."""
    uids = [frame.ref.instance.sop_instance_uid for frame in stack.frames]
    order = sorted(
        range(len(uids)), key=lambda place: (stack.frames[place].order[0], uids[place], stack.frames[place].ref.number)
    )
    listed = replace_stack(stack, np.array(order))
    cells = np.arange(len(order), dtype=np.int64).reshape(-1, 1, 1)
    notice = (
        f"Nothing tells what the {len(order)} frames of an image are to each other: they are a list along t, in the "
        f"order of InstanceNumber and UID. Where each lies is a coordinate; there is no affine, and t is no time."
    )
    return Grid(listed.frames, cells, (Dimension("t", (LIST,), len(order)),), None, listed, LIST, LIST, (notice,))


def _from_to(part: str, slices: Slices | None) -> str:
    if slices is None:
        return part
    words = f"{len(slices.distances) - len(slices.absent)} slices from {slices.distances[0]:.6g} mm"
    return ", ".join(filter(None, [part, words]))


def _split(
    frames: tuple[Frame, ...],
    dimensions: list[tuple[Column, ...]],
    slices: Slices | None,
    stack: Stack,
    told: tuple[str, str],
) -> Iterator[Grid]:
    """One grid for each combination of the dimensions that find no axis."""
    kept, surplus = _axes(dimensions)
    part, kind = told
    if not surplus:
        yield _grid(frames, kept, slices, stack, part, kind)
        return
    codes = [combined([column.codes for column in columns]) for columns in surplus]
    for values in itertools.product(*(range(int(each.max()) + 1) for each in codes)):
        chosen = np.flatnonzero(np.all([each == value for each, value in zip(codes, values, strict=True)], axis=0))
        if not chosen.size:
            continue
        names = [column.name for columns in surplus for column in columns]
        words = [part, *(part_words(frames, int(chosen[0]), name) for name in names)]
        narrowed = [tuple(replace(column, codes=column.codes[chosen]) for column in columns) for columns in kept]
        of_part = None if slices is None else replace(slices, places=slices.places[chosen])
        members = tuple(frames[place] for place in chosen.tolist())
        yield _grid(members, narrowed, of_part, replace_stack(stack, chosen), ", ".join(filter(None, words)), kind)


def _axes(dimensions: list[tuple[Column, ...]]) -> tuple[list[tuple[Column, ...]], list[tuple[Column, ...]]]:
    """(one dimension for each of t, c and z at most, those left over): the longest keep an axis."""
    kept: dict[str, tuple[Column, ...]] = {}
    surplus = []
    for columns in sorted(dimensions, key=lambda columns: -max(column.count for column in columns)):
        if columns[0].axis in kept:
            surplus.append(columns)
        else:
            kept[columns[0].axis] = columns
    return [kept[axis] for axis in "tcz" if axis in kept], surplus


def _grid(
    frames: tuple[Frame, ...],
    dimensions: Sequence[tuple[Column, ...]],
    slices: Slices | None,
    stack: Stack,
    part: str,
    kind: str,
) -> Grid:
    places = np.zeros(len(frames), np.int64) if slices is None else slices.places
    sizes = {"t": 1, "c": 1, "z": 1 if slices is None else len(slices.distances)}
    index = {"t": np.zeros_like(places), "c": np.zeros_like(places), "z": places}
    found = []
    for columns in dimensions:
        codes = combined([column.codes for column in columns])
        axis = columns[0].axis
        sizes[axis], index[axis] = int(codes.max()) + 1, codes
        found.append(Dimension(axis, tuple(column.name for column in columns), sizes[axis]))
    cells = np.full((sizes["t"], sizes["c"], sizes["z"]), ABSENT, np.int64)
    cells[index["t"], index["c"], index["z"]] = np.arange(len(frames))
    return Grid(frames, cells, tuple(found), slices, stack, part, kind)

"""Stacks of frames to grids of (t, c, z): the rungs by which every series that holds pixels opens.

Places first; contrasts are never mixed along z; then the attributes that tell frames apart, by what each value covers;
then the order of acquisition; then a list. Every frame is in exactly one cell of one grid.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.volume.columns import (
    ACQUISITION_ORDER,
    STRONG,
    Column,
    columns_of,
    combined,
    distinct_partitions,
    in_significance,
    independent,
    partitions,
)
from dicomzarr.dicom.volume.coverage import Choice, best, evaluate
from dicomzarr.dicom.volume.dimensions import BY_NAME, SEGMENT
from dicomzarr.dicom.volume.evidence import SENT_TWICE, Evidence
from dicomzarr.dicom.volume.grid import ABSENT, GUESSED, LIST, ORDER_ONLY, Dimension, Grid
from dicomzarr.dicom.volume.lattice import Slices, even_as_written, find_lattice, runs, sparse_lattice, uneven
from dicomzarr.dicom.volume.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.grouping import Stack
    from dicomzarr.dicom.volume.lattice import Places

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
    return sorted(_Ladder(stack, places).grids(), key=lambda grid: -len(grid.frames))


class _Ladder:
    """One stack on its way down the rungs."""

    def __init__(self, stack: Stack, found: Places | None) -> None:
        self.stack = stack
        self.frames = stack.frames
        self.evidence = Evidence(stack.frames, found)
        self.found = found
        self.places = self.evidence.places
        self.words = Words(stack.frames)
        header = self.frames[0].instance
        self.sparse = header.segmentation is not None
        self.never_split = self.sparse or header.modality == "RTDOSE"
        self._even: dict[bytes, bool] = {}
        self._contrast_of: dict[str, str] = {}
        """Of columns that part the frames as a contrast does: that contrast, which names images."""

    def grids(self) -> Iterator[Grid]:
        columns, contrasts = [], []
        for alike in map(self._meant_first, partitions(columns_of(self.frames))):
            columns.append(alike[0])
            told = [column for column in alike if column.name == SEGMENT or column.holds_stacks(self.places)]
            if told:  # also where a time that goes along with it comes first
                contrasts.append(alike[0])
                self._contrast_of[alike[0].name] = told[0].name
        base = combined([np.zeros(len(self.frames), np.int64), *(column.codes for column in contrasts)])
        choice = self._choice(columns, contrasts, base)
        if self.sparse:
            choice = replace(choice, images=(np.arange(int(choice.keys.max()) + 1),))
        if choice.doubled:
            yield from self._guessed(choice, base)
        else:
            yield from self._images([*contrasts, *choice.columns], choice)

    def _meant_first(self, alike: list[Column]) -> list[Column]:
        """Columns that part the frames alike, the one that names their axis first.

        Where nothing places frames, an index of their places comes before clocks that go along: each was acquired at
        its time.
        """
        of_places = [column for column in alike if column.axis == "z"]
        if self.found is not None or not of_places or alike[0].strength == STRONG:
            return alike
        return [*of_places, *(column for column in alike if column.axis != "z")]

    def _choice(self, columns: Sequence[Column], contrasts: Sequence[Column], base: Codes) -> Choice:
        def evaluated(subset: tuple[Column, ...]) -> Choice:
            return evaluate(subset, base, self.places, self._is_lattice)

        alone = evaluated(())
        if not alone.doubled and (self.never_split or not alone.uneven):
            return alone
        choice = best(self.evidence.candidates(columns, contrasts, base), evaluated)
        scattered = choice.uneven and len(choice.images) > _MOST_BESIDE + len(alone.images) + alone.doubled
        return alone if scattered and not choice.doubled else choice

    def _is_lattice(self, places: Codes) -> bool:
        if self.found is None or self.never_split:
            return True
        key = places.tobytes()
        if key not in self._even:
            kept = self.found.only(places)
            lattice = find_lattice(kept, self.evidence.numbers_at(kept))
            self._even[key] = lattice is not None or even_as_written(kept)
        return self._even[key]

    def _images(self, columns: Sequence[Column], choice: Choice) -> Iterator[Grid]:
        names = {column.name for column in columns}
        kind = GUESSED if names & SENT_TWICE else ORDER_ONLY if ACQUISITION_ORDER in names else ""
        for keys in choice.images:
            frames = np.flatnonzero(np.isin(choice.keys, keys))
            part = self._part(columns, frames) if len(choice.images) > 1 else ""
            yield from self._image(columns, frames, part, kind)

    def _part(self, columns: Sequence[Column], frames: Codes) -> str:
        """What tells the frames of one image from those of others, in words."""
        same = [column for column in columns if len(np.unique(column.codes[frames])) == 1 and column.name in BY_NAME]
        names = [self._contrast_of.get(column.name, column.name) for column in same]
        words = [self.words.of_part(int(frames[0]), name) for name in names]
        held, all_places = len(np.unique(self.places[frames])), len(np.unique(self.places))
        if held < all_places:
            words.append(f"{held} of {all_places} slices")
        return ", ".join(word for word in dict.fromkeys(words) if word) or f"{len(frames)} frames"

    def _image(self, columns: Sequence[Column], frames: Codes, part: str, kind: str) -> Iterator[Grid]:
        for kept, slices in self._slices(frames):
            own = [column.of(kept) for column in columns if not column.apart]
            own = list(distinct_partitions([column for column in own if column.count > 1]))
            dimensions = [in_significance(each) for each in independent(sorted(own, key=lambda column: -column.count))]
            words = part if len(kept) == len(frames) else _with_slices(part, slices)
            stack = part_of(self.stack, kept)
            blank = Grid(stack.frames, np.empty((0, 0, 0), np.int64), (), slices, stack, words, kind)
            yield from _split(blank, dimensions)

    def _slices(self, frames: Codes) -> Iterator[tuple[Codes, Slices | None]]:
        """(frames, their slices) of one image, or of each run of its slices that is even."""
        if self.found is None:
            yield frames, None
            return
        places = self.found.of(frames)
        if self.sparse:
            yield frames, sparse_lattice(places, self.frames[0].between)
            return
        lattice = find_lattice(places, self.evidence.numbers_at(places, frames))
        if self.never_split:  # its header has all planes: between those that lie apart none is absent
            yield frames, lattice if lattice is not None and not lattice.absent else uneven(places)
            return
        parts = None if lattice is not None else runs(places)
        if parts is None:
            yield frames, lattice or uneven(places)
            return
        for part in parts:
            kept = frames[np.isin(places.codes, part)]
            of_run = self.found.of(kept)
            yield kept, find_lattice(of_run) or uneven(of_run)

    def _guessed(self, choice: Choice, base: Codes) -> Iterator[Grid]:
        """The first frame at each place is of the volume, by its UID; the others are images of their own, or a list.

        Others of several contrasts never are one image, though each may have one slice left.
        """
        if self.found is None or choice.doubled > _FEW * (len(self.frames) - choice.doubled):
            yield from _without_grid(self.stack)
            return
        uids = [frame.instance.sop_instance_uid for frame in self.frames]
        order = sorted(range(len(uids)), key=lambda place: (uids[place], self.frames[place].ref.number))
        cells = (choice.keys * (int(self.places.max()) + 1) + self.places)[order]
        kept = np.sort(np.array(order)[np.unique(cells, return_index=True)[1]])
        others = np.setdiff1d(np.arange(len(uids)), kept)
        first = self.frames[int(others[0])].ref
        notice = (
            f"{len(others)} of {len(uids)} frames lie where others do, and nothing tells which belongs there: those "
            f"with the first UID and frame number stay, the others are images of their own. This is a guess. The first "
            f"is frame {first.number} of instance {first.instance.sop_instance_uid}."
        )
        for part in (kept, *(others[base[others] == value] for value in np.unique(base[others]))):
            for grid in arrange(part_of(self.stack, part)):
                named = ", ".join(filter(None, [grid.part, f"{len(grid.frames)} of {len(uids)} frames"]))
                yield replace(grid, part=named, notices=(*grid.notices, notice), kind=grid.kind or GUESSED)


def part_of(stack: Stack, kept: Codes) -> Stack:
    """The stack of some of the frames."""
    positions = None if stack.positions is None else stack.positions[kept]
    return replace(stack, frames=tuple(stack.frames[place] for place in kept.tolist()), positions=positions)


def _without_grid(stack: Stack) -> list[Grid]:
    """Frames that nothing arranges: a list along t; of modalities that are no scan, each instance by itself."""
    wholes = [frame.whole for frame in stack.frames]
    distinct = list(dict.fromkeys(wholes))
    if len(distinct) == 1 or stack.frames[0].instance.modality in _LISTED:
        return [_listed(stack)]
    of = np.array([distinct.index(whole) for whole in wholes])
    return [grid for number in range(len(distinct)) for grid in arrange(part_of(stack, np.flatnonzero(of == number)))]


def _listed(stack: Stack) -> Grid:
    """Frames along t in the order of (InstanceNumber, UID, frame number)."""
    keys = [(frame.order[0], frame.instance.sop_instance_uid, frame.ref.number) for frame in stack.frames]
    listed = part_of(stack, np.array(sorted(range(len(keys)), key=keys.__getitem__)))
    cells = np.arange(len(keys), dtype=np.int64).reshape(-1, 1, 1)
    placed = "the coordinate position says where each lies" if stack.positions is not None else "nothing places them"
    notice = (
        f"Nothing tells what the {len(keys)} frames of an image are to each other: they are a list along t, in the "
        f"order of InstanceNumber and UID. There is no affine: {placed}. t is no time."
    )
    return Grid(listed.frames, cells, (Dimension("t", (LIST,), len(keys)),), None, listed, LIST, LIST, (notice,))


def _with_slices(part: str, slices: Slices | None) -> str:
    """What tells a run of slices from others."""
    if slices is None:
        return part
    words = f"{len(slices.distances) - len(slices.absent)} slices from {slices.distances[0]:.6g} mm"
    return ", ".join(filter(None, [part, words]))


def _split(blank: Grid, dimensions: list[tuple[Column, ...]]) -> Iterator[Grid]:
    """A grid without cells as one with them, or as one for each combination of the dimensions that find no axis."""
    kept, surplus = _axes(dimensions, segments=blank.shows_segments)
    told = Words(blank.frames)
    codes = [combined([column.codes for column in columns]) for columns in surplus]
    for values in itertools.product(*(range(int(each.max()) + 1) for each in codes)):
        alike = [each == value for each, value in zip(codes, values, strict=True)]
        chosen = np.flatnonzero(np.all(alike, axis=0)) if alike else np.arange(len(blank.frames))
        if chosen.size:
            names = [column.name for columns in surplus for column in columns]
            words = [blank.part, *(told.of_part(int(chosen[0]), name) for name in names)]
            part = replace(_part_of_grid(blank, chosen), part=", ".join(filter(None, words)))
            narrowed = [tuple(replace(column, codes=column.codes[chosen]) for column in columns) for columns in kept]
            yield _with_cells(part, narrowed)


def _part_of_grid(blank: Grid, chosen: Codes) -> Grid:
    slices = None if blank.slices is None else replace(blank.slices, places=blank.slices.places[chosen])
    stack = part_of(blank.stack, chosen)
    return replace(blank, frames=stack.frames, slices=slices, stack=stack)


def _axes(
    dimensions: list[tuple[Column, ...]], *, segments: bool
) -> tuple[list[tuple[Column, ...]], list[tuple[Column, ...]]]:
    """(one dimension for each of t, c and z at most, those left over): the longest keep an axis.

    Args:
        dimensions: What tells frames apart.
        segments: Each frame shows one segment, and c counts nothing else.
    """
    kept: dict[str, tuple[Column, ...]] = {}
    surplus = []
    for columns in sorted(dimensions, key=lambda columns: -max(column.count for column in columns)):
        of_others = segments and columns[0].axis == "c" and columns[0].name != SEGMENT
        if of_others or columns[0].axis in kept:
            surplus.append(columns)
        else:
            kept[columns[0].axis] = columns
    return [kept[axis] for axis in "tcz" if axis in kept], surplus


def _with_cells(blank: Grid, dimensions: Sequence[tuple[Column, ...]]) -> Grid:
    """The grid with its frames in their cells.

    Args:
        blank: A grid without cells.
        dimensions: One for each axis, of its frames.
    """
    slices, nowhere = blank.slices, np.zeros(len(blank.frames), np.int64)
    index = {"t": nowhere, "c": nowhere, "z": nowhere if slices is None else slices.places}
    sizes = {"t": 1, "c": 1, "z": 1 if slices is None else len(slices.distances)}
    found = []
    for columns in dimensions:
        axis, codes = columns[0].axis, combined([column.codes for column in columns])
        sizes[axis], index[axis] = int(codes.max()) + 1, codes
        found.append(Dimension(axis, tuple(column.name for column in columns), sizes[axis]))
    cells = np.full((sizes["t"], sizes["c"], sizes["z"]), ABSENT, np.int64)
    cells[index["t"], index["c"], index["z"]] = np.arange(len(blank.frames))
    if np.count_nonzero(cells != ABSENT) < len(blank.frames):  # whatever went wrong: no frame is lost
        return _listed(blank.stack)
    return replace(blank, cells=cells, dimensions=tuple(found))

"""Frames to grids of (t, c, z): what cannot be placed is an error, what takes more axes becomes several grids."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.clock import first_time
from dicomzarr.dicom.dimensions import ACQUISITION_TIME, BY_NAME
from dicomzarr.dicom.slices import find_slices, with_holes
from dicomzarr.dicom.telling_apart import Choice, Column, by_segment, choose, combined, independent
from dicomzarr.dicom.values import shown_code
from dicomzarr.errors import DoubledFramesError, GridError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.dimensions import Value
    from dicomzarr.dicom.frame import Frame
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicom.slices import Slices

    Codes = npt.NDArray[np.int64]

ABSENT: Final = -1
"""What stands in a cell that has no frame."""

_NAMED: Final = 4
"""Cells or instances that an error names."""


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One axis beside those of space."""

    axis: str
    """t, c, or z where slices are counted and not placed."""
    names: tuple[str, ...]
    """The attributes that count it, the first of which names it."""
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Frames of one image on a regular grid."""

    frames: tuple[Frame, ...]
    cells: Codes
    """(t, c, z): the place in ``frames`` of each cell's frame; -1 where there is none."""
    dimensions: tuple[Dimension, ...]
    """Those that are not of space."""
    slices: Slices | None
    """None where nothing places the frames."""
    part: str = ""
    """What tells this grid from others of the same frames, as ``component phase``."""

    @property
    def first(self) -> Frame:
        """The frame in the first cell that has one."""
        return self.frames[int(self.cells[self.cells != ABSENT][0])]

    def values(self, name: str) -> list[Value]:
        """What the frames of all cells have of an attribute, in the order of the cells; None for absent ones."""
        return [None if cell == ABSENT else self.frames[cell].values.get(name) for cell in self.cells.reshape(-1)]


def arrange(frames: Sequence[Frame], *, sparse: bool = False) -> list[Grid]:
    """Arrange the frames of one image; several grids where they have more dimensions than t and c can hold.

    Args:
        frames: Alike in everything that must be the same in one array.
        sparse: Frames without content were left out: holes are no fault.

    Raises:
        GridError: Cells are missing, or nothing tells frames apart.
    """
    slices = _slices(frames, sparse=sparse)
    places = np.zeros(len(frames), np.int64) if slices is None else slices.places
    choice = by_segment(frames) if sparse else None
    if choice is None and len(np.unique(places)) == len(frames):
        return [_grid(frames, places, (), slices)]
    choice = choice or choose(frames, places)
    if choice is None:
        raise _doubled(frames, [(place, _apart(frame)) for place, frame in zip(places.tolist(), frames, strict=True)])
    if not choice.complete and not sparse:
        raise _incomplete(frames, places, choice, slices)
    return list(_split(frames, places, independent(choice), slices))


def _slices(frames: Sequence[Frame], *, sparse: bool) -> Slices | None:
    positions = [frame.position for frame in frames if frame.position is not None]
    normal = frames[0].normal
    if len(positions) != len(frames) or normal is None:
        return None
    pixel = None if frames[0].spacing is None else max(frames[0].spacing)
    slices = find_slices(np.stack(positions), normal, pixel)
    return with_holes(slices, frames[0].between, pixel) if sparse else slices


def _split(
    frames: Sequence[Frame], places: Codes, dimensions: list[tuple[Column, ...]], slices: Slices | None
) -> Iterator[Grid]:
    """One grid for each combination of the dimensions that find no axis."""
    kept, surplus = _axes(dimensions)
    if not surplus:
        yield _grid(frames, places, kept, slices)
        return
    codes = [combined([column.codes for column in columns]) for columns in surplus]
    for values in itertools.product(*(range(int(each.max()) + 1) for each in codes)):
        chosen = np.flatnonzero(np.all([each == value for each, value in zip(codes, values, strict=True)], axis=0))
        if not chosen.size:
            continue
        names = [column.name for columns in surplus for column in columns]
        part = ", ".join(describe(frames, chosen[0], name) for name in names)
        narrowed = [tuple(_chosen(column, chosen) for column in columns) for columns in kept]
        yield _grid([frames[int(index)] for index in chosen], places[chosen], narrowed, slices, part)


def _chosen(column: Column, chosen: Codes) -> Column:
    return Column(column.name, column.codes[chosen], column.count)


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
    frames: Sequence[Frame],
    places: Codes,
    dimensions: Sequence[tuple[Column, ...]],
    slices: Slices | None,
    part: str = "",
) -> Grid:
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
    if np.count_nonzero(cells != ABSENT) < len(frames):
        raise _doubled(frames, list(zip(*(each.tolist() for each in index.values()), strict=True)))
    return Grid(tuple(frames), cells, tuple(found), slices, part)


def _apart(frame: Frame) -> Hashable:
    """All that could tell a frame from others at its place."""
    return frame.rescale, tuple(sorted(frame.values.items(), key=lambda item: item[0]))


def _doubled(frames: Sequence[Frame], places: Sequence[Hashable]) -> DoubledFramesError:
    """The error for frames that share a place, in whatever that is told."""
    alike: defaultdict[Hashable, list[FrameRef]] = defaultdict(list)
    for place, frame in zip(places, frames, strict=True):
        alike[place].append(frame.ref)
    pairs = tuple((first, other) for first, *others in alike.values() for other in others)
    told = [f"frame {ref.number} of instance {ref.instance.sop_instance_uid}" for pair in pairs[:1] for ref in pair]
    return DoubledFramesError(
        f"{' and '.join(told) or 'Frames'} lie at one place, and no attribute tells them apart; {len(pairs)} of "
        f"{len(frames)} frames lie where others do.",
        remedy="Remove them from the server, or put them into series of their own.",
        doubled=pairs,
    )


def _incomplete(frames: Sequence[Frame], places: Codes, choice: Choice, slices: Slices | None) -> GridError:
    codes = choice.codes
    names = [column.name for column in choice.columns]
    sample = {int(code): index for index, code in enumerate(codes)}
    held = set(zip(places.tolist(), codes.tolist(), strict=True))
    every = itertools.product(np.unique(places).tolist(), range(int(codes.max()) + 1))
    missing = list(itertools.islice((cell for cell in every if cell not in held), _NAMED))
    cells = len(np.unique(places)) * (int(codes.max()) + 1) - len(frames)
    where = [
        " ".join([_place(slices, place), *(describe(frames, sample[code], name) for name in names)])
        for place, code in missing
    ]
    more = ", ..." if cells > len(where) else ""
    return GridError(
        f"The grid of {len(frames)} frames over place and {', '.join(names)} lacks {cells} of its cells: "
        f"{'; '.join(where)}{more}.",
        remedy="Send the missing instances to the server, or split the series.",
    )


def _place(slices: Slices | None, place: int) -> str:
    return "" if slices is None else f"at {slices.distances[place]:g} mm along the normal,"


def describe(frames: Sequence[Frame], place: int, name: str) -> str:
    """What one of the frames has of a dimension in words, as ``echo_time 12.5 ms``."""
    unit = BY_NAME[name].unit if name in BY_NAME else ""
    value = frames[place].values.get(name)
    if value is None:
        return f"no {name}"
    if isinstance(value, str):
        return shown_code(value) if name in {"component", "image_type"} else f"{name} {shown_code(value)}"
    if isinstance(value, tuple):
        return f"{name} ({', '.join(f'{number:g}' for number in value)})"
    if name == ACQUISITION_TIME:
        value -= first_time(frame.values.get(name) for frame in frames)
    return f"{name} {value:g} {unit}".rstrip()

"""Selections, keys and tilings, against NumPy and against themselves, for whatever Hypothesis thinks of."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dicomzarr.arrays.reading import read_level, read_orthogonal
from dicomzarr.arrays.selection import plan_orthogonal, plan_selection
from dicomzarr.dicom.instance import FrameRef, Instance
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.dicom.slide.tiling import FramePositions, FullTiling, SparseTiling, TileGrid, sparse_tiling
from dicomzarr.errors import TilingError
from dicomzarr.omezarr.keys import SEPARATOR, ChunkKeys
from dicomzarr.plan import LevelPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.engine.readahead import Block

quick = settings(max_examples=examples(60), deadline=None, database=None)

SOMEWHERE = Instance(
    "1.2.3", 1000, PixelDescription(4, 3, 1, 16, 16, 15, signed=False, photometric_interpretation="MONOCHROME2")
)


@dataclass(frozen=True)
class Frames:
    """Both the index and the source of a level's frames, which are cut from an array in memory."""

    pixels: np.ndarray[Any, Any]
    chunks: tuple[int, ...]
    absent: frozenset[tuple[int, ...]] = frozenset()

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(-(-size // chunk) for size, chunk in zip(self.pixels.shape, self.chunks, strict=True))

    def follow(self, level: LevelPlan, block: Block) -> None:
        """Nothing is far from here."""

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        if chunk in self.absent:
            return None
        number = int(np.ravel_multi_index(chunk, self.grid)) + 1
        return FrameRef(SOMEWHERE, number)

    async def deliver(
        self, frames: Sequence[FrameRef], place: Callable[[int, Any], None], _level: LevelPlan, *, planes: bool
    ) -> None:
        assert planes
        assert len({frame.number for frame in frames}) == len(frames)
        for position, frame in enumerate(frames):
            indices = np.unravel_index(frame.number - 1, self.grid)
            start = [int(index) * chunk for index, chunk in zip(indices, self.chunks, strict=True)]
            cut = self.pixels[tuple(slice(at, at + chunk) for at, chunk in zip(start, self.chunks, strict=True))]
            widths = [(0, chunk - size) for chunk, size in zip(self.chunks, cut.shape, strict=True)]
            chunk = np.pad(cut, widths, constant_values=77)
            place(position, chunk.reshape(-1, *self.chunks[-2:]))  # decoded frames are (samples, rows, columns)


@dataclass(frozen=True)
class Memory:
    """A level in memory, and what NumPy has to show of it."""

    level: LevelPlan
    frames: Frames
    expected: np.ndarray[Any, Any]

    def __getitem__(self, index: Any) -> Any:
        return read_level(self.frames, self.level, [index])[0]  # type: ignore[arg-type]  # as much of a source as it takes

    def orthogonal(self, index: Any) -> Any:
        return read_orthogonal(self.frames, self.level, index)  # type: ignore[arg-type]  # as above


def memory(shape: tuple[int, ...], chunks: tuple[int, ...], absent: tuple[int, ...], seed: int = 0) -> Memory:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 1000, shape, np.uint16)
    everything = Frames(pixels, chunks)
    holes = frozenset(chunk for chunk in np.ndindex(everything.grid) if random.random() < 0.2)
    frames = Frames(pixels, chunks, holes)
    expected = pixels.copy()
    for hole in holes:
        region = tuple(slice(at * chunk, (at + 1) * chunk) for at, chunk in zip(hole, chunks, strict=True))
        expected[region] = np.array(absent, np.uint16).reshape(-1, *[1] * (len(shape) - 1))
    still = (0.0,) * len(shape)
    return Memory(LevelPlan(shape, chunks, pixels.dtype, still, still, absent, 0, frames), frames, expected)


# Where a stride passes chunks over, they are no run that could be read ahead.
@pytest.mark.parametrize(
    ("index", "box"),
    [
        ((0, slice(None), slice(None)), ((0, 0, 0), (1, 4, 4))),
        ((slice(None), slice(10, 30), slice(25, None)), ((0, 1, 2), (3, 2, 2))),
        ((0, slice(None, None, 10), slice(None, None, -7)), ((0, 0, 0), (1, 4, 4))),
        ((0, slice(3, 9, 40), slice(None)), ((0, 0, 0), (1, 1, 4))),
        ((0, slice(None, None, 11), slice(None)), None),
        ((0, slice(4), slice(None, None, 20)), None),
        ((slice(None, None, 2), slice(4), slice(4)), None),
        ((0, slice(None), slice(None, None, -20)), None),
        ((0, [1, 2], slice(None)), None),
        ((0, slice(0), slice(None)), None),
    ],
)
def test_runs_of_chunks(index: Any, box: Any) -> None:
    assert plan_selection(index, (3, 40, 40), (1, 10, 10)).box == box


LEVELS = {
    "colour": memory((3, 9, 10), (3, 4, 3), (1001, 1002, 1003)),
    "channels_and_planes": memory((2, 3, 9, 7), (1, 1, 4, 4), (1001,)),
    "one_tile_larger_than_the_level": memory((5, 6), (8, 8), (1001,), seed=1),
}


def same(found: Any, wanted: Any) -> bool:
    return (
        type(found) is type(wanted)
        and found.shape == wanted.shape
        and found.dtype == wanted.dtype
        and bool(np.array_equal(found, wanted))
    )


@pytest.mark.parametrize("name", LEVELS)
@quick
@given(data=st.data())
def test_basic_indices(name: str, data: st.DataObject) -> None:
    level = LEVELS[name]
    index = data.draw(hnp.basic_indices(level.expected.shape, allow_newaxis=True, max_dims=6))
    assert same(level[index], level.expected[index])


@pytest.mark.parametrize("name", LEVELS)
@quick
@given(data=st.data())
def test_integer_arrays(name: str, data: st.DataObject) -> None:
    level = LEVELS[name]
    index = data.draw(hnp.integer_array_indices(level.expected.shape))
    assert same(level[index], level.expected[index])


@pytest.mark.parametrize("name", LEVELS)
@quick
@given(data=st.data())
def test_boolean_masks(name: str, data: st.DataObject) -> None:
    level = LEVELS[name]
    dims = data.draw(st.integers(1, level.expected.ndim))
    mask = data.draw(hnp.arrays(np.bool_, level.expected.shape[:dims]))
    assert same(level[mask], level.expected[mask])


@pytest.mark.parametrize("name", LEVELS)
@quick
@given(data=st.data())
def test_mixed_indices(name: str, data: st.DataObject) -> None:
    level = LEVELS[name]
    count = data.draw(st.integers(1, 3))
    index = tuple(
        data.draw(
            st.one_of(
                st.integers(-size, size - 1),
                st.slices(size),
                st.lists(st.integers(-size, size - 1), min_size=count, max_size=count),
                hnp.arrays(np.bool_, (size,), fill=st.just(value=False)).filter(lambda mask: mask.sum() == count),
            )
            if size > 3
            else st.one_of(st.integers(-size, size - 1), st.slices(size))
        )
        for size in level.expected.shape
    )
    assert same(level[index], level.expected[index])


@st.composite
def odd_indices(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Whatever NumPy takes at once: integers, slices, arrays that broadcast, masks, new axes, truth values."""
    count = draw(st.integers(0, 3))
    items: list[Any] = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        positions = st.integers(-size, size - 1)
        arrays = st.sampled_from([(), (count,), (1,), (2, count), (2, 1)]).flatmap(
            lambda dims, positions=positions: hnp.arrays(np.int8, dims, elements=positions)  # type: ignore[misc]  # of this turn
        )
        items.append(draw(st.one_of(positions, st.slices(size), arrays)))
    for extra in draw(st.lists(st.sampled_from([None, True, False]), max_size=2)):
        items.insert(draw(st.integers(0, len(items))), extra)
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), ...)
    return tuple(items)


@pytest.mark.parametrize("name", LEVELS)
@quick
@given(data=st.data())
def test_whatever_numpy_takes_at_once(name: str, data: st.DataObject) -> None:
    level = LEVELS[name]
    index = data.draw(odd_indices(level.expected.shape))
    try:
        wanted = level.expected[index]
    except IndexError:
        with pytest.raises(IndexError):
            level[index]
    else:
        assert same(level[index], wanted)


# --- each axis on its own ---


def orthogonally(pixels: Any, index: tuple[Any, ...]) -> Any:
    """An orthogonal index, axis by axis from the last, so that integers move no axis still to come."""
    for axis in reversed(range(len(index))):
        pixels = pixels[(*(slice(None) for _ in range(axis)), index[axis])]
    return pixels


def axis_indices(size: int) -> st.SearchStrategy[Any]:
    positions = st.integers(-size, size - 1)
    return st.one_of(
        positions,
        positions.map(np.int64),
        st.slices(size),
        st.lists(positions, max_size=2 * size),
        hnp.arrays(np.intp, st.integers(0, size), elements=positions),
        hnp.arrays(np.bool_, size),
    )


@pytest.mark.parametrize("name", LEVELS)
@quick
@given(data=st.data())
def test_orthogonal_indices(name: str, data: st.DataObject) -> None:
    level = LEVELS[name]
    index = tuple(data.draw(axis_indices(size)) for size in level.expected.shape)
    found = level.orthogonal(index)
    assert same(found, orthogonally(level.expected, index))
    if all(isinstance(item, list | np.ndarray) for item in index):
        arrays = [np.asarray(item, bool if len(item) and np.asarray(item).dtype == bool else int) for item in index]
        assert np.array_equal(found, level.expected[np.ix_(*arrays)])


@quick
@given(data=st.data())
def test_orthogonal_plans_touch_only_the_chunks_they_need(data: st.DataObject) -> None:
    level = LEVELS["channels_and_planes"]
    index = tuple(data.draw(axis_indices(size)) for size in level.expected.shape)
    plan = plan_orthogonal(index, level.expected.shape, level.frames.chunks)
    chunks = [piece.chunk for piece in plan.pieces]
    assert len(set(chunks)) == len(chunks)
    each = [
        np.unique(np.atleast_1d(np.arange(size)[item]) // chunk) if not isinstance(item, list) or item else np.array([])
        for size, item, chunk in zip(level.expected.shape, index, level.frames.chunks, strict=True)
    ]
    assert len(chunks) == math.prod(len(numbers) for numbers in each)


@pytest.mark.parametrize(
    "index", [(0, 0, 0, 0), (3,), (0, [9]), ([[0, 1]],), (np.ones((3, 9), np.bool_),), (True,), ([0.5],), ("x",)]
)
def test_impossible_orthogonal_indices(index: Any) -> None:
    with pytest.raises(IndexError):
        LEVELS["colour"].orthogonal(index)


LARGE = ((3, 10**9, 10**9), (3, 512, 512))
"""Shape and chunks of a level of which nobody can hold a plane."""


@pytest.mark.parametrize(
    ("plan", "index", "pieces"),
    [
        (plan_selection, ([0, 1, 2], slice(1024), slice(1024)), 4),
        (plan_selection, (0, slice(1024), [5, 10**9 - 1]), 4),
        (plan_selection, (slice(None), [5, 600, 7], [9, 10, 10**9 - 1]), 3),
        (plan_selection, (np.array([True, False, True]), slice(0, 10**9, 10**8)), None),
        (plan_selection, False, 0),
        (plan_orthogonal, ([2, 0], slice(1024), [1, 10**9 - 1]), 4),
        (plan_orthogonal, (0, np.arange(0, 10**9, 10**6), [1]), 1000),
    ],
)
def test_plans_spell_out_no_slices(plan: Callable[..., Any], index: Any, pieces: int | None) -> None:
    tracemalloc.start()
    try:
        planned = plan(index, *LARGE)
        if pieces is not None:
            assert len(list(planned.pieces)) == pieces
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4e6  # two for a thousand pieces, and what other threads do meanwhile


@quick
@given(data=st.data())
def test_many_regions_in_one_plan(data: st.DataObject) -> None:
    level = LEVELS["colour"]
    regions = data.draw(st.lists(hnp.basic_indices(level.expected.shape), max_size=4))
    found = read_level(level.frames, level.level, regions)  # type: ignore[arg-type]  # as much of a source as it takes
    assert len(found) == len(regions)
    assert all(same(one, level.expected[region]) for one, region in zip(found, regions, strict=True))


@pytest.mark.parametrize(
    "index",
    [
        [], [[0, 1], [1, 0]], True, False, np.bool_(1), np.array(1, np.bool_), np.array(2), np.int8(-1),
        range(2), (range(2), [1, 8]),
        ((0, 1), slice(None), 3), (..., [0, 1], None), (slice(None), np.zeros((2, 2), np.uint8), slice(None, None, -2)),
        ([0], slice(None), [1]), np.zeros((3, 9, 10), np.bool_), (None, ..., None), (slice(5, 1), 0), (),
    ],
)  # fmt: skip
def test_odd_indices(index: Any) -> None:
    level = LEVELS["colour"]
    assert same(level[index], level.expected[index])


@pytest.mark.parametrize(
    "index",
    [
        3, -4, (0, 9), (0, 0, -11), (0, 0, 0, 0), 1.0, "x", (..., ...), ([0, 3],), (0, [9]), (slice(None), 1j),
        np.zeros((2, 9), np.bool_),
    ],
)  # fmt: skip
def test_impossible_indices_are_numpys_errors(index: Any) -> None:
    level = LEVELS["colour"]
    with pytest.raises(IndexError):
        level.expected[index]
    with pytest.raises(IndexError):
        level[index]


@quick
@given(data=st.data())
def test_plans_touch_only_the_chunks_they_need(data: st.DataObject) -> None:
    level = LEVELS["channels_and_planes"]
    index = data.draw(
        st.one_of(hnp.basic_indices(level.expected.shape), hnp.integer_array_indices(level.expected.shape))
    )
    marks = np.arange(math.prod(level.frames.grid)).reshape(level.frames.grid)
    for axis, chunk in enumerate(level.frames.chunks):
        marks = marks.repeat(chunk, axis)
    marks = marks[tuple(slice(size) for size in level.expected.shape)]
    chunks = [piece.chunk for piece in plan_selection(index, level.expected.shape, level.frames.chunks).pieces]
    assert len(set(chunks)) == len(chunks)
    assert {int(np.ravel_multi_index(chunk, level.frames.grid)) for chunk in chunks} == set(
        np.unique(marks[index]).tolist()
    )


# --- keys ---


both_formats = pytest.mark.parametrize("keys", [ChunkKeys("c"), ChunkKeys("")], ids=["v3", "v2"])


@both_formats
@quick
@given(indices=st.lists(st.integers(0, 10**18 - 1), min_size=1, max_size=5))
def test_every_chunk_has_one_key(keys: ChunkKeys, indices: list[int]) -> None:
    key = keys.key(tuple(indices))
    assert key.split(SEPARATOR) == [*([keys.prefix] if keys.prefix else []), *map(str, indices)]
    assert keys.parse(key.split(SEPARATOR)) == tuple(indices)


@both_formats
@quick
@given(segments=st.lists(st.text("0123456789 +-_.e٣²xc", max_size=21), min_size=1, max_size=4))
def test_a_key_is_only_what_we_would_spell(keys: ChunkKeys, segments: list[str]) -> None:
    for below in (segments, [keys.prefix, *segments]):
        indices = keys.parse(below)
        if indices is not None:
            assert keys.key(indices) == SEPARATOR.join(below)


@pytest.mark.parametrize("segment", ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "٣", "²", "1e3", "9" * 25])
def test_other_spellings_are_no_keys(segment: str) -> None:
    assert ChunkKeys("c").parse(["c", "0", segment]) is None
    assert ChunkKeys("").parse(["0", segment]) is None


# --- tilings ---

sizes = st.integers(1, 5)


@quick
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), tile=st.tuples(sizes, sizes), paths=sizes, planes=sizes)
def test_full_tilings_number_every_tile_once(
    rows: int, columns: int, tile: tuple[int, int], paths: int, planes: int
) -> None:
    grid = TileGrid(rows, columns, *tile)
    tiling = FullTiling(grid, paths, planes)
    places = np.ndindex(paths, planes, grid.rows, grid.columns)
    # PS3.3 section C.7.6.17.3: columns fastest, then rows, focal planes, optical paths.
    assert [tiling.frame(*place) for place in places] == list(range(1, tiling.frame_count + 1))
    assert (grid.rows - 1) * tile[0] < rows <= grid.rows * tile[0]
    assert (grid.columns - 1) * tile[1] < columns <= grid.columns * tile[1]


@quick
@given(data=st.data(), rows=sizes, columns=sizes, paths=st.integers(1, 3), planes=st.integers(1, 3))
def test_sparse_tilings_find_each_frame_where_it_says(
    data: st.DataObject, rows: int, columns: int, paths: int, planes: int
) -> None:
    shape = (paths, planes, rows, columns)
    ordinals = data.draw(st.lists(st.integers(0, math.prod(shape) - 1), unique=True, min_size=1))
    places = [tuple(int(at) for at in np.unravel_index(ordinal, shape)) for ordinal in ordinals]
    tiling = sparse(places, shape)
    frames = {place: number for number, place in enumerate(places, start=1)}
    for place in np.ndindex(shape):
        assert tiling.frame(*place) == frames.get(place)


@quick
@given(data=st.data(), rows=sizes, columns=sizes)
def test_one_tile_twice_is_refused(data: st.DataObject, rows: int, columns: int) -> None:
    shape = (1, 1, rows, columns)
    place = (0, 0, data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1)))
    with pytest.raises(TilingError, match="frames 1 and 2"):
        sparse([place, place], shape)


@pytest.mark.parametrize("first", [1, 2**31 - 1, 2**32])
def test_numbers_of_frames_keep_their_bits(first: int) -> None:
    tiling = sparse([(0, 0, 0, 1), (0, 0, 0, 0)], (1, 1, 1, 2), first)
    assert tiling.frame(0, 0, 0, 1) == first
    assert tiling.frame(0, 0, 0, 0) == first + 1


def sparse(places: Sequence[tuple[int, ...]], shape: tuple[int, ...], first: int = 1) -> SparseTiling:
    """A tiling of tiles of 4 x 6 pixels, its frames at these places in this order."""
    paths, plane_of_frame, rows, columns = np.array(places, np.int64).T
    positions = FramePositions(rows * 4 + 1, columns * 6 + 1, np.zeros(len(places)), paths)
    return sparse_tiling(
        TileGrid(shape[2] * 4 - 1, shape[3] * 6 - 2, 4, 6),
        positions,
        plane_of_frame,
        paths=shape[0],
        planes=shape[1],
        first_frames=np.arange(first, first + len(places)),
    )

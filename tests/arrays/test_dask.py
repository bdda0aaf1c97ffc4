"""Dask, pickles and other processes: lazy arrays that travel by URL."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import fsspec
import numpy as np
import pytest
import slides
import xarray as xr
import zarr
from dask.base import tokenize
from radiology_opened import Opener
from radiology_volumes import volume
from serving import GREY, is_right, run_python, serving, serving_big, serving_elsewhere
from waiting import BUSY, SECONDS

import dicomzarr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.engine import reader
from dicomzarr.errors import UsageError
from dicomzarr.runtime.pools import DECODERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slides_model import Pixels

PYRAMID = slides.brightfield_pyramid()
"""Level 0 is 200 x 257 pixels in tiles of 64: 4 x 5 frames."""
PIXELS = PYRAMID.levels[0].pixels[:, 0]


@pytest.fixture
def url() -> Iterator[str]:
    with serving(PYRAMID) as served:
        yield served.url


# --- building ---


def test_a_slide_of_200_000_tiles_is_built_at_once() -> None:
    with serving_big("full") as (server, url):
        level = dicomzarr.open(url).levels[0]
        start = time.process_time()
        array: Any = level.to_dask()
        assert time.process_time() - start < 1.0 * BUSY
        assert np.prod([-(-size // tile) for size, tile in zip(level.shape, level.chunks, strict=True)]) > 199_000
        assert array.npartitions < 15_000
        assert array.shape == level.shape
        assert array.dtype == level.dtype
        assert server.requests == server.requests[:1]
        corner = array[:, :100, -100:].compute()
        assert (corner == GREY).all()
        assert len(server.requests) == 2


BLOCKS: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "auto": ("auto", ((3,), (200,), (257,))),
    "one": (-1, ((3,), (200,), (257,))),
    "frames": ((3, 64, 64), ((3,), (64, 64, 64, 8), (64, 64, 64, 64, 1))),
    "a number": (128, ((3,), (128, 72), (128, 128, 1))),
    "whole along an axis": ((3, 64, -1), ((3,), (64, 64, 64, 8), (257,))),
    "none for whole": ((None, None, 128), ((3,), (200,), (128, 128, 1))),
    "by axis": ({1: 128, 2: 64}, ((3,), (128, 72), (64, 64, 64, 64, 1))),
    "by name": ({"y": 128, "x": 64}, ((3,), (128, 72), (64, 64, 64, 64, 1))),
    "lists": (((3,), (100, 100), (257,)), ((3,), (100, 100), (257,))),
    "each colour": ((1, 200, 257), ((1, 1, 1), (200,), (257,))),
}
"""The argument, and the blocks of a level of (3, 200, 257) in frames of 64."""


@pytest.mark.parametrize(("chunks", "blocks"), BLOCKS.values(), ids=BLOCKS)
def test_chunks_as_dask_takes_them(url: str, chunks: Any, blocks: tuple[tuple[int, ...], ...]) -> None:
    array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=chunks)
    assert array.chunks == blocks
    assert (array.compute() == PIXELS).all()


@pytest.mark.parametrize("axis", ["z", "rows", 3])
def test_blocks_along_an_axis_that_is_not_there_are_refused(url: str, axis: str | int) -> None:
    with pytest.raises(UsageError, match="The axes are c, y, x"):
        dicomzarr.open(url).to_dask({axis: 64})


@pytest.mark.parametrize("chunks", ["auto", ("auto", "auto", "auto"), (3, "auto", "auto"), "3 MiB"])
def test_blocks_are_whole_frames(chunks: Any) -> None:
    with serving_big("small tiles") as (_, url):
        level = dicomzarr.open(url).levels[0]
        blocks = level.to_dask(chunks=chunks).chunks
    for sizes, frame in zip(blocks, level.chunks, strict=True):
        borders = np.cumsum(sizes)[:-1]
        assert (borders % frame == 0).all()
    if chunks == "auto":
        assert max(blocks[1]) == max(blocks[2]) == 2048


@pytest.mark.parametrize(
    ("shape", "sizes"), [((40, 512, 512), (16, 16, 8)), ((9, 16, 20), (9,)), ((3, 2048, 2048), (1, 1, 1))]
)
def test_blocks_of_volumes_hold_slices(shape: tuple[int, int, int], sizes: tuple[int, ...]) -> None:
    series = volume(pixels=np.zeros(shape, np.uint16), name=f"blocks of {shape}")
    with Opener() as opened:
        level = opened(series).levels[0]
        array: Any = level.to_dask()
        assert array.chunks == (sizes, shape[1:2], shape[2:])
        assert array[shape[0] - 1].compute().shape == shape[1:]
        assert opened.count("frames") == 1


def test_a_block_is_read_in_one_plan() -> None:
    with serving(PYRAMID) as served:
        array: Any = dicomzarr.open(served.url).levels[0].to_dask(chunks=(3, 128, 257))
        assert is_right(array.compute(), PYRAMID.levels[0])
        assert sorted(served.frames_asked()) == list(range(1, 21))
        assert served.count() == 2


def test_a_slice_of_a_dask_array_reads_no_more_than_its_frames() -> None:
    with serving(PYRAMID) as served:
        array: Any = dicomzarr.open(served.url).levels[0].to_dask()
        tile = array[:, 64:128, 64:128].compute()
        assert (tile == PIXELS[:, 64:128, 64:128]).all()
        assert served.frames_asked() == [7]


# --- names ---


def name_of(url: str) -> str:
    name: str = dicomzarr.open(url).levels[0].to_dask().name
    return name


def test_two_opens_have_one_name_here_and_elsewhere(url: str, elsewhere: ProcessPoolExecutor) -> None:
    level = dicomzarr.open(url).levels[0]
    name = level.to_dask().name
    assert dicomzarr.open(url + "/").levels[0].to_dask().name == name
    assert dicomzarr.open(url + ".zarr", timeout=5).levels[0].to_dask().name == name
    assert dicomzarr.open(url.replace("dicomweb://", "http://")).levels[0].to_dask().name == name
    assert elsewhere.submit(name_of, url).result(SECONDS) == name
    assert tokenize(level) == tokenize(dicomzarr.open(url).levels[0])


def test_other_levels_images_and_blocks_have_other_names(url: str) -> None:
    image = dicomzarr.open(url)
    arrays = [
        *(level.to_dask() for level in image.levels),
        image.levels[0].to_dask(chunks=(3, 64, 64)),
        image.associated["overview"].levels[0].to_dask(),
    ]
    names = {array.name for array in arrays}
    assert len(names) == len(arrays)


# --- computing ---


def test_a_mean_is_right(url: str) -> None:
    array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=(3, 64, 64))
    assert array.mean(axis=(1, 2)).compute() == pytest.approx(PIXELS.mean(axis=(1, 2)))


@pytest.mark.skipif(DECODERS.threads < 2, reason="one core")
@pytest.mark.parametrize("chunks", [(3, 64, 64), (3, 200, 257)], ids=["many blocks", "one block"])
def test_decoding_goes_on_on_two_cores(url: str, chunks: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two frames wait for each other inside the decoder: they meet only if both are decoded at once."""
    meeting = threading.Barrier(2, timeout=SECONDS)
    ticket = iter(range(20))

    def decode(*arguments: Any, **options: Any) -> Pixels:
        if next(ticket) < 2:
            meeting.wait()
        return decode_frame(*arguments, **options)

    monkeypatch.setattr(reader, "decode_frame", decode)
    array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=chunks)
    assert array.sum().compute(scheduler="threads", num_workers=2) == PIXELS.sum(dtype=np.int64)


def from_zarr(url: str) -> Any:
    return da.from_zarr(url, component="0")  # type: ignore[no-untyped-call]  # dask has no types here


def test_from_zarr_is_the_same(url: str) -> None:
    level: Any = dicomzarr.open(url).levels[0]
    array: Any = from_zarr(url)
    assert array.chunksize == level.chunks
    assert (array.compute() == level.to_dask().compute()).all()
    assert is_right(array.compute(), PYRAMID.levels[0])


REDUCE = """
import json
from pathlib import Path
import dask, dicomzarr

def memory(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024

level = dicomzarr.open(sys.argv[1]).levels[0]
array = level.to_dask()
before = memory("VmHWM")
with dask.config.set(scheduler="threads", num_workers=2):
    mean = float(array.mean().compute())
print(json.dumps({"mean": mean, "grown": memory("VmHWM") - before, "level": level.nbytes / 2**20}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_level_is_reduced_in_bounded_memory() -> None:
    with serving_elsewhere("moderate") as url:
        cost = run_python(REDUCE, url)
    assert cost["mean"] == pytest.approx(GREY)
    assert cost["level"] > 3 * 200
    assert cost["grown"] < 200


# --- other processes ---


def described(thing: Any) -> Any:
    """What an object that came by pickle reads, in whatever process."""
    if isinstance(thing, dicomzarr.Image):
        thing = thing.levels[0]
    if isinstance(thing, dicomzarr.Level):
        return thing[...]
    if isinstance(thing, zarr.Group):
        thing = thing["0"]
    if isinstance(thing, zarr.Array):
        return np.asarray(thing[...])
    if isinstance(thing, xr.DataTree):
        thing = thing["0"].to_dataset()
    if isinstance(thing, xr.Dataset):
        return thing["image"].to_numpy()
    if isinstance(thing, zarr.storage.FsspecStore):
        return np.asarray(zarr.open_array(thing, path="0", mode="r")[...])
    return thing.compute(scheduler="threads")


def value_at(fs: fsspec.AbstractFileSystem, key: str) -> bytes:
    value: bytes = fs.cat_file(key)
    return value


MADE: dict[str, Callable[[str], Any]] = {
    "Image": dicomzarr.open,
    "Level": lambda url: dicomzarr.open(url).levels[0],
    "dask array": lambda url: dicomzarr.open(url).levels[0].to_dask(chunks=(3, 64, 64)),
    "FsspecStore": lambda url: zarr.storage.FsspecStore.from_url(url, read_only=True),
    "zarr group": lambda url: zarr.open_group(url, mode="r"),
    "zarr array": lambda url: zarr.open_array(url + "/0", mode="r"),
    "from_zarr": from_zarr,
    "DataTree": lambda url: dicomzarr.open(url).to_xarray(),
    "Dataset": lambda url: xr.open_dataset(url, engine="dicomzarr"),
    "Dataset in blocks": lambda url: xr.open_dataset(url, engine="dicomzarr", chunks={}),
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """One process that was spawned and shares nothing with this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_it_travels_by_pickle_and_reads_elsewhere(
    url: str, make: Callable[[str], Any], elsewhere: ProcessPoolExecutor
) -> None:
    thing = make(url)
    assert len(pickle.dumps(thing)) < 100_000
    assert (described(pickle.loads(pickle.dumps(thing))) == PIXELS).all()  # noqa: S301  # our own
    assert (elsewhere.submit(described, thing).result(SECONDS) == PIXELS).all()


def test_a_filesystem_travels_by_pickle(url: str, elsewhere: ProcessPoolExecutor) -> None:
    fs, path = fsspec.url_to_fs(url)
    here = fs.cat_file(f"{path}/0/c/0/1/1")
    assert elsewhere.submit(value_at, fs, f"{path}/0/c/0/1/1").result(SECONDS) == here
    assert np.frombuffer(here, np.uint8).reshape(3, 64, 64).tolist() == PIXELS[:, 64:128, 64:128].tolist()


@pytest.mark.slow
def test_dask_in_processes(url: str, elsewhere: ProcessPoolExecutor) -> None:
    array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=(3, 128, 128))
    total = array.sum().compute(scheduler="processes", pool=elsewhere)
    assert total == PIXELS.sum(dtype=np.int64)

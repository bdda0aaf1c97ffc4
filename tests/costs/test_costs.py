"""What reading costs: requests, CPU and memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folders
import fsspec
import numpy as np
import pytest
import slides
import xarray as xr
import zarr
from faults import delay
from radiology_model import distinct
from radiology_multiframe import enhanced_volume
from radiology_volumes import VOLUME, volume
from serving import GREY, is_right, run_python, serving, serving_big, serving_elsewhere, zarr_level
from waiting import BUSY, SECONDS

import dicomzarr
from dicomzarr.dicom.model import image_model, json_model
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.engine import ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slides_model import Pixels

    from dicomzarr.dicom.model.image_model import ImageItem

PYRAMID = slides.brightfield_pyramid()
"""Level 0 is 200 x 257 pixels in tiles of 64: 4 x 5 frames."""


# --- requests ---


def _with_dicomzarr(url: str) -> object:
    image = dicomzarr.open(url)
    return [(level.shape, level.scale) for level in image.levels], image.associated, repr(image)


def _with_zarr(url: str) -> object:
    group = zarr.open_group(url, mode="r")
    return group.attrs.asdict(), [array.shape for _, array in group.arrays()]


def _with_fsspec(url: str) -> object:
    fs, path = fsspec.url_to_fs(url)
    return fs.ls(path), fs.cat_file(f"{path}/zarr.json"), fs.info(f"{path}/0/c/0/0/0"), fs.exists(f"{path}/9")


def _with_xarray(url: str) -> object:
    return repr(xr.open_datatree(url, engine="dicomzarr"))


@pytest.mark.parametrize("opened", [_with_dicomzarr, _with_zarr, _with_fsspec, _with_xarray])
def test_opening_takes_one_request(opened: Callable[[str], object]) -> None:
    with serving(PYRAMID) as served:
        opened(served.url)
        assert [request.resource for request in served.server.requests] == ["metadata"]
        opened(served.url)
        assert len(served.server.requests) == 1


@pytest.mark.parametrize("series", [PYRAMID, volume()])
def test_opening_counts_and_decodes_metadata_once(series: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For whether they say enough, for instances and images, for the patient, and to count them for the disk."""
    decoded: list[bytes] = []
    sized: list[bytes] = []

    def counted(body: bytes, *told: Any) -> list[ImageItem]:
        decoded.append(body)
        return decode_instances(body, *told)

    monkeypatch.setattr(ports, "decode_instances", counted)
    monkeypatch.setattr(ports, "check_size", lambda body, _limits: sized.append(body))
    with serving(series) as served:
        dicomzarr.open(served.url, include_phi=True, cache_dir=str(tmp_path / "cache"))
    assert len(decoded) == 1
    assert sized == [b"[]", decoded[0]]


def test_functional_groups_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those of the first frame, which are looked at beforehand for the size of pixels."""
    frames, decoded = 12, []
    batches = json_model.batches

    def counted(*arguments: Any) -> Iterator[Any]:
        for batch in batches(*arguments):
            decoded.append(len(batch))
            yield batch

    monkeypatch.setattr(json_model, "batches", counted)
    monkeypatch.setattr(image_model, "batches", counted)
    with serving(enhanced_volume(distinct((frames, 8, 10)))) as served:
        assert dicomzarr.open(served.url, include_phi=True).levels[0].shape == (frames, 8, 10)
    assert frames <= sum(decoded) <= frames + 1


def test_sixteen_threads_that_read_one_tile_fetch_it_once() -> None:
    with serving(PYRAMID, delay(0.05, on="frames")) as served:
        level = dicomzarr.open(served.url).levels[0]
        start = threading.Barrier(16, timeout=SECONDS)
        tiles: list[Pixels] = []

        def read() -> None:
            start.wait()
            tiles.append(level[:, 64:128, 64:128])

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = PYRAMID.levels[0].pixels[:, 0, 64:128, 64:128]
        assert len(tiles) == 16
        assert all((tile == expected).all() for tile in tiles)
        assert served.frames_asked() == [7]


def test_a_large_region_takes_few_requests_and_the_second_time_none() -> None:
    """4096 x 4096 pixels in frames of 256: 256 frames."""
    with serving_big("small tiles") as (server, url):
        level = dicomzarr.open(url).levels[0]
        del server.requests[:]
        pixels = level[:, 256:4352, 256:4352]
        assert pixels.shape == (3, 4096, 4096)
        assert (pixels == GREY).all()
        frames = [request.path.rpartition("/")[2].split(",") for request in server.requests]
        assert len(frames) <= 16
        assert sorted(int(number) for numbers in frames for number in numbers) == sorted(
            row * 20 + column + 1 for row in range(1, 17) for column in range(1, 17)
        )
        del server.requests[:]
        again = level[:, 256:4352, 256:4352]
        assert (again == GREY).all()
        assert server.requests == []


INDICES: dict[str, tuple[Any, set[int]]] = {
    "one pixel": (np.s_[:, 70, 200], {9}),
    "a row of pixels": (np.s_[0, 199], {16, 17, 18, 19, 20}),
    "four corners of frames": (np.s_[:, 63:65, 127:129], {2, 3, 7, 8}),
    "with steps over frames": (np.s_[1, ::128, ::128], {1, 3, 5, 11, 13, 15}),
    "negative": (np.s_[..., -1, -1], {20}),
    "backwards": (np.s_[:, 10:0:-1, 10], {1}),
    "nothing": (np.s_[:, 5:5], set()),
    "points": (np.s_[:, [0, 199], [0, 256]], {1, 20}),
    "a mask": (np.s_[:, np.arange(200) == 100], {6, 7, 8, 9, 10}),
}
"""NumPy indices, and the frames of a 4 x 5 grid that they touch."""


@pytest.mark.parametrize(("index", "frames"), INDICES.values(), ids=INDICES)
def test_an_index_fetches_the_frames_that_it_touches(index: Any, frames: set[int]) -> None:
    with serving(PYRAMID) as served:
        pixels = dicomzarr.open(served.url).levels[0][index]
        assert sorted(served.frames_asked()) == sorted(frames)
        assert (pixels == PYRAMID.levels[0].pixels[:, 0][index]).all()


@pytest.mark.parametrize(("index", "frames"), list(INDICES.values())[:4], ids=list(INDICES)[:4])
def test_zarr_fetches_the_frames_that_it_touches(index: Any, frames: set[int]) -> None:
    with serving(PYRAMID) as served:
        array = zarr_level(served.url)
        pixels = np.asarray(array[index])
        assert sorted(served.frames_asked()) == sorted(frames)
        assert (pixels == PYRAMID.levels[0].pixels[:, 0][index]).all()


def test_zarr_asks_for_lists() -> None:
    """zarr asks chunk by chunk, ten at a time: batches form behind it."""
    with serving(PYRAMID) as served:
        array = zarr_level(served.url)
        assert is_right(np.asarray(array[...]), PYRAMID.levels[0])
        assert sorted(served.frames_asked()) == list(range(1, 21))
        assert served.count() <= 11  # on a machine so busy that the second ten come one by one


def test_patches_are_read_in_one_plan() -> None:
    """Forty patches over the whole level, most of them across frames: no frame twice, few requests."""
    corners = np.random.default_rng(5).integers(0, (180, 230), (40, 2))
    regions = [np.s_[:, y : y + 20, x : x + 20] for y, x in corners.tolist()]
    with serving(PYRAMID) as served:
        patches = dicomzarr.open(served.url).levels[0].read(regions)
        asked = served.frames_asked()
        assert len(asked) == len(set(asked))
        assert served.count() <= 2
    for region, patch in zip(regions, patches, strict=True):
        assert (patch == PYRAMID.levels[0].pixels[:, 0][region]).all()


# --- CPU and memory of the client alone, in a process of its own ---

OPEN_SPARSE = """
import json, time
from pathlib import Path
import fsspec, zarr
import dicomzarr.arrays.image, dicomzarr.faces.fsspec.filesystem

def peak():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

memory, cpu = peak(), time.process_time()
image = dicomzarr.open(sys.argv[1])
seconds = time.process_time() - cpu
tile = image.levels[0][:, :256, :256]
group = zarr.open_group(sys.argv[1], mode="r")
print(json.dumps({
    "seconds": seconds, "megabytes": peak() - memory, "shape": image.levels[0].shape,
    "same": list(group["0"].shape) == list(image.levels[0].shape), "value": int(tile.max()),
}))
"""

IMPORT_COSTS = """
import json, time
start = time.process_time()
import zarr
zarrs = time.process_time() - start
start = time.process_time()
import dicomzarr
dicomzarr.open
print(json.dumps({
    "seconds": time.process_time() - start, "zarr": zarrs,
    "heavy": sorted({"aiohttp", "dask", "xarray"} & set(sys.modules)),
}))
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@pytest.mark.slow
@needs_proc
def test_a_sparse_slide_of_50_000_frames_opens_fast_and_small() -> None:
    with serving_elsewhere("sparse") as url:
        cost = run_python(OPEN_SPARSE, url)
    side = 256 * 250
    assert cost["shape"] == [3, side, side]
    assert cost["same"]
    assert cost["value"] in (GREY, 255)
    assert cost["seconds"] < 1.5 * BUSY
    assert cost["megabytes"] < 100


def test_importing_costs_little_beyond_zarr() -> None:
    for _ in range(3):
        cost = run_python(IMPORT_COSTS)
        assert cost["heavy"] == []
        # 0.6 seconds, or where others are busy on the same cores as many times as long as zarr itself.
        if cost["seconds"] < max(0.6, 1.7 * cost["zarr"]):
            return
    pytest.fail(f"Three times too much, at last {cost['seconds']} s.")


def test_asking_for_the_name_costs_nothing() -> None:
    """The package alone imports neither fsspec nor a codec."""
    script = """
import json, dicomzarr
print(json.dumps(sorted({"fsspec", "aiohttp", "imagecodecs", "numpy", "zarr"} & set(sys.modules))))
"""
    assert run_python(script) == []


def test_opening_files_loads_nothing_that_asks_servers(tmp_path: Path) -> None:
    """A folder opens in half a second more or less: what reads from servers would be a tenth of it."""
    folders.write(tmp_path, volume().datasets)
    script = """
import json, dicomzarr
image = dicomzarr.open(sys.argv[1])
asking = {"aiohttp", "dicomzarr.sources.dicomweb.client", "dicomzarr.sources.http.connection"}
print(json.dumps([image.levels[0].shape, sorted(asking & set(sys.modules))]))
"""
    assert run_python(script, str(tmp_path)) == [list(VOLUME.shape), []]

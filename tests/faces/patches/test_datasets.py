"""The data sets as a DataLoader reads them: PyTorch's own, where it is installed, else as that asks.

``python tests/adapters/run.py torch`` runs these tests with PyTorch.
"""

from __future__ import annotations

import gc
import importlib
import pickle
import pydoc
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fetched import frames_of
from folders import write
from slides_codecs import GRAY
from slides_instances import Identity, Level, OpticalPath, full_instance
from slides_pixels import noisy_color, noisy_gray
from torch_standin import loaded, trained_by
from waiting import SECONDS

import dicomzarr.patches
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.patches import PatchDataset, PatchStream, at_random, grid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dicomzarr.demo.server import DICOMwebServer
    from dicomzarr.patches import Patches

WORKERS = [
    (0, None),
    (1, "fork"),
    (2, "fork"),
    (2, "spawn"),
]
"""How many processes read, and how they begin."""


@pytest.fixture(scope="module")
def server() -> Iterator[DICOMwebServer]:
    with demo_server() as running:
        yield running


@pytest.fixture
def patches(server: DICOMwebServer) -> Patches:
    return at_random(dicomzarr.open(demo_url(server)), 50, 64, mpp=0.7)


def numbered(patches: Patches, **options: Any) -> PatchStream:
    """A stream of pairs: pixels, and the number of the patch."""
    return PatchStream(patches, targets=range(len(patches)), **options)


def flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


def numbers_of(batches: list[list[Any]]) -> list[list[int]]:
    return [[int(number) for _, number in batch] for batch in batches]


@pytest.mark.parametrize(("workers", "context"), WORKERS)
def test_a_data_set_gives_the_pixels_of_each_patch(patches: Patches, workers: int, context: str | None) -> None:
    batches = loaded(PatchDataset(patches, targets=patches.positions), 8, workers, context)
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
    found = [sample for batch in batches for sample in batch]
    for (pixels, position), at, expected in zip(found, patches.positions, patches.read(range(50)), strict=True):
        assert tuple(position) == tuple(at)
        np.testing.assert_array_equal(np.asarray(pixels), np.moveaxis(expected, -1, 0))


@pytest.mark.parametrize(("workers", "context"), WORKERS)
def test_a_stream_gives_each_patch_once_and_in_one_order_whatever_the_number_of_workers(
    patches: Patches, workers: int, context: str | None
) -> None:
    alone = numbers_of(loaded(numbered(patches, batch_size=8, seed=3), 8))
    batches = loaded(numbered(patches, batch_size=8, seed=3), 8, workers, context)
    assert numbers_of(batches) == alone
    assert sorted(flat(alone)) == list(range(50))
    for pixels, number in (sample for batch in batches for sample in batch):
        np.testing.assert_array_equal(np.asarray(pixels), np.moveaxis(patches.read([int(number)])[0], -1, 0))


@pytest.mark.parametrize("nodes", [2, 3])
def test_nodes_and_their_workers_share_an_epoch(patches: Patches, nodes: int) -> None:
    found = []
    for node in range(nodes):
        stream = numbered(patches, batch_size=4, node=(node, nodes))
        stream.set_epoch(2)
        batches = numbers_of(loaded(stream, 4, 2, "spawn"))
        assert len(stream) == sum(map(len, batches))
        found += flat(batches)
    assert sorted(found) == list(range(50))


def test_a_spawned_worker_belongs_to_the_node_that_sent_it(patches: Patches) -> None:
    stream = numbered(patches, batch_size=4, shuffle=False)
    with trained_by(1, 3):
        sent = pickle.dumps(stream)
        own = numbers_of(loaded(stream, 4))
    assert numbers_of(loaded(pickle.loads(sent), 4)) == own  # noqa: S301  # our own
    assert own[0] == [4, 5, 6, 7]


def test_epochs_differ_and_come_again(patches: Patches) -> None:
    stream = numbered(patches, batch_size=8)
    orders = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        orders.append(numbers_of(loaded(stream, 8)))
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]


def test_a_stream_that_is_not_shuffled_comes_as_it_is(patches: Patches) -> None:
    assert flat(numbers_of(loaded(numbered(patches, shuffle=False), 8))) == list(range(50))


def test_patches_of_several_slides_are_one_data_set(server: DICOMwebServer) -> None:
    image = dicomzarr.open(demo_url(server))
    several = [grid(image, 100)[:5], grid(image, 100, mpp=2.0)[:4], grid(image, 100, mpp=1.0)[:3]]
    dataset = PatchDataset(several)
    assert len(dataset) == 12
    expected = [pixels for patches in several for pixels in patches.read(range(len(patches)))]
    wanted = [11, 0, 6, 4, 5, -1, 8]
    for pixels, number in zip(dataset.__getitems__(wanted), wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(pixels), np.moveaxis(expected[number], -1, 0))
    assert sum(len(batch) for batch in loaded(PatchStream(several, batch_size=5), 5)) == 12


def level_of(count: int, bits: int, planes: int) -> Level:
    """Grey, or of fluorescence, with a path for each channel."""
    paths = tuple(OpticalPath(str(number), f"path {number}", 400.0 + number) for number in range(count))
    heights = tuple(0.001 * number for number in range(planes))
    pixels = noisy_gray(count, (count, planes, 60, 90), bits)
    return Level(pixels, (32, 32), codec=GRAY, bits=bits, paths=paths, z=heights)


SAMPLES = {
    "grey": level_of(1, 8, 1),
    "grey of 16 bits": level_of(1, 16, 1),
    "grey planes": level_of(1, 12, 3),
    "fluorescence": level_of(3, 12, 2),
    "five channels": level_of(5, 16, 1),
    "two colours": Level(
        np.concatenate([noisy_color(1, 60, 90), noisy_color(2, 60, 90)]),
        (32, 32),
        paths=(OpticalPath("1", "A"), OpticalPath("2", "B")),
    ),
    "colour planes": Level(
        np.concatenate([noisy_color(number, 60, 90) for number in range(3)], axis=1), (32, 32), z=(0.0, 0.001, 0.002)
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_patches_have_an_axis_of_samples_however_many_there_are(name: str, tmp_path: Path) -> None:
    level = SAMPLES[name]
    write(tmp_path, [full_instance(Identity(f"samples {name}", 1), level)])
    found = grid(dicomzarr.open(tmp_path), (16, 12), partial=False)
    middle = level.pixels[:, level.pixels.shape[1] // 2]
    expected = [middle[:, y : y + 12, x : x + 16] for x, y in found]
    for pixels, each in zip(found.read(slice(None)), expected, strict=True):
        np.testing.assert_array_equal(pixels, np.moveaxis(each, 0, -1), strict=True)
    sources = [PatchDataset(found), PatchStream(found, shuffle=False)]
    for samples in sources:
        for pixels, each in zip(samples, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(pixels), each, strict=True)
    means = grid(dicomzarr.open(tmp_path), 8, mpp=1.0).read([0])[0]  # twice as coarse as the slide
    blocks = middle[:, :16, :16].reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4))
    assert means.shape == (8, 8, len(middle))
    assert np.abs(np.moveaxis(means, -1, 0) - blocks).max() <= 0.5


def test_a_data_set_is_a_sequence_that_ends(patches: Patches) -> None:
    dataset = PatchDataset(patches)
    np.testing.assert_array_equal(np.asarray(dataset[-1]), np.asarray(dataset[49]))
    assert sum(1 for _ in dataset) == 50
    with pytest.raises(IndexError):
        dataset[50]


def test_each_sample_is_transformed(patches: Patches) -> None:
    dataset = PatchDataset(patches, transform=lambda pixels: np.asarray(pixels).mean(), targets=["tumour"] * 50)
    mean, label = dataset[3]
    assert mean == pytest.approx(patches.read([3])[0].mean())
    assert label == "tumour"


def test_no_frame_is_fetched_twice_within_a_batch() -> None:
    with demo_server() as server:
        dataset = PatchDataset(at_random(dicomzarr.open(demo_url(server), cache_bytes=0), 64, 224))
        dataset.__getitems__(range(64))
        fetched = frames_of(server)
    assert fetched
    assert len(fetched) == len(set(fetched))


def test_batches_are_read_ahead_and_no_further(patches: Patches, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first batch is in hand, as many as are wanted follow without being asked for."""
    begun: list[int] = []
    several = threading.Semaphore(0)
    read = type(patches).read

    def counted(self: Patches, numbers: Any, **options: Any) -> list[Any]:
        begun.append(int(numbers[0]))
        several.release()
        return read(self, numbers, **options)

    monkeypatch.setattr(type(patches), "read", counted)
    samples = iter(PatchStream(patches, batch_size=5, shuffle=False, prefetch=3))
    next(samples)
    for _ in range(4):
        assert several.acquire(timeout=SECONDS)
    assert sorted(begun) == [0, 5, 10, 15]
    assert not several.acquire(blocking=False)
    rest = sum(1 for _ in samples)
    assert rest == 49


@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize("kind", [PatchDataset, PatchStream])
def test_what_cannot_be_read_is_the_error_that_it_is(kind: Any) -> None:
    with demo_server() as server:
        found = grid(dicomzarr.open(demo_url(server)), 100)
        dataset = kind(found)
    with pytest.raises(DicomZarrError):
        loaded(dataset, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda patches: PatchDataset([patches][:0]), "no slide"),
        (lambda patches: PatchDataset([patches, grid(patches.image, 65)]), "64 x 64, 65 x 65"),
        (lambda patches: PatchDataset(patches, targets=[1, 2]), "2 targets"),
        (lambda patches: PatchStream(patches, batch_size=0), "0 was given for batch_size"),
        (lambda patches: PatchStream(patches, batch_size=8.5), "8.5 was given for batch_size"),
        (lambda patches: PatchStream(patches, prefetch=-1), "-1 was given for prefetch"),
        (lambda patches: PatchStream(patches, seed="a"), "'a' was given for seed"),
        (lambda patches: PatchStream(patches, seed=-1), "-1 was given for seed"),
        (lambda patches: PatchDataset(patches.image), "given was Image"),
        (lambda patches: PatchDataset([patches, patches.positions]), "given was list"),
        (lambda patches: PatchDataset(patches, targets=5), "5 as targets were given for 50"),
        (lambda patches: PatchStream(patches, targets=iter([1])), "iterator .* as targets were given for 50"),
        (lambda patches: PatchStream(patches, node=(3, 3)), r"\(3, 3\) was given for node"),
        (lambda patches: PatchStream(patches, node=(0, 0)), r"\(0, 0\) was given for node"),
        (lambda patches: PatchStream(patches, node=(-1, 3)), r"\(-1, 3\) was given for node"),
        (lambda patches: PatchStream(patches, node=3), r"3 was given for node.*rank, world size"),
        (lambda patches: PatchStream(patches, node=(1,)), r"\(1,\) was given for node"),
        (lambda patches: PatchStream(patches, node=(0, 1, 2)), r"\(0, 1, 2\) was given for node"),
        (lambda patches: PatchStream(patches, node=(0.5, 2)), r"\(0.5, 2\) was given for node"),
        (lambda patches: PatchStream(patches, node="12"), r"'12' was given for node"),
        (lambda patches: PatchStream(patches).set_epoch(-1), "-1 was given for epoch"),
        (lambda patches: PatchStream(patches).set_epoch(1.5), "1.5 was given for epoch"),
        (lambda patches: PatchStream(patches).set_epoch(None), "None was given for epoch"),
    ],
)
def test_what_cannot_be_meant_is_said(patches: Patches, make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(patches)


@pytest.mark.slow
def test_memory_is_flat(server: DICOMwebServer) -> None:
    """By the allocations of Python and NumPy, which no other process changes; with PyTorch, over 50 000 patches."""
    stream = PatchStream(at_random(dicomzarr.open(demo_url(server)), 8000, 16), batch_size=200)
    held = []
    tracemalloc.start()
    try:
        for number, _ in enumerate(stream, start=1):
            if number % 2000 == 0:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(held) == 4
    assert max(held[1:]) - held[0] < 16 * 200 * 3 * 16 * 16  # half of what all take


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "dicomzarr.faces.patches.datasets", raising=False)
    monkeypatch.delattr("dicomzarr.faces.patches.datasets")
    for kind in (UsageError, ImportError):
        with pytest.raises(kind, match="pip install torch"):
            from dicomzarr.patches import PatchStream  # noqa: F401, PLC0415


def test_without_pytorch_there_are_the_names_that_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    module = importlib.reload(dicomzarr.patches)
    try:
        assert sorted(module.__all__) == dir(module) == ["Patches", "at_random", "grid", "tissue_mask"]
        found: dict[str, object] = {}
        exec("from dicomzarr.patches import *", found)  # noqa: S102  # as users write it
        assert found["grid"] is module.grid
        assert "tissue_mask" in pydoc.render_doc(module)
    finally:
        monkeypatch.undo()
        importlib.reload(module)

"""The data sets of patches with PyTorch: the tests of the suite, the example, and what a stand-in cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.patches import PatchDataset, PatchStream, at_random

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr import Image

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20


def suite() -> None:
    """The tests that the suite runs with a stand-in."""
    tests = ROOT / "tests" / "faces" / "patches" / "test_datasets.py"
    plain = ["-n", "0", "--noconftest", "-p", "no:cacheprovider", "-q"]
    subprocess.run([sys.executable, "-m", "pytest", *plain, str(tests)], cwd=ROOT, check=True)  # noqa: S603  # our own


def example() -> None:
    """The example as its reader runs it."""
    script = ROOT / "examples" / "patches_for_training.py"
    printed = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True).stdout  # noqa: S603  # our own
    lines = printed.splitlines()
    assert lines == ["(64, 3, 224, 224) torch.uint8"] * 7 + ["(52, 3, 224, 224) torch.uint8"], printed


def collated(image: Image) -> None:
    """Batches are tensors of bytes, with their targets beside them."""
    patches = at_random(image, 10, (64, 48))
    pixels, positions = next(iter(DataLoader(PatchDataset(patches, targets=patches.positions), 10)))
    assert (pixels.shape, pixels.dtype) == ((10, 3, 48, 64), torch.uint8)
    assert positions.tolist() == patches.positions.tolist()


def epochs_of_lasting_workers(image: Image) -> None:
    """Workers that outlast an epoch hear which one comes."""
    for context in ("fork", "spawn"):
        stream = PatchStream(at_random(image, 40, 32), batch_size=4, targets=range(40))
        loader: Any = DataLoader(stream, 4, num_workers=2, persistent_workers=True, multiprocessing_context=context)
        orders = []
        for epoch in (0, 1, 0):
            stream.set_epoch(epoch)
            orders.append([number for _, numbers in loader for number in numbers.tolist()])
        assert orders[0] == orders[2] != orders[1], context
        assert all(sorted(order) == list(range(40)) for order in orders)
        assert len(loader) == 10


def flat_memory(image: Image) -> None:
    """50 000 patches leave no more behind than 10 000 do."""
    stream = PatchStream(at_random(image, 50_000, 224), batch_size=64)
    read = first = 0
    for batch in DataLoader(stream, 64):
        read += len(batch)
        if not first and read >= 10_000:  # as said above
            first = resident()
    last = resident()
    print(f"memory: {first / MEGABYTE:.0f} MiB after 10 000 patches, {last / MEGABYTE:.0f} after {read}")  # noqa: T201  # a command
    assert read == 50_000  # as above
    assert last - first < 32 * MEGABYTE


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Check one after another."""
    suite()
    example()
    with demo_server() as server:
        image = dicomzarr.open(demo_url(server))
        checks: list[Callable[[Image], None]] = [collated, epochs_of_lasting_workers, flat_memory]
        for check in checks:
            check(image)


if __name__ == "__main__":
    main()

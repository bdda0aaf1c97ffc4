"""A series in files that is opened again is as its files are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import radiology
from folders import write
from pydicom import dcmread

import dicomzarr
from dicomzarr.errors import EventLoopError
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from pathlib import Path


def test_files_that_changed_are_opened_anew(tmp_path: Path) -> None:
    paths = write(tmp_path, radiology.BUILDERS["volume"]().datasets)
    first = dicomzarr.open(tmp_path)
    kept = first.levels[0][...]
    other = dcmread(paths[1])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(paths[1])
    again, modality = dicomzarr.open(tmp_path), dicomzarr.open(tmp_path, values="modality")
    values = again.levels[0][...]
    assert sum(not np.array_equal(*pair) for pair in zip(kept, values, strict=True)) == 1
    assert modality.levels[0][...].shape == values.shape
    paths[0].unlink()
    assert dicomzarr.open(tmp_path).levels[0].shape[0] == len(paths) - 1
    np.testing.assert_array_equal(first.levels[0][...], kept)


def test_the_home_loop_never_waits_for_the_disk(tmp_path: Path) -> None:
    write(tmp_path, radiology.BUILDERS["volume"]().datasets)
    held = dicomzarr.open(tmp_path)
    assert held.levels[0].shape

    async def open_again() -> object:
        return dicomzarr.open(held.url).levels

    with pytest.raises(EventLoopError):
        run_sync(open_again)

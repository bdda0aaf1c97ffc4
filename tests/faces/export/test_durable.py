"""Copies are on the disk itself before an export says that it is done."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import slides
from serving import serving

import dicomzarr
from dicomzarr.errors import TargetError
from dicomzarr.faces.export import durable


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was synchronised, in this order."""
    found: list[Path] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(durable.os, "fsync", note)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the name of an open file")
@pytest.mark.parametrize("ending", ["zarr", "ozx", "ome.tif"])
def test_every_file_and_folder_of_a_copy_is_synchronised(
    ending: str, synced: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable.platform, "release", lambda: "5.7.19-generic")
    out = tmp_path / f"out.{ending}"
    with serving(slides.brightfield_pyramid()) as served:
        dicomzarr.export(served.url, out, images=[""], overwrite=True)
    assert {out, tmp_path, *out.rglob("*")} <= set(synced)
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has syncfs")
def test_a_file_system_on_a_disk_is_synchronised_as_a_whole_once_all_is_written(
    synced: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[set[Path]] = []

    def sync(path: Path) -> None:
        there.append(set(path.rglob("*")))
        real(path)

    real = durable._sync_file_system
    monkeypatch.setattr(durable, "_sync_file_system", sync)
    monkeypatch.setattr(durable.os, "major", lambda _: 8)
    with serving(slides.brightfield_pyramid()) as served:
        dicomzarr.export(served.url, tmp_path / "out.zarr")
    assert there == [set((tmp_path / "out.zarr").rglob("*"))]
    assert synced == [tmp_path]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has syncfs")
def test_what_the_file_system_could_not_write_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(durable, "_goes_at_once", lambda _: True)
    monkeypatch.setattr(durable.os, "open", lambda *_: 2**20)  # no descriptor
    monkeypatch.setattr(durable.os, "close", lambda _: None)
    with pytest.raises(TargetError, match="Bad file descriptor"):
        durable.settle(tmp_path)


@pytest.mark.parametrize("ending", ["zarr", "ozx", "ome.tif"])
def test_a_disk_that_does_not_take_it_is_an_error_and_the_export_goes_on(
    ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    with serving(slides.brightfield_pyramid()) as served:
        with monkeypatch.context() as patch:
            patch.setattr(durable, "_sync_file_system", full)
            patch.setattr(durable.os, "fsync", full)
            with pytest.raises(TargetError, match=r"No space left.* the same command goes on from there"):
                dicomzarr.export(served.url, tmp_path / f"out.{ending}", images=[""])
        done = dicomzarr.export(served.url, tmp_path / f"out.{ending}", images=[""])
        assert done.resumed == done.blocks

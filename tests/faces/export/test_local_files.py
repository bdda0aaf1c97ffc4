"""Files of chunks: whole, however little a call writes, in folders that lie apart on the disk where they can."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dicomzarr.faces.export import local_files

fcntl = pytest.importorskip("fcntl", reason="Windows has none")
KEYS = ("0/zarr.json", "0/c/0/0/0", "0/c/0/0/1", "0/c/0/1/0", "1/c/0/0/0", "2/c/0/0", "2/c/1/0", "2/c/1/1", "zarr.json")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the name of an open file")
def test_what_holds_several_folders_has_them_lie_apart_but_nothing_above_the_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flags: dict[Path, int] = {}

    def ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
        folder = Path(f"/proc/self/fd/{descriptor}").readlink()
        if request == local_files._SET_FLAGS:
            flags[folder] = int.from_bytes(argument, "little")
        return flags.get(folder, 0x80000).to_bytes(8, "little")  # extents

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    root = tmp_path / "out.zarr"
    for key in reversed(KEYS):
        local_files.write(str(root), key, b"data")
    assert flags == dict.fromkeys((root, root / "0/c/0", root / "2/c"), 0x80000 | local_files._TOP)


def test_a_file_system_that_cannot_do_so_takes_files_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def ioctl(*_: object) -> bytes:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    for key in KEYS:
        local_files.write(str(tmp_path), key, key.encode())
    assert [local_files.read(f"{tmp_path}/{key}") for key in KEYS] == [key.encode() for key in KEYS]


def test_a_file_is_whole_when_each_call_writes_a_part_and_holds_nothing_of_what_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    local_files.write(str(tmp_path), "chunk", bytes(range(200)))
    local_files.write(str(tmp_path), "chunk", memoryview(bytes(range(100))))
    assert local_files.read(f"{tmp_path}/chunk") == bytes(range(100))

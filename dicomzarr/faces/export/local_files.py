"""Many small files on a disk of this machine: each is one open, write and close, in folders that lie far apart."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    Data = bytes | bytearray | memoryview

_MODE: Final = 0o666
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)

_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
_TOP: Final = 0x00020000
"""``FS_IOC_GETFLAGS``, ``FS_IOC_SETFLAGS``, ``FS_TOPDIR_FL`` of Linux; where these are others, nothing happens."""


def write(root: str, key: str, data: Data) -> None:
    """Write a file below a folder, and make what is between if it is not there."""
    path = f"{root}/{key}"
    try:
        file = os.open(path, _NEW, _MODE)
    except FileNotFoundError:
        _make_folder(os.path.dirname(path), root)  # noqa: PTH120  # a Path takes longer
        file = os.open(path, _NEW, _MODE)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)


def read(path: str) -> bytes | FileNotFoundError:
    """Read a file; one that is not there gives the error."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # a Path takes longer
            return file.read()
    except FileNotFoundError as error:
        return error


def _make_folder(folder: str, root: str) -> None:
    """Make a folder at or below a root; one of several, as their numbers say, in a place of its own on the disk."""
    if folder == root:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103  # as above
        return
    above, name = os.path.split(folder)
    if not os.path.isdir(above):  # noqa: PTH112  # as above
        _make_folder(above, root)
    if name.isdecimal() and int(name) > 0:
        _spread(above)
    with suppress(FileExistsError):
        os.mkdir(folder)  # noqa: PTH102  # as above


def _spread(folder: str) -> None:
    """Have what is made in a folder lie far apart: the attribute T of ``chattr``, where a file system has it.

    ext4 puts new files of neighbouring folders into one group of blocks. Without a journal it looks there at each file
    that was deleted in the last minutes, whenever a file is made.
    """
    if sys.platform != "linux":
        return
    from fcntl import ioctl  # noqa: PLC0415  # Windows has none

    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flags = int.from_bytes(ioctl(descriptor, _GET_FLAGS, bytes(8)), sys.byteorder)
            if not flags & _TOP:
                ioctl(descriptor, _SET_FLAGS, (flags | _TOP).to_bytes(8, sys.byteorder))
        finally:
            os.close(descriptor)

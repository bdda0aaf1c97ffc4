"""What was written lies on the disk itself, and not in the memory of the system, before it is called done."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from dicomzarr.faces.export.failures import on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_THREADS: Final = 8
"""A disk puts together what several wait for."""

_TELLS_ERRORS: Final = (5, 8)
"""The first version of Linux whose ``syncfs`` says that something could not be written."""


def settle(path: Path) -> None:
    """Wait until a file, or all that is below a folder, and the entry of its name are on the disk.

    Raises:
        TargetError: The disk did not take it.
    """
    with on_disk("The target"):
        if path.is_dir() and _goes_at_once(path):
            _sync_file_system(path)
        else:
            with ThreadPoolExecutor(_THREADS, "dicomzarr-settle") as threads:
                for _ in threads.map(_sync, _below(path)):
                    pass
        _sync(str(path.parent))


def _goes_at_once(path: Path) -> bool:
    """Whether its file system can be synchronised as a whole: file by file a journal is written for each.

    Those without a disk of their own, of networks above all, hand on what is said of a file, and that alone.
    """
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    is_known = sys.platform == "linux" and version is not None and tuple(map(int, version.groups())) >= _TELLS_ERRORS
    return is_known and os.major(path.stat().st_dev) != 0


def _sync_file_system(path: Path) -> None:
    """``syncfs`` of Linux."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)


def _below(path: Path) -> Iterator[str]:
    """Files first, then the folders that name them."""
    if not path.is_dir():
        yield str(path)
        return
    folders = []
    for folder, _, names in os.walk(path):
        folders.append(folder)
        yield from (os.path.join(folder, name) for name in names)  # noqa: PTH118  # a Path for each takes longer
    yield from folders


def _sync(path: str) -> None:
    if os.name == "nt" and os.path.isdir(path):  # noqa: PTH112  # as above
        return  # folders cannot be opened there, and need not be
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

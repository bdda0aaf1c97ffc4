"""The files that are copied, which no target may be, or hold: overwriting it would remove them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.file_meta import ENOUGH, is_dicom
from dicomzarr.errors import UsageError
from dicomzarr.sources.files.urls import FolderURL, is_folder_url, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE: Final = "file://"


def spare_source(series_url: str, target: str) -> None:
    """Refuse a target that is, or holds, what a series is read from.

    Args:
        series_url: The series.
        target: A path, or a URL of fsspec.

    Raises:
        UsageError: It is.
    """
    if not is_folder_url(series_url):
        return
    source, target = place_of(FolderURL.parse(series_url).base), target.removeprefix(_FILE)
    if "://" in source or "://" in target:
        holds = f"{source.rstrip('/')}/".startswith(f"{target.rstrip('/')}/")
    else:
        own, other = Path(source).resolve(), Path(os.path.expanduser(target)).resolve()  # noqa: PTH111  # as fsspec has ~
        holds = other in {own, *own.parents} or (own in other.parents and any(map(_is_dicom, _files(other))))
    if holds:
        raise UsageError(
            "The target is, or holds, the files that are copied; they would be overwritten.",
            remedy="Name another target.",
        )


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or those in a folder."""
    yield from path.rglob("*") if path.is_dir() else [path]


def _is_dicom(path: Path) -> bool:
    with suppress(OSError):
        if path.is_file():  # nor a folder, nor what a process has to write first
            with path.open("rb") as file:
                return is_dicom(file.read(ENOUGH))
    return False

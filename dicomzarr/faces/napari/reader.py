"""What napari calls to open a URL, a folder or a file."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.file_meta import ENOUGH, is_dicom
from dicomzarr.faces.napari.background import meanwhile
from dicomzarr.faces.napari.telling import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dicomzarr.faces.napari.layers import LayerData
    from dicomzarr.faces.napari.opening import Opened

    Paths = str | Sequence[str]

_SCHEMES: Final = ("dicomweb://", "dicomwebs://", "dicomfile://", "http://", "https://")

_BUCKETS: Final = ("s3://", "gs://")
_OTHERS: Final = re.compile(r"\.(?!dcm$|dicom$|zip$|tar$|tgz$|(?<=\.tar\.)gz$|\d+$)[^./]+/*$", re.IGNORECASE)
"""How the name of what lies in a bucket ends if it is no DICOM: as ``.zarr``."""

_LOOKED_AT: Final = 64
"""Files of a folder that are looked at to tell whether it holds DICOM, out of..."""

_LISTED: Final = 1024
"""... so many names: the viewer waits for the answer."""


def get_reader(path: Paths) -> Callable[..., list[LayerData]] | None:
    """A function that opens a path; None for what is no DICOM.

    Args:
        path: A URL, folder or file; or several files of one folder, which are a series.
    """
    if not isinstance(path, str):
        folders = {Path(each).parent for each in path}
        path = str(folders.pop()) if len(folders) == 1 else ""
    if path.startswith(_BUCKETS):
        return None if _OTHERS.search(path) else _read
    return _read if path.startswith(_SCHEMES) or _holds_dicom(Path(path)) else None


def _read(path: Paths, *, stack: bool = False) -> list[LayerData]:  # noqa: ARG001  # npe2 passes it
    """Layers of all series that a path names; the viewer goes on while they are opened.

    Raises:
        DicomZarrError: It cannot be opened.
    """
    name = path if isinstance(path, str) else str(Path(path[0]).parent)
    opened = meanwhile(partial(_opened, name))
    say([notice for each in opened for notice in each.notices])
    layers = [layer for each in opened for layer in each.layers]
    from dicomzarr.faces.napari.facing import face_soon  # noqa: PLC0415  # its imports are there by now

    face_soon(layers)
    return layers


def _opened(name: str) -> list[Opened]:
    from dicomzarr.faces.napari.opening import open_layers, series_in  # noqa: PLC0415  # half a second, in this thread

    return [open_layers(url) for url in series_in(name)]


def _holds_dicom(path: Path) -> bool:
    files = islice(_names(path), _LOOKED_AT) if path.is_dir() else iter([path])
    return any(_is_dicom(file) for file in files)


def _names(folder: Path) -> Iterator[Path]:
    """Files of a folder and of those in it, one name after the other: a folder may hold a million."""
    folders, left = [folder], _LISTED
    while folders and left:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in islice(entries, left):
                left -= 1
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.is_file():
                    yield Path(entry.path)


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return is_dicom(opened.read(ENOUGH))
    except OSError:
        return False

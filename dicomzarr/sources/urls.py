"""URLs of all kinds of sources, and paths in their place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from dicomzarr.errors import InvalidURLError
from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.files.urls import FolderURL, at_home, is_folder_url

SeriesURL: TypeAlias = DICOMwebURL | FolderURL
"""Names a series, or a level of the tree above it."""


def parse_url(url: str) -> SeriesURL:
    """Read the URL of a series, or of what lies above it; user-info is dropped.

    Raises:
        InvalidURLError: It is none.
    """
    return FolderURL.parse(url) if is_folder_url(url) else DICOMwebURL.parse(url)


def local_path(text: str | os.PathLike[str]) -> Path | None:
    """The folder or file that somebody means who gives no URL; None where it can only be meant as one.

    Args:
        text: A path, which need not exist if it is recognised as one by how it begins.

    Raises:
        InvalidURLError: It is neither an existing file or folder nor a URL.
    """
    if isinstance(text, os.PathLike):
        return Path(text)
    if not text or "://" in text or text.startswith(("'", '"', "<")):
        return None
    path = at_home(Path(text))
    if _exists(path) or text[0] in "/.~":
        return path
    if "/studies" in text:  # a URL that has lost its scheme
        return None
    raise InvalidURLError(
        f"There is no file or folder {text}, and as a URL it has no scheme.",
        remedy="Check the path, or write dicomwebs:// for HTTPS or dicomweb:// for HTTP.",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no file can be named so
        return False

"""The kinds of sources, and which of them a URL belongs to: the one table that all who take URLs ask.

A new kind is a row of ``_KINDS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.files.choice import chosen_series
from dicomzarr.sources.files.places import index_at, is_far, store_at
from dicomzarr.sources.files.source import FilesSource
from dicomzarr.sources.files.urls import FolderURL, is_folder_url, place_of
from dicomzarr.sources.http.urls import host_of, split_user_info

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from dicomzarr.engine.ports import SeriesSource
    from dicomzarr.options import StorageOptions

SeriesURL: TypeAlias = DICOMwebURL | FolderURL
"""Names a series, or a level of the tree above it."""

User: TypeAlias = "tuple[str, str] | None"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sources."""

    name: str
    """What people call one."""
    parse: Callable[[str], SeriesURL]
    """Reads the URL of a series, or of what lies above it."""
    bare: Callable[[str], tuple[str, User]]
    """Splits user and password off a URL."""
    place: Callable[[str], str]
    """What people call the source of a base URL."""
    make: Callable[[str, StorageOptions, Callable[[], Path | None]], SeriesSource]
    """Makes the source of a base URL, without I/O; the last argument gives the file of ours for what it found."""
    is_far: Callable[[str], bool]
    """Whether frames of a base URL are worth keeping on the disk of this machine."""
    chosen: Callable[[Any, Any], Coroutine[Any, Any, SeriesURL]] | None
    """Gives the only series of a source, where a URL that names none may mean it. Else people want to see studies
    first, and not all series."""


def _dicomweb(base: str, options: StorageOptions, _: Callable[[], Path | None]) -> SeriesSource:
    from dicomzarr.sources.dicomweb.source import DICOMwebSource  # noqa: PLC0415  # none who reads files needs it

    return DICOMwebSource.of(base, options.access, options.tuning)


def _files(base: str, options: StorageOptions, kept_at: Callable[[], Path | None]) -> SeriesSource:
    kept = index_at(base, options, kept_at)
    return FilesSource(store_at(base, options, kept), kept)


def _whole(url: str) -> tuple[str, User]:
    return url, None


def _always(_: str) -> bool:
    return True


_KINDS = (
    (is_folder_url, Kind("folder", FolderURL.parse, _whole, place_of, _files, is_far, chosen_series)),
    (_always, Kind("server", DICOMwebURL.parse, split_user_info, host_of, _dicomweb, _always, None)),
)
"""With what tells of a URL, right or wrong, whether it is of a kind; the first counts."""


def kind_of(url: str | SeriesURL) -> Kind:
    """The kind of source that a URL, or a base URL, belongs to."""
    return next(kind for is_mine, kind in _KINDS if is_mine(str(url)))


def parse_url(url: str) -> SeriesURL:
    """Read the URL of a series, or of what lies above it; user-info is dropped.

    Raises:
        InvalidURLError: It is none.
    """
    return kind_of(url).parse(url)

"""URLs of series in files: ``dicomfile:///DIR/studies/<Study>/series/<Series>``, or ``dicomfile://studies/...::PLACE``.

A folder of this machine is spelled in the path, behind no host or ``localhost`` (RFC 8089); any other place of files
stands behind ``::``, as fsspec chains URLs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import InvalidURLError
from dicomzarr.sources.http.urls import safe_url, split_user_info

_PREFIX: Final = "dicomfile://"
_LOCAL: Final = "dicomfile://localhost/"
CHAIN: Final = "::"
_FORM: Final = "dicomfile:///DIR/studies/<StudyInstanceUID>/series/<SeriesInstanceUID>"
_CHAINED_FORM: Final = "dicomfile://studies/<StudyInstanceUID>/series/<SeriesInstanceUID>::s3://BUCKET/PREFIX"
_PATH: Final = re.compile(
    r"(?P<root>.*)/studies(?:/(?P<study>[^/]+)(?:/series(?:/(?P<series>[^/]+)(?:/(?P<key>.*))?)?)?)?", re.DOTALL
)
_DRIVE: Final = re.compile(r"/[A-Za-z]:")
_PLACE: Final = re.compile(r"[a-z][a-z0-9+.-]*:(//)?")


@dataclass(frozen=True, slots=True)
class FolderURL:
    """Where a series, or a level of the tree above it, lies. ``str`` gives the canonical spelling.

    Nothing is percent-encoded. The last ``/studies`` divides it: folders may be named so as well.
    """

    base: str
    """The URL of the folder or file, without a trailing slash; ``dicomfile://::PLACE`` of another place."""
    study: str | None = None
    """Study Instance UID, or None above the studies."""
    series: str | None = None
    """Series Instance UID, or None above the series."""
    key: str = ""
    """The key inside the series' Zarr hierarchy; empty for its root."""

    @classmethod
    def parse(cls, url: str) -> FolderURL:
        """Read a URL.

        Raises:
            InvalidURLError: It names no absolute path, place, study or series.
        """
        if url.startswith(_LOCAL):
            url = f"{_PREFIX}/{url.removeprefix(_LOCAL)}"
        head, chain, place = split_place(url)
        path = head.removeprefix(_PREFIX)
        base = _PREFIX + CHAIN + _spelled(place, url) if chain else None
        if base is not None and (local := file_path(place)) is not None:
            base = cls.of(local).base
        path = path.rstrip("/") if base is None else f"/{path.strip('/')}"
        if not is_folder_url(url) or not path.startswith("/"):
            raise InvalidURLError(f"{url} names no folder by its absolute path.", remedy=f"Write {_FORM}.")
        found = _PATH.fullmatch(path)
        if found is None:
            if base is not None and path != "/":
                raise InvalidURLError(f"{url} names no series in a place.", remedy=f"Write {_CHAINED_FORM}.")
            return cls(base or _PREFIX + path)
        if base is not None and found["root"]:
            raise InvalidURLError(f"{url} names two places.", remedy=f"Write {_CHAINED_FORM}.")
        series = found["series"].removesuffix(".zarr") if found["series"] else None
        for uid in (found["study"], series):
            if uid is not None and not is_uid(uid):
                raise InvalidURLError(f"{url} holds what is no UID of a study or series.", remedy=f"Write {_FORM}.")
        return cls(base or _PREFIX + found["root"].rstrip("/"), found["study"], series, found["key"] or "")

    @classmethod
    def of(cls, path: Path) -> FolderURL:
        """The URL of a folder or file of this machine.

        Raises:
            InvalidURLError: It begins with the home of a user whom there is not.
        """
        posix = at_home(path).absolute().as_posix()
        return cls(_PREFIX + (posix if posix.startswith("/") else f"/{posix}").rstrip("/"))

    @classmethod
    def at(cls, place: str) -> FolderURL:
        """The URL of another place of files, as ``s3://BUCKET/PREFIX``.

        Raises:
            InvalidURLError: It is none.
        """
        return cls.parse(_PREFIX + CHAIN + place)

    def __str__(self) -> str:
        head, chain, place = split_place(self.base)
        for name, value in (("studies", self.study), ("series", self.series)):
            if value is not None:
                head += f"{'' if head.endswith('://') else '/'}{name}/{value}"
        return (f"{head}/{self.key}" if self.key else head) + chain + place


def at_home(path: Path) -> Path:
    """A path with the home that a ``~`` at its beginning stands for.

    Raises:
        InvalidURLError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise InvalidURLError(
            f"{path.parts[0]} is the home of nobody here.", remedy=f"Write ./{path} if it is a name."
        ) from None


def is_folder_url(url: str) -> bool:
    """Whether the URL is of this kind, right or wrong."""
    return url.startswith(_PREFIX)


def split_place(url: str) -> tuple[str, str, str]:
    """Split ``::PLACE`` off a URL: what is before it, ``::``, and the place; the last two are empty where it has none.

    The path of a folder of this machine may hold what divides others.
    """
    return (url, "", "") if url.startswith(f"{_PREFIX}/") else url.partition(CHAIN)


def place_of(base: str) -> str:
    """What of `FolderURL.base` people call the place."""
    _, chain, place = split_place(base)
    return place if chain else str(path_of(base))


def path_of(base: str) -> Path:
    """The folder or file of `FolderURL.base`."""
    path = base.removeprefix(_PREFIX) or "/"
    return Path(path[1:] if _DRIVE.match(path) else path)


def file_path(text: str) -> Path | None:
    """The path that a ``file:`` URL means (RFC 8089); None of what is none.

    Raises:
        InvalidURLError: It is on another machine.
    """
    if not text.lower().startswith("file:"):
        return None
    rest = text[len("file:") :]
    if rest.startswith("//"):
        host, _, rest = rest[2:].partition("/")
        if host not in {"", "localhost"}:
            raise InvalidURLError(f"{text} is on another machine.", remedy="Write file:///PATH, or the path alone.")
        rest = f"/{rest}"
    path = unquote(rest)
    return Path(path[1:] if _DRIVE.match(path) else path)


def _spelled(place: str, url: str) -> str:
    """A place in its canonical spelling."""
    if not _PLACE.match(place):
        raise InvalidURLError(f"{url} names no place of files behind ::.", remedy=f"Write {_CHAINED_FORM}.")
    if place.startswith(("http://", "https://")):
        if "?" in place or "#" in place or split_user_info(place)[1] is not None:
            raise InvalidURLError(
                f"{safe_url(place)} has a query, a fragment or a user, which may be secret: URLs are shown and kept.",
                remedy="Give credentials as options: auth, headers, store or fsspec_options.",
            )
        return place
    return place.removesuffix("*").rstrip("/")

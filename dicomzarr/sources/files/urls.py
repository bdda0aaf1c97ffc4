"""URLs of series in a folder: ``dicomfile:///DIR/studies/<Study>/series/<Series>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import InvalidURLError

_PREFIX: Final = "dicomfile://"
_FORM: Final = "dicomfile:///DIR/studies/<StudyInstanceUID>/series/<SeriesInstanceUID>"
_PATH: Final = re.compile(
    r"(?P<root>.*)/studies(?:/(?P<study>[^/]+)(?:/series(?:/(?P<series>[^/]+)(?:/(?P<key>.*))?)?)?)?", re.DOTALL
)
_DRIVE: Final = re.compile(r"/[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class FolderURL:
    """Where a series, or a level of the tree above it, lies. ``str`` gives the canonical spelling.

    Nothing is percent-encoded. The last ``/studies`` divides it: folders may be named so as well.
    """

    base: str
    """The URL of the folder or file, without a trailing slash."""
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
            InvalidURLError: It names no absolute path, study or series.
        """
        path = url.removeprefix(_PREFIX).rstrip("/")
        if not is_folder_url(url) or not path.startswith("/"):
            raise InvalidURLError(f"{url} names no folder by its absolute path.", remedy=f"Write {_FORM}.")
        found = _PATH.fullmatch(path)
        if found is None:
            return cls(_PREFIX + path)
        series = found["series"].removesuffix(".zarr") if found["series"] else None
        for uid in (found["study"], series):
            if uid is not None and not is_uid(uid):
                raise InvalidURLError(f"{url} holds what is no UID of a study or series.", remedy=f"Write {_FORM}.")
        return cls(_PREFIX + found["root"].rstrip("/"), found["study"], series, found["key"] or "")

    @classmethod
    def of(cls, path: Path) -> FolderURL:
        """The URL of a folder or file.

        Raises:
            InvalidURLError: It begins with the home of a user whom there is not.
        """
        posix = at_home(path).absolute().as_posix()
        return cls(_PREFIX + (posix if posix.startswith("/") else f"/{posix}").rstrip("/"))

    def __str__(self) -> str:
        text = self.base
        for name, value in (("studies", self.study), ("series", self.series)):
            if value is not None:
                text += f"/{name}/{value}"
        return f"{text}/{self.key}" if self.key else text


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


def path_of(base: str) -> Path:
    """The folder or file of `FolderURL.base`."""
    path = base.removeprefix(_PREFIX) or "/"
    return Path(path[1:] if _DRIVE.match(path) else path)

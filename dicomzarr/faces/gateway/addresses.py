"""The grammar of paths: ``[NAME/]studies[/S[/series[/E.zarr[/KEY]]]]``. Pure.

A path is cut at its slashes before anything is decoded, and each segment must be one that means itself everywhere: what
is encoded twice, climbs up or holds a slash or a control character names nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from urllib.parse import unquote

from dicomzarr.dicom.uids import is_uid
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.faces.gateway.refusals import RefusedError, absent

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~=+-]{1,200})*/?", re.ASCII)
"""Segments that mean themselves everywhere."""

_LONGEST: Final = 2048
_SUFFIX: Final = ".zarr"

_Upstream = TypeVar("_Upstream")


@dataclass(frozen=True, slots=True)
class Address(Generic[_Upstream]):
    """What lies in an upstream at a path."""

    upstream: _Upstream | None
    """None above them all, where there are several."""
    study: str | None = None
    series: str | None = None
    key: str = ""
    """What follows the series."""
    collection: str = ""
    """``studies`` or ``series``, where the path ends with that word."""

    @property
    def ref(self) -> SeriesRef | None:
        """The series; None above one."""
        return None if self.study is None or self.series is None else SeriesRef(self.study, self.series)


def target_of(raw: str) -> tuple[str, str | None]:
    """The path that the target of a request names, and the authority where it has absolute-form (RFC 9112 section 3.2).

    Raises:
        RefusedError: It is of another scheme.
    """
    path, _, _ = raw.partition("?")
    scheme, mark, rest = path.partition("://")
    if path.startswith("/") or not mark:
        return path, None
    if scheme.lower() != "http":
        raise RefusedError(400, "The target of the request is none of HTTP.")
    authority, slash, below = rest.partition("/")
    return slash + below or "/", authority


@lru_cache(maxsize=4096)
def segments_of(raw_path: str) -> tuple[tuple[str, ...], bool]:
    """The segments of a path as it was sent, decoded, and whether a slash ends it.

    Raises:
        RefusedError: It cannot name anything.
    """
    if not raw_path.startswith("/") or len(raw_path) > _LONGEST:
        raise nothing_here()
    segments = raw_path[1:].split("/")
    if "%" in raw_path:
        segments = [unquote(segment) for segment in segments]
        if any("/" in segment for segment in segments):
            raise nothing_here()
    if not _PATH.fullmatch("/" + "/".join(segments)):
        raise nothing_here()
    ends_with_slash = not segments[-1]
    return tuple(segments[:-1] if ends_with_slash else segments), ends_with_slash


def address_of(segments: list[str], upstreams: Mapping[str, _Upstream]) -> Address[_Upstream]:
    """What the segments behind the route name; where there is one upstream its name may be left out.

    Raises:
        RefusedError: They name nothing.
    """
    if not segments:
        return Address(next(iter(upstreams.values())) if len(upstreams) == 1 else None)
    first, *rest = segments
    if first != "studies":
        if first not in upstreams:
            raise absent(f"No upstream is named so. There are {', '.join(upstreams)}.")
        return _within(upstreams[first], rest)
    if len(upstreams) > 1:
        raise absent(f"There are several upstreams: name one before /studies, of {', '.join(upstreams)}.")
    return _within(next(iter(upstreams.values())), segments)


def _within(upstream: _Upstream, segments: list[str]) -> Address[_Upstream]:
    match segments:
        case []:
            return Address(upstream)
        case ["studies"]:
            return Address(upstream, collection="studies")
        case ["studies", study] if is_uid(study):
            return Address(upstream, study)
        case ["studies", study, "series"] if is_uid(study):
            return Address(upstream, study, collection="series")
        case ["studies", study, "series", series, *key] if is_uid(study):
            series = series.removesuffix(_SUFFIX)
            if is_uid(series):
                return Address(upstream, study, series, "/".join(key))
    raise nothing_here()


def nothing_here() -> RefusedError:
    """What is raised where a path names nothing."""
    return absent("There is nothing at this path. The listings from / on tell what there is.")

"""URLs of series (``dicomweb://``, ``dicomwebs://``) and of a server's resources (PS3.18 sections 10.4 and 10.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import InvalidURLError
from dicomzarr.sources.http.urls import PORTS, is_host_name, safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCHEMES = {"dicomweb": "http", "dicomwebs": "https", "http": "http", "https": "https"}
_FORM = "dicomwebs://HOST/BASE/studies/<StudyInstanceUID>/series/<SeriesInstanceUID>"
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_PATH = re.compile(r"(?P<base>.*)/studies(?:/(?P<study>[^/]+)(?:/series(?:/(?P<series>[^/]+)(?:/(?P<key>.*))?)?)?)?")
_RAW_IN_QUERY = ",*?/:@"
"""May stand in a query as it is (RFC 3986 section 3.4), and does: Orthanc 1.10 decodes no query, and finds nothing by
wildcards that are encoded."""
_BELOW_SERIES = ("instances", "metadata", "rendered", "thumbnail", "bulkdata")


@dataclass(frozen=True, slots=True)
class DICOMwebURL:
    """Where a series, or a level of the tree above it, lies. ``str`` gives the canonical spelling."""

    scheme: str
    """``dicomweb`` for HTTP, ``dicomwebs`` for HTTPS."""
    base: str
    """The http(s) URL of the DICOMweb service, without a trailing slash and without user-info."""
    study: str | None = None
    """Study Instance UID, or None above the studies."""
    series: str | None = None
    """Series Instance UID, or None above the series."""
    key: str = ""
    """The key inside the series' Zarr hierarchy; empty for its root."""

    @classmethod
    def parse(cls, url: str) -> DICOMwebURL:
        """Read a URL; user-info is dropped (see `split_user_info`).

        Raises:
            InvalidURLError: The URL names no DICOMweb service, study or series.
        """
        parts = _split(url)
        http = _SCHEMES[parts.scheme]
        path = parts.path.rstrip("/")
        found = _PATH.fullmatch(path)
        if not found and "studies" in path.split("/"):
            raise InvalidURLError(f"{safe_url(url)} names neither a study nor a series.", remedy=f"Write {_FORM}.")
        base = f"{http}://{_authority(parts, url)}{found['base'] if found else path}".rstrip("/")
        scheme = "dicomwebs" if http == "https" else "dicomweb"
        if not found:
            return cls(scheme, base)
        series, key = found["series"], found["key"] or ""
        if parts.scheme in ("http", "https") and key.split("/")[0] in _BELOW_SERIES:
            raise InvalidURLError(
                f"{safe_url(url)} names something below a series.",
                remedy=f"End it after the series: drop /{key}.",
            )
        series = series.removesuffix(".zarr") if series else None
        return cls(scheme, base, _uid(found["study"], "study", url), _uid(series, "series", url), key)

    def __str__(self) -> str:
        text = f"{self.scheme}://{self.base.partition('://')[2]}"
        if self.study is None and "studies" in self.base.split("/"):
            text += "/studies"  # else what stands behind that of the base would be taken for a study
        for name, value in (("studies", self.study), ("series", self.series)):
            if value is not None:
                text += f"/{name}/{value}"
        return f"{text}/{self.key}" if self.key else text


def _split(url: str) -> SplitResult:
    if _UNPRINTABLE.search(url):
        raise InvalidURLError(
            "The URL holds a space, a backslash or an unprintable character.",
            remedy=f"Write {_FORM}.",
        )
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidURLError("The URL cannot be read.", remedy=f"Write {_FORM}.") from None
    if parts.scheme not in _SCHEMES:
        raise InvalidURLError(
            f"The URL's scheme is {parts.scheme!r}.",
            remedy="Write dicomwebs:// for HTTPS or dicomweb:// for HTTP.",
        )
    if "?" in url or "#" in url:
        raise InvalidURLError(
            f"{safe_url(url)} has a query or a fragment, which would be lost.",
            remedy=f"Give the DICOMweb server's own URL, {_FORM}, and settings as storage options.",
        )
    return parts


def _authority(parts: SplitResult, url: str) -> str:
    """The host in lower case and the port, unless it is the scheme's own."""
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidURLError(f"{safe_url(url)} has an impossible port.", remedy="Ports are 1 to 65535.") from None
    if not host:
        raise InvalidURLError(f"{safe_url(url)} names no host.", remedy=f"Write {_FORM}.")
    if not is_host_name(host):
        raise InvalidURLError(
            f"{safe_url(url)} names no possible host.",
            remedy="Check the dots: between two of them stand 1 to 63 letters, digits or hyphens.",
        )
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, PORTS[_SCHEMES[parts.scheme]]) else f"{host}:{port}"


def _uid(value: str | None, what: str, url: str) -> str | None:
    if value is not None and not is_uid(value):
        raise InvalidURLError(
            f"{safe_url(url)}: {value!r} is no {what} UID.",
            remedy="A UID consists of digits and dots; servers may list hashes and the like, which hold a digit too.",
        )
    return value


def series_metadata_url(base: str, study: str, series: str) -> str:
    """The URL of the metadata of all instances of a series (PS3.18 section 10.4.1.1.2)."""
    return f"{series_url(base, study, series)}/metadata"


def series_url(base: str, study: str, series: str) -> str:
    """The URL of all instances of a series (PS3.18 section 10.4.1.1.2)."""
    return f"{base}/studies/{study}/series/{series}"


def instance_url(base: str, study: str, series: str, instance: str) -> str:
    """The URL of a whole instance (PS3.18 section 10.4.1.1.1)."""
    return f"{series_url(base, study, series)}/instances/{instance}"


def instance_metadata_url(base: str, study: str, series: str, instance: str) -> str:
    """The URL of the metadata of one instance (PS3.18 section 10.4.1.1.2)."""
    return f"{instance_url(base, study, series, instance)}/metadata"


def frames_url(base: str, study: str, series: str, instance: str, numbers: Iterable[int]) -> str:
    """The URL of frames, by their numbers from 1 (PS3.18 section 10.4.1.1.6)."""
    listed = ",".join(map(str, numbers))
    return f"{instance_url(base, study, series, instance)}/frames/{listed}"


def search_url(base: str, resource: str, parameters: Mapping[str, str]) -> str:
    """The URL of a search (PS3.18 section 10.6) for ``studies`` or ``studies/<uid>/series``."""
    query = urlencode(parameters, safe=_RAW_IN_QUERY, quote_via=quote)
    return f"{base}/{resource}?{query}" if query else f"{base}/{resource}"

"""What a URL or path and storage options name: a series, on a server or in files, as somebody."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import (
    DicomZarrError,
    HTTPStatusError,
    InvalidOptionError,
    InvalidReplyError,
    InvalidURLError,
    PermissionDeniedError,
)
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.kinds import kind_of
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.files.idc import series_url
from dicomzarr.sources.files.places import STORE, is_place, names_files
from dicomzarr.sources.files.urls import FolderURL, at_home, file_path
from dicomzarr.sources.http.urls import pasted, safe_url, split_user_info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.session.kinds import SeriesURL
    from dicomzarr.session.registry import Endpoint

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?=://)|idc(?=:)")
_HOST: Final = re.compile(r"(?:localhost|[0-9]+(?:\.[0-9]+){3}|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*:[0-9]+)(?:[:/]|$)")
"""How the URL of a server begins that has lost its scheme."""
_SERVERS: Final = frozenset({"dicomweb", "dicomwebs"})
_EITHER: Final = frozenset({"http", "https"})
_TELLING: Final = frozenset({401, 407, 429, 503})
"""Statuses after which it may be a DICOMweb server as well as before."""


def located(place: object, storage_options: Mapping[str, Any]) -> tuple[SeriesURL, StorageOptions]:
    """What a URL or path names, at or above a series, and the options; a server may be asked what it is.

    Args:
        place: A path of a folder, file or archive; the URL of a series, of a server or of files.
        storage_options: See `dicomzarr.options.StorageOptions`.

    Raises:
        InvalidURLError: It names nothing of the kind.
        InvalidOptionError: An option is unknown or has an impossible value.
        ServerError: Who was asked did not answer.
    """
    if isinstance(place, os.PathLike):
        return FolderURL.of(Path(place)), StorageOptions.parse(**storage_options)
    if not isinstance(place, str) or not place:
        raise InvalidURLError(
            f"{'An empty text' if place == '' else f'A {type(place).__name__}'} names no series.",
            remedy="Give a URL, or the path of a folder or file.",
        )
    text, user = split_user_info(pasted(place))
    scheme = _scheme(text)
    if storage_options.get("client") is None and scheme not in _SERVERS | _EITHER:
        found = _in_files(place, scheme, in_store=storage_options.get("store") is not None)
        if found is not None:
            return found, StorageOptions.parse(**storage_options)
    if user and storage_options.get("auth") is not None:
        raise InvalidOptionError("auth is given twice: in the URL and as an option.", remedy="Drop one of the two.")
    options = StorageOptions.parse(**{**storage_options, **({"auth": user} if user else {})})
    return _on_a_server(text, scheme, options), options


def _scheme(text: str) -> str:
    found = _SCHEME.match(text)
    return found[0].lower() if found else ""


def _in_files(text: str, scheme: str, *, in_store: bool) -> FolderURL | None:
    """The files that are meant; None where only a server can be."""
    path = file_path(text)
    if path is not None:
        return FolderURL.of(path)
    if scheme == "dicomfile":
        return FolderURL.parse(text)
    if scheme == "idc":
        return FolderURL.at(series_url(pasted(text).partition(":")[2].lstrip("/")))
    if scheme:
        return FolderURL.at(pasted(text)) if is_place(scheme) else None
    if in_store:
        return FolderURL.at(f"{STORE}://{text}")
    path = local_path(text)
    return None if path is None else FolderURL.of(path)


def _on_a_server(url: str, scheme: str, options: StorageOptions) -> SeriesURL:
    if not scheme and options.client is not None:
        url = f"{str(options.client.base_url).rstrip('/')}/{url.lstrip('/')}"
    elif scheme in _EITHER and "studies" not in url.split("/"):
        if names_files(url):
            return FolderURL.at(url)
        if options.client is None:
            from dicomzarr.session.viewer import shown_at  # noqa: PLC0415  # none who reads files needs it

            return shown_at(url, options) or _probed(url, options)
    return DICOMwebURL.parse(url)


def _probed(url: str, options: StorageOptions) -> SeriesURL:
    """What an http(s) URL is that may be a DICOMweb server, or a page that lists files.

    Raises:
        InvalidURLError: It is neither.
        ServerError: It does not answer.
    """
    server = DICOMwebURL.parse(url)
    endpoint = endpoint_for(server.base, options)
    try:
        run_sync(_first_study, endpoint)
    except (HTTPStatusError, InvalidReplyError) as error:
        if isinstance(error, PermissionDeniedError) or getattr(error, "status", 0) in _TELLING:
            raise
        refused = error
    else:
        return server
    files = FolderURL.at(url)
    try:
        if run_sync(_first_study, endpoint_for(files.base, options)):
            return files
        reason = "there is no DICOM in them"
    except DicomZarrError as error:
        reason = str(error.args[0]).rstrip(".")
    from dicomzarr.session.absence import explain  # noqa: PLC0415  # something went wrong

    refusal = str(refused.args[0]).rstrip(".")
    refused.remedy = ""
    explain(refused, endpoint.source, server)
    raise InvalidURLError(
        f"{safe_url(url)} is no DICOMweb server ({refusal}), and leads to no files ({reason}).",
        remedy=refused.remedy
        or "Write BASE/studies/... for a server, whose base dicomzarr doctor finds; or name a .dcm, .zip, .tar or .tgz,"
        " or a page of files.",
    )


async def _first_study(endpoint: Endpoint) -> list[dict[str, Any]]:
    return await endpoint.source.search("studies", {}, wanted=1)


def parse_series_url(place: object, storage_options: Mapping[str, Any]) -> tuple[SeriesURL, StorageOptions]:
    """The series and the options that a URL, or a path, and keyword arguments name.

    Args:
        place: As for `located`; files are looked through where it names no series in them.
        storage_options: As above.

    Raises:
        InvalidURLError: The URL names no series.
        InvalidOptionError: An option is unknown or has an impossible value.
        FileError: There is no such file or folder, or no series in it.
        UsageError: There are several in it.
    """
    parsed, options = parse_image_url(place, storage_options)
    if parsed.key:
        raise InvalidURLError(
            f"{parsed} names a key inside series {parsed.series}.",
            remedy="End the URL after the series, as series_url of an image.",
        )
    return parsed, options


def parse_image_url(place: object, storage_options: Mapping[str, Any]) -> tuple[SeriesURL, StorageOptions]:
    """The series, and with ``key`` perhaps an image of it, and the options that a URL and keyword arguments name.

    Args:
        place: As for `parse_series_url`.
        storage_options: Likewise.

    Raises:
        DicomZarrError: As there.
    """
    parsed, options = located(place, storage_options)
    return only_series(parsed, options), options


def only_series(url: SeriesURL, options: StorageOptions) -> SeriesURL:
    """The series that is meant: the one that the URL names, or the one of files that holds images.

    Raises:
        InvalidURLError: A server's URL names none.
        FileError: There are no such files, or there is no series in them.
        SeveralSeriesError: There are several, or a server's URL names a study; the error lists its series.
    """
    if url.series is not None:
        return url
    source, chosen = endpoint_for(url.base, options).source, kind_of(url).chosen
    if chosen is None:
        from dicomzarr.session.absence import none_named  # noqa: PLC0415  # something went wrong

        raise none_named(source, url)
    return run_sync(chosen, url, source)


def series_ref(url: SeriesURL) -> SeriesRef:
    """The series that a URL names.

    Raises:
        InvalidURLError: It names none.
    """
    if url.study is None or url.series is None:
        raise InvalidURLError(
            f"{url} names no series.",
            remedy="A series is HOST/BASE/studies/<Study>/series/<Series>.",
        )
    return SeriesRef(url.study, url.series)


def local_path(text: str) -> Path | None:
    """The folder or file that somebody means who gives no URL; None where it can only be meant as one.

    Args:
        text: A path, which need not exist if it is recognised as one by how it begins.

    Raises:
        InvalidURLError: It is neither an existing file or folder nor a URL.
    """
    if text.startswith(("'", '"', "<")):
        return None
    path = at_home(Path(text))
    if _exists(path) or text[0] in "/.~":
        return path
    if "/studies" in text:  # a URL that has lost its scheme
        return None
    raise InvalidURLError(
        f"There is no file or folder {text}, and as a URL it has no scheme.",
        remedy=f"Write https://{text}, or http://{text} if that server has no TLS."
        if _HOST.match(text)
        else "Check the path; the URL of a server begins with https:// or http://.",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no file can be named so
        return False

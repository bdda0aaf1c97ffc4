"""What a URL or path and storage options name: a series, on a server or in a folder, as somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import InvalidOptionError, InvalidURLError
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.files.choice import chosen_series
from dicomzarr.sources.files.urls import FolderURL, is_folder_url
from dicomzarr.sources.http.urls import pasted, split_user_info
from dicomzarr.sources.urls import local_path

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from dicomzarr.sources.urls import SeriesURL


def parse_series_url(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any]
) -> tuple[SeriesURL, StorageOptions]:
    """The series and the options that a URL, or a path, and keyword arguments name.

    Raises:
        InvalidURLError: The URL names no series.
        InvalidOptionError: An option is unknown or has an impossible value.
        FileError: There is no such file or folder, or no series in it.
        UsageError: There are several in it.
    """
    path = None if storage_options.get("client") is not None else local_path(url)
    if path is not None or is_folder_url(str(url)):
        options = StorageOptions.parse(**storage_options)
        folder = FolderURL.parse(str(url)) if path is None else FolderURL.of(path)
        parsed: SeriesURL = folder if folder.series is not None else only_series(folder, options)
    else:
        parsed, options = _parse_dicomweb_url(str(url), storage_options)
    ref = series_ref(parsed)
    if parsed.key:
        raise InvalidURLError(
            f"{parsed} names a key inside series {ref.series}.",
            remedy="End the URL after the series; zarr and fsspec take keys below it.",
        )
    return parsed, options


def _parse_dicomweb_url(url: str, storage_options: Mapping[str, Any]) -> tuple[DICOMwebURL, StorageOptions]:
    bare, user = split_user_info(pasted(url))
    if user and storage_options.get("auth") is not None:
        raise InvalidOptionError("auth is given twice: in the URL and as an option.", remedy="Drop one of the two.")
    options = StorageOptions.parse(**{**storage_options, **({"auth": user} if user else {})})
    if "://" not in bare and options.client is not None:
        bare = f"{str(options.client.base_url).rstrip('/')}/{bare.lstrip('/')}"
    return DICOMwebURL.parse(bare), options


def only_series(folder: FolderURL, options: StorageOptions) -> FolderURL:
    """The series of a folder, or of one study in it, that holds images, if it is one; looks through the folder.

    Raises:
        FileError: There is no such folder, or no series in it.
        UsageError: There are several.
    """
    source = endpoint_for(folder.base, options).source
    resource = "instances" if folder.study is None else f"studies/{folder.study}/instances"
    return chosen_series(folder, run_sync(source.search, resource, {}))


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

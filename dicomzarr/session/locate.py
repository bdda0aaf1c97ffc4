"""What a URL and storage options name: a series, on a server, as somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import InvalidOptionError, InvalidURLError
from dicomzarr.options import StorageOptions
from dicomzarr.sources.dicomweb.urls import DICOMwebURL, pasted, split_user_info

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_series_url(url: str, storage_options: Mapping[str, Any]) -> tuple[DICOMwebURL, StorageOptions]:
    """The series and the options that a URL and keyword arguments name.

    Raises:
        InvalidURLError: The URL names no series.
        InvalidOptionError: An option is unknown or has an impossible value.
    """
    bare, user = split_user_info(pasted(url))
    if user and storage_options.get("auth") is not None:
        raise InvalidOptionError("auth is given twice: in the URL and as an option.", remedy="Drop one of the two.")
    options = StorageOptions.parse(**{**storage_options, **({"auth": user} if user else {})})
    if "://" not in bare and options.client is not None:
        bare = f"{str(options.client.base_url).rstrip('/')}/{bare.lstrip('/')}"
    parsed = DICOMwebURL.parse(bare)
    ref = series_ref(parsed)
    if parsed.key:
        raise InvalidURLError(
            f"{parsed} names a key inside series {ref.series}.",
            remedy="End the URL after the series; zarr and fsspec take keys below it.",
        )
    return parsed, options


def series_ref(url: DICOMwebURL) -> SeriesRef:
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

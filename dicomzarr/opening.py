"""The composition root: the only place where concrete parts meet.

URL -> one metadata request -> series -> plan -> OME documents -> store.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dicomzarr.dicom.series import parse_series
from dicomzarr.dicomweb.client import Client
from dicomzarr.dicomweb.urls import DICOMwebURL, split_user_info
from dicomzarr.disk.cache import DiskCache
from dicomzarr.disk.reopening import series_metadata
from dicomzarr.endpoints import Endpoint, Endpoints, SeriesKey
from dicomzarr.errors import InvalidOptionError, InvalidURLError, MetadataError
from dicomzarr.frames.cache import FrameCache
from dicomzarr.frames.dispatcher import Dispatcher
from dicomzarr.frames.loops import in_opening_thread
from dicomzarr.frames.source import FrameSource
from dicomzarr.multiscale import plan_images
from dicomzarr.ome.layout import build_hierarchy
from dicomzarr.options import StorageOptions
from dicomzarr.store.series_store import SeriesStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.dicomweb.habits import Habits
    from dicomzarr.disk.reopening import OpenedMetadata


async def open_series(endpoint: Endpoint, key: SeriesKey) -> SeriesStore:
    """Ask for the metadata of a series, unless that on disk is still right, and make it a store, off the loop.

    Raises:
        ServerError: The server did not give the metadata.
        MetadataError: It describes nothing that can be placed.
    """
    opened = await series_metadata(endpoint.client, endpoint.disk, key.study, key.series)
    try:
        return await in_opening_thread(compose, endpoint, key, opened)
    except MetadataError as error:
        error.name_subject(f"series {key.series} of study {key.study}")
        raise


def compose(endpoint: Endpoint, key: SeriesKey, opened: OpenedMetadata) -> SeriesStore:
    """Metadata to a store; all between is pure.

    Raises:
        MetadataError: The metadata describes nothing that can be placed.
    """
    options = endpoint.options
    series = parse_series(opened.body, key.study, key.series, include_phi=options.include_phi)
    plan = plan_images(series, associated_label=options.associated_label)
    identity: dict[str, object] = {
        "study_instance_uid": key.study,
        "series_instance_uid": key.series,
    }
    if series.patient:
        identity["patient"] = dict(series.patient)
    source = FrameSource(endpoint.dispatcher, study=key.study, series=key.series, disk=opened.frames)
    return SeriesStore(plan, build_hierarchy(plan, identity), source)


def _memory(wanted: int) -> FrameCache:
    """The cache of this process, which holds as much as whoever wants the most; none for who wants none."""
    if not wanted:
        return FrameCache(0)
    _cache.limit = max(_cache.limit, wanted)
    return _cache


_cache = FrameCache(0)


def _make_endpoint(base: str, options: StorageOptions, habits: Habits) -> Endpoint:
    client = Client(base, options, habits=habits)
    dispatcher = Dispatcher(
        client,
        _memory(options.cache_bytes),
        frames_per_request=options.frames_per_request,
        connections=options.max_connections,
    )
    return Endpoint(client, options, dispatcher, open_series, DiskCache.of(base, options))


_endpoints = Endpoints(_make_endpoint)


def endpoint_for(base: str, options: StorageOptions) -> Endpoint:
    """The endpoint of a server and an identity; making it does no I/O."""
    return _endpoints.get(base, options)


def endpoints_of(options: StorageOptions) -> list[Endpoint]:
    """The endpoints, on any server, that these options have been used for."""
    return _endpoints.of(options)


def parse_series_url(url: str, storage_options: Mapping[str, Any]) -> tuple[DICOMwebURL, StorageOptions]:
    """The series and the options that a URL and keyword arguments name.

    Raises:
        InvalidURLError: The URL names no series.
        InvalidOptionError: An option is unknown or has an impossible value.
    """
    bare, user = split_user_info(url)
    if user and storage_options.get("auth") is not None:
        raise InvalidOptionError("auth is given twice: in the URL and as an option.", remedy="Drop one of the two.")
    options = StorageOptions.parse(**{**storage_options, **({"auth": user} if user else {})})
    if "://" not in bare and options.client is not None:
        bare = f"{str(options.client.base_url).rstrip('/')}/{bare.lstrip('/')}"
    parsed = DICOMwebURL.parse(bare)
    key = series_key(parsed)
    if parsed.key:
        raise InvalidURLError(
            f"{parsed} names a key inside series {key.series}.",
            remedy="End the URL after the series; zarr and fsspec take keys below it.",
        )
    return parsed, options


def series_key(url: DICOMwebURL) -> SeriesKey:
    """The series that a URL names.

    Raises:
        InvalidURLError: It names none.
    """
    if url.study is None or url.series is None:
        raise InvalidURLError(
            f"{url} names no series.",
            remedy="A series is HOST/BASE/studies/<Study>/series/<Series>.",
        )
    return SeriesKey(url.study, url.series)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_endpoints.forget)
    os.register_at_fork(after_in_child=_cache.clear)

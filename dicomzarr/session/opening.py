"""The composition root: the only place where concrete parts meet.

URL -> one metadata request -> series -> plan -> OME documents -> store.
"""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.dicom.model.json_model import decode_patient
from dicomzarr.dicom.series import parse_series
from dicomzarr.disk.cache import DiskCache
from dicomzarr.disk.reopening import series_metadata
from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.engine.requests import SeriesState
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.source import FrameSource
from dicomzarr.errors import (
    GuessWarning,
    InvalidOptionError,
    InvalidURLError,
    MetadataError,
    UnsupportedSeriesError,
)
from dicomzarr.omezarr.layout import build_hierarchy
from dicomzarr.omezarr.series_store import SeriesStore
from dicomzarr.options import StorageOptions
from dicomzarr.plan import plan_images, wanted_bulk
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.pools import OPENER
from dicomzarr.runtime.process import at_fork, at_reset
from dicomzarr.session.endpoints import Endpoint, Endpoints
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.sources.dicomweb.metadata.search import listed_uids
from dicomzarr.sources.dicomweb.origin import DICOMwebOrigin
from dicomzarr.sources.dicomweb.source import DICOMwebSource
from dicomzarr.sources.dicomweb.urls import DICOMwebURL, pasted, split_user_info
from dicomzarr.sources.files.choice import chosen_series
from dicomzarr.sources.files.source import FilesSource
from dicomzarr.sources.files.urls import FolderURL, is_folder_url, path_of
from dicomzarr.sources.urls import local_path

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from dicomzarr.dicom.series import Series
    from dicomzarr.disk.cache import DiskFrames
    from dicomzarr.engine.ports import SeriesMetadata, SeriesSource
    from dicomzarr.sources.dicomweb.tuning.habits import Habits
    from dicomzarr.sources.urls import SeriesURL


class OpenedSeries(NamedTuple):
    """A series, typed, and all that its plan is made of."""

    series: Series
    frames: DiskFrames | None
    """Its frames on disk; None where there is no cache."""
    etag: str | None = None
    """See `SeriesMetadata.etag`."""
    bulk: Mapping[str, bytes] = MappingProxyType({})
    """What the metadata only name, by its URI."""
    segmented: Sequence[OpenedSeries] = ()
    """Segmentations that refer to it."""
    notices: Sequence[str] = ()
    """What else is to be said."""


async def open_series(endpoint: Endpoint, key: SeriesRef) -> SeriesStore:
    """Ask for the metadata of a series, unless that on disk is still right, and make it a store, off the loop.

    Raises:
        ServerError: The server did not give the metadata.
        MetadataError: It describes nothing that can be placed.
    """
    options = endpoint.options
    try:
        opened = await _typed(endpoint, key, include_phi=options.include_phi)
        bulk = await _bulk(endpoint.source, key, wanted_bulk(opened.series, options.values))
        opened = opened._replace(bulk=bulk)
        if options.labels:
            opened = await with_segmentations(endpoint, key, opened)
        return await OPENER.run(compose, endpoint, opened)
    except MetadataError as error:
        error.name_subject(f"series {key.series} of study {key.study}")
        raise


async def _typed(endpoint: Endpoint, key: SeriesRef, *, include_phi: bool = False) -> OpenedSeries:
    """A series by its metadata, which nobody holds any longer than it takes to type them."""
    found = await series_metadata(endpoint.source, endpoint.disk, key)
    series = await OPENER.run(partial(_parsed, found.metadata, key, include_phi=include_phi))
    return OpenedSeries(series, found.frames, found.metadata.etag, notices=found.metadata.notices)


def _parsed(metadata: SeriesMetadata, key: SeriesRef, *, include_phi: bool) -> Series:
    patient = decode_patient(metadata.body) if include_phi else {}
    return parse_series(metadata.instances, key.study, key.series, patient=patient)


async def _bulk(source: SeriesSource, key: SeriesRef, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """What the metadata only name, by its URI: tables that the values of whole images depend on."""
    asked = (source.bulk_data(key, uri, instance) for uri, instance in wanted.items())
    return dict(zip(wanted, await asyncio.gather(*asked), strict=True))


async def with_segmentations(endpoint: Endpoint, key: SeriesRef, opened: OpenedSeries) -> OpenedSeries:
    """A series with the segmentations of its study that refer to it, by their metadata; broken ones are said.

    Raises:
        ServerError: The server did not answer a search, or not give the metadata.
    """
    from dicomzarr.plan.labels import refers_to  # noqa: PLC0415  # only for those who ask for labels

    results = await endpoint.source.search(f"studies/{key.study}/series", {"Modality": "SEG"})
    wanted = [result for result in results if "SEG" in _values(result, "00080060", default="SEG")]
    listed = set(listed_uids(wanted, "0020000E", f"the series of study {key.study}")) - {key.series}
    found, notices = [], []
    for uid in sorted(listed):
        try:
            label = await _typed(endpoint, SeriesRef(key.study, uid))
        except UnsupportedSeriesError:
            continue  # a server may have ignored that only segmentations were wanted
        except MetadataError as error:
            notices.append(f"Segmentation series {uid} is no label: {error}")
            continue
        if refers_to(label.series, key.series):
            found.append(label)
    return opened._replace(segmented=tuple(found), notices=(*opened.notices, *notices))


def _values(result: dict[str, Any], tag: str, default: str) -> list[object]:
    attribute = result.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else [default]


def compose(endpoint: Endpoint, opened: OpenedSeries) -> SeriesStore:
    """A typed series to a store; all between is pure.

    Raises:
        MetadataError: The metadata describes nothing that can be placed.
    """
    options, series = endpoint.options, opened.series
    plan = plan_images(
        series,
        associated_label=options.associated_label,
        values=options.values,
        bulk=opened.bulk,
    )
    if opened.segmented:
        from dicomzarr.plan.labels import add_labels  # noqa: PLC0415  # as above

        plan = add_labels(plan, [each.series for each in opened.segmented])
    plan = replace(plan, notices=(*plan.notices, *opened.notices))
    for guess in plan.guesses:
        warnings.warn(guess, GuessWarning, stacklevel=2)
    identity: dict[str, object] = {
        "study_instance_uid": series.study_uid,
        "series_instance_uid": series.series_uid,
    }
    if series.patient:
        identity["patient"] = dict(series.patient)
    others = {each.series.series_uid: _source(endpoint, each) for each in opened.segmented}
    return SeriesStore(plan, build_hierarchy(plan, identity), _source(endpoint, opened), others)


def _source(endpoint: Endpoint, opened: OpenedSeries) -> FrameSource:
    series = opened.series
    stored = {each.uid: each.stored for each in series.instances}
    opening = SeriesState(series.study_uid, series.series_uid, opened.frames, stored, series.slices, opened.etag)
    return FrameSource(endpoint.scheduler, opening)


def _memory(wanted: int) -> FrameCache:
    """The cache of this process, which holds as much as whoever wants the most; none for who wants none."""
    if not wanted:
        return FrameCache(0)
    _cache.limit = max(_cache.limit, wanted)
    return _cache


_cache = FrameCache(0)


def _make_endpoint(base: str, options: StorageOptions, habits: Habits) -> Endpoint:
    if is_folder_url(base):
        files = FilesSource(path_of(base))
        return Endpoint(files, options, Scheduler(files.frames, _memory(options.cache_bytes)), open_series)
    client = Client(base, options.access, options.tuning, habits=habits)
    origin = DICOMwebOrigin(client, frames_per_request=options.frames_per_request, connections=options.max_connections)
    scheduler = Scheduler(origin, _memory(options.cache_bytes))
    return Endpoint(DICOMwebSource(client, origin), options, scheduler, open_series, DiskCache.of(base, options.access))


_endpoints = Endpoints(_make_endpoint)


def endpoint_for(base: str, options: StorageOptions) -> Endpoint:
    """The endpoint of a server and an identity; making it does no I/O."""
    return _endpoints.get(base, options)


def endpoints_of(options: StorageOptions) -> list[Endpoint]:
    """The endpoints, on any server, that these options have been used for."""
    return _endpoints.of(options)


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
    key = series_key(parsed)
    if parsed.key:
        raise InvalidURLError(
            f"{parsed} names a key inside series {key.series}.",
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
    """The series of a folder, or of one study in it, that holds images, if it is one.

    Raises:
        FileError: There is no such folder, or no series in it.
        UsageError: There are several.
    """
    source = endpoint_for(folder.base, options).source
    resource = "instances" if folder.study is None else f"studies/{folder.study}/instances"
    return chosen_series(folder, run_sync(partial(source.search, resource, {})))


def series_key(url: SeriesURL) -> SeriesRef:
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


def _forget_all() -> None:
    """Forget all servers, and what was learned of them."""
    _endpoints.forget()
    _endpoints.habits.clear()
    _cache.clear()


at_fork(in_child=_endpoints.forget)
at_fork(in_child=_cache.clear)
at_reset(_forget_all)

"""Endpoints put together of their parts, and series opened on them: what a URL names is made here into a source.

URL -> one metadata request -> series -> plan -> OME documents -> store.
The kinds of sources are in ``kinds``.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from dicomzarr.codecs.compressed import load_codecs
from dicomzarr.disk.place import index_path
from dicomzarr.disk.reopening import series_metadata
from dicomzarr.engine.cache import CacheShare, FrameCache
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.series_state import SeriesState
from dicomzarr.engine.source import FrameSource
from dicomzarr.errors import MetadataError
from dicomzarr.plan import wanted_bulk
from dicomzarr.runtime.pools import DECODERS
from dicomzarr.runtime.process import at_fork, at_reset
from dicomzarr.session.invalidations import INVALIDATIONS
from dicomzarr.session.kinds import kind_of
from dicomzarr.session.opened import OpenedSeries, ParsedSeries, Segmentations, compose, parsed_series
from dicomzarr.session.registry import Endpoint, Endpoints, Limits, SeriesKey, ViewKey
from dicomzarr.session.related import segmentations_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.engine.ports import SeriesMetadata, SeriesRef, SeriesSource
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.options import StorageOptions


async def open_view(endpoint: Endpoint, key: ViewKey) -> SeriesStore:
    """Make a view of a series a store, off the loop; the series is opened unless it is.

    Raises:
        ServerError: The server did not give the metadata, or what they name.
        MetadataError: It describes nothing that can be placed.
    """
    ref = key.series.ref
    try:
        opened = await endpoint.series(key.series)
        wanted = wanted_bulk(opened.parsed.series, key.view.values, key.view.icc)
        bulk = await _bulk(endpoint.source, ref, opened, wanted)
        series = opened.parsed.series
        segmentations = await segmentations_of(endpoint, key.series, series) if key.view.labels else Segmentations()
        return await endpoint.opener.run(compose, opened, key.view, bulk, segmentations)
    except MetadataError as error:
        error.name_subject(f"series {ref.series} of study {ref.study}")
        raise


async def open_series(endpoint: Endpoint, key: SeriesKey) -> OpenedSeries:
    """Ask for the metadata of a series, unless that on disk is still right, and type it, off the loop.

    Raises:
        ServerError: The server did not give the metadata.
        MetadataError: It is nothing that can be opened.
    """
    forgotten = endpoint.last_forgotten(key.ref)
    found = await series_metadata(endpoint.source, key.disk, key.ref)
    parsed = await _parsed(endpoint, found.metadata, key.ref)
    if any(each.compressed for each in parsed.series.instances):
        for _ in range(DECODERS.threads):  # they start, and import, while the first frames are on their way
            DECODERS.submit(load_codecs)
    instances = {each.sop_instance_uid: each for each in parsed.series.instances}
    slices, etag = parsed.series.slices, found.metadata.etag
    version = etag, found.metadata.last_modified, forgotten
    state = SeriesState(*key.ref, found.frames, instances, slices, etag, endpoint.limits, version, parsed.digest)
    return OpenedSeries(
        parsed,
        FrameSource(endpoint.scheduler, state),
        notices=found.metadata.notices,
        most_images=endpoint.limits.images,
    )


async def _parsed(endpoint: Endpoint, metadata: SeriesMetadata, ref: SeriesRef) -> ParsedSeries:
    try:
        return await endpoint.opener.run(parsed_series, metadata, ref, endpoint.limits)
    except MemoryError:
        raise MetadataError(
            f"There is not enough memory for the {len(metadata.body)} bytes of metadata.",
            remedy="Open it on a machine with more memory.",
        ) from None


async def _bulk(
    source: SeriesSource, ref: SeriesRef, opened: OpenedSeries, wanted: Mapping[str, str]
) -> dict[str, bytes]:
    """What the metadata only name, by its URI: tables that the values of whole images depend on; asked for once."""
    missing = [uri for uri in wanted if uri not in opened.bulk]
    asked = (source.bulk_data(ref, uri, wanted[uri]) for uri in missing)
    opened.bulk.update(zip(missing, await asyncio.gather(*asked), strict=True))
    return {uri: opened.bulk[uri] for uri in wanted}


_cache = FrameCache(0)
"""Of this process; it holds as much as whoever wants the most."""


def make_endpoint(base: str, options: StorageOptions, limits: Limits) -> Endpoint:
    """The endpoint of a server or folder, in memory that all of the process share; does no I/O."""
    return endpoint_of(_make_source(base, options), base, options, limits)


def endpoint_of(source: SeriesSource, base: str, options: StorageOptions, limits: Limits) -> Endpoint:
    """The endpoint of a source."""
    cache = CacheShare(_cache)
    scheduler = Scheduler(source.frames, cache)
    return Endpoint(base, options.access, source, scheduler, cache, open_series, open_view, limits)


def _make_source(base: str, options: StorageOptions) -> SeriesSource:
    return kind_of(base).make(base, options, partial(index_path, base, options.access))


_endpoints = Endpoints(make_endpoint)


def endpoint_for(base: str, options: StorageOptions) -> Endpoint:
    """The endpoint of a server and a credential; making it does no I/O."""
    return _endpoints.get(base, options)


def endpoints_of(options: StorageOptions) -> list[Endpoint]:
    """The endpoints, on any server, of the credentials of these options."""
    return _endpoints.of(options)


def _forget_all() -> None:
    """Forget all servers."""
    _endpoints.close()
    _cache.clear()
    INVALIDATIONS.add_all()


at_fork(in_child=_endpoints.forget)
at_fork(in_child=_cache.clear)
at_reset(_forget_all)

"""The composition root: the only place where concrete parts meet.

URL -> one metadata request -> series -> plan -> OME documents -> store.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.dicom.series import parse_series
from dicomzarr.dicomweb.client import Client
from dicomzarr.dicomweb.urls import DICOMwebURL, split_user_info
from dicomzarr.errors import InvalidURLError, MetadataError
from dicomzarr.frames.cache import FrameCache
from dicomzarr.frames.source import FrameSource
from dicomzarr.multiscale import plan_images
from dicomzarr.ome.layout import build_hierarchy
from dicomzarr.options import StorageOptions
from dicomzarr.store.series_store import SeriesStore

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES_HELD_OPEN = 64
"""Opened series that an endpoint remembers; the least recently used is forgotten."""


class SeriesKey(NamedTuple):
    """Names a series within an endpoint."""

    study: str
    series: str


@dataclass(slots=True)
class Endpoint:
    """What one server and one identity share in a process; lives on the home loop."""

    client: Client
    options: StorageOptions
    cache: FrameCache
    opened: OrderedDict[SeriesKey, SeriesStore] = field(default_factory=OrderedDict)
    opening: dict[SeriesKey, asyncio.Task[SeriesStore]] = field(default_factory=dict)

    def held(self, key: SeriesKey) -> SeriesStore | None:
        """The series if it is open already."""
        return self.opened.get(key)

    async def store(self, key: SeriesKey) -> SeriesStore:
        """The opened series; several who ask at once share one request, failures are not kept."""
        held = self.opened.get(key)
        if held is not None:
            self.opened.move_to_end(key)
            return held
        task = self.opening.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._open(key))
            self.opening[key] = task
            task.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(task)

    def forget(self, key: SeriesKey | None = None) -> None:
        """Read metadata anew at the next use, of one series or of all."""
        if key is None:
            self.opened.clear()
        else:
            self.opened.pop(key, None)

    async def _open(self, key: SeriesKey) -> SeriesStore:
        body = await self.client.series_metadata(key.study, key.series)
        try:
            return compose(self, key, body)
        except MetadataError as error:
            error.name_subject(f"series {key.series} of study {key.study}")
            raise

    def _opened(self, key: SeriesKey, task: asyncio.Task[SeriesStore]) -> None:
        del self.opening[key]
        if task.cancelled() or task.exception() is not None:
            return
        self.opened[key] = task.result()
        while len(self.opened) > SERIES_HELD_OPEN:
            self.opened.popitem(last=False)


def compose(endpoint: Endpoint, key: SeriesKey, body: bytes) -> SeriesStore:
    """Metadata to a store; all between is pure.

    Raises:
        MetadataError: The metadata describes nothing that can be placed.
    """
    options = endpoint.options
    series = parse_series(body, key.study, key.series, include_phi=options.include_phi)
    plan = plan_images(series, associated_label=options.associated_label)
    identity: dict[str, object] = {
        "study_instance_uid": key.study,
        "series_instance_uid": key.series,
    }
    if series.patient:
        identity["patient"] = dict(series.patient)
    source = FrameSource(
        endpoint.client,
        endpoint.cache,
        study=key.study,
        series=key.series,
        frames_per_request=options.frames_per_request,
        connections=options.max_connections,
    )
    return SeriesStore(plan, build_hierarchy(plan, identity), source)


class _Endpoints:
    """Endpoints of this process, by base URL and identity; a forked child starts with none."""

    known: dict[tuple[str, str], Endpoint]

    def __init__(self) -> None:
        self.known = {}

    def get(self, base: str, options: StorageOptions) -> Endpoint:
        key = (base, options.identity)
        endpoint = self.known.get(key)
        if endpoint is None:
            fresh = Endpoint(Client(base, options), options, FrameCache(options.cache_bytes))
            endpoint = self.known.setdefault(key, fresh)
        return endpoint


_endpoints = _Endpoints()


def endpoint_for(base: str, options: StorageOptions) -> Endpoint:
    """The endpoint of a server and an identity; making it does no I/O."""
    return _endpoints.get(base, options)


def parse_series_url(url: str, storage_options: Mapping[str, Any]) -> tuple[DICOMwebURL, StorageOptions]:
    """The series and the options that a URL and keyword arguments name.

    Raises:
        InvalidURLError: The URL names no series.
        InvalidOptionError: An option is unknown or has an impossible value.
    """
    bare, user = split_user_info(url)
    options = StorageOptions.parse(**({"auth": user} if user else {}), **storage_options)
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
    os.register_at_fork(after_in_child=_endpoints.known.clear)

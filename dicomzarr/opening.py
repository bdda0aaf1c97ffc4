"""The composition root: the only place where concrete parts meet.

URL -> one metadata request -> series -> plan -> OME documents -> store.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.dicom.series import parse_series
from dicomzarr.dicomweb.client import Client
from dicomzarr.dicomweb.urls import DICOMwebURL, split_user_info
from dicomzarr.errors import InvalidOptionError, InvalidURLError, MetadataError
from dicomzarr.frames.cache import FrameCache
from dicomzarr.frames.loops import home_loop
from dicomzarr.frames.source import FrameSource
from dicomzarr.multiscale import plan_images
from dicomzarr.ome.layout import build_hierarchy
from dicomzarr.options import StorageOptions
from dicomzarr.store.series_store import SeriesStore

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES_HELD_OPEN = 64
"""Opened series that an endpoint remembers; the least recently used is forgotten."""

ENDPOINTS_HELD = 32
"""Endpoints that a process remembers; the least recently used is let go of, and its connections close unless in use."""


class SeriesKey(NamedTuple):
    """Names a series within an endpoint."""

    study: str
    series: str


@dataclass(slots=True)
class Endpoint:
    """What one server and one identity share in a process; series are opened on the home loop."""

    client: Client
    options: StorageOptions
    cache: FrameCache
    opened: OrderedDict[SeriesKey, SeriesStore] = field(default_factory=OrderedDict)
    opening: dict[SeriesKey, asyncio.Task[SeriesStore]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def held(self, key: SeriesKey) -> SeriesStore | None:
        """The series if it is open already, now the most recently used; from any thread."""
        with self._lock:
            store = self.opened.get(key)
            if store is not None:
                self.opened.move_to_end(key)
            return store

    async def store(self, key: SeriesKey) -> SeriesStore:
        """The opened series; several who ask at once share one request, failures are not kept."""
        held = self.held(key)
        return await asyncio.shield(self._opening(key)) if held is None else held

    def forget(self, key: SeriesKey | None = None) -> None:
        """Read metadata and frames anew at the next use, of one series or of all; from any thread."""
        with self._lock:
            for known in (self.opened, self.opening):
                if key is None:
                    known.clear()
                else:
                    known.pop(key, None)

    def _opening(self, key: SeriesKey) -> asyncio.Task[SeriesStore]:
        with self._lock:
            task = self.opening.get(key)
            if task is None:
                task = asyncio.get_running_loop().create_task(self._open(key))
                self.opening[key] = task
                task.add_done_callback(lambda done: self._opened(key, done))
            return task

    async def _open(self, key: SeriesKey) -> SeriesStore:
        body = await self.client.series_metadata(key.study, key.series)
        try:
            # No decode thread, of which there are few: metadata may take longer than any frame.
            return await asyncio.to_thread(compose, self, key, body)
        except MetadataError as error:
            error.name_subject(f"series {key.series} of study {key.study}")
            raise

    def _opened(self, key: SeriesKey, task: asyncio.Task[SeriesStore]) -> None:
        failed = task.cancelled() or task.exception() is not None
        with self._lock:
            if self.opening.get(key) is not task:
                return  # forgotten meanwhile: only those who waited already get it
            del self.opening[key]
            if failed:
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

    def __init__(self) -> None:
        self.known: OrderedDict[tuple[str, str], Endpoint] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, base: str, options: StorageOptions) -> Endpoint:
        key = (base, options.identity)
        with self._lock:
            if key in self.known:
                self.known.move_to_end(key)
                return self.known[key]
        fresh = Endpoint(Client(base, options), options, FrameCache(options.cache_bytes))
        dropped = []
        with self._lock:
            endpoint = self.known.setdefault(key, fresh)
            while len(self.known) > ENDPOINTS_HELD:
                dropped.append(self.known.popitem(last=False)[1])
        if dropped:
            # On the loop of their connections, which then close unless a series is still being read.
            home_loop().call_soon_threadsafe(dropped.clear)
        return endpoint

    def of(self, options: StorageOptions) -> list[Endpoint]:
        with self._lock:
            return [endpoint for (_, identity), endpoint in self.known.items() if identity == options.identity]

    def forget(self) -> None:
        self.known.clear()
        self._lock = threading.Lock()


_endpoints = _Endpoints()


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

"""A series that travels by name and options, and is always read in the state in which it was opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.errors import DicomZarrError
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.locate import series_ref
from dicomzarr.session.opening import endpoint_for

if TYPE_CHECKING:
    from dicomzarr.engine.ports import SeriesSource
    from dicomzarr.omezarr.series_store import OpeningName, SeriesStore
    from dicomzarr.options import StorageOptions
    from dicomzarr.session.kinds import SeriesURL
    from dicomzarr.session.registry import Endpoint


class _Held(NamedTuple):
    process: int
    endpoint: Endpoint
    store: SeriesStore


class SeriesHandle:
    """A series by URL and options, and the state in which it is read: that of its first opening, whatever comes.

    It travels by name, and in another process opens in the same state or not at all.

    Args:
        url: The series.
        options: How it is read.
        name: That of its opening elsewhere, see `SeriesStore.name`: it opens in the same state. None for the state in
            which it will be found.
    """

    _held: _Held

    def __init__(self, url: SeriesURL, options: StorageOptions, name: OpeningName | None = None) -> None:
        self.url = url
        self.options = options
        self._name = name
        self._bulk: dict[str, bytes] = {}

    def store(self) -> SeriesStore:
        """The opened series: always the same plan, with what reads by it.

        Raises:
            SeriesChangedError: It was opened elsewhere, and is not what it was.
            DicomZarrError: The series cannot be opened.
        """
        own, process = vars(self), os.getpid()
        if "_held" not in own:
            own.setdefault("_held", self._opened(process))  # the same for all threads that ask at once
        if self._held.process != process:
            endpoint = endpoint_for(self.url.base, self.options)
            self._held = _Held(process, endpoint, self._held.store.served_by(endpoint.scheduler))
        self._held.endpoint.use(self.options)
        return self._held.store

    def bulk_data(self, uri: str, instance: str) -> bytes:
        """A value that the metadata only name; asked for once.

        Args:
            uri: As it stands there.
            instance: SOP Instance UID.

        Raises:
            ServerError: The server did not give it.
            FileError: The file does not have it.
        """
        if uri not in self._bulk:
            self._bulk[uri] = run_sync(self.source.bulk_data, series_ref(self.url), uri, instance)
        return self._bulk[uri]

    @property
    def source(self) -> SeriesSource:
        """Where the series comes from.

        Raises:
            DicomZarrError: It cannot be opened.
        """
        self.store()
        return self._held.endpoint.source

    def _opened(self, process: int) -> _Held:
        endpoint, ref = endpoint_for(self.url.base, self.options), series_ref(self.url)
        if self._name is not None:
            return _Held(process, endpoint, run_sync(endpoint.store_in, ref, self.options, self._name.state))
        endpoint.renew(ref)
        try:
            store = endpoint.held(ref, self.options) or run_sync(endpoint.store, ref, self.options)
        except DicomZarrError as error:
            from dicomzarr.session.absence import explain  # noqa: PLC0415  # something went wrong

            explain(error, endpoint.source, self.url)
            raise
        return _Held(process, endpoint, store)

    def __reduce__(self) -> tuple[Any, ...]:
        name = self._held.store.name if "_held" in vars(self) else self._name
        return SeriesHandle, (self.url, self.options, name)

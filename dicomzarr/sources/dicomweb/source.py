"""A DICOMweb server as a source of series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dicomzarr.runtime.process import at_reset
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.sources.dicomweb.origin import DICOMwebOrigin
from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from dicomzarr.engine.ports import SeriesMetadata, SeriesRef
    from dicomzarr.options import Access, Limits, Tuning


@lru_cache(256)
def profile_of(base_url: str) -> ServerProfile:  # noqa: ARG001  # what it is kept by
    """How a server wants to be asked: it outlives whoever learned it, for the servers asked last."""
    return ServerProfile()


at_reset(profile_of.cache_clear)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class DICOMwebSource:
    """The series of one server; it is a `engine.ports.SeriesSource`."""

    client: Client
    """Speaks to the server."""
    frames: DICOMwebOrigin

    @classmethod
    def of(cls, base_url: str, access: Access, tuning: Tuning, limits: Limits | None = None) -> Self:
        """The source of one credential; what is learned of the server counts for all, whoever asks it."""
        client = Client(base_url, access, tuning, profile=profile_of(base_url), limits=limits)
        return cls(client, DICOMwebOrigin(client))

    async def metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        """See `Client.series_metadata`."""
        return await self.client.series_metadata(ref.study, ref.series, known)

    async def attributes(self, ref: SeriesRef, instance: str | None) -> bytes:  # noqa: ARG002  # the port's
        """See `SeriesSource.attributes`."""
        return (await self.metadata(ref, None)).body

    def has_changed(self, ref: SeriesRef, etag: str | None) -> bool:  # noqa: ARG002  # the port's
        """See `SeriesSource.has_changed`; a server would have to be asked."""
        return False

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `Client.tune`."""
        self.client.tune(tuning, timeout)

    async def bulk_data(self, ref: SeriesRef, uri: str, instance: str | None) -> bytes:
        """See `Client.bulk_data`."""
        return await self.client.bulk_data(ref.study, ref.series, uri, instance=instance)

    async def search(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """See `Client.search`."""
        return await self.client.search(resource, parameters, wanted=wanted, skip=skip)

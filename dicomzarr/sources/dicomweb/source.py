"""A DICOMweb server as a source of series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.engine.ports import SeriesMetadata, SeriesRef
    from dicomzarr.options import Tuning
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.origin import DICOMwebOrigin


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class DICOMwebSource:
    """The series of one server; it is a `engine.ports.SeriesSource`."""

    client: Client
    """Speaks to the server."""
    frames: DICOMwebOrigin

    async def metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        """See `Client.series_metadata_unless`."""
        return await self.client.series_metadata_unless(ref.study, ref.series, known)

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

"""The metadata of a series as it is held on disk, and what tells whether it still is the server's. Pure."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec

from dicomzarr.disk.rows import Content
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.errors import MetadataError

_FASTEST = 1


class _Facts(msgspec.Struct, array_like=True, frozen=True):
    etag: str | None
    last_modified: str | None
    instances: int | None
    common: bytes = b""


class HeldSeries(NamedTuple):
    """Metadata of a series, and how to tell whether the series has changed."""

    metadata: SeriesMetadata
    instances: int | None = None
    """How many instances it has; None where a search for their number tells nothing."""

    @property
    def is_conditional(self) -> bool:
        """Whether the server can be asked for it on condition that it changed."""
        return self.metadata.etag is not None or self.metadata.last_modified is not None

    def content(self) -> Content:
        """What is written of it."""
        known = self.metadata
        facts = msgspec.json.encode(_Facts(known.etag, known.last_modified, self.instances, known.common))
        return Content(facts, zlib.compress(known.body, _FASTEST))

    @classmethod
    def of(cls, content: Content) -> HeldSeries | None:
        """What was written; None where another release wrote it differently."""
        try:
            facts = msgspec.json.decode(content.facts, type=_Facts)
            body = zlib.decompress(content.body)
        except (msgspec.DecodeError, zlib.error):
            return None
        return cls(SeriesMetadata(body, facts.etag, facts.last_modified, common=facts.common), facts.instances)


def count_instances(metadata: SeriesMetadata) -> int | None:
    """How many instances metadata has; None where it cannot be read."""
    try:
        return len(metadata.instances)
    except MetadataError:
        return None

"""The metadata of a series as it is held on disk, and what tells whether it still is the server's. Pure."""

from __future__ import annotations

import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from dicomzarr.disk.rows import Content
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Iterable

_FASTEST = 1

_WORTH_SEARCHING = 2**15
"""Bytes of metadata of one instance from which on a search takes less than to send them: those of many frames."""


class _Facts(msgspec.Struct, array_like=True, frozen=True):
    etag: str | None
    last_modified: str | None
    instances: int | None
    common: bytes = b""
    listed: str = ""
    notices: tuple[str, ...] | None = None


class ListedInstances(NamedTuple):
    """Which instances a series has."""

    number: int
    digest: str
    """Of their SOP Instance UIDs, in any order."""

    @classmethod
    def of(cls, uids: Iterable[str]) -> ListedInstances:
        """Those with these SOP Instance UIDs."""
        distinct = sorted(set(uids))
        return cls(len(distinct), sha256(repr(distinct).encode()).hexdigest())


class HeldSeries(NamedTuple):
    """Metadata of a series, and how to tell whether the series has changed."""

    metadata: SeriesMetadata
    instances: ListedInstances | None = None
    """Which instances it has; None where a search for them tells nothing, or is not worth it."""

    @property
    def is_conditional(self) -> bool:
        """Whether the server can be asked for it on condition that it changed."""
        return self.metadata.etag is not None or self.metadata.last_modified is not None

    def content(self) -> Content:
        """What is written of it."""
        known = self.metadata
        number, listed = self.instances or (None, "")
        facts = msgspec.json.encode(
            _Facts(known.etag, known.last_modified, number, known.common, listed, known.notices)
        )
        return Content(facts, zlib.compress(known.body, _FASTEST))

    @classmethod
    def of(cls, content: Content) -> HeldSeries | None:
        """What was written; None where another release wrote it differently."""
        try:
            facts = msgspec.json.decode(content.facts, type=_Facts)
            body = zlib.decompress(content.body)
        except (msgspec.DecodeError, zlib.error):
            return None
        if facts.notices is None:  # of a release that did not write them
            return None
        instances = None if facts.instances is None else ListedInstances(facts.instances, facts.listed)
        metadata = SeriesMetadata(body, facts.etag, facts.last_modified, facts.notices, facts.common)
        return cls(metadata, instances)


def in_order(body: bytes) -> bytes:
    """What metadata say, in whatever order instances were sent; as it is where it cannot be read."""
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError, and not the only one raised
        return body
    return b",".join(sorted(map(bytes, items)))


def worth_searching(metadata: SeriesMetadata) -> ListedInstances | None:
    """Which instances a search would have to find; None where the metadata themselves are asked for as fast.

    Servers read a file for each instance that they list, and hold the metadata of most ready.
    """
    if len(metadata.body) < _WORTH_SEARCHING and not metadata.in_pieces:
        return None
    try:
        found = ListedInstances.of(str(each.sop_instance_uid.first).strip(" \0") for each in metadata.instances())
    except MetadataError:
        return None
    return found if metadata.in_pieces or len(metadata.body) >= _WORTH_SEARCHING * found.number else None

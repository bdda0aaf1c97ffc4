"""The instances in a reply to a request for metadata, one JSON object each (PS3.18 Annex F). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from dicomzarr.dicom.model.completeness import lacking_instances, reduced_instances, referring_instances
from dicomzarr.dicom.model.json_size import check_size
from dicomzarr.errors import InvalidReplyError, MetadataError, WrongPartsError
from dicomzarr.sources.dicomweb.metadata.search import listed_uids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.model.completeness import ReducedInstance
    from dicomzarr.engine.ports import SeriesMetadata
    from dicomzarr.options import Limits
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey

SOP_INSTANCE_UID: Final = "00080018"
NULL: Final = b"null"
"""Stands in the place of an instance that a server failed to give."""


class Found(NamedTuple):
    """What is wrong with metadata."""

    reduced: Sequence[ReducedInstance] = ()
    """The instances of which they do not say enough."""
    are_needed: bool = False
    """Nothing opens without the rest."""
    nulls: int = 0
    """In the place of so many instances the server gave nothing."""


def look_through(metadata: SeriesMetadata, limits: Limits) -> Found:
    """What is wrong with metadata that can be read; it takes a while: not on the home loop."""
    try:
        instances = metadata.instances(limits)
        reduced = reduced_instances(instances)
        if reduced:
            return Found(reduced, are_needed=True)
        others = {*referring_instances(instances, metadata.body), *lacking_instances(instances)}
        return Found(sorted(others))
    except MetadataError:  # whoever reads all of it says so
        return Found(nulls=_nulls_in(metadata.body, limits))


def _nulls_in(body: bytes, limits: Limits) -> int:
    """How many nulls there are among the instances of metadata that cannot be read."""
    try:
        check_size(body, limits)
        items = msgspec.json.decode(body, type=list[msgspec.Raw]) if NULL in body else []
    except (MetadataError, ValueError, RecursionError):  # as above
        return 0
    return sum(bytes(item) == NULL for item in items)


def items_of(body: bytes, subject: str) -> list[bytes]:
    """The JSON of each instance.

    Args:
        body: A JSON array.
        subject: What was asked, for messages.

    Raises:
        InvalidReplyError: It is no array of objects.
    """
    return [bytes(item) for item in _decoded(body, list[msgspec.Raw], subject)]


def uids_of(body: bytes, subject: str) -> list[str]:
    """The SOP Instance UIDs in an array; see `items_of`."""
    return listed_uids(_decoded(body, list[dict[str, Any]], subject), SOP_INSTANCE_UID, subject)


def only_item(body: bytes, key: InstanceKey, subject: str) -> bytes:
    """The JSON of the one instance that was asked for.

    Raises:
        InvalidReplyError: It is no array of objects.
        WrongPartsError: It holds others.
    """
    items = items_of(body, subject)
    if items == [NULL] or uids_of(body, subject) != [key.instance] or len(items) != 1:
        raise WrongPartsError(f"{len(items)} instances, or another one, came for {subject}.")
    return items[0]


def array_of(items: Sequence[bytes]) -> bytes:
    """A JSON array of these objects."""
    return b"[" + b",".join(items) + b"]"


def _decoded(body: bytes, kind: Any, subject: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError, and not the only one raised
        raise InvalidReplyError(f"What came for {subject} is no list of JSON objects.") from None

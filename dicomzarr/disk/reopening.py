"""The metadata of a series, from disk where the server says that it is the same: in one round trip, if it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.disk.held import ListedInstances
from dicomzarr.errors import HTTPStatusError, InvalidReplyError, NotFoundError
from dicomzarr.sources.dicomweb.metadata.search import listed_uids

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from dicomzarr.disk.cache import DiskCache, DiskFrames
    from dicomzarr.disk.held import HeldSeries
    from dicomzarr.engine.ports import SeriesMetadata, SeriesRef, SeriesSource

_Found = TypeVar("_Found")

_SERIES_UID = "0020000E"
_INSTANCE_UID = "00080018"
_INSTANCES = "00201209"  # NumberOfSeriesRelatedInstances
_DIGITS = 12  # of an integer string (PS3.5 section 6.2)


class OpenedMetadata(NamedTuple):
    """What a series is opened with."""

    metadata: SeriesMetadata
    frames: DiskFrames | None
    """Its frames on disk; None where there is no cache."""


async def series_metadata(source: SeriesSource, disk: DiskCache | None, ref: SeriesRef) -> OpenedMetadata:
    """The metadata of a series, and the frames that are held of it.

    Raises:
        SeriesNotFoundError: The server does not have the series.
        ServerError: The server did not give it.
        InvalidOptionError: The cache's directory is not private.
    """
    if disk is None:
        return OpenedMetadata(await source.metadata(ref, None), None)
    held = await disk.series(*ref)
    try:
        now = await _as_it_is(source, ref, held)
    except NotFoundError:
        disk.forget(*ref)
        raise
    # A server that counts in another way, or not at all, would be asked for the number in vain each time.
    fetched_in_vain = held is not None and now is not held.metadata and now == held.metadata
    frames = await disk.opened(*ref, now, held, countable=not fetched_in_vain)
    return OpenedMetadata(now, frames)


async def _as_it_is(source: SeriesSource, ref: SeriesRef, held: HeldSeries | None) -> SeriesMetadata:
    """The metadata as the server has it; the very one that is held, where the server says that it is the same."""
    if held is None or held.is_conditional:
        return await source.metadata(ref, held and held.metadata)
    if held.instances is not None and await _has_only(source, ref, held.instances):
        return held.metadata
    return await source.metadata(ref, None)


async def _has_only(source: SeriesSource, ref: SeriesRef, instances: ListedInstances) -> bool:
    """Whether two searches at once say that a series has these instances, all of them and no other.

    One for its instances alone would have to go on behind the last that is known.
    """
    try:
        async with asyncio.TaskGroup() as group:
            number = group.create_task(_asked(_number(source, ref)))
            uids = group.create_task(_asked(_uids(source, ref, instances.number)))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return number.result() == instances.number and ListedInstances.of(uids.result() or ()) == instances


async def _asked(search: Coroutine[object, object, _Found]) -> _Found | None:
    """What a search gives; None where it fails: whatever it is, the request for the metadata tells it better."""
    try:
        return await search
    except (HTTPStatusError, InvalidReplyError):
        return None


async def _uids(source: SeriesSource, ref: SeriesRef, number: int) -> list[str]:
    """The SOP Instance UIDs of a series that has so many instances."""
    results = await source.search(f"studies/{ref.study}/series/{ref.series}/instances", {}, wanted=number)
    return listed_uids(results, _INSTANCE_UID, f"the instances of series {ref.series}")


async def _number(source: SeriesSource, ref: SeriesRef) -> int | None:
    """How many instances a search says that a series has; None where it does not say."""
    parameters = {"SeriesInstanceUID": ref.series, "includefield": _INSTANCES}
    results = await source.search(f"studies/{ref.study}/series", parameters, wanted=1)
    # A server that ignores what was to match sends another series.
    found = [first_text(result, _INSTANCES) for result in results if first_text(result, _SERIES_UID) == ref.series]
    return int(found[0]) if found and found[0].isdecimal() and len(found[0]) <= _DIGITS else None

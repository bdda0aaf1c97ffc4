"""The metadata of a series: in one request, or instance by instance where a server does not give it so."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.dicom.model.spellings import as_standard
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.errors import (
    DicomZarrError,
    InvalidReplyError,
    SeriesNotFoundError,
)
from dicomzarr.runtime.pools import FILES, Threads
from dicomzarr.sources.dicomweb.metadata.instance_items import (
    NULL,
    SOP_INSTANCE_UID,
    Found,
    array_of,
    items_of,
    look_through,
    only_item,
    uids_of,
)
from dicomzarr.sources.dicomweb.metadata.search import SERIES_UID, listed_uids
from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
from dicomzarr.sources.dicomweb.negotiation.refusals import neither
from dicomzarr.sources.dicomweb.negotiation.ttl_cache import SeriesTTLCache
from dicomzarr.sources.dicomweb.urls import instance_metadata_url, series_metadata_url
from dicomzarr.sources.dicomweb.whole.instance_header import header_json, receive_header
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.options import Limits
    from dicomzarr.sources.dicomweb.metadata.json_request import JSONRequests
    from dicomzarr.sources.dicomweb.metadata.search import Results
    from dicomzarr.sources.dicomweb.metadata.searching import Searches
    from dicomzarr.sources.dicomweb.whole.whole_instance import WholeInstances
    from dicomzarr.sources.http.transport import Response

_SECONDS_IDLE = 1.0
_WORTH_FILES: Final = Meaning.OTHER_RESOURCE | Meaning.SMALLER_RESOURCE | Meaning.SUCCESS
"""Refusals, or nothing with a status of success, after which instances may be given one by one, or their files."""
_COUNT: Final = "00201209"
"""Number of Series Related Instances (PS3.4 section C.3.4)."""
_TWICE: Final = (
    "A search gave instances of the series twice, in another order or whatever the offset: others may be missing."
)


@dataclass(slots=True)
class MetadataFetcher:
    """Gets the metadata of the series of one server."""

    base_url: str
    """The URL of the DICOMweb service."""
    requests: JSONRequests
    whole: WholeInstances
    searches: Searches
    limits: Limits
    """How much there may be."""
    _thread: Threads = field(default_factory=lambda: Threads("dicomzarr-metadata", 1, _SECONDS_IDLE))
    """Looks through metadata, and holds up no other server's."""
    _refused: SeriesTTLCache[bool] = field(default_factory=SeriesTTLCache)
    """Series whose instances had no metadata of their own: the headers of their files are read at once."""

    async def fetch(self, study: str, series: str, known: SeriesMetadata | None) -> SeriesMetadata:
        """All instances of a series as one JSON array, however the server gives them.

        What was put together from instances has no state: it is always asked for anew.

        Args:
            study: Study Instance UID.
            series: Series Instance UID.
            known: What the server gave before, if anything.

        Returns:
            ``known`` itself, where the server says that it is the same.

        Raises:
            SeriesNotFoundError: The server does not have the series, or has nothing in it.
            ServerError: The server did not give it, or not of every instance.
        """
        try:
            now = await self._of_series(study, series, known)
        except DicomZarrError as error:
            if not means(error, _WORTH_FILES | Meaning.TOO_SLOW):
                raise
            now = await self._of_listed(study, series, error)
            if (study, series) in self._refused:  # they are of files, which say all that there is
                return now
        if now is known:
            return now
        found = await self._thread.run(look_through, now, self.limits)
        if found.nulls:
            now = await self._with_rest(study, series, now.body)
            found = await self._thread.run(look_through, now, self.limits)
        return await self._completed(study, series, now, found) if found.reduced else now

    async def _completed(self, study: str, series: str, now: SeriesMetadata, found: Found) -> SeriesMetadata:
        """The metadata with those of the instances that say too little in their place."""
        items = items_of(as_standard(now.body), "the metadata")
        keys = [InstanceKey(study, series, each.sop_instance_uid) for each in found.reduced]
        try:
            whole = await self._of_instances(keys, all_of_each=True)
        except DicomZarrError:
            if found.are_needed:
                raise
            count = len(found.reduced)
            told = (
                f"What the metadata of {count} instance{'' if count == 1 else 's'} leave out, or only name, "
                "could not be had: they are read without it."
            )
            return SeriesMetadata(now.body, notices=(*now.notices, told), provisional=True)  # and without a state
        for each, item in zip(found.reduced, whole, strict=True):
            items[each.place] = item
        return SeriesMetadata(array_of(items), notices=now.notices, in_pieces=True)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Ask anew how the metadata of a series are given, or of all; from any thread."""
        self._refused.forget(study, series)

    async def _of_series(self, study: str, series: str, known: SeriesMetadata | None) -> SeriesMetadata:
        subject = f"the metadata of series {series}, study {study}"
        url = series_metadata_url(self.base_url, study, series)
        reply = await self.requests.get(url, subject, SeriesNotFoundError, _conditions(known))
        if known is not None and reply.unchanged:
            return known
        if reply.body == b"[]":
            raise SeriesNotFoundError(
                f"The server has nothing for {subject}.", remedy="Check the UIDs.", status=reply.status
            )
        if reply.more_announced:
            return await self._with_rest(study, series, reply.body)
        return SeriesMetadata(reply.body, reply.headers.get("etag"), reply.headers.get("last-modified"))

    async def _with_rest(self, study: str, series: str, body: bytes) -> SeriesMetadata:
        """All metadata, where the server says, or shows by nulls, that it gave those of some instances only."""
        subject = f"the metadata of series {series}, study {study}"
        refusal = InvalidReplyError(
            f"The server gave a part of {subject}, and a search does not find the rest.",
            remedy="Have the server give the metadata of whole series, or search for instances.",
        )
        every = items_of(body, subject)
        items = [item for item in every if item != NULL]
        nulls = len(every) - len(items)
        given = array_of(items) if nulls else body
        named = uids_of(given, subject)
        instances, doubts = await self._listed(study, series, refusal)
        missing = [InstanceKey(study, series, uid) for uid in instances if uid not in named]
        if nulls > len(missing):
            many = f"{nulls} instance{'' if nulls == 1 else 's'}"
            found = f"a search finds {len(missing)} more"
            told = f"The server gave null in the place of {many}, and {found}: the rest is left out."
            doubts = (told, *doubts)
        if not missing:
            return SeriesMetadata(given, notices=doubts)
        told = f"The server gave the metadata of {len(items)} of {len(instances)} instances; the others were asked for."
        body = array_of([*items, *await self._of_instances(missing)])
        return SeriesMetadata(body, notices=(told, *doubts), in_pieces=True)

    async def _of_listed(self, study: str, series: str, refusal: DicomZarrError) -> SeriesMetadata:
        """The metadata of each instance that a search finds; without any, the series is refused as it was."""
        instances, doubts = await self._listed(study, series, refusal)
        items = await self._of_instances([InstanceKey(study, series, instance) for instance in instances])
        return SeriesMetadata(array_of(items), notices=doubts, in_pieces=True)

    async def _listed(self, study: str, series: str, refusal: DicomZarrError) -> tuple[list[str], tuple[str, ...]]:
        """The instances that a search finds, and why there may be more; without any, as the series was refused."""
        searches = self.searches.once() if means(refusal, Meaning.TOO_SLOW) else self.searches
        try:
            found = await searches.results(f"studies/{study}/series/{series}/instances", {})
            results = found.entries
            instances = listed_uids(results, SOP_INSTANCE_UID, f"the instances of series {series}")
        except DicomZarrError:
            raise refusal from None
        if not instances:
            raise refusal
        if len(instances) > self.limits.instances:
            raise InvalidReplyError(
                f"The server lists {len(instances)} instances of series {series}, study {study}, which is refused.",
                remedy=f"If that is right, raise the bound: limits={{'instances': {len(instances)}}}.",
            )
        if len(instances) < len(results):
            raise InvalidReplyError(
                f"The server lists {len(results)} instances of series {series}, study {study}, and names"
                f" {len(instances)} of them by a UID.",
                remedy="Ask the server's operator what it sends for a search.",
            )
        return instances, await self._doubts(study, series, found) if found.pages > 1 else ()

    async def _doubts(self, study: str, series: str, found: Results) -> tuple[str, ...]:
        """Why a series may have more instances than the pages of a search held."""
        wanted = {"SeriesInstanceUID": series, "includefield": _COUNT}
        count = None
        with suppress(DicomZarrError):
            named = await self.searches.results(f"studies/{study}/series", wanted, wanted=1)
            count = next((first_text(each, _COUNT) for each in named.entries if _names(each, series)), None)
        if count is None or not (count.isascii() and count.isdecimal()):
            return (_TWICE,) if found.overlaps else ()
        if int(count) <= len(found.entries):
            return ()
        return (f"The server says that the series has {count} instances, and a search found {len(found.entries)}.",)

    async def _of_instances(self, keys: Sequence[InstanceKey], *, all_of_each: bool = False) -> list[bytes]:
        """One JSON object for each; the first tells how the others are asked for.

        Args:
            keys: Of the instances.
            all_of_each: Their own metadata do not do where they lack what images open without.
        """
        first = await self._of_instance(keys[0], all_of_it=all_of_each)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._of_instance(key, all_of_it=all_of_each)) for key in keys[1:]]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [first, *(task.result() for task in tasks)]

    async def _of_instance(self, key: InstanceKey, *, all_of_it: bool) -> bytes:
        """From the instance's own metadata, or from its file."""
        if key[:2] in self._refused:
            return await self._of_file(key)
        try:
            return await self._own(key, all_of_it=all_of_it)
        except DicomZarrError as error:
            if not isinstance(error, _ReducedError) and not means(error, _WORTH_FILES):
                raise
            refusal = error
        try:
            item = await self._of_file(key)
        except DicomZarrError as error:
            failure = neither(refusal, error)
            failure.name_subject(f"the metadata of instance {key.instance}, series {key.series}, study {key.study}")
            raise failure from None
        self._refused.put(key[:2], value=True)
        return item

    async def _own(self, key: InstanceKey, *, all_of_it: bool) -> bytes:
        subject = f"the metadata of instance {key.instance}, series {key.series}, study {key.study}"
        reply = await self.requests.get(instance_metadata_url(self.base_url, *key.uids), subject)
        item = only_item(reply.body, key, subject)
        found = look_through(SeriesMetadata(array_of([item])), self.limits)
        if found.reduced if all_of_it else found.are_needed:
            raise _ReducedError(f"What an image needs is not in {subject}.")
        return item

    async def _of_file(self, key: InstanceKey) -> bytes:
        async def read(response: Response) -> bytes:
            header = await receive_header(response, key)
            return await FILES.run(header_json, header, key)

        return await self.whole.send(key, read)


def _names(result: dict[str, Any], series: str) -> bool:
    return first_text(result, SERIES_UID) == series


class _ReducedError(InvalidReplyError):
    """An instance's own metadata lack what an image needs."""


def _conditions(known: SeriesMetadata | None) -> dict[str, str]:
    found = (None, None) if known is None else (known.etag, known.last_modified)
    return {name: value for name, value in zip(("if-none-match", "if-modified-since"), found, strict=True) if value}

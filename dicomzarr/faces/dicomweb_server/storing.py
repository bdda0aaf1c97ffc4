"""STOW-RS: instances that are sent are stored into the folder (PS3.18 section 10.5)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from aiohttp import web

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.faces.dicomweb_server.deposits import NO_ROOM, NOT_UNDERSTOOD, Deposit, Outcome, Refused
from dicomzarr.faces.dicomweb_server.negotiation import DICOM
from dicomzarr.faces.dicomweb_server.paths import instance_path, study_path
from dicomzarr.faces.dicomweb_server.replies import accepted_json, json_reply
from dicomzarr.runtime.pools import FILES
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from dicomzarr.faces.dicomweb_server.holdings import Holdings

_log = logging.getLogger(__name__)

_READ_AT_ONCE: Final = 2**16
_WRITTEN_AT_ONCE: Final = 2**20
_MOST_PARTS: Final = 100_000
_INFLATED: Final = 64 * 2**20
_EXPANSION: Final = 100
"""Bytes that a body with a Content-Encoding may become, however short it is, and beyond that for each of its own."""

_BROKEN: Final = (ValueError, AssertionError, RuntimeError, TypeError, aiohttp.http_exceptions.HttpProcessingError)
"""What aiohttp raises where a body is no multipart one."""
_CUT_OFF: Final = (ConnectionError, aiohttp.ClientPayloadError, web.RequestPayloadError, asyncio.IncompleteReadError)


class _GrownError(Exception):
    """A body becomes more than its length gives reason for."""


_SOP_CLASS: Final = "00080016"
_REFERENCED_CLASS: Final = "00081150"
_REFERENCED_INSTANCE: Final = "00081155"
_RETRIEVE_URL: Final = "00081190"
_REASON: Final = "00081197"
_FAILED: Final = "00081198"
_STORED: Final = "00081199"
_OTHER_FAILURES: Final = "0008119A"


@dataclass(frozen=True, slots=True)
class Storing:
    """Answers what sends instances.

    Args:
        holdings: Knows what is there already.
        into: The folder; None where nothing is stored.
    """

    holdings: Holdings
    into: Path | None

    async def store(self, request: web.Request, base: str) -> web.StreamResponse:
        """Store the instances of a body, each by itself, and say what became of each."""
        if self.into is None:
            raise web.HTTPMethodNotAllowed("POST", ["GET", "HEAD", "OPTIONS"], text="This server only reads.\n")
        accepted_json(request)
        outcomes: list[Outcome] = []
        try:
            await self._store(request, self.into, outcomes)
        except _CUT_OFF:
            _log.warning("An upload was cut off after %s instances.", len(outcomes))
            return web.Response(status=400)  # which nobody hears
        except _GrownError:
            if not outcomes:
                sentence = (
                    f"The body grows to more than {_EXPANSION} times its length: send it without Content-Encoding."
                )
                raise web.HTTPRequestEntityTooLarge(_INFLATED, _INFLATED, text=f"{sentence}\n") from None
            outcomes.append(Outcome(None, NO_ROOM))
        except _BROKEN:
            if not outcomes:
                raise web.HTTPBadRequest(text="The body is not made of parts as its Content-Type says.\n") from None
            outcomes.append(Outcome(None, NOT_UNDERSTOOD))
        finally:
            self.holdings.expire()
        if not outcomes:
            raise web.HTTPBadRequest(text="The body holds no parts.\n")
        failed = sum(bool(outcome.reason) for outcome in outcomes)
        status = 200 if not failed else 409 if failed == len(outcomes) else 202
        body = msgspec.json.encode(_response(outcomes, request.match_info.get("study"), base))
        return await json_reply(request, [body], status=status)

    async def _store(self, request: web.Request, into: Path, outcomes: list[Outcome]) -> None:
        """Store one part after the other; what became of those that came whole is known whatever follows them."""
        async for part in _parts(request):
            outcome = await self._stored(part, into, request.match_info.get("study"))
            outcomes.append(outcome)

    async def _stored(self, part: AsyncIterator[bytes], into: Path, study: str | None) -> Outcome:
        """Write one instance; what it is sent in is read to its end whatever becomes of it."""
        deposit = Deposit(into)
        refused: Refused | None = None
        try:
            try:
                await FILES.run(deposit.open)
            except Refused as error:
                refused = error
            async for data in _gathered(part):
                if refused is None:
                    try:
                        await FILES.run(deposit.write, data)
                    except Refused as error:
                        refused = error
            if refused is not None:
                return Outcome(await FILES.run(deposit.known), refused.reason)
            return Outcome(await FILES.run(deposit.place, study, self.holdings.held))
        except Refused as error:
            return Outcome(error.instance, error.reason)
        finally:
            await asyncio.shield(FILES.run(deposit.discard))


async def _parts(request: web.Request) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bodies of the parts of a request, each to be read to its end before the next.

    Raises:
        HTTPUnsupportedMediaType: They are no Part-10 files.
        _GrownError: The body grows without reason.
        ValueError: The body is no multipart one, as many other kinds of errors of aiohttp say.
    """
    kind = MediaType.parse(request.headers.get("Content-Type", ""))
    if kind.name == DICOM:
        yield _chunks(request.content)
        return
    if kind.name != "multipart/related" or kind.parameters.get("type", DICOM).partition(";")[0].lower() != DICOM:
        raise web.HTTPUnsupportedMediaType(text=f'Send multipart/related; type="{DICOM}", or one {DICOM}.\n')
    reader = await request.multipart()
    for _ in range(_MOST_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, aiohttp.BodyPartReader):
            raise ValueError("Parts within parts.")  # noqa: TRY004  # as aiohttp says it
        yield _part_chunks(part, request.content)
    raise ValueError("Too many parts.")


async def _chunks(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while data := await content.read(_READ_AT_ONCE):
        _check_growth(content)
        yield data


async def _part_chunks(part: aiohttp.BodyPartReader, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while not part.at_eof():
        data = await part.read_chunk(_READ_AT_ONCE)
        _check_growth(content)
        yield data


def _check_growth(content: aiohttp.StreamReader) -> None:
    """Look whether a body that aiohttp inflates grows without reason; that of one without a Content-Encoding cannot."""
    sent = content.total_compressed_bytes
    if sent is not None and content.total_bytes > max(_INFLATED, _EXPANSION * sent):
        raise _GrownError


async def _gathered(part: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """As much at a time as is worth a write."""
    waiting = bytearray()
    async for data in part:
        waiting += data
        if len(waiting) >= _WRITTEN_AT_ONCE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _response(outcomes: Sequence[Outcome], study: str | None, base: str) -> dict[str, Any]:
    """The response of a Store transaction (PS3.18 section I.2)."""
    response: dict[str, Any] = {}
    stored = [_item(outcome, base) for outcome in outcomes if not outcome.reason]
    failed = [_item(outcome, base) for outcome in outcomes if outcome.reason and outcome.instance is not None]
    others = [_failure(outcome.reason) for outcome in outcomes if outcome.instance is None]
    studies = {outcome.instance.ref.study for outcome in outcomes if outcome.instance and not outcome.reason}
    if study is None and len(studies) == 1:
        (study,) = studies
    if study is not None and stored:
        response[_RETRIEVE_URL] = {"vr": "UR", "Value": [base + study_path(study)]}
    for tag, items in ((_FAILED, failed), (_STORED, stored), (_OTHER_FAILURES, others)):
        if items:
            response[tag] = {"vr": "SQ", "Value": items}
    return response


def _item(outcome: Outcome, base: str) -> dict[str, Any]:
    instance = outcome.instance
    assert instance is not None  # noqa: S101  # the caller has looked
    item = {
        _REFERENCED_CLASS: {"vr": "UI", "Value": [first_text(instance.shown, _SOP_CLASS)]},
        _REFERENCED_INSTANCE: {"vr": "UI", "Value": [instance.uid]},
    }
    if outcome.reason:
        return {**item, **_failure(outcome.reason)}
    return {**item, _RETRIEVE_URL: {"vr": "UR", "Value": [base + instance_path(instance)]}}


def _failure(reason: int) -> dict[str, Any]:
    return {_REASON: {"vr": "US", "Value": [reason]}}

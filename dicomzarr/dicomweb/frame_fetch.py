"""Frames of one instance: in lists where the server gives them, singly where it does not, each one right or failed."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dicomzarr.dicom.syntax import is_native, likely_uid, sniff
from dicomzarr.dicomweb.accept import REFUSALS, Learned, Rung
from dicomzarr.dicomweb.exchange import Exchange, Question
from dicomzarr.dicomweb.media_type import MediaType
from dicomzarr.dicomweb.multipart import MultipartParser
from dicomzarr.dicomweb.network_errors import ConnectionDroppedError
from dicomzarr.dicomweb.replies import EncodedFrame, PartSorter, encoded_frame, refuse_text
from dicomzarr.dicomweb.retry import TRIES
from dicomzarr.dicomweb.urls import frames_url
from dicomzarr.errors import (
    DicomZarrError,
    FrameNotFoundError,
    HTTPStatusError,
    InvalidReplyError,
    MultipartError,
    NegotiationError,
    NotFoundError,
    TruncatedReplyError,
    WrongPartsError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicomweb.transport import Response

Deliver: TypeAlias = Callable[[int, EncodedFrame], None]
Fail: TypeAlias = Callable[[int, DicomZarrError], None]

_REFUSED = frozenset({400, 406, 415})
_FAILURE = 500
_SHOWN = 6


@dataclass(slots=True)
class FrameJob:
    """The frames of one instance that are still to be had."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    instance: str
    """SOP Instance UID."""
    pending: dict[int, None]
    """Frame numbers (from 1) that were neither delivered nor failed, ascending."""
    on_frame: Deliver
    """Called once for each frame that came."""
    on_failure: Fail
    """Called once for each frame that cannot be had."""
    compressed: bool = False
    """The metadata say that what is stored is a codestream."""

    def deliver(self, number: int, frame: EncodedFrame) -> None:
        """Hand a frame out, unless an earlier try has done so."""
        if number in self.pending:
            del self.pending[number]
            self.on_frame(number, frame)

    def fail(self, number: int, error: DicomZarrError) -> None:
        """Give a frame up."""
        if number in self.pending:
            del self.pending[number]
            self.on_failure(number, error)

    def fail_all(self, error: DicomZarrError) -> None:
        """Give up all frames that are left, each with an error of its own, since each is raised elsewhere."""
        for number in list(self.pending):
            self.fail(number, copy.copy(error))

    def subject(self, numbers: Sequence[int]) -> str:
        """The frames in words, for messages."""
        listed = ", ".join(map(str, numbers[:_SHOWN])) + (f", ... {numbers[-1]}" if len(numbers) > _SHOWN else "")
        word = "frame" if len(numbers) == 1 else "frames"
        return f"{word} {listed} of instance {self.instance}, series {self.series}, study {self.study}"


class _ServerDecodedError(InvalidReplyError):
    """The server decoded a codestream, after which the colour of its pixels cannot be proven any more."""

    def __init__(self, rung: Rung) -> None:
        super().__init__("The server decoded a compressed frame.")
        self.rung = rung


class FrameFetcher:
    """Fetches frames from one server, and learns how it wants to be asked.

    What serves native pixels may decode codestreams: each kind of instance is learned on its own.

    Args:
        base_url: The URL of the DICOMweb service.
        exchange: Asks it.
    """

    def __init__(self, base_url: str, exchange: Exchange) -> None:
        self._base_url = base_url
        self._exchange = exchange
        self._rungs: dict[bool, Rung] = {}
        """The rung that gave a frame, by whether a codestream was expected."""
        self._decoded: dict[str, Rung] = {}
        """The rung for each instance whose codestream no way of asking gave: it says nothing about others."""
        self._lists_refused = False

    def _learned(self, job: FrameJob) -> Learned:
        rung = self._decoded.get(job.instance) or self._rungs.get(job.compressed)
        return Learned(rung, self._lists_refused)

    async def fetch(self, job: FrameJob) -> None:
        """Deliver or fail every frame of the job."""
        refusal = None
        if len(job.pending) > 1 and self._learned(job).asks_lists:
            refusal = await self._fetch_list(job)
        left = len(job.pending)
        came = await self._fetch_singly(job)
        # 500 may have been a passing failure; other refusals mean lists if each frame comes on its own.
        if refusal is not None and came == left > 0 and refusal.status != _FAILURE:
            self._lists_refused = True

    async def _fetch_list(self, job: FrameJob) -> HTTPStatusError | None:
        """Ask for all frames at once; those that stay pending are worth asking for singly.

        Returns:
            How the server refused, or None when it did not.
        """
        errors: list[DicomZarrError | None] = []
        for rung in self._learned(job).list_rungs():
            errors.append(await self._attempt_list(job, rung))
            if not self._may_be_refusal(job, errors[-1]):
                break
        error = errors[-1]
        if error is not None and self._takes_decoded(job, errors):
            error = await self._attempt_list(job, self._learned(job).list_rungs()[0])
        if error is None or isinstance(error, (TruncatedReplyError, MultipartError)):
            return None
        if isinstance(error, HTTPStatusError) and (error.status in REFUSALS or isinstance(error, NotFoundError)):
            return error
        job.fail_all(error)
        return None

    async def _attempt_list(self, job: FrameJob, rung: Rung) -> DicomZarrError | None:
        try:
            await self._request(job, list(job.pending), rung)
        except DicomZarrError as error:
            return error
        return None

    async def _fetch_singly(self, job: FrameJob) -> int:
        """Ask for each pending frame; gives how many came."""
        came = 0
        pending = list(job.pending)
        # One after the other until it is known how to ask, then all of them.
        while pending and self._learned(job).rung is None:
            came += await self._fetch_one(job, pending.pop(0))
        return came + sum(await asyncio.gather(*(self._fetch_one(job, number) for number in pending)))

    async def _fetch_one(self, job: FrameJob, number: int) -> bool:
        errors: list[DicomZarrError] = []
        known = self._learned(job).rung is not None
        for rung in self._learned(job).single_rungs():
            try:
                summary = await self._request(job, [number], rung)
            except DicomZarrError as error:
                errors.append(error)
                if not self._may_be_refusal(job, error):
                    break
            else:
                if number not in job.pending:
                    return True
                errors.append(WrongPartsError(f"Not one part came for {job.subject([number])}: {summary}."))
                break
        if self._takes_decoded(job, errors):
            return await self._fetch_one(job, number)
        job.fail(number, errors[0] if known else _ladder_error(errors, job.subject([number])))
        return False

    def _takes_decoded(self, job: FrameJob, errors: Sequence[DicomZarrError | None]) -> bool:
        """Settle for pixels that the server decoded, when no way of asking gave the codestream."""
        decoded = next((error for error in errors if isinstance(error, _ServerDecodedError)), None)
        if decoded is None:
            return False
        if self._learned(job).rung is None:  # else another job has found out meanwhile
            self._decoded[job.instance] = decoded.rung
        return True

    def _may_be_refusal(self, job: FrameJob, error: DicomZarrError | None) -> bool:
        """Whether another Accept header may help."""
        if isinstance(error, _ServerDecodedError):
            return True
        if isinstance(error, HTTPStatusError):
            return error.status in REFUSALS
        # A server that is known to answer has not dropped the connection for the Accept header.
        return isinstance(error, ConnectionDroppedError) and self._learned(job).rung is None

    async def _request(self, job: FrameJob, numbers: list[int], rung: Rung) -> str:
        """Ask for frames in one way, deliver what comes, and give a summary of it."""

        def left() -> list[int]:
            return [number for number in numbers if number in job.pending]

        untried = self._learned(job).rung is None

        def deliver(number: int, frame: EncodedFrame) -> None:
            if job.compressed and untried and _is_native(frame):
                raise _ServerDecodedError(rung)
            job.deliver(number, frame)

        async def read(response: Response) -> str:
            return await _receive(response, job, left(), deliver)

        question = Question(
            url=lambda: frames_url(self._base_url, job.study, job.series, job.instance, left()),
            headers={"accept": rung.accept, "accept-encoding": "identity"},
            subject=job.subject(numbers),
            not_found=FrameNotFoundError,
            tries_on_drop=2 if untried else TRIES,  # once more: the connection may have been stale
        )
        summary = await self._exchange.ask(question, read)
        if self._learned(job).rung is None and len(left()) < len(numbers):
            self._rungs[job.compressed] = rung
        return summary


def _is_native(frame: EncodedFrame) -> bool:
    named = frame.transfer_syntax_uid or likely_uid(frame.media_type)
    return named is not None and is_native(named) and sniff(frame.data) is None


async def _receive(response: Response, job: FrameJob, numbers: list[int], deliver: Deliver) -> str:
    outer = MediaType.parse(response.headers.get("content-type", ""))
    subject = job.subject(numbers)
    refuse_text(outer, subject)
    if outer.is_multipart:
        return await _receive_parts(response, job, PartSorter(job.instance, numbers, outer, subject), deliver)
    body = b"".join([chunk async for chunk in response.chunks()])
    frame = encoded_frame(body, outer, outer, subject)
    if not body:
        return "an empty body came"
    if len(numbers) == 1:
        deliver(numbers[0], frame)
    return "a single body came"


async def _receive_parts(response: Response, job: FrameJob, sorter: PartSorter, deliver: Deliver) -> str:
    parser = MultipartParser(response.headers.get("content-type", ""))
    try:
        async for chunk in response.chunks():
            for part in parser.feed(chunk):
                placed = sorter.add(part)
                if placed is not None:
                    deliver(*placed)
        parser.close()
    except TruncatedReplyError:
        if any(number in job.pending for number in sorter.numbers):
            raise
        return sorter.summary  # every part was whole: only the end of the reply is missing
    for number, frame in sorter.finish():
        deliver(number, frame)
    return sorter.summary


def _ladder_error(errors: list[DicomZarrError], subject: str) -> DicomZarrError:
    """The error for a frame that no rung gave: the first that is more than a refusal of the Accept header."""
    for error in errors:
        if not isinstance(error, HTTPStatusError) or error.status not in _REFUSED:
            return error
    statuses = ", ".join(str(error.status) for error in errors if isinstance(error, HTTPStatusError))
    return NegotiationError(
        f"The server refused {subject} in every way of asking (HTTP statuses {statuses}).",
        remedy="It may lack the frame, or be unable to cut it out of the instance.",
        status=getattr(errors[-1], "status", 0),
    )

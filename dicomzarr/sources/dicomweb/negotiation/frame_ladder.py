"""Asks for frames in one way after the other, and remembers which way a server likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.dicom.pixels.syntax import is_native, likely_uid, sniff
from dicomzarr.errors import (
    DicomZarrError,
    FrameNotFoundError,
    HTTPStatusError,
    InvalidReplyError,
    NegotiationError,
    WrongPartsError,
)
from dicomzarr.sources.dicomweb.http.exchange import Exchange, Question
from dicomzarr.sources.dicomweb.http.retry import TRIES
from dicomzarr.sources.dicomweb.http.statuses import Meaning, means
from dicomzarr.sources.dicomweb.messages.frame_replies import receive
from dicomzarr.sources.dicomweb.negotiation.accept import Learned, Rung
from dicomzarr.sources.dicomweb.negotiation.remembered import Remembered
from dicomzarr.sources.dicomweb.urls import frames_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.sources.dicomweb.http.transport import Response
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.tuning.habits import Habits


class _ServerDecodedError(InvalidReplyError):
    """The server decoded a codestream, after which the colour of its pixels cannot be proven any more."""

    def __init__(self, rung: Rung) -> None:
        super().__init__("The server decoded a compressed frame.")
        self.rung = rung


class FrameLadder:
    """Asks one server for frames.

    What serves native pixels may decode codestreams: each kind of instance is learned on its own.

    Args:
        base_url: The URL of the DICOMweb service.
        exchange: Asks it.
        habits: What is known of it.
    """

    def __init__(self, base_url: str, exchange: Exchange, habits: Habits) -> None:
        self._base_url = base_url
        self._exchange = exchange
        self._rungs = habits.rungs
        self._has_served = False
        self._decoded: Remembered[Rung] = Remembered()
        """The rung for each instance whose codestream no way of asking gave: it says nothing about others."""

    @property
    def has_served(self) -> bool:
        """Whether any frame has ever come from this server."""
        return self._has_served or bool(self._rungs)

    def forget(self, study: str | None, series: str | None) -> None:
        """Forget how the instances of a series are asked for, or of all; from any thread."""
        self._decoded.forget(study, series)

    def knows(self, job: FrameJob) -> bool:
        """Whether it is known how to ask."""
        return self._learned(job).rung is not None

    def serves_lists(self, *, compressed: bool) -> bool:
        """Whether the known way of asking can give several frames at once; True while none is known."""
        return Learned(self._rungs.get(compressed)).asks_lists

    async def ask_list(self, job: FrameJob, numbers: list[int]) -> DicomZarrError | None:
        """Ask for several frames at once; those that stay pending did not come.

        Returns:
            Why not, or None where the server meant to serve.
        """
        errors: list[DicomZarrError | None] = []
        for rung in self._learned(job).list_rungs():
            errors.append(await self._attempt(job, numbers, rung))
            if not self._may_be_refusal(job, errors[-1]):
                break
        if errors[-1] is not None and self._takes_decoded(job, errors):
            return await self._attempt(job, job.left(numbers), self._learned(job).list_rungs()[0])
        return errors[-1]

    async def ask_one(self, job: FrameJob, number: int) -> DicomZarrError | None:
        """Ask for one frame in every way that may help.

        Returns:
            Why it did not come, or None when it did.
        """
        errors: list[DicomZarrError] = []
        known = self.knows(job)
        for rung in self._learned(job).single_rungs():
            try:
                await self._request(job, [number], rung)
            except DicomZarrError as error:
                errors.append(error)
                if not self._may_be_refusal(job, error):
                    break
            else:
                return None
        if self._takes_decoded(job, errors):
            return await self.ask_one(job, number)
        return errors[0] if known else _ladder_error(errors, job.subject([number]))

    def _learned(self, job: FrameJob) -> Learned:
        return Learned(self._decoded.get(job.key) or self._rungs.get(job.compressed))

    async def _attempt(self, job: FrameJob, numbers: list[int], rung: Rung) -> DicomZarrError | None:
        try:
            await self._request(job, numbers, rung)
        except DicomZarrError as error:
            return error
        return None

    def _takes_decoded(self, job: FrameJob, errors: Sequence[DicomZarrError | None]) -> bool:
        """Settle for pixels that the server decoded, when no way of asking gave the codestream."""
        decoded = next((error for error in errors if isinstance(error, _ServerDecodedError)), None)
        if decoded is None:
            return False
        if not self.knows(job):  # else another job has found out meanwhile
            self._decoded.put(job.key, decoded.rung)
        return True

    def _may_be_refusal(self, job: FrameJob, error: DicomZarrError | None) -> bool:
        """Whether another Accept header may help."""
        if isinstance(error, _ServerDecodedError):
            return True
        # A server that is known to answer has not dropped the connection for the Accept header.
        unanswered = means(error, Meaning.NO_ANSWER) and not self.knows(job)
        return unanswered or means(error, Meaning.OTHER_MEDIA_TYPE_OF_PIXELS)

    async def _request(self, job: FrameJob, numbers: list[int], rung: Rung) -> str:
        """Ask for frames in one way, deliver what comes, and give a summary of it."""
        untried = not self.knows(job)

        def deliver(number: int, frame: EncodedFrame) -> None:
            if job.compressed and untried and _is_native(frame):
                raise _ServerDecodedError(rung)
            job.deliver(number, frame)

        async def read(response: Response) -> str:
            summary = await receive(response, job, job.left(numbers), deliver)
            if len(numbers) == 1 and job.left(numbers):  # of a list, what is left is asked for singly
                raise WrongPartsError(f"Not one part came for {job.subject(numbers)}: {summary}.")
            return summary

        question = Question(
            url=lambda: frames_url(self._base_url, job.study, job.series, job.instance, job.left(numbers)),
            headers={"accept": rung.accept, "accept-encoding": "gzip" if job.gzip else "identity"},
            subject=job.subject(numbers),
            not_found=FrameNotFoundError,
            tries_on_drop=2 if untried else TRIES,  # once more: the connection may have been stale
        )
        summary = await self._exchange.ask(question, read)
        if len(job.left(numbers)) < len(numbers):
            self._has_served = True
            if not self.knows(job):
                self._rungs[job.compressed] = rung
        return summary


def _is_native(frame: EncodedFrame) -> bool:
    named = frame.transfer_syntax_uid or likely_uid(frame.media_type)
    return named is not None and is_native(named) and sniff(frame.data) is None


def _ladder_error(errors: list[DicomZarrError], subject: str) -> DicomZarrError:
    """The error for a frame that no rung gave: the first that is more than a refusal of the Accept header."""
    for error in errors:
        if not means(error, Meaning.OTHER_MEDIA_TYPE):
            return error
    statuses = ", ".join(str(error.status) for error in errors if isinstance(error, HTTPStatusError))
    return NegotiationError(
        f"The server refused {subject} in every way of asking (HTTP statuses {statuses}).",
        remedy="It may lack the frame, or be unable to cut it out of the instance.",
        status=getattr(errors[-1], "status", 0),
    )

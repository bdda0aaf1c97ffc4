"""Which way of asking for frames is tried after which outcome, and what is learned of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.errors import DicomZarrError, HTTPStatusError, NegotiationError
from dicomzarr.sources.dicomweb.negotiation.accept import Rung, list_rungs, single_rungs
from dicomzarr.sources.dicomweb.negotiation.steps import FrameRequest, ServerDecodedError
from dicomzarr.sources.dicomweb.negotiation.ttl_cache import SeriesTTLCache
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.negotiation.steps import Plan


class FrameLadder:
    """Plans how one server is asked for frames.

    What serves native pixels may decode codestreams: each kind of instance is learned on its own.

    Args:
        rungs: The rung that gave a frame, by whether a codestream was expected.
    """

    def __init__(self, rungs: dict[bool, Rung]) -> None:
        self._rungs = rungs
        self._has_served = False
        self._decoded: SeriesTTLCache[Rung] = SeriesTTLCache()
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
        return self._known(job) is not None

    def unanswered(self, job: FrameJob, error: DicomZarrError) -> bool:
        """Whether the connection broke before it was known how to ask: perhaps for the Accept header."""
        return means(error, Meaning.NO_ANSWER) and not self.knows(job)

    def serves_lists(self, *, compressed: bool) -> bool:
        """Whether the known way of asking can give several frames at once; True while none is known."""
        known = self._rungs.get(compressed)
        return known is None or known.serves_lists

    def ask(self, job: FrameJob, numbers: list[int]) -> Plan[DicomZarrError | None]:
        """Ask for several frames at once, or for one in every way that may help.

        Returns:
            Why those that stay pending did not come, or None where the server meant to serve.
        """
        known, single = self._known(job), len(numbers) == 1
        tried: dict[Rung, DicomZarrError] = {}
        for rung in single_rungs(known) if single else list_rungs(known):
            error = yield from self._ask(job, numbers, rung)
            if error is None:
                return None
            tried[rung] = error
            if not self._may_be_refusal(job, error):
                break
        if self._takes_decoded(job, tried):
            return (yield from self.ask(job, job.left(numbers)))
        errors = list(tried.values())
        if single and known is None:
            return _ladder_error(errors, job.subject(numbers))
        return errors[0 if single else -1]

    def _known(self, job: FrameJob) -> Rung | None:
        return self._decoded.get(job.key) or self._rungs.get(job.compressed)

    def _ask(self, job: FrameJob, numbers: list[int], rung: Rung) -> Plan[DicomZarrError | None]:
        error: DicomZarrError | None = yield FrameRequest(job, numbers, rung, untried=not self.knows(job))
        if error is None and len(job.left(numbers)) < len(numbers):
            self._has_served = True
            if not self.knows(job):
                self._rungs[job.compressed] = rung
        return error

    def _takes_decoded(self, job: FrameJob, tried: dict[Rung, DicomZarrError]) -> bool:
        """Settle for pixels that the server decoded, when no way of asking gave the codestream."""
        decoded = next((rung for rung, error in tried.items() if isinstance(error, ServerDecodedError)), None)
        if decoded is None:
            return False
        if not self.knows(job):  # else another job has found out meanwhile
            self._decoded.put(job.key, decoded)
        return True

    def _may_be_refusal(self, job: FrameJob, error: DicomZarrError) -> bool:
        """Whether another Accept header may help."""
        refused = isinstance(error, ServerDecodedError) or means(error, Meaning.OTHER_MEDIA_TYPE_OF_PIXELS)
        return refused or self.unanswered(job, error)


def _ladder_error(errors: Sequence[DicomZarrError], subject: str) -> DicomZarrError:
    """The error for a frame that no rung gave: the first that is more than a refusal of the Accept header."""
    for error in errors:
        if not means(error, Meaning.OTHER_MEDIA_TYPE):
            return error
    statuses = [error.status for error in errors if isinstance(error, HTTPStatusError)]
    return NegotiationError(
        f"The server refused {subject} in every way of asking (HTTP statuses {', '.join(map(str, statuses))}).",
        remedy="It may lack the frame, or be unable to cut it out of the instance.",
        status=statuses[-1],
    )

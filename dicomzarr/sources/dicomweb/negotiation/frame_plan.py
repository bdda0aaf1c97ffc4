"""How the frames of one instance are had: in lists, singly, or out of the whole instance. Pure.

A plan is a generator that gives one step after the other, and is sent what each came to: it sends nothing, and knows
no event loop. Each outcome decides what is asked next; each frame comes right, or fails.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from dicomzarr.errors import DicomZarrError, HTTPStatusError, InvalidReplyError, NegotiationError
from dicomzarr.sources.dicomweb.negotiation.accept import Rung, list_rungs, single_rungs
from dicomzarr.sources.dicomweb.negotiation.refusals import neither
from dicomzarr.sources.dicomweb.negotiation.ttl_cache import SeriesTTLCache
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
    from dicomzarr.sources.dicomweb.negotiation.list_lengths import ListLengths
    from dicomzarr.sources.dicomweb.whole.whole_instance import WholeInstances

_Result = TypeVar("_Result")

_Errors: TypeAlias = "dict[int, DicomZarrError]"
"""Why frames did not come, by their numbers."""

_PROBES: Final = 3
"""Frames that are asked for singly before all frames of an instance are taken to be refused."""

_INSTANCES_WITHOUT: Final = 2
"""Instances whose frames are denied, and that exist, before the server is taken to have no ``/frames``."""

_INSTANCES_REFUSED: Final = 8
"""The same of those whose frames are refused in another way: it may be for what is in them."""

_SECONDS_REFUSED: Final = 60.0
"""How long an instance whose frames were refused is not asked for them again."""

_SECONDS_DOUBTED: Final = 5.0
"""The same for refusals that may have been passing failures."""


class ServerDecodedError(InvalidReplyError):
    """The server decoded a codestream, after which the colour of its pixels cannot be proven any more."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """Ask once for frames and deliver what comes; answered with the error it ended with, or None."""

    job: FrameJob
    numbers: Sequence[int]
    """Those of them that are still pending are asked for."""
    rung: Rung
    untried: bool
    """Nothing has come like this yet: a codestream that comes decoded is a `ServerDecodedError`."""


@dataclass(frozen=True, slots=True)
class WholeRequest:
    """Deliver frames out of the whole instance; answered with why it did not come, or with the errors of frames."""

    job: FrameJob
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Alone:
    """Carry out a plan while no other one is alone with the same instance; answered with its result."""

    key: InstanceKey
    plan: Plan[Any]


Step: TypeAlias = "FrameRequest | WholeRequest | Alone | list[Plan[Any]]"
"""A list of plans is carried out at once, and answered with the list of their results."""

Plan: TypeAlias = Generator[Step, Any, _Result]


def _together(plans: list[Plan[_Result]]) -> Plan[list[_Result]]:
    """Carry out several plans; one is without more ado: a task costs as much as decoding a tile."""
    found: list[_Result] = [(yield from plans[0])] if len(plans) == 1 else (yield plans)
    return found


class FramePlanner:
    """Plans how frames are had from one server, and learns how it wants to be asked.

    What serves native pixels may decode codestreams: the Accept header for each is learned on its own.

    Args:
        rungs: The rung that gave a frame, by whether a codestream was expected.
        lengths: How long lists may be.
        whole: Whole instances, for what it does not give singly.
        clock: Gives seconds, and never goes back.
    """

    def __init__(
        self, rungs: dict[bool, Rung], lengths: ListLengths, whole: WholeInstances, clock: Callable[[], float]
    ) -> None:
        self._rungs = rungs
        self._lengths = lengths
        self._whole = whole
        self._decoded: SeriesTTLCache[Rung] = SeriesTTLCache()
        """The rung for each instance whose codestream no way of asking gave: it says nothing about others."""
        self._comes_singly: SeriesTTLCache[bool] = SeriesTTLCache(clock)
        """Of instances: whether frames of it come by themselves, or only with the whole."""
        self._without_frames: SeriesTTLCache[bool] = SeriesTTLCache(clock)
        """Instances that exist although the server denies all of their frames."""
        self._refused_frames: SeriesTTLCache[bool] = SeriesTTLCache(clock)
        """Instances that came although the server refused their frames, denied or not."""

    def asks_lists(self, *, compressed: bool) -> bool:
        """Whether it is worth while to ask for several frames at once."""
        known = self._rungs.get(compressed)
        return not self._lengths.refused and (known is None or known.serves_lists)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Forget what was learned of the instances of a series, or of all; from any thread."""
        for known in (self._comes_singly, self._without_frames, self._refused_frames, self._decoded):
            known.forget(study, series)

    def plan(self, job: FrameJob) -> Plan[None]:
        """Deliver or fail every frame of the job."""
        if job.whole or self._whole.holds(job.key) or self._goes_whole(job.key):
            yield from self._from_whole(job, list(job.pending), {})
            return
        refused = yield from self._parts(job, list(job.pending))
        if job.is_large and not self._goes_whole(job.key):
            for number, error in refused.items():
                job.fail(number, error)
        elif refused:
            yield from self._from_whole(job, list(refused), refused)

    # --- lists ---

    def _parts(self, job: FrameJob, numbers: Sequence[int]) -> Plan[_Errors]:
        """Ask for frames in lists that are not too long; gives how those that did not come were refused."""
        found = yield from _together([self._list(job, part) for part in self._lengths.cut(numbers)])
        return {number: error for refused in found for number, error in refused.items()}

    def _list(self, job: FrameJob, numbers: list[int]) -> Plan[_Errors]:
        """Ask for all frames at once, and for those that stay pending in another way."""
        if len(numbers) == 1 or not self.asks_lists(compressed=job.compressed):
            return (yield from self._singly(job, numbers))
        error = yield from self._ask(job, numbers)
        left = job.left(numbers)
        if error is None or means(error, Meaning.PARTIAL_LIST):
            if not left:
                self._lengths.served(len(numbers))
                return {}
            came = len(left) < len(numbers)
            return (yield from (self._list(job, left) if came else self._singly(job, left)))
        if self._is_unanswered(job, error) or not means(error, Meaning.SHORTER_LIST):
            job.fail_all(left, error)
            return {}
        return (yield from self._halves(job, left, error))

    def _halves(self, job: FrameJob, numbers: list[int], error: DicomZarrError) -> Plan[_Errors]:
        """After a list was refused: for its length, for one frame in it, or because no frame can be had like this."""
        failed = job.failed
        refused: _Errors = yield Alone(job.key, self._probe(job, numbers))
        if self._goes_whole(job.key):
            return {number: refused.get(number, error) for number in job.left(numbers)}
        rest = [number for number in job.left(numbers) if number not in refused]
        half = len(rest) // 2
        for part in (rest[:half], rest[half:]):
            refused |= yield from self._parts(job, part)
        if not refused and job.failed == failed:
            self._lengths.refuses(len(numbers), error)
        return refused

    def _probe(self, job: FrameJob, numbers: list[int]) -> Plan[_Errors]:
        """Ask for single frames until one comes; when none does, those left are to be had with the whole instance."""
        refused: _Errors = {}
        places = (0, -1, len(numbers) // 2)[: 0 if self._is_known(job.key) else _PROBES]
        for number in dict.fromkeys(numbers[place] for place in places):
            error = yield from self._one(job, number, refused)
            if error is None:
                return refused
            if number not in refused:
                job.fail_all(numbers, error)
                return {}
        yield from self._learn_refusal(job, refused)
        return refused

    # --- single frames ---

    def _singly(self, job: FrameJob, numbers: list[int]) -> Plan[_Errors]:
        """Ask for each frame by itself: one after the other until one comes, then all of them."""
        refused: _Errors = {}
        rest, count = list(numbers), job.number_of_frames or _PROBES
        while rest and not self._comes_singly.get(job.key):
            number = rest.pop(0)
            yield from self._one(job, number, refused)
            if number in refused and (len(refused) == min(_PROBES, count) or (job.is_large and not rest)):
                yield Alone(job.key, self._learn_refusal(job, refused))
                if self._goes_whole(job.key):
                    return refused | dict.fromkeys(rest, refused[number])
        yield from _together([self._one(job, number, refused) for number in rest])
        return refused

    def _one(self, job: FrameJob, number: int, refused: _Errors) -> Plan[DicomZarrError | None]:
        """Ask for a frame by itself; unless it comes or is refused, it fails."""
        error = yield from self._ask(job, [number])
        if error is None:
            self._comes_singly.put(job.key, value=True)
        elif means(error, Meaning.OTHER_RESOURCE):
            refused[number] = error
        else:
            job.fail(number, error)
        return error

    def _learn_refusal(self, job: FrameJob, refused: _Errors) -> Plan[None]:
        """After none of some frames came: whether that is so for the instance, of which a large one has to prove it."""
        if self._is_known(job.key):
            return
        for trial in job.trials(refused) if job.is_large and not self._whole.has_failed(job.key) else ():
            error = yield from self._ask(trial, list(trial.pending))
            if error is None:
                self._comes_singly.put(job.key, value=True)
            if not means(error, Meaning.OTHER_RESOURCE):
                return
        doubtful = any(means(error, Meaning.MAY_PASS) for error in refused.values())
        self._comes_singly.put(job.key, value=False, seconds=_SECONDS_DOUBTED if doubtful else _SECONDS_REFUSED)

    # --- whole instances ---

    def _is_known(self, key: InstanceKey) -> bool:
        """Whether frames of the instance come by themselves, or do not."""
        return bool(self._comes_singly.get(key)) or self._goes_whole(key)

    def _goes_whole(self, key: InstanceKey) -> bool:
        has_served = bool(self._rungs) or len(self._decoded) > 0
        lacks_frames = not has_served and (
            len(self._without_frames) >= _INSTANCES_WITHOUT or len(self._refused_frames) >= _INSTANCES_REFUSED
        )
        return lacks_frames or self._comes_singly.get(key) is False

    def _from_whole(self, job: FrameJob, numbers: list[int], refused: _Errors) -> Plan[None]:
        """Have frames cut from the whole instance."""
        found: DicomZarrError | _Errors = yield WholeRequest(job, numbers)
        if isinstance(found, DicomZarrError):
            self._comes_singly.discard(job.key)  # next time, its frames are asked for again
            found = dict.fromkeys(job.left(numbers), found)
        elif refused and self._comes_singly.get(job.key) is False:
            self._refused_frames.put(job.key, value=True, seconds=_SECONDS_REFUSED)
            if all(map(_denies, refused.values())):
                self._without_frames.put(job.key, value=True, seconds=_SECONDS_REFUSED)
        for number, whole in found.items():
            error = neither(refused.get(number), whole)
            error.name_subject(job.subject([number]))
            job.fail(number, error)

    # --- one way of asking after the other ---

    def _ask(self, job: FrameJob, numbers: list[int]) -> Plan[DicomZarrError | None]:
        """Ask for several frames at once, or for one in every way that may help.

        Returns:
            Why those that stay pending did not come, or None where the server meant to serve.
        """
        known, single = self._known(job), len(numbers) == 1
        tried: dict[Rung, DicomZarrError] = {}
        for rung in single_rungs(known) if single else list_rungs(known):
            error: DicomZarrError | None = yield FrameRequest(job, numbers, rung, untried=self._known(job) is None)
            if error is None:
                if self._known(job) is None and len(job.left(numbers)) < len(numbers):
                    self._rungs[job.compressed] = rung
                return None
            tried[rung] = error
            if not self._may_be_refusal(job, error):
                break
        decoded = next((rung for rung, error in tried.items() if isinstance(error, ServerDecodedError)), None)
        if decoded is not None:  # no way of asking gave the codestream
            if self._known(job) is None:  # else another job has found out meanwhile
                self._decoded.put(job.key, decoded)
            return (yield from self._ask(job, job.left(numbers)))
        errors = list(tried.values())
        if single and known is None:
            return _error_of_all(errors, job.subject(numbers))
        return errors[0 if single else -1]

    def _known(self, job: FrameJob) -> Rung | None:
        return self._decoded.get(job.key) or self._rungs.get(job.compressed)

    def _may_be_refusal(self, job: FrameJob, error: DicomZarrError) -> bool:
        """Whether another Accept header may help."""
        refused = isinstance(error, ServerDecodedError) or means(error, Meaning.OTHER_MEDIA_TYPE_OF_PIXELS)
        return refused or self._is_unanswered(job, error)

    def _is_unanswered(self, job: FrameJob, error: DicomZarrError) -> bool:
        """Whether the connection broke before it was known how to ask: perhaps for the Accept header."""
        return means(error, Meaning.NO_ANSWER) and self._known(job) is None


def _denies(error: DicomZarrError) -> bool:
    return means(error, Meaning.NO_SUCH_RESOURCE)


def _error_of_all(errors: Sequence[DicomZarrError], subject: str) -> DicomZarrError:
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

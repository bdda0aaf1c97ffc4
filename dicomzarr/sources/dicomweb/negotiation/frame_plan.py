"""How the frames of one instance are had: in lists, singly, or out of the whole instance. Pure.

Each outcome decides what is asked next; each frame comes right, or fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from dicomzarr.errors import DicomZarrError
from dicomzarr.sources.dicomweb.negotiation.refusals import neither, refuses_resource
from dicomzarr.sources.dicomweb.negotiation.steps import Alone, WholeRequest, together
from dicomzarr.sources.dicomweb.negotiation.ttl_cache import SeriesTTLCache
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.dicomweb.negotiation.frame_ladder import FrameLadder
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
    from dicomzarr.sources.dicomweb.negotiation.list_lengths import ListLengths
    from dicomzarr.sources.dicomweb.negotiation.steps import Plan
    from dicomzarr.sources.dicomweb.whole.whole_instance import WholeInstances

_Refused: TypeAlias = "dict[int, DicomZarrError]"
"""How frames were refused, by their numbers."""

_PROBES: Final = 3
"""Frames that are asked for singly before all frames of an instance are taken to be refused."""

_INSTANCES_WITHOUT: Final = 2
"""Instances whose frames are denied, and that exist, before the server is taken to have no ``/frames``."""

_SECONDS_REFUSED: Final = 60.0
"""How long an instance whose frames were refused is not asked for them again."""

_SECONDS_DOUBTED: Final = 5.0
"""The same for refusals that may have been passing failures."""


class FramePlanner:
    """Plans how frames are had from one server, and learns how it wants to be asked.

    Args:
        ladder: The ways of asking for frames.
        lengths: How long lists may be.
        whole: Whole instances, for what it does not give singly.
        clock: Gives seconds, and never goes back.
    """

    def __init__(
        self, ladder: FrameLadder, lengths: ListLengths, whole: WholeInstances, clock: Callable[[], float]
    ) -> None:
        self._ladder = ladder
        self._lengths = lengths
        self._whole = whole
        self._serving: SeriesTTLCache[bool] = SeriesTTLCache(clock)
        """Instances of which frames have come singly."""
        self._refusing: SeriesTTLCache[bool] = SeriesTTLCache(clock)
        """Instances of which no frame comes but with the whole."""
        self._without_frames: SeriesTTLCache[bool] = SeriesTTLCache(clock)
        """Instances that exist although the server denies all of their frames."""

    def asks_lists(self, *, compressed: bool) -> bool:
        """Whether it is worth while to ask for several frames at once."""
        return not self._lengths.refused and self._ladder.serves_lists(compressed=compressed)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Forget what was learned of the instances of a series, or of all; from any thread."""
        for known in (self._serving, self._refusing, self._without_frames, self._ladder):
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

    def _is_known(self, key: InstanceKey) -> bool:
        """Whether frames of the instance come by themselves, or do not."""
        return key in self._serving or self._goes_whole(key)

    def _goes_whole(self, key: InstanceKey) -> bool:
        lacks_frames = len(self._without_frames) >= _INSTANCES_WITHOUT and not self._ladder.has_served
        return key in self._refusing or lacks_frames

    def _parts(self, job: FrameJob, numbers: Sequence[int]) -> Plan[_Refused]:
        """Ask for frames in lists that are not too long."""
        found = yield from together([self._list(job, part) for part in self._lengths.cut(numbers)])
        return {number: error for refused in found for number, error in refused.items()}

    def _list(self, job: FrameJob, numbers: list[int]) -> Plan[_Refused]:
        """Ask for all frames at once, and for those that stay pending in another way."""
        if len(numbers) == 1 or not self.asks_lists(compressed=job.compressed):
            return (yield from self._singly(job, numbers))
        error = yield from self._ladder.ask(job, numbers)
        left = job.left(numbers)
        if error is None or means(error, Meaning.PARTIAL_LIST):
            if not left:
                self._lengths.served(len(numbers))
                return {}
            came = len(left) < len(numbers)
            return (yield from (self._list(job, left) if came else self._singly(job, left)))
        if self._ladder.unanswered(job, error) or not means(error, Meaning.SHORTER_LIST):
            job.fail_all(left, error)
            return {}
        return (yield from self._halves(job, left, error))

    def _halves(self, job: FrameJob, numbers: list[int], error: DicomZarrError) -> Plan[_Refused]:
        """After a list was refused: for its length, for one frame in it, or because no frame can be had like this."""
        failed = job.failed
        refused: _Refused = yield Alone(job.key, self._probe(job, numbers))
        if self._goes_whole(job.key):
            return {number: refused.get(number, error) for number in job.left(numbers)}
        rest = [number for number in job.left(numbers) if number not in refused]
        half = len(rest) // 2
        for part in (rest[:half], rest[half:]):
            refused |= yield from self._parts(job, part)
        if not refused and job.failed == failed:
            self._lengths.refuses(len(numbers), error)
        return refused

    def _probe(self, job: FrameJob, numbers: list[int]) -> Plan[_Refused]:
        """Ask for single frames until one comes; when none does, those left are to be had with the whole instance."""
        refused: _Refused = {}
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

    def _learn_refusal(self, job: FrameJob, refused: _Refused) -> Plan[None]:
        """After none of some frames came: whether that is so for the instance, of which a large one has to prove it."""
        if self._is_known(job.key):
            return
        for trial in job.trials(refused) if job.is_large and not self._whole.has_failed(job.key) else ():
            (number,) = trial.pending
            error = yield from self._ladder.ask(trial, [number])
            if error is None:
                self._serving.put(job.key, value=True)
            if not refuses_resource(error):
                return
        doubtful = any(means(error, Meaning.MAY_PASS) for error in refused.values())
        self._refusing.put(job.key, value=True, seconds=_SECONDS_DOUBTED if doubtful else _SECONDS_REFUSED)

    def _singly(self, job: FrameJob, numbers: list[int]) -> Plan[_Refused]:
        """Ask for each frame by itself: one after the other until one comes, then all of them."""
        refused: _Refused = {}
        rest = list(numbers)
        while rest and job.key not in self._serving:
            number = rest.pop(0)
            yield from self._one(job, number, refused)
            if number in refused and (len(refused) == _PROBES or (job.is_large and not rest)):
                yield Alone(job.key, self._learn_refusal(job, refused))
                if self._goes_whole(job.key):
                    return refused | dict.fromkeys(rest, refused[number])
        yield from together([self._one(job, number, refused) for number in rest])
        return refused

    def _one(self, job: FrameJob, number: int, refused: _Refused) -> Plan[DicomZarrError | None]:
        """Ask for a frame by itself; unless it comes or is refused, it fails."""
        error = yield from self._ladder.ask(job, [number])
        if error is None:
            self._serving.put(job.key, value=True)
        elif refuses_resource(error):
            refused[number] = error
        else:
            job.fail(number, error)
        return error

    def _from_whole(self, job: FrameJob, numbers: list[int], refused: _Refused) -> Plan[None]:
        """Have frames cut from the whole instance."""
        found: DicomZarrError | _Refused = yield WholeRequest(job, numbers)
        if isinstance(found, DicomZarrError):
            self._refusing.discard(job.key)  # next time, its frames are asked for again
            found = dict.fromkeys(job.left(numbers), found)
        elif refused and job.key in self._refusing and all(map(_denies, refused.values())):
            self._without_frames.put(job.key, value=True, seconds=_SECONDS_REFUSED)
        for number, whole in found.items():
            error = neither(refused.get(number), whole)
            error.name_subject(job.subject([number]))
            job.fail(number, error)


def _denies(error: DicomZarrError) -> bool:
    return means(error, Meaning.NO_SUCH_RESOURCE)

"""Series that are kept on disk: fetched in the background, one at a time, behind all that somebody looks at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from dicomzarr.disk.cache import DiskFrames
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.engine.series_state import FrameKey
from dicomzarr.errors import DicomZarrError
from dicomzarr.faces.gateway.refusals import RefusedError
from dicomzarr.omezarr.hierarchy import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.series_state import SeriesState
    from dicomzarr.faces.gateway.upstreams import Upstream
    from dicomzarr.omezarr.series_store import SeriesStore

_MOST_WAITING: Final = 200
_MOST_ENDED: Final = 50
"""Jobs that wait for their turn, and that are told of when they have ended."""

_BATCH_FRAMES: Final = 4096
"""Frames that are wanted at a time: of slices, most series at once, for these come in one reply."""

_WRITING: Final = 60.0
"""Seconds that the disk may take for what came last."""

State = Literal["waiting", "running", "kept", "incomplete", "failed", "cancelled"]
_UNENDED: Final = ("waiting", "running")


@dataclass(slots=True, eq=False)
class Job:
    """One series that is to be kept, or all of a study."""

    number: int
    upstream: Upstream
    study: str
    """Study Instance UID."""
    series: str | None
    """Series Instance UID; None for all of the study."""
    refs: tuple[SeriesRef, ...] = ()
    """The series, once they are known."""
    state: State = "waiting"
    frames: int = 0
    """That have come or were there."""
    of: int = 0
    """Of so many, in the series that were begun."""
    begun: int = 0
    """Series that were begun."""
    said: str = ""
    """Why not all is kept."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in _UNENDED

    def one_more(self) -> None:
        """A frame has come."""
        self.frames += 1

    def document(self) -> dict[str, object]:
        """What is told of it."""
        return {
            "job": self.number,
            "upstream": self.upstream.name,
            "study": self.study,
            "series": self.series,
            "state": self.state,
            "frames": self.frames,
            "of": self.of,
            "series_begun": self.begun,
            "series_of": len(self.refs),
            "said": self.said,
        }


class Keeping:
    """The jobs of a gateway; on the home loop."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._count = 0
        self._turn = asyncio.Lock()
        """One is at work at a time."""

    @property
    def jobs(self) -> list[Job]:
        """All that are told of, the newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.number)

    def start(self, upstream: Upstream, study: str, series: str | None) -> Job:
        """Have a series, or all of a study, kept; the job that does it already, if there is one.

        Raises:
            RefusedError: Too many wait.
        """
        same = (upstream, study, series)
        unended = [job for job in self._jobs.values() if not job.has_ended]
        found = next((job for job in unended if (job.upstream, job.study, job.series) == same), None)
        if found is not None:
            return found
        if len(unended) >= _MOST_WAITING:
            raise RefusedError(503, "Too many series wait to be kept. Ask again later.", {"Retry-After": "60"})
        for job in [job for job in self._jobs.values() if (job.upstream, job.study, job.series) == same]:
            del self._jobs[job.number]  # what came of it before is of no interest any more
        self._count += 1
        job = self._jobs[self._count] = Job(self._count, upstream, study, series)
        job.task = asyncio.get_running_loop().create_task(self._run(job))
        self._forget_old()
        return job

    def cancel(self, number: int) -> Job | None:
        """End a job; one that has ended is told of no more. None where there is none."""
        job = self._jobs.get(number)
        if job is not None and job.has_ended:
            del self._jobs[number]
        elif job is not None:
            self._end(job)
        return job

    def cancel_all(self, upstream: Upstream, refs: Sequence[SeriesRef]) -> None:
        """End the jobs that keep one of these series; those that have ended, and kept no other, are forgotten."""
        for job in list(self._jobs.values()):
            concerned = any(job.study == ref.study and job.series in (None, ref.series) for ref in refs)
            if job.upstream is not upstream or not concerned:
                continue
            if not job.has_ended:
                self._end(job)
            elif set(job.refs) <= set(refs):
                del self._jobs[job.number]

    async def close(self) -> None:
        """End all."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None and not job.has_ended]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _end(job: Job) -> None:
        job.state = "cancelled"
        if job.task is not None:
            job.task.cancel()

    def _forget_old(self) -> None:
        ended = [job.number for job in self.jobs if job.has_ended]
        for number in ended[_MOST_ENDED:]:
            del self._jobs[number]

    async def _run(self, job: Job) -> None:
        try:
            async with self._turn:
                job.state = "running"
                job.refs = await series_of(job.upstream, job.study, job.series)
                for ref in job.refs:
                    job.begun += 1
                    await _keep(job, ref)
                job.state = "incomplete" if job.said else "kept"
        except DicomZarrError as error:
            job.state, job.said = "failed", str(error)
        except RefusedError as error:
            job.state, job.said = "failed", error.refusal.sentence
        except asyncio.CancelledError:
            job.state = "cancelled"
            raise
        except BaseException:
            job.state, job.said = "failed", "The gateway failed. Its log says more."
            raise


async def series_of(upstream: Upstream, study: str, series: str | None) -> tuple[SeriesRef, ...]:
    """The series that are meant: the one that is named, or all of the study.

    Raises:
        RefusedError: There is no such study, or nothing in it.
        DicomZarrError: The upstream does not tell.
    """
    if series is not None:
        return (SeriesRef(study, series),)
    return tuple(SeriesRef(study, uid) for uid in await upstream.series_of(study))


async def held(store: SeriesStore) -> tuple[int, int]:
    """How many frames of a series lie on disk, and how many it has."""
    disk = store.source.series.disk
    count = await disk.count() if isinstance(disk, DiskFrames) else 0
    return count, sum(each.number_of_frames for each in _instances(store))


async def _keep(job: Job, ref: SeriesRef) -> None:
    try:
        store = await job.upstream.store(ref, zarr_format=3)
    except DicomZarrError as error:
        if job.series is not None:
            raise
        job.said = job.said or str(error)  # of a study, what has no pixels is no reason to leave out the rest
        return
    disk = store.source.series.disk
    if not isinstance(disk, DiskFrames):
        raise RefusedError(405, "The cache on disk cannot be used.")
    instances = _instances(store)
    before, job.of = job.frames, job.of + sum(each.number_of_frames for each in instances)
    keys = _keys(store.source.series, instances)
    while batch := list(islice(keys, _BATCH_FRAMES)):
        held = await disk.held(batch)
        job.frames += len(held)
        missing = [key for key in batch if key not in held]
        came = job.frames
        failures = list((await store.source.bring_behind(missing, job.one_more)).values())
        came = job.frames - came
        given_up = came + len(failures) < len(missing)
        if failures and (given_up or not (held or came)):
            raise failures[-1]
        if failures:
            job.said = job.said or str(failures[0])
    await disk.written(_WRITING)
    lost = job.frames - before - await disk.count()
    if lost > 0:
        job.frames -= lost
        job.said = job.said or "The cache on disk has no room for all of it: see cache_dir_bytes."


def _instances(store: SeriesStore) -> list[Instance]:
    """Those that a series' own images are made of; none of a label image that is not shown."""
    stored = store.source.series.instances
    shown = {uid for _, level in arrays(store.root) if not level.series for uid in level.attributes.sop_instance_uids}
    return [stored[uid] for uid in sorted(shown) if uid in stored]


def _keys(series: SeriesState, instances: Sequence[Instance]) -> Iterator[FrameKey]:
    for instance in instances:
        for number in range(1, instance.number_of_frames + 1):
            yield FrameKey(series, instance.sop_instance_uid, number)

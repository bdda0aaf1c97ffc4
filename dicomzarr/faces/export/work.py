"""Blocks worked through by several threads, which end in order whatever happens."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias

from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from dicomzarr.faces.export.blocks import Block

    Work: TypeAlias = Callable[[Block, "Gate"], str]
    Done: TypeAlias = Callable[[Block, str], None]
    Answers: TypeAlias = SimpleQueue[tuple[Block, str] | BaseException | None]

WORKERS: Final = 2 + (os.cpu_count() or 1)
"""Threads: each waits for frames most of the time, while others compress."""

FOR_SLICES: Final = 16
"""The same for slices that are instances of their own: a series comes in one reply if most of it is wanted at a time,
and 16 blocks of 16 MiB are 512 slices of 512 x 512."""


class StoppedError(Exception):
    """Nothing more is to be written."""


class Gate:
    """Whoever writes is inside: closing waits for those, and lets nobody in any more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    def __enter__(self) -> Self:
        with self._changed:
            if self._closed:
                raise StoppedError
            self._inside += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Return when nobody is inside."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)


def work_through(blocks: Sequence[Block], work: Work, done: Done, workers: int = WORKERS) -> None:
    """Have each block worked on in some thread, and be told in this one.

    The first error ends it, as does an interrupt: what is being written is finished and told of, nothing else begins,
    and nothing is waited for that only reads.

    Args:
        blocks: What there is to do.
        work: Runs in a thread; writes only inside the gate.
        done: Told of each block what ``work`` returned.
        workers: Number of threads.

    Raises:
        BaseException: The first that ``work`` raised.
    """
    gate, feed = Gate(), _Feed(blocks)
    answers: Answers = SimpleQueue()
    # Daemons: a read of a server that does not answer must not keep the process alive.
    left = min(workers, len(blocks))
    for number in range(left):
        name = f"dicomzarr-export-{number}"
        threading.Thread(target=_run, args=(feed, work, gate, answers), name=name, daemon=True).start()
    try:
        while left:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                left -= 1
            else:
                done(*answer)
    finally:
        feed.end()
        gate.close()
        _tell_of_the_rest(answers, done)


def _run(feed: _Feed, work: Work, gate: Gate, answers: Answers) -> None:
    """What each thread does."""
    try:
        while (block := feed.next()) is not None:
            answers.put((block, work(block, gate)))
    except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it
        answers.put(error)
    else:
        answers.put(None)


def _tell_of_the_rest(answers: Answers, done: Done) -> None:
    """Of blocks that were written after the first error."""
    with suppress(Empty, DicomZarrError):  # what failed has been said
        while True:
            answer = answers.get_nowait()
            if isinstance(answer, tuple):
                done(*answer)


class _Feed:
    """Hands out blocks to several threads."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self._lock = threading.Lock()

    def next(self) -> Block | None:
        """A block that nobody else gets; None when there is none left."""
        with self._lock:
            return next(self._blocks, None)

    def end(self) -> None:
        """Hand out no more."""
        with self._lock:
            self._blocks = iter(())

"""The thread that writes: changes are gathered, and never waited for."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from dicomzarr.disk.changes import Change, Keep, Remove, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.disk.rows import Content, Record

_GATHERING = 0.05  # seconds in which changes come together in one transaction
_IDLE = 2.0  # seconds without changes after which the thread ends


class Writer:
    """Hands changes over to a thread of its own, which lives as long as there are any.

    Args:
        write: Writes changes in their order, and gives whether it could.
        rest: Called when there has been nothing to do for a while.
        batch: Gives the bytes of one transaction, about.
        most_waiting: Bytes that may wait for the disk; what comes on top is not kept.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Change]], bool],
        rest: Callable[[], None],
        batch: Callable[[], int],
        most_waiting: int,
    ) -> None:
        self._write = write
        self._rest = rest
        self._batch = batch
        self._most_waiting = most_waiting
        self.forget()

    def forget(self) -> None:
        """Start anew, as in a forked child, which has none of its parent's threads."""
        self._changed = threading.Condition()
        self._waiting: deque[Change] = deque()
        self._bytes = 0
        self._unwritten = 0
        self._records: dict[bytes, Record] = {}
        self._removing: Counter[bytes] = Counter()
        self._thread: threading.Thread | None = None
        self._hurried = False
        self._stopped = False

    def add(self, change: Change) -> None:
        """Have a change made; from any thread, at once, and in vain where the disk cannot follow."""
        with self._changed:
            if self._stopped:
                return
            if self._thread is None:
                self._start()
            if self._bytes + size_of(change) > self._most_waiting:
                return
            self._waiting.append(change)
            self._count(change, 1)
            if len(self._waiting) == 1 or self._is_due():  # else the thread would wake up for each
                self._changed.notify_all()

    def sort(self, names: Sequence[bytes], series: bytes, view: bytes) -> tuple[dict[bytes, Content], list[bytes]]:
        """What of a series is not written yet, by name, and the names to look for in the database.

        What is to be removed is in neither.
        """
        with self._changed:
            if series in self._removing or view in self._removing:
                return {}, []
            waiting = {name: self._records[name].content for name in names if name in self._records}
            return waiting, [name for name in names if name not in waiting and name not in self._removing]

    def removes(self, series: bytes, view: bytes) -> bool:
        """Whether all of a series is to be removed."""
        with self._changed:
            return series in self._removing or view in self._removing

    def drain(self, seconds: float) -> bool:
        """Wait until nothing waits, or until it cannot be written; give whether nothing does."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None or not self._busy(), seconds)
            self._hurried = False
            return not self._busy()

    def stop(self, seconds: float) -> None:
        """Write what waits, if that takes no longer than this, and end the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _busy(self) -> bool:
        return self._unwritten > 0

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="dicomzarr-disk-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter is ending: the next change tries anew
            return
        self._thread = thread

    def _run(self) -> None:
        while batch := self._next():
            written = self._written(batch)
            with self._changed:
                for change in batch:
                    self._count(change, -1)
                if not written:
                    self._retain([change for change in batch if isinstance(change, Remove)])
                self._changed.notify_all()
                if not written:
                    self._thread = None  # the next change tries anew
                    return
        self._rest()

    def _written(self, batch: Sequence[Change]) -> bool:
        try:
            return self._write(batch)
        except Exception:  # noqa: BLE001  # one bad change may cost its batch, and never all that comes after
            return False

    def _retain(self, removals: list[Remove]) -> None:
        """Removals are not given up as entries are: what they name must not be read again."""
        self._waiting.extendleft(reversed(removals))
        for change in removals:
            self._count(change, 1)

    def _next(self) -> list[Change]:
        """The next batch; none when the thread has to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped, _IDLE)
            if self._waiting:
                deadline = time.monotonic() + _GATHERING
                self._changed.wait_for(self._is_due, max(0.0, deadline - time.monotonic()))
                return self._taken()
            self._thread = None
            return []

    def _is_due(self) -> bool:
        return self._hurried or self._stopped or self._bytes >= self._batch()

    def _taken(self) -> list[Change]:
        taken: list[Change] = []
        most = self._batch()
        size = 0
        while self._waiting and (not taken or size + size_of(self._waiting[0]) <= most):
            taken.append(self._waiting.popleft())
            size += size_of(taken[-1])
        return taken

    def _count(self, change: Change, sign: int) -> None:
        """Take a change up among what is not written yet, or out of it."""
        self._unwritten += sign
        self._bytes += sign * size_of(change)
        match change:
            case Keep(record) if sign > 0:
                self._records[record.name] = record
            case Keep(record):
                if self._records.get(record.name) is record:
                    del self._records[record.name]
            case Remove(_, tag):
                self._hide(tag, sign)

    def _hide(self, tag: bytes, sign: int) -> None:
        self._removing[tag] += sign
        if self._removing[tag] <= 0:
            del self._removing[tag]
        if sign > 0:
            doomed = [name for name, held in self._records.items() if tag in {name, held.series, held.view}]
            for name in doomed:
                del self._records[name]

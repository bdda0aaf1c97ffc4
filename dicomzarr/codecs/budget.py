"""Memory that frames take while they are decoded, all together: what does not fit waits."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from dicomzarr.runtime.process import at_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

_SMALL: Final = 16 * 2**20
"""Bytes of a frame that waits for nobody: each thread may decode one."""

_NOTHING: Final = nullcontext()


class Budget:
    """Bytes that threads take for a while."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is taken, as in a forked child, in which none of its parent's threads run."""
        self._changed = threading.Condition()
        self._taken = 0

    def taken(self, nbytes: int, most: int) -> AbstractContextManager[None]:
        """Wait until so many bytes fit, and have them for a while.

        Args:
            nbytes: What is taken; more than the most is had alone.
            most: Bytes that all may have together.
        """
        return _NOTHING if nbytes <= _SMALL else self._taken_of(nbytes, most)

    @contextmanager
    def _taken_of(self, nbytes: int, most: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self.fits(nbytes, most))
            self._taken += nbytes
        try:
            yield
        finally:
            with self._changed:
                self._taken -= nbytes
                self._changed.notify_all()

    def fits(self, nbytes: int, most: int) -> bool:
        """Whether so many bytes can be taken now; see `taken`."""
        return not self._taken or self._taken + nbytes <= most


BUDGET: Final = Budget()
"""That of this process."""

at_fork(in_child=BUDGET.forget)

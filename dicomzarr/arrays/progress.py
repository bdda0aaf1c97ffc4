"""How far reads are: a bar for people, or a function that is told."""

from __future__ import annotations

import sys
import threading
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from dicomzarr.errors import UsageError
from dicomzarr.runtime.home_loop import waited_for
from dicomzarr.runtime.process import ProcessLock, at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    Progress: TypeAlias = bool | Callable[["ReadProgress"], object] | None


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far the reads are that are watched."""

    frames: int = 0
    """That were read."""
    all_frames: int = 0
    """Of the reads that have begun."""
    nbytes: int = 0
    """Of pixels that were read."""
    all_nbytes: int = 0
    """Of pixels of the reads that have begun."""


class Watch:
    """Counts the frames of reads, and tells somebody, who must not read.

    Args:
        tell: Called after each frame, in a thread that decodes, never twice at once; what it raises ends a read.
    """

    def __init__(self, tell: Callable[[ReadProgress], object]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._now = ReadProgress()
        self._untold: deque[ReadProgress] = deque()
        self._is_telling = False

    def begin(self, frames: int, nbytes: int) -> None:
        """A read begins."""
        self._add(all_frames=frames, all_nbytes=nbytes)

    def done(self, nbytes: int) -> None:
        """A frame was read."""
        self._add(frames=1, nbytes=nbytes)

    def _add(self, **more: int) -> None:
        with self._lock:
            self._now = replace(self._now, **{name: getattr(self._now, name) + count for name, count in more.items()})
            self._untold.append(self._now)
            if self._is_telling:
                return  # whoever tells goes on until nothing is left
            self._is_telling = True
        self._tell_all()

    def _tell_all(self) -> None:
        """Not under the lock: others would wait for the function, and it perhaps for them."""
        try:
            with waited_for():
                while (now := self._next()) is not None:
                    self._tell(now)
        except BaseException:
            with self._lock:
                self._is_telling = False
            raise

    def _next(self) -> ReadProgress | None:
        with self._lock:
            self._is_telling = bool(self._untold)
            return self._untold.popleft() if self._untold else None


_watches: tuple[Watch, ...] = ()
"""Those that are on in this process: dask reads in threads of its own."""

_switching = ProcessLock()


def watches() -> tuple[Watch, ...]:
    """Whoever watches now."""
    return _watches


@contextmanager
def progress(tell: Callable[[ReadProgress], object] | None = None, *, console: Console | None = None) -> Iterator[None]:
    """Show how far all reads are that begin meanwhile, in any thread: of levels, dask arrays, xarray, thumbnails.

    ```python
    with dicomzarr.progress():
        brightest = image.levels[0].to_dask().max().compute()
    ```

    What zarr and fsspec read chunk by chunk is not counted, nor what forked children read.

    Args:
        tell: Told of each frame, in the place of the bar. It must not read: that is an `EventLoopError`.
        console: Where the bar is shown, until the end; by default it stays, on standard error.
    """
    with ExitStack() as stack:
        watch = Watch(tell or stack.enter_context(_bar(console)))
        _switch(add=watch)
        try:
            yield
        finally:
            _switch(remove=watch)


@contextmanager
def watching(wanted: Progress) -> Iterator[tuple[Watch, ...]]:
    """Who watches one read alone, for the argument ``progress``.

    Raises:
        UsageError: It is neither a truth value nor a function.
    """
    if wanted is None or wanted is False:
        yield ()
    elif wanted is True:
        with _bar(None) as tell:
            yield (Watch(tell),)
    elif callable(wanted):
        yield (Watch(wanted),)
    else:
        raise UsageError(f"progress is {wanted!r:.40}.", remedy="Give True for a bar, or a function that is told.")


def _switch(*, add: Watch | None = None, remove: Watch | None = None) -> None:
    global _watches  # noqa: PLW0603  # who watches is a matter of the process
    with _switching:
        kept = tuple(each for each in _watches if each is not remove)
        _watches = kept if add is None else (*kept, add)


def _forget() -> None:
    global _watches  # noqa: PLW0603  # as above
    _watches = ()


at_fork(in_child=_forget)  # who watches is told in the parent


@contextmanager
def _bar(console: Console | None) -> Iterator[Callable[[ReadProgress], None]]:
    from rich.console import Console as Standard  # noqa: PLC0415  # who shows nothing does without
    from rich.progress import (  # noqa: PLC0415  # as above
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415  # as above

    # A notebook shows what a terminal would, where nothing is asked for that it may lack.
    where: Any = console or Standard(
        stderr=True, force_jupyter=False, force_terminal=True if "ipykernel" in sys.modules else None
    )
    columns = (
        TextColumn("{task.fields[frames]} frames"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=where, transient=console is not None) as bar:
        task = bar.add_task("reading", total=None, frames="0")

        def tell(now: ReadProgress) -> None:
            bar.update(
                task, completed=now.nbytes, total=now.all_nbytes or None, frames=f"{now.frames} of {now.all_frames}"
            )

        yield tell

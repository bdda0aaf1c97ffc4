"""The home loop: sessions, frames in flight and batches live on one event loop, fsspec's own."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import fsspec.asyn

from dicomzarr.errors import DicomZarrError, EventLoopError
from dicomzarr.runtime.tracebacks import without_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_Answer = TypeVar("_Answer")


class _Here(threading.local):
    """What is so in one thread."""

    is_waited_for = False


_here = _Here()


def home_loop() -> asyncio.AbstractEventLoop:
    """The loop that owns every connection; started when first asked for."""
    loop: asyncio.AbstractEventLoop = fsspec.asyn.get_loop()
    return loop


def run_sync(
    coroutine_function: Callable[..., Coroutine[Any, Any, _Answer]],
    *args: Any,
    meanwhile: Callable[[], object] | None = None,
) -> _Answer:
    """Run on the home loop and wait, from any other thread.

    Args:
        coroutine_function: What runs there...
        *args: ... and with what.
        meanwhile: Called here before waiting.

    Raises:
        EventLoopError: Called on the home loop itself, which would wait for itself, or while `waited_for`.
        RuntimeError: The interpreter is ending, and the home loop with it.
    """
    if sys.is_finalizing():
        raise RuntimeError("The interpreter is ending: nothing can be read any more.")
    loop = home_loop()
    refuse_running(loop)
    future = asyncio.run_coroutine_threadsafe(coroutine_function(*args), loop)
    try:
        if meanwhile is not None:
            meanwhile()
        return future.result()
    except DicomZarrError as error:
        failure = without_frames(error)
    finally:
        future.cancel()  # whoever interrupts the wait no longer needs the answer
    del coroutine_function, args  # in which may be what was searched for
    raise failure


@contextmanager
def waited_for() -> Iterator[None]:
    """What runs here has reads wait for it, and so must not wait for a read: meanwhile that is refused."""
    before, _here.is_waited_for = _here.is_waited_for, True
    try:
        yield
    finally:
        _here.is_waited_for = before


def refuse_running(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse to wait for a loop on that very loop, or in a thread that reads wait for.

    Raises:
        EventLoopError: It is the one that runs here, or this is such a thread.
    """
    if _here.is_waited_for:
        raise EventLoopError(
            "A synchronous call was made in a function that a read calls and waits for.",
            remedy="Note there what is to be read, and read it in a thread of your own.",
        )
    if _running_loop() is loop:
        raise EventLoopError(
            "A synchronous call was made on the event loop that has to serve it.",
            remedy="Await the asynchronous method, or call from another thread.",
        )


async def run_home(coroutine_function: Callable[..., Coroutine[Any, Any, _Answer]], *args: Any) -> _Answer:
    """Await on the home loop, from whatever loop is running."""
    loop = home_loop()
    try:
        if _running_loop() is loop:
            return await coroutine_function(*args)
        future = asyncio.run_coroutine_threadsafe(coroutine_function(*args), loop)
        return await asyncio.wrap_future(future)
    except DicomZarrError as error:
        failure = without_frames(error)
    del coroutine_function, args
    raise failure


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

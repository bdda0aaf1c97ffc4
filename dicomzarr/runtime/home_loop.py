"""The home loop: sessions, frames in flight and batches live on one event loop, fsspec's own."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import fsspec.asyn

from dicomzarr.errors import DicomZarrError, EventLoopError
from dicomzarr.runtime.tracebacks import without_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Answer = TypeVar("_Answer")


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
        EventLoopError: Called on the home loop itself, which would wait for itself.
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


def refuse_running(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse to wait for a loop on that very loop.

    Raises:
        EventLoopError: It is the one that runs here.
    """
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

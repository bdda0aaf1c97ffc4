"""Sessions that nobody closed: closed at exit, after a fork and by the garbage collector, quietly."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from dicomzarr.sources.http.unread import CleanConnector

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    Handler: TypeAlias = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

SECONDS_CLOSING: Final = 1.0
"""That closing at exit may take."""

_TICKS_LETTING_GO: Final = 5
"""Of the loop, in which those who read on connections hear that these are closed: else aiohttp complains at exit."""

_CLOSING_TASKS: set[asyncio.Task[None]] = set()


def keep_quiet(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop say nothing of our connections that the garbage collector closes.

    It does so where a process ends in the middle of a request, and the user can do nothing about it.
    """
    others = loop.get_exception_handler()
    if not (isinstance(others, partial) and others.func is _tell_of_others):
        loop.set_exception_handler(partial(_tell_of_others, others))


def _tell_of_others(others: Handler | None, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if isinstance(getattr(context.get("client_connection"), "_connector", None), CleanConnector):
        return
    if others is None:
        loop.default_exception_handler(context)
    else:
        others(loop, context)


def dispose(
    session: aiohttp.ClientSession,
    loop: asyncio.AbstractEventLoop,
    process: int,
    seconds: float = SECONDS_CLOSING,
) -> None:
    """Close a session that nobody can close any more, also at exit and from other threads.

    Args:
        session: What is closed.
        loop: Its loop.
        process: The process that made it.
        seconds: How long that may take when the process ends.
    """
    connector = session.connector
    if connector is None or session.closed:
        return
    session.detach()  # from here on the session is closed, and only its connections are left
    if os.getpid() != process or not loop.is_running():
        # The loop has stopped, or belongs to the parent of this fork: nothing may be sent on its connections.
        connector._conns.clear()  # noqa: SLF001  # else aiohttp would close them itself, with a warning
    elif _runs_here(loop):
        closing = loop.create_task(_close(connector))
        _CLOSING_TASKS.add(closing)  # a loop holds its tasks only weakly
        closing.add_done_callback(_CLOSING_TASKS.discard)
    else:
        closed = asyncio.run_coroutine_threadsafe(_close(connector), loop)
        if not threading.main_thread().is_alive():  # the process ends
            # Not before: garbage is collected under any lock, and the loop may wait for the very same.
            with suppress(TimeoutError):
                closed.result(seconds)


async def _close(connector: aiohttp.BaseConnector) -> None:
    await connector.close()
    for _ in range(_TICKS_LETTING_GO):
        await asyncio.sleep(0)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False

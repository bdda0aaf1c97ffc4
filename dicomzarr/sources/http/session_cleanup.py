"""Sessions that nobody closed: closed at exit, after a fork and by the garbage collector, quietly."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import aiohttp

SECONDS_CLOSING: Final = 1.0
"""That closing at exit may take."""

_TICKS_LETTING_GO: Final = 5
"""Of the loop, in which those who read on connections hear that these are closed: else aiohttp complains at exit."""

_CLOSING_TASKS: set[asyncio.Task[None]] = set()


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
        ends = not threading.main_thread().is_alive()  # the process
        if ends:
            loop.call_soon_threadsafe(loop.set_exception_handler, _end_quietly)
        closed = asyncio.run_coroutine_threadsafe(_close(connector), loop)
        if ends:
            # Not before: garbage is collected under any lock, and the loop may wait for the very same.
            with suppress(TimeoutError):
                closed.result(seconds)


async def _close(connector: aiohttp.BaseConnector) -> None:
    await connector.close()
    for _ in range(_TICKS_LETTING_GO):
        await asyncio.sleep(0)


def _end_quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of connections on which something was read when the process was ended: they close with it."""
    if context.get("message") != "Unclosed connection":
        loop.default_exception_handler(context)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False

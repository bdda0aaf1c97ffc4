"""``dicomzarr serve --workers N``: processes that listen at one port, and share the cache on disk.

The kernel hands each connection to one of them (SO_REUSEPORT). A worker that ends is replaced; all end with the first.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dicomzarr.errors import UsageError
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.faces.listening import cannot_listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from dicomzarr.session.kinds import SeriesURL

_SPAWN: Final = multiprocessing.get_context("spawn")  # a forked child would have locks of threads that it lacks
_PAUSE: Final = 1.0
"""Seconds after which a worker that ended is replaced: one that cannot begin shall not begin all the time."""

_GRACE: Final = 5.0


class _Shown(NamedTuple):
    """An upstream, as it travels to another process."""

    name: str
    url: SeriesURL
    options: Mapping[str, Any]


def check_port(settings: Settings) -> None:
    """Look whether a port is free: with SO_REUSEPORT another gateway's would be shared without a word.

    Raises:
        UsageError: It is not.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("Several workers cannot listen at one port on this system.", remedy="Leave --workers away.")
    try:
        for family, *_, address in socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM):
            with socket.create_server(address[:2], family=family):
                pass
    except (OSError, OverflowError) as error:
        raise cannot_listen(settings.host, settings.port, error) from None


@contextmanager
def workers(
    count: int,
    upstreams: Sequence[Upstream],
    settings: Settings,
    log: Callable[[bool], AbstractContextManager[None]],
    *,
    logs: bool,
) -> Iterator[list[int]]:
    """Run workers beside a gateway in this process; all end with the block.

    Args:
        count: How many.
        upstreams: What they show.
        settings: How they listen, with the port of the gateway.
        log: Shows a line for each request; a function at the top of a module.
        logs: Whether it does.
    """
    shown = [_Shown(each.name, each.url, dict(each.options)) for each in upstreams]
    # They end when this end is closed, however this process ends.
    theirs, ours = _SPAWN.Pipe(duplex=False)

    def begin() -> SpawnProcess:
        process = _SPAWN.Process(target=_work, args=(theirs, shown, settings, log, logs), daemon=True)
        process.start()
        return process

    running = [begin() for _ in range(count)]
    ending = threading.Event()

    def replace() -> None:
        while not ending.is_set():
            wait([each.sentinel for each in running], timeout=_PAUSE)
            for place, each in enumerate(running):
                if not each.is_alive() and not ending.wait(_PAUSE):
                    running[place] = begin()

    keeper = threading.Thread(target=replace, name="dicomzarr-workers", daemon=True)
    keeper.start()
    try:
        yield [each.pid or 0 for each in running]
    finally:
        ending.set()
        keeper.join(_GRACE)
        ours.close()
        theirs.close()
        for each in running:
            each.join(_GRACE)
            if each.is_alive():
                each.kill()


def _work(
    parent: Connection,
    shown: Sequence[_Shown],
    settings: Settings,
    log: Callable[[bool], AbstractContextManager[None]],
    logs: bool,  # noqa: FBT001  # a function cannot be told by name in another process
) -> None:
    """In a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the first, which ends this one
    upstreams = [Upstream(each.name, each.url, each.options, may_keep=False) for each in shown]
    with Gateway(upstreams, settings), log(logs), suppress(EOFError, OSError):
        parent.recv()

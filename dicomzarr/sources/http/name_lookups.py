"""Names of hosts are looked up in threads of ours: those of a loop take nothing more once the main thread has ended."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any, cast

from aiohttp import ThreadedResolver

from dicomzarr.runtime.pools import NAMES


class _Lookups:
    """What aiohttp's resolver asks of a loop."""

    async def getaddrinfo(self, host: str, port: int, **hints: Any) -> list[Any]:
        try:
            return await NAMES.run(partial(socket.getaddrinfo, host, port, **hints))
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "no host can have that name") from None

    async def getnameinfo(self, address: Any, flags: int = 0) -> tuple[str, str]:
        return await NAMES.run(socket.getnameinfo, address, flags)


def resolver() -> ThreadedResolver:
    """What looks up names for a session."""
    return ThreadedResolver(cast("Any", _Lookups()))

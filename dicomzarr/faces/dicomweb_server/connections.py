"""Connections that clients open, and how long nothing may be asked on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from dicomzarr.faces.listening import FIRST_REQUEST

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware


class FirstRequests:
    """Ends connections on which no request comes in time: each takes a file handle."""

    def __init__(self) -> None:
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def connection(self, server: web.Server) -> web.RequestHandler:
        """A connection that was opened just now; called by the event loop."""
        handler = server()
        self._silent[handler] = asyncio.get_running_loop().call_later(FIRST_REQUEST, self._end, handler)
        return handler

    def _end(self, handler: web.RequestHandler) -> None:
        del self._silent[handler]
        if isinstance(handler.transport, asyncio.Transport):
            handler.transport.abort()

    @property
    def middleware(self) -> Middleware:
        """Takes note of requests; the outermost."""

        @web.middleware
        async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
            timer = self._silent.pop(request.protocol, None)
            if timer is not None:
                timer.cancel()
            return await handler(request)

        return heard

"""Connections that clients open to the gateway: how long they last, and what is said of what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from dicomzarr.faces.gateway.refusals import Refusal
from dicomzarr.faces.gateway.replies import COMMON, refusal_reply
from dicomzarr.faces.listening import FIRST_REQUEST, NEXT_REQUEST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ERRORS: Final = logging.getLogger("dicomzarr.gateway")


class _Connection(web.RequestHandler):
    """A connection; whatever cannot be read as a request is answered in our words, and nothing of it is repeated.

    aiohttp would log it, and send it back: a line that is broken may hold a token.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # of aiohttp, with what came
    ) -> web.StreamResponse:
        """See `web.RequestHandler`.

        Raises:
            ConnectionError: Some of a reply is sent already.
        """
        self.log_exception(status, exc)
        if request.writer.output_size > 0:
            raise ConnectionResetError("A reply was broken off.")
        sentence = "This is no request that the gateway can read." if status < 500 else "The gateway failed."  # noqa: PLR2004
        reply = refusal_reply(Refusal(status, sentence), as_json=False)
        reply.headers.update(COMMON)
        reply.force_close()
        return reply

    def log_exception(self, *told: Any, **_: Any) -> None:
        """See `web.RequestHandler`; told are kinds alone."""
        kinds = [type(each).__name__ if isinstance(each, BaseException) else str(each) for each in told]
        _ERRORS.debug("A connection was ended: %s.", " ".join(kinds))


class Connections(web.Server):
    """The server of aiohttp, without its router, which would answer by itself what it does not know."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        async def answer_first(request: web.BaseRequest) -> web.StreamResponse:
            self._heard(request.protocol)
            return await answer(request)

        super().__init__(answer_first, handler_cancellation=True)
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> web.RequestHandler:
        """A connection that was opened just now."""
        loop = asyncio.get_running_loop()
        return _Connection(self, loop=loop, access_log=None, keepalive_timeout=NEXT_REQUEST)  # type: ignore[arg-type]

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """See `web.Server`."""
        super().connection_made(handler, transport)
        self._silent[handler] = asyncio.get_running_loop().call_later(FIRST_REQUEST, transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """See `web.Server`."""
        super().connection_lost(handler, exc)
        self._heard(handler)

    def _heard(self, handler: web.RequestHandler) -> None:
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

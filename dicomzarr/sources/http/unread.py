"""Connections on which bytes came that nobody asked for: they must answer no request (RFC 9112 section 9.2).

A server or proxy that sends a reply twice, or a 408 on an idle connection, would answer the next request with it:
another frame in the place of the one asked for, in silence.
"""

from __future__ import annotations

import select
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from dicomzarr.sources.http.statuses import Meaning, status_means

_EVENTS = select.POLLIN | select.POLLHUP | select.POLLERR if hasattr(select, "poll") else 0


class _ImpatientHandler(ResponseHandler):
    """A connection on which the time without progress counts behind an interim reply (1xx), too."""

    def data_received(self, data: bytes) -> None:
        """Aiohttp's own, which takes such a reply for the answer, and waits for what follows without an end."""
        super().data_received(data)
        if self._buffer and status_means(self._buffer[-1][0][0].code, Meaning.INTERIM):
            self._reschedule_timeout()


class CleanConnector(aiohttp.TCPConnector):
    """Uses an idle connection again only if nothing has come on it since its last reply ended.

    Of a server that sent a reply that nobody had asked for, no connection is used again at all: the next
    such reply might come a moment after the next request, and pass for the answer.
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self._factory = partial(_ImpatientHandler, loop=self._loop)  # type: ignore[assignment]  # a kind of those

    async def _get(self, key: Any, traces: Any) -> Any:
        """Aiohttp's own, which takes a connection out of the pool; it looks at the clock alone."""
        idle = [protocol for protocol, _ in self._conns.get(key, ())]
        self._distrust_if(any(map(_has_reply, idle)))
        for protocol in idle:
            if self._force_close or _has_unread(protocol):
                protocol.close()  # and what is closed is passed over
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        """Aiohttp's own, which puts a connection into the pool; it closes one on which more has come."""
        self._distrust_if(_has_reply(protocol))
        super()._release(key, protocol, should_close=should_close)

    def _distrust_if(self, proved: bool) -> None:  # noqa: FBT001  # what was seen
        self._force_close = self._force_close or proved


def _has_reply(protocol: ResponseHandler) -> bool:
    """Whether a reply waits that is more than a farewell."""
    return any(not status_means(message.code, Meaning.FAREWELL) for (message, _), _ in protocol._buffer)  # noqa: SLF001  # nothing else tells


def _has_unread(protocol: ResponseHandler) -> bool:
    """Whether bytes wait that belong to no request, in aiohttp or still in the socket; or the end of the connection."""
    transport = protocol.transport
    if transport is None or transport.is_closing():
        return False
    return protocol.should_close or _is_readable(transport.get_extra_info("socket"))


def _is_readable(socket: Any) -> bool:
    if socket is None or socket.fileno() < 0:
        return False
    if not hasattr(select, "poll"):  # on Windows, whose select has no bound on numbers of files
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket, _EVENTS)
    return bool(poll.poll(0))

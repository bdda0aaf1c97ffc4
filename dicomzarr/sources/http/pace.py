"""How slow a reply may be: a server that sends a byte now and then makes progress, and would be waited for for ever."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from dicomzarr.errors import RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

_Reply = TypeVar("_Reply")


async def within(seconds: float, host: str, answer: Coroutine[Any, Any, _Reply]) -> _Reply:
    """The beginning of an answer, which comes in time whatever is sent before it (1xx, RFC 9110 section 15.2).

    Raises:
        RequestTimeoutError: It does not.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await answer
    except TimeoutError:
        if not deadline.expired():
            raise
        raise RequestTimeoutError(
            f"{host} did not begin its answer within {seconds:g} s.",
            remedy="If it is that slow, raise the bound: limits={'header_seconds': ...}.",
        ) from None


class Pace:
    """The pace of one body. Only the time counts in which it is waited for: whoever reads may be slow.

    Args:
        host: The server, for messages.
        grace: Seconds, for twice of which it may be slow.
        least: Bytes a second that it has to bring on average after that.
        most: Seconds that it may take altogether.
    """

    def __init__(self, host: str, grace: float, least: int, most: float) -> None:
        self._host = host
        self._grace = 2 * grace  # after one of it without any byte the timeout of the socket says so
        self._least = least
        self._most = most
        self._size = 0
        self._waited = 0.0

    async def next(self, reading: Coroutine[Any, Any, bytes]) -> bytes:
        """What comes next.

        Raises:
            RequestTimeoutError: It comes too slowly.
        """
        left = min(max(self._grace, self._size / self._least), self._most) - self._waited
        began = time.monotonic()
        try:
            async with asyncio.timeout(left) as deadline:
                chunk = await reading
        except TimeoutError:
            if not deadline.expired():
                raise
            raise RequestTimeoutError(
                f"{self._host} gave {self._size} bytes of a reply in {self._waited + left:.0f} s.",
                remedy="If it is that slow, lower the bound on bytes a second: limits={'least_rate': 1}."
                " None may take longer than 'reply_seconds'.",
            ) from None
        self._waited += time.monotonic() - began
        self._size += len(chunk)
        return chunk

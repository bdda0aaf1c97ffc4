"""Encoded frames that have come and wait for a decoder: as long as these are many, no more are asked for."""

from __future__ import annotations

import asyncio
from typing import Final

MOST_BYTES: Final = 64 * 2**20
"""More than decoders need to never wait, and little beside what is held in memory anyway."""


class Backlog:
    """Counts the bytes of one endpoint's readers; lives on the home loop.

    Args:
        most: Bytes from which on it is full.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_full(self) -> bool:
        """Whether no more should come for now."""
        return self._bytes >= self._most

    def add(self, nbytes: int) -> None:
        """A frame waits for a decoder."""
        self._bytes += nbytes

    def remove(self, nbytes: int) -> bool:
        """Frames have been decoded, or given up; gives whether it was full, and is full no more."""
        was_full = self.is_full
        self._bytes -= nbytes
        if not was_full or self.is_full:
            return False
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return True

    async def ready(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

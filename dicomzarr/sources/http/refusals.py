"""Credentials that a server refused are not sent again for seconds: a wrong password sent often locks its owner out."""

from __future__ import annotations

import asyncio
import copy
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import AuthenticationError
from dicomzarr.options.limits import LIMITS
from dicomzarr.options.secrets import keyed_hash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_HELD: Final = 64
"""Refusals that are remembered."""


class Refusals:
    """What one server refused; on one event loop.

    Args:
        seconds: For which a refusal is remembered.
        clock: Gives seconds, and never goes back.
    """

    def __init__(self, seconds: float = LIMITS.refused_seconds, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._refused: dict[str, tuple[float, AuthenticationError]] = {}
        """By hashes of credentials: until when, and how."""
        self._accepted = ""
        """The hash of the password that was accepted last."""
        self._trying = asyncio.Lock()

    @asynccontextmanager
    async def guard(self, credentials: Mapping[str, str]) -> AsyncIterator[Callable[[], None]]:
        """Around a request with credentials. A password that is new is tried by one request alone.

        Yields:
            What is to be called as soon as the server has answered with anything but a refusal.

        Raises:
            AuthenticationError: The same were refused just now, and are not sent.
        """
        if not credentials:
            yield _do_nothing
            return
        name = keyed_hash(repr(sorted(credentials.items())))
        alone = name != self._accepted and credentials.get("authorization", "").startswith("Basic ")
        if alone:
            await self._trying.acquire()

        def let_others() -> None:
            nonlocal alone
            if alone:
                alone = False
                self._trying.release()

        def accepted() -> None:
            self._accepted = name
            self._refused.pop(name, None)
            let_others()

        try:
            self._check(name)
            yield accepted
        except AuthenticationError as error:
            if not error.redirected_to:  # nobody was sent them there
                self._remember(name, error)
            raise
        finally:
            let_others()

    def _check(self, name: str) -> None:
        until, refusal = self._refused.get(name, (0.0, None))
        if refusal is not None and self._clock() < until:
            raise copy.copy(refusal)

    def _remember(self, name: str, error: AuthenticationError) -> None:
        if name in self._refused and self._clock() < self._refused[name][0]:
            return
        known = copy.copy(error)
        known.remedy = f"It was refused just now, and is not sent again for {self._seconds:g} s. {error.remedy}"
        self._refused.pop(name, None)
        self._refused[name] = (self._clock() + self._seconds, known)
        while len(self._refused) > _HELD:
            del self._refused[next(iter(self._refused))]


def _do_nothing() -> None:
    """Who comes without credentials is told so as often as they like."""

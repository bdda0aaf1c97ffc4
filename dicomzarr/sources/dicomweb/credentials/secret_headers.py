"""Secret headers of requests: what gives them, fixed or from a callable that refreshes them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from dicomzarr.errors import (
    AuthenticationError,
    DicomZarrError,
    InsecureTransportError,
)
from dicomzarr.options import valid_headers
from dicomzarr.sources.dicomweb.urls import host_of, is_loopback

if TYPE_CHECKING:
    from dicomzarr.options import Access, HeadersCallable


class Credentials(Protocol):
    """Gives the secret headers of each request."""

    renewable: bool
    """Whether asking again after a 401 may give better ones."""

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """The headers to add to a GET of ``url`` that carries ``headers``.

        Args:
            url: What is requested.
            headers: The other headers of the request.
            refused: What this gave before for the same request, and the server did not accept.

        Raises:
            AuthenticationError: They cannot be had.
            InsecureTransportError: They would travel over plain HTTP.
        """

    def close(self) -> None:
        """Release threads."""


def refuse_plain_http(url: str, options: Access) -> None:
    """Raise when credentials for this URL would be readable on the network.

    Raises:
        InsecureTransportError: It is plain HTTP to another machine, and ``allow_insecure`` is not
            set.
    """
    if url.startswith("https://") or options.allow_insecure or is_loopback(url):
        return
    raise InsecureTransportError(
        f"Credentials for {host_of(url)} would travel over plain HTTP.",
        remedy="Use dicomwebs:// (HTTPS), or set allow_insecure=True if the network is trusted.",
    )


class FixedCredentials:
    """The same headers for every request."""

    renewable = False

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """See `Credentials.headers_for`."""
        del url, headers, refused
        return self._headers

    def close(self) -> None:
        """See `Credentials.close`."""


_SECONDS_IDLE: Final = 1.0
"""After which a thread ends that nobody needs."""


class CredentialThread:
    """A thread of its own for the user's code, one call at a time: who hangs there holds up nobody else.

    It ends when nobody calls, for a process may know a thousand callers; and the process ends without it.

    Args:
        what: What is called, to begin a message with.
        timeout: Seconds that a call may take.
    """

    def __init__(self, what: str, timeout: float) -> None:
        self._what = what
        self._timeout = timeout
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._runs = False

    def begin(self, call: HeadersCallable) -> asyncio.Future[Mapping[str, str]]:
        """Call for headers."""
        begun = _Call(call, Future())
        with self._changed:
            if not self._runs:
                # Not one of a pool: the interpreter would wait for its end, and what hangs has none.
                threading.Thread(target=self._run, name="dicomzarr-auth", daemon=True).start()
                self._runs = True
            self._calls.append(begun)
            self._changed.notify()
        return asyncio.wrap_future(begun.headers)

    async def result(self, running: asyncio.Future[Mapping[str, str]]) -> Mapping[str, str]:
        """What a call gives.

        Raises:
            AuthenticationError: It failed, or took too long.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await running
        except TimeoutError:
            raise AuthenticationError(
                f"{self._what} gave nothing for {self._timeout:g} s.", remedy="Look at what it waits for."
            ) from None

    def close(self) -> None:
        """Wait for nothing any more."""
        with self._changed:
            while self._calls:
                self._calls.popleft().headers.cancel()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            call.answer()

    def _next(self) -> _Call | None:
        """The next call; without one for a while the thread ends."""
        with self._changed:
            self._runs = self._changed.wait_for(lambda: bool(self._calls), _SECONDS_IDLE)
            return self._calls.popleft() if self._runs else None


class _Call(NamedTuple):
    """A call of the user's code, whose exceptions may quote secrets: only their type is told."""

    call: HeadersCallable
    headers: Future[Mapping[str, str]]

    def answer(self) -> None:
        if not self.headers.set_running_or_notify_cancel():
            return
        try:
            self.headers.set_result(self.call())
        except DicomZarrError as error:
            self.headers.set_exception(error)
        except BaseException as error:  # noqa: BLE001  # SystemExit, too: it would end the loop that waits
            self.headers.set_exception(
                AuthenticationError(
                    f"Getting credentials failed with {type(error).__name__}.",
                    remedy="Call it on its own to see why: its text may hold secrets and is not repeated here.",
                )
            )


class CalledCredentials:
    """Headers from the user's callable, which is called for each request, in a thread and once at a time."""

    renewable = True

    def __init__(self, fixed: Mapping[str, str], call: HeadersCallable, timeout: float) -> None:
        self._fixed = fixed
        self._call = call
        self._thread = CredentialThread("The auth callable", timeout)
        self._running: asyncio.Future[Mapping[str, str]] | None = None

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """See `Credentials.headers_for`. Requests that ask while a call runs share its result."""
        del url, headers, refused
        if self._running is None:
            self._running = self._thread.begin(self._validated_call)
            self._running.add_done_callback(self._forget)
        return {**self._fixed, **await self._thread.result(asyncio.shield(self._running))}

    def _validated_call(self) -> dict[str, str]:
        headers: object = self._call()
        if not isinstance(headers, Mapping):
            raise AuthenticationError(
                f"The auth callable returned a {type(headers).__name__}.",
                remedy="It must return a mapping of header names to texts.",
            )
        return valid_headers(headers, "what the auth callable returned")

    def _forget(self, finished: asyncio.Future[Mapping[str, str]]) -> None:
        self._running = None
        if not finished.cancelled():
            finished.exception()  # seen, also when every waiter has been cancelled

    def close(self) -> None:
        """See `Credentials.close`."""
        self._thread.close()

"""Secret headers of requests: what gives them, fixed or from a callable that refreshes them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from dicomzarr.errors import (
    AuthenticationError,
    DicomZarrError,
    InsecureTransportError,
)
from dicomzarr.options import SecretHeaders, valid_headers
from dicomzarr.runtime.pools import Threads
from dicomzarr.runtime.single_flight import SingleFlight
from dicomzarr.sources.http.credentials.given import CALLABLE, HEADERS, of_provider
from dicomzarr.sources.http.urls import host_of, is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dicomzarr.options import HeadersCallable, Provider, Rejected
    from dicomzarr.sources.http.credentials.given import Given


class Careful(Protocol):
    """Says whether credentials may travel in plain text."""

    @property
    def allow_insecure(self) -> bool:
        """They may, to other machines too."""


NEVER: Final[frozenset[int]] = frozenset()
AFTER_401: Final = frozenset({401})


class Credentials(Protocol):
    """Gives the secret headers of each request."""

    renewable_after: frozenset[int]
    """The statuses after which asking again may give better ones."""
    given: Given
    """Whose they are, for errors."""

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Rejected | None = None
    ) -> Mapping[str, str]:
        """The headers to add to a GET of ``url`` that carries ``headers``.

        Args:
            url: What is requested.
            headers: The other headers of the request.
            refused: How the server refused what this gave before for the same request.

        Raises:
            AuthenticationError: They cannot be had.
            InsecureTransportError: They would travel over plain HTTP.
        """


def refuse_plain_http(url: str, options: Careful) -> None:
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

    renewable_after = NEVER

    def __init__(self, headers: Mapping[str, str], given: Given = HEADERS) -> None:
        self._headers = SecretHeaders(headers)
        self.given = given

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Rejected | None = None
    ) -> Mapping[str, str]:
        """See `Credentials.headers_for`."""
        del url, headers, refused
        return self._headers


SECONDS_IDLE: Final = 1.0
"""After which a thread ends that nobody needs."""


class CredentialThread:
    """A thread of its own for the user's code, one call at a time: who hangs there holds up nobody else.

    Args:
        what: What is called, to begin a message with.
        timeout: Seconds that a call may take.
        idle: Seconds after which the thread ends, if nobody calls: a process may know a thousand callers.
    """

    def __init__(self, what: str, timeout: float, idle: float = SECONDS_IDLE) -> None:
        self._what = what
        self._timeout = timeout
        self._thread = Threads("dicomzarr-auth", 1, idle)

    async def call(self, call: Callable[[], dict[str, str]]) -> dict[str, str]:
        """What a call gives, however long it takes."""
        return await self._thread.run(_called_safely, call)

    async def in_time(self, running: Awaitable[dict[str, str]]) -> dict[str, str]:
        """What a call gives that is under way.

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


class CalledCredentials:
    """Headers from the user's callable, which is called for each request, in a thread and once at a time."""

    renewable_after = AFTER_401

    def __init__(
        self, fixed: Mapping[str, str], call: HeadersCallable, timeout: float, given: Given = CALLABLE
    ) -> None:
        self._fixed = fixed
        self.given = given
        self._call = call
        self._thread = CredentialThread("The auth callable", timeout)
        self._calls: SingleFlight[None, dict[str, str]] = SingleFlight()

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Rejected | None = None
    ) -> Mapping[str, str]:
        """See `Credentials.headers_for`. Requests that ask while a call runs share its result."""
        del url, headers, refused
        running = self._calls.do(None, partial(self._thread.call, self._validated_call))
        return SecretHeaders({**self._fixed, **await self._thread.in_time(running)})

    def _validated_call(self) -> dict[str, str]:
        return _checked(self._call(), "auth callable")


class ProviderCredentials:
    """Headers from a provider, which sees each request; it is called in a thread and once at a time."""

    renewable_after = frozenset({401, 403})

    def __init__(self, fixed: Mapping[str, str], provider: Provider, timeout: float) -> None:
        self._fixed = fixed
        self.given = of_provider(provider.reference or type(provider).__name__)
        self._provider = provider
        self._thread = CredentialThread("The credential provider", timeout)

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Rejected | None = None
    ) -> Mapping[str, str]:
        """See `Credentials.headers_for`."""
        ask = partial(self._ask, url, headers, refused)
        return SecretHeaders({**self._fixed, **await self._thread.in_time(self._thread.call(ask))})

    def _ask(self, url: str, headers: Mapping[str, str], refused: Rejected | None) -> dict[str, str]:
        if refused is not None and not self._provider.rejected(refused):
            return SecretHeaders(refused.sent)
        return _checked(self._provider.headers("GET", url, headers), "credential provider")


def _checked(headers: object, what: str) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise AuthenticationError(
            f"The {what} returned a {type(headers).__name__}.",
            remedy="It must return a mapping of header names to texts.",
        )
    return SecretHeaders(valid_headers(headers, f"what the {what} returned"))


def _called_safely(call: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Call the user's code, whose exceptions may quote secrets: only their type is told.

    Raises:
        AuthenticationError: The call failed.
    """
    try:
        return call()
    except DicomZarrError as error:
        error.__cause__ = error.__context__ = None
        raise error.with_traceback(None) from None  # no locals of whatever holds the secrets
    except BaseException as error:  # noqa: BLE001  # SystemExit, too: it would end the loop that waits
        raise AuthenticationError(
            f"Getting credentials failed with {type(error).__name__}.",
            remedy="Call it on its own to see why: its text may hold secrets and is not repeated here.",
        ) from None

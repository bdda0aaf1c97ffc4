"""Bearer tokens that expire (RFC 6750): held until shortly before, renewed once however many wait."""

from __future__ import annotations

import copy
import os
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import DicomZarrError
from dicomzarr.options import SecretHeaders
from dicomzarr.options.secrets import LeftBehind, Secrets, is_local, with_local_secrets
from dicomzarr.sources.http.credentials.named import NamedProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dicomzarr.options import Rejected

_MOST_AHEAD: Final = 60.0
_SHARE_AHEAD: Final = 0.1
"""Of the time that a token is good for, at its end: it is renewed then, as on its way it may expire."""

_SECONDS_FAILED: Final = 2.0
"""For which nobody else tries after one has failed: a wrong secret that is sent again and again locks its owner out."""

_REFUSED: Final = 401


@dataclass(frozen=True, slots=True)
class Token:
    """A token as its server gave it."""

    value: str = field(repr=False)
    expires_at: float | None = None
    """In seconds since 1970; None where the server does not say."""


@dataclass(slots=True)
class _Held:
    token: Token
    since: float
    renew_at: float | None
    """A little before its end."""


class StaysHere:
    """What holds secrets, and shows none: its pickle is its name, or a reference that this process alone resolves."""

    reference: str | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.reference or 'of this process'}>"

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        if self.reference is not None:
            return NamedProvider, (self.reference,)
        kept = self.__dict__.setdefault("_kept", Secrets.of({"auth": self}))
        return _found, (kept.reference,)


def _found(reference: str) -> Any:
    return with_local_secrets({}, reference)["auth"] if is_local(reference) else _Left(reference)


class _Left:
    """A provider that stayed in another process."""

    expires_at = None
    reference = None

    def __init__(self, reference: str) -> None:
        self._left = reference

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `CredentialsUnavailableError`."""
        del method, url, headers
        return LeftBehind(self._left)()

    def rejected(self, response: Rejected) -> bool:
        """See `Provider.rejected`."""
        del response
        return False


class BearerToken(StaysHere, ABC):
    """A `Provider` of tokens; a subclass says how one is fetched.

    Args:
        reference: The name under which every process can make the same.
        clock: Gives seconds since 1970.
    """

    def __init__(self, reference: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self.reference = reference
        self._clock = clock
        self._held: _Held | None = None
        self._failed: tuple[float, DicomZarrError] | None = None
        """When the last try failed, and how: of many who wait, one tries."""
        self._lock = _ForkableLock()

    @abstractmethod
    def fetch(self) -> Token:
        """A new token, in whatever thread needs it; never twice at once.

        Raises:
            AuthenticationError: There is none.
        """

    @property
    def expires_at(self) -> float | None:
        """See `Provider.expires_at`."""
        held = self._held
        return None if held is None else held.token.expires_at

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `Provider.headers`."""
        del method, url, headers
        with self._lock.held():
            if self._held is None or _has_come(self._held.renew_at, self._clock()):
                self._held = self._renewed(self._held)
            return SecretHeaders({"authorization": f"Bearer {self._held.token.value}"})

    def rejected(self, response: Rejected) -> bool:
        """See `Provider.rejected`. A token that was just fetched is not replaced: another would be refused as well."""
        if response.status != _REFUSED:
            return False
        with self._lock.held():
            held = self._held
            if held is None or response.sent.get("authorization") != f"Bearer {held.token.value}":
                return True  # those who were refused together need one new token
            if self._clock() - held.since < self._ahead(held.token, held.since):
                return False
            self._held = None
            return True

    def hold(self, token: Token) -> None:
        """Use a token that was fetched otherwise."""
        now = self._clock()
        ends = token.expires_at
        self._held = _Held(token, now, None if ends is None else ends - self._ahead(token, now))

    @staticmethod
    def _ahead(token: Token, now: float) -> float:
        if token.expires_at is None:
            return _MOST_AHEAD
        return min(_MOST_AHEAD, _SHARE_AHEAD * max(0.0, token.expires_at - now))

    def _renewed(self, held: _Held | None) -> _Held:
        if self._failed is not None and 0 <= self._clock() - self._failed[0] < _SECONDS_FAILED:
            raise copy.copy(self._failed[1])
        try:
            self.hold(self.fetch())
            self._failed = None
        except DicomZarrError as error:
            now = self._clock()
            if held is None or _has_come(held.token.expires_at, now):
                self._failed = now, copy.copy(error)
                raise
            # It is still good: whoever gives tokens may be back before it ends.
            return _Held(held.token, held.since, now + self._ahead(held.token, now))
        assert self._held is not None  # noqa: S101  # for the type checker
        return self._held


def _has_come(moment: float | None, now: float) -> bool:
    return moment is not None and now >= moment


class _ForkableLock:
    """A lock that nobody holds in a forked child."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()

    def held(self) -> threading.Lock:
        """The lock of this process, for ``with``."""
        if self._process != os.getpid():
            self.__init__()  # type: ignore[misc]  # as a new one
        return self._lock

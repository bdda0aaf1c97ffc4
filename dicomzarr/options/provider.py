"""What gives the credentials of each request, as the option ``auth`` takes it, and the names of such providers.

A name is ``NAME`` or ``NAME:key=value,key=value``, with values percent-encoded. It holds no secret: it is what is
written down, pickled and sent to other processes, each of which makes the provider by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP: Final = "dicomzarr.credentials"
"""Of the entry points by which other packages give names to their providers."""

_NAME = re.compile(r"[a-z][a-z0-9-]*(:[a-z_]+=[^\s,=]*(,[a-z_]+=[^\s,=]*)*)?")
_OURS: Final = "dicomzarr.sources.http.credentials"

_BUILT_IN: Final[Mapping[str, str]] = {
    "aws": f"{_OURS}.aws:AWSSignature",
    "azure": f"{_OURS}.azure:AzureDefault",
    "cookies": f"{_OURS}.cookies:CookieFile",
    "google": f"{_OURS}.google:GoogleDefault",
    "oauth": f"{_OURS}.oauth:oauth_of_environment",
}
"""What makes a provider, by its name; a new one of ours is a row here."""


class SecretHeaders(dict[str, str]):
    """Headers, or fields of a form, that never show: error reporters write down the locals of frames."""

    def __repr__(self) -> str:
        return f"<{len(self)} secret values>"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Rejected:
    """A reply by which a server refused the credentials of a request."""

    status: int
    """401, or 403."""
    url: str
    """What was asked for."""
    challenge: str = ""
    """The reply's WWW-Authenticate header (RFC 9110 section 11.6.1), if there was one."""
    sent: Mapping[str, str] = field(default_factory=SecretHeaders, repr=False)
    """The secret headers of the request, by their names in lower case."""


class Provider(Protocol):
    """Gives the credentials of each request.

    It is called in a thread of its own, once at a time for each server, but maybe for several servers at once.
    """

    @property
    def reference(self) -> str | None:
        """The name under which every process can make the same; None where its secrets are in this process alone."""

    @property
    def expires_at(self) -> float | None:
        """Until when what it gave last is good, in seconds since 1970; None where that is not known, or has no end."""

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The secret headers of one request, renewed if they would soon expire.

        Args:
            method: ``GET``.
            url: What is asked for, as it is sent.
            headers: The other headers of the request.

        Raises:
            AuthenticationError: There are none.
        """

    def rejected(self, response: Rejected) -> bool:
        """Hear that a server refused what `headers` gave; the request is sent again, once, if that is worth while.

        Returns:
            Whether `headers` gives better ones from now on.
        """


def is_provider(auth: object) -> bool:
    """Whether something is a `Provider`, by what it can do."""
    return not isinstance(auth, type) and callable(getattr(auth, "headers", None)) and hasattr(auth, "rejected")


def reference_to(name: str, **arguments: str | None) -> str:
    """The name of a provider with arguments; those that are None are left out."""
    given = [f"{key}={quote(value, safe='/:@')}" for key, value in arguments.items() if value is not None]
    return f"{name}:{','.join(given)}" if given else name


class Named(NamedTuple):
    """What a name says."""

    maker: EntryPoint
    """Where the function is that makes the provider."""
    arguments: Mapping[str, str]


def named(text: str) -> Named | None:
    """What makes the provider of a name; None where a text is no name that this process knows. Nothing is imported."""
    if _NAME.fullmatch(text) is None:
        return None
    name, _, given = text.partition(":")
    maker = _maker(name)
    pairs = (pair.partition("=") for pair in given.split(",") if pair)
    return None if maker is None else Named(maker, {key: unquote(value) for key, _, value in pairs})


def is_unknown_name(text: str) -> bool:
    """Whether a text has the form of a provider's name, and this process knows none of that name."""
    return text != "netrc" and _NAME.fullmatch(text) is not None and named(text) is None


@lru_cache(64)
def _maker(name: str) -> EntryPoint | None:
    if name in _BUILT_IN:
        return EntryPoint(name, _BUILT_IN[name], GROUP)
    found: Any = entry_points(group=GROUP, name=name)
    return next(iter(found), None)


def known_names() -> list[str]:
    """The names of providers that this process knows."""
    return sorted({*_BUILT_IN, *(each.name for each in entry_points(group=GROUP))})

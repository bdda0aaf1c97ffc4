"""Providers by their names: each is made when it is first needed, once in a process, in the thread that asks it."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import InvalidOptionError
from dicomzarr.options.provider import is_provider, named
from dicomzarr.runtime.process import at_fork, at_reset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import Provider, Rejected

_MOST: Final = 64


class NamedProvider:
    """The provider of a name; it is a `Provider`.

    Args:
        reference: Its name.
    """

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def __repr__(self) -> str:
        return f"<credentials {self.reference}>"

    @property
    def expires_at(self) -> float | None:
        """See `Provider.expires_at`."""
        return made(self.reference).expires_at

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `Provider.headers`."""
        return made(self.reference).headers(method, url, headers)

    def rejected(self, response: Rejected) -> bool:
        """See `Provider.rejected`."""
        return made(self.reference).rejected(response)


def made(reference: str) -> Provider:
    """The provider of a name, the same for all who ask in this process: its token is fetched once for them.

    Raises:
        InvalidOptionError: There is none of that name, or it takes no such arguments.
        DicomZarrError: It cannot be made.
    """
    with _lock.held:
        return _made(reference)


@lru_cache(_MOST)
def _made(reference: str) -> Provider:
    found = named(reference)
    if found is None:
        raise InvalidOptionError("The option auth names no provider.", remedy="Install the package that provides it.")
    try:
        maker: Any = found.maker.load()
    except (ImportError, AttributeError) as error:
        raise InvalidOptionError(
            f"The provider {found.maker.name} cannot be imported ({type(error).__name__}).",
            remedy="Reinstall the package that provides it.",
        ) from None
    try:
        provider: Any = maker(**found.arguments)
    except TypeError:
        provider = None
    if not is_provider(provider):
        raise InvalidOptionError(
            f"The provider {found.maker.name} takes no such arguments: {', '.join(found.arguments) or 'none'}.",
            remedy="Its documentation says which it takes, as NAME:key=value,key=value.",
        )
    made: Provider = provider
    return made


class _Lock:
    """Around making one: a second would fetch a second token. A forked child starts with none, and nobody in it."""

    def __init__(self) -> None:
        self.forget()
        at_fork(in_child=self.forget)
        at_reset(self.forget)

    def forget(self) -> None:
        self.held = threading.Lock()
        _made.cache_clear()


_lock = _Lock()

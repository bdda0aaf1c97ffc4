"""Secrets of this process: found by a reference as long as somebody keeps them, and never written down."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from cachetools import LRUCache

from dicomzarr.errors import CredentialsUnavailableError, InvalidOptionError
from dicomzarr.options.provider import Provider, is_provider
from dicomzarr.runtime.process import ProcessLock

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
HeadersCallable: TypeAlias = Callable[[], Mapping[str, str]]
Auth: TypeAlias = "tuple[str, str] | HeadersCallable | Provider | str"

SECRETS = ("headers", "auth", "client", "store", "fsspec_options")
"""Options that are secret."""

LOCAL = "local:"
"""How references begin that only the process can resolve which made them."""

_PROCESS_KEY = secrets.token_bytes(32)
_NUMBERS = itertools.count()


class _Numbered:
    """An object under a number that no other ever gets, as it may its id."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.number = next(_NUMBERS)


class Secrets:
    """Secrets, and the reference under which this process finds them as long as some options keep this."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._numbered: list[_Numbered] = []
        spelled = [(name, self._spell(value)) for name, value in sorted(values.items())]
        self.reference = LOCAL + keyed_hash(json.dumps(spelled))

    def _spell(self, value: Any) -> JSON:
        if isinstance(value, Mapping):
            return [[name, self._spell(text)] for name, text in sorted(value.items())]
        if isinstance(value, tuple | list):
            return [self._spell(each) for each in value]
        if value is None or isinstance(value, str | int | float):
            return value
        # What is known is alive, so that its id is still its own.
        numbered = _OBJECTS.setdefault(id(value), _Numbered(value))
        self._numbered.append(numbered)
        return {"object": numbered.number}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Secrets:
        """The one for all who have the same secrets: it lasts until the last of them is gone."""
        with _LOCK:
            found = cls(values)
            return _LOCAL_SECRETS.setdefault(found.reference, found)


_LOCK = ProcessLock()
"""Around both; else two threads that come at once with the same would be two identities."""

_OBJECTS: WeakValueDictionary[int, _Numbered] = WeakValueDictionary()
_LOCAL_SECRETS: WeakValueDictionary[str, Secrets] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """An ``auth`` for options whose credentials stayed in another process: what uses it fails.

    Loading such options does not: what fails while it is loaded takes a dask worker down, and its message with it.
    """

    reference: str

    def __call__(self) -> Mapping[str, str]:
        """See `CredentialsUnavailableError`."""
        raise _left_behind() if self.reference.startswith(LOCAL) else _not_installed(self.reference)


def is_local(reference: str) -> bool:
    """Whether this process has the secrets of a reference."""
    return reference in _LOCAL_SECRETS


def with_local_secrets(options: dict[str, Any], reference: object) -> dict[str, Any]:
    """Options with the secrets of a reference in its place.

    Raises:
        CredentialsUnavailableError: Another process has them, or nobody any more.
        InvalidOptionError: One is given besides.
    """
    held = _LOCAL_SECRETS.get(reference) if isinstance(reference, str) else None
    if held is None:
        raise _left_behind()
    doubled = sorted(held.values.keys() & options.keys())
    if doubled:
        raise InvalidOptionError(
            f"{', '.join(doubled)} came twice: as an option and inside credentials.",
            remedy="Drop one of the two.",
        )
    return {**options, **held.values}


def derived_key(secret: str, salt: bytes) -> bytes:
    """A key of 32 bytes; slow on purpose, some 40 ms and 16 MiB: nobody shall be able to try passwords fast."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)


_names: LRUCache[str, str] = LRUCache(1024)
"""Of secrets, by their keyed hashes."""


def name_of_secret(secret: str) -> str:
    """A name for a secret that every process gives it."""
    known = keyed_hash(secret)
    with _LOCK:
        name = _names.get(known)
    if name is None:
        name = derived_key(secret, b"dicomzarr").hex()[:32]
        with _LOCK:
            _names[known] = name
    return name


def keyed_hash(text: str) -> str:
    """A name for a text that tells nothing about it, valid in this process."""
    return hmac.new(_PROCESS_KEY, text.encode(), hashlib.sha256).hexdigest()[:32]


def importable_name(auth: object) -> str | None:
    """The name under which another process finds the same by itself, or None."""
    if isinstance(auth, str):
        return auth
    if is_provider(auth):
        reference = getattr(auth, "reference", None)
        return reference if isinstance(reference, str) else None
    module = getattr(auth, "__module__", None)
    qualname = getattr(auth, "__qualname__", None)
    if not callable(auth) or module in (None, "__main__") or not isinstance(qualname, str):
        return None
    found: object = sys.modules.get(str(module))
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return f"{module}:{qualname}" if found is auth else None


def _not_installed(name: str) -> CredentialsUnavailableError:
    return CredentialsUnavailableError(
        f"The credentials are those of {name.partition(':')[0]!r}, which no package in this process provides.",
        remedy="Install the package that does in every process that reads.",
    )


def _left_behind() -> CredentialsUnavailableError:
    return CredentialsUnavailableError(
        "The credentials of this object stayed in the process that made it, or went with all who used them.",
        remedy="Give headers, auth or client again here, or use what travels by name:"
        ' auth="env:VARIABLE", "netrc", "module:function" or the name of a provider.',
    )

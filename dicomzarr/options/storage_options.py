"""Storage options: one frozen value that says how a series is reached and read.

``headers``, ``auth`` and ``client`` are secrets. They never show in ``repr`` and never leave the
process: a public spelling
(`StorageOptions.to_public`) holds a reference to them, which only the process that made it can
resolve.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import itertools
import json
import math
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from inspect import iscoroutinefunction
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from dicomzarr.errors import CredentialsUnavailableError, InvalidOptionError
from dicomzarr.runtime.lazy_attribute import lazy_attribute

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
HeadersCallable: TypeAlias = Callable[[], Mapping[str, str]]
Auth: TypeAlias = "tuple[str, str] | HeadersCallable | str"

_SECRETS = ("headers", "auth", "client")
_NAMED_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PROVIDER = re.compile(r"netrc|env:[A-Za-z_]\w*(,[A-Za-z_]\w*)?", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUES = ("stored", "modality", "color")
_MOST_CONNECTIONS = 256
_MOST_FRAMES = 400  # Google's limit; it also keeps the request line below 8 kB

_PROCESS_KEY = secrets.token_bytes(32)
_NUMBERS = itertools.count()


class _Numbered:
    """An object under a number that no other ever gets, as it may its id."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.number = next(_NUMBERS)


class _Secrets:
    """Secrets, and the reference under which this process finds them as long as some options keep this."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._numbered: list[_Numbered] = []
        spelled = [(name, self._spell(value)) for name, value in sorted(values.items())]
        self.reference = "local:" + _keyed_hash(json.dumps(spelled))

    def _spell(self, value: Any) -> JSON:
        if isinstance(value, Mapping):
            return [[name, text] for name, text in sorted(value.items())]
        if isinstance(value, tuple | str):
            return list(value)
        # What is known is alive, so that its id is still its own.
        numbered = _OBJECTS.setdefault(id(value), _Numbered(value))
        self._numbered.append(numbered)
        return {"object": numbered.number}


_OBJECTS: WeakValueDictionary[int, _Numbered] = WeakValueDictionary()
_LOCAL_SECRETS: WeakValueDictionary[str, _Secrets] = WeakValueDictionary()


@dataclass(frozen=True, eq=False, repr=False)
class StorageOptions:
    """How a server is reached and how its series are read. Make one with `parse`, which validates."""

    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Headers sent with every request; they count as credentials. Names are in lower case."""
    auth: Auth | None = None
    """(user, password), a callable that gives headers, or what each process that reads finds by itself:
    ``"module:qualname"`` of such a callable, ``"env:TOKEN"`` or ``"env:USER,PASSWORD"`` (environment variables), or
    ``"netrc"``."""
    client: Any = None
    """A ``dicomweb_client.DICOMwebClient`` whose session settings and credentials are taken over."""
    allow_insecure: bool = False
    """Credentials may travel over plain HTTP to another machine."""
    timeout: float = 60.0
    """Seconds without any progress after which a request fails."""
    max_connections: int = 8
    """Requests in flight to one server."""
    frames_per_request: int = 64
    """The most frames that one request asks for."""
    cache_bytes: int = 256 * 2**20
    """Bytes of encoded frames that are kept in memory."""
    cache_dir: str | None = None
    """A directory for a cache on disk, shared by processes; True for `default_cache_dir`. See Caching."""
    cache_dir_bytes: int = 10 * 2**30
    """Bytes that the cache on disk may take, for all servers and identities together."""
    values: str = "stored"
    """Which pixel values the arrays hold: the ``stored`` ones, those rescaled to the units of the ``modality``, or the
    ``color`` of a palette where there is one."""
    associated_label: bool = False
    """Show a slide's label image, which says who the patient is."""
    labels: bool = False
    """Look in the study for segmentations of the series, and show those on the grid of an image as its labels."""
    include_phi: bool = False
    """Show attributes that identify the patient."""

    @classmethod
    def parse(cls, **options: Any) -> StorageOptions:
        """Validate storage options as a user or a public spelling gives them.

        Args:
            **options: The fields of this class, and ``credentials``, a reference that `to_public`
                made.

        Raises:
            InvalidOptionError: An option is unknown, or has an impossible type or value.
            CredentialsUnavailableError: ``credentials`` was made by another process.
        """
        reference = options.pop("credentials", None)
        if reference is not None:
            options = _with_local_secrets(options, reference)
        for name in options:
            if name not in _PARSERS:
                raise _unknown_option(name)
        if options.get("client") is not None and options.get("auth") is not None:
            raise InvalidOptionError(
                "Both auth and client are given.",
                remedy="Drop auth: the client brings its own credentials.",
            )
        return cls(**{name: _PARSERS[name](name, value) for name, value in options.items()})

    def to_public(self) -> dict[str, JSON]:
        """The options that differ from the default, as JSON, with references in the place of secrets.

        `parse` takes it back; in another process only when it holds no ``credentials`` reference.
        """
        public: dict[str, JSON] = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in _SECRETS and getattr(self, item.name) != item.default
        }
        named = _importable_name(self.auth)
        if named is not None:
            public["auth"] = named
        if isinstance(self.auth, _LeftBehind):
            public["credentials"] = self.auth.reference
        elif self._secrets is not None:
            public["credentials"] = self._secrets.reference
        return public

    @lazy_attribute
    def _secrets(self) -> _Secrets | None:
        held = {name: getattr(self, name) for name in _SECRETS if getattr(self, name)}
        if _importable_name(self.auth) is not None:
            del held["auth"]
        found = _Secrets(held)
        # One for all who have the same secrets: it lasts until the last of them is gone.
        return _LOCAL_SECRETS.setdefault(found.reference, found) if held else None

    @lazy_attribute
    def identity(self) -> str:
        """An opaque name for these options and credentials, valid in this process.

        Sessions and caches are kept apart by it, so that no user is served with the rights of
        another.
        """
        return _keyed_hash(json.dumps(self.to_public(), sort_keys=True))

    @lazy_attribute
    def lasting_credentials(self) -> str | None:
        """A text that the same credentials spell in every process; None where no text can.

        It holds secrets: for keyed hashes only.
        """
        auth = _importable_name(self.auth) or self.auth
        if self.client is not None or callable(auth):
            return None
        return json.dumps([sorted(self.headers.items()), auth])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageOptions) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_public().items())
        return f"StorageOptions({shown})"

    def __reduce__(self) -> tuple[Callable[..., StorageOptions], tuple[dict[str, JSON]]]:
        return (_rebuild, (self.to_public(),))


@dataclass(frozen=True, slots=True)
class _LeftBehind:
    """An ``auth`` for options whose credentials stayed in another process: what uses it fails.

    Loading such options does not: what fails while it is loaded takes a dask worker down, and its message with it.
    """

    reference: str

    def __call__(self) -> Mapping[str, str]:
        raise _left_behind()


def _rebuild(public: dict[str, JSON]) -> StorageOptions:
    reference = public.get("credentials")
    if isinstance(reference, str) and reference not in _LOCAL_SECRETS:
        others: dict[str, Any] = {name: value for name, value in public.items() if name not in {"credentials", "auth"}}
        return StorageOptions.parse(**others, auth=_LeftBehind(reference))
    return StorageOptions.parse(**public)


def _keyed_hash(text: str) -> str:
    return hmac.new(_PROCESS_KEY, text.encode(), hashlib.sha256).hexdigest()[:32]


def _left_behind() -> CredentialsUnavailableError:
    return CredentialsUnavailableError(
        "The credentials of this object stayed in the process that made it, or went with all who used them.",
        remedy="Give headers, auth or client again here, or use what travels by name:"
        ' auth="env:VARIABLE", "netrc" or "module:function".',
    )


def _with_local_secrets(options: dict[str, Any], reference: object) -> dict[str, Any]:
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


def _importable_name(auth: object) -> str | None:
    """The name under which another process finds the same by itself, or None."""
    if isinstance(auth, str):
        return auth
    module = getattr(auth, "__module__", None)
    qualname = getattr(auth, "__qualname__", None)
    if not callable(auth) or module in (None, "__main__") or not isinstance(qualname, str):
        return None
    found: object = sys.modules.get(str(module))
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return f"{module}:{qualname}" if found is auth else None


def _unknown_option(name: str) -> InvalidOptionError:
    near = difflib.get_close_matches(name, _PARSERS, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return InvalidOptionError(
        f"There is no storage option {name!r}.", remedy=f"{hint}Known are: {', '.join(_PARSERS)}."
    )


def _wrong(name: str, found: object, wanted: str) -> InvalidOptionError:
    return InvalidOptionError(f"The option {name} is {found}.", remedy=f"It must be {wanted}.")


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, repr(value), "True or False")
    return value


def _whole(least: int, most: int | None = None) -> Callable[[str, Any], int]:
    wanted = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def parse(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(name, repr(value), wanted)
        if value < least or (most is not None and value > most):
            raise _wrong(name, repr(value), wanted)
        return value

    return parse


def _seconds(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise _wrong(name, repr(value), "a number of seconds above zero")
    return float(value)


def default_cache_dir() -> Path:
    """Where the platform keeps caches of this user."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        # The standard of XDG: what is not absolute does not count.
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = named if named.is_absolute() else home / ".cache"
    return base / "dicomzarr"


def _directory(name: str, value: Any) -> str | None:
    if value is None or value is False:
        return None
    if value is True:
        return str(default_cache_dir())
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise _wrong(name, f"a {type(value).__name__}", "a path, True for the usual place, or None")
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:
        raise _wrong(name, "a path below the home of a user who has none", "another path") from None


def _values(name: str, value: Any) -> str:
    if value not in _VALUES:
        raise _wrong(name, repr(value), " or ".join(map(repr, _VALUES)))
    return str(value)


def _headers(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(name, f"a {type(value).__name__}", "a mapping of header names to texts")
    return MappingProxyType(valid_headers(value, f"the option {name}"))


def valid_headers(headers: Mapping[Any, Any], origin: str) -> dict[str, str]:
    """Check HTTP headers without ever quoting a value, which may be a secret.

    Returns:
        The headers under lower-case names, so that those of several sources replace one another.

    Raises:
        InvalidOptionError: A name is no HTTP token, or a value is no text of one line.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidOptionError(f"A header name in {origin} is no HTTP token.", remedy="Use names as 'X-Api-Key'.")
        if not isinstance(value, str) or any(char in value for char in "\r\n\0"):
            raise InvalidOptionError(
                f"The header {name} in {origin} is no text of one line.",
                remedy="Strip its line ends.",
            )
    return {name.lower(): value for name, value in headers.items()}


def _auth(name: str, value: Any) -> Auth | None:
    wanted = '(user, password), a plain function that returns headers, "module:function", "env:VARIABLE" or "netrc"'
    if value is None:
        return None
    if isinstance(value, str):
        if not _PROVIDER.fullmatch(value) and not _NAMED_OBJECT.fullmatch(value):
            raise _wrong(name, "a text of another form", wanted)  # the text may be a token: not quoted
        return value
    if isinstance(value, list | tuple):
        return _user_and_password(name, tuple(value), wanted)
    if not callable(value) or iscoroutinefunction(value):
        raise _wrong(name, f"a {type(value).__name__}", wanted)
    return value  # type: ignore[no-any-return]  # what it returns is checked when it is called


def _user_and_password(name: str, value: tuple[Any, ...], wanted: str) -> tuple[str, str]:
    match value:
        case (str() as user, str() as password) if ":" not in user:
            return (user, password)
    raise _wrong(name, f"a {type(value).__name__} of another form", wanted)


def _client(name: str, value: Any) -> Any:
    if value is None:
        return None
    # Whoever holds such a client has imported its module: nothing heavy is imported to find out.
    module = sys.modules.get("dicomweb_client.web")
    if module is None or not isinstance(value, module.DICOMwebClient):
        raise _wrong(name, f"a {type(value).__name__}", "a dicomweb_client.DICOMwebClient")
    return value


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "headers": _headers,
    "auth": _auth,
    "client": _client,
    "allow_insecure": _flag,
    "timeout": _seconds,
    "max_connections": _whole(1, _MOST_CONNECTIONS),
    "frames_per_request": _whole(1, _MOST_FRAMES),
    "cache_bytes": _whole(0),
    "cache_dir": _directory,
    "cache_dir_bytes": _whole(0),
    "values": _values,
    "associated_label": _flag,
    "labels": _flag,
    "include_phi": _flag,
}

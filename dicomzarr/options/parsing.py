"""Reading storage options, once, where they come in: all that is wrong with one is said here."""

from __future__ import annotations

import difflib
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from inspect import iscoroutinefunction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from dicomzarr.errors import InvalidOptionError
from dicomzarr.options.elsewhere import ELSEWHERE
from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.options.provider import is_provider, known_names, named

if TYPE_CHECKING:
    from dicomzarr.options.secrets import Auth

_NAMED_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PROVIDER = re.compile(r"netrc|env:[A-Za-z_]\w*(,[A-Za-z_]\w*)?", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""What no header can hold (RFC 9110 section 5.5), nor a user or password (RFC 7617), and what no text can."""
_FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers of one connection, or of the body of a request (RFC 9110 section 7.6.1, RFC 9112 section 6)."""
_HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)
_ENDPOINT = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_QUERY = re.compile(r"([^\s?#&=]+=[^\s?#&=]*(&[^\s?#&=]+=[^\s?#&=]*)*)?")
_ZARR_FORMATS = (2, 3)
_VALUES = ("stored", "modality", "color", "suv")
_COLOR_SPACES = (None, "srgb")
_MOST_CONNECTIONS = 256
_MOST_FRAMES = 400  # Google's limit; it also keeps the request line below 8 kB


def parse_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Storage options by name, as `StorageOptions` holds them.

    Raises:
        InvalidOptionError: An option is unknown, or has an impossible type or value.
    """
    for name in options:
        if name not in _PARSERS:
            raise _unknown_option(name)
    if options.get("client") is not None and options.get("auth") is not None:
        raise InvalidOptionError(
            "Both auth and client are given.",
            remedy="Drop auth: the client brings its own credentials.",
        )
    if options.get("client") is not None and (options.get("ca") or options.get("cert")):
        raise InvalidOptionError(
            "Both client and ca or cert are given.", remedy="Set verify and cert of the client's session instead."
        )
    return {name: _PARSERS[name](name, plain(value)) for name, value in options.items()}


def plain(value: Any) -> Any:
    """A number or truth value of NumPy, as tables and configurations have them, as Python's."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return value.item() if is_scalar else value


def _unknown_option(name: str) -> InvalidOptionError:
    near = difflib.get_close_matches(name, _PARSERS, n=1)
    hint = ELSEWHERE.get(name) or (f"Did you mean {near[0]!r}?" if near else "")
    hint += " " if hint else ""
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
    return _path(name, value, "a path, True for the usual place, or None")


def _path(name: str, value: Any, wanted: str) -> str:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise _wrong(name, repr(value) if isinstance(value, bool) else f"a {type(value).__name__}", wanted)
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:
        raise _wrong(name, "a path below the home of a user who has none", "another path") from None


def _values(name: str, value: Any) -> str:
    if value not in _VALUES:
        hint = '; Hounsfield units are those of the "modality"' if str(value).lower() == "hu" else ""
        raise _wrong(name, repr(value), " or ".join(map(repr, _VALUES)) + hint)
    return str(value)


def _icc(name: str, value: Any) -> str | None:
    if value not in _COLOR_SPACES:
        raise _wrong(name, repr(value), "'srgb', or None for stored colours")
    return None if value is None else str(value)


def _zarr_format(name: str, value: Any) -> int:
    if type(value) is not int or value not in _ZARR_FORMATS:
        raise _wrong(name, repr(value), "3, for OME-Zarr 0.5, or 2, for OME-Zarr 0.4")
    return value


def _headers(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(name, f"a {type(value).__name__}", "a mapping of header names to texts")
    return MappingProxyType(valid_headers(value, f"the option {name}"))


def valid_headers(headers: Mapping[Any, Any], origin: str) -> dict[str, str]:
    """Check HTTP headers without ever quoting a value, which may be a secret.

    Returns:
        The headers under lower-case names, so that those of several sources replace one another.

    Raises:
        InvalidOptionError: A name is no HTTP token, or one that says how a request is framed; a value is no text of
            one line.
    """
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidOptionError(f"A header name in {origin} is no HTTP token.", remedy="Use names as 'X-Api-Key'.")
        if name.lower() in _FRAMING:
            raise InvalidOptionError(
                f"The header {name} in {origin} says how a request is sent, which is not for others to say.",
                remedy="Leave it out.",
            )
        if not isinstance(value, str) or _UNSENDABLE.search(value):
            raise InvalidOptionError(
                f"The header {name} in {origin} is no text of one line without control characters.",
                remedy="Strip its line ends, and what a terminal put into it.",
            )
    return {name.lower(): value for name, value in headers.items()}


def _auth(name: str, value: Any) -> Auth | None:
    wanted = (
        '(user, password), a plain function that returns headers, a provider, "module:function", "env:VARIABLE", '
        f'"netrc" or the name of a provider ({", ".join(known_names())})'
    )
    if value is None:
        return None
    if isinstance(value, str):
        if not _PROVIDER.fullmatch(value) and not _NAMED_OBJECT.fullmatch(value) and named(value) is None:
            raise _wrong(name, "a text of another form", wanted)  # the text may be a token: not quoted
        return value
    if isinstance(value, list | tuple):
        return _user_and_password(name, tuple(value), wanted)
    if is_provider(value) and not iscoroutinefunction(value.headers):
        _check_reference(name, value)
    elif not callable(value) or iscoroutinefunction(value):
        raise _wrong(name, f"a {type(value).__name__}", wanted)
    return value  # type: ignore[no-any-return]  # what it returns is checked when it is called


def _check_reference(name: str, provider: Any) -> None:
    reference = getattr(provider, "reference", None)
    if reference is not None and (not isinstance(reference, str) or named(reference) is None):
        raise _wrong(
            name,
            f"a {type(provider).__name__} whose reference is no name of a provider",
            "one whose reference is None, or a name as an entry point gives it",
        )


def _user_and_password(name: str, value: tuple[Any, ...], wanted: str) -> tuple[str, str]:
    match value:
        case (str() as user, str() as password) if ":" not in user and not _UNSENDABLE.search(user + password):
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


def _file(name: str, value: Any) -> str | None:
    return None if value is None else _path(name, value, "the path of a PEM file or, for ca, of a folder of them")


def _certificate(name: str, value: Any) -> str | tuple[str, str] | None:
    if not isinstance(value, list | tuple):
        return _file(name, value)
    match [_file(name, each) for each in value]:
        case [str() as certificate, str() as key]:
            return certificate, key
    raise _wrong(name, "a list of another form", "the path of a PEM file, or (certificate, key)")


def _query(name: str, value: Any) -> str:
    if isinstance(value, Mapping) and all(isinstance(each, str) for pair in value.items() for each in pair):
        value = urlencode(dict(value), quote_via=quote, safe="/:@,")
    if not isinstance(value, str) or not value.isascii() or not _QUERY.fullmatch(value):
        raise _wrong(name, f"a {type(value).__name__} of another form", "a mapping of names to texts")
    return value


def _index(name: str, value: Any) -> str | None:
    if value is None or value is False or value == "":
        return None
    wanted = '"beside" for the files\' folder, the path of a file, or None for the cache_dir'
    return value if value == "beside" else _path(name, value, wanted)


def _endpoint(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _ENDPOINT.fullmatch(value):
        raise _wrong(name, f"a {type(value).__name__} of another form", "an http(s) URL with neither user nor query")
    return value.rstrip("/")


def _store(name: str, value: Any) -> Any:
    if value is None or hasattr(value, "cat_file") or type(value).__module__.partition(".")[0] == "obstore":
        return value
    raise _wrong(name, f"a {type(value).__name__}", "an obstore store or an fsspec filesystem")


def _fsspec_options(name: str, value: Any) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
        raise _wrong(name, f"a {type(value).__name__}", "a mapping of option names to values")
    return MappingProxyType(dict(value))


def _hosts(name: str, value: Any) -> tuple[str, ...]:
    given = isinstance(value, list | tuple)
    if not given or not all(isinstance(each, str) and _HOST.fullmatch(each) for each in value):
        raise _wrong(name, f"a {type(value).__name__} of another form", 'a list of hosts, as ["archive.example:8443"]')
    return tuple(each.lower() for each in value)


def _limits(name: str, value: Any) -> Limits:
    if isinstance(value, Limits):
        return value
    if not isinstance(value, Mapping):
        raise _wrong(name, f"a {type(value).__name__}", 'a mapping of names to numbers, as {"instances": 100_000}')
    known = {item.name for item in fields(Limits)}
    for each, number in value.items():
        if each not in known:
            raise InvalidOptionError(f"There is no limit {each!r}.", remedy=f"Known are: {', '.join(sorted(known))}.")
        kind, wanted = (int, "whole number") if isinstance(getattr(LIMITS, each), int) else (int | float, "number")
        if isinstance(number, bool) or not isinstance(number, kind) or not 0 < number < math.inf:
            raise _wrong(f"limits[{each!r}]", repr(number), f"a {wanted} above zero")
    return replace(LIMITS, **value)


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "headers": _headers,
    "auth": _auth,
    "client": _client,
    "ca": _file,
    "cert": _certificate,
    "query": _query,
    "allow_insecure": _flag,
    "bulk_data_hosts": _hosts,
    "own_host_only": _flag,
    "timeout": _seconds,
    "limits": _limits,
    "max_connections": _whole(1, _MOST_CONNECTIONS),
    "frames_per_request": _whole(1, _MOST_FRAMES),
    "cache_bytes": _whole(0),
    "cache_dir": _directory,
    "cache_dir_bytes": _whole(0),
    "index": _index,
    "endpoint_url": _endpoint,
    "store": _store,
    "fsspec_options": _fsspec_options,
    "values": _values,
    "icc": _icc,
    "virtual_levels": _flag,
    "associated_label": _flag,
    "labels": _flag,
    "include_phi": _flag,
    "zarr_format": _zarr_format,
}

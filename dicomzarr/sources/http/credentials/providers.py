"""Credentials that each process which reads finds by itself: their names travel, they do not.

``env:TOKEN``, ``env:USER,PASSWORD``, ``netrc`` and ``module:function`` name one; those of `named` are providers. Each
is asked anew for every request, so that what is refreshed counts at once.
"""

from __future__ import annotations

import importlib
import netrc
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dicomzarr.errors import AuthenticationError, InvalidOptionError
from dicomzarr.options.provider import named
from dicomzarr.sources.http.connection import basic_login
from dicomzarr.sources.http.credentials.given import CALLABLE, NETRC, of_environment
from dicomzarr.sources.http.credentials.named import NamedProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import HeadersCallable, Provider
    from dicomzarr.sources.http.credentials.given import Given

_ENVIRONMENT = "env:"
_NETRC = "netrc"
_BEARER = re.compile(r"^bearer\s+", re.IGNORECASE)
"""What a token may have been copied with."""
_GROUP_AND_OTHERS = 0o077
_OTHERS = 0o027


def provider(name: str, base_url: str) -> HeadersCallable | Provider:
    """What gives the headers that ``auth=name`` stands for.

    Args:
        name: As the storage option ``auth`` takes it.
        base_url: The server, whose entry in a netrc file counts.
    """
    if name == _NETRC:
        return partial(netrc_headers, urlsplit(base_url).hostname or "")
    if name.startswith(_ENVIRONMENT):
        return partial(environment_headers, *name.removeprefix(_ENVIRONMENT).split(","))
    if named(name) is not None:
        return NamedProvider(name)
    return partial(_call_named, name)


def given_by(name: str) -> Given:
    """Whose credentials a name gives that stands for no provider, for errors."""
    if name == _NETRC:
        return NETRC
    if name.startswith(_ENVIRONMENT):
        return of_environment(*name.removeprefix(_ENVIRONMENT).split(","))
    return CALLABLE


def environment_headers(*names: str) -> dict[str, str]:
    """The headers that this process's environment gives.

    Args:
        *names: The variable that holds a bearer token (RFC 6750), or those of user and password (RFC 7617).

    Raises:
        AuthenticationError: A variable is not set.
    """
    values = [_variable(name) for name in names]
    login = f"Bearer {_BEARER.sub('', values[0], count=1)}" if len(values) == 1 else basic_login(*values)
    return {"authorization": login}


def _variable(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise AuthenticationError(
            f"The environment variable {name}, which the option auth names, is not set or empty in this process.",
            remedy="Set it in every process that reads; those of a cluster have an environment of their own.",
        )
    return value


def netrc_headers(host: str) -> dict[str, str]:
    """The login of a host in the file that ``NETRC`` names, or in ``~/.netrc``, which nobody else may be able to read.

    Raises:
        AuthenticationError: There is no such file, none of its entries is the host's, or it is malformed.
    """
    entry = _netrc_of_this_process().authenticators(host)
    if entry is None or not entry[2]:
        raise AuthenticationError(
            f"The netrc file of this process has no login for {host}.",
            remedy=f"Add a line to it: machine {host} login USER password PASSWORD.",
        )
    return {"authorization": basic_login(entry[0], entry[2])}


def _netrc_of_this_process() -> netrc.netrc:
    named = os.environ.get("NETRC") or None
    try:
        if named is not None:  # Python's netrc looks only at who may read the one at home
            _check_private(named)
        return netrc.netrc(named)
    except FileNotFoundError:
        found, remedy = "does not exist", "Write it in every process's home, or name it in NETRC."
    except netrc.NetrcParseError as error:  # whose text may quote a password
        found = f"cannot be used (line {error.lineno})" if error.lineno else "cannot be used"
        remedy = "Check its form, and that it is yours and nobody else can read it (chmod 600)."
    except (OSError, ValueError) as error:
        found, remedy = f"cannot be read ({type(error).__name__})", "Check whose it is, and that it is a text file."
    raise AuthenticationError(f"The netrc file of this process {found}.", remedy=remedy)


def _check_private(path: str) -> None:
    """Raise unless nobody but its owner, who is this user or root, may read or change a file; a group may read root's.

    Raises:
        AuthenticationError: Others may.
        OSError: There is no such file.
    """
    found = Path(path).stat()
    if os.name != "posix":
        return
    own = found.st_uid == os.geteuid()
    if (own or found.st_uid == 0) and not found.st_mode & (_GROUP_AND_OTHERS if own else _OTHERS):
        return
    raise AuthenticationError(
        "The netrc file that NETRC names belongs to somebody else, or others can read it.",
        remedy="Make it yours and nobody else's (chmod 600).",
    )


def _call_named(name: str) -> Mapping[str, str]:
    """Import the callable that ``module:qualname`` names, and call it."""
    module, _, qualname = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = None
    if not callable(found):
        raise InvalidOptionError(
            "The option auth is a text that names no callable.",  # which may be user:password, and is not repeated
            remedy="Give it as module:function, importable here; user and password as auth=(user, password).",
        )
    headers: Mapping[str, str] = found()
    return headers

"""The URL or path and the credentials that the command line names."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomzarr.errors import UsageError
from dicomzarr.faces.cli.login import logged_in
from dicomzarr.faces.cli.telling import PASSWORD_VARIABLE
from dicomzarr.options import StorageOptions
from dicomzarr.session.kinds import kind_of
from dicomzarr.session.locate import located, only_series
from dicomzarr.sources.http.urls import host_of, pasted, split_user_info

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.session.kinds import SeriesURL


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is about."""

    url: SeriesURL
    """Without user-info."""
    options: dict[str, Any] = field(repr=False)
    """Storage options; they hold secrets."""

    @property
    def host(self) -> str:
        """The server's name, and port if it is unusual; or the place of files."""
        return kind_of(self.url.base).place(self.url.base)


def target_of(arguments: Namespace) -> Target:
    """The URL and storage options of a command; a server may be asked what it is.

    Raises:
        UsageError: They cannot be meant.
        ServerError: The server did not answer.
    """
    bare, options = options_of(arguments)
    in_url = split_user_info(pasted(arguments.url))[1]
    return Target(located(bare if in_url else arguments.url, options)[0], options)


def options_of(arguments: Namespace) -> tuple[str, dict[str, Any]]:
    """The URL without user-info, as it was pasted, and the storage options of a command.

    Raises:
        UsageError: They cannot be meant.
    """
    bare, in_url = split_user_info(pasted(arguments.url))
    user, password = in_url or (None, "")
    _check_once(arguments, user)
    options: dict[str, Any] = {"allow_insecure": arguments.insecure}
    for name in ("timeout", "cache_dir", "endpoint_url", "index", "ca"):
        if getattr(arguments, name) is not None:
            options[name] = getattr(arguments, name)
    if arguments.cert:
        options["cert"] = arguments.cert.split(",", 1) if "," in arguments.cert else arguments.cert
    _check_files(arguments)
    if arguments.query:
        options["query"] = "&".join(arguments.query)
    if arguments.bound:
        options["limits"] = dict(arguments.bound)
    headers = dict(arguments.header)
    if arguments.bearer_env:
        headers["Authorization"] = f"Bearer {_token(arguments.bearer_env)}"
    if headers:
        options["headers"] = headers
    user = user or arguments.user
    if user:
        options["auth"] = (user, password or _password(user, host_of(bare)))
    if arguments.login:
        options["auth"] = logged_in(arguments.login)
    return bare, options


def series_target(arguments: Namespace) -> Target:
    """As `target_of`, for commands that are about one series.

    Raises:
        InvalidURLError: The URL ends above the series.
        FileError: There is no such file or folder, or no series in it.
        SeveralSeriesError: There are several series in it.
    """
    target = target_of(arguments)
    return replace(target, url=only_series(target.url, StorageOptions.parse(**target.options)))


def _check_files(arguments: Namespace) -> None:
    """Certificates must be there also where no server is asked for, as of a folder."""
    for name, given in (("--ca", [arguments.ca or ""]), ("--cert", (arguments.cert or "").split(",", 1))):
        for path in filter(None, given):
            if not Path(path).expanduser().exists():
                raise UsageError(f"There is no file {path}, which {name} names.", remedy="Check the path.")


def _check_once(arguments: Namespace, user_in_url: str | None) -> None:
    ways = {
        "a user in the URL": user_in_url is not None,
        "--user": arguments.user,
        "--bearer-env": arguments.bearer_env,
        "--login": arguments.login,
        "--header Authorization": any(name.lower() == "authorization" for name, _ in arguments.header),
    }
    given = [way for way, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"Credentials are given twice: {' and '.join(given)}.", remedy="Keep one of them.")
    if ":" in (arguments.user or ""):
        raise UsageError("--user holds a colon.", remedy=f"Give the name alone; {_password_ways()}.")


def _token(variable: str) -> str:
    token = os.environ.get(variable, "").strip()
    if not token:
        raise UsageError(
            f"The environment variable that --bearer-env names, {variable}, is not set or empty.",
            remedy="Put the token into it, not on the command line.",
        )
    return token


def _password(user: str, host: str) -> str:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is not None:
        return password
    if not sys.stdin.isatty():
        raise UsageError("There is no password for the user.", remedy=f"Note that {_password_ways()}.")
    return getpass.getpass(f"Password of {user} at {host}: ")


def _password_ways() -> str:
    return f"the password is read from the environment variable {PASSWORD_VARIABLE}, or asked for on a terminal"

"""Where credentials come from, in words: what an error says of those that a server refused. Pure (no I/O)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.errors import HTTPStatusError

_SCHEME: Final = re.compile(r"(?:^|,)\s*(basic|bearer|digest|negotiate|ntlm)\b", re.IGNORECASE)
"""Of authentication (RFC 9110 section 11.1), in a challenge."""

_UNSPOKEN: Final = {"Negotiate", "NTLM"}
"""Kerberos (RFC 4559), and what Microsoft had before."""

_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Given:
    """Whose credentials a request carries. Nothing in it is secret."""

    words: str
    """What they are."""
    check: str
    """What to do when they are refused."""


HEADERS: Final = Given("the headers that were given", "Check the option headers, or give auth.")
LOGIN: Final = Given("the user and password that were given", "Check them: they are those of the URL, or of auth.")
CALLABLE: Final = Given("what the auth callable returned", "Check what it returns.")
CLIENT: Final = Given("what the client's session sends", "Check the credentials of the client.")
NETRC: Final = Given(
    "the login that the netrc file has for it", "Correct that entry, in the file that NETRC names or in ~/.netrc."
)


def of_environment(*names: str) -> Given:
    """Of environment variables."""
    several = len(names) > 1
    what = f"the environment variable{'s' if several else ''} {' and '.join(names)}"
    return Given(f"what {what} hold{'' if several else 's'}", "Set it anew, in every process that reads.")


def of_provider(name: str) -> Given:
    """Of a provider, by its name, without arguments."""
    return Given(
        f"the credentials of {name.partition(':')[0]}",
        "Check whether they are meant for this server: their audience, scope or account.",
    )


def say_whose(error: HTTPStatusError, given: Given, sent: Mapping[str, str]) -> None:
    """Tell a refusal of credentials from a want of them.

    Args:
        error: The status 401 or 403.
        given: Whose credentials they are that requests carry.
        sent: The secret headers that reached who answered; empty if none did.
    """
    message = str(error.args[0]).removesuffix(".")
    if not sent:
        error.args = (f"{message}: no credentials were sent.",)
        if wanted := _wanted(error.challenge):
            error.remedy = f"{error.remedy} {_asks_for(wanted)}"
        if error.status != _UNAUTHORIZED:
            error.remedy = f"Give some: auth, headers or client. {error.remedy}"
        return
    error.refused = given.words
    if error.status == _UNAUTHORIZED:
        error.args = (f"{message}: it refused {given.words}.",)
        error.remedy = " ".join(filter(None, (given.check, _other_scheme(error.challenge, sent))))


def _other_scheme(challenge: str, sent: Mapping[str, str]) -> str:
    """What kind of credentials the server wants, if it says so and others were sent."""
    wanted = _wanted(challenge)
    used = sent.get("authorization", "").partition(" ")[0].capitalize()
    if not wanted or used in wanted:
        return ""
    return _asks_for(wanted, f", and was sent {used}" if used in ("Basic", "Bearer") else "")


def _wanted(challenge: str) -> list[str]:
    found = dict.fromkeys(map(str.lower, _SCHEME.findall(challenge)))
    return [name.upper() if name == "ntlm" else name.capitalize() for name in found]


def _asks_for(wanted: list[str], sent: str = "") -> str:
    text = f"The server asks for {' or '.join(wanted)}{sent}."
    if set(wanted) <= _UNSPOKEN:
        text += " Logins of Windows domains are not spoken here: have it offer Basic or a token, or write an auth."
    return text

"""What the command line tells of its own words: secrets among them are seen by others. It imports next to nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argparse import Namespace

PASSWORD_VARIABLE: Final = "DICOMZARR_PASSWORD"  # noqa: S105  # the name of a variable, not its value
_SECRET_HEADER: Final = re.compile("auth|cookie|key|token|secret", re.IGNORECASE)
_PASSWORD_IN_URL: Final = re.compile(r"://[^/@]*:[^/@]+@")


def told_of_secrets(arguments: Namespace) -> str:
    """A sentence about words of the command line that are secrets; empty where there are none."""
    headers = [name for name, _ in getattr(arguments, "header", ()) if _SECRET_HEADER.search(name)]
    if headers:
        what = f"the header {headers[0]}"
    elif _PASSWORD_IN_URL.search(str(getattr(arguments, "url", ""))):
        what = "the password in the URL"
    else:
        return ""
    return (
        f"Note: whoever lists the processes of this machine sees {what}. --bearer-env, or --user with"
        f" {PASSWORD_VARIABLE}, keeps it off the command line."
    )

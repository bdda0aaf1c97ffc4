"""Who the command line is: a name that ``auth`` takes, or a user who enters a code in a browser."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from dicomzarr.errors import UsageError
from dicomzarr.options import StorageOptions

if TYPE_CHECKING:
    from dicomzarr.options.secrets import Auth

_DEVICE = re.compile(r"device(:prefix=(?P<prefix>[A-Za-z_]\w*))?", re.ASCII)
"""The login with a code (RFC 8628), which needs somebody who looks on, and so is no name for programs."""


def logged_in(word: str) -> Auth:
    """What ``auth`` takes for ``--login WORD``.

    Raises:
        UsageError: It is no name.
        AuthenticationError: The login was declined, did not come in time, or nothing says where to log in.
        ServerError: The server of the login did not answer as it should.
    """
    device = _DEVICE.fullmatch(word)
    if device is None:
        if word.startswith("device"):
            raise UsageError("--login device is followed by something else.", remedy="Write device:prefix=NAME.")
        StorageOptions.parse(auth=word)
        return word
    from dicomzarr.sources.http.credentials.device import log_in_with_code  # noqa: PLC0415  # our HTTP client
    from dicomzarr.sources.http.credentials.oauth import PREFIX, client_of_environment  # noqa: PLC0415

    client: dict[str, Any] = client_of_environment(device["prefix"] or PREFIX)
    return log_in_with_code(_tell, **client)


def _tell(url: str, code: str) -> None:
    sys.stderr.write(f"Open {url} and enter the code {code}\n")
    sys.stderr.flush()

"""What can be done about an error in the words of the command line, where storage options are spelled differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr import errors

if TYPE_CHECKING:
    from dicomzarr.errors import DicomZarrError

_REFUSED = 401

_WAYS = "--user NAME, --bearer-env VARIABLE, --login NAME or --header TEXT"
_OTHERS = f"Check them, or give others that this server accepts: {_WAYS}."

_REMEDIES: tuple[tuple[type[DicomZarrError], str], ...] = (
    (
        errors.AuthenticationError,
        f"Give credentials that this server accepts: {_WAYS}.",
    ),
    (errors.InsecureTransportError, "Use the server's https:// URL, or --insecure if the network is trusted."),
    (errors.RequestTimeoutError, "Raise --timeout if the server is that slow."),
)


def remedy_for(error: DicomZarrError) -> str:
    """The remedy to show, which may be empty."""
    if isinstance(error, errors.AuthenticationError) and error.status != _REFUSED:
        return error.remedy  # it is not the server that is read which refused them
    if isinstance(error, errors.AuthenticationError) and error.refused:
        return _OTHERS
    return next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), error.remedy)

"""Which failures mean "not like this", so that something else is worth asking for. Pure."""

from __future__ import annotations

import copy
from typing import Final

from dicomzarr.errors import DicomZarrError, HTTPStatusError
from dicomzarr.sources.dicomweb.http.network_errors import ConnectionDroppedError
from dicomzarr.sources.dicomweb.negotiation.accept import REFUSALS

_NO_SUCH_RESOURCE: Final = frozenset({404, 405, 501})
_REFUSED: Final = REFUSALS | _NO_SUCH_RESOURCE
_TOO_LONG: Final = frozenset({413, 414})
_FAILURE: Final = 500


def refuses_resource(error: DicomZarrError | None) -> bool:
    """Whether the server says that it lacks the resource, such as ``/frames``, or cannot serve it for this instance.

    What may pass, or is about who asks (401, 403, 429, timeouts, broken connections), is none.
    """
    return isinstance(error, HTTPStatusError) and error.status in _REFUSED


def lacks_resource(error: DicomZarrError) -> bool:
    """Whether the server says that there is no such resource at all."""
    return isinstance(error, HTTPStatusError) and error.status in _NO_SUCH_RESOURCE


def refuses_list(error: DicomZarrError | None) -> bool:
    """Whether a list of frames was refused, of which parts may be served."""
    if isinstance(error, HTTPStatusError):
        return error.status in _REFUSED | _TOO_LONG
    return isinstance(error, ConnectionDroppedError)


def is_doubtful(error: DicomZarrError) -> bool:
    """Whether a refusal may have been a passing failure, from which nothing is to be learned at once."""
    return not isinstance(error, HTTPStatusError) or error.status == _FAILURE


def neither(frame: DicomZarrError | None, whole: DicomZarrError) -> DicomZarrError:
    """The error of a frame that came neither by itself nor with its whole instance; both are told.

    Args:
        frame: How the frame was refused; None where it was not asked for.
        whole: Why the whole instance was no help.
    """
    if frame is None:
        return copy.copy(whole)
    # What is more than a refusal says more; a frame that the whole instance lacks does not exist.
    refused_too = refuses_resource(whole)
    leading = copy.copy(frame if refused_too else whole)
    leading.args = (f"{_message(frame)} Nor did the whole instance give it: {_message(whole)}",)
    return leading


def _message(error: DicomZarrError) -> str:
    return str(error.args[0]) if error.args else type(error).__name__

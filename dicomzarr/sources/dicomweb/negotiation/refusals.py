"""What is told of a frame that came in no way. Pure."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from dicomzarr.errors import HTTPStatusError
from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from dicomzarr.errors import DicomZarrError


def neither(frame: DicomZarrError | None, whole: DicomZarrError) -> DicomZarrError:
    """The error of a frame that came neither by itself nor with its whole instance; both are told.

    Args:
        frame: How the frame was refused; None where it was not asked for.
        whole: Why the whole instance was no help.
    """
    if frame is None:
        return copy.copy(whole)
    # What is more than a refusal says more; a frame that the whole instance lacks does not exist.
    refused_too = isinstance(whole, HTTPStatusError) and means(whole, Meaning.OTHER_RESOURCE)
    leading = copy.copy(frame if refused_too else whole)
    leading.args = (f"{_message(frame)} Nor did the whole instance give it: {_message(whole)}",)
    return leading


def _message(error: DicomZarrError) -> str:
    return str(error.args[0]) if error.args else type(error).__name__

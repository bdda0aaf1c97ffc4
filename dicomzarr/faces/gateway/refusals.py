"""What is answered where there is nothing to give: each error as a status and a sentence. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from dicomzarr import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_FOUND: Final = 404
BAD_GATEWAY: Final = 502


class RefusedError(Exception):
    """A request is answered by a status and a sentence; see `Refusal`.

    Args:
        status: The HTTP status.
        sentence: What was asked, what was found, what to do.
        headers: That go with it.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.refusal = Refusal(status, sentence, headers=headers or {})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status and a sentence."""

    status: int
    sentence: str
    kind: str = ""
    """The class of our error, for programs; empty where the gateway itself refuses."""
    upstream_status: int | None = None
    """What the upstream answered, where it answered with a status."""
    headers: Mapping[str, str] = field(default_factory=dict)


_STATUSES: Final[tuple[tuple[type[errors.DicomZarrError], int], ...]] = (
    (errors.SeriesChangedError, 409),
    (errors.RequestTimeoutError, 504),
    (errors.RateLimitedError, 503),
    (errors.InvalidOptionError, BAD_GATEWAY),
    (errors.InsecureTransportError, BAD_GATEWAY),
    (errors.CredentialsUnavailableError, BAD_GATEWAY),
    (errors.EventLoopError, 500),
    (errors.UsageError, 400),
    (errors.DicomZarrError, BAD_GATEWAY),
)
"""The first that fits counts. Nothing is 404 here: only what is truly absent is, see `absent`."""


def refusal_of(error: errors.DicomZarrError) -> Refusal:
    """How an error of ours is answered; never as absence, which array libraries fill in."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    upstream = error.status if isinstance(error, errors.HTTPStatusError) else None
    retry_after = error.retry_after if isinstance(error, errors.RateLimitedError) else None
    headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
    return Refusal(status, str(error), type(error).__name__, upstream, headers)


def without_places(refusal: Refusal, names: Mapping[str, str]) -> Refusal:
    """A refusal for whoever may not know where folders lie: paths may name patients.

    Args:
        refusal: What is told at this machine.
        names: Of upstreams, by the path of each that lies on this machine.
    """
    sentence = refusal.sentence
    for path in sorted(names, key=len, reverse=True):
        if f"{path}{os.sep}" in sentence:
            return replace(refusal, sentence=f"A file of {names[path]} is not there any more, or cannot be read.")
        sentence = sentence.replace(path, names[path])
    return replace(refusal, sentence=sentence)


def absent(sentence: str) -> RefusedError:
    """What was asked for is truly not there."""
    return RefusedError(NOT_FOUND, sentence)


def is_absence(error: errors.DicomZarrError) -> bool:
    """Whether the upstream says that a study or series does not exist, when that was what was asked for."""
    absences = (errors.StudyNotFoundError, errors.SeriesNotFoundError, errors.MissingFileError)
    return isinstance(error, absences)

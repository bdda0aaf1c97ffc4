"""How a request for frames is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.tuning.trial import Round


@dataclass(frozen=True, slots=True)
class Way:
    """How the next request is asked."""

    lists: bool
    """Several frames a request."""
    connections: int
    """Requests under way at once."""
    gzip: bool = False
    """The reply may be compressed."""
    split: bool = False
    """Short queues make short lists, so that no connection idles; else there are as few requests as can be."""
    series: bool = False
    """All instances of the series in one reply."""
    measured: Round | None = None
    """What the request counts for."""

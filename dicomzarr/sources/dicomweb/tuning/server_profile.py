"""What has been learned of one server: all who ask it share that, whoever they are. Pure (no I/O, no clock)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.sources.dicomweb.negotiation.list_lengths import ListLengths
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds
from dicomzarr.sources.http.pacing import History

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.negotiation.accept import Rung


class FrameKind(NamedTuple):
    """Frames that a server treats alike."""

    native: bool
    """Pixels are stored as they are."""
    least: int
    """How many frames their instances have at least: 1 (and no more), 2 or 64, from where lists may matter."""


class Form(IntEnum):
    """What one request asks for."""

    LIST = auto()
    """As many frames as it may: as few requests as can be."""
    SPLIT_LISTS = auto()
    """Fewer frames where the queue is short, so that no connection idles."""
    SINGLES = auto()
    """One frame."""
    SERIES = auto()
    """All instances of the series."""


class FetchMode(NamedTuple):
    """A way of asking for frames."""

    form: Form
    gzip: bool = False
    """The reply may be compressed."""


class Rate(NamedTuple):
    """How fast frames came in a mode."""

    frames: float = 0.0
    """A second; 0 where it is unknown, or where they did not come."""
    nbytes: float = 0.0
    """Bytes a second."""
    until: float = 0.0
    """Seconds of a steady clock after which it is measured anew."""


@dataclass(slots=True)
class ServerProfile:
    """How one server wants to be asked; nothing in it is about a patient or a user."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    """By which it is asked."""
    rungs: dict[bool, Rung] = field(default_factory=dict)
    """The way of asking that gave a frame, by whether a codestream was expected."""
    lengths: ListLengths = field(default_factory=ListLengths)
    """How long lists may be."""
    rates: dict[FrameKind, dict[FetchMode, Rate]] = field(default_factory=dict)
    """What was measured."""
    history: History = field(default_factory=History)
    """What all who ask it have met there."""

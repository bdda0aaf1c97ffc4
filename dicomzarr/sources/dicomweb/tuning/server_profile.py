"""What has been learned of one server: all who ask it share that, whoever they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.sources.dicomweb.negotiation.list_lengths import ListLengths

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.negotiation.accept import Rung


class FrameKind(NamedTuple):
    """Frames that a server treats alike."""

    native: bool
    """Pixels are stored as they are."""
    many: bool
    """Their instances have many frames."""


@dataclass(frozen=True, slots=True)
class FastestWay:
    """How frames of one kind come the fastest."""

    lists: bool
    """Several frames a request."""
    split: bool
    """Several short lists come as fast as a long one."""
    gzip: bool
    """Compressed replies."""
    measured_at: float
    """Seconds of a steady clock."""


@dataclass(frozen=True, slots=True)
class WholeSeries:
    """Whether frames of one kind come faster with all others of their series than one by one."""

    faster: bool
    singles: float
    """Frames a second that came one by one."""
    until: float
    """Seconds of a steady clock after which it is tried anew."""


@dataclass(slots=True)
class ServerProfile:
    """How one server wants to be asked; nothing in it is about a patient or a user."""

    rungs: dict[bool, Rung] = field(default_factory=dict)
    """The way of asking that gave a frame, by whether a codestream was expected."""
    lengths: ListLengths = field(default_factory=ListLengths)
    """How long lists may be."""
    ways: dict[FrameKind, FastestWay] = field(default_factory=dict)
    """What was measured of lists and single frames."""
    whole_series: dict[FrameKind, WholeSeries] = field(default_factory=dict)
    """What was measured of whole series."""

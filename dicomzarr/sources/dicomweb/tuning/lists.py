"""How much is asked for in one request. Pure (no I/O)."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from dicomzarr.engine.requests import Priority

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.requests import Turn
    from dicomzarr.engine.series_state import FrameKey

SMALLEST_LIST: Final = 16
"""Frames below which splitting a list over connections costs more than it gains."""

USUAL_LIST: Final = 64
"""Frames of a list, where fewer connections than there are could ask for all that wait, or lists take long."""

_SOON: Final = 0.25
"""Seconds that a list may take to be longer than that: so long a small read may wait for a connection."""

LONGEST_LIST_TEXT: Final = 6000
"""Characters of a list of frame numbers; URLs of 8 kB pass everywhere."""

MOST_LIST_BYTES: Final = 64 * 2**20
"""Bytes that the frames of one list may take if none is compressed: what is lost with a broken reply."""

_LEAST_INSTANCES: Final = 16
_LEAST_SHARE: Final = 2 / 3
"""Instances of a series for which it matters how it comes, and the part of it that must be wanted: the rest comes for
nothing."""


def may_come_whole(turn: Turn) -> bool:
    """Whether somebody waits for most of a series of single frames, or wants it on disk."""
    instances = len(turn.series.slices)
    most = instances >= _LEAST_INSTANCES and turn.frames >= _LEAST_SHARE * instances
    return most and turn.priority is not Priority.AHEAD


def one_list(instance: Instance, keys: Iterable[FrameKey], length: int) -> tuple[FrameKey, ...]:
    """The first frames, ascending, that one list may have by their count, their text and their bytes.

    Args:
        instance: Whose frames; the list ends before those of another.
        keys: What is wanted, of the instance first.
        length: Most frames.
    """
    most = max(1, min(length, MOST_LIST_BYTES // max(1, instance.pixel.nbytes)))
    taken: list[FrameKey] = []
    text = 0
    for key in keys:
        text += len(str(key.number)) + 1
        if len(taken) >= most or text > LONGEST_LIST_TEXT or key.instance != instance.sop_instance_uid:
            break
        taken.append(key)
    return tuple(sorted(taken, key=attrgetter("number")))


def longest_list(queued: int, connections: int, seconds: float, most: int) -> int:
    """The most frames of the next list: more than usual where so many wait that no connection idles for it.

    A far server is asked for them in fewer round trips.

    Args:
        queued: Frames that wait.
        connections: How many requests may be under way.
        seconds: What a list takes; 0 where that is not known.
        most: The most that may ever be asked for.
    """
    soon = int(min(most, USUAL_LIST * _SOON / seconds)) if seconds else 0
    return min(most, max(USUAL_LIST, min(queued // connections, soon)))


def list_length(queued: int, free: int, longest: int) -> int:
    """Frames of the next list: long ones cost the least, but none so long that connections idle.

    Args:
        queued: Frames that wait.
        free: Connections that could be asking.
        longest: Most frames of one list.
    """
    return min(longest, max(SMALLEST_LIST, -(-queued // free)))

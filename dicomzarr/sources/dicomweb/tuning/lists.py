"""How many frames are asked for in one list. Pure (no I/O)."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.series_state import FrameKey

SMALLEST_LIST: Final = 16
"""Frames below which splitting a list over connections costs more than it gains."""

LONGEST_LIST_TEXT: Final = 6000
"""Characters of a list of frame numbers; URLs of 8 kB pass everywhere."""

MOST_LIST_BYTES: Final = 64 * 2**20
"""Bytes that the frames of one list may take if none is compressed: what is lost with a broken reply."""


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


def list_length(queued: int, free: int, longest: int) -> int:
    """Frames of the next list: long ones cost the least, but none so long that connections idle.

    Args:
        queued: Frames that wait.
        free: Connections that could be asking.
        longest: Most frames of one list.
    """
    return min(longest, max(SMALLEST_LIST, -(-queued // free)))

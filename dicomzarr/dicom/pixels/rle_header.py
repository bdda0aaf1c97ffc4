"""The header of an RLE frame: where its segments lie (PS3.5 section G.5)."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final

_HEADER: Final = struct.Struct("<16I")
_MOST_SEGMENTS: Final = 15


def read_offsets(data: bytes | memoryview) -> tuple[int, ...]:
    """The offset of each segment, which the header alone tells.

    Args:
        data: The beginning of a frame.

    Raises:
        ValueError: It is no RLE header; says why.
    """
    if len(data) < _HEADER.size:
        raise ValueError(f"{len(data)} bytes are less than its header")
    count, *offsets = _HEADER.unpack_from(data)
    if not 1 <= count <= _MOST_SEGMENTS:
        raise ValueError(f"its header tells of {count} segments")
    used, unused = tuple(offsets[:count]), offsets[count:]
    if used[0] != _HEADER.size or any(after <= before for before, after in pairwise(used)) or any(unused):
        raise ValueError("the offsets in its header are not those of segments that follow one another")
    return used


def read_segments(data: bytes | memoryview) -> tuple[slice, ...]:
    """Where each segment of a whole frame lies; the last goes to the end of the data.

    Args:
        data: One frame.

    Raises:
        ValueError: It is none, or was cut off before its last segment; says which.
    """
    offsets = read_offsets(data)
    if offsets[-1] >= len(data):
        raise ValueError(f"it ends after {len(data)} bytes, before segment {len(offsets)} begins at {offsets[-1]}")
    return tuple(slice(start, end) for start, end in pairwise((*offsets, len(data))))

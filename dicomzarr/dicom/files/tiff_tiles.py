"""Where tiles lie by the TIFF directory of a file that is DICOM and TIFF at once (PS3.10 section 7.1, its preamble).

Converters write them so: the preamble points to a directory behind the pixel data, whose offsets are those of the
compressed bytes, behind each item's header, and whose lengths lack the byte that makes them even.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.fragments import ITEM_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLASSIC: Final = b"II\x2a\0"
_BIG: Final = b"II\x2b\0\x08\0\0\0"
_TILES = _OFFSETS, _LENGTHS = 324, 325
"""TileOffsets and TileByteCounts."""

_KINDS: Final = {3: "H", 4: "I", 16: "Q"}
"""SHORT, LONG and LONG8, as ``struct`` spells them."""

_MOST_ENTRIES: Final = 4096


def directory_offset(beginning: bytes | memoryview) -> int | None:
    """Where the first directory is, by the preamble of a file; None where the file is no TIFF as well."""
    if bytes(beginning[:4]) == _CLASSIC and len(beginning) >= 8:  # noqa: PLR2004  # the header of a TIFF
        return int(struct.unpack_from("<I", beginning, 4)[0]) or None
    if bytes(beginning[:8]) == _BIG and len(beginning) >= 16:  # noqa: PLR2004  # the header of a BigTIFF
        return int(struct.unpack_from("<Q", beginning, 8)[0]) or None
    return None


@dataclass(frozen=True, slots=True)
class TIFFTiles:
    """The end of a file, from its first directory on."""

    start: int
    """Offset of the directory in the file, in bytes."""
    tail: bytes | memoryview
    """The bytes of the file from there on."""
    big: bool
    """It is a BigTIFF."""

    @classmethod
    def of(cls, beginning: bytes | memoryview, start: int, tail: bytes | memoryview) -> TIFFTiles:
        """The directory that the beginning of a file points to."""
        return cls(start, tail, bytes(beginning[:8]) == _BIG)

    def bounds(self, frames: int, first: int) -> array[int] | None:
        """Where frames lie, each with its item's header: see `encapsulated.EncapsulatedFrames.bounds`.

        Args:
            frames: How many there are.
            first: Where the first item of the pixel data is, in bytes.

        Returns:
            None unless the tiles are the items, one after the other from the first on: something has changed the file
            since its directory was written, or frames have several fragments. Whether an item begins at each place is
            seen when it is read.
        """
        found = self._tiles()
        offsets, lengths = found.get(_OFFSETS, ()), found.get(_LENGTHS, ())
        if len(offsets) != frames or len(lengths) != frames:
            return None
        places = [offset - ITEM_HEADER for offset in offsets]
        ends = [offset + length + length % 2 for offset, length in zip(offsets, lengths, strict=True)]
        follow = all(end == place for end, (_, place) in zip(ends, pairwise(places), strict=False))
        if places[0] != first or not follow or ends[-1] > self.start:
            return None
        return array("Q", [*places, ends[-1]])

    def _tiles(self) -> dict[int, Sequence[int]]:
        try:
            return self._entries()
        except (struct.error, OverflowError):  # it ends early, or points to elsewhere
            return {}

    def _entries(self) -> dict[int, Sequence[int]]:
        count, size, inline, kind = ("<Q", 8, 12, "<HHQ") if self.big else ("<H", 2, 8, "<HHI")
        step = inline + (8 if self.big else 4)
        (number,) = struct.unpack_from(count, self.tail, 0)
        found: dict[int, Sequence[int]] = {}
        for entry in range(min(number, _MOST_ENTRIES)):
            at = size + entry * step
            tag, vr, values = struct.unpack_from(kind, self.tail, at)
            if tag not in _TILES or vr not in _KINDS:
                continue
            nbytes = values * struct.calcsize(f"<{_KINDS[vr]}")
            if nbytes > len(self.tail):
                continue
            place = at + inline
            if nbytes > step - inline:
                (place,) = struct.unpack_from("<Q" if self.big else "<I", self.tail, place)
                place -= self.start
            if place >= 0:
                found[tag] = struct.unpack_from(f"<{values}{_KINDS[vr]}", self.tail, place)
        return found

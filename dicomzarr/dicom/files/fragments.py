"""Fragments of encapsulated pixel data, and which of them make a frame (PS3.5 section A.4)."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom import uids
from dicomzarr.dicom.files.elements import ITEM, SEQUENCE_END, UNDEFINED, cut_off
from dicomzarr.dicom.files.random_access import Span
from dicomzarr.dicom.pixels.rle_header import read_offsets
from dicomzarr.errors import InvalidFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.dicom.files.elements import Element
    from dicomzarr.dicom.files.random_access import RandomAccess

_MOST_FRAGMENTS: Final = 1 << 22
ITEM_HEADER: Final = 8
"""Bytes of an item's tag and length."""

_HEADER: Final = struct.Struct("<HHI")
_DELIMITER: Final = _HEADER.pack(SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF, 0)
_RLE_HEADER: Final = 64
# JPEG and JPEG-LS, JPEG 2000 with and without a file around it, JPEG XL likewise.
_BEGINNINGS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ", b"\xff\x0a", b"\0\0\0\x0cJXL ")
_LONGEST_BEGINNING: Final = 12
_END_MARKER: Final = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
_PADDED_END: Final = 16


class Item(NamedTuple):
    """A fragment, or the Basic Offset Table."""

    start: int
    """Offset of its value in bytes."""
    length: int
    """Bytes of its value."""

    @property
    def at(self) -> int:
        """Offset of its tag in bytes."""
        return self.start - ITEM_HEADER

    @property
    def end(self) -> int:
        """Offset behind it in bytes."""
        return self.start + self.length


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """The items of encapsulated pixel data."""

    starts: array[int]
    """Offset of each fragment's first byte."""
    lengths: array[int]
    """Bytes of each fragment."""
    table: Span
    """The Basic Offset Table, of no bytes where there is none."""
    end: int
    """Offset of what stands behind them, the delimiter of the sequence."""

    def __len__(self) -> int:
        return len(self.starts)

    def of_offsets(self, offsets: Sequence[int]) -> array[int] | None:
        """The fragments that begin at these offsets, or None where the offsets are no table of these fragments.

        Args:
            offsets: Bytes between the first fragment's item tag and that of each frame's first fragment.
        """
        if not self.starts or not offsets or offsets[0] != 0:
            return None
        first = array("Q")
        for offset in offsets:
            start = self.starts[0] + offset
            at = bisect_left(self.starts, start, lo=first[-1] + 1 if first else 0)
            if at == len(self) or self.starts[at] != start:
                return None
            first.append(at)
        return first

    def bounds(self, first: Sequence[int]) -> array[int]:
        """Where frames lie, by the fragment that each begins with: see `encapsulated.EncapsulatedFrames.bounds`."""
        return array("Q", [*(self.starts[number] - ITEM_HEADER for number in first), self.end])


def items(data: RandomAccess, at: int, end: int | None = None) -> Iterator[Item]:
    """The items of encapsulated pixel data, one after the other, up to the delimiter of the sequence.

    Args:
        data: The file.
        at: Where the first is.
        end: Where to stop, if something else than the delimiter stands there.

    Raises:
        TruncatedFileError: The data end before the last item does, or before the delimiter where that may lack more.
        InvalidFileError: They are no items, or beyond number.
    """
    for _ in range(_MOST_FRAGMENTS + 2):
        if at == end:
            return
        header = data[at : at + ITEM_HEADER]
        if len(header) < ITEM_HEADER:
            if _ends_whole(data, at, header):
                return
            raise cut_off(len(data))
        group, number, length = _HEADER.unpack(header)
        tag = group << 16 | number
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or length == UNDEFINED:
            raise InvalidFileError(f"No fragment of pixel data begins at byte {at}.")
        item = Item(at + ITEM_HEADER, length)
        if item.end > len(data):
            raise cut_off(len(data))
        yield item
        at = item.end
    raise InvalidFileError(f"The pixel data are in more than {_MOST_FRAGMENTS} fragments.")


def _ends_whole(data: RandomAccess, at: int, header: bytes | memoryview) -> bool:
    """Whether nothing but the delimiter lacks where data end: what stands before is the end of a codestream."""
    return _DELIMITER.startswith(bytes(header)) and _ends_codestream(data, at)


def check_encapsulated(pixels: Element) -> None:
    """Refuse pixel data that are no sequence of items.

    Raises:
        InvalidFileError: They are not.
    """
    if pixels.length != UNDEFINED:
        raise InvalidFileError("The transfer syntax says that the pixel data are encapsulated, and they are not.")


def read_fragments(data: RandomAccess, pixels: Element) -> Fragments:
    """Walk over all items of encapsulated pixel data.

    Raises:
        TruncatedFileError: The data end before the last item does.
        InvalidFileError: They are no items, or beyond number.
    """
    check_encapsulated(pixels)
    starts, lengths = array("Q"), array("Q")
    for item in items(data, pixels.start):
        starts.append(item.start)
        lengths.append(item.length)
    if not starts:
        raise cut_off(pixels.start + ITEM_HEADER)
    end = starts[-1] + lengths[-1]
    return Fragments(starts[1:], lengths[1:], Span(starts[0], lengths[0]), end)


def first_fragments(data: RandomAccess, fragments: Fragments, frames: int, syntax: str) -> array[int]:
    """Which fragment each frame begins with: by the Basic Offset Table, by count, or by what the bytes say.

    A table that does not fit the fragments is not believed: 32 bits do not reach into a large file.

    Args:
        data: The file.
        fragments: Its fragments.
        frames: NumberOfFrames (0028,0008).
        syntax: Transfer syntax UID.

    Raises:
        InvalidFileError: The frames cannot be told apart.
    """
    if fragments.table.length == 4 * frames and frames <= len(fragments):
        told = fragments.of_offsets(struct.unpack(f"<{frames}I", fragments.table.of(data)))
        if told is not None:
            return told
    if frames == 1 and len(fragments):
        return array("Q", [0])
    if len(fragments) == frames:
        return array("Q", range(frames))
    if len(fragments) > frames:
        found = _by_markers(data, fragments, frames, syntax)
        if found is not None:
            return found
    raise InvalidFileError(
        f"The {frames} frames cannot be told apart in {len(fragments)} fragments without an offset table.",
        remedy="Have the instance stored anew with an offset table.",
    )


def _by_markers(data: RandomAccess, fragments: Fragments, frames: int, syntax: str) -> array[int] | None:
    found = map(Item, fragments.starts, fragments.lengths)
    starts = [number for number, item in enumerate(found) if begins_frame(data, item, syntax)]
    if len(starts) > frames and syntax != uids.RLE_LOSSLESS:
        # What only looks like a beginning has no end before it.
        starts = [number for number in starts if number == 0 or _ends_before(data, fragments, number)]
    return array("Q", starts) if len(starts) == frames and starts[0] == 0 else None


def begins_frame(data: RandomAccess, item: Item, syntax: str) -> bool:
    """Whether a fragment begins as a frame of a transfer syntax does, if these begin in some way."""
    begins = _begins_rle if syntax == uids.RLE_LOSSLESS else _begins_codestream
    return begins(data[item.start : item.start + min(item.length, _RLE_HEADER)])


def _begins_codestream(fragment: bytes | memoryview) -> bool:
    return bytes(fragment[:_LONGEST_BEGINNING]).startswith(_BEGINNINGS)


def _begins_rle(fragment: bytes | memoryview) -> bool:
    try:
        read_offsets(fragment)
    except ValueError:
        return False
    return True


def _ends_before(data: RandomAccess, fragments: Fragments, number: int) -> bool:
    return _ends_codestream(data, fragments.starts[number] - ITEM_HEADER)


def _ends_codestream(data: RandomAccess, end: int) -> bool:
    return bytes(data[max(0, end - _PADDED_END) : end]).rstrip(b"\0").endswith(_END_MARKER)

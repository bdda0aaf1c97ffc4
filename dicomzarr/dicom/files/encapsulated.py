"""Frames of encapsulated pixel data: by their table where that can be believed, else by a look at every item."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.fragments import (
    ITEM_HEADER,
    begins_frame,
    check_encapsulated,
    first_fragments,
    items,
    read_fragments,
)
from dicomzarr.dicom.files.random_access import Span
from dicomzarr.dicom.pixels.syntax import transfer_syntax
from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dicomzarr.dicom.files.elements import Element
    from dicomzarr.dicom.files.fragments import Fragments, Item
    from dicomzarr.dicom.files.random_access import RandomAccess

_UNBOUNDED: Final = 2**64


@dataclass(slots=True, eq=False)
class EncapsulatedFrames:
    """Frames in fragments, each from its first item up to that of the next frame."""

    data: RandomAccess
    transfer_syntax_uid: str
    bounds: array[int]
    """Offset of the first item of each frame, and of what stands behind the last."""
    scan: Callable[[], array[int]] | None = None
    """Finds them by a look at every item; None where that has been done."""
    open_end: bool = False
    """Where the last frame ends is not known: something else may stand behind it."""
    most: int = _UNBOUNDED
    """Bytes that one frame may take: a broken or hostile file shall not fill the memory."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def spans(self, number: int) -> tuple[Span, ...]:
        """See `part10.Frames.spans`."""
        start, end = self.bounds[number - 1 : number + 1]
        if end - start > self.most:
            if not (self.open_end and number == len(self)):
                raise InvalidFileError(f"Frame {number} takes {end - start} bytes, far more than its pixels do.")
            end = start + self.most
        return (Span(start, end - start),)

    def assemble(self, number: int, pieces: Sequence[bytes | memoryview]) -> bytes:
        """See `part10.Frames.assemble`."""
        (piece,) = pieces
        (span,) = self.spans(number)
        if len(piece) != span.length:
            raise InvalidFileError(f"{len(piece)} bytes of frame {number} are there, and should be {span.length}.")
        is_open = self.open_end and number == len(self)
        found = list(items(piece, 0, None if is_open else span.length))
        if not found or not (is_open or found[-1].end == span.length):
            raise InvalidFileError(f"No whole fragments of pixel data make frame {number}.")
        return b"".join(piece[item.start : item.end] for item in found)

    def cut(self, number: int) -> bytes:
        """See `part10.Frames.cut`; where the table turns out to be wrong, every item is looked at, once."""
        try:
            return self.assemble(number, [span.of(self.data) for span in self.spans(number)])
        except InvalidFileError:
            if self.scan is None:
                raise
        self.look_at_all()
        return self.assemble(number, [span.of(self.data) for span in self.spans(number)])

    def look_at_all(self) -> None:
        """Find the frames by a look at every item, unless that has been done.

        Raises:
            InvalidFileError: They cannot be told apart.
        """
        if self.scan is not None:
            self.bounds, self.scan, self.open_end = self.scan(), None, False


def scanned_frames(
    data: RandomAccess, pixels: Element, frames: int, syntax: str, extended: bytes | memoryview
) -> EncapsulatedFrames:
    """The frames as all items tell, so that a file that ends early is noticed at once.

    Args:
        data: The file.
        pixels: Its pixel data.
        frames: NumberOfFrames (0028,0008).
        syntax: Transfer syntax UID.
        extended: ExtendedOffsetTable (7FE0,0001), empty where there is none.

    Raises:
        TruncatedFileError: The data end early.
        InvalidFileError: The frames cannot be told apart.
        UnsupportedTransferSyntaxError: They cannot be decoded.
    """
    transfer_syntax(syntax)
    return EncapsulatedFrames(data, syntax, _scanned(data, pixels, frames, syntax, extended))


def tabled_count(data: RandomAccess, pixels: Element, syntax: str, extended: bytes | memoryview) -> int:
    """How many frames there are in a file that does not say it: as many as a table has, else one.

    Some tables list the fragments of a single frame, of which the second begins no frame.

    Args:
        data: As for `scanned_frames`.
        pixels: As above.
        syntax: As above.
        extended: As above.

    Raises:
        TruncatedFileError: As above.
        InvalidFileError: As above.
    """
    check_encapsulated(pixels)
    basic = next(items(data, pixels.start), None)
    width, length = (8, len(extended)) if extended else (4, 0 if basic is None else basic.length)
    if basic is None or length < 2 * width:
        return 1
    second = extended[width : 2 * width] if extended else data[basic.start + width : basic.start + 2 * width]
    try:
        item = next(items(data, basic.end + int.from_bytes(second, "little")), None)
    except InvalidFileError:
        return 1
    return length // width if item is not None and begins_frame(data, item, syntax) else 1


def tabled_frames(
    data: RandomAccess, pixels: Element, frames: int, syntax: str, extended: bytes | memoryview
) -> EncapsulatedFrames:
    """The frames as their table tells, of which only the last is looked at; as all items tell where there is no table.

    Args:
        data: As for `scanned_frames`.
        pixels: As above.
        frames: As above.
        syntax: As above.
        extended: As above.

    Raises:
        TruncatedFileError: As above.
        InvalidFileError: As above.
        UnsupportedTransferSyntaxError: As above.
    """
    transfer_syntax(syntax)
    check_encapsulated(pixels)
    extended = bytes(extended) if len(extended) == 8 * frames else b""  # not all that stands around it
    told = _told(data, pixels, frames, extended)
    if told is None:
        return scanned_frames(data, pixels, frames, syntax, extended)
    return EncapsulatedFrames(data, syntax, told, lambda: _scanned(data, pixels, frames, syntax, extended))


def distant_frames(  # noqa: PLR0913, PLR0917  # what tells where frames lie
    data: RandomAccess,
    pixels: Element,
    frames: int,
    syntax: str,
    extended: bytes | memoryview,
    directory: Callable[[int, int], array[int] | None],
    known: array[int] | None = None,
) -> EncapsulatedFrames:
    """As `tabled_frames`, and a file without a table is not looked at before it must be; an only frame costs no read.

    Args:
        data: As for `scanned_frames`; the Basic Offset Table costs nothing.
        pixels: As above.
        frames: As above.
        syntax: As above.
        extended: As above.
        directory: Gives ``EncapsulatedFrames.bounds`` by what the file says of itself as a TIFF, of the number of
            frames and of where the first item is; it is asked where there is no other table.
        known: ``EncapsulatedFrames.bounds``, where they are known already.

    Raises:
        TruncatedFileError: As above.
        InvalidFileError: As above.
        UnsupportedTransferSyntaxError: As above.
    """
    transfer_syntax(syntax)
    check_encapsulated(pixels)
    table = bytes(extended) if len(extended) == 8 * frames else b""

    def scan() -> array[int]:
        return _scanned(data, pixels, frames, syntax, table)

    if known is not None and len(known) == frames + 1:
        return EncapsulatedFrames(data, syntax, known, scan)
    told = _told(data, pixels, frames, table) if frames > 1 else None
    if told is not None:
        return EncapsulatedFrames(data, syntax, told, scan)
    basic = next(items(data, pixels.start), None)
    if basic is None:
        raise InvalidFileError("The DICOM file holds no fragments of pixel data.")
    if frames == 1 and basic.end + ITEM_HEADER <= len(data):
        return EncapsulatedFrames(data, syntax, array("Q", [basic.end, len(data)]), scan, open_end=True)
    bounds = directory(frames, basic.end)
    if bounds is None:
        return EncapsulatedFrames(data, syntax, scan())
    return EncapsulatedFrames(data, syntax, bounds, scan)


def _scanned(data: RandomAccess, pixels: Element, frames: int, syntax: str, extended: bytes | memoryview) -> array[int]:
    fragments = read_fragments(data, pixels)
    first = _by_extended(extended, fragments, frames)
    if first is None:
        first = first_fragments(data, fragments, frames, syntax)
    return fragments.bounds(first)


def _by_extended(table: bytes | memoryview, fragments: Fragments, frames: int) -> array[int] | None:
    if len(table) != 8 * frames or frames > len(fragments):
        return None
    return fragments.of_offsets(struct.unpack(f"<{frames}Q", table))


def _told(data: RandomAccess, pixels: Element, frames: int, extended: bytes | memoryview) -> array[int] | None:
    """Where frames lie by a table, if it may be right: offsets that ascend within the file, up to a last frame."""
    basic = next(items(data, pixels.start), None)
    if basic is None:
        return None
    offsets = _offsets(data, basic, frames, extended)
    if not offsets:
        return None
    end = _end_of_frame(data, basic.end + offsets[-1])
    return None if end is None else array("Q", [*(basic.end + offset for offset in offsets), end])


def _offsets(data: RandomAccess, basic: Item, frames: int, extended: bytes | memoryview) -> tuple[int, ...]:
    """What a table says, if it may be right; else nothing."""
    offsets: tuple[int, ...] = ()
    if len(extended) == 8 * frames:
        offsets = struct.unpack(f"<{frames}Q", extended)
    elif basic.length == 4 * frames:
        offsets = struct.unpack(f"<{frames}I", data[basic.start : basic.end])
    return offsets if offsets and offsets[0] == 0 and _ascend(offsets) else ()


def _ascend(offsets: Sequence[int]) -> bool:
    return all(after - before >= ITEM_HEADER for before, after in pairwise(offsets))


def _end_of_frame(data: RandomAccess, at: int) -> int | None:
    """Where the last frame ends, which begins at an offset; None where no items are up to the end of the pixel data.

    Of a file that ends early it is beyond that: then nobody reads half of a frame, and all others can be read.
    """
    end = None
    try:
        for item in items(data, at):
            end = item.end
    except TruncatedFileError:
        return max(at, len(data)) + ITEM_HEADER
    except InvalidFileError:
        return None  # a scan tells whether the table is wrong or the file is broken
    return end

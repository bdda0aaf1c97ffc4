"""Native frames in pixel data: by their length, in little endian, each from its first bit on (PS3.5 section 8.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom import uids
from dicomzarr.dicom.files.random_access import Span
from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.files.random_access import RandomAccess

_BYTE: Final = 8
_CELLS: Final = frozenset({1, 8, 16, 32, 64})


@dataclass(frozen=True, slots=True, eq=False)
class NativeFrames:
    """Frames of one length, one after the other without a gap."""

    data: RandomAccess
    start: int
    """Offset of the value of the pixel data element in the data, in bytes."""
    length: int
    """Bytes of that value, which may hold fewer frames than the header tells of."""
    count: int
    bits: int
    """Bits of one frame."""
    swapped: int = 1
    """Bytes of a word whose order is to be reversed; 1 where none is."""

    @property
    def transfer_syntax_uid(self) -> str:
        """See `part10.Frames.transfer_syntax_uid`."""
        return uids.EXPLICIT_VR_LITTLE_ENDIAN

    def __len__(self) -> int:
        return self.count

    def spans(self, number: int) -> tuple[Span, ...]:
        """See `part10.Frames.spans`."""
        low, high = self._words(number)
        if high > self.length:
            raise TruncatedFileError(
                f"The DICOM file holds {self.length} bytes of pixel data; frame {number} would end at {high}."
            )
        return (Span(self.start + low, high - low),)

    def assemble(self, number: int, pieces: Sequence[bytes | memoryview]) -> bytes:
        """See `part10.Frames.assemble`; frames of single bits are moved to begin with the lowest bit of a byte."""
        (piece,) = pieces
        low, high = self._words(number)
        if len(piece) != high - low:
            raise TruncatedFileError(f"{len(piece)} bytes of frame {number} are there, and should be {high - low}.")
        first = (number - 1) * self.bits
        start, shift = divmod(first, _BYTE)
        cut = self._little(piece)[start - low : -(-(first + self.bits) // _BYTE) - low]
        return cut if self.bits % _BYTE == 0 and not shift else _aligned(cut, shift, self.bits)

    def cut(self, number: int) -> bytes:
        """See `part10.Frames.cut`."""
        return self.assemble(number, [span.of(self.data) for span in self.spans(number)])

    def _words(self, number: int) -> tuple[int, int]:
        """The bytes of the value that hold a frame; words begin at even places of the whole value, not of a frame."""
        first = (number - 1) * self.bits
        start, stop = first // _BYTE, -(-(first + self.bits) // _BYTE)
        return start - start % self.swapped, stop + -stop % self.swapped

    def _little(self, piece: bytes | memoryview) -> bytes:
        """Whole words as little endian has them."""
        if self.swapped == 1:
            return bytes(piece)
        return np.frombuffer(piece, f">u{self.swapped}").astype(f"<u{self.swapped}").tobytes()


def native_frames(  # noqa: PLR0913  # what the Image Pixel module says
    data: RandomAccess,
    start: int,
    length: int,
    *,
    count: int | None,
    pixels: int,
    samples: int,
    bits: int,
    subsampled: bool,
    swapped_words: bool,
    swapped_cells: bool,
) -> NativeFrames:
    """The frames of a pixel data value.

    Args:
        data: What holds it.
        start: Offset of the value as stored, in bytes.
        length: Bytes of it.
        count: NumberOfFrames; None for as many as there are, if nothing else is.
        pixels: Rows times Columns.
        samples: SamplesPerPixel.
        bits: BitsAllocated, or those of a floating point number.
        subsampled: Two pixels may share their colour (YBR_FULL_422, PS3.3 section C.7.6.3.1.2).
        swapped_words: Cells of a byte and less are in 16-bit words of big endian.
        swapped_cells: Larger cells are in big endian.

    Raises:
        InvalidFileError: The value does not hold these frames.
        TruncatedFileError: It is too short for them.
    """
    if bits not in _CELLS:
        raise InvalidFileError(f"Native pixels of {bits} bits in the DICOM file cannot be cut into frames.")
    cell = max(1, bits // _BYTE)
    swapped = (cell if swapped_cells else 1) if cell > 1 else (2 if swapped_words else 1)
    count = count or _whole_frames(length, pixels * bits * samples) or 1
    frame = _frame_bits(length, count, pixels * bits, samples, subsampled=subsampled)
    if length % swapped:
        raise InvalidFileError(f"{length} bytes of pixel data are no whole number of {swapped}-byte words.")
    return NativeFrames(data, start, length, count, frame, swapped)


def _whole_frames(length: int, frame: int) -> int:
    """How many frames a value holds, with a byte of padding at most; 0 where it holds something else too."""
    count = length * _BYTE // frame
    return count if length - -(-count * frame // _BYTE) <= 1 else 0


def _frame_bits(length: int, count: int, plane: int, samples: int, *, subsampled: bool) -> int:
    """Bits of one frame; of the sizes that it may have the one that fits the value best."""
    sizes = [plane * samples]
    if subsampled:
        sizes.insert(0, plane * 2)
    for frame in sizes:
        needed = -(-frame * count // _BYTE)
        if 0 <= length - needed <= 1:
            return frame
    frame = sizes[0]
    needed = -(-frame * count // _BYTE)
    if length < needed and (subsampled or not _whole_frames(length, frame)):
        raise TruncatedFileError(f"The DICOM file holds {length} bytes of pixel data; {count} frames take {needed}.")
    # Padding is real; room for another frame means that the header tells of another image.
    if length - needed >= -(-frame // _BYTE):
        raise InvalidFileError(f"The DICOM file holds {length} bytes of pixel data, its header tells of {needed}.")
    return frame


def _aligned(data: bytes, shift: int, bits: int) -> bytes:
    """Bits moved down by less than a byte; those behind the frame are zero."""
    cells = np.frombuffer(data, np.uint8)
    following = np.append(cells[1:], np.uint8(0))
    moved = (cells >> shift | following.astype(np.uint16) << (_BYTE - shift)).astype(np.uint8)
    kept = moved[: -(-bits // _BYTE)].copy()
    if bits % _BYTE:
        kept[-1] &= (1 << bits % _BYTE) - 1
    return kept.tobytes()

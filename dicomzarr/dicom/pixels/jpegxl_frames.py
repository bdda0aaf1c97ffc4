"""Whether a JPEG XL is one plain frame (ISO/IEC 18181-1 Annexes D to F): of all others only decoding tells the cost.

A codestream of few bytes may draw a picture of thousands of layers, of parts that are larger than it is, or of splines.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

Distributions: TypeAlias = tuple[tuple[int, int], ...]

RGB, GREY, XYB = 0, 1, 2
"""Colour spaces."""
ENUM: Final[Distributions] = ((0, 0), (0, 1), (4, 2), (6, 18))

_COORDINATE: Final[Distributions] = ((19, 0), (19, 524288), (20, 1048576), (21, 2097152))
_CUSTOM: Final = 2
"""A white point, or primaries, of coordinates that follow."""
_POINT, _PRIMARIES = 2, 6  # coordinates of each
_GAMMA_BITS: Final = 24
_GROUP_SIZE_BITS, _SCALE_BITS, _SUBSAMPLING_BITS = 2, 6, 6
_MARKER_BITS, _FIRST_MARKER, _START_OF_SCAN, _END_OF_IMAGE = 6, 0xC0, 0xDA, 0xD9
_MOST_MARKERS, _MOST_SCANS = 128, 20
"""Of a JPEG; real ones have some forty, and a dozen."""
_HARMLESS: Final = 1 | 128
"""Flags of a frame: noise, and low frequencies that are not smoothed. Others draw patches, splines or other frames."""


class Bits:
    """Bits in their order, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise ValueError("it ends within its header")
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def flag(self) -> bool:
        """The next bit."""
        return self.take(1) == 1

    def number(self, distributions: Distributions) -> int:
        """A number in one of four lengths, which two bits name."""
        count, offset = distributions[self.take(2)]
        return self.take(count) + offset

    def small(self) -> int:
        """A number of 64 bits that is below 273 (D.2.4).

        Raises:
            ValueError: It is not.
        """
        match self.take(2):
            case 0:
                return 0
            case 1:
                return 1 + self.take(4)
            case 2:
                return 17 + self.take(8)
        raise ValueError("a number in its header is large")

    def align(self) -> None:
        """Pass over what is left of a byte."""
        self.take(self._left % 8)


class Metadata(NamedTuple):
    """The Image Metadata bundle as far as it is read; the defaults are those that it has when nothing is written."""

    precision: int = 8
    is_xyb: bool = True
    colour_space: int = RGB
    has_profile: bool = False
    is_default: bool = True
    """None of it is written."""
    has_default_colour: bool = True
    """Nor is the colour encoding, which else goes on behind the colour space."""
    has_more: bool = False
    """Further fields follow the colour encoding."""


def is_plain(bits: Bits, metadata: Metadata) -> bool:
    """Whether it is one frame that covers the picture and draws on no other.

    Args:
        bits: They begin behind the colour space.
        metadata: What was read of it before.
    """
    try:
        return _reaches_frames(bits, metadata) and _is_only_frame(bits, is_xyb=metadata.is_xyb)
    except ValueError:  # broken or unusual: the decoder finds out which
        return False


def are_few_markers(reconstruction: bytes) -> bool:
    """Whether the JPEG that a box restores (18181-2 section 9.8) has as many markers as real ones.

    Each may be a segment of 64 KiB, or a scan, for which the box has next to no bytes.
    """
    bits = Bits(reconstruction)
    scans = 0
    try:
        bits.flag()  # whether it is grey
        for _ in range(_MOST_MARKERS):
            marker = _FIRST_MARKER + bits.take(_MARKER_BITS)
            scans += marker == _START_OF_SCAN
            if marker == _END_OF_IMAGE:
                return scans <= _MOST_SCANS
    except ValueError:  # it is broken, and the decoder says so
        pass
    return False


def _reaches_frames(bits: Bits, metadata: Metadata) -> bool:
    """Pass over the rest of the image header. A profile is compressed, and ends nobody knows where."""
    if metadata.has_profile:
        return False
    if not metadata.has_default_colour:
        _pass_colour(bits, metadata.colour_space)
    if metadata.has_more and not bits.flag():  # other than the usual tones
        return False
    has_extensions = not metadata.is_default and bits.small() > 0
    if has_extensions or not bits.flag():  # or transforms of its own
        return False
    bits.align()
    return True


def _pass_colour(bits: Bits, space: int) -> None:
    if space != XYB:
        _pass_coordinates(bits, _POINT)
        if space != GREY:
            _pass_coordinates(bits, _PRIMARIES)
    if bits.flag():
        bits.take(_GAMMA_BITS)
    else:
        bits.number(ENUM)
    bits.number(ENUM)  # the rendering intent


def _pass_coordinates(bits: Bits, count: int) -> None:
    if bits.number(ENUM) == _CUSTOM:
        for _ in range(count):
            bits.number(_COORDINATE)


def _is_only_frame(bits: Bits, *, is_xyb: bool) -> bool:
    """Whether the frame header (F.2) is that of such a frame."""
    if bits.flag():
        return True  # as nothing else is written
    if bits.take(2):
        return False  # its type: it is drawn for the sake of others
    is_modular = bits.flag()
    if bits.small() & ~_HARMLESS:
        return False
    if not is_xyb and bits.flag():  # YCbCr
        bits.take(_SUBSAMPLING_BITS)
    bits.take(2)  # how much it is enlarged
    if is_modular:
        bits.take(_GROUP_SIZE_BITS)
    elif is_xyb:
        bits.take(_SCALE_BITS)
    passes, is_cropped = bits.take(2), bits.flag()
    if passes or is_cropped:  # one pass is written as 0
        return False
    return bits.take(2) == 0 and bits.flag()  # it replaces what is below, and is the last

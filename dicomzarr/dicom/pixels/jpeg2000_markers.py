"""Markers of JPEG 2000 (ITU-T T.800 Annex A) and HTJ2K (T.814), with or without JP2 boxes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.codestream import Codec, Codestream, Colour
from dicomzarr.dicom.pixels.jpeg2000_cost import CODING_STYLE, SIZE, TILE_PART
from dicomzarr.dicom.pixels.segments import MOST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\xff\x4f\xff\x51"
"""Start of codestream, and the size marker that must follow."""
JP2_MAGIC: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
"""The signature box of JP2 and JPH files."""

_CAPABILITIES, _END = 0xFF50, 0xFFD9
_HAS_CAPABILITIES: Final = 0x4000  # in Rsiz
_HAS_EXTENSIONS: Final = 0x8000  # as above: those of Part 2 (ITU-T T.801)
_HIGH_THROUGHPUT: Final = 0x00020000  # in Pcap: Part 15
_COMPONENT: Final = struct.Struct(">3B")  # Ssiz, XRsiz, YRsiz
_SIGNED: Final = 0x80  # in Ssiz
_COLOUR_COMPONENTS: Final = 3
_HALVED: Final = frozenset({(2, 1), (2, 2)})  # 4:2:2 and 4:2:0
_FIRST_MARKER: Final = 0xFF00


def read_jpeg2000(data: bytes) -> Codestream:
    """Reads the main header and follows the tile-parts to the end.

    Args:
        data: Bytes that begin with ``MAGIC`` or ``JP2_MAGIC``; bytes after the end do not matter.

    Raises:
        ValueError: The markers are broken, the components differ in size or depth, or it is of Part 2; says which.
    """
    start = _find_codestream(data)
    try:
        return _read(data, start)
    except (struct.error, IndexError) as error:
        raise ValueError("it ends within its header") from error


def _read(data: bytes, start: int) -> Codestream:
    capabilities, x1, y1, x0, y0, *_, samples = SIZE.unpack_from(data, start + 6)
    if capabilities & _HAS_EXTENSIONS:
        raise ValueError("it uses the extensions of JPEG 2000 Part 2, which are not supported")
    precision, signed, subsampled = _components(data, start + 6 + SIZE.size, samples)
    codec = Codec.JPEG_2000
    colour = Colour.YBR if subsampled else None
    lossy = False
    position = start
    for marker, position in _main_header(data, start + 2):
        if marker == _CAPABILITIES and capabilities & _HAS_CAPABILITIES:
            (parts,) = struct.unpack_from(">I", data, position + 4)
            codec = Codec.HTJ2K if parts & _HIGH_THROUGHPUT else codec
        elif marker == CODING_STYLE:
            # The component transform was applied to RGB and is undone by the codec.
            if data[position + 8] != 0 and samples == _COLOUR_COMPONENTS:
                if subsampled:
                    raise ValueError("its components differ in size and have a component transform")
                colour = Colour.RGB
            lossy = data[position + 13] == 0
    return Codestream(
        codec=codec,
        rows=y1 - y0,
        columns=x1 - x0,
        samples=samples,
        precision=precision,
        signed=signed,
        lossy=lossy,
        colour=colour,
        complete=_is_complete(data, position),
        start=start,
    )


def _find_codestream(data: bytes) -> int:
    """The offset of the codestream: 0, or that of the contents of the box ``jp2c``."""
    position = boxes = 0
    while not data.startswith(MAGIC, position):
        length, kind, extended = struct.unpack(">I4sQ", data[position : position + 16].ljust(16))
        boxes += 1
        if boxes > MOST_SEGMENTS:
            raise ValueError("it has too many boxes")
        header = 16 if length == 1 else 8
        length = extended if length == 1 else length
        if kind == b"jp2c":
            position += header
            if not data.startswith(MAGIC, position):
                raise ValueError("its codestream box does not hold a codestream")
        elif length < header or position + length >= len(data):
            raise ValueError("it has no codestream box")
        else:
            position += length
    return position


def _components(data: bytes, position: int, samples: int) -> tuple[int, bool, bool]:
    """Precision and sign of the components, which must be alike, and whether the last two of three are coarser.

    Nobody halves the resolution of green and blue: such components are colour differences.
    """
    components = [_COMPONENT.unpack_from(data, position + index * _COMPONENT.size) for index in range(samples)]
    depths = {depth for depth, *_ in components}
    factors = [(right, down) for _, right, down in components]
    subsampled = len(factors) == _COLOUR_COMPONENTS and factors[1] == factors[2] and factors[1] in _HALVED
    if len(depths) != 1 or (len(set(factors)) != 1 and not subsampled):
        raise ValueError(f"its {samples} components are not alike")
    (depth,) = depths
    if factors[0] != (1, 1) or (subsampled and depth & _SIGNED):
        raise ValueError("its components are subsampled in a way that is not supported")
    return (depth & 0x7F) + 1, bool(depth & _SIGNED), subsampled


def _main_header(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """Yields the marker segments and their offsets, the first tile-part's last."""
    marker = count = 0
    while marker != TILE_PART:
        count += 1
        if count > MOST_SEGMENTS:
            raise ValueError("it has too many marker segments")
        marker, length = struct.unpack_from(">2H", data, position)
        if marker < _FIRST_MARKER or length == 0:
            raise ValueError("its main header is broken")
        yield marker, position
        position += 2 + length


def _is_complete(data: bytes, position: int) -> bool:
    """Whether each tile-part is as long as it says and the end marker follows the last."""
    while position + 2 <= len(data):
        marker = int.from_bytes(data[position : position + 2], "big")
        length = int.from_bytes(data[position + 6 : position + 10], "big")
        if marker != TILE_PART:
            if data.find(MAGIC, position) >= 0:
                raise ValueError("another follows it, and nobody can say which is the frame")
            return marker == _END
        if length == 0:  # the last tile-part may leave its length open
            return data.rfind(b"\xff\xd9", position) >= 0
        position += max(length, 12)
    return False

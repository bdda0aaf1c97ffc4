"""What decoding a JPEG 2000 costs beside its pixels: packets and code-blocks, by its headers (ITU-T T.800 Annex B).

A few bytes can tell of so many of them that a decoder takes gigabytes before it finds that there are no data.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.pixels.segments import MOST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CODING_STYLE, TILE_PART, START_OF_DATA = 0xFF52, 0xFF90, 0xFF93
_STYLES: Final = (CODING_STYLE, 0xFF53)
_COMPONENT_QUANTIZATION: Final = 0xFF5D
_QUANTIZATIONS: Final = (0xFF5C, _COMPONENT_QUANTIZATION)
_REGION: Final = 0xFF5E
SIZE: Final = struct.Struct(">H8IH")  # Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, four of tiles, Csiz
_FIRST_MARKER: Final = 0xFF00
_HAS_PRECINCTS: Final = 1  # in Scod and Scoc
_WHOLE: Final = 15  # the exponent of a precinct where none is given
_DEEPEST: Final = 32  # levels of decomposition (T.800 table A.15)
_MOST_COMPONENTS_OF_A_BYTE: Final = 257
_BLOCK_BYTES: Final = 416
"""That OpenJPEG takes for a code-block, or for a precinct of a band, nodes of their trees included; measured."""
_TILE_BYTES: Final = 16 * 1024
"""And for the parameters of a tile."""
_FEW_PACKETS: Final = 2**16
"""No harm, whatever the length of the codestream."""
_MOST_IN_ALL: Final = 2**18
"""Tile-parts and segments in their headers; there are no more than 65535 tiles."""
_MOST_STYLES: Final = 1000
"""That differ; real ones have one or two."""
_MOST_PLANES: Final = 30
"""That OpenJPEG decodes."""
_SHORTEST_TILE: Final = 14
"""Bytes of a tile-part and its start of data."""


class _Grid(NamedTuple):
    """The reference grid (T.800 section B.2)."""

    right: int
    bottom: int
    across: int
    """Tiles side by side."""
    down: int
    """Tiles on one another."""
    components: int


class _Style(NamedTuple):
    """How components are cut, as a marker COD or COC says."""

    layers: int
    """None of its own: 0, in COC."""
    levels: int
    block: tuple[int, int]
    """Exponents of the width and height of code-blocks."""
    precincts: tuple[tuple[int, int], ...]
    """Likewise, for each resolution, the coarsest first; empty where they are as large as can be."""


class Cost(NamedTuple):
    """What a decoder takes, at most."""

    extra_bytes: int
    """Beside those of pixels."""
    passes: int
    """Times that it may go over each sample: three for each bit plane (T.800 section D.3)."""


def cost_of(data: bytes, start: int) -> Cost:
    """What decoding may cost.

    Args:
        data: Bytes with a codestream, whose main header has been read.
        start: Where it begins.

    Raises:
        ValueError: It is broken, or tells of more tiles or packets than it has bytes.
    """
    grid = _grid(data, start)
    length, tiles = len(data) - start, grid.across * grid.down
    if tiles * _SHORTEST_TILE > length:
        raise ValueError(f"it tells of {tiles} tiles, and has {length} bytes")
    styles: set[_Style] = set()
    planes = shift = 0
    # Each may count for all tiles and components: what is rare is so reckoned too high, and nothing too low.
    for marker, body in _segments(data, start):
        if marker in _STYLES:
            styles.add(_style(marker, body, grid.components))
        elif marker in _QUANTIZATIONS:
            planes = max(planes, _bit_planes(marker, body, grid.components))
        elif marker == _REGION:
            shift = max(shift, *body[-1:], 0)
        if len(styles) > _MOST_STYLES:
            raise ValueError("it has too many coding styles")
    passes = max(1, 3 * min(planes + shift, _MOST_PLANES) - 2)
    return Cost(_extra_bytes(styles, grid, length) + tiles * grid.components * _TILE_BYTES, passes)


def _extra_bytes(styles: Iterable[_Style], grid: _Grid, length: int) -> int:
    layers, packets, blocks = 1, 0, 0
    for style in styles:
        layers = max(layers, style.layers)
        of_style = _counts(style, grid)
        packets, blocks = max(packets, of_style[0]), max(blocks, of_style[1])
    if layers * packets > max(_FEW_PACKETS, length):
        raise ValueError(f"it tells of {layers * packets} packets, and has {length} bytes")
    return blocks * _BLOCK_BYTES


def _grid(data: bytes, start: int) -> _Grid:
    _, right, bottom, left, top, width, height, tiles_left, tiles_top, components = SIZE.unpack_from(data, start + 6)
    if not (tiles_left <= left < right and tiles_top <= top < bottom and width and height):
        raise ValueError("its tiles are impossible")
    return _Grid(right, bottom, -(-(right - tiles_left) // width), -(-(bottom - tiles_top) // height), components)


def _counts(style: _Style, grid: _Grid) -> tuple[int, int]:
    """Packets of a layer, and code-blocks and precincts of bands, of all components; none too few."""
    packets = blocks = 0
    for resolution in range(style.levels + 1):
        scale = style.levels - resolution
        width, height = -(-grid.right >> scale) or 1, -(-grid.bottom >> scale) or 1
        given = style.precincts[resolution] if style.precincts else (_WHOLE, _WHOLE)
        precincts = _pieces(width, given[0], grid.across) * _pieces(height, given[1], grid.down)
        # Bands of all resolutions but the coarsest are half as large, and so are precincts in them (T.800 section B.7).
        halved = 1 if resolution else 0
        in_band = [min(block, max(0, size - halved)) for block, size in zip(style.block, given, strict=True)]
        parts = _pieces(-(-width >> halved), in_band[0], grid.across)
        parts *= _pieces(-(-height >> halved), in_band[1], grid.down)
        packets += precincts
        blocks += (3 if resolution else 1) * (parts + precincts)
    return packets * grid.components, blocks * grid.components


def _pieces(size: int, exponent: int, tiles: int) -> int:
    """Pieces of a size in a power of two that a side is cut into; each edge of a tile may cut one more."""
    return (size + (1 << exponent) - 1 >> exponent) + tiles - 1


def _segments(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Marker and parameters of each segment of the main header and of the headers of all tile-parts."""
    position, within, count, in_header = start + 2, 0, 0, 0
    while position + 4 <= len(data):
        count, in_header = count + 1, in_header + 1
        if count > _MOST_IN_ALL or in_header > MOST_SEGMENTS:
            raise ValueError("it has too many tile-parts or marker segments")
        marker, length = struct.unpack_from(">2H", data, position)
        if marker == TILE_PART and within <= position:
            in_header = 0
            (size,) = struct.unpack_from(">I", data, position + 6)
            within = position + max(size, _SHORTEST_TILE) if size else len(data)
        elif marker == START_OF_DATA:
            position = within
            continue
        elif marker < _FIRST_MARKER or length == 0:
            return  # whatever it is, a decoder stops here too
        else:
            yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length


def _style(marker: int, body: bytes, components: int) -> _Style:
    at = 5 if marker == CODING_STYLE else 1 + _index_bytes(components)
    layers = int.from_bytes(body[2:4], "big") if marker == CODING_STYLE else 0
    has_precincts = body[0 if marker == CODING_STYLE else at - 1] & _HAS_PRECINCTS
    levels, width, height = body[at : at + 3]
    sizes = body[at + 5 : at + 6 + levels] if has_precincts else b""
    if levels > _DEEPEST or (has_precincts and len(sizes) != levels + 1):
        raise ValueError("its coding style is impossible")
    return _Style(
        layers,
        levels,
        ((width & 15) + 2, (height & 15) + 2),
        tuple((size & 15, size >> 4) for size in sizes),
    )


def _bit_planes(marker: int, body: bytes, components: int) -> int:
    """Those of the deepest band: guard bits and its exponent, less one (T.800 equation E-2)."""
    body = body[_index_bytes(components) :] if marker == _COMPONENT_QUANTIZATION else body
    guard_bits, is_reversible = body[0] >> 5, not body[0] & 31
    exponents = body[1:] if is_reversible else body[1::2]
    return guard_bits + max((each >> 3 for each in exponents), default=0) - 1


def _index_bytes(components: int) -> int:
    return 1 if components < _MOST_COMPONENTS_OF_A_BYTE else 2

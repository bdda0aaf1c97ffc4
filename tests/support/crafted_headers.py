"""Codestreams of few bytes, whose headers may tell of anything: what decoders must not believe."""

from __future__ import annotations

import struct
from dataclasses import dataclass


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment, as of JPEG and JPEG 2000."""
    return struct.pack(">2H", marker, len(body) + 2) + body


@dataclass(frozen=True)
class Cut:
    """How a JPEG 2000 is cut into blocks."""

    levels: int = 5
    block: tuple[int, int] = (4, 4)
    """Exponents of width and height, less two."""
    precincts: bytes = b""
    """One byte for each resolution."""
    layers: int = 1
    style: int = 0
    """Of code-blocks; 0x40 for HTJ2K."""

    def parameters(self) -> bytes:
        return bytes((self.levels, *self.block, self.style, 1)) + self.precincts

    def coding_style(self) -> bytes:
        """COD."""
        return segment(
            0xFF52, bytes((bool(self.precincts), 0)) + struct.pack(">HB", self.layers, 0) + self.parameters()
        )

    def component_style(self, component: int = 0) -> bytes:
        """COC."""
        return segment(0xFF53, bytes((component, bool(self.precincts))) + self.parameters())


def jpeg2000(  # noqa: PLR0913  # what a header says
    rows: int,
    columns: int,
    *,
    main: bytes = b"",
    part: bytes = b"",
    tile: tuple[int, int] | None = None,
    samples: int = 1,
    bits: int = 8,
    body: bytes = bytes(64),
    parts: int = 1,
    high_throughput: bool = False,
    quantization: bytes = b"\x40" + b"\x40" * 97,
) -> bytes:
    """A JPEG 2000 with these segments in its main header, and those in the header of each of its tile-parts."""
    down, across = tile or (rows, columns)
    sizes = (columns, rows, 0, 0, across, down, 0, 0)
    siz = struct.pack(">H8IH", 0x4000 if high_throughput else 0, *sizes, samples)
    siz += bytes((bits - 1, 1, 1)) * samples
    capabilities = segment(0xFF50, struct.pack(">IH", 0x00020000, 0)) if high_throughput else b""
    header = b"\xff\x4f" + segment(0xFF51, siz) + capabilities + main + segment(0xFF5C, quantization)
    tiles = b""
    for number in range(parts):
        length = 12 + len(part) + 2 + len(body)
        tiles += segment(0xFF90, struct.pack(">HIBB", number & 0xFFFF, length, 0, 1)) + part + b"\xff\x93" + body
    return header + tiles + b"\xff\xd9"


PASSES = 76
"""Three for each of 26 bit planes, less two."""
MANY_PLANES = b"\xe0\xa0"
"""Seven guard bits, and an exponent of 20."""


def jpeg2000_of_passes(side: int) -> bytes:
    """A grey JPEG 2000 whose code-blocks have one byte each, and claim 76 coding passes (T.800 section B.10)."""
    across = -(-side // 64)
    header = _packet_header(across)
    body = header + b"\x55" * across**2
    return jpeg2000(side, side, main=Cut(levels=0).coding_style(), quantization=MANY_PLANES, body=body)


def _packet_header(across: int) -> bytes:
    """Of one packet with one band of code-blocks; each is included, and lacks no bit plane."""
    bits, seen = ["1"], set()
    depth = (across - 1).bit_length()
    for row in range(across):
        for column in range(across):
            nodes = {(level, row >> level, column >> level) for level in range(depth + 1)}
            new = "1" * len(nodes - seen)  # of a tag tree, in which all values are 0
            seen |= nodes
            passes = "1" * 9 + f"{PASSES - 37:07b}"
            bits.append(f"{new}{new}{passes}0{1:09b}")  # a length of 3 + log2(passes) bits
    out, told, at = bytearray(), "".join(bits), 0
    while at < len(told):  # a bit is stuffed behind a byte of ones
        taken = 7 if out[-1:] == b"\xff" else 8
        out.append(int(told[at : at + taken].ljust(taken, "0"), 2))
        at += taken
    return bytes(out) + (b"\0" if out[-1] == 0xFF else b"")


def jpeg(  # noqa: PLR0913  # what a header says
    rows: int,
    columns: int,
    *,
    marker: int = 0xC2,
    samples: int = 1,
    bits: int = 8,
    scans: int = 1,
    factors: int = 0x11,
    body: bytes = bytes(8),
) -> bytes:
    """A JPEG, progressive by default, of scans with next to nothing in them."""
    tables = segment(0xFFDB, b"\0" + b"\1" * 64)
    codes = bytes((1, *[0] * 15, 0))  # one code of one bit, for no bits that follow
    tables += segment(0xFFC4, b"\x00" + codes) + segment(0xFFC4, b"\x10" + codes)
    components = b"".join(bytes((number + 1, factors, 0)) for number in range(samples))
    frame = segment(0xFF00 | marker, struct.pack(">BHHB", bits, rows, columns, samples) + components)
    chosen = bytes((samples, *(each for number in range(samples) for each in (number + 1, 0))))
    last = {0xC2: bytes((0, 0, 0)), 0xC3: bytes((1, 0, 0)), 0xF7: bytes((0, 0, 0))}.get(marker, bytes((0, 63, 0)))
    band = segment(0xFFDA, bytes((1, 1, 0, 1, 63, 0)))
    first = segment(0xFFDA, chosen + last)
    return b"\xff\xd8" + tables + frame + first + body + (band + body) * (scans - 1) + b"\xff\xd9"


def rle(segments: int, offsets: tuple[int, ...], body: bytes) -> bytes:
    """An RLE frame (PS3.5 Annex G)."""
    return struct.pack("<16I", segments, *(*offsets, *[0] * 15)[:15]) + body


def jpegxl(rows: int, columns: int, rest: bytes = bytes(40)) -> bytes:
    """A bare JPEG XL with sizes of 30 bits and whatever follows."""
    bits = 0 | 3 << 1 | (rows - 1) << 3 | 0 << 33 | 3 << 36 | (columns - 1) << 38
    return b"\xff\x0a" + (bits | int.from_bytes(rest, "little") << 68).to_bytes(10 + len(rest), "little")

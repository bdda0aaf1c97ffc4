"""JPEG XL drawn of several frames, which no encoder here makes: frames of one by imagecodecs, under other headers.

The fields of a frame header are those of ISO/IEC 18181-1 Annex F, written from the lowest bit of each byte up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import imagecodecs

if TYPE_CHECKING:
    import numpy.typing as npt

_SIZES = ((8, 0), (11, 256), (14, 2304), (30, 18688))


def layered(image: npt.NDArray[Any], layers: int, *, adds: bool = False) -> bytes:
    """A picture of one layer over others that are alike.

    Args:
        image: Grey, of bytes; each layer has its pixels.
        layers: How many lie below the last.
        adds: Layers are added up; else each covers those below.
    """
    made = Parts.of(image)
    blend = "10" if adds else "00"
    below, last = (made.frame(is_last=is_last, blend=blend) for is_last in (False, True))
    return made.start + below * layers + last


def with_hidden(image: npt.NDArray[Any], hidden: npt.NDArray[Any], count: int, size: int | None = None) -> bytes:
    """A picture that comes behind others, which are not shown, of any size.

    Args:
        image: What is shown.
        hidden: A square that is not, but decoded.
        count: How often.
        size: What its header says of its sides.
    """
    shown, other = Parts.of(image), Parts.of(hidden)
    number = _number(size or len(hidden))
    header = _packed(f"0 01 1 00 0 00 {other.group} 1 {number} {number} 00 1 {_END}")
    return shown.start + (header + other.rest) * count + shown.frame(is_last=True)


class Parts(NamedTuple):
    """What a JPEG XL of one frame is made of."""

    start: bytes
    """The image header."""
    group: str
    """How large its groups are."""
    rest: bytes
    """All behind the frame header."""

    @classmethod
    def of(cls, image: npt.NDArray[Any]) -> Parts:
        """Of grey pixels of bytes."""
        data = bytes(imagecodecs.jpegxl_encode(image, lossless=True))
        for group in ("00", "10", "01", "11"):
            start, header, rest = data.partition(cls(b"", group, b"").frame(is_last=True))
            if header:
                return cls(start, group, rest)
        raise AssertionError("the encoder writes other headers")

    def frame(self, *, is_last: bool, blend: str = "00", flags: str = "00") -> bytes:
        """A frame that covers the picture; the table of its groups begins in the last byte of its header."""
        source = "" if blend == "00" else "00"
        saved = "" if is_last else "00" + ("" if source else "0")
        return _packed(f"0 00 1 {flags} 0 00 {self.group} 00 0 {blend} {source} {is_last:d} {saved} {_END}") + self.rest


def _number(side: int) -> str:
    number = next(each for each, (bits, least) in enumerate(_SIZES) if side < least + (1 << bits))
    bits, least = _SIZES[number]
    return f"{number:02b}"[::-1] + f"{side - least:0{bits}b}"[::-1]


_END = "00 0 0 00 00 00 0"
"""No name, no filters, no extensions; groups in their order."""


def _packed(bits: str) -> bytes:
    digits = bits.replace(" ", "")
    return int(digits[::-1], 2).to_bytes(-(-len(digits) // 8), "little")

"""Codestreams that consist of a crafted header and little more: what they claim must cost neither memory nor time."""

from __future__ import annotations

import struct
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import crafted_headers as crafted
import numpy as np
from cases import Case
from crafted_jpegxl import layered, with_hidden

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.pixels import PixelDescription

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    import numpy.typing as npt

_SIDES: Final = (1, 2, 7, 8, 63, 64, 255, 512, 2048, 4096, 8192, 16384, 32768, 65535)
_BODIES: Final = (0, 1, 16, 64, 1000, 20_000, 300_000)


class Headers:
    """JPEG, JPEG 2000, HTJ2K, JPEG-LS, RLE and JPEG XL."""

    def make(self, random: Random) -> Case:
        """A codestream, and metadata that mostly agree with it."""
        kind = random.choice(tuple(_MAKERS))
        rows, columns = _side(random), _side(random)
        samples, bits = random.choice((1, 1, 3)), random.choice((8, 8, 12, 16))
        uid, data = _MAKERS[kind](random, rows, columns, samples, bits)
        if data and random.random() < 0.1:
            place = random.randrange(len(data))
            data = data[:place] + random.randbytes(random.randrange(1, 4)) + data[place + 1 :]
        pixel = PixelDescription(
            rows=rows if random.random() < 0.95 else _side(random),
            columns=columns,
            samples=samples,
            bits_allocated=8 if bits == 8 else 16,
            bits_stored=bits,
            high_bit=bits - 1,
            signed=False,
            photometric_interpretation="RGB" if samples == 3 else "MONOCHROME2",
        )
        return Case(data, {"kind": kind, "pixel": asdict(pixel), "transfer_syntax_uid": uid})

    def run(self, case: Case) -> str:
        """Decode it, or refuse it: memory and time are watched."""
        pixel = PixelDescription(**case.settings["pixel"])
        uid = case.settings["transfer_syntax_uid"]
        found = decode_frame(case.data, pixel, transfer_syntax_uid=uid, where="frame 1")
        assert (found.shape, found.dtype) == (pixel.shape, pixel.dtype), f"{found.dtype} of shape {found.shape}"
        return f"decoded {case.settings['kind']}"


def with_hidden_blank(image: npt.NDArray[Any], count: int) -> bytes:
    """A picture behind others of any size."""
    return with_hidden(image, image, count, size=count * 999)


def _side(random: Random) -> int:
    return random.choice(_SIDES) if random.random() < 0.8 else random.randrange(1, 5000)


def _body(random: Random) -> bytes:
    size = random.choice(_BODIES)
    return bytes(size) if random.random() < 0.5 else random.randbytes(size)


def _cut(random: Random) -> crafted.Cut:
    levels = random.choice((0, 1, 2, 5, 5, 8, 31, 32, 33, 255))
    sizes = random.randbytes(levels + 1) if random.random() < 0.3 else bytes([random.randrange(256)]) * (levels + 1)
    return crafted.Cut(
        levels=levels,
        block=(random.choice((0, 1, 2, 4, 4, 8, 15)), random.choice((0, 1, 2, 4, 4, 8, 15))),
        precincts=sizes if random.random() < 0.5 else b"",
        layers=random.choice((0, 1, 1, 1, 5, 1000, 65535)),
        style=random.choice((0, 0, 0, 1, 4, 0x40, 0xFF)),
    )


def _jpeg2000(random: Random, rows: int, columns: int, samples: int, bits: int) -> tuple[str, bytes]:
    main = _cut(random).coding_style() if random.random() < 0.95 else b""
    if random.random() < 0.3:
        main += _cut(random).component_style(random.randrange(samples))
    if random.random() < 0.1:
        main += crafted.segment(0xFF5E, bytes((random.randrange(samples), 0, random.randrange(256))))
    quantization = {"quantization": random.randbytes(1 + random.randrange(100))} if random.random() < 0.5 else {}
    part = _cut(random).coding_style() if random.random() < 0.2 else b""
    tile = (_side(random), _side(random)) if random.random() < 0.3 else None
    high = random.random() < 0.3
    if random.random() < 0.1:
        side = min(rows, columns, 2048)
        return uids.JPEG_2000_LOSSLESS, crafted.jpeg2000_of_passes(side)
    data = crafted.jpeg2000(
        rows,
        columns,
        main=main,
        part=part,
        tile=tile,
        samples=samples,
        bits=bits,
        body=_body(random),
        parts=random.choice((1, 1, 1, 2, 50)),
        high_throughput=high,
        **quantization,
    )
    return uids.HTJ2K_LOSSLESS if high else uids.JPEG_2000_LOSSLESS, data


def _jpeg(random: Random, rows: int, columns: int, samples: int, bits: int) -> tuple[str, bytes]:
    scans = random.choice((1, 1, 3, 10, 99, 100, 400))
    marker = random.choice((0xC0, 0xC1, 0xC2, 0xC2, 0xC3, 0xF7))
    data = crafted.jpeg(
        rows,
        columns,
        marker=marker,
        samples=samples,
        bits=bits,
        scans=scans,
        factors=random.choice((0x11, 0x11, 0x21, 0x22, 0x44, 0x14)),
        body=_body(random)[: 500_000 // scans],
    )
    uid = {0xC3: uids.JPEG_LOSSLESS, 0xF7: uids.JPEG_LS_LOSSLESS}.get(marker, uids.JPEG_EXTENDED)
    return uid, data


def _rle(random: Random, rows: int, columns: int, samples: int, bits: int) -> tuple[str, bytes]:
    count = samples * (1 if bits == 8 else 2) if random.random() < 0.8 else random.randrange(20)
    run = random.choice((b"\x81\0", b"\x80", b"\x7f" + bytes(128), b"\x81"))
    length = -(-rows * columns // 128) * 2 if random.random() < 0.5 else random.choice(_BODIES)
    length = min(length, 1_000_000)
    segment = (run * (length // len(run) + 1))[:length] or b"\0"
    offsets = tuple(64 + number * len(segment) for number in range(min(count, 15)))
    return uids.RLE_LOSSLESS, crafted.rle(count, offsets, segment * max(1, count))


def _jpegxl(random: Random, rows: int, columns: int, *_: int) -> tuple[str, bytes]:
    if random.random() < 0.2:
        side = random.choice((8, 64, 300))
        made = random.choice((layered, with_hidden_blank))(np.zeros((side, side), np.uint8), random.choice((1, 3, 50)))
        return uids.JPEG_XL_LOSSLESS, made
    return uids.JPEG_XL_LOSSLESS, crafted.jpegxl(rows, columns, _body(random)[:20_000] or b"\0")


def _deflated(random: Random, *_: int) -> tuple[str, bytes]:
    block = b"\x01" + struct.pack("<HH", 4, 0xFFFB) + bytes(4)
    return uids.DEFLATED_IMAGE_FRAME, random.choice((block, _body(random), b"\xed\xc1" + bytes(1000)))


_MAKERS: Final[dict[str, Callable[[Random, int, int, int, int], tuple[str, bytes]]]] = {
    "JPEG 2000": _jpeg2000,
    "JPEG": _jpeg,
    "RLE": _rle,
    "JPEG XL": _jpegxl,
    "deflated": _deflated,
}

TARGETS = {"headers": Headers}

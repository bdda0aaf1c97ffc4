"""JPEG frames as browsers show them: Pillow, which decodes as they do, must see the values that are decoded here."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom.pixels.jpeg_display import displayable_jpeg
from dicomzarr.dicom.pixels.pixels import PixelDescription

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, COLUMNS = 48, 40
SMOOTH = np.stack(
    [np.add.outer(np.arange(ROWS) * k, np.arange(COLUMNS) * (5 - k)) % 256 for k in (1, 2, 3)], axis=-1
).astype(np.uint8)
HIDDEN = b"Doe^John"


def described(kind: str, samples: int = 3, **changes: Any) -> PixelDescription:
    plain = PixelDescription(ROWS, COLUMNS, samples, 8, 8, 7, signed=False, photometric_interpretation=kind, lossy=True)
    return replace(plain, **changes)


def saved(mode: str = "RGB", pixels: Any = SMOOTH, **options: Any) -> bytes:
    """By Pillow, which marks YCbCr by JFIF."""
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "JPEG", **{"quality": 90, "subsampling": 0, **options})
    return file.getvalue()


def rgb_unmarked() -> bytes:
    """Components R, G, B that nothing marks: no JFIF, no Adobe, identifiers 1, 2, 3."""
    return without_segments(
        bytes(imagecodecs.jpeg8_encode(SMOOTH, level=90, colorspace="RGB", outcolorspace="RGB")), ids=b"\1\2\3"
    )


def without_segments(data: bytes, ids: bytes = b"") -> bytes:
    """Without application segments, and with these component identifiers."""
    kept, position = [data[:2]], 2
    while True:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        segment = bytearray(data[position : position + 2 + length])
        if ids and marker in (0xC0, 0xC1, 0xC2):
            segment[10::3] = ids
        if ids and marker == 0xDA:
            segment[5 : 5 + 2 * len(ids) : 2] = ids
        if not 0xE0 <= marker <= 0xEF:
            kept.append(bytes(segment))
        position += 2 + length
        if marker == 0xDA:
            return b"".join(kept) + data[position:]


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def exif_turned(data: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    exif[0x010E] = HIDDEN.decode()
    return with_segment(data, 0xE1, exif.tobytes())


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "jfif": (saved, "YBR_FULL"),
    "jfif, called RGB": (saved, "RGB"),
    "4:2:0": (lambda: saved(subsampling=2), "YBR_FULL_422"),
    "4:2:0 unmarked, called RGB": (lambda: without_segments(saved(subsampling=2)), "RGB"),
    "progressive": (lambda: saved(progressive=True), "YBR_FULL_422"),
    "unmarked RGB": (rgb_unmarked, "RGB"),
    "unmarked YBR": (lambda: without_segments(saved()), "YBR_FULL"),
    "lower-case identifiers": (lambda: without_segments(rgb_unmarked(), ids=b"rgb"), "RGB"),
    "identifiers": (lambda: without_segments(rgb_unmarked(), ids=b"RGB"), "YBR_FULL"),
    "Adobe RGB within JFIF": (
        lambda: with_segment(
            with_segment(rgb_unmarked(), 0xEE, b"Adobe\0\x64\0\0\0\0\0"), 0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"
        ),
        "RGB",
    ),
    "turned by Exif": (lambda: exif_turned(saved()), "YBR_FULL"),
    "profile": (lambda: saved(icc_profile=HIDDEN * 40), "YBR_FULL"),
    "Photoshop": (lambda: with_segment(saved(), 0xED, b"Photoshop 3.0\0" + HIDDEN), "YBR_FULL"),
    "comment": (lambda: with_segment(saved(), 0xFE, HIDDEN), "YBR_FULL"),
    "behind its end": (lambda: saved() + HIDDEN, "YBR_FULL"),
    "padded": (lambda: saved() + b"\0", "YBR_FULL"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_browsers_see_is_what_is_decoded(name: str) -> None:
    make, kind = CASES[name]
    data, pixel = make(), described(kind)
    shown = displayable_jpeg(data, pixel)
    assert shown is not None
    expected = np.moveaxis(decode_frame(data, pixel, transfer_syntax_uid=None, where=""), 0, -1)
    picture = Image.open(io.BytesIO(shown))
    assert "exif" not in picture.info
    assert "icc_profile" not in picture.info
    assert "comment" not in picture.info
    assert HIDDEN not in shown
    assert np.array_equal(np.asarray(picture.convert("RGB")), expected)


def test_grey_frames() -> None:
    pixel = described("MONOCHROME2", samples=1)
    data = exif_turned(saved("L", SMOOTH[..., 0]))
    shown = displayable_jpeg(data, pixel)
    assert shown is not None
    expected = decode_frame(data, pixel, transfer_syntax_uid=None, where="")[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), expected)


def twelve_bits() -> bytes:
    return bytes(imagecodecs.jpeg8_encode((SMOOTH[..., 0].astype(np.uint16) * 16), level=90, bitspersample=12))


def hidden_between_scans() -> bytes:
    data = saved(progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    return data[:second] + b"\xff\xfe\x00\x0a" + HIDDEN + data[second:]


REFUSED: dict[str, tuple[Callable[[], bytes], PixelDescription]] = {
    "another size": (saved, described("RGB", rows=ROWS + 1)),
    "other samples": (saved, described("MONOCHROME2", samples=1)),
    "fewer bits": (saved, described("RGB", bits_stored=7, high_bit=6)),
    "signed": (lambda: saved("L", SMOOTH[..., 0]), described("MONOCHROME2", samples=1, signed=True)),
    "twelve bits": (twelve_bits, described("MONOCHROME2", samples=1, bits_allocated=16, bits_stored=12, high_bit=11)),
    "twelve bits, called eight": (twelve_bits, described("MONOCHROME2", samples=1)),
    "lossless": (
        lambda: bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(SMOOTH[..., 0]), lossless=True)),
        described("MONOCHROME2", samples=1),
    ),
    "JPEG-LS": (lambda: bytes(imagecodecs.jpegls_encode(SMOOTH[..., 0])), described("MONOCHROME2", samples=1)),
    "JPEG 2000": (lambda: bytes(imagecodecs.jpeg2k_encode(SMOOTH)), described("YBR_RCT")),
    "PNG": (lambda: bytes(imagecodecs.png_encode(SMOOTH)), described("RGB")),
    "native": (SMOOTH.tobytes, described("RGB")),
    "cut off": (lambda: saved()[:-200], described("RGB")),
    "headless": (lambda: saved()[:20], described("RGB")),
    "text between scans": (hidden_between_scans, described("YBR_FULL")),
    "hundreds of scans": (lambda: saved().replace(b"\xff\xd9", b"\xff\xda" * 300 + b"\xff\xd9"), described("RGB")),
    "HTML": (lambda: b"<html>", described("RGB")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_browsers_would_show_otherwise_is_refused(name: str) -> None:
    make, pixel = REFUSED[name]
    assert displayable_jpeg(make(), pixel) is None

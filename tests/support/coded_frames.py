"""Frames in every transfer syntax, made by encoders that are not ours, with the pixels that they were made from."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import jpeg_ls  # type: ignore[import-untyped]  # it ships no types
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import encode_array  # type: ignore[import-untyped]  # as above
from PIL import Image
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import RLELossless

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.pixels import PixelDescription

if TYPE_CHECKING:
    from collections.abc import Callable

Pixels = NDArray[Any]

ROWS, COLUMNS = 48, 40
_Y, _X = np.mgrid[0:ROWS, 0:COLUMNS]
_NOISE = np.random.default_rng(11).integers(0, 4, (ROWS, COLUMNS))

GREY8: Final[Pixels] = (_X * 4 + _Y * 2 - _NOISE).clip(0).astype(np.uint8)
GREY12: Final[Pixels] = (_X * 60 + _Y * 36 + _NOISE).astype(np.uint16)
GREY16: Final[Pixels] = (_X * 1000 + _Y * 500 + _NOISE).astype(np.uint16)
GREY32: Final[Pixels] = GREY16.astype(np.uint32) * 65000 + 77
SIGNED12: Final[Pixels] = GREY12.astype(np.int16) - 2048
SIGNED16: Final[Pixels] = (GREY16.astype(np.int32) - 32768).astype(np.int16)
RGB: Final[Pixels] = np.stack([GREY8, _Y * 5, 255 - _X * 3 - _Y * 2], axis=-1).astype(np.uint8)
RGB16: Final[Pixels] = RGB.astype(np.uint16) * 257
PAIRS: Final[Pixels] = RGB[:, ::2].repeat(2, axis=1)
"""RGB whose neighbours are alike: subsampling of colour loses nothing of it."""
BITS: Final[Pixels] = ((_X // 3 + _Y // 5) % 2).astype(np.uint8)
FLOATS: Final[Pixels] = np.where(_NOISE == 3, np.nan, _X * 1e-3 - _Y * 7.5)


@dataclass(frozen=True)
class CodedFrame:
    """One frame as a server sends it, and what it must decode to."""

    uid: str
    """Transfer syntax UID."""
    data: bytes
    pixel: PixelDescription
    """What the metadata say of it."""
    source: Pixels
    """What was encoded: (samples, rows, columns), colour as RGB."""
    loss: int = 0
    """The largest difference to ``source`` that coding or conversion of colour leaves."""
    unable: frozenset[str] = frozenset()
    """Oracles that cannot decode it, by their names in ``encoding_checks``."""


def grey(pixels: Pixels, bits: int, *, high_bit: int = -1, allocated: int = 0) -> PixelDescription:
    """The description of one grey plane."""
    return PixelDescription(
        *pixels.shape,
        1,
        allocated or pixels.dtype.itemsize * 8,
        bits,
        bits - 1 if high_bit < 0 else high_bit,
        signed=pixels.dtype.kind == "i",
        photometric_interpretation="MONOCHROME2",
        floating=pixels.dtype.kind == "f",
    )


def colour(photometric: str = "RGB", bits: int = 8, *, planar: int = 0) -> PixelDescription:
    """The description of three planes."""
    return PixelDescription(
        *(ROWS, COLUMNS, 3, bits, bits, bits - 1),
        signed=False,
        photometric_interpretation=photometric,
        planar_configuration=planar,
    )


def planes(pixels: Pixels) -> Pixels:
    """(rows, columns[, samples]) to (samples, rows, columns)."""
    return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[np.newaxis]


def ybr(rgb: Pixels) -> Pixels:
    """YBR_FULL as pydicom makes it."""
    return np.asarray(convert_color_space(rgb, "RGB", "YBR_FULL"))


# --- native ---


def native(pixels: Pixels, pixel: PixelDescription, order: str = "<") -> bytes:
    """One native frame as it is stored, garbage above and below the value included."""
    if pixel.bits_allocated == 1:
        return np.packbits(pixels, bitorder="little").tobytes()
    if pixel.floating:
        return pixels.astype(f"{order}f{pixel.bits_allocated // 8}").tobytes()
    width = pixel.bits_allocated
    mask = (1 << pixel.bits_stored) - 1
    shift = pixel.high_bit + 1 - pixel.bits_stored
    garbage = (np.arange(pixels.size, dtype=np.uint64) * 0x9E3779B97F4A7C15).reshape(pixels.shape)
    cells = (pixels.astype(np.int64).view(np.uint64) & np.uint64(mask)) << np.uint64(shift)
    cells |= garbage & np.uint64(~(mask << shift) & ((1 << width) - 1))
    return cells.astype(f"{order}u{width // 8}").tobytes()


def subsampled(rgb: Pixels) -> bytes:
    """YBR_FULL_422: two pixels as Y1 Y2 CB CR (PS3.3 section C.7.6.3.1.2)."""
    stored = ybr(rgb)
    return np.stack([stored[:, ::2, 0], stored[:, 1::2, 0], stored[:, ::2, 1], stored[:, ::2, 2]], axis=-1).tobytes()


NATIVE: Final[dict[str, tuple[Pixels, PixelDescription]]] = {
    "grey8": (GREY8, grey(GREY8, 8)),
    "grey12": (GREY12, grey(GREY12, 12)),
    "grey16": (GREY16, grey(GREY16, 16)),
    "signed12": (SIGNED12, grey(SIGNED12, 12)),
    "signed16": (SIGNED16, grey(SIGNED16, 16)),
    "grey32": (GREY32, grey(GREY32, 32)),
    "signed32": (GREY32.view(np.int32), grey(GREY32.view(np.int32), 32)),
    "rgb": (RGB, colour()),
    "rgb16": (RGB16, colour(bits=16)),
}
"""Pixels and their description, for every coding that takes plain cells."""


def _native(uid: str, name: str, order: str = "<", unable: frozenset[str] = frozenset()) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    return CodedFrame(uid, native(pixels, pixel, order), pixel, planes(pixels), unable=unable)


def _native_of(uid: str, pixels: Pixels, pixel: PixelDescription, order: str = "<") -> CodedFrame:
    return CodedFrame(uid, native(pixels, pixel, order), pixel, planes(pixels))


def _shifted(uid: str, order: str = "<") -> CodedFrame:
    """HighBit at the top of the cell; pydicom does not shift, as it does not in the twin of an encapsulated frame."""
    made = _native_of(uid, GREY12, grey(GREY12, 12, high_bit=15), order)
    return replace(made, unable=frozenset({"pydicom", "twin"}))


def _planar(uid: str) -> CodedFrame:
    pixel = colour(planar=1)
    return CodedFrame(uid, native(planes(RGB), pixel), pixel, planes(RGB))


def _ybr_full(uid: str) -> CodedFrame:
    return CodedFrame(uid, ybr(RGB).tobytes(), colour("YBR_FULL"), planes(RGB), loss=2)


def _ybr_full_422(uid: str) -> CodedFrame:
    return CodedFrame(uid, subsampled(PAIRS), colour("YBR_FULL_422"), planes(PAIRS), loss=2)


def _floating(uid: str, width: int, order: str = "<") -> CodedFrame:
    pixels = FLOATS.astype(f"<f{width}")
    return _native_of(uid, pixels, grey(pixels, width * 8), order)


def _integers(uid: str) -> dict[str, Callable[[], CodedFrame]]:
    """What Pixel Data (7FE0,0010) hold, in fragments too."""
    return {
        **{name: partial(_native, uid, name) for name in NATIVE},
        "bits": partial(_native_of, uid, BITS, grey(BITS, 1, allocated=1)),
        "shifted": partial(_shifted, uid),
        "planar": partial(_planar, uid),
        "ybr_full": partial(_ybr_full, uid),
        "ybr_full_422": partial(_ybr_full_422, uid),
    }


def _natives(uid: str) -> dict[str, Callable[[], CodedFrame]]:
    """And what Float and Double Float Pixel Data hold, which are never encapsulated (PS3.5 section 8.2)."""
    return {**_integers(uid), "float": partial(_floating, uid, 4), "double": partial(_floating, uid, 8)}


def _big_endian() -> dict[str, Callable[[], CodedFrame]]:
    """Cells of a byte and less are left out: a frame alone does not tell their order."""
    uid = uids.EXPLICIT_VR_BIG_ENDIAN
    names = ("grey12", "grey16", "signed12", "signed16", "grey32", "signed32", "rgb16")
    return {
        **{name: partial(_native, uid, name, ">") for name in names},
        "shifted": partial(_shifted, uid, ">"),
        "float": partial(_floating, uid, 4, ">"),
        "double": partial(_floating, uid, 8, ">"),
    }


# --- native, packed ---


def rle(native_frame: bytes, pixel: PixelDescription, plugin: str = "gdcm") -> bytes:
    """RLE of a frame of 8 or 16 bits that is stored colour by pixel."""
    encoded: bytes = get_encoder(RLELossless).encode(
        native_frame,
        rows=pixel.rows,
        columns=pixel.columns,
        samples_per_pixel=pixel.samples,
        number_of_frames=1,
        bits_allocated=pixel.bits_allocated,
        bits_stored=pixel.bits_allocated,  # the garbage around the values too
        pixel_representation=int(pixel.signed),
        photometric_interpretation="RGB" if pixel.samples == 3 else "MONOCHROME2",
        planar_configuration=0,
        encoding_plugin=plugin,
    )
    return encoded


def _rle(name: str, plugin: str) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    data = rle(native(pixels, pixel), pixel, plugin)
    # GDCM mixes up the planes of colours of more than a byte, which pydicom and DCMTK read as they were.
    unable = frozenset({"gdcm"}) if name == "rgb16" else frozenset()
    return CodedFrame(uids.RLE_LOSSLESS, data, pixel, planes(pixels), unable=unable)


def rle_by_hand(planes_of_cells: Pixels) -> bytes:
    """RLE of planes of any width, the segments padded to an even length (PS3.5 section G.3)."""
    width = planes_of_cells.dtype.itemsize
    as_bytes = planes_of_cells.view(np.uint8).reshape(len(planes_of_cells), -1, width)[:, :, ::-1]
    segments = [
        bytes(imagecodecs.packbits_encode(np.ascontiguousarray(plane[:, byte]).tobytes()))
        for plane in as_bytes
        for byte in range(width)
    ]
    return rle_frame([segment + bytes(len(segment) % 2) for segment in segments])


def rle_frame(segments: list[bytes]) -> bytes:
    """A header, and the segments behind it (PS3.5 section G.5)."""
    offsets = np.cumsum([64, *map(len, segments[:-1])])
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), offsets
    return header.tobytes() + b"".join(segments)


def _rle_wide(name: str) -> CodedFrame:
    """Of 32 bits, for which pydicom has a decoder and no encoder."""
    pixels, pixel = NATIVE[name]
    return CodedFrame(uids.RLE_LOSSLESS, rle_by_hand(planes(pixels)), pixel, planes(pixels))


def _rle_ybr() -> CodedFrame:
    data = rle(ybr(RGB).tobytes(), colour())
    # GDCM leaves the colours as they are stored.
    return CodedFrame(uids.RLE_LOSSLESS, data, colour("YBR_FULL"), planes(RGB), loss=2, unable=frozenset({"gdcm"}))


def _rle_shifted() -> CodedFrame:
    pixel = grey(GREY12, 12, high_bit=15)
    data = rle(native(GREY12, pixel), pixel)
    return CodedFrame(uids.RLE_LOSSLESS, data, pixel, planes(GREY12), unable=frozenset({"pydicom", "gdcm"}))


def _rles() -> dict[str, Callable[[], CodedFrame]]:
    narrow = [name for name, (_, pixel) in NATIVE.items() if pixel.bits_allocated <= 16]
    return {
        **{f"{name}-{plugin}": partial(_rle, name, plugin) for name in narrow for plugin in ("gdcm", "pydicom")},
        **{name: partial(_rle_wide, name) for name in ("grey32", "signed32")},
        "ybr_full": _rle_ybr,
        "shifted": _rle_shifted,
    }


def deflate(data: bytes) -> bytes:
    """RFC 1951 by libdeflate, padded to an even length."""
    packed = bytes(imagecodecs.deflate_encode(data, 6, raw=True))
    return packed + bytes(len(packed) % 2)


def _deflated(make: Callable[[], CodedFrame]) -> CodedFrame:
    made = make()
    return replace(made, uid=uids.DEFLATED_IMAGE_FRAME, data=deflate(made.data))


# --- JPEG ---


def jpeg_by_pillow(pixels: Pixels, **options: object) -> bytes:
    """JPEG of eight bits."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def _jpeg(
    pixels: Pixels, photometric: str = "MONOCHROME2", uid: str = uids.JPEG_BASELINE, **options: object
) -> CodedFrame:
    pixel = grey(pixels, 8) if pixels.ndim == 2 else colour(photometric)
    lossy = replace(pixel, lossy=True)
    return CodedFrame(uid, jpeg_by_pillow(pixels, **options), lossy, planes(pixels), loss=12)


def _jpegs(uid: str) -> dict[str, Callable[[], CodedFrame]]:
    return {
        "grey8": partial(_jpeg, GREY8, uid=uid),
        "grey8-progressive": partial(_jpeg, GREY8, uid=uid, progressive=True),
        "ybr-444": partial(_jpeg, RGB, "YBR_FULL", uid, subsampling="4:4:4"),
        "ybr-422": partial(_jpeg, PAIRS, "YBR_FULL_422", uid, subsampling="4:2:2"),
        "ybr-422-progressive": partial(_jpeg, PAIRS, "YBR_FULL_422", uid, subsampling="4:2:2", progressive=True),
        "ybr-420-restarts": partial(_jpeg, RGB, "YBR_FULL_422", uid, subsampling="4:2:0", restart_marker_rows=1),
        "rgb": partial(_jpeg, RGB, "RGB", uid, keep_rgb=True),
    }


def _jpeg12() -> CodedFrame:
    data = bytes(imagecodecs.jpeg8_encode(GREY12, 95, bitspersample=12))
    # pydicom gives GDCM and Pillow no more than eight bits of it.
    unable = frozenset({"gdcm", "pillow"})
    pixel = replace(grey(GREY12, 12), lossy=True)
    return CodedFrame(uids.JPEG_EXTENDED, data, pixel, planes(GREY12), loss=30, unable=unable)


def _jpeg12_progressive() -> CodedFrame:
    down, across = np.mgrid[0:24, 0:16]
    pixels = (across * 180 + down * 50).astype(np.uint16)
    pixel = replace(grey(pixels, 12), lossy=True)
    data = base64.b85decode(_PROGRESSIVE_12)
    return CodedFrame(uids.JPEG_EXTENDED, data, pixel, planes(pixels), loss=2, unable=frozenset({"gdcm", "pillow"}))


# By dcmcjpeg +ep of DCMTK 3.6.7: no encoder of a Python package makes progressive JPEG of twelve bits.
_PROGRESSIVE_12 = (
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%5fc;@6%`B*7Z?^4"
    "7!ni}6#v2i3k(1l01yEI5di<h02BZL0000000000000000000B|Jncu0RaF2009_RfGJmiDMx_+!~hl$00RI300000000000000000#;G"
    "+5iXv0RRC70*t8AGNVY!jUy^FjHuEwqfh_D02mMe0s{a50000000000000001tdXI|Jncu0RaF8KLSS|6eEv{5y!;{<Kl#I@j^KGqyNMJ"
    "77zdf0000000000000000000{@c-HX2mt{A0Y4#$L`ou25{Q&UqyO3f2mt{A000or|HJ?m5C8)J000000000000000006P@|Jncu0RaF3"
    "KM;aK2?!)0kb*)95C8w!"
)


def _jpeg_lossless(uid: str, name: str, predictor: int) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    cells = pixels.view(pixels.dtype.str.replace("i", "u")) & ((1 << pixel.bits_stored) - 1)
    options: dict[str, Any] = {"lossless": True, "predictor": predictor, "bitspersample": pixel.bits_stored}
    data = bytes(imagecodecs.jpeg8_encode(cells, **options))
    return CodedFrame(uid, data, pixel, planes(pixels))


def _jpegs_lossless(uid: str, predictors: range) -> dict[str, Callable[[], CodedFrame]]:
    names = ("grey8", "grey12", "grey16", "signed12", "signed16", "rgb")
    return {f"{name}-{way}": partial(_jpeg_lossless, uid, name, way) for name in names for way in predictors}


# --- JPEG-LS ---


def _jpeg_ls(uid: str, name: str, near: int = 0, interleave: int | None = None) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    cells = pixels.view(pixels.dtype.str.replace("i", "u")) & ((1 << pixel.bits_stored) - 1)
    if interleave == 0:
        cells = np.ascontiguousarray(planes(cells))
    data = jpeg_ls.encode_array(cells, lossy_error=near, interleave_mode=interleave)
    described = replace(pixel, lossy=near > 0)
    # Near-lossless coding of signed values may step over the sign, so they are coded exactly.
    return CodedFrame(uid, bytes(data), described, planes(pixels), loss=near)


def _seven_bits() -> CodedFrame:
    pixels = GREY8 >> 1
    data = bytes(jpeg_ls.encode_array(pixels))
    # Both refuse seven bits in eight.
    return CodedFrame(uids.JPEG_LS_LOSSLESS, data, grey(pixels, 7), planes(pixels), unable=frozenset({"gdcm"}))


def _jpegs_ls() -> dict[str, Callable[[], CodedFrame]]:
    uid = uids.JPEG_LS_LOSSLESS
    greys = ("grey8", "grey12", "grey16", "signed12", "signed16")
    return {
        **{name: partial(_jpeg_ls, uid, name) for name in greys},
        **{f"rgb-{mode}": partial(_jpeg_ls, uid, "rgb", 0, mode) for mode in (0, 1, 2)},
        "seven-bits": _seven_bits,
    }


def _jpegs_ls_near() -> dict[str, Callable[[], CodedFrame]]:
    uid = uids.JPEG_LS_NEAR_LOSSLESS
    return {
        **{name: partial(_jpeg_ls, uid, name, 3) for name in ("grey8", "grey12", "grey16")},
        **{f"rgb-{mode}": partial(_jpeg_ls, uid, "rgb", 2, mode) for mode in (0, 1, 2)},
    }


# --- JPEG 2000 ---


def _jpeg2000(uid: str, name: str, container: str = "j2k", level: int | None = None) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    options: dict[str, Any] = {"codecformat": container, "bitspersample": pixel.bits_stored}
    options |= {"reversible": True} if level is None else {"level": level, "reversible": False}
    data = bytes(imagecodecs.jpeg2k_encode(pixels, **options))
    described = replace(pixel, lossy=level is not None)
    return CodedFrame(uid, data, described, planes(pixels), loss=0 if level is None else 1 << pixel.bits_stored - 5)


def _jpeg2000_rct() -> CodedFrame:
    """With the component transform."""
    data = bytes(encode_array(RGB, bits_stored=8, photometric_interpretation=1, use_mct=True))
    return CodedFrame(uids.JPEG_2000_LOSSLESS, data, colour("YBR_RCT"), planes(RGB))


def _jpeg2000_ict() -> CodedFrame:
    data = bytes(encode_array(RGB, bits_stored=8, photometric_interpretation=1, use_mct=True, compression_ratios=[4.0]))
    return CodedFrame(uids.JPEG_2000, data, replace(colour("YBR_ICT"), lossy=True), planes(RGB), loss=24)


def _jpeg2000_bits() -> CodedFrame:
    data = bytes(encode_array(BITS.astype(bool), bits_stored=1, photometric_interpretation=2, use_mct=False))
    return CodedFrame(uids.JPEG_2000_LOSSLESS, data, grey(BITS, 1, allocated=1), planes(BITS))


def _jpeg2000_deep() -> CodedFrame:
    pixels = GREY32 >> 8
    data = bytes(encode_array(pixels, bits_stored=24, photometric_interpretation=2, use_mct=False))
    return CodedFrame(uids.JPEG_2000_LOSSLESS, data, grey(pixels, 24), planes(pixels), unable=frozenset({"pillow"}))


def _jpegs_2000() -> dict[str, Callable[[], CodedFrame]]:
    uid = uids.JPEG_2000_LOSSLESS
    names = ("grey8", "grey12", "grey16", "signed12", "signed16", "rgb")
    return {
        **{name: partial(_jpeg2000, uid, name) for name in names},
        **{f"{name}-jp2": partial(_jpeg2000, uid, name, "jp2") for name in names},
        "rct": _jpeg2000_rct,
        "bits": _jpeg2000_bits,
        "24-bits": _jpeg2000_deep,
    }


def _jpegs_2000_lossy() -> dict[str, Callable[[], CodedFrame]]:
    uid = uids.JPEG_2000
    names = ("grey8", "grey12", "grey16", "signed12", "signed16", "rgb")
    return {**{name: partial(_jpeg2000, uid, name, "j2k", 50) for name in names}, "ict": _jpeg2000_ict}


def _htj2k(uid: str, name: str, *, reversible: bool = True, loss: int = 0) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    options: dict[str, Any] = {"reversible": True} if reversible else {"reversible": False, "level": 0.002}
    data = bytes(imagecodecs.htj2k_encode(pixels, **options))
    photometric = "MONOCHROME2" if pixel.samples == 1 else ("YBR_RCT" if reversible else "YBR_ICT")
    described = replace(pixel, photometric_interpretation=photometric, lossy=not reversible)
    return CodedFrame(uid, data, described, planes(pixels), loss=loss)


def _htj2ks(uid: str) -> dict[str, Callable[[], CodedFrame]]:
    return {name: partial(_htj2k, uid, name) for name in ("grey8", "grey16", "signed16", "rgb")}


def _htj2ks_lossy() -> dict[str, Callable[[], CodedFrame]]:
    losses = {"grey8": 4, "grey16": 400, "rgb": 6}
    irreversible = {
        f"{name}-irreversible": partial(_htj2k, uids.HTJ2K, name, reversible=False, loss=loss)
        for name, loss in losses.items()
    }
    return {**_htj2ks(uids.HTJ2K), **irreversible}


# --- JPEG XL ---


def _jpegxl(name: str, *, boxes: bool) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    cells = pixels.view(pixels.dtype.str.replace("i", "u")) & ((1 << pixel.bits_stored) - 1)
    data = imagecodecs.jpegxl_encode(cells, lossless=True, bitspersample=pixel.bits_stored, usecontainer=boxes)
    return CodedFrame(uids.JPEG_XL_LOSSLESS, bytes(data), pixel, planes(pixels))


def _jpegxl_bits() -> CodedFrame:
    data = bytes(imagecodecs.jpegxl_encode(BITS, lossless=True, bitspersample=1))
    return CodedFrame(uids.JPEG_XL_LOSSLESS, data, grey(BITS, 1, allocated=1), planes(BITS))


def _jpegxl_lossy(name: str, photometric: str, loss: int) -> CodedFrame:
    pixels, pixel = NATIVE[name]
    data = imagecodecs.jpegxl_encode(pixels, lossless=False, distance=0.05, bitspersample=pixel.bits_stored)
    described = replace(pixel, photometric_interpretation=photometric, lossy=True)
    return CodedFrame(uids.JPEG_XL, bytes(data), described, planes(pixels), loss=loss)


def _recompressed(make: Callable[[], CodedFrame]) -> CodedFrame:
    made = make()
    data = bytes(imagecodecs.jpegxl_encode_jpeg(made.data))
    return replace(made, uid=uids.JPEG_XL_JPEG_RECOMPRESSION, data=data)


def _jpegs_xl() -> dict[str, Callable[[], CodedFrame]]:
    names = ("grey8", "grey12", "grey16", "signed12", "signed16", "rgb", "rgb16")
    return {
        **{f"{name}-bare": partial(_jpegxl, name, boxes=False) for name in names},
        **{f"{name}-boxes": partial(_jpegxl, name, boxes=True) for name in names},
        "bits": _jpegxl_bits,
    }


BUILDERS: Final[dict[str, dict[str, Callable[[], CodedFrame]]]] = {
    uids.IMPLICIT_VR_LITTLE_ENDIAN: _natives(uids.IMPLICIT_VR_LITTLE_ENDIAN),
    uids.EXPLICIT_VR_LITTLE_ENDIAN: _natives(uids.EXPLICIT_VR_LITTLE_ENDIAN),
    uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN: _integers(
        uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN
    ),
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: _natives(uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN),
    uids.EXPLICIT_VR_BIG_ENDIAN: _big_endian(),
    uids.RLE_LOSSLESS: _rles(),
    uids.DEFLATED_IMAGE_FRAME: {
        name: partial(_deflated, make) for name, make in _integers(uids.EXPLICIT_VR_LITTLE_ENDIAN).items()
    },
    uids.JPEG_BASELINE: _jpegs(uids.JPEG_BASELINE),
    uids.JPEG_EXTENDED: {
        **_jpegs(uids.JPEG_EXTENDED),
        "grey12": _jpeg12,
        "grey12-progressive": _jpeg12_progressive,
    },
    uids.JPEG_LOSSLESS: _jpegs_lossless(uids.JPEG_LOSSLESS, range(1, 8)),
    uids.JPEG_LOSSLESS_FIRST_ORDER: _jpegs_lossless(uids.JPEG_LOSSLESS_FIRST_ORDER, range(1, 2)),
    uids.JPEG_LS_LOSSLESS: _jpegs_ls(),
    uids.JPEG_LS_NEAR_LOSSLESS: _jpegs_ls_near(),
    uids.JPEG_2000_LOSSLESS: _jpegs_2000(),
    uids.JPEG_2000: _jpegs_2000_lossy(),
    uids.HTJ2K_LOSSLESS: _htj2ks(uids.HTJ2K_LOSSLESS),
    uids.HTJ2K_LOSSLESS_RPCL: _htj2ks(uids.HTJ2K_LOSSLESS_RPCL),
    uids.HTJ2K: _htj2ks_lossy(),
    uids.JPEG_XL_LOSSLESS: _jpegs_xl(),
    uids.JPEG_XL_JPEG_RECOMPRESSION: {
        name: partial(_recompressed, make) for name, make in _jpegs(uids.JPEG_BASELINE).items()
    },
    uids.JPEG_XL: {
        "grey8": partial(_jpegxl_lossy, "grey8", "MONOCHROME2", 2),
        "grey12": partial(_jpegxl_lossy, "grey12", "MONOCHROME2", 16),
        "rgb": partial(_jpegxl_lossy, "rgb", "RGB", 8),
        "xyb": partial(_jpegxl_lossy, "rgb", "XYB", 8),
    },
}
"""How to make each frame, by transfer syntax UID and by a name."""


@cache
def coded_frame(uid: str, name: str) -> CodedFrame:
    """One frame of ``BUILDERS``, made once."""
    return BUILDERS[uid][name]()


def subsampled_jpeg2000(luma: Pixels, blue: Pixels, red: Pixels, bits: int) -> bytes:
    """JPEG 2000 of components of unlike size, put together from one codestream for each.

    Without wavelet levels and with one layer, each component is one packet, and packets follow each other by component.
    """
    coded = [
        bytes(
            imagecodecs.jpeg2k_encode(
                plane, codecformat="J2K", level=0, reversible=True, resolutions=1, bitspersample=bits
            )
        )
        for plane in (luma, blue, red)
    ]
    packets = [data[data.index(b"\xff\x93") + 2 : data.rindex(b"\xff\xd9")] for data in coded]
    rows, columns = luma.shape
    factors = [(-(-columns // plane.shape[1]), -(-rows // plane.shape[0])) for plane in (luma, blue, red)]
    size = struct.pack(">HH8IH", 47, 0, columns, rows, 0, 0, columns, rows, 0, 0, 3)
    components = b"".join(bytes((bits - 1, *each)) for each in factors)
    coding = coded[0][coded[0].index(b"\xff\x52") : coded[0].index(b"\xff\x90")]
    tile = b"\xff\x93" + b"".join(packets)
    tile_header = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 12 + len(tile), 0, 1)
    return b"\xff\x4f\xff\x51" + size + components + coding + tile_header + tile + b"\xff\xd9"

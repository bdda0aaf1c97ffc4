"""Compressed frames: each codec with the colour handling and the checks that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import imagecodecs

from dicomzarr.codecs.jpeg import decode_jpeg
from dicomzarr.codecs.stored_values import planes_first, reinterpret, warn_server_decoded, ybr_to_rgb
from dicomzarr.dicom.pixels.codestream import Codec, Codestream, Colour
from dicomzarr.dicom.pixels.jpeg_markers import read_jpeg
from dicomzarr.errors import FrameDecodeError, FrameShapeError

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.codecs.scratch import Scratch
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_BYTE: Final = 8
# A larger frame out of so little data is an attack, not an image; blank ones stay far below.
_LARGE_FRAME: Final = 1 << 28
_LARGEST_EXPANSION: Final = 10_000


def load_codecs() -> None:
    """Import what decodes most images, which imagecodecs does when it is first used: milliseconds of a first read."""
    for name in ("jpeg8_decode", "jpeg2k_decode", "jpegls_decode"):
        getattr(imagecodecs, name)


def decode_compressed(
    data: bytes,
    codestream: Codestream,
    pixel: PixelDescription,
    *,
    where: str,
    scratch: Scratch | None = None,
) -> npt.NDArray[Any]:
    """Decodes one compressed frame after its markers were compared with the metadata.

    Args:
        data: The frame; bytes after its end do not matter.
        codestream: Its markers.
        pixel: What the metadata say.
        where: Study, series, instance and frame, for messages.
        scratch: Memory that the result may lie in.

    Returns:
        Stored values of the shape (samples, rows, columns), colour as RGB, perhaps interleaved in memory.

    Raises:
        FrameDecodeError: The codestream is cut off or broken.
        FrameShapeError: It is of another size or depth than the metadata say.
    """
    _check_shape(codestream, pixel, where)
    _check_extent(codestream, pixel, len(data), where)
    if codestream.holds_jpeg:
        return _decode_held_jpeg(data, pixel, where, scratch)
    is_ybr = pixel.samples > 1 and holds_ybr(codestream, pixel)
    try:
        decoded, is_ybr = _decode(data, codestream, is_ybr=is_ybr, scratch=scratch)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise FrameDecodeError(
            f"{where}: the {codestream.codec.value} codestream cannot be decoded: {error}."
        ) from error
    if decoded.shape != pixel.shape:
        raise FrameShapeError(
            f"{where}: the {codestream.codec.value} codestream decodes to the shape"
            f" {decoded.shape}, not to {pixel.shape} as the metadata say."
        )
    values = reinterpret(decoded, codestream, pixel)
    return ybr_to_rgb(values, pixel.bits_stored) if is_ybr else values


def _decode_held_jpeg(data: bytes, pixel: PixelDescription, where: str, scratch: Scratch | None) -> npt.NDArray[Any]:
    """The values that the JPEG itself decodes to, not those that the other decoder rounds it to."""
    try:
        jpeg = bytes(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1))
        markers = read_jpeg(jpeg)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise FrameDecodeError(f"{where}: the JPEG within the JPEG XL file cannot be restored: {error}.") from error
    return decode_compressed(jpeg, markers, pixel, where=where, scratch=scratch)


def _check_shape(codestream: Codestream, pixel: PixelDescription, where: str) -> None:
    found = (codestream.rows, codestream.columns, codestream.samples)
    expected = (pixel.rows, pixel.columns, pixel.samples)
    if found != expected:
        raise FrameShapeError(
            f"{where}: the {codestream.codec.value} codestream has {_shape_text(*found)},"
            f" the metadata say {_shape_text(*expected)}.",
            remedy="The server may have sent a rendered or another image.",
        )
    if pixel.floating:
        raise FrameShapeError(
            f"{where}: the frame is a {codestream.codec.value} codestream, the metadata say floating point, which"
            " is never compressed so."
        )
    # Eight bits for more are a rendering: the stored values are gone.
    rendered = codestream.precision <= _BYTE < pixel.bits_stored
    if rendered or codestream.precision > pixel.bits_allocated:
        raise FrameShapeError(
            f"{where}: the {codestream.codec.value} codestream has {codestream.precision} bits"
            f" a sample, the metadata say {pixel.bits_stored} stored in {pixel.bits_allocated}.",
            remedy="The server may have sent a rendered or another image.",
        )


def _shape_text(rows: int, columns: int, samples: int) -> str:
    return f"{rows}x{columns} pixels of {samples} sample{'' if samples == 1 else 's'}"


def _check_extent(codestream: Codestream, pixel: PixelDescription, length: int, where: str) -> None:
    if not codestream.complete:
        raise FrameDecodeError(
            f"{where}: the {codestream.codec.value} codestream is cut off: after {length} bytes"
            " it still lacks its end.",
            remedy="Read it again; if it stays, the server's copy is damaged.",
        )
    size = pixel.rows * pixel.columns * pixel.samples * pixel.dtype.itemsize
    if size > max(_LARGE_FRAME, length * _LARGEST_EXPANSION):
        raise FrameDecodeError(
            f"{where}: {length} bytes of {codestream.codec.value} claim to be {size} bytes of pixels, which cannot be."
        )


def holds_ybr(codestream: Codestream, pixel: PixelDescription) -> bool:
    """Whether colour differences come out: the codestream knows best, the metadata next."""
    kind = pixel.photometric_interpretation
    if codestream.colour is not None:
        return codestream.colour is Colour.YBR
    if codestream.codec is Codec.JPEG:
        return kind.startswith("YBR")
    if kind == "YBR_FULL_422":
        warn_server_decoded()  # only JPEG subsamples: the server decoded it and coded it anew
    return kind == "YBR_FULL"


def _decode(
    data: bytes, codestream: Codestream, *, is_ybr: bool, scratch: Scratch | None
) -> tuple[npt.NDArray[Any], bool]:
    """Calls the codec: planes, and whether they still are colour differences."""
    match codestream.codec:
        case Codec.JPEG:
            return planes_first(decode_jpeg(data, codestream, is_ybr=is_ybr, scratch=scratch)), False
        case Codec.JPEG_LOSSLESS:
            # The same colour model on both sides: no conversion, which lossless JPEG has not.
            return planes_first(decode_jpeg(data, codestream, is_ybr=False, scratch=scratch)), is_ybr
        case Codec.JPEG_LS:
            return planes_first(imagecodecs.jpegls_decode(data)), is_ybr
        case Codec.JPEG_XL:
            return planes_first(imagecodecs.jpegxl_decode(data, keeporientation=True, numthreads=1)), is_ybr
        case _:
            # Chroma that is coarser is spread and converted by OpenJPEG: each value over its two or four pixels.
            return _decode_jpeg2000(data, codestream), is_ybr and codestream.colour is None


def _decode_jpeg2000(data: bytes, codestream: Codestream) -> npt.NDArray[Any]:
    """OpenJPEG for HTJ2K too: OpenJPH is faster, but wraps overshoot and hides broken blocks."""
    planes = imagecodecs.jpeg2k_decode(data[codestream.start :], planar=True, numthreads=1)
    return planes if codestream.samples > 1 else planes.reshape(1, *planes.shape)

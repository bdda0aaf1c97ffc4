"""Frames without compression, as Explicit VR Little Endian has them (PS3.5 section 8.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.deflated import inflate_frame
from dicomzarr.codecs.native import native_lengths
from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES, is_native, read_codestream

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.faces.dicomweb_server.holdings import Frames

_CELLS: Final = frozenset({Codec.RLE, Codec.DEFLATED})
"""Codecs that keep stored cells as they are, colour model and all."""


def keeps_cells(transfer_syntax: str) -> bool:
    """Whether decoding leaves colour in the model that the metadata name; else it becomes RGB."""
    return _codec(transfer_syntax) in _CELLS


def _codec(transfer_syntax: str) -> Codec:
    return TRANSFER_SYNTAXES[transfer_syntax].codec


def decoded_frame(frames: Frames, number: int, pixel: PixelDescription, uid: str) -> npt.NDArray[Any]:
    """The stored values of a frame, shape (samples, rows, columns), colour as RGB.

    Raises:
        FrameError: It cannot be decoded.
        InvalidFileError: Its file is broken.
    """
    return _decoded(frames.cut(number), frames.transfer_syntax_uid, pixel, f"Frame {number} of instance {uid}")


def _decoded(data: bytes, syntax: str, pixel: PixelDescription, where: str) -> npt.NDArray[Any]:
    if is_native(syntax):
        pixel = replace(pixel, lossy=False)  # however it came to be, nothing is decoded any more
    return decode_frame(data, pixel, transfer_syntax_uid=syntax, where=where, stored=True)


def native_frame(frames: Frames, number: int, pixel: PixelDescription, uid: str) -> bytes:
    """A compressed frame as native cells, laid out as the metadata say, with all bits that it holds of them.

    Args:
        frames: The frames of an instance.
        number: From 1.
        pixel: The layout.
        uid: SOP Instance UID, for messages.

    Raises:
        FrameError: It cannot be decoded.
        InvalidFileError: Its file is broken.
    """
    data, syntax, where = frames.cut(number), frames.transfer_syntax_uid, f"Frame {number} of instance {uid}"
    if _codec(syntax) is Codec.DEFLATED:
        native = inflate_frame(data, pixel, where=where)
        return native[: max(length for length in native_lengths(pixel) if length <= len(native))]
    if pixel.samples > 1 and keeps_cells(syntax):
        pixel = replace(pixel, photometric_interpretation="RGB")  # which is not converted
    pixel = _with_all_bits(data, pixel)
    return cells(_decoded(data, syntax, pixel, where), pixel)


def _with_all_bits(data: bytes, pixel: PixelDescription) -> PixelDescription:
    """The layout with all bits that a frame holds: overlays may lie beside values (PS3.5 section 8.1.2)."""
    try:
        codestream = read_codestream(data)
    except ValueError:
        return pixel  # decoding says what is wrong
    if codestream is None:  # RLE has whole cells
        return replace(pixel, bits_stored=pixel.bits_allocated, high_bit=pixel.bits_allocated - 1)
    if codestream.lossy or pixel.samples > 1 or not pixel.bits_stored < codestream.precision <= pixel.bits_allocated:
        return pixel
    return replace(pixel, bits_stored=codestream.precision, high_bit=codestream.precision - 1)


def cells(values: npt.NDArray[Any], pixel: PixelDescription) -> bytes:
    """Stored values in their cells.

    Args:
        values: Shape (samples, rows, columns), of type ``pixel.dtype``.
        pixel: Bits, planes and samples.
    """
    if pixel.samples > 1 and pixel.planar_configuration == 0:
        values = np.moveaxis(values, 0, -1)
    if pixel.bits_allocated == 1:
        return np.packbits(values.ravel().astype(np.uint8), bitorder="little").tobytes()
    shift = 0 if pixel.floating else pixel.high_bit + 1 - pixel.bits_stored
    return (values << shift if shift else values).tobytes()


def joined_frames(frames: Frames, pixel: PixelDescription, uid: str) -> tuple[int, Iterable[bytes]]:
    """All frames as one native value of Pixel Data.

    Returns:
        (bytes without padding, the value in pieces, which are decoded when they are asked for).
    """
    native = is_native(frames.transfer_syntax_uid)
    count, bits = len(frames), pixel.rows * pixel.columns * pixel.samples

    def cut(number: int) -> bytes:
        return frames.cut(number) if native else native_frame(frames, number, pixel, uid)

    if pixel.bits_allocated > 1 or bits % 8 == 0:
        return len(cut(1)) * count, (cut(number) for number in range(1, count + 1))
    unpacked = [np.unpackbits(np.frombuffer(cut(number + 1), np.uint8), count=bits, bitorder="little")
                for number in range(count)]  # fmt: skip
    joined = np.packbits(np.concatenate(unpacked), bitorder="little").tobytes()
    return len(joined), [joined]

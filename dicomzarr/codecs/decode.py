"""One encoded frame to an array: the label first, then what the bytes themselves say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.codecs.budget import BUDGET
from dicomzarr.codecs.compressed import decode_compressed
from dicomzarr.codecs.deflated import inflate_frame
from dicomzarr.codecs.native import decode_native, fits_native
from dicomzarr.codecs.rle import decode_rle, is_rle
from dicomzarr.dicom.pixels.pixels import COLOUR_MODELS
from dicomzarr.dicom.pixels.syntax import (
    Codec,
    TransferSyntax,
    likely_uid,
    read_codestream,
    transfer_syntax,
)
from dicomzarr.errors import FrameDecodeError
from dicomzarr.options.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from dicomzarr.codecs.scratch import Scratch
    from dicomzarr.dicom.pixels.codestream import Codestream
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_COPIES: Final = 3
"""Of the pixels, which unpacking RLE and deflated frames takes."""


def decode_frame(  # noqa: PLR0913  # all that is known of the bytes
    data: bytes | memoryview,
    pixel: PixelDescription,
    *,
    transfer_syntax_uid: str | None,
    media_type: str = "",
    where: str,
    scratch: Scratch | None = None,
    on_loss: Callable[[], None] | None = None,
    stored: bool = False,
    limits: Limits = LIMITS,
) -> npt.NDArray[Any]:
    """Decodes one frame, exactly or not at all.

    A codestream that the bytes show wins over their label, and so does the exact length of a
    native frame: servers mislabel both. An unsupported label is never guessed around.

    Args:
        data: The bytes of one frame, as a part of a DICOMweb reply or cut from PixelData.
        pixel: The Image Pixel attributes of the frame.
        transfer_syntax_uid: The transfer syntax of these bytes; None when nobody says.
        media_type: The part's media type, for when nobody says the transfer syntax.
        where: Study, series, instance and frame, for messages.
        on_loss: Called when the codestream is of a lossy kind.
        stored: Nobody decoded them on the way, and their label is right: they come out of the file that stores them, or
            the metadata say that it stores plain pixels, or what the label says.
        limits: What decoding may take.
        scratch: Memory that the result may lie in: then it is valid until the next frame is decoded in this thread.

    Returns:
        Stored values of the shape (samples, rows, columns) and type ``pixel.dtype``, little-endian: masked to
        BitsStored, sign-extended, colour as RGB, palettes as indices, floating point with its NaN. Samples may lie
        interleaved in memory.

    Raises:
        UnsupportedTransferSyntaxError: The transfer syntax cannot be decoded.
        FrameDecodeError: The bytes are broken, cut off, or of a retired colour model.
        FrameShapeError: They hold another size or depth than the metadata say.
    """
    try:
        return _decode(data, pixel, transfer_syntax_uid, media_type, where, scratch, on_loss, limits, stored=stored)
    except MemoryError:
        pass  # and what it holds is let go of
    raise FrameDecodeError(
        f"{where}: there is not enough memory to decode its {pixel.nbytes} bytes of pixels.",
        remedy="Read fewer frames at once, or on a machine with more memory.",
    )


def _decode(  # noqa: PLR0913, PLR0917  # as above
    data: bytes | memoryview,
    pixel: PixelDescription,
    transfer_syntax_uid: str | None,
    media_type: str,
    where: str,
    scratch: Scratch | None,
    on_loss: Callable[[], None] | None,
    limits: Limits,
    *,
    stored: bool,
) -> npt.NDArray[Any]:
    _check_colour_model(pixel, where)
    label = transfer_syntax(transfer_syntax_uid, where=where) if transfer_syntax_uid else None
    codestream = _find_codestream(data, pixel, label, where)
    if codestream is not None:
        if stored and codestream.codec is not Codec.JPEG:  # of which it makes no difference
            pixel = _as_coded(pixel)
        if codestream.lossy and on_loss is not None:
            on_loss()
        return decode_compressed(bytes(data), codestream, pixel, where=where, scratch=scratch, limits=limits)
    label = label or _guess_label(media_type, where)
    expands = label is not None and label.codec in (Codec.RLE, Codec.DEFLATED)
    with BUDGET.taken(_COPIES * pixel.nbytes if expands else 0, limits.decoding_bytes):
        return _decode_unmarked(data, pixel, label, media_type, where, stored=stored)


def _as_coded(pixel: PixelDescription) -> PixelDescription:
    """What the header means of a codestream that nobody coded anew: which itself knows how its chroma is sampled."""
    if pixel.photometric_interpretation != "YBR_FULL_422":
        return pixel
    return replace(pixel, photometric_interpretation="YBR_FULL")


def _decode_unmarked(  # noqa: PLR0913  # all that is known of the bytes
    data: bytes | memoryview,
    pixel: PixelDescription,
    label: TransferSyntax | None,
    media_type: str,
    where: str,
    *,
    stored: bool,
) -> npt.NDArray[Any]:
    """Decodes bytes that begin with no magic number: as the label says, or as what their length shows."""
    codec = None if label is None else label.codec
    if codec is Codec.RLE and (is_rle(data) or not fits_native(len(data), pixel)):
        return decode_rle(data, _as_coded(pixel) if stored else pixel, where=where)
    if codec is Codec.DEFLATED:
        return decode_native(inflate_frame(data, pixel, where=where), pixel, was_compressed=False, where=where)
    _check_native(data, pixel, label, media_type, where)
    was_compressed = (pixel.lossy and not stored) or codec not in (None, Codec.NATIVE)
    big_endian = label is not None and label.big_endian
    return decode_native(data, pixel, was_compressed=was_compressed, where=where, big_endian=big_endian)


def _check_colour_model(pixel: PixelDescription, where: str) -> None:
    if pixel.samples > 1 and pixel.photometric_interpretation not in COLOUR_MODELS:
        raise FrameDecodeError(
            f"{where}: colour frames of PhotometricInterpretation"
            f" {pixel.photometric_interpretation!r} cannot be turned into RGB;"
            f" {', '.join(sorted(COLOUR_MODELS))} can."
        )


def _find_codestream(
    data: bytes | memoryview, pixel: PixelDescription, label: TransferSyntax | None, where: str
) -> Codestream | None:
    """The markers of a compressed frame, or None where pixels merely look like a magic number."""
    may_be_native = label is None or label.codec is Codec.NATIVE
    is_doubtful = may_be_native and fits_native(len(data), pixel)
    try:
        found = read_codestream(data)
    except ValueError as error:
        if is_doubtful:
            return None
        raise FrameDecodeError(f"{where}: the codestream is broken: {error}.") from error
    if is_doubtful and found is not None and not _is_whole_frame(found, pixel):
        return None
    return found


def _is_whole_frame(codestream: Codestream, pixel: PixelDescription) -> bool:
    """Whether it is beyond chance that the bytes are this frame compressed."""
    shape = (codestream.samples, codestream.rows, codestream.columns)
    return codestream.complete and shape == pixel.shape


def _guess_label(media_type: str, where: str) -> TransferSyntax | None:
    uid = likely_uid(media_type)
    return None if uid is None else transfer_syntax(uid, where=where)


def _check_native(
    data: bytes | memoryview,
    pixel: PixelDescription,
    label: TransferSyntax | None,
    media_type: str,
    where: str,
) -> None:
    """Raises unless bytes without a magic number are, or are said to be, a native frame."""
    if fits_native(len(data), pixel) or (label is not None and label.codec is Codec.NATIVE):
        return
    said = f"of the transfer syntax {label.name}" if label else f"of the type {media_type!r}"
    raise FrameDecodeError(
        f"{where}: {len(data)} bytes {said} begin with {bytes(data[:4]).hex() or 'nothing'}, which"
        " no known codestream does, and are no uncompressed frame either.",
        remedy="The reply may be damaged, or of a kind that was not asked for.",
    )

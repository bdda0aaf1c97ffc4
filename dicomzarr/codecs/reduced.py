"""Frames at a fraction of their size: what levels are made of that a slide lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.codecs.budget import BUDGET
from dicomzarr.codecs.compressed import bytes_taken, holds_ybr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.jpeg import decode_jpeg, scales
from dicomzarr.codecs.jpeg_scaling import MOST
from dicomzarr.codecs.native import fits_native
from dicomzarr.codecs.stored_values import planes_first
from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.pixels import COLOUR_MODELS
from dicomzarr.dicom.pixels.syntax import read_codestream, transfer_syntax
from dicomzarr.errors import FrameDecodeError
from dicomzarr.options.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from dicomzarr.codecs.scratch import Scratch
    from dicomzarr.dicom.pixels.codestream import Codestream
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_SUM_OF: Final = {"u": np.uint64, "i": np.int64, "f": np.float64}
_BYTE_SUMS: Final = 16
"""The largest factor at which sums of bytes fit 16 bits."""


_BYTE: Final = 8


def decode_reduced(  # noqa: PLR0913  # as `decode_frame`
    data: bytes | memoryview,
    pixel: PixelDescription,
    factor: int,
    *,
    transfer_syntax_uid: str | None,
    media_type: str = "",
    where: str,
    scratch: Scratch | None = None,
    on_loss: Callable[[], None] | None = None,
    stored: bool = False,
    limits: Limits = LIMITS,
) -> npt.NDArray[Any]:
    """As `decode_frame`, and the means of squares of its stored values: for levels that hold these and no others.

    JPEG is scaled while it is decoded, as far as its blocks of 8 x 8 pixels go: which leaves out what is finer, and is
    about the mean. All else is decoded whole.

    Args:
        data: The frame.
        pixel: What the metadata say.
        factor: Rows and columns that become one, a power of two.
        transfer_syntax_uid: As for `decode_frame`, and so are the others.
        media_type: Likewise.
        where: Likewise.
        scratch: Likewise.
        on_loss: Likewise.
        stored: Likewise.
        limits: Likewise.

    Returns:
        Shape (samples, rows // factor, columns // factor).

    Raises:
        FrameError: As `decode_frame`.
    """
    if transfer_syntax_uid:
        transfer_syntax(transfer_syntax_uid, where=where)  # a label that is not supported is never guessed around
    scaled = _scaled(data, pixel, min(factor, MOST), where, limits)
    if scaled is not None:
        if on_loss is not None:
            on_loss()
        return averaged(scaled, factor // MOST) if factor > MOST else scaled
    whole = decode_frame(
        data,
        pixel,
        transfer_syntax_uid=transfer_syntax_uid,
        media_type=media_type,
        where=where,
        scratch=scratch,
        on_loss=on_loss,
        stored=stored,
        limits=limits,
    )
    return averaged(whole, factor)


def _scaled(
    data: bytes | memoryview, pixel: PixelDescription, scale: int, where: str, limits: Limits = LIMITS
) -> npt.NDArray[Any] | None:
    """A JPEG at a fraction of its size; None for all that is unusual or damaged, which is to be decoded whole."""
    if fits_native(len(data), pixel):
        return None
    try:
        codestream = read_codestream(data)
        if codestream is None or not _is_plain(codestream, pixel):
            return None
        is_ybr = pixel.samples > 1 and holds_ybr(codestream, pixel)
        whole = bytes(data)
        with BUDGET.taken(bytes_taken(whole, codestream, pixel, where, limits), limits.decoding_bytes):
            pixels = planes_first(decode_jpeg(whole, codestream, is_ybr=is_ybr, scratch=None, scale=scale))
    except (RuntimeError, ValueError, MemoryError, FrameDecodeError):
        return None
    expected = (pixel.samples, pixel.rows // scale, pixel.columns // scale)
    return pixels if pixels.shape == expected and pixels.dtype == pixel.dtype else None


def _is_plain(codestream: Codestream, pixel: PixelDescription) -> bool:
    """Whether a JPEG is of the size, and of the eight bits, that the metadata say."""
    is_whole = codestream.complete and (codestream.samples, codestream.rows, codestream.columns) == pixel.shape
    of_bytes = pixel.bits_stored == pixel.bits_allocated == _BYTE
    is_known = pixel.samples == 1 or pixel.photometric_interpretation in COLOUR_MODELS
    return codestream.codec is Codec.JPEG and is_whole and of_bytes and is_known and scales(codestream)


def averaged(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Means of squares, halves rounded up; what is left over at the far edges is left out.

    Args:
        values: Shape (samples, rows, columns), in any layout.
        factor: Side of a square.

    Returns:
        Shape (samples, rows // factor, columns // factor), of the same type.
    """
    _, rows, columns = values.shape
    whole = values[:, : rows // factor * factor, : columns // factor * factor]
    is_small = values.dtype == np.uint8 and factor <= _BYTE_SUMS
    sums = _summed(_summed(whole, factor, 1, np.uint16 if is_small else _SUM_OF[values.dtype.kind]), factor, 2)
    area = factor * factor
    if values.dtype.kind != "f":
        sums += sums.dtype.type(area // 2)
        sums //= sums.dtype.type(area)
    else:
        sums /= area
    means: npt.NDArray[Any] = sums.astype(values.dtype)
    return means


def picked(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """One value of each square, that in its middle: for numbers, which have no means.

    Args:
        values: (samples, rows, columns).
        factor: Rows and columns that become one.

    Returns:
        (samples, rows // factor, columns // factor), of the same type.
    """
    _, rows, columns = values.shape
    return values[:, factor // 2 :: factor, factor // 2 :: factor][:, : rows // factor, : columns // factor]


def _summed(values: npt.NDArray[Any], factor: int, axis: int, dtype: Any = None) -> npt.NDArray[Any]:
    """Neighbours along an axis added up."""
    lead = (slice(None),) * axis
    total = values[(*lead, slice(0, None, factor))].astype(dtype or values.dtype)
    for place in range(1, factor):
        total += values[(*lead, slice(place, None, factor))]
    return total

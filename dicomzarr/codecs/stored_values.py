"""From the bits and the colour model of a frame to its stored values, colour as RGB."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.errors import ServerDecodedWarning

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.pixels.codestream import Codestream
    from dicomzarr.dicom.pixels.pixels import PixelDescription

# Colour models that only a codestream can have: three values a pixel under them were decoded by somebody else.
_OF_CODESTREAMS: Final = frozenset({"YBR_FULL_422", "YBR_RCT", "YBR_ICT", "XYB"})
_OF_SIGNS: Final = frozenset({Codec.JPEG_2000, Codec.HTJ2K})
_RED_FROM_CR: Final = 1.402
_GREEN_FROM_CB: Final = -0.344136
_GREEN_FROM_CR: Final = -0.714136
_BLUE_FROM_CB: Final = 1.772


def warn_server_decoded() -> None:
    """Warns, once a process by Python's default filter, that colour is taken on trust."""
    warnings.warn(
        "The server sent colour frames decoded that are stored compressed, and their metadata do"
        " not say in which colour model. They are read as the metadata suggest, and may look"
        " wrong (some servers send YCbCr under an RGB label). To be sure, let the server send the"
        " stored frames (transfer-syntax=*).",
        ServerDecodedWarning,
        stacklevel=1,  # one place, hence once a process
    )


def unpack_cells(cells: npt.NDArray[Any], pixel: PixelDescription) -> npt.NDArray[Any]:
    """Takes each value out of its stored cell (PS3.5 section 8.1.1).

    Args:
        cells: Cells of BitsAllocated bits as they are stored, in any shape.
        pixel: Says where in a cell the value lies, and whether it has a sign.

    Returns:
        An array of ``pixel.dtype``: nothing but BitsStored bits, sign-extended; floating point as it is. Where that is
        what is stored, it is a view of the cells.
    """
    is_same_size = cells.dtype.isnative and cells.dtype.itemsize == pixel.dtype.itemsize
    values: npt.NDArray[Any] = cells.view(pixel.dtype) if is_same_size else cells.astype(pixel.dtype)
    width = values.itemsize * 8
    if pixel.floating or pixel.bits_stored == width:
        return values
    values = values << (width - 1 - pixel.high_bit)  # pushes overlays and garbage out at the top
    values >>= width - pixel.bits_stored  # arithmetic, hence sign-extending, when signed
    return values


def reinterpret(values: npt.NDArray[Any], codestream: Codestream, pixel: PixelDescription) -> npt.NDArray[Any]:
    """Gives decoded values the type, the sign and the range that the metadata say.

    A codestream may carry more or fewer bits than BitsStored, and another sign than
    PixelRepresentation: its bit patterns are kept, their meaning is the metadata's.

    Args:
        values: Values as the codec returns them, in any shape.
        codestream: Precision and sign that the codec went by.
        pixel: Precision and sign that are meant.

    Returns:
        An array of ``pixel.dtype``.
    """
    same_sign = codestream.signed == pixel.signed
    if same_sign and codestream.precision <= pixel.bits_stored:
        return values.astype(pixel.dtype, copy=False)
    if codestream.precision > pixel.high_bit >= pixel.bits_stored:
        return unpack_cells(values, pixel)  # cells were coded as they are, whose values end at the top
    if same_sign and codestream.lossy:
        # Lossy coding overshoots the range; masking would turn white into black.
        low = -(1 << (pixel.bits_stored - 1)) if pixel.signed else 0
        return values.clip(low, low + (1 << pixel.bits_stored) - 1).astype(pixel.dtype, copy=False)
    # Codecs of JPEG know no sign: what they chose for the largest value does not move it (PS3.5 section 8.1.1).
    bits = min(codestream.precision, pixel.bits_stored) if codestream.codec in _OF_SIGNS else pixel.bits_stored
    result = values.astype(pixel.dtype)
    shift = result.itemsize * 8 - bits
    result <<= shift
    result >>= shift
    return result


def to_rgb(planes: npt.NDArray[Any], pixel: PixelDescription) -> npt.NDArray[Any]:
    """Turns planes of full size, which no codec has converted, into RGB; grey stays as it is.

    Args:
        planes: Values of the shape (samples, rows, columns).
        pixel: Names the colour model.

    Returns:
        Red, green and blue, or the one plane, in the same shape and type.
    """
    if pixel.samples == 1:
        return planes
    if pixel.photometric_interpretation in _OF_CODESTREAMS:
        warn_server_decoded()
    return ybr_to_rgb(planes, pixel.bits_stored) if pixel.photometric_interpretation == "YBR_FULL" else planes


def ybr_to_rgb(planes: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Converts full-range luminance and colour differences to RGB (PS3.3 section C.7.6.3.1.2).

    Args:
        planes: Unsigned Y, CB and CR, of the shape (3, rows, columns).
        bits: BitsStored; colour differences are centred on half its range.

    Returns:
        Red, green and blue in the same shape and type, clamped to the range.
    """
    luminance, blue_difference, red_difference = planes.astype(np.float32)
    centre = np.float32(1 << (bits - 1))
    blue_difference -= centre
    red_difference -= centre
    rgb = np.stack(
        (
            luminance + np.float32(_RED_FROM_CR) * red_difference,
            luminance + np.float32(_GREEN_FROM_CB) * blue_difference + np.float32(_GREEN_FROM_CR) * red_difference,
            luminance + np.float32(_BLUE_FROM_CB) * blue_difference,
        )
    )
    rounded: npt.NDArray[Any] = np.rint(rgb).clip(0, (1 << bits) - 1).astype(planes.dtype)
    return rounded


def planes_first(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Shows (rows, columns[, samples]) as (samples, rows, columns), without moving a value."""
    return pixels.transpose(2, 0, 1) if pixels.ndim > 2 else pixels[np.newaxis]  # noqa: PLR2004  # with samples

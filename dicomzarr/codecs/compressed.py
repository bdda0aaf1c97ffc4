"""Compressed frames: each codec with the colour handling and the checks that it needs."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import imagecodecs

from dicomzarr.codecs.apart import APART
from dicomzarr.codecs.budget import BUDGET
from dicomzarr.codecs.jpeg import decode_jpeg
from dicomzarr.codecs.stored_values import planes_first, reinterpret, warn_server_decoded, ybr_to_rgb
from dicomzarr.dicom.pixels.codestream import Codec, Codestream, Colour
from dicomzarr.dicom.pixels.jpeg2000_cost import Cost, cost_of
from dicomzarr.dicom.pixels.jpeg_markers import read_jpeg
from dicomzarr.errors import FrameDecodeError, FrameShapeError
from dicomzarr.options.limits import LIMITS, Limits

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.codecs.scratch import Scratch
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_BYTE: Final = 8
_IN_PACKETS: Final = (Codec.JPEG_2000, Codec.HTJ2K)
_MOST_EXTRA: Final = 8
_OF_OTHER_CODESTREAMS: Final = frozenset({"YBR_FULL_422", "YBR_RCT", "YBR_ICT"})
"""Photometric interpretations of subsampled chroma and of component transforms, which such a codestream would show."""
_FEW_SCANS: Final = 20
_LARGE: Final = 64 * 2**20
_LARGE_JPEG_XL: Final = 16 * 2**20
"""Tables of few bytes can make each sample of it cost microseconds."""
_USUAL_EXPANSION: Final = 100
"""Bytes that decoding takes for each byte of real frames; what takes more, and is large, is decoded alone."""
_NO_BOUND: Final = 86_400.0
"""Seconds: who allows a day of a core has JPEG XL decoded here as it comes."""
_SECONDS_A_BYTE: Final = 2e-6
"""That decoding a JPEG XL takes at most, where it is not an attack: the slowest real ones take half of that."""
_WORKING_BYTES: Final = {
    Codec.JPEG_2000: 4,
    Codec.HTJ2K: 4,
    Codec.JPEG: 2,
    Codec.JPEG_XL: 4,
}
"""That decoders take for each sample beside the result; measured."""


def load_codecs() -> None:
    """Import what decodes most images, which imagecodecs does when it is first used: milliseconds of a first read."""
    for name in ("jpeg8_decode", "jpeg2k_decode", "jpegls_decode"):
        getattr(imagecodecs, name)


def decode_compressed(  # noqa: PLR0913  # all that is known of the bytes
    data: bytes,
    codestream: Codestream,
    pixel: PixelDescription,
    *,
    where: str,
    scratch: Scratch | None = None,
    limits: Limits = LIMITS,
) -> npt.NDArray[Any]:
    """Decodes one compressed frame after its markers were compared with the metadata.

    Args:
        data: The frame; bytes after its end do not matter.
        codestream: Its markers.
        pixel: What the metadata say.
        where: Study, series, instance and frame, for messages.
        scratch: Memory that the result may lie in.
        limits: What decoding may take.

    Returns:
        Stored values of the shape (samples, rows, columns), colour as RGB, perhaps interleaved in memory.

    Raises:
        FrameDecodeError: The codestream is cut off or broken.
        FrameShapeError: It is of another size or depth than the metadata say.
    """
    plain = _plain(codestream, pixel) if codestream.complete else None
    if plain is not None and plain.taken <= min(limits.blank_bytes, limits.block_passes):
        taken, is_ybr = plain.taken, plain.is_ybr
    else:
        plain = None
        _check_shape(codestream, pixel, where)
        _check_extent(codestream, len(data), where)
        taken = bytes_taken(data, codestream, pixel, where, limits)
        if codestream.holds_jpeg:
            return _decode_held_jpeg(data, codestream, pixel, where, scratch, limits)
        is_ybr = pixel.samples > 1 and holds_ybr(codestream, pixel)
    try:
        is_odd = taken > max(_LARGE, len(data) * _USUAL_EXPANSION)
        with BUDGET.taken(limits.decoding_bytes if is_odd else taken, limits.decoding_bytes):
            if codestream.codec is Codec.JPEG_XL and _is_apart(codestream, taken, len(data), limits):
                decoded = planes_first(_apart(data, limits))
            else:
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
    if plain is not None:
        return decoded
    values = reinterpret(decoded, codestream, pixel)
    return ybr_to_rgb(values, pixel.bits_stored) if is_ybr else values


class _Plain(NamedTuple):
    """A JPEG that is in each respect what the metadata say."""

    taken: int
    """Bytes that its decoder takes."""
    is_ybr: bool
    """It holds colour differences."""


@lru_cache(maxsize=64)
def _plain(codestream: Codestream, pixel: PixelDescription) -> _Plain | None:
    """Of a JPEG in one scan, whose values are what the codec gives; None for all others, which are looked at singly.

    Tiles of a slide are of one kind, and this is found out once.
    """
    if codestream.codec is not Codec.JPEG or codestream.scans is None or not codestream.scans.is_one_scan:
        return None
    try:
        _check_shape(codestream, pixel, "")
    except FrameShapeError:
        return None
    is_kept = codestream.precision <= pixel.bits_stored and pixel.bits_allocated == _BYTE and not pixel.signed
    if not is_kept:
        return None
    samples = pixel.rows * pixel.columns * pixel.samples
    taken = pixel.nbytes + samples * _WORKING_BYTES[Codec.JPEG]
    return _Plain(taken, pixel.samples > 1 and holds_ybr(codestream, pixel))


def _decode_held_jpeg(  # noqa: PLR0913, PLR0917  # as above
    data: bytes,
    codestream: Codestream,
    pixel: PixelDescription,
    where: str,
    scratch: Scratch | None,
    limits: Limits,
) -> npt.NDArray[Any]:
    """The values that the JPEG itself decodes to, not those that the other decoder rounds it to."""
    try:
        is_open = codestream.open_ended and limits.layer_seconds < _NO_BOUND
        jpeg = _apart(data, limits, held_jpeg=True) if is_open else imagecodecs.jpegxl_decode_jpeg(data, numthreads=1)
        jpeg = bytes(jpeg)
        markers = read_jpeg(jpeg)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise FrameDecodeError(f"{where}: the JPEG within the JPEG XL file cannot be restored: {error}.") from error
    return decode_compressed(jpeg, markers, pixel, where=where, scratch=scratch, limits=limits)


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


def _check_extent(codestream: Codestream, length: int, where: str) -> None:
    only_end_may_lack = codestream.scans is not None and codestream.scans.is_one_scan
    if not codestream.complete and not only_end_may_lack:
        raise FrameDecodeError(
            f"{where}: the {codestream.codec.value} codestream is cut off: after {length} bytes"
            " it still lacks its end.",
            remedy="Read it again; if it stays, the stored copy is damaged.",
        )


def bytes_taken(data: bytes, codestream: Codestream, pixel: PixelDescription, where: str, limits: Limits) -> int:
    """Bytes that the decoder will take, once they and its passes have been found to be within bounds."""
    codec, name = codestream.codec, codestream.codec.value
    try:
        cost = cost_of(data, codestream.start) if codec in _IN_PACKETS else Cost(0, 1)
        scans = codestream.scans.count(data, limits.jpeg_scans) if codestream.scans is not None else 0
    except (ValueError, IndexError, struct.error) as error:
        raise FrameDecodeError(f"{where}: the {name} codestream claims what cannot be: {error}.") from None
    extra = cost.extra_bytes
    samples = pixel.rows * pixel.columns * pixel.samples
    if extra > max(limits.block_bytes, samples * _MOST_EXTRA):
        raise FrameDecodeError(
            f"{where}: the {name} codestream is cut into so small pieces that they would take {extra} bytes to decode.",
            remedy=f"If the server is trusted, set limits={{'block_bytes': {extra}}}.",
        )
    taken = pixel.nbytes + samples * _WORKING_BYTES.get(codec, 0) + extra
    if taken > max(limits.blank_bytes, len(data) * limits.expansion):
        raise FrameDecodeError(
            f"{where}: {len(data)} bytes of {name} claim to be {pixel.nbytes} bytes of pixels, and would take {taken}"
            " to decode, which cannot be.",
            remedy=f"If the image is blank, set limits={{'blank_bytes': {taken}}}.",
        )
    if cost.passes * samples > max(limits.block_passes, len(data) * limits.expansion):
        raise FrameDecodeError(
            f"{where}: {len(data)} bytes of {name} claim {cost.passes} passes over {samples} samples: too many.",
            remedy=f"If the server is trusted, set limits={{'block_passes': {cost.passes * samples}}}.",
        )
    if scans > _FEW_SCANS and scans * samples > limits.jpeg_passes:
        raise FrameDecodeError(
            f"{where}: its {scans} scans of {samples} samples would take too long.",
            remedy=f"If the server is trusted, set limits={{'jpeg_passes': {scans * samples}}}.",
        )
    return taken


def holds_ybr(codestream: Codestream, pixel: PixelDescription) -> bool:
    """Whether colour differences come out: the codestream knows best, the metadata next."""
    kind = pixel.photometric_interpretation
    if codestream.colour is not None:
        return codestream.colour is Colour.YBR
    if codestream.codec is Codec.JPEG:
        return kind.startswith("YBR")
    if kind in _OF_OTHER_CODESTREAMS:
        warn_server_decoded()  # the server decoded it and coded it anew, or it is not what its header says
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


def _is_apart(codestream: Codestream, taken: int, length: int, limits: Limits) -> bool:
    """Whether a JPEG XL is decoded in a process of its own: what it costs is not known, or is much for its bytes."""
    is_doubtful = codestream.open_ended or taken > max(_LARGE_JPEG_XL, length * _USUAL_EXPANSION)
    return is_doubtful and limits.layer_seconds < _NO_BOUND


def _apart(data: bytes, limits: Limits, *, held_jpeg: bool = False) -> npt.NDArray[Any]:
    memory = max(limits.blank_bytes, len(data) * limits.expansion)
    seconds = max(limits.layer_seconds, len(data) * _SECONDS_A_BYTE)
    return APART.decode(data, memory, seconds, held_jpeg=held_jpeg)


def _decode_jpeg2000(data: bytes, codestream: Codestream) -> npt.NDArray[Any]:
    """OpenJPEG for HTJ2K too: OpenJPH is faster, but wraps overshoot and hides broken blocks."""
    planes = imagecodecs.jpeg2k_decode(data[codestream.start :], planar=True, numthreads=1)
    return planes if codestream.samples > 1 else planes.reshape(1, *planes.shape)

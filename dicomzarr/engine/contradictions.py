"""Whether the metadata agree with what comes along with a frame: the header of its file, or its label."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

from dicomzarr.codecs.native import native_lengths
from dicomzarr.codecs.rle import is_rle
from dicomzarr.codecs.stored_values import warn_server_decoded
from dicomzarr.dicom.pixels.syntax import is_native, sniff
from dicomzarr.dicom.uids import DEFLATED_IMAGE_FRAME, EXPLICIT_VR_BIG_ENDIAN
from dicomzarr.errors import ContradictingHeaderError, FrameDecodeError, OtherSeriesWarning

if TYPE_CHECKING:
    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.series_state import FrameKey

_BITS_OF_A_BYTE: Final = 8


def contradiction(key: FrameKey, frame: EncodedFrame) -> ContradictingHeaderError | None:
    """The error for a frame whose file contradicts the metadata that it would be decoded by; None for all others.

    A file of another study or series is only warned of, once for each opening of a series: archives merge studies.
    """
    header, series, stored = frame.header, key.series, key.stored
    if header is None:
        return None
    is_other = header.study not in ("", series.study) or header.series not in ("", series.series)
    if is_other and series.tells("other series"):
        warnings.warn(
            f"Files of series {series.series}, study {series.study}, name another series or study:"
            f" {header.series or 'none'}, study {header.study or 'none'}. They are read all the same.",
            OtherSeriesWarning,
            stacklevel=1,
        )
    said = header.contradiction(stored.pixel, stored.number_of_frames, frame.transfer_syntax_uid)
    if not said:
        return None
    return ContradictingHeaderError(
        f"study {series.study}, series {series.series}, instance {key.instance}, frame {key.number}: {said}.",
        remedy="The metadata are not of this file: open the series again. If it stays, have the server make them anew;"
        " a file of your own contradicts itself, and has to be mended.",
    )


def refuse_other_byte_order(frame: EncodedFrame, stored: Instance, where: str) -> None:
    """Raise when nobody can say in which order the bytes of a frame are.

    Explicit VR Big Endian is retired, and no media type of DICOMweb (PS3.18 section 8.7.3) is for it: it comes where
    it is stored, or as a wrong label.

    Args:
        frame: As it came.
        stored: What the metadata say of its instance.
        where: Study, series, instance and frame, for messages.

    Raises:
        FrameDecodeError: It is said to be of that transfer syntax, and the metadata name another; or the metadata name
            that, and nothing says what came.
    """
    known, said = stored.available_transfer_syntax_uid, frame.transfer_syntax_uid
    if known == EXPLICIT_VR_BIG_ENDIAN and said is None and frame.header is None:
        raise FrameDecodeError(
            f"{where}: Explicit VR Big Endian ({EXPLICIT_VR_BIG_ENDIAN}) is stored, and the server does not say in"
            " which transfer syntax it came.",
            remedy="Have the server name it beside the media type (transfer-syntax=...), or send whole instances.",
        )
    doubtful = said == EXPLICIT_VR_BIG_ENDIAN and known not in {None, EXPLICIT_VR_BIG_ENDIAN}
    if doubtful and frame.header is None and stored.pixel.bits_allocated > _BITS_OF_A_BYTE:
        raise FrameDecodeError(
            f"{where}: it came as Explicit VR Big Endian ({EXPLICIT_VR_BIG_ENDIAN}), and the metadata say that {known}"
            " is what is stored.",
            remedy="One of them is wrong: have the server's metadata made anew.",
        )


def decoded_lengths(stored: Instance) -> frozenset[int]:
    """Lengths in bytes of frames that somebody may have decoded on the way: of colour that is stored compressed.

    What is deflated lies as it did once it is inflated.
    """
    available = stored.available_transfer_syntax_uid
    if stored.pixel.samples == 1 or available in {None, DEFLATED_IMAGE_FRAME} or is_native(available or ""):
        return frozenset()
    return frozenset(length + padding for length in native_lengths(stored.pixel) for padding in (0, 1))


def doubt_decoded(frame: EncodedFrame, stored: Instance, where: str) -> None:
    """Warn of YCbCr that the server decoded, or raise when nobody can say how its samples lie.

    Attributes of the image describe what is stored. Whoever decodes it may choose another PlanarConfiguration
    (PS3.3 section C.7.6.3.1.3) and another colour model, and metadata that came before say neither.

    Args:
        frame: As it came, of one of the `decoded_lengths`.
        stored: What the metadata say of its instance.
        where: Study, series, instance and frame, for messages.

    Raises:
        FrameDecodeError: It was decoded, and the metadata say that samples lie in planes.
    """
    if frame.header is not None or is_rle(frame.data) or sniff(frame.data) is not None:
        return
    if stored.pixel.planar_configuration == 1:
        raise FrameDecodeError(
            f"{where}: the server decoded it, and the metadata say how samples lie in what is stored: in planes"
            " (PlanarConfiguration 1). Nothing tells whether they still do.",
            remedy="Have the server send the stored frames (transfer-syntax=*), or whole instances.",
        )
    if stored.pixel.photometric_interpretation != "RGB":  # no decoder makes anything else of RGB without loss
        warn_server_decoded()

"""Whether the metadata agree with what comes along with a frame: the header of its file, or its label."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.uids import EXPLICIT_VR_BIG_ENDIAN
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
        remedy="The metadata are not of this file: open the series again; if it stays, have the server make them anew.",
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
        FrameDecodeError: It is said to be of that transfer syntax, and the metadata name another.
    """
    known = stored.available_transfer_syntax_uid
    doubtful = frame.transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN and known not in {None, EXPLICIT_VR_BIG_ENDIAN}
    if doubtful and frame.header is None and stored.pixel.bits_allocated > _BITS_OF_A_BYTE:
        raise FrameDecodeError(
            f"{where}: it came as Explicit VR Big Endian ({EXPLICIT_VR_BIG_ENDIAN}), and the metadata say that {known}"
            " is what is stored.",
            remedy="One of them is wrong: have the server's metadata made anew.",
        )

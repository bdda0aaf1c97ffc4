"""Frames that were cut from files: whether the header of the file agrees with the metadata."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dicomzarr.errors import ContradictingHeaderError, OtherSeriesWarning

if TYPE_CHECKING:
    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.series_state import FrameKey


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
        remedy="The server's metadata are not those of the file: have them made anew.",
    )

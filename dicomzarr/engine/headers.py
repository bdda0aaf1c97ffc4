"""Frames that were cut from files: whether the header of the file agrees with the metadata."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dicomzarr.errors import ContradictingHeaderError, OtherSeriesWarning

if TYPE_CHECKING:
    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.requests import FrameKey


def contradiction(key: FrameKey, frame: EncodedFrame) -> ContradictingHeaderError | None:
    """The error for a frame whose file contradicts the metadata that it would be decoded by; None for all others.

    A file of another study or series is only warned of, once for each opening: archives merge studies.
    """
    header, opening, stored = frame.header, key.opening, key.stored
    if header is None:
        return None
    is_other = header.study not in ("", opening.study) or header.series not in ("", opening.series)
    if is_other and opening.tells("other series"):
        warnings.warn(
            f"Files of series {opening.series}, study {opening.study}, name another series or study:"
            f" {header.series or 'none'}, study {header.study or 'none'}. They are read all the same.",
            OtherSeriesWarning,
            stacklevel=1,
        )
    said = header.contradiction(stored.pixel, stored.number_of_frames, frame.transfer_syntax_uid)
    if not said:
        return None
    return ContradictingHeaderError(
        f"study {opening.study}, series {opening.series}, instance {key.instance}, frame {key.number}: {said}.",
        remedy="The server's metadata are not those of the file: have them made anew.",
    )

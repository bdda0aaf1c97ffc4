"""A frame before it is decoded, wherever it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dicomzarr.dicom.files.file_header import FileHeader


class EncodedFrame(NamedTuple):
    """One frame as it is stored or sent."""

    data: bytes
    """The codestream, or native pixel data."""
    media_type: str
    """The part's media type without parameters, in lower case; empty when the server names none."""
    transfer_syntax_uid: str | None
    """The transfer syntax that the server names, or None. Servers err: the bytes themselves decide."""
    header: FileHeader | None = None
    """What the file says that it was cut from; None where it came by itself."""

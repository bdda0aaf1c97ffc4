"""Frames that lie in one piece in a file that others can read: a URL, an offset and a length say all of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom import uids
from dicomzarr.dicom.files.encapsulated import EncapsulatedFrames
from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.fragments import ITEM_HEADER
from dicomzarr.dicom.files.native_frames import NativeFrames
from dicomzarr.dicom.files.random_access import Span
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.errors import InvalidFileError, UsageError
from dicomzarr.sources.files.instance import frames_of
from dicomzarr.sources.http.urls import safe_url

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.sources.files.instance import FileInstance
    from dicomzarr.sources.files.stores.port import StoredFile

_BYTE: Final = 8
_REMEDY: Final = "Export the series instead: dicomzarr export."


@dataclass(frozen=True, slots=True, eq=False)
class WholeFrames:
    """The frames of an instance as they lie in its file."""

    url: str
    first: int
    """Offset of the DICOM file in what the URL names, which may be an archive; bytes."""
    stored: StoredFrames
    file: StoredFile
    """The DICOM file."""

    @classmethod
    def of(cls, instance: FileInstance) -> WholeFrames:
        """Look where the frames of an instance lie.

        Raises:
            UsageError: Nowhere as they are, or where others cannot read.
            FileError: They cannot be told.
            ServerError: They cannot be read.
        """
        file = instance.file
        if read_file_meta(instance.head).deflated:
            raise UsageError(f"The data set of {file.name} is deflated: no range of it is a frame.", remedy=_REMEDY)
        url = file.url
        if url is None:
            raise UsageError(
                f"There is no URL by which others read {file.name}: it is compressed, deflated in an archive, or in a "
                "place that only the options name.",
                remedy="Unpack it, or give a URL that fsspec knows.",
            )
        if url.startswith(("http://", "https://")) and safe_url(url) != url:
            raise UsageError(
                f"The URL of {file.name} has a query, which may be secret, and references are passed on.",
                remedy="Give URLs without a query.",
            )
        stored = frames_of(instance)
        if stored.sop_instance_uid != instance.uid:
            raise InvalidFileError(f"{file.name} holds another instance.")
        return cls(url, file.place[1], stored, file)

    @property
    def layout(self) -> Hashable:
        """What frames of two files have in common that are coded alike; None where only a look at each tells."""
        frames = self.stored.frames
        return (frames.bits, frames.swapped) if isinstance(frames, NativeFrames) else None

    def place(self, number: int) -> Span:
        """Where a native frame lies in what the URL names; nothing is read.

        Raises:
            InvalidFileError: There is no such frame.
            UsageError: It does not lie there byte by byte.
        """
        frames = self._frames(number)
        assert isinstance(frames, NativeFrames)  # noqa: S101  # see layout
        (span,) = frames.spans(number)
        if frames.bits % _BYTE or span.length * _BYTE != frames.bits:
            raise UsageError(f"Frames of {self.file.name} are packed, several pixels a byte.", remedy=_REMEDY)
        return Span(self.first + span.offset, span.length)

    def read(self, number: int) -> tuple[Span, EncodedFrame]:
        """A frame as it lies there, and where.

        Raises:
            FileError: The file is broken.
            UsageError: It does not lie in one piece.
            ServerError: It cannot be read.
        """
        frames = self._frames(number)
        if isinstance(frames, NativeFrames):
            span = self.place(number)
            (piece,) = frames.spans(number)
            data = bytes(piece.of(self.file))  # in one request, where it is far away
            if len(data) != span.length:
                raise InvalidFileError(f"{self.file.name} ends before frame {number} does.")
            # In the order of the file, and not in that of little endian, as the engine has them cut.
            syntax = uids.EXPLICIT_VR_BIG_ENDIAN if frames.swapped > 1 else frames.transfer_syntax_uid
        else:
            assert isinstance(frames, EncapsulatedFrames)  # noqa: S101  # there are no others
            data, syntax = frames.cut(number), frames.transfer_syntax_uid
            span = self._only_fragment(frames, number, len(data))
        media_type = "application/octet-stream" if is_native(syntax) else ""
        return span, EncodedFrame(data, media_type, syntax, self.stored.header)

    def _only_fragment(self, frames: EncapsulatedFrames, number: int, length: int) -> Span:
        (span,) = frames.spans(number)
        own = span.length - ITEM_HEADER
        if frames.open_end and number == len(frames):  # something else may stand behind it
            own = int.from_bytes(frames.data[span.offset + 4 : span.offset + ITEM_HEADER], "little")
        if own != length:
            raise UsageError(f"Frame {number} of {self.file.name} lies in several fragments.", remedy=_REMEDY)
        return Span(self.first + span.offset + ITEM_HEADER, length)

    def _frames(self, number: int) -> NativeFrames | EncapsulatedFrames:
        frames = self.stored.frames
        if not 1 <= number <= len(frames):
            raise InvalidFileError(f"There are {len(frames)} frames in {self.file.name}.")
        assert isinstance(frames, NativeFrames | EncapsulatedFrames)  # noqa: S101  # there are no others
        return frames

"""What a reply's parts are: encoded frames under their numbers, or something that was not asked for. Pure."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.errors import InvalidReplyError, LoginPageError, TruncatedReplyError, WrongPartsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.files.file_header import FileHeader
    from dicomzarr.dicom.files.part10 import Frames
    from dicomzarr.sources.dicomweb.messages.multipart import Part
    from dicomzarr.sources.http.media_type import MediaType

_PAGE_STARTS = (b"<!doctype html", b"<html")
_BEFORE_PAGES = frozenset(bytes((byte,)) for byte in b"< \t\n\r\x0b\x0c\xef")
"""With what a web page may begin; most frames do not, and need no further look."""
PAGE_HEAD = 64
"""Bytes in which a web page shows itself."""

_BLANK = b" \t\r\n\0"
_XML = "application/dicom+xml"
_ONE_RESULT = re.compile(rb'\{\s*"[0-9A-Fa-f]{8}"\s*:\s*\{')
"""What shows one object to be an instance, a series or a study: its first attribute."""

_OCTET_STREAM = "application/octet-stream"
_PART10 = slice(128, 132)


def refuse_text(media: MediaType, subject: str) -> None:
    """Raise when a media type cannot be that of pixels.

    Raises:
        LoginPageError: It is a web page.
        InvalidReplyError: It is text, JSON or XML.
    """
    if media.is_html:
        raise login_page(subject)
    if media.is_text:
        raise InvalidReplyError(
            f"{media.name} came instead of {subject}.",
            remedy="Check that the URL is that of a DICOMweb service.",
            refuses=True,
        )


def login_page(subject: str) -> LoginPageError:
    """The error for a web page in the place of what was asked."""
    return LoginPageError(
        f"A web page came instead of {subject}.",
        remedy="It is most likely a login form: give credentials, or check that the URL is that of a DICOMweb service.",
    )


def refuse_page(body: bytes, subject: str) -> None:
    """Raise when a body begins as a web page does, whatever its media type.

    Raises:
        LoginPageError: It does.
    """
    if body[:1] in _BEFORE_PAGES and _is_page(body):
        raise login_page(subject)


def _is_page(body: bytes) -> bool:
    """Whether it begins as a web page does, behind blanks and a byte order mark."""
    head = body[:PAGE_HEAD].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return head.startswith(_PAGE_STARTS)


def encoded_frame(body: bytes, own: MediaType, outer: MediaType, subject: str) -> EncodedFrame:
    """Make a frame of a whole part or of a whole single-part body.

    Args:
        body: The bytes.
        own: The media type of the part; of the reply, where it is no multipart.
        outer: The media type of the reply.
        subject: What was asked, for messages.

    Raises:
        LoginPageError: It is a web page.
        InvalidReplyError: It is no frame.
    """
    refuse_text(own, subject)
    refuse_page(body, subject)
    if body[_PART10] == b"DICM":
        raise InvalidReplyError(f"A whole DICOM file came instead of {subject}.", refuses=True)
    return EncodedFrame(body, own.name, own.transfer_syntax or outer.transfer_syntax)


def cut_frame(frames: Frames, number: int, header: FileHeader) -> EncodedFrame:
    """One frame of a Part-10 file, by its number from 1, as the server would have sent it by itself."""
    syntax = frames.transfer_syntax_uid
    return EncodedFrame(frames.cut(number), _OCTET_STREAM if is_native(syntax) else "", syntax, header)


class PartSorter:
    """Gives the parts of one reply their frame numbers.

    A part that names the frame whose turn it is, is given at once. Others are held back until the reply is whole: names
    in another order may turn out to be wrong ones, and parts without a name count by position only if there is one for
    each frame that was asked.

    Args:
        instance: The SOP Instance UID that was asked for.
        numbers: The frame numbers that were asked for, in their order.
        outer: The media type of the reply.
        subject: What was asked, for messages.
    """

    def __init__(self, instance: str, numbers: Sequence[int], outer: MediaType, subject: str) -> None:
        self._instance = instance
        self.numbers = tuple(numbers)
        self._wanted = frozenset(numbers)
        self._outer = outer
        self.subject = subject
        self._count = 0
        self._named: set[int] = set()
        self._held: dict[int, EncodedFrame] = {}
        self._unnamed: list[EncodedFrame] = []
        self._unnamed_count = 0
        self._empty = 0

    def add(self, part: Part) -> tuple[int, EncodedFrame] | None:
        """Take a part; give its frame number and frame, or None when it must wait or is empty.

        Raises:
            WrongPartsError: It is of a frame that was not asked for, or came before.
            InvalidReplyError: It is no frame.
        """
        number, place = part.frame_number, self._count
        self._count += 1
        self._check(number, part.instance)
        frame = encoded_frame(part.body, part.content_type, self._outer, self.subject)
        if not frame.data:
            self._empty += 1
            return None
        if number is None:
            self._unnamed_count += 1
            if len(self._unnamed) < len(self.numbers):  # those beyond have no place, and would fill the memory
                self._unnamed.append(frame)
            return None
        is_next = self.numbers[place : place + 1] == (number,) and not self._held
        self._named.add(number)
        if is_next:
            return number, frame
        self._held[number] = frame
        return None

    def _check(self, number: int | None, instance: str | None) -> None:
        if instance not in (None, self._instance):
            raise WrongPartsError(f"A part of another instance came among {self.subject}.")
        if number is not None and number not in self._wanted:
            raise WrongPartsError(f"Frame {number}, which was not asked for, came among {self.subject}.")
        if number in self._named:
            raise WrongPartsError(f"Frame {number} came twice among {self.subject}.")

    def finish(self) -> list[tuple[int, EncodedFrame]]:
        """The frames that were held back, now that the reply is whole, but for those whose place is in doubt."""
        if self._named:
            return [] if self._unnamed_count else list(self._held.items())  # among others without a name, names err
        if self._empty or self._unnamed_count != len(self.numbers):
            return []
        return list(zip(self.numbers, self._unnamed, strict=True))

    @property
    def are_named(self) -> bool:
        """Whether parts name their frames."""
        return bool(self._named)

    @property
    def summary(self) -> str:
        """How many parts came, for messages."""
        return f"{len(self._named) + self._unnamed_count} parts came, and {self._empty} empty ones"


def json_array(body: bytes, media: MediaType, subject: str) -> bytes:
    """Check that a body has the shape of a JSON array, without parsing it.

    Args:
        body: The whole body.
        media: Its media type, which some servers get wrong.
        subject: What was asked, for messages.

    Returns:
        The array, without what surrounds it.

    Raises:
        LoginPageError: It is a web page.
        TruncatedReplyError: It begins as an array and does not end as one.
        InvalidReplyError: It is something else, as XML, which is the other form of metadata (PS3.18 section F.1).
    """
    text = body.removeprefix(codecs.BOM_UTF8).strip(_BLANK)
    if media.is_html or text[:PAGE_HEAD].lower().startswith(_PAGE_STARTS):
        raise login_page(subject)
    if _XML in media.name + media.parameters.get("type", "").lower():
        remedy = "Have the server offer application/dicom+json."
        raise InvalidReplyError(f"{_XML} came instead of {subject}.", remedy=remedy, refuses=True)
    if text.startswith(b"{") and text.endswith(b"}") and _ONE_RESULT.match(text):
        return b"[" + text + b"]"  # of one result, some servers make no list
    if not text.startswith(b"["):
        raise InvalidReplyError(
            f"{media.name or 'Something'} that is no JSON array came instead of {subject}.",
            remedy="Check that the URL is that of a DICOMweb service.",
        )
    if not text.endswith(b"]"):
        raise TruncatedReplyError(f"The JSON of {subject} ended early, after {len(body)} bytes.")
    return text

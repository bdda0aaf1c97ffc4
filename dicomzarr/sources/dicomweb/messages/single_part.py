"""The one part of a multipart reply that lies in a file (RFC 2046 section 5.1). Pure.

``multipart.MultipartParser`` holds parts in memory; an instance may be larger than that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import MultipartError, TruncatedReplyError, WrongPartsError
from dicomzarr.sources.dicomweb.messages.multipart import boundary_of, parse_headers, part_length
from dicomzarr.sources.dicomweb.messages.replies import refuse_text
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    import mmap
    from collections.abc import Mapping

_HEAD: Final = 16 * 1024
_TAIL: Final = 1024
_LINE_REST: Final = re.compile(rb"--|[ \t]*\r?\n")


def only_part(data: mmap.mmap | bytes, content_type: str, subject: str) -> slice:
    """Where the body of the only part lies, once its frame has been checked to the last boundary.

    Args:
        data: The whole body of the reply.
        content_type: Its Content-Type.
        subject: What was asked, for messages.

    Raises:
        MultipartError: It is no multipart body.
        TruncatedReplyError: It ends before its closing boundary.
        WrongPartsError: It has no part, or several.
        InvalidReplyError: Its part is text or a web page.
    """
    delimiter, start, headers = _opened(data, content_type, subject)
    end, after = _part_end(data, start, delimiter, part_length(headers))
    rest = data[after : after + _TAIL]
    if rest.startswith(b"--"):
        return slice(start, end)
    if rest.partition(b"\n")[1]:
        raise WrongPartsError(f"More than one part came for {subject}.")
    raise _ended_early(subject)


def part_start(data: bytes, content_type: str, subject: str) -> int:
    """The offset at which the body of the first part begins, in the beginning of a multipart body.

    Raises:
        MultipartError: It is no multipart body.
        TruncatedReplyError: More of it is needed.
        InvalidReplyError: The part is text or a web page.
    """
    return _opened(data, content_type, subject)[1]


def _opened(data: mmap.mmap | bytes, content_type: str, subject: str) -> tuple[bytes, int, Mapping[str, str]]:
    """The delimiter, the offset behind the headers of the first part, and these headers."""
    delimiter = b"--" + _boundary(data, content_type)
    start, headers = _headers(data, _after_first_delimiter(data, delimiter, subject), subject)
    refuse_text(MediaType.parse(headers.get("content-type", "")), subject)
    return delimiter, start, headers


def _boundary(data: mmap.mmap | bytes, content_type: str) -> bytes:
    named = MediaType.parse(content_type).parameters.get("boundary", "").encode("latin-1", "replace")
    head = data[:_HEAD].lstrip(b"\r\n")
    found = boundary_of(head, named)
    if not found:
        if head[:2] == b"--"[: len(head)] and b"\n" not in head and len(head) < _TAIL:
            raise TruncatedReplyError("The multipart reply ended within its first line.")
        raise MultipartError("The multipart reply names no boundary and does not begin with one.")
    return found


def _after_first_delimiter(data: mmap.mmap | bytes, delimiter: bytes, subject: str) -> int:
    """The offset behind the line of the first boundary, which a preamble may precede."""
    head = data[:_HEAD]
    found = re.search(rb"(?:\A|\n)" + re.escape(delimiter) + rb"(--)?[ \t]*(\r?\n)?", head)
    if found is None:
        raise _ended_early(subject) if len(head) < _HEAD else MultipartError(f"No boundary begins {subject}.")
    if found[1]:
        raise WrongPartsError(f"Not one part came for {subject}.")
    if not found[2]:
        if len(head) - found.end() <= 1:
            raise _ended_early(subject)
        raise MultipartError("Something else than a line end follows a multipart boundary.")
    return found.end()


def _headers(data: mmap.mmap | bytes, at: int, subject: str) -> tuple[int, Mapping[str, str]]:
    """The offset behind the headers of the part, and the headers."""
    head = data[at : at + _HEAD]
    found = re.search(rb"(?:\A|\n)\r?\n", head)
    if found is None:
        raise _ended_early(subject) if len(head) < _HEAD else MultipartError("The headers of a part are too long.")
    return at + found.end(), parse_headers(head[: found.end()])


def _part_end(data: mmap.mmap | bytes, start: int, delimiter: bytes, length: int | None) -> tuple[int, int]:
    """The offsets of the end of the part and behind the boundary that follows it."""
    if length is not None:
        tail = data[start + length : start + length + len(delimiter) + 2]
        found = re.match(rb"\r?\n?" + re.escape(delimiter), tail)
        if found is not None:
            return start + length, start + length + found.end()
        if start + length + len(delimiter) + 2 > len(data):
            raise TruncatedReplyError("The multipart reply ended before its closing boundary.")
        raise MultipartError(f"No boundary follows the {length} bytes that a part's Content-Length announces.")
    boundary = b"\n" + delimiter
    at = data.find(boundary, start - 1)
    while at >= 0:
        if _LINE_REST.match(data[at + len(boundary) : at + len(boundary) + _TAIL]):
            return max(start, at - (data[at - 1 : at] == b"\r")), at + len(boundary)
        at = data.find(boundary, at + 1)  # content that only begins like the boundary
    raise TruncatedReplyError("The multipart reply ended before its closing boundary.")


def _ended_early(subject: str) -> TruncatedReplyError:
    return TruncatedReplyError(f"The multipart reply for {subject} ended before its closing boundary.")

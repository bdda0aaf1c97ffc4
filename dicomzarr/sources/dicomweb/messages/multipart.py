"""A multipart parser without I/O (RFC 2046 section 5.1): fed with chunks, it gives whole parts."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from dicomzarr.errors import MultipartError, TruncatedReplyError
from dicomzarr.sources.http.content_range import is_piece
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEADER_LIMIT = 16 * 1024
_LINE_LIMIT = 1024
_BOUNDARY_LIMIT = 200  # RFC 2046 says 70; servers exceed it
_FRAME_LOCATION = re.compile(r"(?:^|/)frames/+([0-9]+)/*$", re.IGNORECASE)
_FRAME_DIGITS = 10  # NumberOfFrames is an IS of 32 bits (PS3.5 section 6.2)
_LENGTH_DIGITS = 15
_SINGLE = ("content-length", "content-location")
"""Headers that say which frame a part is, and where it ends: of two that differ, nobody knows which is right."""
_INSTANCE_LOCATION = re.compile(r"(?:^|/)instances/+([^/]+)/", re.IGNORECASE)
_AROUND_LOCATION: Final = " \t\"'<>"
"""What some write around a URL."""
_BOUNDARY_LINE = re.compile(rb"[\r\n]*--([^\r\n]{1,%d}?)[ \t]*\r?\n" % _BOUNDARY_LIMIT)


class Part(NamedTuple):
    """One whole part of a multipart body."""

    headers: Mapping[str, str]
    """Header values by lower-case name."""
    body: bytes
    """The bytes between the part's headers and the next delimiter."""

    @property
    def content_type(self) -> MediaType:
        """The part's own Content-Type."""
        return MediaType.parse(self.headers.get("content-type", ""))

    @property
    def transfer_syntax(self) -> str | None:
        """The transfer syntax UID that the part's own Content-Type names."""
        return self.content_type.transfer_syntax

    @property
    def _location(self) -> str:
        written = self.headers.get("content-location", "").strip(_AROUND_LOCATION)
        return written.partition("#")[0].partition("?")[0]

    @property
    def frame_number(self) -> int | None:
        """The frame number (1-based) that ends the Content-Location; None where it names no single frame.

        Raises:
            MultipartError: The number is longer than any frame's.
        """
        found = _FRAME_LOCATION.search(self._location)
        if found and len(found[1]) > _FRAME_DIGITS:
            raise MultipartError("The Content-Location of a part names an impossible frame number.")
        return int(found[1]) if found else None

    @property
    def instance(self) -> str | None:
        """The SOP Instance UID inside the Content-Location, or None."""
        above, slash, last = self._location.rpartition("/")
        if last and above.rpartition("/")[2].lower() == "instances":
            return unquote(last)  # it names the instance alone
        return _instance_in(above + slash)


@lru_cache(maxsize=128)  # the parts of a reply repeat one value
def _instance_in(location: str) -> str | None:
    found = _INSTANCE_LOCATION.findall(location)  # before it the path of the service may have such a folder too
    return unquote(found[-1]) if found else None


def boundary_of(head: bytes | bytearray, named: bytes) -> bytes:
    """The boundary of a multipart body: as its first line has it, which some servers do not name as it is.

    Args:
        head: The beginning of the body, with its first line.
        named: What the Content-Type names; empty where it names none.

    Returns:
        The boundary, without the dashes before it; empty where there is none.
    """
    line = _BOUNDARY_LINE.match(head)
    found = line[1] if line else b""
    return named if not found or (named and found.startswith(named)) else found


def is_multipart(body: bytes) -> bool:
    """Whether a whole body is multipart, whatever it is called: its first line comes again as its last boundary."""
    boundary = boundary_of(body[:_LINE_LIMIT], b"") if body[:1] in (b"-", b"\r", b"\n") else b""
    return bool(boundary) and body.rstrip(b"\r\n \t").endswith(b"--" + boundary + b"--")


class _State(Enum):
    PREAMBLE = auto()
    AFTER_DELIMITER = auto()
    HEADERS = auto()
    BODY = auto()
    """Without a length: until the next delimiter."""
    COUNTED_BODY = auto()
    AFTER_BODY = auto()
    EPILOGUE = auto()


class MultipartParser:
    """Cuts a multipart body into parts as its chunks arrive.

    Args:
        content_type: The Content-Type of the reply. Where its boundary is none, or another than that in the
            first line of the body, the latter counts.
        most: Bytes that a part may have; None where the whole reply is bounded well enough.
    """

    def __init__(self, content_type: str = "", *, most: int | None = None) -> None:
        self._most = most
        self._boundary = MediaType.parse(content_type).parameters.get("boundary", "").encode("latin-1", "replace")
        self._begun = False
        self._newline = b"\r\n"
        self._buffer = bytearray()
        self._searched = 0  # nothing before this offset needs to be looked at again
        self._state = _State.PREAMBLE
        self._headers: dict[str, str] = {}
        self._body: list[bytes | memoryview] = []
        """Pieces of a counted body, joined once: large ones would be moved again and again in the buffer."""
        self._missing = 0
        """Bytes of it that are still to come."""
        self._length = 0
        self._parts: list[Part] = []
        self._error: MultipartError | None = None

    def feed(self, chunk: bytes) -> list[Part]:
        """Take the next bytes and give the parts that they complete.

        Raises:
            MultipartError: The bytes are no multipart body.
        """
        self._raise_held_back()
        if self._state is _State.EPILOGUE:
            return []
        self._buffer += self._counted(chunk)
        try:
            while self._step():
                pass
        except MultipartError as error:
            # Whole parts before the fault are given first, however the body was cut into chunks.
            self._error = error
        complete, self._parts = self._parts, []
        if not complete:
            self._raise_held_back()
        return complete

    def close(self) -> None:
        """Say that no more bytes will come.

        Raises:
            MultipartError: What followed the last whole part is no multipart body.
            TruncatedReplyError: The closing delimiter has not come.
        """
        self._raise_held_back()
        if self._state is not _State.EPILOGUE:
            raise TruncatedReplyError("The multipart reply ended before its closing boundary.")

    def _raise_held_back(self) -> None:
        if self._error is not None:
            raise self._error

    def _step(self) -> bool:
        """Go one step further; False when that needs more bytes."""
        step = _STEPS.get(self._state)
        return step is not None and step(self)

    def _enter(self, state: _State, consumed: int) -> bool:
        del self._buffer[:consumed]
        self._searched = 0
        self._state = state
        return True

    def _read_preamble(self) -> bool:
        if not self._begun and not self._find_boundary():
            return False
        delimiter = b"--" + self._boundary
        while (at := self._buffer.find(delimiter, self._searched)) >= 0:
            if at == 0 or self._buffer[at - 1] == ord("\n"):
                return self._enter(_State.AFTER_DELIMITER, at + len(delimiter))
            self._searched = at + 1
        self._drop_preamble(len(delimiter))
        return False

    def _drop_preamble(self, delimiter_length: int) -> None:
        """Forget all of the preamble but what may be the start of a delimiter and the byte before it."""
        self._searched = max(self._searched, len(self._buffer) - delimiter_length + 1)
        if self._searched > 1:
            del self._buffer[: self._searched - 1]
            self._searched = 1

    def _find_boundary(self) -> bool:
        """Take the boundary from the first line that is not empty, if it is one; False when that needs more bytes."""
        start = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
        line = bytes(self._buffer[start : start + _LINE_LIMIT])
        if b"\n" not in line and len(line) < _LINE_LIMIT and line[:2] == b"--"[: len(line)]:
            return False
        self._boundary = boundary_of(self._buffer[start : start + _LINE_LIMIT], self._boundary)
        if not self._boundary:
            raise MultipartError("The multipart reply names no boundary and does not begin with one.")
        self._begun = True
        return True

    def _take_whole_parts(self) -> None:
        """Parts of which headers, counted body and the next delimiter are here, in the usual spelling, at once.

        What is cut off or spelled in another way is left for the steps, which take it piece by piece.
        """
        buffer, delimiter, at = self._buffer, b"\r\n--" + self._boundary, 0
        with memoryview(buffer) as view:
            while buffer.startswith(b"\r\n", at):
                end = buffer.find(b"\n\r\n", at + 2, at + 2 + _HEADER_LIMIT) + len(b"\n\r\n")
                block = bytes(view[at + 2 : end])
                if not block or b"\n\n" in block or block[0] in b"\r\n":
                    break
                headers = parse_headers(block)
                length = part_length(headers)
                if length is None or not buffer.startswith(delimiter, end + length):
                    break
                self._bound(length)
                self._parts.append(Part(headers, bytes(view[end : end + length])))
                at = end + length + len(delimiter)
        del buffer[:at]

    def _read_after_delimiter(self) -> bool:
        self._take_whole_parts()
        if self._buffer.startswith(b"--"):
            self._buffer.clear()
            self._state = _State.EPILOGUE
            return False
        end = self._buffer.find(b"\n", 0, _LINE_LIMIT)
        padding = bytes(self._buffer[: end if end >= 0 else _LINE_LIMIT])
        # One dash alone may still become the closing delimiter.
        if padding.strip(b" \t\r") not in (b"", b"-" if end < 0 else b"") or len(padding) >= _LINE_LIMIT:
            raise MultipartError("Something else than a line end follows a multipart boundary.")
        if end < 0:
            return False
        self._newline = b"\r\n" if self._buffer[:end].endswith(b"\r") else b"\n"
        return self._enter(_State.HEADERS, end + 1)

    def _read_headers(self) -> bool:
        size = self._header_size()
        if size is None:
            if len(self._buffer) >= _HEADER_LIMIT:
                raise MultipartError(f"The headers of a part are longer than {_HEADER_LIMIT} bytes.")
            self._searched = max(0, len(self._buffer) - 3)
            return False
        self._headers = parse_headers(bytes(self._buffer[:size]))
        length = part_length(self._headers)
        if length is None:
            return self._enter(_State.BODY, size)
        self._bound(length)
        self._length = self._missing = length
        return self._enter(_State.COUNTED_BODY, size)

    def _header_size(self) -> int | None:
        """Bytes of the header block with the empty line that ends it, or None when that line is yet to come."""
        for empty in (b"\r\n", b"\n"):
            if self._buffer.startswith(empty):
                return len(empty)
        end = None
        limit = _HEADER_LIMIT
        for mark in (b"\n\r\n", b"\n\n"):
            at = self._buffer.find(mark, self._searched, limit)
            if at >= 0:
                end = at + len(mark)
                limit = end  # the other one counts only before it, and not in the pixels
        return end

    def _counted(self, chunk: bytes) -> bytes:
        """Take what a chunk holds of a counted body, and give the rest."""
        if self._state is not _State.COUNTED_BODY:
            return chunk
        taken, self._missing = min(self._missing, len(chunk)), max(0, self._missing - len(chunk))
        self._body.append(memoryview(chunk)[:taken])
        return chunk[taken:]

    def _count_body(self) -> bool:
        if self._missing:
            self._body.append(bytes(self._buffer[: self._missing]))
            taken = len(self._body[-1])
            self._missing -= taken
            del self._buffer[:taken]
        if self._missing:
            return False
        return self._enter(_State.AFTER_BODY, 0)

    def _read_after_body(self) -> bool:
        start = bytes(self._buffer[: len(self._boundary) + 4])
        for before in (b"\r\n--", b"\n--", b"--"):
            delimiter = before + self._boundary
            if start.startswith(delimiter):
                body, self._body = b"".join(self._body), []
                return self._finish_part(body, len(delimiter))
            if delimiter.startswith(start):
                return False
        raise MultipartError(f"No boundary follows the {self._length} bytes that a part's Content-Length announces.")

    def _scan_for_delimiter(self) -> bool:
        delimiter = self._newline + b"--" + self._boundary
        while (at := self._buffer.find(delimiter, self._searched)) >= 0:
            line_goes_on = self._delimiter_line_goes_on(at + len(delimiter))
            if line_goes_on is None:
                self._searched = at
                return False
            if not line_goes_on:
                with memoryview(self._buffer) as view:
                    body = bytes(view[:at])
                return self._finish_part(body, at + len(delimiter))
            self._searched = at + 1
        self._searched = max(self._searched, len(self._buffer) - len(delimiter) + 1)
        self._bound(self._searched)
        return False

    def _bound(self, length: int) -> None:
        if self._most is not None and length > self._most:
            raise MultipartError(f"A part has more than {self._most} bytes.")

    def _delimiter_line_goes_on(self, after: int) -> bool | None:
        """Whether the line holds more than the delimiter, so that it is content; None when that is not known yet."""
        rest = bytes(self._buffer[after : after + _LINE_LIMIT])
        line, newline, _ = rest.partition(b"\n")
        if line.startswith(b"--"):
            return False
        padding = line.strip(b" \t\r")
        if padding in (b"", b"-") and not newline and len(rest) < _LINE_LIMIT:
            return None
        return bool(padding) or not newline

    def _finish_part(self, body: bytes, consumed: int) -> bool:
        self._parts.append(Part(self._headers, body))
        return self._enter(_State.AFTER_DELIMITER, consumed)


_STEPS: Final[dict[_State, Callable[[MultipartParser], bool]]] = {
    _State.PREAMBLE: MultipartParser._read_preamble,  # noqa: SLF001  # its own
    _State.AFTER_DELIMITER: MultipartParser._read_after_delimiter,  # noqa: SLF001
    _State.HEADERS: MultipartParser._read_headers,  # noqa: SLF001
    _State.BODY: MultipartParser._scan_for_delimiter,  # noqa: SLF001
    _State.COUNTED_BODY: MultipartParser._count_body,  # noqa: SLF001
    _State.AFTER_BODY: MultipartParser._read_after_body,  # noqa: SLF001
}
"""What is done in each state but the last."""


def parse_headers(block: bytes) -> dict[str, str]:
    """The headers of a part by lower-case name.

    Raises:
        MultipartError: They are no header lines, or the part is not sent as it is.
    """
    headers: dict[str, str] = {}
    last = ""
    for line in block.decode("latin-1").split("\n"):
        bare = line.strip()
        if bare and last and line[0] in " \t":
            headers[last] += " " + bare
        elif bare:
            name, colon, value = bare.partition(":")
            if not colon:
                raise MultipartError("A header line of a part has no colon.")
            last, value = name.rstrip().lower(), value.lstrip()
            if last in _SINGLE and headers.get(last, value) != value:
                raise MultipartError(f"A part has two headers {last.title()}, which differ.")
            headers[last] = value
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise MultipartError("A part is in a Content-Transfer-Encoding other than binary.")
    if is_piece(headers.get("content-range", "")):
        raise MultipartError("A part is a range of bytes, which nobody asked for.")
    return headers


def part_length(headers: Mapping[str, str]) -> int | None:
    """The Content-Length of a part in bytes, or None where it has none.

    Raises:
        MultipartError: It is no number.
    """
    value = headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS):
        raise MultipartError("The Content-Length of a part is no number of bytes.")
    return int(value)

"""A data set without its longest values: bytes of what is kept, and where in the file the rest lies."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.files.elements import (
    DEEPEST,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    cut_off,
    element_at,
    end_of,
    inside,
)
from dicomzarr.dicom.files.random_access import MOST_BEGINNING, Span
from dicomzarr.errors import InvalidFileError

if TYPE_CHECKING:
    from collections.abc import Container

    from dicomzarr.dicom.files.elements import Element, Encoding
    from dicomzarr.dicom.files.random_access import RandomAccess

LONGEST_VALUE: Final = 2**20
"""Bytes of the longest value that is kept; no attribute is longer that tells what pixels are or where."""

_LONGEST_SEQUENCE: Final = 16
"""A sequence of defined length that is kept without a look into it is so many times as long as a value at most."""

_COPIED_AT_ONCE: Final = 2**20
_LENGTH: Final = 4
"""Bytes of the length in front of each value that may be long (PS3.5 section 7.1)."""

_MOST: Final = 1 << 18  # elements of a data set, beside those in its sequences; real ones stay below a thousand
_FRAGMENTS: Final = frozenset({b"OB", b"OW"})
_UNTOLD: Final = frozenset({b"", b"UN"})


class Excerpt:
    """What is kept of a data set, up to an element that ends it.

    A value that is left out is kept as one of no bytes. A sequence out of which one was left has an undefined length.

    Args:
        data: The file, gone through from its beginning.
        at: Where the data set begins.
        encoding: How it is written.
        longest: Bytes of the longest value that is kept; None for all.
        ends: Tags that end it.

    Raises:
        TruncatedFileError: The data end within an element.
        InvalidFileError: They are no data set, or what is to be kept has no end.
    """

    def __init__(
        self, data: RandomAccess, at: int, encoding: Encoding, longest: int | None, ends: Container[int]
    ) -> None:
        self._data = data
        self._longest = UNDEFINED if longest is None else longest
        self._kept = bytearray()
        self._from = at
        """Where what is kept begins that was not copied yet."""
        self.left_out: dict[str, Span] = {}
        """Where values lie that were left out, by tags, and numbers of items from 0, with slashes between them."""
        self.last: Element | None = None
        """The element that ends it; None where the data end."""
        count, size = 0, len(data)
        while data[at : at + 1]:
            element = element_at(data, at, encoding)
            if element.tag in ends:
                self.last = element
                break
            end = element.start + element.length
            is_short = element.length <= self._longest and end <= size and element.length != UNDEFINED
            at = self._passed(end) if is_short else self._end_of(element, encoding, f"{element.tag:08X}", 0)
            count += 1
            if count > _MOST:
                raise InvalidFileError(f"There are more than {_MOST} data elements in the DICOM data.")
        if at > len(data):  # that of a deflated one is known only now
            raise cut_off(len(data))
        self._copy(at)
        self.data = bytes(self._kept)
        """The bytes of what is kept."""

    def _copy(self, stop: int) -> None:
        self._kept += self._data[self._from : stop]
        self._from = stop
        if len(self._kept) > MOST_BEGINNING:
            raise InvalidFileError(f"No pixel data within {MOST_BEGINNING} bytes of attributes of the DICOM file.")

    def _passed(self, end: int) -> int:
        """Keep all up to an offset; it is copied before the file is read further than a value is long."""
        if end - self._from > min(_COPIED_AT_ONCE, self._longest):
            self._copy(end)
        return end

    def _copy_with_length(self, element: Element, order: str, length: int) -> None:
        """All up to a value, with another length."""
        self._copy(element.start - _LENGTH)
        self._kept += struct.pack(order + "I", length)
        self._from = element.start

    def _leave_out(self, element: Element, order: str, path: str, stop: int, behind: int) -> int:
        self._copy_with_length(element, order, 0)
        self.left_out[path] = Span(element.start, stop - element.start)
        self._from = behind
        return behind

    def _end_of(self, element: Element, encoding: Encoding, path: str, depth: int) -> int:
        """Go over an element."""
        if element.length == UNDEFINED:
            if element.vr not in _FRAGMENTS:
                return self._end_of_items(element, None, encoding, path, depth)
            end = end_of(self._data, element, encoding)
            is_short = end - element.start <= self._longest
            return self._passed(end) if is_short else self._leave_out(element, encoding.order, path, end - 8, end)
        end = element.start + element.length
        if end > len(self._data):
            raise cut_off(len(self._data))
        if element.length <= self._longest:
            return self._passed(end)
        if not _is_sequence(element):
            return self._leave_out(element, encoding.order, path, end, end)
        if element.length <= _LONGEST_SEQUENCE * self._longest:
            return self._passed(end)
        return self._opened(element, encoding, path, depth)

    def _opened(self, element: Element, encoding: Encoding, path: str, depth: int) -> int:
        """Go over a sequence of defined length, which becomes undefined."""
        self._copy_with_length(element, encoding.order, UNDEFINED)
        end = self._end_of_items(element, element.start + element.length, encoding, path, depth)
        self._close(SEQUENCE_END, encoding, end)
        return end

    def _close(self, tag: int, encoding: Encoding, at: int) -> None:
        self._copy(at)
        self._kept += struct.pack(encoding.order + "HHI", tag >> 16, tag & 0xFFFF, 0)

    def _end_of_items(self, element: Element, end: int | None, encoding: Encoding, path: str, depth: int) -> int:
        """Go over the items of a sequence up to where it ends, or to its delimiter."""
        if depth == DEEPEST:
            raise InvalidFileError(f"Sequences are nested more than {DEEPEST} times in the DICOM data.")
        inner, at, number = inside(element, encoding), element.start, 0
        while at != end:
            item = element_at(self._data, at, inner)
            if end is None and item.tag == SEQUENCE_END:
                return item.start
            if item.tag != ITEM or (end is not None and at > end):
                raise InvalidFileError(f"The sequence of DICOM items is broken at byte {at}.")
            at = self._end_of_item(item, inner, f"{path}/{number}/", depth)
            number += 1
        return at

    def _end_of_item(self, item: Element, encoding: Encoding, path: str, depth: int) -> int:
        end = None if item.length == UNDEFINED else item.start + item.length
        if end is not None and item.length <= self._longest:
            if end > len(self._data):
                raise cut_off(len(self._data))
            return self._passed(end)
        if end is not None:
            self._copy_with_length(item, encoding.order, UNDEFINED)
        at = item.start
        while at != end:
            element = element_at(self._data, at, encoding)
            if end is None and element.tag == ITEM_END:
                return element.start
            if element.tag in {ITEM, SEQUENCE_END, ITEM_END} or (end is not None and at > end):
                raise InvalidFileError(f"The sequence of DICOM items is broken at byte {at}.")
            at = self._end_of(element, encoding, f"{path}{element.tag:08X}", depth + 1)
        self._close(ITEM_END, encoding, at)
        return at


def _is_sequence(element: Element) -> bool:
    """Whether a value of defined length holds items, as whoever reads the data set takes it."""
    if element.vr not in _UNTOLD:
        return element.vr == b"SQ"
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415  # of long values that do not tell it

    try:
        return not element.tag >> 16 & 1 and dictionary_VR(element.tag) == "SQ"
    except KeyError:
        return False

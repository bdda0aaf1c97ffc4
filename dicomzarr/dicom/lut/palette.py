"""Palettes: stored values as indices of colours (PS3.3 sections C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.lut.lookup import LookupTable
from dicomzarr.dicom.model.binary import invalid_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from dicomzarr.dicom.lut.lookup import LutDescriptor
    from dicomzarr.errors import InvalidAttributeError

_BYTE: Final = 8
_WORD: Final = 16
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
"""Opcodes of segments, PS3.3 section C.7.9.2."""
_OFFSET_BYTES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """The colour of each stored value; `build_palette` makes one of tables as they are stored."""

    red: LookupTable
    green: LookupTable
    blue: LookupTable
    """The three tables have entries of one type, and span its whole range."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the colours: u1 or <u2."""
        return self.red.entries.dtype

    def state(self) -> Iterator[bytes]:
        """What tells it from other palettes: see `cell_state`."""
        for table in (self.red, self.green, self.blue):
            yield from table.state()

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The colours of these stored values.

        Args:
            pixels: Integers of the shape (1, rows, columns).

        Returns:
            Red, green and blue, of the shape (3, rows, columns) and type ``dtype``.
        """
        return np.stack([table.apply(pixels[0]) for table in (self.red, self.green, self.blue)])


def build_palette(
    red: LookupTable,
    green: LookupTable,
    blue: LookupTable,
) -> Palette:
    """Makes a palette whose colours span the whole range of their type.

    The type is u1 where all descriptors say 8 bits, else <u2. The standard wants entries to span their 16 bits
    (PS3.3 section C.7.6.3.1.6); files have tables with less. Where no entry of any of the three is above 255, 8 bits
    are meant, and become 16 as the standard says, with the same value in both bytes; likewise where the descriptors
    say 9 to 15 bits and no entry has more. Where they say 8 bits and an entry has more, all are rounded to 8.

    Args:
        red: As `read_table` or `read_segmented_table` gives it; so the others.
        green: As red.
        blue: As red.
    """
    tables = (red, green, blue)
    bits = _BYTE if all(table.bits <= _BYTE for table in tables) else _WORD
    red, green, blue = (_spanning(table, _bits_meant(table.bits, tables), bits) for table in tables)
    return Palette(red, green, blue)


def _bits_meant(described: int, tables: Iterable[LookupTable]) -> int:
    """Bits whose whole range the entries span, of all tables whose descriptors give so many."""
    peak = max(int(table.entries.max()) for table in tables if table.bits == described)
    return next(bits for bits in (_BYTE, described, _WORD) if peak < 1 << bits)


def _spanning(table: LookupTable, meant: int, bits: int) -> LookupTable:
    """A table whose entries span ``bits`` bits, from one where they span ``meant``."""
    dtype = np.dtype(f"<u{bits // 8}")
    if meant == bits:
        return replace(table, entries=table.entries.astype(dtype, copy=False), bits=bits)
    scale = ((1 << bits) - 1) / ((1 << meant) - 1)
    return replace(table, entries=np.rint(table.entries * scale).astype(dtype), bits=bits)


def read_segmented_table(
    descriptor: LutDescriptor, octets: npt.NDArray[np.uint8], *, name: str, instance: str
) -> LookupTable:
    """Expands a table that is stored in segments (PS3.3 section C.7.9.2).

    The work is bounded: each segment must add an entry at least, and all of them no more than the descriptor says.
    Points of a line are rounded to the next whole number, halves to the even one.

    Args:
        descriptor: Number and size of the entries; the numbers in segments are as large.
        octets: Little-endian bytes, one for each element.
        name: The keyword of the table's data, for messages.
        instance: SOP Instance UID, for messages.

    Raises:
        InvalidAttributeError: A segment is of no known kind, empty, cut off or refers to no segment; a line starts
            nowhere; or the segments make more or fewer entries than the descriptor says.
    """
    expansion = _Expansion(descriptor, octets, name, instance)
    entries = np.array(expansion.run(), expansion.elements.dtype)
    return LookupTable(descriptor.first, entries, descriptor.bits)


class _Expansion:
    """Segments on their way to entries; a place is the index of an element, of one byte or two."""

    def __init__(self, descriptor: LutDescriptor, octets: npt.NDArray[np.uint8], name: str, instance: str) -> None:
        self._count = descriptor.count
        self._width = 1 if descriptor.bits <= _BYTE else 2
        self._octets = octets[: octets.size // self._width * self._width]
        self.elements: npt.NDArray[Any] = self._octets.view(f"<u{self._width}")
        self._name, self._instance = name, instance
        self._entries: list[int] = []

    def run(self) -> list[int]:
        place = 0
        while place + 1 < self.elements.size:  # a single element at the end is padding
            place = self._expand(place)
        if len(self._entries) != self._count:
            raise self._invalid(f"has segments for {len(self._entries)} entries, not for {self._count}")
        return self._entries

    def _expand(self, place: int, *, copied: bool = False) -> int:
        """Expands the segment at a place, and gives the place of the next."""
        opcode, length = self._take(place, 2)
        if length == 0:
            raise self._invalid(f"has an empty segment at byte {place * self._width}")
        if opcode == _DISCRETE:
            self._check_room(length)
            self._entries += self._take(place + 2, length)
            return place + 2 + length
        if opcode == _LINEAR:
            self._add_line(length, *self._take(place + 2, 1))
            return place + 3
        if opcode == _INDIRECT and not copied:
            return self._copy(place + 2, segments=length)
        within = " within an indirect one" if copied else ""
        raise self._invalid(f"has a segment of the kind {opcode}{within} at byte {place * self._width}")

    def _add_line(self, length: int, end: int) -> None:
        """A straight line from the last entry to ``end``, which it includes (PS3.3 section C.7.9.2.2)."""
        if not self._entries:
            raise self._invalid("begins with a linear segment, which has nothing to start from")
        self._check_room(length)
        start = self._entries[-1]
        points = start * length + (end - start) * np.arange(1, length + 1)
        self._entries += np.rint(points / length).astype(int).tolist()

    def _copy(self, place: int, segments: int) -> int:
        """Expands segments from elsewhere: 32 bits say at which byte they begin (PS3.3 section C.7.9.2.3)."""
        after = place + _OFFSET_BYTES // self._width
        self._take(place, after - place)
        offset = int.from_bytes(self._octets[place * self._width : after * self._width].tobytes(), "little")
        if offset % self._width:
            raise self._invalid(f"has an indirect segment that refers to byte {offset}, within a word")
        source = offset // self._width
        for _ in range(segments):
            source = self._expand(source, copied=True)
        return after

    def _take(self, place: int, length: int) -> list[int]:
        if place + length > self.elements.size:
            raise self._invalid(
                f"needs {(place + length) * self._width} bytes for its segments, found {self._octets.size}"
            )
        taken: list[int] = self.elements[place : place + length].tolist()
        return taken

    def _check_room(self, length: int) -> None:
        if len(self._entries) + length > self._count:
            raise self._invalid(f"has segments for more than {self._count} entries")

    def _invalid(self, problem: str) -> InvalidAttributeError:
        return invalid_content(self._instance, self._name, problem)

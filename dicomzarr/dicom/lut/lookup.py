"""Lookup tables from stored values to others: modality tables and each colour of a palette."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.model.binary import invalid_content
from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dicomzarr.dicom.model.json_model import Leaf

_WORDS: Final = 2**16
_SIGN: Final = 2**15
_BYTE: Final = 8
_BITS: Final = range(8, 17)
"""Bits of an entry; the standard asks for 8 or 16 mostly, and files have those between."""


@dataclass(frozen=True, slots=True)
class LutDescriptor:
    """The format of a table (PS3.3 sections C.11.1.1.1 and C.7.6.3.1.5)."""

    count: int
    """Entries: 1 to 65536."""
    first: int
    """The stored value that the first entry is for."""
    bits: int
    """Bits of an entry: 8 to 16."""


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """What each stored value stands for."""

    first: int
    """The stored value that the first entry is for; what is below goes there too."""
    entries: npt.NDArray[Any]
    """One dimension, of the type u1 or <u2; what is above the last goes there too."""
    bits: int
    """Bits of an entry as the descriptor says; single entries may have more."""

    @property
    def last(self) -> int:
        """The stored value that the last entry is for."""
        return self.first + self.entries.size - 1

    def state(self) -> Iterator[bytes]:
        """What tells it from other tables: see `cell_state`."""
        yield repr((self.first, self.entries.dtype.str)).encode()
        yield self.entries.tobytes()

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The entries for these stored values.

        Args:
            pixels: Integers, in any shape.

        Returns:
            An array of that shape and the type of ``entries``.
        """
        limits = np.iinfo(pixels.dtype)
        low, high = (min(max(end, limits.min), limits.max) for end in (self.first, self.last))
        places = np.clip(pixels, low, high).astype(np.intp)  # clipped first, as 64 bits would wrap
        places -= self.first
        found: npt.NDArray[Any] = self.entries.take(places, mode="clip")
        return found


def read_descriptor(leaf: Leaf, *, signed: bool, name: str, instance: str) -> LutDescriptor:
    """Types a descriptor.

    One VR stands for all three numbers, so servers show the first two with a sign or without, as it happens: the
    number of entries never has one, the first value mapped has one if stored values do.

    Args:
        leaf: Its three numbers.
        signed: What the table is applied to may be negative: PixelRepresentation (0028,0103) is 1.
        name: The attribute's keyword, for messages.
        instance: SOP Instance UID, for messages.

    Raises:
        InvalidAttributeError: These are no three numbers that describe a table.
    """
    count, first, bits = _three_words(leaf, name, instance)
    if bits not in _BITS:
        raise invalid_content(instance, name, f"should give 8 to 16 bits for an entry, found {bits}")
    first %= _WORDS
    return LutDescriptor(count % _WORDS or _WORDS, first - _WORDS if signed and first >= _SIGN else first, bits)


def _three_words(leaf: Leaf, name: str, instance: str) -> tuple[int, int, int]:
    try:
        numbers = AttributeReader(instance).numbers(leaf, name, 3) or ()
    except InvalidAttributeError:  # its message quotes what is there
        numbers = ()
    match [int(number) for number in numbers if number.is_integer() and -_SIGN <= number <= _WORDS]:
        case [count, first, bits]:
            return count, first, bits
    raise invalid_content(instance, name, "should be three whole numbers of 16 bits")


def read_table(descriptor: LutDescriptor, octets: npt.NDArray[np.uint8], *, name: str, instance: str) -> LookupTable:
    """Reads the entries of a table.

    The length tells how they are stored, whatever the descriptor says: one in a byte, two of which make a word, or one
    in a word, as some do with entries of 8 bits too (PS3.3 section C.11.1.1.1). Nothing is scaled or masked.

    Args:
        descriptor: Number and size of the entries.
        octets: Little-endian bytes, one for each element.
        name: The keyword of the table's data, for messages.
        instance: SOP Instance UID, for messages.

    Returns:
        A table with entries of type u1, or <u2 where they are stored in words and meant to have, or have, more than
        eight bits.

    Raises:
        InvalidAttributeError: The length fits neither way.
    """
    count, size = descriptor.count, octets.size
    if size == 2 * count:
        entries = _narrowed(octets.view("<u2"), descriptor.bits)
    elif size in {count, count + count % 2}:
        entries = octets[:count]
    else:
        raise invalid_content(
            instance, name, f"should have {count} entries, in {count} or {2 * count} bytes, found {size} bytes"
        )
    return LookupTable(descriptor.first, entries, descriptor.bits)


def _narrowed(words: npt.NDArray[np.uint16], bits: int) -> npt.NDArray[Any]:
    """Entries of eight bits that were stored one in a word as what they are."""
    return words.astype(np.uint8) if bits <= _BYTE and words.max() < 1 << _BYTE else words

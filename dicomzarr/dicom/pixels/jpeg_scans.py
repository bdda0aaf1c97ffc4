"""The entropy-coded data of a JPEG (ITU-T T.81 Annex B): its units, and whether its markers are all there."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.pixels.segments import MOST_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

START_OF_SCAN: Final = 0xDA
END_OF_IMAGE: Final = 0xD9
_SCAN_MARKER: Final = bytes((0xFF, START_OF_SCAN))
_RESTARTS: Final = range(0xD0, 0xD8)
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # DHT DAC DQT DNL DRI COM APPn
_MARKER: Final = re.compile(rb"\xff([^\x00\xff])")
_LAST_COEFFICIENT: Final = 63
_TALLEST: Final = 65500  # rows that libjpeg takes
# Long enough for several units, and no padding: neither zeros nor ones only.
SURPLUS: Final = bytes.fromhex("5aa53cc396695aa53cc396695aa53cc3")
# Where but one bit lacks, one of the two differs from the zeros that a decoder makes up.
OTHER_SURPLUS: Final = bytes.fromhex("a55ac33c6996a55ac33c6996a55ac33c")


@dataclass(frozen=True)
class JpegScans:
    """How the scans of one JPEG or JPEG Lossless codestream are laid out; one for all that have the same header."""

    rows: int
    """Rows of pixels."""
    columns: int
    """Columns of pixels."""
    identifiers: bytes
    """One for each component."""
    sampling: tuple[tuple[int, int], ...]
    """Horizontal and vertical sampling factor of each component."""
    unit: tuple[int, int]
    """Rows and columns of one Minimum Coded Unit of a single scan, in pixels (T.81 section A.2)."""
    progressive: bool
    """Coefficients are refined from scan to scan."""
    predictor: int
    """Of the lossless process, 1 to 7; 0 for DCT."""
    point_transform: int
    """Low bits that the lossless process leaves out."""
    restart_interval: int
    """Units between restart markers; 0 for none."""
    frame_header: int
    """Offset of the parameters of the frame header in bytes."""
    first_scan: int
    """Offset of the first scan header's parameters in bytes."""
    start: int
    """Offset of the first entropy-coded byte."""
    components_in_scan: int
    """Components of the first scan."""

    @cached_property
    def is_one_scan(self) -> bool:
        """Everything is in one scan, unit by unit from the top left, and nothing is refined later."""
        return not self.progressive and self.components_in_scan == len(self.identifiers)

    @cached_property
    def units(self) -> tuple[int, int]:
        """Rows and columns of units of a single scan."""
        height, width = self.unit
        return (-(-self.rows // height), -(-self.columns // width))

    @cached_property
    def padded_rows(self) -> int:
        """Rows of pixels that whole units hold."""
        return self.units[0] * self.unit[0]

    @cached_property
    def has_rows_apart(self) -> bool:
        """A decoder can be made to add ``rows_when_taller`` below the last without a change to those above.

        Where chroma is halved vertically it cannot: the last rows are interpolated with those below them.
        """
        return len({v for _, v in self.sampling}) == 1 and self.can_be_taller

    @cached_property
    def can_be_taller(self) -> bool:
        """A header can tell of ``rows_when_taller``, and a decoder takes it."""
        return self.rows_when_taller <= _TALLEST

    @cached_property
    def rows_when_taller(self) -> int:
        """Rows of pixels with at least two units more than there are, or with two rows more if lossless."""
        return self.padded_rows + self.unit[0] * (1 if self.units[1] > 1 and not self.predictor else 2)

    def taller(self, data: bytes) -> bytes:
        """The codestream with a header that tells of ``rows_when_taller``."""
        at = self.frame_header + 1  # behind the precision
        return data[:at] + self.rows_when_taller.to_bytes(2, "big") + data[at + 2 :]

    def count(self, data: bytes, most: int) -> int:
        """How many scans there are.

        Raises:
            ValueError: There are more than so many.
        """
        if self.is_one_scan:
            return 1
        found = 1 + data.count(_SCAN_MARKER, self.start)  # none too few: some may be within tables
        if found > most:
            raise ValueError(f"it has more than {most} scans")
        return found

    def check(self, data: bytes) -> None:
        """Look whether restart markers, scans and the end are all there.

        Raises:
            ValueError: Something is missing, or there that cannot be; says what.
        """
        if not self.is_one_scan:
            self._check_scans(data)
        elif self.restart_interval:
            self._check_restarts(data)
        else:
            first = _MARKER.search(data, self.start)
            if first is None or data[first.end() - 1] != END_OF_IMAGE:
                deque(self._markers(data), maxlen=0)

    def with_surplus(self, data: bytes, surplus: bytes = SURPLUS) -> bytes:
        """The codestream with useless bytes behind each run of entropy-coded data.

        A decoder that finds all units before does not look at them; one that lacks some takes them for units.
        """
        pieces = []
        last = 0
        entropy_coded = True
        for at, code in self._markers(data):
            if entropy_coded:
                end = _before_fill(data, at)
                pieces += [data[last:end], surplus]
                last = end
            entropy_coded = code in _RESTARTS or code == START_OF_SCAN
        return b"".join((*pieces, data[last:]))

    def closed(self, data: bytes) -> bytes:
        """The codestream with an end marker, which some writers leave out, and without what may stand for lost data."""
        data = data.rstrip(b"\0")
        return data[: _before_fill(data, len(data))] + bytes((0xFF, END_OF_IMAGE))

    def without_padding(self, data: bytes) -> bytes:
        """The codestream without zeros between its last unit and its end marker, of which some writers add some."""
        end = next(at for at, code in self._markers(data) if code == END_OF_IMAGE)
        return data[: _before_fill(data, end)].rstrip(b"\0") + data[end:]

    @cached_property
    def end(self) -> tuple[int, int]:
        """Row and column of the middle of the last unit of a single scan."""
        rows, columns = self.ends()
        return int(rows[-1]), int(columns[-1])

    def ends(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Rows and columns, an array each, of the middle of the last unit of each restart interval of a single scan."""
        return _ends(self.rows, self.columns, self.unit, self.restart_interval)

    def _markers(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yields where each marker from the first scan on lies, and its code; the end of image last."""
        at, tables = self.start, 0
        while (found := _MARKER.search(data, at)) is not None:
            at = found.end()
            code = data[at - 1]
            yield found.start(), code
            if code == END_OF_IMAGE:
                return
            if code == START_OF_SCAN or code in _TABLES:
                at += int.from_bytes(data[at : at + 2], "big")
                tables += 1
                if tables > MOST_SEGMENTS:
                    raise ValueError("it has too many marker segments")
            elif code not in _RESTARTS:
                raise ValueError(f"marker FF{code:02X} stands within a scan")
        raise ValueError("its end marker is missing")

    def _check_restarts(self, data: bytes) -> None:
        down, across = self.units
        expected = (down * across - 1) // self.restart_interval
        in_order = bytes(_RESTARTS) * (expected // len(_RESTARTS) + 1)
        codes = b"".join(_MARKER.findall(data, self.start)).partition(b"\xd9")[0]
        if codes in (in_order[:expected], in_order[: expected + 1]):  # some writers end with one more
            return
        if len(codes) > expected + MOST_SEGMENTS:
            raise ValueError(f"of {expected} restart markers it has {len(codes)}")
        found = [code for _, code in self._markers(data) if code in _RESTARTS]
        if bytes(found) not in (in_order[:expected], in_order[: expected + 1]):
            raise ValueError(f"of {expected} restart markers it has {len(found)}, or not in their order")

    def _check_scans(self, data: bytes) -> None:
        """Each component must be there, and of a progressive one every bit of every coefficient."""
        later = [at for at, code in self._markers(data) if code == START_OF_SCAN]
        bits_left = {(each, k): 1 for each in self.identifiers for k in range(_LAST_COEFFICIENT + 1)}
        for at in (self.first_scan, *(place + 4 for place in later)):
            end = at + int.from_bytes(data[at - 2 : at], "big") - 2
            if end > len(data) or end - at != 4 + 2 * data[at]:
                raise ValueError("a scan header has the wrong length")
            components = data[at + 1 : end - 3 : 2]
            first, last, approximation = data[end - 3 : end]
            low = approximation & 15 if self.progressive else 0
            band = range(first, last + 1) if self.progressive else range(_LAST_COEFFICIENT + 1)
            bits_left.update({(each, k): low for each in components for k in band})
        if any(bits_left.values()):
            raise ValueError("scans are missing")


@lru_cache(maxsize=64)
def _ends(
    rows: int, columns: int, unit: tuple[int, int], restart_interval: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    height, width = unit
    across = -(-columns // width)
    total = across * -(-rows // height)
    every = restart_interval or total
    numbers = np.append(np.arange(every, total, every), total) - 1
    down, right = np.divmod(numbers, across)
    return np.minimum(down * height + height // 2, rows - 1), np.minimum(right * width + width // 2, columns - 1)


def _before_fill(data: bytes, at: int) -> int:
    """Where the fill bytes begin that precede a marker (T.81 section B.1.1.2)."""
    while data[at - 1] == 0xFF:  # noqa: PLR2004  # as said
        at -= 1
    return at

"""Whether the header of a Part-10 file says of its pixels what the metadata say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.pixels import possible_bits
from dicomzarr.dicom.pixels.syntax_table import TRANSFER_SYNTAXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.dicom.pixels.pixels import PixelDescription

NUMBER_OF_FRAMES: Final = "NumberOfFrames"
COUNTED_FRAMES: Final = "The number of frames"
"""Of a file that does not say how many there are, and has pixels or a table of so many."""

_CELLS: Final = frozenset({Codec.NATIVE, Codec.RLE, Codec.DEFLATED})
"""Codecs that keep stored cells as they are."""


@dataclass(frozen=True, slots=True, eq=False)
class FileHeader:
    """What a file says of itself; what it lacks contradicts nothing."""

    study: str
    """StudyInstanceUID (0020,000D); empty where it is absent."""
    series: str
    """SeriesInstanceUID (0020,000E); empty where it is absent."""
    photometric_interpretation: str
    """PhotometricInterpretation (0028,0004); empty where it is absent."""
    numbers: Mapping[str, int]
    """Those of Rows, Columns, SamplesPerPixel and so on that it has, by keyword, and how many frames there are."""
    _found: dict[tuple[PixelDescription, int, str | None], str] = field(default_factory=dict, repr=False)
    """What was found before: each frame of a file asks the same."""

    def contradiction(self, pixel: PixelDescription, number_of_frames: int, uid: str | None) -> str:
        """The first attribute that decoding depends on and that differs, with both values; empty where none does.

        Args:
            pixel: What the metadata say, or imply where they lack an attribute.
            number_of_frames: As above.
            uid: The transfer syntax of the file.
        """
        asked = pixel, number_of_frames, uid
        if asked not in self._found:
            self._found[asked] = self._contradiction(*asked)
        return self._found[asked]

    def _contradiction(self, pixel: PixelDescription, number_of_frames: int, uid: str | None) -> str:
        stored, high = (self.numbers.get(name) for name in ("BitsStored", "HighBit"))
        bits = dict(zip(("BitsStored", "HighBit"), possible_bits(stored, high, pixel.bits_allocated), strict=True))
        numbers = {name: bits.get(name, number) for name, number in self.numbers.items()}
        for name, expected in self._expected(pixel, number_of_frames, uid):
            found = numbers.get(name, expected)
            if found != expected:
                return f"{name} is {found} in the file and {expected} in the metadata"
        kind = self.photometric_interpretation
        converted = kind == "YBR_FULL" != pixel.photometric_interpretation
        spared = pixel.photometric_interpretation == "YBR_FULL" != kind
        # Servers that decode lossy colour change its model: only what is converted, or is not, must be alike.
        if kind and pixel.samples > 1 and _keeps_cells(uid) and (converted or spared):
            expected_kind = pixel.photometric_interpretation
            return f"PhotometricInterpretation is {kind} in the file and {expected_kind} in the metadata"
        return ""

    def _expected(self, pixel: PixelDescription, number_of_frames: int, uid: str | None) -> Iterator[tuple[str, int]]:
        yield NUMBER_OF_FRAMES, number_of_frames
        yield COUNTED_FRAMES, number_of_frames
        yield "Rows", pixel.rows
        yield "Columns", pixel.columns
        yield "SamplesPerPixel", pixel.samples
        yield "BitsAllocated", pixel.bits_allocated
        if pixel.floating:
            return
        yield "BitsStored", pixel.bits_stored
        if pixel.samples == 1:
            yield "PixelRepresentation", int(pixel.signed)
        if _keeps_cells(uid):
            yield "HighBit", pixel.high_bit
        if pixel.samples > 1 and _codec(uid) is Codec.NATIVE:
            yield "PlanarConfiguration", pixel.planar_configuration


def _codec(uid: str | None) -> Codec | None:
    found = TRANSFER_SYNTAXES.get(uid or "")
    return None if found is None else found.codec


def _keeps_cells(uid: str | None) -> bool:
    return _codec(uid) in _CELLS

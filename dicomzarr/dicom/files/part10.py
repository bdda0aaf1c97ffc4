"""Part-10 files (PS3.10 section 7): who they are, and where their frames lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from dicomzarr.dicom import uids
from dicomzarr.dicom.files.elements import (
    EXPLICIT_LITTLE,
    UNDEFINED,
    Element,
    Encoding,
    cut_off,
    element_at,
    elements,
    end_of,
)
from dicomzarr.dicom.files.file_header import FileHeader
from dicomzarr.dicom.files.fragments import Fragments, first_fragments, read_fragments
from dicomzarr.dicom.files.native_frames import NativeFrames, native_frames
from dicomzarr.dicom.pixels.syntax import transfer_syntax
from dicomzarr.errors import InvalidFileError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"
_META_GROUP: Final = 0x0002
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_NOTHING: Final = memoryview(b"")

PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
_PIXELS: Final = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})

_SOP_INSTANCE_UID: Final = 0x00080018
_STUDY_INSTANCE_UID: Final = 0x0020000D
_SERIES_INSTANCE_UID: Final = 0x0020000E
_SAMPLES_PER_PIXEL: Final = 0x00280002
_PLANAR_CONFIGURATION: Final = 0x00280006
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_NUMBER_OF_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_PIXEL_REPRESENTATION: Final = 0x00280103
_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_READ: Final = frozenset(
    {
        *(_SOP_INSTANCE_UID, _SAMPLES_PER_PIXEL, _PHOTOMETRIC_INTERPRETATION, _NUMBER_OF_FRAMES),
        *(_ROWS, _COLUMNS, _BITS_ALLOCATED, _EXTENDED_OFFSET_TABLE),
        *(_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID, _PLANAR_CONFIGURATION),
        *(_BITS_STORED, _HIGH_BIT, _PIXEL_REPRESENTATION),
    }
)

_NUMBERS: Final = {
    "Rows": _ROWS,
    "Columns": _COLUMNS,
    "SamplesPerPixel": _SAMPLES_PER_PIXEL,
    "BitsAllocated": _BITS_ALLOCATED,
    "BitsStored": _BITS_STORED,
    "HighBit": _HIGH_BIT,
    "PixelRepresentation": _PIXEL_REPRESENTATION,
    "PlanarConfiguration": _PLANAR_CONFIGURATION,
}

_LONGEST_TEXT: Final = 130
"""Bytes of the longest text that is read, a UID as servers list it (see `uids.is_uid`), with its padding."""

_NATIVE: Final = frozenset(
    {
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)


class FileMeta(NamedTuple):
    """The File Meta Information (PS3.10 section 7.1), as far as it is needed."""

    transfer_syntax_uid: str
    end: int
    """Offset in bytes behind it, where the data set begins."""

    def encoding(self, data: memoryview, at: int) -> Encoding:
        """How the data set is written that begins at an offset; some files write VRs, or none, against their syntax."""
        vr = bytes(data[at + 4 : at + 6])
        written = vr.isalpha() and vr.isupper()
        return Encoding(explicit=written, big_endian=self.transfer_syntax_uid == uids.EXPLICIT_VR_BIG_ENDIAN)

    @property
    def deflated(self) -> bool:
        """The data set is to be inflated (RFC 1951) before it can be read."""
        return self.transfer_syntax_uid == uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


class Frames(Protocol):
    """The frames of one instance, to be cut out by their numbers."""

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax in which they are cut out."""

    def __len__(self) -> int:
        """How many there are."""

    def cut(self, number: int) -> bytes:
        """One frame, by its number from 1, as a part of a DICOMweb reply would hold it."""


class StoredFrames(NamedTuple):
    """What a Part-10 file holds."""

    sop_instance_uid: str
    frames: Frames
    header: FileHeader


def read_file_meta(data: memoryview) -> FileMeta:
    """Read the File Meta Information.

    Raises:
        InvalidFileError: The bytes are no Part-10 file, or name no transfer syntax.
        TruncatedFileError: They end within it.
    """
    if not _MAGIC.startswith(bytes(data[_PREAMBLE : _PREAMBLE + len(_MAGIC)])):
        raise InvalidFileError("What came is no DICOM file: DICM does not stand at byte 128.")
    at = _PREAMBLE + len(_MAGIC)
    syntax = ""
    while _group_at(data, at) == _META_GROUP:
        element = element_at(data, at, EXPLICIT_LITTLE)
        at = end_of(data, element, EXPLICIT_LITTLE)
        if element.tag == _TRANSFER_SYNTAX_UID:
            syntax = _text(data[element.start : at])
    if not syntax:
        raise InvalidFileError("The DICOM file names no transfer syntax.")
    return FileMeta(syntax, at)


def _group_at(data: memoryview, at: int) -> int:
    if at + 2 > len(data):
        raise cut_off(len(data))
    return int.from_bytes(data[at : at + 2], "little")


def header_end(data: memoryview, at: int, meta: FileMeta) -> int | None:
    """Where the attributes of a data set end and its pixel data begin, or None where no pixel data are in the bytes.

    Args:
        data: The file or its data set, which may end before the pixel data do.
        at: Where the data set begins.
        meta: The File Meta Information.

    Raises:
        TruncatedFileError: The bytes end within an attribute.
        InvalidFileError: They are no data set.
    """
    found = elements(data, at, meta.encoding(data, at))
    return next((element.at for element in found if element.tag in _PIXELS), None)


def find_frames(data: memoryview, at: int, meta: FileMeta) -> StoredFrames:
    """Where the frames of a data set lie.

    Args:
        data: The file; or its data set alone, as a deflated one is inflated.
        at: Where the data set begins.
        meta: The File Meta Information.

    Raises:
        TruncatedFileError: The data end early.
        InvalidFileError: There are no pixels, or their frames cannot be told apart.
        UnsupportedTransferSyntaxError: They are in a transfer syntax that cannot be decoded: a film, say.
    """
    encoding = meta.encoding(data, at)
    values: dict[int, memoryview] = {}
    pixels = None
    for element in elements(data, at, encoding):
        if element.tag in _PIXELS:
            pixels = element
            break
        if element.tag in _READ and element.length != UNDEFINED:
            values[element.tag] = data[element.start : end_of(data, element, encoding)]
    if pixels is None:
        raise InvalidFileError("The DICOM file holds no pixel data.")
    header = _Header(values, encoding)
    if meta.transfer_syntax_uid in _NATIVE:
        return StoredFrames(header.sop_instance_uid, _native(data, pixels, header, encoding), header.read())
    transfer_syntax(meta.transfer_syntax_uid)
    fragments = read_fragments(data, pixels)
    first = _extended(values, fragments, header.frames)
    if first is None:
        first = first_fragments(data, fragments, header.frames, meta.transfer_syntax_uid)
    first.append(len(fragments))
    frames = EncapsulatedFrames(data, meta.transfer_syntax_uid, fragments, first)
    return StoredFrames(header.sop_instance_uid, frames, header.read())


@dataclass(frozen=True, slots=True)
class _Header:
    """The values of the attributes that say how pixels are cut."""

    values: Mapping[int, memoryview]
    encoding: Encoding

    @property
    def sop_instance_uid(self) -> str:
        return _text(self.values.get(_SOP_INSTANCE_UID, _NOTHING))

    @property
    def photometric_interpretation(self) -> str:
        return _text(self.values.get(_PHOTOMETRIC_INTERPRETATION, _NOTHING))

    @property
    def frames(self) -> int:
        text = _text(self.values.get(_NUMBER_OF_FRAMES, _NOTHING)) or "1"
        # An IS has 12 characters at most (PS3.5 section 6.2).
        if not (text.isascii() and text.isdigit() and len(text) <= 12):  # noqa: PLR2004  # as said
            raise InvalidFileError("NumberOfFrames in the DICOM file is no number.")
        return int(text) or 1  # 0 is impossible where there are pixels: then there is one frame

    def read(self) -> FileHeader:
        """What of it can be compared with the metadata."""
        numbers = {name: self._number(tag) for name, tag in _NUMBERS.items()}
        if _text(self.values.get(_NUMBER_OF_FRAMES, _NOTHING)):
            numbers["NumberOfFrames"] = self.frames
        return FileHeader(
            _text(self.values.get(_STUDY_INSTANCE_UID, _NOTHING)),
            _text(self.values.get(_SERIES_INSTANCE_UID, _NOTHING)),
            self.photometric_interpretation.upper(),
            {name: number for name, number in numbers.items() if number is not None},
        )

    def _number(self, tag: int) -> int | None:
        value = self.values.get(tag, _NOTHING)
        return struct.unpack_from(self.encoding.order + "H", value)[0] if len(value) > 1 else None

    def unsigned(self, tag: int, name: str, default: int = 0) -> int:
        """The first value of a US."""
        value = self.values.get(tag, _NOTHING)
        number: int = struct.unpack_from(self.encoding.order + "H", value)[0] if len(value) > 1 else default
        if not number:
            raise InvalidFileError(f"{name} in the DICOM file is missing or zero.")
        return number


def _native(data: memoryview, pixels: Element, header: _Header, encoding: Encoding) -> NativeFrames:
    if pixels.length == UNDEFINED:
        raise InvalidFileError("The transfer syntax says that the pixel data are native, and they are encapsulated.")
    value = data[pixels.start : end_of(data, pixels, encoding)]
    bits = {FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64}.get(pixels.tag)
    bits = bits or header.unsigned(_BITS_ALLOCATED, "BitsAllocated")
    return native_frames(
        value,
        count=header.frames,
        pixels=header.unsigned(_ROWS, "Rows") * header.unsigned(_COLUMNS, "Columns"),
        samples=header.unsigned(_SAMPLES_PER_PIXEL, "SamplesPerPixel", default=1),
        bits=bits,
        subsampled=header.photometric_interpretation == "YBR_FULL_422",
        swapped_words=encoding.big_endian and pixels.vr != b"OB",
        swapped_cells=encoding.big_endian,
    )


def _extended(values: Mapping[int, memoryview], fragments: Fragments, frames: int) -> array[int] | None:
    table = values.get(_EXTENDED_OFFSET_TABLE, _NOTHING)
    if len(table) != 8 * frames or frames > len(fragments):
        return None
    return fragments.of_offsets(struct.unpack(f"<{frames}Q", table))


@dataclass(frozen=True, slots=True, eq=False)
class EncapsulatedFrames:
    """Frames in fragments."""

    data: memoryview
    transfer_syntax_uid: str
    fragments: Fragments
    first: array[int]
    """The fragment that each frame begins with, and the number of fragments behind them."""

    def __len__(self) -> int:
        return len(self.first) - 1

    def cut(self, number: int) -> bytes:
        """See `Frames.cut`."""
        own = slice(self.first[number - 1], self.first[number])
        places = zip(self.fragments.starts[own], self.fragments.lengths[own], strict=True)
        return b"".join(self.data[start : start + length] for start, length in places)


def _text(value: memoryview) -> str:
    return bytes(value[:_LONGEST_TEXT]).decode("latin-1").strip(" \0")

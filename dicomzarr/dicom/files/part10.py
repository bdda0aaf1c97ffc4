"""Part-10 files (PS3.10 section 7): who they are, and where their frames lie."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from dicomzarr.dicom import uids
from dicomzarr.dicom.files import encapsulated
from dicomzarr.dicom.files.elements import (
    EXPLICIT_LITTLE,
    ITEM,
    UNDEFINED,
    Element,
    Encoding,
    cut_off,
    element_at,
    elements,
    end_of,
)
from dicomzarr.dicom.files.encapsulated import EncapsulatedFrames, scanned_frames, tabled_count, tabled_frames
from dicomzarr.dicom.files.file_header import COUNTED_FRAMES, NUMBER_OF_FRAMES, FileHeader
from dicomzarr.dicom.files.fragments import begins_frame, check_encapsulated, items
from dicomzarr.dicom.files.native_frames import NativeFrames, native_frames
from dicomzarr.dicom.files.random_access import NeededError, Window
from dicomzarr.dicom.model.values import is_count
from dicomzarr.dicom.pixels.pixels import samples_of
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES, read_codestream
from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Mapping, Sequence

    from dicomzarr.dicom.files.file_meta import FileMeta
    from dicomzarr.dicom.files.random_access import RandomAccess, Span

_NOTHING: Final = memoryview(b"")
_NOPIXELS: Final = "The DICOM file holds no pixel data."

PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
PIXELS: Final = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})

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

_WORDS: Final = frozenset(_NUMBERS.values())
_TEXT_VRS: Final = frozenset({b"DS", b"IS", b"LO", b"SH"})

_SHORTEST_ELEMENT: Final = 8
"""Bytes of a tag and a length."""

_LONGEST_TABLE: Final = 2**26
"""Bytes of a Basic Offset Table that may be one."""

_LONGEST_TEXT: Final = 130
"""Bytes of the longest text that is read, a UID as servers list it (see `uids.is_uid`), with its padding."""

_LEAST_BOUND: Final = 2**20
"""Bytes that the fragments of the smallest frame may take."""

_NATIVE: Final = frozenset(
    {
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
        uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)

_ITEM_TAG: Final = b"\xfe\xff\x00\xe0"
_LONGEST_LOOK: Final = 2**24
"""Bytes of a fragment that are looked at for what it is."""


class Frames(Protocol):
    """The frames of one instance, to be cut out by their numbers."""

    @property
    def data(self) -> RandomAccess:
        """What they are cut out of: the file, or its data set inflated."""

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax in which they are cut out."""

    def __len__(self) -> int:
        """How many there are."""

    def spans(self, number: int) -> tuple[Span, ...]:
        """The pieces of the file that hold a frame, by its number from 1.

        Raises:
            InvalidFileError: They take more than any frame of so many pixels can.
        """

    def assemble(self, number: int, pieces: Sequence[bytes | memoryview]) -> bytes:
        """One frame out of its pieces, as a part of a DICOMweb reply would hold it.

        Raises:
            InvalidFileError: They do not hold it: they end early, or the table is wrong that its place was read from.
        """

    def cut(self, number: int) -> bytes:
        """One frame, read out of the file and assembled.

        Raises:
            InvalidFileError: The file is broken.
        """


class StoredFrames(NamedTuple):
    """What a Part-10 file holds."""

    sop_instance_uid: str
    frames: Frames
    header: FileHeader


def find_frames(data: memoryview, at: int, meta: FileMeta) -> StoredFrames:
    """Where the frames of a data set lie that is there as a whole.

    Args:
        data: The file; or its data set alone, as a deflated one is inflated.
        at: Where the data set begins.
        meta: The File Meta Information.

    Raises:
        TruncatedFileError: The data end early.
        InvalidFileError: There are no pixels, or their frames cannot be told apart.
        UnsupportedTransferSyntaxError: They are in a transfer syntax that cannot be decoded: a film, say.
    """
    header = _read_header(data, at, meta)
    if header is None:
        raise InvalidFileError(_NOPIXELS)
    if header.pixels.length != UNDEFINED and header.pixels.start + header.pixels.length > len(data):
        raise cut_off(len(data))
    return _stored(data, meta, header, scanned_frames)


def locate_frames(data: RandomAccess, meta: FileMeta) -> StoredFrames:
    """Where the frames of a file lie whose data set is not deflated, with few and short reads of it.

    Of a file that ends early, frames that lie before its end can be read where their places are known without it.

    Args:
        data: The file.
        meta: Its File Meta Information.

    Raises:
        TruncatedFileError: As for `find_frames`, as far as it was noticed.
        InvalidFileError: As above.
        UnsupportedTransferSyntaxError: As above.
    """
    header = _read_header(Window(data), meta.end, meta)
    if header is None:
        raise InvalidFileError(_NOPIXELS)
    return _stored(data, meta, header, tabled_frames)


def distant_frames(
    beginning: RandomAccess,
    data: RandomAccess,
    meta: FileMeta,
    directory: Callable[[int, int], array[int] | None],
    known: array[int] | None = None,
) -> StoredFrames:
    """Where the frames of a file lie that is far away, and whose data set is not deflated.

    Args:
        beginning: That of the file, up to where `beginning_end` says.
        data: The file.
        meta: Its File Meta Information.
        directory: See `encapsulated.distant_frames`.
        known: As above.

    Raises:
        TruncatedFileError: As for `locate_frames`.
        InvalidFileError: As above.
        UnsupportedTransferSyntaxError: As above.
    """
    header = _read_header(beginning, meta.end, meta)
    if header is None:
        raise InvalidFileError(_NOPIXELS)
    return _stored(data, meta, header, partial(encapsulated.distant_frames, directory=directory, known=known))


def beginning_end(data: RandomAccess, meta: FileMeta) -> int | None:
    """Where the beginning of a file ends that tells all but where frames without a table lie; it is read up to there.

    Args:
        data: The file, whose data set is not deflated.
        meta: Its File Meta Information.

    Returns:
        The end of what stands before the pixels, with the Basic Offset Table. None where there are none.

    Raises:
        InvalidFileError: It is no such file.
    """
    header = _read_header(data, meta.end, meta)
    if header is None:
        return None
    pixels = header.pixels
    if pixels.length != UNDEFINED:
        return pixels.start
    try:
        table = element_at(data, pixels.start, EXPLICIT_LITTLE)
    except TruncatedFileError:
        return pixels.start
    is_table = table.tag == ITEM and table.length <= _LONGEST_TABLE
    return table.start + len(data[table.start : table.start + table.length]) if is_table else table.start


def is_whole(data: RandomAccess, meta: FileMeta) -> bool:
    """Whether no element of a file is cut off, those behind its pixels too; what is no element there is let be.

    Args:
        data: The file, whose data set is not deflated.
        meta: Its File Meta Information.
    """
    at, encoding = meta.end, meta.encoding(data, meta.end)
    try:
        while at < len(data):
            element = element_at(data, at, encoding)
            if not element.tag:  # padding
                return True
            at = end_of(data, element, encoding)
    except TruncatedFileError:
        left = len(data) - at
        return left < _SHORTEST_ELEMENT and not any(data[at : at + left])  # a byte or two to make it even
    except InvalidFileError:
        return True
    return True


def _read_header(data: RandomAccess, at: int, meta: FileMeta) -> _Header | None:
    """The attributes that say how pixels are cut, or None where no pixel data are behind them."""
    encoding = meta.encoding(data, at)
    values: dict[int, memoryview] = {}
    for element in elements(data, at, encoding):
        if element.tag in PIXELS:
            return _Header(values, encoding, element)
        if element.tag in _READ and element.length != UNDEFINED:
            value = memoryview(data[element.start : end_of(data, element, encoding)])
            values[element.tag] = _word(value, encoding) if element.vr in _TEXT_VRS and element.tag in _WORDS else value
    return None


def _word(text: memoryview, encoding: Encoding) -> memoryview:
    """A number that somebody wrote as a text, as the US that it should be; nothing where it is none."""
    told = _text(text).removesuffix(".0")
    is_word = told.isascii() and told.isdigit() and len(told) <= 5 and int(told) < 2**16  # noqa: PLR2004  # of 16 bits
    return memoryview(struct.pack(encoding.order + "H", int(told))) if is_word else _NOTHING


def pixel_syntax(data: RandomAccess, meta: FileMeta, pixels: Element) -> str:
    """The transfer syntax of pixel data: what the file says, unless they are encapsulated against it, or are not.

    Encapsulated ones alone have no length (PS3.5 section A.4), and their first fragment shows what they are.

    Args:
        data: The file; or its data set alone, where that was inflated.
        meta: Its File Meta Information.
        pixels: Its pixel data.
    """
    said, encapsulated = meta.transfer_syntax_uid, pixels.length == UNDEFINED
    if encapsulated != (said in _NATIVE) or said not in TRANSFER_SYNTAXES or pixels.tag != PIXEL_DATA:
        return said
    try:
        if encapsulated:
            return _fragment_syntax(data, pixels) or said
        is_item = bytes(data[pixels.start : pixels.start + len(_ITEM_TAG)]) == _ITEM_TAG
    except (InvalidFileError, NeededError, ValueError):  # whoever reads a frame will hear of it
        return said
    return said if is_item else uids.EXPLICIT_VR_LITTLE_ENDIAN


def _fragment_syntax(data: RandomAccess, pixels: Element) -> str | None:
    """The transfer syntax that the first fragment is in by its own markers; None where it has none."""
    first = next(islice(items(data, pixels.start), 1, 2), None)
    if first is None:
        return None
    if begins_frame(data, first, uids.RLE_LOSSLESS):
        return uids.RLE_LOSSLESS
    found = read_codestream(data[first.start : first.start + min(first.length, _LONGEST_LOOK)])
    if found is None:
        return None
    alike = [row for row in TRANSFER_SYNTAXES.values() if row.codec is found.codec]
    return next((row.uid for row in alike if row.lossy is found.lossy), alike[0].uid)


def _stored(
    data: RandomAccess, meta: FileMeta, header: _Header, located: Callable[..., EncapsulatedFrames]
) -> StoredFrames:
    frames: Frames
    syntax = pixel_syntax(data, meta, header.pixels)
    if syntax in _NATIVE:
        frames = native = _native(data, header)
        if syntax != meta.transfer_syntax_uid and native.length - -(-native.bits * len(native) // 8) > 1:
            check_encapsulated(header.pixels)  # which they are not: something else stands there
    else:
        table = header.values.get(_EXTENDED_OFFSET_TABLE, _NOTHING)
        count = header.frames or tabled_count(data, header.pixels, syntax, table)
        frames = located(data, header.pixels, count, syntax, table)
        frames.most = header.most_bytes
    return StoredFrames(header.sop_instance_uid, frames, header.read(len(frames)))


@dataclass(frozen=True, slots=True)
class _Header:
    """The values of the attributes that say how pixels are cut."""

    values: Mapping[int, memoryview]
    encoding: Encoding
    pixels: Element

    @property
    def sop_instance_uid(self) -> str:
        return _text(self.values.get(_SOP_INSTANCE_UID, _NOTHING))

    @property
    def photometric_interpretation(self) -> str:
        return _text(self.values.get(_PHOTOMETRIC_INTERPRETATION, _NOTHING))

    @property
    def frames(self) -> int | None:
        """NumberOfFrames; None where it is impossible, and left out of the metadata too."""
        text = _text(self.values.get(_NUMBER_OF_FRAMES, _NOTHING)).partition("\\")[0]
        try:
            number = float(text)
        except ValueError:
            return None
        return int(number) if is_count(number) else None

    def read(self, frames: int) -> FileHeader:
        """What of it can be compared with the metadata.

        Args:
            frames: How many were found.
        """
        numbers = {name: self._number(tag) for name, tag in _NUMBERS.items()}
        if self.frames or frames > 1:
            numbers[NUMBER_OF_FRAMES if self.frames else COUNTED_FRAMES] = frames
        return FileHeader(
            _text(self.values.get(_STUDY_INSTANCE_UID, _NOTHING)),
            _text(self.values.get(_SERIES_INSTANCE_UID, _NOTHING)),
            self.photometric_interpretation.upper(),
            {name: number for name, number in numbers.items() if number is not None},
        )

    @property
    def most_bytes(self) -> int:
        """Bytes that the fragments of one frame may take: codestreams are hardly larger than the pixels."""
        sides = [self._number(tag) or 1 for tag in (_ROWS, _COLUMNS, _SAMPLES_PER_PIXEL)]
        return 2 * math.prod(sides) * -(-(self._number(_BITS_ALLOCATED) or 1) // 8) + _LEAST_BOUND

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


def _native(data: RandomAccess, header: _Header) -> NativeFrames:
    pixels, big_endian = header.pixels, header.encoding.big_endian
    if pixels.length == UNDEFINED:
        raise InvalidFileError("The transfer syntax says that the pixel data are native, and they are encapsulated.")
    bits = {FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64}.get(pixels.tag)
    bits = bits or header.unsigned(_BITS_ALLOCATED, "BitsAllocated", default=8)
    samples = samples_of(header.photometric_interpretation)
    return native_frames(
        data,
        pixels.start,
        pixels.length,
        count=header.frames,
        pixels=header.unsigned(_ROWS, "Rows") * header.unsigned(_COLUMNS, "Columns"),
        samples=header.unsigned(_SAMPLES_PER_PIXEL, "SamplesPerPixel", default=samples),
        bits=bits,
        subsampled=header.photometric_interpretation == "YBR_FULL_422",
        swapped_words=big_endian and pixels.vr != b"OB",
        swapped_cells=big_endian,
    )


def _text(value: memoryview) -> str:
    return bytes(value[:_LONGEST_TEXT]).decode("latin-1").strip(" \0")

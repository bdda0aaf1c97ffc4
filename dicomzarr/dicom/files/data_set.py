"""The attributes of an instance in its Part-10 file, in the DICOM JSON model (PS3.18 Annex F)."""

from __future__ import annotations

import warnings
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, overload

import msgspec
import numpy as np

from dicomzarr.dicom.files.elements import elements
from dicomzarr.dicom.files.excerpt import Excerpt
from dicomzarr.dicom.files.part10 import PIXELS, pixel_syntax
from dicomzarr.dicom.files.plain_values import are_plain, plain_value
from dicomzarr.dicom.model.image_model import is_read
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.errors import InvalidFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydicom import DataElement, Dataset
    from pydicom.tag import BaseTag

    from dicomzarr.dicom.files.elements import Element, Encoding
    from dicomzarr.dicom.files.file_meta import FileMeta
    from dicomzarr.dicom.files.random_access import RandomAccess, Span

JSONObject: TypeAlias = dict[str, Any]

_TRANSFER_SYNTAX: Final = "00083002"
"""AvailableTransferSyntaxUID, in which servers say how they hold an instance (PS3.18 section 10.6.3.3)."""

_FLOATING: Final = {"7FE00008": "OF", "7FE00009": "OD"}
"""Tags of floating-point pixel data, with their VRs."""

_PIXEL_DATA: Final = 0x7FE00010
_CHARACTERS: Final = 0x00080005
_CONTEXT: Final = frozenset({_CHARACTERS, 0x00280100, 0x00280103})
"""Tags of what says how other attributes are read: SpecificCharacterSet, BitsAllocated and PixelRepresentation."""

_LAST_CREATOR: Final = 0xFF
"""Elements of private groups up to this one name the creators of blocks (PS3.5 section 7.8.1)."""

_TEXTS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM", "UC", "UI"})
"""VRs of short texts, several in one attribute."""

_WORDS: Final = {"OW": 2, "OL": 4, "OF": 4, "OV": 8, "OD": 8}
"""Bytes of a word, by VRs whose values JSON has as little-endian bytes (PS3.18 section F.2.7)."""


_LETTERS: Final = 2
"""Of a VR; pydicom knows several for some attributes, as ``OB or OW``."""


class DataSetHeader(NamedTuple):
    """The data set of an instance up to its pixel data."""

    data: bytes
    encoding: Encoding
    transfer_syntax_uid: str
    pixels: str = ""
    """Tag of its pixel data in hexadecimal digits; empty where it has none."""
    left_out: Mapping[str, Span] = {}
    """Where values lie that are too long to be held, by `Excerpt.left_out`'s names; in the data set where that is
    deflated, and in the file else."""
    called: str = ""
    """The transfer syntax that the file names, where its pixels are in another."""


@overload
def data_set_header(
    data: RandomAccess, at: int, meta: FileMeta, *, complete: Literal[True], longest: int | None = None
) -> DataSetHeader: ...


@overload
def data_set_header(
    data: RandomAccess, at: int, meta: FileMeta, *, complete: bool, longest: int | None = None
) -> DataSetHeader | None: ...


def data_set_header(
    data: RandomAccess, at: int, meta: FileMeta, *, complete: bool, longest: int | None = None
) -> DataSetHeader | None:
    """The header of a data set.

    Args:
        data: The file or its data set, inflated; gone through from its beginning.
        at: Where the data set begins.
        meta: The File Meta Information.
        complete: All of it is there, so that it may end without pixel data.
        longest: Bytes of the longest value that is kept; None for all.

    Returns:
        None where more is needed to know.

    Raises:
        TruncatedFileError: The bytes end within an attribute.
        InvalidFileError: They are no data set.
    """
    encoding = meta.encoding(data, at)
    found = Excerpt(data, at, encoding, longest, PIXELS)
    if found.last is None and not complete:
        return None
    pixels = "" if found.last is None else f"{found.last.tag:08X}"
    said = meta.transfer_syntax_uid
    syntax = said if found.last is None else pixel_syntax(data, meta, found.last)
    return DataSetHeader(found.data, encoding, syntax, pixels, found.left_out, "" if syntax == said else said)


def attributes(
    header: DataSetHeader,
    subject: str,
    base_uri: str = "",
    most_inline: int | None = None,
    broken: list[str] | None = None,
) -> JSONObject:
    """One object of the DICOM JSON model; pixel data have no value, and are named where they are floating point.

    A value that is none of its VR costs no more than itself: a text is given as it is written, anything else without a
    value, unless pixels, places or what else is read of images may depend on it.

    Args:
        header: The data set.
        subject: What it is, for messages.
        base_uri: What the URIs of values that are left out begin with; see `binary_value`.
        most_inline: Bytes of the longest binary value that is not left out; None for all.
        broken: Takes where attributes are that are given without their value: tags, and numbers of items between them.

    Raises:
        InvalidFileError: The attributes cannot be read.
    """
    telling = _Telling(header, base_uri, most_inline, [] if broken is None else broken)
    plain, rest = _plain(header)
    found = plain | _read(rest, subject, lambda dataset: _object(dataset, "", telling)) if rest.data else plain
    found = dict(sorted(found.items()))
    found[_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [header.transfer_syntax_uid]}
    if header.pixels in _FLOATING:  # without which the cells would be taken for integers
        found[header.pixels] = {"vr": _FLOATING[header.pixels]}
    return found


def _plain(header: DataSetHeader) -> tuple[JSONObject, DataSetHeader]:
    """The attributes of a header that need no knowledge of the standard, and what is left for whoever has it.

    Raises:
        InvalidFileError: It is no data set.
    """
    data, encoding = memoryview(header.data), header.encoding
    parts = list(_parts(header)) if encoding.explicit else []
    if len({part.tag for part, _ in parts}) < len(parts) or not parts:
        return {}, header
    characters = next((bytes(data[part.start : end]) for part, end in parts if part.tag == _CHARACTERS), b"")
    texts, found, rest, is_plain = are_plain(characters), {}, [], True
    for part, end in parts:
        name, values = f"{part.tag:08X}", None
        if part.length == end - part.start and name not in header.left_out:
            values = plain_value(part.vr, bytes(data[part.start : end]), encoding, texts=texts)
        if values is not None:
            found[name] = {"vr": part.vr.decode(), "Value": list(values)} if values else {"vr": part.vr.decode()}
        is_plain = is_plain and values is not None
        if values is None or _is_context(part.tag):
            rest.append(data[part.at : end])
    return found, header._replace(data=b"" if is_plain else b"".join(rest))


def _is_context(tag: int) -> bool:
    """Whether others may be read by an attribute."""
    return tag in _CONTEXT or (tag >> 16 & 1 == 1 and tag & 0xFFFF <= _LAST_CREATOR)


def _parts(header: DataSetHeader) -> Iterator[tuple[Element, int]]:
    """The elements of a header, and where each ends."""
    before: Element | None = None
    for element in elements(memoryview(header.data), 0, header.encoding):
        if before is not None:
            yield before, element.at
        before = element
    if before is not None:
        yield before, len(header.data)


def only(header: DataSetHeader, is_wanted: Callable[[int], bool]) -> DataSetHeader:
    """The header with those of its attributes alone whose tags are wanted.

    Raises:
        InvalidFileError: It is no data set.
    """
    data = memoryview(header.data)
    kept = [data[part.at : end] for part, end in _parts(header) if is_wanted(part.tag)]
    return header._replace(data=b"".join(kept))


def encoded_attributes(found: JSONObject) -> bytes:
    """The JSON text of what `attributes` gives."""
    return msgspec.json.encode(found, enc_hook=str)  # str for pydicom's UID


def binary_value(header: DataSetHeader, path: str, subject: str, data: RandomAccess) -> bytes:
    """A value that `attributes` left out, in little endian.

    Args:
        header: The data set.
        path: Its URI without what all begin with: tags, and numbers of items from 0 between them.
        subject: What it is, for messages.
        data: What `DataSetHeader.left_out` speaks of.

    Raises:
        InvalidFileError: There is no such value.
    """

    def find(dataset: Dataset) -> bytes:
        from pydicom.tag import Tag  # noqa: PLC0415  # as below

        *items, tag = path.split("/")
        for sequence, number in zip(items[::2], items[1::2], strict=True):
            dataset = _element(dataset, Tag(int(sequence, 16))).value[int(number)]
        element = _element(dataset, Tag(int(tag, 16)))
        value = bytes(header.left_out[path].of(data)) if path in header.left_out else element.value
        if not isinstance(value, bytes):
            raise TypeError("numbers and texts stand in the metadata themselves")  # as all that is none
        return bytes(_little_endian(value, element.VR, header.encoding))

    found: bytes = _read(header, subject, find)
    return found


def explicit_little_endian(
    header: DataSetHeader, changes: Mapping[str, Any], subject: str, left_out: list[str] | None = None
) -> bytes:
    """A Part-10 file in Explicit VR Little Endian, up to its pixel data.

    Sequences with encapsulated pixel data, as icons of compressed images are, are left out: in this transfer syntax
    nothing is encapsulated (PS3.5 section A.2).

    Args:
        header: The data set.
        changes: Values of attributes by keyword; None leaves one out.
        subject: What it is, for messages.
        left_out: Takes the tags of sequences that are left out.

    Raises:
        InvalidFileError: The attributes cannot be read, or not be written.
    """
    removed = [] if left_out is None else left_out

    def write(dataset: Dataset) -> bytes:
        from pydicom import dcmwrite  # noqa: PLC0415  # as below
        from pydicom.dataset import FileMetaDataset  # noqa: PLC0415  # as below
        from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415  # as below

        if not is_native(header.transfer_syntax_uid):
            removed.extend(_without_encapsulated(dataset))
        if not header.encoding.explicit or header.encoding.big_endian:
            _settle(dataset, header.encoding)
        for keyword, value in changes.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = BytesIO()
        dcmwrite(file, dataset, enforce_file_format=True)
        return file.getvalue()

    found: bytes = _read(header, subject, write)
    return found


def file_meta_information(sop_class: str, uid: str, transfer_syntax_uid: str) -> bytes:
    """A preamble and the File Meta Information (PS3.10 section 7.1) for a data set that has none.

    Args:
        sop_class: SOP Class UID.
        uid: SOP Instance UID.
        transfer_syntax_uid: How the data set is written.
    """
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415  # as below
    from pydicom.filebase import DicomBytesIO  # noqa: PLC0415  # as below
    from pydicom.filewriter import write_file_meta_info  # noqa: PLC0415  # as below
    from pydicom.uid import UID  # noqa: PLC0415  # as below

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID(uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    file = DicomBytesIO()
    write_file_meta_info(file, meta)
    return bytes(128) + b"DICM" + file.getvalue()


def _without_encapsulated(dataset: Dataset) -> list[str]:
    """Remove sequences whose items hold encapsulated pixel data: their tags."""
    removed = []
    for element in [dataset[tag] for tag in sorted(dataset.keys()) if dataset.get_item(tag).VR == "SQ"]:
        items = element.value
        if any(_PIXEL_DATA in item and item[_PIXEL_DATA].is_undefined_length for item in items):
            del dataset[element.tag]
            removed.append(f"{element.tag:08X}")
        else:
            removed += [tag for item in items for tag in _without_encapsulated(item)]
    return removed


def _settle(dataset: Dataset, encoding: Encoding) -> None:
    """Give each attribute one VR and words in little endian, in all its sequences."""
    for element in [_element(dataset, tag) for tag in sorted(dataset.keys())]:
        if element.VR == "SQ":
            for item in element.value:
                _settle(item, encoding)
        elif encoding.big_endian and element.VR in _WORDS and not element.is_empty:
            element.value = _little_endian(element.value, element.VR, encoding)


def _element(dataset: Dataset, tag: BaseTag) -> DataElement:
    """An attribute with a VR of its own: pydicom knows several of some, and leaves those of retired ones open.

    Words stand for bytes too, as in Implicit VR Little Endian (PS3.5 section A.1). UN is no VR of what the standard
    names (PS3.5 section 6.2.2), and pydicom would keep it for values of 64 KiB and more.
    """
    from pydicom.dataelem import RawDataElement  # noqa: PLC0415  # as below

    held = dataset.get_item(tag)
    if isinstance(held, RawDataElement) and held.VR == "UN":
        dataset[tag] = held._replace(VR=None)  # as if it were written without
    with suppress(AttributeError):  # what its VR depends on is not there, and it is held as it is
        dataset[tag]
    element = dataset[tag]
    if len(element.VR) > _LETTERS:
        is_words = "OW" in element.VR
        element.VR = "OW" if is_words else "SS" if dataset.get("PixelRepresentation") == 1 else "US"
        if not is_words and isinstance(element.value, bytes):
            element.value = np.frombuffer(element.value, "<i2" if element.VR == "SS" else "<u2").tolist()
    return element


def _read(header: DataSetHeader, subject: str, use: Any) -> Any:
    from pydicom.filereader import read_dataset  # noqa: PLC0415  # a third of a second, which most servers spare us

    try:
        # pydicom's warnings quote values, which may be the patient's.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(
                BytesIO(header.data),
                is_implicit_VR=not header.encoding.explicit,
                is_little_endian=not header.encoding.big_endian,
            )
            return use(dataset)
    except Exception as error:  # noqa: BLE001  # anything may come out of a parser, and its text may hold values
        raise InvalidFileError(f"The attributes of {subject} cannot be read ({type(error).__name__}).") from None


class _Telling(NamedTuple):
    """How attributes become JSON."""

    header: DataSetHeader
    base_uri: str
    most_inline: int | None
    broken: list[str]


def _object(dataset: Dataset, above: str, telling: _Telling) -> JSONObject:
    return {f"{tag:08X}": _attribute(dataset, tag, f"{above}{tag:08X}", telling) for tag in sorted(dataset.keys())}


def _attribute(dataset: Dataset, tag: BaseTag, path: str, telling: _Telling) -> JSONObject:
    encoding, most_inline = telling.header.encoding, telling.most_inline
    try:
        element = _element(dataset, tag)
        if path in telling.header.left_out or (most_inline is not None and _nbytes(element) > most_inline):
            return {"vr": element.VR, "BulkDataURI": telling.base_uri + path}
        if element.VR == "SQ":
            items = [_object(item, f"{path}/{number}/", telling) for number, item in enumerate(element.value)]
            return {"vr": "SQ", "Value": items}
        if encoding.big_endian and element.VR in _WORDS and not element.is_empty:
            element.value = _little_endian(element.value, element.VR, encoding)
        if element.VR == "IS" and any(isinstance(value, float) for value in _several(element.value)):
            return _as_written(element.value, "IS")  # of which JSON would have the whole part alone
        found: JSONObject = element.to_json_dict(None, 0)
    except Exception:
        held = dataset.get_item(tag)
        vr = held.VR or _vr_of(tag)
        if vr in _TEXTS:
            return _as_written(held.value, vr)
        if not tag.is_private and is_read(int(path[:8], 16)):
            raise
        telling.broken.append(path)
        return {"vr": vr}
    return found


def _as_written(value: Any, vr: str) -> JSONObject:
    """A text that is none of its VR, for whoever reads it to judge."""
    values = value.decode("latin-1").split("\\") if isinstance(value, bytes) else _several(value)
    return {"vr": vr, "Value": [str(each).strip(" \0") for each in values]}


def _vr_of(tag: BaseTag) -> str:
    """The VR of an attribute that is written without; UN where it is not known, or depends on others."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415  # as above

    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    return vr if len(vr) == _LETTERS else "UN"


def _several(value: Any) -> list[Any]:
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def _nbytes(element: DataElement) -> int:
    return len(element.value) if isinstance(element.value, bytes) else 0


def _little_endian(value: bytes, vr: str, encoding: Encoding) -> bytes:
    size = _WORDS.get(vr, 1)
    if not encoding.big_endian or len(value) % size:
        return value
    return np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()

"""Headers without their longest values: the attributes that pydicom reads, and the values where they are said to be."""

from __future__ import annotations

import io
from itertools import product
from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomzarr.dicom.files.data_set import DataSetHeader, attributes, binary_value, data_set_header
from dicomzarr.dicom.files.deflated import InflatedWindow
from dicomzarr.dicom.files.file_meta import FileMeta, read_file_meta
from dicomzarr.dicom.files.random_access import NeededError, Pieces, Window
from dicomzarr.errors import TruncatedFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.files.random_access import RandomAccess

LONGEST = 60_000
LONG = LONGEST + 2
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


class Counted:
    """A file that counts how much of it is read."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.read = 0

    def __len__(self) -> int:
        return len(self.body)

    def __getitem__(self, span: slice) -> bytes:
        found = self.body[span]
        self.read += len(found)
        return found


def item(number: int, *inner: Dataset, length: int = 0, undefined: bool = False) -> Dataset:
    """An item with a number, perhaps a long private value, and perhaps a sequence of further items."""
    dataset = Dataset()
    dataset.InstanceNumber = number
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    if length:
        dataset.add_new(0x00091001, "OB", bytes([number]) * length)
    if inner:
        dataset.ReferencedSeriesSequence = list(inner)
        dataset["ReferencedSeriesSequence"].is_undefined_length = undefined
    dataset.is_undefined_length_sequence_item = undefined
    return dataset


def body_of(syntax: UID, *, undefined: bool, times: int = 1) -> bytes:
    """Long values at the top, in items, in items of items, and short ones between them."""
    dataset = item(1, length=LONG)
    deep = [item(number, length=LONG * (number % 2), undefined=undefined) for number in range(2, 2 + times)]
    dataset.ReferencedImageSequence = [item(80), item(81, *deep, undefined=undefined), item(82, length=LONG)]
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    dataset.SOPInstanceUID = "1.2.3"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.PatientID = "behind the long ones"
    dataset.Rows = dataset.Columns = 1
    dataset.BitsAllocated = 8
    dataset.PixelData = b"\1\2"
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def walked(file: Counted) -> tuple[RandomAccess, int]:
    meta = read_file_meta(Window(file))
    return (InflatedWindow(file, meta.end, "it"), 0) if meta.deflated else (Window(file), meta.end)


def values_of(dataset: Dataset, above: str = "") -> dict[str, bytes]:
    """All long values as pydicom has them, by their paths."""
    found: dict[str, bytes] = {}
    for element in dataset:
        path = f"{above}{element.tag:08X}"
        if element.VR == "SQ":
            for number, each in enumerate(element.value):
                found |= values_of(each, f"{path}/{number}/")
        elif isinstance(element.value, bytes) and len(element.value) > LONGEST:
            found[path] = element.value
    return found


@pytest.mark.parametrize(("syntax", "undefined"), list(product(SYNTAXES, [False, True])))
def test_long_values_are_passed_over_and_found_again(syntax: UID, undefined: bool) -> None:  # noqa: FBT001  # a parameter
    # A sequence of defined length is looked into where it is longer than any that is kept as it is.
    body = body_of(syntax, undefined=undefined, times=1 if undefined else 40)
    file = Counted(body)
    meta = read_file_meta(Window(file))
    header = data_set_header(*walked(file), meta, complete=True, longest=LONGEST)
    expected = dcmread(io.BytesIO(body))
    long = values_of(expected)
    assert len(long) == (2 if undefined else 22)
    assert header.left_out.keys() == long.keys()
    assert len(header.data) < 20_000
    told = attributes(header, "it", "at/")
    assert told["00091001"] == {"vr": "UN" if syntax.is_implicit_VR else "OB", "BulkDataURI": "at/00091001"}
    for path in long:
        holder = dataset_at(told, path.split("/")[:-1])
        assert holder[path.rpartition("/")[2]]["BulkDataURI"] == f"at/{path}"
        assert binary_value(header, path, "it", walked(file)[0]) == long[path]
    assert told["00100020"]["Value"] == ["behind the long ones"]
    assert all_numbers(told) == [each.value for each in expected.iterall() if each.keyword == "InstanceNumber"]


def dataset_at(told: dict[str, object], path: Sequence[str]) -> dict[str, dict[str, object]]:
    found: object = told
    for sequence, number in zip(path[::2], path[1::2], strict=True):
        found = found[sequence]["Value"][int(number)]  # type: ignore[index]
    return found  # type: ignore[return-value]


def all_numbers(told: dict[str, dict[str, object]]) -> list[object]:
    found: list[object] = []
    for tag, attribute in told.items():
        if tag == "00200013":
            found += attribute["Value"]  # type: ignore[misc]
        elif attribute["vr"] == "SQ":
            for each in attribute.get("Value", ()):  # type: ignore[attr-defined]
                found += all_numbers(each)
    return found


@pytest.mark.parametrize(("syntax", "undefined"), list(product(SYNTAXES, [False, True])))
def test_what_comes_in_pieces_is_the_same(syntax: UID, undefined: bool) -> None:  # noqa: FBT001  # a parameter
    body = body_of(syntax, undefined=undefined, times=1 if undefined else 40)
    meta = read_file_meta(Window(Counted(body)))
    whole = data_set_header(*walked(Counted(body)), meta, complete=True, longest=LONGEST)
    pieces, start = Pieces(len(body)), 0
    for _ in range(len(body)):
        pieces.add(start, body[start : start + 10_000])
        try:
            data, at = (InflatedWindow(pieces, meta.end, "it"), 0) if meta.deflated else (pieces, meta.end)
            found = data_set_header(data, at, meta, complete=True, longest=LONGEST)
            break
        except NeededError as needed:
            start = pieces.end if needed.start <= pieces.end + LONGEST else needed.start
    assert found == whole


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_nothing_is_left_out_where_all_is_wanted(syntax: UID) -> None:
    body = body_of(syntax, undefined=False)
    file = Counted(body)
    header = data_set_header(*walked(file), read_file_meta(Window(file)), complete=True)
    assert not header.left_out
    told = attributes(header, "it")
    del told["00083002"]
    expected = dcmread(io.BytesIO(body)).to_json_dict()
    del expected["7FE00010"]
    assert told == expected


@pytest.mark.parametrize(("syntax", "undefined"), list(product(SYNTAXES[:3], [False, True])))
def test_a_header_that_ends_anywhere_is_noticed(syntax: UID, undefined: bool) -> None:  # noqa: FBT001  # a parameter
    body = body_of(syntax, undefined=undefined)
    meta = read_file_meta(Window(Counted(body)))
    end = body.rindex(b"behind") + 20
    for length in [*range(meta.end + 1, meta.end + 100), *range(meta.end + 100, end, 9_991)]:
        assert header_of(body[:length], meta) is None
    assert header_of(body, meta) is not None


def header_of(body: bytes, meta: FileMeta) -> DataSetHeader | None:
    try:
        return data_set_header(Window(Counted(body)), meta.end, meta, complete=False, longest=LONGEST)
    except TruncatedFileError:
        return None


def test_a_large_file_is_not_read_for_values_that_nobody_needs() -> None:
    class Sparse:
        """A data set with 2 GiB of one private value in it."""

        start = b"\x09\0\x01\x10OB\0\0" + (2**31).to_bytes(4, "little")
        end = b"\x10\0\x20\0LO\x02\0XX\xe0\x7f\x10\0OB\0\0\0\0\0\0"
        read = 0

        def __len__(self) -> int:
            return len(self.start) + 2**31 + len(self.end)

        def __getitem__(self, span: slice) -> bytes:
            start, stop, _ = span.indices(len(self))
            self.read += stop - start
            behind = len(self) - len(self.end)
            if start >= behind:
                return self.end[start - behind : stop - behind]
            assert stop <= behind
            return self.start[start:stop] + bytes(stop - max(start, len(self.start)))

    file = Sparse()
    header = data_set_header(Window(file), 0, FileMeta(ExplicitVRLittleEndian, 0), complete=True, longest=LONGEST)
    assert attributes(header, "it")["00100020"]["Value"] == ["XX"]
    assert header.left_out == {"00091001": (12, 2**31)}
    assert file.read < 2**20

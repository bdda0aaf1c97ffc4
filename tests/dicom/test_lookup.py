"""Binary attributes as servers send them, and lookup tables read from them."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut

from dicomzarr.dicom.lut.lookup import LookupTable, LutDescriptor, read_descriptor, read_table
from dicomzarr.dicom.model.binary import BinaryLeaf
from dicomzarr.dicom.model.json_model import Leaf
from dicomzarr.errors import InvalidAttributeError

UID = "1.2.3"
DATA = "LUTData"
DECODER = msgspec.json.Decoder(BinaryLeaf)
quick = settings(deadline=None, database=None)


def leaf(**members: Any) -> BinaryLeaf:
    return DECODER.decode(json.dumps(members))


def octets(found: BinaryLeaf, fetched: bytes | None = None) -> bytes | None:
    content = found.octets(DATA, UID, fetched)
    if content is None:
        return None
    assert content.dtype == np.uint8
    assert content.ndim == 1
    return content.tobytes()


def table(descriptor: list[float], data: bytes, *, signed: bool = False) -> LookupTable:
    described = read_descriptor(Leaf(list(descriptor)), signed=signed, name="LUTDescriptor", instance=UID)
    return read_table(described, np.frombuffer(data, np.uint8), name=DATA, instance=UID)


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


# --- content: PS3.18 section F.2.7 ---


@pytest.mark.parametrize(("vr", "value"), [("OW", b"\x01\x02\xff\xfe"), ("US", [513, 65279]), ("SS", [513, -257])])
def test_content_as_pydicom_writes_it(vr: str, value: object) -> None:
    data = Dataset()
    data.add_new(0x00283006, vr, value)
    found = DECODER.decode(json.dumps(data.to_json_dict()["00283006"]))
    assert found.present
    assert octets(found) == b"\x01\x02\xff\xfe"


@pytest.mark.parametrize("values", [[1, 65535], [1, -1], ["1", " -1 "], [1.0, "6.5535E4"]])
def test_words_in_every_spelling(values: list[Any]) -> None:
    assert octets(leaf(vr="US", Value=values)) == b"\x01\x00\xff\xff"


def test_the_smallest_and_the_largest_words() -> None:
    assert octets(leaf(vr="SS", Value=[-32768, 32767])) == b"\x00\x80\xff\x7f"
    assert octets(leaf(vr="US", Value=[0, 65535])) == b"\x00\x00\xff\xff"


def test_base64_in_lines() -> None:
    text = base64.encodebytes(bytes(range(200))).decode()
    assert "\n" in text
    assert octets(leaf(vr="OW", InlineBinary=text)) == bytes(range(200))


def test_content_that_lies_elsewhere() -> None:
    found = leaf(vr="OW", BulkDataURI="../bulk/7")
    assert found.present
    assert found.bulk_data_uri == "../bulk/7"
    assert octets(found) is None
    assert octets(found, b"\x05\x06") == b"\x05\x06"
    assert octets(found, b"") == b""


@pytest.mark.parametrize("members", [{}, {"vr": "OW"}, {"Value": []}, {"InlineBinary": None}, {"BulkDataURI": None}])
def test_content_that_was_left_out(members: dict[str, Any]) -> None:
    found = leaf(**members)
    assert not found.present
    assert octets(found) is None
    assert octets(found, b"\x05\x06") == b"\x05\x06"


TEXT = "Nobody^Knows"


@pytest.mark.parametrize(
    "members",
    [
        {"InlineBinary": "AAA"},
        {"InlineBinary": TEXT},
        {"InlineBinary": "\xe4\xf6\xfc="},
        {"Value": [TEXT]},
        {"Value": [1, None]},
        {"Value": [1.5]},
        {"Value": [65536]},
        {"Value": [-32769]},
        {"Value": ["NaN"]},
        {"Value": ["-Infinity"]},
    ],
)
def test_broken_content_names_the_attribute(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidAttributeError, match=rf"Instance {UID}: {DATA} ") as refused:
        octets(leaf(**members))
    assert TEXT not in str(refused.value)


# --- descriptors ---


@pytest.mark.parametrize(
    ("shown", "signed", "count", "first"),
    [
        ([256, 0, 16], False, 256, 0),
        ([0, 0, 16], False, 65536, 0),
        ([65536, 0, 16], False, 65536, 0),
        ([-25536, 0, 16], True, 40000, 0),
        ([40000, 64536, 16], True, 40000, -1000),
        ([40000, -1000, 16], True, 40000, -1000),
        ([40000, -1000, 16], False, 40000, 64536),
        ([16, 32768, 16], True, 16, -32768),
        ([16, -32768, 16], True, 16, -32768),
        ([16, 32767, 16], True, 16, 32767),
        (["16", " 7 ", 16.0], False, 16, 7),
    ],
)
def test_descriptors_in_every_spelling(shown: list[Any], signed: bool, count: int, first: int) -> None:  # noqa: FBT001
    found = read_descriptor(Leaf(shown), signed=signed, name="LUTDescriptor", instance=UID)
    assert found == LutDescriptor(count, first, 16)


@pytest.mark.parametrize(
    "shown",
    [[], [256, 0], [256, 0, 16, 1], [256, None, 16], [256, 0.5, 16], [70000, 0, 16], [1, -32769, 16], [1, 0, 7],
     [1, 0, 17], [1, 0, TEXT], [1, 0, "NaN"]],
)  # fmt: skip
def test_what_describes_no_table(shown: list[Any]) -> None:
    with pytest.raises(InvalidAttributeError, match=rf"Instance {UID}: LUTDescriptor ") as refused:
        read_descriptor(Leaf(shown), signed=False, name="LUTDescriptor", instance=UID)
    assert TEXT not in str(refused.value)


# --- entries ---


@pytest.mark.parametrize(
    ("descriptor", "data", "entries", "dtype"),
    [
        ([3, 0, 16], words(1, 2, 60000), [1, 2, 60000], "<u2"),
        ([3, 0, 16], words(1, 2, 3), [1, 2, 3], "<u2"),
        ([3, 0, 12], words(1, 2, 4095), [1, 2, 4095], "<u2"),
        ([4, 0, 8], bytes([1, 2, 3, 255]), [1, 2, 3, 255], "u1"),
        ([3, 0, 8], bytes([1, 2, 255]), [1, 2, 255], "u1"),
        ([3, 0, 8], bytes([1, 2, 255, 0]), [1, 2, 255], "u1"),
        ([3, 0, 8], words(1, 2, 255), [1, 2, 255], "u1"),
        ([3, 0, 8], words(1, 2, 256), [1, 2, 256], "<u2"),
        ([4, 0, 16], bytes([1, 2, 3, 255]), [1, 2, 3, 255], "u1"),
        ([1, 0, 16], words(770), [770], "<u2"),
        ([1, 0, 8], bytes([5, 0]), [5], "u1"),
        ([1, 0, 8], bytes([5]), [5], "u1"),
    ],
)
def test_entries_as_they_are_stored(descriptor: list[float], data: bytes, entries: list[int], dtype: str) -> None:
    found = table(descriptor, data)
    assert found.entries.tolist() == entries
    assert found.entries.dtype == np.dtype(dtype)
    assert found.bits == descriptor[2]
    assert (found.first, found.last) == (0, len(entries) - 1)


@pytest.mark.parametrize("bits", [8, 16])
def test_entries_for_all_words(bits: int) -> None:
    data = np.arange(65536, dtype="<u2") if bits == 16 else np.arange(65536).astype(np.uint8)
    found = table([0, 0, bits], data.tobytes())
    pixels = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(found.apply(pixels), data)


@pytest.mark.parametrize("size", [0, 1, 298, 299, 302, 599, 601, 602, 1200])
def test_wrong_lengths_name_both_numbers(size: int) -> None:
    with pytest.raises(
        InvalidAttributeError, match=rf"{DATA} should have 300 entries, in 300 or 600 bytes, found {size} bytes"
    ):
        table([300, 0, 16], bytes(size))


# --- application ---

INTEGERS = [np.dtype(f"<{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]


@quick
@given(
    dtype=st.sampled_from(INTEGERS),
    first=st.integers(-32768, 65535),
    count=st.sampled_from([1, 2, 255, 256, 1000, 65536]),
    data=st.data(),
)
def test_values_outside_take_the_nearest_entry(
    dtype: np.dtype[Any], first: int, count: int, data: st.DataObject
) -> None:
    entries = (np.arange(count) * 7919 % 65536).astype("<u2")
    limits = np.iinfo(dtype)
    near = [first - 1, first, first + 1, first + count - 1, first + count, 0]
    some = data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), max_size=5))
    values = [value for value in [*near, *some, limits.min, limits.max] if limits.min <= value <= limits.max]
    found = LookupTable(first, entries, 16).apply(np.array(values, dtype).reshape(1, -1))
    expected = [entries[min(max(int(value) - first, 0), count - 1)] for value in values]
    assert found.tolist() == [expected]
    assert found.dtype == entries.dtype


@quick
@given(
    first=st.integers(-500, 500),
    entries=st.lists(st.integers(0, 65535), min_size=1, max_size=300),
    values=st.lists(st.integers(-1000, 1000), min_size=1),
)
def test_application_agrees_with_pydicom(first: int, entries: list[int], values: list[int]) -> None:
    item = Dataset()
    item.add_new(0x00283002, "SS", [len(entries), first, 16])
    item.add_new(0x00283006, "US", entries if len(entries) > 1 else [*entries, *entries])
    data = Dataset()
    data.ModalityLUTSequence = [item]
    pixels = np.array(values, np.int16)
    found = table([len(entries), first, 16], words(*entries), signed=True)
    assert np.array_equal(found.apply(pixels), apply_modality_lut(pixels, data))

"""What is read of headers without pydicom is what pydicom reads."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from dicomzarr.dicom.files.data_set import DataSetHeader, attributes, encoded_attributes
from dicomzarr.dicom.files.elements import EXPLICIT_LITTLE, Encoding
from dicomzarr.dicom.files.plain_values import plain_value

TEXTS = (b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UC", b"UI", b"UT")
NUMBERS = (b"FD", b"FL", b"SL", b"SS", b"UL", b"US", b"SV", b"UV")
OTHERS = (b"AT", b"OB", b"OW", b"UN")
LONG = (b"OB", b"OW", b"UC", b"UN", b"UT", b"SV", b"UV")
CHARACTERS = (b"", b"ISO_IR 100", b"ISO_IR 192", b"ISO_IR 13", b"ISO 2022 IR 6\\ISO 2022 IR 87", b"GB18030 ")
PIECES = st.sampled_from(
    [
        *(b"1", b"25", b"-0.5", b"1e3", b"1e999", b".", b"+", b"nan", b"A", b"a b"),
        *(b" ", b"\\", b"=", b"^", b"~", b"\0", b"\n", b"\xe4", b"\x1b"),
    ]
)
TEXT = st.lists(PIECES, max_size=6).map(b"".join)


def element(tag: int, vr: bytes, value: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr
    length = struct.pack(order + "xxI", len(value)) if vr in LONG else struct.pack(order + "H", len(value))
    return head + length + value


def by_pydicom(data: bytes, tag: int, *, big_endian: bool = False) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=not big_endian)
        return msgspec.json.decode(encoded_attributes(dataset[tag].to_json_dict(None, 0)))  # type: ignore[arg-type]


@given(st.sampled_from((*TEXTS, *NUMBERS, *OTHERS)), st.one_of(TEXT, st.binary(max_size=16)), st.booleans())
def test_a_value_is_pydicoms_or_left_to_it(vr: bytes, value: bytes, big_endian: bool) -> None:  # noqa: FBT001  # drawn
    encoding = Encoding(explicit=True, big_endian=big_endian)
    found = plain_value(vr, value, encoding, texts=True)
    if found is not None:
        data = element(0x00091001, vr, value, encoding.order)
        given_value = {"vr": vr.decode(), "Value": list(found)} if found else {"vr": vr.decode()}
        assert given_value == by_pydicom(data, 0x00091001, big_endian=big_endian)


@given(st.sampled_from(CHARACTERS), st.lists(st.tuples(st.sampled_from(TEXTS), TEXT), max_size=4))
def test_a_header_is_pydicoms(characters: bytes, values: list[tuple[bytes, bytes]]) -> None:
    data = element(0x00080005, b"CS", characters)
    for number, (vr, value) in enumerate(values):
        data += element(0x00101000 + number, vr, value)
    found = None
    try:
        expected = {
            f"{tag:08X}": by_pydicom(data, tag) for tag in (0x00080005, *range(0x00101000, 0x00101000 + len(values)))
        }
    except Exception:  # noqa: BLE001  # what pydicom makes of nonsense is tested elsewhere
        return
    found = msgspec.json.decode(encoded_attributes(attributes(DataSetHeader(data, EXPLICIT_LITTLE, "1.2"), "it")))
    del found["00083002"]
    assert found == expected


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        (b"CS", b"ORIGINAL\\PRIMARY\\AXIAL ", ["ORIGINAL", "PRIMARY", "AXIAL"]),
        (b"UI", b"1.2.840.10008.1.2\0", ["1.2.840.10008.1.2"]),
        (b"DS", b"-1.25\\3\\4.5E-1 ", [-1.25, 3.0, 0.45]),
        (b"IS", b"12", [12]),
        (b"PN", b"Doe^Jane", [{"Alphabetic": "Doe^Jane"}]),
        (b"LT", b"one; two  three", ["one; two  three"]),
        (b"TM", b"083501.25", ["083501.25"]),
        (b"US", b"\x01\0\xff\xff", [1, 65535]),
        (b"FD", struct.pack("<d", 0.1), [0.1]),
        (b"SH", b"", []),
    ],
)
def test_what_headers_hold_is_read(vr: bytes, value: bytes, expected: list[object]) -> None:
    found = plain_value(vr, value, EXPLICIT_LITTLE, texts=True)
    assert found is not None
    assert list(found) == expected


@pytest.mark.parametrize(
    ("vr", "value"),
    [(b"DS", b"1e999"), (b"LO", b" spaced"), (b"PN", b"A=B"), (b"FL", b"\0\0\xc0\x7f"), (b"US", b"\0"), (b"SQ", b"")],
)
def test_what_needs_thought_is_left(vr: bytes, value: bytes) -> None:
    assert plain_value(vr, value, EXPLICIT_LITTLE, texts=True) is None


def test_other_character_sets_are_left() -> None:
    assert plain_value(b"LO", b"a~b", EXPLICIT_LITTLE, texts=False) is None
    assert plain_value(b"CS", b"AXIAL", EXPLICIT_LITTLE, texts=False) == ["AXIAL"]

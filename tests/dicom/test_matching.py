"""Whether attributes match, by the rules of PS3.4 section C.2.2.2."""

from __future__ import annotations

from typing import Any

import pytest

from dicomzarr.dicom.matching import all_match, matches

DATE, TIME, DATETIME, NAME, TEXT, CODE, UID, NUMBER = "DA", "TM", "DT", "PN", "LO", "CS", "UI", "IS"


def attribute(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": [{"Alphabetic": each} if vr == NAME else each for each in values]}


@pytest.mark.parametrize(
    ("vr", "value", "wanted", "expected"),
    [
        (TEXT, "Head", "Head", True),
        (TEXT, "Head", "head", False),
        (TEXT, "Head", "He*", True),
        (TEXT, "Head", "H??d", True),
        (TEXT, "Head", "H?d", False),
        (TEXT, "[1]", "[1]", True),
        (TEXT, "1", "[1]", False),
        (TEXT, "a,b", "a,b", True),
        (TEXT, "a", "a,b", False),
        (TEXT, "Head ", "Head", True),
        (TEXT, "a" * 1000, "*a" * 300 + "b", False),
        (NAME, "DOE^JANE", "doe^jane", True),
        (NAME, "DOE^JANE", "DOE*", True),
        (NAME, "DOE^JANE", "*jane*", True),
        (NAME, "DOE^JANE^^", "DOE^JANE", True),
        (NAME, "DOE^JANE", "DOE", False),
        (CODE, "CT", "CT", True),
        (CODE, "CT", "ct", False),
        (CODE, "CT", "MR,CT", True),
        (CODE, "CT", "MR\\CT", True),
        (CODE, "CT", "C*", True),
        (UID, "1.2.3", "1.2.3", True),
        (UID, "1.2.3", "1.2", False),
        (UID, "1.2.3", "1.2.*", False),
        (UID, "1.2.3", "9,1.2.3", True),
        (UID, "1.2.3", "9\\1.2.3", True),
        (DATE, "20200315", "20200315", True),
        (DATE, "20200315", "2020", False),
        (DATE, "20200315", "20200101-20201231", True),
        (DATE, "20200315", "20200315-20200315", True),
        (DATE, "20200315", "20200316-", False),
        (DATE, "20200315", "-20200315", True),
        (DATE, "20200315", "-20200314", False),
        (TIME, "123456.789", "12", True),
        (TIME, "123456.789", "1235", False),
        (TIME, "123456.789", "1200-1234", True),
        (TIME, "123456.789", "123457-", False),
        (DATETIME, "20200315120000", "20200101-20200315", True),
        (DATETIME, "20240102101112.000000-0500", "20240102101112.000000-0500", True),
        (DATETIME, "20240102101112.000000-0500", "20240102-0500", True),
        (DATETIME, "20240102101112.000000-0500", "20240102101112", True),
        (DATETIME, "20240102101112.000000-0500", "2024010210111", True),
        (DATETIME, "20240102101112.000000-0500", "20240103-0500", False),
        (DATETIME, "20240102101112-0500", "20240102151112+0000", True),
        (DATETIME, "20240102101112-0500", "20240102101112+0000", False),
        (DATETIME, "20240102101112-0500", "20240102204112+0530", True),
        (DATETIME, "20240102231112-0500", "20240103+0000", True),
        (DATETIME, "20240102101112-0500", "20240102-20240102", True),
        (DATETIME, "20240102101112-0500", "2023-2025", True),
        (DATETIME, "20240102101112-0500", "2025-", False),
        (DATETIME, "20240102101112-0500", "-20240102", True),
        (DATETIME, "20240102101112-0500", "20240102101112-0500-20240102101112-0500", True),
        (DATETIME, "20240102101112-0500", "20240102151112+0000-", True),
        (DATETIME, "20240102101112-0500", "20240102151113+0000-", False),
        (DATETIME, "20240102101112-0500", "-20240102151111+0000", False),
        (DATETIME, "20240102101112", "20240102101112-0500", True),
        (NUMBER, 12, "12", True),
        (NUMBER, 12, "012", True),
        (NUMBER, 12, "1", False),
        ("DS", 0.5, "5e-1", True),
        ("US", 12, "x", False),
    ],
)
def test_values(vr: str, value: Any, wanted: str, *, expected: bool) -> None:
    assert matches({"00100010": attribute(vr, value)}, ["00100010"], wanted) is expected


@pytest.mark.parametrize("wanted", ["", "*"])
def test_all_is_matched_by_nothing(wanted: str) -> None:
    assert matches({}, ["00100010"], wanted)
    assert matches({"00100010": {"vr": "PN"}}, ["00100010"], wanted)


def test_what_is_empty_or_not_there_matches_no_value() -> None:
    assert not matches({}, ["00100020"], "?*")
    assert not matches({"00100020": {"vr": "LO"}}, ["00100020"], "?*")
    assert not matches({"00100020": {"vr": "LO", "Value": [None]}}, ["00100020"], "None")


def test_one_of_several_values_is_enough() -> None:
    assert matches({"00080061": attribute(CODE, "CT", "SEG")}, ["00080061"], "SEG")
    name = {"vr": NAME, "Value": [{"Alphabetic": "YAMADA^TARO", "Ideographic": "山田^太郎"}]}
    assert matches({"00100010": name}, ["00100010"], "山田*")


def test_attributes_within_sequences() -> None:
    items = [{"00400009": attribute("SH", "STEP1")}, {"00400009": attribute("SH", "STEP2")}]
    found = {"00400275": {"vr": "SQ", "Value": items}}
    assert matches(found, ["00400275", "00400009"], "STEP2")
    assert not matches(found, ["00400275", "00400009"], "STEP3")
    assert not matches(found, ["00400275", "00401001"], "STEP1")
    assert not matches({"00400275": attribute("LO", "no sequence")}, ["00400275", "00400009"], "x")


def test_people_may_type_any_case() -> None:
    assert matches({"00080060": attribute(CODE, "CT")}, ["00080060"], "ct", any_case=True)


@pytest.mark.parametrize(
    ("tag", "value", "wanted"),
    [
        ("00080020", "20200315", "20200101-20201231"),
        ("00080060", "CT", "MR,CT"),
        ("00201209", 12, "012"),
        ("00091001", "x", "x"),
    ],
)
def test_an_attribute_without_a_vr_matches_by_that_of_the_standard(tag: str, value: Any, wanted: str) -> None:
    assert matches({tag: {"Value": [value]}}, [tag], wanted)


WRITTEN = {
    "vr": NAME,
    "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}],
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("Yamada^Tarou=山田^太郎", True),
        ("yamada^tarou=山田^太郎=やまだ^たろう", True),
        ("Yamada*=山田*", True),
        ("=山田^太郎", True),
        ("==やまだ*", True),
        ("Yamada^Tarou=", True),
        ("Yamada^Tarou=山本^太郎", False),
        ("山田^太郎=Yamada^Tarou", False),
        ("Tanaka^Tarou=山田^太郎", False),
        ("===x", False),
        ("山田^太郎", True),
    ],
)
def test_a_name_in_several_writings(wanted: str, *, expected: bool) -> None:
    """Each by itself, in its place (PS3.5 section 6.2.1)."""
    assert matches({"00100010": WRITTEN}, ["00100010"], wanted) is expected
    as_text = {"vr": NAME, "Value": ["=".join(WRITTEN["Value"][0].values())]}  # type: ignore[attr-defined]
    if "=" in wanted:
        assert matches({"00100010": as_text}, ["00100010"], wanted) is expected


def test_keys_of_one_sequence_match_in_one_item() -> None:
    items = [
        {"00400009": attribute("SH", "S1"), "00401001": attribute("SH", "R1")},
        {"00400009": attribute("SH", "S2"), "00401001": attribute("SH", "R2")},
    ]
    found = {"00400275": {"vr": "SQ", "Value": items}, "00100020": attribute(TEXT, "P1")}
    step, request, patient = ("00400275", "00400009"), ("00400275", "00401001"), ("00100020",)
    assert all_match(found, [(step, "S1"), (patient, "P1"), (request, "R1")])
    assert not all_match(found, [(step, "S1"), (request, "R2")])
    assert not all_match(found, [(step, "S1"), (request, "R1"), (patient, "P2")])
    assert all_match(found, [(step, "S1"), (request, "*"), (("00400275", "00400007"), "")])
    assert all_match({}, [(step, ""), (request, "*")])
    deep = {"00081115": {"vr": "SQ", "Value": [{"00400275": {"vr": "SQ", "Value": [item]}} for item in items]}}
    assert all_match(deep, [(("00081115", *step), "S2"), (("00081115", *request), "R2")])
    assert not all_match(deep, [(("00081115", *step), "S2"), (("00081115", *request), "R1")])

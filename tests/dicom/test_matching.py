"""Whether attributes match, by the rules of PS3.4 section C.2.2.2."""

from __future__ import annotations

from typing import Any

import pytest

from dicomzarr.dicom.matching import matches

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

"""Values and tags of DICOM JSON that nobody has typed."""

from __future__ import annotations

from typing import Any

import pytest

from dicomzarr.dicom.model.plain_json import first_text, tag_of, values_of


@pytest.mark.parametrize(
    ("attribute", "values", "text"),
    [
        ({"vr": "CS", "Value": ["SEG ", "CT"]}, ["SEG ", "CT"], "SEG"),
        ({"vr": "IS", "Value": [3]}, [3], "3"),
        ({"vr": "UI", "Value": ["1.2\0"]}, ["1.2\0"], "1.2"),
        ({"vr": "PN", "Value": [{"Alphabetic": "A"}]}, [{"Alphabetic": "A"}], ""),
        ({"vr": "CS", "Value": [None]}, [None], ""),
        ({"vr": "CS", "Value": []}, [], ""),
        ({"vr": "CS", "Value": None}, [], ""),
        ({"vr": "CS", "Value": "SEG"}, [], ""),
        ({"vr": "CS"}, [], ""),
        ("SEG", [], ""),
        (None, [], ""),
    ],
)
def test_values_of_what_a_server_sends(attribute: Any, values: list[Any], text: str) -> None:
    assert values_of({"00080060": attribute}, "00080060") == values
    assert first_text({"00080060": attribute}, "00080060") == text


def test_an_attribute_that_is_not_there() -> None:
    assert values_of({}, "00080060") == []
    assert first_text({}, "00080060") == ""


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("Modality", "00080060"),
        ("0008103e", "0008103E"),
        ("00091001", "00091001"),
        ("modality", None),
        ("0008106", None),
        ("000810600", None),
        ("0008106g", None),
        ("\uff10" * 8, None),
        ("", None),
    ],
)
def test_tags_by_keyword(name: str, tag: str | None) -> None:
    assert tag_of(name) == tag

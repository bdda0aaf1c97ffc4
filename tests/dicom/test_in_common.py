"""What instances say alike is told once, and lost nowhere."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dicomzarr.dicom.model.in_common import told_once
from dicomzarr.dicom.model.instances import decode_instances

TAGS = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080060": {"vr": "CS", "Value": ["MR"]},
    "00190010": {"vr": "LO", "Value": ["SIEMENS MR HEADER"]},
    "0019100C": {"vr": "IS", "Value": [1000]},
    "00200013": {"vr": "IS", "Value": [7]},
    "00200032": {"vr": "DS", "Value": [0.0, 1.0, 2.5]},
    "00280030": {"vr": "DS"},
    "00540016": {"vr": "SQ", "Value": [{"00181074": {"vr": "DS", "Value": [3.5]}}]},
}
OTHER = {"vr": "LO", "Value": ["another"]}
ATTRIBUTES = st.dictionaries(st.sampled_from(sorted(TAGS)), st.booleans())


def instance(number: int, own: dict[str, bool]) -> dict[str, object]:
    uid = {"00080018": {"vr": "UI", "Value": [f"1.2.{number}"]}}
    return {**{tag: TAGS[tag] if same else OTHER for tag, same in own.items()}, **uid}


@given(st.lists(ATTRIBUTES, min_size=1, max_size=5))
def test_instances_read_as_if_each_said_all(owns: list[dict[str, bool]]) -> None:
    texts = [json.dumps(instance(number, own)).encode() for number, own in enumerate(owns)]
    common, rest = told_once(texts)
    whole = decode_instances(b"[" + b",".join(texts) + b"]")
    assert decode_instances(rest, common) == whole
    together = [{**json.loads(common or b"{}"), **own} for own in json.loads(rest)]
    assert together == [json.loads(text) for text in texts]


def test_many_slices_tell_once_what_they_have_in_common() -> None:
    texts = [json.dumps(instance(number, dict.fromkeys(TAGS, True))).encode() for number in range(100)]
    common, rest = told_once(texts)
    assert json.loads(common).keys() == {"00080060", "00200013", "00200032", "00280030", "00540016"}
    assert json.loads(rest)[7].keys() == {"00080005", "00080018", "00190010", "0019100C"}

"""DICOM JSON as servers spell it: the same series comes out."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from scans import SERIES, STUDY, Scan, classic, enhanced, segmentation, shots

from dicomzarr.dicom.model.completeness import referring_instances
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.spellings import as_standard, referred
from dicomzarr.dicom.series import parse_series
from dicomzarr.plan import plan_images

if TYPE_CHECKING:
    from collections.abc import Callable

    JSON = dict[str, Any]

_PACKED = {"US": "<H", "FD": "<d", "FL": "<f", "UL": "<I"}
_OF_ALL = {"00080005", "00080016", "00080018", "0020000D", "0020000E", "00280103"}


def facts(items: list[JSON]) -> list[object]:
    """What becomes of metadata."""
    plan = plan_images(parse_series(decode_instances(json.dumps(items).encode()), STUDY, SERIES))
    return [
        (image.name, image.axes, image.affine, image.channels, image.attributes.coordinates, level.shape, level.scale)
        for image in plan.images
        for level in image.levels
    ] + [plan.notices]


def changed(item: JSON, change: Callable[[str, JSON], JSON]) -> JSON:
    """Each attribute changed, those of items first."""
    found = {}
    for tag, element in item.items():
        values = element.get("Value", [])
        nested = [changed(value, change) if isinstance(value, dict) else value for value in values]
        found[tag] = change(tag, {**element, "Value": nested} if nested else element)
    return found


def in_words(_: str, element: JSON) -> JSON:
    values = element.get("Value", [])
    return element if element["vr"] == "SQ" else {**element, "Value": [str(value) for value in values]}


def in_one_text(_: str, element: JSON) -> JSON:
    values = element.get("Value", [])
    return {**element, "Value": ["\\".join(map(str, values))]} if element["vr"] in {"DS", "IS", "CS"} else element


def bare(_: str, element: JSON) -> JSON:
    single = len(element.get("Value", [])) == 1 and element["vr"] != "SQ"
    return {**element, "Value": element["Value"][0]} if single else element


def nameless(_: str, element: JSON) -> JSON:
    return {name: value for name, value in element.items() if name != "vr"}


def unknown(tag: str, element: JSON) -> JSON:
    """As bytes, with the VR UN."""
    vr, values = element["vr"], element.get("Value", [])
    if tag in _OF_ALL or not values:
        return element
    if vr == "SQ":
        return element
    octets = b"".join(struct.pack(_PACKED[vr], value) for value in values) if vr in _PACKED else _text(vr, values)
    return {"vr": "UN", "InlineBinary": base64.b64encode(octets).decode()}


def _text(vr: str, values: list[Any]) -> bytes:
    if vr == "AT":
        return b"".join(struct.pack("<HH", int(value[:4], 16), int(value[4:], 16)) for value in values)
    return "\\".join(map(str, values)).encode()


def unknown_sequences(tag: str, element: JSON) -> JSON:
    if element["vr"] != "SQ" or tag not in {"52009230", "00209222", "00620002"}:
        return element
    dataset = Dataset.from_json({tag: element})
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, dataset)
    return {"vr": "UN", "InlineBinary": base64.b64encode(buffer.getvalue()[8:]).decode()}


def vr_last(_: str, element: JSON) -> JSON:
    return {name: element[name] for name in sorted(element)}


def unknown_with_vr_last(tag: str, element: JSON) -> JSON:
    """As bytes, as those write it who sort names."""
    return vr_last(tag, unknown(tag, element))


SPELLINGS = {
    "words": in_words,
    "one text": in_one_text,
    "no list": bare,
    "no VR": nameless,
    "bytes": unknown,
    "sequences as bytes": unknown_sequences,
    "VR last": vr_last,
    "bytes before the VR": unknown_with_vr_last,
}

SCANS: dict[str, Callable[[], Scan]] = {
    "classic": lambda: classic(shots(2, 1, 3, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1}), "CT"),
    "enhanced": lambda: enhanced(
        [shots(1, 2, 3, tell=lambda shot: {"EffectiveEchoTime": 5.0 + shot.contrast})],
        index=["InStackPositionNumber", "EffectiveEchoTime"],
    ),
    "segmentation": lambda: segmentation({1: [0, 1], 2: [1, 2]}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", SCANS)
def test_a_series_is_the_same_however_it_is_spelled(name: str, spelling: str) -> None:
    items = SCANS[name]().instances
    spelled = [changed(item, SPELLINGS[spelling]) for item in items]
    assert facts(spelled) == facts(items)


@pytest.mark.parametrize("junk", [True, [1], {"00080100": {"Value": ["x"]}}, [{}]])
@pytest.mark.parametrize("name", SCANS)
def test_values_that_none_of_their_vr_can_be_cost_their_attribute(name: str, junk: object) -> None:
    items = SCANS[name]().instances
    spoiled = json.loads(json.dumps(items))
    spoiled[0]["00180050"] = {"vr": "DS", "Value": [junk]}
    spoiled[0]["00283000"] = {"vr": "SQ", "Value": ["text", 7, True]}
    for group in spoiled[0].get("52009230", {}).get("Value", []):
        group["00289132"] = {"vr": "SQ", "Value": [3.5]}
    assert facts(spoiled) == facts(items)


def test_texts_as_bytes_are_in_the_character_set_of_the_instance() -> None:
    items = SCANS["segmentation"]().instances
    label = items[0]["00620002"]["Value"][0]["00620005"]
    label.clear()
    label |= {"vr": "UN", "InlineBinary": base64.b64encode("Läsion".encode("latin-1")).decode()}
    items[0]["00080005"] = {"vr": "CS", "Value": ["ISO_IR 100"]}
    plan = plan_images(parse_series(decode_instances(json.dumps(items).encode()), STUDY, SERIES))
    assert plan.images[0].channels[0].label == "Läsion"


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b'{"00280030": "\\\\"}',
        b'["\\\\", null, {"00104000": {"vr": "LT", "Value": ["a\\\\b"]}, "00091002": {"Value": 7}}]',
        b'[{"00091002": {"vr": "UN", "InlineBinary": "AAAA"}}, {"00081140": {"vr": "UN", "InlineBinary": "AAAA"}}]',
    ],
)
def test_what_is_not_understood_stays_as_it_is(body: bytes) -> None:
    spelled = as_standard(body)
    assert spelled == body or json.loads(spelled) == json.loads(body)


def test_what_is_broken_does_not_keep_the_rest_from_being_understood() -> None:
    """DiffusionBValue is a double of eight bytes, and there are three of a sequence."""
    value = base64.b64encode(struct.pack("<d", 1000.0)).decode()
    told = {"vr": "UN", "InlineBinary": "AAAA"}
    (found,) = json.loads(
        as_standard(json.dumps([{"00081140": told, "00189087": {**told, "InlineBinary": value}}]).encode())
    )
    assert found == {"00081140": told, "00189087": {"vr": "FD", "Value": [1000.0]}}


@pytest.mark.parametrize("order", [list, sorted])
def test_values_that_are_somewhere_else_are_named(order: Callable[[JSON], list[str]]) -> None:
    item = {
        "00181065": {"vr": "DS", "BulkDataURI": "http://a/b"},
        "00281201": {"vr": "OW", "BulkDataURI": "http://a/c"},
        "00091010": {"vr": "DS", "BulkDataURI": "http://a/d"},
        "52009230": {"vr": "SQ", "BulkDataURI": "http://a/e"},
        "00209222": {"vr": "UN", "BulkDataURI": "http://a/f"},
        "30040058": {"vr": "DS", "BulkDataURI": "http://a/g"},
    }
    written = {tag: {name: element[name] for name in order(element)} for tag, element in item.items()}
    assert referred(json.dumps([written]).encode()) == {"00181065", "52009230", "00209222", "30040058"}


@pytest.mark.parametrize("word", ["NaN", "-Infinity", " Infinity "])
def test_bare_words_that_json_has_not_are_no_values(word: str) -> None:
    items = SCANS["classic"]().instances
    for item in items:
        item["00281050"] = {"vr": "DS", "Value": [98765.25]}
    body = b"\xef\xbb\xbf" + json.dumps(items).replace("98765.25", word).encode()
    plan = plan_images(parse_series(decode_instances(body), STUDY, SERIES))
    assert [image.levels[0].shape for image in plan.images] == [(2, 3, 4, 5)]
    assert plan.images[0].attributes.windows == ()


def test_a_mark_of_byte_order_spoils_no_reference() -> None:
    item = {"00080018": {"vr": "UI", "Value": ["1.2"]}, "52009230": {"vr": "SQ", "BulkDataURI": "x"}}
    body = b"\xef\xbb\xbf" + json.dumps([item]).encode()
    assert referring_instances(decode_instances(body), body) == [(0, "1.2")]

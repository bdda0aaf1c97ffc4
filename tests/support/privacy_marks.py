"""Metadata in which everything that may say who somebody is says so, and what finds it again wherever it shows."""

from __future__ import annotations

import base64
import json
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydicom._dicom_dict import DicomDictionary
from slides_model import PHI, instance_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom import Dataset

JSON = dict[str, Any]
Instances = list[JSON]

MARK: Final = "Zqxwvj"
"""Begins every text that is planted, in any case of its letters."""
BIRTH, TIME, AGE = "19580412", "070911", "063Y"
"""A date, a time of day and an age that are planted."""

_GROUPS: Final = (0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0048, 0x0054, 0x0088, 0x3004)
"""Patient, study, series, equipment, acquisition, pixels, requests, slides, nuclear medicine, dose."""

_FREE: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR", "DA", "TM", "DT", "AS"})
"""Values that anybody may have typed, or that date something; those that are there are overwritten too."""
_CODED: Final = frozenset({"CS", "AE"})
"""Values that mean something to a reader: planted where there is none, and behind those of ImageType."""

IMAGE_TYPE, ACQUISITION_TIME = "00080008", "00080032"
SHOWN: Final = frozenset({"00480106", "00480107", "00620005"})
"""OpticalPathIdentifier, OpticalPathDescription and SegmentLabel: names of channels, shown on purpose."""

_IN_ITEMS: Final = {
    "00209158": "LT",  # FrameComments
    "00283003": "LO",  # LUTExplanation
    "00409210": "SH",  # LUTLabel
    "00080104": "LO",  # CodeMeaning
    "00080100": "SH",  # CodeValue
    "00081030": "LO",  # StudyDescription
    "00100010": "PN",  # PatientName
    "00281055": "LO",  # WindowCenterWidthExplanation
    "00281054": "LO",  # RescaleType
    "00620006": "ST",  # SegmentDescription
    "00620009": "LO",  # SegmentAlgorithmName
    "00189074": "DT",  # FrameAcquisitionDateTime
    "00189151": "DT",  # FrameReferenceDateTime
}
"""Attributes of items of sequences, whether they belong there or not."""


def metadata_of(datasets: Iterable[Dataset]) -> Instances:
    """What an honest server says of these instances."""
    made: Instances = json.loads(msgspec.json.encode(list(map(instance_metadata, datasets)), enc_hook=str))
    return made


def marked(instances: Instances, *, names_as_text: bool = False) -> Instances:
    """The same metadata with marks in every kind of attribute.

    Args:
        instances: Metadata in the DICOM JSON model.
        names_as_text: Person names are plain strings, as some servers send them.
    """
    return [_marked(instance, number, names_as_text) for number, instance in enumerate(deepcopy(instances))]


def _marked(instance: JSON, number: int, names_as_text: bool) -> JSON:  # noqa: FBT001  # as above
    for tag, vr in _dictionary():
        if tag not in instance or vr in _FREE:
            instance[tag] = {"vr": vr, "Value": [_mark(tag, vr, names_as_text)]}
    for attribute in instance.values():
        for item in attribute.get("Value", []) if attribute["vr"] == "SQ" else ():
            _mark_item(item, names_as_text)
    nested = {"00081030": _text("nested"), "0040A160": _text("deeper")}
    instance[IMAGE_TYPE]["Value"] += [f"{MARK}ImageType".upper(), f"{MARK}^Type"]
    return instance | {
        ACQUISITION_TIME: {"vr": "TM", "Value": [f"{TIME}.{number:06}"]},
        "00080022": {"vr": "DA", "Value": [BIRTH]},
        "0008002A": {"vr": "DT", "Value": [f"{BIRTH}{TIME}.{number:06}"]},
        "00400275": {"vr": "SQ", "Value": [{"00400555": {"vr": "SQ", "Value": [nested]}, **nested}]},
        "00080096": {"vr": "SQ", "Value": [{"00401101": {"vr": "SQ", "Value": [nested]}}]},
        "00091001": _text("private"),
        "00091002": {"vr": "UN", "Value": [f"{MARK} unknown"]},
        "00091003": {"vr": "UN", "InlineBinary": base64.b64encode(f"{MARK} inline".encode()).decode()},
        "00091004": {"vr": "SQ", "Value": [{"00091001": _text("private item")}]},
        "0019100A": {"vr": "LO", "Value": [f"{MARK} Siemens"]},
        "60000022": _text("overlay"),
        "50000022": _text("curve"),
        f"{MARK}keyword": {"vr": "LO", "Value": [f"{MARK} of no tag"]},
    }


def _dictionary() -> Iterator[tuple[str, str]]:
    """(tag, VR) of every attribute of text in the groups above."""
    for tag, (vr, *_) in DicomDictionary.items():
        if tag >> 16 in _GROUPS and vr in _FREE | _CODED:
            yield f"{tag:08X}", vr


def _text(words: str) -> JSON:
    return {"vr": "LO", "Value": [f"{MARK} {words}"]}


def _mark(tag: str, vr: str, names_as_text: bool) -> object:  # noqa: FBT001  # as above
    text = f"{MARK}{tag}"
    dates = {"DA": BIRTH, "TM": TIME, "DT": f"{BIRTH}{TIME}", "AS": AGE}
    if vr == "PN" and not names_as_text:
        return {"Alphabetic": f"{text}^Hidden", "Ideographic": f"{text}^Hidden", "Phonetic": f"{text}^Hidden"}
    return dates.get(vr, text.upper() if vr in _CODED else f"{text} Hidden")


def _mark_item(item: JSON, names_as_text: bool) -> None:  # noqa: FBT001  # as above
    for tag, attribute in item.items():
        for inner in attribute.get("Value", []) if attribute["vr"] == "SQ" else ():
            _mark_item(inner, names_as_text)
        if attribute["vr"] in _FREE and tag not in SHOWN:
            attribute["Value"] = [f"{MARK}{value}" for value in attribute.get("Value", [])]
    for tag, vr in _IN_ITEMS.items():
        item[tag] = {"vr": vr, "Value": [_mark(tag, vr, names_as_text)]}


_SIGNS: Final = re.compile(
    "|".join(
        (
            rf"{MARK}\w*",
            *map(re.escape, PHI),
            rf"(?<!\d){BIRTH}",
            r"1958-04-12",
            rf"(?<!\d){TIME}(?!\d)",
            r"07:09:11",
            rf"(?<!\w){AGE}",
            r"-370025449|-3\.7002[0-9]*e\+?08",  # seconds from 1970 to then
        )
    ),
    re.IGNORECASE,
)
"""All that is planted, in the spellings that a reader might give it."""


def found_in(*shown: object) -> list[str]:
    """What was planted and shows."""
    texts = (one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in shown)
    return sorted({match[0] for text in texts for match in _SIGNS.finditer(text)})

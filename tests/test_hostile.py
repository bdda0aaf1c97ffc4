"""Metadata and frames that no honest server sends: they open right, or are an error that names what is broken."""

from __future__ import annotations

import base64
import json
import time
import tracemalloc
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_nuclear as nuclear
import radiology_volumes as volumes
from aiohttp import web
from faults import fault
from pydicom import DataElement
from radiology import SLICES
from radiology_model import distinct, series_of
from radiology_multiframe import echoes, enhanced_volume
from radiology_opened import Opener, axes_of, pixels_of
from radiology_slices import Identity, instance
from radiology_volumes import VOLUME, volume
from slides_model import instance_metadata

from dicomzarr.demo.instances import from_dataset, virtual_instance
from dicomzarr.errors import DicomZarrError, FrameError, InvalidAttributeError, MetadataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from pydicom import Dataset
    from radiology_model import RadiologySeries

    from dicomzarr.arrays import Image

JSON = dict[str, Any]
Instances = list[JSON]

ROWS, COLUMNS, SAMPLES, FRAMES, BITS = "00280010", "00280011", "00280002", "00280008", "00280100"
SPACING, POSITION, ORIENTATION = "00280030", "00200032", "00200037"
SLOPE, INTERCEPT, CENTER, WIDTH = "00281053", "00281052", "00281050", "00281051"
PER_FRAME, SHARED, INSTANCE, PATIENT = "52009230", "52009229", "00080018", "00100010"
MIB: Final = 2**20


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def metadata_of(series: RadiologySeries) -> Instances:
    """What an honest server says of a series."""
    made: Instances = json.loads(
        msgspec.json.encode([instance_metadata(dataset) for dataset in series.datasets], enc_hook=str)
    )
    return made


def saying(body: bytes) -> Middleware:
    """A server that sends these bytes as metadata."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/dicom+json")

    return fault(act, on="metadata")


def open_changed(
    opened: Opener, series: RadiologySeries, change: Callable[[Instances], object], **options: Any
) -> Image:
    """Open a series whose metadata were changed."""
    told = metadata_of(series)
    change(told)
    return opened(series, saying(json.dumps(told).encode()), **options)


def look_at(image: Image) -> None:
    """Use an image in every way: each pixel, labelled arrays, what notebooks show."""
    for each in (*image.images, *image.associated.values()):
        assert pixels_of(each).shape == each.levels[0].shape
        assert each.to_xarray()["0"]["image"].shape == each.levels[0].shape
        assert each.name
        assert repr(each)
    assert "<img" in image._repr_html_()


def put(tag: str, *values: object, **members: object) -> Callable[[Instances], None]:
    """Give an attribute these values in all instances; with ``members``, those of the attribute's JSON instead."""

    def change(instances: Instances) -> None:
        for each in instances:
            each[tag] = {"vr": "UN", **members} if members else {"vr": "UN", "Value": list(values)}

    return change


def each_attribute(change: Callable[[str, JSON], JSON]) -> Callable[[Instances], None]:
    """Spell every attribute in another way, in sequences too."""

    def spell(item: JSON) -> JSON:
        spelled = {}
        for tag, attribute in item.items():
            nested = [spell(value) if isinstance(value, dict) and _is_item(value) else value for value in _values(attribute)]
            spelled[tag] = change(tag, {**attribute, "Value": nested} if "Value" in attribute else attribute)
        return spelled

    def run(instances: Instances) -> None:
        instances[:] = [spell(each) for each in instances]

    return run


def _values(attribute: JSON) -> list[Any]:
    values: list[Any] = attribute.get("Value", [])
    return values


def _is_item(value: JSON) -> bool:
    return all(len(tag) == 8 for tag in value)


def in_frames(*path: str, values: list[Any], frames: slice = slice(None)) -> Callable[[Instances], None]:
    """Give an attribute in the functional groups of some frames these values."""

    def change(instances: Instances) -> None:
        for each in instances:
            for item in each[PER_FRAME]["Value"][frames]:
                sequence, tag = path
                item[sequence]["Value"][0][tag]["Value"] = values

    return change


# --- J1, J2, J3, J7, J8, J9, J10, J14: spellings of the same, which open as if they were right

NUMERIC: Final = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "FD", "FL"})


def respelled(spell: Callable[[Any], object]) -> Callable[[Instances], None]:
    """Every number of a series in another spelling."""

    def change(_: str, attribute: JSON) -> JSON:
        if attribute.get("vr") not in NUMERIC:
            return attribute
        return {**attribute, "Value": [spell(value) for value in _values(attribute)]}

    return each_attribute(change)


def without_member(name: str) -> Callable[[Instances], None]:
    """Attributes that lack a member of their JSON."""
    return each_attribute(lambda _, attribute: {key: value for key, value in attribute.items() if key != name})


def lower_case(instances: Instances) -> None:
    def spell(item: JSON) -> JSON:
        return {
            tag.lower(): {**attribute, "Value": [spell(v) if isinstance(v, dict) and _is_item(v) else v for v in _values(attribute)]}
            for tag, attribute in item.items()
        }

    instances[:] = [spell(each) for each in instances]


def nulls_for_empty(instances: Instances) -> None:
    for each in instances:
        each["00081030"] = {"vr": "LO", "Value": [None]}
        each["00180050"] = {"vr": "DS", "Value": [None]}
        each["00280120"] = {"vr": "US", "Value": None}
        each["00281055"] = {"vr": "LO", "Value": [None, "LUNG"]}
        each["00189117"] = {"vr": "SQ", "Value": [None]}


def pointers_as(spell: Callable[[str], object]) -> Callable[[Instances], None]:
    """Values of VR AT in another spelling."""

    def change(_: str, attribute: JSON) -> JSON:
        if attribute.get("vr") != "AT":
            return attribute
        return {**attribute, "Value": [spell(value) for value in _values(attribute)]}

    return each_attribute(change)


SPELLINGS: Final[Mapping[str, Callable[[Instances], object]]] = {
    "numbers as text": respelled(str),
    "numbers as padded text": respelled(lambda value: f" {value} "),
    "numbers padded with a zero byte": respelled(lambda value: f"{value}\0"),
    "numbers with a sign": respelled(lambda value: f"+{value}" if float(value) >= 0 else str(value)),
    "numbers with an exponent": respelled(lambda value: f"{float(value):.17e}"),
    "numbers as floating point": respelled(float),
    "nulls for what is empty": nulls_for_empty,
    "person names as text": put(PATIENT, "Hidden^Person"),
    "person names as several objects": put(PATIENT, {"Alphabetic": "Hidden^Person"}, {"Ideographic": "x"}, None),
    "person names as lists": put(PATIENT, ["Hidden", "Person"]),
    "no vr": without_member("vr"),
    "lower-case tags": lower_case,
    "tags as UN": each_attribute(lambda _, attribute: {**attribute, "vr": "UN"}),
    "unknown members": each_attribute(lambda _, attribute: {**attribute, "keyword": "X", "Name": {"a": [1]}}),
    "private attributes of every form": put("00091001", {"Alphabetic": 1}, [[None]], 10**400, "\ud83d\ude00"),
    "pointers in brackets": pointers_as(lambda tag: f"({tag[:4]},{tag[4:]})"),
    "pointers as numbers": pointers_as(lambda tag: int(tag, 16)),
    "pointers in lower case": pointers_as(str.lower),
    "pointers as C numbers": pointers_as(lambda tag: f"0x{tag}"),
    "pointers that are none": pointers_as(lambda _: "Rows"),
    "pointers beyond all tags": pointers_as(lambda _: 2**63),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_other_spellings_open_as_the_right_one(opened: Opener, name: str) -> None:
    for series in (volume(), echoes()):
        right = opened(series)
        image = open_changed(opened, series, SPELLINGS[name])
        assert np.array_equal(pixels_of(image), pixels_of(right))
        assert (image.axes, image.levels[0].scale) == (right.axes, right.levels[0].scale)
        assert image.affine == right.affine
        look_at(image)


def test_uids_that_are_too_long_or_begin_with_zeros_open(opened: Opener) -> None:
    datasets = [from_dataset(dataset).metadata() for dataset in volume().datasets]
    frame = VOLUME[0].tobytes()
    uid = f"1.2.{'0123456789' * 9}"
    for number, each in enumerate(datasets):
        each[INSTANCE]["Value"] = [f"{uid}.00{number}"]
        each["0020000D"]["Value"] = each["0020000E"]["Value"] = [uid]
    stored = [virtual_instance(json.loads(json.dumps(each, default=str)), lambda _: frame, "1.2.840.10008.1.2.1") for each in datasets]
    server = opened.serve(stored)
    import dicomzarr

    image = dicomzarr.open(server.series_url(uid, uid))
    assert np.array_equal(pixels_of(image), np.stack([VOLUME[0]] * len(VOLUME)))

"""Metadata and frames that no honest server sends: they open right, or are an error that names what is broken."""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pytest
import radiology_nuclear as nuclear
import radiology_volumes as volumes
from aiohttp import web
from faults import fault
from pydicom.uid import ExplicitVRLittleEndian
from radiology import SLICES
from radiology_model import distinct
from radiology_multiframe import echoes, enhanced_volume
from radiology_opened import Opener, pixels_of
from radiology_volumes import VOLUME, volume
from slides_model import instance_metadata

import dicomzarr
from dicomzarr.demo.instances import virtual_instance
from dicomzarr.errors import DicomZarrError, MetadataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from radiology_model import RadiologySeries

    from dicomzarr.arrays import Image

JSON = dict[str, Any]
Instances = list[JSON]

ROWS, COLUMNS, SAMPLES, FRAMES, BITS = "00280010", "00280011", "00280002", "00280008", "00280100"
SPACING, POSITION, ORIENTATION = "00280030", "00200032", "00200037"
SLOPE, INTERCEPT, CENTER, WIDTH = "00281053", "00281052", "00281050", "00281051"
PER_FRAME, SHARED, INSTANCE, PATIENT = "52009230", "52009229", "00080018", "00100010"
ACQUIRED = "0008002A"


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
            nested = [
                spell(value) if isinstance(value, dict) and _is_item(value) else value for value in _values(attribute)
            ]
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
            tag.lower(): {
                **attribute,
                "Value": [spell(v) if isinstance(v, dict) and _is_item(v) else v for v in _values(attribute)],
            }
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
    uid = f"1.2.{'0123456789' * 9}"
    told = metadata_of(volume())
    for number, each in enumerate(told):
        each[INSTANCE]["Value"] = [f"{uid}.00{number}"]
        each["0020000D"]["Value"] = each["0020000E"]["Value"] = [uid]
    stored = [virtual_instance(each, lambda _: VOLUME[0].tobytes(), ExplicitVRLittleEndian) for each in told]
    image = dicomzarr.open(opened.serve(stored).series_url(uid, uid))
    assert np.array_equal(pixels_of(image), np.stack([VOLUME[0]] * len(VOLUME)))


# --- odd values that are no reason not to open


def picture() -> RadiologySeries:
    """A single slice."""
    return volume(pixels=VOLUME[:1])


def windows(centers: list[object], widths: list[object]) -> Callable[[Instances], None]:
    def change(instances: Instances) -> None:
        put(CENTER, *centers)(instances)
        put(WIDTH, *widths)(instances)

    return change


def times(*values: object) -> Callable[[Instances], None]:
    """Dates and times of acquisition, one for each instance."""

    def change(instances: Instances) -> None:
        for each, value in zip(instances, itertools.cycle(values)):
            each[ACQUIRED] = {"vr": "DT", "Value": [value]}
            each["00080032"] = each["00080022"] = {"vr": "TM", "Value": [value]}

    return change


ODD: Final[Mapping[str, tuple[Callable[[], RadiologySeries], Callable[[Instances], object]]]] = {
    "padded number of frames": (echoes, put(FRAMES, "8 ")),
    "number of frames as text with a sign": (echoes, put(FRAMES, " +8")),
    "no number of frames": (volume, put(FRAMES)),
    "null number of frames": (volume, put(FRAMES, None)),
    "blank number of frames": (volume, put(FRAMES, "")),
    "slope 0": (volume, put(SLOPE, 0)),
    "slope 1e300": (volume, put(SLOPE, 1e300)),
    "slope 1e-300": (volume, put(SLOPE, "1e-300")),
    "slope -1": (volume, put(SLOPE, -1)),
    "intercept 1e300": (volume, put(INTERCEPT, 1e300)),
    "slope without intercept": (volume, put(INTERCEPT)),
    "window width 0": (volume, windows([40], [0])),
    "window width negative": (volume, windows([40], [-10])),
    "window width huge": (volume, windows([1e300], [1e300])),
    "window width text": (volume, windows([40], ["wide"])),
    "window width NaN": (volume, windows(["NaN"], ["NaN"])),
    "fewer window widths than centers": (volume, windows([40, 50, 60], [400])),
    "window center null": (volume, windows([None, 40], [400, 400])),
    "padding value huge": (volume, put("00280120", 1e300)),
    "padding value text": (volume, put("00280120", "none")),
    "padding value as several": (volume, put("00280120", 0, 1, 2)),
    "thickness infinite": (picture, put("00180050", "inf")),
    "thickness negative": (picture, put("00180050", -3)),
    "spacing between slices tiny": (volume, put("00180088", 1e-300)),
    "image type null": (volume, put("00080008", None, None)),
    "image type numbers": (volume, put("00080008", 1, 2.5, 10**30)),
    "image type of a thousand words": (volume, put("00080008", *["AXIAL"] * 1000)),
    "times that are none": (volume, times("00000000000000", "99999999999999", "20200102030405", "x")),
    "times at the ends": (volume, times("00010101000000+1400", "99991231235959.999999-1400")),
    "times with impossible zones": (volume, times("20200102030405+9999")),
    "echo times huge": (volume, put("00180081", 1.7e308)),
    "gradient of two numbers": (volume, put("00189089", 1, 0)),
    "gradient of huge numbers": (volume, put("00189089", 1e300, 1e300, 1e300)),
    "laterality text": (volume, put("00200062", "left, I think")),
    "no modality": (volume, put("00080060")),
    "modality null": (volume, put("00080060", None)),
    "instance numbers huge": (volume, put("00200013", 10**400)),
    "planar configuration 7": (volume, put("00280006", 7)),
    "frame of reference blank": (volume, put("00200052", "")),
    "per-frame groups null": (volume, put(PER_FRAME, vr="SQ", Value=None)),
    "shared groups null": (volume, put(SHARED, None)),
    "ultrasound regions": (
        partial(volumes.ultrasound, distinct((16, 20, 3), bits=8)),
        put("00186011", {"00186024": {"Value": [1e300]}, "0018602C": {"Value": ["x"]}}, {}, None),
    ),
    "dimension index values too few": (echoes, in_frames("00209111", "00209157", values=[1])),
    "dimension index values too many": (echoes, in_frames("00209111", "00209157", values=[1] * 50)),
    "dimension index values text": (echoes, in_frames("00209111", "00209157", values=["a", None, "c"])),
    "frame times text": (nuclear.evenly_timed, put("00181063", "quick")),
    "frame times 0": (nuclear.evenly_timed, put("00181063", 0)),
    "frame times 1e308": (nuclear.evenly_timed, put("00181063", 1e308)),
    "frame time vector too short": (nuclear.evenly_timed, put("00181065", 0, 1)),
    "frame time vector too long": (nuclear.evenly_timed, put("00181065", *range(1000))),
    "frame time vector of text": (nuclear.evenly_timed, put("00181065", "a", "b", "c", "d")),
    "frame time vector 1e308": (nuclear.evenly_timed, put("00181065", 0, 1e308, 1e308, 1e308)),
    "energy window vector too short": (nuclear.evenly_timed, put("00540010", 1)),
    "energy window vector of text": (nuclear.evenly_timed, put("00540010", "a", "b", "a", "b")),
    "detectors without places": (nuclear.evenly_timed, put("00540022", {}, None, {})),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("values", ["stored", "modality"])
def test_odd_values_open(opened: Opener, name: str, values: str) -> None:
    build, change = ODD[name]
    series = build()
    image = open_changed(opened, series, change, values=values)
    look_at(image)
    if values == "stored":
        assert np.array_equal(pixels_of(image), pixels_of(opened(build())))


# --- broken values that are named


def nested(opening: str, closing: str, depth: int = 100_000) -> bytes:
    """Metadata with a value in so many others."""
    return b'[{"00080018":{"Value":' + (opening * depth + "1" + closing * depth).encode() + b"}}]"


def without(tag: str) -> Callable[[Instances], None]:
    def change(instances: Instances) -> None:
        for each in instances:
            del each[tag]

    return change


def turned(*cosines: object) -> Callable[[Instances], None]:
    return put(ORIENTATION, *cosines)


DOSE: Final = partial(nuclear.dose, distinct((4, 16, 20), bits=32), [0, 2.5, 5, 7.5])
TOMO: Final = partial(nuclear.recon_tomo, SLICES)

BROKEN: Final[Mapping[str, tuple[Callable[[], RadiologySeries], Callable[[Instances], object], str]]] = {
    **{
        f"{keyword} {value!r:.20}": (volume, put(tag, value), keyword)
        for tag, keyword in ((ROWS, "Rows"), (COLUMNS, "Columns"))
        for value in (0, -1, 1.5, 65536, 2**31, 1e300, 10**400, "NaN", "Infinity", "tall", "16 x 20")
    },
    "Rows null": (volume, put(ROWS, None), "Rows"),
    "Rows as bytes": (volume, put(ROWS, InlineBinary="EAA="), "Rows"),
    "Rows elsewhere": (volume, put(ROWS, BulkDataURI="http://elsewhere.example"), "Rows"),
    **{
        f"NumberOfFrames {value!r:.20}": (nuclear.evenly_timed, put(FRAMES, value), "NumberOfFrames")
        for value in (0, -3, 2.5, 2**31, 2**31 - 1, 10**400, "NaN", "many", "1e400")
    },
    **{
        f"NumberOfFrames {value}, of which 8 are described": (
            echoes,
            put(FRAMES, value),
            f"PerFrameFunctionalGroupsSequence has 8 items for {value} frames",
        )
        for value in (7, 9, 2**31 - 1)
    },
    **{
        f"SamplesPerPixel {value!r:.20}": (volume, put(SAMPLES, value), "SamplesPerPixel|[sS]amples")
        for value in (0, 2, 4, 10**9, "NaN", "one")
    },
    **{
        f"BitsAllocated {value!r:.20}": (volume, put(BITS, value), "BitsAllocated")
        for value in (0, -8, 7, 12, 128, 10**9, "NaN", "few")
    },
    "BitsStored 17 of 16": (volume, put("00280101", 17), "BitsStored 17"),
    "orientation of zeros": (volume, turned(0, 0, 0, 0, 0, 0), "ImageOrientationPatient"),
    "orientation without a right angle": (volume, turned(1, 0, 0, 0.6, 0.8, 0), "ImageOrientationPatient"),
    "orientation twice the same": (volume, turned(1, 0, 0, 1, 0, 0), "ImageOrientationPatient"),
    "orientation of long vectors": (volume, turned(2, 0, 0, 0, 2, 0), "ImageOrientationPatient"),
    "orientation NaN": (volume, turned("NaN", 0, 0, 0, 1, 0), "ImageOrientationPatient"),
    "orientation infinite": (volume, turned("inf", 0, 0, 0, 1, 0), "ImageOrientationPatient"),
    "orientation 1e300": (volume, turned(1e300, 0, 0, 0, 1e300, 0), "ImageOrientationPatient"),
    "orientation of five": (volume, turned(1, 0, 0, 0, 1), "ImageOrientationPatient"),
    "orientation of text": (volume, turned("a", "b", "c", "d", "e", "f"), "ImageOrientationPatient"),
    "position 1e300": (volume, put(POSITION, 0, 0, 1e300), "ImagePositionPatient"),
    "position NaN": (volume, put(POSITION, 0, 0, "NaN"), "ImagePositionPatient"),
    "position of two": (volume, put(POSITION, 0, 0), "ImagePositionPatient"),
    "position of text": (volume, put(POSITION, "head", "first", "supine"), "ImagePositionPatient"),
    "position with a hole": (volume, put(POSITION, 0, None, 0), "ImagePositionPatient"),
    **{
        f"spacing {values}": (volume, put(SPACING, *values), "PixelSpacing")
        for values in ((0, 0), (0.8, 0), (-1, -1), (1e-300, 1), (1e300, 1), ("NaN", 1), ("inf", 1), (1,), (1, 2, 3))
    },
    **{
        f"spacing of frames {values}": (
            partial(enhanced_volume, SLICES, measures="per_frame"),
            in_frames("00289110", SPACING, values=list(values), frames=slice(1)),
            "PixelSpacing",
        )
        for values in ((0, 0), (-1, -1), (1e-300, 1), (1e300, 1), ("NaN", 1), (1,))
    },
    **{f"slope {value}": (volume, put(SLOPE, value), "RescaleSlope") for value in ("NaN", "inf", "steep", 10**400)},
    **{f"intercept {value}": (volume, put(INTERCEPT, value), "RescaleIntercept") for value in ("NaN", "-inf", "low")},
    "dose scaling NaN": (DOSE, put("3004000E", "NaN"), "DoseGridScaling"),
    "dose offsets too few": (DOSE, put("3004000C", 0, 2.5), "GridFrameOffsetVector"),
    "dose offsets too many": (DOSE, put("3004000C", *range(100)), "GridFrameOffsetVector"),
    "dose offsets of text": (DOSE, put("3004000C", "a", "b", "c", "d"), "GridFrameOffsetVector"),
    "dose offsets 1e300": (DOSE, put("3004000C", 0, 1, 2, 1e300), "ImagePositionPatient"),
    "slice vector of one place": (TOMO, put("00540080", 1, 1, 1, 1), "frame"),
    "no instance UID": (volume, without(INSTANCE), "SOPInstanceUID"),
    "instance UIDs that are none": (volume, put(INSTANCE, "../../studies"), "SOPInstanceUID"),
    "all frames at one place": (volume, put(POSITION, 0, 0, 0), "lie at one place"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_values_are_named(opened: Opener, name: str) -> None:
    build, change, named = BROKEN[name]
    series = build()
    with pytest.raises(MetadataError, match=named) as refused:
        open_changed(opened, series, change)
    assert series.series_uid in str(refused.value)


BODIES: Final = {
    "lists in lists": nested("[", "]"),
    "sequences in sequences": nested('[{"0040A730":{"vr":"SQ","Value":', "}}]"),
    "objects in objects": nested('{"a":', "}"),
    "cut off": b'[{"00080018":{"vr":"UI","Value":["1.2.3"]}}, {"0008',
    "NaN": b'[{"00080018":{"vr":"UI","Value":[NaN]}}]',
    "a lone surrogate": b'[{"00080018":{"vr":"UI","Value":["\\ud800"]}}]',
    "bytes that are no text": b'[{"00080018":{"vr":"UI","Value":["\xff\xfe"]}}]',
    "one null": b"[null]",
    "a list of lists": b"[[]]",
    "numbers": b"[1, 2, 3]",
    "attributes as numbers": b'[{"00080018": 5}]',
    "values as an object": b'[{"00080018":{"vr":"UI","Value":{"0":"1.2.3"}}}]',
    "truth values": b'[{"00080018":{"vr":"UI","Value":["1.2.3"]},"00280010":{"vr":"US","Value":[true]}}]',
    "a number of 5000 digits": b'[{"00080018":{"vr":"UI","Value":[' + b"1" * 5000 + b"]}}]",
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_metadata_is_an_error(opened: Opener, name: str) -> None:
    with pytest.raises(DicomZarrError) as refused:
        opened(volume(), saying(BODIES[name]))
    assert volume().series_uid in str(refused.value)

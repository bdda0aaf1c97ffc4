"""Metadata and frames that no honest server sends: they open right, or are an error that names what is broken."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import imagecodecs
import msgspec
import numpy as np
import pytest
import radiology_nuclear as nuclear
import radiology_volumes as volumes
import slides
from aiohttp import web
from faults import change_parts, fault, grey_jpeg, status, wrong_frame_size
from pydicom.uid import ExplicitVRLittleEndian
from radiology import SLICES
from radiology_model import AXIAL, distinct, series_of
from radiology_multiframe import echoes, enhanced_volume
from radiology_opened import Opener, pixels_of
from radiology_slices import Identity, compress, stack
from radiology_volumes import VOLUME, volume
from segmentations import segmented
from slides_model import instance_metadata
from waiting import BUSY

import dicomzarr
from dicomzarr.demo.instances import from_dataset, virtual_instance
from dicomzarr.errors import DicomZarrError, FrameError, InvalidAttributeError, InvalidReplyError, MetadataError
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from multipart_parts import Part
    from radiology_model import Pixels, RadiologySeries

    from dicomzarr.arrays.image import Image
    from dicomzarr.demo.instances import ServedInstance

JSON = dict[str, Any]
Instances = list[JSON]
Build: TypeAlias = "Callable[[], RadiologySeries]"

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


@dataclass(frozen=True)
class Kept:
    """A series that is made once for all tests."""

    study: str
    series: str
    stored: tuple[ServedInstance, ...]
    told: bytes
    """What an honest server says of it."""

    def metadata(self) -> Instances:
        """The same, to be changed."""
        instances: Instances = json.loads(self.told)
        return instances


@cache
def kept(build: Build) -> Kept:
    """The series that a function makes."""
    made = build()
    told = msgspec.json.encode(list(map(instance_metadata, made.datasets)), enc_hook=str)
    return Kept(made.study_uid, made.series_uid, tuple(map(from_dataset, made.datasets)), told)


@cache
def right_pixels(build: Build) -> Pixels:
    """What the series shows that nobody has changed."""
    with Opener() as opener:
        return pixels_of(open_changed(opener, build, list))


@cache
def right_places(build: Build) -> tuple[object, ...]:
    """Axes, steps and affine of the same."""
    with Opener() as opener:
        image = open_changed(opener, build, list)
        return image.axes, image.levels[0].scale, image.affine


def saying(body: bytes) -> Middleware:
    """A server that sends these bytes as metadata."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/dicom+json")

    return fault(act, on="metadata")


NO_FILES: Final = status(404, on="instances")
"""Where metadata leave something out, files would have it."""


def open_changed(
    opened: Opener,
    build: Build,
    change: Callable[[Instances], object],
    *middlewares: Middleware,
    **options: Any,
) -> Image:
    """Open a series whose metadata were changed."""
    made = kept(build)
    told = made.metadata()
    change(told)
    server = opened.serve(made.stored, saying(json.dumps(told).encode()), *middlewares)
    return dicomzarr.open(server.series_url(made.study, made.series), **options)


def look_at(image: Image) -> Pixels:
    """Use an image in every way: labelled arrays, what notebooks show, each pixel; gives these."""
    for each in (*image.images, *image.associated.values()):
        assert each.to_xarray()["0"]["image"].shape == each.levels[0].shape
        assert each.name
        assert repr(each)
    assert "<img" in image._repr_html_()
    return pixels_of(image)


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


# --- spellings of the same, which open as if they were right

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
    for build in (volume, echoes):
        image = open_changed(opened, build, SPELLINGS[name])
        assert np.array_equal(pixels_of(image), right_pixels(build))
        assert (image.axes, image.levels[0].scale, image.affine) == right_places(build)


def test_uids_that_are_too_long_or_begin_with_zeros_open(opened: Opener) -> None:
    uid = f"1.2.{'0123456789' * 9}"
    told = kept(volume).metadata()
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


def segmentation() -> RadiologySeries:
    """Two binary segments."""
    masks = (np.arange(2 * SLICES.size) % 3 == 0).astype(np.uint8).reshape(2, *SLICES.shape)
    return series_of([segmented(stack(Identity("segmented"), SLICES, AXIAL), masks).dataset])


def slide() -> RadiologySeries:
    """Tiles that each say where they lie."""
    return series_of(slides.sparse_brightfield().datasets)


def in_segments(tag: str, *values: object) -> Callable[[Instances], None]:
    def change(instances: Instances) -> None:
        for item in instances[0]["00620002"]["Value"]:
            put(tag, *values)([item])

    return change


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


ODD: Final[Mapping[str, tuple[Build, Callable[[Instances], object]]]] = {
    "padded number of frames": (echoes, put(FRAMES, "8 ")),
    "number of frames as text with a sign": (echoes, put(FRAMES, " +8")),
    "no number of frames": (volume, put(FRAMES)),
    "null number of frames": (volume, put(FRAMES, None)),
    "blank number of frames": (volume, put(FRAMES, "")),
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
    "thickness tiny": (picture, put("00180050", 1e-300)),
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
    "segments without colours": (segmentation, in_segments("0062000D")),
    "segments in colours that are none": (segmentation, in_segments("0062000D", 1e300, -1e300, 1e300)),
    "segments in colours of text": (segmentation, in_segments("0062000D", "red", "green", "blue")),
    "segments without labels": (segmentation, in_segments("00620005", None)),
    "bits with a sign": (segmentation, put("00280103", 1)),
    "detectors without places": (nuclear.evenly_timed, put("00540022", {}, None, {})),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_open(opened: Opener, name: str) -> None:
    build, change = ODD[name]
    assert np.array_equal(look_at(open_changed(opened, build, change)), right_pixels(build))


@pytest.mark.parametrize("name", [name for name in ODD if name.startswith(("slope", "intercept", "window", "padding"))])
def test_odd_values_can_be_rescaled(opened: Opener, name: str) -> None:
    build, change = ODD[name]
    found = look_at(open_changed(opened, build, change, values="modality"))
    told = kept(build).metadata()
    change(told)
    slope, intercept = (float((told[0][tag]["Value"] or [0])[0]) for tag in (SLOPE, INTERCEPT))
    assert np.allclose(found, right_pixels(build) * slope + intercept, rtol=1e-6)


@pytest.mark.parametrize("thickness", [1e200, 1.7e308])
def test_a_slice_of_impossible_thickness_opens(opened: Opener, thickness: float) -> None:
    image = open_changed(opened, picture, put("00180050", thickness))
    assert np.array_equal(look_at(image), right_pixels(picture))


def test_a_slope_that_leads_beyond_all_numbers_is_named(opened: Opener) -> None:
    change = put(SLOPE, 1.7e308)
    with pytest.raises(InvalidAttributeError, match="RescaleSlope"):
        open_changed(opened, volume, change, values="modality")
    assert np.array_equal(pixels_of(open_changed(opened, volume, change)), VOLUME)


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

BROKEN: Final[Mapping[str, tuple[Build, Callable[[Instances], object], str]]] = {
    **{
        f"{keyword} {value!r:.20}": (volume, put(tag, value), keyword)
        for tag, keyword in ((ROWS, "Rows"), (COLUMNS, "Columns"))
        for value in (0, -1, 1.5, 65536, 2**31, 1e300, 10**400, "NaN", "Infinity", "tall", "16 x 20")
    },
    "Rows null": (volume, put(ROWS, None), "Rows"),
    "Rows as half a number": (volume, put(ROWS, InlineBinary="EA=="), "Rows"),
    "Rows elsewhere": (volume, put(ROWS, BulkDataURI="http://elsewhere.example"), "Rows"),
    **{
        f"NumberOfFrames {value!r:.20}": (nuclear.evenly_timed, put(FRAMES, value), "NumberOfFrames")
        for value in (2**31, 2**31 - 1)
    },
    **{
        f"SamplesPerPixel {value!r:.20}": (volume, put(SAMPLES, value), "SamplesPerPixel|[sS]amples")
        for value in (0, 2, 4, 9999, "NaN", "one")
    },
    **{
        f"BitsAllocated {value!r:.20}": (volume, put(BITS, value), "BitsAllocated")
        for value in (0, -8, 7, 12, 128, 10**9, "NaN", "few")
    },
    "no segment numbers": (segmentation, in_segments("00620004"), "SegmentNumber"),
    "segment numbers of text": (segmentation, in_segments("00620004", "first"), "SegmentNumber"),
    "no instance UID": (volume, without(INSTANCE), "SOPInstanceUID"),
    "instance UIDs that are none": (volume, put(INSTANCE, "../../studies"), "SOPInstanceUID"),
}


LISTED: Final[Mapping[str, tuple[Callable[[Instances], object], str]]] = {
    "tiles beyond all numbers": (in_frames("0048021A", "0048021E", values=[10**400]), "usable positions"),
    "tiles between two": (in_frames("0048021A", "0048021E", values=[1.5]), "usable positions"),
    "tiles of text": (in_frames("0048021A", "0048021F", values=["left of Doe"]), "usable positions"),
    "matrices of billions": (put("00480006", 2**32 - 1), "more than any slide"),
}


@pytest.mark.parametrize("name", LISTED)
def test_tiles_that_nothing_places_are_lists(opened: Opener, name: str) -> None:
    change, reason = LISTED[name]
    image = open_changed(opened, slide, change)
    assert {each.name.rpartition(": ")[2] for each in image.images} == {"list of tiles"}
    assert any(reason in notice for notice in image.notices)
    assert "Doe" not in str(image.notices)
    assert sum(each.levels[0].shape[0] for each in image.images) == sum(
        instance.frame_count for instance in kept(slide).stored
    )
    look_at(image)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_values_are_named(opened: Opener, name: str) -> None:
    build, change, attribute = BROKEN[name]
    with pytest.raises(MetadataError, match=attribute) as refused:
        open_changed(opened, build, change, NO_FILES)
    assert kept(build).series in str(refused.value)


# --- facts that are impossible, and cost nothing but themselves


LEFT_OUT: Final[Mapping[str, tuple[Build, Callable[[Instances], object], str]]] = {
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
    **{f"slope {value}": (volume, put(SLOPE, value), "RescaleSlope") for value in (0, "NaN", "inf", "steep", 10**400)},
    **{f"intercept {value}": (volume, put(INTERCEPT, value), "RescaleIntercept") for value in ("NaN", "-inf", "low")},
    "dose scaling NaN": (DOSE, put("3004000E", "NaN"), "DoseGridScaling"),
    "dose scaling 0": (DOSE, put("3004000E", 0), "DoseGridScaling"),
    "dose offsets too few": (DOSE, put("3004000C", 0, 2.5), "GridFrameOffsetVector"),
    "dose offsets too many": (DOSE, put("3004000C", *range(100)), "GridFrameOffsetVector"),
    "dose offsets of text": (DOSE, put("3004000C", "a", "b", "c", "d"), "GridFrameOffsetVector"),
    "dose offsets 1e300": (DOSE, put("3004000C", 0, 1, 2, 1e300), "GridFrameOffsetVector"),
    "slices beyond all numbers": (
        partial(nuclear.recon_tomo, SLICES),
        put("00180088", 1e308),
        "SpacingBetweenSlices",
    ),
    "slices of no distance": (partial(nuclear.recon_tomo, SLICES), put("00180088", 0), "SpacingBetweenSlices"),
    "heights beyond all numbers": (slide, in_frames("0048021A", "0040074A", values=[1e308]), "ZOffsetInSlide"),
    "heights of text": (slide, in_frames("0048021A", "0040074A", values=["high"]), "ZOffsetInSlide"),
    "volume of no width": (slide, put("00480001", 0), "ImagedVolumeWidth"),
    "volume of text": (slide, put("00480002", "tall"), "ImagedVolumeHeight"),
    "origin in another town": (slide, put("00480008", {"0040072A": {"Value": [1e300]}}), "XOffsetInSlide"),
    "slide that lies nowhere": (slide, put("00480102", 1e300, 0, 0, 0, 1e300, 0), "ImageOrientationSlide"),
    "slide of five directions": (slide, put("00480102", 0, 1, 0, 1, 0), "ImageOrientationSlide"),
    "slide with absent pixels beyond white": (slide, put("00480015", 1e300, 32896, 32896), "RecommendedAbsentPixel"),
    "slide with absent pixels of text": (slide, put("00480015", "blue", "red"), "RecommendedAbsentPixel"),
    "slide of no planes": (slide, put("00480303", 0), "TotalPixelMatrixFocalPlanes"),
    "slide of no paths": (slide, put("00480302", -1), "NumberOfOpticalPaths"),
    "no number of frames where all are described": (echoes, put(FRAMES, 0), "NumberOfFrames"),
}
WORDS: Final = ("head", "supine", "steep", "low", "tall", "blue", "high")
"""Texts where numbers should be: they may be anything, a name too."""


def frames_in(image: Image) -> list[bytes]:
    """Every frame of all images, in no order."""
    level = [each.levels[0] for each in image.images]
    return sorted(frame.tobytes() for each in level for frame in each[...].reshape(-1, *each.shape[-2:]))


@pytest.mark.parametrize("name", LEFT_OUT)
def test_an_impossible_fact_costs_no_more_than_itself_and_is_noticed_once(opened: Opener, name: str) -> None:
    build, change, keyword = LEFT_OUT[name]
    image = open_changed(opened, build, change)
    for each in image.images:
        look_at(each)
    (notice,) = (notice for notice in image.notices if keyword in notice)
    assert "impossible" in notice
    assert not any(re.search(rf"\b{word}\b", notice) for word in WORDS)
    with Opener() as other:
        assert frames_in(image) == frames_in(open_changed(other, build, list))


@pytest.mark.parametrize("name", [name for name in LEFT_OUT if name.startswith(("orientation", "position"))])
def test_what_lies_nowhere_has_no_affine(opened: Opener, name: str) -> None:
    _, change, _ = LEFT_OUT[name]
    image = open_changed(opened, picture, change)
    assert image.affine is None
    assert np.array_equal(pixels_of(image), right_pixels(picture))


def test_frames_without_a_spacing_have_no_unit_and_steps_of_one(opened: Opener) -> None:
    image = open_changed(opened, volume, put(SPACING, 0, 0))
    assert image.affine is None
    assert [(axis.unit, step) for axis, step in zip(image.axes, image.levels[0].scale, strict=True)][1:] == [
        (None, 1.0),
        (None, 1.0),
    ]


@pytest.mark.parametrize("change", [put(SLOPE, 0), put(SLOPE, "NaN"), put(INTERCEPT, "low")])
def test_half_a_rescale_is_none(opened: Opener, change: Callable[[Instances], object]) -> None:
    image = open_changed(opened, volume, change, values="modality")
    assert np.array_equal(pixels_of(image), VOLUME)
    assert "units" not in dicomzarr_attributes(image.plan)
    assert any("as they are stored" in notice for notice in image.notices)


@pytest.mark.parametrize("value", [0, -3, 2.5, 10**400, "NaN", "many", "1e400"])
def test_of_an_impossible_number_of_frames_one_is_read(opened: Opener, value: object) -> None:
    image = open_changed(opened, nuclear.evenly_timed, put(FRAMES, value))
    assert np.array_equal(look_at(image), right_pixels(nuclear.evenly_timed)[0])
    assert any("NumberOfFrames" in notice for notice in image.notices)


@pytest.mark.parametrize("more", [-1, 1])
def test_frames_that_nothing_describes_are_read_and_noticed(opened: Opener, more: int) -> None:
    described = len(SLICES)
    image = open_changed(opened, partial(enhanced_volume, SLICES), put(FRAMES, described + more))
    told = f"PerFrameFunctionalGroupsSequence has {described} items for {described + more} frames"
    assert told in " ".join(image.notices)
    assert sum(math.prod(each.levels[0].shape[:-2]) for each in image.images) == described + more


def test_two_instances_of_one_oddity_have_one_notice(opened: Opener) -> None:
    image = open_changed(opened, volume, lambda told: put(SPACING, 0)(told[1:3]))
    (notice,) = (notice for notice in image.notices if "PixelSpacing" in notice)
    assert notice.startswith("2 instances: PixelSpacing")
    assert kept(volume).metadata()[1][INSTANCE]["Value"][0] in notice


BODIES: Final = {
    "lists in lists": nested("[", "]"),
    "sequences in sequences": nested('[{"0040A730":{"vr":"SQ","Value":', "}}]"),
    "objects in objects": nested('{"a":', "}"),
    "cut off": b'[{"00080018":{"vr":"UI","Value":["1.2.3"]}}, {"0008',
    "NaN": b'[{"00080018":{"vr":"UI","Value":[NaN]}}]',
    "a lone surrogate": b'[{"00080018":{"vr":"UI","Value":["\\ud800"]}}]',
    "bytes that are no text": b'[{"00080018":{"vr":"UI","Value":["\xff\xfe"]}}]',
    "a list of lists": b"[[]]",
    "numbers": b"[1, 2, 3]",
    "attributes as numbers": b'[{"00080018": 5}]',
    "values as an object": b'[{"00080018":{"vr":"UI","Value":{"0":"1.2.3"}}}]',
    "truth values": b'[{"00080018":{"vr":"UI","Value":["1.2.3"]},"00280010":{"vr":"US","Value":[true]}}]',
    "a number of 5000 digits": b'[{"00080018":{"vr":"UI","Value":[' + b"1" * 5000 + b"]}}]",
}


@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_metadata_is_an_error(opened: Opener, name: str) -> None:
    with pytest.raises(DicomZarrError) as refused:
        opened(volume(), saying(BODIES[name]))
    assert kept(volume).series in str(refused.value)


# --- tables: palettes and modality tables


def table(count: int = 256, bits: int = 8) -> bytes:
    return bytes(count * bits // 8)


def palette() -> RadiologySeries:
    """A picture in colours of 256 entries."""
    colors = ("Red", "Green", "Blue")
    described: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    described |= {f"{color}PaletteColorLookupTableDescriptor": [256, 0, 8] for color in colors}
    described |= {f"{color}PaletteColorLookupTableData": table() for color in colors}
    return volumes.secondary_capture(distinct((16, 20), bits=8), **described)


DESCRIPTOR, DATA, SEGMENTED = "00281101", "00281201", "00281221"
LUT, LUT_DESCRIPTOR, LUT_DATA = "00283000", "00283002", "00283006"


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def put_segments(data: bytes) -> Callable[[Instances], None]:
    """The red data as segments."""

    def change(instances: Instances) -> None:
        put(SEGMENTED, InlineBinary=coded(data))(instances)
        for each in instances:
            del each[DATA]

    return change


def in_table(tag: str, attribute: JSON) -> Callable[[Instances], None]:
    """Another attribute in the modality table."""

    def change(instances: Instances) -> None:
        for each in instances:
            each[LUT]["Value"][0][tag] = attribute

    return change


TABLES: Final[Mapping[str, tuple[Build, Callable[[Instances], object], str]]] = {
    **{
        f"palette of {count} bytes": (palette, put(DATA, InlineBinary=coded(table(count))), "RedPalette.*256 entries")
        for count in (1, 255, 257, 300, 1024)
    },
    "palette of no bytes": (palette, put(DATA, InlineBinary=""), "RedPalette"),
    "palette that is not there": (palette, put(DATA), "RedPalette"),
    "palette without descriptor": (palette, put(DESCRIPTOR), "RedPalette.*Descriptor"),
    "palette with half a descriptor": (palette, put(DESCRIPTOR, 256, 0), "RedPalette.*Descriptor"),
    "palette with a descriptor of text": (palette, put(DESCRIPTOR, "a", "b", "c"), "RedPalette.*Descriptor"),
    "palette with entries of 0 bits": (palette, put(DESCRIPTOR, 256, 0, 0), "RedPalette.*Descriptor"),
    "palette with entries of 64 bits": (palette, put(DESCRIPTOR, 256, 0, 64), "RedPalette.*Descriptor"),
    "palette with a descriptor of huge numbers": (palette, put(DESCRIPTOR, 1e300, 0, 8), "RedPalette.*Descriptor"),
    "palette of 65536 entries that has 256": (palette, put(DESCRIPTOR, 0, 0, 8), "RedPalette.*65536 entries"),
    "palette in broken base64": (palette, put(DATA, InlineBinary="AAE"), "RedPalette.*base64"),
    "palette in no base64": (palette, put(DATA, InlineBinary="\u00e9"), "RedPalette.*base64"),
    "palette of text": (palette, put(DATA, "red", "more red"), "RedPalette"),
    "palette of numbers beyond words": (palette, put(DATA, *[2**17] * 256), "RedPalette"),
    "palette of nulls": (palette, put(DATA, *[None] * 256), "RedPalette"),
    "segmented palette that is empty": (palette, put_segments(b""), "RedPalette"),
    "segmented palette cut off": (palette, put_segments(b"\0\xff\0"), "SegmentedRedPalette"),
    "segmented palette of empty segments": (palette, put_segments(bytes(600)), "SegmentedRedPalette"),
    "segmented palette that refers to itself": (
        palette,
        put_segments(b"\2\1\0\0\0\0" * 3),
        "SegmentedRedPalette",
    ),
    "modality table without data": (volumes.modality_lut, in_table(LUT_DATA, {"vr": "OW"}), "LUTData"),
    "modality table too short": (
        volumes.modality_lut,
        in_table(LUT_DATA, {"vr": "OW", "InlineBinary": coded(bytes(10))}),
        "LUTData",
    ),
    "modality table without descriptor": (volumes.modality_lut, in_table(LUT_DESCRIPTOR, {"vr": "US"}), "LUTDesc"),
    "modality table of NaN": (volumes.modality_lut, in_table(LUT_DATA, {"Value": ["NaN"] * 4096}), "LUTData"),
}


@pytest.mark.parametrize("name", TABLES)
def test_broken_tables_are_named_and_stored_values_open(opened: Opener, name: str) -> None:
    build, change, attribute = TABLES[name]
    values = "color" if build is palette else "modality"
    with pytest.raises(InvalidAttributeError, match=attribute):
        open_changed(opened, build, change, NO_FILES, values=values)
    image = open_changed(opened, build, change, NO_FILES)
    assert np.array_equal(pixels_of(image), right_pixels(build))
    assert "no picture" in image._repr_html_() or build is not palette


@pytest.mark.parametrize(
    "uri", ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:alert(1)", "http://", "http://[", ""]
)
def test_bulk_data_elsewhere_than_on_the_web_are_not_read(opened: Opener, uri: str) -> None:
    with pytest.raises(DicomZarrError):
        open_changed(opened, palette, put(DATA, BulkDataURI=uri), NO_FILES, values="color")


def test_another_host_that_metadata_name_is_asked_nothing(opened: Opener) -> None:
    elsewhere = opened.serve([])
    uri = elsewhere.series_url("1.2", "1.3", scheme="http") + "/table"
    with pytest.raises(InvalidReplyError, match="bulk_data_hosts") as caught:
        open_changed(opened, palette, put(DATA, BulkDataURI=uri), values="color", auth=("joe", "secret"))
    assert kept(palette).series in str(caught.value)
    assert not elsewhere.requests


def test_another_host_that_is_allowed_gets_no_credentials(opened: Opener) -> None:
    elsewhere = opened.serve([])
    uri = elsewhere.series_url("1.2", "1.3", scheme="http") + "/table"
    hosts = [uri.split("/")[2]]
    with pytest.raises(DicomZarrError, match=kept(palette).series):
        open_changed(
            opened, palette, put(DATA, BulkDataURI=uri), values="color", auth=("joe", "secret"), bulk_data_hosts=hosts
        )
    assert elsewhere.requests
    assert all("Authorization" not in request.headers for request in elsewhere.requests)
    assert all("Authorization" in request.headers for request in opened.servers[-1].requests)


# --- frames


@contextmanager
def bounded(mebibytes: int) -> Iterator[None]:
    """No more memory than this is taken at any time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 2**20, f"{peak / 2**20:.0f} MiB"


LITTLE: Final[Mapping[str, bytes]] = {
    "1.2.840.10008.1.2.1": b"a few bytes",
    "1.2.840.10008.1.2.5": b"\1\0\0\0\x40\0\0\0" + bytes(56) + b"\x81\0" * 20,
    "1.2.840.10008.1.2.8.1": zlib.compress(bytes(2**20))[2:-4],
    "1.2.840.10008.1.2.4.50": grey_jpeg(8, 8),
    "1.2.840.10008.1.2.4.80": bytes(imagecodecs.jpegls_encode(np.zeros((8, 8), np.uint16))),
    "1.2.840.10008.1.2.4.90": bytes(imagecodecs.jpeg2k_encode(np.zeros((8, 8), np.uint16))),
    "1.2.840.10008.1.2.4.110": bytes(imagecodecs.jpegxl_encode(np.zeros((8, 8), np.uint16), lossless=True)),
}
"""A few bytes of each codec, by transfer syntax UID."""


def enlarged(data: bytes) -> bytes:
    """Codestreams whose headers say 65535 x 65535 too."""
    sizes = ((b"\x00\x08\x00\x08", b"\xff" * 4), (b"\0\0\0\x08" * 2, b"\0\0\xff\xff" * 2))
    for small, large in sizes:
        data = data.replace(small, large)
    return data


AGREEING: Final = [uid for uid in LITTLE if enlarged(LITTLE[uid]) != LITTLE[uid]]
"""Codestreams that can be made to say as much as the header."""


@pytest.mark.parametrize(
    ("uid", "agree"),
    [
        *(pytest.param(uid, False, marks=[pytest.mark.slow] * (uid in AGREEING)) for uid in LITTLE),
        *((uid, True) for uid in AGREEING),
    ],
)
def test_four_billion_pixels_in_a_few_bytes_take_no_memory(opened: Opener, uid: str, *, agree: bool) -> None:
    told = kept(volume).metadata()
    for each in told:
        each[ROWS]["Value"] = each[COLUMNS]["Value"] = [65535]
    data = enlarged(LITTLE[uid]) if agree else LITTLE[uid]
    stored = [virtual_instance(each, lambda _: data, uid) for each in told]
    url = opened.serve(stored).series_url(volume().study_uid, volume().series_uid)
    with bounded(50):
        level = dicomzarr.open(url).levels[0]
        assert level.shape == (5, 65535, 65535)
        for _ in range(2):
            with pytest.raises(FrameError, match="frame 1"):
                level[2, :4, :4]


NO_WHOLE: Final = status(404, on="instances")
"""No frame can be cut from a whole instance, which would put a broken one right."""


def test_four_billion_pixels_are_described_without_being_read(opened: Opener) -> None:
    def enlarge(instances: Instances) -> None:
        put(ROWS, 65535)(instances)
        put(COLUMNS, 65535)(instances)

    image = opened(volume())  # what is imported takes memory of its own
    assert image._repr_html_()
    assert image.to_xarray()["0"]["image"].chunks is None
    assert image.levels[0].to_dask().ndim == 3
    with bounded(50):
        image = open_changed(opened, volume, enlarge)
        assert "no picture" in image._repr_html_()
        assert image.to_xarray()["0"]["image"].shape == (5, 65535, 65535)
        assert image.levels[0].to_dask().shape == (5, 65535, 65535)
    assert opened.count("frames") == 0


BROKEN_FRAME: Final = 5


def ten_frames(codec: str) -> RadiologySeries:
    """A cine loop."""
    frames = distinct((10, 16, 20))
    series = nuclear.evenly_timed(frames)
    if codec != "native":
        compress(series.datasets[0], list(frames))
    return series


TEN_FRAMES: Final = partial(ten_frames, "native")

DAMAGES: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "cut in half": lambda body: body[: len(body) // 2],
    "one byte": lambda _: b"\0",
    "something else": lambda _: b"\xff\xd8\xff garbage",
}


@pytest.mark.parametrize("codec", ["native", "JPEG-LS"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_one_broken_frame_of_ten_is_an_error_each_time_and_the_others_are_read(
    opened: Opener, codec: str, damage: str
) -> None:
    def break_one(parts: tuple[Part, ...]) -> list[Part]:
        spoiled = f"/frames/{BROKEN_FRAME}"
        return [
            p.with_body(DAMAGES[damage](bytes(p.body))) if (p.header("Content-Location") or "").endswith(spoiled) else p
            for p in parts
        ]

    series = ten_frames(codec)
    pixels = distinct((10, 16, 20))
    level = opened(series, NO_WHOLE, change_parts(break_one)).levels[0]
    others = [number for number in range(10) if number != BROKEN_FRAME - 1]
    for _ in range(3):
        asked = opened.count("frames")
        with pytest.raises(DicomZarrError, match=f"frame {BROKEN_FRAME}"):
            level[BROKEN_FRAME - 1]
        assert opened.count("frames") > asked
        assert np.array_equal(level[others], pixels[others])


def test_frames_that_only_the_metadata_promise_are_errors(opened: Opener) -> None:
    level = open_changed(opened, TEN_FRAMES, put(FRAMES, 12)).levels[0]
    assert level.shape[0] == 12
    assert np.array_equal(level[:10], distinct((10, 16, 20)))
    for frame in (11, 12):
        with pytest.raises(DicomZarrError, match=f"frame {frame}"):
            level[frame - 1]


def test_frames_that_the_metadata_do_not_mention_are_not_read(opened: Opener) -> None:
    image = open_changed(opened, TEN_FRAMES, put(FRAMES, 3))
    assert np.array_equal(pixels_of(image), distinct((10, 16, 20))[:3])


@pytest.mark.parametrize("change", [-1, -2, 2, 640])
def test_frames_of_another_length_than_the_metadata_say_are_errors(opened: Opener, change: int) -> None:
    image = opened(volume(), NO_WHOLE, wrong_frame_size(change))
    with pytest.raises(FrameError, match="frame 1"):
        pixels_of(image)


def test_grey_frames_are_not_twice_as_long_whatever_their_colours_are_called(opened: Opener) -> None:
    renamed = put("00280004", "YBR_FULL_422")
    assert np.array_equal(pixels_of(open_changed(opened, volume, renamed)), right_pixels(volume))
    image = open_changed(opened, volume, renamed, NO_WHOLE, wrong_frame_size(VOLUME[0].nbytes))
    with pytest.raises(FrameError, match="frame 1"):
        pixels_of(image)


def test_rows_that_are_given_twice_open_or_say_which_frame_they_are_not(opened: Opener) -> None:
    """As a real file that was cut off has them."""
    image = open_changed(opened, volume, put(ROWS, 32768, 0))
    assert image.levels[0].shape == (5, 32768, 20)
    with pytest.raises(FrameError, match="32768x20"):
        image.levels[0][0, :2, :2]


# --- many


def turned_slices(count: int) -> bytes:
    """Metadata of slices each of which has an orientation of its own."""
    (told,) = kept(picture).metadata()
    instances = []
    for number in range(count):
        angle = number / count * math.tau
        cosines = [math.cos(angle), math.sin(angle), 0.0, -math.sin(angle), math.cos(angle), 0.0]
        own = {INSTANCE: {"Value": [f"1.2.3.{number + 1}"]}, ORIENTATION: {"Value": cosines}}
        instances.append({**told, **own})
    return json.dumps(instances).encode()


def test_no_more_images_than_are_asked_for(opened: Opener) -> None:
    with pytest.raises(
        MetadataError, match=r"would be 60 images \(they differ in orientation\).*limits=\{'images': 60\}"
    ):
        opened(picture(), saying(turned_slices(60)), limits={"images": 59})
    assert len(opened(picture(), saying(turned_slices(60)), limits={"images": 60}).images) == 60


@pytest.mark.parametrize("count", [200, pytest.param(4000, marks=pytest.mark.slow)])
def test_slices_that_are_all_turned_otherwise_open_in_time(opened: Opener, count: int) -> None:
    began = time.process_time()
    image = opened(picture(), saying(turned_slices(count)))
    assert len(image.images) == count
    assert image.images[count // 2].levels[0].shape == (16, 20)
    assert time.process_time() - began < 10 * BUSY


def test_a_volume_whose_slices_all_say_one_place_is_a_list_without_affine(opened: Opener) -> None:
    image = open_changed(opened, volume, put(POSITION, 0, 0, 0))
    assert opened.count("frames") == 0
    assert frames_in(image) == sorted(plane.tobytes() for plane in VOLUME)
    assert "list of frames" in image.name
    assert image.affine is None


@pytest.mark.parametrize("count", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_slices_at_one_place_that_nothing_tells_apart_are_a_list_in_time(opened: Opener, count: int) -> None:
    (told,) = kept(picture).metadata()

    def frame(value: int, _number: int) -> bytes:
        return bytes(np.full_like(VOLUME[0], value % 4096))

    stored = [
        virtual_instance(
            {**told, INSTANCE: {"Value": [f"1.2.3.{number}"]}}, partial(frame, number), ExplicitVRLittleEndian
        )
        for number in range(count)
    ]
    url = opened.serve(stored).series_url(picture().study_uid, picture().series_uid)
    began = time.process_time()
    image = dicomzarr.open(url)
    assert time.process_time() - began < (10 + count / 200) * BUSY
    assert opened.count("frames") == 0
    assert "list of frames" in image.name
    assert image.affine is None
    assert image.levels[0].shape == (count, 16, 20)
    last = max(f"1.2.3.{number}" for number in range(count))
    assert np.unique(image.levels[0][count - 1]).tolist() == [int(last.rpartition(".")[2]) % 4096]


@pytest.mark.slow
def test_many_frames_that_only_a_number_promises_take_bounded_time_and_memory(opened: Opener) -> None:
    began = time.process_time()
    with bounded(300):
        image = open_changed(opened, TEN_FRAMES, put(FRAMES, 30_000))
    assert image.levels[0].shape == (30_000, 16, 20)
    assert time.process_time() - began < 60 * BUSY

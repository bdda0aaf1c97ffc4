"""Metadata as servers really send them, typed; and nothing in them that identifies anybody."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
from PIL import Image, ImageCms
from serving import serving
from slides import (
    PHI,
    TestSlide,
    brightfield_pyramid,
    channels_in_instances,
    concatenation,
    extended_depth_of_field,
    fluorescence_focal_stack,
    off_grid,
    overlapping_tiles,
    poor_headers,
    sparse_brightfield,
    sparse_fluorescence,
    two_pyramids,
)

import dicomzarr
from dicomzarr.dicom.instance import Instance
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.json_model import patient_of
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.dicom.segmentation import lab16_to_srgb
from dicomzarr.dicom.series import parse_series
from dicomzarr.dicom.slide.concatenation import FrameSequence
from dicomzarr.errors import (
    DicomZarrError,
    InvalidAttributeError,
    MetadataError,
    MissingInstanceError,
    UnsupportedSeriesError,
)
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.plan import plan_images
from dicomzarr.plan.tile_lists import is_tile_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.plan import SeriesPlan

    JSON = Any
    Change = Callable[[str, dict[str, JSON]], None]

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
ROWS, COLUMNS, FRAMES, MATRIX_ROWS = "00280010", "00280011", "00280008", "00480007"
IMAGE_TYPE, CODE_OF_PATH, ORIGIN, ORIENTATION = "00080008", "00480105", "00480008", "00480102"
SHARED, PER_FRAME, MEASURES, SPACING, POSITION = "52009229", "52009230", "00289110", "00280030", "0048021A"
MATRIX_COLUMNS = "00480006"
VOLUME_WIDTH, VOLUME_HEIGHT, Z_OFFSET = "00480001", "00480002", "0040074A"

NUMERIC = {"DS", "IS", "US", "UL", "SS", "SL", "FL", "FD"}


def plan(slide: TestSlide, metadata: list[JSON] | None = None) -> SeriesPlan:
    body = json.dumps(slide.metadata() if metadata is None else metadata).encode()
    return plan_images(parse_series(decode_instances(body), slide.study_uid, slide.series_uid))


def facts(found: SeriesPlan) -> list[Any]:
    """What a plan says, frames included, in values that compare."""
    return [
        (
            image.name, image.axes, image.channels, image.affine,
            [
                (
                    level.shape, level.chunks, level.dtype, level.scale, level.translation, level.fill_value,
                    [
                        (ref.instance.sop_instance_uid, ref.number) if (ref := level.frames.locate(chunk)) else None
                        for chunk in np.ndindex(level.grid)
                    ],
                )
                for level in image.levels
            ],
        )
        for image in (*found.images, *(image for _, image in found.associated))
    ]  # fmt: skip


def changed(metadata: list[JSON], change: Change) -> list[JSON]:
    """Every attribute, nested ones too, changed in a copy."""

    def visit(attributes: dict[str, JSON]) -> None:
        for tag, attribute in attributes.items():
            for value in attribute.get("Value", []):
                if isinstance(value, dict) and attribute.get("vr") == "SQ":
                    visit(value)
            change(tag, attribute)

    result = copy.deepcopy(metadata)
    for instance in result:
        visit(instance)
    return result


def as_text(spell: Callable[[float], str]) -> Change:
    def change(_tag: str, attribute: dict[str, JSON]) -> None:
        if attribute["vr"] in NUMERIC and "Value" in attribute:
            attribute["Value"] = [spell(value) for value in attribute["Value"]]

    return change


def without_vr(_tag: str, attribute: dict[str, JSON]) -> None:
    attribute.pop("vr")


def as_unknown(_tag: str, attribute: dict[str, JSON]) -> None:
    attribute["vr"] = "UN"


def as_floats(_tag: str, attribute: dict[str, JSON]) -> None:
    if attribute["vr"] in NUMERIC:
        attribute["Value"] = [float(value) for value in attribute["Value"]]


def padded_text(_tag: str, attribute: dict[str, JSON]) -> None:
    if attribute["vr"] in {"CS", "UI", "LO", "SH"} and "Value" in attribute:
        attribute["Value"] = [f"{value} " if isinstance(value, str) else value for value in attribute["Value"]]


SPELLINGS: dict[str, Change] = {
    "numbers_as_text": as_text(str),
    "numbers_as_padded_text": as_text(lambda value: f" {value} "),
    "numbers_with_exponents": as_text(lambda value: f"{value:.12E}"),
    "numbers_with_sign": as_text(lambda value: f"{value:+}"),
    "whole_numbers_as_floats": as_floats,
    "padded_text": padded_text,
    "no_vr": without_vr,
    "vr_unknown": as_unknown,
}
SLIDES: dict[str, Callable[[], TestSlide]] = {
    "pyramid": brightfield_pyramid,
    "sparse": sparse_fluorescence,
    "stack": fluorescence_focal_stack,
    "concatenation": concatenation,
}


# --- leniency: PS3.18 annex F as it is spoken ---


@pytest.mark.parametrize("name", SLIDES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_that_mean_the_same(name: str, spelling: str) -> None:
    slide = SLIDES[name]()
    assert facts(plan(slide, changed(slide.metadata(), SPELLINGS[spelling]))) == facts(plan(slide))


@pytest.mark.parametrize("name", SLIDES)
def test_tags_in_lower_case(name: str) -> None:
    slide = SLIDES[name]()

    def lowered(value: JSON) -> JSON:
        if isinstance(value, list):
            return [lowered(each) for each in value]
        if isinstance(value, dict):
            return {key.lower() if len(key) == 8 else key: lowered(each) for key, each in value.items()}
        return value

    body = json.dumps(lowered(slide.metadata())).encode()
    for spelled in (body, body.replace(b'": ', b'" : ')):
        found = plan_images(parse_series(decode_instances(spelled), slide.study_uid, slide.series_uid))
        assert facts(found) == facts(plan(slide))


@pytest.mark.parametrize("empty", [{}, {"Value": []}, {"Value": [None]}, {"Value": [""]}])
def test_empty_values_are_absent_values(empty: dict[str, JSON]) -> None:
    slide = poor_headers()
    metadata = slide.metadata()
    for instance in metadata:
        for tag, vr in (
            (IMAGE_TYPE, "CS"),
            ("00209311", "CS"),
            ("00480303", "UL"),
            ("00283002", "US"),
            ("00080019", "UI"),
        ):
            instance[tag] = {"vr": vr, **empty}
    assert facts(plan(slide, metadata)) == facts(plan(slide))


@pytest.mark.parametrize("empty", [None, {"vr": "UL", "Value": None}])
def test_nulls_in_the_place_of_attributes_and_values(empty: JSON) -> None:
    """At the top, in shared and in per-frame functional groups."""
    for slide in (poor_headers(), sparse_fluorescence()):
        metadata = slide.metadata()
        for instance in metadata:
            instance.setdefault("00480303", empty)
            for tag in (SHARED, PER_FRAME):
                for group in instance.get(tag, {}).get("Value", []):
                    group.setdefault(MEASURES, empty)
        assert facts(plan(slide, metadata)) == facts(plan(slide))


@pytest.mark.parametrize("name", [None, {"vr": "PN", "Value": None}, {"vr": "PN", "Value": [{"Alphabetic": None}]}])
def test_nulls_in_the_place_of_the_patient(name: JSON) -> None:
    slide = poor_headers()
    metadata = slide.metadata()
    for instance in metadata:
        instance["00100010"] = name
        instance["00100020"] = {"vr": "LO", "Value": ["7"]}
    body = json.dumps(metadata).encode()
    patient = patient_of(decode_instances(body)[0])
    assert patient["patient_id"] == "7"
    assert not patient.get("patient_name")


def test_patient_attributes_that_are_none_are_left_out() -> None:
    slide = poor_headers()
    metadata = slide.metadata()
    metadata[0]["00100010"] = 5
    assert "patient_name" not in patient_of(decode_instances(json.dumps(metadata).encode())[0])


def test_a_null_keeps_its_place() -> None:
    slide = brightfield_pyramid()
    metadata = slide.metadata()
    for instance in metadata:
        first, _, flavour, _ = instance[IMAGE_TYPE]["Value"]
        instance[IMAGE_TYPE]["Value"] = [first, None, flavour, None]
    assert facts(plan(slide, metadata)) == facts(plan(slide))


def test_attributes_of_every_kind_are_passed_over() -> None:
    slide = sparse_brightfield()
    metadata = slide.metadata()
    metadata[0].update({
        "00280009": {"vr": "AT", "Value": ["00209056", "0048021e"]},
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]},
        "00090010": {"vr": "LO", "Value": ["PRIVATE"]},
        "00091001": {"vr": "UN", "InlineBinary": "AAEC"},
        "00281201": {"vr": "OW", "BulkDataURI": "http://elsewhere/x"},
        "00100010": {"vr": "PN", "Value": ["A^B"]},
        "00081115": {"vr": "SQ", "Value": [{}]},
        "0040A30A": {"vr": "DS", "Value": ["NaN", None]},
    })  # fmt: skip
    assert facts(plan(slide, metadata)) == facts(plan(slide))


def test_odd_but_real_uids_and_doubled_rows() -> None:
    slide = concatenation()
    long_uid = "1.2.840.0.01." + "9" * 80
    metadata = slide.metadata()
    for number, instance in enumerate(metadata):
        instance[INSTANCE]["Value"] = [f"{long_uid}.{number}"]
        instance[ROWS]["Value"] = [instance[ROWS]["Value"][0], 0]
    (image,) = plan(slide, metadata).images
    ref = image.levels[0].frames.locate((0, 0, 0))
    assert ref is not None
    assert ref.instance.sop_instance_uid.startswith(long_uid)
    assert image.levels[0].shape == (3, 90, 120)


def test_one_frame_need_not_be_counted() -> None:
    slide = brightfield_pyramid()
    metadata = slide.metadata()
    for instance in metadata:
        if instance[FRAMES]["Value"] == [1]:
            del instance[FRAMES]
    assert facts(plan(slide, metadata)) == facts(plan(slide))


def test_the_order_of_instances_means_nothing() -> None:
    for build in (brightfield_pyramid, channels_in_instances, two_pyramids, poor_headers, extended_depth_of_field):
        slide = build()
        assert facts(plan(slide, slide.metadata()[::-1])) == facts(plan(slide))


# --- replies that cannot be taken ---


@pytest.mark.parametrize(("tag", "what"), [(STUDY, "study"), (SERIES, "series")])
def test_metadata_of_another_series_is_refused(tag: str, what: str) -> None:
    slide = two_pyramids()
    metadata = slide.metadata()
    metadata[2][tag]["Value"] = ["1.2.3.4"]
    with pytest.raises(MetadataError, match=rf"{what} 1\.2\.3\.4") as refused:
        plan(slide, metadata)
    assert slide.series_uid in str(refused.value)


def test_metadata_without_uids_of_their_series_are_taken() -> None:
    slide = two_pyramids()
    metadata = slide.metadata()
    for instance in metadata:
        del instance[STUDY], instance[SERIES]
    assert facts(plan(slide, metadata)) == facts(plan(slide))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"{}", b"[1]", b"[[]]", b'[{"00280010": 5}]', b'[{"00280010": {"Value": {}}}]', b"[", b"null",
        b"[null]", b'[{"00090010": ' + b"[" * 200_000 + b"]" * 200_000 + b"}]",
        b'[{"00280010": null, "00090010": ' + b"[" * 5000 + b"]" * 5000 + b"}]",
        b'[{"00280010": null, "00090010": "\xff"}]',
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_dicom_json_is_refused(body: bytes) -> None:
    with pytest.raises(MetadataError, match="DICOM JSON"):
        parse_series(decode_instances(body), "1.2", "3.4")


def test_functional_groups_that_are_none_are_refused() -> None:
    slide = sparse_fluorescence()
    metadata = slide.metadata()
    metadata[0][PER_FRAME]["Value"][3] = 3
    with pytest.raises(MetadataError, match="PerFrameFunctionalGroupsSequence"):
        plan(slide, metadata)


def test_a_series_without_instances_or_pixels() -> None:
    report = {INSTANCE: {"vr": "UI", "Value": ["1.2.3"]}, "00080060": {"vr": "CS", "Value": ["SR"]}}
    for metadata in ([], [report], [{**report, ROWS: {"vr": "US"}, COLUMNS: {"vr": "US", "Value": []}}]):
        with pytest.raises(UnsupportedSeriesError, match=r"holds (no|an) image"):
            parse_series(decode_instances(json.dumps(metadata).encode()), "1.2", "3.4")
    with pytest.raises(InvalidAttributeError, match="SOPInstanceUID"):
        parse_series(decode_instances(json.dumps([{ROWS: {"vr": "US", "Value": [1]}}]).encode()), "1.2", "3.4")


def test_what_is_left_out_is_said() -> None:
    slide = brightfield_pyramid()
    metadata = slide.metadata()
    report = {INSTANCE: {"vr": "UI", "Value": ["1.2.3"]}, "00080060": {"vr": "CS", "Value": ["SR"]}}
    found = plan(slide, [*metadata, metadata[0], report])
    assert facts(found) == facts(plan(slide))
    assert "1 instances without pixels were left out: nothing says what they are." in found.notices
    assert "1 repeated instances were left out." in found.notices
    other = {**metadata[0], "00280002": {"vr": "US", "Value": [1]}}
    said = " ".join(plan(slide, [other, *metadata]).notices)
    assert "repeated instances were left out, 1 of which say something else" in said


def in_shared(metadata: list[JSON]) -> dict[str, JSON]:
    measures: dict[str, JSON] = metadata[0][SHARED]["Value"][0][MEASURES]["Value"][0]
    return measures


def in_frame(metadata: list[JSON], frame: int = 2) -> dict[str, JSON]:
    position: dict[str, JSON] = metadata[0][PER_FRAME]["Value"][frame][POSITION]["Value"][0]
    return position


BROKEN: dict[str, tuple[str, Callable[[list[JSON]], None]]] = {
    "rows_zero": ("Rows", lambda metadata: metadata[0][ROWS].update(Value=[0])),
    "rows_negative": ("Rows", lambda metadata: metadata[0][ROWS].update(Value=[-32])),
    "rows_text": ("Rows", lambda metadata: metadata[0][ROWS].update(Value=["many"])),
    "rows_half": ("Rows", lambda metadata: metadata[0][ROWS].update(Value=[31.5])),
    "rows_nan": ("Rows", lambda metadata: metadata[0][ROWS].update(Value=["NaN"])),
    "rows_infinite": ("Rows", lambda metadata: metadata[0][ROWS].update(Value=["1e999"])),
    "columns_absent": ("Columns", lambda metadata: metadata[0].pop(COLUMNS)),
    "bits": ("BitsAllocated", lambda metadata: metadata[0]["00280100"].update(Value=[12])),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_impossible_values_are_named(name: str) -> None:
    slide = sparse_fluorescence()
    attribute, damage = BROKEN[name]
    metadata = slide.metadata()
    damage(metadata)
    with pytest.raises(InvalidAttributeError, match=attribute) as refused:
        plan(slide, metadata)
    assert metadata[0][INSTANCE]["Value"][0] in str(refused.value)


LISTED: dict[str, tuple[str, Callable[[list[JSON]], None]]] = {
    "position_null": (
        "usable positions",
        lambda metadata: in_frame(metadata)["0048021F"].update(Value=[None]),
    ),
    "position_text": (
        "usable positions",
        lambda metadata: in_frame(metadata)["0048021E"].update(Value=["left"]),
    ),
    "position_huge": (
        "usable positions",
        lambda metadata: in_frame(metadata)["0048021E"].update(Value=[1e300]),
    ),
    "positions_few": ("43 usable positions", lambda metadata: metadata[0][PER_FRAME]["Value"].pop()),
    "path_unknown": (
        "1 frames name an optical path",
        lambda metadata: metadata[0][PER_FRAME]["Value"][1]["00480207"]["Value"][0]["00480106"].update(Value=["X"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTED)
def test_tiles_that_nothing_places_are_a_list_with_what_is_known(name: str) -> None:
    slide = sparse_fluorescence()
    reason, damage = LISTED[name]
    metadata = slide.metadata()
    damage(metadata)
    plain = sum(image.levels[0].shape[0] for image in plan(slide, metadata).images if is_tile_list(image))
    assert plain == metadata[0][FRAMES]["Value"][0]
    found = plan(slide, metadata)
    (notice,) = (notice for notice in found.notices if reason in notice)
    assert metadata[0][INSTANCE]["Value"][0] in notice
    assert not identifying(notice)
    (image,) = filter(is_tile_list, found.images)
    told: Any = dicomzarr_attributes(image)["coordinates"]
    if name == "positions_few":  # which frame lost its group is not known
        assert "position" not in told
    else:
        assert told["position"]["values"].count(None) == name.startswith("position_")


LEFT_OUT: dict[str, tuple[str, Callable[[list[JSON]], None]]] = {
    "frames_zero": ("NumberOfFrames", lambda metadata: metadata[0][FRAMES].update(Value=[0])),
    "spacing_one": ("PixelSpacing", lambda metadata: in_shared(metadata)[SPACING].update(Value=[0.1])),
    "spacing_zero": ("PixelSpacing", lambda metadata: in_shared(metadata)[SPACING].update(Value=[0, 0.1])),
    "spacing_text": ("PixelSpacing", lambda metadata: in_shared(metadata)[SPACING].update(Value=["0,1", "0,1"])),
    "bits_stored": ("BitsStored", lambda metadata: metadata[0]["00280101"].update(Value=[17])),
    "high_bit": ("HighBit", lambda metadata: metadata[0]["00280102"].update(Value=[2])),
    "orientation": ("ImageOrientationSlide", lambda metadata: metadata[0][ORIENTATION].update(Value=[0, 1, 0])),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_impossible_facts_are_left_out_and_named(name: str) -> None:
    slide = sparse_fluorescence()
    keyword, damage = LEFT_OUT[name]
    metadata = slide.metadata()
    damage(metadata)
    found = plan(slide, metadata)
    assert [level.shape for level in found.images[0].levels] == [level.shape for level in plan(slide).images[0].levels]
    (notice,) = (notice for notice in found.notices if "impossible" in notice)
    assert keyword in notice
    assert metadata[0][INSTANCE]["Value"][0] in notice
    assert not identifying(notice)


# --- geometry from poorer headers ---


def test_without_the_finest_level_the_best_available_is_first() -> None:
    slide = brightfield_pyramid()
    coarse = replace(slide, datasets=tuple(one for one in slide.datasets if one.InstanceNumber != 1))
    (image,) = plan(coarse).images
    expected = slide.levels[1:]
    assert [level.shape for level in image.levels] == [(3, *level.pixels.shape[2:]) for level in expected]
    assert image.levels[0].scale[1:] == pytest.approx([1000 * step for step in expected[0].spacing])
    assert not any(image.levels[0].translation)


def test_spacing_from_the_imaged_volume() -> None:
    slide = fluorescence_focal_stack()
    metadata = slide.metadata()
    for instance in metadata:
        del instance[SHARED]["Value"][0][MEASURES]["Value"][0][SPACING]
    found = [level.scale for level in plan(slide, metadata).images[0].levels]
    wanted = [level.scale for level in plan(slide).images[0].levels]
    assert np.allclose(found, wanted)


def test_without_any_spacing_there_is_no_unit() -> None:
    slide = two_pyramids()
    metadata = slide.metadata()
    for instance in metadata:
        del instance[SHARED]["Value"][0][MEASURES], instance[VOLUME_WIDTH], instance[VOLUME_HEIGHT]
    for image in plan(slide, metadata).images:
        assert [axis.unit for axis in image.axes] == [None, None, None]
        assert [level.scale for level in image.levels] == [(1, 1, 1), (1, 2, 2)]
        assert image.affine is None


def test_spacings_that_disagree_are_noticed() -> None:
    slide = two_pyramids()
    metadata = slide.metadata()
    metadata[0][VOLUME_WIDTH]["Value"] = [metadata[0][VOLUME_WIDTH]["Value"][0] * 1.02]
    (notice,) = (notice for notice in plan(slide, metadata).notices if "disagree" in notice)
    assert metadata[0][INSTANCE]["Value"][0] in notice
    assert facts(plan(slide, metadata)) == facts(plan(slide))


def test_pixels_that_are_squares_by_the_imaged_volume_are_squares() -> None:
    """Some writers divide the width by the rows and the height by the columns."""
    slide = brightfield_pyramid()
    metadata = slide.metadata()
    levels = [each for each in metadata if "VOLUME" in each["00080008"]["Value"]]
    for each in levels:
        rows, columns = (each[tag]["Value"][0] for tag in (MATRIX_ROWS, MATRIX_COLUMNS))
        measures = each[SHARED]["Value"][0][MEASURES]["Value"][0][SPACING]
        step = measures["Value"][0]
        each[VOLUME_WIDTH]["Value"], each[VOLUME_HEIGHT]["Value"] = [step * columns], [step * rows]
        measures["Value"] = [step * columns / rows, step * rows / columns]
    found = plan(slide, metadata)
    assert len(found.images) == 1
    for level, (step, _) in zip(found.images[0].levels, (each.spacing for each in slide.levels), strict=True):
        assert level.scale[-2:] == pytest.approx((1000 * step, 1000 * step))
    (notice,) = (notice for notice in found.notices if "squares" in notice)
    assert notice.startswith(f"{len(levels)} instances: ")
    assert any(each[INSTANCE]["Value"][0] in notice for each in levels)


def test_pixels_that_are_no_squares_stay_so() -> None:
    slide = brightfield_pyramid()
    metadata = slide.metadata()
    for each in metadata:
        if "VOLUME" in each["00080008"]["Value"]:
            measures = each[SHARED]["Value"][0][MEASURES]["Value"][0][SPACING]
            measures["Value"] = [measures["Value"][0] * 1.5, measures["Value"][1]]
            each[VOLUME_HEIGHT]["Value"] = [each[VOLUME_HEIGHT]["Value"][0] * 1.5]
    level = plan(slide, metadata).images[0].levels[0]
    assert level.scale[-2] == pytest.approx(1.5 * level.scale[-1])


def test_focal_planes_in_micrometres_are_understood() -> None:
    slide = sparse_fluorescence()

    def thousandfold(tag: str, attribute: dict[str, JSON]) -> None:
        if tag == Z_OFFSET:
            attribute["Value"] = [1000 * float(value) for value in attribute["Value"]]

    (old,) = plan(slide, changed(slide.metadata(), thousandfold)).images
    (new,) = plan(slide).images
    assert old.levels[0].scale == pytest.approx(new.levels[0].scale)
    assert old.levels[0].scale[1] == pytest.approx(3.0)


def test_origins_may_differ_a_little_between_levels() -> None:
    slide = fluorescence_focal_stack()
    metadata = slide.metadata()
    x = metadata[1][ORIGIN]["Value"][0]["0040072A"]
    x["Value"] = [float(x["Value"][0]) + 0.004]
    assert len(plan(slide, metadata).images) == 1
    x["Value"] = [float(x["Value"][0]) + 5]
    assert len(plan(slide, metadata).images) == 2


def test_an_overview_that_calls_itself_localizer() -> None:
    slide = brightfield_pyramid()
    metadata = slide.metadata()
    for instance in metadata:
        kind = instance[IMAGE_TYPE]["Value"]
        kind[2] = {"OVERVIEW": "LOCALIZER"}.get(kind[2], kind[2])
    found = plan(slide, metadata)
    assert [name for name, _ in found.associated] == ["localizer", "thumbnail"]
    assert len(found.images[0].levels) == 4


# --- frames of a concatenation ---

PIXEL = PixelDescription(4, 4, 1, 8, 8, 7, signed=False, photometric_interpretation="MONOCHROME2")


def part(uid: str, frames: int) -> Instance:
    return Instance(uid, frames, PIXEL, series="the series")


def test_frames_are_numbered_through_the_parts() -> None:
    frames = FrameSequence("1.2", (0, 5, 9), (part("a", 5), part("b", 4), part("c", 3)), complete=True)
    found = [(ref.instance.sop_instance_uid, ref.number) for ref in map(frames.ref, range(1, 13))]
    assert found == [
        *(("a", n) for n in range(1, 6)),
        *(("b", n) for n in range(1, 5)),
        *(("c", n) for n in range(1, 4)),
    ]
    assert frames.end == 12


def test_frames_of_lost_parts_are_missed() -> None:
    frames = FrameSequence("1.2", (2, 9), (part("b", 4), part("d", 3)), complete=False)
    there = {number for number in range(1, 15) if has(frames, number)}
    assert there == {3, 4, 5, 6, 10, 11, 12}
    with pytest.raises(MissingInstanceError, match=r"the series, concatenation 1\.2: frame 7 .* lacks"):
        frames.ref(7)


def has(frames: FrameSequence, number: int) -> bool:
    try:
        return frames.ref(number).number > 0
    except MissingInstanceError:
        return False


def test_parts_need_no_offsets_when_all_are_there() -> None:
    slide = concatenation()
    metadata = slide.metadata()
    for instance in metadata:
        del instance["00209228"]
    assert facts(plan(slide, metadata)) == facts(plan(slide))
    for instance in metadata:
        del instance["00209163"]
    assert facts(plan(slide, metadata)) == facts(plan(slide))


def test_parts_without_offsets_are_a_list_when_one_is_lost() -> None:
    slide = concatenation(leave_out=1)
    metadata = slide.metadata()
    for instance in metadata:
        del instance["00209228"]
    found = plan(slide, metadata)
    (image,) = found.images
    assert is_tile_list(image)
    assert image.levels[0].shape[0] == sum(int(dataset.NumberOfFrames) for dataset in slide.datasets)
    assert any("lacks parts" in notice for notice in found.notices)
    assert any("other parts of its concatenation" in notice for notice in found.notices)


def test_overlapping_parts_are_a_list() -> None:
    slide = concatenation()
    metadata = slide.metadata()
    metadata[0]["00209228"]["Value"] = [7]
    found = plan(slide, metadata)
    assert list(map(is_tile_list, found.images)) == [True]
    assert any("overlap" in notice for notice in found.notices)


# --- colours ---


def test_cielab_agrees_with_littlecms() -> None:
    lightness = np.arange(30, 256, 15)
    chroma = np.arange(98, 160, 10)
    lab = np.stack(np.meshgrid(lightness, chroma, chroma, indexing="ij"), axis=-1).astype(np.uint8)
    flat = lab.reshape(1, -1, 3)
    profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
    transform = ImageCms.buildTransform(*profiles, "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    signed = flat ^ np.array([0, 128, 128], np.uint8)  # as Pillow takes a* and b*
    picture = Image.frombytes("LAB", (flat.shape[1], 1), signed.tobytes())
    oracle = np.asarray(ImageCms.applyTransform(picture, transform)).reshape(-1, 3)
    ours = np.array([lab16_to_srgb(tuple(257.0 * value for value in one)) for one in flat[0].tolist()])
    in_gamut = ((oracle > 0) & (oracle < 255)).all(axis=1)
    assert in_gamut.sum() > 300
    assert np.abs(ours - oracle.astype(int))[in_gamut].max() <= 1


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [((65535, 32896, 32896), (255, 255, 255)), ((0, 32896, 32896), (0, 0, 0)), ((35579, 53662, 50858), (255, 0, 0))],
)
def test_cielab_of_white_black_and_red(lab: tuple[float, ...], rgb: tuple[int, ...]) -> None:
    assert lab16_to_srgb(lab) == pytest.approx(rgb, abs=2)


# --- who the patient is ---

EVERY: dict[str, Callable[[], TestSlide]] = {
    **SLIDES,
    "two_pyramids": two_pyramids,
    "extended_depth_of_field": extended_depth_of_field,
    "poor_headers": poor_headers,
    "channels_in_instances": channels_in_instances,
    "concatenation_without_2": partial(concatenation, leave_out=2),
    "off_grid": off_grid,
    "overlapping_tiles": overlapping_tiles,
}
DATES = ("20200102", "030405")
IDENTIFYING = {word for text in PHI for word in (text, *text.split("^"))} | set(DATES)


def identifying(shown: str) -> set[str]:
    without_uids = " ".join(word for word in shown.replace('"', " ").replace("/", " ").split() if word.count(".") < 4)
    return {text for text in IDENTIFYING if text in without_uids}


@pytest.mark.parametrize("name", EVERY)
def test_nothing_shown_identifies_anybody(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(EVERY[name]()) as each:
        fs = fsspec.filesystem("dicomweb", associated_label=True)
        shown = [repr(fs)]
        try:
            image = dicomzarr.open(each.url, associated_label=True)
            images = [*image.images, *image.associated.values()]
            shown += [text for one in images for text in (repr(one), one._repr_html_(), repr(one.levels), one.url)]
            shown += [*image.notices, repr(dicomzarr_attributes(image.plan)), repr(image.store.root)]
            image.levels[0][..., 40:, 40:]
        except DicomZarrError as error:
            shown += [str(error), repr(error)]
        try:
            documents = [fs.cat_file(path).decode() for path in fs.find(each.url) if path.endswith("zarr.json")]
            shown += [*documents, *fs.find(each.url), repr(fs.ls(each.url))]
            assert len(documents) > 1
        except DicomZarrError as error:
            shown += [str(error), repr(error)]
        assert not identifying("\n".join([*shown, caplog.text]))


@pytest.mark.parametrize("name", BROKEN)
def test_no_error_about_metadata_identifies_anybody(name: str) -> None:
    slide = sparse_fluorescence()
    metadata = slide.metadata()
    BROKEN[name][1](metadata)
    with pytest.raises(InvalidAttributeError) as refused:
        plan(slide, metadata)
    assert not identifying(str(refused.value))


def test_patients_are_shown_to_those_who_ask() -> None:
    name, patient, birth, accession, text, barcode = PHI
    with serving(two_pyramids()) as each:
        fs = fsspec.filesystem("dicomweb", include_phi=True)
        for path in ("0", "1"):
            shown = json.loads(fs.cat_file(f"{each.url}/{path}/zarr.json"))["attributes"]["dicomzarr"]["patient"]
            assert shown["patient_name"] == name
            assert shown["patient_id"] == patient
            assert shown["patient_birth_date"] == birth
            assert shown["accession_number"] == accession
            assert shown["container_identifier"] == barcode
            assert text not in json.dumps(shown)
            assert identifying(json.dumps(shown)) >= {name, patient, birth, accession, barcode}
        assert "patient" not in fsspec.filesystem("dicomweb").cat_file(f"{each.url}/0/zarr.json").decode()


def test_names_may_be_plain_text() -> None:
    slide = two_pyramids()
    metadata = slide.metadata()
    metadata[0]["00100010"] = {"vr": "PN", "Value": ["Plain^Name"]}
    body = json.dumps(metadata).encode()
    series = parse_series(decode_instances(body), slide.study_uid, slide.series_uid)
    assert dict(series.patient)["patient_name"] == "Plain^Name"


# --- what is stored ---


@pytest.mark.parametrize(
    ("available", "photometric", "lossy", "compressed"),
    [
        (None, "RGB", False, False),
        ("1.2.840.10008.1.2.1", "RGB", False, False),
        ("1.2.840.10008.1.2\0", "RGB", False, False),
        ("1.2.840.10008.1.2.4.90", "RGB", False, True),
        ("1.2.840.10008.1.2.5", "RGB", False, True),
        (None, "YBR_ICT", False, True),
        ("1.2.840.10008.1.2.1", "RGB", True, True),
    ],
)
def test_when_a_codestream_is_expected(available: str | None, photometric: str, lossy: bool, compressed: bool) -> None:  # noqa: FBT001
    pixel = replace(PIXEL, photometric_interpretation=photometric, lossy=lossy)
    assert Instance("1.2", 1, pixel, available).compressed is compressed

"""Series as scanners, archives and de-identifiers make them, which once became what they are not."""

from __future__ import annotations

import math
import random
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import SimpleITK
from radiology_model import AXIAL, OBLIQUE, Grid
from scan_checks import check, counts, every_image, mixed_contrasts, one_grid, planned, size, sizes, step_of
from scans import STUDY, Scan, Shot, classic, clips, enhanced, shots
from waiting import MEASUREMENTS

from dicomzarr.arrays.volume.times import step_of_times
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.plan import plan_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scans import Told

    from dicomzarr.plan import SeriesPlan


def clock(seconds: float) -> str:
    """AcquisitionTime so long after noon."""
    return f"12{int(seconds // 60):02}{seconds % 60:09.6f}"


def strict(scan: Scan, values: str = "stored") -> SeriesPlan:
    """The plan of a scan; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return plan_images(
            parse_series(decode_instances(msgspec.json.encode(scan.instances)), STUDY, scan.series_uid), values=values
        )


def numbered_alike(frames: Sequence[Shot]) -> list[Shot]:
    """The same frames with numbers that tell nothing."""
    return [replace(shot, number=1) for shot in frames]


@pytest.mark.parametrize("number", [10**30, -(10**30), "1e300", 2**63, 2**64, "NaN", "Infinity", 0.5])
def test_numbers_that_no_writer_should_write_cost_their_order(number: float | str) -> None:
    frames = shots(2, 1, 4, tell=lambda shot: {"InstanceNumber": number if shot.time else shot.place})
    scan = classic([replace(shot, number=None) for shot in frames])
    plan = planned(scan)
    assert sizes(plan) == [{"t": 8}]
    assert "list of frames" in plan.images[0].name


@pytest.mark.parametrize("far", [10**5, 10**9])
def test_numbers_in_proportion_to_a_great_distance_make_no_great_lattice(far: int) -> None:
    tiny = Grid(step=(0, 0, 1e-6), spacing=(1e-6, 1e-6))
    scan = classic([Shot(place, number=place + 1, grid=tiny) for place in (0, 1, far)], "CT")
    assert sizes(strict(scan)) == [{"z": 3}]


@pytest.mark.parametrize("value", [1e308, -1e308, 1e-320])
@pytest.mark.parametrize("keyword", ["TriggerTime", "FrameReferenceTime", "EchoTime", "InversionTime"])
def test_times_beyond_all_numbers_warn_of_nothing(keyword: str, value: float) -> None:
    frames = shots(6, 1, 8, tell=lambda shot: {keyword: value * (-1) ** shot.time * (1 + shot.time / 100)})
    scan = classic(frames)
    check(scan, strict(scan))


IMAGE_TYPES = {
    "parentheses, as GE writes material pairs": ["IODINE(WATER)", "WATER(IODINE)"],
    "longer than code strings": ["VIRTUAL_NON_CONTRAST", "VIRTUAL_NON_CALCIUM"],
    "a star": ["T2*", "R2*"],
    "a hyphen": ["FAT-FRACTION", "WATER-FRACTION"],
}


@pytest.mark.parametrize("name", IMAGE_TYPES)
def test_image_types_that_are_no_code_strings_tell_images_apart(name: str) -> None:
    words = IMAGE_TYPES[name]
    frames = shots(1, 2, 5, tell=lambda shot: {"ImageType": ["DERIVED", "SECONDARY", words[shot.contrast]]})
    scan = classic(numbered_alike(frames), "CT")
    assert one_grid(scan, planned(scan), c=range(2), z=range(5), any_order="c")


def test_image_types_that_are_no_code_strings_are_not_shown() -> None:
    frames = shots(1, 2, 5, tell=lambda shot: {"ImageType": ["DERIVED", "PRIMARY", f"DOE^JANE({shot.contrast})"]})
    plan = classic(numbered_alike(frames)).plan()
    told = repr([(image.name, image.channels, dicomzarr_attributes(image)) for image in plan.images]) + repr(
        plan.notices
    )
    assert "DOE" not in told
    assert "JANE" not in told


def test_a_second_kernel_value_tells_reconstructions_apart() -> None:
    frames = shots(1, 2, 5, tell=lambda shot: {"ConvolutionKernel": ["Br40d", str(2 + shot.contrast)]})
    scan = classic(numbered_alike(frames), "CT")
    assert one_grid(scan, planned(scan), c=range(2), z=range(5))


@pytest.mark.parametrize("step", [2.5, 5.3, 3.75])
@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_positions_in_whole_millimetres_are_one_image(grid: Grid, step: float) -> None:
    frames = []
    for shot in shots(1, 1, 20, grid=grid.along_normal(step)):
        off = np.round(shot.position) - shot.position
        frames.append(replace(shot, offset=(float(off[0]), float(off[1]), float(off[2]))))
    plan = planned(classic(frames, "CT"), jitter=2.0)
    assert sizes(plan) == [{"z": 20}]
    assert plan.notices
    assert plan.images[0].affine is not None or counts(plan.images[0], "z")


def test_two_steps_of_whole_millimetres_are_two_images() -> None:
    places = [0.8 * each for each in range(10)] + [0.8 * 9 + 1.2 * each for each in range(1, 11)]  # 2 and 3 mm
    grid = Grid(origin=(-100.0, -120.0, 40.0))
    scan = classic(shots(1, 1, places, grid=grid), "CT")
    assert len(planned(scan).images) == 2


DIRECTIONS = [tuple(row) for row in np.round(np.random.default_rng(0).normal(size=(6, 3)), 3)]


def diffusion(shot: Shot) -> Told:
    """Three images without diffusion among those of six directions."""
    if shot.contrast % 3 == 0:
        return {"DiffusionBValue": 0.0}
    direction = np.array(DIRECTIONS[shot.contrast % 6])
    orientation = [round(float(each), 6) for each in direction / np.linalg.norm(direction)]
    return {"DiffusionBValue": 1000.0 + shot.contrast, "DiffusionGradientOrientation": orientation}


def test_times_of_slices_tell_repeated_images_without_diffusion_apart() -> None:
    def tell(shot: Shot) -> Told:
        return {**diffusion(shot), "AcquisitionTime": clock(5 * shot.contrast + 0.4 * (3 * (shot.place or 0) % 7))}

    scan = classic(numbered_alike(shots(1, 9, 7, tell=tell)))
    plan = planned(scan)
    assert [len(image.levels[0].shape) for image in plan.images] == [4]
    assert one_grid(scan, plan, c=range(9), z=range(7)) or sizes(plan) == [{"t": 9, "z": 7}]
    assert "order of acquisition" not in plan.images[0].name


@pytest.mark.parametrize("word", ["MOSAIC", "VFRAME"])
@pytest.mark.parametrize("turned", [0.0, 0.5])
def test_mosaics_with_a_pose_of_their_own_are_times(word: str, turned: float) -> None:
    frames = []
    for shot in shots(12, 1, 1, tell=lambda shot: {"AcquisitionTime": clock(2 * shot.time), "SliceThickness": 3.0}):
        angle = math.radians(turned * shot.time / 12)
        grid = Grid(column=(0.0, math.cos(angle), math.sin(angle)), spacing=(2.0, 2.0))
        frames.append(replace(shot, grid=grid, offset=(0.01 * shot.time, 0.02 * shot.time, 0.03 * shot.time)))
    plan = classic(frames, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", word]).plan()
    assert sizes(plan) == [{"t": 12}]
    assert any("mosaics of slices" in notice for notice in plan.notices)
    assert any("poses of their own" in notice for notice in plan.notices)
    poses = np.array(plan.images[0].attributes.poses)
    assert np.allclose(poses[:, :3, 3], [shot.position for shot in frames], atol=1e-5)
    assert np.allclose(np.linalg.norm(poses[:, :3, 2], axis=1), 3.0)
    assert plan.images[0].attributes.image_type == ("ORIGINAL", "PRIMARY", "M", "ND", word)


def test_planes_of_an_ultrasound_volume_are_slices() -> None:
    def tell(shot: Shot) -> Told:
        return {
            "PlanePositionVolumeSequence": {"ImagePositionVolume": [0.0, 0.0, shot.place]},
            "TemporalPositionSequence": {"TemporalPositionTimeOffset": 0.05 * shot.time},
            "DimensionIndexValues": [shot.time + 1, int(shot.place or 0) + 1],
        }

    frames = [replace(shot, place=None, told=tell(shot)) for shot in shots(5, 1, 6)]
    pointers = [{"DimensionIndexPointer": tag} for tag in ("0020930D", "00209301")]
    classes = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2", "Modality": "US"}
    assert sizes(planned(enhanced([frames], DimensionIndexSequence=pointers, **classes))) == [{"t": 5, "z": 6}]


@pytest.mark.parametrize("pointer", ["00209057", "00220031"])
def test_an_index_of_places_counts_z_though_each_was_acquired_at_its_time(pointer: str) -> None:
    def tell(shot: Shot) -> Told:
        place = int(shot.place or 0)
        return {"FrameAcquisitionDateTime": f"202001011200{place:02}", "DimensionIndexValues": [place + 1]}

    frames = [replace(shot, place=None, told=tell(shot)) for shot in shots(1, 1, 6)]
    classes = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.5.4", "Modality": "OPT"}
    scan = enhanced([frames], DimensionIndexSequence=[{"DimensionIndexPointer": pointer}], **classes)
    assert sizes(planned(scan)) == [{"z": 6}]


@pytest.mark.parametrize("pointer", ["00209057", "00200032", "00209301"])
def test_an_index_of_slices_that_contradicts_positions_loses_no_frame(pointer: str) -> None:
    frames = random.Random(9).sample(shots(4, 1, 6), 24)
    indexed = [shot.saying(DimensionIndexValues=[shot.number]) for shot in frames]
    scan = enhanced([indexed], DimensionIndexSequence=[{"DimensionIndexPointer": pointer}])
    assert sizes(planned(scan)) == [{"t": 24}]


def test_slices_of_two_contrasts_that_are_there_twice_are_two_images() -> None:
    agents: Sequence[Told] = ({}, {"ContrastBolusAgent": "GADOVIST"})
    frames = numbered_alike(shots(1, 2, 4, tell=lambda shot: agents[shot.contrast]))
    again = [replace(frames[place], uid=f"2.25.{place + 1}") for place in (0, 5)]
    scan = classic([*frames, *again], "CT")
    plan = planned(scan)
    assert not mixed_contrasts(scan, plan)
    assert sizes(plan) == [{}, {}, {"c": 2, "z": 4}]


@pytest.mark.parametrize("keyword", ["FrameAcquisitionDateTime", "FrameReferenceDateTime"])
def test_frames_of_enhanced_instances_have_times_of_their_own(keyword: str) -> None:
    def tell(shot: Shot) -> Told:
        return {keyword: f"202001011200{10 * shot.time:02}"}

    scan = enhanced([shots(4, 1, 5, tell=tell)], "enhanced PT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5))
    assert step_of(plan.images[0], "t") == (10.0, "second")


def test_stack_ids_that_each_frame_has_for_itself_are_none() -> None:
    scan = enhanced([[shot.saying(StackID=str(shot.number)) for shot in shots(1, 1, 6)]])
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(6))
    assert plan.images[0].affine is not None


@pytest.mark.parametrize("keyword", ["SliceThickness", "EchoTime"])
def test_a_value_for_each_slice_that_two_pairs_share_is_no_contrast(keyword: str) -> None:
    values = [1 + each / 10 for each in range(20)]
    values[3], values[11] = values[2], values[5]
    scan = classic(shots(1, 1, 20, tell=lambda shot: {keyword: values[int(shot.place or 0)]}))
    assert one_grid(scan, planned(scan), z=range(20))


def in_time(make: Callable[[], Scan]) -> float:
    """Seconds of this thread that planning takes."""
    scan = make()
    before = time.thread_time()
    scan.plan()
    return time.thread_time() - before


def test_many_texts_cost_as_much_each_as_few() -> None:
    def named(count: int) -> Scan:
        return classic(shots(1, count, 1, tell=lambda shot: {"SequenceName": f"*ep_b1000#{shot.contrast}"}))

    assert any(in_time(lambda: named(2000)) < 30 * max(in_time(lambda: named(250)), 0.02) for _ in range(MEASUREMENTS))


@pytest.mark.parametrize("positions", [False, True], ids=["clock alone", "positions in time"])
@pytest.mark.parametrize(
    ("keyword", "value", "step"),
    [
        ("AcquisitionTime", lambda shot: f"1000{2 * shot.time + (shot.place or 0) / 2:05.2f}", (2.0, "second")),
        ("TriggerTime", lambda shot: 50.0 * shot.time + (shot.place or 0), (50.0, "millisecond")),
    ],
)
def test_slices_of_their_own_even_times_give_the_step_of_t(
    keyword: str, value: Any, step: tuple[float, str], *, positions: bool
) -> None:
    def tell(shot: Shot) -> Told:
        return {keyword: value(shot), **({"TemporalPositionIdentifier": shot.time + 1} if positions else {})}

    scan = classic(shots(8, 1, 3, tell=tell), "MR")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(8), z=range(3))
    assert step_of(plan.images[0], "t") == step


def test_of_two_clocks_in_a_header_one_may_stand_still() -> None:
    def tell(shot: Shot) -> Told:
        still = {"AcquisitionDateTime": "20200101120000", "AcquisitionDate": "20200101"}
        return {**still, "AcquisitionTime": clock(2 * shot.time)}

    scan = classic(numbered_alike(shots(4, 1, 3, tell=tell)), "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(3))
    assert step_of(plan.images[0], "t") == (2.0, "second")


def of_day(seconds: int) -> str:
    """AcquisitionTime, of any day."""
    return f"{seconds // 3600 % 24:02}{seconds // 60 % 60:02}{seconds % 60:02}"


DATES: Sequence[Told] = ({}, {"AcquisitionDate": "20000101"})
"""As de-identification leaves them: none, or one for all."""


@pytest.mark.parametrize("date", DATES, ids=["without a date", "of one date"])
def test_times_after_midnight_follow_those_before_it(date: Told) -> None:
    frames = shots(4, 1, 3, tell=lambda shot: {**date, "AcquisitionTime": of_day(86_390 + 5 * shot.time)})
    scan = classic(numbered_alike(frames), "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(3))
    assert step_of(plan.images[0], "t") == (5.0, "second")


@pytest.mark.parametrize("date", DATES, ids=["without a date", "of one date"])
def test_times_by_day_stay_in_their_order(date: Told) -> None:
    hours = [8, 12, 21]
    frames = shots(3, 1, 3, tell=lambda shot: {**date, "AcquisitionTime": of_day(3600 * hours[shot.time])})
    scan = classic(numbered_alike(frames), "PT")
    assert one_grid(scan, planned(scan), t=range(3), z=range(3))


@pytest.mark.parametrize("date", DATES, ids=["without a date", "of one date"])
def test_names_of_images_count_on_at_midnight(date: Told) -> None:
    frames = shots(2, 1, 5, tell=lambda shot: {**date, "AcquisitionTime": of_day(86_398 + 5 * shot.time)})
    kept = [shot for shot in frames if shot.time == 0 or (shot.place or 0) < 3]
    plan = planned(classic(numbered_alike(kept), "CT"))
    assert [image.name for image in plan.images] == [
        "CT 1 of 2: acquisition time 0 s",
        "CT 2 of 2: acquisition time 5 s, 3 of 5 slices",
    ]


def test_times_of_more_than_six_digits_are_times() -> None:
    frames = shots(4, 1, 3, tell=lambda shot: {"AcquisitionTime": f"12000{2 * shot.time}.1234567"})
    scan = classic(numbered_alike(frames), "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(3))
    assert step_of(plan.images[0], "t") == (2.0, "second")


def test_heartbeats_of_slices_that_are_as_long_by_chance_are_no_contrast() -> None:
    beats = [800, 800, 810, 825, 825, 830]

    def tell(shot: Shot) -> Told:
        return {"TriggerTime": 30 * shot.time, "LowRRValue": beats[int(shot.place or 0)]}

    scan = classic(shots(4, 1, 6, tell=tell))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(6))
    assert dicomzarr_attributes(plan.images[0])["coordinates"]["low_rr_value"]["values"] == beats


def test_when_images_were_computed_is_no_step_of_their_times() -> None:
    def tell(shot: Shot) -> Told:
        computed = clock(0.6 * shot.time + 0.1 * (shot.place or 0))
        return {"TemporalPositionIdentifier": shot.time + 1, "ContentTime": computed}

    scan = classic(shots(5, 1, 3, tell=tell))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(5), z=range(3))
    assert step_of(plan.images[0], "t") == (1.0, None)
    assert step_of_times(plan.images[0]) == (1.0, None)


def test_each_channel_is_shown_by_the_window_of_its_own_frames() -> None:
    window = [(400, 800), (0, 8192)]

    def tell(shot: Shot) -> Told:
        center, width = window[shot.contrast]
        return {
            "ImageType": ["ORIGINAL", "PRIMARY", "MP"[shot.contrast]],
            "WindowCenter": center,
            "WindowWidth": width,
            "VOILUTFunction": "LINEAR_EXACT",
        }

    scan = classic(shots(1, 2, 4, tell=tell))
    plan = planned(scan, "modality")
    assert one_grid(scan, plan, c=range(2), z=range(4))
    assert [channel.shown for channel in plan.images[0].channels] == [(0, 800), (-4096, 4096)]


CONE_BEAM: Told = {
    "ImagePositionPatient": [-80, -80, 40],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [0.3, 0.3],
}


@pytest.mark.parametrize(
    ("told", "step"),
    [
        ({"SpacingBetweenSlices": 0.4, "SliceThickness": 0.3}, 0.4),
        ({"SpacingBetweenSlices": -0.4}, -0.4),
        ({"SliceThickness": 0.3}, 0.3),
    ],
    ids=["upwards", "downwards", "by thickness"],
)
@pytest.mark.parametrize("kind", ["CT", "secondary capture OT"])
def test_frames_of_which_the_header_places_the_first_are_slices(kind: str, told: Told, step: float) -> None:
    """As cone beams are written: many frames in a class of one, which has one place."""
    scan = clips(1, 5, kind, lambda _: {**CONE_BEAM, **told})
    plan = scan.plan()
    (held,) = every_image(scan, plan)
    assert [held[0, 0, z].time for z in range(5)] == [0, 1, 2, 3, 4][:: 1 if step > 0 else -1]
    affine = plan.images[0].affine
    assert affine is not None
    assert affine[2] == pytest.approx((0, 0, abs(step), 40 + min(0, 4 * step)))
    assert any("taken to be slices in their order" in notice for notice in plan.notices)
    assert any("SliceThickness" in notice for notice in plan.notices) == ("SpacingBetweenSlices" not in told)


def test_instances_of_which_headers_place_the_first_frame_are_times() -> None:
    scan = clips(3, 5, "CT", lambda _: {**CONE_BEAM, "SpacingBetweenSlices": 0.4})
    plan = scan.plan()
    (held,) = every_image(scan, plan)
    assert {cell: (shot.contrast, shot.time) for cell, shot in held.items()} == {
        (t, 0, z): (t, z) for t in range(3) for z in range(5)
    }


@pytest.mark.parametrize(
    "told",
    [{"FrameTime": 40.0}, {"FrameIncrementPointer": ["00181063"]}, {"NumberOfTemporalPositions": 5}],
)
def test_frames_that_follow_each_other_in_time_are_no_slices(told: Told) -> None:
    scan = clips(1, 5, "XA", lambda _: {**CONE_BEAM, "SpacingBetweenSlices": 0.4, **told})
    plan = scan.plan()
    assert sizes(plan) == [{"t": 5}]
    assert not any("slices in their order" in notice for notice in plan.notices)


def test_frames_that_vectors_count_are_no_slices() -> None:
    """A dynamic study of nuclear medicine that calls its modality PT: its frames lie at one place."""
    told = {"SpacingBetweenSlices": 4.0, "TimeSliceVector": [1, 2, 3, 4, 5], "DetectorVector": [1] * 5}
    plan = clips(1, 5, "CT", lambda _: {**CONE_BEAM, **told}).plan()
    assert sizes(plan) == [{"t": 5}]
    assert not any("slices in their order" in notice for notice in plan.notices)


def test_slices_of_one_of_several_times_are_slices() -> None:
    told = {"SpacingBetweenSlices": 0.4, "NumberOfTemporalPositions": 2, "TemporalPositionIdentifier": 1}
    assert sizes(clips(1, 5, "CT", lambda _: {**CONE_BEAM, **told}).plan()) == [{"z": 5}]


def test_frames_without_a_place_that_are_slices_are_counted() -> None:
    scan = clips(1, 5, "CT", lambda _: {"PixelSpacing": [0.3, 0.3], "SpacingBetweenSlices": 0.4})
    plan = scan.plan()
    assert sizes(plan) == [{"z": 5}]
    assert counts(plan.images[0], "z")
    assert plan.images[0].affine is None
    assert any("nothing places them" in notice for notice in plan.notices)


def test_itk_places_frames_of_which_the_header_places_the_first_likewise(tmp_path: Path) -> None:
    scan = clips(1, 5, "CT", lambda _: {**CONE_BEAM, "SpacingBetweenSlices": 0.4})
    (path,) = scan.served().write(tmp_path)
    found = SimpleITK.ReadImage(path)
    affine = scan.plan().images[0].affine
    assert affine is not None
    assert [row[3] for row in affine[:3]] == pytest.approx(found.GetOrigin())
    assert [affine[axis][axis] for axis in range(3)] == pytest.approx(found.GetSpacing())


@pytest.mark.parametrize("place", [4, 4.5])
@pytest.mark.parametrize("words", [["PROJECTION IMAGE", "M", "FFE"], ["MIP"]], ids=["projection image", "MIP"])
def test_a_projection_is_none_of_the_slices_that_it_shows(words: Sequence[str], place: float) -> None:
    frames = shots(1, 1, 10, tell=lambda _: {"ImageType": ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]})
    shown = {"ImageType": ["DERIVED", "PRIMARY", *words], "SliceThickness": 25.0}
    scan = classic([*frames, Shot(place, contrast=1, number=11, told=shown)])
    plan = planned(scan)
    assert [size(image) for image in plan.images] == [{"z": 10}, {}]
    assert plan.images[0].affine is not None
    assert plan.images[1].name == "MR 2 of 2: projection"


def test_descriptions_that_hold_the_time_of_day_part_no_volume() -> None:
    """As GE names maps of perfusion: the clock goes on while slices are written."""
    seconds = [18, 18, 18, 18, 18, 19, 19, 19, 19]
    told = [{"SeriesDescription": f"CBF:Jan 10 2020 09-05-{second} GMT"} for second in seconds]
    scan = classic(shots(1, 1, 9, tell=lambda shot: told[int(shot.place or 0)]))
    assert one_grid(scan, planned(scan), z=range(9))


@pytest.mark.parametrize("times", [1, 5])
def test_slices_of_mosaics_that_were_taken_apart_are_no_mosaics(times: int) -> None:
    """As Numaris X writes them: ImageType is still that of the mosaics."""
    frames = shots(times, 1, 6, tell=lambda shot: {"AcquisitionTime": clock(2 * shot.time), "SliceThickness": 2.5})
    scan = classic(numbered_alike(frames), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(times), z=range(6))
    assert not any("mosaic" in notice for notice in plan.notices)


def test_positions_that_were_moved_after_they_were_rounded_are_one_image() -> None:
    """Rounded to tenths, then given relative to another origin: only their differences are in tenths."""
    moved = np.array([0.019363, 0.012357, 0.007425])
    frames = []
    for shot in shots(1, 1, 22, grid=OBLIQUE.along_normal(6.5)):
        off = np.round(shot.position, 1) + moved - shot.position
        frames.append(replace(shot, offset=(float(off[0]), float(off[1]), float(off[2]))))
    plan = planned(classic(frames), jitter=0.3)
    assert sizes(plan) == [{"z": 22}]
    assert plan.images[0].affine is not None
    assert any(notice.startswith("Positions are rounded") for notice in plan.notices)


@pytest.mark.parametrize("date", ["00000000", "19000000", "ANONYMOUS"])
def test_a_date_that_is_none_costs_no_time(date: str) -> None:
    frames = shots(4, 1, 3, tell=lambda shot: {"AcquisitionDate": date, "AcquisitionTime": clock(2 * shot.time)})
    scan = classic(numbered_alike(frames), "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(3))
    assert step_of(plan.images[0], "t") == (2.0, "second")


@pytest.mark.parametrize("names", [("ARTERIAL", "VENOUS"), ("ARTERIAL 09:05:18", "VENOUS 09:05:19")])
def test_descriptions_of_two_scans_are_not_mixed_along_z(names: tuple[str, str]) -> None:
    """Two scans in one series, the slices of one between those of the other."""
    told = [{"SeriesDescription": names[number % 2]} for number in range(10)]
    plan = planned(classic(shots(1, 1, 10, tell=lambda shot: told[int(shot.place or 0)])))
    assert sizes(plan) == [{"z": 5}, {"z": 5}]


@pytest.mark.parametrize("told", ["InstanceCreationTime", "UID"])
def test_beds_with_some_places_in_common_are_told_apart_by_when_they_were_written(told: str) -> None:
    """Numbers begin anew in each of them."""
    beds = [
        replace(
            shot,
            number=number,
            uid=f"1.2.{bed if told == 'UID' else 0}.{10 * bed + number}",
            told={"InstanceCreationDate": "20200101", "InstanceCreationTime": f"10000{bed if told != 'UID' else 0}"},
        )
        for bed in range(3)
        for number, shot in enumerate(shots(1, 1, [8.0 * bed + step for step in range(10)]), 1)
    ]
    assert sizes(planned(classic(beds))) == [{"z": 10}] * 3

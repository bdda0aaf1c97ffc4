"""Series that invite a wrong guess: what lies elsewhere, is missing, or was said in another way than usual."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_multiframe as multiframe
import radiology_nuclear as nuclear
import radiology_traps as traps
from aiohttp import web
from opened import group_at
from radiology_enhanced import IN_STACK, POSITION, STACK, Frames, content, index_by, multi_frame
from radiology_model import AXIAL, CORONAL, FLIPPED, OBLIQUE, SAGITTAL, distinct, series_of
from radiology_opened import (
    Opener,
    affine_of,
    axes_of,
    coordinate,
    has_no_space,
    lies_on,
    pixels_of,
    shows,
    units_of,
)
from radiology_slices import Identity, sequence_item, stack
from radiology_traps import PIXELS, STATIONS
from radiology_volumes import VOLUME, modality_lut, volume

from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.plan import views

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from radiology_model import Grid, Pixels
    from radiology_traps import Private

    from dicomzarr.arrays.image import Image

TWICE = dimensions.TWICE
SLICES = PIXELS[0]
"""(z, y, x), 12 bits."""
DOSE = distinct((4, 16, 20), bits=32)


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def notices_of(image: Image) -> str:
    """All notices in one text."""
    return " ".join(image.notices)


def attribute(image: Image, name: str) -> Any:
    """One of the attributes of an image; None where it has none."""
    return dicomzarr_attributes(image.plan).get(name)


# --- slices that lie beside each other


@pytest.mark.parametrize("name", STATIONS)
def test_stations_beside_each_other_are_images_each_at_its_place(opened: Opener, name: str) -> None:
    image = opened(series_of(traps.stations(STATIONS[name])))
    assert len(image.images) == 2
    for one, pixels, grid in zip(image.images, PIXELS, STATIONS[name], strict=True):
        assert shows(one, "zyx", pixels)
        assert lies_on(one, grid)
    assert "place in the plane" in notices_of(image)


@pytest.mark.parametrize("name", ["spine", "oblique"])
def test_the_order_of_the_reply_moves_no_station(opened: Opener, name: str) -> None:
    made = traps.stations(STATIONS[name])
    orders = [made, made[::-1], [*made[4:], *made[:4]], list(itertools.chain(*zip(made[:4], made[4:], strict=True)))]
    found = [opened(series_of(order, shuffled=False)) for order in orders]
    assert [len(image.images) for image in found] == [2] * len(orders)
    for image in found:
        assert [one.affine for one in image.images] == [one.affine for one in found[0].images]
        assert all(map(np.array_equal, map(pixels_of, image.images), PIXELS))
        assert lies_on(image.images[1], STATIONS[name][1])


@pytest.mark.parametrize(
    "order", [range(8), range(7, -1, -1), [0, 4, 1, 5, 2, 6, 3, 7]], ids=["one by one", "backwards", "mixed"]
)
@pytest.mark.parametrize("name", STATIONS)
def test_stations_in_one_instance_are_images_too(opened: Opener, name: str, order: Sequence[int]) -> None:
    image = opened(traps.stations_in_one_instance(STATIONS[name], order))
    assert len(image.images) == 2
    by_origin = {tuple(np.round(affine_of(one)[:3, 3], 3)): one for one in image.images}
    for pixels, grid in zip(PIXELS, STATIONS[name], strict=True):
        one = by_origin[tuple(np.round(grid.origin, 3))]
        assert shows(one, "zyx", pixels)
        assert lies_on(one, grid)
    assert "place in the plane" in notices_of(image)


def test_stations_that_were_taken_several_times_keep_their_channels(opened: Opener) -> None:
    grids, pixels, datasets = STATIONS["spine"], distinct((2, 2, 4, 16, 20)), []
    for number, (station, echo) in enumerate(itertools.product(range(2), range(2))):
        attributes = {"EchoTime": ["5", "12.5"][echo]}
        frames, first = pixels[station, echo], 1 + 10 * number
        datasets += stack(Identity("echoes", "MR"), frames, grids[station], first=first, attributes=attributes)
    image = opened(series_of(datasets))
    assert len(image.images) == 2
    for one, frames, grid in zip(image.images, pixels, grids, strict=True):
        assert shows(one, "czyx", frames)
        assert lies_on(one, grid)


def test_slices_of_a_tilted_gantry_are_no_stations(opened: Opener) -> None:
    tilted = replace(AXIAL, step=(0.0, 40.0, 2.5))  # each slice 40 mm behind that below
    datasets = [
        *stack(Identity("tilted"), SLICES, tilted, first=1, attributes={"AcquisitionNumber": 1}),
        *stack(Identity("tilted"), SLICES[:, ::-1], tilted, first=10, attributes={"AcquisitionNumber": 2}),
    ]
    image = opened(series_of(datasets))
    assert shows(image, "tzyx", np.stack([SLICES, SLICES[:, ::-1]]))
    assert lies_on(image, tilted)


# --- times of which some are missing


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", [1, 2, 3, 4, 5]),
        ("TriggerTime", ["0", "40", "80", "120", "160"]),
        ("AcquisitionTime", ["120000", "120002", "120004", "120006", "120008"]),
    ],
)
def test_times_that_slices_lack_in_turn_keep_their_places(
    opened: Opener, keyword: str, values: Sequence[object]
) -> None:
    pixels = distinct((5, 5, 16, 20))
    image = opened(traps.without_one_time(pixels, keyword, values))
    for time in range(5):
        pixels[time, time] = 0  # absent, and no later time in its place
    assert shows(image, "tzyx", pixels)
    assert lies_on(image, AXIAL)
    absent = dicomzarr_attributes(image.plan)["absent"]
    assert absent == [{"t": time, "z": time} for time in range(5)]
    assert "5 of 25 frames are absent" in notices_of(image)


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "TriggerTime"])
def test_the_first_time_of_a_slice_is_not_the_second_of_another(opened: Opener, keyword: str) -> None:
    pixels = distinct((5, 2, 16, 20))
    made = dimensions.instances(
        pixels, dimensions.along(keyword, ["0", "40", "80", "120", "160"]), Identity("ends", "MR")
    )
    del made[9], made[0]  # the last of the upper slice, and the first of the lower one
    whole, first, last = opened(series_of(made)).images
    assert shows(whole, "tzyx", pixels[1:4])
    assert shows(first, "yx", pixels[0, 1])
    assert shows(last, "yx", pixels[4, 0])
    assert all("1 of 2 slices" in each.name for each in (first, last))


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier"])
def test_numbers_that_run_on_from_slice_to_slice_are_passes(opened: Opener, keyword: str) -> None:
    values = [[1 + 2 * z + t for z in range(4)] for t in range(2)]
    image = opened(traps.told_by_slice(PIXELS, keyword, values))
    assert shows(image, "tzyx", PIXELS)
    assert lies_on(image, AXIAL)


def test_trigger_times_that_differ_a_little_from_slice_to_slice_are_phases(opened: Opener) -> None:
    frames = distinct((3, 2, 16, 20))
    image = opened(traps.told_by_slice(frames, "TriggerTime", [["0", "0"], ["35.2", "34.9"], ["70.4", "70.1"]]))
    assert shows(image, "tzyx", frames)
    assert coordinate(image, "trigger_time")["values"] == [[0, 0], [35.2, 34.9], [70.4, 70.1]]


def test_trigger_times_of_faster_and_slower_heartbeats_are_phases(opened: Opener) -> None:
    frames = distinct((6, 2, 16, 20))
    values = [[str(40 * phase), str(50 * phase)] for phase in range(6)]  # 200 ms are the fifth phase, or the sixth
    image = opened(traps.told_by_slice(frames, "TriggerTime", values))
    assert shows(image, "tzyx", frames)
    assert coordinate(image, "trigger_time")["values"] == [[40 * phase, 50 * phase] for phase in range(6)]


# --- values that are told in several ways


@pytest.mark.parametrize("slices", [(0, 1), (2, 3, 4), (1, 3)])
def test_slices_with_and_without_a_table_are_images_of_their_own(opened: Opener, slices: Sequence[int]) -> None:
    series = traps.tables_on(slices, VOLUME)
    others = [number for number in range(5) if number not in slices]
    stored, modality = opened(series), opened(series, values="modality")
    assert len(stored.images) == len(modality.images) == 2
    wide = VOLUME.astype(np.int64)
    expected = {len(slices): (VOLUME[list(slices)], wide**2 // 4096), len(others): (VOLUME[others], wide * 2)}
    for one, other in zip(stored.images, modality.images, strict=True):
        has_table = bool(attribute(one, "modality_lut"))
        raw, values = expected[len(slices) if has_table else len(others)]
        assert shows(one, "zyx", raw)
        assert np.array_equal(pixels_of(other), values[list(slices) if has_table else others])
        assert (attribute(one, "rescale") is None) == has_table
    assert sorted(bool(attribute(one, "modality_lut")) for one in stored.images) == [False, True]


def test_bits_that_suffice_for_a_slice_make_no_image_of_their_own(opened: Opener) -> None:
    pixels = distinct((5, 16, 20), bits=13)
    pixels[::2] %= 4096
    series = traps.widening_bits(pixels)
    image = opened(series)
    assert len(image.images) == 1
    assert shows(image, "zyx", pixels)
    assert lies_on(image, AXIAL)
    for dataset in series.datasets:
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    modality = opened(series, values="modality")
    assert np.array_equal(pixels_of(modality), pixels.astype(int) - 1024)


def test_spacings_that_differ_by_rounding_are_one(opened: Opener) -> None:
    series = volume()
    for dataset in series.datasets[::2]:
        dataset.PixelSpacing = ["0.78125", "0.78125"]
    for dataset in series.datasets[1::2]:
        dataset.PixelSpacing = ["0.781251", "0.781251"]
    image = opened(series)
    assert len(image.images) == 1
    assert shows(image, "zyx", VOLUME)
    assert image.levels[0].scale == pytest.approx((2.5, 0.78125, 0.78125), abs=1e-5)


@pytest.mark.parametrize(
    ("keyword", "name", "values"),
    [
        ("AcquisitionNumber", "acquisition_number", [1000001, 1000002]),
        ("FrameReferenceTime", "frame_reference_time", [1234567.5, 1234569.5]),
    ],
)
def test_large_numbers_tell_frames_apart_to_their_last_digit(
    opened: Opener, keyword: str, name: str, values: list[float]
) -> None:
    image = opened(dimensions.repeated(TWICE, dimensions.along(keyword, list(map(str, values)))))
    assert shows(image, "tzyx", TWICE)
    assert coordinate(image, name)["values"] == values


def test_a_step_in_time_is_that_of_exact_times(opened: Opener) -> None:
    times = dimensions.along("FrameReferenceTime", ["1234567.5", "1234569.5"])
    image = opened(dimensions.repeated(TWICE, times))
    assert (image.levels[0].scale[0], units_of(image)["t"]) == (2.0, "millisecond")


def test_a_padding_value_of_zero_is_one(opened: Opener) -> None:
    image = opened(volume(PixelPaddingValue=0))
    assert attribute(image, "pixel_padding_value") == 0


# --- private attributes

B_VALUES: dict[str, tuple[int, str, list[Private]]] = {
    "Siemens": (0x0019, "SIEMENS MR HEADER", [{0x0C: ("IS", b)} for b in (1000, 0)]),
    "Philips": (0x2001, "Philips Imaging DD 001", [{0x03: ("FL", b)} for b in (1000, 0)]),
    "GE": (0x0043, "GEMS_PARM_01", [{0x39: ("IS", [1_000_000_000 + b, 8, 0, 0])} for b in (1000, 0)]),
}
"""By vendor: group, private creator, and what two images have there."""

GRADIENT: list[Private] = [
    {0xB0: ("FL", 1.0), 0xB1: ("FL", 0.0), 0xB2: ("FL", 0.0)},
    {0xB0: ("FL", 0.0), 0xB1: ("FL", 1.0), 0xB2: ("FL", 0.0)},
]
"""Directions by Philips, group 2005."""


@pytest.mark.parametrize("vendor", B_VALUES)
def test_a_private_b_value_counts_if_it_is_its_vendors(opened: Opener, vendor: str) -> None:
    group, creator, elements = B_VALUES[vendor]
    image = opened(traps.vendors(TWICE, group, creator, elements))
    assert shows(image, "czyx", TWICE[::-1])
    assert coordinate(image, "b_value")["values"] == [0, 1000]


@pytest.mark.parametrize("vendor", B_VALUES)
def test_what_somebody_else_put_in_its_place_is_no_b_value(opened: Opener, vendor: str) -> None:
    group, _, elements = B_VALUES[vendor]
    told_by_order_alone(opened(traps.vendors(TWICE, group, "ACME 1.1", elements)))


def told_by_order_alone(image: Image) -> None:
    """Check that two volumes are times of which only the order is known."""
    assert shows(image, "tzyx", TWICE)
    assert (units_of(image)["t"], image.levels[0].scale[0]) == (None, 1.0)
    assert [*dicomzarr_attributes(image.plan)["coordinates"]] == ["z"]
    assert "order of acquisition" in image.name


def test_a_private_direction_counts_if_it_is_its_vendors(opened: Opener) -> None:
    image = opened(traps.vendors(TWICE, 0x2005, "Philips MR Imaging DD 001", GRADIENT))
    assert shows(image, "czyx", TWICE)
    assert "gradient_direction" in image.channels[0].label


def test_what_somebody_else_put_in_its_place_is_no_direction(opened: Opener) -> None:
    told_by_order_alone(opened(traps.vendors(TWICE, 0x2005, "ACME 1.1", GRADIENT)))


# --- doses


@pytest.mark.parametrize("grid", [SAGITTAL, CORONAL, OBLIQUE], ids=["sagittal", "coronal", "oblique"])
def test_absolute_offsets_of_doses_that_are_not_axial_place_nothing(opened: Opener, grid: Grid) -> None:
    image = opened(nuclear.dose(DOSE, [grid.origin[2] + 2.5 * plane for plane in range(4)], grid=grid))
    assert np.array_equal(pixels_of(image), DOSE)
    assert image.affine is None
    assert "GridFrameOffsetVector" in notices_of(image)


@pytest.mark.parametrize("grid", [SAGITTAL, CORONAL, OBLIQUE], ids=["sagittal", "coronal", "oblique"])
def test_relative_offsets_of_doses_are_along_any_normal(opened: Opener, grid: Grid) -> None:
    image = opened(nuclear.dose(DOSE, [0, 2.5, 5, 7.5], grid=grid))
    assert shows(image, "zyx", DOSE)
    assert lies_on(image, grid.along_normal(2.5))


@pytest.mark.parametrize(("grid", "stored"), [(AXIAL, DOSE), (FLIPPED.starting_at(3), DOSE[::-1])], ids=["up", "down"])
def test_absolute_offsets_of_axial_doses_are_places_along_the_body(opened: Opener, grid: Grid, stored: Pixels) -> None:
    offsets = [grid.origin[2] + 2.5 * plane for plane in range(4)]
    image = opened(nuclear.dose(stored, offsets, grid=grid))
    assert shows(image, "zyx", DOSE)
    assert lies_on(image, AXIAL if grid == AXIAL else FLIPPED)


def test_doses_of_several_beams_are_images_of_their_own(opened: Opener) -> None:
    pixels = distinct((2, 4, 16, 20), bits=32)
    image = opened(traps.beams(pixels, [0, 2.5, 5, 7.5]))
    assert len(image.images) == 2
    for one, planes in zip(image.images, pixels, strict=True):
        assert shows(one, "zyx", planes)
        assert lies_on(one, AXIAL)


# --- slices of micrometres


def test_a_hole_among_slices_of_micrometres_shows(opened: Opener) -> None:
    pixels = distinct((30, 16, 20), bits=16)
    datasets = stack(Identity("micro", bits=16), pixels, traps.MICROMETERS)
    image = opened(series_of(datasets))
    assert shows(image, "zyx", pixels)
    assert lies_on(image, traps.MICROMETERS)
    del datasets[12]
    holed = opened(series_of(datasets))
    pixels[12] = 0
    assert shows(holed, "zyx", pixels)
    assert lies_on(holed, traps.MICROMETERS)
    assert dicomzarr_attributes(holed.plan)["absent"] == [{"z": 12}]
    assert "1 of 30 slices were lost" in notices_of(holed)


# --- nuclear medicine


@pytest.mark.parametrize("spacing", [-2.5, 2.5])
@pytest.mark.parametrize("collimated", [True, False], ids=["detectors without place", "no detectors"])
@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_reconstructed_slices_whose_place_stands_at_the_root(
    opened: Opener, grid: Grid, spacing: float, *, collimated: bool
) -> None:
    told = traps.rooted(grid, spacing)
    if collimated:
        told["DetectorInformationSequence"] = [sequence_item(CollimatorType="PARA")]
    image = opened(nuclear.nuclear(SLICES, ["slice"], image_type="RECON TOMO", attributes=told))
    assert shows(image, "zyx", SLICES if spacing > 0 else SLICES[::-1])
    affine = affine_of(image)
    for number in range(4):  # as the standard places the slice: from the first, along the normal
        place = np.array(grid.origin) + number * spacing * grid.normal
        index = number if spacing > 0 else 3 - number
        assert (affine @ [0, 0, index, 1])[:3] == pytest.approx(place, abs=1e-6)
    assert affine[:3, 2] @ grid.normal == pytest.approx(2.5)
    assert affine[:3, 0] == pytest.approx(np.multiply(grid.row, 0.6))
    assert affine[:3, 1] == pytest.approx(np.multiply(grid.column, 0.8))


@pytest.mark.parametrize(
    ("names", "origins", "axes"),
    [
        (["angular_view"], [AXIAL.origin], "tyx"),
        (["detector", "angular_view"], [AXIAL.origin, AXIAL.origin], "tcyx"),
        (["detector", "angular_view"], [AXIAL.origin, AXIAL.position(20)], "tcyx"),
        (["rotation", "angular_view"], [AXIAL.origin], "tcyx"),
        (["energy_window", "angular_view"], [AXIAL.origin], "tcyx"),
    ],
    ids=["one detector", "detectors at one place", "detectors at two places", "rotations", "energies"],
)
def test_projections_from_all_sides_have_a_time_axis_and_no_place(
    opened: Opener, names: list[str], origins: list[Any], axes: str
) -> None:
    pixels = distinct((6, 16, 20) if len(names) == 1 else (2, 3, 16, 20))
    image = opened(nuclear.nuclear(pixels, names, image_type="TOMO", attributes=traps.detectors(*origins)))
    assert len(image.images) == 1
    assert image.affine is None
    assert shows(image, axes, pixels if axes == "tyx" else np.moveaxis(pixels, 1, 0))
    assert coordinate(image, "angular_view")["axis"] == "t"


# --- frames that nothing places


@pytest.mark.parametrize("pointer", [IN_STACK, POSITION], ids=["in the stack", "by position"])
def test_unplaced_frames_that_are_counted_in_their_stack_are_slices_without_unit(
    opened: Opener, pointer: tuple[str, str]
) -> None:
    series = multiframe.not_a_volume(SLICES, "DISTORTED")
    (dataset,) = series.datasets
    index_by(dataset, STACK, pointer)
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        del groups.PlanePositionSequence
    image = opened(series)
    assert shows(image, "zyx", SLICES)
    assert image.affine is None
    assert units_of(image)["z"] is None
    assert image.levels[0].scale[0] == 1.0
    assert "positions" not in notices_of(image)


def test_indices_of_places_make_no_axis_beside_places(opened: Opener) -> None:
    frames = Frames([{}] * 2, content=lambda n, z: content(1, 1 + z + 4 * n))
    dataset = multi_frame(Identity("indices", "enhanced MR"), distinct((2, 4, 16, 20)), frames)
    index_by(dataset, STACK, POSITION)
    image = opened(series_of([dataset]))
    assert axes_of(image) == "tyx"
    assert "list of frames" in image.name


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_parts_of_a_concatenation_follow_each_other(opened: Opener, order: Sequence[int]) -> None:
    frames = distinct((9, 16, 20))
    parts = traps.concatenation(frames, [4, 3, 2])
    image = opened(series_of([parts[number] for number in order], shuffled=False))
    assert len(image.images) == 1
    assert axes_of(image)[1:] == "yx"
    assert np.array_equal(pixels_of(image), frames)
    assert has_no_space(image)


VIEWS = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
"""Side and view of mammograms."""


def test_mammograms_say_their_view(opened: Opener) -> None:
    image = opened(traps.mammograms(VIEWS, SLICES))
    assert [(attribute(one, "laterality"), attribute(one, "view_position")) for one in image.images] == VIEWS
    assert all(map(np.array_equal, map(pixels_of, image.images), SLICES))


# --- palettes


def test_the_palette_of_an_instance_is_read_once(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = distinct((2, 6, 16, 20), bits=8)
    series, palette = traps.palette_clips(frames)
    read, found = [], views.image_palette

    def counted(instance: Any, item: Any, bulk: Any) -> Any:
        read.append(instance.sop_instance_uid)
        return found(instance, item, bulk)

    monkeypatch.setattr("dicomzarr.plan.views.image_palette", counted)
    image = opened(series, values="color")
    for one, stored in zip(image.images, frames, strict=True):
        assert np.array_equal(np.moveaxis(pixels_of(one).reshape(6, 3, 16, 20), 1, -1), palette[stored])
    assert sorted(read) == sorted(str(dataset.SOPInstanceUID) for dataset in series.datasets)


# --- what servers leave out of metadata


@pytest.mark.parametrize("on_instances", [False, True])
def test_tables_that_metadata_leave_out_are_read_in_the_files(
    opened: Opener,
    on_instances: bool,  # noqa: FBT001  # a parameter
) -> None:
    frames = distinct((2, 6, 16, 20), bits=8)
    series, palette = traps.palette_clips(frames)
    fault = faults.leave_out(faults.is_binary, on_instances=on_instances)
    for one, stored in zip(opened(series, fault, values="color").images, frames, strict=True):
        assert np.array_equal(np.moveaxis(pixels_of(one).reshape(6, 3, 16, 20), 1, -1), palette[stored])
    tabled = modality_lut()
    table = np.arange(4096) ** 2 // 4096
    for dataset in tabled.datasets:
        dataset.ModalityLUTSequence[0].add_new("LUTData", "OW", table.astype("<u2").tobytes())
    image = opened(tabled, fault, values="modality")
    assert np.array_equal(pixels_of(image), table[VOLUME])


def _is_layout(tag: str, _vr: str) -> bool:
    """BitsStored, HighBit and PixelRepresentation, which nobody searches for (PS3.18 section 10.6.3.3)."""
    return tag in {"00280101", "00280102", "00280103"}


@pytest.mark.parametrize("on_instances", [False, True])
def test_negative_values_stay_negative_where_metadata_are_those_of_a_search(
    opened: Opener,
    on_instances: bool,  # noqa: FBT001  # a parameter
) -> None:
    pixels = distinct((4, 16, 20), signed=True)
    image = opened(volume(pixels=pixels), faults.leave_out(_is_layout, on_instances=on_instances))
    assert shows(image, "zyx", pixels)
    assert "PixelRepresentation" not in notices_of(image)


@pytest.mark.parametrize("refused", [False, True])
def test_a_sign_that_nobody_tells_is_a_notice(
    opened: Opener,
    refused: bool,  # noqa: FBT001  # a parameter
) -> None:
    """Whether metadata are given for the series, or for its instances alone; there are no files."""

    async def act(request: web.Request, handler: Any) -> Any:
        of_series = "/instances/" not in request.path
        return web.Response(status=404) if refused and of_series else await handler(request)

    async def no_file(request: web.Request, handler: Any) -> Any:
        return web.Response(status=404) if "/instances/" in request.path else await handler(request)

    left_out = faults.leave_out(_is_layout, on_instances=True)
    image = opened(volume(), faults.fault(act, on="metadata"), faults.fault(no_file, on="instances"), left_out)
    assert shows(image, "zyx", VOLUME)
    assert "PixelRepresentation is not given" in notices_of(image)
    assert "could not be had" in notices_of(image)


# --- names in places for words


def told(image: Image) -> str:
    """All that anybody is shown of a series, but for its pixels."""
    found = [json.dumps(group_at(image.series_url).attrs.asdict()), *image.notices]
    for one in image.images:
        found += [one.name, one.path, repr(one), one._repr_html_(), str(one.to_xarray()), repr(one.levels[0])]
        found += [json.dumps(dicomzarr_attributes(one.plan)), json.dumps(group_at(one.url).attrs.asdict())]
        found += [channel.label for channel in one.channels]
    return " ".join(found)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x00080008, ["ORIGINAL", "PRIMARY", "AXIAL", "DOE JOHN"]),
        (0x00080008, ["DOE JOHN", "JOHNDOE", "DOE_JOHN", "JOHN"]),
        (0x00080060, "JOHNDOE"),
        (0x00185101, "JOHNDOE"),
    ],
    ids=["kind of image", "all of the kind", "modality", "view"],
)
def test_no_name_is_shown_that_stands_where_words_should(opened: Opener, tag: int, value: object) -> None:
    series = volume(name=f"named {tag} {value}")
    for dataset in series.datasets:
        dataset.add_new(tag, "CS", value)
    image = opened(series)
    assert shows(image, "zyx", VOLUME)
    assert not {word for word in ("DOE", "JOHN") if word in told(image).upper()}


def test_no_name_is_shown_that_tells_images_apart(opened: Opener) -> None:
    kinds = [{"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", name]} for name in ("DOE JOHN", "DOE JANE")]
    image = opened(dimensions.repeated(TWICE, kinds))
    assert sorted(plane.tobytes() for plane in pixels_of(image)) == sorted(plane.tobytes() for plane in TWICE)
    assert not {word for word in ("DOE", "JOHN", "JANE") if word in told(image).upper()}


def test_no_name_is_shown_that_stands_for_a_unit(opened: Opener) -> None:
    series = multiframe.real_world_values(SLICES)
    (shared,) = series.datasets[0].SharedFunctionalGroupsSequence
    shared.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "JohnDoe"
    image = opened(series)
    assert shows(image, "zyx", SLICES)
    assert [mapping["slope"] for mapping in attribute(image, "real_world_values")] == [0.25]
    assert not {word for word in ("DOE", "JOHN") if word in told(image).upper()}


def test_a_unit_that_is_one_is_shown(opened: Opener) -> None:
    (mapping,) = attribute(opened(multiframe.real_world_values(SLICES)), "real_world_values")
    assert mapping["units"] == "um2/s"

"""Series of multi-frame instances: what they become."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import radiology_multiframe as multiframe
import radiology_nuclear as nuclear
from radiology_dimensions import DIRECTIONS
from radiology_enhanced import IN_STACK, STACK, TEMPORAL, Frames, Macros, content, in_stack, index_by, multi_frame
from radiology_model import AXIAL, CORONAL, FLIPPED, OBLIQUE, SAGITTAL, decimal, decimals, distinct, series_of
from radiology_multiframe import FRAMES
from radiology_nuclear import CINE
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
from radiology_oracles import (
    Dcm2niix,
    Placed,
    by_highdicom,
    by_simpleitk_file,
    differences,
    required,
    rescaled_by_pydicom,
    stored_by_pydicom,
)
from radiology_slices import SOP_CLASSES, Identity, sequence_item
from radiology_volumes import modality_lut, volume

import dicomzarr
from dicomzarr.demo.instances import from_dataset
from dicomzarr.errors import FrameError, ServerError
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from radiology_model import Grid, Pixels, RadiologySeries

    from dicomzarr.arrays.image import Image

SLICES = distinct((4, 16, 20))
"""(z, y, x), 12 bits."""

WEIGHTINGS = [(0.0, None), *((1000.0, direction) for direction in DIRECTIONS)]
"""b-values with directions."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


@pytest.fixture
def dcm2niix(tmp_path_factory: pytest.TempPathFactory) -> Dcm2niix:
    """The converter; where it is missing, skip, and in CI fail."""
    return Dcm2niix(required("dcm2niix"), tmp_path_factory.mktemp("niix"))


def attribute(image: Image, name: str) -> Any:
    """One of the image's own attributes."""
    return dicomzarr_attributes(image.plan)[name]


# --- functional groups, shared or per frame


@pytest.mark.parametrize(
    ("orientation", "measures"),
    [
        ("shared", "shared"),
        ("per_frame", "per_frame"),
        ("both", "both"),
        ("shared", "per_frame"),
        ("per_frame", "both"),
    ],
)
def test_a_macro_stands_in_either_group_and_the_frames_own_wins(
    opened: Opener, orientation: str, measures: str
) -> None:
    image = opened(multiframe.enhanced_volume(SLICES, orientation=orientation, measures=measures))
    assert shows(image, "zyx", SLICES)
    assert lies_on(image, OBLIQUE)
    assert image.images == (image,)
    assert image.levels[0].chunks == (1, 16, 20)


def test_what_the_values_mean_stands_in_functional_groups_too(opened: Opener) -> None:
    image = opened(multiframe.enhanced_volume(SLICES))
    assert attribute(image, "rescale") == {"slope": 1.0, "intercept": -1024.0}
    assert attribute(image, "units") == "HU"
    assert attribute(image, "windows") == [{"center": 40.0, "width": 401.0, "name": "STANDARD", "function": "LINEAR"}]
    (channel,) = image.channels
    assert channel.shown == pytest.approx((863.5, 1263.5))


@pytest.mark.parametrize("grid", [AXIAL, SAGITTAL, CORONAL, FLIPPED, OBLIQUE])
def test_highdicom_finds_each_value_at_the_same_place(opened: Opener, grid: Grid) -> None:
    series = multiframe.enhanced_volume(SLICES, grid)
    image = opened(series)
    apart, unequal = differences(Placed(pixels_of(image), affine_of(image)), by_highdicom(series.datasets))
    assert apart < 1e-6
    assert unequal == 0


def test_dcm2niix_finds_each_value_at_the_same_place(opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path) -> None:
    series = multiframe.enhanced_volume(SLICES, kind="enhanced MR")
    series.write(tmp_path)
    image = opened(series, values="modality")
    (niix,) = dcm2niix.volumes(tmp_path)
    assert differences(Placed(pixels_of(image), affine_of(image)), niix) == (pytest.approx(0, abs=1e-3), 0)


def test_opening_reads_no_frame_and_a_slice_is_one_frame(opened: Opener) -> None:
    image = opened(multiframe.enhanced_volume(SLICES))
    assert (opened.count("metadata"), opened.count("frames")) == (1, 0)
    assert np.array_equal(image.levels[0][2], SLICES[2])
    (request,) = [request.path for request in opened.servers[-1].requests if "/frames/" in request.path]
    assert "," not in request.rpartition("/")[2]


# --- dimension indices


def test_dimension_indices_tell_echoes_from_slices(opened: Opener) -> None:
    image = opened(multiframe.echoes())
    assert shows(image, "czyx", FRAMES)
    assert lies_on(image, OBLIQUE)
    found = coordinate(image, "echo_time")
    assert (found["axis"], found["values"], found["unit"]) == ("c", [5.0, 12.5], "ms")
    assert [channel.label for channel in image.channels] == ["echo_time 5 ms", "echo_time 12.5 ms"]


@pytest.mark.parametrize("indexed", [True, False])
def test_each_value_stands_for_its_own_frames(opened: Opener, *, indexed: bool) -> None:
    times = (12.5, 5.0)  # ranked against their size, where they are ranked
    image = opened(multiframe.echoes(FRAMES, times, indexed=indexed))
    assert axes_of(image) == "czyx"
    found = pixels_of(image)
    for channel, time in enumerate(coordinate(image, "echo_time")["values"]):
        assert np.array_equal(found[channel], FRAMES[times.index(time)])


def test_a_private_dimension_is_an_axis(opened: Opener) -> None:
    # highdicom: KeyError 'Tag (2005,106E) not found'
    series = multiframe.private_dimension()
    image = opened(series)
    assert shows(image, "czyx", FRAMES)
    assert lies_on(image, OBLIQUE)
    assert len({channel.label for channel in image.channels}) == 2


def test_indexed_diffusion_shares_one_axis(opened: Opener) -> None:
    pixels = distinct((4, 2, 16, 20))
    assert_diffusion(opened(multiframe.diffusion_frames(pixels, WEIGHTINGS)), pixels)


def assert_diffusion(image: Image, pixels: Pixels) -> None:
    """Each pair of b-value and direction stands for its own frames."""
    assert (axes_of(image), image.levels[0].shape) == ("czyx", pixels.shape)
    found = pixels_of(image)
    b_values, directions = coordinate(image, "b_value"), coordinate(image, "gradient_direction")
    assert b_values["axis"] == directions["axis"] == "c"
    for channel, (b, direction) in enumerate(zip(b_values["values"], directions["values"], strict=True)):
        stored = WEIGHTINGS.index((b, None if b == 0 else tuple(direction)))
        assert np.array_equal(found[channel], pixels[stored])
    assert lies_on(image, OBLIQUE)


# --- no dimension indices


def test_echoes_without_indices(opened: Opener) -> None:
    image = opened(multiframe.echoes(indexed=False))
    assert shows(image, "czyx", FRAMES)
    assert lies_on(image, OBLIQUE)
    assert coordinate(image, "echo_time")["values"] == [5.0, 12.5]


@pytest.mark.parametrize("indexed", [True, False])
def test_temporal_positions_with_and_without_indices(opened: Opener, *, indexed: bool) -> None:
    image = opened(multiframe.temporal(indexed=indexed))
    assert shows(image, "tzyx", FRAMES)
    assert lies_on(image, OBLIQUE)
    assert coordinate(image, "temporal_position") == {"axis": "t", "values": [1, 2]}


def test_moments_of_acquisition_without_indices(opened: Opener) -> None:
    image = opened(multiframe.timed(FRAMES, ["20200102235959.5", "20200103000002"]))
    assert shows(image, "tzyx", FRAMES)
    assert lies_on(image, OBLIQUE)
    moments = coordinate(image, "acquisition_time")
    assert (moments["axis"], moments["values"]) == ("t", pytest.approx([0, 2.5]))
    assert units_of(image)["t"] == "second"
    assert image.levels[0].scale[0] == pytest.approx(2.5)


def test_diffusion_without_indices(opened: Opener) -> None:
    pixels = distinct((4, 2, 16, 20))
    assert_diffusion(opened(multiframe.diffusion_frames(pixels, WEIGHTINGS, indexed=False)), pixels)


def test_times_that_differ_from_frame_to_frame_are_no_axis(opened: Opener) -> None:
    def own(n: int, z: int) -> Macros:
        moment = f"202001021200{10 * n + z:02}.5"
        return in_stack(z, n + 1, TemporalPositionIndex=n + 1, FrameAcquisitionDateTime=moment)

    dataset = multi_frame(Identity("times", "enhanced MR"), FRAMES, Frames([{}, {}], content=own))
    index_by(dataset, STACK, IN_STACK, TEMPORAL)
    image = opened(series_of([dataset]))
    assert shows(image, "tzyx", FRAMES)
    times = coordinate(image, "acquisition_time")
    assert (times["axis"], times["values"]) == ("tz", [[0, 1, 2, 3], [10, 11, 12, 13]])


def test_frames_that_nothing_tells_apart_are_a_list_with_their_places(opened: Opener) -> None:
    frames = Frames([{}, {}], content=lambda *_: content())
    series = series_of([multi_frame(Identity("alike", "enhanced MR"), FRAMES, frames)])
    image = opened(series)
    assert opened.count("frames") == 0
    assert shows(image, "tyx", series.datasets[0].pixel_array)
    assert has_no_space(image)
    assert units_of(image)["t"] is None
    places = [groups.PlanePositionSequence[0] for groups in series.datasets[0].PerFrameFunctionalGroupsSequence]
    expected = np.array([place.ImagePositionPatient for place in places], float)
    assert np.allclose(coordinate(image, "position")["values"], expected)
    assert "list" in " ".join(image.notices)


# --- the order of frames means nothing


def test_frames_are_stored_in_another_order(opened: Opener) -> None:
    series = multiframe.echoes()
    (dataset,) = series.datasets
    stored = stored_by_pydicom(dataset)
    image = opened(series)
    assert not np.array_equal(stored, FRAMES.reshape(-1, 16, 20))
    for frame, groups in zip(stored, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        channel = coordinate(image, "echo_time")["values"].index(groups.MREchoSequence[0].EffectiveEchoTime)
        place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        (z,) = [z for z in range(4) if np.allclose((affine_of(image) @ (0, 0, z, 1))[:3], place, atol=1e-6)]
        assert np.array_equal(image.levels[0][channel, z], frame)


# --- stacks


@pytest.mark.parametrize(
    "grid",
    [CORONAL, OBLIQUE.starting_at(20), OBLIQUE.starting_at(4)],
    ids=["of another orientation", "parallel", "where the first would go on"],
)
def test_stacks_are_images_of_their_own(opened: Opener, grid: Grid) -> None:
    first, second = distinct((4, 16, 20)), distinct((3, 16, 20))[:, ::-1]
    image = opened(multiframe.two_stacks(first, second, grid))
    most, fewest = image.images
    assert shows(most, "zyx", first)
    assert lies_on(most, OBLIQUE)
    assert shows(fewest, "zyx", second)
    assert lies_on(fewest, grid)
    assert "stack" in " ".join(image.notices)


# --- no functional groups


def test_without_functional_groups_frames_are_a_sequence_without_geometry(opened: Opener) -> None:
    image = opened(multiframe.without_groups(SLICES))
    assert shows(image, "tyx", SLICES)
    assert has_no_space(image)
    assert units_of(image)["t"] is None


# --- values that are scaled frame by frame


def test_each_frame_has_its_slope(opened: Opener) -> None:
    pixels = distinct((4, 16, 20), bits=16)
    slopes, intercepts = [0.5, 1.25, 2.0, 4.75], [0.0, 10.0, -3.0, 7.0]
    series = multiframe.frame_transformations(pixels, slopes, intercepts)
    image = opened(series)
    assert shows(image, "zyx", pixels)
    assert lies_on(image, OBLIQUE)
    assert attribute(image, "rescale") == {"slope": slopes, "intercept": intercepts}
    assert attribute(image, "units") == "BQML"
    expected = pixels * np.reshape(slopes, (4, 1, 1)) + np.reshape(intercepts, (4, 1, 1))
    assert shows(opened(series, values="modality"), "zyx", expected.astype(np.float32))


def test_slopes_that_conversion_left_unassigned_count(opened: Opener) -> None:
    series = multiframe.enhanced_volume(SLICES, kind="enhanced MR")
    (dataset,) = series.datasets
    for group in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
        group.pop("PixelValueTransformationSequence", None)
    for group in dataset.PerFrameFunctionalGroupsSequence:
        (found,) = group.FrameContentSequence
        slope = decimal(found.InStackPositionNumber)
        left = sequence_item(RescaleSlope=slope, RescaleIntercept="5", RescaleType="US")
        group.UnassignedPerFrameConvertedAttributesSequence = [left]
    image = opened(series, values="modality")
    assert np.array_equal(pixels_of(image), SLICES * np.arange(1.0, 5.0)[:, None, None] + 5)


def test_magnitude_and_phase_are_channels_each_with_its_slope(opened: Opener) -> None:
    series = multiframe.mixed_components()
    image = opened(series)
    assert shows(image, "czyx", FRAMES)
    assert [str(value).lower() for value in coordinate(image, "component")["values"]] == ["magnitude", "phase"]
    rescale = attribute(image, "rescale")
    assert np.broadcast_to(np.array(rescale["slope"]), (2, 4)).tolist() == [[2.0] * 4, [0.5] * 4]
    assert np.broadcast_to(np.array(rescale["intercept"]), (2, 4)).tolist() == [[0.0] * 4, [-1024.0] * 4]
    expected = np.stack([FRAMES[0] * 2.0, FRAMES[1] * 0.5 - 1024])
    assert shows(opened(series, values="modality"), "czyx", expected.astype(np.float32))


# --- real world values


@pytest.mark.parametrize("rescale", [False, True])
def test_real_world_values_are_never_chained_with_a_rescale(opened: Opener, *, rescale: bool) -> None:
    series = multiframe.real_world_values(SLICES, rescale=rescale)
    image = opened(series)
    assert shows(image, "zyx", SLICES)
    slope, intercept = (3.0, 1.0) if rescale else (1.0, 0.0)
    assert attribute(image, "rescale") == {"slope": slope, "intercept": intercept}
    (first, *_) = attribute(image, "real_world_values")
    values = {"first_value_mapped": 0, "last_value_mapped": 4095, "slope": 0.25, "intercept": 10}
    assert first == {**values, "units": "um2/s"}
    assert np.array_equal(pixels_of(opened(series, values="modality")), SLICES * slope + intercept)


@pytest.mark.parametrize(
    ("signed", "vr", "told", "meant"),
    [
        (True, "US", (64536, 1000), (-1000, 1000)),
        (True, "US", (64536, 65535), (-1000, -1)),
        (False, "SS", (0, -1), (0, 65535)),
    ],
)
def test_the_range_of_real_world_values_has_the_sign_of_the_pixels(
    opened: Opener, *, signed: bool, vr: str, told: tuple[int, int], meant: tuple[int, int]
) -> None:
    series = multiframe.real_world_values(SLICES)
    (dataset,) = series.datasets
    dataset.PixelRepresentation = int(signed)
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    for name, end in zip(("First", "Last"), told, strict=True):
        mapping.add_new(f"RealWorldValue{name}ValueMapped", vr, end)
    (found,) = attribute(opened(series), "real_world_values")
    assert (found["first_value_mapped"], found["last_value_mapped"]) == meant


def test_real_world_values_without_a_range_are_noticed(opened: Opener) -> None:
    series = multiframe.real_world_values(SLICES)
    (dataset,) = series.datasets
    mappings = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    mappings.append(deepcopy(mappings[0]))
    assert not opened(series).notices
    del mappings[1].RealWorldValueLastValueMapped
    image = opened(series)
    assert len(attribute(image, "real_world_values")) == 1
    (notice,) = image.notices
    assert "does not say what it maps" in notice


def test_real_world_values_that_differ_are_noticed(opened: Opener) -> None:
    series = multiframe.real_world_values(SLICES)
    (dataset,) = series.datasets
    mappings = dataset.SharedFunctionalGroupsSequence[0].pop("RealWorldValueMappingSequence")
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        group.RealWorldValueMappingSequence = deepcopy(mappings.value)
        group.RealWorldValueMappingSequence[0].RealWorldValueSlope = 0.25 + number
    image = opened(series)
    assert "real_world_values" not in dicomzarr_attributes(image.plan)
    assert any("RealWorldValueMappingSequence differs" in notice for notice in image.notices)


# --- several multi-frame instances


def test_instances_of_several_times_are_one_image(opened: Opener) -> None:
    pixels = distinct((3, 4, 16, 20))
    image = opened(multiframe.one_instance_per_time(pixels))
    assert shows(image, "tzyx", pixels)
    assert lies_on(image, OBLIQUE)
    assert len(image.images) == 1
    assert image.levels[0].chunks == (1, 1, 16, 20)


def concatenated(pixels: Pixels, lost: int | None = None) -> RadiologySeries:
    """A volume, (z, y, x), as a concatenation of two instances, of which one may be lost."""
    half = len(pixels) // 2
    parts = []
    for number, places in enumerate((range(half), range(half, len(pixels)))):
        first = places[0]
        frames = Frames(grid=OBLIQUE.starting_at(first), content=lambda _, z, first=first: in_stack(z + first))
        attributes = {
            "ConcatenationUID": "1.2.3.9",
            "SOPInstanceUIDOfConcatenationSource": "1.2.3.10",
            "InConcatenationNumber": number + 1,
            "InConcatenationTotalNumber": 2,
            "ConcatenationFrameOffsetNumber": first,
        }
        identity = Identity("concatenated", "enhanced MR")
        part = multi_frame(identity, pixels[None, places], frames, number=number + 1, attributes=attributes)
        index_by(part, STACK, IN_STACK)
        parts.append(part)
    return series_of([part for number, part in enumerate(parts) if number != lost])


def test_parts_of_a_concatenation_are_one_volume(opened: Opener) -> None:
    image = opened(concatenated(SLICES))
    assert shows(image, "zyx", SLICES)
    assert lies_on(image, OBLIQUE)
    assert image.notices == ()


def test_a_lost_part_of_a_concatenation_is_said(opened: Opener) -> None:
    image = opened(concatenated(SLICES, lost=0))
    assert shows(image, "zyx", SLICES[2:])
    assert lies_on(image, OBLIQUE.starting_at(2))
    assert "concatenation" in " ".join(image.notices).lower()


# --- supplemental palette


def test_a_supplemental_palette_does_not_make_grey_frames_colour(opened: Opener) -> None:
    image = opened(nuclear.supplemental_palette())
    assert shows(image, "tyx", CINE)
    assert len(image.channels) == 1


# --- FrameIncrementPointer


def test_frame_time_is_the_step_of_the_time_axis(opened: Opener) -> None:
    image = opened(nuclear.evenly_timed(CINE, 33.33))
    assert shows(image, "tyx", CINE)
    assert units_of(image) == {"t": "millisecond", "y": None, "x": None}
    assert image.levels[0].scale == pytest.approx((33.33, 1, 1))
    found = coordinate(image, "frame_time")
    assert (found["axis"], found["unit"]) == ("t", "ms")
    assert found["values"] == pytest.approx([0, 33.33, 66.66, 99.99])


@pytest.mark.parametrize(
    ("increments", "moments", "step"),
    [([0, 40, 50, 30], [0, 40, 90, 120], None), ([0, 40, 40, 40], [0, 40, 80, 120], 40.0)],
    ids=["uneven", "even"],
)
def test_a_frame_time_vector_counts_from_the_frame_before(
    opened: Opener, increments: Sequence[float], moments: Sequence[float], step: float | None
) -> None:
    image = opened(nuclear.unevenly_timed(CINE, increments))
    assert shows(image, "tyx", CINE)
    found = coordinate(image, "frame_time")
    assert (found["axis"], found["unit"], found["values"]) == ("t", "ms", pytest.approx(moments))
    assert image.levels[0].scale[0] == pytest.approx(step or 1.0)
    assert units_of(image)["t"] == (None if step is None else "millisecond")


def test_frames_without_pointer_are_a_sequence(opened: Opener) -> None:
    image = opened(nuclear.cine(CINE))
    assert shows(image, "tyx", CINE)
    assert units_of(image)["t"] is None
    assert image.levels[0].scale == (1.0, 1.0, 1.0)


def test_colour_frames_have_time_and_colour(opened: Opener) -> None:
    pixels = distinct((3, 8, 10, 3), bits=8)
    image = opened(nuclear.evenly_timed(pixels, 40, "US cine", 8))
    assert shows(image, "tcyx", np.moveaxis(pixels, -1, 1))
    assert image.levels[0].chunks == (1, 3, 8, 10)
    assert [channel.label for channel in image.channels] == ["R", "G", "B"]


# --- nuclear medicine


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE, FLIPPED], ids=["axial", "oblique", "flipped"])
def test_reconstructed_slices_lie_where_the_detector_says(opened: Opener, grid: Grid, *, descending: bool) -> None:
    image = opened(nuclear.recon_tomo(SLICES, grid, descending=descending))
    assert shows(image, "zyx", SLICES)
    assert lies_on(image, grid)


def test_time_slots_are_time_and_slices_are_space(opened: Opener) -> None:
    pixels = distinct((3, 4, 16, 20))
    image = opened(nuclear.gated_tomo(pixels, OBLIQUE))
    assert shows(image, "tzyx", pixels)
    assert lies_on(image, OBLIQUE)
    assert coordinate(image, "time_slot")["axis"] == "t"


@pytest.mark.parametrize(
    ("dimension", "axis"),
    [
        ("energy_window", "c"),
        ("detector", "c"),
        ("phase", "t"),
        ("time_slot", "t"),
        ("rr_interval", None),
        ("rotation", None),
        ("angular_view", None),
    ],
)
def test_each_vector_is_an_axis(opened: Opener, dimension: str, axis: str | None) -> None:
    image = opened(nuclear.nuclear(CINE, [dimension]))
    assert len(axes_of(image)) == 3
    assert axes_of(image)[0] in (axis or "tc")
    assert shows(image, axes_of(image), CINE)
    found = coordinate(image, dimension)
    assert (found["axis"], found["values"]) == (axes_of(image)[0], [1, 2, 3, 4])
    assert image.affine is None


def test_time_slots_and_energy_windows_are_two_axes(opened: Opener) -> None:
    pixels = distinct((2, 3, 16, 20))
    image = opened(nuclear.nuclear(pixels, ["energy_window", "time_slot"]))
    assert shows(image, "tcyx", np.moveaxis(pixels, 1, 0))


def test_a_frame_that_the_vector_leaves_out_is_nowhere(opened: Opener) -> None:
    series = nuclear.recon_tomo(SLICES)
    (dataset,) = series.datasets
    dataset.SliceVector = [1, 2, 3]
    placed, nowhere = opened(series).images
    assert shows(placed, "zyx", dataset.pixel_array[:3])
    assert lies_on(placed, AXIAL)
    assert shows(nowhere, "yx", dataset.pixel_array[3])
    assert nowhere.affine is None


def test_a_slice_that_the_vector_has_twice_makes_a_list(opened: Opener) -> None:
    series = nuclear.recon_tomo(SLICES)
    (dataset,) = series.datasets
    dataset.SliceVector = [1, 2, 2, 3]
    image = opened(series)
    assert shows(image, "tyx", dataset.pixel_array)
    assert has_no_space(image)
    assert coordinate(image, "slice")["values"] == [1, 2, 2, 3]
    assert "list" in " ".join(image.notices)


def test_detectors_that_look_another_way_are_images_of_their_own(opened: Opener) -> None:
    series = nuclear.nuclear(CINE, ["detector"])
    (dataset,) = series.datasets
    dataset.PixelSpacing = decimals(AXIAL.spacing)
    dataset.DetectorInformationSequence = [
        sequence_item(ImagePositionPatient=decimals(grid.origin), ImageOrientationPatient=decimals(grid.cosines))
        for grid in (AXIAL, CORONAL, AXIAL, CORONAL)
    ]
    first, second = opened(series).images
    assert shows(first, "cyx", CINE[[0, 2]])
    assert shows(second, "cyx", CINE[[1, 3]])
    assert np.allclose(affine_of(first)[:, [0, 1, 3]], AXIAL.affine[:, [0, 1, 3]])
    assert np.allclose(affine_of(second)[:, [0, 1, 3]], CORONAL.affine[:, [0, 1, 3]])


def test_projections_of_detectors_that_look_one_way_are_no_slices(opened: Opener) -> None:
    series = nuclear.nuclear(CINE, ["detector"])
    (dataset,) = series.datasets
    dataset.PixelSpacing = decimals(AXIAL.spacing)
    dataset.DetectorInformationSequence = [
        sequence_item(ImagePositionPatient=decimals(AXIAL.position(z)), ImageOrientationPatient=decimals(AXIAL.cosines))
        for z in range(4)
    ]
    image = opened(series)
    assert shows(image, "cyx", CINE)
    assert image.affine is None
    assert "what several detectors saw" in " ".join(image.notices)


def test_a_reconstruction_may_count_its_only_rotation(opened: Opener) -> None:
    rotations = {"RotationVector": [1] * len(SLICES)}
    series = nuclear.nuclear(SLICES, ["slice"], nuclear.Slices(AXIAL), image_type="RECON TOMO", attributes=rotations)
    (dataset,) = series.datasets
    stored = np.argsort(dataset.SliceVector)
    dataset.PixelData = dataset.pixel_array[stored].tobytes()
    del dataset.SliceVector
    image = opened(series)
    assert shows(image, "zyx", SLICES)
    assert lies_on(image, AXIAL)


# --- more dimensions than OME-Zarr has axes


def test_two_channel_like_vectors_are_images_of_channels(opened: Opener) -> None:
    pixels = distinct((2, 3, 16, 20))
    image = opened(nuclear.nuclear(pixels, ["energy_window", "detector"]))
    found = [pixels_of(one) for one in image.images]
    ways = [list(pixels), list(np.moveaxis(pixels, 1, 0))]
    assert any(len(found) == len(way) and all(map(np.array_equal, found, way)) for way in ways)
    assert all(axes_of(one) == "cyx" for one in image.images)
    assert [one.name for one in image.images] == ["NM 1 of 2: energy window 1", "NM 2 of 2: energy window 2"]


def test_three_vectors_and_slices_are_images_of_five_axes(opened: Opener) -> None:
    pixels = distinct((2, 2, 2, 2, 16, 20))
    series = nuclear.nuclear(pixels, ["energy_window", "detector", "time_slot", "slice"], nuclear.Slices(AXIAL))
    image = opened(series)
    assert [axes_of(one) for one in image.images] == ["tczyx", "tczyx"]
    by_window = [np.moveaxis(part, 1, 0) for part in pixels]
    by_detector = [np.moveaxis(part, 1, 0) for part in np.moveaxis(pixels, 1, 0)]
    found = [pixels_of(one) for one in image.images]
    assert any(all(map(np.array_equal, found, way)) for way in (by_window, by_detector))
    assert all(lies_on(one, AXIAL) for one in image.images)


# --- dose


DOSE = distinct((4, 16, 20), bits=32)
Z = AXIAL.origin[2]


@pytest.mark.parametrize(
    ("offsets", "grid", "stored"),
    [
        ([0, 2.5, 5, 7.5], AXIAL, DOSE),
        ([Z, Z + 2.5, Z + 5, Z + 7.5], AXIAL, DOSE),
        ([0, -2.5, -5, -7.5], AXIAL.starting_at(3), DOSE[::-1]),
        ([Z + 7.5, Z + 5, Z + 2.5, Z], AXIAL.starting_at(3), DOSE[::-1]),
        ([0, 2.5, 5, 7.5], FLIPPED, DOSE),
        ([Z, Z - 2.5, Z - 5, Z - 7.5], FLIPPED, DOSE),
        ([0, 2.5, 5, 7.5], OBLIQUE.along_normal(2.5), DOSE),
    ],
    ids=[
        "relative",
        "absolute",
        "relative descending",
        "absolute descending",
        "relative along a normal to the feet",
        "absolute along a normal to the feet",
        "relative and oblique",
    ],
)
def test_offsets_are_relative_or_absolute_and_may_descend(
    opened: Opener, offsets: Sequence[float], grid: Grid, stored: Pixels
) -> None:
    image = opened(nuclear.dose(stored, offsets, grid=grid))
    assert shows(image, "zyx", DOSE)
    steps = dataclasses.replace(grid, origin=AXIAL.origin)
    assert lies_on(image, steps)
    assert attribute(image, "units") == "GY"
    assert attribute(image, "rescale") == {"slope": 2.5e-4, "intercept": 0.0}


def test_offsets_in_any_order_place_the_frames(opened: Opener) -> None:
    order = [0, 2, 3, 1]
    image = opened(nuclear.dose(DOSE[order], [2.5 * place for place in order]))
    assert shows(image, "zyx", DOSE)
    assert lies_on(image, AXIAL)


@pytest.mark.parametrize("offsets", [[0, 2.5, 5, 10], [0, 2.5, 5, 11], [0, 2.5, 7.5, 10]])
def test_uneven_offsets_are_coordinates_and_no_plane_is_absent(opened: Opener, offsets: list[float]) -> None:
    image = opened(nuclear.dose(DOSE, offsets))
    assert shows(image, "zyx", DOSE)
    assert image.affine is None
    assert units_of(image)["z"] is None
    assert np.diff(coordinate(image, "z")["values"]) == pytest.approx(np.diff(offsets))
    assert np.allclose(attribute(image, "plane_affine"), AXIAL.along_normal(1.0).affine)


@pytest.mark.parametrize("offsets", [[0, 2.5, 5], [10, 12.5, 15, 17.5], [0, 2.5, 5, 7.5, 10]])
def test_offsets_that_are_not_those_of_the_frames_place_none(opened: Opener, offsets: Sequence[float]) -> None:
    image = opened(nuclear.dose(DOSE, offsets))
    assert np.array_equal(pixels_of(image), DOSE)
    assert image.affine is None
    assert "GridFrameOffsetVector" in " ".join(image.notices)


def test_two_frames_at_one_offset_are_a_list(opened: Opener) -> None:
    image = opened(nuclear.dose(DOSE, [0, 2.5, 2.5, 5]))
    assert shows(image, "tyx", DOSE)
    assert has_no_space(image)
    assert np.array(coordinate(image, "position")["values"])[:, 2] - AXIAL.origin[2] == pytest.approx([0, 2.5, 2.5, 5])


def test_planes_of_a_dose_without_offsets_lie_nowhere(opened: Opener) -> None:
    series = nuclear.dose(SLICES, [0, 2, 4, 6])
    (dataset,) = series.datasets
    del dataset.GridFrameOffsetVector
    image = opened(series)
    assert shows(image, "zyx", SLICES)
    assert image.affine is None
    assert "position" not in attribute(image, "coordinates")


PLACED_FIRST = {
    "ImagePositionPatient": decimals(AXIAL.origin),
    "ImageOrientationPatient": decimals(AXIAL.cosines),
    "PixelSpacing": decimals(AXIAL.spacing),
    "SliceThickness": "10",
}
"""What a capture says of its first frame."""


def test_slice_locations_of_a_capture_count_z(opened: Opener) -> None:
    locations = decimals([30, 20, 5, 0])
    series = nuclear.cine(
        CINE, "secondary capture OT", FrameIncrementPointer=0x00182005, SliceLocationVector=locations, **PLACED_FIRST
    )
    image = opened(series)
    assert shows(image, "zyx", CINE[::-1])
    assert image.affine is None
    assert coordinate(image, "slice_location")["values"] == [0, 5, 20, 30]


def test_heartbeats_of_a_cine_are_no_slices(opened: Opener) -> None:
    beats = [0.0, 810.0, 1630.0, 2420.0]
    series = nuclear.cine(CINE, "US cine", FrameIncrementPointer=0x00186060, RWaveTimeVector=beats, **PLACED_FIRST)
    assert shows(opened(series), "tyx", CINE)


def test_captures_that_turn_are_no_slices(opened: Opener) -> None:
    angles = decimals([0, 20, 40, 60])
    series = nuclear.cine(
        CINE, "secondary capture OT", FrameIncrementPointer=0x00182003, FramePrimaryAngleVector=angles, **PLACED_FIRST
    )
    image = opened(series)
    assert shows(image, "tyx", CINE)
    assert image.affine is None
    assert "position" not in attribute(image, "coordinates")


def test_dose_is_value_times_scaling(opened: Opener) -> None:
    pixels = distinct((4, 16, 20), bits=16)
    series = nuclear.dose(pixels, [0, 2.5, 5, 7.5], bits=16)
    image = opened(series, values="modality")
    assert image.levels[0].dtype == np.float32
    expected = stored_by_pydicom(series.datasets[0]) * 2.5e-4  # pydicom's modality LUT does not know of the scaling
    assert np.allclose(pixels_of(image), expected, rtol=1e-6)


def test_itk_finds_each_dose_at_the_same_place(opened: Opener, tmp_path: Path) -> None:
    pixels = distinct((4, 16, 20), bits=16)
    series = nuclear.dose(pixels, [0, 2.5, 5, 7.5], bits=16, scaling=1)
    image = opened(series)
    (path,) = series.write(tmp_path)
    apart, unequal = differences(Placed(pixels_of(image), affine_of(image)), by_simpleitk_file(path))
    assert apart < 1e-6
    assert unequal == 0


# --- tomosynthesis


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_tomosynthesis_is_a_volume_and_keeps_its_side(opened: Opener, laterality: str) -> None:
    image = opened(multiframe.tomosynthesis(SLICES, SAGITTAL, laterality))
    assert shows(image, "zyx", SLICES)
    assert lies_on(image, SAGITTAL)
    assert attribute(image, "laterality") == laterality


@pytest.mark.parametrize("further", [False, True], ids=["at one place", "one behind the other"])
@pytest.mark.parametrize(
    "views",
    [
        [{"ViewPosition": "CC"}, {"ViewPosition": "MLO"}],
        [{"ViewCodeSequence": [sequence_item(CodeValue=code)]} for code in ("399162004", "399368009")],
        [{}, {}],
    ],
    ids=["positions", "codes", "unsaid"],
)
def test_views_of_a_breast_are_images_of_their_own(
    opened: Opener, views: list[dict[str, object]], *, further: bool
) -> None:
    """It is pressed anew for each: neither slices nor times of one another."""
    grids = (
        [SAGITTAL, dataclasses.replace(SAGITTAL, origin=SAGITTAL.position(len(SLICES)))] if further else [SAGITTAL] * 2
    )
    pixels = [SLICES, SLICES[:, ::-1]]
    made = [
        multiframe.tomosynthesis(pixels[number], grids[number], number=number + 1, **view)
        for number, view in enumerate(views)
    ]
    images = opened(series_of([dataset for series in made for dataset in series.datasets])).images
    assert len(images) == 2
    for number, image in enumerate(images):
        assert shows(image, "zyx", pixels[number])
        assert dicomzarr_attributes(image.plan).get("view_position") == (["CC", "MLO"][number] if views[0] else None)
        assert attribute(image, "laterality") == "R"


def test_what_instances_say_otherwise_is_not_said_of_the_image(opened: Opener) -> None:
    series = volume()
    for number, dataset in enumerate(series.datasets):
        dataset.ImagerPixelSpacing = [0.5, 0.5 + number / 10]
        dataset.Laterality = "LR"[number % 2]
    told = dicomzarr_attributes(opened(series).plan)
    assert not {"imager_pixel_spacing", "laterality"} & told.keys()


# --- nothing is applied


def test_masks_and_logarithms_are_not_applied(opened: Opener) -> None:
    series = nuclear.evenly_timed(CINE)
    (dataset,) = series.datasets
    assert (dataset.PixelIntensityRelationship, "MaskSubtractionSequence" in dataset) == ("LOG", True)
    image = opened(series)
    assert shows(image, "tyx", CINE)
    assert np.array_equal(rescaled_by_pydicom(dataset), pixels_of(image))
    assert attribute(image, "imager_pixel_spacing") == [0.3, 0.3]


def with_table(relationship: str) -> RadiologySeries:
    """A cine with a Modality LUT and a window from 500 to 1500."""
    series = nuclear.evenly_timed(CINE)
    (dataset,) = series.datasets
    dataset.PixelIntensityRelationship = relationship
    dataset.ModalityLUTSequence = modality_lut().datasets[0].ModalityLUTSequence
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 1000, 1000, "LINEAR_EXACT"
    return series


def drawn(values: Pixels, low: float = 500, high: float = 1500) -> Pixels:
    """The picture of values that are black at one and white at another."""
    grey = np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255)
    return np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize("relationship", ["LOG", "DISP"])
def test_a_table_that_leads_to_x_ray_intensities_comes_before_no_window(opened: Opener, relationship: str) -> None:
    """Which is one of stored values (PS3.3 section C.8.7.1.1.2), as dcmtk and dcm4che have it."""
    series = with_table(relationship)
    image = opened(series)
    assert shows(image, "tyx", CINE)
    assert image.channels[0].shown == (500, 1500)
    assert np.array_equal(image.thumbnail(20), drawn(CINE[0]))
    assert attribute(image, "windows_of_stored")
    assert "X-ray intensities" in " ".join(image.notices)
    measured = opened(series, values="modality")
    assert np.array_equal(pixels_of(measured), rescaled_by_pydicom(series.datasets[0]))
    assert measured.channels[0].shown is None
    assert not {"windows", "windows_of_stored"} & dicomzarr_attributes(measured.plan).keys()


@pytest.mark.parametrize(("relationship", "kind"), [("LIN", "XA"), ("LOG", "DX")])
def test_other_tables_come_before_the_window(opened: Opener, relationship: str, kind: str) -> None:
    series = with_table(relationship)
    (dataset,) = series.datasets
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SOP_CLASSES[kind]
    image = opened(series)
    assert image.channels[0].shown is None
    assert np.array_equal(image.thumbnail(20), drawn(rescaled_by_pydicom(dataset)[0]))


# --- frames that are no regular volume


@pytest.mark.parametrize("properties", ["DISTORTED", "SAMPLED"])
def test_frames_that_are_not_quite_planar_lie_where_they_say_and_a_notice_warns(
    opened: Opener, properties: str
) -> None:
    image = opened(multiframe.not_a_volume(SLICES, properties))
    assert shows(image, "zyx", SLICES)
    assert lies_on(image, OBLIQUE)
    assert f"VolumetricProperties is {properties}" in " ".join(image.notices)
    assert attribute(image, "volumetric_properties") == properties


# --- NumberOfFrames


def odd_count(opened: Opener, series: RadiologySeries, value: object) -> str:
    """The URL of a series whose metadata give NumberOfFrames like this; None leaves it out."""
    (dataset,) = series.datasets
    stored = from_dataset(dataset)
    metadata = {tag: element for tag, element in stored.metadata().items() if tag != "00280008"}
    if value is not None:
        metadata["00280008"] = {"vr": "IS", "Value": [value]}
    odd = dataclasses.replace(stored, metadata=lambda: metadata)
    return opened.serve([odd]).series_url(series.study_uid, series.series_uid)


@pytest.mark.parametrize("value", ["4 ", "4", 4, 4.0])
def test_a_count_is_a_number_however_it_is_written(opened: Opener, value: object) -> None:
    url = odd_count(opened, nuclear.evenly_timed(CINE), value)
    assert shows(dicomzarr.open(url), "tyx", CINE)


@pytest.mark.parametrize("value", [None, "", "1 "])
def test_without_a_count_there_is_one_frame(opened: Opener, value: object) -> None:
    url = odd_count(opened, nuclear.cine(CINE[:1]), value)
    assert shows(dicomzarr.open(url), "yx", CINE[0])


@pytest.mark.parametrize("value", [0, -1, "many"])
def test_of_an_impossible_count_one_frame_is_read(opened: Opener, value: object) -> None:
    image = dicomzarr.open(odd_count(opened, nuclear.cine(CINE), value))
    assert shows(image, "yx", CINE[0])
    assert "NumberOfFrames" in " ".join(image.notices)


def test_frames_that_the_metadata_promise_and_nobody_has_are_errors(opened: Opener) -> None:
    url = odd_count(opened, nuclear.cine(CINE), 6)
    level = dicomzarr.open(url).levels[0]
    assert level.shape == (6, 16, 20)
    assert np.array_equal(level[:4], CINE)
    with pytest.raises((ServerError, FrameError)):
        level[5]


def test_a_frame_that_no_functional_group_describes_is_none_of_the_volume(opened: Opener) -> None:
    image = dicomzarr.open(odd_count(opened, multiframe.enhanced_volume(SLICES), len(SLICES) + 1))
    assert shows(image, "zyx", SLICES)
    assert "PerFrameFunctionalGroupsSequence" in " ".join(image.notices)

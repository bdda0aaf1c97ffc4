"""Headers of slides as scanners and converters write them: what contradicts itself is worked out, and said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_rescale
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ParametricMapStorage, SegmentationStorage
from slides import TestSlide, brightfield_pyramid, concatenation
from slides_codecs import GRAY
from slides_fluorescence import CHANNELS, RESAMPLED
from slides_instances import Identity, Level, full_instance, sequence_item, sparse_instance
from slides_pixels import noisy_color, noisy_gray, shrink

import dicomzarr
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.dicom.uids import LABEL_MAP_SEGMENTATION_STORAGE
from dicomzarr.errors import MissingInstanceError
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.plan import ImagePlan, SeriesPlan, plan_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from slides_model import Pixels
    from slides_pixels import Tile

    Change = Callable[[list[Dataset]], None]

NONE = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
ORIENTATION = [0, -1, 0, -1, 0, 0]


def pyramid(
    *, sizes: Sequence[tuple[int, int]] = ((80, 120), (40, 60), (20, 30)), tile: int = 16, name: str = "vendor"
) -> list[Dataset]:
    """Levels of one area, finest first, of half a micrometre."""
    picture, (rows, columns) = noisy_color(1, *sizes[0]), sizes[0]
    made = []
    for number, (high, wide) in enumerate(sizes, 1):
        level = Level(shrink(picture, high, wide), (tile, tile), (0.0005 * rows / high, 0.0005 * columns / wide))
        made.append(full_instance(Identity(name, number, RESAMPLED if number > 1 else NONE), level))
    return made


def sparse() -> Dataset:
    """One level of 5 x 8 tiles of 16 pixels, each of which says where it lies."""
    level = Level(noisy_color(1, 80, 120), (16, 16))
    return sparse_instance(Identity("sparse", 1), level, level.tiles())


def planned(datasets: Sequence[Dataset], values: str = "stored") -> SeriesPlan:
    slide = TestSlide("vendors", tuple(datasets), ())
    items = decode_instances(json.dumps(slide.metadata()).encode())
    return plan_images(parse_series(items, slide.study_uid, slide.series_uid), values=values)


def of_one(plan: SeriesPlan) -> ImagePlan:
    (image,) = plan.images
    assert image.attributes.kind != "list of tiles"
    return image


def measures(dataset: Dataset) -> Dataset:
    found: Dataset = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return found


def numbers(image: ImagePlan, level: int = 0) -> list[int]:
    """The frame of each tile, in the order of TILED_FULL."""
    plan = image.levels[level]
    refs = [plan.frames.locate(place) for place in np.ndindex(*plan.grid)]
    return [0 if ref is None else ref.number for ref in refs]


# --- how large pixels are ---


def each(change: Callable[[Dataset], None]) -> Change:
    return lambda datasets: [change(dataset) for dataset in datasets] and None


def copied(datasets: list[Dataset]) -> None:
    """As Bio-Formats writes them: the spacing of the finest level, and the volume of each by it."""
    for dataset in datasets:
        measures(dataset).PixelSpacing = [0.0005, 0.0005]
        dataset.ImagedVolumeWidth = dataset.TotalPixelMatrixColumns * 0.0005
        dataset.ImagedVolumeHeight = dataset.TotalPixelMatrixRows * 0.0005


def copied_spacing(dataset: Dataset) -> None:
    measures(dataset).PixelSpacing = [0.0005, 0.0005]


def volume_in_micrometres(dataset: Dataset) -> None:
    dataset.ImagedVolumeWidth *= 1000
    dataset.ImagedVolumeHeight *= 1000


def spacing_in_micrometres(dataset: Dataset) -> None:
    measures(dataset).PixelSpacing = [str(float(each) * 1000) for each in measures(dataset).PixelSpacing]


SIZES: dict[str, tuple[Change, str]] = {
    "copied, and the volume by it": (copied, "PixelSpacing is that of a finer level: the size of pixels goes by"),
    "copied": (each(copied_spacing), "PixelSpacing is that of a finer level: the imaged volume is used"),
    "the volume in micrometres": (each(volume_in_micrometres), "the imaged volume is in micrometres"),
    "spacing in micrometres": (each(spacing_in_micrometres), "PixelSpacing is in micrometres"),
}


@pytest.mark.parametrize("case", SIZES)
def test_contradictory_sizes_of_pixels_are_worked_out(case: str) -> None:
    change, why = SIZES[case]
    datasets = pyramid()
    change(datasets)
    plan = planned(datasets)
    assert [level.scale[1:] for level in of_one(plan).levels] == [
        pytest.approx((step, step)) for step in (0.5, 1.0, 2.0)
    ]
    assert any(why in notice for notice in plan.notices)


def test_a_slide_of_more_than_a_metre_has_no_size() -> None:
    datasets = pyramid(sizes=((80, 120), (40, 60)))
    for dataset in datasets:
        measures(dataset).PixelSpacing = [100, 100]
        del dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight
    plan = planned(datasets)
    assert [axis.unit for axis in of_one(plan).axes] == [None, None, None]
    assert [level.scale for level in of_one(plan).levels] == [(1, 1, 1), (1, 2, 2)]
    assert any("larger than any slide" in notice for notice in plan.notices)


def test_levels_of_few_pixels_stay_levels() -> None:
    image = of_one(planned(pyramid(sizes=((80, 120), (6, 9), (1, 2), (1, 1)))))
    assert [level.shape[1:] for level in image.levels] == [(80, 120), (6, 9), (1, 2), (1, 1)]


def coarse(datasets: Sequence[Dataset], tile: int) -> Dataset:
    """An image of one tile of 64 x 64 pixels of four micrometres, of which the slide is 10 x 15."""
    made = full_instance(Identity("vendor", 3, RESAMPLED), Level(noisy_color(1, 64, 64), (tile, tile), (0.004, 0.004)))
    made.ImagedVolumeWidth, made.ImagedVolumeHeight = datasets[0].ImagedVolumeWidth, datasets[0].ImagedVolumeHeight
    return made


def test_tiles_may_pad_a_level_to_more_than_twice_its_size() -> None:
    datasets = pyramid(sizes=((80, 120), (40, 60)), tile=64)
    assert len(of_one(planned([*datasets, coarse(datasets, 64)])).levels) == 3


def test_what_shows_more_is_no_level() -> None:
    datasets = pyramid(sizes=((80, 120), (40, 60)))
    plan = planned([*datasets, coarse(datasets, 64)])
    assert [len(image.levels) for image in plan.images] == [2, 1]
    assert any("the area that they show" in notice for notice in plan.notices)


def test_without_a_size_of_pixels_levels_have_the_same_proportions() -> None:
    datasets = pyramid(sizes=((80, 120), (40, 60), (27, 40), (30, 15)))
    for dataset in datasets:
        del dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight, measures(dataset).PixelSpacing
    assert [len(image.levels) for image in planned(datasets).images] == [3, 1]


# --- where tiles lie ---


def from_zero(dataset: Dataset) -> None:
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        place = groups.PlanePositionSlideSequence[0]
        place.RowPositionInTotalImagePixelMatrix -= 1
        place.ColumnPositionInTotalImagePixelMatrix -= 1


@pytest.mark.parametrize("organization", ["TILED_SPARSE", "TILED_FULL"])
def test_positions_may_count_from_zero(organization: str) -> None:
    dataset = sparse()
    dataset.DimensionOrganizationType = organization
    from_zero(dataset)
    plan = planned([dataset])
    assert numbers(of_one(plan)) == list(range(1, 41))
    assert [notice for notice in plan.notices if "count from 0" in notice]


def test_tiled_full_of_too_few_frames_goes_by_their_positions() -> None:
    dataset = sparse()
    dataset.DimensionOrganizationType = "TILED_FULL"
    del dataset.PerFrameFunctionalGroupsSequence[3]
    dataset.NumberOfFrames = 39
    plan = planned([dataset])
    assert numbers(of_one(plan)) == [1, 2, 3, 0, *range(4, 40)]
    assert [notice for notice in plan.notices if "where their own positions say" in notice]


def inside_planes(tile: Tile) -> tuple[int, ...]:
    return tile.plane, tile.path, tile.row, tile.column


def from_above(tile: Tile) -> tuple[int, ...]:
    return tile.path, -tile.plane, tile.row, tile.column


def from_the_right(tile: Tile) -> tuple[int, ...]:
    return tile.path, tile.plane, tile.row, -tile.column


@pytest.mark.parametrize(
    ("order", "count"),
    [(None, 0), (inside_planes, 18), (from_above, 18), (from_the_right, 24)],
    ids=["as it is", "paths inside planes", "planes from above", "columns from the right"],
)
def test_frames_that_contradict_the_order_of_tiled_full_are_counted(
    order: Callable[[Tile], tuple[int, ...]] | None, count: int
) -> None:
    level = gray(planes=2, paths=2)
    tiles = level.tiles() if order is None else sorted(level.tiles(), key=order)
    dataset = sparse_instance(Identity("contradictory", 1), level, tiles)
    dataset.DimensionOrganizationType = "TILED_FULL"
    plan = planned([dataset])
    assert numbers(of_one(plan)) == list(range(1, 37))
    found = [notice for notice in plan.notices if "than in the order of TILED_FULL" in notice]
    assert [f"{count} frames" in notice for notice in found] == [True] * bool(count)


def test_a_level_that_is_turned_is_no_level() -> None:
    datasets = pyramid()
    datasets[1].ImageOrientationSlide = [-value for value in ORIENTATION]
    plan = planned(datasets)
    assert [len(image.levels) for image in plan.images] == [2, 1]
    assert any("they differ in orientation" in notice for notice in plan.notices)


# --- optical paths and focal planes ---


def gray(planes: int = 1, paths: int = 1) -> Level:
    pixels = noisy_gray(3, (paths, planes, 40, 40), 16)
    offsets = tuple(plane * 0.001 for plane in range(planes))
    return Level(pixels, (16, 16), codec=GRAY, bits=16, paths=CHANNELS[:paths], z=offsets)


def says_one_path(dataset: Dataset) -> None:
    dataset.NumberOfOpticalPaths = 1


def names_one_path(dataset: Dataset) -> None:
    dataset.OpticalPathSequence = dataset.OpticalPathSequence[:1]


@pytest.mark.parametrize("change", [says_one_path, names_one_path])
def test_frames_tell_how_many_optical_paths_there_are(change: Callable[[Dataset], None]) -> None:
    dataset = full_instance(Identity("paths", 1), gray(paths=3))
    change(dataset)
    plan = planned([dataset])
    assert of_one(plan).levels[0].shape == (3, 40, 40)
    assert numbers(of_one(plan)) == list(range(1, 28))
    assert any("optical paths" in notice for notice in plan.notices)


def test_each_instance_may_count_the_planes_and_paths_of_all() -> None:
    whole = gray(planes=3)
    datasets = []
    for plane in range(3):
        one = replace(whole, pixels=whole.pixels[:, plane : plane + 1], z=whole.z[plane : plane + 1])
        dataset = full_instance(Identity("planes", plane + 1), one)
        dataset.TotalPixelMatrixFocalPlanes = 3
        dataset.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = str(whole.z[plane])
        datasets.append(dataset)
    image = of_one(planned(datasets))
    assert image.levels[0].shape == (3, 40, 40)
    refs = [image.levels[0].frames.locate((plane, 0, 0)) for plane in range(3)]
    assert [ref and ref.instance.sop_instance_uid for ref in refs] == [each.SOPInstanceUID for each in datasets]


def test_a_level_of_one_tile_may_count_the_paths_of_all_instances_too() -> None:
    whole = gray(paths=3)
    small = replace(whole, pixels=shrink(whole.pixels, 10, 10), spacing=(0.002, 0.002))
    datasets = []
    for number, (level, kind) in enumerate(((whole, NONE), (small, RESAMPLED))):
        for path in range(3):
            one = replace(level, pixels=level.pixels[path : path + 1], paths=CHANNELS[path : path + 1])
            dataset = full_instance(Identity("one tile", 3 * number + path + 1, kind), one)
            dataset.NumberOfOpticalPaths = 3
            datasets.append(dataset)
    image = of_one(planned(datasets))
    assert [level.shape for level in image.levels] == [(3, 40, 40), (3, 10, 10)]
    refs = [image.levels[1].frames.locate((path, 0, 0)) for path in range(3)]
    assert [ref and ref.instance.sop_instance_uid for ref in refs] == [each.SOPInstanceUID for each in datasets[3:]]


def named_otherwise(dataset: Dataset) -> None:
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.OpticalPathIdentificationSequence[0].OpticalPathIdentifier += "x"


@pytest.mark.parametrize(("paths", "labels"), [(1, ["Nuclei"]), (2, ["DAPIx", "FITCx"])])
def test_frames_may_name_paths_that_the_sequence_lacks(paths: int, labels: list[str]) -> None:
    level = gray(paths=paths)
    dataset = sparse_instance(Identity("named otherwise", 1), level, level.tiles())
    named_otherwise(dataset)
    plan = planned([dataset])
    assert [channel.label for channel in of_one(plan).channels] == labels
    assert numbers(of_one(plan)) == list(range(1, 9 * paths + 1))
    assert any("frames name" in notice for notice in plan.notices)


@pytest.mark.parametrize("alike", [False, True])
def test_frames_of_no_path_among_several_are_a_list(alike: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    level = gray(paths=2)
    dataset = sparse_instance(Identity("unnamed", 1), level, level.tiles()[:9])
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        if alike:
            groups.OpticalPathIdentificationSequence[0].OpticalPathIdentifier = "1"
        else:
            del groups.OpticalPathIdentificationSequence
    for path in dataset.OpticalPathSequence if alike else ():
        path.OpticalPathIdentifier = "1"
    (image,) = planned([dataset]).images
    assert image.attributes.kind == "list of tiles"


@pytest.mark.parametrize("unit", [1, 1000], ids=["millimetres", "micrometres, as of old"])
def test_planes_of_tiles_that_were_focused_one_by_one_are_counted_from_the_lowest(unit: int) -> None:
    level = gray(planes=3)
    dataset = sparse_instance(Identity("focused", 1), level, level.tiles())
    rng = np.random.default_rng(1)
    lowest = {place: float(rng.integers(0, 99)) * 1e-4 for place in np.ndindex(3, 3)}
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        place = groups.PlanePositionSlideSequence[0]
        row, column = place.RowPositionInTotalImagePixelMatrix, place.ColumnPositionInTotalImagePixelMatrix
        height = float(place.ZOffsetInSlideCoordinateSystem) + lowest[row // 16, column // 16]
        place.ZOffsetInSlideCoordinateSystem = f"{height * unit:.6f}"
    image = of_one(planned([dataset]))
    assert image.levels[0].shape == (3, 40, 40)
    assert numbers(image) == list(range(1, 28))
    assert image.levels[0].scale[0] == pytest.approx(1)
    assert image.attributes.focus_heights == pytest.approx((min(lowest.values()), max(lowest.values()) + 0.002))


def test_channels_of_one_identifier_keep_the_order_of_instances() -> None:
    whole, names = gray(paths=3), ("Red", "Blue", "Green")
    datasets = []
    for number, description in enumerate(names):
        path = replace(CHANNELS[0], identifier="1", description=description, wavelength=1.0)
        one = replace(whole, pixels=whole.pixels[number : number + 1], paths=(path,))
        datasets.append(full_instance(Identity("one identifier", number + 1), one))
    assert [channel.label for channel in of_one(planned(datasets)).channels] == list(names)


def colour_planes(**path: str | None) -> list[Dataset]:
    """Two focal planes in colour, an instance each; the second says something else of its optical path, or nothing."""
    planes = [pyramid(sizes=((80, 120),), name=f"plane {number}")[0] for number in range(2)]
    for number, plane in enumerate(planes):
        plane.StudyInstanceUID, plane.SeriesInstanceUID = planes[0].StudyInstanceUID, planes[0].SeriesInstanceUID
        plane.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = f"0.00{number}"
        plane.FrameOfReferenceUID, plane.InstanceNumber = "1.2.3", number + 1
    if not path:
        del planes[1].OpticalPathSequence
    for name, value in path.items():
        setattr(planes[1].OpticalPathSequence[0], name, value)
    return planes


@pytest.mark.parametrize("path", [{}, {"OpticalPathIdentifier": "7"}, {"OpticalPathIdentifier": ""}], ids=str)
def test_planes_of_one_colour_may_name_their_path_otherwise(path: dict[str, str]) -> None:
    plan = planned(colour_planes(**path))
    assert of_one(plan).levels[0].shape == (3, 2, 80, 120)
    assert any("reads otherwise" in notice for notice in plan.notices) or path == {"OpticalPathIdentifier": ""}
    twice = colour_planes(**path)
    twice[1].TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = "0"
    assert [image.levels[0].shape for image in planned(twice).images] == [(3, 80, 120)] * 2  # scans, no channels


def test_planes_that_are_shifted_are_not_stacked() -> None:
    planes = colour_planes(OpticalPathIdentifier="1")
    planes[1].TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = "20.002"
    plan = planned(planes)
    assert len(plan.images) == 2
    assert any("place on the slide" in notice for notice in plan.notices)


@pytest.mark.parametrize(("told", "doubtful"), [({}, False), ({2: 0.004}, True)])
def test_tiles_without_a_height_are_said_where_it_matters(told: dict[int, float], *, doubtful: bool) -> None:
    dataset = sparse()
    for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position = groups.PlanePositionSlideSequence[0]
        if number:
            position.ZOffsetInSlideCoordinateSystem = told.get(number, 0.002)
        else:
            del position.ZOffsetInSlideCoordinateSystem
    plan = planned([dataset])
    assert any("1 frames have no ZOffsetInSlideCoordinateSystem" in notice for notice in plan.notices) == doubtful


def test_tiled_full_without_a_number_of_frames_has_one_for_each_tile() -> None:
    levels = pyramid()
    for level in levels:
        del level.NumberOfFrames
    plan = planned(levels)
    assert numbers(of_one(plan)) == list(range(1, 41))
    assert any("as many frames are read as TILED_FULL has tiles" in notice for notice in plan.notices)


def test_a_wavelength_of_one_nanometre_is_none() -> None:
    dataset = full_instance(Identity("placeholder", 1), gray(paths=2))
    for path in dataset.OpticalPathSequence:
        path.OpticalPathDescription, path.IlluminationWaveLength = "", 1.0
    labels = [channel.label for channel in of_one(planned([dataset])).channels]
    assert labels == [path.identifier for path in CHANNELS[:2]]


def test_a_palette_of_an_optical_path_is_its_colour() -> None:
    dataset = full_instance(Identity("palette of a path", 1), gray(paths=2))
    ramp = np.arange(256)
    palette = Dataset()
    for name, top in (("Red", 255), ("Green", 128), ("Blue", 0)):
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        entries = (ramp * top // 255 * 257).astype("<u2").tobytes()
        setattr(palette, f"{name}PaletteColorLookupTableData", entries)
    dataset.OpticalPathSequence[1].PaletteColorLookupTableSequence = [palette]
    assert [channel.color for channel in of_one(planned([dataset])).channels] == ["0000FF", "FF8000"]


def test_levels_may_name_their_paths_a_little_differently() -> None:
    fine = gray(paths=2)
    named = tuple(
        replace(path, description=path.description.upper(), wavelength=(path.wavelength or 0) + 0.2)
        for path in reversed(fine.paths)
    )
    coarse = replace(fine, pixels=shrink(fine.pixels, 20, 20)[::-1], spacing=(0.001, 0.001), paths=named)
    datasets = [full_instance(Identity("named", 1), fine), full_instance(Identity("named", 2, RESAMPLED), coarse)]
    image = of_one(planned(datasets))
    assert [numbers(image, level) for level in (0, 1)] == [list(range(1, 19)), [5, 6, 7, 8, 1, 2, 3, 4]]


@pytest.mark.parametrize("unit", [1, 1000], ids=["millimetres", "micrometres, as of old"])
def test_frames_of_tiled_full_say_how_high_planes_lie_if_nothing_else_does(unit: int) -> None:
    level = gray(planes=3, paths=2)
    dataset = sparse_instance(Identity("heights", 1), level, level.tiles())
    dataset.DimensionOrganizationType = "TILED_FULL"
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.PlanePositionSlideSequence[0].ZOffsetInSlideCoordinateSystem *= unit
    plan = planned([dataset])
    image = of_one(plan)
    assert [axis.unit for axis in image.axes if axis.name == "z"] == ["micrometer"]
    assert image.levels[0].scale[1] == pytest.approx(1)
    assert image.attributes.z_offsets == pytest.approx((0, 0.001, 0.002))
    assert numbers(image) == list(range(1, 55))
    assert not [notice for notice in plan.notices if "focal planes" in notice]


def test_planes_of_tiled_full_in_instances_are_as_high_as_their_frames_say() -> None:
    whole = gray(planes=3)
    datasets = []
    for plane in (2, 0, 1):
        one = replace(whole, pixels=whole.pixels[:, plane : plane + 1], z=whole.z[plane : plane + 1])
        datasets.append(sparse_instance(Identity("heights in instances", plane + 1), one, one.tiles()))
        datasets[-1].DimensionOrganizationType = "TILED_FULL"
    image = of_one(planned(datasets))
    refs = [image.levels[0].frames.locate((plane, 0, 0)) for plane in range(3)]
    assert [ref and ref.instance.instance_number for ref in refs] == [1, 2, 3]
    assert image.levels[0].scale[0] == pytest.approx(1)


def test_an_instance_of_one_path_among_those_of_its_sequence_shows_that_which_its_frames_name() -> None:
    whole = gray(paths=3)
    sequence = full_instance(Identity("one of its paths", 9), whole).OpticalPathSequence
    datasets = []
    for path in (2, 0, 1):
        one = replace(whole, pixels=whole.pixels[path : path + 1], paths=CHANNELS[path : path + 1])
        dataset = sparse_instance(Identity("one of its paths", path + 1), one, one.tiles())
        dataset.DimensionOrganizationType, dataset.OpticalPathSequence = "TILED_FULL", sequence
        datasets.append(dataset)
    plan = planned(datasets)
    image = of_one(plan)
    assert [channel.label for channel in image.channels] == ["Nuclei", "Membrane", "Cytoplasm"]
    refs = [image.levels[0].frames.locate((path, 0, 0)) for path in range(3)]
    assert [ref and ref.instance.instance_number for ref in refs] == [1, 2, 3]
    assert not plan.notices


# --- pixels that are no colours ---


def indexed() -> tuple[Dataset, Pixels]:
    """A slide of indices into a palette, and its colours."""
    level = Level(noisy_gray(3, (1, 1, 40, 50), 8), (16, 16), codec=GRAY)
    dataset = full_instance(Identity("indexed", 1), level)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    table = np.random.default_rng(1).integers(0, 2**16, (3, 256)).astype("<u2")
    for name, entries in zip(("Red", "Green", "Blue"), table, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", entries.tobytes())
    return dataset, table[:, level.pixels[0, 0]]


def test_a_palette_is_applied_where_colours_are_asked_for(tmp_path: Path) -> None:
    dataset, colors = indexed()
    TestSlide("indexed", (dataset,), ()).write(tmp_path)
    image = dicomzarr.open(str(tmp_path), values="color")
    assert np.array_equal(image.levels[0][...], colors)
    assert np.array_equal(image.read_region((3, 5), (20, 10)), np.moveaxis(colors[:, 5:15, 3:23], 0, -1))
    assert image.notices == ()
    stored = dicomzarr.open(str(tmp_path))
    assert stored.levels[0].shape == (40, 50)
    assert any("palette that is not applied" in notice for notice in stored.notices)
    assert np.array_equal(stored.in_color.levels[0][...], colors)


def test_a_heat_map_has_a_window_and_no_values_where_it_has_no_tile() -> None:
    dataset = sparse()
    del dataset.PerFrameFunctionalGroupsSequence[3], dataset.PixelData
    dataset.NumberOfFrames, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 39, 1, "MONOCHROME2"
    dataset.FloatPixelData = b""
    dataset.BitsAllocated = 32
    image = of_one(planned([dataset]))
    assert image.channels[0].window == (0, 1)
    assert image.levels[0].dtype == np.float32
    assert np.isnan(image.levels[0].fill_value)
    assert np.isnan(image.levels[0].absent).all()


# --- concatenations ---


def without(*keywords: str) -> Change:
    return each(lambda dataset: [delattr(dataset, keyword) for keyword in keywords] and None)


def shifted(keyword: str, by: int) -> Change:
    return each(lambda dataset: setattr(dataset, keyword, int(dataset.get(keyword)) + by))


def own_uids(datasets: list[Dataset]) -> None:
    for number, dataset in enumerate(datasets):
        dataset.ConcatenationUID = f"1.2.3.{number}"


CONCATENATIONS: dict[str, Change] = {
    "parts count from 0": shifted("InConcatenationNumber", -1),
    "frames count from 1": shifted("ConcatenationFrameOffsetNumber", 1),
    "no numbers": without("InConcatenationNumber"),
    "no offsets": without("ConcatenationFrameOffsetNumber", "InConcatenationTotalNumber"),
    "no ConcatenationUID": without("ConcatenationUID"),
    "no UID at all": without("ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"),
    "a ConcatenationUID for each part": own_uids,
}


@pytest.mark.parametrize("case", CONCATENATIONS)
def test_parts_are_found_and_put_in_order(case: str) -> None:
    datasets = list(concatenation().datasets)
    CONCATENATIONS[case](datasets)
    image = of_one(planned(datasets))
    assert numbers(image) == [1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3]


@pytest.mark.parametrize("lost", [2, 3])
def test_lost_parts_are_said(lost: int) -> None:
    datasets = list(concatenation(leave_out=lost).datasets)
    without("InConcatenationTotalNumber")(datasets)  # then the tiles that lack tell
    plan = planned(datasets)
    assert any("other parts of its concatenation are not in the series" in notice for notice in plan.notices)


# --- what is no level ---


@pytest.mark.parametrize(("kind", "shown"), [("LABEL", []), ("BARCODE", []), ("MACRO", ["macro"]), ("MAX", ["other"])])
@pytest.mark.parametrize("attribute", ["ImageType", "FrameType"])
def test_another_flavor_is_no_level(kind: str, shown: list[str], attribute: str) -> None:
    datasets = pyramid()
    told = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    datasets[2].ImageType = told
    if attribute == "FrameType":
        groups = datasets[2].SharedFunctionalGroupsSequence[0]
        groups.WholeSlideMicroscopyImageFrameTypeSequence = [sequence_item(FrameType=told)]
        del datasets[2].ImageType
    plan = planned(datasets)
    assert len(of_one(plan).levels) == 2
    assert [name for name, _ in plan.associated] == shown
    assert any("label was left out" in notice for notice in plan.notices) is not bool(shown)


def test_a_single_frame_that_shows_the_label_is_no_volume() -> None:
    datasets = list(brightfield_pyramid().datasets)
    (label,) = (dataset for dataset in datasets if "LABEL" in dataset.ImageType)
    label.ImageType = list(NONE)
    plan = planned(datasets)
    assert len(of_one(plan).levels) == 4
    assert any("label was left out" in notice for notice in plan.notices)


# --- which levels belong together ---


def two_scans(change: Callable[[Dataset, int], None]) -> list[Dataset]:
    """Two scans of one place, whose levels have the same InstanceNumbers."""
    both = [pyramid(name="first"), pyramid(name="second")]
    for scan, datasets in enumerate(both):
        for dataset in datasets:
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
            dataset.FrameOfReferenceUID = "1.2.4"
            change(dataset, scan)
    return [both[0][0], both[1][0], both[1][2], both[0][1], both[0][2], both[1][1]]


TELLING: dict[str, Callable[[Dataset, int], None]] = {
    "ContainerIdentifier": lambda dataset, scan: setattr(dataset, "ContainerIdentifier", f"SLIDE {scan}"),
    "PyramidUID": lambda dataset, scan: setattr(dataset, "PyramidUID", f"1.2.5.{scan}"),
    "AcquisitionUID": lambda dataset, scan: setattr(dataset, "AcquisitionUID", f"1.2.5.{scan}"),
    "AcquisitionDateTime": lambda dataset, scan: setattr(dataset, "AcquisitionDateTime", f"2020010203040{scan}"),
}


@pytest.mark.parametrize("told", TELLING)
def test_levels_of_two_scans_of_one_place_are_not_mixed(told: str) -> None:
    datasets = two_scans(TELLING[told])
    plan = planned(datasets)
    found = [[level.attributes.sop_instance_uids[0] for level in image.levels] for image in plan.images]
    names = {dataset.SOPInstanceUID: str(dataset.get(told)) for dataset in datasets}
    assert [len({names[uid] for uid in uids}) for uids in found] == [1, 1]
    assert [len(uids) for uids in found] == [3, 3]


def test_levels_of_two_scans_that_nothing_tells_apart_are_images_of_their_own() -> None:
    plan = planned(two_scans(lambda *_: None))
    assert [len(image.levels) for image in plan.images] == [1] * 6
    assert plan.notices[0].count("nothing tells to which of them") == 4


def test_what_only_instance_numbers_tell_is_said() -> None:
    datasets = two_scans(lambda *_: None)
    for number, dataset in enumerate(datasets):
        dataset.InstanceNumber = number
    plan = planned(datasets)
    assert [len(image.levels) for image in plan.images] == [3, 3]
    assert plan.notices[0].count("nothing but InstanceNumber tells to which of them") == 4


def test_what_lies_on_another_glass_is_no_level_and_no_channel() -> None:
    datasets = pyramid()
    datasets[1].ContainerIdentifier = "ANOTHER SLIDE"
    plan = planned(datasets)
    assert [len(image.levels) for image in plan.images] == [2, 1]
    assert any("they differ in ContainerIdentifier" in notice for notice in plan.notices)
    for dataset in datasets:
        dataset.PyramidUID = "1.2.3"
    assert len(of_one(planned(datasets)).levels) == 3
    whole = gray(paths=2)
    channels = [
        full_instance(
            Identity("two glasses", path + 1),
            replace(whole, pixels=whole.pixels[path : path + 1], paths=CHANNELS[path : path + 1]),
        )
        for path in range(2)
    ]
    assert of_one(planned(channels)).levels[0].shape == (2, 40, 40)
    channels[1].ContainerIdentifier = "ANOTHER SLIDE"
    assert [image.levels[0].shape for image in planned(channels).images] == [(40, 40)] * 2


def test_levels_that_each_have_a_container_of_their_own_are_one_slide() -> None:
    """As de-identification leaves them, which makes up a value for each file."""
    datasets = pyramid()
    for number, dataset in enumerate(datasets):
        dataset.ContainerIdentifier = f"ANONYMOUS {number}"
    assert len(of_one(planned(datasets)).levels) == 3


def test_a_level_may_lack_the_pyramid_uid() -> None:
    datasets = pyramid()
    datasets[0].PyramidUID = datasets[2].PyramidUID = "1.2.3"
    assert len(of_one(planned(datasets)).levels) == 3


def test_levels_of_one_pyramid_uid_may_begin_elsewhere() -> None:
    datasets = pyramid()
    for dataset in datasets:
        dataset.PyramidUID = "1.2.3"
    datasets[1].TotalPixelMatrixOriginSequence[0].YOffsetInSlideCoordinateSystem = str(40 - 0.04)
    levels = of_one(planned(datasets)).levels
    assert [level.translation[1:] for level in levels] == [
        (0, 0),
        pytest.approx((0.25, 0.25 + 40)),
        pytest.approx((0.75, 0.75)),
    ]


@pytest.mark.parametrize("group", [True, False])
def test_values_of_a_slide_measure_what_its_header_says(tmp_path: Path, *, group: bool) -> None:
    level = replace(gray(paths=1), tile=(32, 32))
    dataset = sparse_instance(Identity("rescaled", 1), level, level.tiles()[1:])
    target = dataset
    if group:
        target = Dataset()
        dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [target]
    target.RescaleSlope, target.RescaleIntercept = "0.5", "-10"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    stored = dicomzarr.open(tmp_path)
    assert stored.attributes["rescale"] == {"slope": 0.5, "intercept": -10.0}
    measured = dicomzarr.open(tmp_path, values="modality").levels[0][...]
    expected = pydicom_rescaled(dataset)[:, :8]  # the matrix is 40 pixels wide
    np.testing.assert_array_equal(measured[:32, 32:64], expected)
    assert np.isnan(measured[:32, :32]).all()  # an absent tile is no -10
    np.testing.assert_array_equal(stored.to_xarray()["0/image"][:32, 32:64], expected)


def pydicom_rescaled(dataset: Dataset) -> Pixels:
    """The first frame."""
    found: Pixels = apply_rescale(pixel_array(dataset, index=0), sequence_item(RescaleSlope=0.5, RescaleIntercept=-10))
    return found


@pytest.mark.parametrize("group", [True, False])
def test_a_map_of_a_slide_says_what_its_values_are(*, group: bool) -> None:
    level = replace(gray(paths=1), tile=(32, 32))
    dataset = full_instance(Identity("map", 1), level)
    dataset.SOPClassUID = ParametricMapStorage
    units = sequence_item(CodeValue="%", CodingSchemeDesignator="UCUM", CodeMeaning="percent")
    mapping = sequence_item(RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=255)
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.5, 0.0
    mapping.MeasurementUnitsCodeSequence = [units]
    target = dataset.SharedFunctionalGroupsSequence[0] if group else dataset
    target.RealWorldValueMappingSequence = [mapping]
    (told,) = dicomzarr_attributes(of_one(planned([dataset])))["real_world_values"]
    assert told == {"units": "%", "first_value_mapped": 0, "last_value_mapped": 255, "slope": 0.5, "intercept": 0.0}


def test_parts_of_one_of_a_slide() -> None:
    level = replace(gray(paths=1), tile=(32, 32))
    dataset = sparse_instance(Identity("fractional", 1), level, level.tiles()[1:])
    dataset.SOPClassUID, dataset.SegmentationType, dataset.MaximumFractionalValue = (
        SegmentationStorage,
        "FRACTIONAL",
        200,
    )
    dataset.SegmentSequence = [sequence_item(SegmentNumber=1, SegmentLabel="one")]
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        del groups.OpticalPathIdentificationSequence
    plan = planned([dataset], values="modality")
    (parts,) = plan.images
    assert (parts.levels[0].dtype, parts.levels[0].fill_value) == (np.float32, 0.0)
    assert parts.channels[0].window == pytest.approx((0.0, (2**16 - 1) / 200))


@pytest.mark.parametrize(("kinds", "levels"), [(("BINARY", "FRACTIONAL"), [1, 1]), (("FRACTIONAL", "FRACTIONAL"), [2])])
def test_masks_and_fractions_are_no_levels_of_one_another(kinds: tuple[str, str], levels: list[int]) -> None:
    fine = Level(noisy_gray(3, (1, 1, 40, 40), 8), (16, 16), codec=GRAY)
    coarse = replace(fine, pixels=shrink(fine.pixels, 20, 20), spacing=(0.001, 0.001))
    datasets = [full_instance(Identity("masks", 1), fine), full_instance(Identity("masks", 2, RESAMPLED), coarse)]
    for dataset, kind in zip(datasets, kinds, strict=True):
        dataset.SOPClassUID, dataset.SegmentationType, dataset.MaximumFractionalValue = SegmentationStorage, kind, 255
        dataset.SegmentSequence = [sequence_item(SegmentNumber=1, SegmentLabel="one")]
    plan = planned(datasets)
    assert [len(image.levels) for image in plan.images] == levels
    assert any("they differ in kind of pixels" in notice for notice in plan.notices) == (len(levels) > 1)


def test_levels_with_a_scale_of_their_own_are_not_scaled_as_the_finest(tmp_path: Path) -> None:
    fine = gray()
    coarse = replace(fine, pixels=shrink(fine.pixels, 20, 20), spacing=(0.001, 0.001))
    datasets = [full_instance(Identity("scaled", 1), fine), full_instance(Identity("scaled", 2, RESAMPLED), coarse)]
    for dataset, slope in zip(datasets, ("0.5", "2"), strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, "0"
    TestSlide("scaled", tuple(datasets), ()).write(tmp_path)
    stored = dicomzarr.open(tmp_path)
    assert "rescale" not in stored.attributes
    assert any("RescaleSlope or RescaleIntercept differs" in notice for notice in stored.notices)
    np.testing.assert_array_equal(stored.to_xarray()["1/image"], coarse.pixels[0, 0])
    measured = dicomzarr.open(tmp_path, values="modality")
    for level, own, slope in zip(measured.levels, (fine, coarse), (0.5, 2), strict=True):
        np.testing.assert_array_equal(level[...], own.pixels[0, 0].astype(float) * slope)


def test_a_server_may_write_the_number_of_a_segment_with_a_point() -> None:
    level = Level(noisy_gray(3, (2, 1, 40, 40), 8), (16, 16), codec=GRAY, paths=CHANNELS[:2])
    dataset = sparse_instance(Identity("with a point", 1), level, level.tiles())
    dataset.SOPClassUID, dataset.SegmentationType = SegmentationStorage, "BINARY"
    dataset.SegmentSequence = [sequence_item(SegmentNumber=number, SegmentLabel=f"{number}") for number in (1, 2)]
    for groups, tile in zip(dataset.PerFrameFunctionalGroupsSequence, level.tiles(), strict=True):
        del groups.OpticalPathIdentificationSequence
        groups.SegmentIdentificationSequence = [sequence_item(ReferencedSegmentNumber=tile.path + 1)]
    slide = TestSlide("with a point", (dataset,), ())
    metadata = slide.metadata()
    for item in metadata[0]["52009230"]["Value"]:
        (number,) = item["0062000A"]["Value"][0]["0062000B"]["Value"]
        item["0062000A"]["Value"][0]["0062000B"]["Value"] = [float(number)]
    items = decode_instances(json.dumps(metadata).encode())
    assert of_one(plan_images(parse_series(items, slide.study_uid, slide.series_uid))).numbers == (1, 2)


def masks(level: Level, number: int, segments: Sequence[int], kind: tuple[str, ...] = NONE) -> Dataset:
    """A sparse segmentation, whose masks show some of three segments."""
    dataset = sparse_instance(Identity("masks of segments", number, kind), level, level.tiles())
    dataset.SOPClassUID, dataset.SegmentationType = SegmentationStorage, "BINARY"
    dataset.SegmentSequence = [sequence_item(SegmentNumber=each, SegmentLabel=f"label {each}") for each in (1, 2, 3)]
    for groups, tile in zip(dataset.PerFrameFunctionalGroupsSequence, level.tiles(), strict=True):
        del groups.OpticalPathIdentificationSequence
        groups.SegmentIdentificationSequence = [sequence_item(ReferencedSegmentNumber=segments[tile.path])]
    return dataset


@pytest.mark.parametrize("left", [0, 1])
def test_a_segment_without_a_pixel_in_a_coarser_level_is_empty_there(left: int) -> None:
    fine = Level(noisy_gray(3, (2, 1, 40, 40), 8), (16, 16), codec=GRAY, paths=CHANNELS[:2])
    coarse = replace(fine, pixels=shrink(fine.pixels[:1], 20, 20), spacing=(0.001, 0.001), paths=CHANNELS[:1])
    datasets = [masks(fine, 1, (1, 3)), masks(coarse, 2, ((1, 3)[left],), RESAMPLED)]
    image = of_one(planned(datasets))
    assert image.numbers == (1, 3)
    assert [level.shape for level in image.levels] == [(2, 40, 40), (2, 20, 20)]
    assert numbers(image, 1) == ([1, 2, 3, 4, 0, 0, 0, 0] if left == 0 else [0, 0, 0, 0, 1, 2, 3, 4])
    assert image.levels[1].absent == (0,)


def test_a_path_of_an_image_that_a_coarser_level_lacks_is_not_taken_for_empty() -> None:
    fine = gray(paths=2)
    coarse = replace(fine, pixels=shrink(fine.pixels[:1], 20, 20), spacing=(0.001, 0.001), paths=CHANNELS[:1])
    datasets = [full_instance(Identity("lacks", 1), fine), full_instance(Identity("lacks", 2, RESAMPLED), coarse)]
    assert [len(image.levels) for image in planned(datasets).images] == [1, 1]


def test_masks_show_the_segments_that_they_name_whatever_optical_path_they_were_made_of() -> None:
    level = Level(noisy_gray(3, (2, 1, 40, 40), 8), (16, 16), codec=GRAY, paths=CHANNELS[:2])
    dataset = masks(level, 1, (2, 3))
    path = sequence_item(OpticalPathIdentifier="1")
    dataset.SharedFunctionalGroupsSequence[0].OpticalPathIdentificationSequence = [path]
    image = of_one(planned([dataset]))
    assert image.numbers == (2, 3)
    assert numbers(image) == list(range(1, 19))


def test_tiles_that_all_show_one_segment_show_that_which_they_name() -> None:
    level = Level(noisy_gray(3, (1, 1, 40, 40), 8), (16, 16), codec=GRAY)
    dataset = full_instance(Identity("one segment of three", 1), level)
    dataset.SOPClassUID, dataset.SegmentationType = SegmentationStorage, "BINARY"
    dataset.SegmentSequence = [sequence_item(SegmentNumber=each, SegmentLabel=f"label {each}") for each in (1, 2, 3)]
    del dataset.NumberOfOpticalPaths, dataset.OpticalPathSequence
    segment = sequence_item(ReferencedSegmentNumber=2)
    dataset.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = [segment]
    image = of_one(planned([dataset]))
    assert (image.numbers, image.levels[0].shape) == ((2,), (40, 40))
    assert [channel.label for channel in image.channels] == ["label 2"]


def test_an_absent_tile_of_signed_values_is_their_lowest() -> None:
    level = gray()
    dataset = sparse_instance(Identity("signed", 1), level, level.tiles()[1:])
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 12, 11
    (signed,) = of_one(planned([dataset])).levels
    assert (signed.dtype, signed.absent, signed.fill_value) == (np.int16, (-2048,), -2048)


def two_maps(change: Callable[[Dataset, int], None]) -> SeriesPlan:
    """Two maps of one area, of which the second is coarser."""
    fine = Level(noisy_gray(3, (1, 1, 40, 40), 8), (16, 16), codec=GRAY)
    coarse = replace(fine, pixels=shrink(fine.pixels, 20, 20), spacing=(0.001, 0.001))
    datasets = [full_instance(Identity("maps", 1), fine), full_instance(Identity("maps", 2, RESAMPLED), coarse)]
    for number, dataset in enumerate(datasets):
        change(dataset, number)
    return planned(datasets)


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("other", ["LUTLabel", "quantity", ""])
def test_maps_of_other_quantities_are_no_levels_of_one_another(other: str, *, per_frame: bool) -> None:
    def measure(dataset: Dataset, number: int) -> None:
        dataset.SOPClassUID = ParametricMapStorage
        mapping = sequence_item(RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=255)
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 1.0, 0.0
        mapping.LUTLabel = f"map {number}" if other == "LUTLabel" else "map"
        code = sequence_item(CodeValue=f"1{number}" if other == "quantity" else "1", CodingSchemeDesignator="99")
        mapping.QuantityDefinitionSequence = [sequence_item(ConceptCodeSequence=[code], ValueType="CODE")]
        groups = dataset.SharedFunctionalGroupsSequence
        if per_frame:
            groups = [Dataset() for _ in range(int(dataset.NumberOfFrames))]
            dataset.PerFrameFunctionalGroupsSequence = groups
        for group in groups:
            group.RealWorldValueMappingSequence = [mapping]

    plan = two_maps(measure)
    assert [len(image.levels) for image in plan.images] == ([1, 1] if other else [2])
    assert all(len(image.attributes.real_world_values) == 1 for image in plan.images)
    assert any("they differ in what values stand for" in notice for notice in plan.notices) == bool(other)


@pytest.mark.parametrize(("labels", "levels"), [(("tumour", "nuclei"), [1, 1]), (("tumour", "tumour"), [2])])
def test_label_maps_of_other_segments_are_no_levels_of_one_another(labels: tuple[str, str], levels: list[int]) -> None:
    def describe(dataset: Dataset, number: int) -> None:
        dataset.SOPClassUID, dataset.SegmentationType = LABEL_MAP_SEGMENTATION_STORAGE, "LABELMAP"
        dataset.SegmentSequence = [sequence_item(SegmentNumber=1, SegmentLabel=labels[number])]

    assert [len(image.levels) for image in two_maps(describe).images] == levels


@pytest.mark.parametrize("shared", [0, 1])
def test_channels_that_the_header_counts_are_those_of_the_sequence_whatever_is_shared(shared: int) -> None:
    level = gray(paths=3)
    dataset = full_instance(Identity("shared path", 1), level)
    named = sequence_item(OpticalPathIdentifier=level.paths[shared].identifier)
    dataset.SharedFunctionalGroupsSequence[0].OpticalPathIdentificationSequence = [named]
    dataset.NumberOfOpticalPaths = 3
    plan = planned([dataset])
    image = of_one(plan)
    assert [channel.label for channel in image.channels] == [path.description for path in level.paths]
    assert any("shared functional groups name one" in notice for notice in plan.notices)


@pytest.mark.parametrize("step", ["0.001", "-0.001", "1.0", "-1.0"])
def test_planes_of_tiled_full_that_are_millimetres_apart_are_micrometres_apart(step: str) -> None:
    dataset = full_instance(Identity("step", 1), gray(planes=3))
    measures(dataset).SpacingBetweenSlices = step
    plan = planned([dataset])
    image = of_one(plan)
    assert image.levels[0].scale[0] == pytest.approx(1)
    assert abs(np.diff(image.attributes.z_offsets)) == pytest.approx(0.001)
    said = any("SpacingBetweenSlices is in micrometres" in notice for notice in plan.notices)
    assert said == (abs(float(step)) == 1)


def test_tiles_that_another_instance_has_are_read_though_a_part_of_a_concatenation_lacks() -> None:
    level = Level(noisy_color(1, 32, 64), (16, 16))
    tiles = level.tiles()
    part, other = (
        sparse_instance(Identity("beside a part", number), level, placed)
        for number, placed in ((1, tiles[:4]), (2, tiles[4:7]))
    )
    part.ConcatenationUID, part.ConcatenationFrameOffsetNumber = "1.2.3", 0
    part.InConcatenationNumber, part.InConcatenationTotalNumber = 1, 2
    found = of_one(planned([part, other])).levels[0].frames
    refs = [found.locate((0, 1, column)) for column in range(3)]
    assert [ref and ref.instance.instance_number for ref in refs] == [2, 2, 2]
    with pytest.raises(MissingInstanceError):
        found.locate((0, 1, 3))

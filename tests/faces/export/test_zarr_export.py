"""Exported OME-Zarr is the virtual store, on disk: the same documents, values and missing chunks."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import faults
import fsspec
import numpy as np
import pytest
import radiology
import radiology_dimensions as dimensions
import slides
import xarray
import zarr
from asking import ALWAYS_WHOLE
from exports import assert_same_store, keys_of, missing_chunks, nodes, same_values
from highdicom.seg import SegmentationTypeValues
from opened import array_at, group_at
from radiology_model import AXIAL, OBLIQUE, decimals, distinct, series_of
from radiology_opened import Opener, affine_of, pixels_of
from radiology_volumes import bolus, uneven, volume
from segmentable import CT, SHAPE, SOURCES
from segmentations import IDENTIFIED, random_masks, segmented, segmented_slide
from serving import serving
from waiting import SECONDS

import dicomzarr
from dicomzarr.engine.source import FrameSource
from dicomzarr.errors import InvalidOptionError, UsageError, VerificationError
from dicomzarr.faces.export import pixels
from dicomzarr.faces.export.options import parse_options

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr
    import ome_zarr_models
    import yaozarrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import web

    from dicomzarr.faces.export.zarr_export import Progress

BINARY, FRACTIONAL = SegmentationTypeValues.BINARY, SegmentationTypeValues.FRACTIONAL
LABELMAP = SegmentationTypeValues.LABELMAP

SLIDES = {
    "pyramid": slides.brightfield_pyramid,
    "channels": slides.channels_in_instances,
    "channels_and_planes": slides.fluorescence_focal_stack,
    "sparse": slides.sparse_fluorescence,
    "sparse_colour": slides.sparse_brightfield,
    "two_pyramids": slides.two_pyramids,
    "tiles_off_the_grid": slides.off_grid,
    "one_level": partial(slides.coded_slide, "native_rgb"),
}


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.zarr"


def lacking_a_slice(grid: Any = AXIAL, pixels: Any = None) -> Any:
    """A series of five of six slices."""
    series = volume(grid, distinct((6, 16, 20), bits=12, signed=True) if pixels is None else pixels)
    lost = decimals(grid.position(3))
    return series_of([each for each in series.datasets if each.ImagePositionPatient != lost])


@pytest.mark.parametrize("name", SLIDES)
def test_an_exported_slide_is_the_virtual_store(name: str, out: Path) -> None:
    with serving(SLIDES[name]()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(served.url, out)
        assert_same_store(image, out)
        check_with_validators(out)


@pytest.mark.filterwarnings("ignore::dicomzarr.errors.GuessWarning")
@pytest.mark.parametrize("name", radiology.BUILDERS)
def test_exported_radiology_is_the_virtual_store(name: str, opened: Opener, out: Path) -> None:
    image = opened(radiology.BUILDERS[name]())
    dicomzarr.export(image.series_url, out)
    assert_same_store(image, out)
    check_with_validators(out)


def check_with_validators(out: Path) -> None:
    yaozarrs.validate_zarr_store(str(out))
    for path, group in nodes(group_at(out)):
        if "multiscales" in dict(group.attrs).get("ome", {}):
            ome_zarr_models.open_ome_zarr(group_at(out, path=path))
            ngff_zarr.from_ngff_zarr(str(out / path), validate=True)


def test_labels_are_exported_with_names_and_colours(opened: Opener, out: Path) -> None:
    found = segmented(SOURCES, random_masks((2, *SHAPE)))
    url = opened.serve([*CT.datasets, found.dataset]).series_url(CT.study_uid, CT.series_uid)
    image = dicomzarr.open(url, labels=True)
    assert image.labels
    dicomzarr.export(url, out, labels=True)
    assert_same_store(image, out, labels=True)
    for name in ("label.zarr", "label.nii.gz"):
        with pytest.raises(InvalidOptionError, match=r"is a label.*labels=True.*label_map\(\)"):
            dicomzarr.export(next(iter(image.labels.values())), out.with_name(name))
    check_with_validators(out)


def test_slices_come_as_a_whole_series_though_they_are_written_in_blocks(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, slices = 16, 160
    begun: list[int] = []
    all_begun = threading.Event()
    deliver = FrameSource.deliver

    async def noted(self: FrameSource, frames: Any, *arguments: Any, **options: Any) -> None:
        begun.append(len(frames))
        if len(begun) == blocks:
            all_begun.set()
        await deliver(self, frames, *arguments, **options)

    async def hold(_: web.Request) -> None:
        await asyncio.to_thread(all_begun.wait, SECONDS)  # else a few frames come before most are asked for

    monkeypatch.setattr(FrameSource, "deliver", noted)
    with Opener(ALWAYS_WHOLE) as opened:
        image = opened(volume(AXIAL, distinct((slices, 8, 10), bits=16), bits=16), faults.before(hold, on="frames"))
        dicomzarr.export(image, out, block_bytes=image.levels[0].nbytes // blocks)
        assert begun == [slices // blocks] * blocks
        assert opened.count("series") == 1
        assert opened.count("frames") < slices // 2
        assert np.array_equal(group_at(out)["0"][...], image.levels[0][...])


@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("shard", [None, (3, 1, 1)])
def test_absent_slices_stay_absent(opened: Opener, out: Path, grid: Any, shard: Any) -> None:
    image = opened(lacking_a_slice(grid))
    dicomzarr.export(image, out, shard=shard)
    group = group_at(out)
    assert dict(group.attrs)["dicomzarr"]["absent"] == [{"z": 3}]
    assert np.array_equal(group["0"][...], pixels_of(image))
    if shard is None:
        assert missing_chunks(out, "0", group["0"]) == ["c/3/0/0"]


def test_a_shard_of_nothing_but_absent_chunks_is_not_written(out: Path) -> None:
    with serving(slides.sparse_fluorescence()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, out, shard=(1, 1))
        for level in image.levels:
            written = group_at(out)[str(level.number)]
            assert same_values(np.asarray(written[...]), level[...])
            missing = [key for key in keys_of(level) if image.store.locate(f"{level.number}/{key}") is None]
            assert missing_chunks(out, str(level.number), level) == missing


def test_absent_slices_take_the_value_that_is_asked_for(opened: Opener, out: Path) -> None:
    image = opened(lacking_a_slice())
    dicomzarr.export(image, out, absent=-7)
    expected = pixels_of(image).copy()
    expected[3] = -7
    assert np.array_equal(group_at(out)["0"][...], expected)
    with pytest.raises(InvalidOptionError, match="no value of int16"):
        dicomzarr.export(image, out, absent=0.5, overwrite=True)


@pytest.mark.parametrize("value", [2, -1024])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_slices_without_a_segment_are_no_absent_ones(opened: Opener, out: Path, value: int, zarr_format: int) -> None:
    sources = [SOURCES[number] for number in (0, 1, 3, 4)]  # slice 2 is lost
    masks = random_masks((2, len(sources), *SHAPE[1:]))
    masks[:, 1:] = False
    found = segmented(sources, masks)
    url = opened.serve([*sources, found.dataset]).series_url(CT.study_uid, CT.series_uid)
    image = dicomzarr.open(url, labels=True, values="modality")
    assert image.labels
    assert image.attributes["absent"]
    dicomzarr.export(image, out, absent=value, zarr_format=zarr_format)
    group = group_at(out, zarr_format=zarr_format)
    (lost,) = (cell["z"] for cell in image.attributes["absent"])
    assert (group["0"][lost] == value).all()
    for name, label in image.labels.items():
        written = group[f"labels/{name}/0"][...]
        assert np.array_equal(written, label[...])
        assert (written != 0).any(axis=(1, 2)).sum() == 1


def test_zarr_format_2_is_ome_zarr_0_4(out: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image.series_url, out, zarr_format=2)
        group = group_at(out, zarr_format=2)
        assert dict(group.attrs)["multiscales"][0]["version"] == "0.4"
        assert dict(group.attrs)["dicomzarr"] == dict(group_at(served.url).attrs)["dicomzarr"]
        for level in image.levels:
            assert np.array_equal(group[str(level.number)][...], level[...])
        check_v2(out)


def check_v2(out: Path) -> None:
    yaozarrs.validate_zarr_store(str(out))
    ome_zarr_models.open_ome_zarr(group_at(out, zarr_format=2))
    ngff_zarr.from_ngff_zarr(str(out), validate=True, version="0.4")


@pytest.mark.parametrize(
    "options", [{}, {"absent": 9}, {"build_levels": True}, {"region": {"z": (2, 5), "y": (3, 9)}}], ids=str
)
def test_all_slices_are_chunks_in_zarr_format_2_and_no_value_is_a_missing_one(
    opened: Opener, out: Path, options: dict[str, Any]
) -> None:
    """For xarray a fill value marks missing values: real ones became NaN, if one slice was absent."""
    image = opened(lacking_a_slice(pixels=distinct((6, 16, 20)) % 7))
    dicomzarr.export(image, out, zarr_format=2, **options)
    assert json.loads((out / "0" / ".zarray").read_text())["fill_value"] is None
    expected = pixels_of(image).copy()
    expected[3] = options.get("absent", expected[3])
    expected = expected[tuple(slice(*options.get("region", {}).get(axis, (0, None))) for axis in "zyx")]
    assert (expected == 0).any()
    assert np.array_equal(group_at(out, zarr_format=2)["0"][...], expected)
    read = xarray.open_zarr(out, consolidated=False)["0"]
    assert (read.dtype, np.array_equal(read.to_numpy(), expected)) == (expected.dtype, True)
    assert len(list((out / "0").glob("*/0/0"))) == len(expected)


def test_absent_tiles_are_chunks_in_zarr_format_2_as_in_the_virtual_store(out: Path) -> None:
    with serving(slides.sparse_fluorescence()) as served:
        dicomzarr.export(served.url, out, zarr_format=2)
        written, shown = group_at(out, zarr_format=2), group_at(served.url, storage_options={"zarr_format": 2})
        for path, node in nodes(shown):
            if isinstance(node, zarr.Array):
                assert written[path].metadata.fill_value == node.metadata.fill_value is None
                assert np.array_equal(written[path][...], node[...])
                grid = [-(-size // chunk) for size, chunk in zip(node.shape, node.chunks, strict=True)]
                keys = ["/".join(map(str, index)) for index in np.ndindex(*grid)]
                assert all((out / path / key).is_file() for key in keys)


def test_shards_hold_several_chunks(out: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, out, shard=2)
        for level in image.levels:
            array = group_at(out)[str(level.number)]
            assert array.chunks == level.chunks
            assert array.shards == (level.chunks[0], *(2 * side for side in level.chunks[1:]))
            assert np.array_equal(array[...], level[...])


@pytest.mark.parametrize("compression", ["none", "zstd", "zstd:9"])
def test_compression_is_what_was_asked_for(out: Path, compression: str) -> None:
    with serving(slides.coded_slide("native_rgb")) as served:
        dicomzarr.export(served.url, out, compression=compression)
        codecs = json.loads((out / "0" / "zarr.json").read_text())["codecs"]
        kind, _, level = compression.partition(":")
        assert [each["name"] for each in codecs] == (["bytes"] if kind == "none" else ["bytes", "zstd"])
        assert kind == "none" or codecs[1]["configuration"]["level"] == int(level or 3)


# --- levels and regions


def test_a_region_keeps_its_place(out: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        box = {"y": (10, 70), "x": slice(33, 97)}
        dicomzarr.export(image.series_url, out, region=box)
        group = group_at(out)
        assert np.array_equal(group["0"][...], image.levels[0][:, 10:70, 33:97])
        assert "associated" not in group
        assert image.affine is not None
        written = np.array(dict(group.attrs)["dicomzarr"]["affine"])
        assert np.allclose(written @ (0, 0, 0, 1), np.array(image.affine) @ (33, 10, 0, 1))
        for number, dataset in enumerate(dict(group.attrs)["ome"]["multiscales"][0]["datasets"]):
            level = image.levels[number]
            _, shift = dataset["coordinateTransformations"]
            first = [
                round((here - there) / step)
                for here, there, step in zip(shift["translation"], level.translation, level.scale, strict=True)
            ]
            shape = group[str(number)].shape
            index = tuple(slice(start, start + size) for start, size in zip(first, shape, strict=True))
            assert np.array_equal(group[str(number)][...], level[index])
        check_with_validators(out)


def test_levels_are_chosen_and_the_affine_is_that_of_the_finest(out: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, out, levels=[1, 2])
        group = group_at(out)
        assert sorted(name for name in group if name != "associated") == ["0", "1"]
        assert np.array_equal(group["0"][...], image.levels[1][...])
        fine, coarse = image.levels[:2]
        affine = np.array(dict(group.attrs)["dicomzarr"]["affine"])
        ratio = coarse.scale[-1] / fine.scale[-1]
        centre = ((ratio - 1) / 2, (coarse.scale[-2] / fine.scale[-2] - 1) / 2, 0, 1)
        assert np.allclose(affine @ (0, 0, 0, 1), np.array(image.affine) @ centre)


@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_a_region_of_a_volume_keeps_its_place(opened: Opener, out: Path, grid: Any) -> None:
    image = opened(volume(grid, distinct((6, 16, 20))))
    dicomzarr.export(image, out, region={"z": (2, 5), "y": (3, 16), "x": (4, 11)})
    group = group_at(out)
    assert np.array_equal(group["0"][...], image.levels[0][2:5, 3:16, 4:11])
    affine = np.array(dict(group.attrs)["dicomzarr"]["affine"])
    assert np.allclose(affine @ (1, 2, 1, 1), affine_of(image) @ (5, 5, 3, 1))
    check_with_validators(out)


def test_a_region_names_the_instances_whose_frames_it_holds(opened: Opener, out: Path) -> None:
    series = volume(AXIAL, distinct((6, 16, 20)))
    image = opened(series)
    uids = {each.pixel_array.tobytes(): each.SOPInstanceUID for each in series.datasets}
    expected = {uids[image.levels[0][z].tobytes()] for z in (2, 3, 4)}
    dicomzarr.export(image, out, region={"z": (2, 5), "y": (3, 16)})
    (level,) = dict(group_at(out).attrs)["dicomzarr"]["levels"]
    assert set(level["sop_instance_uids"]) == expected


def test_a_region_of_uneven_slices_keeps_its_place(opened: Opener, out: Path) -> None:
    image = opened(uneven([0, 2.5, 5, 10, 17.5], distinct((5, 16, 20))))
    before = dict(group_at(image.series_url).attrs)["dicomzarr"]
    dicomzarr.export(image, out, region={"z": (2, 5)})
    after = dict(group_at(out).attrs)["dicomzarr"]
    places = before["coordinates"]["z"]["values"]
    assert after["coordinates"]["z"]["values"] == places[2:]
    there = np.array(before["plane_affine"]) @ (3, 4, places[3] - places[0], 1)
    assert np.allclose(np.array(after["plane_affine"]) @ (3, 4, places[3] - places[2], 1), there)


def test_a_region_along_t_cuts_what_varies_along_it(opened: Opener, out: Path) -> None:
    image = opened(bolus(distinct((4, 16, 20)), ["120000", "120002", "120004", "120006"]))
    (name, before), *_ = dict(group_at(image.series_url).attrs)["dicomzarr"]["coordinates"].items()
    assert before["axis"] == "t"
    dicomzarr.export(image, out, region={"t": (1, 3)})
    group = group_at(out)
    assert dict(group.attrs)["dicomzarr"]["coordinates"][name]["values"] == before["values"][1:3]
    assert np.array_equal(group["0"][...], image.levels[0][1:3])


LEADS = {
    "t": dimensions.along("TemporalPositionIdentifier", [1, 2, 3]),
    "c": dimensions.along("EchoTime", ["5", "15", "25"]),
}
"""What makes a volume three times or three echoes of it."""


def with_labels(opened: Opener, lead: str) -> tuple[Any, Any]:
    """URL of three volumes along an axis of their own, or of one in colour, and the masks on its slices."""
    shape = (4, 11, 7)
    if lead == "rgb":
        colors = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
        datasets = volume(AXIAL, colors, name="coloured", **IDENTIFIED).datasets
    else:
        differences = [{**IDENTIFIED, **each} for each in LEADS[lead]]
        datasets = dimensions.instances(distinct((3, *shape)), differences)
    found = segmented(
        sorted(datasets[:4], key=lambda each: float(each.ImagePositionPatient[2])), random_masks((2, *shape))
    )
    url = opened.serve([*datasets, found.dataset]).series_url(found.study, str(datasets[0].SeriesInstanceUID))
    return url, found.masks


@pytest.mark.parametrize(
    ("lead", "region"),
    [
        ("t", {"y": (2, 8), "x": (1, 4)}),
        ("c", {"y": (2, 8), "x": (1, 4)}),
        ("rgb", {"y": (2, 8), "x": (1, 4)}),
        ("t", {"z": (1, 3), "x": (3, 7)}),
        ("t", {"t": (1, 3)}),
        ("c", {"c": (0, 1), "y": (4, 11)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("shard", [None, (2, 1, 1)])
def test_labels_are_cut_where_their_image_is(
    opened: Opener, out: Path, lead: str, region: dict[str, tuple[int, int]], shard: Any
) -> None:
    url, masks = with_labels(opened, lead)
    whole = dicomzarr.open(url).levels[0]
    dicomzarr.export(url, out, labels=True, region=region, shard=shard)
    group = group_at(out)
    index = {axis: slice(*region.get(axis, (0, None))) for axis in "tczyx"}
    assert np.array_equal(group["0"][...], whole[tuple(index[axis] for axis in whole.axes)])
    names = sorted(group["labels"], key=lambda name: int(name.rpartition("-")[2]))
    assert len(names) == len(masks)
    image = dict(zip(whole.axes, translation_of(group), strict=True))
    for number, (name, mask) in enumerate(zip(names, masks, strict=True), 1):
        label = group[f"labels/{name}"]
        assert np.array_equal(label["0"][...], mask[index["z"], index["y"], index["x"]] * number)
        assert translation_of(label) == [image[axis] for axis in "zyx"]


def translation_of(group: Any) -> list[float]:
    (dataset,) = dict(group.attrs)["ome"]["multiscales"][0]["datasets"]
    found: list[float] = dataset["coordinateTransformations"][1]["translation"]
    return found


def test_labels_of_a_slide_are_cut_where_their_image_is(opened: Opener, out: Path) -> None:
    slide, found = segmented_slide()
    url = opened.serve([slide, found.dataset]).series_url(found.study, str(slide.SeriesInstanceUID))
    dicomzarr.export(url, out, labels=True, region={"y": (10, 70), "x": (33, 97)})
    group = group_at(out)
    assert group["0"].shape == (3, 60, 64)
    for name in group["labels"]:
        number = int(name.rpartition("-")[2])
        assert np.array_equal(group[f"labels/{name}/0"][...], found.masks[number - 1, 0, 10:70, 33:97] * number)


def test_an_axis_that_the_image_lacks_is_refused_with_labels_too(opened: Opener, out: Path) -> None:
    url, _ = with_labels(opened, "c")
    with pytest.raises(InvalidOptionError, match="has no axis t"):
        dicomzarr.export(url, out, labels=True, region={"t": (0, 1)})


def said_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = dict(group_at(out).attrs)["dicomzarr"]
    return found


@pytest.mark.parametrize("ends", [(0, 1), (1, 3), (2, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("kind", [BINARY, FRACTIONAL], ids=["binary", "fractional"])
def test_segments_are_those_of_the_channels_that_are_taken(
    opened: Opener, out: Path, kind: Any, ends: tuple[int, int]
) -> None:
    found = segmented(SOURCES, random_masks((3, *SHAPE)), kind=kind)
    image = dicomzarr.open(opened.serve([*CT.datasets, found.dataset]).series_url(found.study, found.series))
    dicomzarr.export(image, out, region={"c": ends})
    numbers = [int(each.SegmentNumber) for each in found.dataset.SegmentSequence][slice(*ends)]
    assert [each["number"] for each in said_of(out)["segments"]] == numbers
    labels = [each["label"] for each in dict(group_at(out).attrs)["ome"]["omero"]["channels"]]
    assert [each["label"] for each in said_of(out)["segments"]] == labels
    assert np.array_equal(group_at(out)["0"][...], pixels_of(image)[slice(*ends)])


def test_a_label_map_has_all_segments_of_its_region(opened: Opener, out: Path) -> None:
    found = segmented(SOURCES, (random_masks(SHAPE) * 2).astype(np.uint8), kind=LABELMAP)
    image = dicomzarr.open(opened.serve([*CT.datasets, found.dataset]).series_url(found.study, found.series))
    dicomzarr.export(image, out, region={"x": (0, 5)})
    assert said_of(out)["segments"] == image.attributes["segments"]


def test_a_region_that_leaves_out_absent_slices_says_nothing_of_them(opened: Opener, out: Path) -> None:
    image = opened(lacking_a_slice())
    dicomzarr.export(image, out, region={"z": (2, 5)})
    assert dict(group_at(out).attrs)["dicomzarr"]["absent"] == [{"z": 1}]
    dicomzarr.export(image, out, region={"z": (0, 3)}, overwrite=True)
    assert "absent" not in dict(group_at(out).attrs)["dicomzarr"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"region": {"t": (0, 1)}}, "no axis t"),
        ({"region": {"x": (5000, 6000)}}, "x=5000:6000"),
        ({"region": {"c": (0, 1)}}, "stay together"),
        ({"levels": [99]}, "no level 99"),
        ({"levels": [0, 99]}, "no level 99"),
        ({"levels": [1], "images": ["associated/thumbnail"]}, "no level 1 in an image of 1 level[.]"),
        ({"images": ["7"]}, "no image 7"),
        ({"compression": "lzma"}, "not known"),
        ({"zarr_format": 2, "shard": 2}, "no shards"),
    ],
)
def test_what_the_series_does_not_have_is_refused(out: Path, options: dict[str, Any], said: str) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        with pytest.raises(InvalidOptionError, match=said):
            dicomzarr.export(served.url, out, **options)
        assert not out.exists()


def test_an_image_is_exported_alone(out: Path) -> None:
    with serving(slides.two_pyramids()) as served:
        first, second = dicomzarr.open(served.url).images
        dicomzarr.export(second, out)
        group = group_at(out)
        assert np.array_equal(group["0"][...], second.levels[0][...])
        assert dict(group.attrs)["ome"] == dict(group_at(second.url).attrs)["ome"]
        assert first.path != second.path


# --- levels that are built


def test_missing_levels_are_built_of_means(opened: Opener, out: Path) -> None:
    pixels = distinct((1, 1300, 1050), bits=16)
    image = opened(volume(AXIAL, pixels))
    dicomzarr.export(image, out, build_levels=True)
    group = group_at(out)
    assert [group[name].shape[-2:] for name in ("0", "1", "2")] == [(1300, 1050), (650, 525), (325, 262)]
    assert "3" not in group
    fine = group["0"][...].astype(np.float64)
    for name in ("1", "2"):
        rows, columns = group[name].shape[-2:]
        corners = [fine[..., y : 2 * rows : 2, x : 2 * columns : 2] for y in (0, 1) for x in (0, 1)]
        assert np.array_equal(group[name][...], np.rint(sum(corners) / 4).astype(np.uint16))
        fine = group[name][...].astype(np.float64)
    first, second, _ = dict(group.attrs)["ome"]["multiscales"][0]["datasets"]
    step = np.array(first["coordinateTransformations"][0]["scale"][-2:])
    assert np.allclose(second["coordinateTransformations"][0]["scale"][-2:], 2 * step)
    here, there = (np.array(each["coordinateTransformations"][1]["translation"][-2:]) for each in (first, second))
    assert np.allclose(there - here, step / 2)
    check_with_validators(out)


# --- targets, and what is there already


def test_a_target_may_be_any_of_fsspec(opened: Opener) -> None:
    image = opened(volume(AXIAL, distinct((3, 16, 20))))
    target = "memory://exports/one.zarr"
    dicomzarr.export(image, target)
    assert np.array_equal(array_at(target, path="0")[...], pixels_of(image))
    assert fsspec.filesystem("memory").ls("/exports", detail=False) == ["/exports/one.zarr"]
    with pytest.raises(UsageError, match="already"):
        dicomzarr.export(image, target)
    dicomzarr.export(image, target, overwrite=True)


def test_what_is_at_the_target_is_not_touched_unless_asked(opened: Opener, out: Path) -> None:
    image = opened(volume(AXIAL, distinct((3, 16, 20))))
    out.mkdir()
    (out / "mine").write_text("kept")
    with pytest.raises(UsageError, match="already"):
        dicomzarr.export(image, out)
    assert [path.name for path in out.iterdir()] == ["mine"]
    dicomzarr.export(image, out, overwrite=True)
    assert not (out / "mine").exists()


def test_a_name_that_says_no_format_is_refused(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(AXIAL, distinct((3, 16, 20))))
    with pytest.raises(InvalidOptionError, match="does not say"):
        dicomzarr.export(image, tmp_path / "out.dat")


def test_pixels_that_are_not_what_was_written_are_found(opened: Opener, out: Path) -> None:
    image = opened(volume(AXIAL, distinct((6, 16, 20))))

    def damage(now: Progress) -> None:
        if now.phase == "copying" and now.blocks == now.all_blocks:
            zarr.open_array(out, path="0", mode="r+")[2, 3, 4] = 1

    with pytest.raises(VerificationError, match=r"1 of \d blocks"):
        dicomzarr.export(image, out, progress=damage, block_bytes=1)
    assert not (out / "zarr.json").exists()  # nobody takes it for a whole one
    done = dicomzarr.export(image, out, block_bytes=1)
    assert done.resumed == 5
    assert np.array_equal(group_at(out)["0"][...], pixels_of(image))


@pytest.mark.parametrize("options", [{}, {"shard": (2, 1, 1)}, {"keep_encoded": True}], ids=str)
def test_a_chunk_that_vanished_is_found_and_written_anew(options: dict[str, Any], opened: Opener, out: Path) -> None:
    image = opened(volume(AXIAL, distinct((6, 16, 20))))

    def remove(now: Progress) -> None:
        if now.phase == "copying" and now.blocks == now.all_blocks:
            (out / "0" / "c" / "1" / "0" / "0").unlink()

    with pytest.raises(VerificationError, match=r"1 of \d blocks"):
        dicomzarr.export(image, out, progress=remove, block_bytes=1, **options)
    done = dicomzarr.export(image, out, block_bytes=1, **options)
    assert done.resumed == done.blocks - 1
    assert np.array_equal(group_at(out)["0"][...], pixels_of(image))


@pytest.mark.parametrize("target", ["s4://bucket/out.zarr", "foo://a.zarr"])
def test_a_target_that_fsspec_does_not_know_is_said(target: str, opened: Opener) -> None:
    image = opened(volume(AXIAL, distinct((2, 16, 20))))
    with pytest.raises(UsageError, match=r"fsspec has no file system for targets of (s4|foo)://"):
        dicomzarr.export(image, target)


@pytest.mark.parametrize(
    "options",
    [
        {"absent": "x"},
        {"block_bytes": 1.5},
        {"compression": None},
        {"levels": 0},
        {"levels": ["a"]},
        {"levels": "0"},
        {"region": ((0, 5), (0, 5))},
        {"images": "0"},
        {"region": {"x": (1.5, 3)}},
        {"region": {"x": 5}},
        {"shard": 2.5},
        {"shard": "x"},
        {"keep_encoded": "no"},
        {"zarr_format": "3"},
    ],
    ids=str,
)
def test_values_of_another_kind_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InvalidOptionError, match=rf"{name}=.* cannot be meant\. Write {name}="):
        parse_options("out.zarr", **options)


def test_numbers_of_numpy_are_those_of_python(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(AXIAL))
    whole = np.int64
    for number, options in enumerate(
        [{"shard": whole(2)}, {"zarr_format": whole(2)}, {"keep_encoded": np.True_}, {"region": {"z": np.arange(1, 3)}}]
    ):
        dicomzarr.export(image, tmp_path / f"{number}.zarr", **options)
        assert group_at(tmp_path / f"{number}.zarr")["0"].shape[1:] == image.shape[1:]


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ({"level": 3}, r"Write levels=\[0, 2\]"),
        ({"force": True}, "Write overwrite=True"),
        ({"regions": {}}, "Write region="),
        ({"image": "0"}, "Write images="),
        ({"valeus": "modality"}, "Did you mean 'values'"),
    ],
)
def test_a_misspelled_option_is_told_its_form(given: dict[str, Any], form: str, tmp_path: Path) -> None:
    (name,) = given
    for call in (
        partial(dicomzarr.export, "dicomweb://127.0.0.1:9/studies/1/series/2", tmp_path / "out.zarr"),
        partial(dicomzarr.export_many, {"dicomweb://127.0.0.1:9/studies/1/series/2": "out.zarr"}),
    ):
        with pytest.raises(InvalidOptionError, match=f"option {name!r}.*{form}"):
            call(**given)


def test_an_image_that_is_open_is_exported_with_other_options(opened: Opener, out: Path) -> None:
    series = volume(AXIAL, distinct((2, 16, 20)))
    dicomzarr.export(opened(series), out, values="modality")
    assert np.array_equal(group_at(out)["0"][...], opened(series, values="modality").levels[0][...])
    with pytest.raises(InvalidOptionError, match="storage option 'vaIues'"):
        dicomzarr.export(opened(series), out, overwrite=True, vaIues="modality")


def test_a_fill_value_that_is_no_number_is_refused(opened: Opener, out: Path) -> None:
    image = opened(volume(AXIAL, distinct((2, 16, 20))))
    for value in (float("nan"), float("inf"), 0.5):
        with pytest.raises(InvalidOptionError, match="is no value of"):
            dicomzarr.export(image, out, absent=value)


def test_a_shard_fits_into_memory(opened: Opener, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = opened(volume(AXIAL, distinct((6, 16, 20))))
    dicomzarr.export(image, out, shard=(100, 20, 30))  # more than there are
    assert same_values(group_at(out)["0"][...], pixels_of(image))
    monkeypatch.setattr(pixels, "_LARGEST_SHARD", 1000)
    for shard in ((2, 1, 1), 10**9):
        with pytest.raises(InvalidOptionError, match="it is put together in memory"):
            dicomzarr.export(image, out, shard=shard, overwrite=True)
    assert (out / "zarr.json").exists()  # nothing was touched

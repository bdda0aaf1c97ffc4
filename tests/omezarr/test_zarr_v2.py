"""The same series as OME-Zarr 0.4: what ``zarr_format=2`` shows, to those who read no other format."""

from __future__ import annotations

import itertools
import json
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import radiology
import xarray
import zarr
from opened import group_at
from segmentations import segmented
from serving import Served, forget_servers, serving
from slides import (
    brightfield_pyramid,
    coded_slide,
    concatenation,
    fluorescence_focal_stack,
    sparse_brightfield,
    sparse_fluorescence,
    two_pyramids,
)

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import InvalidOptionError, MissingInstanceError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr
    import ome_zarr_models
    import yaozarrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slides import TestSlide

    from dicomzarr.arrays.image import Image

V2: dict[str, Any] = {"zarr_format": 2}

BUILDERS: dict[str, Callable[[], TestSlide]] = {
    "pyramid_with_associated": brightfield_pyramid,
    "channels_and_planes": fluorescence_focal_stack,
    "sparse": sparse_brightfield,
    "sparse_pink": partial(sparse_brightfield, absent="pink"),
    "sparse_channels_and_planes": sparse_fluorescence,
    "two_pyramids": two_pyramids,
}


@pytest.fixture(scope="module", params=BUILDERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(BUILDERS[request.param]()) as each:
        yield each


@pytest.fixture
def images(served: Served) -> list[Image]:
    first = dicomzarr.open(served.url)
    return [*first.images, *first.associated.values()]


def mapper(url: str) -> Any:
    return fsspec.get_mapper(url, **V2)


def grouped(image: Image) -> Any:
    return group_at(image.url, zarr_format=2, storage_options=V2)


# --- what readers make of it ---


def test_zarr_reads_the_values_that_the_other_format_has(images: list[Image]) -> None:
    for image in images:
        group = grouped(image)
        for level in image.levels:
            array = group[str(level.number)]
            assert isinstance(array, zarr.Array)
            assert array.dtype == level.dtype
            assert np.array_equal(array[...], level[...])


def test_yaozarrs_takes_each_image(images: list[Image]) -> None:
    for image in images:
        yaozarrs.validate_zarr_store(grouped(image))


def test_ome_zarr_models_takes_each_image(images: list[Image]) -> None:
    for image in images:
        model: Any = ome_zarr_models.open_ome_zarr(grouped(image))
        assert model.ome_zarr_version == "0.4"
        (multiscale,) = model.attributes.multiscales
        assert [dataset.path for dataset in multiscale.datasets] == [str(level.number) for level in image.levels]


@pytest.mark.ngff_zarr
def test_ngff_zarr_reads_each_image(images: list[Image]) -> None:
    for image in images:
        multiscales = ngff_zarr.from_ngff_zarr(mapper(image.url), validate=True, version="0.4")
        for found, level in zip(multiscales.images, image.levels, strict=True):
            assert tuple(found.dims) == level.axes
            assert [found.scale.get(name, 1.0) for name in level.axes] == pytest.approx(level.scale)
        assert np.array_equal(multiscales.images[-1].data.compute(), image.levels[-1][...])


@pytest.mark.parametrize("name", ["native_rgb", "jpeg2000_lossless"])
def test_xarray_takes_no_value_for_missing(name: str) -> None:
    with serving(coded_slide(name)) as each:
        (level,) = dicomzarr.open(each.url).levels
        array = xarray.open_zarr(mapper(each.url), zarr_format=2)["0"]
        assert array.dims == level.axes
        assert array.dtype == level.dtype
        assert np.array_equal(array.values, level[...])


# --- its documents and keys ---


def test_the_metadata_is_that_of_0_5_in_the_places_of_0_4(images: list[Image]) -> None:
    for image in images:
        new = dict(group_at(image.url).attrs)
        old = dict(grouped(image).attrs)
        ome = new.pop("ome")
        assert ome.pop("version") == "0.5"
        for each in ome.get("multiscales", []):
            each["version"] = "0.4"
        assert old == {**ome, **new}


def test_one_document_holds_those_of_all_nodes(served: Served) -> None:
    fs, path = fsspec.url_to_fs(served.url, **V2)
    names = [name.removeprefix(f"{path}/") for name in fs.find(path)]
    documents = {name for name in names if name.rpartition("/")[2].startswith(".z")} - {".zmetadata"}
    consolidated = json.loads(fs.cat_file(f"{path}/.zmetadata"))
    assert consolidated["zarr_consolidated_format"] == 1
    assert consolidated["metadata"] == {name: json.loads(fs.cat_file(f"{path}/{name}")) for name in documents}


def test_zarr_reads_one_document_in_either_format(served: Served) -> None:
    for options in (V2, {}):
        group = group_at(served.url, storage_options=options)
        assert group.metadata.consolidated_metadata is not None
        listed = {path for path, _ in group.members(max_depth=None)}
        apart = group_at(served.url, storage_options=options, use_consolidated=False)
        assert listed == {path for path, _ in apart.members(max_depth=None)}
        assert all(group[path].metadata.to_dict().items() >= _own(apart[path]).items() for path in listed)


def _own(node: Any) -> dict[str, Any]:
    return {name: value for name, value in node.metadata.to_dict().items() if name != "consolidated_metadata"}


def test_every_tile_of_the_grid_is_a_chunk(served: Served) -> None:
    fs, path = fsspec.url_to_fs(served.url, **V2)
    found = set(fs.find(path))
    for image in dicomzarr.open(served.url).images:
        for level in image.levels:
            below = f"{path}/{image.path}/{level.number}".replace("//", "/").replace(":/", "://", 1)
            grid = [range(-(-size // chunk)) for size, chunk in zip(level.shape, level.chunks, strict=True)]
            wanted = {f"{below}/{'/'.join(map(str, indices))}" for indices in itertools.product(*grid)}
            assert wanted == {name for name in found if name.startswith(f"{below}/") and "/.z" not in name}
            assert {fs.size(name) for name in wanted} == {np.prod(level.chunks) * level.dtype.itemsize}


@pytest.mark.parametrize(
    "key",
    ["zarr.json", "0/zarr.json", "0/c/0/0/0", ".zarray", "0/.zgroup", "0/0.0.0", "0/0/0/00", "0/0/0/99", "0/0/0/0/0"],
)
def test_other_keys_are_absent(key: str) -> None:
    with serving(sparse_brightfield()) as each:
        fs, path = fsspec.url_to_fs(each.url, **V2)
        assert not fs.exists(f"{path}/{key}")
        with pytest.raises(FileNotFoundError):
            fs.cat_file(f"{path}/{key}")


def test_a_tile_that_is_lost_is_an_error_and_no_chunk() -> None:
    with serving(concatenation(leave_out=2)) as each, pytest.raises(MissingInstanceError):
        group_at(each.url, zarr_format=2, storage_options=V2)["0"][...]


@pytest.mark.parametrize("name", ["volume", "gap", "pet"])
def test_volumes_and_their_gaps(name: str) -> None:
    series = radiology.BUILDERS[name]()
    with DICOMwebServer(Archive(series.datasets)) as server:
        image = dicomzarr.open(server.series_url(series.study_uid, series.series_uid))
        assert np.array_equal(grouped(image)["0"][...], image.levels[0][...])
        forget_servers()


def test_labels_have_their_version_and_colours() -> None:
    volume = radiology.BUILDERS["volume"]()
    sources = sorted(volume.datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    masks = np.random.default_rng(1).integers(0, 2, (2, len(sources), 16, 20), np.uint8)
    segmentation = segmented(sources, masks).dataset
    with DICOMwebServer(Archive([*sources, segmentation])) as server:
        url = server.series_url(volume.study_uid, volume.series_uid)
        group = group_at(url, zarr_format=2, storage_options={**V2, "labels": True})
        names = list(group["labels"].attrs["labels"])
        assert names
        label: Any = ome_zarr_models.open_ome_zarr(group[f"labels/{names[0]}"])
        assert label.attributes.image_label.version == "0.4"
        forget_servers()


# --- the option ---


@pytest.mark.parametrize("value", [1, 4, "2", 2.0, True, None, [2]])
def test_the_option_is_one_of_two_numbers(value: object) -> None:
    with pytest.raises(InvalidOptionError, match="zarr_format"):
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/3.4", zarr_format=value)


def test_both_formats_are_views_of_one_opening() -> None:
    with serving(sparse_brightfield()) as each:
        one = dicomzarr.open(each.url)
        other = dicomzarr.open(each.url, zarr_format=2)
        assert np.array_equal(one.levels[0][...], other.levels[0][...])
        fsspec.filesystem("dicomweb", **V2).cat_file(f"{each.url}/.zmetadata")
        assert each.count("metadata") == 1

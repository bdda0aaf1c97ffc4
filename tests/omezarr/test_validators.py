"""The validators of the OME-Zarr world, over the virtual stores as they are served."""

from __future__ import annotations

import json
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import radiology
import zarr
from opened import group_at
from serving import Served, forget_servers, serving
from slides import (
    TestSlide,
    brightfield_pyramid,
    channels_in_instances,
    coded_slide,
    concatenation,
    extended_depth_of_field,
    fluorescence_focal_stack,
    focal_planes_in_instances,
    sparse_fluorescence,
    two_pyramids,
)
from slides_codecs import GRAY
from slides_instances import Identity, Level, full_instance
from slides_model import ExpectedImage
from slides_pixels import noisy_gray

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr
    import ome_zarr_models
    import yaozarrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def one_grey_channel() -> TestSlide:
    """A single optical path without colour: neither c nor z."""
    level = Level(noisy_gray(3, (1, 1, 60, 50), 12), (32, 32), codec=GRAY, bits=12)
    return TestSlide("grey", (full_instance(Identity("grey", 1), level),), (ExpectedImage((level.expected(),)),))


BUILDERS: dict[str, Callable[[], TestSlide]] = {
    "pyramid_with_associated": brightfield_pyramid,
    "one_grey_channel": one_grey_channel,
    "one_level": partial(coded_slide, "native_rgb"),
    "channels": channels_in_instances,
    "channels_and_planes": fluorescence_focal_stack,
    "sparse_channels_and_planes": sparse_fluorescence,
    "colour_and_planes": focal_planes_in_instances,
    "two_pyramids": two_pyramids,
    "extended_depth_of_field": extended_depth_of_field,
    "lost_part": partial(concatenation, leave_out=2),
}


@pytest.fixture(scope="module", params=BUILDERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(BUILDERS[request.param]()) as each:
        yield each


@pytest.fixture
def images(served: Served) -> list[dicomzarr.Image]:
    """Every image group of the series, associated ones too."""
    first = dicomzarr.open(served.url)
    return [*first.images, *first.associated.values()]


def test_yaozarrs_takes_the_url_of_the_series(served: Served) -> None:
    yaozarrs.validate_zarr_store(served.url)


def test_yaozarrs_takes_each_image(images: list[dicomzarr.Image]) -> None:
    for image in images:
        yaozarrs.validate_zarr_store(image.url)


def test_ome_zarr_models_takes_each_image(images: list[dicomzarr.Image]) -> None:
    for image in images:
        model: Any = ome_zarr_models.open_ome_zarr(group_at(image.url))
        (multiscale,) = model.ome_attributes.multiscales
        assert [dataset.path for dataset in multiscale.datasets] == [str(level.number) for level in image.levels]


@pytest.mark.ngff_zarr
def test_ngff_zarr_reads_each_image(images: list[dicomzarr.Image]) -> None:
    for image in images:
        multiscales = ngff_zarr.from_ngff_zarr(fsspec.get_mapper(image.url), validate=True)
        assert len(multiscales.images) == len(image.levels)
        for found, level in zip(multiscales.images, image.levels, strict=True):
            assert tuple(found.dims) == level.axes
            assert found.data.shape == level.shape
            scale = [found.scale.get(name, 1.0) for name in level.axes]
            shift = [found.translation.get(name, 0.0) for name in level.axes]
            assert scale == pytest.approx(level.scale)
            assert shift == pytest.approx(level.translation)
        assert multiscales.images[0].axes_units == {axis.name: axis.unit for axis in image.axes}


@pytest.mark.ngff_zarr
def test_ngff_zarr_computes_on_pixels() -> None:
    with serving(brightfield_pyramid()) as each:
        multiscales: Any = ngff_zarr.from_ngff_zarr(fsspec.get_mapper(each.url), validate=True)
        assert np.array_equal(multiscales.images[3].data.compute(), each.slide.levels[3].pixels[:, 0])


@pytest.mark.parametrize("name", ["volume", "gap", "pet", "dose"])
def test_fill_values_are_of_the_arrays_type(name: str) -> None:
    series = radiology.BUILDERS[name]()
    with DICOMwebServer(Archive(series.datasets)) as server:
        url = server.series_url(series.study_uid, series.series_uid)
        document = json.loads(fsspec.filesystem("dicomweb").cat_file(f"{url}/0/zarr.json"))
        forget_servers()
    assert type(document["fill_value"]) is (int if "int" in document["data_type"] else float)


def test_documents_are_valid_zarr(images: list[dicomzarr.Image]) -> None:
    for image in images:
        group = group_at(image.url, zarr_format=3)
        for level in image.levels:
            array = group[str(level.number)]
            assert isinstance(array, zarr.Array)
            metadata: Any = array.metadata
            assert [codec.to_dict()["name"] for codec in metadata.codecs] == ["bytes"]
            assert metadata.chunk_key_encoding.name == "default"

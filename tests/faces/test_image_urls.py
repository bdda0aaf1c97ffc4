"""The URL of an image opens that image, whoever is given it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
import zarr
from radiology_model import distinct
from radiology_opened import Opener
from radiology_volumes import two_orientations, volume

import dicomzarr
from dicomzarr.errors import InvalidURLError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dicomzarr.arrays.image import Image

AXIAL, SAGITTAL = distinct((4, 16, 20)), distinct((3, 16, 20))[:, ::-1]


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


@pytest.fixture(params=["server", "folder", "archive"])
def images(request: pytest.FixtureRequest, opened: Opener, tmp_path: Path) -> tuple[Image, ...]:
    series = two_orientations(AXIAL, SAGITTAL)
    if request.param == "server":
        return opened(series).images
    series.write(tmp_path / "series")
    if request.param == "folder":
        return dicomzarr.open(tmp_path / "series").images
    return dicomzarr.open(shutil.make_archive(str(tmp_path / "series"), "zip", tmp_path / "series")).images


def test_the_url_of_an_image_opens_it(images: tuple[Image, ...], tmp_path: Path) -> None:
    assert len(images) == 2
    for image, pixels in zip(images, (AXIAL, SAGITTAL), strict=True):
        for url in (image.url, f"{image.url}/"):
            found = dicomzarr.open(url)
            assert (found.url, found.series_url) == (image.url, image.series_url)
            assert sorted(found[...].reshape(-1)) == sorted(pixels.reshape(-1))
        assert len(found.images) == 2
        dataset = xr.open_dataset(image.url, engine="dicomzarr")
        assert np.array_equal(dataset["image"].values, image[...])
        assert list(xr.open_datatree(image.url, engine="dicomzarr").children) == ["0"]
        by_group = xr.open_dataset(image.url, engine="dicomzarr", group="0")
        assert by_group.identical(dataset)
        dicomzarr.export(image.url, tmp_path / "one.zarr", overwrite=True)
        assert np.array_equal(zarr.open_group(tmp_path / "one.zarr", mode="r")["0"][...], image[...])


def test_what_is_asked_for_by_name_counts_before_the_url(images: tuple[Image, ...], tmp_path: Path) -> None:
    dicomzarr.export(images[1].url, tmp_path / "both.zarr", images=["0", "1"])
    assert {"0", "1"} <= set(zarr.open_group(tmp_path / "both.zarr", mode="r").group_keys())


def test_references_are_of_the_image_that_a_url_names(tmp_path: Path) -> None:
    two_orientations(AXIAL, SAGITTAL).write(tmp_path / "series")
    second = dicomzarr.open(tmp_path / "series").images[1]
    for name, of in (("url.json", second.url), ("image.json", second)):
        dicomzarr.references(of, tmp_path / name)
    by_url, by_image = (json.loads((tmp_path / name).read_text()) for name in ("url.json", "image.json"))
    assert by_url["refs"].keys() == by_image["refs"].keys()


@pytest.mark.parametrize("key", ["2", "0/0", "zarr.json", "0/labels/Liver", "associated/overview"])
def test_what_is_no_image_is_refused_and_the_images_are_named(images: tuple[Image, ...], key: str) -> None:
    with pytest.raises(InvalidURLError, match=rf"{key} names no image .*, or after one of its images: 0, 1\."):
        dicomzarr.open(f"{images[0].series_url}/{key}")


def test_a_series_of_one_image_has_no_other_url(opened: Opener) -> None:
    image = opened(volume(name="alone"))
    assert image.url == image.series_url
    with pytest.raises(InvalidURLError, match=r"/0 names no image .* End the URL after the series\.$"):
        dicomzarr.open(f"{image.url}/0")
    (refused,) = dicomzarr.export_many({f"{image.url}/0": "nowhere.zarr"}).values()
    assert "End the URL after the series" in str(refused)

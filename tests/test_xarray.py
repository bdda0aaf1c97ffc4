from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from serving import Served, serving
from slides import TestSlide, brightfield_pyramid, fluorescence_focal_stack, two_pyramids
from slides_model import PHI

import dicomzarr
from dicomzarr.errors import InvalidOptionError, SeriesNotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def pyramid() -> Iterator[Served]:
    with serving(brightfield_pyramid()) as each:
        yield each


@pytest.fixture(scope="module")
def stack() -> Iterator[Served]:
    with serving(fluorescence_focal_stack()) as each:
        yield each


def pixels_of(slide: TestSlide, level: int) -> Any:
    """(c, y, x) of a slide without focal planes."""
    return slide.levels[level].pixels[:, 0]


# --- opening ---


def test_the_engine_is_known(pyramid: Served) -> None:
    engine = xr.backends.list_engines()["dicomzarr"]
    assert engine.supports_groups
    assert engine.guess_can_open(pyramid.url)
    for spelling in (f"{pyramid.url}.zarr", f"{pyramid.url}/", pyramid.url.replace("dicomweb", "dicomwebs", 1)):
        assert engine.guess_can_open(spelling)
    assert engine.guess_can_open("https://host/dicom-web/studies/1.2/series/3.4")
    for other in ("/data/x.nc", "https://host/x.zarr", "https://host/studies/1.2", b"CDF", None, 3):
        assert not engine.guess_can_open(other)


@pytest.mark.parametrize("spelling", ["", "/", ".zarr", ".zarr/"])
def test_open_datatree_has_one_node_a_level(pyramid: Served, spelling: str) -> None:
    tree = xr.open_datatree(pyramid.url + spelling, engine="dicomzarr")
    assert list(tree.children) == ["0", "1", "2", "3", "associated"]
    assert set(tree["associated"].children) == {"overview", "thumbnail"}
    for number in range(4):
        array = tree[f"{number}/image"]
        assert array.dims == ("c", "y", "x")
        assert np.array_equal(array, pixels_of(pyramid.slide, number))
    assert np.array_equal(tree["associated/thumbnail/0/image"], pyramid.slide.associated["thumbnail"][:, 0])


def test_the_engine_is_found_by_url(pyramid: Served) -> None:
    assert list(xr.open_datatree(pyramid.url).children)[:4] == ["0", "1", "2", "3"]
    assert xr.open_dataset(pyramid.url)["image"].shape == pixels_of(pyramid.slide, 0).shape


def test_open_dataset_takes_a_group(pyramid: Served) -> None:
    finest = xr.open_dataset(pyramid.url, engine="dicomzarr")
    assert finest["image"].shape == pixels_of(pyramid.slide, 0).shape
    coarse = xr.open_dataset(pyramid.url, engine="dicomzarr", group="2")
    assert np.array_equal(coarse["image"], pixels_of(pyramid.slide, 2))
    overview = xr.open_dataset(pyramid.url, engine="dicomzarr", group="/associated/overview/0/")
    assert np.array_equal(overview["image"], pyramid.slide.associated["overview"][:, 0])
    with pytest.raises(UsageError, match="associated/overview/0"):
        xr.open_dataset(pyramid.url, engine="dicomzarr", group="7")


def test_open_groups(pyramid: Served) -> None:
    groups = xr.open_groups(pyramid.url, engine="dicomzarr")
    assert {"/", "/0", "/1", "/2", "/3"} <= {f"/{name.strip('/')}" for name in groups}


def test_several_images_are_several_branches() -> None:
    with serving(two_pyramids()) as each:
        tree = xr.open_datatree(each.url, engine="dicomzarr")
        for path, image in zip(("0", "1"), each.slide.images, strict=True):
            assert np.array_equal(tree[f"{path}/1/image"], image.levels[1].pixels[:, 0])
        assert xr.open_dataset(each.url, engine="dicomzarr")["image"].shape == (3, 80, 100)


def test_storage_options_reach_the_server(pyramid: Served) -> None:
    options = {"associated_label": True, "timeout": 9}
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr", storage_options=options)
    assert np.array_equal(tree["associated/label/0/image"], pyramid.slide.associated["label"][:, 0])
    with pytest.raises(InvalidOptionError):
        xr.open_dataset(pyramid.url, engine="dicomzarr", storage_options={"nope": 1})


def test_variables_can_be_dropped(pyramid: Served) -> None:
    dataset = xr.open_dataset(pyramid.url, engine="dicomzarr", drop_variables=["c"])
    assert "c" not in dataset.coords
    assert "c" in dataset.dims


def test_an_absent_series_is_an_error_of_its_own(pyramid: Served) -> None:
    with pytest.raises(SeriesNotFoundError):
        xr.open_dataset(f"{pyramid.url}1", engine="dicomzarr")


# --- laziness ---


def test_no_frame_is_asked_for_before_values() -> None:
    with serving(brightfield_pyramid()) as each:
        tree = xr.open_datatree(each.url, engine="dicomzarr")
        array = tree["0/image"]
        part = array.isel(y=slice(0, 10), x=slice(0, 10)).sel(c="R")
        repr(tree), tree._repr_html_(), repr(array)
        assert (array.shape, array.dtype, array.nbytes) == ((3, 200, 257), np.uint8, 3 * 200 * 257)
        assert each.count() == 0
        assert np.array_equal(part, pixels_of(each.slide, 0)[0, :10, :10])
        assert each.frames_asked() == [1]
        assert each.count("metadata") == 1


def test_indexing_agrees_with_numpy(pyramid: Served) -> None:
    array = xr.open_dataset(pyramid.url, engine="dicomzarr", cache=False)["image"]
    pixels = pixels_of(pyramid.slide, 0)
    assert np.array_equal(array[:, 20:90:3, ::-5], pixels[:, 20:90:3, ::-5])
    assert np.array_equal(array[1, -1], pixels[1, -1])
    assert array[0, 0, 0].item() == pixels[0, 0, 0]
    assert np.array_equal(array.isel(y=[5, 150, 5], x=[0, 256]), pixels[:, [5, 150, 5]][:, :, [0, 256]])
    rows, columns = xr.DataArray([3, 130, 3], dims="point"), xr.DataArray([9, 200, 255], dims="point")
    assert np.array_equal(array.isel(y=rows, x=columns), pixels[:, [3, 130, 3], [9, 200, 255]])
    assert np.array_equal(array.isel(y=np.arange(200) % 50 == 0), pixels[:, ::50])
    assert array.isel(y=slice(0, 0)).shape == (3, 0, 257)


def test_chunks_of_dask(pyramid: Served) -> None:
    array = xr.open_dataset(pyramid.url, engine="dicomzarr", chunks={})["image"]
    assert [max(sizes) for sizes in array.chunks or ()] == [3, 64, 64]
    assert array.encoding["preferred_chunks"] == {"c": 3, "y": 64, "x": 64}
    assert np.array_equal(array, pixels_of(pyramid.slide, 0))
    again = xr.open_dataset(pyramid.url, engine="dicomzarr")["image"].chunk(y=128, x=128)
    assert again.chunks == ((3,), (128, 72), (128, 128, 1))
    assert np.array_equal(again.mean("c"), pixels_of(pyramid.slide, 0).mean(axis=0))
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr", chunks={})
    assert np.array_equal(tree["1/image"], pixels_of(pyramid.slide, 1))


def test_pickles_reopen(pyramid: Served) -> None:
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr")
    dataset = xr.open_dataset(pyramid.url, engine="dicomzarr", group="1", cache=False)
    pickled = pickle.dumps((tree, dataset))
    assert len(pickled) < 50_000
    tree, dataset = pickle.loads(pickled)  # noqa: S301  # our own
    assert np.array_equal(tree["2/image"], pixels_of(pyramid.slide, 2))
    assert np.array_equal(dataset["image"][:, 3], pixels_of(pyramid.slide, 1)[:, 3])


# --- coordinates ---


def test_coordinates_are_centres_of_pixels(pyramid: Served) -> None:
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr")
    finest = pyramid.slide.levels[0].spacing
    for number, level in enumerate(pyramid.slide.levels):
        dataset = tree[str(number)]
        for axis, place in (("y", 0), ("x", 1)):
            step, base = 1000 * level.spacing[place], 1000 * finest[place]
            size = level.pixels.shape[2 + place]
            # Corners coincide: the first corner lies half a pixel of level 0 before its first centre.
            centres = -base / 2 + (np.arange(size) + 0.5) * step
            np.testing.assert_allclose(dataset[axis], centres, rtol=0, atol=1e-4)  # headers round steps
            assert dataset[axis].attrs == {"units": "micrometer"}
        assert list(dataset["c"].values) == ["R", "G", "B"]


def test_the_same_place_is_found_in_every_level(pyramid: Served) -> None:
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr")
    for number, level in enumerate(pyramid.slide.levels):
        found = tree[f"{number}/image"].sel(y=51.3, x=77.7, method="nearest")
        row, column = (
            min(range(size), key=lambda at: abs((at + 0.5) * 1000 * step - 0.25 - place))
            for size, step, place in zip(level.pixels.shape[2:], level.spacing, (51.3, 77.7), strict=True)
        )
        assert np.array_equal(found, level.pixels[:, 0, row, column])
    window = tree["0/image"].sel(y=slice(10, 20), x=slice(0, 5))
    assert window.shape == (3, 21, 11)


def test_channels_and_planes_have_labels(stack: Served) -> None:
    dataset = xr.open_dataset(stack.url, engine="dicomzarr")
    assert dataset["image"].dims == ("c", "z", "y", "x")
    assert list(dataset["c"].values) == ["Nuclei", "Membrane", "Cytoplasm"]
    np.testing.assert_allclose(dataset["z"], [0, 1.5])
    assert dataset["z"].attrs == {"units": "micrometer"}
    plane = dataset["image"].sel(c="Membrane").sel(z=1.4, method="nearest")
    assert np.array_equal(plane, stack.slide.levels[0].pixels[1, 1])


def test_affine_leads_from_coordinates_to_the_slide(pyramid: Served) -> None:
    dataset = xr.open_dataset(pyramid.url, engine="dicomzarr", group="3")
    assert np.array_equal(dataset.attrs["affine"], np.asarray(dicomzarr.open(pyramid.url).affine))


def test_nobody_is_identified(pyramid: Served) -> None:
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr")
    shown = repr(tree) + tree._repr_html_() + repr(tree.to_dict()) + repr([node.attrs for node in tree.subtree])
    assert not [text for text in PHI if text in shown]


# --- what an image gives ---


def test_to_xarray_is_the_tree_of_an_image(pyramid: Served) -> None:
    image = dicomzarr.open(pyramid.url)
    tree = image.to_xarray()
    assert tree.name == image.name
    assert list(tree.children) == ["0", "1", "2", "3"]
    assert np.array_equal(tree["3/image"], pixels_of(pyramid.slide, 3))
    overview = image.associated["overview"].to_xarray()
    assert np.array_equal(overview["0/image"], pyramid.slide.associated["overview"][:, 0])


def test_values_are_stored_values_whatever_is_decoded(stack: Served) -> None:
    for options in ({}, {"decode_cf": False}):
        array = xr.open_dataset(stack.url, engine="dicomzarr", **options)["image"]
        assert array.dtype == np.uint16
        assert not {"scale_factor", "add_offset", "_FillValue"} & (set(array.attrs) | set(array.encoding))
        assert np.array_equal(array[2], stack.slide.levels[0].pixels[2])


def test_a_tree_can_be_written_and_read_back(stack: Served, tmp_path: Any) -> None:
    dataset = xr.open_dataset(stack.url, engine="dicomzarr", group="1", chunks={})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's words on fixed-length text, not ours
        dataset.to_zarr(tmp_path / "copy.zarr")
        copy = xr.open_zarr(tmp_path / "copy.zarr")
    assert np.array_equal(copy["image"], stack.slide.levels[1].pixels)

from __future__ import annotations

import pickle
import tracemalloc
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import Served, serving
from slides import (
    TestSlide,
    brightfield_pyramid,
    fluorescence_focal_stack,
    sparse_brightfield,
    sparse_fluorescence,
    two_pyramids,
)
from slides_codecs import GRAY
from slides_instances import Identity, Level, sparse_instance
from slides_model import PHI
from slides_pixels import noisy_gray
from thoroughness import examples
from xarray.indexes import RangeIndex

import dicomzarr
from dicomzarr.arrays.xarray.axes import with_axes
from dicomzarr.errors import InvalidOptionError, SeriesNotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


def shown_in_notebook(tree: Any) -> str:
    return str(tree._repr_html_())


# --- opening ---


def test_the_engine_is_known(pyramid: Served) -> None:
    engine = xr.backends.list_engines()["dicomzarr"]
    assert engine.supports_groups
    assert engine.guess_can_open(pyramid.url)
    for spelling in (f"{pyramid.url}.zarr", f"{pyramid.url}/", pyramid.url.replace("dicomweb", "dicomwebs", 1)):
        assert engine.guess_can_open(spelling)
    assert engine.guess_can_open("https://host/dicom-web/studies/1.2/series/3.4")
    others: tuple[Any, ...] = ("/data/x.nc", "https://host/x.zarr", "https://host/studies/1.2", b"CDF", None, 3)
    assert not any(engine.guess_can_open(other) for other in others)


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
    for number in (0, 2):
        by_number = xr.open_dataset(pyramid.url, engine="dicomzarr", group=number)
        assert by_number.sizes == xr.open_dataset(pyramid.url, engine="dicomzarr", group=str(number)).sizes
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


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    "keyword",
    ["mask_and_scale", "decode_times", "decode_timedelta", "use_cftime", "concat_characters", "decode_coords"],
)
def test_keywords_for_encoded_values_change_nothing(pyramid: Served, keyword: str, *, value: bool) -> None:
    decoders: dict[str, Any] = {keyword: value}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # xarray's, of use_cftime
        warnings.simplefilter("ignore", FutureWarning)
        dataset = xr.open_dataset(pyramid.url, engine="dicomzarr", group="2", **decoders)
        tree = xr.open_datatree(pyramid.url, engine="dicomzarr", chunks={}, **decoders)
        groups = xr.open_groups(pyramid.url, engine="dicomzarr", **decoders)
    for found in (dataset, tree["2"].to_dataset(), groups["2"]):
        assert found["image"].dtype == np.uint8
        assert np.array_equal(found["image"], pixels_of(pyramid.slide, 2))


def test_a_misspelt_keyword_is_an_error(pyramid: Served) -> None:
    for opens in (xr.open_dataset, xr.open_datatree, xr.open_groups):
        with pytest.raises(TypeError, match="storage_option"):
            opens(pyramid.url, engine="dicomzarr", storage_option={})


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_tree_can_begin_at_a_group(pyramid: Served, chunks: Any) -> None:
    level = xr.open_datatree(pyramid.url, engine="dicomzarr", group="2", chunks=chunks)
    assert not level.children
    assert np.array_equal(level["image"], pixels_of(pyramid.slide, 2))
    beside = xr.open_datatree(pyramid.url, engine="dicomzarr", group="/associated/", chunks=chunks)
    assert set(beside.children) == {"overview", "thumbnail"}
    assert np.array_equal(beside["overview/0/image"], pyramid.slide.associated["overview"][:, 0])
    whole = xr.open_datatree(pyramid.url, engine="dicomzarr", group="/", chunks=chunks)
    assert list(whole.children) == ["0", "1", "2", "3", "associated"]
    assert set(xr.open_groups(pyramid.url, engine="dicomzarr", group="associated/overview")) == {"/", "0"}
    for wrong in ("7", "assoc", "associated/label"):
        with pytest.raises(UsageError, match="associated/overview/0"):
            xr.open_datatree(pyramid.url, engine="dicomzarr", group=wrong, chunks=chunks)


@pytest.mark.parametrize("chunks", [None, {}])
def test_the_source_is_a_url_without_a_password(pyramid: Served, chunks: Any) -> None:
    """xarray itself would note the URL as it was given."""
    url = pyramid.url.replace("://", "://reader:pa55-w0rd@")
    dataset = xr.open_dataset(url, engine="dicomzarr", group="1", chunks=chunks)
    tree = xr.open_datatree(url, engine="dicomzarr", chunks=chunks)
    branch = xr.open_datatree(url, engine="dicomzarr", group="associated", chunks=chunks)
    groups = xr.open_groups(url, engine="dicomzarr", chunks=chunks)
    image = dicomzarr.open(url).to_xarray()
    assert dataset.encoding["source"] == tree.encoding["source"] == branch.encoding["source"] == pyramid.url
    assert groups["associated/overview/0"].encoding["source"] == f"{pyramid.url}/associated/overview"
    datasets = [
        dataset,
        *groups.values(),
        *(node.to_dataset() for each in (tree, branch, image) for node in each.subtree),
    ]
    for each in datasets:
        said = [each.attrs, each.encoding, each, each._repr_html_()]
        said += [(variable.attrs, variable.encoding) for variable in each.variables.values()]
        assert "pa55-w0rd" not in repr(said)
        assert "reader" not in repr(said)
    for travelling in (dataset, tree, branch, groups, image):
        assert b"pa55-w0rd" not in pickle.dumps(travelling)


# --- laziness ---


def test_no_frame_is_asked_for_before_values() -> None:
    with serving(brightfield_pyramid()) as each:
        tree = xr.open_datatree(each.url, engine="dicomzarr")
        array = tree["0/image"]
        part = array.isel(y=slice(0, 10), x=slice(0, 10)).sel(c="R")
        assert repr(tree) + shown_in_notebook(tree) + repr(array)
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


def positions(size: int) -> st.SearchStrategy[Any]:
    places = st.integers(-size, size - 1)
    return st.one_of(
        places,
        st.slices(size),
        st.lists(places, min_size=1, max_size=6),
        hnp.arrays(np.bool_, size, elements=st.booleans()),
    )


@settings(max_examples=examples(40), deadline=None, database=None)
@given(data=st.data())
def test_any_indices_give_what_the_loaded_array_gives(stack: Served, data: st.DataObject) -> None:
    array = xr.open_dataset(stack.url, engine="dicomzarr", cache=False)["image"]
    loaded = array.copy(data=stack.slide.levels[0].pixels)
    sizes = {str(name): size for name, size in array.sizes.items()}
    index: dict[str, Any] = {
        name: data.draw(positions(size), label=name) for name, size in sizes.items() if data.draw(st.booleans())
    }
    pointed = data.draw(st.lists(st.sampled_from(sorted(sizes)), unique=True, max_size=3), label="points along")
    shape = data.draw(st.sampled_from([(3,), (2, 2)]))
    for name in pointed:
        places = data.draw(hnp.arrays(np.intp, shape, elements=st.integers(-sizes[name], sizes[name] - 1)), label=name)
        index[name] = xr.DataArray(places, dims=("p", "q")[: len(shape)])
    found, wanted = array.isel(index), loaded.isel(index)
    assert found.dims == wanted.dims
    assert found.identical(wanted)


@settings(max_examples=examples(30), deadline=None, database=None)
@given(data=st.data())
def test_two_indices_are_joined_to_one(stack: Served, data: st.DataObject) -> None:
    window: dict[Any, Any] = {"y": slice(8, 60, 3), "x": slice(90, 10, -2), "c": [2, 0, 1]}
    array = xr.open_dataset(stack.url, engine="dicomzarr", cache=False)["image"].isel(window)
    loaded = array.copy(data=stack.slide.levels[0].pixels[[2, 0, 1], :, 8:60:3, 90:10:-2])
    index: dict[Any, Any] = {name: data.draw(positions(size), label=str(name)) for name, size in array.sizes.items()}
    if data.draw(st.booleans()):
        index["x"] = xr.DataArray([3, 30, 3], dims="p")
        index["c"] = xr.DataArray([0, 2, 0], dims="p")
    assert array.isel(index).identical(loaded.isel(index))


def test_an_integer_beside_an_array_moves_no_axis(stack: Served) -> None:
    """NumPy would put the array's axis first; where shapes coincide, nobody would see."""
    array = xr.open_dataset(stack.url, engine="dicomzarr", cache=False)["image"]
    pixels = stack.slide.levels[0].pixels
    columns = np.sort(np.random.default_rng(0).permutation(100)[:70])
    assert np.array_equal(array.isel(c=0, z=1, x=columns), pixels[0, 1][:, columns])
    assert np.array_equal(array.isel(c=0, x=[1, 80, 5]), pixels[0][:, :, [1, 80, 5]])


@pytest.mark.parametrize("chunks", [None, {}])
def test_what_indexes_behind_the_scenes(stack: Served, chunks: Any) -> None:
    array = xr.open_dataset(stack.url, engine="dicomzarr", cache=False, chunks=chunks)["image"]
    loaded = array.copy(data=stack.slide.levels[0].pixels)
    uses: list[Callable[[xr.DataArray], xr.DataArray]] = [
        lambda each: each.sel(c="Nuclei").where((each.x > 20) & (each.y < 15), drop=True),
        lambda each: each.sel(c="Membrane", z=0).where(each.x > 20, drop=True),
        lambda each: each.isel(c=0).groupby_bins("x", 3).mean(),
        lambda each: each.sel(c="Nuclei", x=each.x % 7 < 1),
        lambda each: each.isel(z=0).sel(x=xr.DataArray([2.2, 40.0], dims="p"), y=[0, 3.1], method="nearest"),
        lambda each: each.isel(c=1).coarsen(y=7, x=10).mean(),
        lambda each: each.isel(z=0).roll(x=3).isel(x=[0, -1], c=2),
        lambda each: each.sortby("x", ascending=False).isel(c=0, y=[3, 1]),
    ]
    for do in uses:
        found, wanted = do(array), do(loaded)
        xr.testing.assert_allclose(found, wanted)
        assert found.dims == wanted.dims


def test_scattered_points_cost_their_frames_alone() -> None:
    with serving(brightfield_pyramid()) as each:
        array = xr.open_dataset(each.url, engine="dicomzarr")["image"]
        diagonal = xr.DataArray([5, 70, 130], dims="point")
        found = array.isel(y=diagonal, x=diagonal)
        pixels = pixels_of(each.slide, 0)
        assert np.array_equal(found, pixels[:, diagonal, diagonal])
        assert sorted(each.frames_asked()) == [1, 7, 13]  # of 5 columns of tiles


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
        assert dataset["c"].to_numpy().tolist() == ["R", "G", "B"]


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


def test_planes_lie_where_they_were_focused() -> None:
    """0, 1 and 5 um: no step describes them."""
    level = Level(noisy_gray(3, (1, 3, 40, 50), 8), (32, 32), codec=GRAY, z=(0.002, 0.003, 0.007))
    instance = sparse_instance(Identity("uneven planes", 1), level, level.tiles())
    with serving(TestSlide("uneven planes", (instance,), ())) as each:
        dataset = xr.open_dataset(each.url, engine="dicomzarr")
        assert dataset["z"].values.tolist() == [0, 1, 5]
        assert dataset["z"].attrs == {"units": "micrometer"}
        for plane, place in enumerate((0, 1, 5)):
            assert np.array_equal(dataset["image"].sel(z=place), level.pixels[0, plane])


def test_planes_may_descend(stack: Served) -> None:
    image = dicomzarr.open(stack.url)
    image.__dict__["plan"] = replace(image.plan, attributes=replace(image.plan.attributes, z_offsets=(0.004, 0.001)))
    assert np.array_equal(image.to_xarray()["1/z"], [0, -3])


def test_coordinates_of_long_axes_are_computed_where_asked_for(stack: Served) -> None:
    wanted = xr.open_dataset(stack.url, engine="dicomzarr", group="1")
    image = dicomzarr.open(stack.url)
    dataset = with_axes(wanted.drop_vars(list(wanted.coords)), image, image.levels[1], most_centres=40)
    assert isinstance(dataset.xindexes["x"], RangeIndex)
    assert not isinstance(dataset.xindexes["y"], RangeIndex)
    np.testing.assert_allclose(dataset["x"], wanted["x"], rtol=1e-12)
    assert dataset["x"].attrs == wanted["x"].attrs
    assert np.array_equal(dataset["image"].isel(x=[3, 1], c=0), stack.slide.levels[1].pixels[0][:, :, [3, 1]])
    place = dataset["image"].sel(x=xr.DataArray([20.2], dims="p"), method="nearest").sel(c="Nuclei", z=0)
    assert np.array_equal(place, wanted["image"].sel(x=[20.2], method="nearest").sel(c="Nuclei", z=0))


def test_an_absurd_level_opens_in_no_memory() -> None:
    slide = sparse_brightfield()
    (dataset,) = datasets = slide.datasets[:1]
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 2**25
    with serving(replace(slide, datasets=datasets)) as each:
        tracemalloc.start()
        try:
            opened = xr.open_dataset(each.url, engine="dicomzarr")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2e7
        assert opened.sizes == {"c": 3, "y": 2**25, "x": 2**25}
        assert "RangeIndex" in repr(opened.xindexes)
        far = opened["image"].isel(y=slice(-5, None), x=[2**25 - 1, 0])
        assert (far[..., 0] == 255).all()


def test_affine_leads_from_coordinates_to_the_slide(pyramid: Served) -> None:
    dataset = xr.open_dataset(pyramid.url, engine="dicomzarr", group="3")
    assert np.array_equal(dataset.attrs["affine"], np.asarray(dicomzarr.open(pyramid.url).affine))


def test_nobody_is_identified(pyramid: Served) -> None:
    tree = xr.open_datatree(pyramid.url, engine="dicomzarr")
    shown = repr(tree) + shown_in_notebook(tree) + repr(tree.to_dict()) + repr([node.attrs for node in tree.subtree])
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
    for decode in (True, False):
        array = xr.open_dataset(stack.url, engine="dicomzarr", decode_cf=decode)["image"]
        assert array.dtype == np.uint16
        assert not {"scale_factor", "add_offset", "_FillValue"} & (set(array.attrs) | set(array.encoding))
        assert np.array_equal(array[2], stack.slide.levels[0].pixels[2])


@pytest.mark.parametrize("chunks", [None, {}])
def test_an_absent_tile_measures_nothing(chunks: Any) -> None:
    slide = sparse_fluorescence()
    for dataset in slide.datasets:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "-1000"
    (level,) = slide.images[0].levels
    expected = np.where(level.has_pixels(), level.pixels * 0.5 - 1000, np.nan)
    stored = np.where(level.has_pixels(), level.pixels, 0)
    with serving(slide) as served:
        found = xr.open_dataset(served.url, engine="dicomzarr", chunks=chunks)["image"]
        assert found.dtype == np.float32
        for index in (
            np.s_[:],
            np.s_[0, 0],
            np.s_[1, :, 20:50:3, ::-1],
            np.s_[:, 1, [40, 3, 3], 5],
            np.s_[0, 0, 0:0],
            np.s_[..., -1],
            np.s_[:, [1, 0], 17],
        ):
            assert np.array_equal(found[index].to_numpy(), orthogonal(expected, index), equal_nan=True)
        y, x, c = ([0, 49, 20], [0, 69, 40], [0, 1, 1])
        points = {name: xr.DataArray(places, dims="points") for name, places in zip("yxc", (y, x, c), strict=True)}
        assert np.array_equal(found.isel(points).transpose("points", "z"), expected[c, :, y, x], equal_nan=True)
        as_stored = xr.open_dataset(served.url, engine="dicomzarr", chunks=chunks, mask_and_scale=False)["image"]
        assert np.array_equal(as_stored, stored)
        assert np.array_equal(pickle.loads(pickle.dumps(found))[0], expected[0], equal_nan=True)  # noqa: S301  # ours


def orthogonal(array: Any, index: Any) -> Any:
    """Each axis on its own, as xarray indexes."""
    return xr.DataArray(array)[index].to_numpy()


def test_a_tree_can_be_written_and_read_back(stack: Served, tmp_path: Any) -> None:
    dataset = xr.open_dataset(stack.url, engine="dicomzarr", group="1", chunks={})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's words on fixed-length text, not ours
        dataset.to_zarr(tmp_path / "copy.zarr")
        copy = xr.open_zarr(tmp_path / "copy.zarr")
    assert np.array_equal(copy["image"], stack.slide.levels[1].pixels)

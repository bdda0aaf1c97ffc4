"""Volumes as xarray sees them: places in the patient, what varies from frame to frame, what stored values measure."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_multiframe as multiframe
import radiology_nuclear as nuclear
import radiology_volumes as volumes
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from radiology import BUILDERS, COLOR, SLICES
from radiology_model import AXIAL, FLIPPED, GRIDS, OBLIQUE, SAGITTAL, TILTED, decimal, distinct, series_of
from radiology_opened import Opener
from radiology_oracles import rescaled_by_pydicom, stored_by_pydicom
from radiology_slices import Identity
from radiology_volumes import VOLUME, volume
from real_data import real_series
from scans import classic, shots
from serving import forget_servers
from slides_model import PHI
from thoroughness import examples

import dicomzarr
from dicomzarr.arrays.xarray.grid import NAMES, PatientTransform
from dicomzarr.arrays.xarray.patient import PatientIndex
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import UsageError
from dicomzarr.plan.attributes import FrameCoordinate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from radiology_model import Grid, Pixels, RadiologySeries

SIXTEEN = distinct((5, 16, 20), bits=16)
"""(z, y, x)."""
SLOPES = [0.5, 1.25, 2.0, 4.75, 0.0078125]
INTERCEPTS = [0.0, 10.0, -3.5, 7.0, 1000.0]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def dataset_of(opened: Opener, series: RadiologySeries, **keywords: Any) -> xr.Dataset:
    """The level of a series of one image."""
    return xr.open_dataset(opened.url(series), engine="dicomzarr", **keywords)


def pet() -> RadiologySeries:
    """Five slices, each with a slope and an intercept of its own."""
    return volumes.pet(SIXTEEN, SLOPES, INTERCEPTS)


KINDS: dict[str, Callable[[], RadiologySeries]] = {
    "axial": volume,
    "oblique": lambda: volume(OBLIQUE),
    "pet": pet,
    "uneven": lambda: volumes.uneven(UNEVEN, VOLUME),
    "diffusion": lambda: dimensions.repeated(distinct((4, 2, 16, 20)), dimensions.RAGGED),
    "times": lambda: dimensions.repeated(dimensions.TWICE, dimensions.along("TriggerTime", ["20", "100"])),
}


def in_order(series: RadiologySeries) -> list[Any]:
    """The datasets of an axial series, from the feet on."""
    return sorted(series.datasets, key=lambda dataset: dataset.ImagePositionPatient[2])


def measured(series: RadiologySeries) -> Pixels:
    """stored * slope + intercept of each slice, (z, y, x), with 64 bits of floating point."""
    return np.stack(
        [
            stored_by_pydicom(dataset).astype(np.float64) * float(dataset.RescaleSlope)
            + float(dataset.RescaleIntercept)
            for dataset in in_order(series)
        ]
    )


# --- places along the axes of the patient


def centres(grid: Grid, shape: tuple[int, ...]) -> dict[str, tuple[str, Pixels]]:
    """(LPS name, values) along z, y and x, for a grid along the axes of the patient."""
    found = {}
    for name, size, column in zip("zyx", shape, (2, 1, 0), strict=True):
        axis = int(np.argmax(abs(grid.affine[:3, column])))
        found[name] = (f"LPS {'xyz'[axis]}", grid.affine[axis, 3] + np.arange(size) * grid.affine[axis, column])
    return found


def test_a_tree_is_named_after_its_image_also_by_units_with_a_slash(opened: Opener) -> None:
    pixels = distinct((6, 3, 16, 20))
    image = opened(multiframe.velocities(pixels, [50.0, 150.0], [5.0, 10.0, 15.0]))
    assert [each.name for each in image.images] == [f"MR {n} of 2: velocity limit {n * 100 - 50} cm/s" for n in (1, 2)]
    for number, each in enumerate(image.images):
        tree = each.to_xarray()
        assert tree.name == each.name.replace("/", " per ")
        assert np.array_equal(tree["0/image"], pixels[3 * number :][:3])


def raveled(dataset: xr.Dataset) -> xr.Dataset:
    """As the documentation says that netCDF takes it."""
    return dataset.assign_attrs({name: value.ravel() for name, value in dataset.attrs.items() if "affine" in name})


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_netcdf_takes_all_attributes_once_affines_are_laid_out(
    opened: Opener, build: Callable[[], RadiologySeries]
) -> None:
    for node in opened(build()).to_xarray().children.values():
        dataset = raveled(node.to_dataset())
        for holder in (dataset, *dataset.variables.values()):
            for value in holder.attrs.values():
                assert isinstance(value, str | int | float | np.number) or np.ndim(value) == 1


@pytest.mark.filterwarnings("ignore:saving variable image:xarray.SerializationWarning")
@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE])
def test_a_netcdf_file_holds_the_values_and_the_affine(opened: Opener, grid: Grid, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    dataset = dataset_of(opened, volume(grid))
    raveled(dataset).to_netcdf(tmp_path / "volume.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "volume.nc", engine="scipy") as found:
        assert np.array_equal(found["image"], dataset["image"])
        assert np.array_equal(found.attrs["affine"].reshape(4, 4), dataset.attrs["affine"])


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "oblique"])
def test_coordinates_are_places_in_the_patient(opened: Opener, name: str) -> None:
    dataset = dataset_of(opened, volume(GRIDS[name]), mask_and_scale=False)
    for axis, (named, values) in centres(GRIDS[name], VOLUME.shape).items():
        np.testing.assert_allclose(dataset[axis], values, rtol=0, atol=1e-6)
        assert dataset[axis].attrs == {"units": "millimeter", "long_name": named}
    np.testing.assert_allclose(dataset.attrs["affine"], GRIDS[name].affine, atol=1e-6)
    assert not {"lps_x", "lps_y", "lps_z"} & set(dataset.coords)


def test_a_place_is_found_whichever_way_the_axes_run(opened: Opener) -> None:
    for grid in (AXIAL, SAGITTAL, FLIPPED):
        array = dataset_of(opened, volume(grid), mask_and_scale=False)["image"]
        place = {axis: values[2] + 0.1 for axis, (_, values) in centres(grid, VOLUME.shape).items()}
        assert array.sel(place, method="nearest").item() == VOLUME[2, 2, 2]
    descending = array.sel(z=slice(40, 34), x=slice(-100, -102))  # FLIPPED
    assert np.array_equal(descending, VOLUME[1:3, :, :3])


def test_the_same_tree_comes_from_an_image(opened: Opener) -> None:
    image = opened(volume(SAGITTAL))
    tree = image.to_xarray()
    xr.testing.assert_identical(tree["0"].to_dataset(), xr.open_dataset(image.url, engine="dicomzarr").load())


def test_a_single_slice_says_where_it_lies(opened: Opener) -> None:
    dataset = dataset_of(opened, volume(SAGITTAL, VOLUME[:1]))
    assert dataset["image"].dims == ("y", "x")
    assert dataset["z"].item() == SAGITTAL.origin[0]
    assert dataset["z"].attrs == {"units": "millimeter", "long_name": "LPS x"}
    np.testing.assert_allclose(dataset["y"], centres(SAGITTAL, (1, 16, 20))["y"][1])


def test_slices_of_several_series_make_a_volume(opened: Opener) -> None:
    slices = [
        dataset_of(opened, volume(AXIAL.starting_at(number), VOLUME[number : number + 1]), mask_and_scale=False)
        for number in range(3)
    ]
    stacked = xr.concat([each.drop_attrs() for each in slices], "z")
    whole = dataset_of(opened, volume(AXIAL, VOLUME[:3]), mask_and_scale=False)
    np.testing.assert_allclose(stacked["z"], whole["z"])
    assert np.array_equal(stacked["image"], whole["image"])


UNEVEN = [0, 2.5, 4, 9, 10]


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "oblique"])
def test_uneven_slices_lie_where_they_are(opened: Opener, name: str) -> None:
    grid = GRIDS[name].along_normal(1.0)
    dataset = dataset_of(opened, volumes.uneven(UNEVEN, VOLUME, grid))
    assert "affine" not in dataset.attrs
    np.testing.assert_allclose(dataset.attrs["plane_affine"], grid.affine, rtol=0, atol=1e-6)
    even = centres(grid, (11, 16, 20))
    for axis in "zyx":
        named, values = even[axis]
        expected = np.interp(UNEVEN, np.arange(11), values) if axis == "z" else values
        np.testing.assert_allclose(dataset[axis], expected, rtol=0, atol=1e-6)
        assert dataset[axis].attrs == {"units": "millimeter", "long_name": named}
    place = float(even["z"][1][9])
    assert np.array_equal(dataset["image"].sel(z=place, method="nearest"), VOLUME[3].astype(np.float32) - 1024)


def test_uneven_oblique_slices_lie_where_they_are(opened: Opener) -> None:
    grid = OBLIQUE.along_normal(1.0)
    series = volumes.uneven(UNEVEN, VOLUME, grid)
    dataset = dataset_of(opened, series)
    np.testing.assert_allclose(dataset["z"], np.dot(grid.origin, grid.normal) + np.array(UNEVEN), rtol=0, atol=1e-6)
    np.testing.assert_allclose(dataset["x"], 0.6 * np.arange(20))
    places = np.stack([dataset[f"lps_{name}"].to_numpy() for name in "xyz"], axis=-1)
    for number, distance in enumerate(UNEVEN):
        for row, column in ((0, 0), (15, 0), (3, 19)):
            expected = grid.affine @ [column, row, distance, 1]
            np.testing.assert_allclose(places[number, row, column], expected[:3], rtol=0, atol=1e-6)
    x, y, z = (grid.affine @ [7, 5, 8.9, 1])[:3]
    found = dataset["image"].sel(lps_x=x, lps_y=y, lps_z=z, method="nearest")
    assert found.item() == VOLUME[3, 5, 7] - 1024.0
    cut = dataset.isel(z=slice(2, None))
    np.testing.assert_allclose(cut["lps_z"][1, 0, 0], places[3, 0, 0, 2])


def test_a_list_has_no_places_but_those_of_its_frames(opened: Opener) -> None:
    series = volume()
    for dataset in series.datasets:
        dataset.InstanceNumber = 1
        dataset.ImagePositionPatient = series.datasets[0].ImagePositionPatient
    dataset = dataset_of(opened, series)
    assert dataset["image"].dims == ("t", "y", "x")
    assert "units" not in dataset["t"].attrs
    np.testing.assert_allclose(dataset["position"], [series.datasets[0].ImagePositionPatient] * 5)
    assert dataset["position"].attrs == {"units": "mm"}
    np.testing.assert_allclose(dataset["y"], np.arange(16))
    assert not {"affine", "plane_affine", "lps_x"} & {*dataset.attrs, *dataset.coords}


def test_nothing_is_invented_where_nothing_is_known(opened: Opener) -> None:
    dataset = dataset_of(opened, volumes.secondary_capture(COLOR))
    assert dataset["y"].to_numpy().tolist() == list(range(16))
    assert dataset["y"].attrs == dataset["x"].attrs == dataset.attrs == {}
    assert list(dataset["c"].values) == ["R", "G", "B"]


# --- oblique and sheared volumes


def everywhere(grid: Grid, shape: tuple[int, ...]) -> Pixels:
    """(3, z, y, x): LPS of all voxels."""
    z, y, x = np.indices(shape)
    places: Pixels = np.einsum("ij,jzyx->izyx", grid.affine[:3], np.stack([x, y, z, np.ones_like(x)]))
    return places


@pytest.mark.parametrize("grid", [OBLIQUE, TILTED], ids=["oblique", "sheared"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_oblique_voxels_have_three_coordinates(opened: Opener, grid: Grid, chunks: Any) -> None:
    dataset = dataset_of(opened, volume(grid), chunks=chunks)
    for name, values in zip(NAMES, everywhere(grid, VOLUME.shape), strict=True):
        assert dataset[name].dims == ("z", "y", "x")
        assert dataset[name].attrs == {"units": "millimeter"}
        np.testing.assert_allclose(dataset[name], values, rtol=0, atol=1e-6)
        assert dataset["image"][name].isel(z=3, y=slice(9, 2, -3)).values == pytest.approx(values[3, 9:2:-3], abs=1e-6)
    for name, step in (("z", grid.z_spacing), ("y", grid.spacing[0]), ("x", grid.spacing[1])):
        np.testing.assert_allclose(dataset[name], step * np.arange(dataset.sizes[name]), rtol=1e-6)
        assert dataset[name].attrs == {"units": "millimeter"}
    np.testing.assert_allclose(dataset.attrs["affine"], grid.affine, atol=1e-6)


def test_points_of_the_patient_find_their_voxels(opened: Opener) -> None:
    dataset = dataset_of(opened, volume(OBLIQUE), mask_and_scale=False)
    voxels = np.random.default_rng(1).integers(0, VOLUME.shape, (40, 3))
    lps = everywhere(OBLIQUE, VOLUME.shape)[:, voxels[:, 0], voxels[:, 1], voxels[:, 2]] + 0.2
    found = dataset["image"].sel(
        {name: xr.DataArray(lps[place], dims="point") for place, name in enumerate(NAMES)}, method="nearest"
    )
    assert found.dims == ("point",)
    assert np.array_equal(found, VOLUME[tuple(voxels.T)])
    one = dataset["image"].sel(dict(zip(NAMES, lps[:, 7], strict=True)), method="nearest")
    assert one.item() == VOLUME[tuple(voxels[7])]
    assert one["lps_x"].item() == pytest.approx(lps[0, 7] - 0.2)
    cut = dataset["image"].isel(z=slice(None, None, -1), y=slice(1, None, 2), x=[2, 5, 8, 11])
    there = {name: values.isel(z=1, y=3, x=2) for name, values in cut.coords.items() if name in NAMES}
    assert cut.sel(there, method="nearest").item() == VOLUME[3, 7, 8]


def test_points_outside_are_an_error_and_not_the_other_end(opened: Opener) -> None:
    array = dataset_of(opened, volume(OBLIQUE))["image"]
    points = zip(NAMES, OBLIQUE.position(-2), OBLIQUE.origin, strict=True)
    two = {name: xr.DataArray([out, inside], dims="p") for name, out, inside in points}
    with pytest.raises(KeyError, match="1 of 2 points lie outside of the image along z"):
        array.sel(two, method="nearest")
    with pytest.raises(KeyError, match="outside"):
        array.sel(lps_x=0, lps_y=0, lps_z=1e6, method="nearest")


@pytest.mark.parametrize("place", [slice(0, 10), "left", [1, "a"], {}])
def test_what_is_no_place_in_the_patient_is_said(opened: Opener, place: Any) -> None:
    array = dataset_of(opened, volume(OBLIQUE))["image"]
    for name in NAMES:
        with pytest.raises(UsageError, match=f"{name}=.* was given for places"):
            array.sel({**dict.fromkeys(NAMES, 0.0), name: place}, method="nearest")


def test_oblique_slices_and_pictures_with_more_axes(opened: Opener) -> None:
    single = dataset_of(opened, volume(OBLIQUE, VOLUME[:1]))
    assert single["lps_z"].dims == ("y", "x")
    np.testing.assert_allclose(single["lps_z"], everywhere(OBLIQUE, (1, 16, 20))[2, 0], atol=1e-6)
    near = {name: single[name][3, 4].item() + 0.1 for name in NAMES}
    assert single["image"].sel(near, method="nearest").item() == float(VOLUME[0, 3, 4]) - 1024
    echoes = dataset_of(opened, multiframe.echoes())
    assert echoes["image"].dims == ("c", "z", "y", "x")
    assert echoes["lps_x"].dims == ("z", "y", "x")


def test_oblique_coordinates_are_never_held_in_memory(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(opened, volume(OBLIQUE))
    computed: list[int] = []
    forward = PatientTransform.forward

    def counted(self: PatientTransform, dim_positions: dict[str, Any]) -> Any:
        computed.append(np.broadcast(*dim_positions.values()).size)
        return forward(self, dim_positions)

    monkeypatch.setattr(PatientTransform, "forward", counted)
    array = dataset["image"]
    uses: list[Callable[[], Any]] = [
        lambda: array.compute().mean().item(),
        lambda: dataset.copy().load(),
        lambda: dataset.chunk({"y": 4}).compute(),
        lambda: array.isel(z=slice(1, 4), y=slice(None, None, -2), x=3).load(),
        lambda: array.isel(x=[3, 5, 7]).load(),
        lambda: array.sel(z=slice(3, 9)).load() * 2,
        lambda: array.where(array["z"] > 4, drop=True).load(),
        lambda: pickle.loads(pickle.dumps(dataset.isel(z=slice(2)))),  # noqa: S301  # our own
        lambda: xr.DataTree.from_dict({"/0": dataset}),
        lambda: array.transpose("x", "y", "z").load(),
        lambda: repr(dataset) + dataset._repr_html_(),
    ]
    for use in uses:
        use()
        assert max(computed, default=0) < 250, use  # a repr shows a few values
    assert dataset["lps_x"].sum().item()
    assert max(computed) == VOLUME.size


def test_cuts_keep_their_places(opened: Opener) -> None:
    dataset = dataset_of(opened, volume(OBLIQUE))
    whole = everywhere(OBLIQUE, VOLUME.shape)
    cuts: list[Any] = [
        np.s_[1:4, ::-2, 3],
        np.s_[:, [1, 4, 7], 5:5],
        np.s_[:, [1, 4, 5], 0],
        np.s_[[2], np.arange(16) % 4 == 1, -1],
        np.s_[[3, 3], 0, 0],
        np.s_[3, 2, 1],
        np.s_[xr.DataArray([3, 1], dims="z"), 0, [2, 1]],
        np.s_[xr.DataArray([3, 1], dims="slice"), xr.DataArray(2), 4],
        np.s_[:, [], 4],
    ]
    for cut in cuts:
        part = dataset["image"][cut]
        assert ("lps_x" in part.xindexes) == (part.ndim == 3)
        for name, values in zip(NAMES, whole, strict=True):
            np.testing.assert_allclose(part[name], values[cut[0]][..., cut[1], :][..., cut[2]], atol=1e-6)
            assert part[name].attrs == {"units": "millimeter"}


def test_axes_may_be_turned(opened: Opener) -> None:
    array = dataset_of(opened, volume(OBLIQUE), mask_and_scale=False)["image"]
    turned = array.transpose("x", ..., "z").isel(y=slice(3, 9), z=[1, 4])
    xr.testing.assert_identical(turned, array.isel(y=slice(3, 9), z=[1, 4]).transpose("x", "y", "z").load())
    assert turned["lps_x"].shape == (20, 6, 2)
    points = xr.DataArray(everywhere(OBLIQUE, VOLUME.shape)[:, 4, 5, 6], dims="lps")
    found = turned.sel({name: points[place] for place, name in enumerate(NAMES)}, method="nearest")
    assert found.item() == VOLUME[4, 5, 6]


def test_parts_of_an_oblique_volume_go_together(opened: Opener) -> None:
    array = dataset_of(opened, volume(OBLIQUE), mask_and_scale=False)["image"].load()
    lower, upper = array.isel(z=slice(3)), array.isel(z=slice(2, None))
    assert np.array_equal(upper - lower, np.zeros((1, 16, 20)))
    xr.testing.assert_identical((upper - lower)["lps_y"], array.isel(z=[2])["lps_y"])
    both = xr.align(lower, upper, join="outer")
    assert all(np.array_equal(each["lps_z"], array["lps_z"]) for each in both)
    again = xr.concat([array.isel(z=[0, 1]), array.isel(z=[2, 3, 4])], "z", coords="different", compat="equals")
    xr.testing.assert_identical(again, array)
    assert "lps_x" in again.xindexes
    assert np.array_equal(array - array.isel(z=0, drop=True), VOLUME - VOLUME[0])
    apart = xr.concat([array.isel(z=0), array.isel(z=1)], "z", coords="different", compat="equals")
    np.testing.assert_allclose(apart["lps_y"], array.isel(z=[0, 1])["lps_y"])


def test_oblique_volumes_on_one_grid_go_together(opened: Opener) -> None:
    one, same = (dataset_of(opened, volume(OBLIQUE), mask_and_scale=False)["image"].load() for _ in range(2))
    assert np.array_equal(one + same, 2 * VOLUME)
    assert "lps_x" in (one + same).coords
    other = dataset_of(opened, volume(OBLIQUE.starting_at(1)), mask_and_scale=False)["image"]
    with pytest.raises(NotImplementedError, match="alignment"):
        _ = one + other
    assert np.array_equal(one.drop_vars(NAMES) + other.drop_vars(NAMES), 2 * VOLUME)
    renamed = one.rename({"x": "column", "lps_x": "left"})
    assert isinstance(renamed.xindexes["left"], PatientIndex)
    np.testing.assert_allclose(renamed.isel(column=slice(3, 5))["left"], one["lps_x"][:, :, 3:5])


# --- what varies from frame to frame


def test_what_counts_channels_is_a_coordinate(opened: Opener) -> None:
    dataset = dataset_of(opened, dimensions.repeated(dimensions.TWICE, dimensions.ECHOES))
    assert dataset["echo_time"].dims == ("c",)
    assert dataset["echo_time"].to_numpy().tolist() == [5.0, 12.5]
    assert dataset["echo_time"].attrs == {"units": "ms"}
    assert "echo_time" not in dataset.xindexes
    assert "echo_time" in dataset["image"].coords
    assert dataset["c"].to_numpy().tolist() == ["echo_time 5 ms", "echo_time 12.5 ms"]
    late = dataset["image"].swap_dims(c="echo_time").sel(echo_time=12.5)
    assert np.array_equal(late, dimensions.TWICE[0])


def test_directions_have_an_axis_of_their_own(opened: Opener) -> None:
    dataset = dataset_of(opened, BUILDERS["diffusion"]())
    assert dataset["gradient_direction"].dims == ("c", "gradient_axis")
    np.testing.assert_array_equal(dataset["gradient_direction"], [[np.nan] * 3, *dimensions.DIRECTIONS])
    assert dataset["gradient_axis"].to_numpy().tolist() == ["x", "y", "z"]
    assert dataset["b_value"].to_numpy().tolist() == [0, 1000, 1000, 1000]
    assert dataset["b_value"].attrs == {"units": "s/mm2"}
    assert set(dataset["image"].dims) == {"c", "z", "y", "x"}


def test_texts_are_coordinates_too(opened: Opener) -> None:
    dataset = dataset_of(opened, BUILDERS["components"]())
    assert dataset["component"].to_numpy().tolist() == ["magnitude", "phase"]
    assert dataset["component"].attrs == {}


def test_times_that_differ_from_slice_to_slice_are_along_both(opened: Opener) -> None:
    dataset = dataset_of(opened, dimensions.times_by_slice(distinct((4, 3, 16, 20))))
    assert dataset["acquisition_time"].dims == ("t", "z")
    assert dataset["acquisition_time"].to_numpy().tolist() == (np.arange(12.0).reshape(4, 3)).tolist()
    assert dataset["acquisition_time"].attrs == {"units": "s"}
    assert dataset["acquisition_number"].to_numpy().tolist() == [1, 2, 3, 4]
    assert dataset["t"].to_numpy().tolist() == [0, 1, 2, 3]  # numbers count it, and no time
    assert dataset["t"].attrs == {}


def test_what_some_frames_lack_is_nan(opened: Opener) -> None:
    datasets = dimensions.instances(dimensions.TWICE, dimensions.ECHOES, Identity("lacking", "MR"))
    for number, dataset in enumerate(datasets):
        if number % 3 == 1:
            dataset.FlipAngle = "20"
    found = dataset_of(opened, series_of(datasets))["flip_angle"]
    assert found.dims == ("z",)
    np.testing.assert_array_equal(found, [np.nan, 20, np.nan])


def test_colours_share_what_is_said_of_their_frame(opened: Opener) -> None:
    image = opened(nuclear.evenly_timed(distinct((3, 8, 10, 3), bits=8), kind="US cine", bits=8))
    told = {
        "echo_time": FrameCoordinate("c", [5.0], "ms"),
        "phase": FrameCoordinate("tc", [[1.0], [2.0], [3.0]]),
    }
    image.__dict__["plan"] = replace(image.plan, attributes=replace(image.plan.attributes, coordinates=told))
    dataset = image.to_xarray()["0"]
    assert dataset["echo_time"].dims == ()
    assert dataset["phase"].dims == ("t",)
    told["echo_time"] = FrameCoordinate("c", [5.0, 6.0], "ms")
    halves = replace(image.plan.levels[0], shape=(3, 6, 8, 10))
    image.__dict__["plan"] = replace(image.plan, levels=(halves,), channels=image.plan.channels * 2)
    dataset = image.to_xarray()["0"]
    assert dataset["echo_time"].to_numpy().tolist() == [5, 5, 5, 6, 6, 6]


@pytest.mark.parametrize(
    ("build", "values", "unit"),
    [
        (nuclear.evenly_timed, [0, 33.33, 66.66, 99.99], "millisecond"),
        (lambda: nuclear.unevenly_timed(nuclear.CINE, [0, 40, 50, 30]), [0, 40, 90, 120], "millisecond"),
        (
            lambda: dimensions.repeated(dimensions.TWICE, dimensions.along("TriggerTime", ["20", "100"])),
            [20, 100],
            "millisecond",
        ),
        (BUILDERS["gated_tomo"], [0, 1, 2], None),
        (BUILDERS["enhanced_without_groups"], [0, 1, 2, 3], None),
    ],
    ids=["FrameTime", "FrameTimeVector", "TriggerTime", "numbered", "unknown"],
)
def test_t_is_the_time_that_counts_it(
    opened: Opener, build: Callable[[], RadiologySeries], values: list[float], unit: str | None
) -> None:
    dataset = dataset_of(opened, build())
    np.testing.assert_allclose(dataset["t"], values)
    assert dataset["t"].attrs == ({} if unit is None else {"units": unit})


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("name", ["cine", "cine_vector", "time_and_echo", "bolus"])
def test_times_stay_numbers_with_a_unit(opened: Opener, tmp_path: Path, name: str, *, decode: bool) -> None:
    dataset = dataset_of(opened, BUILDERS[name](), decode_times=decode, decode_timedelta=decode)
    decoded = xr.decode_cf(dataset, decode_times=decode, decode_timedelta=decode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's words on fixed-length text, not ours
        dataset.to_zarr(tmp_path / "copy.zarr")
        copied = xr.open_zarr(tmp_path / "copy.zarr", decode_times=decode, decode_timedelta=decode)
    for found in (dataset, decoded, copied):
        units = {str(key): each.attrs["units"] for key, each in found.coords.items() if "units" in each.attrs}
        times = {key for key, unit in units.items() if unit in {"s", "ms", "second", "millisecond"}}
        assert times
        assert all(found[key].dtype == np.float64 for key in times)


# --- one slope for all


@pytest.mark.parametrize("chunks", [None, {}])
def test_values_are_decoded_as_xarray_does(opened: Opener, chunks: Any) -> None:
    series = volume(pixels=distinct((5, 16, 20), signed=True))
    array = dataset_of(opened, series, chunks=chunks)["image"]
    assert array.dtype == np.float32
    assert np.array_equal(array, distinct((5, 16, 20), signed=True).astype(np.float32) - 1024)
    assert array.attrs == {"units": "HU"}
    assert array.encoding["scale_factor"] == 1
    assert array.encoding["preferred_chunks"] == {"z": 1, "y": 16, "x": 20}
    assert np.array_equal(array.isel(z=[4, 0], y=slice(None, None, -3))[..., 5], array.values[[4, 0], ::-3, 5])


@pytest.mark.parametrize("keywords", [{"mask_and_scale": False}, {"decode_cf": False}])
def test_stored_values_come_with_what_decodes_them(opened: Opener, keywords: Any) -> None:
    dataset = dataset_of(opened, volume(RescaleSlope="0.5"), **keywords)
    array = dataset["image"]
    assert array.dtype == np.uint16
    assert np.array_equal(array, VOLUME)
    assert array.attrs == {"scale_factor": np.float32(0.5), "add_offset": np.float32(-1024)}
    assert isinstance(array.attrs["scale_factor"], np.float32)
    decoded = xr.decode_cf(dataset)["image"]
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, VOLUME * np.float32(0.5) - 1024)


def test_keywords_may_name_the_variable(opened: Opener) -> None:
    url = opened.url(volume())
    for told, dtype in (({"image": False}, np.uint16), ({"image": True}, np.float32), ({}, np.float32)):
        assert xr.open_dataset(url, engine="dicomzarr", mask_and_scale=told)["image"].dtype == dtype
    tree = xr.open_datatree(url, engine="dicomzarr", mask_and_scale=False)
    assert tree["0/image"].dtype == np.uint16


@pytest.mark.parametrize(
    ("slope", "intercept", "pixels", "dtype"),
    [
        ("0.1", "0", VOLUME, np.float64),
        ("1", "0.3", VOLUME, np.float64),
        ("0.125", "-3.5", VOLUME, np.float32),
        ("100000", "1", VOLUME, np.float64),  # whole numbers beyond those of 32 bits
        ("1", "-1024", distinct((5, 16, 20), bits=8), np.float32),
        ("1", "-1024", distinct((5, 16, 20), bits=32), np.float64),
    ],
)
def test_factors_have_32_bits_where_that_is_exact(
    opened: Opener, slope: str, intercept: str, pixels: Pixels, dtype: type[np.floating[Any]]
) -> None:
    bits = {1: 8, 2: 12, 4: 32}[pixels.itemsize]
    series = volume(pixels=pixels, bits=bits, RescaleSlope=slope, RescaleIntercept=intercept)
    image = opened(series)
    array = image.to_xarray()["0/image"]
    assert array.dtype == dtype
    assert array.encoding["scale_factor"].dtype == array.encoding["add_offset"].dtype == dtype
    expected = pixels.astype(np.float64) * float(slope) + float(intercept)
    np.testing.assert_allclose(array, expected, rtol=1e-15 if dtype == np.float64 else 1e-6)


def test_slices_of_more_bits_than_the_first_keep_what_they_measure(opened: Opener) -> None:
    pixels = distinct((5, 16, 20), bits=16)
    pixels[0] %= 256
    series = volumes.pet(pixels, [1.0, 2.0, 1.0, 2.0, 1.0])
    first = in_order(series)[0]
    assert stored_by_pydicom(first).max() < 256
    first.BitsStored, first.HighBit = 8, 7
    array = dataset_of(opened, series)["image"]
    assert np.array_equal(array, measured(series))
    assert array.dtype == opened(series, values="modality").dtype


def test_dose_is_decoded(opened: Opener) -> None:
    pixels = distinct((4, 16, 20), bits=32)
    array = dataset_of(opened, nuclear.dose(pixels, [0, 2.5, 5, 7.5]))["image"]
    np.testing.assert_allclose(array, pixels * 2.5e-4, rtol=1e-15)
    assert array.attrs == {"units": "GY"}


def test_identity_changes_nothing(opened: Opener) -> None:
    array = dataset_of(opened, volume(RescaleSlope="1", RescaleIntercept="0"))["image"]
    assert array.dtype == np.uint16
    assert array.attrs == {"units": "HU"}
    assert not {"scale_factor", "add_offset", "_FillValue", "dtype"} & set(array.encoding)


def test_a_copy_holds_the_stored_values_and_reads_the_same(opened: Opener, tmp_path: Path) -> None:
    dataset = dataset_of(opened, volume(pixels=VOLUME))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NaNs, which there are none of, and zarr's of what is no standard
        dataset.to_zarr(tmp_path / "copy.zarr")
    assert np.array_equal(xr.open_zarr(tmp_path / "copy.zarr", mask_and_scale=False)["image"], VOLUME)
    assert np.array_equal(xr.open_zarr(tmp_path / "copy.zarr")["image"], dataset["image"])


def test_padding_is_told_and_masks_nothing(opened: Opener) -> None:
    pixels = distinct((5, 16, 20), bits=16, signed=True)
    pixels[0, 0, :3] = -2000
    for scaled in (True, False):
        array = dataset_of(opened, volumes.padded(pixels, -2000, "SS"), mask_and_scale=scaled)["image"]
        assert array.attrs["pixel_padding_value"] == -2000
        assert "_FillValue" not in {*array.attrs, *array.encoding}
        assert not np.isnan(array).any()
        assert array[0, 0, 0] == (-3024 if scaled else -2000)


def test_tables_are_left_to_those_who_ask_for_them(opened: Opener) -> None:
    series = volumes.modality_lut()
    array = dataset_of(opened, series)["image"]
    assert np.array_equal(array, VOLUME)
    assert array.attrs == {}
    image = opened(series, values="modality")
    looked_up = np.stack([rescaled_by_pydicom(dataset) for dataset in in_order(series)])
    assert np.array_equal(image.to_xarray()["0/image"], looked_up)


def test_units_that_are_none_are_not_told(opened: Opener) -> None:
    assert dataset_of(opened, volumes.projection(SLICES[0]))["image"].attrs == {}


def test_colours_measure_nothing(opened: Opener) -> None:
    series = volumes.secondary_capture(COLOR, RescaleSlope="2", RescaleIntercept="1", RescaleType="HU")
    array = dataset_of(opened, series)["image"]
    assert array.dtype == np.uint8
    assert array.attrs == {}
    assert np.array_equal(array, np.moveaxis(COLOR, -1, 0))


def test_places_in_a_palette_measure_nothing(opened: Opener) -> None:
    array = dataset_of(opened, volume(PhotometricInterpretation="PALETTE COLOR"))["image"]
    assert array.dtype == np.uint16
    assert array.attrs == {}
    assert np.array_equal(array, VOLUME)


def test_modality_values_need_no_decoding(opened: Opener) -> None:
    url = opened.url(volume())
    for scaled in (True, False):
        options = {"values": "modality"}
        array = xr.open_dataset(url, engine="dicomzarr", storage_options=options, mask_and_scale=scaled)["image"]
        assert array.dtype == np.int16
        assert array.attrs == {"units": "HU"}
        assert np.array_equal(array, VOLUME.astype(np.int16) - 1024)


# --- a slope for each slice


@pytest.mark.parametrize("chunks", [None, {}, {"z": 2}])
def test_each_slice_is_rescaled_by_its_own_slope(opened: Opener, chunks: Any) -> None:
    series = pet()
    dataset = dataset_of(opened, series, chunks=chunks)
    assert dataset["image"].dtype == np.float32
    assert np.array_equal(dataset["image"], measured(series).astype(np.float32))
    assert dataset["image"].attrs == {"units": "BQML"}
    assert dataset["rescale_slope"].dims == dataset["rescale_intercept"].dims == ("z",)
    assert dataset["rescale_slope"].to_numpy().tolist() == SLOPES
    assert dataset["rescale_intercept"].to_numpy().tolist() == INTERCEPTS


def test_stored_values_are_there_with_the_slope_of_each_slice(opened: Opener) -> None:
    series = pet()
    dataset = dataset_of(opened, series, mask_and_scale=False)
    assert dataset["image"].dtype == np.uint16
    assert dataset["image"].attrs == {}
    assert np.array_equal(dataset["image"], SIXTEEN)
    by_hand = dataset["image"] * dataset["rescale_slope"] + dataset["rescale_intercept"]
    assert np.array_equal(by_hand, measured(series))


@pytest.mark.parametrize(
    ("slopes", "intercepts"),
    [
        (SLOPES, INTERCEPTS),
        ([1, 2, 3, 4, 5], [0, -1, -2, -3, -4]),
        ([1, 1, 1, 1, 1], [0, 0, 0, 0, 0.5]),
        ([1e-40, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
        ([0, 1, 1, 1, 1], [7, 0, 0, 0, 0]),
    ],
    ids=["PET", "whole numbers", "a half", "too small for 32 bits", "nothing"],
)
def test_decoding_gives_what_modality_values_are(opened: Opener, slopes: list[float], intercepts: list[float]) -> None:
    url = opened.url(volumes.pet(SIXTEEN, slopes, intercepts))
    decoded = xr.open_dataset(url, engine="dicomzarr")
    served = xr.open_dataset(url, engine="dicomzarr", storage_options={"values": "modality"})
    assert decoded["image"].dtype == served["image"].dtype
    assert np.array_equal(decoded["image"], served["image"])
    assert decoded["image"].attrs == served["image"].attrs
    assert "rescale_slope" not in served.coords
    assert not {"scale_factor", "add_offset"} & {*served["image"].attrs, *served["image"].encoding}


NINE = distinct((9, 16, 20), bits=16)


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("indices", [np.s_[:], np.s_[4], np.s_[2:6, 3], np.s_[[4, 1, 4]], np.s_[..., 5]])
@pytest.mark.parametrize(
    "whole",
    [
        lambda: volume(pixels=NINE),
        lambda: volumes.pet(NINE, [0.5 + number for number in range(9)], [0.0] * 9),
        lambda: volumes.pet(NINE, [1.0 + number for number in range(9)], [-1024.0] * 9),
    ],
    ids=["one slope", "slopes", "whole slopes"],
)
def test_an_absent_slice_measures_nothing(
    opened: Opener, whole: Callable[[], RadiologySeries], indices: Any, chunks: Any
) -> None:
    series = whole()
    lacking = series_of([each for number, each in enumerate(in_order(series)) if number != 4])
    expected = dataset_of(opened, series)["image"].to_numpy().astype(float)
    expected[4] = np.nan
    found = dataset_of(opened, lacking, chunks=chunks)
    assert found["image"].dtype.kind == "f"
    assert np.array_equal(found["image"][indices].to_numpy(), expected[indices], equal_nan=True)
    assert found["absent"].to_numpy().tolist() == [number == 4 for number in range(9)]
    points = {"z": xr.DataArray([3, 4, 8], dims="points"), "y": xr.DataArray([1, 2, 3], dims="points")}
    assert np.array_equal(found["image"].isel(points), expected[[3, 4, 8], [1, 2, 3]], equal_nan=True)


def test_an_absent_slice_is_named_where_stored_values_stay(opened: Opener, tmp_path: Path) -> None:
    series = volume(pixels=NINE)
    lacking = series_of([each for number, each in enumerate(in_order(series)) if number != 4])
    stored = dataset_of(opened, lacking, mask_and_scale=False)
    assert stored["image"].dtype == np.uint16
    assert stored["absent"].to_numpy().nonzero()[0].tolist() == [4]
    assert "absent" not in dataset_of(opened, series).coords
    dataset_of(opened, lacking).drop_attrs().to_zarr(tmp_path / "copy.zarr", consolidated=False)
    copy = xr.open_zarr(tmp_path / "copy.zarr", consolidated=False)
    assert np.isnan(copy["image"][4]).all()
    assert not np.isnan(copy["image"][3]).any()


def test_an_absent_slice_in_colour_is_absent_in_each_of_its_colours(opened: Opener) -> None:
    series = volume(pixels=distinct((5, 16, 20, 3), bits=8), bits=8)
    lacking = series_of([each for number, each in enumerate(in_order(series)) if number != 2])
    found = dataset_of(opened, lacking)
    assert found["image"].dims == ("c", "z", "y", "x")
    assert found["absent"].dims == ("c", "z")
    assert found["absent"].to_numpy().tolist() == [[number == 2 for number in range(5)]] * 3


def test_times_with_poses_of_their_own_say_where_they_lie(opened: Opener) -> None:
    moved = np.array([[0.0, 0.0, 0.0], [0.5, -0.25, 0.125], [-0.5, 0.25, 0.375]])
    frames = [
        replace(shot, offset=tuple(map(float, moved[shot.time])))
        for shot in shots(3, 1, 6, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1})
    ]
    dataset = dataset_of(opened, classic(frames).served())
    assert dataset["poses"].dims == ("t", "pose_row", "pose_column")
    for time, offset in enumerate(moved):
        expected = AXIAL.affine + np.pad(offset.reshape(3, 1), ((0, 1), (3, 0)))
        np.testing.assert_allclose(dataset.isel(t=time)["poses"], expected, rtol=0, atol=1e-6)


def test_slopes_along_several_axes(opened: Opener) -> None:
    pixels = distinct((2, 3, 4, 16, 20), bits=16)
    axes = dimensions.product(
        dimensions.along("TriggerTime", ["0", "40"]), dimensions.along("EchoTime", ["5", "12.5", "20"])
    )
    datasets = dimensions.instances(pixels.reshape(6, 4, 16, 20), axes, Identity("sixteen", "MR", 16))
    slopes = np.arange(24, dtype=float).reshape(2, 3, 4) / 8 + 0.5
    for dataset, slope in zip(datasets, slopes.ravel(), strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(slope), decimal(-slope)
    found = dataset_of(opened, series_of(datasets))
    assert found["rescale_slope"].dims == ("t", "c", "z")
    wanted = pixels * slopes[..., None, None] - slopes[..., None, None]
    assert np.array_equal(found["image"], wanted)
    assert np.array_equal(found["image"][1, :, ::-2, 3], wanted[1, :, ::-2, 3])


def test_slopes_of_channels_are_along_channels_alone(opened: Opener) -> None:
    found = dataset_of(opened, multiframe.mixed_components())
    assert found["rescale_slope"].dims == ("c",)
    assert found["rescale_slope"].to_numpy().tolist() == [2, 0.5]
    assert found["rescale_intercept"].to_numpy().tolist() == [0, -1024]
    wanted = multiframe.FRAMES * np.array([2, 0.5])[:, None, None, None] - np.array([0, 1024])[:, None, None, None]
    assert np.array_equal(found["image"], wanted)


@pytest.fixture(scope="module")
def pets() -> Iterator[tuple[xr.DataArray, xr.DataArray]]:
    """(lazy, loaded) decoded values."""
    series = pet()
    with Opener() as opener:
        array = xr.open_dataset(opener.url(series), engine="dicomzarr", cache=False)["image"]
        yield array, array.copy(data=measured(series).astype(np.float32))


def test_parts_of_slabs(pets: tuple[xr.DataArray, xr.DataArray]) -> None:
    array, loaded = pets
    uses: list[Callable[[xr.DataArray], xr.DataArray]] = [
        lambda each: each[2],
        lambda each: each[-1, 3, 4],
        lambda each: each[::-2, ::-3, 5:1:-1],
        lambda each: each[[4, 0, 4], :, [1, 2]],
        lambda each: each[1:1],
        lambda each: each[:, 3:3],
        lambda each: each[[], 2],
        lambda each: each.isel(z=xr.DataArray([4, 1, 0], dims="p"), y=xr.DataArray([0, 9, 9], dims="p")),
        lambda each: each.isel(y=xr.DataArray([3, 1], dims="p"), x=xr.DataArray([3, 1], dims="p"), z=[3, 2]),
        lambda each: each.isel(z=xr.DataArray([[4, 1], [0, 0]], dims=("p", "q"))),
        lambda each: each.isel(z=xr.DataArray([4, 1], dims="p"), x=xr.DataArray([0, 2], dims="p"))[:, ::-4],
        lambda each: each.sel(z=[42.0, 51.0], method="nearest").transpose("x", "z", "y"),
        lambda each: each.sel(z=slice(43, 49)).mean("z"),
        lambda each: each[:, ::-1][::-1, 2:9][[0, 2]],
    ]
    for use in uses:
        found, wanted = use(array), use(loaded)
        xr.testing.assert_identical(found, wanted)
        assert found.dtype == wanted.dtype


def positions(size: int) -> st.SearchStrategy[Any]:
    places = st.integers(-size, size - 1)
    return st.one_of(places, st.slices(size), st.lists(places, max_size=6), hnp.arrays(np.bool_, size))


@settings(max_examples=examples(60), deadline=None, database=None)
@given(data=st.data())
def test_any_indices_give_what_the_loaded_array_gives(
    pets: tuple[xr.DataArray, xr.DataArray], data: st.DataObject
) -> None:
    array, loaded = pets
    sizes = {str(name): size for name, size in array.sizes.items()}
    index: dict[str, Any] = {
        name: data.draw(positions(size), label=name) for name, size in sizes.items() if data.draw(st.booleans())
    }
    pointed = data.draw(st.lists(st.sampled_from(sorted(sizes)), unique=True, max_size=3), label="points along")
    shape = data.draw(st.sampled_from([(3,), (2, 2), (0,)]))
    for name in pointed:
        places = data.draw(hnp.arrays(np.intp, shape, elements=st.integers(-sizes[name], sizes[name] - 1)), label=name)
        index[name] = xr.DataArray(places, dims=("p", "q")[: len(shape)])
    found, wanted = array.isel(index), loaded.isel(index)
    assert found.identical(wanted)


def test_real_slices_have_slopes_of_their_own() -> None:
    files = sorted(real_series("mr_small_stack").glob("*.dcm"))
    headers = [dcmread(file) for file in files]
    normal = np.cross(headers[0].ImageOrientationPatient[:3], headers[0].ImageOrientationPatient[3:])
    headers.sort(key=lambda dataset: float(np.dot(dataset.ImagePositionPatient, normal)))
    with DICOMwebServer(Archive(files)) as server:
        url = server.series_url(headers[0].StudyInstanceUID, headers[0].SeriesInstanceUID)
        dataset = xr.open_dataset(url, engine="dicomzarr").load()
        forget_servers()
    for found, header in zip(dataset["image"], headers, strict=True):
        wanted = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        assert np.array_equal(found, wanted.astype(np.float32))
        place = [found[name][0, 0].item() for name in NAMES]
        assert place == pytest.approx(list(header.ImagePositionPatient), abs=0.01)


# --- laziness, and travelling


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("chunks", [None, {}])
def test_no_frame_is_asked_for_before_values(opened: Opener, name: str, chunks: Any) -> None:
    tree: Any = xr.open_datatree(opened.url(KINDS[name]()), engine="dicomzarr", chunks=chunks)
    dataset = tree["0"].to_dataset()
    array = dataset["image"]
    assert repr(tree) + tree._repr_html_() + repr(array) + repr(array.isel(y=slice(4)) * 2 if chunks else array)
    assert dataset.coords.to_dataset().compute() is not None
    assert array.sel(x=array["x"][3]).isel(y=slice(3)).shape
    assert (opened.count("frames"), opened.count("metadata")) == (0, 1)
    first = array.isel(dict.fromkeys(array.dims[:-2], 0))
    assert first.shape == (16, 20)
    assert first.values.size
    assert opened.count("frames") == 1


@pytest.mark.parametrize("name", ["pet", "oblique", "axial"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_pickles_reopen(opened: Opener, name: str, chunks: Any) -> None:
    url = opened.url(KINDS[name]())
    dataset = xr.open_dataset(url, engine="dicomzarr", chunks=chunks)
    tree = dicomzarr.open(url).to_xarray()
    pickled = pickle.dumps((dataset, tree))
    assert len(pickled) < 50_000
    assert opened.count("frames") == 0
    forget_servers()
    again, branch = pickle.loads(pickled)  # noqa: S301  # our own
    xr.testing.assert_identical(again.compute(), dataset.compute())
    assert again["image"].dtype == np.float32
    assert np.array_equal(branch["0/image"], dataset["image"])


@pytest.mark.slow
def test_other_processes_decode(opened: Opener) -> None:
    series = pet()
    array = dataset_of(opened, series, chunks={})["image"]
    with dask.config.set(scheduler="processes", num_workers=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks
        assert np.array_equal(array[1:4, ::2].compute(), measured(series)[1:4, ::2].astype(np.float32))


def test_nobody_is_identified(opened: Opener) -> None:
    for build in BUILDERS.values():
        tree: Any = xr.open_datatree(opened.url(build()), engine="dicomzarr")
        shown = (
            repr(tree) + str(tree._repr_html_()) + repr([node.to_dict(data=False) for node in map(_whole, tree.leaves)])
        )
        assert not [text for text in PHI if text in shown]
        assert "20200102" not in shown


def _whole(node: xr.DataTree) -> xr.Dataset:
    return node.to_dataset()

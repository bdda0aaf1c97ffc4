"""How OME-Zarr says where volumes lie: directions and origins of axes, over the documents as they are served."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_multiframe as multiframe
import radiology_nuclear as nuclear
import radiology_volumes as volumes
from opened import group_at
from radiology_model import AXIAL, CORONAL, FLIPPED, OBLIQUE, PRONE, SAGITTAL, TILTED, Grid, distinct
from radiology_opened import Opener
from radiology_volumes import VOLUME, volume
from serving import serving
from slides import brightfield_pyramid

import dicomzarr
from dicomzarr.omezarr.multiscales import image_attributes
from dicomzarr.plan.placing import origin_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr
    import ome_zarr_models
    import yaozarrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from radiology_model import RadiologySeries

X, Y, Z = "right-to-left", "anterior-to-posterior", "inferior-to-superior"
"""Directions in which LPS ascends."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def multiscale_of(image: dicomzarr.Image) -> dict[str, Any]:
    """The ``multiscales`` document as it is served."""
    attributes: Any = group_at(image.url).attrs["ome"]
    (multiscale,) = attributes["multiscales"]
    found: dict[str, Any] = multiscale
    return found


def directions(image: dicomzarr.Image) -> dict[str, str | None]:
    """The direction of each axis, by its name."""
    axes = multiscale_of(image)["axes"]
    assert all(set(axis.get("orientation", {"type", "value"})) == {"type", "value"} for axis in axes)
    assert all(axis["type"] == "space" for axis in axes if "orientation" in axis)
    return {axis["name"]: axis.get("orientation", {}).get("value") for axis in axes}


def origin(image: dicomzarr.Image) -> list[float] | None:
    """The translation of the finest level, where it has one."""
    transformations = multiscale_of(image)["datasets"][0]["coordinateTransformations"]
    return next((each["translation"] for each in transformations if each["type"] == "translation"), None)


# --- directions


@pytest.mark.parametrize(
    ("grid", "z", "y", "x"),
    [
        (AXIAL, Z, Y, X),
        (SAGITTAL, "left-to-right", "superior-to-inferior", Y),
        (CORONAL, Y, "superior-to-inferior", X),
        (PRONE, Z, "posterior-to-anterior", "left-to-right"),
        (FLIPPED, "superior-to-inferior", Y, "left-to-right"),
    ],
    ids=["axial", "sagittal", "coronal", "prone", "flipped"],
)
def test_axes_say_where_they_run(opened: Opener, grid: Grid, z: str, y: str, x: str) -> None:
    image = opened(volume(grid))
    assert directions(image) == {"z": z, "y": y, "x": x}
    axes = multiscale_of(image)["axes"]
    assert axes[0] == {
        "name": "z",
        "type": "space",
        "unit": "millimeter",
        "orientation": {"type": "anatomical", "value": z},
    }


def test_every_way_to_lie_has_words_of_its_own(opened: Opener) -> None:
    """24 right-handed ways: three of six words, one for each axis of the patient, and none twice alike."""
    plan = opened(volume()).plan
    words = {"x": {X, "left-to-right"}, "y": {Y, "posterior-to-anterior"}, "z": {Z, "superior-to-inferior"}}
    seen = set()
    unit = np.eye(3)
    for (row, column), signs in itertools.product(
        itertools.permutations(range(3), 2), itertools.product((1, -1), repeat=2)
    ):
        across, down = signs[0] * unit[row], signs[1] * unit[column]
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([0.5 * across, 0.6 * down, 2 * np.cross(across, down)], axis=1)
        rows: Any = tuple(map(tuple, matrix.tolist()))
        document: Any = image_attributes(replace(plan, affine=rows))["multiscales"]
        found = {axis["name"]: axis["orientation"]["value"] for axis in document[0]["axes"]}
        assert {next(name for name, known in words.items() if word in known) for word in found.values()} == set("xyz")
        for direction, word in zip((across, down), (found["x"], found["y"]), strict=True):
            axis = int(np.argmax(abs(direction)))
            assert (word in {X, Y, Z}) == (direction[axis] > 0)
            assert word in words["xyz"[axis]]
        seen.add(tuple(found.values()))
    assert len(seen) == 24


@pytest.mark.parametrize("grid", [OBLIQUE, TILTED], ids=["oblique", "sheared"])
def test_axes_between_directions_have_none(opened: Opener, grid: Grid) -> None:
    image = opened(volume(grid))
    assert set(directions(image).values()) == {None}
    assert origin(image) is None


def test_directions_are_a_matter_of_space_alone(opened: Opener) -> None:
    image = opened(dimensions.repeated(dimensions.TWICE, dimensions.ECHOES))
    assert directions(image) == {"c": None, "z": Z, "y": Y, "x": X}
    assert origin(image) == [0, *reversed(AXIAL.origin)]
    single = opened(volume(SAGITTAL, VOLUME[:1]))
    assert directions(single) == {"y": "superior-to-inferior", "x": Y}


def test_what_has_no_place_has_no_direction(opened: Opener) -> None:
    for series in (nuclear.evenly_timed(), volumes.uneven([0, 2.5, 4, 9, 10], VOLUME)):
        image = opened(series)
        assert set(directions(image).values()) == {None}
        assert origin(image) is None


def test_animals_on_four_legs_have_other_directions(opened: Opener) -> None:
    plan = opened(volume()).plan
    for told, emitted in (("QUADRUPED", False), ("BIPED", True)):
        attributes = replace(plan.attributes, anatomical_orientation=told)
        document: Any = image_attributes(replace(plan, attributes=attributes))["multiscales"]
        assert [("orientation" in axis) for axis in document[0]["axes"]] == [emitted] * 3


def test_slides_have_no_direction() -> None:
    with serving(brightfield_pyramid()) as each:
        image = dicomzarr.open(each.url)
        assert set(directions(image).values()) == {None}
        assert origin(image) is None
        aligned: Any = tuple(map(tuple, np.eye(4).tolist()))
        document: Any = image_attributes(replace(image.plan, affine=aligned))["multiscales"]
        assert not any("orientation" in axis for axis in document[0]["axes"])


# --- origins


def test_the_origin_is_a_translation_where_axes_are_those_of_lps(opened: Opener) -> None:
    image = opened(volume(AXIAL))
    assert origin(image) == list(reversed(AXIAL.origin))
    assert image.levels[0].translation == tuple(reversed(AXIAL.origin))
    assert multiscale_of(image)["datasets"][0]["coordinateTransformations"][0] == {
        "type": "scale",
        "scale": [2.5, 0.8, 0.6],
    }
    single = opened(volume(AXIAL, VOLUME[:1]))
    assert origin(single) == [AXIAL.origin[1], AXIAL.origin[0]]


@pytest.mark.parametrize("grid", [SAGITTAL, CORONAL, PRONE, FLIPPED], ids=["sagittal", "coronal", "prone", "flipped"])
def test_there_is_no_translation_along_other_axes(opened: Opener, grid: Grid) -> None:
    image = opened(volume(grid))
    assert origin(image) is None
    assert not any(image.levels[0].translation)


def test_origins_of_affines() -> None:
    affine = ((0.6, 0.0, 0.0, -100.0), (0.0, 0.8, 0.0, 20.0), (0.0, 0.0, 2.5, 3.0), (0.0, 0.0, 0.0, 1.0))
    assert origin_of(affine) == (3.0, 20.0, -100.0)
    turned = (affine[1], affine[0], *affine[2:])
    assert origin_of(turned) == origin_of(None) == (0.0, 0.0, 0.0)


# --- validators

BUILDERS: dict[str, Callable[[], RadiologySeries]] = {
    "axial": volume,
    "sagittal": partial(volume, SAGITTAL),
    "oblique": partial(volume, OBLIQUE),
    "single_slice": partial(volume, pixels=VOLUME[:1]),
    "five_axes": lambda: dimensions.repeated(
        distinct((4, 3, 16, 20)),
        dimensions.product(dimensions.along("TriggerTime", ["0", "40"]), dimensions.along("EchoTime", ["5", "12.5"])),
    ),
    "collection": lambda: volumes.two_orientations(VOLUME[:4], VOLUME[:3, :, ::-1]),
    "stacks": lambda: multiframe.two_stacks(VOLUME[:4], VOLUME[:3, ::-1]),
    "colour_cine": lambda: nuclear.evenly_timed(distinct((3, 8, 10, 3), bits=8), kind="US cine", bits=8),
    "uneven": lambda: volumes.uneven([0, 2.5, 4, 9, 10], VOLUME),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_validators_take_radiology(opened: Opener, name: str) -> None:
    first = opened(BUILDERS[name]())
    yaozarrs.validate_zarr_store(first.series_url)
    assert len(first.images) == (2 if name in {"collection", "stacks"} else 1)
    for image in first.images:
        yaozarrs.validate_zarr_store(image.url)
        model: Any = ome_zarr_models.open_ome_zarr(group_at(image.url))
        assert [axis.name for axis in model.ome_attributes.multiscales[0].axes] == list(image.levels[0].axes)


@pytest.mark.ngff_zarr
@pytest.mark.parametrize("name", BUILDERS)
def test_ngff_zarr_finds_axes_and_origin(opened: Opener, name: str) -> None:
    for image in opened(BUILDERS[name]()).images:
        found: Any
        (found,) = ngff_zarr.from_ngff_zarr(fsspec.get_mapper(image.url), validate=True).images
        level = image.levels[0]
        assert tuple(found.dims) == level.axes
        assert [found.scale.get(axis, 1.0) for axis in level.axes] == pytest.approx(level.scale)
        assert [found.translation.get(axis, 0.0) for axis in level.axes] == pytest.approx(level.translation)
        read = {axis: each.value.value for axis, each in (found.axes_orientations or {}).items()}
        assert read == {axis: word for axis, word in directions(image).items() if word}
        assert np.array_equal(found.data.compute(), level[...])

"""Images as SpatialData, by its protocol: levels, names, coordinates and places."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import stand_ins
from folders import write
from radiology_dimensions import times_by_slice
from radiology_model import AXIAL, OBLIQUE, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from scans import classic, shots
from segmentations import IDENTIFIED, ascending, random_masks, segmented, segmented_second_level
from serving import serving
from slides import brightfield_pyramid, fluorescence_focal_stack
from slides_instances import Identity, Level, full_instance
from slides_pixels import noisy_color

import dicomzarr
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.install(monkeypatch, stand_ins.SPATIALDATA)


def test_a_slide_keeps_its_levels_and_reads_nothing() -> None:
    with serving(brightfield_pyramid()) as slide:
        image = dicomzarr.open(slide.url)
        held = image.to_spatialdata()
        assert slide.count() == 0
        tree = held.images["slide"]
        for level in image.levels:
            pixels = tree[f"scale{level.number}"]["image"]
            assert np.array_equal(pixels.to_numpy(), level.to_numpy())
            assert list(pixels.c.values) == ["r", "g", "b"]
            # Pixels of all levels lie in one frame, whose corner is 0.
            count = level.shape[-1]
            assert np.allclose(pixels.x, (np.arange(count) + 0.5) * image.shape[-1] / count)
        placed = tree.attrs["placed"]
        assert placed.keys() == {"global", "micrometer"}
        assert placed["micrometer"].what == [*image.levels[0].scale[-2:]]
        assert placed["micrometer"].axes == ("y", "x")


def test_focal_planes_are_a_third_axis_and_channels_have_names() -> None:
    with serving(fluorescence_focal_stack()) as slide:
        image = dicomzarr.open(slide.url)
        (tree,) = image.to_spatialdata().images.values()
        pixels = tree["scale0"]["image"]
        assert pixels.dims == ("c", "z", "y", "x")
        assert list(pixels.c.values) == [channel.label for channel in image.channels]
        placed = tree.attrs["placed"]["micrometer"]
        assert placed.axes == ("z", "y", "x")
        assert placed.what == pytest.approx([1.5, 0.4, 0.5])  # as the headers say, in micrometres


@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_a_volume_lies_in_the_patient_by_its_corner(opened: Opener, grid: Any) -> None:
    image = opened(volume(grid, distinct((5, 16, 20))))
    (tree,) = image.to_spatialdata().images.values()
    patient = tree.attrs["placed"]["patient"]
    for voxel in ([0, 0, 0], [3, 7, 2]):
        at_its_centre = patient.what @ [*(np.array(voxel) + 0.5), 1]
        assert np.allclose(at_its_centre, np.array(image.affine) @ [*voxel, 1])
    assert patient.input_axes == patient.output_axes == ("x", "y", "z")
    assert tree["scale0"]["image"].shape == (1, *image.shape)


def test_labels_go_along(opened: Opener) -> None:
    ct = volume(AXIAL, distinct((6, 16, 20)), **IDENTIFIED)
    found = segmented(ascending(ct, AXIAL), random_masks((2, 6, 16, 20)))
    server = opened.serve([*ct.datasets, found.dataset])
    image = dicomzarr.open(server.series_url(ct.study_uid, ct.series_uid), labels=True)
    held = image.to_spatialdata()
    assert held.labels.keys() == image.labels.keys()
    for name, label in image.labels.items():
        assert np.array_equal(held.labels[name]["scale0"]["image"].to_numpy(), label.to_numpy())


def test_of_several_times_one_is_chosen(opened: Opener) -> None:
    image = opened(times_by_slice(distinct((3, 4, 6, 7))))
    with pytest.raises(UsageError, match="time=0"):
        image.to_spatialdata()
    (tree,) = image.to_spatialdata(time=1).images.values()
    assert np.array_equal(tree["scale0"]["image"][0].to_numpy(), image[1])


def test_a_time_with_a_pose_of_its_own_lies_where_it_lies(opened: Opener) -> None:
    moved = np.array([[0.0, 0.0, 0.0], [0.5, -0.25, 0.125], [-0.5, 0.25, 0.375]])
    frames = [
        replace(shot, offset=tuple(map(float, moved[shot.time])))
        for shot in shots(3, 1, 6, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1})
    ]
    image = opened(classic(frames).served())
    assert len(image.plan.attributes.poses) == 3
    for time in (0, 1, 2, -1):
        (tree,) = image.to_spatialdata(time=time).images.values()
        patient = tree.attrs["placed"]["patient"].what
        assert np.allclose((patient @ [0.5, 0.5, 0.5, 1])[:3], np.array(AXIAL.position(0)) + moved[time], atol=1e-6)
        assert np.array_equal(tree["scale0"]["image"][0].to_numpy(), image[time])


@pytest.mark.parametrize("time", [3, -4, "a", True, 1.0])
def test_a_time_that_is_not_there_is_said(opened: Opener, time: Any) -> None:
    for series in (times_by_slice(distinct((3, 4, 6, 7))), volume(AXIAL)):
        with pytest.raises(UsageError, match="There is no time"):
            opened(series).to_spatialdata(time=time)


def test_without_the_library_its_extra_is_named(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(UsageError, match=r'pip install "dicomzarr\[spatialdata\]"'):
        opened(volume(AXIAL)).to_spatialdata()


def test_of_a_level_that_is_padded_to_whole_tiles_what_shows_level_0_goes_along(tmp_path: Path) -> None:
    fine, padded = Level(noisy_color(1, 448, 576), (64, 64)), Level(noisy_color(2, 128, 192), (64, 64), (0.002, 0.002))
    write(tmp_path, [full_instance(Identity("padded", number), each) for number, each in enumerate((fine, padded), 1)])
    image = dicomzarr.open(tmp_path)
    assert [level.shape for level in image.levels] == [(3, 448, 576), (3, 128, 192)]
    found = image.to_spatialdata().images["slide"]["scale1"]["image"]
    assert np.array_equal(found, padded.pixels[:, 0, :112, :144])
    assert np.allclose(found.x[[0, -1]], [2, 574])
    assert np.allclose(found.y[[0, -1]], [2, 446])


def test_a_label_of_a_coarser_level_lies_on_the_image(opened: Opener) -> None:
    slide, found = segmented_second_level()
    server = opened.serve([*slide, found.dataset])
    image = dicomzarr.open(server.series_url(found.study, str(slide[0].SeriesInstanceUID)), labels=True)
    (label,) = image.to_spatialdata().labels.values()
    placed = label.attrs["placed"]
    for system, step in (("global", 2), ("micrometer", 1)):
        assert placed[system].input_axes == placed[system].output_axes == ("y", "x")
        assert np.allclose(placed[system].what @ [95.5, 127.5, 1], [95.5 * step, 127.5 * step, 1])

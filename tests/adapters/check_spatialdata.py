"""SpatialData holds a slide, a CT with labels and one time of a perfusion, lazily, and places them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import spatialdata as sd
from demo_series import demo_series
from spatialdata.models import get_model
from spatialdata.transformations import get_transformation

import dicomzarr


def check_slide(url: str) -> None:
    """All levels as they are, and micrometres."""
    image = dicomzarr.open(url)
    held = image.to_spatialdata()
    tree = held.images["slide"]
    get_model(tree)().validate(tree)
    for level in image.levels:
        pixels = tree[f"scale{level.number}"]["image"]
        assert pixels.dims == ("c", "y", "x")
        assert list(pixels.c.values) == ["r", "g", "b"]
        assert pixels.shape == level.shape
        if level.number:
            assert np.array_equal(pixels, level.to_numpy())
    moved = get_transformation(tree, "micrometer").to_affine_matrix(("x", "y"), ("x", "y"))
    assert np.allclose(np.diag(moved)[:2], image.levels[0].scale[:0:-1])
    crop = sd.bounding_box_query(
        held, axes=("x", "y"), min_coordinate=[100, 200], max_coordinate=[356, 456], target_coordinate_system="global"
    )
    found = crop.images["slide"]["scale0"]["image"]
    assert np.array_equal(found, image[:, 200:456, 100:356])
    with tempfile.TemporaryDirectory() as folder:
        held.write(Path(folder) / "slide.zarr")
        again = sd.read_zarr(Path(folder) / "slide.zarr")
        assert np.array_equal(again.images["slide"]["scale1"]["image"], image.levels[1].to_numpy())


def check_ct(url: str) -> None:
    """A volume in the patient, with its labels."""
    image = dicomzarr.open(url, labels=True)
    held = image.to_spatialdata()
    (tree,) = held.images.values()
    get_model(tree)().validate(tree)
    assert np.array_equal(tree["scale0"]["image"][0], image.to_numpy())
    assert set(held.labels) == set(image.labels)
    for name, label in image.labels.items():
        assert np.array_equal(held.labels[name]["scale0"]["image"], label.to_numpy())
    corner = get_transformation(tree, "patient").to_affine_matrix(("x", "y", "z"), ("x", "y", "z"))
    # The centre of the first voxel is at 0.5 there, and at 0 in ours.
    assert np.allclose(corner @ [0.5, 0.5, 0.5, 1], np.array(image.affine)[:, 3])
    assert np.allclose(corner @ [10.5, 20.5, 30.5, 1], np.array(image.affine) @ [10, 20, 30, 1])


def check_times(url: str) -> None:
    """One time."""
    image = dicomzarr.open(url)
    (tree,) = image.to_spatialdata(time=4).images.values()
    assert np.array_equal(tree["scale0"]["image"][0], image[4])


if __name__ == "__main__":
    with demo_series() as demo:
        check_slide(demo.slide)
        check_ct(demo.ct)
        check_times(demo.perfusion)

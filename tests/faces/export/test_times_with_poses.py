"""What is exported of times that have poses of their own lies where these times lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from radiology_model import AXIAL
from scans import classic, shots

from dicomzarr.faces.export.options import parse_options
from dicomzarr.faces.export.selection import select


def test_a_later_time_has_its_own_affine() -> None:
    moved = np.array([[0.0, 0.0, 0.0], [0.5, -0.25, 0.125], [-0.5, 0.25, 0.375]])
    frames = [
        replace(shot, offset=tuple(map(float, moved[shot.time])))
        for shot in shots(3, 1, 6, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1})
    ]
    plan = classic(frames).plan()
    for time in range(3):
        options = parse_options("one.nii.gz", region={"t": (time, time + 1)})
        (image,) = select(plan, options).plan.images
        assert np.allclose(np.array(image.affine)[:3, 3], np.array(AXIAL.position(0)) + moved[time], atol=1e-6)
        assert image.attributes.poses == (image.affine,)
        x, y, z = np.array(AXIAL.position(0)) + moved[time]
        assert image.levels[0].translation == pytest.approx((time, z, y, x), abs=1e-6)


def test_a_later_time_that_is_turned_has_no_place_along_the_axes_of_lps() -> None:
    """NGFF's translation says where a volume lies that runs along these axes, and nothing of others."""
    turn = np.radians(1.0)
    turned = replace(AXIAL, row=(np.cos(turn), np.sin(turn), 0.0), column=(-np.sin(turn), np.cos(turn), 0.0))
    frames = [
        replace(shot, grid=turned if shot.time else AXIAL)
        for shot in shots(2, 1, 6, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1})
    ]
    plan = classic(frames).plan()
    assert len(plan.images[0].attributes.poses) == 2
    for times, lies in (((0, 2), True), ((1, 2), False)):
        (image,) = select(plan, parse_options("one.zarr", region={"t": times, "z": (2, 6)})).plan.images
        x, y, z = np.array(AXIAL.position(2)) if lies else (0.0, 0.0, 2 * AXIAL.z_spacing)
        assert image.levels[0].translation == pytest.approx((times[0], z, y, x), abs=1e-6)

"""What is exported of times that have poses of their own lies where these times lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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

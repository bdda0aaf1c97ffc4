"""tiatoolbox reads a slide by its URL at the gateway: sizes, resolution, regions of every level."""

from __future__ import annotations

import numpy as np
from demo_series import demo_series
from tiatoolbox.wsicore.wsireader import NGFFWSIReader

import dicomzarr
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url

if __name__ == "__main__":
    with demo_series() as demo:
        base, _, path = demo.slide.partition("/studies/")
        with Gateway([Upstream("demo", parse_url(base), {})], Settings(port=0)) as running:
            reader = NGFFWSIReader(f"{running.url}/0.4/studies/{path}.zarr")
            ours = dicomzarr.open(demo.slide)
            assert reader.info.level_count == len(ours.levels)
            assert [tuple(each) for each in reader.info.level_dimensions] == [
                level.shape[:0:-1] for level in ours.levels
            ]
            assert np.allclose(reader.info.mpp, ours.levels[0].scale[:0:-1], rtol=1e-6)
            for level in ours.levels:
                factor = reader.info.level_downsamples[level.number]
                region = reader.read_rect((0, 0), (200, 100), resolution=level.number, units="level")
                expected = np.moveaxis(level[:, :100, :200], 0, -1)
                assert np.array_equal(region[: expected.shape[0], : expected.shape[1]], expected), (
                    level.number,
                    factor,
                )

"""tiatoolbox reads a slide by its URL at the gateway of another Python: sizes, resolution, regions."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from tiatoolbox.wsicore.wsireader import NGFFWSIReader

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        pixels = Path(folder) / "levels.npz"
        command = [os.environ["DICOMZARR_PYTHON"], str(Path(__file__).with_name("demo_gateway.py")), str(pixels)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # ours
            assert process.stdout is not None
            assert process.stdin is not None
            told = json.loads(process.stdout.readline())
            levels = list(np.load(pixels).values())
            reader = NGFFWSIReader(told["url"])
            assert [tuple(each) for each in reader.info.level_dimensions] == [each.shape[:0:-1] for each in levels]
            assert np.allclose(reader.info.mpp, told["scale"][:0:-1], rtol=1e-6)
            finest = np.moveaxis(levels[0], 0, -1)
            for x, y in ((0, 0), (250, 130), (900, 1000)):
                region = reader.read_rect((x, y), (300, 200), resolution=0, units="level")
                assert np.array_equal(region, finest[y : y + 200, x : x + 300]), (x, y)
            # It takes no smaller level of OME-Zarr, but resamples the finest.
            half = reader.read_rect((0, 0), (300, 200), resolution=2 * told["scale"][-1], units="mpp")
            whole = finest[:400, :600].astype(float)
            assert np.abs(half - whole.reshape(200, 2, 300, 2, 3).mean((1, 3))).mean() < 2
            process.stdin.close()

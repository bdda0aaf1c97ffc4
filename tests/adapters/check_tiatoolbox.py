"""tiatoolbox reads a slide by its URL at the gateway of another Python: sizes, resolution, regions of every level."""

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
            for number, level in enumerate(levels):
                height, width = (min(size, most) for size, most in zip(level.shape[1:], (100, 200), strict=True))
                region = reader.read_rect((0, 0), (width, height), resolution=number, units="level")
                assert np.array_equal(region, np.moveaxis(level[:, :height, :width], 0, -1)), number
            process.stdin.close()

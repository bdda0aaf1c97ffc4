"""The slide that is read: two levels without loss, no two tiles of which are alike."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # the modules of the tests

from slides_codecs import CODECS
from slides_instances import Identity, Level, full_instance
from slides_model import ExpectedImage, TestSlide
from slides_pixels import noisy_color, shrink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RESAMPLED = ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
TILE = (96, 128)
_ROWS, _COLUMNS = 1500, 2000


def soak_slide() -> TestSlide:
    """JPEG-LS below, uncompressed above: 16 x 16 and 8 x 8 tiles, the last ones cut by the edge."""
    finest = Level(noisy_color(7, _ROWS, _COLUMNS), TILE, codec=CODECS["jpegls_lossless"])
    pixels = shrink(finest.pixels, _ROWS // 2, _COLUMNS // 2)
    coarse = replace(finest, pixels=pixels, spacing=(0.001, 0.001), codec=CODECS["native_rgb"])
    instances = (
        full_instance(Identity("soak", 1), finest),
        full_instance(Identity("soak", 2, _RESAMPLED), coarse),
    )
    return TestSlide("soak", instances, (ExpectedImage((finest.expected(), coarse.expected())),))


def expected_levels() -> list[NDArray[np.uint8]]:
    """(c, y, x) of each level."""
    return [level.pixels[:, 0] for level in soak_slide().levels]

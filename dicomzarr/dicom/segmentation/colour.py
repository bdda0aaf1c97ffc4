"""CIELab values of DICOM (PS3.3 section C.10.7.1.1) to sRGB."""

from __future__ import annotations

import numpy as np

_D50_WHITE = np.array([0.96422, 1.0, 0.82521])
_XYZ_D50_TO_LINEAR_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
_LINEAR_BELOW = 0.0031308
_CUBE_ABOVE = 6 / 29


def lab16_to_srgb(lab: tuple[float, ...]) -> tuple[int, int, int]:
    """A CIELab value scaled to 16 bits, white point D50, as 8-bit sRGB.

    L* runs from 0 to 100 over 0 to 65535; a* and b* from -128 to 127, with 0 at 32896.
    """
    lab = tuple(min(max(value, 0.0), 65535.0) for value in lab)
    lightness = lab[0] / 65535 * 100
    a, b = ((value / 65535) * 255 - 128 for value in lab[1:])
    base = (lightness + 16) / 116
    roots = np.array([base + a / 500, base, base - b / 200])
    cubes = np.where(roots > _CUBE_ABOVE, roots**3, 3 * _CUBE_ABOVE**2 * (roots - 4 / 29))
    linear = np.clip(_XYZ_D50_TO_LINEAR_SRGB @ (cubes * _D50_WHITE), 0, 1)
    curved = np.where(linear <= _LINEAR_BELOW, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.rint(curved * 255))
    return red, green, blue

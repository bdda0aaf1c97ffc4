"""The type of affines."""

from __future__ import annotations

from typing import TypeAlias

Affine: TypeAlias = tuple[tuple[float, float, float, float], ...]
"""Four rows; maps (column, row, slice, 1) of voxel centres to millimetres."""

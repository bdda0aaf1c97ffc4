"""Synthetic slides: small, deterministic, each with the arrays that a reader must give.

Levels are ``(c, z, y, x)``: c is three colours, or one value per optical path. The pictures are
made first and cut into tiles afterwards, so that no reader's idea of a layout is in them.
"""

from __future__ import annotations

from slides_codecs import CODECS, JPEG_422, Codec
from slides_fluorescence import (
    channels_in_instances,
    fluorescence_focal_stack,
    focal_planes_in_instances,
)
from slides_json import big_full_metadata, big_sparse_metadata, big_sparse_positions
from slides_model import (
    PHI,
    ExpectedImage,
    ExpectedLevel,
    TestSlide,
    instance_metadata,
    part10,
)
from slides_pyramids import (
    brightfield_pyramid,
    coded_slide,
    concatenation,
    extended_depth_of_field,
    two_pyramids,
)
from slides_sparse import (
    ABSENT_COLORS,
    off_grid,
    overlapping_tiles,
    poor_headers,
    sparse_brightfield,
    sparse_fluorescence,
)

__all__ = [
    "ABSENT_COLORS",
    "CODECS",
    "JPEG_422",
    "PHI",
    "Codec",
    "ExpectedImage",
    "ExpectedLevel",
    "TestSlide",
    "big_full_metadata",
    "big_sparse_metadata",
    "big_sparse_positions",
    "brightfield_pyramid",
    "channels_in_instances",
    "coded_slide",
    "concatenation",
    "extended_depth_of_field",
    "fluorescence_focal_stack",
    "focal_planes_in_instances",
    "instance_metadata",
    "off_grid",
    "overlapping_tiles",
    "part10",
    "poor_headers",
    "sparse_brightfield",
    "sparse_fluorescence",
    "two_pyramids",
]

"""Synthetic slides: small, deterministic, each with the arrays that a reader must give.

Levels are ``(c, z, y, x)``: c is three colours, or one value per optical path. The pictures are
made first and cut into tiles afterwards, so that no reader's idea of a layout is in them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ABSENT_COLORS",
    "BUILDERS",
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

BUILDERS: dict[str, Callable[[], TestSlide]] = {
    "fluorescence_focal_stack": fluorescence_focal_stack,
    "channels_in_instances": channels_in_instances,
    "focal_planes_by_origin": focal_planes_in_instances,
    "focal_planes_by_frame": partial(focal_planes_in_instances, by_frame=True),
    "sparse": sparse_brightfield,
    "sparse_white": partial(sparse_brightfield, absent="white"),
    "sparse_gray": partial(sparse_brightfield, absent="gray"),
    "sparse_pink": partial(sparse_brightfield, absent="pink"),
    "sparse_jpeg": partial(sparse_brightfield, absent="pink", codec=JPEG_422),
    "sparse_fluorescence": sparse_fluorescence,
    "poor_headers": poor_headers,
    "concatenation": concatenation,
    "brightfield_pyramid": brightfield_pyramid,
    "two_pyramids": two_pyramids,
    "extended_depth_of_field": extended_depth_of_field,
    **{f"codec_{name}": partial(coded_slide, name) for name in CODECS},
}
"""Every slide whose pixels are all there, by a name for tests."""

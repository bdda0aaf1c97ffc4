"""Zarr v3 documents of groups and arrays (Zarr v3 core specification)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from dicomzarr.plan import LevelPlan

DOCUMENT_NAME = "zarr.json"

Attributes = Mapping[str, object]


def group_document(attributes: Attributes) -> bytes:
    """``zarr.json`` of a group."""
    return _encode({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def array_document(level: LevelPlan, dimension_names: tuple[str, ...], attributes: Attributes) -> bytes:
    """``zarr.json`` of an array whose chunks are decoded frames: little-endian, C order, no compressor."""
    codec: dict[str, object] = {"name": "bytes"}
    if level.dtype.itemsize > 1:
        codec["configuration"] = {"endian": "little"}
    return _encode(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": level.shape,
            "data_type": level.dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": level.chunks},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if math.isnan(level.fill_value) else level.fill_value,
            "codecs": [codec],
            "dimension_names": dimension_names,
            "attributes": attributes,
        }
    )


def _encode(document: Mapping[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)

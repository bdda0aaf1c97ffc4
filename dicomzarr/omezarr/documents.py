"""Zarr v3 documents of groups and arrays (Zarr v3 core specification), with the attributes of OME-Zarr 0.5."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from dicomzarr.omezarr.hierarchy import Format
from dicomzarr.omezarr.keys import ChunkKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.omezarr.hierarchy import Attributes, Documents
    from dicomzarr.plan import LevelPlan

NAME = "zarr.json"


def group_documents(attributes: Attributes) -> Documents:
    """``zarr.json`` of a group."""
    return {NAME: encode({"zarr_format": 3, "node_type": "group", "attributes": attributes})}


def array_documents(level: LevelPlan, dimension_names: tuple[str, ...]) -> Documents:
    """``zarr.json`` of an array whose chunks are decoded frames: little-endian, C order, no compressor."""
    codec: dict[str, object] = {"name": "bytes"}
    if level.dtype.itemsize > 1:
        codec["configuration"] = {"endian": "little"}
    return {
        NAME: encode(
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
                "fill_value": _fill_value(level),
                "codecs": [codec],
                "dimension_names": dimension_names,
                "attributes": {},
            }
        )
    }


def _fill_value(level: LevelPlan) -> int | float | str:
    """As JSON spells it for the data type: strict readers refuse 0.0 for an integer."""
    if level.dtype.kind in "iu":
        return int(level.fill_value)
    return "NaN" if math.isnan(level.fill_value) else level.fill_value


def consolidated(root: Documents, below: Mapping[str, Documents]) -> Documents:
    """The documents of a root that also hold those of all nodes below it, as zarr-python writes and reads them."""
    nodes = {path: msgspec.Raw(documents[NAME]) for path, documents in below.items()}
    inline = {"kind": "inline", "must_understand": False, "metadata": nodes}
    own: dict[str, Any] = msgspec.json.decode(root[NAME], type=dict[str, msgspec.Raw])
    return {NAME: encode({**own, "consolidated_metadata": inline})}


def encode(document: Mapping[str, object]) -> bytes:
    """JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


V3 = Format(
    chunk_keys=ChunkKeys("c"),
    fills_in=True,
    group_documents=group_documents,
    array_documents=array_documents,
    consolidated=consolidated,
)
"""Zarr v3."""

"""Documents of an exported hierarchy: those of the virtual store, with codecs and shards. Pure (no I/O)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dicomzarr.omezarr.documents import V3, encode
from dicomzarr.omezarr.documents_v2 import V2
from dicomzarr.omezarr.hierarchy import Group, nodes
from dicomzarr.omezarr.layout import build_hierarchy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.faces.export.selection import Part
    from dicomzarr.omezarr.hierarchy import Documents
    from dicomzarr.plan import LevelPlan, SeriesPlan

    JSON = dict[str, Any]

_FORMATS: Final = {2: V2, 3: V3}
_OF_SERIES: Final = ("study_instance_uid", "series_instance_uid", "patient")
"""What each image group says of its series."""


def identity_of(root: Group) -> JSON:
    """What the image groups of a hierarchy say of their series."""
    for _, node in nodes(root):
        for document in node.documents.values():
            found: JSON = msgspec.json.decode(document)
            said = found.get("attributes", found).get("dicomzarr")
            if said:
                return {name: said[name] for name in _OF_SERIES if name in said}
    return {}


def group_documents(
    plan: SeriesPlan, identity: JSON, zarr_format: int, arrays: Mapping[LevelPlan, Documents], *, consolidated: bool
) -> dict[str, bytes]:
    """The documents of all groups by their keys, the root's last: what has no root yet is no OME-Zarr.

    Args:
        plan: What is exported.
        identity: What image groups say of their series.
        zarr_format: 2 or 3.
        arrays: The documents of each array.
        consolidated: The root's hold those of all nodes too. Who lacks a codec that one of them names could then not
            open the root.
    """
    own = replace(_FORMATS[zarr_format], array_documents=lambda level, _: arrays[level])
    if not consolidated:
        own = replace(own, consolidated=lambda root, _: root)
    found = {path.removeprefix("/"): node for path, node in nodes(build_hierarchy(plan, identity, own))}
    return {
        f"{path}/{name}" if path else name: document
        for path, node in reversed(found.items())
        if isinstance(node, Group)
        for name, document in node.documents.items()
    }


def array_documents(part: Part, codecs: Sequence[JSON], shard: Sequence[int] | None, fill_value: float) -> Documents:
    """``zarr.json`` of an array (Zarr v3 core specification).

    Args:
        part: The array.
        codecs: Of its chunks.
        shard: Shape of a shard in pixels; None where chunks lie alone.
        fill_value: What absent chunks read as.
    """
    level = part.level
    if shard is not None:
        inner: JSON = {
            "chunk_shape": level.chunks,
            "codecs": codecs,
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": level.shape,
        "data_type": level.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard or level.chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill(level, fill_value),
        "codecs": codecs,
        "dimension_names": part.axes,
        "attributes": {},
    }
    return {"zarr.json": encode(document)}


def array_documents_v2(part: Part, compressor: JSON | None, fill_value: float | None) -> Documents:
    """``.zarray`` and ``.zattrs`` of an array (Zarr v2 specification).

    Args:
        part: The array.
        compressor: Of its chunks.
        fill_value: What absent chunks read as; None where there are none, for xarray takes it for a mark of missing
            values.
    """
    level = part.level
    document = {
        "zarr_format": 2,
        "shape": level.shape,
        "chunks": level.chunks,
        "dtype": level.dtype.str,
        "compressor": compressor,
        "fill_value": None if fill_value is None else _fill(level, fill_value),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
    return {
        ".zarray": encode(document),
        ".zattrs": encode({"_ARRAY_DIMENSIONS": part.axes}),  # xarray finds the names there
    }


def pixel_codecs(level: LevelPlan, zstd_level: int | None) -> list[JSON]:
    """The codecs of little-endian chunks."""
    endian: JSON = {"name": "bytes"}
    if level.dtype.itemsize > 1:
        endian["configuration"] = {"endian": "little"}
    if zstd_level is None:
        return [endian]
    return [endian, {"name": "zstd", "configuration": {"level": zstd_level, "checksum": False}}]


def _fill(level: LevelPlan, value: float) -> int | float | str:
    if level.dtype.kind in "iu":
        return int(value)
    return "NaN" if math.isnan(value) else value

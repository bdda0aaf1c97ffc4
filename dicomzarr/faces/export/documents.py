"""Documents of an exported hierarchy: those of the virtual store, with codecs and shards. Pure (no I/O)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dicomzarr.omezarr.hierarchy import Group
from dicomzarr.omezarr.layout import build_hierarchy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dicomzarr.faces.export.selection import Part
    from dicomzarr.plan import LevelPlan, SeriesPlan

    JSON = dict[str, Any]

_OF_SERIES: Final = ("study_instance_uid", "series_instance_uid", "patient")
"""What each image group says of its series."""


def identity_of(documents: Mapping[str, bytes]) -> JSON:
    """What the documents of image groups say of their series."""
    for document in documents.values():
        said = msgspec.json.decode(document)["attributes"].get("dicomzarr", {})
        if said:
            return {name: said[name] for name in _OF_SERIES if name in said}
    return {}


def group_documents(plan: SeriesPlan, identity: JSON, zarr_format: int) -> dict[str, bytes]:
    """The documents of all groups by their keys, the root's last: what has no root yet is no OME-Zarr."""
    found: dict[str, bytes] = {}
    for path, group in reversed(list(_groups(build_hierarchy(plan, identity), ""))):
        document: JSON = msgspec.json.decode(group.document)
        if zarr_format == 3:  # noqa: PLR2004  # of Zarr
            found[f"{path}zarr.json"] = encode(document)
        else:
            found[f"{path}.zattrs"] = encode(_as_0_4(document["attributes"]))
            found[f"{path}.zgroup"] = encode({"zarr_format": 2})
    return found


def _groups(group: Group, path: str) -> Iterator[tuple[str, Group]]:
    yield path, group
    for name, child in group.children.items():
        if isinstance(child, Group):
            yield from _groups(child, f"{path}{name}/")


def _as_0_4(attributes: JSON) -> JSON:
    """What 0.5 keeps below ``ome`` lies on top in 0.4, and each part has the version that it is of."""
    ome: JSON = dict(attributes.get("ome", {}))
    ome.pop("version", None)
    if "multiscales" in ome:
        ome["multiscales"] = [{"version": "0.4", **each} for each in ome["multiscales"]]
    if "image-label" in ome:
        ome["image-label"] = {"version": "0.4", **ome["image-label"]}
    return {**ome, **{name: value for name, value in attributes.items() if name != "ome"}}


def array_documents(
    part: Part, codecs: Sequence[JSON], shard: Sequence[int] | None, fill_value: float
) -> dict[str, bytes]:
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
    return {f"{part.path}/zarr.json": encode(document)}


def array_documents_v2(part: Part, compressor: JSON | None, fill_value: float | None) -> dict[str, bytes]:
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
        f"{part.path}/.zarray": encode(document),
        f"{part.path}/.zattrs": encode({"_ARRAY_DIMENSIONS": part.axes}),  # xarray finds the names there
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


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)

"""Zarr v2 documents of groups and arrays (Zarr v2 specification), with the attributes of OME-Zarr 0.4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from dicomzarr.omezarr.documents import encode
from dicomzarr.omezarr.hierarchy import Format
from dicomzarr.omezarr.keys import SEPARATOR, ChunkKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.omezarr.hierarchy import Attributes, Documents
    from dicomzarr.plan import LevelPlan

OME_VERSION: Final = "0.4"

_GROUP: Final = ".zgroup"
_ARRAY: Final = ".zarray"
_ATTRIBUTES: Final = ".zattrs"
_CONSOLIDATED: Final = ".zmetadata"


def group_documents(attributes: Attributes) -> Documents:
    """``.zgroup`` and ``.zattrs`` of a group.

    Args:
        attributes: As OME-Zarr 0.5 has them.
    """
    return {_GROUP: encode({"zarr_format": 2}), _ATTRIBUTES: encode(_as_0_4(attributes))}


def array_documents(level: LevelPlan, dimension_names: tuple[str, ...]) -> Documents:
    """``.zarray`` and ``.zattrs`` of an array whose chunks are decoded frames: little-endian, C order, no compressor.

    Every chunk is there, so that no fill value is needed: xarray would take one for a mark of missing values.
    """
    document = {
        "zarr_format": 2,
        "shape": level.shape,
        "chunks": level.chunks,
        "dtype": level.dtype.str,
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": None,
        "dimension_separator": SEPARATOR,
    }
    # xarray finds the names of dimensions here.
    return {_ARRAY: encode(document), _ATTRIBUTES: encode({"_ARRAY_DIMENSIONS": dimension_names})}


def consolidated(root: Documents, below: Mapping[str, Documents]) -> Documents:
    """The documents of a root, and one that holds those of all nodes."""
    paths = {"": root, **below}
    metadata = {
        f"{path}{SEPARATOR}{name}" if path else name: msgspec.Raw(document)
        for path, documents in paths.items()
        for name, document in documents.items()
    }
    return {**root, _CONSOLIDATED: encode({"zarr_consolidated_format": 1, "metadata": metadata})}


def _as_0_4(attributes: Attributes) -> dict[str, object]:
    """What 0.5 keeps below ``ome`` lies on top in 0.4, and each part has the version that it is of."""
    ome: dict[str, Any] = dict(attributes.get("ome", {}))
    ome.pop("version", None)
    if "multiscales" in ome:
        ome["multiscales"] = [{"version": OME_VERSION, **each} for each in ome["multiscales"]]
    if "image-label" in ome:
        ome["image-label"] = {"version": OME_VERSION, **ome["image-label"]}
    return {**ome, **{name: value for name, value in attributes.items() if name != "ome"}}


V2 = Format(
    chunk_keys=ChunkKeys(""),
    fills_in=False,
    group_documents=group_documents,
    array_documents=array_documents,
    consolidated=consolidated,
)
"""Zarr v2."""

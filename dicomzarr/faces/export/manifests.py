"""A parser for VirtualiZarr: references that it joins, cuts and writes in its own ways."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dicomzarr.faces.export.reference_files import encoded_url
from dicomzarr.faces.export.references import found_references
from dicomzarr.omezarr.keys import SEPARATOR
from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dicomzarr.faces.export.reference_files import Reference

_DOCUMENT = "zarr.json"
_CHUNKS = f"{SEPARATOR}c{SEPARATOR}"


@dataclass(frozen=True)
class DICOMParser:
    """Reads where the frames of a series in files lie; it is a parser as VirtualiZarr wants one.

    ``open_virtual_dataset(url, registry=registry, parser=DICOMParser(levels=[0]))``. The registry must hold a store for
    the files, by which VirtualiZarr reads chunks; the headers are read by us, as ``storage_options`` say.
    """

    levels: Iterable[int] | None = None
    """Numbers of the levels to take; all by default. A dataset of xarray takes one: their axes have one name."""
    images: Iterable[str] | None = None
    """Paths of the images to take, as ``info`` lists them; all by default."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    """See `dicomzarr.options.StorageOptions`."""

    def __call__(self, url: str, registry: Any) -> Any:
        """Read a series.

        Args:
            url: What `dicomzarr.open` takes.
            registry: VirtualiZarr's ``ObjectStoreRegistry``.

        Returns:
            VirtualiZarr's ``ManifestStore``.

        Raises:
            UsageError: VirtualiZarr is not there, the series is on a DICOMweb server, or its frames cannot be referred
                to; the text says why.
            DicomZarrError: The series could not be opened or read.
        """
        needed("virtualizarr", "virtualizarr", python=(3, 12))
        manifests = import_module("virtualizarr.manifests")
        found = found_references(url, levels=self.levels, images=self.images, **self.storage_options)
        chunks: dict[str, dict[str, Reference]] = {}
        for key, each in found.refs.items():
            path, _, chunk = key.rpartition(_CHUNKS)
            chunks.setdefault(path, {})[chunk] = each
        return manifests.ManifestStore(_group(manifests, "", found.documents, chunks), registry=registry)


def _group(
    manifests: Any, path: str, documents: Mapping[str, bytes], chunks: Mapping[str, Mapping[str, Reference]]
) -> Any:
    """A group with all that is below it."""
    arrays, groups = {}, {}
    for name in _below(path, documents):
        whole = f"{path}{SEPARATOR}{name}".lstrip(SEPARATOR)
        document = json.loads(documents[f"{whole}{SEPARATOR}{_DOCUMENT}"])
        if document["node_type"] == "array":
            arrays[name] = _array(manifests, document, chunks.get(whole, {}))
        else:
            groups[name] = _group(manifests, whole, documents, chunks)
    document = json.loads(documents[f"{path}{SEPARATOR}{_DOCUMENT}".lstrip(SEPARATOR)])
    return manifests.ManifestGroup(arrays=arrays, groups=groups, attributes=document.get("attributes", {}))


def _below(path: str, documents: Iterable[str]) -> list[str]:
    """The names of what is in a group."""
    parts = [key.split(SEPARATOR)[:-1] for key in documents]
    above = path.split(SEPARATOR) if path else []
    return [each[-1] for each in parts if each and each[:-1] == above]


def _array(manifests: Any, document: dict[str, Any], chunks: Mapping[str, Reference]) -> Any:
    from zarr.core.metadata import ArrayV3Metadata  # noqa: PLC0415  # only VirtualiZarr needs zarr

    document["chunk_key_encoding"]["configuration"]["separator"] = "."  # the only one that VirtualiZarr lists
    metadata = ArrayV3Metadata.from_dict(document)
    sides = zip(document["shape"], document["chunk_grid"]["configuration"]["chunk_shape"], strict=True)
    entries = {
        chunk.replace(SEPARATOR, "."): {"path": encoded_url(each.url), "offset": each.offset, "length": each.length}
        for chunk, each in chunks.items()
    }
    shape = tuple(-(-side // chunk) for side, chunk in sides)
    return manifests.ManifestArray(metadata, manifests.ChunkManifest(entries, shape=shape))

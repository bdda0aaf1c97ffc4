"""What exports are compared with: the virtual store, chunk by chunk and document by document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from opened import group_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dicomzarr import Image


def nodes(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A group and all below it, by path."""
    yield path, group
    for name, member in sorted(group.members()):
        below = f"{path}/{name}" if path else name
        if isinstance(member, zarr.Group):
            yield from nodes(member, below)
        else:
            yield below, member


def same_values(ours: Any, theirs: Any) -> bool:
    """Whether two arrays are the same, NaN as NaN."""
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")


def assert_same_store(image: Image, exported: Path, **storage_options: Any) -> None:
    """Groups say the same, arrays hold the same, and the same chunks are missing."""
    virtual = dict(nodes(group_at(image.series_url, storage_options=storage_options, zarr_format=3)))
    written = dict(nodes(group_at(exported, zarr_format=3)))
    assert set(written) == set(virtual)
    for path, node in virtual.items():
        assert dict(written[path].attrs) == dict(node.attrs)
        if isinstance(node, zarr.Array):
            assert written[path].metadata.dimension_names == node.metadata.dimension_names
            assert written[path].chunks == node.chunks
            assert same_values(np.asarray(written[path][...]), np.asarray(node[...]))
            assert missing_chunks(exported, path, node) == missing_in_store(image, path, node)


def keys_of(array: Any) -> list[str]:
    """The keys of all chunks that an array may have."""
    grid = [-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
    return ["/".join(["c", *map(str, index)]) for index in np.ndindex(*grid)]


def missing_chunks(exported: Path, path: str, array: Any) -> list[str]:
    """Keys of chunks that are not there."""
    return [key for key in keys_of(array) if not (exported / path / key).is_file()]


def missing_in_store(image: Image, path: str, array: Any) -> list[str]:
    """Keys of chunks that the virtual store lacks."""
    return [key for key in keys_of(array) if image.store.locate(f"{path}/{key}") is None]


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

"""A Zarr hierarchy on any file system of fsspec, as blocks are written to it and read again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import zarr
from fsspec.implementations.local import LocalFileSystem
from zarr.storage import FsspecStore, LocalStore

from dicomzarr.faces.export.durable import settle
from dicomzarr.faces.export.failures import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


class ZarrTarget:
    """Where a hierarchy is written.

    Args:
        url: Its root: a path, or a URL of fsspec.
        options: fsspec's.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url, dict(options)
        with writing("The target"):
            self._fs, self._root = fsspec.core.url_to_fs(url, **options)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._sparse: dict[str, zarr.Array[Any]] = {}

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine."""
        return isinstance(self._fs, LocalFileSystem)

    @property
    def exists(self) -> bool:
        """Whether there is something."""
        with writing("The target"):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._root))

    def remove(self) -> None:
        """Remove all that is there."""
        with writing("The target"):
            self._fs.rm(self._root, recursive=True)

    def put(self, key: str, data: bytes) -> None:
        """Write the value of a key."""
        path = f"{self._root}/{key}"
        with writing("The target"):
            if self.is_local:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, data)

    def get(self, key: str) -> bytes:
        """Read the value of a key."""
        with writing("The target"):
            data: bytes = self._fs.cat_file(f"{self._root}/{key}")
            return data

    def settle(self) -> None:
        """Wait until all of it is where it stays when the power fails; stores elsewhere say when they have it."""
        if self.is_local:
            settle(Path(self._root))

    def open_array(self, path: str) -> None:
        """Open an array whose document is there."""
        with writing("The target"):
            store = LocalStore(self._root) if self.is_local else FsspecStore.from_url(self._url, self._options)
            # A frame that is there is a chunk, whatever its pixels; arrays take this when they are opened.
            for arrays, writes_empty_chunks in ((self._arrays, True), (self._sparse, False)):
                with zarr.config.set({"array.write_empty_chunks": writes_empty_chunks}):
                    arrays[path] = zarr.open_array(store, path=path, mode="r+")

    def write(self, path: str, index: tuple[slice, ...], pixels: npt.NDArray[Any], *, sparse: bool) -> None:
        """Write pixels of an array; from any thread.

        Args:
            path: The array.
            index: Where, whole chunks or shards.
            pixels: What.
            sparse: Leave out chunks that are nothing but the fill value.
        """
        with writing("The target"):
            (self._sparse if sparse else self._arrays)[path][index] = pixels

    def read(self, path: str, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read pixels of an array; from any thread."""
        with writing("The target"):
            return np.asarray(self._arrays[path][index])

"""A Zarr hierarchy on any file system of fsspec, as values of keys are written to it and read again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import zarr
from fsspec.implementations.local import LocalFileSystem
from zarr.storage import FsspecStore, LocalStore

from dicomzarr.errors import UsageError
from dicomzarr.faces.export import local_files
from dicomzarr.faces.export.durable import settle
from dicomzarr.faces.export.failures import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    Data = bytes | bytearray | memoryview


class ZarrTarget:
    """Where a hierarchy is written.

    Args:
        url: Its root: a path, or a URL of fsspec.
        options: fsspec's.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url, dict(options)
        _check_protocol(url)
        with writing("The target"):
            self._fs, self._root = fsspec.core.url_to_fs(url, **options)
        self._arrays: dict[str, zarr.Array[Any]] = {}

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

    def put(self, values: Mapping[str, Data]) -> None:
        """Write the values of keys, all at once where many requests can be under way; from any thread."""
        with writing("The target"):
            if self.is_local:
                for key, data in values.items():
                    local_files.write(self._root, key, data)
                return
            if not self._fs.async_impl:  # object stores have no folders
                for folder in {key.rpartition("/")[0] for key in values}:
                    self._fs.makedirs(f"{self._root}/{folder}", exist_ok=True)
            self._fs.pipe({f"{self._root}/{key}": bytes(data) for key, data in values.items()})

    def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Read the values of keys, but for those that have none; from any thread."""
        names = list(keys)
        paths = [f"{self._root}/{name}" for name in names]
        with writing("The target"):
            if self.is_local:
                values = [local_files.read(path) for path in paths]
            else:  # ranges, for s3fs asks first how large a whole object is
                values = self._fs.cat_ranges(paths, [0] * len(paths), [None] * len(paths), on_error="return")
            for value in values:
                if isinstance(value, Exception) and not isinstance(value, FileNotFoundError):
                    raise value
            found = zip(names, values, strict=True)
            return {name: bytes(value) for name, value in found if not isinstance(value, Exception)}

    def settle(self) -> None:
        """Wait until all of it is where it stays when the power fails; stores elsewhere say when they have it."""
        if self.is_local:
            settle(Path(self._root))

    def read(self, path: str, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read pixels of an array whose document is there; from any thread.

        Args:
            path: Of the array.
            index: A slice for each axis, which are those of the result.

        Raises:
            TargetError: They cannot be read.
        """
        with writing("The target"):
            array = self._arrays.get(path)
            if array is None:
                store = LocalStore(self._root) if self.is_local else FsspecStore.from_url(self._url, self._options)
                array = self._arrays[path] = zarr.open_array(store, path=path, mode="r")
            return np.asarray(array[index])


def _check_protocol(url: str) -> None:
    """Say which package is missing, rather than that something is."""
    protocol, _ = fsspec.core.split_protocol(url)
    if protocol is None or "::" in url:
        return
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError):
        raise UsageError(
            f"fsspec has no file system for targets of {protocol}:// here.",
            remedy="Install its package, as s3fs for s3://, gcsfs for gs:// or adlfs for az://, or name a path.",
        ) from None

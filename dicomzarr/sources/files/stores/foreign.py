"""Places that another library reads: any fsspec filesystem, any store of obstore. Credentials are theirs."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import (
    ChangedFileError,
    DicomZarrError,
    InvalidOptionError,
    MissingFileError,
    TruncatedReplyError,
    UnreadableFileError,
)
from dicomzarr.runtime.home_loop import home_loop
from dicomzarr.runtime.pools import FOREIGN
from dicomzarr.sources.files.stores.port import Listing, read_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dicomzarr.options import Tuning

_REMEDY: Final = "Open the series again."
_STATES: Final = ("ETag", "etag", "e_tag", "version", "checksum", "md5", "mtime", "LastModified", "updated", "created")
"""Under which names file systems tell the state of a file, the surest first."""


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file in such a place; it is a `port.StoredFile`."""

    path: str
    size: int
    tag: str
    store: FsspecFiles | ObstoreFiles = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """See `StoredFile.name`."""
        return self.path

    @property
    def place(self) -> tuple[ForeignFile, int]:
        """See `StoredFile.place`."""
        return self, 0

    @property
    def url(self) -> str | None:
        """See `StoredFile.url`."""
        return self.store.url_of(self)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, span: slice) -> bytes | memoryview:
        return read_now(self, span)

    async def read(self, start: int, stop: int) -> bytes | memoryview:
        """See `StoredFile.read`."""
        stop = min(stop, self.size)
        if stop <= start:
            return b""
        data = await self.store.range(self, start, stop)
        if len(data) != stop - start:
            raise TruncatedReplyError(f"{len(data)} of {stop - start} bytes of {self.name} came.")
        return data


class _Foreign:
    near = False

    def __init__(self, where: str) -> None:
        self.where = where

    def pace(self) -> tuple[float, int]:
        """See `ByteStore.pace`; nothing is measured."""
        return 0.05, 2**20

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`; the other library has its own bounds."""

    def close(self) -> None:
        """See `ByteStore.close`: whoever made it closes it."""

    def url_of(self, file: ForeignFile) -> str | None:  # noqa: ARG002  # of those that have one
        """See `StoredFile.url`."""
        return None

    def _listing(self, found: Mapping[str, ForeignFile]) -> Listing:
        if not found:
            raise MissingFileError(f"There is nothing at {self.where}.", remedy="Check the path.")
        return Listing(dict(sorted(found.items())), {})


class FsspecFiles(_Foreign):
    """The files below a path of an fsspec filesystem, or one; it is a `port.ByteStore`.

    fsspec has no conditional reads: a file that is replaced by one of the same size is noticed when it is listed again.

    Args:
        where: What it is, for messages.
        make: Gives the filesystem and the path in it.
        named: The filesystem is what fsspec makes of the URL.
    """

    def __init__(self, where: str, make: Callable[[], tuple[Any, str]], *, named: bool = True) -> None:
        super().__init__(where)
        self._named = named
        self._make = make
        self._fs: Any = None

    def files(self) -> Listing:
        """See `ByteStore.files`."""
        with _explained(self.where):
            if self._fs is None:
                self._fs, self._path = self._make()
            self._fs.invalidate_cache()
            infos = self._fs.find(self._path, detail=True)
        root = str(self._fs._strip_protocol(self._path)).rstrip("/")  # noqa: SLF001  # what fsspec names begin with
        return self._listing(
            {
                _below(name, root): ForeignFile(name, int(info["size"]), _state(info), self)
                for name, info in infos.items()
                if info.get("type", "file") == "file" and info.get("size")
            }
        )

    def url_of(self, file: ForeignFile) -> str | None:
        """See `StoredFile.url`; a chain is no URL of one file, and a filesystem that was given may be any."""
        is_plain = self._fs is not None and self._named and "::" not in self.where
        return str(self._fs.unstrip_protocol(file.path)) if is_plain else None

    async def range(self, file: ForeignFile, start: int, stop: int) -> bytes:
        """Bytes of a file."""
        with _explained(file.name):
            if self._fs.async_impl and not self._fs.asynchronous and self._fs.loop is home_loop():
                return bytes(await self._fs._cat_file(file.path, start=start, end=stop))  # noqa: SLF001  # fsspec's way
            return bytes(await FOREIGN.run(self._fs.cat_file, file.path, start, stop))


class ObstoreFiles(_Foreign):
    """The files below a prefix of an obstore store, or one; it is a `port.ByteStore`.

    Args:
        where: What it is, for messages.
        store: The store.
        prefix: The prefix.
    """

    def __init__(self, where: str, store: Any, prefix: str) -> None:
        super().__init__(where)
        self._store = store
        self._prefix = prefix.strip("/")

    def files(self) -> Listing:
        """See `ByteStore.files`."""
        obstore = importlib.import_module("obstore")
        with _explained(self.where):
            metas = [meta for page in obstore.list(self._store, prefix=self._prefix or None) for meta in page]
            if not metas and self._prefix:
                metas = [obstore.head(self._store, self._prefix)]
        return self._listing(
            {
                _below(meta["path"], self._prefix): ForeignFile(
                    meta["path"], meta["size"], meta.get("e_tag") or str(meta.get("last_modified", "")), self
                )
                for meta in metas
                if meta["size"]
            }
        )

    async def range(self, file: ForeignFile, start: int, stop: int) -> Any:
        """Bytes of a file, if it is as it was listed."""
        obstore = importlib.import_module("obstore")
        options: dict[str, Any] = {"range": (start, stop)}
        if file.tag.startswith('"'):
            options["if_match"] = file.tag
        with _explained(file.name):
            reply = await obstore.get_async(self._store, file.path, options=options)
            if reply.meta["size"] != file.size:
                raise ChangedFileError(f"{file.name} has changed since it was listed.", remedy=_REMEDY)
            return bytes(await reply.bytes_async())


def _below(name: str, root: str) -> str:
    return name.rpartition("/")[2] if name == root or not root else name.removeprefix(root).lstrip("/")


def _state(info: Mapping[str, Any]) -> str:
    return next((str(info[name]) for name in _STATES if info.get(name)), "")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise what such a library raises as one of our own errors; its texts may hold secrets."""
    try:
        yield
    except DicomZarrError:
        raise
    except ImportError as error:
        raise InvalidOptionError(f"{name} needs a library that is not installed.", remedy=str(error)) from None
    except Exception as error:  # noqa: BLE001  # each library has its own
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError) or kind == "NotFoundError":
            raise MissingFileError(f"There is nothing at {name}.", remedy=_REMEDY) from None
        if kind == "PreconditionError":
            raise ChangedFileError(f"{name} has changed since it was listed.", remedy=_REMEDY) from None
        raise UnreadableFileError(f"{name} cannot be read ({kind}).") from None

"""Places that another library reads: any fsspec filesystem, any store of obstore. Credentials are theirs."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.errors import (
    ChangedFileError,
    DicomZarrError,
    MissingFileError,
    MissingPackageError,
    TruncatedReplyError,
    UnreadableFileError,
)
from dicomzarr.runtime.home_loop import home_loop, refuse_running
from dicomzarr.sources.files.stores.port import LeftOut, Listing, empty_files, read_now, untold
from dicomzarr.sources.files.stores.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dicomzarr.options import Tuning

_REMEDY: Final = "Open the series again."
_STATES: Final = (
    *("ETag", "etag", "e_tag", "version", "generation", "checksum", "md5", "Content-MD5", "Digest", "sha", "CRC"),
    *("mtime", "modify", "LastModified", "last_modified", "Last-Modified", "modificationTime", "updated"),
)
"""Under which names filesystems tell the state of a file, the surest first."""

_LISTED: Final = 10
"""Times as long as one call may take that a listing may: it is one request for each folder, or for a thousand files."""

_STATE: Final = "dicomzarr state"
"""Under which name we tell it."""


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file in such a place; it is a `port.StoredFile`."""

    path: str
    size: int
    tag: str
    store: _Filesystem | ObstoreFiles = field(compare=False, repr=False)
    """Who reads it: what listed it."""

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

    def _listing(self, files: Mapping[str, ForeignFile], left_out: Mapping[str, LeftOut]) -> Listing:
        if not files and not left_out:
            raise MissingFileError(f"There is nothing at {self.where}.", remedy="Check the path.")
        return Listing(dict(sorted(files.items())), left_out)


class FsspecFiles(_Foreign):
    """The files below a path of an fsspec filesystem, or one; it is a `port.ByteStore`.

    fsspec has no conditional reads: a file that is replaced by one of the same size is noticed when it is listed again.

    Args:
        where: What it is, for messages.
        make: Gives the filesystem and the path in it; called for each listing.
        timeout: Seconds in which a call has to return.
        named: The filesystem is what fsspec makes of the URL.
    """

    def __init__(self, where: str, make: Callable[[], tuple[Any, str]], timeout: float, *, named: bool = True) -> None:
        super().__init__(where)
        self.timeout = timeout
        self.is_url = named and "::" not in where
        self._make = make

    def tune(self, tuning: Tuning, timeout: float) -> None:  # noqa: ARG002  # the port's
        """See `SeriesSource.tune`; how much is asked at once is the other library's."""
        self.timeout = timeout

    def files(self) -> Listing:
        """See `ByteStore.files`.

        Raises:
            RequestTimeoutError: The filesystem does not answer.
        """
        refuse_running(home_loop())
        return asyncio.run_coroutine_threadsafe(self._files(), home_loop()).result()

    async def _files(self) -> Listing:
        with _explained(self.where):
            made, path = await Turns(None).run(self.timeout, self.where, self._make)
            filesystem = _Filesystem(made, self)
            infos = await filesystem.turns.run(_LISTED * self.timeout, self.where, filesystem.infos, path)
        root = str(made._strip_protocol(path)).rstrip("/")  # noqa: SLF001  # what fsspec names begin with
        below = {
            _below(name, root): ForeignFile(name, int(info.get("size") or 0), info[_STATE], filesystem)
            for name, info in infos.items()
            if info.get("type", "file") != "directory"
        }
        sizes = {name: file.size for name, file in below.items()}
        strange = {
            name: LeftOut.UNREADABLE
            for name, file in below.items()
            if infos[file.path].get("type", "file") != "file" or infos[file.path].get("size") is None
        }
        files = {name: file for name, file in below.items() if file.size and name not in strange}
        left_out = empty_files(sizes) | strange
        return self._listing(files, left_out)


class _Filesystem:
    """A filesystem as it was when it was listed: what it holds open stays as long as its files are read."""

    def __init__(self, filesystem: Any, store: FsspecFiles) -> None:
        layers = list(_layers(filesystem))
        is_async = all(type(each).async_impl for each in layers)
        self.turns = Turns.of(layers[-1], one=not is_async and not _is_local(layers))
        self._fs = filesystem
        self._innermost = layers[-1]
        self._store = store
        self._is_ours = is_async and not filesystem.asynchronous and filesystem.loop is home_loop()

    def infos(self, path: str) -> dict[str, dict[str, Any]]:
        """What it says of all files below a path, with the state of each; waits for it."""
        self._fs.invalidate_cache()
        found: dict[str, dict[str, Any]] = {}
        outer = _state_of_archive(self._innermost)
        for name, info in self._fs.find(path, detail=True).items():
            told = dict(info)
            if told.get("size") is None:
                with suppress(Exception):  # a link in a page may lead nowhere: it cannot be read
                    told |= self._fs.info(name)
            found[name] = {**told, _STATE: self._state(name, told, outer)}
        return found

    def _state(self, name: str, info: Mapping[str, Any], outer: str | None) -> str:
        found = _state(info)
        if outer is not None and not info.get("CRC"):  # the date of a member is what somebody wrote into the archive
            return f"{outer} {found}" if outer else untold()
        if not found:
            with suppress(Exception):  # each library has its own
                found = str(self._fs.modified(name) or "")
        return found or untold()

    def url_of(self, file: ForeignFile) -> str | None:
        """See `StoredFile.url`; a chain is no URL of one file, and a filesystem that was given may be any."""
        return str(self._fs.unstrip_protocol(file.path)) if self._store.is_url else None

    async def range(self, file: ForeignFile, start: int, stop: int) -> bytes:
        """Bytes of a file."""
        timeout = self._store.timeout
        with _explained(file.name):
            if self._is_ours:
                reading = self._fs._cat_file(file.path, start=start, end=stop)  # noqa: SLF001  # fsspec's way
                return bytes(await self.turns.bounded(timeout, file.name, asyncio.ensure_future(reading)))
            return bytes(await self.turns.run(timeout, file.name, self._fs.cat_file, file.path, start, stop))


def _layers(filesystem: Any) -> Iterator[Any]:
    """A filesystem, and those that it reads from, the innermost at last."""
    yield filesystem
    known = object.__getattribute__(filesystem, "__dict__")  # a caching one gives that of another
    for each in (known.get("fs"), known.get("sync_fs"), *(known.get("fss") or {}).values()):
        if each is not None and each is not filesystem:
            yield from _layers(each)


def _is_local(layers: Sequence[Any]) -> bool:
    from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415  # few read so

    return all(isinstance(each, LocalFileSystem) or type(each).async_impl for each in layers[:-1]) and isinstance(
        layers[-1], LocalFileSystem
    )


def _state_of_archive(filesystem: Any) -> str | None:
    """The state of the archive that a filesystem reads from; empty where nobody tells it, None if it is no archive."""
    from fsspec.archive import AbstractArchiveFileSystem  # noqa: PLC0415  # few read so

    if not isinstance(filesystem, AbstractArchiveFileSystem):
        return None
    opened = getattr(filesystem, "of", None)
    try:
        info = opened.fs.info(opened.path)  # type: ignore[union-attr]  # where it is no file of a filesystem
    except Exception:  # noqa: BLE001  # each library has its own
        return ""
    found = _state(info)
    return f"{info.get('size')} {found}" if found else ""


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
                    meta["path"], meta["size"], meta.get("e_tag") or str(meta.get("last_modified") or untold()), self
                )
                for meta in metas
                if meta["size"]
            },
            empty_files({_below(meta["path"], self._prefix): meta["size"] for meta in metas}),
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
        raise MissingPackageError(f"{name} needs a library that is not installed.", remedy=str(error)) from None
    except Exception as error:  # noqa: BLE001  # each library has its own
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError) or kind == "NotFoundError":
            raise MissingFileError(f"There is nothing at {name}.", remedy=_REMEDY) from None
        if kind == "PreconditionError":
            raise ChangedFileError(f"{name} has changed since it was listed.", remedy=_REMEDY) from None
        raise UnreadableFileError(f"{name} cannot be read ({kind}).") from None

"""The fsspec face: ``dicomweb://``, ``dicomwebs://`` and ``dicomfile://`` as read-only filesystems.

The tree is ``BASE/studies/<Study>/series/<Series>/<Zarr keys>``. Above a series it lists by searches; below,
it is the virtual OME-Zarr store. Constructing a filesystem does no I/O.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.registry import register_implementation
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.utils import stringify_path, tokenize

from dicomzarr.errors import (
    ConnectionFailedError,
    DicomZarrError,
    HTTPStatusError,
    MissingFileError,
    NotFoundError,
    ReadOnlyError,
)
from dicomzarr.omezarr.hierarchy import Directory, Document, locate
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import home_loop, refuse_running, run_home
from dicomzarr.session.kinds import kind_of, parse_url
from dicomzarr.session.locate import series_ref
from dicomzarr.session.opening import endpoint_for, endpoints_of
from dicomzarr.sources.dicomweb.metadata.search import listed_uids
from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.files.chaining import chained_options, chained_place
from dicomzarr.sources.files.places import STORE
from dicomzarr.sources.files.urls import CHAIN, split_place
from dicomzarr.sources.http.urls import split_user_info

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.omezarr.hierarchy import Found
    from dicomzarr.omezarr.series_store import OpeningName, SeriesStore
    from dicomzarr.session.kinds import SeriesURL
    from dicomzarr.session.registry import Endpoint

_FSSPEC_OPTIONS = frozenset(
    {
        "asynchronous",
        "loop",
        "batch_size",
        "use_listings_cache",
        "listings_expiry_time",
        "max_paths",
    }
)
"""Options that belong to fsspec itself."""

_SUFFIX = re.compile(r"(/series/[^/]+)\.zarr(?=/|$)")


class _Shown(NamedTuple):
    """What was read of a series."""

    name: OpeningName
    """Of the opening that it was read of."""
    documents: bool = False
    """Arrays were made of its documents, and not only chunks read."""


_STUDY_UID = "0020000D"
_SERIES_UID = "0020000E"

Entry = dict[str, Any]


class SeriesFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Series of one kind of source, as OME-Zarr.

    Args:
        **options: The storage options of `dicomzarr.options.StorageOptions`, and fsspec's own.

    Raises:
        InvalidOptionError: An option is unknown or has an impossible value.
    """

    cachable = False
    """Instances cost nothing; a cache of them would keep stale credentials alive."""

    location: str | None = None
    """The place of files that paths without one are in: what stands behind ``::`` in the URL."""

    def __init__(self, *, asynchronous: bool = False, loop: Any = None, **options: Any) -> None:
        own = {name: value for name, value in options.items() if name in _FSSPEC_OPTIONS}
        self.options = StorageOptions.parse(
            **{name: value for name, value in options.items() if name not in _FSSPEC_OPTIONS}
        )
        super().__init__(asynchronous=asynchronous, loop=loop or home_loop(), **own)
        self._endpoints: dict[str, Endpoint] = {}
        """Those in use, by base URL."""
        self._shown: dict[tuple[str, SeriesRef], _Shown] = {}
        """What was read of each series: chunks of another state would lie at other places."""

    @property
    def loop(self) -> Any:
        """The loop that synchronous calls wait for; None when there are only asynchronous ones.

        Raises:
            EventLoopError: A synchronous call was made on that very loop.
        """
        if self.asynchronous:
            return None
        # The loop of a forked child's parent is gone.
        loop = self._loop if self._pid == os.getpid() else home_loop()
        refuse_running(loop)
        return loop

    # What travels: never a secret.

    @property
    def storage_options(self) -> dict[str, Any]:
        """The options as they may be written down: secrets are references."""
        public: dict[str, Any] = dict(self.options.to_public())
        if self.location is not None:
            public["fo"] = self.location
        return {**public, "asynchronous": True} if self.asynchronous else public

    @storage_options.setter
    def storage_options(self, raw: Mapping[str, Any]) -> None:
        """Fsspec hands over the raw options here, which are not kept."""

    @property
    def _fs_token(self) -> str:
        token: str = tokenize(type(self).__name__, self.options.to_public(), self.location)
        return token

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.options, self.asynchronous, dict(self._shown), self.location)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.options!r}>"

    # Paths.

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The canonical spelling: with the scheme, without user-info, ``.zarr`` and trailing slash."""
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        name, chain, place = split_place(_bare(stringify_path(path)))
        return _SUFFIX.sub(r"\1", name).rstrip("/") + chain + place

    def unstrip_protocol(self, name: str) -> str:
        """Paths keep their scheme."""
        return str(self._strip_protocol(name))

    @classmethod
    def _parent(cls, path: str) -> str:
        name, chain, place = split_place(str(cls._strip_protocol(path)))
        parent, _, _ = name.rpartition("/")
        return cls.root_marker if parent.endswith("/") else parent + chain + place

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        bare, user = split_user_info(path)
        if "?" in bare or "#" in bare:
            DICOMwebURL.parse(bare)
        return {"auth": user} if user else {}

    def _parsed(self, path: str) -> tuple[str, SeriesURL]:
        """The path under the spelling asked, without user-info and trailing slash; and what it names."""
        name, chain, place = split_place(_bare(path))
        name = name.rstrip("/")
        if not chain and self.location is not None:
            return name, parse_url(f"{name}{CHAIN}{self.location}")
        return name + chain + place, parse_url(name + chain + place)

    def _endpoint(self, url: SeriesURL) -> Endpoint:
        endpoint = self._endpoints[url.base] = endpoint_for(url.base, self.options)
        return endpoint

    async def _store(self, url: SeriesURL) -> SeriesStore:
        """The opened series; once open, no loop is crossed for it."""
        endpoint, key = self._endpoint(url), series_ref(url)
        held = endpoint.held(key, self.options)
        return await run_home(endpoint.store, key, self.options) if held is None else held

    async def _value(self, url: SeriesURL) -> bytes | None:
        """The value of a key: a document as the series is now, a chunk as the documents said that it was.

        Raises:
            SeriesChangedError: The series has changed since its documents were read.
        """
        endpoint, key = self._endpoint(url), series_ref(url)
        store = await self._store(url)
        if isinstance(store.locate(url.key), Document):
            self._shown[url.base, key] = _Shown(store.name, documents=True)
        elif store.state != (shown := self._shown.setdefault((url.base, key), _Shown(store.name))).name.state:
            store = await run_home(endpoint.store_in, key, self.options, shown.name.state)
        return await store.get(url.key)

    # Reading.

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The bytes of a key, or of a range of it; negative positions count from the end.

        Raises:
            FileNotFoundError: The metadata says that the key does not exist.
            SeriesNotFoundError: The server has no such series.
        """
        name, url = self._parsed(path)
        if url.series is None:
            raise _AbsentError(name)
        with _no_failure_is_absence(name):
            data = await self._value(url)
        if data is None:
            raise _AbsentError(name)
        return data if start is None and end is None else data[start:end]

    async def _cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:  # noqa: FBT001, FBT002  # fsspec's signature
        """The bytes of several keys; ``omit`` leaves out those that are absent, and raises where one failed."""
        if on_error != "omit":
            return await super()._cat(path, recursive, on_error, **options)
        found = await super()._cat(path, recursive, "return", **options)
        values = found if isinstance(found, dict) else {path: found}
        for value in values.values():
            if isinstance(value, BaseException) and not isinstance(value, FileNotFoundError):
                raise value
        present = {name: value for name, value in values.items() if isinstance(value, bytes)}
        return present if isinstance(found, dict) else found

    async def _cat_ranges(self, paths: Any, starts: Any, ends: Any, on_error: str = "return", **options: Any) -> Any:
        """The bytes of several ranges of keys, with what failed among them or raised."""
        found = await super()._cat_ranges(paths, starts, ends, on_error=on_error, **options)
        failed = next((each for each in found if isinstance(each, BaseException)), None)
        if failed is not None and on_error != "return":  # which fsspec before 2026.6 does not see to
            raise failed
        return found

    async def _info(self, path: str, **_: Any) -> Entry:
        """Name, size in bytes and type; the size of a chunk is known without fetching it."""
        name, url = self._parsed(path)
        with _no_failure_is_absence(name):
            if url.series is None:
                await self._found_above(url, name, wanted=1)
                return _directory(name)
            return _entry(name, locate((await self._found_store(url, name)).root, url.key))

    def ukey(self, path: str) -> str:
        """Tells what is at a path from what replaced it in another state of the series, as the series is opened now.

        fsspec's caches of files ask for it (``check_files``); by name and size alone, as fsspec has it, other values
        of an array are the same.

        Raises:
            FileNotFoundError: There is no such key or series.
        """
        found: str = sync(self.loop, self._ukey, path)
        return found

    async def _ukey(self, path: str) -> str:
        name, url = self._parsed(path)
        told = await self._info(path)
        if url.series is None:
            return str(tokenize(told))
        with _no_failure_is_absence(name):
            return str(tokenize(told, (await self._found_store(url, name)).version))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002  # fsspec's signature
        """The entries below a path, under the spelling asked."""
        name, url = self._parsed(path)
        with _no_failure_is_absence(name):
            if url.series is None:
                entries = [_directory(_below(name, child)) for child in await self._search(url, name)]
            else:
                entries = _children(name, (await self._found_store(url, name)).root, url.key)
        return entries if detail else [entry["name"] for entry in entries]

    async def _exists(self, path: str, **_: Any) -> bool:
        """Whether the key, series or study exists; a failure to find out is an error."""
        try:
            await self._info(path)
        except FileNotFoundError:
            return False
        return True

    async def _isfile(self, path: str) -> bool:
        """Whether the path is a key; a failure to find out is an error."""
        try:
            return bool((await self._info(path))["type"] == "file")
        except FileNotFoundError:
            return False

    async def _get_file(self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any) -> None:
        """Copy one key to a local file."""
        if await self._isdir(rpath):
            await asyncio.to_thread(Path(lpath).mkdir, parents=True, exist_ok=True)
            return
        data = await self._cat_file(rpath)
        callback.set_size(len(data))
        await asyncio.to_thread(_write, Path(lpath), data)
        callback.relative_update(len(data))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> _KeyFile:
        if mode != "rb":
            self._refuse_write(path)
        options = {"cache_type": "all", **options, "block_size": None}
        return _KeyFile(self, path, **options)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Read metadata and frames anew at the next use.

        An array that was opened before goes by its documents: where cells are others now, reading it is a
        `SeriesChangedError` until it is opened again.

        Args:
            path: Names the series; above one, all series of that server; None for all that these credentials opened.
        """
        if path is None:
            self._shown = {each: shown for each, shown in self._shown.items() if shown.documents}
            for endpoint in endpoints_of(self.options):
                endpoint.forget()
        else:
            _, url = self._parsed(path)
            for base, key in list(self._shown):
                named = base == url.base and (url.series is None or key == series_ref(url))
                if named and not self._shown[base, key].documents:
                    del self._shown[base, key]
            self._endpoint(url).forget(None if url.series is None else series_ref(url))
        super().invalidate_cache(path)

    async def _found_store(self, url: SeriesURL, name: str) -> SeriesStore:
        """The opened series, for the verbs whose word for absence is FileNotFoundError."""
        try:
            return await self._store(url)
        except (NotFoundError, MissingFileError) as error:
            raise _AbsentError(name) from error

    # Above the series: searches.

    async def _search(self, url: SeriesURL, name: str) -> list[str]:
        """Names directly below a path above the series."""
        collection, tag = ("studies", _STUDY_UID) if url.study is None else ("series", _SERIES_UID)
        if split_place(name)[0].rpartition("/")[2] != collection:
            await self._found_above(url, name, wanted=1)
            return [collection]
        return listed_uids(await self._found_above(url, name), tag, name)

    async def _found_above(self, url: SeriesURL, name: str, wanted: int | None = None) -> list[Entry]:
        """Search results for all studies, or for the series of a study, which are never none."""
        resource = "studies" if url.study is None else f"studies/{url.study}/series"
        search = partial(self._endpoint(url).source.search, resource, {}, wanted=wanted)
        try:
            results = await run_home(search)
        except (NotFoundError, MissingFileError) as error:
            raise _AbsentError(name) from error
        except HTTPStatusError as error:
            from dicomzarr.session.absence import explained  # noqa: PLC0415  # something went wrong

            await run_home(partial(explained, error, self._endpoint(url).source, url))
            raise
        if url.study is not None and not results:
            raise _AbsentError(name)
        return results

    # Writing.

    def _refuse_write(self, path: Any) -> NoReturn:
        first = path[0] if isinstance(path, list) and path else path
        raise ReadOnlyError(
            f"{self._strip_protocol(str(first))} cannot be written: a series is read-only here.",
            remedy="Write to a copy, or send DICOM instances to a server by STOW-RS.",
        )

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:  # noqa: ARG002  # fsspec's signature
        self._refuse_write(path)

    async def _put_file(self, lpath: str, rpath: str, **_: Any) -> None:  # noqa: ARG002  # fsspec's signature
        self._refuse_write(rpath)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:  # noqa: ARG002  # fsspec's signature
        self._refuse_write(path2)

    async def _rm_file(self, path: str, **_: Any) -> None:
        self._refuse_write(path)

    async def _rm(self, path: Any, **_: Any) -> None:
        self._refuse_write(path)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ARG002, FBT001, FBT002  # fsspec's signature
        self._refuse_write(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # fsspec's signature
        self._refuse_write(path)

    def rmdir(self, path: str) -> None:
        """Refused: fsspec's own would pretend to have done it."""
        self._refuse_write(path)


class DICOMwebsFileSystem(SeriesFileSystem):
    """Series behind a DICOMweb server over HTTPS, as OME-Zarr; see `SeriesFileSystem`."""

    protocol = "dicomwebs"


class DICOMwebFileSystem(DICOMwebsFileSystem):
    """Series behind a DICOMweb server over plain HTTP, as OME-Zarr."""

    protocol = "dicomweb"


class DICOMFileSystem(SeriesFileSystem):
    """Series in DICOM files, as OME-Zarr; see `SeriesFileSystem`.

    Args:
        fo: The place of the files, where the URL is chained: as fsspec gives it.
        target_protocol: Its protocol.
        target_options: Options of its filesystem, and of ours.
        **options: As for `SeriesFileSystem`.
    """

    protocol = "dicomfile"

    def __init__(
        self,
        fo: str | None = None,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        told = chained_options(target_protocol, target_options or {})
        super().__init__(**{**told, **options})
        if fo is not None:
            self.location = chained_place(fo, target_protocol)

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:  # noqa: ARG004  # fsspec's signature
        """A path holds no options, and any character."""
        return {}


class GivenStore(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What fsspec needs to know of places in the option ``store``: that there are such."""

    protocol = STORE


register_implementation(STORE, GivenStore, clobber=True)


class _AbsentError(FileNotFoundError):
    """There is no such key: the only kind that is ours, and no failure of something below."""


@contextmanager
def _no_failure_is_absence(name: str) -> Iterator[None]:
    """Raise what fails as one of our own errors.

    Zarr fills in a chunk whose key it takes for absent, on ``FileNotFoundError`` and its kin; a mapping is not there
    on ``KeyError``.
    """
    try:
        yield
    except (DicomZarrError, _AbsentError):
        raise
    except Exception as error:
        kind = ConnectionFailedError if isinstance(error, OSError) else DicomZarrError
        raise kind(f"{name} could not be read ({type(error).__name__}).") from error


class _KeyFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """One key as a file that can be read and sought."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start=start, end=end)
        return data


def _rebuild(
    kind: type[SeriesFileSystem],
    options: StorageOptions,
    asynchronous: bool,  # noqa: FBT001  # as pickle calls it
    shown: dict[tuple[str, SeriesRef], _Shown],
    location: str | None,
) -> SeriesFileSystem:
    fs = kind(asynchronous=asynchronous)
    fs.options = options
    fs._shown = shown  # noqa: SLF001  # our own
    fs.location = location
    return fs


def _bare(path: str) -> str:
    """A URL without user-info."""
    return kind_of(path).bare(path)[0]


def _below(name: str, child: str) -> str:
    """The path of an entry of a directory; the place that a path is in stays at its end."""
    head, chain, place = split_place(name)
    return f"{head}/{child}" + chain + place


def _directory(name: str) -> Entry:
    return {"name": name, "size": 0, "type": "directory"}


def _entry(name: str, found: Found | None) -> Entry:
    if found is None:
        raise _AbsentError(name)
    if isinstance(found, Directory):
        return _directory(name)
    return {"name": name, "size": found.size, "type": "file"}


def _children(name: str, root: Any, key: str) -> list[Entry]:
    found = locate(root, key)
    if not isinstance(found, Directory):
        return [_entry(name, found)]
    prefix = f"{key}/" if key else ""
    return [_entry(_below(name, child), locate(root, prefix + child)) for child in found.names()]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

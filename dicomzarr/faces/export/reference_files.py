"""What references are written to: Kerchunk's JSON, version 1, or a repository of Icechunk. Both hold Zarr v3."""

from __future__ import annotations

import itertools
import os
import shutil
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from dicomzarr.errors import InvalidOptionError, UsageError
from dicomzarr.faces.export.failures import on_disk, taken, writing
from dicomzarr.omezarr.keys import SEPARATOR
from dicomzarr.runtime.extras import needed
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.sources.files.stores.pinned_file import PinnedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dicomzarr.sources.files.stores.port import StoredFile

_LOCAL: Final = "file://"


class Reference(NamedTuple):
    """Where the bytes of a chunk lie."""

    url: str
    offset: int
    length: int
    file: StoredFile
    """What the URL names, in the state in which it was looked at."""


def _write_kerchunk(path: Path, documents: Mapping[str, bytes], refs: Mapping[str, Reference]) -> None:
    found: dict[str, Any] = {key: text.decode() for key, text in documents.items()}
    found |= {key: (each.url, each.offset, each.length) for key, each in refs.items()}
    path.write_bytes(msgspec.json.encode({"version": 1, "refs": found}))


def _write_icechunk(path: Path, documents: Mapping[str, bytes], refs: Mapping[str, Reference]) -> None:
    from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415  # only Icechunk needs zarr

    icechunk: Any = import_module("icechunk")
    config = icechunk.RepositoryConfig.default()
    for prefix in _prefixes(refs.values()):
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, _store(icechunk, prefix)))
    storage = icechunk.local_filesystem_storage(str(path))
    session = icechunk.Repository.create(storage, config=config).writable_session("main")
    buffers = default_buffer_prototype().buffer
    for key, text in documents.items():
        run_sync(session.store.set, key, buffers.from_bytes(text))
    arrays: dict[str, list[Any]] = {}
    for key, each in refs.items():
        array, _, chunk = key.rpartition(f"{SEPARATOR}c{SEPARATOR}")
        indices = [int(index) for index in chunk.split(SEPARATOR)]
        place = encoded_url(each.url), each.offset, each.length
        spec = icechunk.VirtualChunkSpec(indices, *place, last_updated_at_checksum=_modified(each))
        arrays.setdefault(array, []).append(spec)
    for array, specs in arrays.items():
        refused = session.store.set_virtual_refs(array, specs)
        if refused:
            raise UsageError(f"Icechunk takes no reference to {len(refused)} chunks.", remedy="Write .json instead.")
    session.commit("References to DICOM files")


def _prefixes(refs: Iterable[Reference]) -> set[str]:
    """What all of an Icechunk's references are below: the folder of local files, and servers."""
    urls = {encoded_url(each.url) for each in refs}
    folders = [url.removeprefix(_LOCAL).rpartition("/")[0] or "/" for url in urls if url.startswith(_LOCAL)]
    found = {_LOCAL + _readable(os.path.commonpath(folders))} if folders else set()
    for parts in (urlsplit(url) for url in urls if not url.startswith(_LOCAL)):
        if parts.scheme not in {"http", "https"}:
            raise UsageError(
                f"Icechunk wants to be told how {parts.scheme}:// is reached, and as whom.",
                remedy="Write .json instead, or name a public bucket.",
            )
        found.add(f"{parts.scheme}://{parts.netloc}/")
    return found


def _readable(folder: str) -> str:
    """The folder, or one above it: Icechunk does not find what is below a prefix with percent signs."""
    parts = folder.strip("/").split("/")
    plain = "/".join(itertools.takewhile(lambda part: "%" not in part, parts))
    return f"/{plain}/" if plain else "/"


def _store(icechunk: Any, prefix: str) -> Any:
    if prefix.startswith(_LOCAL):
        return icechunk.local_filesystem_store(prefix.removeprefix(_LOCAL))
    return icechunk.http_store()


def encoded_url(url: str) -> str:
    """As others read URLs: the path of a local file is percent-encoded."""
    return f"{_LOCAL}{quote(url.removeprefix(_LOCAL))}" if url.startswith(_LOCAL) else url


def _modified(ref: Reference) -> datetime | None:
    """When a file on a disk was changed last, by which Icechunk notices that it is another one.

    It sends entity tags to servers without their quotes, which these need not understand (RFC 9110 section 13.1.1).
    """
    if not isinstance(ref.file, PinnedFile):
        return None
    return datetime.fromtimestamp(-(-ref.file.modified // 10**9), UTC)


_WRITERS: Final[Mapping[str, Callable[[Path, Mapping[str, bytes], Mapping[str, Reference]], None]]] = {
    ".json": _write_kerchunk,
    ".icechunk": _write_icechunk,
}
"""By how the name of the target ends."""


def local_target(target: str | os.PathLike[str]) -> Path:
    """The path of a target.

    Raises:
        UsageError: It is a URL.
    """
    if "://" in os.fspath(target):
        raise UsageError(
            f"References are written to a local disk, and {target} is elsewhere.",
            remedy="Name a path, and copy what is written there.",
        )
    return Path(os.path.expanduser(target))  # noqa: PTH111  # as fsspec has ~


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a target that references cannot be written to.

    Raises:
        UsageError: It is one.
    """
    if path.suffix.lower() not in _WRITERS:
        raise InvalidOptionError(f"{path} says not what to write.", remedy=f"Let it end in {' or '.join(_WRITERS)}.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", remedy="Make it first.")
    if path.exists() and not overwrite:
        raise taken()
    if path.suffix.lower() == ".icechunk":
        needed("icechunk", "icechunk", python=(3, 12))


def write_references(path: Path, documents: Mapping[str, bytes], refs: Mapping[str, Reference]) -> None:
    """Write all; nothing is under the name of the target before it is whole.

    Args:
        path: The target, which may exist.
        documents: By key.
        refs: Those of chunks, by key.

    Raises:
        TargetError: It could not be written.
        UsageError: This kind of target cannot hold them.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with writing("The references"):
            _WRITERS[path.suffix.lower()](beside, documents, refs)
            if path.is_dir():
                shutil.rmtree(path)  # a folder takes the place of none that holds something
            beside.replace(path)
    finally:
        with on_disk("What was begun"):
            _remove(beside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

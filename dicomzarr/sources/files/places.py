"""The places that files are read from, by how their URLs begin; a new kind of place is a row here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.image_model import TAGS
from dicomzarr.errors import InvalidOptionError, InvalidURLError
from dicomzarr.sources.files.index_file import NAME, IndexFile
from dicomzarr.sources.files.instance import SHOWN
from dicomzarr.sources.files.stores.archive import ENDINGS, Archive, kind_of
from dicomzarr.sources.files.stores.foreign import FsspecFiles, ObstoreFiles
from dicomzarr.sources.files.stores.local import LocalFolder
from dicomzarr.sources.files.urls import path_of, place_of, split_place
from dicomzarr.sources.http.urls import origin_of, safe_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.options import StorageOptions
    from dicomzarr.sources.files.stores.port import ByteStore

BESIDE: Final = "beside"
"""The option ``index`` for an index that lies beside the files."""

_VERSION: Final = 5
"""Of what an index holds."""

STORE: Final = "dicomstore"
"""The scheme of places in the option ``store``."""


def store_at(base: str, options: StorageOptions, kept: IndexFile | None = None) -> ByteStore:
    """The place that `FolderURL.base` names, as the options say that it is read; no I/O.

    Args:
        base: Names the place.
        options: How it is read.
        kept: Keeps what is in an archive.

    Raises:
        InvalidURLError: There is no such kind of place.
        InvalidOptionError: The options do not fit it.
        InsecureTransportError: Credentials would travel over plain HTTP.
    """
    _, chain, place = split_place(base)
    if not chain:
        path = path_of(base)
        return _unpacked(LocalFolder(path), path.name, kept)
    scheme = place.partition(":")[0]
    if scheme == STORE or (options.store is not None and scheme not in _PLACES):
        return _unpacked(_given(place, options), place, kept)
    if options.fsspec_options is None and scheme in _PLACES:
        return _unpacked(_PLACES[scheme](place, options), place, kept)
    made = partial(_filesystem, place, options.fsspec_options)
    return _unpacked(FsspecFiles(place, made, options.access.timeout), place, kept)


def index_at(base: str, options: StorageOptions, ours: Callable[[], Path | None]) -> IndexFile:
    """The index of the place of `FolderURL.base`: beside the files or where it is named, else where we keep things.

    Args:
        base: Names the place.
        options: How it is read.
        ours: Gives the file in the cache directory; None where there is none.

    Raises:
        InvalidOptionError: There is nowhere beside the files.
    """
    version = f"{_VERSION} {' '.join(sorted(SHOWN))} {sorted(TAGS)}"
    if options.index is None:
        return IndexFile(base, ours, version, ours=True)
    if options.index != BESIDE:
        return IndexFile(base, lambda: Path(str(options.index)), version, ours=False)
    if is_far(base):
        raise InvalidOptionError(
            f"No index can lie beside the files of {place_of(base)}, which are only read.",
            remedy="Give index the path of a file, or give a cache_dir.",
        )
    return IndexFile("", lambda: _beside(path_of(base)), version, ours=True)  # nobody else has such a name


def _beside(path: Path) -> Path:
    found = path / NAME if path.is_dir() else path.with_name(path.name + NAME)
    if found.is_symlink():  # whoever made the folder says where it leads
        raise InvalidOptionError(
            f"{found} is a link, and nothing is written to where it leads.",
            remedy="Remove it, give index the path of a file, or give a cache_dir.",
        )
    return found


def is_far(base: str) -> bool:
    """Whether reading from the place of `FolderURL.base` takes a server."""
    return bool(split_place(base)[1])


def is_place(scheme: str) -> bool:
    """Whether URLs of a scheme name places of files: those of ours, and all that fsspec knows."""
    from fsspec.registry import known_implementations, registry  # noqa: PLC0415  # only for others than ours

    return scheme in _PLACES or scheme == STORE or scheme in known_implementations or scheme in registry


def names_files(url: str) -> bool:
    """Whether an http(s) URL ends as those of files and archives do."""
    return safe_url(url).lower().endswith((".dcm", *ENDINGS))


def _unpacked(store: ByteStore, name: str, kept: IndexFile | None) -> ByteStore:
    kind = kind_of(safe_url(name))
    return store if kind is None else Archive(store, kind, kept)


def _bucket(place: str, options: StorageOptions) -> ByteStore:
    from dicomzarr.sources.files.stores.bucket import Bucket, BucketURL  # noqa: PLC0415  # few read from there
    from dicomzarr.sources.files.stores.objects import ObjectServer  # noqa: PLC0415  # likewise

    url = BucketURL.parse(place)
    if not url.bucket:
        raise InvalidURLError(f"{place} names no bucket.", remedy="Write s3://BUCKET/PREFIX.")
    address = url.address(options.endpoint_url)
    return Bucket(url, address, ObjectServer(address, options.access, options.tuning))


def _web(place: str, options: StorageOptions) -> ByteStore:
    from dicomzarr.sources.files.stores.objects import ObjectServer  # noqa: PLC0415  # few read from there
    from dicomzarr.sources.files.stores.web import WebFiles  # noqa: PLC0415  # likewise

    scheme, host, port = origin_of(place)
    return WebFiles(place, ObjectServer(f"{scheme}://{host}:{port}", options.access, options.tuning))


def _given(place: str, options: StorageOptions) -> ByteStore:
    prefix = place.partition("://")[2]
    if options.store is None:
        raise InvalidOptionError(f"{place} is read out of the option store, which is not given.", remedy="Give it.")
    if type(options.store).__module__.partition(".")[0] == "obstore":
        return ObstoreFiles(place, options.store, prefix)
    return FsspecFiles(place, lambda: (options.store, prefix), options.access.timeout, named=False)


def _filesystem(place: str, options: Any) -> tuple[Any, str]:
    """A filesystem of our own: nobody else asks it meanwhile, and what it opens is as it is now."""
    import fsspec  # noqa: PLC0415  # only for others than ours

    own: dict[str, Any] = {"skip_instance_cache": True}
    given = {**own, **(options or {})}
    chained = [link.partition("://")[0] for link in place.split("::")[1:]]
    inner = {protocol: {**own, **given.get(protocol, {})} for protocol in chained}
    filesystem, path = fsspec.url_to_fs(place, **{**given, **inner})
    return filesystem, str(path)


_PLACES: Final[dict[str, Callable[[str, StorageOptions], ByteStore]]] = {
    "s3": _bucket,
    "gs": _bucket,
    "gcs": _bucket,
    "http": _web,
    "https": _web,
}
"""Those that are read by our own HTTP client, as long as the options name nothing else."""

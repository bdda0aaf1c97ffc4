"""The parser for VirtualiZarr, with that itself on Python 3.12, which it needs, and with a stand-in on any."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest
import zarr
from buckets import bucket
from folders import write
from radiology_model import AXIAL, distinct
from radiology_volumes import two_orientations, volume
from referring import levels_of
from serving import forget_servers, serving
from slides import brightfield_pyramid, sparse_brightfield

import dicomzarr
from dicomzarr.errors import UsageError
from dicomzarr.virtualizarr import DICOMParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from radiology_model import Pixels

NEEDS = pytest.mark.skipif(sys.version_info < (3, 12), reason="VirtualiZarr needs Python 3.12")
SLICES = distinct((4, 16, 20), bits=16)
TWELVE_BITS = distinct((4, 16, 20))


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A native volume in a folder whose name URLs spell in another way."""
    write(tmp_path / "a scan", volume(AXIAL, SLICES, bits=16).datasets)
    return tmp_path / "a scan"


# --- a stand-in for VirtualiZarr ---


@dataclass
class ChunkManifest:
    entries: dict[str, dict[str, Any]]
    shape: tuple[int, ...]


@dataclass
class ManifestArray:
    metadata: Any
    manifest: ChunkManifest


@dataclass
class ManifestGroup:
    arrays: dict[str, ManifestArray] = field(default_factory=dict)
    groups: dict[str, ManifestGroup] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class ManifestStore:
    group: ManifestGroup
    registry: Any


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package, manifests = ModuleType("virtualizarr"), ModuleType("virtualizarr.manifests")
    package.__spec__ = importlib.util.spec_from_loader("virtualizarr", None)
    for each in (ChunkManifest, ManifestArray, ManifestGroup, ManifestStore):
        setattr(manifests, each.__name__, each)
    monkeypatch.setitem(sys.modules, "virtualizarr", package)
    monkeypatch.setitem(sys.modules, "virtualizarr.manifests", manifests)


def read(array: ManifestArray) -> Pixels:
    """What the entries of a native array lead to."""
    document = array.metadata.to_dict()
    chunk = array.metadata.chunk_grid.chunk_shape
    found = np.full([count * side for count, side in zip(array.manifest.shape, chunk, strict=True)], 255, np.uint8)
    found = found.astype(document["data_type"])
    for key, entry in array.manifest.entries.items():
        data = Path(unquote(entry["path"].removeprefix("file://"))).read_bytes()
        frame = data[entry["offset"] : entry["offset"] + entry["length"]]
        places = [slice(int(at) * side, (int(at) + 1) * side) for at, side in zip(key.split("."), chunk, strict=True)]
        found[tuple(places)] = np.frombuffer(frame, found.dtype).reshape(chunk)
    return found[tuple(map(slice, document["shape"]))]


@pytest.mark.usefixtures("stand_in")
def test_entries_lead_to_the_pixels(scan: Path) -> None:
    registry = object()
    store = DICOMParser()(f"file://{scan}", registry)
    assert store.registry is registry
    assert store.group.groups == {}
    assert store.group.attributes["ome"]["version"] == "0.5"
    (array,) = store.group.arrays.values()
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert np.array_equal(read(array), dicomzarr.open(scan).levels[0][...])


@pytest.mark.usefixtures("stand_in")
def test_images_and_levels_are_chosen(tmp_path: Path) -> None:
    write(tmp_path, two_orientations(TWELVE_BITS, TWELVE_BITS[:, :, ::-1]).datasets)
    whole = DICOMParser()(str(tmp_path), None).group
    assert set(whole.groups) == {"0", "1", "OME"}
    assert whole.attributes["ome"]["bioformats2raw.layout"] == 3
    (one,) = DICOMParser(images=["1"], levels=[0])(str(tmp_path), None).group.arrays.values()
    assert np.array_equal(one.metadata.shape, whole.groups["1"].arrays["0"].metadata.shape)


@pytest.mark.usefixtures("stand_in")
def test_what_references_refuse_is_refused(tmp_path: Path) -> None:
    with serving(brightfield_pyramid()) as served, pytest.raises(UsageError, match="on a DICOMweb server"):
        DICOMParser()(served.url, None)
    write(tmp_path, sparse_brightfield(absent="pink").datasets)
    with pytest.raises(UsageError):
        DICOMParser()(str(tmp_path), None)


def test_without_virtualizarr_it_says_what_to_install(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "virtualizarr", None)
    with pytest.raises(UsageError, match=r'pip install "dicomzarr\[virtualizarr\]"'):
        DICOMParser()(str(scan), None)


# --- VirtualiZarr itself ---


def registry_of(**stores: Any) -> Any:
    from obspec_utils.registry import ObjectStoreRegistry  # type: ignore[import-not-found]  # noqa: PLC0415  # see NEEDS

    return ObjectStoreRegistry(stores)


@NEEDS
def test_a_virtual_dataset_is_written_to_icechunk(scan: Path) -> None:
    import icechunk  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # see NEEDS
    from obstore.store import LocalStore  # noqa: PLC0415  # as above
    from virtualizarr import open_virtual_dataset  # noqa: PLC0415  # as above

    registry = registry_of(**{"file://": LocalStore()})
    found = open_virtual_dataset(str(scan), registry=registry, parser=DICOMParser())
    assert found["0"].dims == ("z", "y", "x")
    config = icechunk.RepositoryConfig.default()
    prefix = f"file://{scan.parent}/"
    container = icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix.removeprefix("file://")))
    config.set_virtual_chunk_container(container)
    access = icechunk.containers_credentials({prefix: icechunk.Credentials.LocalFileSystemAccess()})
    repository = icechunk.Repository.create(icechunk.in_memory_storage(), config, access)
    session = repository.writable_session("main")
    found.vz.to_icechunk(session.store)
    assert np.array_equal(
        np.asarray(zarr.open_group(session.store, mode="r")["0"]), dicomzarr.open(scan).levels[0][...]
    )


@NEEDS
@pytest.mark.parametrize("name", ["pyramid", "sparse", "orientations"])
def test_its_store_reads_as_ours(name: str, tmp_path: Path) -> None:
    from obstore.store import LocalStore  # noqa: PLC0415  # as above

    series = {
        "pyramid": brightfield_pyramid,
        "sparse": lambda: sparse_brightfield(absent="white"),
        "orientations": lambda: two_orientations(TWELVE_BITS, TWELVE_BITS[:, :, ::-1]),
    }[name]()
    write(tmp_path, series.datasets)
    store = DICOMParser()(str(tmp_path), registry_of(**{"file://": LocalStore()}))
    root = zarr.open_group(store, mode="r", zarr_format=3)
    for path, pixels in levels_of(dicomzarr.open(tmp_path)).items():
        assert np.array_equal(np.asarray(root[path]), pixels)


@NEEDS
def test_a_bucket_is_read_by_the_registry(scan: Path) -> None:
    from obstore.store import HTTPStore  # noqa: PLC0415  # as above

    with bucket({f"ct/{each.name}": each.read_bytes() for each in scan.iterdir()}) as server:
        http = HTTPStore(server.url, client_options={"allow_http": True})
        parser = DICOMParser(storage_options=server.options)
        store = parser("s3://bucket/ct", registry_of(**{server.url: http}))
        root = zarr.open_group(store, mode="r", zarr_format=3)
        assert np.array_equal(np.asarray(root["0"]), dicomzarr.open(scan).levels[0][...])

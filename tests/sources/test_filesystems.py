"""Places that fsspec reads: one thread at a time where nobody promises more, within a time, and in the state listed."""

from __future__ import annotations

import io
import tarfile
import threading
import time
import zipfile
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import radiology
from buckets import bucket
from dual_personality import part10_bytes
from folders import write
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.implementations.tar import TarFileSystem
from serving import forget_servers

import dicomzarr
from dicomzarr.errors import ChangedFileError, DicomZarrError, RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

SLICES = 24


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


def scan(value: int = 0, intercept: int = 0) -> list[Dataset]:
    """Slices that differ, of 80 KB each."""
    (first,) = radiology.BUILDERS["single_slice"]().datasets
    found = []
    for number in range(SLICES):
        each = deepcopy(first)
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        each.InstanceNumber, each.ImagePositionPatient = number + 1, [0, 0, number]
        each.Rows = each.Columns = 200
        each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 0
        each.RescaleSlope, each.RescaleIntercept = 1, intercept
        each.PixelData = np.full((200, 200), 100 * number + value, np.uint16).tobytes()
        found.append(each)
    return found


def pixels(datasets: Sequence[Dataset]) -> np.ndarray[Any, Any]:
    return np.stack([each.pixel_array for each in datasets])


def packed(path: Path, datasets: Sequence[Dataset], kind: str) -> Path:
    """An archive in which nothing but bytes tells one state from another."""
    bodies = [part10_bytes(each) for each in datasets]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number, body in enumerate(bodies):
                archive.writestr(zipfile.ZipInfo(f"in/scan/{number:02}.dcm"), body)
        return path
    with tarfile.open(path, "w:gz" if kind == "tgz" else "w") as archive:
        for number, body in enumerate(bodies):
            info = tarfile.TarInfo(f"in/scan/{number:02}.dcm")
            info.size, info.mtime = len(body), 7
            archive.addfile(info, io.BytesIO(body))
    return path


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
@pytest.mark.parametrize("way", ["url", "store", "below"])
def test_slices_of_an_archive_are_its_own(kind: str, way: str, tmp_path: Path) -> None:
    datasets = scan()
    path = packed(tmp_path / ("scan.tar.gz" if kind == "tgz" else "scan.bin"), datasets, kind)
    protocol = "zip" if kind == "zip" else "tar"
    for _ in range(4):
        if way == "url":
            image = dicomzarr.open(f"{protocol}://::file://{path}")
        else:
            store = fsspec.filesystem(protocol, fo=str(path))
            store = store if way == "store" else DirFileSystem("in", store)
            image = dicomzarr.open("in" if way == "store" else "scan", store=store)
        assert np.array_equal(image.levels[0][...], pixels(datasets))
        assert not image.notices
        del image
        forget_servers()


@pytest.mark.parametrize("cache", ["filecache", "simplecache"])
def test_slices_by_a_cache_of_fsspec(cache: str, tmp_path: Path) -> None:
    datasets = scan()
    write(tmp_path / "scan", datasets)
    for number in range(3):
        store = fsspec.filesystem(cache, target_protocol="file", cache_storage=str(tmp_path / f"cache{number}"))
        image = dicomzarr.open(str(tmp_path / "scan"), store=store)
        assert np.array_equal(image.levels[0][...], pixels(datasets))
        assert not image.notices


class _Careful(MemoryFileSystem):
    """Notes how many threads are in it at once; one that is made for several would be asked by several."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012  # fsspec has it so
    pseudo_dirs = [""]  # noqa: RUF012  # likewise
    inside = most = 0
    stuck: threading.Event | None = None

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            time.sleep(0.002)
            if self.stuck is not None:
                self.stuck.wait(20)
            return super().cat_file(path, start, end, **kwargs)
        finally:
            self.inside -= 1


def careful(datasets: Sequence[Dataset]) -> _Careful:
    store = _Careful()
    store.store.clear()
    for number, each in enumerate(datasets):
        folder = "ab"[number % 2]
        store.pipe_file(f"/{folder}/{number:02}.dcm", part10_bytes(each))
    return store


def test_one_thread_at_a_time_is_in_a_filesystem_however_many_places_it_serves() -> None:
    datasets = scan()
    store = careful(datasets)
    halves = [dicomzarr.open(folder, store=store) for folder in "ab"]
    found: list[Any] = [None, None]

    def read(number: int) -> None:
        found[number] = halves[number].levels[0][...]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert store.most == 1
    for number in range(2):
        assert np.array_equal(found[number], pixels(datasets[number::2]))


def test_several_threads_read_local_files_by_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = scan()
    write(tmp_path, datasets)
    together = threading.Barrier(2)
    read = LocalFileSystem.cat_file

    def cat_file(self: Any, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        together.wait(20)  # which one alone never passes
        return read(self, path, start, end, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)
    image = dicomzarr.open(f"file://{tmp_path}", fsspec_options={})
    assert len(image.levels[0]) == SLICES


def test_a_filesystem_that_does_not_return_is_an_error_in_time_and_nobody_else_enters() -> None:
    datasets = scan()
    store = careful(datasets)
    image = dicomzarr.open("a", store=store, timeout=2)
    store.stuck = threading.Event()
    began = time.monotonic()
    try:
        for _ in range(8):  # it is given up at once while a call is stuck
            with pytest.raises(RequestTimeoutError, match="nothing for"):
                image.levels[0][...]
        assert time.monotonic() - began < 8 * 2  # which is what waiting would take
        assert (store.inside, store.most) == (1, 1)
    finally:
        store.stuck.set()
        store.stuck = None
    found = None
    while found is None:  # until that call has returned, which takes its thread a moment
        with suppress(RequestTimeoutError):
            found = image.levels[0][...]
    assert np.array_equal(found, pixels(datasets[::2]))
    assert store.most == 1


def test_a_listing_that_does_not_return_is_an_error_in_time() -> None:
    store = careful(scan())
    stuck = threading.Event()
    store.find = lambda *_, **__: stuck.wait(20)
    with pytest.raises(DicomZarrError, match="nothing for"):
        dicomzarr.open("a", store=store, timeout=0.3)
    stuck.set()


# --- the state of files ---


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("kept", ["index", "cache_dir", "both"])
def test_an_archive_that_is_replaced_by_one_of_the_same_sizes_is_another(kind: str, kept: str, tmp_path: Path) -> None:
    options = {"index": str(tmp_path / "index"), "cache_dir": str(tmp_path / "cache")}
    options = options if kept == "both" else {kept: options[kept]}
    path = tmp_path / "scan.bin"
    for number in range(3):
        datasets = scan(number, -1000 - number)
        packed(tmp_path / "new", datasets, kind)
        (tmp_path / "new").replace(path)
        image = dicomzarr.open(f"{kind}://::file://{path}", values="modality", **options)
        assert np.array_equal(image.levels[0][...], pixels(datasets) - 1000.0 - number)
        del image
        forget_servers()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_opened_anew_after_invalidate_cache_and_who_has_it_open_keeps_the_old(
    kind: str, tmp_path: Path
) -> None:
    before, after = scan(), scan(7)
    path = packed(tmp_path / "scan.bin", before, kind)
    url = f"{kind}://::file://{path}"
    image = dicomzarr.open(url)
    packed(tmp_path / "new", after, kind)
    (tmp_path / "new").replace(path)
    fsspec.filesystem("dicomfile").invalidate_cache(image.url)
    assert np.array_equal(dicomzarr.open(url).levels[0][...], pixels(after))
    with suppress(ChangedFileError):
        assert np.array_equal(image.levels[0][...], pixels(before))


class _Silent(MemoryFileSystem):
    """Tells no state of a file."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012  # fsspec has it so
    pseudo_dirs = [""]  # noqa: RUF012  # likewise

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002  # fsspec has it so
        found = super().ls(path, detail, **kwargs)
        return [{**each, "created": None} for each in found] if detail else found

    def modified(self, path: str) -> Any:
        raise NotImplementedError


def test_nothing_is_kept_of_files_whose_state_nobody_tells(tmp_path: Path) -> None:
    store = _Silent()
    for number in range(2):
        datasets = scan(number, -number)
        for place, each in enumerate(datasets):
            store.pipe_file(f"/scan/{place}.dcm", part10_bytes(each))
        image = dicomzarr.open(
            "scan", store=store, values="modality", index=str(tmp_path / "index"), cache_dir=str(tmp_path / "cache")
        )
        assert np.array_equal(image.levels[0][...], pixels(datasets) - float(number))
        del image
        forget_servers()


def test_nothing_is_kept_of_files_of_a_web_server_that_tells_no_state(tmp_path: Path) -> None:
    with bucket({}) as server:
        server.etags = False
        names = [f"{number}.dcm" for number in range(SLICES)]
        server.pages["/bucket/ct/list.txt"] = "text/plain", "\n".join(names)
        for number in range(2):
            datasets = scan(number, -number)
            server.objects = {f"ct/{name}": part10_bytes(each) for name, each in zip(names, datasets, strict=True)}
            image = dicomzarr.open(
                f"{server.url}/bucket/ct/list.txt",
                values="modality",
                index=str(tmp_path / "index"),
                cache_dir=str(tmp_path / "cache"),
            )
            assert np.array_equal(image.levels[0][...], pixels(datasets) - float(number))
            del image
            forget_servers()


def test_what_is_kept_of_an_archive_that_is_the_same_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "scan.bin", scan(), "tar")
    read: list[str] = []
    cat_file = TarFileSystem.cat_file

    def noted(self: Any, name: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        read.append(name)
        return cat_file(self, name, start, end, **kwargs)

    monkeypatch.setattr(TarFileSystem, "cat_file", noted)
    for count in (SLICES, 0):
        read.clear()
        dicomzarr.open(f"tar://::file://{path}", index=str(tmp_path / "index"))
        assert len(read) == count
        forget_servers()


# --- what is listed ---


def test_files_of_a_filesystem_that_lists_no_sizes() -> None:
    datasets = scan()
    with bucket({f"ct/{number}.dcm": part10_bytes(each) for number, each in enumerate(datasets)}) as server:
        links = "".join(f'<a href="{number}.dcm">{number}</a>' for number in range(SLICES))
        server.pages["/bucket/ct/"] = "text/html", links + '<a href="gone.dcm">gone</a>'
        image = dicomzarr.open(f"{server.url}/bucket/ct/", fsspec_options={})
        assert np.array_equal(image.levels[0][...], pixels(datasets))
        assert image.notices == ("1 file was left out (not readable): gone.dcm.",)
        assert dicomzarr.open(f"{server.url}/bucket/ct/3.dcm", fsspec_options={}).levels[0][...].max() == 300


def test_a_folder_of_local_files_below_another(tmp_path: Path) -> None:
    datasets = scan()
    write(tmp_path / "scan", datasets)
    image = dicomzarr.open("scan", store=DirFileSystem(str(tmp_path), LocalFileSystem()))
    assert np.array_equal(image.levels[0][...], pixels(datasets))

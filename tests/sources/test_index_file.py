"""The index of files that is kept: what it spares, what it notices, and that it touches nothing that is not its own."""

from __future__ import annotations

import os
import sqlite3
import sys
import tarfile
import warnings
import zipfile
from contextlib import closing
from io import BytesIO
from random import Random
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import radiology
from folders import write
from pydicom import dcmread
from pydicom.uid import RLELossless
from serving import forget_servers

import dicomzarr
from dicomzarr.disk import place as cache_place
from dicomzarr.errors import DiskCacheWarning, InvalidOptionError
from dicomzarr.faces.cli import main
from dicomzarr.sources.files import index as index_module
from dicomzarr.sources.files.index_file import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "ct", radiology.BUILDERS["volume"]().datasets)
    return tmp_path / "ct"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that are looked at."""
    names: list[str] = []
    looked_at = index_module._looked_at

    def counted(name: str, file: Any) -> Any:
        names.append(name)
        return looked_at(name, file)

    monkeypatch.setattr(index_module, "_looked_at", counted)
    return names


def anew(place: Path, **options: Any) -> Any:
    forget_servers()
    return dicomzarr.open(place, **options).levels[0][...]


def one_file(place: Path) -> Path:
    return next(each for each in sorted(place.iterdir()) if each.suffix == ".dcm")


PLACES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cache_dir": lambda folder: {"cache_dir": folder.parent / "cache"},
    "beside": lambda _: {"index": "beside"},
    "named": lambda folder: {"index": folder.parent / "index"},
}


@pytest.mark.parametrize("place", PLACES)
def test_only_what_is_new_is_read_when_files_are_opened_again(place: str, folder: Path, read: list[str]) -> None:
    options = PLACES[place](folder)
    pixels = anew(folder, **options)
    assert len(read) == len(pixels)
    read.clear()
    assert np.array_equal(anew(folder, **options), pixels)
    assert not read
    (folder / "note.txt").write_text("no image")
    first = one_file(folder)
    first.rename(folder / "renamed.dcm")
    assert np.array_equal(anew(folder, **options), pixels)
    assert sorted(read) == ["note.txt", "renamed.dcm"]


def test_a_cache_within_the_folder_is_none_of_its_files(folder: Path) -> None:
    options = {"cache_dir": folder / "cache"}
    pixels = anew(folder, **options)
    for _ in range(2):
        forget_servers()
        image = dicomzarr.open(folder, **options)
        assert not image.notices
        assert np.array_equal(image.levels[0][...], pixels)
    (folder / "cache" / "dicomzarr-notes.txt").write_text("no file of a cache")
    forget_servers()
    assert "1 file was left out" in str(dicomzarr.open(folder, **options).notices)


def test_a_file_that_was_cut_harms_no_other(folder: Path, read: list[str]) -> None:
    options = {"index": "beside"}
    count = len(anew(folder, **options))
    read.clear()
    one_file(folder).write_bytes(one_file(folder).read_bytes()[:300])
    forget_servers()
    image = dicomzarr.open(folder, **options)
    assert read == [one_file(folder).name]
    assert "broken DICOM" in "".join(image.notices)
    assert image.levels[0][1:-1].shape[0] >= count - 3


def test_a_file_of_other_bytes_is_shown_as_it_is(folder: Path) -> None:
    options = {"index": "beside"}
    before = anew(folder, **options)
    dataset = dcmread(one_file(folder))
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(one_file(folder))
    after = anew(folder, **options)
    assert not np.array_equal(before, after)
    assert (after == 0).sum() > (before == 0).sum()


def test_an_index_beside_one_file(folder: Path) -> None:
    file = one_file(folder)
    anew(file, index="beside")
    assert (folder / (file.name + NAME)).is_file()
    forget_servers()
    assert dicomzarr.open(folder).notices == ()


@pytest.mark.parametrize("damage", [b"", b"x" * 5000, b"from its beginning", None])
def test_a_damaged_index_of_ours_is_made_anew(damage: bytes | None, folder: Path) -> None:
    pixels = anew(folder, index="beside")
    forget_servers()
    index = folder / NAME
    body = bytearray(index.read_bytes())
    if damage == b"from its beginning":
        body[:200] = damage
    elif damage is None:
        body[4096:9000] = os.urandom(4904)
    else:
        body[100:] = damage
    index.write_bytes(bytes(body))
    try:
        assert np.array_equal(anew(folder, index="beside"), pixels)
    except DiskCacheWarning as told:
        assert "cannot be used" in str(told)  # noqa: PT017  # which of the two depends on where it is damaged
    assert np.array_equal(anew(folder, index="beside"), pixels)


@pytest.mark.parametrize(
    "change",
    [
        *("value = x'00ff'", "value = NULL", "value = CAST(x'ff' AS TEXT)", "checksum = checksum + 1"),
        *("state = x'3120'", "name = CAST(x'ff' || name AS BLOB)", "kind = CAST(x'ff' AS TEXT)"),
    ],
)
def test_rows_that_are_damaged_are_read_anew(change: str, folder: Path, read: list[str]) -> None:
    pixels = anew(folder, index="beside")
    forget_servers()
    with closing(sqlite3.connect(folder / NAME)) as database, database:
        database.execute(f"UPDATE kept SET {change} WHERE kind = 'file'")  # noqa: S608  # as above
    read.clear()
    assert np.array_equal(anew(folder, index="beside"), pixels)
    assert len(read) == len(pixels)
    read.clear()
    assert np.array_equal(anew(folder, index="beside"), pixels)
    assert not read


@pytest.fixture
def far(folder: Path) -> Iterator[str]:
    """The same where reading takes a server; of multi-frame instances an item header tells where each frame lies."""
    filesystem = fsspec.filesystem("memory")
    for path in sorted(folder.iterdir()):
        dataset = dcmread(path)
        dataset.compress(RLELossless)
        buffer = BytesIO()
        dataset.save_as(buffer)
        filesystem.pipe_file(f"/far/{path.name}", buffer.getvalue())
    yield "memory://far"
    filesystem.rm("/far", recursive=True)


@pytest.mark.parametrize("kind", ["file", "head", "bounds", "series"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE kept SET value = CAST(x'00' || value AS BLOB) WHERE kind = ?",
        "UPDATE kept SET value = x'' WHERE kind = ?",
        "UPDATE kept SET value = NULL WHERE kind = ?",
        "DELETE FROM kept WHERE kind = ?",
        "UPDATE kept SET (value, checksum) = (SELECT value, checksum FROM kept AS o WHERE o.kind = ? ORDER BY name)",
    ],
)
def test_what_is_known_of_files_far_away_is_read_again_where_it_is_damaged(
    kind: str, change: str, far: str, tmp_path: Path
) -> None:
    pixels = anew(far, index=tmp_path / "index")
    for kinds in ([kind], [kind, "series"]):
        forget_servers()
        with closing(sqlite3.connect(tmp_path / "index")) as database, database:
            for each in kinds:
                database.execute(change, (each,))  # the last puts one file's in the place of all
        assert np.array_equal(anew(far, index=tmp_path / "index"), pixels)
        assert dicomzarr.open(far, index=tmp_path / "index").notices == ()


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 24))])
def test_a_flipped_bit_anywhere_changes_nothing(seed: int, far: str, tmp_path: Path) -> None:
    index = tmp_path / "index"
    pixels = anew(far, index=index)
    forget_servers()
    whole = index.read_bytes()
    written = [at for at, byte in enumerate(whole) if byte and at >= 100]  # the header says that the file is ours
    random = Random(seed)
    for at in random.sample(written, 12):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << random.randrange(8)
        index.write_bytes(damaged)
        with warnings.catch_warnings(category=DiskCacheWarning, action="ignore"):
            assert np.array_equal(anew(far, index=index), pixels), at
        assert dicomzarr.open(far, index=index).notices == ()
        forget_servers()


def test_a_view_in_the_place_of_a_table_is_asked_for_nothing(folder: Path) -> None:
    pixels = anew(folder, index="beside")
    forget_servers()
    with closing(sqlite3.connect(folder / NAME)) as database, database:
        database.execute("DROP TABLE kept")
        columns = ", ".join(f"n AS {name}" for name in ("kind", "place", "name", "state", "value", "checksum"))
        endless = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
        database.execute(f"CREATE VIEW kept AS {endless} SELECT {columns} FROM r")  # noqa: S608  # as above
    assert np.array_equal(anew(folder, index="beside"), pixels)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("is_beside", [True, False])
def test_a_pipe_in_the_place_of_an_index_is_refused(is_beside: bool, folder: Path, tmp_path: Path) -> None:  # noqa: FBT001  # parametrized
    pipe = folder / NAME if is_beside else tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidOptionError, match="is no file"):
        dicomzarr.open(folder, index="beside" if is_beside else pipe)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_names_that_are_no_text_are_kept_like_others(folder: Path, tmp_path: Path, read: list[str]) -> None:
    place = tmp_path / os.fsdecode(b"m\xe9dias")
    folder.rename(place)
    for path in list(place.iterdir()):
        path.rename(place / os.fsdecode(b"im\xe9" + path.name.encode()))
    pixels = anew(place, index="beside")
    read.clear()
    assert np.array_equal(anew(place, index="beside"), pixels)
    assert np.array_equal(anew(place, cache_dir=tmp_path / "cache"), pixels)
    read.clear()
    assert np.array_equal(anew(place, cache_dir=tmp_path / "cache"), pixels)
    assert not read


def test_a_link_in_the_place_of_an_index_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidOptionError, match="is a link"):
        dicomzarr.open(folder, index="beside")
    assert not (tmp_path / "elsewhere").exists()


def test_an_index_of_another_version_is_made_anew(folder: Path, read: list[str]) -> None:
    pixels = anew(folder, index="beside")
    forget_servers()
    with closing(sqlite3.connect(folder / NAME)) as database, database:
        database.execute("PRAGMA user_version = 7")
    read.clear()
    assert np.array_equal(anew(folder, index="beside"), pixels)
    assert len(read) == len(pixels)


@pytest.mark.parametrize("body", [b"my letters", b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_not_ours_is_left_as_it_is(body: bytes, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(body)
    with pytest.raises(InvalidOptionError, match="is no index of dicomzarr"):
        dicomzarr.open(folder, index=tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == body


def test_an_index_that_cannot_be_written_is_warned_of(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(DiskCacheWarning, match="cannot be used"):
        found = dicomzarr.open(folder, index=tmp_path / "no" / "such" / "folder").levels[0][...]
    assert np.array_equal(found, dicomzarr.open(folder).levels[0][...])


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(30, "read-only"), OSError(28, "full")])
@pytest.mark.parametrize("step", ["make_private", "secret_of"])
def test_a_cache_dir_that_cannot_be_made_is_warned_of(
    step: str, error: OSError, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise error

    expected = anew(folder)
    monkeypatch.setattr(cache_place, step, refuse)
    with pytest.warns(DiskCacheWarning, match=rf"cache_dir cannot be used \({type(error).__name__}\)") as told:
        assert np.array_equal(anew(folder, cache_dir=tmp_path / "kept"), expected)
    assert len(told) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no rights")
def test_a_cache_dir_that_others_may_write_to_is_refused_each_time(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept").chmod(0o777)
    for _ in range(2):
        with pytest.raises(InvalidOptionError, match="Others may write"):
            dicomzarr.open(folder, cache_dir=tmp_path / "kept")
    (tmp_path / "kept").chmod(0o700)
    assert np.array_equal(dicomzarr.open(folder, cache_dir=tmp_path / "kept").levels[0][...], anew(folder))


def test_one_index_may_serve_many_places(folder: Path, tmp_path: Path, read: list[str]) -> None:
    write(tmp_path / "pet", radiology.BUILDERS["pet"]().datasets)
    for place in (folder, tmp_path / "pet"):
        anew(place, index=tmp_path / "index")
    read.clear()
    for place in (folder, tmp_path / "pet"):
        anew(place, index=tmp_path / "index")
    assert not read


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_is_in_an_archive_is_kept(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for number, path in enumerate(sorted(folder.iterdir())):
                opened.write(path, path.name, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
    else:
        with tarfile.open(archive, "w") as opened_tar:
            opened_tar.add(folder, "x")
    pixels = anew(archive, cache_dir=tmp_path / "cache")
    forget_servers()
    monkeypatch.delattr(f"dicomzarr.sources.files.stores.archive.Archive._{kind}")
    with pytest.raises(AttributeError):
        dicomzarr.open(archive)
    monkeypatch.setattr(f"dicomzarr.sources.files.stores.archive.Archive._{kind}", None, raising=False)
    assert np.array_equal(anew(archive, cache_dir=tmp_path / "cache"), pixels)


def test_no_index_lies_beside_a_bucket() -> None:
    with pytest.raises(InvalidOptionError, match="No index can lie beside the files of s3://bucket"):
        dicomzarr.open("s3://bucket/x", index="beside", endpoint_url="http://127.0.0.1:1")


def test_clearing_the_cache_removes_indexes(folder: Path, tmp_path: Path, read: list[str]) -> None:
    cache = tmp_path / "cache"
    anew(folder, cache_dir=cache)
    forget_servers()
    assert [path for path in cache.iterdir() if path.name.endswith(".index")]
    assert oct(next(path for path in cache.iterdir() if path.name.endswith(".index")).stat().st_mode)[-3:] == "600"
    assert main(["cache", "clear", "--cache-dir", str(cache)]) == 0
    assert not [path for path in cache.iterdir() if path.name.endswith(".index")]
    read.clear()
    anew(folder, cache_dir=cache)
    assert read


@pytest.mark.slow
def test_ten_thousand_files(tmp_path: Path) -> None:
    """A new one is noticed, and one that was cut harms no other."""
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    (tmp_path / "many").mkdir()
    for number in range(10_000):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{number}"
        dataset.SeriesInstanceUID = f"1.2.8.{number // 100}"
        dataset.InstanceNumber, dataset.ImagePositionPatient = number, [0, 0, number % 100]
        dataset.save_as(tmp_path / "many" / f"{number:05}.dcm", enforce_file_format=True)
    url = f"dicomfile://{tmp_path / 'many'}/studies/{dataset.StudyInstanceUID}/series/1.2.8.7"
    options = {"cache_dir": tmp_path / "cache"}
    assert dicomzarr.open(url, **options).levels[0].shape[0] == 100
    (tmp_path / "many" / "00701.dcm").unlink()
    (tmp_path / "many" / "00800.dcm").write_bytes((tmp_path / "many" / "00800.dcm").read_bytes()[:-50])
    forget_servers()
    assert dicomzarr.open(url, **options).levels[0].shape[0] in {99, 100}
    assert np.asarray(dicomzarr.open(url, **options).levels[0][5]).any()

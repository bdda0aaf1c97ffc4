"""Archives as places of files: what is in them, what is refused, and that nothing is unpacked anywhere."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
import tarfile
import threading
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import radiology
from buckets import bucket
from folders import write
from radiology_model import distinct
from radiology_volumes import volume
from serving import forget_servers
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import (
    ChangedFileError,
    DicomZarrError,
    InvalidFileError,
    MissingFileError,
    TruncatedFileError,
)
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files.stores import archive as archive_module
from dicomzarr.sources.files.stores import gzipped as gzipped_module
from dicomzarr.sources.files.stores.archive import Archive
from dicomzarr.sources.files.stores.local import LocalFolder
from dicomzarr.sources.files.stores.port import LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from dicomzarr.sources.files.stores.port import Listing


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    return write(tmp_path / "files", radiology.BUILDERS["volume"]().datasets)


def listed(path: Path) -> Listing:
    return Archive(LocalFolder(path), path.suffix[1:]).files()


def zipped(path: Path, members: Mapping[str, bytes], way: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", way) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: Iterable[bytes], name: str = "{}") -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for number, data in enumerate(members):
            info = tarfile.TarInfo(name.format(number))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(listing: Listing) -> dict[str, bytes]:
    return {name: bytes(file[0 : file.size]) for name, file in listing.files.items()}


@pytest.mark.parametrize("way", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_a_zip(way: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    members = {"a": rng.bytes(70_000), "deep/er/ü b": bytes(300_000), "empty": b"", "large": rng.bytes(9 * 2**20)}
    found = listed(zipped(tmp_path / "a.zip", members, way))
    assert contents(found) == members
    large = found.files["large"]
    for start, stop in ((0, 1), (5, 70_000), (8 * 2**20, 9 * 2**20), (9 * 2**20 - 1, 9 * 2**20 + 50), (7, 7)):
        assert bytes(large[start:stop]) == members["large"][start:stop]
    assert not found.left_out


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_a_tar(form: int, tmp_path: Path) -> None:
    names = ["a", "deep/" + "x" * 90, *(["y" * 150] if form != tarfile.USTAR_FORMAT else []), "ü"]
    members = {name: os.urandom(1000 + number) for number, name in enumerate(names)}
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert contents(listed(tmp_path / "a.tar")) == members


@pytest.mark.slow
def test_a_zip64_of_many_members(tmp_path: Path) -> None:
    members = {f"{number}": b"%d" % number for number in range(70_000)}
    found = listed(zipped(tmp_path / "a.zip", members, zipfile.ZIP_STORED))
    assert len(found.files) == len(members)
    assert bytes(found.files["69999"][0:5]) == b"69999"


@pytest.mark.parametrize("name", ["../out.dcm", "a/../../out.dcm", "/etc/out.dcm", "C:\\out.dcm", "..\\out.dcm"])
def test_names_that_climb_out_are_left_out(name: str, slices: list[Path], tmp_path: Path) -> None:
    data = slices[0].read_bytes()
    (tmp_path / "in").mkdir()
    zipped(tmp_path / "in" / "a.zip", {name: data, "ok": data})
    with tarfile.open(tmp_path / "in" / "a.tar", "w") as archive:
        for each in (name, "ok"):
            info = tarfile.TarInfo(each)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    before = sorted(tmp_path.rglob("*"))
    for kind in ("zip", "tar"):
        found = listed(tmp_path / "in" / f"a.{kind}")
        assert list(found.files) == ["ok"]
        assert list(found.left_out.values()) == [LeftOut.CLIMBING]
        image = dicomzarr.open(tmp_path / "in" / f"a.{kind}")
        assert "lead out of the archive" in image.notices[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_in_a_tar_are_left_out(slices: list[Path], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(f"special {number}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        archive.add(slices[0], "a.dcm")
    found = listed(tmp_path / "a.tar")
    assert list(found.files) == ["a.dcm"]
    assert list(found.left_out.values()) == [LeftOut.LINKED] * 2


def test_links_in_a_zip_are_files_that_are_no_dicom(slices: list[Path], tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.dcm")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
        archive.write(slices[0], "a.dcm")
    image = dicomzarr.open(tmp_path / "a.zip")
    assert image.notices == ("1 file was left out (no DICOM): link.dcm.",)


def test_bombs_are_left_out(monkeypatch: pytest.MonkeyPatch, slices: list[Path], tmp_path: Path) -> None:
    monkeypatch.setattr(archive_module, "ANY_RATIO", 2**20)
    zipped(tmp_path / "a.zip", {"bomb": bytes(4 * 2**20), "fair": bytes(2**19), "a.dcm": slices[0].read_bytes()})
    assert listed(tmp_path / "a.zip").left_out == {"bomb": LeftOut.BOMB}
    monkeypatch.setattr(archive_module, "MOST_INFLATED", 1000)
    assert listed(tmp_path / "a.zip").left_out.keys() == {"bomb", "fair", "a.dcm"}


def test_members_that_share_bytes_are_left_out(tmp_path: Path) -> None:
    """As a zip of kilobytes that inflates to petabytes."""
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(500), "b": os.urandom(500)}, zipfile.ZIP_STORED)
    body = bytearray(path.read_bytes())
    second = body.rindex(b"PK\1\2")
    struct.pack_into("<I", body, second + 42, 20)  # the second is said to begin within the first
    path.write_bytes(body)
    assert set(listed(path).left_out.values()) == {LeftOut.BOMB}


def test_a_member_that_is_longer_than_it_says_is_an_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(9 * 2**20)})
    body = bytearray(path.read_bytes())
    entry = body.rindex(b"PK\1\2")
    struct.pack_into("<I", body, entry + 24, 8 * 2**20 + 100)
    path.write_bytes(body)
    with pytest.raises(InvalidFileError):
        listed(path).files["a"][8 * 2**20 :]


def test_a_damaged_member_is_an_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(9 * 2**20)})
    body = bytearray(path.read_bytes())
    body[5 * 2**20] ^= 1
    path.write_bytes(body)
    with pytest.raises(InvalidFileError, match=r"a in .* is"):
        listed(path).files["a"][8 * 2**20 + 5 : 8 * 2**20 + 10]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_one_name_are_all_there(kind: str, tmp_path: Path) -> None:
    members = [b"one", b"two", b"three"]
    if kind == "zip":
        path = zipped(tmp_path / "a.zip", {f"nam{number}": data for number, data in enumerate(members)})
        path.write_bytes(re.sub(rb"nam\d", b"same", path.read_bytes()))
    else:
        tarred(tmp_path / "a.tar", members, "same")
    found = contents(listed(tmp_path / f"a.{kind}"))
    assert sorted(found.values()) == sorted(members)
    assert found["same"] == b"three"  # which unpacking would leave


def test_damaged_pixels_of_a_stored_member_are_an_error_and_harm_no_other(slices: list[Path], tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {each.name: each.read_bytes() for each in slices}, zipfile.ZIP_STORED)
    body = bytearray(path.read_bytes())
    body[body.index(slices[0].read_bytes()[-20:]) + 5] ^= 1
    path.write_bytes(body)
    level = dicomzarr.open(path).levels[0]
    outcomes = []
    for number in range(level.shape[0]):
        try:
            outcomes.append(level[number].any())
        except InvalidFileError as error:
            outcomes.append("it is damaged" in str(error))
    assert sum(outcomes) == len(slices)
    assert any(outcome is True for outcome in outcomes)


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("size", [16, 400])
def test_a_deflated_member_of_any_size_is_compared_with_its_checksum(distance: str, size: int, tmp_path: Path) -> None:
    pixels = distinct((3, size, size))
    slices = write(tmp_path / "files", volume(pixels=pixels).datasets)
    path = zipped(tmp_path / "a.zip", {each.name: each.read_bytes() for each in slices})
    body = bytearray(path.read_bytes())
    body[body.index(b"PK\1\2") + 16] ^= 1  # of the first in the central directory
    path.write_bytes(body)
    with bucket({"a.zip": path.read_bytes()}) as server:
        place, options = ("s3://bucket/a.zip", {"endpoint_url": server.url}) if distance == "far" else (path, {})
        level = dicomzarr.open(place, **options).levels[0]
        lost = []
        for number in (*range(len(pixels)), *range(len(pixels))):
            try:
                np.testing.assert_array_equal(level[number], pixels[number])
            except InvalidFileError as error:
                lost.append((number, "it is damaged; asked for frame 1" in str(error)))
    assert lost == [(lost[0][0], True)] * 2


@pytest.mark.parametrize(
    "field",
    [
        pytest.param((124, b"-0000000512\0"), id="a negative size"),
        pytest.param((124, b"-0000001024\0"), id="a size that leads back"),
        pytest.param((124, b"\xff" * 10 + b"\xfe\0"), id="a negative number in binary"),
        pytest.param((100, b"x"), id="a wrong checksum"),
    ],
)
def test_a_header_that_is_broken_loses_no_member_in_silence(field: tuple[int, bytes], tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar", [b"a" * 100, b"b" * 100, b"c" * 100])
    body = bytearray(path.read_bytes())
    header = body[1024 : 1024 + 512]
    if field[0] == 124:
        header[124 : 124 + len(field[1])] = field[1]
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    else:
        header[100:101] = field[1]
    body[1024 : 1024 + 512] = header
    path.write_bytes(body)
    with pytest.raises(InvalidFileError, match=r"is broken at byte|cannot be read as an archive"):
        listed(path)


@pytest.mark.parametrize("comment", [b"", b"a comment" * 1000])
@pytest.mark.parametrize("distance", ["near", "far"])
def test_a_list_of_a_zip_that_is_cut_short_is_said(
    comment: bytes, distance: str, slices: list[Path], tmp_path: Path
) -> None:
    path = zipped(tmp_path / "a.zip", {each.name: each.read_bytes() for each in slices}, zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    whole = path.read_bytes()
    body, end = bytearray(whole), whole.rfind(b"PK\5\6")
    last_but_one = whole.rfind(b"PK\1\2", 0, whole.rfind(b"PK\1\2"))
    name = int.from_bytes(body[last_but_one + 28 : last_but_one + 30], "little")
    comments = end - last_but_one - 46 - name  # its comment takes the entry behind it
    body[last_but_one + 32 : last_but_one + 34] = comments.to_bytes(2, "little")
    path.write_bytes(body)
    said = f"names {len(slices) - 1} of {len(slices)} members"
    index = str(tmp_path / "index")
    for _ in range(2):  # found, and kept
        if distance == "near":
            image = dicomzarr.open(path, index=index)
        else:
            with bucket({"a.zip": bytes(body)}) as server:
                image = dicomzarr.open("s3://bucket/a.zip", index=index, **server.options)
        assert said in image.notices[-1]
        del image
        forget_servers()
    path.write_bytes(whole)
    assert not dicomzarr.open(path).notices


@pytest.mark.parametrize(("count", "told"), [(65536 + 7, 7), (65535, 0xFFFF)])
def test_more_members_than_a_zip_counts(count: int, told: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    if told != 0xFFFF:  # as a writer that does not know Zip64 counts
        body = bytearray(path.read_bytes())
        body[-14:-10] = told.to_bytes(2, "little") * 2
        body[-98:-22] = b""  # the records of Zip64
        path.write_bytes(body)
    found = listed(path)
    assert (len(found.files), found.notices) == (count, ())


def test_folders_in_a_zip_count(slices: list[Path], tmp_path: Path) -> None:
    members = {"a/": b"", **{f"a/{each.name}": each.read_bytes() for each in slices}}
    assert not listed(zipped(tmp_path / "a.zip", members)).notices


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_that_ends_behind_a_member_is_said(kind: str, tmp_path: Path) -> None:
    body = tarred(tmp_path / "b", [b"a" * 100] * 3).read_bytes()
    second = 2 * 1024

    def of(data: bytes) -> Listing:
        path = tmp_path / f"a.{kind}"
        path.write_bytes(gzip.compress(data) if kind == "tar.gz" else data)
        return Archive(LocalFolder(path), kind).files()

    assert (len(of(body).files), of(body).notices) == (3, ())
    assert (len(of(body[: 3 * 1024 + 512]).files), of(body[: 3 * 1024 + 512]).notices) == (3, ())
    cut = of(body[:second])
    assert len(cut.files) == 2
    assert "has no end" in cut.notices[0]
    joined = of(body + body)
    assert len(joined.files) == 3
    assert "behind the end of the archive" in joined.notices[0]
    assert not of(body + bytes(2**16)).notices
    assert of(body + bytes(2**21)).notices


def test_an_archive_without_images_says_what_was_left_out(slices: list[Path], tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.dcm": slices[0].read_bytes()}, zipfile.ZIP_BZIP2)
    with pytest.raises(MissingFileError, match=r"1 file was left out \(packed in a way that cannot be read\): a.dcm"):
        dicomzarr.open(path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_changes_is_an_error(kind: str, slices: list[Path], tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(path, {each.name: each.read_bytes() for each in slices}, zipfile.ZIP_STORED)
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "files")
    image = dicomzarr.open(path)
    os.utime(path, ns=(5, 5))
    with pytest.raises(ChangedFileError, match="has changed since it was opened"):
        image.levels[0][...]
    assert dicomzarr.open(path).levels[0][...].any()


@pytest.mark.parametrize("seed", range(60))
def test_mutated_archives_are_listed_or_typed_errors(seed: int, slices: list[Path], tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    kind = "zip" if seed % 2 else "tar"
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(
            path,
            {each.name: each.read_bytes() for each in slices[:3]},
            zipfile.ZIP_DEFLATED if seed % 4 == 1 else zipfile.ZIP_STORED,
        )
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(slices[0], "a")
            archive.add(slices[1], "b" * 120)
    body = bytearray(path.read_bytes())
    for _ in range(1 + seed % 9):
        place = int(random.integers(0, len(body)))
        place = max(0, len(body) - 300 + place % 300) if kind == "zip" else place // 512 * 512 + place % 160
        body[place : place + 1] = random.bytes(1)
    path.write_bytes(body)
    with suppress(DicomZarrError):
        contents(listed(path))
        dicomzarr.open(path).levels[0][...]


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    for kind in ("zip", "tar"):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(b"neither" * 1000)
        with pytest.raises(InvalidFileError, match="cannot be read as an archive"):
            dicomzarr.open(path)
        with pytest.raises(MissingFileError):
            dicomzarr.open(tmp_path / f"missing.{kind}")


def test_a_folder_may_be_called_like_an_archive(tmp_path: Path) -> None:
    series = radiology.BUILDERS["volume"]()
    write(tmp_path / "scans.zip", series.datasets)
    found = dicomzarr.open(tmp_path / "scans.zip").levels[0][...]
    write(tmp_path / "scans", series.datasets)
    np.testing.assert_array_equal(found, dicomzarr.open(tmp_path / "scans").levels[0][...])


def test_an_archive_far_away_is_read_by_ranges(slices: list[Path], tmp_path: Path) -> None:
    padding = os.urandom(3 * 2**20)
    zipped(
        tmp_path / "a.zip",
        {
            name: data
            for each in slices
            for name, data in ((each.name, each.read_bytes()), (f"{each.name}.raw", padding))
        },
        zipfile.ZIP_STORED,
    )
    body = (tmp_path / "a.zip").read_bytes()
    with bucket({"a.zip": body}) as server:
        image = dicomzarr.open("s3://bucket/a.zip", **server.options)
        pixels = image.levels[0][...]
        assert server.listings == 1
        assert server.bytes_sent < len(body) / 2
        forget_servers()
        server.objects["a.zip"] = body[:-1] + b"\1"
    assert np.array_equal(pixels, dicomzarr.open(tmp_path / "files").levels[0][...])


def test_all_threads_inflate_at_once(tmp_path: Path) -> None:
    """Each reads the archive itself, and waits for no other one of its pool."""
    members = {f"{number}": os.urandom(1000) for number in range(FRAME_FILES.threads)}
    found = listed(zipped(tmp_path / "a.zip", members))
    all_there = threading.Barrier(FRAME_FILES.threads)

    def read(name: str) -> bytes:
        all_there.wait(SECONDS)
        return bytes(found.files[name][0:1000])

    reads = {name: FRAME_FILES.submit(read, name) for name in members}
    assert {name: each.result(SECONDS) for name, each in reads.items()} == members


# --- gzip ---


def gzipped(path: Path, files: Iterable[Path], pieces: int = 1) -> bytes:
    """Write a tar of files; as several members of gzip, as some tools do."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in files:
            archive.add(each, f"deeper/{each.name}")
    body = buffer.getvalue()
    step = -(-len(body) // pieces)
    packed = b"".join(gzip.compress(body[at : at + step]) for at in range(0, len(body), step))
    path.write_bytes(packed)
    return packed


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ"])
def test_a_tar_that_is_compressed_opens(name: str, pieces: int, slices: list[Path], tmp_path: Path) -> None:
    body = gzipped(tmp_path / name, slices, pieces)
    pixels = dicomzarr.open(tmp_path / "files").levels[0][...]
    image = dicomzarr.open(tmp_path / name)
    assert image.notices == ()
    assert np.array_equal(image.levels[0][...], pixels)
    with bucket({name: body}) as server:
        there = dicomzarr.open(f"s3://bucket/{name}", **server.options)
        assert np.array_equal(there.levels[0][...], pixels)
        assert sum(each.stop - each.start for each in server.objects_asked) == len(body)  # once
        forget_servers()
    with bucket({f"deeper/{name}": body}) as server:
        there = dicomzarr.open(f"{server.url}/bucket/deeper/{name}")
        assert np.array_equal(there.levels[0][...], pixels)
        forget_servers()


def test_a_compressed_tar_is_inflated_once_however_many_read(slices: list[Path], tmp_path: Path) -> None:
    gzipped(tmp_path / "a.tgz", slices)
    options = {"cache_dir": tmp_path / "cache"}
    pixels = dicomzarr.open(tmp_path / "a.tgz", **options).levels[0][...]
    forget_servers()
    with pytest.MonkeyPatch.context() as patch:
        inflations: list[str] = []
        spooled = gzipped_module.spooled_pieces

        def counted(pieces: Iterator[bytes], subject: str, most: int) -> Any:
            inflations.append(subject)
            return spooled(pieces, subject, most)

        patch.setattr(gzipped_module, "spooled_pieces", counted)
        image = dicomzarr.open(tmp_path / "a.tgz", **options)
        assert image.levels[0].shape == pixels.shape
        assert inflations == []  # the index knows what is in it
        assert np.array_equal(image.levels[0][...], pixels)
        assert len(inflations) == 1


def test_a_compressed_tar_that_changes_is_opened_anew(slices: list[Path], tmp_path: Path) -> None:
    gzipped(tmp_path / "a.tgz", slices[:2])
    options = {"cache_dir": tmp_path / "cache"}
    assert len(dicomzarr.open(tmp_path / "a.tgz", **options).levels[0]) == 2
    gzipped(tmp_path / "a.tgz", slices)
    assert len(dicomzarr.open(tmp_path / "a.tgz", **options).levels[0]) == len(slices)
    forget_servers()
    image = dicomzarr.open(tmp_path / "a.tgz", **options)
    os.utime(tmp_path / "a.tgz", ns=(5, 5))
    with pytest.raises(ChangedFileError, match="has changed since it was opened"):
        image.levels[0][...]


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (lambda body: body[:-40], TruncatedFileError, "ends early"),
        (lambda body: body[: len(body) // 2], TruncatedFileError, "ends early"),
        (lambda body: body[:-8] + bytes(8), InvalidFileError, "no gzip file, or damaged"),
        (lambda body: body[:99] + bytes(60) + body[159:], InvalidFileError, "no gzip file, or damaged"),
        (lambda _: b"neither" * 1000, InvalidFileError, "no gzip file, or damaged"),
        (lambda _: gzip.compress(b"neither" * 1000), InvalidFileError, "cannot be read as an archive"),
        (lambda _: b"", InvalidFileError, "empty"),
    ],
)
def test_a_broken_compressed_tar_is_an_error(
    damage: Callable[[bytes], bytes], error: type[DicomZarrError], said: str, slices: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(damage(gzipped(path, slices)))
    with pytest.raises(error, match=said):
        dicomzarr.open(path)


def test_what_inflates_beyond_all_reason_is_refused(
    monkeypatch: pytest.MonkeyPatch, slices: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(bytes(4 * 2**20)))
    monkeypatch.setattr(gzipped_module, "ANY_RATIO", 2**20)
    with pytest.raises(InvalidFileError, match="inflated beyond all reason"):
        dicomzarr.open(path)
    gzipped(path, slices)
    monkeypatch.setattr(gzipped_module, "MOST_INFLATED", 1000)
    with pytest.raises(InvalidFileError, match="More than 1000 bytes"):
        dicomzarr.open(path)


@pytest.fixture
def packed(slices: list[Path], tmp_path: Path) -> Path:
    """A folder of files that gzip compressed, each by itself."""
    folder = tmp_path / "packed"
    folder.mkdir()
    for each in slices:
        (folder / f"{each.name}.gz").write_bytes(gzip.compress(each.read_bytes()))
    return folder


@pytest.mark.parametrize("options", [{}, {"cache_dir": "cache"}])
def test_files_that_gzip_compressed_are_those_of_a_folder(
    options: dict[str, str], packed: Path, tmp_path: Path
) -> None:
    (packed / "mask.nii.gz").write_bytes(gzip.compress(bytes(10**6)))
    (packed / "plain.dcm.gz").write_bytes(b"no gzip")
    zipped(packed / "study.zip", {"a": b"b"})
    options = {name: str(tmp_path / value) for name, value in options.items()}
    pixels = dicomzarr.open(tmp_path / "files").levels[0][...]
    for _ in range(2):
        image = dicomzarr.open(packed, **options)
        assert np.array_equal(image.levels[0][...], pixels)
        packed_too = "archives and compressed files, which are not looked into"
        assert image.notices == (
            "1 file was left out (no DICOM): mask.nii.gz.",
            f"2 files were left out ({packed_too}): plain.dcm.gz, study.zip.",
        )
        forget_servers()


@pytest.mark.parametrize("pieces", [1, 3])
def test_one_file_that_gzip_compressed_opens_anywhere(pieces: int, slices: list[Path], tmp_path: Path) -> None:
    body = slices[2].read_bytes()
    step = -(-len(body) // pieces)
    data = b"".join(gzip.compress(body[at : at + step]) for at in range(0, len(body), step))
    (tmp_path / "one.dcm.GZ").write_bytes(data)
    pixels = dicomzarr.open(slices[2]).levels[0][...]
    assert np.array_equal(dicomzarr.open(tmp_path / "one.dcm.GZ").levels[0][...], pixels)
    with bucket({"one.dcm.gz": data}) as server:
        assert np.array_equal(dicomzarr.open("s3://bucket/one.dcm.gz", **server.options).levels[0][...], pixels)
        assert np.array_equal(dicomzarr.open(f"{server.url}/bucket/one.dcm.gz").levels[0][...], pixels)
        forget_servers()


def test_files_that_gzip_compressed_are_read_as_they_were_found_or_not_at_all(packed: Path) -> None:
    path = packed / "0002.dcm.gz"
    image = dicomzarr.open(packed)
    os.utime(path, ns=(5, 5))
    with pytest.raises(ChangedFileError, match="has changed since it was opened"):
        image.levels[0][...]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TruncatedFileError, match=r"0002\.dcm\.gz ends early"):
        dicomzarr.open(packed).levels[0][...]
    path.write_bytes(path.read_bytes()[:200])
    assert dicomzarr.open(packed).notices[-1] == "1 file was left out (broken DICOM): 0002.dcm.gz."


def test_members_that_are_encrypted_are_said(slices: list[Path], tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.dcm": slices[0].read_bytes()})
    body = bytearray(path.read_bytes())
    for at in (6, body.index(b"PK\1\2") + 8):  # of both headers, the flags (APPNOTE 4.4.4)
        body[at] |= 1
    path.write_bytes(body)
    with pytest.raises(MissingFileError, match=r"1 file was left out \(encrypted\): a.dcm"):
        dicomzarr.open(path)


@pytest.mark.parametrize("name", ["a.tar.xz", "a.tar.bz2", "a.7z", "a.rar", "a.dcm.bz2", "a.tar.zst"])
def test_other_archives_are_refused_with_what_to_do(name: str, slices: list[Path], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(slices[0].read_bytes())
    with pytest.raises(InvalidFileError, match=r"is packed in a way that is not read\. Unpack it"):
        dicomzarr.open(tmp_path / name)

"""Instances that are stored into the folder (PS3.18 section 10.5): whole, under their own name, or not at all."""

from __future__ import annotations

import errno
import gzip
import os
import resource
import socket
import threading
import time
import zlib
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pydicom
import pytest
import radiology
import requests
from coded_frames import BUILDERS
from dicomweb_replies import ANY_DICOM, get, joined, split, store
from folders import write
from frame_oracles import dataset_of, part10
from waiting import SECONDS

from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.uids import JPEG_2000_LOSSLESS
from dicomzarr.faces.dicomweb_server import DICOMwebServer, deposits
from dicomzarr.faces.dicomweb_server.deposits import Deposit, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

FAILED, STORED, OTHERS = "00081198", "00081199", "0008119A"


def reasons(reply: requests.Response, tag: str = FAILED) -> list[int]:
    items = reply.json().get(tag, {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]


def uids(reply: requests.Response, tag: str = STORED) -> list[str]:
    return [item["00081155"]["Value"][0] for item in reply.json().get(tag, {}).get("Value", [])]


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, by its path in it, but for what goes meanwhile."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.fixture
def datasets() -> list[Dataset]:
    return [deepcopy(each) for each in radiology.BUILDERS["volume"]().datasets]


@pytest.fixture
def bodies(datasets: list[Dataset]) -> list[bytes]:
    return [part10(each) for each in datasets]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stored").mkdir()
    return tmp_path / "stored"


@pytest.fixture
def server(folder: Path) -> Iterator[DICOMwebServer]:
    with DICOMwebServer(folder, writable=True, max_age=10**6) as running:
        yield running


def test_what_was_sent_is_there_at_once(
    server: DICOMwebServer, folder: Path, datasets: list[Dataset], bodies: list[bytes]
) -> None:
    reply = store(f"{server.url}/studies", joined(bodies))
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/dicom+json"
    study, series = datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID
    found = reply.json()
    assert found["00081190"]["Value"] == [f"{server.url}/studies/{study}"]
    assert uids(reply) == [each.SOPInstanceUID for each in datasets]
    first = found[STORED]["Value"][0]
    assert first["00081150"]["Value"] == [datasets[0].SOPClassUID]
    assert first["00081190"]["Value"] == [
        f"{server.url}/studies/{study}/series/{series}/instances/{datasets[0].SOPInstanceUID}"
    ]
    assert not {FAILED, OTHERS} & set(found)
    assert files(folder) == {
        f"{study}/{series}/{each.SOPInstanceUID}.dcm": body for each, body in zip(datasets, bodies, strict=True)
    }
    parts = split(get(f"{server.url}/studies/{study}", ANY_DICOM))
    assert sorted(data for _, data in parts) == sorted(bodies)


def test_into_a_study(server: DICOMwebServer, datasets: list[Dataset], bodies: list[bytes]) -> None:
    study = datasets[0].StudyInstanceUID
    assert store(f"{server.url}/studies/{study}", joined(bodies[:1])).status_code == 200
    wrong = store(f"{server.url}/studies/1.2.3", joined(bodies[1:2]))
    assert wrong.status_code == 409
    assert reasons(wrong) == [0xA900]
    assert uids(wrong, FAILED) == [datasets[1].SOPInstanceUID]
    assert "00081190" not in wrong.json()


def test_single_files_and_parts_of_known_length(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    alone = requests.post(
        f"{server.url}/studies", bodies[0], headers={"Content-Type": "application/dicom"}, timeout=SECONDS
    )
    assert alone.status_code == 200
    counted = joined(bodies[1:2], **{"Content-Length": str(len(bodies[1]))})
    assert store(f"{server.url}/studies", counted).status_code == 200
    assert sorted(files(folder).values()) == sorted(bodies[:2])

    def chunks() -> Iterator[bytes]:
        body = joined(bodies[2:4])
        yield from (body[at : at + 777] for at in range(0, len(body), 777))

    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b0undary'}
    reply = requests.post(f"{server.url}/studies", chunks(), headers=headers, timeout=SECONDS)
    assert reply.status_code == 200
    assert sorted(files(folder).values()) == sorted(bodies[:4])


def test_the_same_again_is_no_failure_and_another_of_its_name_is_one(
    server: DICOMwebServer, folder: Path, datasets: list[Dataset], bodies: list[bytes]
) -> None:
    assert store(f"{server.url}/studies", joined(bodies[:1])).status_code == 200
    again = store(f"{server.url}/studies", joined([bodies[0], bodies[0]]))
    assert again.status_code == 200
    assert len(uids(again)) == 2
    datasets[0].PixelData = bytes(len(datasets[0].PixelData))
    other = store(f"{server.url}/studies", joined([part10(datasets[0]), bodies[1]]))
    assert other.status_code == 202
    assert reasons(other) == [0x0111]
    assert uids(other) == [datasets[1].SOPInstanceUID]
    assert sorted(files(folder).values()) == sorted(bodies[:2])


def test_an_instance_that_is_there_under_another_name(tmp_path: Path, datasets: list[Dataset]) -> None:
    (path,) = write(tmp_path, datasets[:1])
    with DICOMwebServer(tmp_path, writable=True) as server:
        assert store(f"{server.url}/studies", joined([path.read_bytes()])).status_code == 200
        datasets[0].PixelData = bytes(len(datasets[0].PixelData))
        assert reasons(store(f"{server.url}/studies", joined([part10(datasets[0])]))) == [0x0111]
    assert [*files(tmp_path)] == [path.name]


@pytest.mark.parametrize(
    "uid", ["../../x1", "1.2/../../../y", "/etc/1", "..", "1..2", "1" * 65, "1.2\0", "1.2 3", "", "1.2.", "a1"]
)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_uids_that_climb_or_are_none(
    server: DICOMwebServer, folder: Path, datasets: list[Dataset], keyword: str, uid: str
) -> None:
    original = datasets[0][keyword].value
    body = part10(datasets[0])
    datasets[0][keyword].value = "1." + "9" * 62
    long = part10(datasets[0])
    assert len(original) <= 64
    assert b"1." + b"9" * 62 in long
    value = uid.encode().ljust(64, b"\0")
    at = long.rindex(b"1." + b"9" * 62)
    hostile = long[: at - 2] + len(value).to_bytes(2, "little") + value + long[at + 64 :]
    if len(value) > 64:
        hostile = long[: at - 2] + (66).to_bytes(2, "little") + value.ljust(66, b"\0") + long[at + 64 :]
    reply = store(f"{server.url}/studies", joined([hostile]))
    outcome = "stored" if uid == "1.2\0" else "refused"  # which is the padding of a UID
    assert reply.status_code == (200 if outcome == "stored" else 409)
    assert len(files(folder)) == (outcome == "stored")
    assert [each.name for each in folder.parent.iterdir()] == ["stored"]
    assert store(f"{server.url}/studies", joined([body])).status_code == 200


def test_links_in_the_folder_are_not_followed(
    server: DICOMwebServer, folder: Path, datasets: list[Dataset], bodies: list[bytes]
) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    study, series, uid = (
        datasets[0][name].value for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    (folder / study).symlink_to(outside)
    assert reasons(store(f"{server.url}/studies", joined(bodies[:1]))) == [0x0110]
    (folder / study).unlink()
    (folder / study).mkdir()
    (folder / study / series).symlink_to(outside)
    assert reasons(store(f"{server.url}/studies", joined(bodies[:1]))) == [0x0110]
    (folder / study / series).unlink()
    (folder / study / series).mkdir()
    (folder / study / series / f"{uid}.dcm").symlink_to(outside / "new.dcm")
    assert reasons(store(f"{server.url}/studies", joined(bodies[:1]))) == [0x0111]
    (folder / study / series / f"{uid}.dcm").unlink()
    (folder / study / series).rmdir()
    (folder / study / series).write_text("a file where a folder should be")
    assert reasons(store(f"{server.url}/studies", joined(bodies[:1]))) == [0x0110]
    assert list(outside.iterdir()) == []


def test_links_out_of_the_folder_are_not_served(folder: Path, bodies: list[bytes]) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "a.dcm").write_bytes(bodies[0])
    (folder / "file.dcm").symlink_to(outside / "a.dcm")
    (folder / "folder").symlink_to(outside)
    with DICOMwebServer(folder) as server:
        assert get(f"{server.url}/instances").status_code == 204


# --- what is no instance ---


def test_what_is_no_whole_file(server: DICOMwebServer, folder: Path, datasets: list[Dataset]) -> None:
    body = part10(datasets[0])
    del datasets[1]["SOPInstanceUID"]
    nameless = datasets[1]
    sent = [b"", b"no DICOM", body[:132], body[:-100], part10(nameless) if "SOPInstanceUID" in nameless else body[:400]]
    reply = store(f"{server.url}/studies", joined(sent))
    assert reply.status_code == 409
    found = reasons(reply, OTHERS) + reasons(reply)
    assert found == [0xC000] * len(sent)
    assert uids(reply, FAILED) == [datasets[0].SOPInstanceUID]  # cut within its pixels, it says who it is
    assert files(folder) == {}


@pytest.mark.parametrize("encapsulated", [False, True], ids=["native", "encapsulated"])
def test_a_file_that_is_cut_behind_its_pixels_is_not_whole(
    server: DICOMwebServer, folder: Path, datasets: list[Dataset], *, encapsulated: bool
) -> None:
    dataset = datasets[0]
    if encapsulated:
        frame = next(iter(BUILDERS[JPEG_2000_LOSSLESS].values()))()
        dataset = dataset_of(frame.pixel, JPEG_2000_LOSSLESS, [frame.data])
    dataset.DataSetTrailingPadding = bytes(300)
    body = part10(dataset)
    cuts = [1, 7, 8, 100, 300, 307, *([313, 320] if encapsulated else [])]
    for cut in cuts:
        reply = store(f"{server.url}/studies", joined([body[:-cut]]))
        assert (reply.status_code, reasons(reply)) == (409, [0xC000]), cut
        assert files(folder) == {}
    assert store(f"{server.url}/studies", joined([body + b"\0"])).status_code == 200  # a byte to make it even


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=b0undary", 415),
        ('multipart/related; type="application/dicom+json"; boundary=b0undary', 415),
        ('multipart/related; type="application/dicom+xml"; boundary=b0undary', 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=other', 400),
        (f'multipart/related; type="application/dicom"; boundary={"b" * 71}', 400),
        ('multipart/related; type="application/dicom"; boundary=b0undary', 200),
        ("multipart/related; type=application/dicom; boundary=b0undary", 200),
        ('multipart/related; boundary="b0undary"', 200),
    ],
)
def test_types_of_bodies(
    server: DICOMwebServer, folder: Path, bodies: list[bytes], content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type}
    reply = requests.post(f"{server.url}/studies", joined(bodies[:1]), headers=headers, timeout=SECONDS)
    assert reply.status_code == status
    assert len(files(folder)) == (status == 200)


def test_a_reply_that_is_not_accepted_is_refused_before_anything_is_stored(
    server: DICOMwebServer, folder: Path, bodies: list[bytes]
) -> None:
    assert store(f"{server.url}/studies", joined(bodies), Accept="application/dicom+xml").status_code == 406
    assert files(folder) == {}


BOUNDARY = b"--b0undary"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(BOUNDARY + b"--\r\n", id="no parts"),
        pytest.param(b"x" * 500_000, id="no line"),
        pytest.param(b"x\r\n" * 100_000, id="a long preamble"),
        pytest.param(BOUNDARY + b"\r\n" + b"A: b\r\n" * 10_000, id="many headers"),
        pytest.param(BOUNDARY + b"\r\nA: " + b"b" * 500_000, id="a long header"),
        pytest.param(BOUNDARY + b"\r\nno colon\r\n\r\nx\r\n" + BOUNDARY + b"--", id="no header"),
        pytest.param(BOUNDARY + b"\r\nContent-Length: -1\r\n\r\nx\r\n" + BOUNDARY + b"--", id="a negative length"),
        pytest.param(
            BOUNDARY + b"\r\nContent-Length: 9" + b"9" * 30 + b"\r\n\r\nx\r\n" + BOUNDARY + b"--", id="length"
        ),
        pytest.param(BOUNDARY + b"\r\nContent-Length: 0\r\n\r\nx\r\n" + BOUNDARY + b"--", id="a short length"),
        pytest.param(BOUNDARY + b"\r\n\r\nno end", id="no end"),
        pytest.param(
            BOUNDARY
            + b"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n"
            + BOUNDARY
            + b"--",
            id="parts within parts",
        ),
        pytest.param(
            BOUNDARY + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nZGljb20=\r\n" + BOUNDARY + b"--", id="base64"
        ),
        pytest.param(BOUNDARY + b"\r\nContent-Type: text/html\r\n\r\n<html>\r\n" + BOUNDARY + b"--", id="another type"),
        pytest.param((BOUNDARY + b"\r\n\r\n\r\n") * 300 + BOUNDARY + b"--\r\n", id="many empty parts"),
    ],
)
def test_hostile_bodies(server: DICOMwebServer, folder: Path, body: bytes) -> None:
    reply = store(f"{server.url}/studies", body)
    assert reply.status_code in {400, 409}
    assert files(folder) == {}
    assert get(f"{server.url}/studies").status_code == 204


def bomb(head: bytes, mebibytes: int) -> bytes:
    """What begins like an upload, and is zeros from there on, gzipped."""
    packer = zlib.compressobj(9, wbits=31)
    pieces = [head, *[bytes(2**20)] * mebibytes]
    return b"".join(map(packer.compress, pieces)) + packer.flush()


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_grows_without_reason_is_refused_early(
    server: DICOMwebServer, folder: Path, monkeypatch: pytest.MonkeyPatch, *, alone: bool, chunked: bool
) -> None:
    written = [0]
    write = Deposit.write
    monkeypatch.setattr(Deposit, "write", lambda self, data: (written.append(len(data)), write(self, data))[1])
    body = bomb(bytes(128) + b"DICM" if alone else BOUNDARY + b"\r\n\r\n" + bytes(128) + b"DICM", 256)
    assert len(body) < 2**19
    kind = "application/dicom" if alone else 'multipart/related; type="application/dicom"; boundary=b0undary'
    reply = requests.post(
        f"{server.url}/studies",
        data=iter([body]) if chunked else body,
        headers={"Content-Type": kind, "Content-Encoding": "gzip"},
        timeout=SECONDS,
    )
    assert reply.status_code == 413
    assert "Content-Encoding" in reply.text
    assert sum(written) < 2**27
    assert files(folder) == {}
    assert get(f"{server.url}/studies").status_code == 204


def test_what_was_gzipped_for_a_reason_is_stored(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    headers = {"Content-Encoding": "gzip"}
    reply = store(f"{server.url}/studies", gzip.compress(joined(bodies)), **headers)
    assert reply.status_code == 200
    assert sorted(files(folder).values()) == sorted(bodies)


def test_what_came_whole_before_a_body_grew_stays(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    begun = joined(bodies[:1]).removesuffix(b"--\r\n").removesuffix(b"--") + b"\r\n\r\n"
    reply = store(f"{server.url}/studies", bomb(begun, 256), **{"Content-Encoding": "gzip"})
    assert reply.status_code == 202
    assert reasons(reply, OTHERS) == [0xA700]
    assert list(files(folder).values()) == bodies[:1]


def test_a_data_set_alone_is_no_part_10_file(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    reply = store(f"{server.url}/studies", joined([bodies[0][read_file_meta(memoryview(bodies[0])).end :]]))
    assert reply.status_code == 409
    assert files(folder) == {}


def test_what_came_whole_before_a_fault_stays(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    body = joined(bodies[:2])
    reply = store(f"{server.url}/studies", body[: body.rindex(b"\r\n--b0undary") - 1000])
    assert reply.status_code == 202
    assert len(uids(reply)) == 1
    assert reasons(reply, OTHERS) == [0xC000]
    assert [*files(folder).values()] == bodies[:1]


# --- what goes wrong on the way ---


def test_an_upload_that_is_cut_off(
    server: DICOMwebServer, folder: Path, datasets: list[Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    bodies = [part10(datasets[0]), part10(large(datasets[1]))]
    body = joined(bodies)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        head = (
            "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
            f'{len(body)}\r\nContent-Type: multipart/related; type="application/dicom"; boundary=b0undary\r\n\r\n'
        )
        connection.sendall(head.encode() + body[:-700])
        wait_until(lambda: any(name.startswith(".dicomzarr-unfinished-") for name in files(folder)))
        wait_until(lambda: len(files(folder)) == 2)
    wait_until(lambda: not any(name.startswith(".dicomzarr-unfinished-") for name in files(folder)))
    assert [*files(folder).values()] == bodies[:1]
    wait_until(lambda: "cut off after 1 instance" in caplog.text)
    assert len(get(f"{server.url}/instances").json()) == 1


def large(dataset: Dataset) -> Dataset:
    """Two megabytes, which come in many pieces."""
    dataset.Rows = dataset.Columns = 1000
    dataset.PixelData = bytes(2 * 1000 * 1000)
    return dataset


def wait_until(condition: Any) -> None:
    """Ask again and again; what never comes hangs until pytest ends it."""
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_a_server_that_ends_meanwhile_leaves_nothing_half(folder: Path, bodies: list[bytes]) -> None:
    begun = threading.Event()

    def endless() -> Iterator[bytes]:
        yield joined(bodies[:1])[:-700]
        wait_until(lambda: files(folder))
        begun.set()
        wait_until(lambda: not begun.is_set())

    def send(url: str) -> None:
        headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b0undary'}
        with pytest.raises(requests.RequestException):
            requests.post(url, endless(), headers=headers, timeout=SECONDS)

    with DICOMwebServer(folder, writable=True) as server:
        sender = threading.Thread(target=send, args=(f"{server.url}/studies",))
        sender.start()
        assert begun.wait(SECONDS)
    begun.clear()
    sender.join()
    assert files(folder) == {}


def test_a_full_disk(server: DICOMwebServer, folder: Path, datasets: list[Dataset], bodies: list[bytes]) -> None:
    """No file may grow beyond so many bytes: the second instance is larger, and does not fit."""
    sent = [bodies[0], part10(large(datasets[1])), bodies[2]]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
    try:
        reply = store(f"{server.url}/studies", joined(sent))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert reply.status_code == 202
    assert uids(reply) == [datasets[0].SOPInstanceUID, datasets[2].SOPInstanceUID]
    assert reasons(reply) == [0xA700]
    assert uids(reply, FAILED) == [datasets[1].SOPInstanceUID]
    assert sorted(files(folder).values()) == sorted([bodies[0], bodies[2]])
    assert store(f"{server.url}/studies", joined(sent)).status_code == 200


def test_a_disk_that_fails_at_the_end(
    server: DICOMwebServer, folder: Path, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, reason in ((errno.ENOSPC, 0xA700), (errno.EIO, 0x0110)):
        monkeypatch.setattr(deposits.os, "fsync", partial(_fail, number))
        reply = store(f"{server.url}/studies", joined(bodies[:1]))
        assert reply.status_code == 409
        assert reasons(reply, OTHERS) == [reason]
        assert files(folder) == {}


def _fail(number: int, _descriptor: int) -> None:
    raise OSError(number, os.strerror(number))


def test_a_folder_that_cannot_be_written_to(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    folder.rmdir()
    reply = store(f"{server.url}/studies", joined(bodies[:2]))
    assert reply.status_code == 409
    assert reasons(reply, OTHERS) == [0x0110] * 2


def test_unfinished_files_are_nobodys(folder: Path, bodies: list[bytes]) -> None:
    old, new = folder / ".dicomzarr-unfinished-01234567", folder / ".dicomzarr-unfinished-fedcba98"
    old.write_bytes(bodies[0])
    new.write_bytes(bodies[1])
    os.utime(old, (0, 0))
    with DICOMwebServer(folder, writable=True) as server:
        assert get(f"{server.url}/instances").status_code == 204
    assert [*files(folder)] == [new.name]


def test_many_at_once(server: DICOMwebServer, folder: Path, bodies: list[bytes]) -> None:
    statuses: list[int] = []

    def send() -> None:
        statuses.append(store(f"{server.url}/studies", joined(bodies)).status_code)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert statuses == [200] * 4
    assert sorted(files(folder).values()) == sorted(bodies)
    assert pydicom.dcmread(next(folder.rglob("*.dcm"))).SOPInstanceUID


def test_a_file_that_is_begun_after_it_was_discarded_is_none(folder: Path) -> None:
    """The thread that begins it may come last, where the server ends meanwhile."""
    deposit = Deposit(folder)
    deposit.discard()
    with pytest.raises(Refused):
        deposit.open()
    assert files(folder) == {}

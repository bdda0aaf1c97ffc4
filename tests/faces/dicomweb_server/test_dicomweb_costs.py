"""What a folder's server costs: memory that does not grow with instances, and no file that is read for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dicomweb_replies import ANY_FRAMES, get
from folders import write
from frame_oracles import part10
from radiology import BUILDERS
from serving import run_python

from dicomzarr.faces.dicomweb_server import DICOMwebServer, holdings
from dicomzarr.sources.files import index

if TYPE_CHECKING:
    from pathlib import Path

LARGE = """
import http.client, json, sys
from pathlib import Path
from urllib.parse import urlsplit
import requests
from dicomzarr.faces.dicomweb_server import DICOMwebServer

MEGABYTE = 2**20
folder, other = Path(sys.argv[1]), Path(sys.argv[2])
path = folder / "large.dcm"

def peak():
    told = Path("/proc/self/status").read_text()  # what getrusage says begins with the parent's
    return int(told.split("VmHWM:")[1].split()[0]) / 1024

def read(url, accept):
    "Bytes of a reply, none of which are kept."
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", parts.path, headers={"Accept": accept})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    size = 0
    buffer = bytearray(MEGABYTE)
    while taken := reply.readinto(buffer):
        size += taken
    connection.close()
    return size

def body():
    yield b'--b\\r\\nContent-Type: application/dicom\\r\\n\\r\\n'
    with path.open("rb") as file:
        while piece := file.read(MEGABYTE):
            yield piece
    yield b"\\r\\n--b--\\r\\n"

grown, sizes = {}, {}
with DICOMwebServer(folder) as server, DICOMwebServer(other, writable=True) as store:
    (found,) = requests.get(server.url + "/instances").json()
    url = found["00081190"]["Value"][0]
    read(url + "/frames/1", "*/*")
    numbers = ",".join(map(str, range(1, 301)))
    wanted = {
        "whole": (url, "application/dicom; transfer-syntax=*"),
        "series": (url.partition("/instances")[0], 'multipart/related; type="application/dicom"; transfer-syntax=*'),
        "explicit": (url, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
        "frames": (url + "/frames/" + numbers, "*/*"),
        "bulk": (url + "/bulkdata/7FE00010", "application/octet-stream"),
    }
    for name, (address, accept) in wanted.items():
        before = peak()
        sizes[name] = read(address, accept) / MEGABYTE
        grown[name] = peak() - before
    before = peak()
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    stored = requests.post(store.url + "/studies", data=body(), headers=headers)
    assert stored.status_code == 200, stored.text
    grown["stored"] = peak() - before
    (written,) = other.rglob("*.dcm")
    assert written.stat().st_size == path.stat().st_size
print(json.dumps({"grown": grown, "sizes": sizes}))
"""


@pytest.mark.slow
def test_large_instances_do_not_come_into_memory(tmp_path: Path) -> None:
    """300 frames of a megabyte, in Implicit VR Little Endian, whose pixels take no room on the disk."""
    (dataset,) = BUILDERS["single_slice"]().datasets
    dataset.Rows = dataset.Columns = 1
    dataset.PixelData = b"\0\0"
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    dataset.NumberOfFrames = 300
    dataset.Rows, dataset.Columns = 1024, 512
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    body = part10(dataset)
    head, length = body[:-6], 300 * 2**20
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    with (tmp_path / "from" / "large.dcm").open("wb") as file:
        file.write(head + length.to_bytes(4, "little"))
        file.truncate(file.tell() + length)
    found = run_python(LARGE, str(tmp_path / "from"), str(tmp_path / "to"))
    assert min(found["sizes"].values()) >= 300
    assert max(found["grown"].values()) < 48, found["grown"]


@pytest.mark.slow
def test_searches_of_thousands_of_instances_read_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dataset,) = BUILDERS["single_slice"]().datasets
    uid = dataset.SOPInstanceUID
    body = part10(dataset)
    for number in range(3000):
        name = str(number).zfill(5)
        (tmp_path / f"{name}.dcm").write_bytes(body.replace(uid.encode(), uid[:-5].encode() + name.encode()))
    with DICOMwebServer(tmp_path, max_age=0) as server:
        for module, name in ((holdings, "read_header"), (index, "read_instance")):
            monkeypatch.setattr(module, name, None)
        everything = get(f"{server.url}/instances").json()
        assert len({each["00080018"]["Value"][0] for each in everything}) == 3000
        (study,) = get(f"{server.url}/studies").json()
        assert study["00201208"]["Value"] == [3000]
        assert len(get(f"{server.url}/instances?limit=10&offset=2995").json()) == 5
        assert len(get(f"{server.url}/instances?SOPInstanceUID={uid[:-5]}00007").json()) == 1


def test_a_file_is_looked_at_once_and_its_table_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, BUILDERS["volume"]().datasets)
    asked: list[str] = []
    frames_of, read_header = holdings.frames_of, holdings.read_header
    monkeypatch.setattr(holdings, "frames_of", lambda each: asked.append(each.uid) or frames_of(each))
    monkeypatch.setattr(
        holdings, "read_header", lambda file, uid: asked.append(f"header {uid}") or read_header(file, uid)
    )
    with DICOMwebServer(tmp_path) as server:
        found = get(f"{server.url}/instances").json()[0]
        url = found["00081190"]["Value"][0]
        first = [get(f"{url}/frames/1", ANY_FRAMES).content[:0], get(f"{url}/metadata").content]
        again = [get(f"{url}/frames/1", ANY_FRAMES).content[:0], get(f"{url}/metadata").content]
    assert first == again
    uid = found["00080018"]["Value"][0]
    assert asked == [uid, f"header {uid}"]

"""Files far away: how they are listed, read and checked, with how many requests, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
import struct
import threading
import tracemalloc
from contextlib import suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import fsspec
import numpy as np
import obstore
import pytest
import radiology
from aiohttp import web
from buckets import bucket
from disk_caches import forget_storages
from dual_personality import dual_personality, frames_in, part10_bytes, without_table
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian
from serving import forget_servers
from slides_pyramids import deep_pyramid

import dicomzarr
from dicomzarr.errors import (
    ChangedFileError,
    DicomZarrError,
    InvalidFileError,
    InvalidReplyError,
    InvalidURLError,
    LoginPageError,
    MissingFileError,
    SeveralSeriesError,
    TruncatedReplyError,
    UnreadableFileError,
)
from dicomzarr.sources.files.stores import web as web_files
from dicomzarr.sources.files.stores.bucket import BucketURL, read_page
from dicomzarr.sources.http import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from buckets import BucketServer

    from dicomzarr.arrays.image import Image

HEAD = 256 * 2**10


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    yield
    forget_servers()


@pytest.fixture
def volume() -> Iterator[BucketServer]:
    """A scan of slices, below ``ct``."""
    datasets = radiology.BUILDERS["volume"]().datasets
    with bucket({f"ct/{number}.dcm": part10_bytes(each) for number, each in enumerate(datasets)}) as server:
        yield server


def opened(server: BucketServer, place: str = "s3://bucket/ct", **options: Any) -> Image:
    return dicomzarr.open(place, **{**server.options, **options})


def big(dataset: Any, pixels: int = 400) -> bytes:
    """A slice that is larger than what is read of it first."""
    dataset.Rows = dataset.Columns = pixels
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    values = np.arange(pixels * pixels, dtype=np.uint16) + int(dataset.InstanceNumber or 0)
    dataset.PixelData = values.tobytes()
    return part10_bytes(dataset)


def test_what_is_left_out_is_said_each_time(volume: BucketServer, tmp_path: Path) -> None:
    """Also where the metadata come out of the cache on disk."""
    volume.objects["ct/README.txt"] = b"no DICOM"
    for _ in range(3):
        image = opened(volume, cache_dir=tmp_path)
        assert image.notices == ("1 file was left out (no DICOM): README.txt.",)
        assert image.levels[0][...].size
        del image
        forget_servers()
        forget_storages()


# --- how many requests ---


def test_a_slide_with_tiff_tables_is_a_listing_and_two_requests_a_level() -> None:
    slide = deep_pyramid()
    objects = {f"slide/{number}.dcm": dual_personality(each) for number, each in enumerate(slide.datasets)}
    with bucket(objects) as server:
        image = opened(server, "s3://bucket/slide")
        assert len(image.levels) == 12
        assert server.listings == 1
        for key, body in objects.items():
            head, tail = (each for each in server.objects_asked if each.key == key)
            assert head.start == 0
            assert tail.stop == len(body)
        server.asked.clear()
        region = image.levels[0][:, 100:300, 200:400]
        finest = slide.datasets[0]
        sizes = [len(frame) + 8 for frame in frames_in(finest)]
        wanted = [sizes[row * 20 + column] for row in range(3, 10) for column in range(6, 13)]
        assert sum(wanted) <= server.bytes_sent <= 1.3 * sum(wanted)
        assert len(server.asked) <= 7
        assert np.array_equal(region, image.levels[0][...][:, 100:300, 200:400])


def test_a_scan_of_many_files_is_one_listing_and_a_request_a_file() -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    objects = {}
    for number in range(300):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        dataset.InstanceNumber = number + 1
        dataset.ImagePositionPatient = [0, 0, number]
        objects[f"ct/{number:03}.dcm"] = part10_bytes(dataset)
    with bucket(objects) as server:
        server.delay = 0.002
        image = opened(server)
        assert image.levels[0].shape[0] == 300
        assert server.listings == 1
        assert len(server.objects_asked) == 300
        assert server.most_at_once <= 32
        server.asked.clear()
        plane = image.levels[0][7]
        assert len(server.asked) == 1
        assert server.bytes_sent == plane.nbytes


def test_a_listing_goes_on_page_by_page(volume: BucketServer) -> None:
    volume.page = 2
    keys = len(volume.objects)
    assert opened(volume).levels[0].shape[0] == keys
    assert volume.listings == -(-keys // 2)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_server_that_knows_the_first_listing_alone_is_asked_on(volume: BucketServer, page: int) -> None:
    volume.version, volume.page = 1, page
    volume.objects = {key.replace("ct/", "ct/a b+"): body for key, body in volume.objects.items()}
    keys = len(volume.objects)
    image = opened(volume)
    assert image.levels[0].shape[0] == keys
    assert not image.notices
    assert volume.listings == -(-keys // page)


def test_a_listing_that_is_cut_off_is_an_error(volume: BucketServer) -> None:
    volume.version, volume.page = 0, 2
    with pytest.raises(InvalidReplyError, match="is cut off"):
        opened(volume)


@pytest.mark.parametrize(
    ("told", "following"),
    [
        ("<IsTruncated>false</IsTruncated>", None),
        ("", None),
        (
            "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
            {"continuation-token": "t"},
        ),
        ("<NextContinuationToken>t</NextContinuationToken>", {"continuation-token": "t"}),
        ("<IsTruncated>True</IsTruncated>", {"marker": "k", "start-after": "k"}),
        ("<IsTruncated>true</IsTruncated><NextContinuationToken/>", {"marker": "k", "start-after": "k"}),
    ],
)
def test_how_a_listing_goes_on(told: str, following: dict[str, str] | None) -> None:
    contents = "<Contents><Key>k</Key><Size>1</Size><ETag>e</ETag></Contents>"
    body = f"<ListBucketResult>{contents}{told}</ListBucketResult>".encode()
    assert read_page(body, "s3://b").following == following


def test_a_listing_of_nothing_that_is_cut_off_is_an_error() -> None:
    body = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    with pytest.raises(InvalidReplyError, match="does not say how it goes on"):
        read_page(body, "s3://b")


def test_values_that_nobody_needs_are_not_fetched() -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    value = os.urandom(8 * 2**20)
    dataset.add_new(0x00091001, "OB", value)
    with bucket({"ct/a.dcm": big(dataset)}) as server:
        image = opened(server)
        assert np.array_equal(image.levels[0][...].ravel(), np.frombuffer(dataset.PixelData, np.uint16))
        assert len(server.objects_asked) == 3
        assert server.bytes_sent < len(value) / 2


def test_long_headers_are_read_on_until_the_pixels() -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    dataset.add_new(0x00091001, "OB", os.urandom(3 * HEAD))
    with bucket({"ct/a.dcm": big(dataset)}) as server:
        image = opened(server)
        starts = [(each.start, each.stop) for each in server.objects_asked]
        assert starts == [(0, HEAD), (HEAD, 4 * HEAD)]
        assert np.array_equal(image.levels[0][...].ravel(), np.frombuffer(dataset.PixelData, np.uint16))


@pytest.mark.parametrize("big_tiff", [True, False])
def test_tables_of_tiff_are_right(big_tiff: bool) -> None:  # noqa: FBT001  # a parameter
    slide = deep_pyramid(2, 200)
    with bucket(
        {f"{number}.dcm": dual_personality(each, big=big_tiff) for number, each in enumerate(slide.datasets)}
    ) as server:
        far = opened(server, "s3://bucket")
        with bucket({f"{number}.dcm": part10_bytes(each) for number, each in enumerate(slide.datasets)}) as plain:
            near = opened(plain, "s3://bucket")
            for one, other in zip(far.levels, near.levels, strict=True):
                assert np.array_equal(one[...], other[...])


def test_a_tiff_table_that_is_wrong_is_one_scan() -> None:
    slide = deep_pyramid(1, 320)
    (dataset,) = slide.datasets
    right = dual_personality(dataset)
    wrong = dual_personality(dataset, shift=2)
    with bucket({"a.dcm": right}) as server:
        expected = opened(server, "s3://bucket").levels[0][...]
    forget_servers()
    with bucket({"a.dcm": wrong}) as server:
        assert np.array_equal(opened(server, "s3://bucket").levels[0][...], expected)


@pytest.mark.parametrize("frames", [512, pytest.param(4096, marks=pytest.mark.slow)])
def test_a_file_without_a_table_is_scanned_once_in_little_memory(frames: int, tmp_path: Path) -> None:
    """And not again after a restart."""
    size = 40_000
    slide = deep_pyramid(1, 64, "jpeg_ybr_full_422")
    (dataset,) = slide.datasets
    tile = frames_in(dataset)[0]
    dataset.NumberOfFrames = frames
    dataset.TotalPixelMatrixRows = frames
    dataset.TotalPixelMatrixColumns = 32 * 32
    padded = [tile[:-2] + bytes([255, 254]) + (size - 4).to_bytes(2, "big") + bytes(size - 6) + tile[-2:]] * frames
    dataset.PixelData = encapsulate(padded, has_bot=False)
    body = without_table(dataset)
    with bucket({"a.dcm": body}) as server:
        image = opened(server, "s3://bucket", cache_dir=tmp_path)
        level = image.levels[0]
        before = len(server.asked)
        tracemalloc.start()
        first = level[:, :32, :32]
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
        tracemalloc.stop()
        scan = server.asked[before:]
        assert sum(each.stop - each.start for each in scan) < 1.2 * len(body)
        server.asked.clear()
        level[:, 64:96, 64:96]
        assert len(server.asked) == 1
        forget_servers()
        server.asked.clear()
        again = opened(server, "s3://bucket", cache_dir=tmp_path)
        assert [each.key for each in server.asked] == [""]
        assert np.array_equal(again.levels[0][:, 96:128, :32], first)
        assert len(server.asked) == 2


@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_in_fragments_without_a_table(fragments: int) -> None:
    slide = deep_pyramid(1, 100)
    (dataset,) = slide.datasets
    with bucket({"a.dcm": part10_bytes(dataset)}) as server:
        expected = opened(server, "s3://bucket").levels[0][...]
    forget_servers()
    with bucket({"a.dcm": without_table(dataset, fragments)}) as server:
        assert np.array_equal(opened(server, "s3://bucket").levels[0][...], expected)


def test_a_table_that_passes_over_a_frame_is_one_scan_near_and_far(tmp_path: Path) -> None:
    """Each of its offsets is that of an item, or of what stands behind the last."""
    slide = deep_pyramid(1, 320)
    (dataset,) = slide.datasets
    frames = frames_in(dataset)
    with bucket({"a.dcm": part10_bytes(dataset)}) as server:
        expected = opened(server, "s3://bucket").levels[0][...]
    forget_servers()
    body = bytearray(without_table(dataset))
    at = body.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    offsets = [0, *accumulate(8 + len(frame) + len(frame) % 2 for frame in frames)]
    del offsets[3]
    body[at : at + 8] = struct.pack(f"<HHI{len(frames)}I", 0xFFFE, 0xE000, 4 * len(frames), *offsets)
    (tmp_path / "a.dcm").write_bytes(body)
    with bucket({"a.dcm": bytes(body)}) as server:
        for image in (opened(server, "s3://bucket"), dicomzarr.open(tmp_path / "a.dcm")):
            assert np.array_equal(image.levels[0][:, :64, 128:160], expected[:, :64, 128:160])
            assert np.array_equal(image.levels[0][...], expected)


def test_a_table_costs_one_request_when_a_bucket_is_opened_first(tmp_path: Path) -> None:
    slide = deep_pyramid(1, 320)
    (dataset,) = slide.datasets
    dataset.PixelData = encapsulate(frames_in(dataset), has_bot=True)
    with bucket({"a.dcm": part10_bytes(dataset)}) as server:
        image = opened(server, "s3://bucket", cache_dir=tmp_path)
        assert len(server.objects_asked) <= 2
        server.asked.clear()
        image.levels[0][:, :32, :32]
        assert len(server.asked) == 1
        forget_servers()
        server.asked.clear()
        opened(server, "s3://bucket", cache_dir=tmp_path)
        assert not server.objects_asked


def test_deflated_files(volume: BucketServer) -> None:
    plain = opened(volume).levels[0][...]
    for key, body in list(volume.objects.items()):
        dataset, out = dcmread(BytesIO(body)), BytesIO()
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=True)
        volume.objects[key] = out.getvalue()
    forget_servers()
    assert np.array_equal(opened(volume).levels[0][...], plain)


# --- the index ---


def test_an_index_opens_a_bucket_again_without_reading_files(volume: BucketServer, tmp_path: Path) -> None:
    pixels = opened(volume, cache_dir=tmp_path).levels[0][...]
    forget_servers()
    volume.asked.clear()
    again = opened(volume, cache_dir=tmp_path)
    assert [each.key for each in volume.asked] == [""]
    assert np.array_equal(again.levels[0][...], pixels)
    forget_servers()
    volume.asked.clear()
    named = opened(volume, index=str(tmp_path / "named"))
    assert len(volume.objects_asked) == len(volume.objects)
    forget_servers()
    volume.asked.clear()
    assert named.notices == opened(volume, index=str(tmp_path / "named")).notices
    assert not volume.objects_asked


def test_a_new_object_is_noticed_and_alone_read(volume: BucketServer, tmp_path: Path) -> None:
    (key, body), *_ = volume.objects.items()
    del volume.objects[key]
    count = opened(volume, cache_dir=tmp_path).levels[0].shape[0]
    forget_servers()
    volume.asked.clear()
    volume.objects[key] = body
    assert opened(volume, cache_dir=tmp_path).levels[0].shape[0] == count + 1
    assert [each.key for each in volume.objects_asked] == [key]


def test_a_failure_to_read_a_head_is_not_remembered(volume: BucketServer, tmp_path: Path) -> None:
    (key, *_) = volume.objects
    volume.fault = lambda request, reply: web.Response(status=403) if request.path.endswith(key) else reply
    image = opened(volume, cache_dir=tmp_path)
    assert "not readable" in image.notices[0]
    assert key.rpartition("/")[2] in image.notices[0]
    volume.fault = None
    forget_servers()
    assert not opened(volume, cache_dir=tmp_path).notices


# --- what is refused ---


def test_a_replaced_object_is_an_error(volume: BucketServer) -> None:
    image = opened(volume)
    key = "ct/1.dcm"
    volume.objects[key] = volume.objects[key][:-2] + b"\1\1"
    with pytest.raises(ChangedFileError, match=r"frame 1 of instance .*, series .*, study ") as caught:
        image.levels[0][...]
    assert "has changed" in str(caught.value)
    del volume.objects[key]
    with pytest.raises(ChangedFileError):
        image.levels[0][...]


def test_a_replaced_object_is_an_error_where_ranges_are_unconditional(volume: BucketServer) -> None:
    image = opened(volume)

    def other_tag(_: web.Request, reply: web.Response) -> web.Response:
        reply.headers["ETag"] = '"another"'
        return reply

    volume.fault = other_tag
    with pytest.raises(ChangedFileError):
        image.levels[0][...]


def test_objects_are_known_by_their_dates_where_a_listing_tells_no_entity_tags(volume: BucketServer) -> None:
    volume.dates = True
    pixels = opened(volume).levels[0][...]
    forget_servers()
    image = opened(volume)

    def newer(_: web.Request, reply: web.Response) -> web.Response:
        reply.headers["Last-Modified"] = "Tue, 01 Dec 2026 10:20:31 GMT"
        return reply

    volume.fault = newer
    with pytest.raises(ChangedFileError):
        image.levels[0][...]
    volume.fault = None
    assert np.array_equal(opened(volume).levels[0][...], pixels)


def test_a_redirect_to_another_region_says_what_to_do() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(301)  # as S3 does, without a Location
            self.send_header("x-amz-bucket-region", "eu-central-1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InvalidReplyError, match=r"another region: endpoint_url="):
            dicomzarr.open("s3://my.bucket/ct", endpoint_url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def _whole(_: web.Request, __: web.Response) -> web.Response:
    return web.Response(body=b"x" * 5000)


def _login(_: web.Request, __: web.Response) -> web.Response:
    return web.Response(text="<html>Please log in</html>", content_type="text/html")


def _other_range(_: web.Request, reply: web.Response) -> web.Response:
    found = reply.headers["Content-Range"]
    reply.headers["Content-Range"] = found.replace("bytes ", "bytes 1")
    return reply


def _no_range(_: web.Request, reply: web.Response) -> web.Response:
    del reply.headers["Content-Range"]
    return reply


def _short(_: web.Request, reply: web.Response) -> web.Response:
    assert isinstance(reply.body, bytes)
    return web.Response(status=206, body=reply.body[:-5], headers={"Content-Range": reply.headers["Content-Range"]})


def _long(_: web.Request, reply: web.Response) -> web.Response:
    assert isinstance(reply.body, bytes)
    return web.Response(
        status=206, body=reply.body + b"more", headers={"Content-Range": reply.headers["Content-Range"]}
    )


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (_whole, InvalidReplyError),
        (_login, LoginPageError),
        (_other_range, InvalidReplyError),
        (_no_range, InvalidReplyError),
        (_short, TruncatedReplyError),
        (_long, InvalidReplyError),
    ],
)
def test_what_is_no_such_range_is_an_error(
    volume: BucketServer, fault: Callable[..., web.Response], kind: type[DicomZarrError]
) -> None:
    image = opened(volume)
    volume.fault = fault
    with pytest.raises(kind):
        image.levels[0][...]
    volume.fault = None
    forget_servers()
    assert opened(volume).levels[0][...].any()


def test_what_cannot_be_listed_is_said(volume: BucketServer) -> None:
    with pytest.raises(MissingFileError, match="nothing at s3://bucket/nowhere"):
        opened(volume, "s3://bucket/nowhere")
    with pytest.raises(MissingFileError, match="no bucket s3://other"):
        opened(volume, "s3://other/x")
    volume.objects = {"ct/a.txt": b"no image"}
    with pytest.raises(MissingFileError, match="no DICOM images in s3://bucket/ct"):
        opened(volume)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"{}",
        b'<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult/>',
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
    ],
)
def test_a_page_that_is_no_listing_is_an_error(body: bytes) -> None:
    with pytest.raises(InvalidReplyError, match="listing of s3://b"):
        read_page(body, "s3://b")


def test_several_series_are_listed(volume: BucketServer) -> None:
    for number, each in enumerate(radiology.BUILDERS["pet"]().datasets):
        volume.objects[f"pet/{number}.dcm"] = part10_bytes(each)
    with pytest.raises(SeveralSeriesError, match="There are 2 series in s3://bucket") as caught:
        opened(volume, "s3://bucket")
    assert len(caught.value.choices) == 2
    for choice in caught.value.choices:
        assert opened(volume, choice.partition(" (")[0]).url == choice.partition(" (")[0]


@pytest.mark.parametrize("seed", range(40))
def test_mutated_files_are_pixels_or_typed_errors(seed: int, tmp_path: Path) -> None:
    """Whatever their bytes say, nothing but our errors comes, and nothing takes for ever."""
    random = np.random.default_rng(seed)
    slide = deep_pyramid(1, 64)
    body = bytearray(dual_personality(slide.datasets[0]) if seed % 2 else without_table(slide.datasets[0]))
    for _ in range(1 + seed % 7):
        place = int(random.integers(132, len(body)))
        body[place : place + 2] = random.bytes(2)
    if seed % 5 == 0:
        del body[int(random.integers(200, len(body))) :]
    found: list[Any] = []
    with bucket({"a.dcm": bytes(body)}) as server, suppress(DicomZarrError):
        found.append(opened(server, "s3://bucket").levels[0][...])
    (tmp_path / "a.dcm").write_bytes(body)
    with suppress(DicomZarrError):
        found.append(dicomzarr.open(tmp_path).levels[0][...])
    if len(found) > 1:
        assert np.array_equal(*found)


# --- where buckets are ---


@pytest.mark.parametrize(
    ("url", "endpoint", "address"),
    [
        ("s3://idc-open-data/a", None, "https://idc-open-data.s3.amazonaws.com"),
        ("s3://dotted.name/a", None, "https://s3.amazonaws.com/dotted.name"),
        ("gs://b/a", None, "https://storage.googleapis.com/b"),
        ("gcs://b", None, "https://storage.googleapis.com/b"),
        ("s3://b/a", "http://127.0.0.1:1/", "http://127.0.0.1:1/b"),
        ("s3://b/a", "https://{bucket}.host/x", "https://b.host/x"),
    ],
)
def test_addresses_of_buckets(url: str, endpoint: str | None, address: str) -> None:
    assert BucketURL.parse(url).address(endpoint) == address


@pytest.mark.parametrize("form", ["ours", "obstore", "fsspec"])
def test_objects_without_a_byte_are_said_as_in_a_folder(volume: BucketServer, form: str) -> None:
    volume.objects = {
        "ct/": b"",  # as consoles mark folders
        "ct/a": b"",  # as others do
        **{key.replace("ct/", "ct/a/b/"): body for key, body in volume.objects.items()},
        "ct/cut.dcm": b"",
    }
    if form == "ours":
        image = opened(volume)
    elif form == "obstore":
        store = obstore.store.MemoryStore()
        for key, body in volume.objects.items():
            if not key.endswith("/"):
                obstore.put(store, key, body)
        image = dicomzarr.open("ct", store=store)
    else:
        memory = fsspec.filesystem("memory", skip_instance_cache=True)
        for key, body in volume.objects.items():
            if key not in {"ct/", "ct/a"}:
                memory.pipe_file(f"/empty/{key}", body)
        image = dicomzarr.open("memory://empty/ct")
    assert image.notices == ("1 file was left out (no DICOM): cut.dcm.",)


def test_keys_with_unusual_names(volume: BucketServer) -> None:
    names = ["a b", "ü#?&=%2F", "+plus", "q'(1)*~"]
    bodies = list(volume.objects.values())
    volume.objects = {f"ct/{name}.dcm": body for name, body in zip(names, bodies, strict=False)}
    assert opened(volume).levels[0].shape[0] == min(len(names), len(bodies))


# --- pages that list files ---


@pytest.mark.parametrize("form", ["html", "json", "nginx", "text"])
def test_a_page_that_lists_files(volume: BucketServer, form: str) -> None:
    names = [key.rpartition("/")[2] for key in volume.objects]
    html = "".join(f'<a href="{name}">{name}</a>' for name in ["?C=M", "../", "http://elsewhere.invalid/x.dcm", *names])
    pages = {
        "html": ("/bucket/ct/", "text/html", html),
        "json": ("/bucket/ct/list.json", "application/json", json.dumps(names)),
        "nginx": ("/bucket/ct/", "application/json", json.dumps([{"name": name, "type": "file"} for name in names])),
        "text": ("/bucket/ct/list.txt", "text/plain", "\n".join(names)),
    }
    path, kind, text = pages[form]
    volume.pages[path] = kind, text
    image = dicomzarr.open(volume.url + path)
    assert image.levels[0].shape[0] == len(names)
    assert image.url.endswith("::" + volume.url + path)
    assert np.array_equal(dicomzarr.open(image.url).levels[0][...], opened(volume).levels[0][...])


def listing_of(names: Sequence[str], parent: str = "../") -> str:
    links = "".join(f'<a href="{escape(quote(name))}">{escape(name)}</a>' for name in [parent, *names])
    return f"<html><title>Index of /ct</title>{links}</html>"


UNUSUAL = ["a b", "ü#?&=%2F", "+plus", "q'(1)*~", "no ending"]


@pytest.mark.parametrize("form", ["html", "nginx"])
def test_names_in_listings_of_web_servers(volume: BucketServer, form: str) -> None:
    names, bodies = UNUSUAL, list(volume.objects.values())[: len(UNUSUAL)]
    volume.objects = {f"ct/{name}": body for name, body in zip(names, bodies, strict=False)}
    names = names[: len(bodies)]
    entries = [{"name": name, "type": "file"} for name in names]
    volume.pages["/bucket/ct/"] = {
        "html": ("text/html", listing_of(names)),
        "nginx": ("application/json", json.dumps([{"name": "..", "type": "directory"}, *entries])),
    }[form]
    assert dicomzarr.open(f"{volume.url}/bucket/ct/").levels[0].shape[0] == len(names)


@pytest.mark.parametrize("form", ["html", "nginx", "no listing"])
def test_folders_below_a_listing(volume: BucketServer, form: str) -> None:
    expected = opened(volume).levels[0][...]
    bodies = list(volume.objects.values())
    volume.objects = {f"ct/{number % 2} #/{number}.dcm": body for number, body in enumerate(bodies)}
    for folder in range(2):
        names = [f"{number}.dcm" for number in range(len(bodies)) if number % 2 == folder]
        volume.pages[f"/bucket/ct/{folder} #/"] = "text/html", listing_of([*names, "./"])
    html = listing_of(["0 #/", "1 #/"], "/bucket/")
    entries = [{"name": name, "type": "directory"} for name in ("0 #", "1 #")]
    volume.pages["/bucket/ct/"] = {
        "html": ("text/html", html),
        "nginx": ("application/json", json.dumps(entries)),
        "no listing": ("text/html", html.replace("Index of", "Welcome to")),
    }[form]
    if form == "no listing":  # nobody walks through a whole web site
        with pytest.raises(InvalidURLError, match="there is no DICOM in them"):
            dicomzarr.open(f"{volume.url}/bucket/ct/")
        return
    image = dicomzarr.open(f"{volume.url}/bucket/ct/")
    assert np.array_equal(image.levels[0][...], expected)
    assert not image.notices


@pytest.mark.parametrize("form", ["html", "nginx", "text"])
def test_names_that_hold_two_dots_are_names(volume: BucketServer, form: str) -> None:
    names = ["IM..1.dcm", "..2", "3..", "...4", "a..b/5.dcm"]
    bodies = list(volume.objects.values())[: len(names)]
    names = names[-len(bodies) :]
    volume.objects = {f"ct/{name}": body for name, body in zip(names, bodies, strict=True)}
    files = [name for name in names if "/" not in name]
    entries = [{"name": "a..b", "type": "directory"}, *({"name": name, "type": "file"} for name in files)]
    volume.pages["/bucket/ct/"] = {
        "html": ("text/html", listing_of([*files, "a..b/"])),
        "nginx": ("application/json", json.dumps(entries)),
        "text": ("text/plain", "\n".join(names)),
    }[form]
    volume.pages["/bucket/ct/a..b/"] = "text/html", listing_of(["5.dcm"])
    image = dicomzarr.open(f"{volume.url}/bucket/ct/")
    assert image.levels[0].shape[0] == len(names)
    assert not image.notices


@pytest.mark.parametrize(
    "link", ["../other/9.dcm", "%2e%2e/other/9.dcm", "a/..%2F../other/9.dcm", "/bucket/other/9.dcm"]
)
def test_links_that_climb_out_are_left_out_with_a_notice(volume: BucketServer, link: str) -> None:
    names = [key.removeprefix("ct/") for key in volume.objects]
    (last, body) = volume.objects.popitem()
    volume.objects["other/9.dcm"] = body
    names.remove(last.removeprefix("ct/"))
    anchors = "".join(f'<a href="{name}">{name}</a>' for name in ["../", *names, link])
    volume.pages["/bucket/ct/"] = "text/html", f"<title>Index of /ct</title>{anchors}"
    image = dicomzarr.open(f"{volume.url}/bucket/ct/")
    assert image.levels[0].shape[0] == len(names)
    assert "links to files outside the folder" in image.notices[-1]
    assert not any(each.key.startswith("other") for each in volume.asked)


def test_folders_in_a_listing_of_caddy(volume: BucketServer) -> None:
    """As Caddy 2.6 answers (file_server browse): folders have a slash behind their names, and ``is_dir``."""
    expected = opened(volume).levels[0][...]
    bodies = list(volume.objects.values())
    volume.objects = {f"ct/b #{number % 2}/{number}.dcm": body for number, body in enumerate(bodies)}

    def entry(name: str, *, folder: bool) -> dict[str, object]:
        return {
            "name": name,
            "size": 4096,
            "url": f"./{quote(name)}",
            "mode": 420,
            "is_dir": folder,
            "is_symlink": False,
        }

    volume.pages["/bucket/ct/"] = "application/json", json.dumps([entry(f"b #{n}/", folder=True) for n in range(2)])
    for folder in range(2):
        names = [f"{number}.dcm" for number in range(len(bodies)) if number % 2 == folder]
        listed = json.dumps([entry(name, folder=False) for name in names])
        volume.pages[f"/bucket/ct/b #{folder}/"] = "application/json", listed
    image = dicomzarr.open(f"{volume.url}/bucket/ct/")
    assert np.array_equal(image.levels[0][...], expected)
    assert not image.notices


def test_what_urls_ask_for_is_no_name(volume: BucketServer, tmp_path: Path) -> None:
    names = [key.removeprefix("ct/") for key in volume.objects]
    volume.objects["ct/bad.dcm"] = b"no DICOM" * 50
    urls = [f"{name}?X-Amz-Signature=SECRET" for name in [*names, "bad.dcm", "gone.dcm"]]
    volume.pages["/bucket/ct/list.json"] = (
        "application/json",
        json.dumps([*urls, "https://elsewhere.invalid/x.dcm?X-Amz-Signature=SECRET"]),
    )
    index = tmp_path / "index"
    image = dicomzarr.open(f"{volume.url}/bucket/ct/list.json", index=str(index))
    assert image.levels[0].shape[0] == len(names)
    told = "\n".join(image.notices)
    for name in ("bad.dcm", "gone.dcm", "elsewhere.invalid/x.dcm"):
        assert name in told
    assert "SECRET" not in told
    assert b"SECRET" not in index.read_bytes()


def test_urls_that_differ_in_what_they_ask_for_are_several_files(volume: BucketServer) -> None:
    bodies = list(volume.objects.values())
    volume.objects["ct/get"] = bodies[0]

    def by_query(request: web.Request, _: web.Response) -> web.Response:
        first, last = (int(each) for each in request.headers["Range"].removeprefix("bytes=").split("-"))
        body = bodies[int(request.query["id"])]
        piece = body[first : last + 1]
        span = f"bytes {first}-{first + len(piece) - 1}/{len(body)}"
        return web.Response(status=206, body=piece, headers={"Content-Range": span})

    volume.fault, volume.etags = by_query, False
    links = [f"get?id={number}" for number in range(len(bodies))]
    volume.pages["/bucket/ct/list.txt"] = "text/plain", "\n".join(links)
    image = dicomzarr.open(f"{volume.url}/bucket/ct/list.txt")
    assert image.levels[0].shape[0] == len(bodies)
    assert not image.notices


def test_folders_without_end_are_refused(volume: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_files, "_MOST_PAGES", 5)
    for depth in range(10):
        volume.pages[f"/bucket/ct/{'a/' * depth}"] = "text/html", listing_of(["a/"])
    with pytest.raises(InvalidURLError, match="more than 5 folders"):
        dicomzarr.open(f"{volume.url}/bucket/ct/")


def test_a_server_that_gives_no_ranges_is_asked_for_whole_files(volume: BucketServer) -> None:
    expected = opened(volume).levels[0][...]
    names = [key.rpartition("/")[2] for key in volume.objects]
    volume.pages["/bucket/ct/"] = "text/html", listing_of(names)
    volume.ranges = False
    volume.asked.clear()
    image = dicomzarr.open(f"{volume.url}/bucket/ct/")
    assert np.array_equal(image.levels[0][...], expected)
    wanted = [each for each in volume.objects_asked if each.stop]
    assert len(wanted) == 2 * len(names)  # a look, and the whole


def test_a_whole_file_that_is_another_or_cut_is_an_error(volume: BucketServer) -> None:
    url, body = f"{volume.url}/bucket/ct/1.dcm", volume.objects["ct/1.dcm"]
    volume.ranges = False

    def changed(request: web.Request, reply: web.Response) -> web.Response:
        if "Range" in request.headers:
            return reply
        return web.Response(body=body[:-100] + bytes(100), headers={"ETag": '"another"'})

    volume.fault = changed
    with pytest.raises(UnreadableFileError):
        dicomzarr.open(url)
    forget_servers()

    def cut(request: web.Request, reply: web.Response) -> web.Response:
        return reply if "Range" in request.headers else web.Response(body=body[:-100], headers=reply.headers)

    volume.fault = cut
    with pytest.raises(UnreadableFileError):
        dicomzarr.open(url)


def test_an_object_that_is_kept_compressed_is_an_error_that_says_so(volume: BucketServer) -> None:
    """As S3 sends one that was stored with Content-Encoding: ranges are those of the compressed bytes."""
    volume.objects = {key: gzip.compress(body) for key, body in volume.objects.items()}

    def coded(request: web.Request, reply: web.Response) -> web.Response:  # noqa: ARG001  # of the fixture
        reply.headers["Content-Encoding"] = "gzip"
        return reply

    volume.fault = coded
    with pytest.raises(InvalidReplyError, match="kept compressed"):
        opened(volume)


def test_a_server_without_conditional_requests_is_asked_without(volume: BucketServer) -> None:
    expected = opened(volume).levels[0][...]
    forget_servers()
    volume.fault = lambda request, reply: web.Response(status=501) if "If-Match" in request.headers else reply
    assert np.array_equal(opened(volume).levels[0][...], expected)


def test_one_file_by_its_url(volume: BucketServer) -> None:
    image = dicomzarr.open(f"{volume.url}/bucket/ct/1.dcm")
    assert image.levels[0][...].any()
    with pytest.raises(MissingFileError, match="no file http://127"):
        dicomzarr.open(f"{volume.url}/bucket/ct/9999.dcm")


def test_a_file_of_frames_that_are_lacking() -> None:
    dataset = deep_pyramid(1, 64).datasets[0]
    body = without_table(dataset)
    with bucket({"a.dcm": body[: len(body) - 900]}) as server, pytest.raises(InvalidFileError):
        opened(server, "s3://bucket").levels[0][...]


def test_a_server_that_sends_all_to_a_request_for_the_first_byte_alone() -> None:
    """As RangeHTTPServer 1.4, which takes the 0 at the end of the range for no end."""
    series = radiology.BUILDERS["volume"]()
    data = part10_bytes(series.datasets[0])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            last = min(last, len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            self.wfile.write(data[first : last + 1 if last else None])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        image = dicomzarr.open(f"http://127.0.0.1:{server.server_port}/a.dcm")
        assert image.levels[0][...].shape == series.datasets[0].pixel_array.shape
        server.shutdown()

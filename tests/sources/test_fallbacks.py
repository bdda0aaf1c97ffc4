"""Servers that lack frames, lists or metadata: each frame comes right, or fails and says why."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import sys
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
import msgspec
import numpy as np
import pydicom
import pytest
from aiohttp import web
from connecting import client_of
from opened import array_at
from part10_files import codestreams, items, make_file
from pydicom.encaps import encapsulate
from pydicom.pixels import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit
from serving import is_right, serving
from slides import BUILDERS, brightfield_pyramid, coded_slide, part10, sparse_brightfield
from test_client import BASE, INSTANCE, SERIES, STUDY, Outcome, Pauses, Reply, asked, connected, multipart
from test_client import serving as serving_http
from waiting import SECONDS

import dicomzarr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom.instance import Instance
from dicomzarr.dicom.model.completeness import reduced_instances
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import (
    AuthenticationError,
    DicomZarrError,
    FrameNotFoundError,
    HTTPStatusError,
    InsecureTransportError,
    InvalidReplyError,
    LoginPageError,
    MultipartError,
    NegotiationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    SeriesNotFoundError,
    ServerFailureError,
    TemporaryFileError,
    TruncatedReplyError,
    WrongPartsError,
)
from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.session.locate import parse_series_url, series_ref
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.dicomweb.negotiation.list_lengths import ListLengths
from dicomzarr.sources.dicomweb.negotiation.ttl_cache import SeriesTTLCache
from dicomzarr.sources.dicomweb.whole import whole_instance
from dicomzarr.sources.http.statuses import ConnectionDroppedError
from dicomzarr.sources.spool import most_inflated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from orthanc import Orthanc
    from slides_model import TestSlide
    from tiny_pacs import TinyPACS

    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.http.redirects import Request

# --- a server without a network that has whole instances ---

FRAMES = [f"frame {number:2}".encode() for number in range(1, 11)]


def stored(frames: Sequence[bytes] = FRAMES, uid: str = INSTANCE) -> bytes:
    """A Part-10 file with these frames of eight bytes."""
    body = make_file(ExplicitVRLittleEndian, PixelData=b"".join(frames), Rows=2, Columns=4, NumberOfFrames=len(frames))
    return renamed(body, uid)


def renamed(body: bytes, uid: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(body))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    return part10(dataset)


def enclosed(body: bytes, boundary: str = "xyz", *, length: bool = True) -> Reply:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n" if length else "\r\n"
    text = head.encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return Reply(200, f'multipart/related; type="application/dicom"; boundary={boundary}', text)


@dataclass
class Server:
    """Answers for frames and for whole instances by a function each; remembers what was asked."""

    frames: Callable[[Request], Reply | DicomZarrError] = lambda _: Reply(404)
    whole: Callable[[Request], Reply | DicomZarrError] = lambda _: enclosed(stored())
    asked_for: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Reply]:
        await asyncio.sleep(0)
        self.asked_for.append(request.url.removeprefix(f"{BASE}/studies/{STUDY}/series/{SERIES}/instances/"))
        reply = (self.frames if "/frames/" in request.url else self.whole)(request)
        if isinstance(reply, DicomZarrError):
            raise reply
        yield reply

    @property
    def lists(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.asked_for if "/frames/" in path]

    @property
    def wholes(self) -> int:
        return sum("/" not in path for path in self.asked_for)


def connect(server: Server, pauses: Pauses | None = None, **options: Any) -> Client:
    pauses = pauses or Pauses()
    return client_of(BASE, **options, transport=server, sleep=pauses, clock=pauses.clock)


async def fetch(client: Client, *numbers: int, instance: str = INSTANCE, **options: Any) -> Outcome:
    outcome = Outcome()
    await client.frames(FrameJob(STUDY, SERIES, instance, numbers, outcome, **options))
    assert set(outcome.frames) | set(outcome.failures) == set(numbers)
    return outcome


def fetch_from(server: Server, *numbers: int, limits: Limits = LIMITS, **options: Any) -> Outcome:
    return asyncio.run(fetch(connect(server, limits=limits), *numbers, **options))


def check(outcome: Outcome, *numbers: int) -> None:
    found = {number: frame.data for number, frame in outcome.frames.items()}
    assert found == {number: FRAMES[number - 1] for number in numbers}


def right(request: Request) -> Reply:
    return multipart(asked(request), media="application/octet-stream", bodies=dict(enumerate(FRAMES, 1)))


# --- frames out of whole instances ---


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415, 500, 501])
@pytest.mark.parametrize("numbers", [(1,), (2, 1), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
def test_frames_that_are_refused_come_with_the_whole_instance(status: int, numbers: tuple[int, ...]) -> None:
    server = Server(frames=lambda _: Reply(status))
    outcome = fetch_from(server, *numbers)
    check(outcome, *numbers)
    assert {frame.transfer_syntax_uid for frame in outcome.frames.values()} == {ExplicitVRLittleEndian}
    assert server.wholes == 1


@pytest.mark.parametrize(
    "error",
    [
        *(Reply(status) for status in (401, 403, 410, 429, 502, 503, 504)),
        RequestTimeoutError("slow"),
        ConnectionDroppedError("gone"),
        Reply(200, "text/html", b"<html>"),
        Reply(200, "multipart/related; boundary=xyz", b"--xyz\r\n\r\nx"),
    ],
)
@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)])
def test_what_is_no_refusal_downloads_nothing(error: Reply | DicomZarrError, numbers: tuple[int, ...]) -> None:
    server = Server(frames=lambda _: error)
    assert set(fetch_from(server, *numbers).failures) == set(numbers)
    assert not server.wholes


@pytest.mark.parametrize("later", [Reply(429), Reply(401), ConnectionDroppedError("gone"), RequestTimeoutError("slow")])
def test_what_befalls_a_single_frame_after_its_list_downloads_nothing(later: Reply | DicomZarrError) -> None:
    server = Server(frames=lambda request: Reply(400) if "," in request.url else later)
    assert set(fetch_from(server, 1, 2, 3).failures) == {1, 2, 3}
    assert not server.wholes


def test_one_download_for_all_who_ask_and_for_those_who_come_later() -> None:
    server = Server()
    client = connect(server)

    async def run() -> None:
        for outcome in await asyncio.gather(*(fetch(client, number, number + 1) for number in range(1, 9))):
            check(outcome, *outcome.frames)
        before = len(server.asked_for)
        check(await fetch(client, 9, 10), 9, 10)
        assert len(server.asked_for) == before

    asyncio.run(run())
    assert server.wholes == 1


def test_one_bad_frame_among_good_ones() -> None:
    """The others still come by themselves, in lists."""
    server = Server(frames=lambda request: Reply(400) if 4 in asked(request) else right(request))
    outcome = fetch_from(server, *range(1, 11))
    check(outcome, *range(1, 11))
    assert server.wholes == 1
    # The list in two ways and a good frame; then halves, at once; the bad frame in three ways.
    halves = ["2,3,4,5", "6,7,8,9,10", "2,3", "4,5"]
    assert sorted(server.lists) == sorted(["1,2,3,4,5,6,7,8,9,10"] * 2 + ["1"] + halves + ["4"] * 3 + ["5"])


def test_a_server_without_frames_is_known_after_two_instances() -> None:
    uids = ["1.1", "1.2", "1.3", "1.4"]
    server = Server(whole=lambda request: enclosed(stored(uid=request.url.rpartition("/")[2])))
    client = connect(server)

    async def run() -> None:
        for uid in uids:
            check(await fetch(client, 1, 2, instance=uid), 1, 2)

    asyncio.run(run())
    assert [path.split("/")[0] for path in server.asked_for if "frames" in path] == ["1.1"] * 3 + ["1.2"] * 3
    assert server.wholes == 4


def test_a_server_that_gave_frames_once_has_frames() -> None:
    uids = ["1.1", "1.2", "1.3", "1.4"]

    def frames(request: Request) -> Reply:
        good = "/1.1/" in request.url or "/1.4/" in request.url
        bodies = dict(enumerate(FRAMES, 1))
        return multipart(asked(request), instance=request.url.split("/")[-3], bodies=bodies) if good else Reply(404)

    server = Server(frames, lambda request: enclosed(stored(uid=request.url.rpartition("/")[2])))
    client = connect(server)

    async def run() -> None:
        for uid in uids:
            check(await fetch(client, 1, 2, instance=uid), 1, 2)

    asyncio.run(run())
    assert server.asked_for[-1] == "1.4/frames/1,2"
    assert server.wholes == 2


def test_asked_for_whole_at_once() -> None:
    server = Server(frames=right)
    check(fetch_from(server, 1, 2, whole=True), 1, 2)
    assert server.asked_for == [INSTANCE]


def test_the_second_and_third_way_of_asking_for_an_instance() -> None:
    for wanted in (1, 2):

        def whole(request: Request, wanted: int = wanted) -> Reply:
            if request.headers["accept"] != whole_instance.INSTANCE_ACCEPTS[wanted]:
                return Reply(406)
            return Reply(200, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1", stored())

        server = Server(whole=whole)
        check(fetch_from(server, 1, 2), 1, 2)
        assert server.wholes == wanted + 1


def test_a_missing_instance_stays_a_missing_frame() -> None:
    server = Server(whole=lambda _: Reply(404))
    outcome = fetch_from(server, 1, 2)
    for number, error in outcome.failures.items():
        assert type(error) is FrameNotFoundError
        assert f"404 for frame {number} of instance {INSTANCE}" in str(error)
        assert f"404 for the whole instance {INSTANCE}" in str(error)


def test_the_error_names_both_ways() -> None:
    error = fetch_from(Server(lambda _: Reply(400), lambda _: Reply(400)), 1).failures[1]
    assert type(error) is NegotiationError
    assert "400, 400, 400" in str(error)
    assert "Nor did the whole instance give it: HTTP status 400 for the whole instance" in str(error)
    error = fetch_from(Server(lambda _: Reply(500), lambda _: Reply(500)), 1).failures[1]
    assert type(error) is ServerFailureError
    error = fetch_from(Server(lambda _: Reply(404), lambda _: Reply(403)), 1).failures[1]
    assert type(error) is PermissionDeniedError
    assert "404 for frame 1" in str(error)


def test_a_frame_beyond_the_file() -> None:
    server = Server(frames=lambda _: Reply(400))
    outcome = fetch_from(server, 10, 11)
    check(outcome, 10)
    error = outcome.failures[11]
    assert type(error) is FrameNotFoundError
    assert "There are 10 frames" in str(error)
    assert "frame 11 of instance" in str(error)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, "text/html", b"<html>Doe"), LoginPageError),
        (Reply(200, "application/dicom", b"\n<!DOCTYPE html>Doe"), LoginPageError),
        (Reply(200, "application/dicom+json", b"[]"), InvalidReplyError),
        (Reply(200, "application/dicom", b""), InvalidReplyError),
        (Reply(204), InvalidReplyError),
        (Reply(200, "application/dicom", b"Doe" * 100), InvalidReplyError),
        (Reply(200, "application/dicom", stored()[:-1]), TruncatedReplyError),
        (Reply(200, "application/dicom", stored(uid="9.9")), WrongPartsError),
        (enclosed(stored(uid="9.9")), WrongPartsError),
        (Reply(200, "multipart/related; boundary=xyz", b"--xyz--"), WrongPartsError),
        (Reply(200, "multipart/related; boundary=xyz", b"--xyz\r\nx"), TruncatedReplyError),
        (Reply(200, "multipart/related", b"Doe\r\n" * 9), MultipartError),
        (
            Reply(200, "multipart/related; boundary=xyz", b"--xyz\r\nContent-Type: text/html\r\n\r\n<html>"),
            LoginPageError,
        ),
        (multipart([1, 1]), WrongPartsError),
        (multipart([1], closed=False), TruncatedReplyError),
    ],
)
def test_something_else_than_the_instance(reply: Reply, kind: type[DicomZarrError]) -> None:
    error = fetch_from(Server(whole=lambda _: reply), 1).failures[1]
    assert type(error) is kind
    assert "Doe" not in str(error)
    assert "404 for frame 1" in str(error)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("content_type", ["multipart/related; boundary=xyz", "multipart/related"])
def test_a_reply_that_is_cut_anywhere_gives_no_frame(length: bool, content_type: str) -> None:  # noqa: FBT001  # a parameter
    body = enclosed(stored(), length=length).body
    place = slice(0, len(body) - len(b"\r\n"))
    for end in (*range(1, 120, 7), *range(120, place.stop, 61), *range(place.stop - 30, place.stop)):
        server = Server(whole=lambda _, end=end: Reply(200, content_type, body[:end]))
        (error,) = fetch_from(server, 1, whole=True).failures.values()
        assert isinstance(error, TruncatedReplyError), end


@pytest.mark.parametrize("length", [True, False])
def test_a_boundary_inside_the_pixels(length: bool) -> None:  # noqa: FBT001  # a parameter
    frames = [b"\r\n--xyz\0", b"--xyz--\0"] if length else [b"\r\n--xyz\0", b"\n--xyzz\0"]
    reply = enclosed(stored(frames), length=length)
    outcome = fetch_from(Server(whole=lambda _: reply), 1, 2)
    assert [outcome.frames[number].data for number in (1, 2)] == frames


def test_what_was_forgotten_while_it_came_is_fetched_anew() -> None:
    arriving, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Server):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            arriving.set()
            await go_on.wait()
            async with super().get(request) as reply:
                yield reply

    server = Slow()
    client = connect(server)

    async def run() -> None:
        read = asyncio.create_task(fetch(client, 1, whole=True))
        await arriving.wait()
        client.forget(STUDY, SERIES)
        go_on.set()
        check(await read, 1)
        check(await fetch(client, 1, whole=True), 1)

    asyncio.run(run())
    assert server.wholes == 2


def test_an_instance_held_before_its_series_changed_is_fetched_anew() -> None:
    after = [frame[::-1] for frame in FRAMES]
    server = Server()
    client = connect(server)

    async def run() -> None:
        check(await fetch(client, 1, 2, state="before"), 1, 2)
        check(await fetch(client, 3, state="before"), 3)
        server.whole = lambda _: enclosed(stored(after))
        outcome = await fetch(client, 1, state="after")
        assert outcome.frames[1].data == after[0]
        check(await fetch(client, 4, state="before"), 4)  # whoever reads on what was open

    asyncio.run(run())
    assert server.wholes == 2


def test_a_series_that_is_opened_anew_shows_no_instance_of_before() -> None:
    """Its entity tag tells that it has changed, and nothing in its metadata; the server gives no single frames."""
    slide, tags = coded_slide("native_rgb"), ['"1"']

    async def tag(request: web.Request, handler: Any) -> Any:
        response = await handler(request)
        response.headers["ETag"] = tags[-1]
        return response

    async def change(request: web.Request, handler: Any) -> Any:
        if len(tags) == 1:
            return await handler(request)
        (dataset,) = (copy.deepcopy(each) for each in slide.datasets)
        dataset.PixelData = bytes(255 - value for value in dataset.PixelData)
        return web.Response(body=part10(dataset), content_type="application/dicom")

    middlewares = [
        faults.status(404, on="frames"),
        faults.fault(tag, on="metadata"),
        faults.fault(change, on="instances"),
    ]
    with serving(slide, *middlewares) as each:
        before = dicomzarr.open(each.url).levels[0][...]
        tags.append('"2"')
        found, options = parse_series_url(each.url, {})
        endpoint_for(found.base, options).close(series_ref(found))
        np.testing.assert_array_equal(dicomzarr.open(each.url).levels[0][...], 255 - before)


def test_an_instance_that_cannot_be_cut_is_not_fetched_again_and_again() -> None:
    body = make_file(JPEGBaseline8Bit, PixelData=items(b"", b"ab", b"cd", b"ef"), NumberOfFrames=2)
    server = Server(whole=lambda _: enclosed(renamed(body, INSTANCE)))
    client = connect(server)

    async def run() -> None:
        for number in (1, 2):
            error = (await fetch(client, number)).failures[number]
            assert "cannot be told apart" in str(error)
        assert server.wholes == 1
        client.forget(STUDY, SERIES)
        await fetch(client, 1)
        assert server.wholes == 2

    asyncio.run(run())


def test_truncation_is_tried_again() -> None:
    replies = iter([multipart([1], closed=False), enclosed(stored())])
    server = Server(whole=lambda _: next(replies))
    check(fetch_from(server, 1, 2), 1, 2)
    assert server.wholes == 2


# --- what is held on the disk ---


@pytest.mark.parametrize("limits", [Limits(instances_held=2), Limits(instance_bytes_held=2 * len(stored()))])
def test_what_is_held_is_bounded_by_count_and_by_bytes(limits: Limits) -> None:
    server = Server(whole=lambda request: enclosed(stored(uid=request.url.rpartition("/")[2])))
    client = connect(server, limits=limits)

    async def run() -> None:
        for uid in ("1.1", "1.2", "1.1", "1.3", "1.1", "1.2"):
            check(await fetch(client, 1, instance=uid, whole=True), 1)

    asyncio.run(run())
    assert server.asked_for == ["1.1", "1.2", "1.3", "1.2"]  # the least recently used went first


def test_the_last_one_is_held_however_large_it_is() -> None:
    server = Server()
    client = connect(server, limits=Limits(instance_bytes_held=1))

    async def run() -> None:
        for number in (1, 2):
            check(await fetch(client, number), number)

    asyncio.run(run())
    assert server.wholes == 1


def test_more_than_a_disk_should_take() -> None:
    error = fetch_from(Server(), 1, limits=Limits(instance_bytes=500)).failures[1]
    assert type(error) is InvalidReplyError
    assert "More than 500 bytes" in str(error)
    zeros = renamed(make_file(DeflatedExplicitVRLittleEndian, PixelData=bytes(10_000), Rows=100, Columns=100), INSTANCE)
    limits = Limits(instance_bytes=len(zeros) + 1000)
    error = fetch_from(Server(whole=lambda _: enclosed(zeros)), 1, limits=limits).failures[1]
    assert "bytes came for the whole instance" in str(error)


def test_a_short_instance_is_not_inflated_without_an_end() -> None:
    zeros = renamed(make_file(DeflatedExplicitVRLittleEndian, PixelData=bytes(10_000), Rows=100, Columns=100), INSTANCE)
    limits = Limits(inflated_bytes=5000, expansion=2)
    error = fetch_from(Server(whole=lambda _: enclosed(zeros)), 1, limits=limits).failures[1]
    assert "More than 5000 bytes came for the whole instance" in str(error)
    assert "limits={'inflated_bytes'" in str(error)
    assert most_inflated(2**20) == LIMITS.inflated_bytes < most_inflated(2**21) < most_inflated(2**40)


def test_a_disk_that_takes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    error = fetch_from(Server(), 1).failures[1]
    assert type(error) is TemporaryFileError
    assert "TMPDIR" in str(error)


def test_nothing_is_left_in_the_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def run() -> None:
        client = connect(Server())
        check(await fetch(client, 1), 1)
        assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))

    asyncio.run(run())


def test_a_download_that_nobody_waits_for_ends() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class Slow(Server):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            self.asked_for.append(request.url)
            begun.set()
            try:
                await asyncio.sleep(60)
                yield Reply()
            finally:
                ended.set()

    async def run() -> None:
        reads = [asyncio.create_task(fetch(connect_once, 1, whole=True)) for connect_once in [connect(Slow())] * 2]
        await begun.wait()
        reads[0].cancel()
        await asyncio.sleep(0)
        assert not ended.is_set()
        reads[1].cancel()
        await asyncio.wait_for(ended.wait(), SECONDS)
        await asyncio.gather(*reads, return_exceptions=True)

    asyncio.run(run())


def test_who_asks_in_the_moment_in_which_the_last_one_leaves_is_served() -> None:
    server = Server()
    client = connect(server)

    async def run() -> None:
        first = asyncio.create_task(fetch(client, 1, whole=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        check(await fetch(client, 2, whole=True), 2)
        await asyncio.gather(first, return_exceptions=True)
        assert first.cancelled()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_download_over_http_ends_with_the_last_who_waits(
    forgotten: bool,  # noqa: FBT001  # a parameter
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sent, begun, gone = 0, asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        if "/frames/" in request.path:
            return web.Response(status=404)
        response = web.StreamResponse(headers={"Content-Type": "application/dicom"})
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(128) + b"DICM" + bytes(2**20))
                sent += 2**20
                if sent > 8 * 2**20:
                    begun.set()
                await asyncio.sleep(0.001)
        except ConnectionError:
            gone.set()
            raise

    async def run() -> None:
        async with serving_http(handler) as base, connected(base) as client:
            reads = [asyncio.create_task(fetch(client, number)) for number in (1, 2)]
            await asyncio.wait_for(begun.wait(), SECONDS)
            assert len(open_within(tmp_path)) == 1
            if forgotten:
                client.forget(STUDY, SERIES)
            reads[0].cancel()
            await asyncio.sleep(0.02)
            assert not gone.is_set()
            reads[1].cancel()
            await asyncio.wait_for(gone.wait(), SECONDS)
            await asyncio.gather(*reads, return_exceptions=True)
            assert not open_within(tmp_path)

    asyncio.run(run())


def open_within(folder: Path) -> list[str]:
    """Files that this process has open in a folder, without a name most likely."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            target = str(each.readlink())
            if target.startswith(str(folder)):
                found.append(target)
    return found


def test_a_new_download_after_forget_does_not_live_by_those_who_wait_for_the_old_one() -> None:
    begun, ended = asyncio.Queue[int](), asyncio.Queue[int]()

    class Slow(Server):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            self.asked_for.append(request.url)
            number = len(self.asked_for)
            await begun.put(number)
            try:
                await asyncio.sleep(60)
                yield Reply()
            finally:
                await ended.put(number)

    async def run() -> None:
        client = connect(Slow())
        old = asyncio.create_task(fetch(client, 1, whole=True))
        assert await begun.get() == 1
        client.forget()
        new = asyncio.create_task(fetch(client, 1, whole=True))
        assert await begun.get() == 2
        new.cancel()
        assert await asyncio.wait_for(ended.get(), SECONDS) == 2
        old.cancel()
        assert await asyncio.wait_for(ended.get(), SECONDS) == 1
        await asyncio.gather(old, new, return_exceptions=True)

    asyncio.run(run())


def test_forgetting_from_another_thread_is_no_error() -> None:
    server = Server()
    client = connect(server)
    done = threading.Event()

    def forget() -> None:
        while not done.is_set():
            client.forget()

    async def run() -> None:
        for _ in range(100):
            check(await fetch(client, 1, 2), 1, 2)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=forget)
    thread.start()
    try:
        asyncio.run(run())
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


# --- faults that pass, and instances that are too large ---


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)])
def test_a_refusal_that_passes_is_forgotten(status: int, numbers: tuple[int, ...]) -> None:
    server = Server(frames=lambda _: Reply(status))
    client = connect(server)

    async def run() -> None:
        for uid in ("1.1", "1.2", INSTANCE):
            server.whole = lambda _, uid=uid: enclosed(stored(uid=uid))
            check(await fetch(client, *numbers, instance=uid), *numbers)
        server.frames = right
        before = server.wholes
        check(await fetch(client, *numbers), *numbers)
        assert server.wholes == before  # it is held
        client.forget(STUDY, SERIES)
        check(await fetch(client, *numbers), *numbers)
        assert server.wholes == before

    asyncio.run(run())


@pytest.mark.parametrize(("status", "seconds"), [(500, 6.0), (400, 61.0), (404, 61.0)])
def test_a_refusal_is_believed_for_a_while_only(status: int, seconds: float) -> None:
    server = Server(lambda _: Reply(status), lambda request: enclosed(stored(uid=request.url.rpartition("/")[2])))
    pauses = Pauses()
    client = connect(server, pauses, limits=Limits(instances_held=1))

    async def run() -> None:
        for uid in ("1.1", INSTANCE, "1.2", INSTANCE):  # each lets go of the one before
            check(await fetch(client, 1, 2, 3, instance=uid), 1, 2, 3)
        asked_so_far = len(server.lists)
        assert server.wholes == 4
        check(await fetch(client, 1, 2, 3, instance="1.2"), 1, 2, 3)
        assert len(server.lists) == asked_so_far
        server.frames = right
        await pauses(seconds)
        check(await fetch(client, 1, 2, 3), 1, 2, 3)
        assert len(server.lists) == asked_so_far + 1

    asyncio.run(run())
    assert server.wholes == 5


LARGE = {"number_of_frames": 10, "frame_bytes": 2**28}


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize(
    ("lost", "numbers"),
    [({4}, (4,)), ({4}, (3, 4, 5)), ({4, 5}, (4, 5)), ({3, 4, 5, 6}, (3, 4, 5, 6)), ({1, 4}, (1, 4, 9))],
)
def test_a_lost_frame_of_a_large_instance_is_lost(status: int, lost: set[int], numbers: tuple[int, ...]) -> None:
    server = Server(frames=lambda request: Reply(status) if lost & set(asked(request)) else right(request))
    client = connect(server)

    async def run() -> None:
        for _ in range(2):
            outcome = await fetch(client, *numbers, **LARGE)
            check(outcome, *sorted(set(numbers) - lost))
            for number, error in outcome.failures.items():
                assert isinstance(error, HTTPStatusError)
                assert error.status == status
                assert f"frame {number} of instance {INSTANCE}" in str(error)

    asyncio.run(run())
    assert not server.wholes


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("numbers", [(4,), (4, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
def test_a_large_instance_that_refuses_all_frames_comes_whole(status: int, numbers: tuple[int, ...]) -> None:
    server = Server(frames=lambda _: Reply(status))
    check(fetch_from(server, *numbers, **LARGE), *numbers)
    assert server.wholes == 1
    assert {"1", "5", "10"} <= set(server.lists)  # of all places


def test_what_befalls_a_trial_frame_downloads_nothing() -> None:
    server = Server(frames=lambda request: Reply(404) if asked(request) == [4] else Reply(403))
    error = fetch_from(server, 4, **LARGE).failures[4]
    assert type(error) is FrameNotFoundError
    assert not server.wholes


@pytest.mark.parametrize(
    ("whole", "requests"),
    [
        (multipart([1], closed=False), 2),  # once more: it may have passed
        (Reply(500), 3),
        (Reply(404), 1),
        (Reply(200, "application/dicom", b"Doe" * 100), 1),
    ],
)
def test_a_download_that_fails_is_not_tried_for_each_frame(whole: Reply, requests: int) -> None:
    server = Server(frames=lambda _: Reply(404), whole=lambda _: whole)
    pauses = Pauses()
    client = connect(server, pauses)

    async def run() -> None:
        for number in (1, 2, 3):
            assert (await fetch(client, number)).failures
        assert server.wholes == requests
        await pauses(61)
        assert (await fetch(client, 1)).failures
        assert server.wholes == 2 * requests
        client.forget(STUDY, SERIES)
        server.whole = lambda _: enclosed(stored())
        check(await fetch(client, 1), 1)

    asyncio.run(run())


@pytest.mark.parametrize(
    "whole", [Reply(403), Reply(429), Reply(200, "text/html", b"<html>"), RequestTimeoutError("slow")]
)
def test_a_download_that_is_denied_is_tried_again(whole: Reply | DicomZarrError) -> None:
    server = Server(whole=lambda _: whole)
    client = connect(server)

    async def run() -> None:
        assert (await fetch(client, 1)).failures
        server.whole = lambda _: enclosed(stored())
        await asyncio.sleep(0)
        check(await fetch(client, 1), 1)

    asyncio.run(run())


def test_what_is_remembered_is_bounded() -> None:
    known: SeriesTTLCache[int] = SeriesTTLCache(most=2)
    for number in range(1, 4):
        known.put(("1", "2", str(number)), number)
        assert known.get(("1", "2", "1")) == 1
    assert [known.get(("1", "2", str(number))) for number in range(1, 4)] == [1, None, 3]
    known.forget("1", "9")
    assert len(known) == 2
    known.discard(("1", "2", "3"))
    known.forget("1", "2")
    assert len(known) == 0


# --- how long lists may be ---


def limited(most: int, status: int = 400) -> Callable[[Request], Reply]:
    return lambda request: Reply(status) if len(asked(request)) > most else right(request)


@pytest.mark.parametrize("status", [400, 404, 413, 414])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 9])
def test_the_longest_list_is_learned(most: int, status: int) -> None:
    server = Server(frames=limited(most, status))
    client = connect(server)

    async def run() -> None:
        check(await fetch(client, *range(1, 11)), *range(1, 11))
        longest = client.longest_list
        assert longest is not None
        assert most // 2 <= longest <= most
        assert client.lists_refused(compressed=False) == (longest == 1)
        before = len(server.asked_for)
        check(await fetch(client, *range(1, 11)), *range(1, 11))
        assert len(server.asked_for) - before == -(-10 // longest)

    asyncio.run(run())
    assert not server.wholes


def test_what_may_be_a_passing_failure_must_happen_twice() -> None:
    server = Server(frames=limited(5, 500))
    client = connect(server)

    async def run() -> None:
        check(await fetch(client, *range(1, 11)), *range(1, 11))
        assert client.longest_list is None
        check(await fetch(client, *range(1, 11)), *range(1, 11))
        assert client.longest_list == 5

    asyncio.run(run())


def test_a_known_server_that_drops_long_lists() -> None:
    def frames(request: Request) -> Reply | DicomZarrError:
        return ConnectionDroppedError("gone") if len(asked(request)) > 5 else right(request)

    server = Server(frames=frames)
    client = connect(server)

    async def run() -> None:
        check(await fetch(client, 1), 1)
        for _ in range(2):
            check(await fetch(client, *range(1, 11)), *range(1, 11))

    asyncio.run(run())
    assert client.longest_list == 5
    assert not server.wholes


def test_one_bad_frame_teaches_nothing_about_lists() -> None:
    for bad in range(1, 11):
        server = Server(frames=lambda request, bad=bad: Reply(400) if bad in asked(request) else right(request))
        client = connect(server)
        check(asyncio.run(fetch(client, *range(1, 11))), *range(1, 11))
        assert client.longest_list is None
        assert not client.lists_refused(compressed=False)
        assert len(server.lists) <= 15  # not one for each frame in each way


def test_many_lists_of_an_instance_that_is_refused_find_out_once() -> None:
    server = Server(frames=lambda _: Reply(400))
    client = connect(server)

    async def run() -> None:
        await asyncio.gather(*(fetch(client, number, number + 1) for number in range(1, 10)))

    asyncio.run(run())
    # Each list in two ways; two single frames in three ways, once.
    assert len(server.lists) == 9 * 2 + 2 * 3
    assert server.wholes == 1


def test_lengths_that_worked_are_not_doubted() -> None:
    lengths = ListLengths()
    lengths.served(8)
    lengths.refuses(8, HTTPStatusError("", status=400))
    assert lengths.longest is None
    lengths.refuses(20, HTTPStatusError("", status=400))
    assert lengths.longest == 10
    lengths.refuses(12, HTTPStatusError("", status=400))
    assert lengths.longest == 8
    assert list(lengths.cut(range(10))) == [list(range(8)), [8, 9]]


# --- frames of single bits ---


@pytest.mark.parametrize(
    ("rows", "columns", "bits", "unaligned"), [(10, 10, 1, True), (8, 4, 1, False), (3, 3, 8, False)]
)
def test_which_frames_are_unaligned(rows: int, columns: int, bits: int, unaligned: bool) -> None:  # noqa: FBT001
    pixel = PixelDescription(
        rows, columns, 1, bits, bits, bits - 1, signed=False, photometric_interpretation="MONOCHROME2"
    )
    assert Instance("1.2", 3, pixel).frames_unaligned == unaligned


def bit_frames() -> tuple[np.ndarray[Any, Any], pydicom.Dataset, PixelDescription]:
    bits = np.random.default_rng(5).integers(0, 2, (5, 100), np.uint8)
    value = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    pixels = {"Rows": 10, "Columns": 10, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    body = make_file(ExplicitVRLittleEndian, PixelData=value + bytes(len(value) % 2), NumberOfFrames=5, **pixels)
    dataset = pydicom.dcmread(io.BytesIO(body))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "1.2.99", "1.2.99.3", "bits"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.99.3.4"
    pixel = PixelDescription(10, 10, 1, 1, 1, 0, signed=False, photometric_interpretation="MONOCHROME2")
    return bits, dataset, pixel


async def read_whole(base: str, dataset: pydicom.Dataset, count: int, *, whole: bool = False) -> Outcome:
    async with connected(base) as client:
        outcome = Outcome()
        uids = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID))
        await client.frames(FrameJob(*uids, range(1, count + 1), outcome, whole=whole))
        return outcome


def decoded(outcome: Outcome, pixel: PixelDescription) -> list[np.ndarray[Any, Any]]:
    assert not outcome.failures, outcome.failures
    frames = [outcome.frames[number] for number in sorted(outcome.frames)]
    return [decode_frame(each.data, pixel, transfer_syntax_uid=each.transfer_syntax_uid, where="") for each in frames]


def test_single_bits_of_an_orthanc(orthanc: Orthanc) -> None:
    bits, dataset, pixel = bit_frames()
    orthanc.load([dataset])
    for whole in (True, False):  # Orthanc itself refuses to cut them
        outcome = asyncio.run(read_whole(orthanc.dicomweb_url, dataset, 5, whole=whole))
        assert np.array_equal(np.reshape(decoded(outcome, pixel), (5, 100)), bits)


# --- a real Orthanc ---


def described(dataset: pydicom.Dataset) -> PixelDescription:
    return PixelDescription(
        *(dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated),
        *(dataset.BitsStored, dataset.HighBit),
        signed=bool(dataset.PixelRepresentation),
        photometric_interpretation=dataset.PhotometricInterpretation,
    )


def identified(body: bytes, name: str) -> pydicom.Dataset:
    dataset = pydicom.dcmread(io.BytesIO(body))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = f"{name}", f"{name}.1", name
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{name}.1.1"
    return dataset


def test_fragments_without_a_table_of_an_orthanc(orthanc: Orthanc) -> None:
    value = encapsulate(codestreams(), fragments_per_frame=2, has_bot=False)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}
    body = make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=3, Rows=40, Columns=48, **colour)
    dataset = identified(body, "1.2.77")
    orthanc.load([dataset])
    path = "/dicom-web/studies/1.2.77/series/1.2.77.1/instances/1.2.77.1.1/frames/1"
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    assert orthanc.request("GET", path, accept=accept)[0] == 400  # else this test proves nothing
    outcome = asyncio.run(read_whole(orthanc.dicomweb_url, dataset, 3))
    assert {frame.transfer_syntax_uid for frame in outcome.frames.values()} == {JPEGBaseline8Bit}
    oracle = [np.moveaxis(frame, -1, 0) for frame in iter_pixels(dataset)]
    for found, expected in zip(decoded(outcome, described(dataset)), oracle, strict=True):
        assert abs(found.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("case", ["subsampled", "big endian", "deflated"])
def test_what_an_orthanc_cannot_cut(orthanc: Orthanc, case: str) -> None:
    if case == "subsampled":
        colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}
        value = np.random.default_rng(8).integers(0, 256, 2 * 8 * 8 * 2, np.uint8).tobytes()
        body = make_file(ExplicitVRLittleEndian, PixelData=value, NumberOfFrames=2, Rows=8, Columns=8, **colour)
        dataset = identified(body, "1.2.78")
        expected = [value[:128], value[128:]]
    else:
        cells = np.arange(2 * 15, dtype="<u2").reshape(2, 15)
        bits = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
        dataset = identified(
            make_file(ExplicitVRLittleEndian, PixelData=cells.tobytes(), NumberOfFrames=2, **bits),
            "1.2.79" if case == "deflated" else "1.2.80",
        )
        expected = [frame.tobytes() for frame in cells]
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if case == "big endian":
            dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            dataset.PixelData = cells.astype(">u2").tobytes()
            buffer = io.BytesIO()
            pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=False, enforce_file_format=True)
            orthanc.upload(buffer.getvalue())
    if case != "big endian":
        orthanc.load([dataset])
    outcome = asyncio.run(read_whole(orthanc.dicomweb_url, dataset, 2))
    assert not outcome.failures, outcome.failures
    assert [outcome.frames[number].data for number in (1, 2)] == expected


# --- slides behind servers that lack things ---


def check_slide(url: str, slide: TestSlide) -> None:
    image = dicomzarr.open(url)
    assert len(image.levels) == len(slide.levels)
    for number, expected in enumerate(slide.levels):
        assert is_right(array_at(url, path=str(number))[...], expected, slide.tolerance)
        assert is_right(image.levels[number][...], expected, slide.tolerance)


NO_FRAMES = (404, 405, 501)
SIMPLE = (
    "brightfield_pyramid",
    "sparse_pink",
    "codec_native_planar",
    "codec_jpeg_ybr_full_422",
    "codec_htj2k_lossless",
)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_slide_without_frames_and_without_metadata(name: str) -> None:
    slide = BUILDERS[name]()
    with serving(slide, faults.status(404), faults.status(404, on="metadata")) as each:
        check_slide(each.url, slide)
        # Each file twice: once as far as its attributes, once as a whole.
        paths = [request.path for request in each.server.requests if request.path.endswith(tuple("0123456789"))]
        whole = [path for path in paths if "/frames/" not in path]
        assert max(map(whole.count, whole)) <= 2


@pytest.mark.parametrize("status", NO_FRAMES)
def test_a_slide_without_frames(status: int) -> None:
    slide = sparse_brightfield()
    with serving(slide, faults.status(status)) as each:
        check_slide(each.url, slide)


def test_slides_on_a_real_server_that_has_whole_instances_only(tiny_pacs: TinyPACS) -> None:
    for slide in (brightfield_pyramid(), coded_slide("jpeg_ybr_full_422"), coded_slide("jpeg2000_lossless")):
        tiny_pacs.load(slide.datasets)
        check_slide(tiny_pacs.series_url(slide.study_uid, slide.series_uid), slide)


# --- metadata of a series, instance by instance ---


def metadata_with(slide: TestSlide, *middlewares: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """What the client makes of it, and the resources that it asked for."""
    with serving(slide, *middlewares) as each:

        async def run() -> bytes:
            async with connected(each.server.url) as client:
                return (await client.series_metadata(slide.study_uid, slide.series_uid)).body

        found = msgspec.json.decode(asyncio.run(run()))
        for item in found:
            item.pop("7FE00010", None)  # its URI names the server
        return found, [request.resource for request in each.server.requests]


def series_only(code: int) -> Any:
    """The metadata of the series are refused, those of the instances are not."""

    async def act(request: web.Request, handler: Any) -> Any:
        return await handler(request) if "/instances/" in request.path else web.Response(status=code)

    return faults.fault(act, on="metadata")


def uids(items_: list[dict[str, Any]]) -> list[str]:
    return [item["00080018"]["Value"][0] for item in items_]


@pytest.mark.parametrize("code", [400, 404, 405, 406, 413, 500, 501])
def test_series_metadata_that_are_refused(code: int) -> None:
    slide = brightfield_pyramid()
    plain, _ = metadata_with(slide)
    found, resources = metadata_with(slide, series_only(code))
    assert found == plain
    assert resources.count("metadata") >= 1 + len(slide.datasets)


@pytest.mark.parametrize("slow", [Reply(502), Reply(504), Reply(524)])
def test_series_metadata_that_take_too_long_come_by_instances(slow: Reply) -> None:
    item = {tag: {"vr": "US", "Value": [8]} for tag in ("00280010", "00280011", "00280100", "00280103")}
    item |= {"00080018": {"vr": "UI", "Value": [INSTANCE]}}

    def answer(request: Request) -> Reply | DicomZarrError:
        of_series = request.url.endswith(f"{SERIES}/metadata")
        return slow if of_series else Reply(200, "application/dicom+json", json.dumps([item]).encode())

    metadata = asyncio.run(connect(Server(whole=answer)).series_metadata(STUDY, SERIES))
    assert json.loads(metadata.body) == [item]


def test_a_server_that_does_not_answer_within_the_timeout_is_asked_for_nothing_else() -> None:
    server = Server(whole=lambda _: RequestTimeoutError("slow"))
    with pytest.raises(RequestTimeoutError):
        asyncio.run(connect(server).series_metadata(STUDY, SERIES))
    assert len(server.asked_for) == 1


@pytest.mark.parametrize("slow", [Reply(504), RequestTimeoutError("slow")])
def test_metadata_of_an_instance_that_take_too_long_download_no_file(slow: Reply | DicomZarrError) -> None:
    found = Reply(200, "application/json", json.dumps([{"00080018": {"vr": "UI", "Value": [INSTANCE]}}]).encode())
    server = Server(whole=lambda request: found if "?" in request.url else slow)
    with pytest.raises((ServerFailureError, RequestTimeoutError)):
        asyncio.run(connect(server).series_metadata(STUDY, SERIES))
    assert server.wholes == 0


@pytest.mark.parametrize("code", [404, 500])
def test_metadata_out_of_files(code: int) -> None:
    slide = sparse_brightfield()
    # Read from a file, where numbers of 32 bits are rounded.
    read = tuple(pydicom.dcmread(io.BytesIO(part10(dataset))) for dataset in slide.datasets)
    plain, _ = metadata_with(replace(slide, datasets=read))
    found, _ = metadata_with(slide, faults.status(code, on="metadata"))
    assert uids(found) == uids(plain)
    for mine, theirs in zip(found, plain, strict=True):
        assert mine.pop("00083002")["Value"] == [ExplicitVRLittleEndian]
        assert mine == theirs


@pytest.mark.parametrize("name", ["deflated", "big endian", "implicit"])
def test_metadata_out_of_files_in_other_syntaxes(name: str) -> None:
    slide = coded_slide("native_rgb")
    (dataset,) = slide.datasets
    plain, _ = metadata_with(slide)
    buffer = io.BytesIO()
    little = name != "big endian"
    dataset.file_meta.TransferSyntaxUID = {
        "deflated": DeflatedExplicitVRLittleEndian,
        "big endian": ExplicitVRBigEndian,
        "implicit": pydicom.uid.ImplicitVRLittleEndian,
    }[name]
    pydicom.dcmwrite(buffer, dataset, implicit_vr=name == "implicit", little_endian=little, enforce_file_format=True)

    def whole(request: Request) -> Reply:
        if request.url.endswith("/metadata"):
            return Reply(404)
        if "?" in request.url:
            return Reply(200, "application/json", json.dumps(plain if "offset" not in request.url else []).encode())
        return enclosed(renamed_file)

    renamed_file = buffer.getvalue()
    client = connect(Server(whole=whole))
    found = msgspec.json.decode(asyncio.run(client.series_metadata(slide.study_uid, slide.series_uid)).body)
    assert found[0]["00280010"] == plain[0]["00280010"]
    assert found[0]["00083002"]["Value"] == [str(dataset.file_meta.TransferSyntaxUID)]
    assert "7FE00010" not in found[0]


def test_only_the_beginning_of_a_file_is_read_for_its_attributes() -> None:
    body = make_file(ExplicitVRLittleEndian, PixelData=bytes(2000 * 2000), Rows=2000, Columns=2000)
    body = renamed(body, INSTANCE)
    read = 0

    @dataclass
    class Counted(Reply):
        async def chunks(self) -> AsyncIterator[bytes]:
            nonlocal read
            for start in range(0, len(self.body), 4096):
                read += 4096
                yield self.body[start : start + 4096]

    def whole(request: Request) -> Reply:
        if request.url.endswith("/metadata"):
            return Reply(404)
        if "?" in request.url:
            return Reply(200, "application/json", json.dumps([{"00080018": {"Value": [INSTANCE]}}]).encode())
        return Counted(200, "application/dicom", body)

    asyncio.run(connect(Server(whole=whole)).series_metadata(STUDY, SERIES))
    assert read <= 2 * 4096


MAIN_TAGS = ("00080016", "00080018", "0020000D", "0020000E", "00200013", "00280008", "00080060", "00200032")


def reduce_to(tags: Sequence[str], on_instances: bool = False) -> Any:  # noqa: FBT001, FBT002  # a switch of a test
    """Metadata hold these attributes only, those of instances as well where it is said."""

    async def act(request: web.Request, handler: Any) -> Any:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        if "/instances/" in request.path and not on_instances:
            return response
        items_ = json.loads(response.body)
        response.body = json.dumps([{tag: item[tag] for tag in tags if tag in item} for item in items_]).encode()
        return response

    return faults.fault(act, on="metadata")


@pytest.mark.parametrize("on_instances", [False, True])
def test_metadata_that_are_reduced(on_instances: bool) -> None:  # noqa: FBT001  # a parameter
    slide = brightfield_pyramid()
    plain, _ = metadata_with(slide)
    found, resources = metadata_with(slide, reduce_to(MAIN_TAGS, on_instances))
    assert uids(found) == uids(plain)
    assert [item["00280010"] for item in found] == [item["00280010"] for item in plain]
    if not on_instances:
        assert found == plain
        assert resources == ["metadata"] * (1 + len(slide.datasets))
    with serving(slide, reduce_to(MAIN_TAGS, on_instances)) as each:
        check_slide(each.url, slide)


def test_metadata_that_are_whole_cost_one_request() -> None:
    for name in ("brightfield_pyramid", "poor_headers", "sparse"):
        assert metadata_with(BUILDERS[name]())[1] == ["metadata"]


def test_one_instance_without_metadata_is_an_error() -> None:
    slide = brightfield_pyramid()
    lost = str(slide.datasets[2].SOPInstanceUID)

    async def act(request: web.Request, handler: Any) -> Any:
        gone = lost in request.path or "/instances/" not in request.path
        return web.Response(status=404) if gone else await handler(request)

    async def no_file(request: web.Request, handler: Any) -> Any:
        return web.Response(status=404) if request.path.endswith(lost) else await handler(request)

    with pytest.raises(NotFoundError) as caught:
        metadata_with(slide, faults.fault(act, on="metadata"), faults.fault(no_file, on="any"))
    assert lost in str(caught.value)
    assert "Nor did the whole instance" in str(caught.value)


def give_nothing(*places: int, on_instances: bool = False) -> Any:
    """Metadata of series hold null in these places, and those of all instances, where it is said."""

    async def act(request: web.Request, handler: Any) -> Any:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        if "/instances/" in request.path:
            return web.json_response([None]) if on_instances else response
        items_ = json.loads(response.body)
        response.body = json.dumps([None if at in places else item for at, item in enumerate(items_)]).encode()
        return response

    return faults.fault(act, on="metadata")


@pytest.mark.parametrize("on_instances", [False, True], ids=["by instance", "out of files"])
@pytest.mark.parametrize("places", [(1,), (0, 2), tuple(range(99))], ids=["one", "two", "all"])
def test_instances_in_whose_place_a_null_came_are_asked_for(places: tuple[int, ...], on_instances: bool) -> None:  # noqa: FBT001  # a parameter
    slide = brightfield_pyramid()
    plain, _ = metadata_with(slide)
    found, _ = metadata_with(slide, give_nothing(*places, on_instances=on_instances))
    assert sorted(uids(found)) == sorted(uids(plain))
    with serving(slide, give_nothing(*places, on_instances=on_instances)) as each:
        check_slide(each.url, slide)
        count = len(slide.datasets)
        told = f"{len(set(range(count)) - set(places))} of {count} instances"
        assert told in " ".join(dicomzarr.open(each.url).notices)


@pytest.mark.parametrize("announced", [{"status": 206}, {"headers": {"Warning": '299 host "There are more results"'}}])
def test_nulls_in_a_reply_that_says_it_is_a_part_are_asked_for_too(announced: dict[str, Any]) -> None:
    slide = brightfield_pyramid()

    async def announce(request: web.Request, handler: Any) -> Any:
        response = await handler(request)
        if "/instances/" in request.path:
            return response
        return web.Response(body=response.body, content_type="application/dicom+json", **announced)

    with serving(slide, faults.fault(announce, on="metadata"), give_nothing(1)) as each:
        check_slide(each.url, slide)
        told = f"{len(slide.datasets) - 1} of {len(slide.datasets)} instances"
        assert told in " ".join(dicomzarr.open(each.url).notices)


def test_an_instance_that_nobody_gives_is_an_error_and_no_gap() -> None:
    slide = brightfield_pyramid()
    lost = str(slide.datasets[1].SOPInstanceUID)

    async def refuse(request: web.Request, handler: Any) -> Any:
        return web.Response(status=404) if lost in request.path else await handler(request)

    with pytest.raises(NotFoundError, match=lost.replace(".", r"\.")):
        metadata_with(slide, faults.fault(refuse, on="any"), give_nothing(1))


def test_a_null_that_stands_for_no_instance_is_said() -> None:
    slide = brightfield_pyramid()

    async def act(request: web.Request, handler: Any) -> Any:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        response.body = response.body[:-1] + b", null]"
        return response

    with serving(slide, faults.fault(act, on="metadata")) as each:
        check_slide(each.url, slide)
        assert any("null in the place of 1 instance," in notice for notice in dicomzarr.open(each.url).notices)


def refer_to(tag: str) -> Any:
    """Metadata name an attribute by a URI, as some servers do with long ones."""

    async def act(request: web.Request, handler: Any) -> Any:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        items_ = json.loads(response.body)
        for item in items_:
            item[tag] = {"vr": item[tag]["vr"], "BulkDataURI": f"{request.path}/{tag}"}
        response.body = json.dumps(items_).encode()
        return response

    return faults.fault(act, on="metadata")


@pytest.mark.parametrize("tag", ["52009230", "00480102"])
def test_values_that_metadata_only_name_are_read_in_the_file(tag: str) -> None:
    slide = sparse_brightfield()
    plain, _ = metadata_with(slide)
    found, _ = metadata_with(slide, refer_to(tag))
    assert [item[tag] for item in found] == [item[tag] for item in plain]


def test_values_that_metadata_only_name_and_nobody_has_refuse_no_series() -> None:
    async def no_file(request: web.Request, handler: Any) -> Any:
        return web.Response(status=404) if "/instances/" in request.path else await handler(request)

    found, _ = metadata_with(sparse_brightfield(), refer_to("00480102"), faults.fault(no_file, on="any"))
    assert all("BulkDataURI" in item["00480102"] for item in found)


@pytest.mark.parametrize(
    "search",
    [Reply(200, "application/json", b"[]"), Reply(204), Reply(500), Reply(401), Reply(200, "text/html", b"<html>")],
)
@pytest.mark.parametrize(("code", "kind"), [(404, SeriesNotFoundError), (500, ServerFailureError)])
def test_a_series_that_a_search_does_not_find_is_refused_as_it_was(
    search: Reply, code: int, kind: type[DicomZarrError]
) -> None:
    client = connect(Server(whole=lambda request: search if "?" in request.url else Reply(code)))
    with pytest.raises(kind) as caught:
        asyncio.run(client.series_metadata(STUDY, SERIES))
    assert type(caught.value) is kind


@pytest.mark.parametrize("code", [401, 403, 429])
def test_metadata_that_are_denied_are_not_asked_for_otherwise(code: int) -> None:
    server = Server(whole=lambda _: Reply(code))
    with pytest.raises((AuthenticationError, PermissionDeniedError, RateLimitedError)):
        asyncio.run(connect(server).series_metadata(STUDY, SERIES))
    assert all(path.endswith("metadata") for path in server.asked_for)


@pytest.mark.parametrize(
    ("missing", "sop_class", "reduced"),
    [
        ("00280010", "1.2.840.10008.5.1.4.1.1.77.1.6", True),
        ("00280100", "1.2.840.10008.5.1.4.1.1.2", True),
        ("00480006", "1.2.840.10008.5.1.4.1.1.77.1.6", True),
        ("00480006", "1.2.840.10008.5.1.4.1.1.2", False),
        ("00280010", "1.2.840.10008.5.1.4.1.1.88.33", False),
        ("00280010", "1.2.840.10008.5.1.4.1.1.481.3", False),
        ("00280010", "1.2.840.10008.5.1.4.1.1.481.2", True),
        ("00280010", "1.2.840.10008.5.1.4.1.1.66.4", True),
        ("00280010", "", True),
    ],
)
def test_what_counts_as_reduced(missing: str, sop_class: str, reduced: bool) -> None:  # noqa: FBT001  # a parameter
    tags = ("00280010", "00280011", "00280100", "00480006", "00480007")
    item = {tag: {"vr": "US", "Value": [1]} for tag in tags if tag != missing}
    item["00080018"] = {"vr": "UI", "Value": ["1.2"]}
    if sop_class:
        item["00080016"] = {"vr": "UI", "Value": [sop_class]}
    other = {
        "00080018": {"vr": "UI", "Value": ["1.3"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.88.1"]},
    }
    found = reduced_instances(decode_instances(json.dumps([other, item]).encode()))
    assert found == ([(1, "1.2")] if reduced else [])


@pytest.mark.parametrize("body", [b"[1]", b'[{"x": 1}]', b"[{]", b'[{"00080018": 3}]', b"[" * 9999 + b"]" * 9999])
def test_what_cannot_be_judged_is_left_as_it_is(body: bytes) -> None:
    client = connect(Server(whole=lambda _: Reply(200, "application/dicom+json", body)))
    assert asyncio.run(client.series_metadata(STUDY, SERIES)).body == body


def test_metadata_that_lack_how_values_are_stored_are_completed_each_time() -> None:
    """Whatever was learned of the server the first time."""
    slide = brightfield_pyramid()
    layout = {"00280101", "00280102", "00280103"}
    left_out = faults.leave_out(lambda tag, _: tag in layout, on_instances=True)
    with serving(slide, left_out) as each:

        async def run() -> list[bytes]:
            async with connected(each.server.url) as client:
                return [(await client.series_metadata(slide.study_uid, slide.series_uid)).body for _ in range(2)]

        for body in asyncio.run(run()):
            assert all(layout <= item.keys() for item in json.loads(body))


# --- bulk data ---


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("instances/1.2.3.4/bulkdata/a", "/studies/1.2/series/1.2.3/instances/1.2.3.4/bulkdata/a"),
        ("../../bulkdata/a", "/studies/1.2/bulkdata/a"),
        ("/elsewhere/a", "/elsewhere/a"),
        ("", "/studies/1.2/series/1.2.3/metadata"),
    ],
)
def test_relative_references_of_bulk_data(uri: str, path: str) -> None:
    seen: list[str] = []

    async def run() -> bytes:
        async def handler(request: web.Request) -> web.Response:
            seen.append(request.path)
            return web.Response(body=b"value", content_type="application/octet-stream")

        async with serving_http(handler) as base, connected(base) as client:
            return await client.bulk_data(STUDY, SERIES, uri)

    assert asyncio.run(run()) == b"value"
    assert seen == [path]


def test_a_reference_relative_to_the_metadata_of_the_instance() -> None:
    def whole(request: Request) -> Reply:
        good = request.url.endswith(f"/instances/{INSTANCE}/bulk/a")
        return Reply(200, "application/octet-stream", b"value") if good else Reply(404)

    client = connect(Server(whole=whole))
    assert asyncio.run(client.bulk_data(STUDY, SERIES, "bulk/a", instance=INSTANCE)) == b"value"
    with pytest.raises(NotFoundError, match=f"bulk data of instance {INSTANCE}"):
        asyncio.run(client.bulk_data(STUDY, SERIES, "bulk/b", instance=INSTANCE))


@pytest.mark.parametrize("auth", [{"auth": ("doe", "secret")}, {"headers": {"X-Key": "k"}}, {"auth": dict}])
def test_credentials_go_to_the_own_origin_only(auth: dict[str, Any]) -> None:
    """Two servers on one machine: another port is another origin."""
    if auth.get("auth") is dict:
        auth = {"auth": lambda: {"Authorization": "Bearer secret"}}
    seen: dict[str, list[dict[str, str]]] = {"own": [], "foreign": []}

    async def run() -> None:
        def handler(name: str) -> Any:
            async def answer(request: web.Request) -> web.Response:
                seen[name].append({key.lower(): value for key, value in request.headers.items()})
                return web.Response(body=name.encode(), content_type="application/octet-stream")

            return answer

        async with (
            serving_http(handler("foreign")) as foreign,
            serving_http(handler("own")) as own,
            connected(own, bulk_data_hosts=[foreign.partition("//")[2]], **auth) as client,
        ):
            assert await client.bulk_data(STUDY, SERIES, f"{own}/a") == b"own"
            assert await client.bulk_data(STUDY, SERIES, f"{foreign}/a") == b"foreign"
            with_user = foreign.replace("http://", "http://user:pass@")
            assert await client.bulk_data(STUDY, SERIES, f"{with_user}/a") == b"foreign"

    asyncio.run(run())
    assert {"authorization", "x-key"} & seen["own"][0].keys()
    for headers in seen["foreign"]:
        assert not {"authorization", "x-key", "cookie", "proxy-authorization"} & headers.keys()
        assert "secret" not in str(headers)


@pytest.mark.parametrize("uri", ["ftp://x/y", "http://[/", "file:///etc/passwd"])
def test_references_that_lead_nowhere(uri: str) -> None:
    server = Server()
    with pytest.raises(InvalidReplyError, match=r"no (http )?URL"):
        asyncio.run(connect(server).bulk_data(STUDY, SERIES, uri))
    assert not server.asked_for


def test_bulk_data_do_not_leave_https() -> None:
    server = Server()
    with pytest.raises(InsecureTransportError):
        asyncio.run(connect(server).bulk_data(STUDY, SERIES, "http://server.example/a"))
    assert not server.asked_for


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(200, "application/octet-stream", b"value"), b"value"),
        (multipart([1], bodies={1: b"value"}, media="application/octet-stream"), b"value"),
        (multipart([1, 2]), WrongPartsError),
        (multipart([1], closed=False), TruncatedReplyError),
        (Reply(200, "application/octet-stream", b""), WrongPartsError),
        (Reply(200, "application/octet-stream", b"<html>"), LoginPageError),
        (Reply(200, "text/html", b"Doe"), LoginPageError),
        (Reply(403), PermissionDeniedError),
    ],
)
def test_replies_with_bulk_data(reply: Reply, outcome: bytes | type[DicomZarrError]) -> None:
    client = connect(Server(whole=lambda _: reply))
    if isinstance(outcome, bytes):
        assert asyncio.run(client.bulk_data(STUDY, SERIES, "a")) == outcome
        return
    with pytest.raises(outcome) as caught:
        asyncio.run(client.bulk_data(STUDY, SERIES, "a"))
    assert type(caught.value) is outcome


def test_bulk_data_of_an_orthanc(orthanc: Orthanc) -> None:
    bits, dataset, _ = bit_frames()
    orthanc.load([dataset])
    (item,) = orthanc.series_metadata("1.2.99", "1.2.99.3")

    async def run() -> bytes:
        async with connected(orthanc.dicomweb_url) as client:
            return await client.bulk_data("1.2.99", "1.2.99.3", item["7FE00010"]["BulkDataURI"])

    assert asyncio.run(run())[:62] == np.packbits(bits.reshape(-1), bitorder="little").tobytes()[:62]

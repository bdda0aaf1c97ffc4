"""Series of single frames that come in one reply, and replies that are wrong: the same pixels, or a clear error."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
import weakref
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import faults
import fsspec
import imagecodecs
import numpy as np
import pytest
from aiohttp import web
from asking import ALWAYS_WHOLE, ask_by
from clockwork import run_at_once
from fake_client import PIXEL, FakeClient
from multipart_parts import body_of
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless
from radiology_model import AXIAL, distinct
from radiology_opened import Opener, ready_to_serve
from radiology_volumes import volume
from serving import forget_servers
from waiting import SECONDS, is_idle

import dicomzarr
from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.dicom.instance import Instance
from dicomzarr.engine.backlog import MOST_BYTES, Backlog
from dicomzarr.engine.cache import FrameCache
from dicomzarr.engine.ports import Fetch
from dicomzarr.engine.requests import FrameQueue
from dicomzarr.engine.scheduler import Scheduler
from dicomzarr.engine.series_state import FrameKey, SeriesState
from dicomzarr.errors import AuthenticationError, FrameError, MultipartError
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session import opening
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.sources.dicomweb.messages.multipart import MultipartParser
from dicomzarr.sources.dicomweb.origin import DICOMwebOrigin, Recipe
from dicomzarr.sources.dicomweb.tuning.experiment import Experiment
from dicomzarr.sources.dicomweb.tuning.server_profile import FetchMode, Form, FrameKind, Rate
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds
from dicomzarr.sources.dicomweb.whole.whole_series import OnlyFrame
from dicomzarr.sources.http.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware
    from multipart_parts import Part
    from orthanc import Orthanc
    from radiology_model import RadiologySeries

    from dicomzarr.errors import DicomZarrError
    from dicomzarr.sources.dicomweb.whole.whole_series import SeriesJob
    from dicomzarr.sources.http.exchange import RequestSpec

SLICES = 80
SINGLES = 24
"""Frames that are asked for one by one at first: three over each of eight connections."""
PIXELS = distinct((SLICES, 8, 10), 16)


def ct(name: str) -> RadiologySeries:
    return volume(AXIAL, PIXELS, bits=16, name=name)


CT = ready_to_serve(ct("comes whole"))


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener(ALWAYS_WHOLE) as opener:
        yield opener


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that are asked for."""
    urls: list[str] = []
    send = Exchange.send

    async def counted(self: Exchange, spec: RequestSpec, read: Any) -> object:
        urls.append(spec.url())
        return await send(self, spec, read)

    monkeypatch.setattr(Exchange, "send", counted)
    return urls


def read(url: str, **options: Any) -> Any:
    """All pixels, with nothing in memory."""
    fsspec.filesystem("dicomweb", **options).invalidate_cache(url)
    return dicomzarr.open(url, **options).levels[0][...]


def asked(opener: Opener) -> tuple[int, int]:
    """Requests for frames, and for the whole series."""
    return opener.count("frames"), opener.count("series")


# --- the way ---


def test_most_of_a_series_comes_in_one_reply_after_single_frames_were_measured(opened: Opener) -> None:
    url = opened.url(CT)
    assert np.array_equal(read(url), PIXELS)
    assert asked(opened) == (SINGLES, 1)
    assert np.array_equal(read(url), PIXELS)
    assert asked(opened) == (SINGLES, 2)


def test_what_is_held_is_not_fetched_again(opened: Opener) -> None:
    image = opened(CT)
    assert np.array_equal(image.levels[0][...], PIXELS)
    assert np.array_equal(image.levels[0][...], PIXELS)
    assert asked(opened) == (SINGLES, 1)


def test_a_part_of_a_series_is_asked_for_frame_by_frame(opened: Opener) -> None:
    url = opened.url(CT)
    read(url)
    fsspec.filesystem("dicomweb").invalidate_cache(url)
    level = dicomzarr.open(url).levels[0]
    before = opened.count("frames")
    assert np.array_equal(level[20:70], PIXELS[20:70])
    assert opened.count("frames") == before + 50
    assert np.array_equal(level[75], PIXELS[75])
    assert opened.count("series") == 1


def test_a_series_with_other_instances_never_comes_whole(opened: Opener) -> None:
    series = ct("with a report")
    report = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "Modality"):
        setattr(report, keyword, series.datasets[0].get(keyword))
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66", "1.2.3.4.5"
    report.file_meta = series.datasets[0].file_meta
    server = opened.serve([*series.datasets, report])
    url = server.series_url(series.study_uid, series.series_uid)
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    assert asked(opened) == (2 * SLICES, 0)


def test_a_server_whose_series_come_slowly_is_asked_frame_by_frame(opened: Opener) -> None:
    opened.thresholds = replace(ALWAYS_WHOLE, patience=0.05)
    url = opened.url(CT, faults.delay(SECONDS, on="series"))
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    assert asked(opened) == (2 * SLICES, 1)


def test_codestreams_come_whole(opened: Opener) -> None:
    series = ct("codestreams")
    for dataset in series.datasets:  # which are in no order
        frame = imagecodecs.jpeg2k_encode(dataset.pixel_array, codecformat="j2k", reversible=True, level=0)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    url = opened.url(series)
    assert np.array_equal(read(url), PIXELS)
    assert asked(opened) == (SINGLES, 1)


@pytest.mark.slow
def test_orthanc_gives_whole_series(orthanc: Orthanc, sent: list[str]) -> None:
    series = ct("whole on Orthanc")
    orthanc.load(series.datasets)
    url = orthanc.series_url(series.study_uid, series.series_uid)
    forget_servers()
    ask_by(url, ALWAYS_WHOLE)
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    assert sum(url.endswith(series.series_uid) for url in sent) == 2
    assert sum("/frames/" in url for url in sent) == SINGLES


# --- replies that are wrong ---


def change(alter: Any) -> Middleware:
    return faults.change_parts(alter, on="series")


def other_bytes(parts: Sequence[Part]) -> list[Part]:
    """Each under the name of the next: what an instance says of itself counts."""
    return [part.with_body(other.body) for part, other in zip(parts, [*parts[1:], parts[0]], strict=True)]


def broken(parts: Sequence[Part]) -> list[Part]:
    return [parts[0].with_body(bytes(parts[0].body)[:200]), *parts[1:]]


def of_another_series(parts: Sequence[Part]) -> list[Part]:
    """UIDs that nobody asked for, with pixels that are others."""
    return [part.with_body(bytes(part.body).replace(b"1.2.826", b"1.2.827")) for part in parts]


def uncounted(parts: Sequence[Part]) -> list[Part]:
    return [part.with_header("Content-Length", None) for part in parts]


def doubled(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts for _ in range(2)]


def huge(parts: Sequence[Part]) -> list[Part]:
    return [parts[0], parts[1].with_body(bytes(2**23)), *parts[2:]]


async def as_json(_request: web.Request, _handler: Handler) -> web.StreamResponse:
    return web.json_response([])


USABLE = {
    "other order": change(lambda parts: parts[::-1]),
    "other names": change(other_bytes),
    "no lengths": change(uncounted),
    "twice each": change(doubled),
    "one is missing": change(lambda parts: parts[1:]),
    "one is broken": change(broken),
}
"""Whether or not all of it is good, what is good is taken."""

USELESS = {
    "400": faults.status(400, on="series"),
    "403": faults.status(403, on="series"),
    "404": faults.status(404, on="series"),
    "406": faults.status(406, on="series"),
    "500": faults.status(500, on="series"),
    "501": faults.status(501, on="series"),
    "login page": faults.html_login(on="series"),
    "JSON": faults.fault(as_json, on="series"),
    "nothing in it": change(lambda _: []),
    "reset": faults.reset(on="series"),
    "cut at once": faults.truncate(700, on="series"),
    "cut, chunked": faults.truncate(700, "chunked", on="series"),
    "huge": change(huge),
    "another series": change(of_another_series),
}
LIKE_ANOTHER = {"400", "404", "406", "500", "501", "JSON", "cut at once"}
"""Of them, those that are much like another one."""


@pytest.mark.parametrize("name", USABLE)
def test_what_is_good_of_a_reply_is_taken_and_the_rest_asked_for_again(opened: Opener, name: str) -> None:
    url = opened.url(CT, USABLE[name])
    assert np.array_equal(read(url), PIXELS)
    frames, series = asked(opened)
    assert series == 1
    assert SINGLES <= frames <= SINGLES + 1


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LIKE_ANOTHER else ()) for name in USELESS]
)
def test_a_useless_reply_costs_one_request_and_no_pixel(opened: Opener, name: str) -> None:
    url = opened.url(CT, USELESS[name])
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    frames, series = asked(opened)
    assert series == (2 if name == "reset" else 1)  # aiohttp sends once more what a kept connection has lost
    assert 2 * SLICES - 2 <= frames <= 2 * SLICES


@pytest.mark.parametrize("keep", [0.3, 0.9, -1])
def test_what_came_before_the_end_of_a_cut_reply_counts(opened: Opener, keep: float) -> None:
    def halved(parts: Sequence[Part]) -> list[Part]:
        return list(parts[: int(len(parts) * keep)] if keep > 0 else parts)

    url = opened.url(CT, faults.truncate(-5, "close", on="series"), change(halved))
    assert np.array_equal(read(url), PIXELS)
    frames, series = asked(opened)
    missing = SLICES - (int(SLICES * keep) if keep > 0 else SLICES)
    assert series == 1
    assert frames <= SINGLES + missing + 1


def test_pixels_that_the_server_decoded_are_left(opened: Opener) -> None:
    """As for single frames: the codestream is wanted, whose colour can be proven."""
    series = volume(AXIAL, PIXELS, bits=16, name="decoded", LossyImageCompression="01")
    url = opened.url(series)
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    assert opened.count("series") == 1


def test_a_frame_that_does_not_decode_is_an_error_that_names_it(opened: Opener) -> None:
    series = ct("too short")
    series.datasets[77].PixelData = series.datasets[77].PixelData[:-20]
    url = opened.url(series)
    level = dicomzarr.open(url).levels[0]
    with pytest.raises(FrameError, match=str(series.datasets[77].SOPInstanceUID)):
        level[...]
    for place in (76, 78):
        assert np.array_equal(level[place], PIXELS[place])


def test_refused_credentials_are_an_error(opened: Opener) -> None:
    url = opened.url(CT, faults.status(401, when=lambda number: number > SINGLES), faults.status(401, on="series"))
    with pytest.raises(AuthenticationError):
        read(url)


@pytest.mark.parametrize("fault", ["none", "one is broken", "another series"])
def test_nothing_of_the_headers_that_come_along_is_kept_or_told(
    opened: Opener, caplog: pytest.LogCaptureFixture, tmp_path: Path, fault: str
) -> None:
    planted = "PLANTED^NAME"
    series = volume(AXIAL, PIXELS, bits=16, name="identifying")
    for dataset in series.datasets:
        dataset.ImageComments = planted
        dataset.private_block(0x0029, "SITE", create=True).add_new(1, "LO", planted)
    hidden = faults.fault(without(planted), on="metadata")
    chosen = {**USABLE, **USELESS}.get(fault)
    url = opened.url(series, hidden, *([chosen] if chosen else []))
    with caplog.at_level("DEBUG"):
        assert np.array_equal(read(url, cache_dir=str(tmp_path)), PIXELS)
    assert opened.count("series") == 1
    assert planted not in caplog.text
    ends = time.monotonic() + SECONDS
    kept = b""
    while PIXELS[3].tobytes() not in kept:  # it is written a little later
        assert time.monotonic() < ends
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert planted.encode() not in kept
    cached = opening._cache._frames.values()
    assert not any(planted.encode() in bytes(frame.data) for frame in cached)


def without(text: str) -> Any:
    """Metadata as they are, but for a text: what is kept on disk of them is no matter here."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        reply = await handler(request)
        body = await body_of(reply)
        plain = gzip.decompress(body) if reply.headers.get("Content-Encoding") == "gzip" else body
        return web.Response(body=plain.replace(text.encode(), b""), content_type="application/dicom+json")

    return act


# --- others who read meanwhile ---


def held_back(gate: threading.Event, began: threading.Event) -> Middleware:
    """The whole series comes when the gate is open."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        began.set()
        while not gate.is_set():  # noqa: ASYNC110  # the gate is another thread's
            await asyncio.sleep(0.005)
        return await handler(request)

    return faults.fault(act, on="series")


def test_a_slice_does_not_wait_for_the_series(opened: Opener) -> None:
    gate, began = threading.Event(), threading.Event()
    url = opened.url(CT, held_back(gate, began))
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.append(dicomzarr.open(url).levels[0][...]))
    reading.start()
    assert began.wait(SECONDS)
    level = dicomzarr.open(url).levels[0]
    assert np.array_equal(level[70], PIXELS[70])
    assert not found
    gate.set()
    reading.join(SECONDS)
    assert np.array_equal(found[0], PIXELS)
    assert asked(opened) == (SINGLES + 1, 1)


def test_a_read_that_is_given_up_ends_the_request(opened: Opener) -> None:
    gate, began = threading.Event(), threading.Event()
    url = opened.url(CT, held_back(gate, began))
    image = dicomzarr.open(url)
    source, level = image.store.source, image.plan.levels[0]
    frames = [frame for place in range(SLICES) if (frame := level.frames.locate((place, 0, 0))) is not None]

    async def give_up() -> None:
        task = asyncio.create_task(source.deliver(frames, lambda _place, _pixels: None, level))
        await asyncio.to_thread(began.wait, SECONDS)
        task.cancel()
        ends = time.monotonic() + SECONDS
        while not is_idle(source._scheduler):  # nothing tells when nothing happens
            assert time.monotonic() < ends
            await asyncio.sleep(0.005)

    run_sync(give_up)
    assert not gate.is_set()
    gate.set()


def scheduler_of(url: str) -> Scheduler:
    return dicomzarr.open(url).store.source._scheduler


def test_large_reads_wait_for_the_decoders_and_small_ones_do_not(opened: Opener) -> None:
    url = opened.url(CT)
    scheduler = scheduler_of(url)
    level = dicomzarr.open(url).levels[0]
    much = 2 * MOST_BYTES
    run_sync(on_loop, scheduler.decoding, much)
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.append(level[...]))
    reading.start()
    assert np.array_equal(level[7:10], PIXELS[7:10])
    assert asked(opened) == (3, 0)
    run_sync(on_loop, scheduler.decoded, much)
    reading.join(SECONDS)
    assert np.array_equal(found[0], PIXELS)


async def on_loop(function: Callable[[int], None], argument: int) -> None:
    """For what lives on the home loop."""
    function(argument)


@dataclass
class Late:
    """A sink whose decoders are late once, for some seconds; what it is told is wanted."""

    seconds: float
    arrivals: list[str] = field(default_factory=list)

    def arrived(self, key: FrameKey, _: EncodedFrame) -> bool:
        self.arrivals.append(key.instance)
        return True

    def failed(self, key: FrameKey, error: DicomZarrError) -> None:
        raise AssertionError(key) from error

    async def ready(self) -> None:
        seconds, self.seconds = self.seconds, 0.0
        await asyncio.sleep(seconds)


@dataclass
class Slow:
    """A client that gives a whole series, and waits a while after each instance."""

    stored: list[Instance]
    pause: float = 0.0

    async def whole_series(self, job: SeriesJob) -> None:
        for each in self.stored:
            job.take(OnlyFrame(each.sop_instance_uid, EncodedFrame(bytes(each.pixel.nbytes), "", None)))
            await job.ready()
            await asyncio.sleep(self.pause)


def learned_of(late: float, pause: float) -> tuple[Rate, list[str]]:
    """What is learned of a series that comes with pauses, for which the decoders are late."""
    stored = [Instance(f"1.2.{number}", 1, PIXEL) for number in range(20)]
    by_uid = {each.sop_instance_uid: each for each in stored}
    state = SeriesState("1", "1.2", instances=by_uid, slices=by_uid)
    rates = {FetchMode(Form.SINGLES): Rate(100.0, 1e9, inf)}
    experiment = Experiment(FrameKind(native=True, least=1), 4, rates, Thresholds(patience=0.3))
    choice = experiment.next(20, 0.0, whole=True)
    assert choice is not None
    client, sink = Slow(stored, pause), Late(late)
    recipe = Recipe(choice, experiment, FrameQueue())
    fetch = Fetch(tuple(FrameKey(state, uid, 1) for uid in by_uid), recipe, stays_queued=True)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        await DICOMwebOrigin(client, loop.time).fetch(fetch, sink)  # type: ignore[arg-type]

    run_at_once(run())
    return rates[FetchMode(Form.SERIES)], sink.arrivals


def test_a_series_is_not_given_up_while_the_decoders_are_late() -> None:
    """No limit of time runs while we are not ready for more, and the wait is added to it."""
    known, arrivals = learned_of(late=0.9, pause=0.0)
    assert len(arrivals) == 20
    assert known.frames
    known, arrivals = learned_of(late=0.0, pause=0.1)
    assert len(arrivals) < 20
    assert not known.frames


def test_reads_go_on_however_far_behind_the_decoders_are(opened: Opener) -> None:
    url = opened.url(CT)
    scheduler_of(url)._backlog._most = 1
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    assert asked(opened) == (SINGLES, 2)
    assert not scheduler_of(url)._backlog.is_full


def test_a_fault_of_our_own_does_not_go_round_in_circles(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = []

    async def fails(_: Client, job: SeriesJob) -> None:
        asked_for.append(job.subject)
        raise ZeroDivisionError

    monkeypatch.setattr(Client, "whole_series", fails)
    url = opened.url(CT)
    for _ in range(2):
        assert np.array_equal(read(url), PIXELS)
    assert len(asked_for) == 1


def test_a_scheduler_that_nobody_holds_asks_nothing_and_holds_up_no_loop() -> None:
    stored = [Instance(f"1.2.{number}", 1, PIXEL) for number in range(20)]
    by_uid = {each.sop_instance_uid: each for each in stored}
    coming = SeriesState("1", "1.2", instances=by_uid, slices=by_uid)
    client = FakeClient()
    client.profile.rates[FrameKind(native=True, least=1)] = {FetchMode(Form.SINGLES): Rate(1.0, 1e9, inf)}

    async def ask() -> None:
        origin = DICOMwebOrigin(client)  # type: ignore[arg-type]
        scheduler = Scheduler(origin, FrameCache(0))
        for each in stored:
            scheduler.want(FrameKey(coming, each.sop_instance_uid, 1), Mock(), None)
        gone = weakref.ref(scheduler)
        del scheduler
        assert gone() is None  # without a collection
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert not client.asked


# --- parts ---


def test_no_part_may_be_longer_than_agreed() -> None:
    head = b"--b\r\nContent-Type: application/dicom\r\n"
    for rest in (b"Content-Length: 101\r\n\r\n", b"\r\n" + b"x" * 120):
        parser = MultipartParser("multipart/related; boundary=b", most=100)
        with pytest.raises(MultipartError, match="more than 100 bytes"):
            parser.feed(head + rest)


def test_a_full_backlog_makes_others_wait() -> None:
    async def wait() -> list[str]:
        backlog, said = Backlog(100), []

        async def comes() -> None:
            await backlog.ready()
            said.append("came")

        backlog.add(60)
        await comes()
        backlog.add(60)
        assert backlog.is_full
        task = asyncio.create_task(comes())
        await asyncio.sleep(0)
        said.append("decoded")
        assert not backlog.remove(20)
        assert backlog.is_full
        assert backlog.remove(1)
        await task
        assert not backlog.remove(99)
        return said

    assert asyncio.run(wait()) == ["came", "decoded", "came"]

"""The client against servers that behave as real ones do: every fault is told, no frame is ever the wrong one."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from connecting import client_of, closed

from dicomzarr.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DicomZarrError,
    FrameNotFoundError,
    HTTPStatusError,
    InsecureTransportError,
    InvalidReplyError,
    LoginPageError,
    MultipartError,
    NegotiationError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    RequestTimeoutError,
    SeriesNotFoundError,
    ServerFailureError,
    StudyNotFoundError,
    TruncatedReplyError,
    WrongPartsError,
)
from dicomzarr.options.limits import Limits
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.sources.dicomweb.messages.multipart import Part
from dicomzarr.sources.dicomweb.messages.replies import PartSorter
from dicomzarr.sources.dicomweb.negotiation.accept import AS_STORED, IMAGE_TYPES, LADDER, SINGLE_PART
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.retry import TRIES
from dicomzarr.sources.http.statuses import ConnectionDroppedError, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.http.redirects import Request

STUDY, SERIES, INSTANCE = "1.2", "1.2.3", "1.2.3.4"
BASE = "https://server.example/dicom-web"


# --- a transport without a network ---


@dataclass
class Reply:
    status: int = 200
    content_type: str = ""
    body: bytes = b""
    extra: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    url: str = BASE

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": self.content_type, **self.extra} if self.content_type else self.extra

    async def chunks(self) -> AsyncIterator[bytes]:
        size = max(7, len(self.body) // 1000)  # which cuts everything that matters, and long bodies not into millions
        for start in range(0, len(self.body), size):
            yield self.body[start : start + size]
        if self.cut:
            raise TruncatedReplyError("The reply ended early.")


@dataclass
class FakeServer:
    """Answers requests by a function; remembers them. It has no whole instances."""

    answer: Callable[[Request], Reply | DicomZarrError]
    requests: list[Request] = field(default_factory=list)
    wholes: list[Request] = field(default_factory=list)

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Reply]:
        if "/instances/" in request.url and "/frames/" not in request.url:
            self.wholes.append(request)
            yield Reply(404)
            return
        self.requests.append(request)
        reply = self.answer(request)
        if isinstance(reply, DicomZarrError):
            raise reply
        yield reply

    @property
    def lists(self) -> list[str]:
        return [request.url.rpartition("/")[2] for request in self.requests]

    @property
    def accepts(self) -> list[str]:
        return [request.headers["accept"] for request in self.requests]


class Late(FakeServer):
    """Answers in the order in which it was asked, each a tick later."""

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Reply]:
        await asyncio.sleep(0)
        async with super().get(request) as reply:
            yield reply


def asked(request: Request) -> list[int]:
    return [int(number) for number in request.url.rpartition("/")[2].split(",")]


NATIVE = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
JPEG = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"


def pixel(number: int) -> bytes:
    return f"frame {number}".encode() * number


def multipart(  # noqa: PLR0913  # what servers vary
    numbers: Sequence[int],
    *,
    located: bool = True,
    closed: bool = True,
    instance: str = INSTANCE,
    media: str = JPEG,
    content_type: str = "multipart/related; boundary=xyz",
    bodies: dict[int, bytes] | None = None,
) -> Reply:
    text = b""
    for number in numbers:
        body = (bodies or {}).get(number, pixel(number))
        text += f"--xyz\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n".encode()
        if located:
            text += f"Content-Location: /studies/x/instances/{instance}/frames/{number}\r\n".encode()
        text += b"\r\n" + body + b"\r\n"
    return Reply(200, content_type, text + (b"--xyz--\r\n" if closed else b""))


@dataclass
class Outcome:
    frames: dict[int, EncodedFrame] = field(default_factory=dict)
    failures: dict[int, DicomZarrError] = field(default_factory=dict)

    def arrived(self, number: int, frame: EncodedFrame) -> None:
        assert number not in self.frames
        assert number not in self.failures
        self.frames[number] = frame

    def failed(self, number: int, error: DicomZarrError) -> None:
        assert number not in self.frames
        assert number not in self.failures
        self.failures[number] = error

    def check(self, *numbers: int) -> None:
        """Exactly these frames came, each with its own pixels; the rest failed."""
        assert {number: frame.data for number, frame in self.frames.items()} == {
            number: pixel(number) for number in numbers
        }


@dataclass
class Pauses:
    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def clock(self) -> float:
        return 1000.0 + sum(self.seconds)


def connect(server: FakeServer, pauses: Pauses | None = None, **options: Any) -> Client:
    pauses = pauses or Pauses()
    return client_of(BASE, **options, transport=server, sleep=pauses, clock=pauses.clock)


async def fetch(client: Client, *numbers: int, instance: str = INSTANCE, **options: Any) -> Outcome:
    outcome = Outcome()
    await client.frames(FrameJob(STUDY, SERIES, instance, numbers, outcome, **options))
    assert set(outcome.frames) | set(outcome.failures) == set(numbers)
    return outcome


def fetch_from(answer: Callable[[Request], Reply | DicomZarrError], *numbers: int) -> tuple[Outcome, FakeServer]:
    server = FakeServer(answer)
    return asyncio.run(fetch(connect(server), *numbers)), server


# --- frames: the parts of a reply ---


def test_frames_come_in_one_request() -> None:
    outcome, server = fetch_from(lambda request: multipart(asked(request)), 3, 1, 2, 3)
    outcome.check(1, 2, 3)
    assert outcome.frames[1].media_type == "image/jpeg"
    assert outcome.frames[1].transfer_syntax_uid == "1.2.840.10008.1.2.4.50"
    (request,) = server.requests
    assert request.url == f"{BASE}/studies/1.2/series/1.2.3/instances/1.2.3.4/frames/1,2,3"
    assert request.headers == {"accept": AS_STORED.accept, "accept-encoding": "identity"}


def test_a_compressed_reply_is_asked_for_where_that_is_wanted() -> None:
    server = FakeServer(lambda request: multipart(asked(request)))
    asyncio.run(fetch(connect(server), 1, gzip=True)).check(1)
    assert [request.headers["accept-encoding"] for request in server.requests] == ["gzip"]


def test_swapped_parts_are_put_right() -> None:
    outcome, server = fetch_from(lambda request: multipart(asked(request)[::-1]), 1, 2, 3)
    outcome.check(1, 2, 3)
    assert len(server.requests) == 1


def test_parts_without_location_go_by_position_when_all_came() -> None:
    outcome, server = fetch_from(lambda request: multipart(asked(request), located=False), 1, 2, 3)
    outcome.check(1, 2, 3)
    assert len(server.requests) == 1


def test_parts_without_location_are_never_placed_when_one_is_missing() -> None:
    def answer(request: Request) -> Reply:
        numbers = [number for number in asked(request) if number != 2]
        return multipart(numbers, located=False)

    outcome, server = fetch_from(answer, 1, 2, 3)
    outcome.check(1, 3)
    assert set(server.lists) == {"1,2,3", "1", "2", "3"}
    assert server.lists.count("2") == TRIES
    error = outcome.failures[2]
    assert isinstance(error, WrongPartsError)
    assert "frame 2 of instance 1.2.3.4, series 1.2.3, study 1.2" in str(error)


def test_dcm4chee_drops_frames_silently_with_206() -> None:
    def answer(request: Request) -> Reply:
        reply = multipart([number for number in asked(request) if number < 3])
        reply.status = 206
        return reply if reply.body != b"--xyz--\r\n" else Reply(404)

    outcome, server = fetch_from(answer, 1, 2, 3)
    outcome.check(1, 2)
    assert isinstance(outcome.failures[3], FrameNotFoundError)
    assert server.lists == ["1,2,3", "3"]


def test_a_missing_part_is_fetched_singly() -> None:
    def answer(request: Request) -> Reply:
        numbers = asked(request)
        return multipart([n for n in numbers if n != 2 or len(numbers) == 1])

    outcome, server = fetch_from(answer, 1, 2, 3)
    outcome.check(1, 2, 3)
    assert server.lists == ["1,2,3", "2"]


def test_parts_that_were_not_asked_for() -> None:
    outcome, _ = fetch_from(lambda request: multipart([n for n in (1, 9, 2) if n in {9, *asked(request)}]), 1, 2)
    outcome.check(1)
    assert isinstance(outcome.failures[2], WrongPartsError)
    assert "Frame 9" in str(outcome.failures[2])


def test_wrong_parts_are_asked_for_anew() -> None:
    """What comes wrong once may come right the next time; what came right is not asked for again."""
    replies = iter([[1, 9, 2], [2]])
    outcome, server = fetch_from(lambda _: multipart(next(replies)), 1, 2)
    outcome.check(1, 2)
    assert server.lists == ["1,2", "2"]


def test_a_part_that_came_twice() -> None:
    outcome, _ = fetch_from(lambda _: multipart([1, 1]), 1, 2)
    outcome.check(1)
    assert isinstance(outcome.failures[2], WrongPartsError)


def test_a_part_of_another_instance() -> None:
    outcome, _ = fetch_from(lambda request: multipart(asked(request), instance="9.9"), 1, 2)
    outcome.check()
    assert isinstance(outcome.failures[1], WrongPartsError)
    assert outcome.failures[1] is not outcome.failures[2]


def test_a_part_that_names_another_instance_and_no_frame() -> None:
    part = b"--xyz\r\nContent-Location: /x/instances/9.9\r\n\r\nx\r\n--xyz--"
    outcome, _ = fetch_from(lambda _: Reply(200, "multipart/related; boundary=xyz", part), 1)
    assert isinstance(outcome.failures[1], WrongPartsError)


def test_a_single_frame_with_another_number() -> None:
    outcome, _ = fetch_from(lambda _: multipart([2]), 1)
    assert isinstance(outcome.failures[1], WrongPartsError)


@pytest.mark.parametrize("header", [b"Content-Location: /frames/", b"Content-Length: "])
def test_numbers_beyond_all_reason(header: bytes) -> None:
    part = b"--xyz\r\n" + header + b"9" * 5000 + b"\r\n\r\nx\r\n--xyz--"
    outcome, _ = fetch_from(lambda _: Reply(200, "multipart/related; boundary=xyz", part), 1, 2)
    assert [type(outcome.failures[number]) for number in (1, 2)] == [MultipartError] * 2


def test_an_empty_part_is_no_frame() -> None:
    outcome, _ = fetch_from(lambda request: multipart(asked(request), bodies={2: b""}), 1, 2)
    outcome.check(1)
    assert isinstance(outcome.failures[2], WrongPartsError)


def test_an_empty_reply_is_no_frame() -> None:
    outcome, _ = fetch_from(lambda _: Reply(204), 1)
    assert isinstance(outcome.failures[1], WrongPartsError)


def test_a_single_part_reply_serves_one_frame_only() -> None:
    def answer(request: Request) -> Reply:
        return Reply(200, "application/octet-stream; transfer-syntax=1.2.5", pixel(asked(request)[0]))

    outcome, server = fetch_from(answer, 1, 2)
    outcome.check(1, 2)
    assert outcome.frames[2].transfer_syntax_uid == "1.2.5"
    assert server.lists == ["1,2", "1", "2"]


@pytest.mark.parametrize(
    "location", [f"/x/instances/{INSTANCE}/frames/7", "/x/instances/9.9/frames/1", "/x/instances/9.9"]
)
def test_a_single_part_that_names_another_frame_is_none(location: str) -> None:
    named = {"content-location": location}
    outcome, _ = fetch_from(lambda _: Reply(200, "application/octet-stream", pixel(1), named), 1)
    assert isinstance(outcome.failures[1], WrongPartsError)
    assert "frame 1" in str(outcome.failures[1])


def test_a_single_part_that_names_its_frame_needs_no_other_proof() -> None:
    def answer(request: Request) -> Reply:
        (number,) = asked(request)
        named = {"content-location": f"/x/instances/{INSTANCE}/frames/{number}"}
        return Reply(200, "application/octet-stream", pixel(number), named)

    server = FakeServer(answer)
    asyncio.run(fetch(connect(server), 2, number_of_frames=9)).check(2)
    assert server.lists == ["2"]


def test_static_wado_names_no_boundary_and_has_no_lists() -> None:
    def answer(request: Request) -> Reply:
        if "," in request.url:
            return Reply(404)
        return multipart(asked(request), located=False, content_type="multipart/related")

    server = FakeServer(answer)
    client = connect(server)

    async def twice() -> list[Outcome]:
        return [await fetch(client, 1, 2), await fetch(client, 3, 4)]

    first, second = asyncio.run(twice())
    first.check(1, 2)
    second.check(3, 4)
    assert server.lists == ["1,2", "1", "2", "3", "4"]


def test_the_transfer_syntax_may_hide_in_the_outer_type() -> None:
    outer = 'multipart/related; type="image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70"; boundary=xyz'
    outcome, _ = fetch_from(lambda request: multipart(asked(request), media="image/jpeg", content_type=outer), 1)
    assert outcome.frames[1].transfer_syntax_uid == "1.2.840.10008.1.2.4.70"


# --- frames: something else came ---


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, "text/html; charset=utf-8", b"<html>Patient Doe, log in"), LoginPageError),
        (Reply(200, "application/octet-stream", b"\n<!DOCTYPE html><html>"), LoginPageError),
        (multipart([1], media="text/html"), LoginPageError),
        (Reply(200, "application/json", b"{}"), InvalidReplyError),
        (Reply(200, "text/plain", b"Patient Doe"), InvalidReplyError),
        (multipart([1], media="application/dicom+xml"), InvalidReplyError),
        (Reply(200, "application/dicom", bytes(128) + b"DICM"), InvalidReplyError),
        (Reply(200, "multipart/related", b"garbage\r\n"), MultipartError),
    ],
)
def test_no_frame_but_a_success_status(reply: Reply, kind: type[DicomZarrError]) -> None:
    outcome, _ = fetch_from(lambda _: reply, 1)
    assert type(outcome.failures[1]) is kind
    assert "Doe" not in str(outcome.failures[1])


def test_a_login_page_fails_a_whole_list_at_once() -> None:
    outcome, server = fetch_from(lambda _: Reply(200, "text/html", b"<html>"), 1, 2, 3)
    assert all(isinstance(error, LoginPageError) for error in outcome.failures.values())
    assert len(server.requests) == 1


def test_truncation_asks_again_for_the_rest_only() -> None:
    replies = iter([multipart([1, 2], closed=False), multipart([2, 3])])
    server = FakeServer(lambda _: next(replies))
    pauses = Pauses()
    outcome = asyncio.run(fetch(connect(server, pauses), 1, 2, 3))
    outcome.check(1, 2, 3)
    # The second part of the first reply may have been cut: nothing follows it.
    assert server.lists == ["1,2,3", "2,3"]
    assert len(pauses.seconds) == 1


def test_a_reply_without_an_end_after_the_last_part() -> None:
    reply = multipart([1, 2], closed=False)
    reply.body += b"--xyz"
    outcome, server = fetch_from(lambda _: reply, 1, 2)
    outcome.check(1, 2)
    assert len(server.requests) == 1


def test_positions_do_not_count_in_a_truncated_reply() -> None:
    reply = multipart([1, 2], located=False, closed=False)
    outcome, server = fetch_from(lambda request: reply if "," in request.url else multipart(asked(request)), 1, 2)
    outcome.check(1, 2)
    assert server.lists == ["1,2"] * 4 + ["1", "2"]


def test_a_frame_that_is_always_cut_fails() -> None:
    outcome, server = fetch_from(lambda _: multipart([1], closed=False), 1)
    assert isinstance(outcome.failures[1], TruncatedReplyError)
    assert len(server.requests) == 4


# --- frames: the ladder ---


def test_no_rung_asks_for_a_transcode() -> None:
    assert all("transfer-syntax=" in part for rung in LADDER for part in rung.accept.split(","))


@pytest.mark.parametrize("refusal", [400, 406, 415, 500])
def test_the_second_rung_is_learned(refusal: int) -> None:
    def answer(request: Request) -> Reply:
        stored = request.headers["accept"] == AS_STORED.accept
        return Reply(refusal) if stored else multipart(asked(request))

    server = FakeServer(answer)
    client = connect(server)

    async def thrice() -> None:
        for numbers in ((1, 2), (3, 4), (5,)):
            (await fetch(client, *numbers)).check(*numbers)

    asyncio.run(thrice())
    assert server.accepts == [AS_STORED.accept, *[IMAGE_TYPES.accept] * 3]


def test_a_server_that_decodes_is_asked_for_image_types() -> None:
    def answer(request: Request) -> Reply:
        decodes = request.headers["accept"] == AS_STORED.accept
        return multipart(asked(request), media=NATIVE if decodes else JPEG)

    server = FakeServer(answer)
    client = connect(server)

    async def twice() -> None:
        for numbers in ((1, 2), (3, 4)):
            outcome = await fetch(client, *numbers, compressed=True)
            outcome.check(*numbers)
            assert {frame.media_type for frame in outcome.frames.values()} == {"image/jpeg"}

    asyncio.run(twice())
    assert server.accepts == [AS_STORED.accept, IMAGE_TYPES.accept, IMAGE_TYPES.accept]


@pytest.mark.parametrize("numbers", [(1, 2), (1,)])
@pytest.mark.parametrize("otherwise", [200, 406])
def test_decoded_pixels_are_taken_when_nothing_else_comes(otherwise: int, numbers: tuple[int, ...]) -> None:
    def answer(request: Request) -> Reply:
        stored = request.headers["accept"] == AS_STORED.accept
        return multipart(asked(request), media=NATIVE) if stored or otherwise == 200 else Reply(otherwise)

    server = FakeServer(answer)
    client = connect(server)

    async def twice() -> None:
        for _ in range(2):
            (await fetch(client, *numbers, compressed=True)).check(*numbers)

    asyncio.run(twice())
    assert server.accepts[-1] == server.accepts[-2] == AS_STORED.accept
    client.forget(STUDY, SERIES)
    before = len(server.requests)
    asyncio.run(twice())
    assert len(server.requests) > before + 2  # its way was found out anew


@pytest.mark.parametrize("expected", [True, False], ids=["once compressed", "never compressed"])
@pytest.mark.parametrize("numbers", [(1, 2), (1,)])
def test_native_pixels_read_first_hide_no_codestream(numbers: tuple[int, ...], expected: bool) -> None:  # noqa: FBT001
    """Whatever is read first: one instance is stored as pixels, of the other the server decodes codestreams."""
    native, coded = "1.2.3.5", "1.2.3.6"

    def answer(request: Request) -> Reply:
        instance = native if f"/{native}/" in request.url else coded
        decodes = request.headers["accept"] != IMAGE_TYPES.accept
        media = NATIVE if decodes or instance == native else JPEG
        return multipart(asked(request), instance=instance, media=media)

    client = connect(FakeServer(answer))

    async def both() -> list[Outcome]:
        first = await fetch(client, *numbers, compressed=expected, instance=native)
        return [first, await fetch(client, *numbers, compressed=True, instance=coded)]

    for outcome, media in zip(asyncio.run(both()), ("application/octet-stream", "image/jpeg"), strict=True):
        outcome.check(*numbers)
        assert {frame.media_type for frame in outcome.frames.values()} == {media}


def test_unlabelled_pixels_in_the_place_of_a_codestream() -> None:
    def answer(request: Request) -> Reply:
        decodes = request.headers["accept"] != IMAGE_TYPES.accept
        return multipart(asked(request), media="application/octet-stream" if decodes else JPEG)

    outcome = asyncio.run(fetch(connect(FakeServer(answer)), 1, 2, compressed=True))
    outcome.check(1, 2)
    assert {frame.media_type for frame in outcome.frames.values()} == {"image/jpeg"}


@pytest.mark.parametrize("numbers", [(1, 2), (1,)])
def test_several_who_find_out_at_once_that_the_server_decodes(numbers: tuple[int, ...]) -> None:
    client = connect(Late(lambda request: multipart(asked(request), media=NATIVE)))

    async def together() -> list[Outcome]:
        return await asyncio.gather(*(fetch(client, *numbers, compressed=True) for _ in range(3)))

    for outcome in asyncio.run(together()):
        outcome.check(*numbers)


def test_native_pixels_are_taken_at_once_where_the_metadata_expect_them() -> None:
    server = FakeServer(lambda request: multipart(asked(request), media=NATIVE))
    asyncio.run(fetch(connect(server), 1, 2)).check(1, 2)
    assert server.accepts == [AS_STORED.accept]


def test_the_third_rung_never_asks_for_lists() -> None:
    def answer(request: Request) -> Reply:
        if request.headers["accept"] != SINGLE_PART.accept:
            return Reply(406)
        return Reply(200, "application/octet-stream", pixel(asked(request)[0]))

    server = FakeServer(answer)
    client = connect(server)

    async def twice() -> None:
        (await fetch(client, 1, 2)).check(1, 2)
        (await fetch(client, 3, 4)).check(3, 4)

    asyncio.run(twice())
    assert server.lists == ["1,2", "1,2", "1", "1", "1", "2", "3", "4"]


def test_orthanc_refuses_a_whole_list_for_one_bad_frame() -> None:
    def answer(request: Request) -> Reply:
        bad = 2 in asked(request) or not request.headers["accept"].startswith("multipart")
        return Reply(400) if bad else multipart(asked(request))

    server = FakeServer(answer)
    client = connect(server)

    async def twice() -> tuple[Outcome, Outcome]:
        return await fetch(client, 1, 2, 3), await fetch(client, 4, 5)

    first, second = asyncio.run(twice())
    first.check(1, 3)
    second.check(4, 5)
    error = first.failures[2]
    assert isinstance(error, HTTPStatusError)
    assert error.status == 400
    assert "frame 2 of instance" in str(error)
    assert server.lists[-1] == "4,5"  # one bad frame does not mean that lists are refused


@pytest.mark.parametrize(("status", "again"), [(400, ["3", "4"]), (500, ["3,4"])])
def test_lists_refused_is_learned_when_singles_work(status: int, again: list[str]) -> None:
    refusing = True

    def answer(request: Request) -> Reply:
        return Reply(status) if refusing and "," in request.url else multipart(asked(request))

    server = FakeServer(answer)
    client = connect(server)

    async def twice() -> None:
        nonlocal refusing
        (await fetch(client, 1, 2)).check(1, 2)
        refusing = False
        (await fetch(client, 3, 4)).check(3, 4)

    asyncio.run(twice())
    assert server.lists == ["1,2", "1,2", "1", "2", *again]


def test_a_frame_that_no_rung_gives() -> None:
    outcome, server = fetch_from(lambda _: Reply(400), 1)
    assert isinstance(outcome.failures[1], NegotiationError)
    assert "400, 400, 400" in str(outcome.failures[1])
    assert len(server.requests) == 3
    outcome, _ = fetch_from(lambda _: Reply(500), 1)
    assert isinstance(outcome.failures[1], ServerFailureError)


def test_a_connection_that_drops_moves_the_ladder_on() -> None:
    def answer(request: Request) -> Reply | DicomZarrError:
        stored = request.headers["accept"] == AS_STORED.accept
        return ConnectionDroppedError("gone") if stored else multipart(asked(request))

    outcome, server = fetch_from(answer, 1, 2)
    outcome.check(1, 2)
    assert server.accepts == [AS_STORED.accept] * 2 + [IMAGE_TYPES.accept]


def test_a_server_that_always_drops_is_not_hammered() -> None:
    outcome, server = fetch_from(lambda _: ConnectionDroppedError("gone"), 1, 2, 3)
    assert all(isinstance(error, ConnectionFailedError) for error in outcome.failures.values())
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (403, PermissionDeniedError), (302, HTTPStatusError)]
)
def test_a_status_that_no_other_accept_helps(status: int, kind: type[DicomZarrError]) -> None:
    outcome, server = fetch_from(lambda _: Reply(status), 1, 2)
    assert all(type(error) is kind for error in outcome.failures.values())
    assert len(outcome.failures) == 2
    assert len(server.requests) == 1


def test_frames_that_do_not_exist() -> None:
    outcome, server = fetch_from(lambda _: Reply(404), 1, 2)
    assert all(type(error) is FrameNotFoundError for error in outcome.failures.values())
    assert server.lists == ["1,2", "1", "2"]


def test_in_flight_requests_are_bounded() -> None:
    flying, most = 0, 0

    class Slow(FakeServer):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0)
            yield multipart(asked(request))
            flying -= 1

    async def many() -> None:
        client = connect(Slow(lambda _: Reply()), max_connections=3)
        await asyncio.gather(*(fetch(client, number) for number in range(1, 20)))

    asyncio.run(many())
    assert most == 3


# --- retries ---


def test_retry_after_is_honoured() -> None:
    replies = iter([Reply(503, extra={"retry-after": "7"}), Reply(429), multipart([1])])
    pauses = Pauses()
    outcome = asyncio.run(fetch(connect(FakeServer(lambda _: next(replies)), pauses), 1))
    outcome.check(1)
    assert pauses.seconds[0] == 7
    assert 0 < pauses.seconds[1] < 1


@pytest.mark.parametrize("retry_after", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerFailureError)])
def test_retry_after_beyond_the_timeout_is_told(status: int, kind: type[HTTPStatusError], retry_after: str) -> None:
    outcome, server = fetch_from(lambda _: Reply(status, extra={"retry-after": retry_after}), 1)
    error = outcome.failures[1]
    assert isinstance(error, kind)
    assert error.retry_after is not None
    assert error.retry_after > 3000
    assert len(server.requests) == 1


def test_a_used_up_quota_is_told_at_once() -> None:
    outcome, server = fetch_from(lambda _: Reply(429, "text/html", b"<html>Your daily quota"), 1)
    assert isinstance(outcome.failures[1], QuotaExceededError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content_type", "page"),
    [
        ("text/html", b"<html><h1>429 Too Many Requests</h1><hr><center>nginx/1.24.0</center></html>"),
        ("text/html", b"<h1>Too Many Requests</h1><p>Come back in a minute.</p>"),
        ("application/json", b'{"message": "Rate limit exceeded"}'),
        ("application/json", b'{"error": {"message": "Quota exceeded for quota metric x per minute per user"}}'),
        ("", b""),
    ],
)
def test_a_common_limit_is_no_quota(content_type: str, page: bytes) -> None:
    replies = iter([multipart([1]), *[Reply(429, content_type, page)] * 6, multipart([2])])

    async def one_after_the_other() -> None:
        client = connect(FakeServer(lambda _: next(replies)))
        (await fetch(client, 1)).check(1)
        (await fetch(client, 2)).check(2)

    asyncio.run(one_after_the_other())


@pytest.mark.parametrize("status", [502, 503, 504])
def test_passing_failures_are_tried_four_times(status: int) -> None:
    server = FakeServer(lambda _: Reply(status))
    pauses = Pauses()
    outcome = asyncio.run(fetch(connect(server, pauses), 1, 2))
    assert all(isinstance(error, HTTPStatusError) for error in outcome.failures.values())
    assert len(server.requests) == 4
    assert pauses.seconds[0] < pauses.seconds[2]


# --- metadata ---


def metadata_from(answer: Callable[[Request], Reply | DicomZarrError]) -> tuple[bytes, FakeServer]:
    server = FakeServer(answer)
    return asyncio.run(connect(server).series_metadata(STUDY, SERIES)).body, server


def test_metadata() -> None:
    body, server = metadata_from(lambda _: Reply(200, "application/dicom+json", b'\xef\xbb\xbf [{"x": 1}]\n'))
    assert body == b'[{"x": 1}]'
    (request,) = server.requests
    assert request.url == f"{BASE}/studies/1.2/series/1.2.3/metadata"
    assert request.headers == {"accept": "application/dicom+json", "accept-encoding": "gzip"}


def test_metadata_falls_back_to_plain_json() -> None:
    body, server = metadata_from(
        lambda request: Reply(406) if "dicom" in request.headers["accept"] else Reply(200, "application/json", b"[1]")
    )
    assert body == b"[1]"
    assert server.accepts == ["application/dicom+json", "application/json"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(404), SeriesNotFoundError),
        (Reply(410), SeriesNotFoundError),
        (Reply(204), SeriesNotFoundError),
        (Reply(200, "application/dicom+json", b" "), SeriesNotFoundError),
        (Reply(200, "application/dicom+json", b"[]"), SeriesNotFoundError),
        (Reply(401), AuthenticationError),
        (Reply(403), PermissionDeniedError),
        (Reply(406), NegotiationError),
        (Reply(500), ServerFailureError),
        (Reply(200, "text/html", b"<html>Doe"), LoginPageError),
        (Reply(200, "application/json", b"<!doctype HTML>Doe"), LoginPageError),
        (Reply(200, "application/dicom+xml", b"<xml>Doe"), InvalidReplyError),
        (Reply(200, "application/dicom+json", b'{"error": "Doe"}'), InvalidReplyError),
        (Reply(200, "application/dicom+json", b'[{"x": 1}, {"Doe'), TruncatedReplyError),
        (Reply(200, "application/dicom+json", b"[]", cut=True), TruncatedReplyError),
    ],
)
def test_metadata_that_cannot_be_had(reply: Reply, kind: type[DicomZarrError]) -> None:
    with pytest.raises(kind) as caught:
        metadata_from(lambda _: reply)
    assert type(caught.value) is kind
    assert "Doe" not in str(caught.value)


def test_truncated_metadata_is_asked_for_again() -> None:
    replies = iter([Reply(200, "application/json", b"[1"), Reply(200, "application/json", b"[1]")])
    body, server = metadata_from(lambda _: next(replies))
    assert body == b"[1]"
    assert len(server.requests) == 2


# --- searches ---


def study(number: int) -> dict[str, Any]:
    return {"0020000D": {"vr": "UI", "Value": [f"1.{number}"]}}


def paging(studies: list[dict[str, Any]], most: int = 1000, *, warn: bool = False) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        query = dict(item.split("=") for item in request.url.partition("?")[2].split("&"))
        start = int(query.get("offset", 0))
        page = studies[start : start + min(most, int(query["limit"]))]
        more = warn and start + len(page) < len(studies)
        extra = {"warning": '299 server "more"'} if more else {}
        return Reply(200, "application/dicom+json", json.dumps(page).encode(), extra)

    return answer


def search(server: FakeServer, resource: str = "studies", **arguments: Any) -> list[dict[str, Any]]:
    return asyncio.run(connect(server).search(resource, **arguments))


def test_search_pages_to_the_end() -> None:
    studies = [study(number) for number in range(450)]
    server = FakeServer(paging(studies))
    assert search(server, parameters={"includefield": "00080061,00200010"}) == studies
    assert [request.url.partition("?")[2] for request in server.requests] == [
        "includefield=00080061,00200010&limit=200",
        "includefield=00080061,00200010&limit=200&offset=200",
        "includefield=00080061,00200010&limit=200&offset=400",
    ]


def test_search_for_a_count() -> None:
    studies = [study(number) for number in range(450)]
    server = FakeServer(paging(studies))
    assert search(server, wanted=250) == studies[:250]
    assert [request.url.rpartition("?")[2] for request in server.requests] == ["limit=200", "limit=50&offset=200"]
    assert search(server, wanted=0) == []


def test_search_follows_a_server_that_gives_less_and_says_so() -> None:
    studies = [study(number) for number in range(7)]
    assert search(FakeServer(paging(studies, 3, warn=True))) == studies


def test_search_drops_doubles_and_ends_when_the_offset_is_ignored() -> None:
    page = json.dumps([study(1), study(2), study(1)] * 100).encode()
    server = FakeServer(lambda _: Reply(200, "application/json", page))
    assert search(server) == [study(1), study(2)]
    assert len(server.requests) == 2


def test_search_without_results() -> None:
    assert search(FakeServer(lambda _: Reply(204))) == []
    assert search(FakeServer(lambda _: Reply(200, "application/json", b"[]"))) == []


def test_search_that_fails() -> None:
    with pytest.raises(StudyNotFoundError):
        search(FakeServer(lambda _: Reply(404)), "studies/1.2/series")
    with pytest.raises(InvalidReplyError, match="no list of JSON objects"):
        search(FakeServer(lambda _: Reply(200, "application/json", b"[1, 2]")))


# --- the real transport, on a real socket ---


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def speaking(*replies: bytes) -> AsyncIterator[str]:
    """A server that sends these bytes, one reply a connection, and hangs up; it is silent once they are used up."""
    left = iter(replies)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(left))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def connected(base: str, **options: Any) -> AsyncIterator[Client]:
    client = client_of(base, **options, sleep=Pauses())
    try:
        yield client
    finally:
        await closed(client)


def test_metadata_over_http_with_gzip() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "gzip"
        body = gzip.compress(b'[{"x": 1}]')
        return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/dicom+json"})

    async def run() -> bytes:
        async with serving(handler) as base, connected(base) as client:
            return (await client.series_metadata(STUDY, SERIES)).body

    assert asyncio.run(run()) == b'[{"x": 1}]'


def test_frames_over_http_even_in_gzip() -> None:
    reply = multipart([1, 2])

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        headers = {"Content-Encoding": "gzip", "Content-Type": reply.content_type}
        return web.Response(body=gzip.compress(reply.body), headers=headers)

    async def run() -> Outcome:
        async with serving(handler) as base, connected(base) as client:
            return await fetch(client, 1, 2)

    asyncio.run(run()).check(1, 2)


# --- replies without an end ---


ENDLESS = {
    "one part": ("multipart/related; boundary=x", b"--x\r\nContent-Type: image/jpeg\r\n\r\n", bytes(2**20)),
    "a single body": ("image/jpeg", b"", bytes(2**20)),
    "parts without a name": ("multipart/related; boundary=x", b"", (b"--x\r\n\r\n" + bytes(100) + b"\r\n") * 2**10),
    "tiny parts without a name": ("multipart/related; boundary=x", b"", b"--x\r\n\r\nAA\r\n" * 2**13),
    "empty parts": ("multipart/related; boundary=x", b"", (b"--x\r\nX: " + b"x" * 100 + b"\r\n\r\n\r\n") * 2**10),
    "empty parts without headers": ("multipart/related; boundary=x", b"", b"--x\r\n\r\n\r\n" * 2**13),
    "gzip": ("image/jpeg", b"", gzip.compress(bytes(2**26))),
    "gzip of a part": ("multipart/related; boundary=x", gzip.compress(b"--x\r\n\r\n"), gzip.compress(bytes(2**26))),
}
OF_TINY_PARTS = {"tiny parts without a name", "empty parts without headers"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind in OF_TINY_PARTS else []) for kind in ENDLESS]
)
@pytest.mark.parametrize("numbers", [pytest.param((1,), marks=pytest.mark.slow), (1, 2, 3)])
def test_a_reply_without_an_end_is_refused(kind: str, numbers: tuple[int, ...]) -> None:
    content_type, head, more = ENDLESS[kind]
    sent = requests = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent, requests
        requests += 1
        encoding = {"Content-Encoding": "gzip"} if "gzip" in kind else {}
        response = web.StreamResponse(headers={"Content-Type": content_type, **encoding})
        await response.prepare(request)
        await response.write(head)
        while True:
            await response.write(more)
            sent += len(more)

    async def run() -> Outcome:
        async with serving(handler) as base, connected(base) as client:
            return await fetch(client, *numbers, frame_bytes=1000, number_of_frames=9)

    outcome = asyncio.run(run())
    for error in outcome.failures.values():
        assert type(error) is InvalidReplyError
        assert f"More than {len(numbers) * 2**16 + 2**20} bytes came" in str(error)
    assert set(outcome.failures) == set(numbers)
    assert requests == 1
    assert sent < 32 * 2**20  # what sockets and buffers hold


def test_a_reply_may_be_twice_as_long_as_its_frames() -> None:
    size = 2**20
    bodies = {number: bytes([number]) * (2 * size) for number in (1, 2, 3)}
    server = FakeServer(lambda request: multipart(asked(request), bodies=bodies))
    outcome = asyncio.run(fetch(connect(server), 1, 2, 3, frame_bytes=size))
    assert {number: frame.data for number, frame in outcome.frames.items()} == bodies


def test_parts_beyond_those_asked_for_are_not_kept() -> None:
    sorter = PartSorter(INSTANCE, [1, 2], MediaType.parse("multipart/related"), "frames 1, 2")
    for _ in range(1000):
        sorter.add(Part({}, b"frame"))
    assert len(sorter._unnamed) == 2
    assert sorter.finish() == []
    assert "1000 parts" in sorter.summary


def test_metadata_without_an_end_are_refused() -> None:
    server = FakeServer(lambda _: Reply(200, "application/dicom+json", b"[" + b" " * 1000))
    with pytest.raises(InvalidReplyError, match="More than 1000 bytes came for the metadata of series"):
        asyncio.run(connect(server, limits=Limits(json_bytes=1000)).series_metadata(STUDY, SERIES))
    assert len(server.requests) == 1


# --- replies that nothing can be made of ---


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "Mon", "x" * 1000, "-3", "1.5", "Mon, 99999999999999999999 Jan 1 0:0:0"),
        *(f"Mon, 01 Jan 2024 00:00:00 {zone}" for zone in ("+99999999999999999999", "+9999", "-999999999999")),
        *("Wed, 21 Oct 9999999999999999999 07:28:00 GMT", "21 Oct 2015 99999999999999:28:00 GMT"),
    ],
)
def test_times_to_wait_that_are_none(value: str) -> None:
    assert seconds_to_wait(value) is None


def test_metadata_of_an_instance_that_are_nested_without_an_end() -> None:
    deep = b'[{"00400555": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]"

    def answer(request: Request) -> Reply:
        if "?" in request.url:
            return Reply(200, "application/json", b'[{"00080018": {"Value": ["%s"]}}]' % INSTANCE.encode())
        return Reply(200, "application/json", deep) if "/instances/" in request.url else Reply(404)

    class Nested(FakeServer):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            yield answer(request)

    with pytest.raises(InvalidReplyError, match="no list of JSON objects"):
        asyncio.run(connect(Nested(answer)).series_metadata(STUDY, SERIES))
    with pytest.raises(InvalidReplyError, match="no list of JSON objects"):
        search(FakeServer(lambda _: Reply(200, "application/json", deep)))


def _http(body: bytes, content_type: str, length: int | None = None) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n"
    return (head + (f"Content-Length: {length}\r\n" if length else "") + "\r\n").encode() + body


def test_a_reply_without_a_length_that_ends_early() -> None:
    whole = multipart([1, 2, 3])
    cut = whole.body[: whole.body.index(b"frame 3")]

    async def run() -> Outcome:
        replies = (_http(cut, whole.content_type), _http(multipart([3]).body, whole.content_type))
        async with speaking(*replies) as base, connected(base) as client:
            return await fetch(client, 1, 2, 3)

    asyncio.run(run()).check(1, 2, 3)


def test_a_reply_shorter_than_its_length() -> None:
    async def run() -> bytes:
        replies = (_http(b"[1]", "application/json", 9), _http(b"[1]", "application/json", 3))
        async with speaking(*replies) as base, connected(base) as client:
            return (await client.series_metadata(STUDY, SERIES)).body

    assert asyncio.run(run()) == b"[1]"


def test_a_connection_that_is_dropped() -> None:
    async def run() -> bytes:
        async with speaking(b"", b"", _http(b"[1]", "application/json")) as base, connected(base) as client:
            return (await client.series_metadata(STUDY, SERIES)).body

    assert asyncio.run(run()) == b"[1]"


def test_nobody_listens() -> None:
    async def run() -> None:
        async with speaking() as base:
            pass
        async with connected(base) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(ConnectionFailedError, match="No connection to 127"):
        asyncio.run(run())


def test_https_to_a_plain_server() -> None:
    async def unused(_: web.Request) -> web.Response:
        return web.Response()

    async def run() -> None:
        async with serving(unused) as base, connected(base.replace("http", "https")) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(ConnectionFailedError, match="TLS"):
        asyncio.run(run())


def test_a_server_that_says_nothing() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def run() -> None:
        async with serving(handler) as base, connected(base, timeout=0.05) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(RequestTimeoutError, match=r"nothing for 0\.05 s"):
        asyncio.run(run())


def test_a_redirect_to_another_origin_drops_credentials() -> None:
    seen: list[tuple[str, str | None, str | None]] = []

    async def run() -> bytes:
        async def target(request: web.Request) -> web.Response:
            seen.append(("target", request.headers.get("Authorization"), request.headers.get("X-Key")))
            assert request.headers["Accept"] == "application/dicom+json"
            return web.json_response([1])

        async with serving(target) as other:

            async def origin(request: web.Request) -> web.Response:
                seen.append((request.path, request.headers.get("Authorization"), request.headers.get("X-Key")))
                where = f"{other}/there" if request.path == "/moved" else "/moved"
                raise web.HTTPTemporaryRedirect(where)

            async with serving(origin) as base:
                options = {"auth": ("doe", "secret"), "headers": {"X-Key": "k"}}
                async with connected(base, **options) as client:
                    return (await client.series_metadata(STUDY, SERIES)).body

    assert asyncio.run(run()) == b"[1]"
    basic = "Basic ZG9lOnNlY3JldA=="
    assert seen == [
        (f"/studies/{STUDY}/series/{SERIES}/metadata", basic, "k"),
        ("/moved", basic, "k"),
        ("target", None, None),
    ]


@pytest.mark.parametrize("within", [False, True])
def test_with_own_host_only_no_other_host_is_asked(within: bool) -> None:  # noqa: FBT001  # a column
    asked: list[str] = []

    async def run() -> bytes:
        async def target(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.json_response([1])

        async with serving(target) as other:

            async def origin(request: web.Request) -> web.Response:
                if request.path == "/moved":
                    return web.json_response([2])
                raise web.HTTPTemporaryRedirect("/moved" if within else f"{other}/there")

            async with serving(origin) as base, connected(base, own_host_only=True) as client:
                return (await client.series_metadata(STUDY, SERIES)).body

    if within:  # within the host
        assert asyncio.run(run()) == b"[2]"
    else:
        with pytest.raises(InvalidReplyError, match="another host"):
            asyncio.run(run())
    assert asked == []


def test_redirects_in_circles_and_to_nowhere() -> None:
    count = 0

    async def run(location: str) -> None:
        async def handler(_: web.Request) -> web.Response:
            nonlocal count
            count += 1
            return web.Response(status=302, headers={"Location": location} if location else {})

        async with serving(handler) as base, connected(base) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(InvalidReplyError, match="more than 5"):
        asyncio.run(run("/again"))
    assert count == 6
    for location in ("", "ftp://x/y", "http://[/"):
        with pytest.raises(InvalidReplyError, match="redirects"):
            asyncio.run(run(location))


def test_connections_are_kept_alive_and_closed() -> None:
    peers = set()

    async def handler(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        return web.json_response([1])

    async def run() -> None:
        async with serving(handler) as base, connected(base) as client:
            for _ in range(3):
                await client.series_metadata(STUDY, SERIES)

    asyncio.run(run())
    assert len(peers) == 1


def test_a_transport_that_nobody_closes_gives_no_warning() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response([1])

    async def run() -> None:
        async with serving(handler) as base:
            client = client_of(base)
            await client.series_metadata(STUDY, SERIES)
            del client  # warnings are errors in these tests
            await asyncio.sleep(0.05)

    asyncio.run(run())


def test_credentials_do_not_travel_over_plain_http() -> None:
    for options in ({"auth": ("u", "p")}, {"headers": {"X": "y"}}, {"auth": dict}):
        with pytest.raises(InsecureTransportError):
            client_of("http://server.example/dicom-web", **options)
    client_of("http://server.example", auth=("u", "p"), allow_insecure=True)
    client_of("http://localhost:8042", auth=("u", "p"))


def test_exit_without_closing_gives_no_warning() -> None:
    code = """
import asyncio, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.options import StorageOptions

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"[1]")
    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
loop = asyncio.new_event_loop()
for target in (server.serve_forever, loop.run_forever):
    threading.Thread(target=target, daemon=True).start()
options = StorageOptions.parse()
client = Client(f"http://127.0.0.1:{server.server_port}", options.access, options.tuning)
metadata = asyncio.run_coroutine_threadsafe(client.series_metadata("1", "2"), loop)
assert metadata.result().body == b"[1]"
"""
    command = [sys.executable, "-W", "default", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # our own interpreter
    assert "client" not in done.stderr.lower()
    assert "connector" not in done.stderr.lower()


def test_user_info_in_a_redirect_is_dropped() -> None:
    seen: list[str | None] = []

    async def run() -> bytes:
        async def handler(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Authorization"))
            if request.path != "/there":
                raise web.HTTPFound(f"http://u:p@{request.host}/there#x")
            return web.json_response([1])

        async with serving(handler) as base, connected(base) as client:
            return (await client.series_metadata(STUDY, SERIES)).body

    assert asyncio.run(run()) == b"[1]"
    assert seen == [None, None]


def test_search_results_that_are_no_text() -> None:
    server = FakeServer(lambda _: Reply(200, "application/dicom+json", b'[{"a": "\xff"}]'))
    with pytest.raises(InvalidReplyError):
        asyncio.run(connect(server).search("studies"))

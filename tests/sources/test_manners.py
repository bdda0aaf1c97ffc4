"""Manners of vendors, proxies and static files: what they mean is read right, or told in one error."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from collections import Counter
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import faults
import pytest
import raw_server
from aiohttp import web
from connecting import client_of
from serving import serving as serving_slide
from slides import coded_slide
from test_client import (
    BASE,
    INSTANCE,
    SERIES,
    STUDY,
    FakeServer,
    Pauses,
    Reply,
    asked,
    connected,
    fetch_from,
    metadata_from,
    multipart,
    paging,
    search,
    serving,
    speaking,
    study,
)
from test_client import connect as connect_frames
from test_client import fetch as fetch_frames
from test_fallbacks import FRAMES, Server, check, check_slide, connect, enclosed, fetch, right, stored

from dicomzarr.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HTTPStatusError,
    InvalidReplyError,
    LoginPageError,
    NotFoundError,
    SeriesNotFoundError,
    ServerFailureError,
)
from dicomzarr.options import Rejected
from dicomzarr.sources.dicomweb.messages.multipart import is_multipart
from dicomzarr.sources.http.credentials import login
from dicomzarr.sources.http.pacing import Pacing
from dicomzarr.sources.http.server_cookies import ServerCookies
from dicomzarr.sources.http.statuses import ConnectionDroppedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from dicomzarr.sources.http.redirects import Request

# --- what a reply is called, and what it is ---


@pytest.mark.parametrize("named", ["'xyz'", '"--xyz"', "other", '"\\"xyz\\""', ""])
@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)])
def test_the_boundary_in_the_body_counts(named: str, numbers: tuple[int, ...]) -> None:
    content_type = f"multipart/related; boundary={named}" if named else "multipart/related"
    outcome, server = fetch_from(lambda request: multipart(asked(request), content_type=content_type), *numbers)
    outcome.check(*numbers)
    assert len(server.requests) == 1


@pytest.mark.parametrize("content_type", ["application/octet-stream", "", "image/jpeg"])
@pytest.mark.parametrize("zipped", [False, True])
def test_multipart_is_read_whatever_it_is_called(content_type: str, *, zipped: bool) -> None:
    def answer(request: Request) -> Reply:
        body = multipart(asked(request)).body
        return Reply(200, content_type, gzip.compress(body) if zipped else body)

    outcome, server = fetch_from(answer, 1, 2)
    outcome.check(1, 2)
    assert len(server.requests) == 1


def test_pixels_that_begin_like_a_boundary_are_no_multipart() -> None:
    assert not is_multipart(b"--ab\r\n--ac--\r\n")
    assert not is_multipart(b"\xff\xd8--ab\r\n--ab--")


@pytest.mark.parametrize("content_type", ["multipart/related; boundary=xyz", "multipart/related"])
def test_gzip_that_no_header_names_is_inflated(content_type: str) -> None:
    def answer(request: Request) -> Reply:
        return Reply(200, content_type, gzip.compress(multipart(asked(request)).body))

    outcome, _ = fetch_from(answer, 1, 2)
    outcome.check(1, 2)
    body, _ = metadata_from(lambda _: Reply(200, "application/dicom+json", gzip.compress(b'[{"x": 1}]')))
    assert body == b'[{"x": 1}]'


def test_only_what_is_gzip_to_its_end_is_inflated() -> None:
    pixels = b"\x1f\x8b\x08" + bytes(61)
    outcome, _ = fetch_from(lambda _: Reply(200, "application/octet-stream", pixels), 1)
    assert outcome.frames[1].data == pixels
    outcome, _ = fetch_from(lambda _: Reply(200, "multipart/related; boundary=xyz", pixels), 1)
    assert type(outcome.failures[1]) is InvalidReplyError


def test_gzip_that_no_header_names_is_bounded() -> None:
    bomb = gzip.compress(bytes(2**24))
    for content_type in ("image/jpeg", "multipart/related; boundary=xyz"):
        server = FakeServer(lambda _, content_type=content_type: Reply(200, content_type, bomb))
        outcome = asyncio.run(fetch_frames(connect_frames(server), 1, frame_bytes=1000, number_of_frames=1))
        assert "bytes came" in str(outcome.failures[1])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_encoding_that_is_named_and_not_there_is_told_at_once(encoding: str) -> None:
    asked_for: list[bytes] = []
    body = b'[{"x": 1}]'

    async def speak(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked_for.append(head)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body)

    async def run() -> None:
        async with raw_server.speaking(speak) as base, connected(base) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(InvalidReplyError, match=f"Content-Encoding: {encoding}") as caught:
        asyncio.run(run())
    assert type(caught.value) is InvalidReplyError
    assert len(asked_for) == 1


def test_frames_under_a_syntax_that_does_not_exist_come_out_of_their_file() -> None:
    slide = coded_slide("jpeg2000_lossless")
    named = "image/jp2; transfer-syntax=1.2.3.4"
    lie = faults.change_parts(lambda parts: [part.with_header("Content-Type", named) for part in parts])
    with serving_slide(slide, lie) as each:
        check_slide(each.url, slide)


# --- success that is a refusal ---


@pytest.mark.parametrize(
    "instead",
    [
        lambda _: Reply(200, "application/dicom", bytes(128) + b"DICM"),
        lambda _: enclosed(bytes(128) + b"DICM"),
        lambda _: Reply(200, "application/json", b'{"error": 5}'),
        lambda request: multipart([max(asked(request)) + 1], bodies={}),
        lambda _: Reply(200, "multipart/related; boundary=xyz", b"--xyz\r\nContent-Length: x\r\n\r\n"),
        lambda _: multipart([1], instance="1.9"),
    ],
)
@pytest.mark.parametrize("numbers", [(2,), (2, 3)])
def test_another_thing_with_a_status_of_success_is_a_refusal(instead: Any, numbers: tuple[int, ...]) -> None:
    server = Server(frames=instead)
    outcome = asyncio.run(fetch(connect(server), *numbers))
    check(outcome, *numbers)
    assert server.wholes == 1
    assert len(server.lists) <= 20


def one_frame_for_all(request: Request) -> Reply:
    return Reply(200, "application/octet-stream", FRAMES[0]) if len(asked(request)) == 1 else Reply(404)


def first_for_each(request: Request) -> Reply:
    bodies = dict.fromkeys(range(1, 20), FRAMES[0])
    return multipart(asked(request), located=False, media="application/octet-stream", bodies=bodies)


@pytest.mark.parametrize("frames", [one_frame_for_all, first_for_each])
@pytest.mark.parametrize("numbers", [(2,), (1,), (1, 2, 3, 10)])
def test_a_server_that_gives_one_frame_for_each_number_is_found_out(frames: Any, numbers: tuple[int, ...]) -> None:
    server = Server(frames=frames)
    client = connect(server)
    check(asyncio.run(fetch(client, *numbers, number_of_frames=10)), *numbers)
    assert server.wholes == 1


@pytest.mark.parametrize("odd", [{}, {0: 1}, {0: 10}, {0: 1, 11: 10}, {11: 10}])
def test_a_server_that_heeds_numbers_is_asked_for_what_cannot_be_there_once(odd: dict[int, int]) -> None:
    def frames(request: Request) -> Reply:
        numbers = [odd.get(number, number) for number in asked(request)]
        there = len(numbers) == 1 and 1 <= numbers[0] <= 10
        return Reply(200, "application/octet-stream", FRAMES[numbers[0] - 1]) if there else Reply(404)

    server = Server(frames=frames)
    client = connect(server)
    for numbers in ((1, 2, 3), (4, 5)):
        check(asyncio.run(fetch(client, *numbers, number_of_frames=10)), *numbers)
    assert (server.lists.count("0"), server.lists.count("11")) == (1, 1)
    assert not server.wholes


def from_zero(*, named: bool, beyond: int | None = None, silent: bool = False) -> Callable[[Request], Reply]:
    """Frames of a server that counts from 0; one that is not there is refused, left out, or another in its place."""

    def frames(request: Request) -> Reply:
        numbers = [beyond if beyond is not None and number > 9 else number for number in asked(request)]
        if max(numbers) > 9 and not silent:
            return Reply(404)
        bodies = {number: FRAMES[place] for number, place in zip(asked(request), numbers, strict=True) if place <= 9}
        return multipart(list(bodies), located=named, media="application/octet-stream", bodies=bodies)

    return frames


@pytest.mark.parametrize("numbers", [(1, 2, 3), (4,), (9, 10), (10,), tuple(range(1, 11))])
@pytest.mark.parametrize("beyond", [None, 9, 0])
def test_a_server_that_counts_from_zero_gives_no_wrong_frame(beyond: int | None, numbers: tuple[int, ...]) -> None:
    server = Server(frames=from_zero(named=False, beyond=beyond))
    client = connect(server)
    check(asyncio.run(fetch(client, *numbers, number_of_frames=10)), *numbers)
    check(asyncio.run(fetch(client, 2, 10, number_of_frames=10)), 2, 10)
    assert server.wholes == 1


def test_a_list_that_counts_from_zero_and_lacks_the_last_gives_no_wrong_frame() -> None:
    numbers = tuple(range(1, 11))
    server = Server(frames=from_zero(named=False, silent=True))
    check(asyncio.run(fetch(connect(server), *numbers, number_of_frames=10)), *numbers)


def test_names_of_a_server_that_counts_from_zero_are_doubted_once_it_refuses_the_last() -> None:
    numbers = tuple(range(1, 11))
    server = Server(frames=from_zero(named=True))
    check(asyncio.run(fetch(connect(server), *numbers, number_of_frames=10)), *numbers)


def test_that_a_server_counts_from_zero_is_told_where_it_shows_too_late() -> None:
    server = Server(frames=from_zero(named=True))
    client = connect(server)
    asyncio.run(fetch(client, 1, number_of_frames=10))  # nothing speaks against it
    outcome = asyncio.run(fetch(client, 10, number_of_frames=10))
    assert type(outcome.failures[10]) is InvalidReplyError
    assert "counts frames from 0" in str(outcome.failures[10])
    assert "invalidate_cache" in outcome.failures[10].remedy
    numbers = tuple(range(1, 11))
    check(asyncio.run(fetch(client, *numbers, number_of_frames=10)), *numbers)


def test_a_count_that_cannot_be_asked_for_now_is_asked_for_next_time() -> None:
    busy = [503, 503]

    def frames(request: Request) -> Reply:
        if asked(request) == [0] and busy:
            return Reply(busy.pop())
        return from_zero(named=False)(request)

    server = Server(frames=frames)
    client = connect(server)
    for _ in range(3):
        outcome = asyncio.run(fetch(client, 1, number_of_frames=10))
    check(outcome, 1)


@pytest.mark.parametrize(("status", "instances"), [(404, 2), (400, 8)])
def test_slices_of_a_server_without_frames_are_not_asked_for_singly_for_ever(status: int, instances: int) -> None:
    uids = [f"1.{number}" for number in range(1, 13)]
    server = Server(lambda _: Reply(status), lambda request: enclosed(stored(uid=request.url.rpartition("/")[2])))
    client = connect(server)

    async def run() -> None:
        for uid in uids:
            check(await fetch(client, 1, instance=uid, number_of_frames=1), 1)

    asyncio.run(run())
    assert len({path.partition("/")[0] for path in server.asked_for if "/frames/" in path}) == instances
    assert server.wholes == len(uids)


def test_frames_that_name_their_number_are_not_doubted() -> None:
    server = Server(frames=right)
    check(asyncio.run(fetch(connect(server), 3, number_of_frames=10)), 3)
    assert server.lists == ["3"]


# --- metadata ---

ITEMS = {
    uid: {
        "00080018": {"vr": "UI", "Value": [uid]},
        "00280010": {"vr": "US", "Value": [2]},
        "00280011": {"vr": "US", "Value": [4]},
        "00280100": {"vr": "US", "Value": [8]},
        "00280103": {"vr": "US", "Value": [0]},
    }
    for uid in ("1.1", "1.2", "1.3")
}


def metadata_of(series: Reply, found: Reply | None = None) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """What is made of a reply, by a server that has the three instances otherwise."""
    listing = json.dumps([{"00080018": item["00080018"]} for item in ITEMS.values()]).encode()

    def answer(request: Request) -> Reply:
        if "/instances?" in request.url:
            return found or Reply(200, "application/dicom+json", listing)
        if "/instances/" in request.url:
            item = ITEMS[request.url.split("/")[-2]]
            return Reply(200, "application/dicom+json", json.dumps([item]).encode())
        return series

    class Whole(FakeServer):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            yield self.answer(request)  # type: ignore[misc]

    found_metadata = asyncio.run(connect_frames(Whole(answer)).series_metadata(STUDY, SERIES))
    return json.loads(found_metadata.body), found_metadata.notices


def test_one_object_counts_as_a_list_of_one() -> None:
    body = json.dumps(ITEMS["1.1"]).encode()
    assert metadata_of(Reply(200, "application/dicom+json", body + b"\0")) == ([ITEMS["1.1"]], ())
    with pytest.raises(InvalidReplyError):
        metadata_of(Reply(200, "application/dicom+json", b'{"data": [' + body + b"]}"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, 'multipart/related; type="application/dicom+xml"; boundary=x', b"--x\r\n\r\n<a/>\r\n--x--"),
        Reply(200, "application/dicom+xml", b"<?xml version='1.0'?><a/>"),
        Reply(200, "application/dicom+json", b"[]"),
        Reply(204),
        Reply(422),
    ],
)
def test_metadata_of_a_series_that_come_otherwise_are_asked_for_by_instances(reply: Reply) -> None:
    assert metadata_of(reply)[0] == list(ITEMS.values())


MORE = '299 server "There are 2, of 4"'
ODD = '214 proxy "Changed, by \\"299\\", 299 times"'


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        ([MORE], True),
        ([MORE, ODD], True),
        ([ODD, MORE], True),
        ([f"{ODD}, {MORE}"], True),
        ([f"{ODD},{MORE},{ODD}"], True),
        (["299 {+service}: There are 2 additional results"], True),
        ([ODD], False),
        ([ODD, "110 - stale", "2990 - x"], False),
    ],
)
def test_that_there_is_more_is_read_in_every_warning(lines: list[str], *, more: bool) -> None:
    async def speak(head: bytes, writer: asyncio.StreamWriter) -> None:
        start = 2 if b"offset=2" in head else 0
        warnings = "" if start else "".join(f"Warning: {line}\r\n" for line in lines)
        body = json.dumps([study(start), study(start + 1)]).encode()
        writer.write(f"HTTP/1.1 200 OK\r\n{warnings}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def run() -> list[dict[str, Any]]:
        async with raw_server.speaking(speak) as base, connected(base) as client:
            return await client.search("studies")

    assert len(asyncio.run(run())) == (4 if more else 2)


@pytest.mark.parametrize("partial", [Reply(206), Reply(200, extra={"warning": '299 s "more"'})])
def test_metadata_that_are_a_part_are_completed(partial: Reply) -> None:
    partial.content_type = "application/dicom+json"
    partial.body = json.dumps([ITEMS["1.2"]]).encode()
    items, notices = metadata_of(partial)
    assert items == [ITEMS["1.2"], ITEMS["1.1"], ITEMS["1.3"]]
    assert len(notices) == 1
    with pytest.raises(InvalidReplyError, match="a part of the metadata"):
        metadata_of(partial, Reply(404))


def test_texts_in_another_character_set_hide_no_series() -> None:
    agent = {"00180010": {"vr": "LO", "Value": ["X\ufffdn\ufffdtix"]}}
    told = [item | agent for item in ITEMS.values()]
    body = json.dumps(told, ensure_ascii=False).replace("\ufffd", "\xe9").encode("latin-1")
    assert metadata_of(Reply(200, "application/dicom+json", body)) == (told, ())


def test_nothing_anywhere_is_absent() -> None:
    nothing = Reply(200, "application/dicom+json", b"[]")
    with pytest.raises(SeriesNotFoundError):
        metadata_of(nothing, nothing)


def test_values_that_are_named_by_an_internal_host_are_asked_of_the_server() -> None:
    server = FakeServer(lambda _: Reply(200, "application/octet-stream", b"table"))
    own = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/bulk/1"
    client = connect_frames(server)

    async def bulk(uri: str) -> bytes:
        return await client.bulk_data(STUDY, SERIES, uri, instance=INSTANCE)

    class Within(FakeServer):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            self.requests.append(request)
            yield Reply(200, "application/octet-stream", b"table")

    within = Within(server.answer)
    client = connect_frames(within)
    for uri in (f"http://pacs.internal:8042/dicom-web{own}", f"https://10.0.0.1{own}", f"http://server.example{own}"):
        assert asyncio.run(bulk(uri)) == b"table"
    assert [request.url for request in within.requests] == [f"{BASE}{own}"] * 3
    with pytest.raises(InvalidReplyError, match="bulk_data_hosts"):
        asyncio.run(bulk("https://elsewhere.example/studies/1.9/table"))
    assert len(within.requests) == 3


# --- searches ---


@pytest.mark.parametrize("most", [3, 10, 150])
def test_a_server_that_gives_fewer_at_once_in_silence_is_asked_for_the_rest(most: int) -> None:
    studies = [study(number) for number in range(2 * most + 1)]
    server = FakeServer(paging(studies, most))
    assert search(server) == studies
    assert len(server.requests) == 3


def test_what_is_shorter_than_a_page_that_came_is_whole() -> None:
    pages = iter([30, 0, 12, 2])

    def answer(_: Request) -> Reply:
        return Reply(200, "application/dicom+json", json.dumps([study(each) for each in range(next(pages))]).encode())

    client = connect_frames(FakeServer(answer))
    found = [len(asyncio.run(client.search("studies"))) for _ in range(3)]
    assert found == [30, 12, 2]


def test_a_server_without_offsets_or_limits_is_asked_for_everything() -> None:
    studies = [study(number) for number in range(450)]

    def without_offset(request: Request) -> Reply:
        page = studies[:200] if "limit" in request.url else studies
        return Reply(200, "application/dicom+json", json.dumps(page).encode())

    def without_limit(request: Request) -> Reply:
        return Reply(400) if "limit" in request.url else without_offset(request)

    def refusing_offsets(request: Request) -> Reply:
        return (
            Reply(400) if "offset" in request.url else Reply(200, "application/json", json.dumps(studies[:9]).encode())
        )

    assert search(FakeServer(without_offset)) == studies
    assert search(FakeServer(without_limit)) == studies
    assert search(FakeServer(refusing_offsets)) == studies[:9]
    with pytest.raises(HTTPStatusError) as caught:
        search(FakeServer(lambda _: Reply(400)))
    assert caught.value.status == 400


def at_most(studies: list[dict[str, Any]], most: int, *, refuses: str = "") -> Callable[[Request], Reply]:
    """A server that refuses a higher limit, gives as many without one, and may refuse something else."""

    def answer(request: Request) -> Reply:
        query = dict(item.split("=") for item in request.url.partition("?")[2].split("&") if item)
        if int(query.get("limit", most)) > most or (refuses and refuses in request.url and "limit" not in query):
            return Reply(400)
        start = int(query.get("offset", 0))
        page = studies[start : start + int(query.get("limit", most))]
        return Reply(200, "application/dicom+json", json.dumps(page).encode())

    return answer


@pytest.mark.parametrize("refuses", ["", "offset"])
@pytest.mark.parametrize(("wanted", "skip"), [(None, 0), (None, 130), (300, 0), (300, 130), (300, 400)])
def test_a_server_that_refuses_long_pages_is_asked_for_its_own(refuses: str, wanted: int | None, skip: int) -> None:
    studies = [study(number) for number in range(450)]
    for server in (at_most(studies, 100, refuses=refuses), at_most(studies, 150, refuses=refuses)):
        found = search(FakeServer(server), wanted=wanted, skip=skip)
        assert found == studies[skip:][:wanted]
    with_include = FakeServer(at_most(studies, 100))
    assert search(with_include, parameters={"includefield": "00201206"}) == studies
    assert "includefield" in with_include.requests[-1].url


def test_a_page_is_judged_by_others_of_its_kind() -> None:
    def answer(request: Request) -> Reply:
        return paging([study(number) for number in range(450)], 100 if "/series" in request.url else 1000)(request)

    client = connect_frames(FakeServer(answer))
    assert len(asyncio.run(client.search("studies"))) == 450
    assert len(asyncio.run(client.search("studies/1.2/series"))) == 450


def shuffled(request: Request) -> Reply:
    studies = [study(number) for number in range(450)]
    Random(request.url).shuffle(studies)
    return paging(studies)(request)


def first_hundred(_: Request) -> Reply:
    return Reply(200, "application/dicom+json", json.dumps([study(number) for number in range(100)]).encode())


@pytest.mark.parametrize("odd", [shuffled, first_hundred])
def test_results_that_may_be_missing_are_told_once(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = connect_frames(FakeServer(odd))
    for _ in range(2):
        asyncio.run(client.search("studies"))
    assert [record.getMessage().partition(" gave ")[0] for record in caplog.records] == ["server.example"]
    assert "may be missing" in caplog.text


@pytest.mark.parametrize("count", [7, 37, 201])
def test_a_server_that_knows_no_pages_is_believed(count: int, caplog: pytest.LogCaptureFixture) -> None:
    studies = [study(number) for number in range(count)]
    everything = Reply(200, "application/dicom+json", json.dumps(studies).encode())
    doubled = [each for each in studies for _ in range(2)]
    assert search(FakeServer(lambda _: everything)) == studies
    for most in (11, 1000):
        assert search(FakeServer(paging(doubled, most))) == studies
    assert not caplog.records


@pytest.mark.parametrize("count", [None, 100, 450])
def test_a_list_of_instances_is_compared_with_their_number(count: int | None) -> None:
    uids = [f"1.9.{number}" for number in range(1, 101)]

    def answer(request: Request) -> Reply:
        path, _, query = request.url.partition("?")
        uid = path.split("/")[-2]
        found: list[dict[str, Any]] = [{"00080018": {"vr": "UI", "Value": [each]}} for each in uids]
        if uid in uids:
            found = [{**ITEMS["1.1"], "00080018": {"vr": "UI", "Value": [uid]}}]
        elif path.endswith("/metadata"):
            return Reply(404)
        elif path.endswith("/series"):
            assert f"SeriesInstanceUID={SERIES}" in query
            value = {} if count is None else {"00201209": {"vr": "IS", "Value": [count]}}
            found = [{"0020000E": {"vr": "UI", "Value": [SERIES]}, **value}]
        return Reply(200, "application/dicom+json", json.dumps(found).encode())

    metadata = asyncio.run(connect(Server(whole=answer)).series_metadata(STUDY, SERIES))
    assert len(json.loads(metadata.body)) == 100
    said = {None: "may be missing", 450: "has 450 instances, and a search found 100"}
    assert [said[count] in notice for notice in metadata.notices] == [True] * (count != 100)


def test_a_server_that_knows_nothing_to_include_is_asked_without() -> None:
    server = FakeServer(lambda request: Reply(400) if "include" in request.url else paging([study(1)])(request))
    parameters = {"includefield": "00080061", "PatientID": "1"}
    assert search(server, parameters=parameters) == [study(1)]
    assert "PatientID=1" in server.requests[-1].url


def test_not_found_may_mean_that_nothing_matches() -> None:
    server = FakeServer(lambda request: Reply(404) if "PatientID" in request.url else paging([study(1)])(request))
    assert search(server, parameters={"PatientID": "1"}) == []
    with pytest.raises(NotFoundError):
        search(FakeServer(lambda _: Reply(404)), parameters={"PatientID": "1"})


def test_names_in_another_character_set_hide_no_study() -> None:
    body = (
        b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00100010": {"vr": "PN", "Value": [{"Alphabetic": "D\xf6"}]}}]'
    )
    (found,) = search(FakeServer(lambda _: Reply(200, "application/dicom+json", body)))
    assert found["0020000D"]["Value"] == ["1.2"]
    assert found["00100010"]["Value"] == [{"Alphabetic": "D\ufffd"}]


# --- HTTP ---


def test_a_page_of_a_proxy_is_the_failure_that_it_tells_of() -> None:
    page = Reply(200, "text/html", b"<html><head><title>502 Bad Gateway</title></head>" + bytes(9000))
    replies = iter([page, page])
    outcome, _ = fetch_from(lambda request: next(replies, None) or multipart(asked(request)), 1, 2)
    outcome.check(1, 2)
    outcome, _ = fetch_from(lambda _: page, 1)
    assert type(outcome.failures[1]) is ServerFailureError
    outcome, _ = fetch_from(lambda _: Reply(200, "text/html", b"<title>Gateway of our hospital: log in"), 1)
    assert type(outcome.failures[1]) is LoginPageError


def test_cookies_of_the_server_open_its_door_and_stay_with_it() -> None:
    seen: dict[str, list[str]] = {"own": [], "other": []}

    async def other(request: web.Request) -> web.Response:
        seen["other"].append(request.headers.get("Cookie", ""))
        return web.Response(body=b'[{"x": 1}]', headers={"Set-Cookie": "other=1"})

    async def run() -> None:
        async with serving(other) as elsewhere:

            async def own(request: web.Request) -> web.Response:
                cookies = request.headers.get("Cookie", "")
                seen["own"].append(cookies)
                if "metadata" in request.path and "ticket=1" in cookies:
                    raise web.HTTPFound(f"{elsewhere}/metadata")
                raise web.HTTPFound(request.path, headers={"Set-Cookie": "ticket=1; Path=/; HttpOnly"})

            async with serving(own) as base, connected(base, headers={"Cookie": "mine=2"}) as client:
                await client.series_metadata(STUDY, SERIES)
                await client.series_metadata(STUDY, SERIES)

    asyncio.run(run())
    assert seen["own"] == ["mine=2", "mine=2; ticket=1", "mine=2; ticket=1"]
    assert set(seen["other"]) == {""}


def test_cookies_of_a_session_that_has_ended_are_dropped() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie", ""))
        if len(seen) == 2:
            return web.Response(status=401)
        return web.Response(body=b'[{"x": 1}]', headers={"Set-Cookie": f"session={len(seen)}; Path=/"})

    async def run() -> None:
        async with serving(handler) as base, connected(base) as client:
            await client.series_metadata(STUDY, SERIES)
            with pytest.raises(AuthenticationError):
                await client.series_metadata(STUDY, SERIES)
            await client.series_metadata(STUDY, SERIES)

    asyncio.run(run())
    assert seen == ["", "session=1", ""]


def test_few_and_short_cookies_are_kept() -> None:
    cookies = ServerCookies()
    cookies.keep("http://127.0.0.1:5/a", ["long=" + "x" * 5000, "bad=\x01"])
    assert cookies.along("http://127.0.0.1:5/a", {}) == {}
    cookies.keep("http://127.0.0.1:5/a", ["a=1; Path=/deep", "b=2; Path=/", "c=3; Secure"])
    assert cookies.along("http://127.0.0.1:5/a", {"x": "y"}) == {"x": "y", "cookie": "b=2"}
    cookies.keep("http://127.0.0.1:5/a", ["b=; Max-Age=0; Path=/"])
    assert cookies.along("http://127.0.0.1:5/a", {}) == {}
    cookies.keep("http://127.0.0.1:5/", [f"n{number}=1" for number in range(1000)])
    assert cookies.along("http://127.0.0.1:5/", {}) == {}


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        # As much as aiohttp tells.
        (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\4\0\1\0\0\0\5\0\0\x40\0", "HTTP/2 only|no HTTP"),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]", "two lengths"),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]", "two lengths"),
        (OK + b"X: " + b"x" * 100_000 + b"\r\n\r\n[]", "longer than 64 KiB"),
        (b"220 mail.example ESMTP\r\n", "no HTTP"),
    ],
)
def test_what_is_no_http_that_can_be_read_is_named(reply: bytes, said: str) -> None:
    async def run() -> None:
        async with speaking(reply) as base, connected(base) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(ConnectionFailedError, match=said) as caught:
        asyncio.run(run())
    assert caught.value.remedy


def test_long_headers_are_read() -> None:
    async def run() -> bytes:
        head = OK + b"Content-Security-Policy: " + b"x" * 30_000 + b"\r\nContent-Length: 10\r\n\r\n"
        async with speaking(head + b'[{"x": 1}]') as base, connected(base) as client:
            return (await client.series_metadata(STUDY, SERIES)).body

    assert asyncio.run(run()) == b'[{"x": 1}]'


def test_a_server_that_breaks_the_connections_of_too_many_is_asked_by_fewer() -> None:
    class Narrow(FakeServer):
        open = 0
        broken = 0

        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Reply]:
            self.open += 1
            try:
                await asyncio.sleep(0)
                if self.open > 2:
                    self.broken += 1
                    raise ConnectionDroppedError("gone")
                for _ in range(3):
                    await asyncio.sleep(0)
                yield self.answer(request)  # type: ignore[misc]
            finally:
                self.open -= 1

    server = Narrow(lambda request: multipart(asked(request)))
    client = connect_frames(server)

    async def run() -> None:
        for outcome in await asyncio.gather(*(fetch_frames(client, number) for number in range(1, 65))):
            outcome.check(*outcome.frames)
            assert not outcome.failures

    asyncio.run(run())
    assert server.broken < 64


def test_broken_connections_of_few_are_chance() -> None:
    pacing = Pacing(8, 60)
    for _ in range(40):
        pacing.succeed(pacing.epoch)
    for _ in range(3):
        pacing.drop(pacing.epoch)
    assert pacing.connections == 8
    for _ in range(8):
        pacing.drop(pacing.epoch)
    assert pacing.connections == 4


def test_at_once_is_not_believed_twice() -> None:
    pauses = Pauses()
    replies = Counter[int]()

    def answer(_: Request) -> Reply:
        replies[503] += 1
        return Reply(503, extra={"retry-after": "0"})

    client = client_of(BASE, transport=FakeServer(answer), sleep=pauses, clock=pauses.clock, timeout=10)
    outcome = asyncio.run(fetch_frames(client, 1))
    assert outcome.failures
    assert replies[503] < 10


# --- logins ---


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_is_that_of_the_standard(algorithm: str, response: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7616 section 3.9.1."""
    own = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr(login.secrets, "token_hex", lambda _: own)
    challenge = (
        f'Negotiate, Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm},'
        ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    refused = Rejected(401, BASE, challenge, {"authorization": "Basic eDp5"})
    credentials = login.LoginCredentials({"x-a": "b"}, "Mufasa", "Circle of Life")
    url = "https://www.example.org/dir/index.html"
    headers = asyncio.run(credentials.headers_for(url, {}, refused=refused))
    assert headers["x-a"] == "b"
    for part in (f'response="{response}"', "nc=00000001", 'uri="/dir/index.html"', f'cnonce="{own}"', "qop=auth"):
        assert part in headers["authorization"]
    assert "nc=00000002" in asyncio.run(credentials.headers_for(url, {}))["authorization"]


@pytest.mark.parametrize("stale", [False, True])
def test_a_password_is_hashed_anew_only_for_a_nonce_that_is_too_old(*, stale: bool) -> None:
    challenge = f'Digest realm="r", nonce="n2"{", stale=true" if stale else ""}'
    sent = {"authorization": "Digest ..."}
    credentials = login.LoginCredentials({}, "user", "password")
    again = asyncio.run(credentials.headers_for(BASE, {}, refused=Rejected(401, BASE, challenge, sent)))
    assert (again == sent) is not stale


@pytest.mark.parametrize(
    ("challenges", "said"),
    [
        (["Negotiate", "NTLM"], r"Negotiate or NTLM\. Logins of Windows domains are not spoken"),
        (['Digest realm="r", nonce="n", algorithm=X'], "asks for Digest"),
        (['Bearer realm="Doe"'], "asks for Bearer"),
    ],
)
def test_an_error_says_what_kind_of_login_is_wanted(challenges: list[str], said: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        reply = web.Response(status=401)
        for each in challenges:
            reply.headers.add("WWW-Authenticate", each)
        return reply

    async def run() -> None:
        async with serving(handler) as base, connected(base) as client:
            await client.series_metadata(STUDY, SERIES)

    with pytest.raises(AuthenticationError, match=said) as caught:
        asyncio.run(run())
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("user", ["user", "m\u00fcller"])
@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_digest_hashes_the_bytes_of_the_server(coding: str, user: str) -> None:
    place = "Universit\u00e4t"
    realm = place.encode(coding)
    challenge = b'Digest realm="%s", opaque="%s", nonce="%s", qop="auth"' % (realm, realm, realm)
    logins: list[dict[str, str]] = []

    async def speak(head: bytes, writer: asyncio.StreamWriter) -> None:
        sent = re.findall(r"(?i)authorization: (.*)", head.decode())[0]
        if not sent.startswith("Digest"):
            writer.write(b"HTTP/1.1 401 No\r\nWWW-Authenticate: %s\r\nContent-Length: 0\r\n\r\n" % challenge)
            return
        logins.append(dict(re.findall(r'(\w+)="(.*?)"', sent)))
        writer.write(raw_server.reply(b'[{"x": 1}]'))

    async def run() -> None:
        async with raw_server.speaking(speak) as base, connected(base, auth=(user, "p\u00e4ss")) as client:
            await client.series_metadata(STUDY, SERIES)

    def hashed(*texts: bytes) -> bytes:
        return hashlib.md5(b":".join(texts), usedforsecurity=False).hexdigest().encode()

    asyncio.run(run())
    (told,) = logins
    assert (told["username"], told["realm"], told["opaque"]) == (user, place, place)
    secret, what = hashed(user.encode(), realm, "p\u00e4ss".encode()), hashed(b"GET", told["uri"].encode())
    assert told["response"].encode() == hashed(secret, realm, b"00000001", told["cnonce"].encode(), b"auth", what)


def test_a_login_becomes_digest_when_that_is_asked_for() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"].partition(" ")[0])
        if seen[-1] == "Digest":
            return web.Response(body=b'[{"x": 1}]', content_type="application/dicom+json")
        return web.Response(status=401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n"'})

    async def run() -> None:
        async with serving(handler) as base, connected(base, auth=("user", "password")) as client:
            for _ in range(2):
                await client.series_metadata(STUDY, SERIES)

    asyncio.run(run())
    assert seen == ["Basic", "Digest", "Digest"]

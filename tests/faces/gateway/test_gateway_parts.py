"""The pure parts of the gateway: paths, conditions, who may ask."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict, MultiDict

from dicomzarr.errors import (
    AuthenticationError,
    FrameNotFoundError,
    InvalidURLError,
    MissingFileError,
    RateLimitedError,
    RequestTimeoutError,
    SeriesChangedError,
    SeriesNotFoundError,
    UnsupportedSeriesError,
    UsageError,
)
from dicomzarr.faces.gateway.addresses import Address, address_of, segments_of
from dicomzarr.faces.gateway.conditions import Selection, select
from dicomzarr.faces.gateway.guard import Guard, cookie_of
from dicomzarr.faces.gateway.listings import listing
from dicomzarr.faces.gateway.metrics import Metrics, text_of
from dicomzarr.faces.gateway.refusals import RefusedError, refusal_of
from dicomzarr.faces.gateway.rows import SERIES, STUDIES, read_query, row_of
from dicomzarr.faces.gateway.turns import Budget, ThumbnailTurns
from dicomzarr.faces.gateway.upstreams import Upstream, Upstreams, names_for
from dicomzarr.session.kinds import parse_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# --- paths ---


@pytest.mark.parametrize(
    "path",
    [
        "/0.5/studies/../..",
        "/0.5/./studies",
        "/0.5//studies",
        "//evil.example/0.5",
        "/0.5/studies/1.2%2Fseries",
        "/0.5/studies/%2e%2e/x",
        "/0.5/studies/%252e%252e",
        "/0.5/studies/1.2\\..",
        "/0.5/studies/1.2%5C..",
        "/0.5/studies/1.2%00",
        "/0.5/studies/1.2%0d%0aX:1",
        "/0.5/studies/1.2;x=1",
        "/0.5/studies/1.2@evil.example",
        "/0.5/studies/http:%2F%2Fevil.example",
        "/0.5/studies/\uff11.\uff12",
        "/0.5/studies/%FF",
        "/0.5/studies/1.2#x",
        "/" + "1" * 3000,
        "http://evil.example/",
        "*",
        "",
    ],
)
def test_what_no_segment_may_hold_names_nothing(path: str) -> None:
    with pytest.raises(RefusedError) as refused:
        segments_of(path)
    assert refused.value.refusal.status == 404


def test_segments_are_decoded_once_and_a_slash_at_the_end_is_told() -> None:
    assert segments_of("/0.5/studies/1.2%2B3/") == (("0.5", "studies", "1.2+3"), True)
    assert segments_of("/0.5/studies/1.2") == (("0.5", "studies", "1.2"), False)
    assert segments_of("/") == ((), True)


ONE, TWO = {"a": "A"}, {"a": "A", "b": "B"}


@pytest.mark.parametrize(
    ("path", "upstreams", "expected"),
    [
        ("", ONE, Address("A")),
        ("", TWO, Address(None)),
        ("b", TWO, Address("B")),
        ("studies", ONE, Address("A", collection="studies")),
        ("a/studies/1.2", TWO, Address("A", "1.2")),
        ("studies/1.2/series", ONE, Address("A", "1.2", collection="series")),
        ("b/studies/1.2/series/3.4.zarr/0/c/0", TWO, Address("B", "1.2", "3.4", "0/c/0")),
        ("a/studies/1.2/series/3.4", ONE, Address("A", "1.2", "3.4")),
    ],
)
def test_what_a_path_names(path: str, upstreams: dict[str, str], expected: Address[str]) -> None:
    assert address_of(path.split("/") if path else [], upstreams) == expected


@pytest.mark.parametrize(
    ("path", "upstreams"),
    [
        ("studies/1.2", TWO),
        ("c/studies/1.2", TWO),
        ("b/a/studies", TWO),
        ("studies/name/series/3.4", ONE),
        ("studies/1.2/series/.zarr", ONE),
        ("studies/1.2/instances/3", ONE),
        ("studies/1.2/series/name.zarr/zarr.json", ONE),
    ],
)
def test_a_path_without_a_meaning_names_nothing(path: str, upstreams: dict[str, str]) -> None:
    with pytest.raises(RefusedError):
        address_of(path.split("/"), upstreams)


def test_a_series_is_never_looked_for_in_an_upstream_that_was_not_named() -> None:
    with pytest.raises(RefusedError, match="name one"):
        address_of(["studies", "1.2", "series", "3.4.zarr"], TWO)


def test_upstreams_have_stable_names_of_their_own() -> None:
    urls = [
        parse_url(text)
        for text in (
            "dicomweb://host:8042/dicom-web",
            "dicomweb://host:8042/other",
            "dicomfile:///data/Küste x",
            "dicomfile:///studies",
        )
    ]
    assert names_for(urls, [None] * 4) == ["host-8042", "host-8042-2", "k-ste-x", "upstream"]
    assert names_for(urls[:2], [None, "host-8042"]) == ["host-8042-2", "host-8042"]


@pytest.mark.parametrize("name", ["studies", "", "A", "a/b", "..", "-a", "a" * 80])
def test_a_name_is_one_plain_word(name: str) -> None:
    with pytest.raises(UsageError):
        Upstreams([Upstream(name, parse_url("dicomweb://h/b"), {})])


def test_an_upstream_is_a_whole_server_with_a_name_of_its_own() -> None:
    with pytest.raises(UsageError, match="study or series"):
        Upstreams([Upstream("a", parse_url("dicomweb://h/b/studies/1.2"), {})])
    with pytest.raises(UsageError, match="named a"):
        Upstreams([Upstream("a", parse_url("dicomweb://h/b"), {}), Upstream("a", parse_url("dicomweb://g/b"), {})])
    with pytest.raises(UsageError):
        Upstreams([])


# --- conditions and ranges ---

TAG = '"tag"'


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Selection(200, 0, 10)),
        ({"Range": "bytes=0-3"}, Selection(206, 0, 4)),
        ({"Range": "bytes=4-"}, Selection(206, 4, 10)),
        ({"Range": "bytes=-3"}, Selection(206, 7, 10)),
        ({"Range": "bytes=-30"}, Selection(206, 0, 10)),
        ({"Range": "bytes=8-99"}, Selection(206, 8, 10)),
        ({"Range": "BYTES=9-9"}, Selection(206, 9, 10)),
        ({"Range": "bytes=10-"}, Selection(416)),
        ({"Range": "bytes=-0"}, Selection(416)),
        ({"Range": "bytes=0-1,3-4"}, Selection(416)),
        ({"Range": "bytes=5-4"}, Selection(200, 0, 10)),
        ({"Range": "bytes=-"}, Selection(200, 0, 10)),
        ({"Range": "bytes=+1-2"}, Selection(200, 0, 10)),
        ({"Range": "bytes=\u0661-\u0662"}, Selection(200, 0, 10)),
        ({"Range": "bytes=" + "9" * 40 + "-"}, Selection(200, 0, 10)),
        ({"Range": "lines=0-1"}, Selection(200, 0, 10)),
        ({"Range": "bytes=0-3", "If-Range": TAG}, Selection(206, 0, 4)),
        ({"Range": "bytes=0-3", "If-Range": '"other"'}, Selection(200, 0, 10)),
        ({"Range": "bytes=0-3", "If-Range": "Sat, 29 Oct 1994 19:43:31 GMT"}, Selection(200, 0, 10)),
        ({"If-None-Match": TAG}, Selection(304)),
        ({"If-None-Match": '"x", W/"tag"'}, Selection(304)),
        ({"If-None-Match": "*"}, Selection(304)),
        ({"If-None-Match": '"x"', "Range": "bytes=0-0"}, Selection(206, 0, 1)),
        ({"If-None-Match": TAG, "Range": "bytes=99-"}, Selection(304)),
        ({"If-None-Match": '"a,*,tag"'}, Selection(200, 0, 10)),
        ({"If-None-Match": '*, "x"'}, Selection(200, 0, 10)),
        ({"If-None-Match": "tag"}, Selection(200, 0, 10)),
        ({"If-Match": '"x",W/"tag"'}, Selection(412)),
        ({"If-Match": ""}, Selection(412)),
    ],
)
def test_which_bytes_are_answered(headers: dict[str, str], expected: Selection) -> None:
    assert select(CIMultiDict(headers), TAG, 10, is_get=True) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("If-None-Match", '"x"'), ("If-None-Match", TAG)], Selection(304)),
        ([("If-None-Match", '"x"'), ("if-none-match", f'"y", W/{TAG}')], Selection(304)),
        ([("If-None-Match", '"x"'), ("If-None-Match", '"y"')], Selection(200, 0, 10)),
        ([("If-Match", '"x"'), ("If-Match", TAG)], Selection(200, 0, 10)),
        ([("If-Match", '"x"'), ("If-Match", '"y"')], Selection(412)),
        ([("Range", "bytes=0-3"), ("Range", "bytes=4-5")], Selection(200, 0, 10)),
        ([("Range", "bytes=0-3"), ("Range", "bytes=0-3")], Selection(200, 0, 10)),
        ([("Range", "bytes=0-3"), ("If-Range", TAG), ("If-Range", '"x"')], Selection(200, 0, 10)),
        ([("Range", "bytes=0-3"), ("If-Range", '"x"'), ("If-Range", TAG)], Selection(200, 0, 10)),
    ],
)
def test_all_lines_of_a_field_count(lines: list[tuple[str, str]], expected: Selection) -> None:
    assert select(CIMultiDict(lines), TAG, 10, is_get=True) == expected


def test_only_get_has_ranges() -> None:
    assert select(CIMultiDict({"Range": "bytes=0-3"}), TAG, 10, is_get=False) == Selection(200, 0, 10)


# --- who may ask ---

LOCAL = {"Host": "127.0.0.1:8080"}


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.9.9.9"])
def test_this_machine_may_ask(host: str) -> None:
    Guard().check("GET", {"Host": host}, authority=None)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("192.168.1.1", 421),
        ("10.0.0.1", 421),
        ("2130706433", 421),
        ("0x7f.1", 421),
        ("[::ffff:192.168.1.1]", 421),
        ("", 400),
        ("a b", 400),
        ("127.0.0.1@evil.example", 400),
        ("evil.example#127.0.0.1", 400),
        ("127.0.0.1:80:90", 400),
    ],
)
def test_another_host_is_refused(host: str, status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        Guard().check("GET", {"Host": host}, authority=None)
    assert refused.value.refusal.status == status


def test_a_target_and_a_host_that_differ_are_refused() -> None:
    Guard().check("GET", LOCAL, authority="127.0.0.1:8080")
    with pytest.raises(RefusedError):
        Guard().check("GET", LOCAL, authority="evil.example")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1", True),
        ("https://[::1]:3000", True),
        ("https://vizarr.example", True),
        ("https://vizarr.example.evil", False),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://user@localhost", False),
        ("http://localhost/", False),
        ("null", False),
        ("file://", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:  # noqa: FBT001  # a column
    guard = Guard(origins=frozenset({"https://vizarr.example"}))
    headers = {**LOCAL, "Origin": origin}
    assert ("Access-Control-Allow-Origin" in guard.cors(headers)) is allowed
    assert "Access-Control-Allow-Credentials" not in guard.cors(headers)
    if allowed:
        guard.check("GET", headers, authority=None)
        assert guard.cors(headers)["Access-Control-Allow-Origin"] == origin
    else:
        with pytest.raises(RefusedError):
            guard.check("GET", headers, authority=None)


def test_what_another_sites_page_embeds_is_refused() -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    ):
        with pytest.raises(RefusedError):
            Guard().check("GET", {**LOCAL, **headers}, authority=None)
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ):
        Guard().check("GET", {**LOCAL, **headers}, authority=None)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_nothing_is_changed_but_what_can_be(method: str) -> None:
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    with pytest.raises(RefusedError) as refused:
        Guard().check_writing(method, headers, writable=False)
    assert refused.value.refusal.status == 405
    Guard().check_writing(method, headers, writable=True)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "CONNECT", "TRACE", "get", "post"])
def test_nothing_but_reading(method: str) -> None:
    with pytest.raises(RefusedError) as refused:
        Guard().check(method, LOCAL, authority=None)
    assert refused.value.refusal.status == 405


def test_the_token_is_taken_from_three_places_and_no_other() -> None:
    guard = Guard(token="hush")  # noqa: S106  # made up
    guard.check_token({"Authorization": "Bearer hush"}, "", "")
    guard.check_token({"Authorization": "bearer  hush"}, "", "")
    guard.check_token({}, "hush", "")
    guard.check_token({}, "", "hush")
    for headers, query, cookie in (
        ({}, "", ""),
        ({"Authorization": "Basic hush"}, "", ""),
        ({"Authorization": "Bearer hus"}, "hush ", "Hush"),
        ({"Authorization": "Bearer \udce4"}, "ä", ""),
    ):
        with pytest.raises(RefusedError) as refused:
            guard.check_token(headers, query, cookie)
        assert refused.value.refusal.status == 401
        assert "hush" not in str(refused.value)


def test_each_port_of_a_host_has_a_cookie_of_its_own() -> None:
    hosts = ("127.0.0.1", "127.0.0.1:80", "127.0.0.1:8080", "[::1]", "[::1]:81", "pacs.example:82", "[fe80::10]")
    names = [cookie_of(host) for host in hosts]
    plain = "dicomzarr-token"
    assert names == [plain, f"{plain}-80", f"{plain}-8080", plain, f"{plain}-81", f"{plain}-82", plain]


# --- errors ---


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SeriesNotFoundError("x", status=404), 502),
        (FrameNotFoundError("x", status=404), 502),
        (MissingFileError("x"), 502),
        (AuthenticationError("x", status=401), 502),
        (RequestTimeoutError("x"), 504),
        (RateLimitedError("x", status=429, retry_after=7.2), 503),
        (SeriesChangedError("x"), 409),
        (UnsupportedSeriesError("x"), 502),
        (InvalidURLError("x"), 400),
    ],
)
def test_no_failure_is_absence(error: Any, status: int) -> None:
    refusal = refusal_of(error)
    assert refusal.status == status
    assert refusal.kind == type(error).__name__
    if status == 503:
        assert refusal.headers == {"Retry-After": "7"}


# --- listings and rows ---


def test_listings_are_escaped() -> None:
    page = listing('/0.5/"><script>', ["a/", "<b>&"], "offset=500").decode()
    assert "<script>" not in page
    assert '<li><a href="a/">a/</a></li>' in page
    assert '<li><a href="%3Cb%3E%26">&lt;b&gt;&amp;</a></li>' in page
    assert '<a href="?offset=500">' in page


def test_a_query_becomes_a_search() -> None:
    words = {"modality": "CT", "date": "2020-01-01-2020-12-31", "text": "knee", "limit": "5"}
    asked = read_query(STUDIES, MultiDict(words))
    (search,) = asked.searches
    assert search["ModalitiesInStudy"] == "CT"
    assert search["StudyDate"] == "20200101-20201231"
    assert search["StudyDescription"] == "*knee*"
    either = read_query(STUDIES, MultiDict([("modality", "CT"), ("modality", "MR"), ("modality", "CT")])).searches
    assert [search["ModalitiesInStudy"] for search in either] == ["CT", "MR"]
    assert (asked.limit, asked.offset) == (5, 0)
    assert not any(column.identifying for column in asked.columns)
    assert any(column.identifying for column in read_query(STUDIES, MultiDict({"phi": "1"})).columns)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "201"},
        {"limit": "-1"},
        {"offset": "x"},
        {"date": "soon"},
        {"text": "a\nb"},
        {"text": "x" * 65},
        {"q": "1"},
    ],
)
def test_a_query_that_means_nothing_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        read_query(STUDIES, MultiDict(query))


def test_a_row_without_a_usable_uid_is_left_out() -> None:
    columns = SERIES.columns
    assert row_of(SERIES, {"0020000E": {"vr": "UI", "Value": ["../.."]}}, columns) is None
    row = row_of(
        SERIES, {"0020000E": {"vr": "UI", "Value": ["1.2"]}, "00080060": {"vr": "CS", "Value": ["CT"]}}, columns
    )
    assert row == {"series": "1.2", "modality": "CT"}


def test_times_are_counted_as_a_histogram() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.2, 99.0):
        metrics.answered("chunk", 200, 10, seconds)
    lines = [
        line
        for line in text_of(metrics.samples([], {})).decode().splitlines()
        if line.startswith("dicomzarr_request_seconds")
    ]
    counts = [int(line.rpartition(" ")[2]) for line in lines if "bucket" in line]
    assert counts == [2, 2, 2, 3, 3, 3, 3, 4]
    assert lines[-1].endswith(" 4")
    assert lines[-2].endswith(" 99.206")


# --- turns ---


@asynccontextmanager
async def holding(budget: Budget, nbytes: int) -> AsyncIterator[None]:
    held = await budget.take(nbytes)
    try:
        yield
    finally:
        budget.give_back(held)


def test_bytes_are_handed_out_in_order_and_given_back() -> None:
    async def run() -> list[str]:
        budget, order = Budget(10), []

        async def work(name: str, nbytes: int, until: asyncio.Event) -> None:
            async with holding(budget, nbytes):
                order.append(name)
                await until.wait()

        gates = {name: asyncio.Event() for name in "abcd"}
        tasks = [asyncio.create_task(work(n, size, gates[n])) for n, size in zip("abcd", (6, 20, 3, 4), strict=True)]
        await asyncio.sleep(0)
        assert order == ["a"]  # b takes all there is, and c does not overtake it
        tasks[2].cancel()
        gates["a"].set()
        await asyncio.gather(tasks[0])
        await asyncio.sleep(0)
        assert order == ["a", "b"]
        for gate in gates.values():
            gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (budget.taken, budget.waiting) == (0, 0)
        return order

    assert asyncio.run(run()) == ["a", "b", "d"]


def test_who_is_cancelled_just_when_it_gets_its_turn_gives_it_back() -> None:
    async def run() -> None:
        budget = Budget(1)

        async def work() -> None:
            async with holding(budget, 1):
                pass

        async with holding(budget, 1):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (budget.taken, budget.waiting) == (0, 0)
        await work()

    asyncio.run(run())


def test_queues_are_bounded() -> None:
    async def run() -> None:
        budget = Budget(1, most_waiting=1)

        async def work() -> None:
            async with holding(budget, 1):
                pass

        async with holding(budget, 1):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            with pytest.raises(RefusedError) as refused:
                await work()
        assert refused.value.refusal.status == 503
        await task

    asyncio.run(run())


def test_thumbnails_wait_behind_frames_and_are_never_starved() -> None:
    async def run() -> None:
        turns, at_work, gate = ThumbnailTurns(), [], asyncio.Event()

        async def work(number: int) -> None:
            async with turns.thumbnail():
                at_work.append(number)
                await gate.wait()

        with turns.frame():
            tasks = [asyncio.create_task(work(number)) for number in range(4)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert at_work == [0]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert at_work == [0, 1]
        tasks[2].cancel()
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert at_work == [0, 1, 3]
        assert turns.waiting == 0

    asyncio.run(run())

"""Credentials that were refused, passwords that are new, and references that must not be followed."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from connecting import client_of, closed
from raw_server import reply, speaking

from dicomzarr.errors import AuthenticationError, ConnectionFailedError, DicomZarrError, InvalidReplyError
from dicomzarr.sources.http.redirects import resolved
from dicomzarr.sources.http.refusals import Refusals

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.client import Client

RIGHT = "Basic " + base64.b64encode(b"doe:right").decode()


class Door:
    """A server that lets one password in, and lists what it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.right = RIGHT

    async def speak(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        lines = head.decode().split("\r\n")
        given = next((line.partition(": ")[2] for line in lines if line.lower().startswith("authorization:")), "")
        self.shown.append(given)
        await asyncio.sleep(0)
        is_right = given == self.right
        writer.write(reply(b"[1]") if is_right else reply(b"", status="401 Unauthorized"))


def ask_at_once(door: Door, count: int, times: int = 1, **options: Any) -> list[object]:
    """Ask for many series at the same time, again and again; gives what became of each."""

    async def ask(client: Client, number: int) -> object:
        try:
            return (await client.series_metadata("1.2", f"1.{number}")).body
        except DicomZarrError as error:
            return error

    async def run() -> list[object]:
        async with speaking(door.speak) as base:
            client = client_of(base, **options)
            found: list[object] = []
            for _ in range(times):
                found += await asyncio.gather(*(ask(client, 1 + number) for number in range(count)))
            await closed(client)
            return found

    return asyncio.run(run())


def test_a_wrong_password_is_sent_once_by_whoever_asks_at_once_and_soon_after() -> None:
    door = Door()
    found = ask_at_once(door, 20, times=3, auth=("doe", "wrong"))
    assert len(door.shown) == 1
    assert all(isinstance(each, AuthenticationError) for each in found)
    assert "is not sent again for 5 s" in str(found[-1])
    assert all(each.status == 401 for each in found if isinstance(each, AuthenticationError))


def test_a_right_password_holds_nobody_up() -> None:
    door = Door()
    assert ask_at_once(door, 20, times=2, auth=("doe", "right")) == [b"[1]"] * 40
    assert door.shown == [RIGHT] * 40


def test_who_comes_without_credentials_asks_as_often_as_they_like() -> None:
    door = Door()
    ask_at_once(door, 3, times=2)
    assert door.shown == [""] * 6


def test_tokens_that_change_are_sent_at_once() -> None:
    door = Door()
    door.right = "Bearer 7"
    numbers = iter(range(100))
    found = ask_at_once(door, 1, times=8, auth=lambda: {"Authorization": f"Bearer {next(numbers)}"})
    assert b"[1]" in found


def test_a_refusal_is_forgotten_after_a_while() -> None:
    now = 0.0
    refusals = Refusals(5.0, lambda: now)
    sent = 0

    async def ask(*, refused: bool) -> None:
        nonlocal sent
        async with refusals.guard({"authorization": "Basic x"}) as accepted:
            sent += 1
            if refused:
                raise AuthenticationError("No.", status=401)
            accepted()

    async def run() -> None:
        nonlocal now
        for moment, outcome in ((0.0, 1), (4.9, 1), (5.1, 2)):
            now = moment
            with pytest.raises(AuthenticationError):
                await ask(refused=True)
            assert sent == outcome
        now = 20.0
        await ask(refused=False)
        assert sent == 3

    asyncio.run(run())


def test_who_gives_up_while_a_password_is_tried_holds_nobody_up() -> None:
    async def run() -> None:
        refusals = Refusals()
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            async with refusals.guard({"authorization": "Basic x"}):
                begun.set()
                await go_on.wait()

        hanging = asyncio.create_task(hang())
        await begun.wait()
        hanging.cancel()
        async with refusals.guard({"authorization": "Basic x"}) as accepted:
            accepted()

    asyncio.run(run())


# --- references of servers


@pytest.mark.parametrize(
    "location", ["/a\0b", "/a\nb", "/a\rb", "/a\tb", "http://x\x7f/", "/\x85", "/\udc80", "//ho\u1e9et/x"]
)
def test_a_reference_that_no_url_can_be_is_an_error_that_names_it(location: str) -> None:
    with pytest.raises(InvalidReplyError, match="The reference"):
        resolved("https://server.example/studies", location, "The reference")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/a b", "https://server.example/a%20b"),
        (" /a ", "https://server.example/a"),
        ("/\u00fc?x=\u00fc", "https://server.example/%C3%BC?x=%C3%BC"),
        ("/a%20b?x=%2F&y=[1]", "https://server.example/a%20b?x=%2F&y=[1]"),
        ('/a"b<c>|^`{}', "https://server.example/a%22b%3Cc%3E%7C%5E%60%7B%7D"),
    ],
)
def test_what_a_url_must_not_hold_is_encoded(location: str, url: str) -> None:
    assert resolved("https://server.example/studies", location, "It") == url


@pytest.mark.parametrize(
    "location",
    [
        b"/a\x01b",
        b"/a\x7fb",
        b"/\xff\xfe",
        b"http://[",
        b"http://a:99999/",
        b"//\xc3\xbc/",
        b"http://pacs..hospital/",
        b"http://" + b"a" * 64 + b"/",
    ],
)
def test_a_redirect_to_what_no_url_can_be_is_an_error_of_ours(location: bytes) -> None:
    async def redirect(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")

    async def run() -> None:
        async with speaking(redirect) as base:
            client = client_of(base)
            try:
                await client.series_metadata("1.2", "1.3")
            finally:
                await closed(client)

    with pytest.raises(DicomZarrError):
        asyncio.run(run())


def test_a_name_that_no_host_can_have_is_not_found() -> None:
    async def run() -> None:
        client = client_of("http://pacs..hospital")
        try:
            await client.search("studies")
        finally:
            await closed(client)

    with pytest.raises(ConnectionFailedError, match="no host can have that name"):
        asyncio.run(run())


def test_what_another_host_asks_for_is_not_given_to_the_own_server() -> None:
    sent: list[str] = []

    async def elsewhere(_: bytes, writer: asyncio.StreamWriter) -> None:
        challenge = b'WWW-Authenticate: Digest realm="other", nonce="n"'
        writer.write(b"HTTP/1.1 401 No\r\n" + challenge + b"\r\nContent-Length: 0\r\n\r\n")

    async def run() -> None:
        async with speaking(elsewhere) as other:

            async def own(head: bytes, writer: asyncio.StreamWriter) -> None:
                sent.append(head.decode().lower().partition("authorization: ")[2].partition("\r\n")[0])
                if b"series/1.4" in head:
                    location = f"Location: {other}/".encode()
                    writer.write(b"HTTP/1.1 302 Found\r\n" + location + b"\r\nContent-Length: 0\r\n\r\n")
                else:
                    writer.write(reply(b'[{"x": 1}]'))

            async with speaking(own) as base:
                client = client_of(base, auth=("doe", "right"))
                try:
                    with pytest.raises(AuthenticationError, match="credentials stay behind"):
                        await client.series_metadata("1.2", "1.4")
                    await client.series_metadata("1.2", "1.3")
                finally:
                    await closed(client)

    asyncio.run(run())
    assert sent == [RIGHT.lower()] * 2

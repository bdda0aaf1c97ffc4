"""Servers that are started anew while somebody reads: they are waited for as long as the timeout says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from connecting import client_of, closed
from ports import free_port
from raw_server import reply, speaking
from waiting import SECONDS

from dicomzarr.errors import ConnectionFailedError, DicomZarrError
from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile
from dicomzarr.sources.http.statuses import ConnectionDroppedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.http.redirects import Request

BASE = "https://server.example/dicom-web"


@dataclass
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    url: str = BASE
    body: bytes = b"[1]"

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body


@dataclass
class Restarting:
    """A server that is away from one moment to another, by a clock that pauses alone move on."""

    away: Callable[[], DicomZarrError | Answer]
    down: tuple[float, float] = (10.0, 30.0)
    now: float = 0.0
    asked: int = 0

    @asynccontextmanager
    async def get(self, _: Request) -> AsyncIterator[Answer]:
        self.asked += 1
        if not self.down[0] <= self.now < self.down[1]:
            yield Answer()
            return
        answer = self.away()
        if isinstance(answer, DicomZarrError):
            raise answer
        yield answer

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def client(self, timeout: float, known: ServerProfile | None = None) -> Client:
        clock = {"sleep": self.sleep, "clock": lambda: self.now}
        return client_of(BASE, timeout=timeout, transport=self, profile=known, **clock)


AWAY: dict[str, Callable[[], DicomZarrError | Answer]] = {
    "refuses connections": lambda: UnreachableError("No connection."),
    "breaks connections": lambda: ConnectionDroppedError("Gone."),
    **{str(code): lambda code=code: Answer(code) for code in (502, 503, 504)},  # type: ignore[misc]
}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The hosts of which the log says that they are waited for."""
    return [record.message.split()[0] for record in caplog.records if record.name == "dicomzarr"]


@pytest.mark.parametrize("name", AWAY)
def test_a_server_that_has_served_is_waited_for_until_the_timeout(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        server = Restarting(AWAY[name])
        client = server.client(30.0)
        await client.series_metadata("1.2", "1.3")
        server.now = 10.0
        await client.series_metadata("1.2", "1.3")
        assert server.now >= 30
        assert said(caplog) == ["server.example"]
        server.now, server.down = 0.0, (0.0, 1000.0)
        with pytest.raises(DicomZarrError):
            await client.series_metadata("1.2", "1.3")
        assert server.now <= 30
        assert server.asked < 40
        assert said(caplog) == ["server.example"] * 2
        waited, server.asked = server.now, 0
        with pytest.raises(DicomZarrError):
            await client.series_metadata("1.2", "1.3")
        assert server.asked <= 5  # it was waited for in vain: whoever asks next hears soon
        assert server.now - waited < 4
        server.now, server.down = 0.0, (10.0, 30.0)
        await client.series_metadata("1.2", "1.3")
        server.now = 10.0
        await client.series_metadata("1.2", "1.3")
        assert said(caplog) == ["server.example"] * 3

    asyncio.run(run())


@pytest.mark.parametrize("name", AWAY)
def test_a_server_that_never_answered_is_not_waited_for(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        server = Restarting(AWAY[name], (0.0, 1000.0))
        with pytest.raises(DicomZarrError):
            await server.client(60.0).series_metadata("1.2", "1.3")
        assert server.asked <= 5  # at last for the instances
        assert server.now < 4
        assert said(caplog) == []

    asyncio.run(run())


def test_who_comes_while_a_server_is_started_anew_waits_too_if_others_were_served() -> None:
    async def run() -> None:
        server, known = Restarting(AWAY["refuses connections"]), ServerProfile()
        await server.client(30.0, known).series_metadata("1.2", "1.3")
        server.now = 10.0
        await server.client(30.0, known).series_metadata("1.2", "1.4")
        assert server.now >= 30

    asyncio.run(run())


@dataclass
class Ending(Restarting):
    """One that takes no connections any more, and answers who has asked before: all before anybody is refused."""

    connected: asyncio.Event = field(default_factory=asyncio.Event)
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Answer]:
        if "late" in request.url:
            self.connected.set()
            await self.ends.wait()
            yield Answer()
            self.answered.set()
            return
        if self.down[0] <= self.now < self.down[1]:
            self.ends.set()
            await self.answered.wait()
            await asyncio.sleep(0)
        async with super().get(request) as answer:
            yield answer


def test_a_server_that_still_answers_who_is_connected_may_be_ending() -> None:
    async def run() -> None:
        server = Ending(AWAY["refuses connections"])
        client = server.client(30.0)
        await client.series_metadata("1.2", "1.3")
        late = asyncio.create_task(client.series_metadata("1.2", "late"))
        await server.connected.wait()
        server.now = 10.0
        await client.series_metadata("1.2", "1.4")
        assert server.now >= 30
        assert (await late).body == b"[1]"

    asyncio.run(run())


def test_a_real_server_that_is_started_anew_on_its_port_is_read_on() -> None:
    async def speak(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"[1]"))

    async def run() -> None:
        async with speaking(speak, free_port()) as base:
            client = client_of(base, timeout=SECONDS)
            await client.series_metadata("1.2", "1.3")
        reading = asyncio.create_task(client.series_metadata("1.2", "1.3"))
        await asyncio.sleep(0.5)  # it has been refused meanwhile, or not yet: both are right
        assert not reading.done()
        async with speaking(speak, port=int(base.rpartition(":")[2])):
            assert (await reading).body == b"[1]"
            await closed(client)

    asyncio.run(run())


def test_nobody_at_a_port_is_told_at_once() -> None:
    async def run() -> None:
        client = client_of(f"http://127.0.0.1:{free_port()}", timeout=60)
        with pytest.raises(ConnectionFailedError, match="No connection"):
            await client.series_metadata("1.2", "1.3")
        await closed(client)

    asyncio.run(run())

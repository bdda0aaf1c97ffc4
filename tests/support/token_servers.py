"""A token server of OAuth 2.0 for tests, on 127.0.0.1, with a clock of its own; and a door that takes its tokens."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from aiohttp import web
from faults import require

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from aiohttp.typedefs import Middleware

CLIENT, CLIENT_SECRET = "viewer", "cl1ent/s3cret:%"


@dataclass
class TickingClock:
    """A clock that others move on."""

    now: float = 1_000_000.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds


@dataclass(repr=False)
class TokenServer:
    """Gives tokens to a client, or for its newest refresh token."""

    clock: Callable[[], float] = time.time
    lifetime: float = 3600.0
    issued: list[tuple[str, float]] = field(default_factory=list)
    """Tokens, and when each was given."""
    forms: list[dict[str, str]] = field(default_factory=list)
    refresh_token: str = "refresh-0"  # noqa: S105  # nobody's
    failures: list[int] = field(default_factory=list)
    """Statuses of the next replies."""
    pending: int = 0
    """How often a login has not come yet."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Changes of the documents."""
    url: str = ""

    @property
    def secrets(self) -> list[str]:
        """All that must show nowhere."""
        return [CLIENT_SECRET, *(token for token, _ in self.issued), *(f"refresh-{n}" for n in range(len(self.issued)))]

    def door(self, tick: float = 0.0) -> Middleware:
        """Lets in whoever has a token that is still good; the clock moves on with each request."""

        def allowed(header: str) -> bool:
            if tick:
                assert isinstance(self.clock, TickingClock)
                self.clock.tick(tick)
            given = dict(self.issued).get(header.removeprefix("Bearer "))
            return given is not None and self.clock() < given + self.lifetime

        return require('Bearer error="invalid_token"', allowed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.failures:
            return web.Response(status=self.failures.pop(0), text="down")
        if request.path.endswith("/.well-known/openid-configuration"):
            return web.json_response(
                {
                    "issuer": self.url,
                    "token_endpoint": f"{self.url}/token",
                    "device_authorization_endpoint": f"{self.url}/device",
                    **self.extra,
                }
            )
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if request.path == "/device":
            return web.json_response(
                {
                    "device_code": "device-c0de",
                    "user_code": "ABCD-EFGH",
                    "verification_uri": f"{self.url}/enter",
                    "interval": 2,
                    "expires_in": 600,
                    **self.extra,
                }
            )
        return self._token(request, form)

    def _token(self, request: web.Request, form: dict[str, str]) -> web.Response:
        kind = form["grant_type"].rpartition(":")[2]
        login = request.headers.get("Authorization", "")
        if kind == "client_credentials":
            user, _, password = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
            if not login:
                user, password = form.get("client_id", ""), form.get("client_secret", "")
            if (unquote_plus(user), unquote_plus(password) if login else password) != (CLIENT, CLIENT_SECRET):
                return web.json_response({"error": "invalid_client", "error_description": password}, status=401)
        if kind == "refresh_token" and form["refresh_token"] != self.refresh_token:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if kind == "device_code" and self.pending:
            self.pending -= 1
            error = "slow_down" if self.pending == 1 else "authorization_pending"
            return web.json_response({"error": error}, status=400)
        token = f"t0ken-{len(self.issued)}"
        self.issued.append((token, self.clock()))
        self.refresh_token = f"refresh-{len(self.issued)}"
        found = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        if kind != "client_credentials":
            found["refresh_token"] = self.refresh_token
        return web.json_response({**found, **self.extra})


@contextmanager
def token_server(
    *, clock: Callable[[], float] = time.time, lifetime: float = 3600.0, tls: ssl.SSLContext | None = None
) -> Iterator[TokenServer]:
    """A token server in a thread of its own."""
    server = TokenServer(clock, lifetime)
    with served(server.answer, tls) as server.url:
        yield server


@contextmanager
def served(answer: Callable[[web.Request], Any], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A web server in a thread of its own; gives its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return runner

    async def stop() -> None:
        await runner.cleanup()
        for transport in list(loop._transports.values()):  # type: ignore[attr-defined]  # handshakes that failed
            transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

"""The gateway itself: an aiohttp.web server on the home loop, where the frames are."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.gateway.addresses import nothing_here, segments_of, target_of
from dicomzarr.faces.gateway.board import SECONDS, Board
from dicomzarr.faces.gateway.call import Call, Shared
from dicomzarr.faces.gateway.connections import Connections
from dicomzarr.faces.gateway.guard import WRITING, Guard, cookie_of
from dicomzarr.faces.gateway.passing import PassThrough, refusal_of_caller
from dicomzarr.faces.gateway.refusals import Refusal, RefusedError, refusal_of, without_places
from dicomzarr.faces.gateway.replies import Sending, only_for_caller, refusal_reply
from dicomzarr.faces.gateway.routes import OPEN, ROUTES, is_writable
from dicomzarr.faces.gateway.upstreams import Upstream, Upstreams
from dicomzarr.faces.listening import cannot_listen
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.pools import FILES
from dicomzarr.sources.http.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

ACCESS_LOG: Final = logging.getLogger("dicomzarr.gateway.access")
"""A line for each request: what it was for, status, bytes and milliseconds; no address and no UID unless asked for."""

_ERRORS: Final = logging.getLogger("dicomzarr.gateway")
_GRACE: Final = 1.0
"""Seconds that requests under way have when the gateway ends."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a gateway listens, and to whom."""

    host: str = "127.0.0.1"
    """The address, or name of one, that it listens at."""
    port: int = 8080
    """0 takes a free one."""
    origins: frozenset[str] = frozenset()
    """Web origins that may read, besides those of this machine; ``*`` for all."""
    token: str = field(default="", repr=False)
    """What a caller must know; empty for nothing."""
    log_uids: bool = False
    """The access log has whole paths, with UIDs."""

    phi: bool = False
    """The table of attributes may tell what identifies patients, where it is asked to."""

    shares_port: bool = False
    """Other processes listen at the port too (SO_REUSEPORT)."""
    board: str = ""
    """The directory where they tell each other their numbers; empty where there are none."""
    pass_through: bool = False
    """Callers bring the credentials that the one upstream asks for."""

    @property
    def is_local(self) -> bool:
        """Whether it listens to this machine alone."""
        return is_loopback(f"http://{f'[{self.host}]' if ':' in self.host else self.host}")

    def check(self) -> None:
        """Look whether it is safe.

        Raises:
            UsageError: Others could read without a token.
        """
        if self.token and self.pass_through:
            raise UsageError(
                "A token is asked for, and credentials of callers are passed: one header would be both.",
                remedy="Choose --token or --pass-through.",
            )
        if not self.is_local and not self.token and not self.pass_through:
            raise UsageError(
                f"At {self.host} other machines could read all series.",
                remedy="Ask for a token with --token, pass their credentials with --pass-through, "
                "or listen at 127.0.0.1.",
            )


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def _shared(upstreams: Upstreams, guard: Guard, settings: Settings) -> Shared:
    passing = PassThrough(upstreams) if settings.pass_through else None
    board = Board(settings.board) if settings.board else None
    return Shared(upstreams, guard, settings.phi, passing, board=board)


async def _nothing(_: Call) -> web.Response:
    raise nothing_here()


class Gateway:
    """Shows upstreams over HTTP; use it as a context manager, once. It listens from ``with`` on.

    Args:
        upstreams: What it shows.
        settings: How it listens.

    Raises:
        UsageError: There is no upstream, or two have one name, or others could read without a token.
    """

    def __init__(self, upstreams: Iterable[Upstream], settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._settings.check()
        guard = Guard(not self._settings.is_local, self._settings.origins, self._settings.token)
        self.shared = _shared(Upstreams(upstreams), guard, self._settings)
        self._sending = Sending()
        self.url = ""
        """``http://HOST:PORT``; empty until it listens."""
        self._runner: web.ServerRunner | None = None
        self._telling: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        run_sync(self._start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run_sync(self._stop)

    async def _start(self) -> None:
        server = Connections(self._answer)
        self._runner = web.ServerRunner(server, shutdown_timeout=_GRACE)
        await self._runner.setup()
        try:
            await web.TCPSite(
                self._runner,
                self._settings.host,
                self._settings.port,
                reuse_port=True if self._settings.shares_port else None,
            ).start()
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            raise cannot_listen(self._settings.host, self._settings.port, error) from None
        if self.shared.board is not None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(self.shared.board))
        port = self._runner.addresses[0][1]
        shown = "127.0.0.1" if self._settings.is_local else self._settings.host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"

    async def _tell(self, board: Board) -> None:
        """Tell the other processes what this one has done, again and again."""
        while True:
            await FILES.run(board.tell, self.shared.samples())
            await asyncio.sleep(SECONDS)

    async def _stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        await self.shared.ahead.close()
        await self.shared.keeping.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        metrics, loop = self.shared.metrics, asyncio.get_running_loop()
        started = loop.time()
        metrics.under_way += 1
        call = Call(request, self.shared, [], ends_with_slash=False)
        try:
            response = await self._response(call)
            if self.shared.passing is not None:
                only_for_caller(response)
            await self._sending.send(request, response, self.shared.guard.cors(request.headers))
            milliseconds = 1000 * (loop.time() - started)
            metrics.answered(call.kind, response.status, response.body_length, milliseconds / 1000)
            if ACCESS_LOG.isEnabledFor(logging.INFO):
                self._log(call, response, milliseconds)
        except asyncio.CancelledError:
            metrics.given_up += 1
            raise
        except ConnectionError:
            metrics.given_up += 1
            return web.Response()  # it goes nowhere
        else:
            return response
        finally:
            call.let_go()
            metrics.under_way -= 1

    async def _response(self, call: Call) -> web.Response:
        request, guard = call.request, self.shared.guard
        as_json = False
        try:
            call.path, authority = target_of(request.raw_path)
            guard.check(request.method, request.headers, authority=authority)
            if request.method == "OPTIONS":
                call.kind = "preflight"
                return web.Response(status=204, headers=guard.preflight(request.headers))
            segments, call.ends_with_slash = segments_of(call.path)
            route, *call.segments = segments or [""]
            as_json = route == "api"
            if request.method in WRITING:
                guard.check_writing(request.method, request.headers, writable=is_writable(route, call.segments))
            if guard.token and route not in OPEN:
                cookie = request.cookies.get(cookie_of(request.headers.get("Host", "")), "")
                guard.check_token(request.headers, request.query.get("token", ""), cookie)
            if self.shared.passing is not None and route not in OPEN:
                call.callers_upstreams = self.shared.passing.upstreams(request.headers)
            response = await ROUTES.get(route, _nothing)(call)
            self._remember_token(request, response)
            return response  # noqa: TRY300  # what follows are errors
        except RefusedError as error:
            refusal = error.refusal
        except DicomZarrError as error:
            refusal = refusal_of(error) if self.shared.passing is None else refusal_of_caller(error)
        except Exception:  # noqa: BLE001  # an error of the gateway must end no connection
            # Its text may hold anything: only the log of this process has it.
            _ERRORS.exception("A request of kind %s failed.", call.kind)
            refusal = Refusal(500, "The gateway failed. Its log says more.")
        if not call.is_here:
            refusal = without_places(refusal, self.shared.upstreams.places)
        return refusal_reply(refusal, as_json=as_json)

    def _remember_token(self, request: web.BaseRequest, response: web.Response) -> None:
        """Whoever opens a URL with the token in a browser follows links without it."""
        token = self.shared.guard.token
        if token and request.query.get("token") == token and "text/html" in request.headers.get("Accept", ""):
            name = cookie_of(request.headers.get("Host", ""))
            response.set_cookie(name, token, httponly=True, samesite="Strict")

    def _log(self, call: Call, response: web.Response, milliseconds: float) -> None:
        path = call.request.raw_path.partition("?")[0]
        what = path.encode("unicode_escape").decode() if self._settings.log_uids else call.kind
        ACCESS_LOG.info(
            "%s %s %d %d bytes %.1f ms", call.request.method, what, response.status, response.body_length, milliseconds
        )

"""Tokens that expire: renewed in time and once, whoever waits, and written down nowhere."""

from __future__ import annotations

import io
import logging
import os
import pickle
import threading
import time
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
import slides
from serving import forget_servers, is_right, run_python, serving
from slides_pyramids import deep_pyramid
from token_servers import CLIENT, CLIENT_SECRET, TickingClock, TokenServer, served, token_server
from waiting import SECONDS

import dicomzarr
from dicomzarr import credentials
from dicomzarr.credentials import BearerToken, ClientCredentials, RefreshToken, Rejected, Token, log_in_with_code
from dicomzarr.errors import (
    AuthenticationError,
    CredentialsUnavailableError,
    DicomZarrError,
    InsecureTransportError,
    InvalidOptionError,
    InvalidReplyError,
    ServerError,
)
from dicomzarr.options import StorageOptions
from dicomzarr.sources.http import retry
from dicomzarr.sources.http.credentials import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.options import Provider

SLIDE = slides.coded_slide("native_rgb")
URL = "https://pacs.example/studies"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    yield
    named._lock.forget()
    forget_servers()


class Recording(ClientCredentials):
    """Remembers when it asked for tokens."""

    asked: list[float]

    def fetch(self) -> Token:
        self.__dict__.setdefault("asked", []).append(self._clock())
        return super().fetch()

    def lived_well(self, lifetime: float) -> bool:
        """Whether each token was used for nine tenths of its time."""
        return all(later - earlier >= 0.9 * lifetime for earlier, later in pairwise(self.asked))


def client_of(server: TokenServer, **options: Any) -> Recording:
    return Recording(
        **{"token_url": f"{server.url}/token", "client_id": CLIENT, "client_secret": CLIENT_SECRET, **options}
    )


def login_of(provider: Provider) -> str:
    return provider.headers("GET", URL, {})["authorization"]


# --- a whole read ---


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that is logged, at every level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_read_by_sixteen_connections_renews_once_for_each_expiry(written: io.StringIO) -> None:
    clock, slide = TickingClock(), deep_pyramid()
    with token_server(clock=clock, lifetime=5.0) as tokens, serving(slide, tokens.door(tick=0.05)) as served_slide:
        auth = client_of(tokens, clock=clock)
        options = {"auth": auth, "max_connections": 16, "frames_per_request": 1, "cache_bytes": 0}
        level = dicomzarr.open(served_slide.url, **options).levels[0]
        began = clock()
        for _ in range(2):
            level[...]
        took = clock() - began
        assert took > 3 * tokens.lifetime
        assert auth.lived_well(tokens.lifetime)
        assert 3 <= len(tokens.issued) <= took / (0.9 * tokens.lifetime) + 2
        everything = [written.getvalue(), repr(auth), repr(level), pickle.dumps(level).hex(), pickle.dumps(auth).hex()]
        for secret in tokens.secrets:
            assert not any(secret in text or secret.encode().hex() in text for text in everything)


@pytest.mark.long
def test_a_read_of_two_minutes_renews_once_for_each_expiry() -> None:
    slide = deep_pyramid()
    with token_server(lifetime=5.0) as tokens, serving(slide, tokens.door()) as served_slide:
        auth = client_of(tokens)
        options = {"auth": auth, "max_connections": 16, "frames_per_request": 4, "cache_bytes": 0}
        level = dicomzarr.open(served_slide.url, **options).levels[0]
        began, reads = time.monotonic(), 0
        while time.monotonic() - began < 120:
            level[...]
            reads += 1
        took = time.monotonic() - began
        assert reads > 1
        assert auth.lived_well(tokens.lifetime)
        assert len(tokens.issued) <= took / (0.9 * tokens.lifetime) + 2


def test_tokens_that_end_before_their_time_are_renewed_once_for_all_who_were_refused() -> None:
    clock, slide = TickingClock(), deep_pyramid()
    with token_server(clock=clock, lifetime=3600.0) as tokens, serving(slide, tokens.door()) as served_slide:
        options = {"auth": client_of(tokens, clock=clock), "max_connections": 16, "frames_per_request": 1}
        level = dicomzarr.open(served_slide.url, **options, cache_bytes=0).levels[0]
        before = len(tokens.issued)
        clock.tick(1000)
        tokens.issued[-1] = ("revoked", 0.0)
        level[...]
        assert len(tokens.issued) == before + 1


def test_a_token_that_is_refused_from_the_start_is_asked_for_once() -> None:
    with token_server() as tokens, token_server() as others, serving(SLIDE, others.door()) as served_slide:
        with pytest.raises(AuthenticationError):
            dicomzarr.open(served_slide.url, auth=client_of(tokens))
        assert len(tokens.issued) == 1


def told_by(error: BaseException | None) -> str:
    """All that a reporter of errors could write down: texts and locals of an error and of all that led to it."""
    told: list[str] = []
    while error is not None:
        told += traceback.TracebackException.from_exception(error, capture_locals=True).format(chain=False)
        told.append(repr(error) + repr(vars(error)))
        error = error.__cause__ or error.__context__
    return "".join(told)


def test_no_secret_in_a_traceback_with_locals() -> None:
    with token_server() as tokens, token_server() as others, serving(SLIDE, others.door()) as served_slide:
        with pytest.raises(AuthenticationError) as caught:
            dicomzarr.open(served_slide.url, auth=client_of(tokens))
        text = told_by(caught.value)
        assert "HTTP status 401" in text
        assert tokens.issued
        assert not [each for each in tokens.secrets if each in text]


def test_no_secret_in_a_traceback_of_a_read_that_breaks_off() -> None:
    from faults import reset, status  # noqa: PLC0415

    for fault in (status(401), status(403), reset(), reset(after_headers=True)):
        with token_server() as tokens, serving(SLIDE, tokens.door(), fault) as served_slide:
            level = dicomzarr.open(served_slide.url, auth=client_of(tokens)).levels[0]
            with pytest.raises(DicomZarrError) as caught:
                level[...]
            text = told_by(caught.value)
            assert not [each for each in tokens.secrets if each in text]
        forget_servers()


def test_no_secret_in_a_traceback_of_a_token_server_that_breaks_off() -> None:
    from aiohttp import web  # noqa: PLC0415

    async def breaks_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with served(breaks_off) as url:
        for where in (f"{url}/token", "http://127.0.0.1:9/token", "https://127.0.0.1:9/token"):
            for in_body in (True, False):
                auth = client_of(TokenServer(), token_url=where, secret_in_body=in_body)
                with pytest.raises(ServerError) as caught:
                    auth.headers("GET", URL, {})
                text = told_by(caught.value)
                assert "_granted" in text
                assert not [each for each in spelled_secrets() if each in text]


def spelled_secrets() -> list[str]:
    login = f"{quote_plus(CLIENT)}:{quote_plus(CLIENT_SECRET)}"
    return [CLIENT_SECRET, quote_plus(CLIENT_SECRET), b64encode(login.encode()).decode()]


def test_no_secret_in_the_traceback_of_a_token_server_that_refuses() -> None:
    with token_server() as tokens:
        auth = client_of(tokens, client_secret="wr0ng-secret")  # noqa: S106  # nobody's
        for call in (
            lambda: auth.headers("GET", URL, {}),
            lambda: dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", auth=auth),
        ):
            with pytest.raises(AuthenticationError, match="invalid_client") as caught:
                call()
            text = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
            assert "wr0ng" not in text


# --- one provider ---


def test_a_token_is_held_until_shortly_before_its_end() -> None:
    clock = TickingClock()
    with token_server(clock=clock, lifetime=100.0) as tokens:
        auth = client_of(tokens, clock=clock)
        assert auth.expires_at is None
        assert login_of(auth) == "Bearer t0ken-0"
        assert auth.expires_at == clock() + 100
        clock.tick(89)
        assert login_of(auth) == "Bearer t0ken-0"
        clock.tick(2)
        assert login_of(auth) == "Bearer t0ken-1"


def test_all_who_wait_share_one_renewal() -> None:
    release, fetched = threading.Event(), []

    class Slow(BearerToken):
        def fetch(self) -> Token:
            fetched.append(1)
            release.wait(SECONDS)
            return Token("t", None)

    provider = Slow()
    with ThreadPoolExecutor(8) as threads:
        logins = [threads.submit(login_of, provider) for _ in range(8)]
        release.set()
        assert {each.result() for each in logins} == {"Bearer t"}
    assert len(fetched) == 1


def test_a_forked_child_does_not_wait_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick(BearerToken):
        def fetch(self) -> Token:
            return Token("t")

    provider = Quick()
    with provider._lock.held():
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert login_of(provider) == "Bearer t"


def test_a_provider_that_hangs_is_not_waited_for_longer_than_the_timeout() -> None:
    release = threading.Event()

    class Hanging(BearerToken):
        def fetch(self) -> Token:
            release.wait(SECONDS)
            return Token("t")

    with pytest.raises(AuthenticationError, match="credential provider gave nothing"):
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", auth=Hanging(), timeout=0.02)
    release.set()


def test_a_token_server_that_is_down_is_asked_again() -> None:
    clock = TickingClock()
    with token_server(clock=clock, lifetime=100.0) as tokens:
        auth = client_of(tokens, clock=clock)
        tokens.failures = [503, 500]
        assert login_of(auth) == "Bearer t0ken-0"
        clock.tick(95)
        tokens.failures = [503] * 3
        assert login_of(auth) == "Bearer t0ken-0"  # still good
        assert login_of(auth) == "Bearer t0ken-0"
        assert not tokens.failures  # and not asked each time
        clock.tick(10)
        tokens.failures = [503] * 3
        with pytest.raises(AuthenticationError, match="HTTP status 503"):
            login_of(auth)
        clock.tick(2)
        assert login_of(auth) == "Bearer t0ken-1"


def test_a_wrong_secret_is_sent_once_however_many_wait() -> None:
    clock = TickingClock()
    with token_server(clock=clock, lifetime=5.0) as tokens:
        auth = client_of(tokens, clock=clock, client_secret="wr0ng-secret")  # noqa: S106  # nobody's
        with ThreadPoolExecutor(8) as threads:
            errors = [threads.submit(login_of, auth).exception() for _ in range(16)]
        assert {str(each) for each in errors} == {str(errors[0])}
        assert isinstance(errors[-1], AuthenticationError)
        assert len({id(each) for each in errors}) == 16  # each is told what was asked for whom
        assert len(tokens.forms) == 1
        clock.tick(2)
        with pytest.raises(AuthenticationError):
            login_of(auth)
        assert len(tokens.forms) == 2


def test_one_token_serves_all_servers_that_are_read_with_a_provider() -> None:
    with token_server() as tokens, serving(SLIDE, tokens.door()) as first, serving(SLIDE, tokens.door()) as second:
        auth = client_of(tokens, clock=lambda: 0.0)
        with ThreadPoolExecutor(2) as threads:
            levels = [
                threads.submit(lambda url=each.url: dicomzarr.open(url, auth=auth).levels[0][...])
                for each in (first, second)
            ]
            assert all(is_right(level.result(), SLIDE.levels[0]) for level in levels)
        assert len(tokens.issued) == 1


def test_a_provider_that_would_have_to_be_awaited_is_refused() -> None:
    class Awaited(Badge):
        async def headers(self, *_: Any) -> Any:  # type: ignore[override]
            return {}

    with pytest.raises(InvalidOptionError, match="Awaited"):
        StorageOptions.parse(auth=Awaited())


def test_a_refresh_token_that_changes_each_time() -> None:
    clock = TickingClock()
    with token_server(clock=clock, lifetime=5.0) as tokens:
        auth = RefreshToken(issuer=tokens.url, client_id=CLIENT, refresh_token=tokens.refresh_token, clock=clock)
        for number in range(3):
            assert login_of(auth) == f"Bearer t0ken-{number}"
            clock.tick(5)
        assert [form["refresh_token"] for form in tokens.forms] == ["refresh-0", "refresh-1", "refresh-2"]
        tokens.refresh_token = "other"  # noqa: S105  # nobody's
        with pytest.raises(AuthenticationError, match="invalid_grant") as caught:
            login_of(auth)
        assert "log in again" in str(caught.value)


def test_the_secret_goes_where_the_server_wants_it() -> None:
    with token_server() as tokens:
        assert login_of(client_of(tokens, secret_in_body=True, scope="a b", parameters={"audience": "x"}))
        assert tokens.forms[-1] == {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "scope": "a b",
            "audience": "x",
        }
        assert login_of(client_of(tokens))
        assert tokens.forms[-1] == {"grant_type": "client_credentials"}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"access_token": None}, "no access_token"),
        ({"access_token": "a\r\nb"}, "another kind"),
        ({"token_type": "DPoP"}, "another kind"),
    ],
)
def test_replies_that_hold_no_token(extra: dict[str, Any], message: str) -> None:
    with token_server() as tokens:
        tokens.extra = extra
        with pytest.raises(InvalidReplyError, match=message):
            login_of(client_of(tokens))


@pytest.mark.parametrize("expires_in", [None, "soon", -1, 0, True, 1e300, [5]])
def test_a_token_whose_end_is_not_said_is_used_until_it_is_refused(expires_in: Any) -> None:
    clock = TickingClock()
    with token_server(clock=clock, lifetime=5.0) as tokens:
        tokens.extra = {"expires_in": expires_in}
        auth = client_of(tokens, clock=clock)
        assert login_of(auth) == login_of(auth)
        clock.tick(1e6)
        assert auth.rejected(Rejected(401, URL, "", {"authorization": "Bearer t0ken-0"}))
        assert login_of(auth) == "Bearer t0ken-1"


def test_a_403_is_about_rights_and_renews_nothing() -> None:
    with token_server() as tokens:
        auth = client_of(tokens)
        login = login_of(auth)
        assert not auth.rejected(Rejected(403, URL, "", {"authorization": login}))
        assert len(tokens.issued) == 1


# --- where secrets may go ---


def test_token_servers_are_asked_over_https_or_on_this_machine_only() -> None:
    auth = ClientCredentials(token_url="http://login.example/token", client_id="a", client_secret="b")  # noqa: S106
    with pytest.raises(InsecureTransportError, match=r"login\.example"):
        login_of(auth)
    with pytest.raises(InsecureTransportError, match=r"login\.example"):
        login_of(ClientCredentials(issuer="http://login.example/realms/x", client_id="a", client_secret="b"))  # noqa: S106


def test_a_redirect_of_a_token_server_is_not_followed() -> None:
    from aiohttp import web  # noqa: PLC0415  # one test only

    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/thief"})

    with served(elsewhere) as url, pytest.raises(AuthenticationError, match="HTTP status 307"):
        login_of(ClientCredentials(token_url=f"{url}/token", client_id="a", client_secret="b"))  # noqa: S106
    assert asked == ["/token"]


def test_an_issuer_that_is_another_one_is_refused() -> None:
    with token_server() as tokens:
        tokens.extra = {"issuer": "https://other.example"}
        with pytest.raises(InvalidReplyError, match="does not describe the issuer"):
            login_of(client_of(tokens, token_url=None, issuer=tokens.url))


def test_exactly_one_of_issuer_and_token_url() -> None:
    for both in ({}, {"issuer": "https://a.example", "token_url": "https://a.example/t"}):
        with pytest.raises(InvalidOptionError, match="exactly one"):
            ClientCredentials(client_id="a", **both)


# --- a login with a code ---


def test_a_login_with_a_code() -> None:
    clock, told, waited = TickingClock(), [], []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.tick(seconds)

    with token_server(clock=clock, lifetime=5.0) as tokens:
        tokens.pending = 3
        login = log_in_with_code(
            lambda url, code: told.append((url, code)), issuer=tokens.url, client_id=CLIENT, sleep=sleep, clock=clock
        )
        assert told == [(f"{tokens.url}/enter", "ABCD-EFGH")]
        assert waited == [2, 2, 7, 7]  # the second reply says: slower
        assert login_of(login) == "Bearer t0ken-0"
        clock.tick(5)
        assert login_of(login) == "Bearer t0ken-1"
        assert tokens.forms[-1]["refresh_token"].endswith("-1")


def test_a_code_that_nobody_enters() -> None:
    clock = TickingClock()
    with token_server(clock=clock, lifetime=5.0) as tokens:
        tokens.pending = 10**6
        with pytest.raises(AuthenticationError, match="not entered in time"):
            log_in_with_code(
                lambda *_: None, issuer=tokens.url, client_id=CLIENT, sleep=lambda s: clock.tick(50 * s), clock=clock
            )


@pytest.mark.parametrize(
    "extra", [{"verification_uri": "javascript:alert(1)"}, {"user_code": "\x1b[2J"}, {"verification_uri": None}]
)
def test_what_a_login_shows_is_text_and_a_web_page(extra: dict[str, Any]) -> None:
    with token_server() as tokens:
        tokens.extra = extra
        with pytest.raises(InvalidReplyError):
            log_in_with_code(lambda *_: None, issuer=tokens.url, client_id=CLIENT, sleep=lambda _: None)


# --- by name ---


def environment(monkeypatch: pytest.MonkeyPatch, prefix: str, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"{prefix}_{name.upper()}", value)


@pytest.mark.slow
def test_a_client_of_the_environment_travels_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with token_server() as tokens, serving(SLIDE, tokens.door()) as served_slide:
        environment(monkeypatch, "REALM", issuer=tokens.url, client_id=CLIENT, client_secret=CLIENT_SECRET)
        level = dicomzarr.open(served_slide.url, auth="oauth:prefix=REALM").levels[0]
        assert is_right(level[...], SLIDE.levels[0])
        assert len(tokens.issued) == 1
        script = "import json, pickle\nprint(json.dumps(int(pickle.loads(bytes.fromhex(sys.argv[1]))[...].sum())))"
        assert run_python(script, pickle.dumps(level).hex()) == int(level[...].sum())
        assert len(tokens.issued) == 2
        environment(monkeypatch, "REALM", refresh_token=tokens.refresh_token)
        named._lock.forget()
        assert is_right(dicomzarr.open(served_slide.url, auth="oauth:prefix=REALM").levels[0][...], SLIDE.levels[0])


def test_an_environment_that_says_nothing() -> None:
    with pytest.raises(AuthenticationError, match="NOWHERE_CLIENT_ID"):
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", auth="oauth:prefix=NOWHERE")


def test_a_provider_without_a_name_stays() -> None:
    with token_server() as tokens:
        auth = client_of(tokens)
        assert pickle.loads(pickle.dumps(auth)) is auth  # noqa: S301  # our own
        script = """
import json, pickle, dicomzarr.errors
try:
    pickle.loads(bytes.fromhex(sys.argv[1])).headers("GET", "https://a.example", {})
except dicomzarr.errors.DicomZarrError as error:
    print(json.dumps(type(error).__name__))
"""
        assert run_python(script, pickle.dumps(auth).hex()) == CredentialsUnavailableError.__name__


class Badge:
    """A provider of somebody else, under a name."""

    expires_at = None

    def __init__(self, ward: str = "a") -> None:
        self.reference = f"badge:ward={ward}"
        self.seen: list[tuple[str, str, str]] = []

    def headers(self, method: str, url: str, headers: Any) -> dict[str, str]:
        self.seen.append((method, url, headers["accept"]))
        return {"X-Ward": self.reference}

    def rejected(self, response: Rejected) -> bool:
        self.seen.append((str(response.status), response.url, response.challenge))
        return False


PACKAGE = {
    "badge.py": "class Badge:\n    expires_at = None\n    def __init__(self, ward='a'):\n"
    "        self.reference = f'badge:ward={ward}'\n    def headers(self, method, url, headers):\n"
    "        return {'Authorization': f'Bearer {self.reference}'}\n    def rejected(self, response):\n"
    "        return False\n",
    "badge-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: badge\nVersion: 1\n",
    "badge-1.dist-info/entry_points.txt": "[dicomzarr.credentials]\nbadge = badge:Badge\nbroken = badge:Nothing\n",
}


def test_a_name_that_another_package_gives(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    from dicomzarr.options import provider  # noqa: PLC0415  # its cache

    monkeypatch.syspath_prepend(tmp_path)
    provider._maker.cache_clear()
    from faults import require_bearer  # noqa: PLC0415

    with serving(SLIDE, require_bearer("badge:ward=b")) as served_slide:
        options = StorageOptions.parse(auth="badge:ward=b")
        assert is_right(dicomzarr.open(served_slide.url, auth="badge:ward=b").levels[0][...], SLIDE.levels[0])
        pickled = pickle.dumps(options)
        with pytest.raises(InvalidOptionError, match="takes no such arguments: colour"):
            dicomzarr.open(served_slide.url, auth="badge:colour=red")
        with pytest.raises(InvalidOptionError, match="cannot be imported"):
            dicomzarr.open(served_slide.url, auth="broken")
    monkeypatch.undo()
    provider._maker.cache_clear()
    with pytest.raises(InvalidOptionError, match="auth"):
        StorageOptions.parse(auth="badge:ward=b")
    elsewhere = pickle.loads(pickled)  # noqa: S301  # our own
    assert elsewhere.to_public() == {"auth": "badge:ward=b"}
    with pytest.raises(CredentialsUnavailableError, match="'badge'"):
        elsewhere.auth()


def test_a_provider_sees_each_request_and_each_refusal() -> None:
    from faults import require_bearer  # noqa: PLC0415

    class Seeing(Badge):
        def __init__(self) -> None:
            super().__init__()
            self.reference = None  # type: ignore[assignment]

        def headers(self, method: str, url: str, headers: Any) -> dict[str, str]:
            super().headers(method, url, headers)
            return {"Authorization": "Bearer no"}

    badge = Seeing()
    with serving(SLIDE, require_bearer("yes")) as served_slide:
        with pytest.raises(AuthenticationError):
            dicomzarr.open(served_slide.url, auth=badge)
        base = served_slide.url.replace("dicomweb://", "http://")
    asked = f"{base}/metadata"
    assert badge.seen[0][:2] == ("GET", asked)
    assert badge.seen[1] == ("401", asked, 'Bearer realm="demo"')


@pytest.mark.parametrize("auth", ["eyJhbGciOi.abc.def", "secret", "aws?x=1", "oauth:prefix=a=b", "Google"])
def test_a_text_that_may_be_a_secret_is_not_repeated(auth: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", auth=auth)
    assert auth not in str(caught.value).replace("(aws, azure, cookies, google, oauth)", "")


def test_a_reference_must_be_a_name() -> None:
    badge = Badge()
    badge.reference = "token-itself"
    with pytest.raises(InvalidOptionError, match="whose reference is no name"):
        StorageOptions.parse(auth=badge)


@pytest.mark.parametrize("given", [None, "x", {"a": 1}, {"bad name": "x"}])
def test_what_a_provider_returns_is_checked(given: Any) -> None:
    class Wrong(Badge):
        def headers(self, *_: Any) -> Any:
            return given

    wrong = Wrong()
    wrong.reference = None  # type: ignore[assignment]
    with pytest.raises((AuthenticationError, InvalidOptionError)):
        dicomzarr.open("dicomweb://127.0.0.1:9/studies/1.2/series/1.3", auth=wrong)


def test_the_public_names_are_there() -> None:
    for name in credentials.__all__:
        assert getattr(credentials, name)
    with pytest.raises(AttributeError):
        credentials.nothing  # noqa: B018


def test_errors_of_token_servers_are_ours() -> None:
    auth = ClientCredentials(token_url="http://127.0.0.1:9/token", client_id="a", client_secret="b")  # noqa: S106
    with pytest.raises(ServerError) as caught:
        login_of(auth)
    assert isinstance(caught.value, DicomZarrError)

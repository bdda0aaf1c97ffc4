"""Credentials: where they come from, how they renew, and that they go nowhere else."""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import google.auth.credentials
import pytest
import requests
import requests.auth
from aiohttp import web
from connecting import client_of, closed
from dicomweb_client import DICOMwebClient
from google.auth.transport.requests import AuthorizedSession
from serving import run_python
from waiting import SECONDS

from dicomzarr.errors import AuthenticationError, InsecureTransportError, InvalidOptionError
from dicomzarr.options import StorageOptions
from dicomzarr.sources.http.connection import ConnectionSettings, environment_proxy, proxy_of
from dicomzarr.sources.http.credentials.auth import credentials_for
from dicomzarr.sources.http.credentials.client_adapter import connection_settings, service_urls
from dicomzarr.sources.http.credentials.secret_headers import CredentialThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from dicomzarr.sources.http.redirects import Request

BASE = "https://server.example/dicom-web"
SECRET = "s3cret"  # noqa: S105  # nobody's


def headers_of(base: str = BASE, **options: Any) -> Mapping[str, str]:
    async def run() -> Mapping[str, str]:
        credentials = credentials_for(base, StorageOptions.parse(**options))
        return await credentials.headers_for(f"{base}/studies", {"accept": "x/y"})

    return asyncio.run(run())


def borrow(base: str = BASE, session: requests.Session | None = None, **options: Any) -> DICOMwebClient:
    return DICOMwebClient(base, session=session, **options)


# --- headers, user and password, a callable ---


def test_no_credentials() -> None:
    assert headers_of() == {}


def test_fixed_headers_and_basic() -> None:
    assert headers_of(headers={"X-Key": "1"}) == {"x-key": "1"}
    assert headers_of(headers={"X-Key": "1"}, auth=("Ü", "p:w")) == {
        "x-key": "1",
        "authorization": "Basic w5w6cDp3",
    }


def test_a_callable_adds_to_the_headers() -> None:
    thread: list[str] = []

    def auth() -> dict[str, str]:
        thread.append(threading.current_thread().name)
        return {"Authorization": "Bearer t"}

    assert headers_of(headers={"X-Key": "1", "authorization": "old"}, auth=auth) == {
        "x-key": "1",
        "authorization": "Bearer t",
    }
    assert thread[0].startswith("dicomzarr-auth")


def test_a_thread_ends_that_nobody_needs_and_another_begins() -> None:
    threads: list[threading.Thread] = []

    def auth() -> dict[str, str]:
        threads.append(threading.current_thread())
        return {"n": str(len(threads))}

    async def twice() -> None:
        own = CredentialThread("It", SECONDS, idle=0.01)
        assert await own.in_time(own.call(auth)) == {"n": "1"}
        await asyncio.to_thread(threads[0].join, SECONDS)
        assert not threads[0].is_alive()
        assert await own.in_time(own.call(auth)) == {"n": "2"}

    asyncio.run(twice())


def named_auth() -> dict[str, str]:
    return {"X-Named": "yes"}


def test_a_named_callable_is_imported() -> None:
    assert headers_of(auth=f"{__name__}:named_auth") == {"x-named": "yes"}


@pytest.mark.parametrize("name", ["no_such_module_here:f", "os:no_such_name", "os:name", "reader:s3cret"])
def test_a_name_that_names_no_callable(name: str) -> None:
    with pytest.raises(InvalidOptionError, match="names no callable") as caught:
        headers_of(auth=name)
    assert name not in str(caught.value)
    assert "auth=(user, password)" in str(caught.value)


def test_one_call_serves_all_who_wait() -> None:
    calls = 0
    release = threading.Event()

    def auth() -> dict[str, str]:
        nonlocal calls
        calls += 1
        release.wait(SECONDS)
        return {"X-Call": str(calls)}

    async def run() -> tuple[list[Mapping[str, str]], Mapping[str, str]]:
        credentials = credentials_for(BASE, StorageOptions.parse(auth=auth))
        waiting = [asyncio.ensure_future(credentials.headers_for(BASE, {})) for _ in range(5)]
        await asyncio.sleep(0)
        waiting.pop().cancel()  # one that gives up takes nobody with it
        release.set()
        return await asyncio.gather(*waiting), await credentials.headers_for(BASE, {})

    together, later = asyncio.run(run())
    assert together == [{"x-call": "1"}] * 4
    assert later == {"x-call": "2"}


def raises() -> dict[str, str]:
    raise ValueError(SECRET)


def leaves() -> dict[str, str]:
    sys.exit(SECRET)


def gives_up() -> dict[str, str]:
    raise asyncio.CancelledError(SECRET)


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (raises, "failed with ValueError"),
        (leaves, "failed with SystemExit"),
        (gives_up, "failed with CancelledError"),
        (lambda: SECRET, "returned a str"),
        (lambda: None, "returned a NoneType"),
    ],
)
def test_a_callable_that_fails(auth: Callable[[], Any], message: str) -> None:
    with pytest.raises(AuthenticationError, match=message) as caught:
        headers_of(auth=auth)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_callable_that_returns_no_headers() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        headers_of(auth=lambda: {"Authorization": f"{SECRET}\n"})
    assert SECRET not in str(caught.value)


def test_a_callable_that_hangs() -> None:
    release = threading.Event()

    def auth() -> dict[str, str]:
        release.wait(SECONDS)
        return {}

    with pytest.raises(AuthenticationError, match="gave nothing"):
        headers_of(auth=auth, timeout=0.02)
    release.set()


def test_a_callable_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    script = """
        import asyncio, json, threading
        from dicomzarr.errors import AuthenticationError
        from dicomzarr.options import StorageOptions
        from dicomzarr.sources.http.credentials.auth import credentials_for

        async def main():
            hangs = threading.Event().wait
            credentials = credentials_for("https://server.example", StorageOptions.parse(auth=hangs, timeout=0.02))
            try:
                await credentials.headers_for("https://server.example", {})
            except AuthenticationError as error:
                print(json.dumps(str(error)))

        asyncio.run(main())
    """
    assert run_python(dedent(script)).startswith("The auth callable gave nothing")


# --- 401 ---


@dataclass
class Guard:
    """A server that wants the token t2."""

    seen: list[str | None] = field(default_factory=list)

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Any]:
        token = request.credentials.get("authorization")
        self.seen.append(token)
        yield _Answer({"Bearer t2": 200}.get(token or "", 401))


@dataclass
class _Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    url: str = BASE
    body: bytes = b"[1]"

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body


def test_a_refused_token_is_renewed_once() -> None:
    tokens = iter(["Bearer t1", "Bearer t2", "Bearer t3", "Bearer t4"])
    guard = Guard()
    client = client_of(BASE, auth=lambda: {"Authorization": next(tokens)}, transport=guard)
    assert asyncio.run(client.series_metadata("1", "2")).body == b"[1]"
    assert guard.seen == ["Bearer t1", "Bearer t2"]
    with pytest.raises(AuthenticationError, match="HTTP status 401"):
        asyncio.run(client.series_metadata("1", "2"))
    assert guard.seen[2:] == ["Bearer t3", "Bearer t4"]


def test_a_refused_password_is_not_tried_again() -> None:
    guard = Guard()
    client = client_of(BASE, auth=("u", SECRET), transport=guard)
    with pytest.raises(AuthenticationError) as caught:
        asyncio.run(client.series_metadata("1", "2"))
    assert len(guard.seen) == 1
    assert SECRET not in str(caught.value)


def test_a_callable_that_raises_is_called_once() -> None:
    calls = 0

    def auth() -> dict[str, str]:
        nonlocal calls
        calls += 1
        raise KeyError(SECRET)

    client = client_of(BASE, auth=auth, transport=Guard())
    with pytest.raises(AuthenticationError, match="KeyError"):
        asyncio.run(client.series_metadata("1", "2"))
    assert calls == 1


# --- a borrowed client ---


def test_session_headers_cookies_and_basic_are_taken_over() -> None:
    session = requests.Session()
    session.auth = ("u", "p")
    session.cookies.set("c", "1")
    client = borrow(session=session, headers={"X-Key": "k"})
    taken = headers_of(client=client, headers={"X-More": "m"})
    assert taken["authorization"] == "Basic dTpw"
    assert taken["cookie"] == "c=1"
    assert taken["x-key"] == "k"
    assert taken["x-more"] == "m"
    assert not {"accept", "accept-encoding", "connection"} & set(taken)


class SignsTheRequest(requests.auth.AuthBase):
    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["X-Signed"] = f"{r.method} {r.path_url} {r.headers['accept']!r}"
        return r


def test_requests_auth_sees_the_request() -> None:
    session = requests.Session()
    session.auth = SignsTheRequest()
    assert headers_of(client=borrow(session=session))["x-signed"] == "GET /dicom-web/studies 'x/y'"


class NeedsReplies(requests.auth.AuthBase):
    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.register_hook("response", lambda response, **_: response)
        return r


def test_auth_that_must_see_replies_is_refused() -> None:
    for auth in (NeedsReplies(), requests.auth.HTTPDigestAuth("u", SECRET)):
        session = requests.Session()
        session.auth = auth
        with pytest.raises(InvalidOptionError, match="must see the server's replies") as caught:
            headers_of(client=borrow(session=session))
        assert SECRET not in str(caught.value)


def test_a_session_that_adds_to_the_url_is_refused() -> None:
    session = requests.Session()
    session.params = {"token": SECRET}
    with pytest.raises(InvalidOptionError, match="adds to the URL") as caught:
        headers_of(client=borrow(session=session))
    assert SECRET not in str(caught.value)


class OwnRequest(requests.Session):
    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(*args, **kwargs)


class OwnAdapter(requests.adapters.HTTPAdapter):
    pass


def test_sessions_with_a_will_of_their_own_are_refused() -> None:
    with pytest.raises(InvalidOptionError, match="OwnRequest"):
        headers_of(client=borrow(session=OwnRequest()))
    session = requests.Session()
    session.mount("https://", OwnAdapter())
    with pytest.raises(InvalidOptionError, match="OwnAdapter"):
        headers_of(client=borrow(session=session))


def test_a_client_of_another_server_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match=r"belongs to other\.example"):
        headers_of(client=borrow("https://other.example/x"))


def test_borrowed_credentials_do_not_travel_over_plain_http() -> None:
    base = "http://server.example/x"
    headers_of(base, client=borrow(base))  # it holds none
    session = requests.Session()
    session.auth = ("u", "p")
    for client in (borrow(base, session=session), borrow(base, headers={"X-Key": "k"})):
        with pytest.raises(InsecureTransportError):
            headers_of(base, client=client)
        assert headers_of(base, client=client, allow_insecure=True)


class FakeGoogle(google.auth.credentials.Credentials):
    def refresh(self, request: Any) -> None:
        assert request is not None
        self.token = f"t{2 if self.token else 1}"


def google_session() -> AuthorizedSession:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what google-auth says of this Python is not the matter here
        return AuthorizedSession(FakeGoogle())  # type: ignore[no-untyped-call]  # google-auth has no types


def test_google_credentials_refresh() -> None:
    guard = Guard()
    client = client_of(BASE, client=borrow(session=google_session()), transport=guard)
    assert asyncio.run(client.series_metadata("1", "2")).body == b"[1]"
    assert guard.seen == ["Bearer t1", "Bearer t2"]


def test_services_have_their_prefixes() -> None:
    assert service_urls(borrow(BASE + "/")) == (BASE, BASE)
    client = borrow(wado_url_prefix="wado", qido_url_prefix="qido")
    assert service_urls(client) == (f"{BASE}/wado", f"{BASE}/qido")


def test_searches_use_the_prefix_for_searches() -> None:
    asked: list[str] = []

    class Server(Guard):
        @asynccontextmanager
        async def get(self, request: Request) -> AsyncIterator[Any]:
            asked.append(request.url)
            yield _Answer(200, body=b"[]")

    client = client_of(BASE, client=borrow(qido_url_prefix="qido"), transport=Server())
    asyncio.run(client.search("studies"))
    assert asked == [f"{BASE}/qido/studies?limit=200"]


def test_tls_and_proxies_are_taken_over(tmp_path: Path) -> None:
    session = requests.Session()
    session.trust_env = False
    session.verify = False
    session.proxies = {"https": "proxy.example:3128"}
    settings = connection_settings(borrow(session=session))
    assert str(proxy_of(BASE, settings.proxy_for).url) == "http://proxy.example:3128"
    assert proxy_of("http://server.example", settings.proxy_for) is None
    assert settings.tls(own_server=True).verify_mode is ssl.CERT_NONE
    session.proxies = {"https": "socks5://proxy.example"}
    with pytest.raises(InvalidOptionError, match="socks5"):
        proxy_of(BASE, settings.proxy_for)
    session.verify = str(tmp_path / "missing.pem")
    with pytest.raises(InvalidOptionError, match="TLS files"):
        connection_settings(borrow(session=session)).tls(own_server=True)


def test_a_client_certificate_is_for_the_own_server_only() -> None:
    settings = ConnectionSettings(certificate=("missing.pem", "missing.key"))
    assert settings.tls(own_server=False).verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(InvalidOptionError):
        settings.tls(own_server=True)


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert environment_proxy(BASE) == "http://proxy.example:3128"
    assert environment_proxy("https://inside.example/x") is None


def test_a_proxy_is_used_with_its_own_login() -> None:
    seen: list[tuple[str, str | None]] = []

    async def proxy(request: web.BaseRequest) -> web.Response:
        seen.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return web.json_response([1])

    async def run(monkeypatch: pytest.MonkeyPatch) -> bytes:
        runner = web.ServerRunner(web.Server(proxy))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setenv("http_proxy", f"http://u:p@127.0.0.1:{runner.addresses[0][1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        client = client_of("http://server.example/x")
        try:
            return (await client.series_metadata("1", "2")).body
        finally:
            await closed(client)
            await runner.cleanup()

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert asyncio.run(run(monkeypatch)) == b"[1]"
    assert seen == [("http://server.example/x/studies/1/series/2/metadata", "Basic dTpw")]


def test_a_client_takes_over_a_real_one_over_http() -> None:
    seen: list[str | None] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        assert request.headers.getall("Accept") == ["application/dicom+json"]
        return web.json_response([1])

    async def run() -> bytes:
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        session = requests.Session()
        session.auth = ("u", "p")
        client = client_of(base, client=borrow(base, session=session))
        try:
            return (await client.series_metadata("1", "2")).body
        finally:
            await closed(client)
            await runner.cleanup()

    assert asyncio.run(run()) == b"[1]"
    assert seen == ["Basic dTpw"]


def test_the_plain_client_imports_neither_requests_nor_google() -> None:
    import subprocess  # noqa: PLC0415  # one test only

    code = (
        "import sys; from dicomzarr.options import StorageOptions\n"
        "from dicomzarr.sources.dicomweb.client import Client\n"
        "options = StorageOptions.parse(auth=('u', 'p'))\n"
        "Client('https://h', options.access, options.tuning)\n"
        "assert not {'requests', 'google', 'dicomweb_client'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # our own interpreter

"""What is taken over from a ``dicomweb_client.DICOMwebClient`` and the ``requests`` session inside it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.utils import default_headers, get_netrc_auth, select_proxy

from dicomzarr.errors import InvalidOptionError
from dicomzarr.options import SecretHeaders
from dicomzarr.sources.http.connection import ConnectionSettings
from dicomzarr.sources.http.credentials.given import CLIENT
from dicomzarr.sources.http.credentials.secret_headers import AFTER_401, NEVER, CredentialThread, refuse_plain_http
from dicomzarr.sources.http.urls import host_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options import Access, Rejected

_OURS = frozenset({"accept", "accept-encoding", "connection", "content-length", "host"})


class ServiceURLs(NamedTuple):
    """The base URLs of a client's services, without trailing slashes."""

    retrieve: str
    """WADO-RS, with the client's prefix for it."""
    search: str
    """QIDO-RS, with the client's prefix for it."""


def service_urls(client: Any) -> ServiceURLs:
    """The URLs under which a borrowed client retrieves and searches."""
    base = client.base_url.rstrip("/")

    def with_prefix(prefix: str | None) -> str:
        return f"{base}/{prefix.strip('/')}" if prefix else base

    return ServiceURLs(with_prefix(client.wado_url_prefix), with_prefix(client.qido_url_prefix))


def connection_settings(client: Any) -> ConnectionSettings:
    """TLS and proxies as the client's session would use them.

    Raises:
        InvalidOptionError: A certificate or proxy is of a kind that cannot be taken over.
    """
    session = client._session  # noqa: SLF001  # the client shows its session in no other way
    settings = session.merge_environment_settings(client.base_url, {}, None, None, None)
    return ConnectionSettings(
        verify=settings["verify"],
        certificate=settings["cert"],
        proxy_for=partial(_session_proxy, session),
        where="verify and cert of the client's session",
    )


def _session_proxy(session: requests.Session, url: str) -> str | None:
    proxies = session.merge_environment_settings(url, {}, None, None, None)["proxies"]
    return select_proxy(url, proxies)


class ClientCredentials:
    """Headers, cookies and authentication as the client's session would send them.

    Args:
        base_url: The server that is read.
        options: Their ``client`` is the one that is borrowed; their ``headers`` are added.

    Raises:
        InvalidOptionError: The session does what cannot be done for it, or belongs to another
            server.
        InsecureTransportError: Credentials would travel over plain HTTP.
    """

    given = CLIENT

    def __init__(self, base_url: str, options: Access) -> None:
        self._session: requests.Session = options.client._session  # noqa: SLF001  # it has no other name
        self._options = options
        self._base_url = base_url
        if origin_of(base_url) != origin_of(options.client.base_url):
            raise InvalidOptionError(
                f"The client belongs to {host_of(options.client.base_url)}, and {host_of(base_url)} is asked for.",
                remedy="Its credentials do not go to another server: use a client for that one.",
            )
        _refuse_foreign_behaviour(self._session, base_url)
        self._is_google = _is_google(self._session)
        self.renewable_after = AFTER_401 if self._is_google else NEVER
        if self._holds_credentials():
            refuse_plain_http(base_url, options)
        self._thread = CredentialThread("The client's authentication", options.timeout)

    def _holds_credentials(self) -> bool:
        session = self._session
        added = {name.lower() for name in session.headers} - {name.lower() for name in default_headers()}
        netrc = session.trust_env and get_netrc_auth(self._base_url) is not None
        return bool(added or session.auth or len(session.cookies) or self._options.headers or netrc or self._is_google)

    async def headers_for(
        self, url: str, headers: Mapping[str, str], *, refused: Rejected | None = None
    ) -> Mapping[str, str]:
        """See `secret_headers.Credentials.headers_for`."""
        prepare = partial(self._prepare, url, dict(headers), None if refused is None else refused.sent)
        return SecretHeaders({**await self._thread.in_time(self._thread.call(prepare)), **self._options.headers})

    def _prepare(self, url: str, headers: dict[str, str], refused: Mapping[str, str] | None) -> dict[str, str]:
        prepared = self._session.prepare_request(requests.Request("GET", url, headers=headers))
        self._refuse_what_is_no_header(prepared, url)
        sent: dict[str, Any] = SecretHeaders(**prepared.headers)
        if self._is_google:
            self._add_google(url, sent, refused)
        return SecretHeaders({name.lower(): _text(value) for name, value in sent.items() if name.lower() not in _OURS})

    def _refuse_what_is_no_header(self, prepared: requests.PreparedRequest, url: str) -> None:
        plain = requests.PreparedRequest()
        plain.prepare_url(url, None)
        if prepared.url != plain.url:
            raise InvalidOptionError(
                "The client's session adds to the URL.",
                remedy="Only headers can be taken over: use headers or auth.",
            )
        if len(prepared.hooks["response"]) > len(self._session.hooks["response"]):
            raise InvalidOptionError(
                f"The client's authentication ({type(self._session.auth).__name__}) must see the server's replies.",
                remedy="Only authentication by request headers can be taken over, as Basic or a bearer token.",
            )

    def _add_google(self, url: str, headers: dict[str, Any], refused: Mapping[str, str] | None) -> None:
        from google.auth.transport.requests import Request  # noqa: PLC0415  # only where its session is in use

        session: Any = self._session
        request = getattr(session, "_auth_request", None) or Request()
        session.credentials.before_request(request, "GET", url, headers)
        if refused is not None and headers.get("authorization") == refused.get("authorization"):
            # Not when the token has changed since: requests that were refused together need one new token.
            session.credentials.refresh(request)
            session.credentials.before_request(request, "GET", url, headers)


def _is_google(session: requests.Session) -> bool:
    # Whoever holds such a session has imported its module.
    module = sys.modules.get("google.auth.transport.requests")
    return module is not None and isinstance(session, module.AuthorizedSession)


def _refuse_foreign_behaviour(session: requests.Session, url: str) -> None:
    known: Any = (
        sys.modules["google.auth.transport.requests"].AuthorizedSession if _is_google(session) else requests.Session
    )
    for name in ("request", "send", "prepare_request"):
        if name in vars(session) or getattr(type(session), name) is not getattr(known, name):
            raise InvalidOptionError(
                f"The client's session ({type(session).__name__}) has a {name} method of its own.",
                remedy="Only plain requests sessions and google-auth's AuthorizedSession can be taken over: use auth.",
            )
    adapter = session.get_adapter(url)
    if type(adapter) is not HTTPAdapter:
        raise InvalidOptionError(
            f"The client's session connects through a {type(adapter).__name__}.",
            remedy="Only connections of requests itself can be taken over.",
        )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value

"""Who may ask: hosts (DNS rebinding), origins (CORS), tokens. Pure."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from dicomzarr.faces.gateway.refusals import RefusedError
from dicomzarr.sources.http.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

WRITING: Final = ("POST", "DELETE")
"""Methods that change what the gateway keeps on disk, and nothing else."""

_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_ALLOWED: Final = ", ".join(_METHODS)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_EXPOSED: Final = "Content-Range, Content-Length, ETag, Accept-Ranges, Retry-After"
_ASKED: Final = "Range, If-None-Match, If-Range, Authorization, Cache-Control, Pragma"
_DAY: Final = "86400"


@dataclass(frozen=True)
class Guard:
    """Lets in who may ask."""

    open_to_others: bool = False
    """The gateway listens to other machines, by whatever name they have for this one."""
    origins: frozenset[str] = frozenset()
    """Web origins that may read, besides those of this machine, as ``https://vizarr.org``; ``*`` for all."""
    token: str = ""
    """What a caller must know; empty for nothing."""

    def check(self, method: str, headers: Mapping[str, str], *, authority: str | None) -> None:
        """Let a request in that may be answered.

        Args:
            method: Of the request.
            headers: Of the request.
            authority: Host and port where the request's target names them.

        Raises:
            RefusedError: It must not be answered.
        """
        if method not in (*_METHODS, *WRITING):
            raise _not_served(method)
        self._check_host(headers.get("Host", ""), authority)
        origin = headers.get("Origin")
        if origin is not None and not self.allows_origin(origin, headers.get("Host", "")):
            raise RefusedError(
                403, "This web origin may not read here. Start the gateway with --allow-origin and its name."
            )
        if origin is None and _is_embedded(headers):
            raise RefusedError(403, "Another site's page embeds this. Only pages of the gateway itself may.")

    @staticmethod
    def check_writing(method: str, headers: Mapping[str, str], *, writable: bool) -> None:
        """Let in a request that changes something: no page of another site sends one, not even one that may read.

        A form cannot say that it sends JSON, a script of another origin may not say so unless a preflight allows it,
        which it never does, and what a browser sends names its origin.

        Args:
            method: Of the request.
            headers: Of the request.
            writable: There is something to change where it goes to.

        Raises:
            RefusedError: There is not, or it may come from another site's page.
        """
        if not writable:
            raise _not_served(method)
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError(415, "Send it with Content-Type: application/json.")
        origin, host = headers.get("Origin"), headers.get("Host", "").lower()
        is_own = origin is None or origin.lower().partition("://")[2] == host
        if not is_own or headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise RefusedError(403, "Only the gateway's own page, or no page at all, may change what is kept.")

    def check_token(self, headers: Mapping[str, str], query: str, cookie: str) -> None:
        """Let in who knows the token.

        Args:
            headers: Of the request.
            query: The value of ``token`` in its query.
            cookie: The value of the cookie that `cookie_of` names.

        Raises:
            RefusedError: It is not there, or wrong.
        """
        if not self.token:
            return
        scheme, _, bearer = headers.get("Authorization", "").partition(" ")
        given = (query, cookie, bearer.strip() if scheme.lower() == "bearer" else "")
        if not any(map(self._is_token, given)):
            raise RefusedError(
                401,
                "This gateway asks for its token: as a bearer token, or as ?token= in the URL.",
                {"WWW-Authenticate": 'Bearer realm="dicomzarr"'},
            )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode())

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether pages of a web origin may read."""
        if "*" in self.origins or origin in self.origins:
            return True
        parts = _origin(origin)
        if parts is None:
            return False
        own = self.open_to_others and parts.partition("://")[2] == host.lower()
        return own or is_loopback(parts)

    def cors(self, headers: Mapping[str, str]) -> dict[str, str]:
        """What goes with every status, so that an allowed origin may read it."""
        origin = headers.get("Origin")
        if origin is None or not self.allows_origin(origin, headers.get("Host", "")):
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}

    def preflight(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The answer to what a browser asks before a request (Fetch standard, CORS-preflight)."""
        local = {"Access-Control-Allow-Private-Network": "true"}
        return {
            "Allow": _ALLOWED,
            "Access-Control-Allow-Methods": _ALLOWED,
            "Access-Control-Allow-Headers": _ASKED,
            "Access-Control-Max-Age": _DAY,
            **(local if headers.get("Access-Control-Request-Private-Network") == "true" else {}),
        }

    def _check_host(self, host: str, authority: str | None) -> None:
        if authority is not None and authority.lower() != host.lower():
            raise RefusedError(400, "The request names two hosts.")
        is_host, is_local = _known_host(host)
        if not is_host:
            raise RefusedError(400, "The request names no host.")
        if not self.open_to_others and not is_local:
            # A page of another name, which was made to lead here (DNS rebinding), has no business with this machine.
            raise RefusedError(421, "This gateway answers as localhost alone: use 127.0.0.1 or localhost in the URL.")


def cookie_of(host: str) -> str:
    """The name of the cookie that holds the token: a browser sends those of all ports of a host to each of them.

    Args:
        host: The Host header: the port that the browser knows, which a tunnel or proxy may lead elsewhere.
    """
    port = host.rpartition(":")[2]
    return f"dicomzarr-token-{port}" if port.isdigit() else "dicomzarr-token"


def _not_served(method: str) -> RefusedError:
    return RefusedError(405, f"{method} is not served: series are read-only here.", {"Allow": _ALLOWED})


@lru_cache(maxsize=64)
def _known_host(host: str) -> tuple[bool, bool]:
    """Whether a text is a host, and whether that is this machine."""
    is_host = _HOST.fullmatch(host) is not None
    return is_host, is_host and is_loopback(f"http://{host}")


def _origin(origin: str) -> str | None:
    """A web origin in its one spelling; None for what is none, as ``null``."""
    try:
        parts = urlsplit(origin)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return origin.lower() if usable and origin == f"{parts.scheme}://{parts.netloc}" and "@" not in origin else None


def _is_embedded(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site loads this as a picture, a script or the like (Fetch Metadata)."""
    site, mode = headers.get("Sec-Fetch-Site", ""), headers.get("Sec-Fetch-Mode", "")
    return site in ("cross-site", "same-site") and (mode != "navigate" or headers.get("Sec-Fetch-Dest") != "document")

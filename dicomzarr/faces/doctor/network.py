"""The way to a server, step by step, where it does not answer: name, connection, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from dicomzarr.faces.doctor.report import Finding, Outcome
from dicomzarr.runtime.pools import NAMES
from dicomzarr.sources.http.network_errors import PROXY
from dicomzarr.sources.http.tls_refusals import is_no_tls, tls_error, too_old
from dicomzarr.sources.http.urls import PORTS

if TYPE_CHECKING:
    from yarl import URL

_USUAL_PORTS: Final = (443, 80, 8042, 8080, 8443)
"""Where DICOMweb servers listen: 8042 is Orthanc's."""

_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

_ASSOCIATION: Final = b"".join(
    struct.pack(">BxH", kind, len(item)) + item
    for kind, item in (
        (0x10, b"1.2.840.10008.3.1.1.1"),
        (0x20, b"\1\0\0\0" + b"\x30\0\0\x11" + b"1.2.840.10008.1.1" + b"\x40\0\0\x11" + b"1.2.840.10008.1.2"),
        (0x50, b"\x51\0\0\4\0\0\x40\0" + b"\x52\0\0\x0a" + b"2.25.10.10"),
    )
)
_ASSOCIATE: Final = struct.pack(
    ">BxLHxx16s16s32x", 1, 68 + len(_ASSOCIATION), 1, b"ANY-SCP".ljust(16), b"DICOMZARR".ljust(16)
)
_ABORT: Final = bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0))
"""PDUs of the DICOM Upper Layer (PS3.8 section 9.3): an association for Verification, asked for and given up."""
_ANSWERS: Final = frozenset({2, 3, 7})
"""Types of the PDUs that answer: accept, reject, abort."""
_PATIENCE: Final = 5.0


class _Spoken(Enum):
    """What a port speaks."""

    HTTP = auto()
    TLS = auto()
    DICOM = auto()
    """Messages of the DICOM Upper Layer: DIMSE."""
    NOTHING = auto()
    """It takes connections, and is silent."""
    OTHER = auto()


async def way_to(base: str, seconds: float, tls: ssl.SSLContext) -> list[Finding]:
    """Why nothing answers at a URL: each step up to the one that fails.

    Args:
        base: http or https, without secrets.
        seconds: How long a step may take.
        tls: Whom it trusts, and who it says it is.
    """
    parts = urlsplit(base)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    found = await _reached(host, port, seconds)
    if found[-1].outcome is Outcome.FAILS:
        return found
    return [
        *found,
        await _tls(host, port, seconds, tls) if parts.scheme == "https" else await _plain(host, port, seconds),
    ]


async def way_to_proxy(proxy: URL, seconds: float) -> list[Finding]:
    """Whether a proxy is there: what is behind it, nobody but the proxy can see.

    Args:
        proxy: Where it is.
        seconds: How long a step may take.
    """
    host, port = proxy.host or "", proxy.port or PORTS["http"]
    text = f"Requests go through the proxy {host}:{port}."
    return [Finding("proxy", Outcome.NOTICE, text, PROXY), *await _reached(host, port, seconds)]


async def _reached(host: str, port: int, seconds: float) -> list[Finding]:
    """Whether somebody takes connections."""
    try:
        addresses = await NAMES.run(socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
    except OSError:
        text = f"{host} has no address."
        return [Finding("name", Outcome.FAILS, text, "Check its spelling, and whether a VPN is needed to see it.")]
    found = [Finding("name", Outcome.WORKS, f"{host} has the address {addresses[0][4][0]}.")]
    began = time.perf_counter()
    try:
        await _connect(host, port, seconds)
    except TimeoutError:
        text = f"{host} does not answer on port {port} within {seconds:g} s."
        return [*found, Finding("connection", Outcome.FAILS, text, "A firewall may be in the way, or a VPN missing.")]
    except OSError:
        text = f"Nothing listens on port {port} of {host}."
        return [*found, Finding("connection", Outcome.FAILS, text, await _other_ports(host, port, seconds))]
    took = time.perf_counter() - began
    return [*found, Finding("connection", Outcome.WORKS, f"Port {port} takes connections.", seconds=took)]


async def _connect(host: str, port: int, seconds: float, tls: ssl.SSLContext | None = None) -> None:
    async with asyncio.timeout(seconds):
        _, writer = await asyncio.open_connection(host, port, ssl=tls)
    writer.close()


async def _other_ports(host: str, port: int, seconds: float) -> str:
    ports = [each for each in _USUAL_PORTS if each != port]
    tries = (_connect(host, each, min(seconds, 2.0)) for each in ports)
    answers = await asyncio.gather(*tries, return_exceptions=True)
    open_ports = [str(each) for each, answer in zip(ports, answers, strict=True) if answer is None]
    if not open_ports:
        return "Check the port, and whether the server runs."
    return f"Check the port: something listens on {' and '.join(open_ports)}."


async def _tls(host: str, port: int, seconds: float, tls: ssl.SSLContext) -> Finding:
    """Why HTTPS does not work there."""
    try:
        await _connect(host, port, seconds, tls)
    except (OSError, TimeoutError) as error:
        if isinstance(error, ssl.SSLError) and not is_no_tls(error):
            told = tls_error(host, error)
            options = ("ca=FILE",) if "ca=" in told.remedy else ()
            return Finding("TLS", Outcome.FAILS, str(told.args[0]), told.remedy, options)
        spoken = await _spoken(host, port, min(seconds, _PATIENCE))
        if spoken is _Spoken.HTTP:
            text = f"Port {port} of {host} speaks plain HTTP, and no TLS."
            return Finding("TLS", Outcome.FAILS, text, "Write http:// or dicomweb:// in the place of https://.")
        if spoken is _Spoken.TLS:
            told = too_old(host)
            return Finding("TLS", Outcome.FAILS, str(told.args[0]), told.remedy)
        return _no_http("TLS", host, port, spoken, "neither TLS nor HTTP")
    return Finding("TLS", Outcome.WORKS, "The certificate is trusted.")


async def _plain(host: str, port: int, seconds: float) -> Finding:
    """Why plain HTTP does not work there."""
    spoken = await _spoken(host, port, min(seconds, _PATIENCE))
    if spoken is _Spoken.TLS:
        text = f"Port {port} of {host} speaks TLS."
        return Finding("HTTP", Outcome.FAILS, text, "Write https:// or dicomwebs:// in the place of http://.")
    if spoken is _Spoken.HTTP:
        return Finding("HTTP", Outcome.WORKS, f"Port {port} of {host} speaks HTTP.")
    return _no_http("HTTP", host, port, spoken, "no HTTP")


def _no_http(check: str, host: str, port: int, spoken: _Spoken, lacking: str) -> Finding:
    if spoken is _Spoken.NOTHING:
        text = f"Port {port} of {host} takes connections, and is silent."
        return Finding(check, Outcome.NOTICE, text, "The server may hang or have too much to do; or check the port.")
    if spoken is _Spoken.DICOM:
        return Finding(
            check,
            Outcome.FAILS,
            f"Port {port} of {host} speaks {lacking}, but DICOM's own protocol (DIMSE).",
            "DICOMweb has another port, if the server has it at all: Orthanc's is 8042, where DIMSE has 4242.",
        )
    text = f"Port {port} of {host} speaks {lacking}."
    return Finding(check, Outcome.FAILS, text, "Check the port: it is that of something else.")


async def _spoken(host: str, port: int, seconds: float) -> _Spoken:
    """What a port speaks, by what it says to requests of each kind; nothing that identifies anybody is sent."""
    said = await _said(host, port, seconds, _REQUEST)
    if said is not None and said.startswith(b"HTTP/"):
        return _Spoken.HTTP
    if await _speaks_tls(host, port, seconds):
        return _Spoken.TLS
    answer = await _said(host, port, seconds, _ASSOCIATE + _ASSOCIATION, _ABORT)
    if answer and answer[0] in _ANSWERS and answer[1:2] == b"\0":
        return _Spoken.DICOM
    return _Spoken.NOTHING if said is None else _Spoken.OTHER


async def _speaks_tls(host: str, port: int, seconds: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent: who speaks TLS at all?
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        await _connect(host, port, seconds, context)
    except (OSError, TimeoutError):
        return False
    return True


async def _said(host: str, port: int, seconds: float, request: bytes, farewell: bytes = b"") -> bytes | None:
    """How the answer to some bytes begins; empty where the connection was closed, None where nothing came in time."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.read(5)
            finally:
                writer.write(farewell)
                writer.close()
    except TimeoutError:
        return None
    except OSError:
        return b""

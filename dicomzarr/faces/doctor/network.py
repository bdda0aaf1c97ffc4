"""The way to a server, step by step, where it does not answer: name, connection, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

from dicomzarr.faces.doctor.report import Finding, Outcome
from dicomzarr.runtime.pools import NAMES
from dicomzarr.sources.http.urls import PORTS

_USUAL_PORTS: Final = (443, 80, 8042, 8080, 8443)
"""Where DICOMweb servers listen: 8042 is Orthanc's."""

_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def way_to(base: str, seconds: float, tls: ssl.SSLContext) -> list[Finding]:
    """Why nothing answers at a URL: each step up to the one that fails.

    Args:
        base: http or https, without secrets.
        seconds: How long a step may take.
        tls: Whom it trusts, and who it says it is.
    """
    parts = urlsplit(base)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
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
    found.append(Finding("connection", Outcome.WORKS, f"Port {port} takes connections.", seconds=took))
    return [
        *found,
        await _tls(host, port, seconds, tls) if parts.scheme == "https" else await _plain(host, port, seconds),
    ]


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
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message or "it cannot be verified"
        return Finding(
            "TLS",
            Outcome.FAILS,
            f"The certificate of {host} is not trusted: {reason}.",
            "Name the certificate of the authority that signed it, in the environment's SSL_CERT_FILE or by ca=FILE;"
            " ask whoever runs the server for it. Where it has expired or names another host, they have to renew it.",
            ("ca=FILE",),
        )
    except (OSError, TimeoutError):
        if await _speaks_plain_http(host, port, seconds):
            text = f"Port {port} of {host} speaks plain HTTP, and no TLS."
            return Finding("TLS", Outcome.FAILS, text, "Write http:// or dicomweb:// in the place of https://.")
        text = f"Port {port} of {host} speaks neither TLS nor HTTP."
        return Finding("TLS", Outcome.FAILS, text, "Check the port: DICOM's own protocol has others than DICOMweb.")
    return Finding("TLS", Outcome.WORKS, "The certificate is trusted.")


async def _plain(host: str, port: int, seconds: float) -> Finding:
    """Why plain HTTP does not work there."""
    if await _speaks_tls(host, port, seconds):
        text = f"Port {port} of {host} speaks TLS."
        return Finding("HTTP", Outcome.FAILS, text, "Write https:// or dicomwebs:// in the place of http://.")
    if await _speaks_plain_http(host, port, seconds):
        return Finding("HTTP", Outcome.WORKS, f"Port {port} of {host} speaks HTTP.")
    text = f"Port {port} of {host} speaks no HTTP."
    return Finding("HTTP", Outcome.FAILS, text, "Check the port: DICOM's own protocol has others than DICOMweb.")


async def _speaks_tls(host: str, port: int, seconds: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent: who speaks TLS at all?
    try:
        await _connect(host, port, min(seconds, 5.0), context)
    except (OSError, TimeoutError):
        return False
    return True


async def _speaks_plain_http(host: str, port: int, seconds: float) -> bool:
    try:
        async with asyncio.timeout(min(seconds, 5.0)):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_REQUEST)
                return (await reader.read(5)).startswith(b"HTTP/")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False

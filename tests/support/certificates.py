"""Certificates for tests, made anew: an authority, and servers and clients that it vouches for."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from token_servers import served
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OF_A_CONNECTION = {"Host", "Connection", "Transfer-Encoding", "Content-Length", "Keep-Alive"}

KEY_PASSWORD = "k3y-passw0rd"  # noqa: S105  # nobody's


@dataclass(frozen=True)
class Authority:
    """Vouches for others."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self, folder: Path, name: str, *, days: int = 7, host: str = "127.0.0.1", password: str | None = None
    ) -> tuple[str, str]:
        """A certificate and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        certificate = (
            _builder(name, key, days=days)
            .issuer_name(self.certificate.subject)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return str(folder / f"{name}.pem"), str(folder / f"{name}.key")


def self_signed(folder: Path) -> tuple[str, str]:
    """A certificate for which nobody vouches but itself, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = _builder("own", key).issuer_name(name).add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "own.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(folder / "own.pem"), str(folder / "own.key")


def _builder(name: str, key: ec.EllipticCurvePrivateKey, *, days: int = 7) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
    )


@cache
def authority(name: str = "the hospital", *, careful: bool = True) -> Authority:
    """An authority that nobody knows yet; one that is not careful leaves out what newer rules ask for."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = _builder(name, key).issuer_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=careful)
    if careful:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False).add_extension(usage, critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def server_tls(files: tuple[str, str], clients: Authority | None = None) -> ssl.SSLContext:
    """TLS of a server; with an authority of clients it wants their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem.decode())
    return context


@contextmanager
def behind_tls(url: str, context: ssl.SSLContext) -> Iterator[str]:
    """A server behind another one that speaks TLS; gives the URL."""
    place = urlsplit(url.replace("dicomweb://", "http://"))

    async def forward(request: web.Request) -> web.Response:
        sent = {name: value for name, value in request.headers.items() if name not in _OF_A_CONNECTION}
        there = URL(f"http://{place.netloc}{request.raw_path}", encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, there, headers=sent, data=await request.read() or None) as reply,
        ):
            headers = {name: value for name, value in reply.headers.items() if name not in _OF_A_CONNECTION}
            return web.Response(status=reply.status, headers=headers, body=await reply.read())

    with served(forward, context) as front:
        yield f"{'dicomwebs' if url.startswith('dicomweb') else 'https'}{front.removeprefix('https')}{place.path}"

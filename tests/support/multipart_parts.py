"""Replies of many parts (RFC 2046 section 5.1, RFC 2387), and of one."""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Sequence  # noqa: TC003  # the dataclass below shows its types
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from dicomzarr.faces.dicomweb_server.replies import StreamedReply


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers as written, and its body."""

    headers: tuple[tuple[str, str], ...]
    body: bytes | memoryview

    def header(self, name: str) -> str | None:
        """The value of a header, by its name as written."""
        return dict(self.headers).get(name)

    def with_header(self, name: str, value: str | None) -> Part:
        """The same part with a header changed or, for None, gone."""
        if value is None:
            return replace(self, headers=tuple(pair for pair in self.headers if pair[0] != name))
        return replace(self, headers=tuple({**dict(self.headers), name: value}.items()))

    def with_body(self, body: bytes | memoryview) -> Part:
        """The same part around other bytes, its Content-Length adjusted."""
        return replace(self, body=body).with_header("Content-Length", str(len(body)))


def make_part(content_type: str, location: str, body: bytes | memoryview) -> Part:
    """A part with the headers that PS3.18 section 8.6.1.2 asks for."""
    return Part(
        (
            ("Content-Type", content_type),
            ("Content-Location", location),
            ("Content-Length", str(len(body))),
        ),
        body,
    )


class MultipartReply(web.Response):
    """A ``multipart/related`` reply that still knows its parts.

    Args:
        parts: At least one; the first gives the ``type`` parameter.
        status: The HTTP status.
    """

    def __init__(self, parts: Sequence[Part], *, status: int = 200) -> None:
        self.parts = tuple(parts)
        self.boundary = secrets.token_hex(16)
        media_type = (self.parts[0].header("Content-Type") or "").partition(";")[0]
        super().__init__(
            body=join_parts(self.parts, self.boundary),
            status=status,
            headers={"Content-Type": f'multipart/related; type="{media_type}"; boundary={self.boundary}'},
        )


def join_parts(parts: Sequence[Part], boundary: str) -> bytes:
    """The body, copied once."""
    pieces: list[bytes | memoryview] = []
    for part in parts:
        lines = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
        pieces += (f"--{boundary}\r\n{lines}\r\n".encode(), part.body, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces)


async def body_of(response: web.StreamResponse) -> bytes:
    """The whole body of a reply that is not sent yet; a streamed one can be sent no more."""
    if isinstance(response, StreamedReply):
        return b"".join([block async for block in response.blocks()])
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return response.body


async def parts_of(response: web.StreamResponse) -> tuple[Part, ...]:
    """The parts of a multipart reply that is not sent yet."""
    if isinstance(response, MultipartReply):
        return response.parts
    kind = response.headers.get("Content-Type", "")
    if not kind.startswith("multipart/"):
        raise TypeError("This fault is one of multipart replies: the test must ask for one.")
    delimiter = b"\r\n--" + kind.partition("boundary=")[2].encode()
    parts = []
    for piece in (b"\r\n" + await body_of(response)).split(delimiter)[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = (line.split(": ", 1) for line in head.decode().split("\r\n"))
        parts.append(Part(tuple((name, value) for name, value in lines), body))
    return tuple(parts)


async def json_of(response: web.StreamResponse) -> Any:
    """The JSON of a reply that is not sent yet, zipped or not."""
    body = await body_of(response)
    return json.loads(gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body)

"""Plain requests to a DICOMweb server, and their replies taken apart without a line of ours."""

from __future__ import annotations

from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from waiting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
ANY_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
EXPLICIT = "1.2.840.10008.1.2.1"


class Body(NamedTuple):
    """One part of a reply."""

    headers: dict[str, str]
    data: bytes


def get(url: str, accept: str | None = None, **headers: str) -> requests.Response:
    """One request; an Accept header only where it is given."""
    asked: dict[str, Any] = {"Accept": accept, **headers}
    return requests.get(url, headers=asked, timeout=SECONDS)


def split(reply: requests.Response) -> list[Body]:
    """The parts of a well-formed reply."""
    boundary = reply.headers["Content-Type"].partition("boundary=")[2].encode()
    assert reply.content.endswith(b"\r\n--" + boundary + b"--\r\n")
    parts = []
    for piece in (b"\r\n" + reply.content).split(b"\r\n--" + boundary)[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        parts.append(Body(dict(BytesHeaderParser().parsebytes(head).items()), data))
        assert int(parts[-1].headers["Content-Length"]) == len(data)
    return parts


def joined(files: Iterable[bytes], boundary: str = "b0undary", **headers: str) -> bytes:
    """The body of a Store request."""
    lines = {"Content-Type": "application/dicom", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    parts = b"".join(f"--{boundary}\r\n{head}\r\n".encode() + data + b"\r\n" for data in files)
    return parts + f"--{boundary}--\r\n".encode()


def store(url: str, body: bytes, kind: str = "application/dicom", **headers: str) -> requests.Response:
    """Send instances."""
    content_type = f'multipart/related; type="{kind}"; boundary=b0undary'
    return requests.post(url, data=body, headers={"Content-Type": content_type, **headers}, timeout=SECONDS)

"""Multipart bodies, changed and cut at random: through the parser, and on to the frames that they hold."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from cases import Case
from mutations import mutate_bytes

from dicomzarr.errors import DicomZarrError
from dicomzarr.sources.dicomweb.messages.multipart import MultipartParser
from dicomzarr.sources.dicomweb.messages.replies import PartSorter
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from random import Random

    from dicomzarr.sources.dicomweb.messages.multipart import Part

_INSTANCE: Final = "1.2.3"
_BOUNDARIES: Final = ("b0und'ary", "x", "-", "=_" * 40)
_CONTENT_TYPES: Final = (
    'multipart/related; type="image/jpeg"; boundary="{}"',
    "multipart/related; boundary={}",
    "multipart/related",
    'multipart/mixed; boundary="{}',
    "text/html; boundary={}",
    "",
)
_BODIES: Final = (
    *(b"", b"\r\n", b"--", b"\r\n--x", b"\xff\xd8\xff\xd9", b"\r\n\r\n", bytes(300)),
    *(b"<html>", b"--b0und'ary--", b"\r\n--b0und'ary\r\n", bytes(128) + b"DICM"),
)


class Multipart:
    """Bodies that are made as servers make them."""

    def make(self, random: Random) -> Case:
        """A body with changes, and where it is cut into chunks."""
        boundary = random.choice(_BOUNDARIES)
        if random.random() < 0.2:
            return _honest(random, boundary)
        body = _body(random, boundary)
        if random.random() < 0.6:
            body = mutate_bytes(random, body, (*_BODIES, f"\r\n--{boundary}".encode()))
        cuts = sorted(random.randrange(len(body) + 1) for _ in range(random.randrange(6)))
        settings: dict[str, Any] = {
            "content_type": random.choice(_CONTENT_TYPES).format(boundary),
            "cuts": cuts,
            "frames": random.choice(([1], [1, 2, 3], [7, 2], [2**31])),
        }
        return Case(body, settings)

    def run(self, case: Case) -> str:
        """Parse it in one piece and in chunks, which must come to the same, and sort the parts."""
        content_type, cuts = case.settings["content_type"], case.settings["cuts"]
        edges = [0, *cuts, len(case.data)]
        chunks = [case.data[start:end] for start, end in pairwise(edges)]
        whole, in_chunks = _outcome([case.data], content_type), _outcome(chunks, content_type)
        assert whole == in_chunks, "what comes out depends on where the body is cut"
        parts, problem = whole
        if "bodies" in case.settings:  # they are spelled in an unusual way, and yet as the standard has it
            assert not problem, problem
            assert [part.body.hex() for part in parts] == case.settings["bodies"]
        outer = MediaType.parse(content_type)
        sorter = PartSorter(_INSTANCE, case.settings["frames"], outer, "frames")
        found = [placed for part in parts if (placed := sorter.add(part)) is not None]
        found += sorter.finish()
        assert len(dict(found)) == len(found)
        assert set(dict(found)) <= set(case.settings["frames"])
        return problem.partition(":")[0] or f"{min(len(found), 2)} frames"


def _honest(random: Random, boundary: str) -> Case:
    """A body as RFC 2046 allows it, with what few servers send: other texts, folded headers, parts that hold dashes."""
    newline = random.choice((b"\r\n", b"\r\n", b"\n"))
    delimiter = b"--" + boundary.encode()
    look_alikes = (delimiter[:-1], b"x" + delimiter, newline + delimiter[:-1] + b"\0", newline + b"--", b"-" * 300)
    body, bodies = random.choice((b"", newline, b"text " + delimiter + newline, b"a: b" + newline)), []
    for _ in range(random.randrange(1, 6)):
        data = b"".join(
            random.choice((*look_alikes, random.randbytes(40), bytes(9))) for _ in range(random.randrange(5))
        )
        if newline + delimiter in newline + data:
            data = b""  # which would end the part
        lines = [delimiter + random.choice((b"", b"", b" ", b" \t"))]
        lines += random.choice(
            ([], [b"Content-Type: image/jpeg;", b"  transfer-syntax=1.2.3"], [b"X:"], [b"a: " + b"b" * 3000])
        )
        if random.random() < 0.6:
            lines.append(
                random.choice((b"Content-Length: %d", b"content-length:%d", b"CONTENT-LENGTH :  %d")) % len(data)
            )
        body += newline.join([*lines, b"", b""]) + data + newline
        bodies.append(data.hex())
    body += delimiter + b"--" + random.choice((b"", newline, newline + b"epilogue " + newline + delimiter + newline))
    cuts = sorted(random.randrange(len(body) + 1) for _ in range(random.randrange(6)))
    kind = f'multipart/related; type="image/jpeg"; boundary="{boundary}"'
    return Case(body, {"content_type": kind, "cuts": cuts, "frames": [1, 2, 3], "bodies": bodies})


def _body(random: Random, boundary: str) -> bytes:
    newline = random.choice(("\r\n", "\r\n", "\n"))
    body = random.choice((b"", b"", b"preamble\r\n", b"\r\n"))
    for number in range(1, 1 + random.randrange(4)):
        data = random.choice((*_BODIES, random.randbytes(random.randrange(400))))
        lines = [f"--{boundary}"]
        if random.random() < 0.8:
            lines.append(f"Content-Type: {random.choice(('image/jpeg', 'application/octet-stream', 'text/html'))}")
        if random.random() < 0.7:
            lines.append(f"Content-Length: {random.choice((*[len(data)] * 9, 0, 10**20, -1))}")
        if random.random() < 0.7:
            lines.append(f"Content-Location: http://h/instances/{_INSTANCE}/frames/{random.choice((number, 10**12))}")
        body += newline.join([*lines, "", ""]).encode() + data + newline.encode()
    return body + f"--{boundary}--".encode() + random.choice((b"", b"\r\n", b"\r\nepilogue"))


def _outcome(chunks: list[bytes], content_type: str) -> tuple[list[Part], str]:
    parser = MultipartParser(content_type)
    parts: list[Part] = []
    try:
        for chunk in chunks:
            parts += parser.feed(chunk)
        parser.close()
    except DicomZarrError as error:
        return parts, f"{type(error).__name__}: {error}"
    return parts, ""


TARGETS = {"multipart": Multipart}

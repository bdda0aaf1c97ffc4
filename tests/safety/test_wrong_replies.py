"""Replies that contradict themselves or the metadata: an error that names the frame, and nothing of them is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from faults import fault, status
from multipart_parts import MultipartReply, parts_of
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian
from radiology_model import distinct
from radiology_nuclear import evenly_timed
from radiology_opened import Opener

from dicomzarr.errors import DicomZarrError
from dicomzarr.sources.dicomweb.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp import web
    from aiohttp.typedefs import Handler
    from multipart_parts import Part

PIXELS: Final = distinct((10, 16, 20))
BAD: Final = 3
"""The frame that is spoiled."""

NAMES: Final = ("frames/4", "<http://h/Frames//04#x>")
"""The URL of its neighbour, as none of our own servers spells it."""


def with_header(name: str, value: str) -> Callable[[list[Part], int], None]:
    """The part says of itself what is not so."""

    def change(parts: list[Part], at: int) -> None:
        parts[at] = parts[at].with_header(name, value)

    return change


def alone_named(parts: list[Part], at: int) -> None:
    """It has the name of its neighbour, and no other part has any."""
    parts[:] = [part.with_header("Content-Location", None) for part in parts]
    parts[at] = parts[at].with_header("Content-Location", "/frames/4")


def web_page(parts: list[Part], at: int) -> None:
    """As long as a frame."""
    parts[at] = parts[at].with_body(b"\xef\xbb\xbf \n<!DOCTYPE html>".ljust(len(parts[at].body)))


WRONG_PARTS: Final[dict[str, Callable[[list[Part], int], None]]] = {
    **{f"named {name}": with_header("Content-Location", name) for name in NAMES},
    "one name among parts without any": alone_named,
    "the middle of something": with_header("Content-Range", "bytes 640-1279/6400"),
    "the beginning of something": with_header("Content-Range", "bytes=0-639/6400"),
    "another byte order": with_header(
        "Content-Type", f"application/octet-stream; transfer-syntax={ExplicitVRBigEndian}"
    ),
    "a web page behind a byte order mark": web_page,
}
WRONG_RANGES: Final = (("bytes 7-99/640", 206), ("bytes 0-98/640", 206), ("bytes 640-1279/6400", 200))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Opens series; retries wait no time."""

    async def skip(_pause: float) -> None:
        """At once."""

    defaults = Client.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "sleep", skip)
    with Opener() as opener:
        yield opener


def read_until_it_is_mended(opened: Opener, cache: Path, spoil: Callable[[list[Part], int], web.Response]) -> None:
    """Read frames of which one is spoiled, and all of them when it is not any more."""
    spoils = True

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        numbers = request.path.rpartition("/")[2].split(",")
        if not spoils or str(BAD) not in numbers:
            return response
        return spoil(list(await parts_of(response)), numbers.index(str(BAD)))

    series = evenly_timed(PIXELS)
    series.datasets[0].AvailableTransferSyntaxUID = ExplicitVRLittleEndian
    level = opened(series, status(404, on="instances"), fault(act), cache_dir=str(cache)).levels[0]
    with pytest.raises(DicomZarrError, match="frame"):
        level[...]
    for at, expected in enumerate(PIXELS):
        if at == BAD - 1:
            with pytest.raises(DicomZarrError, match=rf"frame {BAD}\b"):
                level[at]
        else:
            assert np.array_equal(level[at], expected)
    spoils = False
    assert np.array_equal(level[...], PIXELS)


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_a_part_that_is_not_what_it_says(opened: Opener, tmp_path: Path, name: str) -> None:
    def spoil(parts: list[Part], at: int) -> web.Response:
        WRONG_PARTS[name](parts, at)
        return MultipartReply(parts)

    read_until_it_is_mended(opened, tmp_path, spoil)


@pytest.mark.parametrize(("value", "code"), WRONG_RANGES)
def test_a_range_of_bytes_that_nobody_asked_for(opened: Opener, tmp_path: Path, value: str, code: int) -> None:
    def spoil(parts: list[Part], _at: int) -> web.Response:
        reply = MultipartReply(parts, status=code)
        reply.headers["Content-Range"] = value
        return reply

    read_until_it_is_mended(opened, tmp_path, spoil)

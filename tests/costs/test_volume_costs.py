"""What opening and reading a long volume asks of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from asking import PATIENT, ask_by
from radiology_model import AXIAL, distinct
from radiology_opened import Opener, pixels_of
from radiology_volumes import volume
from serving import forget_servers

import dicomzarr
from dicomzarr.sources.http.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from orthanc import Orthanc

    from dicomzarr.sources.http.exchange import RequestSpec
    from dicomzarr.sources.http.transport import Response

SLICES = 120
PIXELS = distinct((SLICES, 8, 10), 16)
FEWER = 60
"""For a server that takes its time to store them."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that are asked for."""
    urls: list[str] = []
    send = Exchange.send

    async def counted(self: Exchange, spec: RequestSpec, read: Callable[[Response], Awaitable[object]]) -> object:
        urls.append(spec.url())
        return await send(self, spec, read)

    monkeypatch.setattr(Exchange, "send", counted)
    return urls


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener(PATIENT) as opener:
        yield opener


def test_a_long_volume_opens_in_one_request_and_a_slice_is_one_frame(opened: Opener) -> None:
    image = opened(volume(AXIAL, PIXELS, bits=16, name="long"))
    assert len(opened.servers[-1].requests) == 1
    assert np.array_equal(image.levels[0][23], PIXELS[23])
    assert [opened.count("metadata"), opened.count("frames")] == [1, 1]
    assert np.array_equal(pixels_of(image), PIXELS)
    assert opened.count("metadata") == 1
    # The slice is in the cache; after a few others the whole series may come.
    assert opened.count("frames") + opened.count("series") <= SLICES


def test_a_long_volume_on_orthanc(orthanc: Orthanc, asked: list[str]) -> None:
    series = volume(AXIAL, PIXELS[:FEWER], bits=16, name="long on Orthanc")
    orthanc.load(series.datasets)
    url = orthanc.series_url(series.study_uid, series.series_uid)
    forget_servers()
    ask_by(url, PATIENT)
    image = dicomzarr.open(url)
    assert [url.rpartition("/")[2] for url in asked] == ["metadata"]
    assert np.array_equal(image.levels[0][23], PIXELS[23])
    assert len(asked) == 2
    assert np.array_equal(pixels_of(image), PIXELS[:FEWER])
    assert len(asked) <= 1 + FEWER

"""One server and one credential are one access: whatever options open a series there, it is asked as one."""

from __future__ import annotations

import asyncio
import gc
import json
from pickle import dumps, loads
from typing import TYPE_CHECKING, Any

import aiohttp
import fsspec
import numpy as np
import pytest
from aiohttp import web
from faults import delay, fault, first, status
from opened import array_at
from processes import FORKS, run_strictly
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_traps import palette_clips
from radiology_volumes import volume
from segmentable import CT, SHAPE, SOURCES
from segmentations import random_masks, segmented
from serving import Served, forget_servers, serving
from slides import brightfield_pyramid
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import InsecureTransportError, PermissionDeniedError
from dicomzarr.options import StorageOptions
from dicomzarr.session.opened import OpenedSeries
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.source import DICOMwebSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from dicomzarr.arrays.image import Image

PIXELS = distinct((12, 4, 6), 16)
VOLUME = volume(AXIAL, PIXELS, bits=16, name="shared")
SLIDE = brightfield_pyramid()
EXPECTED = SLIDE.levels[0].pixels[:, 0]

SPELLINGS: list[dict[str, Any]] = [
    {},
    {"values": "modality"},
    {"include_phi": True},
    {"associated_label": True},
    {"timeout": 9},
    {"cache_bytes": 2**26},
    {"max_connections": 3},
    {"frames_per_request": 4},
    {"allow_insecure": True},
    {"values": "modality", "include_phi": True, "timeout": 30, "max_connections": 16},
]


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


class InFlight:
    """Counts the requests for frames that a server has to answer at once; it answers none before there were enough."""

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.most = 0
        self._now = 0
        self.middleware = fault(self._act)

    async def _act(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(0.005)
            while self.most < self.enough:  # noqa: ASYNC110  # any request may be the last of them
                await asyncio.sleep(0.005)
            return await handler(request)
        finally:
            self._now -= 1


def sessions(before: Sequence[aiohttp.ClientSession] = ()) -> list[aiohttp.ClientSession]:
    """Those that are open, but for some; of other tests', some may close only now."""
    gc.collect()
    known = set(map(id, before))
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, aiohttp.ClientSession) and not each.closed and id(each) not in known
    ]


def opened_series() -> list[OpenedSeries]:
    return [each for each in gc.get_objects() if type(each) is OpenedSeries]


# --- options ---


def test_spellings_of_options_share_connections_metadata_and_frames() -> None:
    before = sessions()
    with serving(SLIDE) as served:
        images = [dicomzarr.open(served.url, **options) for options in SPELLINGS]
        for image in images:
            assert np.array_equal(image.levels[0][...], EXPECTED)
        for options in SPELLINGS:
            assert np.array_equal(array_at(served.url, path="0", storage_options=options)[...], EXPECTED)
        assert served.count("metadata") == 1
        assert sorted(served.frames_asked()) == sorted(set(served.frames_asked()))
        assert len(sessions(before)) == 1
        assert len({id(endpoint_for(served.server.url, StorageOptions.parse(**each))) for each in SPELLINGS}) == 1


def test_the_fewest_connections_that_somebody_open_asked_for_hold() -> None:
    watch = InFlight(2)
    with serving(SLIDE, watch.middleware) as served:
        many = dicomzarr.open(served.url, max_connections=16, frames_per_request=1)
        few = dicomzarr.open(served.url, max_connections=2)
        assert np.array_equal(many.levels[0][...], EXPECTED)
        assert watch.most == 2
        del few
        watch.most, watch.enough = 0, 3
        assert np.array_equal(many.levels[1][...], SLIDE.levels[1].pixels[:, 0])
        assert watch.most >= 3


def test_all_slow_down_when_the_server_is_busy() -> None:
    with serving(SLIDE, status(429, {"Retry-After": "0"}, when=first(2))) as served:
        one, other = dicomzarr.open(served.url), dicomzarr.open(served.url, include_phi=True)
        assert np.array_equal(one.levels[1][...], SLIDE.levels[1].pixels[:, 0])
        options = StorageOptions.parse(values="modality")
        source = endpoint_for(served.server.url, options).source
        assert isinstance(source, DICOMwebSource)
        assert source.client.connections < options.max_connections
        assert np.array_equal(other.levels[1][...], SLIDE.levels[1].pixels[:, 0])


def test_the_longest_timeout_of_those_open_holds() -> None:
    with serving(SLIDE, delay(0.5, on="frames")) as served:
        patient = dicomzarr.open(served.url, timeout=60)
        impatient = dicomzarr.open(served.url, timeout=0.3)
        level = SLIDE.levels[-1].pixels[:, 0]
        assert np.array_equal(impatient.levels[-1][...], level)
        assert np.array_equal(patient.levels[-1][...], level)


def test_frames_are_kept_if_anybody_open_wants_them_kept() -> None:
    with serving(SLIDE) as served:
        keeps_none = dicomzarr.open(served.url, cache_bytes=0)
        for _ in range(2):
            assert np.array_equal(keeps_none.levels[-1][...], SLIDE.levels[-1].pixels[:, 0])
        asked = len(served.frames_asked())
        assert asked == 2 * len(set(served.frames_asked()))
        keeps = dicomzarr.open(served.url)
        assert np.array_equal(keeps.levels[-1][...], SLIDE.levels[-1].pixels[:, 0])
        asked = len(served.frames_asked())
        assert np.array_equal(keeps_none.levels[-1][...], SLIDE.levels[-1].pixels[:, 0])
        assert len(served.frames_asked()) == asked


def test_credentials_over_plain_http_are_allowed_by_each_who_reads() -> None:
    headers = {"X-Token": "hush"}
    allowed = StorageOptions.parse(headers=headers, allow_insecure=True)
    assert endpoint_for("http://server.example", allowed) is endpoint_for("http://server.example", allowed)
    with pytest.raises(InsecureTransportError):
        endpoint_for("http://server.example", StorageOptions.parse(headers=headers))
    forget_servers()


# --- views ---


def test_a_view_shows_what_it_would_alone(opened: Opener) -> None:
    """Whatever other views were made of the same opening."""
    url = opened.url(VOLUME)

    def documents(**options: Any) -> dict[str, bytes]:
        fs = fsspec.filesystem("dicomweb", **options)
        return fs.cat([f"{url}/zarr.json", f"{url}/0/zarr.json"])

    alone = []
    for options in SPELLINGS:
        alone.append(documents(**options))
        forget_servers()
    held = [dicomzarr.open(url, **options) for options in reversed(SPELLINGS)]
    assert [documents(**options) for options in SPELLINGS] == alone
    assert held
    for options, shown in zip(SPELLINGS, alone, strict=True):
        said = [json.loads(each)["attributes"].get("dicomzarr", {}) for each in shown.values()]
        assert any("patient" in each for each in said) == options.get("include_phi", False)


def test_the_label_of_a_slide_is_shown_to_who_asks_only() -> None:
    with serving(SLIDE) as served:
        asks = dicomzarr.open(served.url, associated_label=True)
        assert "label" in asks.associated
        assert "label" not in dicomzarr.open(served.url).associated
        assert served.count("metadata") == 1


def test_a_palette_in_color_costs_no_metadata(opened: Opener) -> None:
    clips, _ = palette_clips(distinct((1, 2, 4, 6), 8))
    image = opened(clips)
    assert image.in_color.levels[0][...].shape == (2, 3, 4, 6)
    assert image.thumbnail(4).shape[-1] == 3
    assert opened.count("metadata") == 1


def test_labels_cost_the_metadata_of_segmentations_once(opened: Opener) -> None:
    masks = segmented(SOURCES, random_masks((1, *SHAPE)))
    server = opened.serve([*SOURCES, masks.dataset])
    url = server.series_url(CT.study_uid, CT.series_uid)
    plain = dicomzarr.open(url)
    assert not plain.labels
    views = [dicomzarr.open(url, labels=True, values=values) for values in ("stored", "modality")]
    assert all(view.labels for view in views)
    assert opened.count("metadata") == 2


def test_metadata_are_kept_as_long_as_a_view_is_open_and_read_anew_when_invalidated(opened: Opener) -> None:
    url = opened.url(VOLUME)
    held = dicomzarr.open(url)
    fs = fsspec.filesystem("dicomweb", timeout=9)
    for options in SPELLINGS:
        dicomzarr.open(url, **options)
    assert opened.count("metadata") == 1
    fs.invalidate_cache(url)
    for options in SPELLINGS:
        dicomzarr.open(url, **options)
    assert opened.count("metadata") == 2
    assert np.array_equal(held.levels[0][...], PIXELS)


def test_a_disk_cache_shares_the_connections_and_holds_what_is_read_with_it_only(
    opened: Opener, tmp_path: Path
) -> None:
    url = opened.url(VOLUME)
    before = sessions()

    def frames_asked(image: Image) -> int:
        asked = len(opened.servers[-1].requests)
        assert np.array_equal(image.levels[0][...], PIXELS)
        return len(opened.servers[-1].requests) - asked

    on_disk = StorageOptions.parse(cache_dir=tmp_path)

    def written() -> bool:
        return all(disk.written(SECONDS) for disk in endpoint_for(opened.servers[-1].url, on_disk).disks)

    memory, disk = dicomzarr.open(url), dicomzarr.open(url, cache_dir=tmp_path)
    assert frames_asked(memory)
    assert len(sessions(before)) == 1
    assert written()
    forget_servers()
    disk = dicomzarr.open(url, cache_dir=tmp_path)
    assert frames_asked(disk)
    assert written()
    forget_servers()
    assert not frames_asked(dicomzarr.open(url, cache_dir=tmp_path))


# --- credentials ---


def test_credentials_share_nothing_that_the_server_did_not_send_each() -> None:
    @web.middleware
    async def only_one(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("X-Token") == "refused":
            raise web.HTTPForbidden
        return await handler(request)

    with serving(SLIDE, only_one) as served:
        one, other = (dicomzarr.open(served.url, headers={"X-Token": token}) for token in ("a", "b"))
        for image in (one, other):
            assert np.array_equal(image.levels[0][...], EXPECTED)
        assert served.count("metadata") == 2
        assert len(served.frames_asked()) == 2 * len(set(served.frames_asked()))
        with pytest.raises(PermissionDeniedError):
            dicomzarr.open(served.url, headers={"X-Token": "refused"})


def _call(served: Served, number: int) -> None:
    image = dicomzarr.open(served.url, headers={"Authorization": f"Bearer {number}"})
    assert np.array_equal(image.levels[-1][...], SLIDE.levels[-1].pixels[:, 0])


@pytest.mark.slow
def test_a_thousand_tokens_are_bounded() -> None:
    forget_servers()
    before, others = sessions(), opened_series()
    with serving(SLIDE) as served:
        for _ in range(2):
            for number in range(1000):
                _call(served, number)
        assert served.count("metadata") == 1000
        assert len(served.frames_asked()) == 1000 * len(set(served.frames_asked()))
        assert len(sessions(before)) == 1000
        assert len({id(each.parsed) for each in opened_series() if each not in others}) == 1
    assert not sessions(before)


# --- processes ---


def test_pickles_of_views_share_what_is_open(opened: Opener) -> None:
    url = opened.url(VOLUME)
    images = [dicomzarr.open(url, **options) for options in SPELLINGS]
    for image in images:
        copied = loads(dumps(image))  # noqa: S301  # our own
        assert np.array_equal(copied.levels[0][...], image.levels[0][...])
        assert copied.levels[0].dtype == image.levels[0].dtype
    assert opened.count("metadata") == 1


FORKED = """
import os, signal, sys
import numpy as np, dicomzarr
from radiology_model import distinct

PIXELS = distinct((12, 4, 6), 16)
views = [{}, {"values": "modality"}, {"include_phi": True}]
images = [dicomzarr.open(sys.argv[1], **view) for view in views]
assert np.array_equal(images[0].levels[0][:2], PIXELS[:2])
child = os.fork()
if not child:
    signal.alarm(20)
    try:
        for image in images:
            assert image.levels[0][...].shape == PIXELS.shape
        assert np.array_equal(images[0].levels[0][...], PIXELS)
        for view in views:
            dicomzarr.open(sys.argv[1], **view)
    except BaseException:
        os._exit(1)
    os._exit(0)
status = os.waitpid(child, 0)[1]
assert np.array_equal(images[0].levels[0][...], PIXELS)
print(status)
"""


@pytest.mark.slow
@FORKS
def test_a_forked_child_has_one_access_of_its_own(opened: Opener) -> None:
    url = opened.url(VOLUME)
    assert json.loads(run_strictly("-c", FORKED, url)) == 0
    assert opened.count("metadata") == 2  # the parent's, and that of what the child opens

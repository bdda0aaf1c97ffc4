"""Images that somebody holds: they stay what they were opened as, whatever is forgotten, forked or changed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pickle import dumps, loads
from typing import TYPE_CHECKING, Any

import faults
import fsspec
import numpy as np
import pytest
from aiohttp import web
from asking import ALWAYS_WHOLE
from multipart_parts import json_of
from opened import array_at
from processes import FORKS, run_strictly
from radiology_model import AXIAL, distinct
from radiology_opened import Opener, ready_to_serve
from radiology_volumes import volume
from segmentable import CT as SEGMENTED
from segmentable import SHAPE as MASKS
from segmentable import SOURCES
from segmentations import random_masks, segmented
from serving import forget_servers
from waiting import SECONDS
from zarr.storage import FsspecStore

import dicomzarr
from dicomzarr.arrays.image import Image
from dicomzarr.engine import reader
from dicomzarr.errors import FrameNotFoundError, FrameShapeError, NotFoundError, SeriesChangedError
from dicomzarr.options import StorageOptions
from dicomzarr.session.opening import endpoint_for
from dicomzarr.session.registry import LIMITS
from dicomzarr.sources.dicomweb.urls import DICOMwebURL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aiohttp.typedefs import Handler, Middleware
    from multipart_parts import Part
    from pydicom import Dataset

SLICES = 60
PIXELS = distinct((SLICES, 4, 6), 16)
LOST = 3
"""Slices from the lowest on that the server loses where a series changes: others come to lie on their cells."""
DATASETS = volume(AXIAL, PIXELS, bits=16, name="held")
CT = ready_to_serve(DATASETS)
BOUND = 2 * SLICES
"""Requests that reading all slices may take, whole series included."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener(ALWAYS_WHOLE) as opener:
        yield opener


def in_time(read: Callable[[], Any]) -> Any:
    """What is read; a read that never ends fails."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(read).result(SECONDS)
    finally:
        pool.shutdown(wait=False)


def copied(kept: bytes) -> Any:
    """What was pickled."""
    return loads(kept)  # noqa: S301  # our own


def requests(opener: Opener) -> int:
    return len(opener.servers[-1].requests)


class Losing:
    """A server that loses instances or series, by their UIDs."""

    def __init__(self) -> None:
        self.lost: set[str] = set()

    def lose(self, datasets: Iterable[Dataset]) -> None:
        self.lost |= {str(each.SOPInstanceUID) for each in datasets}

    @property
    def middleware(self) -> Middleware:
        return faults.fault(self._act, on="any")

    async def _act(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.lost.intersection(request.path.split("/")):
            raise web.HTTPNotFound
        response = await handler(request)
        if not self.lost:
            return response
        if faults.resource(request) == "series" and "multipart" in request.headers.get("Accept", ""):
            raise web.HTTPNotFound
        if response.content_type != "application/dicom+json":
            return response
        listed = await json_of(response)
        return web.json_response([each for each in listed if not self._is_lost(each)])

    def _is_lost(self, attributes: dict[str, Any]) -> bool:
        uids = {attributes.get(tag, {}).get("Value", [""])[0] for tag in ("00080018", "0020000E")}
        return not uids.isdisjoint(self.lost)


@pytest.fixture
def losing() -> Losing:
    return Losing()


LOWEST = sorted(DATASETS.datasets, key=lambda each: float(each.ImagePositionPatient[2]))[:LOST]


def invalidated(url: str) -> None:
    fsspec.filesystem("dicomweb", cache_bytes=0).invalidate_cache(url)


def all_invalidated(_: str) -> None:
    fsspec.filesystem("dicomweb", cache_bytes=0).invalidate_cache()


def identity_driven_out(url: str) -> None:
    base = DICOMwebURL.parse(url).base
    for number in range(LIMITS.endpoints):
        endpoint_for(base, StorageOptions.parse(headers={"X-Other": str(number)}))


WAYS = [invalidated, all_invalidated, identity_driven_out]
"""How what is open comes to be forgotten."""


@pytest.mark.parametrize("forgotten", WAYS)
@pytest.mark.parametrize("has_read", [False, True])
def test_a_held_image_reads_on(opened: Opener, forgotten: Callable[..., None], has_read: object) -> None:
    image = opened(CT, cache_bytes=0)
    assert image.levels[0].shape == PIXELS.shape
    if has_read:
        assert np.array_equal(image.levels[0][...], PIXELS)
    before = requests(opened)
    forgotten(image.series_url)
    for _ in range(2):
        assert np.array_equal(in_time(lambda: image.levels[0][...]), PIXELS)
    assert requests(opened) - before <= 2 * BOUND
    assert sum(request.resource == "metadata" for request in opened.servers[-1].requests[before:]) <= 1


def test_a_held_image_reads_on_when_sixty_four_others_were_opened(opened: Opener) -> None:
    others = [dataset for number in range(LIMITS.views + 1) for dataset in _tiny(number)]
    server = opened.serve([*CT.datasets, *others])
    image = dicomzarr.open(server.series_url(CT.study_uid, CT.series_uid), cache_bytes=0)
    assert image.levels[0].shape == PIXELS.shape
    for uids in {(str(each.StudyInstanceUID), str(each.SeriesInstanceUID)) for each in others}:
        dicomzarr.open(server.series_url(*uids), cache_bytes=0)
    before = requests(opened)
    assert np.array_equal(in_time(lambda: image.levels[0][...]), PIXELS)
    assert requests(opened) - before <= BOUND


def _tiny(number: int) -> Sequence[Dataset]:
    return volume(AXIAL, PIXELS[:1], bits=16, name=f"other {number}").datasets


FORKED = """
import os, signal, sys
import numpy as np, dicomzarr
from asking import ALWAYS_WHOLE, ask_by
from radiology_model import distinct
from dicomzarr.engine import reader

PIXELS = distinct((60, 4, 6), 16)
ask_by(sys.argv[1], ALWAYS_WHOLE)
image = dicomzarr.open(sys.argv[1], cache_bytes=0)
level = image.levels[0]
assert level.shape == PIXELS.shape
if sys.argv[2] == "True":
    assert np.array_equal(level[...], PIXELS)
statuses = []
for _ in range(2):
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            for _ in range(2):
                assert np.array_equal(level[...], PIXELS)
            assert image.images[0].levels[0].shape == PIXELS.shape
        except BaseException:
            os._exit(1)
        os._exit(0)
    statuses.append(os.waitpid(child, 0)[1])
assert np.array_equal(level[...], PIXELS)
print(statuses)
"""


@FORKS
@pytest.mark.parametrize("has_read", [pytest.param(False, marks=pytest.mark.slow), True])
def test_forked_children_read_what_their_parent_holds(opened: Opener, has_read: object) -> None:
    url = opened.url(CT)
    assert json.loads(run_strictly("-c", FORKED, url, str(has_read))) == [0, 0]
    assert requests(opened) <= 6 * BOUND
    assert opened.count("metadata") == 1


# --- series that change ---


@pytest.mark.parametrize("forgotten", WAYS)
def test_a_held_image_of_a_series_that_changed_never_shows_other_cells(
    opened: Opener, losing: Losing, forgotten: Callable[..., None]
) -> None:
    image = opened(CT, losing.middleware, cache_bytes=0)
    assert image.levels[0].shape == PIXELS.shape
    losing.lose(LOWEST)
    forgotten(image.series_url)
    level = image.levels[0]
    assert np.array_equal(in_time(lambda: level[LOST:]), PIXELS[LOST:])
    with pytest.raises(FrameNotFoundError):
        in_time(lambda: level[...])
    assert np.array_equal(in_time(lambda: image.images[0].levels[0][LOST]), PIXELS[LOST])
    invalidated(image.series_url)
    anew = dicomzarr.open(image.series_url, cache_bytes=0)
    assert np.array_equal(in_time(lambda: anew.levels[0][...]), PIXELS[LOST:])


def test_a_pickle_opens_in_the_same_state_or_not_at_all(opened: Opener, losing: Losing) -> None:
    image = opened(CT, losing.middleware)
    kept = dumps((image, image.levels[0], image.levels[0].to_dask()))
    fsspec.filesystem("dicomweb").invalidate_cache(image.series_url)
    for level in copied(kept)[1:]:
        assert np.array_equal(np.asarray(level), PIXELS)
    losing.lose(LOWEST)
    before = opened.count("metadata")
    still = copied(kept)[1]
    assert np.array_equal(still[...], PIXELS)  # for what is still open is in that state
    fsspec.filesystem("dicomweb").invalidate_cache(image.series_url)
    for read in (lambda: copied(kept)[0].plan, lambda: copied(kept)[1][...], copied(kept)[2].compute):
        with pytest.raises(SeriesChangedError, match="has changed on the server"):
            in_time(read)
    assert opened.count("metadata") - before <= 10


def test_a_pickle_is_not_bound_to_what_its_reader_opened_before(opened: Opener, losing: Losing) -> None:
    """A worker may have the series open as it was; what it is sent is of today."""
    url = opened.url(CT, losing.middleware)
    losing.lose(LOWEST)
    today = dumps(dicomzarr.open(url))
    losing.lost.clear()
    fsspec.filesystem("dicomweb").invalidate_cache(url)
    old = dicomzarr.open(url)
    assert old.levels[0].shape == PIXELS.shape
    losing.lose(LOWEST)
    image: Image = copied(today)
    assert np.array_equal(in_time(lambda: image.levels[0][...]), PIXELS[LOST:])


def test_a_zarr_array_of_a_series_that_changed_never_shows_other_cells(opened: Opener, losing: Losing) -> None:
    url = opened.url(CT, losing.middleware)
    store = FsspecStore.from_url(url, storage_options={"cache_bytes": 0}, read_only=True)
    array = array_at(store, path="0")
    assert np.array_equal(array[5], PIXELS[5])
    kept = dumps(array)
    losing.lose(LOWEST)
    forget_servers()
    for held in (array, copied(kept)):
        for read in (lambda held=held: held[5], lambda held=held: held[...]):
            with pytest.raises(SeriesChangedError, match="has changed on the server"):
                in_time(read)
    fsspec.filesystem("dicomweb", cache_bytes=0).invalidate_cache(url)
    assert np.array_equal(array_at(store, path="0")[...], PIXELS[LOST:])


def test_a_zarr_array_reads_on_where_nothing_changed(opened: Opener) -> None:
    url = opened.url(CT)
    array = array_at(url, path="0", storage_options={"cache_bytes": 0})
    kept = dumps(array)
    for held in (array, copied(kept)):
        forget_servers()
        assert np.array_equal(in_time(lambda held=held: held[...]), PIXELS)


def test_a_label_whose_segmentation_has_vanished_is_a_clear_error(opened: Opener, losing: Losing) -> None:
    found = segmented(SOURCES, random_masks((1, *MASKS)))
    server = opened.serve([*SOURCES, found.dataset], losing.middleware)
    url = server.series_url(SEGMENTED.study_uid, SEGMENTED.series_uid)
    image = dicomzarr.open(url, labels=True, cache_bytes=0)
    (label,) = image.labels.values()
    kept = dumps(label)
    level = label.levels[0]
    expected = level[...]
    losing.lost |= {found.series, str(found.dataset.SOPInstanceUID)}
    fsspec.filesystem("dicomweb", labels=True, cache_bytes=0).invalidate_cache()
    with pytest.raises(NotFoundError):
        in_time(lambda: level[...])
    assert expected.any()
    without = dicomzarr.open(url, labels=True, cache_bytes=0)
    assert without.labels == {}
    with pytest.raises(SeriesChangedError):
        without.store.source_of(label.plan.levels[0])
    with pytest.raises(SeriesChangedError):
        in_time(lambda: copied(kept).levels[0][...])
    with pytest.raises(SeriesChangedError, match="has no image"):
        _ = Image(without._handle, label.path).levels


# --- whole series ---


def test_a_whole_series_that_holds_nothing_that_is_waited_for_is_not_asked_for_again(opened: Opener) -> None:
    """All that comes is right, and none of it is new."""

    def always_the_same(parts: Sequence[Part]) -> list[Part]:
        return [parts[0]] * len(parts)

    url = opened.url(CT, faults.change_parts(always_the_same, on="series"))
    level = dicomzarr.open(url).levels[0]
    assert np.array_equal(in_time(lambda: level[...]), PIXELS)
    assert opened.count("series") <= 2


# --- one check ---


@pytest.mark.parametrize("turn", [lambda pixels: pixels[:, :2], lambda pixels: pixels.astype(np.int16)])
def test_zarr_and_levels_refuse_the_same_wrong_frame(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, turn: Callable[[Any], Any]
) -> None:
    level = opened(CT).levels[0]
    array = array_at(level._image.series_url, path="0")
    decode = reader.decode_frame
    wrong = [turn]  # empty later: readers keep what they decode by
    monkeypatch.setattr(
        reader, "decode_frame", lambda *words, **named: [*wrong, np.asarray][0](decode(*words, **named))
    )
    said = []
    for read in (lambda: array[7], lambda: level[7]):
        with pytest.raises(FrameShapeError, match=r"instance .*, frame 1: ") as caught:
            in_time(read)
        said.append(str(caught.value))
    assert said[0] == said[1]
    wrong.clear()
    for number in (0, 7, SLICES - 1):
        assert np.array_equal(array[number], PIXELS[number])
        assert np.array_equal(level[number], PIXELS[number])

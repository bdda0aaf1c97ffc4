"""Series whose metadata change on the server: what was opened before shows the same cells, or is an error."""

from __future__ import annotations

from pickle import dumps, loads
from typing import TYPE_CHECKING, Any

import faults
import fsspec
import numpy as np
import pytest
import slides
from aiohttp import web
from multipart_parts import json_of
from opened import array_at
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import modality_lut, pet, two_orientations, volume
from segmentable import CT as SEGMENTED
from segmentable import SHAPE as MASKS
from segmentable import SOURCES
from segmentations import random_masks, segmented
from serving import forget_servers, serving
from zarr.storage import FsspecStore

import dicomzarr
from dicomzarr.errors import SeriesChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp.typedefs import Handler
    from radiology_model import RadiologySeries

    from dicomzarr.arrays.image import Image

    JSON = dict[str, Any]
    Change = Callable[[list[JSON]], list[JSON]]
    Case = tuple[Callable[[], RadiologySeries], Change, dict[str, Any]]

POSITION, SPACING, SLOPE, BITS, HIGH_BIT = "00200032", "00280030", "00281053", "00280101", "00280102"
SIGN, PHOTOMETRIC, NUMBER, PATIENT, LOSSY = "00280103", "00280004", "00200013", "00100010", "00282110"
ACQUIRED, TRANSFER_SYNTAX, PER_FRAME, SHARED, LUT = "00080032", "00083002", "52009230", "52009229", "00283000"
PIXELS = distinct((6, 4, 6), 12)


class Changing:
    """A server whose metadata are others once they change."""

    def __init__(self) -> None:
        self.change: Change | None = None
        self.middleware = faults.fault(self._answer, on="metadata")

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        return response if self.change is None else web.json_response(self.change(await json_of(response)))


@pytest.fixture
def changing() -> Changing:
    return Changing()


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def value(tag: str, *values: object, vr: str = "DS") -> Change:
    """One attribute of all instances is another."""

    def change(items: list[JSON]) -> list[JSON]:
        return [{**item, tag: {"vr": vr, "Value": list(values)}} for item in items]

    return change


def both(*changes: Change) -> Change:
    def change(items: list[JSON]) -> list[JSON]:
        for each in changes:
            items = each(items)
        return items

    return change


def exchanged(tag: str) -> Change:
    """What instances say in an attribute comes in the opposite order."""

    def change(items: list[JSON]) -> list[JSON]:
        said = [item[tag] for item in items]
        return [{**item, tag: each} for item, each in zip(items, reversed(said), strict=True)]

    return change


def moved(factor: float) -> Change:
    """Slices lie further apart."""

    def change(items: list[JSON]) -> list[JSON]:
        places = ([*item[POSITION]["Value"][:2], item[POSITION]["Value"][2] * factor] for item in items)
        return [{**item, POSITION: {"vr": "DS", "Value": each}} for item, each in zip(items, places, strict=True)]

    return change


def turned(items: list[JSON]) -> list[JSON]:
    return items[::-1]


def frames_exchanged(items: list[JSON]) -> list[JSON]:
    """The frames of each instance lie where others did."""
    return [
        {**item, PER_FRAME: {"vr": "SQ", "Value": item[PER_FRAME]["Value"][::-1]}} if PER_FRAME in item else item
        for item in items
    ]


def other_table(items: list[JSON]) -> list[JSON]:
    """One entry of the modality table is another."""
    for item in items:
        item[LUT]["Value"][0]["00283006"]["Value"][7] = 77
    return items


def ct() -> RadiologySeries:
    return volume(AXIAL, PIXELS, name="changing")


def copied(kept: bytes) -> Any:
    return loads(kept)  # noqa: S301  # our own


def opened_before(image: Image) -> list[Callable[[], Any]]:
    """Ways to read what was opened before the series changed, in this process and as another one would."""
    options = image._handle.options.to_public()
    array = array_at(FsspecStore.from_url(image.series_url, storage_options=options), path="0")
    held = image.levels[0]
    kept, there = dumps(held), dumps(array)
    fs: Any = array.store.fs

    def zarr_array() -> Any:
        fs.invalidate_cache(image.series_url)
        return array[...]

    def pickled() -> Any:
        forget_servers()
        return copied(kept)[...]

    def pickled_array() -> Any:
        forget_servers()
        return copied(there)[...]

    return [zarr_array, pickled, pickled_array]


def opened_and_changed(opened: Opener, changing: Changing, case: Case) -> tuple[Image, Any, list[Callable[[], Any]]]:
    """An image of a series that has changed since, its pixels before, and `opened_before`."""
    series, change, options = case
    image = opened(series(), changing.middleware, **options)
    before, reads = image.levels[0][...], opened_before(image)
    changing.change = change
    return image, before, reads


OTHER_CELLS: dict[str, Case] = {
    "positions": (ct, exchanged(POSITION), {}),
    "bits": (ct, both(value(BITS, 10, vr="US"), value(HIGH_BIT, 9, vr="US")), {}),
    "high bit": (ct, value(HIGH_BIT, 13, vr="US"), {}),
    "sign": (ct, value(SIGN, 1, vr="US"), {}),
    "shown inverted": (ct, value(PHOTOMETRIC, "MONOCHROME1", vr="CS"), {}),
    "apart": (ct, moved(2), {}),
    "spacing": (ct, value(SPACING, 0.25, 0.5), {}),
    "slope": (ct, value(SLOPE, 3), {"values": "modality"}),
    "slopes": (lambda: pet(PIXELS, [1, 2, 3, 4, 5, 6]), exchanged(SLOPE), {"values": "modality"}),
    "table": (lambda: modality_lut(PIXELS), other_table, {"values": "modality"}),
}


@pytest.mark.parametrize("name", OTHER_CELLS)
def test_other_cells_are_an_error(opened: Opener, changing: Changing, name: str) -> None:
    image, before, reads = opened_and_changed(opened, changing, OTHER_CELLS[name])
    for read in reads:
        with pytest.raises(SeriesChangedError, match="has changed on the server"):
            read()
    assert np.array_equal(image.levels[0][...], before)
    assert dicomzarr.open(image.series_url, **OTHER_CELLS[name][2]).levels[0].shape


REPORT = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.88.11"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3.4.5"]},
}

SAME_CELLS: dict[str, Case] = {
    "order of the reply": (ct, turned, {}),
    "order of the reply, rescaled": (lambda: pet(PIXELS, [1, 2, 3, 4, 5, 6]), turned, {"values": "modality"}),
    "order of the reply, a table": (lambda: modality_lut(PIXELS), turned, {"values": "modality"}),
    "numbers": (ct, exchanged(NUMBER), {}),
    "slope of stored values": (ct, value(SLOPE, 3), {}),
    "patient": (ct, value(PATIENT, {"Alphabetic": "B"}, vr="PN"), {}),
    "lossy": (ct, value(LOSSY, "01", vr="CS"), {}),
    "transfer syntax": (ct, value(TRANSFER_SYNTAX, "1.2.840.10008.1.2.4.80", vr="UI"), {}),
    "a report": (ct, lambda items: [*items, {tag: items[0][tag] for tag in ("0020000D", "0020000E")} | REPORT], {}),
}


@pytest.mark.parametrize("name", SAME_CELLS)
def test_the_same_cells_are_read_on(opened: Opener, changing: Changing, name: str) -> None:
    _, before, reads = opened_and_changed(opened, changing, SAME_CELLS[name])
    for read in reads:
        assert np.array_equal(read(), before)


def test_each_image_of_a_series_counts(opened: Opener, changing: Changing) -> None:
    series = two_orientations(distinct((3, 4, 6), 12), distinct((3, 5, 7), 12))
    image = opened(series, changing.middleware).images[1]
    kept = dumps(image.levels[0])

    def change(items: list[JSON]) -> list[JSON]:
        uids = image.levels[0]._plan.attributes.sop_instance_uids
        ours = [item for item in items if item["00080018"]["Value"][0] in uids]
        return [*(item for item in items if item not in ours), *exchanged(POSITION)(ours)]

    changing.change = change
    forget_servers()
    with pytest.raises(SeriesChangedError):
        copied(kept)[...]


@pytest.mark.parametrize(
    ("slide", "change", "options"),
    [
        (slides.sparse_brightfield, frames_exchanged, {}),
        (slides.sparse_brightfield, frames_exchanged, {"icc": "srgb"}),
        (slides.sparse_fluorescence, frames_exchanged, {}),
        (slides.brightfield_pyramid, value(PHOTOMETRIC, "YBR_FULL", vr="CS"), {}),
        (slides.sparse_fluorescence, value(BITS, 10, vr="US"), {}),
    ],
)
def test_other_tiles_are_an_error(
    changing: Changing, slide: Callable[[], Any], change: Change, options: dict[str, Any]
) -> None:
    with serving(slide(), changing.middleware) as served:
        image = dicomzarr.open(served.url, **options)
        reads = opened_before(image)
        changing.change = change
        for read in reads:
            with pytest.raises(SeriesChangedError):
                read()


@pytest.mark.parametrize(
    "slide",
    [slides.sparse_brightfield, slides.brightfield_pyramid, slides.concatenation, slides.channels_in_instances],
)
def test_a_slide_is_read_on_whatever_order_it_comes_in(changing: Changing, slide: Callable[[], Any]) -> None:
    with serving(slide(), changing.middleware) as served:
        image = dicomzarr.open(served.url)
        before = image.levels[0][...]
        reads = opened_before(image)
        changing.change = turned
        for read in reads:
            assert np.array_equal(read(), before)


def test_an_image_in_srgb_is_of_the_same_series(changing: Changing) -> None:
    with serving(slides.sparse_brightfield(), changing.middleware) as served:
        image = dicomzarr.open(served.url)
        there = dicomzarr.open(served.url)
        assert there.in_srgb.levels[0].shape == image.levels[0].shape
        changing.change = frames_exchanged
        fsspec.filesystem("dicomweb").invalidate_cache(served.url)
        with pytest.raises(SeriesChangedError):
            _ = image.in_srgb


def test_labels_count(opened: Opener, changing: Changing) -> None:
    found = segmented(SOURCES, random_masks((1, *MASKS)))
    server = opened.serve([*SOURCES, found.dataset], changing.middleware)
    url = server.series_url(SEGMENTED.study_uid, SEGMENTED.series_uid)
    (label,) = dicomzarr.open(url, labels=True).labels.values()
    assert label.levels[0][...].any()
    kept = dumps(label.levels[0])
    changing.change = frames_exchanged
    forget_servers()
    with pytest.raises(SeriesChangedError):
        copied(kept)[...]


def test_chunks_that_no_document_was_read_for_are_read_anew(opened: Opener, changing: Changing) -> None:
    url = opened.url(ct(), changing.middleware)
    fs = fsspec.filesystem("dicomweb")
    before = fs.cat(f"{url}/0/c/0/0/0")
    changing.change = exchanged(POSITION)
    fs.invalidate_cache(url)
    assert fs.cat(f"{url}/0/c/0/0/0") != before


def test_an_array_opened_again_shows_what_there_is(opened: Opener, changing: Changing) -> None:
    url = opened.url(ct(), changing.middleware)
    store = FsspecStore.from_url(url, read_only=True)
    assert np.array_equal(array_at(store, path="0")[...], PIXELS)
    changing.change = exchanged(POSITION)
    store.fs.invalidate_cache(url)
    now = array_at(store, path="0")[...]
    assert not np.array_equal(now, PIXELS)
    assert np.array_equal(now, dicomzarr.open(url).levels[0][...])

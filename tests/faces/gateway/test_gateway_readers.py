"""Readers that no test can run: what they ask for, and what they make of the answers, is done as they do it."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import numpy as np
import pytest
import radiology
import zarr
from gateways import Reply, ask, gateway, server_upstream
from slides import brightfield_pyramid

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports, not ours
    import ngff_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

SLIDE = brightfield_pyramid()
VOLUME = radiology.BUILDERS["volume"]()

pytestmark = pytest.mark.parametrize("version", ["0.5", "0.4"])


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with (
        DICOMwebServer(Archive([*SLIDE.datasets, *VOLUME.datasets])) as server,
        gateway(server_upstream(server)) as running,
    ):
        yield running.url


def url_of(base: str, version: str, series: radiology.RadiologySeries | object) -> str:
    return f"{base}/{version}/studies/{series.study_uid}/series/{series.series_uid}.zarr"  # type: ignore[attr-defined]


# --- n5, which Fiji reads by: HttpKeyValueAccess of n5 4, and java.net.HttpURLConnection below it ---

ENTRIES = re.compile(r'href="[^"]+">(?P<entry>[^<]+)')
DIRECTORIES = re.compile(r'href="[^"]+">(?P<entry>[^<]+)/')
OF_OTHER_SERVERS = re.compile(r'HREF=|alt="\[')
"""What n5 takes for the listing of another kind of server, before it looks whether it is one as Python's."""


def by_java(url: str, method: str = "GET") -> Reply:
    """Redirects are followed as java.net.HttpURLConnection does: 308 is none of them."""
    reply = ask(url, method)
    if reply.status in (301, 302, 303, 305, 307):
        return by_java(urljoin(url, reply.headers["Location"]), method)
    return reply


def directories(url: str) -> list[str]:
    reply = by_java(url)
    assert reply.status == 200
    assert not OF_OTHER_SERVERS.search(reply.text)
    return [found["entry"] for found in DIRECTORIES.finditer(reply.text)]


@pytest.mark.parametrize("series", [SLIDE, VOLUME], ids=["slide", "volume"])
def test_n5_finds_the_levels_of_an_image_by_its_listing(base: str, version: str, series: object) -> None:
    url = url_of(base, version, series)
    assert url.endswith(".zarr")  # else it looks for another format
    group = zarr.open_group(url, mode="r")
    assert set(directories(url)) >= set(group.array_keys())  # without a slash at the end, as it asks
    documents = {"0.5": {"zarr.json"}, "0.4": {".zgroup", ".zattrs"}}[version]
    assert documents <= {found["entry"] for found in ENTRIES.finditer(by_java(url).text)}
    for name in group.array_keys():
        assert by_java(f"{url}/{name}/", "HEAD").status == 200


def test_n5_tells_files_from_directories_and_from_what_is_absent(base: str, version: str) -> None:
    url = url_of(base, version, SLIDE)
    document, other = {"0.5": ("zarr.json", ".zgroup"), "0.4": (".zgroup", "zarr.json")}[version]
    head = by_java(f"{url}/{document}", "HEAD")
    assert (head.status, int(head.headers["Content-Length"])) == (200, len(ask(f"{url}/{document}").body))
    for absent in (other, "attributes.json", f"{document}/", "9", "9/"):
        assert by_java(f"{url}/{absent}", "HEAD").status == 404  # it takes all else for a failure
    redirected = ask(f"{url}/0", "HEAD")
    assert (redirected.status, redirected.headers["Location"][-1]) == (301, "/")


def test_n5_asks_for_parts_only_where_a_header_by_its_spelling_says_so(base: str, version: str) -> None:
    chunk = f"{url_of(base, version, SLIDE)}/{'0/c/0/0/0' if version == '0.5' else '0/0/0/0'}"
    part = ask(chunk, Range="bytes=3-7")
    assert part.headers["Accept-Range"] == "bytes"
    assert part.body == ask(chunk).body[3:8]


# --- TRIDENT 0.3: its reader of OME-Zarr, by ngff-zarr ---


@pytest.mark.ngff_zarr
def test_the_calls_of_trident_give_the_pixels_of_a_slide(base: str, version: str) -> None:
    url, ours = url_of(base, version, SLIDE), None
    with DICOMwebServer(Archive(SLIDE.datasets)) as server:
        ours = dicomzarr.open(server.series_url(SLIDE.study_uid, SLIDE.series_uid))
        levels = [level[...] for level in ours.levels]
        micrometers = ours.levels[0].scale[-1]
    read = ngff_zarr.from_ngff_zarr(url)
    names = list(read.metadata.dimension_names)
    assert sorted(names) == ["c", "x", "y"]  # three, by these names
    x, y, c = (names.index(name) for name in "xyc")
    finest = read.images[0]
    assert (finest.scale["x"], finest.axes_units["x"]) == (pytest.approx(micrometers), "micrometer")
    assert dict(zarr.open(url, mode="r").attrs)
    assert len(read.images) == len(levels)
    for image, expected in zip(read.images, levels, strict=True):
        width, height = image.data.shape[x], image.data.shape[y]
        down = finest.data.shape[x] / width, finest.data.shape[y] / height
        assert np.isclose(*down, rtol=0.1)
        where: list[slice] = [slice(None)] * 3
        where[y], where[x] = slice(height // 2, height // 2 + 30), slice(width // 3, width // 3 + 20)
        region = image.data[tuple(where)].compute(scheduler="synchronous").transpose((y, x, c))
        wanted = expected[:, height // 2 : height // 2 + 30, width // 3 : width // 3 + 20]
        assert np.array_equal(region, np.moveaxis(wanted, 0, -1))

"""A series that is not there shows a traceback of a page at most, whoever asked."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import slides
import xarray as xr
import zarr
from serving import serving

import dicomzarr
from dicomzarr.errors import SeriesNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPENINGS: dict[str, tuple[Callable[[str], Any], int]] = {
    "dicomzarr": (dicomzarr.open, 12),
    "xarray": (lambda url: xr.open_dataset(url, engine="dicomzarr"), 20),
    "zarr": (lambda url: zarr.open_group(url, mode="r"), 50),
    "fsspec": (lambda url: fsspec.open(f"{url}/zarr.json").open().read(), 60),
}
"""How it is opened, and lines of the traceback; those of zarr and fsspec themselves are some thirty."""


@pytest.fixture(scope="module")
def absent() -> Iterator[str]:
    with serving(slides.brightfield_pyramid()) as served:
        yield f"{served.url[:-1]}{(int(served.url[-1]) + 1) % 10}"


@pytest.mark.parametrize("name", OPENINGS)
def test_a_series_that_is_absent_is_told_within_a_page(absent: str, name: str) -> None:
    opening, most = OPENINGS[name]
    with pytest.raises((SeriesNotFoundError, FileNotFoundError)) as failed:
        opening(absent)
    told = "".join(traceback.format_exception(failed.value))
    lines = [line for line in told.splitlines() if line.strip(" ~^")]  # newer Pythons underline more of them
    assert len(lines) <= most

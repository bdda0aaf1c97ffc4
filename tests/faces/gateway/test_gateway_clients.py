"""Readers of OME-Zarr that know nothing of DICOM, at URLs of the gateway: right pixels from 0.5 and from 0.4."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import fsspec
import numpy as np
import pytest
import radiology
import zarr
from gateways import gateway, server_upstream
from opened import group_at
from slides import brightfield_pyramid, fluorescence_focal_stack, sparse_brightfield
from waiting import SECONDS

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr
    import ome_zarr.io
    import ome_zarr.reader
    import ome_zarr_models
    import tensorstore
    import yaozarrs

if TYPE_CHECKING:
    from collections.abc import Iterator

JAVASCRIPT = Path(__file__).parents[2] / "javascript"

BUILDERS: dict[str, Any] = {
    "slide": brightfield_pyramid,
    "sparse slide": partial(sparse_brightfield, absent="pink"),
    "fluorescence": fluorescence_focal_stack,
    "volume": radiology.BUILDERS["volume"],
    "volume with a gap": radiology.BUILDERS["gap"],
}


class Shown(NamedTuple):
    url: str
    """Of the image's group at the gateway."""
    version: str
    levels: list[Any]
    """What dicomzarr itself reads, finest first."""


@pytest.fixture(scope="module", params=BUILDERS)
def upstream(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, list[Any]]]:
    series = BUILDERS[request.param]()
    path = f"studies/{series.study_uid}/series/{series.series_uid}"
    with DICOMwebServer(Archive(series.datasets)) as server, gateway(server_upstream(server)) as running:
        image = dicomzarr.open(server.series_url(series.study_uid, series.series_uid))
        yield running.url, f"{path}.zarr", [level[...] for level in image.levels]


@pytest.fixture(params=["0.5", "0.4"])
def shown(request: pytest.FixtureRequest, upstream: tuple[str, str, list[Any]]) -> Shown:
    url, path, levels = upstream
    return Shown(f"{url}/{request.param}/{path}", request.param, levels)


def test_zarr_over_fsspec(shown: Shown) -> None:
    group = group_at(shown.url)
    assert group.metadata.zarr_format == {"0.5": 3, "0.4": 2}[shown.version]
    for number, expected in enumerate(shown.levels):
        array = group[str(number)]
        assert isinstance(array, zarr.Array)
        assert array.dtype == expected.dtype
        assert np.array_equal(array[...], expected)


def test_fsspec_finds_all_keys_by_the_listings(shown: Shown) -> None:
    fs = fsspec.filesystem("http")
    found = {name.rpartition(".zarr/")[2] for name in fs.find(f"{shown.url}/")}
    own = fsspec.filesystem("http", use_listings_cache=False)
    document = {"0.5": "zarr.json", "0.4": ".zattrs"}[shown.version]
    assert document in found
    assert all(own.exists(f"{shown.url}/{name}") for name in sorted(found)[:10])
    assert not own.exists(f"{shown.url}/nope")


def test_tensorstore(shown: Shown) -> None:
    driver = {"0.5": "zarr3", "0.4": "zarr"}[shown.version]
    for number, expected in enumerate(shown.levels):
        spec = {"driver": driver, "kvstore": {"driver": "http", "base_url": f"{shown.url}/{number}/"}}
        array = tensorstore.open(spec, read=True, open=True).result()
        assert array.dtype.numpy_dtype == expected.dtype
        assert np.array_equal(array.read().result(), expected)
        corner = tuple(slice(max(0, size - 3), size) for size in expected.shape)
        assert np.array_equal(array[corner].read().result(), expected[corner])


def by_node(package: str, script: str, url: str) -> Any:
    """What a script prints that reads a URL with a package."""
    node = shutil.which("node")
    if node is None or not (JAVASCRIPT / "node_modules" / package).is_dir():
        _absent(f"no node, or no {package} for it: npm install in tests/javascript")
    done = subprocess.run(  # noqa: S603  # our own script
        [node, script, url], cwd=JAVASCRIPT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hashed(values: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def test_zarrita(shown: Shown) -> None:
    found = by_node("zarrita", "read_zarr.mjs", shown.url)
    assert found["version"] == shown.version
    assert len(found["levels"]) == len(shown.levels)
    for level, expected in zip(found["levels"], shown.levels, strict=True):
        assert tuple(level["shape"]) == expected.shape
        assert level["dtype"] == expected.dtype.name
        assert level["sha256"] == hashed(expected)


def test_the_loader_of_viv(shown: Shown) -> None:
    found = by_node("@vivjs/loaders", "read_viv.mjs", shown.url)
    for level, expected in zip(found["levels"], shown.levels, strict=True):
        labels = level["labels"]
        assert tuple(level["shape"]) == expected.shape
        assert level["dtype"].lower() == expected.dtype.name
        channels = expected.shape[labels.index("c")] if "c" in labels else 1
        planes = [
            expected[tuple(slice(None) if name in "yx" else c if name == "c" else 0 for name in labels)]
            for c in range(channels)
        ]
        assert level["planes"] == [hashed(plane) for plane in planes]


def _absent(reason: str) -> NoReturn:
    """Skip where a developer lacks it, fail where it was promised."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def test_ome_zarr_py(shown: Shown) -> None:
    location = ome_zarr.io.parse_url(shown.url)
    assert location is not None
    (node, *_) = ome_zarr.reader.Reader(location)()
    assert len(node.data) == len(shown.levels)
    for data, expected in zip(node.data, shown.levels, strict=True):
        assert np.array_equal(data.compute(), expected)


@pytest.mark.ngff_zarr
def test_ngff_zarr(shown: Shown) -> None:
    multiscales = ngff_zarr.from_ngff_zarr(shown.url, validate=True, version=shown.version)
    for image, expected in zip(multiscales.images, shown.levels, strict=True):
        assert np.array_equal(image.data.compute(), expected)


def test_validators(shown: Shown) -> None:
    group = group_at(shown.url)
    model: Any = ome_zarr_models.open_ome_zarr(group)
    assert model.ome_zarr_version == shown.version
    yaozarrs.validate_zarr_store(shown.url)

"""Exports to moto, a server of S3 that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import slides
from object_store import KEY, SECRET
from opened import array_at
from serving import serving

import dicomzarr
from dicomzarr.errors import TargetError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.faces.export.zarr_export import Progress

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of botocore's connections
]

BLOCK = 20_000


@pytest.fixture(scope="module")
def image() -> Iterator[dicomzarr.Image]:
    with serving(slides.brightfield_pyramid()) as served:
        yield dicomzarr.open(served.url)


@pytest.fixture
def options(moto: str) -> dict[str, Any]:
    return {"key": KEY, "secret": SECRET, "endpoint_url": moto}


def objects(options: dict[str, Any], below: str) -> list[str]:
    s3 = fsspec.filesystem("s3", **options)
    s3.invalidate_cache()
    found: list[str] = s3.find(below)
    return found


def check(image: dicomzarr.Image, target: str, options: dict[str, Any]) -> None:
    for level in image.levels:
        assert np.array_equal(array_at(target, path=str(level.number), storage_options=options)[...], level[...])


@pytest.mark.parametrize("how", [{}, {"shard": 2}, {"zarr_format": 2}, {"compression": "none"}], ids=str)
def test_a_bucket_holds_what_a_disk_would(how: dict[str, Any], image: dicomzarr.Image, options: dict[str, Any]) -> None:
    target = f"s3://open/{'-'.join(how) or 'plain'}.zarr"
    dicomzarr.export(image, target, target_options=options, **how)
    check(image, target, options)
    assert not [name for name in objects(options, "open") if "journal" in name]


def test_what_was_interrupted_goes_on_and_what_vanished_is_written_anew(
    image: dicomzarr.Image, options: dict[str, Any]
) -> None:
    target = "s3://open/interrupted.zarr"

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    def remove(now: Progress) -> None:
        if now.phase == "copying" and now.blocks == now.all_blocks:
            chunks = objects(options, "open/interrupted.zarr/0/c")
            fsspec.filesystem("s3", **options).rm(chunks[-1])

    how: dict[str, Any] = {"block_bytes": BLOCK, "target_options": options}
    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(image, target, progress=stop, **how)
    with pytest.raises(VerificationError, match="1 of"):
        dicomzarr.export(image, target, progress=remove, **how)
    done = dicomzarr.export(image, target, **how)
    assert done.resumed == done.blocks - 1
    check(image, target, options)


def test_a_bucket_that_is_not_there_is_not_made(image: dicomzarr.Image, options: dict[str, Any]) -> None:
    with pytest.raises(TargetError) as caught:
        dicomzarr.export(image, "s3://nowhere/out.zarr", target_options=options)
    assert SECRET not in str(caught.value)
    assert "nowhere" not in fsspec.filesystem("s3", **options).ls("")

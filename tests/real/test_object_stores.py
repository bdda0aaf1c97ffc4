"""Series in servers of S3 that are not ours: moto, whose objects all may read, and nanio, which checks signatures."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import dask.array as da
import fsspec
import numpy as np
import obstore
import obstore.store
import pytest
import radiology
import xarray
import zarr
from dual_personality import dual_personality
from folders import write
from object_store import KEY, SECRET, put
from ports import free_port
from serving import forget_servers
from slides_pyramids import deep_pyramid
from waiting import SECONDS

import dicomzarr
from dicomzarr.errors import ChangedFileError, DicomZarrError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of botocore's connections
]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


def test_every_library_takes_the_url(moto: str, tmp_path: Path) -> None:
    write(tmp_path, radiology.BUILDERS["volume"]().datasets)
    put(moto, "open/everywhere", tmp_path)
    options = {"endpoint_url": moto}
    image = dicomzarr.open("s3://open/everywhere", **options)
    pixels = dicomzarr.open(tmp_path).levels[0][...]
    assert np.array_equal(da.from_zarr(image.series_url, component="0", storage_options=options).compute(), pixels)
    tree = xarray.open_datatree(image.series_url, engine="dicomzarr", storage_options=options, mask_and_scale=False)
    assert np.array_equal(tree["0/image"], pixels)
    fs, path = fsspec.url_to_fs(image.series_url, s3=options)
    assert fs.exists(f"{path}/zarr.json")


def test_a_slide_of_twelve_levels(moto: str, tmp_path: Path) -> None:
    for number, dataset in enumerate(deep_pyramid().datasets):
        (tmp_path / f"{number}.dcm").write_bytes(dual_personality(dataset))
    put(moto, "open/slide", tmp_path)
    far, here = dicomzarr.open("s3://open/slide", endpoint_url=moto), dicomzarr.open(tmp_path)
    for level, again in zip(here.levels, far.levels, strict=True):
        assert np.array_equal(again[...], level[...])


@pytest.mark.parametrize("how", [{}, {"shard": (2, 1, 1)}, {"keep_encoded": True}, {"zarr_format": 2}], ids=str)
def test_an_export_to_s3_goes_on_where_it_was(how: dict[str, Any], moto: str, tmp_path: Path) -> None:
    write(tmp_path, radiology.BUILDERS["volume"]().datasets)
    options = {"key": KEY, "secret": SECRET, "endpoint_url": moto}
    image = dicomzarr.open(tmp_path)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    target = f"s3://open/copy-{'-'.join(how)}.zarr"
    with pytest.raises(KeyboardInterrupt):
        dicomzarr.export(image, target, target_options=options, block_bytes=1, progress=stop, **how)
    done = dicomzarr.export(image, target, target_options=options, block_bytes=1, **how)
    assert done.resumed >= 1
    group = zarr.open_group(target, mode="r", storage_options=options)
    assert np.array_equal(np.asarray(group["0"]), image.levels[0][...])
    s3 = fsspec.filesystem("s3", **options)
    s3.invalidate_cache()
    assert not s3.exists(f"{target}.journal")


def test_a_replaced_object_is_an_error(moto: str, tmp_path: Path) -> None:
    write(tmp_path, radiology.BUILDERS["volume"]().datasets)
    put(moto, "open/replaced", tmp_path)
    image = dicomzarr.open("s3://open/replaced", endpoint_url=moto)
    (tmp_path / "0001.dcm").write_bytes((tmp_path / "0001.dcm").read_bytes()[:-2] + b"\1\1")
    put(moto, "open/replaced", tmp_path)
    with pytest.raises(ChangedFileError, match="has changed since it was listed"):
        image.levels[0][...]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[str]:
    """A server whose bucket only those can read who sign."""
    port = free_port()
    (tmp_path / "data").mkdir()
    words = [sys.executable, "-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603  # words of our own
        [*words, "--data-dir", str(tmp_path / "data")],
        env={**os.environ, "NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "running on" in line:
                yield f"http://127.0.0.1:{port}"
                break
        else:
            pytest.fail("nanio did not start")
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def test_a_private_bucket_is_read_with_the_credentials_of_others(private: str, tmp_path: Path) -> None:
    write(tmp_path / "ct", radiology.BUILDERS["volume"]().datasets)
    fsspec.filesystem("s3", key=KEY, secret=SECRET, endpoint_url=private).mkdir("private")
    put(private, "private/ct", tmp_path / "ct")
    pixels = dicomzarr.open(tmp_path / "ct").levels[0][...]
    with pytest.raises(DicomZarrError):
        dicomzarr.open("s3://private/ct", endpoint_url=private)
    options = {"fsspec_options": {"key": KEY, "secret": SECRET, "endpoint_url": private}}
    image = dicomzarr.open("s3://private/ct", **options)
    assert np.array_equal(image.levels[0][...], pixels)
    assert np.array_equal(np.asarray(zarr.open_group(image.series_url, mode="r", storage_options=options)["0"]), pixels)
    store = obstore.store.S3Store(
        "private",
        endpoint=private,
        access_key_id=KEY,
        secret_access_key=SECRET,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    given = dicomzarr.open("ct", store=store)
    assert np.array_equal(given.levels[0][...], pixels)
    for text in (repr(image), image.url, repr(given), given.url):
        assert SECRET not in text


def test_a_private_bucket_is_read_by_signed_requests(
    private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = radiology.BUILDERS["volume"]().datasets
    write(tmp_path / "ct", datasets)
    (tmp_path / "ct" / "0000.dcm").rename(tmp_path / "ct" / "a b+c,ä(1)&.dcm")
    fsspec.filesystem("s3", key=KEY, secret=SECRET, endpoint_url=private).mkdir("signed")
    put(private, "signed/ct & mr", tmp_path / "ct")
    pixels = dicomzarr.open(tmp_path / "ct").levels[0][...]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    image = dicomzarr.open("s3://signed/ct & mr", endpoint_url=private, auth="aws:region=us-east-1")
    assert np.array_equal(image.levels[0][...], pixels)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionDeniedError):
        dicomzarr.open("s3://signed/ct & mr", endpoint_url=private, auth="aws:region=us-east-1,service=s3")

"""References in Icechunk, which needs Python 3.12, are read there without dicomzarr, and notice files that changed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from buckets import bucket
from dual_personality import part10_bytes
from radiology_model import AXIAL, distinct
from radiology_volumes import two_orientations, volume
from referring import assert_same, levels_of
from serving import forget_servers

import dicomzarr
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from radiology_model import Pixels

NEEDS = pytest.mark.skipif(sys.version_info < (3, 12), reason="Icechunk needs Python 3.12")

READER = """
import sys
sys.modules["dicomzarr"] = None  # it cannot be imported
import icechunk, numpy, zarr
target, out, *paths = sys.argv[1:]
storage = icechunk.local_filesystem_storage(target)
access = {"file": icechunk.Credentials.LocalFileSystemAccess(), "http": icechunk.Credentials.HttpAccess()}
prefixes = list(icechunk.Repository.fetch_config(storage).virtual_chunk_containers)
allowed = icechunk.containers_credentials({each: access[each.partition(":")[0]] for each in prefixes})
repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)
root = zarr.open_group(repository.readonly_session("main").store, mode="r")
numpy.savez(out, **{path.replace("/", "-"): root[path][...] for path in paths})
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


def run_reader(target: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-c", READER, str(target), str(target.with_suffix(".npz")), *paths],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def read(target: Path, *paths: str) -> dict[str, Pixels]:
    done = run_reader(target, *paths)
    assert done.returncode == 0, done.stderr
    with np.load(target.with_suffix(".npz")) as arrays:
        return {path.replace("-", "/"): arrays[path] for path in arrays.files}


@NEEDS
@pytest.mark.slow
def test_files_with_any_names_are_read_in_place(tmp_path: Path) -> None:
    paths = two_orientations(distinct((3, 16, 20)), distinct((2, 12, 14), bits=11)).write(tmp_path / "a b")
    for number, path in enumerate(paths):
        path.rename(path.with_name(f"{number} 100% #1?ü.dcm"))
    out = tmp_path / "out.icechunk"
    assert dicomzarr.references(tmp_path / "a b", out).frames == 5
    assert_same(read(out, "0/0", "1/0"), levels_of(dicomzarr.open(tmp_path / "a b")))
    dicomzarr.references(tmp_path / "a b", out, overwrite=True)
    assert_same(read(out, "0/0", "1/0"), levels_of(dicomzarr.open(tmp_path / "a b")))


@NEEDS
@pytest.mark.slow
def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path, *_ = volume(AXIAL, distinct((2, 16, 20))).write(tmp_path / "ct")
    dicomzarr.references(tmp_path / "ct", tmp_path / "out.icechunk")
    later = path.stat().st_mtime + 3600
    os.utime(path, (later, later))
    done = run_reader(tmp_path / "out.icechunk", "0")
    assert done.returncode
    assert "changed" in done.stderr or "modified" in done.stderr or "checksum" in done.stderr.lower()


@NEEDS
@pytest.mark.slow
def test_a_bucket_is_read_at_its_server(tmp_path: Path) -> None:
    datasets = volume(AXIAL, distinct((3, 16, 20), bits=16), bits=16).datasets
    out = tmp_path / "out.icechunk"
    with bucket({f"ct/{number}.dcm": part10_bytes(each) for number, each in enumerate(datasets)}) as server:
        image = dicomzarr.open("s3://bucket/ct", **server.options)
        dicomzarr.references(image, out)
        assert_same(read(out, "0"), {"0": image.levels[0][...]})


def test_without_icechunk_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(UsageError, match=r'pip install "dicomzarr\[icechunk\]"'):
        dicomzarr.references(tmp_path, tmp_path / "out.icechunk")

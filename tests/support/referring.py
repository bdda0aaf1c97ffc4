"""References read as somebody reads them who has zarr and fsspec, and no dicomzarr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from radiology_model import Pixels

    import dicomzarr

READER = """
import sys
sys.modules["dicomzarr"] = None  # it cannot be imported
import fsspec, json, numpy, zarr
from zarr.storage import FsspecStore
target, out = sys.argv[1:]
fs = fsspec.filesystem("reference", fo=target, asynchronous=True, remote_options={"asynchronous": True})
root = zarr.open_group(FsspecStore(fs, read_only=True, path=""), mode="r")
arrays = {key.removesuffix("/zarr.json") for key in json.load(open(target))["refs"] if key.endswith("/zarr.json")}
found = {path: root[path][...] for path in arrays if isinstance(root[path], zarr.Array)}
numpy.savez(out, **{path.replace("/", "-"): pixels for path, pixels in found.items()})
print(json.dumps(dict(root.attrs)))
"""


def read_elsewhere(target: Path, python: str = sys.executable) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """All arrays by their paths, and the attributes of the root, as another process reads them."""
    out = target.with_suffix(".npz")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603  # our own script
        [python, "-c", READER, str(target), str(out)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return {path.replace("-", "/"): arrays[path] for path in arrays.files}, json.loads(done.stdout)


def levels_of(image: dicomzarr.Image) -> dict[str, Pixels]:
    """All arrays of a series by their paths, as dicomzarr reads them."""
    return {
        f"{each.path}/{number}".lstrip("/"): level[...]
        for each in (*image.images, *image.associated.values())
        for number, level in enumerate(each.levels)
    }


def assert_same(found: dict[str, Pixels], expected: dict[str, Pixels]) -> None:
    """The same arrays, type, shape and every bit."""
    assert found.keys() == expected.keys()
    for path, pixels in expected.items():
        assert found[path].dtype == pixels.dtype, path
        assert np.array_equal(found[path], pixels, equal_nan=pixels.dtype.kind == "f"), path


def refs_in(target: Path) -> dict[str, Any]:
    """The references of a file."""
    document = json.loads(target.read_text())
    assert document["version"] == 1
    found: dict[str, Any] = document["refs"]
    return found

"""The rooms of the package: few, and those that do no I/O load nothing that does."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import run_python

import dicomzarr

TOP = Path(dicomzarr.__file__).parent

LOADED = """
import importlib, json, pkgutil, sys
room = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(room, "__path__", []), room.__name__ + "."):
    importlib.import_module(module.name)
print(json.dumps(sorted({"aiohttp", "asyncio", "fsspec", "requests", "zarr", "dask", "xarray"} & set(sys.modules))))
"""


@pytest.mark.parametrize("room", ["errors", "dicom", "plan", "codecs"])
def test_rooms_without_io_load_nothing_that_does_it(room: str) -> None:
    assert run_python(LOADED, f"dicomzarr.{room}") == []


def test_there_are_few_rooms() -> None:
    entries = [each for each in TOP.iterdir() if each.name != "__pycache__"]
    assert len([each for each in entries if each.is_dir()]) <= 13
    assert len(entries) <= 22
    assert (TOP / "py.typed").is_file()

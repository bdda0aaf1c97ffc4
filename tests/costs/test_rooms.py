"""The rooms of the package: few, and those that do no I/O load nothing that does."""

from __future__ import annotations

import ast
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
    assert len([each for each in TOP.iterdir() if each.is_dir() and each.name != "__pycache__"]) <= 13
    assert (TOP / "py.typed").is_file()


def test_modules_beside_the_rooms_only_name_what_is_in_them() -> None:
    """Public import paths, as ``dicomzarr.monai``: nothing is made there."""
    for module in TOP.glob("*.py"):
        if module.name not in ("__init__.py", "errors.py"):
            text = module.read_text()
            assert not [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)], module.name
            assert len(text.splitlines()) <= 60, module.name

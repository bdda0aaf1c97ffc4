"""What people meet who type ``dicomzarr.`` and wait for what there is."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["dicomzarr", "dicomzarr.credentials", "dicomzarr.patches"])
def test_public_names_are_listed_before_they_are_imported(module: str) -> None:
    found = import_module(module)
    assert sorted(dir(found)) == sorted(found.__all__)

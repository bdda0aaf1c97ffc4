"""What people meet who type ``dicomzarr.`` and wait for what there is."""

from __future__ import annotations

from importlib import import_module

import pytest

import dicomzarr


@pytest.mark.parametrize("module", ["dicomzarr", "dicomzarr.credentials", "dicomzarr.patches"])
def test_public_names_are_listed_before_they_are_imported(module: str) -> None:
    found = import_module(module)
    assert sorted(dir(found)) == sorted(found.__all__)


def test_a_name_that_is_misspelled_is_told_from_one_that_is_meant() -> None:
    with pytest.raises(AttributeError) as caught:
        dicomzarr.opn  # noqa: B018  # misspelled
    assert (caught.value.name, caught.value.obj) == ("opn", dicomzarr)  # by which Python asks: Did you mean: 'open'?

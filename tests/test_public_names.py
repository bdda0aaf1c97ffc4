"""What people meet who type ``dicomzarr.`` and wait for what there is."""

from __future__ import annotations

from importlib import import_module

import pytest

import dicomzarr
from dicomzarr.errors import UsageError
from dicomzarr.runtime.extras import needed


@pytest.mark.parametrize("module", ["dicomzarr", "dicomzarr.credentials", "dicomzarr.patches"])
def test_public_names_are_listed_before_they_are_imported(module: str) -> None:
    found = import_module(module)
    assert sorted(dir(found)) == sorted(found.__all__)


def test_a_name_that_is_misspelled_is_told_from_one_that_is_meant() -> None:
    with pytest.raises(AttributeError) as caught:
        dicomzarr.opn  # noqa: B018  # misspelled
    assert (caught.value.name, caught.value.obj) == ("opn", dicomzarr)  # by which Python asks: Did you mean: 'open'?


def test_a_package_that_is_there_for_later_versions_of_python_alone_says_so() -> None:
    with pytest.raises(UsageError, match=r'is not installed\. pip install "dicomzarr\[some\]"'):
        needed("no_such_package", "some")
    with pytest.raises(UsageError, match=r"It is there for Python 9\.9 and later: pip install"):
        needed("no_such_package", "some", python=(9, 9))

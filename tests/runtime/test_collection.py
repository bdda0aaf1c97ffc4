"""The collector of cycles rests, and goes on."""

from __future__ import annotations

import gc
import os

import pytest

from dicomzarr.runtime.collection import without_collection


@without_collection
def rested() -> bool:
    return not gc.isenabled()


@without_collection
def failed() -> None:
    assert not gc.isenabled()
    raise ValueError


def test_it_rests_and_goes_on() -> None:
    assert rested()
    assert gc.isenabled()
    assert without_collection(rested)()
    assert gc.isenabled()
    with pytest.raises(ValueError):  # noqa: PT011  # its own
        failed()
    assert gc.isenabled()


def test_who_turned_it_off_finds_it_so() -> None:
    gc.disable()
    try:
        assert rested()
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_meanwhile_collects() -> None:
    @without_collection
    def forked() -> int:
        child = os.fork()
        if not child:
            os._exit(0 if gc.isenabled() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert forked() == 0

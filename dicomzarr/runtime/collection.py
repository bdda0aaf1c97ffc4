"""Python's collector of cycles rests while many objects are made at once that are no cycles and stay.

It would look through all of them again and again, which takes a fifth of the time that it takes to open a long series.
"""

from __future__ import annotations

import gc
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from dicomzarr.runtime.process import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_resting: set[object] = set()
"""Calls that turned the collector off, and turn it on again: one at a time, others find it off."""


def without_collection(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """A function during which no cycles are collected; whoever turned the collector off before finds it so."""

    @wraps(function)
    def called(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        if not gc.isenabled():
            return function(*args, **kwargs)
        call = object()
        _resting.add(call)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            _resting.discard(call)
            gc.enable()

    return called


def _go_on() -> None:
    """A child that was forked meanwhile has nobody who would turn the collector on."""
    if _resting:
        _resting.clear()
        gc.enable()


at_fork(in_child=_go_on)

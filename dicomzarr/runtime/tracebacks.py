"""Tracebacks of errors that go to users: frames below hold secrets and patient text, which error reporters store.

Our errors say in their text what was asked, found and to be done; where in here they came from matters to nobody else.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Callable

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")
_Error = TypeVar("_Error", bound=BaseException)


def without_frames(error: _Error) -> _Error:
    """The error without the frames that it and its causes went through; other errors than ours as they are."""
    if isinstance(error, DicomZarrError):
        each: BaseException | None = error
        seen: set[int] = set()
        while each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            each.__context__ = None
            each = each.__cause__
    return error


def keeps_secrets(function: Callable[_Given, _Answer]) -> Callable[_Given, _Answer]:
    """Have a function that is given secrets raise our errors without any frame in which they are."""

    @functools.wraps(function)
    def call(*args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        try:
            return function(*args, **kwargs)
        except DicomZarrError as error:
            failure = without_frames(error)
        del args, kwargs
        raise failure

    return call

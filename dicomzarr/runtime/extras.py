"""Packages that are extras: imported when something needs them, and named when they are not there."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dicomzarr.errors import MissingPackageError

if TYPE_CHECKING:
    from types import ModuleType


def needed(module: str, extra: str = "", *, python: tuple[int, int] = (3, 11)) -> ModuleType:
    """A package that is not among the dependencies.

    Args:
        module: Its name.
        extra: The extra that brings it; empty where there is none.
        python: The oldest Python that it is there for.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        wanted = f'"dicomzarr[{extra}]"' if extra else module
        remedy = f"pip install {wanted}"
        if sys.version_info < python:
            remedy = f"It is there for Python {python[0]}.{python[1]} and later: {remedy}"
        raise MissingPackageError(f"This needs {module}, which is not installed.", remedy=remedy) from None


def is_there(module: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    return sys.modules[module] is not None if module in sys.modules else find_spec(module) is not None

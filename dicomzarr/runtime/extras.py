"""Packages that are extras: imported when something needs them, and named when they are not there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType


def needed(module: str, extra: str = "") -> ModuleType:
    """A package that is not among the dependencies.

    Args:
        module: Its name.
        extra: The extra that brings it; empty where there is none.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        wanted = f'"dicomzarr[{extra}]"' if extra else module
        raise UsageError(f"This needs {module}, which is not installed.", remedy=f"pip install {wanted}") from None

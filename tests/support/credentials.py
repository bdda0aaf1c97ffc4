"""Credentials that every process finds by name, in a module that imports nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def named_headers() -> Mapping[str, str]:
    """Headers with a bearer token."""
    return {"Authorization": "Bearer by-name"}

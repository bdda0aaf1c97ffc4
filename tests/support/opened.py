"""zarr's view of a URL or a store, untyped: what a group or an array gives depends on what is in the store."""

from __future__ import annotations

from typing import Any

import zarr


def group_at(store: Any, **options: Any) -> Any:
    """The group, to be read."""
    return zarr.open_group(store, mode="r", **options)


def array_at(store: Any, **options: Any) -> Any:
    """The array, to be read."""
    return zarr.open_array(store, mode="r", **options)

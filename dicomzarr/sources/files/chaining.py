"""What fsspec makes of a chained URL, ``dicomfile://studies/...::PLACE``, as our options have it. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dicomzarr.sources.files.urls import FolderURL, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS: Final = frozenset({"s3", "gs", "gcs", "http", "https"})
"""Protocols that are read by our own client as long as nothing else is asked for."""

_ANONYMOUS: Final[Mapping[str, object]] = {"anon": True, "token": "anon"}
"""How the filesystems of buckets are told that there are no credentials, which we assume."""


def chained_place(found: str, protocol: str | None) -> str:
    """The place behind ``::``, whose protocol fsspec may have taken off."""
    place = found if "://" in found or protocol is None else f"{protocol}://{found}"
    return place_of(FolderURL.at(place).base)


def chained_options(protocol: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Our storage options for those of the filesystem of a place.

    Args:
        protocol: Of the place.
        options: What a user gave for it, as ``storage_options={"s3": {...}}``.
    """
    left = {name: value for name, value in options.items() if _ANONYMOUS.get(name, name) != value}
    if protocol in _OURS and not left.keys() - {"endpoint_url"}:
        return left
    return {"fsspec_options": dict(options)} if left else {}

"""The grammar of chunk keys (Zarr v3 core specification, default chunk key encoding)."""

from __future__ import annotations

PREFIX = "c"
SEPARATOR = "/"


def chunk_key(chunk: tuple[int, ...]) -> str:
    """The key of a chunk relative to its array, as ``c/0/3/7``."""
    return SEPARATOR.join((PREFIX, *map(str, chunk)))


def parse_indices(segments: list[str]) -> tuple[int, ...] | None:
    """Chunk indices of the segments behind the prefix; None unless spelled as we would spell them."""
    if not all(segment.isascii() and segment.isdecimal() for segment in segments):
        return None
    indices = tuple(int(segment) for segment in segments if len(segment) < 19)  # noqa: PLR2004  # int64
    return indices if chunk_key(indices) == SEPARATOR.join((PREFIX, *segments)) else None

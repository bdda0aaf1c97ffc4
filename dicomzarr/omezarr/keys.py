"""The grammar of chunk keys (Zarr v3 core specification, default chunk key encoding; Zarr v2, separator ``/``)."""

from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """How the chunks of an array are named below it."""

    prefix: str
    """The segment before the indices; empty for none."""

    def key(self, chunk: tuple[int, ...]) -> str:
        """The key of a chunk relative to its array, as ``c/0/3/7``."""
        return SEPARATOR.join((*self._before, *map(str, chunk)))

    def parse(self, segments: list[str]) -> tuple[int, ...] | None:
        """Chunk indices of the segments below an array; None unless spelled as we would spell them."""
        own = len(self._before)
        if segments[:own] != self._before:
            return None
        written = segments[own:]
        if not all(segment.isascii() and segment.isdecimal() for segment in written):
            return None
        indices = tuple(int(segment) for segment in written if len(segment) < 19)  # noqa: PLR2004  # int64
        return indices if self.key(indices) == SEPARATOR.join(segments) else None

    @property
    def _before(self) -> list[str]:
        return [self.prefix] if self.prefix else []

"""A series as a read-only key-value store: documents at once, chunks when they are asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dicomzarr.frames.readahead import Block
from dicomzarr.store.hierarchy import Chunk, Directory, Document, Found, Group, locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.frames.source import FrameSource
    from dicomzarr.multiscale import LevelPlan, SeriesPlan


class SeriesStore:
    """The virtual Zarr hierarchy of one series.

    Args:
        plan: What the series became.
        root: Its hierarchy.
        source: Where frames come from.
        others: Where those of other series come from that are shown with it, by Series Instance UID.
    """

    def __init__(
        self, plan: SeriesPlan, root: Group, source: FrameSource, others: Mapping[str, FrameSource] | None = None
    ) -> None:
        self.plan = plan
        self.root = root
        self.source = source
        self._others = others or {}

    def source_of(self, level: LevelPlan) -> FrameSource:
        """Where the frames of a level come from."""
        return self._others[level.series] if level.series else self.source

    def locate(self, key: str) -> Found | None:
        """What is at a key, without I/O; None when the hierarchy has nothing there."""
        return locate(self.root, key)

    async def get(self, key: str) -> bytes | None:
        """The value of a key; None when the metadata says that there is none.

        Raises:
            ServerError: A frame could not be fetched.
            FrameError: A frame could not be decoded, or is in an instance that the series lacks.
        """
        found = self.locate(key)
        if isinstance(found, Document):
            return found.data
        if isinstance(found, Chunk):
            if found.lost is not None:
                raise found.lost
            if found.frame is None:
                return absent_chunk(found.level)
            source = self.source_of(found.level)
            source.follow(found.level, Block(found.indices, (1,) * len(found.indices)))
            return await source.chunk(found.frame, found.level)
        return None

    def names(self, key: str) -> Iterator[str] | None:
        """The names directly below a key; None when the key is no directory."""
        found = self.locate(key)
        return found.names() if isinstance(found, Directory) else None


def absent_chunk(level: LevelPlan) -> bytes:
    """A chunk in the colour of absent tiles, for colours that one scalar cannot say."""
    samples = np.array(level.absent, dtype=level.dtype)
    pixels = math.prod(level.chunks) // len(samples)
    return np.repeat(samples, pixels).tobytes()

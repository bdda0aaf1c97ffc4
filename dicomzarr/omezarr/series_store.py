"""A series as a read-only key-value store: documents at once, chunks when they are asked for."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dicomzarr.engine.readahead import Block
from dicomzarr.errors import SeriesChangedError
from dicomzarr.omezarr.hierarchy import Chunk, Document, Found, Group, locate
from dicomzarr.runtime.lazy_attribute import lazy_attribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.engine.scheduler import Scheduler
    from dicomzarr.engine.source import FrameSource
    from dicomzarr.plan import LevelPlan, SeriesPlan


class OpeningName(NamedTuple):
    """Tells the values of one opening of a series from those of another; dask knows them by it."""

    state: str
    """See `SeriesStore.state`."""
    versions: tuple[tuple[str, tuple[str | None, str | None, int]], ...]
    """Tell pixels from those that replaced them under their UIDs: see `SeriesState.version`; by the UID of another
    series, or nothing for its own."""


class SeriesStore:
    """The virtual Zarr hierarchy of one series in the state in which it was opened: its plan, and what reads by it.

    Args:
        plan: What the series became.
        root: Its hierarchy.
        source: Where frames come from.
        others: Where those of other series come from that are shown with it, by Series Instance UID.
        made_of: What lives as long as this does, so that other views can be made of it.
    """

    def __init__(
        self,
        plan: SeriesPlan,
        root: Group,
        source: FrameSource,
        others: Mapping[str, FrameSource] | None = None,
        made_of: Sequence[object] = (),
    ) -> None:
        self.made_of = made_of
        self.plan = plan
        self.root = root
        self.source = source
        self._others = others or {}

    @property
    def others(self) -> tuple[str, ...]:
        """The series of segmentations that refer to this one, whether they are labels or not, by UID."""
        return tuple(self._others)

    @lazy_attribute
    def frames_state(self) -> str:
        """As `state`, whatever view makes values of the stored ones."""
        return _hashed((path, image.state()) for path, image in sorted(self.plan.by_path.items()))

    @lazy_attribute
    def state(self) -> str:
        """Tells this state of the series from those with other cells: which frame each is, as which values, and where.

        How frames are encoded, and what else is said of them, is no part of it.
        """
        levels = [
            (f"{path} {number}", level.view.state())
            for path, image in sorted(self.plan.by_path.items())
            for number, level in enumerate(image.levels)
            if level.view is not None
        ]
        return _hashed([(self.frames_state, ()), *levels])

    @property
    def name(self) -> OpeningName:
        """Tells the values of this opening from those of others."""
        versions = [(uid, source.series.version) for uid, source in sorted(self._others.items())]
        return OpeningName(self.state, (("", self.source.series.version), *versions))

    @lazy_attribute
    def version(self) -> str:
        """Tells what is shown here from all else: the values of this opening, and what the documents say of them."""
        hashed = sha256(repr(tuple(self.name)).encode())
        for name, document in sorted(self.root.documents.items()):
            hashed.update(name.encode() + document)
        return hashed.hexdigest()[:32]

    def served_by(self, scheduler: Scheduler) -> SeriesStore:
        """The same state, read through another scheduler: a forked child has no right to its parent's."""
        others = {uid: source.served_by(scheduler) for uid, source in self._others.items()}
        return SeriesStore(self.plan, self.root, self.source.served_by(scheduler), others, self.made_of)

    def for_one_reader(self) -> SeriesStore:
        """The same state for whoever has several reads under way: see `FrameSource.for_one_reader`."""
        others = {uid: source.for_one_reader() for uid, source in self._others.items()}
        return SeriesStore(self.plan, self.root, self.source.for_one_reader(), others, self.made_of)

    def source_of(self, level: LevelPlan) -> FrameSource:
        """Where the frames of a level come from.

        Raises:
            SeriesChangedError: They are of a segmentation that this opening of the series does not show.
        """
        if not level.series:
            return self.source
        source = self._others.get(level.series)
        if source is None:
            raise SeriesChangedError(
                f"Segmentation series {level.series} is not shown with the series any more.",
                remedy="Open the series again.",
            )
        return source

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
        return await self.chunk(found) if isinstance(found, Chunk) else None

    async def chunk(self, chunk: Chunk) -> bytes:
        """The values of a chunk.

        Raises:
            ServerError: Its frame could not be fetched.
            FrameError: It could not be decoded, or is in an instance that the series lacks.
        """
        frame = self._frame_of(chunk)
        if frame is None:
            return absent_chunk(chunk.level)
        return await self._following(chunk).chunk(frame, chunk.level)

    async def encoded(self, chunk: Chunk) -> EncodedFrame | None:
        """The frame of a chunk as it is stored or was sent; None for a tile that does not exist. On the home loop.

        Raises:
            ServerError: It could not be fetched.
            FrameError: It is in an instance that the series lacks.
        """
        frame = self._frame_of(chunk)
        return None if frame is None else await self._following(chunk).encoded(frame)

    @staticmethod
    def _frame_of(chunk: Chunk) -> FrameRef | None:
        if chunk.lost is not None:
            raise chunk.lost
        return chunk.frame

    def _following(self, chunk: Chunk) -> FrameSource:
        """Where a chunk comes from, which hears that it is read: what comes next is fetched ahead."""
        source = self.source_of(chunk.level)
        source.follow(chunk.level, Block(chunk.indices, (1,) * len(chunk.indices)))
        return source


def _hashed(named: Iterable[tuple[str, Iterable[bytes]]]) -> str:
    """A digest of pieces in their order; each counts with its length, so that none runs into the next."""
    hashed = sha256()
    for name, pieces in named:
        for piece in (name.encode(), *pieces):
            hashed.update(len(piece).to_bytes(8, "little"))
            hashed.update(piece)
    return hashed.hexdigest()


def absent_chunk(level: LevelPlan) -> bytes:
    """A chunk in the colour of absent tiles, for colours that one scalar cannot say."""
    samples = np.array(level.absent, dtype=level.dtype)
    pixels = math.prod(level.chunks) // len(samples)
    return np.repeat(samples, pixels).tobytes()

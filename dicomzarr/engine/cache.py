"""Encoded frames in memory, bounded by bytes, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.series_state import FrameKey


class FrameCache:
    """A least-recently-used cache; lives on one event loop, so it needs no lock.

    Args:
        limit: Bytes of encoded frames to hold.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._frames: OrderedDict[FrameKey, EncodedFrame] = OrderedDict()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._bytes

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._frames

    def get(self, key: FrameKey) -> EncodedFrame | None:
        """The frame, now the most recently used; None when it is not held."""
        frame = self._frames.get(key)
        if frame is not None:
            self._frames.move_to_end(key)
        return frame

    def put(self, key: FrameKey, frame: EncodedFrame) -> None:
        """Hold a frame, and let go of the oldest until all fit."""
        self.discard(key)
        if len(frame.data) > self.limit:
            return
        self._frames[key] = frame
        self._bytes += len(frame.data)
        while self._bytes > self.limit:
            _, oldest = self._frames.popitem(last=False)
            self._bytes -= len(oldest.data)

    def discard(self, key: FrameKey) -> None:
        """Let go of a frame, if held."""
        frame = self._frames.pop(key, None)
        if frame is not None:
            self._bytes -= len(frame.data)

    def clear(self) -> None:
        """Let go of all."""
        self._frames.clear()
        self._bytes = 0


class CacheShare(FrameCache):
    """What some readers keep in a cache that others use too: nothing, until one of them wants something kept.

    Args:
        whole: The cache of all.
    """

    def __init__(self, whole: FrameCache) -> None:
        super().__init__(0)
        self._whole = whole

    def grow(self, limit: int) -> None:
        """Somebody wants so many bytes held, of all readers together."""
        self.limit = limit
        self._whole.limit = max(self._whole.limit, limit)

    @property
    def nbytes(self) -> int:
        """Bytes held, of all readers."""
        return self._whole.nbytes

    def __contains__(self, key: FrameKey) -> bool:
        return key in self._whole

    def get(self, key: FrameKey) -> EncodedFrame | None:
        """See `FrameCache.get`."""
        return self._whole.get(key)

    def put(self, key: FrameKey, frame: EncodedFrame) -> None:
        """See `FrameCache.put`."""
        if self.limit:
            self._whole.put(key, frame)

    def discard(self, key: FrameKey) -> None:
        """See `FrameCache.discard`."""
        self._whole.discard(key)

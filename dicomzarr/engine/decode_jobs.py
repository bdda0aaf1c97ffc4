"""Frames of one reader that wait for a decode thread, and what became of those that were decoded.

A thread that has finished takes what has come meanwhile, and does not wait for the home loop to hand it over; the loop
is told of many frames at once, as each time it is told it stops the threads for a moment.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from dicomzarr.runtime.pools import DECODERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import FrameRef

_MOST_A_JOB = 8
_MOST_JOB_BYTES = 2 * 2**20
"""Frames, and bytes of their pixels, that one trip to a decode thread decodes: a few milliseconds, or one frame."""

_TOLD_TOGETHER = 64
_MOST_TOLD_BYTES = 16 * 2**20
"""Frames, and bytes of their pixels, that the loop hears of at once, while more wait."""


class Wanted(Protocol):
    """A frame that somebody reads."""

    @property
    def frame(self) -> FrameRef:
        """Which."""

    @property
    def fetched(self) -> bool:
        """It has been fetched just now."""

    @property
    def given_up(self) -> bool:
        """Nobody needs it any more."""


_Asked = TypeVar("_Asked", bound=Wanted)
_Asked_contra = TypeVar("_Asked_contra", bound=Wanted, contravariant=True)


class Decoder(Protocol[_Asked_contra]):
    """Whoever has frames decoded."""

    def decoded(self, asked: _Asked_contra, encoded: EncodedFrame) -> object:
        """Called in a decode thread: decode a frame and use it; gives what the loop is to hear. It does not raise."""

    def finish(self, outcomes: Sequence[tuple[_Asked_contra, object]], nbytes: int) -> None:
        """Told on the home loop what `decoded` gave, and bytes of encoded frames that wait no more."""


class DecodeJobs(Generic[_Asked]):
    """No more jobs of one reader than there are threads: others have their turns between them.

    Args:
        decoder: Decodes, and is told.
    """

    def __init__(self, decoder: Decoder[_Asked]) -> None:
        self._decoder = decoder
        self._lock = threading.Lock()
        self._ready: deque[tuple[_Asked, EncodedFrame]] = deque()
        self._outcomes: list[tuple[_Asked, object]] = []
        """Those that the loop has not heard of."""
        self._nbytes = 0
        """Bytes of encoded frames, and..."""
        self._pixel_bytes = 0
        """... of decoded ones, that it has not heard of."""
        self._jobs = 0
        self._tells = False

    def add(self, asked: _Asked, encoded: EncodedFrame) -> None:
        """Decode what has come, at once where a thread is free; on the home loop."""
        with self._lock:
            self._ready.append((asked, encoded))
            starts = self._jobs < DECODERS.threads
            self._jobs += starts
        if starts:
            DECODERS.submit(self._work, asyncio.get_running_loop())

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in a decode thread, until nothing waits; others have their turns between."""
        while self._decode_some(loop):
            if DECODERS.has_waiting:
                with suppress(RuntimeError):  # the process ends: nobody waits
                    DECODERS.submit(self._work, loop)
                return

    def _decode_some(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Decode as much as one job may, and give whether more waits."""
        DECODERS.keep_apart()
        with self._lock:
            batch = self._take()
        outcomes = [(asked, self._decoder.decoded(asked, each)) for asked, each in batch if not asked.given_up]
        with self._lock:
            self._outcomes += outcomes
            self._nbytes += sum(len(encoded.data) for asked, encoded in batch if asked.fetched)
            self._pixel_bytes += sum(asked.frame.instance.pixel.nbytes for asked, _ in batch)
            more, tells = bool(self._ready), self._is_to_tell()
            self._tells |= tells
            self._jobs -= not more
        if tells:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(self._tell)
        return more

    def _take(self) -> list[tuple[_Asked, EncodedFrame]]:
        """What one job decodes, which may be nothing: others were faster."""
        if not self._ready:
            return []
        each = max(1, self._ready[0][0].frame.instance.pixel.nbytes)
        most = max(1, min(_MOST_A_JOB, _MOST_JOB_BYTES // each))
        share = min(most, -(-len(self._ready) // DECODERS.threads))
        return [self._ready.popleft() for _ in range(share)]

    def _is_to_tell(self) -> bool:
        """Whether the loop should hear what was decoded: not yet while there is little of it, and more to come."""
        enough = len(self._outcomes) >= _TOLD_TOGETHER or self._pixel_bytes >= _MOST_TOLD_BYTES
        return not self._tells and (enough or not self._ready) and bool(self._outcomes or self._nbytes)

    def _tell(self) -> None:
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
            nbytes, self._nbytes = self._nbytes, 0
            self._pixel_bytes = 0
            self._tells = False
        self._decoder.finish(outcomes, nbytes)

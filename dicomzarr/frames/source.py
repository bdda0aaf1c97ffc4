"""The frames of one series: batched, shared in flight, cached, validated, decoded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dicomzarr.errors import DicomZarrError, FrameError, ServerError
from dicomzarr.frames.cache import FrameCache, FrameKey
from dicomzarr.frames.decode import decode_frame
from dicomzarr.frames.loops import Crossing, in_decode_thread
from dicomzarr.frames.requests import FramesRequest, plan_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicomweb.client import Client, EncodedFrame

    Decoded = npt.NDArray[np.generic]

_Result = TypeVar("_Result")

_MOST_UNDER_WAY = 1024
_LEAST_UNDER_WAY = 32
_BYTES_UNDER_WAY = 256 * 2**20
"""What one read may have under way at a time, in frames and in bytes if none were compressed."""


class FrameSource:
    """Reads frames; everything but ``chunk`` runs on the home loop.

    Args:
        client: Speaks to the server.
        cache: Encoded frames, shared by all series of an endpoint and identity.
        study: Study Instance UID.
        series: Series Instance UID.
        frames_per_request: Most frames of one list.
        connections: Requests that can be under way at once.
    """

    def __init__(  # noqa: PLR0913  # a composition root hands over each part by name
        self,
        client: Client,
        cache: FrameCache,
        *,
        study: str,
        series: str,
        frames_per_request: int,
        connections: int,
    ) -> None:
        self._client = client
        self._cache = cache
        self._study = study
        self._series = series
        self._frames_per_request = frames_per_request
        self._connections = connections
        self._in_flight: dict[FrameKey, asyncio.Future[EncodedFrame]] = {}
        self._pending: list[FrameRef] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = object()
        self._crossing = Crossing()

    async def chunk(self, frame: FrameRef) -> bytes:
        """The decoded frame as the bytes of a chunk; from any loop.

        Raises:
            ServerError: The frame could not be fetched.
            FrameError: It could not be decoded, or is not what the metadata says.
        """
        return await self._crossing.get(self._chunk_bytes, frame)

    async def deliver(
        self,
        frames: Sequence[FrameRef],
        place: Callable[[int, Decoded], None],
    ) -> None:
        """Fetch and decode many frames planned together.

        Args:
            frames: What to read; each may occur more than once.
            place: Called in a decode thread with the position in ``frames`` and the decoded frame.

        Raises:
            DicomZarrError: The first that any frame met.
        """
        step = _frames_under_way(frames)
        for start in range(0, len(frames), step):
            part = range(start, min(start + step, len(frames)))
            try:
                async with asyncio.TaskGroup() as group:
                    for position in part:
                        group.create_task(self._decoded(frames[position], partial(place, position)))
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None

    async def _chunk_bytes(self, frame: FrameRef) -> bytes:
        return await self._decoded(frame, lambda pixels: pixels.tobytes())

    async def _decoded(self, frame: FrameRef, use: Callable[[Decoded], _Result]) -> _Result:
        """Decode a frame in a decode thread and use it there."""
        if self._cache.get(self._key(frame)) is not None:
            # Whoever fetched it may have given up before it was decoded: if it is bad, the server is asked anew.
            with suppress(FrameError):
                return await self._decoded_once(frame, use)
        return await self._decoded_once(frame, use)

    async def _decoded_once(self, frame: FrameRef, use: Callable[[Decoded], _Result]) -> _Result:
        encoded = await self._encoded(frame)
        try:
            return await in_decode_thread(self._decode, frame, encoded, use)
        except FrameError:
            self._cache.discard(self._key(frame))
            raise

    def _decode(self, frame: FrameRef, encoded: EncodedFrame, use: Callable[[Decoded], _Result]) -> _Result:
        return use(
            decode_frame(
                encoded.data,
                frame.instance.pixel,
                transfer_syntax_uid=encoded.transfer_syntax_uid,
                media_type=encoded.media_type,
                where=self._where(frame),
            )
        )

    async def _encoded(self, frame: FrameRef) -> EncodedFrame:
        """From the cache, from who is fetching it already, or from the server."""
        key = self._key(frame)
        held = self._cache.get(key)
        if held is not None:
            return held
        future = self._in_flight.get(key)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            # Nobody may be left to hear of a failure when every reader was cancelled.
            future.add_done_callback(_heard)
            self._in_flight[key] = future
            if not self._pending:
                asyncio.get_running_loop().call_soon(self._flush)
            self._pending.append(frame)
        return await asyncio.shield(future)

    def _flush(self) -> None:
        """Plan what one tick has gathered."""
        pending, self._pending = self._pending, []
        requests = plan_requests(
            pending,
            frames_per_request=self._frames_per_request,
            connections=self._connections,
        )
        for request in requests:
            task = asyncio.get_running_loop().create_task(self._fetch(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self, request: FramesRequest) -> None:
        uid = request.instance.sop_instance_uid
        waiting = {number: FrameKey(self._opening, uid, number) for number in request.numbers}

        def deliver(number: int, frame: EncodedFrame) -> None:
            key = waiting.pop(number)
            self._cache.put(key, frame)
            self._settle(key, frame)

        def fail(number: int, error: DicomZarrError) -> None:
            self._settle(waiting.pop(number), error)

        unanswered: BaseException = ServerError(f"The request for frames of instance {uid} ended without an answer.")
        try:
            await self._client.frames(
                self._study, self._series, uid, request.numbers, deliver, fail, compressed=request.instance.compressed
            )
        except Exception as error:  # noqa: BLE001  # whoever waits for a frame must hear of it
            unanswered = error
        finally:
            for key in waiting.values():
                self._settle(key, unanswered)

    def _settle(self, key: FrameKey, outcome: EncodedFrame | BaseException) -> None:
        """Release those who wait for a frame."""
        future = self._in_flight.pop(key)
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _key(self, frame: FrameRef) -> FrameKey:
        return FrameKey(self._opening, frame.instance.sop_instance_uid, frame.number)

    def _where(self, frame: FrameRef) -> str:
        return (
            f"study {self._study}, series {self._series}, "
            f"instance {frame.instance.sop_instance_uid}, frame {frame.number}"
        )


def _frames_under_way(frames: Sequence[FrameRef]) -> int:
    largest = max((frame.instance.pixel.nbytes for frame in frames), default=1)
    return max(_LEAST_UNDER_WAY, min(_MOST_UNDER_WAY, _BYTES_UNDER_WAY // largest))


def _heard(future: asyncio.Future[EncodedFrame]) -> None:
    if not future.cancelled():
        future.exception()

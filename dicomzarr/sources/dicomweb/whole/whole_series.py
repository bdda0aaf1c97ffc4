"""A whole series in one reply (PS3.18 section 10.4.1.1.2): frames are cut out of its instances as these arrive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.part10 import find_frames
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.engine.series_state import FrameKey
from dicomzarr.errors import InvalidFileError, InvalidReplyError, UnsupportedTransferSyntaxError
from dicomzarr.sources.dicomweb.messages.received_parts import received_parts
from dicomzarr.sources.dicomweb.messages.replies import cut_frame, refuse_text
from dicomzarr.sources.dicomweb.negotiation.accept import WHOLE_SERIES_ACCEPT
from dicomzarr.sources.dicomweb.urls import series_url
from dicomzarr.sources.http.exchange import RequestSpec
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import Instance
    from dicomzarr.engine.ports import Fetch, FrameSink
    from dicomzarr.engine.series_state import SeriesState
    from dicomzarr.sources.dicomweb.messages.multipart import Part
    from dicomzarr.sources.http.exchange import Exchange
    from dicomzarr.sources.http.transport import Response

MOST_BESIDE: Final = 4 * 2**20
"""Bytes that an instance may have beside its pixels; what has more is left to requests of its own."""

_MOST_USELESS: Final = 8
"""Instances that may be useless before a reply of mostly such ones is given up."""


class OnlyFrame(NamedTuple):
    """The frame of an instance that has one."""

    instance: str
    """SOP Instance UID, as the instance itself says."""
    frame: EncodedFrame


@dataclass(slots=True, eq=False)
class SeriesJob:
    """The frames of a series whose instances have one frame each: handed on as they come, and counted."""

    fetch: Fetch
    """The frames that somebody waited for when it began."""
    sink: FrameSink
    clock: Callable[[], float]
    """Gives seconds, and never goes back."""
    good: int = 0
    """Frames that came and can be used, whether or not somebody waits for them still."""
    served: int = 0
    """Those that somebody waited for when it began."""
    useless: int = 0
    """Instances that are others than the metadata say, or have not one frame."""
    nbytes: int = 0
    """Bytes of the good ones."""
    waited: float = 0.0
    """Seconds in which decoders were behind."""
    _wanted: frozenset[FrameKey] = field(init=False)
    _limit: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self._wanted = frozenset(self.fetch.keys)

    @property
    def series(self) -> SeriesState:
        """The series."""
        return self.fetch.keys[0].series

    @property
    def subject(self) -> str:
        """The series in words, for messages."""
        return f"all instances of series {self.series.series}, study {self.series.study}"

    @property
    def most_part(self) -> int:
        """Bytes that one instance may have."""
        return 2 * max(each.pixel.nbytes for each in self.series.slices.values()) + MOST_BESIDE

    def take(self, only: OnlyFrame | None) -> bool:
        """Take the frame of an instance, or None for one that has not exactly one; gives whether more are wanted."""
        slices = self.series.slices
        instance = None if only is None else slices.get(only.instance)
        if only is None or instance is None or _is_decoded(only, instance):
            self.useless += 1
            return self.useless <= _MOST_USELESS or self.useless < self.good
        self.good += 1
        self.nbytes += len(only.frame.data)
        key = FrameKey(self.series, only.instance, 1)
        self.served += key in self._wanted
        return self.sink.arrived(key, only.frame) or self.good >= len(slices)

    async def within(self, seconds: float, fetched: Awaitable[None]) -> None:
        """Wait until it has ended.

        Raises:
            TimeoutError: It took longer, but for the time in which decoders were behind.
        """
        async with asyncio.timeout(seconds) as self._limit:
            await fetched

    async def ready(self) -> None:
        """Wait until the decoders have caught up."""
        limit, began = self._limit, self.clock()
        when = None if limit is None else limit.when()
        if limit is None or when is None:
            return
        limit.reschedule(None)  # it is ourselves who are late
        await self.sink.ready()
        waited = self.clock() - began
        self.waited += waited
        limit.reschedule(when + waited)


def _is_decoded(only: OnlyFrame, instance: Instance) -> bool:
    """Whether the server decoded what should be a codestream, whose colour can then not be proven any more."""
    return instance.compressed and is_native(only.frame.transfer_syntax_uid or "")


async def retrieve(base_url: str, exchange: Exchange, job: SeriesJob) -> None:
    """Ask once for the whole series; what does not come, or is no single frame, can only be asked for otherwise.

    Args:
        base_url: The URL of the DICOMweb service.
        exchange: Asks it.
        job: What for.

    Raises:
        ServerError: The server refused, or the reply broke; frames before that were taken.
    """

    async def read(response: Response) -> None:
        await _receive(response, job)

    url = series_url(base_url, job.series.study, job.series.series)
    headers = {"accept": WHOLE_SERIES_ACCEPT, "accept-encoding": "identity"}
    await exchange.send(RequestSpec(lambda: url, headers, job.subject, once=True), read)


async def _receive(response: Response, job: SeriesJob) -> None:
    media = MediaType.parse(response.headers.get("content-type", ""))
    refuse_text(media, job.subject)
    if not media.is_multipart:
        raise InvalidReplyError(f"{media.name or 'Something'} that is not multipart came for {job.subject}.")
    most = (len(job.series.slices) + 1) * job.most_part
    async for part in received_parts(response, most, job.subject, most_part=job.most_part):
        if not job.take(only_frame(part)):
            return
        await job.ready()


def only_frame(part: Part) -> OnlyFrame | None:
    """The frame in a part that is a whole instance; None where it has several, none, or cannot be read."""
    data = memoryview(part.body)
    try:
        meta = read_file_meta(data)
        if meta.deflated:  # what it inflates to is unknown
            return None
        stored = find_frames(data, meta.end, meta)
    except (InvalidFileError, UnsupportedTransferSyntaxError):
        return None
    if len(stored.frames) != 1:
        return None
    return OnlyFrame(stored.sop_instance_uid, cut_frame(stored.frames, 1, stored.header))

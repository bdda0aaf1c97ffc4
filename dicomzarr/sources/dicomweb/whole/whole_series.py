"""A whole series in one reply (PS3.18 section 10.4.1.1.2): frames are cut out of its instances as these arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from dicomzarr.dicom.files.part10 import find_frames, read_file_meta
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
    from dicomzarr.sources.dicomweb.messages.multipart import Part
    from dicomzarr.sources.http.exchange import Exchange
    from dicomzarr.sources.http.transport import Response

MOST_BESIDE: Final = 4 * 2**20
"""Bytes that an instance may have beside its pixels; what has more is left to requests of its own."""


class OnlyFrame(NamedTuple):
    """The frame of an instance that has one."""

    instance: str
    """SOP Instance UID, as the instance itself says."""
    frame: EncodedFrame


Take: TypeAlias = "Callable[[OnlyFrame | None], bool]"
"""Takes the frame of an instance, or None for one that has not exactly one; gives whether any more are wanted."""


@dataclass(frozen=True, slots=True)
class SeriesJob:
    """The frames of a series whose instances have one frame each."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    instances: int
    """How many instances there are."""
    frame_bytes: int
    """Bytes of the largest decoded frame."""
    take: Take
    """Called once for each instance that is whole."""
    room: Callable[[], Awaitable[None]]
    """Waits until more may come."""

    @property
    def subject(self) -> str:
        """The series in words, for messages."""
        return f"all instances of series {self.series}, study {self.study}"

    @property
    def most_part(self) -> int:
        """Bytes that one instance may have."""
        return 2 * self.frame_bytes + MOST_BESIDE


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

    url = series_url(base_url, job.study, job.series)
    headers = {"accept": WHOLE_SERIES_ACCEPT, "accept-encoding": "identity"}
    await exchange.send(RequestSpec(lambda: url, headers, job.subject, once=True), read)


async def _receive(response: Response, job: SeriesJob) -> None:
    media = MediaType.parse(response.headers.get("content-type", ""))
    refuse_text(media, job.subject)
    if not media.is_multipart:
        raise InvalidReplyError(f"{media.name or 'Something'} that is not multipart came for {job.subject}.")
    most = (job.instances + 1) * job.most_part
    async for part in received_parts(response, most, job.subject, most_part=job.most_part):
        if not job.take(only_frame(part)):
            return
        await job.room()


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

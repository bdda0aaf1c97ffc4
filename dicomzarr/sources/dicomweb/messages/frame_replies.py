"""The reply to a request for frames, read while it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dicomzarr.errors import TruncatedReplyError
from dicomzarr.sources.dicomweb.messages.multipart import MultipartParser, Part, is_multipart
from dicomzarr.sources.dicomweb.messages.received_parts import received_together
from dicomzarr.sources.dicomweb.messages.replies import PartSorter, refuse_text
from dicomzarr.sources.http.bodies import whole_body
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
    from dicomzarr.sources.http.transport import Response

    class Deliver(Protocol):
        """Takes frames."""

        def __call__(self, number: int, frame: EncodedFrame, /, *, named: bool) -> object:
            """Take a frame under the number that it names, or in whose place it came."""


async def receive(response: Response, job: FrameJob, numbers: list[int], deliver: Deliver) -> str:
    """Deliver the frames of a reply as they arrive.

    Args:
        response: The reply, with a status of success.
        job: What it is for.
        numbers: The frames that were asked for.
        deliver: Called with each frame as soon as it is whole.

    Returns:
        What came, for messages.

    Raises:
        InvalidReplyError: Something else than frames came, or more than these frames can be.
        TruncatedReplyError: The reply ended before all frames were there.
    """
    outer = MediaType.parse(response.headers.get("content-type", ""))
    subject = job.subject(numbers)
    refuse_text(outer, subject)
    if outer.is_multipart:
        return await _receive_parts(response, job, PartSorter(job.instance, numbers, outer, subject), deliver)
    body = await whole_body(response, job.most_bytes(len(numbers)), subject)
    if is_multipart(body):  # and is called something else, as files on a web server are
        parts, sorter = MultipartParser().feed(body), PartSorter(job.instance, numbers, MediaType.parse(""), subject)
    else:  # the only part of a reply that is none, which its headers name
        parts, sorter = [Part(response.headers, body)], PartSorter(job.instance, numbers, outer, subject)
    return _take_parts(parts, sorter, deliver)


def _take_parts(parts: Iterable[Part], sorter: PartSorter, deliver: Deliver) -> str:
    """Deliver the frames of a body that is here as a whole."""
    for part in parts:
        placed = sorter.add(part)
        if placed is not None:
            deliver(*placed, named=True)
    _finish(sorter, deliver)
    return sorter.summary


async def _receive_parts(response: Response, job: FrameJob, sorter: PartSorter, deliver: Deliver) -> str:
    try:
        async for parts in received_together(response, job.most_bytes(len(sorter.numbers)), sorter.subject):
            for part in parts:
                placed = sorter.add(part)
                if placed is not None:
                    deliver(*placed, named=True)
    except TruncatedReplyError:
        if job.left(sorter.numbers):
            raise
        return sorter.summary  # every part was whole: only the end of the reply is missing
    _finish(sorter, deliver)
    return sorter.summary


def _finish(sorter: PartSorter, deliver: Deliver) -> None:
    for number, frame in sorter.finish():
        deliver(number, frame, named=sorter.are_named)

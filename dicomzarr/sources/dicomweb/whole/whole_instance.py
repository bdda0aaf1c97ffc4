"""Whole instances, for frames that a server does not give singly: fetched once, cut here, held for a while."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from cachetools import LRUCache

from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.part10 import find_frames
from dicomzarr.errors import (
    DicomZarrError,
    FrameNotFoundError,
    HTTPStatusError,
    InvalidReplyError,
    LoginPageError,
    TemporaryFileError,
    UnsupportedTransferSyntaxError,
    WrongPartsError,
)
from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.runtime.pools import FILES
from dicomzarr.runtime.single_flight import SingleFlight
from dicomzarr.sources.dicomweb.messages.replies import PAGE_HEAD, cut_frame, refuse_page, refuse_text
from dicomzarr.sources.dicomweb.messages.single_part import only_part
from dicomzarr.sources.dicomweb.negotiation.accept import INSTANCE_ACCEPTS
from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey, is_within
from dicomzarr.sources.dicomweb.negotiation.ttl_cache import SeriesTTLCache
from dicomzarr.sources.dicomweb.urls import instance_url
from dicomzarr.sources.dicomweb.whole.file_errors import as_reply_errors
from dicomzarr.sources.http.exchange import Exchange, RequestSpec
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.statuses import Meaning, means
from dicomzarr.sources.spool import inflated, most_inflated, spooled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.files.file_header import FileHeader
    from dicomzarr.dicom.files.part10 import Frames
    from dicomzarr.sources.http.transport import Response

SECONDS_TO_DISTRUST: Final = 60.0
"""How long an instance that could not be had, or not be cut, is not fetched again."""

MOST_FOR_A_FRAME: Final = 256 * 2**20
"""Bytes of an instance, if it were not compressed, up to which it is fetched for the sake of one frame."""

_Reply = TypeVar("_Reply")

_TRIES_ON_LOSS: Final = 2  # a download that ends early may be gigabytes long


@dataclass(frozen=True, slots=True, eq=False)
class HeldInstance:
    """A whole instance on the temporary disk; the disk is free again when nobody refers to it."""

    frames: Frames
    header: FileHeader
    nbytes: int
    """What it takes on the disk."""
    subject: str

    def cut(self, numbers: Sequence[int]) -> list[EncodedFrame | FrameNotFoundError]:
        """Frames by their numbers from 1, or the error for one that is not there; waits for the disk."""
        return [self._cut(number) for number in numbers]

    def _cut(self, number: int) -> EncodedFrame | FrameNotFoundError:
        if not 1 <= number <= len(self.frames):
            return FrameNotFoundError(f"There are {len(self.frames)} frames in {self.subject}, and no frame {number}.")
        return cut_frame(self.frames, number, self.header)


@dataclass(slots=True)
class WholeInstances:
    """The whole instances of one server; everything runs on its loop but ``forget``."""

    base_url: str
    """The URL of the DICOMweb service."""
    exchange: Exchange
    """Asks it."""
    clock: Callable[[], float] = time.monotonic
    """Gives seconds, and never goes back."""
    limits: Limits = LIMITS
    """How much is taken and held."""
    _held: LRUCache[InstanceKey, HeldInstance] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Around them, for ``forget``."""
    _loading: SingleFlight[InstanceKey, HeldInstance] = field(default_factory=lambda: SingleFlight(goes_on=False))
    _failed: SeriesTTLCache[DicomZarrError] = field(init=False)
    _accepts: tuple[str, ...] = INSTANCE_ACCEPTS

    def __post_init__(self) -> None:
        self._failed = SeriesTTLCache(self.clock)
        most = self.limits.instance_bytes_held
        share = most // self.limits.instances_held
        self._held = LRUCache(most, lambda held: min(max(held.nbytes, share), most))

    def holds(self, key: InstanceKey) -> bool:
        """Whether its frames cost no request."""
        return key in self._held

    def has_failed(self, key: InstanceKey) -> bool:
        """Whether asking for it fails at once."""
        return key in self._failed

    async def get(self, key: InstanceKey) -> HeldInstance:
        """The instance; those who ask at once share one download.

        Raises:
            NotFoundError: The server does not have it.
            ServerError: The server did not give it, or gave something that cannot be cut into frames.
            TemporaryFileError: There is no room for it.
        """
        with self._lock:
            held = self._held.get(key)
        if held is not None:
            return held
        failure = self._failed.get(key)
        if failure is not None:
            raise copy.copy(failure)
        return await self._loading.do(
            key,
            lambda: self._load(key),
            lambda loaded: self._hold(key, loaded),
            lambda error: self._distrust(key, error),
        )

    async def cut(self, held: HeldInstance, numbers: Sequence[int]) -> list[EncodedFrame | FrameNotFoundError]:
        """Cut frames in a thread; see `HeldInstance.cut`."""
        return await FILES.run(held.cut, numbers)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Let go of the instances of a series, or of all; from any thread."""
        self._loading.forget(lambda key: is_within(key, study, series))
        self._failed.forget(study, series)
        with self._lock:
            for key in [key for key in self._held if is_within(key, study, series)]:
                del self._held[key]

    async def _load(self, key: InstanceKey) -> HeldInstance:
        data = await self._fetch(key)
        return await FILES.run(open_instance, data, key, most_inflated(len(data), self.limits))

    def _hold(self, key: InstanceKey, loaded: HeldInstance) -> None:
        with self._lock:
            self._held[key] = loaded

    def _distrust(self, key: InstanceKey, error: BaseException) -> None:
        if isinstance(error, DicomZarrError) and _is_lasting(error):
            self._failed.put(key, error, SECONDS_TO_DISTRUST)

    async def send(self, key: InstanceKey, read: Callable[[Response], Awaitable[_Reply]]) -> _Reply:
        """Ask for it in one way after the other; the first that serves comes first from then on.

        Args:
            key: The instance.
            read: Reads the reply.

        Raises:
            ServerError: None served.
        """
        url = instance_url(self.base_url, *key.uids)
        refusal = None
        for accept in self._accepts:
            headers = {"accept": accept, "accept-encoding": "identity"}
            spec = RequestSpec(lambda: url, headers, key.subject, tries_on_loss=_TRIES_ON_LOSS)
            try:
                reply = await self.exchange.send(spec, read)
            except HTTPStatusError as error:
                if not means(error, Meaning.OTHER_MEDIA_TYPE_OF_PIXELS):
                    raise
                refusal = refusal or error
            else:
                self._accepts = (accept, *(other for other in INSTANCE_ACCEPTS if other != accept))
                return reply
        assert refusal is not None  # noqa: S101  # there is at least one way of asking
        raise refusal

    async def _fetch(self, key: InstanceKey) -> memoryview:
        async def read(response: Response) -> memoryview:
            content_type = response.headers.get("content-type", "")
            media = MediaType.parse(content_type)
            refuse_text(media, key.subject)
            with as_reply_errors():
                data = await spooled(_checked(response.chunks(), key.subject), key.subject, self.limits.instance_bytes)
            if not media.is_multipart:
                return memoryview(data)
            return memoryview(data)[await FILES.run(only_part, data, content_type, key.subject)]

        return await self.send(key, read)


def _is_lasting(error: DicomZarrError) -> bool:
    """Whether another download would most likely end alike; not what is about who asks, and what passes by itself."""
    lasting = (InvalidReplyError, TemporaryFileError, UnsupportedTransferSyntaxError)
    broken = isinstance(error, lasting) and not isinstance(error, LoginPageError)
    return broken or means(error, Meaning.OTHER_RESOURCE)


def open_instance(data: memoryview, key: InstanceKey, most: int = LIMITS.instance_bytes) -> HeldInstance:
    """Find the frames of a Part-10 file; waits for the disk.

    Args:
        data: The file.
        key: The instance that it should be.
        most: Bytes that it may become, where it is deflated.

    Raises:
        InvalidReplyError: It is none, or cannot be cut into frames.
        TruncatedReplyError: It ends early.
        WrongPartsError: It is another instance.
        TemporaryFileError: There is no room to inflate it.
    """
    nbytes = len(data)
    with as_reply_errors():
        meta = read_file_meta(data)
        at = meta.end
        if meta.deflated:
            data, at = memoryview(inflated(data, at, key.subject, most)), 0
            nbytes = len(data)  # what it was inflated from is let go of
        stored = find_frames(data, at, meta)
    if stored.sop_instance_uid != key.instance:
        raise WrongPartsError(f"Another instance came for {key.subject}.")
    return HeldInstance(stored.frames, stored.header, nbytes, key.subject)


async def _checked(chunks: AsyncIterator[bytes], subject: str) -> AsyncIterator[bytes]:
    """Refuse a web page before gigabytes of it are written."""
    head = b""
    async for chunk in chunks:
        if len(head) < PAGE_HEAD:
            head += chunk[:PAGE_HEAD]
            refuse_page(head, subject)
        yield chunk

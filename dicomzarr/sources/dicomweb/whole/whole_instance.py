"""Whole instances, for frames that a server does not give singly: fetched once, cut here, held for a while."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dicomzarr.dicom.files.part10 import find_frames, read_file_meta
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
from dicomzarr.runtime.pools import FILES
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
from dicomzarr.sources.spool import inflated, spooled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.files.file_header import FileHeader
    from dicomzarr.dicom.files.part10 import Frames
    from dicomzarr.sources.http.transport import Response

BYTES_HELD: Final = 8 * 2**30
"""Bytes of whole instances that stay on the temporary disk for each server and identity; the newest stays anyway."""

INSTANCES_HELD: Final = 32
"""Whole instances that stay there at most; the least recently used goes first."""

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
    _held: OrderedDict[InstanceKey, HeldInstance] = field(default_factory=OrderedDict)
    _loading: dict[InstanceKey, asyncio.Task[HeldInstance]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Around both, for ``forget``."""
    _waiting: Counter[asyncio.Task[HeldInstance]] = field(default_factory=Counter)
    _failed: SeriesTTLCache[DicomZarrError] = field(init=False)
    _accepts: tuple[str, ...] = INSTANCE_ACCEPTS

    def __post_init__(self) -> None:
        self._failed = SeriesTTLCache(self.clock)

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
                self._held.move_to_end(key)
                return held
            failure = self._failed.get(key)
            if failure is not None:
                raise copy.copy(failure)
            task = self._loading.get(key)
            if task is None:
                task = self._loading[key] = asyncio.get_running_loop().create_task(self._load(key))
                task.add_done_callback(_heard)
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                self._loaded(key, task)  # whoever asks in this very moment begins anew
                task.cancel()  # nobody is left who wants it; without effect when it is done

    async def cut(self, held: HeldInstance, numbers: Sequence[int]) -> list[EncodedFrame | FrameNotFoundError]:
        """Cut frames in a thread; see `HeldInstance.cut`."""
        return await FILES.run(held.cut, numbers)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Let go of the instances of a series, or of all; from any thread."""
        self._failed.forget(study, series)
        with self._lock:
            for known in (self._held, self._loading):
                for key in [key for key in known if is_within(key, study, series)]:
                    del known[key]

    def close(self) -> None:
        """Let go of everything, also of what is under way."""
        for task in self._waiting:
            task.cancel()
        self.forget()

    async def _load(self, key: InstanceKey) -> HeldInstance:
        own = asyncio.current_task()
        try:
            held = await FILES.run(open_instance, await self._fetch(key), key)
        except DicomZarrError as error:
            if self._loaded(key, own) and _is_lasting(error):
                self._failed.put(key, error, SECONDS_TO_DISTRUST)
            raise
        self._loaded(key, own, held)
        return held

    def _loaded(self, key: InstanceKey, task: asyncio.Task[Any] | None, held: HeldInstance | None = None) -> bool:
        """Nothing more is to come of a task; gives whether it was wanted still, and not forgotten meanwhile."""
        with self._lock:
            if self._loading.get(key) is not task:
                return False
            del self._loading[key]
            if held is not None:
                self._hold(key, held)
            return True

    def _hold(self, key: InstanceKey, held: HeldInstance) -> None:
        self._held[key] = held
        while len(self._held) > 1 and (
            len(self._held) > INSTANCES_HELD or sum(each.nbytes for each in self._held.values()) > BYTES_HELD
        ):
            self._held.popitem(last=False)

    async def send(self, key: InstanceKey, read: Callable[[Response], Awaitable[_Reply]]) -> _Reply:
        """Ask for it in one way after the other; the first that serves comes first from then on.

        Args:
            key: The instance.
            read: Reads the reply.

        Raises:
            ServerError: None served.
        """
        url = instance_url(self.base_url, *key)
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
                data = await spooled(_checked(response.chunks(), key.subject), key.subject)
            if not media.is_multipart:
                return memoryview(data)
            return memoryview(data)[await FILES.run(only_part, data, content_type, key.subject)]

        return await self.send(key, read)


def _is_lasting(error: DicomZarrError) -> bool:
    """Whether another download would most likely end alike; not what is about who asks, and what passes by itself."""
    lasting = (InvalidReplyError, TemporaryFileError, UnsupportedTransferSyntaxError)
    broken = isinstance(error, lasting) and not isinstance(error, LoginPageError)
    return broken or means(error, Meaning.OTHER_RESOURCE)


def _heard(task: asyncio.Task[HeldInstance]) -> None:
    """Nobody may be left to hear of a failure when every reader was cancelled."""
    if not task.cancelled():
        task.exception()


def open_instance(data: memoryview, key: InstanceKey) -> HeldInstance:
    """Find the frames of a Part-10 file; waits for the disk.

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
            data, at = memoryview(inflated(data, at, key.subject)), 0
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

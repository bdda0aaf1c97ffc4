"""Whole instances, for frames that a server does not give singly: fetched once, cut here, held for a while."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from dicomzarr.dicom.part10 import find_frames, read_file_meta
from dicomzarr.dicom.syntax import is_native
from dicomzarr.dicomweb.accept import INSTANCE_ACCEPTS, REFUSALS
from dicomzarr.dicomweb.enclosed import only_part
from dicomzarr.dicomweb.exchange import Exchange, Question
from dicomzarr.dicomweb.media_type import MediaType
from dicomzarr.dicomweb.replies import PAGE_HEAD, EncodedFrame, refuse_page, refuse_text
from dicomzarr.dicomweb.spool import FileThreads, inflated, spooled
from dicomzarr.dicomweb.urls import instance_url
from dicomzarr.errors import FrameNotFoundError, HTTPStatusError, InvalidReplyError, WrongPartsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from dicomzarr.dicom.part10 import Frames
    from dicomzarr.dicomweb.transport import Response

BYTES_HELD: Final = 8 * 2**30
"""Bytes of whole instances that stay on the temporary disk for each server and identity; the newest stays anyway."""

INSTANCES_HELD: Final = 32
"""Whole instances that stay there at most; the least recently used goes first."""

SECONDS_TO_DISTRUST: Final = 60.0
"""How long an instance that could not be cut is not fetched again."""

_Reply = TypeVar("_Reply")

_OCTET_STREAM: Final = "application/octet-stream"


class InstanceKey(NamedTuple):
    """Names an instance."""

    study: str
    series: str
    instance: str

    @property
    def subject(self) -> str:
        """The instance in words, for messages."""
        return f"the whole instance {self.instance}, series {self.series}, study {self.study}"


@dataclass(frozen=True, slots=True, eq=False)
class HeldInstance:
    """A whole instance on the temporary disk; the disk is free again when nobody refers to it."""

    frames: Frames
    nbytes: int
    """What it takes on the disk."""
    subject: str

    def cut(self, numbers: Sequence[int]) -> list[EncodedFrame | FrameNotFoundError]:
        """Frames by their numbers from 1, or the error for one that is not there; waits for the disk."""
        return [self._cut(number) for number in numbers]

    def _cut(self, number: int) -> EncodedFrame | FrameNotFoundError:
        if not 1 <= number <= len(self.frames):
            return FrameNotFoundError(f"There are {len(self.frames)} frames in {self.subject}, and no frame {number}.")
        syntax = self.frames.transfer_syntax_uid
        return EncodedFrame(self.frames.cut(number), _OCTET_STREAM if is_native(syntax) else "", syntax)


class _Failure(NamedTuple):
    error: InvalidReplyError
    until: float


@dataclass(slots=True)
class WholeInstances:
    """The whole instances of one server; everything runs on its loop but ``forget``."""

    base_url: str
    """The URL of the DICOMweb service."""
    exchange: Exchange
    """Asks it."""
    threads: FileThreads
    """Write, map and cut files."""
    _held: OrderedDict[InstanceKey, HeldInstance] = field(default_factory=OrderedDict)
    _loading: dict[InstanceKey, asyncio.Task[HeldInstance]] = field(default_factory=dict)
    _waiting: Counter[InstanceKey] = field(default_factory=Counter)
    _failed: dict[InstanceKey, _Failure] = field(default_factory=dict)
    _accepts: tuple[str, ...] = INSTANCE_ACCEPTS

    def holds(self, key: InstanceKey) -> bool:
        """Whether its frames cost no request."""
        return key in self._held

    async def get(self, key: InstanceKey) -> HeldInstance:
        """The instance; those who ask at once share one download.

        Raises:
            NotFoundError: The server does not have it.
            ServerError: The server did not give it, or gave something that cannot be cut into frames.
            TemporaryFileError: There is no room for it.
        """
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        self._raise_held_back(key)
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.get_running_loop().create_task(self._load(key))
            task.add_done_callback(_heard)
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                task.cancel()  # nobody is left who wants it; without effect when it is done

    async def cut(self, held: HeldInstance, numbers: Sequence[int]) -> list[EncodedFrame | FrameNotFoundError]:
        """Cut frames in a thread; see `HeldInstance.cut`."""
        return await self.threads.run(held.cut, numbers)

    def forget(self, study: str | None = None, series: str | None = None) -> None:
        """Let go of the instances of a series, or of all; from any thread."""
        for known in (self._held, self._failed, self._loading):
            for key in list(known):
                if study in (None, key.study) and series in (None, key.series):
                    known.pop(key, None)

    def close(self) -> None:
        """Let go of everything, also of what is under way."""
        for task in self._loading.values():
            task.cancel()
        self.forget()

    async def _load(self, key: InstanceKey) -> HeldInstance:
        own = asyncio.current_task()
        try:
            held = await self._open(await self._fetch(key), key)
            if self._loading.get(key) is own:  # else it was forgotten meanwhile
                self._hold(key, held)
        finally:
            if self._loading.get(key) is own:
                del self._loading[key]
        return held

    async def _open(self, data: memoryview, key: InstanceKey) -> HeldInstance:
        try:
            return await self.threads.run(open_instance, data, key)
        except InvalidReplyError as error:
            self._failed[key] = _Failure(error, asyncio.get_running_loop().time() + SECONDS_TO_DISTRUST)
            raise

    def _raise_held_back(self, key: InstanceKey) -> None:
        now = asyncio.get_running_loop().time()
        for known in [known for known, failure in self._failed.items() if failure.until < now]:
            del self._failed[known]
        if key in self._failed:
            raise copy.copy(self._failed[key].error)

    def _hold(self, key: InstanceKey, held: HeldInstance) -> None:
        self._held[key] = held
        while len(self._held) > 1 and (
            len(self._held) > INSTANCES_HELD or sum(each.nbytes for each in self._held.values()) > BYTES_HELD
        ):
            self._held.popitem(last=False)

    async def ask(self, key: InstanceKey, read: Callable[[Response], Awaitable[_Reply]]) -> _Reply:
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
            try:
                reply = await self.exchange.ask(Question(lambda: url, headers, key.subject), read)
            except HTTPStatusError as error:
                if error.status not in REFUSALS:
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
            data = await spooled(_checked(response.chunks(), key.subject), self.threads, key.subject)
            if not media.is_multipart:
                return memoryview(data)
            return memoryview(data)[await self.threads.run(only_part, data, content_type, key.subject)]

        return await self.ask(key, read)


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
    meta = read_file_meta(data)
    nbytes = len(data)
    at = meta.end
    if meta.deflated:
        data, at = memoryview(inflated(data[at:], key.subject)), 0
        nbytes = len(data)  # what it was inflated from is let go of
    stored = find_frames(data, at, meta)
    if stored.sop_instance_uid != key.instance:
        raise WrongPartsError(f"Another instance came for {key.subject}.")
    return HeldInstance(stored.frames, nbytes, key.subject)


async def _checked(chunks: AsyncIterator[bytes], subject: str) -> AsyncIterator[bytes]:
    """Refuse a web page before gigabytes of it are written."""
    head = b""
    async for chunk in chunks:
        if len(head) < PAGE_HEAD:
            head += chunk[:PAGE_HEAD]
            refuse_page(head, subject)
        yield chunk

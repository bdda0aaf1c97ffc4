"""WADO-RS: metadata, frames, bulk data and whole instances (PS3.18 section 10.4)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES
from dicomzarr.faces.dicomweb_server.native import joined_frames, native_frame
from dicomzarr.faces.dicomweb_server.negotiation import (
    DICOM,
    NATIVE,
    OCTET_STREAM,
    Choice,
    Packaging,
    Representation,
    choose,
    stored_frames,
)
from dicomzarr.faces.dicomweb_server.paths import instance_path
from dicomzarr.faces.dicomweb_server.replies import (
    JSON_VARIES,
    Part,
    accept_of,
    accepted_json,
    json_reply,
    multipart_reply,
    reply,
)
from dicomzarr.faces.dicomweb_server.whole import offers_of, whole_instance
from dicomzarr.faces.list_fields import holds_tag, listed
from dicomzarr.runtime.pools import FRAME_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dicomzarr.faces.dicomweb_server.holdings import Holdings, Instance
    from dicomzarr.faces.dicomweb_server.whole import Whole

_SYNTAX: Final = "00083002"
_ROWS: Final = "00280010"
_FRAMES: Final = "00280008"
_PIXELS: Final = frozenset({"7FE00010", "7FE00008", "7FE00009"})
_MOST_NUMBERS: Final = 100_000
_BOTH: Final = (Packaging.MULTIPART, Packaging.SINGLE)


def stored_syntax(instance: Instance) -> str:
    """The transfer syntax of an instance as it is stored."""
    return first_text(instance.shown, _SYNTAX)


def number_of_frames(instance: Instance) -> int:
    """How many frames an instance has; 0 where it has no pixels."""
    if _ROWS not in instance.shown:
        return 0
    text = first_text(instance.shown, _FRAMES)
    return int(text) or 1 if text.isascii() and text.isdigit() else 1


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Answers what names studies, series and instances by their UIDs.

    Args:
        holdings: What is served.
    """

    holdings: Holdings

    async def find(self, request: web.Request) -> Sequence[Any]:
        """The instances that a path names: at least one.

        Raises:
            HTTPNotFound: There are none.
        """
        uids = (request.match_info.get(name) for name in ("study", "series", "instance"))
        found = await FRAME_FILES.run(self.holdings.find, *uids)
        if not found:
            raise web.HTTPNotFound(text="There is nothing of these UIDs here.\n")
        return found

    async def metadata(self, request: web.Request, base: str) -> web.StreamResponse:
        """The attributes of all instances that a path names (PS3.18 section 10.4.1.1.2)."""
        found = await self.find(request)
        accepted_json(request)
        etag = await FRAME_FILES.run(self._etag, found, base)
        headers = {"ETag": etag} if etag else {}
        if etag and holds_tag(listed(request.headers, "If-None-Match") or "", etag, weakly=True):
            return web.Response(status=304, headers={**headers, **JSON_VARIES})
        return await json_reply(request, self._documents(found, base), headers)

    def _etag(self, found: Sequence[Instance], base: str) -> str:
        state = self.holdings.state(found)
        return f'W/"{sha256(f"{base} {state}".encode()).hexdigest()[:32]}"' if state else ""

    def _documents(self, found: Sequence[Instance], base: str) -> Iterator[bytes]:
        """One JSON array of all of them, or an error: who gets fewer takes them for all that there are."""
        before = b"["
        for instance in found:
            yield before + self.holdings.metadata(instance, base + instance_path(instance))
            before = b","
        yield b"]"

    async def frames(self, request: web.Request, base: str) -> web.StreamResponse:
        """Frames by their numbers, in the order asked for (section 10.4.1.1.6)."""
        (instance,) = await self.find(request)
        return await self._frames(request, instance, frame_numbers(request.match_info["frames"], instance), base)

    async def bulk_data(self, request: web.Request, base: str) -> web.StreamResponse:
        """A value that metadata name (section 10.4.1.1.5); of pixel data, frames as they are stored or decoded."""
        (instance,) = await self.find(request)
        path = request.match_info["path"]
        if path.upper() not in _PIXELS:
            return await self._value(request, instance, path, base)
        count = number_of_frames(instance)
        if not count:
            raise web.HTTPNotFound(text="The instance has no pixel data.\n")
        if stored_frames(stored_syntax(instance)) != NATIVE:
            return await self._frames(request, instance, range(1, count + 1), base)
        choice = _chosen(request, [Representation(OCTET_STREAM), NATIVE], _BOTH)
        frames = await FRAME_FILES.run(self.holdings.frames, instance)
        pixel = await FRAME_FILES.run(self.holdings.pixel, instance)
        length, pieces = await FRAME_FILES.run(joined_frames, frames, pixel, instance.uid)
        return await _one(choice, f"{base}{instance_path(instance)}/bulkdata/{path}", length, pieces)

    async def pixel_data(self, request: web.Request, base: str) -> web.StreamResponse:
        """All frames, each by itself."""
        (instance,) = await self.find(request)
        count = number_of_frames(instance)
        if not count:
            raise web.HTTPNotFound(text="The instance has no pixel data.\n")
        return await self._frames(request, instance, range(1, count + 1), base)

    async def whole(self, request: web.Request, base: str) -> web.StreamResponse:
        """Whole instances as Part-10 files (sections 10.4.1.1.1 to 10.4.1.1.3)."""
        found = await self.find(request)
        packagings = _BOTH if len(found) == 1 else _BOTH[:1]
        choices: dict[str, Choice] = {}
        for syntax in dict.fromkeys(map(stored_syntax, found)):
            choices[syntax] = _chosen(request, offers_of(syntax), packagings)
        wholes = await FRAME_FILES.run(self._wholes, found, choices)
        parts = tuple(
            Part(whole.content_type, base + instance_path(instance), whole.length, whole.pieces)
            for instance, whole in zip(found, wholes, strict=True)
        )
        (packaging,) = {choice.packaging for choice in choices.values()}
        if packaging is Packaging.MULTIPART:
            return await multipart_reply(parts, DICOM)
        (part,) = parts
        return await reply(part.body, {"Content-Type": part.content_type}, length=part.length)

    def _wholes(self, found: Sequence[Instance], choices: dict[str, Choice]) -> list[Whole]:
        return [
            whole_instance(
                self.holdings,
                instance,
                stored_syntax(instance),
                choices[stored_syntax(instance)].representation.transfer_syntax,
            )
            for instance in found
        ]

    async def _frames(
        self, request: web.Request, instance: Instance, numbers: Sequence[int], base: str
    ) -> web.StreamResponse:
        stored = stored_frames(stored_syntax(instance))
        offers = [stored, NATIVE] if stored != NATIVE and stored.transfer_syntax in TRANSFER_SYNTAXES else [stored]
        choice = _chosen(request, offers, _BOTH if len(numbers) == 1 else _BOTH[:1])
        kind = choice.representation
        if choice.packaging is Packaging.SINGLE:
            data = await FRAME_FILES.run(self._frame, instance, numbers[0], kind)
            return await reply([data], {"Content-Type": kind.content_type}, length=len(data))
        location = f"{base}{instance_path(instance)}/frames"
        return await multipart_reply(self._parts(instance, numbers, kind, location), kind.media_type)

    def _parts(self, instance: Instance, numbers: Iterable[int], kind: Representation, location: str) -> Iterator[Part]:
        for number in numbers:
            data = self._frame(instance, number, kind)
            yield Part(kind.content_type, f"{location}/{number}", len(data), [data])

    def _frame(self, instance: Instance, number: int, kind: Representation) -> bytes:
        frames = self.holdings.frames(instance)
        if kind == stored_frames(stored_syntax(instance)):
            return frames.cut(number)
        return native_frame(frames, number, self.holdings.pixel(instance), instance.uid)

    async def _value(self, request: web.Request, instance: Instance, path: str, base: str) -> web.StreamResponse:
        choice = _chosen(request, [Representation(OCTET_STREAM)], _BOTH)
        data = await FRAME_FILES.run(self.holdings.bulk_data, instance, path)
        return await _one(choice, f"{base}{instance_path(instance)}/bulkdata/{path}", len(data), [data])


def _chosen(request: web.Request, offers: Sequence[Representation], packagings: Sequence[Packaging]) -> Choice:
    choice = choose(accept_of(request), offers, packagings)
    if choice is None:
        there = " or ".join(offer.content_type for offer in offers)
        several = "" if Packaging.SINGLE in packagings else ", in multipart/related alone"
        raise web.HTTPNotAcceptable(text=f"It can be had as {there}{several}.\n")
    return choice


async def _one(choice: Choice, location: str, length: int, pieces: Iterable[bytes]) -> web.StreamResponse:
    kind = choice.representation
    if choice.packaging is Packaging.SINGLE:
        return await reply(pieces, {"Content-Type": kind.content_type}, length=length)
    return await multipart_reply((Part(kind.content_type, location, length, pieces),), kind.media_type)


def frame_numbers(text: str, instance: Instance) -> Sequence[int]:
    """The frame numbers of a list.

    Raises:
        HTTPBadRequest: It is no list of numbers from 1.
        HTTPNotFound: The instance has no such frame.
    """
    words = text.split(",")
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= len("4294967296")]
    if len(numbers) != len(words) or 0 in numbers or len(numbers) > _MOST_NUMBERS:
        raise web.HTTPBadRequest(text="Frames are asked for by numbers from 1, with commas between.\n")
    count = number_of_frames(instance)
    if max(numbers) > count:
        raise web.HTTPNotFound(text=f"The instance has the frames 1 to {count}.\n" if count else "It has no frames.\n")
    return numbers

"""Rendered frames and thumbnails: pictures for people (PS3.18 sections 10.4.1.1.3 and 10.4.1.1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
from aiohttp import web

from dicomzarr.codecs.png import png_of
from dicomzarr.dicom.model.plain_json import first_text, values_of
from dicomzarr.faces.dicomweb_server.holdings import typed
from dicomzarr.faces.dicomweb_server.negotiation import Packaging, Representation, choose
from dicomzarr.faces.dicomweb_server.pictures import frame_picture
from dicomzarr.faces.dicomweb_server.replies import accept_of
from dicomzarr.faces.dicomweb_server.retrieval import Retrieval, frame_numbers, number_of_frames
from dicomzarr.faces.dicomweb_server.viewports import Viewport, read_quality, read_viewport, read_window
from dicomzarr.runtime.pools import PICTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.lut.window import Window
    from dicomzarr.faces.dicomweb_server.holdings import Holdings, Instance

_JPEG: Final = Representation("image/jpeg")
_PNG: Final = Representation("image/png")
_THUMBNAIL: Final = 256
_PICTURE: Final = 1024
_IMAGE_TYPE: Final = "00080008"
_INSTANCE_NUMBER: Final = "00200013"
_MATRIX: Final = ("00480006", "00480007")
_FRAME: Final = ("00280011", "00280010")
_MOST_TILES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How a picture is to look."""

    viewport: Viewport
    window: Window | None
    media_type: str
    quality: int


class Rendering:
    """Answers what asks for pictures.

    Args:
        holdings: What is served.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._retrieval = Retrieval(holdings)

    async def rendered(self, request: web.Request, _base: str) -> web.StreamResponse:
        """A picture of a frame, or of what speaks best for an instance, a series or a study."""
        return await self._picture(request, read_viewport(request.query.get("viewport", "")))

    async def thumbnail(self, request: web.Request, _base: str) -> web.StreamResponse:
        """As `rendered`, and small."""
        asked = read_viewport(request.query.get("viewport", ""))
        return await self._picture(request, asked if asked.width else Viewport(_THUMBNAIL, _THUMBNAIL, enlarges=False))

    async def _picture(self, request: web.Request, viewport: Viewport) -> web.StreamResponse:
        choice = choose(accept_of(request), [_JPEG, _PNG], [Packaging.SINGLE])
        if choice is None:
            raise web.HTTPNotAcceptable(text="Pictures are image/jpeg or image/png.\n")
        wanted = _Wanted(
            viewport,
            read_window(request.query.get("window", "")),
            choice.representation.media_type,
            read_quality(request.query),
        )
        instance = speaker(await self._retrieval.find(request), _side(viewport))
        numbers = request.match_info.get("frames")
        if numbers is not None:
            number, *more = frame_numbers(numbers, instance)
            if more:
                raise web.HTTPBadRequest(text="One frame makes a picture.\n")
            body = await PICTURES.run(self._frame, instance, number, wanted)
        else:
            body = await PICTURES.run(self._instance, instance, wanted)
        return web.Response(body=body, content_type=wanted.media_type)

    def _instance(self, instance: Instance, wanted: _Wanted) -> bytes:
        """A whole level where frames are tiles of it; else the frame in the middle."""
        count = number_of_frames(instance)
        matrix = _sides(instance)
        if not max(matrix) or (count == 1 and matrix == _sides(instance, _FRAME)):
            return self._frame(instance, (count + 1) // 2, wanted)
        if count > _MOST_TILES:
            raise web.HTTPRequestEntityTooLarge(
                _MOST_TILES, count, text="There are too many tiles for one picture: ask for a coarser level.\n"
            )
        return _encoded(wanted.viewport.of(self._holdings.overview(instance, _side(wanted.viewport))), wanted)

    def _frame(self, instance: Instance, number: int, wanted: _Wanted) -> bytes:
        series, frames = typed(self._holdings.header(instance), instance.ref), self._holdings.frames(instance)
        return _encoded(frame_picture(series, frames, number, wanted.window, wanted.viewport), wanted)


def _side(viewport: Viewport) -> int:
    """Pixels of the longer side of a picture."""
    return max(viewport.width or _PICTURE, viewport.height or _PICTURE)


def speaker(found: Sequence[Instance], side: int) -> Instance:
    """The instance that speaks for others: of a slide the smallest level that fills a picture, else the middle one.

    Never the label of a slide, which shows whose it is.

    Args:
        found: Instances of one study.
        side: Pixels of the longer side of the picture.

    Raises:
        HTTPNotFound: None of them is an image.
    """
    images = [each for each in found if number_of_frames(each)]
    if not images:
        raise web.HTTPNotFound(text="There are no images in it.\n")
    if len(images) == 1:
        return images[0]
    ref = images[0].ref
    shown = [each for each in images if each.ref == ref and "LABEL" not in values_of(each.shown, _IMAGE_TYPE)] or images
    levels = [each for each in shown if max(_sides(each)) and "OVERVIEW" not in values_of(each.shown, _IMAGE_TYPE)]
    readable = [each for each in levels if number_of_frames(each) <= _MOST_TILES]
    if levels:
        by_size = sorted(readable or levels, key=_sides)
        return next((each for each in by_size if max(_sides(each)) >= side), by_size[-1 if readable else 0])
    return sorted(shown, key=_instance_number)[len(shown) // 2]


def _sides(instance: Instance, tags: Sequence[str] = _MATRIX) -> tuple[int, int]:
    """Columns and rows, of the Total Pixel Matrix by default; 0 where there are none."""
    columns, rows = (int(next(iter(values_of(instance.shown, tag)), 0)) for tag in tags)
    return (columns, rows) if columns and rows else (0, 0)


def _instance_number(instance: Instance) -> tuple[int, str]:
    text = first_text(instance.shown, _INSTANCE_NUMBER)
    return (int(text) if text.isascii() and text.isdigit() else 0), instance.uid


def _encoded(picture: Any, wanted: _Wanted) -> bytes:
    if wanted.media_type == _PNG.media_type:
        return png_of(picture)
    return bytes(imagecodecs.jpeg8_encode(picture, level=wanted.quality))

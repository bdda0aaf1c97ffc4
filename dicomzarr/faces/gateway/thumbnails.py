"""Thumbnails: small JPEG pictures of series, made in threads of their own, behind what people look at."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import imagecodecs

from dicomzarr.arrays.image import Image
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.arrays.thumbnails import pixels_read
from dicomzarr.errors import UsageError
from dicomzarr.faces.gateway.drawn import drawn
from dicomzarr.faces.gateway.refusals import RefusedError
from dicomzarr.faces.gateway.replies import document_reply, etag_of
from dicomzarr.runtime.pools import Pool

if TYPE_CHECKING:
    from aiohttp import web

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.faces.gateway.call import Call
    from dicomzarr.faces.gateway.upstreams import Upstream

SIZE: Final = 128
_SMALLEST, _LARGEST = 16, 512
_QUALITY: Final = 85
_EASILY_READ: Final = 4 * 2**20
"""Pixels of a level; the thumbnail that a slide brings along is taken where a level has more."""

_MOST_READ: Final = 64 * 2**20

_MAKERS: Final = Pool("dicomzarr-thumbnail", 4)
"""They wait for frames; how many are made at a time, `ThumbnailTurns` says."""


async def serve_thumbnail(call: Call, upstream: Upstream, ref: SeriesRef) -> web.Response:
    """Answer with a small JPEG of a series' first image."""
    size = _size(call.request.query.get("size", str(SIZE)))
    icc = _icc(call.request.query.get("icc"))
    store = await upstream.store(ref, zarr_format=3)
    values, _ = await drawn(upstream, ref, store)
    name = etag_of("thumbnail", upstream.caller, upstream.version_of(store), str(size), icc or "")
    data = call.shared.thumbnails.get(name)
    if data is None:
        async with upstream.thumbnails.thumbnail():
            data = call.shared.thumbnails.get(name)
            if data is None:
                data = await asyncio.wrap_future(_MAKERS.submit(_make, upstream, ref, values, size, icc))
                call.shared.thumbnails.keep(name, data)
    return document_reply(call.request, data, "image/jpeg")


def _make(upstream: Upstream, ref: SeriesRef, values: str | None, size: int, icc: str | None) -> bytes:
    """In a thread, for it waits for frames."""
    url = replace(upstream.url, study=ref.study, series=ref.series)
    handle = SeriesHandle(url, upstream.view(3, values))
    image = Image(handle, handle.store().plan.image_paths[0])
    if pixels_read(image, size) > _EASILY_READ:
        image = image.associated.get("thumbnail", image)
    if pixels_read(image, size) > _MOST_READ:
        raise RefusedError(422, "The series has no level that is coarse enough to be read for a thumbnail.")
    return bytes(imagecodecs.jpeg8_encode(image.thumbnail(size, icc=icc), level=_QUALITY))


def _size(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and _SMALLEST <= int(text) <= _LARGEST):  # noqa: PLR2004
        raise UsageError(f"The size must be a whole number of pixels from {_SMALLEST} to {_LARGEST}.")
    return int(text)


def _icc(text: str | None) -> str | None:
    if text not in {None, "srgb"}:
        raise UsageError("icc must be srgb, or left out.")
    return text

"""``/frames/``: what the page draws: a frame's stored JPEG where a browser shows exactly the chunk's values of it.

Elsewhere it is 406; but whoever says to accept ``application/octet-stream`` gets the values themselves, and 204 for a
frame that the archive does not have: a page that scrolls through a sparse stack is right to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.jpeg_display import displayable_jpeg
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES
from dicomzarr.faces.gateway.conditions import NOT_MODIFIED
from dicomzarr.faces.gateway.refusals import RefusedError, absent
from dicomzarr.faces.gateway.replies import etag_of, needs_value, selection, value_reply
from dicomzarr.faces.gateway.series import caching, chunk_bytes
from dicomzarr.faces.list_fields import listed
from dicomzarr.omezarr.hierarchy import Chunk, Directory, Group

if TYPE_CHECKING:
    from dicomzarr.faces.gateway.addresses import Address
    from dicomzarr.faces.gateway.call import Call
    from dicomzarr.faces.gateway.upstreams import Upstream
    from dicomzarr.omezarr.series_store import SeriesStore

_JPEG: Final = "image/jpeg"
_OCTETS: Final = "application/octet-stream"
_NEGOTIATED: Final = {"Vary": "Accept, Origin"}
NOT_ACCEPTABLE: Final = 406


async def serve_frame(call: Call) -> web.Response:
    """Answer with a JPEG, or with values."""
    call.kind = "frame"
    address = call.address()
    if address.upstream is None or address.ref is None:
        raise absent("Frames lie below a series, under the keys of its chunks.")
    store = await address.upstream.store(address.ref, zarr_format=3, values=call.values)
    kept = caching(call.request, address.upstream, store)
    found, etag = call.shared.located(address.upstream, store, address.key)
    accepted = listed(call.request.headers, "Accept") or "*/*"
    values = _OCTETS in accepted
    if found is None and values and _is_absent_chunk(store, address.key) and not call.ends_with_slash:
        return web.Response(status=204, headers={"Cache-Control": kept, **_NEGOTIATED})
    if not isinstance(found, Chunk) or call.ends_with_slash:
        raise absent(f"Series {address.series} has no chunk {address.key}.")
    if "image/" in accepted or not values:
        try:
            return await _picture(call, address, store, found, kept)
        except RefusedError as refused:
            if not values or refused.refusal.status != NOT_ACCEPTABLE:
                raise
    if found.lost is not None:
        raise found.lost
    chosen = selection(call.request, etag, found.size)
    needed = needs_value(call.request, chosen)
    data = await chunk_bytes(call, address.upstream, store, etag, found) if needed else None
    reply = value_reply(chosen, etag=etag, size=found.size, data=data, content_type=_OCTETS, caching=kept)
    reply.headers.update(_NEGOTIATED)
    return reply


async def _picture(call: Call, address: Address[Upstream], store: SeriesStore, chunk: Chunk, kept: str) -> web.Response:
    assert address.upstream is not None  # noqa: S101  # who calls this has looked
    etag = etag_of("frame", address.upstream.version_of(store), address.key)
    _check_plan(chunk)
    if (chosen := selection(call.request, etag, chunk.size)).status == NOT_MODIFIED:
        reply = value_reply(chosen, etag=etag, size=chunk.size, data=None, content_type=_JPEG, caching=kept)
        reply.headers.update(_NEGOTIATED)
        return reply
    await call.take(address.upstream.budget, chunk.size)
    name = address.upstream.caller + etag
    data = call.shared.chunks.get(name)
    if data is None:
        data = await _jpeg(address.upstream, store, chunk)
        call.shared.chunks.keep(name, data)
    chosen = selection(call.request, etag, len(data))
    body = data if needs_value(call.request, chosen) else None
    reply = value_reply(chosen, etag=etag, size=len(data), data=body, content_type=_JPEG, caching=kept)
    reply.headers.update(_NEGOTIATED)
    return reply


def _is_absent_chunk(store: SeriesStore, key: str) -> bool:
    """Whether a key that leads to nothing lies within the grid of an array: the archive has no such frame."""
    path, mark, tail = key.rpartition("/c/")
    array = store.locate(path) if mark else None
    if not isinstance(array, Directory) or isinstance(array.node, Group) or array.prefix is not None:
        return False
    indices, grid = tail.split("/"), array.node.level.grid
    return len(indices) == len(grid) and all(
        index.isascii() and index.isdecimal() and int(index) < count for index, count in zip(indices, grid, strict=True)
    )


async def _jpeg(upstream: Upstream, store: SeriesStore, chunk: Chunk) -> bytes:
    with upstream.thumbnails.frame():
        encoded = await store.encoded(chunk)
    assert encoded is not None  # noqa: S101  # a chunk without a frame was refused
    assert chunk.frame is not None  # noqa: S101  # as above
    jpeg = displayable_jpeg(encoded.data, chunk.frame.instance.pixel)
    if jpeg is None:
        raise _not_acceptable("The frame is no JPEG that browsers decode to the chunk's values")
    return jpeg


def _check_plan(chunk: Chunk) -> None:
    """Refuse, without fetching it, what cannot be had so.

    Raises:
        RefusedError: The array holds other values than the frame, or the metadata say that it is no JPEG.
        MissingInstanceError: It is in an instance that the series lacks.
    """
    if chunk.lost is not None:
        raise chunk.lost
    if chunk.frame is None or not chunk.level.holds_stored:
        raise _not_acceptable("The values of this chunk are not those of a stored frame")
    stored = TRANSFER_SYNTAXES.get(chunk.frame.instance.available_transfer_syntax_uid or "")
    if stored is not None and stored.codec is not Codec.JPEG:
        raise _not_acceptable(f"The frame is stored as {stored.name}, which browsers do not decode")


def _not_acceptable(why: str) -> RefusedError:
    return RefusedError(NOT_ACCEPTABLE, f"{why}. Take the chunk itself from /0.5/.")

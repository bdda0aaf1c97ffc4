"""``/frames/``: the stored codestream of a chunk, where a browser shows exactly the chunk's values of it; else 406."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.jpeg_display import displayable_jpeg
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES
from dicomzarr.faces.gateway.conditions import NOT_MODIFIED
from dicomzarr.faces.gateway.refusals import RefusedError, absent
from dicomzarr.faces.gateway.replies import etag_of, needs_value, selection, value_reply
from dicomzarr.faces.gateway.series import caching
from dicomzarr.omezarr.hierarchy import Chunk

if TYPE_CHECKING:
    from aiohttp import web

    from dicomzarr.faces.gateway.call import Call
    from dicomzarr.faces.gateway.upstreams import Upstream
    from dicomzarr.omezarr.series_store import SeriesStore

_JPEG: Final = "image/jpeg"


async def serve_frame(call: Call) -> web.Response:
    """Answer with a JPEG."""
    call.kind = "frame"
    address = call.address()
    if address.upstream is None or address.ref is None:
        raise absent("Frames lie below a series, under the keys of its chunks.")
    store = await address.upstream.store(address.ref, zarr_format=3)
    found = store.locate(address.key)
    if not isinstance(found, Chunk) or call.ends_with_slash:
        raise absent(f"Series {address.series} has no chunk {address.key}.")
    kept = caching(call.request, store)
    etag = etag_of("frame", store.version, address.key)
    _check_plan(found)
    if (chosen := selection(call.request, etag, found.size)).status == NOT_MODIFIED:
        return value_reply(chosen, etag=etag, size=found.size, data=None, content_type=_JPEG, caching=kept)
    await call.hold(address.upstream.budget.take(found.size))
    data = call.shared.chunks.get(etag)
    if data is None:
        data = await _jpeg(address.upstream, store, found)
        call.shared.chunks.keep(etag, data)
    chosen = selection(call.request, etag, len(data))
    body = data if needs_value(call.request, chosen) else None
    return value_reply(chosen, etag=etag, size=len(data), data=body, content_type=_JPEG, caching=kept)


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
    if chunk.frame is None or chunk.level.view is not None:
        raise _not_acceptable("The values of this chunk are not those of a stored frame")
    stored = TRANSFER_SYNTAXES.get(chunk.frame.instance.available_transfer_syntax_uid or "")
    if stored is not None and stored.codec is not Codec.JPEG:
        raise _not_acceptable(f"The frame is stored as {stored.name}, which browsers do not decode")


def _not_acceptable(why: str) -> RefusedError:
    return RefusedError(406, f"{why}. Take the chunk itself from /0.5/.")

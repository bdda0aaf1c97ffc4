"""``/0.5/`` and ``/0.4/``: documents, chunks and listings of series, and listings of what lies above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiohttp import web

from dicomzarr.faces.gateway.listings import CONTENT_TYPE, listing
from dicomzarr.faces.gateway.refusals import RefusedError, absent
from dicomzarr.faces.gateway.replies import (
    ASK_AGAIN,
    FOR_EVER,
    document_reply,
    needs_value,
    selection,
    value_reply,
)
from dicomzarr.faces.list_fields import listed
from dicomzarr.omezarr.hierarchy import Chunk, Directory, Document
from dicomzarr.sources.dicomweb.metadata.search import listed_uids

if TYPE_CHECKING:
    from dicomzarr.faces.gateway.addresses import Address
    from dicomzarr.faces.gateway.call import Call
    from dicomzarr.faces.gateway.upstreams import Upstream
    from dicomzarr.omezarr.series_store import SeriesStore

_OCTETS: Final = "application/octet-stream"
_PAGE: Final = 500
"""Studies that one listing shows."""


async def serve_series(call: Call, zarr_format: int) -> web.Response:
    """Answer with what lies at a path."""
    address = call.address()
    if address.upstream is None or address.ref is None:
        return await _above(call, address)
    at_root = "/" not in address.key
    store = await address.upstream.store(
        address.ref,
        zarr_format,
        values=call.values,
        renew=at_root,
        reopen=at_root and wants_newest(call.request),
    )
    found, etag = call.shared.located(address.upstream, store, address.key)
    if isinstance(found, Directory):
        call.kind = "listing"
        return _directory(call, store, address.key, found)
    if call.ends_with_slash or found is None:
        raise absent(f"Series {address.series} has no key {address.key}.")
    if isinstance(found, Document):
        call.kind = "document"
        return document_reply(call.request, found.data, caching=caching(call.request, address.upstream, store))
    call.kind = "chunk"
    return await _chunk(call, address.upstream, store, etag, found)


async def _chunk(call: Call, upstream: Upstream, store: SeriesStore, etag: str, chunk: Chunk) -> web.Response:
    if chunk.lost is not None:
        raise chunk.lost
    chosen = selection(call.request, etag, chunk.size)
    kept = caching(call.request, upstream, store)
    data = await chunk_bytes(call, upstream, store, etag, chunk) if needs_value(call.request, chosen) else None
    return value_reply(chosen, etag=etag, size=chunk.size, data=data, content_type=_OCTETS, caching=kept)


async def chunk_bytes(call: Call, upstream: Upstream, store: SeriesStore, etag: str, chunk: Chunk) -> bytes:
    """The values of a chunk, held if somebody asked for them before; there is room for them until they are sent."""
    await call.take(upstream.budget, chunk.size)
    name = upstream.caller + etag
    held = call.shared.chunks.get(name)
    if held is not None:
        return held
    with upstream.thumbnails.frame():
        data = await store.chunk(chunk)
    call.shared.chunks.keep(name, data)
    return data


def caching(request: web.BaseRequest, upstream: Upstream, store: SeriesStore, otherwise: str = ASK_AGAIN) -> str:
    """How long a reply stays right: for ever, where the query says which version of the series it is of.

    Without, a series that has grown since would be mixed with what a browser has kept of it.

    Raises:
        RefusedError: The series is no more what it was in that version.
    """
    wanted = request.query.get("version")
    if wanted is None:
        return otherwise
    if wanted != upstream.version_of(store):
        raise RefusedError(409, "The series has changed since this version of it was opened. Open it again.")
    return FOR_EVER


def wants_newest(request: web.BaseRequest) -> bool:
    """Whether a caller wants what the upstream has now (RFC 9111 section 5.2.1.4), as browsers without their caches."""
    return "no-cache" in (listed(request.headers, "Cache-Control") or "")


def redirect_to_slash(call: Call) -> web.Response:
    """A listing lies at a path with a slash at its end, which the links in it need.

    It is 301 as of web servers, since Java, and n5 by it, follows no 308.
    """
    _, mark, query = call.request.raw_path.partition("?")
    kept = quote(query, safe="%=&+~/:,;@!$'()*?", errors="surrogateescape")
    return web.Response(status=301, headers={"Location": f"{call.path}/{mark}{kept}", "Cache-Control": ASK_AGAIN})


def _directory(call: Call, store: SeriesStore, key: str, found: Directory) -> web.Response:
    if not call.ends_with_slash:
        return redirect_to_slash(call)
    below = f"{key}/" if key else ""
    names = (f"{name}/" if isinstance(store.locate(below + name), Directory) else name for name in found.names())
    return _listed(call, list(names))


async def _above(call: Call, address: Address[Upstream]) -> web.Response:
    """Listings of upstreams, studies, and the series of a study."""
    call.kind = "listing"
    if not call.ends_with_slash:
        return redirect_to_slash(call)
    if address.upstream is None:
        return _listed(call, [f"{name}/" for name in call.upstreams])
    if address.collection == "studies":
        offset = _offset(call.request)
        found = await address.upstream.search("studies", {}, wanted=_PAGE + 1, skip=offset)
        uids = listed_uids(found[:_PAGE], "0020000D", "a search for studies")
        following = f"offset={offset + _PAGE}" if len(found) > _PAGE else ""
        return _listed(call, [f"{uid}/" for uid in uids], following)
    if address.study is None:
        return _listed(call, ["studies/"])
    series = await address.upstream.series_of(address.study)
    return _listed(call, [f"{uid}.zarr/" for uid in series] if address.collection else ["series/"])


def _listed(call: Call, names: list[str], following: str = "") -> web.Response:
    return document_reply(call.request, listing(call.path, names, following), CONTENT_TYPE)


def _offset(request: web.BaseRequest) -> int:
    text = request.query.get("offset", "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 9):  # noqa: PLR2004  # more than any archive holds
        raise RefusedError(400, "The offset is no whole number.")
    return int(text)

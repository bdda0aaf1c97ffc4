"""``/api/``: what the page asks for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import dicomzarr
from dicomzarr.dicom.notices import without_files
from dicomzarr.engine.ports import SeriesRef
from dicomzarr.faces.gateway.ahead import AHEAD
from dicomzarr.faces.gateway.attributes import attributes_of
from dicomzarr.faces.gateway.drawn import drawn
from dicomzarr.faces.gateway.kept import is_of_keeping, serve_keeping
from dicomzarr.faces.gateway.newest import newest, newest_first
from dicomzarr.faces.gateway.refusals import RefusedError, absent
from dicomzarr.faces.gateway.replies import json_reply
from dicomzarr.faces.gateway.rows import SERIES, STUDIES, WITHOUT_PIXELS, Table, read_query, row_of
from dicomzarr.faces.gateway.series import wants_newest
from dicomzarr.faces.gateway.thumbnails import serve_thumbnail
from dicomzarr.runtime.pools import FILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from dicomzarr.faces.gateway.addresses import Address
    from dicomzarr.faces.gateway.call import Call
    from dicomzarr.faces.gateway.rows import Asked
    from dicomzarr.faces.gateway.upstreams import Upstream
    from dicomzarr.faces.results import Value
    from dicomzarr.omezarr.series_store import SeriesStore


async def serve_api(call: Call) -> web.Response:
    """Answer a question of the page."""
    call.kind = "api"
    if not call.segments:
        return _overview(call)
    if is_of_keeping(call.segments):
        return await serve_keeping(call)
    if call.segments[0] == AHEAD:
        return _left(call)
    address = call.address()
    if address.upstream is not None and address.ref is not None:
        return await _series(call, address.upstream, address)
    if address.collection == "studies":
        return await _rows(call, call.shared.upstreams.required(address.upstream), STUDIES, "studies")
    if address.collection == "series":
        resource = f"studies/{address.study}/series"
        return await _rows(call, call.shared.upstreams.required(address.upstream), SERIES, resource)
    raise absent("The API has studies, studies/S/series, and below these a series and its thumbnail.")


def _overview(call: Call) -> web.Response:
    upstreams = [
        {
            "name": each.name,
            "kind": "folder" if each.is_folder else "server",
            **({"url": str(each.url)} if each.is_far or call.is_here else {}),
            "keeps": each.keeps,
        }
        for each in call.upstreams.values()
    ]
    return json_reply(call.request, {"version": dicomzarr.__version__, "upstreams": upstreams})


async def _rows(call: Call, upstream: Upstream, table: Table, resource: str) -> web.Response:
    asked = read_query(table, call.request.query)
    found = await _found(upstream, table, resource, asked)
    if not found and table is SERIES and not set(call.request.query) - {"limit", "page", "token", "phi"}:
        raise absent("There is no such study, or nothing in it.")
    every = (row_of(table, entry, asked.columns) for entry in found[: asked.limit])
    rows = [row for row in every if row is not None]
    if table is SERIES:
        _series_listed(call, upstream, resource.split("/")[1], rows)
    document = {
        "rows": rows,
        "offset": asked.offset,
        "limit": asked.limit,
        "more": len(found) > asked.limit,
    }
    return json_reply(call.request, document)


def _series_listed(call: Call, upstream: Upstream, study: str, rows: list[dict[str, Value]]) -> None:
    """Say of series which have no pixels; the others are opened ahead, what is there before what was made of it."""
    for row in rows:
        if row.get("modality") in WITHOUT_PIXELS:
            row["pixels"] = False
    shown = sorted((row for row in rows if "pixels" not in row), key=lambda row: row.get("modality") == "SEG")
    refs = [SeriesRef(study, str(row[SERIES.uid.key])) for row in shown]
    call.shared.ahead.listed(upstream, refs, call.request.query.get("page", ""))


def _left(call: Call) -> web.Response:
    """A page tells that it is left: ``DELETE /api/ahead/NAME``."""
    call.kind = "ahead"
    if len(call.segments) != 2:  # noqa: PLR2004  # the word, and the page's name
        raise absent("A page that is left is told of by its name.")
    if call.request.method != "DELETE":
        raise RefusedError(405, "A page that is left can be told of here.", {"Allow": "DELETE"})
    return json_reply(call.request, {"left": call.shared.ahead.left(call.segments[1])})


async def _found(upstream: Upstream, table: Table, resource: str, asked: Asked) -> list[dict[str, Any]]:
    """What matches, the newest studies first; one more than is shown, which tells whether there are more."""
    wanted = asked.offset + asked.limit + 1
    today = datetime.now(tz=UTC).date()

    async def search(parameters: Mapping[str, str], most: int = wanted) -> list[dict[str, Any]]:
        return await upstream.search(resource, parameters, wanted=most)

    async def best(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        if table is STUDIES and "StudyInstanceUID" not in parameters:
            return await newest(search, parameters, wanted=wanted, today=today)
        return await search(parameters)

    every = await asyncio.gather(*map(best, asked.searches))
    # A study with a CT and a PET is found by both.
    unique = list({str(entry.get(table.uid.tag)): entry for found in every for entry in found}.values())
    return (newest_first(unique) if table is STUDIES else unique)[asked.offset : wanted]


async def _series(call: Call, upstream: Upstream, address: Address[Upstream]) -> web.Response:
    assert address.ref is not None  # noqa: S101  # who calls this has looked
    if address.key == "thumbnail":
        call.kind = "thumbnail"
        return await serve_thumbnail(call, upstream, address.ref)
    if address.key == "attributes":
        return await _attributes(call, upstream, address.ref)
    if address.key:
        raise absent("Below a series the API has thumbnail, attributes and kept.")
    store = await upstream.store(address.ref, zarr_format=3, renew=True, reopen=wants_newest(call.request))
    return json_reply(call.request, _shown(upstream, address, store, *await drawn(upstream, address.ref, store)))


async def _attributes(call: Call, upstream: Upstream, ref: SeriesRef) -> web.Response:
    """All that an instance says; patient data where the operator allows it, and it is asked for."""
    call.kind = "attributes"
    query, allowed = call.request.query, call.shared.phi
    told = await upstream.attributes(ref)
    phi = allowed and query.get("phi") == "1"
    document = await FILES.run(partial(attributes_of, told, query.get("instance") or None, phi=phi))
    if document is None:
        raise absent("The series has no such instance.")
    return json_reply(call.request, {**document, "phi": phi, "phi_allowed": allowed})


def _shown(
    upstream: Upstream, address: Address[Upstream], store: SeriesStore, values: str | None, seen: SeriesStore
) -> dict[str, Any]:
    """An opened series: where its images lie, and which version of it they are of; what of it the page draws."""
    below = f"{upstream.name}/studies/{address.study}/series/{address.series}.zarr"
    plan = store.plan
    paths = [*plan.image_paths, *plan.associated_paths]
    return {
        "version": upstream.version_of(store),
        "zarr": {"0.5": f"/0.5/{below}", "0.4": f"/0.4/{below}"},
        "frames": f"/frames/{below}",
        "drawn": {"version": upstream.version_of(seen), **({} if values is None else {"values": values})},
        "images": [{"path": path, "name": plan.at(path).name} for path in paths],
        "notices": list(map(without_files, plan.notices)),
    }

"""``/api/.../kept`` and ``/api/jobs``: what lies on disk of a series or study, how it comes there, and away again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dicomzarr.faces.gateway.addresses import address_of
from dicomzarr.faces.gateway.guard import WRITING
from dicomzarr.faces.gateway.keeping import held, series_of
from dicomzarr.faces.gateway.refusals import RefusedError, absent
from dicomzarr.faces.gateway.replies import json_reply

if TYPE_CHECKING:
    from aiohttp import web

    from dicomzarr.faces.gateway.call import Call
    from dicomzarr.faces.gateway.upstreams import Upstream

KEPT: Final = "kept"
JOBS: Final = "jobs"
_READING: Final = "GET, HEAD, OPTIONS"
_ACCEPTED: Final = 202


def is_of_keeping(segments: list[str]) -> bool:
    """Whether a path below ``/api/`` is answered here."""
    return segments[:1] == [JOBS] or segments[-1:] == [KEPT]


async def serve_keeping(call: Call) -> web.Response:
    """Answer what is asked of series on disk, or do it."""
    call.kind = "keeping"
    if call.segments[0] == JOBS:
        return _jobs(call)
    address = address_of(call.segments[:-1], call.upstreams)
    if address.upstream is None or address.study is None or address.key or address.collection:
        raise absent("What is kept is told of a series or a study.")
    if not address.upstream.keeps:
        raise RefusedError(405, "Nothing is kept on disk here: a server needs --cache-dir.", _allow(_READING))
    method, series = call.request.method, address.ref and address.ref.series
    if method == "POST":
        job = call.shared.keeping.start(address.upstream, address.study, series)
        reply = json_reply(call.request, job.document())
        reply.set_status(_ACCEPTED)
        return reply
    if method == "DELETE":
        return await _remove(call, address.upstream, address.study, series)
    if address.ref is None:
        raise RefusedError(405, "How much is kept is told of a series.", _allow("POST, DELETE"))
    frames, of = await held(await address.upstream.store(address.ref, zarr_format=3))
    return json_reply(call.request, {"frames": frames, "of": of})


async def _remove(call: Call, upstream: Upstream, study: str, series: str | None) -> web.Response:
    """Out of the cache alone: nothing is removed from the upstream."""
    refs = await series_of(upstream, study, series)
    call.shared.keeping.cancel_all(upstream, refs)
    for ref in refs:
        upstream.endpoint.forget(ref)
    return json_reply(call.request, {"removed": len(refs)})


def _jobs(call: Call) -> web.Response:
    keeping, method = call.shared.keeping, call.request.method
    match call.segments:
        case [_] if method not in WRITING:
            return json_reply(call.request, {"jobs": [job.document() for job in keeping.jobs]})
        case [_]:
            raise RefusedError(405, "Jobs are listed here; each is ended at its own path.", _allow(_READING))
        case [_, number] if number.isascii() and number.isdecimal() and len(number) < 10:  # noqa: PLR2004
            if method != "DELETE":
                raise RefusedError(405, "A job can be ended here.", _allow("DELETE"))
            job = keeping.cancel(int(number))
            if job is not None:
                return json_reply(call.request, job.document())
    raise absent("There is no such job.")


def _allow(methods: str) -> dict[str, str]:
    return {"Allow": methods}

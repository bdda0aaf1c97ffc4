"""What the first segment of a path leads to: the table that the gateway goes by."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from dicomzarr.faces.gateway import metrics
from dicomzarr.faces.gateway.ahead import AHEAD
from dicomzarr.faces.gateway.api import serve_api
from dicomzarr.faces.gateway.frames import serve_frame
from dicomzarr.faces.gateway.kept import is_of_keeping
from dicomzarr.faces.gateway.pages import serve_file, serve_page
from dicomzarr.faces.gateway.refusals import absent
from dicomzarr.faces.gateway.replies import NEVER, document_reply
from dicomzarr.faces.gateway.series import serve_series
from dicomzarr.runtime.pools import FILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from dicomzarr.faces.gateway.call import Call, Handler


async def _health(call: Call) -> web.Response:
    call.kind = "health"
    _no_more(call)
    return document_reply(call.request, b"ok\n", "text/plain", NEVER)


async def _metrics(call: Call) -> web.Response:
    call.kind = "metrics"
    _no_more(call)
    shared = call.shared
    if shared.passing is not None:  # whoever the upstream does not know is told nothing
        for upstream in call.upstreams.values():
            await upstream.search("studies", {}, wanted=1)
    samples = shared.samples()
    if shared.board is not None:
        samples = await FILES.run(shared.board.all, samples)
    return document_reply(call.request, metrics.text_of(samples), metrics.CONTENT_TYPE, NEVER)


def _no_more(call: Call) -> None:
    if call.segments:
        raise absent("There is nothing below this path.")


ROUTES: Final[Mapping[str, Handler]] = {
    "": serve_page,
    "study": serve_page,
    "view": serve_page,
    "page": serve_file,
    "0.5": partial(serve_series, zarr_format=3),
    "0.4": partial(serve_series, zarr_format=2),
    "frames": serve_frame,
    "api": serve_api,
    "healthz": _health,
    "metrics": _metrics,
}


def is_writable(route: str, segments: list[str]) -> bool:
    """Whether a path may be asked to change something: what is kept on disk, or is to be opened."""
    return route == "api" and (is_of_keeping(segments) or segments[:1] == [AHEAD])


OPEN: Final = frozenset({"healthz"})
"""Routes that tell nothing, and ask for no token."""

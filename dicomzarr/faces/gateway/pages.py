"""The page for people: its files, and every address that it shows something at."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from dicomzarr.faces.gateway.refusals import absent
from dicomzarr.faces.gateway.replies import document_reply

if TYPE_CHECKING:
    from aiohttp import web

    from dicomzarr.faces.gateway.call import Call

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing is loaded from elsewhere, nothing inline is run."""


async def serve_page(call: Call) -> web.Response:
    """Answer with the page, which finds out by its address what to show."""
    call.kind = "page"
    return _file(call, "index.html")


async def serve_file(call: Call) -> web.Response:
    """Answer with a file of the page."""
    call.kind = "page"
    if len(call.segments) != 1 or call.ends_with_slash or call.segments[0] not in _files():
        raise absent("The page has no such file.")
    return _file(call, call.segments[0])


def _file(call: Call, name: str) -> web.Response:
    suffix = name[name.rindex(".") :]
    reply = document_reply(call.request, _files()[name], _TYPES[suffix])
    reply.headers["Content-Security-Policy"] = _POLICY
    return reply


@cache
def _files() -> dict[str, bytes]:
    folder = files("dicomzarr.faces.gateway") / "page"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name.endswith(tuple(_TYPES))}

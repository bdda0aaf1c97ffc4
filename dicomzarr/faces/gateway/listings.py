"""HTML listings of what lies below a path, as Python's http.server writes them: n5 and fsspec read these. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTENT_TYPE = "text/html; charset=utf-8"


def listing(title: str, names: Iterable[str], following: str = "") -> bytes:
    """A page of links.

    Args:
        title: What is listed.
        names: Below it; those that end with a slash can be listed themselves.
        following: A query that lists what comes next; empty where this is all.
    """
    items = [(name, name) for name in names]
    if following:
        items.append((f"?{following}", "There are more: the next"))
    lines = [f'<li><a href="{_link(link)}">{escape(text)}</a></li>' for link, text in items]
    heading = escape(f"Directory listing for {title}")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            f'<head><meta charset="utf-8"><title>{heading}</title></head>',
            f"<body><h1>{heading}</h1>",
            "<ul>",
            *lines,
            "</ul>",
            "</body></html>",
            "",
        ]
    ).encode()


def _link(link: str) -> str:
    return escape(link if link.startswith("?") else quote(link, safe="/=+~"))

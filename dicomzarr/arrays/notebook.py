"""What a notebook shows of an image or a level: a small picture and a table, and nothing that identifies anybody."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import imagecodecs
from rich.filesize import decimal

from dicomzarr.arrays.describing import facts, title
from dicomzarr.arrays.thumbnails import overview, pixels_read
from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.arrays.level import Level, MultiscaleImage

_PICTURE = 192
"""Pixels of the longer side."""

_MOST_PIXELS = 2**25
"""Pixels that may be read for the sake of a picture that nobody asked for."""

_MOST_SEGMENTS = 32
"""That are listed."""


def image_html(image: MultiscaleImage, in_color: MultiscaleImage, *, most_pixels: int = _MOST_PIXELS) -> str:
    """An HTML table of levels beside a thumbnail, and what else is known; every text is escaped.

    Args:
        image: Whose levels are shown.
        in_color: The same as people want to see it.
        most_pixels: Pixels that may be read for the thumbnail.
    """
    axes = ", ".join(image.levels[0].axes)
    rows = [(str(level.number), *_cells(level, image)) for level in image.levels]
    table = _table(("level", f"shape ({axes})", "type", "chunk", "spacing", "in memory"), rows)
    told = "".join(f"<div>{escape(line)}</div>" for line in facts(image))
    return _beside(_picture(image, in_color, most_pixels), title(image), table + _segments(image) + told)


def level_html(level: Level, image: MultiscaleImage) -> str:
    """An HTML table of one level; nothing is read.

    Args:
        level: What is shown.
        image: Whose level it is.
    """
    names = (f"shape ({', '.join(level.axes)})", "type", "chunk", "spacing", "in memory")
    return _beside("", f"Level {level.number} of {image.name!r}", _table(names, [_cells(level, image)]))


def _cells(level: Level, image: MultiscaleImage) -> tuple[str, ...]:
    shape, chunks = (" x ".join(map(str, sizes)) for sizes in (level.shape, level.chunks))
    return shape, str(level.dtype), chunks, image.spacing(level), decimal(level.nbytes)


def _segments(image: MultiscaleImage) -> str:
    """Of a label image: what each value is, in its colour."""
    rows = "".join(
        f'<tr><td style="background:#{escape(segment.color or "808080")}">&nbsp;&nbsp;</td>'
        f"<td>{segment.number}</td><td>{escape(segment.label)}</td></tr>"
        for segment in image.segments[:_MOST_SEGMENTS]
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _beside(picture: str, name: str, told: str) -> str:
    head = f"<strong>dicomzarr.{escape(name)}</strong>"
    return f'<div style="display:flex;gap:1em;align-items:flex-start">{picture}<div>{head}{told}</div></div>'


def _picture(image: MultiscaleImage, in_color: MultiscaleImage, most_pixels: int) -> str:
    """The thumbnail as a data URL; a notebook still shows the table where the server fails."""
    if pixels_read(image, _PICTURE) > most_pixels:
        return "<div>no picture: the coarsest level is large</div>"
    try:
        png = imagecodecs.png_encode(overview(in_color, _PICTURE))
    except DicomZarrError as error:
        return f"<div>no picture: {escape(type(error).__name__)}</div>"
    return f'<img alt="{escape(image.name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'

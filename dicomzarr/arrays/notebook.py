"""What a notebook shows of an image: a small picture and tables, and nothing that identifies anybody."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from dicomzarr.arrays.describing import facts, framed, levels_table, segments_table, title
from dicomzarr.arrays.thumbnails import overview, pixels_read
from dicomzarr.codecs.png import png_of
from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.arrays.level import MultiscaleImage

_PICTURE = 192
"""Pixels of the longer side."""

_MOST_PIXELS = 2**25
"""Pixels that may be read for the sake of a picture that nobody asked for."""


def image_html(image: MultiscaleImage, drawn: Callable[[], MultiscaleImage], *, most_pixels: int = _MOST_PIXELS) -> str:
    """An HTML table of levels beside a thumbnail, and what else is known; every text is escaped.

    Args:
        image: Whose levels are shown.
        drawn: Gives the same as people want to see it.
        most_pixels: Pixels that may be read for the thumbnail.
    """
    plan, series = image.plan, image.store.plan
    told = "".join(f"<div>{escape(line)}</div>" for line in facts(plan, series))
    tables = levels_table(plan, range(len(plan.levels))) + segments_table(plan)
    return framed(title(plan), tables + told, _picture(image, drawn, most_pixels))


def _picture(image: MultiscaleImage, drawn: Callable[[], MultiscaleImage], most_pixels: int) -> str:
    """The thumbnail as a data URL; a notebook still shows the table where the server fails."""
    if pixels_read(image, _PICTURE) > most_pixels:
        return "<div>no picture: the coarsest level is large</div>"
    try:
        png = png_of(overview(drawn(), _PICTURE))
    except DicomZarrError as error:
        return f"<div>no picture: {escape(type(error).__name__)}</div>"
    return f'<img alt="{escape(image.name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'

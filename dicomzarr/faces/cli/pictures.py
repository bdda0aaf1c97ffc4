"""Pictures made of characters, for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_UPPER_HALF = "▀"
_STAIN = (96, 32, 112)
_DARK = 0.5


def picture(pixels: npt.NDArray[np.uint8], width: int) -> Text:
    """An image of two pixels a character, one above the other.

    Args:
        pixels: R, G, B; shape (rows, columns, 3).
        width: Characters in a line.
    """
    rows, columns, _ = pixels.shape
    step = columns / width
    sampled = [[pixels[int(y * step), int(x * step)] for x in range(width)] for y in range(int(rows / step))]
    lines = [
        Text.assemble(*((_UPPER_HALF, f"{_rgb(above)} on {_rgb(below)}") for above, below in zip(*pair, strict=True)))
        for pair in zip(sampled[::2], sampled[1::2], strict=False)
    ]
    return Text("\n").join(lines)


def _rgb(pixel: npt.NDArray[np.uint8]) -> str:
    red, green, blue = (int(value) for value in pixel)
    return f"rgb({red},{green},{blue})"


def heat_map(fractions: npt.NDArray[np.float64], *, tall: bool = False) -> Text:
    """Percentages in their places, on a background that darkens with them.

    Args:
        fractions: From 0 to 1, in two dimensions.
        tall: Give each two lines, so that it is about as high as it is wide.
    """
    lines = []
    for row in fractions:
        cells = [(f"{fraction:4.0%}  ", _shade(float(fraction))) for fraction in row]
        lines.append(Text.assemble(*cells))
        if tall:
            lines.append(Text.assemble(*((" " * len(text), style) for text, style in cells)))
    return Text("\n").join(lines)


def _shade(fraction: float) -> Style:
    """From white to the purple of the stain, under ink that can be read on it."""
    red, green, blue = (round(255 - fraction * (255 - channel)) for channel in _STAIN)
    ink = "rgb(255,255,255)" if fraction > _DARK else "rgb(40,40,40)"
    return Style.parse(f"{ink} on rgb({red},{green},{blue})")

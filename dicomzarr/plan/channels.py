"""How the channels of a slide are named and shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dicomzarr.plan.plan import Channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.geometry.positions import OpticalPath
    from dicomzarr.dicom.pixels.pixels import PixelDescription

_PATH_COLORS = ("0000FF", "00FF00", "FF0000", "00FFFF", "FF00FF", "FFFF00")
"""Shown for optical paths that name no colour, in turn."""

_HEXADECIMAL = re.compile("[0-9A-F]{6}")

_NAMED_COLORS = {
    "blue": "0000FF",
    "green": "00FF00",
    "red": "FF0000",
    "cyan": "00FFFF",
    "magenta": "FF00FF",
    "yellow": "FFFF00",
    "orange": "FF8000",
    "violet": "8000FF",
}
"""By the code meaning of the illumination colour."""


def channels(pixel: PixelDescription, paths: Sequence[OpticalPath]) -> tuple[Channel, ...]:
    """One channel for every optical path, three for every path of a colour image."""
    low = -(2 ** (pixel.bits_stored - 1)) if pixel.signed else 0
    window = (float(low), float(low + 2**pixel.bits_stored - 1))
    if pixel.samples == 1:
        inverted = pixel.photometric_interpretation == "MONOCHROME1"
        return tuple(
            Channel(path_label(path, number), _color(path, number, len(paths)), window, inverted)
            for number, path in enumerate(paths)
        )
    return tuple(
        Channel(f"{path_label(path, number)} {name}" if len(paths) > 1 else name, color, window)
        for number, path in enumerate(paths)
        for name, color in (("R", "FF0000"), ("G", "00FF00"), ("B", "0000FF"))
    )


def path_label(path: OpticalPath, number: int) -> str:
    """Its description, else its wavelength, else its identifier, else its place."""
    if path.description:
        return path.description
    if path.wavelength:
        return f"{path.wavelength:g} nm"
    return path.identifier or str(number)


def _color(path: OpticalPath, number: int, count: int) -> str:
    named = path.color if _HEXADECIMAL.fullmatch(path.color) else _NAMED_COLORS.get(path.color.lower())
    if named:
        return named
    return "FFFFFF" if count == 1 else _PATH_COLORS[number % len(_PATH_COLORS)]

"""How values of a TIFF are to look: dark or bright, or colours of a palette (TIFF 6.0 sections 4 and 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from dicomzarr.dicom.lut.palette import Palette
from dicomzarr.errors import MetadataError
from dicomzarr.plan.views import LookedUp

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.faces.export.series import Source

_BYTE: Final = np.dtype("u1")
_REMEDY: Final = 'values="color" exports the colours'


class Looks(NamedTuple):
    """What tags say of it."""

    photometric: Literal["minisblack", "miniswhite", "palette", "rgb"]
    """PhotometricInterpretation, by tifffile's names."""
    colormap: npt.NDArray[np.uint16] | None = None
    """ColorMap: red, green and blue of each index, of shape (3, 256)."""
    left_out: str = ""
    """What tags cannot say, in a sentence."""


def looks_of(source: Source) -> Looks:
    """How the one image of a source is to look.

    Args:
        source: Its series; the palette is read if there is one.
    """
    plan, dtype = source.only_image, source.only_image.levels[0].dtype
    if plan.color:
        return Looks("rgb")
    if plan.is_indexed and plan.levels[0].view is None:
        return _indexed(source, dtype)
    inverted = {channel.inverted for channel in plan.channels}
    if True not in inverted:
        return Looks("minisblack")
    if len(inverted) > 1:
        return Looks("minisblack", left_out=_dark_and_bright("only some channels are meant so"))
    if dtype.kind != "u":  # 0 is white, TIFF says; of these 0 is in the middle
        return Looks("minisblack", left_out=_dark_and_bright(f"values are {dtype.name}"))
    return Looks("miniswhite")


def _dark_and_bright(why: str) -> str:
    return f"The OME-TIFF cannot say that low values are to be shown bright, for {why}: viewers will show them dark."


def _indexed(source: Source, dtype: np.dtype[Any]) -> Looks:
    found = _colormap(source) if dtype == _BYTE else f"TIFF has palettes of 8 bits, and indices are {dtype.name}"
    if not isinstance(found, str):
        return Looks("palette", found)
    said = f"The OME-TIFF holds numbers of colours without their palette, for {found}. {_REMEDY}."
    return Looks("minisblack", left_out=said)


def _colormap(source: Source) -> npt.NDArray[np.uint16] | str:
    """The colours of all indices of a byte; or why there are none."""
    try:
        colored = source.colored
    except MetadataError as error:
        return f"it cannot be read: {str(error).rstrip('.')}"
    tables = [
        table for level in colored.levels if isinstance(level.view, LookedUp) for table in level.view.tables.values()
    ]
    palettes = {b"".join(each.state()): each for each in tables if isinstance(each, Palette)}
    if len(palettes) != 1:
        return "its frames have several" if palettes else "it is not applied"
    (palette,) = palettes.values()
    colors: npt.NDArray[np.uint16] = palette.apply(np.arange(256, dtype=_BYTE).reshape(1, 1, -1))[:, 0].astype(
        np.uint16
    )
    return colors * np.uint16(65535 // np.iinfo(palette.dtype).max)  # 255 becomes 65535

"""What the header of a tiled image says, whether its tiles fit a grid or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.model.values import shown_code
from dicomzarr.dicom.pixels.syntax import check_openable
from dicomzarr.dicom.segmentation.colour import lab16_to_srgb
from dicomzarr.errors import UnsupportedSeriesError
from dicomzarr.plan.attributes import ImageAttributes, LevelAttributes, RescaleFactors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.dicom.instance import Instance

PALETTE: Final = "values are indices into a palette that is not applied."


def check_readable(header: Instance, parts: Iterable[Instance]) -> None:
    """What the metadata says already: samples, and the transfer syntax where the server names it.

    Raises:
        UnsupportedSeriesError: Pixels of so many samples or bits cannot be read.
        UnsupportedTransferSyntaxError: The server names one that cannot be decoded.
    """
    pixel = header.pixel
    for part in parts:
        check_openable(part.available_transfer_syntax_uid, header.sop_class_uid, f"Instance {part.sop_instance_uid}")
    bits = pixel.bits_allocated == 1 and header.segmentation is None
    if pixel.samples not in {1, 3} or bits:
        raise UnsupportedSeriesError(
            f"Instance {header.sop_instance_uid}: {pixel.samples} samples of {pixel.bits_allocated} bits "
            f"are no slide pixels that can be read (1 or 3 samples of 8 bits or more)."
        )


def absent_tile(header: Instance) -> tuple[tuple[int, ...], int]:
    """(value of each sample of an absent tile, Zarr's scalar fill value)."""
    pixel = header.pixel
    white = 2**pixel.bits_stored - 1
    if pixel.samples == 1:
        return (0,), 0
    if header.absent_pixel_lab is None:
        return (white,) * 3, white
    color = tuple(round(value / 255 * white) for value in lab16_to_srgb(header.absent_pixel_lab))
    return color, color[0] if len(set(color)) == 1 else white


def slide_attributes(header: Instance) -> ImageAttributes:
    """What the header says of the image."""
    return ImageAttributes(
        rescale=RescaleFactors(),
        modality=shown_code(header.modality),
        image_type=tuple(map(shown_code, header.image_type)),
        segmentation=header.segmentation,
    )


def level_attributes(header: Instance, parts: Iterable[Instance]) -> LevelAttributes:
    """What the header says of a level."""
    return LevelAttributes(
        sop_instance_uids=tuple(part.sop_instance_uid for part in parts),
        photometric_interpretation=header.pixel.photometric_interpretation,
        lossy=header.pixel.lossy,
        available_transfer_syntax_uid=header.available_transfer_syntax_uid,
    )

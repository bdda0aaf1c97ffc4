"""Stored values as people want to see them: windows, palettes, and a size (PS3.18 section 8.3.5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.lut.window import VoiFunction, read_windows
from dicomzarr.dicom.notices import Notices
from dicomzarr.dicom.volume.frame import frames_of
from dicomzarr.dicom.volume.tables import image_palette, leads_to_intensities, modality_table
from dicomzarr.errors import UsageError
from dicomzarr.faces.dicomweb_server.native import decoded_frame
from dicomzarr.plan.facts import voi_domain

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.lut.window import Window
    from dicomzarr.dicom.series import Series
    from dicomzarr.faces.dicomweb_server.holdings import Frames
    from dicomzarr.faces.dicomweb_server.viewports import Viewport

    Picture = npt.NDArray[np.uint8]
    """Shape (rows, columns), grey, or (rows, columns, 3), R, G, B."""

_BYTE: Final = 8
_WHITE: Final = 255
_MOST_PIXELS: Final = 2**27
"""Of a frame that is rendered, all samples counted: some gigabytes of memory."""


def frame_picture(series: Series, frames: Frames, number: int, window: Window | None, viewport: Viewport) -> Picture:
    """One frame for people.

    Args:
        series: The header of its instance, as `holdings.typed` gives it.
        frames: The frames of the instance.
        number: Which, from 1.
        window: The window that is asked for; None for that of the header, else from the first to the last value of its
            VOI LUT, else for all values that there are.
        viewport: What of it is shown, and how large.

    Raises:
        UsageError: The frame is too large for a picture.
        MetadataError: What the header says of its pixels is impossible.
        FrameError: The frame cannot be decoded.
        InvalidFileError: The file is broken.
    """
    (instance,) = series.instances
    pixel = instance.pixel
    if math.prod(pixel.shape) > _MOST_PIXELS:
        raise UsageError(
            f"A frame of {pixel.rows} x {pixel.columns} pixels makes no picture: ask for the frame itself."
        )
    values = decoded_frame(frames, number, pixel, instance.sop_instance_uid)
    if pixel.photometric_interpretation == "PALETTE COLOR" and series.items:
        colours = image_palette(instance, series.items[instance], {}).apply(values)
        return viewport.of(_colour(colours, colours.dtype.itemsize * _BYTE))
    if pixel.samples > 1:
        return viewport.of(_colour(values, pixel.bits_stored))
    with np.errstate(all="ignore"):  # values and windows may be of any size; a picture shows what it can
        grey = _grey(viewport.of(values[0].astype(np.float64)), series, number, window)
    return _WHITE - grey if pixel.photometric_interpretation == "MONOCHROME1" else grey


def _colour(values: npt.NDArray[Any], bits: int) -> Picture:
    eight = values >> (bits - _BYTE) if bits > _BYTE else values
    return np.ascontiguousarray(np.moveaxis(eight, 0, -1)).astype(np.uint8)


def _grey(stored: npt.NDArray[np.float64], series: Series, number: int, window: Window | None) -> Picture:
    """Through the modality transformation and a window (PS3.3 sections C.11.1 and C.11.2)."""
    (instance,) = series.instances
    pixel, item = instance.pixel, series.items.get(instance)
    values = stored
    shown: tuple[Window, ...] = ()
    table: tuple[float, float] | None = None
    counts = instance.segmentation is not None and instance.segmentation.is_label_map  # segments, from 1
    is_plain = not (pixel.floating or pixel.signed or counts)
    if item is not None:
        frame = next(each for each in frames_of(series.items, Notices()) if each.ref.number == number)
        is_plain = is_plain and frame.rescale.is_identity
        values = stored * frame.rescale.slope + frame.rescale.intercept
        if item.modality_lut.items and not leads_to_intensities(instance, item):
            indices = np.rint(stored).astype(pixel.dtype)
            values = modality_table(instance, item, {}).apply(indices).astype(np.float64)
            is_plain = False
        source = frame.voi or item
        function = next((str(text) for text in source.voi_lut_function.values), None)
        shown = read_windows(source.window_center.values, source.window_width.values, (), function)
        table = voi_domain(frame)
    chosen = window or next(iter(shown), None)
    if chosen is None and table is not None:
        return _stretched(values, *table)
    if chosen is None:
        return _stretched(values, *_extent(values, pixel.bits_stored, is_plain=is_plain))
    if chosen.function is VoiFunction.SIGMOID:
        curve = 1 / (1 + np.exp(-4 * (values - chosen.center) / chosen.width))
        return _stretched(curve, 0.0, 1.0)
    return _stretched(values, *chosen.bounds())


def _extent(values: npt.NDArray[np.float64], bits: int, *, is_plain: bool) -> tuple[float, float]:
    """What is black and white without a window: bytes that are plain as they are, else what there is."""
    if is_plain and bits <= _BYTE:
        return 0.0, float((1 << bits) - 1)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def _stretched(values: npt.NDArray[np.float64], low: float, high: float) -> Picture:
    scaled: Picture = np.rint(np.nan_to_num(np.clip((values - low) / (high - low), 0, 1)) * _WHITE).astype(np.uint8)
    return scaled

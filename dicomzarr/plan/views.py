"""What an array holds of the frames of a grid: stored values, rescaled ones, or the colours of a palette."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from dicomzarr.dicom.lut.modality import IDENTITY, Rescale, modality_dtype
from dicomzarr.dicom.volume.tables import image_palette, leads_to_intensities, modality_table
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.dicom.volume.frame import Frame
    from dicomzarr.dicom.volume.grid import Grid
    from dicomzarr.plan.plan import FrameView

MEASURED: Final = frozenset({"modality", "suv"})
"""Values that frames' rescales lead to."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How frames become what an array holds."""

    dtype: np.dtype[np.generic]
    samples: int
    """Of one pixel in the array: 1, or 3 for colour."""
    apply: FrameView | None
    """None for stored values."""
    range: tuple[float, float]
    """The lowest and highest value that there can be."""
    lowest: float
    """The lowest value of the bits that are stored, or of the type of rescaled values; 0 of unsigned ones."""
    rescale: Rescale | None
    """From the array's values to those in the units of windows; None where it differs from frame to frame, or is a
    table."""

    @property
    def absent(self) -> float:
        """What stands for a frame that does not exist: never what a pixel could plausibly be, as 0 HU.

        NaN, else the lowest value that there can be where values may be negative, else 0.
        """
        return float("nan") if self.dtype.kind == "f" else self.lowest


@dataclass(frozen=True, slots=True, eq=False)
class Rescaled:
    """Makes what values measure out of stored ones."""

    own: Mapping[FrameRef, Rescale]
    """Of each frame, where they differ."""
    same: Rescale
    """Of all frames, where they do not."""
    dtype: np.dtype[np.generic]

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Both of shape (1, rows, columns)."""
        return self.own.get(frame, self.same).apply(pixels, self.dtype)

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameView.state`."""
        found = ((frame.instance.sop_instance_uid, frame.number, each) for frame, each in self.own.items())
        yield repr(sorted((uid, number, each.slope, each.intercept) for uid, number, each in found)).encode()
        yield b"" if self.own else repr(self.same).encode()


class Table(Protocol):
    """What stored values stand for."""

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What these stand for."""

    def state(self) -> Iterator[bytes]:
        """What tells it from other tables."""


@dataclass(frozen=True, slots=True, eq=False)
class LookedUp:
    """Makes values or colours out of stored values by the table or palette of each instance."""

    tables: Mapping[Instance, Table]
    dtype: np.dtype[np.generic]

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stored values of shape (1, rows, columns), what they stand for of (samples, rows, columns)."""
        return self.tables[frame.instance].apply(pixels).astype(self.dtype, copy=False)

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameView.state`."""
        for instance in sorted(self.tables, key=attrgetter("sop_instance_uid")):
            yield repr(instance.sop_instance_uid).encode()
            yield from self.tables[instance].state()


@dataclass(frozen=True, slots=True, eq=False)
class Chained:
    """Two views, one of the values that the other makes."""

    first: FrameView
    second: FrameView

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Both of shape (samples, rows, columns)."""
        return self.second(frame, self.first(frame, pixels))

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameView.state`."""
        yield from self.first.state()
        yield from self.second.state()


def view_of(grid: Grid, values: str, bulk: Mapping[str, bytes]) -> View:
    """The view of a grid's frames.

    Args:
        grid: The frames.
        values: ``stored``, ``modality``, ``color`` or ``suv``.
        bulk: Values that the metadata only name, by their URI.

    Raises:
        InvalidAttributeError: A table is broken, or is not there.
    """
    pixel = grid.first.instance.pixel
    if values == "color" and pixel.photometric_interpretation == "PALETTE COLOR":
        return _coloured(grid, bulk)
    if values in MEASURED and pixel.samples == 1 and pixel.photometric_interpretation != "PALETTE COLOR":
        return _rescaled(grid, bulk)
    stored = stored_range(widest(grid))
    return View(pixel.dtype, pixel.samples, None, stored, 0.0 if pixel.floating else stored[0], _uniform(grid))


def stored_range(pixel: PixelDescription) -> tuple[float, float]:
    """The lowest and highest stored value that there can be; 0 to 1 for floating point, which has no bounds."""
    if pixel.floating:
        return 0.0, 1.0
    low = -(2 ** (pixel.bits_stored - 1)) if pixel.signed else 0
    return float(low), float(low + 2**pixel.bits_stored - 1)


def instances_of(grid: Grid) -> dict[Instance, ImageItem]:
    """The instances that a grid's frames are of, in their order, with what of each is not typed."""
    return {frame.instance: frame.item for frame in grid.frames}


def widest(grid: Grid) -> PixelDescription:
    """The pixels of the instance with the most bits: that of a whole grid, in which they may differ."""
    return max((instance.pixel for instance in instances_of(grid)), key=lambda pixel: pixel.bits_stored)


def rescales(grid: Grid) -> dict[Rescale, None]:
    """The different rescales of the frames, in their order."""
    return dict.fromkeys(frame.rescale for frame in grid.frames)


def _uniform(grid: Grid) -> Rescale | None:
    if has_table(grid.first):
        return IDENTITY if shows_stored(grid.first) else None
    different = rescales(grid)
    return next(iter(different)) if len(different) == 1 else None


def _coloured(grid: Grid, bulk: Mapping[str, bytes]) -> View:
    palettes = {instance: image_palette(instance, item, bulk) for instance, item in instances_of(grid).items()}
    dtype = np.result_type(*(palette.dtype for palette in palettes.values()))
    return View(np.dtype(dtype), 3, LookedUp(palettes, dtype), (0.0, float(np.iinfo(dtype).max)), 0.0, None)


def _rescaled(grid: Grid, bulk: Mapping[str, bytes]) -> View:
    pixel = widest(grid)
    if grid.first.item.modality_lut.items:
        return _looked_up(grid, bulk)
    different = list(rescales(grid))
    by_pixel: dict[PixelDescription, dict[Rescale, None]] = {}
    for frame in grid.frames:
        by_pixel.setdefault(frame.instance.pixel, {})[frame.rescale] = None
    dtype = np.result_type(*(modality_dtype(each, found) for each, found in by_pixel.items())).newbyteorder("<")
    if different == [IDENTITY] and len({each.dtype for each in by_pixel}) == 1:
        stored = stored_range(pixel)
        return View(pixel.dtype, 1, None, stored, 0.0 if pixel.floating else stored[0], IDENTITY)
    own = {frame.ref: frame.rescale for frame in grid.frames} if len(different) > 1 else {}
    ends = [
        rescale.slope * end + rescale.intercept
        for each, found in by_pixel.items()
        for rescale in found
        for end in stored_range(each)
    ]
    if not np.isfinite(ends).all():
        raise InvalidAttributeError(
            f"Instance {grid.first.instance.sop_instance_uid}: RescaleSlope and RescaleIntercept lead beyond all "
            "numbers.",
            remedy="Stored values can be read without them.",
        )
    return View(dtype, 1, Rescaled(own, different[0], dtype), (min(ends), max(ends)), _lowest(dtype), IDENTITY)


def _lowest(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).min) if dtype.kind == "i" else 0.0


def _looked_up(grid: Grid, bulk: Mapping[str, bytes]) -> View:
    tables = {each: modality_table(each, item, bulk) for each, item in instances_of(grid).items()}
    dtype = np.dtype("<u2" if any(table.entries.itemsize > 1 for table in tables.values()) else "u1")
    high = max(int(table.entries.max()) for table in tables.values())
    windows_of = None if shows_stored(grid.first) else IDENTITY
    return View(dtype, 1, LookedUp(tables, dtype), (0.0, float(high)), 0.0, windows_of)


def has_table(frame: Frame) -> bool:
    """Whether a table, and no slope, leads from stored values to others."""
    return bool(frame.item.modality_lut.items)


def shows_stored(frame: Frame) -> bool:
    """Whether stored values are looked at, and windows are of these, though a table leads from them to others."""
    return leads_to_intensities(frame.instance, frame.item)

"""How large the pixels of a slide are, where its headers contradict themselves or one another.

PixelSpacing says it, and ImagedVolumeWidth and ImagedVolumeHeight over the matrix (PS3.3 sections C.7.6.16.2.1 and
C.8.12.4). Writers swap width and height, take micrometres for millimetres, and copy the spacing of the finest level.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from dicomzarr.dicom.instance import Instance

    Spacing = tuple[float, float]

_SQUARE: Final = 0.01
"""By how much the sides of a square may differ, but for the rounding of matrices to whole pixels."""
_SAME: Final = 0.01
"""Relative difference up to which two lengths are one."""
_MICROMETRES: Final = 1000
"""In a millimetre."""
_LARGEST: Final = 1000.0
"""Millimetres; no slide is a metre wide."""
_COARSER: Final = 1.05
"""A level is at least so much coarser than another."""
_MOST_LEVELS: Final = 64
"""Of different sizes at one place."""
_DERIVATION: Final = 3
"""Place in ImageType of whether pixels were resampled (PS3.3 section C.8.12.4.1.1)."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """How large the pixels of an image are."""

    spacing: Spacing | None
    """(row spacing, column spacing) in millimetres; None where nothing says it that can be."""
    remark: str = ""
    """What is odd about the header in that, a sentence."""


def pixel_size(header: Instance) -> PixelSize:
    """PixelSpacing, else the imaged volume over the matrix; what cannot be is left out."""
    told, volume = header.pixel_spacing, _volume_spacing(header)
    if told is not None and volume is not None and (remark := _contradiction(told, volume, header)) is not None:
        return remark
    for name, spacing in (("PixelSpacing", told), ("The imaged volume", volume)):
        if spacing is not None and max(_extent(header, spacing)) > _LARGEST:
            return PixelSize(None, f"{name} makes it larger than any slide, so the size of pixels is not known.")
    return PixelSize(volume if told is None else told)


def _contradiction(told: Spacing, volume: Spacing, header: Instance) -> PixelSize | None:
    """What counts where both are given and are not one; None where they are."""
    if _distorted(told, volume, header):
        return PixelSize(
            volume, "by PixelSpacing pixels are no squares, by the imaged volume they are: the imaged volume is used."
        )
    times = [a / b for a, b in zip(told, volume, strict=True)]
    if all(_alike(each, _MICROMETRES) for each in times):
        return PixelSize(volume, "PixelSpacing is in micrometres: the imaged volume is used.")
    if all(_alike(each, 1 / _MICROMETRES) for each in times):
        return PixelSize(told, "the imaged volume is in micrometres: PixelSpacing is used.")
    plausible = [max(_extent(header, spacing)) <= _LARGEST for spacing in (told, volume)]
    if plausible == [False, True]:
        return PixelSize(volume, "PixelSpacing makes it larger than any slide: the imaged volume is used.")
    if plausible[0] and not all(_alike(each, 1) for each in times):
        return PixelSize(told, "PixelSpacing and the imaged volume disagree by more than 1 %; PixelSpacing is used.")
    return None


def own_sizes(headers: Sequence[Instance]) -> list[PixelSize]:
    """The size of pixels of each level, also where several have the PixelSpacing of the finest."""
    sizes = [(header, pixel_size(header)) for header in headers]
    alike: defaultdict[Hashable, dict[tuple[int, int], tuple[Instance, PixelSize]]] = defaultdict(dict)
    for header, size in sizes:
        alike[_place(header)].setdefault(_matrix(header), (header, size))
    largest = {place: [known[matrix] for matrix in nlargest(_MOST_LEVELS, known)] for place, known in alike.items()}
    return [_uncopied(header, largest[_place(header)]) or size for header, size in sizes]


def _place(header: Instance) -> Hashable:
    """What levels have in common whose PixelSpacing was copied."""
    return header.pixel_spacing, header.pyramid_uid, header.orientation_slide, header.origin


def _uncopied(header: Instance, others: Sequence[tuple[Instance, PixelSize]]) -> PixelSize | None:
    """The size of pixels of a level that has PixelSpacing of a finer one; None where it seems to have its own.

    Args:
        header: Of the level.
        others: Levels with the same PixelSpacing at the same place, largest first.
    """
    own_rows, own_columns = _matrix(header)
    for finer, size in others:
        rows, columns = _matrix(finer)
        if rows < own_rows * _COARSER or columns < own_columns * _COARSER or header.pixel_spacing is None:
            continue
        if size.spacing is None:
            return size
        if size.spacing != header.pixel_spacing:
            continue
        own = (size.spacing[0] * rows / own_rows, size.spacing[1] * columns / own_columns)
        volume = _volume_spacing(header)
        if volume is not None and all(_alike(a, b) for a, b in zip(volume, own, strict=True)):
            return PixelSize(volume, "PixelSpacing is that of a finer level: the imaged volume is used.")
        times = columns / own_columns
        if abs(rows / times - own_rows) < 1 and header.image_type[_DERIVATION:] == ("RESAMPLED",):
            return PixelSize(
                own, "PixelSpacing is that of a finer level: the size of pixels goes by the size of the matrix."
            )
    return None


def _distorted(told: Spacing, volume: Spacing, header: Instance) -> bool:
    """Some writers divide the height by the columns, and the width by the rows."""
    rounding = sum(1 / size for size in _matrix(header))
    return _oblong(told) > _SQUARE + rounding >= _oblong(volume)


def _volume_spacing(header: Instance) -> Spacing | None:
    """The imaged volume over the matrix."""
    height, width = header.imaged_volume
    rows, columns = _matrix(header)
    return None if height is None or width is None else (height / rows, width / columns)


def _matrix(header: Instance) -> tuple[int, int]:
    return header.total_pixel_matrix or (header.pixel.rows, header.pixel.columns)


def _extent(header: Instance, spacing: Spacing) -> Spacing:
    rows, columns = _matrix(header)
    return rows * spacing[0], columns * spacing[1]


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(one, other)


def _oblong(spacing: Spacing) -> float:
    """By how much the longer side is longer."""
    return max(spacing) / min(spacing) - 1

"""Regions of a slide at any resolution, as OpenSlide has them: placed on level 0, padded at the edges.

All regions of a call are planned at once. What has to be averaged is read in portions that memory holds.
"""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.filesize import decimal

from dicomzarr.arrays.resampling import area_taps, linear_taps, nearest_taps, resampled
from dicomzarr.arrays.resolutions import corner, downsamples, level_mpp, level_number, resolution
from dicomzarr.errors import UpsampledWarning, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.arrays.resampling import Taps
    from dicomzarr.arrays.resolutions import Pair, Resolution

    Pixels = npt.NDArray[np.generic]

_SAME = 1e-3
"""Relative difference below which a resolution is that of a level, whose pixels are then given as they are."""

_NOTABLY_FINER = 0.9
"""Results that are finer by more than this are said to be interpolated."""

_NOISE = 1e-9
"""By which shares of a pixel may differ from one as they are added up."""

_FARTHEST = 2.0**40
"""Pixels of level 0 from its corner; beyond every slide, and where floating point still tells pixels apart."""

_LONGEST = 2**22
"""Pixels of a side of a result: more than any slide has, and few enough for their places to be counted."""

_PORTION = 2**29
"""Bytes of pixels that are held to be averaged at a time."""


_MOST_A_ROW = 2**33
"""Bytes of pixels that one row of a result may be the mean of."""


@dataclass(frozen=True, slots=True)
class RegionRequest:
    """What is wanted of every region of a call."""

    size: Any
    """Pixels of the result, (width, height), or one number for a square."""
    mpp: Resolution | None = None
    level: Level | int | None = None
    pad: bool = True
    fill: Any = None
    z: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """How results lie on a level."""

    level: Level
    size: tuple[int, int]
    """(width, height) of the result."""
    step: Pair
    """Pixels of the level that a pixel of the result is wide and high; 1, 1 where the level's own are given."""
    origin: Pair
    """Where the level begins, (x, y) in pixels of level 0."""
    scale: Pair
    """Pixels of level 0 that a pixel of the level is wide and high."""
    absent: tuple[float, ...]
    """What a place without a tile holds, one value a sample."""
    numbers: bool
    """Values are numbers of something, and none lies between two."""

    @property
    def is_own(self) -> bool:
        return self.step == (1.0, 1.0)

    def taps(self, position: Pair, axis: int) -> Taps:
        """Along x (0) or y (1)."""
        start = (position[axis] - self.origin[axis]) / self.scale[axis]
        step, size = self.step[axis], self.level.shape[-1 - axis]
        if self.is_own:
            return nearest_taps(math.floor(start + 0.5), 1.0, self.size[axis], size)
        kind = nearest_taps if self.numbers else area_taps if step >= 1 else linear_taps
        return kind(start, step, self.size[axis], size)


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """Rows of a result, and what they are made of."""

    result: Pixels
    """The rows of the result, shape (height, width, ...), to be written to."""
    rows: Taps
    columns: Taps

    def index(self, level: Level, z: int) -> tuple[Any, ...]:
        """What of the level is read."""
        window = {"z": z, "y": slice(*self.rows.window), "x": slice(*self.columns.window)}
        return tuple(window.get(name, slice(None)) for name in level.axes)

    def nbytes(self, level: Level) -> int:
        (top, bottom), (left, right) = self.rows.window, self.columns.window
        return (bottom - top) * (right - left) * _samples(level) * level.dtype.itemsize


def read_regions(image: MultiscaleImage, positions: Sequence[Any], wanted: RegionRequest) -> list[Pixels]:
    """Read regions of a slide.

    Args:
        image: The slide.
        positions: (x, y) of the upper left corner of each, in pixels of level 0.
        wanted: What is wanted of each.

    Returns:
        For each region an array of shape (height, width, channels), or (height, width) of an image without channels,
        of the level's ``dtype``.

    Raises:
        UsageError: The image is no slide, or something asked for is impossible.
        ServerError: A frame could not be fetched.
        FrameError: A frame could not be decoded.
    """
    _check_slide(image)
    grid = _grid(image, wanted)
    z, fill = _plane(grid.level, wanted.z), _fill(grid, wanted.fill)
    results: list[Pixels] = []
    shares: list[_Share] = []
    for position in map(_position, positions):
        columns, rows = grid.taps(position, 0), grid.taps(position, 1)
        if not wanted.pad:
            columns, rows = (taps[taps.inside >= 0.5] for taps in (columns, rows))  # noqa: PLR2004  # the larger part
        result = _empty((len(rows), len(columns), *fill.shape), grid.level.dtype)
        results.append(result)
        shares.extend(_shares(grid, result, rows, columns))
    blend = fill if wanted.pad else None
    for portion in _portions(grid.level, shares):
        _read(grid, portion, z, fill, blend)
    return results


def _empty(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Pixels:
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        rows, columns, size = *shape[:2], decimal(math.prod(shape) * dtype.itemsize)
        raise UsageError(
            f"A region of {columns} x {rows} pixels takes {size}, for which there is no memory.",
            remedy="Read it in parts, or coarser, by mpp or level.",
        ) from None


def _read(grid: _Grid, shares: Sequence[_Share], z: int, fill: Pixels, blend: Pixels | None) -> None:
    level = grid.level
    # As pixels where they are only put into their place, as planes to be averaged.
    order = "".join(name for name in ("zyxc" if grid.is_own else "czyx") if name in level.axes)
    there = [share for share in shares if share.nbytes(level)]
    arrays = iter(level.read([share.index(level, z) for share in there], order=order) if there else ())
    for share in shares:
        if not share.nbytes(level):
            share.result[...] = fill
        elif grid.is_own:
            _place(share, next(arrays), fill)
        else:
            means = resampled(next(arrays), share.rows, share.columns)
            typed = _typed(means if blend is None else _blended(means, share, blend), level.dtype)
            share.result[...] = np.moveaxis(typed, 0, -1) if fill.ndim else typed


def _place(share: _Share, pixels: Pixels, fill: Pixels) -> None:
    """Pixels of the level, at where they are in the result."""
    rows, columns = (np.flatnonzero(taps.inside) for taps in (share.rows, share.columns))
    if pixels.shape != share.result.shape:
        share.result[...] = fill
    share.result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = pixels


def _blended(means: Any, share: _Share, fill: Pixels) -> Any:
    """What lies in the slide, and of the filling as much as lies outside."""
    rows, columns = share.rows.inside, share.columns.inside
    if min(rows.min(), columns.min()) > 1 - _NOISE:
        return means
    inside = np.multiply.outer(rows, columns).astype(means.dtype)
    return means * inside + np.multiply.outer(fill.astype(means.dtype), 1 - inside)


def _typed(values: Any, dtype: np.dtype[np.generic]) -> Pixels:
    if dtype.kind == "f":
        return np.asarray(values, dtype)
    typed: Pixels = np.rint(values, out=values).astype(dtype)  # means of values lie among them
    return typed


def _shares(grid: _Grid, result: Pixels, rows: Taps, columns: Taps) -> Iterator[_Share]:
    """As many as it takes for each to be held."""
    level = grid.level
    held = max(1, _Share(result, rows, columns).nbytes(level))
    most, whole = len(rows) * _PORTION // held, 1 if grid.is_own else rows.strip
    step = max(whole, most - most % whole)
    for low, high in itertools.pairwise([*range(0, len(rows), step), len(rows)]):
        share = _Share(result[low:high], rows[low:high], columns)
        if share.nbytes(level) > _MOST_A_ROW:
            raise UsageError(
                f"A row of pixels would be the mean of {share.nbytes(level) >> 20} MiB of level {level.number}.",
                remedy="The slide has no coarser level that would serve: open it with virtual_levels=True, or ask for a"
                " finer resolution.",
            )
        yield share


def _portions(level: Level, shares: Sequence[_Share]) -> Iterator[list[_Share]]:
    portion: list[_Share] = []
    held = 0
    for share in shares:
        size = share.nbytes(level)
        if portion and held + size > _PORTION:
            yield portion
            portion, held = [], 0
        portion.append(share)
        held += size
    yield portion


def _check_slide(image: MultiscaleImage) -> None:
    if image.plan.attributes.affine_reference != "slide":
        raise UsageError(
            f"Regions are those of a slide, and the image {image.name!r} is none that lies on a matrix: its axes are"
            f" {', '.join(axis.name for axis in image.axes)}.",
            remedy="Index a level as a NumPy array: image.levels[0][...].",
        )


def _grid(image: MultiscaleImage, wanted: RegionRequest) -> _Grid:
    if wanted.mpp is not None and wanted.level is not None:
        raise UsageError(
            "Both mpp and level were given, and each says how fine the result should be.", remedy="Give one of them."
        )
    plan = image.plan
    number = level_number(plan, wanted.mpp) if wanted.mpp is not None else _level_number(image, wanted.level)
    level = image.levels[number]
    own, step = level_mpp(plan, plan.levels[number]), (1.0, 1.0)
    if wanted.mpp is not None and own is not None:
        across, down = (one / other for one, other in zip(resolution(wanted.mpp), own, strict=True))
        if max(abs(across - 1), abs(down - 1)) > _SAME:
            step = across, down
        if min(step) < _NOTABLY_FINER:
            _warn_upsampled(wanted.mpp, own)
    planned = plan.levels[number]
    at, scale = corner(plan, planned), downsamples(plan, planned)
    return _Grid(level, _size(wanted.size), step, at, scale, planned.absent, plan.holds_numbers)


def _warn_upsampled(mpp: Resolution, own: Pair) -> None:
    warnings.warn(
        f"{mpp!r:.40} micrometres a pixel were asked for, and the finest level has {own[0]:.6g}: values between its"
        " pixels are interpolated, and show no more than it does.",
        UpsampledWarning,
        stacklevel=5,
    )


def _level_number(image: MultiscaleImage, level: Level | int | None) -> int:
    count = len(image.plan.levels)
    given: Any = 0 if level is None else getattr(level, "number", level)
    try:
        number = operator.index(given)
    except TypeError:
        number = -1
    if not 0 <= number < count:
        raise UsageError(
            f"Level {level!r:.40} was asked for; the image has {count}, numbered from 0.", remedy="See image.levels."
        )
    return number


def _size(size: Any) -> tuple[int, int]:
    try:
        width, height = map(operator.index, size if np.ndim(size) else (size, size))
    except (TypeError, ValueError):
        width = height = 0
    if not 1 <= min(width, height) <= max(width, height) <= _LONGEST:
        raise UsageError(
            f"The size of a region is {size!r:.40}, and should be (width, height), whole numbers of pixels from 1 to"
            f" {_LONGEST}.",
            remedy="Write (224, 224), or 224 for a square.",
        )
    return width, height


def _position(position: Any) -> Pair:
    try:
        x, y = map(float, position)
    except (TypeError, ValueError):
        x = y = math.inf
    if not (abs(x) <= _FARTHEST and abs(y) <= _FARTHEST):
        raise UsageError(
            f"The position of a region is {position!r:.40}, and should be (x, y), numbers of pixels of level 0.",
            remedy="Write read_region((x, y), (width, height)), and read_regions([(x, y), ...], (width, height)).",
        )
    return x, y


def _samples(level: Level) -> int:
    return level.shape[level.axes.index("c")] if "c" in level.axes else 1


def _plane(level: Level, z: int | None) -> int:
    """The focal plane that is read: the middle one, unless another is asked for."""
    count = level.shape[level.axes.index("z")] if "z" in level.axes else 1
    if z is None:
        return count // 2
    try:
        plane = operator.index(z)
    except TypeError:
        plane = count
    if not -count <= plane < count:
        raise UsageError(
            f"Focal plane {z!r:.40} was asked for; the slide has {count}, numbered from 0.",
            remedy="Without z, the middle one is read.",
        )
    return plane % count


def _fill(grid: _Grid, fill: Any) -> Pixels:
    """What lies outside, of shape (channels,), or () where there are none."""
    level = grid.level
    count = _samples(level)
    try:
        values = np.atleast_1d(np.asarray(grid.absent if fill is None else fill, np.float64))
        filling = np.resize(values, count) if fill is None else np.broadcast_to(values, (count,))
    except (TypeError, ValueError):
        filling = np.array([math.nan])
    if not _is_held(filling, level.dtype):
        raise UsageError(
            f"fill is {fill!r:.40}, and should be a value of {level.dtype}, or one for each of the {count} channels.",
            remedy="Write fill=255, or leave it out: what the slide has for places without a tile is taken then.",
        )
    typed: Pixels = filling.astype(level.dtype)
    return typed if "c" in level.axes else typed.reshape(())


def _is_held(values: npt.NDArray[np.float64], dtype: np.dtype[np.generic]) -> bool:
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    return bool(((values >= limits.min) & (values <= limits.max) & (values % 1 == 0)).all())

"""Regions of a slide at any resolution, as OpenSlide has them: placed on level 0, padded at the edges.

What a level lacks of level 0 is made of finer levels that show it. All regions of a call are planned at once. What has
to be averaged is read in portions that memory holds.
"""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.filesize import decimal

from dicomzarr.arrays.resampling import area_taps, linear_taps, nearest_taps, overlaps, resampled
from dicomzarr.arrays.resolutions import corner, downsamples, level_mpp, level_number, resolution
from dicomzarr.errors import UpsampledWarning, UsageError
from dicomzarr.plan.coverage import extent

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

_HALF = 0.5
"""The part of a pixel that has to lie on the slide for it to be one of the slide's."""

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
class _Side:
    """A side of a result, pixel by pixel."""

    taps: Taps
    """What of the level each is made of."""
    part: npt.NDArray[np.float64]
    """How much of each lies on the slide, or within the level, 0 to 1, shape (n,)."""
    step: float
    """Pixels of the level that each is wide."""

    @property
    def shown(self) -> slice:
        """Those that the level shows: all, unless it lacks a pixel of its own, or half of one of these."""
        lacks = self.part - self.taps.inside >= min(_HALF, 1 / self.step)
        if not lacks.any():
            return slice(0, len(lacks))
        found = np.flatnonzero((self.taps.inside > 0) & ~lacks)
        return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """How much the level counts for each, and not the filling: what it has stands for the rest on the slide."""
        return np.where(self.taps.inside > 0, self.part, 0.0)

    def __len__(self) -> int:
        return len(self.taps)

    def __getitem__(self, which: slice) -> _Side:
        return replace(self, taps=self.taps[which], part=self.part[which])


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """How results lie on a level."""

    level: Level
    step: Pair
    """Pixels of the level that a pixel of the result is wide and high; 1, 1 where the level's own are given."""
    origin: Pair
    """Where the level begins, (x, y) in pixels of level 0."""
    scale: Pair
    """Pixels of level 0 that a pixel of the level is wide and high."""
    slide: tuple[Pair, Pair] | None
    """Where the slide begins and ends along x and y, in pixels of the level; None where the level does so itself."""
    absent: tuple[float, ...]
    """What a place without a tile holds, one value a sample."""
    numbers: bool
    """Values are numbers of something, and none lies between two."""

    @property
    def is_own(self) -> bool:
        return self.step == (1.0, 1.0)

    @property
    def pitch(self) -> Pair:
        """Pixels of level 0 that a pixel of the result is wide and high."""
        return self.step[0] * self.scale[0], self.step[1] * self.scale[1]

    def begin(self, position: Pair) -> Pair:
        """Where results begin that are wanted at a position: on a pixel of the level where its own are given."""
        if not self.is_own:
            return position
        x, y = (self.origin[axis] + self.scale[axis] * self._start(position, axis) for axis in (0, 1))
        return x, y

    def side(self, begin: Pair, axis: int, count: int) -> _Side:
        """Along x (0) or y (1)."""
        start, step, size = self._start(begin, axis), self.step[axis], self.level.shape[-1 - axis]
        kind = nearest_taps if self.numbers or self.is_own else area_taps if step >= 1 else linear_taps
        taps = kind(start, step, count, size)
        if self.slide is None:
            return _Side(taps, taps.inside, step)
        part = overlaps(start, step, count, *self.slide[axis])
        if kind is not area_taps:  # pixels of the level are there, or not
            part = np.where(part >= _HALF, 1.0, 0.0)
        return _Side(taps, np.maximum(part, taps.inside), step)

    def _start(self, begin: Pair, axis: int) -> float:
        start = (begin[axis] - self.origin[axis]) / self.scale[axis]
        return math.floor(start + 0.5) if self.is_own else start


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """Rows of a result, and what they are made of."""

    grid: _Grid
    result: Pixels
    """The rows of the result, shape (height, width, ...), to be written to."""
    rows: _Side
    columns: _Side

    def index(self, z: int) -> tuple[Any, ...]:
        """What of the level is read."""
        window = {"z": z, "y": slice(*self.rows.taps.window), "x": slice(*self.columns.taps.window)}
        return tuple(window.get(name, slice(None)) for name in self.grid.level.axes)

    @property
    def nbytes(self) -> int:
        (top, bottom), (left, right) = self.rows.taps.window, self.columns.taps.window
        return (bottom - top) * (right - left) * _samples(self.grid.level) * self.grid.level.dtype.itemsize


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
    grids, size = _grids(image, wanted), _size(wanted.size)
    grid = grids[0]
    z, fill = _plane(grid.level, wanted.z), _fill(grid, wanted.fill)
    results: list[Pixels] = []
    shares: dict[int, list[_Share]] = {}
    for position in map(_position, positions):
        begin, (width, height) = grid.begin(position), size
        if not wanted.pad:
            (x, width), (y, height) = (_within(grid.side(begin, axis, size[axis])) for axis in (0, 1))
            begin = _moved(begin, grid, x, y)
        result = _empty((height, width, *fill.shape), grid.level.dtype)
        results.append(result)
        for share in _made_of(grids, begin, result):
            shares.setdefault(share.grid.level.number, []).append(share)
    blend = fill if wanted.pad else None
    for own in shares.values():
        for portion in _portions(own):
            _read(portion, z, fill, blend)
    return results


def _within(side: _Side) -> tuple[int, int]:
    """The first pixel that lies on the slide for the larger part, and how many do."""
    found = np.flatnonzero(side.part >= _HALF)
    return (int(found[0]), len(found)) if found.size else (0, 0)


def _moved(begin: Pair, grid: _Grid, x: int, y: int) -> Pair:
    """So many pixels of the result onwards."""
    return begin[0] + x * grid.pitch[0], begin[1] + y * grid.pitch[1]


def _made_of(grids: Sequence[_Grid], begin: Pair, result: Pixels) -> Iterator[_Share]:
    """What a result is made of: what the first level shows, and around it what finer ones do; the last has the rest."""
    grid, *finer = grids
    columns, rows = (grid.side(begin, axis, result.shape[1 - axis]) for axis in (0, 1))
    down, across = (rows.shown, columns.shown) if finer else (slice(0, len(rows)), slice(0, len(columns)))
    yield from _shares(grid, result[down, across], rows[down], columns[across])
    around = (
        (0, 0, result[: down.start]),
        (0, down.stop, result[down.stop :]),
        (0, down.start, result[down, : across.start]),
        (across.stop, down.start, result[down, across.stop :]),
    )
    for x, y, rest in around:
        if rest.size:
            yield from _made_of(finer, _moved(begin, grid, x, y), rest)


def _empty(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Pixels:
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        rows, columns, size = *shape[:2], decimal(math.prod(shape) * dtype.itemsize)
        raise UsageError(
            f"A region of {columns} x {rows} pixels takes {size}, for which there is no memory.",
            remedy="Read it in parts, or coarser, by mpp or level.",
        ) from None


def _read(shares: Sequence[_Share], z: int, fill: Pixels, blend: Pixels | None) -> None:
    """Read shares of one level, and write to their results."""
    grid = shares[0].grid
    level = grid.level
    # As pixels where they are only put into their place, as planes to be averaged.
    order = "".join(name for name in ("zyxc" if grid.is_own else "czyx") if name in level.axes)
    there = [share for share in shares if share.nbytes]
    arrays = iter(level.read([share.index(z) for share in there], order=order) if there else ())
    for share in shares:
        if not share.nbytes:
            share.result[...] = fill
        elif grid.is_own:
            _place(share, next(arrays), fill)
        else:
            means = resampled(next(arrays), share.rows.taps, share.columns.taps)
            typed = _typed(means if blend is None else _blended(means, share, blend), level.dtype)
            share.result[...] = np.moveaxis(typed, 0, -1) if fill.ndim else typed


def _place(share: _Share, pixels: Pixels, fill: Pixels) -> None:
    """Pixels of the level, at where they are in the result."""
    rows, columns = (np.flatnonzero(side.taps.inside) for side in (share.rows, share.columns))
    if pixels.shape != share.result.shape:
        share.result[...] = fill
    share.result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = pixels


def _blended(means: Any, share: _Share, fill: Pixels) -> Any:
    """What lies in the slide, and of the filling as much as lies outside."""
    rows, columns = share.rows.weights, share.columns.weights
    if min(rows.min(), columns.min()) > 1 - _NOISE:
        return means
    inside = np.multiply.outer(rows, columns).astype(means.dtype)
    return means * inside + np.multiply.outer(fill.astype(means.dtype), 1 - inside)


def _typed(values: Any, dtype: np.dtype[np.generic]) -> Pixels:
    if dtype.kind == "f":
        return np.asarray(values, dtype)
    typed: Pixels = np.rint(values, out=values).astype(dtype)  # means of values lie among them
    return typed


def _shares(grid: _Grid, result: Pixels, rows: _Side, columns: _Side) -> Iterator[_Share]:
    """As many as it takes for each to be held."""
    held = max(1, _Share(grid, result, rows, columns).nbytes)
    most, whole = len(rows) * _PORTION // held, 1 if grid.is_own else rows.taps.strip
    step = max(whole, most - most % whole)
    for low, high in itertools.pairwise([*range(0, len(rows), step), len(rows)]):
        share = _Share(grid, result[low:high], rows[low:high], columns)
        if share.nbytes > _MOST_A_ROW:
            raise UsageError(
                f"A row of pixels would be the mean of {share.nbytes >> 20} MiB of level {grid.level.number}.",
                remedy="The slide has no coarser level that would serve: open it with virtual_levels=True, or ask for a"
                " finer resolution.",
            )
        yield share


def _portions(shares: Sequence[_Share]) -> Iterator[list[_Share]]:
    portion: list[_Share] = []
    held = 0
    for share in shares:
        if portion and held + share.nbytes > _PORTION:
            yield portion
            portion, held = [], 0
        portion.append(share)
        held += share.nbytes
    yield portion


def _check_slide(image: MultiscaleImage) -> None:
    if image.plan.attributes.affine_reference != "slide":
        raise UsageError(
            f"Regions are those of a slide, and the image {image.name!r} is none that lies on a matrix: its axes are"
            f" {', '.join(axis.name for axis in image.axes)}.",
            remedy="Index a level as a NumPy array: image.levels[0][...].",
        )


def _grids(image: MultiscaleImage, wanted: RegionRequest) -> list[_Grid]:
    """That of the level that is wanted, and of finer ones for what it lacks; of a level by its number, that alone."""
    if wanted.mpp is not None and wanted.level is not None:
        raise UsageError(
            "Both mpp and level were given, and each says how fine the result should be.", remedy="Give one of them."
        )
    plan = image.plan
    number = level_number(plan, wanted.mpp) if wanted.mpp is not None else _level_number(image, wanted.level)
    own, step = level_mpp(plan, plan.levels[number]), (1.0, 1.0)
    if wanted.mpp is not None and own is not None:
        across, down = (one / other for one, other in zip(resolution(wanted.mpp), own, strict=True))
        if max(abs(across - 1), abs(down - 1)) > _SAME:
            step = across, down
        if min(step) < _NOTABLY_FINER:
            _warn_upsampled(wanted.mpp, own)
    if wanted.mpp is None:
        return [_grid(image, number, step, is_last=True)]
    x, y = (factor * each for factor, each in zip(step, downsamples(plan, plan.levels[number]), strict=True))
    grids = [_grid(image, number, step, is_last=number == 0)]
    for finer in reversed(range(number)):
        own = downsamples(plan, plan.levels[finer])
        grids.append(_grid(image, finer, (x / own[0], y / own[1]), is_last=finer == 0))
    return grids


def _grid(image: MultiscaleImage, number: int, step: Pair, *, is_last: bool) -> _Grid:
    plan = image.plan
    level = plan.levels[number]
    return _Grid(
        image.levels[number],
        step,
        corner(plan, level),
        downsamples(plan, level),
        None if is_last else (extent(plan, level, -1), extent(plan, level, -2)),
        level.absent,
        plan.holds_numbers,
    )


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

"""Where patches lie on a slide: on a grid or at random, at a resolution, where there is enough tissue."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.arrays.resolutions import resolution
from dicomzarr.errors import UsageError
from dicomzarr.faces.patches.masks import checked_slide, is_within, shares
from dicomzarr.faces.patches.order import checked_count, chosen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.image import Image
    from dicomzarr.arrays.resolutions import Resolution

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Pixels = npt.NDArray[np.generic]
    Which = int | slice | Sequence[int] | Sequence[bool] | npt.NDArray[Any]

_TRIES: Final = 100
"""Places that are tried for each patch at random before it is said that there are too few."""


_MOST: Final = 10**8
"""Patches: their positions are held in memory."""

_ROUNDING: Final = 1e-9
"""What places, and sums of a mask, may be off by as they are computed."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Patches:
    """Patches of one slide, which read when they are asked for. It travels in a pickle by the slide's URL."""

    image: Image
    positions: Integers
    """(x, y) of the upper left corner of each, in pixels of level 0; shape (patches, 2)."""
    size: tuple[int, int]
    """(width, height) of each, in its own pixels."""
    mpp: Resolution | None = None
    """Micrometres a pixel of a patch, one number or (x, y); None for level 0's."""
    tissue: Floats | None = None
    """How much of each is tissue, from 0 to 1; None where no mask was given."""

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, which: Which) -> Patches:
        """Some of them: a slice, numbers, or truth values."""
        numbers = chosen(which, len(self))
        tissue = None if self.tissue is None else self.tissue[numbers]
        return replace(self, positions=self.positions[numbers], tissue=tissue)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(x, y) of each."""
        return ((int(x), int(y)) for x, y in self.positions)

    def read(self, numbers: Which, *, icc: str | None = None) -> list[Pixels]:
        """The pixels of some patches, in one plan: each frame is fetched once, many frames in one request.

        Args:
            numbers: Which, from 0: a number, several, a slice, or a truth value for each.
            icc: ``"srgb"`` for colours of sRGB, by the slide's ICC profile; None for those stored.

        Returns:
            Of each (height, width, samples), also of one sample; what lies beyond the slide has the colour of its
            absent tiles. Samples are R, G, B, of each optical path in turn, or one of each path.

        Raises:
            IndexError: There is no such patch.
            DicomZarrError: A frame cannot be had, as for `Image.read_regions`.
        """
        corners = [(int(x), int(y)) for x, y in self.positions[chosen(numbers, len(self))]]
        regions = self.image.read_regions(corners, self.size, mpp=self.mpp, icc=icc)
        return [np.atleast_3d(region) for region in regions]  # which lack an axis of samples where there is one

    def __repr__(self) -> str:
        at = "" if self.mpp is None else f" at {self.mpp} micrometres a pixel"
        return f"<{len(self)} patches of {self.size[0]} x {self.size[1]}{at}>"


def grid(  # noqa: PLR0913  # what a grid is
    image: Image,
    size: int | tuple[int, int] = 224,
    *,
    mpp: Resolution | None = None,
    overlap: int = 0,
    mask: npt.NDArray[np.generic] | None = None,
    tissue: float = 0.5,
    partial: bool = True,
) -> Patches:
    """Patches side by side from the upper left corner of a slide on, row by row.

    Args:
        image: The slide.
        size: Of a patch in its own pixels: of a side, or (width, height).
        mpp: Micrometres a pixel of a patch, one number or (x, y); None for level 0's.
        overlap: Pixels that neighbours share.
        mask: Where tissue is: over the whole image, of any resolution, as of `tissue_mask`; None for patches
            everywhere.
        tissue: The least part of a patch that the mask must have, from 0 to 1; 0 for all patches, each with its part.
        partial: Whether patches that reach beyond the right and lower edge are among them.

    Raises:
        UsageError: A number cannot be meant, patches would be more than a hundred million, or the slide does not say
            how large its pixels are.
    """
    width, height = side = _side(size)
    if isinstance(overlap, float) and 0 < overlap < 1:
        raise UsageError(
            f"overlap={overlap:g} is less than a pixel: the overlap is counted in pixels of a patch.",
            remedy=f"Write overlap={round(overlap * width)} for that part of a patch.",
        )
    if not is_within(overlap, 0, min(side)) or overlap == min(side):
        raise UsageError(f"An overlap of {overlap!r:.40} pixels does not go with patches of {width} x {height}.")
    shape, step = _shape(image), _step(image, mpp)
    extent = np.array(side) * step
    strides = extent - overlap * step
    with np.errstate(divide="ignore", over="ignore"):  # by strides that are next to nothing
        _check_number(float(np.prod(np.ceil(shape / strides))))
    x, y = (np.round(np.arange(0, end, stride)) for end, stride in zip(shape, strides, strict=True))
    corners = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    if not partial:
        corners = corners[(corners + extent <= shape + _ROUNDING).all(axis=1)]
    found = Patches(image, corners.astype(np.int64), side, mpp)
    return found if mask is None else _with_tissue(found, mask, tissue)


def at_random(  # noqa: PLR0913  # what a sample is
    image: Image,
    count: int,
    size: int | tuple[int, int] = 224,
    *,
    mpp: Resolution | None = None,
    mask: npt.NDArray[np.generic] | None = None,
    tissue: float = 0.5,
    partial: bool = False,
    seed: int = 0,
) -> Patches:
    """Patches anywhere on a slide, each place as likely as any other; they may overlap, and are the same for a seed.

    Args:
        image: The slide.
        count: How many.
        size: Of a patch in its own pixels: of a side, or (width, height).
        mpp: Micrometres a pixel of a patch, one number or (x, y); None for level 0's.
        mask: Where tissue is, as for `grid`.
        tissue: The least part of a patch that the mask must have, from 0 to 1.
        partial: Whether patches may reach beyond the edges, as far as their middle lies on the slide.
        seed: Where randomness begins.

    Raises:
        UsageError: A number cannot be meant, it is more than a hundred million, or there are hardly any places with so
            much tissue.
    """
    count = checked_count(count, "count, the patches at random")
    _check_number(count)
    side, random = _side(size), _random(seed)
    first, last = _room(_shape(image), np.array(side) * _step(image, mpp), partial=partial)
    if count and (first > last).any():
        raise UsageError(
            f"Patches of {side[0]} x {side[1]} pixels were asked for, and the slide is smaller.",
            remedy="Ask for smaller ones, or with partial=True for some that reach beyond the edges.",
        )
    found: list[Patches] = []
    missing = count
    for _ in range(_TRIES if mask is not None else 1):
        tried = Patches(image, random.integers(first, last, (count, 2), endpoint=True), side, mpp)
        found.append(tried if mask is None else _with_tissue(tried, mask, tissue)[:missing])
        missing -= len(found[-1])
        if not missing:
            break
    if missing:
        raise UsageError(
            f"{count} patches with at least {tissue:g} tissue were asked for, and {count - missing} found "
            f"at {count * _TRIES} places.",
            remedy="Ask for less tissue, for smaller patches, or look at the mask.",
        )
    return _joined(found)


def _check_number(count: float) -> None:
    if count > _MOST:
        raise UsageError(
            f"{count:.3g} patches were asked for, and {_MOST:.0e} are the most.",
            remedy="Ask for larger ones, for a coarser resolution, or for fewer.",
        )


def _random(seed: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise UsageError(f"{seed!r:.40} was given for seed.", remedy="Give a whole number, 0 or more.") from None


def _room(shape: Floats, extent: Floats, *, partial: bool) -> tuple[Integers, Integers]:
    """The first and the last place of a corner along x and y; where there is none, the last comes before the first."""
    first, last = (-extent / 2, shape - extent / 2) if partial else (np.zeros(2), shape - extent)
    return np.ceil(first - _ROUNDING).astype(np.int64), np.floor(last + _ROUNDING).astype(np.int64)


def _joined(parts: Sequence[Patches]) -> Patches:
    tissue = [part.tissue for part in parts if part.tissue is not None]
    return replace(
        parts[0],
        positions=np.concatenate([part.positions for part in parts]),
        tissue=np.concatenate(tissue) if tissue else None,
    )


def _with_tissue(patches: Patches, mask: npt.NDArray[np.generic], least: float) -> Patches:
    """Those with enough tissue.

    Raises:
        UsageError: The mask is none, or the least part of tissue is no part.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or not mask.size:  # noqa: PLR2004  # rows and columns
        raise UsageError(
            f"The mask has the shape {mask.shape}, and is one of rows and columns over the whole image.",
            remedy="Give an array of (rows, columns), of any resolution.",
        )
    width, height = _shape(patches.image)
    if not _is_over(mask.shape, (height, width)):
        raise UsageError(
            f"The mask has {mask.shape[0]} rows and {mask.shape[1]} columns; the image is {width:.0f} pixels wide and"
            f" {height:.0f} high, of other proportions.",
            remedy="Give an array of (rows, columns) over the whole image; mask.T if it is one of (columns, rows).",
        )
    if not is_within(least, 0, 1):
        raise UsageError(f"tissue={least!r:.40} is no part of a patch.", remedy="Give one from 0 to 1, as tissue=0.5.")
    extent = np.array(patches.size) * _step(patches.image, patches.mpp)
    found = shares(mask, patches.positions.astype(float), extent, _shape(patches.image))
    enough = found >= least - _ROUNDING
    return replace(patches, positions=patches.positions[enough], tissue=found[enough])


def _is_over(mask: tuple[int, ...], image: tuple[float, float]) -> bool:
    """Whether a mask has the proportions of an image, as far as whole rows and columns and rounded levels can."""
    fewest = max((side - 1) / whole for side, whole in zip(mask, image, strict=True))
    most = min((side + 1) / whole for side, whole in zip(mask, image, strict=True))
    return fewest <= most * (1 + _PROPORTIONS)


_PROPORTIONS: Final = 0.05
"""By which those of a mask may differ from those of the image."""


def _shape(image: Image) -> Floats:
    """(width, height) of level 0."""
    return np.array(checked_slide(image).levels[0].shape[:-3:-1], dtype=float)


def _step(image: Image, mpp: Resolution | None) -> Floats:
    """Pixels of level 0 in a pixel of a patch, along x and y."""
    if mpp is None:
        return np.ones(2)
    wanted = np.array(resolution(mpp))
    if image.mpp is None:
        raise UsageError(
            "A resolution was asked for, and the image does not say how large its pixels are.",
            remedy="Leave mpp out: patches are then of pixels of level 0.",
        )
    step: Floats = wanted / np.array(image.mpp)
    return step


def _side(size: Any) -> tuple[int, int]:
    """(width, height) of a patch."""
    try:
        width, height = map(operator.index, size if np.ndim(size) else (size, size))
    except (TypeError, ValueError):
        width = height = 0
    if width < 1 or height < 1:
        raise UsageError(
            f"Patches of {size!r:.40} pixels were asked for.", remedy="Give whole numbers, as 224 or (width, height)."
        )
    return width, height

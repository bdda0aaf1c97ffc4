"""The regions of interest of a structure set (RTSTRUCT) as masks on the grid of an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, overload

import numpy as np

from dicomzarr.arrays.objects import datasets_at
from dicomzarr.arrays.volume.label_map import Layer, chosen, grid_of, merged, numbers_of
from dicomzarr.arrays.volume.polygons import holders, inside
from dicomzarr.dicom.structures import CLOSED, RegionOfInterest, regions_of
from dicomzarr.errors import InvalidAttributeError, UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from dicomzarr.arrays.level import MultiscaleImage
    from dicomzarr.arrays.volume.label_map import Grid, LabelMap, Overlap

_OFF: Final = 0.1
"""Part of a step by which a contour may lie beside a slice."""

_HALF: Final = 0.5
"""Steps from the centre of a voxel to its end."""


class Drawn(NamedTuple):
    """A contour on a slice."""

    slice: int
    points: npt.NDArray[np.float64]
    """(n, 2): columns and rows."""
    xor: bool
    """Pixels in an even number of contours are out, however these lie."""


class Structure:
    """A region of interest, and its voxels in an image.

    Args:
        region: What the structure set says.
        grid: That of the image.
    """

    def __init__(self, region: RegionOfInterest, grid: Grid) -> None:
        self.number = region.number
        self.name = region.name
        self.color = region.color
        self.contours = region.contours
        self._region = region
        self._grid = grid

    def mask(self) -> npt.NDArray[np.bool_]:
        """The voxels whose centres lie within the contours; one within another is a hole, and one within that is none.

        Returns:
            Shape (z, y, x).

        Raises:
            UsageError: Contours lie between slices or in another frame of reference, or none encloses anything.
            InvalidAttributeError: None can be read.
        """
        mask = np.zeros(self._grid.shape, np.bool_)
        slices: defaultdict[int, list[Drawn]] = defaultdict(list)
        for each in self._drawn():
            slices[each.slice].append(each)
        for number, drawn in slices.items():
            if 0 <= number < len(mask):
                mask[number] = _filled(drawn, self._grid.shape[1:])
        return mask

    @property
    def notices(self) -> tuple[str, ...]:
        """What its mask does not show, as contours beyond the image and slices between contours, and what was guessed.

        Raises:
            UsageError: As of `mask`.
            InvalidAttributeError: As of `mask`.
        """
        return tuple(self._notices([each.slice for each in self._drawn()]))

    def _notices(self, slices: list[int]) -> Iterator[str]:
        region, count = self._region, self._grid.shape[0]
        if region.sharing > 1:
            yield f"{region.sharing} regions have the ROINumber of {self.name!r}: the contours of all are in each."
        if region.unreadable:
            yield (
                f"{region.unreadable} of {region.unreadable + len(self.contours)} contours of {self.name!r} were left "
                "out: ContourData (3006,0050) or ContourOffsetVector (3006,0045) is no list of points."
            )
        moved = sum(bool(each.offset.any()) for each in self.contours if each.kind in CLOSED)
        if moved:
            yield f"{moved} contours of {self.name!r} lie where their ContourOffsetVector (3006,0045) moves them."
        beyond = sum(not 0 <= each < count for each in slices)
        if beyond:
            yield f"{beyond} of {len(slices)} contours of {self.name!r} lie above or below the image."
        places = sorted(set(slices))
        steps = np.diff(places)
        alone = int(np.count_nonzero((steps[1:] > 1) & (steps[:-1] > 1)))
        if alone:
            yield (
                f"{self.name!r} is drawn on {len(places)} of {places[-1] - places[0] + 1} slices, and on {alone} "
                "without those before and after: its mask is empty between them."
            )

    @property
    def _is_drawable(self) -> bool:
        """Whether any of its contours encloses something."""
        return any(contour.kind in CLOSED for contour in self.contours)

    def _drawn(self) -> list[Drawn]:
        """The closed contours in indices of the grid."""
        self._check()
        to_index = np.linalg.inv(self._grid.affine)
        count = self._grid.shape[0]
        edge = _HALF if count > 1 else _OFF  # one slice has no step to the next
        found, between = [], 0
        for contour in self.contours:
            if contour.kind not in CLOSED:
                continue
            at = (contour.points + contour.offset) @ to_index[:3, :3].T + to_index[:3, 3]
            nearest = round(float(at[:, 2].mean()))
            if at[:, 2].max() < -edge:
                nearest = min(nearest, -1)
            elif at[:, 2].min() > count - 1 + edge:
                nearest = max(nearest, count)
            else:
                between += bool(np.abs(at[:, 2] - nearest).max() > _OFF)
            found.append(Drawn(nearest, at[:, :2], contour.kind != "CLOSED_PLANAR"))
        if between:
            raise UsageError(
                f"{between} of {len(found)} contours of {self.name!r:.60} lie between slices of the image, or across.",
                remedy="Take the image that they were drawn on; contours holds their points.",
            )
        return found

    def _check(self) -> None:
        own, ours = self._region.frame_of_reference, self._grid.frame_of_reference
        if own and ours and own != ours:
            raise UsageError(
                f"{self.name!r:.60} is in another frame of reference than the image.",
                remedy="Take the image that it was drawn on.",
            )
        if self._region.unreadable and not self.contours:
            raise InvalidAttributeError(
                f"No contour of {self.name!r:.60} can be read: ContourData (3006,0050) is no list of points.",
                remedy="The region of interest cannot be drawn without it.",
            )
        if self.contours and not self._is_drawable:
            raise UsageError(
                f"No contour of {self.name!r:.60} encloses anything: they are points or open lines.",
                remedy="contours holds their points.",
            )

    def __repr__(self) -> str:
        return f"<region {self.number} {self.name!r}, {len(self.contours)} contour{'s' * (len(self.contours) != 1)}>"


def _filled(drawn: list[Drawn], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels of one slice: contours that overlap in part are joined, those within another cut holes."""
    mask = np.zeros(shape, np.bool_)
    if any(each.xor for each in drawn):
        for each in drawn:
            mask ^= inside(each.points, shape)
        return mask
    around = holders([each.points for each in drawn])
    again = {one for one, others in enumerate(around) for other in others if other < one and one in around[other]}
    depth: dict[int, int] = {}
    for one in sorted(set(range(len(drawn))) - again, key=lambda one: len(around[one] - again)):
        depth[one] = 1 + max((depth.get(other, -1) for other in around[one]), default=-1)
    holes = [one for one in depth if depth[one] % 2]
    for one in depth.keys() - holes:
        own = inside(drawn[one].points, shape)
        for hole in holes:
            if one in around[hole]:
                own &= ~inside(drawn[hole].points, shape)
        mask |= own
    return mask


class Structures(Sequence[Structure]):
    """The regions of interest of a structure set; by place or by name.

    Args:
        structures: The regions.
        grid: Of the image that they are drawn on.
    """

    def __init__(self, structures: Iterable[Structure], grid: Grid) -> None:
        self._structures = tuple(structures)
        self._grid = grid

    @overload
    def __getitem__(self, index: int | str) -> Structure: ...
    @overload
    def __getitem__(self, index: slice) -> Structures: ...
    def __getitem__(self, index: int | str | slice) -> Structure | Structures:
        """A region by its place or its name, or those of a slice.

        Raises:
            UsageError: There is none of the name, or several.
        """
        if isinstance(index, slice):
            return Structures(self._structures[index], self._grid)
        if isinstance(index, int):
            return self._structures[index]
        found = [each for each in self._structures if each.name == index]
        if len(found) != 1:
            names = ", ".join(repr(each.name) for each in self._structures)
            raise UsageError(
                f"There {'is no region' if not found else f'are {len(found)} regions'} named {index!r:.60}.",
                remedy=f"There are: {names}." if not found else "Take one by its place.",
            )
        return found[0]

    def __len__(self) -> int:
        return len(self._structures)

    def __repr__(self) -> str:
        return "\n  ".join([f"<{len(self)} regions of interest>", *map(repr, self._structures)])

    def label_map(self, names: Iterable[str] | None = None, *, overlap: Overlap = "refuse") -> LabelMap:
        """Regions as one array of numbers on the image's grid.

        Args:
            names: Of the regions to take, or a number for each name; by default all that have contours which enclose
                something.
            overlap: Which of two regions counts where both are, or that this is refused.

        Raises:
            UsageError: There is no such region, regions overlap, or one cannot be drawn; the text says why.
        """
        able = [each for each in self._structures if each._is_drawable]  # noqa: SLF001  # one room
        known = {each.name for each in able}
        if names is not None:  # one of that name alone is refused with the reason
            able = [each for each in self._structures if each in able or each.name not in known]
        layers = [Layer("", each.number, each.name, each.mask) for each in able]
        taken = chosen(layers, names)
        found = merged(taken, self._grid, overlap, numbers_of(taken, names))
        kept = {layer.name for layer in taken}
        left_out = [each.name for each in self._structures if each not in able and (names is None or each.name in kept)]
        notices = tuple(f"{name!r} was left out: no contour of it encloses anything." for name in left_out)
        told = [notice for each in able if each.name in kept for notice in each.notices]
        return replace(found, notices=(*notices, *told))


def contours_of(image: MultiscaleImage, place: str | os.PathLike[str]) -> Structures:
    """See `arrays.Image.contours`."""
    grid = grid_of(image)
    _, datasets = datasets_at(place, image._handle.options, "RTSTRUCT", "structure set")  # noqa: SLF001  # one room
    return Structures((Structure(region, grid) for one in datasets for region in regions_of(one)), grid)

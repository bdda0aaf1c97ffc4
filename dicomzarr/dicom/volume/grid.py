"""A grid of frames: what a stack of them becomes along t, c and z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.volume.frame import Frame
    from dicomzarr.dicom.volume.grouping import Stack
    from dicomzarr.dicom.volume.lattice import Slices

    Codes = npt.NDArray[np.int64]

ABSENT: Final = -1
"""What stands in a cell that has no frame."""

LIST: Final = "list of frames"
ORDER_ONLY: Final = "order of acquisition, times unknown"
GUESSED: Final = "perhaps sent twice"


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One axis beside those of space."""

    axis: str
    """t, c, or z where slices are counted and not placed."""
    names: tuple[str, ...]
    """The attributes that count it, the first of which names it."""
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Frames of one image on a regular grid."""

    frames: tuple[Frame, ...]
    cells: Codes
    """(t, c, z): the place in ``frames`` of each cell's frame; -1 where there is none."""
    dimensions: tuple[Dimension, ...]
    """Those that are not of space."""
    slices: Slices | None
    """None where nothing places the frames."""
    stack: Stack
    """What the frames are of."""
    part: str = ""
    """What tells this grid from others of the same series, as ``component phase``."""
    kind: str = ""
    """`LIST`, `ORDER_ONLY` or `GUESSED`; empty where attributes tell what each frame is."""
    notices: tuple[str, ...] = ()

    @property
    def first(self) -> Frame:
        """The frame in the first cell that has one."""
        return self.frames[int(self.cells[self.cells != ABSENT][0])]

    @property
    def sparse(self) -> bool:
        """Whether absent frames are empty ones that were left out on purpose."""
        return self.first.instance.segmentation is not None

    @property
    def shows_segments(self) -> bool:
        """Whether each frame shows one segment, so that c counts these: of a segmentation that is no label map."""
        segmentation = self.stack.frames[0].instance.segmentation
        return segmentation is not None and not segmentation.is_label_map

    @property
    def absent(self) -> Codes:
        """(cells, 3): t, c and z of each cell without a frame."""
        return np.argwhere(self.cells == ABSENT)

    def values(self, name: str) -> list[Value]:
        """What the frames of all cells have of an attribute, in the order of the cells; None for absent ones."""
        return [None if cell == ABSENT else self.frames[cell].values.get(name) for cell in self.cells.reshape(-1)]

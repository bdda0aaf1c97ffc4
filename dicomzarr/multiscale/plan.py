"""The neutral multiscale plan: what any kind of DICOM image becomes before it becomes OME-Zarr."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from dicomzarr.dicom.instance import FrameRef

ASSOCIATED = "associated"
"""The group that holds associated images."""

Affine = tuple[tuple[float, float, float, float], ...]
"""Four rows; maps (column, row, slice, 1) of voxel centres to millimetres."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an image, in NGFF's words."""

    name: str
    """One of t, c, z, y, x."""
    type: str
    """``time``, ``channel`` or ``space``."""
    unit: str | None = None
    """UDUNITS-2 name, as ``micrometer``; None where DICOM gives none."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How one channel is named and shown."""

    label: str
    color: str
    """Six hexadecimal digits, RRGGBB."""
    window: tuple[float, float]
    """(lowest, highest) value of the channel's type, in the array's units."""
    inverted: bool = False
    """Low values are shown bright: MONOCHROME1."""


class FrameIndex(Protocol):
    """Answers which frame is a chunk."""

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """The frame of the chunk at these chunk indices; None where the metadata has none.

        Raises:
            MissingInstanceError: The metadata has it, in an instance that the series lacks.
        """


@dataclass(frozen=True, slots=True, eq=False)
class LevelPlan:
    """One array of a multiscale image: its chunks are frames."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """Shape of one chunk: one frame."""
    dtype: np.dtype[np.generic]
    scale: tuple[float, ...]
    """Step along each axis, in its unit."""
    translation: tuple[float, ...]
    """Centre of the first pixel relative to that of the finest level, per axis, in its unit."""
    absent: tuple[int, ...]
    """Value of each sample of a tile that does not exist."""
    fill_value: int
    """The scalar that Zarr fills missing chunks with."""
    frames: FrameIndex
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Allow-listed facts about this level, JSON."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_nbytes(self) -> int:
        """Bytes of one chunk in memory."""
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def absent_is_fill(self) -> bool:
        """Whether an absent tile is what Zarr fills in by itself."""
        return all(value == self.fill_value for value in self.absent)


@dataclass(frozen=True, slots=True, eq=False)
class ImagePlan:
    """One multiscale image."""

    name: str
    axes: tuple[Axis, ...]
    levels: tuple[LevelPlan, ...]
    """Finest first."""
    channels: tuple[Channel, ...]
    """One for every index along c; one in all where there is no c axis."""
    affine: Affine | None
    """Of the finest level; None where DICOM gives no geometry."""
    color: bool
    """The channels are R, G, B of one colour image (or of several, path by path)."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Allow-listed, non-identifying facts, JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesPlan:
    """Everything that a series becomes."""

    images: tuple[ImagePlan, ...]
    associated: tuple[tuple[str, ImagePlan], ...] = ()
    """(name, image) of label, overview and thumbnail, as ``("overview", ...)``."""
    notices: tuple[str, ...] = ()
    """What was left out or looks odd, in sentences without patient text."""

    @property
    def image_paths(self) -> tuple[str, ...]:
        """The group of each image in the hierarchy; one image is the root itself."""
        if len(self.images) == 1:
            return ("",)
        return tuple(str(number) for number in range(len(self.images)))

    @property
    def associated_paths(self) -> tuple[str, ...]:
        """The group of each associated image in the hierarchy."""
        return tuple(f"{ASSOCIATED}/{name}" for name, _ in self.associated)

    def at(self, path: str) -> ImagePlan:
        """The image of a group."""
        images = dict(zip(self.image_paths, self.images, strict=True))
        images.update(zip(self.associated_paths, (image for _, image in self.associated), strict=True))
        return images[path]

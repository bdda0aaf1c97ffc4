"""The neutral multiscale plan: what any kind of DICOM image becomes before it becomes OME-Zarr."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from dicomzarr.plan.attributes import ImageAttributes, LevelAttributes
from dicomzarr.runtime.lazy_attribute import lazy_attribute

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicom.segmentation import Segment
    from dicomzarr.plan.attributes import Affine

    Pixels = npt.NDArray[np.generic]

ASSOCIATED = "associated"
"""The group that holds associated images."""

LABELS = "labels"
"""The group of an image that holds its labels."""


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
    """Low values of the array are shown bright: MONOCHROME1, or stored values with a negative slope, and not both."""
    shown: tuple[float, float] | None = None
    """(start, end) of what the header wants to be seen, in the array's units; None for all of ``window``."""


def label_path(image: str, label: ImagePlan) -> str:
    """The group of a label in the hierarchy, below that of its image."""
    return "/".join(part for part in (image, LABELS, label.name) if part)


class FrameView(Protocol):
    """Makes other values out of the stored ones of a frame."""

    def __call__(self, frame: FrameRef, pixels: Pixels) -> Pixels:
        """Both of shape (samples, rows, columns)."""

    def state(self) -> Iterator[bytes]:
        """What tells it from views that make other values, whatever order instances were sent in."""


class FrameIndex(Protocol):
    """Answers which frame is a chunk."""

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """The frame of the chunk at these chunk indices; None where the metadata has none.

        Raises:
            MissingInstanceError: The metadata has it, in an instance that the series lacks.
        """

    def state(self) -> Iterator[bytes]:
        """What tells it from indices that find other frames, or the same ones elsewhere, and how these are stored.

        It is not told by the order that instances were sent in, and takes no look at each chunk of a slide.
        """


@dataclass(frozen=True, slots=True)
class Reduction:
    """How a frame becomes a chunk of a level that is coarser than it."""

    factor: int
    """Rows and columns of the frame that one of the chunk stands for."""
    averaged: bool
    """It holds the means of what the array's view makes of them; else one of them, where values are numbers of
    something."""


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
    """Centre of the first pixel relative to that of the finest level, per axis, in its unit; of a volume along the axes
    of LPS, where it lies there."""
    absent: tuple[float, ...]
    """Value of each sample of a tile that does not exist."""
    fill_value: float
    """The scalar that Zarr fills missing chunks with."""
    frames: FrameIndex = field(repr=False)
    view: FrameView | None = field(default=None, repr=False)
    """Makes the values that the array holds out of stored ones; None where they are those."""
    reduction: Reduction | None = None
    """Of a level that the slide lacks; None where a chunk has as many pixels as its frame."""
    series: str = ""
    """Series Instance UID of the frames, where it is not that which was opened."""
    attributes: LevelAttributes = field(default_factory=LevelAttributes)
    """What else is known of it."""
    affine: Affine | None = None
    """Of a slide's level: (column, row, plane, 1) to the slide by its own header, which may differ from that of the
    finest by rounding; None where that does not say it."""
    frame_of_reference_uid: str | None = None
    """Of a slide's level, for some writers give each its own."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    def state(self) -> Iterator[bytes]:
        """What tells its cells from those of other arrays, but for its view."""
        layout = (self.shape, self.chunks, self.dtype.str, self.scale, self.translation)
        yield repr((*layout, self.absent, self.fill_value, self.reduction, self.series)).encode()
        yield from self.frames.state()

    @property
    def chunk_nbytes(self) -> int:
        """Bytes of one chunk in memory."""
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def absent_is_fill(self) -> bool:
        """Whether an absent tile is what Zarr fills in by itself."""
        both_nan = math.isnan(self.fill_value) and all(map(math.isnan, self.absent))
        return both_nan or all(value == self.fill_value for value in self.absent)

    @property
    def holds_stored(self) -> bool:
        """Whether a chunk is the frame as it is stored, and not made of it."""
        return self.view is None and self.reduction is None


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
    attributes: ImageAttributes = field(default_factory=ImageAttributes)
    """What else is known of it, and identifies nobody."""
    frame_of_reference_uid: str | None = None
    """FrameOfReferenceUID (0020,0052): what ``affine`` leads to; None where there is none."""
    segments: tuple[Segment, ...] = ()
    """Of a label image: what its values are."""
    numbers: tuple[int | None, ...] = ()
    """Of a segmentation of masks: the segment number of each index along c; None where its frames name none."""
    labels: tuple[ImagePlan, ...] = ()
    """Segmentations on the image's grid, where they were asked for."""

    def state(self) -> Iterator[bytes]:
        """What tells its cells, and where they lie, from those of other images, but for the views of its levels."""
        known = self.attributes
        yield repr(
            (self.axes, self.affine, known.plane_affine, known.poses, sorted(known.coordinates.items()))
        ).encode()
        for level in self.levels:
            yield from level.state()

    def affine_at(self, time: int) -> Affine | None:
        """The affine of one index along t, of the finest level: where the patient moved, each time has its own."""
        poses = self.attributes.poses
        return poses[time] if poses else self.affine

    @property
    def is_indexed(self) -> bool:
        """Whether values of a level are numbers of colours in a palette."""
        return any(level.attributes.photometric_interpretation == "PALETTE COLOR" for level in self.levels)

    @property
    def drawn_as(self) -> Literal["color", "modality"] | None:
        """The option ``values`` by which people see it as the header means it; None where stored values do.

        A palette, or the table of a Modality LUT, comes before windows and colours (PS3.3 section C.11.1). A table that
        leads to X-ray intensities does not (section C.8.7.1.1.2).
        """
        if self.is_indexed:
            return "color"
        known = self.attributes
        return "modality" if known.modality_lut and not known.windows_of_stored else None

    @property
    def holds_numbers(self) -> bool:
        """Whether values are numbers of segments or of colours in a palette, between which nothing lies."""
        kind = self.attributes.segmentation
        return self.is_indexed or bool(self.segments) or (kind is not None and kind.kind != "FRACTIONAL")


@dataclass(frozen=True, eq=False)
class SeriesPlan:
    """Everything that a series becomes."""

    images: tuple[ImagePlan, ...]
    associated: tuple[tuple[str, ImagePlan], ...] = ()
    """(name, image) of label, overview and thumbnail, as ``("overview", ...)``."""
    notices: tuple[str, ...] = ()
    """What was left out or looks odd, in sentences without patient text."""
    guesses: tuple[str, ...] = ()
    """Notices of what was guessed, and should be looked at before anything is decided on it."""

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
        return self.by_path[path]

    @lazy_attribute
    def by_path(self) -> dict[str, ImagePlan]:
        """All images, labels and associated ones among them, by their groups."""
        images = dict(zip(self.image_paths, self.images, strict=True))
        images |= {label_path(own, label): label for own, image in images.items() for label in image.labels}
        images.update(zip(self.associated_paths, (image for _, image in self.associated), strict=True))
        return images

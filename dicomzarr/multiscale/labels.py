"""Segmentations on the grid of an image, as its labels: one for each segment, for segments may overlap."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.arrangement import ABSENT
from dicomzarr.dicom.frame import frames_of
from dicomzarr.dicom.segments import Segment
from dicomzarr.errors import GridError
from dicomzarr.multiscale.facts import padding_value
from dicomzarr.multiscale.plan import ImagePlan, LevelPlan
from dicomzarr.multiscale.slides import plan_slide
from dicomzarr.multiscale.volumes import GridFrameIndex, segment_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.frame import Frame
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.dicom.segments import Segmentation
    from dicomzarr.dicom.series import Series
    from dicomzarr.multiscale.plan import FrameIndex, SeriesPlan

_SAME: Final = 1e-3
"""Relative difference of directions and steps up to which two grids are one."""

_ON_GRID: Final = 0.05
"""Part of a voxel by which a frame may lie off the grid: headers round."""

_BYTE: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """Makes labels of a mask: where it is set, the number of its segment."""

    number: int
    dtype: np.dtype[np.generic]

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: ARG002  # all alike
        """Both of shape (1, rows, columns)."""
        labels: npt.NDArray[Any] = np.where(pixels != 0, self.number, 0).astype(self.dtype)
        return labels


@dataclass(frozen=True, slots=True, eq=False)
class OneChannel:
    """The frames of one channel, by chunk indices without c."""

    frames: FrameIndex
    channel: int

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """See `plan.FrameIndex.locate`."""
        return self.frames.locate((self.channel, *chunk))


def refers_to(segmentation: Series, series: str) -> bool:
    """Whether a series of segmentations says that it was made of another series."""
    items = (item for image in segmentation.images for item in image.item.referenced_series.items)
    return any(str(value) == series for item in items for value in item.series_instance_uid.values)


def add_labels(plan: SeriesPlan, segmentations: Sequence[Series]) -> SeriesPlan:
    """A plan with what lies on the grid of one of its images as that image's labels; what does not is said.

    Args:
        plan: The images.
        segmentations: Series of segmentations that refer to them.

    Raises:
        MetadataError: A segmentation cannot be placed at all.
    """
    notices = list(plan.notices)
    images = list(plan.images)
    for number, series in enumerate(segmentations, start=1):
        found = 0
        for place, image in enumerate(plan.images):
            labels = tuple(_labels(image, series, number))
            found += len(labels)
            images[place] = replace(images[place], labels=(*images[place].labels, *labels))
        if not found:
            notices.append(
                f"Segmentation series {series.series_uid} is no label here: it is fractional, or its grid is not that "
                f"of an image. It opens by its own URL."
            )
    return replace(plan, images=tuple(images), notices=tuple(notices))


def _labels(image: ImagePlan, series: Series, number: int) -> Iterator[ImagePlan]:
    if series.is_slide:
        yield from _tiled_labels(image, series, number)
        return
    frames = list(frames_of(series.images))
    for segment, members in _by_segment(frames):
        cells = _cells(image, members)
        if cells is not None:
            index = GridFrameIndex(cells, tuple(frame.ref for frame in members))
            header = members[0].image.header
            fill = padding_value(members[0]) or 0 if segment is None else 0
            yield _label(image, image.levels[0], index, header.segmentation, segment, f"{number}", series, fill)


def _by_segment(frames: Iterable[Frame]) -> Iterator[tuple[Segment | None, list[Frame]]]:
    """(segment, its frames) of masks, (None, all frames) of label maps; fractions are no labels."""
    members: defaultdict[Segment | None, list[Frame]] = defaultdict(list)
    for frame in frames:
        segmentation = frame.image.header.segmentation
        if segmentation is None or segmentation.kind == "FRACTIONAL":
            continue
        number = segment_number(frame)
        segment = segmentation.numbered(number) or Segment(number, "", "")
        members[None if segmentation.is_label_map else segment].append(frame)
    yield from sorted(members.items(), key=lambda item: 0 if item[0] is None else item[0].number)


def _cells(image: ImagePlan, frames: Sequence[Frame]) -> npt.NDArray[np.int64] | None:
    """The frame of each slice of an image; None where the frames are not on its grid.

    Raises:
        GridError: Two frames show one segment in one slice.
    """
    level = image.levels[0]
    names = [axis.name for axis in image.axes]
    slices = level.shape[names.index("z")] if "z" in names else 1
    cells = np.full(slices, ABSENT, np.int64)
    for place, frame in enumerate(frames):
        index = _slice_of(image, frame)
        if index is None or not 0 <= index < slices:
            return None
        if cells[index] != ABSENT:
            raise GridError(
                f"Frames {frames[cells[index]].ref.number} and {frame.ref.number} of instance "
                f"{frame.ref.instance.sop_instance_uid} show one segment at one place."
            )
        cells[index] = place
    return cells if "z" in names else cells.reshape(())


def _slice_of(image: ImagePlan, frame: Frame) -> int | None:
    """The slice of an image that a frame covers, voxel for voxel; None where it covers none."""
    if image.affine is None or frame.position is None or frame.orientation is None or frame.spacing is None:
        return None
    pixel = frame.ref.instance.pixel
    affine = np.array(image.affine)
    down, across = frame.spacing
    own = np.stack([frame.orientation[:3] * across, frame.orientation[3:] * down], axis=1)
    same = np.allclose(own, affine[:3, :2], atol=_SAME * min(frame.spacing))
    if image.levels[0].shape[-2:] != (pixel.rows, pixel.columns) or not same:
        return None
    at = np.linalg.solve(affine, [*frame.position, 1.0])
    nearest = int(np.rint(at[2]))
    off = [at[0], at[1], at[2] - nearest]
    return nearest if max(map(abs, off)) <= _ON_GRID else None


def _tiled_labels(image: ImagePlan, series: Series, number: int) -> Iterator[ImagePlan]:
    """Of segmented slides: the level of the image that has the same matrix."""
    for found in plan_slide(series).images:
        source, header = found.levels[0], series.instances[0].segmentation
        level = next((level for level in image.levels if _same_matrix(image, level, found)), None)
        if level is None or header is None or header.kind == "FRACTIONAL":
            continue
        names = [axis.name for axis in found.axes]
        if header.is_label_map:
            yield _label(image, level, source.frames, header, None, f"{number}", series, 0, tiles=source.chunks)
            continue
        for channel, own in enumerate(found.numbers):
            segment = header.numbered(own) or Segment(own, "", "")
            index = OneChannel(source.frames, channel) if "c" in names else source.frames
            yield _label(image, level, index, header, segment, f"{number}", series, 0, tiles=source.chunks)


def _same_matrix(image: ImagePlan, level: LevelPlan, other: ImagePlan) -> bool:
    """Whether a level and the finest of another image have one size, and lie at one place."""
    flat = not {"t", "z"} & {axis.name for axis in (*image.axes, *other.axes)}
    if not flat or level.shape[-2:] != other.levels[0].shape[-2:] or image.affine is None or other.affine is None:
        return False
    ours, theirs = np.array(image.affine), np.array(other.affine)
    scaled = ours[:3, :2] * [level.scale[-1] / image.levels[0].scale[-1], level.scale[-2] / image.levels[0].scale[-2]]
    step = float(np.linalg.norm(scaled[:, 0]))
    return bool(
        np.allclose(scaled, theirs[:3, :2], atol=_SAME * step) and np.allclose(ours[:2, 3], theirs[:2, 3], atol=step)
    )


def _placed_like(image: ImagePlan) -> dict[str, object]:
    names = ("affine_reference", "anatomical_orientation")
    return {name: image.attributes[name] for name in names if name in image.attributes}


def _label(  # noqa: PLR0913, PLR0917  # what a label is made of
    image: ImagePlan,
    level: LevelPlan,
    frames: FrameIndex,
    segmentation: Segmentation | None,
    segment: Segment | None,
    number: str,
    series: Series,
    fill: int,
    *,
    tiles: tuple[int, ...] | None = None,
) -> ImagePlan:
    """A label image on a level's grid: its axes of space."""
    kept = [place for place, axis in enumerate(image.axes) if axis.type == "space"]
    pixel = series.instances[0].pixel
    dtype = pixel.dtype if segment is None else np.dtype("u1" if segment.number <= _BYTE else "<u2")
    shown = (segmentation.segments if segmentation else ()) if segment is None else (segment,)
    return ImagePlan(
        name=number if segment is None else f"{number}-{segment.number}",
        axes=tuple(image.axes[place] for place in kept),
        levels=(
            LevelPlan(
                shape=tuple(level.shape[place] for place in kept),
                chunks=(*(1 for _ in kept[:-2]), *(tiles or level.chunks)[-2:]),
                dtype=dtype,
                scale=tuple(level.scale[place] for place in kept),
                translation=tuple(level.translation[place] for place in kept),
                absent=(fill,),
                fill_value=fill,
                frames=frames,
                view=None if segment is None else Masked(segment.number, dtype),
                series=series.series_uid,
                attributes={"sop_instance_uids": [instance.uid for instance in series.instances]},
            ),
        ),
        channels=(),
        affine=image.affine,
        color=False,
        attributes={"modality": "SEG", "series_instance_uid": series.series_uid, **_placed_like(image)},
        segments=shown,
    )

"""Segments of an image in one array of numbers, as those who train and measure want them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from dicomzarr.arrays.level import MultiscaleImage
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.arrays.volume.nearest import looked_up, place_within
from dicomzarr.arrays.volume.reasons import refuse, why_no_grid
from dicomzarr.arrays.volume.volume import Volume
from dicomzarr.errors import MetadataError, UsageError
from dicomzarr.session.locate import located, only_series

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level
    from dicomzarr.dicom.segmentation import Segment

Overlap = Literal["refuse", "first", "last"]
_OVERLAPS: Final = ("refuse", "first", "last")
_MOST: Final = 65535
"""The highest number: of 16 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Numbers of segments on the grid of an image."""

    values: npt.NDArray[np.unsignedinteger[Any]]
    """(z, y, x): 0 where there is no segment."""
    names: Mapping[int, str]
    """The name of the segment of each number: SegmentLabel (0062,0005), or ROIName (3006,0026)."""
    affine: npt.NDArray[np.float64]
    """(column, row, slice, 1) to LPS millimetres."""
    notices: tuple[str, ...] = ()
    """What was left out, as segmentations on other grids."""

    def __repr__(self) -> str:
        sizes = " x ".join(map(str, self.values.shape))
        names = [f"{number} {name!r}" for number, name in self.names.items()]
        return "\n  ".join([f"<label map (z, y, x) {sizes} {self.values.dtype}>", *names, *self.notices])

    def to_sitk(self) -> Any:
        """As a ``SimpleITK.Image`` of integers.

        Raises:
            UsageError: SimpleITK is not installed.
        """
        from dicomzarr.arrays.volume.itk import sitk_image  # noqa: PLC0415  # an extra

        return sitk_image(self._volume)

    def to_nibabel(self) -> Any:
        """As a ``nibabel.Nifti1Image`` of integers.

        Raises:
            UsageError: nibabel is not installed.
        """
        from dicomzarr.arrays.volume.nifti import nibabel_image  # noqa: PLC0415

        return nibabel_image(self._volume)

    def to_nifti(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as a file of NIfTI.

        Args:
            path: Ends in ``.nii``, or in ``.nii.gz`` for a compressed one.
            overwrite: Replace what is there.

        Raises:
            UsageError: nibabel is not installed, or there is something at the path.
            TargetError: The file could not be written.
        """
        from dicomzarr.arrays.volume.nifti import write_nifti  # noqa: PLC0415

        write_nifti(self._volume, path, overwrite=overwrite)

    @property
    def _volume(self) -> Volume:
        return Volume(self.values, self.affine, False, 1.0, None, None)  # noqa: FBT003  # no colours


class Layer(NamedTuple):
    """One segment on the grid."""

    source: str
    """What it is of, as a Series Instance UID."""
    number: int
    name: str
    read: Callable[[], npt.NDArray[np.bool_]]
    """Gives its mask, (z, y, x): one at a time, for a body has a hundred."""


def label_map(
    image: MultiscaleImage,
    *,
    names: Iterable[str] | None,
    segmentation: str | os.PathLike[str] | MultiscaleImage | None,
    resample: bool,
    overlap: Overlap,
) -> LabelMap:
    """See `arrays.Image.label_map`."""
    if overlap not in _OVERLAPS:
        raise UsageError(f"overlap is {overlap!r:.20}.", remedy=f"Give one of {', '.join(map(repr, _OVERLAPS))}.")
    grid = grid_of(image)
    notices: list[str] = []
    layers = list(_layers(image, segmentation, grid, notices, resample=resample))
    if not layers:
        raise UsageError(
            f"No segmentation in the study lies on the grid of {image.series_url}.",
            remedy=" ".join(["resample=True looks up voxels of those on other grids.", *notices]),
        )
    taken = chosen(layers, names)
    return replace(merged(taken, grid, overlap, numbers_of(taken, names)), notices=tuple(notices))


def _layers(
    image: MultiscaleImage,
    segmentation: str | os.PathLike[str] | MultiscaleImage | None,
    grid: Grid,
    notices: list[str],
    *,
    resample: bool,
) -> Iterator[Layer]:
    if segmentation is None and image.plan.attributes.segmentation is None:
        yield from _of_study(_with_labels(image), grid, notices, resample=resample)
    elif segmentation is None:
        yield from _of_segmentation(image, grid, resample=False)
    else:
        given = segmentation if isinstance(segmentation, MultiscaleImage) else _opened(image, segmentation)
        for one in given.images:
            yield from _of_segmentation(one, grid, resample=resample)


class Grid(NamedTuple):
    """Where voxels are wanted."""

    shape: tuple[int, int, int]
    """(z, y, x)."""
    affine: npt.NDArray[np.float64]
    frame_of_reference: str | None


def grid_of(image: MultiscaleImage) -> Grid:
    """The grid of an image.

    Raises:
        UsageError: It has none that an affine can say.
    """
    plan, level = image.plan, image.levels[0]
    refuse(why_no_grid(plan), "This image is no volume")
    sizes = dict(zip(level.axes, level.shape, strict=True))
    shape = (sizes.get("z", 1), sizes["y"], sizes["x"])
    return Grid(shape, np.array(plan.affine), plan.frame_of_reference_uid)


def merged(layers: Sequence[Layer], grid: Grid, overlap: Overlap, numbers: Sequence[int]) -> LabelMap:
    """Segments in one array, each as its number.

    Raises:
        UsageError: Some of other numbers share voxels, and that is refused.
    """
    values = np.zeros(grid.shape, np.min_scalar_type(max(numbers, default=0)))
    names: defaultdict[int, list[str]] = defaultdict(list)
    shared = 0
    for number, layer in zip(numbers, layers, strict=True):
        mask = layer.read()
        there = values[mask]
        taken = (there != 0) & (there != number)
        shared += int(np.count_nonzero(taken))
        values[mask] = np.where(taken, there, number) if overlap == "first" else number
        names[number].append(layer.name)
    if shared and overlap == "refuse":
        raise UsageError(
            f"Segments share {shared} voxels, and one number does not say both.",
            remedy='Choose segments by names, or say which counts: overlap="first" or "last".',
        )
    return LabelMap(values, {number: ", ".join(dict.fromkeys(each)) for number, each in names.items()}, grid.affine)


def numbers_of(layers: Sequence[Layer], names: Iterable[str] | None) -> list[int]:
    """Those that names are given; else their own, or, where two have one number, counted from 1.

    Raises:
        UsageError: One that is given is impossible.
    """
    if isinstance(names, Mapping):
        given = [names[layer.name] for layer in layers]
        wrong = next((each for each in given if not _is_number(each)), None)
        if wrong is not None:
            raise UsageError(f"No segment can have the number {wrong!r:.20}.", remedy=f"Give 1 to {_MOST}.")
        return [int(each) for each in given]
    own = [layer.number for layer in layers]
    return own if len(set(own)) == len(own) and 0 not in own else list(range(1, len(own) + 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 1 <= int(value) <= _MOST


def chosen(layers: Sequence[Layer], names: Iterable[str] | None) -> Sequence[Layer]:
    """The layers of these names.

    Raises:
        UsageError: There is none of a name.
    """
    if names is None:
        return layers
    wanted = [names] if isinstance(names, str) else list(names)
    lacking = [name for name in wanted if name not in {layer.name for layer in layers}]
    if lacking:
        known = ", ".join(dict.fromkeys(repr(layer.name) for layer in layers))
        raise UsageError(f"There is no segment named {lacking[0]!r:.60}.", remedy=f"There are: {known}.")
    return [layer for layer in layers if layer.name in wanted]


def _with_labels(image: MultiscaleImage) -> MultiscaleImage:
    handle = image._handle  # noqa: SLF001
    if handle.options.labels:
        return image
    return type(image)(SeriesHandle(handle.url, replace(handle.options, labels=True)), image.path)


def _of_study(image: MultiscaleImage, grid: Grid, notices: list[str], *, resample: bool) -> Iterator[Layer]:
    """Of the segmentations that refer to an image's series; a notice of each that cannot be had."""
    on_grid: set[tuple[str, int]] = set()
    for label in image.labels.values():
        for layer in _of_label(label):
            on_grid.update((uid, layer.number) for uid in _instances(label))
            yield layer
    if not resample:
        notices += [each for each in image.notices if each.startswith("Segmentation series ")]
        return
    for uid in image.store.others:
        try:
            for own in _images_of(image, uid):
                layers = _of_segmentation(own, grid, resample=True)
                yield from (
                    layer for layer in layers if not {(each, layer.number) for each in _instances(own)} & on_grid
                )
        except (UsageError, MetadataError) as error:  # of what nobody asked for by its name
            notices.append(f"Segmentation series {uid} was left out: {error}")


def _of_label(label: MultiscaleImage) -> Iterator[Layer]:
    source = label.plan.levels[0].series
    segment, *others = label.segments or (None,)
    if segment is not None and not others and label.plan.levels[0].view is not None:
        yield Layer(source, segment.number, _name(segment, segment.number), partial(_set, label.levels[0]))
    else:
        yield from _of_numbers(label, source, _full(label.levels[0][...]))


def _instances(image: MultiscaleImage) -> tuple[str, ...]:
    return image.plan.levels[0].attributes.sop_instance_uids


def _images_of(image: MultiscaleImage, series: str) -> Iterator[MultiscaleImage]:
    """The images of another series of the study, reached as the image is."""
    handle = image._handle  # noqa: SLF001  # one room
    options = replace(handle.options, labels=False, values="stored")
    other = SeriesHandle(replace(handle.url, series=series), options)
    for path in other.store().plan.image_paths:
        yield type(image)(other, path)


def _opened(image: MultiscaleImage, segmentation: str | os.PathLike[str]) -> MultiscaleImage:
    """A segmentation by its URL, reached as the image is."""
    options = replace(image._handle.options, labels=False, values="stored")  # noqa: SLF001
    handle = SeriesHandle(only_series(located(segmentation, {})[0], options), options)
    return type(image)(handle, handle.store().plan.image_paths[0])


def _of_segmentation(image: MultiscaleImage, grid: Grid, *, resample: bool) -> Iterator[Layer]:
    """Of an image that is a segmentation by itself.

    Raises:
        UsageError: It is none, or does not lie on the grid.
    """
    known, plan = image.plan.attributes.segmentation, image.plan
    if known is None or known.kind == "FRACTIONAL":
        what = "is no segmentation" if known is None else "is fractional"
        raise UsageError(f"{image.url} {what}.", remedy="Read its levels.")
    own = grid_of(image)
    apart = own.frame_of_reference, grid.frame_of_reference
    if None not in apart and apart[0] != apart[1]:
        raise UsageError(
            f"{image.url} is in another frame of reference than the image.", remedy="Register the two before."
        )
    start = place_within(own.shape, own.affine, grid.shape, grid.affine)
    if start is None and not resample:
        raise UsageError(
            f"{image.url} lies on another grid than the image.",
            remedy="resample=True looks up the nearest of its voxels for each of the image's.",
        )
    level = image.levels[0]

    def read(index: Any) -> npt.NDArray[Any]:
        values = _full(level[index])
        if start is None:
            return looked_up(values, own.affine, grid.shape, grid.affine)
        whole = np.zeros(grid.shape, values.dtype)
        whole[tuple(slice(first, first + size) for first, size in zip(start, own.shape, strict=True))] = values
        return whole

    if known.is_label_map:
        yield from _of_numbers(image, image.series_url, read(...))
        return
    for place, number in enumerate(plan.numbers):
        index = place if "c" in level.axes else ...
        yield Layer(image.series_url, number, _name(known.numbered(number), number), partial(_is_set, read, index))


def _name(segment: Segment | None, number: int) -> str:
    return segment.label if segment is not None and segment.label else f"segment {number}"


def _set(level: Level) -> npt.NDArray[np.bool_]:
    return _is_set(lambda index: _full(level[index]), ...)


def _is_set(read: Callable[[Any], npt.NDArray[Any]], index: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = read(index) != 0
    return found


def _is(values: npt.NDArray[Any], number: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = values == number
    return found


def _of_numbers(image: MultiscaleImage, source: str, values: npt.NDArray[Any]) -> Iterator[Layer]:
    """The segments of an array of their numbers."""
    segmentation = image.plan.attributes.segmentation
    described = image.segments or (segmentation.segments if segmentation else ())
    described_by = {each.number: each for each in described}
    for number in dict.fromkeys([*described_by, *np.unique(values).tolist()]):
        if number:  # a background may be described too
            yield Layer(source, number, _name(described_by.get(number), number), partial(_is, values, number))


def _full(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(z, y, x) of what may be one slice."""
    return values.reshape(-1, *values.shape[-2:])

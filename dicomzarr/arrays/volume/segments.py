"""The segments of a study, or of one segmentation, on the grid of an image."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.level import MultiscaleImage
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.arrays.volume.label_map import Layer, alike, chosen, grid_of, merged, numbers_of
from dicomzarr.arrays.volume.nearest import looked_up, place_within
from dicomzarr.dicom.segmentation import segment_name
from dicomzarr.errors import MetadataError, UsageError
from dicomzarr.session.locate import located, only_series

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level
    from dicomzarr.arrays.volume.label_map import Grid, LabelMap, Overlap
    from dicomzarr.arrays.volume.nearest import Within


def label_map(
    image: MultiscaleImage,
    *,
    names: Iterable[str] | None,
    segmentation: str | os.PathLike[str] | MultiscaleImage | None,
    resample: bool,
    overlap: Overlap,
) -> LabelMap:
    """See `arrays.Image.label_map`."""
    grid = grid_of(image)
    notices: list[str] = []
    layers = list(_layers(image, segmentation, grid, notices, resample=resample))
    if not layers:
        raise UsageError(
            f"No segmentation in the study refers to {image.series_url}"
            + ("." if resample else " and lies on its grid."),
            remedy=" ".join(
                [
                    *["resample=True looks up voxels of those on other grids."][resample:],
                    "segmentation=URL takes one that refers to another series.",
                    *notices,
                ]
            ),
        )
    taken = chosen(layers, names)
    numbers = numbers_of(taken, names)
    notices += alike(taken, numbers)
    return replace(merged(taken, grid, overlap, numbers), notices=tuple(dict.fromkeys(notices)))


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
        yield from _of_segmentation(image, grid, notices, resample=False)
    else:
        given = segmentation if isinstance(segmentation, MultiscaleImage) else _opened(image, segmentation)
        for one in given.images:
            yield from _of_segmentation(one, grid, notices, resample=resample)


def _with_labels(image: MultiscaleImage) -> MultiscaleImage:
    handle = image._handle  # noqa: SLF001
    if handle.options.labels:
        return image
    return type(image)(SeriesHandle(handle.url, replace(handle.options, labels=True)), image.path)


def _of_study(image: MultiscaleImage, grid: Grid, notices: list[str], *, resample: bool) -> Iterator[Layer]:
    """Of the segmentations that refer to an image's series; a notice of each that cannot be had."""
    on_grid: set[tuple[str, int]] = set()
    for label in image.labels.values():
        for layer in _of_label(label, notices):
            on_grid.update((uid, layer.number) for uid in _instances(label))
            yield layer
    if not resample:
        notices += [each for each in image.notices if each.startswith("Segmentation series ")]
        return
    for uid in image.store.others:
        try:
            for own in _images_of(image, uid):
                layers = _of_segmentation(own, grid, notices, resample=True)
                yield from (
                    layer for layer in layers if not {(each, layer.number) for each in _instances(own)} & on_grid
                )
        except (UsageError, MetadataError) as error:  # of what nobody asked for by its name
            notices.append(f"Segmentation series {uid} was left out: {error}")


def _of_label(label: MultiscaleImage, notices: list[str]) -> Iterator[Layer]:
    source = label.plan.levels[0].series
    segment, *others = label.segments or (None,)
    if segment is not None and not others and label.plan.levels[0].view is not None:
        name = segment_name(segment, segment.number)
        yield Layer(source, segment.number, name, partial(_set, label.levels[0]), _instances(label)[0])
    else:
        yield from _of_numbers(label, source, _full(label.levels[0][...]), notices)


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


def _as_stored(image: MultiscaleImage) -> MultiscaleImage:
    """The image with its stored values, which are the numbers of segments, and no colours of theirs."""
    handle = image._handle  # noqa: SLF001
    if handle.options.values == "stored":
        return image
    return type(image)(SeriesHandle(handle.url, replace(handle.options, values="stored")), image.path)


def _of_segmentation(image: MultiscaleImage, grid: Grid, notices: list[str], *, resample: bool) -> Iterator[Layer]:
    """Of an image that is a segmentation by itself.

    Raises:
        UsageError: It is none, or does not lie on the grid.
    """
    image = _as_stored(image)
    known, plan = image.plan.attributes.segmentation, image.plan
    if known is None or known.kind == "FRACTIONAL":
        what = "is no segmentation" if known is None else "is fractional"
        raise UsageError(f"{image.url} {what}.", remedy="Read its levels.")
    if "t" in image.levels[0].axes:
        raise UsageError(f"{image.url} has several times, and a label map has one.", remedy="Read its levels.")
    apart = plan.frame_of_reference_uid, grid.frame_of_reference
    if None not in apart and apart[0] != apart[1]:
        raise UsageError(
            f"{image.url} is in another frame of reference than the image.", remedy="Register the two before."
        )
    within = _within(image, grid)
    own = grid_of(image) if within is None else grid
    if within is None and not resample:
        raise UsageError(
            f"{image.url} lies on another grid than the image.",
            remedy="resample=True looks up the nearest of its voxels for each of the image's.",
        )
    level, source = image.levels[0], image._handle.url.series or ""  # noqa: SLF001  # one room

    def read(index: Any) -> npt.NDArray[Any]:
        values = _full(level[index])
        if within is None:
            return looked_up(values, own.affine, grid.shape, grid.affine)
        whole = np.zeros(grid.shape, values.dtype)
        rows, columns = values.shape[1:]
        whole[list(within.slices), within.row : within.row + rows, within.column : within.column + columns] = values
        return whole

    if known.is_label_map:
        yield from _of_numbers(image, source, read(...), notices)
        return
    for place, number in enumerate(plan.numbers):
        if number is None:
            raise UsageError(
                f"Frames of {image.url} do not name the segment that they show.", remedy="Read its levels."
            )
        index = place if "c" in level.axes else ...
        name = segment_name(known.numbered(number), number)
        yield Layer(source, number, name, partial(_is_set, read, index), _instances(image)[0])


def _set(level: Level) -> npt.NDArray[np.bool_]:
    return _is_set(lambda index: _full(level[index]), ...)


def _within(image: MultiscaleImage, grid: Grid) -> Within | None:
    """Where the slices of a segmentation lie among those of the grid; None where they do not, or nothing says it.

    Of slices that are not evenly spaced, as where empty ones were left out, each has a distance.
    """
    known, axes = image.plan.attributes, image.levels[0].axes
    affine = image.plan.affine or known.plane_affine
    if affine is None or known.affine_reference != "patient":
        return None
    distances = known.coordinates["z"].values if image.plan.affine is None else []
    sizes = dict(zip(axes, image.levels[0].shape, strict=True))
    return place_within(
        (sizes.get("z", 1), sizes["y"], sizes["x"]),
        np.array(affine),
        grid.shape,
        grid.affine,
        planes=[distance - distances[0] for distance in distances] or None,
        apart=grid.series in known.source_series,
    )


def _is_set(read: Callable[[Any], npt.NDArray[Any]], index: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = read(index) != 0
    return found


def _is(values: npt.NDArray[Any], number: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = values == number
    return found


def _of_numbers(image: MultiscaleImage, source: str, values: npt.NDArray[Any], notices: list[str]) -> Iterator[Layer]:
    """The segments of an array of their numbers; 0 and PixelPaddingValue are no segment (PS3.3 section C.8.20.2)."""
    padding = int(image.plan.levels[0].fill_value)
    segmentation = image.plan.attributes.segmentation
    described = image.segments or (segmentation.segments if segmentation else ())
    described_by = {each.number: each for each in described}
    for number in dict.fromkeys([*described_by, *np.unique(values).tolist()]):
        name = segment_name(described_by.get(number), number)
        if number not in {0, padding}:
            yield Layer(source, number, name, partial(_is, values, number), _instances(image)[0])
        elif padding and number in described_by:  # that 0 is the background goes without saying
            notices.append(
                f"{number} ({name!r:.60}) is no segment: 0 and PixelPaddingValue, {padding}, are background."
            )


def _full(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(z, y, x) of what may be one slice."""
    return values.reshape(-1, *values.shape[-2:])

"""Other packages' view of a slide: what the arrays are compared with.

Nothing here knows how the synthetic slides are made, nor imports dicomzarr.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from wsidicom import WsiDicom  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

Array = NDArray[Any]


@dataclass(frozen=True)
class Assembled:
    """One level put together frame by frame."""

    pixels: Array
    """(c, z, y, x); zeros where no frame lies."""
    covered: NDArray[np.bool_]
    """In the shape of ``pixels``: a frame lies here."""


@dataclass(frozen=True)
class Place:
    """Where one frame lies; the pixel position counts from zero."""

    path: str
    z: float
    top: int
    left: int


@contextlib.contextmanager
def lenient_reading() -> Iterator[None]:
    """Accept values that break their VR's rules, as real files hold them."""
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        yield
    finally:
        pydicom.config.settings.reading_validation_mode = before


def read(path: Path) -> Dataset:
    """A DICOM file, however odd its values."""
    with lenient_reading():
        dataset = pydicom.dcmread(path)
        dataset.walk(lambda *_: None)  # values are validated when they are first looked at
        return dataset


def frames_by_pydicom(dataset: Dataset) -> list[Array]:
    """Every frame as (rows, columns, samples), YCbCr converted to RGB."""
    shape = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    count = int(dataset.NumberOfFrames)
    with warnings.catch_warnings():
        # pydicom follows the codestream, as it should, and says so
        warnings.filterwarnings("ignore", ".*codestream contains a JFIF.*", UserWarning)
        return [pixel_array(dataset, index=index).reshape(shape) for index in range(count)]


def frames_by_pillow(dataset: Dataset) -> list[Array]:
    """Every JPEG or JPEG 2000 frame as (rows, columns, samples): colours as the codestream says."""
    count = int(dataset.NumberOfFrames)
    streams = generate_frames(dataset.PixelData, number_of_frames=count)
    images = [np.asarray(Image.open(io.BytesIO(stream))) for stream in streams]
    return [image.reshape(*image.shape[:2], -1) for image in images]


def assemble_tiled_full(dataset: Dataset, frames: Sequence[Array] | None = None) -> Array:
    """The total pixel matrix, (rows, columns, samples), of one TILED_FULL path and plane."""
    frames = frames_by_pydicom(dataset) if frames is None else frames
    rows, columns = dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns
    across = -(-columns // dataset.Columns)
    strips = [np.concatenate(frames[first : first + across], axis=1) for first in range(0, len(frames), across)]
    matrix: Array = np.concatenate(strips, axis=0)[:rows, :columns]
    return matrix


def assemble(datasets: Iterable[Dataset]) -> Assembled:
    """One level out of all its instances: parts, optical paths, focal planes, holes.

    Optical paths are in the order of their identifiers, focal planes from the glass upwards.
    """
    placed = [
        (place, frame)
        for dataset in datasets
        for place, frame in zip(frame_places(dataset), frames_by_pydicom(dataset), strict=True)
    ]
    first = next(iter(datasets))
    paths = sorted({place.path for place, _ in placed})
    planes = sorted({place.z for place, _ in placed})
    samples = int(first.SamplesPerPixel)
    rows, columns = first.TotalPixelMatrixRows, first.TotalPixelMatrixColumns
    pixels = np.zeros((len(paths) * samples, len(planes), rows, columns), placed[0][1].dtype)
    covered = np.zeros(pixels.shape, np.bool_)
    for place, frame in placed:
        channel, plane = paths.index(place.path) * samples, planes.index(place.z)
        down = min(frame.shape[0], rows - place.top)
        across = min(frame.shape[1], columns - place.left)
        window = (
            slice(channel, channel + samples),
            plane,
            slice(place.top, place.top + down),
            slice(place.left, place.left + across),
        )
        pixels[window] = frame[:down, :across].transpose(2, 0, 1)
        covered[window] = True
    return Assembled(pixels, covered)


def frame_places(dataset: Dataset) -> list[Place]:
    """Where each frame of one instance lies (PS3.3 sections C.7.6.17.3 and C.8.12.6.1)."""
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return [_stated_place(dataset, groups) for groups in dataset.PerFrameFunctionalGroupsSequence]
    first = int(dataset.get("ConcatenationFrameOffsetNumber", 0))
    everywhere = list(_implied_places(dataset))
    return everywhere[first : first + int(dataset.NumberOfFrames)]


def level_by_highdicom(dataset: Dataset) -> Array:
    """The total pixel matrix, (rows, columns, samples), of one path and plane."""
    image = highdicom.Image.from_dataset(dataset)
    dtype = np.uint8 if dataset.BitsAllocated == 8 else np.uint16
    matrix: Array = image.get_total_pixel_matrix(dtype=dtype, apply_icc_profile=False)
    return matrix.reshape(*matrix.shape[:2], -1)


def level_by_wsidicom(paths: Sequence[Path], level: int = 0, path: str | None = None, z: float | None = None) -> Array:
    """The level with wsidicom's number ``level``, (rows, columns, samples).

    It opens few slides, and its colours follow the header: wrong where that says RGB over a
    YCbCr codestream.
    """
    with WsiDicom.open(paths) as slide:
        size = slide.pyramids[0].get(level).size
        shape = (size.width, size.height)
        pixels = slide.read_region((0, 0), level, shape, z=z, path=path, as_array=True)
        matrix: Array = pixels.reshape(*pixels.shape[:2], -1)
        return matrix


def _stated_place(dataset: Dataset, groups: Dataset) -> Place:
    position = groups.PlanePositionSlideSequence[0]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    path = "1"
    for source in (groups, shared):
        if "OpticalPathIdentificationSequence" in source:
            path = source.OpticalPathIdentificationSequence[0].OpticalPathIdentifier
            break
    return Place(
        path,
        float(position.ZOffsetInSlideCoordinateSystem),
        int(position.RowPositionInTotalImagePixelMatrix) - 1,
        int(position.ColumnPositionInTotalImagePixelMatrix) - 1,
    )


def _implied_places(dataset: Dataset) -> Iterator[Place]:
    paths = [item.OpticalPathIdentifier for item in dataset.get("OpticalPathSequence", [])] or ["1"]
    origin = dataset.get("TotalPixelMatrixOriginSequence", [pydicom.Dataset()])[0]
    lowest = float(origin.get("ZOffsetInSlideCoordinateSystem", 0))
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    step = float(measures.get("SpacingBetweenSlices", 0))
    for path in paths:
        for plane in range(int(dataset.get("TotalPixelMatrixFocalPlanes", 1))):
            for top in range(0, dataset.TotalPixelMatrixRows, dataset.Rows):
                for left in range(0, dataset.TotalPixelMatrixColumns, dataset.Columns):
                    yield Place(path, lowest + plane * step, top, left)

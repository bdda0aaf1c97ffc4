"""The class that OpenSlide's users know: levels, properties, regions as RGBA pictures."""

from __future__ import annotations

import operator
import warnings
from dataclasses import replace
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dicomzarr.arrays.image import Image, open_image
from dicomzarr.arrays.resolutions import corner, downsamples
from dicomzarr.dicom.files.file_meta import ENOUGH, is_dicom
from dicomzarr.errors import FileError, LeftOutWarning, MetadataError, UsageError
from dicomzarr.faces.openslide.associated import AssociatedImages
from dicomzarr.faces.openslide.pictures import pillow, profile_of, rgba, with_profile
from dicomzarr.faces.openslide.properties import slide_properties, whole_downsample
from dicomzarr.plan.coverage import edge_to_edge
from dicomzarr.runtime.tracebacks import keeps_secrets
from dicomzarr.sources.files.urls import FolderURL, is_folder_url, path_of, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from PIL import Image as Picture
    from PIL import ImageCms

try:
    from openslide import AbstractSlide, OpenSlideUnsupportedFormatError
except (ImportError, OSError):  # the package is not there, or the library that it calls
    AbstractSlide, OpenSlideUnsupportedFormatError = object, Exception


class NoSlideError(UsageError, OpenSlideUnsupportedFormatError):
    """What was opened is no slide as OpenSlide has them."""


class OpenSlide(AbstractSlide):
    """A slide that code written for `openslide.OpenSlide` reads: an `openslide.AbstractSlide`, where that is installed.

    Positions are (x, y) in pixels of level 0, sizes (width, height). It travels in a pickle, by URL, to processes that
    are forked or spawned. Frames are fetched when they are read, and kept by dicomzarr's own cache. Of several optical
    paths the first is shown, of several focal planes the middle one, and a `LeftOutWarning` says so.

    Args:
        filename: A URL or path, as `dicomzarr.open` takes it, or an image that is open. With a file, those of its
            series in the same folder are read too.
        **storage_options: As for `dicomzarr.open`.

    Raises:
        UsageError: What is there is no slide, as a list of tiles, a cine or an overview alone, or is not in colour of
            8 bits: an `openslide.OpenSlideUnsupportedFormatError` too, where that is installed. Or Pillow is not.
        DicomZarrError: It cannot be opened, as for `dicomzarr.open`.
    """

    @keeps_secrets
    def __init__(self, filename: str | os.PathLike[str] | Image, **storage_options: Any) -> None:
        self._image = _slide(filename, storage_options)
        if left_out := _left_out(self._image):
            warnings.warn(left_out, LeftOutWarning, stacklevel=3)

    @property
    def url(self) -> str:
        """The URL of the slide, without credentials."""
        return self._image.url

    @classmethod
    def detect_format(cls, filename: str | os.PathLike[str]) -> str | None:
        """``"dicom"`` for what opens as a slide, None for anything else.

        Raises:
            ServerError: The server that should say so failed.
        """
        try:
            _slide(filename, {})
        except (UsageError, FileError, MetadataError):
            return None
        return "dicom"

    def close(self) -> None:
        """Do nothing: connections are shared, and close by themselves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        return False

    @property
    def level_count(self) -> int:
        """How many levels there are."""
        return len(self.level_dimensions)

    @cached_property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level, finest first."""
        return tuple((level.shape[-1], level.shape[-2]) for level in self._image.levels)

    @property
    def dimensions(self) -> tuple[int, int]:
        """(width, height) of level 0."""
        return self.level_dimensions[0]

    @cached_property
    def level_downsamples(self) -> tuple[float, ...]:
        """Pixels of level 0 in one of each level, by the spacing that DICOM gives."""
        return tuple(whole_downsample(level) for level in self._image.levels)

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """What OpenSlide says of a slide, without what may identify a patient."""
        return slide_properties(self._image, self.level_downsamples)

    @cached_property
    def associated_images(self) -> Mapping[str, Picture.Image]:
        """``macro``, ``thumbnail`` and, with the option ``associated_label=True``, ``label``, read when asked for."""
        return AssociatedImages(self._image)

    @property
    def color_profile(self) -> ImageCms.ImageCmsProfile | None:
        """The ICC profile of the slide; None if it has none."""
        from PIL import ImageCms  # noqa: PLC0415  # littleCMS is for those who ask

        return None if self._icc is None else ImageCms.getOpenProfile(BytesIO(self._icc))

    @cached_property
    def _icc(self) -> bytes | None:
        return profile_of(self._image)

    def get_best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is no coarser than that; 0 if all are."""
        return max((number for number, own in enumerate(self.level_downsamples) if own <= downsample), default=0)

    def read_region(self, location: Sequence[int], level: int, size: Sequence[int]) -> Picture.Image:
        """A region as a picture in R, G, B and alpha; what lies beyond the slide is transparent, as OpenSlide has it.

        Args:
            location: (x, y) of the upper left corner, in pixels of level 0; it is put on the nearest of the level's.
            level: Number of the level.
            size: (width, height) in pixels of the level.

        Raises:
            UsageError: There is no such level, or the size is below zero.
            DicomZarrError: A frame cannot be had.
        """
        if not 0 <= (number := operator.index(level)) < self.level_count:
            raise UsageError(f"Level {level} was asked for; the slide has {self.level_count}, counted from 0.")
        width, height = (operator.index(length) for length in size)
        if width < 0 or height < 0:
            raise UsageError(f"A region of {width} x {height} pixels was asked for.")
        return with_profile(self._pixels(location, number, (width, height)), self._icc)

    def _pixels(self, location: Sequence[int], number: int, size: tuple[int, int]) -> Any:
        plan = self._image.plan
        at, scale = corner(plan, plan.levels[number]), downsamples(plan, plan.levels[number])
        starts = [
            int(np.floor((float(place) - own) / step + 0.5))
            for place, own, step in zip(location, at, scale, strict=True)
        ]
        return rgba(self._image, number, starts, size)

    def get_thumbnail(self, size: tuple[int, int]) -> Picture.Image:
        """The slide in R, G, B, at most (width, height) large: the area of level 0, of a level that shows all of it.

        Args:
            size: (width, height).
        """
        shrink = max(own / wanted for own, wanted in zip(self.dimensions, size, strict=True))
        best = self.get_best_level_for_downsample(shrink)
        number, (rows, columns) = [each for each in edge_to_edge(self._image.plan) if each[0] <= best][-1]
        area = (columns.stop - columns.start, rows.stop - rows.start)
        region = pillow().fromarray(rgba(self._image, number, (columns.start, rows.start), area))
        picture: Picture.Image = pillow().new(
            "RGB", region.size, "#" + self.properties.get("openslide.background-color", "ffffff")
        )
        picture.paste(region, None, region)
        picture.thumbnail(size, pillow().Resampling.LANCZOS)
        if self._icc is not None:
            picture.info["icc_profile"] = self._icc
        return picture

    def set_cache(self, cache: object) -> None:
        """Do nothing: frames are kept as the option ``cache_bytes`` says."""

    def __repr__(self) -> str:
        return f"OpenSlide({self.url!r})"


def _slide(filename: str | os.PathLike[str] | Image, storage_options: Mapping[str, Any]) -> Image:
    """What is shown; see `OpenSlide`."""
    pillow()
    opened = filename if isinstance(filename, Image) else _with_siblings(filename, storage_options)
    image = opened.in_color
    if why := _why_no_slide(image):
        raise NoSlideError(
            f"OpenSlide knows slides in colour of 8 bits, and the image {image.name!r} is none: {why}.",
            remedy="Read it with dicomzarr.open.",
        )
    return image


def _left_out(image: Image) -> str:
    """What of a slide is not shown, as a sentence; empty if all is."""
    counts = dict(zip(image.levels[0].axes, image.levels[0].shape, strict=True))
    paths, planes = counts["c"] // len("RGB"), counts.get("z", 1)
    several = [
        *([f"the first of {paths} optical paths"] if paths > 1 else []),
        *([f"focal plane {planes // 2} of {planes}, counted from 0"] if planes > 1 else []),
    ]
    return f"OpenSlide's interface shows of {image.name!r} {' and '.join(several)}." if several else ""


def _why_no_slide(image: Image) -> str:
    """The end of a sentence; empty for a slide."""
    known, level = image.plan.attributes, image.levels[0]
    if known.flavor is not None:
        return f"it is the {known.flavor} beside a slide, and no level of one"
    if known.affine_reference != "slide":
        return f"nothing says that its frames are the tiles of one matrix, and its axes are {', '.join(level.axes)}"
    if not image.plan.color or level.dtype != np.uint8:
        return f"it is {level.dtype} with the axes {', '.join(level.axes)}"
    return ""


def _with_siblings(filename: str | os.PathLike[str], storage_options: Mapping[str, Any]) -> Image:
    """A slide with the files of its series that lie beside the one that is named, as OpenSlide reads them."""
    image = open_image(filename, **storage_options)
    if not is_folder_url(image.series_url):
        return image
    url = FolderURL.parse(image.series_url)
    if place_of(url.base) != str(path_of(url.base)) or not _is_file(path_of(url.base)):
        return image
    folder = FolderURL.of(path_of(url.base).parent)
    return open_image(str(replace(url, base=folder.base)), **storage_options)


def _is_file(path: Path) -> bool:
    """Whether it is one file of DICOM, and neither a folder nor an archive."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return is_dicom(file.read(ENOUGH))


@keeps_secrets
def open_slide(filename: str | os.PathLike[str] | Image, **storage_options: Any) -> OpenSlide:
    """Open a slide as OpenSlide would: what is put in the place of `openslide.open_slide`.

    Args:
        filename: A URL or path, as `dicomzarr.open` takes it, or an image that is open.
        **storage_options: As for `dicomzarr.open`.

    Raises:
        UsageError: What is there is no slide, as for `OpenSlide`; or Pillow is not installed.
        DicomZarrError: It cannot be opened, as for `dicomzarr.open`.
    """
    return OpenSlide(filename, **storage_options)

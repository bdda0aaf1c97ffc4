"""One resolution of a slide: tiled images that complement one another in paths, planes or tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dicomzarr.errors import MissingInstanceError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.dicom.slide.positions import OpticalPath
    from dicomzarr.dicom.slide.tiled import TiledImage
    from dicomzarr.dicom.slide.tiling import TileGrid

_MICROMETRE_STEP = 0.1
"""Focal planes are micrometres apart: a larger number is an offset in micrometres, not millimetres."""
_LARGEST_SPREAD = 1.0
"""Likewise: where a scanner focuses differs by less than a millimetre over a slide."""


@dataclass(frozen=True, slots=True, eq=False)
class SlideLevel:
    """One resolution of a slide."""

    images: tuple[TiledImage, ...]
    order: tuple[OpticalPath, ...] = ()
    """Its optical paths in the order of the finest level of the pyramid; empty for the level's own."""
    guessed: bool = False
    """Of several scans alike, InstanceNumber alone tells to which it belongs."""

    @property
    def header(self) -> Instance:
        """The header that speaks for the level."""
        return self.images[0].header

    @property
    def grid(self) -> TileGrid:
        """The tile grid, the same for all images of the level."""
        return self.images[0].tiling.grid

    @property
    def paths(self) -> tuple[OpticalPath, ...]:
        """Optical paths: in the order of the sequence, of several instances by identifier."""
        if self.order:
            return self.order
        found = tuple(dict.fromkeys(path for image in self.images for path in image.paths))
        if len(self.images) == 1:
            return found
        sequences = (image.header.optical_paths for image in self.images)
        named = set(found)
        declared = next((each for each in sequences if len(each) >= len(named) and named.issubset(each)), None)
        if declared is None:
            return tuple(sorted(found, key=_by_identifier))
        return tuple(path for path in declared if path in named)

    @property
    def pixels(self) -> list[PixelDescription]:
        """The pixels of each optical path."""
        first: dict[OpticalPath, PixelDescription] = {}
        for image in self.images:
            for path in image.paths:
                first.setdefault(path, image.header.pixel)
        return [first.get(path, self.header.pixel) for path in self.paths]

    @property
    def planes(self) -> tuple[float, ...]:
        """Distinct z offsets as the headers give them; of several instances ascending."""
        if len(self.images) == 1:
            return self.images[0].planes
        distinct = tuple(sorted({plane for image in self.images for plane in image.planes}))
        return distinct[:1] if self._in_focus_each else distinct

    @property
    def _in_focus_each(self) -> bool:
        """Whether each optical path has a plane of its own: offsets are then heights of focus, and no axis."""
        focus: dict[OpticalPath, float] = {}
        for image in self.images:
            if image.paths and len(set(image.planes)) > 1:
                return False
            own = (focus.setdefault(path, plane) == plane for plane in image.planes[:1] for path in image.paths)
            if not all(own):
                return False
        return True

    @property
    def heights(self) -> tuple[float, ...]:
        """Heights in millimetres that are no axis: where the scanner focused, tile by tile or path by path."""
        planes = {height for image in self.images for height in (image.heights or image.planes)}
        followed = any(image.heights for image in self.images)
        if not (followed or len(self.planes) == 1 < len(planes)):
            return ()
        unit = 1000 if max(planes) - min(planes) > _LARGEST_SPREAD else 1  # older headers give micrometres
        return tuple(height / unit for height in sorted(planes))

    @property
    def spacing(self) -> tuple[float, float] | None:
        """(row spacing, column spacing) in millimetres, None where DICOM gives none."""
        return self.images[0].size.spacing

    @property
    def plane_offsets(self) -> tuple[float, ...]:
        """Z offset of each focal plane in millimetres; older headers give micrometres."""
        stepped = any(image.stepped for image in self.images)
        if stepped or abs(_mean_step(self.planes)) <= _MICROMETRE_STEP:
            return self.planes
        return tuple(plane / 1000 for plane in self.planes)

    @property
    def plane_step(self) -> float | None:
        """Mean step from plane to plane in millimetres, negative downwards; None for one plane or an unknown step."""
        if not all(image.spaced for image in self.images):
            return None
        return _mean_step(self.plane_offsets) or None

    def sources(self) -> SlideTiles:
        """An index of the tiles over all images of the level."""
        merged = len(self.planes) == 1
        return SlideTiles(
            tuple(
                _Source(image, _places(self.paths, image.paths), (0,) if merged else _places(self.planes, image.planes))
                for image in self.images
            )
        )


class _Source(NamedTuple):
    """An image, and the numbers that the level's optical paths and focal planes have in it; None for those it lacks."""

    image: TiledImage
    paths: tuple[int | None, ...]
    planes: tuple[int | None, ...]


def _places(wanted: Sequence[Hashable], there: Sequence[Hashable]) -> tuple[int | None, ...]:
    numbers = {each: number for number, each in reversed(list(enumerate(there)))}
    return tuple(map(numbers.get, wanted))


@dataclass(frozen=True, slots=True, eq=False)
class SlideTiles:
    """Which frame shows the tile at (path, plane, row, column) of a level."""

    _sources: tuple[_Source, ...]

    def state(self) -> Iterator[bytes]:
        """What tells it from other indices: see `cell_state`."""
        for image, paths, planes in self._sources:
            yield repr((paths, planes)).encode()
            yield from image.tiling.state()
            yield from image.frames.state()

    def locate(self, path: int, plane: int, row: int, column: int) -> FrameRef | None:
        """The frame of a tile; None where the metadata says that there is none.

        Raises:
            MissingInstanceError: The tile is in an instance that the series lacks.
        """
        lost: MissingInstanceError | None = None
        for image, paths, planes in self._sources:
            own_path, own_plane = paths[path], planes[plane]
            if own_path is None or own_plane is None:
                continue
            try:
                frame = image.locate(own_path, own_plane, row, column)
            except MissingInstanceError as error:  # unless another image has the tile
                lost = error
                continue
            if frame is not None:
                return frame
        if lost is not None:
            raise lost
        return None


def _mean_step(planes: tuple[float, ...]) -> float:
    return (planes[-1] - planes[0]) / max(1, len(planes) - 1)


def _by_identifier(path: OpticalPath) -> tuple[object, ...]:
    """Numbers before names, and numbers by value, however long; of one name in the order of instances."""
    name = path.identifier
    number = name.lstrip("0") if name.isdecimal() else ""
    return (not name.isdecimal(), len(number), number, name)

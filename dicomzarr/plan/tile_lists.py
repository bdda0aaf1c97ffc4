"""Tiles that fit no grid to plans: a list of tiles, each with its position where that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.slide.positions import OpticalPath
from dicomzarr.dicom.slide.spacing import pixel_size
from dicomzarr.dicom.slide.tiling import UNPLACED
from dicomzarr.plan.attributes import FrameCoordinate
from dicomzarr.plan.plan import Axis, ImagePlan, LevelPlan
from dicomzarr.plan.slide_facts import (
    absent_tile,
    channels,
    level_attributes,
    micrometres,
    path_label,
    slide_attributes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.notices import Notices
    from dicomzarr.dicom.slide.concatenation import FrameSequence
    from dicomzarr.dicom.slide.tiled import LooseTiles
    from dicomzarr.dicom.slide.tiling import FramePositions

LIST_OF_TILES: Final = "list of tiles"


@dataclass(frozen=True, slots=True, eq=False)
class ListedTiles:
    """The frames of a list, in their order; of a list of one there is no t."""

    frames: FrameSequence
    has_t: bool

    def locate(self, chunk: tuple[int, ...]) -> FrameRef | None:
        """The frame of the chunk at ([t,] [c,] y, x)."""
        return self.frames.ref(chunk[0] + 1 if self.has_t else 1)

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameIndex.state`."""
        return self.frames.state()


def is_tile_list(image: ImagePlan) -> bool:
    """Whether an image is a list of tiles."""
    return image.attributes.kind == LIST_OF_TILES


def plan_tile_list(loose: LooseTiles, name: str, remarks: Notices) -> ImagePlan:
    """Plan tiles that fit no grid.

    Args:
        loose: The tiles.
        name: Which image of the series it is, as ``slide 2 of 3``.
        remarks: Takes what is said of it.
    """
    header, pixel = loose.header, loose.header.pixel
    for sentence in _sentences(loose):
        remarks.add(header.sop_instance_uid, sentence)
    unit, steps = _steps(header)
    count, has_c = loose.frames.end, pixel.samples > 1
    has_t = count > 1
    lead = [*([Axis("t", "time")] if has_t else []), *([Axis("c", "channel")] if has_c else [])]
    absent, fill_value = absent_tile(header)
    level = LevelPlan(
        shape=(*([count] if has_t else []), *([pixel.samples] if has_c else []), pixel.rows, pixel.columns),
        chunks=(*([1] if has_t else []), *([pixel.samples] if has_c else []), pixel.rows, pixel.columns),
        dtype=pixel.dtype,
        scale=(*(1.0 for _ in lead), *steps),
        translation=(0.0,) * (len(lead) + 2),
        absent=absent,
        fill_value=fill_value,
        frames=ListedTiles(loose.frames, has_t),
        attributes=level_attributes(header, loose.frames.parts, loose.paths if len(loose.paths) == 1 else ()),
    )
    return ImagePlan(
        name=f"{name}: {LIST_OF_TILES}",
        axes=(*lead, Axis("y", "space", unit), Axis("x", "space", unit)),
        levels=(level,),
        channels=channels([pixel], loose.paths if len(loose.paths) == 1 else (OpticalPath("", LIST_OF_TILES),)),
        affine=None,
        color=has_c,
        attributes=replace(slide_attributes(loose.frames.parts), kind=LIST_OF_TILES, coordinates=_coordinates(loose)),
        frame_of_reference_uid=header.frame_of_reference_uid,
    )


def _sentences(loose: LooseTiles) -> Iterator[str]:
    yield f"its frames are a list of tiles, none of which is placed on a matrix: {loose.why}"
    if not loose.frames.complete:
        yield "other parts of its concatenation are not in its list of tiles."


def _steps(header: Instance) -> tuple[str | None, tuple[float, float]]:
    """(unit, (y, x) steps): by PixelSpacing alone, for the imaged volume is that of a matrix."""
    spacing = pixel_size(header).spacing
    if spacing is None or spacing != header.pixel_spacing:
        return None, (1.0, 1.0)
    down, across = spacing
    return "micrometer", (micrometres(down), micrometres(across))


def _coordinates(loose: LooseTiles) -> dict[str, FrameCoordinate]:
    """Where each tile lies and what it shows, as far as that is known."""
    positions = loose.positions
    if positions is None or len(positions) != loose.frames.end:
        return {}
    told: dict[str, FrameCoordinate] = {}
    places = _places(positions)
    if any(places):
        told["position"] = FrameCoordinate("t", places)
    shown = np.unique(positions.paths)
    if len(shown) > 1:
        name = "optical_path" if loose.header.segmentation is None else "segment"
        told[name] = FrameCoordinate("t", _shown_paths(loose, positions))
    return told


def _places(positions: FramePositions) -> list[tuple[int, int, float] | None]:
    """(column, row, height) of each tile; None where it is not known."""
    heights = np.nan_to_num(positions.z_offsets, nan=0.0)
    places = zip(positions.columns.tolist(), positions.rows.tolist(), heights.tolist(), strict=True)
    return [None if UNPLACED in place[:2] else place for place in places]


def _shown_paths(loose: LooseTiles, positions: FramePositions) -> list[str | int | None]:
    """What each tile shows: the name of its optical path, or the number of its segment."""
    if loose.header.segmentation is None:
        names = [path_label(path, place) for place, path in enumerate(loose.paths)]
        return [None if path < 0 else names[path] for path in positions.paths.tolist()]
    numbers = [int(path.identifier) if path.identifier.isdecimal() else None for path in loose.paths]
    return [None if path < 0 else numbers[path] for path in positions.paths.tolist()]

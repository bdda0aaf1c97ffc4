"""What tells the cells of one array from those of another, as bytes: equal where frames, order and layout are. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.pixels.pixels import PixelDescription


def state_of_frames(frames: Iterable[FrameRef | None]) -> Iterator[bytes]:
    """Which frames these are in their order, and how their pixels are stored; None stands for one that is absent."""
    places: dict[Instance, int] = {}
    found = [
        (-1, 0) if frame is None else (places.setdefault(frame.instance, len(places)), frame.number) for frame in frames
    ]
    yield np.array(found, np.int64).tobytes()
    yield from state_of_instances(places)


def state_of_instances(instances: Iterable[Instance]) -> Iterator[bytes]:
    """Which instances these are in their order, and how their pixels are stored."""
    layouts: dict[PixelDescription, int] = {}
    found = [(each.sop_instance_uid, layouts.setdefault(each.pixel, len(layouts))) for each in instances]
    yield repr(found).encode()
    # Whether pixels were once compressed changes none that are stored.
    yield repr([replace(pixel, lossy=False) for pixel in layouts]).encode()

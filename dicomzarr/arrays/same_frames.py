"""An image as other options show it: found by its frames, since other values can make other images of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.errors import MissingInstanceError, SeriesChangedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.arrays.level import MultiscaleImage
    from dicomzarr.options import StorageOptions
    from dicomzarr.plan import ImagePlan

Shown = TypeVar("Shown", bound="MultiscaleImage")


def shown_with(image: Shown, options: StorageOptions) -> Shown:
    """The image of the same frames, in the same order, of the series as it opens with other options.

    Nothing is opened where the values stay: what else is asked for makes no other images.

    Args:
        image: Any image of a series.
        options: How the series is opened.

    Raises:
        UsageError: There is none: with these values its frames are others' too, or several images'.
        SeriesChangedError: The series is another one now.
        DicomZarrError: It cannot be opened.
    """
    handle = SeriesHandle(image._handle.url, options)  # noqa: SLF001  # of one room
    if options.values == image.view.values:
        return type(image)(handle, image.path)
    ours, plan = _state(image.plan), handle.store().plan
    for path, each in plan.by_path.items():
        if _state(each) == ours:
            return type(image)(handle, path)
    if set(_frames(image.plan)) <= {frame for each in plan.by_path.values() for frame in _frames(each)}:
        raise UsageError(
            f'With values="{options.values}" no image of the series has just the frames of this one.',
            remedy="Open the series with these values, and look at its images.",
        )
    raise SeriesChangedError(f"{image.series_url} is not what it was when it was opened.", remedy="Open it again.")


def _state(plan: ImagePlan) -> list[bytes]:
    return list(plan.levels[0].frames.state())


def _frames(plan: ImagePlan) -> Iterator[tuple[str, int]]:
    """(SOP Instance UID, frame number) of each chunk that is there."""
    level = plan.levels[0]
    for chunk in np.ndindex(level.grid):
        try:
            frame = level.frames.locate(chunk)
        except MissingInstanceError:
            continue
        if frame is not None:
            yield frame.instance.sop_instance_uid, frame.number

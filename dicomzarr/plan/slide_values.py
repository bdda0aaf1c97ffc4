"""What the values of slides measure, where they are no colours: ``values="modality"``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.dicom.lut.modality import modality_dtype
from dicomzarr.plan.attributes import RescaleFactors
from dicomzarr.plan.views import stored_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.plan.plan import ImagePlan, LevelPlan, SeriesPlan


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Makes what values measure out of stored ones."""

    dtype: np.dtype[np.generic]
    instances: tuple[Instance, ...]

    def __call__(self, frame: FrameRef, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Both of shape (1, rows, columns)."""
        return frame.instance.rescale.apply(pixels, self.dtype)

    def state(self) -> Iterator[bytes]:
        """See `plan.FrameView.state`."""
        yield repr(sorted((each.sop_instance_uid, repr(each.rescale)) for each in self.instances)).encode()


def with_modality_values(plan: SeriesPlan, instances: Iterable[Instance]) -> SeriesPlan:
    """The same plan, its grey images in what their values measure.

    Args:
        plan: Of a slide.
        instances: Those of the slide.
    """
    known = {instance.sop_instance_uid: instance for instance in instances}
    return replace(plan, images=tuple(_measured(image, known) for image in plan.images))


def _measured(image: ImagePlan, known: Mapping[str, Instance]) -> ImagePlan:
    shown = tuple(known[uid] for level in image.levels for uid in level.attributes.sop_instance_uids)
    if image.color or image.holds_numbers or all(each.rescale.is_identity for each in shown):
        return image
    pairs = {(each.pixel, each.rescale) for each in shown}
    dtype = np.result_type(*(modality_dtype(pixel, [rescale]) for pixel, rescale in pairs)).newbyteorder("<")
    ends = [rescale.slope * end + rescale.intercept for pixel, rescale in pairs for end in stored_range(pixel)]
    absent = _absent(dtype) if image.attributes.segmentation is None else 0.0
    return replace(
        image,
        levels=tuple(_measured_level(level, Measured(dtype, shown), absent) for level in image.levels),
        channels=tuple(replace(channel, window=(min(ends), max(ends))) for channel in image.channels),
        attributes=replace(image.attributes, rescale=RescaleFactors()),
    )


def _absent(dtype: np.dtype[Any]) -> float:
    """What no pixel plausibly is, as of volumes: see `views.View.absent`."""
    if dtype.kind == "f":
        return float("nan")
    return float(np.iinfo(dtype).min)


def _measured_level(level: LevelPlan, view: Measured, absent: float) -> LevelPlan:
    return replace(level, dtype=view.dtype, absent=(absent,), fill_value=absent, view=view)

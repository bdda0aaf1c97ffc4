"""The neutral multiscale plan; slides and radiology meet here and only here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.errors import UnsupportedSeriesError
from dicomzarr.multiscale.plan import (
    ASSOCIATED,
    Affine,
    Axis,
    Channel,
    FrameIndex,
    ImagePlan,
    LevelPlan,
    SeriesPlan,
)
from dicomzarr.multiscale.slides import plan_slide

if TYPE_CHECKING:
    from dicomzarr.dicom.series import Series

__all__ = [
    "ASSOCIATED",
    "Affine",
    "Axis",
    "Channel",
    "FrameIndex",
    "ImagePlan",
    "LevelPlan",
    "SeriesPlan",
    "plan_images",
]


def plan_images(series: Series, *, associated_label: bool = False) -> SeriesPlan:
    """Plan the multiscale images of a series.

    Args:
        series: The typed instances.
        associated_label: Offer a slide's label image, which may show who the patient is.

    Raises:
        UnsupportedSeriesError: The series is of a kind that cannot be opened.
        TilingError: Tiles fit no chunk grid.
    """
    if not series.is_slide:
        raise UnsupportedSeriesError(
            f"Series {series.series_uid} ({series.modality or 'no modality'}) is no whole-slide "
            f"image, the kind of series that can be opened.",
            remedy="Its SOP class is not VL Whole Slide Microscopy and it has no Total Pixel Matrix.",
        )
    return plan_slide(series, associated_label=associated_label)

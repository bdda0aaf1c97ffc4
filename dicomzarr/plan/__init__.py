"""The neutral multiscale plan; slides and radiology meet here and only here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dicomzarr.plan.attributes import Affine
from dicomzarr.plan.placing import to_ras
from dicomzarr.plan.plan import (
    ASSOCIATED,
    LABELS,
    Axis,
    Channel,
    FrameIndex,
    ImagePlan,
    LevelPlan,
    SeriesPlan,
    label_path,
)
from dicomzarr.plan.slides import plan_slide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.dicom.series import Series

__all__ = [
    "ASSOCIATED",
    "LABELS",
    "Affine",
    "Axis",
    "Channel",
    "FrameIndex",
    "ImagePlan",
    "LevelPlan",
    "SeriesPlan",
    "label_path",
    "plan_images",
    "to_ras",
    "wanted_bulk",
]


def plan_images(
    series: Series,
    *,
    associated_label: bool = False,
    values: str = "stored",
    bulk: Mapping[str, bytes] | None = None,
) -> SeriesPlan:
    """Plan the multiscale images of a series.

    Args:
        series: The typed instances.
        associated_label: Offer a slide's label image, which may show who the patient is.
        values: What the arrays hold: ``stored``, ``modality``, ``color`` or ``suv``.
        bulk: Values that the metadata only name, by their URI; see `wanted_bulk`.

    Raises:
        UnsupportedSeriesError: The series is of a kind that cannot be opened.
    """
    if series.is_slide:
        plan = plan_slide(series, associated_label=associated_label)
    else:
        from dicomzarr.plan.volumes import plan_volumes  # noqa: PLC0415  # slides do without, and start sooner

        plan = plan_volumes(series, values=values, bulk=bulk)
    return replace(plan, notices=(*plan.notices, *series.remarks.sentences()))


def wanted_bulk(series: Series, values: str) -> dict[str, str]:
    """The URIs of what `plan_images` needs and the metadata only name, with the SOP Instance UID of each."""
    if not series.items:
        return {}
    from dicomzarr.dicom.volume.tables import bulk_uris  # noqa: PLC0415  # as above

    return {
        uri: instance.sop_instance_uid
        for instance, item in series.items.items()
        for uri in bulk_uris(instance, item, values)
    }

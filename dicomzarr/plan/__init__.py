"""The neutral multiscale plan; slides and radiology meet here and only here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dicomzarr.errors import UnsupportedSeriesError
from dicomzarr.options.limits import LIMITS
from dicomzarr.plan.attributes import Affine
from dicomzarr.plan.managed_colors import with_managed_colors
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
from dicomzarr.plan.readable import joined, parted, with_readable, with_undecodable
from dicomzarr.plan.slide_palettes import note_palettes, with_palettes
from dicomzarr.plan.slide_values import with_modality_values
from dicomzarr.plan.slides import plan_slide
from dicomzarr.plan.virtual_levels import with_virtual_levels

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


def plan_images(  # noqa: PLR0913  # what of a series can be chosen
    series: Series,
    *,
    associated_label: bool = False,
    values: str = "stored",
    icc: str | None = None,
    virtual_levels: bool = False,
    bulk: Mapping[str, bytes] | None = None,
    most_images: int = LIMITS.images,
) -> SeriesPlan:
    """Plan the multiscale images of a series.

    Args:
        series: The typed instances.
        associated_label: Offer a slide's label image, which may show who the patient is.
        values: What the arrays hold: ``stored``, ``modality``, ``color`` or ``suv``.
        icc: ``srgb`` for colours of slides that are turned into it.
        virtual_levels: Show the levels that a slide lacks.
        bulk: Values that the metadata only name, by their URI; see `wanted_bulk`.
        most_images: How many images frames may become that are no tiles.

    Raises:
        UnsupportedSeriesError: The series is of a kind that cannot be opened.
        UnsupportedTransferSyntaxError: The metadata name one that cannot be decoded for all that would be shown.
        MetadataError: It becomes more images than that.
    """
    series = with_readable(series)
    tiles, others = parted(series)
    plans = []
    if tiles is not None and values == "suv":
        raise UnsupportedSeriesError(
            f"SUV is computed of PET, and series {series.series_uid} holds tiles of slides.",
            remedy="Open it without values.",
        )
    if tiles is not None:
        plan = plan_slide(tiles, associated_label=associated_label, alone=others is None)
        if values == "color":
            plan = with_palettes(plan, tiles, bulk or {})
        if values == "modality":
            plan = with_modality_values(plan, tiles.instances)
        note_palettes(plan, tiles)
        if virtual_levels:
            plan = with_virtual_levels(plan)
        plans.append(with_managed_colors(plan, bulk or {}) if icc else plan)
    if others is not None:
        from dicomzarr.plan.volumes import plan_volumes  # noqa: PLC0415  # slides do without, and start sooner

        plans.append(plan_volumes(others, values=values, bulk=bulk, most_images=most_images))
    plan = with_undecodable(joined(plans), series.instances)
    return replace(plan, notices=(*plan.notices, *series.remarks.sentences()))


def wanted_bulk(series: Series, values: str, icc: str | None = None) -> dict[str, str]:
    """The URIs of what `plan_images` needs and the metadata only name, with the SOP Instance UID of each."""
    wanted: dict[str, str] = {}
    if icc and series.is_slide:
        profiles = (profile for each in series.instances for profile in each.icc_profiles)
        wanted = {profile.uri: profile.instance for profile in profiles if profile is not None and profile.uri}
    if not series.items:
        return wanted
    from dicomzarr.dicom.volume.tables import bulk_uris  # noqa: PLC0415  # as above

    return wanted | {
        uri: instance.sop_instance_uid
        for instance, item in series.items.items()
        for uri in bulk_uris(instance, item, values)
    }

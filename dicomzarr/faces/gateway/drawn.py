"""What the page draws of a series: palettes in colour, and what Modality LUTs make of stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.errors import MetadataError

if TYPE_CHECKING:
    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.faces.gateway.upstreams import Upstream
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.plan import SeriesPlan


async def drawn(upstream: Upstream, ref: SeriesRef, store: SeriesStore) -> tuple[str | None, SeriesStore]:
    """The values that the page draws, and the store of them; None and the store itself where it draws these.

    A table that is broken leaves stored values, which the page says.

    Args:
        upstream: Where the series lies.
        ref: Which.
        store: As the gateway shows it.

    Raises:
        DicomZarrError: A table that the metadata only name cannot be had.
    """
    values = _values(store.plan) if upstream.views[3].values == "stored" else None
    if values is None:
        return None, store
    try:
        found = await upstream.store(ref, zarr_format=3, values=values)
    except MetadataError:
        return None, store
    return (values, found) if _has_images_of(found.plan, store.plan) else (None, store)


def _has_images_of(plan: SeriesPlan, other: SeriesPlan) -> bool:
    """Whether two plans have the same images: rescaled values can make others of the same frames."""
    pairs = zip(plan.images, other.images, strict=False)
    return plan.image_paths == other.image_paths and all(
        list(one.levels[0].frames.state()) == list(two.levels[0].frames.state()) for one, two in pairs
    )


def _values(plan: SeriesPlan) -> str | None:
    found = {image.drawn_as for image in (*plan.images, *(image for _, image in plan.associated))}
    return next((values for values in ("color", "modality") if values in found), None)

"""Objects without pixels, as structure sets, reports and selections: their Datasets, by the URL of their series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.arrays.metadata import InstanceMetadata
from dicomzarr.errors import UnsupportedSeriesError
from dicomzarr.options import StorageOptions
from dicomzarr.session.locate import located, only_series, series_ref
from dicomzarr.session.opening import endpoint_for

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Any

    from pydicom import Dataset

    from dicomzarr.session.kinds import SeriesURL


def datasets_at(
    place: str | os.PathLike[str], options: StorageOptions | Mapping[str, Any], modality: str, kind: str
) -> tuple[SeriesURL, list[Dataset]]:
    """The series that a place names, and its instances that are of a modality.

    Args:
        place: What `dicomzarr.open` takes.
        options: How it is reached: as an image is, or as somebody gives them with the place.
        modality: Modality (0008,0060) of the objects.
        kind: What people call one.

    Raises:
        InvalidURLError: The place names no series.
        UnsupportedSeriesError: There is nothing of the kind in the series.
        ServerError: The metadata could not be had.
        MetadataError: They cannot be read.
    """
    given = {} if isinstance(options, StorageOptions) else options
    url, parsed = located(place, given)
    options = options if isinstance(options, StorageOptions) else parsed
    url = only_series(url, options)
    ref = series_ref(url)
    every = InstanceMetadata(endpoint_for(url.base, options), ref, None, include_phi=True)
    found = [dataset for dataset in every.values() if str(dataset.get("Modality", "")) == modality]
    if not found:
        raise UnsupportedSeriesError(
            f"Series {ref.series} of study {ref.study} holds no {kind} ({modality}).",
            remedy=f"dicomzarr.search finds those of a study, with modality={modality!r}.",
        )
    return url, found

"""Segmentations of a study that refer to one of its series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import MetadataError, UnsupportedSeriesError
from dicomzarr.session.opened import Segmentations
from dicomzarr.session.registry import SeriesKey
from dicomzarr.sources.dicomweb.metadata.search import listed_uids

if TYPE_CHECKING:
    from dicomzarr.dicom.series import Series
    from dicomzarr.session.registry import Endpoint


async def segmentations_of(endpoint: Endpoint, key: SeriesKey, series: Series) -> Segmentations:
    """The segmentations that refer to a series, by their metadata; broken ones, and those that may be of it, are said.

    Args:
        endpoint: Where the series is.
        key: Of the series.
        series: Its metadata.

    Raises:
        ServerError: The server did not answer a search, or not give the metadata.
    """
    from dicomzarr.plan.labels import may_be_of, refers_to  # noqa: PLC0415  # only for those who ask for labels

    study = key.ref.study
    results = await endpoint.source.search(f"studies/{study}/series", {"Modality": "SEG"})
    wanted = [result for result in results if "SEG" in _values(result, "00080060", default="SEG")]
    listed = set(listed_uids(wanted, "0020000E", f"the series of study {study}")) - {key.ref.series}
    found, notices = [], []
    for uid in sorted(listed):
        try:
            opened = await endpoint.series(SeriesKey(SeriesRef(study, uid), key.disk))
            refers = refers_to(opened.parsed.series, series)
        except UnsupportedSeriesError:
            continue  # a server may have ignored that only segmentations were wanted
        except MetadataError as error:
            notices.append(f"Segmentation series {uid} is no label: {error}")
            continue
        if refers:
            found.append(opened)
        elif may_be_of(opened.parsed.series, series):
            notices.append(
                f"Segmentation series {uid} is no label: it has no ReferencedSeriesSequence, and may be of any series "
                "in its frame of reference. It opens by its own URL, and label_map(segmentation=URL) takes it."
            )
    return Segmentations(found, notices)


def _values(result: dict[str, Any], tag: str, default: str) -> list[object]:
    attribute = result.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else [default]

"""``dicomzarr.measurements`` and ``dicomzarr.key_objects``: what reports and selections say, as rows."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from dicomzarr.arrays.objects import datasets_at
from dicomzarr.dicom.reports import Measurement, Source, key_objects_of, measurements_of
from dicomzarr.dicom.uids import is_uid
from dicomzarr.faces.tables import Rows
from dicomzarr.runtime.tracebacks import keeps_secrets

if TYPE_CHECKING:
    import os

    from dicomzarr.session.kinds import SeriesURL


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One measurement or evaluation of a report; None for what it does not tell."""

    group: int
    """Of the measurements that belong together, counted from 1."""
    tracking_identifier: str | None
    """What the group is called: a text that somebody wrote."""
    tracking_uid: str | None
    finding: str | None
    finding_site: str | None
    """Several are apart by semicolons, as of all that a report says more than once."""
    laterality: str | None
    """The side of the site, as ``Right``; of several sites a place for each, empty for one without a side."""
    name: str
    """What was measured or evaluated."""
    value: float | None
    unit: str | None
    """In UCUM."""
    text: str | None
    """Of an evaluation in words; or Numeric Value Qualifier (0040,A301): why there is no value, or what it is worth."""
    method: str | None
    derivation: str | None
    """As ``Mean``."""
    qualifiers: tuple[tuple[str, str], ...]
    """What else is said of it or of its site in codes and words: (name, words), as ``("Normality", "Normal")``."""
    region: str | None
    """GraphicType (0070,0023), as ``POLYLINE``."""
    points: tuple[tuple[float, ...], ...]
    """Of the region: columns and rows; in three dimensions, LPS millimetres."""
    pixel_origin_interpretation: str | None
    """(0048,0301): ``FRAME`` where points count from the corner of the frame, ``VOLUME`` of the total pixel matrix."""
    regions: int
    """How many regions were measured together; of several, ``region`` and ``points`` have the first."""
    sop_instance_uid: str | None
    """Of the image or segmentation that was measured."""
    frames: tuple[int, ...]
    """Frame numbers, 1-based; empty for all."""
    segment: int | None
    url: str | None
    """The URL of the series that was measured."""
    report: str = field(default="")
    """SOP Instance UID of the report."""


@dataclass(frozen=True, slots=True)
class KeyObjectRow:
    """One object that was selected; None for what is not told."""

    title: str | None
    """Why, as ``Of Interest``."""
    title_modifier: str | None
    """Document Title Modifier, as the reason of a rejection; several are apart by semicolons."""
    description: str | None
    """A text that somebody wrote."""
    kind: str
    """``IMAGE``, ``COMPOSITE`` or ``WAVEFORM``."""
    sop_class_uid: str | None
    sop_instance_uid: str | None
    frames: tuple[int, ...]
    """Frame numbers, 1-based; empty for all."""
    url: str | None
    """The URL of the series that it is in."""
    document: str = field(default="")
    """SOP Instance UID of the selection."""


@keeps_secrets
def measurements(place: str | os.PathLike[str], **storage_options: Any) -> Rows[MeasurementRow]:
    """The measurement groups of structured reports (TID 1500) as rows, one for each measurement.

    Args:
        place: The URL of the series of reports, or a file.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Returns:
        The rows, in the order of the reports. Names of groups and evaluations are shown although they are free text.

    Raises:
        InvalidURLError: The place names no series.
        UnsupportedSeriesError: There is no report in the series.
        DicomZarrError: The metadata could not be had, or not be read.
    """
    url, found = datasets_at(place, storage_options, "SR", "structured report")
    return Rows(
        MeasurementRow,
        (_measurement_row(each, str(one.SOPInstanceUID), url) for one in found for each in measurements_of(one)),
    )


@keeps_secrets
def key_objects(place: str | os.PathLike[str], **storage_options: Any) -> Rows[KeyObjectRow]:
    """The objects of key object selections as rows.

    Args:
        place: The URL of the series of selections, or a file.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Raises:
        InvalidURLError: The place names no series.
        UnsupportedSeriesError: There is no selection in the series.
        DicomZarrError: The metadata could not be had, or not be read.
    """
    url, found = datasets_at(place, storage_options, "KO", "key object selection")
    return Rows(
        KeyObjectRow,
        (
            KeyObjectRow(
                title=each.title,
                title_modifier=each.title_modifier,
                description=each.description,
                kind=each.kind,
                sop_class_uid=each.sop_class_uid,
                sop_instance_uid=each.source.sop_instance_uid,
                frames=each.source.frames,
                url=_series_url(each.source, url),
                document=str(one.SOPInstanceUID),
            )
            for one in found
            for each in key_objects_of(one)
        ),
    )


def _measurement_row(found: Measurement, report: str, url: SeriesURL) -> MeasurementRow:
    told = {each.name: getattr(found, each.name) for each in fields(found) if each.name != "source"}
    source = found.source
    return MeasurementRow(
        **told,
        sop_instance_uid=source.sop_instance_uid,
        frames=source.frames,
        segment=source.segment,
        url=_series_url(source, url),
        report=report,
    )


def _series_url(source: Source, url: SeriesURL) -> str | None:
    study, series = source.study_instance_uid, source.series_instance_uid
    if not (study and series and is_uid(study) and is_uid(series)):
        return None
    return str(replace(url, study=study, series=series))

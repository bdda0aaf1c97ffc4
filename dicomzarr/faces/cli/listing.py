"""Searches for studies and series (PS3.18 section 10.6), and what of their results is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dicomzarr.dicom.matching import matches
from dicomzarr.dicom.model.plain_json import values_of
from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import DicomZarrError, StudyNotFoundError, UsageError
from dicomzarr.faces.filters import as_wanted, tag_named
from dicomzarr.faces.results import Column, texts_of, value_of
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.absence import explain
from dicomzarr.session.kinds import kind_of
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.files.source import FilesSource

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from dicomzarr.engine.ports import SeriesSource
    from dicomzarr.faces.cli.connection import Target
    from dicomzarr.faces.results import Value

LIMIT = 50
"""Results that are shown unless another number is asked for."""

_STUDY = "0020000D"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is searched for."""

    name: str
    modality: str
    """The keyword that ``--modality`` matches."""
    uid: Column
    columns: tuple[Column, ...]


STUDIES = Kind(
    "studies",
    "ModalitiesInStudy",
    Column("Study", "study_instance_uid", "0020000D"),
    (
        Column("Modalities", "modalities", "00080061", "texts"),
        Column("Series", "series", "00201206", "number"),
        Column("Instances", "instances", "00201208", "number"),
        Column("Patient", "patient_name", "00100010", identifying=True),
        Column("Patient ID", "patient_id", "00100020", identifying=True),
        Column("Date", "study_date", "00080020", identifying=True),
        Column("Description", "study_description", "00081030", identifying=True, asked=True),
    ),
)
SERIES = Kind(
    "series",
    "Modality",
    Column("Series", "series_instance_uid", "0020000E"),
    (
        Column("Modality", "modality", "00080060"),
        Column("Number", "series_number", "00200011", "number"),
        Column("Instances", "instances", "00201209", "number"),
        Column("Description", "series_description", "0008103E", identifying=True, asked=True),
    ),
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of results."""

    kind: Kind
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Value], ...]
    """Values by JSON name, and ``url``."""
    offset: int
    limit: int
    more: bool
    """There are results behind these."""
    ignored: tuple[str, ...]
    """Filters that some result does not satisfy: the server ignored them."""
    remarks: tuple[str, ...]
    """Where nothing is found: what there is instead."""


def find(target: Target, arguments: Namespace) -> Listing:
    """Search for studies, or for the series of the study that the URL names; of a folder for all series.

    Raises:
        UsageError: A filter cannot be meant.
        StudyNotFoundError: There is no such study.
        ServerError: The server did not answer as it should.
    """
    above = target.url.study is None
    kind = STUDIES if above and kind_of(target.url).chosen is None else SERIES
    filters = _filters(arguments, kind, above=above)
    columns = tuple(column for column in (kind.uid, *kind.columns) if arguments.phi or not column.identifying)
    included = ",".join(column.tag for column in columns if column.asked)
    offset, limit = arguments.offset or 0, arguments.limit or LIMIT
    resource = kind.name if above else f"studies/{target.url.study}/series"
    source = endpoint_for(target.url.base, StorageOptions.parse(**target.options)).source

    async def search() -> list[dict[str, Any]]:
        # One more than is shown tells whether there are more.
        parameters = {**filters, **({"includefield": included} if included else {})}
        return await source.search(resource, parameters, wanted=limit + 1, skip=offset)

    try:
        found = run_sync(search)
        if not found and not above and not filters and not offset:
            raise StudyNotFoundError(f"The server has no series of study {target.url.study}.", remedy="Check the UID.")
    except DicomZarrError as error:
        explain(error, source, target.url)
        raise
    shown = found[:limit]
    rows = tuple(_row(entry, columns, target, kind) for entry in shown)
    ignored = _ignored(filters, shown)
    return Listing(kind, columns, rows, offset, limit, len(found) > limit, ignored, () if shown else _remarks(source))


def _remarks(source: SeriesSource) -> tuple[str, ...]:
    return source.notices if isinstance(source, FilesSource) else ()


def _filters(arguments: Namespace, kind: Kind, *, above: bool) -> dict[str, str]:
    """What to match, by keyword or tag."""
    if not above and (arguments.patient_id or arguments.study_date):
        raise UsageError(
            "--patient-id and --study-date choose among studies, and the URL names one.",
            remedy="Leave them out, or end the URL before /studies.",
        )
    named = {kind.modality: arguments.modality, "PatientID": arguments.patient_id, "StudyDate": arguments.study_date}
    filters = {keyword: value for keyword, value in named.items() if value}
    for text in arguments.match:
        keyword, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError("A --match has no value.", remedy="Write --match Attribute=value.")
        if tag_named(keyword) in map(tag_named, filters):
            raise UsageError(f"{keyword} is matched twice.", remedy="Keep one of the two.")
        filters[keyword] = value
    return {keyword: as_wanted(tag_named(keyword), value) for keyword, value in filters.items()}


def _row(entry: Mapping[str, Any], columns: tuple[Column, ...], target: Target, kind: Kind) -> dict[str, Value]:
    row = {column.key: value_of(entry, column) for column in columns}
    uid = row[kind.uid.key]
    study = target.url.study or next(iter(texts_of(entry, _STUDY)), "")
    row["url"] = _url_of(uid, study, target, kind) if isinstance(uid, str) and is_uid(uid) else None
    return row


def _url_of(uid: str, study: str, target: Target, kind: Kind) -> str:
    return str(replace(target.url, study=uid) if kind is STUDIES else replace(target.url, study=study, series=uid))


def _ignored(filters: Mapping[str, str], entries: list[dict[str, Any]]) -> tuple[str, ...]:
    """Filters that a result contradicts which has a value of the attribute."""
    tags = {keyword: tag_named(keyword) for keyword in filters}
    return tuple(
        keyword
        for keyword, tag in tags.items()
        if any(
            values_of(entry, tag) and not matches(entry, [tag], filters[keyword], any_case=True) for entry in entries
        )
    )

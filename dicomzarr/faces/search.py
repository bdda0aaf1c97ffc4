"""``dicomzarr.search``: series on a server, in a folder or in a bucket, as rows that open."""

from __future__ import annotations

import asyncio
import datetime as dt
import difflib
import inspect
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.matching import matches
from dicomzarr.dicom.model.plain_json import first_text, tag_of
from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import (
    DicomZarrError,
    HTTPStatusError,
    InvalidOptionError,
    InvalidURLError,
    NotFoundError,
    ServerFailureError,
    StudyNotFoundError,
    UsageError,
)
from dicomzarr.faces.filters import as_wanted, tag_named
from dicomzarr.faces.results import Column, value_of
from dicomzarr.faces.tables import SHOWN, Rows
from dicomzarr.options import StorageOptions
from dicomzarr.options.parsing import parse_options, plain
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.tracebacks import keeps_secrets
from dicomzarr.session.kinds import kind_of, parse_url
from dicomzarr.session.locate import located
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.files.search import OF_STUDY

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from dicomzarr.arrays.image import Image
    from dicomzarr.engine.ports import SeriesSource
    from dicomzarr.session.kinds import SeriesURL

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_AT_ONCE: Final = 8
"""Studies that are asked for their series at the same time."""

_NOT_AT_ONCE: Final = frozenset({400, 405, 501})
"""Statuses by which servers say that they list the series of one study alone; and 404, and 5xx."""

_COLUMNS: Final = (
    Column("Modality", "modality", "00080060"),
    Column("Number", "series_number", "00200011", "number"),
    Column("Instances", "instances", "00201209", "number"),
    Column("Body part", "body_part", "00180015", asked=True),
    Column("Patient ID", "patient_id", "00100020", identifying=True, asked=True),
    Column("Patient", "patient_name", "00100010", identifying=True, asked=True),
    Column("Date", "study_date", "00080020", identifying=True, asked=True),
    Column("Study", "study_description", "00081030", identifying=True, asked=True),
    Column("Description", "series_description", "0008103E", identifying=True, asked=True),
)


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series that was found; None for what is not known, and, without ``include_phi``, for what identifies."""

    url: str
    """What `dicomzarr.open`, zarr and xarray take."""
    study_instance_uid: str
    series_instance_uid: str
    modality: str | None = None
    series_number: int | None = None
    instances: int | None = None
    """How many there are."""
    body_part: str | None = None
    """BodyPartExamined (0018,0015)."""
    patient_id: str | None = None
    patient_name: str | None = None
    study_date: str | None = None
    study_description: str | None = None
    series_description: str | None = None
    options: StorageOptions | None = field(default=None, repr=False, compare=False)
    """Those of the search, with which it opens."""

    @keeps_secrets
    def open(self, **storage_options: Any) -> Image:
        """Open the series with the options of the search, and these.

        Args:
            **storage_options: See `dicomzarr.options.StorageOptions`.

        Raises:
            DicomZarrError: See `dicomzarr.open`.
        """
        from dicomzarr.arrays.image import first_image  # noqa: PLC0415  # who only searches needs no arrays

        options = self.options or StorageOptions.parse()
        return first_image(parse_url(self.url), replace(options, **parse_options(storage_options)))


class FoundSeries(Rows[SeriesRow]):
    """The series that were found: a sequence of rows.

    Args:
        kind: `SeriesRow`.
        rows: The series.
        more: There are others that the limit left out.
        notices: What is odd about how the server searched.
    """

    _LEFT_OUT = frozenset({"options"})

    def __init__(
        self, kind: type[SeriesRow], rows: Iterable[SeriesRow], *, more: bool = False, notices: tuple[str, ...] = ()
    ) -> None:
        super().__init__(kind, rows)
        self.more = more
        self.notices = notices

    def __repr__(self) -> str:
        lines = [f"<{len(self)} series{', and there are more' if self.more else ''}>"]
        for row in self._rows[:SHOWN]:
            counted = "" if row.instances is None else f", {row.instances} instance{'s' * (row.instances != 1)}"
            lines.append(f"  {row.modality or 'unknown modality'}{counted}: {row.url}")
        return "\n".join([*lines, *(["  ..."] if len(self) > SHOWN else [])])


@keeps_secrets
def search(  # noqa: PLR0913  # as many as people search by
    place: str | os.PathLike[str],
    *,
    modality: str | None = None,
    patient_id: str | None = None,
    patient_name: str | None = None,
    study_date: str | dt.date | None = None,
    body_part: str | None = None,
    series_description: str | None = None,
    match: Mapping[str, str | float | dt.date] | None = None,
    limit: int | None = 1000,
    **storage_options: Any,
) -> FoundSeries:
    """Find series on a DICOMweb server, in a folder, in an archive or in a bucket.

    What is asked for may have ``*`` and ``?``; dates may be ranges, as ``"20240101-20240131"``. A server that ignores a
    filter is noticed, and what does not match is left out.

    Args:
        place: What `dicomzarr.open` takes, up to a study: ``dicomwebs://HOST/BASE``, ``.../studies/<Study>``, a folder.
        modality: Modality (0008,0060).
        patient_id: PatientID (0010,0020).
        patient_name: PatientName (0010,0010).
        study_date: StudyDate (0008,0020).
        body_part: BodyPartExamined (0018,0015).
        series_description: SeriesDescription (0008,103E).
        match: Other attributes to match, by keyword or tag.
        limit: The most series that are given; None for all there are.
        **storage_options: See `dicomzarr.options.StorageOptions`. With ``include_phi=True`` rows tell the patient.

    Returns:
        The series that hold something, with their URLs.

    Raises:
        UsageError: What is asked for cannot be meant.
        StudyNotFoundError: There is no such study.
        FileError: There is no such folder.
        ServerError: The server did not answer as it should.
    """
    _check_names(storage_options)
    url, options = located(place, storage_options)
    if url.series is not None:
        raise InvalidURLError(f"{url} names a series already.", remedy="Open it, or end the URL before /series.")
    if match is not None and not isinstance(match, Mapping):
        raise UsageError(
            f"match is a {type(match).__name__}.",
            remedy='Write each attribute with its value: match={"Modality": "CT"}.',
        )
    named = {
        "Modality": modality,
        "PatientID": patient_id,
        "PatientName": patient_name,
        "StudyDate": study_date,
        "BodyPartExamined": body_part,
        "SeriesDescription": series_description,
    }
    limit = None if limit is None else _checked_limit(limit)
    filters: dict[str, str] = {}
    for name, value in (*named.items(), *(match or {}).items()):
        if value is None or value == "":
            continue
        tag = tag_named(name)
        if tag in filters:
            raise UsageError(f"{name} is searched for twice.", remedy="Keep one of the two.")
        filters[tag] = _wanted(tag, value)
    search = _Search(url, options, filters, None if limit is None else limit + 1)
    try:
        found = run_sync(search.run)
    except DicomZarrError as error:
        from dicomzarr.session.absence import explain  # noqa: PLC0415  # something went wrong

        explain(error, endpoint_for(url.base, options).source, url)
        raise
    if url.study is not None and not found and not filters:
        raise StudyNotFoundError(f"There are no series of study {url.study}.", remedy="Check the UID.")
    usable = [(study, entry) for study, entry in found if is_uid(study) and is_uid(first_text(entry, _SERIES))]
    if len(usable) < len(found):
        search.notices[f"{len(found) - len(usable)} results without a UID that can be asked for were left out."] = None
    rows = [_row(entry, study, url, options) for study, entry in usable]
    more = limit is not None and len(found) > limit
    return FoundSeries(SeriesRow, rows[:limit], more=more, notices=tuple(search.notices))


@dataclass(slots=True)
class _Search:
    """One search: of all series at once, or study by study where filters are about studies."""

    url: SeriesURL
    options: StorageOptions
    filters: Mapping[str, str]
    """By tag."""
    enough: int | None
    notices: dict[str, None] = field(default_factory=dict)

    async def run(self) -> list[tuple[str, dict[str, Any]]]:
        """(Study Instance UID, result) of each series."""
        source, study = endpoint_for(self.url.base, self.options).source, self.url.study
        of_study = {tag: value for tag, value in self.filters.items() if tag in OF_STUDY}
        in_files = kind_of(self.url).chosen is not None
        if in_files or not of_study:
            try:
                found = await self._found(
                    source, "series" if study is None else f"studies/{study}/series", self.filters
                )
            except HTTPStatusError as error:
                can_be = isinstance(error, NotFoundError | ServerFailureError) or error.status in _NOT_AT_ONCE
                if study is not None or in_files or not can_be:
                    raise
            else:
                return [(study or first_text(entry, _STUDY), entry) for entry in found]
        if study is not None:
            of_study[_STUDY] = study
        elif _MODALITY in self.filters:
            of_study[_MODALITIES] = self.filters[_MODALITY]
        studies = await self._found(source, "studies", of_study, enough=None)
        return await self._of_studies(source, [(first_text(study, _STUDY), study) for study in studies])

    async def _of_studies(
        self, source: SeriesSource, studies: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[tuple[str, dict[str, Any]]]:
        of_series = {tag: value for tag, value in self.filters.items() if tag not in OF_STUDY}
        rows: list[tuple[str, dict[str, Any]]] = []
        for first in range(0, len(studies), _AT_ONCE):
            some = [(uid, study) for uid, study in studies[first : first + _AT_ONCE] if is_uid(uid)]
            each = [self._found(source, f"studies/{uid}/series", of_series) for uid, _ in some]
            for (uid, study), entries in zip(some, await asyncio.gather(*each), strict=True):
                rows += [(uid, {**study, **entry}) for entry in entries if self._suits(entry, OF_STUDY)]
            if self.enough is not None and len(rows) >= self.enough:
                break
        return rows

    async def _found(
        self, source: SeriesSource, resource: str, filters: Mapping[str, str], *, enough: int | None = -1
    ) -> list[dict[str, Any]]:
        """The results that match, as many as are enough; a server may have ignored what was asked for."""
        enough = self.enough if enough == -1 else enough
        included = ",".join(column.tag for column in _COLUMNS if column.asked)
        parameters = {**filters, **({} if resource == "studies" else {"includefield": included})}
        kept: list[dict[str, Any]] = []
        skip = 0
        while True:
            wanted = None if enough is None else enough - len(kept)
            found = await source.search(resource, parameters, wanted=wanted, skip=skip)
            kept += [entry for entry in found if self._suits(entry, filters)]
            skip += len(found)
            if wanted is None or len(found) < wanted or len(kept) >= (enough or 0):
                return kept

    def _suits(self, entry: Mapping[str, Any], tags: Iterable[str]) -> bool:
        """Whether a result does not contradict what was asked for."""
        suits = True
        for tag in tags:
            if tag in self.filters and entry.get(tag) and not matches(entry, [tag], self.filters[tag], any_case=True):
                self.notices[f"The server ignored the filter {tag}: what does not match was left out."] = None
                suits = False
        return suits


_MODALITY: Final = "00080060"
_MODALITIES: Final = "00080061"


def _check_names(options: Iterable[str]) -> None:
    """Whoever misspells a filter hears which there are: what is no filter counts as a storage option."""
    filters = [name for name, parameter in inspect.signature(search).parameters.items() if parameter.default is None]
    for name in options:
        near = difflib.get_close_matches(name, filters, n=1)
        if name not in {each.name for each in fields(StorageOptions)} and (near or tag_of(name)):
            raise InvalidOptionError(
                f"There is no filter or storage option {name!r:.40}.",
                remedy=f"Write match={{{name!r}: ...}}." if tag_of(name) else f"Did you mean {near[0]!r}?",
            )


def _checked_limit(limit: Any) -> int:
    """A number of series, which may be NumPy's."""
    try:
        number = 0 if isinstance(limit, bool) else operator.index(limit)
    except TypeError:
        number = 0
    if number < 1:
        raise UsageError(f"The limit is {limit!r:.20}.", remedy="Give a number of series from 1 on, or None.")
    return number


def _wanted(tag: str, value: object) -> str:
    value = plain(value)
    if isinstance(value, dt.date):
        return value.strftime("%Y%m%d")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UsageError(
            f"Nothing can be searched for by a value of type {type(value).__name__}.",
            remedy="Give a text, and search once for each of several.",
        )
    return as_wanted(tag, value)


def _row(entry: Mapping[str, Any], study: str, url: SeriesURL, options: StorageOptions) -> SeriesRow:
    series = first_text(entry, _SERIES)
    shown = (column for column in _COLUMNS if options.include_phi or not column.identifying)
    told: dict[str, Any] = {column.key: value_of(entry, column) for column in shown}
    return SeriesRow(str(replace(url, study=study, series=series)), study, series, options=options, **told)

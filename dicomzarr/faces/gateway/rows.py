"""``/api/``: studies and series as flat rows, searched for with few words. Pure but for what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import UsageError
from dicomzarr.faces.filters import as_dates
from dicomzarr.faces.results import Column, Value, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

LIMIT: Final = 25
_MOST: Final = 200
_LARGEST_OFFSET: Final = 10_000_000
_LONGEST_WORD: Final = 64
_SEVERAL: Final = "modality"
"""The filter that may be given several times."""

_MOST_WORDS: Final = 12
_PLAIN: Final = frozenset({"limit", "offset", "page", "phi", "token"})

WITHOUT_PIXELS: Final = frozenset(
    (
        *("SR", "KO", "PR", "RTSTRUCT", "RTPLAN", "RTRECORD", "DOC", "REG", "AU", "ANN", "PLAN", "FID", "M3D", "STAIN"),
        *("ECG", "HD", "RTINTENT", "RWV", "SMR", "TEXTUREMAP"),
    )
)
"""Modalities of series that hold no pixels (PS3.3 section C.7.3.1.1.1)."""


class Table(NamedTuple):
    """What rows have, and what they are searched by."""

    uid: Column
    columns: tuple[Column, ...]
    filters: Mapping[str, str]
    """Keywords of DICOM by words of the query."""
    text: str
    """The keyword that free text is looked for in."""


STUDIES: Final = Table(
    Column("Study", "study", "0020000D"),
    (
        Column("Modalities", "modalities", "00080061", "texts"),
        Column("Series", "series", "00201206", "number"),
        Column("Instances", "instances", "00201208", "number"),
        Column("Date", "date", "00080020"),
        Column("Time", "time", "00080030"),
        Column("Description", "description", "00081030", asked=True),
        Column("Patient", "patient_name", "00100010", identifying=True),
        Column("Patient ID", "patient_id", "00100020", identifying=True),
        Column("Accession", "accession_number", "00080050", identifying=True),
    ),
    {
        "study": "StudyInstanceUID",
        "modality": "ModalitiesInStudy",
        "date": "StudyDate",
        "patient_id": "PatientID",
        "patient_name": "PatientName",
        "accession_number": "AccessionNumber",
    },
    "StudyDescription",
)
SERIES: Final = Table(
    Column("Series", "series", "0020000E"),
    (
        Column("Modality", "modality", "00080060"),
        Column("Number", "number", "00200011", "number"),
        Column("Instances", "instances", "00201209", "number"),
        Column("Description", "description", "0008103E", asked=True),
        Column("Body part", "body_part", "00180015", asked=True),
    ),
    {"series": "SeriesInstanceUID", "modality": "Modality", "body_part": "BodyPartExamined"},
    "SeriesDescription",
)


class Asked(NamedTuple):
    """A search, read from the query of a request."""

    searches: list[dict[str, str]]
    """Parameters of each; several where any of several values will do, which QIDO-RS has no one search for."""
    limit: int
    offset: int
    columns: tuple[Column, ...]


def read_query(table: Table, query: MultiMapping[str]) -> Asked:
    """What a query asks for.

    Raises:
        UsageError: It cannot be meant.
    """
    known = {*table.filters, "text", *_PLAIN}
    unknown = [name for name in query if name not in known]
    if unknown:
        raise UsageError(f"There is no filter {unknown[0]!r:.40}.", remedy=f"Known are {', '.join(sorted(known))}.")
    columns = tuple(column for column in table.columns if query.get("phi") == "1" or not column.identifying)
    parameters = {keyword: _word(name, query[name]) for name, keyword in table.filters.items() if query.get(name)}
    if query.get("text"):
        parameters[table.text] = f"*{_word('text', query['text']).strip('*')}*"
    included = ",".join(column.tag for column in columns if column.asked)
    limit = _whole(query, "limit", LIMIT, _MOST)
    offset = _whole(query, "offset", 0, _LARGEST_OFFSET)
    wanted = list(dict.fromkeys(_word(_SEVERAL, word) for word in query.getall(_SEVERAL, []) if word))
    if len(wanted) > _MOST_WORDS:
        raise UsageError(f"At most {_MOST_WORDS} modalities can be searched for at once.")
    either = [{table.filters[_SEVERAL]: word} for word in wanted] or [{}]
    return Asked([{**parameters, **one, "includefield": included} for one in either], limit, offset, columns)


def row_of(table: Table, entry: Mapping[str, Any], columns: tuple[Column, ...]) -> dict[str, Value] | None:
    """A result as a row; None where its UID cannot be asked for."""
    uid = value_of(entry, table.uid)
    if not isinstance(uid, str) or not is_uid(uid):
        return None
    values = {column.key: value_of(entry, column) for column in columns}
    return {table.uid.key: uid, **{name: value for name, value in values.items() if value not in (None, "", [])}}


def _word(name: str, text: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST_WORD:
        raise UsageError(f"The filter {name} is no word of at most {_LONGEST_WORD} characters.")
    return as_dates(text) if name == "date" else text


def _whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= most):  # noqa: PLR2004
        raise UsageError(f"{name} must be a whole number up to {most}.")
    return int(text)

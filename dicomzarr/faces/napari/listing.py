"""What a server or folder holds, as the browser lists it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.plain_json import first_text, tag_of
from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import UsageError
from dicomzarr.faces.results import texts_of
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.opening import endpoint_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.session.kinds import SeriesURL

MOST: Final = 200
"""Studies or series that are listed."""

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_MODALITY: Final = "00080060"
_MODALITIES: Final = "00080061"
_SERIES_OF_STUDY: Final = "00201206"
_INSTANCES: Final = "00201209"
_PATIENT: Final = ("00100010", "00100020", "00080020", "00081030")
"""PatientName, PatientID, StudyDate, StudyDescription."""
_SERIES_DESCRIPTION: Final = "0008103E"
_DATE: Final = re.compile(r"\d{8}(-(\d{8})?)?|-\d{8}", re.ASCII)
_MODALITY_CODE: Final = re.compile(r"[A-Z]{2,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """A study or series."""

    url: SeriesURL
    text: str


def studies(url: SeriesURL, options: Mapping[str, Any], search: str = "", *, patients: bool = False) -> list[Row]:
    """Studies that match, the first `MOST` of them.

    Args:
        url: Of the server or folder.
        options: Storage options.
        search: As of `matching`.
        patients: Say whose they are: name, ID, date and description.

    Raises:
        UsageError: The search cannot be meant.
        DicomZarrError: They cannot be listed.
    """
    named = {} if url.study is None else {"StudyInstanceUID": url.study}
    parameters = {**matching(search), **named, "includefield": ",".join([_MODALITIES, _SERIES_OF_STUDY, _PATIENT[-1]])}
    found = _search(url, options, "studies", parameters)
    rows = []
    for result in found:
        uid = first_text(result, _STUDY)
        if is_uid(uid):
            rows.append(Row(replace(url, study=uid, series=None), _study_text(result, uid, patients=patients)))
    return rows


def series(url: SeriesURL, options: Mapping[str, Any], *, patients: bool = False) -> list[Row]:
    """The series of a study.

    Args:
        url: Of the study.
        options: Storage options.
        patients: Show the description, which somebody typed.

    Raises:
        DicomZarrError: They cannot be listed.
    """
    found = _search(
        url, options, f"studies/{url.study}/series", {"includefield": f"{_INSTANCES},{_SERIES_DESCRIPTION}"}
    )
    rows = []
    for result in found:
        uid = first_text(result, _SERIES)
        if is_uid(uid):
            count = first_text(result, _INSTANCES)
            words = [first_text(result, _MODALITY), count and f"{count} instances"]
            words += [first_text(result, _SERIES_DESCRIPTION)] if patients else []
            rows.append(Row(replace(url, series=uid), "\n".join(word for word in words if word) or uid))
    return rows


def matching(search: str) -> dict[str, str]:
    """What to search for, of what somebody typed: words that are all to match.

    Args:
        search: ``CT`` (a modality), ``20250131`` or ``20250101-20250131`` (dates), a UID, ``BodyPartExamined=CHEST``
            (any attribute), or else the ID of a patient.

    Raises:
        UsageError: An attribute is none.
    """
    found: dict[str, str] = {}
    for word in search.split():
        keyword, equals, value = word.partition("=")
        if equals:
            if tag_of(keyword) is None or not value:
                raise UsageError(f"{word!r} is no attribute and its value.", remedy="Write as BodyPartExamined=CHEST.")
            found[keyword] = value
        elif _DATE.fullmatch(word):
            found["StudyDate"] = word
        elif _MODALITY_CODE.fullmatch(word):
            found["ModalitiesInStudy"] = word
        elif is_uid(word) and "." in word:
            found["StudyInstanceUID"] = word
        else:
            found["PatientID"] = word
    return found


def _search(
    url: SeriesURL, options: Mapping[str, Any], resource: str, parameters: Mapping[str, str]
) -> list[dict[str, Any]]:
    source = endpoint_for(url.base, StorageOptions.parse(**options)).source

    async def search() -> list[dict[str, Any]]:
        return await source.search(resource, parameters, wanted=MOST)

    return run_sync(search)[:MOST]


def _study_text(result: Mapping[str, Any], uid: str, *, patients: bool) -> str:
    count = first_text(result, _SERIES_OF_STUDY)
    told = [" ".join(texts_of(result, tag)) for tag in _PATIENT] if patients else [uid]
    words = [" ".join(texts_of(result, _MODALITIES)), count and f"{count} series", *told]
    return " · ".join(word for word in words if word)

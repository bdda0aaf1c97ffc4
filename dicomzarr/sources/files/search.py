"""Searching what is in a folder, with the words and the results of QIDO-RS (PS3.18 section 10.6). Pure (no I/O)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.plain_json import tag_of, values_of
from dicomzarr.errors import UsageError
from dicomzarr.sources.files.instance import SHOWN, STUDY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.sources.files.instance import FileInstance

JSONObject = dict[str, Any]

_MODALITY: Final = "00080060"
_MODALITIES: Final = "00080061"
_SERIES_OF_STUDY: Final = "00201206"
_INSTANCES_OF_STUDY: Final = "00201208"
_INSTANCES_OF_SERIES: Final = "00201209"
_DATES: Final = frozenset({"00080020", "00100030"})
_OF_STUDY: Final = frozenset(
    {
        *("00080005", "00080020", "00080030", "00080050", "00080090", "00081030"),
        *("00100010", "00100020", "00100030", "00100040", STUDY, "00200010"),
    }
)
_OF_INSTANCE: Final = frozenset({"00080016", "00080018", "00200013", "00280008", "00280010", "00280011"})
_NO_FILTERS: Final = frozenset({"includefield", "fuzzymatching", "limit", "offset"})


def search(
    series: Mapping[SeriesRef, Mapping[str, FileInstance]], resource: str, parameters: Mapping[str, str]
) -> list[JSONObject]:
    """Studies, series or instances that match, in the DICOM JSON model, by their UIDs.

    Args:
        series: Instances of each series.
        resource: ``studies``, ``series`` or ``instances``, below ``studies/<UID>`` and ``series/<UID>`` or not.
        parameters: What to match, by keyword or tag.

    Raises:
        UsageError: Files cannot be searched by one of the attributes.
    """
    *path, collection = resource.strip("/").split("/")
    within = dict(zip(path[::2], path[1::2], strict=True))
    found = {
        ref: list(instances.values())
        for ref, instances in sorted(series.items())
        if within.get("studies", ref.study) == ref.study and within.get("series", ref.series) == ref.series
    }
    filters = {_tag(name): value for name, value in parameters.items() if name not in _NO_FILTERS}
    results = {"studies": _studies, "series": _series, "instances": _instances}[collection](found)
    return [result for result in results if all(_matches(result, tag, value) for tag, value in filters.items())]


def _studies(found: Mapping[SeriesRef, Sequence[FileInstance]]) -> Iterable[JSONObject]:
    for study in dict.fromkeys(ref.study for ref in found):
        of_it = [instances for ref, instances in found.items() if ref.study == study]
        modalities = sorted({text for instances in of_it for text in _texts(instances[0].shown, _MODALITY)})
        yield {
            **{tag: value for tag, value in of_it[0][0].shown.items() if tag in _OF_STUDY},
            _MODALITIES: {"vr": "CS", "Value": modalities},
            _SERIES_OF_STUDY: _count(len(of_it)),
            _INSTANCES_OF_STUDY: _count(sum(map(len, of_it))),
        }


def _series(found: Mapping[SeriesRef, Sequence[FileInstance]]) -> Iterable[JSONObject]:
    for instances in found.values():
        yield {
            **{tag: value for tag, value in instances[0].shown.items() if tag not in _OF_INSTANCE},
            _INSTANCES_OF_SERIES: _count(len(instances)),
        }


def _instances(found: Mapping[SeriesRef, Sequence[FileInstance]]) -> Iterable[JSONObject]:
    return (dict(each.shown) for instances in found.values() for each in instances)


def _count(number: int) -> JSONObject:
    return {"vr": "IS", "Value": [number]}


def _tag(name: str) -> str:
    tag = tag_of(name)
    if tag is None or tag not in SHOWN | {_MODALITIES, _SERIES_OF_STUDY, _INSTANCES_OF_STUDY, _INSTANCES_OF_SERIES}:
        raise UsageError(
            f"Files are not searched by {name}.",
            remedy="Search by Modality, PatientID, StudyDate, SeriesDescription, BodyPartExamined or the like.",
        )
    return tag


def _matches(result: Mapping[str, Any], tag: str, wanted: str) -> bool:
    """Single values, lists, wildcards and ranges of dates (PS3.4 section C.2.2.2)."""
    texts = [text.casefold() for text in _texts(result, tag)]
    if tag in _DATES and "-" in wanted:
        first, _, last = wanted.partition("-")
        return any((first or text) <= text <= (last or text) for text in texts)
    patterns = wanted.casefold().split("\\" if "\\" in wanted else ",")
    return any(fnmatchcase(text, pattern.replace("[", "[[]")) for text in texts for pattern in patterns)


def _texts(result: Mapping[str, Any], tag: str) -> list[str]:
    values = values_of(result, tag)
    plain = (value.get("Alphabetic", "") if isinstance(value, dict) else value for value in values)
    return [str(value).strip() for value in plain if value is not None]

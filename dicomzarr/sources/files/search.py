"""Searching what is in a folder, with the words and the results of QIDO-RS (PS3.18 section 10.6). Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from dicomzarr.dicom.matching import matches
from dicomzarr.dicom.model.plain_json import first_text, tag_of
from dicomzarr.errors import UsageError
from dicomzarr.sources.files.instance import SHOWN, STUDY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.sources.files.instance import FileInstance

JSONObject = dict[str, Any]

_MODALITY: Final = "00080060"
_MODALITIES: Final = "00080061"
_SERIES_OF_STUDY: Final = "00201206"
_INSTANCES_OF_STUDY: Final = "00201208"
_INSTANCES_OF_SERIES: Final = "00201209"
OF_STUDY: Final = frozenset(
    {
        *("00080005", "00080020", "00080030", "00080050", "00080090", "00081030"),
        *("00100010", "00100020", "00100030", "00100040", STUDY, "00200010"),
    }
)
"""Tags of what is shown of a study."""

OF_INSTANCE: Final = frozenset(
    {
        *("00080008", "00080016", "00080018", "00200013", "00280008", "00280010", "00280011", "00280100"),
        *("00480006", "00480007"),
    }
)
"""Tags of what is shown of an instance alone."""

_NO_FILTERS: Final = frozenset({"includefield", "fuzzymatching", "limit", "offset"})


class Searched(Protocol):
    """An instance that can be found."""

    @property
    def shown(self) -> Mapping[str, Any]:
        """What a search shows of it, in the DICOM JSON model."""


class Found(NamedTuple):
    """One study, series or instance."""

    attributes: JSONObject
    """What is shown of it, with what is counted."""
    instances: Sequence[Any]
    """What it consists of, the first of which is the one that speaks for it."""


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
    filters = {_tag(name): value for name, value in parameters.items() if name not in _NO_FILTERS}
    return [
        found.attributes
        for found in found_in(dict(sorted(series.items())), resource)
        if all(matches(found.attributes, [tag], value, any_case=True) for tag, value in filters.items())
    ]


def found_in(series: Mapping[SeriesRef, Mapping[str, Searched]], resource: str) -> Iterator[Found]:
    """All studies, series or instances.

    Args:
        series: As for `search`, in the order in which they are wanted.
        resource: As above.
    """
    *path, collection = resource.strip("/").split("/")
    within = dict(zip(path[::2], path[1::2], strict=True))
    found = {
        ref: list(instances.values())
        for ref, instances in series.items()
        if within.get("studies", ref.study) == ref.study and within.get("series", ref.series) == ref.series
    }
    return {"studies": _studies, "series": _series, "instances": _instances}[collection](found)


def _studies(found: Mapping[SeriesRef, Sequence[Searched]]) -> Iterator[Found]:
    studies: dict[str, list[Sequence[Searched]]] = {}
    for ref, instances in found.items():
        studies.setdefault(ref.study, []).append(instances)
    for of_it in studies.values():
        modalities = sorted({text for instances in of_it if (text := first_text(instances[0].shown, _MODALITY))})
        attributes = {
            **{tag: value for tag, value in of_it[0][0].shown.items() if tag in OF_STUDY},
            _MODALITIES: {"vr": "CS", "Value": modalities},
            _SERIES_OF_STUDY: _count(len(of_it)),
            _INSTANCES_OF_STUDY: _count(sum(map(len, of_it))),
        }
        yield Found(attributes, [each for instances in of_it for each in instances])


def _series(found: Mapping[SeriesRef, Sequence[Searched]]) -> Iterator[Found]:
    for instances in found.values():
        attributes = {
            **{tag: value for tag, value in instances[0].shown.items() if tag not in OF_INSTANCE},
            _INSTANCES_OF_SERIES: _count(len(instances)),
        }
        yield Found(attributes, instances)


def _instances(found: Mapping[SeriesRef, Sequence[Searched]]) -> Iterator[Found]:
    return (Found(dict(each.shown), [each]) for instances in found.values() for each in instances)


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

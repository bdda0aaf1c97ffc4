"""Searching what is in a folder, with the words and the results of QIDO-RS (PS3.18 section 10.6). Pure (no I/O)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from dicomzarr.dicom.matching import all_match
from dicomzarr.dicom.model.plain_json import first_text, tag_of
from dicomzarr.errors import UsageError
from dicomzarr.sources.files.instance import SHOWN, STUDY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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

COUNTED: Final = frozenset({_MODALITIES, _SERIES_OF_STUDY, _INSTANCES_OF_STUDY, _INSTANCES_OF_SERIES})
"""Tags of what is counted of a study or series."""

FURTHER_OF_STUDY: Final = frozenset({"00080201", "00081048", "00081060", "00081080", "00321060", "00324000"})
"""Tags of a study that are not shown."""

_OF_SERIES: Final = frozenset(
    {
        *("00081040", "00081050", "00081070", "00081090", "00081111", "0008103F", "00080080", "00080081"),
        *("00181000", "00181016", "00181018", "00181020", "00181030", "00185100", "00200060", "00201040"),
        *("00400253", "00400254", "00400260", "00400275", "00400280"),
    }
)
"""Tags of the series, frame of reference and equipment (PS3.3 sections C.7.3.1, C.7.4.1, C.7.5.1) not shown."""

_RESOURCE: Final = re.compile(r"(?:studies/(.+?)/)?(?:series/(.+?)/)?(studies|series|instances)", re.DOTALL)
"""Studies and series by their UIDs, which may be any text, and what is searched for in them."""

_NO_FILTERS: Final = frozenset({"includefield", "fuzzymatching", "limit", "offset"})


class Searched(Protocol):
    """An instance that can be found."""

    @property
    def ref(self) -> SeriesRef:
        """The series that it is in."""

    @property
    def shown(self) -> Mapping[str, Any]:
        """What a search shows of it, in the DICOM JSON model."""


class Found(NamedTuple):
    """One study, series or instance."""

    attributes: JSONObject
    """What is shown of it, with what is counted."""
    instances: Sequence[Any]
    """What it consists of, the first of which is the one that speaks for it."""
    counted: Mapping[SeriesRef, JSONObject]
    """What is counted of each series, and of the study that it is in."""


def search(
    series: Mapping[SeriesRef, Mapping[str, FileInstance]], resource: str, parameters: Mapping[str, str]
) -> list[JSONObject]:
    """Studies, series or instances that match, in the DICOM JSON model, by their UIDs.

    Args:
        series: Instances of each series.
        resource: ``studies``, ``series`` or ``instances``, below ``studies/<UID>`` and ``series/<UID>`` or not.
        parameters: What to match, by keyword or tag.

    Raises:
        UsageError: Files cannot be searched by one of the attributes, or there is no such resource.
    """
    parts = _RESOURCE.fullmatch(resource.strip("/"))
    if parts is None:
        raise UsageError(f"{resource!r:.80} is nothing to search in.", remedy="Search in studies, series or instances.")
    study, of_series, collection = parts.groups()
    keys = [((_tag(name),), value) for name, value in parameters.items() if name not in _NO_FILTERS]
    told = {path[0] for path, _ in keys} & {"studies": OF_STUDY, "series": SHOWN - OF_INSTANCE}.get(collection, SHOWN)
    matching = (
        (found, first_match(found, keys, any_case=True))
        for found in found_in(dict(sorted(series.items())), collection, study, of_series)
    )
    # The instance that matches speaks for its study or series: others may say otherwise of what was asked for.
    return [
        found.attributes | {tag: value for tag, value in instance.shown.items() if tag in told}
        for found, instance in matching
        if instance is not None
    ]


def first_match(
    found: Found,
    keys: Sequence[tuple[Sequence[str], str]],
    *,
    header: Callable[[Any], Mapping[str, Any]] | None = None,
    any_case: bool = False,
) -> Any:
    """The first instance of a study or series that is as it is searched for; None where none is.

    All keys have to match in one instance, or in what is counted of the whole: so a study is found by what it holds.

    Args:
        found: The study, series or instance.
        keys: Tags of sequences, then of the attribute, and what is wanted: see `matching.all_match`.
        header: Gives all attributes of an instance; without it, those alone are known that are shown.
        any_case: All text matches in any case.
    """
    keys = [(path, wanted) for path, wanted in keys if wanted not in {"", "*"}]
    of_series: dict[SeriesRef, bool] = {}
    for instance in found.instances if keys else found.instances[:1]:
        told = {**instance.shown, **found.counted[instance.ref]}
        known: list[tuple[Sequence[str], str]] = []
        unknown: list[tuple[Sequence[str], str]] = []
        for key in keys:
            tag = key[0][0]
            (known if tag in told or tag in OF_INSTANCE else unknown).append(key)
        if not all_match(told, known, any_case=any_case):
            continue
        if not unknown:
            return instance
        if header is None:
            continue
        matching = of_series.get(instance.ref)
        if matching is None:
            matching = all_match(header(instance), unknown, any_case=any_case)
            if all(_is_of_series(path[0]) for path, _ in unknown):  # so that one instance tells
                of_series[instance.ref] = matching
        if matching:
            return instance
    return None


def _is_of_series(tag: str) -> bool:
    """Whether an attribute is the same in all instances of a series, as it is one of the series, study or patient."""
    return tag in SHOWN or tag in _OF_SERIES or tag in FURTHER_OF_STUDY or tag.startswith("0010")


def found_in(
    series: Mapping[SeriesRef, Mapping[str, Searched]],
    collection: str,
    study: str | None = None,
    of_series: str | None = None,
) -> Iterator[Found]:
    """All studies, series or instances.

    Args:
        series: As for `search`, in the order in which they are wanted.
        collection: ``studies``, ``series`` or ``instances``.
        study: The study that they are in; None for any.
        of_series: Likewise the series.
    """
    of_study = {ref: list(each.values()) for ref, each in series.items() if study in (None, ref.study)}
    counted = _counted(of_study)
    found = {ref: each for ref, each in of_study.items() if of_series in (None, ref.series)}
    return {"studies": _studies, "series": _series, "instances": _instances}[collection](found, counted)


def _by_study(found: Mapping[SeriesRef, Sequence[Searched]]) -> Iterator[list[SeriesRef]]:
    studies: dict[str, list[SeriesRef]] = {}
    for ref in found:
        studies.setdefault(ref.study, []).append(ref)
    return iter(studies.values())


def _counted(found: Mapping[SeriesRef, Sequence[Searched]]) -> dict[SeriesRef, JSONObject]:
    counted: dict[SeriesRef, JSONObject] = {}
    for refs in _by_study(found):
        modalities = sorted({text for ref in refs if (text := first_text(found[ref][0].shown, _MODALITY))})
        of_study = {
            _MODALITIES: {"vr": "CS", "Value": modalities},
            _SERIES_OF_STUDY: _count(len(refs)),
            _INSTANCES_OF_STUDY: _count(sum(len(found[ref]) for ref in refs)),
        }
        counted.update((ref, {**of_study, _INSTANCES_OF_SERIES: _count(len(found[ref]))}) for ref in refs)
    return counted


def _studies(found: Mapping[SeriesRef, Sequence[Searched]], counted: Mapping[SeriesRef, JSONObject]) -> Iterator[Found]:
    for refs in _by_study(found):
        shown = {tag: value for tag, value in found[refs[0]][0].shown.items() if tag in OF_STUDY}
        of_study = {tag: value for tag, value in counted[refs[0]].items() if tag != _INSTANCES_OF_SERIES}
        yield Found(shown | of_study, [each for ref in refs for each in found[ref]], counted)


def _series(found: Mapping[SeriesRef, Sequence[Searched]], counted: Mapping[SeriesRef, JSONObject]) -> Iterator[Found]:
    for ref, instances in found.items():
        shown = {tag: value for tag, value in instances[0].shown.items() if tag not in OF_INSTANCE}
        yield Found(shown | {_INSTANCES_OF_SERIES: counted[ref][_INSTANCES_OF_SERIES]}, instances, counted)


def _instances(
    found: Mapping[SeriesRef, Sequence[Searched]], counted: Mapping[SeriesRef, JSONObject]
) -> Iterator[Found]:
    return (Found(dict(each.shown), [each], counted) for instances in found.values() for each in instances)


def _count(number: int) -> JSONObject:
    return {"vr": "IS", "Value": [number]}


def _tag(name: str) -> str:
    tag = tag_of(name)
    if tag is None or tag not in SHOWN | COUNTED:
        raise UsageError(
            f"Files are not searched by {_keyword(tag or '') or name}.",
            remedy=f"Search by one of {', '.join(searchable())}.",
        )
    return tag


def searchable() -> list[str]:
    """Keywords of all that files are searched by."""
    return sorted(map(_keyword, SHOWN | COUNTED))


def _keyword(tag: str) -> str:
    """Empty where the standard has no such attribute."""
    from pydicom.datadict import keyword_for_tag  # noqa: PLC0415  # pydicom is heavy, and opening does without

    return keyword_for_tag(tag) if tag else ""

"""Measurement groups (PS3.16 TID 1410, 1411, 1501) and key object selections (TID 2010) of a Dataset. Pure (no I/O)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydicom import Dataset

_Number = TypeVar("_Number", int, float)

_GROUP: Final = "125007"
_HOLDERS: Final = frozenset({"126010", "126011", "C0034375"})
"""Containers of groups, of what was derived from them, and of evaluations, which may hold some in no group."""
_TRACKING_IDENTIFIER: Final = "112039"
_TRACKING_UID: Final = "112040"
_FINDING: Final = "121071"
_SITES: Final = frozenset({"363698007", "G-C0E3"})
_LATERALITIES: Final = frozenset({"272741003", "G-C171"})
_SEGMENTS: Final = frozenset({"121191", "121214"})
_METHODS: Final = frozenset({"370129005", "G-C306"})
_DERIVATION: Final = "121401"
_DESCRIPTION: Final = "113012"
_TITLE_MODIFIER: Final = "113011"
_NO_EVALUATIONS: Final = frozenset({"112050", "121058", "130400", "130401", "121049"})
"""Codes of what is about the report: algorithms, procedures, the language."""

_DIMENSIONS: Final = {"SCOORD": 2, "SCOORD3D": 3}
"""Of the points of a region."""

_DEEPEST: Final = 50
"""Levels of content that are looked through."""


@dataclass(frozen=True, slots=True)
class Source:
    """The image that something is about; None or empty for what is not told."""

    sop_instance_uid: str | None = None
    frames: tuple[int, ...] = ()
    """Frame numbers, 1-based; empty for all."""
    segment: int | None = None
    """The number of the segment, where it is a segmentation."""
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement, or one evaluation in words, of a group; None for what is not told."""

    group: int
    """Counted from 1, in the order of the report."""
    tracking_identifier: str | None = None
    """What the group is called: a text that somebody wrote."""
    tracking_uid: str | None = None
    finding: str | None = None
    """The meaning of the code of what was found."""
    finding_site: str | None = None
    """Several are apart by semicolons, as of all that a report says more than once."""
    laterality: str | None = None
    """The side of the site, as ``Right``; of several sites a place for each, empty for one without a side."""
    name: str = ""
    """What was measured or evaluated."""
    value: float | None = None
    unit: str | None = None
    """In UCUM."""
    text: str | None = None
    """Of an evaluation in words; or Numeric Value Qualifier (0040,A301): why there is no value, or what it is worth."""
    method: str | None = None
    derivation: str | None = None
    """As ``Mean``."""
    qualifiers: tuple[tuple[str, str], ...] = ()
    """What else is said of it or of its site in codes and words: (name, words), as ``("Normality", "Normal")``."""
    region: str | None = None
    """The GraphicType (0070,0023) of the region that was measured, as ``POLYLINE``."""
    points: tuple[tuple[float, ...], ...] = ()
    """Of the region: columns and rows from 0 at the corner of the image; in three dimensions, LPS millimetres."""
    pixel_origin_interpretation: str | None = None
    """(0048,0301): ``FRAME`` where points count from the corner of the frame, ``VOLUME`` of the total pixel matrix."""
    regions: int = 0
    """How many regions were measured together; of several, ``region`` and ``points`` have the first."""
    source: Source = Source()


@dataclass(frozen=True, slots=True)
class KeyObject:
    """One object that was selected."""

    title: str | None
    """Why: the meaning of the title's code, as ``Of Interest``."""
    title_modifier: str | None
    """Document Title Modifier, as the reason of a rejection; several are apart by semicolons."""
    description: str | None
    """A text that somebody wrote."""
    kind: str
    """``IMAGE``, ``COMPOSITE`` or ``WAVEFORM``."""
    sop_class_uid: str | None
    source: Source


def measurements_of(report: Dataset) -> Iterator[Measurement]:
    """The measurements of all groups of a report."""
    evidence = _evidence(report)
    for number, group in enumerate(_groups(report), 1):
        shared = _about(group, number, evidence)
        for item in _content(group):
            if _is_measurement(item):
                yield _measured(item, shared, evidence)
            elif _is_evaluation(item):
                yield _qualified(item, replace(shared, name=_meaning(item), text=_words(item)))


_ABOUT: Final = frozenset(
    {_TRACKING_IDENTIFIER, _TRACKING_UID, _FINDING, *_SITES, *_METHODS, *_SEGMENTS, *_NO_EVALUATIONS}
)


def key_objects_of(selection: Dataset) -> Iterator[KeyObject]:
    """The objects that were selected, in their order."""
    evidence = _evidence(selection)
    items = list(_content(selection))
    words = _joined(_words(item) for item in items if _code(item) == _DESCRIPTION)
    modifier = _joined(_words(item) for item in items if _code(item) == _TITLE_MODIFIER)
    for item in items:
        for reference in item.get("ReferencedSOPSequence") or ():
            sop_class = reference.get("ReferencedSOPClassUID")
            yield KeyObject(
                title=_meaning(selection) or None,
                title_modifier=modifier,
                description=words,
                kind=str(item.get("ValueType", "")),
                sop_class_uid=str(sop_class) if sop_class else None,
                source=_source(reference, evidence),
            )


def _groups(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """Groups at any depth, also within each other, and what holds measurements in the place of one."""
    for child in _content(item):
        if str(child.get("ValueType", "")) == "CONTAINER" and (_code(child) == _GROUP or _holds_some(child)):
            yield child
        if depth < _DEEPEST:
            yield from _groups(child, depth + 1)


def _holds_some(item: Dataset) -> bool:
    return _code(item) in _HOLDERS and any(_is_measurement(child) or _is_evaluation(child) for child in _content(item))


def _is_measurement(item: Dataset) -> bool:
    return str(item.get("ValueType", "")) == "NUM"


def _is_evaluation(item: Dataset) -> bool:
    """Whether it is one in words, and not about the group or the report."""
    told = str(item.get("ValueType", "")) in {"CODE", "TEXT"} and str(item.get("RelationshipType", "")) == "CONTAINS"
    return told and _code(item) not in _ABOUT


def _about(group: Dataset, number: int, evidence: Mapping[str, tuple[str, str]]) -> Measurement:
    """What a group says of all its measurements."""
    items = list(_content(group))

    def told(*codes: str) -> str | None:
        return _joined(_words(item) for item in items if _code(item) in codes)

    about = Measurement(
        number,
        tracking_identifier=told(_TRACKING_IDENTIFIER),
        tracking_uid=told(_TRACKING_UID),
        finding=told(_FINDING),
    )
    return _with_region(group, _qualified(group, about), evidence)


def _measured(item: Dataset, shared: Measurement, evidence: Mapping[str, tuple[str, str]]) -> Measurement:
    told = replace(shared, name=_meaning(item), text=_first_meaning(item, "NumericValueQualifierCodeSequence"))
    measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
    if measured is not None:
        units = next(iter(measured.get("MeasurementUnitsCodeSequence") or ()), None)
        told = replace(told, value=_number(measured), unit=None if units is None else _code_value(units) or None)
    return _with_region(item, _qualified(item, told), evidence)


def _qualified(item: Dataset, told: Measurement) -> Measurement:
    """With what an item has below it: method, derivation, sites and their sides; the nearer counts."""
    children = list(_content(item))
    sites = [child for child in children if _code(child) in _SITES]
    if sites:
        of_sites = [[child for child in _content(site) if _code(child) in _LATERALITIES] for site in sites]
        sides = [next(filter(None, map(_words, each)), "") for each in of_sites]
        told = replace(
            told,
            finding_site=_joined(map(_words, sites)),
            laterality="; ".join(sides) if any(sides) else None,
        )
    more = [child for site in sites for child in _content(site) if _code(child) not in _LATERALITIES]
    more += [child for child in children if _code(child) not in _ABOUT | {_DERIVATION}]
    return replace(
        told,
        method=_joined(_words(child) for child in children if _code(child) in _METHODS) or told.method,
        derivation=_joined(_words(child) for child in children if _code(child) == _DERIVATION) or told.derivation,
        qualifiers=(*told.qualifiers, *((_meaning(child), _words(child) or "") for child in more if _qualifies(child))),
    )


def _qualifies(item: Dataset) -> bool:
    """Whether it says in codes or words what something else is; who observed it, and when, is another relationship."""
    told = str(item.get("RelationshipType", "")) in {"HAS CONCEPT MOD", "HAS PROPERTIES"}
    return told and str(item.get("ValueType", "")) in {"CODE", "TEXT"} and _words(item) is not None


def _with_region(item: Dataset, told: Measurement, evidence: Mapping[str, tuple[str, str]]) -> Measurement:
    """With the image, segment or region that an item has below it: the nearer counts, and an image with its region."""
    shapes = [child for child in _content(item) if str(child.get("ValueType", "")) in _DIMENSIONS]
    if not shapes:
        source = _shown(item, evidence)
        if source is None:
            return told
        return replace(told, source=source, region=None, points=(), pixel_origin_interpretation=None, regions=0)
    first = shapes[0]
    size = _DIMENSIONS[str(first.get("ValueType", ""))]
    data = _numbers(first.get("GraphicData"), float)
    return replace(
        told,
        region=str(first.get("GraphicType", "")) or None,
        points=tuple(zip(*(data[axis::size] for axis in range(size)), strict=False)),
        pixel_origin_interpretation=str(first.get("PixelOriginInterpretation") or "") or None,
        regions=len(shapes),
        source=_shown(first, evidence) or _shown(item, evidence) or told.source,
    )


def _shown(item: Dataset, evidence: Mapping[str, tuple[str, str]]) -> Source | None:
    """The segment that an item names, else its first image."""
    images = [child for child in _content(item) if str(child.get("ValueType", "")) == "IMAGE"]
    for child in sorted(images, key=lambda each: _code(each) not in _SEGMENTS):
        for reference in child.get("ReferencedSOPSequence") or ():
            return _source(reference, evidence)
    return None


def _source(reference: Dataset, evidence: Mapping[str, tuple[str, str]]) -> Source:
    uid = str(reference.get("ReferencedSOPInstanceUID") or "") or None
    study, series = evidence.get(uid or "", (None, None))
    segments = _numbers(reference.get("ReferencedSegmentNumber"), int)
    return Source(
        sop_instance_uid=uid,
        frames=_numbers(reference.get("ReferencedFrameNumber"), int),
        segment=segments[0] if segments else None,
        study_instance_uid=study,
        series_instance_uid=series,
    )


def _evidence(document: Dataset) -> dict[str, tuple[str, str]]:
    """(study, series) of each instance that a document refers to."""
    found = {}
    for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in document.get(name) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                names = str(study.get("StudyInstanceUID", "")), str(series.get("SeriesInstanceUID", ""))
                for instance in series.get("ReferencedSOPSequence") or ():
                    found[str(instance.get("ReferencedSOPInstanceUID", ""))] = names
    return found


def _content(item: Dataset) -> Iterator[Dataset]:
    yield from item.get("ContentSequence") or ()


def _concept(item: Dataset) -> Dataset | None:
    return next(iter(item.get("ConceptNameCodeSequence") or ()), None)


def _code(item: Dataset) -> str:
    concept = _concept(item)
    return "" if concept is None else _code_value(concept)


def _code_value(concept: Dataset) -> str:
    """Of whichever length or form (PS3.3 section 8.1)."""
    values = (concept.get(name) for name in ("CodeValue", "LongCodeValue", "URNCodeValue"))
    return next((str(value) for value in values if value), "")


def _meaning(item: Dataset) -> str:
    return _first_meaning(item, "ConceptNameCodeSequence") or ""


def _first_meaning(item: Dataset, sequence: str) -> str | None:
    return next((str(concept.get("CodeMeaning") or "") or None for concept in item.get(sequence) or ()), None)


def _words(item: Dataset) -> str | None:
    """What an item of text, codes or UIDs says."""
    if item.get("ConceptCodeSequence"):
        return _first_meaning(item, "ConceptCodeSequence")
    told: Any = item.get("TextValue") or item.get("UID")
    return str(told).strip() or None if told else None


def _joined(words: Iterable[str | None]) -> str | None:
    """What is said more than once, in one text."""
    return "; ".join(filter(None, words)) or None


def _number(measured: Dataset) -> float | None:
    exact = measured.get("FloatingPointValue")
    try:
        value = float(measured.get("NumericValue") if exact is None else exact)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _numbers(value: Any, kind: Callable[[Any], _Number]) -> tuple[_Number, ...]:
    """Of an attribute of one value or several; empty where it holds anything else."""
    if value is None or value == "":
        return ()
    values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    try:
        return tuple(kind(each) for each in values)
    except (TypeError, ValueError):
        return ()

"""QIDO-RS on an archive (PS3.18 section 10.6): enough of it to browse and to look things up."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from dicomzarr.dicom.model.plain_json import tag_of, values_of
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dicomzarr.demo.instances import JSONObject, ServedInstance

_STUDY = "0020000D"
_SERIES = "0020000E"
_INSTANCE = "00080018"
_PATHS = {_STUDY: "studies", _SERIES: "series", _INSTANCE: "instances"}


@dataclass(frozen=True)
class SearchLevel:
    """What one kind of search returns (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""

    uids: tuple[str, ...]
    """Tags of the UIDs that tell one result from another."""
    returned: tuple[str, ...]
    """Tags of the attributes that come back unasked."""


STUDIES = SearchLevel(
    (_STUDY,),
    (
        *("00080020", "00080030", "00080050", "00080090", "00100010", "00100020", "00100030"),
        *("00100040", "00200010"),
    ),
)
SERIES = SearchLevel((_STUDY, _SERIES), ("00080060", "0008103E", "00200011"))
INSTANCES = SearchLevel(
    (_STUDY, _SERIES, _INSTANCE),
    ("00080008", "00080016", "00200013", "00280008", "00280010", "00280011", "00280100"),
)


@dataclass(frozen=True)
class Query:
    """The parameters of a search."""

    keys: tuple[tuple[str, str], ...]
    """(tag, value) pairs that all have to match."""
    included: tuple[str, ...]
    """Tags of attributes that are wanted besides."""
    offset: int
    limit: int | None


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Reads the query part of a URL.

    Raises:
        UsageError: An attribute is unknown, or a number is none.
    """
    numbers = {"offset": 0, "limit": 0}
    keys, included = [], []
    for name, value in pairs:
        if name in numbers:
            numbers[name] = _number(name, value)
        elif name == "includefield":
            included += [_tag(field) for field in value.split(",") if field != "all"]
        elif name != "fuzzymatching":  # which a server may ignore
            keys.append((_tag(name), value))
    return Query(tuple(keys), tuple(included), numbers["offset"], numbers["limit"] or None)


def search(stored: Iterable[ServedInstance], level: SearchLevel, query: Query, base: str) -> list[JSONObject]:
    """The results of a search, one object each, in the order of the archive.

    Args:
        stored: The instances to search.
        level: What a result is.
        query: What it has to match.
        base: The URL that the RetrieveURL of a result starts with.
    """
    groups: dict[tuple[str, ...], list[ServedInstance]] = {}
    for instance in stored:
        uids = (instance.study, instance.series, instance.instance)[: len(level.uids)]
        groups.setdefault(uids, []).append(instance)
    results = []
    for uids, members in groups.items():
        attributes = members[0].metadata() | _computed(level, uids, members, base)
        if all(_matches(attributes, tag, value) for tag, value in query.keys):
            wanted = sorted({*level.uids, *level.returned, *query.included, *_COMPUTED[level]})
            results.append({tag: attributes[tag] for tag in wanted if tag in attributes})
    end = None if query.limit is None else query.offset + query.limit
    return results[query.offset : end]


_COMPUTED = {
    STUDIES: ("00080061", "00081190", "00201206", "00201208"),
    SERIES: ("00081190", "00201209"),
    INSTANCES: ("00081190",),
}


def _computed(level: SearchLevel, uids: Sequence[str], members: Sequence[ServedInstance], base: str) -> JSONObject:
    """Attributes of the group as a whole: no instance holds them."""
    one_per_series = {member.series: member for member in members}
    modalities = {modality for member in one_per_series.values() for modality in _values(member.metadata(), "00080060")}
    steps = "".join(f"/{_PATHS[tag]}/{uid}" for tag, uid in zip(level.uids, uids, strict=True))
    return {
        "00080061": {"vr": "CS", "Value": sorted(modalities)},
        "00081190": {"vr": "UR", "Value": [base + steps]},
        "00201206": {"vr": "IS", "Value": [len(one_per_series)]},
        "00201208": {"vr": "IS", "Value": [len(members)]},
        "00201209": {"vr": "IS", "Value": [len(members)]},
    }


def _values(attributes: Mapping[str, Any], tag: str) -> list[str]:
    """The values of an attribute as text, names in their alphabetic form."""
    values = values_of(attributes, tag)
    return [str(value.get("Alphabetic", "") if isinstance(value, dict) else value) for value in values]


def _matches(attributes: Mapping[str, Any], tag: str, wanted: str) -> bool:
    """Single value, list of UIDs or wildcard matching (PS3.4 section C.2.2.2)."""
    found = _values(attributes, tag)
    if attributes.get(tag, {}).get("vr") == "UI":
        return any(value in wanted.split(",") for value in found)
    return any(fnmatchcase(value, wanted.replace("[", "[[]")) for value in found)


def _tag(name: str) -> str:
    tag = tag_of(name)
    if tag is None:
        raise UsageError(f"{name!r} is no attribute to search by.", remedy="Use its DICOM keyword or its tag.")
    return tag


def _number(name: str, value: str) -> int:
    if value.isascii() and value.isdigit():
        return int(value)
    raise UsageError(f"{name}={value!r} is no number.", remedy="Give a whole number from 0.")

"""QIDO-RS: searches for studies, series and instances (PS3.18 section 10.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from aiohttp import web

from dicomzarr.dicom.matching import matches
from dicomzarr.errors import FileError
from dicomzarr.faces.dicomweb_server.paths import SERIES, STUDY, instance_path, series_path, study_path
from dicomzarr.faces.dicomweb_server.queries import parse_query
from dicomzarr.faces.dicomweb_server.replies import json_reply
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files.search import OF_INSTANCE, OF_STUDY

if TYPE_CHECKING:
    from dicomzarr.faces.dicomweb_server.holdings import Holdings
    from dicomzarr.faces.dicomweb_server.queries import Query
    from dicomzarr.sources.files.search import Found

_RETRIEVE_URL: Final = "00081190"
_AVAILABILITY: Final = "00080056"
_ONLINE: Final = {"vr": "CS", "Value": ["ONLINE"]}
_COUNTED: Final = frozenset({"00080061", "00201206", "00201208", "00201209"})
_OF_SERIES: Final = frozenset({"00080005", "00080060", "0008103E", SERIES, "00200011", "00400244", "00400245"})
_FURTHER_OF_STUDY: Final = frozenset({"00080201", "00081048", "00081060", "00081080", "00321060", "00324000"})
_GROUPS_OF_INSTANCES: Final = ("0028", "0048", "0054", "5200", "7FE0")
_ALWAYS: Final = frozenset({"00080005", "00201209"})

_MOST_HEADERS: Final = 2000
"""Files whose headers one search may read, as they are asked for attributes that the index does not hold."""

_LITERAL: Final = "The {} parameter is not supported. Only literal matching has been performed."


class _Results(NamedTuple):
    body: bytes
    """Empty where nothing was found."""
    remaining: int
    """Results that were found and are not in it."""


async def search(holdings: Holdings, request: web.Request, base: str) -> web.StreamResponse:
    """Answer a search.

    Args:
        holdings: What is searched.
        request: Its path ends in ``studies``, ``series`` or ``instances``.
        base: The URL of the service.

    Raises:
        UsageError: The query is impossible.
        HTTPRequestEntityTooLarge: It asks for too many attributes of too many instances.
    """
    query = parse_query(request.query.items())
    resource = request.path.rpartition("/dicom-web/")[2]
    results = await FRAME_FILES.run(_searched, holdings, resource, query, base)
    warnings = [_LITERAL.format(name) for name in query.unsupported]
    if results.remaining:
        warnings.append(f"There are {results.remaining} additional results that can be requested")
    headers = {"Warning": ", ".join(f'299 dicomzarr "{text}"' for text in warnings)} if warnings else {}
    if not results.body:
        return web.Response(status=204, headers=headers)
    return await json_reply(request, [results.body], headers)


def _searched(holdings: Holdings, resource: str, query: Query, base: str) -> _Results:
    reader = _Headers(holdings)
    level = resource.rpartition("/")[2]
    found = [each for each in holdings.search(resource) if _matches(each, query, reader)]
    page = found[query.offset :][: query.limit]
    asked = query.included | {path[0] for path, _ in query.keys}
    show = _Show(level, _default_tags(level, resource) | asked, asked, query.everything, base, reader)
    shown = [show.result(each) for each in page]
    remaining = max(0, len(found) - query.offset - len(page))
    return _Results(msgspec.json.encode(shown, enc_hook=str) if shown else b"", remaining)


class _Headers:
    """Reads the headers of files, so many and no more."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._left = _MOST_HEADERS

    def of(self, found: Found) -> dict[str, Any]:
        """All attributes of what speaks for a result; empty where its file cannot be read any more."""
        if not self._left:
            raise web.HTTPRequestEntityTooLarge(
                _MOST_HEADERS,
                _MOST_HEADERS + 1,
                text=f"More than {_MOST_HEADERS} files would have to be read: name a study or series, or a limit.\n",
            )
        self._left -= 1
        try:
            return self._holdings.header(found.instances[0])
        except FileError:
            return {}


def _matches(found: Found, query: Query, reader: _Headers) -> bool:
    """Whether all keys match, those first that cost no reading."""
    unknown = []
    for path, wanted in query.keys:
        if path[0] not in found.attributes and wanted not in {"", "*"}:
            unknown.append((path, wanted))
        elif not matches(found.attributes, path, wanted):
            return False
    if not unknown:
        return True
    header = reader.of(found)
    return all(matches(header, path, wanted) for path, wanted in unknown)


class _Show(NamedTuple):
    """How results are shown."""

    level: str
    tags: frozenset[str]
    """Of what is shown of each, where it is known."""
    asked: frozenset[str]
    """Of what was asked for, and is looked for in the file where it is not known."""
    everything: bool
    base: str
    reader: _Headers

    def result(self, found: Found) -> dict[str, Any]:
        """One result, in the DICOM JSON model."""
        shown = {tag: value for tag, value in found.attributes.items() if tag in self.tags}
        if self.everything or not self.asked <= found.attributes.keys():
            for tag, value in self.reader.of(found).items():
                if tag in self.asked or (self.everything and _is_of(self.level, tag)):
                    shown.setdefault(tag, value)
        shown[_AVAILABILITY] = _ONLINE
        shown[_RETRIEVE_URL] = {"vr": "UR", "Value": [self.base + _path(found.instances[0], self.level)]}
        return dict(sorted(shown.items()))


def _is_of(level: str, tag: str) -> bool:
    """Whether an attribute is one of a level as a whole, and not of the one instance whose header was read."""
    if level == "studies":
        return tag in OF_STUDY or tag.startswith("0010") or tag in _FURTHER_OF_STUDY
    return level == "instances" or not (tag in OF_INSTANCE or tag.startswith(_GROUPS_OF_INSTANCES))


def _default_tags(level: str, resource: str) -> frozenset[str]:
    """What comes back unasked (PS3.18 tables 10.6.3-3 to 10.6.3-5): of what the path does not name already, too."""
    of_study = OF_STUDY | _COUNTED
    if level == "studies":
        return of_study
    above = frozenset({STUDY}) if resource.startswith("studies/") else of_study
    if level == "series":
        return above | _OF_SERIES | _ALWAYS
    within_series = "/series/" in resource
    return above | (frozenset({SERIES}) if within_series else _OF_SERIES) | OF_INSTANCE | _ALWAYS


def _path(instance: Any, level: str) -> str:
    if level == "studies":
        return study_path(instance.ref.study)
    return series_path(instance.ref) if level == "series" else instance_path(instance)

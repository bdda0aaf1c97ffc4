"""QIDO-RS: searches for studies, series and instances (PS3.18 section 10.6)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from aiohttp import web

from dicomzarr.errors import FileError
from dicomzarr.faces.dicomweb_server.paths import SERIES, STUDY, instance_path, series_path, study_path
from dicomzarr.faces.dicomweb_server.queries import parse_query
from dicomzarr.faces.dicomweb_server.replies import json_reply
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files.search import COUNTED, FURTHER_OF_STUDY, OF_INSTANCE, OF_STUDY, first_match

if TYPE_CHECKING:
    from dicomzarr.faces.dicomweb_server.holdings import Holdings
    from dicomzarr.faces.dicomweb_server.queries import Query
    from dicomzarr.sources.files.search import Found

_log = logging.getLogger(__name__)

_RETRIEVE_URL: Final = "00081190"
_AVAILABILITY: Final = "00080056"
_ONLINE: Final = {"vr": "CS", "Value": ["ONLINE"]}
_OF_SERIES: Final = frozenset({"00080005", "00080060", "0008103E", SERIES, "00200011", "00400244", "00400245"})
_GROUPS_OF_INSTANCES: Final = ("0028", "0048", "0054", "5200", "7FE0")
_ALWAYS: Final = frozenset({"00080005", "00201209"})

_MOST_HEADERS: Final = 2000
"""Files whose headers one search may read, as they are asked for attributes that the index does not hold."""

_LITERAL: Final = "The {} parameter is not supported. Only literal matching has been performed."


class _Resource(NamedTuple):
    """What is searched for, and where."""

    collection: str
    """``studies``, ``series`` or ``instances``."""
    study: str | None
    """The study that the path names."""
    series: str | None
    """The series that it names."""


class _Results(NamedTuple):
    body: bytes
    """Empty where nothing was found."""
    remaining: int
    """Results that were found and are not in it."""
    unread: int
    """Files whose headers should have been read, and could not be."""


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
    study, series = (request.match_info.get(name) for name in ("study", "series"))
    resource = _Resource(request.path.rpartition("/")[2], study, series)
    results = await FRAME_FILES.run(_searched, holdings, resource, query, base)
    warnings = [_LITERAL.format(name) for name in query.unsupported]
    if results.remaining:
        warnings.append(f"There are {results.remaining} additional results that can be requested")
    if results.unread:
        files = "1 file" if results.unread == 1 else f"{results.unread} files"
        warnings.append(f"{files} could not be read and searched by all attributes")
    headers = {"Warning": ", ".join(f'299 dicomzarr "{text}"' for text in warnings)} if warnings else {}
    if not results.body:
        return web.Response(status=204, headers=headers)
    return await json_reply(request, [results.body], headers)


def _searched(holdings: Holdings, resource: _Resource, query: Query, base: str) -> _Results:
    reader = _Headers(holdings)
    level = resource.collection
    matching = ((each, first_match(each, query.keys, header=reader.of)) for each in holdings.search(*resource))
    found = [(each, instance) for each, instance in matching if instance is not None]
    page = found[query.offset :][: query.limit]
    asked = query.included | {path[0] for path, _ in query.keys}
    show = _Show(level, _default_tags(resource) | asked, asked, query.everything, base, reader)
    shown = [show.result(each, instance) for each, instance in page]
    remaining = max(0, len(found) - query.offset - len(page))
    return _Results(msgspec.json.encode(shown, enc_hook=str) if shown else b"", remaining, len(reader.unread))


class _Headers:
    """Reads the headers of files, so many and no more."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._left = _MOST_HEADERS
        self.unread: set[str] = set()
        """UIDs of instances whose files could not be read."""

    def of(self, instance: Any) -> dict[str, Any]:
        """All attributes of an instance; empty where its file cannot be read any more."""
        if not self._left:
            raise web.HTTPRequestEntityTooLarge(
                _MOST_HEADERS,
                _MOST_HEADERS + 1,
                text=f"More than {_MOST_HEADERS} files would have to be read: name a study or series, or a limit.\n",
            )
        self._left -= 1
        try:
            return self._holdings.header(instance)
        except FileError as error:
            _log.warning("A search did without what instance %s says: %s", instance.uid, error)
            self.unread.add(instance.uid)
            return {}


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

    def result(self, found: Found, instance: Any) -> dict[str, Any]:
        """One result, in the DICOM JSON model; the instance that was found speaks for it."""
        shown = {tag: value for tag, value in found.attributes.items() if tag in self.tags}
        told = instance.shown
        shown |= {tag: told[tag] for tag in self.asked if tag in told and tag not in COUNTED}
        if self.everything or not self.asked <= shown.keys():
            for tag, value in self.reader.of(instance).items():
                if tag in self.asked or (self.everything and _is_of(self.level, tag)):
                    shown.setdefault(tag, value)
        shown[_AVAILABILITY] = _ONLINE
        shown[_RETRIEVE_URL] = {"vr": "UR", "Value": [self.base + _path(found.instances[0], self.level)]}
        return dict(sorted(shown.items()))


def _is_of(level: str, tag: str) -> bool:
    """Whether an attribute is one of a level as a whole, and not of the one instance whose header was read."""
    if level == "studies":
        return tag in OF_STUDY or tag.startswith("0010") or tag in FURTHER_OF_STUDY
    return level == "instances" or not (tag in OF_INSTANCE or tag.startswith(_GROUPS_OF_INSTANCES))


def _default_tags(resource: _Resource) -> frozenset[str]:
    """What comes back unasked (PS3.18 tables 10.6.3-3 to 10.6.3-5): of what the path does not name already, too."""
    of_study = OF_STUDY | COUNTED
    if resource.collection == "studies":
        return of_study
    above = of_study if resource.study is None else frozenset({STUDY})
    if resource.collection == "series":
        return above | _OF_SERIES | _ALWAYS
    return above | (_OF_SERIES if resource.series is None else frozenset({SERIES})) | OF_INSTANCE | _ALWAYS


def _path(instance: Any, level: str) -> str:
    if level == "studies":
        return study_path(instance.ref.study)
    return series_path(instance.ref) if level == "series" else instance_path(instance)

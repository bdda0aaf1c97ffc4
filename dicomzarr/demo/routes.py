"""The resources of PS3.18 chapter 10 that the demo server has."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from dicomzarr.demo.instances import PIXEL_TAGS
from dicomzarr.demo.negotiation import (
    Packaging,
    Representation,
    choose_packaging,
    frame_representation,
)
from dicomzarr.demo.qido import INSTANCES, SERIES, STUDIES, SearchLevel, parse_query, search
from dicomzarr.demo.replies import MultipartReply, Part, make_part
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.demo.archive import Archive
    from dicomzarr.demo.instances import JSONObject, ServedInstance

ROOT = "/dicom-web"
JSON = "application/dicom+json"


def add_routes(app: web.Application, archive: Archive) -> None:
    """Adds every resource below ``ROOT``."""
    resources = Resources(archive)
    study, series = f"{ROOT}/studies/{{study}}", f"{ROOT}/studies/{{study}}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"
    app.add_routes(
        [
            web.get(f"{ROOT}/studies", resources.studies),
            web.get(f"{study}/series", resources.series),
            web.get(f"{study}/instances", resources.instances),
            web.get(f"{series}/instances", resources.instances),
            web.get(f"{series}/metadata", resources.metadata),
            web.get(f"{instance}/metadata", resources.metadata),
            web.get(f"{instance}/frames/{{frames}}", resources.frames),
            web.get(f"{instance}/pixeldata", resources.pixels),
            web.get(instance, resources.whole),
            web.get(series, resources.whole),
        ]
    )


@dataclass(frozen=True)
class Resources:
    """The functions behind the routes."""

    archive: Archive
    documents: dict[tuple[str, bool], bytes] = field(default_factory=dict)
    """Metadata as sent, by path and by whether it is gzipped: made once."""

    async def studies(self, request: web.Request) -> web.Response:
        """Search for studies."""
        return self._search(request, STUDIES)

    async def series(self, request: web.Request) -> web.Response:
        """Search for the series of a study."""
        return self._search(request, SERIES)

    async def instances(self, request: web.Request) -> web.Response:
        """Search for the instances of a series."""
        return self._search(request, INSTANCES)

    async def metadata(self, request: web.Request) -> web.Response:
        """The attributes of all instances of a series, or of one, without pixels."""
        stored = self._find(request)
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        key = (request.path, zipped)
        if key not in self.documents:
            text = _encode([_document(one, _base(request)) for one in stored])
            self.documents[key] = gzip.compress(text, 6, mtime=0) if zipped else text
        headers = {"Content-Type": JSON} | ({"Content-Encoding": "gzip"} if zipped else {})
        return web.Response(body=self.documents[key], headers=headers)

    async def frames(self, request: web.Request) -> web.Response:
        """Frames by their numbers, in the order asked for."""
        (stored,) = self._find(request)
        return _frames(request, stored, _numbers(request.match_info["frames"], stored))

    async def pixels(self, request: web.Request) -> web.Response:
        """All frames: where BulkDataURI points to."""
        (stored,) = self._find(request)
        if not stored.frame_count:
            raise web.HTTPNotFound(text=f"Instance {stored.instance} has no pixel data.\n")
        return _frames(request, stored, range(1, stored.frame_count + 1))

    async def whole(self, request: web.Request) -> web.Response:
        """Whole instances as Part-10 files."""
        bodies = []
        for stored in self._find(request):
            if stored.part10 is None:
                raise web.HTTPNotFound(text=f"Instance {stored.instance} exists in frames only.\n")
            kind = Representation("application/dicom", stored.transfer_syntax)
            location = _location(_base(request), stored)
            bodies.append((kind, make_part(kind.content_type, location, stored.part10())))
        return _negotiated(request, [kind for kind, _ in bodies], [part for _, part in bodies])

    def _search(self, request: web.Request, level: SearchLevel) -> web.Response:
        scope = (request.match_info.get("study"), request.match_info.get("series"))
        try:
            query = parse_query(request.query.items())
        except UsageError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        results = search(self.archive.instances(*scope), level, query, _base(request))
        return web.Response(body=_encode(results), content_type=JSON)

    def _find(self, request: web.Request) -> list[ServedInstance]:
        """The instances that the path names: at least one."""
        path = request.match_info
        found = self.archive.instances(path["study"], path["series"], path.get("instance"))
        if not found:
            raise web.HTTPNotFound(text=f"Nothing is stored under {request.path}\n")
        return found


def _encode(objects: Sequence[JSONObject]) -> bytes:
    return msgspec.json.encode(objects, enc_hook=str)  # str for pydicom's UID


def _base(request: web.Request) -> str:
    host, port = request.get_extra_info("sockname")  # clients leave the port out of Host
    return f"http://{host}:{port}{ROOT}"


def _location(base: str, stored: ServedInstance) -> str:
    return f"{base}/studies/{stored.study}/series/{stored.series}/instances/{stored.instance}"


def _document(stored: ServedInstance, base: str) -> JSONObject:
    metadata = stored.metadata()
    uri = f"{_location(base, stored)}/pixeldata"
    pixels = {tag: metadata[tag] | {"BulkDataURI": uri} for tag in PIXEL_TAGS & metadata.keys()}
    return metadata | pixels


def _numbers(text: str, stored: ServedInstance) -> Sequence[int]:
    words = text.split(",")
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(numbers) == len(words) and all(1 <= n <= stored.frame_count for n in numbers):
        return numbers
    raise web.HTTPBadRequest(text=f"Instance {stored.instance} has the frames 1 to {stored.frame_count}, not {text}\n")


def _frames(request: web.Request, stored: ServedInstance, numbers: Sequence[int]) -> web.Response:
    kind = frame_representation(stored.transfer_syntax)
    location = _location(_base(request), stored)
    parts = [make_part(kind.content_type, f"{location}/frames/{number}", stored.frame(number)) for number in numbers]
    return _negotiated(request, [kind], parts)


def _negotiated(request: web.Request, kinds: Sequence[Representation], parts: Sequence[Part]) -> web.Response:
    """The parts as the Accept header wants them."""
    accept = ", ".join(request.headers.getall("Accept", []))
    choices = {choose_packaging(accept, kind, len(parts)) for kind in kinds}
    if None in choices:
        offered = " and ".join(sorted({kind.content_type for kind in kinds}))
        raise web.HTTPNotAcceptable(text=f"Stored is {offered}; nothing is transcoded.\n")
    if choices == {Packaging.SINGLE}:
        return web.Response(body=bytes(parts[0].body), headers=dict(parts[0].headers))
    return MultipartReply(parts)

"""What answers at a URL, and where the DICOMweb service of a host is: for messages, after something failed."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

import msgspec

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import DicomZarrError, HTTPStatusError
from dicomzarr.sources.dicomweb.negotiation.accept import METADATA_ACCEPTS
from dicomzarr.sources.dicomweb.urls import series_metadata_url
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.urls import origin_of, safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.http.transport import Response

SERVICE_PATHS: Final = (
    "dicom-web",  # Orthanc
    "dicomweb",
    "orthanc/dicom-web",  # Orthanc behind a proxy
    "dcm4chee-arc/aets/DCM4CHEE/rs",
    "pacs/dicom-web",
    "pacs",
    "api/dicom-web",
    "api/dicomweb",
    "rs",
    "dicom/rs",
    "dicom",
    "wado",
    "v2",  # Azure's service, by its version
    "v1",
)
"""Where servers have their DICOMweb service unless they are told otherwise."""

_HEAD: Final = 64 * 2**10
"""Bytes of a reply that are looked at."""

_TITLE: Final = re.compile(rb"<title[^>]*>\s*([^<]{1,100}?)\s*</title", re.IGNORECASE)
_LOGIN_TITLE: Final = re.compile(r"(?:sign|log)[ -]?(?:in|on)\b|anmeld|connexion", re.IGNORECASE)
"""Of login pages whose fields a script makes."""
_PASSWORD: Final = re.compile(rb"""type\s*=\s*["']?password""", re.IGNORECASE)
_UNAUTHORIZED: Final = 401
_REFUSED: Final = frozenset({401, 403, 407})
_ABSENT: Final = frozenset({404, 405, 410, 501})
_FAILING: Final = frozenset({429, 500, 502, 503, 504})
_OTHER_MEDIA_TYPE: Final = frozenset({400, 406, 415})
_CONFIGURED: Final = re.compile(rb"""(?:qido|wado)Root["']?\s*:\s*["'`]([^"'`\s]{1,500})["'`]""")
"""How viewers of the OHIF family are told of their server."""

_RESOURCE: Final = re.compile(
    r"(?P<base>.*?)/*(?:/studies(?:/+(?P<study>[^/]*\d[^/]*)(?:/+series(?:/+(?P<series>[^/]*\d[^/]*))?)?(?:/.*)?)?/*"
    r"|/(?:series|instances)/*)"
)
"""The path of a resource of DICOMweb (PS3.18 section 10): who is given one need not know where its base ends."""

GATEWAY: Final = "of dicomzarr serve"
"""Ours, whose page stands before series as OME-Zarr."""

_VIEWERS: Final[tuple[tuple[str, bytes, str], ...]] = (
    ("OHIF", rb"OHIF|ohif-viewer|app-config\.js", "/ohif"),
    ("Slim", rb"\bSlim\b|slim-viewer", "/slim"),
    ("Orthanc Explorer", rb"Orthanc Explorer", "/app/explorer|/ui/app"),
    ("Stone Web viewer", rb"Stone of Orthanc|Stone Web", "/stone-webviewer"),
    ("Weasis", rb"weasis", "/weasis"),
    (GATEWAY, rb"<title>dicomzarr</title>", "(?!)"),
)
"""Viewers by name, by what their page says and by how their path begins."""


class Upstream(msgspec.Struct, frozen=True):
    """What a gateway of ours serves, as its API says."""

    name: Annotated[str, msgspec.Meta(max_length=100)]
    url: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    """Empty where only the gateway's own machine may know the folder."""

    @property
    def words(self) -> str:
        """Where it lies, as far as the gateway says."""
        return self.url or f"a folder that it calls {self.name!r}"


class _Overview(msgspec.Struct, frozen=True):
    upstreams: Annotated[list[Upstream], msgspec.Meta(max_length=100)]


class AnswerKind(Enum):
    """What an answer shows to be there."""

    SERVICE = auto()
    """A DICOMweb service."""
    REFUSED = auto()
    """Somebody who wants credentials, or other ones."""
    LOGIN_PAGE = auto()
    """A page that asks for a password."""
    PAGE = auto()
    """A page for people."""
    ABSENT = auto()
    """Nothing."""
    FAILING = auto()
    """Somebody who fails; a proxy, perhaps, whose server does not answer."""
    XML = auto()
    """A DICOMweb service that answers in the other form of metadata, which is not read here (PS3.19 annex A)."""
    OTHER = auto()
    """Something else."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one GET brought."""

    url: str
    """After redirects."""
    status: int
    media: MediaType
    head: bytes
    """The beginning of the body; empty where the status is an error."""
    remedy: str = ""
    """Where it wants credentials: what to do, by what it says."""

    @property
    def kind(self) -> AnswerKind:
        """What it shows, where studies were asked for."""
        if self.status in _REFUSED:
            return AnswerKind.REFUSED
        if self.status >= 400:  # noqa: PLR2004  # HTTP's errors
            failing = AnswerKind.FAILING if self.status in _FAILING else AnswerKind.OTHER
            return AnswerKind.ABSENT if self.status in _ABSENT else failing
        if "application/dicom+xml" in {self.media.name, MediaType.parse(self.media.parameters.get("type", "")).name}:
            return AnswerKind.XML
        if self.media.is_html or self.head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
            is_login = _PASSWORD.search(self.head) or _LOGIN_TITLE.match(self.title)
            return AnswerKind.LOGIN_PAGE if is_login else AnswerKind.PAGE
        return AnswerKind.SERVICE if self._lists_studies else AnswerKind.OTHER

    @property
    def title(self) -> str:
        """What a page calls itself."""
        found = _TITLE.search(self.head)
        return " ".join(found[1].decode("utf-8", "replace").split()) if found else ""

    @property
    def viewer(self) -> str:
        """The viewer that it is the page of; empty if none is known."""
        by_page = (name for name, shown, _ in _VIEWERS if re.search(shown, self.head))
        return next(by_page, "") or viewer_at(self.url)

    @property
    def words(self) -> str:
        """What is at the URL, in words."""
        title = f" ({self.title!r})" if self.title else ""
        words = {
            AnswerKind.SERVICE: "a DICOMweb service",
            AnswerKind.LOGIN_PAGE: f"a page that asks for a password{title}",
            AnswerKind.PAGE: self._known_page or f"a web page{title}",
            AnswerKind.ABSENT: f"not there (status {self.status})",
            AnswerKind.REFUSED: f"closed (status {self.status})",
            AnswerKind.FAILING: f"failing (status {self.status})",
            AnswerKind.XML: "a service that answers in XML",
        }
        return words.get(self.kind, f"something else (status {self.status}, {self.media.name or 'without a type'})")

    @property
    def _known_page(self) -> str:
        if self.viewer:
            return f"the viewer {self.viewer}"
        return "a page that lists files" if self.lists_files else ""

    @property
    def lists_files(self) -> bool:
        """Whether it is the page of a folder, as web servers make them."""
        return self.title.lower().startswith(("index of", "directory listing for"))

    @property
    def _lists_studies(self) -> bool:
        """An array of studies or instances in DICOM JSON; an empty one if its media type says so too; or no content."""
        if self.status == 204:  # noqa: PLR2004  # No Content
            return True
        text = self.head.strip()
        if text == b"[]":
            return self.media.name.endswith("json")
        if not text.startswith(b"["):
            return False
        # The body may be cut: what counts is in its first object.
        return re.search(rb'^\[\s*\{.*?"0020000D"\s*:', text, re.DOTALL | re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True)
class Pasted:
    """What a URL shows that was copied out of a browser."""

    base: str
    """Without resources of DICOMweb and what stands behind: the query and the fragment are gone."""
    study: str | None = None
    """The study that it names."""
    series: str | None = None
    """Likewise."""


def viewer_at(url: str) -> str:
    """The viewer whose page is known by the path of its URL; empty for others."""
    path = urlsplit(url).path
    return next((name for name, _, paths in _VIEWERS if re.match(paths, path)), "")


def read_pasted(url: str) -> Pasted:
    """Read a URL as somebody has it; the UIDs of a resource, and of a viewer's query or fragment, are kept."""
    parts = urlsplit(url)
    path = _RESOURCE.fullmatch(parts.path)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path['base'] if path else parts.path}".rstrip("/")
    told = [*parse_qsl(parts.query), *parse_qsl(parts.fragment.partition("?")[2])]
    if path:
        told += [("study", path["study"] or ""), ("series", (path["series"] or "").removesuffix(".zarr"))]
    study = _uid_of(told, "studyinstanceuids", "studyinstanceuid", "study", "studyuid")
    return Pasted(base, study, _uid_of(told, "seriesinstanceuids", "seriesinstanceuid", "series", "seriesuid"))


def _uid_of(told: list[tuple[str, str]], *names: str) -> str | None:
    values = (value.partition(",")[0] for name, value in told if name.lower() in names)
    return next((value for value in values if is_uid(value)), None)


async def answer_of(client: Client, url: str, accept: str = "*/*") -> Answer:
    """Ask once what is at a URL of a server.

    Args:
        client: Asks; its credentials go along if the URL is of its origin.
        url: http or https.
        accept: What is asked for.

    Raises:
        ServerError: There is no answer.
    """

    async def read(response: Response) -> Answer:
        head = b""
        async for chunk in response.chunks():
            head += chunk
            if len(head) >= _HEAD:
                break
        media = MediaType.parse(response.headers.get("content-type", ""))
        return Answer(response.url, response.status, media, head[:_HEAD])

    try:
        return await client.look(url, accept, read)
    except HTTPStatusError as error:
        return Answer(error.redirected_to or url, error.status, MediaType.parse(""), b"", error.remedy)


async def service_answer(client: Client, base: str, study: str | None = None, series: str | None = None) -> Answer:
    """What a server answers at a base URL when it is asked for a study; or for a known series, if it has no search.

    Raises:
        ServerError: There is no answer.
    """
    answer = await _json_answer(client, f"{base}/studies?limit=1")
    if study is None or series is None or answer.kind is AnswerKind.SERVICE or answer.status == _UNAUTHORIZED:
        return answer
    metadata = await _json_answer(client, series_metadata_url(base, study, series))
    return metadata if metadata.kind in (AnswerKind.SERVICE, AnswerKind.REFUSED) else answer


async def _json_answer(client: Client, url: str) -> Answer:
    """As the client itself asks: by the media type of the standard, and then by another."""
    for accept in METADATA_ACCEPTS:
        answer = await answer_of(client, url, accept)
        if answer.status not in _OTHER_MEDIA_TYPE:
            break
    return answer


async def services(client: Client, base: str) -> list[str]:
    """Base URLs near another one at which a DICOMweb service answers, or would with credentials; the likeliest first.

    Asks some twenty URLs of that one host.
    """
    bases = list(candidates(base))
    answers = await asyncio.gather(*(service_answer(client, each) for each in bases), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, DicomZarrError):
            raise answer
    kinds = {each: answer.kind for each, answer in zip(bases, answers, strict=True) if isinstance(answer, Answer)}
    found = [each for each in bases if kinds.get(each) is AnswerKind.SERVICE]
    if found or kinds.get("{0.scheme}://{0.netloc}".format(urlsplit(base))) is AnswerKind.REFUSED:
        return found  # who refuses everything says nothing by refusing
    return [each for each in bases if kinds.get(each) is AnswerKind.REFUSED]


def candidates(base: str) -> Iterable[str]:
    """Base URLs on the host of another one at which a service may be: above it, and at the usual paths."""
    scheme, _, rest = base.partition("://")
    host, *path = [part for part in rest.split("/") if part]
    parents = [path[:length] for length in range(len(path), -1, -1)]
    usual = [usual.split("/") for usual in SERVICE_PATHS]
    places = [*parents, *usual, *(path[:1] + each for each in usual[:2] if path)]
    places += [[*path, *each] for each in (["dicom-web"], ["dicomWeb"], ["dicomweb"], ["rs"]) if path]
    return dict.fromkeys("/".join((f"{scheme}://{host}", *place)) for place in places)


async def upstreams_at(client: Client, base: str) -> list[Upstream]:
    """What a gateway of ours at a URL's host serves; none where there is no gateway, or none that tells.

    Raises:
        ServerError: There is no answer.
    """
    answer = await answer_of(client, "{0.scheme}://{0.netloc}/api/".format(urlsplit(base)), "application/json")
    try:
        return msgspec.json.decode(answer.head, type=_Overview).upstreams
    except msgspec.MsgspecError:
        return []


async def configured_service(client: Client, page: Answer) -> str | None:
    """The DICOMweb service that a viewer of the OHIF family is told of, by the files of its own host."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    for url in (f"{origin}/app-config.js", f"{origin}/config/local.js"):
        try:
            answer = await answer_of(client, url)
        except DicomZarrError:
            return None
        found = _CONFIGURED.search(answer.head)
        if found:
            try:
                named = urljoin(origin, found[1].decode("ascii"))
                origin_of(named)
            except ValueError:
                return None
            return safe_url(named).rstrip("/")
    return None

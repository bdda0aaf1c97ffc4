"""Why a server does not have a series, or which ones it has: it is asked, after something went wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import (
    DicomZarrError,
    InvalidReplyError,
    InvalidURLError,
    NotFoundError,
    SeveralSeriesError,
    UsageError,
)
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.kinds import parse_url
from dicomzarr.sources.dicomweb.discovery import AnswerKind, service_answer, services, upstreams_at
from dicomzarr.sources.dicomweb.source import DICOMwebSource
from dicomzarr.sources.dicomweb.urls import DICOMwebURL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.engine.ports import SeriesSource
    from dicomzarr.session.kinds import SeriesURL
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.discovery import Answer, Upstream

_MOST_SECONDS: Final = 10.0
_BAD_REQUEST: Final = 400

_STUDY, _SERIES, _MODALITY = "0020000D", "0020000E", "00080060"


def explain(
    error: DicomZarrError, source: SeriesSource, url: SeriesURL, *, most_seconds: float = _MOST_SECONDS
) -> None:
    """Let an error say why there is nothing, where a few requests can find it out; else it stays as it is.

    Args:
        error: What opening or listing ended with.
        source: Where it was looked for.
        url: What was looked for.
        most_seconds: For which the error may wait to say more.
    """
    run_sync(explained, error, source, url, most_seconds)


async def explained(
    error: DicomZarrError, source: SeriesSource, url: SeriesURL, most_seconds: float = _MOST_SECONDS
) -> None:
    """As `explain`, on the home loop."""
    tells = isinstance(error, NotFoundError | InvalidReplyError) or getattr(error, "status", 0) == _BAD_REQUEST
    if tells and isinstance(source, DICOMwebSource) and isinstance(url, DICOMwebURL):
        error.remedy = await _reason(source.client, url, most_seconds) or error.remedy


def none_named(source: SeriesSource, url: SeriesURL) -> UsageError:
    """The error for a server's URL that ends above a series; of a study it lists the series, if the server does."""
    try:
        found = [] if url.study is None else run_sync(_series_of, source, url.study)
    except (DicomZarrError, TimeoutError):
        found = []
    lines = [f"{replace(url, series=uid)} ({modality or 'unknown modality'})" for uid, modality in found]
    if not lines:
        return InvalidURLError(f"{url} names no series.", remedy=f"dicomzarr ls {url} lists what is there.")
    return SeveralSeriesError(f"{url} names no series. Name one of:", lines)


async def _series_of(source: SeriesSource, study: str) -> list[tuple[str, str]]:
    """(Series Instance UID, Modality) of each series of a study."""
    async with asyncio.timeout(_MOST_SECONDS):
        found: list[dict[str, Any]] = await source.search(f"studies/{study}/series", {})
    named = ((first_text(each, _SERIES), first_text(each, _MODALITY)) for each in found)
    return [(uid, modality) for uid, modality in named if is_uid(uid)]


async def _reason(client: Client, url: DICOMwebURL, most_seconds: float) -> str:
    """What to say; empty where that is not known."""
    try:
        async with asyncio.timeout(most_seconds):
            answer = await service_answer(client, url.base)
            if answer.kind is AnswerKind.SERVICE:
                return await _at_a_service(client, url)
            if answer.kind is AnswerKind.REFUSED:
                return ""
            return await _elsewhere(client, url, answer)
    except (DicomZarrError, TimeoutError):
        return ""


async def _elsewhere(client: Client, url: DICOMwebURL, answer: Answer) -> str:
    """What is at a URL that is no service, and where the service of its host is."""
    upstreams = await upstreams_at(client, url.base)
    if upstreams:
        return _at_a_gateway(url, upstreams)
    found = await services(client, url.base)
    if found:
        return f"{url.base} is {answer.words}: the DICOMweb service is {found[0]}."
    looks = f"dicomzarr doctor {url.base} looks closer."
    if answer.kind in (AnswerKind.PAGE, AnswerKind.LOGIN_PAGE) and not answer.viewer:
        return f"{url.base} is {answer.words}: if that is a login form, give credentials; {looks}"
    return f"Nothing at {url.base} is DICOMweb: it is {answer.words}. Orthanc's base is /dicom-web; {looks}"


def _at_a_gateway(url: DICOMwebURL, upstreams: Sequence[Upstream]) -> str:
    """What to open in the place of what a gateway of ours serves as OME-Zarr."""
    parts = url.base.split("/")
    meant = upstreams if len(upstreams) == 1 else [each for each in upstreams if each.name in parts[3:]]
    whom = "its URLs are for" if url.series is None else "give this URL to"
    said = f"This is a gateway of dicomzarr: {whom} zarr and OME-Zarr tools"
    if len(meant) != 1 or not meant[0].url:
        return f"{said}; dicomzarr takes those of its upstreams: {', '.join(each.words for each in upstreams)}."
    there = replace(parse_url(meant[0].url), study=url.study, series=url.series)
    return f"{said}; dicomzarr takes that of its upstream: {there}."


async def _at_a_service(client: Client, url: DICOMwebURL) -> str:
    if url.study is None:
        return ""
    try:
        listed = await client.search(f"studies/{url.study}/series", {})
    except NotFoundError:
        listed = []
    if not listed:
        if url.series is not None and _names(await client.search("studies", {_STUDY: url.series}), _STUDY, url.series):
            return "The server has a study of the series' UID: study and series may be swapped."
        return f"The server works, and has no such study: dicomzarr ls {url.base} lists what it has."
    if url.series is None or _names(listed, _SERIES, url.series):
        return ""
    few = f"{len(listed)} series" if len(listed) > 1 else "one series"
    return f"The server works, and the study has {few}, but not this one: dicomzarr ls {_above(url)} lists them."


def _above(url: DICOMwebURL) -> str:
    return f"{url.base}/studies/{url.study}"


def _names(results: list[dict[str, object]], tag: str, uid: str) -> bool:
    """Whether one of the results has this UID: some servers ignore filters."""
    values = (result.get(tag) for result in results)
    return any(isinstance(value, dict) and value.get("Value") == [uid] for value in values)

"""The series that the URL of a viewer shows, as people copy it out of a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.errors import DicomZarrError, InvalidURLError
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.discovery import (
    AnswerKind,
    answer_of,
    configured_service,
    read_pasted,
    service_answer,
    services,
    viewer_at,
)
from dicomzarr.sources.dicomweb.source import DICOMwebSource
from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.http.urls import safe_url

if TYPE_CHECKING:
    from dicomzarr.options import StorageOptions
    from dicomzarr.sources.dicomweb.client import Client


def shown_at(url: str, options: StorageOptions) -> DICOMwebURL | None:
    """The study or series that a viewer's URL names in its query, on the service of its host.

    Args:
        url: http or https. A query or fragment without a Study Instance UID is none of a viewer, but at known paths.
        options: How the host is asked, some twenty times.

    Returns:
        None where the URL is none of a viewer.

    Raises:
        InvalidURLError: There is no DICOMweb service at that host, or the page names no study.
        ServerError: The host did not answer.
    """
    shown = read_pasted(url) if "?" in url or "#" in url else None
    viewer = viewer_at(url)
    if shown is None or (shown.study is None and not viewer):
        return None
    source = endpoint_for(DICOMwebURL.parse(shown.base).base, options).source
    assert isinstance(source, DICOMwebSource)  # noqa: S101  # that of http and https
    base, configured = run_sync(_service, source.client, shown.base)
    if shown.study is None:
        where = base or configured
        raise InvalidURLError(
            f"{safe_url(url)} is a page of {viewer}, whose URL names no study by its UID.",
            remedy=f"dicomzarr ls {where} lists those of its DICOMweb service."
            if where
            else "Give the UID of a study.",
        )
    resource = f"studies/{shown.study}" + (f"/series/{shown.series}" if shown.series else "")
    if base is None:
        where = configured or "SERVER"
        raise InvalidURLError(
            f"{safe_url(url)} shows study {shown.study}, and its host has no DICOMweb service that is known.",
            remedy=f"Write {where}/{resource}; dicomzarr doctor looks closer.",
        )
    return DICOMwebURL.parse(f"{base}/{resource}")


async def _service(client: Client, page: str) -> tuple[str | None, str | None]:
    """The service of the page's host; or else the one, elsewhere, that the page is told to use."""
    answer = await service_answer(client, page)
    if answer.kind is AnswerKind.REFUSED:  # who asked on with credentials that are refused might lock their owner out
        return page, None
    found = await services(client, page)
    if found:
        return found[0], None
    try:
        return None, await configured_service(client, await answer_of(client, page, "text/html, */*"))
    except DicomZarrError:
        return None, None

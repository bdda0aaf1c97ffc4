"""Looks at a DICOMweb server step by step, as a person would who has to say why it does not work."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dicomzarr.errors import ConnectionFailedError, DicomZarrError, InsecureTransportError, ServerError, UsageError
from dicomzarr.faces.doctor.network import way_to, way_to_proxy
from dicomzarr.faces.doctor.report import Finding, Outcome, Report
from dicomzarr.faces.doctor.service import ServiceCheck
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.tracebacks import keeps_secrets
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.discovery import (
    GATEWAY,
    AnswerKind,
    answer_of,
    configured_service,
    read_pasted,
    service_answer,
    services,
    upstreams_at,
)
from dicomzarr.sources.dicomweb.source import DICOMwebSource
from dicomzarr.sources.dicomweb.urls import DICOMwebURL
from dicomzarr.sources.http.connection import ConnectionSettings, proxy_of
from dicomzarr.sources.http.network_errors import PROXY_LOGIN
from dicomzarr.sources.http.urls import origin_of, pasted, safe_url, split_user_info

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.discovery import Answer

__all__ = ["Finding", "Outcome", "Report", "doctor"]

_SCHEMES = {"dicomweb": "http", "dicomwebs": "https", "http": "http", "https": "https"}
_STEP_SECONDS = 10.0
_ASK = "Ask for the DICOMweb URL of the server; Orthanc's ends in /dicom-web, and dcm4chee's in /rs."
_MAYBE_CERTIFICATE = "It may want a client certificate: name yours by cert=, --cert on the command line."
_NO_ANSWER = "A proxy answers, and the server behind it does not: have that started, or look again in a while."
_FAILS = {
    429: "It limits requests: look again in a while, and read with max_connections=1.",
    502: _NO_ANSWER,
    503: "A proxy answers, and the server behind it does not, or has too much to do: look again in a while.",
    504: _NO_ANSWER,
}
"""Statuses of those who fail: what to do."""
_UNAUTHORIZED, _PROXY_WANTS_LOGIN = 401, 407


@keeps_secrets
def doctor(url: str, **storage_options: Any) -> Report:
    """Look at a server: the way to it, whether it is DICOMweb and where, rights, search, metadata, frames, speed.

    Asks that one host only, a few dozen small requests; nothing is changed there, and no password is tried twice.

    Args:
        url: Of a server, a study or series on it, a viewer, or whatever else somebody was given; http, https, dicomweb
            or dicomwebs.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Returns:
        What was found. What does not work is in the report, and not raised.

    Raises:
        InvalidURLError: It is no URL of these.
        InvalidOptionError: An option is unknown or has an impossible value.
    """
    text, user = split_user_info(pasted(url))
    if user:
        storage_options = {**storage_options, "auth": user}
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() not in _SCHEMES:
        raise UsageError(
            f"{safe_url(text) if mark else 'This'} is no URL of a server.",
            remedy="Write http://HOST or https://HOST; for folders and buckets see dicomzarr ls.",
        )
    return _Doctor(f"{_SCHEMES[scheme.lower()]}://{rest}", StorageOptions.parse(**storage_options)).report()


class _Doctor:
    """One examination."""

    def __init__(self, url: str, options: StorageOptions) -> None:
        self._told = safe_url(url)
        self._pasted = read_pasted(url)
        self._options = options
        self._findings: list[Finding] = []

    def report(self) -> Report:
        base, readable = None, False
        try:
            target = self._target()
            if target is not None:
                base = target.base
                check = ServiceCheck(self._client(base), target, self._options, self._findings)
                readable = check.run()
        except DicomZarrError as error:
            self._add("request", Outcome.FAILS, str(error.args[0]), error.remedy)
        return Report(self._told, base, tuple(self._findings), readable)

    def _add(self, check: str, outcome: Outcome, found: str, consequence: str = "", **more: Any) -> None:
        self._findings.append(Finding(check, outcome, found, consequence, **more))

    def _client(self, base: str) -> Client:
        source = endpoint_for(base, self._options).source
        assert isinstance(source, DICOMwebSource)  # noqa: S101  # that of http and https
        return source.client

    # --- where the service is ---

    def _target(self) -> DICOMwebURL | None:
        """What is to be read, on the service that was found."""
        parsed = self._parsed()
        try:
            answer = run_sync(self._answer, parsed)
            if answer is None:
                return None
        except InsecureTransportError as error:
            self._add("credentials", Outcome.FAILS, str(error.args[0]), error.remedy)
            return None
        except ServerError as error:
            self._explain(parsed.base, error)
            return None
        host = urlsplit(parsed.base).netloc
        found = f"A proxy answers for {host}." if proxy_of(parsed.base) else f"{host} answers."
        self._add("connection", Outcome.WORKS, found)
        if origin_of(answer.url) != origin_of(parsed.base):
            self._led_elsewhere(answer)
        if answer.kind is AnswerKind.SERVICE:
            self._add("DICOMweb", Outcome.WORKS, f"{parsed.base} is a DICOMweb service.")
            return parsed
        return self._elsewhere(parsed, answer)

    async def _answer(self, parsed: DICOMwebURL) -> Answer | None:
        """What answers at the base; None where it is silent, and no HTTP is spoken there."""
        asked = service_answer(self._client(parsed.base), parsed.base, parsed.study, parsed.series)
        asking = asyncio.create_task(asked)
        if (await asyncio.wait([asking], timeout=_STEP_SECONDS))[0]:
            return await asking
        steps = await self._way(parsed.base)
        if not any(each.outcome is Outcome.FAILS for each in steps):
            return await asking  # it is slow
        asking.cancel()
        self._findings += steps
        return None

    def _led_elsewhere(self, answer: Answer) -> None:
        there = "{0.scheme}://{0.netloc}".format(urlsplit(answer.url))
        self._add(
            "redirect",
            Outcome.NOTICE,
            f"It leads to {there}.",
            "Write that in the place of what was given: credentials do not follow to another host, port or scheme.",
        )

    def _parsed(self) -> DICOMwebURL:
        found = self._pasted
        try:
            parsed = DICOMwebURL.parse(f"{found.base}/studies")
        except DicomZarrError:  # a path that no service can have
            parsed = DICOMwebURL.parse("{0.scheme}://{0.netloc}".format(urlsplit(found.base)))
        return replace(parsed, study=found.study, series=found.series)

    def _explain(self, base: str, error: ServerError) -> None:
        """Nothing came: why."""
        steps = run_sync(self._way, base)
        self._findings += steps
        if isinstance(error, ConnectionFailedError) and any(each.outcome is Outcome.FAILS for each in steps):
            return
        dropped = isinstance(error, ConnectionFailedError) and base.startswith("https:")
        remedy = _MAYBE_CERTIFICATE if dropped and self._options.access.cert is None else ""
        self._add("answer", Outcome.FAILS, str(error.args[0]), error.remedy or remedy)

    async def _way(self, base: str) -> list[Finding]:
        access = self._options.access
        seconds = min(_STEP_SECONDS, self._options.timeout)
        if proxy := proxy_of(base):
            return await way_to_proxy(proxy.url, seconds)
        tls = ConnectionSettings(ca=access.ca, certificate=access.cert).tls(own_server=True)
        return await way_to(base, seconds, tls)

    def _elsewhere(self, parsed: DICOMwebURL, answer: Answer) -> DICOMwebURL | None:
        """It is no service: what it is, and whether there is one near it."""
        refused = answer.kind is AnswerKind.REFUSED
        given = refused and not self._options.access.anonymous  # sent again they might lock their owner out
        near = [] if given else run_sync(services, self._client(parsed.base), parsed.base)
        if refused and near[:1] in ([], [parsed.base]):  # nobody is more open than who was asked
            self._refused(answer, parsed.base)
            return None
        page = run_sync(self._page, parsed.base)
        if near:
            told = f"The DICOMweb service is {near[0]}."
            self._add("DICOMweb", Outcome.NOTICE, f"{parsed.base} is {page.words}.", told)
            target = replace(parsed, base=near[0])
            again = run_sync(service_answer, self._client(target.base), target.base)
            if again.kind is AnswerKind.SERVICE:
                return target
            self._refused(again, target.base)
            return None
        viewed = page.kind is AnswerKind.PAGE
        configured = run_sync(configured_service, self._client(parsed.base), page) if viewed else None
        upstreams = run_sync(upstreams_at, self._client(parsed.base), parsed.base)
        consequence = _consequence(page.kind, answer)
        if configured:
            consequence = f"It is told to use {configured}: look at that."
        elif page.viewer == GATEWAY or upstreams:
            told = f": {', '.join(each.words for each in upstreams)}" if upstreams else ""
            consequence = f"It serves OME-Zarr: give its URLs to such tools, or look at what it was started for{told}."
        elif page.lists_files:
            consequence = f"If it lists DICOM files, they open as such: dicomzarr ls {parsed.base}/"
        words = "a gateway of dicomzarr" if upstreams else page.words
        found = f"{parsed.base} is {words}, and no DICOMweb service."
        if answer.kind is AnswerKind.XML:
            found = f"{parsed.base} is a DICOMweb service that answers in XML (application/dicom+xml)."
            consequence = "Only JSON is read: have it offer application/dicom+json."
        if answer.kind is AnswerKind.FAILING:
            found = f"{parsed.base} fails: status {answer.status} came where studies were asked for."
        self._add("DICOMweb", Outcome.FAILS, found, consequence)
        return None

    async def _page(self, base: str) -> Answer:
        return await answer_of(self._client(base), self._pasted.base or base, "text/html, */*")

    def _refused(self, answer: Answer, base: str) -> None:
        if answer.status == _PROXY_WANTS_LOGIN:
            self._add("proxy", Outcome.FAILS, "The proxy wants a login, or another one.", PROXY_LOGIN)
            return
        given = not self._options.access.anonymous and origin_of(answer.url) == origin_of(base)
        found = f"The service answers with status {answer.status}"
        if given:
            found += " to the credentials that were given."
        else:
            found += (
                ", as no credentials were given." if self._options.access.anonymous else ": no credentials go there."
            )
        if answer.status == _UNAUTHORIZED:
            option = 'auth="env:TOKEN"' if "Bearer" in answer.remedy else "auth=(USER, PASSWORD)"
            self._add("rights", Outcome.FAILS, found, answer.remedy, options=() if given else (option,))
        else:
            self._add("rights", Outcome.FAILS, found, "Ask whoever runs the server for the right to read.")


def _consequence(page: AnswerKind, answer: Answer) -> str:
    """What to do about what is no service.

    Args:
        page: What is there for people.
        answer: What came when studies were asked for.
    """
    kinds = (page, answer.kind)
    if AnswerKind.LOGIN_PAGE in kinds:
        return "Log in, and give what that gives you: a token by headers, or auth."
    if AnswerKind.FAILING in kinds:
        return _FAILS.get(answer.status, "The server's log says why.")
    if kinds == (AnswerKind.PAGE, AnswerKind.PAGE):
        return f"It answers with a page whatever is asked, as viewers do. {_ASK}"
    if answer.kind is AnswerKind.ABSENT:
        return f"{_ASK} A service without a search shows itself by the URL of a series."
    return _ASK

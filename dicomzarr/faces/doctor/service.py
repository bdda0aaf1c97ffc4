"""What a DICOMweb service gives, and how: search, metadata, frames in each way, and one frame read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from dicomzarr.arrays.image import Image
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.dicom.pixels.syntax import transfer_syntax_name
from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import AuthenticationError, DicomZarrError, HTTPStatusError, PermissionDeniedError
from dicomzarr.faces.doctor.report import Finding, Outcome
from dicomzarr.faces.results import texts_of
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.sources.dicomweb.messages.replies import refuse_page, refuse_text
from dicomzarr.sources.dicomweb.negotiation.accept import INSTANCE_ACCEPTS, LADDER, WHOLE_SERIES_ACCEPT
from dicomzarr.sources.dicomweb.urls import frames_url, instance_url, series_url
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from dicomzarr.arrays.level import Level
    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.options import StorageOptions
    from dicomzarr.sources.dicomweb.client import Client
    from dicomzarr.sources.dicomweb.urls import DICOMwebURL
    from dicomzarr.sources.http.transport import Response

_STUDY, _SERIES, _MODALITY = "0020000D", "0020000E", "00080060"
_WITHOUT_PIXELS: Final = frozenset({"SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "REG", "DOC", "PLAN", "AU", "ECG", "HD"})
_STUDIES, _SERIES_OF_EACH = 20, 20
"""Studies that are looked through for an image, and series of each."""

_TRIES = 3
_LISTED = 16
_PREFIX = 2**16
"""Bytes of a reply after which it is known to serve."""


@dataclass(slots=True)
class ServiceCheck:
    """Looks at one service, and gathers what it finds."""

    client: Client
    url: DICOMwebURL
    options: StorageOptions
    findings: list[Finding] = field(default_factory=list)

    def run(self) -> bool:
        """Look at everything; gives whether an image was read."""
        target = self._series_to_read()
        if target is None:
            return False
        image = self._opened(target)
        return image is not None and self._frames(image, target)

    def _add(self, check: str, outcome: Outcome, found: str, consequence: str = "", **more: Any) -> None:
        self.findings.append(Finding(check, outcome, found, consequence, **more))

    def _failed(self, check: str, error: DicomZarrError) -> None:
        self._add(check, Outcome.FAILS, _without_uids(str(error.args[0])), error.remedy)

    # --- search ---

    def _series_to_read(self) -> DICOMwebURL | None:
        """A series that may hold an image: that of the URL, or the first that a search finds."""
        if self.url.series is not None:
            return self.url
        try:
            return self._searched()
        except DicomZarrError as error:
            self._failed("search", error)
            return None

    def _searched(self) -> DICOMwebURL | None:
        studies = [self.url.study] if self.url.study else self._studies()
        for study in studies:
            series = run_sync(self.client.search, f"studies/{study}/series", {})
            for each in series[:_SERIES_OF_EACH]:
                uid = next(iter(texts_of(each, _SERIES)), "")
                if is_uid(uid) and not _WITHOUT_PIXELS & set(texts_of(each, _MODALITY)):
                    return replace(self.url, study=study, series=uid)
        where = "the study" if self.url.study else f"the first {len(studies)} studies" if studies else "the service"
        text = f"No series of images in {where}."
        self._add("series", Outcome.NOTICE, text, "Give the URL of a series to have its frames looked at.")
        return None

    def _studies(self) -> list[str]:
        began = time.perf_counter()
        found = self._found({}, _STUDIES)
        took = time.perf_counter() - began
        count = f"{len(found)} studies, and perhaps more" if len(found) >= _STUDIES else _count(len(found), "study")
        self._add("search", Outcome.WORKS, f"It lists {count}.", seconds=took)
        if found:
            self._look_at_filters(found)
        return found

    def _found(self, filters: dict[str, str], wanted: int) -> list[str]:
        """UIDs of studies that match."""
        results = run_sync(lambda: self.client.search("studies", filters, wanted=wanted))
        return [uid for each in results if is_uid(uid := next(iter(texts_of(each, _STUDY)), ""))]

    def _look_at_filters(self, studies: list[str]) -> None:
        try:
            named, wild = self._found({"StudyInstanceUID": studies[0]}, 2), self._found({"PatientID": "*"}, 2)
        except DicomZarrError as error:
            self._add("filters", Outcome.NOTICE, f"A search with a filter fails: {_without_uids(str(error.args[0]))}")
            return
        if len(named) > 1:
            text = "It ignores filters: a search for one study finds others too."
            self._add("filters", Outcome.NOTICE, text, "dicomzarr ls tells of results that do not match.")
        elif not named or not wild:
            text = f"It finds nothing by {'a wildcard, as PatientID=*' if named else 'a UID'}."
            self._add("filters", Outcome.NOTICE, text, "Search with exact values, or without.")
        else:
            self._add("filters", Outcome.WORKS, "It matches a UID and a wildcard.")

    # --- metadata ---

    def _opened(self, target: DICOMwebURL) -> Image | None:
        began = time.perf_counter()
        try:
            image = Image(SeriesHandle(target, self.options))
            levels = [level for each in (image.images or (image,)) for level in each.levels]
        except DicomZarrError as error:
            self._failed("metadata", error)
            return None
        took = time.perf_counter() - began
        shape = " x ".join(map(str, levels[0].shape))
        text = f"A series of {shape} ({', '.join(levels[0].axes)}) opens, with {_count(len(levels), 'level')}."
        self._add("metadata", Outcome.WORKS, text, seconds=took)
        return image

    # --- frames ---

    def _frames(self, image: Image, target: DICOMwebURL) -> bool:
        levels = (image.images or (image,))[0].levels
        instance = _first_frame(levels[0]).instance
        self._look_at_ways(target, instance)
        self._measure(target, instance)
        level = levels[-1]
        try:
            level[tuple(slice(0, length) for length in level.chunks)]
        except DicomZarrError as error:
            self._failed("pixels", error)
            return False
        syntax = instance.available_transfer_syntax_uid
        named = f" of {transfer_syntax_name(syntax)}" if syntax else ""
        self._add("pixels", Outcome.WORKS, f"Frames{named} are read and decoded.")
        return True

    def _look_at_ways(self, target: DICOMwebURL, instance: Instance) -> None:
        place = (target.base, target.study or "", target.series or "", instance.sop_instance_uid)
        single = {rung.name: self._served(frames_url(*place, [1]), rung.accept) for rung in LADDER}
        ways = [name for name, said in single.items() if not said]
        refused = ", ".join(f"{name}: {said}" for name, said in single.items() if said)
        if ways:
            text = f"They come as {'; as '.join(ways)}." + (f" Not as {refused}." if refused else "")
            self._add("single frames", Outcome.WORKS, text)
        else:
            consequence = "Whole instances are fetched, and frames are cut out of them."
            self._add("single frames", Outcome.NOTICE, f"It gives none ({refused}).", consequence)
        if instance.number_of_frames > 1:
            self._look_at_lists(place)
        else:
            said = self._served(series_url(*place[:3]), WHOLE_SERIES_ACCEPT)
            self._tell("whole series", said, "Frames are asked for one by one.")
        said = min((self._served(instance_url(*place), accept) for accept in INSTANCE_ACCEPTS), key=len)
        if ways or not said:
            self._tell("whole instances", said, "What frames do not tell cannot be had from them.")
        else:
            text = f"It gives none ({said})."
            self._add("whole instances", Outcome.FAILS, text, "Without frames or instances nothing can be read.")

    def _look_at_lists(self, place: tuple[str, str, str, str]) -> None:
        url = frames_url(*place, [1, 2])
        said = min((self._served(url, rung.accept) for rung in LADDER if rung.serves_lists), key=len)
        more = {"options": ("max_connections=32",)} if said else {}
        self._tell("lists of frames", said, "Each frame is asked for by itself; more of them at once help.", **more)

    def _tell(self, check: str, said: str, consequence: str, **more: Any) -> None:
        """Whether something is served, which others can stand in for."""
        if said:
            self._add(check, Outcome.NOTICE, f"It gives none ({said}).", consequence, **more)
        else:
            self._add(check, Outcome.WORKS, "It gives them.")

    def _served(self, url: str, accept: str) -> str:
        """What came in the place of pixels; empty if these came."""

        async def read(response: Response) -> bool:
            media, head = MediaType.parse(response.headers.get("content-type", "")), b""
            async for chunk in response.chunks():
                head += chunk
                if len(head) >= _PREFIX:
                    break
            if not media.is_multipart:
                refuse_text(media, "pixels")
                refuse_page(head, "pixels")
            return bool(head)

        try:
            return "" if run_sync(self.client.look, url, accept, read) else "an empty reply"
        except (AuthenticationError, PermissionDeniedError) as error:
            return f"status {error.status}, it is not allowed"
        except HTTPStatusError as error:
            return f"status {error.status}"
        except DicomZarrError as error:
            return _without_uids(str(error.args[0])).rstrip(".")

    def _measure(self, target: DICOMwebURL, instance: Instance) -> None:
        place = (target.base, target.study or "", target.series or "", instance.sop_instance_uid)
        accept = LADDER[0].accept
        singles = [seconds for _ in range(_TRIES) if (seconds := self._seconds(frames_url(*place, [1]), accept))]
        if not singles:
            return
        told = f"A frame comes in {_milliseconds(median(singles))}"
        many = min(_LISTED, instance.number_of_frames)
        listed = self._seconds(frames_url(*place, range(1, many + 1)), accept) if many > 1 else None
        told += f", a list of {many} in {_milliseconds(listed)}." if listed else "."
        consequence = "Which is faster is found out while reading." if listed else ""
        self._add("speed", Outcome.WORKS, told, consequence, seconds=median(singles))

    def _seconds(self, url: str, accept: str) -> float | None:
        async def read(response: Response) -> int:
            return sum([len(chunk) async for chunk in response.chunks()])

        began = time.perf_counter()
        try:
            run_sync(self.client.look, url, accept, read)
        except DicomZarrError:
            return None
        return time.perf_counter() - began


def _first_frame(level: Level) -> FrameRef:
    """A frame that exists."""
    plan = level._plan  # noqa: SLF001  # what the arrays go by
    return next(frame for chunk in product(*map(range, plan.grid)) if (frame := plan.frames.locate(chunk)))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _count(number: int, one: str) -> str:
    many = "studies" if one == "study" else f"{one}s"
    return f"{number} {one if number == 1 else many}"


def _without_uids(text: str) -> str:
    """A message without what names somebody's study."""
    words = text.split(" ")
    return " ".join("..." if is_uid(word.strip(".,;:()")) and "." in word.strip(".,;:()") else word for word in words)

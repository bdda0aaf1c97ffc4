"""The servers and folders that a gateway shows: it reaches these, and no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cachetools import TTLCache

from dicomzarr.errors import DicomZarrError, InvalidOptionError, UsageError
from dicomzarr.faces.gateway.refusals import RefusedError, absent, is_absence
from dicomzarr.faces.gateway.turns import Budget, ThumbnailTurns
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.pools import FILES
from dicomzarr.runtime.single_flight import SingleFlight
from dicomzarr.session.kinds import kind_of
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.dicomweb.metadata.search import listed_uids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.session.kinds import SeriesURL
    from dicomzarr.session.registry import Endpoint

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_TAKEN: Final = frozenset({"studies", "series", "jobs", "ahead"})
_UNNAMED: Final = "upstream"
MOST_SERIES: Final = 10_000
"""Of a study."""

_MOST_REOPENED: Final = 1024
_MOST_ALLOWED: Final = 4096
_SECONDS_ALLOWED: Final = 60.0
"""For which a server's word counts that a caller may read a series."""

_METADATA_BYTES: Final = 32 * 2**20
_SECONDS_BETWEEN_OPENINGS: Final = 10.0
"""A caller who wants a series as the server has it now is served no more often than that."""


@dataclass(frozen=True, eq=False)
class Upstream:
    """A server or folder, by the name that its paths have."""

    name: str
    url: SeriesURL
    """Of the server or folder, above its studies."""
    options: Mapping[str, Any] = field(repr=False)
    """Storage options, which may hold secrets."""
    caller: str = ""
    """Whose credentials these are; empty where they are the gateway's own."""
    may_keep: bool = True
    """Series may be kept on disk on request; not by one of several processes, of which each knows its own jobs."""
    budget: Budget = field(default_factory=Budget, repr=False)
    thumbnails: ThumbnailTurns = field(default_factory=ThumbnailTurns, repr=False)
    _reopened: TTLCache[SeriesRef, bool] = field(
        default_factory=lambda: TTLCache(_MOST_REOPENED, _SECONDS_BETWEEN_OPENINGS), repr=False
    )
    """Series that were opened anew just now."""
    _allowed: TTLCache[SeriesRef, bool] = field(
        default_factory=lambda: TTLCache(_MOST_ALLOWED, _SECONDS_ALLOWED), repr=False
    )
    """Series that the server let the caller read a moment ago."""
    _asking: SingleFlight[SeriesRef, None] = field(default_factory=SingleFlight, repr=False)
    _attributes: TTLCache[SeriesRef, bytes] = field(
        default_factory=lambda: TTLCache(_METADATA_BYTES, _SECONDS_BETWEEN_OPENINGS, getsizeof=len), repr=False
    )
    """Those that the table of attributes was made of just now."""

    @cached_property
    def views(self) -> Mapping[int, StorageOptions]:
        """How series are shown, by the format of Zarr.

        What identifies patients is not shown, label images only where that was chosen, and no server leads elsewhere.
        """
        fixed = {"include_phi": False, "own_host_only": True}
        return {number: StorageOptions.parse(**{**self.options, **fixed, "zarr_format": number}) for number in (2, 3)}

    def view(self, zarr_format: int, values: str | None) -> StorageOptions:
        """How series are shown; with other values where somebody names them.

        Raises:
            RefusedError: There are no such values.
        """
        options = self.views[zarr_format]
        if values is None:
            return options
        try:
            return replace(options, values=StorageOptions.parse(values=values).values)
        except InvalidOptionError as error:  # which the caller gave, and not the operator
            raise RefusedError(400, str(error)) from error

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where its series are opened, for as long as the gateway runs."""
        return endpoint_for(self.url.base, self.views[3])

    def of_caller(self, caller: str, authorization: str) -> Upstream:
        """The same, as somebody sees it who brings credentials; queues are shared, and nothing else.

        Args:
            caller: A text that only the same credentials spell, and that does not tell them.
            authorization: The header with them (RFC 9110 section 11.6.2).
        """
        options = {**self.options, "headers": {"Authorization": authorization}}
        return Upstream(self.name, self.url, options, caller=caller, budget=self.budget, thumbnails=self.thumbnails)

    @cached_property
    def _place(self) -> str:
        return " ".join((str(self.url), *(str(self.options.get(name, "")) for name in ("query", "endpoint_url"))))

    def version_of(self, store: SeriesStore) -> str:
        """Tells what is shown here of a series from all else.

        Another archive may have other pixels under the same UIDs and metadata, as a copy without faces.
        """
        return sha256(f"{self._place} {store.version}".encode()).hexdigest()[:32]

    @property
    def is_far(self) -> bool:
        """It does not lie on a disk of this machine."""
        return kind_of(self.url).is_far(self.url.base)

    @property
    def path(self) -> str | None:
        """Where it lies on a disk of this machine; None where it does not."""
        return None if self.is_far else kind_of(self.url).place(self.url.base)

    @property
    def is_folder(self) -> bool:
        """It is a folder, whose files are looked at again."""
        return kind_of(self.url).name == "folder"

    async def _ask_whether_allowed(self, ref: SeriesRef) -> None:
        """Open a series anew: what is held of it is forgotten, so the server is asked with the caller's credentials."""
        self.endpoint.close(ref)
        await self.endpoint.store(ref, self.views[3])
        self._allowed[ref] = True

    @property
    def keeps(self) -> bool:
        """Series of it can be kept on disk."""
        return self.may_keep and self.is_far and not self.caller and self.views[3].access.cache_dir is not None

    async def series_of(self, study: str) -> list[str]:
        """The Series Instance UIDs of a study.

        Raises:
            RefusedError: There is no such study, or nothing in it.
            DicomZarrError: It cannot be searched.
        """
        found = await self.search(f"studies/{study}/series", {}, wanted=MOST_SERIES)
        if not found:
            raise absent(f"There is no study {study}.")
        return listed_uids(found, "0020000E", "a search for series")

    async def store(
        self,
        ref: SeriesRef,
        zarr_format: int,
        *,
        values: str | None = None,
        renew: bool = False,
        reopen: bool = False,
    ) -> SeriesStore:
        """An opened series; on the home loop.

        Args:
            ref: Which.
            zarr_format: 2 or 3.
            values: What the arrays hold, if not what the gateway shows.
            renew: Look first whether its files have changed.
            reopen: Ask a server for it again, unless it was asked just now.

        Raises:
            RefusedError: There is no such series.
            DicomZarrError: It cannot be opened.
        """
        options = self.view(zarr_format, values)
        try:
            if self.caller and ref not in self._allowed:
                await self._asking.do(ref, lambda: self._ask_whether_allowed(ref))
            if renew and self.is_folder:
                await FILES.run(self.endpoint.renew, ref)
            elif reopen and ref not in self._reopened:
                self._reopened[ref] = True
                self.endpoint.close(ref)
            return self.endpoint.held(ref, options) or await self.endpoint.store(ref, options)
        except DicomZarrError as error:
            if is_absence(error) and not await self._is_gone():
                raise absent(str(error)) from error
            raise

    async def attributes(self, ref: SeriesRef) -> bytes:
        """All that the instances of a series say, as the upstream has it; what was told a moment ago is told again.

        Raises:
            RefusedError: There is no such series.
            DicomZarrError: They cannot be had.
        """
        told = self._attributes.get(ref)
        if told is not None and not self.caller:  # whom the server is asked for each time
            return told
        try:
            found = await self.endpoint.source.attributes(ref, None)
        except DicomZarrError as error:
            if is_absence(error) and not await self._is_gone():
                raise absent(str(error)) from error
            raise
        if len(found) <= self._attributes.maxsize:
            self._attributes[ref] = found
        return found

    async def search(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int, skip: int = 0
    ) -> list[dict[str, Any]]:
        """Studies or series, in the DICOM JSON model.

        Raises:
            RefusedError: There is no such study.
            DicomZarrError: It cannot be searched.
        """
        try:
            return await self.endpoint.source.search(resource, parameters, wanted=wanted, skip=skip)
        except DicomZarrError as error:
            if is_absence(error) and resource != "studies" and not await self._is_gone():
                raise absent(str(error)) from error
            raise

    async def _is_gone(self) -> bool:
        """Whether it is not the series that is missing, but the folder itself."""
        kind, base = kind_of(self.url), self.url.base
        return self.is_folder and not kind.is_far(base) and not await FILES.run(Path(kind.place(base)).exists)


class Upstreams:
    """Upstreams by their names, in the order in which they were given.

    Args:
        upstreams: At least one.

    Raises:
        UsageError: There is none, or two have one name, or one names no server or folder.
    """

    def __init__(self, upstreams: Iterable[Upstream]) -> None:
        self.by_name: dict[str, Upstream] = {}
        for each in upstreams:
            if not _NAME.fullmatch(each.name) or each.name in _TAKEN:
                raise UsageError(
                    f"{each.name!r} cannot name an upstream.", remedy="Use lower-case letters, digits and hyphens."
                )
            if each.name in self.by_name:
                raise UsageError(f"Two upstreams are named {each.name}.", remedy="Write NAME=URL for one of them.")
            if each.url.study is not None:
                raise UsageError(
                    f"{each.url} names a study or series.", remedy="A gateway shows a server or folder: end it above."
                )
            self.by_name[each.name] = each
        if not self.by_name:
            raise UsageError("No upstream is given.", remedy="Name a DICOMweb server or a folder.")

    @cached_property
    def places(self) -> Mapping[str, str]:
        """Names by the path of each that lies on this machine."""
        return {each.path: each.name for each in self.by_name.values() if each.path is not None}

    def required(self, upstream: Upstream | None) -> Upstream:
        """The upstream that a path names.

        Raises:
            RefusedError: It names none, and there are several.
        """
        if upstream is None:
            raise RefusedError(404, f"Name an upstream in the path: {', '.join(self.by_name)}.")
        return upstream


def names_for(urls: Iterable[SeriesURL], given: Iterable[str | None]) -> list[str]:
    """A name for each upstream: that which was given, else its host or its folder's name, with a number if need be.

    Args:
        urls: Of the upstreams.
        given: The names that were chosen, None where none was.
    """
    names: list[str] = []
    taken = {name for name in given if name}
    for url, name in zip(urls, given, strict=True):
        plain = name or _plain_name(url)
        chosen, number = plain, 2
        while not name and chosen in taken:
            chosen, number = f"{plain}-{number}", number + 1
        taken.add(chosen)
        names.append(chosen)
    return names


def _plain_name(url: SeriesURL) -> str:
    text = kind_of(url).place(url.base).rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return name if name and name not in _TAKEN else _UNNAMED

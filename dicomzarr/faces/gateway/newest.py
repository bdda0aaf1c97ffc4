"""The newest studies first, of an archive that sorts nothing: QIDO-RS has no order (PS3.18 section 10.6.3).

A search for the studies since some day tells all of them if they are few. So that day is moved until they are enough
for a page, and not too many to be told: an archive of any size answers a handful of short searches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from typing import Any, Final

from dicomzarr.dicom.model.plain_json import first_text

Entry = dict[str, Any]
Search = Callable[[Mapping[str, str], int], Awaitable[list[Entry]]]
"""Gives no more results than it is told to."""

_UID, _DATE, _TIME = "0020000D", "00080020", "00080030"
_DAYS: Final = (7, 60, 365, 1500, 6000)
_LONGEST: Final = 60_000
"""Days before which no study was made."""

_FEW: Final = 400


async def newest(search: Search, parameters: Mapping[str, str], *, wanted: int, today: date) -> list[Entry]:
    """The newest studies that match, those of no date last.

    Args:
        search: Asks the archive.
        parameters: What is searched for; a range in ``StudyDate`` stays one.
        wanted: How many at most.
        today: Later studies are among the newest.
    """
    return await _Search(search, parameters, wanted, today).found()


class _Search:
    def __init__(self, search: Search, parameters: Mapping[str, str], wanted: int, today: date) -> None:
        self._search = search
        self._parameters = dict(parameters)
        self._wanted = wanted
        self._most = max(_FEW, 2 * wanted)
        asked = self._parameters.pop("StudyDate", "")
        self._asked = asked
        first, dash, last = asked.partition("-")
        self._first, self._last = first, last if dash else first
        self._end = _day(self._last) or today

    async def found(self) -> list[Entry]:
        first = _day(self._first)
        span = (self._end - first).days if first else _LONGEST
        steps = [days for days in _DAYS if days < span]
        too_few = 0
        for days in (*steps, None):
            entries = await self._since(days)
            if len(entries) >= self._most:  # which of them are told, the archive chose
                entries = await self._fewer(too_few, days if days is not None else span, entries)
            if len(entries) >= self._wanted or days is None:
                return newest_first(entries)[: self._wanted]
            too_few = days
        raise AssertionError  # the last step is to ask for all

    async def _fewer(self, too_few: int, too_many: int, entries: list[Entry]) -> list[Entry]:
        while too_many - too_few > 1:
            days = (too_few + too_many) // 2
            found = await self._since(days)
            if self._wanted <= len(found) < self._most:
                return found
            if len(found) < self._wanted:
                too_few = days
            else:
                too_many, entries = days, found
        # One day has more than can be told, or they have no date: what is newer is told besides.
        newer = await self._since(too_few)
        return list({first_text(entry, _UID): entry for entry in [*entries, *newer]}.values())

    async def _since(self, days: int | None) -> list[Entry]:
        """Those of the last days of the range; None for all of it."""
        if days is None:
            return await self._search(self._with(self._asked), self._most)
        first = (self._end - timedelta(days=days)).strftime("%Y%m%d")
        found = await self._search(self._with(f"{first}-{self._last}"), self._most)
        # A server that ignores the range tells others too.
        return [each for each in found if first <= first_text(each, _DATE) <= (self._last or "99999999")]

    def _with(self, dates: str) -> dict[str, str]:
        return {**self._parameters, **({"StudyDate": dates} if dates else {})}


def newest_first(entries: list[Entry]) -> list[Entry]:
    """By date and time; those of no date last."""
    return sorted(entries, key=lambda each: (first_text(each, _DATE), first_text(each, _TIME)), reverse=True)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 8 else None  # noqa: PLR2004  # YYYYMMDD
    except ValueError:
        return None

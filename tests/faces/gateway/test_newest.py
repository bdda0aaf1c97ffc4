"""The newest studies first, of archives that sort nothing."""

from __future__ import annotations

import asyncio
import random
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dicomzarr.faces.gateway.newest import newest

if TYPE_CHECKING:
    from collections.abc import Mapping

TODAY = date(2026, 11, 29)


def study(number: int, days_ago: int | None) -> dict[str, Any]:
    day = "" if days_ago is None else (TODAY - timedelta(days=days_ago)).strftime("%Y%m%d")
    dated = {"00080020": {"vr": "DA", "Value": [day]}} if day else {}
    return {"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}, **dated}


class Archive:
    """Tells what matches in an order of its own, and no more than it is asked for."""

    def __init__(self, days_ago: list[int | None], *, ranges: bool = True) -> None:
        self.studies = [study(number, each) for number, each in enumerate(days_ago)]
        self.shuffled = random.Random(1).sample(self.studies, len(self.studies))
        self.searches = 0
        self._ranges = ranges

    async def search(self, parameters: Mapping[str, str], most: int) -> list[dict[str, Any]]:
        self.searches += 1
        asked = parameters.get("StudyDate", "")
        first, dash, last = asked.partition("-")
        if not self._ranges or not asked:
            return self.shuffled[:most]
        last = (last or "99999999") if dash else first
        return [each for each in self.shuffled if day_of(each) and first <= day_of(each) <= last][:most]

    def found(self, wanted: int, dates: str = "") -> list[str]:
        parameters = {"StudyDate": dates} if dates else {}
        return list(map(day_of, asyncio.run(newest(self.search, parameters, wanted=wanted, today=TODAY))))


def day_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("00080020", {}).get("Value", [""])[0])


def in_order(archive: Archive) -> list[str]:
    return sorted(map(day_of, archive.studies), reverse=True)


@pytest.mark.parametrize("wanted", [1, 26, 226])
@pytest.mark.parametrize("spread", [3, 30, 900, 20_000])
def test_the_newest_of_ten_thousand_come_first_in_few_searches(spread: int, wanted: int) -> None:
    dice = random.Random(spread)
    archive = Archive([dice.randrange(spread) for _ in range(10_000)])
    found = archive.found(wanted)
    if spread > 3:  # else a day has more than are told at once
        assert found == in_order(archive)[:wanted]
    assert len(found) == wanted
    assert archive.searches <= 20


def test_studies_of_no_date_and_of_days_to_come_are_there_too() -> None:
    archive = Archive([None, 3, None, -40, 9000])
    assert archive.found(26) == in_order(archive)


def test_a_range_stays_one() -> None:
    archive = Archive(list(range(0, 4000, 2)))
    days = [(TODAY - timedelta(days=ago)).strftime("%Y%m%d") for ago in (3000, 1000)]
    inside = [day for day in in_order(archive) if days[0] <= day <= days[1]]
    assert archive.found(26, "-".join(days)) == inside[:26]
    assert archive.found(26, f"-{days[1]}") == [day for day in in_order(archive) if day <= days[1]][:26]
    assert archive.found(26, f"{days[0]}-") == in_order(archive)[:26]
    assert archive.found(26, inside[0]) == [inside[0]]


def test_a_server_that_ignores_ranges_still_lists_all() -> None:
    archive = Archive([5, 4000, None, 20_000], ranges=False)
    assert archive.found(26) == in_order(archive)


@given(some.lists(some.one_of(some.none(), some.integers(-50, 70_000)), max_size=30), some.integers(1, 30))
def test_few_studies_are_all_told_in_order(days_ago: list[int | None], wanted: int) -> None:
    archive = Archive([None if each is None else min(each, 59_000) for each in days_ago])
    assert archive.found(wanted) == in_order(archive)[:wanted]

"""Crossing from other event loops to the home loop and back, once for all that is asked in one tick."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dicomzarr.errors import DicomZarrError
from dicomzarr.runtime.home_loop import home_loop
from dicomzarr.runtime.tracebacks import without_frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class _Asked:
    ask: Callable[[], Awaitable[Any]]
    future: asyncio.Future[Any]
    """Of the loop that asks."""
    answering: asyncio.Task[None] | None = None
    given_up: bool = False

    def give_up(self) -> None:
        """On the home loop: nobody waits for the answer any more."""
        self.given_up = True
        if self.answering is not None:
            self.answering.cancel()


class _Answered(NamedTuple):
    future: asyncio.Future[Any]
    answer: Any
    """An exception is raised there."""


class Crossing:
    """Gathers one tick's questions of a foreign loop, and crosses to the home loop once; answers likewise.

    zarr asks chunk by chunk on a loop of its own; crossing costs more than most answers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gathered: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Asked]] = weakref.WeakKeyDictionary()
        self._answered: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Answered]] = (
            weakref.WeakKeyDictionary()
        )
        """What the home loop brings back at the end of its tick."""

    async def get(self, ask: Callable[[_Question], Awaitable[_Answer]], question: _Question) -> _Answer:
        """What ``ask`` answers on the home loop, from whatever loop is running."""
        loop = asyncio.get_running_loop()
        if loop is home_loop():
            return await _answered_here(ask, question)
        future: asyncio.Future[_Answer] = loop.create_future()
        with self._lock:
            gathered = self._gathered.setdefault(loop, [])
        asked = _Asked(partial(ask, question), future)
        gathered.append(asked)
        if len(gathered) == 1:
            loop.call_soon(self._cross, loop)
        try:
            return await future
        except asyncio.CancelledError:
            home_loop().call_soon_threadsafe(asked.give_up)
            raise

    def _cross(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            batch = self._gathered.pop(loop)
        home_loop().call_soon_threadsafe(self._serve, batch, loop)

    def _serve(self, batch: list[_Asked], loop: asyncio.AbstractEventLoop) -> None:
        for asked in batch:
            if not asked.given_up:
                asked.answering = asyncio.get_running_loop().create_task(self._answer(asked, loop))

    async def _answer(self, asked: _Asked, loop: asyncio.AbstractEventLoop) -> None:
        try:
            answer = await asked.ask()
        except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it
            answer = without_frames(error)
        answered = self._answered.setdefault(loop, [])
        answered.append(_Answered(asked.future, answer))
        if len(answered) == 1:
            asyncio.get_running_loop().call_soon(self._cross_back, loop)

    def _cross_back(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # that loop has been closed: nobody waits
            loop.call_soon_threadsafe(_release, self._answered.pop(loop))


def _release(answered: list[_Answered]) -> None:
    for future, answer in answered:
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
            future.exception()  # whoever waits hears of it; of who has gone, as when the process ends, nothing is said
        else:
            future.set_result(answer)


async def _answered_here(ask: Callable[[_Question], Awaitable[_Answer]], question: _Question) -> _Answer:
    try:
        return await ask(question)
    except DicomZarrError as error:
        failure = without_frames(error)
    raise failure

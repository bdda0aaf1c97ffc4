"""The home loop: sessions, frames in flight and batches live on one event loop, fsspec's own."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import fsspec.asyn

from dicomzarr.errors import EventLoopError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


def home_loop() -> asyncio.AbstractEventLoop:
    """The loop that owns every connection; started when first asked for."""
    loop: asyncio.AbstractEventLoop = fsspec.asyn.get_loop()
    return loop


def run_sync(coroutine_function: Callable[..., Coroutine[Any, Any, _Answer]], *args: Any) -> _Answer:
    """Run on the home loop and wait, from any other thread.

    Raises:
        EventLoopError: Called on the home loop itself, which would wait for itself.
    """
    loop = home_loop()
    refuse_running(loop)
    future = asyncio.run_coroutine_threadsafe(coroutine_function(*args), loop)
    try:
        return future.result()
    finally:
        future.cancel()  # whoever interrupts the wait no longer needs the answer


def refuse_running(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse to wait for a loop on that very loop.

    Raises:
        EventLoopError: It is the one that runs here.
    """
    if _running_loop() is loop:
        raise EventLoopError(
            "A synchronous call was made on the event loop that has to serve it.",
            remedy="Await the asynchronous method, or call from another thread.",
        )


async def run_home(coroutine_function: Callable[..., Coroutine[Any, Any, _Answer]], *args: Any) -> _Answer:
    """Await on the home loop, from whatever loop is running."""
    loop = home_loop()
    if _running_loop() is loop:
        return await coroutine_function(*args)
    future = asyncio.run_coroutine_threadsafe(coroutine_function(*args), loop)
    return await asyncio.wrap_future(future)


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
            return await ask(question)
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
            answer = error
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
        else:
            future.set_result(answer)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Pool:
    """Our own threads: the loop's default executor belongs to the loop's owner.

    Args:
        name: Names the threads.
        threads: How many there are.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._threads = threads
        self.forget()

    def forget(self) -> None:
        """Start anew, as in a forked child, which has none of its parent's threads."""
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def submit(self, function: Callable[..., _Answer], *args: Any) -> Future[_Answer]:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
            return self._executor.submit(function, *args)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


DECODE_THREADS = _cores()
"""As many as there are cores: decoding lets go of the GIL."""

_decoders = _Pool("dicomzarr-decode", DECODE_THREADS)
_openers = _Pool("dicomzarr-open", 1)


def submit_decoding(function: Callable[..., None], *args: Any) -> None:
    """Run in a decode thread; the function must neither raise nor call back synchronously."""
    _decoders.submit(function, *args)


async def in_opening_thread(function: Callable[..., _Answer], *args: Any) -> _Answer:
    """Run in the thread that parses metadata, which may take longer than any frame."""
    return await asyncio.wrap_future(_openers.submit(function, *args))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_decoders.forget)
    os.register_at_fork(after_in_child=_openers.forget)

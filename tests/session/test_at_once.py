"""Threads that come at the same moment: whoever is late, all of them see one state."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest
from thoroughness import examples

from dicomzarr.options import StorageOptions
from dicomzarr.runtime import reset
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.opening import endpoint_for, endpoints_of
from dicomzarr.sources.dicomweb.source import DICOMwebSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Answer = TypeVar("_Answer")

BASE = "http://127.0.0.1:1/dicom-web"
"""Nothing is asked of it."""
THREADS = 6


@pytest.fixture(autouse=True)
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)
    reset()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def at_once(threads: ThreadPoolExecutor, do: Callable[[int], _Answer]) -> list[_Answer]:
    start = threading.Barrier(THREADS)

    def begin(number: int) -> _Answer:
        start.wait()
        return do(number)

    return list(threads.map(begin, range(THREADS)))


async def nothing() -> None:
    """For what waits for the home loop."""


def test_a_callable_is_one_identity(threads: ThreadPoolExecutor) -> None:
    for _ in range(examples(100)):
        auth = partial(dict[str, str])
        options = [StorageOptions.parse(auth=auth) for _ in range(THREADS)]
        assert len(set(at_once(threads, lambda number: options[number].access.identity))) == 1  # noqa: B023  # done in this round


def test_the_fewest_connections_hold(threads: ThreadPoolExecutor) -> None:
    first = StorageOptions.parse(max_connections=THREADS + 1)
    endpoint = endpoint_for(BASE, first)
    assert isinstance(endpoint.source, DICOMwebSource)
    for _ in range(150):
        options = [StorageOptions.parse(max_connections=number + 1) for number in range(THREADS)]
        at_once(threads, lambda number: endpoint.use(options[number]))  # noqa: B023  # it is done in this round
        run_sync(nothing)
        assert endpoint.source.client.tuning.max_connections == 1


def test_who_looks_for_endpoints_while_others_come_and_go(threads: ThreadPoolExecutor) -> None:
    def come_and_go(number: int) -> None:
        for count in range(100):
            options = StorageOptions.parse(headers={"X-Token": f"{number} {count}"})
            endpoint_for(BASE, options)
            endpoint_for(BASE, StorageOptions.parse())
            endpoints_of(options)

    kept = endpoint_for(BASE, StorageOptions.parse())
    at_once(threads, come_and_go)
    assert endpoint_for(BASE, StorageOptions.parse()) is kept

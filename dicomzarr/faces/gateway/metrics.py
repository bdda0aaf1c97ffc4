"""What a gateway has done, in numbers, as Prometheus reads them (text format 0.0.4). No UID, no address."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dicomzarr.faces.gateway.upstreams import Upstream

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Seconds."""


@dataclass(slots=True, eq=False)
class _Times:
    total: float = 0.0
    between: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    """How many took no longer than each bound, but longer than the one before; and how many took longer than all."""

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.between[bisect_left(_BOUNDS, seconds)] += 1


class Metrics:
    """Counts requests by what they were for."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._times: dict[str, _Times] = {}
        self.under_way = 0
        """Requests that are being answered."""
        self.given_up = 0
        """Requests whose client left."""

    def answered(self, kind: str, status: int, nbytes: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[kind, status] += 1
        self._bytes[kind] += nbytes
        self._times.setdefault(kind, _Times()).add(seconds)

    def text(self, upstreams: Iterable[Upstream], sizes: Mapping[str, int]) -> bytes:
        """All numbers.

        Args:
            upstreams: Whose queues are told.
            sizes: Of what is held in memory, in bytes, by name.
        """
        lines = [*_worker(), *self._counted(), *self._timed(), *_queues(list(upstreams)), *_held(sizes)]
        return ("\n".join(lines) + "\n").encode()

    def _counted(self) -> Iterator[str]:
        yield from _family("dicomzarr_requests_total", "counter", "Requests that were answered.")
        for (kind, status), count in sorted(self._requests.items()):
            yield f'dicomzarr_requests_total{{kind="{kind}",status="{status}"}} {count}'
        yield from _family("dicomzarr_sent_bytes_total", "counter", "Bytes of bodies that were sent.")
        for kind, nbytes in sorted(self._bytes.items()):
            yield f'dicomzarr_sent_bytes_total{{kind="{kind}"}} {nbytes}'
        yield from _family("dicomzarr_requests_given_up_total", "counter", "Requests whose client left.")
        yield f"dicomzarr_requests_given_up_total {self.given_up}"
        yield from _family("dicomzarr_requests_under_way", "gauge", "Requests that are being answered.")
        yield f"dicomzarr_requests_under_way {self.under_way}"

    def _timed(self) -> Iterator[str]:
        name = "dicomzarr_request_seconds"
        yield from _family(name, "histogram", "Seconds until a request was answered.")
        for kind, times in sorted(self._times.items()):
            *within, count = accumulate(times.between)
            for bound, number in zip(_BOUNDS, within, strict=True):
                yield f'{name}_bucket{{kind="{kind}",le="{bound}"}} {number}'
            yield f'{name}_bucket{{kind="{kind}",le="+Inf"}} {count}'
            yield f'{name}_sum{{kind="{kind}"}} {times.total:.6f}'
            yield f'{name}_count{{kind="{kind}"}} {count}'


def _worker() -> Iterator[str]:
    yield from _family("dicomzarr_worker", "gauge", "The process that these numbers are of.")
    yield f'dicomzarr_worker{{worker="{os.getpid()}"}} 1'


def _queues(upstreams: list[Upstream]) -> Iterator[str]:
    gauges: tuple[tuple[str, str, Callable[[Upstream], int]], ...] = (
        ("dicomzarr_chunk_bytes", "Bytes of chunks that are at work.", lambda each: each.budget.taken),
        ("dicomzarr_chunks_waiting", "Requests that wait for their turn.", lambda each: each.budget.waiting),
        ("dicomzarr_thumbnails_waiting", "Thumbnails that wait.", lambda each: each.thumbnails.waiting),
    )
    for name, text, value in gauges:
        yield from _family(name, "gauge", text)
        for each in upstreams:
            yield f'{name}{{upstream="{each.name}"}} {value(each)}'


def _held(sizes: Mapping[str, int]) -> Iterator[str]:
    yield from _family("dicomzarr_held_bytes", "gauge", "Bytes that are held in memory.")
    for name, size in sizes.items():
        yield f'dicomzarr_held_bytes{{what="{name}"}} {size}'


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"

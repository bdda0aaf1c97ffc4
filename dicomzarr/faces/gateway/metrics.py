"""What a gateway has done, in numbers, as Prometheus reads them (text format 0.0.4). No UID, no address.

All numbers are such that those of several processes add up.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dicomzarr.faces.gateway.upstreams import Upstream

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Seconds."""

GAUGE: Final = "gauge"
_SECONDS: Final = "dicomzarr_request_seconds"


class _Family(NamedTuple):
    kind: str
    text: str


FAMILIES: Final[Mapping[str, _Family]] = {
    "dicomzarr_worker": _Family(GAUGE, "The processes that these numbers are of, added up."),
    "dicomzarr_requests_total": _Family("counter", "Requests that were answered."),
    "dicomzarr_sent_bytes_total": _Family("counter", "Bytes of bodies that were sent."),
    "dicomzarr_requests_given_up_total": _Family("counter", "Requests whose client left."),
    "dicomzarr_requests_under_way": _Family(GAUGE, "Requests that are being answered."),
    _SECONDS: _Family("histogram", "Seconds until a request was answered."),
    "dicomzarr_chunk_bytes": _Family(GAUGE, "Bytes of chunks that are at work."),
    "dicomzarr_chunks_waiting": _Family(GAUGE, "Requests that wait for their turn."),
    "dicomzarr_thumbnails_waiting": _Family(GAUGE, "Thumbnails that wait."),
    "dicomzarr_held_bytes": _Family(GAUGE, "Bytes that are held in memory."),
}

Samples = dict[str, dict[str, float]]
"""Numbers by family, and there by name and labels."""


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

    def samples(self, upstreams: Iterable[Upstream], sizes: Mapping[str, int]) -> Samples:
        """All numbers of this process.

        Args:
            upstreams: Whose queues are told.
            sizes: Of what is held in memory, in bytes, by name.
        """
        found: Samples = {family: {} for family in FAMILIES}

        def tell(family: str, value: float, **labels: object) -> None:
            found[family][_named(family, **labels)] = value

        tell("dicomzarr_worker", 1, worker=os.getpid())
        for (kind, status), count in sorted(self._requests.items()):
            tell("dicomzarr_requests_total", count, kind=kind, status=status)
        for kind, nbytes in sorted(self._bytes.items()):
            tell("dicomzarr_sent_bytes_total", nbytes, kind=kind)
        tell("dicomzarr_requests_given_up_total", self.given_up)
        tell("dicomzarr_requests_under_way", self.under_way)
        for kind, times in sorted(self._times.items()):
            found[_SECONDS].update(_histogram(kind, times))
        for each in upstreams:
            tell("dicomzarr_chunk_bytes", each.budget.taken, upstream=each.name)
            tell("dicomzarr_chunks_waiting", each.budget.waiting, upstream=each.name)
            tell("dicomzarr_thumbnails_waiting", each.thumbnails.waiting, upstream=each.name)
        for name, size in sizes.items():
            tell("dicomzarr_held_bytes", size, what=name)
        return found


def added_up(several: Iterable[Samples]) -> Samples:
    """The numbers of several processes as one."""
    total: Samples = {family: {} for family in FAMILIES}
    for samples in several:
        for family, own in samples.items():
            if family in total:
                sums = total[family]
                for name, value in own.items():
                    sums[name] = sums.get(name, 0) + value
    return total


def text_of(samples: Samples) -> bytes:
    """Numbers as Prometheus reads them."""
    return "".join(f"{line}\n" for line in _lines(samples)).encode()


def _lines(samples: Samples) -> Iterator[str]:
    for family, (kind, text) in FAMILIES.items():
        yield f"# HELP {family} {text}"
        yield f"# TYPE {family} {kind}"
        for name, value in samples.get(family, {}).items():
            yield f"{name} {value:.6f}".rstrip("0").rstrip(".")


def _histogram(kind: str, times: _Times) -> Iterator[tuple[str, float]]:
    *within, count = accumulate(times.between)
    for bound, number in zip((*_BOUNDS, "+Inf"), (*within, count), strict=True):
        yield _named(f"{_SECONDS}_bucket", kind=kind, le=bound), number
    yield _named(f"{_SECONDS}_sum", kind=kind), times.total
    yield _named(f"{_SECONDS}_count", kind=kind), count


def _named(name: str, **labels: object) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{told}}}" if told else name

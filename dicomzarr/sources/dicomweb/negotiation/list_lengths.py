"""How long a list of frames one server serves, learned from the lists that it refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicomzarr.sources.http.statuses import Meaning, means

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dicomzarr.errors import DicomZarrError


@dataclass(slots=True)
class ListLengths:
    """What is known of one server."""

    longest: int | None = None
    """Frames that one list may have; 1 where lists are refused, None where no limit is known."""
    _served: int = 1
    """Frames of the longest list that came."""
    _doubted: set[int] = field(default_factory=set)
    """Lengths of lists that were refused once in a way that may pass."""

    @property
    def refused(self) -> bool:
        """Each frame is given on its own only."""
        return self.longest == 1

    def served(self, length: int) -> None:
        """A list came."""
        self._served = max(self._served, length)

    def refuses(self, length: int, error: DicomZarrError) -> None:
        """A list was refused, and each of its frames came in another way."""
        if length <= self._served:
            return  # as long a one has come: it was not the length
        if means(error, Meaning.MAY_PASS) and length not in self._doubted:
            self._doubted.add(length)
            return
        shorter = max(self._served, length // 2)
        self.longest = shorter if self.longest is None else min(self.longest, shorter)

    def cut(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Numbers in lists that are not too long."""
        step = self.longest or max(1, len(numbers))
        for start in range(0, len(numbers), step):
            yield list(numbers[start : start + step])

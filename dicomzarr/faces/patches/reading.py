"""Patches of one slide or several, read by number, and batch by batch ahead of whoever takes them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.errors import UsageError
from dicomzarr.faces.patches.order import chosen
from dicomzarr.faces.patches.positions import Patches
from dicomzarr.runtime.pools import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    Pixels = npt.NDArray[np.generic]
    Indices = npt.NDArray[np.int64]

_AHEAD = Pool("dicomzarr-patches-ahead", 8)
"""Read the batches that come next; they wait for the threads below."""

_SLIDES = Pool("dicomzarr-patches-slides", 16)
"""Read the slides of a batch at once, since each may lie on another server."""


class PatchReader:
    """The patches of slides in one row.

    Args:
        patches: Those of one slide, or of each of several.
        icc: As for `Patches.read`.

    Raises:
        UsageError: There is no slide, or patches differ in size.
    """

    def __init__(self, patches: Patches | Sequence[Patches], icc: str | None) -> None:
        self._slides = _listed(patches)
        self._icc = icc
        self._ends = np.cumsum([len(slide) for slide in self._slides], dtype=np.int64)
        sizes = {slide.size for slide in self._slides}
        if len(sizes) != 1:
            found = ", ".join(f"{width} x {height}" for width, height in sorted(sizes)) or "no slide"
            raise UsageError(
                f"Patches of one size were wanted, and found: {found}.",
                remedy="Give those of one slide, or a list of them that are all of one size.",
            )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, numbers: Sequence[int] | Indices) -> list[Pixels]:
        """The pixels of some patches, those of each slide in one plan.

        Args:
            numbers: Which, from 0; negative ones count from the end.

        Returns:
            Of each (height, width, samples).

        Raises:
            IndexError: There is no such patch.
            DicomZarrError: A frame cannot be had.
        """
        wanted = chosen(numbers, len(self))
        slides = np.searchsorted(self._ends, wanted, side="right")
        places = [(int(slide), np.flatnonzero(slides == slide)) for slide in np.unique(slides)]
        if len(places) == 1:
            return self._read_slide(places[0][0], wanted)
        coming = [(where, _SLIDES.submit(self._read_slide, slide, wanted[where])) for slide, where in places]
        found = {
            int(place): pixels for where, parts in coming for place, pixels in zip(where, parts.result(), strict=True)
        }
        return [found[place] for place in range(len(wanted))]

    def read_ahead(self, batches: Iterable[Indices], ahead: int) -> Iterator[list[Pixels]]:
        """Batches in their order, while those that follow are being read.

        Args:
            batches: Which patches.
            ahead: How many batches are read, or held, beyond the one that is handed out.

        Yields:
            The patches of a batch, of each (height, width, samples).

        Raises:
            DicomZarrError: A frame cannot be had.
        """
        coming: deque[Future[list[Pixels]]] = deque()
        try:
            for batch in batches:
                coming.append(_AHEAD.submit(self.read, batch))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for batch_to_come in coming:
                batch_to_come.cancel()

    def _read_slide(self, slide: int, wanted: Indices) -> list[Pixels]:
        patches = self._slides[slide]
        first = int(self._ends[slide]) - len(patches)
        return patches.read(wanted - first, icc=self._icc)


def _listed(patches: Any) -> list[Patches]:
    slides = [patches] if isinstance(patches, Patches) else patches if isinstance(patches, list | tuple) else None
    if slides is None or not all(isinstance(slide, Patches) for slide in slides):
        raise UsageError(
            f"Patches of slides were wanted, and given was {type(patches).__name__}.",
            remedy="Give what dicomzarr.patches.grid or at_random gives of a slide, or a list of these.",
        )
    return list(slides)

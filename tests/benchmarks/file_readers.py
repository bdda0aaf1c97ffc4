"""Those who read regions of a slide in a file, each as its users do for speed: an array of R, G, B."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from readers import Limit, Ours, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from measuring import Pixels
    from readers import Reader, Region

_BAND = 512
"""Rows that a thread reads of a large region at a time, of those who do not divide it themselves: whole tiles."""


class WsidicomOfFiles(Prepared):
    """wsidicom; a URL is read by fsspec.

    Args:
        place: The file, or its URL.
        threads: As ``read_region`` takes it; patches go to so many threads instead.
    """

    def __init__(self, place: str, threads: int) -> None:
        from wsidicom import WsiDicom  # noqa: PLC0415  # a peer

        self._threads = threads
        self._slide = WsiDicom.open(place)

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """One large region by its own threads, many small ones by as many."""
        if len(regions) == 1:
            return [self._region(regions[0], self._threads)]
        with ThreadPoolExecutor(self._threads) as threads:
            return list(threads.map(self._region, regions))

    def _region(self, region: Region, threads: int | None = None) -> Pixels:
        place, size = (region.x, region.y), (region.columns, region.rows)
        return np.asarray(self._slide.read_region(place, 0, size, threads=threads, as_array=True))

    def close(self) -> None:
        """Its own."""
        self._slide.close()


class _InBands(Prepared):
    """A reader that reads one rectangle at a time, and lets go of the GIL meanwhile.

    Args:
        threads: That read bands of a large region, or patches.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def _rectangle(self, y: int, x: int, rows: int, columns: int) -> Pixels:
        raise NotImplementedError

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """Patches each by itself; a large region in bands, unless one thread is all there is."""
        if len(regions) > 1 or self._threads == 1:
            return list(self._pool.map(lambda each: self._rectangle(each.y, each.x, each.rows, each.columns), regions))
        (region,) = regions
        found = np.empty((region.rows, region.columns, 3), np.uint8)

        def band(start: int) -> None:
            rows = min(_BAND, region.rows - start)
            found[start : start + rows] = self._rectangle(region.y + start, region.x, rows, region.columns)

        list(self._pool.map(band, range(0, region.rows, _BAND)))
        return [found]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class OpenSlideOfFiles(_InBands):
    """OpenSlide, whose pictures have an alpha that is taken off.

    Args:
        place: The file.
        threads: See `_InBands`.
    """

    def __init__(self, place: str, threads: int) -> None:
        from openslide import OpenSlide  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

        super().__init__(threads)
        self._slide: Any = OpenSlide(place)

    def _rectangle(self, y: int, x: int, rows: int, columns: int) -> Pixels:
        return np.asarray(self._slide.read_region((x, y), 0, (columns, rows)))[..., :3]


class TiffslideOfFiles(_InBands):
    """tiffslide.

    Args:
        place: The file, or its URL, which is read by fsspec.
        threads: See `_InBands`.
    """

    def __init__(self, place: str, threads: int) -> None:
        from tiffslide import TiffSlide  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

        super().__init__(threads)
        self._slide: Any = TiffSlide(place)

    def _rectangle(self, y: int, x: int, rows: int, columns: int) -> Pixels:
        return np.asarray(self._slide.read_region((x, y), 0, (columns, rows), as_array=True))


class FastslideOfFiles(_InBands):
    """fastslide, which reads DICOM and TIFF.

    Args:
        place: The file.
        threads: See `_InBands`.
    """

    def __init__(self, place: str, threads: int) -> None:
        from fastslide import FastSlide  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

        super().__init__(threads)
        self._slide: Any = FastSlide.from_file_path(place)

    def _rectangle(self, y: int, x: int, rows: int, columns: int) -> Pixels:
        return np.asarray(self._slide.read_region((x, y), 0, (columns, rows)).numpy())


FILE_READERS: dict[str, Callable[..., Reader]] = {
    "dicomzarr": Ours,
    "wsidicom": WsidicomOfFiles,
    "tiffslide": TiffslideOfFiles,
    "openslide": OpenSlideOfFiles,
    "fastslide": FastslideOfFiles,
    "limit": Limit,
}
"""By the names that a process is told."""

"""What is on the screen of a layer: pixels as far as they have come, and what is still asked for."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from cachetools import LRUCache

from dicomzarr.arrays.selection import plan_selection
from dicomzarr.faces.napari.coarse import enlarge, overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level
    from dicomzarr.arrays.pieces import Piece
    from dicomzarr.faces.napari.layout import Item, Layout

    Pixels = npt.NDArray[Any]
    Chunk = tuple[int, ...]
    Index = tuple[Item, ...]

HELD_BYTES: Final = 256 * 2**20
"""Decoded chunks that all layers together keep, so that what is looked at again is there at once."""

_MOST_AHEAD: Final = 512
"""Chunks of a volume that are read before somebody looks at them: those nearest to what is seen."""

_lock = threading.RLock()
"""Guards all that is here; held while a picture is put together, never while anything is waited for."""

_held: LRUCache[tuple[int, int, Chunk], Pixels] = LRUCache(HELD_BYTES, getsizeof=lambda pixels: pixels.nbytes)
"""By screen, level and chunk; in the order of axes in which a layer has them."""

_numbers = itertools.count()


class Watcher(Protocol):
    """Hears of what happens to a screen, in any thread."""

    def changed(self, screen: Screen) -> None:
        """Pixels have come of what is looked at."""

    def failed(self, text: str) -> None:
        """Pixels that are looked at cannot be had."""


@dataclass(slots=True, eq=False)
class View:
    """A piece of a level that somebody looks at."""

    level: int
    index: Index
    """Into the layer."""
    base: Pixels
    """All axes of the level, in `Layout.order`; decode threads paste into it."""
    pixels: Pixels
    """The same as the layer has it."""
    missing: dict[Chunk, list[Piece]] = field(default_factory=dict)
    """What each chunk gives that has not come."""


class Screen:
    """The pixels that napari shows of a layer; from any thread, and never waits.

    Args:
        levels: Finest first; without the coarsest, where that is held.
        layouts: How the layer has each; they differ in what of it is shown.
        coarsest: A level that is held whole, in the axes of the layer; shown enlarged until what is finer has come.
        blank: What is shown until something has come, where no level is held.
    """

    def __init__(
        self, levels: Sequence[Level], layouts: Sequence[Layout], coarsest: Pixels | None = None, blank: float = 0
    ) -> None:
        self.levels = tuple(levels)
        self.layouts = tuple(layouts)
        self.shapes = tuple(layout.shape(level.shape) for level, layout in zip(levels, layouts, strict=True))
        self._blank = blank
        self._coarsest = coarsest
        self._number = next(_numbers)
        self._view: View | None = None
        self._coming: list[Future[None]] = []
        """What is being read: one at most."""
        self._watcher: Watcher | None = None
        self._failing = False
        """Nothing has come since something failed."""
        self._told: set[str] = set()
        weakref.finalize(self, _forget, self._number, self._coming)

    def watch(self, watcher: Watcher) -> None:
        """Name who hears of pixels that have come, and of those that cannot be had."""
        self._watcher = watcher

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks again when pixels have come; else what is shown has to be all there."""
        return self._watcher is not None

    @property
    def is_complete(self) -> bool:
        """Whether all that is looked at has come."""
        with _lock:
            return self._view is None or not self._view.missing

    def show(self, level: int, index: Index) -> Pixels:
        """What there is now of a piece of a level; the rest is asked for, and what was asked for before is not.

        Args:
            level: The number of one of ``levels``.
            index: Of the layer, as of `parse_index`.

        Returns:
            An array that changes as pixels come. What has not come is enlarged out of coarser pixels, or the value of
            what is absent.
        """
        with _lock:
            view = self._view
            if view is None or (view.level, view.index) != (level, index):
                self._view = view = self._look(level, index, view)
                self._ask(view)
            return view.pixels

    # --- all below with the lock ---

    def _look(self, number: int, index: Index, before: View | None) -> View:
        level, layout = self.levels[number], self.layouts[number]
        selection = plan_selection(layout.in_level(index), level.shape, level.chunks)
        base = np.empty([selection.shape[axis] for axis in layout.order], level.dtype)
        by_level = base.transpose(np.argsort(layout.order))
        view = View(number, index, base, layout.laid_out(by_level, index))
        held: list[tuple[Piece, Pixels]] = []
        for piece in selection.pieces:
            chunk = _held.get((self._number, number, piece.chunk))
            if chunk is None:
                view.missing.setdefault(piece.chunk, []).append(piece)
            else:
                held.append((piece, chunk))
        if view.missing:
            self._fill(view, before)
        for piece, chunk in held:
            self._paste(view, piece, chunk)
        return view

    def _fill(self, view: View, before: View | None) -> None:
        """Show something until the pixels come: of a pyramid what is coarser, and what was seen just now."""
        if self._coarsest is None:
            view.pixels[...] = self._blank
            return
        enlarge(self._coarsest, view.pixels, view.index, self.shapes[view.level])
        if before is not None:
            shapes = self.shapes[before.level], self.shapes[view.level]
            overlay(before.pixels, before.index, view.pixels, view.index, shapes)

    def _ask(self, view: View) -> None:
        """Ask for what is missing, and then no more for what was; in this order, so that what both want is kept."""
        wanted = [*view.missing, *self._ahead(view)]
        before, self._coming[:] = list(self._coming), []
        if wanted:
            place, failed = _weakly(self, view)
            self._coming.append(self.levels[view.level].stream(wanted, place, failed))
        for each in before:
            each.cancel()

    def _ahead(self, view: View) -> list[Chunk]:
        """Of a volume the chunks around those that are seen, nearest first, as far as they find room."""
        if self._coarsest is not None:
            return []
        level = self.levels[view.level]
        seen = plan_selection(self.layouts[view.level].in_level(view.index), level.shape, level.chunks)
        first = next((piece.chunk for piece in seen.pieces), None)
        if first is None:
            return []
        room = HELD_BYTES // 2 // max(1, math.prod(level.chunks) * level.dtype.itemsize)
        return [
            chunk
            for chunk in _nearest(first, self._grid(view.level), min(_MOST_AHEAD, room))
            if chunk not in view.missing and (self._number, view.level, chunk) not in _held
        ]

    def _grid(self, number: int) -> tuple[range, ...]:
        """Chunk indices along each axis, of what the layer shows of a level."""
        whole = self.layouts[number].in_level(tuple(slice(0, length) for length in self.shapes[number]))
        bounds = ((item, item + 1) if isinstance(item, int) else (item.start, item.stop) for item in whole)
        return tuple(
            range(start // chunk, -(-stop // chunk))
            for (start, stop), chunk in zip(bounds, self.levels[number].chunks, strict=True)
        )

    def _complete(self, view: View, chunk: Chunk, pixels: Pixels) -> bool:
        """Put a chunk where it is missing; tells whether it is."""
        pieces = view.missing.pop(chunk, [])
        for piece in pieces:
            self._paste(view, piece, pixels)
        return bool(pieces)

    def _paste(self, view: View, piece: Piece, chunk: Pixels) -> None:
        order = self.layouts[view.level].order
        target, source = (tuple(each[axis] for axis in order) for each in (piece.target, piece.source))
        view.base[target] = chunk[source]

    # --- told by the reading, in other threads ---

    def arrived(self, level: int, chunk: Chunk, pixels: Pixels) -> None:
        """A chunk has come, in the order of the level's axes; valid until this returns."""
        kept = np.array(pixels.transpose(self.layouts[level].order), order="C")
        with _lock:
            self._failing = False
            if kept.nbytes <= HELD_BYTES:
                _held[self._number, level, chunk] = kept
            view = self._view
            is_seen = view is not None and view.level == level and self._complete(view, chunk, kept)
        if is_seen and self._watcher is not None:
            self._watcher.changed(self)

    def failed(self, view: View, chunk: Chunk, error: BaseException) -> None:
        """A chunk cannot be had. It is said once: not of each frame, nor of what nobody looks at any more."""
        text = str(error) or type(error).__name__
        with _lock:
            news = view is self._view and chunk in view.missing and not self._failing and text not in self._told
            if news:
                self._failing = True
                self._told.add(text)
        if news and self._watcher is not None:
            self._watcher.failed(text)


def _weakly(
    screen: Screen, view: View
) -> tuple[Callable[[Chunk, Pixels], None], Callable[[Chunk, BaseException], None]]:
    """Who is told of chunks: a reading under way keeps no layer alive that has been removed."""
    found = weakref.ref(screen)
    level = view.level

    def place(chunk: Chunk, pixels: Pixels) -> None:
        if (alive := found()) is not None:
            alive.arrived(level, chunk, pixels)

    def failed(chunk: Chunk, error: BaseException) -> None:
        if (alive := found()) is not None:
            alive.failed(view, chunk, error)

    return place, failed


def _nearest(first: Chunk, grid: tuple[range, ...], most: int) -> list[Chunk]:
    """Chunks in the order of their distance from one, the last axes being the nearest."""
    reach: list[list[int]] = []
    for numbers, at in zip(grid, first, strict=True):
        distances = {number: abs(number - at) for number in numbers}
        reach.append(sorted(distances, key=distances.__getitem__)[:most])
    chunks = itertools.islice(itertools.product(*reach), 16 * most)
    return sorted(chunks, key=lambda chunk: sum(abs(a - b) for a, b in zip(chunk, first, strict=True)))[:most]


def _forget(number: int, coming: list[Future[None]]) -> None:
    for each in coming:
        each.cancel()
    with _lock:
        for key in [key for key in _held if key[0] == number]:
            del _held[key]

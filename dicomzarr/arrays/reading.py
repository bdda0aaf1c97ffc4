"""Selections of a level to arrays: the whole selection is planned at once, each frame decoded once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays.progress import watches
from dicomzarr.arrays.selection import checked_chunk, plan_orthogonal, plan_selection
from dicomzarr.codecs.buffers import empty, map_pages
from dicomzarr.codecs.planes import put
from dicomzarr.engine.readahead import Block
from dicomzarr.errors import MissingInstanceError
from dicomzarr.runtime.home_loop import home_loop, run_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    from dicomzarr.arrays.pieces import Piece, Selection
    from dicomzarr.arrays.progress import Watch
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.engine.source import FrameSource
    from dicomzarr.plan import LevelPlan

    Pixels = npt.NDArray[np.generic]
    Share = tuple[Pixels, Piece]
    Chunk = tuple[int, ...]


def read_level(
    source: FrameSource,
    level: LevelPlan,
    indices: Sequence[Any],
    layout: Sequence[int] | None = None,
    own: Sequence[Watch] = (),
) -> list[Pixels]:
    """Read several NumPy indices of a level in one plan.

    Args:
        source: Where frames come from.
        level: The array.
        indices: Anything that NumPy would take for an array of this shape.
        layout: The axes of the level in the order in which the results have them; None for the level's own.
        own: Who watches this read, beside those who watch all.

    Raises:
        IndexError: As NumPy would; or there is a ``layout``, and an index has more than slices and integers.
        ServerError: A frame could not be fetched.
        FrameError: A frame could not be decoded.
    """
    selections = [plan_selection(index, level.shape, level.chunks) for index in indices]
    if layout is None:
        return _read(source, level, selections, own=own)
    orders = [_order(selection, layout) for selection in selections]
    arrays = _read(source, level, selections, layout, own)
    return [array.transpose(order) for array, order in zip(arrays, orders, strict=True)]


def read_orthogonal(source: FrameSource, level: LevelPlan, index: Any) -> Pixels:
    """Read an index that takes each axis on its own, as zarr's ``oindex``.

    Args:
        source: Where frames come from.
        level: The array.
        index: Integers, slices and 1-D arrays of integers or truth values, one an axis.

    Returns:
        Of the level's type, with an axis for each slice and array, in the order of the level's.

    Raises:
        IndexError: An axis is indexed by something else, or beyond its end.
        ServerError: A frame could not be fetched.
        FrameError: A frame could not be decoded.
    """
    return _read(source, level, [plan_orthogonal(index, level.shape, level.chunks)])[0]


def prefetch_level(source: FrameSource, level: LevelPlan, indices: Sequence[Any], most: int) -> None:
    """Fetch what NumPy indices touch into memory, without waiting for it.

    Args:
        source: Where frames come from.
        level: The array.
        indices: Anything that NumPy would take for an array of this shape.
        most: Bytes, if nothing were compressed, after which no more is fetched.

    Raises:
        IndexError: As NumPy would.
    """
    frames: dict[FrameRef, None] = {}
    for index in indices:
        for piece in plan_selection(index, level.shape, level.chunks).pieces:
            if len(frames) * level.chunk_nbytes >= most:
                break
            with suppress(MissingInstanceError):  # whoever reads it will hear of it
                frame = level.frames.locate(piece.chunk)
                if frame is not None:
                    frames[frame] = None
    source.prefetch(list(frames))


def stream_level(
    source: FrameSource,
    level: LevelPlan,
    chunks: Sequence[Chunk],
    place: Callable[[Chunk, Pixels], None],
    failed: Callable[[Chunk, BaseException], None],
) -> Future[None]:
    """Begin to read chunks, each of which is handed on as it comes.

    Args:
        source: Where frames come from.
        level: The array.
        chunks: Chunk indices, those that are wanted first first.
        place: Takes a chunk, of shape ``level.chunks``, which is valid until it returns.
        failed: Told of a chunk that cannot be had.

    Returns:
        Done when all have come or failed; ``cancel()`` gives up those that have not.

    Raises:
        IndexError: There is no such chunk; none has been handed on then.
    """
    frames: list[FrameRef] = []
    wanted: list[Chunk] = []
    for chunk in [checked_chunk(each, level.grid) for each in chunks]:
        try:
            frame = level.frames.locate(chunk)
        except MissingInstanceError as error:
            failed(chunk, error)
            continue
        if frame is None:
            place(chunk, _absent_chunk(level))
        else:
            frames.append(frame)
            wanted.append(chunk)

    def place_frame(position: int, pixels: Pixels) -> None:
        place(wanted[position], pixels.reshape(level.chunks))

    def frame_failed(position: int, error: BaseException) -> None:
        failed(wanted[position], error)

    coming = source.deliver(frames, place_frame, level, failed=frame_failed, planes=False)
    return asyncio.run_coroutine_threadsafe(coming, home_loop())


def _order(selection: Selection, layout: Sequence[int]) -> list[int]:
    """What is left of a layout where integers took axes away."""
    kept = selection.kept_axes
    if kept is None:
        raise IndexError("an order of axes goes with slices and integers only")
    return [kept.index(axis) for axis in layout if axis in kept]


def _empty(shape: tuple[int, ...], level: LevelPlan, layout: Sequence[int] | None) -> Pixels:
    """An array of a shape, whose axes lie in memory in another order."""
    if layout is None:
        return empty(shape, level.dtype)
    return empty(tuple(shape[axis] for axis in layout), level.dtype).transpose(np.argsort(layout))


def _read(
    source: FrameSource,
    level: LevelPlan,
    selections: Sequence[Selection],
    layout: Sequence[int] | None = None,
    own: Sequence[Watch] = (),
) -> list[Pixels]:
    # First the arrays: what fits no memory fails here, before its chunks are counted.
    arrays = [_empty(selection.shape, level, layout) for selection in selections]
    shares: defaultdict[FrameRef | None, list[Share]] = defaultdict(list)
    for selection, array in zip(selections, arrays, strict=True):
        for piece in selection.pieces:
            shares[level.frames.locate(piece.chunk)].append((array, piece))
    _fill(level, shares.pop(None, []))
    if len(selections) == 1 and (box := selections[0].box) is not None:
        source.follow(level, Block(*box))
    if shares:
        watched = (*watches(), *own)
        for watch in watched:
            watch.begin(len(shares), len(shares) * level.chunk_nbytes)
        # Where the first axis of frames, which is that of samples, varies fastest in memory, there are no planes.
        planes = layout is None or layout[-1] != 0
        run_sync(_deliver, source, level, shares, watched, planes, meanwhile=lambda: _map_pages(arrays))
    return [array[selection.finish] for selection, array in zip(selections, arrays, strict=True)]


def _map_pages(arrays: Sequence[Pixels]) -> None:
    for array in arrays:
        map_pages(array)


def _fill(level: LevelPlan, absent: list[Share]) -> None:
    """Colour what the metadata says does not exist."""
    if absent:
        _paste(_absent_chunk(level), absent)


def _absent_chunk(level: LevelPlan) -> Pixels:
    samples = np.array(level.absent, dtype=level.dtype).reshape(-1, *[1] * (len(level.chunks) - 1))
    return np.broadcast_to(samples, level.chunks)


async def _deliver(
    source: FrameSource,
    level: LevelPlan,
    shares: dict[FrameRef, list[Share]],
    watched: Sequence[Watch],
    planes: bool,  # noqa: FBT001  # comes by position
) -> None:
    frames, wanted = list(shares), list(shares.values())

    def place(position: int, pixels: Pixels) -> None:
        _paste(pixels.reshape(level.chunks), wanted[position])
        for watch in watched:
            watch.done(level.chunk_nbytes)

    await source.deliver(frames, place, level, planes=planes)


def _paste(chunk: Pixels, shares: list[Share]) -> None:
    for array, piece in shares:
        put(array, piece.target, chunk[piece.source])

"""Blocks copied as pixels: coded anew while frames are decoded, or read in one plan where chunks are no frames."""

from __future__ import annotations

from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from dicomzarr.errors import InvalidOptionError
from dicomzarr.faces.export.blocks import blocks_of, boxes, frames_of, halve, has_no_frame, is_absent, shifted
from dicomzarr.faces.export.chunks import ChunkCoding, digest, pack_shard, unpack_shard
from dicomzarr.faces.export.documents import array_documents, array_documents_v2, pixel_codecs
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.faces.export.blocks import Block, Box
    from dicomzarr.faces.export.chunks import Chunk, Stored
    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.faces.export.selection import Part, Taken
    from dicomzarr.faces.export.work import Gate
    from dicomzarr.faces.export.zarr_target import ZarrTarget
    from dicomzarr.omezarr.hierarchy import Documents
    from dicomzarr.omezarr.series_store import SeriesStore

    Store: TypeAlias = Callable[[Chunk, Stored], None]

_LARGEST_SHARD: Final = 2**29
"""Bytes of its pixels: some are put together at a time."""

_MOST_CHUNKS: Final = 2**16
"""Of a shard, whose index names them all."""


class PixelCopy:
    """Copies blocks, and reads them again.

    Args:
        target: Where they go.
        options: How they are coded.
        store: The series.
        level_of: The level that a part is taken from.
    """

    def __init__(
        self, target: ZarrTarget, options: ExportOptions, store: SeriesStore, level_of: Callable[[Taken], Level]
    ) -> None:
        self._target = target
        self._options = options
        self._store = store
        self._level_of = level_of

    def examine(self, part: Part) -> None:
        """Refuse shards that do not fit into memory, in which they are put together.

        Raises:
            InvalidOptionError: They are larger.
        """
        counts, level = self._counts(part), part.level
        nbytes = prod(map(min, counts, level.grid)) * level.chunk_nbytes
        if self._options.shard is not None and (nbytes > _LARGEST_SHARD or prod(counts) > _MOST_CHUNKS):
            raise InvalidOptionError(
                f"A shard of array {part.path} would hold {prod(counts)} chunks, {nbytes / 2**20:.0f} MiB of pixels; "
                f"it is put together in memory: {_MOST_CHUNKS} and {_LARGEST_SHARD // 2**20} MiB are the most.",
                remedy="Take fewer chunks for a shard.",
            )

    def prepare(self, part: Part) -> Documents:
        """Write the documents of an array."""
        documents = self._documents(part)
        self._target.put({f"{part.path}/{name}": document for name, document in documents.items()})
        return documents

    def blocks(self, part: Part) -> Iterator[Block]:
        """The blocks of an array."""
        return blocks_of(part, self._unit(part), self._options.block_bytes)

    def copy(self, block: Block, gate: Gate) -> str:
        """Copy a block; gives its digest.

        Raises:
            DicomZarrError: It cannot be had, or not be written.
        """
        part = block.part
        checksums: dict[Chunk, int] = {}
        kept: dict[Chunk, bytes] = {}
        at_once = self._target.is_local and self._options.shard is None

        def store(chunk: Chunk, stored: Stored) -> None:
            checksums[chunk] = stored.checksum
            if at_once:
                with gate:
                    self._target.put({self._key(part, chunk): stored.data})
            else:
                kept[chunk] = bytes(stored.data)

        (self._code_frames if _are_frames(part) else self._code_pixels)(block, store)
        if kept:
            with gate:
                self._target.put(self._files(part, kept))
        return digest(checksums)

    def check(self, block: Block, _: Gate) -> str:
        """The digest of a block as it is at the target."""
        part, coding = block.part, self._coding(block.part)
        present = [
            _chunk(part, box) for box in boxes(block.box, part.level.chunks) if not self._stays_absent(part, box)
        ]
        files = {self._key(part, file): file for file in dict.fromkeys(self._file_of(part, chunk) for chunk in present)}
        checksums = {
            chunk: coding.checksum(each)
            for key, data in self._target.get(files).items()
            for chunk, each in self._chunks_in(part, files[key], data)
        }
        return digest(checksums)

    # --- chunks, from frames and from pixels ---

    def _code_frames(self, block: Block, store: Store) -> None:
        """Code chunks that are frames of the series: each in the thread that decodes it."""
        part, coding = block.part, self._coding(block.part)
        frames: list[FrameRef] = []
        places: list[Box] = []
        for box, whole in zip(boxes(block.box, part.level.chunks), frames_of(part, block.box), strict=True):
            frame = part.whole.frames.locate(whole)
            if frame is not None:
                frames.append(frame)
                places.append(box)
            elif not self._stays_absent(part, box):
                store(_chunk(part, box), coding.encode(self._absent(part), _size(box)))

        def place(position: int, pixels: npt.NDArray[Any]) -> None:
            box = places[position]
            store(_chunk(part, box), coding.encode(pixels, _size(box)))

        run_sync(self._store.source_of(part.whole).deliver, frames, place, part.whole)

    def _code_pixels(self, block: Block, store: Store) -> None:
        """Code the chunks of any array."""
        part, coding = block.part, self._coding(block.part)
        pixels = None if part.halvings else self._read(block)
        first = [-start for start, _ in block.box]
        for box in boxes(block.box, part.level.chunks):
            if not self._stays_absent(part, box):
                if pixels is None:
                    found = self._halved(part, box)
                else:
                    found = pixels[tuple(slice(*ends) for ends in shifted(box, first))]
                store(_chunk(part, box), coding.encode(found, _size(box)))

    def _stays_absent(self, part: Part, box: Box) -> bool:
        """Whether a chunk is not written, for readers fill it in; those of Zarr v2 do not, as in the virtual store."""
        return self._options.zarr_format == 3 and is_absent(part, box)  # noqa: PLR2004  # of Zarr

    def _absent(self, part: Part) -> npt.NDArray[Any]:
        """A chunk of which there is no frame."""
        level, value = part.whole, self._filling(part)
        samples = np.array(level.absent if value is None else (value,), level.dtype).reshape(-1, 1, 1)
        return np.broadcast_to(samples, (np.prod(level.chunks[:-2], dtype=int), *level.chunks[-2:]))

    def _read(self, block: Block) -> npt.NDArray[Any]:
        taken = shifted(block.box, block.part.taken.start)
        level = self._level_of(block.part.taken)
        (pixels,) = level.read([tuple(slice(*ends) for ends in taken)])
        value = self._filling(block.part)
        if value is not None:
            self._fill_absent(block, pixels, value)
        return pixels

    def _filling(self, part: Part) -> float | None:
        """What was asked to fill absent slices with; None for what is background there."""
        return None if part.is_background else self._options.absent

    @staticmethod
    def _fill_absent(block: Block, pixels: npt.NDArray[Any], value: float) -> None:
        """Put a value where there is no frame."""
        part = block.part
        for chunk in frames_of(part, block.box):
            if has_no_frame(part.whole, chunk):
                index = tuple(
                    slice(max(0, number * size - first - start), max(0, (number + 1) * size - first - start))
                    for number, size, first, (start, _) in zip(
                        chunk, part.whole.chunks, part.taken.start, block.box, strict=True
                    )
                )
                pixels[index] = value

    def _halved(self, part: Part, box: Box) -> npt.NDArray[Any]:
        """Read a chunk's worth of the array before, which is written already: the mean takes many times its size."""
        before, _, number = part.path.rpartition("/")
        path = f"{before}/{int(number) - 1}" if before else str(int(number) - 1)
        lead = (slice(*ends) for ends in box[:-2])
        index = (*lead, *(slice(2 * start, 2 * stop) for start, stop in box[-2:]))
        return halve(self._target.read(path, index), averages=part.averages)

    # --- files: a chunk, or a shard of them ---

    def _files(self, part: Part, chunks: Mapping[Chunk, bytes]) -> dict[str, bytes]:
        """The files that chunks are stored in, by key."""
        if self._options.shard is None:
            return {self._key(part, chunk): data for chunk, data in chunks.items()}
        files = dict.fromkeys(self._file_of(part, chunk) for chunk in chunks)
        return {
            self._key(part, file): pack_shard([chunks.get(chunk) for chunk in self._members(part, file)])
            for file in files
        }

    def _chunks_in(self, part: Part, file: Chunk, data: bytes) -> Iterator[tuple[Chunk, bytes]]:
        """The chunks that a file holds; none if it is broken, which the digest tells."""
        if self._options.shard is None:
            yield file, data
            return
        members = self._members(part, file)
        with suppress(ValueError):
            yield from (
                (chunk, each)
                for chunk, each in zip(members, unpack_shard(data, len(members)), strict=True)
                if each is not None
            )

    def _file_of(self, part: Part, chunk: Chunk) -> Chunk:
        """The indices of the file that holds a chunk, in the grid of files."""
        return tuple(number // count for number, count in zip(chunk, self._counts(part), strict=True))

    def _members(self, part: Part, file: Chunk) -> list[Chunk]:
        """All chunks of a file, those beyond the edge too."""
        counts = self._counts(part)
        return [
            tuple(number * count + inner for number, count, inner in zip(file, counts, each, strict=True))
            for each in np.ndindex(*counts)
        ]

    def _counts(self, part: Part) -> tuple[int, ...]:
        """Chunks of a file along each axis."""
        ndim, counts = len(part.level.chunks), self._options.shard or ()
        return (1,) * (ndim - len(counts)) + counts[-ndim:]

    def _unit(self, part: Part) -> tuple[int, ...]:
        """Shape of what is one file."""
        return tuple(count * chunk for count, chunk in zip(self._counts(part), part.level.chunks, strict=True))

    def _key(self, part: Part, file: Chunk) -> str:
        prefix = "/c/" if self._options.zarr_format == 3 else "/"  # noqa: PLR2004  # of Zarr
        return f"{part.path}{prefix}{'/'.join(map(str, file))}"

    def _coding(self, part: Part) -> ChunkCoding:
        level = part.level
        return ChunkCoding(level.chunks, level.dtype, level.fill_value, self._options.zstd_level)

    def _documents(self, part: Part) -> Documents:
        level, options = part.level, self._options
        if options.zarr_format == 2:  # noqa: PLR2004  # of Zarr
            compressor = None if options.zstd_level is None else {"id": "zstd", "level": options.zstd_level}
            return array_documents_v2(part, compressor, None)
        value = self._filling(part)
        fill = level.fill_value if value is None else value
        shard = None if options.shard is None else self._unit(part)
        return array_documents(part, pixel_codecs(level, options.zstd_level), shard, fill)


def _are_frames(part: Part) -> bool:
    """Whether the chunks of an array are frames of the series, and no parts of several."""
    aligned = not any(start % chunk for start, chunk in zip(part.taken.start, part.whole.chunks, strict=True))
    return aligned and not part.halvings


def _chunk(part: Part, box: Box) -> Chunk:
    """The indices of the first chunk in a box."""
    return tuple(start // size for (start, _), size in zip(box, part.level.chunks, strict=True))


def _size(box: Box) -> tuple[int, int]:
    """Its rows and columns."""
    (top, bottom), (left, right) = box[-2:]
    return bottom - top, right - left

"""Blocks copied as pixels: read through a level in one plan, coded anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from imagecodecs import zstd_encode

from dicomzarr.faces.export.blocks import blocks_of, boxes, digest, frames_of, halve, has_no_frame, is_absent, shifted
from dicomzarr.faces.export.documents import array_documents, array_documents_v2, pixel_codecs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from dicomzarr.arrays.level import Level
    from dicomzarr.faces.export.blocks import Block, Box
    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.faces.export.selection import Part, Taken
    from dicomzarr.faces.export.work import Gate
    from dicomzarr.faces.export.zarr_target import ZarrTarget
    from dicomzarr.omezarr.hierarchy import Documents


class PixelCopy:
    """Copies blocks, and reads them again.

    Args:
        target: Where they go.
        options: How they are coded.
        level_of: The level that a part is taken from.
    """

    def __init__(self, target: ZarrTarget, options: ExportOptions, level_of: Callable[[Taken], Level]) -> None:
        self._target = target
        self._options = options
        self._level_of = level_of

    def examine(self, part: Part) -> None:
        """Any pixels can be written."""

    def prepare(self, part: Part) -> Documents:
        """Write the documents of an array, and open it."""
        documents = self._documents(part)
        for name, document in documents.items():
            self._target.put(f"{part.path}/{name}", document)
        self._target.open_array(part.path)
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
        pixels = self._halved(block) if part.halvings else self._read(block)
        own = digest(pixels)
        sharded = self._options.shard is not None
        with gate:
            for box in boxes(block.box, self._unit(part)):
                if is_absent(part, box):
                    continue  # and stays so
                found = pixels[tuple(slice(*ends) for ends in shifted(box, [-start for start, _ in block.box]))]
                if sharded:
                    sparse = any(is_absent(part, each) for each in boxes(box, part.level.chunks))
                    self._target.write(part.path, tuple(slice(*ends) for ends in box), found, sparse=sparse)
                else:
                    self._target.put(self._key(part, box), self._encoded(part, found))
        return own

    def check(self, block: Block, _: Gate) -> str:
        """The digest of a block as it is at the target."""
        return digest(self._target.read(block.part.path, block.index))

    def _key(self, part: Part, box: Box) -> str:
        """Of the chunk that a box is."""
        indices = (str(start // size) for (start, _), size in zip(box, part.level.chunks, strict=True))
        prefix = ["c"] if self._options.zarr_format == 3 else []  # noqa: PLR2004  # of Zarr
        return "/".join((part.path, *prefix, *indices))

    def _encoded(self, part: Part, pixels: npt.NDArray[Any]) -> bytes:
        """A chunk as it is stored: full size, also at the edge."""
        level, data = part.level, pixels
        if pixels.shape != level.chunks:
            data = np.full(level.chunks, level.fill_value, level.dtype)
            data[tuple(map(slice, pixels.shape))] = pixels
        data = np.ascontiguousarray(data, level.dtype)
        zstd_level = self._options.zstd_level
        return data.tobytes() if zstd_level is None else bytes(zstd_encode(data.tobytes(), zstd_level))

    def _documents(self, part: Part) -> Documents:
        level, options = part.level, self._options
        fill = level.fill_value if options.absent is None else options.absent
        if options.zarr_format == 2:  # noqa: PLR2004  # of Zarr
            compressor = None if options.zstd_level is None else {"id": "zstd", "level": options.zstd_level}
            whole = tuple((0, size) for size in level.shape)
            has_absent = any(has_no_frame(part.whole, chunk) for chunk in frames_of(part, whole))
            return array_documents_v2(part, compressor, fill if has_absent else None)
        shard = None if options.shard is None else self._unit(part)
        return array_documents(part, pixel_codecs(level, options.zstd_level), shard, fill)

    def _unit(self, part: Part) -> tuple[int, ...]:
        """Shape of what is written at once."""
        chunks = part.level.chunks
        counts = self._options.shard or ()
        counts = (1,) * (len(chunks) - len(counts)) + counts[-len(chunks) :]
        return tuple(count * chunk for count, chunk in zip(counts, chunks, strict=True))

    def _read(self, block: Block) -> npt.NDArray[Any]:
        taken = shifted(block.box, block.part.taken.start)
        level = self._level_of(block.part.taken)
        (pixels,) = level.read([tuple(slice(*ends) for ends in taken)])
        if self._options.absent is not None:
            self._fill_absent(block, pixels)
        return pixels

    def _fill_absent(self, block: Block, pixels: npt.NDArray[Any]) -> None:
        """Put the value that was asked for where there is no frame."""
        part = block.part
        for chunk in frames_of(part, block.box):
            if has_no_frame(part.whole, chunk):
                index = tuple(
                    slice(max(0, number * size - first - start), max(0, (number + 1) * size - first - start))
                    for number, size, first, (start, _) in zip(
                        chunk, part.whole.chunks, part.taken.start, block.box, strict=True
                    )
                )
                pixels[index] = self._options.absent

    def _halved(self, block: Block) -> npt.NDArray[Any]:
        """Read the array before, which is written already, at half the scale."""
        part = block.part
        before, _, number = part.path.rpartition("/")
        path = f"{before}/{int(number) - 1}" if before else str(int(number) - 1)
        index = (*block.index[:-2], *(slice(2 * start, 2 * stop) for start, stop in block.box[-2:]))
        return halve(self._target.read(path, index), averages=part.averages)

"""Chunks as they lie in files: coded, alone or in shards, and what tells them from any others. Pure (no I/O)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import google_crc32c
import imagecodecs
import numpy as np

from dicomzarr.codecs.planes import put
from dicomzarr.codecs.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

Chunk: TypeAlias = tuple[int, ...]
"""Indices of a chunk in the grid of its array."""

_NO_CHUNK: Final = 2**64 - 1
"""Offset and length of a chunk that a shard lacks (zarr specs, sharding-indexed codec)."""

_scratch = Scratch()


class Stored(NamedTuple):
    """A chunk."""

    data: bytes | bytearray | memoryview
    """As it is stored; valid until this thread encodes the next."""
    checksum: int
    """Of its pixels."""


@dataclass(frozen=True, slots=True)
class ChunkCoding:
    """How the pixels of an array become the bytes of its chunks."""

    shape: tuple[int, ...]
    """Of a chunk."""
    dtype: np.dtype[Any]
    """Little-endian."""
    fill_value: float
    """Of what lies beyond the edge of the array."""
    zstd_level: int | None
    """None for chunks that are not compressed."""

    def encode(self, pixels: npt.NDArray[Any], size: tuple[int, ...]) -> Stored:
        """A chunk as it is stored.

        Args:
            pixels: Of the chunk; whatever their first axes are, the last two are rows and columns.
            size: Rows and columns that lie within the array.
        """
        raw: Any = self._whole(pixels, *size).reshape(-1).view(np.uint8)
        data = raw.data if self.zstd_level is None else imagecodecs.zstd_encode(raw, self.zstd_level)
        return Stored(data, checksum(raw))

    def _whole(self, pixels: npt.NDArray[Any], rows: int, columns: int) -> npt.NDArray[Any]:
        """All pixels of a chunk in C order, in memory that this thread uses again."""
        is_whole = (rows, columns) == self.shape[-2:]
        if is_whole and pixels.shape[-2:] == self.shape[-2:] and pixels.flags.c_contiguous:
            return pixels
        whole = _scratch.array((*pixels.shape[:-2], *self.shape[-2:]), self.dtype)
        if not is_whole:
            whole[...] = self.fill_value
        put(whole, (..., slice(rows), slice(columns)), pixels[..., :rows, :columns])
        return whole

    def checksum(self, data: bytes) -> int | None:
        """That of the pixels of a stored chunk; None if it is none."""
        nbytes = math.prod(self.shape) * self.dtype.itemsize
        if self.zstd_level is not None:
            try:
                data = bytes(imagecodecs.zstd_decode(data, out=nbytes))
            except (imagecodecs.ZstdError, ValueError):
                return None
        return checksum(data) if len(data) == nbytes else None


def checksum(data: Any) -> int:
    """Tells bytes from others: CRC-32C, in a few microseconds, during which the interpreter is not let go of.

    Who lets go of it for so short a time waits longer until another thread gives it back.

    Args:
        data: A buffer.
    """
    return int(google_crc32c.value(np.frombuffer(data, np.uint8)))


def digest(checksums: Mapping[Any, int | None]) -> str:
    """Tells chunks, by their names, from any others."""
    text = " ".join(f"{name}={value}" for name, value in sorted(checksums.items()))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def pack_shard(chunks: Sequence[bytes | None]) -> bytes:
    """A shard: its chunks, and an index at the end (zarr specs, sharding-indexed codec).

    Args:
        chunks: In the order of their indices within the shard; None for those that it lacks.
    """
    index = np.full((len(chunks), 2), _NO_CHUNK, "<u8")
    at = 0
    for number, data in enumerate(chunks):
        if data is not None:
            index[number] = at, len(data)
            at += len(data)
    table = index.tobytes()
    return b"".join([*(data for data in chunks if data is not None), table, _check_of(table)])


def unpack_shard(shard: bytes, count: int) -> list[bytes | None]:
    """The chunks of a shard.

    Args:
        shard: As `pack_shard` makes it.
        count: Of its chunks, those that it lacks among them.

    Raises:
        ValueError: It is none.
    """
    table, check = shard[-16 * count - 4 : -4], shard[-4:]
    if len(table) != 16 * count or _check_of(table) != check:
        raise ValueError("the index of a shard is broken")
    pairs = np.frombuffer(table, "<u8").reshape(count, 2).tolist()
    return [None if at == _NO_CHUNK else shard[at : at + length] for at, length in pairs]


def _check_of(table: bytes) -> bytes:
    """As the index of a shard ends."""
    return checksum(table).to_bytes(4, "little")

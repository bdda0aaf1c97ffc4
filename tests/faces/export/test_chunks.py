"""Chunks and shards that we write are those that zarr writes and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slides
import zarr
from serving import serving

import dicomzarr
from dicomzarr.faces.export.chunks import ChunkCoding, pack_shard, unpack_shard

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 37, 50)


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<f4", "<u4"])
@pytest.mark.parametrize("chunk", [(3, 16, 16), (1, 37, 50), (1, 8, 64)])
def test_chunks_are_those_of_zarr_byte_for_byte(dtype: str, chunk: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 200, SHAPE).astype(dtype)
    array: Any = zarr.create_array(
        str(tmp_path), shape=SHAPE, chunks=chunk, dtype=dtype, compressors=None, fill_value=9, dimension_names="cyx"
    )
    array[...] = pixels
    coding = ChunkCoding(chunk, np.dtype(dtype), 9, None)
    for place in np.ndindex(*(-(-size // side) for size, side in zip(SHAPE, chunk, strict=True))):
        box = tuple(
            slice(number * side, min(size, (number + 1) * side))
            for number, side, size in zip(place, chunk, SHAPE, strict=True)
        )
        found = pixels[box]
        stored = coding.encode(found, found.shape[-2:])
        data = tmp_path.joinpath("c", *map(str, place)).read_bytes()
        assert bytes(stored.data) == data
        assert coding.checksum(data) == stored.checksum
        assert coding.checksum(data[:-1]) is None
        assert coding.checksum(bytes([data[0] ^ 1]) + data[1:]) != stored.checksum


def test_pixels_of_any_order_in_memory_are_coded_alike() -> None:
    coding = ChunkCoding((3, 32, 24), np.dtype("u1"), 0, 3)
    pixels = np.random.default_rng(8).integers(0, 256, (3, 32, 24), np.uint8)
    words = np.zeros((32, 24, 4), np.uint8)
    words[..., :3] = np.moveaxis(pixels, 0, -1)
    side_by_side = np.moveaxis(words[..., :3], -1, 0)
    backwards = pixels[:, ::-1].copy()[:, ::-1]
    expected = coding.encode(pixels, (32, 24))
    for each in (side_by_side, backwards, np.asfortranarray(pixels)):
        assert coding.encode(each, (32, 24)) == expected


def test_what_is_no_zstd_has_no_checksum() -> None:
    coding = ChunkCoding((1, 8, 8), np.dtype("u1"), 0, 3)
    data = bytes(coding.encode(np.ones((1, 8, 8), np.uint8), (8, 8)).data)
    assert [coding.checksum(each) for each in (b"", b"rubbish", data[:-2])] == [None] * 3
    assert ChunkCoding((1, 8, 9), np.dtype("u1"), 0, 3).checksum(data) is None  # of another size


def test_a_shard_gives_its_chunks_again_and_tells_when_it_is_broken() -> None:
    chunks = [b"one", None, b"", b"four"]
    shard = pack_shard(chunks)
    assert unpack_shard(shard, 4) == chunks
    for broken in (shard[:-1], shard[:-20] + b"\1" + shard[-19:], b"", shard[-40:]):
        with pytest.raises(ValueError, match="index of a shard"):
            unpack_shard(broken, 4)


@pytest.mark.parametrize("shard", [2, (3, 1), (1, 64, 64)])
def test_zarr_finds_the_same_chunks_in_a_shard(shard: Any, tmp_path: Path) -> None:
    with serving(slides.sparse_fluorescence()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, tmp_path / "out.zarr", shard=shard, levels=[0])
        assert np.array_equal(zarr.open_array(str(tmp_path / "out.zarr"), path="0", mode="r"), image.levels[0][...])

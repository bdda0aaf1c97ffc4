"""zarr's own conformance tests of stores, over a store that can only be read.

Tests that write first read what a slide holds instead; tests of writing see that it is refused. Everything else
is zarr's, unchanged. zarr's tests are coroutines: here each runs on an event loop of its own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import pickle
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import zarr
from opened import group_at
from serving import Served, serving
from slides import sparse_brightfield
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.core.sync import _collect_aiterator
from zarr.storage import FsspecStore
from zarr.testing.store import StoreTests

from dicomzarr.errors import ReadOnlyError
from dicomzarr.faces.fsspec.filesystem import DICOMwebFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zarr.abc.store import ByteRequest

KEYS = ("zarr.json", "1/zarr.json", "0/c/0/0/0", "1/c/0/1/1")
ABSENT = ("0/c/0/0/1", "0/c/0/9/9", "2/zarr.json", "zarr.json/zarr.json", "c/0", "nope")
PROTOTYPE = default_buffer_prototype()

private_to_some = pytest.mark.skipif(not hasattr(FsspecStore, "_get_bytes"), reason="this zarr has no such method")


def on_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """The coroutine function as one that runs it; its signature and marks stay, for pytest."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def all_on_a_loop(tests: type) -> type:
    """Every test of a class that is a coroutine function, inherited ones too."""
    for name, test in inspect.getmembers(tests, inspect.iscoroutinefunction):
        if name.startswith("test_"):
            setattr(tests, name, on_a_loop(test))
    return tests


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(sparse_brightfield()) as each:
        yield each


@pytest.fixture
def content(served: Served) -> dict[str, bytes]:
    """Every key and its value, by another way than a store."""
    fs = DICOMwebFileSystem()
    return {
        name.removeprefix(f"{served.url}/"): value
        for name, value in fs.cat(served.url, recursive=True, on_error="omit").items()
    }


@all_on_a_loop
class TestFsspecStore(StoreTests[FsspecStore, cpu.Buffer]):
    store_cls = FsspecStore
    buffer_cls = cpu.Buffer

    async def set(self, store: FsspecStore, key: str, value: Buffer) -> NoReturn:
        del store, key, value
        raise AssertionError("a test that writes needs to be replaced")

    async def get(self, store: FsspecStore, key: str) -> Buffer:
        value: bytes = await store.fs._cat_file(f"{store.path}/{key}")
        return self.buffer_cls.from_bytes(value)

    @pytest.fixture
    def store_kwargs(self, served: Served) -> dict[str, Any]:
        return {"fs": DICOMwebFileSystem(asynchronous=True), "path": served.url, "read_only": True}

    # zarr's own are coroutines, for which pytest needs a plugin.

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> FsspecStore:
        return asyncio.run(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> FsspecStore:
        return self.store_cls(**store_kwargs)

    # Facts that zarr leaves to each store.

    def test_store_repr(self, store: FsspecStore) -> None:
        assert repr(store) == f"<FsspecStore(DICOMwebFileSystem, {store.path})>"

    def test_store_supports_writes(self, store: FsspecStore) -> None:
        assert store.supports_writes  # FsspecStore says so of every filesystem; read_only is what counts
        assert store.read_only

    def test_store_supports_listing(self, store: FsspecStore) -> None:
        assert store.supports_listing

    def test_store_read_only(self, store: FsspecStore) -> None:
        """Zarr's wants a store that can be written."""
        assert store.read_only
        with pytest.raises(AttributeError):
            store.read_only = False  # type: ignore[misc]  # what is tested

    # Replaced, for zarr's begin by writing: the same questions to what the slide holds.

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize(
        "byte_range", [None, RangeByteRequest(1, 4), OffsetByteRequest(1), SuffixByteRequest(1), RangeByteRequest(2, 2)]
    )
    async def test_get(  # type: ignore[override]  # other parameters
        self, store: FsspecStore, content: dict[str, bytes], key: str, byte_range: ByteRequest | None
    ) -> None:
        observed = await store.get(key, PROTOTYPE, byte_range)
        assert observed is not None
        assert observed.to_bytes() == sliced(content[key], byte_range)

    @pytest.mark.parametrize("key", ABSENT)
    async def test_get_absent(self, store: FsspecStore, key: str) -> None:
        assert await store.get(key, PROTOTYPE) is None
        assert not await store.exists(key)
        with pytest.raises(FileNotFoundError):
            await store.getsize(key)

    async def test_get_not_open(self, store_not_open: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert not store_not_open._is_open
        observed = await store_not_open.get("zarr.json", PROTOTYPE)
        assert observed is not None
        assert observed.to_bytes() == content["zarr.json"]

    async def test_get_raises(self, store: FsspecStore) -> None:
        with pytest.raises(ValueError, match="Unexpected byte_range"):
            await store.get("zarr.json", PROTOTYPE, byte_range=(0, 2))  # type: ignore[arg-type]  # what is tested

    async def test_get_many(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        wanted = [(key, PROTOTYPE, None) for key in content]
        found = await _collect_aiterator(store._get_many(wanted))
        assert {key: value.to_bytes() for key, value in found if value is not None} == content

    @pytest.mark.parametrize("key", KEYS)
    async def test_getsize(self, store: FsspecStore, content: dict[str, bytes], key: str) -> None:  # type: ignore[override]  # other parameters
        assert await store.getsize(key) == len(content[key])

    async def test_getsize_prefix(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        for prefix in ("", "0", "1/c"):
            assert await store.getsize_prefix(prefix) == sum(map(len, below(content, prefix).values()))

    @pytest.mark.parametrize(
        "key_ranges",
        [
            [],
            [("zarr.json", RangeByteRequest(0, 2))],
            [("0/c/0/0/0", RangeByteRequest(0, 2)), ("zarr.json", None)],
            [
                ("0/c/0/0/0", RangeByteRequest(0, 2)),
                ("0/c/0/0/2", SuffixByteRequest(2)),
                ("1/c/0/0/0", OffsetByteRequest(2)),
            ],
        ],
    )
    async def test_get_partial_values(  # type: ignore[override]  # other parameters
        self, store: FsspecStore, content: dict[str, bytes], key_ranges: list[tuple[str, ByteRequest | None]]
    ) -> None:
        observed = await store.get_partial_values(PROTOTYPE, key_ranges)
        assert [each.to_bytes() for each in observed if each] == [
            sliced(content[key], part) for key, part in key_ranges
        ]

    async def test_get_partial_values_of_absent_keys(self, store: FsspecStore) -> None:
        observed = await store.get_partial_values(PROTOTYPE, [("nope", RangeByteRequest(0, 2)), ("zarr.json", None)])
        assert [each is None for each in observed] == [True, False]

    @pytest.mark.parametrize("key", KEYS)
    async def test_exists(self, store: FsspecStore, key: str) -> None:  # type: ignore[override]  # other parameters
        assert await store.exists(key)

    async def test_is_empty(self, store: FsspecStore) -> None:
        assert not await store.is_empty("")
        assert not await store.is_empty("0")
        assert not await store.is_empty("0/c/")
        assert await store.is_empty("spam/")

    async def test_list(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert sorted(await _collect_aiterator(store.list())) == sorted(content)

    async def test_list_prefix(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        for prefix in ("", "0/", "1/c/", "0/c/0/0/"):
            assert sorted(await _collect_aiterator(store.list_prefix(prefix))) == sorted(below(content, prefix))

    async def test_list_empty_path(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert set(await _collect_aiterator(store.list_prefix(""))) == set(content)

    async def test_list_dir(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        for prefix in ("", "0", "0/", "1/c", "0/c/0/0/"):
            expected = {key.removeprefix(prefix).strip("/").split("/")[0] for key in below(content, prefix)}
            assert set(await _collect_aiterator(store.list_dir(prefix))) == expected
        assert await _collect_aiterator(store.list_dir("spam")) == ()

    async def test_serializable_store(self, store: FsspecStore) -> None:
        again = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
        assert again == store
        assert again.read_only
        assert await again.get("zarr.json", PROTOTYPE) == await store.get("zarr.json", PROTOTYPE)

    @private_to_some
    async def test_get_bytes(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert await store._get_bytes("0/c/0/0/0", prototype=PROTOTYPE) == content["0/c/0/0/0"]
        with pytest.raises(FileNotFoundError):
            await store._get_bytes("nope", prototype=PROTOTYPE)

    @private_to_some
    def test_get_bytes_sync(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert store._get_bytes_sync("0/c/0/0/0", prototype=PROTOTYPE) == content["0/c/0/0/0"]

    @private_to_some
    async def test_get_json(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert await store._get_json("zarr.json", prototype=PROTOTYPE) == json.loads(content["zarr.json"])

    @private_to_some
    def test_get_json_sync(self, store: FsspecStore, content: dict[str, bytes]) -> None:  # type: ignore[override]  # other parameters
        assert store._get_json_sync("zarr.json", prototype=PROTOTYPE) == json.loads(content["zarr.json"])

    # Replaced, for they are about writing: even a store that thinks it may write is refused by the filesystem.

    async def test_with_read_only_store(self, open_kwargs: dict[str, Any]) -> None:
        writer = (await self.store_cls.open(**open_kwargs)).with_read_only(read_only=False)
        with pytest.raises(ReadOnlyError):
            await writer.set("foo", self.buffer_cls.from_bytes(b"bar"))
        with pytest.raises(ReadOnlyError):
            await writer.delete("zarr.json")
        assert writer.with_read_only(read_only=True).read_only

    @pytest.mark.parametrize("key", KEYS)
    async def test_set(self, store: FsspecStore, key: str) -> None:  # type: ignore[override]  # other parameters
        with pytest.raises(ReadOnlyError):
            await store.with_read_only(read_only=False).set(key, self.buffer_cls.from_bytes(b"x"))

    async def test_set_not_open(self, store_not_open: FsspecStore) -> None:
        with pytest.raises(ReadOnlyError):
            await store_not_open.with_read_only(read_only=False).set("x", self.buffer_cls.from_bytes(b"x"))

    async def test_set_many(self, store: FsspecStore) -> None:
        with pytest.raises(ReadOnlyError):
            await store.with_read_only(read_only=False)._set_many([("x", self.buffer_cls.from_bytes(b"x"))])

    async def test_set_if_not_exists(self, store: FsspecStore) -> None:
        writer = store.with_read_only(read_only=False)
        await writer.set_if_not_exists("zarr.json", self.buffer_cls.from_bytes(b"x"))  # which exists
        with pytest.raises(ReadOnlyError):
            await writer.set_if_not_exists("x", self.buffer_cls.from_bytes(b"x"))

    async def test_delete(self, store: FsspecStore) -> None:
        with pytest.raises(ReadOnlyError):
            await store.with_read_only(read_only=False).delete("zarr.json")

    async def test_delete_dir(self, store: FsspecStore) -> None:
        with pytest.raises(ReadOnlyError):
            await store.with_read_only(read_only=False).delete_dir("0")

    async def test_delete_nonexistent_key_does_not_raise(self, store: FsspecStore) -> None:
        """Zarr's wants silence: here nothing can ever be deleted, and that is said."""
        with pytest.raises(ReadOnlyError):
            await store.with_read_only(read_only=False).delete("nope")

    async def test_clear(self, store: FsspecStore) -> None:
        with pytest.raises(ReadOnlyError):
            await store.clear()


def sliced(value: bytes, part: ByteRequest | None) -> bytes:
    match part:
        case RangeByteRequest(start, end):
            return value[start:end]
        case OffsetByteRequest(offset):
            return value[offset:]
        case SuffixByteRequest(suffix):
            return value[-suffix:]
    return value


def below(content: dict[str, bytes], prefix: str) -> dict[str, bytes]:
    folder = prefix.strip("/")
    return {key: value for key, value in content.items() if not folder or key.startswith(f"{folder}/")}


def test_members_are_all_found(served: Served) -> None:
    group = group_at(f"{served.url}.zarr/")
    assert sorted(group.array_keys()) == ["0", "1"]
    assert [name for name, _ in group.members()] == ["0", "1"]


def test_zarr_refuses_to_write(served: Served) -> None:
    with pytest.raises((ValueError, ReadOnlyError)):
        group_at(served.url)["1"][...] = 0
    with pytest.raises(ReadOnlyError):
        zarr.open_array(f"{served.url}/1", mode="r+")[...] = 0
    with pytest.raises(ReadOnlyError):
        zarr.open_group(served.url, mode="w")

"""A Zarr hierarchy as a tree of frozen nodes, and the one question: what is at this key?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from dicomzarr.errors import MissingInstanceError
from dicomzarr.omezarr.keys import SEPARATOR, ChunkKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.plan import LevelPlan

Attributes: TypeAlias = Mapping[str, Any]
"""Of a node, JSON."""

Documents: TypeAlias = Mapping[str, bytes]
"""Of a node, by their names directly below it."""


@dataclass(frozen=True, slots=True)
class Format:
    """What the formats of Zarr differ in."""

    chunk_keys: ChunkKeys
    fills_in: bool
    """A tile that does not exist is a missing chunk, where one value says what it looks like."""
    group_documents: Callable[[Attributes], Documents]
    array_documents: Callable[[LevelPlan, tuple[str, ...]], Documents]
    """Of a level and the names of its axes."""
    consolidated: Callable[[Documents, Mapping[str, Documents]], Documents]
    """Of the root, and of the nodes below it by their paths."""


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A Zarr array."""

    documents: Documents
    level: LevelPlan
    format: Format

    def chunk_at(self, indices: tuple[int, ...]) -> Chunk | None:
        """The chunk at these indices; None where Zarr's own fill value is what should be seen."""
        try:
            frame = self.level.frames.locate(indices)
        except MissingInstanceError as error:
            return Chunk(self.level, indices, None, error)
        if frame is None and self.format.fills_in and self.level.absent_is_fill:
            return None
        return Chunk(self.level, indices, frame)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A Zarr group."""

    documents: Documents
    children: Mapping[str, Group | Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A key that holds metadata."""

    data: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A key that holds a chunk."""

    level: LevelPlan
    indices: tuple[int, ...]
    frame: FrameRef | None
    """The frame; None for a tile that does not exist but whose colour Zarr cannot fill in."""
    lost: MissingInstanceError | None = None
    """Why it cannot be read: it is in an instance that the series lacks."""

    @property
    def size(self) -> int:
        """Length in bytes, known without fetching."""
        return self.level.chunk_nbytes


@dataclass(frozen=True, slots=True)
class Directory:
    """A key that others lie below."""

    node: Group | Array
    prefix: tuple[int, ...] | None = None
    """Leading chunk indices, below an array's chunk prefix; None for the node itself."""

    def names(self) -> Iterator[str]:
        """The names directly below, in their natural order."""
        if self.prefix is None:
            yield from self.node.documents
        if isinstance(self.node, Group):
            yield from self.node.children
        elif self.prefix is None and self.node.format.chunk_keys.prefix:
            yield self.node.format.chunk_keys.prefix
        else:
            yield from self._chunk_names(self.node, self.prefix or ())

    @staticmethod
    def _chunk_names(array: Array, prefix: tuple[int, ...]) -> Iterator[str]:
        grid = array.level.grid
        last = len(prefix) + 1 == len(grid)
        for index in range(grid[len(prefix)]):
            if not last or array.chunk_at((*prefix, index)) is not None:
                yield str(index)


Found = Document | Chunk | Directory


def arrays(node: Group | Array, path: str = "") -> Iterator[tuple[str, LevelPlan]]:
    """All arrays of a hierarchy, by their paths."""
    return ((path, each.level) for path, each in nodes(node, path) if isinstance(each, Array))


def nodes(node: Group | Array, path: str = "") -> Iterator[tuple[str, Group | Array]]:
    """A node and all below it, by their paths, which begin with a separator."""
    yield path, node
    if isinstance(node, Group):
        for name, child in node.children.items():
            yield from nodes(child, f"{path}{SEPARATOR}{name}")


def locate(root: Group, key: str) -> Found | None:
    """What is at a key; None when the hierarchy has nothing there."""
    node: Group | Array = root
    segments = key.split(SEPARATOR) if key else []
    for place, segment in enumerate(segments):
        rest = segments[place:]
        if len(rest) == 1 and segment in node.documents:
            return Document(node.documents[segment])
        if isinstance(node, Array):
            return _below_array(node, rest)
        if segment not in node.children:
            return None
        node = node.children[segment]
    return Directory(node)


def _below_array(array: Array, segments: list[str]) -> Found | None:
    indices = array.format.chunk_keys.parse(segments)
    grid = array.level.grid
    if indices is None or len(indices) > len(grid):
        return None
    if any(index >= size for index, size in zip(indices, grid, strict=False)):
        return None
    if len(indices) == len(grid):
        return array.chunk_at(indices)
    return Directory(array, indices)

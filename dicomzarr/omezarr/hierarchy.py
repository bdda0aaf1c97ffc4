"""A Zarr hierarchy as a tree of frozen nodes, and the one question: what is at this key?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicomzarr.errors import MissingInstanceError
from dicomzarr.omezarr.documents import DOCUMENT_NAME
from dicomzarr.omezarr.keys import PREFIX, SEPARATOR, parse_indices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.plan import LevelPlan


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A Zarr array."""

    document: bytes
    level: LevelPlan


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A Zarr group."""

    document: bytes
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
        if isinstance(self.node, Group):
            yield DOCUMENT_NAME
            yield from self.node.children
        elif self.prefix is None:
            yield DOCUMENT_NAME
            yield PREFIX
        else:
            yield from self._chunk_names(self.node.level, self.prefix)

    @staticmethod
    def _chunk_names(level: LevelPlan, prefix: tuple[int, ...]) -> Iterator[str]:
        last = len(prefix) + 1 == len(level.grid)
        for index in range(level.grid[len(prefix)]):
            if not last or chunk_at(level, (*prefix, index)) is not None:
                yield str(index)


Found = Document | Chunk | Directory


def arrays(node: Group | Array, path: str = "") -> Iterator[tuple[str, LevelPlan]]:
    """All arrays of a hierarchy, by their paths."""
    if isinstance(node, Array):
        yield path, node.level
    else:
        for name, child in node.children.items():
            yield from arrays(child, f"{path}{SEPARATOR}{name}")


def locate(root: Group, key: str) -> Found | None:
    """What is at a key; None when the hierarchy has nothing there."""
    node: Group | Array = root
    segments = key.split(SEPARATOR) if key else []
    for place, segment in enumerate(segments):
        rest = segments[place + 1 :]
        if segment == DOCUMENT_NAME and not rest:
            return Document(node.document)
        if isinstance(node, Array):
            return _below_array(node, segment, rest)
        if segment not in node.children:
            return None
        node = node.children[segment]
    return Directory(node)


def _below_array(array: Array, segment: str, rest: list[str]) -> Found | None:
    indices = parse_indices(rest) if segment == PREFIX else None
    grid = array.level.grid
    if indices is None or len(indices) > len(grid):
        return None
    if any(index >= size for index, size in zip(indices, grid, strict=False)):
        return None
    if len(indices) == len(grid):
        return chunk_at(array.level, indices)
    return Directory(array, indices)


def chunk_at(level: LevelPlan, indices: tuple[int, ...]) -> Chunk | None:
    """The chunk at these indices; None where Zarr's own fill value is what should be seen."""
    try:
        frame = level.frames.locate(indices)
    except MissingInstanceError as error:
        return Chunk(level, indices, None, error)
    if frame is None and level.absent_is_fill:
        return None
    return Chunk(level, indices, frame)

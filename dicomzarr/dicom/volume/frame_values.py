"""What each frame of a series has of the attributes that may tell it from others: read column by column.

A series has up to 20 000 instances that say much alike: what they say alike is read once.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from dicomzarr.dicom.model.image_model import NO_GROUPS, NONE
from dicomzarr.dicom.model.json_model import EMPTY
from dicomzarr.dicom.model.values import Value
from dicomzarr.dicom.volume.computed import number_of, pointer_of
from dicomzarr.dicom.volume.dimensions import ATTRIBUTES, CREATION_TIME, FRAME_TIME

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from dicomzarr.dicom.model.image_model import ImageItem, Macro
    from dicomzarr.dicom.volume.dimensions import Attribute
    from dicomzarr.dicom.volume.frame_context import FrameContext


def dimension_values(frames: Sequence[FrameContext]) -> list[dict[str, Value]]:
    """What each frame has of the rows of the table, and of the dimension indices that its instance declares.

    Args:
        frames: Of a whole series: what many of them say alike is read once.
    """
    table = _Table(frames)
    columns = {row.name: column for row in (*ATTRIBUTES, CREATION_TIME) if (column := table.told(row)) is not None}
    same = {name: column[0] for name, column in columns.items() if isinstance(column, _Same)}
    names = [name for name, column in columns.items() if name not in same]
    rows = zip(*(columns[name] for name in names), strict=True) if names else ([] for _ in frames)
    found = [
        {**same, **{name: value for name, value in zip(names, row, strict=True) if value is not None}} for row in rows
    ]
    for place, frame in enumerate(frames if table.has_groups else ()):
        if frame.item.dimension_indices.values:
            found[place] |= _indices(frame, table.pointers(frame.item))
    return found


class _Same(list[Value]):
    """The one value of all frames."""


class _Table:
    """The frames of a series, by what they read from: instances, and their functional groups."""

    def __init__(self, frames: Sequence[FrameContext]) -> None:
        self.frames = frames
        places = {id(frame.item): place for place, frame in reversed(list(enumerate(frames)))}
        first = sorted(places.values())
        number = {id(frames[place].item): n for n, place in enumerate(first)}
        self._firsts = [frames[place] for place in first]
        """A frame of each instance."""
        self._items = [frame.item for frame in self._firsts]
        self._instance = [number[id(frame.item)] for frame in frames]
        self.has_groups = any(frame.groups is not NO_GROUPS or frame.shared is not NO_GROUPS for frame in frames)
        self._groups = list({id(each): each for frame in frames for each in (frame.groups, frame.shared)}.values())
        """All functional groups, those of all frames once."""
        self._macros: dict[str, list[list[Macro]]] = {}
        self._pointers: dict[int, list[str]] = {}

    def told(self, row: Attribute) -> list[Value] | None:
        """What each frame has of an attribute, or of what counts otherwise where it tells no frames apart."""
        column = self.column(row)
        if row.otherwise is None or not (column is None or isinstance(column, _Same)):
            return column
        other = self.told(row.otherwise)
        return column if other is None or isinstance(other, _Same) else other

    def column(self, row: Attribute) -> list[Value] | None:
        """What each frame has of an attribute; None where none has any, `_Same` where all have one value."""
        if row.vector or row.name == FRAME_TIME:
            names = (row.vector,) if row.vector else ("frame_time", "frame_time_vector", "phases")
            return [row.of(frame) for frame in self.frames] if any(map(self._is_given, names)) else None
        keys = self._keys(row)
        if keys is None:
            return None
        known: dict[Hashable, Value] = {}
        values = []
        for place, key in enumerate(keys):
            if key not in known:
                known[key] = row.of(self.frames[place])
            values.append(known[key])
        distinct = set(known.values())
        return None if distinct == {None} else _Same(values[:1]) if len(distinct) == 1 else values

    def _keys(self, row: Attribute) -> Iterable[Hashable] | None:
        """What the value of each frame depends on; None where that is absent everywhere."""
        leaves = list(filter(None, map(self._leaves, row.instance)))
        macros = [column for source in row.macros if (column := self._macro_leaves(*source)) is not None]
        varying = [column for column in leaves if len(column) > 1]
        if not varying:
            return zip(*macros, strict=True) if macros else [None] if leaves else None  # one key, for all
        codes: dict[Hashable, int] = {}
        instances = [codes.setdefault(key, len(codes)) for key in zip(*varying, strict=True)]
        of_frames = [instances[number] for number in self._instance]
        return zip(of_frames, *macros, strict=True) if macros else of_frames

    def _leaves(self, name: str) -> list[Hashable]:
        """An attribute of each instance, once if all have the same; nothing where none has it."""
        header = name == "image_type"
        if header:
            leaves: list[Hashable] = [frame.instance.image_type for frame in self._firsts]
        else:
            leaves = list(map(attrgetter(name), self._items))
        first = leaves[0]
        if leaves.count(first) < len(leaves):
            return leaves
        return [first] if header or id(first) not in NONE else []

    def _is_given(self, name: str) -> bool:
        """Whether any instance has a value of an attribute."""
        leaves = list(map(attrgetter(name), self._items))
        return leaves.count(EMPTY) < len(leaves) and any(leaf.values for leaf in leaves)

    def _macro_leaves(self, group: str, name: str) -> list[Hashable] | None:
        """An attribute of a macro of each frame; None where none has it."""
        if group not in self._macros:
            there = any(getattr(groups, group).values for groups in self._groups)
            self._macros[group] = [frame.macros(group) for frame in self.frames] if there else []
        macros = self._macros[group]
        if max(map(len, macros), default=0) > 1:
            return [frame.attribute(group, name) for frame in self.frames]
        return [getattr(each[0], name) if each else EMPTY for each in macros] or None

    def pointers(self, item: ImageItem) -> list[str]:
        """The dimensions that an instance declares."""
        if id(item) not in self._pointers:
            self._pointers[id(item)] = [pointer_of(each.pointer.first) for each in item.dimension_indices.items]
        return self._pointers[id(item)]


def _indices(frame: FrameContext, pointers: Sequence[str]) -> dict[str, Value]:
    """Ranks by the Dimension Index Sequence (PS3.3 section C.7.6.17), whose pointers may be private."""
    macro = frame.macro("frame_content")
    if macro is None:
        return {}
    ranks = [number_of(value) for value in macro.dimension_index_values.values]
    return {f"index_{tag}": rank for tag, rank in zip(pointers, ranks, strict=False) if tag}

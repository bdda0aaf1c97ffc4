"""The instances of a metadata reply, decoded from DICOM JSON however a server spells it. Pure (no I/O)."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import Final

import msgspec

from dicomzarr.dicom.model.image_model import ImageItem
from dicomzarr.dicom.model.json_model import EMPTY, InstanceItem, Leaf, decode_bodies
from dicomzarr.dicom.model.private_blocks import in_home_blocks
from dicomzarr.dicom.model.spellings import as_standard

_INSTANCES: Final = msgspec.json.Decoder(list[ImageItem])
_NO_INSTANCE: Final = ImageItem()
_WITH_PRIVATE: Final = frozenset({"MR", "PT"})
"""Modalities of which private attributes are read."""


def decode_instances(body: bytes, common: bytes = b"") -> list[ImageItem]:
    """The instances of one metadata reply, in the server's order.

    Args:
        body: A JSON array of them.
        common: A JSON object of what all of them say besides; see `in_common.told_once`.

    Raises:
        MetadataError: The body is no DICOM JSON.
    """
    body = as_standard(body)
    shared = decode_bodies(_INSTANCES, as_standard(b"[" + common + b"]"))
    items = _with(shared, decode_bodies(_INSTANCES, body))
    if any(item.modality.first in _WITH_PRIVATE for item in items):
        placed = in_home_blocks(body)
        items = items if placed is body else _with(shared, decode_bodies(_INSTANCES, placed))
    for name in InstanceItem.__struct_fields__:
        if items and getattr(items[0], name) is not getattr(items[-1], name):  # else all have it in common, or none
            _share(items, name)
    return items


def _with(shared: list[ImageItem], items: list[ImageItem]) -> list[ImageItem]:
    """Instances with what all of them have in common."""
    for each in shared:  # one, or none
        for name in ImageItem.__struct_fields__:
            value = getattr(each, name)
            if value is not getattr(_NO_INSTANCE, name):
                deque(map(msgspec.structs.force_setattr, items, repeat(name), repeat(value)), 0)  # ten times 10 000
    return items


def _share(items: list[ImageItem], name: str) -> None:
    """Have neighbours whose attribute has the same values hold it once: in a long series that is most of the memory."""
    known: Leaf | None = None
    for item in items:
        leaf = getattr(item, name)
        if leaf is EMPTY or not isinstance(leaf, Leaf) or not leaf.values:
            continue
        if leaf == known:
            msgspec.structs.force_setattr(item, name, known)
        else:
            known = leaf

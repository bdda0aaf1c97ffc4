"""Whether DICOM JSON is of a size that can be typed, found before it is: ten megabytes of text can fill the memory."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from dicomzarr.errors import MetadataError
from dicomzarr.options.limits import LIMITS, Limits

_OBJECT: Final = ord("{")
_LIST: Final = ord("[")
_COMMA: Final = ord(",")
_PART: Final = 2**18
"""Bytes that are compared at a time, within a core's cache."""
_NOTHING: Final = msgspec.Raw(b"")
_OBJECTS_OF_EACH: Final = 500
_VALUES_OF_EACH: Final = 2000
"""That each instance of many may have beside; real ones have some hundred."""


class _TooManyError(Exception):
    """Counting has come to an end early."""


def check_size(body: bytes, limits: Limits) -> None:
    """Look whether the metadata of a series may be typed.

    Args:
        body: A JSON array of instances; where it is none, whoever types it says so.
        limits: How many instances and frames there may be, and of how many objects.

    Raises:
        MetadataError: There are more.
    """
    objects, values = number_of(body, _OBJECT), number_of(body, _COMMA)
    if objects <= min(limits.instances, limits.instance_objects) and values <= limits.instance_values:
        return  # each instance is an object
    of_frames = _frame_groups(body, limits.instances)
    if of_frames is None:
        raise _too_large(f"The series has more than {limits.instances} instances", "instances", 2 * limits.instances)
    for raw in of_frames:
        if raw is _NOTHING:
            continue
        in_frames = number_of(raw, _OBJECT)
        objects -= in_frames
        values -= number_of(raw, _COMMA)
        if in_frames > limits.frame_items and _count_is_beyond(raw, limits.frame_items):
            text = f"An instance describes more than {limits.frame_items} frames"
            raise _too_large(text, "frame_items", 2 * limits.frame_items)
    count = len(of_frames)
    for found, name, each in (
        (objects, "instance_objects", _OBJECTS_OF_EACH),
        (values, "instance_values", _VALUES_OF_EACH),
    ):
        if found > getattr(limits, name) + each * count:
            what = "JSON objects" if name == "instance_objects" else "values"
            raise _too_large(
                f"The metadata of {count} instances hold {found} {what} beside those of frames", name, found
            )


def check_batch(batch: bytes, most: int = LIMITS.frame_objects) -> None:
    """Look whether descriptions of frames that are typed together may be.

    Raises:
        MetadataError: They hold too many JSON objects.
    """
    objects = number_of(batch, _OBJECT)
    if objects > most:
        raise MetadataError(
            f"The descriptions of some frames hold {objects} JSON objects, more than {most}.",
            remedy="Ask the server's operator what it sends for /metadata.",
        )


def check_values(text: bytes, most: int = LIMITS.lenient_values) -> None:
    """Look whether an instance may be decoded as it is, whatever it holds.

    Raises:
        MetadataError: It holds too many values.
    """
    if number_of(text, _COMMA) + number_of(text, _LIST) + number_of(text, _OBJECT) > most:
        raise MetadataError(
            f"The metadata of an instance hold more than {most} values, and nulls or what is no DICOM JSON among them.",
            remedy="Ask the server's operator what it sends for /metadata.",
        )


def number_of(text: bytes | msgspec.Raw, character: int) -> int:
    """How often a character of ASCII stands in a text; a third of the time of `bytes.count` where that is often."""
    octets = np.frombuffer(text, np.uint8)
    parts = (octets[start : start + _PART] for start in range(0, octets.size, _PART))
    return sum(int(np.count_nonzero(part == character)) for part in parts)


def _frame_groups(body: bytes, most: int) -> list[msgspec.Raw] | None:
    """The Per-Frame Functional Groups of each instance, as text; None where there are more instances."""
    found: list[msgspec.Raw] = []

    class Instance(msgspec.Struct, gc=False):
        frames: msgspec.Raw = msgspec.field(name="52009230", default=_NOTHING)

        def __post_init__(self) -> None:
            found.append(self.frames)
            if len(found) > most:
                raise _TooManyError

    return None if _ends_early(body, list[Instance]) else found


def _count_is_beyond(sequence: msgspec.Raw, most: int) -> bool:
    """Whether a sequence has more items than so many; none of them is kept."""
    count = 0

    class Item(msgspec.Struct, gc=False):
        def __post_init__(self) -> None:
            nonlocal count
            count += 1
            if count > most:
                raise _TooManyError

    items: list[Item] = msgspec.field(name="Value", default_factory=list)
    return _ends_early(sequence, msgspec.defstruct("Items", [("values", list[Item], items)]))


def _ends_early(text: bytes | msgspec.Raw, kind: object) -> bool:
    try:
        msgspec.json.decode(text, type=kind)
    except _TooManyError:
        return True
    except (ValueError, RecursionError):  # whoever types it says so
        return False
    return False


def _too_large(what: str, name: str, number: int) -> MetadataError:
    return MetadataError(
        f"{what}, which is refused.", remedy=f"If that is right, raise the bound: limits={{{name!r}: {number}}}."
    )

"""What the instances of a series say alike, told once: most of what headers of many slices hold. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

_OWN: Final = frozenset({"00080005", "00080018", "00280103", "52009230"})
"""Tags that stay with each instance: by the first and the third its other attributes are read, by the second it is
known, and the last may be all that it has."""


def told_once(instances: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Take out of instances what all of them say.

    Args:
        instances: The JSON object of each (PS3.18 Annex F).

    Returns:
        A JSON object of what they have in common, empty for fewer than two; and an array of the rest of each. Private
        attributes stay with their creators (PS3.5 section 7.8.1), in each.
    """
    if len(instances) < 2:  # noqa: PLR2004  # one has nothing in common
        return b"", b"[" + b",".join(instances) + b"]"
    common = {tag: value for tag, value in _OBJECT.decode(instances[0]).items() if tag not in _OWN and not _is_odd(tag)}
    for text in instances[1:]:
        other = _OBJECT.decode(text)
        common = {tag: value for tag, value in common.items() if other.get(tag) == value}
    rest = [msgspec.json.encode(_without(common, text)) for text in instances]
    return msgspec.json.encode(common), b"[" + b",".join(rest) + b"]"


def _is_odd(tag: str) -> bool:
    """Whether a tag is private: of an odd group."""
    return int(tag[:4], 16) % 2 == 1


def _without(common: dict[str, msgspec.Raw], text: bytes) -> dict[str, msgspec.Raw]:
    return {tag: value for tag, value in _OBJECT.decode(text).items() if tag not in common}

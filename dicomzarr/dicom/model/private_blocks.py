"""Private blocks where their vendors' devices have them, in the DICOM JSON of instances. Pure (no I/O).

A private attribute is known by the creator of its block, and the block may be any (PS3.5 section 7.8.1): who adds
attributes takes the next one that is free. `ImageItem` names attributes by the block that vendors use.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HOMES: Final = (
    (b"GEMS_PETD_01", b"0009", b"10"),
    (b"GEMS_ACQU_01", b"0019", b"10"),
    (b"SIEMENS MR HEADER", b"0019", b"10"),
    (b"GEMS_RELA_01", b"0021", b"10"),
    (b"GEMS_PARM_01", b"0043", b"10"),
    (b"SIEMENS MR HEADER", b"0051", b"10"),
    (b"Image Private Header", b"0065", b"10"),
    (b"Philips Imaging DD 001", b"2001", b"10"),
    (b"Philips MR Imaging DD 001", b"2005", b"10"),
    (b"Philips MR Imaging DD 005", b"2005", b"14"),
    (b"Philips PET Private Group", b"7053", b"10"),
)
"""Creators, and the group and block of each."""

_DECLARATION: Final = rb'"%b00([1-9A-Fa-f][0-9A-Fa-f])"\s*:\s*\{[^{}]*?"Value"\s*:\s*\[\s*"%b\s*"'
_DECLARED: Final = [re.compile(_DECLARATION % (group, re.escape(creator))) for creator, group, _ in _HOMES]
_RAW: Final = msgspec.json.Decoder(list[msgspec.Raw])


def in_home_blocks(body: bytes) -> bytes:
    """The instances of a reply with the blocks that we read from where vendors have them.

    Args:
        body: A list of instances; anything else is given back as it is.
    """
    if not any(blocks - {home} for _, home, blocks in _declared(body)):
        return body
    with suppress(ValueError, RecursionError):  # who decodes it says what is wrong
        return b"[" + b",".join(_moved(bytes(each)) for each in _RAW.decode(body)) + b"]"
    return body


def _declared(text: bytes) -> Iterator[tuple[bytes, bytes, set[bytes]]]:
    """(group, home, blocks where it is) of each creator that is there."""
    for (creator, group, home), declared in zip(_HOMES, _DECLARED, strict=True):
        if creator in text:
            yield group, home, {block.upper() for block in declared.findall(text)}


def _moved(instance: bytes) -> bytes:
    """An instance, in which what is at the home of a block takes the place that the block had."""
    for _ in _HOMES:  # looked through anew after each move, which may put another elsewhere
        move = next((each for each in _declared(instance) if each[2] and each[1] not in each[2]), None)
        if move is None:
            break
        group, home, blocks = move
        block = min(blocks)
        tags = rb'"%b(?:(00)(%b|%b)|(%b|%b)([0-9A-F]{2}))"(?=\s*:)' % (group, block, home, block, home)
        instance = re.sub(tags, partial(_swapped, group, {block: home, home: block}), instance, flags=re.IGNORECASE)
    return instance


def _swapped(group: bytes, other: Mapping[bytes, bytes], tag: re.Match[bytes]) -> bytes:
    zeros, creator, own, element = tag.groups()
    return b'"%b%b"' % (group, zeros + other[creator.upper()] if zeros else other[own.upper()] + element)

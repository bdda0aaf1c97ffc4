"""Metadata that would fill the memory: refused before they are typed, and large ones that are right are not."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from dicomzarr.dicom.model.image_model import frame_groups
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.json_model import RawSequence
from dicomzarr.dicom.model.json_size import check_batch, check_size, check_values, number_of
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.errors import MetadataError
from dicomzarr.options import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

INSTANCE: Final = b'{"00080018":{"vr":"UI","Value":["1.2.3"]},"00280010":{"vr":"US","Value":[512]}}'
FRAME: Final = b'{"00289110":{"vr":"SQ","Value":[{"00280030":{"vr":"DS","Value":[1,1]}}]}}'
TEN_MEGABYTES: Final = 10_000_000


def many(item: bytes, separator: bytes = b",", size: int = TEN_MEGABYTES) -> bytes:
    return separator.join([item] * (size // (len(item) + len(separator))))


def with_frames(items: bytes) -> bytes:
    return b'[{"00080018":{"Value":["1.2"]},"52009230":{"vr":"SQ","Value":[' + items + b"]}}]"


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "empty instances": lambda: b"[" + many(b"{}") + b"]",
    "empty instances with spaces": lambda: b"[ " + many(b"{ }", b" , ") + b" ]",
    "instances of one attribute": lambda: b"[" + many(b'{"a":1}') + b"]",
    "a valid instance and empty ones": lambda: b"[" + INSTANCE + b"," + many(b"{}") + b"]",
    "texts": lambda: b'[{"00080008":{"Value":[' + many(b'"ab"') + b"]}}]",
    "numbers": lambda: b'[{"00181063":{"Value":[' + many(b"1e9") + b"]}}]",
    "empty frames": lambda: with_frames(many(b"{}", size=1_000_000)),
    "empty items of a sequence": lambda: b'[{"52009229":{"vr":"SQ","Value":[' + many(b"{}") + b"]}}]",
    "empty items in two instances": lambda: (
        b"[" + many(b'{"00081115":{"Value":[' + many(b"{}", size=4_000_000) + b"]}}") + b"]"
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_typed(name: str) -> None:
    bomb = BOMBS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(MetadataError, match=r"limits=\{"):
            check_size(bomb, replace(LIMITS, frame_items=200_000))
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        lambda: b"[]",
        lambda: b"[" + INSTANCE + b"]",
        lambda: b"[" + many(INSTANCE, size=3_000_000) + b"]",
        lambda: with_frames(many(FRAME)),
        lambda: b"[{}]",
    ],
    ids=["none", "one", "37 000 instances", "130 000 frames", "empty"],
)
def test_what_is_large_and_right_is_not_refused(body: Callable[[], bytes]) -> None:
    check_size(body(), LIMITS)


def typed(body: bytes) -> None:
    check_size(body, LIMITS)
    decode_instances(body)


@pytest.mark.parametrize(
    "body",
    [
        lambda: b"[" + many(b"null", size=300_000) + b"]",
        lambda: b"[1" + many(b",{}", b"", size=300_000) + b"]",
        lambda: b"[[" + many(b"[]", size=300_000) + b"]]",
    ],
    ids=["nulls", "a number", "lists"],
)
def test_what_is_no_metadata_is_an_error_in_little_memory(body: Callable[[], bytes]) -> None:
    bomb = body()
    tracemalloc.start()
    try:
        with pytest.raises(MetadataError):
            typed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "name", "number"),
    [
        (b"[" + b",".join([INSTANCE] * 11) + b"]", "instances", 10),
        (with_frames(b",".join([FRAME] * 11)), "frame_items", 10),
        (b'[{"00080008":{"Value":[' + b",".join([b"1"] * 30_000) + b"]}}]", "instance_values", 10_000),
        (b'[{"52009229":{"Value":[' + b",".join([b"{}"] * 1000) + b"]}}]", "instance_objects", 10),
    ],
)
def test_a_bound_can_be_raised(body: bytes, name: str, number: int) -> None:
    few = replace(LIMITS, **{"instance_objects": 20, name: number})
    with pytest.raises(MetadataError, match=rf"limits=\{{'{name}'"):
        check_size(body, few)
    check_size(body, replace(few, **{name: 100 * number, "instance_objects": 10_000}))


@pytest.mark.parametrize("size", [0, 1, 2, 2**18 - 1, 2**18, 2**18 + 1, 600_000])
def test_characters_are_counted_in_texts_of_any_size(size: int) -> None:
    text = (b"{,[" * size)[:size]
    for character in b"{,]":
        assert number_of(text, character) == text.count(character)
        assert number_of(msgspec.Raw(text), character) == text.count(character)


def test_limits_hold_for_each_who_asks_and_are_looked_at_once() -> None:
    metadata = SeriesMetadata(b"[" + INSTANCE + b"," + INSTANCE + b"]")
    assert metadata.instances() is metadata.instances()
    with pytest.raises(MetadataError, match=r"JSON objects|instances"):
        metadata.instances(replace(LIMITS, instances=1))
    assert len(metadata.instances(replace(LIMITS, instances=2))) == 2


def refused(check: Callable[[], object]) -> None:
    with pytest.raises(MetadataError, match="Ask the server's operator"):
        check()


def test_frames_of_too_many_objects_are_refused() -> None:
    check_batch(b"{" * 10, 10)
    refused(lambda: check_batch(b"{" * 11, 10))
    bomb = b'{"00289110":{"vr":"SQ","Value":[' + many(b"{}") + b"]}}"
    refused(lambda: list(frame_groups(RawSequence([bomb]))))  # type: ignore[list-item]


def test_nulls_are_left_out_instance_by_instance_and_not_out_of_bombs() -> None:
    found = decode_instances(b"[" + INSTANCE + b',{"00080018":null,"00280010":{"vr":"US","Value":[7]}}]')
    assert [item.rows.first for item in found] == [512, 7]
    check_values(b"[1,2]", 5)
    refused(lambda: check_values(b"[1,2,3,4,5,6]", 5))
    refused(lambda: decode_instances(b'[{"00080018":null,"x":[' + many(b"[]", size=20_000_000) + b"]}]"))

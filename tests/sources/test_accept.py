"""The ladder of Accept headers as data."""

from __future__ import annotations

from dicomzarr.sources.dicomweb.negotiation.accept import (
    AS_STORED,
    IMAGE_TYPES,
    LADDER,
    SINGLE_PART,
    list_rungs,
    single_rungs,
)


def test_the_ladder_begins_with_what_is_stored() -> None:
    assert LADDER == (AS_STORED, IMAGE_TYPES, SINGLE_PART)
    assert AS_STORED.accept == 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    assert SINGLE_PART.accept == "application/octet-stream; transfer-syntax=*"


def test_every_type_names_its_transfer_syntax() -> None:
    for rung in LADDER:
        assert all("; transfer-syntax=" in entry for entry in rung.accept.split(", "))


def test_the_list_begins_with_images_and_ends_with_anything_as_stored() -> None:
    entries = IMAGE_TYPES.accept.split(", ")
    assert all('type="image/' in entry for entry in entries[:-1])
    assert entries[-1] == AS_STORED.accept  # Orthanc keeps the last


def test_lossless_comes_before_lossy() -> None:
    accept = IMAGE_TYPES.accept
    for lossless, lossy in (("4.70", "4.50"), ("4.80", "4.81"), ("4.90", "4.91"), ("4.201", "4.203")):
        assert accept.index(f"{lossless},") < accept.index(f"{lossy},")


def test_nothing_learned() -> None:
    assert list_rungs(None) == (AS_STORED, IMAGE_TYPES)
    assert single_rungs(None) == LADDER


def test_a_learned_rung_goes_first() -> None:
    assert list_rungs(IMAGE_TYPES) == (IMAGE_TYPES,)
    assert single_rungs(IMAGE_TYPES) == (IMAGE_TYPES, AS_STORED, SINGLE_PART)

"""Private attributes are known by the creators of their blocks, wherever the blocks are."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.private import private_value

KNOWN = {
    "siemens_b_value": ("0019", "SIEMENS MR HEADER", "0C"),
    "ge_scan_start": ("0009", "GEMS_PETD_01", "0D"),
    "philips_suv_factor": ("7053", "Philips PET Private Group", "00"),
    "philips_gradient_x": ("2005", "Philips MR Imaging DD 001", "B0"),
    "philips_label": ("2005", "Philips MR Imaging DD 005", "29"),
    "ge_b_value": ("0043", "GEMS_PARM_01", "39"),
    "uih_b_value": ("0065", "Image Private Header", "09"),
}
"""Group, creator and element of attributes."""


def instance(*blocks: tuple[str, str, str, str, Any], lower: bool = False) -> dict[str, Any]:
    """An instance with blocks of (group, block, creator, element, value)."""
    made: dict[str, Any] = {
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "00080060": {"vr": "CS", "Value": ["MR"]},
    }
    for group, block, creator, element, value in blocks:
        made[f"{group}00{block}"] = {"vr": "LO", "Value": [creator]}
        made[f"{group}{block}{element}"] = {"vr": "UN", "Value": [value]}
    return {name.lower(): value for name, value in made.items()} if lower else made


def read(*instances: dict[str, Any]) -> Any:
    return decode_instances(json.dumps(instances).encode())


@pytest.mark.parametrize("block", ["10", "11", "14", "1F", "A0", "FF"])
@pytest.mark.parametrize("name", KNOWN)
def test_an_attribute_is_found_in_any_block(name: str, block: str) -> None:
    group, creator, element = KNOWN[name]
    others = [(group, each, "SOMEBODY", element, "7") for each in ("10", "11", "14", "A0") if each != block]
    for lower in (False, True):
        (item,) = read(instance(*others, (group, block, creator, element, "42"), lower=lower))
        assert private_value(item, name) == "42"


def test_blocks_of_one_group_are_found_in_any_order() -> None:
    names = ("philips_gradient_x", "philips_label")
    for blocks in itertools.permutations(["10", "11", "14", "15"], 2):
        placed = [
            (group, block, creator, element, name)
            for name, block in zip(names, blocks, strict=True)
            for group, creator, element in [KNOWN[name]]
        ]
        (item,) = read(instance(*placed))
        assert [private_value(item, name) for name in names] == list(names)


def test_each_instance_has_blocks_of_its_own_and_strangers_are_not_read() -> None:
    group, creator, element = KNOWN["siemens_b_value"]
    items = read(
        instance((group, "10", creator, element, 1)),
        instance((group, "11", creator, element, 2), (group, "10", "OTHER", element, 9)),
        instance((group, "10", "OTHER", element, 9)),
        instance((group, "10", creator, element, 3), (group, "11", creator, element, 9)),
        instance(("0021", "11", creator, element, 9)),
    )
    assert [private_value(item, "siemens_b_value") for item in items] == [1, 2, None, 3, None]

"""Series that hold no image, or some that cannot be read: the error or a notice says what they are."""

from __future__ import annotations

import json
import warnings

import pytest
from pydicom import Dataset
from scan_checks import one_grid, planned, sizes
from scans import classic, shots

from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.errors import InvalidAttributeError, UnsupportedSeriesError, UnsupportedTransferSyntaxError


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.481.3", "RT Structure Set"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "Comprehensive SR"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF"),
        ("Doe^John1", "nothing says what they are"),
    ],
)
def test_what_holds_no_image_is_named_by_its_kind(sop_class: str, name: str) -> None:
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of them is no UID
        dataset.SOPClassUID = sop_class
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3", "1.2.3.4", "1.2.3.4.5"
    items = decode_instances(json.dumps([dataset.to_json_dict()]).encode())
    with pytest.raises(UnsupportedSeriesError, match=f"holds no image: {name}"):
        parse_series(items, "1.2.3", "1.2.3.4")


BROKEN = {
    "Rows 0": ({"Rows": 0}, InvalidAttributeError),
    "cells of 12 bits": ({"BitsAllocated": 12}, InvalidAttributeError),
    "four samples": ({"SamplesPerPixel": 4, "PhotometricInterpretation": "CMYK"}, UnsupportedSeriesError),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_instance_that_no_pixels_can_be_as_costs_itself_alone(name: str) -> None:
    told, error = BROKEN[name]
    frames = shots(1, 1, 4)
    plan = classic([*frames[:3], frames[3].saying(**told)]).plan()
    assert sizes(plan) == [{"z": 3}]
    assert any(said.startswith("1 instances were left out") for said in plan.notices)
    with pytest.raises(error):
        classic([shot.saying(**told) for shot in frames]).plan()


def test_an_instance_that_cannot_be_decoded_has_its_place_and_never_looks_absent() -> None:
    frames = shots(1, 1, 4)
    video = {"AvailableTransferSyntaxUID": "1.2.840.10008.1.2.4.102"}
    scan = classic([*frames[:3], frames[3].saying(**video)])
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(4))
    assert any(said.startswith("1 of 4 instances cannot be decoded; reading them raises") for said in plan.notices)
    with pytest.raises(UnsupportedTransferSyntaxError, match="MPEG-4"):
        classic([shot.saying(**video) for shot in frames]).plan()

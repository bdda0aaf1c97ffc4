"""Series that hold no image: the error says what they are."""

from __future__ import annotations

import json
import warnings

import pytest
from pydicom import Dataset

from dicomzarr.dicom.model.image_model import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.errors import UnsupportedSeriesError


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

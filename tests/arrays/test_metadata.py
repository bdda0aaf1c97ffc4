"""Attributes of instances as pydicom's Datasets."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slides
import zarr
from aiohttp import web
from faults import fault
from privacy_marks import found_in, marked, metadata_of
from pydicom import dcmread
from radiology_model import AXIAL
from radiology_opened import Opener
from radiology_volumes import VOLUME, modality_lut, two_orientations, volume
from real_data import real_series
from segmentations import ascending, random_masks, segmented
from serving import run_python, serving

import dicomzarr
from dicomzarr.dicom.identity import without_identity
from dicomzarr.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


@pytest.mark.parametrize("name", ["ct_explicit_le", "mr_small_stack", "mr_enhanced_siemens"])
def test_who_asks_for_it_has_all_that_the_files_hold_but_pixels(name: str) -> None:
    folder = real_series(name)
    image = dicomzarr.open(folder, include_phi=True)
    files = {str(each.SOPInstanceUID): each for each in map(dcmread, folder.glob("*.dcm"))}
    assert set(image.metadata) == set(files)
    for uid, dataset in image.metadata.items():
        assert "PixelData" not in dataset
        kept = {each.keyword for each in files[uid] if not each.tag.is_private and each.tag.group < 0x7FE0}
        assert kept == {each.keyword for each in dataset if not each.tag.is_private} - {"AvailableTransferSyntaxUID"}
        for keyword in kept:
            ours, theirs = dataset[keyword].value, files[uid][keyword].value
            if files[uid][keyword].VR == "DS":  # numbers in JSON, whose last zeros nobody writes
                assert np.array_equal(np.array(ours, float), np.array(theirs, float), equal_nan=True)
            elif files[uid][keyword].VR != "SQ":
                assert str(ours) == str(theirs)


def test_instances_are_those_of_the_image_in_the_order_of_its_frames(opened: Opener) -> None:
    image = opened(volume())
    places = [dataset.ImagePositionPatient[2] for dataset in image.metadata.values()]
    assert places == sorted(places)
    assert len(image.metadata) == len(VOLUME)
    with pytest.raises(KeyError):
        image.metadata["1.2.3"]
    assert repr(image.metadata) == "<metadata of 5 instances>"


def test_metadata_are_asked_for_once_and_when_one_is_looked_at(opened: Opener) -> None:
    image = opened(volume())
    before = opened.count("metadata")
    uids = list(image.metadata)
    assert uids[0] in image.metadata
    assert opened.count("metadata") == before
    for uid in uids:
        assert image.metadata[uid].RescaleSlope == 1
    assert opened.count("metadata") == before + 1
    assert opened.count("frames") == 0
    sent = pickle.loads(pickle.dumps(image))  # noqa: S301  # our own
    assert list(sent.metadata) == uids


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("include_phi", [False, True])
def test_metadata_travel_by_url_and_options_without_what_came(
    opened: Opener, *, is_known: bool, include_phi: bool
) -> None:
    series = volume()
    metadata = dicomzarr.open(opened.url(series), include_phi=include_phi).metadata
    if is_known:
        assert len(list(metadata.values())) == len(VOLUME)
    sent = pickle.dumps(metadata)
    assert str(series.datasets[0].StudyDate).encode() not in sent
    assert b"00080018" not in sent
    for found in (pickle.loads(sent), copy.deepcopy(metadata)):  # noqa: S301  # our own
        assert list(found) == list(metadata)
        assert [dataset.to_json() for dataset in found.values()] == [each.to_json() for each in metadata.values()]


def test_metadata_come_in_another_process(tmp_path: Path) -> None:
    metadata = dicomzarr.open(real_series("ct_explicit_le")).metadata
    (tmp_path / "metadata").write_bytes(pickle.dumps(metadata))
    assert run_python(ELSEWHERE, str(tmp_path / "metadata")) == [
        [uid, dataset.Modality] for uid, dataset in metadata.items()
    ]


ELSEWHERE = """
import json, pickle, sys
with open(sys.argv[1], "rb") as file:
    found = pickle.load(file)
print(json.dumps([[uid, dataset.Modality] for uid, dataset in found.items()]))
"""


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_are_those_of_the_group(opened: Opener, zarr_format: int) -> None:
    url = opened.url(volume())
    image = dicomzarr.open(url, zarr_format=zarr_format)
    group = zarr.open_group(url, mode="r", zarr_format=zarr_format, storage_options={"zarr_format": zarr_format})
    assert image.attributes == group.attrs["dicomzarr"]
    assert image.attributes["rescale"] == {"slope": 1.0, "intercept": -1024.0}


def test_attributes_of_several_images_and_of_labels_are_their_own(opened: Opener) -> None:
    images = opened(two_orientations(VOLUME, VOLUME[:3])).images
    assert [image.attributes["affine"] for image in images] == [[list(row) for row in image.affine] for image in images]
    masked = segmented(ascending(volume(), AXIAL), random_masks((1, *VOLUME.shape)))
    server = opened.serve([*volume().datasets, masked.dataset])
    (label,) = dicomzarr.open(server.series_url(masked.study, volume().series_uid), labels=True).labels.values()
    assert label.attributes["modality"] == "SEG"


def test_a_table_that_a_server_gives_by_reference_is_there(opened: Opener) -> None:
    series = modality_lut()
    image = opened(series)
    (dataset, *_) = image.metadata.values()
    (lut,) = dataset.ModalityLUTSequence
    assert list(lut.LUTDescriptor) == [4096, 0, 16]
    assert lut.LUTData[:10] == series.datasets[0].ModalityLUTSequence[0].LUTData[:10]


def test_a_label_has_the_attributes_of_its_segmentation(opened: Opener) -> None:

    series = volume()
    segmentation = segmented(ascending(series, AXIAL), random_masks((2, *VOLUME.shape)))
    server = opened.serve([*series.datasets, segmentation.dataset])
    image = dicomzarr.open(server.series_url(series.study_uid, series.series_uid), labels=True)
    for label in image.labels.values():
        (dataset,) = label.metadata.values()
        assert dataset.Modality == "SEG"
        assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == ["Liver", "Left kidney"]


def test_a_slide_has_the_attributes_of_its_levels() -> None:
    with serving(slides.brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        widths = [dataset.TotalPixelMatrixColumns for dataset in image.metadata.values()]
        assert widths == [level.shape[-1] for level in image.levels]
        assert not any(found_in(dataset) for dataset in image.metadata.values())


# --- privacy


def test_nothing_identifies_the_patient_unless_it_is_asked_for(opened: Opener) -> None:
    async def mark(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        assert isinstance(response, web.Response)
        return web.json_response(marked(json.loads(bytes(response.body))))  # type: ignore[arg-type]  # bytes

    series = volume()
    url = opened.url(series, fault(mark, on="metadata"))
    hidden, shown = dicomzarr.open(url), dicomzarr.open(url, include_phi=True)
    for uid, dataset in hidden.metadata.items():
        assert "PatientPosition" in dataset
        for element in dataset.iterall():
            if element.VR == "CS":  # codes have defined terms, and stay
                element.value = ""
        for keyword in ("Manufacturer", "ManufacturerModelName"):
            dataset.pop(keyword, None)
        left = {each.keyword for each in dataset.iterall() if found_in(each.value)}
        assert left <= KNOWN_TEXTS
        assert str(shown.metadata[uid].PatientName).startswith("Zqxwvj")


KNOWN_TEXTS = frozenset(
    {
        *("SequenceName", "ConvolutionKernel", "FilterType", "PulseSequenceName", "AcquisitionContrast"),
        *("ImagedNucleus", "ReceiveCoilName", "TransmitCoilName", "Radiopharmaceutical", "RescaleType"),
        *("AttenuationCorrectionMethod", "ReconstructionMethod", "ScatterCorrectionMethod", "RandomsCorrectionMethod"),
        *("ScatterFractionFactor", "DecayCorrection", "DetectorLinesOfResponseUsed", "OpticalPathIdentifier"),
        *("OpticalPathDescription", "SegmentLabel"),
    }
)
"""Short texts about a device or what is shown, which are there on purpose."""


def test_what_a_sequence_holds_is_looked_through_and_codes_of_the_standard_stay() -> None:
    code = {
        "00080100": {"vr": "SH", "Value": ["10200004"]},
        "00080102": {"vr": "SH", "Value": ["SCT"]},
        "00080104": {"vr": "LO", "Value": ["Liver"]},
    }
    local = {**code, "00080102": {"vr": "SH", "Value": ["99MINE"]}}
    patient = {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    kept = without_identity(
        {
            "00082218": {"vr": "SQ", "Value": [{**code, "00100010": patient}, local]},
            "00100010": {"vr": "CS", "Value": ["DOE"]},
            "00081030": {"vr": "CS", "Value": ["a description that calls itself a code"]},
            "00180050": {"vr": "DS", "Value": [2.5]},
            "60003000": {"vr": "OW", "InlineBinary": "AAAA"},
            "00091001": {"vr": "DS", "Value": [1]},
            "0020000E": {"vr": "UI", "Value": ["1.2.3", "Jane Doe"]},
            "no tag": {"vr": "DS", "Value": [1]},
        }
    )
    assert kept == {
        "00082218": {"vr": "SQ", "Value": [code, {}]},
        "00180050": {"vr": "DS", "Value": [2.5]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
    }


def test_metadata_that_pydicom_cannot_read_are_an_error_that_quotes_nothing(opened: Opener) -> None:
    series = volume()

    async def spoil(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        told = metadata_of(series.datasets)
        for instance in told:
            instance["00180050"] = {"vr": "DS", "Value": ["Jane Doe"]}
        return web.json_response(told)

    image = opened(series, fault(spoil, on="metadata"))
    with pytest.raises(MetadataError, match="pydicom cannot read its metadata") as raised:
        next(iter(image.metadata.values()))
    assert "Jane" not in str(raised.value)
    assert raised.value.__context__ is None

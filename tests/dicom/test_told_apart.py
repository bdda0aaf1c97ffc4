"""Attributes that tell frames at one place apart, in classic images and in functional groups."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scan_checks import every_image, one_grid, planned, sizes
from scans import Shot, classic, clips, enhanced, shots, together

from dicomzarr.dicom.volume.acquisition_order import order_of
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scans import Told


def dealt(frames: Sequence[Shot], seed: int = 5) -> list[Shot]:
    """The same frames with numbers that tell nothing, in another order."""
    rng = random.Random(seed)
    numbers = rng.sample([shot.number for shot in frames], len(frames))
    renumbered = [replace(shot, number=number) for shot, number in zip(frames, numbers, strict=True)]
    return rng.sample(renumbered, len(renumbered))


CLASSIC: Mapping[str, Sequence[Any]] = {
    "ReceiveCoilName": ["H1", "H2"],
    "SeriesNumber": [4, 5],
    "SeriesDescription": ["before", "after"],
    "PatientPosition": ["HFS", "HFP"],
    "FilterType": ["BODY FILTER", "LARGE"],
    "NumberOfAverages": [1, 2],
    "ScanningSequence": ["GR", ["GR", "IR"]],
    "SequenceVariant": ["SK", ["SK", "MTC"]],
    "CorrectedImage": [["DECY"], ["DECY", "ATTN"]],
    "AttenuationCorrectionMethod": ["measured", "NONE"],
    "ReconstructionMethod": ["OSEM", "FBP"],
    "ReconstructionAlgorithm": ["ITERATIVE", "FILTER_BACK_PROJ"],
    "RescaleType": ["HU", "Z_EFF"],
    "Units": ["BQML", "GML"],
}
"""Values of two contrasts, by keyword."""


@pytest.mark.parametrize("keyword", CLASSIC)
def test_an_attribute_of_instances_tells_contrasts_apart(keyword: str) -> None:
    frames = shots(1, 2, 4, tell=lambda shot: {keyword: CLASSIC[keyword][shot.contrast]})
    scan = classic(dealt(frames), "PT" if keyword == "Units" else "MR")
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(2), z=range(4), any_order="c")
    assert len({channel.label for channel in plan.images[0].channels}) == 2


GROUPS: Mapping[str, tuple[str, str, Sequence[Any], str]] = {
    "KVP": ("CT", "CTXRayDetailsSequence", [80.0, 140.0], "c"),
    "ConvolutionKernel": ("CT", "CTReconstructionSequence", ["B30f", "B70f"], "c"),
    "ReconstructionAlgorithm": ("CT", "CTReconstructionSequence", ["ITERATIVE", "FILTER_BACK_PROJ"], "c"),
    "MonoenergeticEnergyEquivalent": ("CT", "MultienergyCTCharacteristicsSequence", [40.0, 70.0], "c"),
    "ContrastBolusAgentAdministered": ("CT", "ContrastBolusUsageSequence", ["NO", "YES"], "c"),
    "ContrastBolusAgentPhase": ("CT", "ContrastBolusUsageSequence", ["PRE CONTRAST", "DELAYED"], "c"),
    "NominalPercentageOfRespiratoryPhase": ("CT", "RespiratorySynchronizationSequence", [0.0, 50.0], "t"),
    "NominalRespiratoryTriggerDelayTime": ("CT", "RespiratorySynchronizationSequence", [0.0, 400.0], "t"),
    "ActualCardiacTriggerDelayTime": ("MR", "CardiacSynchronizationSequence", [0.0, 40.0], "t"),
    "VelocityEncodingDirection": ("MR", "MRVelocityEncodingSequence", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "c"),
    "VelocityEncodingMaximumValue": ("MR", "MRVelocityEncodingSequence", [50.0, 150.0], "c"),
    "ReceiveCoilName": ("MR", "MRReceiveCoilSequence", ["H1", "H2"], "c"),
    "NumberOfAverages": ("MR", "MRAveragesSequence", [1.0, 2.0], "c"),
    "MagnetizationTransfer": ("MR", "MRModifierSequence", ["NONE", "ON_RESONANCE"], "c"),
    "SpectrallySelectedSuppression": ("MR", "MRModifierSequence", ["NONE", "FAT"], "c"),
    "FrameAcquisitionNumber": ("MR", "FrameContentSequence", [1, 2], "t"),
    "FrameLabel": ("MR", "FrameContentSequence", ["one", "two"], "c"),
    "FrameType": ("PT", "PETFrameTypeSequence", [["ORIGINAL", "PRIMARY", "AC"], ["ORIGINAL", "PRIMARY", "NAC"]], "c"),
}
"""(modality, functional group, values of two contrasts or times, axis), by keyword."""


@pytest.mark.parametrize("keyword", GROUPS)
def test_an_attribute_of_functional_groups_tells_frames_apart(keyword: str) -> None:
    modality, group, values, axis = GROUPS[keyword]
    times, contrasts = (2, 1) if axis == "t" else (1, 2)

    def tell(shot: Shot) -> Told:
        return {group: [{keyword: values[shot.time + shot.contrast]}]}

    frames = random.Random(3).sample(shots(times, contrasts, 4, tell=tell), 8)
    scan = enhanced([[replace(shot, number=None) for shot in frames]], f"enhanced {modality}")
    assert one_grid(scan, planned(scan), t=range(times), c=range(contrasts), z=range(4), any_order="c")


PRIVATE: Mapping[str, tuple[str, str, Sequence[tuple[str, Any]]]] = {
    "component of GE": ("0043102F", "GEMS_PARM_01", [("SS", value) for value in range(4)]),
    "coil of Siemens": ("0051100F", "SIEMENS MR HEADER", [("LO", "H1"), ("LO", "H2")]),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_attribute_tells_contrasts_apart(name: str) -> None:
    tag, creator, values = PRIVATE[name]
    creators = f"{tag[:4]}0010"
    frames = shots(1, len(values), 4, tell=lambda shot: {creators: ("LO", creator), tag: values[shot.contrast]})
    scan = classic(dealt(frames))
    assert one_grid(scan, planned(scan), c=range(len(values)), z=range(4), any_order="c")
    others = classic([shot.saying(**{creators: ("LO", "SOMEBODY ELSE")}) for shot in dealt(frames)])
    assert sizes(planned(others)) == [{"t": 4 * len(values)}]  # then it says nothing


@pytest.mark.parametrize("keyword", ["SeriesNumber", "PatientPosition", "CorrectedImage", "Units"])
def test_scans_that_interleave_are_never_one_volume(keyword: str) -> None:
    values = CLASSIC[keyword]
    frames = [
        replace(shot, place=(shot.place or 0) + shot.contrast / 2)
        for shot in shots(1, 2, 6, tell=lambda shot: {keyword: values[shot.contrast]})
    ]
    assert sizes(planned(classic(frames, "PT"))) == [{"z": 6}, {"z": 6}]


@pytest.mark.parametrize(("group", "keyword"), [("PixelMeasuresSequence", "PixelSpacing"), ("MREchoSequence", "")])
def test_a_macro_of_a_frame_may_lack_what_that_of_all_frames_has(group: str, keyword: str) -> None:
    times = [5.0, 9.0]
    files = []
    for contrast, frames in enumerate(np.array_split(np.array(shots(1, 2, 4, loops="ctz")), 2)):
        shared = {
            "MREchoSequence": [{"EffectiveEchoTime": times[contrast]}],
            "PixelMeasuresSequence": [{"PixelSpacing": [0.8, 0.6], "SliceThickness": 2.5}],
        }
        held = [shot.saying(**{group: [{}]}) for shot in frames]
        files.append(enhanced([held], SharedFunctionalGroupsSequence=[shared], InstanceNumber=contrast + 1))
    scan = together(*files)
    for instance in scan.instances:
        for frame in instance["52009230"]["Value"]:
            if not keyword:
                frame.pop("00289110")
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(2), z=range(4))
    assert plan.images[0].axes[-1].unit == "millimeter"


@pytest.mark.parametrize("size", [(2, 4), (2, 5), (3, 3), (3, 4)])
def test_numbers_that_were_dealt_out_hardly_ever_make_times(size: tuple[int, int]) -> None:
    times, slices = size
    places = np.repeat(np.arange(slices), times)
    rng = np.random.default_rng(0)
    numbers = [rng.permutation(times * slices) + 1 for _ in range(200)]
    found = [order_of(each, places, contrasts=[], clocks=[], most=None) for each in numbers]
    assert sum(column is not None for column in found) <= 6


@pytest.mark.parametrize(
    ("told", "units"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, "HU"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, None),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, None),
        ({"MultienergyCTAcquisition": "YES"}, None),
        ({"RescaleType": "US"}, "US"),
        ({"RescaleIntercept": None}, None),
        ({"ModalityLUTSequence": [{"LUTDescriptor": [4, 0, 16], "LUTData": [0, 1, 2, 3]}]}, None),
        ({"ModalityLUTSequence": [{"LUTDescriptor": [4, 0, 16], "ModalityLUTType": "OD"}]}, "OD"),
    ],
)
def test_a_ct_need_not_say_that_it_is_in_hounsfield_units(told: Told, units: str | None) -> None:
    scaled = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    scan = classic([shot.saying(**{**scaled, **told}) for shot in shots(1, 1, 3)], "CT")
    assert dicomzarr_attributes(planned(scan).images[0]).get("units") == units


def test_an_image_of_several_units_has_none() -> None:
    frames = shots(1, 2, 4, tell=lambda shot: {"Units": ("BQML", "GML")[shot.contrast]})
    plan = planned(classic(frames, "PT"))
    assert dicomzarr_attributes(plan.images[0]).get("units") is None
    assert [channel.label for channel in plan.images[0].channels] == ["units BQML", "units GML"]


def test_spectra_have_rows_and_no_pixels() -> None:
    volume = classic(shots(1, 1, 3))
    spectra = classic(shots(1, 1, 1, first=9), SOPClassUID="1.2.840.10008.5.1.4.1.1.4.2")
    both = together(volume, spectra)
    plan = both.plan()
    assert "1 instances without pixels were left out." in plan.notices
    assert [len(held) for held in every_image(both, plan)] == [3]


def test_time_slices_count_within_their_phases() -> None:
    vectors = {"PhaseVector": [1, 1, 1, 2, 2], "TimeSliceVector": [1, 2, 3, 1, 2]}
    scan = clips(1, 5, "NM", lambda _: vectors)
    (held,) = every_image(scan, planned(scan))
    assert [held[time, 0, 0].time for time in range(5)] == list(range(5))


def test_attributes_of_classic_images_that_became_frames_tell_them_apart() -> None:
    def tell(shot: Shot) -> Told:
        return {
            "UnassignedPerFrameConvertedAttributesSequence": [{"EchoTime": 5.0 + shot.contrast, "InstanceNumber": 1}]
        }

    frames = random.Random(3).sample(shots(1, 2, 4, tell=tell), 8)
    shared = {"UnassignedSharedConvertedAttributesSequence": [{"FlipAngle": 20.0}]}
    scan = enhanced([[replace(shot, number=None) for shot in frames]], SharedFunctionalGroupsSequence=[shared])
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(2), z=range(4))
    assert [channel.label for channel in plan.images[0].channels] == ["echo_time 5 ms", "echo_time 6 ms"]

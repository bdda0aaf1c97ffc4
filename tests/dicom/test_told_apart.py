"""Attributes that tell frames at one place apart, in classic images and in functional groups."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scan_checks import every_image, one_grid, planned, sizes
from scans import Shot, classic, clips, enhanced, model, shots, together

from dicomzarr.dicom.volume.acquisition_order import order_of
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scans import Scan, Told


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
    "ImagedNucleus": ["1H", "23NA"],
    "InPlanePhaseEncodingDirection": ["ROW", "COL"],
    "RandomsCorrectionMethod": ["NONE", "DLYD"],
    "ScatterCorrectionMethod": ["NONE", "SIMULATED"],
    "LowRRValue": [600, 900],
    "DiffusionDirectionality": ["ISOTROPIC", "DIRECTIONAL"],
    "AcquisitionContrast": ["T1", "T2"],
    "EffectiveEchoTime": [10.0, 20.0],
    "InversionTimes": [[10.0], [20.0]],
    "ProtocolName": ["localizer", "axial"],
    "ImageComments": ["one", "two"],
    "DerivationDescription": ["MIP", "mean"],
}
"""Values of two contrasts, by keyword."""


@pytest.mark.parametrize("keyword", CLASSIC)
def test_an_attribute_of_instances_tells_contrasts_apart(keyword: str) -> None:
    frames = shots(1, 2, 4, tell=lambda shot: {keyword: CLASSIC[keyword][shot.contrast]})
    scan = classic(dealt(frames), "PT" if keyword == "Units" else "MR")
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(2), z=range(4), any_order="c")
    assert len({channel.label for channel in plan.images[0].channels}) == 2


def concepts(*meanings: str) -> list[dict[str, str]]:
    return [{"CodeValue": str(number), "CodeMeaning": meaning} for number, meaning in enumerate(meanings)]


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
    "MagnetizationTransfer": ("MR", "MRImagingModifierSequence", ["NONE", "ON_RESONANCE"], "c"),
    "SpectrallySelectedSuppression": ("MR", "MRModifierSequence", ["NONE", "FAT"], "c"),
    "FrameAcquisitionNumber": ("MR", "FrameContentSequence", [1, 2], "t"),
    "FrameLabel": ("MR", "FrameContentSequence", ["one", "two"], "c"),
    "DiffusionDirectionality": ("MR", "MRDiffusionSequence", ["ISOTROPIC", "DIRECTIONAL"], "c"),
    "LUTLabel": ("MR", "RealWorldValueMappingSequence", ["ADC", "FA"], "c"),
    "DataType": ("US", "ImageDataTypeSequence", ["TISSUE_INTENSITY", "FLOW_VELOCITY"], "c"),
    "ExcitationWavelength": ("PA", "PhotoacousticExcitationCharacteristicsSequence", [700.0, 850.0], "c"),
    "MetaboliteMapDescription": ("MR", "MRMetaboliteMapSequence", ["NAA", "CHOLINE"], "c"),
    "RadiopharmaceuticalAgentNumber": ("PT", "RadiopharmaceuticalUsageSequence", [1, 2], "c"),
    "DecompositionMaterialSequence": (
        *("CT", "MultienergyCTProcessingSequence"),
        *([[{"MaterialCodeSequence": [code]}] for code in concepts("Water", "Iodine")], "c"),
    ),
    "QuantityDefinitionSequence": (
        *("MR", "RealWorldValueMappingSequence"),
        *([[{"ConceptCodeSequence": [code]}] for code in concepts("ADC", "Ktrans")], "c"),
    ),
    "MeasurementUnitsCodeSequence": (
        *("MR", "RealWorldValueMappingSequence"),
        *([[{"CodeValue": unit}] for unit in ("mm2/s", "/min")], "c"),
    ),
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


@pytest.mark.parametrize(
    "keyword",
    [
        *("DataType", "DecompositionMaterialSequence", "MeasurementUnitsCodeSequence", "QuantityDefinitionSequence"),
        *("ExcitationWavelength", "LUTLabel", "MetaboliteMapDescription", "MonoenergeticEnergyEquivalent"),
        *("RadiopharmaceuticalAgentNumber", "VelocityEncodingDirection", "VelocityEncodingMaximumValue"),
    ],
)
def test_contrasts_between_the_planes_of_others_are_none_of_their_planes(keyword: str) -> None:
    """As a second scan with a shifted table: half a step further, all would be one stack of twice as many slices."""
    modality, group, values, _ = GROUPS[keyword]
    frames = [
        Shot(place + contrast / 2, contrast=contrast, told={group: [{keyword: values[contrast]}]})
        for contrast in range(2)
        for place in range(4)
    ]
    scan = enhanced([random.Random(7).sample(frames, 8)], f"enhanced {modality}")
    for held in every_image(scan, planned(scan)):
        assert len({shot.contrast for shot in held.values()}) == 1


def pointing(scan: Scan, pointers: Mapping[str, str], left_out: Sequence[str]) -> Scan:
    """The same scan whose dimension indices point elsewhere, without some attributes of its functional groups."""
    instances = deepcopy(scan.instances)
    for instance in instances:
        for item in instance["00209222"]["Value"]:
            (tag,) = item["00209165"]["Value"]
            item["00209165"]["Value"] = [pointers.get(tag, tag)]
        for groups in instance["52009230"]["Value"]:
            for tag in left_out:
                groups.pop(tag, None)
                groups["00209111"]["Value"][0].pop(tag, None)
    return replace(scan, instances=instances)


TEMPORAL, IN_STACK, PLANE_POSITION, PLANE_ORIENTATION = "00209128", "00209057", "00209113", "00209116"


@pytest.mark.parametrize("pointer", ["00189074", "00189151", "00209153", "00209156", "00209241", "00209245"])
def test_a_dimension_index_of_times_is_t(pointer: str) -> None:
    """PS3.3 section C.7.6.17: ranks of FrameAcquisitionDateTime or of a cardiac phase, whose value is not there."""
    frames = shots(3, 1, 4, tell=lambda shot: {"TemporalPositionIndex": shot.time + 1})
    dealt_out = random.Random(3).sample([replace(shot, number=None) for shot in frames], 12)
    scan = enhanced([dealt_out], "enhanced CT", index=["TemporalPositionIndex", "InStackPositionNumber"])
    scan = pointing(scan, {TEMPORAL: pointer}, [TEMPORAL])
    assert one_grid(scan, planned(scan), t=range(3), z=range(4))


def test_the_time_that_frames_refer_to_counts_where_that_of_acquisition_stands_still() -> None:
    """PS3.3 section C.7.6.16.2.2: dynamic PET of which each frame says when the scan began."""
    frames = shots(
        *(3, 1, 4),
        tell=lambda shot: {
            "FrameAcquisitionDateTime": "20200102030405",
            "FrameReferenceDateTime": f"2020010203{10 + shot.time}05",
        },
    )
    scan = enhanced([random.Random(3).sample([replace(shot, number=None) for shot in frames], 12)], "enhanced PT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), z=range(4))
    assert (plan.images[0].axes[0].unit, plan.images[0].levels[0].scale[0]) == ("second", 60.0)


@pytest.mark.parametrize("pointer", ["00220031", "00220032"])
def test_a_dimension_index_of_locations_on_the_retina_is_z(pointer: str) -> None:
    """B-scans that OphthalmicFrameLocationSequence (0022,0031) places alone."""
    frames = random.Random(3).sample([replace(shot, number=None) for shot in shots(1, 1, 6)], 6)
    scan = enhanced([frames], index=["InStackPositionNumber"])
    scan = pointing(scan, {IN_STACK: pointer}, [IN_STACK, PLANE_POSITION, PLANE_ORIENTATION])
    assert one_grid(scan, planned(scan), z=range(6))


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
    assert "1 instances without pixels were left out: MR Spectroscopy." in plan.notices
    assert [len(held) for held in every_image(both, plan)] == [3]


def test_time_slices_count_within_their_phases() -> None:
    vectors = {"PhaseVector": [1, 1, 1, 2, 2], "TimeSliceVector": [1, 2, 3, 1, 2]}
    scan = clips(1, 5, "NM", lambda _: vectors)
    (held,) = every_image(scan, planned(scan))
    assert [held[time, 0, 0].time for time in range(5)] == list(range(5))


def test_time_slices_count_within_phases_that_are_as_long_and_begin_when_phases_say() -> None:
    phases = [{"NumberOfFramesInPhase": 2, "ActualFrameDuration": each, "PhaseDelay": 100} for each in (1000, 5000)]
    vectors = {"PhaseVector": [1, 1, 2, 2], "TimeSliceVector": [1, 2, 1, 2], "PhaseInformationSequence": phases}
    plan = planned(clips(1, 4, "NM", lambda _: vectors))
    assert [image.levels[0].shape[0] for image in plan.images] == [4]
    times = dicomzarr_attributes(plan.images[0])["coordinates"]["frame_time"]
    assert times == {"axis": "t", "values": [100.0, 1100.0, 2200.0, 7200.0], "unit": "ms"}


def test_heartbeats_of_other_lengths_are_contrasts_whose_times_are_alike() -> None:
    vectors = {"RRIntervalVector": [1, 1, 2, 2], "TimeSlotVector": [1, 2, 1, 2]}
    assert sizes(planned(clips(1, 4, "NM", lambda _: vectors))) == [{"t": 2, "c": 2}]


def test_directions_that_canon_writes_into_comments_are_contrasts_and_shown() -> None:
    comments = [None, "b=1500(0.445,0.000,0.895)", "b=1500(0.000,0.445,0.895)"]
    frames = shots(1, 3, 4, tell=lambda shot: {"ImageComments": comments[shot.contrast]})
    scan = classic(frames)
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(3), z=range(4))
    labels = [channel.label for channel in plan.images[0].channels]
    assert labels[1:] == [f"gradient_comment {comment}" for comment in comments[1:]]


def test_what_people_wrote_tells_nothing_apart_that_the_order_of_acquisition_does() -> None:
    frames = shots(3, 1, 4, tell=lambda shot: {"ImageComments": f"moved by {shot.time * 7 % 5} mm"})
    scan = classic(frames)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), z=range(4))
    assert list(dicomzarr_attributes(plan.images[0])["coordinates"]) == ["z"]


def test_images_of_pet_without_numbers_are_in_the_order_of_their_index() -> None:
    frames = shots(3, 1, 4, tell=lambda shot: {"ImageIndex": shot.number})
    scan = classic([replace(shot, number=None) for shot in random.Random(2).sample(frames, 12)], "PT")
    assert one_grid(scan, planned(scan), t=range(3), z=range(4))


@pytest.mark.parametrize("kind", ["MR", "enhanced MR"])
def test_eyes_that_lie_in_one_place_are_images_of_their_own(kind: str) -> None:
    def tell(shot: Shot) -> Told:
        side = "RL"[shot.contrast]
        return {"ImageLaterality": side} if kind == "MR" else {"FrameAnatomySequence": [{"FrameLaterality": side}]}

    frames = shots(1, 2, 4, loops="ctz", tell=tell)
    scan = classic(frames) if kind == "MR" else enhanced([frames[:4], frames[4:]], kind)
    plan = planned(scan)
    assert sizes(plan) == [{"z": 4}, {"z": 4}]
    assert [image.name for image in plan.images] == ["MR 1 of 2: right", "MR 2 of 2: left"]
    assert {len({shot.contrast for shot in held.values()}) for held in every_image(scan, plan)} == {1}


@pytest.mark.parametrize("uid", [None, ""])
def test_frames_without_a_frame_of_reference_are_not_apart_from_those_that_have_one(uid: str | None) -> None:
    frames = shots(1, 1, 5)
    scan = classic([*frames[:2], frames[2].saying(FrameOfReferenceUID=uid), *frames[3:]])
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(5))
    assert "1 of 5 frames have no FrameOfReferenceUID: they count as of that of the others." in plan.notices


def test_frames_without_a_rescale_beside_others_are_said() -> None:
    scaled = [shot.saying(RescaleSlope=1, RescaleIntercept=-1024) for shot in shots(1, 1, 3)]
    scan = classic([*scaled, *shots(1, 1, [3], first=4)], "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(4))
    assert any(said.startswith("1 of 4 frames have no RescaleSlope, and others do") for said in plan.notices)


def test_a_frame_without_content_is_of_the_only_stack() -> None:
    frames = [shot.saying(FrameContentSequence=[{"StackID": "1"}]) for shot in shots(1, 1, 5)]
    scan = enhanced([frames])
    scan.instances[0]["52009230"]["Value"][2].pop("00209111")
    assert one_grid(scan, planned(scan), z=range(5))


@pytest.mark.parametrize("stacks", ["123123123", "121212121", "111222333", "123123122"])
def test_stacks_that_take_turns_are_packages_of_one_volume(stacks: str) -> None:
    def tell(shot: Shot) -> Told:
        content = {"StackID": stacks[int(shot.place or 0)], "TemporalPositionIndex": shot.time + 1}
        return {"FrameContentSequence": [content]}

    scan = enhanced([random.Random(4).sample(shots(2, 1, 9, tell=tell), 18)])
    plan = planned(scan)
    if stacks in {"111222333", "123123122"}:
        assert len(plan.images) == 3
    else:
        assert one_grid(scan, plan, t=range(2), z=range(9))


@pytest.mark.parametrize(("turn", "images"), [(3e-5, 1), (8e-4, 1), (2e-3, 2)])
def test_directions_that_are_written_with_other_digits_are_one_stack(turn: float, images: int) -> None:
    turned = [1.0, turn, 0.0, -turn, 1.0, 0.0]
    scan = classic(
        [shot.saying(ImageOrientationPatient=turned) if shot.place == 2 else shot for shot in shots(1, 1, 6)]
    )
    plan = scan.plan()
    assert len(plan.images) == images
    said = any(notice.startswith("Direction cosines of slices differ by up to 0.0008") for notice in plan.notices)
    assert said == (turn == 8e-4)


def test_places_of_acr_nema_count_where_there_are_no_others() -> None:
    retired = {"00200032": ("00200030", "DS"), "00200037": ("00200035", "DS")}
    scan = classic(shots(1, 1, 4))
    for instance in scan.instances:
        for tag, (old, vr) in retired.items():
            instance[old] = {"vr": vr, "Value": instance.pop(tag)["Value"]}
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(4))
    assert any("retired" in said for said in plan.notices)


def test_slice_locations_that_contradict_positions_are_said() -> None:
    frames = shots(
        3, 1, 1, tell=lambda shot: {"SliceLocation": 5.0 * shot.time, "AcquisitionTime": f"10000{shot.time}"}
    )
    said = "Frames at one ImagePositionPatient have SliceLocations up to 10 mm apart"
    assert any(notice.startswith(said) for notice in planned(classic(frames, "CT")).notices)


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ({"FrameTimeVector": [0, 33, -10, 33]}, None),
        ({"FrameTimeVector": [0, 1, 2, 3], "FrameTime": 40, "FrameIncrementPointer": ["00181063"]}, [0, 40, 80, 120]),
        ({"FrameTimeVector": [9, 1, 2, 3], "FrameTime": 40, "FrameIncrementPointer": ["00181065"]}, [0, 1, 3, 6]),
    ],
)
def test_frames_of_a_clip_go_forward_by_what_the_increment_points_at(told: Told, times: Any) -> None:
    scan = clips(1, 4, "US cine", lambda _: told)
    plan = planned(scan)
    (held,) = every_image(scan, plan)
    assert [held[time, 0, 0].time for time in range(4)] == list(range(4))
    coordinates = dicomzarr_attributes(plan.images[0])["coordinates"]
    assert coordinates.get("frame_time", {}).get("values") == times


@pytest.mark.parametrize("step", [2.5, -2.5])
def test_frames_of_a_nuclear_reconstruction_are_slices_though_no_vector_says_so(step: float) -> None:
    placed = {"ImagePositionPatient": [0, 0, 50], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2, 2]}
    kind = {"ImageType": ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"], "SpacingBetweenSlices": step}
    scan = clips(1, 4, "NM", lambda _: {**placed, **kind, "EnergyWindowVector": [1] * 4})
    plan = scan.plan()
    (held,) = every_image(scan, plan)
    assert [held[0, 0, z].time for z in range(4)] == ([0, 1, 2, 3] if step > 0 else [3, 2, 1, 0])
    assert plan.images[0].affine is not None
    assert plan.images[0].affine[2] == (0, 0, 2.5, 50 if step > 0 else 42.5)
    assert any("There is no SliceVector" in notice for notice in plan.notices)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"VOILUTSequence": [{"LUTDescriptor": [256, 100, 12]}]}, (100, 355)),
        ({"VOILUTSequence": [{"LUTDescriptor": [0, 0, 8]}]}, (0, 65535)),
        (
            {"VOILUTSequence": [{"LUTDescriptor": [256, 65436, 12]}], "RescaleIntercept": -1024, "RescaleSlope": 1},
            (924, 1179),
        ),
        ({"VOILUTSequence": [{"LUTDescriptor": [256, 100]}]}, None),
        ({"VOILUTSequence": [{"LUTDescriptor": [256, 100, 12]}], "WindowCenter": 10, "WindowWidth": 21}, (-0.5, 19.5)),
    ],
)
def test_the_ends_of_a_voi_lut_are_the_window_where_there_is_no_other(told: Told, shown: Any) -> None:
    (channel,) = classic(shots(1, 1, 1, tell=lambda _: told), "DX").plan().images[0].channels
    assert channel.shown == shown


def test_what_instances_say_differently_is_said_of_no_image() -> None:
    paddings, burned = [-2000, -2000, -1024], ["NO", "NO", "YES"]
    frames = shots(1, 1, 3)
    told = [
        shot.saying(PixelPaddingValue=padding, BurnedInAnnotation=annotation, PixelRepresentation=1)
        for shot, padding, annotation in zip(frames, paddings, burned, strict=True)
    ]
    plan = planned(classic(told, "CT"))
    attributes = dicomzarr_attributes(plan.images[0])
    assert attributes.get("pixel_padding_value") is None
    assert attributes["burned_in_annotation"] == "YES"
    assert any(notice.startswith("PixelPaddingValue differs") for notice in plan.notices)
    alike = dicomzarr_attributes(planned(classic(told[:2], "CT")).images[0])
    assert (alike["pixel_padding_value"], alike["burned_in_annotation"]) == (-2000, "NO")


@pytest.mark.parametrize(
    ("signed", "bits", "padding", "read"),
    [(0, 12, 63536, 2096), (1, 12, -3000, 1096), (1, 12, -2000, None), (1, 16, 63536, None), (0, 12, 4095, None)],
)
def test_a_padding_value_beyond_the_stored_bits_says_what_becomes_of_it(
    signed: int, bits: int, padding: int, read: int | None
) -> None:
    """Of 0xF830 twelve bits leave 0x830, of -3000, which is 0xF448, 0x448 (PS3.5 section 8.1.1)."""
    told = {"PixelPaddingValue": padding, "PixelRepresentation": signed, "BitsStored": bits, "HighBit": bits - 1}
    notices = planned(classic(shots(1, 1, 3), "CT", **told)).notices
    (said,) = [each for each in notices if "PixelPaddingValue" in each] or [""]
    assert said == "" if read is None else said.endswith(f"pixels of padding are read as {read}.")


def test_another_clock_that_is_even_gives_uneven_times_no_step() -> None:
    def tell(shot: Shot) -> Told:
        return {"FrameReferenceTime": [30000, 90000, 180000][shot.time], "AcquisitionTime": f"1000{shot.time}0"}

    scan = classic(shots(3, 1, 4, tell=tell), "PT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), z=range(4))
    assert (plan.images[0].axes[0].unit, plan.images[0].levels[0].scale[0]) == (None, 1.0)


def test_spacings_of_other_planes_are_named_and_are_no_scale() -> None:
    told = {
        "NominalScannedPixelSpacing": [0.1, 0.2],
        "ImagePlanePixelSpacing": [0.3, 0.4],
        "PixelSpacingCalibrationType": "GEOMETRY",
        "PixelAspectRatio": [4, 3],
    }
    (image,) = classic([replace(shots()[0], place=None).saying(PixelSpacing=None, **told)], "DX").plan().images
    attributes = dicomzarr_attributes(image)
    assert attributes["nominal_scanned_pixel_spacing"] == [0.1, 0.2]
    assert attributes["image_plane_pixel_spacing"] == [0.3, 0.4]
    assert attributes["pixel_spacing_calibration_type"] == "GEOMETRY"
    assert attributes["pixel_aspect_ratio"] == [4, 3]
    assert [axis.unit for axis in image.axes] == [None, None]


def ultrasound(types: Sequence[str]) -> Scan:
    """A volume of Enhanced US: two times and three planes of each type of data, dealt out."""
    frames = shots(2, len(types), 3)
    scan = enhanced([random.Random(1).sample(frames, len(frames))], "enhanced MR", Modality="US")
    for place, group in enumerate(scan.instances[0]["52009230"]["Value"]):
        shot = scan.truth[scan.instances[0]["00080018"]["Value"][0], place + 1]
        for tag in ("00209113", "00209116"):
            group.pop(tag, None)
        group.update(
            model(
                {
                    "PlanePositionVolumeSequence": [{"ImagePositionVolume": [0.0, 0.0, 0.75 * (shot.place or 0)]}],
                    "PlaneOrientationVolumeSequence": [{"ImageOrientationVolume": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]}],
                    "TemporalPositionSequence": [{"TemporalPositionTimeOffset": 0.04 * shot.time}],
                    "ImageDataTypeSequence": [{"DataType": types[shot.contrast]}],
                }
            )
        )
    return scan


def test_planes_of_an_ultrasound_volume_are_placed_in_it_and_not_in_the_patient() -> None:
    scan = ultrasound(["FLOW_VELOCITY", "TISSUE_INTENSITY"])
    plan = scan.plan()
    (held,) = every_image(scan, plan)
    assert {cell: shot.truth for cell, shot in held.items()} == {
        (t, c, z): (t, c, z) for t in range(2) for c in range(2) for z in range(3)
    }
    image = plan.images[0]
    assert image.levels[0].scale[:3] == (0.04, 1.0, 0.75)
    assert image.affine is None
    assert [channel.label for channel in image.channels] == ["data_type FLOW_VELOCITY", "data_type TISSUE_INTENSITY"]


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


NUCLEAR: Told = {
    "ImagePositionPatient": [0, 0, 50],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [2, 2],
    "SliceVector": [1, 2, 3, 4],
}


def test_a_thickness_that_stands_for_the_distance_of_nuclear_slices_is_said() -> None:
    plan = clips(1, 4, "NM", lambda _: {**NUCLEAR, "SliceThickness": 2.5}).plan()
    assert sizes(plan) == [{"z": 4}]
    assert plan.images[0].levels[0].scale[0] == 2.5
    assert any("SliceThickness" in notice for notice in plan.notices)


def test_nuclear_slices_without_a_distance_are_one_image_without_a_place() -> None:
    plan = clips(1, 4, "NM", lambda _: NUCLEAR).plan()
    assert sizes(plan) == [{"z": 4}]
    assert plan.images[0].affine is None
    assert [axis.unit for axis in plan.images[0].axes] == [None, "millimeter", "millimeter"]

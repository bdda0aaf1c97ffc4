"""Kinds of series that vendors and archives make, in more forms than anybody has at hand as files."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from radiology_model import AXIAL, OBLIQUE, SAGITTAL, Grid
from radiology_opened import Opener, affine_of, coordinate
from scan_checks import (
    canonical,
    check,
    counts,
    every_image,
    has_grid,
    in_order,
    is_list,
    mixed_times,
    mixed_volumes,
    on_grid,
    one_grid,
    one_list,
    planned,
    size,
    sizes,
    step_of,
)
from scans import ROOT, Scan, Shot, cells, classic, clips, enhanced, key_of, renamed, shots, together, uid_of

from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scans import Cell, Told

    from dicomzarr.plan import SeriesPlan


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def clock(seconds: float) -> str:
    """AcquisitionTime so long after noon."""
    return f"12{int(seconds // 60):02}{seconds % 60:09.6f}"


def notices_of(plan: SeriesPlan) -> str:
    """All notices in one text."""
    return " ".join(plan.notices)


def dealt(frames: Sequence[Shot], seed: int = 5) -> list[Shot]:
    """The same frames with their numbers dealt out anew, so that these tell nothing, in another order."""
    rng = random.Random(seed)
    numbers = rng.sample([shot.number for shot in frames], len(frames))
    renumbered = [replace(shot, number=number) for shot, number in zip(frames, numbers, strict=True)]
    return rng.sample(renumbered, len(renumbered))


def shows_pixels(opened: Opener, scan: Scan) -> bool:
    """Whether a server's pixels are where the plan says."""
    image = opened(scan.served())
    keys = list(scan.truth)
    plan = scan.plan()
    for one, held, planned_ in zip(image.images, cells(plan), plan.images, strict=True):
        names = [axis.name for axis in planned_.axes]
        pixels = one.levels[0][...]
        for cell, frame in held.items():
            at = tuple({"t": cell[0], "c": cell[1], "z": cell[2]}.get(name, slice(None)) for name in names)
            if (pixels[at] != keys.index(key_of(frame)) + 1).any():
                return False
    return len(image.images) == len(plan.images)


# --- what tells contrasts apart, as vendors say it


def private(group: str, creator: str, block: str = "10", **elements: tuple[str, Any]) -> Told:
    """Private attributes of one vendor; elements by ``x`` and their last byte."""
    told: dict[str, Any] = {f"{group}00{block}": ("LO", creator)}
    return told | {f"{group}{block}{name[1:]}": value for name, value in elements.items()}


DIRECTIONS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.6, 0.8))
B_VALUES = (0, 500, 1000)


def ge_direction(k: int) -> Told:
    x, y, z = DIRECTIONS[k]
    told = private("0019", "GEMS_ACQU_01", xBB=("DS", x), xBC=("DS", y), xBD=("DS", z))
    return {**told, "DiffusionBValue": 1000.0}


def ge_b(k: int, offset: int = 0) -> Told:
    return private("0043", "GEMS_PARM_01", x39=("IS", [offset + B_VALUES[k], 8, 0, 0]))


def siemens(k: int) -> Told:
    return private("0019", "SIEMENS MR HEADER", x0C=("IS", B_VALUES[k]))


def siemens_direction(k: int) -> Told:
    return private("0019", "SIEMENS MR HEADER", x0C=("IS", 1000), x0E=("FD", list(DIRECTIONS[k])))


def uih_direction(k: int) -> Told:
    return private("0065", "Image Private Header", x09=("FD", 1000.0), x37=("FD", list(DIRECTIONS[k])))


PRIVATE: Mapping[str, Callable[[int], Told]] = {
    "GE b": ge_b,
    "GE b with an offset": lambda k: ge_b(k, 1_000_000_000),
    "GE directions": ge_direction,
    "GE type": lambda k: private("0043", "GEMS_PARM_01", x30=("SS", k + 2)),
    "Philips b": lambda k: private("2001", "Philips Imaging DD 001", x03=("FL", float(B_VALUES[k]))),
    "Siemens b": siemens,
    "Siemens directions": siemens_direction,
    "UIH b": lambda k: private("0065", "Image Private Header", x09=("FD", float(B_VALUES[k]))),
    "UIH directions": uih_direction,
}
"""Private attributes that tell three contrasts apart."""

LABELS = ("CONTROL", "LABEL")


def philips_label(k: int) -> Told:
    return private("2005", "Philips MR Imaging DD 005", "14", x29=("CS", LABELS[k % 2]))


STANDARD: Mapping[str, Callable[[int], Told]] = {
    "b": lambda k: {"DiffusionBValue": float(B_VALUES[k])},
    "directions": lambda k: {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": list(DIRECTIONS[k])},
    "echoes": lambda k: {"EchoTime": 5.0 + 7.5 * k, "EchoNumbers": k + 1},
    "inversion times": lambda k: {"InversionTime": 100.0 * (k + 1)},
    "flip angles": lambda k: {"FlipAngle": 5.0 * (k + 1)},
    "components": lambda k: {"ImageType": ["ORIGINAL", "PRIMARY", "MPR"[k], "FFE"]},
    "kernels": lambda k: {"ConvolutionKernel": ("B20f", "B30f", "B70f")[k]},
    "sequences by Siemens": lambda k: {"SequenceName": ("*ep_b0", "*ep_b1000#1", "*ep_b1000#2")[k]},
    "velocities": lambda k: {"SequenceName": ("*fl3d1_v150rl", "*fl3d1_v150ap", "*fl3d1_v150fh")[k]},
    "thickness": lambda k: {"SliceThickness": (1.0, 3.0, 5.0)[k]},
    "agents": lambda k: ({}, {"ContrastBolusAgent": "GADOVIST"}, {"ContrastBolusAgent": "PRIMOVIST"})[k],
    "options": lambda k: {"ScanOptions": ("FS", "PFP", "SAT1")[k]},
    "tension": lambda k: {"KVP": (80.0, 100.0, 140.0)[k]},
}
"""Attributes of the standard that do."""

TELLERS = {**STANDARD, **PRIVATE}


def contrasts(name: str, *, times: int = 1, slices: int = 5, grid: Grid = AXIAL, clocked: bool = True) -> list[Shot]:
    """Three contrasts, numbers telling nothing; several times by clock, or by position in time."""

    def tell(shot: Shot) -> Told:
        told = dict(TELLERS[name](shot.contrast))
        if times > 1:
            told |= {"AcquisitionTime": clock(3 * shot.time)} if clocked else {"TemporalPositionIdentifier": shot.time}
        return told

    return dealt(shots(times, 3, slices, grid=grid, tell=tell))


@pytest.mark.parametrize("slices", [1, 2, 5])
@pytest.mark.parametrize("name", TELLERS)
def test_contrasts_are_channels_as_each_vendor_says_them(name: str, slices: int) -> None:
    scan = classic(contrasts(name, slices=slices))
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(3), z=range(slices), any_order="c")
    assert slices == 1 or on_grid(plan.images[0], AXIAL)


@pytest.mark.parametrize("clocked", [True, False], ids=["clock", "position in time"])
@pytest.mark.parametrize("name", TELLERS)
def test_contrasts_at_several_times_have_both_axes(name: str, *, clocked: bool) -> None:
    scan = classic(contrasts(name, times=3, slices=4, grid=OBLIQUE, clocked=clocked))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), c=range(3), z=range(4), any_order="c")
    assert on_grid(plan.images[0], OBLIQUE)
    assert step_of(plan.images[0], "t") == ((3.0, "second") if clocked else (1.0, None))


@pytest.mark.parametrize("lost", [0, 4, 8])
@pytest.mark.parametrize("name", ["b", "echoes", "velocities", "agents", "GE directions", "Philips b", "UIH b"])
def test_one_slice_that_a_contrast_lacks_is_an_absent_chunk(name: str, lost: int) -> None:
    frames = [shot for shot in contrasts(name, slices=9) if shot.truth != (0, 1, lost)]
    scan = classic(frames)
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(3), z=range(9), absent=[(0, 1, lost)], any_order="c")
    assert dicomzarr_attributes(plan.images[0])["absent"][0]["z"] == lost


@pytest.mark.parametrize("name", ["b", "echoes", "velocities", "agents", "GE directions", "Philips b", "UIH b"])
def test_contrasts_of_two_scans_that_were_both_aborted_are_apart(name: str) -> None:
    frames = [shot for shot in contrasts(name, slices=9) if shot.contrast == 0 or (shot.place or 0) < 2 + shot.contrast]
    scan = classic(frames)
    plan = planned(scan)
    assert sizes(plan) == in_order([{"z": 9}, {"z": 4}, {"z": 3}])
    assert not mixed_volumes(scan, plan)


@pytest.mark.parametrize("name", PRIVATE)
def test_what_another_vendor_put_there_tells_nothing(name: str) -> None:
    frames = []
    for shot in contrasts(name):
        told = {tag: value for tag, value in shot.told.items() if not tag.startswith("DiffusionB")}
        creators = {tag: ("LO", "ACME 1.1") for tag in told if tag[4:6] == "00"}
        frames.append(replace(shot, told={**told, **creators}))
    scan = classic(frames)
    assert one_list(scan, planned(scan))


@pytest.mark.parametrize("name", ["GE b", "GE b with an offset", "Philips b", "Siemens b", "UIH b"])
def test_private_b_values_are_in_order_and_are_a_coordinate(name: str) -> None:
    scan = classic(contrasts(name))
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(3), z=range(5))
    told: Any = dicomzarr_attributes(plan.images[0])["coordinates"]
    assert told["b_value"]["values"] == list(B_VALUES)


@pytest.mark.parametrize("b", ["GE b", "Siemens b", "Philips b", "UIH b"])
def test_several_directions_of_several_b_values_share_an_axis(b: str) -> None:
    weightings = [(0, None), (1, 0), (1, 1), (2, 0), (2, 2)]

    def tell(shot: Shot) -> Told:
        k, direction = weightings[shot.contrast]
        told = dict(PRIVATE[b](k))
        if direction is None:
            return told
        x, y, z = DIRECTIONS[direction]
        if b == "GE b":
            return {**told, **private("0019", "GEMS_ACQU_01", xBB=("DS", x), xBC=("DS", y), xBD=("DS", z))}
        if b == "Siemens b":
            return {**told, "0019100E": ("FD", [x, y, z])}
        if b == "UIH b":
            return {**told, "00651037": ("FD", [x, y, z])}
        gradient = {"200510B0": ("FL", x), "200510B1": ("FL", y), "200510B2": ("FL", z)}
        return {**told, "20050010": ("LO", "Philips MR Imaging DD 001"), **gradient}

    scan = classic(dealt(shots(1, 5, 4, tell=tell)))
    assert one_grid(scan, planned(scan), c=range(5), z=range(4), any_order="c")


@pytest.mark.parametrize("slices", [1, 2, 5])
@pytest.mark.parametrize("times", [1, 3])
def test_label_and_control_of_philips_are_channels(times: int, slices: int) -> None:
    def tell(shot: Shot) -> Told:
        return {**philips_label(shot.contrast), "TemporalPositionIdentifier": shot.time + 1}

    scan = classic(dealt(shots(times, 2, slices, tell=tell)))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(times), c=range(2), z=range(slices), any_order="c")


def ge_time(shot: Shot) -> Told:
    return private("0021", "GEMS_RELA_01", x5E=("DS", 1000.0 + 2.5 * shot.time + 0.1 * (shot.place or 0)))


def test_the_private_time_of_ge_tells_times_apart() -> None:
    scan = classic(dealt(shots(4, 1, 5, tell=ge_time)))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5))
    assert counts(plan.images[0], "t")  # seconds, or ten-thousandths: no header says which
    told: Any = dicomzarr_attributes(plan.images[0])["coordinates"]["ge_time"]
    assert "unit" not in told


# --- enhanced


ENHANCED: Mapping[str, Callable[[int], Told]] = {
    "b": lambda k: {"DiffusionBValue": float(B_VALUES[k])},
    "directions": lambda k: {
        "DiffusionBValue": 1000.0,
        "DiffusionGradientDirectionSequence": [{"DiffusionGradientOrientation": list(DIRECTIONS[k])}],
    },
    "echoes": lambda k: {"EffectiveEchoTime": 5.0 + 7.5 * k},
    "inversion times": lambda k: {"InversionTimes": 100.0 * (k + 1)},
    "components": lambda k: {
        "FrameType": ["ORIGINAL", "PRIMARY", "MPR"[k], "NONE"],
        "ComplexImageComponent": ("MAGNITUDE", "PHASE", "REAL")[k],
    },
}


def enhanced_frames(name: str, times: int = 1, slices: int = 4) -> list[Shot]:
    """Frames of enhanced instances in an order that means nothing."""

    def tell(shot: Shot) -> Told:
        stack = {"StackID": "1", "InStackPositionNumber": int(shot.place or 0) + 1}
        return {**ENHANCED[name](shot.contrast), **stack, "TemporalPositionIndex": shot.time + 1}

    frames = shots(times, 3, slices, grid=OBLIQUE, tell=tell)
    return random.Random(len(frames)).sample(frames, len(frames))


FILES: Mapping[str, Callable[[Sequence[Shot]], list[list[Shot]]]] = {
    "one instance": lambda frames: [list(frames)],
    "one for each contrast": lambda frames: [[s for s in frames if s.contrast == k] for k in range(3)],
    "one for each slice": lambda frames: [
        [s for s in frames if s.place == z] for z in sorted({s.place or 0 for s in frames}, reverse=True)
    ],
    "halves": lambda frames: [list(frames[: len(frames) // 2]), list(frames[len(frames) // 2 :])],
}


@pytest.mark.parametrize("indexed", [True, False], ids=["indices", "no indices"])
@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("name", ENHANCED)
def test_contrasts_of_enhanced_instances_are_channels(name: str, files: str, *, indexed: bool) -> None:
    index = ["StackID", "InStackPositionNumber", "TemporalPositionIndex"] if indexed else []
    scan = enhanced(FILES[files](enhanced_frames(name, times=2)), index=index)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(2), c=range(3), z=range(4), any_order="c")
    assert on_grid(plan.images[0], OBLIQUE)


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("name", ENHANCED)
def test_few_slices_of_enhanced_instances(name: str, slices: int) -> None:
    scan = enhanced([enhanced_frames(name, slices=slices)])
    assert one_grid(scan, planned(scan), c=range(3), z=range(slices), any_order="c")


@pytest.mark.parametrize("lost", [(0, 1, 0), (0, 2, 5), (0, 0, 8)])
@pytest.mark.parametrize("name", ENHANCED)
def test_one_frame_that_an_enhanced_instance_lacks_is_an_absent_chunk(name: str, lost: tuple[int, int, float]) -> None:
    frames = [shot for shot in enhanced_frames(name, slices=9) if shot.truth != lost]
    scan = enhanced([frames])
    assert one_grid(scan, planned(scan), c=range(3), z=range(9), absent=[lost], any_order="c")


@pytest.mark.parametrize("name", ENHANCED)
def test_contrasts_of_an_enhanced_instance_half_a_step_apart_are_volumes(name: str) -> None:
    frames = [replace(shot, place=(shot.place or 0) + shot.contrast / 2) for shot in enhanced_frames(name)]
    scan = enhanced([[shot for shot in frames if shot.contrast < 2]])
    plan = planned(scan)
    assert sizes(plan) == [{"z": 4}] * 2
    assert not mixed_volumes(scan, plan)


@pytest.mark.parametrize("words", ["DISTORTED", "SAMPLED", "MIXED"])
@pytest.mark.parametrize("told", [True, False], ids=["times", "no times"])
def test_what_distorts_keeps_its_geometry(words: str, *, told: bool) -> None:
    every = shots(3, 1, 4, tell=lambda shot: {"TemporalPositionIndex": shot.time + 1} if told else {})
    files = [[replace(shot, number=n + 1) for shot in every if shot.time == n] for n in range(3)]
    scan = enhanced(files, VolumetricProperties=words)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), z=range(4))
    assert on_grid(plan.images[0], AXIAL)
    assert dicomzarr_attributes(plan.images[0])["volumetric_properties"] == words
    assert words in notices_of(plan) or words == "MIXED"


@pytest.mark.parametrize("kind", ["enhanced CT", "enhanced MR", "enhanced PT"])
@pytest.mark.parametrize("slices", [1, 2, 5])
def test_volumes_in_files_that_only_numbers_tell_apart_are_times(slices: int, kind: str) -> None:
    every = shots(3, 1, slices)
    files = [dealt([replace(shot, number=n + 1) for shot in every if shot.time == n], n) for n in range(3)]
    scan = enhanced([[replace(shot, number=n + 1) for shot in frames] for n, frames in enumerate(files)][::-1], kind)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), z=range(slices))
    assert counts(plan.images[0], "t")


def test_inversion_times_of_each_slice_in_an_enhanced_instance() -> None:
    def tell(shot: Shot) -> Told:
        return {"InversionTimes": 120.0 + 950 * shot.contrast + 13.5 * (shot.place or 0) * (shot.contrast > 0)}

    scan = enhanced([dealt(shots(1, 5, 3, tell=tell))])
    assert one_grid(scan, planned(scan), c=range(5), z=range(3))


# --- times


def test_content_times_tell_times_apart_over_midnight() -> None:
    def tell(shot: Shot) -> Told:
        late = 86_396 + 2 * shot.time + 0.1 * (shot.place or 0)
        day, rest = divmod(late, 86_400)
        moment = f"{int(rest // 3600):02}{int(rest // 60 % 60):02}{rest % 60:09.6f}"
        return {"ContentDate": f"2020010{int(day) + 1}", "ContentTime": moment}

    scan = classic(dealt(shots(4, 1, 3, tell=tell)), "CT")
    assert one_grid(scan, planned(scan), t=range(4), z=range(3))


@pytest.mark.parametrize("keyword", ["ContentTime", "AcquisitionTime", "TriggerTime", "FrameReferenceTime"])
@pytest.mark.parametrize("slices", [1, 2, 6])
@pytest.mark.parametrize("kind", ["CT", "MR", "PT"])
def test_times_of_each_slice_tell_times_apart(kind: str, slices: int, keyword: str) -> None:
    def tell(shot: Shot) -> Told:
        at = 2.5 * shot.time + 0.2 * (shot.place or 0)
        return {keyword: clock(at) if keyword.endswith(("ntTime", "onTime")) else 1000 * at}

    scan = classic(dealt(shots(5, 1, slices, tell=tell)), kind)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(5), z=range(slices))


@pytest.mark.parametrize("seed", range(3))
def test_a_trigger_time_that_occurs_twice_is_ordered_by_numbers(seed: int) -> None:
    rng = random.Random(seed)
    hit = (rng.randrange(1, 9), 0, rng.randrange(6))

    def tell(shot: Shot) -> Told:
        return {"TriggerTime": 40.0 * (shot.time - (shot.truth == hit))}

    scan = classic(random.Random(seed).sample(shots(10, 1, 6, loops="ztc", tell=tell), 60))
    assert one_grid(scan, planned(scan), t=range(10), z=range(6))


@pytest.mark.parametrize("lost", [0, 2, 4])
@pytest.mark.parametrize("loops", ["tcz", "zct"])
def test_flow_has_times_directions_and_slices_and_a_slice_may_lack(loops: str, lost: int) -> None:
    def tell(shot: Shot) -> Told:
        return {**STANDARD["velocities"](shot.contrast), "TriggerTime": 20.0 + 45 * shot.time, "AcquisitionNumber": 1}

    frames = [shot for shot in shots(4, 3, 5, loops=loops, tell=tell) if shot.place != lost]
    scan = classic(dealt(frames))
    plan = planned(scan)
    places = [z for z in range(5) if z != lost or lost == 2]
    absent = [(t, c, 2) for t in range(4) for c in range(3)] if lost == 2 else []
    assert one_grid(scan, plan, t=range(4), c=range(3), z=places, absent=absent, any_order="c")
    assert step_of(plan.images[0], "t") == (45.0, "millisecond")


@pytest.mark.parametrize("kind", ["CT", "MR", "PT"])
def test_phases_of_different_coverage_are_images(kind: str) -> None:
    ranges = [(0, 16), (4, 20), (2, 12)]
    frames = [
        Shot(z, phase, 0, 100 * phase + z, {"AcquisitionNumber": phase + 1, "AcquisitionTime": clock(40 * phase)})
        for phase, (first, end) in enumerate(ranges)
        for z in range(first, end)
    ]
    scan = classic(dealt(frames), kind)
    plan = planned(scan)
    assert sizes(plan) == in_order([{"z": 16}, {"z": 16}, {"z": 10}])
    assert not mixed_times(scan, plan)
    firsts = [held[min(held)].place or 0 for held in every_image(scan, plan)]
    assert all(on_grid(image, AXIAL, first) for image, first in zip(plan.images, firsts, strict=True))


# --- places


@pytest.mark.parametrize("micrometers", [5, 20, 100])
@pytest.mark.parametrize("across", [True, False], ids=["in the plane", "along the normal"])
def test_positions_of_times_that_differ_a_little_are_one_place(micrometers: int, *, across: bool) -> None:
    rng = np.random.default_rng(1)
    moved = rng.uniform(-0.5, 0.5, 3) * micrometers / 1000
    frames = [
        replace(shot, offset=(moved[shot.time], 0.0, 0.0) if across else (0.0, 0.0, moved[shot.time]))
        for shot in shots(3, 1, 4, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1})
    ]
    scan = classic(dealt(frames))
    plan = planned(scan, jitter=0.2)
    assert one_grid(scan, plan, t=range(3), z=range(4))
    assert plan.images[0].affine is not None
    assert plan.notices or micrometers == 5


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("step", [1.5, 7.0])
@pytest.mark.parametrize("grid", [OBLIQUE, SAGITTAL], ids=["oblique", "sagittal"])
def test_positions_that_were_rounded_are_a_volume(grid: Grid, step: float, digits: int) -> None:
    along = grid.along_normal(step)
    frames = []
    for shot in shots(1, 1, 12, grid=along):
        exact = np.array(along.position(shot.place or 0))
        off = np.round(exact, digits) - exact
        frames.append(replace(shot, offset=(float(off[0]), float(off[1]), float(off[2]))))
    scan = classic(dealt(frames))
    plan = planned(scan, jitter=0.2)
    assert one_grid(scan, plan, z=range(12))
    assert np.allclose(np.array(plan.images[0].affine)[:3, 2], along.step, atol=0.03)


@pytest.mark.parametrize("told", ["TemporalPositionIdentifier", "AcquisitionTime"])
def test_times_with_a_pose_of_their_own_are_one_image(told: str) -> None:
    rng = np.random.default_rng(2)
    poses = rng.uniform(-0.6, 0.6, (5, 3)) * (np.arange(5)[:, None] > 0)

    def tell(shot: Shot) -> Told:
        return {told: shot.time + 1 if told.startswith("T") else clock(2 * shot.time)}

    frames = [replace(shot, offset=tuple(map(float, poses[shot.time]))) for shot in shots(5, 1, 6, tell=tell)]
    scan = classic(dealt(frames))
    plan = scan.plan()
    check(scan, plan, jitter=1.5)
    assert one_grid(scan, plan, t=range(5), z=range(6))
    assert on_grid(plan.images[0], AXIAL)
    told_: Any = dicomzarr_attributes(plan.images[0])["coordinates"]
    assert any("t" in one["axis"] and np.ndim(one["values"]) > 1 for one in told_.values())
    assert plan.notices


@pytest.mark.parametrize("told", ["echoes", "components", "b"])
def test_times_with_a_pose_of_their_own_may_have_contrasts(told: str) -> None:
    rng = np.random.default_rng(2)
    poses = rng.uniform(-0.6, 0.6, (5, 3)) * (np.arange(5)[:, None] > 0)

    def tell(shot: Shot) -> Told:
        return {**STANDARD[told](shot.contrast), "TemporalPositionIdentifier": shot.time + 1}

    frames = [replace(shot, offset=tuple(map(float, poses[shot.time]))) for shot in shots(5, 2, 6, tell=tell)]
    scan = classic(dealt(frames))
    plan = planned(scan, jitter=1.5)
    assert one_grid(scan, plan, t=range(5), c=range(2), z=range(6))
    found = np.array(plan.images[0].attributes.poses)[:, :3, 3]
    assert np.allclose(found, np.array(AXIAL.position(0)) + poses, atol=1e-5)
    assert "poses of their own" in notices_of(plan)


def test_contrasts_that_lie_apart_at_all_times_are_images_though_times_have_poses() -> None:
    def tell(shot: Shot) -> Told:
        return {"EchoTime": 10.0 + shot.contrast, "TemporalPositionIdentifier": shot.time + 1}

    frames = [
        replace(shot, offset=(0.0, 0.0, 0.8 * shot.contrast + 0.1 * shot.time)) for shot in shots(3, 2, 6, tell=tell)
    ]
    scan = classic(dealt(frames))
    plan = planned(scan, jitter=0.5)
    assert not mixed_volumes(scan, plan)
    assert len(plan.images) > 1


def test_contrasts_with_a_pose_of_their_own_are_images() -> None:
    frames = [
        replace(shot, offset=(0.0, 0.0, 0.8 * shot.contrast))
        for shot in shots(1, 2, 6, tell=lambda shot: {"EchoTime": 10.0 + shot.contrast})
    ]
    scan = classic(dealt(frames))
    plan = planned(scan)
    assert sizes(plan) == [{"z": 6}] * 2
    assert not mixed_volumes(scan, plan)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_frames_of_reference_that_each_instance_has_for_itself_are_none(kind: str, times: int) -> None:
    def tell(shot: Shot) -> Told:
        reference = f"{ROOT}.6.{int(100 * shot.time + (shot.place or 0)) + 1}"
        return {"FrameOfReferenceUID": reference, "AcquisitionTime": clock(2 * shot.time)}

    scan = classic(dealt(shots(times, 1, 7, grid=OBLIQUE, tell=tell)), kind)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(times), z=range(7))
    assert on_grid(plan.images[0], OBLIQUE)
    assert "FrameOfReferenceUID" in notices_of(plan)


@pytest.mark.parametrize("lost", [0, 3, 8])
@pytest.mark.parametrize("packing", ["classic", "enhanced"])
def test_one_slice_of_a_volume_that_lacks(packing: str, lost: int) -> None:
    frames = [shot for shot in shots(1, 1, 9) if shot.place != lost]
    scan = classic(dealt(frames), "CT") if packing == "classic" else enhanced([dealt(frames)], "enhanced CT")
    plan = planned(scan)
    places = [z for z in range(9) if z != lost or lost == 3]
    assert one_grid(scan, plan, z=places, absent=[(0, 0, 3)] if lost == 3 else [])
    assert on_grid(plan.images[0], AXIAL, first=1 if lost == 0 else 0)


# --- doubled and aborted


@pytest.mark.parametrize("packing", ["classic", "enhanced"])
@pytest.mark.parametrize("slices", [1, 2, 6])
def test_a_doubled_series_is_two_images_or_a_list(slices: int, packing: str) -> None:
    every = [[replace(shot, contrast=copy) for shot in shots(1, 1, slices)] for copy in range(2)]
    if packing == "classic":
        scan = classic(
            [replace(shot, uid=uid_of("x", shot.contrast, shot.place)) for frames in every for shot in frames], "CT"
        )
    else:
        scan = enhanced([[replace(shot, number=1) for shot in frames] for frames in every], "enhanced CT")
    plan = planned(scan)
    assert not [image for image, held in enumerate(every_image(scan, plan)) if _doubles(held, plan, image)]
    if packing == "classic" and slices > 1:
        assert one_list(scan, plan)


def _doubles(held: Mapping[Cell, Shot], plan: SeriesPlan, image: int) -> bool:
    """Whether a volume mixes both copies."""
    lengths = size(plan.images[image])
    return "z" in lengths and "t" not in lengths and len({shot.contrast for shot in held.values()}) > 1


@pytest.mark.parametrize("told", [True, False], ids=["times", "numbers"])
def test_two_aborted_scans_are_never_one_time(told: bool) -> None:  # noqa: FBT001
    frames, number = [], 0
    for scan_, (whole, cut) in enumerate([(3, 4), (3, 2)]):
        for t, z in itertools.product(range(whole + 1), range(6)):
            if t == whole and z >= cut:
                continue
            number += 1
            at = 4 * scan_ + t
            frames.append(Shot(z, at, 0, number, {"AcquisitionTime": clock(2 * at)} if told else {}))
    scan = classic(frames)
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    if told:
        whole_times = [t for t in range(8) if t not in (3, 7)]
        assert has_grid(scan, plan, t=whole_times, z=range(6)) or has_grid(
            scan, plan, t=range(8), z=range(6), absent=[(3, 0, 4), (3, 0, 5), *((7, 0, z) for z in range(2, 6))]
        )


# --- impossible attributes


BROKEN: Mapping[str, tuple[Told, str]] = {
    "spacing of zero": ({"PixelSpacing": [0, 0]}, "PixelSpacing"),
    "spacing of one value": ({"PixelSpacing": [0.8]}, "PixelSpacing"),
    "spacing that is negative": ({"PixelSpacing": [-0.8, 0.6]}, "PixelSpacing"),
    "orientation of zeros": ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "ImageOrientationPatient"),
    "orientation at no right angle": ({"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]}, "ImageOrientationPatient"),
    "orientation of five": ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, "ImageOrientationPatient"),
    "no frames": ({"NumberOfFrames": 0}, "NumberOfFrames"),
    "slope of zero": ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope"),
}


@pytest.mark.parametrize("values", ["stored", "modality"])
@pytest.mark.parametrize("kind", ["CT", "MR", "PT"])
@pytest.mark.parametrize("name", BROKEN)
def test_one_impossible_attribute_costs_that_fact_and_no_series(name: str, kind: str, values: str) -> None:
    told, word = BROKEN[name]
    scan = classic([shot.saying(**told) for shot in shots(1, 1, 5)], kind)
    plan = planned(scan, values)
    assert word in notices_of(plan)
    if "spacing" in name or "orientation" in name:
        assert all(image.affine is None for image in plan.images)
    else:
        assert one_grid(scan, plan, z=range(5))
        assert on_grid(plan.images[0], AXIAL)
    if "spacing" in name:
        assert one_grid(scan, plan, z=range(5))
        assert step_of(plan.images[0], "y") == step_of(plan.images[0], "x") == (1.0, None)


@pytest.mark.parametrize(("slope", "units"), [(0.5, "BQML"), (0, None)])
def test_what_is_not_scaled_has_no_unit(slope: float, units: str | None) -> None:
    told = [{"RescaleSlope": slope if shot.place == 2 else 0.5, "Units": "BQML"} for shot in shots(1, 1, 5)]
    scan = classic([shot.saying(**each) for shot, each in zip(shots(1, 1, 5), told, strict=True)], "PT")
    assert dicomzarr_attributes(planned(scan).images[0]).get("units") == units


@pytest.mark.parametrize("name", ["spacing of zero", "spacing of one value"])
def test_a_radiograph_without_spacing_opens(name: str) -> None:
    scan = classic([replace(shot, place=None, told=BROKEN[name][0]) for shot in shots(1, 1, 1)], "CR")
    plan = planned(scan)
    assert sizes(plan) == [{}]
    assert step_of(plan.images[0], "x") == (1.0, None)


def test_a_dose_with_more_offsets_than_planes_opens() -> None:
    scan = clips(
        1,
        4,
        "RTDOSE",
        FrameIncrementPointer="3004000C",
        GridFrameOffsetVector=[0, 2.5, 5, 7.5, 10],
        DoseGridScaling=1e-4,
        DoseUnits="GY",
        ImagePositionPatient=list(AXIAL.origin),
        ImageOrientationPatient=list(AXIAL.cosines),
        PixelSpacing=[0.8, 0.6],
    )
    plan = planned(scan)
    assert sizes(plan) == [{"z": 4}]
    assert "GridFrameOffsetVector" in notices_of(plan)


@pytest.mark.parametrize("pattern", ["10", "1000", "1100"])
def test_signed_and_unsigned_slices_are_one_volume_of_modality_values(pattern: str) -> None:
    def tell(shot: Shot) -> Told:
        signed = int(pattern[int(shot.place or 0) % len(pattern)])
        return {"PixelRepresentation": signed, "RescaleIntercept": 0 if signed else -1024, "RescaleSlope": 1}

    scan = classic(dealt(shots(1, 1, 8, tell=tell)), "CT")
    plan = planned(scan, "modality")
    assert one_grid(scan, plan, z=range(8))
    assert on_grid(plan.images[0], AXIAL)
    stored = planned(scan)
    assert "PixelRepresentation" in notices_of(stored)


SERIES_UIDS = [
    "05fa52f0e599f17b8186ff18fcdf2b5570a52206a75c4d03afebf5c475dc8758",
    "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}",
    "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
    "SERIES_3",
    "1.2.03.4",
]


@pytest.mark.parametrize("uid", SERIES_UIDS)
def test_a_series_uid_is_what_the_server_lists(uid: str) -> None:
    whole = classic(shots(1, 1, 5))
    named = [{**instance, "0020000E": {"vr": "UI", "Value": [uid]}} for instance in whole.instances]
    scan = replace(whole, instances=named, series_uid=uid)
    assert one_grid(scan, planned(scan), z=range(5))


@pytest.mark.parametrize("uid", [SERIES_UIDS[0], SERIES_UIDS[2]])
def test_a_sop_instance_uid_may_be_a_hash(uid: str) -> None:
    frames = [replace(shot, uid=f"{uid[:-2]}{n:02}") for n, shot in enumerate(shots(1, 1, 5))]
    scan = classic(frames)
    assert one_grid(scan, planned(scan), z=range(5))


# --- with pixels


PIXELS: Mapping[str, Callable[[], Scan]] = {
    "GE b with an offset": lambda: classic(contrasts("GE b with an offset", times=2, slices=3)),
    "GE directions": lambda: classic(contrasts("GE directions")),
    "Philips label": lambda: classic(dealt(shots(1, 2, 4, tell=lambda shot: philips_label(shot.contrast)))),
    "Siemens directions": lambda: classic(contrasts("Siemens directions", slices=2)),
    "UIH b": lambda: classic(contrasts("UIH b")),
    "absent": lambda: classic([shot for shot in contrasts("b", slices=9) if shot.truth != (0, 1, 4)]),
    "aborted": lambda: classic(
        [shot for shot in contrasts("echoes", slices=9) if shot.contrast + (shot.place or 0) < 9]
    ),
    "enhanced": lambda: enhanced([enhanced_frames("b", times=2)]),
    "enhanced files": lambda: enhanced(FILES["halves"](enhanced_frames("echoes"))),
    "list": lambda: classic(dealt(shots(3, 1, 4))),
    "numbers": lambda: classic(shots(3, 1, 4, loops="zct")),
    "together": lambda: together(classic(shots(2, 1, 4)), classic(renamed(shots(1, 1, 3, grid=SAGITTAL)))),
}


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_are_where_the_plan_says(opened: Opener, name: str) -> None:
    scan = PIXELS[name]()
    check(scan, scan.plan())
    assert shows_pixels(opened, scan)


def test_private_b_values_come_through_a_server(opened: Opener) -> None:
    image = opened(PIXELS["GE b with an offset"]().served())
    assert coordinate(image, "b_value")["values"] == list(B_VALUES)
    assert affine_of(image)[2, 2] == pytest.approx(2.5)


@pytest.mark.parametrize("name", PIXELS)
def test_the_order_of_instances_means_nothing(name: str) -> None:
    scan = PIXELS[name]()
    wanted = canonical(scan.plan())
    assert all(canonical(scan.shuffled(seed).plan()) == wanted for seed in range(4))


def test_lists_are_in_the_order_of_their_numbers() -> None:
    scan = PIXELS["list"]()
    plan = planned(scan)
    assert is_list(scan, plan)

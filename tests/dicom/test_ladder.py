"""The rungs by which every series of pixels opens, each with what once broke it: no pixel where it does not belong."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from opened import group_at
from radiology_model import AXIAL, OBLIQUE, SAGITTAL, Grid
from radiology_opened import Opener
from scan_checks import (
    canonical,
    check,
    counts,
    every_image,
    frames_of,
    has_grid,
    implausible,
    in_order,
    is_list,
    mixed_contrasts,
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
from scans import (
    ROOT,
    Scan,
    Shot,
    cells,
    classic,
    clips,
    enhanced,
    key_of,
    renamed,
    segmentation,
    shots,
    together,
    uid_of,
)
from waiting import MEASUREMENTS

from dicomzarr.dicom.volume import arrangement
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scans import Told

    from dicomzarr.plan import SeriesPlan


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def notices_of(plan: SeriesPlan) -> str:
    """All notices in one text."""
    return " ".join(plan.notices)


def clock(seconds: float) -> str:
    """AcquisitionTime so long after noon."""
    return f"12{int(seconds // 60):02}{seconds % 60:09.6f}"


def without(frames: Sequence[Shot], *lost: tuple[int, int, float]) -> list[Shot]:
    """All frames but those of these (time, contrast, place)."""
    kept = [shot for shot in frames if shot.truth not in set(lost)]
    assert len(kept) == len(frames) - len(lost)
    return kept


def shuffled_numbers(frames: Sequence[Shot]) -> list[Shot]:
    """The same frames with their numbers dealt out anew."""
    numbers = random.Random(5).sample([shot.number for shot in frames], len(frames))
    return [replace(shot, number=number) for shot, number in zip(frames, numbers, strict=True)]


def places_held(scan: Scan, plan: SeriesPlan) -> list[list[float]]:
    """The places of each image, sorted; images in order."""
    return sorted(sorted({shot.place for shot in held.values()}) for held in every_image(scan, plan))


# --- 1: the order of acquisition, told by numbers alone

ORDERS = ["".join(order) for order in itertools.permutations("tcz")]
TIMES, INNER, SLICES = 4, 2, 5


def _at_random(frames: Sequence[Shot], count: int) -> list[Shot]:
    return random.Random(count).sample(list(frames), len(frames) - count)


LOSSES: Mapping[str, Callable[[Sequence[Shot]], list[Shot]]] = {
    "clipped at both ends": lambda frames: list(frames[2 : 2 - SLICES]),
    "one for each place": lambda frames: without(frames, *((z % TIMES, z % INNER, z) for z in range(SLICES))),
    "one at each end": lambda frames: list(frames[1:-1]),
    "3 at random": lambda frames: _at_random(frames, 3),
    "a fifth at random": lambda frames: _at_random(frames, len(frames) // 5),
}


def numbered(loops: str, *, descending: bool, told: bool = False) -> list[Shot]:
    """Times and something else, which the header may tell, in an order of acquisition."""

    def tell(shot: Shot) -> Told:
        return {"EchoTime": 10 * (shot.contrast + 1)} if told else {}

    return shots(TIMES, INNER, SLICES, loops=loops, descending=descending, tell=tell)


def acquired(frames: Sequence[Shot]) -> list[tuple[int, int]]:
    """(time, contrast) in the order of the numbers."""
    return list(dict.fromkeys((shot.time, shot.contrast) for shot in sorted(frames, key=lambda shot: shot.number or 0)))


def along_t(scan: Scan, plan: SeriesPlan) -> list[tuple[int, int]]:
    """(time, contrast) of the first frame of each index along t."""
    held = sorted(frames_of(scan, plan, 0).items())
    return list({cell[0]: (shot.time, shot.contrast) for cell, shot in reversed(held)}.values())[::-1]


def is_order_of_acquisition(scan: Scan, plan: SeriesPlan, frames: Sequence[Shot], slices: int) -> bool:
    """Whether there is one image whose times are those of the numbers, and it says so."""
    order = acquired(frames)
    image = plan.images[0]
    return (
        sizes(plan) == [{"t": len(order), "z": slices}]
        and along_t(scan, plan) == order
        and counts(image, "t")
        and "order of acquisition" in image.name
        and "InstanceNumber" in notices_of(plan)
    )


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("loops", ORDERS)
def test_numbers_tell_volumes_apart_whatever_the_order_of_loops(loops: str, *, descending: bool) -> None:
    frames = numbered(loops, descending=descending)
    scan = classic(frames)
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    assert is_order_of_acquisition(scan, plan, frames, SLICES)
    assert on_grid(plan.images[0], AXIAL)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("loops", ORDERS)
def test_numbers_tell_times_apart_beside_a_contrast_that_is_told(loops: str, *, descending: bool) -> None:
    scan = classic(numbered(loops, descending=descending, told=True))
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    assert sizes(plan) in (
        [{"c": INNER, "t": TIMES, "z": SLICES}],
        [{"t": TIMES, "z": SLICES}] * INNER,
        [{"t": TIMES * INNER, "z": SLICES}],
    )
    assert all(on_grid(image, AXIAL) and counts(image, "t") for image in plan.images)


@pytest.mark.parametrize("told", [False, True], ids=["untold", "told"])
@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("loops", ORDERS)
def test_lost_files_never_bring_two_volumes_together(loops: str, loss: str, *, descending: bool, told: bool) -> None:
    frames = LOSSES[loss](numbered(loops, descending=descending, told=told))
    scan = classic(frames)
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    if _is_orderly(frames):
        assert any({"t", "z"} <= set(size(image)) for image in plan.images)


def _is_orderly(frames: Sequence[Shot]) -> bool:
    """Whether three quarters of the frames are in volumes that hold three quarters of the places."""
    held = defaultdict(list)
    for shot in frames:
        held[shot.time, shot.contrast].append(shot.place)
    full = [len(places) for places in held.values() if len(places) >= 0.75 * SLICES]
    return sum(full) >= 0.75 * len(frames)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("loops", ORDERS)
def test_a_time_that_was_lost_as_a_whole_leaves_the_others_as_they_are(loops: str, *, descending: bool) -> None:
    whole = numbered(loops, descending=descending)
    frames = [shot for shot in whole if (shot.time, shot.contrast) != (2, 1)]
    scan = classic(frames)
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    assert is_order_of_acquisition(scan, plan, frames, SLICES)


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("loops", ORDERS)
def test_a_slice_that_was_lost_at_all_times_is_a_hole_or_an_end(loops: str, place: int) -> None:
    frames = [shot for shot in numbered(loops, descending=False) if shot.place != place]
    scan = classic(frames)
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    assert is_order_of_acquisition(scan, plan, frames, SLICES if place == 2 else SLICES - 1)
    assert on_grid(plan.images[0], AXIAL, first=1 if place == 0 else 0)


@pytest.mark.parametrize("loops", ORDERS)
def test_numbers_without_order_give_a_list(loops: str) -> None:
    scan = classic(shuffled_numbers(numbered(loops, descending=False)))
    assert one_list(scan, planned(scan))


@pytest.mark.parametrize("loops", ORDERS)
def test_numbers_without_order_bring_no_times_of_an_echo_together(loops: str) -> None:
    scan = classic(shuffled_numbers(numbered(loops, descending=False, told=True)))
    plan = planned(scan)
    assert all(is_list(scan, plan, image) for image in range(len(plan.images)))


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
@pytest.mark.parametrize("loops", ["tcz", "zct"])
def test_a_partial_transfer_is_not_ranked(loops: str, lost: int) -> None:
    whole = shots(6, 1, 5, loops=loops)
    scan = classic(whole[lost : lost - 5])  # each place has five, and the numbers are unbroken
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    assert not has_grid(scan, plan, t=range(5), z=range(5))


def test_the_order_of_frames_tells_times_apart_in_an_enhanced_instance() -> None:
    scan = enhanced([shots(4, 1, 5)], "enhanced CT")
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5))
    assert counts(plan.images[0], "t")


@pytest.mark.parametrize("loops", ["tcz", "zct"])
def test_enhanced_instances_that_are_whole_volumes_each_are_times(loops: str) -> None:
    every = shots(3, 1, 5, loops=loops)
    scan = enhanced([[replace(shot, number=n + 1) for shot in every if shot.time == n] for n in range(3)])
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(3), z=range(5))
    assert on_grid(plan.images[0], AXIAL)
    assert counts(plan.images[0], "t")


# --- 2: numbers that prove nothing


def test_two_slices_suffice_where_numbers_begin_at_one() -> None:
    scan = classic(shots(4, 1, 2))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(2))
    assert "order of acquisition" in plan.images[0].name


def test_two_slices_suffice_where_numbers_begin_at_zero() -> None:
    scan = classic(shots(4, 1, 2, first=0))
    assert one_grid(scan, planned(scan), t=range(4), z=range(2))


def test_two_slices_do_not_suffice_where_the_first_numbers_are_missing() -> None:
    scan = classic(shots(4, 1, 2, first=2))
    assert one_list(scan, planned(scan))


def test_numbers_that_are_all_one_give_a_list() -> None:
    scan = classic([replace(shot, number=1) for shot in shots(3, 1, 4)])
    assert one_list(scan, planned(scan))


def test_numbers_that_are_absent_give_a_list() -> None:
    scan = classic([replace(shot, number=None) for shot in shots(3, 1, 4)])
    plan = planned(scan)
    assert sizes(plan) == [{"t": 12}]
    assert is_list(scan, plan)


def test_numbers_that_start_anew_at_each_time_give_a_list() -> None:
    scan = classic([replace(shot, number=int(shot.place or 0) + 1) for shot in shots(3, 1, 4)])
    assert one_list(scan, planned(scan))


@pytest.mark.parametrize("slices", [3, 6])
def test_echoes_that_are_numbered_alike_and_lost_their_times_are_never_ranked(slices: int) -> None:
    scan = classic([replace(shot, number=int(shot.place or 0) + 1) for shot in shots(1, 2, slices)])
    plan = planned(scan)
    assert not [size(image) for image in plan.images if len(size(image)) > 1]
    assert not mixed_volumes(scan, plan)


# --- 3: clocks and positions in time


@pytest.mark.parametrize("keyword", ["AcquisitionTime", "ContentTime"])
def test_a_clock_that_falls_while_numbers_rise_refuses_them(keyword: str) -> None:
    seconds = [10, 10, 5, 5]
    told = [shot.saying(**{keyword: clock(seconds[shot.time])}) for shot in shots(4, 1, 5)]
    scan = classic(told, AcquisitionDate="20200101", ContentDate="20200101")
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    assert not has_grid(scan, plan, t=range(4), z=range(5))
    assert all("order of acquisition" not in image.name for image in plan.images)


@pytest.mark.parametrize("keyword", ["AcquisitionTime", "ContentTime", "AcquisitionDateTime"])
def test_a_position_in_time_wins_over_a_clock_that_contradicts_it(keyword: str) -> None:
    def tell(shot: Shot) -> Told:
        time_ = clock(60 - 10 * shot.time)
        value = f"20200101{time_}" if keyword.endswith("DateTime") else time_
        return {"TemporalPositionIdentifier": shot.time + 1, keyword: value}

    scan = classic(shots(4, 1, 5, tell=tell))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5))
    assert counts(plan.images[0], "t")
    told: Any = dicomzarr_attributes(plan.images[0])["coordinates"]
    assert not [name for name, one in told.items() if "t" in one["axis"] and one.get("unit") in ("s", "ms")]


def test_a_position_in_time_wins_over_a_clock_in_enhanced_instances() -> None:
    def tell(shot: Shot) -> Told:
        moment = f"20200101{clock(60 - 10 * shot.time)}"
        return {"TemporalPositionIndex": shot.time + 1, "FrameAcquisitionDateTime": moment}

    scan = enhanced([shots(4, 1, 5, tell=tell)])
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5))
    assert counts(plan.images[0], "t")


def test_a_clock_that_agrees_with_a_position_in_time_gives_the_step() -> None:
    def tell(shot: Shot) -> Told:
        return {"TemporalPositionIdentifier": shot.time + 1, "AcquisitionTime": clock(2.5 * shot.time)}

    scan = classic(shots(4, 1, 5, tell=tell))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5))
    assert step_of(plan.images[0], "t") == (2.5, "second")


@pytest.mark.parametrize(("positions", "accepted"), [(4, True), (2, False), (3, False)])
def test_numbers_give_no_more_times_than_there_are_positions_in_time(positions: int, *, accepted: bool) -> None:
    scan = classic(shots(4, 1, 5), NumberOfTemporalPositions=positions)
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(4), z=range(5)) if accepted else one_list(scan, plan)


@pytest.mark.parametrize("numbers", [(3, 1, 4, 5, 2, 6), (4, 1, 3, 5, 2, 6)])
def test_numbers_never_bring_positions_in_time_together(numbers: Sequence[int]) -> None:
    frames = shots(2, 2, 2, tell=lambda shot: {"TemporalPositionIdentifier": shot.time + 1})
    kept = [shot for shot in frames if shot.contrast or shot.place]
    scan = classic([replace(shot, number=number) for shot, number in zip(kept, numbers, strict=True)])
    assert not mixed_times(scan, planned(scan))


def _slice_by_slice(shot: Shot) -> Told:
    """ContentTime of slices that were reconstructed one after the other."""
    second = int(shot.place or 0) * 12 + shot.time
    return {"ContentTime": f"11{second // 60:02}{second % 60:02}"}


@pytest.mark.parametrize("slices", [2, 3, 5, 12])
@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("loops", ["zct", "tcz"])
@pytest.mark.parametrize(
    ("keyword", "step"),
    [("TemporalPositionIdentifier", 1), ("TriggerTime", 40.0), ("FrameReferenceTime", 2000.0)],
)
def test_a_clock_of_each_slice_brings_no_times_together_that_all_slices_share(
    keyword: str, step: float, loops: str, lost: int, slices: int
) -> None:
    for seed in range(6):
        chance = random.Random(f"{keyword} {loops} {lost} {slices} {seed}")
        gone = {(time, place) for place in range(slices) for time in chance.sample(range(12), lost)}
        whole = shots(
            12, 1, slices, loops=loops, tell=lambda shot: {keyword: step * (shot.time + 1), **_slice_by_slice(shot)}
        )
        scan = classic([shot for shot in whole if (shot.time, shot.place) not in gone], "MR")
        plan = planned(scan)
        assert not mixed_times(scan, plan), (seed, gone)


@pytest.mark.parametrize("slices", [3, 4, 5, 8])
def test_holes_in_instance_numbers_show_that_slices_lack_times(slices: int) -> None:
    whole = shots(
        8, 1, slices, loops="zct", tell=lambda shot: {"AcquisitionTime": _slice_by_slice(shot)["ContentTime"]}
    )
    scan = classic([shot for shot in whole if shot.time != 2 * int(shot.place or 0) % 7 + 1], "MR")
    assert not mixed_times(scan, planned(scan))
    renumbered = classic(
        [replace(shot, number=number) for number, shot in enumerate(whole, 1)], "MR"
    )  # nothing was lost: as ever
    assert one_grid(renumbered, planned(renumbered), t=range(8), z=range(slices))


@pytest.mark.parametrize("keyword", ["TriggerTime", "FrameReferenceTime"])
def test_the_order_of_acquisition_brings_no_times_together_that_slices_share(keyword: str) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        whole = shots(4, 1, 2, loops="zct", tell=lambda shot: {keyword: 40.0 * shot.time})
        scan = classic(chance.sample(whole, 5), "MR")
        assert not mixed_times(scan, planned(scan)), seed


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime"])
def test_what_each_slice_lost_of_its_own_is_never_ranked(keyword: str) -> None:
    def tell(shot: Shot) -> Told:
        return {keyword: clock(5 * shot.time) if keyword == "AcquisitionTime" else 1 + shot.time}

    frames = [replace(shot, number=None) for shot in shots(6, 1, 4, tell=tell)]
    scan = classic(without(frames, *((place % 2, 0, place) for place in range(4))))
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    assert has_grid(scan, plan, t=range(2, 6), z=range(4))


@pytest.mark.parametrize("keyword", ["FrameReferenceTime", "TriggerTime", "AcquisitionTime"])
@pytest.mark.parametrize("numbered", [True, False])
def test_slices_that_lost_the_first_or_the_last_time_are_never_ranked(keyword: str, *, numbered: bool) -> None:
    def tell(shot: Shot) -> Told:
        seconds = 2.5 * shot.time + 0.1 * (shot.place or 0)
        return {keyword: clock(seconds) if keyword == "AcquisitionTime" else 1000 * seconds}

    frames = shots(4, 1, 5, tell=tell)[2:-3]
    scan = classic(frames if numbered else [replace(shot, number=None) for shot in frames])
    assert not mixed_times(scan, planned(scan))


def test_a_time_that_two_slices_share_by_chance_hinders_no_numbers() -> None:
    scan = classic(shots(4, 1, 6, tell=lambda s: {"FrameReferenceTime": 1500 * s.time + 300 * (s.place or 0)}))
    assert one_grid(scan, planned(scan), t=range(4), z=range(6))


@pytest.mark.parametrize("turn", [0.0, 2.0])
def test_slices_taken_to_and_fro_are_ranked(turn: float) -> None:
    def tell(shot: Shot) -> Told:
        place = shot.place or 0
        return {"AcquisitionTime": clock(shot.time * (0.6 + turn) + 0.1 * (5 - place if shot.time % 2 else place))}

    frames = [replace(shot, number=None) for shot in shots(4, 1, 6, tell=tell)]
    scan = classic(frames)
    assert one_grid(scan, planned(scan), t=range(4), z=range(6))


def test_instances_never_bring_positions_in_time_together() -> None:
    """Each holds two slices; of the first one has position 1 and the other 2, and both have 3 and 4."""
    kept = [(0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]
    frames = shots(4, 1, 2, tell=lambda shot: {"TemporalPositionIndex": shot.time + 1})
    pairs = [[shot for shot in frames if (shot.time, shot.place) in kept[at : at + 2]] for at in (0, 2, 4)]
    scan = enhanced([[replace(shot, number=n) for shot in pair] for n, pair in enumerate(pairs, 1)], "enhanced MR")
    assert not mixed_times(scan, planned(scan))


def test_positions_in_time_of_beds_are_no_hindrance_to_numbers() -> None:
    def tell(shot: Shot) -> Told:  # each bed and pass has its own
        return {"TemporalPositionIdentifier": 2 * shot.time + int((shot.place or 0) > 3) + 1}

    scan = classic(shots(3, 1, 8, tell=tell), "PT")
    assert one_grid(scan, planned(scan), t=range(3), z=range(8))


def test_a_contrast_that_varies_within_what_numbers_give_refuses_them() -> None:
    def tell(shot: Shot) -> Told:  # diagonal: neither told apart by echoes alone, nor constant in a volume
        return {"EchoTime": 10 if (shot.time + int(shot.place or 0)) % 4 < 2 else 20}

    scan = classic(shots(4, 1, 4, tell=tell))
    plan = planned(scan)
    assert not has_grid(scan, plan, t=range(4), z=range(4))
    assert not mixed_times(scan, plan) or all("order of acquisition" not in image.name for image in plan.images)


# --- 4: parts that fill one lattice, and contrasts that must not

GROUPS = 13
PARTS: Mapping[str, Callable[[int], int]] = {
    "groups": lambda z: z % GROUPS,
    "odd and even": lambda z: z % 2,
    "beds": lambda z: z // 5,
}
PART_SLICES = {"groups": 39, "odd and even": 24, "beds": 40}

PASSES: Mapping[str, Callable[[int], Told]] = {
    "AcquisitionTime": lambda part: {"AcquisitionTime": clock(0.2 * part)},
    "AcquisitionNumber": lambda part: {"AcquisitionNumber": part + 1},
    "ContentTime": lambda part: {"ContentTime": clock(0.2 * part)},
    "both": lambda part: {"AcquisitionTime": clock(30 * part), "AcquisitionNumber": part + 1},
    "TemporalPositionIdentifier": lambda part: {"TemporalPositionIdentifier": part + 1},
}
CONTRASTS: Mapping[str, Callable[[int], Told]] = {
    "b": lambda part: {"DiffusionBValue": 100.0 * part},
    "echo": lambda part: {"EchoTime": 5.0 + 10 * part},
    "agent": lambda part: {} if part == 0 else {"ContrastBolusAgent": f"AGENT {part}"},
    "kernel": lambda part: {"ConvolutionKernel": f"B{part}0F"},
    "sequence": lambda part: {"SequenceName": f"*ep_b{part}"},
    "thickness": lambda part: {"SliceThickness": 1.0 + part},
    "component": lambda part: {"ImageType": ["ORIGINAL", "PRIMARY", "MPRI"[part % 4], str(part)]},
}


def parts(name: str, tell: Callable[[int], Told], *, contrast: bool) -> list[Shot]:
    """Slices of one lattice that were taken in parts."""
    made = []
    for z in range(PART_SLICES[name]):
        part = PARTS[name](z)
        made.append(Shot(z, 0 if contrast else part, part if contrast else 0, z + 1, tell(part)))
    return made


@pytest.mark.parametrize("told", PASSES)
@pytest.mark.parametrize("name", PARTS)
def test_passes_that_fill_one_lattice_are_one_volume(name: str, told: str) -> None:
    frames = parts(name, PASSES[told], contrast=False)
    scan = classic(frames, "PT" if name == "beds" else "MR")
    plan = planned(scan)
    assert sizes(plan) == [{"z": len(frames)}]
    assert [shot.place for _, shot in sorted(frames_of(scan, plan, 0).items())] == list(range(len(frames)))
    assert on_grid(plan.images[0], AXIAL)


def test_times_of_slice_groups_are_no_axis_beside_contrasts() -> None:
    frames = [
        Shot(z, 0, c, 39 * c + z + 1, {"DiffusionBValue": 1000.0 * c, "AcquisitionTime": clock(3 * c + 0.2 * (z % 13))})
        for c in range(2)
        for z in range(39)
    ]
    scan = classic(frames)
    assert one_grid(scan, planned(scan), c=range(2), z=range(39))


def test_scatter_in_the_plane_is_no_stack_beside_another() -> None:
    """Stacks beside each other have a gap between them; else frames of two contrasts came to be slices of one."""
    frames = [
        replace(shot, offset=(0.1 * ((shot.place + shot.contrast) % 3), 0.0, 0.0))
        for shot in shots(1, 3, 6, tell=lambda shot: {"EchoTime": 5.0 + shot.contrast})
    ]
    scan = classic(frames)
    plan = planned(scan, jitter=0.2)
    assert sizes(plan) == [{"c": 3, "z": 6}]
    assert any("up to 0.2 mm apart" in notice for notice in plan.notices)


def test_concatenated_parts_of_one_lattice_are_one_volume() -> None:
    frames = shots(1, 1, 12)
    scan = enhanced([[replace(shot, number=n + 1) for shot in frames[4 * n : 4 * n + 4]] for n in range(3)])
    assert one_grid(scan, planned(scan), z=range(12))


@pytest.mark.parametrize("told", CONTRASTS)
@pytest.mark.parametrize("name", PARTS)
def test_contrasts_of_several_slices_each_are_never_one_volume(name: str, told: str) -> None:
    scan = classic(parts(name, CONTRASTS[told], contrast=True))
    plan = planned(scan)
    assert not mixed_volumes(scan, plan)
    count = {"groups": GROUPS, "odd and even": 2, "beds": 8}[name]
    step = {"groups": GROUPS, "odd and even": 2, "beds": 1}[name]
    assert sizes(plan) == [{"z": PART_SLICES[name] // count}] * count
    firsts = [held[min(held)].place for held in every_image(scan, plan)]
    assert all(on_grid(image, AXIAL, first, step) for image, first in zip(plan.images, firsts, strict=True))


@pytest.mark.parametrize("told", CONTRASTS)
def test_contrasts_that_are_shifted_by_half_a_step_are_two_volumes(told: str) -> None:
    frames = [
        Shot(z + 0.5 * part, 0, part, 1 + z + 5 * part, CONTRASTS[told](part)) for part in range(2) for z in range(5)
    ]
    scan = classic(frames)
    plan = planned(scan)
    assert sizes(plan) == [{"z": 5}] * 2
    assert not mixed_volumes(scan, plan)
    assert {on_grid(image, AXIAL) for image in plan.images} == {True, False}


@pytest.mark.parametrize(
    ("told", "beside"),
    [
        *((told, "TemporalPositionIdentifier") for told in CONTRASTS),
        *(("agent", "RepetitionTime"), ("kernel", "FrameReferenceTime"), ("thickness", "TriggerTime")),
    ],
)
def test_times_that_go_along_with_contrasts_bring_no_slices_of_theirs_together(told: str, beside: str) -> None:
    frames = [
        Shot(z + 0.5 * part, 0, part, 1 + z + 5 * part, {**CONTRASTS[told](part), beside: 100 * (part + 1)})
        for part in range(2)
        for z in range(5)
    ]
    scan = classic(frames)
    plan = planned(scan)
    assert sizes(plan) == [{"z": 5}] * 2
    assert not mixed_volumes(scan, plan)
    if told == "b":
        assert [image.name for image in plan.images] == [
            "MR 1 of 2: b 0, 5 of 10 slices",
            "MR 2 of 2: b 100, 5 of 10 slices",
        ]


@pytest.mark.parametrize("keyword", ["InversionTime", "FlipAngle", "RepetitionTime"])
def test_a_value_for_each_slice_is_a_coordinate(keyword: str) -> None:
    scan = classic([shot.saying(**{keyword: 20.0 + 3 * (shot.place or 0)}) for shot in shots(1, 1, 6)])
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(6))
    told: Any = dicomzarr_attributes(plan.images[0])["coordinates"]
    assert [20.0 + 3 * z for z in range(6)] in [one["values"] for one in told.values() if one["axis"] == "z"]


# --- 5: beds and slabs that overlap


def slabs(count: int, slices: int, apart: float, *, told: bool) -> list[Shot]:
    """Slabs one after the other, each so many slices from the one before."""
    made = []
    for slab, z in itertools.product(range(count), range(slices)):
        says = {"AcquisitionNumber": slab + 1} if told else {}
        made.append(Shot(round(z + slab * apart, 6), slab, 0, 1 + slab * slices + z, says))
    return made


@pytest.mark.parametrize("told", [True, False], ids=["AcquisitionNumber", "numbers alone"])
@pytest.mark.parametrize(
    ("count", "slices", "apart"),
    [(3, 20, 14), (2, 20, 14), (8, 12, 6), (4, 12, 9.4), (4, 12, 12.4), (2, 12, 9.4)],
    ids=["three beds", "two beds", "beds by halves", "slabs overlapping", "slabs beside", "two slabs"],
)
def test_each_bed_or_slab_is_an_image(count: int, slices: int, apart: float, *, told: bool) -> None:
    scan = classic(slabs(count, slices, apart, told=told), "PT")
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    assert sizes(plan) == [{"z": slices}] * count
    firsts = [held[min(held)].place for held in every_image(scan, plan)]
    assert all(on_grid(image, AXIAL, first) for image, first in zip(plan.images, firsts, strict=True))


# --- 6: steps that change

TILTED = Grid(step=(0.0, math.sin(math.radians(18.5)), math.cos(math.radians(18.5))))
"""Slices a millimetre apart along a table that a gantry is tilted against."""


def stepped(*runs: tuple[int, float], start: float = 0.0) -> list[float]:
    """Millimetres of slices: so many at each step."""
    found, at = [], start
    for count, step in runs:
        for _ in range(count):
            found.append(round(at, 6))
            at += step
    return found


def run_of(places: Sequence[float], grid: Grid, **common: Any) -> Scan:
    """One volume with slices at these places."""
    return classic(shots(1, 1, places, grid=grid), "CT", **common)


MILLIMETERS = AXIAL.along_normal(1.0)


@pytest.mark.parametrize("thick", [True, False], ids=["thickness", "equal thickness"])
@pytest.mark.parametrize(
    ("grid", "first", "second"),
    [(TILTED, (14, 4.0), (14, 7.0)), (MILLIMETERS, (10, 2.5), (16, 5.0))],
    ids=["tilted", "commensurate"],
)
def test_a_step_that_changes_makes_two_volumes(
    grid: Grid, first: tuple[int, float], second: tuple[int, float], *, thick: bool
) -> None:
    (count, step), (more, wider) = first, second
    places = stepped(first, second, start=0.0)
    # The gap between the runs is the wider one.
    places = places[:count] + [round(place + wider - step, 6) for place in places[count:]]
    frames = shots(1, 1, places, grid=grid)
    if thick:
        frames = [shot.saying(SliceThickness=step if n < count else wider) for n, shot in enumerate(frames)]
    scan = classic(frames, "CT")
    plan = planned(scan)
    found = [size(image)["z"] for image in plan.images]
    assert len(found) == 2
    assert sum(found) == count + more
    assert min(found) >= count - 1 if not thick else sorted(found) == sorted([count, more])
    for image, held in zip(plan.images, every_image(scan, plan), strict=True):
        start = held[0, 0, 0].place or 0.0
        apart = (held[0, 0, 1].place or 0.0) - start
        assert min(abs(apart - step), abs(apart - wider)) < 1e-6
        assert on_grid(image, grid, start, apart)


def test_a_tilted_gantry_is_a_sheared_lattice() -> None:
    scan = run_of([4.0 * z for z in range(14)], TILTED)
    plan = planned(scan)
    assert sizes(plan) == [{"z": 14}]
    assert on_grid(plan.images[0], TILTED, step=4.0)


@pytest.mark.parametrize("seed", range(4))
def test_frames_of_reference_of_single_slices_make_no_lattice_of_holes(seed: int) -> None:
    rng = random.Random(seed)
    places = sorted(rng.sample(range(249), 30))
    frames = [
        shot.saying(FrameOfReferenceUID=f"{ROOT}.6.{n + 1}")
        for n, shot in enumerate(shots(1, 1, [float(place) for place in places], grid=MILLIMETERS))
    ]
    scan = classic(frames, "CT")
    plan = planned(scan)
    assert all(size(image).get("z", 1) <= 40 for image in plan.images)


def test_frames_of_reference_of_single_slices_are_ignored() -> None:
    frames = [shot.saying(FrameOfReferenceUID=f"{ROOT}.6.{shot.number}") for shot in shots(1, 1, 12)]
    scan = classic(frames, "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(12))
    assert on_grid(plan.images[0], AXIAL)
    assert "FrameOfReferenceUID" in notices_of(plan)


def test_frames_of_reference_that_each_hold_a_stack_stay_apart() -> None:
    frames = [
        Shot(z + 6 * part, part, 0, 1 + z + 6 * part, {"FrameOfReferenceUID": f"{ROOT}.6.{part + 1}"})
        for part in range(2)
        for z in range(6)
    ]
    scan = classic(frames, "CT")
    plan = planned(scan)
    assert sizes(plan) == [{"z": 6}] * 2
    assert not mixed_times(scan, plan)


@pytest.mark.parametrize("grid", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("apart", [40, 40.37])
def test_stacks_above_each_other_are_two_volumes(apart: float, grid: Grid) -> None:
    scan = classic(shots(1, 1, [*range(10), *(apart + z for z in range(10))], grid=grid))
    plan = planned(scan)
    assert places_held(scan, plan) == [list(range(10)), [apart + z for z in range(10)]]
    assert {on_grid(image, grid) for image in plan.images} == {True, False}


# --- 7: holes


@pytest.mark.parametrize(("count", "lost"), [(56, 20), (176, 3), (5, 2), (56, 1), (56, 54)])
@pytest.mark.parametrize("renumbered", [True, False])
def test_a_slice_that_is_not_there_is_a_hole(count: int, lost: int, *, renumbered: bool) -> None:
    frames = [shot for shot in shots(1, 1, count) if shot.place != lost]
    if renumbered:
        frames = [replace(shot, number=n) for n, shot in enumerate(frames, 1)]
    scan = classic(frames, "CT")
    plan = planned(scan)
    assert one_grid(scan, plan, z=range(count), absent=[(0, 0, lost)])
    assert on_grid(plan.images[0], AXIAL)
    assert ("left out" if renumbered else "lost") in notices_of(plan)
    assert ("lost" if renumbered else "left out") not in notices_of(plan)


@pytest.mark.parametrize(
    ("gaps", "numbers", "word"),
    [
        ([5, 5, 10], [1, 2, 3, 5], "lost"),
        ([5, 5, 10], [1, 2, 3, 4], "left out"),
        ([3, 6, 3], [1, 2, 4, 5], "lost"),
        ([3, 6, 3], [1, 2, 3, 4], "left out"),
        ([3, 6, 3], [5, 4, 2, 1], "lost"),
        ([10.5, 21], [1, 2, 4], "lost"),
    ],
)
def test_gaps_of_two_steps_are_holes(gaps: Sequence[float], numbers: Sequence[int], word: str) -> None:
    places = [float(place) for place in np.cumsum([0, *gaps])]
    frames = [
        replace(shot, number=number)
        for shot, number in zip(shots(1, 1, places, grid=MILLIMETERS), numbers, strict=True)
    ]
    scan = classic(frames, "CT")
    plan = planned(scan)
    step = min(gaps)
    lattice = [step * z for z in range(round(places[-1] / step) + 1)]
    absent = [(0, 0, place) for place in lattice if place not in places]
    assert one_grid(scan, plan, z=lattice, absent=absent)
    assert on_grid(plan.images[0], MILLIMETERS, step=step)
    assert word in notices_of(plan)


@pytest.mark.parametrize(
    ("gaps", "why"),
    [
        ([10.5, 21], "no commonest gap"),
        ([2, 2, 5, 2, 2], "no whole number of steps"),
        ([3, 9, 3], "wider than the run beside it, and half of the lattice"),
        ([1, 4, 2.5, 7], "nothing even"),
    ],
)
def test_gaps_that_prove_no_hole_are_no_lattice(gaps: Sequence[float], why: str) -> None:
    places = [float(place) for place in np.cumsum([0, *gaps])]
    scan = run_of(places, MILLIMETERS)
    plan = planned(scan)
    assert sum(size(image).get("z", 1) for image in plan.images) == len(places), why
    runs = [len(held) for held in every_image(scan, plan)]
    if len(runs) == 1:
        assert plan.images[0].affine is None
        assert dicomzarr_attributes(plan.images[0]).get("plane_affine") is not None
    else:
        assert min(runs) > 1


def test_uneven_slices_count_and_say_where_they_lie() -> None:
    scan = run_of([0, 10.5, 31.5], MILLIMETERS)
    plan = planned(scan)
    assert one_grid(scan, plan, z=[0, 10.5, 31.5])
    image = plan.images[0]
    assert image.affine is None
    assert counts(image, "z")
    plane = np.array(dicomzarr_attributes(image)["plane_affine"])
    wanted = MILLIMETERS.affine.copy()
    assert np.allclose(plane, wanted, rtol=0, atol=1e-4)


def moved(frames: Sequence[Shot], most: Sequence[float], seed: int) -> list[Shot]:
    """The same frames, each up to so many millimetres beside its place, along x, y and z."""
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-1, 1, (len(frames), 3)) * most
    return [replace(shot, offset=tuple(offset)) for shot, offset in zip(frames, offsets.tolist(), strict=True)]


@pytest.mark.parametrize("most", [0.02, 0.03, 0.05])
@pytest.mark.parametrize("along", [(0, 0, 1), (1, 1, 0), (1, 1, 1)], ids=["z", "x and y", "x, y and z"])
def test_positions_that_jitter_leave_one_stack_one_image(along: Sequence[float], most: float) -> None:
    for seed in range(12):
        scan = classic(moved(shots(1, 1, 9), [most * part for part in along], seed))
        plan = planned(scan, jitter=4 * most)
        assert one_grid(scan, plan, z=range(9))


def test_a_hole_in_a_stack_that_jitters_makes_images_of_even_runs_or_one() -> None:
    frames = [shot for shot in shots(1, 1, 12) if shot.place != 5]
    for seed in range(12):
        scan = classic(moved([replace(shot, number=None) for shot in frames], (0, 0, 0.05), seed))
        plan = planned(scan, jitter=0.25)
        assert sum(size(image).get("z", 1) for image in plan.images if image.affine is None) in (0, len(frames))


def test_thin_slices_in_tenths_of_a_millimetre_are_one_image() -> None:
    grid = replace(AXIAL, step=(0, 0, 0.7))
    frames = [
        replace(shot, offset=tuple(np.round(shot.position, 1) - shot.position)) for shot in shots(1, 1, 8, grid=grid)
    ]
    scan = classic(frames)
    plan = planned(scan, jitter=0.1)
    assert one_grid(scan, plan, z=range(8))


@pytest.mark.parametrize("aside", [0.0, 0.4])
def test_slices_on_no_line_have_a_position_each_and_no_plane_affine_is_promised(aside: float) -> None:
    places = [0, 10.5, 31.5]
    frames = [
        replace(shot, offset=(aside * (shot.place == places[1]), 0.0, 0.0))
        for shot in shots(1, 1, places, grid=MILLIMETERS)
    ]
    scan = classic(frames)
    plan = planned(scan)
    (image,) = plan.images
    coordinates: Any = dicomzarr_attributes(image)["coordinates"]
    assert ("plane_affine" in dicomzarr_attributes(image)) == ("plane_affine" in notices_of(plan)) == (not aside)
    assert ("position" in coordinates) == bool(aside)
    if aside:
        assert coordinates["position"]["axis"] == "z"
        assert np.allclose(coordinates["position"]["values"], [shot.position for shot in frames])


@pytest.mark.parametrize("values", ["stored", "modality"])
@pytest.mark.parametrize(("signed", "bits"), [(1, 16), (1, 12), (0, 16), (0, 12)])
def test_an_absent_slice_of_a_ct_is_no_water(bits: int, signed: int, values: str) -> None:
    told = {"PixelRepresentation": signed, "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": 1}
    frames = [shot for shot in shots(1, 1, 9) if shot.place != 4]
    scan = classic(frames, "CT", **told, RescaleIntercept=0 if signed else -1024)
    level = scan.plan(values).images[0].levels[0]
    for value in (level.fill_value, *level.absent):
        if values == "stored":
            assert implausible(value, level.dtype, bits)
        elif level.dtype.kind != "u":
            assert math.isnan(value) or value <= -1024


def test_an_absent_slice_of_decimals_is_no_number() -> None:
    frames = [shot.saying(RescaleSlope=0.5 + (shot.place or 0)) for shot in shots(1, 1, 9) if shot.place != 4]
    scan = classic(frames, "PT", RescaleIntercept=0, Units="BQML")
    level = scan.plan("modality").images[0].levels[0]
    assert level.dtype.kind == "f"
    assert all(math.isnan(value) for value in (level.fill_value, *level.absent))


def test_slices_that_masks_leave_out_are_no_holes() -> None:
    scan = segmentation({1: [0, 1, 9], 2: [4]})
    plan = planned(scan)
    assert plan.images[0].levels[0].shape[1] == 10
    assert plan.images[0].levels[0].fill_value == 0
    assert on_grid(plan.images[0], AXIAL)


def test_planes_of_a_dose_are_never_split() -> None:
    offsets = [0, 2.5, 5, 10, 15, 20]
    scan = clips(
        1,
        6,
        "RTDOSE",
        FrameIncrementPointer="3004000C",
        GridFrameOffsetVector=offsets,
        DoseGridScaling=1e-4,
        DoseUnits="GY",
        DoseType="PHYSICAL",
        DoseSummationType="PLAN",
        ImagePositionPatient=list(AXIAL.origin),
        ImageOrientationPatient=list(AXIAL.cosines),
        PixelSpacing=[0.8, 0.6],
    )
    plan = planned(scan)
    assert sizes(plan) == [{"z": 6}]
    assert plan.images[0].affine is None
    plane = np.array(dicomzarr_attributes(plan.images[0])["plane_affine"])
    assert np.allclose(plane, MILLIMETERS.affine, rtol=0, atol=1e-4)


# --- 8: values that cover more and less

COVERED: Mapping[str, Callable[[Shot], Told]] = {
    "AcquisitionNumber": lambda shot: {"AcquisitionNumber": shot.time + 1},
    "AcquisitionTime": lambda shot: {"AcquisitionTime": clock(40 * shot.time)},
    "TemporalPositionIdentifier": lambda shot: {"TemporalPositionIdentifier": shot.time + 1},
    "ContrastBolusAgent": lambda shot: {"ContrastBolusAgent": ["ARTERIAL", "VENOUS", "LATE"][shot.time]},
    "helical": lambda shot: {
        "AcquisitionNumber": shot.time + 1,
        "AcquisitionTime": clock(40 * shot.time + 0.1 * (shot.place or 0)),
    },
    "ContentTime": lambda shot: {"ContentTime": clock(40 * shot.time)},
}


def phases(tell: Callable[[Shot], Told], *covered: tuple[int, int]) -> list[Shot]:
    """Phases that each cover the slices from one to before another."""
    made: list[Shot] = []
    for phase, (first, end) in enumerate(covered):
        made += [Shot(z, phase, 0, len(made) + 1 + n) for n, z in enumerate(range(first, end))]
    return [replace(shot, told=tell(shot)) for shot in made]


@pytest.mark.parametrize("told", COVERED)
def test_an_arterial_phase_inside_a_venous_one_is_an_image(told: str) -> None:
    scan = classic(phases(COVERED[told], (5, 15), (0, 20)), "CT")
    plan = planned(scan)
    assert sizes(plan) == [{"z": 10}, {"z": 20}]
    assert not mixed_times(scan, plan)
    assert {on_grid(image, AXIAL) for image in plan.images} == {True, False}


@pytest.mark.parametrize("told", COVERED)
def test_three_phases_inside_each_other_are_three_images(told: str) -> None:
    scan = classic(phases(COVERED[told], (0, 20), (3, 16), (6, 12)), "CT")
    plan = planned(scan)
    assert sizes(plan) == [{"z": 6}, {"z": 13}, {"z": 20}]
    assert not mixed_times(scan, plan)


@pytest.mark.parametrize("told", COVERED)
def test_phases_of_the_same_places_are_one_image_beside_another(told: str) -> None:
    scan = classic(phases(COVERED[told], (0, 20), (0, 20), (6, 12)), "CT")
    plan = planned(scan)
    axis = "c" if told == "ContrastBolusAgent" else "t"
    assert sizes(plan) == in_order([{axis: 2, "z": 20}, {"z": 6}])
    assert not mixed_volumes(scan, plan)


def test_echoes_that_both_lack_a_slice_are_one_image() -> None:
    frames = shots(1, 3, 3, tell=lambda shot: {"EchoTime": 10 + 10 * shot.contrast})
    scan = classic(without(frames, (0, 1, 2), (0, 2, 2)))
    plan = planned(scan)
    assert sizes(plan) == in_order([{"z": 3}, {"c": 2, "z": 2}])
    assert has_grid(scan, plan, z=range(3))
    assert has_grid(scan, plan, c=[1, 2], z=range(2))


DIFFUSION = [{"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}]


@pytest.mark.parametrize("b_of_map", [None, 0.0, 1000.0])
@pytest.mark.parametrize("covered", [range(1, 5), range(6)], ids=["fewer", "all"])
def test_a_derived_map_is_an_image_of_its_own(covered: range, b_of_map: float | None) -> None:
    frames = shots(1, 2, 6, tell=lambda shot: {**DIFFUSION[shot.contrast], "ImageType": ["ORIGINAL", "PRIMARY", "DWI"]})
    told = {"ImageType": ["DERIVED", "PRIMARY", "DWI", "ADC"]}
    if b_of_map is not None:
        told["DiffusionBValue"] = b_of_map  # type: ignore[assignment]
    derived = [Shot(z, 0, 2, 20 + z, told) for z in covered]
    scan = classic([*frames, *derived])
    plan = planned(scan)
    assert sizes(plan) == in_order([{"c": 2, "z": 6}, {"z": len(covered)}])
    assert has_grid(scan, plan, c=range(2), z=range(6))
    assert not mixed_volumes(scan, plan)


TOLD_TIMES: Mapping[str, Callable[[Shot], Told]] = {
    "TemporalPositionIdentifier": lambda shot: {"TemporalPositionIdentifier": shot.time + 1},
    "AcquisitionTime": lambda shot: {"AcquisitionTime": clock(2 * shot.time)},
    "a time for each slice": lambda shot: {"AcquisitionTime": clock(2 * shot.time + 0.1 * (shot.place or 0))},
    "TriggerTime": lambda shot: {"TriggerTime": 40.0 * shot.time},
    "InstanceNumber": lambda _: {},
}


LOST = [
    *(((50, 0, 5), told) for told in TOLD_TIMES),
    *((lost, "InstanceNumber") for lost in [(50, 0, 0), (0, 0, 9), (99, 0, 3)]),
]


@pytest.mark.parametrize(("lost", "told"), LOST)
def test_one_file_lost_among_a_hundred_times_moves_no_later_one_up(lost: tuple[int, int, float], told: str) -> None:
    scan = classic(without(shots(100, 1, 10, tell=TOLD_TIMES[told]), lost))
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    if lost[0] == 99 and len(plan.images) == 2:  # cut off at the end: apart, or with a hole
        assert has_grid(scan, plan, t=range(99), z=range(10))
        return
    assert one_grid(scan, plan, t=range(100), z=range(10), absent=[lost])
    assert dicomzarr_attributes(plan.images[0])["absent"] == [{"t": lost[0], "z": lost[2]}]


@pytest.mark.parametrize("told", TOLD_TIMES)
@pytest.mark.parametrize("kept", [1, 2, 4])
def test_the_last_volume_of_an_aborted_scan_is_apart(kept: int, told: str) -> None:
    frames = shots(6, 1, 6, tell=TOLD_TIMES[told])[: 30 + kept]
    scan = classic(frames)
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    assert has_grid(scan, plan, t=range(5), z=range(6))
    assert has_grid(scan, plan, t=[5], z=range(kept))
    assert len(plan.images) == 2


def _mixed_bag() -> dict[str, Scan]:
    ladder = {
        "numbers": classic(numbered("tcz", descending=True)),
        "list": classic(shuffled_numbers(numbered("tcz", descending=False))),
        "hole": classic([shot for shot in shots(1, 1, 12) if shot.place != 4], "CT"),
        "uneven": run_of([0, 10.5, 31.5], MILLIMETERS),
        "phases": classic(phases(COVERED["AcquisitionNumber"], (0, 20), (3, 16), (6, 12)), "CT"),
        "slabs": classic(slabs(3, 8, 5.4, told=False)),
        "aborted": classic(shots(6, 1, 6, tell=TOLD_TIMES["AcquisitionTime"])[:32]),
        "contrasts": classic(parts("odd and even", CONTRASTS["echo"], contrast=True)),
        "doubled": doubled(root=False, created=False, slices=6),
        "sent again": resent(),
        "clips": clips(5, 3, "US cine", FrameTime=40, FrameIncrementPointer="00181063"),
    }
    return ladder | {"together": together(ladder["hole"], classic(renamed(shots(3, 1, 5, grid=SAGITTAL)), "CT"))}


@pytest.mark.parametrize("name", sorted(["numbers", "list", "hole", "uneven", "phases", "slabs", "aborted", "clips"]))
def test_the_order_of_the_reply_means_nothing(name: str) -> None:
    scan = _mixed_bag()[name]
    wanted = canonical(scan.plan())
    for seed in range(20):
        assert canonical(scan.shuffled(seed).plan()) == wanted


@pytest.mark.parametrize("name", sorted(["contrasts", "doubled", "sent again", "together"]))
def test_the_order_of_the_reply_means_nothing_where_much_is_alike(name: str) -> None:
    scan = _mixed_bag()[name]
    wanted = canonical(scan.plan())
    for seed in range(20):
        assert canonical(scan.shuffled(seed).plan()) == wanted


# --- 9: what was sent twice


def doubled(*, root: bool, created: bool, slices: int, times: int = 1) -> Scan:
    """The same instances twice, under other UIDs."""
    made = []
    for copy, shot in itertools.product(range(2), shots(times, 1, slices, tell=TOLD_TIMES["AcquisitionTime"])):
        told = {"InstanceCreationDate": "20200101", "InstanceCreationTime": clock(600 * copy)} if created else {}
        uid = uid_of("copy", copy, shot.truth, root=f"1.2.840.99{copy}.7" if root else f"{ROOT}.3")
        made.append(replace(shot, contrast=copy, uid=uid, told={**shot.told, **told}))
    return classic(made, "CT")


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("root", "created"), [(True, False), (False, True), (True, True)])
def test_a_series_that_was_sent_twice_is_two_images(times: int, *, root: bool, created: bool) -> None:
    scan = doubled(root=root, created=created, slices=6, times=times)
    plan = planned(scan)
    assert sizes(plan) == [{"z": 6} if times == 1 else {"t": times, "z": 6}] * 2
    assert not mixed_volumes(scan, plan)
    assert "perhaps sent twice" in notices_of(plan) + " ".join(image.name for image in plan.images)


@pytest.mark.parametrize("times", [1, 3])
def test_a_doubled_series_that_nothing_tells_apart_is_a_list(times: int) -> None:
    scan = doubled(root=False, created=False, slices=6, times=times)
    assert one_list(scan, planned(scan))


def written(frames: Iterable[Shot], copy: int, *, root: bool, created: bool) -> list[Shot]:
    """Frames as a device writes them, eight in a second: its clock is in their UIDs, or in InstanceCreationTime."""
    made = []
    for shot in frames:
        second = 600 * copy + (shot.number or 0) // 8
        told = {"InstanceCreationDate": "20200101", "InstanceCreationTime": clock(second)} if created else {}
        uid = uid_of("copy", copy, shot.truth, root=f"1.2.840.99.{second + 95}.7" if root else f"{ROOT}.3")
        made.append(replace(shot, contrast=copy, uid=uid, told={**shot.told, **told}))
    return made


@pytest.mark.parametrize("again", [range(40), range(10, 20)], ids=["all", "some"])
@pytest.mark.parametrize(("root", "created"), [(True, False), (False, True), (True, True)])
def test_what_was_sent_again_is_one_image_though_the_clock_went_on(again: range, *, root: bool, created: bool) -> None:
    first = written(shots(1, 1, 40), 0, root=root, created=created)
    second = written((shot for shot in shots(1, 1, 40) if shot.place in again), 1, root=root, created=created)
    scan = classic([*first, *second], "CT")
    plan = planned(scan)
    assert sizes(plan) == in_order([{"z": 40}, {"z": len(again)}])
    assert not mixed_volumes(scan, plan)
    assert all("perhaps sent twice" in image.name for image in plan.images)


@pytest.mark.parametrize(("root", "created"), [(True, False), (False, True), (True, True)])
def test_the_end_of_one_sending_and_the_beginning_of_the_next_are_no_volume(*, root: bool, created: bool) -> None:
    """The first lacks its beginning."""
    first = written(
        (shot for shot in shots(1, 1, 40) if (shot.number or 0) >= 8), 0, root=root, created=created
    )  # a second
    scan = classic([*first, *written(shots(1, 1, 40), 1, root=root, created=created)], "CT")
    assert not mixed_volumes(scan, planned(scan))


def resent(place: int = 3, slices: int = 6, **told: Any) -> Scan:
    """A volume of which one slice is there twice, with the same number."""
    frames = [replace(shot, uid=uid_of("sent", shot.place), told={**shot.told, **told}) for shot in shots(1, 1, slices)]
    return classic([*frames, replace(frames[place], uid=uid_of("again", place), contrast=1)], "CT")


@pytest.mark.parametrize("place", [0, 3, 5])
def test_one_slice_that_is_there_twice_is_an_image_of_its_own(place: int) -> None:
    scan = resent(place)
    plan = planned(scan)
    assert sizes(plan) == [{}, {"z": 6}]
    volume = next(held for held in cells(plan) if len(held) == 6)
    chosen = key_of(volume[0, 0, place])
    assert chosen[0] == min(key[0] for key, shot in scan.truth.items() if shot.place == place)
    assert "guess" in notices_of(plan)


def test_a_slice_that_was_a_guess_is_a_warning(opened: Opener) -> None:
    series = resent().served()
    with pytest.warns(UserWarning, match="guess"):
        image = opened(series)
    assert len(image.images) == 2


@pytest.mark.parametrize("times", [1, 4])
def test_one_instance_that_is_listed_twice_counts_once(times: int) -> None:
    scan = classic(shots(times, 1, 5, tell=TOLD_TIMES["AcquisitionTime"]))
    plan = planned(replace(scan, instances=[*scan.instances, *scan.instances[::-1]]))
    assert one_grid(scan, plan, t=range(times), z=range(5))


@pytest.mark.parametrize("told", TOLD_TIMES)
def test_blank_frames_are_frames_and_opening_asks_for_none(opened: Opener, told: str) -> None:
    series = classic(shots(4, 1, 3, tell=TOLD_TIMES[told])).served()
    for dataset in series.datasets:
        dataset.PixelData = bytes(len(dataset.PixelData))
    image = opened(series)
    assert image.levels[0].shape[:2] == (4, 3)
    assert opened.count("frames") == 0
    assert opened.count("instances") == opened.count("series") == 0
    assert {request.resource for request in opened.servers[-1].requests} == {"metadata"}


# --- 10: images that nothing joins

VIEWS = [("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO")]


def beams(count: int) -> Scan:
    """A dose for each beam, all of one size and place."""
    return clips(
        count,
        4,
        "RTDOSE",
        FrameIncrementPointer="3004000C",
        GridFrameOffsetVector=[0, 2.5, 5, 7.5],
        DoseGridScaling=1e-4,
        DoseUnits="GY",
        DoseSummationType="BEAM",
        ImagePositionPatient=list(AXIAL.origin),
        ImageOrientationPatient=list(AXIAL.cosines),
        PixelSpacing=[0.8, 0.6],
    )


ALIKE: Mapping[str, tuple[Callable[[], Scan], int, dict[str, int]]] = {
    "ultrasound": (
        lambda: clips(24, 10, "US cine", FrameTime=40, FrameIncrementPointer="00181063"),
        24,
        {"t": 10},
    ),
    "ultrasound without times": (lambda: clips(24, 10, "US cine"), 24, {"t": 10}),
    "ultrasound pictures": (lambda: classic([Shot(None, 0, n, n + 1) for n in range(24)], "US"), 24, {}),
    "mammography": (
        lambda: classic(
            [
                Shot(None, 0, n, n + 1, {"ImageLaterality": side, "ViewPosition": view})
                for n, (side, view) in enumerate(VIEWS)
            ],
            "MG",
        ),
        4,
        {},
    ),
    "radiographs": (lambda: classic([Shot(None, 0, n, n + 1) for n in range(6)], "CR"), 6, {}),
    "digital radiographs": (
        lambda: classic([Shot(None, 0, n, n + 1, {"AcquisitionTime": clock(n)}) for n in range(6)], "DX"),
        6,
        {},
    ),
    "captures": (lambda: classic([Shot(None, 0, n, n + 1) for n in range(5)], "OT"), 5, {}),
    **{
        f"captures of {kind}": (
            lambda kind=kind: classic([Shot(None, 0, n, n + 1) for n in range(5)], "OT", Modality=kind),
            5,
            {},
        )
        for kind in ("CT", "MR", "PT")
    },
    "angiography": (lambda: clips(3, 6, "XA", FrameTime=66, FrameIncrementPointer="00181063"), 3, {"t": 6}),
    "beams": (lambda: beams(3), 3, {"z": 4}),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_nothing_places_is_an_image_for_each_instance(name: str) -> None:
    build, count, each = ALIKE[name]
    scan = build()
    plan = planned(scan)
    assert sizes(plan) == [each] * count
    uids = [{key_of(frame)[0] for frame in held.values()} for held in cells(plan)]
    assert all(len(held) == 1 for held in uids)


@pytest.mark.parametrize("kind", ["CT", "MR", "PT"])
def test_slices_whose_places_were_removed_are_one_list(kind: str) -> None:
    scan = classic([replace(shot, place=None, grid=AXIAL) for shot in shots(1, 1, 12)], kind)
    plan = planned(scan)
    assert one_list(scan, plan)
    assert sizes(plan) == [{"t": 12}]
    assert counts(plan.images[0], "t")


def test_slices_whose_places_were_removed_are_one_list_although_they_have_times() -> None:
    frames = [
        replace(shot, place=None, told={"AcquisitionTime": clock(3 * n)}) for n, shot in enumerate(shots(1, 1, 8))
    ]
    scan = classic(frames, "CT")
    plan = planned(scan)
    assert sizes(plan) == [{"t": 8}]
    assert plan.images[0].affine is None


def test_a_list_says_where_its_frames_lie() -> None:
    scan = classic(shuffled_numbers(shots(3, 1, 4)), "CT")
    plan = planned(scan)
    assert one_list(scan, plan)
    ordered = [shot for _, shot in sorted(frames_of(scan, plan, 0).items())]
    told: Any = dicomzarr_attributes(plan.images[0])["coordinates"]
    along = [one["values"] for one in told.values() if one["axis"] == "t"]
    wanted = [float(np.dot(shot.position, AXIAL.normal)) for shot in ordered]
    assert any(_same_places(values, wanted, [list(shot.position) for shot in ordered]) for values in along)


def _same_places(values: Sequence[Any], distances: Sequence[float], positions: Sequence[Any]) -> bool:
    if np.ndim(values) == 2:
        return np.allclose(np.array(values, float), positions, atol=1e-4)
    if any(value is None or isinstance(value, str) for value in values):
        return False
    shifted = np.array(values, float) - values[0]
    return np.allclose(shifted, np.array(distances) - distances[0], atol=1e-4)


# --- 11: ranks


def test_an_echo_that_only_the_first_place_lacks_is_never_ranked() -> None:
    echoes = [[20, 30, 40], *([10, 20, 30] for _ in range(4))]
    frames = [
        Shot(z, 0, echo, number, {"EchoTime": float(echo)})
        for number, (z, echo) in enumerate(((z, echo) for z, own in enumerate(echoes) for echo in own), 1)
    ]
    for told in (frames, shuffled_numbers(frames)):
        scan = classic(told)
        plan = planned(scan)
        assert not mixed_contrasts(scan, plan)
        assert not mixed_volumes(scan, plan)


@pytest.mark.parametrize("loops", ["zct", "tcz", "ctz"])
def test_inversion_times_that_overlap_are_ranked_where_numbers_agree(loops: str) -> None:
    def tell(shot: Shot) -> Told:
        return {"InversionTime": 100.0 + 400 * shot.contrast + 450 * (shot.place or 0)}

    scan = classic(shots(1, 5, 3, loops=loops, tell=tell))
    plan = planned(scan)
    assert one_grid(scan, plan, c=range(5), z=range(3))
    told: Any = dicomzarr_attributes(plan.images[0])["coordinates"]
    wanted = [[100.0 + 400 * c + 450 * z for z in range(3)] for c in range(5)]
    assert wanted in [one["values"] for one in told.values()]


def test_inversion_times_that_overlap_are_not_ranked_where_numbers_have_no_order() -> None:
    def tell(shot: Shot) -> Told:
        return {"InversionTime": 100.0 + 400 * shot.contrast + 450 * (shot.place or 0)}

    scan = classic(shuffled_numbers(shots(1, 5, 3, tell=tell)))
    plan = planned(scan)
    assert not any({"c", "z"} <= set(size(image)) for image in plan.images)


def test_inversion_times_whose_ranks_do_not_overlap_are_ranked() -> None:
    def tell(shot: Shot) -> Told:
        return {"InversionTime": 100.0 + 900 * shot.contrast + 17 * (shot.place or 0)}

    scan = classic(shuffled_numbers(shots(1, 5, 3, tell=tell)))
    assert one_grid(scan, planned(scan), c=range(5), z=range(3))


def rising(frames: Sequence[Shot]) -> list[Shot]:
    """Numbers that rise in the same order, but not evenly."""
    numbers = sorted(random.Random(3).sample(range(1, 40 * len(frames)), len(frames)))
    return [replace(shot, number=number) for shot, number in zip(frames, numbers, strict=True)]


@pytest.mark.parametrize("keyword", ["TriggerTime", "EchoTime", "InversionTime"])
def test_values_that_collide_at_every_place_are_never_ordered(keyword: str) -> None:
    values = [0.0, 40.0, 40.0, 80.0]
    frames = shots(4, 1, 5, tell=lambda shot: {keyword: values[shot.time] + 5})
    scan = classic(rising(frames))
    plan = planned(scan)
    assert not mixed_times(scan, plan)
    for held in every_image(scan, plan):
        collided = {(shot.time, shot.place) for shot in held.values() if shot.time in (1, 2)}
        stacked = len({cell[2] for cell in held}) > 1
        assert not stacked or len({time_ for time_, _ in collided}) < 2


def test_times_that_collide_once_are_ordered_by_their_numbers() -> None:
    def tell(shot: Shot) -> Told:
        return {"TriggerTime": 40.0 * (shot.time - (shot.truth == (2, 0, 1)))}

    scan = classic(rising(shots(8, 1, 6, tell=tell)))
    plan = planned(scan)
    assert one_grid(scan, plan, t=range(8), z=range(6))


def test_contrasts_that_collide_once_are_not_ordered_by_their_numbers() -> None:
    def tell(shot: Shot) -> Told:
        return {"EchoTime": 10 + 10.0 * (shot.contrast - (shot.truth == (0, 2, 1)))}

    scan = classic(rising(shots(1, 8, 6, tell=tell)))
    plan = planned(scan)
    assert not has_grid(scan, plan, c=range(8), z=range(6))


# --- 12: what it costs


def costly(times: int, places: int) -> Scan:
    """Twelve attributes that all vary, and three files lost."""
    rng = np.random.default_rng(1)

    def tell(shot: Shot) -> Told:
        at = shot.place or 0
        return {
            "TemporalPositionIdentifier": shot.time + 1,
            "AcquisitionTime": clock(3 * (shot.time % 600) + 0.01 * at),
            "ContentTime": clock(3 * (shot.time % 600) + 0.011 * at),
            "AcquisitionNumber": shot.time * places + int(at) + 1,
            "TriggerTime": float(rng.integers(0, 900)),
            "EchoTime": float(10 + shot.time % 3),
            "InversionTime": float(10 + at % 5),
            "FlipAngle": float(rng.integers(1, 9)),
            "RepetitionTime": 2000.0 + shot.time % 7,
            "KVP": 100.0 + at % 2,
            "SliceThickness": 2.0,
            "SequenceName": f"*ep{shot.time % 11}",
            "ContrastBolusAgent": "AB"[int(at) % 2],
        }

    frames = shots(times, 1, places, tell=tell)
    lost = {(times // 2, 0, 3), (times // 3, 0, 5), (times // 4, 0, 7)}
    return classic([shot for shot in frames if shot.truth not in lost])


def seconds(scan: Scan) -> float:
    """Of this thread, for the whole plan."""
    start = time.thread_time()
    scan.plan()
    return time.thread_time() - start


def test_of_twelve_attributes_that_vary_few_sets_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    right = arrangement.evaluate
    monkeypatch.setattr(arrangement, "evaluate", lambda columns, *told: tried.append(columns) or right(columns, *told))
    costly(40, 40).plan()
    assert 1 < len(tried) <= 62  # sixty, the empty one, and what contrasts tell alone


@pytest.mark.slow
def test_twenty_thousand_frames_with_twelve_attributes_cost_as_much_each_as_few() -> None:
    few, many = costly(25, 200), costly(100, 200)
    assert len(many.truth) == 19_997
    # Of four times as many frames; for once, others may have had the caches of the CPU.
    assert any(seconds(many) < 12 * seconds(few) for _ in range(MEASUREMENTS))


def fifty(count: int) -> Scan:
    """Phases that each cover other slices."""
    covered = [(4 * phase, 4 * phase + 20 + phase % 7) for phase in range(count)]
    return classic(phases(COVERED["TemporalPositionIdentifier"], *covered) if count else [], "CT")


def test_many_images_cost_as_much_each_as_few() -> None:
    few, many = fifty(12), fifty(50)
    plan = planned(many)
    assert len(plan.images) == 50
    assert not mixed_times(many, plan)
    assert any(seconds(many) < 10 * seconds(few) + 0.1 for _ in range(MEASUREMENTS))


# --- 13: what the OME-Zarr says alone


def documents(opened: Opener, scan: Scan) -> list[dict[str, Any]]:
    """(name, axes by name with unit and scale) of each image, as Zarr gives it."""
    url = opened.url(scan.served())
    groups = [""] if len(scan.plan().images) == 1 else [str(n) for n in range(len(scan.plan().images))]
    found = []
    for group in groups:
        attributes = group_at(f"{url}/{group}".rstrip("/")).attrs
        multiscale = attributes.get("ome", attributes)["multiscales"][0]
        scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
        axes = {axis["name"]: (axis.get("unit"), step) for axis, step in zip(multiscale["axes"], scale, strict=True)}
        found.append({"name": multiscale["name"], "axes": axes})
    return found


@pytest.mark.parametrize(
    ("seconds_", "wanted"),
    [
        ([0, 2, 4, 6], ("second", 2.0)),
        ([0, 2, 4, 6.01], ("second", 2.0)),
        ([0, 2, 4, 9], (None, 1.0)),
        ([0, 2, 4.2, 6.2], (None, 1.0)),
        (None, (None, 1.0)),
    ],
)
def test_zarr_has_a_step_of_time_only_where_times_are_even(
    opened: Opener, seconds_: Sequence[float] | None, wanted: tuple[str | None, float]
) -> None:
    def tell(shot: Shot) -> Told:
        return {} if seconds_ is None else {"AcquisitionTime": clock(seconds_[shot.time])}

    (document,) = documents(opened, classic(shots(4, 1, 3, tell=tell)))
    unit, step = document["axes"]["t"]
    assert unit == wanted[0]
    assert step == pytest.approx(wanted[1], rel=0.01)
    assert ("order of acquisition" in document["name"]) == (seconds_ is None)


def test_zarr_has_a_step_of_slices_only_on_a_lattice(opened: Opener) -> None:
    (even,) = documents(opened, run_of([0, 2.5, 5, 10, 12.5], MILLIMETERS))
    assert even["axes"]["z"] == ("millimeter", 2.5)
    (uneven,) = documents(opened, run_of([0, 10.5, 31.5], MILLIMETERS))
    assert uneven["axes"]["z"] == (None, 1.0)


def test_zarr_has_no_step_in_a_list(opened: Opener) -> None:
    (document,) = documents(opened, classic(shuffled_numbers(shots(3, 1, 4))))
    assert document["axes"]["t"] == (None, 1.0)
    assert "list of frames" in document["name"]


def test_zarr_names_the_part_of_each_image(opened: Opener) -> None:
    frames = shots(1, 3, 6, tell=lambda shot: {"DiffusionBValue": 500.0 * shot.contrast})
    kept = [shot for shot in frames if shot.contrast != 2 or (shot.place or 0) < 4]
    found = documents(opened, classic(kept))
    names = [document["name"] for document in found]
    assert len(names) == 2
    assert all(f"{n} of 2" in name for n, name in enumerate(names, 1))
    short = next(name for name in names if "4 of 6 slices" in name)
    assert "b 1000" in short


def test_zarr_fills_an_absent_chunk_with_what_nobody_measures(opened: Opener) -> None:
    frames = [shot for shot in shots(1, 1, 9) if shot.place != 4]
    scan = classic(frames, "CT", PixelRepresentation=1, RescaleSlope=1, RescaleIntercept=0)
    image = opened(scan.served())
    pixels = image.levels[0][...]
    assert (pixels[4] == -32768).all()
    assert [int(pixels[z].max()) for z in range(9) if z != 4] == list(range(1, 9))


def test_checks_see_a_plan_that_lost_a_frame() -> None:
    scan = classic(shots(1, 1, 5))
    other = classic(shots(1, 1, 6))
    with pytest.raises(AssertionError, match="frames in no cell"):
        check(other, replace(scan, truth=other.truth).plan())

"""Whatever a scan is and whatever it lost: each frame is in one cell of one image, and where its header says."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radiology_model import AXIAL, CORONAL, OBLIQUE, SAGITTAL, Grid
from radiology_model import TILTED as TILTED_BY_14
from scan_checks import canonical, check, every_image, is_list, on_grid, one_grid, size, sizes, step_of
from scans import Scan, Shot, classic, clips, enhanced, segmentation, shots
from thoroughness import examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scans import Cell, Told

    from dicomzarr.plan import ImagePlan, SeriesPlan

GRIDS = [AXIAL, SAGITTAL, CORONAL, OBLIQUE, TILTED_BY_14, Grid(step=(0.3, 0.4, 3.0))]

CONTRASTS: Mapping[str, Sequence[Told]] = {
    "echoes": [{"EchoTime": 5.0}, {"EchoTime": 12.5}, {"EchoTime": 20.0}],
    "b": [{"DiffusionBValue": 0.0}, {"DiffusionBValue": 500.0}, {"DiffusionBValue": 1000.0}],
    "sequences": [{"SequenceName": "*ep_b0"}, {"SequenceName": "*ep_b50"}, {"SequenceName": "*ep_b900"}],
    "agents": [{}, {"ContrastBolusAgent": "GADOVIST"}, {"ContrastBolusAgent": "PRIMOVIST"}],
    "untold": [{}, {}, {}],
}
PART_OF_STEP = 0.05 / 2 / 3**0.5
"""By which frames may move along each axis at most: then those of one place never lie a twentieth of a step apart."""

PER_FRAME = "52009230"

UNHEARD = ("sequences", "agents")
"""Frames of enhanced instances do not say it so."""

TIMES = ["position", "clock", "both", "clock of each slice", "untold"]
SECONDS = {"even": [0.0, 2.5, 5.0, 7.5], "uneven": [0.0, 2.5, 4.0, 9.0]}

ENHANCED_WORDS = {
    "EchoTime": "EffectiveEchoTime",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "AcquisitionTime": "FrameAcquisitionDateTime",
}


@dataclass(frozen=True)
class Drawn:
    """A scan and how it was made."""

    scan: Scan
    contrasts: str
    times: str
    pace: str
    jitter: float
    signed: bool

    def __repr__(self) -> str:
        frames = [shot.truth for shot in self.scan.truth.values()]
        told = f"{self.contrasts}, {self.times}, {self.pace}, jitter {self.jitter}, signed {self.signed}"
        return f"{told}: (time, contrast, place) {frames}"

    def _repr_pretty_(self, printer: Any, *_: object) -> None:
        printer.text(repr(self))

    def value(self, shot: Shot) -> int | None:
        """What the header says of the contrast, as a number; None where it says nothing."""
        return None if self.contrasts == "untold" else shot.contrast

    def seconds(self, shot: Shot) -> float | None:
        """When the frame was taken, as the header says."""
        if "clock" not in self.times and self.times != "both":
            return None
        own = 0.1 * (shot.place or 0) if self.times == "clock of each slice" else 0.0
        return SECONDS[self.pace][shot.time] + own


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """Scans of all kinds, whole and not."""
    contrasts = draw(st.sampled_from(sorted(CONTRASTS)))
    times = draw(st.sampled_from(TIMES))
    pace = draw(st.sampled_from(sorted(SECONDS)))
    grid = draw(st.sampled_from(GRIDS))
    made = Drawn(Scan([], {}), contrasts, times, pace, draw(st.sampled_from([0.0, 0.02])), draw(st.booleans()))

    def tell(shot: Shot) -> Told:
        told = dict(CONTRASTS[contrasts][shot.contrast])
        if times in ("position", "both"):
            told["TemporalPositionIdentifier"] = shot.time + 1
        moment = made.seconds(shot)
        return told if moment is None else {**told, "AcquisitionTime": f"1200{moment:09.6f}"}

    places = _places(draw)
    closest = grid.step[2] * min(np.diff(places).tolist(), default=1.0)
    made = replace(made, jitter=min(made.jitter, PART_OF_STEP * closest))
    frames = shots(
        draw(st.integers(1, 4)),
        draw(st.integers(1, 3)),
        places,
        loops="".join(draw(st.permutations("tcz"))),
        descending=draw(st.booleans()),
        tell=tell,
        grid=grid,
        first=draw(st.sampled_from([0, 1, 1, 17])),
    )
    frames = _lost(draw, frames)
    frames = _moved(frames, made.jitter, draw(st.integers(0, 9)))
    frames = _numbered(frames, draw(st.sampled_from(["kept", "kept", "dealt", "alike", "none"])), draw)
    scan = _packed(draw, frames, signed=made.signed)
    if PER_FRAME in scan.instances[0] and contrasts in UNHEARD:
        made = replace(made, contrasts="untold")
    return replace(made, scan=scan)


def _places(draw: st.DrawFn) -> list[float]:
    kind = draw(st.sampled_from(["even", "even", "even", "hole", "two runs", "any"]))
    count = draw(st.integers(1, 7))
    if kind == "hole":
        hole = draw(st.integers(0, count))
        return [float(z) for z in range(count + 1) if z != hole]
    if kind == "two runs":
        first = draw(st.integers(1, 5))
        return [*map(float, range(first)), *(first + 8.5 + 2 * z for z in range(count))]
    if kind == "any":
        return sorted(
            draw(st.sets(st.integers(0, 60), min_size=1, max_size=7).map(lambda found: {z / 4 for z in found}))
        )
    return [float(z) for z in range(count)]


def _lost(draw: st.DrawFn, frames: list[Shot]) -> list[Shot]:
    how = draw(st.sampled_from(["none", "none", "any", "end", "doubled"]))
    if how == "any":
        lost = draw(st.sets(st.integers(0, len(frames) - 1), max_size=max(1, len(frames) // 4)))
        kept = [shot for number, shot in enumerate(frames) if number not in lost]
        return kept or frames
    if how == "end":
        return frames[: draw(st.integers(max(1, len(frames) // 2), len(frames)))]
    if how == "doubled":
        again = draw(st.lists(st.sampled_from(range(len(frames))), min_size=1, max_size=3))
        return [*frames, *(frames[number] for number in again)]
    return frames


def _moved(frames: list[Shot], jitter: float, seed: int) -> list[Shot]:
    rng = np.random.default_rng(seed)
    moves = rng.uniform(-jitter, jitter, (len(frames), 3)).round(4)
    return [replace(shot, offset=(float(x), float(y), float(z))) for shot, (x, y, z) in zip(frames, moves, strict=True)]


def _numbered(frames: list[Shot], how: str, draw: st.DrawFn) -> list[Shot]:
    if how == "kept":
        return frames
    if how == "dealt":
        numbers = random.Random(draw(st.integers(0, 9))).sample([shot.number for shot in frames], len(frames))
        return [replace(shot, number=number) for shot, number in zip(frames, numbers, strict=True)]
    return [replace(shot, number=1 if how == "alike" else None) for shot in frames]


def _packed(draw: st.DrawFn, frames: list[Shot], *, signed: bool) -> Scan:
    bits = draw(st.sampled_from([12, 16]))
    common = {"PixelRepresentation": int(signed), "BitsStored": bits, "HighBit": bits - 1}
    kind = draw(st.sampled_from(["CT", "MR", "PT", "enhanced MR", "enhanced MR"]))
    if not kind.startswith("enhanced"):
        order = random.Random(draw(st.integers(0, 9))).sample(frames, len(frames))
        return classic(order, kind, **common)
    told = [replace(shot, told=_enhanced_words(shot.told)) for shot in frames]
    size_ = draw(st.integers(1, len(told)))
    files = [told[start : start + size_] for start in range(0, len(told), size_)]
    numbered = [[replace(shot, number=n + 1) for shot in frames_] for n, frames_ in enumerate(files)]
    return enhanced(numbered, kind, **common)


def _enhanced_words(told: Told) -> dict[str, Any]:
    unheard = ("SequenceName", "ContrastBolusAgent")
    found = {ENHANCED_WORDS.get(word, word): value for word, value in told.items() if word not in unheard}
    if "FrameAcquisitionDateTime" in found:
        found["FrameAcquisitionDateTime"] = f"20200101{found['FrameAcquisitionDateTime']}"
    return found


def times_apart(one: Drawn, plan: SeriesPlan) -> bool:
    """Whether each index along t holds frames of one time, where all slices have the same."""
    if one.times in ("untold", "clock of each slice"):
        return True
    for image, held in enumerate(every_image(one.scan, plan)):
        if "t" not in size(plan.images[image]):
            continue
        by_index = defaultdict(set)
        for (t, _, _), shot in held.items():
            by_index[t].add(shot.time)
        if any(len(times) > 1 for times in by_index.values()):
            return False
    return True


def contrasts_apart(one: Drawn, plan: SeriesPlan) -> bool:
    """Whether no stack holds two values of a contrast that each hold two slices or more."""
    places = defaultdict(set)
    for shot in one.scan.truth.values():
        places[one.value(shot)].add(shot.place)
    large = {value for value, held in places.items() if len(held) > 1}
    for image in every_image(one.scan, plan):
        stacks = defaultdict(set)
        for (t, c, _), shot in image.items():
            stacks[t, c].add(one.value(shot))
        if any(len(values & large) > 1 for values in stacks.values()):
            return False
    return True


def keeps_time(one: Drawn, image: ImagePlan, held: Mapping[Cell, Shot]) -> bool:
    """Whether a unit along t is there only where times are known and even."""
    if "t" not in size(image) or step_of(image, "t")[1] is None:
        return True
    step, unit = step_of(image, "t")
    by_index = defaultdict(list)
    for (t, _, _), shot in held.items():
        by_index[t].append((shot.place or 0, one.seconds(shot)))
    starts = [min(by_index[t])[1] for t in sorted(by_index)]
    if None in starts:
        return False
    taken = np.array(starts, float) * {"second": 1, "millisecond": 1000}[str(unit)]
    return np.allclose(np.diff(taken), step, rtol=0.2 if one.times == "clock of each slice" else 0.011)


@settings(max_examples=examples(300), deadline=None, database=None)
@given(one=drawn(), seed=st.integers(0, 3))
def test_every_frame_is_in_one_cell_where_its_header_says(one: Drawn, seed: int) -> None:
    plan = one.scan.plan()
    check(one.scan, plan, jitter=4 * one.jitter + 0.01)
    assert contrasts_apart(one, plan)
    assert times_apart(one, plan)
    for image, held in zip(plan.images, every_image(one.scan, plan), strict=True):
        assert keeps_time(one, image, held)
    assert canonical(one.scan.shuffled(seed).plan()) == canonical(plan)


@settings(max_examples=examples(60), deadline=None, database=None)
@given(one=drawn())
def test_what_moved_visibly_is_said(one: Drawn) -> None:
    plan = one.scan.plan()
    for image, held in zip(plan.images, every_image(one.scan, plan), strict=True):
        if image.affine is not None:
            affine = np.array(image.affine)
            moved = [np.linalg.norm((affine @ [0, 0, z, 1])[:3] - shot.position) for (_, _, z), shot in held.items()]
            assert max(moved) < 0.011 + 0.01 * np.linalg.norm(affine[:3, 2]) or plan.notices


@settings(max_examples=examples(60), deadline=None, database=None)
@given(
    times=st.integers(1, 4),
    contrasts=st.integers(1, 3),
    slices=st.integers(1, 7),
    grid=st.sampled_from(GRIDS),
    name=st.sampled_from([name for name in sorted(CONTRASTS) if name != "untold"]),
    seed=st.integers(0, 9),
)
def test_whole_scans_are_one_image(  # noqa: PLR0913  # one for each dimension
    *, times: int, contrasts: int, slices: int, grid: Grid, name: str, seed: int
) -> None:
    def tell(shot: Shot) -> Told:
        return {**CONTRASTS[name][shot.contrast], "TemporalPositionIdentifier": shot.time + 1}

    frames = shots(times, contrasts, slices, tell=tell, grid=grid)
    numbers = random.Random(seed).sample([shot.number for shot in frames], len(frames))
    dealt = [replace(shot, number=number) for shot, number in zip(frames, numbers, strict=True)]
    scan = classic(dealt)
    plan = scan.plan()
    check(scan, plan)
    assert one_grid(scan, plan, t=range(times), c=range(contrasts), z=range(slices), any_order="c")
    assert slices == 1 or on_grid(plan.images[0], grid)


@settings(max_examples=examples(40), deadline=None, database=None)
@given(
    segments=st.dictionaries(
        st.integers(1, 5), st.sets(st.integers(0, 9), min_size=1).map(sorted), min_size=1, max_size=4
    ),
    grid=st.sampled_from(GRIDS[:4]),
)
def test_every_mask_is_in_one_cell(segments: dict[int, list[float]], grid: Grid) -> None:
    scan = segmentation(segments, grid)
    plan = scan.plan()
    check(scan, plan)
    for image in plan.images:
        assert image.levels[0].fill_value == 0
        assert image.levels[0].absent == (0,)


@pytest.mark.parametrize("kind", ["US cine", "XA"])
@settings(max_examples=examples(20), deadline=None, database=None)
@given(count=st.integers(1, 6), frames=st.integers(2, 5), timed=st.booleans())
def test_every_frame_of_a_clip_is_in_the_image_of_its_instance(
    kind: str, count: int, frames: int, *, timed: bool
) -> None:
    told = {"FrameTime": 40, "FrameIncrementPointer": "00181063"} if timed else {}
    scan = clips(count, frames, kind, **told)
    plan = scan.plan()
    check(scan, plan)
    assert sizes(plan) == [{"t": frames}] * count


@pytest.mark.parametrize("kind", ["CR", "DX", "MG", "US", "OT"])
@settings(max_examples=examples(10), deadline=None, database=None)
@given(count=st.integers(1, 6), alike=st.booleans())
def test_every_picture_that_nothing_places_is_an_image(kind: str, count: int, *, alike: bool) -> None:
    scan = classic([Shot(None, 0, n, 1 if alike else n + 1) for n in range(count)], kind)
    plan = scan.plan()
    check(scan, plan)
    assert sizes(plan) == [{}] * count


@settings(max_examples=examples(20), deadline=None, database=None)
@given(count=st.integers(2, 9), kind=st.sampled_from(["CT", "MR", "PT"]), seed=st.integers(0, 9))
def test_every_slice_that_nothing_places_is_in_a_list(count: int, kind: str, seed: int) -> None:
    numbers = random.Random(seed).choices(range(1, 2 * count), k=count)
    scan = classic([Shot(None, 0, 0, number) for number in numbers], kind)
    plan = scan.plan()
    check(scan, plan)
    assert sizes(plan) == [{"t": count}]
    assert is_list(scan, plan)

"""What must hold for each plan of a scan, and words in which tests say what they expect of one."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from scans import Cell, Shot, cells, check_partition, key_of

from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from radiology_model import Grid
    from scans import Scan

    from dicomzarr.plan import ImagePlan, SeriesPlan

BITS_STORED = "00280101"


def planned(scan: Scan, values: str = "stored", **options: Any) -> SeriesPlan:
    """The plan of a scan, after all that must hold of every plan was checked."""
    plan = scan.plan(values)
    check(scan, plan, **options)
    return plan


def check(scan: Scan, plan: SeriesPlan, *, jitter: float = 0.01) -> None:
    """What holds of every plan.

    Args:
        scan: The truth.
        plan: What became of it.
        jitter: Millimetres that a frame may lie from where the image says.
    """
    check_partition(plan, scan.truth)
    for place, image in enumerate(plan.images):
        held = frames_of(scan, plan, place)
        assert held, f"image {place} holds no frame"
        _check_chunks(image)
        _check_absent(scan, image, held)
        _check_places(image, held, jitter)
        _check_space(image)
        _check_time(image)
    if len(plan.images) > 1:
        names = [image.name for image in plan.images]
        assert len(set(names)) == len(names)
        for number, name in enumerate(names, 1):
            assert f"{number} of {len(names)}" in name


def frames_of(scan: Scan, plan: SeriesPlan, image: int) -> dict[Cell, Shot]:
    """The truth of each cell of an image."""
    return {cell: scan.truth[key_of(frame)] for cell, frame in cells(plan)[image].items()}


def every_image(scan: Scan, plan: SeriesPlan) -> list[dict[Cell, Shot]]:
    """The same of all images."""
    return [{cell: scan.truth[key_of(frame)] for cell, frame in held.items()} for held in cells(plan)]


def size(image: ImagePlan) -> dict[str, int]:
    """How long the axes beside y and x are, without those of one."""
    shape = zip(image.axes, image.levels[0].shape, strict=True)
    return {axis.name: length for axis, length in shape if axis.name not in "yx" and length > 1}


def sizes(plan: SeriesPlan) -> list[dict[str, int]]:
    """Those of each image, in any order: sorted."""
    return in_order([size(image) for image in plan.images])


def in_order(listed: Iterable[dict[str, int]]) -> list[dict[str, int]]:
    """Sorted, to be compared with `sizes`."""
    return sorted(listed, key=lambda one: sorted(one.items()))


def step_of(image: ImagePlan, axis: str) -> tuple[float, str | None]:
    """(scale, unit) of an axis."""
    found = [place for place, each in enumerate(image.axes) if each.name == axis]
    return image.levels[0].scale[found[0]], image.axes[found[0]].unit


def counts(image: ImagePlan, axis: str) -> bool:
    """Whether an axis says nothing but how many; so does one that is not there."""
    return axis not in [each.name for each in image.axes] or step_of(image, axis) == (1.0, None)


def absent_of(image: ImagePlan) -> list[dict[str, int]]:
    """What the image says of its absent chunks."""
    told: Any = dicomzarr_attributes(image).get("absent", [])
    return [dict(chunk) for chunk in told]


def is_grid(  # noqa: PLR0913  # one for each axis
    scan: Scan,
    plan: SeriesPlan,
    image: int = 0,
    *,
    t: Sequence[int] = (0,),
    c: Sequence[int] = (0,),
    z: Sequence[float] = (0,),
    absent: Iterable[tuple[int, int, float]] = (),
    any_order: str = "",
) -> bool:
    """Whether the cells of an image hold these true times, contrasts and places, and nothing else.

    Args:
        scan: The truth.
        plan: What became of it.
        image: Which.
        t: The true time of each index along t.
        c: The true contrast of each index along c.
        z: The true place of each index along z.
        absent: (time, contrast, place) of absent chunks.
        any_order: ``c`` where the order of contrasts does not matter.
    """
    held = {cell: shot.truth for cell, shot in frames_of(scan, plan, image).items()}
    orders = itertools.permutations(c) if "c" in any_order else [tuple(c)]
    for order in orders:
        wanted = {
            (i, j, k): (time, contrast, place)
            for i, time in enumerate(t)
            for j, contrast in enumerate(order)
            for k, place in enumerate(z)
            if (time, contrast, place) not in set(absent)
        }
        if held == wanted:
            return size(plan.images[image]) == _lengths(t=t, c=c, z=z)
    return False


def _lengths(**axes: Sequence[Any]) -> dict[str, int]:
    return {name: len(values) for name, values in axes.items() if len(values) > 1}


def one_grid(scan: Scan, plan: SeriesPlan, **axes: Any) -> bool:
    """Whether there is one image, and this one."""
    return len(plan.images) == 1 and is_grid(scan, plan, **axes)


def has_grid(scan: Scan, plan: SeriesPlan, **axes: Any) -> bool:
    """Whether one of the images is this."""
    return any(is_grid(scan, plan, image, **axes) for image in range(len(plan.images)))


def is_list(scan: Scan, plan: SeriesPlan, image: int = 0) -> bool:
    """Whether an image is a list: frames along t in the order of (InstanceNumber, UID), without affine and unit."""
    found = plan.images[image]
    ordered = [key_of(frame) for _, frame in sorted(cells(plan)[image].items())]
    numbered = sorted(ordered, key=lambda key: (scan.truth[key].number or 0, key))
    alone = size(found) in ({"t": len(ordered)}, {})
    return alone and ordered == numbered and found.affine is None and counts(found, "t")


def one_list(scan: Scan, plan: SeriesPlan) -> bool:
    """Whether all frames are one list, and a name and a notice say so."""
    told = "list of frames" in plan.images[0].name and bool(plan.notices)
    return len(plan.images) == 1 and told and is_list(scan, plan)


def mixed_times(scan: Scan, plan: SeriesPlan) -> list[tuple[int, int]]:
    """(image, index along t) that hold frames of several true times."""
    return _mixed(scan, plan, 0, lambda shot: shot.time)


def mixed_contrasts(scan: Scan, plan: SeriesPlan) -> list[tuple[int, int]]:
    """(image, index along c) that hold frames of several true contrasts; a list holds what it holds."""
    found = _mixed(scan, plan, 1, lambda shot: shot.contrast)
    return [(image, index) for image, index in found if not is_list(scan, plan, image)]


def mixed_volumes(scan: Scan, plan: SeriesPlan) -> list[tuple[int, Any]]:
    """(image, (t, c)) whose slices are not all of one true time and contrast."""
    found = []
    for image, held in enumerate(every_image(scan, plan)):
        kinds = defaultdict(set)
        for (t, c, _), shot in held.items():
            kinds[t, c].add((shot.time, shot.contrast))
        found += [(image, index) for index, kind in kinds.items() if len(kind) > 1]
    return found


def _mixed(scan: Scan, plan: SeriesPlan, axis: int, value: Any) -> list[tuple[int, int]]:
    found = []
    for image, held in enumerate(every_image(scan, plan)):
        values = defaultdict(set)
        for cell, shot in held.items():
            values[cell[axis]].add(value(shot))
        found += [(image, index) for index, several in values.items() if len(several) > 1]
    return found


def on_grid(image: ImagePlan, grid: Grid, first: float = 0, step: float = 1) -> bool:
    """Whether the affine is that of every ``step``-th slice of a grid, from ``first`` on; scale and units fit it."""
    wanted = grid.affine.copy()
    wanted[:3, 2] *= step
    wanted[:3, 3] = grid.position(first)
    if image.affine is None or not np.allclose(np.array(image.affine), wanted, rtol=0, atol=1e-4):
        return False
    spacing = {"z": step * grid.z_spacing, "y": grid.spacing[0], "x": grid.spacing[1]}
    found = {axis.name: step_of(image, axis.name) for axis in image.axes if axis.name in "zyx"}
    return all(math.isclose(found[name][0], spacing[name], rel_tol=1e-4) for name in found) and all(
        unit == "millimeter" for _, unit in found.values()
    )


def canonical(plan: SeriesPlan) -> list[Any]:
    """All that matters of a plan, to compare."""
    described: list[Any] = [list(plan.notices)]
    for image, held in zip(plan.images, cells(plan), strict=True):
        level = image.levels[0]
        frames = sorted((cell, key_of(frame)) for cell, frame in held.items())
        affine = None if image.affine is None else np.round(np.array(image.affine), 6).tolist()
        axes = [(axis.name, axis.unit) for axis in image.axes]
        described.append([image.name, axes, level.shape, level.scale, affine, frames, absent_of(image)])
    return described


def _check_chunks(image: ImagePlan) -> None:
    level = image.levels[0]
    names = [axis.name for axis in image.axes]
    assert len(level.shape) == len(level.chunks) == len(level.scale) == len(names)
    for name, length, chunk in zip(names, level.shape, level.chunks, strict=True):
        assert chunk == (length if name in "yx" else 1)


def _check_absent(scan: Scan, image: ImagePlan, held: dict[Cell, Shot]) -> None:
    level = image.levels[0]
    names = [axis.name for axis in image.axes if axis.name not in "yx"]
    absent = []
    for chunk in np.ndindex(*level.shape[: len(names)]):
        at = dict(zip(names, map(int, chunk), strict=True))
        if (at.get("t", 0), at.get("c", 0), at.get("z", 0)) not in held:
            absent.append(at)
    told = absent_of(image)
    if image.numbers and not told:
        return  # masks leave out what is empty, and nothing is lacking
    assert sorted(map(sorted, map(dict.items, told))) == sorted(map(sorted, map(dict.items, absent)))
    if absent:
        for value in (level.fill_value, *level.absent):
            assert implausible(value, level.dtype, scan.instances[0][BITS_STORED]["Value"][0])


def implausible(value: float, dtype: np.dtype[Any], bits: int) -> bool:
    """Whether nobody takes a value for one that was measured."""
    if dtype.kind == "f":
        return math.isnan(value)
    return value == (0 if dtype.kind == "u" else -(2 ** (bits - 1)))


def _check_places(image: ImagePlan, held: dict[Cell, Shot], jitter: float) -> None:
    placed = {cell: shot for cell, shot in held.items() if shot.place is not None}
    if not placed:
        return  # frames that vectors place, of which shots know nothing
    if image.affine is not None:
        assert len(placed) == len(held)
        affine = np.array(image.affine)
        for (_, _, z), shot in placed.items():
            assert np.linalg.norm((affine @ [0, 0, z, 1])[:3] - shot.position) <= jitter + 1e-4
        return
    plane: Any = dicomzarr_attributes(image).get("plane_affine")
    if plane is None:
        return
    by_place = {z: shot for (_, _, z), shot in sorted(placed.items(), reverse=True)}
    start = by_place[min(by_place)]
    coordinates: Any = dicomzarr_attributes(image)["coordinates"]
    for (_, _, z), shot in placed.items():
        along = float(np.dot(shot.position - start.position, shot.grid.normal))
        told = coordinates["z"]["values"]
        assert abs((told[z] - told[min(by_place)]) - along) <= jitter + 1e-4
        found = (np.array(plane) @ [0, 0, along, 1])[:3]
        assert np.linalg.norm(found - shot.position) <= jitter + 1e-4


def _check_space(image: ImagePlan) -> None:
    if image.affine is None:
        assert counts(image, "z")
    for axis in image.axes:
        assert step_of(image, axis.name)[0] > 0
        if axis.unit is None:
            assert step_of(image, axis.name)[0] == 1.0
        elif axis.name in "zyx":
            assert axis.unit == "millimeter"


def _check_time(image: ImagePlan) -> None:
    """A unit of time is there only where a coordinate along t has times, and even ones."""
    if counts(image, "t"):
        return
    told: Any = dicomzarr_attributes(image)["coordinates"]
    step, unit = step_of(image, "t")
    per = {"second": "s", "millisecond": "ms"}[str(unit)]
    steps = [
        np.diff(np.array(one["values"], float), axis=0)
        for one in told.values()
        if one["axis"][0] == "t" and one.get("unit") == per
    ]
    assert any(np.allclose(each, step, rtol=0.011) for each in steps)

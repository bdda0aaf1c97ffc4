"""Series of enhanced multi-frame instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from radiology_enhanced import (
    B_VALUE,
    ECHO,
    GRADIENT,
    IN_STACK,
    PRIVATE,
    STACK,
    TEMPORAL,
    Frames,
    Macros,
    component,
    content,
    echo,
    groups,
    in_stack,
    index_by,
    measures,
    multi_frame,
    orientation,
    position,
    real_world,
    transformation,
    weighting,
    window,
)
from radiology_model import AXIAL, CORONAL, OBLIQUE, distinct, series_of
from radiology_slices import Identity, instance, sequence_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset
    from radiology_model import Grid, Pixels, RadiologySeries

FRAMES = distinct((2, 4, 16, 20))
"""(n, z, y, x), 12 bits."""


def enhanced_volume(pixels: Pixels, grid: Grid = OBLIQUE, kind: str = "enhanced CT", **places: str) -> RadiologySeries:
    """One volume, (z, y, x); ``places`` say where orientation and measures are: ``shared``, ``per_frame`` or ``both``.

    Where they are in both, the shared ones are wrong.
    """
    right = {"orientation": orientation(grid), "measures": measures(grid)}
    wrong = {"orientation": orientation(AXIAL), "measures": measures(CORONAL)}
    shared = {**transformation(1, -1024, "HU"), **window(40, 401)}
    own: dict[str, list[Dataset]] = {}
    for macro, where in {"orientation": "shared", "measures": "shared", **places}.items():
        if where != "shared":
            own |= right[macro]
        if where != "per_frame":
            shared |= right[macro] if where == "shared" else wrong[macro]
    frames = Frames(grid=grid, content=lambda _, z: {**in_stack(z), **own}, shared=shared)
    dataset = multi_frame(Identity("enhanced", kind), pixels[None], frames)
    index_by(dataset, STACK, IN_STACK)
    return series_of([dataset])


def echoes(pixels: Pixels = FRAMES, times: Sequence[float] = (5.0, 12.5), *, indexed: bool = True) -> RadiologySeries:
    """Echoes of a volume; the dimension indices count stacks, echoes and places, or are absent."""

    def indices(n: int, z: int) -> Macros:
        return content(*((1, n + 1, z + 1) if indexed else ()))

    frames = Frames([echo(time) for time in times], content=indices)
    dataset = multi_frame(Identity("echoes", "enhanced MR"), pixels, frames)
    if indexed:
        index_by(dataset, STACK, ECHO, IN_STACK)
    return series_of([dataset])


def private_dimension(pixels: Pixels = FRAMES) -> RadiologySeries:
    """Frames that only the index of a private attribute tells apart (Philips)."""
    frames = Frames([{}] * len(pixels), content=lambda n, z: in_stack(z, n + 1))
    dataset = multi_frame(Identity("private", "enhanced MR"), pixels, frames)
    index_by(dataset, STACK, IN_STACK, PRIVATE)
    return series_of([dataset])


def temporal(pixels: Pixels = FRAMES, *, indexed: bool = True) -> RadiologySeries:
    """A volume again and again."""

    def indices(n: int, z: int) -> Macros:
        counted = (1, z + 1, n + 1) if indexed else ()
        return content(*counted, StackID="1", InStackPositionNumber=z + 1, TemporalPositionIndex=n + 1)

    frames = Frames([{}] * len(pixels), content=indices)
    dataset = multi_frame(Identity("temporal", "enhanced MR"), pixels, frames)
    if indexed:
        index_by(dataset, STACK, IN_STACK, TEMPORAL)
    return series_of([dataset])


def timed(pixels: Pixels, moments: Sequence[str]) -> RadiologySeries:
    """A volume again and again, without dimension module: only FrameAcquisitionDateTime tells."""
    frames = Frames([{}] * len(pixels), content=lambda n, _: content(FrameAcquisitionDateTime=moments[n]))
    return series_of([multi_frame(Identity("timed", "enhanced CT"), pixels, frames)])


def diffusion_frames(
    pixels: Pixels, values: Sequence[tuple[float, Sequence[float] | None]], *, indexed: bool = True
) -> RadiologySeries:
    """b-values with directions."""
    levels = sorted({b for b, _ in values})

    def indices(n: int, z: int) -> Macros:
        return in_stack(z, levels.index(values[n][0]) + 1, n + 1) if indexed else content()

    frames = Frames([weighting(b, direction) for b, direction in values], content=indices)
    dataset = multi_frame(Identity("diffusion", "enhanced MR"), pixels, frames)
    if indexed:
        index_by(dataset, STACK, IN_STACK, B_VALUE, GRADIENT)
    return series_of([dataset])


def velocities(pixels: Pixels, limits: Sequence[float], times: Sequence[float]) -> RadiologySeries:
    """Echoes of a volume for each velocity that is encoded; (limits x times, z, y, x)."""

    def encoding(limit: float) -> Macros:
        encoded = {"VelocityEncodingDirection": [0.0, 0.0, 1.0], "VelocityEncodingMaximumValue": limit}
        return {"MRVelocityEncodingSequence": [sequence_item(**encoded)]}

    differences = [{**echo(time), **encoding(limit)} for limit in limits for time in times]
    return series_of([multi_frame(Identity("velocities", "enhanced MR"), pixels, Frames(differences))])


def mixed_components(pixels: Pixels = FRAMES) -> RadiologySeries:
    """Magnitude and phase in one instance, each with its own transformation."""
    differences = [
        {**component("MAGNITUDE"), **transformation(2, 0)},
        {**component("PHASE"), **transformation(0.5, -1024)},
    ]
    frames = Frames(differences, content=lambda *_: content())
    attributes = {"ComplexImageComponent": "MIXED"}
    return series_of([multi_frame(Identity("mixed", "enhanced MR"), pixels, frames, attributes=attributes)])


def frame_transformations(pixels: Pixels, slopes: Sequence[float], intercepts: Sequence[float]) -> RadiologySeries:
    """A PET volume, (z, y, x), in which each frame has its own slope."""

    def own(_: int, z: int) -> Macros:
        return {**in_stack(z), **transformation(slopes[z], intercepts[z], "BQML")}

    identity = Identity("frame slopes", "enhanced PT", 16)
    dataset = multi_frame(identity, pixels[None], Frames(content=own), attributes={"Units": "BQML"})
    index_by(dataset, STACK, IN_STACK)
    return series_of([dataset])


def real_world_values(pixels: Pixels, *, rescale: bool = False) -> RadiologySeries:
    """A volume with Real World Value Mapping, and a rescale that must not be chained with it."""
    mappings = {"RealWorldValueMappingSequence": [real_world(0.25, 10, "ADC", "um2/s")]}
    shared = {**orientation(OBLIQUE), **measures(OBLIQUE), **mappings, **(transformation(3, 1) if rescale else {})}
    dataset = multi_frame(Identity("real world", "enhanced MR"), pixels[None], Frames(shared=shared))
    index_by(dataset, STACK, IN_STACK)
    return series_of([dataset])


def two_stacks(first: Pixels, second: Pixels, grid: Grid = CORONAL) -> RadiologySeries:
    """Two stacks, (z, y, x), in one instance: the second on another grid."""
    grids = {"1": OBLIQUE, "2": grid}
    per_frame = [
        {
            **position(grid, z),
            **orientation(grid),
            **measures(grid),
            **content(number, z + 1, StackID=stack, InStackPositionNumber=z + 1),
        }
        for number, ((stack, grid), count) in enumerate(zip(grids.items(), (len(first), len(second)), strict=True), 1)
        for z in range(count)
    ]
    identity = Identity("stacks", "enhanced MR")
    dataset = instance(identity, 1, np.concatenate([first, second]), groups(identity, {}, per_frame))
    index_by(dataset, STACK, IN_STACK)
    return series_of([dataset])


def one_instance_per_time(pixels: Pixels = FRAMES) -> RadiologySeries:
    """A multi-frame instance for each n (Siemens XA)."""
    made = []
    for n, moving in enumerate(pixels):
        frames = Frames(content=lambda _, z, n=n: in_stack(z, 1, TemporalPositionIndex=n + 1))
        attributes = {"AcquisitionNumber": n + 1, "TemporalPositionIdentifier": n + 1}
        identity = Identity("instances", "enhanced MR")
        dataset = multi_frame(identity, moving[None], frames, number=len(pixels) - n, attributes=attributes)
        index_by(dataset, STACK, IN_STACK, TEMPORAL)
        made.append(dataset)
    return series_of(made)


def without_groups(pixels: Pixels) -> RadiologySeries:
    """An enhanced instance, (frames, y, x), that lacks its functional groups."""
    return series_of([instance(Identity("no groups", "enhanced MR"), 1, pixels)])


def not_a_volume(pixels: Pixels, properties: str) -> RadiologySeries:
    """Frames, (z, y, x), whose VolumetricProperties say that they are no regular volume."""
    attributes = {"VolumetricProperties": properties}
    identity = Identity(properties, "enhanced MR")
    dataset = multi_frame(identity, pixels[None], Frames(), attributes=attributes)
    index_by(dataset, STACK, IN_STACK)
    return series_of([dataset])


def tomosynthesis(
    pixels: Pixels, grid: Grid = OBLIQUE, laterality: str = "R", number: int = 1, **attributes: object
) -> RadiologySeries:
    """A breast tomosynthesis volume, (z, y, x), with what else its instance says."""
    anatomy = sequence_item(FrameLaterality=laterality)
    shared = {**orientation(grid), **measures(grid), "FrameAnatomySequence": [anatomy]}
    attributes = {"ImageLaterality": laterality, "PatientOrientation": ["P", "F"], **attributes}
    identity = Identity("tomosynthesis", "tomosynthesis MG")
    frames = Frames(grid=grid, shared=shared)
    dataset = multi_frame(identity, pixels[None], frames, attributes=attributes, number=number)
    index_by(dataset, STACK, IN_STACK)
    return series_of([dataset])

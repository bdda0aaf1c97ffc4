"""Synthetic radiology: small, deterministic series, made of pixels that are there first.

Each pixel of a volume has a value of its own, so that any permutation or transposition shows. What must
come out of a series is said by the tests, not here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import radiology_dimensions as dimensions
import radiology_multiframe as multiframe
import radiology_nuclear as nuclear
import radiology_volumes as volumes
from radiology_model import OBLIQUE, distinct

if TYPE_CHECKING:
    from collections.abc import Callable

    from radiology_model import RadiologySeries

__all__ = ["BUILDERS", "COLOR"]

COLOR = distinct((16, 20, 3), bits=8)
"""(y, x, samples)."""

SLICES = distinct((4, 16, 20))
FOUR = distinct((2, 2, 3, 16, 20))


def _gap() -> RadiologySeries:
    return volumes.uneven([0, 2.5, 5, 10, 12.5], volumes.VOLUME)


def _four(**attributes: list[object]) -> RadiologySeries:
    axes = [dimensions.along(keyword, values) for keyword, values in attributes.items()]
    return dimensions.repeated(FOUR.reshape(4, 3, 16, 20), dimensions.product(*axes))


BUILDERS: dict[str, Callable[[], RadiologySeries]] = {
    "volume": volumes.volume,
    "volume_oblique": partial(volumes.volume, OBLIQUE),
    "single_slice": partial(volumes.volume, pixels=volumes.VOLUME[:1]),
    "gap": _gap,
    "bolus": partial(volumes.bolus, SLICES, ["120000", "120002", "120004", "120006"]),
    "localizer": partial(volumes.with_localizer, SLICES, distinct((16, 20))),
    "two_orientations": partial(volumes.two_orientations, SLICES, SLICES[:, :, ::-1]),
    "gantry_tilt": volumes.gantry_tilt,
    "changed_matrix": partial(volumes.changed, SLICES, distinct((2, 12, 10))),
    "mixed_syntaxes": volumes.mixed_syntaxes,
    "pet": partial(volumes.pet, distinct((4, 16, 20), bits=16), [0.5, 1.25, 2, 4]),
    "modality_lut": volumes.modality_lut,
    "monochrome1": volumes.monochrome1,
    "mosaic": partial(volumes.mosaic, SLICES, [1, 3, 5, 7]),
    "secondary_capture": partial(volumes.secondary_capture, COLOR),
    "radiograph": partial(volumes.projection, SLICES[0]),
    "ultrasound": partial(volumes.ultrasound, COLOR),
    "echoes": partial(dimensions.repeated, dimensions.TWICE, dimensions.ECHOES),
    "components": partial(dimensions.repeated, dimensions.TWICE, dimensions.COMPONENTS),
    "diffusion": partial(dimensions.repeated, distinct((4, 2, 16, 20)), dimensions.RAGGED),
    "time_and_echo": partial(_four, TriggerTime=["0", "40"], EchoTime=["5", "12.5"]),
    "echo_and_flip": partial(_four, FlipAngle=["10", "20"], EchoTime=["5", "12.5"]),
    "enhanced_volume": partial(multiframe.enhanced_volume, SLICES),
    "enhanced_echoes": multiframe.echoes,
    "enhanced_unindexed": partial(multiframe.echoes, indexed=False),
    "enhanced_private": multiframe.private_dimension,
    "enhanced_temporal": multiframe.temporal,
    "enhanced_mixed": multiframe.mixed_components,
    "enhanced_stacks": partial(multiframe.two_stacks, SLICES, SLICES[:3, ::-1]),
    "enhanced_instances": multiframe.one_instance_per_time,
    "enhanced_without_groups": partial(multiframe.without_groups, SLICES),
    "enhanced_distorted": partial(multiframe.not_a_volume, SLICES, "DISTORTED"),
    "real_world_values": partial(multiframe.real_world_values, SLICES),
    "tomosynthesis": partial(multiframe.tomosynthesis, SLICES),
    "cine": nuclear.evenly_timed,
    "cine_color": partial(nuclear.evenly_timed, distinct((3, 8, 10, 3), bits=8), kind="US cine", bits=8),
    "cine_vector": partial(nuclear.unevenly_timed, nuclear.CINE, [0, 40, 50, 30]),
    "dose": partial(nuclear.dose, distinct((4, 16, 20), bits=32), [0, 2.5, 5, 7.5]),
    "recon_tomo": partial(nuclear.recon_tomo, SLICES),
    "gated_tomo": partial(nuclear.gated_tomo, distinct((3, 4, 16, 20))),
    "energy_windows": partial(nuclear.nuclear, distinct((2, 3, 16, 20)), ["energy_window", "detector"]),
}
"""Every kind of series that opens, by a name for tests."""

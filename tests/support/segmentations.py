"""Segmentations for tests, written by highdicom from masks that are made first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentationTypeValues, SegmentDescription, SegmentsOverlapValues
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from slides_codecs import RGB
from slides_instances import Identity, Level, full_instance
from slides_pixels import noisy_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset
    from radiology_model import Grid, RadiologySeries

    Mask = NDArray[Any]

COLORS = ([255, 0, 0], [0, 255, 0], [0, 0, 255])
LABELS = ("Liver", "Left kidney", "Spleen & more")


@dataclass(frozen=True)
class Segmented:
    """A segmentation and the masks that it was made of."""

    dataset: Dataset
    masks: Mask
    """Slices ascending along the normal: (segment, z, y, x) of zeros and ones, or (z, y, x) of segment numbers."""

    @property
    def study(self) -> str:
        return str(self.dataset.StudyInstanceUID)

    @property
    def series(self) -> str:
        return str(self.dataset.SeriesInstanceUID)


def describe(count: int, *, colored: bool = True) -> list[SegmentDescription]:
    """Descriptions of so many segments, with colours where no palette has them."""
    algorithm = hd.AlgorithmIdentificationSequence("threshold", codes.DCM.ArtificialIntelligence, "1")
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=LABELS[(number - 1) % len(LABELS)],
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=hd.color.CIELabColor.from_rgb(*COLORS[(number - 1) % len(COLORS)]) if colored else None,
        )
        for number in range(1, count + 1)
    ]


def segmented(  # noqa: PLR0913  # what highdicom asks for
    sources: Sequence[Dataset],
    masks: Mask,
    *,
    kind: SegmentationTypeValues = SegmentationTypeValues.BINARY,
    count: int | None = None,
    overlap: SegmentsOverlapValues | None = None,
    name: str = "segmentation",
    **more: Any,
) -> Segmented:
    """Segment images that ascend along the normal.

    Args:
        sources: The segmented images, one for each slice, or one of many frames.
        masks: As in `Segmented`.
        kind: BINARY, FRACTIONAL or LABELMAP.
        count: Segments; those of the masks when not given.
        overlap: What the header says of it.
        name: Makes UIDs.
        **more: For highdicom.
    """
    label_map = kind is SegmentationTypeValues.LABELMAP
    described = count or (int(masks.max()) if label_map else len(masks))
    stacked = masks if label_map else np.moveaxis(masks, 0, -1)
    dataset = hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=stacked,
        segmentation_type=kind,
        segment_descriptions=describe(described, colored="palette_color_lut_transformation" not in more),
        series_instance_uid=generate_uid(entropy_srcs=[name, "series"]),
        series_number=9,
        sop_instance_uid=generate_uid(entropy_srcs=[name, "instance"]),
        instance_number=1,
        manufacturer="dicomzarr",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        **{"transfer_syntax_uid": ExplicitVRLittleEndian, "omit_empty_frames": True, **more},
    )
    if overlap is not None:
        dataset.SegmentsOverlap = overlap.value
    return Segmented(dataset, masks)


IDENTIFIED = dict.fromkeys(
    (
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyID",
    ),
    "",
) | {"PatientID": "1", "PatientName": "A^B"}
"""What highdicom copies from the images that are segmented."""


def ascending(series: RadiologySeries, grid: Grid) -> list[Dataset]:
    """The single-frame instances of a series in the order of the array."""
    return sorted(
        series.datasets, key=lambda each: float(np.dot(grid.normal, [float(x) for x in each.ImagePositionPatient]))
    )


def random_masks(shape: tuple[int, ...], seed: int = 0) -> Mask:
    """Overlapping masks of zeros and ones."""
    return (np.random.default_rng(seed).random(shape) < 0.3).astype(np.uint8)


def parametric_map(sources: Sequence[Dataset], values: Mask) -> Dataset:
    """A map of floating point numbers (z, y, x) over single-frame images."""
    return hd.pm.ParametricMap(
        source_images=list(sources),
        pixel_array=values,
        series_instance_uid=generate_uid(entropy_srcs=["map", str(values.dtype), "series"]),
        series_number=8,
        sop_instance_uid=generate_uid(entropy_srcs=["map", str(values.dtype)]),
        instance_number=1,
        manufacturer="dicomzarr",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label="1",
                lut_explanation="map",
                unit=codes.UCUM.NoUnits,
                value_range=(-1e9, 1e9),
                slope=1.0,
                intercept=0.0,
            )
        ],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
    )


def segmented_slide() -> tuple[Dataset, Segmented]:
    """A slide of one level, and two sparse segments of its matrix."""
    level = Level(noisy_color(5, 96, 128), (32, 32), codec=RGB, spacing=(0.0005, 0.0005))
    slide = full_instance(Identity("segmented slide", 1), level)
    for keyword, value in IDENTIFIED.items():
        setattr(slide, keyword, value)
    slide.ContainerIdentifier = "1"
    masks = random_masks((2, 1, 96, 128))
    masks[0, 0, :32] = masks[0, 0, :, 64:] = masks[1, 0, 32:] = 0
    return slide, segmented([slide], masks, tile_pixel_array=True, tile_size=(32, 32))


def segmented_second_level() -> tuple[list[Dataset], Segmented]:
    """A slide of two levels, and a segment of the matrix of the second, of half the size."""
    fine = Level(noisy_color(5, 192, 256), (32, 32), spacing=(0.0005, 0.0005))
    coarse = Level(noisy_color(6, 96, 128), (32, 32), spacing=(0.001, 0.001))
    slide = [full_instance(Identity("two levels", number), level) for number, level in enumerate((fine, coarse), 1)]
    for dataset in slide:
        for keyword, value in IDENTIFIED.items():
            setattr(dataset, keyword, value)
        dataset.ContainerIdentifier = "1"
    masks = random_masks((1, 1, 96, 128))
    return slide, segmented([slide[1]], masks, tile_pixel_array=True, tile_size=(32, 32))

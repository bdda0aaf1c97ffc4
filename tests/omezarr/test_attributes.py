"""What a plan says becomes JSON in one place, and all of it does."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

import dicomzarr
from dicomzarr.dicom.lut.modality import RealWorldMapping
from dicomzarr.dicom.lut.window import Window
from dicomzarr.dicom.segmentation import Segment, Segmentation
from dicomzarr.omezarr.attributes import dicomzarr_attributes, level_attributes
from dicomzarr.plan import ImagePlan, LevelPlan
from dicomzarr.plan.attributes import (
    FrameCoordinate,
    ImageAttributes,
    LevelAttributes,
    RescaleFactors,
    UltrasoundRegion,
)

AFFINE: Any = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
EVERYTHING = ImageAttributes(
    modality="MR",
    image_type=("ORIGINAL",),
    kind="volume",
    grouped_by=("echo",),
    part="4 of 6 slices",
    affine_reference="patient",
    affine_origin_known=True,
    rescale=RescaleFactors([1.0, 2.0], [0.0, -1.0]),
    units="HU",
    modality_lut=True,
    real_world_values=(RealWorldMapping(0, 1, lut=(5.0, 6.0), units_code="ms"),),
    windows=(Window(40.0, 400.0, "LUNG"),),
    windows_of_stored=True,
    pixel_padding_value=0,
    pixel_padding_range_limit=-2000,
    laterality="L",
    view_position="AP",
    anatomical_orientation="BIPED",
    volumetric_properties="VOLUME",
    burned_in_annotation="NO",
    imager_pixel_spacing=(0.2, 0.15),
    nominal_scanned_pixel_spacing=(0.1, 0.1),
    image_plane_pixel_spacing=(0.4, 0.4),
    pixel_spacing_calibration_type="GEOMETRY",
    pixel_aspect_ratio=(4.0, 3.0),
    estimated_magnification=1.1,
    ultrasound_regions=(UltrasoundRegion((0, 0, 9, 9), (0.1, 0.1), ("cm", None), 1, 1),),
    segmentation=Segmentation("BINARY", (Segment(1, "liver", "FF0000"),)),
    coordinates={"z": FrameCoordinate("z", [0.0, 2.5], "mm"), "phase": FrameCoordinate("t", [1, None])},
    absent=({"z": 3},),
    plane_affine=AFFINE,
    poses=(AFFINE, None),
    pixel_spacing=(0.7, 0.7),
    z_offsets=(0.0, 0.001),
    focus_heights=(0.0, 0.5),
    objective_power=20.0,
    color_space="sRGB",
    virtual_levels=(1, 3),
)
OF_SLIDES = {
    "affine_origin_known",
    "z_offsets",
    "focus_heights",
    "objective_power",
    "color_space",
    "virtual_levels",
}


UNSAID = {"flavor", "segmentation", "gradients_in_patient", "source_series"}
"""Those that others are made of, or say too, or that say how to read them."""


def image(attributes: ImageAttributes, series: str = "") -> ImagePlan:
    one = np.dtype("u1")
    level = LevelPlan((1, 1), (1, 1), one, (1.0, 1.0), (0.0, 0.0), (0.0,), 0.0, cast("Any", None), series=series)
    return ImagePlan("MR", (), (level,), (), None, color=False, attributes=attributes)


def test_every_attribute_of_frames_is_said() -> None:
    said = dicomzarr_attributes(image(EVERYTHING))
    named = {each.name for each in fields(ImageAttributes)} - OF_SLIDES - UNSAID
    assert set(said) == named | {"segmentation_type", "segments"}
    assert said["coordinates"] == {
        "z": {"axis": "z", "values": [0.0, 2.5], "unit": "mm"},
        "phase": {"axis": "t", "values": [1, None]},
    }
    assert said["rescale"] == {"slope": [1.0, 2.0], "intercept": [0.0, -1.0]}
    assert said["windows"] == [{"center": 40.0, "width": 400.0, "name": "LUNG", "function": "LINEAR"}]
    assert said["pixel_padding_value"] == 0
    assert said["poses"] == [AFFINE, None]


def test_every_attribute_of_slides_is_said() -> None:
    slide = replace(EVERYTHING, affine_reference="slide", kind=None)
    said = dicomzarr_attributes(image(slide))
    assert set(said) > OF_SLIDES
    assert "coordinates" not in said


def test_what_is_not_known_is_left_out() -> None:
    assert dicomzarr_attributes(image(ImageAttributes())) == {}
    assert dicomzarr_attributes(image(ImageAttributes(affine_reference="patient"))) == {"affine_reference": "patient"}
    assert dicomzarr_attributes(image(ImageAttributes(modality="SEG"), "1.2")) == {
        "modality": "SEG",
        "series_instance_uid": "1.2",
    }


def test_what_levels_say() -> None:
    assert level_attributes(LevelAttributes(("1.2",))) == {"sop_instance_uids": ["1.2"]}
    assert level_attributes(LevelAttributes(("1.2",), "RGB", lossy=False)) == {
        "sop_instance_uids": ["1.2"],
        "photometric_interpretation": "RGB",
        "lossy": False,
        "available_transfer_syntax_uid": None,
    }


def test_names_of_attributes_are_spelled_in_one_place() -> None:
    """No module but the one that writes the JSON looks an attribute up by its name, or writes it."""
    names = {each.name for each in fields(ImageAttributes)} - {
        "modality",
        "rescale",
        "units",
        "part",
        "kind",
        "windows",
    }
    root = Path(dicomzarr.__file__).parent
    for room in ("plan", "omezarr", "arrays", "session"):
        for path in (root / room).glob("*.py"):
            if path.name == "attributes.py" and room == "omezarr":
                continue
            keys = [
                key.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Dict)
                for key in node.keys
                if isinstance(key, ast.Constant)
            ]
            assert not names.intersection(map(str, keys)), path.name

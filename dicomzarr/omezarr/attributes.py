"""``attributes.dicomzarr`` of an image group: the one place where what a plan says becomes JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.dicom.lut.modality import RealWorldMapping
    from dicomzarr.dicom.lut.window import Window
    from dicomzarr.dicom.segmentation import Segment, Segmentation
    from dicomzarr.plan import ImagePlan
    from dicomzarr.plan.attributes import FrameCoordinate, ImageAttributes, LevelAttributes, UltrasoundRegion

JSON = dict[str, Any]


def dicomzarr_attributes(image: ImagePlan) -> JSON:
    """What a plan says of an image; what is not known is left out.

    Args:
        image: Its plan.
    """
    known, series = image.attributes, image.levels[0].series
    said = _of_frames(known, series) if known.affine_reference == "patient" else _of_tiles(known, series)
    return {name: value for name, value in said.items() if value is not None}


def level_attributes(known: LevelAttributes) -> JSON:
    """What a plan says of a level."""
    uids: JSON = {"sop_instance_uids": list(known.sop_instance_uids)}
    if known.photometric_interpretation is None:
        return uids
    return {
        **uids,
        "photometric_interpretation": known.photometric_interpretation,
        "lossy": known.lossy,
        "available_transfer_syntax_uid": known.available_transfer_syntax_uid,
    }


def _of_tiles(known: ImageAttributes, series: str) -> JSON:
    return {
        "rescale": _rescale(known),
        "real_world_values": _listed(map(_real_world, known.real_world_values)),
        "modality": known.modality,
        "series_instance_uid": series or None,
        "image_type": None if known.image_type is None else list(known.image_type),
        **_segmentation(known.segmentation),
        "kind": known.kind,
        "affine_reference": known.affine_reference,
        "affine_origin_known": known.affine_origin_known,
        "objective_power": known.objective_power,
        "color_space": known.color_space,
        "virtual_levels": _listed(known.virtual_levels),
        "z_offsets": _listed(known.z_offsets),
        "focus_heights": _listed(known.focus_heights),
        "coordinates": _coordinates(known),
    }


def _of_frames(known: ImageAttributes, series: str) -> JSON:
    return {
        "modality": known.modality or None,
        "series_instance_uid": series or None,
        "image_type": _listed(known.image_type),
        "kind": known.kind,
        "grouped_by": _listed(known.grouped_by),
        "part": known.part or None,
        "affine_reference": known.affine_reference,
        "rescale": _rescale(known),
        "units": known.units,
        "modality_lut": known.modality_lut or None,
        "real_world_values": _listed(map(_real_world, known.real_world_values)),
        "windows": _listed(map(_window, known.windows)),
        "windows_of_stored": known.windows_of_stored or None,
        "pixel_padding_value": known.pixel_padding_value,
        "pixel_padding_range_limit": known.pixel_padding_range_limit,
        "laterality": known.laterality,
        "view_position": known.view_position,
        "anatomical_orientation": known.anatomical_orientation,
        "volumetric_properties": known.volumetric_properties,
        "burned_in_annotation": known.burned_in_annotation,
        "imager_pixel_spacing": _listed(known.imager_pixel_spacing),
        "estimated_magnification": known.estimated_magnification,
        "nominal_scanned_pixel_spacing": _listed(known.nominal_scanned_pixel_spacing),
        "image_plane_pixel_spacing": _listed(known.image_plane_pixel_spacing),
        "pixel_spacing_calibration_type": known.pixel_spacing_calibration_type,
        "pixel_aspect_ratio": _listed(known.pixel_aspect_ratio),
        "ultrasound_regions": _listed(map(_region, known.ultrasound_regions)),
        **_segmentation(known.segmentation),
        "coordinates": _coordinates(known),
        "absent": _listed(map(dict, known.absent)),
        "plane_affine": known.plane_affine,
        "poses": _listed(known.poses),
        "pixel_spacing": known.pixel_spacing,
    }


def _listed(values: Any) -> list[Any] | None:
    return list(values or ()) or None


def _rescale(known: ImageAttributes) -> JSON | None:
    return None if known.rescale is None else {"slope": known.rescale.slope, "intercept": known.rescale.intercept}


def _real_world(mapping: RealWorldMapping) -> JSON:
    return {
        "units": mapping.units_code,
        "first_value_mapped": mapping.first,
        "last_value_mapped": mapping.last,
        **(
            {"slope": mapping.slope, "intercept": mapping.intercept}
            if mapping.lut is None
            else {"lut": list(mapping.lut)}
        ),
    }


def _window(window: Window) -> JSON:
    return {"center": window.center, "width": window.width, "name": window.name, "function": window.function.value}


def _region(region: UltrasoundRegion) -> JSON:
    return {
        "box": list(region.box),
        "delta": list(region.delta),
        "units": list(region.units),
        "spatial_format": region.spatial_format,
        "data_type": region.data_type,
    }


def _segmentation(segmentation: Segmentation | None) -> JSON:
    """Labels are shown on purpose: masks are of no use without."""
    if segmentation is None:
        return {}
    return {"segmentation_type": segmentation.kind, "segments": [_segment(each) for each in segmentation.segments]}


def _segment(segment: Segment) -> JSON:
    said = {"number": segment.number, "label": segment.label, "color": segment.color}
    return {name: value for name, value in said.items() if value != ""}


def _coordinates(known: ImageAttributes) -> Mapping[str, JSON] | None:
    of_label = known.affine_reference == "patient" and known.coordinates
    if known.kind is None and not of_label:  # a slide, whose tiles are all alike, or a label on even slices
        return None
    return {name: _coordinate(each) for name, each in known.coordinates.items()}


def _coordinate(coordinate: FrameCoordinate) -> JSON:
    said: JSON = {"axis": coordinate.axes, "values": coordinate.values}
    return {**said, "unit": coordinate.unit} if coordinate.unit else said

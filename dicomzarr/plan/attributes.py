"""What a plan says of an image and of its levels beside its arrays: allow-listed facts that identify nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.dicom.lut.icc import EmbeddedProfile
    from dicomzarr.dicom.lut.modality import RealWorldMapping
    from dicomzarr.dicom.lut.window import Window
    from dicomzarr.dicom.segmentation import Segmentation

Affine: TypeAlias = tuple[tuple[float, float, float, float], ...]
"""Four rows; maps (column, row, slice, 1) of voxel centres to millimetres."""


@dataclass(frozen=True, slots=True)
class RescaleFactors:
    """RescaleSlope and RescaleIntercept: numbers, or lists nested along those of t, c and z that the image has."""

    slope: Any = 1.0
    intercept: Any = 0.0


@dataclass(frozen=True, slots=True)
class FrameCoordinate:
    """What an attribute is from frame to frame."""

    axes: str
    """The axes along which it varies, as ``tz``."""
    values: Any
    """Numbers, texts, vectors or None, in lists nested along the axes."""
    unit: str = ""
    """As ``mm``; empty where there is none."""


@dataclass(frozen=True, slots=True)
class UltrasoundRegion:
    """One item of the Sequence of Ultrasound Regions (PS3.3 section C.8.5.5); None where it says nothing."""

    box: tuple[float | None, ...]
    """Columns and rows (x, y) of the first and of the last pixel."""
    delta: tuple[float | None, float | None]
    """PhysicalDeltaX and PhysicalDeltaY: what a pixel measures, in ``units``."""
    units: tuple[str | None, str | None]
    """Of x and y, as ``cm``."""
    spatial_format: float | None
    """RegionSpatialFormat (0018,6012)."""
    data_type: float | None
    """RegionDataType (0018,6014)."""


@dataclass(frozen=True, slots=True)
class LevelAttributes:
    """Facts about one level."""

    sop_instance_uids: tuple[str, ...] = ()
    """Of the instances whose frames it shows."""
    photometric_interpretation: str | None = None
    """PhotometricInterpretation (0028,0004); None of label images."""
    lossy: bool | None = None
    """Whether LossyImageCompression (0028,2110) says so; None of label images."""
    icc_profile: EmbeddedProfile | None = None
    """ICCProfile (0028,2000), which stored colours go by: the first that there is."""
    icc_profiles: tuple[EmbeddedProfile | None, ...] = ()
    """That of each of these instances; empty of what is no slide."""
    available_transfer_syntax_uid: str | None = None
    """AvailableTransferSyntaxUID (0008,3002): a hint; None where the metadata give none."""


@dataclass(frozen=True, slots=True)
class ImageAttributes:
    """Facts about one image; None or empty for what is not known, or does not apply."""

    modality: str | None = None
    """Modality (0008,0060)."""
    image_type: tuple[str, ...] | None = None
    """ImageType (0008,0008)."""
    flavor: str | None = None
    """Of an image beside a slide: its Image Flavor (PS3.3 section C.8.12.4.1.1), as ``overview``; None of others."""
    kind: str | None = None
    """What was found, in words, as ``volume of single-frame instances``; None of slides and labels."""
    grouped_by: tuple[str, ...] = ()
    """In what the images of the series differ."""
    part: str = ""
    """Which part of its stack of frames this is."""
    affine_reference: Literal["patient", "slide"] | None = None
    """The coordinate system that the affine leads to."""
    affine_origin_known: bool | None = None
    """Of a slide: whether the header says where it lies, or only how large it is."""
    rescale: RescaleFactors | None = None
    """From the values of the arrays to those in `units`; None of stored values that a table leads from."""
    units: str | None = None
    """Of rescaled values: RescaleType (0028,1054), Units (0054,1001) or DoseUnits (3004,0002)."""
    modality_lut: bool = False
    """A Modality LUT leads from stored values to others."""
    real_world_values: tuple[RealWorldMapping, ...] = ()
    """The mappings that all frames share."""
    windows: tuple[Window, ...] = ()
    """In units of modality values, or of stored ones where `windows_of_stored`; the preferred one first."""
    windows_of_stored: bool = False
    """Stored values are looked at though a Modality LUT leads to others: it leads to X-ray intensities."""
    pixel_padding_value: int | None = None
    """PixelPaddingValue (0028,0120), a stored value."""
    pixel_padding_range_limit: int | None = None
    """PixelPaddingRangeLimit (0028,0121), a stored value."""
    laterality: str | None = None
    """ImageLaterality (0020,0062), else Laterality (0020,0060)."""
    view_position: str | None = None
    """ViewPosition (0018,5101)."""
    anatomical_orientation: str | None = None
    """AnatomicalOrientationType (0010,2210): BIPED or QUADRUPED."""
    volumetric_properties: str | None = None
    """VolumetricProperties (0008,9206)."""
    burned_in_annotation: str | None = None
    """BurnedInAnnotation (0028,0301): YES or NO."""
    imager_pixel_spacing: tuple[float, ...] = ()
    """ImagerPixelSpacing (0018,1164): (row, column) spacing at the detector, in millimetres."""
    estimated_magnification: float | None = None
    """EstimatedRadiographicMagnificationFactor (0018,1114)."""
    nominal_scanned_pixel_spacing: tuple[float, ...] = ()
    """NominalScannedPixelSpacing (0018,2010): (row, column) spacing on the film or paper, in millimetres."""
    image_plane_pixel_spacing: tuple[float, ...] = ()
    """ImagePlanePixelSpacing (3002,0011): (row, column) spacing in the plane of a portal image, in millimetres."""
    pixel_spacing_calibration_type: str | None = None
    """PixelSpacingCalibrationType (0028,0A02): whether PixelSpacing was corrected, and by what."""
    pixel_aspect_ratio: tuple[float, ...] = ()
    """PixelAspectRatio (0028,0034): how pixels are as high and as wide, where their size is not known."""
    ultrasound_regions: tuple[UltrasoundRegion, ...] = ()
    segmentation: Segmentation | None = None
    """Of a segmentation: its type and its segments."""
    source_series: tuple[str, ...] = ()
    """Series whose slices the frames of a segmentation are, if it does not say how far its own are apart."""
    gradients_in_patient: bool = False
    """Directions of diffusion gradients are those of LPS, and not those of the picture, as a vendor wrote them."""
    coordinates: Mapping[str, FrameCoordinate] = field(default_factory=dict)
    """What varies from frame to frame, by name."""
    absent: tuple[Mapping[str, int], ...] = ()
    """Indices by axis of the frames that a regular grid lacks."""
    plane_affine: Affine | None = None
    """Of uneven slices: (column, row, millimetres along the normal from the first slice, 1) to LPS millimetres."""
    poses: tuple[Affine | None, ...] = ()
    """The affine of each time, where times have poses of their own."""
    pixel_spacing: tuple[float, float] | None = None
    """(row, column) spacing in millimetres of the first frame of a list, whose axes count."""
    color_space: str | None = None
    """``sRGB``, where colours were turned into it by ICC profiles; None for stored values."""
    virtual_levels: tuple[int, ...] = ()
    """Numbers of the levels that the slide lacks, and that are made of finer ones."""
    objective_power: float | None = None
    """ObjectiveLensPower (0048,0112) of a slide."""
    z_offsets: tuple[float, ...] = ()
    """Heights of a slide's focal planes, in millimetres."""
    focus_heights: tuple[float, float] | None = None
    """Lowest and highest focus of a slide's tiles, in millimetres, where it is no axis."""

"""One instance of a series, typed: what the engine holds, and what series are planned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from dicomzarr.dicom.lut.modality import IDENTITY, Rescale
from dicomzarr.dicom.pixels.syntax import is_native

if TYPE_CHECKING:
    from collections.abc import Collection

    from dicomzarr.dicom.lut.icc import EmbeddedProfile
    from dicomzarr.dicom.lut.modality import RealWorldMapping
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.dicom.segmentation import Segmentation
    from dicomzarr.dicom.slide.positions import OpticalPath
    from dicomzarr.dicom.slide.tiling import FramePositions

_CODESTREAM_ONLY = frozenset({"YBR_ICT", "YBR_RCT", "XYB"})
"""Photometric interpretations that native pixels cannot have (PS3.5 section 8.2.4)."""


class FrameRef(NamedTuple):
    """One frame of one instance: what is fetched and decoded."""

    instance: Instance
    number: int
    """Frame number, 1-based, within the instance."""


@dataclass(frozen=True, slots=True)
class ConcatenationPart:
    """An instance's place in a concatenation (PS3.3 section C.7.6.16)."""

    uid: str
    """ConcatenationUID (0020,9161); empty where a part does not say it."""
    number: int | None
    """InConcatenationNumber (0020,9162), which should count from 1; None when not given."""
    total: int | None
    """InConcatenationTotalNumber (0020,9163): parts there should be; None when not given."""
    frame_offset: int | None
    """ConcatenationFrameOffsetNumber (0020,9228): frames of the parts before; None when not given."""
    source: str | None = None
    """SOPInstanceUIDOfConcatenationSource (0020,0242), the same in all parts of an image."""


class Instance(msgspec.Struct, frozen=True, eq=False):
    """One image instance, one object for each: how its frames are fetched and decoded, and what its header says.

    Lengths are in millimetres unless said otherwise. A series has up to 20 000 that differ in a few fields: a struct is
    copied in a tenth of the time that a dataclass takes.
    """

    __repr__ = object.__repr__

    sop_instance_uid: str
    number_of_frames: int
    pixel: PixelDescription
    """How one frame is laid out."""
    available_transfer_syntax_uid: str | None = None
    """AvailableTransferSyntaxUID (0008,3002): a hint; the reply's part says what was sent."""
    series: str = ""
    """The study and series in words, for messages."""
    sop_class_uid: str = ""
    modality: str = ""
    image_type: tuple[str, ...] = ()
    label_in_image: bool = False
    """SpecimenLabelInImage (0048,0010): the picture shows the slide's label."""
    instance_number: int = 0
    concatenation: ConcatenationPart | None = None
    dimension_organization_type: str = ""
    total_pixel_matrix: tuple[int, int] | None = None
    """(rows, columns) of the Total Pixel Matrix."""
    focal_planes: int | None = None
    """TotalPixelMatrixFocalPlanes (0048,0303)."""
    optical_path_count: int | None = None
    """NumberOfOpticalPaths (0048,0302)."""
    optical_paths: tuple[OpticalPath, ...] = ()
    objective_power: float | None = None
    """ObjectiveLensPower (0048,0112) of the first optical path that has one."""
    icc_profiles: tuple[EmbeddedProfile | None, ...] = ()
    """ICCProfile (0028,2000) of each optical path of the OpticalPathSequence, and at the end that of the image."""
    shared_optical_path: str | None = None
    """The identifier that the shared functional groups give for all frames: of segments the number."""
    frame_of_reference_uid: str | None = None
    imaged_volume: tuple[float | None, float | None] = (None, None)
    """(ImagedVolumeHeight, ImagedVolumeWidth)."""
    pixel_spacing: tuple[float, float] | None = None
    """(row spacing, column spacing), that is (y, x)."""
    spacing_between_slices: float | None = None
    origin: tuple[float, float, float] | None = None
    """TotalPixelMatrixOriginSequence as (x, y, z) in the slide coordinate system."""
    orientation_slide: tuple[float, ...] | None = None
    """ImageOrientationSlide (0048,0102), six cosines."""
    pyramid_uid: str | None = None
    acquisition: tuple[str, str, str] = ("", "", "")
    """A digest of ContainerIdentifier (0040,0512), AcquisitionUID (0008,0017) and AcquisitionDateTime (0008,002A): they
    tell glass slides, and scans of one place, apart."""
    extended_depth_of_field: bool = False
    absent_pixel_lab: tuple[float, ...] | None = None
    """RecommendedAbsentPixelCIELabValue (0048,0015), scaled to 16 bits."""
    segmentation: Segmentation | None = None
    """Of a segmentation; its segments take the place of optical paths."""
    rescale: Rescale = IDENTITY
    """Of a tiled image: what its values measure, in all of its frames; the identity where that is not told."""
    real_world: tuple[RealWorldMapping, ...] = ()
    """Of a tiled image: what else its values measure, as those of a parametric map."""
    quantity: str = ""
    """Of a parametric map of a slide: a digest of LUTLabel (0040,9210) and the codes of the quantity; else empty."""
    places_frames: bool = False
    """The metadata has a PerFrameFunctionalGroupsSequence, even where its items were not sent."""
    positions: FramePositions | None = None
    """Where each frame lies on the Total Pixel Matrix, as far as that is known; None when nothing places a frame."""

    def icc_profile_of(self, paths: Collection[OpticalPath]) -> EmbeddedProfile | None:
        """That which the colours of some of its optical paths go by; None where nothing says so.

        The only path of an instance is meant whatever other instances of its level call it.
        """
        *own, image = self.icc_profiles or (None,)
        named = set(paths if len(self.optical_paths) > 1 else self.optical_paths)
        shown = (profile for path, profile in zip(self.optical_paths, own, strict=False) if path in named)
        return next((profile for profile in shown if profile is not None), image)

    def is_sent_as_stored(self, transfer_syntax_uid: str | None) -> bool:
        """The metadata name the transfer syntax that it is stored in: an uncompressed one, or that of a frame."""
        stored = self.available_transfer_syntax_uid
        return stored is not None and (is_native(stored) or stored == transfer_syntax_uid)

    @property
    def compressed(self) -> bool:
        """The metadata shows that what is stored is a codestream, or once was one."""
        available = self.available_transfer_syntax_uid
        encapsulated = available is not None and not is_native(available)
        return encapsulated or self.pixel.lossy or self.pixel.photometric_interpretation in _CODESTREAM_ONLY

    @property
    def frames_unaligned(self) -> bool:
        """Native frames begin in the middle of a byte: servers refuse to cut them, or cut them wrongly."""
        pixels = self.pixel.rows * self.pixel.columns * self.pixel.samples
        return self.pixel.bits_allocated == 1 and pixels % 8 != 0

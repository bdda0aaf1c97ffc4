"""Instances parsed at the border: beyond it nobody reads the DICOM JSON of what an `Instance` says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from dicomzarr.dicom.instance import ConcatenationPart, Instance
from dicomzarr.dicom.lut.icc import EmbeddedProfile
from dicomzarr.dicom.lut.modality import IDENTITY, parts_of_one, read_rescale, real_world_mappings
from dicomzarr.dicom.model.image_model import frame_groups
from dicomzarr.dicom.model.json_model import (
    ABSENT,
    PATIENT,
    InstanceItem,
    OpticalPathItem,
    RawSequence,
    functional_groups,
    patient_of,
)
from dicomzarr.dicom.model.values import AttributeReader, is_count, is_given, is_right_angled, shown_code
from dicomzarr.dicom.pixels.pixels import parse_pixels
from dicomzarr.dicom.segmentation import ONE_SEGMENT, parse_segmentation
from dicomzarr.dicom.slide.positions import (
    OpticalPath,
    frame_positions,
    oddly_named,
    paths_of_frames,
    scan_frames,
    shared_path_identifier,
)
from dicomzarr.dicom.uids import MR_SPECTROSCOPY_STORAGE, PARAMETRIC_MAP_STORAGE
from dicomzarr.dicom.volume.tables import brightest_color
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from dicomzarr.dicom.lut.modality import Rescale
    from dicomzarr.dicom.model.image_model import FrameGroups, ImageItem, Macro, MappingItem
    from dicomzarr.dicom.model.json_model import FunctionalGroupsItem, Leaf, PixelMeasuresItem
    from dicomzarr.dicom.notices import Notices
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.dicom.segmentation import Segmentation
    from dicomzarr.dicom.slide.tiling import FramePositions

_LARGEST_OFFSET = 1e6
"""Millimetres; a slide that lies a kilometre away lies nowhere."""

_SHORTEST_WAVE = 100.0
"""Nanometres; of light that lenses let through. Some writers put 1 for what they do not know."""

_SMALLEST_SPACING, _LARGEST_SPACING = 1e-9, 1e4
"""Millimetres; what lies beyond is no spacing but a broken header."""

_LARGEST_NUMBER = 2**53
"""Of an InstanceNumber: beyond, decimals no longer tell neighbours apart."""

_SKEW = 1e-3
"""How far direction cosines may be from unit length and a right angle."""

_WHITEST_LAB = 2**16 - 1
"""CIELab values are scaled to 16 bits (PS3.3 section C.10.7.1.1)."""


def parse_instance(item: ImageItem, notices: Notices | None = None, *, tiled: bool = True) -> Instance | None:
    """Type one instance's metadata; None for an instance without pixels, as a report.

    Args:
        item: The metadata.
        notices: Takes what is said of attributes that are left out, as they are impossible.
        tiled: Its frames may be tiles of a slide: what functional groups say of each is read.

    Raises:
        InvalidAttributeError: What decoding or the places of tiles depend on is impossible.
    """
    uid = _uid(item)
    read = AttributeReader(uid, notices)
    sop_class = read.uid(item.sop_class_uid) or ""
    if (read.text(item.rows) is None and read.text(item.columns) is None) or sop_class == MR_SPECTROSCOPY_STORAGE:
        return None
    frames = _frame_count(read, item)
    segmentation = parse_segmentation(read, item)
    declared = _distinct(_paths(read, item, segmentation))
    scan = scan_frames(read, item, frames) if tiled else None
    paths = paths_of_frames(declared, scan)
    if notices is not None and scan is not None and (odd := oddly_named(declared, paths, scan)):
        notices.add(uid, odd)
    if scan is not None and segmentation is not None and segmentation.only is not None and None in scan.names:
        read.remark(ONE_SEGMENT)
    positions = None if scan is None else frame_positions(scan, paths, frames)
    pixel = parse_pixels(read, item)
    measures = _pixel_measures(item)
    mappings = _mappings(read, item, sop_class) if tiled else ()
    image_type, frame_type = _words(read, item.image_type), _frame_type(read, item)
    return Instance(
        sop_instance_uid=uid,
        number_of_frames=frames,
        pixel=pixel,
        available_transfer_syntax_uid=read.uid(item.available_transfer_syntax_uid),
        series=f"study {read.address(item.study_instance_uid)}, series {read.address(item.series_instance_uid)}",
        sop_class_uid=sop_class,
        modality=shown_code(read.text(item.modality) or ""),
        image_type=image_type or frame_type,
        label_in_image="LABEL" in frame_type or (read.text(item.specimen_label_in_image) or "").upper() == "YES",
        instance_number=_instance_number(read, item),
        concatenation=_concatenation(read, item),
        dimension_organization_type=shown_code((read.text(item.dimension_organization_type) or "").upper()),
        total_pixel_matrix=_total_pixel_matrix(read, item, positions, pixel),
        focal_planes=_count(read, item.focal_planes, "TotalPixelMatrixFocalPlanes", "frames tell how many there are"),
        optical_path_count=_count(
            read, item.number_of_optical_paths, "NumberOfOpticalPaths", "the OpticalPathSequence counts"
        ),
        optical_paths=paths,
        objective_power=_objective_power(read, item),
        icc_profiles=_icc_profiles(item, uid),
        shared_optical_path=shared_path_identifier(item, of_segments=segmentation is not None),
        frame_of_reference_uid=read.identity(item.frame_of_reference_uid),
        imaged_volume=(
            _extent(read, item.imaged_volume_height, "ImagedVolumeHeight"),
            _extent(read, item.imaged_volume_width, "ImagedVolumeWidth"),
        ),
        pixel_spacing=pixel_spacing(read, item.pixel_spacing if measures is None else measures.pixel_spacing),
        spacing_between_slices=None if measures is None else spacing_between(read, measures.spacing_between_slices),
        origin=_origin(read, item),
        orientation_slide=read.facts(
            item.image_orientation_slide,
            "ImageOrientationSlide",
            6,
            lambda cosines: is_right_angled(cosines, _SKEW),
            "it should be two directions at a right angle, and without it there is no affine",
        ),
        pyramid_uid=read.identity(item.pyramid_uid),
        acquisition=_acquisition(read, item),
        extended_depth_of_field=(read.text(item.extended_depth_of_field) or "").upper() == "YES",
        absent_pixel_lab=read.facts(
            item.recommended_absent_pixel,
            "RecommendedAbsentPixelCIELabValue",
            3,
            lambda lab: min(lab) >= 0 and max(lab) <= _WHITEST_LAB,
            "places without a tile are shown white",
        ),
        segmentation=segmentation,
        rescale=_rescale(read, item, segmentation) if tiled else IDENTITY,
        real_world=tuple(real_world_mappings(read, mappings, pixel)),
        quantity=_quantity(read, mappings) if sop_class == PARAMETRIC_MAP_STORAGE else "",
        places_frames=item.per_frame_groups is not None,
        positions=positions,
    )


def _frame_type(read: AttributeReader, item: ImageItem) -> tuple[str, ...]:
    """FrameType of all frames of a slide (PS3.3 section C.8.12.6.3), which says what ImageType should say too."""
    told = (kind for groups in item.shared_groups.items for kind in groups.slide_frame_type.items)
    return next((_words(read, kind.frame_type) for kind in told), ())


def _words(read: AttributeReader, leaf: Leaf) -> tuple[str, ...]:
    return tuple(value.upper() for value in read.texts(leaf))


_OWN = {
    "sop_instance_uid",
    "instance_number",
    "acquisition_uid",
    "per_frame_groups",
    "float_pixels",
    "double_pixels",
    *PATIENT,
}
_shared = attrgetter(*(name for name in InstanceItem.__struct_fields__ if name not in _OWN))
"""What the instances of a series may have in common: all but what each has for itself."""
_shared_groups = attrgetter(
    "pixel_measures",
    "plane_position_slide",
    "optical_path_identification",
    "segment_identification",
    "slide_frame_type",
    "pixel_value_transformation",
    "real_world_value_mapping",
)
"""What is read here of functional groups."""
_scaling = attrgetter("rescale_slope", "rescale_intercept", "maximum_fractional_value", "real_world_value_mapping")
"""What tiled images are scaled by; of others each frame is asked."""


class InstanceParser:
    """Parses the instances of a series, of which most say the same: what does is parsed once.

    Args:
        notices: As for `parse_instance`.
        tiled: Likewise.
    """

    def __init__(self, notices: Notices, *, tiled: bool) -> None:
        self._notices = notices
        self._tiled = tiled
        self._known: dict[Hashable, Instance] = {}

    def parse(self, item: ImageItem) -> Instance | None:
        """See `parse_instance`."""
        if item.per_frame_groups is not None or item.float_pixels != ABSENT or item.double_pixels != ABSENT:
            return parse_instance(item, self._notices, tiled=self._tiled)
        scaling = _scaling(item) if self._tiled else ()
        key = (_shared(item), scaling, *map(_shared_groups, item.shared_groups.items))
        known = self._known.get(key)
        if known is None:
            before = len(self._notices)
            parsed = parse_instance(item, self._notices, tiled=self._tiled)
            if parsed is not None and len(self._notices) == before:  # else each has to be noticed
                self._known[key] = parsed
            return parsed
        uid = _uid(item)
        read = AttributeReader(uid)
        return msgspec.structs.replace(
            known,
            sop_instance_uid=uid,
            instance_number=_instance_number(read, item),
            acquisition=_acquisition(read, item),
        )


_nameless = AttributeReader("without SOPInstanceUID")


def _uid(item: ImageItem) -> str:
    uid = _nameless.address(item.sop_instance_uid)
    if uid is None:
        raise InvalidAttributeError("An instance in the series has no SOPInstanceUID, or one that is no UID.")
    return uid


def _instance_number(read: AttributeReader, item: ImageItem) -> int:
    number = read.lenient_number(item.instance_number) or 0.0
    return int(number) if abs(number) <= _LARGEST_NUMBER else 0


def _acquisition(read: AttributeReader, item: ImageItem) -> tuple[str, str, str]:
    container = patient_of(item).get("container_identifier", "") if item.container_identifier != ABSENT else ""
    container = sha256(container.encode(errors="surrogatepass")).hexdigest() if container.strip() else ""
    return container, read.identity(item.acquisition_uid) or "", read.text(item.acquisition_datetime) or ""


def _rescale(read: AttributeReader, item: ImageItem, segmentation: Segmentation | None) -> Rescale:
    """Of a tiled image, all of whose frames are scaled alike."""
    if segmentation is not None and segmentation.kind == "FRACTIONAL":
        parts = parts_of_one(read, item.maximum_fractional_value)
        if parts is not None:
            return parts
    groups = (macro for shared in item.shared_groups.items for macro in shared.pixel_value_transformation.items)
    source = next(groups, item)
    return read_rescale(read, source.rescale_slope, source.rescale_intercept) or IDENTITY


def _mappings(read: AttributeReader, item: ImageItem, sop_class: str) -> tuple[MappingItem, ...]:
    """The Real World Value Mapping Sequence of a tiled image, likewise; of a map each frame may have it."""
    groups = (tuple(shared.real_world_value_mapping.items) for shared in item.shared_groups.items)
    of_all = next(filter(None, groups), tuple(item.real_world_value_mapping.items))
    if sop_class != PARAMETRIC_MAP_STORAGE or item.per_frame_groups is None:
        return of_all
    own = {tuple(group.real_world_value_mapping.items) or of_all for group in frame_groups(item.per_frame_groups)}
    if len(own) > 1:
        read.remark("RealWorldValueMappingSequence differs from frame to frame: the image has no real_world_values.")
        return ()
    return own.pop() if own else of_all


def _quantity(read: AttributeReader, mappings: Iterable[MappingItem]) -> str:
    told = []
    for each in mappings:
        codes = (code.value for content in each.quantity.items for code in content.codes.items)
        told.append([read.text(leaf) or "" for leaf in (each.label, *codes)])
    return sha256(repr(told).encode(errors="surrogatepass")).hexdigest() if any(map(any, told)) else ""


def _frame_count(read: AttributeReader, item: ImageItem) -> int:
    """NumberOfFrames; where it is impossible, as many frames as are described one by one, or as TILED_FULL has."""
    described = len(item.per_frame_groups.values) if item.per_frame_groups else 0
    tiles = 0 if described else _tiles_of_full(read, item)
    lost = "as many frames are read as the PerFrameFunctionalGroupsSequence describes" if described else "one is read"
    if tiles > 1:
        lost = "as many frames are read as TILED_FULL has tiles"
    count = _count(read, item.number_of_frames, "NumberOfFrames", lost)
    if tiles > 1 and not is_given(item.number_of_frames):
        read.remark(f"NumberOfFrames is not given: {lost}.")
    return count or described or tiles or 1


def _tiles_of_full(read: AttributeReader, item: ImageItem) -> int:
    """How many tiles TILED_FULL has that is in one instance; 0 where it is not, or where that is not told."""
    is_part = item.concatenation_uid.values or item.in_concatenation_number.values
    if is_part or (read.text(item.dimension_organization_type) or "").upper() != "TILED_FULL":
        return 0
    leaves = (item.total_pixel_matrix_rows, item.rows, item.total_pixel_matrix_columns, item.columns)
    sizes = [int(size) for leaf in leaves if (size := read.lenient_number(leaf)) is not None and is_count(size)]
    if len(sizes) < len(leaves):
        return 0
    planes = read.lenient_number(item.focal_planes) or 1
    paths = read.lenient_number(item.number_of_optical_paths) or len(item.optical_paths.values) or 1
    count = -(-sizes[0] // sizes[1]) * -(-sizes[2] // sizes[3]) * planes * paths
    return int(count) if is_count(float(count)) else 0


def _count(read: AttributeReader, leaf: Leaf, name: str, lost: str) -> int | None:
    number = read.fact(leaf, name, is_count, lost)
    return None if number is None else int(number)


def _extent(read: AttributeReader, leaf: Leaf, name: str) -> float | None:
    return read.fact(leaf, name, lambda size: 0 < size <= _LARGEST_OFFSET, "it says nothing of the size of pixels")


def pixel_spacing(read: AttributeReader, leaf: Leaf) -> tuple[float, float] | None:
    """PixelSpacing (0028,0030): (row spacing, column spacing) in millimetres."""
    values = read.facts(leaf, "PixelSpacing", 2, _are_spacings, "it says nothing of the size of pixels")
    return None if values is None else (values[0], values[1])


def spacing_between(read: AttributeReader, leaf: Leaf) -> float | None:
    """SpacingBetweenSlices (0018,0088), which may be negative in nuclear medicine (PS3.3 section C.8.4.15)."""
    lost = "it says nothing of how far slices are apart"
    return read.fact(leaf, "SpacingBetweenSlices", lambda step: _are_spacings((abs(step),)), lost)


def _are_spacings(values: Sequence[float]) -> bool:
    return min(values) >= _SMALLEST_SPACING and max(values) <= _LARGEST_SPACING


def _concatenation(read: AttributeReader, item: ImageItem) -> ConcatenationPart | None:
    """Of an instance that says that it is a part, even where it does not say of what."""
    uid, source = read.identity(item.concatenation_uid), read.identity(item.concatenation_source)
    number = read.lenient_number(item.in_concatenation_number)
    if uid is None and number is None:
        return None
    return ConcatenationPart(
        uid or "",
        int(number) if number is not None and number.is_integer() and number >= 0 else None,
        _count(
            read,
            item.in_concatenation_total_number,
            "InConcatenationTotalNumber",
            "whether parts lack is not known",
        ),
        read.integer(item.concatenation_frame_offset, "ConcatenationFrameOffsetNumber"),
        source,
    )


def _total_pixel_matrix(
    read: AttributeReader, item: ImageItem, positions: FramePositions | None, pixel: PixelDescription
) -> tuple[int, int] | None:
    """As large as it says, else as far as tiles reach that say where they lie."""
    lost = "how far tiles reach counts, where all say where they lie"
    rows = _count(read, item.total_pixel_matrix_rows, "TotalPixelMatrixRows", lost)
    columns = _count(read, item.total_pixel_matrix_columns, "TotalPixelMatrixColumns", lost)
    if rows is not None and columns is not None:
        return rows, columns
    reach = None if positions is None or positions.lacking else positions.reach(pixel.rows, pixel.columns)
    if reach is None:
        return None
    read.remark("the size of its total pixel matrix is not given: it is taken to end where its tiles end.")
    return rows or reach[0], columns or reach[1]


def _pixel_measures(item: ImageItem) -> PixelMeasuresItem | Macro | None:
    """The Pixel Measures Macro; on slides it is one for all frames wherever it stands."""
    sequence = item.per_frame_groups or RawSequence()
    first = next(functional_groups(RawSequence(sequence.values[:1])), [])
    groups: tuple[FunctionalGroupsItem | FrameGroups, ...] = (*first, *item.shared_groups.items)
    return next((measures for group in groups for measures in group.pixel_measures.items), None)


def _origin(read: AttributeReader, item: ImageItem) -> tuple[float, float, float] | None:
    if not item.total_pixel_matrix_origin.items:
        return None
    origin = item.total_pixel_matrix_origin.items[0]
    x, y, z = (
        read.fact(leaf, f"{axis}OffsetInSlideCoordinateSystem", _is_on_slide, "where the image lies is not known")
        for axis, leaf in (("X", origin.x_offset), ("Y", origin.y_offset), ("Z", origin.z_offset))
    )
    return None if x is None or y is None else (x, y, z or 0.0)


def _is_on_slide(offset: float) -> bool:
    return abs(offset) <= _LARGEST_OFFSET


def _distinct(paths: Iterable[OpticalPath]) -> tuple[OpticalPath, ...]:
    """Paths that read alike are still as many channels: the later ones are told apart by their place."""
    seen: Counter[OpticalPath] = Counter()
    distinct = []
    for path in paths:
        distinct.append(replace(path, occurrence=seen[path]))
        seen[path] += 1
    return tuple(distinct)


def _paths(read: AttributeReader, item: ImageItem, segmentation: Segmentation | None) -> Iterable[OpticalPath]:
    if segmentation is None:
        return [_optical_path(read, path or OpticalPathItem(), _uid(item)) for path in item.optical_paths.values]
    if segmentation.is_label_map:
        return []
    return [OpticalPath(str(each.number), each.label, color=each.color) for each in segmentation.segments]


def _objective_power(read: AttributeReader, item: ImageItem) -> float | None:
    powers = (read.lenient_number(path.objective_power) for path in item.optical_paths.items)
    return next((power for power in powers if power is not None and power > 0), None)


def _icc_profiles(item: ImageItem, uid: str) -> tuple[EmbeddedProfile | None, ...]:
    paths = (path or OpticalPathItem() for path in item.optical_paths.values)
    leaves = (*(path.icc_profile for path in paths), item.icc_profile)
    return tuple(EmbeddedProfile(leaf, uid) if leaf.present else None for leaf in leaves)


def _optical_path(read: AttributeReader, item: OpticalPathItem, uid: str) -> OpticalPath:
    named = item.color_code.items[0].meaning if item.color_code.items else None
    shown = next((color for palette in item.palette.items if (color := brightest_color(palette, uid))), "")
    wavelength = read.lenient_number(item.wavelength)
    return OpticalPath(
        identifier=read.text(item.identifier) or "",
        description=read.text(item.description) or "",
        wavelength=wavelength if wavelength is not None and wavelength >= _SHORTEST_WAVE else None,
        color=shown or ("" if named is None else read.text(named) or ""),
    )

"""What an image group says of its image: codes and numbers by name, no text that somebody typed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.lut.lookup import read_descriptor
from dicomzarr.dicom.lut.modality import IDENTITY, real_world_mappings
from dicomzarr.dicom.lut.window import VoiFunction, Window, in_stored, read_windows
from dicomzarr.dicom.model.json_model import EMPTY
from dicomzarr.dicom.model.values import AttributeReader, is_given, shown_code
from dicomzarr.dicom.uids import CT_IMAGE_STORAGE
from dicomzarr.dicom.volume.grid import ABSENT, LIST
from dicomzarr.dicom.volume.sides import shown_view
from dicomzarr.errors import InvalidAttributeError
from dicomzarr.plan.attributes import ImageAttributes, RescaleFactors, UltrasoundRegion
from dicomzarr.plan.views import MEASURED, has_table, rescales, shows_stored

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.lut.modality import RealWorldMapping
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.model.json_model import Leaf
    from dicomzarr.dicom.volume.frame import Frame
    from dicomzarr.dicom.volume.grid import Grid
    from dicomzarr.dicom.volume.grouping import Stack
    from dicomzarr.plan.views import View

_RESCALE_TYPES: Final = ("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")
"""PS3.3 section C.11.1.1.2."""
_PET_UNITS: Final = (
    *("CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM"),
    *("UMOLML", "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "GML", "STDDEV"),
)
"""Section C.8.9.1.1.3."""
_UNITS: Final = frozenset((*_RESCALE_TYPES, *_PET_UNITS, "GY", "RELATIVE"))  # and DoseUnits, section C.8.8.3
_CALIBRATIONS: Final = frozenset({"FIDUCIAL", "GEOMETRY"})
"""Section 10.7.1.2."""

_SIDES: Final = frozenset("RLUB")
_ORIENTATIONS: Final = frozenset({"BIPED", "QUADRUPED"})
_NAMES: Final = frozenset(
    (
        *("NORMAL", "STANDARD", "HARDER", "SOFTER", "WIDE", "NARROW", "WINDOW1", "WINDOW2"),
        *("BRAIN", "BONE", "LUNG", "ABDOMEN", "MEDIASTINUM", "LIVER", "SOFT", "TISSUE"),
    )
)
"""Words of WindowCenterWidthExplanation that are shown: it is a free text."""

_SUV: Final = "g/ml{SUVbw}"
"""In UCUM."""

_LENGTH_UNITS: Final = {3: "cm", 4: "s", 5: "Hz", 6: "dB/s", 7: "cm/s", 8: "cm2", 9: "cm2/s", 10: "cm3", 11: "cm3/s"}
"""PhysicalUnitsXDirection and Y, PS3.3 section C.8.5.5.1.15."""


@dataclass(frozen=True, slots=True)
class Windows:
    """What the header wants to be seen, in rescaled units; the first counts."""

    all: tuple[Window, ...]
    table: tuple[float, float] | None = None
    """The ends of the first VOI LUT (PS3.3 section C.11.2.1.1), where there is no window."""

    def shown(self, view: View) -> tuple[float, float] | None:
        """(start, end) of the first window in the units of an array; None where there is none, or no telling."""
        bounds = self.all[0].bounds() if self.all else self.table
        if bounds is None or view.rescale is None or view.samples > 1:
            return None
        return in_stored(bounds, view.rescale)


def windows(grid: Grid, channel: int | slice = slice(None)) -> Windows:
    """The windows of the frame in the middle, of all or of one index along c, which its header gives."""
    cells = grid.cells[:, channel]
    present = cells[cells != ABSENT]
    frame = grid.frames[present[len(present) // 2]]
    source: Any = frame.voi or frame.item
    read = AttributeReader(frame.instance.sop_instance_uid)
    names = [_shown_name(text) for text in read.texts(source.window_explanation)]
    function = read.text(source.voi_lut_function)
    found = read_windows(source.window_center.values, source.window_width.values, names, function)
    if frame.to_suv is not None:
        return Windows(tuple(_in_suv(each, frame.to_suv) for each in found))
    return Windows(found, None if found else voi_domain(frame))


def voi_domain(frame: Frame) -> tuple[float, float] | None:
    """The first and the last modality value that a VOI LUT has entries for; None where it makes no difference."""
    signed = frame.instance.pixel.signed or frame.rescale.intercept < 0
    uid = frame.instance.sop_instance_uid
    for table in frame.item.voi_lut.items[:1]:
        with suppress(InvalidAttributeError):  # it only says how to show things
            told = read_descriptor(table.descriptor, signed=signed, name="LUTDescriptor", instance=uid)
            if told.count > 1:
                return float(told.first), float(told.first + told.count - 1)
    return None


def _in_suv(window: Window, factor: float) -> Window:
    low, high = (bound * factor for bound in window.bounds())
    return Window((low + high) / 2, high - low, window.name, VoiFunction.LINEAR_EXACT)


def _shown_name(text: str) -> str:
    return " ".join(word for word in text.upper().split() if word in _NAMES)


def image_attributes(stack: Stack, grid: Grid, values: str) -> ImageAttributes:
    """What the headers of a grid's frames say of the image."""
    frame = grid.first
    header, item = frame.instance, frame.item
    read = AttributeReader(header.sop_instance_uid)

    def alike(name: str) -> Leaf:
        leaf: Leaf = getattr(item, name)
        return leaf if _is_alike(grid, name) else EMPTY

    return ImageAttributes(
        modality=shown_code(header.modality),
        image_type=tuple(map(shown_code, header.image_type)),
        kind=_kind(grid),
        grouped_by=tuple(stack.why),
        part=grid.part,
        affine_reference="patient",
        rescale=None if has_table(frame) and values not in MEASURED else _rescale(grid, values),
        units=_units(grid) if all(each.has_rescale for each in grid.frames) else None,
        modality_lut=has_table(frame),
        windows_of_stored=shows_stored(frame) and values not in MEASURED,
        real_world_values=real_world_values(grid, read) or (),
        windows=() if shows_stored(frame) and values in MEASURED else windows(grid).all,
        pixel_padding_value=_padding(header, alike("pixel_padding_value")),
        pixel_padding_range_limit=_padding(header, alike("pixel_padding_range_limit")),
        laterality=_one_of(
            frame.side or read.text(alike("image_laterality")) or read.text(alike("laterality")), _SIDES
        ),
        view_position=shown_view(item),
        anatomical_orientation=_one_of(read.text(alike("anatomical_orientation")), _ORIENTATIONS),
        volumetric_properties=shown_code(read.text(alike("volumetric_properties")) or "") or None,
        burned_in_annotation=_burned_in(grid),
        imager_pixel_spacing=_numbers(read, alike("imager_pixel_spacing")),
        estimated_magnification=next(iter(_numbers(read, alike("estimated_magnification"))), None),
        nominal_scanned_pixel_spacing=_numbers(read, alike("nominal_scanned_pixel_spacing")),
        image_plane_pixel_spacing=_numbers(read, alike("image_plane_pixel_spacing")),
        pixel_spacing_calibration_type=_one_of(read.text(alike("pixel_spacing_calibration_type")), _CALIBRATIONS),
        pixel_aspect_ratio=_numbers(read, alike("pixel_aspect_ratio")),
        ultrasound_regions=tuple(_regions(item, read)) if _is_alike(grid, "regions") else (),
        segmentation=header.segmentation,
        source_series=() if header.segmentation is None or frame.between is not None else tuple(source_series(item)),
        gradients_in_patient=all(frame.gradient_in_patient for frame in grid.frames),
    )


def source_series(item: ImageItem) -> Iterator[str]:
    """The Series Instance UIDs that an instance refers to: ReferencedSeriesSequence (0008,1115)."""
    for found in item.referenced_series.items:
        yield from (str(value).strip(" \0") for value in found.series_instance_uid.values)


def _is_alike(grid: Grid, name: str) -> bool:
    """Whether all instances have the same of an attribute: where they differ, none speaks for the image."""
    told = getattr(grid.first.item, name)
    return all(own is told or own == told for own in map(attrgetter(f"item.{name}"), grid.frames))


def _burned_in(grid: Grid) -> str | None:
    """YES if any instance says so, NO if all do."""
    told = {AttributeReader("").text(leaf) for leaf in {frame.item.burned_in_annotation for frame in grid.frames}}
    return "YES" if "YES" in told else "NO" if told == {"NO"} else None


def padding_value(header: Instance, item: ImageItem) -> int | None:
    """PixelPaddingValue (0028,0120) among the stored values."""
    return _padding(header, item.pixel_padding_value)


def _kind(grid: Grid) -> str:
    """What was found, in words."""
    multi = any(frame.instance.number_of_frames > 1 for frame in grid.frames)
    held = "multi-frame instances" if multi else "single-frame instances"
    if grid.kind == LIST:
        return f"list of frames of {held}"
    if grid.slices is not None and len(grid.slices.distances) > 1:
        return f"volume of {held}"
    if grid.cells.size > 1:
        return f"sequence of {held}"
    return "slice" if grid.slices is not None else "picture"


def _rescale(grid: Grid, values: str) -> RescaleFactors:
    if values in MEASURED:
        return RescaleFactors()
    different = list(rescales(grid))
    if len(different) == 1:
        return RescaleFactors(different[0].slope, different[0].intercept)
    each = [IDENTITY if cell == ABSENT else grid.frames[cell].rescale for cell in grid.cells.reshape(-1)]
    shape = [size for size in grid.cells.shape if size > 1]
    return RescaleFactors(
        np.array([rescale.slope for rescale in each]).reshape(shape).tolist(),
        np.array([rescale.intercept for rescale in each]).reshape(shape).tolist(),
    )


def real_world_values(grid: Grid, read: AttributeReader) -> tuple[RealWorldMapping, ...] | None:
    """The mappings that all frames share; None where they differ, for then none speaks for the image."""
    told = {(frame.real_world, frame.instance.pixel) for frame in grid.frames}
    found = {tuple(real_world_mappings(read, items, pixel)) for items, pixel in told}
    return found.pop() if len(found) == 1 else None


def _units(grid: Grid) -> str | None:
    """The unit that all frames have; where they differ, none is that of the image."""
    kinds = {_unit_told(frame): frame for frame in grid.frames}
    found = set(map(_unit, kinds.values()))
    return found.pop() if len(found) == 1 else None


def _unit_told(frame: Frame) -> Hashable:
    """All that `_unit` depends on: frames of which it is the same have one unit."""
    header, item = frame.instance, frame.item
    told = (item.units, item.dose_units, item.rescale_slope, item.rescale_intercept, item.multi_energy_acquisition)
    kind = header.sop_class_uid, header.image_type, frame.rescale_type
    return (*told, *kind, id(item.modality_lut), frame.to_suv is not None)


def _unit(frame: Frame) -> str | None:
    if frame.to_suv is not None:
        return _SUV
    read, item = AttributeReader(""), frame.item
    tables = [read.text(table.kind) for table in item.modality_lut.items[:1]]
    told = (*tables, read.text(item.units), frame.rescale_type, read.text(item.dose_units))
    known = next((unit for text in told if (unit := _one_of(text, _UNITS))), None)
    return "HU" if known is None and _is_hounsfield(frame) else known


def _is_hounsfield(frame: Frame) -> bool:
    """Whether a CT image need not say that its unit is that (PS3.3 section C.8.2.1)."""
    header, item = frame.instance, frame.item
    original = header.image_type[:1] == ("ORIGINAL",) and "LOCALIZER" not in header.image_type
    scaled = is_given(item.rescale_slope) and is_given(item.rescale_intercept)
    scaled = scaled and not (frame.rescale_type or has_table(frame))
    several = (AttributeReader("").text(item.multi_energy_acquisition) or "").upper() == "YES"
    return header.sop_class_uid == CT_IMAGE_STORAGE and original and scaled and not several


def _one_of(text: str | None, known: frozenset[str]) -> str | None:
    return text if text in known else None


def _padding(header: Instance, leaf: Leaf) -> int | None:
    """In the sign of stored values, whatever the server made of its VR (PS3.3 section C.7.5.1.1.2)."""
    value = AttributeReader("").lenient_number(leaf)
    if value is None or not value.is_integer():
        return None
    pixel = header.pixel
    if not pixel.signed:
        return int(value) % 2**16 if value < 0 else int(value)
    return int(value) - 2**16 if value >= 2**15 and pixel.bits_allocated == 16 else int(value)  # noqa: PLR2004  # US


def _numbers(read: AttributeReader, leaf: Leaf) -> tuple[float, ...]:
    found = (read.lenient(value) for value in leaf.values)
    return tuple(number for number in found if number is not None)


def _regions(item: ImageItem, read: AttributeReader) -> Iterable[UltrasoundRegion]:
    for region in item.regions.items:
        corners = (region.min_x, region.min_y, region.max_x, region.max_y)
        yield UltrasoundRegion(
            box=tuple(map(read.lenient_number, corners)),
            delta=(read.lenient_number(region.delta_x), read.lenient_number(region.delta_y)),
            units=(_length_unit(read, region.units_x), _length_unit(read, region.units_y)),
            spatial_format=read.lenient_number(region.spatial_format),
            data_type=read.lenient_number(region.data_type),
        )


def _length_unit(read: AttributeReader, leaf: Leaf) -> str | None:
    return _LENGTH_UNITS.get(int(read.lenient_number(leaf) or 0))

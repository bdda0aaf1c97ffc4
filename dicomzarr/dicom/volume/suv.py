"""Standardized uptake by body weight, of what a PET measured, frame by frame. Pure (no I/O).

It follows the vendor-neutral way of QIBA's FDG-PET/CT profile, and goes beyond it for DecayCorrection ADMIN and NONE
(PS3.3 section C.8.9.1.1.10). What a header lacks is not made up: SUV is refused, and the text names the attribute.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from dicomzarr.dicom.lut.modality import Rescale
from dicomzarr.dicom.model.image_model import RadiopharmaceuticalItem
from dicomzarr.dicom.model.private import private_value
from dicomzarr.dicom.model.values import AttributeReader, is_given
from dicomzarr.dicom.volume.clock import date_and_time, date_time
from dicomzarr.errors import InvalidAttributeError, UnsupportedSeriesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.model.json_model import Leaf
    from dicomzarr.dicom.volume.frame import Frame
    from dicomzarr.dicom.volume.grid import Grid

_REMEDY: Final = 'Open the series with values="modality", and compute it by what you know besides.'
_DAY: Final = 86400.0
_GRAMS: Final = 1000.0
_HEAVIEST: Final = 1000.0
"""Kilograms; beyond, PatientWeight is in other units."""
_SMALLEST_DOSE: Final = 1e4
"""Becquerel; below, RadionuclideTotalDose is in other units."""
_MOST_HALF_LIVES: Final = 30.0
"""After which nothing is left to be measured: the times are not of one examination."""
_DECAY: Final = frozenset({"DECY", "DECAY"})
"""That decay was corrected: PS3.3 section C.8.9.1 has the first, the text of QIBA the second."""
_ZONE: Final = re.compile(r"[+-]\d{4}$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Uptake:
    """What leads from the modality values of frames to SUV."""

    factors: tuple[float, ...]
    """One for each frame."""
    notices: tuple[str, ...]
    """What was taken for granted, in sentences without patient text."""


def in_suv(grid: Grid, earliest: float | None) -> Grid:
    """The same frames, whose rescales lead to SUV, with notices of what was taken for granted.

    Args:
        grid: Frames of a series.
        earliest: See `earliest_of`.

    Raises:
        UnsupportedSeriesError: It is no PET.
        InvalidAttributeError: The header lacks what SUV is computed by, or contradicts itself.
    """
    found = uptake(grid.frames, earliest)
    frames = tuple(
        msgspec.structs.replace(
            frame, rescale=Rescale(frame.rescale.slope * factor, frame.rescale.intercept * factor), to_suv=factor
        )
        for frame, factor in zip(grid.frames, found.factors, strict=True)
    )
    return replace(grid, frames=frames, notices=(*grid.notices, *found.notices))


def earliest_of(frames: Iterable[Frame]) -> float | None:
    """When the first of all frames of a series was acquired, in seconds; None where none says so."""
    return min((time for frame in frames if (time := _acquired(frame.item)) is not None), default=None)


def uptake(frames: Sequence[Frame], earliest: float | None) -> Uptake:
    """The factors of the frames of one image.

    Raises:
        UnsupportedSeriesError: It is no PET.
        InvalidAttributeError: The header lacks what SUV is computed by, or contradicts itself.
    """
    first = frames[0]
    if first.instance.modality != "PT":
        raise UnsupportedSeriesError(
            f"SUV is computed of PET (Modality PT), and instance {first.instance.sop_instance_uid} is "
            f"{first.instance.modality or 'of no modality'}.",
            remedy='Open the series with values="modality".',
        )
    said: dict[str, None] = {}
    factors = tuple(_OneFrame(frame, earliest, said).factor() for frame in frames)
    return Uptake(factors, tuple(said))


class _OneFrame:
    """Computes the factor of one frame.

    Args:
        frame: The frame.
        earliest: When the first of all frames was acquired, in seconds.
        said: Takes notices.
    """

    def __init__(self, frame: Frame, earliest: float | None, said: dict[str, None]) -> None:
        self._has_rescale = frame.has_rescale and not frame.item.modality_lut.items
        self._item = frame.item
        self._read = AttributeReader(frame.instance.sop_instance_uid)
        self._uid = frame.instance.sop_instance_uid
        self._earliest = earliest
        self._said = said

    def factor(self) -> float:
        """What a modality value is multiplied by.

        Raises:
            InvalidAttributeError: The header does not say it.
        """
        if not self._has_rescale:
            raise self._lacking("RescaleSlope (0028,1053) is impossible, or a table is in its place")
        units = self._word(self._item.units)
        if units == "GML":
            return self._of_suv()
        if units not in {"BQML", "CNTS"}:
            raise self._lacking("Units (0054,1001) is neither BQML nor GML, nor CNTS of Philips")
        correction = self._word(self._item.decay_correction)
        self._check_corrected(correction)
        if units == "BQML":
            return self._of_activity(correction)
        return self._of_counts(correction)

    def _of_suv(self) -> float:
        kind = self._word(self._item.suv_type)
        if kind not in {"", "BW"}:
            raise self._lacking("SUVType (0054,1006) says that values are SUV of another kind than by body weight")
        if not kind:
            self._say("Units is GML; values are taken for SUV by body weight, for there is no SUVType.")
        return 1.0

    def _of_counts(self, correction: str) -> float:
        """Philips: counts with a factor to SUV, else with one to Bq/ml."""
        to_suv = self._read.lenient(private_value(self._item, "philips_suv_factor"))
        if to_suv is not None and to_suv > 0 and correction == "START":
            return to_suv
        to_activity = self._read.lenient(private_value(self._item, "philips_activity_factor"))
        if to_activity is None or to_activity <= 0:
            raise self._lacking("Units is CNTS, and Philips' factors (7053,xx00) and (7053,xx09) are absent")
        return to_activity * self._of_activity(correction)

    def _of_activity(self, correction: str) -> float:
        """Of Bq/ml: grams of the body, by what was left of the dose when values are as of."""
        weight = self._positive(self._item.patient_weight, "PatientWeight (0010,1030)")
        dose = self._positive(self._tracer.total_dose, "RadionuclideTotalDose (0018,1074)")
        if weight > _HEAVIEST:
            raise self._lacking("PatientWeight (0010,1030) is in no kilograms")
        if dose < _SMALLEST_DOSE:
            raise self._lacking("RadionuclideTotalDose (0018,1074) is in no becquerels")
        if correction == "ADMIN":
            return weight * _GRAMS / dose
        half_life = self._positive(self._tracer.half_life, "RadionuclideHalfLife (0018,1075)")
        moment = self._scan_start(half_life) if correction == "START" else self._middle(half_life)
        gone = (moment - self._administered(moment, half_life)) / half_life
        return weight * _GRAMS / (dose * math.pow(2, -gone))

    def _check_corrected(self, correction: str) -> None:
        if correction not in {"START", "ADMIN", "NONE"}:
            raise self._lacking("DecayCorrection (0054,1102) is absent")
        done = {text.upper() for text in self._read.texts(self._item.corrected_image)}
        if "ATTN" not in done:
            raise self._lacking("CorrectedImage (0028,0051) does not say that attenuation was corrected")
        if bool(_DECAY & done) != (correction != "NONE"):
            raise self._lacking("CorrectedImage (0028,0051) and DecayCorrection (0054,1102) contradict each other")

    # --- times, in seconds

    def _scan_start(self, half_life: float) -> float:
        """When the scan began, which values are corrected to."""
        item = self._item
        series, earliest = _moment(item.series_date, item.series_time), self._earliest
        if series is not None and earliest is not None:
            if _is_of_day(series):  # else any time of today is long after that without a date
                series += earliest // _DAY * _DAY
            elif _is_of_day(earliest):
                earliest += series // _DAY * _DAY
            if series <= earliest:
                return series
        vendor = date_time(str(private_value(item, "ge_scan_start") or ""))
        if vendor is not None:
            self._say("the scan began when GE's private attribute (0009,xx0D) says, for SeriesTime is later.")
            return vendor
        reference = self._read.lenient_number(item.frame_reference_time)
        duration = self._read.lenient_number(item.actual_frame_duration)
        acquired = _acquired(item)
        if acquired is not None and reference is not None and duration is not None and min(reference, duration) > 0:
            self._say("the scan began when FrameReferenceTime says, for SeriesTime is not before all frames.")
            return acquired - reference / 1000 + _average(duration / 1000, half_life)
        if earliest is None:
            raise self._lacking("AcquisitionTime (0008,0032) is absent")
        self._say("the scan is taken to have begun with the first frame that is here, for nothing else tells it.")
        return earliest

    def _middle(self, half_life: float) -> float:
        """When a frame counted as it did on average, which values without correction are as of."""
        acquired = _acquired(self._item)
        if acquired is None:
            raise self._lacking("AcquisitionTime (0008,0032) is absent, and decay was not corrected")
        duration = self._positive(self._item.actual_frame_duration, "ActualFrameDuration (0018,1242)")
        return acquired + _average(duration / 1000, half_life)

    def _administered(self, moment: float, half_life: float) -> float:
        """When the tracer was given: at most as long before as it can still be measured."""
        known = _local(self._tracer.start_datetime, self._item.timezone)
        of_day = _local(self._tracer.start_time, self._item.timezone, of_day=True)
        agree = known is None or of_day is None or _apart(known, of_day) <= 1
        if known is not None and of_day is not None and not agree and self._is_elsewhere():
            self._say(
                "the tracer was given at RadiopharmaceuticalStartTime: nothing tells the zone of the date with time."
            )
            known, agree = None, True
        if known is not None and 0 <= moment - known <= _MOST_HALF_LIVES * half_life:
            if not agree:
                self._say("RadiopharmaceuticalStartDateTime counts, which RadiopharmaceuticalStartTime contradicts.")
            return known
        if of_day is None or not agree:
            raise self._lacking(
                "RadiopharmaceuticalStartDateTime (0018,1078) is not before the scan"
                if known is not None
                else "RadiopharmaceuticalStartTime (0018,1072) is absent"
            )
        if known is not None:
            self._say("the tracer is taken to have been given on the day of the scan: its date is another one.")
        found = moment // _DAY * _DAY + of_day % _DAY
        if found > moment:
            self._say("the tracer is taken to have been given the day before the scan: it was after midnight.")
            found -= _DAY
        if moment - found > _MOST_HALF_LIVES * half_life:
            raise self._lacking("RadiopharmaceuticalStartTime (0018,1072) is too long before the scan")
        return found

    def _is_elsewhere(self) -> bool:
        """Whether the tracer was given by the clock of a zone, and nothing says by which the scan was timed."""
        zone = _ZONE.search(str(self._tracer.start_datetime.first or "").strip())
        return zone is not None and not _ZONE.fullmatch(str(self._item.timezone.first or "").strip())

    # --- attributes

    @property
    def _tracer(self) -> RadiopharmaceuticalItem:
        items = self._item.radiopharmaceuticals.items
        if len(items) > 1 and len(set(items)) > 1:
            raise self._lacking("RadiopharmaceuticalInformationSequence (0054,0016) names several tracers")
        return items[0] if items else RadiopharmaceuticalItem()

    def _say(self, what: str) -> None:
        self._said[f"SUV: {what}"] = None

    def _word(self, leaf: Leaf) -> str:
        return (self._read.text(leaf) or "").upper()

    def _positive(self, leaf: Leaf, name: str) -> float:
        number = self._read.lenient_number(leaf)
        if number is None or number <= 0:
            raise self._lacking(f"{name} is absent or impossible")
        return number

    def _lacking(self, why: str) -> InvalidAttributeError:
        return InvalidAttributeError(f"Instance {self._uid}: SUV cannot be computed: {why}.", remedy=_REMEDY)


def _is_of_day(seconds: float) -> bool:
    """Whether a time has no date: dates before 1970, as de-identification shifts them, are less than nothing."""
    return 0 <= seconds < _DAY


def _apart(one: float, other: float) -> float:
    """Seconds between two times of the day."""
    found = abs(one - other) % _DAY
    return min(found, _DAY - found)


def _average(duration: float, half_life: float) -> float:
    """Seconds after the beginning of a frame at which it counts at its average rate."""
    decay = math.log(2) / half_life
    gone = decay * duration
    return math.log(gone / -math.expm1(-gone)) / decay


def _moment(date: Leaf, time: Leaf) -> float | None:
    """Seconds; None without a time, for no scan begins with the day."""
    return date_and_time(date, time) if is_given(time) else None


def _acquired(item: ImageItem) -> float | None:
    found = _moment(item.acquisition_date, item.acquisition_time)
    return found if found is not None else _local(item.acquisition_datetime, item.timezone)


def _local(leaf: Leaf, timezone: Leaf, *, of_day: bool = False) -> float | None:
    """A date with time, or a time of day, in the zone of all other times of the instance."""
    text = str(leaf.first or "").strip()
    zone, own = _ZONE.search(text), str(timezone.first or "").strip()
    seconds = date_time(f"{'19700101' if of_day else ''}{_ZONE.sub('', text)}") if text else None
    if seconds is None or zone is None or not _ZONE.fullmatch(own):
        return seconds
    return seconds - _offset(zone[0]) + _offset(own)


def _offset(zone: str) -> float:
    seconds = int(zone[1:3]) * 3600.0 + int(zone[3:]) * 60.0
    return -seconds if zone[0] == "-" else seconds

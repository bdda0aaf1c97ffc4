"""Dates and times of acquisition as seconds: only their differences leave this package."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.dicom.model.binary import Scalar
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.dicom.model.json_model import Leaf
    from dicomzarr.dicom.model.values import Value

_DAY: Final = 86400.0
_DATE: Final = r"(\d{4})\.?(\d{2})\.?(\d{2})"
_TIME: Final = r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d*))?"  # some write more than six digits
_DATETIME: Final = re.compile(f"{_DATE}{_TIME}([+-]\\d{{4}})?", re.ASCII)


def acquired_at(item: ImageItem, frame_datetime: Scalar) -> float | None:
    """Seconds since a fixed day at which a frame was acquired; None where nothing says so.

    FrameAcquisitionDateTime (0018,9074) or FrameReferenceDateTime (0018,9151), else AcquisitionDateTime (0008,002A),
    else AcquisitionDate (0008,0022) with AcquisitionTime (0008,0032); without a date the time of the day.
    """
    for value in (frame_datetime, item.acquisition_datetime.first):
        seconds = _seconds(str(value or ""))
        if seconds is not None:
            return seconds
    return date_and_time(item.acquisition_date, item.acquisition_time)


def date_and_time(date: Leaf, time: Leaf) -> float | None:
    """Seconds since a fixed day; of a time without a date since midnight, of a date without a time until then.

    A date that is none, as de-identification writes 00000000, leaves the time.
    """
    day, of_day = str(date.first or "").strip(), str(time.first or "").strip()
    known = _seconds(f"{day}{of_day or '00'}") if day else None
    return known if known is not None or not of_day else _seconds(f"19700101{of_day}")


def date_time(text: str) -> float | None:
    """Seconds since a fixed day of a date with time (DT), as far as its time goes; None for anything else."""
    return _seconds(text)


def first_time(times: Iterable[Value]) -> float:
    """The earliest of the times that are known: what is shown of the others is the difference; 0 where none is."""
    return min((time for time in times if isinstance(time, float)), default=0.0)


def in_order(times: Sequence[Value]) -> list[Value]:
    """Times of one acquisition; where all have one date, or none, those after midnight come behind those before it.

    One date is what de-identification leaves. An acquisition over midnight has no times by day.
    """
    known = [time for time in times if isinstance(time, float)]
    day = min(known, default=0.0) // _DAY * _DAY
    of_day = [time - day for time in known]
    by_day = any(_DAY / 4 <= time < _DAY * 3 / 4 for time in of_day)
    if not known or by_day or max(of_day) >= _DAY or max(of_day) - min(of_day) <= _DAY / 2:
        return list(times)
    return [time + _DAY if isinstance(time, float) and time - day < _DAY / 2 else time for time in times]


def _seconds(text: str) -> float | None:
    found = _DATETIME.fullmatch(text.strip())
    if found is None:
        return None
    *parts, fraction, zone = found.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=_zone(zone))
    except (ValueError, OverflowError):
        return None
    return moment.timestamp() + float(f"0.{fraction or 0}")


def _zone(text: str | None) -> tzinfo:
    if text is None:
        return UTC
    hours, minutes = divmod(int(text[1:]), 100)
    return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))

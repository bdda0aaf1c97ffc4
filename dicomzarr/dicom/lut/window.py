"""Windows: which values are shown from black to white (PS3.3 section C.11.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.model.values import AttributeReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.dicom.lut.modality import Rescale
    from dicomzarr.dicom.model.binary import Scalar

_SMALLEST_LINEAR_WIDTH: Final = 1
_THRESHOLD_WIDTH: Final = 2


class VoiFunction(StrEnum):
    """VOILUTFunction (0028,1056), PS3.3 section C.11.2.1.3."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """One choice of WindowCenter (0028,1050) and WindowWidth (0028,1051), in units of modality values."""

    center: float
    width: float
    name: str = ""
    """WindowCenterWidthExplanation (0028,1055): text that anybody may have written."""
    function: VoiFunction = VoiFunction.LINEAR

    def bounds(self) -> tuple[float, float]:
        """The values (low, high) that are shown black and white, in units of modality values.

        A linear window is half a value lower, and one narrower, than its numbers (PS3.3 section C.11.2.1.2.1); one of
        width 1, a threshold, has the bounds of width 2, which show whole numbers alike (note 5 there). For a sigmoid
        they are where its tangent at the center reaches black and white.
        """
        center, width = self.center, self.width
        if self.function is VoiFunction.LINEAR:
            center -= 0.5
            width = (_THRESHOLD_WIDTH if width == _SMALLEST_LINEAR_WIDTH else width) - 1
        return center - width / 2, center + width / 2


def read_windows(
    centers: Sequence[Scalar], widths: Sequence[Scalar], names: Sequence[Scalar] = (), function: str | None = None
) -> tuple[Window, ...]:
    """The windows of an instance or a frame, the preferred one first.

    They only say how to show things, so what makes no window is left out: a center without a width, what is no number,
    a width that the function does not allow.

    Args:
        centers: WindowCenter (0028,1050), numbers or text.
        widths: WindowWidth (0028,1051), likewise.
        names: WindowCenterWidthExplanation (0028,1055); missing ones are empty.
        function: VOILUTFunction (0028,1056); None or blank is LINEAR. Centers and widths of a function that the
            standard does not know mean nothing.
    """
    shape = (function or "").strip().upper() or VoiFunction.LINEAR
    if shape not in set(VoiFunction):
        return ()
    rows = zip(centers, widths, chain(names, repeat(None)), strict=False)  # the shortest counts
    windows = (_window(center, width, name, VoiFunction(shape)) for center, width, name in rows)
    return tuple(window for window in windows if window is not None)


def _window(center: Scalar, width: Scalar, name: Scalar, function: VoiFunction) -> Window | None:
    window = Window(_number(center), _number(width), "" if name is None else str(name).strip(), function)
    smallest = _SMALLEST_LINEAR_WIDTH if function is VoiFunction.LINEAR else 0
    low, high = window.bounds()
    return window if window.width >= smallest and -math.inf < low < high < math.inf else None


def _number(value: Scalar) -> float:
    """A number, or NaN, which fails every comparison."""
    number = AttributeReader("").lenient(value)
    return math.nan if number is None else number


def in_stored(bounds: tuple[float, float], rescale: Rescale) -> tuple[float, float] | None:
    """Bounds in units of modality values as (low, high) in stored values.

    With a negative slope the ends change places: what was shown black is the high one then. None where stored values
    make no difference, or no finite one.
    """
    if rescale.slope == 0:
        return None
    low, high = sorted((bound - rescale.intercept) / rescale.slope + 0.0 for bound in bounds)  # and no -0.0
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None

"""What of a picture is shown, and how large (PS3.18 section 8.3.5.1.3). Pure (no I/O)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.lut.window import VoiFunction, Window, read_windows
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_LARGEST: Final = 4096
_FUNCTIONS: Final = {
    "linear": VoiFunction.LINEAR,
    "linear-exact": VoiFunction.LINEAR_EXACT,
    "sigmoid": VoiFunction.SIGMOID,
}


@dataclass(frozen=True, slots=True)
class Viewport:
    """A part of a picture in a box, into which it is scaled without being distorted."""

    width: int | None = None
    """Columns of the box; None leaves pixels as they are."""
    height: int | None = None
    left: float = 0.0
    top: float = 0.0
    columns: float = 0.0
    """Of the picture, from ``left`` on; 0 for all, negative mirrors it."""
    rows: float = 0.0
    enlarges: bool = True
    """Whether a picture that is smaller than the box is made larger."""

    def of(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """That part of a picture, shape (rows, columns, ...), scaled by means or by repetition."""
        found = _cut(_cut(picture, 0, self.top, self.rows), 1, self.left, self.columns)
        if self.width is None or self.height is None:
            return found
        scale = min(self.width / found.shape[1], self.height / found.shape[0])
        if scale >= 1 and not self.enlarges:
            return found
        scaled = _scaled(_scaled(found, 0, scale), 1, scale)
        return scaled if found.dtype.kind == "f" else np.rint(scaled).astype(found.dtype)


def _cut(picture: npt.NDArray[Any], axis: int, start: float, length: float) -> npt.NDArray[Any]:
    count = picture.shape[axis]
    low = min(max(0, round(start)), count - 1)
    high = min(count, low + max(1, round(abs(length)))) if length else count
    step = -1 if length < 0 else 1
    part: npt.NDArray[Any] = picture[low:high][::step] if axis == 0 else picture[:, low:high][:, ::step]
    return part


def _scaled(picture: npt.NDArray[Any], axis: int, scale: float) -> npt.NDArray[Any]:
    count = picture.shape[axis]
    wanted = max(1, round(count * scale))
    if wanted >= count:
        repeated: npt.NDArray[Any] = np.take(picture, np.arange(wanted) * count // wanted, axis)
        return repeated
    edges = np.linspace(0, count, wanted + 1).astype(np.intp)
    sums = np.add.reduceat(picture.astype(np.float64), edges[:-1], axis=axis)
    means: npt.NDArray[Any] = sums / np.diff(edges).reshape([-1 if each == axis else 1 for each in range(picture.ndim)])
    return means


def read_viewport(text: str) -> Viewport:
    """The ``viewport`` parameter: columns and rows of the box, then those of the part: left, top, columns, rows.

    Raises:
        UsageError: It is none.
    """
    if not text:
        return Viewport()
    numbers = [_number(word) if word else 0.0 for word in text.split(",")]
    if len(numbers) not in {2, 6} or not all(1 <= side <= _LARGEST for side in numbers[:2]):
        raise UsageError(f"viewport should be two numbers from 1 to {_LARGEST}, or six.")
    left, top, columns, rows = numbers[2:] or [0.0] * 4
    return Viewport(int(numbers[0]), int(numbers[1]), left, top, columns, rows)


def read_window(text: str) -> Window | None:
    """The ``window`` parameter: center, width and function (PS3.18 section 8.3.5.1.4).

    Raises:
        UsageError: It is none.
    """
    if not text:
        return None
    center, _, rest = text.partition(",")
    width, _, name = rest.partition(",")
    function = _FUNCTIONS.get((name or "linear").lower().replace("_", "-"))
    windows = () if function is None else read_windows([center], [width], (), function)
    if not windows:
        raise UsageError("window should be a center, a width, and linear, linear-exact or sigmoid.")
    return windows[0]


def read_quality(parameters: Mapping[str, str]) -> int:
    """The ``quality`` parameter, from 1 to 100.

    Raises:
        UsageError: It is no such number.
    """
    quality = _number(parameters.get("quality", "90"))
    if not 1 <= quality <= 100:  # noqa: PLR2004  # as said
        raise UsageError("quality should be a number from 1 to 100.")
    return int(quality)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < 1e6:  # noqa: PLR2004  # no picture is that large
        raise UsageError(f"{text!r:.40} is no number of pixels.")
    return number

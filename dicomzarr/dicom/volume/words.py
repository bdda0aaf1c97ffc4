"""What frames have of an attribute, in words."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.lut.modality import UNITS
from dicomzarr.dicom.model.values import shown_code
from dicomzarr.dicom.volume.clock import first_time, in_order
from dicomzarr.dicom.volume.computed import GRADIENT
from dicomzarr.dicom.volume.dimensions import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.dicom.model.values import Value
    from dicomzarr.dicom.volume.frame import Frame


_SEQUENCE: Final = re.compile(
    r"\*?[a-z]{2,4}[0-9]?d?[0-9]{0,2}_[bv][0-9]{1,5}(?:rl|lr|ap|pa|fh|hf|in|is)?(?:#[0-9]{1,3})?"
)
"""How Siemens names a sequence by its b-value or the velocity that it encodes: nobody is called so."""


def shown_text(text: str) -> str:
    """A text as it may be shown: known words, and OTHER for each unknown one, which may be anybody's name."""
    return text if text in UNITS or _SEQUENCE.fullmatch(text) or GRADIENT.fullmatch(text) else shown_code(text)


def shown_texts(texts: Iterable[str]) -> dict[str, str]:
    """Texts as they may be shown, with a number where others look alike."""
    shown = {text: shown_text(text) for text in dict.fromkeys(texts)}
    alike, before = Counter(shown.values()), Counter[str]()
    for text, words in shown.items():
        before[words] += 1
        if alike[words] > 1:
            shown[text] = f"{words} {before[words]}"
    return shown


class Words:
    """What frames have of dimensions, in words.

    Args:
        frames: Those that are told from each other.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._texts: dict[str, dict[str, str]] = {}
        self._times: dict[str, list[Value]] = {}

    def of(self, place: int, name: str) -> str:
        """What one of the frames has of a dimension, as ``echo_time 12.5 ms``."""
        row = BY_NAME.get(name)
        is_clock = row is not None and row.clock
        value = self._since_first(name)[place] if is_clock else self._frames[place].values.get(name)
        if value is None:
            return f"no {name}"
        if isinstance(value, str):
            shown = self._shown(name)[value]
            return shown if name in {"component", "image_type"} else f"{name} {shown}"
        if isinstance(value, tuple):
            return f"{name} ({', '.join(f'{number:g}' for number in value)})"
        return f"{name} {value:g} {'' if row is None else row.unit}".rstrip()

    def of_part(self, place: int, name: str) -> str:
        """The same as people say it, for the name of an image, as ``echo time 12.5 ms`` and ``b 1000``."""
        value = self._frames[place].values.get(name)
        if name == "b_value" and value is not None:
            return f"b {value:g}"
        return self.of(place, name).replace("_", " ")

    def _shown(self, name: str) -> dict[str, str]:
        if name not in self._texts:
            values = (frame.values.get(name) for frame in self._frames)
            self._texts[name] = shown_texts(value for value in values if isinstance(value, str))
        return self._texts[name]

    def _since_first(self, name: str) -> list[Value]:
        if name not in self._times:
            told = in_order([frame.values.get(name) for frame in self._frames])
            start = first_time(told)
            self._times[name] = [time - start if isinstance(time, float) else time for time in told]
        return self._times[name]

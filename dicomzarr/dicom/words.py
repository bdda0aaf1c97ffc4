"""What frames have of an attribute, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.clock import first_time
from dicomzarr.dicom.dimensions import BY_NAME
from dicomzarr.dicom.values import shown_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dicomzarr.dicom.frame import Frame


_SEQUENCE: Final = re.compile(
    r"\*?[a-z]{2,4}[0-9]?d?[0-9]{0,2}_[bv][0-9]{1,5}(?:rl|lr|ap|pa|fh|hf|in|is)?(?:#[0-9]{1,3})?"
)
"""How Siemens names a sequence by its b-value or the velocity that it encodes: nobody is called so."""


def shown_text(text: str) -> str:
    """A text as it may be shown: known words, and OTHER for each unknown one, which may be anybody's name."""
    return text if _SEQUENCE.fullmatch(text) else shown_code(text)


def shown_texts(texts: Iterable[str]) -> dict[str, str]:
    """Texts as they may be shown, with a number where others look alike."""
    distinct = list(dict.fromkeys(texts))
    shown = [shown_text(text) for text in distinct]
    return {
        text: words if shown.count(words) == 1 else f"{words} {shown[: place + 1].count(words)}"
        for place, (text, words) in enumerate(zip(distinct, shown, strict=True))
    }


def describe(frames: Sequence[Frame], place: int, name: str) -> str:
    """What one of the frames has of a dimension in words, as ``echo_time 12.5 ms``."""
    row = BY_NAME.get(name)
    value = frames[place].values.get(name)
    if value is None:
        return f"no {name}"
    if isinstance(value, str):
        texts = dict.fromkeys(text for frame in frames if isinstance(text := frame.values.get(name), str))
        shown = shown_texts(texts)[value]
        return shown if name in {"component", "image_type"} else f"{name} {shown}"
    if isinstance(value, tuple):
        return f"{name} ({', '.join(f'{number:g}' for number in value)})"
    if row is not None and row.clock:
        value -= first_time(frame.values.get(name) for frame in frames)
    return f"{name} {value:g} {'' if row is None else row.unit}".rstrip()


def part_words(frames: Sequence[Frame], place: int, name: str) -> str:
    """The same as people say it, for the name of an image, as ``echo time 12.5 ms`` and ``b 1000``."""
    value = frames[place].values.get(name)
    if name == "b_value" and value is not None:
        return f"b {value:g}"
    return describe(frames, place, name).replace("_", " ")

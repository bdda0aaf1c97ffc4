"""Frames of one instance that somebody wants."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.errors import DicomZarrError
from dicomzarr.sources.dicomweb.negotiation.remembered import InstanceKey
from dicomzarr.sources.dicomweb.whole.whole_instance import MOST_FOR_A_FRAME

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

Deliver: TypeAlias = Callable[[int, EncodedFrame], None]
Fail: TypeAlias = Callable[[int, DicomZarrError], None]

_SHOWN = 6
_LEAST_FRAME: Final = 64 * 1024  # a codestream of a tiny frame may be larger than the frame
_MOST_BESIDE: Final = 2**20  # bytes of a reply beside the frames
_MOST_UNKNOWN: Final = 2**30  # bytes of a reply where nothing is known of the frames


@dataclass(slots=True)
class FrameJob:
    """The frames of one instance that are still to be had."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    instance: str
    """SOP Instance UID."""
    pending: dict[int, None]
    """Frame numbers (from 1) that were neither delivered nor failed, ascending."""
    on_frame: Deliver
    """Called once for each frame that came."""
    on_failure: Fail
    """Called once for each frame that cannot be had."""
    compressed: bool = False
    """The metadata say that what is stored is a codestream."""
    whole: bool = False
    """They shall be cut from the whole instance, and not be asked for one by one."""
    gzip: bool = False
    """The reply may be compressed."""
    number_of_frames: int | None = None
    """How many the instance has, where that is known."""
    frame_bytes: int | None = None
    """Bytes of one decoded frame, where that is known."""
    failed: int = 0
    """How many were given up."""
    key: InstanceKey = field(init=False)
    """The instance."""

    def __post_init__(self) -> None:
        self.key = InstanceKey(self.study, self.series, self.instance)

    @property
    def is_large(self) -> bool:
        """Whether the instance is too large to be fetched for the sake of one frame."""
        return (self.number_of_frames or 0) * (self.frame_bytes or 0) > MOST_FOR_A_FRAME

    def most_bytes(self, count: int) -> int:
        """Bytes that a reply with so many frames may have."""
        if self.frame_bytes is None:
            return _MOST_UNKNOWN
        return count * max(2 * self.frame_bytes, _LEAST_FRAME) + _MOST_BESIDE

    def trials(self, tried: Container[int]) -> list[FrameJob]:
        """Jobs of single frames, first, in the middle and last in the instance, whose outcome goes nowhere.

        Args:
            tried: Frames that are left out.
        """
        count = self.number_of_frames or 0
        numbers = dict.fromkeys((1, (1 + count) // 2, count)) if count else {}
        return [
            replace(self, pending={number: None}, on_frame=_ignore, on_failure=_ignore)
            for number in numbers
            if number not in tried
        ]

    def left(self, numbers: Iterable[int]) -> list[int]:
        """Those that are still to be had."""
        return [number for number in numbers if number in self.pending]

    def deliver(self, number: int, frame: EncodedFrame) -> None:
        """Hand a frame out, unless an earlier try has done so."""
        if number in self.pending:
            del self.pending[number]
            self.on_frame(number, frame)

    def fail(self, number: int, error: DicomZarrError) -> None:
        """Give a frame up."""
        if number in self.pending:
            del self.pending[number]
            self.failed += 1
            self.on_failure(number, error)

    def fail_all(self, numbers: Iterable[int], error: DicomZarrError) -> None:
        """Give frames up, each with an error of its own, since each is raised elsewhere."""
        for number in self.left(numbers):
            self.fail(number, copy.copy(error))

    def subject(self, numbers: Sequence[int]) -> str:
        """The frames in words, for messages."""
        listed = ", ".join(map(str, numbers[:_SHOWN])) + (f", ... {numbers[-1]}" if len(numbers) > _SHOWN else "")
        word = "frame" if len(numbers) == 1 else "frames"
        return f"{word} {listed} of instance {self.instance}, series {self.series}, study {self.study}"


def _ignore(number: int, outcome: EncodedFrame | DicomZarrError) -> None:
    """Nobody waits for it."""

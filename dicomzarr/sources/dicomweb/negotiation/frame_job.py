"""Frames of one instance that somebody wants."""

from __future__ import annotations

import copy
from dataclasses import InitVar, dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
from dicomzarr.sources.dicomweb.whole.whole_instance import MOST_FOR_A_FRAME

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.errors import DicomZarrError

_SHOWN = 6
_LEAST_FRAME: Final = 64 * 1024  # a codestream of a tiny frame may be larger than the frame
_MOST_BESIDE: Final = 2**20  # bytes of a reply beside the frames
_MOST_UNKNOWN: Final = 2**30  # bytes of a reply where nothing is known of the frames


class InstanceSink(Protocol):
    """Takes what becomes of the frames of one instance, by their numbers; each arrives or fails once."""

    def arrived(self, number: int, frame: EncodedFrame) -> None:
        """The frame has come: its part is whole."""

    def failed(self, number: int, error: DicomZarrError) -> None:
        """The frame cannot be had."""


@dataclass(slots=True)
class FrameJob:
    """The frames of one instance that are still to be had."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    instance: str
    """SOP Instance UID."""
    numbers: InitVar[Iterable[int]]
    """Frame numbers, from 1; a doubled one counts once."""
    sink: InstanceSink | None
    """Takes what becomes of them; None where only the outcome matters."""
    compressed: bool = False
    """The metadata say that what is stored is a codestream: a server that decodes it is asked anew."""
    whole: bool = False
    """They shall be cut from the whole instance at once, as for `Instance.frames_unaligned`, or when a frame
    that came does not decode."""
    gzip: bool = False
    """The reply may be compressed."""
    number_of_frames: int | None = None
    """How many the instance has, where that is known. With the bytes of a frame it tells how large the instance is:
    beyond 256 MiB it is fetched only when no frame of it comes by itself."""
    frame_bytes: int | None = None
    """Bytes of one decoded frame, where that is known; a reply of much more than that is refused."""
    state: Hashable = None
    """In which the series was opened, see `InstanceKey.state`."""
    failed: int = 0
    """How many were given up."""
    pending: dict[int, None] = field(init=False)
    """Frame numbers that were neither delivered nor failed, ascending."""
    key: InstanceKey = field(init=False)
    """The instance."""

    def __post_init__(self, numbers: Iterable[int]) -> None:
        self.pending = dict.fromkeys(sorted(set(numbers)))
        self.key = InstanceKey(self.study, self.series, self.instance, self.state)

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
        return [replace(self, numbers=(number,), sink=None) for number in numbers if number not in tried]

    def left(self, numbers: Iterable[int]) -> list[int]:
        """Those that are still to be had."""
        return [number for number in numbers if number in self.pending]

    def deliver(self, number: int, frame: EncodedFrame) -> None:
        """Hand a frame out, unless an earlier try has done so."""
        if number in self.pending:
            del self.pending[number]
            if self.sink is not None:
                self.sink.arrived(number, frame)

    def fail(self, number: int, error: DicomZarrError) -> None:
        """Give a frame up."""
        if number in self.pending:
            del self.pending[number]
            self.failed += 1
            if self.sink is not None:
                self.sink.failed(number, error)

    def fail_all(self, numbers: Iterable[int], error: DicomZarrError) -> None:
        """Give frames up, each with an error of its own, since each is raised elsewhere."""
        for number in self.left(numbers):
            self.fail(number, copy.copy(error))

    def subject(self, numbers: Sequence[int]) -> str:
        """The frames in words, for messages."""
        listed = ", ".join(map(str, numbers[:_SHOWN])) + (f", ... {numbers[-1]}" if len(numbers) > _SHOWN else "")
        word = "frame" if len(numbers) == 1 else "frames"
        return f"{word} {listed} of instance {self.instance}, series {self.series}, study {self.study}"

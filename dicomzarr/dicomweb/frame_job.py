"""Frames of one instance that somebody wants."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dicomzarr.dicomweb.replies import EncodedFrame
from dicomzarr.dicomweb.whole_instance import InstanceKey
from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Deliver: TypeAlias = Callable[[int, EncodedFrame], None]
Fail: TypeAlias = Callable[[int, DicomZarrError], None]

_SHOWN = 6


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
    failed: int = 0
    """How many were given up."""

    @property
    def key(self) -> InstanceKey:
        """The instance."""
        return InstanceKey(self.study, self.series, self.instance)

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

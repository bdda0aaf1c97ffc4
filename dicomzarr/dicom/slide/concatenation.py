"""Instances to the images that they are parts of, and the frames of these in their order (PS3.3 section C.7.6.16)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from dicomzarr.dicom.cell_state import state_of_instances
from dicomzarr.dicom.instance import FrameRef
from dicomzarr.errors import MissingInstanceError, TilingError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from dicomzarr.dicom.instance import ConcatenationPart, Instance


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """The frames of a concatenation, numbered through its parts; one part is the ordinary case."""

    uid: str
    """ConcatenationUID, or the SOP Instance UID of the only part."""
    offsets: tuple[int, ...]
    """Frames before each part, ascending."""
    parts: tuple[Instance, ...]
    complete: bool
    """No part is known to be lost."""

    @property
    def end(self) -> int:
        """The number of the last frame that a part holds."""
        return self.offsets[-1] + self.parts[-1].number_of_frames

    def state(self) -> Iterator[bytes]:
        """What tells it from other sequences: see `cell_state`."""
        counts = [part.number_of_frames for part in self.parts]
        yield repr((self.offsets, counts, self.complete)).encode()
        yield from state_of_instances(self.parts)

    def ref(self, number: int) -> FrameRef:
        """The frame of this number within the concatenation.

        Raises:
            MissingInstanceError: The part that should hold it is not in the series.
        """
        index = bisect_right(self.offsets, number - 1) - 1
        if index >= 0:
            local = number - self.offsets[index]
            if local <= self.parts[index].number_of_frames:
                return FrameRef(self.parts[index], local)
        raise self.lost(f"frame {number}")

    def lost(self, what: str) -> MissingInstanceError:
        """The error for what a lost part may hold."""
        return MissingInstanceError(
            f"{self.parts[0].series}, concatenation {self.uid}: {what} is in a part that the series lacks.",
            remedy="Send the missing instance to the server.",
        )


def images_of(instances: Iterable[Instance]) -> list[list[Instance]]:
    """Instances that are one image: an instance, or the parts of a concatenation.

    Some writers give each part a ConcatenationUID of its own, or none: parts of one source are one image then, and so
    are those that are alike.
    """
    groups: defaultdict[Hashable, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[_whole(instance)].append(instance)
    joined: defaultdict[Hashable, list[Instance]] = defaultdict(list)
    for key, parts in groups.items():
        concatenation = parts[0].concatenation
        source = None if concatenation is None or _is_complete(parts) else concatenation.source
        joined[key if source is None else ("source", source)] += parts
    return list(joined.values())


def in_order(parts: Iterable[Instance]) -> list[Instance]:
    """By ConcatenationFrameOffsetNumber where all have it, else by InConcatenationNumber."""
    known = list(parts)
    by_offset = all(_told(part).frame_offset is not None for part in known if part.concatenation)
    return sorted(known, key=lambda part: (_place(part, by_offset=by_offset), part.sop_instance_uid))


def frame_sequence(parts: Sequence[Instance], *, gapless: bool = False) -> FrameSequence:
    """The frames of parts that are in their order.

    Args:
        parts: They.
        gapless: Count those that are there, and no others.

    Raises:
        TilingError: The parts overlap, or do not say where they begin.
    """
    first = parts[0]
    uid = _told(first).uid if first.concatenation else ""
    offsets = added_up(parts) if gapless else _offsets(parts)
    return FrameSequence(uid or first.sop_instance_uid, offsets, tuple(parts), _is_complete(parts))


def added_up(parts: Sequence[Instance]) -> tuple[int, ...]:
    """Frames before each part, by adding up."""
    return tuple(accumulate((part.number_of_frames for part in parts[:-1]), initial=0))


def _whole(instance: Instance) -> Hashable:
    part = instance.concatenation
    if part is None:
        return instance.sop_instance_uid
    if part.uid:
        return part.uid
    if part.source:
        return ("source", part.source)
    if part.total == 1 or part.number is None:
        return instance.sop_instance_uid
    pixel = instance.pixel
    paths = (instance.optical_paths, instance.shared_optical_path)
    return (pixel.shape, instance.total_pixel_matrix, instance.frame_of_reference_uid, instance.origin, paths)


def _told(part: Instance) -> ConcatenationPart:
    assert part.concatenation is not None  # noqa: S101  # asked of parts alone
    return part.concatenation


def _place(part: Instance, *, by_offset: bool) -> int:
    if part.concatenation is None:
        return 0
    return (part.concatenation.frame_offset if by_offset else part.concatenation.number) or 0


def _is_complete(parts: Sequence[Instance]) -> bool:
    numbered = [part.concatenation for part in in_order(parts) if part.concatenation]
    total = max((part.total or 0 for part in numbered), default=0) or len(numbered)
    return len(numbered) == total and _numbered_through([part.number for part in numbered])


def _numbered_through(numbers: Sequence[int | None]) -> bool:
    """From 1, or from 0, as some count; who gives no numbers says where parts begin."""
    if numbers and all(number is None for number in numbers):
        return True
    start = 0 if 0 in numbers else 1
    return list(numbers) == list(range(start, len(numbers) + start))


def _offsets(parts: Sequence[Instance]) -> tuple[int, ...]:
    """Frames before each part; by their own account, else by adding up when none is missing."""
    counts = [part.number_of_frames for part in parts]
    told = [part.concatenation.frame_offset if part.concatenation else 0 for part in parts]
    numbers = [part.concatenation.number if part.concatenation else 1 for part in parts]
    if None in told and (None in numbers or not _numbered_through(numbers)):
        raise TilingError("their concatenation lacks parts and does not say where the others begin.")
    offsets = [a if t is None else t for a, t in zip(added_up(parts), told, strict=True)]
    if offsets[0] == 1 and numbers[0] in {0, 1}:  # the first frame counts as 1
        offsets = [offset - 1 for offset in offsets]
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    if min(offsets) < 0 or any(end > begin for end, begin in zip(ends[:-1], offsets[1:], strict=True)):
        raise TilingError("the parts of their concatenation overlap or are out of order.")
    return tuple(offsets)

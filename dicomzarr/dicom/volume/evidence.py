"""What may tell the frames of a stack apart: values, their ranks, the order of acquisition, last resorts."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from dicomzarr.dicom.model.values import AttributeReader
from dicomzarr.dicom.volume.acquisition_order import mixes, order_of, runs_of
from dicomzarr.dicom.volume.columns import (
    ACQUISITION_ORDER,
    LAST,
    ORDER,
    Column,
    column_of,
    combined,
    distinct_partitions,
)
from dicomzarr.dicom.volume.computed import goes_forward, goes_round
from dicomzarr.dicom.volume.dimensions import CREATION_TIME, FRAME_NUMBER, FRAME_TIME
from dicomzarr.dicom.volume.lattice import find_lattice
from dicomzarr.dicom.volume.ranking import contradicts, ranked, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from dicomzarr.dicom.volume.frame import Frame, Vector
    from dicomzarr.dicom.volume.lattice import Places

    Codes = npt.NDArray[np.int64]

UID_ROOT: Final = "uid_root"
"""What is before the last dot of SOP Instance UIDs: of one sender at one time."""

SENT_TWICE: Final = frozenset({CREATION_TIME.name, UID_ROOT})
"""Columns that tell a series from itself when it was sent again."""


_LARGEST_INDEX: Final = 2**16
"""Of an ImageIndex (0054,1330), an unsigned number of 16 bits."""


class Evidence:
    """The frames of a stack, where they lie, and how they are numbered.

    Args:
        frames: Of one stack.
        found: Where they lie; None where nothing places them.
    """

    def __init__(self, frames: Sequence[Frame], found: Places | None) -> None:
        self.frames = frames
        self.found = found
        self.places = np.zeros(len(frames), np.int64) if found is None else found.codes
        """The place of each frame, as a number from 0."""

    @cached_property
    def numbers(self) -> Codes:
        """InstanceNumber of each frame, or its place in the order of (instance, frame); equal where none is known."""
        headers = [frame.instance for frame in self.frames]
        if self._are_single:
            numbers = np.array([header.instance_number for header in headers], np.int64)
            return numbers if len(set(numbers.tolist())) > 1 else self._image_indices
        of_whole = {frame.whole: frame.instance.instance_number for frame in self.frames}
        if len(set(of_whole.values())) < len(of_whole):
            return np.zeros(len(self.frames), np.int64)
        keys = [(of_whole[frame.whole], *frame.number_in_whole) for frame in self.frames]
        found = np.empty(len(keys), np.int64)
        found[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(1, len(keys) + 1)
        return found

    @property
    def _image_indices(self) -> Codes:
        """ImageIndex (0054,1330), by which PET counts slices within times (PS3.3 section C.8.9.4.1.9); 0 where none."""
        read = AttributeReader("")
        told = [read.lenient_number(frame.item.image_index) or 0.0 for frame in self.frames]
        return np.array([number if abs(number) < _LARGEST_INDEX else 0 for number in told], np.int64)

    @property
    def _are_segments(self) -> bool:
        """Frames of segments, which nobody acquired: their order tells nothing."""
        return self.frames[0].instance.segmentation is not None

    @cached_property
    def _are_single(self) -> bool:
        return all(frame.instance.number_of_frames == 1 for frame in self.frames)

    def numbers_at(self, kept: Places, frames: Codes | None = None) -> Vector | None:
        """The first InstanceNumber at each of some places; None where numbers prove nothing.

        Args:
            kept: The places; frames that lie elsewhere have the code -1 there.
            frames: Those that ``kept`` is of; None for all.
        """
        if not self._are_single:
            return None
        numbers = self.numbers if frames is None else self.numbers[frames]
        there = kept.codes >= 0
        found = np.full(len(kept), np.inf)
        np.minimum.at(found, kept.codes[there], numbers[there])
        return found if len(np.unique(numbers[there])) == int(there.sum()) else None

    def candidates(self, columns: Sequence[Column], contrasts: Sequence[Column], base: Codes) -> list[Column]:
        """Columns that may tell frames apart, the most meaningful first.

        Args:
            columns: Attributes that vary.
            contrasts: Those of them that tell frames apart already.
            base: What these make of each frame, as numbers from 0.
        """
        groups = combined([self.places, base])
        order = self._order(columns, contrasts)
        others = [column for column in columns if not any(column is contrast for contrast in contrasts)]
        if self.found is not None:  # places are known: what counts slices tells no more
            others = [column for column in others if column.axis != "z"]
        found = [
            *(variant for column in others for variant in self._variants(column, groups, order, columns)),
            *self._ordered(order, base),
            *self._last_resorts(groups),
        ]
        by_strength = distinct_partitions(sorted(found, key=lambda column: column.strength))
        return [column for column in by_strength if combined([base, column.codes]).max() > base.max()]

    def _variants(
        self, column: Column, groups: Codes, order: Column | None, told: Sequence[Column] = ()
    ) -> Iterator[Column]:
        by_rank = ranked(column, self.places, groups, order, self.numbers, told)
        if by_rank is None and column.axis == "t":  # some contrasts more often than others, as images without diffusion
            by_rank = ranked(column, self.places, self.places, order, self.numbers, told)
        if by_rank is not None:
            yield by_rank
        yield column

    def _ordered(self, order: Column | None, base: Codes) -> Iterator[Column]:
        if order is None:
            return
        within = ranks(order.codes, base)
        if within is not None:
            yield replace(order, codes=within.codes, count=within.count)
        yield order

    def _order(self, columns: Sequence[Column], contrasts: Sequence[Column]) -> Column | None:
        """The order of acquisition: volumes in instances of their own, or numbers that go through all places."""
        if self.found is None or self._are_segments:
            return None
        clocks = [column for column in columns if column.axis == "t" and None not in column.levels]
        order = self._volumes_in_instances() or order_of(
            self.numbers, self._on_lattice(), contrasts=contrasts, clocks=clocks, most=self._most_times
        )
        if order is None:
            return None
        mixed = any(column.counts_times and mixes(order.codes, column, self.places) for column in columns)
        mixed = mixed or any(contradicts(order.codes, column, self.places) for column in columns)
        return None if mixed else order

    def _volumes_in_instances(self) -> Column | None:
        number_of = {frame.whole: frame.instance.instance_number for frame in self.frames}
        each = int(self.places.max()) + 1
        if len(number_of) == 1 or each == 1 or len(number_of) * each != len(self.frames):
            return None
        rank = {whole: place for place, whole in enumerate(sorted(number_of, key=number_of.__getitem__))}
        codes = np.array([rank[frame.whole] for frame in self.frames], np.int64)
        whole = len(np.unique(codes * each + self.places)) == len(codes)
        numbered = len(set(number_of.values())) == len(number_of)
        return Column(ACQUISITION_ORDER, codes, len(rank), strength=ORDER) if whole and numbered else None

    def _on_lattice(self) -> Codes:
        """The slice of each frame on the lattice of all places; its place where there is none."""
        lattice = None if self.found is None else find_lattice(self.found)
        return self.places if lattice is None else lattice.places

    @property
    def _most_times(self) -> int | None:
        """NumberOfTemporalPositions (0020,0105)."""
        number = AttributeReader("").lenient_number(self.frames[0].item.number_of_temporal_positions)
        return int(number) if number is not None and number >= 1 else None

    def _last_resorts(self, groups: Codes) -> Iterator[Column]:
        """What tells series apart that were sent twice, beds, and the frames of an instance that says nothing."""
        if self.found is None:
            yield from self._frame_numbers()
            return
        if self._are_segments:
            return
        created = replace(column_of(self.frames, CREATION_TIME.name), strength=LAST, apart=True)
        if created.count > 1 and None not in created.levels:
            yield from self._sendings(created, groups)
        roots = [frame.instance.sop_instance_uid.rpartition(".")[0] for frame in self.frames]
        number_of = {root: number for number, root in enumerate(sorted(set(roots), key=_in_numbers))}
        codes = np.array([number_of[root] for root in roots], np.int64)
        yield from self._sendings(Column(UID_ROOT, codes, len(number_of), strength=LAST, apart=True), groups)
        found = runs_of(self.numbers, self.places, self.found.distances[self.places])
        if found is not None:
            yield found

    def _sendings(self, column: Column, groups: Codes) -> Iterator[Column]:
        """A column whose values are sendings, or go on while one is written, as the seconds of a clock do."""
        most = int(np.bincount(groups).max())
        by_rank = ranked(column, self.places, groups, None, self.numbers) if column.levels else None
        if by_rank is not None:
            yield by_rank
        codes = None if column.count <= most else _sendings(column.codes, groups)
        if codes is None:
            yield from [column] if column.count <= most else []
            return
        count = int(codes.max()) + 1
        if count == column.count:  # beds, which have some places in common
            yield column
        elif count <= most and _is_one_whole(codes, groups) and _are_in_order(codes, column.codes, self.numbers):
            yield replace(column, codes=codes, count=count, levels=())

    def _frame_numbers(self) -> Iterator[Column]:
        if len({frame.whole for frame in self.frames}) > 1:
            return
        codes = combined(list(np.array([frame.number_in_whole for frame in self.frames], np.int64).T))
        first = self.frames[0]
        timed = first.values.get(FRAME_TIME) is not None or goes_forward(first.item) or goes_round(first.item)
        of_dose = first.instance.modality == "RTDOSE"  # whatever their offsets say
        planes = of_dose or (first.between is not None and not timed)
        yield Column("slice" if planes else FRAME_NUMBER.name, codes, int(codes.max()) + 1, strength=LAST)


def _in_numbers(root: str) -> list[tuple[int, str]]:
    """The components of a UID in the order of their numbers."""
    return [(len(part), part) for part in root.split(".")]


def _sendings(codes: Codes, groups: Codes) -> Codes | None:
    """The sending of each frame, one after the other; None where a value has two frames of one group.

    A new one begins with the value of which a frame is there already.

    Args:
        codes: Of values that rise while a sending is written.
        groups: Place and contrast of each frame: in one sending each is there once.
    """
    order = np.argsort(codes, kind="stable")
    found = np.zeros(len(codes), np.int64)
    held: list[set[int]] = [set()]
    for frames in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        there = set(groups[frames].tolist())
        if len(there) < len(frames):
            return None
        if held[-1] & there:
            held.append(set())
        held[-1] |= there
        found[frames] = len(held) - 1
    return found


def _is_one_whole(codes: Codes, groups: Codes) -> bool:
    """Whether any of the sendings holds each place and contrast."""
    return int(np.bincount(codes).max()) == int(groups.max()) + 1


def _are_in_order(sendings: Codes, codes: Codes, numbers: Codes) -> bool:
    """Whether numbers go one way within each sending: else one may end where the next begins."""
    for sending in np.unique(sendings):
        values, counted = codes[sendings == sending], numbers[sendings == sending]
        if not any((np.diff(signed[np.lexsort((signed, values))]) >= 0).all() for signed in (counted, -counted)):
            return False
    return True

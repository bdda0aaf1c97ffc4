"""Frames to stacks: what must be the same in one array keeps the others apart, and says so."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.dicom.uids import PARAMETRIC_MAP_STORAGE, SECONDARY_CAPTURES
from dicomzarr.dicom.volume.columns import columns_of
from dicomzarr.dicom.volume.lattice import (
    JITTER,
    MOST_WRITTEN,
    PART_OF_PIXEL,
    ROUNDING,
    Tolerance,
    find_lattice,
    find_places,
    normal_of,
    off_places,
)
from dicomzarr.dicom.volume.poses import Moved, moved
from dicomzarr.dicom.volume.sides import shown_view, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from dicomzarr.dicom.volume.frame import Frame, Vector
    from dicomzarr.dicom.volume.lattice import Places

_SAME_DIRECTION: Final = 1e-4
"""Difference of direction cosines up to which two orientations are one: headers round."""

_WRITTEN_DIRECTION: Final = 1e-3
"""The same of slices of one stack, which writers round to other digits: less than a pixel across the picture."""

_SAME_SPACING: Final = 1e-3
"""Relative difference up to which two pixel spacings are one, likewise."""

_MOST_STATIONS: Final = 64
"""Stacks beside each other that are told apart; scans have a few."""

_OF_ONE_SCAN: Final = frozenset({"CT", "MR", "PT"})
"""Modalities whose single frames belong together even where nothing places them."""

_OWN_VALUES: Final = 3
"""Frames from which on it is no stack each that has a frame of reference or StackID of its own: a writer counted."""

_MAP: Final = re.compile(
    r"(?:^| )(R?ADC\w*|E?ADC|EXP\w*ADC|FA|COLFA|FAC|MD|R?CBF|R?CBV|MTT|TTP|TMAX|KTRANS|\w*MAP)(?= |$)", re.ASCII
)
"""Values of ImageType or FrameType of derived maps, whose pixels are no signal."""

_PROJECTION: Final = re.compile(r"(?:^| )(?:MIP|MINIP|MAX_IP|MIN_IP|PROJECTION)(?= |$)")
"""Values of both of what shows a whole slab, and is none of its slices."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames that may be one array: alike, of one orientation, one above the other."""

    frames: tuple[Frame, ...]
    why: tuple[str, ...]
    """The attributes in which the stacks of its series differ."""
    positions: Vector | None = None
    """(frames, 3) in LPS; None where nothing places some of them."""
    orientation: Vector | None = None
    """Six cosines."""
    moved: float = 0.0
    """Millimetres by which times differ at most that have poses of their own; ``positions`` are those of the first."""
    own_references: bool = False
    """Each frame has a FrameOfReferenceUID of its own, which says nothing."""

    @property
    def turned(self) -> float:
        """By how much direction cosines differ from those of the stack at most; 0 where times have poses."""
        mine = self.orientation
        if mine is None or self.moved:
            return 0.0
        distinct = {id(frame.orientation): frame.orientation for frame in self.frames if frame.orientation is not None}
        return max((float(np.abs(each - mine).max()) for each in distinct.values()), default=0.0)

    @property
    def tolerance(self) -> Tolerance:
        """What counts as rounding."""
        first = self.frames[0]
        return Tolerance(None if first.spacing is None else max(first.spacing), first.thickness or first.between)

    @property
    def normal(self) -> Vector | None:
        """The unit vector along which slices ascend: row cosines times column cosines."""
        return None if self.orientation is None else normal_of(self.orientation)

    def places(self) -> Places | None:
        """Where the frames lie; None where nothing places them."""
        normal = self.normal
        return None if self.positions is None or normal is None else find_places(self.positions, normal, self.tolerance)


def stacks_of(frames: Iterable[Frame], *, any_sign: bool = False) -> list[Stack]:
    """Split frames into stacks; those with the most frames first.

    Args:
        frames: Of one series.
        any_sign: Bits and sign of stored values may differ, since arrays hold rescaled ones.
    """
    found = sorted(frames, key=lambda frame: (frame.order[0], frame.instance.sop_instance_uid, frame.ref.number))
    if not found:
        return []
    keys = {**_KEYS, PIXELS: _samples} if any_sign else _KEYS
    columns: dict[str, list[Hashable]] = {name: [key(frame) for frame in found] for name, key in keys.items()}
    logarithms = {spacing: np.log(spacing) for frame in found if (spacing := frame.spacing) is not None}
    spacings = [None if frame.spacing is None else logarithms[frame.spacing] for frame in found]
    columns["pixel spacing"] = list(_alike(spacings, _SAME_SPACING))
    _add_unless_own(columns, "stack", _woven(found, _members(columns)))
    references = [frame.instance.frame_of_reference_uid or "" for frame in found]
    own_references = _add_unless_own(columns, "frame of reference", references)
    poses = _poses(found, _members(columns))
    orientations = [frame.orientation if place not in poses else None for place, frame in enumerate(found)]
    columns["orientation"] = list(_alike(orientations, _WRITTEN_DIRECTION))
    columns[_STATION] = _stations(found, _members(columns), poses)
    differing = tuple(name for name, values in columns.items() if len(set(values)) > 1)
    stacks = [_stack(found, places, differing, poses, own_references) for places in _members(columns)]
    return sorted(stacks, key=lambda stack: (-len(stack.frames), min(frame.order for frame in stack.frames)))


def _stack(
    found: Sequence[Frame],
    places: list[int],
    why: tuple[str, ...],
    poses: Mapping[int, tuple[Moved, int]],
    own_references: frozenset[int],
) -> Stack:
    frames = tuple(found[place] for place in places)
    own = own_references.issuperset(places)
    if places[0] in poses:
        of_times = poses[places[0]][0]
        positions = np.stack([of_times.positions[poses[place][1]] for place in places])
        return Stack(frames, why, positions, of_times.orientation, of_times.most, own)
    positions_or_none = _positions(frames)
    return Stack(frames, why, positions_or_none, frames[0].orientation, own_references=own)


def _positions(frames: Sequence[Frame]) -> Vector | None:
    positions = [frame.position for frame in frames if frame.position is not None]
    return np.stack(positions) if positions and len(positions) == len(frames) else None


def _add_unless_own(columns: dict[str, list[Hashable]], name: str, values: Sequence[Hashable]) -> frozenset[int]:
    """Keep frames with other values apart, unless each has its own; the places of frames that do.

    Frames that have none are not apart from those of the only value that there is.
    """
    own: set[int] = set()
    kept = list(values)
    for places in _members(columns):
        held = {values[place] for place in places}
        if len(places) >= _OWN_VALUES and len(held) == len(places):
            own |= set(places)
        only = held - {""} if len(held) == 2 else {""} if own.issuperset(places) else held  # noqa: PLR2004  # and none
        if len(only) == 1:
            (same,) = only
            for place in places:
                kept[place] = same
    columns[name] = kept
    return frozenset(own)


def _woven(frames: Sequence[Frame], groups: Iterable[list[int]]) -> list[str]:
    """The StackID of each frame; one for stacks that were acquired as packages of one volume.

    These take turns from slice to slice, and fill one lattice between them. Stacks one above the other do not.
    """
    stacks = [frame.stack for frame in frames]
    for places in groups:
        held = {stacks[place] for place in places}
        if len(held) > 1 and _take_turns([frames[place] for place in places]):
            for place in places:
                stacks[place] = min(held)
    return stacks


def _take_turns(frames: Sequence[Frame]) -> bool:
    orientations = set(_alike([frame.orientation for frame in frames], _SAME_DIRECTION))
    stack = Stack(tuple(frames), (), _positions(frames), frames[0].orientation)
    found = stack.places() if len(orientations) == 1 else None
    if found is None:
        return False
    held: list[set[str]] = [set() for _ in range(len(found))]
    for frame, place in zip(frames, found.codes.tolist(), strict=True):
        held[place].add(frame.stack)
    lattice = find_lattice(found)
    alternate = all(len(one) == 1 and one != other for one, other in itertools.pairwise(held)) and len(held[-1]) == 1
    return alternate and lattice is not None and not lattice.absent


def _members(columns: Mapping[str, list[Hashable]]) -> list[list[int]]:
    """The places of frames that are alike in everything."""
    varying = [values for values in columns.values() if values.count(values[0]) < len(values)]
    if not varying:
        return [list(range(len(next(iter(columns.values())))))]
    members: defaultdict[tuple[Hashable, ...], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(*varying, strict=True)):
        members[key].append(place)
    return list(members.values())


def _poses(found: Sequence[Frame], groups: Iterable[list[int]]) -> dict[int, tuple[Moved, int]]:
    """Of frames whose times have poses of their own: (all that corresponds, place in it)."""
    poses: dict[int, tuple[Moved, int]] = {}
    for places in groups:
        frames = [found[place] for place in places]
        if not _may_have_moved(frames):
            continue
        of_times = moved(frames, columns_of(frames))
        if of_times is not None:
            poses |= {place: (of_times, number) for number, place in enumerate(places)}
    return poses


def _may_have_moved(frames: Sequence[Frame]) -> bool:
    """Whether frames that are placed have other orientations, or places that are no lattice."""
    stack = Stack(tuple(frames), (), _positions(frames), frames[0].orientation)
    if stack.positions is None or any(frame.orientation is None for frame in frames):
        return False
    if len(set(_alike([frame.orientation for frame in frames], _SAME_DIRECTION))) > 1:
        return True
    places = stack.places()
    if places is not None and frames[0].is_mosaic:
        return len(places) > 1 or float(off_places(stack.positions, places).max()) > 0
    if places is None or len(places) == len(frames):
        return places is not None and find_lattice(places) is None
    return bool(off_places(stack.positions, places).max() > _beside(places)) or find_lattice(places) is None


def _stations(
    frames: Sequence[Frame], groups: Iterable[list[int]], poses: Mapping[int, tuple[Moved, int]]
) -> list[Hashable]:
    """A number for the stack of each frame, where parallel stacks lie beside each other, as of a whole spine."""
    stations: list[Hashable] = [0] * len(frames)
    for places in groups:
        if places[0] in poses:
            continue
        members = [frames[place] for place in places]
        for place, station in zip(places, _stations_of(members), strict=True):
            stations[place] = station
    return stations


def _stations_of(frames: Sequence[Frame]) -> Sequence[int]:
    stack = Stack(tuple(frames), (), _positions(frames), frames[0].orientation)
    places = stack.places()
    if places is None or stack.positions is None or stack.orientation is None:
        return [0] * len(frames)
    beside = _beside(places)
    if off_places(stack.positions, places).max() <= beside:
        return [0] * len(frames)
    # Beside each other at one place: whatever leads from slice to slice, stacks differ in the plane.
    shifts = stack.positions @ np.stack([stack.orientation[:3], stack.orientation[3:]]).T
    stations = _separate(shifts, beside)
    return stations if len(set(stations)) <= _MOST_STATIONS else [0] * len(frames)


def _separate(points: Vector, gap: float) -> Sequence[int]:
    """A number for each point, the same for those between which no wider gap lies along any axis: scatter is no gap."""
    order = np.argsort(points, axis=0)
    wide = np.diff(np.take_along_axis(points, order, 0), axis=0) > gap
    numbers = np.zeros(points.shape, int)
    np.put_along_axis(numbers, order[1:], np.cumsum(wide, axis=0), 0)
    return list(map(int, np.unique(numbers, axis=0, return_inverse=True)[1].ravel()))


def _beside(places: Places) -> float:
    """How far frames of one place may lie apart in the plane, as positions of tables and their digits vary."""
    tolerance = places.tolerance
    step = float(np.diff(places.distances).min()) if len(places) > 1 else 0.0
    written = min(tolerance.written, MOST_WRITTEN * step)
    return max(PART_OF_PIXEL * (tolerance.pixel or 0.0), ROUNDING, written, JITTER * step)


def are_one_if_rescaled(stacks: Sequence[Stack]) -> bool:
    """Whether some stacks differ in how values are stored, and not in what these mean."""
    firsts = [stack.frames[0] for stack in stacks]
    return len(set(map(_samples, firsts))) < len(set(map(_pixels, firsts)))


def stack_words(stack: Stack) -> str:
    """In what a stack differs from the others of its series, in words, as ``sagittal`` or ``ADC map``."""
    words = (_WORDS[name](stack.frames[0]) for name in stack.why if name in _WORDS)
    return ", ".join(dict.fromkeys(word for word in words if word))


def _direction(frame: Frame) -> str:
    """The plane that frames lie in, of the patient's three (PS3.3 section C.7.6.2.1.1)."""
    if frame.normal is None:
        return "unplaced"
    along = np.abs(frame.normal)
    name = ("sagittal", "coronal", "axial")[int(np.argmax(along))]
    return name if along.max() > _STRAIGHT else f"oblique {name}"


def _samples(frame: Frame) -> Hashable:
    """What must be the same where values are rescaled: what pixels mean."""
    pixel = frame.instance.pixel
    if pixel.samples > 1 or pixel.floating or frame.item.modality_lut.items:
        return _pixels(frame)
    return pixel.samples, pixel.photometric_interpretation


def _pixels(frame: Frame) -> Hashable:
    pixel = frame.instance.pixel
    colours = pixel.photometric_interpretation if pixel.samples == 1 else "colour"
    return pixel.samples, pixel.dtype.str, colours


def _pixel_words(frame: Frame) -> str:
    pixel = frame.instance.pixel
    told = pixel.photometric_interpretation
    bits = f"{'signed' if pixel.signed else 'unsigned'} {pixel.bits_allocated} bits"
    return bits if told == "MONOCHROME2" else f"{bits} {told}"


def _instance(frame: Frame) -> Hashable:
    """Its instance, where frames of different ones have nothing in common."""
    header = frame.instance
    capture = header.sop_class_uid in SECONDARY_CAPTURES  # of a screen, whatever was shown there
    one_scan = header.modality in _OF_ONE_SCAN and header.number_of_frames == 1 and not capture
    unplaced = not frame.in_patient or (frame.position is None and not one_scan)
    of_tomosynthesis = header.modality == "MG" and (header.number_of_frames > 1 or header.concatenation is not None)
    own = header.segmentation is not None or header.modality in {"RTDOSE", "NM"} or of_tomosynthesis
    return frame.whole if unplaced or own or header.sop_class_uid == PARAMETRIC_MAP_STORAGE else ""


def _map(frame: Frame) -> Hashable:
    """The kind of a derived map; empty for all else."""
    told = str(frame.values.get("image_type") or "")
    found = _MAP.search(told) if told.startswith("DERIVED") else None
    return "" if found is None else found[1]


def _is_projection(frame: Frame) -> bool:
    return _PROJECTION.search(str(frame.values.get("image_type") or "")) is not None


PIXELS: Final = "bits, sign (PixelRepresentation) and colours"

_STATION: Final = "place in the plane"

_STRAIGHT: Final = float(np.cos(np.radians(5)))

_WORDS: Final[dict[str, Callable[[Frame], str]]] = {
    "rows and columns": lambda frame: "{} x {}".format(*frame.instance.pixel.shape[1:]),
    PIXELS: _pixel_words,
    "localizer": lambda frame: "localizer" if "LOCALIZER" in frame.instance.image_type else "",
    "derived map": lambda frame: f"{_map(frame)} map" if _map(frame) else "",
    "projection": lambda frame: "projection" if _is_projection(frame) else "",
    "position": lambda frame: "unplaced" if frame.position is None else "",
    "laterality": lambda frame: {"L": "left", "R": "right"}.get(frame.side, ""),
    "view": lambda frame: shown_view(frame.item) or "",
    "orientation": _direction,
}
"""What is said of a frame where stacks differ in this."""

_KEYS: Final[dict[str, Callable[[Frame], Hashable]]] = {
    "SOP class": lambda frame: frame.instance.sop_class_uid,
    "rows and columns": lambda frame: frame.instance.pixel.shape[1:],
    PIXELS: _pixels,
    "localizer": lambda frame: "LOCALIZER" in frame.instance.image_type,
    "derived map": _map,
    "projection": _is_projection,
    "position": lambda frame: frame.position is None,
    "coordinate system": lambda frame: frame.in_patient,
    "laterality": lambda frame: frame.side,
    "view": lambda frame: view_of(frame.item),
    "modality table": lambda frame: bool(frame.item.modality_lut.items),
    "instance": _instance,
}


def _alike(vectors: Sequence[Vector | None], tolerance: float) -> Iterator[int]:
    """A number for each vector, the same for those that differ by no more than rounding; -1 for None."""
    known: Any = None
    last: Any = None
    number = -1
    for vector in vectors:
        if vector is None:
            yield -1
            continue
        if vector is last or (last is not None and np.array_equal(vector, last)):
            yield number
            continue
        known = np.empty((0, len(vector))) if known is None else known
        near = np.flatnonzero(np.abs(known - vector).max(axis=1, initial=0.0) <= tolerance)
        number = int(near[0]) if len(near) else len(known)
        known = known if len(near) else np.vstack([known, vector])
        last = vector
        yield number

"""Scans as DICOM JSON, without pixels: thousands of frames in no time, and the truth of each beside its header."""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage
from radiology_model import AXIAL, RadiologySeries
from radiology_slices import SOP_CLASSES

from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.plan import plan_images

if TYPE_CHECKING:
    from radiology_model import Grid

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.plan import ImagePlan, SeriesPlan

ROOT = "1.2.826.0.1.3680043.10.511"
STUDY, SERIES = f"{ROOT}.1", f"{ROOT}.2"
ROWS, COLUMNS = 4, 5

Told: TypeAlias = Mapping[str, Any]
"""Attributes by keyword, or by eight hexadecimal digits with (VR, values): what a header says."""
Cell: TypeAlias = tuple[int, int, int]
"""(t, c, z); 0 along an axis that an image lacks."""
Key: TypeAlias = tuple[str, int]
"""(SOP Instance UID, frame number)."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame: the truth, and what its header says beside its place."""

    place: float | None
    """Slices from the first of the grid, a part of one too; None where the header has no place."""
    time: int = 0
    """Which time it is."""
    contrast: int = 0
    """Which contrast it is."""
    number: int | None = None
    """InstanceNumber."""
    told: Told = field(default_factory=dict)
    grid: Grid = AXIAL
    uid: str = ""
    """SOP Instance UID; made up where empty."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Millimetres that the header's position is beside the grid."""

    @property
    def position(self) -> np.ndarray[Any, Any]:
        """ImagePositionPatient."""
        assert self.place is not None
        return np.array(self.grid.position(self.place)) + self.offset

    @property
    def truth(self) -> tuple[int, int, float | None]:
        """(time, contrast, place)."""
        return self.time, self.contrast, self.place

    def saying(self, **told: Any) -> Shot:
        """The same frame with more in its header."""
        return replace(self, told={**self.told, **told})


def shots(  # noqa: PLR0913  # one for each loop
    times: int = 1,
    contrasts: int = 1,
    places: int | Sequence[float] = 5,
    *,
    loops: str = "tcz",
    descending: bool = False,
    tell: Callable[[Shot], Told] = lambda _: {},
    grid: Grid = AXIAL,
    first: int = 1,
) -> list[Shot]:
    """Frames in the order of their InstanceNumber.

    Args:
        times: How many.
        contrasts: How many.
        places: How many slices, or where they lie.
        loops: Which loop is the outermost, and so on.
        descending: The last slice has the first number.
        tell: What the header of a frame says.
        grid: Where the slices lie.
        first: The smallest InstanceNumber.
    """
    where = list(range(places)) if isinstance(places, int) else list(places)
    over: dict[str, Sequence[Any]] = {
        "t": range(times),
        "c": range(contrasts),
        "z": where[::-1] if descending else where,
    }
    made = []
    for number, values in enumerate(itertools.product(*(over[loop] for loop in loops)), first):
        at = dict(zip(loops, values, strict=True))
        made.append(Shot(at["z"], at["t"], at["c"], number, grid=grid))
    return [replace(shot, told=tell(shot)) for shot in made]


@dataclass(frozen=True, eq=False, repr=False)
class Scan:
    """A series: what a server says of it, and the truth."""

    instances: list[dict[str, Any]]
    truth: dict[Key, Shot]
    series_uid: str = SERIES

    def plan(self, values: str = "stored") -> SeriesPlan:
        """What becomes of it; that something was a guess is a warning, which is of no interest here."""
        body = msgspec.json.encode(self.instances)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plan_images(parse_series(decode_instances(body), STUDY, self.series_uid), values=values)

    def shuffled(self, seed: int) -> Scan:
        """The same instances in another order."""
        return replace(self, instances=random.Random(seed).sample(self.instances, len(self.instances)))

    def served(self) -> RadiologySeries:
        """The same with pixels: see `value_of`."""
        return RadiologySeries(tuple(map(self._stored, self.instances)), STUDY, self.series_uid)

    def value_of(self, frame: Key) -> int:
        """The stored value of all pixels of a frame."""
        return list(self.truth).index(frame) + 1

    def _stored(self, instance: dict[str, Any]) -> Dataset:
        dataset = Dataset.from_json(instance)
        count = int(dataset.get("NumberOfFrames") or 1)
        first = self.value_of((str(dataset.SOPInstanceUID), 1))
        shape = (count, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
        kind = f"<{'iu'[dataset.PixelRepresentation == 0]}{dataset.BitsAllocated // 8}"
        frames = np.broadcast_to(np.arange(first, first + count).reshape(-1, 1, 1, 1), shape).astype(kind)
        dataset.PixelData = frames.tobytes() + bytes(frames.nbytes % 2)
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return dataset


def classic(frames: Iterable[Shot], kind: str = "MR", **common: Any) -> Scan:
    """One instance for each frame.

    Args:
        frames: In the order of the reply.
        kind: A key of ``radiology_slices.SOP_CLASSES``.
        **common: What all headers say.
    """
    of_all = _common(kind, common)
    instances, truth = [], {}
    for place, shot in enumerate(frames):
        uid = shot.uid or uid_of(kind, place, shot.truth, shot.number)
        instances.append({**of_all, **model({**_placed(shot), "SOPInstanceUID": uid, **shot.told})})
        truth[uid, 1] = shot
    return Scan(instances, truth)


def enhanced(
    files: Iterable[Sequence[Shot]], kind: str = "enhanced MR", *, index: Sequence[str] = (), **common: Any
) -> Scan:
    """Instances of many frames with functional groups.

    Args:
        files: The frames of each instance; what they say goes to the group where it belongs.
        kind: A key of ``radiology_slices.SOP_CLASSES``.
        index: Keywords that DimensionIndexValues count.
        **common: What the roots of all instances say.
    """
    of_all = _common(kind, {"ImageType": ["ORIGINAL", "PRIMARY", "M", "NONE"], **_indices(index), **common})
    listed = [list(frames) for frames in files]
    every = [shot for frames in listed for shot in frames]
    ranks = {word: sorted({_indexed(shot, word) for shot in every}) for word in index}
    instances, truth = [], {}
    for place, frames in enumerate(listed):
        uid = frames[0].uid or uid_of(kind, place, frames[0].truth, len(frames))
        groups = []
        for shot in frames:
            values = [ranks[word].index(_indexed(shot, word)) + 1 for word in index]
            groups.append(_groups(shot, values))
        number = place + 1 if frames[0].number is None else frames[0].number
        root = {"SOPInstanceUID": uid, "InstanceNumber": number, "NumberOfFrames": len(frames)}
        instances.append({**of_all, **model({**root, "PerFrameFunctionalGroupsSequence": groups})})
        truth |= {(uid, frame): shot for frame, shot in enumerate(frames, 1)}
    return Scan(instances, truth)


def clips(count: int, frames: int, kind: str, told: Callable[[int], Told] = lambda _: {}, **common: Any) -> Scan:
    """Instances of many frames without functional groups: ultrasound, doses.

    Args:
        count: Instances.
        frames: Of each.
        kind: A key of ``radiology_slices.SOP_CLASSES``.
        told: What the root of an instance says.
        **common: What the roots of all instances say.
    """
    of_all = _common(kind, common)
    instances, truth = [], {}
    for clip in range(count):
        uid = uid_of(kind, clip, (clip, 0, None), frames)
        root = {"SOPInstanceUID": uid, "InstanceNumber": clip + 1, "NumberOfFrames": frames}
        instances.append({**of_all, **model({**root, **told(clip)})})
        truth |= {(uid, frame): Shot(None, frame - 1, clip) for frame in range(1, frames + 1)}
    return Scan(instances, truth)


def segmentation(segments: Mapping[int, Sequence[float]], grid: Grid = AXIAL) -> Scan:
    """A segmentation of masks: the slices of each segment number, those that are empty left out."""
    frames = [
        Shot(place, 0, number, told={"ReferencedSegmentNumber": number}, grid=grid)
        for number, places in segments.items()
        for place in places
    ]
    described = [{"SegmentNumber": number, "SegmentLabel": "Organ"} for number in segments]
    bits = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    said = {"SegmentationType": "BINARY", "SegmentsOverlap": "YES", "SegmentSequence": described, **bits}
    classes = {"SOPClassUID": str(SegmentationStorage), "Modality": "SEG"}
    return enhanced([frames], "enhanced MR", **{**said, **classes, "ImageType": ["DERIVED", "PRIMARY"]})


def together(*scans: Scan) -> Scan:
    """Several as one series."""
    truth = {key: shot for scan in scans for key, shot in scan.truth.items()}
    return Scan([instance for scan in scans for instance in scan.instances], truth)


def renamed(frames: Sequence[Shot]) -> list[Shot]:
    """The same frames with UIDs that no other scan has."""
    return [replace(shot, uid=uid_of("renamed", shot.truth, shot.number)) for shot in frames]


def uid_of(*words: object, root: str = f"{ROOT}.3") -> str:
    """A SOP Instance UID that says nothing, always the same for the same words."""
    return f"{root}.{int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=7).digest()) + 10**15}"


def cells(plan: SeriesPlan) -> list[dict[Cell, FrameRef]]:
    """The frames of each image by (t, c, z); chunks without frame are left out."""
    return [_cells(image) for image in plan.images]


def _cells(image: ImagePlan) -> dict[Cell, FrameRef]:
    level, names = image.levels[0], [axis.name for axis in image.axes]
    found = {}
    for chunk in np.ndindex(*level.grid):
        frame = level.frames.locate(chunk)
        if frame is not None:
            at = dict(zip(names, chunk, strict=True))
            found[at.get("t", 0), at.get("c", 0), at.get("z", 0)] = frame
    return found


def key_of(frame: FrameRef) -> Key:
    """As in `Scan.truth`."""
    return frame.instance.sop_instance_uid, frame.number


def check_partition(plan: SeriesPlan, all_frames: Iterable[Key]) -> None:
    """Every frame is in exactly one cell of one image."""
    held = Counter(key_of(frame) for image in cells(plan) for frame in image.values())
    wanted = set(all_frames)
    assert {frame for frame, count in held.items() if count > 1} == set(), "frames in several cells"
    assert wanted - set(held) == set(), "frames in no cell"
    assert set(held) - wanted == set(), "frames that the series has not"


def model(told: Told) -> dict[str, Any]:
    """Attributes in the DICOM JSON model (PS3.18 section F.2); None is an attribute without value."""
    return {tag: _element(vr, value) for tag, vr, value in (_tagged(*item) for item in told.items())}


def _tagged(word: str, value: Any) -> tuple[str, str, Any]:
    tag, vr = _tag_of(word)
    return (tag, vr, value) if vr else (tag, *value)


@functools.cache
def _tag_of(word: str) -> tuple[str, str]:
    tag = tag_for_keyword(word)
    if tag is None:
        assert len(word) == 8
        return word.upper(), ""
    return f"{tag:08X}", "US" if (vr := dictionary_VR(tag)).startswith("US or") else vr


def _element(vr: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {"vr": vr}
    values = list(value) if isinstance(value, list | tuple) else [value]
    return {"vr": vr, "Value": [model(each) if isinstance(each, Mapping) else each for each in values]}


def _common(kind: str, common: Told) -> dict[str, Any]:
    modality = {"cine": "US"}.get(kind.rsplit(maxsplit=1)[-1], kind.rsplit(maxsplit=1)[-1])
    told = {
        "SOPClassUID": str(SOP_CLASSES[kind]),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": modality,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "OTHER"],
        "FrameOfReferenceUID": f"{ROOT}.4",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
    return model({**told, **common})


def _placed(shot: Shot) -> dict[str, Any]:
    told: dict[str, Any] = {} if shot.number is None else {"InstanceNumber": shot.number}
    if shot.place is None:
        return told
    position = [round(float(x), 6) for x in shot.position]
    cosines = [round(float(x), 9) for x in shot.grid.cosines]
    return {
        **told,
        "ImagePositionPatient": position,
        "ImageOrientationPatient": cosines,
        "PixelSpacing": list(shot.grid.spacing),
    }


_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "FrameAcquisitionDateTime": "FrameContentSequence",
    "FrameReferenceDateTime": "FrameContentSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "StackID": "FrameContentSequence",
    "InStackPositionNumber": "FrameContentSequence",
    "DimensionIndexValues": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "DiffusionGradientDirectionSequence": "MRDiffusionSequence",
    "FrameType": "MRImageFrameTypeSequence",
    "ComplexImageComponent": "MRImageFrameTypeSequence",
    "InversionTimes": "MRModifierSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "ReferencedSegmentNumber": "SegmentIdentificationSequence",
}
"""The functional group of each attribute (PS3.3 section C.7.6.16.2); what is not here stands beside the groups."""


def _groups(shot: Shot, indices: list[int]) -> dict[str, Any]:
    told = {**_placed(replace(shot, number=None)), **shot.told}
    if indices:
        told["DimensionIndexValues"] = indices
    groups: dict[str, Any] = {}
    for word, value in told.items():
        if word in _GROUPS:
            groups.setdefault(_GROUPS[word], {})[word] = value
        else:
            groups[word] = value
    return groups


def _indexed(shot: Shot, word: str) -> Any:
    return shot.place if word in ("InStackPositionNumber", "ImagePositionPatient") else shot.told[word]


def _indices(index: Sequence[str]) -> dict[str, Any]:
    pointers = []
    for word in index:
        pointer = {"DimensionIndexPointer": _tag_of(word)[0], "DimensionOrganizationUID": f"{ROOT}.5"}
        pointers.append({**pointer, "FunctionalGroupPointer": _tag_of(_GROUPS[word])[0]})
    return {"DimensionIndexSequence": pointers} if pointers else {}

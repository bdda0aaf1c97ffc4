"""One instance as the server holds it: who it is, what it says, and how to come by its frames."""

from __future__ import annotations

import functools
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from dicomzarr.engine.ports import SeriesRef
from dicomzarr.errors import InvalidAttributeError
from dicomzarr.faces.demo.frames import NATIVE, PIXEL_KEYWORDS, Buffer, cut_frames, pixel_keyword
from dicomzarr.sources.files.instance import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

JSONObject: TypeAlias = dict[str, Any]
"""Attributes by tag in the DICOM JSON model (PS3.18 annex F)."""

AVAILABLE_TRANSFER_SYNTAX = "00083002"
_FRAMES = "00280008"
PIXEL_TAGS = frozenset({"7FE00010", "7FE00008", "7FE00009"})


@dataclass(frozen=True, eq=False)
class ServedInstance:
    """One SOP Instance, and its frames; whatever costs work is a function."""

    study: str
    """StudyInstanceUID (0020,000D)."""
    series: str
    """SeriesInstanceUID (0020,000E)."""
    instance: str
    """SOPInstanceUID (0008,0018)."""
    transfer_syntax: str
    """UID of the transfer syntax of the stored frames."""
    frame_count: int
    """NumberOfFrames (0028,0008); 0 where there are no pixels."""
    metadata: Callable[[], JSONObject]
    """The attributes; pixel data are named with their VR, and have no value."""
    frame: Callable[[int], Buffer]
    """The stored bytes of a frame, by its number from 1 to ``frame_count``."""
    part10: Callable[[], bytes] | None = None
    """The whole instance as a Part-10 file; None where it was made up."""

    @property
    def ref(self) -> SeriesRef:
        """The series that it is in."""
        return SeriesRef(self.study, self.series)

    @property
    def uid(self) -> str:
        """SOPInstanceUID (0008,0018)."""
        return self.instance

    @functools.cached_property
    def shown(self) -> JSONObject:
        """What a search shows of it."""
        syntax = {AVAILABLE_TRANSFER_SYNTAX: {"vr": "UI", "Value": [self.transfer_syntax]}}
        found = {tag: value for tag, value in self.metadata().items() if tag in SHOWN}
        return found | syntax | {_FRAMES: {"vr": "IS", "Value": [self.frame_count]}}

    @property
    def hinted(self) -> ServedInstance:
        """The same, whose metadata say in which transfer syntax it is stored (PS3.18 section 10.6.3.3)."""
        syntax = {AVAILABLE_TRANSFER_SYNTAX: self.shown[AVAILABLE_TRANSFER_SYNTAX]}
        return replace(self, metadata=lambda: {**self.metadata(), **syntax})

    @property
    def transfer_syntax_uid(self) -> str:
        """The transfer syntax in which frames are cut out."""
        return str(ExplicitVRLittleEndian) if self.transfer_syntax in NATIVE else self.transfer_syntax

    def __len__(self) -> int:
        return self.frame_count

    def cut(self, number: int) -> bytes:
        """A frame by its number from 1."""
        return bytes(self.frame(number))


def from_file(path: Path) -> ServedInstance:
    """An instance in a Part-10 file, which is served unchanged when it is asked for as a whole."""
    with _values_as_given():
        return _from_dataset(pydicom.dcmread(path), path.read_bytes)


def from_dataset(dataset: Dataset) -> ServedInstance:
    """An instance in memory; its ``file_meta`` names the transfer syntax.

    Raises:
        InvalidAttributeError: A UID or the transfer syntax is missing.
    """
    with _values_as_given():
        return _from_dataset(dataset, functools.partial(_part10, dataset))


def virtual_instance(metadata: JSONObject, frame: Callable[[int], Buffer], transfer_syntax: str) -> ServedInstance:
    """An instance that exists only as metadata and a function, as a slide of 200 000 tiles.

    Args:
        metadata: Its attributes in the DICOM JSON model; served as they are.
        frame: Gives the encoded bytes of a frame by its number, from 1.
        transfer_syntax: UID of the transfer syntax of those bytes.
    """
    count = metadata.get("00280008", {}).get("Value", [1])[0]
    return ServedInstance(
        study=metadata["0020000D"]["Value"][0],
        series=metadata["0020000E"]["Value"][0],
        instance=metadata["00080018"]["Value"][0],
        transfer_syntax=transfer_syntax,
        frame_count=int(count),
        metadata=lambda: metadata,
        frame=frame,
    )


@contextmanager
def _values_as_given() -> Iterator[None]:
    """Without pydicom's warnings: servers hold odd values too, and hand them out as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _from_dataset(dataset: Dataset, part10: Callable[[], bytes]) -> ServedInstance:
    for _ in dataset.iterall():
        pass  # pydicom converts at first sight: here, not in the server's thread
    meta = getattr(dataset, "file_meta", None)
    syntax = str(_required(meta, "TransferSyntaxUID"))
    frames = functools.cache(functools.partial(cut_frames, dataset, syntax))
    has_pixels = pixel_keyword(dataset) is not None
    return ServedInstance(
        study=str(_required(dataset, "StudyInstanceUID")),
        series=str(_required(dataset, "SeriesInstanceUID")),
        instance=str(_required(dataset, "SOPInstanceUID")),
        transfer_syntax=syntax,
        frame_count=int(dataset.get("NumberOfFrames") or 1) if has_pixels else 0,
        metadata=functools.cache(functools.partial(_metadata, dataset)),
        frame=lambda number: frames()[number - 1],
        part10=part10,
    )


def _required(dataset: Dataset | None, keyword: str) -> object:
    value = dataset.get(keyword) if dataset is not None else None
    if not value:
        raise InvalidAttributeError(
            f"The demo server was given an instance without {keyword}.",
            remedy="Give it complete Part-10 files, or datasets with their file_meta.",
        )
    return value


def _metadata(dataset: Dataset) -> JSONObject:
    json: JSONObject = {}
    for element in dataset:
        tag = f"{element.tag:08X}"
        if element.keyword in PIXEL_KEYWORDS:
            json[tag] = {"vr": str(element.VR)}
        else:
            json[tag] = element.to_json_dict(None, 0)
    return json


def _part10(dataset: Dataset) -> bytes:
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()

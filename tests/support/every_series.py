"""Every series that tests have, synthetic and real, as a folder of files with UIDs of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import radiology
import slides
from folders import write
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)
from real_data import SOURCES, real_series
from segmentations import segmented

import dicomzarr
from dicomzarr.sources.files.urls import FolderURL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pydicom import DataElement, Dataset

    from dicomzarr.arrays.image import Image

_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Held:
    """A series in a folder, which may hold what belongs to it too."""

    folder: Path
    study: str
    series: str
    options: dict[str, Any]
    """What it is opened with."""

    def opened(self, place: Path | str, **options: Any) -> Image:
        """Open it from a place of files."""
        url = FolderURL.at(place) if isinstance(place, str) else FolderURL.of(place)
        named = str(replace(url, study=self.study, series=self.series))
        return dicomzarr.open(named, **self.options, **options)


def _labelled() -> Sequence[Dataset]:
    volume = radiology.BUILDERS["volume"]()
    sources = sorted(volume.datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    masks = np.random.default_rng(1).integers(0, 2, (2, len(sources), 16, 20), np.uint8)
    return [*volume.datasets, segmented(sources, masks).dataset]


def _encoded(syntax: UID) -> Sequence[Dataset]:
    """A volume of 16 bits whose files are written in another encoding of data elements."""
    datasets: Sequence[Dataset] = copy.deepcopy(radiology.BUILDERS["volume"]().datasets)
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    return datasets


_BUILDERS: dict[str, Callable[[], Any]] = {**slides.BUILDERS, **radiology.BUILDERS}
_ENCODINGS = {
    f"volume in {syntax.name}": syntax
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
}
_LABELLED = "volume with labels"
NAMES = (*_BUILDERS, _LABELLED, *_ENCODINGS, *SOURCES)


def held(name: str, folder: Path) -> Held:
    """A series by its name; synthetic ones are written to the folder.

    Builders use UIDs again, which servers that hold all of them must not meet twice.
    """
    if name in SOURCES:
        folder = real_series(name)
        first = pydicom.dcmread(min(folder.glob("*.dcm")), stop_before_pixels=True)
    else:
        if name in _ENCODINGS:
            datasets = _encoded(_ENCODINGS[name])
        else:
            datasets = _labelled() if name == _LABELLED else _BUILDERS[name]().datasets
        first, *_ = own = _with_uids_of_its_own(datasets, name)
        write(folder, own)
    options = {"labels": True} if name == _LABELLED else {}
    return Held(folder, str(first.StudyInstanceUID), str(first.SeriesInstanceUID), options)


def _with_uids_of_its_own(datasets: Iterable[Dataset], name: str) -> list[Dataset]:
    copies = copy.deepcopy(list(datasets))
    known = {str(dataset[keyword].value) for dataset in copies for keyword in _IDENTITY}

    def rename(_: Dataset, element: DataElement) -> None:
        if element.VR == "UI" and str(element.value) in known:
            element.value = generate_uid(entropy_srcs=[name, str(element.value)])

    for dataset in copies:
        dataset.walk(rename)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return copies

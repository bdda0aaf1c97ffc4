"""What a synthetic slide is: datasets, and the arrays that they must give."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydicom import DataElement, Dataset

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]

PHI = ("Hidden^Person", "PATIENT-4711", "19580412", "ACC-0815", "Hidden free text", "BARCODE-99")
"""Text that identifies somebody, in every synthetic slide; it must surface nowhere."""


@dataclass(frozen=True)
class ExpectedLevel:
    """One resolution level as it must come out."""

    pixels: Pixels
    """Stored values, (c, z, y, x); zeros where a tile is absent or lost."""
    tile: tuple[int, int]
    """Rows and columns of a tile."""
    spacing: tuple[float, float]
    """Millimetres between pixels: down, across."""
    absent: Mask
    """(paths, z, tile rows, tile columns): the metadata says that there is no such tile."""
    lost: Mask
    """As ``absent``: the metadata promises the tile, but its instance is missing."""

    @property
    def grid(self) -> tuple[int, int]:
        """Tile rows and tile columns."""
        return (self.absent.shape[2], self.absent.shape[3])

    def has_pixels(self) -> Mask:
        """True for each pixel, (c, z, y, x), that a stored tile covers."""
        stored = ~(self.absent | self.lost)
        wide = stored.repeat(self.tile[0], axis=2).repeat(self.tile[1], axis=3)
        cropped = wide[:, :, : self.pixels.shape[2], : self.pixels.shape[3]]
        return cropped.repeat(self.pixels.shape[0] // cropped.shape[0], axis=0)


@dataclass(frozen=True)
class ExpectedImage:
    """One multiscale image of a series."""

    levels: tuple[ExpectedLevel, ...]
    """Finest first."""
    channels: tuple[str, ...] = ()
    """OpticalPathIdentifier of each c, where c is optical paths."""
    z: tuple[float, ...] = (0.0,)
    """Millimetres of each focal plane, from the glass upwards."""


@dataclass(frozen=True)
class TestSlide:
    """A series as DICOM datasets, and what it must look like when it is opened."""

    __test__: ClassVar[bool] = False  # a name that pytest would collect

    name: str
    datasets: tuple[Dataset, ...]
    """With ``file_meta``; in an order that means nothing."""
    images: tuple[ExpectedImage, ...]
    associated: Mapping[str, Pixels] = field(default_factory=lambda: MappingProxyType({}))
    """``label``, ``overview``, ``thumbnail``: (c, z, y, x)."""
    tolerance: int = 0
    """The largest difference that lossy coding or colour conversion may leave, at any level."""
    fill: tuple[int, ...] | None = None
    """RGB, or one value, that absent tiles must show; None where the slide has none."""

    @property
    def levels(self) -> tuple[ExpectedLevel, ...]:
        """The levels of the first, mostly the only, image."""
        return self.images[0].levels

    @property
    def study_uid(self) -> str:
        return str(self.datasets[0].StudyInstanceUID)

    @property
    def series_uid(self) -> str:
        return str(self.datasets[0].SeriesInstanceUID)

    def write(self, folder: Path) -> list[Path]:
        """Write each instance as a Part-10 file; gives the paths in the order of the datasets."""
        paths = [folder / f"{ds.SOPInstanceUID}.dcm" for ds in self.datasets]
        for path, dataset in zip(paths, self.datasets, strict=True):
            dataset.save_as(path, enforce_file_format=True)
        return paths

    def metadata(self) -> list[dict[str, Any]]:
        """DICOM JSON of the instances, as series metadata shows it, without pixels."""
        return [instance_metadata(dataset) for dataset in self.datasets]

    def metadata_json(self) -> bytes:
        """The body of a series metadata reply."""
        return json.dumps(self.metadata()).encode()


def instance_metadata(dataset: Dataset) -> dict[str, Any]:
    """DICOM JSON (PS3.18 Annex F) of one instance, without group 0002 and pixels."""
    bulk = f"bulkdata/{dataset.SOPInstanceUID}"

    def reference(element: DataElement) -> str:
        return f"{bulk}/{element.tag:08X}"

    metadata: dict[str, Any] = dataset.to_json_dict(1024, reference)
    metadata.pop("7FE00010", None)
    return metadata


def part10(dataset: Dataset) -> bytes:
    """A dataset as the bytes of a DICOM file (PS3.10 section 7)."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()

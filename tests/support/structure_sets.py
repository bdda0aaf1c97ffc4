"""Structure sets (RTSTRUCT) for tests, out of polygons in the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from radiology_model import decimals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from radiology_model import Grid, RadiologySeries

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"

Polygon = tuple[float, "NDArray[np.float64]"]
"""(slice, points of columns and rows, (n, 2))."""


def structure_set(
    series: RadiologySeries,
    grid: Grid,
    regions: Mapping[str, Sequence[Polygon]],
    *,
    kind: str = "CLOSED_PLANAR",
    reference: str | None = None,
) -> Dataset:
    """A structure set that is drawn on a series.

    Args:
        series: The images.
        grid: Theirs.
        regions: Contours by the names of regions.
        kind: ContourGeometricType.
        reference: FrameOfReferenceUID; that of the images when not given.
    """
    first = series.datasets[0]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SOP_CLASS
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["structures", *regions, kind])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID = first.StudyInstanceUID
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["structures", "series"])
    dataset.Modality, dataset.StructureSetLabel = "RTSTRUCT", "TEST"
    dataset.PatientID, dataset.PatientName = first.PatientID, first.PatientName
    frame = reference or first.FrameOfReferenceUID
    dataset.StructureSetROISequence = [
        item(ROINumber=number, ReferencedFrameOfReferenceUID=frame, ROIName=name, ROIGenerationAlgorithm="MANUAL")
        for number, name in enumerate(regions, 1)
    ]
    dataset.ROIContourSequence = [
        item(
            ReferencedROINumber=number,
            ROIDisplayColor=[255, 16 * number, 0],
            ContourSequence=[_contour(grid, polygon, kind) for polygon in polygons],
        )
        for number, polygons in enumerate(regions.values(), 1)
    ]
    return dataset


def _contour(grid: Grid, polygon: Polygon, kind: str) -> Dataset:
    place, points = polygon
    indices = np.column_stack([points, np.full(len(points), place), np.ones(len(points))])
    data = (indices @ grid.affine.T)[:, :3].ravel()
    return item(ContourGeometricType=kind, NumberOfContourPoints=len(points), ContourData=decimals(data))


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made

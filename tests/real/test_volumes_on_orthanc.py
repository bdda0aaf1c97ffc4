"""What goes with volumes, of a server that is not ours: searches, metadata, SUV, segments, contours and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK
from radiology_model import AXIAL
from radiology_uptake import PIXELS, SLOPES, pet, philips
from radiology_volumes import volume
from reports import SEGMENTATION, SLICES, groups, report, selection
from segmentations import ascending, random_masks, segmented
from structure_sets import structure_set

import dicomzarr

if TYPE_CHECKING:
    from orthanc import Orthanc

BOX = np.array([(1.5, 1.5), (6.5, 1.5), (6.5, 9.5), (1.5, 9.5)])


def test_what_was_found_opens_and_is_handed_on(orthanc: Orthanc) -> None:
    ct = volume(name="volumes on orthanc", PatientID="VOLUMES-1")
    orthanc.load(ct.datasets)
    for filters in ({"patient_id": "VOLUMES-1"}, {"modality": "CT", "patient_id": "VOLUMES*"}):
        (row,) = dicomzarr.search(orthanc.dicomweb_url, **filters)
        assert (row.series_instance_uid, row.instances) == (ct.series_uid, 5)
    everything = {row.series_instance_uid for row in dicomzarr.search(orthanc.dicomweb_url, modality="CT")}
    assert ct.series_uid in everything
    image = row.open()
    ordered = [dataset.pixel_array.astype(int) - 1024 for dataset in ascending(ct, AXIAL)]
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk()), ordered)
    for dataset in image.metadata.values():
        assert dataset.RescaleIntercept == -1024
        assert "PatientID" not in dataset


def test_segments_and_contours_lie_on_the_image(orthanc: Orthanc) -> None:
    ct = volume(name="labels on orthanc")
    masks = random_masks((1, 5, 16, 20))
    structures = structure_set(ct, AXIAL, {"Box": [(2, BOX)]})
    orthanc.load([*ct.datasets, segmented(ascending(ct, AXIAL), masks, name="labels on orthanc").dataset, structures])
    image = dicomzarr.open(orthanc.series_url(ct.study_uid, ct.series_uid))
    assert np.array_equal(image.label_map().values, masks[0])
    found = image.contours(orthanc.series_url(ct.study_uid, str(structures.SeriesInstanceUID)))["Box"].mask()
    expected = np.zeros(found.shape, bool)
    expected[2, 2:10, 2:7] = True
    assert np.array_equal(found, expected)


def test_suv_needs_nothing_that_orthanc_does_not_send(orthanc: Orthanc) -> None:
    counts = philips(pet("counts on orthanc", Units="CNTS"), x00="0.00025")
    for series, factor in ((pet("activity on orthanc"), 4e-4), (counts, 2.5e-4)):
        orthanc.load(series.datasets)
        first = series.datasets[0]
        image = dicomzarr.open(orthanc.series_url(first.StudyInstanceUID, first.SeriesInstanceUID), values="suv")
        expected = PIXELS * np.array(SLOPES)[:, None, None] * factor
        assert np.allclose(image.levels[0][...], expected, rtol=1e-6, atol=0)


def test_reports_and_selections_are_rows(orthanc: Orthanc) -> None:
    made, chosen = report(groups(), evidence=[*SLICES, SEGMENTATION]), selection()
    orthanc.load([made, chosen])
    rows = dicomzarr.measurements(orthanc.series_url(made.StudyInstanceUID, made.SeriesInstanceUID))
    assert [row.value for row in rows] == [12.5, -31.25, None, 3.5, 9.0]
    keys = dicomzarr.key_objects(orthanc.series_url(chosen.StudyInstanceUID, chosen.SeriesInstanceUID))
    assert len(keys) == 2

"""Measurement groups of reports and key object selections, which highdicom makes, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
import pandas as pd
import pytest
from highdicom.sr import CodedConcept, Measurement, MeasurementsAndQualitativeEvaluations, TrackingIdentifier
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid
from radiology_opened import Opener
from reports import (
    CORNERS,
    CT,
    IN_PATIENT,
    LESION,
    MEAN_VALUE,
    SEGMENTATION,
    SLICES,
    groups,
    measurement,
    report,
    selection,
)

import dicomzarr
from dicomzarr.errors import UnsupportedSeriesError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def rows_of(opened: Opener, dataset: Dataset, *, keys: bool = False) -> Any:
    server = opened.serve([*SLICES, SEGMENTATION, dataset])
    url = server.series_url(str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID))
    return (dicomzarr.key_objects if keys else dicomzarr.measurements)(url)


def test_each_measurement_is_a_row_with_what_its_group_says(opened: Opener) -> None:
    dataset = report(groups(), evidence=[*SLICES, SEGMENTATION])
    found = rows_of(opened, dataset)
    assert [(row.group, row.name, row.value, row.unit) for row in found if row.value is not None] == [
        (1, codes.SCT.Diameter.meaning, 12.5, "mm"),
        (1, MEAN_VALUE.meaning, -31.25, "[hnsf'U]"),
        (2, codes.SCT.Area.meaning, 3.5, "mm2"),
        (3, codes.SCT.Area.meaning, 9.0, "mm2"),
    ]
    lesion = found[0]
    assert (lesion.tracking_identifier, lesion.tracking_uid) == ("Lesion 1", LESION)
    assert (lesion.finding, lesion.finding_site) == (codes.SCT.Nodule.meaning, codes.SCT.Lung.meaning)
    assert lesion.laterality == codes.SCT.Right.meaning
    assert (found[0].derivation, found[1].derivation) == (None, codes.SCT.Mean.meaning)
    assert {row.report for row in found} == {str(dataset.SOPInstanceUID)}


def test_evaluations_in_words_are_rows_too(opened: Opener) -> None:
    (words,) = [row for row in rows_of(opened, report(groups(), evidence=[*SLICES, SEGMENTATION])) if row.text]
    assert (words.group, words.value, words.text) == (1, None, codes.SCT.Left.meaning)


def test_rows_say_what_was_measured_and_where(opened: Opener) -> None:
    found = rows_of(opened, report(groups(), evidence=[*SLICES, SEGMENTATION]))
    by_group = {row.group: row for row in found}
    assert (by_group[1].region, by_group[1].sop_instance_uid) == ("POLYLINE", str(SLICES[2].SOPInstanceUID))
    assert np.allclose(by_group[1].points, CORNERS)
    assert (by_group[2].sop_instance_uid, by_group[2].segment) == (str(SEGMENTATION.SOPInstanceUID), 2)
    assert by_group[2].frames == (4,)
    assert (by_group[3].region, by_group[3].sop_instance_uid) == ("POLYGON", None)
    assert np.allclose(by_group[3].points, IN_PATIENT)
    image = dicomzarr.open(by_group[1].url)
    assert by_group[1].sop_instance_uid in image.metadata
    assert dicomzarr.open(by_group[2].url).plan.attributes.segmentation is not None


def test_a_group_of_whole_images_names_them(opened: Opener) -> None:
    made = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(entropy_srcs=["whole"]), identifier="whole"),
        source_images=[hd.sr.SourceImageForMeasurementGroup.from_source_image(SLICES[1])],
        measurements=[measurement(codes.SCT.Area, 1.0, codes.UCUM.SquareMillimeter)],
    )
    (row,) = rows_of(opened, report([made]))
    assert (row.sop_instance_uid, row.region, row.points) == (str(SLICES[1].SOPInstanceUID), None, ())


def test_what_was_not_measured_has_its_reason(opened: Opener) -> None:
    made = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(entropy_srcs=["none"]), identifier="none"),
        source_images=[hd.sr.SourceImageForMeasurementGroup.from_source_image(SLICES[1])],
        measurements=[
            Measurement(
                name=codes.SCT.Area, value=0.0, unit=codes.UCUM.SquareMillimeter, qualifier=codes.DCM.MeasurementFailure
            )
        ],
    )
    dataset = report([made])
    for item in dataset.ContentSequence:
        _forget_values(item)
    (row,) = rows_of(opened, dataset)
    assert (row.value, row.text) == (None, codes.DCM.MeasurementFailure.meaning)


def coded(code: Code, kind: str, **attributes: Any) -> Dataset:
    """A content item by itself."""
    made = Dataset()
    made.ValueType, made.RelationshipType = kind, "CONTAINS"
    made.ConceptNameCodeSequence = [CodedConcept(*code)]
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def number(name: Code, value: str, *children: Dataset) -> Dataset:
    unit = codes.UCUM.Millimeter
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, [CodedConcept(*unit)]
    more = {"ContentSequence": list(children)} if children else {}
    return coded(name, "NUM", MeasuredValueSequence=[measured], **more)


def of(slices: Dataset) -> Dataset:
    """An image that something was inferred from."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = slices.SOPClassUID, slices.SOPInstanceUID
    return coded(Code("121324", "DCM", "Source image"), "IMAGE", ReferencedSOPSequence=[reference])


def around(points: list[float], slices: Dataset) -> Dataset:
    shape = coded(Code("111030", "DCM", "Image Region"), "SCOORD", GraphicType="POLYLINE", GraphicData=points)
    shape.ContentSequence = [of(slices)]
    return shape


def test_measurements_in_groups_of_groups_and_in_none_are_rows_too(opened: Opener) -> None:
    group = Code("125007", "DCM", "Measurement Group")
    inner = coded(group, "CONTAINER", ContentSequence=[number(codes.SCT.Width, "2")])
    outer = coded(group, "CONTAINER", ContentSequence=[number(codes.SCT.Length, "1"), inner])
    derived = coded(Code("126011", "DCM", "Derived Imaging Measurements"), "CONTAINER",
        ContentSequence=[number(codes.SCT.Diameter, "3", number(codes.SCT.Length, "1"))])  # fmt: skip
    answer = coded(codes.SCT.Laterality, "CODE", ConceptCodeSequence=[CodedConcept(*codes.SCT.Left)])
    words = coded(Code("C0034375", "UMLS", "Qualitative Evaluations"), "CONTAINER", ContentSequence=[answer])
    dataset = report(groups()[:1])
    dataset.ContentSequence = [outer, derived, words]
    found = [(row.group, row.name, row.value or row.text) for row in rows_of(opened, dataset)]
    assert found == [
        (1, codes.SCT.Length.meaning, 1.0),
        (2, codes.SCT.Width.meaning, 2.0),
        (3, codes.SCT.Diameter.meaning, 3.0),
        (4, codes.SCT.Laterality.meaning, codes.SCT.Left.meaning),
    ]


def test_a_region_and_its_image_belong_together_and_the_nearer_counts(opened: Opener) -> None:
    near = number(codes.SCT.Width, "2", around([1, 2, 3, 4], SLICES[3]))
    elsewhere = number(codes.SCT.Length, "3", of(SLICES[4]))
    shapes = [around([5, 6, 7, 8], SLICES[0]), around([9, 10, 11, 12], SLICES[1])]
    plain = number(codes.SCT.Diameter, "1")
    group = coded(
        Code("125007", "DCM", "Measurement Group"), "CONTAINER", ContentSequence=[*shapes, plain, near, elsewhere]
    )
    dataset = report(groups()[:1])
    dataset.ContentSequence = [group]
    of_group, own, image = rows_of(opened, dataset)
    told = [(row.sop_instance_uid, row.points, row.regions) for row in (of_group, own, image)]
    assert told == [
        (SLICES[0].SOPInstanceUID, ((5.0, 6.0), (7.0, 8.0)), 2),
        (SLICES[3].SOPInstanceUID, ((1.0, 2.0), (3.0, 4.0)), 1),
        (SLICES[4].SOPInstanceUID, (), 0),
    ]


def _forget_values(item: Dataset) -> None:
    if "MeasuredValueSequence" in item:
        del item.MeasuredValueSequence
    for child in item.get("ContentSequence", []):
        _forget_values(child)


def said(name: Code, words: Code, *children: Dataset, relation: str = "HAS CONCEPT MOD") -> Dataset:
    """What a code says of the item above it."""
    made = coded(name, "CODE", ConceptCodeSequence=[CodedConcept(*words)])
    made.RelationshipType = relation
    if children:
        made.ContentSequence = list(children)
    return made


SITE = Code("363698007", "SCT", "Finding Site")
METHOD = Code("370129005", "SCT", "Measurement Method")


def row_of(opened: Opener, *content: Dataset) -> Any:
    """The only row of a report that holds one group."""
    dataset = report(groups()[:1])
    dataset.ContentSequence = [coded(codes.DCM.MeasurementGroup, "CONTAINER", ContentSequence=list(content))]
    (row,) = rows_of(opened, dataset)
    return row


def test_what_a_group_says_more_than_once_is_said_in_full(opened: Opener) -> None:
    upper = Code("45653009", "SCT", "Upper lobe")
    lung = said(
        SITE,
        codes.SCT.Lung,
        said(codes.SCT.Laterality, codes.SCT.Right),
        said(Code("106233006", "SCT", "Topographical modifier"), upper),
    )
    content = [said(METHOD, Code("1", "99X", "by hand")), lung, said(SITE, codes.SCT.Liver)]
    row = row_of(opened, *content, number(codes.SCT.Width, "2"))
    assert (row.finding_site, row.laterality, row.method) == ("Lung; Liver", "Right; ", "by hand")
    assert row.qualifiers == (("Topographical modifier", "Upper lobe"),)
    nearer = [said(METHOD, Code("2", "99X", "by machine")), said(SITE, codes.SCT.Liver)]
    row = row_of(opened, *content, number(codes.SCT.Width, "2", *nearer))
    assert (row.finding_site, row.laterality, row.method) == ("Liver", None, "by machine")


def test_values_have_their_qualifier_their_long_unit_and_what_else_is_said(opened: Opener) -> None:
    normality = said(Code("121402", "DCM", "Normality"), codes.SCT.Normal, relation="HAS PROPERTIES")
    observer = said(Code("121005", "DCM", "Observer Type"), codes.DCM.Person, relation="HAS OBS CONTEXT")
    value = number(codes.SCT.Width, "2", normality, observer)
    measured = value.MeasuredValueSequence[0]
    value.NumericValueQualifierCodeSequence = [CodedConcept("114009", "DCM", "Value out of range")]
    measured.FloatingPointValue = 0.0
    for keyword, code in (("LongCodeValue", "umol/min/(100.g){tissue}"), ("URNCodeValue", "urn:oid:1.2.3")):
        unit = Dataset()
        setattr(unit, keyword, code)
        measured.MeasurementUnitsCodeSequence = [unit]
        row = row_of(opened, value)
        assert (row.value, row.unit, row.text) == (0.0, code, "Value out of range")
        assert row.qualifiers == (("Normality", codes.SCT.Normal.meaning),)


def test_points_of_a_frame_are_told_from_those_of_the_whole_matrix(opened: Opener) -> None:
    found = []
    for origin in ("FRAME", "VOLUME", None):
        shape = around([1, 2, 3, 4], SLICES[0])
        if origin:
            shape.PixelOriginInterpretation = origin
        found.append(row_of(opened, shape, number(codes.SCT.Width, "2")).pixel_origin_interpretation)
    assert found == ["FRAME", "VOLUME", None]


def test_a_rejection_has_its_reason(opened: Opener) -> None:
    """PS3.16 TID 2010: the Document Title Modifier."""
    chosen = selection()
    modifier = Code("113011", "DCM", "Document Title Modifier")
    reasons = [
        said(modifier, Code(str(113025 + place), "DCM", words)) for place, words in enumerate(("Double", "Dark"))
    ]
    chosen.ContentSequence = [*reasons, *chosen.ContentSequence]
    assert {row.title_modifier for row in rows_of(opened, chosen, keys=True)} == {"Double; Dark"}
    assert {row.title_modifier for row in rows_of(opened, selection(), keys=True)} == {None}


def test_nobody_is_named_but_by_what_the_groups_say(opened: Opener) -> None:
    assert "Doe" not in str(
        [vars_of(row) for row in rows_of(opened, report(groups(), evidence=[*SLICES, SEGMENTATION]))]
    )


def vars_of(row: Any) -> list[Any]:
    return [getattr(row, name) for name in row.__dataclass_fields__]


def test_rows_are_a_table_for_pandas(opened: Opener) -> None:
    found = rows_of(opened, report(groups(), evidence=[*SLICES, SEGMENTATION]))
    table = found.to_dataframe()
    assert isinstance(table, pd.DataFrame)
    assert table["value"].dropna().tolist() == [12.5, -31.25, 3.5, 9.0]
    assert found[:1].to_dataframe().shape == (1, table.shape[1])


def test_key_objects_are_rows_with_the_series_that_they_are_in(opened: Opener) -> None:
    found = rows_of(opened, selection(), keys=True)
    assert [row.sop_instance_uid for row in found] == [str(SLICES[1].SOPInstanceUID), str(SLICES[3].SOPInstanceUID)]
    assert {(row.title, row.description, row.kind) for row in found} == {
        (codes.DCM.ForTeaching.meaning, "two slices", "IMAGE")
    }
    assert {row.sop_class_uid for row in found} == {str(SLICES[0].SOPClassUID)}
    assert dicomzarr.open(found[0].url).levels[0].shape == (5, 16, 20)


def test_a_file_and_a_folder_of_reports_are_read_too(tmp_path: Path) -> None:
    dataset = report(groups(), evidence=[*SLICES, SEGMENTATION])
    dataset.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert len(dicomzarr.measurements(tmp_path)) == len(dicomzarr.measurements(tmp_path / "report.dcm")) == 5


def test_what_is_no_report_is_said(opened: Opener) -> None:
    server = opened.serve([*SLICES, selection()])
    url = server.series_url(CT.study_uid, CT.series_uid)
    with pytest.raises(UnsupportedSeriesError, match=r"holds no structured report \(SR\)"):
        dicomzarr.measurements(url)
    with pytest.raises(UnsupportedSeriesError, match=r"holds no key object selection \(KO\)"):
        dicomzarr.key_objects(url)

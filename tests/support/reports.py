"""Structured reports and key object selections for tests, which highdicom makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
from highdicom.sr import (
    FindingSite,
    GraphicTypeValues,
    GraphicTypeValues3D,
    ImageRegion,
    ImageRegion3D,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from radiology_model import AXIAL
from radiology_volumes import volume
from segmentations import IDENTIFIED, ascending, random_masks, segmented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

CT = volume()
SLICES = ascending(CT, AXIAL)
SEGMENTATION = segmented(SLICES, random_masks((2, 5, 16, 20))).dataset
MEAN_VALUE = Code("112031", "DCM", "Attenuation Coefficient")
LESION = generate_uid(entropy_srcs=["lesion"])
CORNERS = np.array([(3.5, 4.5), (9.5, 4.5), (9.5, 8.5), (3.5, 4.5)])
IN_PATIENT = np.array([(1.0, 2.0, 3.0), (4.0, 5.0, 3.0), (7.0, 2.0, 3.0), (1.0, 2.0, 3.0)])


def measurement(name: Any, value: float, unit: Any, **more: Any) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, **more)


def groups() -> list[Any]:
    """A lesion with a polygon, a segment of a segmentation, a region in the patient, and words without a region."""
    return [
        PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(uid=LESION, identifier="Lesion 1"),
            referenced_region=ImageRegion(
                graphic_type=GraphicTypeValues.POLYLINE,
                graphic_data=CORNERS,
                source_image=hd.sr.SourceImageForRegion.from_source_image(SLICES[2]),
            ),
            finding_type=codes.SCT.Nodule,
            finding_sites=[FindingSite(codes.SCT.Lung, laterality=codes.SCT.Right)],
            measurements=[
                measurement(codes.SCT.Diameter, 12.5, codes.UCUM.Millimeter),
                measurement(MEAN_VALUE, -31.25, codes.UCUM.HounsfieldUnit, derivation=codes.SCT.Mean),
            ],
            qualitative_evaluations=[QualitativeEvaluation(codes.SCT.Laterality, codes.SCT.Left)],
        ),
        VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(uid=generate_uid(entropy_srcs=["segment"]), identifier="segment"),
            referenced_segment=ReferencedSegment(
                sop_class_uid=SEGMENTATION.SOPClassUID,
                sop_instance_uid=SEGMENTATION.SOPInstanceUID,
                segment_number=2,
                frame_numbers=[4],
                source_images=[SourceImageForSegmentation.from_source_image(SLICES[0])],
            ),
            measurements=[measurement(codes.SCT.Area, 3.5, codes.UCUM.SquareMillimeter)],
        ),
        PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(uid=generate_uid(entropy_srcs=["region"]), identifier="region"),
            referenced_region=ImageRegion3D(
                graphic_type=GraphicTypeValues3D.POLYGON,
                graphic_data=IN_PATIENT,
                frame_of_reference_uid=SLICES[0].FrameOfReferenceUID,
            ),
            measurements=[measurement(codes.SCT.Area, 9.0, codes.UCUM.SquareMillimeter)],
        ),
    ]


def report(made: Sequence[Any], *, images: Sequence[Any] = (), evidence: Sequence[Dataset] = SLICES) -> Dataset:
    observer = ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(name="Doe^John"),
    )
    content = MeasurementReport(
        observation_context=ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[*made, *images],
    )
    dataset = hd.sr.Comprehensive3DSR(
        evidence=list(evidence),
        content=content[0],
        series_number=7,
        series_instance_uid=generate_uid(entropy_srcs=["report"]),
        sop_instance_uid=generate_uid(entropy_srcs=["report", str(len(made))]),
        instance_number=1,
        manufacturer="dicomzarr",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    dataset.update(IDENTIFIED)
    return dataset


def selection() -> Dataset:
    from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument  # noqa: PLC0415

    content = KeyObjectSelection(
        document_title=codes.DCM.ForTeaching,
        referenced_objects=[SLICES[1], SLICES[3]],
        description="two slices",
    )
    dataset = KeyObjectSelectionDocument(
        evidence=SLICES,
        content=content,
        series_number=8,
        series_instance_uid=generate_uid(entropy_srcs=["selection"]),
        sop_instance_uid=generate_uid(entropy_srcs=["selection", "1"]),
        instance_number=1,
        manufacturer="dicomzarr",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    dataset.update(IDENTIFIED)
    return dataset

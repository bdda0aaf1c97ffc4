"""PET with all that SUV by body weight is computed by, and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset
from radiology_model import AXIAL, decimal, distinct, series_of
from radiology_slices import Identity, stack

if TYPE_CHECKING:
    from radiology_model import RadiologySeries

PIXELS = distinct((4, 16, 20), bits=15)
SLOPES = (0.5, 1.25, 2.0, 4.0)


def tracer(**attributes: object) -> Dataset:
    """370 MBq at ten o'clock, half of which is gone at ten to twelve."""
    item = Dataset()
    told = {
        "RadionuclideTotalDose": "370000000",
        "RadionuclideHalfLife": "6600",
        "RadiopharmaceuticalStartTime": "100000",
        **attributes,
    }
    for keyword, value in told.items():
        if value is not None:
            setattr(item, keyword, value)
    return item


def pet(name: str = "suv", *, tracers: list[Dataset] | None = None, **attributes: object) -> RadiologySeries:
    """A PET of somebody of 74 kg, of which each slice has a slope of its own; None takes an attribute away."""
    told = {
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["DECY", "ATTN", "SCAT"],
        "PatientWeight": "74",
        "SeriesDate": "20240102",
        "SeriesTime": "115000",
        "AcquisitionDate": "20240102",
        "AcquisitionTime": "115000",
        "FrameReferenceTime": "60000",
        "ActualFrameDuration": "120000",
        "RadiopharmaceuticalInformationSequence": [tracer()] if tracers is None else tracers,
        "WindowCenter": "10000",
        "WindowWidth": "20000",
        "VOILUTFunction": "LINEAR_EXACT",
        **attributes,
    }
    datasets = stack(Identity(name, "PT", 16), PIXELS, AXIAL)
    for dataset, slope in zip(datasets, SLOPES, strict=True):
        for keyword, value in told.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(slope), "0"
    return series_of(datasets)


def philips(series: RadiologySeries, **factors: str) -> RadiologySeries:
    for dataset in series.datasets:
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        for name, value in factors.items():
            block.add_new(int(name[1:], 16), "DS", value)
    return series


def ge(series: RadiologySeries, began: str) -> RadiologySeries:
    for dataset in series.datasets:
        # beside somebody else's, which others begin with
        dataset.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", began)
    return series

"""SUV by body weight: numbers worked by hand, QIBA's way as a function of its own, and what a header has to say."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK
import slides
from radiology_opened import Opener
from radiology_uptake import PIXELS, SLOPES, ge, pet, philips, tracer
from radiology_volumes import volume
from serving import serving

import dicomzarr
from dicomzarr.errors import InvalidAttributeError, UnsupportedSeriesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom import Dataset
    from radiology_model import RadiologySeries

    from dicomzarr.arrays.image import Image


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def measured(image: Image) -> Any:
    """The factor that leads from modality values to those of an image."""
    activity = PIXELS * np.array(SLOPES)[:, None, None]
    factors = image.levels[0][...][PIXELS > 0] / activity[PIXELS > 0]
    assert np.allclose(factors, factors[0], rtol=1e-6)
    return float(factors[0])


# --- numbers worked by hand

BY_HAND: dict[str, tuple[Callable[[], RadiologySeries], float]] = {
    # 74 000 g / 185 000 000 Bq: one half-life is gone when the scan begins
    "BQML, START": (pet, 4e-4),
    # 74 000 g / 370 000 000 Bq: values are as of the injection
    "BQML, ADMIN": (lambda: pet(DecayCorrection="ADMIN"), 2e-4),
    # A frame of one half-life counts at its average log2(2 ln 2) half-lives after it begins: 2e-4 * 2 * 2 ln 2
    "BQML, NONE": (
        lambda: pet(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration="6600000"),
        2e-4 * 4 * math.log(2),
    ),
    "GML, BW": (lambda: pet(Units="GML", SUVType="BW", PatientWeight=None, tracers=[]), 1.0),
    "CNTS with Philips' factor to SUV": (lambda: philips(pet(Units="CNTS", PatientWeight=None), x00="0.00025"), 2.5e-4),
    "CNTS with Philips' factor to Bq/ml": (lambda: philips(pet(Units="CNTS"), x09="10"), 4e-3),
    # given at 23:00, and an hour and fifty minutes later it is another day
    "after midnight": (
        lambda: pet(
            tracers=[tracer(RadiopharmaceuticalStartTime="230000")],
            SeriesDate="20240103",
            SeriesTime="005000",
            AcquisitionDate="20240103",
            AcquisitionTime="005000",
        ),
        4e-4,
    ),
    "the date of the injection is told": (
        lambda: pet(tracers=[tracer(RadiopharmaceuticalStartDateTime="20240102100000.00")]),
        4e-4,
    ),
    # three days of zirconium: 2 half-lives of 36 hours
    "days later": (
        lambda: pet(
            tracers=[
                tracer(
                    RadionuclideHalfLife="129600",
                    RadiopharmaceuticalStartDateTime="20231230115000",
                    RadiopharmaceuticalStartTime="115000",
                )
            ]
        ),
        8e-4,
    ),
    "decay in the words of QIBA": (lambda: pet(CorrectedImage=["ATTN", "DECAY"]), 4e-4),
    "in a zone that nothing tells, and by the clock of the scan": (
        lambda: pet(tracers=[tracer(RadiopharmaceuticalStartDateTime="20240102090000+0000")]),
        4e-4,
    ),
    "SeriesTime of a later processing, without a date": (
        lambda: pet(SeriesDate=None, SeriesTime="170000", FrameReferenceTime=None),
        4e-4,
    ),
    "SeriesTime without a date": (lambda: pet(SeriesDate=None), 4e-4),
    "frames without a date": (lambda: pet(AcquisitionDate=None), 4e-4),
    "dates before 1970": (
        lambda: pet(
            SeriesDate="19000101", AcquisitionDate="19000101", AcquisitionTime="121000", FrameReferenceTime=None
        ),
        4e-4,
    ),
    "a date without SeriesTime": (lambda: pet(SeriesTime=None, FrameReferenceTime=None), 4e-4),
    "in another zone": (
        lambda: pet(
            TimezoneOffsetFromUTC="+0100",
            tracers=[tracer(RadiopharmaceuticalStartDateTime="20240102090000+0000", RadiopharmaceuticalStartTime=None)],
        ),
        4e-4,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_suv_is_what_is_worked_by_hand(opened: Opener, name: str) -> None:
    series, factor = BY_HAND[name]
    assert measured(opened(series(), values="suv")) == pytest.approx(factor, rel=1e-6)


# --- QIBA's vendor-neutral pseudo-code, of one slice


def by_qiba(dataset: Dataset) -> float:
    """The factor from (stored value + intercept) * slope to SUVbw; raises where SUV cannot be calculated."""
    corrected = dataset.CorrectedImage
    assert "ATTN" in corrected
    assert "DECY" in corrected  # its text says DECAY, which no header has
    assert dataset.DecayCorrection == "START"
    if dataset.Units == "GML":
        return 1.0
    item = dataset.RadiopharmaceuticalInformationSequence[0]
    scale = 1.0
    if dataset.Units == "CNTS":
        block = dataset.private_block(0x7053, "Philips PET Private Group")
        if 0x00 in block:
            return float(block[0x00].value)
        scale = float(block[0x09].value)
    half_life = float(item.RadionuclideHalfLife)
    series = moment(dataset.SeriesDate, dataset.SeriesTime)
    acquired = moment(dataset.AcquisitionDate, dataset.AcquisitionTime)
    if series <= acquired:
        scan = series
    elif any(element.private_creator == "GEMS_PETD_01" for element in dataset):
        began = dataset.private_block(0x0009, "GEMS_PETD_01")[0x0D].value
        scan = datetime.strptime(str(began), "%Y%m%d%H%M%S")  # noqa: DTZ007  # local
    else:
        constant = math.log(2) / half_life
        during = constant * float(dataset.ActualFrameDuration) / 1000
        average = 1 / constant * math.log(during / (1 - math.exp(-during)))
        scan = acquired - timedelta(seconds=float(dataset.FrameReferenceTime) / 1000 - average)
    start = moment(scan.strftime("%Y%m%d"), item.RadiopharmaceuticalStartTime)
    if start > scan:
        start -= timedelta(days=1)
    decayed = float(item.RadionuclideTotalDose) * 2 ** (-(scan - start).total_seconds() / half_life)
    return scale * float(dataset.PatientWeight) * 1000 / decayed


def moment(date: str, time: str) -> datetime:
    form = "%Y%m%d%H%M%S.%f" if "." in time else "%Y%m%d%H%M%S"
    return datetime.strptime(f"{date}{time}", form)  # noqa: DTZ007  # local


QIBA: dict[str, Callable[[], RadiologySeries]] = {
    "plain": pet,
    "fluorine, an hour": lambda: pet(
        tracers=[
            tracer(
                RadionuclideTotalDose="281734000.5",
                RadionuclideHalfLife="6586.2",
                RadiopharmaceuticalStartTime="104731.25",
            )
        ],
        PatientWeight="63.5",
    ),
    "carbon": lambda: pet(
        tracers=[tracer(RadionuclideHalfLife="1223.4", RadiopharmaceuticalStartTime="114811.00")], PatientWeight="101.2"
    ),
    "SeriesTime of a later processing": lambda: pet(SeriesTime="170000", AcquisitionTime="121500"),
    "SeriesTime of a later processing, long frames": lambda: pet(
        SeriesTime="170000", ActualFrameDuration="3600000", FrameReferenceTime="2000000"
    ),
    "SeriesTime of a later processing, GE": lambda: ge(pet(SeriesTime="170000"), "20240102114500"),
    "beds that began later": lambda: pet(AcquisitionTime="120200"),
    "midnight": lambda: pet(
        SeriesTime="001000",
        AcquisitionTime="001000",
        tracers=[tracer(RadiopharmaceuticalStartTime="231500")],
    ),
    "CNTS": lambda: philips(pet(Units="CNTS"), x00="0.000371"),
    "CNTS to Bq/ml": lambda: philips(pet(Units="CNTS"), x09="2.75", x00="0"),
    "GML": lambda: pet(Units="GML"),
}


@pytest.mark.parametrize("name", QIBA)
def test_suv_is_what_qiba_computes_of_each_slice(opened: Opener, name: str) -> None:
    series = QIBA[name]()
    found = opened(series, values="suv").levels[0][...]
    assert found.dtype == np.float32
    if name == "CNTS to Bq/ml":
        for dataset in series.datasets:
            del dataset[0x7053, 0x1000]
    ordered = sorted(series.datasets, key=lambda each: float(each.ImagePositionPatient[2]))
    for plane, dataset in zip(found, ordered, strict=True):
        expected = (dataset.pixel_array + 0) * float(dataset.RescaleSlope) * by_qiba(dataset)
        assert np.allclose(plane, expected, rtol=2e-7, atol=0)


# --- what the header has to say

LACKING: dict[str, tuple[Callable[[], RadiologySeries], str]] = {
    "weight": (lambda: pet(PatientWeight=None), "PatientWeight"),
    "a weight of zero": (lambda: pet(PatientWeight="0"), "PatientWeight"),
    "a weight in grams": (lambda: pet(PatientWeight="74000"), "no kilograms"),
    "dose": (lambda: pet(tracers=[tracer(RadionuclideTotalDose=None)]), "RadionuclideTotalDose"),
    "a dose in megabecquerel": (lambda: pet(tracers=[tracer(RadionuclideTotalDose="370")]), "no becquerels"),
    "half-life": (lambda: pet(tracers=[tracer(RadionuclideHalfLife=None)]), "RadionuclideHalfLife"),
    "start": (lambda: pet(tracers=[tracer(RadiopharmaceuticalStartTime=None)]), "RadiopharmaceuticalStartTime"),
    "a start after the scan": (
        lambda: pet(
            tracers=[tracer(RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime="20240102120000")]
        ),
        "is not before the scan",
    ),
    "a start too long ago": (
        lambda: pet(tracers=[tracer(RadionuclideHalfLife="122", RadiopharmaceuticalStartTime="100000")]),
        "too long before",
    ),
    "the time of frames": (lambda: pet(AcquisitionTime=None), "AcquisitionTime"),
    "no tracer": (lambda: pet(tracers=[]), "RadionuclideTotalDose"),
    "two tracers": (lambda: pet(tracers=[tracer(), tracer(RadionuclideTotalDose="1e8")]), "several tracers"),
    "units": (lambda: pet(Units=None), "Units"),
    "counts a second": (lambda: pet(Units="CPS"), "Units"),
    "counts of nobody": (lambda: pet(Units="CNTS"), "Philips' factors"),
    "lean body": (lambda: pet(Units="GML", SUVType="LBM"), "SUVType"),
    "correction": (lambda: pet(DecayCorrection=None), "DecayCorrection"),
    "attenuation": (lambda: pet(CorrectedImage=["DECAY"]), "attenuation"),
    "decay": (lambda: pet(CorrectedImage=["ATTN"]), "contradict"),
    "decay that is none": (lambda: pet(DecayCorrection="NONE"), "contradict"),
    "duration": (
        lambda: pet(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration=None),
        "ActualFrameDuration",
    ),
}


def test_slides_have_none(opened: Opener) -> None:
    with (
        serving(slides.brightfield_pyramid()) as served,
        pytest.raises(UnsupportedSeriesError, match="tiles of slides"),
    ):
        dicomzarr.open(served.url, values="suv")
    with pytest.raises(UnsupportedSeriesError, match="is CT"):
        dicomzarr.open(opened.url(volume()), values="suv")


@pytest.mark.parametrize("name", LACKING)
def test_what_a_header_lacks_is_named_and_not_made_up(opened: Opener, name: str) -> None:
    series, said = LACKING[name]
    url = opened.url(series())
    with pytest.raises(InvalidAttributeError, match=f"SUV cannot be computed: .*{said}") as raised:
        dicomzarr.open(url, values="suv")
    assert 'values="modality"' in str(raised.value)
    assert not set("0123456789") & set(str(raised.value).partition("computed:")[2].partition("(")[0])
    assert dicomzarr.open(url, values="modality").levels[0].shape == PIXELS.shape


def test_what_is_no_pet_has_no_suv(opened: Opener) -> None:
    with pytest.raises(UnsupportedSeriesError, match="is computed of PET"):
        opened(volume(), values="suv")


NOTICED: dict[str, tuple[Callable[[], RadiologySeries], str]] = {
    "no kind of SUV": (QIBA["GML"], "there is no SUVType"),
    "GE": (QIBA["SeriesTime of a later processing, GE"], "GE's private attribute"),
    "reference": (QIBA["SeriesTime of a later processing"], "FrameReferenceTime says"),
    "midnight": (QIBA["midnight"], "the day before the scan"),
    "first frame": (
        lambda: pet(SeriesTime="170000", FrameReferenceTime=None),
        "the first frame that is here",
    ),
    "two times": (
        lambda: pet(tracers=[tracer(RadiopharmaceuticalStartDateTime="20240102103000")]),
        "which RadiopharmaceuticalStartTime contradicts",
    ),
    "a zone": (
        lambda: pet(tracers=[tracer(RadiopharmaceuticalStartDateTime="20240102090000+0000")]),
        "nothing tells the zone",
    ),
    "shifted dates": (
        lambda: pet(tracers=[tracer(RadiopharmaceuticalStartDateTime="20190615100000")]),
        "its date is another one",
    ),
}


@pytest.mark.parametrize("name", NOTICED)
def test_what_was_taken_for_granted_is_said(opened: Opener, name: str) -> None:
    series, said = NOTICED[name]
    image = opened(series(), values="suv")
    assert any(notice.startswith("SUV: ") and said in notice for notice in image.notices)
    assert not any(notice.startswith("SUV: ") for notice in dicomzarr.open(image.url).notices)


def test_a_header_that_says_all_is_no_notice(opened: Opener) -> None:
    assert not any("SUV" in notice for notice in opened(pet(), values="suv").notices)
    assert not any("SUV" in notice for notice in opened(pet(AcquisitionDate=None), values="suv").notices)


def test_units_and_windows_are_those_of_suv_and_nothing_is_rescaled_again(opened: Opener) -> None:
    image = opened(pet(), values="suv")
    known = image.plan.attributes
    assert (known.units, known.rescale.slope, known.rescale.intercept) == ("g/ml{SUVbw}", 1.0, 0.0)  # type: ignore[union-attr]  # there is one
    assert image.channels[0].shown == pytest.approx((0.0, 8.0))  # 0 to 20 000 Bq/ml
    decoded = image.to_xarray()["0"]["image"]
    assert np.array_equal(decoded.values, image.levels[0][...])


def test_volumes_are_handed_on_as_suv(opened: Opener) -> None:
    image = opened(pet(), values="suv")
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk()), image.levels[0][...])
    assert np.array_equal(np.asarray(image.to_nibabel().dataobj).T, image.levels[0][...])

"""Modality values: types that hold them exactly, and arithmetic that keeps them so."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut

from dicomzarr.dicom.lut.modality import RealWorldMapping, Rescale, exact_float32, modality_dtype
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import InvalidAttributeError
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.plan import ImagePlan, LevelPlan
from dicomzarr.plan.attributes import ImageAttributes

IDENTITY = Rescale(1, 0)
LARGEST = float(np.finfo(np.float32).max)
quick = settings(deadline=None, database=None)


def pixel(bits_stored: int, *, signed: bool = False, allocated: int = 0, floating: bool = False) -> PixelDescription:
    cell = allocated or next(size for size in (8, 16, 32, 64) if size >= bits_stored)
    return PixelDescription(
        4, 4, 1, cell, bits_stored, bits_stored - 1,
        signed=signed, photometric_interpretation="MONOCHROME2", floating=floating,
    )  # fmt: skip


def ends(described: PixelDescription) -> tuple[int, int]:
    bits = described.bits_stored
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if described.signed else (0, 2**bits - 1)


# --- types ---


@pytest.mark.parametrize(
    ("bits", "signed", "rescales", "dtype"),
    [
        (12, False, [(1, -1024)], "<i2"),
        (12, True, [(1, 0)], "<i2"),
        (12, False, [], "<u2"),
        (12, False, [(1, 0), (1, 0)], "<u2"),
        (7, False, [(2, 0)], "u1"),
        (8, False, [(2, 0)], "<u2"),
        (8, False, [(1, 1)], "<u2"),
        (8, False, [(1, -1)], "<i2"),
        (8, False, [(-1, 255)], "u1"),
        (8, False, [(-1, 127)], "i1"),
        (8, False, [(-1, 0)], "<i2"),
        (12, False, [(0, 5)], "u1"),
        (12, False, [(0, -5)], "i1"),
        (12, False, [(0, 0)], "u1"),
        (16, True, [(1, 0), (1, -1024)], "<i4"),
        (16, True, [(1, 32768)], "<u2"),
        (16, False, [(65537, 0)], "<u4"),
        (16, False, [(65538, 0)], "<u8"),
        (32, False, [(1, -1)], "<i8"),
        (64, False, [(1, -1)], "<f8"),
        (64, False, [(1, 0)], "<u8"),
        (64, True, [(1, 2**63)], "<u8"),
        (16, False, [(1, 1e300)], "<f8"),
        (12, False, [(0.5, 0)], "<f4"),
        (12, False, [(1, 0), (0.5, 0)], "<f4"),
        (12, False, [(1, 0.5)], "<f4"),
        (32, False, [(1e-6, 0)], "<f4"),
        (16, False, [(1e34, 0.5)], "<f8"),
        (16, False, [(1e-40, 0)], "<f8"),
        (16, False, [(0, 0.5)], "<f4"),
        (16, False, [(0.5, 0), (1e33, 3.1e38)], "<f8"),
        (16, False, [(0.5, 0), (0, LARGEST)], "<f4"),
        (16, False, [(2.0**-126, 0)], "<f4"),
    ],
)
def test_smallest_types(bits: int, signed: bool, rescales: list[tuple[float, float]], dtype: str) -> None:  # noqa: FBT001
    views = [Rescale(slope, intercept) for slope, intercept in rescales]
    assert modality_dtype(pixel(bits, signed=signed), iter(views)) == np.dtype(dtype)


@pytest.mark.parametrize("rescale", [IDENTITY, Rescale(2, 0), Rescale(0.5, 0.25)])
def test_floating_point_pixels_keep_their_type(rescale: Rescale) -> None:
    assert modality_dtype(pixel(32, floating=True), [rescale]) == np.dtype("<f4")
    assert modality_dtype(pixel(64, floating=True), [rescale]) == np.dtype("<f8")


def test_the_stored_type_stays_where_nothing_is_rescaled() -> None:
    described = pixel(7, allocated=16)
    assert modality_dtype(described, [IDENTITY]) == described.dtype == np.dtype("<u2")


PIXELS = st.builds(
    lambda bits, signed: pixel(bits, signed=signed), st.sampled_from([*range(1, 17), 24, 32]), st.booleans()
)
WHOLE = st.builds(Rescale, st.integers(-70000, 70000), st.integers(-(2**31), 2**31))


@quick
@given(described=PIXELS, rescales=st.lists(WHOLE, min_size=1, max_size=3), data=st.data())
def test_whole_results_are_exact(described: PixelDescription, rescales: list[Rescale], data: st.DataObject) -> None:
    low, high = ends(described)
    stored = [low, high, *data.draw(st.lists(st.integers(low, high)))]
    dtype = modality_dtype(described, rescales)
    assert dtype.kind in "iu"
    for rescale in rescales:
        pixels = np.array(stored, described.dtype).reshape(1, -1)
        found = rescale.apply(pixels, dtype)
        assert found.dtype == dtype
        assert found.tolist() == [[int(rescale.slope) * value + int(rescale.intercept) for value in stored]]
        assert pixels.tolist() == [stored]


@quick
@given(described=PIXELS, rescales=st.lists(WHOLE, min_size=1, max_size=3))
def test_no_smaller_type_would_do(described: PixelDescription, rescales: list[Rescale]) -> None:
    if all(rescale.is_identity for rescale in rescales):
        return
    dtype = modality_dtype(described, rescales)
    results = [int(each.slope) * end + int(each.intercept) for each in rescales for end in ends(described)]
    assert (dtype.kind == "i") == (min(results) < 0)
    if dtype.itemsize > 1:
        smaller = np.iinfo(f"{dtype.kind}{dtype.itemsize // 2}")
        assert min(results) < smaller.min or max(results) > smaller.max


@pytest.mark.parametrize(
    ("stored", "rescale", "result"),
    [
        (2**64 - 1, Rescale(-1, float(2**64)), 1),
        (0, Rescale(3, 7), 7),
        (2**64 - 1, Rescale(1, 0), 2**64 - 1),
    ],
)
def test_the_largest_integers_do_not_wrap(stored: int, rescale: Rescale, result: int) -> None:
    assert rescale.apply(np.array([stored], np.uint64), np.dtype("<u8")).tolist() == [result]


# --- arithmetic ---

SLOPES = st.floats(-1e6, 1e6, allow_subnormal=False)


@quick
@given(slope=SLOPES, intercept=SLOPES, values=st.lists(st.integers(-32768, 32767), min_size=1))
def test_fractions_are_rounded_once_from_64_bits(slope: float, intercept: float, values: list[int]) -> None:
    pixels = np.array(values, np.int16)
    data = Dataset()
    data.RescaleSlope, data.RescaleIntercept = (pydicom.valuerep.DSfloat(each) for each in (slope, intercept))
    oracle = apply_modality_lut(pixels, data)
    found = Rescale(slope, intercept).apply(pixels, np.dtype("<f8"))
    assert np.array_equal(found, oracle)
    assert np.array_equal(Rescale(slope, intercept).apply(pixels, np.dtype("<f4")), oracle.astype("<f4"))


@quick
@given(slope=SLOPES, intercept=SLOPES, value=st.integers(0, 65535))
def test_results_are_as_near_as_64_bits_come(slope: float, intercept: float, value: int) -> None:
    (found,) = Rescale(slope, intercept).apply(np.array([value], np.uint16), np.dtype("<f8")).tolist()
    true = Fraction(slope) * value + Fraction(intercept)
    scale = abs(Fraction(slope) * value) + abs(Fraction(intercept))
    assert abs(Fraction(found) - true) <= scale * Fraction(2) ** -51 + Fraction(2) ** -1060


def test_ct_agrees_with_pydicom() -> None:
    data = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    rescale = Rescale(float(data.RescaleSlope), float(data.RescaleIntercept))
    dtype = modality_dtype(pixel(data.BitsStored, signed=data.PixelRepresentation == 1), [rescale])
    found = rescale.apply(data.pixel_array, dtype)
    assert found.dtype.kind == "i"
    assert np.array_equal(found, apply_modality_lut(data.pixel_array, data))


def test_dose_is_scaled_with_64_bits() -> None:
    data = pydicom.dcmread(str(get_testdata_file("rtdose.dcm")))
    rescale = Rescale(float(data.DoseGridScaling), 0)
    dtype = modality_dtype(pixel(data.BitsStored), [rescale])
    assert dtype == np.dtype("<f4")
    stored = data.pixel_array
    assert stored.dtype == np.uint32
    expected = [np.float32(int(value) * float(data.DoseGridScaling)) for value in stored.ravel()]
    assert np.array_equal(rescale.apply(stored, dtype).ravel(), expected)


def test_a_slope_of_zero_is_a_slope() -> None:
    """As the empty slices in some series of positron emission tomography."""
    rescale = Rescale(0, 0)
    dtype = modality_dtype(pixel(16, signed=True), [rescale, Rescale(0.25, 0)])
    assert rescale.apply(np.array([-5, 5], np.int16), dtype).tolist() == [0, 0]


def test_nan_stays() -> None:
    pixels = np.array([[np.nan, 1.5, -np.inf]], np.float32)
    for dtype in ("<f4", "<f8"):
        found = Rescale(2, 1).apply(pixels, np.dtype(dtype))
        assert np.array_equal(found, [[np.nan, 4, -np.inf]], equal_nan=True)
    assert Rescale(1, 0).apply(pixels, pixels.dtype) is pixels


@pytest.mark.parametrize("numbers", [(np.nan, 0), (1, np.nan), (np.inf, 0), (1, -np.inf)])
def test_numbers_that_are_none(numbers: tuple[float, float]) -> None:
    with pytest.raises(InvalidAttributeError, match=r"RescaleSlope.*finite"):
        Rescale(*numbers)


def test_rescales_are_values() -> None:
    rescale = Rescale(1, -1024)
    assert rescale == pickle.loads(pickle.dumps(rescale))  # noqa: S301  # our own
    assert {rescale, Rescale(1.0, -1024.0)} == {rescale}
    assert not rescale.is_identity
    assert Rescale(1.0, -0.0).is_identity


# --- scale factors of 32 bits ---


@pytest.mark.parametrize("value", [0, 1, -1024, 0.5, 2**24, 2.0**-149, 3.4028234663852886e38, -0.375])
def test_what_32_bits_hold(value: float) -> None:
    assert exact_float32(value)


@pytest.mark.parametrize("value", [0.1, 2**24 + 1, 2.0**-150, 3.5e38, -1e300, np.nan, np.inf, -np.inf, 1 / 3])
def test_what_32_bits_do_not_hold(value: float) -> None:
    assert not exact_float32(value)


@quick
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_32_bits_hold_their_own(value: float) -> None:
    assert exact_float32(value)


# --- real world values ---


def shown(mapping: RealWorldMapping) -> dict[str, Any]:
    """What the documents say of it."""
    attributes = ImageAttributes(affine_reference="patient", real_world_values=(mapping,))
    one = np.dtype("u1")
    level = LevelPlan((1, 1), (1, 1), one, (1.0, 1.0), (0.0, 0.0), (0.0,), 0.0, cast("Any", None))
    image = ImagePlan("CT", (), (level,), (), None, color=False, attributes=attributes)
    found: list[dict[str, Any]] = dicomzarr_attributes(image)["real_world_values"]
    return found[0]


def test_a_real_world_line() -> None:
    mapping = RealWorldMapping(0, 4095, 0.25, -3.5, units_code="g/ml{SUVbw}")
    assert json.loads(json.dumps(shown(mapping), allow_nan=False)) == {
        "units": "g/ml{SUVbw}",
        "first_value_mapped": 0,
        "last_value_mapped": 4095,
        "slope": 0.25,
        "intercept": -3.5,
    }


def test_a_real_world_table() -> None:
    mapping = RealWorldMapping(-1, 1, lut=(5.0, 6.0, 8.5), units_code="ms")
    said = shown(mapping)
    assert said["lut"] == [5.0, 6.0, 8.5]
    assert "slope" not in said
    assert mapping == pickle.loads(pickle.dumps(mapping))  # noqa: S301  # our own
    assert len({mapping, RealWorldMapping(-1, 1, lut=(5.0, 6.0, 8.5), units_code="ms")}) == 1


def test_real_world_values_of_a_single_one() -> None:
    assert shown(RealWorldMapping(7, 7, lut=(0.5,)))["lut"] == [0.5]
    assert shown(RealWorldMapping(7, 7, 2.0, 0.0))["last_value_mapped"] == 7


TEXT = "Nobody^Knows"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"first": 0, "last": 9}, "finite"),
        ({"first": 0, "last": 9, "slope": 1.0}, "finite"),
        ({"first": 0, "last": 9, "slope": np.nan, "intercept": 0.0}, "finite"),
        ({"first": 0, "last": np.inf, "slope": 1.0, "intercept": 0.0}, "finite"),
        ({"first": 0, "last": 9, "lut": ()}, "finite"),
        ({"first": 0, "last": 1, "lut": (0.0, np.inf)}, "finite"),
        ({"first": 9, "last": 0, "slope": 1.0, "intercept": 0.0}, "found 9 to 0"),
        ({"first": 0, "last": 9, "lut": (1.0, 2.0)}, "which are 10, found 2"),
    ],
)
def test_what_maps_to_no_real_world_values(members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidAttributeError, match=message) as refused:
        RealWorldMapping(**members, units_code=TEXT)
    assert TEXT not in str(refused.value)

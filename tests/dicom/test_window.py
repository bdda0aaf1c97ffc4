"""Windows: bounds against the standard's own examples and against pydicom's pictures."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing

from dicomzarr.dicom.lut.modality import Rescale
from dicomzarr.dicom.lut.window import VoiFunction, Window, in_stored, read_windows

LINEAR, EXACT, SIGMOID = VoiFunction
TOP = 4095
quick = settings(deadline=None, database=None)


def dataset(center: float, width: float, function: str) -> Dataset:
    data = Dataset()
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsStored, data.PixelRepresentation = 12, 0
    data.WindowCenter, data.WindowWidth, data.VOILUTFunction = center, width, function
    return data


# --- bounds ---


@pytest.mark.parametrize(
    ("center", "width", "bounds"),
    [
        (2048, 4096, (0, 4095)),
        (0, 100, (-50, 49)),
        (127, 2, (126, 127)),
        (128, 256, (0, 255)),
        (40.5, 1.5, (39.75, 40.25)),
        (2048, 1, (2047, 2048)),
        (0, 1, (-1, 0)),
    ],
)
def test_bounds_of_linear_windows(center: float, width: float, bounds: tuple[float, float]) -> None:
    """The examples of PS3.3 section C.11.2.1.2.1, and a threshold that has room for a ramp."""
    assert Window(center, width).bounds() == bounds


@pytest.mark.parametrize("function", [EXACT, SIGMOID])
def test_bounds_of_other_windows(function: VoiFunction) -> None:
    assert Window(40, 400, function=function).bounds() == (-160, 240)
    assert Window(0.5, 0.25, function=function).bounds() == (0.375, 0.625)


CENTERS = st.integers(-40960, 40960).map(lambda tenths: tenths / 10)
WIDTHS = st.integers(1, 81920).map(lambda tenths: tenths / 10)


@quick
@given(center=CENTERS, width=WIDTHS, function=st.sampled_from([LINEAR, EXACT]), data=st.data())
def test_ramps_agree_with_pydicom(center: float, width: float, function: VoiFunction, data: st.DataObject) -> None:
    assume(function is EXACT or width > 1)
    low, high = Window(center, width, function=function).bounds()
    near = st.integers(math.floor(low) - 2, math.ceil(high) + 2)
    values = np.array(data.draw(st.lists(near, min_size=1)), np.float64)
    oracle = apply_windowing(values, dataset(center, width, function))
    assert np.allclose(np.interp(values, (low, high), (0, TOP)), oracle, atol=1e-6 * TOP)


@quick
@given(center=st.integers(-1000, 1000), values=st.lists(st.integers(-1100, 1100), min_size=1))
def test_thresholds_agree_with_pydicom(center: int, values: list[int]) -> None:
    found = np.interp(values, Window(center, 1).bounds(), (0, TOP))
    assert np.array_equal(found, apply_windowing(np.array(values), dataset(center, 1, LINEAR)))


@quick
@given(center=CENTERS, width=WIDTHS)
def test_bounds_of_sigmoids_lie_on_the_tangent(center: float, width: float) -> None:
    step = width * 1e-4
    around = np.array([center - step, center + step])
    below, above = apply_windowing(around, dataset(center, width, SIGMOID))
    slope = (above - below) / (2 * step)
    low, high = Window(center, width, function=SIGMOID).bounds()
    assert slope == pytest.approx(TOP / (high - low), rel=1e-3)
    assert (below + above) / 2 == pytest.approx(TOP / 2)
    assert (low + high) / 2 == pytest.approx(center, abs=1e-9)


# --- what files hold ---


@pytest.mark.parametrize(
    ("centers", "widths", "names", "expected"),
    [
        ([40], [400], [], [Window(40, 400)]),
        ([40, -600], [400, 1500], ["SOFT ", " LUNG"], [Window(40, 400, "SOFT"), Window(-600, 1500, "LUNG")]),
        ([40, -600], [400], ["SOFT", "LUNG"], [Window(40, 400, "SOFT")]),
        ([40], [400, 1500], ["SOFT", "LUNG"], [Window(40, 400, "SOFT")]),
        ([40, -600], [400, 1500], ["SOFT"], [Window(40, 400, "SOFT"), Window(-600, 1500)]),
        ([40, -600], [400, 1500], [None, "LUNG"], [Window(40, 400), Window(-600, 1500, "LUNG")]),
        (["40 ", "-6.0E2"], [" 400", "1500"], [], [Window(40, 400), Window(-600, 1500)]),
        ([None, -600], [400, 1500], ["SOFT", "LUNG"], [Window(-600, 1500, "LUNG")]),
        (["", "x", "NaN", "Infinity", 10**400, 3], [1, 1, 1, 1, 1, 7], [], [Window(3, 7)]),
        ([40, 40, 40, 40], [0, -5, 0.99, 1], [], [Window(40, 1)]),
        ([1e300], [1], [], []),
        ([0], [1e999], [], []),
        ([-1e308], [1.7e308], [], []),
        ([], [], [], []),
        ([40], [], [], []),
    ],
)
def test_windows_as_files_have_them(
    centers: list[Any], widths: list[Any], names: list[Any], expected: list[Window]
) -> None:
    assert read_windows(centers, widths, names) == tuple(expected)


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        (None, 0.5, None),
        ("", 1, LINEAR),
        ("LINEAR", 0.5, None),
        (" linear ", 2, LINEAR),
        ("LINEAR_EXACT", 0.5, EXACT),
        ("LINEAR_EXACT", 0, None),
        ("SIGMOID", 0.5, SIGMOID),
        ("SIGMOID", -1, None),
        ("PRIVATE", 400, None),
    ],
)
def test_widths_that_functions_allow(function: str | None, width: float, expected: VoiFunction | None) -> None:
    found = read_windows([40], [width], function=function)
    assert found == (() if expected is None else (Window(40, width, function=expected),))


@quick
@given(center=st.floats(), width=st.floats(), function=st.sampled_from([*VoiFunction]), slope=st.floats(-1e9, 1e9))
def test_bounds_never_coincide(center: float, width: float, function: VoiFunction, slope: float) -> None:
    for window in read_windows([center], [width], function=function):
        low, high = window.bounds()
        assert -math.inf < low < high < math.inf
        stored = in_stored((low, high), Rescale(slope, 0))
        assert stored is None or stored[0] <= stored[1]


def test_bounds_that_stored_values_cannot_have() -> None:
    assert in_stored((0, 1e300), Rescale(1e-10, 0)) is None
    assert in_stored((-1e300, 0), Rescale(1e-10, 0)) is None


def test_windows_are_values() -> None:
    window = Window(40, 400, "SOFT")
    assert window == pickle.loads(pickle.dumps(window))  # noqa: S301  # our own
    assert len({window, Window(40.0, 400.0, "SOFT")}) == 1


# --- stored values ---


@pytest.mark.parametrize(
    ("rescale", "expected"),
    [
        (Rescale(1, 0), (-160, 239)),
        (Rescale(1, -1024), (864, 1263)),
        (Rescale(0.5, 0), (-320, 478)),
        (Rescale(-1, 0), (-239, 160)),
        (Rescale(-2, 39), (-100, 99.5)),
        (Rescale(0, 0), None),
        (Rescale(0, 40), None),
        (Rescale(1e-310, 0), None),
    ],
)
def test_bounds_in_stored_values(rescale: Rescale, expected: tuple[float, float] | None) -> None:
    assert in_stored(Window(40, 400).bounds(), rescale) == expected


@quick
@given(
    center=CENTERS,
    width=WIDTHS.filter(lambda width: width > 1),
    slope=st.sampled_from([-2, -0.5, 0.1, 1, 3]),
    intercept=st.integers(-2000, 2000),
    values=st.lists(st.integers(0, TOP), min_size=1),
)
def test_stored_values_make_the_same_picture(
    center: float, width: float, slope: float, intercept: int, values: list[int]
) -> None:
    """Rescaling and windowing by pydicom, against a window on the stored values."""
    stored = np.array(values, np.uint16)
    data = dataset(center, width, LINEAR)
    data.RescaleSlope, data.RescaleIntercept = slope, intercept
    shown = apply_voi_lut(apply_modality_lut(stored, data), data)
    bounds = in_stored(Window(center, width).bounds(), Rescale(slope, intercept))
    assert bounds is not None
    first, last = (end * slope + intercept for end in (0, TOP))  # pydicom's black and white
    ramp = np.interp(stored, bounds, (0, 1) if slope > 0 else (1, 0))
    assert np.allclose(first + ramp * (last - first), shown, atol=1e-6 * abs(last - first))

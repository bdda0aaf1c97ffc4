"""Lazy arrays where NumPy's could be: what NumPy gives for the pixels, and nothing read by an attribute."""

from __future__ import annotations

import inspect
import pickle
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from serving import Served, serving
from slides import brightfield_pyramid

import dicomzarr
from dicomzarr.errors import ReadOnlyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dicomzarr.arrays import Image, Level

PIXELS = distinct((5, 16, 20))


@pytest.fixture(scope="module")
def ct() -> Iterator[Image]:
    with Opener() as opened:
        yield opened(volume(AXIAL, PIXELS))


@pytest.fixture(scope="module")
def slide() -> Iterator[Served]:
    with serving(brightfield_pyramid()) as each:
        yield each


@pytest.fixture(params=["level", "image"])
def lazy(request: pytest.FixtureRequest, ct: Image) -> Any:
    return ct if request.param == "image" else ct.levels[0]


class Held:
    """An array of a library that is not known."""

    def __init__(self, pixels: Any) -> None:
        self._pixels = pixels

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self._pixels, dtype=dtype, copy=copy)


def same(found: Any, expected: Any) -> bool:
    """Also in type."""
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def test_what_it_is_is_what_numpy_says(lazy: Any) -> None:
    assert (lazy.shape, lazy.ndim, lazy.size, lazy.nbytes) == (PIXELS.shape, 3, PIXELS.size, PIXELS.nbytes)
    assert (lazy.dtype, len(lazy)) == (PIXELS.dtype, 5)


CALLS: dict[str, Callable[[Any], Any]] = {
    "to_numpy": lambda a: a.to_numpy() if hasattr(a, "to_numpy") else a,
    "index": lambda a: a[1:3, ::2, -1],
    "astype": lambda a: a.astype("float32"),
    "plus": lambda a: a + 1,
    "from the right": lambda a: 7 - a,
    "scaled": lambda a: a * 0.5 - 1024,
    "negative": lambda a: -a.astype(int),
    "above": lambda a: a > 1000,
    "equal to a number": lambda a: a == 1000,
    "unlike a number": lambda a: a != np.uint16(1000),
    "equal to an array": lambda a: a == PIXELS,
    "unlike an array": lambda a: PIXELS[0] != a,
    "equal to a list": lambda a: a == PIXELS.tolist(),
    "unlike a tuple": lambda a: a != tuple(PIXELS[0, 0].tolist()),
    "list first": lambda a: PIXELS[0].tolist() == a,
    "equal to a range": lambda a: a == range(20),
    "equal to a buffer": lambda a: a == memoryview(PIXELS),
    "equal to an array of bytes": lambda a: a == bytearray(range(20)),
    "unlike words": lambda a: a != ["no"] * 20,
    "equal to a fraction": lambda a: a == Fraction(1000),
    "array first": lambda a: PIXELS[0] + a,
    "itself": lambda a: a * a,
    "ufunc": np.sqrt,
    "reduced by a ufunc": lambda a: np.add.reduce(a, axis=1),
    "mean": lambda a: a.mean(),
    "mean along": lambda a: a.mean(axis=(1, 2)),
    "mean of a type": lambda a: a.mean(dtype="float32"),
    "np.mean": np.mean,
    "sum": lambda a: a.sum(axis=0),
    "np.sum": lambda a: np.sum(a, axis=2, keepdims=True),
    "std": lambda a: a.std(axis=0, ddof=1),
    "np.std": np.std,
    "min": lambda a: a.min(),
    "np.min": lambda a: np.min(a, axis=1),
    "max": lambda a: a.max(axis=-1),
    "np.max from": lambda a: np.max(a, initial=65535),
    "np.min from": lambda a: np.min(a, axis=0, initial=5),
    "np.mean where": lambda a: np.mean(a, where=PIXELS > 700),
    "np.std where": lambda a: np.std(a, axis=1, where=np.arange(16)[:, np.newaxis] % 3 == 0),
    "np.sum where": lambda a: np.sum(a, initial=3, where=[True, False] * 10, keepdims=True),
    "min where": lambda a: a.min(where=PIXELS > 700, initial=9999),
    "np.percentile": lambda a: np.percentile(a, 90),
    "np.where": lambda a: np.where(PIXELS > 7, a, 0),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_gives_what_numpy_gives(lazy: Any, name: str) -> None:
    found, expected = CALLS[name](lazy), np.asarray(CALLS[name](PIXELS))
    assert isinstance(found, np.ndarray | np.generic)
    assert found.dtype == expected.dtype
    if "mean" in name or "std" in name:  # sums are made in another order
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)


def test_dlpack_gives_the_pixels(lazy: Any) -> None:
    assert same(np.from_dlpack(lazy), PIXELS)


def test_results_can_go_into_an_array_of_ones_own(lazy: Any) -> None:
    into = np.ones(PIXELS.shape)
    into += lazy
    assert np.array_equal(into, PIXELS + 1.0)
    assert np.add(lazy, 2, out=into, where=PIXELS > 5) is into
    assert np.array_equal(into[PIXELS > 5], PIXELS[PIXELS > 5] + 2.0)


def test_nothing_is_written_to_a_series(lazy: Any) -> None:
    with pytest.raises(ReadOnlyError, match="a \\+ 1"):
        lazy += 1
    with pytest.raises(ReadOnlyError):
        np.add.at(lazy, 0, 1)
    with pytest.raises(TypeError, match="item assignment"):
        lazy[0] = 1
    with pytest.raises(TypeError, match="no out"):
        np.mean(lazy, out=np.empty(()))


@pytest.mark.parametrize("kind", [dask.array.from_array, xr.DataArray, lambda a: xr.Variable(("z", "y", "x"), a), Held])
def test_comparing_with_arrays_of_others_is_elementwise(lazy: Any, kind: Callable[[Any], Any]) -> None:
    other = np.where(PIXELS % 3 == 0, PIXELS, 0)
    for found in (lazy == kind(other), kind(other) == lazy):
        assert np.array_equal(np.asarray(found), other == PIXELS)
    for found in (lazy != kind(other), kind(other) != lazy):
        assert np.array_equal(np.asarray(found), other != PIXELS)


def test_values_of_another_shape_are_no_answer(lazy: Any) -> None:
    for other in ([1, 2], (1, 2), np.ones(2)):
        with pytest.raises(ValueError, match="broadcast"):
            _ = lazy == other


def test_a_value_is_in_it_where_a_pixel_has_it(lazy: Any) -> None:
    for value in (int(PIXELS[3, 4, 5]), PIXELS[3, 4, 5], -1, 0.5, PIXELS[2, 3], "no", None):
        assert (value in lazy) is (value in PIXELS)


@pytest.mark.parametrize("option", [{"nonsense": 1}, {"initial": 1, "nonsense": 1}])
def test_what_no_reduction_takes_is_refused(lazy: Any, option: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        lazy.max(**option)


def test_equality_with_what_holds_no_values_is_a_name(ct: Image) -> None:
    assert (ct.levels[0] == None, ct == "CT", ct == ct.levels[0], ct != ct.levels[0]) == (False, False, False, True)  # noqa: E711
    assert not any(ct == each for each in (b"CT", {}, {1}, object(), np.ndarray, type(ct), iter(())))
    assert hash(ct.levels[0]) == hash(pickle.loads(pickle.dumps(ct.levels[0])))  # noqa: S301  # our own


def test_an_image_is_its_finest_level(slide: Served) -> None:
    image = dicomzarr.open(slide.url)
    finest = image.levels[0]
    assert (image.shape, image.dtype, image.nbytes) == (finest.shape, finest.dtype, finest.nbytes)
    assert np.array_equal(image[:, 5:70, 9:80], finest[:, 5:70, 9:80])
    assert np.array_equal(np.asarray(image), finest.to_numpy())
    assert image.to_dask().name == finest.to_dask().name


def test_the_axes_in_reverse_are_lazy(slide: Served) -> None:
    level = dicomzarr.open(slide.url).levels[-1]
    before = slide.count()
    turned = level.T
    assert isinstance(turned, dask.array.Array)
    assert turned.shape == level.shape[::-1]
    assert slide.count() == before
    assert np.array_equal(np.asarray(turned), level.to_numpy().T)


def test_attributes_read_nothing(slide: Served) -> None:
    """As completion, debuggers and other libraries look at them all."""
    image = dicomzarr.open(slide.url)
    before = slide.count()
    for each in (image, image.levels[0]):
        assert {name for name, _ in inspect.getmembers(each)} > {"T", "shape", "to_numpy"}
    assert slide.count() == before


def test_a_reduction_holds_blocks_and_not_the_level(slide: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    kind: type[Level] = type(dicomzarr.open(slide.url).levels[0])
    whole = kind.__getitem__

    def watched(self: Level, index: Any) -> Any:
        block = whole(self, index)
        read.append(block.nbytes)
        return block

    monkeypatch.setattr(kind, "__getitem__", watched)
    monkeypatch.setattr("dicomzarr.arrays.blocks._BLOCK", 64)
    level = dicomzarr.open(slide.url).levels[0]
    assert level.max() == level.to_numpy().max()
    assert sum(read) == level.nbytes
    assert max(read) < level.nbytes / 2


def test_a_with_block_gives_the_image_and_leaves_it_readable(slide: Served) -> None:
    with dicomzarr.open(slide.url) as image:
        inside = image.levels[-1].to_numpy()
    assert np.array_equal(image.levels[-1].to_numpy(), inside)


def test_what_only_numpy_has_is_said_to_be_there(lazy: Any) -> None:
    kind = type(lazy).__name__
    with pytest.raises(AttributeError, match=rf"no attribute 'reshape': np.asarray\({kind.lower()}\) reads all"):
        lazy.reshape(-1)
    with pytest.raises(AttributeError, match=rf"^'{kind}' object has no attribute 'nonsense'\.$"):
        _ = lazy.nonsense
    assert not hasattr(lazy, "__array_interface__")

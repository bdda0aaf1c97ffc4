"""Reading with the axes in another order: the same pixels, and memory that lies as it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from serving import serving
from slides import brightfield_pyramid, fluorescence_focal_stack, sparse_brightfield

import dicomzarr
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.arrays.level import Level

REGIONS: dict[str, Any] = {
    "all": np.s_[...],
    "across frames": np.s_[:, 60:130, 30:200],
    "of one channel": np.s_[1, 5:70, :],
    "a pixel": np.s_[:, 3, 4],
    "steps, and backwards": np.s_[::-1, 190:3:-7, ::5],
    "nothing": np.s_[:, 4:4],
    "some axes": np.s_[1:],
}


@pytest.fixture(scope="module")
def slide() -> Iterator[Level]:
    with serving(brightfield_pyramid()) as each:
        yield dicomzarr.open(each.url).levels[0]


@pytest.mark.parametrize("order", ["yxc", "cyx", "xcy"])
@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_axes_come_in_the_order_asked_for(slide: Level, region: Any, order: str) -> None:
    (found,) = slide.read([region], order=order)
    every = slide[...].transpose([slide.axes.index(name) for name in order])
    padded = region if isinstance(region, tuple) else (region,)
    by_name = dict.fromkeys(slide.axes, slice(None)) | dict(
        zip(slide.axes, (item for item in padded if item is not Ellipsis), strict=False)
    )
    expected = every[tuple(by_name[name] for name in order)]
    assert found.shape == expected.shape
    assert sorted(found.shape) == sorted(slide[region].shape)
    assert (found == expected).all()


def test_memory_lies_in_the_order_asked_for(slide: Level) -> None:
    (pixels,) = slide.read([np.s_[:, 10:150, 20:200]], order="yxc")
    assert pixels.flags.c_contiguous
    (pixels,) = slide.read([np.s_[:, 10:150, 20:200]])
    assert pixels.flags.c_contiguous


def test_what_is_absent_is_coloured_in_any_order() -> None:
    with serving(sparse_brightfield()) as each:
        level = dicomzarr.open(each.url).levels[0]
        (pixels,) = level.read([np.s_[...]], order="yxc")
        assert (pixels == np.moveaxis(level[...], 0, -1)).all()


def test_more_axes_than_those_of_a_picture() -> None:
    with serving(fluorescence_focal_stack()) as each:
        level = dicomzarr.open(each.url).levels[0]
        (pixels,) = level.read([np.s_[:, 1, 5:90]], order="zyxc")
        assert (pixels == np.moveaxis(level[:, 1, 5:90], 0, -1)).all()


@pytest.mark.parametrize("order", ["", "yx", "yxcc", "zyxc", "yxC"])
def test_an_order_names_each_axis_once(slide: Level, order: str) -> None:
    with pytest.raises(UsageError, match="axes are c, y, x"):
        slide.read([np.s_[...]], order=order)


@pytest.mark.parametrize(
    "region", [np.s_[:, [1, 2], 3], np.s_[:, None], np.s_[True], np.s_[False], np.ones((3, 200, 257), bool)]
)
def test_an_order_goes_with_slices_and_integers(slide: Level, region: Any) -> None:
    with pytest.raises(IndexError, match="slices and integers"):
        slide.read([region], order="yxc")

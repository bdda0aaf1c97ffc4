"""Images and levels as values: what they are equal to, what names them, and what they refuse."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dask.base import tokenize
from serving import Served, run_python, serving
from slides import brightfield_pyramid, fluorescence_focal_stack, sparse_brightfield

import dicomzarr
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stack() -> Iterator[Served]:
    with serving(fluorescence_focal_stack()) as each:
        yield each


# --- equality ---


def test_two_opens_are_equal(stack: Served) -> None:
    one, two = dicomzarr.open(stack.url), dicomzarr.open(f"{stack.url}.zarr/", timeout=7)
    assert one == two
    assert len({one, two, pickle.loads(pickle.dumps(one))}) == 1  # noqa: S301  # our own
    assert one.levels == two.levels
    assert len({*one.levels, *two.levels}) == 2
    assert pickle.loads(pickle.dumps(one.levels[1])) == two.levels[1]  # noqa: S301  # our own


def test_other_images_and_levels_are_not(stack: Served) -> None:
    with serving(brightfield_pyramid()) as other:
        image, there = dicomzarr.open(stack.url), dicomzarr.open(other.url)
        different: list[Any] = [image, there, *there.associated.values(), *image.levels, *there.levels, stack.url, None]
        for place, one in enumerate(different):
            assert [two == one for two in different].index(True) == place
        assert len(set(different)) == len(different)


def test_equality_asks_no_server(stack: Served) -> None:
    pickled = pickle.dumps(dicomzarr.open(stack.url).levels[0])
    before = len(stack.server.requests)
    one, two = pickle.loads(pickled), pickle.loads(pickled)  # noqa: S301  # our own
    assert one == two
    assert hash(one) == hash(two)
    assert len(stack.server.requests) == before


# --- names ---


def test_one_path_that_means_two_images_has_two_names() -> None:
    """Where there is no pyramid, associated images are the images, and the label makes them count differently."""
    slide = brightfield_pyramid()
    beside = [dataset for dataset in slide.datasets if dataset.ImageType[2] in {"LABEL", "OVERVIEW", "THUMBNAIL"}]
    with serving(replace(slide, datasets=tuple(beside))) as each:
        without, with_label = dicomzarr.open(each.url), dicomzarr.open(each.url, associated_label=True)
        shared = [
            (one, two)
            for one, two in zip(without.images, with_label.images, strict=False)
            if one.path == two.path and one.name != two.name
        ]
        assert shared
        for one, two in shared:
            level, other = one.levels[0], two.levels[0]
            assert tokenize(level) != tokenize(other)
            assert tokenize(one) != tokenize(two)
            assert level.to_dask(chunks=-1).name != other.to_dask(chunks=-1).name
            assert level != other


def test_a_name_says_which_instances_are_read() -> None:
    """The server holds another series under the same UIDs than before."""
    names = set()
    for number in ("1", "2"):
        slide = sparse_brightfield()
        for dataset in slide.datasets:
            dataset.SOPInstanceUID = f"1.2.{dataset.InstanceNumber}.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        with serving(slide) as each:
            image = dicomzarr.open(each.url)
            level = image.levels[0]
            url, path, *_ = level.__dask_tokenize__()[1:]
            assert (url, path) == (each.url, "")
            names.add(tokenize(level.__dask_tokenize__()[2:]))
            names.add(tokenize(image.__dask_tokenize__()[2:]))
    assert len(names) == 4


@pytest.mark.slow
def test_names_are_equal_in_two_processes(stack: Served) -> None:
    script = """
import json, dicomzarr
from dask.base import tokenize
image = dicomzarr.open(sys.argv[1], max_connections=int(sys.argv[2]))
print(json.dumps([tokenize(image), *map(tokenize, image.levels)]))
"""
    # Not with this process, where the series may have been opened anew after `invalidate_cache`.
    assert run_python(script, stack.url, "3") == run_python(script, stack.url, "5")


# --- orthogonal reading ---


def test_axes_can_be_indexed_one_by_one(stack: Served) -> None:
    level = dicomzarr.open(stack.url).levels[0]
    pixels = stack.slide.levels[0].pixels
    found = level.read_orthogonal((0, slice(None), [60, 2], np.arange(100) % 9 == 0))
    assert np.array_equal(found, pixels[0][:, [60, 2]][:, :, ::9])
    assert np.array_equal(level.read_orthogonal((..., [99, 5])), pixels[..., [99, 5]])
    assert np.array_equal(level[0, :, :, [1, 80, 5]], pixels[0, :, :, [1, 80, 5]])


# --- absurd sizes ---


def test_a_thumbnail_of_an_absurd_level_is_refused() -> None:
    slide = sparse_brightfield()
    (dataset,) = datasets = slide.datasets[:1]
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = 2**25
    with serving(replace(slide, datasets=datasets)) as each:
        image = dicomzarr.open(each.url)
        with pytest.raises(UsageError, match="33554432 x 33554432 pixels"):
            image.thumbnail()
        assert "no picture" in image._repr_html_()
        with pytest.raises(MemoryError):
            image.levels[0][...]
        assert each.count() == 0

"""Two openings of one series, which must show the same, also through zarr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dicomzarr.arrays.image import Image


def all_images(image: Image) -> list[Image]:
    """All that an opening shows: images, associated ones and labels."""
    labelled = [label for each in image.images for label in each.labels.values()]
    return [*image.images, *image.associated.values(), *labelled]


def documents(image: Image, **options: Any) -> dict[str, Any]:
    """All Zarr documents of a series, by their keys."""
    fs, path = fsspec.url_to_fs(image.series_url, **options)
    groups = {"", *(each.path for each in all_images(image))}
    arrays = {f"{each.path}/{level.number}".strip("/") for each in all_images(image) for level in each.levels}
    keys = [f"{group}/zarr.json".lstrip("/") for group in sorted(groups | arrays)]
    return {key: json.loads(fs.cat_file(f"{path}/{key}")) for key in keys}


def without(document: Any, unsaid: Collection[str]) -> Any:
    """A document without some attributes, wherever they stand."""
    if isinstance(document, dict):
        return {key: without(value, unsaid) for key, value in document.items() if key not in unsaid}
    return [without(each, unsaid) for each in document] if isinstance(document, list) else document


def assert_alike(
    one: Image,
    other: Image,
    place: Mapping[str, Any] | None = None,
    unsaid: Collection[str] = (),
    **options: Any,
) -> None:
    """Two openings show the same: notices, documents, and pixels, the other's also through zarr.

    Args:
        one: An opening.
        other: Another.
        place: Options that only the other was opened with.
        unsaid: Attributes that one of the servers does not tell.
        options: Options that both were opened with.
    """
    assert [each.path for each in all_images(one)] == [each.path for each in all_images(other)]
    assert one.notices == other.notices
    told = without(documents(one, **options), unsaid)
    assert told == without(documents(other, **options, **(place or {})), unsaid)
    group = zarr.open_group(other.series_url, mode="r", storage_options={**options, **(place or {})})
    for first, second in zip(all_images(one), all_images(other), strict=True):
        for level, again in zip(first.levels, second.levels, strict=True):
            expected = level[...]
            assert np.array_equal(expected, again[...])
            array = group[f"{second.path}/{again.number}".strip("/")]
            assert isinstance(array, zarr.Array)
            assert np.array_equal(expected, np.asarray(array[...]))

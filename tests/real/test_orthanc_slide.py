"""Real slides on a real server, opened by tools that have never heard of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import oracles
import pydicom
import pytest
from opened import array_at, group_at
from orthanc import synthetic_png
from serving import run_python

import dicomzarr

if TYPE_CHECKING:
    from pathlib import Path

    from orthanc import Orthanc

ONLY_ZARR = """
import json, sys, warnings
warnings.simplefilter("error")
import numpy, zarr

group = zarr.open_group(sys.argv[1], mode="r")
arrays = dict(group.arrays())
numpy.savez(sys.argv[2], **{name: array[...] for name, array in arrays.items()})
print(json.dumps({"attributes": group.attrs.asdict(), "shapes": {name: array.shape for name, array in arrays.items()}}))
"""

BY_URL = """
import json, sys, warnings
warnings.simplefilter("error")
import dask.array, fsspec, numpy, xarray, yaozarrs, zarr
from upath import UPath
from zarr.storage import FsspecStore

url, folder = sys.argv[1:]
level, window = "4", (slice(None), slice(10, 70), slice(20, 90))
expected = zarr.open_array(url, path=level, mode="r")[window]
document = fsspec.open(url + "/zarr.json").open().read()
cached = fsspec.open("simplecache::" + url + "/zarr.json", simplecache={"cache_storage": folder})

tree = xarray.open_datatree(url, engine="dicomzarr")
dataset = xarray.open_dataset(url, engine="dicomzarr", group="1")
store = FsspecStore.from_url(url, read_only=True)
mapper = fsspec.get_mapper(url)
path = UPath(url)
yaozarrs.validate_zarr_store(url)


def same(pixels):
    return bool(numpy.array_equal(pixels, expected))


print(json.dumps({
    "dask": same(dask.array.from_zarr(url, component=level)[window].compute()),
    "dask_finest": list(dask.array.from_zarr(url, component="0").shape),
    "datatree": same(tree[level]["image"][window].values),
    "datatree_levels": sorted(tree.children, key=int),
    "dataset": list(dataset["image"].shape),
    "store": same(zarr.open_group(store, mode="r")[level][window]),
    "mapper": mapper["zarr.json"] == document,
    "mapper_array": same(zarr.open_array(FsspecStore.from_mapper(mapper), path=level, mode="r")[window]),
    "simplecache": cached.open().read() == document,
    "upath": (path / "zarr.json").read_bytes() == document,
    "upath_children": len(list(path.iterdir())),
    "suffix": zarr.open_group(url + ".zarr", mode="r").attrs.asdict() == json.loads(document)["attributes"],
}))
"""


@pytest.fixture(scope="module")
def cmu1_url(orthanc: Orthanc, cmu1_files: list[Path]) -> str:
    orthanc.load(cmu1_files)
    return url_of(orthanc, cmu1_files[0])


def url_of(orthanc: Orthanc, path: Path) -> str:
    header = oracles.read(path)
    return orthanc.series_url(header.StudyInstanceUID, header.SeriesInstanceUID)


def largest_difference(pixels: Any, other: Any) -> int:
    assert pixels.shape == other.shape
    assert pixels.dtype == other.dtype
    return int(np.abs(pixels.astype(np.int16) - other.astype(np.int16)).max())


def test_zarr_alone_reads_every_pixel_of_cmu1(cmu1_url: str, cmu1_files: list[Path], tmp_path: Path) -> None:
    assert "dicomzarr" not in ONLY_ZARR
    found = run_python(ONLY_ZARR, cmu1_url, str(tmp_path / "levels.npz"))
    assert len(found["shapes"]) == len(cmu1_files) == 12
    (multiscale,) = found["attributes"]["ome"]["multiscales"]
    levels = np.load(tmp_path / "levels.npz")
    for number, path in enumerate(cmu1_files):
        header = oracles.read(path)
        # Its header says RGB, its codestream is YCbCr: Pillow goes by the codestream.
        right = oracles.assemble_tiled_full(header, oracles.frames_by_pillow(header))
        assert largest_difference(levels[str(number)], np.moveaxis(right, -1, 0)) <= 1
        measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        scale = multiscale["datasets"][number]["coordinateTransformations"][0]["scale"]
        assert scale == pytest.approx([1, *(1000 * float(step) for step in measures.PixelSpacing)])
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"][1:] == pytest.approx([0.499, 0.499])
    assert {axis["unit"] for axis in multiscale["axes"][1:]} == {"micrometer"}


@pytest.mark.slow  # to import, for the most part
def test_tools_take_the_url_of_cmu1(cmu1_url: str, cmu1_files: list[Path], tmp_path: Path) -> None:
    assert "import dicomzarr" not in BY_URL
    finest, second = (oracles.read(path) for path in cmu1_files[:2])
    assert run_python(BY_URL, cmu1_url, str(tmp_path)) == {
        "dask": True,
        "dask_finest": [3, finest.TotalPixelMatrixRows, finest.TotalPixelMatrixColumns],
        "datatree": True,
        "datatree_levels": [str(number) for number in range(12)],
        "dataset": [3, second.TotalPixelMatrixRows, second.TotalPixelMatrixColumns],
        "store": True,
        "mapper": True,
        "mapper_array": True,
        "simplecache": True,
        "upath": True,
        "upath_children": 13,
        "suffix": True,
    }


def test_our_arrays_are_those_of_zarr(cmu1_url: str) -> None:
    image = dicomzarr.open(cmu1_url)
    group = group_at(cmu1_url)
    for level in image.levels:
        assert np.array_equal(level[...], group[str(level.number)][...])
    assert np.array_equal(image.levels[1].to_dask()[:, 100:400, 50:300].compute(), image.levels[1][:, 100:400, 50:300])


def test_plain_http_urls_are_taken_too(cmu1_url: str) -> None:
    image = dicomzarr.open(cmu1_url.replace("dicomweb://", "http://"))
    assert image.url == cmu1_url


def test_camelyon_level_in_422(orthanc: Orthanc, camelyon_file: Path) -> None:
    orthanc.load([camelyon_file])
    header = oracles.read(camelyon_file)
    (level,) = dicomzarr.open(url_of(orthanc, camelyon_file)).levels
    by_pydicom = np.moveaxis(oracles.assemble_tiled_full(header), -1, 0)
    by_pillow = np.moveaxis(oracles.assemble_tiled_full(header, oracles.frames_by_pillow(header)), -1, 0)
    pixels = level[...]
    assert largest_difference(pixels, by_pillow) <= 1
    assert largest_difference(pixels, by_pydicom) <= 1
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert level.scale[1:] == pytest.approx([1000 * float(step) for step in measures.PixelSpacing])


def test_dicomized_slide_is_the_png_again(
    orthanc: Orthanc, orthanc_dicomized_files: list[Path], tmp_path: Path
) -> None:
    orthanc.load(orthanc_dicomized_files)
    url = url_of(orthanc, orthanc_dicomized_files[0])
    picture = np.moveaxis(synthetic_png(tmp_path / "image.png"), -1, 0)
    image = dicomzarr.open(url)
    widths = {
        pydicom.dcmread(path, stop_before_pixels=True).TotalPixelMatrixColumns for path in orthanc_dicomized_files
    }
    assert [level.shape[2] for level in image.levels] == sorted(widths, reverse=True)
    assert np.array_equal(image.levels[0][...], picture)
    assert np.array_equal(array_at(url, path="0")[...], picture)
    for level in image.levels[1:]:
        same_size = [
            dataset
            for path in orthanc_dicomized_files
            if (dataset := pydicom.dcmread(path)).TotalPixelMatrixColumns == level.shape[2]
        ]
        assert np.array_equal(level[...], oracles.assemble(same_size).pixels[:, 0])


def test_a_password_is_taken_as_option_and_in_the_url(orthanc_with_password: Orthanc, cmu1_files: list[Path]) -> None:
    coarse = cmu1_files[4:]
    orthanc_with_password.load(coarse)
    url = url_of(orthanc_with_password, coarse[0])
    options = {"auth": orthanc_with_password.auth}
    pixels = array_at(url, path="0", storage_options=options)[...]
    assert np.array_equal(dicomzarr.open(url, **options).levels[0][...], pixels)
    user_info = "reader:p4ss%3Aw%C3%B6rd"
    group = group_at(url.replace("://", f"://{user_info}@"))
    assert np.array_equal(group["0"][...], pixels)
    with pytest.raises(dicomzarr.errors.AuthenticationError):
        dicomzarr.open(url)

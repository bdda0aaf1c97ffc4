"""Readers for MONAI and TorchIO, by their protocols: what they are given, and what they give."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import stand_ins
from folders import write
from radiology_dimensions import RAGGED, repeated
from radiology_model import AXIAL, OBLIQUE, distinct, series_of
from radiology_opened import Opener
from radiology_volumes import volume
from serving import Served, serving
from slides import brightfield_pyramid
from slides_codecs import GRAY
from slides_instances import Identity, Level, full_instance
from slides_pixels import noisy_gray

import dicomzarr
from dicomzarr.errors import InvalidOptionError, UsageError
from dicomzarr.faces.training.given import as_given

if TYPE_CHECKING:
    from collections.abc import Iterator

PIXELS = distinct((5, 16, 20))
OURS = ("dicomzarr.monai", "dicomzarr.faces.training.monai", "dicomzarr.torchio", "dicomzarr.faces.training.torchio")


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


@pytest.fixture
def monai(monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_ins.install(monkeypatch, stand_ins.MONAI, *OURS)
    return importlib.import_module("dicomzarr.monai")


@pytest.fixture
def torchio(monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_ins.install(monkeypatch, stand_ins.TORCHIO, *OURS)
    return importlib.import_module("dicomzarr.torchio")


# --- what is given ---


@pytest.mark.parametrize(
    ("url", "through_pathlib"),
    [
        ("dicomwebs://host/dicom-web/studies/1/series/2", None),
        ("dicomweb://127.0.0.1:80/studies/1/series/2", None),
        ("https://host/dicom-web/studies/1/series/2", None),
        ("dicomfile:///data/ct/studies/1/series/2", None),
        ("s3://bucket/prefix", None),
        ("/data/ct", "/data/ct"),
        ("idc:1.2.3", "idc:1.2.3"),
    ],
)
def test_a_url_that_went_through_pathlib_is_what_it_was(url: str, through_pathlib: str | None) -> None:
    assert as_given(url) == url
    mended = as_given(Path(url))
    assert str(mended) == (through_pathlib or url)


def test_what_is_no_text_is_left_alone() -> None:
    assert as_given(None) is None


# --- MONAI, volumes ---


@pytest.mark.parametrize("grid", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_a_volume_is_what_nibabel_would_hold(opened: Opener, monai: Any, grid: Any) -> None:
    url = opened.url(volume(grid, PIXELS))
    reader = monai.VolumeReader()
    assert reader.verify_suffix(url)
    array, told = reader.get_data(reader.read((url,)))
    theirs = dicomzarr.open(url).to_nibabel()
    assert np.array_equal(array, np.asarray(theirs.dataobj))
    assert array.dtype == np.int16
    assert np.allclose(told["affine"], theirs.affine)
    assert told["space"] == "RAS"
    assert tuple(told["spatial_shape"]) == array.shape
    assert np.isnan(told["original_channel_dim"])
    assert nib.aff2axcodes(told["affine"]) == nib.aff2axcodes(theirs.affine)


def test_paths_images_and_options_are_taken(opened: Opener, monai: Any, tmp_path: Path) -> None:
    series = volume(AXIAL, PIXELS)
    url = opened.url(series)
    series.write(tmp_path / "ct")
    stored = monai.VolumeReader(values="color")
    for given in (url, Path(url), tmp_path / "ct", str(tmp_path / "ct"), dicomzarr.open(url)):
        array, _ = monai.VolumeReader().get_data(monai.VolumeReader().read(given))
        assert np.array_equal(array, PIXELS.T.astype(int) - 1024)
    assert stored.read(url).view.values == "color"
    assert not stored.verify_suffix("ct.nii.gz")
    with pytest.raises(InvalidOptionError, match="valeus"):
        monai.VolumeReader(valeus="modality")


def test_absent_slices_are_an_error_unless_a_value_is_given(opened: Opener, monai: Any) -> None:
    ordered = sorted(volume(AXIAL, PIXELS).datasets, key=lambda each: float(each.ImagePositionPatient[2]))
    url = opened.url(series_of([*ordered[:2], *ordered[3:]]))
    with pytest.raises(UsageError, match="absent"):
        monai.VolumeReader().get_data(monai.VolumeReader().read(url))
    filled = monai.VolumeReader(absent=-1024)
    array, _ = filled.get_data(filled.read(url))
    assert (array[..., 2] == -1024).all()
    assert (array[..., 3] > -1024).any()


def test_several_volumes_of_one_place_are_the_last_axis(opened: Opener, monai: Any, torchio: Any) -> None:
    url = opened.url(repeated(distinct((4, 3, 6, 7)), RAGGED))
    reader = monai.VolumeReader()
    array, told = reader.get_data(reader.read(url))
    assert array.ndim == 4
    assert told["original_channel_dim"] == -1
    values, affine = torchio.read(url)
    assert np.array_equal(values, np.moveaxis(array, -1, 0))
    assert np.allclose(affine, told["affine"])
    one, _ = torchio.read(url, channel=1)
    assert np.array_equal(one[0], array[..., 1])


def test_several_series_are_stacked_only_in_one_place(opened: Opener, monai: Any) -> None:
    here, there = opened.url(volume(AXIAL, PIXELS)), opened.url(volume(OBLIQUE, PIXELS))
    reader = monai.VolumeReader()
    array, told = reader.get_data(reader.read([here, here]))
    assert array.shape == (2, *PIXELS.shape[::-1])
    assert told["original_channel_dim"] == 0
    with pytest.raises(UsageError, match="one place"):
        reader.get_data(reader.read([here, there]))


def test_readers_leave_their_secrets_behind(monai: Any) -> None:
    secret = "s3cret-p4ss"  # noqa: S105  # protects nothing
    for reader in (monai.VolumeReader(auth=("user", secret)), monai.WSIReader(level=1, auth=("user", secret))):
        travelled = pickle.dumps(reader)
        assert secret.encode() not in travelled
        assert pickle.loads(travelled).read  # noqa: S301  # our own
    elsewhere = pickle.dumps(monai.VolumeReader(auth="env:TOKEN", timeout=7))
    assert pickle.loads(elsewhere)._options == {"auth": "env:TOKEN", "timeout": 7}  # noqa: S301  # our own


# --- MONAI, slides ---


@pytest.fixture(scope="module")
def slide() -> Iterator[Served]:
    with serving(brightfield_pyramid()) as each:
        yield each


def test_patches_are_where_monai_counts_them(slide: Served, monai: Any) -> None:
    reader = monai.WSIReader(level=1)
    wsi = reader.read(slide.url)
    level = wsi.levels[1]
    assert (reader.get_level_count(wsi), reader.get_size(wsi, 1)) == (len(wsi.levels), level.shape[-2:])
    ratio = reader.get_downsample_ratio(wsi, 1)
    assert ratio == pytest.approx(2, rel=0.05)
    assert reader.get_mpp(wsi, 1) == level.scale[-2:]
    assert reader.get_file_path(wsi) == wsi.url
    patch = reader.get_data(wsi, location=(40, 60), size=(16, 24))
    steps = zip((40, 60), wsi.levels[0].scale[1:], level.scale[1:], strict=True)
    top, left = (round(each * fine / coarse) for each, fine, coarse in steps)
    assert np.array_equal(patch, level[:, top : top + 16, left : left + 24])
    last = monai.WSIReader(level=1, channel_dim=-1, dtype="float32").get_data(wsi, (40, 60), (16, 24))
    assert last.dtype == np.float32
    assert np.array_equal(last, np.moveaxis(patch, 0, -1))
    assert (reader.get_data(wsi, (40, 60), (16, 24), mode="RGBA")[3] == 255).all()


def test_beyond_the_edge_patches_are_white(slide: Served, monai: Any) -> None:
    reader = monai.WSIReader(level=0)
    wsi = reader.read(slide.url)
    height, width = wsi.shape[-2:]
    patch = reader.get_data(wsi, location=(height - 8, width - 8), size=(16, 16))
    assert np.array_equal(patch[:, :8, :8], wsi[:, -8:, -8:])
    assert (patch[:, 8:] == 255).all()


@pytest.mark.parametrize("channel_dim", [0, -1])
def test_a_patch_of_one_channel_has_an_axis_for_it(monai: Any, tmp_path: Path, channel_dim: int) -> None:
    level = Level(noisy_gray(1, (1, 1, 60, 90), 8), (32, 32), codec=GRAY)
    write(tmp_path, [full_instance(Identity("grey patch", 1), level)])
    reader = monai.WSIReader(level=0, channel_dim=channel_dim)
    patch = reader.get_data(reader.read(tmp_path), location=(10, 20), size=(16, 24))
    assert np.array_equal(patch, np.expand_dims(level.pixels[0, 0, 10:26, 20:44], channel_dim))


def test_pixels_are_not_wrapped_into_a_smaller_type(slide: Served, monai: Any) -> None:
    reader = monai.WSIReader(level=0, dtype="int8")
    with pytest.raises(UsageError, match="do not fit int8"):
        reader.get_data(reader.read(slide.url), (0, 0), (8, 8))


# --- TorchIO ---


def test_torchio_gets_channels_first_and_ras(opened: Opener, torchio: Any) -> None:
    url = opened.url(volume(OBLIQUE, PIXELS))
    values, affine = torchio.read(Path(url))
    theirs = dicomzarr.open(url).to_nibabel()
    assert np.array_equal(values[0], np.asarray(theirs.dataobj))
    assert np.allclose(affine, theirs.affine)
    image = torchio.scalar_image(url)
    assert np.array_equal(image.tensor, values)
    assert np.array_equal(image.affine, affine)


# --- without the libraries ---


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, opened: Opener, torchio: Any) -> None:
    for name in ("monai", "torchio"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in stand_ins.MONAI.keys() - {"monai"}:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for ours in OURS[:2]:
        monkeypatch.delitem(sys.modules, ours, raising=False)
    for kind in (UsageError, ImportError):
        with pytest.raises(kind, match="pip install monai"):
            importlib.import_module("dicomzarr.monai")
    url = opened.url(volume(AXIAL, PIXELS))
    assert torchio.read(url)[0].shape == (1, 20, 16, 5)
    with pytest.raises(UsageError, match="pip install torchio"):
        torchio.scalar_image(url)

"""Exports that are one file: a zip of OME-Zarr, OME-TIFF, NIfTI."""

from __future__ import annotations

import json
import time
import warnings
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import radiology_dimensions as dimensions
import slides
import tifffile
from opened import group_at
from radiology_model import AXIAL, CORONAL, OBLIQUE, SAGITTAL, decimals, distinct, series_of
from radiology_opened import Opener, affine_of, pixels_of
from radiology_volumes import VOLUME, bolus, gantry_tilt, modality_lut, pet, secondary_capture, uneven, volume
from real_data import real_series
from serving import forget_servers, serving
from weightings import SHELL, weighted
from zarr.storage import ZipStore

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import LeftOutWarning, TargetError, UsageError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their imports, not ours
    import ngff_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def lacking_a_slice() -> Any:
    series = volume(AXIAL, distinct((6, 16, 20), bits=12, signed=True), RescaleIntercept="0")
    lost = decimals(AXIAL.position(3))
    return series_of([each for each in series.datasets if each.ImagePositionPatient != lost])


# --- .ozx


def test_an_ozx_is_the_ome_zarr_in_a_zip_that_begins_with_its_documents(tmp_path: Path) -> None:
    out = tmp_path / "out.ozx"
    with serving(slides.brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, out)
        with zipfile.ZipFile(out) as archive:
            names = archive.namelist()
            documents = [name.endswith("zarr.json") for name in names]
            assert names[0] == "zarr.json"
            assert documents == sorted(documents, reverse=True)
            assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
            assert {each.date_time for each in archive.infolist()} == {
                (1980, 1, 1, 0, 0, 0)
            }  # the least: it says nothing
            assert json.loads(archive.comment)["ome"]["version"] == "0.5"
        group = group_at(ZipStore(out, mode="r"))
        assert dict(group.attrs) == dict(group_at(served.url).attrs)
        for level in image.levels:
            assert np.array_equal(group[str(level.number)][...], level[...])
        read = ngff_zarr.from_ngff_zarr(str(out), validate=True)
        assert [each.data.shape for each in read.images] == [level.shape for level in image.levels]
        assert [path.name for path in tmp_path.iterdir()] == ["out.ozx"]


@pytest.mark.parametrize("ending", ["ozx", "ome.tif", "nii.gz"])
def test_two_exports_of_a_series_are_the_same_bytes(
    ending: str, opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image, name = opened(volume(AXIAL, distinct((3, 16, 20), bits=12), RescaleIntercept="0")), f"out.{ending}"
    dicomzarr.export(image, tmp_path / "a" / name)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 10**6)
    dicomzarr.export(image, tmp_path / "b" / name)
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


# --- NIfTI


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("grid", [AXIAL, SAGITTAL, CORONAL, OBLIQUE], ids=["axial", "sagittal", "coronal", "oblique"])
def test_nifti_has_our_affine_and_values(opened: Opener, tmp_path: Path, grid: Any, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    image = opened(volume(grid, distinct((6, 16, 20), bits=12)))
    dicomzarr.export(image, out)
    found: Any = nib.load(out)
    assert np.allclose(found.affine, LPS_TO_RAS @ affine_of(image), rtol=0, atol=1e-4)
    for code in (found.header["qform_code"], found.header["sform_code"]):
        assert code == 1
    assert np.allclose(found.header.get_qform(), found.affine, rtol=0, atol=1e-3)
    assert np.array_equal(found.dataobj.get_unscaled().transpose(), pixels_of(image))
    assert found.dataobj.get_unscaled().dtype == image.levels[0].dtype
    assert found.header.get_xyzt_units()[0] == "mm"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_shear_goes_into_the_sform_of_nifti_alone(opened: Opener, tmp_path: Path) -> None:
    image = opened(gantry_tilt())
    dicomzarr.export(image, tmp_path / "out.nii")
    found: Any = nib.load(tmp_path / "out.nii")
    assert (int(found.header["qform_code"]), int(found.header["sform_code"])) == (0, 1)
    assert np.allclose(found.affine, LPS_TO_RAS @ affine_of(image), rtol=0, atol=1e-4)


def test_an_ending_in_capitals_is_compressed_too(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(AXIAL))
    dicomzarr.export(image, tmp_path / "OUT.NII.GZ")
    found: Any = nib.load(tmp_path / "OUT.NII.GZ")
    assert np.array_equal(np.asanyarray(found.dataobj), image.to_nibabel().dataobj)


@pytest.mark.parametrize("name", ["ct_explicit_le", "mr_enhanced_siemens"])
def test_nifti_of_real_series_rescales_as_the_header_says(name: str, tmp_path: Path) -> None:
    folder = real_series(name)
    dicomzarr.export(folder, tmp_path / "out.nii")
    found: Any = nib.load(tmp_path / "out.nii")
    values = dicomzarr.open(folder, values="modality").levels[0][...]
    assert np.array_equal(np.squeeze(found.get_fdata().transpose()), np.squeeze(values))


def test_nifti_has_times(opened: Opener, tmp_path: Path) -> None:
    image = opened(bolus(distinct((4, 16, 20)), ["120000", "120002", "120004", "120006"]))
    region = {} if "z" in image.levels[0].axes else None
    dicomzarr.export(image, tmp_path / "out.nii", region=region)
    found: Any = nib.load(tmp_path / "out.nii")
    assert found.shape == (20, 16, 1, 4)
    assert found.header["pixdim"][4] == pytest.approx(image.levels[0].scale[0])
    assert np.array_equal(np.squeeze(found.dataobj.get_unscaled()).transpose(), pixels_of(image))


def test_a_region_of_nifti_keeps_its_place(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(OBLIQUE, distinct((6, 16, 20))))
    dicomzarr.export(image, tmp_path / "out.nii", region={"z": (2, 5), "y": (3, 16), "x": (4, 11)})
    found: Any = nib.load(tmp_path / "out.nii")
    assert np.allclose(found.affine @ (1, 2, 1, 1), LPS_TO_RAS @ affine_of(image) @ (5, 5, 3, 1), atol=1e-3)


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (partial(uneven, [0, 2.5, 5, 10, 17.5], distinct((5, 16, 20))), "not evenly spaced"),
        (partial(pet, distinct((4, 16, 20), bits=16), [0.5, 1.25, 2, 4]), "from slice to slice"),
        (modality_lut, "by a table"),
        (partial(secondary_capture, distinct((16, 20, 3), bits=8)), "does not say where"),
        (partial(dimensions.repeated, dimensions.TWICE, dimensions.ECHOES), "several channels"),
        (lacking_a_slice, "1 of its slices are absent"),
    ],
    ids=["uneven", "slopes", "table", "capture", "channels", "absent"],
)
def test_what_nifti_cannot_say_is_refused(opened: Opener, tmp_path: Path, series: Any, said: str) -> None:
    url = opened.url(series())
    with pytest.raises(UsageError, match=said):
        dicomzarr.export(url, tmp_path / "out.nii")
    assert list(tmp_path.iterdir()) == []


def test_nifti_of_a_slide_is_refused(tmp_path: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served, pytest.raises(UsageError, match="it is a slide"):
        dicomzarr.export(served.url, tmp_path / "out.nii", images=[""])


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_nifti_of_diffusion_is_that_of_to_nifti_with_the_same_files_beside_it(
    opened: Opener, tmp_path: Path, ending: str
) -> None:
    both = dimensions.product(
        dimensions.along("TemporalPositionIdentifier", [1, 2]),
        dimensions.diffusion([(0.0, None), (7e2, (0.0, 0.6, 0.8))]),
    )
    repeats = weighted("SIEMENS", weightings=[SHELL[0], *SHELL[:2]])  # two of one weighting: times tell them apart
    for dataset in repeats.datasets:
        dataset.AcquisitionTime = f"10{dataset.InstanceNumber:02}00"
    series = {
        "c": dimensions.repeated(distinct((4, 3, 16, 20)), dimensions.RAGGED),
        "t": repeats,
        "tc": dimensions.repeated(distinct((4, 3, 16, 20)), both),
    }
    for axes, each in series.items():
        image = opened(each)
        assert "".join(image.levels[0].axes[:-3]) == axes
        ours, theirs = tmp_path / f"{axes}.{ending}", tmp_path / f"theirs-{axes}.{ending}"
        dicomzarr.export(image, ours)
        image.to_nifti(theirs)
        for suffix in (".bval", ".bvec"):
            assert (tmp_path / f"{axes}{suffix}").read_text() == (tmp_path / f"theirs-{axes}{suffix}").read_text()
        found, expected = nib.load(ours), nib.load(theirs)  # type: ignore[attr-defined]
        assert found.header.get_xyzt_units() == expected.header.get_xyzt_units()
        assert np.array_equal(found.get_fdata(), expected.get_fdata())
        assert np.array_equal(found.affine, expected.affine)


def test_files_beside_a_nifti_come_and_go_with_it(opened: Opener, tmp_path: Path) -> None:
    series = dimensions.repeated(distinct((4, 3, 16, 20)), dimensions.RAGGED)
    out, b_values, vectors = (tmp_path / f"out.{ending}" for ending in ("nii", "bval", "bvec"))
    image = opened(series)
    b_values.write_text("mine")
    with pytest.raises(UsageError, match=r"already: out\.bval"):
        dicomzarr.export(image, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.bval"]
    assert b_values.read_text() == "mine"
    dicomzarr.export(image, out, overwrite=True, region={"c": (1, 4)})
    assert b_values.read_text() == "1000 1000 1000\n"
    assert np.loadtxt(vectors).shape == (3, 3)
    dicomzarr.export(image, out, overwrite=True, region={"c": (0, 1)})  # one volume counts nothing
    assert [path.name for path in tmp_path.iterdir()] == ["out.nii"]


def test_a_nifti_of_diffusion_without_directions_says_so(opened: Opener, tmp_path: Path) -> None:
    image = opened(dimensions.vendor_b_values(distinct((2, 3, 16, 20)), [0, 1000]))
    with pytest.warns(LeftOutWarning, match="no b-vectors"):
        dicomzarr.export(image, tmp_path / "out.nii")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.bval", "out.nii"]


@pytest.mark.parametrize("ending", ["nii.gz", "ome.tif"])
def test_absent_slices_are_filled_when_a_value_is_given(opened: Opener, tmp_path: Path, ending: str) -> None:
    image, out = opened(lacking_a_slice()), tmp_path / f"out.{ending}"
    with pytest.raises(UsageError, match="absent"):
        dicomzarr.export(image, out)
    dicomzarr.export(image, out, absent=-5)
    expected = pixels_of(image).copy()
    expected[3] = -5
    found: Any = nib.load(out).dataobj.get_unscaled().transpose() if ending == "nii.gz" else tifffile.imread(out)  # type: ignore[attr-defined]
    assert np.array_equal(found, expected)


# --- OME-TIFF


def read_levels(path: Path) -> list[Any]:
    with tifffile.TiffFile(path) as tiff:
        return [level.asarray() for level in tiff.series[0].levels]


def test_ome_tiff_copies_jpeg_tiles_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    with demo_server() as demo:
        image = dicomzarr.open(demo_url(demo))
        dicomzarr.export(image, out, images=[""])
        dicomzarr.export(image, tmp_path / "kept.zarr", images=[""], keep_encoded=True)
        for level, found in zip(image.levels, read_levels(out), strict=True):
            assert np.array_equal(np.moveaxis(found, -1, 0), level[...])
        with tifffile.TiffFile(out) as tiff:
            page = tiff.series[0].levels[0].pages[0]
            assert isinstance(page, tifffile.TiffPage)
            assert page.compression == tifffile.COMPRESSION.JPEG
            rows, columns = (-(-size // 256) for size in image.levels[0].shape[-2:])
            for number, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
                tiff.filehandle.seek(offset)
                y, x = divmod(number, columns)
                assert y < rows
                assert tiff.filehandle.read(size) == (tmp_path / f"kept.zarr/0/c/0/{y}/{x}").read_bytes()
            assert tiff.ome_metadata is not None
            assert 'PhysicalSizeX="0.499"' in tiff.ome_metadata
            assert tiff.is_bigtiff
    forget_servers()


@pytest.mark.parametrize("name", ["slide_cmu1", "slide_camelyon_level", "mr_enhanced_siemens", "mr_dti_philips"])
def test_ome_tiff_of_real_series_has_the_same_pixels(name: str, tmp_path: Path) -> None:
    image = dicomzarr.open(real_series(name))
    dicomzarr.export(image, tmp_path / "out.ome.tif")
    for level, found in zip(image.levels, read_levels(tmp_path / "out.ome.tif"), strict=True):
        expected = np.moveaxis(level[...], 0, -1) if image.plan.color else level[...]
        assert np.array_equal(np.squeeze(found), np.squeeze(expected))


@pytest.mark.parametrize("name", slides.CODECS)
def test_ome_tiff_of_any_coding_has_the_same_pixels(name: str, tmp_path: Path) -> None:
    with serving(slides.coded_slide(name)) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, tmp_path / "out.ome.tif", images=[""])
        expected = np.moveaxis(image.levels[0][...], 0, -1) if image.plan.color else image.levels[0][...]
        assert np.array_equal(np.squeeze(read_levels(tmp_path / "out.ome.tif")[0]), np.squeeze(expected))


def test_ome_tiff_has_channels_and_planes_of_each_level(tmp_path: Path) -> None:
    with serving(slides.fluorescence_focal_stack()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, tmp_path / "out.ome.tif")
        for level, found in zip(image.levels, read_levels(tmp_path / "out.ome.tif"), strict=True):
            assert np.array_equal(found, level[...])
        with tifffile.TiffFile(tmp_path / "out.ome.tif") as tiff:
            assert tiff.series[0].axes == "".join(image.levels[0].axes).upper()
            assert tiff.ome_metadata is not None
            for channel in image.channels:
                assert f'Name="{channel.label}"' in tiff.ome_metadata


def test_absent_tiles_of_an_ome_tiff_have_the_colour_of_the_glass(tmp_path: Path) -> None:
    with serving(slides.sparse_brightfield()) as served:
        image = dicomzarr.open(served.url)
        dicomzarr.export(image, tmp_path / "out.ome.tif", images=[image.path])
        found = read_levels(tmp_path / "out.ome.tif")
        assert np.array_equal(np.moveaxis(found[0], -1, 0), image.levels[0][...])


def test_ome_tiff_builds_levels(tmp_path: Path) -> None:
    with demo_server() as demo:
        image = dicomzarr.open(demo_url(demo))
        dicomzarr.export(image, tmp_path / "out.ome.tif", images=[""], levels=[0], build_levels=True)
        first, second, third = read_levels(tmp_path / "out.ome.tif")
        assert np.array_equal(np.moveaxis(first, -1, 0), image.levels[0][...])
        assert (second.shape, third.shape) == ((800, 700, 3), (400, 350, 3))
    forget_servers()


def test_ome_tiff_says_how_stored_values_are_rescaled(opened: Opener, tmp_path: Path) -> None:
    series, out = volume(AXIAL, distinct((2, 16, 20))), tmp_path / "out.ome.tif"
    with pytest.warns(LeftOutWarning, match='stored values - 1024. values="modality"'):
        dicomzarr.export(opened(series), out)
    with pytest.warns(LeftOutWarning, match="by a table"):
        dicomzarr.export(opened(modality_lut()), out, overwrite=True)
    image = opened(series, values="modality")
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeftOutWarning)
        dicomzarr.export(image, out, overwrite=True)
    assert np.array_equal(read_levels(out)[0], pixels_of(image))


def test_ome_tiff_refuses_stored_values_whose_slopes_differ(opened: Opener, tmp_path: Path) -> None:
    series, out = pet(VOLUME, [1, 2, 3, 4, 5]), tmp_path / "out.ome.tif"
    with pytest.raises(UsageError, match=r'slopes differ from slice to slice.*values="modality"'):
        dicomzarr.export(opened(series), out)
    assert not out.exists()
    image = opened(series, values="modality")
    dicomzarr.export(image, out)
    assert np.array_equal(read_levels(out)[0], pixels_of(image))


def test_one_file_holds_one_image(tmp_path: Path) -> None:
    with serving(slides.two_pyramids()) as served:
        with pytest.raises(UsageError, match="2 images"):
            dicomzarr.export(served.url, tmp_path / "out.ome.tif")
        second = dicomzarr.open(served.url).images[1]
        dicomzarr.export(second, tmp_path / "out.ome.tif")
        assert np.array_equal(np.moveaxis(read_levels(tmp_path / "out.ome.tif")[0], -1, 0), second.levels[0][...])


def test_a_file_is_overwritten_only_when_asked_and_lies_on_a_disk(opened: Opener, tmp_path: Path) -> None:
    image, out = opened(volume(AXIAL, distinct((3, 16, 20)))), tmp_path / "out.nii"
    out.write_text("mine")
    with pytest.raises(UsageError, match="already"):
        dicomzarr.export(image, out)
    assert out.read_text() == "mine"
    dicomzarr.export(image, out, overwrite=True)
    assert nib.load(out).shape == (20, 16, 3)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="disk of this machine"):
        dicomzarr.export(image, "memory://out.nii")


def test_a_folder_is_not_replaced_by_a_file(opened: Opener, tmp_path: Path) -> None:
    image, out = opened(volume(AXIAL, distinct((2, 16, 20)))), tmp_path / "out.ome.tif"
    out.mkdir()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="There is a folder at the target"):
            dicomzarr.export(image, out, overwrite=overwrite)
    with pytest.raises(TargetError, match="File name too long"):
        dicomzarr.export(image, tmp_path / f"{'n' * 300}.ome.tif")
    assert list(tmp_path.iterdir()) == [out]

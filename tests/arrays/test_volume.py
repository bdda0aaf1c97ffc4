"""Volumes as SimpleITK, nibabel and files of NIfTI hold them, beside what tests/real compares with dcm2niix."""

from __future__ import annotations

import builtins
import gzip
import itertools
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_multiframe as multiframe
import radiology_nuclear as nuclear
import SimpleITK
from handed_on import by_way_of_nifti, by_way_of_sitk, each_volume
from pydicom.uid import generate_uid
from radiology import BUILDERS
from radiology_model import AXIAL, CORONAL, GRIDS, OBLIQUE, SAGITTAL, TILTED, decimals, distinct, series_of
from radiology_opened import Opener, affine_of, pixels_of
from radiology_oracles import by_simpleitk, by_simpleitk_file, differences
from radiology_traps import paint
from radiology_volumes import (
    VOLUME,
    bolus,
    gantry_tilt,
    modality_lut,
    monochrome1,
    mosaic,
    pet,
    secondary_capture,
    uneven,
    volume,
)
from real_data import real_series
from weightings import GE, NONE, SHELL, weighted

import dicomzarr
from dicomzarr.errors import InvalidOptionError, LeftOutWarning, MetadataError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from radiology_model import Grid, RadiologySeries

NEAR = 1e-3
"""Millimetres between voxels that coincide: NIfTI has 32 bits of floating point."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def lacking_a_slice(number: int = 3) -> RadiologySeries:
    series = volume(AXIAL, distinct((6, 16, 20), bits=12, signed=True))
    lost = decimals(AXIAL.position(number))
    return series_of([each for each in series.datasets if each.ImagePositionPatient != lost])


# --- what SimpleITK reads out of the same files

SIMPLEITK: dict[str, Callable[[], RadiologySeries]] = {
    **{name: partial(volume, grid) for name, grid in GRIDS.items()},
    "signed": lambda: volume(pixels=distinct((5, 16, 20), bits=16, signed=True), bits=16),
    "8 bits": lambda: volume(pixels=distinct((5, 16, 20), bits=8), bits=8),
    "slope": lambda: volume(RescaleSlope="0.25", RescaleIntercept="3"),
    "falling slope": lambda: volume(RescaleSlope="-1", RescaleIntercept="100"),
    "slopes of slices": lambda: pet(VOLUME, [0.5, 1.25, 2, 4, 0.125]),
    "two slices": lambda: volume(OBLIQUE, VOLUME[:2]),
    "one slice": lambda: volume(pixels=VOLUME[:1]),
}


@pytest.mark.parametrize("name", SIMPLEITK)
def test_volumes_are_those_that_simpleitk_reads(opened: Opener, tmp_path: Path, name: str) -> None:
    series = SIMPLEITK[name]()
    series.write(tmp_path / "series")
    image, theirs = opened(series), by_simpleitk(tmp_path / "series")
    if len(series.datasets) == 1:  # it knows no step from a slice to none
        theirs.affine[:3, 2] = affine_of(image)[:3, 2]
    for ours in (by_way_of_sitk(image), by_way_of_nifti(image, tmp_path / "out.nii.gz")):
        apart, differ = differences(ours, theirs, relative=1e-6)
        assert (apart < NEAR, differ) == (True, 0)


@pytest.mark.parametrize("name", ["ct_explicit_le", "mr_small_stack", "mr_enhanced_siemens"])
def test_real_volumes_are_those_that_simpleitk_reads(tmp_path: Path, name: str) -> None:
    folder = real_series(name)
    image, files = dicomzarr.open(folder), list(folder.glob("*.dcm"))
    theirs = by_simpleitk(folder) if len(files) > 1 else by_simpleitk_file(files[0])
    if len(theirs.values) == 1:
        theirs.affine[:3, 2] = affine_of(image)[:3, 2]
    for ours in (by_way_of_sitk(image), by_way_of_nifti(image, tmp_path / "out.nii")):
        apart, differ = differences(ours, theirs, relative=1e-6)
        assert (apart < NEAR, differ) == (True, 0)


def test_simpleitk_reads_a_sheared_volume_as_a_straight_one_and_we_do_not(opened: Opener, tmp_path: Path) -> None:
    series = gantry_tilt()
    series.write(tmp_path / "series")
    image = opened(series)
    for ours in (by_way_of_sitk(image), by_way_of_nifti(image, tmp_path / "out.nii")):
        assert np.allclose(ours.affine, TILTED.affine, rtol=0, atol=NEAR)
    apart = by_simpleitk(tmp_path / "series").affine[:3, 2] - TILTED.step
    assert np.linalg.norm(apart) == pytest.approx(1.21, abs=0.05)


def test_simpleitk_inverts_monochrome1_and_we_do_not(opened: Opener, tmp_path: Path) -> None:
    series = monochrome1()
    series.write(tmp_path / "series")
    ours, theirs = by_way_of_sitk(opened(series)), by_simpleitk(tmp_path / "series")
    assert np.array_equal(ours.values, VOLUME.astype(int) - 1024)
    assert np.array_equal(theirs.values, (4095 - VOLUME.astype(int)) - 1024)


@pytest.mark.parametrize("name", BUILDERS)
def test_each_volume_of_any_series_has_its_values_and_place_or_is_refused(
    opened: Opener, tmp_path: Path, name: str
) -> None:
    image = opened(BUILDERS[name](), values="modality")
    for _, one, chosen in each_volume(image):
        if one.affine is None or one.plan.color or name == "mosaic":
            with pytest.raises(UsageError, match="This image is no volume"):
                one.to_nifti(tmp_path / "out.nii", time=chosen["time"])
            continue
        axes, index = one.levels[0].axes, {"t": chosen["time"], "c": chosen["channel"]}
        values = one.levels[0][tuple(index.get(axis, slice(None)) for axis in axes)]
        for ours in (
            by_way_of_sitk(one, absent=0, **chosen),
            by_way_of_nifti(one, tmp_path / "out.nii", absent=0, **chosen),
        ):
            lost = {cell.get("z", 0) for cell in one.plan.attributes.absent}
            there = [place for place in range(len(ours.values)) if place not in lost]
            assert np.array_equal(ours.values[there], values.reshape(ours.values.shape)[there], equal_nan=True)
            assert np.allclose(ours.affine, affine_of(one), rtol=0, atol=NEAR)


# --- what only we can say


def test_each_voxel_of_a_sheared_volume_lies_where_the_affine_puts_it_for_simpleitk(opened: Opener) -> None:
    image = opened(gantry_tilt())
    found = image.to_sitk()
    for index in ((0, 0, 0), (19, 0, 4), (3, 15, 2)):
        place = affine_of(image) @ (*index, 1)
        assert np.allclose(found.TransformIndexToPhysicalPoint(index), place[:3], atol=1e-6)
        assert found.TransformPhysicalPointToIndex(place[:3].tolist()) == index


def test_a_shear_is_in_the_sform_and_the_qform_says_nothing(opened: Opener, tmp_path: Path) -> None:
    image = opened(gantry_tilt())
    image.to_nifti(tmp_path / "out.nii")
    for found in (nibabel.load(tmp_path / "out.nii"), image.to_nibabel()):
        header: Any = found.header  # type: ignore[attr-defined]
        assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
        assert np.allclose(header.get_sform(), np.diag([-1, -1, 1, 1]) @ TILTED.affine, atol=NEAR)
    straight: Any = opened(volume()).to_nibabel().header
    assert (int(straight["qform_code"]), int(straight["sform_code"])) == (1, 1)


@pytest.mark.parametrize("values", ["stored", "modality"])
def test_values_are_those_of_the_modality_whatever_was_opened(opened: Opener, values: str) -> None:
    found = opened(volume(), values=values).to_sitk()
    assert found.GetPixelID() == SimpleITK.sitkInt16
    assert np.array_equal(SimpleITK.GetArrayFromImage(found), VOLUME.astype("i2") - 1024)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # one case has UIDs that are hashes
def test_images_of_stored_values_are_handed_on_as_those_of_the_modality(shared_dir: Path) -> None:
    several = 0
    for folder in sorted(each for each in (shared_dir / "cases").iterdir() if each.is_dir()):
        try:
            stored, rescaled = (dicomzarr.open(folder, values=values) for values in ("stored", "modality"))
        except (MetadataError, UsageError):
            continue
        by_uids = {frozenset(each.plan.levels[0].attributes.sop_instance_uids): each for each in rescaled.images}
        for image in stored.images:
            twin = by_uids.get(frozenset(image.plan.levels[0].attributes.sop_instance_uids))
            known = image.plan.attributes
            if (
                known.affine_reference == "slide"
                or image.affine is None
                or known.absent
                or len(by_uids) < len(rescaled.images)
            ):
                continue
            chosen = {"channel": 0, "time": 0}
            if twin is None:
                with pytest.raises(UsageError, match='values="modality"'):
                    image.to_sitk(**chosen)
                continue
            ours, theirs = (SimpleITK.GetArrayFromImage(each.to_sitk(**chosen)) for each in (image, twin))
            assert np.array_equal(ours, theirs)
            several += len(stored.images) > 1
    assert several > 3


def test_a_table_leads_to_the_values(opened: Opener) -> None:
    expected = np.array([value**2 // 4096 for value in range(4096)])[VOLUME]
    assert np.array_equal(SimpleITK.GetArrayFromImage(opened(modality_lut()).to_sitk()), expected)


def test_times_are_a_fourth_axis_with_their_step(opened: Opener, tmp_path: Path) -> None:
    pixels = distinct((4, 16, 20))
    image = opened(bolus(pixels, ["120000", "120002", "120004", "120006"]))
    found = image.to_sitk()
    assert (found.GetSize(), found.GetSpacing()[3]) == ((20, 16, 1, 4), 2.0)
    assert np.array_equal(SimpleITK.GetArrayFromImage(found)[:, 0], pixels.astype(int) - 1024)
    image.to_nifti(tmp_path / "out.nii")
    read: Any = nibabel.load(tmp_path / "out.nii")
    assert (read.shape, float(read.header["pixdim"][4])) == ((20, 16, 1, 4), 2.0)
    assert read.header.get_xyzt_units() == ("mm", "sec")
    assert np.array_equal(np.asarray(read.dataobj)[:, :, 0, 2].T, pixels[2].astype(int) - 1024)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk(time=-1))[0], pixels[3].astype(int) - 1024)


def test_slices_that_follow_each_other_leave_the_step_of_their_volumes(opened: Opener, tmp_path: Path) -> None:
    pixels = distinct((4, 3, 16, 20))
    image = opened(dimensions.times_by_slice(pixels))  # a slice a second, three of them a volume
    assert image.axes[0].unit is None
    image.to_nifti(tmp_path / "out.nii")
    dicomzarr.export(image.url, tmp_path / "piecewise.nii")
    for name in ("out.nii", "piecewise.nii"):
        header: Any = nibabel.load(tmp_path / name).header  # type: ignore[attr-defined]
        assert (float(header["pixdim"][4]), header.get_xyzt_units()) == (3.0, ("mm", "sec"))
    assert image.to_sitk().GetSpacing()[3] == 3.0
    skipped = dimensions.times_by_slice(pixels)
    for dataset in skipped.datasets:
        if dataset.AcquisitionNumber == 4:
            dataset.AcquisitionTime = "120059.000000"
    uneven_times: Any = opened(skipped).to_nibabel().header
    assert (float(uneven_times["pixdim"][4]), uneven_times.get_xyzt_units()[1]) == (1.0, "unknown")


def two_stacks_one_with_a_sign(sizes: tuple[int, int]) -> RadiologySeries:
    """Two stacks in each instance, of which one has a sign: as values of the modality they are other images."""
    pixels = distinct((sum(sizes), 16, 20)) // 2
    (unsigned,) = multiframe.two_stacks(pixels[: sizes[0]], pixels[sizes[0] :]).datasets
    (signed,) = multiframe.two_stacks(pixels[: sizes[0]], pixels[sizes[0] :]).datasets
    signed.SOPInstanceUID, signed.PixelRepresentation = generate_uid(entropy_srcs=["signed"]), 1
    signed.PixelData = (pixels + 2048).astype("<i2").tobytes()
    signed.BitsStored, signed.HighBit = 16, 15
    for group in signed.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(value) + 500 for value in place.ImagePositionPatient]
    del signed.PerFrameFunctionalGroupsSequence[sizes[0] :]
    signed.NumberOfFrames = sizes[0]
    signed.PixelData = signed.PixelData[: sizes[0] * 16 * 20 * 2]
    return series_of([unsigned, signed])


@pytest.mark.parametrize("sizes", [(5, 4), (5, 7), (5, 5)])
def test_images_of_the_same_instances_are_not_mixed_up_where_rescaled_values_join_others(
    opened: Opener, sizes: tuple[int, int]
) -> None:
    shown = 0
    for image in opened(two_stacks_one_with_a_sign(sizes)).images:
        for read in (lambda image: SimpleITK.GetArrayFromImage(image.to_sitk()), lambda i: i.to_nibabel().dataobj.T):
            with suppress(UsageError):
                assert np.array_equal(np.asarray(read(image)), image.levels[0][...])
                shown += 1
    assert shown


@pytest.mark.parametrize("sizes", [(5, 4), (5, 7), (5, 5)])
@pytest.mark.parametrize(("values", "others"), [("stored", "modality"), ("modality", "stored")])
def test_an_image_opened_with_other_values_has_its_own_frames(
    opened: Opener, sizes: tuple[int, int], values: str, others: str
) -> None:
    for image in opened(two_stacks_one_with_a_sign(sizes), values=values).images:
        other = image.opened_with(values=others)
        assert np.array_equal(other[...], image[...])
        assert other.opened_with(values=values).path == image.path


def signed_slices(*heights: int) -> RadiologySeries:
    """As a PACS compressed some slices anew: their pixels have a sign, and lie 1024 lower."""
    series = volume(pixels=distinct((10, 16, 20)))
    below = sorted(series.datasets, key=lambda each: float(each.ImagePositionPatient[2]))
    for odd in (below[height] for height in heights):
        odd.PixelRepresentation, odd.RescaleIntercept, odd.BitsStored, odd.HighBit = 1, 0, 16, 15
        odd.PixelData = (np.frombuffer(odd.PixelData, "<u2").astype("<i2") - 1024).tobytes()
    return series


def test_an_image_that_other_values_join_with_others_or_part_is_refused(opened: Opener, tmp_path: Path) -> None:
    series = signed_slices(5, 6, 7, 8, 9)
    apart = opened(series)
    assert len(apart.images) == 2
    joined = dicomzarr.open(apart.series_url, values="modality")
    assert joined.shape == (10, 16, 20)
    for image, values in [*((each, "modality") for each in apart.images), (joined, "stored")]:
        with pytest.raises(UsageError, match="just the frames of this one"):
            image.opened_with(values=values)
        with pytest.raises(UsageError, match="just the frames of this one"):
            dicomzarr.export(image, tmp_path / "a.zarr", values=values)
        assert image.opened_with(include_phi=True).path == image.path


def test_absent_slices_are_no_sign_of_a_change_where_rescaled_values_join_images(opened: Opener) -> None:
    series = signed_slices(4)
    (lacking,) = (image for image in opened(series).images if image.attributes.get("absent"))
    for convert in (lacking.to_sitk, lacking.to_nibabel):
        with pytest.raises(UsageError, match="no image of the series has just the frames of this one"):
            convert(absent=-1024)


def test_a_dose_is_a_dose(opened: Opener) -> None:
    image = opened(nuclear.dose(distinct((4, 16, 20), bits=32), [0, 2.5, 5, 7.5]))
    values = dicomzarr.open(image.url, values="modality").levels[0][...]
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk()), values)


@pytest.mark.parametrize("scaling", [None, "", "0"])
@pytest.mark.parametrize("values", ["stored", "modality"])
def test_a_dose_of_which_the_scaling_lacks_is_no_dose_and_that_is_said(
    opened: Opener, scaling: str | None, values: str
) -> None:
    """DoseGridScaling is required where there are pixels (PS3.3 section C.8.8.3)."""
    stored = distinct((4, 16, 20), bits=32)
    series = nuclear.dose(stored, [0, 2.5, 5, 7.5])
    (dataset,) = series.datasets
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "1"  # not of a dose
    if scaling is None:
        del dataset.DoseGridScaling
    else:
        dataset.DoseGridScaling = scaling
    image = dicomzarr.open(opened(series).url, values=values)
    assert image.attributes.get("units") is None
    assert np.array_equal(image.levels[0][...], stored)
    assert any("DoseGridScaling is" in notice and "are no dose" in notice for notice in image.notices)


def test_several_channels_are_refused_and_one_can_be_chosen(opened: Opener) -> None:
    image = opened(dimensions.repeated(dimensions.TWICE, dimensions.ECHOES))
    for convert in (image.to_sitk, image.to_nibabel):
        with pytest.raises(UsageError, match=r"it has 2 channels. Choose one, as channel=0"):
            convert()
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk(channel=1)), pixels_of(image)[1])
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk(channel=-1)), pixels_of(image)[-1])
    for chosen in ({"channel": 2}, {"channel": -3}, {"time": 1}, {"channel": "b"}, {"channel": True}):
        with pytest.raises(UsageError, match=r"There is no .* -1 to -[12] counts them from the last"):
            image.to_sitk(**chosen)  # type: ignore[arg-type]  # a mistake on purpose


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (partial(uneven, [0, 2.5, 5, 10, 17.5], distinct((5, 16, 20))), "not evenly spaced"),
        (partial(secondary_capture, distinct((16, 20, 3), bits=8)), "does not say where"),
        (lacking_a_slice, "1 of its slices are absent"),
    ],
    ids=["uneven", "capture", "absent"],
)
def test_what_is_no_volume_is_refused_with_the_reason(
    opened: Opener, tmp_path: Path, series: Callable[[], RadiologySeries], said: str
) -> None:
    image = opened(series())
    for convert in (image.to_sitk, image.to_nibabel, partial(image.to_nifti, tmp_path / "out.nii")):
        with pytest.raises(UsageError, match=f"This image is no volume: .*{said}"):
            convert()
    assert list(tmp_path.iterdir()) == []


def test_absent_slices_are_filled_with_the_value_that_is_given(opened: Opener) -> None:
    image = opened(lacking_a_slice())
    expected = dicomzarr.open(image.url, values="modality").levels[0][...]
    expected[3] = -2000
    assert np.array_equal(SimpleITK.GetArrayFromImage(image.to_sitk(absent=-2000)), expected)
    assert np.array_equal(np.asarray(image.to_nibabel(absent=-2000).dataobj).T, expected)
    for value in (0.5, 1e6):
        with pytest.raises(InvalidOptionError, match="is no value of int16"):
            image.to_sitk(absent=value)


def test_colours_are_components_of_a_pixel_for_simpleitk_and_no_channels(opened: Opener) -> None:
    pixels = distinct((4, 16, 20, 3), bits=8)
    image = opened(volume(pixels=pixels, bits=8))
    found = image.to_sitk()
    assert (found.GetSize(), found.GetNumberOfComponentsPerPixel()) == ((20, 16, 4), 3)
    assert np.array_equal(SimpleITK.GetArrayFromImage(found), pixels)
    with pytest.raises(UsageError, match="it has 3 channels"):
        image.to_nibabel()
    lacking = opened(series_of([each for each in volume(pixels=pixels, bits=8).datasets if each.InstanceNumber != 2]))
    filled = SimpleITK.GetArrayFromImage(lacking.to_sitk(absent=7))
    assert (filled[1] == 7).all() or (filled[2] == 7).all()


def test_colours_of_a_palette_that_were_asked_for_are_colours_and_no_numbers(opened: Opener, tmp_path: Path) -> None:
    palette = distinct((256, 3), bits=8)
    series = volume(pixels=distinct((4, 16, 20), bits=8), bits=8, RescaleIntercept="0")
    for dataset in series.datasets:
        paint(dataset, palette)
    image = opened(series, values="color")
    found = SimpleITK.GetArrayFromImage(image.to_sitk())
    assert np.array_equal(found, palette[distinct((4, 16, 20), bits=8)])
    with pytest.raises(UsageError, match="it has 3 channels"):
        image.to_nibabel()
    stored = opened(series)
    for call in (
        stored.to_sitk,
        partial(stored.to_nifti, tmp_path / "a.nii"),
        partial(dicomzarr.export, stored, tmp_path / "b.nii"),
    ):
        with pytest.warns(LeftOutWarning, match="numbers of colours in a palette"):
            call()


def test_a_mosaic_is_no_volume(opened: Opener, tmp_path: Path) -> None:
    image = opened(mosaic(distinct((3, 16, 20)), [1, 3, 5]))
    calls: list[Callable[[], Any]] = [
        image.to_sitk,
        image.to_nibabel,
        partial(image.to_nifti, tmp_path / "out.nii"),
        partial(dicomzarr.export, image, tmp_path / "out.nii"),
        image.label_map,
    ]
    for call in calls:
        with pytest.raises(UsageError, match="its frames are mosaics"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_slices_that_were_taken_out_of_a_mosaic_are_a_volume(opened: Opener) -> None:
    series = volume(ImageType=["DERIVED", "PRIMARY", "M", "ND", "MOSAIC"])
    assert np.array_equal(SimpleITK.GetArrayFromImage(opened(series).to_sitk()), VOLUME.astype(int) - 1024)


# --- diffusion


def test_diffusion_is_a_fourth_axis_with_its_files_beside_it(opened: Opener, tmp_path: Path) -> None:
    pixels = distinct((4, 3, 16, 20))
    image = opened(dimensions.repeated(pixels, dimensions.RAGGED))
    image.to_nifti(tmp_path / "out.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.bval", "out.bvec", "out.nii.gz"]
    assert gzip.decompress((tmp_path / "out.nii.gz").read_bytes())[:4] == (348).to_bytes(4, "little")
    read: Any = nibabel.load(tmp_path / "out.nii.gz")
    assert np.array_equal(np.asarray(read.dataobj).transpose(), pixels)
    assert np.array_equal(np.loadtxt(tmp_path / "out.bval"), [0, 1000, 1000, 1000])
    # axial, rows to the left and columns to the back, so x is turned by FSL's rule, and no other component
    expected = [(0, 0, 0), *((-x + 0.0, y, z) for x, y, z in dimensions.DIRECTIONS)]
    assert np.allclose(np.loadtxt(tmp_path / "out.bvec").T, expected, atol=1e-6)
    assert image.to_sitk().GetSize() == (20, 16, 3, 4)


def test_weightings_of_several_echoes_are_no_series_of_diffusion(opened: Opener, tmp_path: Path) -> None:
    plain, weighted = dimensions.diffusion([(0.0, None), (700.0, (1.0, 0.0, 0.0))])
    early, late = dimensions.ECHOES
    three = [{**plain, **early}, {**plain, **late}, {**weighted, **early}]
    image = opened(dimensions.repeated(distinct((3, 3, 16, 20)), three))
    assert len(image.images) == 1
    with pytest.raises(UsageError, match="it has 3 channels"):
        image.to_nifti(tmp_path / "out.nii")
    image.to_nifti(tmp_path / "out.nii", channel=0)


def test_times_of_weightings_are_one_after_another(opened: Opener, tmp_path: Path) -> None:
    weightings = dimensions.diffusion([(0.0, None), (700.0, (0.0, 0.6, 0.8))])
    both = dimensions.product(dimensions.along("TemporalPositionIdentifier", [1, 2]), weightings)
    pixels = distinct((4, 3, 16, 20))
    image = opened(dimensions.repeated(pixels, both))
    image.to_nifti(tmp_path / "out.nii")
    read: Any = nibabel.load(tmp_path / "out.nii")
    assert np.array_equal(np.asarray(read.dataobj).T, pixels)
    assert np.array_equal(np.loadtxt(tmp_path / "out.bval"), [0, 700, 0, 700])
    assert np.loadtxt(tmp_path / "out.bvec").shape == (3, 4)


def test_directions_that_no_header_gives_are_left_out_with_a_warning(opened: Opener, tmp_path: Path) -> None:
    image = opened(dimensions.vendor_b_values(distinct((2, 3, 16, 20)), [0, 1000]))
    with pytest.warns(LeftOutWarning, match="no b-vectors"):
        image.to_nifti(tmp_path / "out.nii")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.bval", "out.nii"]


def test_directions_along_pictures_are_told_in_the_patient(opened: Opener) -> None:
    for vendor, grid in itertools.product(("GE MEDICAL SYSTEMS", "UIH"), (AXIAL, SAGITTAL)):
        image = opened(weighted(vendor, grid))
        told: Any = image.plan.attributes.coordinates["gradient_direction"].values
        axes = np.stack([grid.row, grid.column, grid.normal * (1 if vendor == "UIH" else -1)], axis=1)
        expected = {tuple((axes @ direction).round(6) + 0.0) for b, direction in SHELL if b}
        assert {each for each in told if each} == expected
        assert not image.notices


@pytest.mark.parametrize(
    ("grid", "attributes"),
    [(CORONAL, {}), (AXIAL, {"PatientPosition": "FFS"}), (AXIAL, {"InPlanePhaseEncodingDirection": "OTHER"})],
)
def test_directions_that_may_be_others_in_the_patient_are_left_out(
    opened: Opener, tmp_path: Path, grid: Grid, attributes: dict[str, object]
) -> None:
    image = opened(weighted(GE, grid, **attributes))
    assert "how they lie in the patient is not known" in "".join(image.notices)
    with pytest.warns(LeftOutWarning, match="no b-vectors"):
        image.to_nifti(tmp_path / "out.nii")


def test_directions_of_headers_that_round_are_still_those_of_volumes(opened: Opener, tmp_path: Path) -> None:
    series = weighted(GE)
    for number, dataset in enumerate(series.datasets):
        dataset.ImageOrientationPatient = [1, f"{number % 3 * 1e-5:.6f}", 0, 0, 1, 0]
    opened(series).to_nifti(tmp_path / "out.nii")
    assert np.loadtxt(tmp_path / "out.bvec").shape == (3, len(SHELL))


def test_directions_of_one_b_value_are_diffusion_too(opened: Opener, tmp_path: Path) -> None:
    opened(weighted("SIEMENS", weightings=SHELL[1:])).to_nifti(tmp_path / "out.nii")
    assert np.array_equal(np.loadtxt(tmp_path / "out.bval"), [1000] * (len(SHELL) - 1))
    assert np.allclose(np.linalg.norm(np.loadtxt(tmp_path / "out.bvec"), axis=0), 1, atol=1e-6)


@pytest.mark.parametrize(("directions", "kind", "b"), [(4, None, 0), (4, 14, 0), (4, 15, 1000), (0, None, 1000)])
def test_an_image_of_ge_without_a_gradient_is_the_reference_of_a_series_or_a_mean(
    opened: Opener, directions: int, kind: int | None, b: float
) -> None:
    series = weighted(GE, weightings=[(1000.0, NONE), *SHELL[1:]])
    for dataset in series.datasets:
        dataset.private_block(0x0019, "GEMS_ACQU_01").add_new(0xE0, "DS", directions)
        if kind is not None and not any(float(dataset[0x0019, element].value) for element in (0x10BB, 0x10BC, 0x10BD)):
            dataset.private_block(0x0043, "GEMS_PARM_01").add_new(0x30, "SS", kind)
    told = opened(series).plan.attributes.coordinates
    values: Any = told["b_value"].values
    assert sorted(values) == [b, 1000, 1000, 1000, 1000]


def test_a_direction_without_directionality_is_none(opened: Opener) -> None:
    weightings = dimensions.diffusion([(0.0, None), (700.0, (1.0, 0.0, 0.0)), (1000.0, (0.0, 0.6, 0.8))])
    weightings[2]["DiffusionDirectionality"] = "ISOTROPIC"
    image = opened(dimensions.repeated(distinct((3, 3, 16, 20)), weightings))
    assert image.plan.attributes.coordinates["gradient_direction"].values == [None, (1.0, 0.0, 0.0), None]


def test_numbers_that_no_gradient_has_count_for_nothing(opened: Opener) -> None:
    series = weighted("Philips Medical Systems")
    for dataset in series.datasets:
        dataset.DiffusionBValue = 2.1e13
    told = opened(series).plan.attributes.coordinates
    values: Any = told["b_value"].values
    assert sorted(values) == [0, *[1000] * (len(SHELL) - 1)]
    wild = weighted("UIH", weightings=[*SHELL, (1000.0, (4e9, 1.0, 0.0))])
    assert opened(wild).plan.attributes.coordinates["gradient_direction"].values.count(None) == 2


def test_enhanced_diffusion_has_its_files_too(opened: Opener, tmp_path: Path) -> None:
    image = opened(multiframe.diffusion_frames(dimensions.TWICE, [(0.0, None), (700.0, (0.0, 0.6, 0.8))]))
    image.to_nifti(tmp_path / "out.nii")
    b_values: Any = image.plan.attributes.coordinates["b_value"].values
    assert np.array_equal(np.loadtxt(tmp_path / "out.bval"), np.ravel(b_values))


# --- files


def test_what_is_there_stays_unless_it_is_to_be_overwritten(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume())
    (tmp_path / "out.bval").write_text("mine")
    with pytest.raises(UsageError, match=r"already: out\.bval"):
        image.to_nifti(tmp_path / "out.nii")
    assert (tmp_path / "out.bval").read_text() == "mine"
    image.to_nifti(tmp_path / "out.nii", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.nii"]  # another volume's b-values are worse than none


def test_a_path_says_what_it_is_or_is_refused(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume())
    with pytest.raises(UsageError, match=r"ends in \.nii"):
        image.to_nifti(tmp_path / "out.mha")
    with pytest.raises(TargetError, match="could not be written: No such file or directory"):
        image.to_nifti(tmp_path / "nowhere" / "out.nii")


@pytest.mark.parametrize("module", ["SimpleITK", "nibabel"])
def test_a_package_that_is_absent_is_named_before_anything_is_read(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    image = opened(volume())
    true_import = builtins.__import__

    def refuse(name: str, *others: Any, **more: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return true_import(name, *others, **more)

    monkeypatch.setitem(__import__("sys").modules, module, None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    converts: list[Callable[[], object]] = [image.to_sitk] if module == "SimpleITK" else [image.to_nibabel]
    converts += [] if module == "SimpleITK" else [partial(image.to_nifti, tmp_path / "out.nii")]
    for convert in converts:
        with pytest.raises(UsageError, match=rf'{module}.* pip install "dicomzarr\[radiology\]"'):
            convert()
    assert opened.count("frames") == 0

"""dcm2niix as the oracle: voxels lie where it puts them, with its values; where it differs, the reason is named.

What it does with series that it cannot tell apart or place is that of version 1.0.20220720, Debian's.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
import pytest
import radiology_dimensions as dimensions
import radiology_multiframe as multiframe
import radiology_volumes as volumes
from handed_on import by_way_of_nifti, by_way_of_sitk, directions, each_volume
from radiology_model import AXIAL, GRIDS, OBLIQUE, SAGITTAL, TILTED, RadiologySeries, distinct
from radiology_opened import Opener, affine_of, axes_of, coordinate, pixels_of
from radiology_oracles import (
    Dcm2niix,
    Placed,
    by_simpleitk,
    by_simpleitk_file,
    differences,
    required,
    rescaled_by_pydicom,
    stored_by_pydicom,
)
from real_data import real_series
from scans import Shot, classic, enhanced, shots
from weightings import GE, SHELL, VENDORS, weighted

import dicomzarr
from dicomzarr.errors import LeftOutWarning, UsageError
from dicomzarr.omezarr.attributes import dicomzarr_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset
    from radiology_model import Grid
    from scans import Scan, Told

    from dicomzarr.arrays.image import Image

NEAR = 0.01
"""Part of a voxel within which centres coincide."""

TENTH = 0.11
"""Millimetres that planes may lie beside headers that are written in tenths."""

Twin = tuple[int, int]
"""(volume of dcm2niix, its slice)."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


@pytest.fixture
def dcm2niix(tmp_path: Path) -> Dcm2niix:
    """The converter; where it is missing, skip, and in CI fail."""
    (tmp_path / "niix").mkdir()
    return Dcm2niix(required("dcm2niix"), tmp_path / "niix")


# --- planes of either side


def planes_of(image: Image) -> dict[tuple[int, ...], list[Placed]]:
    """The planes of an image, absent ones left out: a list for each index along t and c, each of (1, y, x)."""
    found = defaultdict(list)
    frames, pixels, axes = image.plan.levels[0].frames, pixels_of(image), axes_of(image)
    for index in np.ndindex(pixels.shape[:-2]):
        if frames.locate((*index, 0, 0)) is not None:
            at = dict(zip(axes, index, strict=False))
            plane = Placed(pixels[index][None], affine_of_plane(image, at.get("t", 0), at.get("z", 0)))
            found[at.get("t", 0), at.get("c", 0)].append(plane)
    return dict(found)


def affine_of_plane(image: Image, t: int, z: int) -> np.ndarray[Any, Any]:
    """(column, row, 0, 1) to LPS millimetres of one slice, by whichever attribute says it."""
    told: Mapping[str, Any] = dicomzarr_attributes(image.plan)
    if "plane_affine" in told:
        places = coordinate(image, "z")["values"]
        return shifted(np.array(told["plane_affine"]), places[z] - places[0])
    return shifted(np.array(told["poses"][t]) if "poses" in told else affine_of(image), z)


def shifted(affine: np.ndarray[Any, Any], steps: float) -> np.ndarray[Any, Any]:
    """The same affine so many steps further."""
    moved = affine.copy()
    moved[:3, 3] += steps * affine[:3, 2]
    return moved


def volumes_of(image: Image) -> dict[tuple[int, int, int], list[Placed]]:
    """The planes of each (image, channel, time) of a series."""
    each = [planes_of(one) for one in image.images]
    return {(number, c, t): planes for number, found in enumerate(each) for (t, c), planes in found.items()}


def every_plane(image: Image) -> list[Placed]:
    """All planes of all images of a series."""
    return [plane for planes in volumes_of(image).values() for plane in planes]


def written(converted: Sequence[Placed]) -> list[Placed]:
    """The volumes of all files, times apart."""
    return [
        Placed(values, file.affine) for file in converted for values in file.values.reshape(-1, *file.values.shape[-3:])
    ]


def twins(plane: Placed, theirs: Sequence[Placed]) -> list[Twin]:
    """Slices of dcm2niix whose voxels lie where those of a plane do, with the same values."""
    found = [(number, coinciding(plane, volume)) for number, volume in enumerate(theirs)]
    return [(number, place) for number, place in found if place is not None]


def coinciding(plane: Placed, volume: Placed) -> int | None:
    """The slice of a volume that a plane is; None where it is none."""
    _, rows, columns = plane.values.shape
    y, x = (axis.ravel() for axis in np.indices((rows, columns)))
    centres = plane.affine @ np.stack([x, y, 0 * x, 0 * x + 1])
    there = np.linalg.solve(volume.affine, centres)[:3]
    nearest = there.round().astype(int)
    inside = (nearest >= 0).all() and (nearest < np.array(volume.values.shape[::-1])[:, None]).all()
    if not inside or np.abs(there - nearest).max() > NEAR:
        return None
    values = volume.values[nearest[2], nearest[1], nearest[0]]
    return int(nearest[2, 0]) if np.allclose(values, plane.values.ravel(), rtol=1e-6, atol=0) else None


def stated(dataset: Dataset) -> list[Placed]:
    """Where each frame of an instance lies by its header, with the values that pydicom makes."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return [Placed(rescaled_by_pydicom(dataset)[None], matrix(dataset, dataset, dataset))]
    shared = [each for groups in dataset.get("SharedFunctionalGroupsSequence", []) for each in macros_of(groups)]
    each = [dict([*shared, *macros_of(groups)]) for groups in dataset.PerFrameFunctionalGroupsSequence]
    pixels = stored_by_pydicom(dataset)
    return [Placed(rescaled(frame, own)[None], matrix_of(own)) for own, frame in zip(each, pixels, strict=True)]


def macros_of(groups: Dataset) -> list[tuple[str, Dataset]]:
    """The functional group macros of a frame, or of all, by the keyword of their sequence."""
    return [(element.keyword, element.value[0]) for element in groups if element.VR == "SQ"]


def matrix_of(macros: Mapping[str, Dataset]) -> np.ndarray[Any, Any]:
    """Of a frame with functional groups."""
    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return matrix(*(macros[name] for name in names))


def matrix(position: Dataset, orientation: Dataset, measures: Dataset) -> np.ndarray[Any, Any]:
    """(column, row, 0, 1) to LPS millimetres (PS3.3 section C.7.6.2.1.1)."""
    cosines = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
    down, across = map(float, measures.PixelSpacing)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([cosines[0] * across, cosines[1] * down, np.cross(*cosines)], axis=1)
    affine[:3, 3] = np.array(position.ImagePositionPatient, float)
    return affine


def rescaled(frame: np.ndarray[Any, Any], macros: Mapping[str, Dataset]) -> np.ndarray[Any, Any]:
    """The values of a frame after its Pixel Value Transformation."""
    told = macros.get("PixelValueTransformationSequence")
    return frame if told is None else frame * float(told.RescaleSlope) + float(told.RescaleIntercept)


def assert_headers_agree(ours: Sequence[Placed], datasets: Sequence[Dataset], off: float) -> None:
    """Each frame of the files is one of our planes: not farther off than this, in millimetres, with its values."""
    frames = [frame for dataset in datasets for frame in stated(dataset)]
    assert len(ours) == len(frames)
    for frame in frames:
        corners = np.array([[0, frame.values.shape[2] - 1, 0], [0, 0, frame.values.shape[1] - 1], [0, 0, 0], [1, 1, 1]])
        there = [
            plane
            for plane in ours
            if plane.values.shape == frame.values.shape and np.abs((plane.affine - frame.affine) @ corners).max() <= off
        ]
        assert sum(np.allclose(plane.values, frame.values, rtol=1e-6, atol=0) for plane in there) == 1


def assert_handed_on(
    image: Image, theirs: Sequence[Placed], numbers: Mapping[tuple[int, int, int], int], nifti: Path
) -> None:
    """SimpleITK and files of NIfTI have from us what dcm2niix makes of each volume, voxel by voxel in the patient."""
    for place, one, chosen in each_volume(image):
        volume = theirs[numbers[place]]
        if one.plan.attributes.plane_affine is not None:
            with pytest.raises(UsageError, match="not evenly spaced"):
                one.to_sitk(**chosen)
            continue
        for ours in (by_way_of_sitk(one, absent=0, **chosen), by_way_of_nifti(one, nifti, absent=0, **chosen)):
            apart, differ = differences(ours, volume, relative=1e-6)
            step = float(np.linalg.norm(volume.affine[:3, :3], axis=0).min())
            assert (apart <= NEAR * step, differ) == (True, 0)


def assert_handed_on_as_planes(image: Image, nifti: Path) -> None:
    """Likewise, compared with our planes, which the headers agree with; what is no volume is refused."""
    planes = volumes_of(image)
    for place, one, chosen in each_volume(image):
        known = one.plan.attributes
        if known.plane_affine is not None or one.affine is None or None in known.poses:
            with pytest.raises(UsageError, match=r"not evenly spaced|does not say where|moved"):
                one.to_sitk(**chosen)
            continue
        for ours in (by_way_of_sitk(one, absent=0, **chosen), by_way_of_nifti(one, nifti, absent=0, **chosen)):
            assert all(len(twins(plane, [ours])) == 1 for plane in planes.get(place, []))


# --- what agrees


def assert_agrees(image: Image, theirs: Sequence[Placed]) -> dict[tuple[int, int, int], int]:
    """Each of our volumes is one of theirs, whole, and theirs are no more; later times come later.

    Args:
        image: With all images of the series.
        theirs: In the order of dcm2niix.

    Returns:
        The number of their volume for each (image, channel, time).
    """
    numbers = {place: number_of(planes, theirs) for place, planes in volumes_of(image).items()}
    assert sorted(numbers.values()) == list(range(len(theirs)))
    for (one, c, t), number in numbers.items():
        assert number > numbers.get((one, c, t - 1), -1)
    return numbers


def number_of(planes: Sequence[Placed], theirs: Sequence[Placed]) -> int:
    """Which volume of theirs holds these planes and no others."""
    found = [twins(plane, theirs) for plane in planes]
    assert all(len(each) == 1 for each in found)
    volumes, slices = (set(column) for column in zip(*(each[0] for each in found), strict=True))
    (number,) = volumes
    assert len(slices) == len(planes) == theirs[number].values.shape[0]
    return number


def painted(scan: Scan) -> RadiologySeries:
    """The series of a scan, each voxel with a value of its own."""
    series = scan.served()
    sizes = [int(dataset.get("NumberOfFrames") or 1) for dataset in series.datasets]
    first = series.datasets[0]
    pixels = distinct((sum(sizes), first.Rows, first.Columns), bits=16)
    for dataset, end, size in zip(series.datasets, np.cumsum(sizes), sizes, strict=True):
        dataset.PixelData = pixels[end - size : end].astype("<u2").tobytes()
    return series


SIZE = {"Rows": 16, "Columns": 20}


def single(frames: Sequence[Shot], kind: str = "MR", **common: Any) -> RadiologySeries:
    """A series in which each frame is an instance, in an order that means nothing."""
    return painted(classic(frames, kind, **SIZE, **common).shuffled(3))


def multi(frames: Sequence[Shot], index: Sequence[str], manufacturer: str = "Philips") -> RadiologySeries:
    """One instance of enhanced MR; dcm2niix knows how each manufacturer counts."""
    return painted(enhanced([frames], index=index, **SIZE, Manufacturer=manufacturer))


def clock(seconds: float) -> str:
    """AcquisitionTime so long after noon."""
    return f"12{int(seconds // 60):02}{seconds % 60:09.6f}"


def written_to(frames: Sequence[Shot], digits: int) -> list[Shot]:
    """The same frames, their positions rounded to so many decimals."""
    return [replace(shot, offset=tuple(np.round(shot.position, digits) - shot.position)) for shot in frames]


def jittering(most: float) -> list[Shot]:
    """Slices that lie up to so many millimetres beside even steps of 2.5 mm along z."""
    beside = np.random.default_rng(1).uniform(-most, most, 9)
    return [replace(shot, offset=(0.0, 0.0, off)) for shot, off in zip(shots(places=9), beside.tolist(), strict=True)]


def stepping(step: float) -> Grid:
    """Axial slices at this distance."""
    return replace(AXIAL, step=(0, 0, step), origin=(-100.52, -120.27, 40.73))


def position_in_time(shot: Shot) -> Told:
    return {"TemporalPositionIdentifier": shot.time + 1}


def times(count: int = 3, **options: Any) -> list[Shot]:
    """Volumes of five slices whose TemporalPositionIdentifier tells them apart."""
    return shots(count, places=5, tell=position_in_time, **options)


STORED = distinct((5, 16, 20))
SIGNED = distinct((5, 16, 20), bits=16, signed=True)
UNSIGNED = distinct((5, 16, 20), bits=16)
DYNAMIC = distinct((3, 4, 16, 20))
SLOPES, INTERCEPTS = [0.5, 1.25, 2, 4.75, 3], [0.0, 10, -3, 7, 2]


def signed_with_slopes() -> RadiologySeries:
    """A PET of signed values with a slope for each slice."""
    return volumes.pet(SIGNED, SLOPES, INTERCEPTS)


def component(shot: Shot) -> Told:
    return {"ImageType": ["ORIGINAL", "PRIMARY", "MPRI"[shot.contrast], "FFE"]}


def echo(shot: Shot) -> Told:
    return {"EchoTime": [5.0, 12.5][shot.contrast]}


def echo_in_time(shot: Shot) -> Told:
    return {**position_in_time(shot), **echo(shot)}


def trigger(shot: Shot) -> Told:
    return {"TriggerTime": 40.0 * shot.time}


def inversion(shot: Shot) -> Told:
    return {"InversionTime": 100.0 * (shot.contrast + 1)}


def weighting(shot: Shot) -> Told:
    b_values, directions = (0.0, 500.0, 500.0, 1000.0, 1000.0, 1000.0), ((0.0, 0.0, 0.0), *dimensions.DIRECTIONS)
    direction = directions[(0, 1, 2, 1, 2, 3)[shot.contrast]]
    return {"DiffusionBValue": b_values[shot.contrast], "DiffusionGradientOrientation": direction}


def twice_unweighted(shot: Shot) -> Told:
    direction = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), *dimensions.DIRECTIONS)[shot.contrast]
    return {"DiffusionBValue": [0.0, 0.0, 1000.0, 1000.0][shot.contrast], "DiffusionGradientOrientation": direction}


def kernel(shot: Shot) -> Told:
    return {"ConvolutionKernel": ["B30f", "B70f"][shot.contrast]}


def decaying(shot: Shot) -> Told:
    told = {"FrameReferenceTime": 1000.0 * shot.time, "AcquisitionTime": clock(60 * shot.time)}
    return {**told, "RescaleSlope": 0.5 + shot.time + 0.125 * (shot.place or 0), "RescaleIntercept": 0}


def bed(shot: Shot) -> Told:
    return {"AcquisitionNumber": 1 + int(shot.place or 0) // 4}


def interleaved(shot: Shot) -> Told:
    odd = int(shot.place or 0) % 2
    return {"AcquisitionNumber": 1 + odd, "AcquisitionTime": clock(60 * odd)}


def b_value(shot: Shot) -> Told:
    return {"InStackPositionNumber": shot.place + 1, "DiffusionBValue": [0.0, 500.0, 1000.0][shot.contrast]}


def effective_echo(shot: Shot) -> Told:
    return {"InStackPositionNumber": shot.place + 1, "EffectiveEchoTime": [5.0, 12.5][shot.contrast]}


def temporal_index(shot: Shot) -> Told:
    return {"InStackPositionNumber": shot.place + 1, "TemporalPositionIndex": shot.time + 1}


AGREE: Mapping[str, Callable[[], RadiologySeries]] = {
    **{name: lambda grid=grid: volumes.volume(grid) for name, grid in GRIDS.items()},
    "pixels that are no squares": lambda: volumes.volume(replace(OBLIQUE, spacing=(2.0, 0.5))),
    "signed": lambda: volumes.volume(pixels=SIGNED, bits=16),
    "unsigned": lambda: volumes.volume(pixels=UNSIGNED, bits=16, RescaleIntercept="0"),
    "8 bits": lambda: volumes.volume(pixels=distinct((5, 16, 20), bits=8), bits=8),
    "slope": lambda: volumes.volume(RescaleSlope="0.25", RescaleIntercept="3"),
    "slopes of slices": lambda: volumes.pet(UNSIGNED, SLOPES, INTERCEPTS),
    "slopes of slices, signed": signed_with_slopes,
    "MONOCHROME1": volumes.monochrome1,
    "numbers that fall": lambda: single(shots(places=6, descending=True, grid=OBLIQUE)),
    "even steps in tenths": lambda: single(written_to(shots(places=9, grid=stepping(1.6)), 1)),
    "jitter of micrometres": lambda: single(jittering(0.0005)),
    "two orientations": lambda: volumes.two_orientations(STORED, distinct((4, 16, 20))),
    "localizer across": lambda: volumes.with_localizer(STORED, distinct((16, 20)), SAGITTAL),
    "two sizes": lambda: volumes.changed(STORED, distinct((4, 18, 20))),
    "positions in time": lambda: single(times()),
    "positions in time, oblique": lambda: single(times(grid=OBLIQUE)),
    "positions in time, slice by slice": lambda: single(times(loops="zct")),
    "positions in time, slices descending": lambda: single(times(descending=True)),
    "times of volumes": lambda: single(shots(3, places=5, tell=lambda shot: {"AcquisitionTime": clock(2 * shot.time)})),
    "times of slices": lambda: dimensions.times_by_slice(DYNAMIC, numbered=False),
    "acquisition numbers": lambda: dimensions.times_by_slice(DYNAMIC),
    "instance numbers": lambda: single(shots(3, places=5)),
    "instance numbers, slice by slice": lambda: single(shots(3, places=5, loops="zct")),
    "echoes": lambda: dimensions.repeated(dimensions.TWICE, dimensions.ECHOES),
    "echoes, one of which lacks a slice": lambda: dimensions.incomplete()[0],
    "magnitude and phase": lambda: dimensions.repeated(dimensions.TWICE, dimensions.PHASES),
    "tilted gantry in time": lambda: single(times(2, grid=TILTED), "CT"),
    "magnitude, phase, real and imaginary": lambda: single(shots(1, 4, tell=component)),
    "echoes in time": lambda: single(shots(3, 2, tell=echo_in_time)),
    "echoes in time, time by time": lambda: single(shots(3, 2, loops="ctz", tell=echo_in_time)),
    "echoes and instance numbers": lambda: single(shots(3, 2, tell=echo)),
    "phases of the heart, slices descending": lambda: single(shots(4, loops="zct", descending=True, tell=trigger)),
    "inversion times": lambda: single(shots(1, 3, tell=inversion)),
    "b-values with directions": lambda: single(shots(1, 6, tell=weighting)),
    "b-values with directions, sagittal": lambda: single(shots(1, 6, tell=weighting, grid=SAGITTAL)),
    "b-values, one of them twice": lambda: single(shots(1, 4, tell=twice_unweighted)),
    "kernels": lambda: single(shots(1, 2, tell=kernel), "CT"),
    "a dynamic PET with slopes of frames": lambda: single(shots(3, tell=decaying), "PT", Units="BQML"),
    "beds of a PET": lambda: single(
        [shot.saying(AcquisitionNumber=1 + shot.number // 4) for shot in shots(places=8)], "PT"
    ),
    "interleaved slices": lambda: single(shots(places=8, tell=interleaved)),
    "falling slope": lambda: volumes.volume(RescaleSlope="-1", RescaleIntercept="100"),
    "one slice": lambda: volumes.volume(pixels=STORED[:1]),
    "two slices": lambda: volumes.volume(OBLIQUE, STORED[:2]),
    "enhanced MR": lambda: multiframe.enhanced_volume(STORED, kind="enhanced MR"),
    "enhanced CT": lambda: multiframe.enhanced_volume(STORED),
    "enhanced, axial and sagittal": lambda: multiframe.enhanced_volume(STORED, SAGITTAL, "enhanced MR"),
    "enhanced, in time": lambda: multi(
        shots(3, places=5, loops="zct", tell=temporal_index), ["InStackPositionNumber", "TemporalPositionIndex"]
    ),
    "enhanced, b-values": lambda: multi(
        shots(1, 3, 5, loops="zct", tell=b_value), ["InStackPositionNumber", "DiffusionBValue"]
    ),
    "enhanced, echoes": lambda: multi(
        shots(1, 2, 5, loops="zct", tell=effective_echo), ["InStackPositionNumber", "EffectiveEchoTime"]
    ),
}


@pytest.mark.parametrize("name", AGREE)
def test_voxels_lie_where_dcm2niix_puts_them(opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path, name: str) -> None:
    series = AGREE[name]()
    series.write(tmp_path / "series")
    image = opened(series, values="modality")
    theirs = written(dcm2niix.volumes(tmp_path / "series"))
    assert_handed_on(image, theirs, assert_agrees(image, theirs), tmp_path / "out.nii")


SIMPLEITK_TOO = (
    *GRIDS,
    *("pixels that are no squares", "signed", "unsigned", "8 bits", "slope", "slopes of slices"),
    *("slopes of slices, signed", "numbers that fall", "even steps in tenths", "jitter of micrometres"),
    *("beds of a PET", "interleaved slices", "falling slope", "two slices"),
)
"""Those of one volume of single-frame instances, which SimpleITK reads as one too."""

SIMPLEITK_DIFFERS: Mapping[str, str] = {
    "MONOCHROME1": "inverts values",
    "enhanced MR": "takes frames in the order of the file, in which they lie shuffled",
    "enhanced CT": "likewise",
}
"""What SimpleITK does otherwise, where dcm2niix is with us; a tilted gantry is a test of its own."""


@pytest.mark.parametrize("name", [*SIMPLEITK_TOO, *SIMPLEITK_DIFFERS])
def test_volumes_that_are_handed_on_are_those_that_simpleitk_reads(opened: Opener, tmp_path: Path, name: str) -> None:
    series = AGREE[name]()
    paths = series.write(tmp_path / "series")
    theirs = by_simpleitk(tmp_path / "series") if len(paths) > 1 else by_simpleitk_file(paths[0])
    image = opened(series)
    for ours in (by_way_of_sitk(image), by_way_of_nifti(image, tmp_path / "out.nii")):
        apart, differ = differences(ours, theirs, relative=1e-6)
        agrees = apart < NEAR and differ == 0
        assert agrees == (name not in SIMPLEITK_DIFFERS), SIMPLEITK_DIFFERS.get(name)


REAL = ("ct_explicit_le", "ct_jpeg_lossless", "mr_small_stack", "mr_dti_philips", "mr_enhanced_siemens")


@pytest.mark.parametrize("folder", [*REAL, "mr_two_orientations"])
def test_voxels_of_real_series_lie_there_too(opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path, folder: str) -> None:
    files = real_series(folder)
    image = opened(series_in(files), values="modality")
    theirs = written(dcm2niix.volumes(files))
    assert_handed_on(image, theirs, assert_agrees(image, theirs), tmp_path / "out.nii.gz")


def series_in(folder: Path) -> RadiologySeries:
    """The series of a folder, its files in reverse."""
    datasets = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"), reverse=True)]
    return RadiologySeries(tuple(datasets), str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID))


CASES = (
    "s01_for_per_slice",
    "s03b_dwi_adc_fewer_slices",
    "s04a_ctp_content_time_only",
    "s04b_ctp_instance_number_only",
    "s08c_volumes_in_files_nothing_else",
    "s19a_molli_ti_per_slice",
    "s20_4dflow_sequence_name",
    "s46_mixed_sign",
    "s60_distorted_epi",
    "t01_slice_thickness_recons",
    "t02_contrast_agent",
    "t04_pulse_sequence_name",
    "t06_philips_asl_label",
    "t08_ge_dti_directions",
    "u01_series_uid_is_a_hash",
    "v07_number_of_frames_zero",
    "v17_trigger_time_collides",
)
"""Series that were reported as bugs, of which dcm2niix makes what we make."""

OTHER_CASES: Mapping[str, tuple[str, int, int]] = {
    "s38b_dwi_shifted_half": ("writes nothing: positions of b-values differ", 0, 0),
    "v11_position_jitter_20um": ("writes nothing: positions of times differ", 0, 0),
    "v13_ipp_rounded_tenth": ("takes the step of two neighbours, which is rounded, for that of all", 1, 2),
}
"""What it makes of others: in words, in files, and how many of our planes are among them."""

NOWHERE: Mapping[str, str] = {
    "s52a_iop_zeros": "an orientation of zeros, which dcm2niix takes for axial",
    "v01_pixel_spacing_zero": "pixels without size: the matrix of dcm2niix is singular",
}
"""Cases whose header places nothing, so that there is no affine to compare."""


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # one case has UIDs that are hashes
@pytest.mark.parametrize("name", CASES)
def test_voxels_of_reported_series_lie_there_too(
    opened: Opener, dcm2niix: Dcm2niix, shared_dir: Path, tmp_path: Path, name: str
) -> None:
    folder = shared_dir / "cases" / name
    image = opened(series_in(folder), values="modality")
    theirs = written(dcm2niix.volumes(folder))
    assert_handed_on(image, theirs, assert_agrees(image, theirs), tmp_path / "out.nii")


@pytest.mark.parametrize("name", OTHER_CASES)
def test_where_dcm2niix_differs_on_a_reported_series_the_headers_are_with_us(
    opened: Opener, dcm2niix: Dcm2niix, shared_dir: Path, name: str
) -> None:
    series = series_in(shared_dir / "cases" / name)
    ours = every_plane(opened(series, values="modality"))
    assert_headers_agree(ours, series.datasets, TENTH)
    theirs = dcm2niix.convert(shared_dir / "cases" / name).volumes
    why, files, shared = OTHER_CASES[name]
    assert (len(theirs), sum(bool(twins(plane, written(theirs))) for plane in ours)) == (files, shared), why


@pytest.mark.parametrize("name", NOWHERE)
def test_a_series_that_nothing_places_is_placed_by_dcm2niix_alone(
    opened: Opener, dcm2niix: Dcm2niix, shared_dir: Path, name: str
) -> None:
    image = opened(series_in(shared_dir / "cases" / name), values="modality")
    assert image.affine is None, NOWHERE[name]
    with pytest.raises(UsageError, match="does not say where its voxels are"):
        image.to_sitk()
    (theirs,) = dcm2niix.volumes(shared_dir / "cases" / name)
    ours = pixels_of(image).reshape(-1, *pixels_of(image).shape[-2:])
    assert np.array_equal(sorted(map(np.sum, ours)), sorted(map(np.sum, theirs.values.reshape(ours.shape))))


def test_diffusion_is_weighted_as_dcm2niix_says(opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path) -> None:
    series = dimensions.repeated(distinct((4, 3, 16, 20)), dimensions.RAGGED)
    series.write(tmp_path / "series")
    image = opened(series, values="modality")
    numbers = assert_agrees(image, written(dcm2niix.volumes(tmp_path / "series")))
    told, theirs = coordinate(image, "b_value")["values"], dcm2niix.b_values()
    assert all(told[channel] == theirs[number] for (_, channel, _), number in numbers.items())


def b_vectors(written: Path) -> dict[tuple[float, ...], float]:
    """The b-value of each direction in RAS beside a file of NIfTI, whatever their order."""
    (path, *_), (bval,), (bvec,) = (list(written.glob(ending)) for ending in ("*.nii", "*.bval", "*.bvec"))
    read: Any = nibabel.load(path)
    found = directions(bvec, read.affine)
    weights = np.loadtxt(bval).reshape(-1).tolist()
    return {tuple(np.round(one, 3) + 0.0): weight for one, weight in zip(found, weights, strict=True)}


@pytest.mark.parametrize("name", GRIDS)
def test_vectors_beside_a_nifti_are_those_of_dcm2niix_in_the_patient(
    opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path, name: str
) -> None:
    series = single(shots(1, 6, tell=weighting, grid=GRIDS[name]), Manufacturer="Philips")
    series.write(tmp_path / "series")
    dcm2niix.volumes(tmp_path / "series")
    image, ours, copied = opened(series), tmp_path / "ours", tmp_path / "copied"
    ours.mkdir()
    copied.mkdir()
    image.to_nifti(ours / "out.nii")
    dicomzarr.export(image, copied / "out.nii")
    assert b_vectors(ours) == b_vectors(copied) == b_vectors(dcm2niix.target)


@pytest.mark.parametrize(
    "pictures",
    [
        *itertools.product(VENDORS, ["sagittal", "oblique"], ["COL"]),
        *itertools.product([GE], ["axial", "oblique"], ["ROW"]),
        (GE, "coronal", "COL"),
    ],
    ids="-".join,
)
def test_vectors_of_vendors_are_those_of_dcm2niix(
    opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path, pictures: tuple[str, str, str]
) -> None:
    vendor, name, phase = pictures
    series = weighted(vendor, GRIDS[name], InPlanePhaseEncodingDirection=phase)
    series.write(tmp_path / "series")
    dcm2niix.volumes(tmp_path / "series")
    (tmp_path / "ours").mkdir()
    unknown = vendor == GE and name == "coronal"  # converters contradict each other
    with pytest.warns(LeftOutWarning, match="no b-vectors") if unknown else nullcontext():
        opened(series).to_nifti(tmp_path / "ours" / "out.nii")
    if not unknown:
        ours, theirs = (
            {tuple(np.outer(one, one).round(2).ravel() + 0.0): weight for one, weight in b_vectors(folder).items()}
            for folder in (tmp_path / "ours", dcm2niix.target)
        )  # a direction and its opposite weight alike
        assert ours == theirs
        assert len(ours) == len(SHELL)


def test_shells_that_ge_writes_as_lengths_are_those_of_dcm2niix(
    opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path
) -> None:
    lengths = [0.0, *np.sqrt([1 / 3, 2 / 3, 1.0, 1.0])]
    shells = [(3000.0, (x * n, y * n, z * n)) for n, (_, (x, y, z)) in zip(lengths[1:], SHELL[1:], strict=True)]
    series = weighted(GE, weightings=[SHELL[0], *shells])
    series.write(tmp_path / "series")
    dcm2niix.volumes(tmp_path / "series")
    told = coordinate(opened(series), "b_value")["values"]
    assert sorted(told) == sorted(dcm2niix.b_values()) == [0, 1000, 2000, 3000, 3000]


def test_vectors_of_a_real_series_are_those_of_dcm2niix(dcm2niix: Dcm2niix, tmp_path: Path) -> None:
    dcm2niix.volumes(real_series("mr_dti_philips"))
    dicomzarr.open(real_series("mr_dti_philips")).to_nifti(tmp_path / "out.nii")
    assert b_vectors(tmp_path) == b_vectors(dcm2niix.target)


# --- what differs


@dataclass(frozen=True)
class Differs:
    """A series of which dcm2niix makes something else, which is an exception to the rule and no fault of ours."""

    build: Callable[[], RadiologySeries]
    why: str
    """What dcm2niix does."""
    writes: tuple[tuple[int, ...], ...]
    """(n, z, y, x) of each of its files."""
    shared: int
    """Planes of ours that are slices of its volumes too, by their places and values."""
    says: str = ""
    """What it warns of."""
    off: float = 0.001
    """Millimetres that our planes may lie beside their headers, where these are not even."""


def lost(series: RadiologySeries, number: int) -> RadiologySeries:
    """The series without the instance of this InstanceNumber."""
    return replace(series, datasets=tuple(each for each in series.datasets if number != each.InstanceNumber))


def holding(frames: Sequence[Shot], *without: tuple[int, int, int]) -> list[Shot]:
    """The frames but those of these (time, contrast, place)."""
    return [shot for shot in frames if shot.truth not in without]


UNEVEN = "Interslice distance varies"
NINE = distinct((9, 16, 20))

DIFFER: Mapping[str, Differs] = {
    "one slice lost": Differs(
        lambda: lost(volumes.volume(pixels=NINE), 5),
        "closes the gap, so that what lies behind it lies 2.5 mm too near, and writes an interpolation beside",
        ((1, 8, 16, 20), (1, 8, 16, 20)),
        4,
        UNEVEN,
    ),
    "two steps": Differs(
        lambda: volumes.uneven([0, 2, 4, 6, 8, 10, 14, 18, 22], NINE),
        "gives all slices the step of two neighbours, and writes an interpolation beside",
        ((1, 9, 16, 20), (1, 11, 16, 20)),
        4,
        UNEVEN,
    ),
    "uneven steps": Differs(
        lambda: volumes.uneven([0, 1, 2.5, 4, 7], STORED),
        "gives all slices the step of two neighbours, and writes an interpolation beside",
        ((1, 5, 16, 20), (1, 7, 16, 20)),
        2,
        UNEVEN,
    ),
    "thickness changes": Differs(
        lambda: volumes.changed(STORED, distinct((4, 16, 20)), SliceThickness="9"),
        "makes one volume of what was two reconstructions: every voxel lies where ours does",
        ((1, 9, 16, 20),),
        9,
    ),
    "tilted gantry": Differs(
        volumes.gantry_tilt,
        "writes a header without the shear, and an interpolation that has none",
        ((1, 5, 16, 20), (1, 5, 23, 20)),
        0,
        "gantry tilt of -14.03 degrees",
    ),
    "tilted gantry by its tag": Differs(
        lambda: volumes.gantry_tilt(tag=14.03),
        "writes a header without the shear, and an interpolation that has none",
        ((1, 5, 16, 20), (1, 5, 23, 20)),
        0,
        "gantry tilt of -14.03 degrees",
    ),
    "motion correction": Differs(
        lambda: single([replace(shot, offset=(0.0, 0.1 * shot.time, 0.2 * shot.time)) for shot in times()]),
        "writes nothing: positions of times differ",
        (),
        0,
        UNEVEN,
    ),
    "last time cut off": Differs(
        lambda: single(times(4)[:-2]), "writes nothing: volumes are not alike", (), 0, "missing images"
    ),
    "last time cut off, by instance numbers": Differs(
        lambda: single(shots(4, places=5)[:-2]), "writes nothing: volumes are not alike", (), 0, "missing images"
    ),
    "one slice of one time lost": Differs(
        lambda: single(holding(times(4), (1, 0, 2))), "writes nothing: volumes are not alike", (), 0, "missing images"
    ),
    "rounded to tenths": Differs(
        lambda: single(written_to(shots(places=9, grid=stepping(2.45)), 1)),
        "takes the step between two slices for that of all, where it is rounded; ours is that of the first to the last",
        ((1, 9, 16, 20),),
        1,
        off=0.06,
    ),
    "rounded to tenths, thin": Differs(
        lambda: single(written_to(shots(places=8, grid=replace(AXIAL, step=(0, 0, 0.7))), 1)),
        "makes the steps of 0.6 and 0.8 mm one",
        ((1, 8, 16, 20),),
        2,
    ),
    "jitter of a part in five hundred": Differs(
        lambda: single(jittering(0.005)),
        "takes the step between two slices for that of all, where it jitters; ours is that of the first to the last",
        ((1, 9, 16, 20),),
        6,
        off=0.02,
    ),
    "jitter of a part in fifty": Differs(
        lambda: single(jittering(0.05)),
        "takes the step between two slices for that of all, where it jitters; ours are as uneven as they are",
        ((1, 9, 16, 20),),
        2,
    ),
    "32 bits": Differs(
        lambda: volumes.volume(pixels=distinct((5, 16, 20), bits=32), bits=32),
        "reads unsigned values of 32 bits as signed",
        ((1, 5, 16, 20),),
        0,
    ),
    "signs that change": Differs(
        lambda: volumes.changed(STORED, distinct((4, 16, 20), signed=True)),
        "reads all slices with one PixelRepresentation",
        ((1, 9, 16, 20),),
        5,
    ),
    "localizer beside": Differs(
        lambda: volumes.with_localizer(STORED, distinct((16, 20))),
        "makes a slice of the localizer that lies where the next one would",
        ((1, 6, 16, 20),),
        6,
    ),
    "doubled slice": Differs(
        lambda: volumes.duplicated(STORED[0]),
        "gives the second slice at one place a place of its own",
        ((1, 6, 16, 20), (1, 4, 16, 20)),
        4,
        UNEVEN,
    ),
    "numbers against the clock": Differs(
        lambda: volumes.bolus(STORED, [f"1200{second:02}" for second in range(5)]),
        "orders times by InstanceNumber, which falls here; ours by AcquisitionTime",
        ((5, 1, 16, 20),),
        5,
        "AcquisitionTime .* suggests a different order",
    ),
    "an instance for each time": Differs(
        multiframe.one_instance_per_time,
        "orders instances by InstanceNumber, in a file for each; ours by TemporalPositionIndex",
        ((1, 4, 16, 20), (1, 4, 16, 20)),
        8,
    ),
    "modality LUT": Differs(volumes.modality_lut, "leaves the table out", ((1, 5, 16, 20),), 0),
    "bits beyond those stored": Differs(
        lambda: volumes.garbage_in_high_bits(distinct((5, 16, 20), signed=True), signed=True),
        "reads all 16 bits of which 12 are stored",
        ((1, 5, 16, 20),),
        0,
    ),
    "mixed syntaxes": Differs(
        volumes.mixed_syntaxes, "leaves out slices in JPEG-LS", ((1, 3, 16, 20),), 3, "Unsupported transfer syntax"
    ),
    "enhanced, no slice thickness": Differs(
        lambda: multi(shots(places=6), ["ImagePositionPatient"]),
        "takes 1 mm for the step where SliceThickness is absent; ours is that of positions",
        ((1, 6, 16, 20),),
        1,
    ),
    "enhanced, an unknown manufacturer's echoes": Differs(
        multiframe.echoes, "puts the slices of all echoes one after the other", ((1, 8, 16, 20),), 1
    ),
    "enhanced, an unknown manufacturer's times": Differs(
        multiframe.temporal, "takes frames in the order of the file, which means nothing", ((2, 4, 16, 20),), 2
    ),
    "enhanced, an unknown manufacturer's clock": Differs(
        lambda: multiframe.timed(multiframe.FRAMES, ["20200102030405", "20200102030410"]),
        "puts the slices of all times one after the other",
        ((1, 8, 16, 20),),
        1,
    ),
    "enhanced, directions": Differs(
        lambda: multiframe.diffusion_frames(
            distinct((3, 4, 16, 20)), [(0, None), (1000, (1, 0, 0)), (1000, (0, 1, 0))]
        ),
        "takes a direction for a trace map, and writes the volumes twice: with and without it",
        ((2, 4, 16, 20), (3, 4, 16, 20)),
        12,
        "appear to be ADC or trace images",
    ),
    "enhanced, slopes of frames": Differs(
        lambda: multiframe.frame_transformations(UNSIGNED, SLOPES, INTERCEPTS),
        "takes one frame's slope for all",
        ((1, 5, 16, 20),),
        1,
    ),
    "enhanced, magnitude and phase": Differs(
        multiframe.mixed_components, "puts the slices of both one after the other", ((1, 8, 16, 20),), 0
    ),
    "enhanced, two stacks": Differs(
        lambda: multiframe.two_stacks(distinct((3, 16, 20)), distinct((4, 16, 20))),
        "makes one volume of both orientations",
        ((1, 7, 16, 20),),
        1,
        "slice orientation varies",
    ),
}


@pytest.mark.parametrize("name", DIFFER)
def test_where_dcm2niix_differs_the_headers_are_with_us(
    opened: Opener, dcm2niix: Dcm2niix, tmp_path: Path, name: str
) -> None:
    expected = DIFFER[name]
    series = expected.build()
    series.write(tmp_path / "series")
    image = opened(series, values="modality")
    ours = every_plane(image)
    assert_headers_agree(ours, series.datasets, expected.off)
    converted = dcm2niix.convert(tmp_path / "series")
    sizes = tuple((1, *file.values.shape)[-4:] for file in converted.volumes)
    shared = sum(bool(twins(plane, written(converted.volumes))) for plane in ours)
    assert (sizes, shared) == (expected.writes, expected.shared), expected.why
    assert re.search(expected.says, converted.said), converted.said
    with pytest.raises((AssertionError, ValueError)):
        assert_agrees(image, written(converted.volumes))
    assert_handed_on_as_planes(image, tmp_path / "out.nii")


def test_what_dcm2niix_cannot_decode_it_says(opened: Opener, dcm2niix: Dcm2niix) -> None:
    series = series_in(real_series("ct_jpegls"))
    converted = dcm2niix.convert(real_series("ct_jpegls"))
    assert (converted.volumes, "Unsupported transfer syntax" in converted.said) == ([], True)
    assert_headers_agree(every_plane(opened(series, values="modality")), series.datasets, 0.001)

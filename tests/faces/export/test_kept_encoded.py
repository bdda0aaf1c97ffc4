"""Frames that are kept encoded are those that were stored, bit for bit, and Zarr's codecs decode them to the values."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
import slides
import xarray
from imagecodecs import numcodecs
from opened import group_at
from pydicom.encaps import generate_frames
from radiology_model import AXIAL, decimals, distinct, series_of
from radiology_opened import Opener, pixels_of
from radiology_volumes import mixed_syntaxes, monochrome1, pet, secondary_capture, volume
from real_data import real_series
from serving import forget_servers, serving

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import InvalidOptionError, LeftOutWarning, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REAL = ("ct_explicit_le", "ct_jpegls", "ct_jpeg_lossless", "mr_enhanced_siemens", "slide_camelyon_level", "slide_cmu1")

CODECS = {
    "imagecodecs_jpeg": numcodecs.Jpeg,
    "imagecodecs_jpegls": numcodecs.Jpegls,
    "imagecodecs_jpeg2k": numcodecs.Jpeg2k,
    "imagecodecs_dicomrle": numcodecs.Dicomrle,
}


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def chunks_of(folder: Path) -> dict[tuple[int, ...], bytes]:
    root = folder / "c"
    files = (path for path in root.rglob("*") if path.is_file())
    return {tuple(map(int, path.relative_to(root).parts)): path.read_bytes() for path in files}


def decoded(data: bytes, document: dict[str, Any]) -> Any:
    """A chunk by the codecs that its array names, as zarr applies them."""
    shape = document["chunk_grid"]["configuration"]["chunk_shape"]
    *first, last = document["codecs"]
    order = first[0]["configuration"]["order"] if first else list(range(len(shape)))
    configuration = last.get("configuration", {})
    if last["name"] == "bytes":
        pixels = np.frombuffer(data, np.dtype(document["data_type"]).newbyteorder("<"))
    else:
        found = CODECS[last["name"]](**configuration).decode(data)
        pixels = np.frombuffer(found, document["data_type"]) if isinstance(found, bytes) else np.asarray(found)
    permuted = pixels.astype(document["data_type"]).reshape([shape[axis] for axis in order])
    return permuted.transpose(np.argsort(order))


def assert_decodes(level: dicomzarr.Level, folder: Path) -> None:
    """Every chunk is what the level shows."""
    document = json.loads((folder / "zarr.json").read_text())
    for indices, data in chunks_of(folder).items():
        box = tuple(
            slice(index * size, min(length, (index + 1) * size))
            for index, size, length in zip(indices, level.chunks, level.shape, strict=True)
        )
        pixels = decoded(data, document)[tuple(slice(0, each.stop - each.start) for each in box)]
        assert np.array_equal(pixels, level[box])


@pytest.mark.parametrize("name", REAL)
def test_frames_of_real_files_are_kept_bit_for_bit(name: str, tmp_path: Path) -> None:
    folder = real_series(name)
    out = tmp_path / "out.zarr"
    image = dicomzarr.open(folder)
    dicomzarr.export(image, out, keep_encoded=True)
    stored: set[bytes] = set()
    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        frames = int(dataset.get("NumberOfFrames", 1) or 1)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            stored.update(frame.rstrip(b"\0") for frame in generate_frames(dataset.PixelData, number_of_frames=frames))
        else:
            size = len(dataset.PixelData) // frames
            stored.update(dataset.PixelData[size * number :][:size] for number in range(frames))
    for level in image.levels:
        found = chunks_of(out / str(level.number))
        assert found
        assert all(data in stored or data.rstrip(b"\0") in stored for data in found.values())
        assert_decodes(level, out / str(level.number))


REFUSED = {"native_ybr_full"}
"""Codings that no codec of Zarr says."""


@pytest.mark.parametrize("name", slides.CODECS)
def test_tiles_of_a_coding_decode_to_the_values_or_are_refused(name: str, tmp_path: Path) -> None:
    with serving(slides.coded_slide(name)) as served:
        image = dicomzarr.open(served.url)
        if name in REFUSED:
            with pytest.raises(UsageError, match="kept encoded"):
                dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True)
        else:
            dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True)
            assert_decodes(image.levels[0], tmp_path / "out.zarr" / "0")


def test_the_demo_slide_is_kept_as_it_is_stored(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    with demo_server() as demo:
        image = dicomzarr.open(demo_url(demo))
        dicomzarr.export(image, out, keep_encoded=True)
        for level in image.levels:
            assert_decodes(level, out / str(level.number))
    forget_servers()


def test_frames_without_compression_need_no_codec_of_others(opened: Opener, tmp_path: Path) -> None:
    image = opened(volume(AXIAL, distinct((4, 16, 20), bits=12, signed=True)))
    dicomzarr.export(image, tmp_path / "v3.zarr", keep_encoded=True)
    dicomzarr.export(image, tmp_path / "v2.zarr", keep_encoded=True, zarr_format=2)
    for name in ("v3.zarr", "v2.zarr"):
        assert np.array_equal(group_at(tmp_path / name)["0"][...], pixels_of(image))


@pytest.mark.parametrize("name", ["ct_jpegls", "ct_jpeg_lossless"])
def test_zarr_format_2_names_numcodecs(name: str, tmp_path: Path) -> None:
    numcodecs.register_codecs(["imagecodecs_jpegls", "imagecodecs_jpeg"], verbose=False)
    image = dicomzarr.open(real_series(name))
    dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True, zarr_format=2)
    assert np.array_equal(group_at(tmp_path / "out.zarr", zarr_format=2)["0"][...], image.levels[0][...])


def test_no_value_of_zarr_format_2_is_a_missing_one(opened: Opener, tmp_path: Path) -> None:
    """For xarray a fill value marks missing values."""
    image = opened(volume(AXIAL, distinct((4, 16, 20)) % 7))
    dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True, zarr_format=2)
    assert (pixels_of(image) == 0).any()
    read = xarray.open_zarr(tmp_path / "out.zarr", consolidated=False)["0"].to_numpy()
    assert read.dtype == image.levels[0].dtype
    assert np.array_equal(read, pixels_of(image))


def test_chunks_that_zarr_format_2_lacks_are_said(opened: Opener, tmp_path: Path) -> None:
    series = volume(AXIAL, distinct((6, 16, 20), bits=12))
    lost = decimals(AXIAL.position(3))
    image = opened(series_of([each for each in series.datasets if each.ImagePositionPatient != lost]))
    with pytest.warns(LeftOutWarning, match="Array 0: absent chunks.*fill value 0.*xarray takes all pixels"):
        dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True, zarr_format=2)
    assert np.array_equal(group_at(tmp_path / "out.zarr", zarr_format=2)["0"][...], pixels_of(image))
    dicomzarr.export(image, tmp_path / "other.zarr", keep_encoded=True)  # without a warning


def test_a_region_of_whole_frames_may_be_kept(tmp_path: Path) -> None:
    with serving(slides.coded_slide("native_rgb")) as served:
        image = dicomzarr.open(served.url)
        height, width = image.levels[0].chunks[-2:]
        region = {"y": (height, image.levels[0].shape[-2]), "x": (width, image.levels[0].shape[-1] - 3)}
        dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True, region=region)
        assert np.array_equal(group_at(tmp_path / "out.zarr")["0"][...], image.levels[0][:, height:, width:-3])


@pytest.mark.parametrize(
    ("series", "options", "said"),
    [
        (partial(pet, distinct((4, 16, 20), bits=16), [0.5, 1.25, 2, 4]), {"values": "modality"}, "made of them"),
        (volume, {"region": {"x": (3, 9)}}, "begins within a frame"),
    ],
    ids=["rescaled", "region"],
)
def test_what_zarr_cannot_say_is_refused(
    opened: Opener, tmp_path: Path, series: Any, options: dict[str, Any], said: str
) -> None:
    url = opened.url(series())
    with pytest.raises(UsageError, match=said):
        dicomzarr.export(url, tmp_path / "out.zarr", keep_encoded=True, **options)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_several_codings_are_refused(opened: Opener, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"coded as|kept encoded"):
        dicomzarr.export(opened(mixed_syntaxes()), tmp_path / "out.zarr", keep_encoded=True)


@pytest.mark.parametrize("series", [monochrome1, partial(secondary_capture, distinct((16, 20, 3), bits=8))])
def test_other_radiology_is_kept_as_its_values(opened: Opener, tmp_path: Path, series: Any) -> None:
    image = opened(series())
    dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True)
    assert np.array_equal(group_at(tmp_path / "out.zarr")["0"][...], pixels_of(image))


@pytest.mark.parametrize("signed", [False, True])
def test_rle_of_sixteen_bits_is_kept(opened: Opener, tmp_path: Path, *, signed: bool) -> None:
    series = volume(AXIAL, distinct((3, 16, 20), signed=signed))
    for dataset in series.datasets:
        dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    image = opened(series)
    dicomzarr.export(image, tmp_path / "out.zarr", keep_encoded=True)
    assert chunks_of(tmp_path / "out.zarr" / "0")
    assert_decodes(image.levels[0], tmp_path / "out.zarr" / "0")
    assert json.loads((tmp_path / "out.zarr/0/zarr.json").read_text())["codecs"][0]["name"] == "imagecodecs_dicomrle"


def test_bits_that_are_no_part_of_the_values_are_refused(opened: Opener, tmp_path: Path) -> None:
    series = volume(AXIAL, distinct((3, 16, 20), bits=12))
    data = np.frombuffer(series.datasets[1].PixelData, "<u2") | 0x8000  # an overlay, as it was done of old
    series.datasets[1].PixelData = data.astype("<u2").tobytes()
    with pytest.raises(UsageError, match="other values"):
        dicomzarr.export(opened(series), tmp_path / "out.zarr", keep_encoded=True)


@pytest.mark.parametrize("options", [{"shard": 2}, {"build_levels": True}, {"absent": 0}])
def test_options_that_need_decoding_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        dicomzarr.export("dicomweb://127.0.0.1:9/studies/1/series/2", tmp_path / "o.zarr", keep_encoded=True, **options)


PLAIN = """
import sys, numpy, zarr
for path in sys.argv[1:]:
    expected = numpy.load(path + ".npy")
    assert numpy.array_equal(zarr.open_array(path, mode="r")[...], expected), path
print("right")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    "DICOMZARR_IMAGECODECS_ZARR_PYTHON" not in os.environ,
    reason="DICOMZARR_IMAGECODECS_ZARR_PYTHON names no Python that has zarr and imagecodecs-zarr, which needs 3.12",
)
def test_plain_zarr_with_imagecodecs_zarr_reads_them(tmp_path: Path) -> None:
    paths = []
    for name in REAL:
        image = dicomzarr.open(real_series(name))
        out = tmp_path / f"{name}.zarr"
        dicomzarr.export(image, out, keep_encoded=True)
        for level in image.levels:
            paths.append(str(out / str(level.number)))
            np.save(f"{paths[-1]}.npy", level[...])
    for name in slides.CODECS:
        with serving(slides.coded_slide(name)) as served:
            image, out = dicomzarr.open(served.url), tmp_path / f"{name}.zarr"
            try:
                dicomzarr.export(image, out, keep_encoded=True)
            except UsageError:
                shutil.rmtree(out, ignore_errors=True)
                continue
            paths.append(str(out / "0"))
            np.save(f"{paths[-1]}.npy", image.levels[0][...])
    python = os.environ["DICOMZARR_IMAGECODECS_ZARR_PYTHON"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603  # our own script
        [python, "-c", PLAIN, *paths], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.strip() == "right", done.stderr

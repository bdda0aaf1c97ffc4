"""References are read by plain zarr, without dicomzarr, to the bits that dicomzarr shows."""

from __future__ import annotations

import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import slides
from buckets import bucket
from dual_personality import dual_personality, frames_in, part10_bytes, without_table
from folders import write
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, HTJ2KLossless
from radiology_model import AXIAL, distinct, series_of
from radiology_slices import Identity, stack
from radiology_volumes import secondary_capture, two_orientations, volume
from real_data import real_series
from referring import assert_same, levels_of, read_elsewhere, refs_in
from serving import forget_servers

import dicomzarr
from dicomzarr.errors import UsageError
from dicomzarr.faces.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from radiology_model import RadiologySeries


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    volume(AXIAL, distinct((4, 16, 20), bits=12, signed=True)).write(tmp_path / "ct")
    return tmp_path / "ct"


def codecs_of(target: Path, path: str = "0") -> list[Any]:
    return list(json.loads(refs_in(target)[f"{path}/zarr.json"])["codecs"])


def test_a_native_series_is_read_by_plain_zarr(ct: Path, tmp_path: Path) -> None:
    done = dicomzarr.references(ct, tmp_path / "ct.json")
    assert (done.arrays, done.frames, done.codecs) == (1, 4, ())
    image = dicomzarr.open(ct)
    found, attributes = read_elsewhere(tmp_path / "ct.json")
    assert_same(found, levels_of(image))
    assert codecs_of(tmp_path / "ct.json") == [{"name": "bytes", "configuration": {"endian": "little"}}]
    root = json.loads(image.store.root.documents["zarr.json"])
    assert attributes == root["attributes"]
    for number in range(4):
        url, offset, length = refs_in(tmp_path / "ct.json")[f"0/c/{number}/0/0"]
        data = (ct / url.rpartition("/")[2]).read_bytes()[offset : offset + length]
        assert np.array_equal(np.frombuffer(data, "<i2"), image.levels[0][number].ravel())


@pytest.mark.parametrize(
    "name",
    [
        "mr_enhanced_siemens",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("ct_explicit_le", "mr_dti_philips", "mr_two_orientations")
        ),
    ],
)
def test_real_native_series_are_read_by_plain_zarr(name: str, tmp_path: Path) -> None:
    assert dicomzarr.references(real_series(name), tmp_path / "out.json").codecs == ()
    found, _ = read_elsewhere(tmp_path / "out.json")
    assert_same(found, levels_of(dicomzarr.open(real_series(name))))


def big_endian() -> RadiologySeries:
    series = volume(AXIAL, distinct((3, 16, 20), bits=16), bits=16)
    for dataset in series.datasets:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    return series


def color() -> RadiologySeries:
    return secondary_capture(distinct((16, 20, 3), bits=8))


@pytest.mark.parametrize(
    ("series", "codecs"),
    [
        (big_endian, [{"name": "bytes", "configuration": {"endian": "big"}}]),
        (color, [{"name": "transpose", "configuration": {"order": [1, 2, 0]}}, {"name": "bytes"}]),
        (
            lambda: two_orientations(distinct((3, 16, 20)), distinct((2, 12, 14), bits=11)),
            [{"name": "bytes", "configuration": {"endian": "little"}}],
        ),
    ],
    ids=["big endian", "interleaved colour", "two images"],
)
def test_native_frames_of_every_order_are_right(series: Any, codecs: list[Any], tmp_path: Path) -> None:
    series().write(tmp_path / "files")
    dicomzarr.references(tmp_path / "files", tmp_path / "out.json")
    found, _ = read_elsewhere(tmp_path / "out.json")
    assert_same(found, levels_of(dicomzarr.open(tmp_path / "files")))
    assert codecs_of(tmp_path / "out.json", min(found)) == codecs


def test_frames_of_one_file_lie_behind_each_other(tmp_path: Path) -> None:
    write(tmp_path / "slide", slides.coded_slide("native_rgb").datasets)
    done = dicomzarr.references(tmp_path / "slide", tmp_path / "out.json")
    found, _ = read_elsewhere(tmp_path / "out.json")
    assert done.frames > done.arrays
    assert_same(found, levels_of(dicomzarr.open(tmp_path / "slide")))


@pytest.mark.parametrize("kind", ["zip", pytest.param("tar", marks=pytest.mark.slow)])
def test_members_that_lie_as_they_are_in_an_archive_are_referred_to(kind: str, ct: Path, tmp_path: Path) -> None:
    path = tmp_path / f"all.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for file in ct.iterdir():
                archive.write(file, file.name)
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(ct, "ct")
    dicomzarr.references(path, tmp_path / "out.json")
    found, _ = read_elsewhere(tmp_path / "out.json")
    assert_same(found, levels_of(dicomzarr.open(ct)))


def test_a_bucket_is_read_at_its_server_and_native_frames_not_at_all(tmp_path: Path) -> None:
    datasets = volume(AXIAL, distinct((6, 400, 400), bits=16), bits=16).datasets
    with bucket({f"ct/{number}.dcm": part10_bytes(each) for number, each in enumerate(datasets)}) as server:
        image = dicomzarr.open("s3://bucket/ct", **server.options)
        server.asked.clear()
        dicomzarr.references(image, tmp_path / "out.json")
        assert [each.key for each in server.objects_asked] == [server.objects_asked[0].key] * 2
        found, _ = read_elsewhere(tmp_path / "out.json")
        assert_same(found, {"0": image.levels[0][...]})


def test_tiles_far_away_are_referred_to_without_their_item_headers(tmp_path: Path) -> None:
    slide = slides.coded_slide("jpeg_ybr_full_422")
    bodies = [dual_personality(each) for each in slide.datasets]
    with bucket({f"{number}.dcm": body for number, body in enumerate(bodies)}) as server:
        dicomzarr.references("s3://bucket", tmp_path / "out.json", **server.options)
        assert referred(tmp_path / "out.json", lambda url: bodies[int(url.rpartition("/")[2][:-4])]) == sorted(
            frame.rstrip(b"\0") for each in slide.datasets for frame in frames_in(each)
        )


@pytest.mark.parametrize("name", [each for each in slides.CODECS if slides.CODECS[each].syntax.is_encapsulated])
@pytest.mark.parametrize("table", [True, False])
def test_compressed_frames_are_referred_to_as_pydicom_finds_them(name: str, tmp_path: Path, *, table: bool) -> None:
    datasets = slides.coded_slide(name).datasets
    expected = sorted(frame.rstrip(b"\0") for each in datasets for frame in frames_in(each))
    (tmp_path / "slide").mkdir()
    for number, each in enumerate(datasets):
        (tmp_path / "slide" / f"{number}.dcm").write_bytes(part10_bytes(each) if table else without_table(each))
    assert dicomzarr.references(tmp_path / "slide", tmp_path / "out.json").frames == len(expected)
    assert referred(tmp_path / "out.json", lambda url: Path(url.removeprefix("file://")).read_bytes()) == expected


def referred(target: Path, read: Callable[[str], bytes]) -> list[bytes]:
    """What references lead to, without padding."""
    found = [each for each in refs_in(target).values() if isinstance(each, list)]
    return sorted(read(url)[offset : offset + length].rstrip(b"\0") for url, offset, length in found)


def test_levels_and_images_are_chosen(tmp_path: Path) -> None:
    write(tmp_path / "slide", slides.brightfield_pyramid().datasets)
    done = dicomzarr.references(tmp_path / "slide", tmp_path / "out.json", levels=[1], images=[""])
    assert done.arrays == 1
    documents = [key for key in refs_in(tmp_path / "out.json") if key.endswith("zarr.json")]
    assert sorted(documents) == ["0/zarr.json", "zarr.json"]
    image = dicomzarr.open(tmp_path / "slide")
    written = json.loads(refs_in(tmp_path / "out.json")["0/zarr.json"])
    assert written["shape"] == list(image.levels[1].shape)


# --- the command ---


def test_the_command_says_what_was_written(ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert main(["references", str(ct), str(out)]) == 0
    assert capsys.readouterr() == ("", f"{out}: 4 frames of 1 array\n")
    assert main(["references", str(ct), str(out)]) == 2
    assert "There is something at the target already." in capsys.readouterr().err
    assert main(["references", str(ct), str(out), "--force"]) == 0


def test_the_command_names_the_codecs_that_readers_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["references", str(real_series("ct_jpegls")), str(tmp_path / "out.json")]) == 0
    assert "need imagecodecs-zarr for imagecodecs_jpegls" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target", ["s3://bucket/refs.json", "gs://bucket/x.icechunk", "memory://x.json", "https://h/x"]
)
def test_a_target_that_is_elsewhere_is_refused(target: str, ct: Path) -> None:
    with pytest.raises(UsageError, match=r"are written to a local disk, and \w+://\S+ is elsewhere"):
        dicomzarr.references(ct, target)


@pytest.mark.parametrize(("name", "said"), [("out.txt", ".json"), ("none/out.json", "no folder")])
def test_a_target_that_cannot_be_meant_is_refused(name: str, said: str, ct: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        dicomzarr.references(ct, tmp_path / name)


# --- compressed frames, by imagecodecs-zarr, which needs Python 3.12 ---

PYTHON = "DICOMZARR_IMAGECODECS_ZARR_PYTHON"
ELSEWHERE = pytest.mark.skipif(
    PYTHON not in os.environ, reason=f"{PYTHON} names no Python that has zarr, fsspec and imagecodecs-zarr"
)


@pytest.mark.slow
@ELSEWHERE
@pytest.mark.parametrize(
    "name",
    [
        *(each for each in slides.CODECS if each != "native_ybr_full"),
        "slide_cmu1",
        "slide_camelyon_level",
        "ct_jpegls",
        "ct_jpeg_lossless",
    ],
)
def test_compressed_frames_are_read_by_zarr_and_imagecodecs(name: str, tmp_path: Path) -> None:
    if name in slides.CODECS:
        folder = tmp_path / "slide"
        write(folder, slides.coded_slide(name).datasets)
    else:
        folder = real_series(name)
    dicomzarr.references(folder, tmp_path / "out.json")
    found, _ = read_elsewhere(tmp_path / "out.json", os.environ[PYTHON])
    assert_same(found, levels_of(dicomzarr.open(folder)))


def htj2k(*, signed: bool) -> RadiologySeries:
    """A CT whose slices are coded in HTJ2K."""
    pixels = distinct((3, 40, 44), bits=16, signed=signed)
    datasets = stack(Identity("htj2k", bits=16), pixels, AXIAL)
    for dataset, picture in zip(datasets, pixels, strict=True):
        dataset.PixelData = encapsulate([bytes(imagecodecs.htj2k_encode(picture, reversible=True))])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    return series_of(datasets)


@pytest.mark.slow
@ELSEWHERE
@pytest.mark.parametrize("signed", [False, True])
def test_a_series_in_htj2k_is_read_by_zarr_and_imagecodecs(tmp_path: Path, *, signed: bool) -> None:
    htj2k(signed=signed).write(tmp_path / "ct")
    dicomzarr.references(tmp_path / "ct", tmp_path / "out.json")
    assert codecs_of(tmp_path / "out.json") == [{"name": "imagecodecs_jpeg2k"}]
    found, _ = read_elsewhere(tmp_path / "out.json", os.environ[PYTHON])
    assert_same(found, {"0": distinct((3, 40, 44), bits=16, signed=signed)})


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_files_whose_names_are_no_text_are_refused_by_a_plain_error(ct: Path, tmp_path: Path) -> None:
    first = min(ct.iterdir())
    first.rename(ct / os.fsdecode(b"im\xe9.dcm"))
    with pytest.raises(UsageError, match=r"im\\udce9\.dcm is none\. Rename it, or export"):
        dicomzarr.references(ct, tmp_path / "ct.json")
    assert not (tmp_path / "ct.json").exists()

"""References are refused, with the reason, where zarr would show what dicomzarr does not; nothing is written."""

from __future__ import annotations

import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slides
from buckets import bucket
from dual_personality import part10_bytes, without_table
from folders import write
from fsspec.implementations.local import LocalFileSystem
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_traps import palette_clips
from radiology_volumes import garbage_in_high_bits, mixed_syntaxes, pet, secondary_capture, volume
from segmentable import SHAPE, SOURCES
from segmentations import random_masks, segmented
from serving import forget_servers

import dicomzarr
from dicomzarr.errors import DicomZarrError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from radiology_model import RadiologySeries


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


def assert_refused(place: object, tmp_path: Path, said: str, **options: Any) -> None:
    out = tmp_path / "out" / "refs.json"
    out.parent.mkdir()
    with pytest.raises(UsageError, match=said) as raised:
        dicomzarr.references(place, out, **options)  # type: ignore[arg-type]  # paths and URLs
    assert raised.value.remedy
    assert list(out.parent.iterdir()) == []


def deflated() -> RadiologySeries:
    series = volume(AXIAL, distinct((2, 16, 20)))
    for dataset in series.datasets:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return series


def overlay_in_the_last_slice() -> RadiologySeries:
    series = volume(AXIAL, distinct((3, 16, 20)))
    last = max(series.datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    last.PixelData = (np.frombuffer(last.PixelData, "<u2") | 0x8000).astype("<u2").tobytes()
    return series


def partly_compressed() -> RadiologySeries:
    series = volume(AXIAL, distinct((4, 16, 20), bits=16), bits=16)
    series.datasets[2].compress(RLELossless, generate_instance_uid=False)
    return series


def bytes_in_words() -> RadiologySeries:
    series = secondary_capture(distinct((16, 20, 3), bits=8))
    (dataset,) = series.datasets
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return series


SIGNED = distinct((3, 16, 20), signed=True)


@pytest.mark.parametrize(
    ("series", "options", "said"),
    [
        (deflated, {}, "deflated"),
        (overlay_in_the_last_slice, {}, "other values"),
        (partial(garbage_in_high_bits, SIGNED, signed=True), {}, "other values"),
        (mixed_syntaxes, {}, "12 count"),
        (partly_compressed, {}, "coded as"),
        (partial(pet, distinct((4, 16, 20), bits=16), [0.5, 1.25, 2, 4]), {"values": "modality"}, "made of them"),
        (lambda: palette_clips(distinct((1, 3, 16, 20), bits=8))[0], {"values": "color"}, "made of them"),
        (bytes_in_words, {}, "other values|swapped"),
    ],
    ids=[
        "deflated",
        "overlay",
        "signs",
        "more bits coded",
        "mixed syntaxes",
        "rescaled",
        "palette in colour",
        "swapped bytes",
    ],
)
def test_what_no_codec_of_zarr_tells_is_refused(
    series: Any, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    series().write(tmp_path / "files")
    assert dicomzarr.open(tmp_path / "files", **options).levels[0][...].size
    assert_refused(tmp_path / "files", tmp_path, said, **options)


def test_single_bits_are_refused(tmp_path: Path) -> None:
    masks = random_masks((2, *SHAPE))
    (tmp_path / "seg.dcm").write_bytes(part10_bytes(segmented(SOURCES, masks).dataset))
    assert_refused(tmp_path / "seg.dcm", tmp_path, "several pixels a byte")


def test_colour_differences_without_a_codec_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "files", slides.coded_slide("native_ybr_full").datasets)
    assert_refused(tmp_path / "files", tmp_path, "YBR_FULL")


def test_frames_in_several_fragments_are_refused_near_and_far(tmp_path: Path) -> None:
    body = without_table(slides.coded_slide("jpeg_ybr_full_422").datasets[0], fragments=2)
    (tmp_path / "slide.dcm").write_bytes(body)
    assert_refused(tmp_path / "slide.dcm", tmp_path, "several fragments")
    with bucket({"slide.dcm": body}) as server, pytest.raises(UsageError, match="several fragments"):
        dicomzarr.references("s3://bucket/slide.dcm", tmp_path / "far.json", **server.options)


def test_the_only_frame_of_a_far_file_in_several_fragments_is_refused(tmp_path: Path) -> None:
    dataset = mixed_syntaxes().datasets
    coded = next(each for each in dataset if each.file_meta.TransferSyntaxUID.is_encapsulated)
    with bucket({"a.dcm": without_table(coded, fragments=3)}) as server:
        assert_refused("s3://bucket/a.dcm", tmp_path, "several fragments", **server.options)


def test_a_dicomweb_server_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with Opener() as opened:
        assert_refused(opened.url(volume()), tmp_path, "on a DICOMweb server.*Name the files")


def test_members_that_are_deflated_in_a_zip_are_refused(tmp_path: Path) -> None:
    files = volume(AXIAL, distinct((2, 16, 20))).write(tmp_path / "files")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    assert_refused(tmp_path / "all.zip", tmp_path, "deflated in an archive.*Unpack it")


def test_a_place_that_only_an_option_names_is_refused(tmp_path: Path) -> None:
    volume(AXIAL, distinct((2, 16, 20))).write(tmp_path / "files")
    assert_refused(str(tmp_path / "files"), tmp_path, "only the options name", store=LocalFileSystem())


def test_urls_with_queries_are_not_written_down(tmp_path: Path) -> None:
    body = part10_bytes(volume(AXIAL, distinct((1, 16, 20))).datasets[0])
    with bucket({"a.dcm": body}) as server:
        server.pages["/bucket/list.txt"] = ("text/plain", "a.dcm?signature=secret\n")
        with pytest.raises(DicomZarrError, match="query") as raised:
            dicomzarr.references(f"{server.url}/bucket/list.txt", tmp_path / "refs.json")
        assert "secret=" not in str(raised.value)
        assert "signature" not in str(raised.value)


def test_a_file_that_changed_is_no_reference(tmp_path: Path) -> None:
    first, *_ = volume(AXIAL, distinct((2, 16, 20))).write(tmp_path / "files")
    image = dicomzarr.open(tmp_path / "files")
    dataset = dcmread(first)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(first)
    with pytest.raises(DicomZarrError, match="changed"):
        dicomzarr.references(image, tmp_path / "refs.json")
    assert not (tmp_path / "refs.json").exists()


def test_a_cut_off_frame_is_an_error(tmp_path: Path) -> None:
    (path, *_) = volume(AXIAL, distinct((1, 16, 20), bits=16), bits=16).write(tmp_path / "files")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DicomZarrError, match="end"):
        dicomzarr.references(tmp_path / "files", tmp_path / "refs.json")


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume(AXIAL, distinct((1, 16, 20))).write(tmp_path / "files")
    out = tmp_path / "refs.json"
    out.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(TargetError, match="No space left"):
        dicomzarr.references(tmp_path / "files", out, overwrite=True)
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "refs.json"]

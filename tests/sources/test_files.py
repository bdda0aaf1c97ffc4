"""A folder as a source of series: what is in it, what its metadata say, and frames out of its files."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import shutil
import struct
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import radiology
import slides
from buckets import bucket
from folders import Sink, all_keys, brought, state_of, write
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from serving import forget_servers

import dicomzarr
from dicomzarr.demo.instances import from_file
from dicomzarr.dicom.files.data_set import file_meta_information
from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.notices import without_files
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.engine.ports import Fetch, SeriesMetadata, SeriesRef, Wait
from dicomzarr.errors import (
    ChangedFileError,
    InvalidFileError,
    MissingFileError,
    TruncatedFileError,
    UnreadableFileError,
    UsageError,
)
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.files import origin as origin_module
from dicomzarr.sources.files import source as source_module
from dicomzarr.sources.files.instance import frames_of
from dicomzarr.sources.files.source import FilesSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.uid import UID

    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.engine.series_state import SeriesState
    from dicomzarr.sources.files.instance import FileInstance

BUILDERS: dict[str, Callable[[], Any]] = {**slides.BUILDERS, **radiology.BUILDERS}


def only_series(source: FilesSource) -> SeriesRef:
    (ref,) = source.index().series
    return ref


def opened(source: FilesSource) -> tuple[SeriesMetadata, SeriesState]:
    ref = only_series(source)
    metadata = asyncio.run(source.metadata(ref, None))
    return metadata, state_of(metadata, ref)


@pytest.fixture
def volume(tmp_path: Path) -> list[Path]:
    return write(tmp_path, radiology.BUILDERS["volume"]().datasets)


# --- metadata and frames ---


@pytest.mark.parametrize("name", BUILDERS)
def test_frames_and_metadata_are_those_of_the_files(name: str, tmp_path: Path) -> None:
    paths = write(tmp_path, BUILDERS[name]().datasets)
    source = FilesSource(tmp_path)
    metadata, state = opened(source)
    files = {each.instance: each for each in map(from_file, paths)}
    all_of_it = asyncio.run(source.attributes(only_series(source), None))
    assert metadata.instances() == decode_instances(all_of_it)  # what opening reads lacks nothing that it would use
    assert len(metadata.body) + len(metadata.common) < len(all_of_it)
    for found in json.loads(all_of_it):
        plain = files[found["00080018"]["Value"][0]].metadata()
        for tag, value in plain.items():
            if tag != "7FE00010":
                given = found[tag]
                if "BulkDataURI" in given:
                    data = asyncio.run(source.bulk_data(only_series(source), given["BulkDataURI"], None))
                    given = {"vr": given["vr"], "InlineBinary": base64.b64encode(data).decode()}
                assert given == json.loads(json.dumps(value, default=str)), tag
    keys = all_keys(state)
    sink = asyncio.run(brought(source, keys))
    assert not sink.errors
    for key in keys:
        frame = sink.frames[key]
        assert frame.transfer_syntax_uid is not None
        syntax = files[key.instance].transfer_syntax
        assert frame.transfer_syntax_uid == (ExplicitVRLittleEndian if is_native(syntax) else syntax)
        assert frame.data.rstrip(b"\0") == bytes(files[key.instance].frame(key.number)).rstrip(b"\0")
        assert frame.header is not None
        assert frame.header.series == state.series


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_deflated_and_big_endian_files(syntax: Any, tmp_path: Path) -> None:
    datasets = radiology.BUILDERS["volume"]().datasets
    plain = [dataset.PixelData for dataset in datasets]
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
            dataset["PixelData"].VR = "OW"
            dataset._is_little_endian = dataset._is_implicit_VR = False
    for number, dataset in enumerate(datasets):
        with (tmp_path / f"{number:04}.dcm").open("wb") as file:
            dataset.save_as(
                file, implicit_vr=False, little_endian=syntax != ExplicitVRBigEndian, enforce_file_format=True
            )
    source = FilesSource(tmp_path)
    _, state = opened(source)
    sink = asyncio.run(brought(source, all_keys(state)))
    assert sorted(frame.data for frame in sink.frames.values()) == sorted(plain)


@pytest.mark.parametrize("big_endian", [False, True])
def test_long_binary_values_are_given_by_reference(big_endian: bool, tmp_path: Path) -> None:  # noqa: FBT001  # a parameter
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    words = np.arange(50_000, dtype="<u2")
    item = Dataset()
    item.add_new(0x00281201, "OW", words.astype(">u2" if big_endian else "<u2").tobytes())
    item.add_new(0x00281202, "OW", words[:8].astype(">u2" if big_endian else "<u2").tobytes())
    dataset.IconImageSequence = [item]
    if big_endian:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset["PixelData"].VR = "OW"
    with (tmp_path / "a.dcm").open("wb") as file:
        dataset.save_as(file, implicit_vr=False, little_endian=not big_endian, enforce_file_format=True)
    source = FilesSource(tmp_path)
    ref = only_series(source)
    told = asyncio.run(source.attributes(ref, dataset.SOPInstanceUID))
    assert len(told) < 20_000
    icon = json.loads(told)[0]["00880200"]["Value"][0]
    assert base64.b64decode(icon["00281202"]["InlineBinary"]) == words[:8].tobytes()
    uri = icon["00281201"]["BulkDataURI"]
    assert json.loads(asyncio.run(source.attributes(ref, "1.2.3.4.5.6.7"))) == []
    assert asyncio.run(source.bulk_data(ref, uri, None)) == words.tobytes()
    for wrong, kind in (
        (uri + "1", InvalidFileError),
        ("nowhere", MissingFileError),
        ("9.9/bulkdata/1", MissingFileError),
    ):
        with pytest.raises(kind):
            asyncio.run(source.bulk_data(ref, wrong, None))


def test_what_has_not_changed_is_known(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    metadata, _ = opened(source)
    ref = only_series(source)
    assert asyncio.run(source.metadata(ref, metadata)) is metadata
    os.utime(volume[0], ns=(1, 1))
    again = asyncio.run(source.metadata(ref, metadata))
    assert again is not metadata
    assert again.body == metadata.body
    with pytest.raises(MissingFileError, match=r"holds no series 9\.9 of study 1\.2"):
        asyncio.run(source.metadata(SeriesRef("1.2", "9.9"), None))


# --- files that change ---


def test_a_changed_file_is_an_error_for_who_opened_it_before(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    _, before = opened(source)
    other = dcmread(volume[1])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(volume[1])
    os.utime(volume[1], ns=(5, 5))
    changed = [key for key in all_keys(before) if key.instance == other.SOPInstanceUID]
    for _ in range(2):  # also when the folder has been looked through anew
        sink = asyncio.run(brought(source, all_keys(before)))
        assert list(sink.errors) == changed
        assert isinstance(sink.errors[changed[0]], ChangedFileError)
        assert "has changed" in str(sink.errors[changed[0]])
        assert "frame 1 of instance" in str(sink.errors[changed[0]])
        _, after = opened(source)
    sink = asyncio.run(brought(source, all_keys(after)))
    assert not sink.errors
    volume[0].unlink()
    sink = asyncio.run(brought(source, all_keys(after)))
    assert [type(error) for error in sink.errors.values()] == [ChangedFileError]


def test_another_file_of_the_same_size_and_date_is_an_error(volume: list[Path], tmp_path: Path) -> None:
    """As where files are moved, or copied with their dates."""
    for path in volume:
        os.utime(path, ns=(5, 5))
    source = FilesSource(volume[0].parent)
    _, before = opened(source)
    moved = tmp_path / "moved"
    volume[0].rename(moved)
    volume[1].rename(volume[0])
    moved.rename(volume[1])
    for _ in range(2):  # also when the folder has been looked through anew
        sink = asyncio.run(brought(source, all_keys(before)))
        assert [type(error) for error in sink.errors.values()] == [ChangedFileError] * 2
        _, after = opened(source)
    assert after.etag != before.etag
    assert not asyncio.run(brought(source, all_keys(after))).errors


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    _, state = opened(source)
    volume[1].unlink()
    os.mkfifo(volume[1])
    sink = asyncio.run(brought(source, all_keys(state)))
    assert [type(error) for error in sink.errors.values()] == [UnreadableFileError]


def test_another_process_reads_the_same_files_or_none(volume: list[Path]) -> None:
    """A forked child has a source of its own, and images that were opened before."""
    _, before = opened(FilesSource(volume[0].parent))
    (volume[0].parent / "note.txt").write_text("no image")
    assert not asyncio.run(brought(FilesSource(volume[0].parent), all_keys(before))).errors
    os.utime(volume[1], ns=(5, 5))
    sink = asyncio.run(brought(FilesSource(volume[0].parent), all_keys(before)))
    assert {type(error) for error in sink.errors.values()} == {ChangedFileError}
    assert len(sink.errors) == len(volume)


def test_a_file_that_is_cut_in_its_pixels_is_an_error_of_its_frames(volume: list[Path]) -> None:
    volume[2].write_bytes(volume[2].read_bytes()[:-100])
    source = FilesSource(volume[0].parent)
    metadata, state = opened(source)
    assert not metadata.notices
    sink = asyncio.run(brought(source, all_keys(state)))
    assert [type(error) for error in sink.errors.values()] == [TruncatedFileError]
    assert len(sink.frames) == len(volume) - 1


def test_a_fetch_ends_when_nothing_more_is_wanted(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    _, state = opened(source)
    sink = Sink(most=2)
    asyncio.run(source.frames.fetch(Fetch(tuple(all_keys(state))), sink))
    assert len(sink.frames) == 2


def test_a_frame_that_the_file_has_not(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    _, state = opened(source)
    key = all_keys(state)[0]._replace(number=7)
    sink = asyncio.run(brought(source, [key]))
    assert "There are 1 frames" in str(sink.errors[key])


class Opened:
    """Counts how often files are opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = os.open
        monkeypatch.setattr(os, "open", lambda path, *more: self.paths.append(str(path)) or real(path, *more))


def test_frames_of_one_fetch_open_their_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [slides.BUILDERS["sparse"]().datasets[0]])
    source = FilesSource(tmp_path)
    _, state = opened(source)
    keys = all_keys(state)[:8]
    expected = asyncio.run(brought(source, keys)).frames
    files = Opened(monkeypatch)
    assert asyncio.run(brought(source, keys)).frames == expected
    assert len(files.paths) == 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    "lacks", ["preamble and meta", "meta", "preamble", "magic too", "transfer syntax", "VRs of meta"]
)
def test_files_that_lack_what_part_10_puts_before_the_data_set(syntax: Any, lacks: str, tmp_path: Path) -> None:
    datasets = radiology.BUILDERS["volume"]().datasets[:2]
    write(tmp_path / "whole", datasets)
    expected = dicomzarr.open(tmp_path / "whole").levels[0][...]
    (tmp_path / "bare").mkdir()
    for number, dataset in enumerate(datasets):
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        whole = io.BytesIO()
        dataset.save_as(whole, enforce_file_format=True)
        body, end = whole.getvalue(), read_file_meta(memoryview(whole.getvalue())).end
        at = body.index(b"\2\0\x10\0UI")
        (length,) = struct.unpack_from("<H", body, at + 6)
        body = {
            "preamble and meta": body[end:],
            "meta": body[:132] + body[end:],
            "preamble": body[128:],
            "magic too": body[132:],
            "transfer syntax": body[:at] + body[at + 8 + length :],
            "VRs of meta": body[:132]
            + struct.pack("<HHI", 2, 0x10, length)
            + body[at + 8 : at + 8 + length]
            + body[end:],
        }[lacks]
        (tmp_path / "bare" / f"{number}").write_bytes(body)
    image = dicomzarr.open(tmp_path / "bare")
    assert np.array_equal(image.levels[0][...], expected)
    assert not image.notices


def encapsulated(dataset: Dataset, frame: bytes) -> None:
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True


def as_rle(dataset: Dataset) -> None:
    dataset.compress(RLELossless, generate_instance_uid=False)


def as_jpeg_ls(dataset: Dataset) -> None:
    encapsulated(dataset, imagecodecs.jpegls_encode(dataset.pixel_array))
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless


def as_jpeg_2000(dataset: Dataset) -> None:
    frame = imagecodecs.jpeg2k_encode(dataset.pixel_array, level=0, reversible=True, codecformat="j2k")
    encapsulated(dataset, frame)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless


def as_it_is(dataset: Dataset) -> None:
    assert not dataset.file_meta.TransferSyntaxUID.is_compressed


def relabelled(dataset: Dataset, syntax: str) -> bytes:
    """A file whose File Meta Information names another transfer syntax."""
    whole = io.BytesIO()
    dataset.save_as(whole, enforce_file_format=True)
    body = whole.getvalue()[read_file_meta(memoryview(whole.getvalue())).end :]
    return file_meta_information(dataset.SOPClassUID, dataset.SOPInstanceUID, syntax) + body


@pytest.mark.parametrize(
    ("coded", "said"),
    [
        (as_rle, ExplicitVRLittleEndian),
        (as_jpeg_ls, ExplicitVRLittleEndian),
        (as_jpeg_2000, ImplicitVRLittleEndian),
        (as_it_is, JPEGLSLossless),
        (as_it_is, RLELossless),
        (as_it_is, JPEG2000),
    ],
)
def test_pixels_are_what_they_show_to_be_whatever_their_file_says(
    coded: Callable[[Dataset], None], said: UID, tmp_path: Path
) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    expected = dataset.pixel_array
    coded(dataset)
    path = tmp_path / "a.dcm"
    path.write_bytes(relabelled(dataset, said))
    image = dicomzarr.open(path)
    assert np.array_equal(image.levels[0][...].reshape(expected.shape), expected)
    assert image.notices[-1].startswith("1 file says that pixels are in ")
    with bucket({"a.dcm": path.read_bytes()}) as server:
        there = dicomzarr.open("s3://bucket/a.dcm", **server.options)
        assert np.array_equal(there.levels[0][...].reshape(expected.shape), expected)
        forget_servers()


def test_pixels_that_are_neither_cells_nor_fragments_are_an_error(tmp_path: Path) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    cells = dataset.PixelData
    item = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + len(cells).to_bytes(4, "little")
    for pixels in (item + cells, cells + bytes(16), cells[:100]):
        dataset.PixelData = pixels
        (tmp_path / "a.dcm").write_bytes(relabelled(dataset, JPEGLSLossless))
        with pytest.raises(InvalidFileError):
            dicomzarr.open(tmp_path / "a.dcm").levels[0][...]


def test_a_frame_that_takes_far_more_than_its_pixels_is_an_error(tmp_path: Path) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([bytes(2 * len(dataset.PixelData) + 2**20)])
    dataset["PixelData"].is_undefined_length = True
    write(tmp_path, [dataset])
    with pytest.raises(InvalidFileError, match="far more than its pixels do"):
        dicomzarr.open(tmp_path).levels[0][...]


# --- what is in a folder ---


def test_what_is_left_out_is_said(volume: list[Path]) -> None:
    folder = volume[0].parent
    inside = folder / "deeper"
    inside.mkdir()
    (inside / "copy.dcm").write_bytes(volume[0].read_bytes())
    (inside / "cut.dcm").write_bytes(volume[1].read_bytes()[:400])
    for number in range(7):
        (folder / f"note {number}.txt").write_text("no image")
    (folder / "DICOMDIR").write_bytes(volume[1].read_bytes())
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    metadata, state = opened(FilesSource(folder))
    assert len(state.instances) == len(volume)
    assert metadata.notices == (
        "9 files were left out (no DICOM): empty, note 0.txt, note 1.txt, note 2.txt, note 3.txt and 4 more.",
        "1 file was left out (broken DICOM): deeper/cut.dcm.",
        "1 file was left out (not readable): loop.",
        "1 file was left out (further files of an instance that is there already): deeper/copy.dcm.",
    )


def test_the_first_by_name_counts_in_folders_as_in_archives(tmp_path: Path) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    names = ["b.dcm", "a/x.dcm", "a/b/y.dcm"]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, name in enumerate(names):
            dataset.PixelData = bytes([number]) * len(dataset.PixelData)
            path = tmp_path / "all" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(path, enforce_file_format=True)
            archive.write(path, name)
    folder, packed = dicomzarr.open(tmp_path / "all"), dicomzarr.open(tmp_path / "all.zip")
    assert np.array_equal(folder.levels[0][...], dcmread(tmp_path / "all/a/b/y.dcm").pixel_array)
    assert np.array_equal(folder.levels[0][...], packed.levels[0][...])
    assert folder.notices == packed.notices
    assert "a/x.dcm, b.dcm" in folder.notices[-1]


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR;1", "index.dcm"])
def test_a_directory_of_a_disc_is_ignored_wherever_it_lies(name: str, tmp_path: Path) -> None:
    disc = tmp_path / "scans in 2024"
    paths = write(disc / "DICOMDIR in use", radiology.BUILDERS["volume"]().datasets)
    shutil.copy(str(get_testdata_file("DICOMDIR")), disc / name)
    index = FilesSource(disc).index()
    assert [len(each) for each in index.series.values()] == [len(paths)]
    assert index.notices == ()
    if name == "DICOMDIR":
        with pytest.raises(MissingFileError, match="A DICOMDIR lists the files of the folder that it is in"):
            dicomzarr.open(disc / name)


@pytest.mark.parametrize("coded", [False, True])
def test_a_part_of_a_file_gives_way_to_the_whole_of_it(tmp_path: Path, *, coded: bool) -> None:
    datasets = radiology.BUILDERS["volume"]().datasets
    expected = [each.pixel_array for each in datasets]
    for each in datasets if coded else ():
        each.compress(RLELossless, generate_instance_uid=False)
    paths = write(tmp_path, datasets)
    part = tmp_path / ".0002.dcm.aB3x"  # as rsync calls it
    part.write_bytes(paths[2].read_bytes()[:-20])
    image = dicomzarr.open(tmp_path)
    assert sorted(map(np.ndarray.tobytes, image.levels[0][...])) == sorted(map(np.ndarray.tobytes, expected))
    reason = "further files of an instance that is there already, and which differ from it"
    assert image.notices[-1] == f"1 file was left out ({reason}): {part.name}."
    paths[2].unlink()
    with pytest.raises(TruncatedFileError):
        dicomzarr.open(tmp_path).levels[0][...]


def test_files_of_one_instance_that_differ_are_told_from_copies(tmp_path: Path) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    for folder, description in (("a", "AXIAL"), ("b", "AXIAL"), ("c", "CORRECTED")):
        dataset.SeriesDescription = description
        write(tmp_path / folder, [dataset])
    reason = "further files of an instance that is there already"
    assert FilesSource(tmp_path).index().notices == (
        f"1 file was left out ({reason}): b/0000.dcm.",
        f"1 file was left out ({reason}, and which differ from it): c/0000.dcm.",
    )


def test_a_notice_counts_linked_folders_but_those_whose_files_are_found_elsewhere(volume: list[Path]) -> None:
    folder = volume[0].parent / "scan"
    (folder / "half").mkdir(parents=True)
    volume[0].rename(folder / "half" / "a.dcm")
    (folder / "same").symlink_to(folder / "half")
    (folder / "other").symlink_to(volume[1].parent)
    (folder / "another").symlink_to(volume[1].parent.parent)
    (folder / "nowhere").symlink_to(folder / "gone")
    index = FilesSource(folder).index()
    assert [len(each) for each in index.series.values()] == [1]
    told = "2 folders were left out (links to folders outside the folder)"
    assert f"{told}: another, other." in index.notices
    assert [without_files(each) for each in index.notices if each.startswith("2 folders")] == [f"{told}."]
    assert not any("same" in each for each in index.notices)


def test_links_do_not_lead_out_of_the_folder(volume: list[Path]) -> None:
    folder = volume[0].parent / "linked"
    folder.mkdir()
    (folder / "out.dcm").symlink_to(volume[1])
    (folder / "up").symlink_to(volume[1].parent)
    source = FilesSource(folder)
    assert not source.index().series
    assert source.index().notices == (
        "1 file was left out (links to files outside the folder): out.dcm.",
        "1 folder was left out (links to folders outside the folder): up.",
    )
    volume[0].rename(folder / "real.dcm")
    assert len(source.index().series[only_series(source)]) == 1
    (volume[1].parent / "also linked").symlink_to(folder)
    assert len(FilesSource(volume[1].parent / "also linked").index().series) == 1


@pytest.mark.slow
def test_folders_lie_as_deep_as_they_lie(volume: list[Path], tmp_path: Path) -> None:
    deep, folder = 1200, os.open(tmp_path, os.O_RDONLY)
    for _ in range(deep):  # no path could name the last of them
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    try:
        index = FilesSource(tmp_path).index()
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # noqa: S603, S607  # shutil cannot
    assert [len(instances) for instances in index.series.values()] == [len(volume)]


def test_names_in_notices_end_no_lines_and_move_no_cursors(volume: list[Path]) -> None:
    (volume[0].parent / "a\nb\x1b[2J").write_bytes(b"no DICOM")
    (notice,) = FilesSource(volume[0].parent).index().notices
    assert notice == "1 file was left out (no DICOM): a\\nb\\x1b[2J."


def test_one_file_is_a_source(volume: list[Path]) -> None:
    source = FilesSource(volume[1])
    _, state = opened(source)
    assert list(state.instances) == [str(dcmread(volume[1]).SOPInstanceUID)]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no file or folder"):
        FilesSource(tmp_path / "nowhere").index()


@pytest.mark.parametrize("name", ["loop", "n" * 300])
def test_a_path_of_which_the_system_says_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        FilesSource(tmp_path / name).index()


def test_a_folder_in_which_nothing_can_be_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(UnreadableFileError, match=r"not readable\): loop"):
        FilesSource(tmp_path).index()


def test_names_that_are_no_text(volume: list[Path]) -> None:
    (volume[0].parent / os.fsdecode(b"\xff.txt")).write_text("no image")
    bad = volume[1].rename(volume[0].parent / os.fsdecode(b"\xfe.dcm"))
    image = dicomzarr.open(volume[0].parent, cache_bytes=0)
    assert image.notices == (r"1 file was left out (no DICOM): \udcff.txt.",)
    bad.unlink()
    with pytest.raises(ChangedFileError, match=r"\\udcfe.dcm is there no more"):
        image.levels[0][...]


def test_only_files_that_changed_are_read_again(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    (before,) = source.index().series.values()
    os.utime(volume[1], ns=(1, 1))
    (after,) = source.index().series.values()
    same = [first is second for first, second in zip(before.values(), after.values(), strict=True)]
    assert same.count(False) == 1


# --- search ---


def test_search(tmp_path: Path) -> None:
    write(tmp_path / "a", radiology.BUILDERS["volume"]().datasets)
    pet = write(tmp_path / "b", radiology.BUILDERS["pet"]().datasets)
    source = FilesSource(tmp_path)
    refs = list(source.index().series)
    first = dcmread(pet[0])

    def uids(resource: str, tag: str = "0020000E", **parameters: str) -> list[str]:
        return [each[tag]["Value"][0] for each in asyncio.run(source.search(resource, parameters))]

    assert set(uids("studies", "0020000D")) == {ref.study for ref in refs}
    assert uids(f"studies/{first.StudyInstanceUID}/series", Modality="PT") == [first.SeriesInstanceUID]
    assert uids("series", Modality="p?") == [first.SeriesInstanceUID]
    assert uids("series", Modality="US") == []
    found = asyncio.run(source.search("series", {"SeriesInstanceUID": first.SeriesInstanceUID}))
    assert found[0]["00201209"]["Value"] == [len(pet)]
    assert "00080018" not in found[0]
    instances = asyncio.run(
        source.search(f"studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}/instances", {})
    )
    assert len(instances) == len(pet)
    assert len(asyncio.run(source.search("instances", {}, wanted=2, skip=1))) == 2
    with pytest.raises(UsageError, match="not searched by PatientComments"):
        asyncio.run(source.search("studies", {"PatientComments": "x"}))


# --- what is fetched next ---


def test_readers_take_turns(volume: list[Path]) -> None:
    source = FilesSource(volume[0].parent)
    _, state = opened(source)
    keys = all_keys(state)

    class Turn:
        instance = keys[0].stored

    class Queue:
        def turns(self) -> Any:
            yield Turn()

        def keys(self, _: Any) -> Any:
            yield from keys * 10

    queue: Any = Queue()
    fetch = source.frames.next(queue, 0, 0.0)
    assert isinstance(fetch, Fetch)
    assert fetch.keys[: len(keys)] == tuple(keys)
    assert len(fetch.keys) == 16
    assert isinstance(source.frames.next(queue, 100, 0.0), Wait)


def test_one_series_of_several_patients_is_noticed(tmp_path: Path) -> None:
    datasets = radiology.BUILDERS["volume"]().datasets
    for number, dataset in enumerate(datasets):
        dataset.PatientID = " SOMEBODY" if number % 2 else "SOMEBODY"
    assert not dicomzarr.open(write(tmp_path / "one", datasets)[0].parent).notices
    datasets[1].PatientID = "SOMEBODY-ELSE"
    (notice,) = dicomzarr.open(write(tmp_path / "two", datasets)[0].parent).notices
    assert "2 different patients" in notice
    assert "SOMEBODY" not in notice


def test_where_the_frames_of_a_large_file_lie_is_found_while_it_is_opened(
    volume: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_LARGE", 0)
    looked_at: list[str] = []

    def noticed(instance: FileInstance) -> StoredFrames:
        looked_at.append(instance.uid)
        return frames_of(instance)

    monkeypatch.setattr(origin_module, "frames_of", noticed)
    source = FilesSource(volume[0].parent)
    _, state = opened(source)
    FRAME_FILES.wait(60, begin_more=True)
    assert len(looked_at) == 1
    keys = all_keys(state)
    assert not asyncio.run(brought(source, keys)).errors
    assert sorted(looked_at) == sorted({key.instance for key in keys})  # each once


def test_the_attributes_of_one_of_many_are_read_out_of_its_file_alone(
    volume: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FilesSource(volume[0].parent)
    opened(source)
    ref = only_series(source)
    uids = [str(dcmread(path).SOPInstanceUID) for path in volume]
    monkeypatch.setattr(source_module, "look_through", None)  # the folder is not looked through for each
    volume[1].unlink()
    volume[2].write_bytes(volume[2].read_bytes() + bytes(8))
    (first,) = json.loads(asyncio.run(source.attributes(ref, uids[0])))
    assert first["00080018"]["Value"] == [uids[0]]
    for changed in uids[1:3]:
        with pytest.raises(ChangedFileError):
            asyncio.run(source.attributes(ref, changed))

"""Every kind of source gives the same of a series: documents, attributes and pixels, also through zarr."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import radiology
import slides
import xarray
import zarr
from alike import assert_alike
from buckets import bucket
from coded_frames import BUILDERS as CODED
from coded_frames import coded_frame
from folders import write
from frame_oracles import dataset_of, part10
from pydicom import dcmread
from segmentations import segmented
from serving import forget_servers
from upath import UPath

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import ServedInstance, from_dataset
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.errors import (
    ChangedFileError,
    InvalidURLError,
    MissingFileError,
    TruncatedFileError,
    UnsupportedSeriesError,
    UsageError,
)
from dicomzarr.faces.cli import main
from dicomzarr.faces.dicomweb_server import DICOMwebServer as FolderServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset


STUDY = "1.2.3.4.77"
BUILDERS: dict[str, Callable[[], Any]] = {**slides.BUILDERS, **radiology.BUILDERS}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


def served(dataset: Dataset) -> ServedInstance:
    """An instance of a server that says how it holds it, as files do."""
    plain = from_dataset(dataset)
    syntax = {"00083002": {"vr": "UI", "Value": [plain.transfer_syntax]}}
    metadata = {**plain.metadata(), **syntax}
    return replace(plain, metadata=lambda: metadata)


def compare(datasets: Sequence[Dataset], folder: Path, study: str, series: str, **options: Any) -> None:
    """Open a series from servers and out of a folder."""
    write(folder, datasets)
    here = dicomzarr.open(f"dicomfile://{folder}/studies/{study}/series/{series}", **options)
    for server in (DICOMwebServer(Archive(map(served, datasets))), FolderServer(folder)):
        with server:
            there = dicomzarr.open(server.series_url(study, series), **options)
            assert_alike(there, here, **options)


@pytest.mark.parametrize("name", BUILDERS)
def test_slides_and_radiology(name: str, tmp_path: Path) -> None:
    series = BUILDERS[name]()
    compare(series.datasets, tmp_path, series.study_uid, series.series_uid)


@pytest.mark.parametrize("name", ["modality_lut", "pet", "volume"])
def test_values_in_units(name: str, tmp_path: Path) -> None:
    series = BUILDERS[name]()
    compare(series.datasets, tmp_path, series.study_uid, series.series_uid, values="modality")


def test_segmentations(tmp_path: Path) -> None:
    volume = radiology.BUILDERS["volume"]()
    sources = sorted(volume.datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    masks = np.random.default_rng(1).integers(0, 2, (2, len(sources), 16, 20), np.uint8)
    found = segmented(sources, masks)
    datasets = [*volume.datasets, found.dataset]
    compare(datasets, tmp_path, volume.study_uid, volume.series_uid, labels=True)
    compare(datasets, tmp_path, found.study, found.series)


@pytest.mark.parametrize("uid", CODED)
def test_encodings(uid: str, tmp_path: Path) -> None:
    names = [*CODED[uid]]
    for number, name in enumerate(names[:: max(1, len(names) // 4)]):
        frame, series = coded_frame(uid, name), f"{STUDY}.{number}"
        identity = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series, "SOPInstanceUID": f"{series}.1"}
        dataset = dataset_of(frame.pixel, frame.uid, [frame.data], Modality="OT", **identity)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(part10(dataset))
        here = dicomzarr.open(path).levels[0][...]
        for server in (DICOMwebServer(Archive([from_dataset(dataset)])), FolderServer(path)):
            with server:
                there = dicomzarr.open(server.series_url(STUDY, series)).levels[0][...]
            np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_folder_and_a_bucket_show_the_same(name: str, tmp_path: Path) -> None:
    files = write(tmp_path, BUILDERS[name]().datasets)
    with bucket({f"some prefix/{file.name}": file.read_bytes() for file in files}) as server:
        there = dicomzarr.open("s3://bucket/some prefix/", **server.options)
        assert_alike(dicomzarr.open(tmp_path), there, server.options)


# --- the faces of a folder ---


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    write(tmp_path / "ct", radiology.BUILDERS["volume"]().datasets)
    return tmp_path / "ct"


def test_a_path_opens_wherever_a_url_does(volume: Path) -> None:
    image = dicomzarr.open(volume)
    pixels = image.levels[0][...]
    assert np.array_equal(dicomzarr.open(str(volume)).levels[0][...], pixels)
    assert np.array_equal(dicomzarr.open(image.url).levels[0][...], pixels)
    assert np.array_equal(dicomzarr.open(f"dicomfile://{volume}").levels[0][...], pixels)
    assert dicomzarr.open(volume / "0000.dcm").levels[0].shape == pixels.shape[1:]
    tree = xarray.open_datatree(image.url, engine="dicomzarr", mask_and_scale=False)
    assert np.array_equal(tree["0/image"].values, pixels)
    assert np.array_equal(
        xarray.open_datatree(str(volume), engine="dicomzarr", mask_and_scale=False)["0/image"], pixels
    )
    assert np.array_equal(image.levels[0].to_dask().compute(), pixels)
    assert np.array_equal(pickle.loads(pickle.dumps(image)).levels[0][...], pixels)  # noqa: S301  # our own


def test_the_tree_of_a_folder(volume: Path) -> None:
    image = dicomzarr.open(volume)
    fs, path = fsspec.url_to_fs(image.url)
    study, series = path.split("/")[-3], path.split("/")[-1]
    base = f"dicomfile://{volume}"
    assert fs.ls(f"{base}/studies", detail=False) == [f"{base}/studies/{study}"]
    assert fs.ls(f"{base}/studies/{study}/series", detail=False) == [path]
    assert sorted(fs.ls(path, detail=False)) == [f"{path}/0", f"{path}/zarr.json"]
    assert not fs.exists(f"{base}/studies/{study}/series/9.9")
    assert not fs.exists(f"{base}/studies/9.9")
    again = pickle.loads(pickle.dumps(fs))  # noqa: S301  # our own
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).to_json() == again.to_json() == fs.to_json()
    assert fsspec.utils.tokenize(again) == fsspec.utils.tokenize(fs)
    assert again.cat_file(f"{path}/zarr.json") == fs.cat_file(f"{path}.zarr/zarr.json")
    assert json.loads((UPath(image.url) / "zarr.json").read_text())["node_type"] == "group"
    assert (UPath(image.url) / "0").parent.name == series


def test_the_command_line(volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: object) -> str:
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out

    facts = json.loads(run("info", volume, "--json"))
    assert facts["modality"] == "CT"
    assert facts["server"] == str(volume)
    (row,) = json.loads(run("ls", volume, "--json"))["results"]
    assert row["url"] == facts["url"] == dicomzarr.open(volume).url
    assert row["instances"] == len(list(volume.iterdir()))
    assert "zarr.json" in run("ls", row["url"])
    run("thumbnail", volume, tmp_path / "a.png")
    assert "folder  " in run("info", volume / "0000.dcm")


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("nowhere.dcm", 2, "no file or folder nowhere.dcm, and as a URL it has no scheme"),
        ("/nowhere/at/all", 1, "There is no file or folder /nowhere/at/all"),
        ("{}", 1, "There are no DICOM images in"),
    ],
)
def test_what_the_command_line_says(
    path: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", path.format(tmp_path)]) == code
    found = capsys.readouterr()
    assert found.out == ""
    assert said in found.err


# --- what a person would try ---


def test_several_series_are_listed(volume: Path) -> None:
    write(volume.parent / "pet", radiology.BUILDERS["pet"]().datasets)
    with pytest.raises(UsageError, match="There are 2 series in") as caught:
        dicomzarr.open(volume.parent)
    lines = str(caught.value).splitlines()[1:]
    modalities = set()
    for line in lines:
        url, _, facts = line.strip().partition(" ")
        modalities.add(facts.strip("()").split(",")[0])
        assert dicomzarr.open(url).url == url
    assert modalities == {"CT", "PT"}


def test_nothing_to_open(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    note = tmp_path / "note.txt"
    note.write_text("no image")
    for path in (empty, note):
        with pytest.raises(MissingFileError, match="There are no DICOM images in"):
            dicomzarr.open(path)
    with pytest.raises(MissingFileError, match="There is no file or folder"):
        dicomzarr.open(tmp_path / "missing")
    with pytest.raises(InvalidURLError, match="no file or folder missing/a"):
        dicomzarr.open("missing/a")
    with pytest.raises(MissingFileError, match=r"holds no series 9\.9"):
        dicomzarr.open(f"dicomfile://{tmp_path}/studies/1/series/9.9")


def test_broken_files_among_good_ones_are_said(volume: Path) -> None:
    good = dicomzarr.open(volume).levels[0][...]
    first = (volume / "0000.dcm").read_bytes()
    (volume / "copy.dcm").write_bytes(first)
    (volume / "cut.dcm").write_bytes(first[:500])
    (volume / "loop.dcm").symlink_to(volume / "loop.dcm")
    (volume / "note.txt").write_text("no image")
    fs, path = fsspec.url_to_fs(dicomzarr.open(volume).url)
    fs.invalidate_cache(path)
    image = dicomzarr.open(volume)
    assert np.array_equal(image.levels[0][...], good)
    told = "\n".join(image.notices)
    for name in ("copy.dcm", "cut.dcm", "loop.dcm", "note.txt"):
        assert name in told


def test_a_file_that_is_cut_in_its_pixels_is_an_error_and_no_blank_slice(volume: Path) -> None:
    path = volume / "0001.dcm"
    path.write_bytes(path.read_bytes()[:-50])
    image = dicomzarr.open(volume)
    with pytest.raises(TruncatedFileError, match=r"frame 1 of instance .*, series .*, study "):
        image.levels[0][...]
    with pytest.raises(TruncatedFileError):
        np.asarray(zarr.open_group(image.url, mode="r")["0"])


def test_a_file_that_changes_is_an_error_until_it_is_opened_again(volume: Path) -> None:
    image = dicomzarr.open(volume)
    dataset = dcmread(volume / "0001.dcm")
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(volume / "0001.dcm")
    os.utime(volume / "0001.dcm", ns=(7, 7))
    with pytest.raises(ChangedFileError, match="has changed since it was opened"):
        image.levels[0][...]
    fs, path = fsspec.url_to_fs(image.url)
    fs.invalidate_cache(path)
    assert (dicomzarr.open(volume).levels[0][...] == 0).sum() >= 16 * 20
    with pytest.raises(ChangedFileError):
        image.levels[0][...]


def test_a_series_without_pixels(tmp_path: Path) -> None:
    (dataset,) = radiology.BUILDERS["single_slice"]().datasets
    for keyword in ("PixelData", "Rows", "Columns"):
        del dataset[keyword]
    write(tmp_path, [dataset])
    with pytest.raises(UnsupportedSeriesError):
        dicomzarr.open(tmp_path)

"""Clients of others read a folder's server: the same pixels as of the files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
import oracles
import pydicom
import pytest
import radiology
from dicomweb_client.api import DICOMwebClient
from dicomweb_replies import EXPLICIT, get
from folders import write
from pydicom.encaps import generate_frames
from real_data import FOLDER, real_series
from requests import HTTPError
from segmentations import segmented
from slides import coded_slide
from waiting import SECONDS
from wsidicom import WsiDicom, WsiDicomWebClient  # type: ignore[import-untyped]  # it ships no types

from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.dicomweb_server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom import Dataset

JAVASCRIPT = Path(__file__).parents[1] / "javascript"
REAL = ("ct_explicit_le", "ct_jpegls", "ct_jpeg_lossless", "mr_enhanced_siemens", "mr_small_stack", "slide_cmu1")


@pytest.fixture(scope="module", params=["demo", *REAL])
def folder(request: pytest.FixtureRequest) -> Path:
    """A folder with one series."""
    return demo_files()[0].parent if request.param == "demo" else real_series(request.param)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[DICOMwebServer]:
    with DICOMwebServer(folder) as running:
        yield running


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Dataset]:
    with oracles.lenient_reading():
        return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def frames_of(dataset: Dataset) -> list[bytes]:
    count = int(dataset.get("NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    size = len(dataset.PixelData) // count
    return [dataset.PixelData[size * number : size * (number + 1)] for number in range(count)]


def test_dicomweb_client(server: DICOMwebServer, files: Sequence[Dataset]) -> None:
    client = DICOMwebClient(server.url)
    study, series = files[0].StudyInstanceUID, files[0].SeriesInstanceUID
    (found,) = client.search_for_series(study, search_filters={"SeriesInstanceUID": series})
    assert found["00201209"]["Value"] == [len(files)]
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    assert len(client.search_for_instances(study, series, limit=1)) == 1
    with oracles.lenient_reading(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real files hold odd values
        metadata = {each["00080018"]["Value"][0]: each for each in client.retrieve_series_metadata(study, series)}
        assert set(metadata) == {each.SOPInstanceUID for each in files}
        for dataset in files[:2]:
            uids = (study, series, dataset.SOPInstanceUID)
            read = pydicom.Dataset.from_json(
                metadata[dataset.SOPInstanceUID],
                bulk_data_uri_handler=lambda uri: get(uri, "application/octet-stream").content,
            )
            for element in dataset:
                if element.keyword not in {"PixelData", "AvailableTransferSyntaxUID"} and element.VR != "UN":
                    assert read[element.tag].value == element.value, element.keyword
            stored = frames_of(dataset)
            wanted = sorted({1, len(stored)})
            octets = client.retrieve_instance_frames(*uids, wanted, media_types=(("application/octet-stream", "*"),))
            expected = [stored[number - 1] for number in wanted]
            assert [each.rstrip(b"\0") for each in octets] == [each.rstrip(b"\0") for each in expected]
            whole = client.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
            assert whole == dataset
            decoded = client.retrieve_instance(*uids, media_types=(("application/dicom", EXPLICIT),))
            if pydicom.uid.UID(dataset.file_meta.TransferSyntaxUID) not in LOSSY:
                assert np.array_equal(decoded.pixel_array, dataset.pixel_array)


LOSSY = {pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEG2000}


def test_dicomweb_client_stores(tmp_path: Path) -> None:
    (tmp_path / "stored").mkdir()
    datasets = [pydicom.dcmread(path) for path in write(tmp_path / "sent", radiology.BUILDERS["volume"]().datasets)]
    with DICOMwebServer(tmp_path / "stored", writable=True) as server:
        client = DICOMwebClient(server.url)
        reply = client.store_instances(datasets)
        assert len(reply.ReferencedSOPSequence) == len(datasets)
        assert "FailedSOPSequence" not in reply
        for dataset in datasets:
            uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
            assert client.retrieve_instance(*uids) == dataset
        datasets[0].PixelData = bytes(len(datasets[0].PixelData))
        with pytest.raises(HTTPError, match="409"):
            client.store_instances(datasets[:1])


@pytest.mark.parametrize("name", ["demo", "slide_cmu1", "jpeg_ybr_full_422", "jpeg2000_lossless"])
def test_wsidicom(name: str, tmp_path: Path) -> None:
    if name in {"demo", "slide_cmu1"}:
        folder = demo_files()[0].parent if name == "demo" else real_series(name)
    else:
        write(tmp_path, coded_slide(name).datasets)
        folder = tmp_path
    paths = sorted(folder.glob("*.dcm"))
    uids = pydicom.dcmread(paths[0], stop_before_pixels=True)
    with warnings.catch_warnings(), DICOMwebServer(folder) as server:
        warnings.simplefilter("ignore")  # what others warn of is not our subject
        client = WsiDicomWebClient.create_client(server.url)
        there = WsiDicom.open_web(client, uids.StudyInstanceUID, uids.SeriesInstanceUID)
        with there, WsiDicom.open(paths) as here:
            levels = here.pyramids[0].levels
            assert [level.size for level in there.pyramids[0].levels] == [level.size for level in levels]
            for level in levels:
                shape = (min(level.size.width, 1000), min(level.size.height, 1000))
                regions = [each.read_region((0, 0), level.level, shape, as_array=True) for each in (there, here)]
                assert np.array_equal(*regions)


def test_highdicom_reads_segmentations(tmp_path: Path) -> None:
    """Frames of single bits that begin within bytes, as highdicom reads them from the file."""
    volume = radiology.BUILDERS["volume"]()
    sources = sorted(volume.datasets, key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    masks = np.random.default_rng(1).integers(0, 2, (2, len(sources), 16, 20), np.uint8)
    found = segmented(sources, masks)
    (path,) = write(tmp_path, [found.dataset])
    with DICOMwebServer(tmp_path) as server:
        client = DICOMwebClient(server.url)
        uids = (found.study, found.series, found.dataset.SOPInstanceUID)
        for media_types in (None, (("application/dicom", EXPLICIT),)):
            dataset = client.retrieve_instance(*uids, media_types=media_types)
            there = highdicom.seg.Segmentation.from_dataset(dataset)
            here = highdicom.seg.segread(path)
            sop_uids = [each.SOPInstanceUID for each in sources]
            pixels = [each.get_pixels_by_source_instance(sop_uids) for each in (there, here)]
            assert np.array_equal(*pixels)
        frame = client.retrieve_instance_frames(*uids, [2], media_types=(("application/octet-stream", EXPLICIT),))[0]
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[: 16 * 20]
        assert np.array_equal(bits.reshape(16, 20), here.get_stored_frame(2))


def test_highdicom_reads_slides(tmp_path: Path) -> None:
    path = demo_files()[2]
    here = highdicom.imread(path)
    uids = (STUDY, SERIES, here.SOPInstanceUID)
    with DICOMwebServer(path) as server:
        there = highdicom.Image.from_dataset(DICOMwebClient(server.url).retrieve_instance(*uids))
    assert np.array_equal(there.get_total_pixel_matrix(), here.get_total_pixel_matrix())
    assert list(tmp_path.iterdir()) == []


# --- npm's dicomweb-client, OHIF's and Slim's ---


def by_javascript(url: str, study: str, series: str, *more: str) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None or not (JAVASCRIPT / "node_modules" / "dicomweb-client").is_dir():
        reason = f"node and its packages are absent: run npm install in {JAVASCRIPT}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    done = subprocess.run(  # noqa: S603  # our own script
        [node, str(JAVASCRIPT / "read.mjs"), url, study, series, *more],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def digests(bodies: Sequence[bytes]) -> list[str]:
    return [sha256(body).hexdigest() for body in bodies]


@pytest.mark.slow
def test_javascript(server: DICOMwebServer, folder: Path, files: Sequence[Dataset]) -> None:
    study, series = files[0].StudyInstanceUID, files[0].SeriesInstanceUID
    found = by_javascript(server.url, study, series)
    assert (found["studies"], found["none"]) == (1, 0)
    assert found["series"] == [series]
    assert found["instances"] == min(2, len(files))
    assert found["uids"] == [each.SOPInstanceUID for each in files]
    first = files[0]
    assert found["alone"] == [first.SOPInstanceUID]
    stored = frames_of(first)
    url = f"{server.series_url(study, series, 'http')}/instances/{first.SOPInstanceUID}"
    assert found["stored"] == first.file_meta.TransferSyntaxUID
    if first.file_meta.TransferSyntaxUID.is_encapsulated:
        assert found["frames"] == digests([stored[number - 1] for number in found["frameNumbers"]])
    native = [get(f"{url}/frames/{number}", "application/octet-stream").content for number in found["frameNumbers"]]
    assert found["native"] == digests(native)
    if first.file_meta.TransferSyntaxUID == EXPLICIT:
        assert found["frames"] == found["native"] == digests([stored[number - 1] for number in found["frameNumbers"]])
        assert found["bulk"] == digests([first.PixelData])
    if first.file_meta.TransferSyntaxUID in {EXPLICIT, *LOSSY}:
        assert found["whole"] == sha256(min(folder.glob("*.dcm")).read_bytes()).hexdigest()
    assert len(found["all"]) == len(files)
    assert found["rendered"] > 100
    assert found["frame"] > 100


def test_javascript_stores(tmp_path: Path) -> None:
    (tmp_path / "stored").mkdir()
    (path,) = write(tmp_path / "sent", radiology.BUILDERS["single_slice"]().datasets)
    shutil.copy(demo_files()[0], tmp_path / "stored")
    with DICOMwebServer(tmp_path / "stored", writable=True) as server:
        by_javascript(server.url, STUDY, SERIES, str(path))
    (stored,) = (each for each in (tmp_path / "stored").rglob("*.dcm") if each.parent != tmp_path / "stored")
    assert stored.read_bytes() == path.read_bytes()
    assert tmp_path != FOLDER

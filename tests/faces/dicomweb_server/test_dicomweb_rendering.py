"""Pictures of frames, instances, series and studies (PS3.18 section 10.4.1.1.3), compared with what pydicom shows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
import slides
from coded_frames import BUILDERS as CODED
from coded_frames import coded_frame
from dicomweb_replies import get
from folders import write
from frame_oracles import dataset_of, part10
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import SecondaryCaptureImageStorage, XRayAngiographicImageStorage

from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.dicom import uids
from dicomzarr.faces.dicomweb_server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    Picture = npt.NDArray[np.uint8]


def picture(url: str, accept: str = "image/png") -> Picture:
    reply = get(url, accept)
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == accept
    return np.asarray(Image.open(io.BytesIO(reply.content)))


def stretched(values: Any, low: float, high: float) -> Picture:
    scaled: Picture = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return scaled


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pydicom's own files; each in a series of its own."""
    folder = tmp_path_factory.mktemp("rendered")
    for name in ("CT_small.dcm", "examples_palette.dcm", "examples_rgb_color.dcm", "rtdose.dcm", "MR_small_RLE.dcm"):
        path = get_testdata_file(name, download=False)
        assert isinstance(path, str)
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / name)
    return folder


@pytest.fixture(scope="module")
def server(files: Path) -> Iterator[DICOMwebServer]:
    with DICOMwebServer(files) as running:
        yield running


def opened(server: DICOMwebServer, files: Path, name: str) -> tuple[pydicom.Dataset, str]:
    dataset = pydicom.dcmread(files / name)
    series = server.series_url(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, "http")
    return dataset, f"{series}/instances/{dataset.SOPInstanceUID}"


def test_a_window_that_is_asked_for(server: DICOMwebServer, files: Path) -> None:
    dataset, url = opened(server, files, "CT_small.dcm")
    values = apply_modality_lut(dataset.pixel_array, dataset)
    for function, name in (("linear", "LINEAR"), ("linear-exact", "LINEAR_EXACT"), ("sigmoid", "SIGMOID")):
        dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 40, 400, name
        shown = apply_windowing(values, dataset)
        low, high = (-1024.0, 64511.0)  # the range that pydicom stretches to
        expected = np.rint((shown - shown.min()) / (shown.max() - shown.min()) * 255) if name != "SIGMOID" else None
        found = picture(f"{url}/frames/1/rendered?window=40,400,{function}")
        if expected is None:
            expected = np.rint(255 / (1 + np.exp(-4 * (values - 40) / 400)))
        assert np.abs(found - expected.astype(float)).max() <= 1, (low, high)


def test_the_window_of_the_header(tmp_path: Path, files: Path) -> None:
    dataset = pydicom.dcmread(files / "CT_small.dcm")
    dataset.WindowCenter, dataset.WindowWidth = [100, 1], [300, 2]
    dataset.save_as(tmp_path / "a.dcm")
    with DICOMwebServer(tmp_path) as server:
        _, url = opened(server, files, "CT_small.dcm")
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        expected = np.rint((values - values.min()) / (values.max() - values.min()) * 255)
        assert np.abs(picture(f"{url}/rendered") - expected).max() <= 1
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.save_as(tmp_path / "a.dcm")
        assert np.abs(255.0 - picture(f"{url}/rendered") - expected).max() <= 1


def test_a_table_that_leads_to_x_ray_intensities_is_not_drawn(tmp_path: Path, files: Path) -> None:
    """PS3.3 section C.8.7.1.1.2."""
    dataset = pydicom.dcmread(files / "CT_small.dcm")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    dataset.PixelIntensityRelationship, dataset.RescaleIntercept = "LOG", 0
    dataset.WindowCenter, dataset.WindowWidth = 1000, 1000
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "OW", np.arange(4095, -1, -1, np.uint16).tobytes())
    dataset.ModalityLUTSequence = [item]
    dataset.save_as(tmp_path / "a.dcm")
    with DICOMwebServer(tmp_path) as server:
        _, url = opened(server, files, "CT_small.dcm")
        expected = stretched(dataset.pixel_array.astype(float), 500, 1499)
        assert np.abs(picture(f"{url}/rendered") - expected).max() <= 1


def test_a_voi_lut_says_which_values_are_seen_where_no_window_does(tmp_path: Path, files: Path) -> None:
    """PS3.3 section C.11.2.1.1."""
    dataset = pydicom.dcmread(files / "CT_small.dcm")
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "SS", [256, -100, 16])
    item.add_new("LUTData", "OW", (np.arange(256, dtype=np.uint16) * 257).tobytes())
    dataset.VOILUTSequence = [item]
    dataset.save_as(tmp_path / "a.dcm")
    with DICOMwebServer(tmp_path) as server:
        _, url = opened(server, files, "CT_small.dcm")
        values = apply_modality_lut(dataset.pixel_array, dataset).astype(np.int64)
        expected = apply_voi_lut(values, dataset) // 257
        assert np.array_equal(picture(f"{url}/rendered"), expected)


def test_without_a_window_all_values_are_shown(server: DICOMwebServer, files: Path) -> None:
    dataset, url = opened(server, files, "CT_small.dcm")
    values = dataset.pixel_array.astype(float)
    assert np.array_equal(picture(f"{url}/rendered"), stretched(values, values.min(), values.max()))


@pytest.mark.parametrize("bits", [1, 8])
def test_bytes_and_bits_are_shown_as_they_are_without_a_window(bits: int, tmp_path: Path, files: Path) -> None:
    dataset = pydicom.dcmread(files / "CT_small.dcm")
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelPaddingValue
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    values = np.ones((128, 128), np.uint8) if bits == 1 else np.linspace(100, 140, 128 * 128).astype(np.uint8)
    dataset.PixelData = (np.packbits(values, bitorder="little") if bits == 1 else values).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "a.dcm")
    with DICOMwebServer(tmp_path) as server:
        _, url = opened(server, files, "CT_small.dcm")
        expected = values.reshape(128, 128) * (255 if bits == 1 else 1)
        assert np.array_equal(picture(f"{url}/rendered"), expected)


def test_colour_and_palettes(server: DICOMwebServer, files: Path) -> None:
    dataset, url = opened(server, files, "examples_rgb_color.dcm")
    assert np.array_equal(picture(f"{url}/rendered"), dataset.pixel_array)
    dataset, url = opened(server, files, "examples_palette.dcm")
    expected = apply_color_lut(dataset.pixel_array, dataset) >> 8
    assert np.abs(picture(f"{url}/rendered") - expected.astype(float)).max() <= 1


def test_jpeg_and_its_quality(server: DICOMwebServer, files: Path) -> None:
    dataset, url = opened(server, files, "examples_rgb_color.dcm")
    sizes = []
    for quality in (95, 20):
        found = picture(f"{url}/rendered?quality={quality}", "image/jpeg")
        assert np.abs(found - dataset.pixel_array.astype(float)).mean() < 8
        sizes.append(len(get(f"{url}/rendered?quality={quality}", "image/jpeg").content))
    assert sizes[0] > 2 * sizes[1]
    assert get(f"{url}/rendered").headers["Content-Type"] == "image/jpeg"
    assert get(f"{url}/rendered?accept=image/png", "*/*").headers["Content-Type"] == "image/png"
    for accept in ("image/gif", "text/html", "video/mp4"):
        assert get(f"{url}/rendered", accept).status_code == 406


def test_viewports(server: DICOMwebServer, files: Path) -> None:
    dataset, url = opened(server, files, "examples_rgb_color.dcm")
    pixels = dataset.pixel_array
    rows, columns = pixels.shape[:2]
    assert picture(f"{url}/rendered?viewport=100,100").shape == (round(rows * 100 / columns), 100, 3)
    for what in ("rendered", "thumbnail"):
        for media_type in ("image/png", "image/jpeg"):
            assert picture(f"{url}/{what}?viewport=1,1", media_type).shape == (1, 1, 3)
    part = picture(f"{url}/rendered?viewport=20,10,30,40,20,10")
    assert np.array_equal(part, pixels[40:50, 30:50])
    assert np.array_equal(picture(f"{url}/rendered?viewport=40,20,30,40,20,10"), part.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(picture(f"{url}/rendered?viewport=20,10,30,40,-20,10"), part[:, ::-1])
    assert np.array_equal(picture(f"{url}/rendered?viewport=20,10,30,40,20,-10"), part[::-1])
    half = picture(f"{url}/rendered?viewport=10,5,30,40,20,10").astype(float)
    assert np.abs(half - part.astype(float).reshape(5, 2, 10, 2, 3).mean(axis=(1, 3))).max() <= 0.5
    assert picture(f"{url}/rendered?viewport=5,5,,,99999,99999").shape[1] == 5


@pytest.mark.parametrize(
    "query",
    [
        *(
            "viewport=1",
            "viewport=0,5",
            "viewport=a,b",
            "viewport=9999,9999",
            "viewport=5,5,1",
            "viewport=5,5,nan,0,0,0",
        ),
        *("window=1", "window=1,0", "window=1,2,cubic", "window=a,b", "window=nan,1", "quality=0", "quality=101"),
        *("quality=x", "viewport=5,5,1e9,0,0,0", "viewport=inf,5"),
    ],
)
def test_pictures_that_mean_nothing(server: DICOMwebServer, files: Path, query: str) -> None:
    _, url = opened(server, files, "CT_small.dcm")
    assert get(f"{url}/rendered?{query}").status_code == 400


def test_frames_and_those_in_the_middle(server: DICOMwebServer, files: Path) -> None:
    dataset, url = opened(server, files, "rtdose.dcm")
    pixels = dataset.pixel_array.astype(float)
    for number in (1, 15):
        values = pixels[number - 1]
        assert np.array_equal(picture(f"{url}/frames/{number}/rendered"), stretched(values, values.min(), values.max()))
    middle = picture(f"{url}/frames/{(len(pixels) + 1) // 2}/rendered")
    for other in (url, url.partition("/instances")[0]):
        assert np.array_equal(picture(f"{other}/rendered"), middle)
    assert get(f"{url}/frames/16/rendered").status_code == 404
    assert get(f"{url}/frames/0/rendered").status_code == 400
    assert get(f"{url}/frames/1,2/rendered").status_code == 400


@pytest.mark.parametrize("uid", [uids.RLE_LOSSLESS, uids.HTJ2K_LOSSLESS, uids.JPEG_LS_LOSSLESS, uids.JPEG_2000])
def test_every_kind_of_frame_makes_a_picture(uid: str, tmp_path: Path) -> None:
    datasets = []
    for number, name in enumerate(CODED[uid]):
        frame = coded_frame(uid, name)
        dataset = dataset_of(frame.pixel, uid, [frame.data], SeriesInstanceUID=f"1.2.{number}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}.1"
        (tmp_path / f"{number}.dcm").write_bytes(part10(dataset))
        datasets.append((frame, dataset))
    with DICOMwebServer(tmp_path) as server:
        for frame, dataset in datasets:
            url = server.series_url(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, "http")
            found = picture(f"{url}/instances/{dataset.SOPInstanceUID}/rendered")
            assert found.shape[:2] == (frame.pixel.rows, frame.pixel.columns)
            assert len(np.unique(found)) > 1


def test_slides_are_shown_as_a_whole_and_never_by_their_label(tmp_path: Path) -> None:
    slide = slides.brightfield_pyramid()
    write(tmp_path, slide.datasets)
    with DICOMwebServer(tmp_path) as server:
        series = server.series_url(slide.study_uid, slide.series_uid, "http")
        thumbnail = picture(f"{series}/thumbnail")
        for dataset in slide.datasets:
            url = f"{series}/instances/{dataset.SOPInstanceUID}"
            if "LABEL" in dataset.ImageType:
                assert not np.array_equal(picture(f"{url}/rendered"), thumbnail)
        (largest,) = [each for each in slide.datasets if each.get("TotalPixelMatrixColumns") == 257]
        whole = picture(f"{series}/instances/{largest.SOPInstanceUID}/rendered")
        expected = slide.images[0].levels[0].pixels[:, 0].transpose(1, 2, 0)
        assert whole.shape == expected.shape
        assert np.abs(whole - expected.astype(float)).max() <= slide.tolerance


def test_a_part_of_a_concatenation_is_shown_with_the_others(tmp_path: Path) -> None:
    slide = slides.concatenation()
    write(tmp_path, slide.datasets)
    expected = slide.images[0].levels[0].pixels[:, 0].transpose(1, 2, 0)
    with DICOMwebServer(tmp_path) as server:
        series = server.series_url(slide.study_uid, slide.series_uid, "http")
        parts = [f"{series}/instances/{dataset.SOPInstanceUID}" for dataset in slide.datasets]
        for url in (series, *parts):
            whole = picture(f"{url}/rendered")
            assert whole.shape == expected.shape
            assert np.abs(whole - expected.astype(float)).max() <= slide.tolerance


@pytest.mark.parametrize(("viewport", "columns"), [("", 257), ("300,300", 300), ("90,90", 90), ("20,20", 20)])
def test_a_picture_of_a_slide_is_made_of_the_level_that_fills_it(viewport: str, columns: int, tmp_path: Path) -> None:
    """Levels are 257, 132, 66 and 37 pixels wide, beside a picture of the whole glass and a label."""
    slide = slides.brightfield_pyramid()
    write(tmp_path, slide.datasets)
    query = f"?viewport={viewport}" if viewport else ""
    with DICOMwebServer(tmp_path) as server:
        series = server.series_url(slide.study_uid, slide.series_uid, "http")
        found = picture(f"{series}/rendered{query}")
        assert found.shape[1] == columns
        assert abs(found.shape[0] - columns * 200 / 257) <= 2
        expected = slide.images[0].levels[0].pixels[:, 0].transpose(1, 2, 0)
        assert np.abs(found.mean((0, 1)) - expected.mean((0, 1))).max() < 12


def test_thumbnails_are_small(tmp_path: Path) -> None:
    with DICOMwebServer(demo_files()[0].parent) as server:
        series = server.series_url(STUDY, SERIES, "http")
        study = series.partition("/series")[0]
        for url in (series, study):
            found = picture(f"{url}/thumbnail")
            assert max(found.shape[:2]) <= 256
            assert found.std() > 10
        assert max(picture(f"{series}/thumbnail?viewport=64,64").shape[:2]) == 64
    assert list(tmp_path.iterdir()) == []

"""What a folder's server gives by UIDs: negotiation, metadata, frames, bulk data and whole instances."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
import requests
from coded_frames import BUILDERS as CODED
from coded_frames import coded_frame
from dicomweb_replies import ANY_DICOM, ANY_FRAMES, EXPLICIT, get, split
from frame_oracles import dataset_of, part10
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from waiting import SECONDS

from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.dicom import uids
from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.faces.dicomweb_server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

JPEG = uids.JPEG_BASELINE
MULTIPART, OCTETS = "multipart/related", "application/octet-stream"
STORED, NATIVE = f"image/jpeg; transfer-syntax={JPEG}", f"application/octet-stream; transfer-syntax={EXPLICIT}"
ONE, MANY = "one body", "parts"


def test_file(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


test_file.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would collect


@pytest.fixture(scope="module")
def server() -> Iterator[DICOMwebServer]:
    with DICOMwebServer(demo_files()[0].parent) as running:
        yield running


@pytest.fixture(scope="module")
def level0() -> pydicom.Dataset:
    return pydicom.dcmread(demo_files()[0])


@pytest.fixture(scope="module")
def stored_frames(level0: pydicom.Dataset) -> list[bytes]:
    return list(generate_frames(level0.PixelData, number_of_frames=int(level0.NumberOfFrames)))


@pytest.fixture(scope="module")
def instance(server: DICOMwebServer, level0: pydicom.Dataset) -> str:
    return f"{server.series_url(STUDY, SERIES, 'http')}/instances/{level0.SOPInstanceUID}"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, (MANY, STORED)),
        ("*/*", (MANY, STORED)),
        ("multipart/related", (MANY, STORED)),
        ("multipart/*", (MANY, STORED)),
        (f'{MULTIPART}; type="*/*"', (MANY, STORED)),
        (f"{MULTIPART}; transfer-syntax=*", (MANY, STORED)),
        (ANY_FRAMES, (MANY, STORED)),
        (f"{MULTIPART}; type={OCTETS}; transfer-syntax=*", (MANY, STORED)),
        (f'{ANY_FRAMES}, {MULTIPART}; type="image/jpeg"; transfer-syntax={JPEG}', (MANY, STORED)),
        (f'{ANY_FRAMES};q=0.9, {MULTIPART}; type="image/jpeg"; transfer-syntax={JPEG};q=0.1', (MANY, NATIVE)),
        (f'{MULTIPART}; type="image/jpeg"', (MANY, STORED)),
        (f'{MULTIPART}; type="image/*"', (MANY, STORED)),
        (f'{MULTIPART}; type="IMAGE/JPEG"; transfer-syntax={JPEG}', (MANY, STORED)),
        (f'{MULTIPART}; type="image/jpeg; transfer-syntax={JPEG}"', (MANY, STORED)),
        (f'{MULTIPART}; type="image/jpeg"; transfer-syntax={uids.JPEG_LOSSLESS_FIRST_ORDER}', None),
        (f'{MULTIPART}; type="image/jp2"', None),
        (f'{MULTIPART}; type="image/jls"; transfer-syntax=*', None),
        (f'{MULTIPART}; type="{OCTETS}"', (MANY, NATIVE)),
        (f'{MULTIPART}; type="{OCTETS}"; transfer-syntax={EXPLICIT}', (MANY, NATIVE)),
        (f'{MULTIPART}; type="{OCTETS}"; transfer-syntax={uids.IMPLICIT_VR_LITTLE_ENDIAN}', None),
        (f'{MULTIPART}; type="{OCTETS}"; transfer-syntax={uids.EXPLICIT_VR_BIG_ENDIAN}', None),
        ("image/jpeg", (ONE, STORED)),
        ("image/*", (ONE, STORED)),
        (f"image/jpeg; transfer-syntax={JPEG}", (ONE, STORED)),
        (OCTETS, (ONE, NATIVE)),
        (f"{OCTETS}; transfer-syntax=*", (ONE, STORED)),
        ("image/jp2, image/jpeg;q=0.1", (ONE, STORED)),
        (f'image/jpeg;q=0.5, {MULTIPART}; type="{OCTETS}";q=0.9', (MANY, NATIVE)),
        (f'{MULTIPART}; type="image/jp2", {MULTIPART}; type="{OCTETS}"; transfer-syntax={EXPLICIT}', (MANY, NATIVE)),
        (f"{OCTETS};q=0, */*", (MANY, STORED)),
        ("image/jpeg;q=0, */*", (MANY, NATIVE)),
        ("*/*, image/jpeg;q=0.000", (MANY, NATIVE)),
        ("image/*;q=0, */*", (MANY, NATIVE)),
        ("image/*;q=0, image/jpeg", (ONE, STORED)),
        ("*/*;q=0, image/jpeg;q=0.1", (ONE, STORED)),
        ("*/*;q=0", None),
        (f"image/jpeg;q=0, {OCTETS};q=0, */*", None),
        ("image/jpeg;q=nan, */*", (MANY, NATIVE)),
        (f'{MULTIPART}; type="image/jpeg";q=0, {MULTIPART}', (MANY, NATIVE)),
        (f'{MULTIPART}; type="image/jpeg";q=0.1, {MULTIPART};q=0.5', (MANY, NATIVE)),
        (f"{MULTIPART};q=0, */*", (ONE, STORED)),
        (f"image/jpeg; transfer-syntax={JPEG};q=0, image/jpeg", None),
        ("image/jpeg;q=0", None),
        ("image/jpeg;q=x", None),
        ("text/html", None),
        ("application/dicom", None),
        ("application/dicom+json", None),
        (",;=", None),
        ('"', None),
    ],
)
def test_what_is_accepted_is_what_comes(
    instance: str, stored_frames: list[bytes], accept: str | None, given: tuple[str, str] | None
) -> None:
    reply = get(f"{instance}/frames/2", accept)
    if given is None:
        assert reply.status_code == 406
        assert STORED in reply.text
        assert NATIVE in reply.text
        return
    packaging, kind = given
    assert reply.status_code == 200
    if packaging == MANY:
        assert f'type="{kind.partition(";")[0]}"' in reply.headers["Content-Type"]
        ((headers, data),) = split(reply)
        assert headers["Content-Location"] == f"{instance}/frames/2"
    else:
        headers, data = dict(reply.headers), reply.content
    assert headers["Content-Type"] == kind
    assert data == stored_frames[1] if kind == STORED else len(data) == 256 * 256 * 3


def test_what_is_accepted_may_stand_in_the_query(instance: str, stored_frames: list[bytes]) -> None:
    assert get(f"{instance}/frames/1?accept=image/jpeg", "text/html").content == stored_frames[0]


def test_several_frames_come_in_parts_or_not_at_all(instance: str, stored_frames: list[bytes]) -> None:
    parts = split(get(f"{instance}/frames/3,1,1", ANY_FRAMES))
    assert [data for _, data in parts] == [stored_frames[2], stored_frames[0], stored_frames[0]]
    assert [head["Content-Location"].rpartition("/")[2] for head, _ in parts] == ["3", "1", "1"]
    assert get(f"{instance}/frames/1%2C2", ANY_FRAMES).status_code == 200
    assert get(f"{instance}/frames/1,2", "image/jpeg").status_code == 406


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        *((text, 400) for text in ("0", "-1", "x", "1,,2", "1,", "²", "1" * 30, "1.0")),
        *((text, 404) for text in ("43", "1,43", "4294967295")),
    ],
)
def test_frames_that_are_none(instance: str, numbers: str, status: int) -> None:
    assert get(f"{instance}/frames/{numbers}").status_code == status


@pytest.mark.parametrize("path", ["/studies/1.2", "/studies/1/series/2/metadata", "/x", "/studies/%2e%2e/metadata"])
def test_what_is_not_there(server: DICOMwebServer, path: str) -> None:
    assert requests.get(server.url + path, timeout=SECONDS).status_code == 404


def test_pixels_of_an_instance_without_any(tmp_path: Path) -> None:
    dataset = dataset_of(coded_frame(EXPLICIT, next(iter(CODED[EXPLICIT]))).pixel, EXPLICIT, [b""])
    for keyword in ("Rows", "Columns", "PixelData"):
        del dataset[keyword]
    (tmp_path / "a.dcm").write_bytes(part10(dataset))
    with DICOMwebServer(tmp_path) as server:
        url = f"{server.series_url(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, 'http')}/instances"
        url = f"{url}/{dataset.SOPInstanceUID}"
        for path in ("frames/1", "pixeldata", "bulkdata/7FE00010", "rendered", "thumbnail", "bulkdata/00281201"):
            assert get(f"{url}/{path}").status_code == 404
        assert "7FE00010" not in get(f"{url}/metadata").json()[0]
        assert pydicom.dcmread(io.BytesIO(get(url, "application/dicom").content)) == dataset


# --- decoding ---


def as_pydicom_shows(dataset: pydicom.Dataset) -> np.ndarray[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames are odd on purpose
        return dataset.pixel_array


@pytest.mark.parametrize("uid", CODED)
def test_frames_are_decoded_when_native_pixels_are_asked_for(uid: str, tmp_path: Path) -> None:
    """The cells are what the metadata say; pydicom reads them with the header of the file that is sent whole."""
    for number, name in enumerate(CODED[uid]):
        frame = coded_frame(uid, name)
        dataset = dataset_of(frame.pixel, uid, [frame.data], SeriesInstanceUID=f"1.2.{number}")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}.1"
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(part10(dataset))
        with DICOMwebServer(path) as server:
            url = f"{server.series_url(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, 'http')}/instances"
            url = f"{url}/{dataset.SOPInstanceUID}"
            native = get(f"{url}/frames/1", "application/octet-stream")
            body = get(url, f"application/dicom; transfer-syntax={EXPLICIT}").content
            stored = get(url, "application/dicom; transfer-syntax=*").content
        assert native.headers["Content-Type"] == NATIVE
        assert stored == path.read_bytes()
        whole = pydicom.dcmread(io.BytesIO(body))
        assert whole.file_meta.TransferSyntaxUID == EXPLICIT
        value = next(whole[name].value for name in PIXELS if name in whole)
        assert value[: len(native.content)] == native.content
        if frame.pixel.samples == 3 and not is_native(uid) and whole.PhotometricInterpretation == "RGB":
            found = as_pydicom_shows(whole).transpose(2, 0, 1)
        elif frame.pixel.samples == 3:
            continue  # cells as they were stored, which the oracle of files has compared
        elif name == "shifted":  # whose upper bits pydicom takes away
            found = (np.frombuffer(value, "<u2") >> 4).reshape(frame.source.shape)
        else:
            found = as_pydicom_shows(whole)[np.newaxis]
        difference = np.abs(found.astype(np.float64) - frame.source)
        assert np.nan_to_num(difference).max() <= frame.loss, name


PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@pytest.mark.parametrize(
    "name",
    [
        *("CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "image_dfl.dcm", "rtdose.dcm"),
        *("liver_1frame.dcm", "liver_expb_1frame.dcm", "MR_small_RLE.dcm", "SC_rgb_rle_2frame.dcm"),
        *("MR_small_jp2klossless.dcm", "SC_rgb_small_odd_big_endian.dcm", "examples_palette.dcm", "rtdose_rle.dcm"),
        *("SC_rgb_rle_16bit_2frame.dcm", "SC_ybr_full_422_uncompressed.dcm", "rtdose_expb.dcm", "reportsi.dcm"),
    ],
)
def test_whole_files_in_explicit_little_endian(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(test_file(name).read_bytes())
    with DICOMwebServer(path) as server:
        (found,) = get(f"{server.url}/instances").json()
        url = found["00081190"]["Value"][0]
        body = get(url, f"application/dicom; transfer-syntax={EXPLICIT}").content
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are odd on purpose
        whole, original = pydicom.dcmread(io.BytesIO(body)), pydicom.dcmread(path)
        assert whole.file_meta.TransferSyntaxUID == EXPLICIT
        if "PixelData" in original:
            assert np.array_equal(whole.pixel_array, original.pixel_array)
        changed = {"PixelData", "PhotometricInterpretation", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"}
        for element in original:
            if element.keyword not in changed and element.tag.group < 0x7FE0:
                assert whole[element.tag].value == element.value, element.keyword


# --- metadata and bulk data ---


def test_metadata_of_each_level(server: DICOMwebServer, instance: str, level0: pydicom.Dataset) -> None:
    series, study = instance.partition("/instances")[0], instance.partition("/series")[0]
    assert [len(get(f"{url}/metadata").json()) for url in (study, series, instance)] == [5, 5, 1]
    (found,) = get(f"{instance}/metadata").json()
    uri = found.pop("7FE00010")["BulkDataURI"]
    assert uri == f"{instance}/bulkdata/7FE00010"
    assert found.pop("00083002")["Value"] == [JPEG]
    read = pydicom.Dataset.from_json(found, bulk_data_uri_handler=lambda uri: get(uri, OCTETS).content)
    assert read == pydicom.Dataset({e.tag: e for e in level0 if e.keyword != "PixelData"})
    assert server.url in uri


def test_metadata_are_json_gzipped_and_not_sent_again(instance: str) -> None:
    url = f"{instance}/metadata"
    plain, zipped = get(url, **{"Accept-Encoding": "identity"}), get(url)
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.content == plain.content
    assert plain.headers["Content-Type"] == "application/dicom+json"
    assert get(url, "application/json").headers["Content-Type"] == "application/json"
    assert get(url, "application/dicom+json;q=0, */*").headers["Content-Type"] == "application/json"
    assert get(url, "application/json;q=0, */*").headers["Content-Type"] == "application/dicom+json"
    assert get(url, "application/json;q=0, application/dicom+json;q=0, */*").status_code == 406
    assert get(url, 'multipart/related; type="application/dicom+xml"').status_code == 406
    again = get(url, **{"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Vary"] == plain.headers["Vary"]
    assert requests.head(url, timeout=SECONDS).status_code == 200


def test_metadata_are_not_sent_again_by_weak_comparison(instance: str) -> None:
    url = f"{instance}/metadata"
    weak = get(url).headers["ETag"]
    assert weak.startswith('W/"')
    for known in (weak, weak.removeprefix("W/"), f'"x", {weak}', "*"):
        assert get(url, **{"If-None-Match": known}).status_code == 304
    for unknown in ('"x"', weak[:-2] + '"', weak.strip('W/"'), f'"{weak.strip(chr(34))}', ""):
        assert get(url, **{"If-None-Match": unknown}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("deflate, GZIP ;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip, identity", True),
        ("gzip;q=0, identity", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.1, identity", False),
        ("gzip;q=nonsense", False),
        ("gzipped", False),
        ("identity", False),
        ("", False),
    ],
)
def test_metadata_are_gzipped_where_that_is_accepted(instance: str, accepted: str, *, zipped: bool) -> None:
    reply = get(f"{instance}/metadata", **{"Accept-Encoding": accepted})
    assert (reply.headers.get("Content-Encoding") == "gzip") is zipped
    assert len(reply.json()) == 1


def test_long_values_are_bulk_data(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(test_file("examples_palette.dcm").read_bytes())
    dataset = pydicom.dcmread(path)
    with DICOMwebServer(path) as server:
        (found,) = get(f"{server.url}/instances").json()
        url = found["00081190"]["Value"][0]
        (metadata,) = get(f"{url}/metadata").json()
        for tag, keyword in (("00281201", "Red"), ("00281202", "Green"), ("00281203", "Blue")):
            value = dataset[f"{keyword}PaletteColorLookupTableData"].value
            if "BulkDataURI" in metadata[tag]:
                uri = metadata[tag]["BulkDataURI"]
                assert get(uri, OCTETS).content == value
                ((head, data),) = split(get(uri))
                assert (data, head["Content-Location"]) == (value, uri)
        pixels = metadata["7FE00010"]["BulkDataURI"]
        assert get(pixels, OCTETS).content == dataset.PixelData
        for tag in ("00100010/0/x", "00280010", "00200013", "00080016"):  # numbers and texts are no bulk data
            assert get(f"{url}/bulkdata/{tag}", OCTETS).status_code == 404
        assert get(pixels, "image/png").status_code == 406


# --- whole instances ---


def test_instances_of_a_series_and_study(server: DICOMwebServer, instance: str) -> None:
    series, study = instance.partition("/instances")[0], instance.partition("/series")[0]
    files = {path.read_bytes() for path in demo_files()}
    for url in (series, study):
        reply = get(url, ANY_DICOM)
        parts = split(reply)
        assert int(reply.headers["Content-Length"]) == len(reply.content)
        assert {data for _, data in parts} == files
        kinds = sorted(head["Content-Type"].rpartition("=")[2] for head, _ in parts)
        assert kinds == [EXPLICIT, *[JPEG] * 4]
    assert get(series, "application/dicom").status_code == 406
    assert get(instance, "application/dicom").content == demo_files()[0].read_bytes()
    assert get(instance, f"application/dicom; transfer-syntax={uids.JPEG_2000}").status_code == 406
    assert server.url in instance


def test_lossless_files_are_decoded_unless_their_own_syntax_is_asked_for(tmp_path: Path) -> None:
    """PS3.18 section 8.7.3.5: Explicit VR Little Endian is the default, of what is not lossy."""
    path = tmp_path / "a.dcm"
    path.write_bytes(test_file("MR_small_RLE.dcm").read_bytes())
    with DICOMwebServer(path) as server:
        (found,) = get(f"{server.url}/instances").json()
        url = found["00081190"]["Value"][0]
        for accept in ('multipart/related; type="application/dicom"', None, "*/*"):
            ((head, _),) = split(get(url, accept))
            assert head["Content-Type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
        for accept in (ANY_DICOM, ANY_DICOM.replace("*", uids.RLE_LOSSLESS)):
            ((head, data),) = split(get(url, accept))
            assert data == path.read_bytes()


def test_a_data_set_without_file_meta_information_is_sent_as_a_part_10_file(tmp_path: Path) -> None:
    whole = test_file("MR_small_implicit.dcm").read_bytes()
    meta = read_file_meta(memoryview(whole))
    (tmp_path / "bare").write_bytes(whole[meta.end :])
    with DICOMwebServer(tmp_path) as server:
        (found,) = get(f"{server.url}/instances").json()
        reply = get(found["00081190"]["Value"][0], "application/dicom; transfer-syntax=*")
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    sent = pydicom.dcmread(io.BytesIO(reply.content))
    assert sent.file_meta.TransferSyntaxUID == meta.transfer_syntax_uid
    assert sent.file_meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID
    assert np.array_equal(sent.pixel_array, pydicom.dcmread(io.BytesIO(whole)).pixel_array)


# --- files that change or break ---


def test_a_file_that_was_replaced_is_served_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(test_file("CT_small.dcm").read_bytes())
    with DICOMwebServer(tmp_path, max_age=10**6) as server:
        (found,) = get(f"{server.url}/instances").json()
        url = found["00081190"]["Value"][0]
        before = get(f"{url}/frames/1", OCTETS).content
        dataset = pydicom.dcmread(path)
        dataset.PixelData = bytes(len(dataset.PixelData))
        dataset.add_new(0x00204000, "LT", "another size")
        dataset.save_as(path)
        assert set(before) != {0}
        assert set(get(f"{url}/frames/1", OCTETS).content) == {0}
        path.unlink()
        assert get(f"{url}/frames/1", OCTETS).status_code == 404


def test_a_broken_file_is_an_error_that_tells_no_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(test_file("CT_small.dcm").read_bytes()[:-5000])
    with DICOMwebServer(tmp_path) as server:
        (found,) = get(f"{server.url}/instances").json()
        reply = get(f"{found['00081190']['Value'][0]}/frames/1")
    assert reply.status_code == 500
    assert str(tmp_path) not in reply.text
    assert "frames/1" in caplog.text


def test_a_reply_is_cut_off_where_a_later_frame_is_broken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A body without its end: no client takes it for the whole."""
    frame = np.random.default_rng(1).bytes(400_000)
    broken = np.random.default_rng(2).bytes(1000)
    pixel = coded_frame(JPEG, next(iter(CODED[JPEG]))).pixel
    path = tmp_path / "a.dcm"
    path.write_bytes(part10(dataset_of(pixel, JPEG, [frame, frame, broken, frame])))
    body = path.read_bytes()
    at = body.index(broken) - 8
    path.write_bytes(body[:at] + b"\0\0\0\0" + body[at + 4 :])
    with DICOMwebServer(tmp_path) as server:
        (found,) = get(f"{server.url}/instances").json()
        url = found["00081190"]["Value"][0]
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(f"{url}/frames/1,2,3", ANY_FRAMES)
        assert split(get(f"{url}/frames/1,2", ANY_FRAMES))[1].data == frame
    assert "was cut off" in caplog.text

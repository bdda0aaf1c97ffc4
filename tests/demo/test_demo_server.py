"""The demo slide and the in-process server, by clients that are not ours."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import warnings
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pydicom
import pytest
import requests
import wsidicom
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from requests.exceptions import ChunkedEncodingError
from serving import forget_servers
from waiting import SECONDS

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.errors import InvalidAttributeError, ServerDecodedWarning, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp.typedefs import Middleware
    from pydicom.dataset import FileDataset

ANY_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
JPEG = "1.2.840.10008.1.2.4.50"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def archive() -> Archive:
    return Archive(demo_files())


@pytest.fixture(scope="module")
def server(archive: Archive) -> Iterator[DICOMwebServer]:
    with DICOMwebServer(archive) as running:
        yield running


@pytest.fixture(scope="module")
def level0() -> FileDataset:
    return pydicom.dcmread(demo_files()[0])


@pytest.fixture(scope="module")
def stored_frames(level0: FileDataset) -> list[bytes]:
    return list(generate_frames(level0.PixelData, number_of_frames=int(level0.NumberOfFrames)))


class Browser:
    """Plain requests for the frames and metadata of level 0."""

    def __init__(self, server: DICOMwebServer, instance: str) -> None:
        self.series = server.series_url(STUDY, SERIES, "http")
        self.instance = f"{self.series}/instances/{instance}"

    def frames(self, numbers: str, accept: str = ANY_FRAMES, **headers: str) -> requests.Response:
        url = f"{self.instance}/frames/{numbers}"
        return requests.get(url, headers={"Accept": accept, **headers}, timeout=SECONDS)

    def metadata(self, **headers: str) -> requests.Response:
        return requests.get(f"{self.series}/metadata", headers=headers, timeout=SECONDS)


@pytest.fixture(scope="module")
def browser(server: DICOMwebServer, level0: FileDataset) -> Browser:
    return Browser(server, level0.SOPInstanceUID)


@contextmanager
def browsing(*middlewares: Middleware) -> Iterator[Browser]:
    """A browser of a server of its own, with faults."""
    files = demo_files()
    with DICOMwebServer(Archive(files), middlewares=middlewares) as running:
        yield Browser(running, pydicom.dcmread(files[0]).SOPInstanceUID)


def split(reply: requests.Response) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a well-formed reply: (headers, body)."""
    boundary = reply.headers["Content-Type"].partition("boundary=")[2].encode()
    assert reply.content.endswith(b"\r\n--" + boundary + b"--\r\n")
    pieces = (b"\r\n" + reply.content).split(b"\r\n--" + boundary)[1:-1]
    parts = []
    for piece in pieces:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        pairs = (line.split(": ", 1) for line in head.decode().split("\r\n"))
        parts.append((dict(pairs), body))
    return parts


def frame_numbers(reply: requests.Response) -> list[int]:
    return [int(head["Content-Location"].rpartition("/")[2]) for head, _ in split(reply)]


# The slide


def test_slide_is_small_and_one_pyramid() -> None:
    files = demo_files()
    assert sum(path.stat().st_size for path in files) < 700_000
    datasets = [pydicom.dcmread(path) for path in files]
    assert {(d.StudyInstanceUID, d.SeriesInstanceUID) for d in datasets} == {(STUDY, SERIES)}
    assert {str(d.PatientName) for d in datasets} == {"DEMO^SLIDE"}
    levels = [d for d in datasets if d.ImageType[2] == "VOLUME"]
    sizes = [(d.TotalPixelMatrixColumns, d.TotalPixelMatrixRows) for d in levels]
    assert sizes == [(1400, 1600), (700, 800), (350, 400), (175, 200)]
    for step, dataset in enumerate(levels):
        assert dataset.DimensionOrganizationType == "TILED_FULL"
        assert dataset.PhotometricInterpretation == "YBR_FULL_422"
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert list(measures.PixelSpacing) == [0.000499 * 2**step] * 2
    assert [d.ImageType[2] for d in datasets[len(levels) :]] == ["THUMBNAIL"]


def test_slide_shows_stained_tissue_on_white_glass() -> None:
    thumbnail = pydicom.dcmread(demo_files()[-1]).pixel_array.astype(int)
    red, green, blue = thumbnail.reshape(-1, 3).T
    glass = (red > 225) & (green > 225) & (blue > 225)
    assert 0.2 < glass.mean() < 0.7
    tissue = np.median(thumbnail.reshape(-1, 3)[~glass], axis=0)
    assert tissue[1] < tissue[2] <= tissue[0]  # pink and purple: least green, most red


def test_slide_levels_are_one_picture() -> None:
    level3, thumbnail = (pydicom.dcmread(demo_files()[i]).pixel_array for i in (3, 4))
    means = [image.reshape(-1, 3).mean(axis=0) for image in (level3[:200, :175], thumbnail)]
    assert np.abs(means[0] - means[1]).max() < 2


def test_slide_opens_in_wsidicom() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others warn of is not our subject
        slide = wsidicom.WsiDicom.open(demo_files())
    with slide:
        assert slide.size.to_tuple() == (1400, 1600)
        assert slide.mpp.width == pytest.approx(0.499)


# The server, by an independent client


def test_client_searches(server: DICOMwebServer) -> None:
    client = DICOMwebClient(server.url)
    (study,) = client.search_for_studies(search_filters={"PatientID": "DEMO*"})
    assert study["0020000D"]["Value"] == [STUDY]
    assert study["00201208"]["Value"] == [5]
    (series,) = client.search_for_series(STUDY, search_filters={"Modality": "SM"})
    assert series["0020000E"]["Value"] == [SERIES]
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    assert len(client.search_for_instances(STUDY, SERIES, limit=2, offset=1)) == 2


def test_client_reads_metadata(server: DICOMwebServer, level0: FileDataset) -> None:
    client = DICOMwebClient(server.url)
    found = client.retrieve_series_metadata(STUDY, SERIES)
    assert len(found) == 5
    expected = {keyword for keyword in level0.dir() if keyword != "PixelData"}
    first = found[0]
    uri = first.pop("7FE00010")["BulkDataURI"]
    dataset = pydicom.Dataset.from_json(first)
    assert set(dataset.dir()) == expected
    assert dataset == pydicom.Dataset({e.tag: e for e in level0 if e.keyword != "PixelData"})
    assert len(split(requests.get(uri, timeout=SECONDS))) == level0.NumberOfFrames


def test_client_reads_frames(server: DICOMwebServer, level0: FileDataset, stored_frames: list[bytes]) -> None:
    client = DICOMwebClient(server.url)
    for media_type in (("application/octet-stream", "*"), ("image/jpeg", JPEG)):
        frames = client.retrieve_instance_frames(
            STUDY, SERIES, level0.SOPInstanceUID, [42, 1, 7], media_types=(media_type,)
        )
        assert frames == [stored_frames[41], stored_frames[0], stored_frames[6]]


def test_client_reads_instances(server: DICOMwebServer, level0: FileDataset) -> None:
    client = DICOMwebClient(server.url)
    wanted = (("application/dicom", JPEG),)
    uids = (STUDY, SERIES, level0.SOPInstanceUID)
    instance = client.retrieve_instance(*uids, media_types=wanted)
    assert instance == level0


# The server, by plain requests


def test_parts_say_what_they_are(browser: Browser, stored_frames: list[bytes]) -> None:
    reply = browser.frames("3,1,1")
    assert reply.headers["Content-Type"].startswith('multipart/related; type="image/jpeg"; bound')
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    for number, (head, body) in zip((3, 1, 1), split(reply), strict=True):
        assert body == stored_frames[number - 1]
        assert head == {
            "Content-Type": f"image/jpeg; transfer-syntax={JPEG}",
            "Content-Location": f"{browser.instance}/frames/{number}",
            "Content-Length": str(len(body)),
        }


def test_percent_encoded_commas(browser: Browser) -> None:
    assert frame_numbers(browser.frames("1%2C2")) == [1, 2]


def test_one_frame_may_come_alone(browser: Browser, stored_frames: list[bytes]) -> None:
    reply = browser.frames("2", "application/octet-stream; transfer-syntax=*")
    assert reply.content == stored_frames[1]
    assert reply.headers["Content-Type"] == f"image/jpeg; transfer-syntax={JPEG}"
    assert browser.frames("1,2", "application/octet-stream; transfer-syntax=*").status_code == 406


@pytest.mark.parametrize(
    "path", ["studies/1.2/series/3/metadata", f"studies/{STUDY}/series/1/instances/2/frames/1", "x"]
)
def test_unknown_things(server: DICOMwebServer, path: str) -> None:
    assert requests.get(f"{server.url}/{path}", timeout=SECONDS).status_code == 404


@pytest.mark.parametrize("query", ["limit=x", "NoSuchKeyword=1", "offset=-1"])
def test_queries_that_mean_nothing(server: DICOMwebServer, query: str) -> None:
    assert requests.get(f"{server.url}/studies?{query}", timeout=SECONDS).status_code == 400


def test_query_includes_what_is_asked(server: DICOMwebServer) -> None:
    url = f"{server.series_url(STUDY, SERIES, 'http')}/instances"
    plain, more = (
        requests.get(url, params=params, timeout=SECONDS).json()
        for params in ({}, {"includefield": "ImageOrientationSlide,00480008"})
    )
    assert set(more[0]) - set(plain[0]) == {"00480102", "00480008"}


def test_metadata_is_zipped_only_when_that_is_accepted(browser: Browser) -> None:
    zipped = browser.metadata()
    plain = browser.metadata(**{"Accept-Encoding": "identity"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert int(zipped.headers["Content-Length"]) < len(plain.content) / 2
    assert zipped.content == plain.content
    assert plain.headers["Content-Type"] == "application/dicom+json"


def test_requests_are_recorded(archive: Archive) -> None:
    with DICOMwebServer(archive, middlewares=[faults.status(503)]) as server:
        requests.get(f"{server.url}/studies?limit=3", timeout=SECONDS)
        Browser(server, "9.9").frames("1,2", Authorization="secret")
    search, frames = server.requests
    assert (search.method, search.path, search.query) == ("GET", "/studies", (("limit", "3"),))
    assert search.resource == "studies"
    assert frames.resource == "frames"
    assert frames.accept == ANY_FRAMES
    assert frames.headers["authorization"] == "secret"
    assert "secret" not in repr(frames)


def threads() -> set[threading.Thread]:
    """All but those of the pools, which the process shares and which end by themselves."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("dicomzarr-")}


def test_server_leaves_nothing_behind(archive: Archive) -> None:
    before = threads()
    with DICOMwebServer(archive) as server, requests.Session() as session:
        assert session.get(f"{server.url}/studies", timeout=SECONDS).ok
    assert not threads() - before
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/studies", timeout=SECONDS)


def test_port_that_is_taken(server: DICOMwebServer, archive: Archive) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match="in use"), DICOMwebServer(archive, port=port):
        pass


def test_series_url(server: DICOMwebServer) -> None:
    url = server.series_url("1.2", "3.4")
    assert url == server.url.replace("http:", "dicomweb:") + "/studies/1.2/series/3.4"


def test_virtual_instance_of_many_frames() -> None:
    metadata: dict[str, Any] = {
        "00080018": {"vr": "UI", "Value": ["1.3"]},
        "0020000D": {"vr": "UI", "Value": ["1.1"]},
        "0020000E": {"vr": "UI", "Value": ["1.2"]},
        "00280008": {"vr": "IS", "Value": [200_000]},
        "00280010": {"vr": "US", "Value": [256]},
    }
    virtual = virtual_instance(metadata, lambda number: b"%d" % number, JPEG)
    with DICOMwebServer(Archive([virtual])) as server:
        url = server.series_url("1.1", "1.2", "http")
        assert requests.get(f"{url}/metadata", timeout=SECONDS).json() == [metadata]
        many = ",".join(map(str, range(199_000, 199_256)))
        reply = requests.get(f"{url}/instances/1.3/frames/{many}", timeout=SECONDS)
        assert [int(body) for _, body in split(reply)] == list(range(199_000, 199_256))
        assert requests.get(f"{url}/instances/1.3", timeout=SECONDS).status_code == 404


# What can be stored


def stored_test_file(name: str) -> tuple[FileDataset, list[bytes]]:
    """One of pydicom's own files, and its frames as ``/frames`` gives them."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are odd on purpose
        dataset = pydicom.dcmread(path)
        (stored,) = Archive([dataset]).instances()
    return dataset, [bytes(stored.frame(n + 1)) for n in range(stored.frame_count)]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "rtdose.dcm"])
def test_native_frames_are_little_endian_pixels(name: str) -> None:
    dataset, frames = stored_test_file(name)
    pixels = dataset.pixel_array.astype(dataset.pixel_array.dtype.newbyteorder("<"))
    pixels = pixels.reshape(len(frames), -1)
    assert frames == [frame.tobytes() for frame in pixels]


def test_single_bits_are_cut_between_bytes() -> None:
    pixels = np.random.default_rng(1).integers(0, 2, (3, 5, 5), np.uint8)  # 25 bits a frame
    dataset, _ = stored_test_file("liver_1frame.dcm")
    dataset.Rows = dataset.Columns = 5
    dataset.NumberOfFrames = 3
    dataset.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    (stored,) = Archive([dataset]).instances()
    for number, expected in enumerate(pixels, start=1):
        bits = np.unpackbits(np.frombuffer(stored.frame(number), np.uint8), bitorder="little")
        assert bits[:25].tolist() == expected.ravel().tolist()


def test_big_files_are_served_unchanged(browser: Browser) -> None:
    reply = requests.get(browser.instance, headers={"Accept": "application/dicom"}, timeout=SECONDS)
    assert reply.content == demo_files()[0].read_bytes()


def test_dataset_in_memory_is_served_whole() -> None:
    dataset, _ = stored_test_file("CT_small.dcm")
    with DICOMwebServer(Archive([dataset])) as server:
        url = server.series_url(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, "http")
        headers = {"Accept": "application/dicom"}
        reply = requests.get(url, headers=headers, timeout=SECONDS)
    assert pydicom.dcmread(BytesIO(reply.content)).PixelData == dataset.PixelData


def test_odd_values_go_out_as_they_are(camelyon_file: Path) -> None:
    (stored,) = Archive([camelyon_file]).instances()
    with DICOMwebServer(Archive([stored])) as server:
        url = server.series_url(stored.study, stored.series, "http")
        (found,) = requests.get(f"{url}/metadata", timeout=SECONDS).json()
    assert any(len(value) > 64 for value in json.dumps(found).split('"'))  # a UID too long


def test_archive_refuses_doubles_and_the_unnamed() -> None:
    path = demo_files()[0]
    with pytest.raises(UsageError, match="given to the demo server twice"):
        Archive([path, path])
    with pytest.raises(InvalidAttributeError, match="without TransferSyntaxUID"):
        Archive([pydicom.Dataset()])


# The faults


def test_status_strikes_when_it_should() -> None:
    broken = faults.status(503, {"Retry-After": "1"}, "busy", when=faults.first(2))
    with browsing(broken) as browser:
        replies = [browser.frames("1") for _ in range(3)]
        assert browser.metadata().status_code == 200
    assert [reply.status_code for reply in replies] == [503, 503, 200]
    assert replies[0].headers["Retry-After"] == "1"
    assert replies[0].text == "busy"


def test_nth_request_and_metadata() -> None:
    with browsing(faults.status(500, on="metadata", when=faults.nth(2))) as browser:
        assert [browser.metadata().status_code for _ in range(3)] == [200, 500, 200]
        assert browser.frames("1").status_code == 200


def test_html_login() -> None:
    with browsing(faults.html_login()) as browser:
        reply = browser.metadata()
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("after_headers", [False, True])
def test_reset(caplog: pytest.LogCaptureFixture, *, after_headers: bool) -> None:
    with browsing(faults.reset(after_headers=after_headers, when=faults.first(1))) as browser:
        host, _, path = browser.instance.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=SECONDS)
        connection.request("GET", f"/{path}/frames/1,2,3,4")
        if after_headers:
            reply = connection.getresponse()
            assert reply.status == 200
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                reply.read()
            reply.close()
        else:
            with pytest.raises(ConnectionResetError):
                connection.getresponse()
        connection.close()
        assert browser.frames("1").status_code == 200
    assert not caplog.records


@pytest.mark.parametrize("framing", ["own-length", "chunked", "close"])
def test_truncated_though_http_says_complete(framing: faults.Framing) -> None:
    with browsing(faults.truncate(500, framing)) as browser:
        reply = browser.frames("1,2")
    assert reply.status_code == 200
    assert len(reply.content) == 500
    assert ("Content-Length" in reply.headers) == (framing == "own-length")
    assert ("Transfer-Encoding" in reply.headers) == (framing == "chunked")


def test_truncated_against_its_length(caplog: pytest.LogCaptureFixture) -> None:
    with browsing(faults.truncate(-10)) as browser, pytest.raises(ChunkedEncodingError):
        browser.frames("1,2")
    assert not [record for record in caplog.records if record.name.startswith("aio")]


def test_missing_part() -> None:
    with browsing(faults.drop_part(1)) as browser:
        assert frame_numbers(browser.frames("1,2,3")) == [1, 3]


def test_no_part_left() -> None:
    with browsing(faults.drop_part()) as browser:
        assert browser.frames("1").content == b"--nothing--\r\n"


def test_swapped_parts_keep_their_labels(stored_frames: list[bytes]) -> None:
    with browsing(faults.swap_parts()) as browser:
        reply = browser.frames("1,2")
    assert frame_numbers(reply) == [2, 1]
    assert [body for _, body in split(reply)] == [stored_frames[1], stored_frames[0]]


def test_labels_of_other_frames() -> None:
    with browsing(faults.mislabel(5)) as browser:
        assert frame_numbers(browser.frames("1,2")) == [6, 7]


def test_no_labels() -> None:
    with browsing(faults.no_content_location()) as browser:
        assert all("Content-Location" not in head for head, _ in split(browser.frames("1,2")))


@pytest.mark.parametrize("change", [-2, 2])
def test_frames_of_a_wrong_length(stored_frames: list[bytes], change: int) -> None:
    with browsing(faults.wrong_frame_size(change)) as browser:
        ((head, body),) = split(browser.frames("1"))
    assert len(body) == int(head["Content-Length"]) == len(stored_frames[0]) + change


def test_frames_of_another_picture() -> None:
    other = faults.grey_jpeg(100, 120)
    with browsing(faults.other_frames(other)) as browser:
        assert [body for _, body in split(browser.frames("1,2"))] == [other, other]


def test_lists_refused() -> None:
    with browsing(faults.refuse_lists(400)) as browser:
        assert browser.frames("1,2").status_code == 400
        assert browser.frames("1").status_code == 200


def test_delay() -> None:
    with browsing(faults.delay(0.05, on="metadata")) as browser:
        assert browser.metadata().elapsed.total_seconds() > 0.05


def test_zipped_frames(stored_frames: list[bytes]) -> None:
    with browsing(faults.gzip_frames()) as browser:
        reply = browser.frames("1")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert [body for _, body in split(reply)] == [stored_frames[0]]


def test_orthanc_habits(stored_frames: list[bytes]) -> None:
    with browsing(faults.orthanc_like()) as browser:
        assert browser.frames("1", "application/octet-stream").status_code == 400
        assert browser.frames("1", 'multipart/related; type="image/jp2"').status_code == 400
        one, two = browser.frames("1"), browser.frames("2,1")
    assert f'type="image/jpeg; transfer-syntax={JPEG}"' in one.headers["Content-Type"]
    assert "Content-Length" in one.headers
    assert "Content-Length" not in two.headers
    assert "Transfer-Encoding" not in two.headers
    assert two.headers["Connection"] == "close"
    assert [body for _, body in split(two)] == [stored_frames[1], stored_frames[0]]


def test_dcm4chee_habits() -> None:
    with browsing(faults.dcm4chee_like(lost=[2])) as browser:
        some, none, all_ = (browser.frames(numbers) for numbers in ("1,2,3", "2", "1,3"))
    assert [some.status_code, none.status_code, all_.status_code] == [206, 404, 200]
    assert frame_numbers(some) == frame_numbers(all_) == [1, 3]
    assert all("Content-Length" not in head for head, _ in split(some))


def test_static_wado_habits(stored_frames: list[bytes]) -> None:
    with browsing(faults.static_wado_like) as browser:
        assert browser.frames("1,2").status_code == 404
        assert requests.get(f"{browser.instance}/metadata", timeout=SECONDS).status_code == 404
        assert browser.metadata().status_code == 200
        reply = browser.frames("1", "text/html")
    assert reply.headers["Content-Type"] == "multipart/related"
    assert stored_frames[0] in reply.content


def test_basic_authentication() -> None:
    with browsing(faults.require_basic("me", "pä:ss")) as browser:
        refused = browser.metadata()
        secret = base64.b64encode("me:pä:ss".encode()).decode()
        accepted = browser.metadata(Authorization=f"Basic {secret}")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert accepted.status_code == 200


def test_bearer_token() -> None:
    with browsing(faults.require_bearer("abc")) as browser:
        assert browser.metadata(Authorization="Bearer abd").status_code == 401
        assert browser.metadata(Authorization="Bearer abc").status_code == 200


def test_rotating_token() -> None:
    token = faults.RotatingToken(uses=2)
    with browsing(token.middleware) as browser:
        assert browser.metadata(Authorization="Bearer token-0").status_code == 401
        old = token.issue()
        codes = [browser.metadata(Authorization=f"Bearer {old}").status_code for _ in range(3)]
        assert codes == [200, 200, 401]
        new = token.issue()
        assert browser.metadata(Authorization=f"Bearer {old}").status_code == 401
        assert browser.metadata(Authorization=f"Bearer {new}").status_code == 200
    assert token.issued == 2


def test_a_lossy_picture_that_is_stored_as_plain_pixels_was_decoded_by_nobody() -> None:
    """As the metadata of the folder say of the thumbnail; where they say nothing it is on trust."""
    folder = demo_files()[0].parent
    stored = np.moveaxis(pydicom.dcmread(folder / "thumbnail.dcm").pixel_array, -1, 0)
    with DICOMwebServer(folder) as told, DICOMwebServer(Archive(demo_files())) as silent:
        found = dicomzarr.open(told.series_url(STUDY, SERIES)).associated["thumbnail"].levels[0][...]
        with pytest.warns(ServerDecodedWarning):
            trusted = dicomzarr.open(silent.series_url(STUDY, SERIES)).associated["thumbnail"].levels[0][...]
        forget_servers()
    assert np.array_equal(found, stored)
    assert np.array_equal(trusted, stored)

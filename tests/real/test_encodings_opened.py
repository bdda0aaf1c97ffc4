"""Every transfer syntax from end to end: a series on a server, opened by its URL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pytest
from coded_frames import BUILDERS, CodedFrame, coded_frame
from encoding_checks import title
from frame_oracles import dataset_of, part10
from serving import forget_servers

import dicomzarr
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import ServedInstance, from_dataset
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.dicom import uids
from dicomzarr.errors import UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.typedefs import Middleware
    from coded_frames import Pixels
    from orthanc import Orthanc
    from pydicom import Dataset

STUDY = "1.2.3.4.77"
FRAMES = [(uid, name) for uid, builders in BUILDERS.items() for name in builders]
SOME = [(uid, name) for uid, builders in BUILDERS.items() for name in [*builders][:: max(1, len(builders) // 3)]]
"""A few of each transfer syntax, where all would take long."""
SERIES = {case: f"{STUDY}.{number}" for number, case in enumerate(FRAMES, 1)}


def file_of(frame: CodedFrame, series: str, **attributes: Any) -> tuple[bytes, Dataset]:
    """A series of one instance with one frame."""
    identity = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series, "SOPInstanceUID": f"{series}.1"}
    dataset = dataset_of(frame.pixel, frame.uid, [frame.data], Modality="OT", **identity, **attributes)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return part10(dataset), dataset


def single(frame: CodedFrame, series: str, **attributes: Any) -> ServedInstance:
    """The same as the demo server holds it, the file as it is."""
    body, dataset = file_of(frame, series, **attributes)
    return replace(from_dataset(dataset), part10=lambda: body)


def every_frame() -> list[ServedInstance]:
    return [single(coded_frame(uid, name), SERIES[uid, name]) for uid, name in FRAMES]


def serve(*middlewares: Middleware) -> Iterator[DICOMwebServer]:
    with DICOMwebServer(Archive(every_frame()), middlewares=middlewares) as server:
        yield server
        forget_servers()


@pytest.fixture(scope="module")
def server() -> Iterator[DICOMwebServer]:
    yield from serve()


@pytest.fixture(scope="module")
def server_without_frames() -> Iterator[DICOMwebServer]:
    yield from serve(faults.status(404, on="frames"))


def opened(server: DICOMwebServer, series: str) -> Pixels:
    pixels: Pixels = dicomzarr.open(server.series_url(STUDY, series)).levels[0][...]
    return pixels


def expected(frame: CodedFrame) -> Pixels:
    pixels = decode_frame(frame.data, frame.pixel, transfer_syntax_uid=frame.uid, where="")
    return pixels if frame.pixel.samples > 1 else pixels[0]


@pytest.mark.parametrize(("uid", "name"), FRAMES, ids=title)
def test_a_series_of_one_frame(server: DICOMwebServer, uid: str, name: str) -> None:
    frame = coded_frame(uid, name)
    np.testing.assert_array_equal(opened(server, SERIES[uid, name]), expected(frame), strict=True)


@pytest.mark.parametrize(("uid", "name"), SOME, ids=title)
def test_a_series_of_one_frame_out_of_its_whole_instance(
    server_without_frames: DICOMwebServer, uid: str, name: str
) -> None:
    frame = coded_frame(uid, name)
    np.testing.assert_array_equal(opened(server_without_frames, SERIES[uid, name]), expected(frame), strict=True)


@pytest.mark.parametrize(("uid", "name"), SOME, ids=title)
def test_a_series_of_one_frame_on_a_real_orthanc(orthanc: Orthanc, uid: str, name: str) -> None:
    """It takes them all; what it gives wrongly, or refuses to cut, comes with the whole instance."""
    frame = coded_frame(uid, name)
    series = SERIES[uid, name]
    orthanc.upload(file_of(frame, series, PatientID="encodings")[0])
    pixels = dicomzarr.open(orthanc.series_url(STUDY, series)).levels[0][...]
    np.testing.assert_array_equal(pixels, expected(frame), strict=True)


# --- what cannot be decoded ---

UNSUPPORTED = {
    "1.2.840.10008.1.2.4.55": "JPEG Full Progression",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Part 2",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265",
    "1.2.840.10008.1.2.7.1": "SMPTE ST 2110-20",
    "1.2.840.113619.5.2": "private or unknown",
}


def refused(uid: str, *, at_open: bool, **attributes: Any) -> UnsupportedTransferSyntaxError:
    """What is said of a series in a transfer syntax that cannot be decoded."""
    frame = coded_frame(uids.JPEG_BASELINE, "grey8")  # which could be, were it not for its label
    stored = single(replace(frame, uid=uid), f"{STUDY}.999", **attributes)
    with DICOMwebServer(Archive([stored])) as server:
        try:
            with pytest.raises(UnsupportedTransferSyntaxError) as caught:
                opened(server, f"{STUDY}.999")
            assert (server.requests[-1].resource == "metadata") == at_open
        finally:
            forget_servers()
    return caught.value


@pytest.mark.parametrize("uid", UNSUPPORTED)
def test_what_cannot_be_decoded_is_named_at_the_first_frame(uid: str) -> None:
    error = refused(uid, at_open=False)
    assert error.uid == uid
    assert uid in str(error)
    assert UNSUPPORTED[uid] in str(error)


@pytest.mark.parametrize("uid", UNSUPPORTED)
def test_what_the_metadata_tell_is_named_at_open(uid: str) -> None:
    error = refused(uid, at_open=True, AvailableTransferSyntaxUID=uid)
    assert error.uid == uid
    assert uid in str(error)
    assert UNSUPPORTED[uid] in str(error)


def test_a_class_of_video_is_named_at_open() -> None:
    error = refused("1.2.840.10008.1.2.4.102", at_open=True, SOPClassUID=uids.VIDEO_ENDOSCOPIC_IMAGE_STORAGE)
    assert uids.VIDEO_ENDOSCOPIC_IMAGE_STORAGE in str(error)
    assert "Video Endoscopic Image Storage" in str(error)

"""What a server says of pixels, and what the pixels and their files say themselves."""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faults
import imagecodecs
import numpy as np
import pytest
from coded_frames import RGB, ybr
from coded_frames import planes as planes_of
from coded_frames import rle_by_hand as rle
from disk_caches import forget_storages
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from radiology_model import AXIAL, distinct
from radiology_opened import Opener, pixels_of
from radiology_volumes import secondary_capture, volume
from serving import forget_servers

import dicomzarr
from dicomzarr.dicom import uids
from dicomzarr.dicom.files.file_header import FileHeader
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import (
    ContradictingHeaderError,
    FrameDecodeError,
    LossyFrameWarning,
    OtherSeriesWarning,
    ServerDecodedWarning,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from aiohttp.typedefs import Middleware
    from multipart_parts import Part
    from radiology_model import RadiologySeries

PIXELS = distinct((3, 8, 10), 16)
WITHOUT_FRAMES = faults.status(404, on="frames")
GREY = PixelDescription(8, 10, 1, 16, 12, 11, signed=False, photometric_interpretation="MONOCHROME2")
COLOUR = PixelDescription(8, 10, 3, 8, 8, 7, signed=False, photometric_interpretation="YBR_FULL_422")


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def ct(name: str) -> RadiologySeries:
    return volume(AXIAL, PIXELS, bits=16, name=name)


def files(old: bytes, new: bytes) -> Middleware:
    """Whole instances with other bytes in the place of some."""

    def alter(parts: Sequence[Part]) -> list[Part]:
        assert all(old in bytes(part.body) for part in parts)
        return [part.with_body(bytes(part.body).replace(old, new)) for part in parts]

    return faults.change_parts(alter, on="instances")


def attribute(element: int, value: int) -> bytes:
    """A US of group 0028."""
    return struct.pack("<HH2sHH", 0x28, element, b"US", 2, value)


@pytest.mark.parametrize(
    ("name", "element", "told", "found"),
    [
        ("BitsStored", 0x101, 16, 12),
        ("PixelRepresentation", 0x103, 0, 1),
    ],
)
def test_a_file_that_contradicts_the_metadata_is_an_error_that_names_both_values(
    opened: Opener, name: str, element: int, told: int, found: int
) -> None:
    altered = files(attribute(element, told), attribute(element, found))
    image = opened(ct(f"contradicts {name}"), WITHOUT_FRAMES, altered)
    with pytest.raises(ContradictingHeaderError) as caught:
        image.levels[0][0]
    assert f"{name} is {found} in the file and {told} in the metadata" in str(caught.value)
    assert "frame 1" in str(caught.value)


def test_a_file_of_another_study_is_read_with_one_warning(opened: Opener) -> None:
    series = ct("merged")
    text = str(series.study_uid).encode()
    image = opened(series, WITHOUT_FRAMES, files(text, text[:-1] + (b"1" if text[-1:] != b"1" else b"2")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(image.levels[0][...], PIXELS)
    assert [entry.category for entry in caught] == [OtherSeriesWarning]


@pytest.mark.parametrize("uid", [uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.JPEG_BASELINE, None])
def test_what_a_file_lacks_contradicts_nothing(uid: str | None) -> None:
    for pixel in (GREY, COLOUR):
        assert FileHeader("", "", "", {}).contradiction(pixel, 5, uid) == ""


def test_what_decoding_does_not_depend_on_may_differ() -> None:
    other = FileHeader("", "", "RGB", {"HighBit": 3, "PlanarConfiguration": 1})
    assert other.contradiction(COLOUR, 1, uids.JPEG_BASELINE) == ""  # the codestream tells
    decoded = FileHeader("", "", "RGB", {"HighBit": 7, "PlanarConfiguration": 0})
    assert decoded.contradiction(COLOUR, 1, uids.EXPLICIT_VR_LITTLE_ENDIAN) == ""  # by the server
    inverted = FileHeader("", "", "MONOCHROME1", {})
    assert inverted.contradiction(GREY, 1, uids.EXPLICIT_VR_LITTLE_ENDIAN) == ""  # values are the same


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (FileHeader("", "", "", {"NumberOfFrames": 2}), "NumberOfFrames"),
        (FileHeader("", "", "", {"Rows": 10, "Columns": 8}), "Rows"),
        (FileHeader("", "", "", {"Rows": 8, "Columns": 8}), "Columns"),
        (FileHeader("", "", "", {"SamplesPerPixel": 1}), "SamplesPerPixel"),
        (FileHeader("", "", "", {"BitsAllocated": 16}), "BitsAllocated"),
        (FileHeader("", "", "", {"PlanarConfiguration": 1}), "PlanarConfiguration"),
        (FileHeader("", "", "YBR_FULL", {}), "PhotometricInterpretation"),
    ],
)
def test_what_native_colour_depends_on_must_be_alike(header: FileHeader, name: str) -> None:
    assert header.contradiction(COLOUR, 1, uids.EXPLICIT_VR_LITTLE_ENDIAN).startswith(f"{name} is ")


def test_where_values_lie_in_their_cells_must_be_alike() -> None:
    low, high = (replace(GREY, bits_allocated=16, bits_stored=12, high_bit=bit) for bit in (11, 15))
    told = FileHeader("", "", "", {"BitsStored": 12, "HighBit": 11})
    assert told.contradiction(high, 1, uids.EXPLICIT_VR_LITTLE_ENDIAN).startswith("HighBit is 11 in the file and 15")
    impossible = FileHeader("", "", "", {"BitsStored": 12, "HighBit": 3})  # means nothing, wherever it stands
    assert impossible.contradiction(low, 1, uids.EXPLICIT_VR_LITTLE_ENDIAN) == ""


def encoded(name: str, uid: str, encode: Callable[[Any], Any]) -> RadiologySeries:
    series = ct(name)
    for dataset in series.datasets:  # which are in no order
        dataset.PixelData = encapsulate([bytes(encode(dataset.pixel_array))])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = dataset.AvailableTransferSyntaxUID = uid
        dataset.LossyImageCompression = "00"
    return series


CODERS: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "jpeg 2000": (
        JPEG2000Lossless,
        lambda plane: imagecodecs.jpeg2k_encode(plane, codecformat="j2k", reversible=True),
        lambda plane: imagecodecs.jpeg2k_encode(plane, codecformat="j2k", level=60, reversible=False),
    ),
    "jpeg-ls": (
        JPEGLSLossless,
        imagecodecs.jpegls_encode,
        lambda plane: imagecodecs.jpegls_encode(plane, level=3),
    ),
    "lossless jpeg": (
        JPEGLosslessSV1,
        lambda plane: imagecodecs.jpeg8_encode(plane, lossless=True, predictor=1, bitspersample=16),
        lambda plane: imagecodecs.jpeg8_encode(plane >> 4, level=90, bitspersample=12),
    ),
}


@pytest.mark.parametrize("name", CODERS)
def test_lossy_frames_under_metadata_that_say_lossless_are_warned_of_once(opened: Opener, name: str) -> None:
    uid, _, lossy = CODERS[name]
    image = opened(encoded(f"lossy {name}", uid, lossy))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(3):
            image.levels[0][index]
    assert [entry.category for entry in caught] == [LossyFrameWarning]


@pytest.mark.parametrize("name", CODERS)
def test_lossless_frames_are_not_warned_of(opened: Opener, name: str) -> None:
    uid, lossless, _ = CODERS[name]
    image = opened(encoded(f"lossless {name}", uid, lossless))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(image.levels[0][...], PIXELS)


@pytest.mark.parametrize("bits", [8, 16])
def test_frames_of_big_endian_that_nobody_labels_come_out_of_the_whole_instance(opened: Opener, bits: int) -> None:
    """Cut out of the file as they lie there: cells or words have their most significant byte first."""
    pixels = distinct((3, 8, 10), bits)
    series = volume(AXIAL, pixels, bits=bits, name=f"big endian {bits}")
    for dataset in series.datasets:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = dataset.AvailableTransferSyntaxUID = uids.EXPLICIT_VR_BIG_ENDIAN

    def unlabelled(parts: Sequence[Part]) -> list[Part]:
        swapped = (np.frombuffer(part.body, "<u2").astype(">u2").tobytes() for part in parts)
        return [
            part.with_body(body).with_header("Content-Type", "application/octet-stream")
            for part, body in zip(parts, swapped, strict=True)
        ]

    image = opened(series, faults.change_parts(unlabelled))
    np.testing.assert_array_equal(pixels_of(image), pixels)
    assert opened.count("frames")


# --- colour that is stored compressed ---


def coded(uid: str, frame: bytes, photometric: str, *, planar: int = 0, told: bool = True) -> RadiologySeries:
    """One picture, ``RGB``, as it is coded; the metadata may tell how."""
    series = secondary_capture(RGB)
    (dataset,) = series.datasets
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = photometric, planar
    if told:
        dataset.AvailableTransferSyntaxUID = uid
    return series


def decoded(pixels: bytes) -> Middleware:
    """Frames that the server decoded, sample by sample for each pixel."""
    label = f"application/octet-stream; transfer-syntax={uids.EXPLICIT_VR_LITTLE_ENDIAN}"
    return faults.change_parts(
        lambda parts: [part.with_body(pixels).with_header("Content-Type", label) for part in parts]
    )


def test_a_frame_out_of_its_file_is_read_alike_from_disk(opened: Opener, tmp_path: Path) -> None:
    frame = imagecodecs.jpeg2k_encode(ybr(RGB), level=0, reversible=True, mct=False, codecformat="j2k")
    series = coded(JPEG2000Lossless, bytes(frame), "YBR_FULL_422", told=False)
    url = opened.url(series, WITHOUT_FRAMES)
    first = pixels_of(dicomzarr.open(url, cache_dir=tmp_path))
    assert np.abs(first.astype(int) - planes_of(RGB)).max() <= 3
    forget_servers()
    forget_storages()
    asked = opened.count("frames")
    assert np.array_equal(pixels_of(dicomzarr.open(url, cache_dir=tmp_path)), first)
    assert opened.count("frames") == asked
    forget_storages()


def test_planes_that_the_server_decoded_come_out_of_the_whole_instance(opened: Opener) -> None:
    """RLE of which PlanarConfiguration is 1, as ultrasound machines write it; whoever decodes it may choose 0."""
    series = coded(RLELossless, rle(planes_of(RGB)), "RGB", planar=1)
    assert np.array_equal(pixels_of(opened(series, decoded(RGB.tobytes()))), planes_of(RGB))
    assert opened.count("frames")


def test_planes_that_the_server_decoded_are_refused_where_nothing_else_comes(opened: Opener) -> None:
    series = coded(RLELossless, rle(planes_of(RGB)), "RGB", planar=1)
    image = opened(series, decoded(RGB.tobytes()), faults.status(404, on="instances"))
    with pytest.raises(FrameDecodeError, match=r"frame 1: .*PlanarConfiguration"):
        pixels_of(image)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_ycbcr_without_loss_that_the_server_decoded_is_on_trust(opened: Opener, photometric: str) -> None:
    stored = RGB if photometric == "RGB" else ybr(RGB)
    image = opened(coded(RLELossless, rle(planes_of(stored)), photometric), decoded(stored.tobytes()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert np.abs(pixels_of(image).astype(int) - planes_of(RGB)).max() <= 3
    assert [entry.category for entry in caught] == [ServerDecodedWarning] * (photometric != "RGB")

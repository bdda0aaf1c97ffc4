"""Frames out of whole instances in every transfer syntax: big endian, deflated, and in fragments."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pydicom
import pytest
from coded_frames import BITS, BUILDERS, FLOATS, GREY8, GREY12, GREY16, GREY32, RGB, coded_frame, colour, grey, planes
from frame_oracles import dataset_of, part10
from part10_files import PYDICOM_FILES
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.decoders.base import get_decoder
from test_client import Outcome, connected

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import ServedInstance, from_dataset
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.syntax import is_native
from dicomzarr.errors import UnsupportedTransferSyntaxError
from dicomzarr.sources.dicomweb.negotiation.frame_job import FrameJob
from dicomzarr.sources.dicomweb.whole.whole_instance import InstanceKey, open_instance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coded_frames import Pixels
    from pydicom import Dataset

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.pixels.pixels import PixelDescription

ODD = (slice(0, 3), slice(0, 5))
"""Fifteen pixels: frames of bytes in words begin in the middle of a word, frames of bits in the middle of a byte."""
BIG, DEFLATED = uids.EXPLICIT_VR_BIG_ENDIAN, uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def served(body: bytes, dataset: Dataset) -> ServedInstance:
    """As the demo server holds it, the file as it is."""
    return replace(from_dataset(dataset), part10=lambda: body)


async def fetched(base: str, dataset: Dataset, count: int) -> Outcome:
    async with connected(base) as client:
        outcome = Outcome()
        names = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID))
        await client.frames(FrameJob(*names, range(1, count + 1), outcome))
        return outcome


def from_whole(body: bytes, dataset: Dataset, count: int) -> tuple[list[EncodedFrame], list[str]]:
    """The frames of a server that refuses ``/frames``, and what was asked of it."""
    refusing = faults.status(500, on="frames")
    with DICOMwebServer(Archive([served(body, dataset)]), middlewares=[refusing]) as server:
        outcome = asyncio.run(fetched(server.url, dataset, count))
        asked = [request.resource for request in server.requests]
    assert not outcome.failures, outcome.failures
    return [outcome.frames[number] for number in range(1, count + 1)], asked


def decoded(frames: Sequence[EncodedFrame], pixel: PixelDescription) -> Pixels:
    return np.stack(
        [decode_frame(each.data, pixel, transfer_syntax_uid=each.transfer_syntax_uid, where="") for each in frames]
    )


def stored(frames: Pixels, pixel: PixelDescription, uid: str, vr: str) -> tuple[bytes, Dataset]:
    """An instance in a native transfer syntax, its pixels in words where the VR says so."""
    if pixel.bits_allocated == 1:
        value = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    else:
        value = frames.astype(frames.dtype.newbyteorder("<")).tobytes()
    value += bytes(len(value) % 2)
    if uid == BIG:
        width = {"OB": 1, "OW": 2}[vr] if pixel.bits_allocated <= 8 else pixel.bits_allocated // 8
        value = np.frombuffer(value, f"<u{width}").astype(f">u{width}").tobytes()
    dataset = dataset_of(pixel, uid, [value], NumberOfFrames=len(frames))
    if not pixel.floating:
        dataset["PixelData"].VR = vr
    return part10(dataset), dataset


CELLS: dict[str, tuple[Pixels, PixelDescription, str]] = {
    "1 bit in OW": (BITS, grey(BITS, 1, allocated=1), "OW"),
    "1 bit in OB": (BITS, grey(BITS, 1, allocated=1), "OB"),
    "8 bits in OW": (GREY8, grey(GREY8, 8), "OW"),
    "8 bits in OB": (GREY8, grey(GREY8, 8), "OB"),
    "RGB in OW": (RGB, colour(), "OW"),
    "RGB in OB": (RGB, colour(), "OB"),
    "12 bits in OW": (GREY12, grey(GREY12, 12), "OW"),
    "16 bits in OW": (GREY16, grey(GREY16, 16), "OW"),
    "16 bits, signed": (GREY16.view(np.int16), grey(GREY16.view(np.int16), 16), "OW"),
    "32 bits in OW": (GREY32, grey(GREY32, 32), "OW"),
    "OF": (FLOATS.astype("<f4"), grey(FLOATS.astype("<f4"), 32), ""),
    "OD": (FLOATS, grey(FLOATS, 64), ""),
}


@pytest.mark.parametrize("uid", [BIG, DEFLATED, uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_LITTLE_ENDIAN])
@pytest.mark.parametrize("name", CELLS)
def test_native_frames_out_of_whole_instances(uid: str, name: str) -> None:
    pixels, pixel, vr = CELLS[name]
    pixel = replace(pixel, rows=3, columns=5)
    frames = np.stack([pixels[ODD], pixels[ODD][::-1], pixels[ODD][:, ::-1]])
    body, dataset = stored(frames, pixel, uid, vr)
    found, asked = from_whole(body, dataset, 3)
    assert "frames" in asked
    assert asked.count("") == 0
    assert {frame.transfer_syntax_uid for frame in found} == {uids.EXPLICIT_VR_LITTLE_ENDIAN}
    expected = np.stack([planes(frame) for frame in frames])
    np.testing.assert_array_equal(decoded(found, pixel), expected)
    if (uid, name) == (BIG, "1 bit in OW"):
        return  # DCMTK swaps the words of single bits, pydicom does not
    # The file is what pydicom takes it for, too; DCMTK swaps cells of 32 bits as if they were two words.
    read = pydicom.dcmread(io.BytesIO(body))
    by_pydicom = get_decoder(read.file_meta.TransferSyntaxUID).as_array(read)[0]
    np.testing.assert_array_equal(np.stack([planes(frame) for frame in by_pydicom]), expected)


@pytest.mark.parametrize(
    "name",
    [
        "ExplVR_BigEnd",  # 8-bit RGB
        "SC_rgb_small_odd_big_endian",
        "liver_expb_1frame",  # single bits
        "MR_small_bigendian",
        "rtdose_expb_1frame",  # 32 bits
        "image_dfl",
    ],
)
def test_files_of_pydicom(name: str) -> None:
    body = (PYDICOM_FILES / f"{name}.dcm").read_bytes()
    dataset = pydicom.dcmread(io.BytesIO(body))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert dataset.get(keyword)
    found, _ = from_whole(body, dataset, 1)
    pixel = grey(np.empty((dataset.Rows, dataset.Columns), np.uint8), 8)
    pixel = replace(
        pixel,
        samples=dataset.SamplesPerPixel,
        bits_allocated=dataset.BitsAllocated,
        bits_stored=dataset.BitsStored,
        high_bit=dataset.HighBit,
        signed=bool(dataset.PixelRepresentation),
        photometric_interpretation=dataset.PhotometricInterpretation,
        planar_configuration=dataset.get("PlanarConfiguration", 0),
    )
    expected = planes(get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, index=0)[0])
    np.testing.assert_array_equal(decoded(found, pixel)[0], expected)


# --- frames in fragments ---

ENCAPSULATED = [uid for uid in BUILDERS if not is_native(uid)]
FRAMED = {
    "as they are": lambda frames: {"PixelData": encapsulate(frames)},
    "no table": lambda frames: {"PixelData": encapsulate(frames, has_bot=False)},
    "an extended table": lambda frames: dict(
        zip(
            ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
            encapsulate_extended(frames),
            strict=True,
        )
    ),
    "in three": lambda frames: {"PixelData": encapsulate(frames, fragments_per_frame=3)},
    "in three, no table": lambda frames: {"PixelData": encapsulate(frames, fragments_per_frame=3, has_bot=False)},
}


@pytest.mark.parametrize(
    ("uid", "framing"),
    [
        (uid, framing)
        for uid in ENCAPSULATED
        for framing in FRAMED
        # A deflated frame is in one fragment, always (PS3.5 section A.4.13).
        if uid != uids.DEFLATED_IMAGE_FRAME or "three" not in framing
    ],
)
def test_encapsulated_frames_out_of_whole_instances(uid: str, framing: str) -> None:
    names = [name for name in BUILDERS[uid] if coded_frame(uid, name).pixel == _first(uid).pixel]
    frames = [coded_frame(uid, name) for name in names]
    frames = (frames * 2)[:2]
    dataset = dataset_of(frames[0].pixel, uid, [frame.data for frame in frames])
    for keyword, value in FRAMED[framing]([frame.data for frame in frames]).items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    held = open_instance(memoryview(part10(dataset)), InstanceKey("1.2.3.4", "1.2.3.4.5", "1.2.3.4.5.6"))
    assert len(held.frames) == 2
    assert held.frames.transfer_syntax_uid == uid
    for number, frame in enumerate(frames, 1):
        cut = held.frames.cut(number)
        assert cut.startswith(frame.data)
        assert len(cut) - len(frame.data) in (0, 1)
        expected = decode_frame(frame.data, frame.pixel, transfer_syntax_uid=uid, where="")
        np.testing.assert_array_equal(decode_frame(cut, frame.pixel, transfer_syntax_uid=uid, where=""), expected)


def _first(uid: str) -> Any:
    return coded_frame(uid, next(iter(BUILDERS[uid])))


# --- what cannot be decoded ---


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264"),
        ("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2"),
        ("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20"),
        ("1.2.840.113619.5.2", "private or unknown"),
    ],
)
def test_a_whole_instance_that_cannot_be_decoded_names_its_transfer_syntax(uid: str, name: str) -> None:
    dataset = dataset_of(grey(GREY8, 8), uid, [b"a film of any length"], NumberOfFrames=100)
    body = part10(dataset)
    with pytest.raises(UnsupportedTransferSyntaxError, match=name) as caught:
        open_instance(memoryview(body), InstanceKey("1.2.3.4", "1.2.3.4.5", "1.2.3.4.5.6"))
    assert caught.value.uid == uid
    with DICOMwebServer(Archive([served(body, dataset)]), middlewares=[faults.status(500, on="frames")]) as server:
        outcome = asyncio.run(fetched(server.url, dataset, 2))
    for error in outcome.failures.values():
        assert isinstance(error, UnsupportedTransferSyntaxError)
        assert uid in str(error)
    assert len(outcome.failures) == 2

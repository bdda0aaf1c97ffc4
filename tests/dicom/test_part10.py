"""Frames cut from Part-10 files, against pydicom's own cutting; hostile files give typed errors and nothing else."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from part10_files import PYDICOM_FILES, UID_OF_INSTANCE, codestreams, items, make_file
from pydicom import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels import iter_pixels
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from slides_codecs import CODECS
from thoroughness import examples

from dicomzarr.dicom.files.data_set import DataSetHeader, data_set_header
from dicomzarr.dicom.files.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, elements
from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.part10 import StoredFrames, find_frames
from dicomzarr.errors import DicomZarrError, InvalidFileError, InvalidReplyError, TruncatedFileError, WrongPartsError
from dicomzarr.sources.dicomweb.whole.whole_instance import InstanceKey, open_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from pydicom.uid import UID

KEY = InstanceKey("1.2", "1.2.3", UID_OF_INSTANCE)
READABLE = (
    *("693_J2KI", "CT_small", "ExplVR_BigEnd", "GDCMJ2K_TextGBR", "JPEG-lossy", "JPGExtended", "MR_small_RLE"),
    *("JPEG2000-embedded-sequence-delimiter", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit"),
    *("MR_small_padded", "SC_rgb_jpeg", "SC_rgb_rle_16bit_2frame", "SC_rgb_rle_32bit_2frame", "SC_rgb_small_odd"),
    *("SC_rgb_small_odd_big_endian", "SC_ybr_full_422_uncompressed", "examples_palette", "examples_ybr_color"),
    *("image_dfl", "liver_1frame", "liver_expb_1frame", "rtdose", "rtdose_expb", "rtdose_rle"),
)


# --- files ---


def opened(body: bytes) -> StoredFrames:
    data = memoryview(body)
    meta = read_file_meta(data)
    if meta.deflated:
        data, at = memoryview(zlib.decompress(body[meta.end :], -zlib.MAX_WBITS)), 0
    else:
        at = meta.end
    return find_frames(data, at, meta)


def frames_of(body: bytes) -> list[bytes]:
    frames = opened(body).frames
    return [frames.cut(number) for number in range(1, len(frames) + 1)]


def raw_pixels(dataset: Dataset) -> list[NDArray[Any]]:
    """pydicom's frames, without any conversion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(iter_pixels(dataset, raw=True))


# --- every row of the table ---


@pytest.mark.parametrize("name", READABLE)
def test_files_of_pydicom(name: str) -> None:
    path = PYDICOM_FILES / f"{name}.dcm"
    found = frames_of(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        count = int(dataset.get("NumberOfFrames") or 1)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            assert found == list(generate_frames(dataset.PixelData, number_of_frames=count))
            return
    assert opened(path.read_bytes()).frames.transfer_syntax_uid == ExplicitVRLittleEndian
    if dataset.BitsAllocated == 1:
        bits = [np.unpackbits(np.frombuffer(cut, np.uint8), bitorder="little") for cut in found]
        assert [bit.tobytes() for bit in bits] == [pixels.astype(np.uint8).tobytes() for pixels in raw_pixels(dataset)]
    elif dataset.PhotometricInterpretation == "YBR_FULL_422":
        size = dataset.Rows * dataset.Columns * 2
        assert found == [dataset.PixelData[start : start + size] for start in range(0, size * count, size)]
    else:
        in_planes = dataset.get("PlanarConfiguration") == 1  # as it is stored; pydicom puts colours side by side
        stored = [np.moveaxis(pixels, -1, 0) if in_planes else pixels for pixels in raw_pixels(dataset)]
        little = [pixels.astype(pixels.dtype.newbyteorder("<")) for pixels in stored]
        assert found == [pixels.tobytes() for pixels in little]


@pytest.mark.parametrize("codec", ["jpeg_ybr_full_422", "jpegls_lossless", "jpeg2000_lossless", "htj2k_lossless"])
@pytest.mark.parametrize("fragments", [1, 2, 3])
@pytest.mark.parametrize("has_bot", [True, False])
def test_fragments(codec: str, fragments: int, has_bot: bool) -> None:  # noqa: FBT001  # a parameter
    frames = codestreams(codec)
    value = encapsulate(frames, fragments_per_frame=fragments, has_bot=has_bot)
    body = make_file(CODECS[codec].syntax, PixelData=value, NumberOfFrames=3)
    assert frames_of(body) == frames
    assert opened(body).frames.transfer_syntax_uid == CODECS[codec].syntax


def test_extended_offset_table() -> None:
    frames = codestreams()
    value, offsets, lengths = encapsulate_extended(frames)
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    assert frames_of(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=3, **tables)) == frames


def test_the_extended_offset_table_goes_before_the_count_of_fragments() -> None:
    frames = [b"no magic", b"at all", b"to go by"]
    value = encapsulate([frames[0], frames[1] + frames[2]], fragments_per_frame=1, has_bot=False)
    value = value[:8] + items(frames[0], frames[1], frames[2])
    offsets = struct.pack("<2Q", 0, 16)
    body = make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=2, ExtendedOffsetTable=offsets)
    assert frames_of(body) == [frames[0], frames[1] + frames[2]]


@pytest.mark.parametrize("table", [(0, 1, 2), (0, 0, 0), (2**32 - 1,) * 3, (8, 16, 24)])
def test_a_table_that_does_not_fit_is_not_believed(table: tuple[int, ...]) -> None:
    frames = codestreams()
    value = items(struct.pack("<3I", *table), *frames)
    assert frames_of(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=3)) == frames


def test_one_frame_in_many_fragments() -> None:
    frame = b"whatever it is, it is one"
    value = items(b"", frame[:10], frame[10:20], frame[20:] + b"\0")
    assert frames_of(make_file(JPEGBaseline8Bit, PixelData=value)) == [frame + b"\0"]


def test_fragments_that_look_like_beginnings() -> None:
    """A fragment may begin by chance as a codestream does: then the frame before it has not ended."""
    first, second = codestreams(count=2)
    cut = len(first) // 2 // 2 * 2
    decoy = b"\xff\xd8\xff" + first[cut + 3 :]
    value = items(b"", first[:cut], decoy, second)
    assert frames_of(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=2)) == [first[:cut] + decoy, second]


def test_rle_in_several_fragments() -> None:
    frames = codestreams("rle_lossless", 2)
    parts = [part for frame in frames for part in (frame[:100], frame[100:])]
    assert frames_of(make_file(RLELossless, PixelData=items(b"", *parts), NumberOfFrames=2)) == frames


def test_fragments_that_cannot_be_told_apart() -> None:
    value = items(b"", b"ab", b"cd", b"ef")
    with pytest.raises(InvalidFileError, match="2 frames cannot be told apart in 3 fragments"):
        opened(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=2))
    with pytest.raises(InvalidFileError, match="4 frames cannot be told apart in 3 fragments"):
        opened(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=4))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(("bits", "samples"), [(8, 1), (8, 3), (16, 1), (32, 1)])
def test_native_little_endian(syntax: UID, bits: int, samples: int) -> None:
    pixels = np.arange(2 * 3 * 5 * samples).astype(f"<u{bits // 8}").reshape(2, -1)
    value = pixels.tobytes() + bytes(pixels.nbytes % 2)
    body = make_file(syntax, PixelData=value, BitsAllocated=bits, SamplesPerPixel=samples, NumberOfFrames=2)
    assert frames_of(body) == [frame.tobytes() for frame in pixels]


@pytest.mark.parametrize(("bits", "vr"), [(8, "OB"), (8, "OW"), (16, "OW"), (32, "OW")])
def test_native_big_endian(bits: int, vr: str) -> None:
    """Frames of 15 cells: those of bytes in words begin in the middle of a word."""
    pixels = np.arange(2 * 15).astype(f"<u{bits // 8}").reshape(2, -1)
    width = 2 if vr == "OW" and bits == 8 else bits // 8
    value = np.frombuffer(pixels.tobytes(), f"<u{width}").astype(f">u{width}").tobytes()
    dataset = pydicom.dcmread(io.BytesIO(make_file(ExplicitVRLittleEndian, PixelData=b"", NumberOfFrames=2)))
    dataset.BitsAllocated = bits
    dataset.PixelData = value
    dataset["PixelData"].VR = vr
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=False, enforce_file_format=True)
    assert frames_of(buffer.getvalue()) == [frame.tobytes() for frame in pixels]


@pytest.mark.parametrize(("rows", "columns", "frames"), [(3, 5, 4), (1, 1, 9), (10, 10, 3), (2, 4, 3), (7, 7, 8)])
def test_single_bits(rows: int, columns: int, frames: int) -> None:
    bits = np.random.default_rng(2).integers(0, 2, (frames, rows * columns), np.uint8)
    value = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    size = {"Rows": rows, "Columns": columns, "NumberOfFrames": frames}
    body = make_file(ExplicitVRLittleEndian, PixelData=value + bytes(len(value) % 2), BitsAllocated=1, **size)
    # Each begins with the lowest bit of a byte, and is padded with zeros.
    assert frames_of(body) == [np.packbits(frame, bitorder="little").tobytes() for frame in bits]


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_point(keyword: str, kind: str) -> None:
    pixels = np.random.default_rng(3).normal(size=(2, 15)).astype(kind)
    body = make_file(ExplicitVRLittleEndian, **{keyword: pixels.tobytes()}, NumberOfFrames=2)
    assert frames_of(body) == [frame.tobytes() for frame in pixels]


def test_subsampled_colour() -> None:
    size = {"Rows": 2, "Columns": 4, "SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422"}
    value = bytes(range(32))
    body = make_file(ExplicitVRLittleEndian, PixelData=value, NumberOfFrames=2, **size)
    assert frames_of(body) == [value[:16], value[16:]]
    value = bytes(range(48))  # labelled as subsampled, and not so
    body = make_file(ExplicitVRLittleEndian, PixelData=value, NumberOfFrames=2, **size)
    assert frames_of(body) == [value[:24], value[24:]]


def test_a_sequence_of_unknown_representation_before_the_pixels() -> None:
    """It is written without VRs whatever the file is (PS3.5 section 6.2.2)."""
    body = make_file(ExplicitVRLittleEndian, PixelData=bytes(16))
    inner = struct.pack("<HHI", 0x0028, 0x0030, 4) + b"1\\1 "
    undefined = struct.pack("<I", 0xFFFFFFFF)
    sequence = (
        struct.pack("<HH", 0x0029, 0x1001)
        + b"UN\0\0"
        + undefined
        + struct.pack("<HH", 0xFFFE, 0xE000)
        + undefined
        + inner
        + struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    )
    at = body.index(struct.pack("<HH", 0x7FE0, 0x0010))
    assert frames_of(body[:at] + sequence + body[at:]) == [bytes(15)]


# --- files that are not what they seem ---


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"PixelData": bytes(10)}, TruncatedFileError, "10 bytes of pixel data; 1 frames take 15"),
        ({"PixelData": bytes(40)}, InvalidFileError, "40 bytes of pixel data, its header tells of 15"),
        ({"PixelData": bytes(30), "NumberOfFrames": 1}, InvalidFileError, "30 bytes of pixel data, its header tells"),
        ({"PixelData": bytes(16), "Rows": 0}, InvalidFileError, "Rows"),
        ({"PixelData": bytes(16), "BitsAllocated": 12}, InvalidFileError, "12 bits"),
        ({}, InvalidFileError, "holds no pixel data"),
    ],
)
def test_headers_that_contradict_the_pixels(change: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        opened(make_file(ExplicitVRLittleEndian, **change))


@pytest.mark.parametrize("told", [b"3 ", b"3.0 ", b"3\\2 ", b"0 ", b"-1", b"1e11", b"many", b""])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
def test_frames_are_counted_as_in_the_metadata_else_as_there_are(syntax: UID, told: bytes) -> None:
    frames = [b"\xff\xd8\xff" + bytes([number] * 12) for number in range(3)]
    stored, values = items(struct.pack("<3I", 0, 24, 48), *(each + b"\0" for each in frames)), frames
    if syntax == ExplicitVRLittleEndian:
        stored = b"".join(frames) + b"\0"
    else:
        values = [each + b"\0" for each in frames]
    body = make_file(syntax, PixelData=stored, NumberOfFrames=7777)
    element = struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", 4) + b"7777"
    assert element in body
    body = body.replace(element, struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", len(told)) + told)
    assert frames_of(body) == values
    header = opened(body).header
    assert set(header.numbers) & {"NumberOfFrames", "The number of frames"} == {
        "NumberOfFrames" if told[:1] == b"3" else "The number of frames"
    }


def test_a_table_of_fragments_is_none_of_frames() -> None:
    stored = items(struct.pack("<2I", 0, 24), b"\xff\xd8\xff" + bytes(13), bytes(16))
    assert frames_of(make_file(JPEGBaseline8Bit, PixelData=stored)) == [b"\xff\xd8\xff" + bytes(29)]


def test_no_number_of_frames_and_no_bits_are_one_frame_of_bytes() -> None:
    body = make_file(ExplicitVRLittleEndian, PixelData=bytes(range(16)))
    bits = struct.pack("<HH2sHH", 0x0028, 0x0100, b"US", 2, 8)
    assert frames_of(body.replace(bits, b"")) == frames_of(body) == [bytes(range(15))]


def test_padding_is_no_contradiction() -> None:
    assert frames_of(make_file(ExplicitVRLittleEndian, PixelData=bytes(range(15)) + bytes(9))) == [bytes(range(15))]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_whole_frames_are_read_where_the_header_tells_of_more(syntax: UID, bits: int) -> None:
    """What lies behind the value is no frame: here a padding that would pass for one."""
    size = {1: 2, 8: 15, 16: 30}[bits]  # 15 pixels each
    value = bytes(range(4 * size + 4 * size % 2))[: 2 * size]
    more = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    whole = {"PixelData": value[: -(-2 * 15 * bits // 8)], "DataSetTrailingPadding": bytes(200)}
    frames = opened(make_file(syntax, NumberOfFrames=3, **more, **whole)).frames
    two = opened(make_file(syntax, NumberOfFrames=2, **more, **whole)).frames
    assert [frames.cut(1), frames.cut(2)] == [two.cut(1), two.cut(2)]
    with pytest.raises(TruncatedFileError, match="frame 3 would end at"):
        frames.cut(3)


def test_another_instance() -> None:
    body = make_file(ExplicitVRLittleEndian, PixelData=bytes(16))
    with pytest.raises(WrongPartsError, match=r"Another instance came for the whole instance 9\.9"):
        open_instance(memoryview(body), InstanceKey("1.2", "1.2.3", "9.9"))
    assert len(open_instance(memoryview(body), KEY).frames) == 1


def test_nesting_is_bounded() -> None:
    deep = struct.pack("<HH", 0x0040, 0x0275) + b"SQ\0\0" + b"\xff" * 4 + struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
    with pytest.raises(InvalidFileError, match="nested more than 64 times"):
        list(elements(memoryview(deep * 100_000), 0, EXPLICIT_LITTLE))


def test_a_hostile_count_of_frames_costs_nothing() -> None:
    frames = opened(make_file(ExplicitVRLittleEndian, PixelData=bytes(16), NumberOfFrames=2**31 - 1)).frames
    assert frames.cut(1) == bytes(15)
    for number in (2, 2**31 - 1):
        with pytest.raises(TruncatedFileError, match="holds 16 bytes of pixel data"):
            frames.cut(number)
    with pytest.raises(InvalidFileError):
        opened(make_file(JPEGBaseline8Bit, PixelData=items(b"", b"ab"), NumberOfFrames=2**31 - 1))


def test_elements_beyond_reason() -> None:
    empty = struct.pack("<HHI", 0x0010, 0x0010, 0)
    with pytest.raises(InvalidFileError, match="more than 262144 data elements"):
        deque(elements(memoryview(empty * (1 << 19)), 0, IMPLICIT_LITTLE), maxlen=0)


@pytest.mark.parametrize(
    "change",
    [
        {"ExtendedOffsetTable": bytes(2**24), "ExtendedOffsetTableLengths": bytes(2**24)},
        {"ExtendedOffsetTable": bytes(2**24), "NumberOfFrames": 2**21},
        {"PixelData": items(bytes(2**24), b"ab"), "NumberOfFrames": 2**22},
    ],
)
def test_long_values_are_not_copied(change: dict[str, Any]) -> None:
    body = memoryview(make_file(JPEGBaseline8Bit, **{"PixelData": items(b"", b"ab"), **change}))
    tracemalloc.start()
    try:
        with suppress(InvalidReplyError):
            open_instance(body, KEY)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# --- cut and damaged files ---


@dataclass(frozen=True)
class Sample:
    """A small file, and the frames in it."""

    body: bytes
    frames: Sequence[bytes]


@cache
def samples() -> dict[str, Sample]:
    jpegs = [b"\xff\xd8\xff" + bytes([number] * 8) + b"\xff\xd9\0" for number in range(3)]
    native = bytes(range(30))
    bodies: dict[str, Callable[[], tuple[bytes, Sequence[bytes]]]] = {
        "native": lambda: (make_file(ExplicitVRLittleEndian, PixelData=native, NumberOfFrames=2), two(native)),
        "implicit": lambda: (make_file(ImplicitVRLittleEndian, PixelData=native, NumberOfFrames=2), two(native)),
        "deflated": lambda: (
            make_file(DeflatedExplicitVRLittleEndian, PixelData=native, NumberOfFrames=2),
            two(native),
        ),
        "offsets": lambda: (
            make_file(JPEGBaseline8Bit, PixelData=encapsulate(jpegs, fragments_per_frame=2), NumberOfFrames=3),
            jpegs,
        ),
        "markers": lambda: (
            make_file(
                JPEGBaseline8Bit,
                PixelData=encapsulate(jpegs, fragments_per_frame=2, has_bot=False),
                NumberOfFrames=3,
            ),
            jpegs,
        ),
    }
    return {name: Sample(*make()) for name, make in bodies.items()}


def two(value: bytes) -> list[bytes]:
    return [value[:15], value[15:]]


@pytest.mark.parametrize("name", ["native", "implicit", "deflated", "offsets", "markers"])
def test_a_file_that_is_cut_anywhere_is_an_error(name: str) -> None:
    sample = samples()[name]
    held = open_instance(memoryview(sample.body), KEY)
    assert [held.frames.cut(number) for number in range(1, len(held.frames) + 1)] == list(sample.frames)
    for length in range(len(sample.body) - (8 if name in {"offsets", "markers"} else 0)):  # without the delimiter
        if name == "deflated" and sample.body[length:] == b"\0":
            continue  # padding behind the end of the deflated data
        with pytest.raises(InvalidReplyError):
            open_instance(memoryview(sample.body[:length]), KEY)


@pytest.mark.parametrize("name", ["native", "implicit", "offsets", "markers"])
def test_the_attributes_of_a_beginning_are_right_or_wait_for_more(name: str) -> None:
    body = samples()[name].body
    data = memoryview(body)
    meta = read_file_meta(data)
    end = body.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    for length in range(end):
        with pytest.raises(TruncatedFileError):
            header_of(data[:length])
    assert {header_of(data[:length]).data for length in range(end + 12, len(body))} == {body[meta.end : end]}


def header_of(beginning: memoryview) -> DataSetHeader:
    """A beginning that ends between two attributes is no error of `data_set_header`."""
    meta = read_file_meta(beginning)
    found = data_set_header(beginning, meta.end, meta, complete=False)
    if found is None:
        raise TruncatedFileError("More is needed.")
    return found


@settings(max_examples=examples(400), deadline=None)
@given(
    name=st.sampled_from(["native", "implicit", "deflated", "offsets", "markers"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6)), max_size=4),
    cut=st.floats(0, 1),
)
def test_damaged_files_give_frames_or_typed_errors(name: str, changes: list[tuple[float, bytes]], cut: float) -> None:
    body = bytearray(samples()[name].body)
    for place, value in changes:
        at = int(place * len(body))
        body[at : at + len(value)] = value
    data = memoryview(bytes(body[: round(cut * len(body))] if cut < 0.5 else body))
    try:
        held = open_instance(data, KEY)
        found = [held.frames.cut(number) for number in range(1, min(len(held.frames), 50) + 1)]
    except DicomZarrError:
        return
    # A damaged file may tell of other frames; never of more bytes than it has, were it inflated ten times.
    assert sum(map(len, found)) <= max(10 * len(data), 4096)

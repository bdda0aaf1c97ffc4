"""Frames of every codec that are cut off, damaged, padded, or claim to be what they cannot be."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np
import pytest
from coded_frames import BUILDERS, COLUMNS, ROWS, coded_frame, grey, planes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES, read_codestream
from dicomzarr.errors import FrameDecodeError, FrameError, FrameShapeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coded_frames import CodedFrame, Pixels

_SQUARES = np.random.default_rng(3).integers(0, 256, (16, 16, 3)).astype(np.uint8)
TEXTURE: Final[Pixels] = _SQUARES.repeat(6, axis=0).repeat(6, axis=1)
TEXTURE_PIXEL: Final = PixelDescription(
    *(*TEXTURE.shape, 8, 8, 7), signed=False, photometric_interpretation="YBR_FULL_422"
)
WHERE = "study 1.2, series 1.3, instance 1.4, frame 5"


@dataclass(frozen=True)
class Kind:
    """One way in which bytes of a frame are laid out."""

    uid: str
    name: str
    """In ``coded_frames.BUILDERS``."""
    paddings: tuple[bytes, ...] = (b"\0", b"\xff", b"\0\xff\0\0\xff")
    """What may follow the frame without being noticed."""
    resized: Callable[[bytes, int], bytes] | None = None
    """The same bytes, their header telling of so many rows and columns; None where no header tells."""

    @property
    def frame(self) -> CodedFrame:
        return coded_frame(self.uid, self.name)


def in_frame_header(marker: bytes) -> Callable[[bytes, int], bytes]:
    """Of JPEG and JPEG-LS: two bytes each, behind the length and the precision."""

    def resize(data: bytes, side: int) -> bytes:
        at = data.index(marker) + 5
        return data[:at] + side.to_bytes(2, "big") * 2 + data[at + 4 :]

    return resize


def in_size_segment(data: bytes, side: int) -> bytes:
    """Of JPEG 2000: four bytes each."""
    at = data.index(b"\xff\x51") + 6
    return data[:at] + side.to_bytes(4, "big") * 2 + data[at + 8 :]


def jpegxl_of_size(_: bytes, side: int) -> bytes:
    """A header of its own: sizes are no whole bytes in it."""
    # Small? no; 30 bits of rows less one; ratio 1:1; all metadata as by default.
    bits = 0 | 3 << 1 | (side - 1) << 3 | 1 << 33 | 1 << 36
    return b"\xff\x0a" + bits.to_bytes(6, "little") + bytes(40)


KINDS = {
    "native": Kind(uids.EXPLICIT_VR_LITTLE_ENDIAN, "grey16", (b"\0",)),
    "big endian": Kind(uids.EXPLICIT_VR_BIG_ENDIAN, "grey16", (b"\0",)),
    "float": Kind(uids.EXPLICIT_VR_LITTLE_ENDIAN, "float", (b"\0",)),
    "bits": Kind(uids.EXPLICIT_VR_LITTLE_ENDIAN, "bits", (b"\0",)),
    "rle": Kind(uids.RLE_LOSSLESS, "rgb-gdcm", (b"\0",)),
    "deflated": Kind(uids.DEFLATED_IMAGE_FRAME, "grey16"),
    "jpeg": Kind(uids.JPEG_BASELINE, "ybr-422", resized=in_frame_header(b"\xff\xc0")),
    "progressive jpeg": Kind(uids.JPEG_BASELINE, "ybr-422-progressive", resized=in_frame_header(b"\xff\xc2")),
    "12-bit jpeg": Kind(uids.JPEG_EXTENDED, "grey12", resized=in_frame_header(b"\xff\xc1")),
    "lossless jpeg": Kind(uids.JPEG_LOSSLESS_FIRST_ORDER, "grey16-1", resized=in_frame_header(b"\xff\xc3")),
    "jpeg-ls": Kind(uids.JPEG_LS_LOSSLESS, "grey16", resized=in_frame_header(b"\xff\xf7")),
    "jpeg 2000": Kind(uids.JPEG_2000_LOSSLESS, "rgb", resized=in_size_segment),
    "jp2": Kind(uids.JPEG_2000_LOSSLESS, "grey16-jp2", resized=in_size_segment),
    "htj2k": Kind(uids.HTJ2K_LOSSLESS, "rgb", resized=in_size_segment),
    "jpeg xl": Kind(uids.JPEG_XL_LOSSLESS, "rgb-bare", resized=jpegxl_of_size),
    "jpeg xl in boxes": Kind(uids.JPEG_XL_LOSSLESS, "grey16-boxes"),
    "jpeg in jpeg xl": Kind(uids.JPEG_XL_JPEG_RECOMPRESSION, "ybr-422"),
}
CODESTREAMS = {name: kind for name, kind in KINDS.items() if kind.resized is not None}
PACKED = ("native", "big endian", "float", "bits", "rle", "deflated")


def decode(data: bytes, pixel: PixelDescription, uid: str) -> Pixels:
    return decode_frame(data, pixel, transfer_syntax_uid=uid, where=WHERE)


def decode_or_refuse(data: bytes, pixel: PixelDescription, uid: str) -> Pixels | None:
    """Nothing but a frame or a typed error that names the frame may come out."""
    frame, refusal = None, ""
    try:
        frame = decode(data, pixel, uid)
    except FrameError as error:
        refusal = str(error)
    assert (frame is None) == (WHERE in refusal)
    assert frame is None or (frame.shape == pixel.shape and frame.dtype == pixel.dtype)
    return frame


def test_there_is_a_kind_for_every_codec() -> None:
    assert {TRANSFER_SYNTAXES[kind.uid].codec for kind in KINDS.values()} == {
        row.codec for row in TRANSFER_SYNTAXES.values()
    }


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_that_is_cut_off_is_an_error_or_whole(name: str) -> None:
    kind = KINDS[name]
    frame = kind.frame
    expected = decode(frame.data, frame.pixel, kind.uid)
    length = len(frame.data)
    refused = 0
    for cut in (*range(0, length, 1 + length // 300), *range(max(0, length - 40), length)):
        found = decode_or_refuse(frame.data[:cut], frame.pixel, kind.uid)
        refused += found is None
        if found is not None:  # nothing but padding was lost
            assert cut >= length - 2
            np.testing.assert_array_equal(found, expected)
    assert refused >= 30


@pytest.mark.parametrize("name", KINDS)
def test_what_follows_a_frame_does_not_matter(name: str) -> None:
    kind = KINDS[name]
    frame = kind.frame
    expected = decode(frame.data, frame.pixel, kind.uid)
    for padding in kind.paddings:
        np.testing.assert_array_equal(decode(frame.data + padding, frame.pixel, kind.uid), expected)


@pytest.mark.parametrize("name", [name for name in KINDS if "jpeg xl" not in name])
def test_two_frames_in_the_place_of_one_are_an_error(name: str) -> None:
    """But for JPEG XL, of which the decoder alone sees the end."""
    kind = KINDS[name]
    for between in (b"", *kind.paddings):
        with pytest.raises(FrameError, match=WHERE):
            decode(kind.frame.data + between + kind.frame.data, kind.frame.pixel, kind.uid)


def test_a_smaller_picture_behind_a_jpeg_is_none_of_its_pixels() -> None:
    frame = KINDS["jpeg"].frame
    thumbnail = bytes(imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8)))
    expected = decode(frame.data, frame.pixel, frame.uid)
    np.testing.assert_array_equal(decode(frame.data + thumbnail, frame.pixel, frame.uid), expected)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(ROWS + 1, COLUMNS), (COLUMNS, ROWS), (1, 1), (65535, 65535), (1, 65535)])
def test_metadata_of_another_size_are_an_error(name: str, size: tuple[int, int]) -> None:
    kind = KINDS[name]
    pixel = replace(kind.frame.pixel, rows=size[0], columns=size[1])
    if np.prod(size) == ROWS * COLUMNS and name in PACKED:
        # Nothing in such bytes tells rows from columns.
        assert decode(kind.frame.data, pixel, kind.uid).shape == pixel.shape
        return
    tracemalloc.start()
    try:
        with pytest.raises((FrameShapeError, FrameDecodeError)) as caught:
            decode(kind.frame.data, pixel, kind.uid)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert WHERE in str(caught.value)


@pytest.mark.parametrize("name", CODESTREAMS)
@pytest.mark.parametrize("side", [20000, 46341, 65535])
def test_a_hostile_header_is_refused_before_memory_is_taken(
    name: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = CODESTREAMS[name]
    frame = kind.frame
    assert kind.resized is not None
    data = kind.resized(frame.data, side)
    codestream = read_codestream(data)
    assert codestream is not None
    assert (codestream.rows, codestream.columns) == (side, side)

    def takes_memory(*_: object, **__: object) -> None:
        pytest.fail("the decoder was called")

    for decoder in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "jpegxl_decode", "jpegxl_decode_jpeg"):
        monkeypatch.setattr(imagecodecs, decoder, takes_memory)
    with pytest.raises(FrameShapeError):  # the metadata tell of a small one
        decode(data, frame.pixel, kind.uid)
    with pytest.raises(FrameDecodeError, match="cannot be"):  # they tell of the same
        decode(data, replace(frame.pixel, rows=side, columns=side), kind.uid)


def test_too_little_memory_is_an_error_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = KINDS["jpeg 2000"].frame

    def is_out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", is_out_of_memory)
    with pytest.raises(FrameDecodeError, match="cannot be decoded"):
        decode(frame.data, frame.pixel, frame.uid)


# Damage inside, under an end marker that is in its place


def cut_short(data: bytes, percent: int) -> bytes:
    """Its beginning, and the end marker."""
    return data[: len(data) * percent // 100] + b"\xff\xd9"


def with_a_gap(data: bytes) -> bytes:
    """An eighth is lost in the middle."""
    return data[: len(data) // 2] + data[len(data) * 5 // 8 :]


def lossy_jpeg(pixels: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


MARKED_ENDS = {
    f"{uid}-{name}": (uid, name)
    for uid in (
        *(uids.JPEG_BASELINE, uids.JPEG_EXTENDED, uids.JPEG_LOSSLESS, uids.JPEG_LOSSLESS_FIRST_ORDER),
        *(uids.JPEG_LS_LOSSLESS, uids.JPEG_LS_NEAR_LOSSLESS, uids.JPEG_2000_LOSSLESS, uids.JPEG_2000),
        *(uids.HTJ2K_LOSSLESS, uids.HTJ2K),
    )
    for name in BUILDERS[uid]
}


@pytest.mark.parametrize("name", MARKED_ENDS)
@pytest.mark.parametrize("percent", [60, 85, 95])
def test_a_frame_that_lacks_data_before_its_end_marker_is_an_error(name: str, percent: int) -> None:
    uid, made = MARKED_ENDS[name]
    frame = coded_frame(uid, made)
    assert decode_or_refuse(cut_short(frame.data, percent), frame.pixel, uid) is None


@pytest.mark.parametrize("name", [name for name in MARKED_ENDS if "progressive" not in name])
def test_a_frame_that_lacks_a_piece_in_its_middle_is_an_error(name: str) -> None:
    uid, made = MARKED_ENDS[name]
    frame = coded_frame(uid, made)
    assert decode_or_refuse(with_a_gap(frame.data), frame.pixel, uid) is None


@pytest.mark.parametrize("name", [name for name in MARKED_ENDS if "420" not in name and ".4.5" in name])
def test_a_jpeg_that_lacks_the_end_of_its_last_unit_is_an_error(name: str) -> None:
    uid, made = MARKED_ENDS[name]
    frame = coded_frame(uid, made)
    assert decode_or_refuse(frame.data[:-6] + b"\xff\xd9", frame.pixel, uid) is None


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2"])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_jpeg_with_a_piece_twice_is_an_error(subsampling: str, place: float) -> None:
    data = lossy_jpeg(TEXTURE, quality=90, subsampling=subsampling)
    middle = int(len(data) * place)
    assert decode_or_refuse(data[:middle] + data[middle - 150 :], TEXTURE_PIXEL, uids.JPEG_BASELINE) is None


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_of_which_a_sector_is_blank_is_an_error(subsampling: str) -> None:
    data = lossy_jpeg(TEXTURE, quality=90, subsampling=subsampling)
    middle = len(data) // 2
    blank = data[:middle] + bytes(512) + data[middle + 512 :]
    assert decode_or_refuse(blank, TEXTURE_PIXEL, uids.JPEG_BASELINE) is None


@pytest.mark.parametrize("interval", [2, 6])
def test_a_jpeg_that_lacks_data_before_a_restart_marker_is_an_error(interval: int) -> None:
    data = lossy_jpeg(TEXTURE, quality=90, subsampling="4:2:0", restart_marker_blocks=interval)
    begin, end = (data.index(marker, data.index(b"\xff\xda")) for marker in (b"\xff\xd2", b"\xff\xd3"))
    damaged = data[: begin + (end - begin) // 3] + data[end:]
    assert decode_or_refuse(data, TEXTURE_PIXEL, uids.JPEG_BASELINE) is not None
    assert decode_or_refuse(damaged, TEXTURE_PIXEL, uids.JPEG_BASELINE) is None


def test_a_jpeg_whose_restart_intervals_are_lost_or_in_another_order_is_an_error() -> None:
    data = lossy_jpeg(TEXTURE, quality=90, subsampling="4:2:0", restart_marker_blocks=1)
    place = [data.index(bytes((0xFF, 0xD0 + number)), data.index(b"\xff\xda")) for number in range(8)]
    swapped = bytearray(data)
    swapped[place[2] + 1], swapped[place[3] + 1] = 0xD3, 0xD2
    assert decode_or_refuse(bytes(swapped), TEXTURE_PIXEL, uids.JPEG_BASELINE) is None
    next_round = data.index(b"\xff\xd2", place[2] + 2)  # eight intervals later the numbers are the same
    assert decode_or_refuse(data[: place[2]] + data[next_round:], TEXTURE_PIXEL, uids.JPEG_BASELINE) is None


def test_a_jpeg_with_another_marker_within_its_scan_is_an_error() -> None:
    data = lossy_jpeg(TEXTURE, quality=90, subsampling="4:2:0")
    middle = len(data) // 2
    assert decode_or_refuse(data[:middle] + b"\xff\x45" + data[middle + 2 :], TEXTURE_PIXEL, uids.JPEG_BASELINE) is None


def test_a_jpeg_of_hundreds_of_scans_is_refused_before_it_is_decoded() -> None:
    data = lossy_jpeg(TEXTURE, quality=90, progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 300 + b"\xff\xd9"
    with pytest.raises(FrameDecodeError, match="more than 100 scans"):
        decode(bomb, TEXTURE_PIXEL, uids.JPEG_BASELINE)


@pytest.mark.parametrize(
    ("name", "uid", "samples", "bits"),
    [
        ("jpeg_baseline_60_percent_and_EOI.jpg", uids.JPEG_BASELINE, 3, 8),
        ("jpeg_baseline_300_bytes_lost.jpg", uids.JPEG_BASELINE, 3, 8),
        ("jpeg_lossless_60_percent_and_EOI.jpg", uids.JPEG_LOSSLESS_FIRST_ORDER, 1, 16),
    ],
)
def test_a_damaged_file_of_others_is_an_error(shared_dir: Path, name: str, uid: str, samples: int, bits: int) -> None:
    pixel = PixelDescription(
        *(256, 256, samples, bits, bits, bits - 1),
        signed=False,
        photometric_interpretation="RGB" if samples == 3 else "MONOCHROME2",
    )
    with pytest.raises(FrameDecodeError, match="data are missing") as caught:
        decode((shared_dir / "hostile" / name).read_bytes(), pixel, uid)
    assert WHERE in str(caught.value)


# Whole frames of every kind


@settings(deadline=None)  # a machine may be busy
@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.sampled_from(["noise", "grey at the end", 0, 127, 128, 255]),
    st.fixed_dictionaries(
        {
            "quality": st.sampled_from([5, 50, 90, 100]),
            "optimize": st.booleans(),
            "progressive": st.booleans(),
            "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
            "restart_marker_blocks": st.integers(0, 12),
        }
    ),
    st.sampled_from([1, 3]),
)
def test_no_whole_jpeg_is_refused_or_changed_by_the_search_for_damage(
    size: tuple[int, int], kind: str | int, options: dict[str, Any], samples: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, samples)).astype(np.uint8)
    pixels[-16 if kind == "grey at the end" else size[0] :] = 128
    if isinstance(kind, int):
        pixels[:] = kind
    data = lossy_jpeg(pixels if samples == 3 else pixels[..., 0], **options)
    pixel = replace(TEXTURE_PIXEL, rows=size[0], columns=size[1], samples=samples)
    found = decode(data, pixel, uids.JPEG_BASELINE)
    source, target = ("YCBCR", "RGB") if samples == 3 else ("GRAYSCALE", "GRAYSCALE")
    plain = imagecodecs.jpeg8_decode(data, colorspace=source, outcolorspace=target)
    np.testing.assert_array_equal(found, planes(plain))


@settings(deadline=None)  # a machine may be busy
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 7),
    st.integers(8, 16),
    st.sampled_from(["noise", "flat", "middle"]),
)
def test_no_whole_jpeg_of_many_bits_is_refused_or_changed_by_the_search_for_damage(
    size: tuple[int, int], predictor: int, bits: int, kind: str
) -> None:
    bits = bits if predictor else 12  # lossy ones of more than eight bits have twelve
    pixels = np.random.default_rng(0).integers(0, 1 << bits, size).astype(np.uint8 if bits == 8 else np.uint16)
    if kind != "noise":
        pixels[:] = 1 << (bits - 1) if kind == "middle" else 1
    options = {"lossless": True, "predictor": predictor} if predictor else {}
    data = bytes(imagecodecs.jpeg8_encode(pixels, bitspersample=bits, **options))
    found = decode(data, grey(pixels, bits), uids.JPEG_LOSSLESS if predictor else uids.JPEG_EXTENDED)
    np.testing.assert_array_equal(found[0], pixels if predictor else imagecodecs.jpeg8_decode(data))


@pytest.mark.parametrize("added", [b"\xff", b"\xff\xff\xff", bytes(3), b"\xff\xd0"])
@pytest.mark.parametrize("name", ["grey8", "ybr-444", "ybr-422", "rgb"])
def test_fill_bytes_padding_and_a_last_restart_marker_before_the_end_do_not_matter(name: str, added: bytes) -> None:
    frame = coded_frame(uids.JPEG_BASELINE, name)
    data = frame.data[: frame.data.rindex(b"\xff\xd9")] + added + b"\xff\xd9"
    np.testing.assert_array_equal(
        decode(data, frame.pixel, frame.uid), decode(frame.data, frame.pixel, frame.uid), strict=True
    )


@given(st.sampled_from(sorted(KINDS)), st.integers(0), st.binary(min_size=1, max_size=8))
def test_damaged_frames_decode_or_are_refused(name: str, place: int, damage: bytes) -> None:
    frame = KINDS[name].frame
    position = place % len(frame.data)
    decode_or_refuse(
        frame.data[:position] + damage + frame.data[position + len(damage) :], frame.pixel, KINDS[name].uid
    )


@given(
    st.sampled_from([b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\1\0\0\0\x40\0\0\0", b"\xff\xd8\xff"]),
    st.binary(max_size=300),
    st.sampled_from(sorted(TRANSFER_SYNTAXES)),
)
def test_random_bytes_are_refused_under_every_label(beginning: bytes, rest: bytes, uid: str) -> None:
    decode_or_refuse(beginning + rest, KINDS["native"].frame.pixel, uid)

"""One frame: real ones against pydicom, made ones against what they were made from."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import imagecodecs
import jpeg_ls  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pydicom
import pytest
from coded_frames import subsampled_jpeg2000
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import pixel_array
from real_data import real_file, real_series
from slides_codecs import CODECS

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.planes import put
from dicomzarr.codecs.scratch import Scratch
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import (
    DicomZarrError,
    FrameDecodeError,
    FrameShapeError,
    ServerDecodedWarning,
    UnsupportedTransferSyntaxError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

SCRATCHES = (Scratch(), Scratch(for_planes=True))
WHERE = "study 1.2, series 1.3, instance 1.4, frame 5"

ROWS, COLUMNS = 40, 32
Y, X = np.mgrid[0:ROWS, 0:COLUMNS]
RGB = np.stack([X * 7 % 256, Y * 5 % 256, (X + 2 * Y) % 256], axis=-1).astype(np.uint8)
GREY8 = RGB[..., 0].copy()
GREY12 = (X * 120 + Y * 3).astype(np.uint16)
GREY16 = (X * 2000 + Y * 13).astype(np.uint16)
SIGNED16 = (GREY16.astype(np.int32) - 30000).astype(np.int16)


def grey(bits_stored: int, *, allocated: int = 0, high_bit: int = -1, signed: bool = False) -> PixelDescription:
    return PixelDescription(
        rows=ROWS,
        columns=COLUMNS,
        samples=1,
        bits_allocated=allocated or (8 if bits_stored <= 8 else 16),
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit < 0 else high_bit,
        signed=signed,
        photometric_interpretation="MONOCHROME2",
    )


def colour(photometric_interpretation: str = "RGB", *, planar: int = 0) -> PixelDescription:
    return PixelDescription(
        rows=ROWS,
        columns=COLUMNS,
        samples=3,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        signed=False,
        photometric_interpretation=photometric_interpretation,
        planar_configuration=planar,
    )


def decode(
    data: bytes | bytearray | memoryview,
    pixel: PixelDescription,
    uid: str | None = uids.EXPLICIT_VR_LITTLE_ENDIAN,
    media_type: str = "",
) -> npt.NDArray[Any]:
    """Decodes, and checks what every result must be."""
    view = data if isinstance(data, memoryview) else bytes(data)
    frame = decode_frame(view, pixel, transfer_syntax_uid=uid, media_type=media_type, where=WHERE)
    assert frame.shape == pixel.shape
    assert frame.dtype == pixel.dtype
    for memory in SCRATCHES:
        lent = decode_frame(view, pixel, transfer_syntax_uid=uid, media_type=media_type, where=WHERE, scratch=memory)
        np.testing.assert_array_equal(lent, frame, strict=True)
        planes = np.zeros(pixel.shape, pixel.dtype)
        put(planes, ..., lent)
        np.testing.assert_array_equal(planes, frame, strict=True)
    return frame


def interleaved(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.moveaxis(frame, 0, -1) if frame.shape[0] > 1 else frame[0]


def largest_difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())


def ybr(rgb: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(convert_color_space(rgb, "RGB", "YBR_FULL"))


# Real frames


def read(path: str | Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the files are odd on purpose
        return pydicom.dcmread(path)


def packaged(name: str) -> pydicom.Dataset:
    path = get_testdata_file(name, download=False)
    if not isinstance(path, str):
        pytest.skip(f"pydicom does not carry {name}")
    return read(path)


def describe(dataset: pydicom.Dataset) -> PixelDescription:
    return PixelDescription(
        rows=dataset.Rows,
        columns=dataset.Columns,
        samples=dataset.SamplesPerPixel,
        bits_allocated=dataset.BitsAllocated,
        bits_stored=dataset.BitsStored,
        high_bit=dataset.HighBit,
        signed=bool(dataset.PixelRepresentation),
        photometric_interpretation=dataset.PhotometricInterpretation,
        planar_configuration=dataset.get("PlanarConfiguration", 0) or 0,
        lossy=dataset.get("LossyImageCompression") == "01",
    )


def frames_of(dataset: pydicom.Dataset) -> list[bytes]:
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    uid = dataset.file_meta.TransferSyntaxUID
    if uid.is_encapsulated:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    size = len(dataset.PixelData) // count
    return [dataset.PixelData[index * size : (index + 1) * size] for index in range(count)]


def oracle(dataset: pydicom.Dataset, index: int) -> npt.NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(pixel_array(dataset, index=index))
        except RuntimeError:
            pytest.skip("pydicom has no decoder for it here")


def compare_with_pydicom(dataset: pydicom.Dataset, tolerance: int = 0) -> None:
    uid = str(dataset.file_meta.TransferSyntaxUID)
    for index, data in enumerate(frames_of(dataset)[:3]):
        frame = decode(data, describe(dataset), uid)
        assert largest_difference(interleaved(frame), oracle(dataset, index)) <= tolerance


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI.dcm",  # 16 bits signed in the codestream, 14 in the header
        "CT_small.dcm",
        "GDCMJ2K_TextGBR.dcm",  # JP2 boxes
        "J2K_pixelrep_mismatch.dcm",  # unsigned codestream, signed header
        "JPEG2000.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_small_odd.dcm",
        "examples_jpeg2k.dcm",
        "examples_overlay.dcm",
        "examples_palette.dcm",
        "examples_rgb_color.dcm",
        "liver_1frame.dcm",  # one bit a pixel
        "rtdose.dcm",
    ],
)
def test_reversible_frames_are_those_of_pydicom(name: str) -> None:
    compare_with_pydicom(packaged(name))


@pytest.mark.parametrize(
    "name",
    [
        "JPGExtended.dcm",  # 12 bits
        "SC_jpeg_no_color_transform.dcm",  # RGB, and only the header says so
        "SC_jpeg_no_color_transform_2.dcm",  # RGB by its Adobe marker
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+n2.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_jpeg.dcm",  # an Adobe marker too short to say anything
        "SC_rgb_jpeg_app14_dcmd.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_rgb_small_odd_jpeg.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "examples_ybr_color.dcm",
    ],
)
def test_lossy_and_converted_frames_are_those_of_pydicom(name: str) -> None:
    # Decoders round differently, by a step or two.
    compare_with_pydicom(packaged(name), tolerance=2)


@pytest.mark.parametrize(
    "path",
    [
        "slide_cmu1/level-0-frames-0-30.dcm",  # the header says RGB, JFIF says YCbCr
        "slide_cmu1/level-3-frames-0-1.dcm",
        "slide_camelyon_level/multiframe_camelyon_challenge_image.dcm",
    ],
)
def test_slides_have_the_colours_that_pydicom_shows(path: str) -> None:
    folder, name = path.split("/")
    dataset = read(real_series(folder) / name)
    compare_with_pydicom(dataset, tolerance=2)
    frame = decode(frames_of(dataset)[0], describe(dataset), dataset.file_meta.TransferSyntaxUID)
    # Glass is nearly white in all three, where wrong colours make it pink or green.
    assert frame.reshape(3, -1).max(axis=1).min() > 225


def test_one_ct_image_is_the_same_in_three_transfer_syntaxes() -> None:
    folders = ("ct_explicit_le", "ct_jpegls", "ct_jpeg_lossless")
    datasets = [read(real_file(folder)) for folder in folders]
    assert len({dataset.file_meta.TransferSyntaxUID for dataset in datasets}) == 3
    native, *others = (
        decode(frames_of(dataset)[0], describe(dataset), dataset.file_meta.TransferSyntaxUID) for dataset in datasets
    )
    assert native.std() > 0
    for other in others:
        np.testing.assert_array_equal(other, native)


# Native frames


@pytest.mark.parametrize(
    ("pixels", "pixel"),
    [
        (GREY8, grey(8)),
        (GREY16, grey(16)),
        (SIGNED16, grey(16, signed=True)),
        (GREY16.astype("<u4") * 50000, grey(32, allocated=32)),
    ],
)
def test_native_grey_is_taken_as_it_is(pixels: npt.NDArray[Any], pixel: PixelDescription) -> None:
    np.testing.assert_array_equal(decode(pixels.tobytes(), pixel)[0], pixels)


@pytest.mark.parametrize("bits", [12, 16])
def test_the_bytes_of_a_native_frame_stay_as_they_are(bits: int) -> None:
    """They are in the cache, and somebody else may read them next."""
    body = bytearray(GREY16.tobytes())
    decode(memoryview(body), grey(bits))
    assert body == GREY16.tobytes()
    assert not decode(bytes(body), grey(16)).flags.writeable


def test_garbage_above_the_stored_bits_is_masked_away() -> None:
    cells = (GREY12 & 0xFFF) | ((X * 5 % 16) << 12).astype(np.uint16)
    np.testing.assert_array_equal(decode(cells.tobytes(), grey(12))[0], GREY12 & 0xFFF)


def test_values_are_sign_extended_from_the_high_bit() -> None:
    values = (X * 120 - 2000).astype(np.int16)
    cells = (values.view(np.uint16) & 0xFFF) | 0x5000
    np.testing.assert_array_equal(decode(cells.tobytes(), grey(12, signed=True))[0], values)


def test_values_that_end_below_the_top_are_shifted_down() -> None:
    cells = (GREY12 << 4) | 0x9
    frame = decode(cells.tobytes(), grey(12, high_bit=15))
    np.testing.assert_array_equal(frame[0], GREY12 & 0xFFF)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("encode", "uid"),
    [
        (imagecodecs.jpegls_encode, uids.JPEG_LS_LOSSLESS),
        (
            partial(imagecodecs.jpeg8_encode, lossless=True, predictor=1, bitspersample=16),
            uids.JPEG_LOSSLESS_FIRST_ORDER,
        ),
        (partial(imagecodecs.jpeg2k_encode, level=0, reversible=True, codecformat="j2k"), uids.JPEG_2000_LOSSLESS),
    ],
)
def test_cells_that_were_coded_as_they_are_hold_what_native_ones_do(
    encode: Callable[..., bytes],
    uid: str,
    signed: bool,  # noqa: FBT001  # a parameter
) -> None:
    """HighBit is at the top: what encodes whole cells, as dcmtk does, knows nothing of it (PS3.5 section 8.1.1)."""
    cells = ((GREY12 & 0xFFF) << 4) | 0x9
    pixel = grey(12, high_bit=15, signed=signed)
    frame = decode(bytes(encode(cells)), pixel, uid)
    np.testing.assert_array_equal(frame, decode(cells.tobytes(), pixel), strict=True)


def test_values_that_were_coded_without_their_cells_are_not_moved() -> None:
    values = GREY12 & 0xFFF
    coded = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k", bitspersample=12)
    np.testing.assert_array_equal(decode(bytes(coded), grey(12, high_bit=15), uids.JPEG_2000_LOSSLESS)[0], values)


def test_one_bit_pixels_are_packed_lowest_first() -> None:
    mask = (GREY8 > 100).astype(np.uint8)
    packed = np.packbits(mask, bitorder="little").tobytes()
    np.testing.assert_array_equal(decode(packed, grey(1, allocated=1))[0], mask)


@pytest.mark.parametrize("allocated", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_point_keeps_every_bit(allocated: int, order: str) -> None:
    width = allocated // 8
    patterns = np.random.default_rng(3).integers(0, 2**63, GREY8.shape).astype(f"<u{width}")
    patterns[0, :4] = np.array([np.nan, np.inf, -np.inf, -0.0]).astype(f"<f{width}").view(f"<u{width}")
    uid = uids.EXPLICIT_VR_LITTLE_ENDIAN if order == "<" else uids.EXPLICIT_VR_BIG_ENDIAN
    # No attribute of integers counts.
    pixel = replace(grey(7, allocated=allocated, high_bit=3, signed=True), floating=True)
    assert pixel.dtype == f"<f{width}"
    frame = decode(patterns.astype(f"{order}u{width}").tobytes(), pixel, uid)[0]
    np.testing.assert_array_equal(frame.view(f"<u{width}"), patterns)


def test_floating_point_of_other_widths_or_in_codestreams_is_refused() -> None:
    with pytest.raises(FrameShapeError, match="BitsAllocated 16 is no floating point"):
        decode(GREY16.tobytes(), replace(grey(16), floating=True))
    with pytest.raises(FrameShapeError, match="JPEG-LS codestream, the metadata say floating point"):
        decode(imagecodecs.jpegls_encode(GREY16), replace(grey(32, allocated=32), floating=True))


@pytest.mark.parametrize("pixel", [grey(8), grey(1, allocated=1), colour()])
def test_big_endian_cells_of_a_byte_and_less_are_refused_by_name(pixel: PixelDescription) -> None:
    data = bytes(pixel.nbytes * pixel.bits_allocated // 8)
    with pytest.raises(UnsupportedTransferSyntaxError, match="Explicit VR Big Endian") as caught:
        decode(data, pixel, uids.EXPLICIT_VR_BIG_ENDIAN)
    assert caught.value.uid == uids.EXPLICIT_VR_BIG_ENDIAN
    assert WHERE in str(caught.value)


@pytest.mark.parametrize("high_bit", [10, 16, 99])
def test_a_high_bit_that_cannot_be_is_refused(high_bit: int) -> None:
    with pytest.raises(FrameShapeError, match=f"HighBit {high_bit}"):
        decode(GREY12.tobytes(), grey(12, high_bit=high_bit))


@pytest.mark.parametrize("allocated", [12, 24])
def test_cells_that_are_no_bytes_are_refused(allocated: int) -> None:
    pixel = grey(12, allocated=allocated)
    data = bytes(ROWS * COLUMNS * allocated // 8)
    with pytest.raises(FrameShapeError, match=f"BitsAllocated {allocated}"):
        decode(data, pixel)


def test_colour_by_pixel_and_by_plane_is_the_same() -> None:
    by_plane = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
    np.testing.assert_array_equal(interleaved(decode(RGB.tobytes(), colour())), RGB)
    frame = decode(by_plane.tobytes(), colour(planar=1))
    np.testing.assert_array_equal(interleaved(frame), RGB)


@pytest.mark.parametrize("planar", [0, 1])
def test_full_luminance_and_colour_differences_become_rgb(planar: int) -> None:
    stored = ybr(RGB)
    if planar:
        stored = np.moveaxis(stored, -1, 0)
    frame = decode(np.ascontiguousarray(stored).tobytes(), colour("YBR_FULL", planar=planar))
    assert largest_difference(interleaved(frame), RGB) <= 2


def test_subsampled_colour_takes_two_bytes_a_pixel() -> None:
    pairs = np.repeat(RGB[:, ::2], 2, axis=1)  # equal neighbours survive subsampling
    stored = ybr(pairs)
    packed = np.stack([stored[:, ::2, 0], stored[:, 1::2, 0], stored[:, ::2, 1], stored[:, ::2, 2]], axis=-1)
    assert packed.nbytes == ROWS * COLUMNS * 2
    frame = decode(packed.tobytes(), colour("YBR_FULL_422"))
    assert largest_difference(interleaved(frame), pairs) <= 2


def test_palette_indices_stay_indices() -> None:
    pixel = replace(grey(8), photometric_interpretation="PALETTE COLOR")
    np.testing.assert_array_equal(decode(GREY8.tobytes(), pixel)[0], GREY8)


@pytest.mark.parametrize("kind", ["YBR_PARTIAL_420", "YBR_PARTIAL_422", "CMYK"])
def test_retired_colour_models_are_refused(kind: str) -> None:
    with pytest.raises(FrameDecodeError, match=kind):
        decode(RGB.tobytes(), colour(kind))


def test_one_byte_of_padding_is_allowed_and_not_two() -> None:
    pixel = replace(grey(8), rows=5, columns=3)
    data = bytes(range(15))
    np.testing.assert_array_equal(decode(data + b"\0", pixel)[0].ravel(), np.arange(15))
    with pytest.raises(FrameShapeError):
        decode(data + b"\0\0", pixel)


@pytest.mark.parametrize("length", [0, 1, 100, ROWS * COLUMNS * 2 - 1, ROWS * COLUMNS * 4])
def test_a_native_frame_of_another_length_is_an_error(length: int) -> None:
    with pytest.raises(FrameShapeError) as caught:
        decode(bytes(length), grey(16))
    assert WHERE in str(caught.value)
    assert f"{length} bytes" in str(caught.value)
    assert str(ROWS * COLUMNS * 2) in str(caught.value)


def test_a_hostile_size_is_refused_before_memory_is_taken() -> None:
    huge = replace(grey(16), rows=65535, columns=65535)
    with pytest.raises(FrameShapeError):
        decode(b"\1\2" * 50, huge)


# Frames that the server decoded


@pytest.mark.parametrize("kind", ["YBR_FULL_422", "YBR_RCT", "YBR_ICT", "XYB"])
def test_decoded_by_the_server_is_rgb_with_a_warning(kind: str) -> None:
    with pytest.warns(ServerDecodedWarning, match="decoded"):
        frame = decode(RGB.tobytes(), colour(kind))
    np.testing.assert_array_equal(interleaved(frame), RGB)


@pytest.mark.parametrize("uid", [uids.EXPLICIT_VR_LITTLE_ENDIAN, None])
def test_native_rgb_of_a_lossy_image_is_on_trust(uid: str | None) -> None:
    with pytest.warns(ServerDecodedWarning):
        frame = decode(RGB.tobytes(), replace(colour(), lossy=True), uid)
    np.testing.assert_array_equal(interleaved(frame), RGB)


def test_native_rgb_out_of_the_file_that_stores_it_is_what_it_says() -> None:
    lossy = replace(colour(), lossy=True)
    syntax = uids.EXPLICIT_VR_LITTLE_ENDIAN
    frame = decode_frame(RGB.tobytes(), lossy, transfer_syntax_uid=syntax, where="a frame", stored=True)
    np.testing.assert_array_equal(interleaved(frame), RGB)  # a warning would be an error


def test_the_warning_comes_once_and_grey_needs_none() -> None:
    lossy = replace(colour(), lossy=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            decode(RGB.tobytes(), lossy)
        decode(RGB.tobytes(), colour("YBR_RCT"))
    assert [entry.category for entry in caught] == [ServerDecodedWarning]
    decode(GREY8.tobytes(), replace(grey(8), lossy=True))  # a warning would be an error


# Labels and bytes


def test_htj2k_labelled_as_native_is_decoded() -> None:
    data = imagecodecs.htj2k_encode(GREY16, reversible=True)
    np.testing.assert_array_equal(decode(data, grey(16))[0], GREY16)


@pytest.mark.parametrize("uid", [uids.JPEG_BASELINE, uids.JPEG_LS_LOSSLESS, None])
def test_native_bytes_under_another_label_are_native(uid: str | None) -> None:
    np.testing.assert_array_equal(decode(GREY16.tobytes(), grey(16), uid)[0], GREY16)


def test_native_pixels_that_begin_like_a_codestream_stay_pixels() -> None:
    for magic in (b"\xff\xd8\xff\xe0", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"):
        data = magic + GREY8.tobytes()[len(magic) :]
        assert decode(data, grey(8)).tobytes() == data
        assert decode(data, grey(8), None).tobytes() == data
    # A whole header of another image is no proof either.
    header = bytes(imagecodecs.jpeg8_encode(GREY8[:8, :8]))
    data = header + GREY8.tobytes()[len(header) :]
    assert decode(data, grey(8)).tobytes() == data


def test_a_codestream_of_exactly_native_length_is_decoded() -> None:
    data = bytes(imagecodecs.jpegls_encode(GREY16))
    padded = data.ljust(ROWS * COLUMNS * 2, b"\0")
    assert len(padded) == GREY16.nbytes
    np.testing.assert_array_equal(decode(padded, grey(16))[0], GREY16)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/jls", "", "image/png"])
def test_bytes_speak_for_themselves_without_a_transfer_syntax(media_type: str) -> None:
    data = imagecodecs.jpegls_encode(GREY16)
    np.testing.assert_array_equal(decode(data, grey(16), None, media_type)[0], GREY16)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.2.4.53",
        "1.2.840.10008.1.2.4.92",
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.102",
        "1.2.840.10008.1.2.7.1",
        "1.2.840.113619.5.2",
    ],
)
def test_an_unsupported_label_is_not_guessed_around(uid: str) -> None:
    for data in (GREY16.tobytes(), bytes(imagecodecs.jpegls_encode(GREY16))):
        with pytest.raises(UnsupportedTransferSyntaxError) as caught:
            decode(data, grey(16), uid)
        assert caught.value.uid == uid
        assert WHERE in str(caught.value)


def test_an_unsupported_media_type_is_named() -> None:
    with pytest.raises(UnsupportedTransferSyntaxError, match="JPEG 2000 Part 2"):
        decode(b"\1\0\0\0" * 16, grey(16), None, "image/jpx")


def test_part_2_of_jpeg_2000_is_named_whatever_the_label_says() -> None:
    data = bytearray(imagecodecs.jpeg2k_encode(GREY16, codecformat="j2k", reversible=True))
    data[6] |= 0x80  # in Rsiz
    for uid, media_type in ((uids.JPEG_2000_LOSSLESS, ""), (None, "image/jp2"), (None, "image/jpx")):
        with pytest.raises(FrameDecodeError, match="extensions of JPEG 2000 Part 2"):
            decode(bytes(data), grey(16), uid, media_type)


@pytest.mark.parametrize(("uid", "media_type"), [(uids.JPEG_BASELINE, ""), (None, "image/png"), (None, "")])
def test_bytes_that_are_nothing_known_are_an_error(uid: str | None, media_type: str) -> None:
    with pytest.raises(FrameDecodeError) as caught:
        decode(b"\x89PNG\r\n\x1a\n", grey(16), uid, media_type)
    assert WHERE in str(caught.value)
    assert "89504e47" in str(caught.value)


# JPEG


def rgb_jpeg() -> bytes:
    """RGB components, and an Adobe marker that says so."""
    data = bytes(imagecodecs.jpeg8_encode(RGB, 100, colorspace="RGB", outcolorspace="RGB", subsampling="444"))
    assert data[2:4] == b"\xff\xee"
    return data


def ycc_jpeg(subsampling: str = "444") -> bytes:
    """YCbCr components, and a JFIF marker that says so."""
    data = bytes(imagecodecs.jpeg8_encode(RGB, 100, colorspace="RGB", outcolorspace="YCBCR", subsampling=subsampling))
    assert data[2:4] == b"\xff\xe0"
    return data


def without_first_segment(data: bytes) -> bytes:
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def with_identifiers(data: bytes, identifiers: bytes, frame_header: bytes = b"\xff\xc0") -> bytes:
    """Renames the components in the frame header and in the scan header."""
    changed = bytearray(data)
    frame, scan = data.index(frame_header), data.index(b"\xff\xda")
    for index, identifier in enumerate(identifiers):
        changed[frame + 10 + 3 * index] = identifier
        changed[scan + 5 + 2 * index] = identifier
    return bytes(changed)


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT"])
def test_the_marker_of_a_jpeg_beats_the_header(kind: str) -> None:
    for data in (rgb_jpeg(), ycc_jpeg()):
        frame = decode(data, colour(kind), uids.JPEG_BASELINE)
        assert largest_difference(interleaved(frame), RGB) <= 4


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL"])
def test_the_adobe_marker_beats_jfif(kind: str) -> None:
    jfif = ycc_jpeg()[2:20]
    data = rgb_jpeg()
    frame = decode(data[:2] + jfif + data[2:], colour(kind), uids.JPEG_BASELINE)
    assert largest_difference(interleaved(frame), RGB) <= 4


def test_identifiers_rgb_beat_the_header() -> None:
    data = with_identifiers(without_first_segment(rgb_jpeg()), b"RGB")
    frame = decode(data, colour("YBR_FULL_422"), uids.JPEG_BASELINE)
    assert largest_difference(interleaved(frame), RGB) <= 4


def test_subsampling_proves_colour_differences() -> None:
    data = without_first_segment(ycc_jpeg("420"))
    expected = decode(ycc_jpeg("420"), colour(), uids.JPEG_BASELINE)
    np.testing.assert_array_equal(decode(data, colour("RGB"), uids.JPEG_BASELINE), expected)


def test_without_evidence_the_header_decides() -> None:
    for made, kind in ((rgb_jpeg(), "RGB"), (ycc_jpeg(), "YBR_FULL"), (ycc_jpeg(), "YBR_FULL_422")):
        data = with_identifiers(without_first_segment(made), b"\1\2\3")
        frame = decode(data, colour(kind), uids.JPEG_BASELINE)
        assert largest_difference(interleaved(frame), RGB) <= 4


def test_grey_jpeg_of_eight_and_twelve_bits() -> None:
    eight = imagecodecs.jpeg8_encode(GREY8, 100)
    assert largest_difference(decode(eight, grey(8), uids.JPEG_BASELINE)[0], GREY8) <= 4
    twelve = imagecodecs.jpeg8_encode(GREY12 & 0xFFF, 100, bitspersample=12)
    assert largest_difference(decode(twelve, grey(12), uids.JPEG_EXTENDED)[0], GREY12 & 0xFFF) <= 4


def test_lossy_overshoot_is_clamped_and_not_wrapped() -> None:
    edges = np.where(X // 3 % 2, 1023, 0).astype(np.uint16)
    data = imagecodecs.jpeg8_encode(edges, 60, bitspersample=12)
    frame = decode(data, grey(10), uids.JPEG_EXTENDED)[0]
    assert int(imagecodecs.jpeg8_decode(data).max()) > 1023
    assert largest_difference(frame, edges) < 200


def test_bytes_after_the_end_of_a_jpeg_do_not_matter() -> None:
    expected = decode(ycc_jpeg(), colour(), uids.JPEG_BASELINE)
    for rest in (b"\0", b"\xff", b"\0\xff\0\0\xff"):
        frame = decode(ycc_jpeg() + rest, colour(), uids.JPEG_BASELINE)
        np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize(
    ("pixels", "pixel", "bits"),
    [
        (GREY8, grey(8), 8),
        (GREY12 & 0xFFF, grey(12), 12),
        (GREY16, grey(16), 16),
    ],
)
@pytest.mark.parametrize("predictor", [1, 6])
@pytest.mark.parametrize("uid", [uids.JPEG_LOSSLESS, uids.JPEG_LOSSLESS_FIRST_ORDER])
def test_jpeg_lossless_returns_every_bit(
    pixels: npt.NDArray[Any], pixel: PixelDescription, bits: int, predictor: int, uid: str
) -> None:
    data = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)
    np.testing.assert_array_equal(decode(data, pixel, uid)[0], pixels)


def test_jpeg_lossless_of_signed_values() -> None:
    data = imagecodecs.jpeg8_encode(SIGNED16.view(np.uint16), lossless=True, predictor=1, bitspersample=16)
    frame = decode(data, grey(16, signed=True), uids.JPEG_LOSSLESS_FIRST_ORDER)
    np.testing.assert_array_equal(frame[0], SIGNED16)


def test_jpeg_lossless_colour_and_colour_differences() -> None:
    made = bytes(imagecodecs.jpeg8_encode(RGB, lossless=True, predictor=1))
    frame = decode(made, colour(), uids.JPEG_LOSSLESS)
    np.testing.assert_array_equal(interleaved(frame), RGB)
    stored = bytes(imagecodecs.jpeg8_encode(ybr(RGB), lossless=True, predictor=1))
    stored = with_identifiers(without_first_segment(stored), b"\1\2\3", b"\xff\xc3")
    frame = decode(stored, colour("YBR_FULL"), uids.JPEG_LOSSLESS)
    assert largest_difference(interleaved(frame), RGB) <= 2


# JPEG-LS


@pytest.mark.parametrize("interleave", [0, 1, 2])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_jpeg_ls_in_each_interleave_mode(interleave: int, depth: type[np.generic]) -> None:
    pixels = RGB.astype(depth) * (1 if depth is np.uint8 else 201)
    source = np.moveaxis(pixels, -1, 0) if interleave == 0 else pixels
    data = jpeg_ls.encode_array(np.ascontiguousarray(source), interleave_mode=interleave)
    bits = pixels.dtype.itemsize * 8
    pixel = replace(colour(), bits_allocated=bits, bits_stored=bits, high_bit=bits - 1)
    np.testing.assert_array_equal(interleaved(decode(data, pixel, uids.JPEG_LS_LOSSLESS)), pixels)


def test_jpeg_ls_of_signed_values_and_of_seven_bits() -> None:
    data = imagecodecs.jpegls_encode(SIGNED16.view(np.uint16))
    frame = decode(data, grey(16, signed=True), uids.JPEG_LS_LOSSLESS)
    np.testing.assert_array_equal(frame[0], SIGNED16)
    seven = jpeg_ls.encode_array(GREY8 >> 1)
    np.testing.assert_array_equal(decode(seven, grey(7), uids.JPEG_LS_LOSSLESS)[0], GREY8 >> 1)


def test_jpeg_ls_of_signed_twelve_bits_is_sign_extended() -> None:
    values = (X * 120 - 2000).astype(np.int16)
    data = jpeg_ls.encode_array(values.view(np.uint16) & 0xFFF)
    frame = decode(data, grey(12, signed=True), uids.JPEG_LS_LOSSLESS)
    np.testing.assert_array_equal(frame[0], values)


def test_full_colour_differences_in_jpeg_ls_become_rgb() -> None:
    data = imagecodecs.jpegls_encode(ybr(RGB))
    frame = decode(data, colour("YBR_FULL"), uids.JPEG_LS_LOSSLESS)
    assert largest_difference(interleaved(frame), RGB) <= 2


def lossless_jpeg(pixels: npt.NDArray[Any]) -> bytes:
    """Of three components that nothing says to be colours of a kind."""
    made = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1))
    return with_identifiers(without_first_segment(made), b"\1\2\3", b"\xff\xc3")


@pytest.mark.parametrize(
    ("uid", "encode"),
    [
        (uids.JPEG_LOSSLESS_FIRST_ORDER, lossless_jpeg),
        (uids.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode),
        (uids.RLE_LOSSLESS, CODECS["rle_lossless"].encode),
    ],
    ids=["JPEG Lossless", "JPEG-LS", "RLE"],
)
def test_what_nobody_coded_anew_means_what_its_header_says(uid: str, encode: Callable[[Any], bytes]) -> None:
    """YBR_FULL_422 of a file, whose chroma is not subsampled any more; pydicom converts it too."""
    data = bytes(encode(ybr(RGB)))
    options: dict[str, Any] = {"transfer_syntax_uid": uid, "where": WHERE, "stored": True}
    frame = decode_frame(data, colour("YBR_FULL_422"), **options)  # a warning would be an error
    assert largest_difference(interleaved(frame), RGB) <= 3
    with pytest.warns(ServerDecodedWarning):
        on_trust = decode_frame(data, colour("YBR_FULL_422"), **{**options, "stored": False})
    np.testing.assert_array_equal(interleaved(on_trust), ybr(RGB))


def test_jpeg_ls_under_a_header_that_only_jpeg_can_have_was_coded_anew() -> None:
    data = imagecodecs.jpegls_encode(RGB)
    with pytest.warns(ServerDecodedWarning):
        frame = decode(data, colour("YBR_FULL_422"), uids.JPEG_LS_LOSSLESS)
    np.testing.assert_array_equal(interleaved(frame), RGB)


# JPEG 2000 and HTJ2K


def test_jpeg_2000_that_nobody_decoded_means_what_its_header_says() -> None:
    ycc = convert_color_space(RGB, "RGB", "YBR_FULL")
    data = bytes(imagecodecs.jpeg2k_encode(ycc, level=0, reversible=True, mct=False, codecformat="j2k"))
    options: dict[str, Any] = {"transfer_syntax_uid": uids.JPEG_2000_LOSSLESS, "where": WHERE, "stored": True}
    found, told = (decode_frame(data, colour(kind), **options) for kind in ("YBR_FULL_422", "YBR_FULL"))
    assert np.array_equal(found, told)
    assert np.abs(np.moveaxis(found, 0, -1).astype(int) - RGB).max() <= 3


@pytest.mark.parametrize("container", ["j2k", "jp2"])
@pytest.mark.parametrize(
    ("pixels", "pixel"),
    [(GREY8, grey(8)), (GREY16, grey(16)), (SIGNED16, grey(16, signed=True)), (RGB, colour())],
)
def test_jpeg_2000_returns_every_bit(pixels: npt.NDArray[Any], pixel: PixelDescription, container: str) -> None:
    data = imagecodecs.jpeg2k_encode(pixels, codecformat=container, reversible=True)
    frame = decode(data, pixel, uids.JPEG_2000_LOSSLESS)
    np.testing.assert_array_equal(interleaved(frame), pixels)


@pytest.mark.parametrize("uid", [uids.HTJ2K_LOSSLESS, uids.HTJ2K_LOSSLESS_RPCL, uids.HTJ2K])
@pytest.mark.parametrize(
    ("pixels", "pixel"),
    [(GREY8, grey(8)), (GREY16, grey(16)), (SIGNED16, grey(16, signed=True)), (RGB, colour())],
)
def test_htj2k_returns_every_bit(pixels: npt.NDArray[Any], pixel: PixelDescription, uid: str) -> None:
    data = imagecodecs.htj2k_encode(pixels, reversible=True)
    np.testing.assert_array_equal(interleaved(decode(data, pixel, uid)), pixels)


def test_htj2k_of_32_bits_which_openjpeg_does_not_read_is_refused() -> None:
    data = imagecodecs.htj2k_encode(GREY16.astype(np.uint32) * 50000, reversible=True)
    with pytest.raises(FrameDecodeError, match="HTJ2K codestream cannot be decoded"):
        decode(data, grey(32, allocated=32), uids.HTJ2K_LOSSLESS)


def test_irreversible_htj2k_is_clamped() -> None:
    noise = np.random.default_rng(7).normal(128, 120, (ROWS, COLUMNS, 3))
    pixels = noise.clip(0, 255).astype(np.uint8)
    data = imagecodecs.htj2k_encode(pixels, reversible=False, level=0.02)
    frame = decode(data, colour("YBR_ICT"), uids.HTJ2K)
    assert largest_difference(interleaved(frame), pixels) < 64


@pytest.mark.parametrize("kind", ["RGB", "YBR_RCT", "YBR_FULL"])
def test_the_component_transform_is_undone_once(kind: str) -> None:
    data = bytes(imagecodecs.htj2k_encode(RGB, reversible=True))
    assert data[data.index(b"\xff\x52") + 8] == 1
    frame = decode(data, colour(kind), uids.HTJ2K_LOSSLESS)
    np.testing.assert_array_equal(interleaved(frame), RGB)


def test_without_the_component_transform_the_header_means_what_it_says() -> None:
    plain = bytes(imagecodecs.htj2k_encode(RGB, reversible=True, rgb=False))
    assert plain[plain.index(b"\xff\x52") + 8] == 0
    np.testing.assert_array_equal(interleaved(decode(plain, colour("RGB"), uids.HTJ2K_LOSSLESS)), RGB)
    for kind in ("YBR_RCT", "YBR_ICT"):
        with pytest.warns(ServerDecodedWarning):  # it is not what the header says
            frame = decode(plain, colour(kind), uids.HTJ2K_LOSSLESS)
        np.testing.assert_array_equal(interleaved(frame), RGB)
    stored = imagecodecs.htj2k_encode(ybr(RGB), reversible=True, rgb=False)
    frame = decode(stored, colour("YBR_FULL"), uids.HTJ2K_LOSSLESS)
    assert largest_difference(interleaved(frame), RGB) <= 2


@pytest.mark.parametrize(
    ("uid", "encode"),
    [
        (uids.JPEG_2000_LOSSLESS, partial(imagecodecs.jpeg2k_encode, codecformat="j2k", reversible=True)),
        (uids.HTJ2K_LOSSLESS, partial(imagecodecs.htj2k_encode, reversible=True)),
    ],
)
def test_a_sign_that_contradicts_the_header_keeps_the_bits(uid: str, encode: Callable[[Any], bytes]) -> None:
    frame = decode(encode(SIGNED16.view(np.uint16)), grey(16, signed=True), uid)
    np.testing.assert_array_equal(frame[0], SIGNED16)
    frame = decode(encode(SIGNED16), grey(16), uid)
    np.testing.assert_array_equal(frame[0], SIGNED16.view(np.uint16))


def test_a_precision_below_bits_stored_is_sign_extended_from_its_own() -> None:
    values = (X * 100 - 1500).astype(np.int16)
    data = imagecodecs.jpeg2k_encode(
        values.view(np.uint16) & 0xFFF, codecformat="j2k", reversible=True, bitspersample=12
    )
    frame = decode(data, grey(16, signed=True), uids.JPEG_2000_LOSSLESS)
    np.testing.assert_array_equal(frame[0], values)


@pytest.mark.parametrize(
    ("uid", "encode"),
    [
        (uids.JPEG_LOSSLESS_FIRST_ORDER, partial(imagecodecs.ljpeg_encode, bitspersample=12)),
        (uids.JPEG_LS_LOSSLESS, imagecodecs.jpegls_encode),
    ],
)
def test_a_precision_below_bits_stored_is_no_sign_where_the_codec_knows_none(
    uid: str, encode: Callable[[Any], bytes]
) -> None:
    """Encoders choose it by the largest value, and negative ones are large (PS3.5 sections 8.1.1 and 8.2.1)."""
    values = (np.minimum(X * 100, 2000) + 2047).astype(np.uint16)
    assert 2048 <= values.max() < 4096
    frame = decode(encode(values), grey(16, signed=True), uid)
    np.testing.assert_array_equal(frame[0], values)


@pytest.mark.parametrize("halved", [(1, 2), (2, 2)])
@pytest.mark.parametrize("size", [(8, 6), (7, 9), (8, 9), (7, 8), (3, 2)])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", ["YBR_FULL_422", "YBR_FULL", "RGB"])
def test_coarser_chroma_of_a_jpeg_2000_is_spread_over_its_pixels(
    halved: tuple[int, int], size: tuple[int, int], bits: int, kind: str
) -> None:
    random = np.random.default_rng(1)
    coarse = tuple(-(-side // factor) for side, factor in zip(size, halved, strict=True))
    shapes = (size, coarse, coarse)
    parts = [random.integers(0, 1 << bits, shape).astype(np.uint8 if bits == 8 else np.uint16) for shape in shapes]
    allocated = 8 if bits == 8 else 16
    described = PixelDescription(*size, 3, allocated, bits, bits - 1, signed=False, photometric_interpretation=kind)
    frame = decode(subsampled_jpeg2000(*parts, bits), described, uids.JPEG_2000)
    luma, *chroma = (part.astype(float) for part in parts)
    blue, red = (
        part.repeat(halved[0], 0).repeat(halved[1], 1)[: size[0], : size[1]] - (1 << (bits - 1)) for part in chroma
    )
    expected = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    # OpenJPEG cuts fractions off, and knows the factors to three digits.
    assert np.abs(frame - expected.clip(0, (1 << bits) - 1)).max() <= max(1, (1 << bits) * 1.6e-4 + 1)


@pytest.mark.parametrize("factors", [(1, 4), (2, 1)])
def test_chroma_that_is_coarser_in_another_way_is_refused(factors: tuple[int, int]) -> None:
    coarse = GREY8[:: factors[0], :: factors[1]].copy()
    with pytest.raises(FrameDecodeError, match="not alike"):
        decode(subsampled_jpeg2000(GREY8, coarse, coarse, 8), colour("YBR_FULL_422"), uids.JPEG_2000)


def test_jpeg_2000_of_an_aperio_slide_with_coarser_chroma(shared_dir: Path) -> None:
    (file,) = (shared_dir / "cases" / "w27a_j2k_422_ybr_full_422").glob("*.dcm")
    dataset = read(file)
    left, right = (interleaved(decode(data, describe(dataset), uids.JPEG_2000)) for data in frames_of(dataset))
    y, x = np.mgrid[0:32, 0:64]
    ramp = np.stack([x * 255 / 63, y * 255 / 31, np.full(x.shape, 40)], axis=-1)
    assert np.abs(np.concatenate([left, right], axis=1) - ramp).max() <= 8


# What does not fit, is cut off or is hostile

STREAMS = {
    "jpeg": (ycc_jpeg("420"), colour(), uids.JPEG_BASELINE),
    "jpeg lossless": (
        bytes(imagecodecs.jpeg8_encode(GREY16, lossless=True, predictor=1, bitspersample=16)),
        grey(16),
        uids.JPEG_LOSSLESS_FIRST_ORDER,
    ),
    "jpeg-ls": (bytes(imagecodecs.jpegls_encode(GREY16)), grey(16), uids.JPEG_LS_LOSSLESS),
    "jpeg 2000": (
        bytes(imagecodecs.jpeg2k_encode(RGB, codecformat="j2k", reversible=True)),
        colour(),
        uids.JPEG_2000_LOSSLESS,
    ),
    "jp2": (
        bytes(imagecodecs.jpeg2k_encode(GREY16, codecformat="jp2", reversible=True)),
        grey(16),
        uids.JPEG_2000_LOSSLESS,
    ),
    "htj2k": (
        bytes(imagecodecs.htj2k_encode(RGB, reversible=True)),
        colour(),
        uids.HTJ2K_LOSSLESS,
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_codestream_cut_anywhere_is_an_error(name: str) -> None:
    data, pixel, uid = STREAMS[name]
    assert decode(data, pixel, uid).any()
    end = data.rindex(b"\xff\xd9")
    whole = name in {"jpeg", "jpeg lossless"}  # shows that no data lack, and so may lack its end marker
    cuts = {*range(min(end, 300)), *range(300, end, 37), end - 1, *(() if whole else (end, end + 1))}
    for cut in sorted(cuts):
        with pytest.raises((FrameDecodeError, FrameShapeError)) as caught:
            decode(data[:cut], pixel, uid)
        assert WHERE in str(caught.value)


@pytest.mark.parametrize("name", ["jpeg", "jpeg lossless"])
def test_a_jpeg_without_its_end_marker_is_read_where_it_is_whole(name: str) -> None:
    data, pixel, uid = STREAMS[name]
    end = data.rindex(b"\xff\xd9")
    for cut in (end, end + 1):
        assert np.array_equal(decode(data[:cut], pixel, uid), decode(data, pixel, uid))


@pytest.mark.parametrize("name", ["jpeg 2000", "jp2", "htj2k", "jpeg-ls"])
def test_an_end_marker_does_not_hide_a_cut(name: str) -> None:
    data, pixel, uid = STREAMS[name]
    for cut in range(len(data) - 60, len(data) - 2, 7):
        with pytest.raises(FrameDecodeError):
            decode(data[:cut] + b"\xff\xd9", pixel, uid)


@pytest.mark.parametrize("name", STREAMS)
def test_another_size_than_the_metadata_say_is_an_error(name: str) -> None:
    data, pixel, uid = STREAMS[name]
    for other in (
        replace(pixel, rows=ROWS + 1),
        replace(pixel, rows=COLUMNS, columns=ROWS),
        replace(pixel, samples=4 - pixel.samples, photometric_interpretation="RGB"),
    ):
        with pytest.raises(FrameShapeError) as caught:
            decode(data, other, uid)
        assert WHERE in str(caught.value)
        assert f"{ROWS}x{COLUMNS}" in str(caught.value)


def test_another_depth_than_the_metadata_say_is_an_error() -> None:
    rendered = imagecodecs.jpeg8_encode(GREY8)
    with pytest.raises(FrameShapeError, match="8 bits"):
        decode(rendered, grey(12), uids.JPEG_BASELINE)
    with pytest.raises(FrameShapeError, match="16 bits"):
        decode(imagecodecs.jpegls_encode(GREY16), grey(8), uids.JPEG_LS_LOSSLESS)


def with_size(name: str, rows: int, columns: int) -> bytes:
    data = bytearray(STREAMS[name][0])
    if name == "jpeg":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    else:
        start = data.index(b"\xff\x51") + 6
        data[start : start + 8] = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("name", ["jpeg", "jpeg 2000", "htj2k"])
@pytest.mark.parametrize("side", [46341, 65535])
def test_a_hostile_codestream_is_refused_before_memory_is_taken(name: str, side: int) -> None:
    data = with_size(name, side, side)
    _, pixel, uid = STREAMS[name]
    with pytest.raises(FrameShapeError):
        decode(data, pixel, uid)
    with pytest.raises(FrameDecodeError, match="cannot be"):
        decode(data, replace(pixel, rows=side, columns=side), uid)


def test_a_process_that_nobody_uses_is_named() -> None:
    arithmetic = STREAMS["jpeg"][0].replace(b"\xff\xc0", b"\xff\xc9", 1)
    with pytest.raises(FrameDecodeError, match="FFC9"):
        decode(arithmetic, colour(), uids.JPEG_BASELINE)


def test_a_broken_codestream_names_its_codec_and_keeps_the_reason() -> None:
    data = bytearray(STREAMS["jpeg-ls"][0])
    data[-40:-2] = b"\xff\x90" * 19
    with pytest.raises(FrameDecodeError, match="JPEG-LS codestream") as caught:
        decode(data, grey(16), uids.JPEG_LS_LOSSLESS)
    assert isinstance(caught.value.__cause__, RuntimeError)


def decode_or_refuse(data: bytes, pixel: PixelDescription, uid: str | None) -> None:
    """Nothing but a frame or a typed error may come out."""
    try:
        frame = decode(data, pixel, uid)
    except DicomZarrError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert frame.shape == pixel.shape
    assert not refusal or WHERE in refusal


LABELS = st.sampled_from([None, uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.JPEG_BASELINE, uids.JPEG_2000, uids.RLE_LOSSLESS])
BEGINNINGS = st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"])


@settings(deadline=None)
@given(BEGINNINGS, st.binary(max_size=2000), LABELS)
def test_random_bytes_are_refused(beginning: bytes, rest: bytes, uid: str | None) -> None:
    decode_or_refuse(beginning + rest, grey(12), uid)


@settings(deadline=None)
@given(st.sampled_from(sorted(STREAMS)), st.integers(0), st.binary(min_size=1, max_size=8))
def test_damaged_codestreams_decode_or_are_refused(name: str, place: int, damage: bytes) -> None:
    data, pixel, uid = STREAMS[name]
    position = place % len(data)
    damaged = data[:position] + damage + data[position + len(damage) :]
    decode_or_refuse(damaged, pixel, uid)

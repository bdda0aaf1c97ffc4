"""Transfer syntaxes: the table, the names of what is not in it, and what bytes say themselves."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.codestream import Colour
from dicomzarr.dicom.pixels.syntax import (
    TRANSFER_SYNTAXES,
    Codec,
    check_openable,
    likely_uid,
    read_codestream,
    sniff,
    transfer_syntax,
    transfer_syntax_name,
)
from dicomzarr.errors import UnsupportedTransferSyntaxError

GREY = (np.arange(20 * 12, dtype=np.uint16) * 7).reshape(20, 12)
COLOUR = np.repeat((GREY % 251).astype(np.uint8)[..., np.newaxis], 3, axis=-1)


NEWER = {uids.JPEG_XL_LOSSLESS, uids.JPEG_XL_JPEG_RECOMPRESSION, uids.JPEG_XL, uids.DEFLATED_IMAGE_FRAME}
"""Registered since the dictionary of pydicom 3.0."""


def test_each_row_is_keyed_by_its_uid_and_is_a_registered_transfer_syntax() -> None:
    assert len(TRANSFER_SYNTAXES) == 21
    for uid, row in TRANSFER_SYNTAXES.items():
        assert row.uid == uid
        if uid in NEWER:
            assert row.codec in {Codec.JPEG_XL, Codec.DEFLATED}
        else:
            assert UID(uid).is_transfer_syntax
            assert row.codec is Codec.NATIVE or UID(uid).is_encapsulated
            assert row.big_endian == (not UID(uid).is_little_endian)


@pytest.mark.parametrize(
    ("uid", "codec", "lossy"),
    [
        ("1.2.840.10008.1.2", Codec.NATIVE, False),
        ("1.2.840.10008.1.2.1", Codec.NATIVE, False),
        ("1.2.840.10008.1.2.1.98", Codec.NATIVE, False),
        ("1.2.840.10008.1.2.1.99", Codec.NATIVE, False),
        ("1.2.840.10008.1.2.2", Codec.NATIVE, False),
        ("1.2.840.10008.1.2.5", Codec.RLE, False),
        ("1.2.840.10008.1.2.8.1", Codec.DEFLATED, False),
        ("1.2.840.10008.1.2.4.50", Codec.JPEG, True),
        ("1.2.840.10008.1.2.4.51", Codec.JPEG, True),
        ("1.2.840.10008.1.2.4.57", Codec.JPEG_LOSSLESS, False),
        ("1.2.840.10008.1.2.4.70", Codec.JPEG_LOSSLESS, False),
        ("1.2.840.10008.1.2.4.80", Codec.JPEG_LS, False),
        ("1.2.840.10008.1.2.4.81", Codec.JPEG_LS, True),
        ("1.2.840.10008.1.2.4.90", Codec.JPEG_2000, False),
        ("1.2.840.10008.1.2.4.91", Codec.JPEG_2000, True),
        ("1.2.840.10008.1.2.4.201", Codec.HTJ2K, False),
        ("1.2.840.10008.1.2.4.202", Codec.HTJ2K, False),
        ("1.2.840.10008.1.2.4.203", Codec.HTJ2K, True),
        ("1.2.840.10008.1.2.4.110", Codec.JPEG_XL, False),
        ("1.2.840.10008.1.2.4.111", Codec.JPEG_XL, True),
        ("1.2.840.10008.1.2.4.112", Codec.JPEG_XL, True),
    ],
)
def test_a_supported_uid_has_its_codec(uid: str, codec: Codec, *, lossy: bool) -> None:
    row = transfer_syntax(uid)
    assert (row.codec, row.lossy) == (codec, lossy)


def test_padding_of_a_uid_is_ignored() -> None:
    assert transfer_syntax("1.2.840.10008.1.2.4.50\0") is transfer_syntax("1.2.840.10008.1.2.4.50 ")


UNSUPPORTED = [
    # Retired processes of JPEG
    ("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 and 5)"),
    ("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)"),
    ("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)"),
    ("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 and 12)"),
    ("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 and 13)"),
    ("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)"),
    ("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 and 18)"),
    ("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)"),
    # Several components, or data that lie elsewhere
    ("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)"),
    ("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression"),
    ("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
    ("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate"),
    ("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced"),
    ("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate"),
    # Video
    ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
    ("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level"),
    ("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level"),
    ("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    ("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
    ("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
    ("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
    ("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    ("1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    ("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1"),
    ("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1"),
    ("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video"),
    ("1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video"),
    ("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio"),
    # No images, and nobody's
    ("1.2.840.10008.1.2.6.2", "XML Encoding"),
    ("1.2.840.113619.5.2", "private or unknown"),
    ("1.2.3.4", "private or unknown"),
    ("not a uid", "private or unknown"),
]


@pytest.mark.parametrize(("uid", "name"), UNSUPPORTED)
def test_an_unsupported_uid_is_an_error_with_uid_name_and_place(uid: str, name: str) -> None:
    with pytest.raises(UnsupportedTransferSyntaxError) as caught:
        transfer_syntax(uid, where="study 1, frame 2")
    assert caught.value.uid == uid
    assert str(caught.value).startswith("study 1, frame 2: ")
    assert uid in str(caught.value)
    assert name in str(caught.value)


def test_a_supported_syntax_has_a_name_too() -> None:
    assert transfer_syntax_name(uids.HTJ2K) == "HTJ2K"


# --- before a frame is asked for ---

SLIDE = uids.VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE
VIDEOS = {
    uids.VIDEO_ENDOSCOPIC_IMAGE_STORAGE: "Video Endoscopic Image Storage",
    uids.VIDEO_MICROSCOPIC_IMAGE_STORAGE: "Video Microscopic Image Storage",
    uids.VIDEO_PHOTOGRAPHIC_IMAGE_STORAGE: "Video Photographic Image Storage",
}


@pytest.mark.parametrize(("uid", "name"), UNSUPPORTED)
@pytest.mark.parametrize("sop_class", [SLIDE, uids.VIDEO_ENDOSCOPIC_IMAGE_STORAGE, ""])
def test_what_the_metadata_tell_is_refused_at_once(uid: str, name: str, sop_class: str) -> None:
    with pytest.raises(UnsupportedTransferSyntaxError) as caught:
        check_openable(uid, sop_class, "instance 1.2")
    assert caught.value.uid == uid
    assert str(caught.value).startswith(f"instance 1.2: the transfer syntax '{uid}' ({name})")
    assert caught.value.remedy


@pytest.mark.parametrize(("sop_class", "name"), VIDEOS.items())
@pytest.mark.parametrize("available", [None, "", " ", "\0"])
def test_a_class_of_video_is_refused_unless_a_transfer_syntax_is_named(
    sop_class: str, name: str, available: str | None
) -> None:
    assert UID(sop_class).name == name
    for spelled in (sop_class, f"{sop_class}\0"):
        with pytest.raises(UnsupportedTransferSyntaxError) as caught:
            check_openable(available, spelled, "instance 1.2")
        assert str(caught.value).startswith(f"instance 1.2: the SOP class '{sop_class}' ({name}) holds video")
        assert caught.value.remedy
    check_openable(uids.JPEG_BASELINE, sop_class, "instance 1.2")


@pytest.mark.parametrize("available", [None, "", *TRANSFER_SYNTAXES, f"{uids.RLE_LOSSLESS}\0"])
@pytest.mark.parametrize("sop_class", [SLIDE, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", ""])
def test_what_may_be_readable_is_let_through(available: str | None, sop_class: str) -> None:
    check_openable(available, sop_class, "instance 1.2")


def test_tiled_sop_classes_are_the_registered_ones() -> None:
    slide = UID(uids.VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE)
    confocal = UID(uids.CONFOCAL_MICROSCOPY_TILED_PYRAMIDAL_IMAGE_STORAGE)
    assert slide.keyword == "VLWholeSlideMicroscopyImageStorage"
    assert confocal.keyword == "ConfocalMicroscopyTiledPyramidalImageStorage"


@pytest.mark.parametrize(
    ("media_type", "uid"),
    [
        ("image/jpeg", uids.JPEG_LOSSLESS_FIRST_ORDER),
        ("Image/JLS; charset=x", uids.JPEG_LS_LOSSLESS),
        ("image/jp2", uids.JPEG_2000_LOSSLESS),
        ("image/jphc", uids.HTJ2K_LOSSLESS),
        ("image/dicom-rle", uids.RLE_LOSSLESS),
        ("application/octet-stream", uids.EXPLICIT_VR_LITTLE_ENDIAN),
        ("image/png", None),
        ("", None),
    ],
)
def test_a_media_type_hints_at_its_default_syntax(media_type: str, uid: str | None) -> None:
    assert likely_uid(media_type) == uid


@pytest.mark.parametrize(
    ("data", "codec"),
    [
        (imagecodecs.jpeg8_encode(COLOUR), Codec.JPEG),
        (imagecodecs.jpeg8_encode(GREY, bitspersample=12), Codec.JPEG),
        (imagecodecs.jpeg8_encode(GREY, lossless=True, bitspersample=16), Codec.JPEG_LOSSLESS),
        (imagecodecs.jpegls_encode(GREY), Codec.JPEG_LS),
        (imagecodecs.jpeg2k_encode(GREY, codecformat="j2k"), Codec.JPEG_2000),
        (imagecodecs.jpeg2k_encode(GREY, codecformat="jp2"), Codec.JPEG_2000),
        (imagecodecs.htj2k_encode(GREY, reversible=True), Codec.HTJ2K),
        (imagecodecs.jpegxl_encode(GREY, lossless=True, usecontainer=False), Codec.JPEG_XL),
        (imagecodecs.jpegxl_encode(GREY, lossless=True, usecontainer=True), Codec.JPEG_XL),
        (GREY.tobytes(), None),
        (b"", None),
        (b"\xff\xd8\xff", None),
        (b"\xff\x4f\xff\x51\0\x29", None),
        (b"\xff\x0a\x7f", None),
    ],
)
def test_bytes_name_their_codec(data: bytes, codec: Codec | None) -> None:
    assert sniff(data) is codec
    assert sniff(memoryview(data)) is codec


def test_markers_tell_size_depth_and_reversibility() -> None:
    jpeg = read_codestream(bytes(imagecodecs.jpeg8_encode(GREY, bitspersample=12)))
    assert jpeg is not None
    assert (jpeg.rows, jpeg.columns, jpeg.samples, jpeg.precision) == (20, 12, 1, 12)
    assert (jpeg.signed, jpeg.lossy, jpeg.colour, jpeg.complete) == (False, True, None, True)
    signed = bytes(imagecodecs.jpeg2k_encode(GREY.astype(np.int16) - 500, codecformat="jp2"))
    jp2 = read_codestream(signed)
    assert jp2 is not None
    assert (jp2.rows, jp2.columns, jp2.samples, jp2.precision) == (20, 12, 1, 16)
    assert (jp2.signed, jp2.complete) == (True, True)
    assert signed[jp2.start : jp2.start + 2] == b"\xff\x4f"


def test_jpeg_ls_tells_whether_it_is_near_lossless() -> None:
    exact = read_codestream(bytes(imagecodecs.jpegls_encode(COLOUR, level=0)))
    near = read_codestream(bytes(imagecodecs.jpegls_encode(COLOUR, level=3)))
    assert exact is not None
    assert near is not None
    assert (exact.lossy, near.lossy) == (False, True)


@pytest.mark.parametrize(
    ("mct", "colour"),
    [(True, Colour.RGB), (False, None)],
)
def test_the_component_transform_of_jpeg_2000_proves_rgb(*, mct: bool, colour: Colour | None) -> None:
    # The encoder leaves the flag off for lossless colour, so it is written by hand.
    data = bytearray(imagecodecs.jpeg2k_encode(COLOUR, codecformat="j2k", reversible=True))
    data[data.index(b"\xff\x52") + 8] = mct
    codestream = read_codestream(bytes(data))
    assert codestream is not None
    assert codestream.colour is colour


def j2k_with(offset: int, value: int) -> bytes:
    """A colour codestream with one byte of its size segment changed."""
    data = bytearray(imagecodecs.jpeg2k_encode(COLOUR, codecformat="j2k", reversible=True))
    data[offset] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xd8\xff\xda\0\2\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xc0\0\4\10\0\xff\xda\0\2", "wrong length"),
        (b"\xff\xd8\xff\xe0\0\1", "ends within its header"),
        (b"\xff\xd8\xff\xe0\1\0", "ends within its header"),
        (j2k_with(45, 11), "not alike"),  # Ssiz of the second component
        (b"\xff\x4f\xff\x51" + bytes(38), "0 components"),
        (j2k_with(4, 0xFF), "ends within its header"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\7free", "no codestream box"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\0jp2cfree", "does not hold"),
    ],
)
def test_broken_markers_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_codestream(data)
    assert sniff(data) is None


def test_subsampled_jpeg_2000_is_refused() -> None:
    data = bytearray(imagecodecs.jpeg2k_encode(GREY, codecformat="j2k", reversible=True))
    data[43] = 2  # XRsiz
    with pytest.raises(ValueError, match="subsampled"):
        read_codestream(bytes(data))


@given(st.sampled_from([b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"]), st.binary())
def test_random_bytes_behind_a_magic_number_are_read_or_refused(magic: bytes, rest: bytes) -> None:
    try:
        codestream = read_codestream(magic + rest)
    except ValueError:
        assert sniff(magic + rest) is None
    else:
        assert codestream is not None

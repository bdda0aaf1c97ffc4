"""Every transfer syntax of the table: against the pixels that were encoded, and against every other decoder at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from coded_frames import BUILDERS, CodedFrame, coded_frame
from encoding_checks import CHECKS, DECODERS, ORACLES, title
from frame_oracles import by_pydicom, decoded_by
from test_decode import describe, frames_of, packaged

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES

if TYPE_CHECKING:
    from coded_frames import Pixels

WHERE = "study 1.2, series 1.3, instance 1.4, frame 5"
FRAMES = [(uid, name) for uid, builders in BUILDERS.items() for name in builders]
PAIRS = [
    (uid, name, oracle)
    for uid, name in FRAMES
    for oracle in CHECKS[uid].oracles
    if oracle not in coded_frame(uid, name).unable
]

PACKAGED = {
    "1.2.840.10008.1.2": ["MR_small_implicit", "SC_rgb_jpeg_dcmd", "rtdose"],
    "1.2.840.10008.1.2.1": ["CT_small", "examples_overlay", "examples_palette", "liver_1frame"],
    "1.2.840.10008.1.2.1.99": ["image_dfl"],
    "1.2.840.10008.1.2.2": ["MR_small_bigendian", "MR_small_expb", "rtdose_expb", "rtdose_expb_1frame"],
    "1.2.840.10008.1.2.5": [
        *("MR_small_RLE", "SC_rgb_rle", "SC_rgb_rle_2frame", "SC_rgb_rle_16bit", "SC_rgb_rle_16bit_2frame"),
        *("SC_rgb_rle_32bit", "SC_rgb_rle_32bit_2frame", "rtdose_rle", "rtdose_rle_1frame"),
    ],
    "1.2.840.10008.1.2.4.50": [
        *("SC_jpeg_no_color_transform", "SC_jpeg_no_color_transform_2", "SC_rgb_dcmtk_+eb+cr"),
        *("SC_rgb_dcmtk_+eb+cy+n1", "SC_rgb_dcmtk_+eb+cy+n2", "SC_rgb_dcmtk_+eb+cy+np", "SC_rgb_dcmtk_+eb+cy+s2"),
        *("SC_rgb_dcmtk_+eb+cy+s4", "SC_rgb_jpeg", "SC_rgb_jpeg_app14_dcmd", "SC_rgb_jpeg_dcmtk"),
        *("SC_rgb_jpeg_lossy_gdcm", "SC_rgb_small_odd_jpeg", "examples_ybr_color"),
    ],
    "1.2.840.10008.1.2.4.51": ["JPGExtended"],
    "1.2.840.10008.1.2.4.70": ["SC_rgb_jpeg_gdcm"],
    "1.2.840.10008.1.2.4.80": ["MR_small_jpeg_ls_lossless"],
    "1.2.840.10008.1.2.4.81": [
        *("JPEGLSNearLossless_08", "JPEGLSNearLossless_16", "SC_rgb_jls_lossy_line", "SC_rgb_jls_lossy_sample"),
    ],
    "1.2.840.10008.1.2.4.90": [
        *("GDCMJ2K_TextGBR", "J2K_pixelrep_mismatch", "MR_small_jp2klossless", "examples_jpeg2k"),
    ],
    "1.2.840.10008.1.2.4.91": ["693_J2KI", "JPEG2000", "SC_rgb_gdcm_KY"],
}
"""Files that come with pydicom, by transfer syntax."""
UNABLE = {
    ("JPGExtended", "gdcm"),  # pydicom gives them no more than eight bits of it
    ("JPGExtended", "pillow"),
    ("GDCMJ2K_TextGBR", "pillow"),  # JP2 boxes in a fragment
}
"""Which decoder of pydicom refuses which file; GDCM without pydicom is compared with made frames only."""
PACKAGED_PAIRS = [
    (uid, name, oracle)
    for uid, names in PACKAGED.items()
    for name in names
    for oracle in CHECKS[uid].oracles
    if (name, oracle) not in UNABLE and (oracle != "gdcm" or uid != "1.2.840.10008.1.2.5")
]


def decoded(frame: CodedFrame) -> Pixels:
    pixels = decode_frame(frame.data, frame.pixel, transfer_syntax_uid=frame.uid, where=WHERE)
    assert pixels.shape == frame.pixel.shape
    assert pixels.dtype == frame.pixel.dtype
    return pixels


def compare(found: Pixels, expected: Pixels, allowed: int) -> None:
    assert found.shape == expected.shape
    if allowed == 0:
        np.testing.assert_array_equal(found, expected)  # NaN where NaN is
    else:
        assert np.abs(found.astype(np.int64) - expected.astype(np.int64)).max() <= allowed


# --- the table ---


def test_every_transfer_syntax_has_frames_and_a_check() -> None:
    assert set(CHECKS) == set(BUILDERS) == set(TRANSFER_SYNTAXES)
    assert set(DECODERS) == set(Codec)
    assert all(row.uid == uid for uid, row in TRANSFER_SYNTAXES.items())


@pytest.mark.parametrize("uid", CHECKS, ids=title)
def test_each_oracle_of_the_table_is_heard(uid: str) -> None:
    heard = {oracle for other, _, oracle in PAIRS if other == uid}
    assert heard == set(CHECKS[uid].oracles) <= set(ORACLES)
    assert set(CHECKS[uid].within) <= heard


@pytest.mark.parametrize(
    ("codec", "version"),
    [
        (Codec.JPEG, imagecodecs.jpeg8_version()),
        (Codec.JPEG_LOSSLESS, imagecodecs.jpeg8_version()),
        (Codec.JPEG_LS, imagecodecs.jpegls_version()),
        (Codec.JPEG_2000, imagecodecs.jpeg2k_version()),
        (Codec.HTJ2K, imagecodecs.jpeg2k_version()),
        (Codec.JPEG_XL, imagecodecs.jpegxl_version()),
    ],
)
def test_the_decoders_of_the_table_are_those_of_imagecodecs(codec: Codec, version: str) -> None:
    assert version.replace("_", "-").startswith(DECODERS[codec].lower())


# --- frame by frame ---


@pytest.mark.parametrize(("uid", "name"), FRAMES, ids=title)
def test_a_frame_is_what_was_encoded(uid: str, name: str) -> None:
    frame = coded_frame(uid, name)
    compare(decoded(frame), frame.source, frame.loss)


@pytest.mark.parametrize(("uid", "name", "oracle"), PAIRS, ids=title)
def test_a_frame_is_what_another_decoder_makes_of_it(uid: str, name: str, oracle: str) -> None:
    frame = coded_frame(uid, name)
    compare(decoded(frame), decoded_by(oracle, frame), CHECKS[uid].allowed(oracle))


@pytest.mark.parametrize(("uid", "name", "oracle"), PACKAGED_PAIRS, ids=title)
def test_a_real_frame_is_what_another_decoder_makes_of_it(uid: str, name: str, oracle: str) -> None:
    dataset = packaged(f"{name}.dcm")
    assert dataset.file_meta.TransferSyntaxUID == uid
    for index, data in enumerate(frames_of(dataset)[:3]):
        found = decode_frame(data, describe(dataset), transfer_syntax_uid=uid, where=WHERE)
        compare(found, by_pydicom(dataset, oracle, index), CHECKS[uid].allowed(oracle))

"""Real series, which are not in this repository: the folder that they lie in, and where each comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(os.environ.get("DICOMZARR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

_CT: Final = "the file {} in testImages of github.com/cornerstonejs/cornerstoneWADOImageLoader"
_MR: Final = "{}, in tests/data of github.com/icometrix/dicom2nifti"

SOURCES: Final[Mapping[str, str]] = {
    "ct_explicit_le": _CT.format("CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm"),
    "ct_jpegls": _CT.format("CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm"),
    "ct_jpeg_lossless": _CT.format("CTImage.dcm_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm"),
    "mr_dti_philips": _MR.format("eight slices of a diffusion series by Philips"),
    "mr_enhanced_siemens": _MR.format("one enhanced MR instance by Siemens"),
    "mr_small_stack": _MR.format("four slices of an anatomical MR series, 001.dcm to 004.dcm"),
    "mr_two_orientations": _MR.format("two slices in each of two orientations, of one series"),
    "slide_camelyon_level": (
        "ez_wsi_dicomweb/testdata/multiframe_camelyon_challenge_image.dcm of "
        "github.com/GoogleCloudPlatform/EZ-WSI-DICOMweb"
    ),
    "slide_cmu1": "the twelve files in cmu-1-small-region of github.com/jcupitt/dicom-wsi-sample",
}
"""What each folder holds, and where to get it."""


def real_series(name: str) -> Path:
    """The folder of a series; the test that needs it skips where it is absent, and says where to get it."""
    folder = FOLDER / name
    if not any(folder.glob("*.dcm")):
        pytest.skip(f"{folder} is absent: get {SOURCES[name]}, or name the folder above it in DICOMZARR_TEST_DATA")
    return folder


def real_file(name: str) -> Path:
    """The one file of a series."""
    (path,) = real_series(name).glob("*.dcm")
    return path

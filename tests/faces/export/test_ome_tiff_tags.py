"""Tags of an OME-TIFF describe what is in it: other readers, which go by them, see the pixels of the series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGBaseline8Bit
from radiology_model import AXIAL
from radiology_volumes import volume

import dicomzarr

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DECODERS_DIFFER = 5
"""Values by which decoders of JPEG differ, most where they interpolate chroma."""


def smooth(rows: int, columns: int) -> Any:
    """(rows, columns, 3) of colours that JPEG keeps nearly."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x * 200 / columns, y * 200 / rows, 220 - x * 100 / columns - y * 100 / rows], -1).astype(np.uint8)


def jpeg(pixels: Any, held: str, subsampling: str) -> bytes:
    if pixels.ndim == 2:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=95))
    return bytes(
        imagecodecs.jpeg8_encode(pixels, level=95, colorspace="RGB", outcolorspace=held, subsampling=subsampling)
    )


def saved(folder: Path, frames: Sequence[bytes], photometric: str, shape: tuple[int, int]) -> list[Any]:
    """Slices of JPEG in a folder; gives what pydicom reads out of each, as RGB."""
    samples = () if photometric.startswith("MONO") else (3,)
    datasets = volume(AXIAL, np.zeros((len(frames), *shape, *samples), np.uint8), RescaleIntercept="0").datasets
    folder.mkdir()
    found = []
    for dataset, data in zip(
        sorted(datasets, key=lambda each: float(each.ImagePositionPatient[2])), frames, strict=True
    ):
        dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit = photometric, 8, 7
        dataset.PixelData = encapsulate([data])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        found.append(pixel_array(path))
    return found


def read_by_others(path: Path, page: int) -> dict[str, Any]:
    with Image.open(path) as image:
        image.seek(page)
        read = np.asarray(image)
    stacked = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    with tifffile.TiffFile(path) as tiff:
        own, count = tiff.pages[page].asarray(), len(tiff.pages)
    return {"tifffile": own, "PIL": read, "SimpleITK": stacked[page] if count > 1 else stacked}


def assert_read_alike(path: Path, expected: Sequence[Any], within: int = DECODERS_DIFFER) -> None:
    for page, pixels in enumerate(map(np.atleast_3d, expected)):
        for reader, found in read_by_others(path, page).items():
            channels = np.atleast_3d(found)[..., : pixels.shape[2]]  # SimpleITK may add some
            differences = np.abs(channels.astype(int) - pixels.astype(int))
            assert differences.max() <= within, (reader, page)


@pytest.mark.parametrize(
    ("held", "subsampling", "side", "kept"),
    [
        ("RGB", "444", 64, (2, (1, 1))),
        ("YCBCR", "444", 64, (6, (1, 1))),
        ("YCBCR", "422", 64, (6, (2, 1))),
        ("YCBCR", "420", 64, (6, (2, 2))),
        ("YCBCR", "411", 64, (6, (4, 1))),
        ("YCBCR", "411", 48, None),  # a unit is of 32 columns
        ("YCBCR", "440", 64, None),  # TIFF has no such subsampling
    ],
)
def test_tags_of_jpeg_tiles_are_those_of_the_codestreams(
    held: str, subsampling: str, side: int, kept: Any, tmp_path: Path
) -> None:
    data = jpeg(smooth(side, side), held, subsampling)
    photometric = "RGB" if held == "RGB" else "YBR_FULL"
    expected = saved(tmp_path / "series", [data, data], photometric, (side, side))
    out = tmp_path / "out.ome.tif"
    dicomzarr.export(tmp_path / "series", out)
    assert_read_alike(out, expected, within=DECODERS_DIFFER)
    with tifffile.TiffFile(out) as tiff:
        page: Any = tiff.pages[0]
        if kept is None:
            assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            assert page.photometric == tifffile.PHOTOMETRIC.RGB
        else:
            assert page.compression == tifffile.COMPRESSION.JPEG
            assert (page.tags[262].value, page.tags[530].value) == kept
            tiff.filehandle.seek(page.dataoffsets[0])
            assert tiff.filehandle.read(page.databytecounts[0]).rstrip(b"\0") == data


@pytest.mark.parametrize("order", [("444", "420"), ("420", "444"), ("422", "420"), ("420", "440")], ids="-".join)
def test_jpeg_tiles_of_several_subsamplings_are_decoded(order: tuple[str, str], tmp_path: Path) -> None:
    frames = [jpeg(smooth(64, 64), "YCBCR", each) for each in order]
    expected = saved(tmp_path / "series", frames, "YBR_FULL_422", (64, 64))
    dicomzarr.export(tmp_path / "series", tmp_path / "out.ome.tif")
    assert_read_alike(tmp_path / "out.ome.tif", expected)
    shown = dicomzarr.open(tmp_path / "series").levels[0][...]
    assert np.array_equal(np.moveaxis(tifffile.imread(tmp_path / "out.ome.tif"), -1, 0), shown)


@pytest.mark.parametrize(("factors", "kept"), [(0x11, True), (0x22, False)])
def test_grey_jpeg_tiles_are_kept_if_readers_take_their_sampling_factors(
    factors: int, tmp_path: Path, *, kept: bool
) -> None:
    data = bytearray(jpeg(np.ascontiguousarray(smooth(64, 64)[..., 0]), "", ""))
    at = data.index(b"\xff\xc0") + 11  # of the only component: factors change nothing (T.81 section A.2.2)
    assert data[at] == 0x11
    data[at] = factors
    expected = saved(tmp_path / "series", [bytes(data)] * 2, "MONOCHROME2", (64, 64))
    dicomzarr.export(tmp_path / "series", tmp_path / "out.ome.tif")
    assert_read_alike(tmp_path / "out.ome.tif", expected)
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tiff:
        page: Any = tiff.pages[0]
        assert (page.compression == tifffile.COMPRESSION.JPEG) == kept


def test_progressive_jpeg_is_decoded(tmp_path: Path) -> None:
    Image.fromarray(smooth(64, 64)).save(tmp_path / "a.jpg", quality=95, progressive=True)
    expected = saved(tmp_path / "series", [(tmp_path / "a.jpg").read_bytes()], "YBR_FULL_422", (64, 64))
    dicomzarr.export(tmp_path / "series", tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tiff:
        page: Any = tiff.pages[0]
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert np.abs(page.asarray().astype(int) - expected[0]).max() <= DECODERS_DIFFER

"""Tags of an OME-TIFF describe what is in it: other readers, which go by them, see the pixels of the series."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr
from folders import write
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGBaseline8Bit
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from slides_codecs import GRAY, JPEG_422, RGB, Codec
from slides_fluorescence import CHANNELS
from slides_instances import ORIGIN, Identity, Level, full_instance
from slides_pixels import smooth_color

import dicomzarr
from dicomzarr.errors import LeftOutWarning, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from radiology_model import RadiologySeries

DECODERS_DIFFER = 5
"""Values by which decoders of JPEG differ, most where they interpolate chroma."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


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


# --- dark and bright, and palettes


def stored_in(bits: int) -> dict[str, Any]:
    return {"BitsStored": bits, "HighBit": bits - 1}


def tag(path: Path, number: int = 262) -> Any:
    with tifffile.TiffFile(path) as tiff:
        found = {page.tags[number].value for page in tiff.pages if isinstance(page, tifffile.TiffPage)}
    (value,) = found
    return value


@pytest.mark.parametrize("bits", [8, 16])
def test_monochrome1_is_white_at_zero_and_its_values_are_those_stored(
    bits: int, opened: Opener, tmp_path: Path
) -> None:
    pixels = distinct((3, 32, 40), bits=bits)
    attributes = {"PhotometricInterpretation": "MONOCHROME1", **stored_in(bits)}
    series = volume(AXIAL, pixels, RescaleIntercept="0", **attributes)
    dicomzarr.export(opened(series), tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == 0  # TIFF 6.0: WhiteIsZero
    assert np.array_equal(tifffile.imread(tmp_path / "out.ome.tif"), pixels)
    with Image.open(tmp_path / "out.ome.tif") as image:
        found = np.asarray(image)
    assert np.array_equal(found, 255 - pixels[0] if bits == 8 else pixels[0])  # Pillow shows it, of 8 bits


def test_kept_jpeg_of_monochrome1_is_white_at_zero(tmp_path: Path) -> None:
    data = jpeg(np.ascontiguousarray(smooth(64, 64)[..., 0]), "", "")
    (expected,) = saved(tmp_path / "series", [data], "MONOCHROME1", (64, 64))
    dicomzarr.export(tmp_path / "series", tmp_path / "out.ome.tif")
    assert (tag(tmp_path / "out.ome.tif"), tag(tmp_path / "out.ome.tif", 259)) == (0, 7)
    found = np.squeeze(tifffile.imread(tmp_path / "out.ome.tif"))
    assert np.abs(found.astype(int) - expected).max() <= DECODERS_DIFFER


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PhotometricInterpretation": "MONOCHROME2"}, 1),
        ({"PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": "-1"}, 0),  # high modality values are bright
        ({"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "-1"}, 1),
    ],
    ids=str,
)
def test_what_is_bright_goes_by_the_slope_of_stored_values_too(
    attributes: dict[str, str], expected: int, opened: Opener, tmp_path: Path
) -> None:
    image = opened(volume(AXIAL, distinct((2, 16, 20)), **{"RescaleIntercept": "0", **attributes}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOutWarning)  # of how values are rescaled
        dicomzarr.export(image, tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == expected


@pytest.mark.parametrize("values", ["stored", "modality"])
def test_signed_values_cannot_be_white_at_zero(values: str, opened: Opener, tmp_path: Path) -> None:
    pixels = distinct((2, 16, 20), bits=12, signed=True)
    series = volume(AXIAL, pixels, RescaleIntercept="0", PhotometricInterpretation="MONOCHROME1")
    with pytest.warns(LeftOutWarning, match="low values are to be shown bright"):
        dicomzarr.export(opened(series, values=values), tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == 1
    assert np.array_equal(tifffile.imread(tmp_path / "out.ome.tif"), pixels)


def painted(first: int, count: int, bits: int, *, indices: int = 8) -> RadiologySeries:
    """Slices of indices into a palette, whose entries are for some values alone."""
    series = volume(AXIAL, distinct((2, 64, 80), bits=indices), RescaleIntercept="0", **stored_in(indices))
    tables = np.random.default_rng(bits).integers(0, 2**bits, (3, count), dtype=np.uint16)
    for dataset in series.datasets:
        dataset.PhotometricInterpretation = "PALETTE COLOR"
        for color, table in zip(("Red", "Green", "Blue"), tables, strict=True):
            setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [count, first, bits])
            data = table.astype("u1" if bits == 8 else "<u2").tobytes()
            setattr(dataset, f"{color}PaletteColorLookupTableData", data)
    return series


@pytest.mark.parametrize(("first", "count"), [(0, 256), (0, 40), (10, 100)])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_bytes_is_a_colormap(first: int, count: int, bits: int, opened: Opener, tmp_path: Path) -> None:
    series = painted(first, count, bits)
    dicomzarr.export(opened(series), tmp_path / "out.ome.tif")
    out = tmp_path / "out.ome.tif"
    assert tag(out) == 3
    slices = sorted(series.datasets, key=lambda each: float(each.ImagePositionPatient[2]))
    expected = [apply_color_lut(each.pixel_array, each) for each in slices]
    with tifffile.TiffFile(out) as tiff:
        assert np.array_equal(tiff.asarray(), [each.pixel_array for each in slices])
        page: Any = tiff.pages[0]
        assert np.array_equal(page.asrgb(), expected[0].astype(np.uint16) * (257 if bits == 8 else 1))
    for number, colors in enumerate(expected):
        with Image.open(out) as image:
            image.seek(number)
            assert np.array_equal(np.asarray(image.convert("RGB")), colors >> (bits - 8))


def test_indices_of_16_bits_are_said_to_lack_their_palette(opened: Opener, tmp_path: Path) -> None:
    series = painted(0, 4096, 16, indices=12)
    with pytest.warns(LeftOutWarning, match='without their palette.*uint16.*values="color" exports the colours'):
        dicomzarr.export(opened(series), tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == 1


def test_several_palettes_are_left_out_and_said(opened: Opener, tmp_path: Path) -> None:
    series = painted(0, 256, 8)
    table = series.datasets[0].RedPaletteColorLookupTableData
    series.datasets[0].RedPaletteColorLookupTableData = table[::-1]
    with pytest.warns(LeftOutWarning, match="its frames have several"):
        dicomzarr.export(opened(series), tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == 1


def test_a_broken_palette_is_left_out_and_said(opened: Opener, tmp_path: Path) -> None:
    series = painted(0, 256, 8)
    for dataset in series.datasets:
        del dataset.RedPaletteColorLookupTableData
    with pytest.warns(LeftOutWarning, match="it cannot be read"):
        dicomzarr.export(opened(series), tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == 1


def test_colours_of_a_palette_are_rgb(opened: Opener, tmp_path: Path) -> None:
    dicomzarr.export(opened(painted(0, 256, 8), values="color"), tmp_path / "out.ome.tif")
    assert tag(tmp_path / "out.ome.tif") == 2


# --- levels


def exported(folder: Path, *levels: Level) -> list[Any]:
    """The levels of a slide as another reader finds them, who knows how many pixels they have, and no more."""
    write(folder / "slide", [full_instance(Identity("tiff", number), each) for number, each in enumerate(levels, 1)])
    dicomzarr.export(folder / "slide", folder / "out.ome.tif")
    with tifffile.TiffFile(folder / "out.ome.tif") as tiff:
        return [level.asarray() for level in tiff.series[0].levels]


@pytest.mark.parametrize("codec", [RGB, JPEG_422], ids=["pixels", "jpeg"])
def test_of_a_level_that_is_padded_to_whole_tiles_what_shows_level_0_is_written(codec: Codec, tmp_path: Path) -> None:
    fine = Level(smooth_color(1, 448, 576), (64, 64), codec=codec)
    padded = Level(smooth_color(2, 128, 192), (64, 64), (0.002, 0.002), codec=codec)
    levels = exported(tmp_path, fine, padded)
    for found, (level, rows, columns) in zip(levels, ((fine, 448, 576), (padded, 112, 144)), strict=True):
        expected = np.moveaxis(level.pixels[:, 0, :rows, :columns], 0, -1)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= (DECODERS_DIFFER + 10 if codec.lossy else 0)


def test_a_level_that_lacks_a_part_is_left_out_and_said(tmp_path: Path) -> None:
    fine, short = Level(smooth_color(1, 1000, 1000), (64, 64)), Level(smooth_color(2, 460, 460), (46, 46), (0.001,) * 2)
    with pytest.warns(LeftOutWarning, match="Level 1 is left out: it lacks a part"):
        (found,) = exported(tmp_path, fine, short)
    assert np.array_equal(found, np.moveaxis(fine.pixels[:, 0], 0, -1))


@pytest.mark.parametrize("region", [{}, {"y": (64, 192), "x": (128, 320)}], ids=str)
def test_of_a_level_that_begins_before_level_0_the_same_place_is_written(
    region: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    fine, coarse = Level(smooth_color(1, 448, 576), (64, 64)), Level(smooth_color(2, 256, 320), (64, 64), (0.001,) * 2)
    datasets = [full_instance(Identity("before", number), each) for number, each in enumerate((fine, coarse), 1)]
    for dataset in datasets:
        dataset.PyramidUID = "1.2.3.4"
    origin = datasets[1].TotalPixelMatrixOriginSequence[0]  # columns run along -Y and rows along -X
    origin.XOffsetInSlideCoordinateSystem = str(ORIGIN[0] + 32 * 0.001)
    origin.YOffsetInSlideCoordinateSystem = str(ORIGIN[1] + 16 * 0.001)
    write(tmp_path / "slide", datasets)
    dicomzarr.export(tmp_path / "slide", tmp_path / "out.ome.tif", region=region)
    (top, bottom), (left, right) = region.get("y", (0, 448)), region.get("x", (0, 576))
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tiff:
        found = [level.asarray() for level in tiff.series[0].levels]
    assert np.array_equal(found[0], np.moveaxis(fine.pixels[:, 0, top:bottom, left:right], 0, -1))
    within = (slice(32 + top // 2, 32 + bottom // 2), slice(16 + left // 2, 16 + right // 2))
    assert np.array_equal(found[1], np.moveaxis(coarse.pixels[(slice(None), 0, *within)], 0, -1))


def test_a_region_that_a_level_does_not_show_is_refused_with_that_level(tmp_path: Path) -> None:
    fine, part = Level(smooth_color(1, 256, 320), (64, 64)), Level(smooth_color(2, 64, 96), (64, 64), (0.001,) * 2)
    datasets = [full_instance(Identity("part", number), each) for number, each in enumerate((fine, part), 1)]
    for dataset in datasets:
        dataset.PyramidUID = "1.2.3.4"
    origin = datasets[1].TotalPixelMatrixOriginSequence[0]
    origin.YOffsetInSlideCoordinateSystem = str(ORIGIN[1] - 64 * 0.0005)
    write(tmp_path / "slide", datasets)
    for region in ({"x": (0, 60)}, {"x": (290, 300)}):
        with pytest.raises(UsageError, match="if level 1 shows another part of the slide, leave it out"):
            dicomzarr.export(tmp_path / "slide", tmp_path / "out.zarr", region=region)
    dicomzarr.export(tmp_path / "slide", tmp_path / "out.zarr", region={"x": (60, 80), "y": (0, 20)})
    found = zarr.open_array(tmp_path / "out.zarr", path="1", mode="r")
    assert np.array_equal(found, part.pixels[:, 0, :10, :8])


# --- what is coded in several ways


def grey(frame: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(frame[..., 0]), level=95))


GREY_JPEG = Codec(JPEGBaseline8Bit, "MONOCHROME2", grey)


@pytest.mark.parametrize("odd", [0, 2])
def test_channels_that_are_coded_in_several_ways_are_decoded(odd: int, tmp_path: Path) -> None:
    levels = [
        Level(
            smooth_color(path, 96, 128)[:1], (32, 32), codec=GRAY if path == odd else GREY_JPEG, paths=(CHANNELS[path],)
        )
        for path in range(3)
    ]
    write(tmp_path / "slide", [full_instance(Identity("coded", number), each) for number, each in enumerate(levels, 1)])
    image = dicomzarr.open(tmp_path / "slide")
    assert image.shape == (3, 96, 128)
    dicomzarr.export(image, tmp_path / "out.ome.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "out.ome.tif"), image[...])
    assert np.array_equal(image[odd], levels[odd].pixels[0, 0])
    assert tag(tmp_path / "out.ome.tif", 259) == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_whole_numbers_that_are_too_long_for_ome_are_refused_before_anything_is_written(
    opened: Opener, tmp_path: Path
) -> None:
    series = volume(AXIAL, distinct((2, 16, 20), bits=32), bits=32, RescaleIntercept="-1")
    image = opened(series, values="modality")
    assert image.dtype == np.int64
    with pytest.raises(UsageError, match="Values are int64"):
        dicomzarr.export(image, tmp_path / "out.ome.tif")
    assert list(tmp_path.iterdir()) == []

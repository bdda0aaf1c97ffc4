"""The face shows what OpenSlide shows of the same files."""

from __future__ import annotations

import importlib
import pickle
import sys
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import pytest
from folders import write
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image as pillow  # noqa: N813  # as Pillow calls a module
from PIL import ImageCms
from pydicom import Dataset
from pydicom.uid import UltrasoundMultiFrameImageStorage
from serving import serving
from slides import BUILDERS, brightfield_pyramid, overlapping_tiles, two_pyramids
from slides_codecs import GRAY
from slides_instances import Identity, Level, OpticalPath, full_instance, sparse_instance
from slides_pixels import noisy_color, noisy_gray

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.demo.slide import demo_files
from dicomzarr.errors import DicomZarrError, LeftOutWarning, UsageError
from dicomzarr.faces.openslide.properties import whole_downsample
from dicomzarr.openslide import OpenSlide, open_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVERYWHERE = [(0, 0), (-48, -32), (1304, 1504), (112, 336), (5000, 5000), (-5000, 0)]
"""Positions that lie on pixels of all levels: between them OpenSlide interpolates, and the face takes the nearest."""


@pytest.fixture(scope="module")
def slide() -> Iterator[OpenSlide]:
    with demo_server() as server:
        yield open_slide(demo_url(server))


@pytest.fixture(scope="module")
def other() -> Iterator[openslide.OpenSlide]:
    """The same files, read by OpenSlide."""
    with openslide.OpenSlide(demo_files()[0]) as opened:
        yield opened


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("location", EVERYWHERE)
def test_regions_are_openslides(
    slide: OpenSlide, other: openslide.OpenSlide, location: tuple[int, int], level: int
) -> None:
    found, expected = (each.read_region(location, level, (200, 150)) for each in (slide, other))
    assert (found.mode, found.size) == ("RGBA", (200, 150))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert found.info.get("icc_profile") == expected.info.get("icc_profile")


def test_levels_are_openslides(slide: OpenSlide, other: openslide.OpenSlide) -> None:
    assert isinstance(slide, openslide.AbstractSlide)
    for name in ("level_count", "level_dimensions", "level_downsamples", "dimensions"):
        assert getattr(slide, name) == getattr(other, name)
    for downsample in (0.5, 1, 1.9, 2, 3.99, 4, 7, 64):
        assert slide.get_best_level_for_downsample(downsample) == other.get_best_level_for_downsample(downsample)


def test_properties_are_openslides_but_for_what_identifies(slide: OpenSlide, other: openslide.OpenSlide) -> None:
    theirs = dict(other.properties)
    ours = dict(slide.properties)
    added = {"openslide.background-color", *(f"openslide.bounds-{name}" for name in ("x", "y", "width", "height"))}
    assert {key: value for key, value in ours.items() if key not in added} == {
        key: theirs[key] for key in ours.keys() - added
    }
    missing = {key for key in theirs.keys() - ours.keys() if key.startswith("openslide.")}
    assert missing == {"openslide.quickhash-1", "openslide.icc-size", "openslide.associated.thumbnail.icc-size"}
    assert not [key for key in ours if key.startswith("dicom.")]


def test_the_thumbnail_is_openslides(slide: OpenSlide, other: openslide.OpenSlide) -> None:
    found, expected = slide.get_thumbnail((120, 120)), other.get_thumbnail((120, 120))
    assert found.mode == expected.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("limit_bounds", [False, True])
def test_deep_zoom_tiles_are_openslides(slide: OpenSlide, other: openslide.OpenSlide, *, limit_bounds: bool) -> None:
    found, expected = (DeepZoomGenerator(each, 254, 1, limit_bounds) for each in (slide, other))
    assert found.level_dimensions == expected.level_dimensions
    assert found.get_dzi("jpeg") == expected.get_dzi("jpeg")
    for level in range(found.level_count - 4, found.level_count):  # above, OpenSlide interpolates between pixels
        columns, rows = found.level_tiles[level]
        for address in {(0, 0), (columns - 1, rows - 1), (columns // 2, rows // 2)}:
            ours, theirs = (np.asarray(each.get_tile(level, address), int) for each in (found, expected))
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).max() <= 1, (level, address)


def test_associated_images_are_openslides(tmp_path: Path) -> None:
    built = brightfield_pyramid()
    paths = built.write(tmp_path)
    finest = paths[2]
    with serving(built) as served, openslide.OpenSlide(finest) as expected:
        found = open_slide(served.url, associated_label=True)
        assert set(found.associated_images) == set(expected.associated_images)
        assert "label" not in open_slide(served.url).associated_images
        for name, picture in expected.associated_images.items():
            ours = found.associated_images[name]
            assert ours.mode == "RGBA"
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(picture))
            assert ours.info.get("icc_profile") == picture.info.get("icc_profile")
            assert found.properties[f"openslide.associated.{name}.width"] == str(picture.width)


@pytest.mark.parametrize(
    ("downsample", "columns", "expected"),
    [(3.9999, 4000, 4.0), (4.0001, 4000, 4.0), (3.9999, 30_000, 3.9999), (3.89, 66, 3.89), (1.0, 100_000, 1.0)],
)
def test_a_downsample_by_rounded_spacing_is_whole_where_no_pixel_moves(
    downsample: float, columns: int, expected: float
) -> None:
    """Tools cut off what follows the point: 3.9999 would become 3."""
    level = SimpleNamespace(downsample=downsample, shape=(3, 100, columns))
    assert whole_downsample(level) == expected  # type: ignore[arg-type]  # all of a level that counts


def test_a_pyramid_of_other_ratios_has_them() -> None:
    with serving(brightfield_pyramid()) as served:
        found = open_slide(served.url).level_downsamples
    assert found == pytest.approx((1, 1.945, 3.89, 7.02), rel=0.02)
    assert not found[1].is_integer()
    assert not found[2].is_integer()


def test_a_thumbnail_shows_the_area_of_level_0_and_not_what_a_level_is_padded_with(tmp_path: Path) -> None:
    fine, padded = Level(noisy_color(1, 448, 576), (64, 64)), Level(noisy_color(2, 128, 192), (64, 64), (0.002, 0.002))
    write(tmp_path, [full_instance(Identity("padded", number), each) for number, each in enumerate((fine, padded), 1)])
    found = np.asarray(open_slide(tmp_path).get_thumbnail((144, 144)))
    np.testing.assert_array_equal(found, np.moveaxis(padded.pixels[:, 0, :112, :144], 0, -1))


def test_a_thumbnail_is_of_no_level_that_lacks_a_part(tmp_path: Path) -> None:
    fine, short = Level(noisy_color(1, 1000, 1000), (64, 64)), Level(noisy_color(2, 460, 460), (46, 46), (0.001, 0.001))
    write(tmp_path, [full_instance(Identity("short", number), each) for number, each in enumerate((fine, short), 1)])
    slide = open_slide(tmp_path)
    assert slide.level_count == 2
    whole = np.moveaxis(fine.pixels[:, 0], 0, -1)
    expected = pillow.fromarray(whole).resize((100, 100), pillow.Resampling.LANCZOS)
    found = np.asarray(slide.get_thumbnail((100, 100))).astype(int)
    assert np.abs(found - np.asarray(expected)).mean() < 2


def test_it_travels_by_url(slide: OpenSlide) -> None:
    sent = pickle.loads(pickle.dumps(slide))  # noqa: S301  # our own
    np.testing.assert_array_equal(
        np.asarray(sent.read_region((300, 300), 0, (64, 64))), np.asarray(slide.read_region((300, 300), 0, (64, 64)))
    )


def test_it_opens_as_openslide_does(slide: OpenSlide) -> None:
    folder = demo_files()[0].parent
    with open_slide(folder) as opened:
        assert opened.dimensions == (1400, 1600)
    assert OpenSlide(filename=folder).dimensions == open_slide(filename=str(folder)).dimensions == (1400, 1600)
    assert open_slide(dicomzarr.open(folder)).dimensions == (1400, 1600)
    assert repr(slide).startswith("OpenSlide('dicomweb://127.0.0.1")
    assert slide.set_cache(openslide.OpenSlideCache(1)) is None


def test_a_file_is_read_with_those_of_its_series_beside_it(other: openslide.OpenSlide, tmp_path: Path) -> None:
    for file in demo_files():
        assert open_slide(file).level_dimensions == other.level_dimensions
    alone = tmp_path / "alone.dcm"
    alone.write_bytes(demo_files()[0].read_bytes())
    assert open_slide(str(alone)).level_count == 1


def test_it_tells_a_slide_from_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no slide")
    assert OpenSlide.detect_format(demo_files()[0].parent) == "dicom"
    assert OpenSlide.detect_format(tmp_path) is None
    assert OpenSlide.detect_format(tmp_path / "nothing") is None
    with pytest.raises(DicomZarrError):
        open_slide(tmp_path / "nothing")


def test_a_server_that_fails_does_not_say_that_there_is_no_slide() -> None:
    with demo_server() as server:
        url = demo_url(server)
    with pytest.raises(DicomZarrError):
        OpenSlide.detect_format(url)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 0), 4, (10, 10)), "Level 4"),
        (((0, 0), -1, (10, 10)), "Level -1"),
        (((0, 0), 0, (-1, 10)), "-1 x 10"),
    ],
)
def test_what_cannot_be_read_is_said(slide: OpenSlide, arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slide.read_region(*arguments)


def test_an_empty_region_is_an_empty_picture(slide: OpenSlide) -> None:
    assert slide.read_region((0, 0), 0, (0, 10)).size == (0, 10)


def test_what_is_not_in_colour_is_refused_with_the_reason() -> None:
    with serving(BUILDERS["fluorescence_focal_stack"]()) as served, pytest.raises(UsageError, match="8 bits"):
        open_slide(served.url)


def beside(name: str) -> list[Dataset]:
    """A series of an overview or a thumbnail alone."""
    identity = Identity(f"{name} alone", 1, ("ORIGINAL", "PRIMARY", name, "NONE"))
    return [full_instance(identity, Level(noisy_color(1, 60, 90), (32, 32)))]


def cine() -> list[Dataset]:
    """Three frames of an ultrasound in colour (PS3.3 section A.7)."""
    dataset = full_instance(Identity("cine", 1), Level(noisy_color(1, 40, 150), (40, 50)))
    found = Dataset()
    found.file_meta = dataset.file_meta
    names = (
        "StudyInstanceUID SeriesInstanceUID SOPInstanceUID Rows Columns NumberOfFrames SamplesPerPixel BitsAllocated"
    )
    names += " PhotometricInterpretation PlanarConfiguration BitsStored HighBit PixelRepresentation PixelData"
    for name in names.split():
        setattr(found, name, getattr(dataset, name))
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    found.Modality, found.InstanceNumber, found.FrameTime, found.FrameIncrementPointer = "US", 1, 30, 0x00181063
    return [found]


NO_SLIDES: dict[str, tuple[Callable[[], list[Dataset]], str]] = {
    "overview": (lambda: beside("OVERVIEW"), "it is the overview beside a slide"),
    "thumbnail": (lambda: beside("THUMBNAIL"), "it is the thumbnail beside a slide"),
    "cine": (cine, "nothing says that its frames are the tiles of one matrix"),
    "frame": (lambda: [without_frames(cine()[0])], "nothing says that its frames are the tiles of one matrix"),
    "overlapping tiles": (lambda: overlapping_tiles().datasets, "nothing says that its frames are the tiles of one"),
    "grey": (lambda: grey("8", 8), "it is uint8 with the axes y, x"),
    "grey of 16 bits": (lambda: grey("16", 16), "it is uint16 with the axes y, x"),
}


def without_frames(dataset: Dataset) -> Dataset:
    """Its first frame."""
    dataset.PixelData = dataset.PixelData[: 40 * 50 * 3]
    del dataset.NumberOfFrames, dataset.FrameTime, dataset.FrameIncrementPointer
    return dataset


def grey(name: str, bits: int) -> list[Dataset]:
    return [
        full_instance(Identity(name, 1), Level(noisy_gray(1, (1, 1, 60, 90), bits), (32, 32), codec=GRAY, bits=bits))
    ]


@pytest.mark.parametrize("name", NO_SLIDES)
def test_what_is_no_slide_is_refused_as_openslide_refuses(name: str, tmp_path: Path) -> None:
    built, reason = NO_SLIDES[name]
    write(tmp_path, built())
    file = next(tmp_path.iterdir())
    assert OpenSlide.detect_format(file) is OpenSlide.detect_format(tmp_path) is None
    for kind in (UsageError, openslide.OpenSlideUnsupportedFormatError):
        with pytest.raises(kind, match=reason):
            open_slide(file)
    if name != "overlapping tiles":  # which OpenSlide draws over each other
        with pytest.raises(openslide.OpenSlideError):
            openslide.OpenSlide(file)


def test_a_picture_beside_a_slide_is_none() -> None:
    with serving(brightfield_pyramid()) as served:
        image = dicomzarr.open(served.url)
        assert open_slide(image).associated_images
        for picture in image.associated.values():
            with pytest.raises(openslide.OpenSlideUnsupportedFormatError, match="beside a slide"):
                open_slide(picture)


def test_pyramids_but_the_first_are_slides() -> None:
    with serving(two_pyramids()) as served:
        for image in dicomzarr.open(served.url).images:
            level = np.moveaxis(image.levels[0][...], 0, -1)
            region = np.asarray(open_slide(image).read_region((0, 0), 0, level.shape[1::-1]))
            np.testing.assert_array_equal(region[..., :3], level)


def test_associated_images_have_openslides_profiles(slide: OpenSlide, other: openslide.OpenSlide) -> None:
    expected = other.associated_images["thumbnail"]
    assert expected.info["icc_profile"]
    assert slide.associated_images["thumbnail"].info == expected.info


def test_pictures_in_srgb_have_its_profile(slide: OpenSlide) -> None:
    managed = open_slide(slide._image.in_srgb)
    assert "sRGB" in managed.color_profile.profile.profile_description
    for picture in (
        managed.read_region((0, 0), 0, (8, 8)),
        managed.get_thumbnail((8, 8)),
        managed.associated_images["thumbnail"],
    ):
        profile = ImageCms.ImageCmsProfile(BytesIO(picture.info["icc_profile"])).profile
        assert profile.profile_description == managed.color_profile.profile.profile_description


PATHS = (OpticalPath("1", "A"), OpticalPath("2", "B"))
TWO_PATHS = Level(np.concatenate([noisy_color(1, 60, 90), noisy_color(2, 60, 90)]), (32, 32), paths=PATHS)
THREE_PLANES = Level(
    np.concatenate([noisy_color(number, 60, 90) for number in range(3)], axis=1), (32, 32), z=(0.0, 0.001, 0.002)
)
BOTH = replace(THREE_PLANES, pixels=np.concatenate([THREE_PLANES.pixels, 255 - THREE_PLANES.pixels]), paths=PATHS)


def one_path(number: int) -> Level:
    return replace(TWO_PATHS, pixels=TWO_PATHS.pixels[3 * number : 3 * number + 3], paths=PATHS[number : number + 1])


def in_instances(*numbers: int) -> list[Dataset]:
    """A path in each instance."""
    identity = f"paths {numbers}"
    return [full_instance(Identity(identity, place), one_path(number)) for place, number in enumerate(numbers, 1)]


def sparse(level: Level) -> list[Dataset]:
    return [sparse_instance(Identity("sparse", 1), level, level.tiles())]


SEVERAL: dict[str, tuple[list[Dataset], Level, int, str]] = {
    "paths": ([full_instance(Identity("paths", 1), TWO_PATHS)], TWO_PATHS, 0, "the first of 2 optical paths"),
    "sparse paths": (sparse(TWO_PATHS), TWO_PATHS, 0, "the first of 2 optical paths"),
    "paths in instances": (in_instances(0, 1), TWO_PATHS, 0, "the first of 2 optical paths"),
    "planes": ([full_instance(Identity("planes", 1), THREE_PLANES)], THREE_PLANES, 1, "focal plane 1 of 3"),
    "both": ([full_instance(Identity("both", 1), BOTH)], BOTH, 1, "of 2 optical paths and focal plane 1 of 3"),
}
"""Instances, what they hold, the plane that is shown, and what is said of the others."""


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_paths_and_planes_one_is_shown_and_said(name: str, tmp_path: Path) -> None:
    datasets, level, plane, words = SEVERAL[name]
    write(tmp_path, datasets)
    file = tmp_path / "0000.dcm"
    assert OpenSlide.detect_format(file) == "dicom"  # and warns of nothing
    with pytest.warns(LeftOutWarning, match=words):
        found = open_slide(file)
    expected = np.moveaxis(level.pixels[:3, plane], 0, -1)
    region = np.asarray(found.read_region((0, 0), 0, (100, 70)))
    np.testing.assert_array_equal(region[:60, :90, :3], expected)
    np.testing.assert_array_equal(region[..., 3] > 0, np.pad(np.ones((60, 90), bool), ((0, 10), (0, 10))))
    np.testing.assert_array_equal(np.asarray(found.get_thumbnail((90, 60))), expected)
    if name == "paths":  # of sparse ones OpenSlide shows whichever frame comes last, and refuses the others
        with openslide.OpenSlide(file) as other:
            np.testing.assert_array_equal(region, np.asarray(other.read_region((0, 0), 0, (100, 70))))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_an_associated_image_in_grey_is_not_stretched(tmp_path: Path, bits: int, *, inverted: bool) -> None:
    stored = noisy_gray(2, (1, 1, 40, 50), 8).astype(np.uint16) // 8 + 100
    pixels = (stored * (1 if bits == 8 else 257)).astype(f"uint{bits}")
    overview = full_instance(
        Identity("grey overview", 2, ("ORIGINAL", "PRIMARY", "OVERVIEW", "NONE")),
        Level(pixels, (40, 50), codec=GRAY, bits=bits),
    )
    overview.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    write(tmp_path, [full_instance(Identity("grey overview", 1), Level(noisy_color(1, 60, 90), (32, 32))), overview])
    found = np.asarray(open_slide(tmp_path).associated_images["macro"])
    expected = 255 - stored[0, 0] if inverted else stored[0, 0]
    np.testing.assert_array_equal(found[..., :3], np.repeat(expected[..., None], 3, axis=2))
    assert (found[..., 3] == 255).all()


def test_it_needs_no_openslide(slide: OpenSlide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    monkeypatch.delitem(sys.modules, "dicomzarr.faces.openslide.slide")
    opened_alone = importlib.import_module("dicomzarr.faces.openslide.slide").open_slide
    with serving(overlapping_tiles()) as served, pytest.raises(UsageError, match="is none"):
        opened_alone(served.url)
    alone = opened_alone(slide._image)
    assert not isinstance(alone, openslide.AbstractSlide)
    with alone as opened:
        for ours, theirs in (
            (opened.read_region((100, 100), 1, (50, 50)), slide.read_region((100, 100), 1, (50, 50))),
            (opened.get_thumbnail((90, 90)), slide.get_thumbnail((90, 90))),
        ):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
        assert opened.color_profile.profile.profile_description == slide.color_profile.profile.profile_description


def test_without_pillow_the_error_says_what_to_install(slide: OpenSlide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"pip install \"dicomzarr\[openslide\]\""):
        open_slide(slide._image)

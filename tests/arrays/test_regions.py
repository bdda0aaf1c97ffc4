"""Regions of slides: the right pixels whatever the resolution, at every edge, and words where none can be meant."""

from __future__ import annotations

import itertools
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import PIL.Image
import pytest
from folders import write
from radiology_opened import Opener
from radiology_volumes import volume
from region_means import averaged, integral_of
from segmentations import IDENTIFIED, random_masks, segmented
from serving import Served, serving
from slides import (
    ABSENT_COLORS,
    brightfield_pyramid,
    channels_in_instances,
    fluorescence_focal_stack,
    poor_headers,
    sparse_brightfield,
)
from slides_codecs import GRAY
from slides_instances import Identity, Level, full_instance, sparse_instance
from slides_palettes import give_palette
from slides_pixels import noisy_color, noisy_gray
from wsidicom import WsiDicom

import dicomzarr
from dicomzarr.arrays import regions
from dicomzarr.demo.slide import demo_files
from dicomzarr.errors import UpsampledWarning, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slides_model import Pixels

    from dicomzarr import Image


@pytest.fixture(scope="module")
def demo() -> Image:
    return dicomzarr.open(demo_files()[0].parent)


@pytest.fixture(scope="module")
def stack() -> Iterator[Served]:
    with serving(fluorescence_focal_stack()) as served:
        yield served


def assert_rounded(found: Pixels, exact: Pixels) -> None:
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= 0.5 + 1e-3


def test_a_slide_says_how_fine_it_is(demo: Image) -> None:
    assert demo.mpp == demo.levels[0].mpp == (0.499, 0.499)
    assert [level.downsample for level in demo.levels] == [1, 2, 4, 8]
    assert demo.levels[2].mpp == pytest.approx((1.996, 1.996))
    assert demo.magnification is None


def test_x_comes_first_and_the_power_of_the_objective_is_read() -> None:
    slide = fluorescence_focal_stack()
    for dataset in slide.datasets:
        dataset.OpticalPathSequence[1].ObjectiveLensPower = "40"
    with serving(slide) as served:
        image = dicomzarr.open(served.url)
        assert image.mpp == (0.5, 0.4)
        assert image.magnification == 40


@pytest.mark.parametrize(
    ("mpp", "number"),
    [(0.25, 0), (0.499, 0), (0.5, 0), (0.99, 1), (0.98, 0), (1.0, 1), (3.9, 2), (3.99, 3), (100, 3), ((2, 1), 1)],
)
def test_the_level_for_a_resolution_is_the_coarsest_that_is_as_fine(demo: Image, mpp: Any, number: int) -> None:
    assert demo.level_for(mpp=mpp).number == number


EDGES = list(itertools.product((-300, -40, 0, 13, 1290, 1400, 2000), (-224, -7, 0, 501, 1500, 1600)))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_pixels_of_a_level_come_as_they_are_and_padded_at_every_edge(demo: Image, number: int) -> None:
    level = demo.levels[number]
    integral = integral_of(np.moveaxis(level[...], 0, -1), 255)
    for (x, y), found in zip(EDGES, demo.read_regions(EDGES, (224, 100), level=number), strict=True):
        column, row = (int(np.floor(value / 2**number + 0.5)) for value in (x, y))
        assert (found == averaged(integral, (column, row), (224, 100), (1, 1))).all()


@pytest.mark.parametrize("factor", [1.3, 1.7, 2.01, 3.0, 6.01, 11.7, 64])
def test_between_levels_areas_are_averaged(demo: Image, factor: float) -> None:
    mpp = 0.499 * factor
    level = demo.level_for(mpp=mpp)
    integral = integral_of(np.moveaxis(level[...], 0, -1), 255)
    down = level.downsample
    step = factor / down, factor / down
    found = demo.read_regions(EDGES, (50, 23), mpp=mpp)
    for (x, y), region in zip(EDGES, found, strict=True):
        assert_rounded(region, averaged(integral, (x / down, y / down), (50, 23), step))


def test_a_region_is_the_same_alone_and_among_others_and_in_portions(
    demo: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = demo.read_regions(EDGES, 224, mpp=0.7)
    for place in (0, 8, 20):
        assert (demo.read_region(EDGES[place], 224, mpp=0.7) == together[place]).all()
    monkeypatch.setattr(regions, "_PORTION", 50_000)
    in_portions = demo.read_regions(EDGES, 224, mpp=0.7)
    assert all((one == other).all() for one, other in zip(together, in_portions, strict=True))


def test_without_padding_the_edge_cuts(demo: Image) -> None:
    assert demo.read_region((1390, -10), 100, pad=False).shape == (90, 10, 3)
    assert demo.read_region((5000, 0), 100, pad=False).shape == (100, 0, 3)


def test_without_padding_pixels_that_lie_half_within_hold_what_is_within(demo: Image) -> None:
    plane = np.moveaxis(demo.levels[0][...], 0, -1).astype(float)
    (region,) = demo.read_regions([(1395, 0)], 4, mpp=0.499 * 1.5, pad=False)
    assert region.shape == (4, 3, 3)  # a third of the last pixel would lie within
    (region,) = demo.read_regions([(1396, 0)], 4, mpp=0.499 * 1.5, pad=False)
    assert region.shape == (4, 3, 3)  # two thirds do
    assert np.abs(region[0, 2] - (plane[0, 1399] * 2 + plane[1, 1399]) / 3).max() <= 0.501


def test_the_filling_is_ones_own(demo: Image) -> None:
    assert demo.read_region((-9, -9), 9, fill=(1, 2, 3)).tolist() == [[[1, 2, 3]] * 9] * 9
    half = demo.read_region((-1, -2), 1, mpp=0.998 * 1.002, level=None, fill=0)
    assert half.max() == 0
    for bad in (256, -1, 0.5, (1, 2), "white", float("nan")):
        with pytest.raises(UsageError, match="fill is"):
            demo.read_region((0, 0), 9, fill=bad)


def test_absent_tiles_are_what_the_slide_has_for_them() -> None:
    slide = sparse_brightfield(absent="pink")
    with serving(slide) as served:
        image = dicomzarr.open(served.url)
        padded = image.read_region((-2, -2), (174, 114))
        assert (padded[2:112, 2:172] == np.moveaxis(image.levels[0][...], 0, -1)).all()
        assert (padded[0] == image.levels[0][:, 0, 48]).all()  # a tile that is absent


@pytest.mark.parametrize("absent", [None, *ABSENT_COLORS])
def test_absent_tiles_have_a_colour_where_indices_have_none(tmp_path: Path, absent: str | None) -> None:
    lab, color = ABSENT_COLORS[absent or "white"]
    level = Level(noisy_gray(6, (1, 1, 64, 64), 8), (32, 32), codec=GRAY)
    dataset = sparse_instance(Identity("absent", 1), level, level.tiles()[:3])
    if absent:
        dataset.RecommendedAbsentPixelCIELabValue = list(lab)
    give_palette(dataset, 6)
    write(tmp_path, [dataset])
    indices = dicomzarr.open(tmp_path)
    assert not indices.levels[0][40:, 40:].any()  # whose colour is told by the attribute, and not their number
    for image in (indices.in_color, dicomzarr.open(tmp_path, values="color", virtual_levels=True)):
        shown = image.levels[0][:, 40:, 40:].astype(int)
        assert np.abs(shown - np.reshape(color, (3, 1, 1))).max() <= 2
        assert (image.read_region((40, 40), 30)[20:] == shown[:, 0, 0]).all()


def test_fluorescence_has_its_channels_and_focal_planes(stack: Served) -> None:
    image = dicomzarr.open(stack.url)
    pixels = stack.slide.levels[0].pixels
    assert image.read_region((90, 60), (20, 20)).shape == (20, 20, 3)
    for z, plane in ((None, 1), (0, 0), (1, 1), (-1, 1)):
        found = image.read_region((5, 7), (30, 20), z=z)
        assert found.dtype == np.uint16
        assert (found == np.moveaxis(pixels[:, plane, 7:27, 5:35], 0, -1)).all()
    assert image.read_region((99, 69), 2)[1, 1].tolist() == [0, 0, 0]
    with pytest.raises(UsageError, match=r"Focal plane 2.*has 2"):
        image.read_region((0, 0), 9, z=2)


def test_pixels_that_are_no_squares_become_squares(stack: Served) -> None:
    image = dicomzarr.open(stack.url)  # 0.5 x 0.4 µm
    plane = np.moveaxis(stack.slide.levels[0].pixels[:, 1], 0, -1).astype(float)
    found = image.read_region((0, 0), (50, 28), mpp=0.99)
    assert_rounded(found, averaged(integral_of(plane, 0), (0, 0), (50, 28), (0.99 / 0.5, 0.99 / 0.4)))


def test_one_channel_has_no_axis_of_channels() -> None:
    slide = channels_in_instances()
    one = type(slide)(slide.name, tuple(slide.datasets[number] for number in (2, 4)), slide.images)
    with serving(one) as served:
        image = dicomzarr.open(served.url)
        assert image.read_region((-1, -1), (7, 5)).shape == (5, 7)


def test_finer_than_the_slide_is_interpolated_and_said(demo: Image) -> None:
    plane = np.moveaxis(demo.levels[0][...], 0, -1).astype(float)
    with pytest.warns(UpsampledWarning, match=r"0\.2495 micrometres.*0\.499"):
        found = demo.read_region((600, 700), 8, mpp=0.2495)
    around = plane[699:705, 599:605]
    centres = (np.arange(8) + 0.5) / 2 + 0.5  # in pixels of `around`, from its first centre
    rows = np.array([[np.interp(centres, range(6), around[:, x, c]) for c in range(3)] for x in range(6)])
    both = np.array([[np.interp(centres, range(6), rows[:, c, y]) for c in range(3)] for y in range(8)])
    assert_rounded(found, np.moveaxis(both, 1, -1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert demo.read_region((600, 700), 8, mpp=0.47).shape == (8, 8, 3)


def test_what_no_memory_holds_is_said(demo: Image) -> None:
    with pytest.raises(UsageError, match=r"4000000 x 4000000 pixels takes 48\.0 TB"):
        demo.read_region((0, 0), 4_000_000)


def test_the_order_of_openslide_is_told(demo: Image) -> None:
    with pytest.raises(UsageError, match=r"Write read_region\(\(x, y\), \(width, height\), level=0\)"):
        demo.read_region((0, 0), 0, (256, 256))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"size": 0}, r"size of a region is 0"),
        ({"size": (224, 0)}, r"size of a region is \(224, 0\)"),
        ({"size": (224,)}, r"\(width, height\)"),
        ({"size": 22.5}, r"22\.5"),
        ({"size": (1, 10**9)}, r"\(1, 1000000000\).*from 1 to 4194304"),
        ({"mpp": 0}, r"mpp is 0.*above zero"),
        ({"mpp": -1.0}, r"mpp is -1"),
        ({"mpp": "20x"}, r"mpp is '20x'"),
        ({"mpp": 1e300}, r"mpp is 1e\+300"),
        ({"mpp": float("nan")}, r"mpp is nan"),
        ({"mpp": (1, 2, 3)}, r"mpp is \(1, 2, 3\)"),
        ({"mpp": 0.5, "level": 1}, r"Both mpp and level"),
        ({"level": 4}, r"Level 4 was asked for; the image has 4"),
        ({"level": -1}, r"Level -1"),
        ({"level": 0.5}, r"Level 0\.5"),
        ({"position": (1,)}, r"position of a region is \(1,\)"),
        ({"position": (1, float("nan"))}, r"position"),
        ({"position": (1e300, 0)}, r"position"),
        ({"position": 7}, r"position of a region is 7"),
    ],
)
def test_what_cannot_be_meant_is_said(demo: Image, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        demo.read_region(**{"position": (0, 0), "size": 9} | asked)


@pytest.mark.parametrize("mpp", [700.0, 1e4, 1e9])
def test_a_pixel_may_cover_all_of_the_slide_and_more(demo: Image, mpp: float) -> None:
    coarsest = np.moveaxis(demo.levels[-1][...], 0, -1).astype(float)
    step = mpp / demo.levels[-1].mpp[0]
    found = demo.read_region((0, 0), 2, mpp=mpp, fill=0)
    share = min(200, step) * min(175, step) / step**2
    exact = coarsest.mean((0, 1)) if step >= 200 else coarsest[: int(step), :].mean((0, 1))
    if step >= 200:
        assert_rounded(found[:1, :1], (exact * share)[None, None])
    assert found[1, 1].tolist() == [0, 0, 0]
    clipped = demo.read_region((-(2**40), 2**39), 9, mpp=mpp, pad=False)
    assert clipped.size == 0


def test_more_than_memory_would_hold_is_refused(demo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "_MOST_A_ROW", 10_000)
    with pytest.raises(UsageError, match=r"mean of 0 MiB of level 3.*virtual_levels=True"):
        demo.read_region((0, 0), 2, mpp=700.0)


def test_who_knows_no_micrometres_chooses_by_level() -> None:
    with serving(poor_headers()) as served:
        image = dicomzarr.open(served.url)
        unknown = image.mpp is None
        if unknown:
            with pytest.raises(UsageError, match="nothing says how large"):
                image.read_region((0, 0), 9, mpp=1.0)
        assert image.read_region((0, 0), 9, level=image.levels[1]).shape == (9, 9, 3)


def test_what_is_no_slide_says_what_to_do() -> None:
    with Opener() as opener:
        image = opener(volume())
        assert image.mpp is None
        assert image.magnification is None
        with pytest.raises(UsageError, match=r"those of a slide.*axes are z, y, x.*image\.levels\[0\]"):
            image.read_region((0, 0), 9)
        with pytest.raises(UsageError, match="nothing says how large the pixels"):
            image.level_for(mpp=0.5)


def test_labels_of_a_slide_have_the_same_regions_in_numbers() -> None:
    slide = full_instance(Identity("labelled", 1), Level(noisy_color(5, 96, 128), (32, 32)))
    for keyword, value in IDENTIFIED.items():
        setattr(slide, keyword, value)
    slide.ContainerIdentifier = "1"
    found = segmented([slide], random_masks((2, 1, 96, 128)), tile_pixel_array=True, tile_size=(32, 32))
    with Opener() as opener:
        server = opener.serve([slide, found.dataset])
        image = dicomzarr.open(server.series_url(found.study, str(slide.SeriesInstanceUID)), labels=True)
        (label,) = (label for name, label in image.labels.items() if name.endswith("-2"))
        whole = found.masks[1, 0] * 2
        assert label.mpp == image.mpp
        region = label.read_region((-3, 80), (20, 30))
        assert (region[:16, 3:] == whole[80:, :17]).all()
        assert not region[16:].any()
        assert not region[:, :3].any()
        halved = label.read_region((0, 0), (64, 48), mpp=1.0)
        assert (halved == whole[1::2, 1::2]).all()  # never a 1, which is another segment


def test_levels_that_are_no_powers_of_two_have_their_place() -> None:
    slide = brightfield_pyramid()
    with serving(slide) as served:
        image = dicomzarr.open(served.url)
        for level, expected in zip(image.levels, slide.levels, strict=True):
            own = np.moveaxis(expected.pixels[:, 0], 0, -1)
            assert (image.read_region((0, 0), own.shape[1::-1], level=level) == own).all()


def test_no_regions_are_no_request(demo: Image) -> None:
    assert demo.read_regions([], 224) == []
    assert len(demo.read_regions(np.array([[0, 0], [5, 5]]), np.array([8, 8]))) == 2
    assert (pickle.loads(pickle.dumps(demo)).read_region((5, 5), 8) == demo.read_region((5, 5), 8)).all()  # noqa: S301


@pytest.fixture(params=["demo", "cmu1"])
def files(request: pytest.FixtureRequest) -> list[Path]:
    if request.param == "demo":
        return [path for path in demo_files() if "thumbnail" not in path.name]
    found: list[Path] = request.getfixturevalue("cmu1_files")
    return found


def as_shown(picture: Any, files: list[Path]) -> tuple[Pixels, Pixels]:
    """(R, G, B, where there is something): CMU-1 says RGB of frames in YCbCr, which both of them believe."""
    alpha = np.asarray(picture.convert("RGBA"))[..., 3:] == 255
    colour = picture.convert("RGB")
    if "slide_cmu1" in str(files[0]):
        colour = PIL.Image.frombytes("YCbCr", colour.size, colour.tobytes()).convert("RGB")
    return np.asarray(colour).astype(int), alpha


def test_openslide_reads_the_same(files: list[Path]) -> None:
    image = dicomzarr.open(files[0].parent)
    width, height = image.levels[0].shape[:0:-1]
    corners = ((0, 0), (512, 256), (1028, 1200), (-64, -32), (width - 64, 640), (640, height - 64), (width, -80))
    with openslide.OpenSlide(files[0]) as theirs:
        assert theirs.level_dimensions[0] == (width, height)
        assert float(theirs.properties["openslide.mpp-x"]) == pytest.approx(image.mpp[0])
        for number, (x, y) in itertools.product((0, 1, 2), corners):
            # Theirs is a ratio of whole pixels, as 2.0003: the place that lies on the same pixel of the level.
            down = theirs.level_downsamples[number]
            place = round((x >> number) * down), round((y >> number) * down)
            if max(abs(value / down - round(value / down)) for value in place) > 1e-3:
                continue  # between pixels, where they interpolate
            shown, there = as_shown(theirs.read_region(place, number, (96, 80)), files)
            ours = image.read_region((x >> number << number, y >> number << number), (96, 80), level=number)
            assert np.abs(np.where(there, shown - ours, 0)).max() <= 3
            assert (ours[~there[..., 0]] == 255).all()


def test_wsidicom_reads_the_same(files: list[Path]) -> None:
    image = dicomzarr.open(files[0].parent)
    with WsiDicom.open(files[0].parent) as theirs:
        for number, (x, y) in itertools.product((0, 1, 2), ((0, 0), (512, 256), (1028, 1200))):
            column, row = x >> number, y >> number
            *_, rows, columns = image.levels[number].shape if number < len(theirs.pyramid) else (0, 0)
            size = min(96, columns - column), min(80, rows - row)
            if min(size) > 0:
                shown, _ = as_shown(theirs.read_region((column, row), number, size), files)
                assert np.abs(shown - image.read_region((x, y), size, level=number)).max() <= 3

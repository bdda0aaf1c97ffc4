"""ICC profiles of slides: their bytes as they are, and colours in sRGB as Pillow's LittleCMS has them."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import pytest
from folders import write
from gateways import ask, gateway, server_upstream
from opened import group_at
from PIL import Image as PictureModule
from profiles import linear_profile, srgb_by_pillow
from pydicom.pixels import apply_color_lut
from radiology_opened import Opener
from radiology_volumes import volume
from region_means import averaged, integral_of
from serving import Served, serving
from slides import brightfield_pyramid, fluorescence_focal_stack
from slides_codecs import GRAY
from slides_instances import Identity, Level, full_instance, sparse_instance
from slides_palettes import give_palette
from slides_pixels import noisy_color, noisy_gray
from slides_pyramids import srgb_profile

import dicomzarr
from dicomzarr.dicom.lut import icc
from dicomzarr.errors import InvalidAttributeError, InvalidOptionError, UnsupportedSeriesError, UsageError
from dicomzarr.faces.dicomweb_server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orthanc import Orthanc
    from slides_model import Pixels, TestSlide


def other_profile() -> bytes:
    """A profile that moves colours far: that of sRGB, whose red and green have changed places."""
    data = bytearray(srgb_profile())
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12)}
    red, green = (slice(entries[name] + 4, entries[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    data[red], data[green] = data[green], data[red]
    return bytes(data)


PROFILE = other_profile()


def with_profile(profile: bytes | None) -> TestSlide:
    slide = brightfield_pyramid()
    for dataset in slide.datasets:
        if profile is None:
            del dataset.OpticalPathSequence[0].ICCProfile
        else:
            dataset.OpticalPathSequence[0].ICCProfile = profile
    return slide


def by_pillow(pixels: Pixels, profile: bytes = PROFILE) -> Pixels:
    """(y, x, 3) by the recipe of Pillow's and of OpenSlide's documentation."""
    return srgb_by_pillow(pixels, profile)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(with_profile(PROFILE)) as each:
        yield each


def plane(served: Served, number: int = 0) -> Pixels:
    pixels: Pixels = np.moveaxis(served.slide.levels[number].pixels[:, 0], 0, -1)
    return pixels


def test_the_bytes_are_those_of_the_slide_wherever_it_is(served: Served, tmp_path: Path) -> None:
    assert dicomzarr.open(served.url).icc_profile == PROFILE
    assert dicomzarr.open(served.url).associated["overview"].icc_profile == PROFILE
    served.slide.write(tmp_path)
    from_files = dicomzarr.open(tmp_path)
    assert from_files.icc_profile == PROFILE
    assert pickle.loads(pickle.dumps(from_files)).icc_profile == PROFILE  # noqa: S301
    with DICOMwebServer(tmp_path) as server:
        url = server.series_url(served.slide.study_uid, served.slide.series_uid)
        assert dicomzarr.open(url).icc_profile == PROFILE
        shown = dicomzarr.open(url, icc="srgb").levels[0][...]
        assert (np.moveaxis(shown, 0, -1) == by_pillow(plane(served))).all()


@pytest.mark.orthanc
def test_the_bytes_are_those_of_the_slide_on_a_real_server(orthanc: Orthanc) -> None:
    slide = with_profile(PROFILE)
    orthanc.load(slide.datasets)
    url = orthanc.series_url(slide.study_uid, slide.series_uid)
    assert dicomzarr.open(url).icc_profile == PROFILE
    shown = dicomzarr.open(url, icc="srgb").levels[1][...]
    assert (np.moveaxis(shown, 0, -1) == by_pillow(np.moveaxis(slide.levels[1].pixels[:, 0], 0, -1))).all()


@pytest.mark.parametrize("number", [0, 1, 3])
def test_levels_are_what_pillow_makes_of_them(served: Served, number: int) -> None:
    image = dicomzarr.open(served.url, icc="srgb")
    expected = by_pillow(plane(served, number))
    assert np.abs(expected.astype(int) - plane(served, number)).max() > 50
    assert (np.moveaxis(image.levels[number][...], 0, -1) == expected).all()
    (yxc,) = image.levels[number].read([...], order="yxc")
    assert (yxc == expected).all()
    group = group_at(served.url, storage_options={"icc": "srgb"})
    assert (np.moveaxis(group[str(number)][...], 0, -1) == expected).all()
    assert group.attrs["dicomzarr"]["color_space"] == "sRGB"
    assert image.in_srgb is image


@pytest.mark.parametrize("position", [(0, 0), (61, 62), (-5, 190), (250, -3), (30, 100)])
def test_regions_are_the_same_whatever_is_read_beside(served: Served, position: tuple[int, int]) -> None:
    image = dicomzarr.open(served.url)
    x, y = position
    found = image.read_region(position, (40, 30), icc="srgb", fill=(9, 8, 7))
    expected = np.full((300, 400, 3), (9, 8, 7), np.uint8)
    expected[50:250, 50:307] = by_pillow(plane(served))
    assert (found == expected[50 + y : 80 + y, 50 + x : 90 + x]).all()
    stored = image.read_region(position, (40, 30), fill=(9, 8, 7))
    assert (stored != found).any()
    means = image.read_region((0, 0), (60, 50), mpp=image.mpp[0] * 1.3, icc="srgb")
    integral = integral_of(by_pillow(plane(served)), 255)
    assert np.abs(means - averaged(integral, (0, 0), (60, 50), (1.3, 1.3))).max() <= 0.501


def test_thumbnails_are_in_srgb_on_request(served: Served) -> None:
    image = dicomzarr.open(served.url)
    size = max(plane(served, 2).shape)
    assert (image.thumbnail(size, icc="srgb") == by_pillow(plane(served, 2))).all()
    assert (image.thumbnail(size) == plane(served, 2)).all()
    (overview,) = (dicomzarr.open(served.url, icc="srgb").associated[name] for name in ("overview",))
    pixels = np.moveaxis(served.slide.associated["overview"][:, 0], 0, -1)
    assert (np.moveaxis(overview.levels[0][...], 0, -1) == by_pillow(pixels)).all()


def test_the_gateway_shows_srgb_on_request_and_where_its_upstream_says_so(served: Served) -> None:
    series = f"studies/{served.slide.study_uid}/series/{served.slide.series_uid}"
    upstreams = server_upstream(served.server, "stored"), server_upstream(served.server, "managed", icc="srgb")
    with gateway(*upstreams) as running:
        size = max(plane(served, 2).shape)
        for name, query, expected in (
            ("stored", "", plane(served, 2)),
            ("stored", "&icc=srgb", by_pillow(plane(served, 2))),
            ("managed", "", by_pillow(plane(served, 2))),
        ):
            reply = ask(f"{running.url}/api/{name}/{series}/thumbnail?size={size}{query}")
            shown = np.asarray(PictureModule.open(io.BytesIO(reply.body))).astype(float)
            # The picture is noise, of which JPEG keeps no single pixel: the means of colours tell the spaces apart.
            assert np.abs(shown.mean((0, 1)) - expected.mean((0, 1))).max() < 3
        assert ask(f"{running.url}/api/stored/{series}/thumbnail?icc=adobe").status == 400
        whole = ask(f"{running.url}/0.5/managed/{series}.zarr/3/c/0/0/0").body
        pixels = np.frombuffer(whole, np.uint8).reshape(3, 64, 48)
        small = by_pillow(plane(served, 3))
        assert (np.moveaxis(pixels, 0, -1)[: small.shape[0], : small.shape[1]] == small).all()
        stored = ask(f"{running.url}/0.5/stored/{series}.zarr/3/c/0/0/0")
        assert stored.body != whole


@pytest.mark.parametrize("own", [srgb_profile(), None])
def test_the_profile_is_that_of_the_optical_path_that_is_shown(own: bytes | None) -> None:
    """Headers may list paths of which the instance has no frames."""
    slide = with_profile(own)
    for dataset in slide.datasets:
        other = copy.deepcopy(dataset.OpticalPathSequence[0])
        other.OpticalPathIdentifier, other.ICCProfile = "unused", PROFILE
        dataset.OpticalPathSequence.insert(0, other)
    with serving(slide) as served:
        image = dicomzarr.open(served.url)
        assert image.icc_profile == own
        shown = image.in_srgb.levels[0][...]
        assert np.abs(np.moveaxis(shown, 0, -1) - plane(served).astype(int)).max() <= 2


def test_many_threads_share_a_transform(served: Served) -> None:
    image = dicomzarr.open(served.url)
    expected = by_pillow(plane(served))
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: image.read_region((0, 0), expected.shape[1::-1], icc="srgb"), range(24)):
            assert (found == expected).all()


def test_views_in_srgb_are_others_for_dask(served: Served) -> None:
    one, other = dicomzarr.open(served.url), dicomzarr.open(served.url, icc="srgb")
    assert one != other
    assert one.levels[0].to_dask().name != other.levels[0].to_dask().name
    assert pickle.loads(pickle.dumps(other)).levels[3][0, 0, 0] == other.levels[3][0, 0, 0]  # noqa: S301


def test_without_a_profile_colours_are_taken_for_srgb_and_that_is_said() -> None:
    with serving(with_profile(None)) as served:
        image = dicomzarr.open(served.url, icc="srgb")
        assert image.icc_profile is None
        assert (np.moveaxis(image.levels[0][...], 0, -1) == plane(served)).all()
        assert "slide: the metadata hold no ICC profile; its colours are taken for sRGB." in image.notices
        assert "color_space" not in group_at(served.url, storage_options={"icc": "srgb"}).attrs["dicomzarr"]


def test_what_has_no_colours_is_as_it_is() -> None:
    slide = fluorescence_focal_stack()
    with serving(slide) as served, Opener() as opener:
        image = dicomzarr.open(served.url, icc="srgb")
        assert (image.levels[0][...] == slide.levels[0].pixels).all()
        assert not image.notices
        series = volume()
        assert (opener(series, icc="srgb").levels[0][...] == opener(series).levels[0][...]).all()
        assert opener(series).icc_profile is None


@pytest.mark.parametrize("broken", [b"no profile", PROFILE[:200], PROFILE[:16] + b"GRAY" + PROFILE[20:]])
def test_a_broken_profile_is_an_error_only_for_who_needs_it(broken: bytes) -> None:
    with serving(with_profile(broken)) as served:
        image = dicomzarr.open(served.url)
        assert image.icc_profile is not None
        assert image.icc_profile.startswith(broken)
        with pytest.raises(InvalidAttributeError, match=r"ICCProfile is no ICC profile of R, G and B"):
            image.read_region((0, 0), 9, icc="srgb")
        assert image.read_region((0, 0), 9).shape == (9, 9, 3)


def test_more_than_eight_bits_are_refused() -> None:
    slide = with_profile(PROFILE)
    for dataset in slide.datasets:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    with serving(slide) as served, pytest.raises(UnsupportedSeriesError, match=r"colours of uint16"):
        dicomzarr.open(served.url, icc="srgb")


@pytest.mark.parametrize("broken", [b"no profile", None])
def test_an_overview_that_cannot_be_turned_costs_itself_alone(broken: bytes | None) -> None:
    slide = with_profile(PROFILE)
    overview = next(dataset for dataset in slide.datasets if "OVERVIEW" in dataset.ImageType)
    if broken is None:
        overview.BitsAllocated, overview.BitsStored, overview.HighBit = 16, 16, 15
        overview.PixelData = bytes(2 * len(overview.PixelData))
    else:
        overview.OpticalPathSequence[0].ICCProfile = broken
    with serving(slide) as served:
        image = dicomzarr.open(served.url, icc="srgb")
        assert (np.moveaxis(image.levels[0][...], 0, -1) == by_pillow(plane(served))).all()
        assert any(notice.startswith("overview: its colours are as they are stored. ") for notice in image.notices)
        stored = dicomzarr.open(served.url).associated["overview"]
        assert (image.associated["overview"].levels[0][...] == stored.levels[0][...]).all()
        assert "color_space" not in image.associated["overview"].attributes


@pytest.mark.parametrize("second", [srgb_profile(), linear_profile(), None])
def test_each_instance_of_a_level_goes_by_its_own_profile(tmp_path: Path, second: bytes | None) -> None:
    level = Level(noisy_color(3, 64, 64), (32, 32))
    tiles = level.tiles()
    halves = [
        sparse_instance(Identity("halves", number), level, half) for number, half in enumerate((tiles[:2], tiles[2:]))
    ]
    for dataset, profile in zip(halves, (PROFILE, second), strict=True):
        if profile is not None:
            dataset.OpticalPathSequence[0].ICCProfile = profile
    write(tmp_path, halves)
    image = dicomzarr.open(tmp_path, icc="srgb")
    pixels = np.moveaxis(level.pixels[:, 0], 0, -1)
    assert (image.read_region((0, 0), (64, 32)) == by_pillow(pixels[:32])).all()
    assert (image.read_region((0, 32), (64, 32)) == by_pillow(pixels[32:], second or PROFILE)).all()
    assert any("have no ICC profile" in notice for notice in image.notices) == (second is None)


def test_colours_of_a_palette_are_turned_too(tmp_path: Path) -> None:
    dataset = full_instance(Identity("palette", 1), Level(noisy_gray(4, (1, 1, 60, 90), 8), (32, 32), codec=GRAY))
    give_palette(dataset, 5)
    dataset.OpticalPathSequence[0].ICCProfile = linear_profile()
    write(tmp_path, [dataset])
    stored = dicomzarr.open(tmp_path)
    expected = by_pillow(apply_color_lut(stored.levels[0][...], dataset), linear_profile())
    for shown in (
        dicomzarr.open(tmp_path, values="color", icc="srgb").read_region((0, 0), (90, 60)),
        stored.in_color.read_region((0, 0), (90, 60), icc="srgb"),
        stored.thumbnail(90, icc="srgb"),
    ):
        assert (shown == expected).all()


@pytest.mark.parametrize("lacking", ["PIL", "PIL.ImageCms", "PIL._imagingcms"])
def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    icc._to_srgb.cache_clear()
    monkeypatch.delitem(sys.modules, "PIL.ImageCms")
    monkeypatch.delattr(PIL, "ImageCms")
    monkeypatch.delattr(PIL, "_imagingcms", raising=False)
    monkeypatch.setitem(sys.modules, lacking, None)
    with serving(with_profile(PROFILE)) as served:
        with pytest.raises(UsageError, match=r'pip install "dicomzarr\[color\]"'):
            dicomzarr.open(served.url, icc="srgb")
        assert dicomzarr.open(served.url).icc_profile == PROFILE


@pytest.mark.parametrize("value", ["sRGB", "adobe", True, 1])
def test_another_space_is_refused(served: Served, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match="icc"):
        dicomzarr.open(served.url).read_region((0, 0), 9, icc=value)
    with pytest.raises(InvalidOptionError, match="icc"):
        dicomzarr.open(served.url, icc=value)

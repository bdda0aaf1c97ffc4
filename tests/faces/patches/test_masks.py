"""Tissue is told from glass, and the part of a patch that is tissue is exact."""

from __future__ import annotations

import numpy as np
import pytest
from serving import serving
from slides import BUILDERS

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import UsageError
from dicomzarr.faces.patches.masks import otsu, saturation, shares
from dicomzarr.patches import tissue_mask


def brute_otsu(values: np.ndarray) -> float:
    """The edge of a histogram's bin with the least variance within both classes, tried one by one."""
    best, found = np.inf, 0.0
    bins = np.clip((values.ravel() * 256).astype(int), 0, 255)
    for edge in range(1, 256):
        below, above = bins[bins < edge], bins[bins >= edge]
        if below.size and above.size:
            within = below.size * below.var() + above.size * above.var()
            if within < best - 1e-6:
                best, found = within, edge / 256
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_otsus(seed: int) -> None:
    random = np.random.default_rng(seed)
    glass, tissue = random.normal(0.05, 0.02, 3000), random.normal(0.4, 0.1, 1000 * (seed + 1))
    values = np.clip(np.concatenate([glass, tissue]), 0, 0.999).astype(np.float32)
    assert otsu(values) == pytest.approx(brute_otsu(values), abs=1e-9)


def test_the_mask_parts_stained_tissue_from_glass_and_from_black() -> None:
    picture = np.full((60, 90, 3), 240, np.uint8)
    picture[20:40, 20:50] = (180, 90, 150)
    picture[:10] = np.random.default_rng(0).integers(0, 6, (10, 90, 3))  # noise on black, as beside a scan
    found = saturation(picture) > otsu(saturation(picture))
    expected = np.zeros((60, 90), bool)
    expected[20:40, 20:50] = True
    np.testing.assert_array_equal(found, expected)


def test_a_slide_of_glass_alone_has_no_tissue(monkeypatch: pytest.MonkeyPatch) -> None:
    glass = np.random.default_rng(1).integers(238, 246, (100, 100, 3)).astype(np.uint8)
    with demo_server() as server:
        image = dicomzarr.open(demo_url(server))
        monkeypatch.setattr(dicomzarr.Image, "thumbnail", lambda *_: glass)
        assert not tissue_mask(image).any()


def test_the_mask_of_a_slide_lies_over_its_tissue() -> None:
    with demo_server() as server:
        image = dicomzarr.open(demo_url(server))
        mask = tissue_mask(image, 400)
        pixels = image.levels[2][...].astype(int)
    assert mask.shape == (400, 350)
    assert 0.2 < mask.mean() < 0.8
    spread = np.ptp(pixels, axis=0)
    assert spread[mask].mean() > 4 * spread[~mask].mean()


def test_a_threshold_of_ones_own_counts() -> None:
    with demo_server() as server:
        image = dicomzarr.open(demo_url(server))
        assert tissue_mask(image, 100, threshold=0.9).mean() < tissue_mask(image, 100).mean()
        with pytest.raises(UsageError, match="saturation"):
            tissue_mask(image, threshold=15)


def test_fluorescence_wants_a_mask_of_ones_own() -> None:
    with serving(BUILDERS["fluorescence_focal_stack"]()) as served, pytest.raises(UsageError, match="mask of your own"):
        tissue_mask(dicomzarr.open(served.url))


def test_the_part_that_is_tissue_is_that_of_the_area() -> None:
    random = np.random.default_rng(5)
    mask = random.random((13, 17)) < 0.4
    shape = np.array([17 * 12.0, 13 * 12.0])
    fine = np.kron(mask, np.ones((12, 12)))  # a pixel of level 0 each
    padded = np.pad(fine, 60)
    corners = random.integers(-40, 200, (200, 2))
    found = shares(mask, corners.astype(float), np.array([50.0, 31.0]), shape)
    expected = [padded[y + 60 : y + 91, x + 60 : x + 110].sum() / (50 * 31) for x, y in np.clip(corners, -60, 220)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_mask_of_another_resolution_along_each_axis_serves() -> None:
    mask = np.array([[0, 255]], np.uint8)
    found = shares(
        mask, np.array([[0.0, 0.0], [25.0, 10.0], [50.0, 0.0]]), np.array([50.0, 50.0]), np.array([100.0, 60.0])
    )
    np.testing.assert_allclose(found, [0, 0.5, 1], atol=1e-9)

"""Frames at a fraction of their size: about the mean, right in colour, and never out of damaged data."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from coded_frames import BUILDERS, Pixels, coded_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from slides_pixels import smooth_color

from dicomzarr.codecs import jpeg_scaling, reduced
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.jpeg_scaling import MOST
from dicomzarr.codecs.reduced import averaged, decode_reduced
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import FrameDecodeError, FrameError

WHERE = "frame 5"


def textured(rows: int = 96, columns: int = 128) -> Pixels:
    """Squares over a smooth picture: content that fills many units, none of them grey."""
    squares = np.random.default_rng(3).integers(-20, 20, (rows // 6 + 1, columns // 6 + 1, 1))
    smooth = np.moveaxis(smooth_color(4, rows, columns)[:, 0], 0, -1).astype(int)
    both = smooth + squares.repeat(6, 0).repeat(6, 1)[:rows, :columns]
    return np.clip(both, 0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()


def pixel_of(pixels: Pixels, kind: str = "YBR_FULL_422") -> PixelDescription:
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    kind = kind if samples == 3 else "MONOCHROME2"
    return PixelDescription(*pixels.shape[:2], samples, 8, 8, 7, signed=False, photometric_interpretation=kind)


def reduce(data: bytes, pixel: PixelDescription, factor: int) -> Pixels:
    return decode_reduced(data, pixel, factor, transfer_syntax_uid=uids.JPEG_BASELINE, where=WHERE)


def whole(data: bytes, pixel: PixelDescription) -> Pixels:
    return decode_frame(data, pixel, transfer_syntax_uid=uids.JPEG_BASELINE, where=WHERE)


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_becomes_about_its_mean(factor: int, subsampling: str) -> None:
    pixels = textured()
    pixel, data = pixel_of(pixels), jpeg(pixels, subsampling=subsampling)
    takes_the_fast_way = reduced._scaled(data, pixel, min(factor, MOST), WHERE) is not None
    assert takes_the_fast_way == (subsampling != "4:2:0")  # where damage would not always be found
    exact = averaged(whole(data, pixel).astype(np.float64), factor)
    difference = np.abs(reduce(data, pixel, factor) - exact)
    assert difference.mean() < 2
    assert difference.max() < 24


@pytest.mark.parametrize("factor", [2, 4])
def test_grey_and_named_rgb_keep_their_colours(factor: int) -> None:
    pixels = textured()
    for shown, kind, options in (
        (pixels[..., 0], "MONOCHROME2", {}),
        (pixels, "RGB", {"subsampling": "4:4:4", "keep_rgb": True}),
    ):
        pixel, data = pixel_of(shown, kind), jpeg(shown, **options)
        assert reduced._scaled(data, pixel, factor, WHERE) is not None
        exact = averaged(whole(data, pixel).astype(np.float64), factor)
        assert np.abs(reduce(data, pixel, factor) - exact).mean() < 2


def without_jfif(data: bytes) -> bytes:
    length = int.from_bytes(data[4:6], "big")
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + length :]


def test_components_that_pillow_would_take_for_others_are_decoded_whole() -> None:
    pixels = textured()
    # Nothing in it says so, and the metadata say RGB: libjpeg would guess YCbCr.
    data, pixel = without_jfif(jpeg(pixels, subsampling="4:4:4")), pixel_of(pixels, "RGB")
    assert reduced._scaled(data, pixel, 4, WHERE) is None
    assert (reduce(data, pixel, 4) == averaged(whole(data, pixel), 4)).all()


@pytest.mark.parametrize("lacking", [True, False])
def test_without_pillow_frames_are_averaged(monkeypatch: pytest.MonkeyPatch, *, lacking: bool) -> None:
    pixels = textured()
    data, pixel = jpeg(pixels, subsampling="4:2:2"), pixel_of(pixels)
    if lacking:
        monkeypatch.setitem(sys.modules, "PIL", None)
    assert (reduced._scaled(data, pixel, 4, WHERE) is None) == lacking
    if lacking:
        assert (reduce(data, pixel, 4) == averaged(whole(data, pixel), 4)).all()


@pytest.mark.parametrize("size", [(96, 125), (90, 128), (8, 8), (16, 16), (7, 200)])
def test_frames_of_any_size_come_out_in_it(size: tuple[int, int]) -> None:
    pixels = textured(*size)
    data, pixel = jpeg(pixels, subsampling="4:2:0"), pixel_of(pixels)
    for factor in (2, 4):
        assert reduce(data, pixel, factor).shape == (3, size[0] // factor, size[1] // factor)


@pytest.mark.parametrize(("uid", "name"), [(uid, name) for uid, names in BUILDERS.items() for name in names])
def test_every_kind_of_frame_is_reduced(uid: str, name: str) -> None:
    frame = coded_frame(uid, name)
    told: list[int] = []
    found = decode_reduced(
        frame.data,
        frame.pixel,
        2,
        transfer_syntax_uid=uid,
        where=WHERE,
        on_loss=lambda: told.append(1),
    )
    lossy: list[int] = []
    exact = decode_frame(frame.data, frame.pixel, transfer_syntax_uid=uid, where=WHERE, on_loss=lambda: lossy.append(1))
    assert (found.dtype, found.shape) == (exact.dtype, averaged(exact, 2).shape)
    assert told == lossy
    difference = np.abs(found.astype(float) - averaged(exact, 2))
    assert np.nanmean(difference) <= (8 if lossy else 0)


# Damage


DAMAGE = {
    "cut short": lambda data, place: data[:place] + b"\xff\xd9",
    "a gap": lambda data, place: data[:place] + data[min(place + 200, len(data) - 2) :],
    "a piece twice": lambda data, place: data[:place] + data[max(place - 150, 700) :],
    "a blank sector": lambda data, place: data[:place] + bytes(512) + data[place + 512 :],
    "the end of the last unit": lambda data, _: data[:-6] + b"\xff\xd9",
}


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2"])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
def test_damaged_frames_are_errors(damage: str, subsampling: str, factor: int, part: float) -> None:
    pixels = textured()
    pixel, data = pixel_of(pixels), jpeg(pixels, subsampling=subsampling)
    damaged = DAMAGE[damage](data, int(len(data) * part))
    assert reduced._scaled(damaged, pixel, min(factor, MOST), WHERE) is None
    with pytest.raises(FrameDecodeError):
        reduce(damaged, pixel, factor)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([2, 4, 8]),
    st.tuples(st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]), st.sampled_from([0, 0, 1, 5]), st.booleans()),
    st.sampled_from(sorted(DAMAGE)),
    st.floats(0.3, 0.99),
    st.sampled_from([(64, 64), (96, 128), (16, 160)]),
)
def test_no_damage_is_found_in_the_whole_frame_alone(
    factor: int, coded: tuple[str, int, bool], damage: str, part: float, size: tuple[int, int]
) -> None:
    pixels = textured(*size)
    subsampling, restarts, progressive = coded
    data = jpeg(pixels, subsampling=subsampling, restart_marker_blocks=restarts, progressive=progressive)
    pixel = pixel_of(pixels)
    damaged = DAMAGE[damage](data, int(len(data) * part))
    try:
        whole(damaged, pixel)
    except FrameError:
        with pytest.raises(FrameError):
            reduce(damaged, pixel, factor)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from(["noise", "grey at the end", 0, 127, 128, 255]),
    st.sampled_from([2, 4]),
    st.sampled_from(["4:4:4", "4:2:2"]),
    st.integers(0, 12),
)
def test_no_whole_frame_is_refused(
    units: tuple[int, int], kind: str | int, factor: int, subsampling: str, restarts: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (units[0] * 16, units[1] * 16, 3)).astype(np.uint8)
    if isinstance(kind, int):
        pixels[...] = kind
    elif kind == "grey at the end":
        pixels[-16:] = 128
    data = jpeg(pixels, subsampling=subsampling, restart_marker_blocks=restarts)
    found = reduce(data, pixel_of(pixels), factor)
    assert found.shape == (3, pixels.shape[0] // factor, pixels.shape[1] // factor)
    if not restarts and kind == "noise":
        assert reduced._scaled(data, pixel_of(pixels), factor, WHERE) is not None  # it takes the fast way


def test_pillow_is_asked_for_no_more_than_it_gives() -> None:
    with pytest.raises(ValueError, match="not read by Pillow"):
        jpeg_scaling.decode_at(2, b"no JPEG", is_ybr=True)

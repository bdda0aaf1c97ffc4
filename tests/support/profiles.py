"""ICC profiles of synthetic slides, and colours in sRGB as Pillow's LittleCMS has them."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms
from slides_pyramids import srgb_profile

if TYPE_CHECKING:
    from slides_model import Pixels


def linear_profile() -> bytes:
    """That of sRGB, whose numbers are light itself: each curve is a `para` of gamma 1 (ICC.1 section 10.18)."""
    data = bytearray(srgb_profile())
    at = data.find(b"para")
    while at >= 0:
        data[at + 8 : at + 16] = struct.pack(">HHi", 0, 0, 1 << 16)
        at = data.find(b"para", at + 4)
    return bytes(data)


def srgb_by_pillow(pixels: Pixels, profile: bytes) -> Pixels:
    """(y, x, 3) by the recipe of Pillow's and of OpenSlide's documentation."""
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(
        Image.fromarray(np.ascontiguousarray(pixels)),
        own,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(own)),
    )
    return np.asarray(shown)

"""ICC profiles (PS3.3 section C.11.15): where an instance has its own, and colours as sRGB by it.

Colours are computed by LittleCMS through Pillow, which is needed by nothing else and imported when it is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.dicom.model.binary import invalid_content
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from dicomzarr.dicom.model.binary import BinaryLeaf

_NAME = "ICCProfile"
_REMEMBERED = 64
"""Transforms that are kept: levels of a slide mostly share one, and slides of a scanner, too."""


@dataclass(frozen=True, slots=True)
class EmbeddedProfile:
    """The ICC profile of an instance, in its metadata or named there."""

    leaf: BinaryLeaf = field(repr=False)
    """Its content, or the address of that: either may be long, and hold anything."""
    instance: str
    """SOP Instance UID."""

    @property
    def uri(self) -> str | None:
        """Where it has to be fetched from; None where the metadata have it."""
        return None if self.leaf.values or self.leaf.inline else self.leaf.bulk_data_uri

    def content(self, fetched: bytes | None) -> bytes:
        """Its bytes, as they are.

        Args:
            fetched: What came from ``uri``, where there is one.

        Raises:
            InvalidAttributeError: They are not there, or their base64 is broken.
        """
        octets = self.leaf.octets(_NAME, self.instance, None if self.uri is None else fetched)
        if octets is None:
            raise invalid_content(self.instance, _NAME, "is not in the metadata")
        return octets.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class ManagedColor:
    """Turns the colours of frames into sRGB, by a profile and the rendering intent that it prefers."""

    transform: Any
    """Of Pillow; it may be used in several threads at once."""
    profile: bytes = field(repr=False)
    """What it was made of."""

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Both of shape (3, rows, columns), 8 bits."""
        from PIL import Image  # noqa: PLC0415  # an extra

        _, rows, columns = pixels.shape
        interleaved = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
        picture = self.transform.apply(Image.frombuffer("RGB", (columns, rows), interleaved, "raw", "RGB", 0, 1))
        return np.moveaxis(np.asarray(picture), -1, 0)

    def state(self) -> Iterator[bytes]:
        """What tells it from those of other profiles."""
        yield self.profile


def managed_color(profile: EmbeddedProfile, bulk: Mapping[str, bytes]) -> ManagedColor:
    """The way to sRGB.

    Args:
        profile: Of the instance.
        bulk: Values that the metadata only name, by their URI.

    Raises:
        InvalidAttributeError: It is not there, broken, or not of R, G and B.
        UsageError: Pillow is not installed, or has no LittleCMS.
    """
    data = profile.content(bulk.get(profile.uri or ""))
    try:
        return ManagedColor(_to_srgb(data), data)
    except ImportError:
        raise UsageError(
            "icc='srgb' needs Pillow with LittleCMS.", remedy='Install it: pip install "dicomzarr[color]".'
        ) from None
    except (OSError, ValueError, TypeError):  # PyCMSError is no subclass of one class: see `_to_srgb`
        raise invalid_content(profile.instance, _NAME, "is no ICC profile of R, G and B that can be read") from None


@lru_cache(_REMEMBERED)
def _to_srgb(data: bytes) -> Any:
    from PIL import ImageCms  # noqa: PLC0415  # an extra

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(data))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(own))
        return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), "RGB", "RGB", intent)
    except ImageCms.PyCMSError as error:
        raise ValueError(str(error)) from None

"""Pictures beside a slide, under the names that OpenSlide gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dicomzarr.faces.openslide.pictures import profile_of, rgba, with_profile

if TYPE_CHECKING:
    from dicomzarr.arrays.image import Image

_NAMES = {"overview": "macro"}
"""OpenSlide's names, where they are others than ours."""


def associated(image: Image) -> dict[str, Image]:
    """The images beside a slide, by OpenSlide's names."""
    return {_NAMES.get(name, name): each for name, each in image.associated.items()}


class AssociatedImages(Mapping[str, Any]):
    """Pictures by name, in R, G, B and alpha, with their ICC profiles; read when they are asked for.

    Args:
        image: The slide.
    """

    def __init__(self, image: Image) -> None:
        self._images = associated(image)

    def __getitem__(self, name: str) -> Any:
        image = self._images[name].in_color
        return with_profile(rgba(image, 0, (0, 0), image.levels[0].shape[:-3:-1]), profile_of(image))

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __repr__(self) -> str:
        return f"<associated images: {', '.join(self) or 'none'}>"

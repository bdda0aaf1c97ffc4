"""What a library hands to its reader, as an open image."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import Any, Final

from dicomzarr.arrays.image import Image, open_image
from dicomzarr.options import StorageOptions

_ONE_SLASH: Final = re.compile(r"^(dicomwebs?|https?|s3|gs):/(?=[^/])")
_ONE_SLASH_OF_FILES: Final = re.compile(r"^dicomfile:/(?=[^/])")
_SCHEMES: Final = ("dicomweb:", "dicomwebs:", "dicomfile:", "http:", "https:", "s3:", "gs:", "idc:")


class GivenOptions(dict[str, Any]):
    """Storage options as a reader keeps them; to other processes they travel as `StorageOptions`, without secrets."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _travelled, (StorageOptions.parse(**self),)


def _travelled(options: StorageOptions) -> GivenOptions:
    default, names = StorageOptions(), [item.name for item in fields(options)]
    return GivenOptions({name: told for name in names if (told := getattr(options, name)) != getattr(default, name)})


def as_given(given: object) -> object:
    """A URL that went through ``pathlib``, which leaves one slash of two, as it was before.

    Args:
        given: A URL, a path or anything else, which is left alone.
    """
    if not isinstance(given, str | os.PathLike):
        return given
    text = os.fspath(given)
    if not isinstance(text, str) or not text.startswith(_SCHEMES):
        return given
    return _ONE_SLASH_OF_FILES.sub("dicomfile:///", _ONE_SLASH.sub(r"\1://", text))


def is_series(given: object) -> bool:
    """Whether it is an image, or a URL of ours."""
    if isinstance(given, Image):
        return True
    return isinstance(given, str | os.PathLike) and str(given).startswith(("dicomweb", "dicomfile:", "idc:"))


def opened(given: Any, options: dict[str, Any]) -> Image:
    """The image: as it is, or opened from its URL or path.

    Args:
        given: An image, a URL or a path.
        options: Storage options, for what is not open yet.

    Raises:
        DicomZarrError: It cannot be opened.
    """
    return given if isinstance(given, Image) else open_image(as_given(given), **options)  # type: ignore[arg-type]  # which tells

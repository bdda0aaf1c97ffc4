"""PNG files of small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dicomzarr.codecs.png import png_of
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def png_path(text: str, *, force: bool) -> Path:
    """Check where a PNG is to go, before anything is fetched for it.

    Args:
        text: The path as given.
        force: An existing file may be overwritten.

    Raises:
        UsageError: It cannot go there.
    """
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{text} does not end in .png.", remedy="PNG is what is written.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", remedy="Make it first.")
    if path.exists() and not force:
        raise UsageError(f"{text} exists.", remedy="--force overwrites it.")
    return path


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write R, G, B pixels, shape (rows, columns, 3).

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        path.write_bytes(png_of(pixels))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", remedy="Choose another place.") from None

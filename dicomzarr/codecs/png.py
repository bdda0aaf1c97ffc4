"""Pictures as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def png_of(picture: npt.NDArray[np.generic]) -> bytes:
    """The file of a picture, shape (rows, columns) or (rows, columns, samples)."""
    # A byte a row says how it is filtered, which imagecodecs has no room for where rows are short.
    most = picture.nbytes + picture.shape[0] + picture.nbytes // 64 + 4096
    # A copy has the strides that imagecodecs looks at, also along axes of one.
    return bytes(imagecodecs.png_encode(picture.copy(), out=most))

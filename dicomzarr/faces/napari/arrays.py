"""Arrays that napari takes as the data of a layer: exact for all who read them, and at once for the screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomzarr.errors import ReadOnlyError
from dicomzarr.faces.napari.layout import compose, parse_index, shape_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from dicomzarr.faces.napari.layout import Item
    from dicomzarr.faces.napari.screen import Screen

    Pixels = npt.NDArray[Any]

_SLICING: Final = "napari.layers._scalar_field._slice"
"""The module of napari that cuts out of the data what is put on the screen, in the thread of the viewer."""

_MOST_BYTES: Final = 2**28
"""Of an array that is read whole for the sake of an index that is no mere piece."""


class LayerArray:
    """A level as the data of a layer.

    Whoever indexes it gets the pixels, and waits for them: plug-ins, scripts, the console. Only napari's own slicing,
    which would stop the viewer meanwhile, gets what is there, and is told to look again when more has come. It is known
    by its module: should that be renamed, the viewer waits, and no pixel is wrong.

    Args:
        screen: What napari shows of the layer.
        number: Of the level.
    """

    def __init__(self, screen: Screen, number: int) -> None:
        self.screen = screen
        self._number = number
        self._level, self._layout = screen.levels[number], screen.layouts[number]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes along the axes of the layer, colour last."""
        return self.screen.shapes[self._number]

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk: napari looks at whole ones."""
        return self._layout.chunks(self._level.chunks)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the values."""
        return self._level.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that all values take."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        piece = parse_index(index, self.shape)
        if piece is not None and self.screen.is_watched and sys._getframe(1).f_globals.get("__name__") == _SLICING:  # noqa: SLF001  # see the class
            return _Piece(self, piece)
        return self.read(index) if piece is None else self.exact(piece)

    def __setitem__(self, index: Any, values: Any) -> None:
        raise ReadOnlyError(
            "A DICOM series cannot be painted in.",
            remedy="Add a layer of your own: viewer.add_labels(numpy.asarray(layer.data)).",
        )

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  # NumPy's protocol
    ) -> Pixels:
        if copy is False:
            raise ValueError("Pixels are read from a series: an array of them is always a copy.")
        return np.asarray(self.exact(tuple(slice(0, length) for length in self.shape)), dtype=dtype)

    def read(self, index: Any) -> Any:
        """What any NumPy index gives.

        Raises:
            IndexError: As NumPy would; or it is no piece, and the array is too large to be read for its sake.
            DicomZarrError: A frame cannot be had.
        """
        if self.nbytes > _MOST_BYTES:
            raise IndexError("So large a layer is indexed by whole numbers and slices without steps.")
        return np.asarray(self)[index]

    def exact(self, piece: tuple[Item, ...]) -> Any:
        """The pixels of a piece; waits for them.

        Raises:
            DicomZarrError: A frame cannot be had.
        """
        layout = self._layout
        whole = tuple(item if isinstance(item, slice) else slice(item, item + 1) for item in layout.in_level(piece))
        return layout.laid_out(self._level[whole], piece)[()]

    def now(self, piece: tuple[Item, ...]) -> Pixels:
        """The pixels of a piece as far as they are there, of the shape that the piece takes from the layer."""
        return self.screen.show(self._number, piece)

    def __repr__(self) -> str:
        return f"<{self.shape} {self.dtype} of {self._level!r}>"


class _Piece:
    """A piece that napari is about to show: it cuts twice before it looks."""

    def __init__(self, array: LayerArray, piece: tuple[Item, ...]) -> None:
        self._array = array
        self._piece = piece
        self.shape = shape_of(piece)
        self.ndim = len(self.shape)
        self.dtype = array.dtype

    def __getitem__(self, index: Any) -> Any:
        piece = parse_index(index, self.shape)
        if piece is None:
            return np.asarray(self)[index]
        return _Piece(self._array, compose(self._piece, piece))

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  # NumPy's protocol; napari shows, and changes nothing
    ) -> Pixels:
        return np.asarray(self._array.now(self._piece), dtype=dtype)

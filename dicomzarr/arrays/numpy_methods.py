"""What NumPy's users type, on lazy arrays: methods and operators read, and give NumPy's; attributes read nothing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dicomzarr.errors import ReadOnlyError

if TYPE_CHECKING:
    import dask.array
    import numpy.typing as npt

    from dicomzarr.arrays.progress import Progress

    Pixels = npt.NDArray[np.generic]
    Along = int | tuple[int, ...] | None


_IN_BLOCKS: Final = frozenset({"axis", "dtype", "ddof", "keepdims", "split_every"})
"""Options of reductions that need not read all at once."""


class NumPyMethods(NDArrayOperatorsMixin, ABC):
    """A lazy array that can be used where NumPy's can.

    Arithmetic, comparisons and NumPy's functions read all of it. `mean`, `sum`, `min`, `max` and `std` read it in
    blocks, and hold only these; but with ``where`` or ``initial``. Two lazy arrays are equal if they are of one name;
    with values, ``==`` is NumPy's.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Sizes along the axes."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the values."""

    @property
    @abstractmethod
    def _identity(self) -> tuple[object, ...]:
        """What names it."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Any:
        """What NumPy would give, read now."""

    @abstractmethod
    def to_numpy(self, *, progress: Progress = False) -> Pixels:
        """All of it, of `shape` and `dtype`."""

    @abstractmethod
    def to_dask(self, chunks: Any = "auto") -> dask.array.Array:
        """A dask array over it."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all of it would take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def T(self) -> dask.array.Array:  # noqa: N802  # NumPy's name
        """The axes in reverse order, as a dask array: an attribute must not read."""
        transposed: dask.array.Array = self.to_dask().T
        return transposed

    if not TYPE_CHECKING:  # who checks types finds what is not there by itself

        def __getattr__(self, name: str) -> Any:
            """What NumPy's arrays have, and what is read has to be made into one for."""
            kind = type(self).__name__
            told = f"{kind!r} object has no attribute {name!r}"
            if not name.startswith("_") and hasattr(np.ndarray, name):
                told += f": np.asarray({kind.lower()}) reads all of it, and has one"
            raise AttributeError(f"{told}.", name=name, obj=self)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  # NumPy's protocol
    ) -> Pixels:
        if copy is False:
            raise ValueError("A level is read from a server: an array of it is always a copy.")
        pixels: Pixels = np.asarray(self[...], dtype=dtype)
        return pixels

    def __dlpack__(self, **options: Any) -> Any:
        """All of it, as PyTorch's and others' ``from_dlpack`` take it."""
        pixels: Any = np.asarray(self)  # whose numbers NumPy's types ask for
        return pixels.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The memory of the processor."""
        return 1, 0

    def astype(self, dtype: npt.DTypeLike) -> Pixels:
        """All of it, of `shape`, as another type."""
        return self.to_numpy().astype(dtype, copy=False)

    def mean(self, axis: Along = None, dtype: npt.DTypeLike | None = None, out: None = None, **options: Any) -> Any:
        """The mean along axes, or of all; of the type that NumPy would give."""
        return self._reduced("mean", out, axis=axis, dtype=dtype, **options)

    def sum(self, axis: Along = None, dtype: npt.DTypeLike | None = None, out: None = None, **options: Any) -> Any:
        """The sum along axes, or of all; of the type that NumPy would give."""
        return self._reduced("sum", out, axis=axis, dtype=dtype, **options)

    def std(
        self, axis: Along = None, dtype: npt.DTypeLike | None = None, out: None = None, ddof: int = 0, **options: Any
    ) -> Any:
        """The standard deviation along axes, or of all; of the type that NumPy would give."""
        return self._reduced("std", out, axis=axis, dtype=dtype, ddof=ddof, **options)

    def min(self, axis: Along = None, out: None = None, **options: Any) -> Any:
        """The smallest value along axes, or of all."""
        return self._reduced("min", out, axis=axis, **options)

    def max(self, axis: Along = None, out: None = None, **options: Any) -> Any:
        """The largest value along axes, or of all."""
        return self._reduced("max", out, axis=axis, **options)

    def _reduced(self, name: str, out: None, **options: Any) -> Any:
        if out is not None:
            raise TypeError(f"{name} of a lazy array has no out: assign what it gives.")
        if options.keys() - _IN_BLOCKS:
            return getattr(np.asarray(self), name)(**options)
        lazy: Any = self.to_dask()  # dask is typed in part only
        return getattr(lazy, name)(**options).compute()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's function of what is read; see NumPy's NEP 13.

        Raises:
            ReadOnlyError: The result would be written to a series.
        """
        changed = inputs[:1] if method == "at" else options.get("out", ())
        if any(isinstance(each, NumPyMethods) for each in changed):
            raise ReadOnlyError(
                "A series cannot be written to, and the result would be put in its place.",
                remedy="Write a = a + 1 in the place of a += 1: that is a NumPy array.",
            )
        return getattr(ufunc, method)(*map(_read, inputs), **{name: _read(value) for name, value in options.items()})

    def __eq__(self, other: object) -> Any:
        if isinstance(other, NumPyMethods):
            return self._identity == other._identity
        return _holds_values(other) and np.asarray(self) == other

    def __ne__(self, other: object) -> Any:
        return np.asarray(self) != other if _holds_values(other) else not self == other

    def __contains__(self, value: object) -> bool:
        return value in np.asarray(self)

    def __hash__(self) -> int:
        return hash(self._identity)


def _holds_values(other: object) -> bool:
    """Whether it is a number, an array of any library, or values in a row."""
    if isinstance(other, str | bytes | NumPyMethods):
        return False
    return isinstance(other, Number | Sequence) or hasattr(type(other), "__array__")


def _read(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, NumPyMethods) else value

"""Rows of one kind, as a sequence and as a table for pandas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

_Row = TypeVar("_Row")


class Rows(Sequence[_Row], Generic[_Row]):
    """Frozen rows.

    Args:
        kind: What a row is: a dataclass, whose fields are the columns.
        rows: The rows.
    """

    _LEFT_OUT: frozenset[str] = frozenset()
    """Fields that are no columns."""

    def __init__(self, kind: type[_Row], rows: Iterable[_Row]) -> None:
        self._kind = kind
        self._rows = tuple(rows)

    def _some(self, rows: Iterable[_Row]) -> Self:
        return type(self)(self._kind, rows)

    @overload
    def __getitem__(self, index: int) -> _Row: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> _Row | Self:
        """A row, or the rows of a slice."""
        return self._rows[index] if isinstance(index, int) else self._some(self._rows[index])

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self._rows == other._rows

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return "\n  ".join([f"<{len(self)} rows>", *map(repr, self._rows[:SHOWN]), *["..."][: len(self) > SHOWN]])

    def to_dataframe(self) -> Any:
        """The rows as a ``pandas.DataFrame``, a column for each fact.

        Raises:
            UsageError: pandas is not installed.
        """
        pandas: Any = needed("pandas")
        names = [each.name for each in fields(self._kind) if each.name not in self._LEFT_OUT]  # type: ignore[arg-type]  # a dataclass
        return pandas.DataFrame([[getattr(row, name) for name in names] for row in self._rows], columns=names)


SHOWN = 20
"""Rows that a print shows."""

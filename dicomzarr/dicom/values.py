"""Leaves of the DICOM JSON model to Python values; the one place that is lenient about spelling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from dicomzarr.dicom.json_model import Leaf, Scalar


class _Named(Protocol):
    """Builds the error for one attribute of one instance."""

    def __call__(self, name: str, value: object, wanted: str) -> InvalidAttributeError: ...


def invalid_in(instance: str) -> _Named:
    """A maker of errors that name this instance."""

    def build(name: str, value: object, wanted: str) -> InvalidAttributeError:
        found = "no value" if value is None else repr(str(value)[:64])
        return InvalidAttributeError(
            f"Instance {instance}: {name} should be {wanted}, found {found}.",
            remedy="The series cannot be placed without it.",
        )

    return build


class Reader:
    """Reads the leaves of one instance, naming it in errors.

    Args:
        instance: SOP Instance UID for messages.
    """

    def __init__(self, instance: str) -> None:
        self._invalid = invalid_in(instance)

    def text(self, leaf: Leaf) -> str | None:
        """The first value as text, or None when there is none."""
        value = _first(leaf)
        return None if value is None else _as_text(value)

    def texts(self, leaf: Leaf) -> tuple[str, ...]:
        """All values as text; nulls become empty text and keep their place."""
        return tuple("" if value is None else _as_text(value) for value in leaf.values)

    def integer(self, leaf: Leaf, name: str) -> int | None:
        """The first value as an integer, or None when there is none."""
        number = self.number(leaf, name)
        if number is None:
            return None
        if not number.is_integer():
            raise self._invalid(name, number, "an integer")
        return int(number)

    def positive(self, leaf: Leaf, name: str, default: int | None = None) -> int:
        """The first value as an integer above zero."""
        value = self.integer(leaf, name)
        value = default if value is None else value
        if value is None or value <= 0:
            raise self._invalid(name, value, "a positive integer")
        return value

    def count(self, leaf: Leaf, name: str) -> int | None:
        """The first value as an integer above zero, or None when there is none."""
        return None if self.text(leaf) is None else self.positive(leaf, name)

    def lenient_number(self, leaf: Leaf) -> float | None:
        """The first value as a finite number, or None: for what only orders or names things."""
        try:
            return self.number(leaf, "")
        except InvalidAttributeError:
            return None

    def number(self, leaf: Leaf, name: str) -> float | None:
        """The first value as a finite number, or None when there is none."""
        value = _first(leaf)
        return None if value is None else self._finite(value, name)

    def numbers(self, leaf: Leaf, name: str, count: int) -> tuple[float, ...] | None:
        """Exactly ``count`` finite numbers, or None when there is no value."""
        values = [value for value in leaf.values if value is not None and value != ""]
        if not values:
            return None
        if len(values) != count:
            raise self._invalid(name, values, f"{count} numbers")
        return tuple(self._finite(value, name) for value in values)

    def _finite(self, value: Scalar, name: str) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]  # None is excluded by the callers
        except (TypeError, ValueError):
            raise self._invalid(name, value, "a number") from None
        if not math.isfinite(number):
            raise self._invalid(name, value, "a finite number")
        return number


def _first(leaf: Leaf) -> Scalar:
    """The first value; an absent, null or blank one is None (PS3.18 section F.2.5)."""
    if not leaf.values:
        return None
    value = leaf.values[0]
    return None if isinstance(value, str) and not value.strip() else value


def _as_text(value: Scalar) -> str:
    return str(value).strip().rstrip("\0")

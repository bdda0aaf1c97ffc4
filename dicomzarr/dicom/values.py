"""Leaves of the DICOM JSON model to Python values; the one place that is lenient about spelling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    from dicomzarr.dicom.json_model import Leaf, Scalar


_LARGEST_INTEGER: Final = 2**32 - 1
"""Of attributes of VR US, SL, UL and IS (PS3.5 section 6.2)."""


class _Named(Protocol):
    """Builds the error for one attribute of one instance."""

    def __call__(self, name: str, value: object, wanted: str) -> InvalidAttributeError: ...


def invalid_in(instance: str) -> _Named:
    """A maker of errors that name this instance."""

    def build(name: str, value: object, wanted: str) -> InvalidAttributeError:
        return InvalidAttributeError(
            f"Instance {instance}: {name} should be {wanted}, found {_described(value)}.",
            remedy="The series cannot be placed without it.",
        )

    return build


def _described(value: object) -> str:
    """A value as messages may show it: a number, for a text may be anything, somebody's name too."""
    if value is None:
        return "no value"
    if isinstance(value, list):
        return f"{len(value)} values"
    number = _as_number(value)
    return "a text that is no number" if number is None else f"{number:g}"


class Reader:
    """Reads the leaves of one instance, naming it in errors.

    Args:
        instance: SOP Instance UID for messages.
    """

    def __init__(self, instance: str) -> None:
        self.invalid = invalid_in(instance)
        """Builds the error for an attribute, a value and what was wanted instead."""

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
            raise self.invalid(name, number, "an integer")
        if abs(number) > _LARGEST_INTEGER:
            raise self.invalid(name, number, "an integer of 32 bits")
        return int(number)

    def positive(self, leaf: Leaf, name: str, default: int | None = None) -> int:
        """The first value as an integer above zero."""
        value = self.integer(leaf, name)
        value = default if value is None else value
        if value is None or value <= 0:
            raise self.invalid(name, value, "a positive integer")
        return value

    def count(self, leaf: Leaf, name: str) -> int | None:
        """The first value as an integer above zero, or None when there is none."""
        return None if self.text(leaf) is None else self.positive(leaf, name)

    def lenient_number(self, leaf: Leaf) -> float | None:
        """The first value as a finite number, or None: for what only orders or names things."""
        return self.lenient(_first(leaf))

    def lenient(self, value: Scalar) -> float | None:
        """A value as a finite number, or None, likewise."""
        number = _as_number(value)
        return number if number is not None and math.isfinite(number) else None

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
            raise self.invalid(name, values, f"{count} numbers")
        return tuple(self._finite(value, name) for value in values)

    def _finite(self, value: Scalar, name: str) -> float:
        number = _as_number(value)
        if number is None:
            raise self.invalid(name, value, "a number")
        if not math.isfinite(number):
            raise self.invalid(name, value, "a finite number")
        return number


def _as_number(value: Any) -> float | None:
    """A number, infinite where it is too large, or None; no error that quotes a text is left in a context."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (ValueError, TypeError):
        return None


def _first(leaf: Leaf) -> Scalar:
    """The first value; an absent, null or blank one is None (PS3.18 section F.2.5)."""
    if not leaf.values:
        return None
    value = leaf.values[0]
    return None if isinstance(value, str) and not value.strip() else value


def _as_text(value: Scalar) -> str:
    return str(value).strip().rstrip("\0")

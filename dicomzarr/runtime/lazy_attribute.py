"""Attributes that are computed when they are first asked for, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_Value = TypeVar("_Value")


class lazy_attribute(Generic[_Value]):  # noqa: N801  # a decorator, as functools.cached_property
    """As `functools.cached_property`, without the lock that it has before Python 3.12.

    Whoever computes holds that lock, over network requests even: no other instance gets on meanwhile, and a child that
    is forked then finds it locked for ever. Without it two threads may compute the same, and one of them is kept.

    Args:
        compute: Gives the value.
    """

    def __init__(self, compute: Callable[[Any], _Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...
    def __get__(self, instance: object | None, owner: type) -> Self | _Value:
        if instance is None:
            return self
        value: _Value = vars(instance).setdefault(self._name, self._compute(instance))
        return value

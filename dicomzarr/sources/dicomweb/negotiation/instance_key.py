"""Names of instances within a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable


class InstanceKey(NamedTuple):
    """Names an instance."""

    study: str
    series: str
    instance: str
    state: Hashable = None
    """In which its series was opened: what is known and held of it in one serves no other. None for whatever it is."""

    @property
    def uids(self) -> tuple[str, str, str]:
        """The UIDs of its study and series, and its own: what a server is asked by."""
        return self.study, self.series, self.instance

    @property
    def subject(self) -> str:
        """The instance in words, for messages."""
        return f"the whole instance {self.instance}, series {self.series}, study {self.study}"


def is_within(key: tuple[Hashable, ...], study: str | None, series: str | None) -> bool:
    """Whether a key, which begins with a study and a series, is of these; None stands for any."""
    return study in (None, key[0]) and series in (None, key[1])

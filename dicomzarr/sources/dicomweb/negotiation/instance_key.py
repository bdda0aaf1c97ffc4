"""Names of instances within a server."""

from __future__ import annotations

from typing import NamedTuple


class InstanceKey(NamedTuple):
    """Names an instance."""

    study: str
    series: str
    instance: str

    @property
    def subject(self) -> str:
        """The instance in words, for messages."""
        return f"the whole instance {self.instance}, series {self.series}, study {self.study}"


def is_within(key: tuple[str, ...], study: str | None, series: str | None) -> bool:
    """Whether a key, which begins with a study and a series, is of these; None stands for any."""
    return study in (None, key[0]) and series in (None, key[1])

"""What the demo server holds, by study, series and instance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dicomzarr.demo.instances import ServedInstance, from_dataset, from_file
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataset import Dataset

Storable: TypeAlias = "Path | Dataset | ServedInstance"


class Archive:
    """Instances that never change once they are in.

    Args:
        items: Part-10 files, pydicom datasets with their ``file_meta``, or what
            ``dicomzarr.demo.instances.virtual_instance`` makes; listed in this order ever after.

    Raises:
        InvalidAttributeError: An instance lacks a UID or its transfer syntax.
        UsageError: Two items are the same instance.
    """

    def __init__(self, items: Iterable[Storable]) -> None:
        self._series: dict[tuple[str, str], dict[str, ServedInstance]] = {}
        for item in items:
            self._add(_stored(item))

    def _add(self, stored: ServedInstance) -> None:
        series = self._series.setdefault((stored.study, stored.series), {})
        if stored.instance in series:
            raise UsageError(
                f"Instance {stored.instance} was given to the demo server twice.",
                remedy="Leave one out, or give it a SOPInstanceUID of its own.",
            )
        series[stored.instance] = stored

    def instances(
        self, study: str | None = None, series: str | None = None, instance: str | None = None
    ) -> list[ServedInstance]:
        """The instances under these UIDs, None standing for any; empty where there are none."""
        if study is not None and series is not None:
            found = self._series.get((study, series), {})
            if instance is not None:
                return [found[instance]] if instance in found else []
            return list(found.values())
        return [
            stored
            for key, members in self._series.items()
            if study in (None, key[0]) and series in (None, key[1])
            for stored in members.values()
            if instance in (None, stored.instance)
        ]


def _stored(item: Storable) -> ServedInstance:
    if isinstance(item, ServedInstance):
        return item
    return from_file(item) if isinstance(item, Path) else from_dataset(item)

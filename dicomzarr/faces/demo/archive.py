"""Instances that are no files in a folder, as the demo server holds them: datasets in memory, or made up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from dicomzarr.errors import MissingFileError, UsageError
from dicomzarr.faces.demo.instances import PIXEL_TAGS, ServedInstance, from_dataset, from_file
from dicomzarr.faces.dicomweb_server.holdings import typed
from dicomzarr.sources.files.search import found_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    from pydicom.dataset import Dataset

    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.faces.dicomweb_server.holdings import Frames
    from dicomzarr.sources.files.search import Found

Storable: TypeAlias = "Path | Dataset | ServedInstance"


class Archive:
    """Instances that never change once they are in: see `dicomzarr.faces.dicomweb_server.holdings.Holdings`.

    Args:
        items: Part-10 files, pydicom datasets with their ``file_meta``, or what
            ``dicomzarr.demo.instances.virtual_instance`` makes; listed in this order ever after.

    Raises:
        InvalidAttributeError: An instance lacks a UID or its transfer syntax.
        UsageError: Two items are the same instance.
    """

    def __init__(self, items: Iterable[Storable]) -> None:
        self._series: dict[SeriesRef, dict[str, ServedInstance]] = {}
        self._documents: dict[tuple[ServedInstance, str], bytes] = {}
        for item in items:
            self._add(stored(item))

    def _add(self, instance: ServedInstance) -> None:
        series = self._series.setdefault(instance.ref, {})
        if instance.uid in series:
            raise UsageError(
                f"Instance {instance.uid} was given to the demo server twice.",
                remedy="Leave one out, or give it a SOPInstanceUID of its own.",
            )
        series[instance.uid] = instance

    def instances(
        self, study: str | None = None, series: str | None = None, instance: str | None = None
    ) -> list[ServedInstance]:
        """The instances under these UIDs, None standing for any; empty where there are none."""
        return [
            stored
            for ref, members in self._series.items()
            if study in {None, ref.study} and series in {None, ref.series}
            for stored in ([members[instance]] if instance in members else [] if instance else members.values())
        ]

    def find(self, study: str | None, series: str | None = None, uid: str | None = None) -> list[ServedInstance]:
        """See `Holdings.find`."""
        return self.instances(study, series, uid)

    def search(self, collection: str, study: str | None, series: str | None) -> Iterator[Found]:
        """See `Holdings.search`."""
        return found_in(self._series, collection, study, series)

    def held(self, study: str, series: str, uid: str) -> list[ServedInstance]:
        """See `Holdings.held`."""
        return self.instances(study, series, uid)

    def look_again(self) -> None:
        """See `Holdings.look_again`; nothing changes."""

    def expire(self) -> None:
        """See `Holdings.expire`; nothing changes."""

    def state(self, instances: Sequence[ServedInstance]) -> str:  # noqa: ARG002  # the port's
        """See `Holdings.state`; it has no entity tags, as many servers."""
        return ""

    def header(self, instance: ServedInstance) -> dict[str, Any]:
        """See `Holdings.header`."""
        return {tag: value for tag, value in instance.metadata().items() if tag not in PIXEL_TAGS}

    def metadata(self, instance: ServedInstance, url: str) -> bytes:
        """See `Holdings.metadata`."""
        key = instance, url
        if key not in self._documents:
            found = instance.metadata()
            pixels = {tag: found[tag] | {"BulkDataURI": f"{url}/pixeldata"} for tag in PIXEL_TAGS & found.keys()}
            self._documents[key] = msgspec.json.encode(found | pixels, enc_hook=str)  # str for pydicom's UID
        return self._documents[key]

    def bulk_data(self, instance: ServedInstance, path: str) -> bytes:
        """See `Holdings.bulk_data`.

        Raises:
            MissingFileError: Always: metadata leave nothing out.
        """
        raise MissingFileError(f"Instance {instance.uid} has no bulk data {path:.100}.")

    def frames(self, instance: ServedInstance) -> Frames:
        """See `Holdings.frames`."""
        return instance

    def pixel(self, instance: ServedInstance) -> PixelDescription:
        """See `Holdings.pixel`."""
        return typed(instance.metadata(), instance.ref).instances[0].pixel

    def overview(self, instance: ServedInstance, size: int) -> npt.NDArray[np.uint8]:  # noqa: ARG002  # the port's
        """See `Holdings.overview`.

        Raises:
            MissingFileError: Always.
        """
        raise MissingFileError(f"Instance {instance.uid} is in no file.")

    def rewritten(self, instance: ServedInstance, changes: Mapping[str, Any]) -> bytes:  # noqa: ARG002  # the port's
        """See `Holdings.rewritten`.

        Raises:
            MissingFileError: Always.
        """
        raise MissingFileError(f"Instance {instance.uid} is in no file.")

    def size(self, instance: ServedInstance) -> int:
        """See `Holdings.size`.

        Raises:
            MissingFileError: It is made up.
        """
        return sum(map(len, self.pieces(instance)))

    def pieces(self, instance: ServedInstance) -> Iterator[bytes]:
        """See `Holdings.pieces`.

        Raises:
            MissingFileError: It is made up.
        """
        if instance.part10 is None:
            raise MissingFileError(f"Instance {instance.uid} exists in frames only.")
        return iter([instance.part10()])


def stored(item: Storable) -> ServedInstance:
    """What an archive holds of a file or data set.

    Raises:
        InvalidAttributeError: It lacks a UID or its transfer syntax.
    """
    if isinstance(item, ServedInstance):
        return item
    return from_file(item) if isinstance(item, Path) else from_dataset(item)

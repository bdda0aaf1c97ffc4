"""The attributes of instances as pydicom's Datasets: asked for once, and made when one is looked at."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import numpy as np

from dicomzarr.dicom.identity import without_identity, without_pixels
from dicomzarr.dicom.model.json_model import EMPTY, Leaf
from dicomzarr.errors import MetadataError, SeriesChangedError
from dicomzarr.omezarr.hierarchy import Document
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.lazy_attribute import lazy_attribute
from dicomzarr.runtime.process import ProcessLock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom import Dataset

    from dicomzarr.engine.ports import SeriesRef, SeriesSource
    from dicomzarr.omezarr.series_store import SeriesStore


_NUMBERS: Final = {
    "US": "<u2",
    "SS": "<i2",
    "UL": "<u4",
    "SL": "<i4",
    "FL": "<f4",
    "FD": "<f8",
    "UV": "<u8",
    "SV": "<i8",
}
"""Value representations whose values are numbers in JSON, and bytes where they come by reference."""

_TEXTS: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)

_one_at_a_time = ProcessLock()
"""Who changes pydicom's settings, which are those of the process."""


def group_attributes(store: SeriesStore, path: str) -> dict[str, Any]:
    """What the group of an image says of it under ``dicomzarr``, in either format of Zarr."""
    found = (store.locate(f"{path}/{name}".lstrip("/")) for name in ("zarr.json", ".zattrs"))
    document = next(each for each in found if isinstance(each, Document))
    attributes = msgspec.json.decode(document.data)
    told: dict[str, Any] = attributes.get("attributes", attributes)["dicomzarr"]
    return told


class _Named(msgspec.Struct):
    """An instance of the reply, as far as its name is read."""

    uid: Leaf = msgspec.field(name="00080018", default=EMPTY)


class _Place(Protocol):
    """What a series is reached by: its handle, or an endpoint."""

    @property
    def source(self) -> SeriesSource:
        """Where it comes from, in this process."""


class InstanceMetadata(Mapping[str, "Dataset"]):
    """Datasets of instances by SOP Instance UID, without pixels; read-only in effect, as each is made anew.

    The first that is looked at costs a request for the metadata of the series, or a look into its file. Without
    ``include_phi`` attributes that may identify somebody are not there: see `dicomzarr.dicom.identity`. It travels as
    an image does, without what came.

    Args:
        place: Has the source that the series comes from.
        ref: The series.
        uids: The instances, in the order in which they are listed; None for all of the series.
        include_phi: Keep what identifies.
    """

    def __init__(self, place: _Place, ref: SeriesRef, uids: Sequence[str] | None, *, include_phi: bool) -> None:
        self._place = place
        self._ref = ref
        self._given = None if uids is None else tuple(dict.fromkeys(uids))
        self._include_phi = include_phi
        self._known: dict[str, msgspec.Raw] = {}
        """The JSON of instances that came so far."""

    def __getitem__(self, uid: str) -> Dataset:
        """The attributes of an instance.

        Raises:
            KeyError: The image has no such instance.
            SeriesChangedError: The series has it no more.
            MetadataError: The metadata cannot be read.
            ServerError: The metadata could not be had.
        """
        if uid not in self._uids:
            raise KeyError(uid)
        if uid not in self._known:
            self._ask(uid)
        found = self._known.get(uid)
        if found is None:
            raise SeriesChangedError(
                f"Series {self._ref.series} has no instance {uid} any more.", remedy="Open the series again."
            )
        return self._dataset(uid, msgspec.json.decode(found))

    def __contains__(self, uid: object) -> bool:
        return uid in self._uids  # without a request

    def __iter__(self) -> Iterator[str]:
        return iter(self._uids)

    def __len__(self) -> int:
        return len(self._uids)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_all"} | {"_known": {}}

    def __repr__(self) -> str:
        return f"<metadata of {len(self)} {'instance' if len(self) == 1 else 'instances'}>"

    @property
    def _uids(self) -> tuple[str, ...]:
        return self._all if self._given is None else self._given

    @lazy_attribute
    def _all(self) -> tuple[str, ...]:
        """All instances of the series."""
        return self._ask(None)

    def _ask(self, uid: str | None) -> tuple[str, ...]:
        """Have an instance, or all of the series; gives those that came."""
        body = run_sync(self._place.source.attributes, self._ref, uid)
        try:
            each = msgspec.json.decode(body, type=list[msgspec.Raw])
            found = {str(msgspec.json.decode(one, type=_Named).uid.first): one for one in each}
            self._known |= found
            return tuple(found)
        except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError
            problem = f"The metadata of series {self._ref.series} are no list of instances in DICOM JSON."
        raise MetadataError(problem, remedy="Ask the server's operator what it sends for /metadata.")

    def _dataset(self, uid: str, attributes: dict[str, Any]) -> Dataset:
        from pydicom import Dataset, config  # noqa: PLC0415  # heavy, and opening does without

        attributes = without_pixels(attributes)
        if not self._include_phi:
            attributes = without_identity(attributes)
        values = with_bulk(attributes, lambda uri: run_sync(self._place.source.bulk_data, self._ref, uri, uid))
        try:
            with _one_at_a_time, config.disable_value_validation():  # its warnings quote what may be a name
                return Dataset.from_json(values)
        except Exception as error:  # noqa: BLE001  # pydicom raises whatever it meets; its text may quote a patient's
            problem = type(error).__name__
        raise MetadataError(f"Instance {uid}: pydicom cannot read its metadata ({problem}).")


def with_bulk(attributes: Mapping[str, Any], fetch: Callable[[str], bytes]) -> dict[str, Any]:
    """Attributes in the DICOM JSON model with values in the place of references to them (PS3.18 section F.2.2).

    Args:
        attributes: Of an instance or item.
        fetch: Gives the bytes of a reference.
    """
    return {tag: _inlined(element, fetch) for tag, element in attributes.items()}


def _inlined(element: Any, fetch: Callable[[str], bytes]) -> Any:
    if not isinstance(element, dict):
        return element
    vr, uri = element.get("vr"), element.get("BulkDataURI")
    if vr == "SQ":
        items = element.get("Value") or []
        return {"vr": vr, "Value": [with_bulk(item, fetch) for item in items if isinstance(item, dict)]}
    inline = element.get("InlineBinary")
    if not isinstance(uri, str) and not (isinstance(inline, str) and vr in {*_NUMBERS, *_TEXTS}):
        return element
    data = fetch(uri) if isinstance(uri, str) else base64.b64decode(str(inline))
    if vr in _NUMBERS:
        dtype = np.dtype(_NUMBERS[vr])
        return {"vr": vr, "Value": np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype).tolist()}
    if vr in _TEXTS:
        return {"vr": vr, "Value": data.decode("utf-8", "replace").strip(" \0").split("\\")}
    return {"vr": vr, "InlineBinary": base64.b64encode(data).decode()}

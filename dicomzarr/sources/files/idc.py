"""Series of the Imaging Data Commons by their UID: where they lie, in the table that idc-index brings along."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import InvalidURLError, MissingFileError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.port import ByteStore, Listing

_PACKAGES: Final = ("idc_index_data", "idc_index")
_UID: Final = "SeriesInstanceUID"
_URL: Final = "series_aws_url"
_REMEDY: Final = "Install it: pip install 'dicomzarr[idc]'. Or write s3://BUCKET/PREFIX."


class IDCSeries:
    """The files of one series of the Imaging Data Commons; it is a `port.ByteStore`.

    Args:
        uid: Series Instance UID.
        bucket: Gives the place of an ``s3://`` URL.
    """

    near = False

    def __init__(self, uid: str, bucket: Callable[[str], ByteStore]) -> None:
        if not is_uid(uid):
            raise InvalidURLError(f"idc:{uid} names no series.", remedy="Write idc:<SeriesInstanceUID>.")
        self._uid = uid
        self._make = bucket
        self._bucket: ByteStore | None = None
        self._tuned: tuple[Tuning, float] | None = None

    @property
    def where(self) -> str:
        """See `ByteStore.where`."""
        return f"idc:{self._uid}"

    def files(self) -> Listing:
        """See `ByteStore.files`."""
        if self._bucket is None:
            self._bucket = self._make(series_url(self._uid))
            if self._tuned is not None:
                self._bucket.tune(*self._tuned)
        return self._bucket.files()

    def pace(self) -> tuple[float, int]:
        """See `ByteStore.pace`."""
        return (0.05, 2**20) if self._bucket is None else self._bucket.pace()

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`."""
        self._tuned = tuning, timeout
        if self._bucket is not None:
            self._bucket.tune(tuning, timeout)

    async def close(self) -> None:
        """See `ByteStore.close`."""
        if self._bucket is not None:
            await self._bucket.close()


def series_url(uid: str) -> str:
    """Where a series lies, as ``s3://BUCKET/PREFIX``; only two columns of the table are read.

    Raises:
        UnreadableFileError: There is no such table here.
        MissingFileError: The series is not in it.
    """
    try:
        from pyarrow import parquet  # noqa: PLC0415  # optional
    except ImportError:
        raise UnreadableFileError("idc: URLs need pyarrow, which is not installed.", remedy=_REMEDY) from None
    table = parquet.read_table(_table(), columns=[_UID, _URL], filters=[(_UID, "=", uid)])
    found = table.column(_URL).to_pylist()
    if not found:
        raise MissingFileError(
            f"The index of the Imaging Data Commons has no series {uid}.", remedy="Check the UID, or update idc-index."
        )
    return str(found[0])


def _table() -> Path:
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in sorted(Path(folder).glob("**/idc_index.parquet")):
                return path
    raise UnreadableFileError("idc: URLs need idc-index, which is not installed.", remedy=_REMEDY)

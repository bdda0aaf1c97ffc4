"""Series of the Imaging Data Commons by their UID: where they lie, in the table that idc-index brings along."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from dicomzarr.dicom.uids import is_uid
from dicomzarr.errors import InvalidURLError, MissingFileError, MissingPackageError

_PACKAGES: Final = ("idc_index_data", "idc_index")
_UID: Final = "SeriesInstanceUID"
_URL: Final = "series_aws_url"
_REMEDY: Final = "Install it: pip install 'dicomzarr[idc]'. Or write s3://BUCKET/PREFIX."


def series_url(uid: str) -> str:
    """Where a series lies, as ``s3://BUCKET/PREFIX``; only two columns of the table are read.

    Raises:
        InvalidURLError: It is no UID.
        MissingPackageError: The table is not installed, or what reads it.
        MissingFileError: The series is not in it.
    """
    if not is_uid(uid):
        raise InvalidURLError(f"idc:{uid} names no series.", remedy="Write idc:<SeriesInstanceUID>.")
    try:
        from pyarrow import parquet  # noqa: PLC0415  # optional
    except ImportError:
        raise MissingPackageError("idc: URLs need pyarrow, which is not installed.", remedy=_REMEDY) from None
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
    raise MissingPackageError("idc: URLs need idc-index, which is not installed.", remedy=_REMEDY)

"""The lists of ``dicomzarr export --from``: which series, where each goes, and workers who export them."""

from __future__ import annotations

import csv
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.export.many import export_many
from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.faces.export import Exported

_STUDY, _SERIES = "StudyInstanceUID", "SeriesInstanceUID"
_COLUMNS = ((_STUDY, _SERIES), ("study_instance_uid", "series_instance_uid"))
"""Names of the two columns: DICOM's, and those of the table of `dicomzarr.search`."""
_SECONDS = 10.0
"""For which a scheduler is waited for."""


class Listed(NamedTuple):
    """One line of a list."""

    study: str
    series: str
    output: str


def listed(path: str, output: str) -> list[Listed]:
    """The series of a list, and where each goes.

    Args:
        path: A CSV file.
        output: The target, in which ``{series}`` and ``{study}`` stand for UIDs.

    Raises:
        UsageError: There is no such list, nothing in it, or ``output`` cannot be meant.
    """
    _check_names(output)
    found = [
        Listed(study, series, output.replace("{study}", study).replace("{series}", series))
        for study, series in _rows(path)
    ]
    if not found:
        raise UsageError(f"{path} lists no series.", remedy="Write a line for each.")
    return found


def on_cluster(
    address: str, targets: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Exported | DicomZarrError]:
    """What the workers of a cluster wrote of each series, by its URL, or why not.

    Args:
        address: Of the scheduler.
        targets: Where each series goes, by its URL.
        options: Those of `export_many`.

    Raises:
        UsageError: There is no such cluster.
    """
    distributed = needed("distributed", "distributed")
    try:
        client = distributed.Client(address, timeout=_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"There is no scheduler of dask.distributed at {address} ({type(error).__name__}).",
            remedy="Write the address that it shows, as tcp://HOST:8786.",
        ) from None
    with client:
        places = {url: place if "://" in place else _whole(place) for url, place in targets.items()}
        return export_many(places, cluster=client, **options)


def _whole(path: str) -> str:
    """A path that means the same to workers, which have folders and homes of their own."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  # links stay as they are named


def _check_names(output: str) -> None:
    names = set(re.findall(r"{(\w*)}", output))
    if "series" not in names:
        raise UsageError("OUT names one target for many series.", remedy="Write {series} in it, as out/{series}.zarr.")
    for name in names - {"study", "series"}:
        raise UsageError(f"OUT holds {{{name}}}, which is not known.", remedy="Write {study} and {series} in it.")


def _rows(path: str) -> Iterator[tuple[str, str]]:
    """Study and series of each row."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # noqa: PTH123  # as the user spells it
            rows = csv.DictReader(file)
            named = next((pair for pair in _COLUMNS if set(pair) <= set(rows.fieldnames or ())), None)
            if named is None:
                raise UsageError(
                    f"{path} has no columns {_STUDY} and {_SERIES}.",
                    remedy="Name them so in its first line, separated by a comma.",
                )
            for row in rows:
                study, series = ((row[name] or "").strip() for name in named)
                if not (study and series):
                    raise UsageError(
                        f"Line {rows.line_num} of {path} names no study and series.", remedy="Write both, or no line."
                    )
                yield study, series
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} could not be read ({type(error).__name__}).", remedy="Name a CSV file.") from None

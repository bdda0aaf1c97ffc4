"""The paths of studies, series and instances below the root of the service (PS3.18 section 10.4.1). Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.faces.dicomweb_server.holdings import Instance

ROOT: Final = "/dicom-web"

_PLAIN: Final = "!$&'()*+,;=:@"
"""What stands for itself in a segment, besides letters, digits and ``-._~`` (RFC 3986 section 3.3)."""

STUDY: Final = "0020000D"
SERIES: Final = "0020000E"


def study_path(study: str) -> str:
    """The path of a study."""
    return f"/studies/{_segment(study)}"


def series_path(ref: SeriesRef) -> str:
    """The path of a series."""
    return f"{study_path(ref.study)}/series/{_segment(ref.series)}"


def instance_path(instance: Instance) -> str:
    """The path of an instance."""
    return f"{series_path(instance.ref)}/instances/{_segment(instance.uid)}"


def _segment(uid: str) -> str:
    """A UID as one segment of a path: some are hashes or words, and may hold anything."""
    return quote(uid, safe=_PLAIN)

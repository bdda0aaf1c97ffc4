"""The paths of studies, series and instances below the root of the service (PS3.18 section 10.4.1). Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dicomzarr.engine.ports import SeriesRef
    from dicomzarr.faces.dicomweb_server.holdings import Instance

ROOT: Final = "/dicom-web"

STUDY: Final = "0020000D"
SERIES: Final = "0020000E"


def study_path(study: str) -> str:
    """The path of a study."""
    return f"/studies/{study}"


def series_path(ref: SeriesRef) -> str:
    """The path of a series."""
    return f"{study_path(ref.study)}/series/{ref.series}"


def instance_path(instance: Instance) -> str:
    """The path of an instance."""
    return f"{series_path(instance.ref)}/instances/{instance.uid}"

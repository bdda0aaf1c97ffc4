"""What of a series is shown, and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """What of a series is shown, and how: it makes the plan, and changes no request for a frame."""

    values: str
    """``stored``, ``modality``, ``color`` or ``suv``."""
    icc: str | None
    """``srgb``: colours of slides are turned into it by their ICC profiles."""
    virtual_levels: bool
    """Levels that a slide lacks are shown."""
    associated_label: bool
    """A slide's label image is shown, which says who the patient is."""
    labels: bool
    """Segmentations of the series are shown."""
    include_phi: bool
    """Attributes that identify the patient are shown."""
    zarr_format: int
    """Of Zarr: 3, and with it OME-Zarr 0.5; or 2, and with it OME-Zarr 0.4."""

"""The ladder of Accept headers for frames (PS3.18 section 8.7), as data.

No rung asks a server to transcode: with one that would rather convert than refuse, the pixels could
silently change.
"""

from __future__ import annotations

from dataclasses import dataclass

METADATA_ACCEPTS = ("application/dicom+json", "application/json")
"""Accept values for metadata and searches, the one of the standard first."""

INSTANCE_ACCEPTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    "application/dicom; transfer-syntax=*",
    "application/dicom",
)
"""Accept values for a whole instance, in the order in which they are tried; the last leaves it to the server."""

WHOLE_SERIES_ACCEPT = INSTANCE_ACCEPTS[0]
"""Accept value for all instances of a series."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way of asking for frames."""

    name: str
    """How messages call it."""
    accept: str
    """The value of the Accept header."""
    serves_lists: bool
    """Whether the reply can hold several frames."""


# Lossless ones come first, so that a server that converts to the first it knows at least loses nothing.
_STORED_AS = (
    ("image/jpeg", "1.2.840.10008.1.2.4.70"),
    ("image/jls", "1.2.840.10008.1.2.4.80"),
    ("image/jp2", "1.2.840.10008.1.2.4.90"),
    ("image/jphc", "1.2.840.10008.1.2.4.201"),
    ("image/dicom-rle", "1.2.840.10008.1.2.5"),
    ("image/jxl", "1.2.840.10008.1.2.4.110"),
    ("image/jxl", "1.2.840.10008.1.2.4.112"),
    ("image/jpeg", "1.2.840.10008.1.2.4.50"),
    ("image/jpeg", "1.2.840.10008.1.2.4.51"),
    ("image/jls", "1.2.840.10008.1.2.4.81"),
    ("image/jp2", "1.2.840.10008.1.2.4.91"),
    ("image/jphc", "1.2.840.10008.1.2.4.203"),
    # Orthanc keeps the last one only: it must be the one that fits everything.
    ("application/octet-stream", "*"),
)

AS_STORED = Rung(
    "multipart, as stored",
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    serves_lists=True,
)
IMAGE_TYPES = Rung(
    "multipart, list of image types",
    ", ".join(f'multipart/related; type="{media}"; transfer-syntax={syntax}' for media, syntax in _STORED_AS),
    serves_lists=True,
)
SINGLE_PART = Rung("single part, as stored", "application/octet-stream; transfer-syntax=*", serves_lists=False)
LADDER = (AS_STORED, IMAGE_TYPES, SINGLE_PART)
"""The rungs in the order in which they are tried."""


def list_rungs(known: Rung | None) -> tuple[Rung, ...]:
    """The rungs for several frames: the one that is known to serve, else all that could."""
    return (known,) if known else tuple(rung for rung in LADDER if rung.serves_lists)


def single_rungs(known: Rung | None) -> tuple[Rung, ...]:
    """The rungs for one frame, the one that is known to serve first."""
    return (known, *(rung for rung in LADDER if rung is not known)) if known else LADDER

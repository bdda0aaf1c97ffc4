"""BioIO's plug-in for DICOM series; what reads them is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bioio_dicomzarr.reader import Reader

__all__ = ["ReaderMetadata"]


class ReaderMetadata:
    """What BioIO asks a plug-in."""

    @staticmethod
    def get_supported_extensions() -> list[str]:
        """None: the URL of a series has no extension."""
        return []

    @staticmethod
    def supports_directory_images() -> bool:
        """A series is a directory, to fsspec."""
        return True

    @staticmethod
    def get_reader() -> type[Reader]:
        """The reader."""
        from bioio_dicomzarr.reader import Reader  # noqa: PLC0415  # BioIO asks all plug-ins for their extensions

        return Reader

"""``UPath("dicomwebs://...")``: the paths of universal_pathlib, which imports this module by entry point."""

from __future__ import annotations

import fsspec
from upath import UPath

# universal_pathlib asks fsspec how paths are spelled, and only of filesystems that are loaded.
for _protocol in ("dicomweb", "dicomwebs"):
    fsspec.get_filesystem_class(_protocol)


class DICOMwebPath(UPath):
    """A path behind a DICOMweb server over plain HTTP: ``dicomweb://...``."""

    __slots__ = ()


class DICOMwebsPath(UPath):
    """A path behind a DICOMweb server over HTTPS: ``dicomwebs://...``."""

    __slots__ = ()

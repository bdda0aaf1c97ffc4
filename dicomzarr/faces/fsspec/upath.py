"""``UPath("dicomwebs://...")`` and the like: paths of universal_pathlib, which finds this module by entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
from upath import UPath

from dicomzarr.sources.http.urls import split_user_info

if TYPE_CHECKING:
    from upath.types import JoinablePathLike


class DICOMwebsPath(UPath):
    """A path behind a DICOMweb server over HTTPS: ``dicomwebs://...``.

    Its storage options, which are printed and pickled with it, hold references in the place of secrets.
    """

    __slots__ = ()

    @classmethod
    def _transform_init_args(
        cls, args: tuple[JoinablePathLike, ...], protocol: str, storage_options: dict[str, Any]
    ) -> tuple[tuple[JoinablePathLike, ...], str, dict[str, Any]]:
        """Take user-info out of the URL, and secrets out of the options."""
        if args and isinstance(args[0], str):
            bare, user = split_user_info(args[0])
            args = (bare, *args[1:])
            storage_options = {**({"auth": user} if user else {}), **storage_options}
        public = fsspec.filesystem(protocol, **storage_options).storage_options
        return args, protocol, public


class DICOMwebPath(DICOMwebsPath):
    """A path behind a DICOMweb server over plain HTTP: ``dicomweb://...``."""

    __slots__ = ()


class DICOMFilePath(DICOMwebsPath):
    """A path in a folder of DICOM files: ``dicomfile:///...``."""

    __slots__ = ()


# universal_pathlib asks fsspec how paths are spelled, and it asks only of filesystems that are loaded.
for _protocol in ("dicomweb", "dicomwebs", "dicomfile"):
    fsspec.get_filesystem_class(_protocol)

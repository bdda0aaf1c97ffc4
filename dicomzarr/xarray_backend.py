"""The xarray engine ``dicomzarr``.

xarray imports this module to look at every installed engine, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr

_SERIES = re.compile(r"(dicomwebs?://|https?://.*/studies/[0-9.]+/series/[0-9.]+(\.zarr)?/?$)")


class DicomZarrBackendEntrypoint(BackendEntrypoint):
    """Opens a DICOMweb series: one group a level, the variable ``image`` in each."""

    description = "Open a DICOMweb image series, one group a level"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "group", "storage_options")
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is the URL of a DICOMweb series."""
        return isinstance(filename_or_obj, str) and _SERIES.match(filename_or_obj) is not None

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """One level as a Dataset.

        Args:
            filename_or_obj: URL of the series.
            drop_variables: Variables to leave out.
            group: Path of the level, as ``"1"`` or ``"associated/overview/0"``; the finest when not given.
            storage_options: See `dicomzarr.options.StorageOptions`.

        Raises:
            UsageError: There is no such group.
        """
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, storage_options=storage_options
        )
        levels = [name for name in groups if name != "/"]
        wanted = (group or levels[0]).strip("/")
        if wanted not in levels:
            from dicomzarr.errors import UsageError  # noqa: PLC0415  # nothing at import

            raise UsageError(f"The series has no group {wanted!r}.", remedy=f"It has {', '.join(levels)}.")
        return groups[wanted]

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> dict[str, xr.Dataset]:
        """All levels of all images, by their group in the series' hierarchy."""
        from dicomzarr.arrays import open_image  # noqa: PLC0415  # nothing at import
        from dicomzarr.labelled import series_datasets  # noqa: PLC0415  # as above

        first = open_image(str(filename_or_obj), **(storage_options or {}))
        groups = series_datasets([*first.images, *first.associated.values()])
        if drop_variables is None:
            return groups
        return {name: dataset.drop_vars(drop_variables, errors="ignore") for name, dataset in groups.items()}

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.DataTree:
        """The series as a DataTree, one node a level."""
        import xarray as xr  # noqa: PLC0415  # nothing at import

        return xr.DataTree.from_dict(
            self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables, storage_options=storage_options)
        )

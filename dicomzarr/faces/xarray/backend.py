"""The xarray engine ``dicomzarr``.

xarray imports this module to look at every installed engine, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

from dicomzarr.runtime.tracebacks import keeps_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr

_SERIES = re.compile(r"(dicomwebs?://|dicomfile://|https?://.*/studies/[^/?#]+/series/[^/?#]+(\.zarr)?/?$)")


_DECODERS = (
    "mask_and_scale",
    "decode_times",
    "decode_timedelta",
    "use_cftime",
    "concat_characters",
    "decode_coords",
)
"""Keywords of xarray for encoded values. ``mask_and_scale`` has an effect; nothing else is encoded, times neither."""


class DicomZarrBackendEntrypoint(BackendEntrypoint):
    """Opens a DICOMweb series: one group a level, the variable ``image`` in each."""

    description = "Open a DICOM series, one group a level"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", *_DECODERS, "group", "storage_options")
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is the URL of a series."""
        return isinstance(filename_or_obj, str) and _SERIES.match(filename_or_obj) is not None

    @keeps_secrets
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **decoders: Any,
    ) -> xr.Dataset:
        """One level as a Dataset.

        Args:
            filename_or_obj: URL of the series, or of an image.
            drop_variables: Variables to leave out.
            group: Path or number of the level, as ``1`` or ``"associated/overview/0"``; the finest when not given.
            storage_options: See `dicomzarr.options.StorageOptions`.
            **decoders: ``mask_and_scale=False`` for the stored values where they are rescaled otherwise; the others
                change nothing: times are numbers, with their unit.

        Raises:
            UsageError: There is no such group.
        """
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, storage_options=storage_options, **decoders
        )
        levels = [name for name in groups if name != "/"]
        wanted = _path(group) or levels[0]
        if wanted not in levels:
            raise _no_group(wanted, levels)
        return groups[wanted]

    @keeps_secrets
    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **decoders: Any,
    ) -> dict[str, xr.Dataset]:
        """All levels of all images, by their group in the series' hierarchy; with ``group``, those below it.

        Raises:
            UsageError: There is no such group.
        """
        from dicomzarr.arrays.image import opened_at  # noqa: PLC0415  # nothing at import
        from dicomzarr.arrays.xarray import series_datasets  # noqa: PLC0415  # as above

        unknown = set(decoders).difference(_DECODERS)
        if unknown:
            raise TypeError(f"The engine dicomzarr knows no keyword {', '.join(sorted(unknown))}.")
        first, is_named = opened_at(str(filename_or_obj), storage_options or {})
        images = [*first.images, *first.associated.values()]
        groups = series_datasets(images, mask_and_scale=_scales(decoders))
        groups = _below(_below(groups, first.path) if is_named else groups, _path(group))
        if drop_variables is None:
            return groups
        return {name: dataset.drop_vars(drop_variables, errors="ignore") for name, dataset in groups.items()}

    @keeps_secrets
    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **decoders: Any,
    ) -> xr.DataTree:
        """The series as a DataTree, one node a level; with ``group``, that group is the root.

        Raises:
            UsageError: There is no such group.
        """
        import xarray as xr  # noqa: PLC0415  # nothing at import

        return xr.DataTree.from_dict(
            self.open_groups_as_dict(
                filename_or_obj,
                drop_variables=drop_variables,
                group=group,
                storage_options=storage_options,
                **decoders,
            )
        )


def _scales(decoders: Mapping[str, Any]) -> bool:
    """What ``mask_and_scale`` says, for all variables or for each by name."""
    told = decoders.get("mask_and_scale", True)
    return bool(told if isinstance(told, bool) else told.get("image", True))


def _path(group: str | int | None) -> str:
    return "" if group is None else str(group).strip("/")


def _below(groups: dict[str, xr.Dataset], group: str) -> dict[str, xr.Dataset]:
    """The datasets of a group and those below it, by their path from there."""
    if not group:
        return groups
    root = groups.get(group, groups["/"])
    prefix = f"{group}/"
    found = {name.removeprefix(prefix): dataset for name, dataset in groups.items() if name.startswith(prefix)}
    if not found and group not in groups:
        raise _no_group(group, [name for name in groups if name != "/"])
    return {"/": root, **found}


def _no_group(group: str, levels: list[str]) -> Exception:
    from dicomzarr.errors import UsageError  # noqa: PLC0415  # nothing at import

    return UsageError(f"The series has no group {group!r}.", remedy=f"It has {', '.join(levels)}.")

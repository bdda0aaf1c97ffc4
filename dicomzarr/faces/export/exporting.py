"""``dicomzarr.export``: a series becomes files that others keep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dicomzarr.arrays.image import Image, opened_at
from dicomzarr.errors import UsageError
from dicomzarr.faces.export.files import export_file, finish_file
from dicomzarr.faces.export.journal import remove_journal
from dicomzarr.faces.export.options import ZARR, check_names, parse_options
from dicomzarr.faces.export.series import Source
from dicomzarr.faces.export.source_files import spare_source
from dicomzarr.faces.export.zarr_export import ZarrExport
from dicomzarr.runtime.tracebacks import keeps_secrets

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.faces.export.zarr_export import ProgressCallback


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written."""

    target: str
    arrays: int
    nbytes: int
    """Of pixels, before compression."""
    blocks: int
    resumed: int
    """Blocks of those that an earlier run had written."""


@keeps_secrets
def export(  # noqa: PLR0913  # as many as the user has
    url_or_image: str | os.PathLike[str] | Image,
    target: str | os.PathLike[str],
    *,
    levels: Iterable[int] | None = None,
    region: Mapping[str, tuple[int, int] | slice] | None = None,
    images: Iterable[str] | None = None,
    zarr_format: int = 3,
    compression: str = "zstd",
    shard: int | Iterable[int] | None = None,
    keep_encoded: bool = False,
    build_levels: bool = False,
    absent: float | None = None,
    block_bytes: int = 16 * 2**20,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    target_options: Mapping[str, Any] | None = None,
    **storage_options: Any,
) -> Exported:
    """Copy a series into OME-Zarr, one zip of it, OME-TIFF or NIfTI, by blocks, each read once.

    What was interrupted goes on where it was when it is called again in the same way. At the end the target is read
    again, and compared with what was written.

    Args:
        url_or_image: What `dicomzarr.open` takes, or what it gives: that image alone, as with the URL of one.
        target: Its ending says the format: ``.zarr`` (a path, or any URL of fsspec), ``.ozx``, ``.ome.tif`` or
            ``.nii``, ``.nii.gz``.
        levels: Numbers of the levels to take; all by default.
        region: What to take along axes, as ``{"x": (1000, 2000)}``, in indices of level 0.
        images: Paths of the images to take, as ``info`` lists them; all by default.
        zarr_format: 3 for OME-Zarr 0.5, 2 for OME-Zarr 0.4.
        compression: ``zstd``, ``zstd:LEVEL`` or ``none``.
        shard: Chunks of a shard along y and x, or along the last axes; no shards by default.
        keep_encoded: Store frames as they came, not decoded.
        build_levels: Go on with levels of half the size until one is of 512 pixels at most.
        absent: Fill absent slices with this value, instead of leaving them absent.
        block_bytes: Of the pixels that are read in one plan; a few such blocks are in memory at a time.
        overwrite: Replace what is at the target.
        progress: Called with a `zarr_export.Progress` after each block.
        target_options: Options of fsspec for the target.
        **storage_options: See `dicomzarr.options.StorageOptions`; with an image that is open, besides its own.

    Returns:
        What was written.

    Raises:
        UsageError: What was asked for cannot be meant, or not be written in this format; the text says why.
        DicomZarrError: The series could not be opened or read.
        TargetError: The target could not be written.
        VerificationError: It was read again, and is not what was written.
    """
    check_names(storage_options)
    if progress and not callable(progress):
        raise UsageError(f"progress is {progress!r:.40}, and no function.", remedy="Write progress=FUNCTION.")
    place = str(target)
    options = parse_options(
        place,
        zarr_format=zarr_format,
        levels=levels,
        region=region,
        images=images,
        compression=compression,
        shard=shard,
        keep_encoded=keep_encoded,
        build_levels=build_levels,
        absent=absent,
        block_bytes=block_bytes,
    )
    if isinstance(url_or_image, Image):
        image, is_named = (url_or_image.opened_with(**storage_options) if storage_options else url_or_image), True
    else:
        image, is_named = opened_at(url_or_image, storage_options)
    if is_named and images is None:
        options = replace(options, images=(image.path,))
    copy = Copy(place, options, target_options or {})
    done = copy.write(image, progress, overwrite=overwrite)
    copy.finish()
    return done


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a series in the making."""

    place: str
    """The target."""
    options: ExportOptions
    """What is taken, and how it is written."""
    target_options: Mapping[str, Any]
    """Options of fsspec for the target."""

    def write(self, image: Image, progress: ProgressCallback | None = None, *, overwrite: bool = False) -> Exported:
        """Write it, and read it again; until `finish` it may be written once more, which goes on where it was.

        Args:
            image: Any image of the series.
            progress: Called after each block.
            overwrite: Replace what is at the target.

        Raises:
            DicomZarrError: See `export`.
        """
        spare_source(image.series_url, self.place)
        if self.options.format == ZARR:
            source = Source(image, self.options)
            work = ZarrExport(source, self.place, self.target_options, progress)
            work.run(overwrite=overwrite)
        else:
            source, work = export_file(image, self.options, self.place, progress, overwrite=overwrite)
        return Exported(self.place, len(source.selection.parts), work.nbytes, work.blocks, work.resumed)

    def finish(self) -> None:
        """Let go of what says that it is in the making; more than once does no harm.

        Raises:
            TargetError: It could not be removed.
        """
        if self.options.format == ZARR:
            remove_journal(self.place, self.target_options)
        else:
            finish_file(self.place)

"""What is one file in the end: put together beside the target of a finished OME-Zarr, and then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from dicomzarr.errors import TargetError, UsageError
from dicomzarr.faces.export import nifti, ome_tiff, ozx
from dicomzarr.faces.export.durable import settle
from dicomzarr.faces.export.failures import on_disk, taken
from dicomzarr.faces.export.journal import journal_of
from dicomzarr.faces.export.options import NIFTI, OZX, TIFF
from dicomzarr.faces.export.series import Source
from dicomzarr.faces.export.zarr_export import ZarrExport
from dicomzarr.runtime.extras import needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.arrays.image import Image
    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.faces.export.zarr_export import ProgressCallback
    from dicomzarr.plan import SeriesPlan


class FileFormat(Protocol):
    """Puts one file together; a module has these."""

    def adapt(self, source: Source) -> Source:
        """The source as this format wants it.

        Raises:
            UsageError: The format cannot hold it.
        """

    def beside(self, path: Path) -> list[Path]:
        """Other files that may belong to the one of this path."""

    def write(self, source: Source, root: Path, path: Path) -> None:
        """Write the file out of an exported hierarchy, and read it again; and those beside it, in an empty folder.

        Raises:
            VerificationError: What is read is something else.
        """


_FORMATS: Final[dict[str, FileFormat]] = {OZX: ozx, TIFF: ome_tiff, NIFTI: nifti}
_HIERARCHY, _MADE = "export.zarr", "made"
_OURS: Final = {_HIERARCHY, _MADE, journal_of(_HIERARCHY), f"{journal_of(_HIERARCHY)}.new"}
"""What may lie in the folder that a file is made in."""

_NEEDS: Final = {TIFF: "tifffile", NIFTI: "nibabel"}


def export_file(
    image: Image, options: ExportOptions, target: str, progress: ProgressCallback | None, *, overwrite: bool
) -> tuple[Source, ZarrExport]:
    """Write a selection of a series as one file: nothing is under its name before it is whole, until `finish_file`.

    Raises:
        UsageError: The format cannot hold it, or there is something at the target.
        DicomZarrError: Something could not be read, or not be written.
    """
    path, kind = _local(target), _FORMATS[options.format]
    _check_installed(options.format)
    beside = _beside(path)
    _check_free([path, *kind.beside(path)], overwrite=overwrite)
    if options.format != OZX:
        options = _of_one_image(image.store.plan, options)
    source = kind.adapt(Source(image, options))
    work = ZarrExport(source, str(beside / _HIERARCHY), {}, progress)
    work.run(overwrite=overwrite, settles=False)  # the file is
    try:
        with on_disk("The target"):
            made = _empty(beside / _MADE)
            kind.write(source, beside / _HIERARCHY, made / path.name)
            _move([*kind.beside(path), path], made)
    except TargetError as error:
        work.tell_state(error)
        raise
    return source, work


def _empty(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _move(targets: Sequence[Path], made: Path) -> None:
    """Give files that lie whole in a folder their names, the last one last; what has one of these names goes."""
    for path in targets:
        whole = made / path.name
        if whole.exists():
            settle(whole)
            whole.replace(path)
            settle(path)
        else:
            path.unlink(missing_ok=True)


def finish_file(target: str) -> None:
    """Let go of what the file was made of; it may have been let go of already.

    Raises:
        TargetError: It could not be removed.
    """
    with on_disk("The target"):
        path = _local(target)
        beside = _beside(path)
        if beside.exists():  # under another name first: half of it would pass for an export that goes on
            gone = Path(tempfile.mkdtemp(prefix=f"{path.name}.removed-", dir=path.parent))
            beside.rename(gone / beside.name)
            shutil.rmtree(gone)


def _check_free(targets: Sequence[Path], *, overwrite: bool) -> None:
    with on_disk("The target"):
        if any(path.is_dir() for path in targets):
            raise UsageError("There is a folder at the target, and this format is one file.", remedy="Name another.")
        beside = _beside(targets[0])
        if beside.exists() and not {each.name for each in beside.iterdir()} <= _OURS:
            raise UsageError(
                f"{beside.name} beside the target is where the file would be made, and holds something else.",
                remedy="Move it, or name another target.",
            )
        there = [path.name for path in targets if path.exists()]
        if there and not overwrite and not beside.exists():  # which lies there until `finish_file`
            raise taken("" if there[0] == targets[0].name else there[0])


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _local(target: str) -> Path:
    path = target.removeprefix("file://")
    if "://" in path:
        raise UsageError(
            "A target that is one file lies on a disk of this machine.",
            remedy="Name a path, and copy the file; or export to .zarr there.",
        )
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111  # links stay as they are named; as fsspec has ~


def _check_installed(kind: str) -> None:
    module = _NEEDS.get(kind)
    if module is not None:
        needed(module, "export")


def _of_one_image(plan: SeriesPlan, options: ExportOptions) -> ExportOptions:
    """Formats for one image take the only one, or that which was named."""
    images = options.images if options.images is not None else plan.image_paths
    if len(images) > 1:
        raise UsageError(
            f"{len(images)} images do not go into one such file.",
            remedy=f"Choose one of {', '.join(plan.image_paths)}, or export to .zarr.",
        )
    if plan.at(images[0]).labels if images[0] in plan.image_paths else ():
        raise UsageError("Labels go into OME-Zarr alone.", remedy="Leave them out, or export to .zarr.")
    return replace(options, images=images)

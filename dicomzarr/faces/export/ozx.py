"""``.ozx``: an OME-Zarr in one zip (RFC 9, https://ngff.openmicroscopy.org/rfc/9/)."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING, Final

from dicomzarr.errors import VerificationError

if TYPE_CHECKING:
    from pathlib import Path

    from dicomzarr.faces.export.series import Source

_DOCUMENT: Final = "zarr.json"
_PART: Final = 2**20
_ANYBODY_READS: Final = 0o100644
"""Mode of a file."""

_COMMENT: Final = {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}


def adapt(source: Source) -> Source:
    """Everything goes into it."""
    return source


def beside(_: Path) -> list[Path]:
    """Nothing."""
    return []


def write(_: Source, root: Path, path: Path) -> None:
    """Zip a hierarchy: documents first, as RFC 9 asks, and nothing compressed again.

    Raises:
        VerificationError: A file of it is broken when it is read again.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in sorted((each for each in root.rglob("*") if each.is_file()), key=lambda each: _order(each, root)):
            _add(archive, file, file.relative_to(root).as_posix())
        archive.comment = json.dumps(_COMMENT).encode()
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise VerificationError(
            f"{broken} in the zip is not what was written when it is read again.",
            remedy="Look after the disk, and run the same command again.",
        )


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    """Without its time: two exports of one series are the same bytes."""
    member = zipfile.ZipInfo(name)
    member.file_size, member.external_attr = file.stat().st_size, _ANYBODY_READS << 16
    with file.open("rb") as source, archive.open(member, "w") as target:
        shutil.copyfileobj(source, target, _PART)


def _order(file: Path, root: Path) -> tuple[bool, int, str]:
    relative = file.relative_to(root)
    return relative.name != _DOCUMENT, len(relative.parts), relative.as_posix()

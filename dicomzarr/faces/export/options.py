"""What is to be exported, and how: typed once, at the border. Pure (no I/O)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from operator import index
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dicomzarr.errors import InvalidOptionError
from dicomzarr.options import StorageOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Value = TypeVar("_Value")

ZARR: Final = "zarr"
OZX: Final = "ozx"
TIFF: Final = "tiff"
NIFTI: Final = "nifti"

_ENDINGS: Final = {
    ".zarr": ZARR,
    ".ozx": OZX,
    ".ome.tif": TIFF,
    ".ome.tiff": TIFF,
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
}
_COMPRESSION: Final = re.compile(r"none|zstd(?::(?P<level>[0-9]{1,2}))?")
_ZSTD_LEVELS: Final = range(1, 20)
_AXES: Final = "tczyx"
_FORMS: Final = {
    "levels": "levels=[0, 2]",
    "region": 'region={"x": (1000, 3000), "y": (0, 512)}, an axis each',
    "images": 'images=["0"], paths as dicomzarr info lists them',
    "compression": 'compression="zstd:5" or "none"',
    "shard": "shard=8",
    "absent": "absent=0",
    "block_bytes": "block_bytes=16 * 2**20",
    "overwrite": "overwrite=True",
    "keep_encoded": "keep_encoded=True",
    "build_levels": "build_levels=True",
    "zarr_format": "zarr_format=2",
    "target_options": "target_options={...}, those of fsspec for the target",
    "progress": "progress=FUNCTION",
}
"""How options are written."""
_ELSEWHERE: Final = {"force": "overwrite"}
"""Options by their names on the command line, where these are others."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is taken of a series, and how it is written."""

    format: str
    """``zarr``, ``ozx``, ``tiff`` or ``nifti``."""
    zarr_format: int = 3
    levels: tuple[int, ...] | None = None
    """Numbers of the levels that are taken, ascending; None for all."""
    region: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """First index, and that behind the last, of level 0, by axis."""
    images: tuple[str, ...] | None = None
    """Paths of the images that are taken; None for all."""
    zstd_level: int | None = 3
    """None for chunks that are not compressed."""
    shard: tuple[int, ...] | None = None
    """Chunks of a shard along the last axes; None for a file for each chunk."""
    keep_encoded: bool = False
    build_levels: bool = False
    absent: float | None = None
    """What absent slices are filled with; None to leave them absent."""
    block_bytes: int = 16 * 2**20
    """Of pixels that are read in one plan, unless a chunk or shard is larger; some such blocks are in memory."""

    @property
    def said(self) -> dict[str, Any]:
        """All that changes what is written, as JSON: what a journal compares."""
        return {
            "format": self.format,
            "zarr_format": self.zarr_format,
            "levels": None if self.levels is None else list(self.levels),
            "region": {axis: list(ends) for axis, ends in sorted(self.region.items())},
            "images": None if self.images is None else list(self.images),
            "zstd_level": self.zstd_level,
            "shard": None if self.shard is None else list(self.shard),
            "keep_encoded": self.keep_encoded,
            "build_levels": self.build_levels,
            "absent": self.absent,
            "block_bytes": self.block_bytes,
        }


def format_of(target: str) -> str:
    """The format that a target's name asks for.

    Raises:
        InvalidOptionError: It asks for none.
    """
    name = target.rstrip("/").lower()
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    raise InvalidOptionError(
        "The name of the target does not say in which format to write.",
        remedy=f"Let it end in one of {', '.join(_ENDINGS)}.",
    )


def parse_options(  # noqa: PLR0913  # as many as the user has
    target: str,
    *,
    zarr_format: int = 3,
    levels: Iterable[int] | None = None,
    region: Mapping[str, tuple[int, int] | slice] | None = None,
    images: Iterable[str] | None = None,
    compression: str = "zstd",
    shard: int | Iterable[int] | None = None,
    keep_encoded: bool = False,
    build_levels: bool = False,
    absent: float | None = None,
    block_bytes: int = 16 * 2**20,
) -> ExportOptions:
    """Type what was asked for, and refuse what cannot be meant together.

    Raises:
        InvalidOptionError: An option has an impossible value, or two contradict each other.
    """
    found = ExportOptions(
        format_of(target),
        _typed("zarr_format", zarr_format, index),
        None if levels is None else _typed("levels", levels, lambda given: tuple(sorted(set(map(index, given))))),
        {} if region is None else _typed("region", region, _ranges),
        None if images is None else _typed("images", images, _paths),
        _typed("compression", compression, _zstd_level),
        None if shard is None else _typed("shard", shard, _shard),
        _typed("keep_encoded", keep_encoded, _switch),
        _typed("build_levels", build_levels, _switch),
        None if absent is None else _typed("absent", absent, float),
        _typed("block_bytes", block_bytes, index),
    )
    _check(found)
    return found


def check_names(names: Iterable[str]) -> None:
    """Whoever misspells an option of the export hears which was meant; what is none counts as a storage option.

    Raises:
        InvalidOptionError: There is no such option, and one of the export is near.
    """
    for name in names:
        near = _ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name, _FORMS, n=1)), None)
        if near and name not in {each.name for each in fields_of(StorageOptions)}:
            raise InvalidOptionError(f"The export has no option {name!r}.", remedy=f"Write {_FORMS[near]}.")


def _typed(name: str, value: Any, parse: Callable[[Any], _Value]) -> _Value:
    try:
        return parse(value)
    except (TypeError, ValueError, AttributeError):
        raise InvalidOptionError(f"{name}={value!r:.60} cannot be meant.", remedy=f"Write {_FORMS[name]}.") from None


def _ranges(region: Mapping[str, tuple[int, int] | slice]) -> dict[str, tuple[int, int]]:
    return {axis: _range(axis, ends) for axis, ends in region.items()}


def _paths(images: Iterable[str]) -> tuple[str, ...]:
    if isinstance(images, str):
        raise TypeError
    return tuple(dict.fromkeys(path.strip("/") for path in images))


def _shard(shard: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(shard, Iterable):
        return tuple(map(index, shard))
    return index(shard), index(shard)


def _switch(value: Any) -> bool:
    """A truth value, which may be NumPy's: what is noted of an export is JSON."""
    if value not in (True, False):
        raise ValueError
    return bool(value)


def _check(options: ExportOptions) -> None:
    is_zarr = options.format in {ZARR, OZX}
    refused = (
        (options.zarr_format not in {2, 3}, "zarr_format must be 3, for OME-Zarr 0.5, or 2, for 0.4."),
        (options.zarr_format == 2 and options.format != ZARR, "Zarr format 2 is for targets that end in .zarr."),  # noqa: PLR2004  # as it says
        (options.block_bytes < 1, "A block has one byte at least."),
        (options.levels == (), "No level is chosen."),
        (any(level < 0 for level in options.levels or ()), "Levels are counted from 0, the finest."),
        (options.shard is not None and not is_zarr, "Shards are for OME-Zarr."),
        (options.shard is not None and options.zarr_format == 2, "Zarr format 2 has no shards."),  # noqa: PLR2004  # as above
        (any(count < 1 for count in options.shard or ()), "A shard has one chunk at least along each axis."),
        (options.keep_encoded and options.shard is not None, "Frames that are kept encoded go into no shards."),
        (options.keep_encoded and options.build_levels, "Levels that are built have no frames to keep encoded."),
        (options.keep_encoded and not is_zarr, "OME-TIFF keeps what it can by itself, and NIfTI no encoded frames."),
        (options.build_levels and options.format == NIFTI, "NIfTI holds one level."),
        (options.absent is not None and options.keep_encoded, "What fills absent slices is no encoded frame."),
    )
    for is_so, why in refused:
        if is_so:
            raise InvalidOptionError(why, remedy="Leave one of the options out.")


def _range(axis: str, ends: tuple[int, int] | slice) -> tuple[int, int]:
    start, stop = (ends.start or 0, ends.stop) if isinstance(ends, slice) else ends
    is_step = isinstance(ends, slice) and ends.step not in {None, 1}
    if axis not in tuple(_AXES) or is_step or stop is None or not 0 <= start < stop:
        raise InvalidOptionError(
            f"The region {axis}={start}:{stop} cannot be meant.",
            remedy="Write axis=START:STOP in pixels of level 0, as x=1000:2000; axes are t, c, z, y and x.",
        )
    return index(start), index(stop)


def _zstd_level(compression: str) -> int | None:
    found = _COMPRESSION.fullmatch(compression)
    level = int((found and found["level"]) or 3)
    if found is None or level not in _ZSTD_LEVELS:
        raise InvalidOptionError(
            "That compression is not known.", remedy="Write zstd, zstd:LEVEL with a level from 1 to 19, or none."
        )
    return None if compression == "none" else level

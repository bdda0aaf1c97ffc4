"""OME-TIFF: one image, tiled, with its pyramid; tiles that are JPEG already are copied as they are."""

from __future__ import annotations

import itertools
import json
import warnings
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import zarr

from dicomzarr.arrays.describing import rescaling_words, slopes_differ
from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.syntax import read_codestream
from dicomzarr.errors import LeftOutWarning, UsageError, VerificationError
from dicomzarr.faces.export.blocks import frames_of, has_no_frame
from dicomzarr.faces.export.encoded import coding_of
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from dicomzarr.faces.export.selection import Part
    from dicomzarr.faces.export.series import Source
    from dicomzarr.plan import ImagePlan

_TILE: Final = 512
"""Pixels a side, where frames are no tiles that TIFF allows."""

_MULTIPLE: Final = 16
"""Sides of TIFF's tiles are multiples of it (TIFF 6.0 section 15)."""

_RGB: Final = 3
_BYTE: Final = 8
_UNITS: Final = {"micrometer": "µm", "millimeter": "mm", "second": "s", "millisecond": "ms"}


def adapt(source: Source) -> Source:
    """One image; levels of JPEG tiles are kept as they are, where they may be.

    Raises:
        UsageError: Slices are absent, their slopes differ, or colours have several paths.
    """
    plan = source.only_image
    if plan.attributes.absent and source.options.absent is None:
        raise UsageError(
            f"{len(plan.attributes.absent)} slices are absent, which OME-TIFF cannot say.",
            remedy="Say what they are filled with, by absent=VALUE; or export to .zarr, where they stay absent.",
        )
    if plan.color and dict(_sizes(plan)).get("c", _RGB) != _RGB:
        raise UsageError(
            "Several colour paths do not go into one OME-TIFF.", remedy="Choose one, as the region c=0:3, or .zarr."
        )
    _check_values(plan)
    if source.options.build_levels:
        return source  # what is built is made of decoded levels
    return source.keeping(frozenset(part.path for part in source.selection.parts if _is_jpeg(source, part)))


def _check_values(plan: ImagePlan) -> None:
    """Refuse stored values that mean something else in each slice; say how others are rescaled, as OME-XML cannot."""
    if plan.levels[0].view is not None:
        return
    if slopes_differ(plan):
        raise UsageError(
            "Stored values do not go into OME-TIFF: their slopes differ from slice to slice, which it cannot say.",
            remedy='Export values="modality"; or export to .zarr, which keeps slopes.',
        )
    how = "by a table" if plan.attributes.modality_lut else rescaling_words(plan)
    if how:
        warnings.warn(
            f'The OME-TIFF holds stored values, and cannot say how they are rescaled: {how}. values="modality" exports'
            " rescaled values.",
            LeftOutWarning,
            stacklevel=2,
        )


def _sizes(plan: ImagePlan) -> Iterator[tuple[str, int]]:
    return zip((axis.name for axis in plan.axes), plan.levels[0].shape, strict=True)


def _is_jpeg(source: Source, part: Part) -> bool:
    """Whether a level is of baseline JPEG tiles that TIFF allows, judged by its first."""
    level = part.whole
    shifted = any(start % chunk for start, chunk in zip(part.taken.start, level.chunks, strict=True))
    uneven = any(side % _MULTIPLE for side in level.chunks[-2:])
    whole = tuple((0, size) for size in part.level.shape)
    if shifted or uneven or not level.holds_stored:
        return False
    if any(has_no_frame(level, chunk) for chunk in frames_of(part, whole)):
        return False
    frame = level.frames.locate(next(frames_of(part, whole)))
    if frame is None:
        return False
    encoded = run_sync(source.store.source_of(level).encoded, frame)
    try:
        stream = read_codestream(encoded.data)
        coding_of(encoded, frame.instance.pixel, part.path)
    except (ValueError, UsageError):
        return False
    return stream is not None and stream.codec is Codec.JPEG and stream.precision == _BYTE


def beside(_: Path) -> list[Path]:
    """Nothing."""
    return []


def write(source: Source, root: Path, path: Path) -> None:
    """Write all levels, and read them again.

    Raises:
        VerificationError: What is read is something else.
    """
    import tifffile  # noqa: PLC0415  # an extra

    plan, parts = source.only_image, source.selection.parts
    levels = [_Level(source, plan, part, root) for part in parts]
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        for number, level in enumerate(levels):
            first = {"subifds": len(levels) - 1, "metadata": {**_metadata(plan), "UUID": _uuid(source)}}
            tiff.write(level.tiles(), **level.layout, **(first if number == 0 else {"subfiletype": 1}))
    with tifffile.TiffFile(path) as tiff:
        for number, level in enumerate(levels):
            if level.read(tiff.series[0].levels[number]) != level.digest.digest():
                raise VerificationError(
                    f"Level {number} of the OME-TIFF is not what was written when it is read again.",
                    remedy="Look after the disk, and run the same command again.",
                )


class _Level:
    """One level as TIFF has it: its tiles, page after page."""

    def __init__(self, source: Source, plan: ImagePlan, part: Part, root: Path) -> None:
        self._keeps, self._part, self._root = part.path in source.kept, part, root
        self._color = plan.color
        self._axes = part.axes
        self.digest = blake2b(digest_size=16)
        height, width = part.level.chunks[-2:]
        fits = not (height % _MULTIPLE or width % _MULTIPLE)
        self._tile = (height, width) if fits else (_TILE, _TILE)

    @property
    def layout(self) -> dict[str, Any]:
        """As tifffile takes it."""
        level = self._part.level
        lead = [
            size for name, size in zip(self._axes, level.shape, strict=True) if name not in "cyx" or not self._color
        ]
        lead = lead if self._color else lead[:-2]
        shape = (*lead, *level.shape[-2:], *((_RGB,) if self._color else ()))
        steps = level.scale[-2:]
        return {
            "shape": shape,
            "dtype": level.dtype,
            "tile": self._tile,
            "photometric": "rgb" if self._color else "minisblack",
            "resolution": (1 / steps[1], 1 / steps[0]),
            "resolutionunit": "none",
            **({"planarconfig": "contig"} if self._color else {}),
            **(self._kept() if self._keeps else {"compression": "zlib"}),
        }

    def _kept(self) -> dict[str, Any]:
        stream = read_codestream(next(self._codestreams()))
        assert stream is not None  # noqa: S101  # `_is_jpeg` has seen it
        assert stream.scans is not None  # noqa: S101  # as above
        height, width = stream.scans.unit
        kept: dict[str, Any] = {"compression": "jpeg"}
        if self._color and _is_ycbcr(self._root, self._part):
            kept |= {"photometric": "ycbcr", "subsampling": (width // _BYTE, height // _BYTE)}
        return kept

    def tiles(self) -> Iterator[Any]:
        """Codestreams, or pixels of full tiles."""
        for tile in self._codestreams() if self._keeps else self._pixels():
            self.digest.update(tile if isinstance(tile, bytes) else np.ascontiguousarray(tile).data)
            yield tile

    def read(self, series: Any) -> bytes:
        """The digest of what is in a file."""
        digest = blake2b(digest_size=16)
        for page in series.pages:
            if self._keeps:
                for data, _ in page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts, sort=False):
                    digest.update(data)
            else:
                for tile, _, shape in page.segments():
                    full = np.zeros((*self._tile, tile.shape[-1]), tile.dtype)
                    full[: shape[1], : shape[2]] = tile[0, : shape[1], : shape[2]]
                    digest.update(full.data)
        return digest.digest()

    def _codestreams(self) -> Iterator[bytes]:
        level = self._part.level
        for index in np.ndindex(*(-(-size // chunk) for size, chunk in zip(level.shape, level.chunks, strict=True))):
            yield (self._root / self._part.path / "c" / "/".join(map(str, index))).read_bytes()

    def _pixels(self) -> Iterator[npt.NDArray[Any]]:
        """Tiles of each plane, of zeros beyond its edge."""
        array: Any = zarr.open_array(self._root, path=self._part.path, mode="r")
        rows, columns = array.shape[-2:]
        height, width = self._tile
        for index in self._planes(array.shape):
            for top, left in itertools.product(range(0, rows, height), range(0, columns, width)):
                found = np.asarray(array[(*index, slice(top, top + height), slice(left, left + width))])
                found = np.moveaxis(found, 0, -1) if self._color else found[..., None]
                full = np.zeros((height, width, found.shape[-1]), found.dtype)
                full[: found.shape[0], : found.shape[1]] = found
                yield full if self._color else full[..., 0]

    def _planes(self, shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
        """NumPy's index of each page, all samples of colour at once."""
        sides = (
            [slice(None)] if self._color and name == "c" else range(size)
            for name, size in zip(self._axes[:-2], shape, strict=False)
        )
        return itertools.product(*sides)


def _is_ycbcr(root: Path, part: Part) -> bool:
    """What the document of the kept frames says."""
    document = json.loads((root / part.path / "zarr.json").read_text(encoding="utf-8"))
    configuration = document["codecs"][-1].get("configuration", {})
    return bool(configuration.get("colorspace_jpeg") == "YCBCR")


def _uuid(source: Source) -> str:
    """The same for the same export; one of tifffile's would say when it was made, and on which machine."""
    return str(uuid5(NAMESPACE_OID, json.dumps(source.identity, sort_keys=True)))


def _metadata(plan: ImagePlan) -> dict[str, Any]:
    """What OME-XML says: sizes of pixels, and names of channels."""
    names = "".join(axis.name for axis in plan.axes).upper()
    found: dict[str, Any] = {"axes": names.replace("C", "") + "S" if plan.color else names, "Name": plan.name}
    for axis, step in zip(plan.axes, plan.levels[0].scale, strict=True):
        if axis.unit in _UNITS and axis.type != "channel":
            key = "TimeIncrement" if axis.name == "t" else f"PhysicalSize{axis.name.upper()}"
            found[key], found[f"{key}Unit"] = step, _UNITS[axis.unit]
    if not plan.color:
        found["Channel"] = {"Name": [channel.label for channel in plan.channels]}
    return found

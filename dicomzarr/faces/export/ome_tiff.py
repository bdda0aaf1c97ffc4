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
from imagecodecs import numcodecs

from dicomzarr.arrays.describing import rescaling_words, slopes_differ
from dicomzarr.dicom.pixels.codestream import Codec
from dicomzarr.dicom.pixels.syntax import read_codestream
from dicomzarr.errors import LeftOutWarning, UsageError, VerificationError
from dicomzarr.faces.export.blocks import frames_of
from dicomzarr.faces.export.encoded import check_codec, coding_of, whole_box
from dicomzarr.faces.export.tiff_looks import looks_of
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.faces.export.encoded import Coding
    from dicomzarr.faces.export.selection import Part
    from dicomzarr.faces.export.series import Source
    from dicomzarr.faces.export.tiff_looks import Looks
    from dicomzarr.plan import ImagePlan

_TILE: Final = 512
"""Pixels a side, where frames are no tiles that TIFF allows."""

_MULTIPLE: Final = 16
"""Sides of TIFF's tiles are multiples of it (TIFF 6.0 section 15)."""

_RGB: Final = 3
_BYTE: Final = 8
_LONGEST: Final = 4
"""Bytes of a whole number (PixelType of the OME data model)."""

_SUBSAMPLINGS: Final = frozenset({(1, 1), (2, 1), (2, 2), (4, 1)})
"""YCbCrSubSampling that is written and read: never more rows than columns for a chroma value (TIFF 6.0 section 21)."""
_UNITS: Final = {"micrometer": "µm", "millimeter": "mm", "second": "s", "millisecond": "ms"}


def adapt(source: Source) -> Source:
    """One image; levels of JPEG tiles are kept as they are, where they may be.

    Raises:
        UsageError: Slices are absent, their slopes differ, colours have several paths, or numbers are too long.
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
    _check_type(plan)
    _check_values(plan)
    _say_left_out(source)
    looks = looks_of(source)
    if looks.left_out:
        warnings.warn(looks.left_out, LeftOutWarning, stacklevel=2)
    if source.options.build_levels or looks.colormap is not None:
        return source  # what is built is made of decoded levels, and JPEG is no index of colours
    return source.keeping(frozenset(part.path for part in source.selection.parts if _is_jpeg(source, part)))


def _check_type(plan: ImagePlan) -> None:
    dtype = plan.levels[0].dtype
    if dtype.kind in "iu" and dtype.itemsize > _LONGEST:
        raise UsageError(
            f"Values are {dtype.name}, and whole numbers of OME-TIFF have 32 bits at most.", remedy="Export to .zarr."
        )


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


def _say_left_out(source: Source) -> None:
    """Say which levels cannot be told from such as show all of level 0."""
    taken = [part.taken for part in source.selection.parts]
    levels = range(len(source.store.plan.at(taken[0].image).levels))
    wanted = levels if source.options.levels is None else [each for each in source.options.levels if each in levels]
    for number in sorted({*wanted} - {each.number for each in taken}):
        warnings.warn(
            f"Level {number} is left out: it lacks a part of what level 0 shows, which OME-TIFF cannot say.",
            LeftOutWarning,
            stacklevel=3,
        )


def _sizes(plan: ImagePlan) -> Iterator[tuple[str, int]]:
    return zip((axis.name for axis in plan.axes), plan.levels[0].shape, strict=True)


def _is_jpeg(source: Source, part: Part) -> bool:
    """Whether a level is of baseline JPEG tiles that TIFF allows; `_Level` looks at all of them.

    It is judged by the first tile of each instance, for instances may be coded in several ways.
    """
    level = part.whole
    shifted = any(start % chunk for start, chunk in zip(part.taken.start, level.chunks, strict=True))
    uneven = any(side % _MULTIPLE for side in level.chunks[-2:])
    if shifted or uneven or not level.holds_stored:
        return False
    firsts: dict[str, FrameRef] = {}
    for chunk in frames_of(part, whole_box(part)):
        frame = level.frames.locate(chunk)
        if frame is None:
            return False
        firsts.setdefault(frame.instance.sop_instance_uid, frame)
    codings: set[Coding | None] = set()
    for frame in firsts.values():
        codings.add(_jpeg_coding(source, part, frame))
        if None in codings or len(codings) > 1:
            return False
    return True


def _jpeg_coding(source: Source, part: Part, frame: FrameRef) -> Coding | None:
    """How a frame is coded, if it is such a tile, and the codec that the array would name decodes it as we do."""
    encoded = run_sync(source.store.source_of(part.whole).encoded, frame)
    try:
        coding = coding_of(encoded, frame.instance.pixel, part.path)
        if _sampling(encoded.data, part, is_ycbcr=_is_ycbcr(dict(coding.configuration))) is None:
            return None
        check_codec(coding, encoded, frame.instance, part.path)
    except UsageError:
        return None
    return coding


def _sampling(data: bytes, part: Part, *, is_ycbcr: bool) -> tuple[int, int] | None:
    """Columns and rows that a chroma value of a JPEG tile stands for, as tags say it; None where they cannot.

    Readers go by the tags (TIFF 6.0 section 22): libtiff refuses a codestream of other sampling factors than they name.
    """
    stream = read_codestream(data)
    if stream is None or stream.codec is not Codec.JPEG or stream.precision != _BYTE:
        return None
    if stream.scans is None or stream.scans.progressive:
        return None
    first, *others = stream.scans.sampling
    known = _SUBSAMPLINGS if is_ycbcr else {(1, 1)}
    if first not in known or any(factors != (1, 1) for factors in others):
        return None
    unit = _BYTE * max(first)
    return None if any(side % unit for side in part.whole.chunks[-2:]) else first


def _is_ycbcr(configuration: Mapping[str, Any]) -> bool:
    """Whether codestreams hold colour differences, as the codec of their array says."""
    return configuration.get("colorspace_jpeg") == "YCBCR"


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
    looks = looks_of(source)
    levels = [_Level(source, looks, part, root) for part in parts]
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

    def __init__(self, source: Source, looks: Looks, part: Part, root: Path) -> None:
        self._part, self._root, self._looks = part, root, looks
        self._color = looks.photometric == "rgb"
        self._axes = part.axes
        self._codec = _kept_codec(root, part) if part.path in source.kept else None
        self._is_ycbcr = self._codec is not None and _is_ycbcr(self._codec)
        self._sampling = self._same_sampling()
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
            "photometric": self._looks.photometric,
            "colormap": self._looks.colormap,
            "resolution": (1 / steps[1], 1 / steps[0]),
            "resolutionunit": "none",
            **({"planarconfig": "contig"} if self._color else {}),
            **({"compression": "zlib"} if self._sampling is None else self._kept(self._sampling)),
        }

    def _kept(self, sampling: tuple[int, int]) -> dict[str, Any]:
        """Tags of JPEG: what is in the codestreams, and not what tifffile would write by itself."""
        if not self._color:
            return {"compression": "jpeg"}
        held = "ycbcr" if self._is_ycbcr else "rgb"
        return {
            "compression": "jpeg",
            "photometric": held,
            "compressionargs": {"outcolorspace": held},
            "subsampling": sampling,
        }

    def _same_sampling(self) -> tuple[int, int] | None:
        """That of all codestreams; None where they are to be decoded, or are none."""
        if self._codec is None:
            return None
        found = {_sampling(data, self._part, is_ycbcr=self._is_ycbcr) for data in self._codestreams()}
        return found.pop() if len(found) == 1 else None

    def tiles(self) -> Iterator[Any]:
        """Codestreams, or pixels of full tiles."""
        for tile in self._codestreams() if self._sampling else self._pixels():
            self.digest.update(tile if isinstance(tile, bytes) else np.ascontiguousarray(tile).data)
            yield tile

    def read(self, series: Any) -> bytes:
        """The digest of what is in a file."""
        digest = blake2b(digest_size=16)
        for page in series.pages:
            if self._sampling:
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
        (rows, columns), (height, width) = self._part.level.shape[-2:], self._tile
        pixels = self._cut() if self._codec is None else self._decoded(self._codec)
        for found, (_, top, left) in zip(pixels, self._corners(), strict=True):
            inside = found[: rows - top, : columns - left]
            full = np.zeros((height, width, *found.shape[2:]), found.dtype)
            full[: inside.shape[0], : inside.shape[1]] = inside
            yield full

    def _cut(self) -> Iterator[npt.NDArray[Any]]:
        """Tiles of an array of pixels."""
        array: Any = zarr.open_array(self._root, path=self._part.path, mode="r")
        height, width = self._tile
        for index, top, left in self._corners():
            found = np.asarray(array[(*index, slice(top, top + height), slice(left, left + width))])
            yield np.moveaxis(found, 0, -1) if self._color else found

    def _decoded(self, codec: Mapping[str, Any]) -> Iterator[npt.NDArray[Any]]:
        """Tiles of kept frames that no one tag describes: as a Zarr reader decodes them."""
        jpeg: Any = numcodecs.Jpeg
        yield from (np.asarray(jpeg(**codec).decode(data)) for data in self._codestreams())

    def _corners(self) -> Iterator[tuple[tuple[Any, ...], int, int]]:
        """Index of the plane, first row and first column of each tile."""
        shape, (height, width) = self._part.level.shape, self._tile
        return itertools.product(self._planes(shape), range(0, shape[-2], height), range(0, shape[-1], width))

    def _planes(self, shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
        """NumPy's index of each page, all samples of colour at once."""
        sides = (
            [slice(None)] if self._color and name == "c" else range(size)
            for name, size in zip(self._axes[:-2], shape, strict=False)
        )
        return itertools.product(*sides)


def _kept_codec(root: Path, part: Part) -> dict[str, Any]:
    """How the document of kept frames configures their codec."""
    document = json.loads((root / part.path / "zarr.json").read_text(encoding="utf-8"))
    configuration: dict[str, Any] = document["codecs"][-1].get("configuration", {})
    return configuration


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

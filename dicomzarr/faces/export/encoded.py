"""Frames copied as they came, not decoded: which codecs of Zarr say how they are coded, and when none does."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from imagecodecs import numcodecs

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.rle import is_rle
from dicomzarr.dicom.pixels.codestream import Codec, Colour
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES, read_codestream
from dicomzarr.errors import LeftOutWarning, UsageError
from dicomzarr.faces.export.blocks import blocks_of, frames_of, has_absent
from dicomzarr.faces.export.chunks import checksum, digest
from dicomzarr.faces.export.documents import array_documents, array_documents_v2
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.dicom.pixels.codestream import Codestream
    from dicomzarr.dicom.pixels.pixels import PixelDescription
    from dicomzarr.engine.source import FrameSource
    from dicomzarr.faces.export.blocks import Block, Box
    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.faces.export.selection import Part
    from dicomzarr.faces.export.work import Gate
    from dicomzarr.faces.export.zarr_target import ZarrTarget
    from dicomzarr.omezarr.hierarchy import Documents
    from dicomzarr.omezarr.series_store import SeriesStore

_REMEDY: Final = "Export it decoded, as dicomzarr export does by default to .zarr."
_BYTE: Final = 8
_JPEG: Final = "imagecodecs_jpeg"
_DECODERS: Final = {
    _JPEG: "Jpeg",
    "imagecodecs_jpegls": "Jpegls",
    "imagecodecs_jpeg2k": "Jpeg2k",
    "imagecodecs_dicomrle": "Dicomrle",
}
"""What decodes them for Zarr."""

_CODECS: Final = {
    Codec.JPEG: _JPEG,
    Codec.JPEG_LOSSLESS: _JPEG,
    Codec.JPEG_LS: "imagecodecs_jpegls",
    Codec.JPEG_2000: "imagecodecs_jpeg2k",
    Codec.HTJ2K: "imagecodecs_jpeg2k",  # OpenJPEG decodes both; OpenJPH wraps what overshoots
}


@dataclass(frozen=True, slots=True)
class Coding:
    """How the frames of an array are coded: the same for all."""

    name: str
    """Of imagecodecs' codec; ``bytes`` where they are not compressed."""
    configuration: tuple[tuple[str, Any], ...] = ()
    interleaved: bool = False
    """Samples lie side by side: the codec gives (rows, columns, samples)."""

    @property
    def plain(self) -> bool:
        """All bits of a cell are coded, those too that are no part of a value."""
        return self.name in {"bytes", "imagecodecs_dicomrle"}

    def codecs(self, ndim: int, channel: int | None) -> list[dict[str, Any]]:
        """As a Zarr v3 array has them.

        Args:
            ndim: Number of axes.
            channel: The axis of channels; None where there is none.
        """
        last: dict[str, Any] = {"name": self.name}
        if self.configuration:
            last["configuration"] = dict(self.configuration)
        if not self.interleaved or channel is None:
            return [last]
        order = [*(axis for axis in range(ndim) if axis != channel), channel]
        return [{"name": "transpose", "configuration": {"order": order}}, last]


class EncodedCopy:
    """Copies blocks of encoded frames, and reads them again.

    Args:
        target: Where they go.
        options: What is exported.
        store: The series.
    """

    def __init__(self, target: ZarrTarget, options: ExportOptions, store: SeriesStore) -> None:
        self._target = target
        self._options = options
        self._store = store
        self._codings: dict[str, Coding] = {}

    def examine(self, part: Part) -> None:
        """Find out how the frames of an array are coded; nothing is written.

        Raises:
            UsageError: No codec of Zarr says so.
        """
        check_part(part)
        first = next(self._present(part, whole_box(part)), None)
        coding = Coding("bytes")
        if first is not None:
            pixel = first[1].instance.pixel
            frame = run_sync(self._source(part).encoded, first[1])
            coding = coding_of(frame, pixel, part.path)
            check_codec(coding, frame, first[1].instance, part.path)
        self._codings[part.path] = coding
        coded_documents(part, coding, self._options.zarr_format)
        if self._options.zarr_format == 2 and has_absent(part):  # noqa: PLR2004  # of Zarr
            warnings.warn(
                f"Array {part.path}: absent chunks have no frame to keep, and read as the fill value "
                f"{part.level.fill_value:g}. Of Zarr format 2 xarray takes all pixels of that value for missing ones: "
                "Zarr format 3, or an export without keeping frames encoded, has none of it.",
                LeftOutWarning,
                stacklevel=2,
            )

    def prepare(self, part: Part) -> Documents:
        """Write the documents of an array that was examined."""
        documents = coded_documents(part, self._codings[part.path], self._options.zarr_format)
        self._target.put({f"{part.path}/{name}": document for name, document in documents.items()})
        return documents

    def blocks(self, part: Part) -> Iterator[Block]:
        """The blocks of an array."""
        return blocks_of(part, part.level.chunks, self._options.block_bytes)

    def copy(self, block: Block, gate: Gate) -> str:
        """Copy the frames of a block; gives their digest.

        Raises:
            DicomZarrError: One cannot be had, is coded in another way than the others, or cannot be written.
        """
        part = block.part
        places = list(self._present(part, block.box))
        frames = run_sync(_fetch, self._source(part), [frame for _, frame in places])
        data = {}
        for (key, ref), frame in zip(places, frames, strict=True):
            check_frame(frame, ref, part, self._codings[part.path])
            data[key] = frame.data
        with gate:
            self._target.put(data)
        return digest({key: checksum(each) for key, each in data.items()})

    def check(self, block: Block, _: Gate) -> str:
        """The digest of a block as it is at the target."""
        found = self._target.get(key for key, _ref in self._present(block.part, block.box))
        return digest({key: checksum(each) for key, each in found.items()})

    def _present(self, part: Part, box: Box) -> Iterator[tuple[str, FrameRef]]:
        return present(part, box, self._options.zarr_format)

    def _source(self, part: Part) -> FrameSource:
        return self._store.source_of(part.whole)


async def _fetch(source: FrameSource, frames: list[FrameRef]) -> list[EncodedFrame]:
    tasks = [asyncio.ensure_future(source.encoded(frame)) for frame in frames]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def coded_documents(part: Part, coding: Coding, zarr_format: int) -> Documents:
    """The documents of an array of encoded frames.

    Raises:
        UsageError: Zarr format 2 has no words for the coding.
    """
    level = part.level
    channel = part.axes.index("c") if "c" in part.axes else None
    codecs = coding.codecs(len(level.shape), channel)
    if zarr_format == 3:  # noqa: PLR2004  # of Zarr
        if coding.name == "bytes" and level.dtype.itemsize == 1:
            codecs[-1].pop("configuration", None)
        return array_documents(part, codecs, None, level.fill_value)
    if len(codecs) > 1 or ("endian", "big") in coding.configuration:
        raise UsageError(
            f"Array {part.path}: Zarr format 2 cannot say that samples are interleaved, or bytes big-endian.",
            remedy="Use Zarr format 3, or export without keeping frames encoded.",
        )
    compressor = None if coding.name == "bytes" else {"id": coding.name, **dict(coding.configuration)}
    return array_documents_v2(part, compressor, level.fill_value if has_absent(part) else None)


def present(part: Part, box: Box, zarr_format: int) -> Iterator[tuple[str, FrameRef]]:
    """Key and frame of each chunk in a box that has one.

    Raises:
        UsageError: One has none, and the fill value does not say what it looks like.
        MissingInstanceError: One is in an instance that the series lacks.
    """
    first = [start // chunk for start, chunk in zip(part.taken.start, part.whole.chunks, strict=True)]
    for chunk in frames_of(part, box):
        frame = part.whole.frames.locate(chunk)
        if frame is not None:
            own = "/".join(str(number - start) for number, start in zip(chunk, first, strict=True))
            prefix = "c/" if zarr_format == 3 else ""  # noqa: PLR2004  # of Zarr
            yield f"{part.path}/{prefix}{own}", frame
        elif not part.whole.absent_is_fill:
            raise UsageError(f"Array {part.path}: absent tiles have a colour that no fill value says.", remedy=_REMEDY)


def whole_box(part: Part) -> Box:
    """All of an array."""
    return tuple((0, size) for size in part.level.shape)


def check_part(part: Part) -> None:
    """Refuse an array whose chunks are not the frames as they are stored.

    Raises:
        UsageError: It is one.
    """
    level = part.whole
    shifted = any(start % chunk for start, chunk in zip(part.taken.start, level.chunks, strict=True))
    reasons = (
        (not level.holds_stored, "its values are not those that are stored, but made of them"),
        (shifted, f"the region begins within a frame; frames are of {level.chunks}"),
    )
    for is_so, why in reasons:
        if is_so:
            raise UsageError(f"Frames of array {part.path} cannot be kept encoded: {why}.", remedy=_REMEDY)


def coding_of(frame: EncodedFrame, pixel: PixelDescription, path: str) -> Coding:
    """How a frame is coded, in Zarr's words.

    Raises:
        UsageError: Zarr has no words for it.
    """
    label = TRANSFER_SYNTAXES.get(frame.transfer_syntax_uid or "")
    try:
        stream = read_codestream(frame.data)
    except ValueError as error:
        raise _refused(path, f"a codestream is broken: {error}") from error
    if stream is None:
        return _unmarked(frame, pixel, label.codec if label else None, path, big=bool(label and label.big_endian))
    why = next((text for is_so, text in _obstacles(stream, pixel) if is_so), None)
    if why is not None:
        raise _refused(path, why)
    name = _CODECS[stream.codec]
    if name != _JPEG or pixel.samples == 1:
        return Coding(name, interleaved=pixel.samples > 1)
    is_ybr = _holds_ybr(stream, pixel)
    colours = (("colorspace_jpeg", "YCBCR" if is_ybr else "RGB"), ("colorspace_data", "RGB"))
    return Coding(_JPEG, colours, interleaved=True)


def check_frame(frame: EncodedFrame, ref: FrameRef, part: Part, coding: Coding) -> None:
    """Refuse a frame that the documents of its array are not true of.

    Raises:
        UsageError: It is coded in another way than the others, or of another type or size, or decodes to other values.
    """
    pixel = ref.instance.pixel
    found = coding_of(frame, pixel, part.path)
    if pixel.dtype != part.whole.dtype or pixel.shape[1:] != part.whole.chunks[-2:]:
        raise _refused(part.path, "frames are of several types or sizes")
    if found != coding:
        raise UsageError(
            f"Array {part.path}: frame {ref.number} of instance {ref.instance.sop_instance_uid} is coded as "
            f"{found.name}, others as {coding.name}; or its colours are others.",
            remedy=_REMEDY,
        )
    if found.plain and pixel.bits_stored < pixel.bits_allocated:
        check_codec(found, frame, ref.instance, part.path)  # other bits may hold something else


def _holds_ybr(stream: Codestream, pixel: PixelDescription) -> bool:
    says_ybr = pixel.photometric_interpretation.startswith("YBR_FULL")
    return pixel.samples > 1 and (says_ybr if stream.colour is None else stream.colour is Colour.YBR)


def _obstacles(stream: Codestream, pixel: PixelDescription) -> Iterator[tuple[bool, str]]:
    """Why a codestream may not be decoded to the values of the array by whoever knows its codec alone."""
    found = (stream.samples, stream.rows, stream.columns)
    yield stream.codec not in _CODECS, f"{stream.codec.value} has no codec of Zarr that is known to decode it exactly"
    yield (
        not stream.complete or found != pixel.shape,
        "a codestream is cut off, or of another size than the metadata say",
    )
    yield bool(stream.start), "codestreams lie in boxes of a file format"
    yield stream.precision > pixel.bits_stored, f"{stream.precision} bits are coded, of which {pixel.bits_stored} count"
    yield (
        pixel.signed and not stream.signed and stream.precision != pixel.bits_allocated,
        f"signed values of {stream.precision} bits need their sign extended",
    )
    yield (
        stream.codec is not Codec.JPEG and _holds_ybr(stream, pixel),
        "they hold colour differences, which the codec does not turn into RGB",
    )


def _unmarked(frame: EncodedFrame, pixel: PixelDescription, codec: Codec | None, path: str, *, big: bool) -> Coding:
    """Of frames that begin with no magic number."""
    if pixel.bits_allocated < _BYTE:
        raise _refused(path, "frames are packed, several pixels a byte")
    if pixel.samples > 1 and pixel.photometric_interpretation != "RGB":
        raise _refused(path, f"they hold {pixel.photometric_interpretation}, which no codec turns into RGB")
    if codec is Codec.RLE and is_rle(frame.data):
        return Coding("imagecodecs_dicomrle", (("dtype", pixel.dtype.str),))
    native = pixel.nbytes
    if codec not in {None, Codec.NATIVE} or len(frame.data) not in {native, native + native % 2}:
        raise _refused(path, f"they are {codec.value if codec else 'of no kind that is known'}")
    if len(frame.data) != native:
        raise _refused(path, "frames are padded to an even number of bytes")
    endian = (("endian", "big" if big else "little"),)
    return Coding("bytes", endian, interleaved=pixel.samples > 1 and not pixel.planar_configuration)


def check_codec(coding: Coding, frame: EncodedFrame, instance: Instance, path: str) -> None:
    """Decode a frame as a Zarr reader will, and as the array shows it.

    Raises:
        UsageError: The two differ.
        FrameError: The frame is broken.
    """
    ours = decode_frame(
        frame.data,
        instance.pixel,
        transfer_syntax_uid=frame.transfer_syntax_uid,
        media_type=frame.media_type,
        where=f"array {path}",
        stored=frame.header is not None or instance.is_sent_as_stored(frame.transfer_syntax_uid),
    )
    check_values(coding, frame, instance.pixel, ours, path)


def check_values(
    coding: Coding, frame: EncodedFrame, pixel: PixelDescription, ours: np.ndarray[Any, Any], path: str
) -> None:
    """Decode a frame as a Zarr reader will, and compare it with values of any shape.

    Raises:
        UsageError: The two differ.
    """
    theirs = _decoded(coding, bytes(frame.data), pixel)
    if coding.interleaved and theirs.size == ours.size:
        theirs = np.moveaxis(theirs.reshape(pixel.rows, pixel.columns, pixel.samples), -1, 0)
    if theirs.size != ours.size or not np.array_equal(theirs.reshape(ours.shape).astype(ours.dtype), ours):
        raise _refused(path, f"{coding.name} decodes them to other values")


def _decoded(coding: Coding, data: bytes, pixel: PixelDescription) -> np.ndarray[Any, Any]:
    settings = dict(coding.configuration)
    if coding.name == "bytes":
        return np.frombuffer(data, pixel.dtype.newbyteorder(">" if settings["endian"] == "big" else "<"))
    codec = getattr(numcodecs, _DECODERS[coding.name])(**settings)
    found = codec.decode(data)
    return np.frombuffer(found, pixel.dtype) if isinstance(found, bytes) else np.asarray(found)


def _refused(path: str, why: str) -> UsageError:
    return UsageError(f"Frames of array {path} cannot be kept encoded: {why}.", remedy=_REMEDY)

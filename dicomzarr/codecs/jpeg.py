"""JPEG and JPEG Lossless by libjpeg-turbo, which decodes damaged data in silence, and how damage is found.

Once its data end, libjpeg-turbo makes up the unit that it is in, and fills every later one with the middle of the
range. So it is made to decode units beyond the last, where that changes none above. Of a whole frame the first of these
is made up and all others are filled. If the first is filled too, data are missing; if others are not, some are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import imagecodecs
import numpy as np
import numpy.typing as npt

from dicomzarr.codecs.jpeg_scaling import decode_at
from dicomzarr.codecs.planes import WORD
from dicomzarr.codecs.scratch import Scratch
from dicomzarr.dicom.pixels.jpeg_scans import OTHER_SURPLUS, SURPLUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dicomzarr.dicom.pixels.codestream import Codestream
    from dicomzarr.dicom.pixels.jpeg_scans import JpegScans

_Row: TypeAlias = npt.NDArray[np.int64]

_BYTE: Final = 8
_BLURRED: Final = 4  # columns beside a unit that are interpolated with it, where chroma is coarser
_ERASED: Final = bytes(32)  # codes of real images do not make so many zeros, and what erases data erases more
# From the samples to the left, above, and above to the left (T.81 table H.1).
_PREDICTORS: Final[Mapping[int, Callable[[_Row, _Row, _Row], _Row]]] = {
    1: lambda a, b, c: a,  # noqa: ARG005  # the table has three columns
    2: lambda a, b, c: b,  # noqa: ARG005  # as above
    3: lambda a, b, c: c,  # noqa: ARG005  # as above
    4: lambda a, b, c: a + b - c,
    5: lambda a, b, c: a + ((b - c) >> 1),
    6: lambda a, b, c: b + ((a - c) >> 1),
    7: lambda a, b, c: (a + b) >> 1,  # noqa: ARG005  # as above
}
_HALVING: Final = (5, 6, 7)
_beside: Final = Scratch()
"""For what is decoded to check what was decoded before, which lies elsewhere."""

_SHORT: Final = "data are missing: units at the end of a scan, or before a restart marker, are made up"
_SURPLUS: Final = "there are more data than units: it is damaged, or pieces of another were put into it"


def decode_jpeg(
    data: bytes, codestream: Codestream, *, is_ybr: bool, scratch: Scratch | None, scale: int = 1
) -> npt.NDArray[Any]:
    """Decodes a JPEG or JPEG Lossless codestream, colour to RGB.

    Args:
        data: The codestream; of a single scan, which shows by itself whether it is whole, its end marker may lack.
        codestream: Its markers.
        is_ybr: Its components are YCbCr, which is to be converted.
        scratch: Memory that the result may lie in.
        scale: Decode at 1/2 or 1/4 of the size, where that `scales`.

    Returns:
        Pixels of the shape (rows, columns[, samples]).

    Raises:
        ValueError: Data are missing, or there are too many of them; says so.
        RuntimeError: The codec gives up.
    """
    scans = codestream.scans
    assert scans is not None  # noqa: S101  # of these codecs there always are
    data = data if codestream.complete else scans.closed(data)
    scans.check(data)
    decoder = _decoder(codestream, is_ybr, scale)
    if not codestream.complete:
        pixels = decoder.decode(data, scratch)
        for surplus in (SURPLUS, OTHER_SURPLUS):
            decoder.check_not_short(data, pixels, surplus)
        return pixels
    if scans.is_one_scan and scans.has_rows_apart:
        return decoder.with_rows_beyond(data, scratch)
    pixels = decoder.decode(data, scratch)
    if not scans.is_one_scan or decoder.ends_filled(pixels):
        decoder.check_not_short(data, pixels)
    if scans.is_one_scan and scans.can_be_taller and _ERASED in data:
        decoder.check_no_surplus(data)
    return pixels


def scales(codestream: Codestream) -> bool:
    """Whether a JPEG can be decoded at a fraction of its size, and damage be found there just as well."""
    scans = codestream.scans
    if scans is None or scans.predictor or codestream.precision != _BYTE:
        return False
    height, width = scans.unit
    of_whole_units = scans.rows % height == scans.columns % width == 0
    return of_whole_units and scans.is_one_scan and scans.has_rows_apart


class _Beyond(Enum):
    """What a decoder finds where nothing is coded any more."""

    MADE_UP = auto()
    """One unit that it made up, and else nothing but what it fills in: as many data as there should be."""
    FILL = auto()
    """Nothing but what it fills in: data are missing, or the unit looks like it."""
    DATA = auto()
    """More: data are left over."""


@dataclass(frozen=True, eq=False)
class _Decoder:
    """Decodes codestreams that differ from one another only in what is done to check them; one for all of a kind."""

    codestream: Codestream
    scans: JpegScans
    is_ybr: bool
    scale: int = 1
    """Of pixels, units and rows, as many are one in what is decoded."""

    @cached_property
    def fill(self) -> int:
        """What libjpeg-turbo fills in: the middle of the range."""
        return 1 << (self.codestream.precision - 1)

    @cached_property
    def _filled(self) -> bytes:
        """A pixel that is filled in..."""
        dtype = np.uint8 if self.codestream.precision <= _BYTE else np.uint16
        return np.full(self.codestream.samples, self.fill, dtype).tobytes()

    @cached_property
    def _filled_word(self) -> bytes:
        """... and in a word of its own: opaque."""
        return self._filled + b"\xff"

    def decode(self, data: bytes, scratch: Scratch | None = None) -> npt.NDArray[Any]:
        """Decode, with both colour models named, since by itself the codec guesses.

        Args:
            data: The frame.
            scratch: Where the pixels go; they are then valid until it is used again.

        Returns:
            (rows, columns), or (rows, columns, samples) of several, ``uint8``, or ``uint16`` of more than eight bits.

        Raises:
            imagecodecs.Jpeg8Error: The codec refuses it.
        """
        return self._without_fourth(self._decode_to_memory(data, scratch))

    def _without_fourth(self, memory: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return memory[..., : self.codestream.samples] if memory.ndim > 2 else memory  # noqa: PLR2004  # with samples

    def _decode_to_memory(self, data: bytes, scratch: Scratch | None, rows_beyond: int = 0) -> npt.NDArray[Any]:
        """As `decode`; a pixel may have a fourth sample, see `planes.WORD`, and there may be memory for more rows."""
        if self.scale > 1:
            return decode_at(self.scale, data, is_ybr=self.is_ybr)
        in_words = scratch is not None and scratch.for_planes and self._fits_words
        coded, pixels_as = self._colour_models
        pixels: npt.NDArray[Any] = imagecodecs.jpeg8_decode(
            data,
            colorspace=coded,
            outcolorspace="RGBA" if in_words else pixels_as,
            out=None if scratch is None else self._memory(scratch, rows_beyond, in_words=in_words),
        )
        return pixels

    @cached_property
    def _colour_models(self) -> tuple[str, str]:
        """In which components are coded, and in which they are given."""
        if self.codestream.samples == 1:
            return "GRAYSCALE", "GRAYSCALE"
        return "YCBCR" if self.is_ybr else "RGB", "RGB"

    @cached_property
    def _fits_words(self) -> bool:
        """Whether libjpeg-turbo gives each pixel in four bytes, if asked: three samples and an opaque fourth."""
        of_bytes = self.codestream.precision == _BYTE and not self.scans.predictor
        return of_bytes and self.codestream.samples == WORD - 1

    def _memory(self, scratch: Scratch, rows_beyond: int, *, in_words: bool) -> npt.NDArray[Any]:
        each = WORD if in_words else self.codestream.samples
        shape = (self.codestream.rows + rows_beyond, self.codestream.columns, *((each,) if each > 1 else ()))
        return scratch.array(shape, np.uint8 if self.codestream.precision <= _BYTE else np.uint16)

    def with_rows_beyond(self, data: bytes, scratch: Scratch | None) -> npt.NDArray[Any]:
        """As `decode`; it decodes more rows than there are, and looks what they hold.

        Raises:
            FrameDecodeError: The data end early, or some are left over.
        """
        taller = self._taller(data, scratch)
        pixels = self._without_fourth(taller[: self.codestream.rows // self.scale])
        beyond = self._beyond(taller)
        if beyond is _Beyond.DATA:
            self._check_padding(data)
        if beyond is _Beyond.FILL or (self.scans.restart_interval and self.ends_filled(pixels)):
            self.check_not_short(data, pixels)
        return pixels

    def check_no_surplus(self, data: bytes) -> None:
        """Raises when entropy-coded data are left over."""
        if self._beyond(self._taller(data, _beside)) is _Beyond.DATA:
            self._check_padding(data)

    def _taller(self, data: bytes, scratch: Scratch | None) -> npt.NDArray[Any]:
        more = self.scans.rows_when_taller - self.codestream.rows
        return self._decode_to_memory(self.scans.taller(data), scratch, more)

    def _check_padding(self, data: bytes) -> None:
        """Raises unless what is left over are zeros, with which some writers pad."""
        trimmed = self.scans.without_padding(data)
        if trimmed == data or self._beyond(self._taller(trimmed, _beside)) is _Beyond.DATA:
            raise ValueError(_SURPLUS)

    def _beyond(self, taller: npt.NDArray[Any]) -> _Beyond:
        """What the rows hold that are beyond the last.

        The lowest row of pixels of a unit tells of all. Of the lossless process, a row of samples is such a unit.
        """
        scans = self.scans
        height, width = (size // self.scale or 1 for size in scans.unit)
        columns = scans.columns // self.scale
        first = columns if scans.predictor or width >= columns else width + _BLURRED // self.scale
        # Bytes, since arrays of more than 500 values are compared without the interpreter's lock, and getting that
        # back takes longer.
        found = taller[scans.padded_rows // self.scale + height - 1 :: height].tobytes()
        pixel = self._filled if taller.strides[1] == len(self._filled) else self._filled_word
        filled, end = pixel * (len(found) // len(pixel)), first * len(pixel)
        if found[end:] != filled[end:] or (scans.predictor and self._has_surplus_in_row(taller)):
            return _Beyond.DATA
        return _Beyond.FILL if found[:end] == filled[:end] else _Beyond.MADE_UP

    def _has_surplus_in_row(self, taller: npt.NDArray[Any]) -> bool:
        """Whether differences in the first row beyond vary.

        Those that are made up of zero bits do not: the ones that fill the last byte are all in the first code, as no
        code consists of ones (T.81 section C.2).
        """
        scans = self.scans
        cut = taller.itemsize == 1 and scans.predictor in _HALVING  # then what was predicted from is not known
        if cut or scans.restart_interval or scans.rows == 1:
            return False
        above, row = taller[scans.rows - 1 : scans.rows + 1].astype(np.int64) >> scans.point_transform
        predicted = _PREDICTORS[scans.predictor](row[:-1], above[1:], above[:-1])
        made_up = (row[1:] - predicted) & ((256 << _BYTE * (taller.itemsize - 1)) - 1)
        return bool((made_up != made_up[-1:]).any())

    def ends_filled(self, pixels: npt.NDArray[Any]) -> bool:
        """Whether the last unit, or that before a restart marker, may have been filled in."""
        filled = [self.fill] * self.codestream.samples
        if not self.scans.restart_interval:
            row, column = self.scans.end
            last: Any = pixels[row // self.scale, column // self.scale].tolist()
            return last in (filled, self.fill)
        rows, columns = (places // self.scale for places in self.scans.ends())
        return filled in pixels[rows, columns].reshape(-1, self.codestream.samples).tolist()

    def check_not_short(self, data: bytes, pixels: npt.NDArray[Any], surplus: bytes = SURPLUS) -> None:
        """Raises when pixels change with what is behind the data that they should be made of."""
        if not np.array_equal(self.decode(self.scans.with_surplus(data, surplus), _beside), pixels):
            raise ValueError(_SHORT)


@lru_cache(maxsize=64)
def _decoder(codestream: Codestream, is_ybr: bool, scale: int) -> _Decoder:  # noqa: FBT001  # as its fields
    assert codestream.scans is not None  # noqa: S101  # of these codecs there always are
    return _Decoder(codestream, codestream.scans, is_ybr, scale)

"""Readers of frames: each frame fetched, decoded in a thread together with its neighbours, and used there."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.reduced import averaged, decode_reduced, picked
from dicomzarr.codecs.scratch import Scratch
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES
from dicomzarr.engine.contradictions import decoded_lengths, doubt_decoded, refuse_other_byte_order
from dicomzarr.engine.decode_jobs import DecodeJobs
from dicomzarr.errors import FrameError, FrameShapeError, LossyFrameWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import FrameRef, Instance
    from dicomzarr.engine.pending import PendingFrame
    from dicomzarr.engine.scheduler import Scheduler
    from dicomzarr.engine.series_state import FrameKey, SeriesState
    from dicomzarr.plan import LevelPlan

    Decoded: TypeAlias = npt.NDArray[np.generic]

_scratch = {planes: Scratch(for_planes=planes) for planes in (False, True)}

_MOST_MANNERS = 64
"""Of a reader that lives long; they are soon made."""


class _Manner(NamedTuple):
    """How frames of one instance become chunks of one level: the same for all of them."""

    decode: Callable[..., Decoded]
    """`decode_frame`, or `decode_reduced`, but for what differs from frame to frame."""
    reduce: Callable[[Decoded], Decoded] | None
    """Makes a chunk of the values that the level holds of a whole frame; None where it is none, or made already."""
    is_lossless: bool
    """The metadata say that nothing was ever lost."""
    is_stored: bool
    """The metadata name the transfer syntax that they are stored in, an uncompressed one."""
    decoded_lengths: frozenset[int]
    """Of frames that somebody may have decoded on the way."""
    where: str
    """Study, series and instance, for messages."""
    shape: tuple[int, int, int]
    """That the level has: (samples, rows, columns) of a chunk."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How reading a frame failed."""

    error: BaseException
    undecodable: bool = False
    """The bytes are no such frame: others may be had."""


class Reading(Protocol):
    """Has frames read, each at a position that it counts them by."""

    @property
    def planes(self) -> bool:
        """It takes planes out of colour frames, see `codecs.planes`; else pixels, their samples side by side."""

    def use(self, position: int, pixels: Decoded) -> object:
        """Called in a decode thread with a frame as the array holds it, which is valid until this returns."""

    def done(self, position: int, outcome: object) -> None:
        """Told on the home loop what `use` returned, or a `Failure`."""


@dataclass(slots=True, eq=False)
class Asked:
    """A frame that somebody reads; waits for it, see `ports.FrameWaiter`."""

    reader: Reader
    frame: FrameRef
    key: FrameKey
    """Names the frame."""
    level: LevelPlan
    """The array that it is a chunk of."""
    reading: Reading
    """Uses it."""
    position: int
    pending: PendingFrame | None = None
    fetched: bool = False
    """It has been fetched just now, so that fetching it anew would not help."""
    undecodable: Failure | None = None
    """How it failed, as it came, before it was wanted in another way."""
    given_up: bool = False

    def arrived(self, _: FrameKey, frame: EncodedFrame) -> None:
        """The frame has come: just now, or from where it was held."""
        self.fetched = self.pending is not None and self.pending.fetched
        self.pending = None
        if not self.given_up:
            self.reader.decode(self, frame)

    def failed(self, _: FrameKey, error: BaseException) -> None:
        """It cannot be had."""
        self.pending = None
        if not self.given_up:
            self.reading.done(self.position, self.undecodable or Failure(error))

    def give_up(self) -> None:
        """Nobody needs it any more; `Reading.done` will not be called."""
        self.given_up = True
        if self.pending is not None:
            self.reader.scheduler.drop(self.pending, self)
            self.pending = None


class Reader:
    """Reads frames of one opened series; lives on the home loop.

    Args:
        scheduler: Has the frames fetched; readers take turns there.
        series: Whose frames.
    """

    def __init__(self, scheduler: Scheduler, series: SeriesState) -> None:
        self.scheduler = scheduler
        self.series = series
        self._jobs = DecodeJobs(self)
        self._manners: dict[tuple[Instance, LevelPlan, bool], _Manner] = {}

    def ask(self, frame: FrameRef, level: LevelPlan, reading: Reading, position: int = 0) -> Asked:
        """Read a frame; see `Asked`.

        Raises:
            MissingInstanceError: It was planned from another opening.
        """
        asked = Asked(self, frame, self.series.key(frame), level, reading, position)
        held = self.scheduler.held(asked.key)
        if held is None:
            asked.pending = self.scheduler.want(asked.key, asked, self)
        else:
            asked.arrived(asked.key, held)
        return asked

    def decode(self, asked: Asked, encoded: EncodedFrame) -> None:
        """Have a frame decoded that has come."""
        if asked.fetched:
            self.scheduler.decoding(len(encoded.data))
        self._jobs.add(asked, encoded)

    def decoded(self, asked: Asked, encoded: EncodedFrame) -> object:
        """See `decode_jobs.Decoder`."""
        try:
            pixels = self._pixels(asked, encoded)
        except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it
            return Failure(error, undecodable=isinstance(error, FrameError))
        try:
            return asked.reading.use(asked.position, pixels)
        except BaseException as error:  # noqa: BLE001  # as above
            return Failure(error)

    def _pixels(self, asked: Asked, encoded: EncodedFrame) -> Decoded:
        level, (instance, number) = asked.level, asked.frame
        kind = (instance, level, asked.reading.planes)
        manner = self._manners.get(kind) or self._manner(*kind)
        where = f"{manner.where}, frame {number}"
        refuse_other_byte_order(encoded, instance, where)
        if len(encoded.data) in manner.decoded_lengths:
            doubt_decoded(encoded, instance, where)
        pixels = manner.decode(
            encoded.data,
            instance.pixel,
            transfer_syntax_uid=encoded.transfer_syntax_uid,
            media_type=encoded.media_type,
            where=where,
            on_loss=self._warn_of_loss if manner.is_lossless else None,
            stored=manner.is_stored
            or encoded.header is not None
            or asked.frame.instance.is_sent_as_stored(encoded.transfer_syntax_uid),
        )
        if level.view is not None:
            pixels = level.view(asked.frame, pixels)
        if manner.reduce is not None:
            pixels = manner.reduce(pixels)
        # For every reader: NumPy would stretch, wrap or convert what is not of the level, and zarr take it as it is.
        if pixels.shape != manner.shape or pixels.dtype != level.dtype:
            raise FrameShapeError(
                f"{where}: {pixels.dtype} of shape {pixels.shape} (samples, rows, columns), "
                f"in a level of {level.dtype} in chunks of {manner.shape}.",
                remedy="Frames of one level must have one shape and type.",
            )
        return pixels

    def _manner(self, instance: Instance, level: LevelPlan, planes: bool) -> _Manner:  # noqa: FBT001  # as they name one
        """Make one, in a decode thread."""
        reduction, decode = level.reduction, decode_frame
        reduce: Callable[[Decoded], Decoded] | None = None
        if reduction is not None and reduction.averaged and level.view is None:
            decode = partial(decode_reduced, factor=reduction.factor)
        elif reduction is not None:  # the mean is that of what the level holds: of colours, and not of their indices
            reduce = partial(averaged if reduction.averaged else picked, factor=reduction.factor)
        *lead, rows, columns = level.chunks
        manner = _Manner(
            partial(
                decode,
                scratch=_scratch[planes],
                limits=self.series.limits,
            ),
            reduce,
            _is_lossless(instance),
            instance.is_sent_as_stored(None),
            decoded_lengths(instance),
            f"study {self.series.study}, series {self.series.series}, instance {instance.sop_instance_uid}",
            (math.prod(lead), rows, columns),
        )
        if len(self._manners) >= _MOST_MANNERS:
            self._manners = {}
        self._manners[instance, level, planes] = manner
        return manner

    def _warn_of_loss(self) -> None:
        if self.series.tells("loss"):
            warnings.warn(
                f"The metadata of series {self.series.series}, study {self.series.study}, say that nothing was lost,"
                " and the server sends lossily compressed frames. Their values are not those that were stored.",
                LossyFrameWarning,
                stacklevel=1,
            )

    def finish(self, outcomes: Sequence[tuple[Asked, object]], nbytes: int) -> None:
        """See `decode_jobs.Decoder`."""
        self.scheduler.decoded(nbytes)
        for asked, outcome in outcomes:
            tries_again = isinstance(outcome, Failure) and self._tries_again(asked, outcome)
            if not (tries_again or asked.given_up):
                asked.reading.done(asked.position, outcome)

    def _tries_again(self, asked: Asked, failure: Failure) -> bool:
        """Have a frame that does not decode brought in another way, if there is one left."""
        if not (failure.undecodable and isinstance(failure.error, FrameError)):
            return False
        self.scheduler.discard(asked.key)
        if asked.given_up:
            return False
        if not asked.fetched:
            # Whoever fetched it may have given up before it was decoded: it is fetched anew.
            asked.pending = self.scheduler.want(asked.key, asked, self, fresh=True)
        elif asked.undecodable is None and self.scheduler.retries(asked.key, failure.error):
            asked.undecodable = failure
            asked.pending = self.scheduler.want(asked.key, asked, self, suspect=True)
        else:
            return False
        return True


def _is_lossless(instance: Instance) -> bool:
    """Whether the metadata say that what is stored is coded without loss, and never lost anything."""
    stored = TRANSFER_SYNTAXES.get(instance.available_transfer_syntax_uid or "")
    return stored is not None and not stored.lossy and not instance.pixel.lossy

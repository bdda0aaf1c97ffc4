"""What the engine needs of wherever frames come from, and what it holds them by. Types alone.

A source of series is one `SeriesSource`: it gives metadata, and has one `FrameOrigin`, out of which the engine's
scheduler has frames brought. The engine knows no protocol and no disk beyond these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.json_size import check_size
from dicomzarr.options import LIMITS
from dicomzarr.runtime.lazy_attribute import lazy_attribute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.model.image_model import ImageItem
    from dicomzarr.engine.requests import Turn
    from dicomzarr.engine.series_state import FrameKey, SeriesState
    from dicomzarr.errors import DicomZarrError
    from dicomzarr.options import Limits, Tuning


class SeriesRef(NamedTuple):
    """Names a series within a source."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""


@dataclass(frozen=True)
class SeriesMetadata:
    """The metadata of all instances of a series, with what tells its state."""

    body: bytes
    """A JSON array that is not parsed yet (PS3.18 Annex F), perhaps of what is read here alone."""
    etag: str | None = None
    """What HTTP calls its entity tag (RFC 9110 section 8.8.3)."""
    last_modified: str | None = None
    """When it was modified last, as the server spells it (RFC 9110 section 8.8.2)."""
    notices: tuple[str, ...] = ()
    """What was left out of it, and why; without patient text."""
    common: bytes = b""
    """A JSON object of what all instances say beside what the body has of each."""
    in_pieces: bool = field(default=False, compare=False)
    """It was asked for instance by instance, and would be again."""
    provisional: bool = field(default=False, compare=False)
    """Something of it could not be had: it is asked for anew each time."""
    _within: set[Limits] = field(default_factory=set, init=False, repr=False, compare=False)
    """Those that were found to hold."""

    def instances(self, limits: Limits = LIMITS) -> list[ImageItem]:
        """The body counted and decoded, once; it takes a while: not on the home loop.

        Args:
            limits: How much it may hold.

        Raises:
            MetadataError: It is no DICOM JSON, or holds more.
        """
        if limits not in self._within:
            check_size(b"[" + self.common + b"]", limits)
            check_size(self.body, limits)
            self._within.add(limits)
        return self._decoded

    @lazy_attribute
    def _decoded(self) -> list[ImageItem]:
        return decode_instances(self.body, self.common)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Frames that are fetched together."""

    keys: tuple[FrameKey, ...]
    """They may span instances: a whole series, or ranges that lie side by side."""
    recipe: object = None
    """How, in terms of the origin; opaque to the engine."""
    suspect: bool = False
    """What came of these before did not decode: they are to be had in another way, if there is one."""
    stays_queued: bool = False
    """The frames, all of one series, stay in the queue until they come: who wants few of them may have them sooner.
    Whoever waits for the first of them gets no turn meanwhile, and other queued frames may come with them. It ends
    when nobody wants a frame of the series any more."""


class Wait(NamedTuple):
    """Nothing is to be fetched now."""

    seconds: float
    """After which to ask again; 0 for when something under way has ended."""


class FrameWaiter(Protocol):
    """Waits for frames; is told once of each."""

    def arrived(self, key: FrameKey, frame: EncodedFrame) -> object:
        """The frame has come."""

    def failed(self, key: FrameKey, error: BaseException) -> None:
        """The frame cannot be had."""


class FrameSink(Protocol):
    """Takes what becomes of the frames of one `Fetch`; of each, what is said first counts."""

    def arrived(self, key: FrameKey, frame: EncodedFrame) -> bool:
        """The frame has come; gives False when nothing more of this fetch is wanted."""

    def failed(self, key: FrameKey, error: DicomZarrError) -> None:
        """The frame cannot be had."""

    async def ready(self) -> None:
        """Wait until the decoders have caught up."""


class QueueView(Protocol):
    """What is wanted and not under way yet, as `engine.requests.FrameQueue` shows it to a `FrameOrigin`."""

    @property
    def since(self) -> float:
        """When it was last empty, in seconds of a steady clock."""

    def __len__(self) -> int:
        """How many frames wait."""

    def turns(self) -> Iterator[Turn]:
        """Those who wait, in the order of their turns; none whose frames come anyway or would wait for decoders."""

    def keys(self, turn: Turn) -> Iterator[FrameKey]:
        """What a reader waits for, those of the instance of its turn first."""

    def is_coming(self, series: SeriesState) -> bool:
        """Whether a fetch is under way of which the frames of a series stay queued."""


class FrameOrigin(Protocol):
    """Where encoded frames come from."""

    def next(self, queue: QueueView, under_way: int, now: float) -> Fetch | Wait:
        """What to fetch next out of the queue; no I/O. A fetch that it gives is begun at once.

        Args:
            queue: What is wanted, not empty.
            under_way: Fetches that have not ended, but for those that are ``suspect``, which take no turns.
            now: Seconds of a steady clock.
        """

    async def fetch(self, fetch: Fetch, sink: FrameSink) -> None:
        """Bring frames to a sink; those that it hears nothing of go back to the queue.

        It is cancelled when nobody wants them any more. A fetch that fails as a whole may raise.
        """

    def retries(self, key: FrameKey, error: DicomZarrError) -> bool:
        """Whether a frame that did not decode may be had in another way: a `Fetch` that is ``suspect``."""

    @property
    def latency(self) -> float:
        """Seconds that a fetch usually takes; decides whether reading ahead pays."""

    def forget(self, series: SeriesRef | None) -> None:
        """Let go of what was learned and held of a series, or of all; from any thread."""

    def close(self) -> None:
        """Let go of connections and files, as soon as no fetch uses them; on its loop. A later fetch opens new ones."""


class SeriesSource(Protocol):
    """Where series come from: a DICOMweb server, a folder of files."""

    @property
    def frames(self) -> FrameOrigin:
        """Where its frames come from."""

    async def metadata(self, ref: SeriesRef, known: SeriesMetadata | None) -> SeriesMetadata:
        """The metadata of a series as it is now; ``known`` itself, where it is the same.

        Raises:
            SeriesNotFoundError: There is no such series, or nothing in it.
        """

    async def attributes(self, ref: SeriesRef, instance: str | None) -> bytes:
        """All that an instance says, by its SOP Instance UID, in a JSON array (PS3.18 Annex F); None for all instances.

        There may be others in it, and none where the series has no such instance any more.

        Raises:
            SeriesNotFoundError: There is no such series, or nothing in it.
        """

    def has_changed(self, ref: SeriesRef, etag: str | None) -> bool:
        """Whether a series is in another state than its metadata had, if that is told without asking a server.

        From any thread but the loop's; it may wait for a disk.
        """

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """Ask for no more at once than this, and wait no longer than so many seconds without progress; on its loop."""

    async def bulk_data(self, ref: SeriesRef, uri: str, instance: str | None) -> bytes:
        """A value that the metadata give by reference."""

    async def search(
        self, resource: str, parameters: Mapping[str, str], *, wanted: int | None = None, skip: int = 0
    ) -> list[dict[str, Any]]:
        """Studies, series or instances in the DICOM JSON model, as QIDO-RS finds them (PS3.18 section 10.6)."""

"""A series in the state in which it was opened, and the names of its frames. Pure (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dicomzarr.errors import FrameTooLargeError, MissingInstanceError
from dicomzarr.options.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.dicom.instance import FrameRef, Instance


class FrameStore(Protocol):
    """Frames of one series in one state that outlive the process."""

    async def frames(self, keys: Sequence[FrameKey]) -> dict[FrameKey, EncodedFrame]:
        """Those of the frames that are held."""

    def keep(self, key: FrameKey, frame: EncodedFrame) -> None:
        """Have a frame held; from any thread, at once, and in vain where that cannot be."""

    def discard(self, key: FrameKey) -> None:
        """Hold a frame no more, for it does not decode; from any thread."""

    async def written(self, seconds: float) -> bool:
        """Wait so long at most until all that was to be held is, and give whether it is."""


@dataclass(frozen=True, eq=False)
class SeriesState:
    """A series in the state in which it was opened: frames of another state serve no other."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    disk: FrameStore | None = None
    """What is held of it on disk."""
    instances: Mapping[str, Instance] = field(default_factory=dict)
    """Its instances by SOP Instance UID."""
    slices: Mapping[str, Instance] = field(default_factory=dict)
    """The same, where all of the series have one frame each, of about one size."""
    etag: str | None = None
    """See `ports.SeriesMetadata.etag`: what an origin knows the state by."""
    limits: Limits = LIMITS
    """What a frame may take."""
    version: tuple[str | None, str | None, int] = (None, None, 0)
    """Tells pixels from those that replaced them under their UIDs: ETag, Last-Modified, and when this process last
    forgot the series, as a number."""
    digest: bytes = b""
    """Of its metadata."""
    _told: set[str] = field(default_factory=set)

    @property
    def name(self) -> tuple[tuple[str | None, str | None, int], bytes]:
        """Tells this state of the series from all others, as far as that is known."""
        return self.version, self.digest

    def key(self, frame: FrameRef) -> FrameKey:
        """The key of a frame that was planned from this state.

        Raises:
            MissingInstanceError: It was planned from another one, which may lay its frames out in another way.
            FrameTooLargeError: It is larger than the limit.
        """
        uid = frame.instance.sop_instance_uid
        if frame.instance.pixel.nbytes > self.limits.frame_bytes:
            raise FrameTooLargeError(
                f"Study {self.study}, series {self.series}, instance {uid}, frame {frame.number}: its pixels would take"
                f" {frame.instance.pixel.nbytes} bytes, more than {self.limits.frame_bytes}.",
                remedy=f"If that is right, raise the bound: limits={{'frame_bytes': {frame.instance.pixel.nbytes}}}.",
            )
        if self.instances.get(uid) is not frame.instance:
            raise MissingInstanceError(
                f"Study {self.study}, series {self.series}, instance {uid}, frame {frame.number}: "
                "this opening of the series has no such instance.",
                remedy="Open the series again.",
            )
        return FrameKey(self, uid, frame.number)

    def tells(self, what: str) -> bool:
        """Whether something is to be warned of, which it is once."""
        is_new = what not in self._told
        self._told.add(what)
        return is_new


class FrameKey(NamedTuple):
    """Names a frame in this process."""

    series: SeriesState
    instance: str
    """SOP Instance UID."""
    number: int
    """Frame number, from 1."""

    @property
    def stored(self) -> Instance:
        """The instance that it is in."""
        return self.series.instances[self.instance]

"""Series in folders for tests, and a sink for what an origin brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmwrite

from dicomzarr.dicom.series import parse_series
from dicomzarr.engine.ports import Fetch
from dicomzarr.engine.series_state import FrameKey, SeriesState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dicomzarr.codecs.encoded_frame import EncodedFrame
    from dicomzarr.engine.ports import SeriesMetadata, SeriesRef
    from dicomzarr.errors import DicomZarrError
    from dicomzarr.sources.files.source import FilesSource


def write(folder: Path, datasets: Iterable[Dataset]) -> list[Path]:
    """Write each as a Part-10 file, in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(datasets):
        paths.append(folder / f"{number:04}.dcm")
        dcmwrite(paths[-1], dataset, enforce_file_format=True)
    return paths


@dataclass
class Sink:
    """Keeps what comes."""

    frames: dict[FrameKey, EncodedFrame] = field(default_factory=dict)
    errors: dict[FrameKey, DicomZarrError] = field(default_factory=dict)
    most: int = 10**9

    def arrived(self, key: FrameKey, frame: EncodedFrame) -> bool:
        assert key not in self.frames
        assert key not in self.errors
        self.frames[key] = frame
        return len(self.frames) < self.most

    def failed(self, key: FrameKey, error: DicomZarrError) -> None:
        assert key not in self.frames
        assert key not in self.errors
        self.errors[key] = error

    async def ready(self) -> None:
        pass


def state_of(metadata: SeriesMetadata, ref: SeriesRef) -> SeriesState:
    """The series as it is opened."""
    series = parse_series(metadata.instances(), *ref)
    stored: dict[str, Any] = {each.sop_instance_uid: each for each in series.instances}
    return SeriesState(*ref, instances=stored, etag=metadata.etag)


async def brought(source: FilesSource, keys: Sequence[FrameKey]) -> Sink:
    """What comes of a fetch."""
    sink = Sink()
    await source.frames.fetch(Fetch(tuple(keys)), sink)
    return sink


def all_keys(state: SeriesState) -> list[FrameKey]:
    return [
        FrameKey(state, uid, number)
        for uid, stored in state.instances.items()
        for number in range(1, stored.number_of_frames + 1)
    ]

"""Frame origins for the contract that all of them keep: what they have, and how they can be made to fail."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import faults
import radiology_volumes
import slides
from aiohttp import web
from buckets import bucket
from dual_personality import dual_personality, part10_bytes
from folders import all_keys, state_of, write
from pydicom import dcmread
from radiology_model import AXIAL, distinct
from serving import forget_servers
from slides_pyramids import deep_pyramid

from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import from_dataset, from_file
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.engine.series_state import FrameKey, SeriesState
from dicomzarr.errors import ChangedFileError
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.pools import FRAME_FILES
from dicomzarr.sources.dicomweb.client import Client
from dicomzarr.sources.dicomweb.origin import DICOMwebOrigin
from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds
from dicomzarr.sources.files.far_origin import FarOrigin
from dicomzarr.sources.files.origin import FilesOrigin
from dicomzarr.sources.files.source import FilesSource
from dicomzarr.sources.files.stores.bucket import Bucket, BucketURL
from dicomzarr.sources.files.stores.objects import ObjectServer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from aiohttp.typedefs import Middleware
    from buckets import Fault
    from pydicom import Dataset

    from dicomzarr.dicom.files.part10 import StoredFrames
    from dicomzarr.engine.ports import FrameOrigin
    from dicomzarr.sources.files.instance import FileInstance
    from dicomzarr.sources.files.stores.port import ByteStore


@dataclass
class Faults:
    """Strike at random while there is a source of chance; any thread may set it."""

    chance: random.Random | None = None

    def strike(self, probability: float) -> bool:
        """Whether something goes wrong now."""
        return self.chance is not None and self.chance.random() < probability


class Origin(NamedTuple):
    """An origin, and all that is known of it."""

    make: Callable[[], FrameOrigin]
    """Makes one that has learned nothing; called on the home loop."""
    series: SeriesState
    frames: Mapping[FrameKey, bytes]
    """What each frame of the series is, encoded."""
    most: int
    """Fetches under way at once."""
    faults: Faults

    def __repr__(self) -> str:
        """A few words: hypothesis prints its arguments, and refuses those of many thousand characters."""
        return f"<origin of {len(self.frames)} frames>"


MakeOrigin: TypeAlias = "Callable[[], AbstractContextManager[Origin]]"

_CONNECTIONS = 4
_THRESHOLDS = Thresholds(worth_series=1e-9, worth_series_on_slow_line=1e-9)  # whole series count as faster


def _server_faults(faulty: Faults) -> Sequence[Middleware]:
    """What servers do wrong, a little of each."""

    def now_and_then(_: int) -> bool:
        return faulty.strike(0.06)

    return [
        faults.delay(0.005, when=lambda _: faulty.strike(0.3)),
        faults.status(503, on="any", when=now_and_then),
        faults.status(404, when=now_and_then),
        faults.status(403, on="any", when=now_and_then),
        faults.reset(when=now_and_then),
        faults.reset(after_headers=True, on="any", when=now_and_then),
        faults.truncate(100, when=now_and_then),
        faults.truncate(300, "chunked", on="series", when=now_and_then),
        faults.drop_part(when=now_and_then),
        faults.swap_parts(when=now_and_then),
    ]


async def _short_pause(_: float) -> None:
    """Tries follow one another at once."""
    await asyncio.sleep(0)


@contextmanager
def _dicomweb(datasets: Sequence[Dataset]) -> Iterator[Origin]:
    archive, faulty = Archive(datasets), Faults()
    stored = archive.instances()
    with DICOMwebServer(archive, middlewares=_server_faults(faulty)) as server:
        body = json.dumps([each.metadata() for each in stored]).encode()
        series = parse_series(decode_instances(body), stored[0].study, stored[0].series)
        instances = {each.sop_instance_uid: each for each in series.instances}
        state = SeriesState(stored[0].study, stored[0].series, None, instances, series.slices)
        frames = {
            FrameKey(state, each.instance, number): bytes(each.frame(number))
            for each in stored
            for number in range(1, each.frame_count + 1)
        }

        def make() -> DICOMwebOrigin:
            options = StorageOptions.parse(max_connections=_CONNECTIONS, frames_per_request=8)
            profile = ServerProfile(_THRESHOLDS)
            return DICOMwebOrigin(
                Client(server.url, options.access, options.tuning, profile=profile, sleep=_short_pause)
            )

        try:
            yield Origin(make, state, frames, _CONNECTIONS, faulty)
        finally:
            forget_servers()


def dicomweb_slide() -> AbstractContextManager[Origin]:
    """A slide: instances of many frames, which come in lists."""
    return _dicomweb(slides.brightfield_pyramid().datasets)


def dicomweb_slices() -> AbstractContextManager[Origin]:
    """A scan: instances of one frame, which may come with the whole series."""
    pixels = distinct((24, 8, 10), 16)
    return _dicomweb(radiology_volumes.volume(AXIAL, pixels, bits=16, name="contract").datasets)


class _FaultyFiles(FilesOrigin):
    """Files some of which change now and then."""

    def __init__(self, source: FilesSource, faulty: Faults) -> None:
        self._faulty = faulty
        super().__init__(source._instance)

    def _stored(self, instance: FileInstance) -> StoredFrames:
        if self._faulty.strike(0.06):
            raise ChangedFileError("A file has changed.")
        return super()._stored(instance)


@contextmanager
def _folder(datasets: Sequence[Dataset]) -> Iterator[Origin]:
    with TemporaryDirectory() as name:
        files = {each.instance: each for each in map(from_file, write(Path(name), datasets))}
        source, faulty = FilesSource(Path(name)), Faults()
        (ref,) = source.index().series
        state = state_of(asyncio.run(source.metadata(ref, None)), ref)
        frames = {key: bytes(files[key.instance].frame(key.number)) for key in all_keys(state)}
        yield Origin(lambda: _FaultyFiles(source, faulty), state, frames, FRAME_FILES.threads, faulty)


def folder_slide() -> AbstractContextManager[Origin]:
    """A slide in a folder."""
    return _folder(slides.brightfield_pyramid().datasets)


def folder_slices() -> AbstractContextManager[Origin]:
    """A scan in a folder."""
    pixels = distinct((24, 8, 10), 16)
    return _folder(radiology_volumes.volume(AXIAL, pixels, bits=16, name="contract").datasets)


def _bucket_faults(faulty: Faults) -> Fault:
    """What servers of objects do wrong, a little of each."""

    def fault(_: web.Request, reply: web.Response) -> web.Response:
        if faulty.strike(0.05):
            return web.Response(status=503)
        if faulty.strike(0.03):
            return web.Response(status=403)
        if faulty.strike(0.03):
            return web.Response(body=b"all of it")
        if faulty.strike(0.05) and isinstance(reply.body, bytes):
            headers = {name: reply.headers[name] for name in ("Content-Range", "ETag") if name in reply.headers}
            return web.Response(status=206, body=reply.body[:-1], headers=headers)
        return reply

    return fault


@contextmanager
def _bucket(bodies: Sequence[bytes]) -> Iterator[Origin]:
    files = {each.instance: each for each in (from_dataset(dcmread(BytesIO(body))) for body in bodies)}
    with bucket({f"{number:03}.dcm": body for number, body in enumerate(bodies)}) as server:
        options = StorageOptions.parse(endpoint_url=server.url, max_connections=_CONNECTIONS)
        faulty = Faults()

        def store() -> ByteStore:
            url = BucketURL.parse("s3://bucket")
            address = url.address(server.url)
            return Bucket(url, address, ObjectServer(address, options.access, options.tuning, _short_pause))

        source = FilesSource(store())
        (ref,) = source.index().series
        state = state_of(run_sync(source.metadata, ref, None), ref)
        frames = {key: bytes(files[key.instance].frame(key.number)) for key in all_keys(state)}
        server.fault = _bucket_faults(faulty)
        yield Origin(lambda: FarOrigin(source._instance, store()), state, frames, 16, faulty)
        forget_servers()


def bucket_slide() -> AbstractContextManager[Origin]:
    """A slide in a bucket, with TIFF tables."""
    return _bucket([dual_personality(each) for each in deep_pyramid(3, 200).datasets])


def bucket_slices() -> AbstractContextManager[Origin]:
    """A scan in a bucket."""
    pixels = distinct((24, 8, 10), 16)
    datasets = radiology_volumes.volume(AXIAL, pixels, bits=16, name="contract").datasets
    return _bucket([part10_bytes(each) for each in datasets])


ORIGINS: Mapping[str, MakeOrigin] = {
    "a slide by DICOMweb": dicomweb_slide,
    "slices by DICOMweb": dicomweb_slices,
    "a slide in a folder": folder_slide,
    "slices in a folder": folder_slices,
    "a slide in a bucket": bucket_slide,
    "slices in a bucket": bucket_slices,
}
"""All origins there are; whoever writes another adds it here."""

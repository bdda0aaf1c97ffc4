"""A CT of 300 slices on Orthanc: reading it, beside fetching the same frames in the best way and decoding them.

Slices are instances, so no list of frames helps: what counts is how many requests are under way.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import fsspec
import imagecodecs
import numpy as np
import pydicom
from cores import thread_of_each_core
from measuring import Contestant, Results, Take, Target, take_turns, timed
from orthancs import OrthancMissingError, running
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, generate_uid
from readers import parts
from strategies import ACCEPT

import dicomzarr
from dicomzarr.codecs.decode import decode_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from measuring import Pixels
    from orthancs import RunningOrthanc
    from settings import Settings

_CONNECTIONS = (2, 4, 8, 16)
_SYNTAXES = {
    "explicit little endian": str(ExplicitVRLittleEndian),
    "JPEG 2000": str(JPEG2000Lossless),
    "JPEG-LS": str(JPEGLSLossless),
}
_SIDE = 512
_UPSAMPLED = 4
_STUDY = str(generate_uid(entropy_srcs=["benchmark", "CT study"]))


def measure_volume(settings: Settings) -> Results:
    """Targets of volumes."""
    results = Results()
    slices = settings.size(300, 12)
    try:
        with running() as orthanc:
            for name, syntax in _SYNTAXES.items():
                series = str(generate_uid(entropy_srcs=["benchmark", name]))
                for dataset in _slices(slices, series, syntax):
                    orthanc.server.upload(_part10(dataset))
                _compete(results, settings, f"CT of {slices} slices in {name}", orthanc, series)
    except OrthancMissingError as error:
        results.note(f"volumes took no part: {error}")
    return results


def _slices(count: int, series: str, syntax: str) -> Iterator[Any]:
    """A real slice, four times as large and with noise of its own each time."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    picture = np.kron(dataset.pixel_array, np.ones((_UPSAMPLED, _UPSAMPLED), np.int16))
    random = np.random.default_rng(0)
    dataset.remove_private_tags()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _STUDY, series
    dataset.Rows = dataset.Columns = _SIDE
    dataset.file_meta.TransferSyntaxUID = syntax
    for number in range(count):
        pixels = picture + random.integers(-8, 8, picture.shape, np.int16)
        dataset.InstanceNumber = number + 1
        dataset.ImagePositionPatient = [-158.1, -179.0, -75.0 + 1.25 * number]
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        _store(dataset, pixels, syntax)
        yield dataset


def _store(dataset: Any, pixels: Pixels, syntax: str) -> None:
    if syntax == ExplicitVRLittleEndian:
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OW"
        return
    if syntax == JPEGLSLossless:
        frame = imagecodecs.jpegls_encode(pixels.view(np.uint16))
    else:
        frame = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"


def _part10(dataset: Any) -> bytes:
    file = pydicom.filebase.DicomBytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _compete(results: Results, settings: Settings, task: str, orthanc: RunningOrthanc, series: str) -> None:
    url = orthanc.server.series_url(_STUDY, series)
    level = dicomzarr.open(url).levels[0]
    frames = [level._plan.frames.locate((place, 0, 0)) for place in range(level.shape[0])]
    base, study, uid = parts(url)
    addresses = [
        f"{base}/studies/{study}/series/{uid}/instances/{frame.instance.sop_instance_uid}/frames/1" for frame in frames
    ]
    fetch, held = _best_fetch(addresses)
    decode = Contestant("decoding by two threads", lambda: timed(lambda: _decode(held, frames)))
    ours = Contestant("dicomzarr, level[...]", functools.partial(_ours, url))
    results.rows += take_turns(task, 0, [decode, fetch, ours], settings.rounds, orthanc)
    rows = results.of(task, 0)
    larger = max(rows[fetch.name].seconds, rows[decode.name].seconds)
    text = f"{task}: dicomzarr, level[...], times the larger of fetching and decoding"
    results.targets.append(Target(text, rows[ours.name].seconds / larger, 1.3, at_least=False))


def _ours(url: str) -> Take:
    fsspec.filesystem("dicomweb").invalidate_cache(url)
    level = dicomzarr.open(url).levels[0]
    return timed(lambda: [level[...]])


def _best_fetch(addresses: Sequence[str]) -> tuple[Contestant, list[bytes]]:
    """Plain requests over the number of connections that serves them best, and what they bring."""
    tried = {}
    for connections in _CONNECTIONS:
        began = time.perf_counter()
        held = asyncio.run(_fetch(addresses, connections))
        tried[time.perf_counter() - began] = connections
    connections = tried[min(tried)]

    def read() -> list[Pixels]:
        asyncio.run(_fetch(addresses, connections))
        return []

    return Contestant(f"fetching alone over {connections} connections", lambda: timed(read)), held


async def _fetch(addresses: Sequence[str], connections: int) -> list[bytes]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def one(address: str) -> bytes:
            async with session.get(address, headers=ACCEPT) as reply:
                reply.raise_for_status()
                body = await reply.read()
                boundary = reply.headers["Content-Type"].partition("boundary=")[2].partition(";")[0].strip('"')
            return body.split(b"--" + boundary.encode())[1].partition(b"\r\n\r\n")[2][:-2]

        return list(await asyncio.gather(*map(one, addresses)))


def _decode(held: Sequence[bytes], frames: Sequence[Any]) -> list[Pixels]:
    pixel = frames[0].instance.pixel
    array = np.empty((len(held), *pixel.shape[1:]), pixel.dtype)

    def place(number: int) -> None:
        array[number] = decode_frame(held[number], pixel, transfer_syntax_uid=None, where=f"slice {number}")[0]

    with thread_of_each_core() as pool:
        list(pool.map(place, range(len(held))))
    return [array]

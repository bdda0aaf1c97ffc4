"""Hostile servers from end to end: what they cost, what they cost others, and what their errors bring along."""

from __future__ import annotations

import json
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
import numpy as np
import pytest
import xarray
import zarr
from aiohttp import web
from faults import fault, require_basic, status
from radiology_opened import Opener
from radiology_volumes import VOLUME, volume
from serving import run_python
from slides_model import instance_metadata
from waiting import BUSY, SECONDS

import dicomzarr
from dicomzarr.errors import (
    AuthenticationError,
    DicomZarrError,
    FrameTooLargeError,
    InvalidReplyError,
    MetadataError,
)
from dicomzarr.session import opened as opened_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp.typedefs import Handler, Middleware

SECRET: Final = "s3cr3t-w0rd"  # noqa: S105  # nobody's
OURS: Final = str(Path(dicomzarr.__file__).parent)
PATIENT: Final = "Hidden^Person"


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def saying(body: bytes, on: str = "metadata") -> Middleware:
    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/dicom+json")

    return fault(act, on=on)


# --- metadata


@pytest.mark.parametrize(
    ("item", "said"),
    [(b"{}", "more than 50000 instances"), (b'{"52009229":{"Value":[' + b"{}," * 200_000 + b"{}]}}", "JSON objects")],
)
def test_ten_megabytes_of_empty_objects_do_not_open(opened: Opener, item: bytes, said: str) -> None:
    body = b"[" + b",".join([item] * (10_000_000 // len(item))) + b"]"
    with pytest.raises(MetadataError, match=said) as caught:
        opened(volume(), saying(body))
    assert "limits={" in str(caught.value)


def test_more_instances_open_by_who_asks_for_them(opened: Opener) -> None:
    url = opened.url(volume())
    with pytest.raises(MetadataError, match=r"more than 4 instances.*limits=\{'instances': 8\}"):
        dicomzarr.open(url, limits={"instances": 4, "instance_objects": 4})
    assert np.array_equal(np.asarray(dicomzarr.open(url, limits={"instances": 5}).levels[0]), VOLUME)


def test_a_search_without_an_end_is_refused(opened: Opener) -> None:
    body = b"[" + b",".join([b"{}"] * 12_000_000) + b"]"
    opened(volume(), saying(body, on="studies"))
    files = fsspec.filesystem("dicomweb")
    base = opened.servers[-1].url.replace("http://", "dicomweb://")
    with pytest.raises(InvalidReplyError, match="33554432 bytes"):
        files.ls(f"{base}/studies")


def test_metadata_of_one_server_hold_up_no_other(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the first are typed for as long as the second one is opened and read."""
    slow, quick = volume(), volume()
    parse, begun, go_on = opened_module.parse_series, threading.Event(), threading.Event()
    first = True

    def parse_slowly(*args: Any) -> Any:
        nonlocal first
        if first:
            first = False
            begun.set()
            assert go_on.wait(SECONDS)
        return parse(*args)

    monkeypatch.setattr(opened_module, "parse_series", parse_slowly)
    urls = opened.url(slow), opened.url(quick)
    found: list[object] = []
    opening = threading.Thread(target=lambda: found.append(dicomzarr.open(urls[0]).levels[0].shape))
    opening.start()
    assert begun.wait(SECONDS)
    assert dicomzarr.open(urls[1]).levels[0][...].shape == VOLUME.shape
    assert not found
    go_on.set()
    opening.join(SECONDS)
    assert found == [VOLUME.shape]


def test_too_little_memory_for_metadata_is_an_error_of_ours(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_out_of_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(opened_module, "parse_series", is_out_of_memory)
    with pytest.raises(MetadataError, match="not enough memory"):
        opened(volume())


def test_paths_and_planes_of_a_slide_cost_no_more_than_they_are(opened: Opener) -> None:
    """Each frame with an optical path and a focal plane of its own: 10 000 channels."""
    count = 10_000
    frames = b",".join(
        f'{{"0048021A":{{"Value":[{{"0048021E":{{"Value":[1]}},"0048021F":{{"Value":[1]}},"0040074A":{{"Value":[{n}e-3]}}}}]}},'
        f'"00480207":{{"Value":[{{"00480106":{{"Value":["{n}"]}}}}]}}}}'.encode()
        for n in range(count)
    )
    slide = {
        "00080016": {"Value": ["1.2.840.10008.5.1.4.1.1.77.1.6"]},
        "00209311": {"Value": ["TILED_SPARSE"]},
        "00280008": {"Value": [count]},
        "00480006": {"Value": [20]},
        "00480007": {"Value": [16]},
        "00480105": {"Value": [{"00480106": {"Value": [str(number)]}} for number in range(count)]},
    }
    first = instance_metadata(volume().datasets[0])
    head = json.dumps({**first, **slide}, default=str).encode()[:-1]
    body = b"[" + head + b',"52009230":{"vr":"SQ","Value":[' + frames + b"]}}]"
    began = time.process_time()
    image = opened(volume(), saying(body))
    assert image.levels[0].shape == (count, 16, 20)
    assert time.process_time() - began < 10 * BUSY


# --- frames


def test_a_frame_beyond_the_limit_is_not_asked_for(opened: Opener) -> None:
    url = opened.url(volume())
    level = dicomzarr.open(url, limits={"frame_bytes": 100}).levels[0]
    for _ in range(2):
        with pytest.raises(FrameTooLargeError, match=r"frame 1: .*limits=\{'frame_bytes': "):
            level[...]
    array = zarr.open_group(url, mode="r", storage_options={"limits": {"frame_bytes": 100}})["0"]
    with pytest.raises(FrameTooLargeError):
        array[...]  # type: ignore[index]
    assert opened.count("frames") == 0


# --- what errors bring along


@dataclass
class Seen:
    """What an error reporter stores of an error: the names and values of all frames, and of what it was made of."""

    texts: list[str] = field(default_factory=list)

    def look_at(self, error: BaseException | None) -> None:
        while error is not None:
            for frame, _ in traceback.walk_tb(error.__traceback__):
                if frame.f_code.co_filename.startswith(OURS) or "aiohttp" in frame.f_code.co_filename:
                    self.texts += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
            self.texts.append(str(error))
            error = error.__cause__ or error.__context__


def by_dicomzarr(url: str, **options: Any) -> object:
    return dicomzarr.open(url, **options).levels[0][...]


def by_zarr(url: str, **options: Any) -> object:
    group: Any = zarr.open_group(url, mode="r", storage_options=options)
    return group["0"][...]


def by_xarray(url: str, **options: Any) -> object:
    return xarray.open_datatree(url, engine="dicomzarr", storage_options=options)["0"]["image"].to_numpy()


def by_fsspec(url: str, **options: Any) -> object:
    files, path = fsspec.core.url_to_fs(url, **options)
    return files.cat_file(f"{path}/0/c/0/0/0")


FACES: Final = (by_dicomzarr, by_zarr, by_xarray, by_fsspec)


def with_patient(body: bytes) -> bytes:
    """The metadata of a series, all of them of a patient."""
    instances = json.loads(body)
    for each in instances:
        each["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": PATIENT}]}
        each["00080020"] = {"vr": "DA", "Value": [PATIENT]}
    return json.dumps(instances).encode()


FAILURES: Final[dict[str, tuple[Middleware, ...]]] = {
    "a wrong password": (require_basic("joe", "another"),),
    "no frames": (require_basic("joe", SECRET), status(404, on="instances"), status(500)),
    "broken metadata": (require_basic("joe", SECRET), saying(f'[{{"00280010":{{"Value":["{PATIENT}"]}}}}]'.encode())),
    "metadata that are no JSON": (require_basic("joe", SECRET), saying(f'["{PATIENT}'.encode() + b"]")),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
@pytest.mark.parametrize("way", ["auth", "url"])
def test_no_frame_of_an_error_holds_a_secret_or_a_patient(
    opened: Opener, name: str, face: Callable[..., object], way: str
) -> None:
    url = opened.url(volume(), *FAILURES[name])
    options = {"auth": ("joe", SECRET)} if way == "auth" else {}
    if way == "url":
        url = url.replace("://", f"://joe:{SECRET}@")
    seen = Seen()
    with pytest.raises(DicomZarrError) as caught:
        face(url, **options)
    seen.look_at(caught.value)
    held = [text for text in seen.texts if SECRET in text or PATIENT in text or "am9l" in text]
    assert not held


def test_what_was_searched_for_is_in_no_frame_of_an_error(opened: Opener) -> None:
    url = opened.url(volume(), status(500, on="series"))
    seen = Seen()
    with pytest.raises(DicomZarrError) as caught:
        dicomzarr.search(url.partition("/studies")[0], patient_name=PATIENT)
    seen.look_at(caught.value)
    assert seen.texts
    assert not [text for text in seen.texts if PATIENT in text]


def test_a_wrong_password_is_sent_once(opened: Opener) -> None:
    sent: list[str | None] = []

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        sent.append(request.headers.get("Authorization"))
        return await handler(request)

    url = opened.url(volume(), fault(act, on="any"), require_basic("joe", "another"))
    threads = [threading.Thread(target=_tries, args=(url,)) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SECONDS)
    assert len([each for each in sent if each is not None]) == 1


def _tries(url: str) -> None:
    with pytest.raises(AuthenticationError):
        dicomzarr.open(url, auth=("joe", SECRET), limits={"refused_seconds": SECONDS})


# --- time and memory, as a process has them

CHILD: Final = """
import json, sys, time
import dicomzarr, dicomzarr.arrays

began, error = time.process_time(), ""
try:
    dicomzarr.open(sys.argv[1]).levels[0][..., :1, :1]
except dicomzarr.errors.DicomZarrError as failure:
    error = type(failure).__name__
seconds = time.process_time() - began
most = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # getrusage counts the parent's, too
print(json.dumps({"error": error, "seconds": seconds, "mebibytes": most // 1024}))
"""


def with_more(tag: str, item: bytes, size: int, end: bytes = b"") -> Callable[[bytes], bytes]:
    """The first instance of a series, of which an attribute has so many bytes of values."""

    def change(body: bytes) -> bytes:
        (first, *_) = json.loads(body)
        values = b",".join([item] * (size // (len(item) + 1)))
        return b"[" + json.dumps(first).encode()[:-1] + f',"{tag}":{{"Value":['.encode() + values + end + b"]}}]"

    return change


BOMBS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "empty instances": lambda _: b"[" + b",".join([b"{}"] * 3_300_000) + b"]",
    "empty frames": with_more("52009230", b"{}", 10_000_000),
    "as many frames as may be": with_more("52009230", b"{}", 5_900_000),
    "empty items of a sequence": with_more("52009229", b"{}", 10_000_000),
    "as many items as may be": with_more("52009229", b"{}", 290_000),
    "items within items": with_more("52009230", b'{"00289110":{"Value":[' + b"{}," * 5000 + b"{}]}}", 10_000_000),
    "numbers": with_more("00181063", b"1e9", 10_000_000),
    "texts": with_more("00080008", b'"ab"', 10_000_000),
    "nulls among lists": with_more("00181063", b"[]", 10_000_000, b",null"),
    "65535 x 65535 pixels": lambda body: json.dumps(
        [{**each, "00280010": {"Value": [65535]}, "00280011": {"Value": [65535]}} for each in json.loads(body)]
    ).encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_what_metadata_cost_is_bounded(opened: Opener, name: str) -> None:
    made = volume()
    honest = json.dumps([instance_metadata(each) for each in made.datasets], default=str).encode()
    found = run_python(CHILD, opened.url(made, saying(BOMBS[name](honest))))
    assert found["seconds"] < 10 * BUSY, found
    assert found["mebibytes"] < 500, found

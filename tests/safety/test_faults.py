"""Faults as the public faces see them: a typed error or a right retry, never a fill value, never a secret."""

from __future__ import annotations

import base64
import logging
import pickle
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import serving
import slides
import zarr
from aiohttp import web
from faults import (
    always,
    change_parts,
    dcm4chee_like,
    drop_part,
    fault,
    first,
    grey_jpeg,
    gzip_frames,
    html_login,
    mislabel,
    no_content_location,
    orthanc_like,
    other_frames,
    refuse_lists,
    require_basic,
    reset,
    static_wado_like,
    status,
    swap_parts,
    truncate,
    wrong_frame_size,
)
from multipart_parts import body_of

import dicomzarr
from dicomzarr.engine.source import FrameSource
from dicomzarr.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DicomZarrError,
    FrameDecodeError,
    FrameNotFoundError,
    FrameShapeError,
    InvalidReplyError,
    LoginPageError,
    MetadataError,
    MissingInstanceError,
    PermissionDeniedError,
    RateLimitedError,
    SeriesNotFoundError,
    ServerFailureError,
    TruncatedReplyError,
    WrongPartsError,
)
from dicomzarr.sources.dicomweb.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware
    from faults import When
    from multipart_parts import Part
    from slides_model import Pixels

    Reader = Callable[[], Pixels]
    Face = Callable[[str], Reader]
    MakeFault = Callable[[When], Middleware]

SLIDE = slides.coded_slide("native_rgb")
"""One level of 3 x 2 frames, exact."""
LEVEL = SLIDE.levels[0]
INSTANCE = str(SLIDE.datasets[0].SOPInstanceUID)
PASSWORD = "p4ss-w0rd-of-the-reader"  # noqa: S105  # what must show nowhere
API_KEY = "k3y-of-the-gateway"


@dataclass
class Switch:
    """A fault that can be ended; used as a ``when``."""

    on: bool = True

    def __call__(self, _nth: int) -> bool:
        return self.on


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries wait no time; gives how long they would have waited."""
    seconds: list[float] = []

    async def skip(pause: float) -> None:
        seconds.append(pause)

    defaults = Client.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "sleep", skip)
    monkeypatch.setitem(defaults, "clock", lambda: 1000.0 + sum(seconds))
    return seconds


# --- the public faces: each opens a series, and gives a function that reads level 0 ---


def by_dicomzarr(url: str) -> Reader:
    level = dicomzarr.open(url).levels[0]
    return lambda: level[...]


def by_dask(url: str) -> Reader:
    array: Any = dicomzarr.open(url).levels[0].to_dask(chunks=(3, 32, 48))

    def read() -> Pixels:
        with ThreadPoolExecutor(2) as pool:  # which no thread outlives
            pixels: Pixels = array.compute(scheduler="threads", pool=pool)
        return pixels

    return read


def by_zarr(url: str) -> Reader:
    array = serving.zarr_level(url)
    return lambda: np.asarray(array[...])


def by_fsspec(url: str) -> Reader:
    fs, path = fsspec.url_to_fs(url)
    fs.cat_file(f"{path}/zarr.json")

    def read() -> Pixels:
        result = np.empty((3, 96, 96), np.uint8)
        for row, column in np.ndindex(*LEVEL.grid):
            chunk = fs.cat_file(f"{path}/0/c/0/{row}/{column}")
            place = (slice(None), slice(row * 32, row * 32 + 32), slice(column * 48, column * 48 + 48))
            result[place] = np.frombuffer(chunk, np.uint8).reshape(3, 32, 48)
        return result[:, :70, :90]

    return read


FACES: dict[str, Face] = {"dicomzarr": by_dicomzarr, "dask": by_dask, "zarr": by_zarr, "fsspec": by_fsspec}


@pytest.fixture(
    params=["dicomzarr", "zarr", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dask", "fsspec"))]
)
def face(request: pytest.FixtureRequest) -> Face:
    return FACES[request.param]


# --- faults that end in an error ---


def _grow(parts: tuple[Part, ...]) -> list[Part]:
    return [*parts, parts[0].with_header("Content-Location", "/instances/1.2.3/frames/1")]


def _empty(parts: tuple[Part, ...]) -> list[Part]:
    return [part.with_body(b"") for part in parts]


def cut_at_a_bracket(when: When) -> Middleware:
    """Metadata that ends early, yet as a JSON array ends."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await body_of(await handler(request))
        return web.Response(body=body[: body.index(b"]", 500) + 1], content_type="application/dicom+json")

    return fault(act, "metadata", when)


def cut_gzip(when: When) -> Middleware:
    """Metadata whose compressed bytes end early."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        accepting = {**request.headers, "Accept-Encoding": "gzip"}
        response = await handler(request.clone(headers=accepting))
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        headers = {name: response.headers[name] for name in ("Content-Type", "Content-Encoding")}
        return web.Response(body=response.body[:-60], headers=headers)

    return fault(act, "metadata", when)


def no_instances(when: When = always) -> Middleware:
    """Whole instances cannot be had either, from which frames and attributes would be taken."""
    return status(404, on="instances", when=when)


FRAME_FAULTS: dict[str, tuple[MakeFault, type[DicomZarrError]]] = {
    "401": (lambda when: status(401, when=when), AuthenticationError),
    "403": (lambda when: status(403, when=when), PermissionDeniedError),
    "404": (lambda when: status(404, when=when), FrameNotFoundError),
    "410": (lambda when: status(410, when=when), FrameNotFoundError),
    "429": (lambda when: status(429, {"Retry-After": "1"}, when=when), RateLimitedError),
    "500": (lambda when: status(500, when=when), ServerFailureError),
    "503": (lambda when: status(503, {"Retry-After": "1"}, when=when), ServerFailureError),
    "reset": (lambda when: reset(when=when), ConnectionFailedError),
    "reset in the body": (lambda when: reset(after_headers=True, when=when), TruncatedReplyError),
    "truncated": (lambda when: truncate(900, when=when), TruncatedReplyError),
    "truncated, length of the rest": (lambda when: truncate(900, "own-length", when=when), TruncatedReplyError),
    "truncated, chunked": (lambda when: truncate(900, "chunked", when=when), TruncatedReplyError),
    "truncated, closed": (lambda when: truncate(900, "close", when=when), TruncatedReplyError),
    "no part": (lambda when: change_parts(lambda _: [], when=when), InvalidReplyError),
    "empty parts": (lambda when: change_parts(_empty, when=when), WrongPartsError),
    "part of another instance": (lambda when: change_parts(lambda p: _grow(p)[::-1], when=when), WrongPartsError),
    "mislabelled": (lambda when: mislabel(when=when), WrongPartsError),
    "mislabelled by one": (lambda when: mislabel(1, when=when), WrongPartsError),
    "mislabelled from zero": (lambda when: mislabel(-1, when=when), WrongPartsError),
    "login page": (lambda when: html_login(on="frames", when=when), LoginPageError),
    "shorter": (lambda when: wrong_frame_size(-2, when=when), FrameShapeError),
    "longer": (lambda when: wrong_frame_size(2, when=when), FrameShapeError),
    "other size": (lambda when: other_frames(grey_jpeg(16, 16), when=when), FrameShapeError),
    "broken": (lambda when: other_frames(grey_jpeg(32, 48)[:-90], when=when), FrameDecodeError),
}
"""What happens to frames, and the error."""

METADATA_FAULTS: dict[str, tuple[MakeFault, type[DicomZarrError]]] = {
    "401": (lambda when: status(401, on="metadata", when=when), AuthenticationError),
    "403": (lambda when: status(403, on="metadata", when=when), PermissionDeniedError),
    "404": (lambda when: status(404, on="metadata", when=when), SeriesNotFoundError),
    "429": (lambda when: status(429, {"Retry-After": "1"}, on="metadata", when=when), RateLimitedError),
    "500": (lambda when: status(500, on="metadata", when=when), ServerFailureError),
    "503": (lambda when: status(503, {"Retry-After": "1"}, on="metadata", when=when), ServerFailureError),
    "reset": (lambda when: reset(on="metadata", when=when), ConnectionFailedError),
    "reset in the body": (lambda when: reset(after_headers=True, on="metadata", when=when), TruncatedReplyError),
    "truncated": (lambda when: truncate(900, on="metadata", when=when), TruncatedReplyError),
    "truncated, length of the rest": (
        lambda when: truncate(-40, "own-length", on="metadata", when=when),
        TruncatedReplyError,
    ),
    "truncated gzip": (cut_gzip, TruncatedReplyError),
    "cut at a bracket": (cut_at_a_bracket, MetadataError),
    "numbers": (lambda when: status(200, body="[1]", on="metadata", when=when), MetadataError),
    "login page": (lambda when: html_login(on="metadata", when=when), LoginPageError),
    "no content": (lambda when: status(204, on="metadata", when=when), SeriesNotFoundError),
    "text": (lambda when: status(200, body="Welcome", on="metadata", when=when), InvalidReplyError),
    "an object": (lambda when: status(200, body="{}", on="metadata", when=when), InvalidReplyError),
}
"""What happens to the metadata, and the error."""


@web.middleware
async def plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing is compressed, so that a cut body is cut JSON."""
    return await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))


def is_right(pixels: Pixels) -> bool:
    return serving.is_right(pixels, LEVEL)


def names_the_series(error: DicomZarrError) -> bool:
    return SLIDE.series_uid in str(error) and SLIDE.study_uid in str(error)


def names_a_frame(error: DicomZarrError) -> bool:
    return names_the_series(error) and bool(
        re.search(rf"frames? \d.* instance {INSTANCE}|{INSTANCE}, frame \d", str(error))
    )


@pytest.mark.parametrize(("make", "kind"), FRAME_FAULTS.values(), ids=FRAME_FAULTS)
def test_a_frame_that_cannot_be_had(face: Face, make: MakeFault, kind: type[DicomZarrError]) -> None:
    switch = Switch()
    with serving.serving(SLIDE, no_instances(switch), make(switch)) as served:
        read = face(served.url)
        for _ in range(2):  # the second time as the first: no failure is remembered as pixels
            with pytest.raises(kind) as caught:
                read()
            assert names_a_frame(caught.value)
        serving.settle()
        switch.on = False
        assert is_right(read())


@pytest.mark.parametrize(("make", "kind"), METADATA_FAULTS.values(), ids=METADATA_FAULTS)
def test_metadata_that_cannot_be_had(face: Face, make: MakeFault, kind: type[DicomZarrError]) -> None:
    switch = Switch()
    with serving.serving(SLIDE, plain, no_instances(switch), make(switch)) as served:
        with pytest.raises(kind) as caught:
            face(served.url)
        assert names_the_series(caught.value)
        serving.settle()
        switch.on = False
        assert is_right(face(served.url)())


@pytest.mark.parametrize(("make", "kind"), METADATA_FAULTS.values(), ids=METADATA_FAULTS)
def test_asking_whether_it_exists(make: MakeFault, kind: type[DicomZarrError]) -> None:
    """Only the server's own word, or a hierarchy that was read, is absence."""
    with serving.serving(SLIDE, plain, no_instances(), make(always)) as served:
        fs, path = fsspec.url_to_fs(served.url)
        if kind is SeriesNotFoundError:
            assert not fs.exists(f"{path}/zarr.json")
            with pytest.raises(FileNotFoundError):
                fs.info(path)
            return
        for verb in (fs.exists, fs.isdir):
            with pytest.raises(kind):
                verb(f"{path}/0/zarr.json")


def test_a_local_cache_keeps_no_failure(tmp_path: Path) -> None:
    """fsspec's simplecache writes what it reads to files."""
    switch = Switch()
    with serving.serving(SLIDE, no_instances(switch), status(404, when=switch)) as served:
        options = {"simplecache": {"cache_storage": str(tmp_path)}}
        for _ in range(2):
            with (
                pytest.raises(FrameNotFoundError),
                fsspec.open(f"simplecache::{served.url}/0/c/0/0/0", **options) as file,
            ):
                file.read()
        switch.on = False
        for _ in range(2):
            with fsspec.open(f"simplecache::{served.url}/0/c/0/0/0", **options) as file:
                chunk = np.frombuffer(file.read(), np.uint8).reshape(3, 32, 48)
            assert (chunk == LEVEL.pixels[:, 0, :32, :48]).all()


def test_absent_is_not_failed() -> None:
    """Holes show as the fill value with no request at all, while frames beside them fail."""
    slide = slides.sparse_brightfield()
    with serving.serving(slide, no_instances(), status(404)) as served:
        array = serving.zarr_level(served.url)
        hole, stored = np.argwhere(slide.levels[0].absent[0, 0])[0], np.argwhere(~slide.levels[0].absent[0, 0])[0]
        filled = array.blocks[0, int(hole[0]), int(hole[1])]
        assert (np.asarray(filled) == 255).all()
        assert served.count() == 0
        with pytest.raises(FrameNotFoundError):
            array.blocks[0, int(stored[0]), int(stored[1])]


BELOW = {
    kind: ConnectionFailedError if issubclass(kind, OSError) else DicomZarrError
    for kind in (
        FileNotFoundError, NotADirectoryError, IsADirectoryError, ConnectionResetError, TimeoutError,
        KeyError, IndexError, LookupError, RuntimeError,
    )
}  # fmt: skip


@pytest.mark.parametrize(("kind", "ours"), BELOW.items())
def test_no_failure_from_below_passes_for_absence(
    kind: type[Exception], ours: type[DicomZarrError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> bytes:
        raise kind

    with serving.serving(slides.brightfield_pyramid()) as served:
        array = serving.zarr_level(served.url)
        mapper = fsspec.get_mapper(served.url)
        fs, path = fsspec.url_to_fs(f"{served.url}/0/c/0/0/0")
        monkeypatch.setattr(FrameSource, "chunk", fails)
        for read in (
            lambda: array[...],
            lambda: mapper["0/c/0/0/0"],
            lambda: mapper.get("0/c/0/0/0", b"absent"),
            lambda: fs.cat([path, f"{served.url}/nothing"], on_error="omit"),
            lambda: fs.cat(path, on_error="omit"),
        ):
            with pytest.raises(ours, match=kind.__name__) as caught:
                read()
            assert type(caught.value) is ours
        (found,) = mapper.getitems(["0/c/0/0/0"], on_error="return").values()
        assert type(found) is ours


@pytest.mark.parametrize("kind", [FileNotFoundError, KeyError, RuntimeError])
def test_no_failure_to_find_out_passes_for_absence(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> list[Any]:
        raise kind

    def fails_at_once(*_: Any) -> None:
        raise kind

    with serving.serving(slides.brightfield_pyramid()) as served:
        mapper = fsspec.get_mapper(served.url)
        fs, path = fsspec.url_to_fs(served.url)
        verbs = [fs.info, fs.exists, fs.isdir, fs.isfile, fs.ls, fs.glob, fs.find]
        with monkeypatch.context() as patch:
            patch.setattr("dicomzarr.faces.fsspec.filesystem.locate", fails_at_once)
            for verb in (*verbs, lambda url: mapper.__contains__(url.rpartition("/")[2])):
                with pytest.raises(DicomZarrError, match=kind.__name__):
                    verb(f"{path}/0")
        monkeypatch.setattr(Client, "search", fails)
        for verb in verbs:
            with pytest.raises(DicomZarrError, match=kind.__name__):
                verb(path.partition("/series/")[0])


def test_a_lost_instance_is_not_absent() -> None:
    """A tile that the metadata promises, in an instance that the series lacks, is an error in every face."""
    slide = slides.concatenation(leave_out=2)
    level = slide.levels[0]
    assert level.lost.any()
    with serving.serving(slide) as served:
        array, image = serving.zarr_level(served.url), dicomzarr.open(served.url)
        for row, column in np.ndindex(*level.grid):
            area = (slice(None), slice(row * 32, row * 32 + 32), slice(column * 32, column * 32 + 32))
            if level.lost[0, 0, row, column]:
                for read in (array.__getitem__, image.levels[0].__getitem__):
                    with pytest.raises(MissingInstanceError):
                        read(area)
            else:
                assert (np.asarray(array[area]) == level.pixels[:, 0][area]).all()


# --- faults that pass ---

PASSING: dict[str, Callable[[], Middleware]] = {
    "500": lambda: status(500, when=first(1)),
    "502": lambda: status(502, when=first(2)),
    "503": lambda: status(503, when=first(3)),
    "429": lambda: status(429, {"Retry-After": "2"}, when=first(2)),
    "400": lambda: status(400, when=first(1)),
    "reset": lambda: reset(when=first(1)),
    "reset in the body": lambda: reset(after_headers=True, when=first(1)),
    "truncated": lambda: truncate(8000, when=first(2)),
    "truncated, length of the rest": lambda: truncate(8000, "own-length", when=first(1)),
    "the end is missing": lambda: truncate(-12, "close", when=first(1)),
    "swapped parts": swap_parts,
    "503 for metadata": lambda: status(503, on="metadata", when=first(3)),
    "reset for metadata": lambda: reset(on="metadata", when=first(1)),
    "truncated metadata": lambda: truncate(900, on="metadata", when=first(2)),
    "406 for metadata": lambda: status(406, on="metadata", when=first(1)),
}


@pytest.mark.parametrize("make", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes(face: Face, make: Callable[[], Middleware]) -> None:
    with serving.serving(SLIDE, make()) as served:
        assert is_right(face(served.url)())


@pytest.mark.parametrize(
    "make",
    [
        lambda: status(404, when=first(1)),
        lambda: drop_part(2, when=first(1)),
        lambda: drop_part(0, when=first(1)),
        lambda: change_parts(lambda _: [], when=first(1)),
    ],
    ids=["refused", "third part missing", "first part missing", "no part"],
)
@pytest.mark.parametrize("face", [by_dicomzarr, by_zarr])
def test_what_a_list_lacks_is_asked_for_singly(face: Face, make: Callable[[], Middleware]) -> None:
    with serving.serving(SLIDE, make()) as served:
        assert is_right(face(served.url)())
        assert served.count() > 1


def test_retry_after_is_waited_for(pauses: list[float]) -> None:
    with serving.serving(SLIDE, status(503, {"Retry-After": "7"}, when=first(2))) as served:
        assert is_right(dicomzarr.open(served.url).levels[0][...])
    assert pauses == [7, 7]


def test_parts_without_names_and_one_missing() -> None:
    """Nothing says which part is which, so that none is taken before each was asked for alone."""
    with serving.serving(SLIDE, no_content_location(), drop_part(3, when=first(1))) as served:
        assert is_right(dicomzarr.open(served.url).levels[0][...])
        assert served.count() > 1


# --- one bad frame among good ones ---


def _bad_third(parts: tuple[Part, ...]) -> list[Part]:
    return [
        part.with_body(grey_jpeg(32, 48)[:-90])
        if (part.header("Content-Location") or "").endswith("/frames/3")
        else part
        for part in parts
    ]


def _without_third(parts: tuple[Part, ...]) -> list[Part]:
    return [part for part in parts if not (part.header("Content-Location") or "").endswith("/frames/3")]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: change_parts(_bad_third), FrameDecodeError),
        (lambda: change_parts(_without_third), InvalidReplyError),
        (lambda: dcm4chee_like(lost=[3]), FrameNotFoundError),
    ],
    ids=["broken", "missing", "lost by dcm4chee"],
)
def test_a_bad_frame_does_not_spoil_its_neighbours(make: Callable[[], Middleware], kind: type[DicomZarrError]) -> None:
    with serving.serving(SLIDE, no_instances(), make()) as served:
        fs, path = fsspec.url_to_fs(served.url)
        keys = [f"{path}/0/c/0/{row}/{column}" for row, column in np.ndindex(*LEVEL.grid)]
        chunks: dict[str, Any] = fs.cat(keys, on_error="return")
        for number, ((row, column), key) in enumerate(zip(np.ndindex(*LEVEL.grid), keys, strict=True), start=1):
            if number == 3:
                assert isinstance(chunks[key], kind)
                assert re.search(r"frame 3\b", str(chunks[key]))
                continue
            pixels = np.frombuffer(chunks[key], np.uint8).reshape(3, 32, 48)
            expected = LEVEL.pixels[:, 0, row * 32 : row * 32 + 32, column * 48 : column * 48 + 48]
            assert (pixels[:, : expected.shape[1], : expected.shape[2]] == expected).all()
        array = serving.zarr_level(served.url)
        with pytest.raises(kind):
            array[...]
        neighbours = np.asarray(array[:, :32])
        assert (neighbours == LEVEL.pixels[:, 0, :32]).all()


# --- servers with habits ---

PROFILES: dict[str, Callable[[], Middleware]] = {
    "orthanc": orthanc_like,
    "dcm4chee": dcm4chee_like,
    "static-wado": lambda: static_wado_like,
    "no Content-Location": no_content_location,
    "no lists, 404": refuse_lists,
    "no lists, 400": lambda: refuse_lists(400),
    "gzip": gzip_frames,
}


@pytest.mark.parametrize("make", PROFILES.values(), ids=PROFILES)
def test_servers_with_habits(face: Face, make: Callable[[], Middleware]) -> None:
    with serving.serving(SLIDE, make()) as served:
        assert is_right(face(served.url)())


@pytest.mark.parametrize("make", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize(
    "slide", [slides.coded_slide("jpeg_ybr_full_422"), slides.concatenation()], ids=lambda s: s.name
)
def test_servers_with_habits_and_other_slides(slide: slides.TestSlide, make: Callable[[], Middleware]) -> None:
    with serving.serving(slide, make()) as served:
        pixels = dicomzarr.open(served.url).levels[0][...]
        assert serving.is_right(pixels, slide.levels[0], slide.tolerance)
        assert max(served.frames_asked(), default=0) <= len(list(np.ndindex(*slide.levels[0].grid)))


# --- nothing secret ---


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log with all loggers at their most talkative."""
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    levels = [logger.level for logger in loggers]
    caplog.set_level(logging.DEBUG)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield caplog
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def spelled(*secrets: str) -> list[str]:
    """Secrets as they are, and as headers carry them."""
    basic = base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
    return [*secrets, basic]


def told(error: BaseException) -> str:
    """All that an error tells: its texts, its chain with the lines of the traceback, and its pickle."""
    texts = [str(error), repr(error), *traceback.format_exception(error)]
    pickled = pickle.dumps(error)
    again = pickle.loads(pickled)  # noqa: S301  # our own
    assert (type(again), str(again)) == (type(error), str(error))
    return "\n".join([*texts, pickled.decode("latin-1"), repr(vars(error))])


def assert_silent(text: str) -> None:
    for secret in (*spelled(PASSWORD, API_KEY), *slides.PHI):
        assert secret not in text


@pytest.mark.parametrize("name", sorted({*FRAME_FAULTS, *METADATA_FAULTS}))
def test_no_error_tells_a_secret(name: str, log: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {"auth": ("reader", PASSWORD), "headers": {"X-Api-Key": API_KEY}}
    door = require_basic("reader", PASSWORD)
    for make, kind in (table[name] for table in (METADATA_FAULTS, FRAME_FAULTS) if name in table):
        with serving.serving(SLIDE, door, plain, no_instances(), make(always)) as served:
            for face in (dicomzarr_with, zarr_with):
                with pytest.raises(kind) as caught:
                    face(served.url, options)
                assert_silent(told(caught.value))
    assert_silent(log.text)


def dicomzarr_with(url: str, options: dict[str, Any]) -> Pixels:
    return np.asarray(dicomzarr.open(url, **options).levels[0][:, 0, 0])


def zarr_with(url: str, options: dict[str, Any]) -> Pixels:
    return np.asarray(serving.zarr_level(url, **options)[:, 0, 0])


def test_nothing_lazy_tells_a_secret(log: pytest.LogCaptureFixture) -> None:
    with serving.serving(SLIDE, require_basic("reader", PASSWORD)) as served:
        with_user = served.url.replace("://", f"://reader:{PASSWORD}@")
        image = dicomzarr.open(with_user, headers={"X-Api-Key": API_KEY})
        fs, path = fsspec.url_to_fs(with_user, headers={"X-Api-Key": API_KEY})
        group, array = zarr.open_group(with_user, mode="r"), serving.zarr_level(with_user)
        lazy = [image, image.levels[0], image.levels[0].to_dask(), fs, fs.open(f"{path}/zarr.json"), group, array]
        for thing in [*lazy, group.store, image.to_xarray(), image.levels[0].to_dask().name]:
            assert_silent(repr(thing) + str(thing) + pickle.dumps(thing).decode("latin-1"))
        assert_silent(fs.to_json() + path + image.url + str(fs.storage_options))
        assert is_right(image.levels[0][...])
        assert is_right(np.asarray(array[...]))
    assert_silent(log.text)


def test_a_wrong_password_is_not_told(log: pytest.LogCaptureFixture) -> None:
    with serving.serving(SLIDE, require_basic("reader", "right")) as served:
        for face in FACES.values():
            with pytest.raises(AuthenticationError) as caught:
                face(served.url.replace("://", f"://reader:{PASSWORD}@"))
            assert_silent(told(caught.value))
    assert_silent(log.text)

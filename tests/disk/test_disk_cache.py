"""The cache on disk: right or absent, whatever happens to its files; private, bounded, one for each identity."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import disk_caches
import faults
import msgspec
import numpy as np
import pytest
import radiology_volumes
import slides
from aiohttp import web
from disk_caches import (
    SERIES,
    STUDY,
    cache_in,
    forget_storages,
    frame_of,
    keep,
    key_of,
    opened,
    read,
    use_storage,
    written,
)
from multipart_parts import json_of
from processes import piped
from serving import forget_servers, run_python, serving, serving_big
from waiting import SECONDS

import dicomzarr
from dicomzarr.arrays.image import open_image
from dicomzarr.codecs.encoded_frame import EncodedFrame
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.dicom.files.file_header import FileHeader
from dicomzarr.disk import generations, held, storage
from dicomzarr.disk.cache import DiskCache
from dicomzarr.disk.changes import Replace
from dicomzarr.disk.database import READ_SECONDS
from dicomzarr.disk.held import HeldSeries, ListedInstances
from dicomzarr.disk.inspection import clear, look_at
from dicomzarr.disk.process import _process
from dicomzarr.engine.ports import SeriesMetadata
from dicomzarr.errors import ConnectionFailedError, DiskCacheWarning, InvalidOptionError, SeriesNotFoundError
from dicomzarr.faces.fsspec.filesystem import DICOMwebFileSystem
from dicomzarr.options import StorageOptions, default_cache_dir
from dicomzarr.session import opening
from dicomzarr.sources.http.transport import AiohttpTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import ClientSession
    from aiohttp.typedefs import Handler, Middleware
    from orthanc import Orthanc
    from serving import Served

    from dicomzarr.disk.cache import DiskFrames
    from dicomzarr.sources.http.redirects import Request

POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners and modes here")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cache"
    forget_storages()


@pytest.fixture
def _searching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata of whatever size are worth a search."""
    monkeypatch.setattr(held, "_WORTH_SEARCHING", 1)


def database(place: Path) -> Path:
    forget_storages()
    found = generations.current(place)
    assert found is not None
    return found


# --- what is kept is there ---


def test_frames_come_back_as_they_were(place: Path) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 600))
    assert read(frames, range(1, 700)) == set(range(1, 600))  # not written yet, most of them
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 700)) == set(range(1, 600))


def test_another_process_reads_what_this_one_kept(place: Path) -> None:
    keep(opened(cache_in(place)), range(1, 100))
    written()
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom disk_caches import *\n"
        "print(json.dumps(len(read(opened(cache_in(Path(sys.argv[1]))), range(1, 200)))))"
    )
    assert run_python(script, str(place)) == 99


def test_what_came_out_of_a_file_is_known_to_have(place: Path) -> None:
    frames = opened(cache_in(place))
    frames.keep(key_of(1), frame_of(1))
    frames.keep(key_of(2), frame_of(2)._replace(header=FileHeader(STUDY, SERIES, "RGB", {"Rows": 7})))
    forget_storages()
    found = asyncio.run(opened(cache_in(place)).frames([key_of(1), key_of(2)]))
    assert {key.number: frame.header is not None for key, frame in found.items()} == {1: False, 2: True}


def test_native_bytes_in_any_buffer_are_kept_as_bytes(place: Path) -> None:
    frames = opened(cache_in(place))
    frames.keep(key_of(1), frame_of(1).__class__(memoryview(frame_of(1).data), "image/jpeg", "1.2.840.10008.1.2.4.50"))  # type: ignore[arg-type]  # as the wire may give it
    assert read(frames, [1]) == {1}


def test_what_does_not_decode_is_given_no_more(place: Path) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 9))
    written()
    frames.discard(key_of(3))
    assert read(frames, range(1, 9)) == {1, 2, 4, 5, 6, 7, 8}
    keep(frames, [3])
    assert read(frames, [3]) == {3}
    frames.discard(key_of(3))
    assert read(frames, [3]) == set()
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 9)) == {1, 2, 4, 5, 6, 7, 8}


def test_a_series_is_forgotten_at_once_and_for_good(place: Path) -> None:
    cache = cache_in(place)
    frames, other = opened(cache), opened(cache, series="9.9")
    keep(frames, range(1, 9))
    other.keep(key_of(1, "9.9"), frame_of(1))
    written()
    cache.forget(STUDY, SERIES)
    keep(frames, [20])  # of an opening of the past
    again = opened(cache)
    assert read(again, range(1, 30)) == set()
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 30)) == set()
    assert asyncio.run(opened(cache_in(place), series="9.9").frames([key_of(1, "9.9")]))


def test_a_server_is_forgotten_and_no_other(place: Path) -> None:
    cache, other = cache_in(place), cache_in(place, base="http://elsewhere")
    frames, others = opened(cache), opened(other)
    keep(frames, range(1, 9))
    keep(others, range(1, 9))
    written()
    cache_in(place).forget()  # as a process does that has opened nothing
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 9)) == set()
    assert read(opened(cache_in(place, base="http://elsewhere")), range(1, 9)) == set(range(1, 9))


def test_frames_of_another_state_of_the_series_are_not_given(place: Path) -> None:
    cache = cache_in(place)
    before = opened(cache, SeriesMetadata(b"[1]", etag='"1"'))
    keep(before, range(1, 9))
    written()
    after = opened(cache, SeriesMetadata(b"[1]", etag='"2"'))
    assert read(after, range(1, 9)) == set()
    keep(before, range(1, 9))  # by somebody who still reads what was
    assert read(after, range(1, 9)) == set()


@pytest.mark.usefixtures("_searching")
def test_metadata_comes_back_with_its_validators(place: Path) -> None:
    metadata = SeriesMetadata(b'[{"a":"' + "ä".encode() * 9999 + b'"},{}]', '"tag"', "Sat, 01 Jan 2000 00:00:00 GMT")
    opened(cache_in(place), metadata)
    listed = b'[{"00080018":{"vr":"UI","Value":["1.2"]}},{"00080018":{"vr":"UI","Value":["1.10"]}}]'
    opened(cache_in(place), SeriesMetadata(listed), series="3.4")
    forget_storages()
    assert asyncio.run(cache_in(place).series(STUDY, SERIES)) == HeldSeries(metadata)
    assert asyncio.run(cache_in(place).series(STUDY, "3.4")) == HeldSeries(
        SeriesMetadata(listed), ListedInstances.of(["1.10", "1.2"])
    )


# --- who may read it ---


def test_another_identity_hits_nothing(place: Path) -> None:
    keep(opened(cache_in(place, credentials="alice")), range(1, 9))
    written()
    bob = cache_in(place, credentials="bob")
    assert asyncio.run(bob.series(STUDY, SERIES)) is None
    assert read(opened(bob), range(1, 9)) == set()
    assert read(opened(cache_in(place, credentials="alice")), range(1, 9)) == set(range(1, 9))


def test_nothing_in_the_files_tells_what_they_are_of(place: Path) -> None:
    keep(opened(cache_in(place, credentials='["alice", "p4ssword"]')), range(1, 9))
    written()
    held = b"".join(path.read_bytes() for path in place.iterdir())
    assert frame_of(3).data in held
    for text in (STUDY, SERIES, disk_caches.INSTANCE, "pacs.example", "alice", "p4ssword", "00100010"):
        assert text.encode() not in held


def named_by_module() -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"auth": ("alice", "1")}),
        ({"auth": ("alice", "1")}, {"auth": ("alice", "2")}),
        ({"auth": ("alice", "1")}, {"auth": ("bob", "1")}),
        ({"headers": {"X-Key": "1"}}, {"headers": {"X-Key": "2"}}),
        ({"auth": "env:ONE"}, {"auth": "env:OTHER"}),
        ({"auth": "netrc"}, {}),
        ({"auth": named_by_module}, {"auth": "json:loads"}),
    ],
)
def test_credentials_that_can_be_named_last(one: dict[str, Any], other: dict[str, Any]) -> None:
    names = [StorageOptions.parse(timeout=seconds, **one).access.lasting_credentials for seconds in (1, 2)]
    assert names[0] == names[1]
    assert names[0] is not None
    assert names[0] != StorageOptions.parse(**other).access.lasting_credentials


def test_credentials_without_a_name_end_with_the_process(place: Path) -> None:
    options = [StorageOptions.parse(auth=partial(dict, number=number), cache_dir=place) for number in range(2)]
    assert [one.access.lasting_credentials for one in options] == [None, None]
    caches = [DiskCache.of("http://h", one.access) for one in options]
    assert caches[0] is not None
    assert caches[1] is not None
    keep(opened(caches[0]), range(1, 9))
    assert read(opened(caches[0]), range(1, 9)) == set(range(1, 9))
    assert read(opened(caches[1]), range(1, 9)) == set()
    assert caches[0]._credentials.startswith(_process.tag)


@POSIX
def test_only_the_owner_can_look(place: Path) -> None:
    keep(opened(cache_in(place)), range(1, 9))
    storages = list(_process.storages.values())
    assert storages[-1].writer.drain(9)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {name.rpartition("-")[2] for name in modes} >= {"secret", "1.db", "wal"}


@POSIX
def test_a_directory_that_was_there_keeps_its_mode(place: Path) -> None:
    place.mkdir(mode=0o755)
    keep(opened(cache_in(place)), range(1, 9))
    written()
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}


# --- what is not ours ---


def contents(place: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in place.iterdir() if path.is_file()}


def names_of_ours(place: Path) -> list[str]:
    """All that a cache in use has in its directory."""
    keep(opened(cache_in(place)), range(1, 9))
    written()
    found = [path.name for path in place.iterdir()]
    forget_storages()
    shutil.rmtree(place)
    return found


def test_files_of_the_user_are_left_alone(place: Path) -> None:
    earlier = names_of_ours(place)
    assert len(earlier) >= 3
    place.mkdir(mode=0o700)
    ordinary = ["secret", "cache-1.db", "cache-2.db", "cache-2.db-wal", "new-0123456789abcdef", "dicomzarr-notes.new"]
    ordinary += ["books.index"]
    for name in ordinary + [name for name in earlier if name != "dicomzarr-secret"]:
        (place / name).write_bytes(b"the user's own: " + name.encode())
    before = contents(place)
    frames = opened(cache_in(place))
    keep(frames, range(1, 99))
    written()
    assert read(frames, range(1, 99)) == set(range(1, 99))
    database(place).write_bytes(b"damaged" * 999)
    with pytest.warns(DiskCacheWarning, match="begins anew"):
        read(opened(cache_in(place)), range(1, 99))
    forget_storages()
    clear(place)
    assert before.items() <= contents(place).items()


@pytest.mark.parametrize("text", [b"", b"hunter2", bytes(32), bytes(16), b"x" * 5000])
def test_a_file_of_the_user_by_the_key_of_our_secret_is_refused(place: Path, text: bytes) -> None:
    place.mkdir(mode=0o700)
    (place / "dicomzarr-secret").write_bytes(text)
    (place / "dicomzarr-0123456789abcdef-1.db").write_bytes(b"mine")
    before = contents(place)
    with serving(slides.brightfield_pyramid()) as served, pytest.raises(InvalidOptionError, match="not made by dicomz"):
        dicomzarr.open(served.url, cache_dir=place)
    for look in (clear, look_at):
        with pytest.raises(InvalidOptionError, match="nothing in that directory is touched"):
            look(place)
    assert contents(place) == before


def test_a_folder_by_the_key_of_our_secret_is_refused(place: Path) -> None:
    (place / "dicomzarr-secret").mkdir(parents=True, mode=0o700)
    place.chmod(0o700)
    with pytest.raises(InvalidOptionError, match="not made by dicomzarr"):
        opened(cache_in(place))
    assert [path.name for path in place.iterdir()] == ["dicomzarr-secret"]


@POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(place: Path, mode: int) -> None:
    place.mkdir()
    place.chmod(mode)
    with serving(slides.brightfield_pyramid()) as served, pytest.raises(InvalidOptionError, match="Others may write"):
        dicomzarr.open(served.url, cache_dir=place)
    assert list(place.iterdir()) == []


@POSIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(place: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, 12345, -1)
    with pytest.raises(InvalidOptionError, match="belongs to user 12345"):
        opened(cache_in(place))


def test_a_file_is_no_directory(place: Path) -> None:
    place.write_text("a file")
    for path in (place, place / "below"):
        with pytest.raises(InvalidOptionError, match="is no directory"):
            opened(cache_in(path))


# --- bounds ---


def total(place: Path) -> int:
    return sum(path.stat().st_size for path in place.iterdir())


def test_the_bound_holds_and_what_was_used_last_stays(place: Path) -> None:
    now = 1_000_000
    use_storage(place, clock=lambda: now)
    frames = opened(cache_in(place, bound=2**22))
    largest = 0
    for start in range(1, 4001, 100):
        now += 100
        keep(frames, range(start, start + 100))
        written()
        assert read(frames, range(1, 20)) == set(range(1, 20))
        written()
        largest = max(largest, total(place))
    assert 2**21 < largest <= 2**22
    held = read(frames, range(1, 4001))
    assert set(range(3901, 4001)) <= held
    assert not held & set(range(100, 3000))
    assert asyncio.run(cache_in(place, bound=2**22).series(STUDY, SERIES)) is not None  # as old as its youngest frame


def test_a_bound_that_was_lowered_shrinks_the_file(place: Path) -> None:
    keep(opened(cache_in(place)), range(1, 1501))
    forget_storages()
    assert total(place) > 8 * 2**20
    frames = opened(cache_in(place, bound=2**21))
    keep(frames, range(2001, 2003))
    forget_storages()
    assert total(place) <= 2**21
    assert read(opened(cache_in(place, bound=2**21)), [2001, 2002]) == {2001, 2002}


def test_the_bound_holds_for_processes_that_read_and_write_at_the_same_time(place: Path) -> None:
    bound = 2**24
    script = (
        f"import sys\nsys.path.insert(0, {str(Path(disk_caches.__file__).parent)!r})\n"
        "import random, time\nfrom pathlib import Path\nfrom disk_caches import *\n"
        f"frames = opened(cache_in(Path(sys.argv[1]), bound={bound}))\n"
        "for number in range(1, 401):\n"
        "    key = key_of(random.randrange(200))\n"
        "    time.sleep(0.003)\n"
        "    if not asyncio.run(frames.frames([key])):\n"
        "        frames.keep(key, EncodedFrame(bytes(2**19), '', None))"
    )
    largest = 0
    with ExitStack() as stack:
        running = [
            stack.enter_context(piped(sys.executable, "-W", "error", "-c", script, str(place))) for _ in range(2)
        ]
        while any(each.poll() is None for each in running):
            with suppress(FileNotFoundError):
                largest = max(largest, total(place))
            time.sleep(0.002)
        assert [(each.communicate()[1], each.returncode) for each in running] == [("", 0)] * 2
    assert bound // 2 < largest <= bound


def test_the_bound_holds_while_a_reader_that_stands_still_keeps_the_log(place: Path) -> None:
    frames = opened(cache_in(place, bound=2**21))
    keep(frames, range(1, 50))
    written()
    path = generations.current(place)
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries").fetchone()
        for start in range(50, 4000, 500):
            keep(frames, range(start, start + 500))
            frames._storage.writer.drain(0.5)
            assert total(place) <= 2**21
        frames.discard(key_of(1))  # what must not be read again goes, whatever room there is
        assert frames._storage.writer.drain(SECONDS)
        assert read(frames, [1]) == set()
        assert total(place) <= 2**21
    time.sleep(storage._ROOM)
    keep(frames, range(5000, 5050))
    written()
    assert read(frames, range(5000, 5050)) == set(range(5000, 5050))


def test_what_only_notes_use_does_not_fill_the_directory(place: Path) -> None:
    now = 1_000_000
    use_storage(place, clock=lambda: now)
    frames = opened(cache_in(place, bound=2**20))
    keep(frames, range(1, 40))
    written()
    for _ in range(200):
        now += 100
        assert read(frames, range(1, 40))
        written()
        assert total(place) <= 2**20


def test_an_entry_of_an_eighth_fits_into_a_full_directory(place: Path) -> None:
    bound = 2**27  # an eighth is more than a batch
    frames = opened(cache_in(place, bound=bound))
    largest = 0
    for number in range(1, 26):
        size = 2**24 - 2**12 if number % 5 == 0 else 2**22
        frames.keep(key_of(number), EncodedFrame(os.urandom(2**12) * (size // 2**12), "", None))
        written()
        largest = max(largest, total(place))
    assert 2**26 < largest <= bound
    assert len(asyncio.run(frames.held([key_of(25), key_of(24)]))) == 2


def test_what_is_too_large_and_all_below_a_smallest_bound_is_not_kept(place: Path) -> None:
    frames = opened(cache_in(place, bound=2**20))
    frames.keep(key_of(1), frame_of(1).__class__(bytes(2**18), "", None))
    keep(frames, [2])
    written()
    assert read(frames, [1, 2]) == {2}
    small = place.parent / "small"
    keep(opened(cache_in(small, bound=2**20 - 1)), range(1, 9))
    forget_storages()
    assert read(opened(cache_in(small, bound=2**20 - 1)), range(1, 9)) == set()


def test_what_the_disk_cannot_follow_is_dropped(place: Path) -> None:
    use_storage(place, most_waiting=100_000)
    frames = opened(cache_in(place))
    with list(_process.storages.values())[-1].connections[0].lock:  # a disk that does not answer
        keep(frames, range(1, 1000))  # and does not wait for it
    written()
    assert 0 < len(read(frames, range(1, 1000))) < 100


# --- damage ---


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 24))])
def test_flipped_bytes_are_never_pixels(place: Path, seed: int) -> None:
    keep(opened(cache_in(place)), range(1, 300))
    path = database(place)
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(1 + 4 ** (seed % 6)):
        # The first pages hold the schema and the roots, of which all else hangs.
        at = chance.randrange(16384) if chance.random() < 0.2 else chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    use_damaged(place)


def use_damaged(place: Path) -> None:
    """Read and write until all is well again; ``read`` sees to it that no frame is wrong."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        frames = opened(cache_in(place))
        for _ in range(4):
            missing = set(range(1, 300)) - read(frames, range(1, 300))
            keep(frames, missing)
            list(_process.storages.values())[-1].writer.drain(SECONDS)
        assert read(frames, range(1, 300)) == set(range(1, 300))
    assert [warning.category for warning in told] in ([], [DiskCacheWarning])
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 300)) == set(range(1, 300))


@pytest.mark.parametrize(
    "keeps",
    [0, 100, 8192 * 100, -1, *(pytest.param(keeps, marks=pytest.mark.slow) for keeps in (1, 8192, 50_000, -8192))],
)
def test_a_file_that_was_cut_off_is_never_pixels(place: Path, keeps: int) -> None:
    keep(opened(cache_in(place)), range(1, 300))
    path = database(place)
    path.write_bytes(path.read_bytes()[:keeps])
    use_damaged(place)


@pytest.mark.parametrize("damage", ["other schema", "no table", "no database", "no secret", "gone"])
def test_what_is_not_ours_is_begun_anew(place: Path, damage: str) -> None:
    keep(opened(cache_in(place)), range(1, 300))
    path = database(place)
    with closing(sqlite3.connect(path)) as connection:
        if damage == "other schema":
            connection.execute("PRAGMA user_version = 99")
        if damage == "no table":
            connection.execute("DROP TABLE bodies")
    if damage == "no database":
        path.write_bytes(random.Random(1).randbytes(100_000))
    if damage == "no secret":
        (place / "dicomzarr-secret").unlink()
    if damage == "gone":
        shutil.rmtree(place)
    use_damaged(place)


def test_a_damaged_database_is_told_of_once(place: Path) -> None:
    keep(opened(cache_in(place)), range(1, 30))
    path = database(place)
    path.write_bytes(b"no database" * 1000)
    with pytest.warns(DiskCacheWarning, match="was damaged and begins anew") as told:
        read(opened(cache_in(place)), range(1, 30))
    assert len(told) == 1
    assert not path.exists()


def test_a_directory_that_goes_away_and_comes_back_does_no_harm(place: Path) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 30))
    written()
    shutil.rmtree(place)
    with pytest.warns(DiskCacheWarning, match="cannot be used for now"):
        assert read(frames, range(1, 30)) == set()
    forget_storages()
    keep(opened(cache_in(place)), range(1, 30))
    written()
    assert read(opened(cache_in(place)), range(1, 30)) == set(range(1, 30))


def test_two_processes_may_begin_anew_at_the_same_time(place: Path) -> None:
    """One has the old file open, and keeps what it has; then it follows."""
    frames = opened(cache_in(place))
    keep(frames, range(1, 30))
    written()
    old = generations.current(place)
    assert old is not None
    generations.follow(old)
    generations.follow(old)
    assert [path.name.rpartition("-")[2] for path in place.glob("*.db")] == ["2.db"]
    assert read(frames, range(1, 30)) == set()
    keep(frames, range(1, 30))
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 30)) == set(range(1, 30))


# --- crashes and company ---


@contextmanager
def other_process(place: Path, *words: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, disk_caches.__file__, str(place), *map(str, words)]
    with piped(*command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_processes_share_a_directory(place: Path) -> None:
    with other_process(place, 1, 512, 6) as one, other_process(place, 257, 512, 6) as two:
        frames = opened(cache_in(place, bound=2**24))
        while one.poll() is None or two.poll() is None:
            read(frames, range(1, 800))
        ends = [process.communicate()[1] for process in (one, two)]
    assert (one.returncode, two.returncode, ends) == (0, 0, ["", ""])
    assert len(read(frames, range(1, 769))) > 500


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing kills like that here")
@pytest.mark.parametrize("milliseconds", [90, *(pytest.param(ms, marks=pytest.mark.slow) for ms in (30, 150, 310))])
def test_what_a_killed_writer_leaves_is_right(place: Path, milliseconds: int) -> None:
    with other_process(place, 1, 4096, -1) as process:
        time.sleep(milliseconds / 1000)  # somewhere in the middle of writing
        process.send_signal(signal.SIGKILL)
        process.wait()
    frames = opened(cache_in(place))
    held = read(frames, range(1, 4097))
    keep(frames, set(range(1, 300)) - held)
    written()
    assert set(range(1, 300)) <= read(frames, range(1, 4097))


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_reads_and_writes_with_what_it_was_given(place: Path) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 100))
    written()
    read(frames, range(1, 100))
    keep(frames, range(100, 200))  # under way at the fork
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert read(frames, range(1, 100)) == set(range(1, 100))
                keep(frames, [1000 + number])
                written()
                assert read(frames, [1000 + number]) == {1000 + number}
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    written()
    assert read(frames, range(1, 2000)) == {*range(1, 200), 1000, 1001, 1002}


def test_the_end_of_a_process_is_quiet_and_writes_what_waits(place: Path) -> None:
    script = (
        f"import sys\nsys.path.insert(0, {str(Path(disk_caches.__file__).parent)!r})\n"
        "from pathlib import Path\nfrom dicomzarr.disk import process\nfrom disk_caches import *\n"
        "process._ENDING = SECONDS\n"  # on a busy machine all of it may take more than the second that there is
        "frames = opened(cache_in(Path(sys.argv[1])))\nread(frames, range(9))\nkeep(frames, range(1, 300))"
    )
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", script, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  # our own
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read(opened(cache_in(place)), range(1, 300)) == set(range(1, 300))


# --- disks that do not serve ---


def test_a_full_disk_costs_the_cache_and_nothing_else(place: Path) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 100))
    written()
    held = list(_process.storages.values())[-1].connections[0]
    with held.use() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def keep_on() -> None:
        for start in (100, 200, 300):
            keep(frames, range(start, start + 100))
            frames._storage.writer.drain(5)

    with pytest.warns(DiskCacheWarning, match="SQLITE_FULL") as told:
        keep_on()
    assert len(told) == 1
    assert read(frames, range(1, 400)) == set(range(1, 100))


def test_a_locked_database_is_not_waited_for(place: Path) -> None:
    keep(opened(cache_in(place)), range(1, 100))
    path = database(place)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.warns(DiskCacheWarning, match="cannot be used for now") as told:
            frames = opened(cache_in(place))
        assert [read(frames, range(1, 100)) for _ in range(200)] == [set()] * 200
        assert time.monotonic() - started < 200 * READ_SECONDS  # which is what waiting would take
    assert len(told) == 1


READ_ONLY = """
import json, os, sys, warnings
from disk_caches import *
place = Path(sys.argv[1])
place.chmod(0o500)
if os.geteuid() == 0:  # who may write everywhere
    for path in (place, *place.iterdir()):
        os.chown(path, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

async def use(cache):
    held = await cache.series(STUDY, SERIES)
    frames = await cache.opened(STUDY, SERIES, METADATA, held, countable=True)
    if frames is not None:
        keep(frames, range(1, 9))
        await frames.frames([key_of(number) for number in range(1, 9)])

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(3):
        asyncio.run(use(cache_in(place)))
        cache_in(place).written(5)
print(json.dumps([warning.category.__name__ for warning in told]))
"""


@POSIX
@pytest.mark.parametrize("was_used", [False, True])
def test_a_directory_that_cannot_be_written_to_costs_nothing_but_the_cache(was_used: bool) -> None:  # noqa: FBT001  # parametrized
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        place = Path(folder) / "cache"
        place.mkdir(mode=0o700)
        if was_used:
            keep(opened(cache_in(place)), range(1, 9))
            forget_storages()
        assert run_python(READ_ONLY, str(place)) == ["DiskCacheWarning"]
        place.chmod(0o700)


# --- what cannot be kept ---

NO_TEXT = "image/\udce9"  # bytes of a header that are no UTF-8


def test_metadata_nested_without_end_are_kept_like_others(place: Path) -> None:
    deep = SeriesMetadata(b'[{"00080018":{"Value":' + b"[" * 200_000 + b"]" * 200_000 + b"}}]")
    keep(opened(cache_in(place), deep), range(1, 9))
    forget_storages()
    assert asyncio.run(cache_in(place).series(STUDY, SERIES)) == HeldSeries(deep)
    assert read(opened(cache_in(place), deep), range(1, 9)) == set(range(1, 9))


def test_a_change_that_fails_costs_its_batch_and_nothing_after(place: Path) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 9))
    written()
    writer = frames._storage.writer

    def fail_twice() -> None:
        for number in (1, 2):
            with writer._changed:  # so that both are in one batch
                frames.discard(key_of(number))
                writer.add(Replace(lambda: 1 // 0, 0))  # type: ignore[arg-type,return-value]  # which fails before
            writer.drain(SECONDS)
            assert read(frames, range(1, 9)) == set(range(number + 1, 9))
            keep(frames, [100 + number])
            written()

    with pytest.warns(DiskCacheWarning, match=r"did not take something \(ZeroDivisionError\)") as told:
        fail_twice()
    assert len(told) == 1
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 200)) == {*range(3, 9), 101, 102}


def test_a_thread_that_does_not_start_is_tried_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = opened(cache_in(place))
    written()
    forget_storages()
    frames._storage.forget()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        keep(frames, range(1, 100))
    keep(frames, [100])
    assert frames._storage.writer.drain(SECONDS)
    frames._storage.close_connections()
    assert {1, 100} <= read(opened(cache_in(place)), range(1, 101))


@pytest.mark.parametrize(("media_type", "syntax"), [(NO_TEXT, None), ("image/jpeg", NO_TEXT)])
def test_a_frame_whose_header_is_no_text_is_not_kept(place: Path, media_type: str, syntax: str | None) -> None:
    frames = opened(cache_in(place))
    frames.keep(key_of(1), EncodedFrame(b"pixels", media_type, syntax))
    keep(frames, [2])
    assert read(frames, [1, 2]) == {2}


def test_a_frame_that_there_is_no_memory_for_is_not_kept(place: Path) -> None:
    class Huge:
        def __bytes__(self) -> bytes:
            raise MemoryError

    frames = opened(cache_in(place))
    frames.keep(key_of(1), EncodedFrame(Huge(), "", None))  # type: ignore[arg-type]  # a view that is copied
    keep(frames, [2])
    assert read(frames, [1, 2]) == {2}


def test_metadata_whose_tag_is_no_text_are_not_kept(place: Path) -> None:
    metadata = SeriesMetadata(b"[{}]", etag=NO_TEXT)
    keep(opened(cache_in(place), metadata), range(1, 9))
    forget_storages()
    assert asyncio.run(cache_in(place).series(STUDY, SERIES)) is None
    assert read(opened(cache_in(place), metadata), range(1, 9)) == set(range(1, 9))


# --- opening a second time ---


def tagged(tags: list[str], header: str = "ETag") -> Middleware:
    """Gives metadata under the last of the tags, and says where it is the same."""
    condition = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}[header]

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if faults.resource(request) != "metadata":
            return response
        if request.headers.get(condition) == tags[-1]:
            return web.Response(status=304, headers={header: tags[-1]})
        response.headers[header] = tags[-1]
        return response

    return answer


def asked(served: Served) -> list[str]:
    """What was asked of the server since the last time."""
    found = [request.resource for request in served.server.requests]
    served.server.requests.clear()
    return found


def open_anew(served: Served, place: Path, **options: Any) -> dicomzarr.Image:
    """Open as a new process would, when all is written."""
    forget_servers()
    forget_storages()
    return open_image(served.url, cache_dir=place, **options)


def levels(image: dicomzarr.Image) -> list[Any]:
    return [level[...] for level in image.levels]


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_second_opening_costs_one_conditional_request(place: Path, header: str) -> None:
    tags = ['W/"1"' if header == "ETag" else "Sat, 01 Jan 2000 00:00:00 GMT"]
    with serving(slides.brightfield_pyramid(), tagged(tags, header)) as served:
        first = levels(open_anew(served, place))
        assert asked(served)[0] == "metadata"
        image = open_anew(served, place)
        (request,) = served.server.requests
        assert request.resource == "metadata"
        assert request.headers[{"ETag": "If-None-Match"}.get(header, "If-Modified-Since")] == tags[0]
        for before, after in zip(first, levels(image), strict=True):
            np.testing.assert_array_equal(before, after)


def frames_on_disk(served: Served, place: Path, **options: Any) -> DiskFrames:
    """The frames on disk of the series in the state in which it was last opened."""
    cache = DiskCache.of(served.server.url, StorageOptions.parse(cache_dir=place, **options).access)
    series = served.slide.study_uid, served.slide.series_uid
    assert cache is not None

    async def open_it(cache: DiskCache) -> DiskFrames | None:
        held = await cache.series(*series)
        assert held is not None
        return await cache.opened(*series, held.metadata, held, countable=held.instances is not None)

    written()
    frames = asyncio.run(open_it(cache))
    assert frames is not None
    return frames


@pytest.mark.usefixtures("_searching")
def test_a_warm_region_needs_no_frame_request(place: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        first = levels(open_anew(served, place))
        assert "frames" in asked(served)
        second = levels(open_anew(served, place))
        assert set(asked(served)) == SEARCHES
        path = database(place)
        data = bytearray(path.read_bytes())
        chance = random.Random(5)
        for _ in range(len(data) // 8192):
            data[chance.randrange(16384, len(data))] ^= 1
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DiskCacheWarning)
            third = levels(open_anew(served, place))
        assert "frames" in asked(served)
        for others in (second, third):
            for before, after in zip(first, others, strict=True):
                np.testing.assert_array_equal(before, after)


def test_another_tag_means_other_metadata_and_other_frames(place: Path) -> None:
    tags = ['"1"']
    with serving(slides.brightfield_pyramid(), tagged(tags)) as served:
        open_anew(served, place)
        keep(frames_on_disk(served, place), [1])
        open_anew(served, place)
        assert read(frames_on_disk(served, place), [1]) == {1}
        tags.append('"2"')
        open_anew(served, place)
        assert read(frames_on_disk(served, place), [1]) == set()
        tags.pop()
        open_anew(served, place)
        assert read(frames_on_disk(served, place), [1]) == set()  # forgotten, and not only out of sight


SEARCHES = {"series", "instances"}
"""What is asked where no tag tells whether a series has changed: how many instances it has, and which."""


@pytest.mark.usefixtures("_searching")
def test_without_tags_a_second_opening_costs_two_searches_at_once(place: Path) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        first = levels(open_anew(served, place))
        assert asked(served)[0] == "metadata"
        keep(frames_on_disk(served, place), [1])
        image = open_anew(served, place)
        assert {request.resource: dict(request.query) for request in served.server.requests} == {
            "series": {"SeriesInstanceUID": served.slide.series_uid, "includefield": "00201209", "limit": "1"},
            "instances": {"limit": str(len(served.slide.datasets))},
        }
        assert len(served.server.requests) == len(SEARCHES)
        for before, after in zip(first, levels(image), strict=True):
            np.testing.assert_array_equal(before, after)
        assert read(frames_on_disk(served, place), [1]) == {1}


def without_instances(hidden: list[int], number: int) -> Middleware:
    """A server that has fewer instances than this yet: as many as the last number says."""

    @web.middleware
    async def change(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = faults.resource(request)
        if resource not in {"metadata", "instances", "series"}:
            return response
        items = await json_of(response)
        if resource == "instances":
            return web.json_response(items[: number - hidden[-1]])
        if resource == "metadata":
            return web.json_response(items[: len(items) - hidden[-1]])
        items[0]["00201209"]["Value"][0] -= hidden[-1]
        return web.json_response(items)

    return change


@pytest.mark.usefixtures("_searching")
def test_another_number_of_instances_means_other_metadata(place: Path) -> None:
    hidden, slide = [2], slides.brightfield_pyramid()
    with serving(slide, without_instances(hidden, len(slide.datasets))) as served:
        shown = len(open_anew(served, place).levels)
        keep(frames_on_disk(served, place), [1])
        asked(served)
        open_anew(served, place)
        assert set(asked(served)) == SEARCHES
        hidden.append(0)
        assert len(open_anew(served, place).levels) > shown
        *searches, last = asked(served)
        assert (set(searches), last) == (SEARCHES, "metadata")
        assert read(frames_on_disk(served, place), [1]) == set()
        open_anew(served, place)
        assert set(asked(served)) == SEARCHES


def replaced(key: str, value: Any) -> Middleware:
    """Changes an attribute of each result of a search for series; None leaves it out."""

    @web.middleware
    async def change(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if faults.resource(request) != "series":
            return response
        results = await json_of(response)
        for result in results:
            result.pop(key)
            if value is not None:
                result[key] = {"vr": "IS", "Value": [value]}
        return web.json_response(results)

    return change


def renamed(new: list[str], place: int) -> Middleware:
    """A server that holds another instance in the place of one, once it has a new name."""

    @web.middleware
    async def change(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if faults.resource(request) not in {"metadata", "instances"} or not new:
            return response
        items = await json_of(response)
        first = int(request.query.get("offset", "0"))
        if first <= place < first + len(items):
            items[place - first]["00080018"]["Value"] = new[-1:]
        return web.json_response(items)

    return change


@pytest.mark.parametrize(
    ("number", "bytes_of_each", "searches"),
    [
        (3, 1, ["instances", "series"]),
        (200, 1, ["instances", "series"]),
        (201, 1, ["instances", "instances", "series"]),
        (3, 2**15, []),
    ],
)
@pytest.mark.parametrize("at", [0, -1])
def test_an_instance_that_is_replaced_by_another_means_other_metadata(  # noqa: PLR0913, PLR0917  # parametrized
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int, bytes_of_each: int, searches: list[str], at: int
) -> None:
    """Their number stays, and the server gives no tag."""
    monkeypatch.setattr(held, "_WORTH_SEARCHING", bytes_of_each)
    series = radiology_volumes.volume(pixels=np.zeros((number, 2, 2), np.uint16), name=f"replaced {number}")
    new: list[str] = []
    with DICOMwebServer(Archive(series.datasets), middlewares=[renamed(new, range(number)[at])]) as server:

        def opened_anew() -> tuple[set[str], list[str]]:
            forget_servers()
            forget_storages()
            server.requests.clear()
            image = open_image(server.series_url(series.study_uid, series.series_uid), cache_dir=place)
            uids = set(image.levels[0]._plan.attributes.sop_instance_uids)
            return uids, sorted(request.resource for request in server.requests)

        uids, _ = opened_anew()
        unchanged = searches or ["metadata"]
        assert opened_anew() == (uids, unchanged)
        new.append("1.2.3.4.5")
        shown, asked = opened_anew()
        assert asked == sorted([*searches, "metadata"])
        assert (shown - uids, len(uids - shown)) == ({"1.2.3.4.5"}, 1)
        assert opened_anew() == (shown, unchanged)
        forget_servers()


def test_a_server_that_gives_metadata_by_instance_is_asked_which_there_are(place: Path) -> None:
    """A request for each of them otherwise."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "instances" not in request.path:
            raise web.HTTPNotFound
        return await handler(request)

    with serving(slides.brightfield_pyramid(), faults.fault(act, on="metadata")) as served:
        first = levels(open_anew(served, place))
        assert asked(served).count("metadata") > 1
        for _ in range(2):
            second = levels(open_anew(served, place))
            assert set(asked(served)) == SEARCHES
        for before, after in zip(first, second, strict=True):
            np.testing.assert_array_equal(before, after)


def test_frames_stay_in_whatever_order_instances_are_sent(place: Path) -> None:
    turned: list[bool] = []

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        items = await json_of(await handler(request))
        return web.json_response(items[::-1] if turned else items)

    with serving(slides.brightfield_pyramid(), faults.fault(act, on="metadata")) as served:
        first = levels(open_anew(served, place))
        turned.append(True)
        for _ in range(2):
            asked(served)
            second = levels(open_anew(served, place))
            assert asked(served) == ["metadata"]
            for before, after in zip(first, second, strict=True):
                np.testing.assert_array_equal(before, after)


@pytest.mark.usefixtures("_searching")
@pytest.mark.parametrize("resource", sorted(SEARCHES))
def test_a_server_that_goes_away_meanwhile_is_said_to(place: Path, resource: str) -> None:
    gone: list[bool] = []
    with serving(slides.brightfield_pyramid(), faults.reset(on=resource, when=lambda _: bool(gone))) as served:
        open_anew(served, place)
        gone.append(True)
        with pytest.raises(ConnectionFailedError):
            open_anew(served, place, timeout=1)


@pytest.mark.parametrize("tags", [[], ['"1"']])
def test_what_could_not_be_had_of_metadata_is_asked_for_anew(place: Path, tags: list[str]) -> None:
    """Also where the series has not changed since: what failed once is no state of it."""
    series, down = radiology_volumes.volume(pixels=radiology_volumes.distinct((4, 16, 20), signed=True)), [True]
    layout = {"00280101", "00280102", "00280103"}
    faulty = (
        *([tagged(tags)] if tags else []),
        faults.status(404, on="instances", when=lambda _: bool(down)),
        faults.leave_out(lambda tag, _: tag in layout, on_instances=True),
    )
    with serving(series, *faulty) as served:
        for _ in range(2):
            image = open_anew(served, place)
            assert any("could not be had" in notice for notice in image.notices)
        down.clear()
        image = open_anew(served, place)
        assert not image.notices
        assert image.levels[0].dtype.kind == "i"


def test_what_a_release_wrote_that_knew_the_number_alone_is_not_held() -> None:
    content = HeldSeries(SeriesMetadata(b"[]"), ListedInstances.of(["1.2"])).content()
    without = msgspec.json.encode(msgspec.json.decode(content.facts)[:4])
    assert HeldSeries.of(content) is not None
    assert HeldSeries.of(content._replace(facts=without)) is None


def instances_as(results: list[dict[str, Any]]) -> Middleware:
    """Finds these instances, whatever was searched for."""

    @web.middleware
    async def change(request: web.Request, handler: Handler) -> web.StreamResponse:
        return web.json_response(results) if faults.resource(request) == "instances" else await handler(request)

    return change


@pytest.mark.usefixtures("_searching")
@pytest.mark.parametrize(
    "middleware",
    [
        replaced("00201209", None),
        replaced("00201209", 99),
        replaced("00201209", "many"),
        replaced("00201209", "9" * 5000),
        replaced("00201209", [3]),
        replaced("0020000E", "9.9.9"),
        faults.status(404, on="series"),
        faults.status(403, on="series"),
        faults.html_login(on="series"),
        faults.status(404, on="instances"),
        faults.status(403, on="instances"),
        faults.html_login(on="instances"),
        instances_as([]),
        instances_as([{}]),
        instances_as([{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}]),
    ],
)
def test_a_server_that_does_not_list_is_asked_for_the_metadata(place: Path, middleware: Middleware) -> None:
    with serving(slides.brightfield_pyramid(), middleware) as served:
        open_anew(served, place)
        keep(frames_on_disk(served, place), [1])
        asked(served)
        open_anew(served, place)
        *searches, last = asked(served)  # once, to learn it, and after a 404 whether anything is found there
        assert (set(searches), last) == (SEARCHES, "metadata")
        assert len(searches) <= 3
        for _ in range(2):
            open_anew(served, place)
            assert asked(served) == ["metadata"]
        assert read(frames_on_disk(served, place), [1]) == {1}


@pytest.mark.parametrize("has_tags", [True, False])
def test_a_series_that_disappeared_is_forgotten(place: Path, has_tags: bool) -> None:  # noqa: FBT001  # parametrized
    with serving(slides.brightfield_pyramid(), *([tagged(['"1"'])] if has_tags else [])) as served:
        open_anew(served, place)
        frames = frames_on_disk(served, place)
        keep(frames, [1])
        archive = served.server.held
        assert isinstance(archive, Archive)
        archive._series.clear()
        with pytest.raises(SeriesNotFoundError):
            open_anew(served, place)
        written()
        assert read(frames, [1]) == set()
        cache = DiskCache.of(served.server.url, StorageOptions.parse(cache_dir=place).access)
        assert cache is not None
        assert asyncio.run(cache.series(served.slide.study_uid, served.slide.series_uid)) is None


def test_who_may_not_read_is_not_served_from_disk(place: Path) -> None:
    tags = ['"1"']
    with serving(slides.brightfield_pyramid(), tagged(tags)) as served:
        open_anew(served, place, auth=("alice", "1"))
        asked(served)
        open_anew(served, place, auth=("bob", "1"))
        (request,) = served.server.requests
        assert "If-None-Match" not in request.headers


def test_invalidating_reads_metadata_and_frames_anew(place: Path) -> None:
    with serving(slides.brightfield_pyramid(), tagged(['"1"'])) as served:
        open_anew(served, place)
        keep(frames_on_disk(served, place), [1])
        DICOMwebFileSystem(cache_dir=place).invalidate_cache(served.url)
        (endpoint,) = opening._endpoints.recent.values()
        (disk,) = endpoint.disks
        while disk._to_forget:  # a view that nobody holds any more may forget a moment later
            time.sleep(0.001)
        forget_servers()
        asked(served)
        open_image(served.url, cache_dir=place)
        (request,) = served.server.requests
        assert "If-None-Match" not in request.headers
        assert read(frames_on_disk(served, place), [1]) == set()


def test_metadata_of_many_frames_is_kept(place: Path) -> None:
    with serving_big("sparse") as (server, url):
        for expected in ({"metadata"}, SEARCHES):
            forget_servers()
            forget_storages()
            server.requests.clear()
            open_image(url, cache_dir=place)
            assert {request.resource for request in server.requests} == expected


def test_without_cache_dir_nothing_is_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(slides.brightfield_pyramid(), tagged(['"1"'])) as served:
        for _ in range(2):
            forget_servers()
            open_image(served.url)
        assert [request.resource for request in served.server.requests] == ["metadata", "metadata"]
        assert not any("If-None-Match" in request.headers for request in served.server.requests)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_searching")
def test_orthanc_is_asked_for_its_instances(orthanc: Orthanc, place: Path) -> None:
    slide = slides.brightfield_pyramid()
    orthanc.load(slide.datasets)
    url = orthanc.series_url(slide.study_uid, slide.series_uid)
    first = levels(open_image(url, cache_dir=place))
    forget_servers()
    forget_storages()
    seen: list[str] = []
    send = AiohttpTransport._send

    def count(transport: AiohttpTransport, session: ClientSession, request: Request, *more: Any) -> Any:
        seen.append(request.url)
        return send(transport, session, request, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AiohttpTransport, "_send", count)
        second = open_image(url, cache_dir=place)
    assert len(seen) == len(SEARCHES)
    assert {"/series?SeriesInstanceUID=", "/instances?limit="} == {
        found.group() for each in seen for found in [re.search(r"/(series|instances)\?\w+=", each)] if found
    }
    for before, after in zip(first, levels(second), strict=True):
        np.testing.assert_array_equal(before, after)
    forget_servers()


# --- options ---


def test_the_options_travel_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given in ("~/here", "here", tmp_path / "here", str(tmp_path / "here")):
        options = StorageOptions.parse(cache_dir=given, cache_dir_bytes=5)
        assert options.to_public() == {"cache_dir": str(tmp_path / "here"), "cache_dir_bytes": 5}
        assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301  # our own
    for nothing in (None, False):
        assert StorageOptions.parse(cache_dir=nothing).to_public() == {}
    assert StorageOptions.parse(cache_dir=True).cache_dir == str(default_cache_dir())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="the place of XDG systems")
def test_the_usual_place_is_that_of_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, base in (("", tmp_path / ".cache"), ("relative", tmp_path / ".cache"), ("/x/y", Path("/x/y"))):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache_dir() == base / "dicomzarr"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_dir", 5),
        ("cache_dir", ""),
        ("cache_dir", b"x"),
        ("cache_dir", "a\0b"),
        ("cache_dir_bytes", -1),
        ("cache_dir_bytes", 1.5),
        ("cache_dir_bytes", True),
    ],
)
def test_impossible_values_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=name):
        StorageOptions.parse(**{name: value})

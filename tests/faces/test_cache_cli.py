"""``dicomzarr cache``: what it says of a cache, and what it leaves of it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import slides
from disk_caches import SERIES, STUDY, cache_in, forget_storages, keep, opened, read, written
from serving import forget_servers, serving

from dicomzarr.disk import generations
from dicomzarr.faces.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners and modes here")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cache"
    forget_storages()


def info(place: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["cache", "info", "--cache-dir", str(place), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_info_counts_and_names_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(opened(cache_in(place, bound=2**24)), range(1, 100))
    opened(cache_in(place, bound=2**24, credentials="else"), series="7.8.9")
    forget_storages()
    size = sum(path.stat().st_size for path in place.iterdir())
    assert info(place, capsys) == {
        "directory": str(place),
        "bytes": size,
        "frames": 99,
        "series": 2,
        "bound": 2**24,
    }
    assert main(["cache", "info", "--cache-dir", str(place)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines() == [str(place), shown.splitlines()[1], "99 frames, 2 series"]
    assert shown.splitlines()[1].endswith("of 16.8 MB at most")
    assert STUDY not in shown
    assert SERIES not in shown


def test_clear_empties_also_under_those_who_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = opened(cache_in(place))
    keep(frames, range(1, 400))
    written()
    path = generations.current(place)
    assert path is not None
    prefix = path.name.removesuffix("1.db")
    (place / f"{prefix}0123456789abcdef.new").write_bytes(b"unfinished")
    assert main(["cache", "clear", "--cache-dir", str(place)]) == 0
    assert f"freed in {place}" in capsys.readouterr().err
    assert read(frames, range(1, 400)) == set()
    keep(frames, range(1, 9))
    forget_storages()
    assert read(opened(cache_in(place)), range(1, 400)) == set(range(1, 9))
    assert sorted(path.name for path in place.iterdir() if "-wal" not in path.name and "-shm" not in path.name) == [
        f"{prefix}2.db",
        "dicomzarr-secret",
    ]


@pytest.mark.parametrize("action", ["info", "clear"])
def test_a_place_where_nothing_is_stays_so(place: Path, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", action, "--cache-dir", str(place)]) == 0
    assert "0 bytes" in "".join(capsys.readouterr())
    assert not place.exists()


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="the place of XDG systems")
def test_the_usual_place_is_the_default(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    assert main(["cache", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["directory"] == str(place / "dicomzarr")


def test_a_broken_database_is_told_of_and_can_be_cleared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(opened(cache_in(place)), range(1, 9))
    forget_storages()
    path = generations.current(place)
    assert path is not None
    path.write_bytes(b"nothing" * 999)
    assert info(place, capsys)["frames"] is None
    assert main(["cache", "info", "--cache-dir", str(place)]) == 0
    assert "begins anew" in capsys.readouterr().out
    assert main(["cache", "clear", "--cache-dir", str(place)]) == 0
    capsys.readouterr()
    assert info(place, capsys)["frames"] == 0


@POSIX
def test_what_others_may_write_to_is_not_touched(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place.mkdir()
    place.chmod(0o777)
    (place / "dicomzarr-0123456789abcdef-1.db").write_text("theirs")
    assert main(["cache", "clear", "--cache-dir", str(place)]) == 2
    assert "Others may write" in capsys.readouterr().err
    assert (place / "dicomzarr-0123456789abcdef-1.db").read_text() == "theirs"


def test_a_file_is_no_cache(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place.write_text("a file")
    assert main(["cache", "info", "--cache-dir", str(place)]) == 2
    assert "cannot be used (NotADirectoryError)" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["cache"], ["cache", "fill"], ["cache", "info", "--cache-dri", "x"]])
def test_what_makes_no_command_is_misused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("dicomzarr: error:")


def test_the_other_commands_take_a_cache_dir(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        for _ in range(2):
            served.server.requests.clear()
            assert main(["info", served.url, "--cache-dir", str(place)]) == 0
            assert [request.resource for request in served.server.requests] == ["metadata"]
            forget_servers()
            forget_storages()
    capsys.readouterr()
    assert info(place, capsys)["series"] == 1

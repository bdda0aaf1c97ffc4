"""``dicomzarr serve``: its words, and a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folders import write
from gateways import ask
from processes import piped
from serving import run_python
from slides import sparse_brightfield
from waiting import SECONDS

from dicomzarr.errors import DicomZarrError, UsageError
from dicomzarr.faces.cli import main
from dicomzarr.faces.cli.parser import parse_arguments
from dicomzarr.faces.cli.serve import settings_of, upstreams_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

SECRET = "s3cret"  # noqa: S105  # made up
ONE, TWO = "dicomwebs://one.example/dicom-web", "dicomwebs://two.example/dicom-web"


def upstreams(*words: str) -> list[Any]:
    return upstreams_of(parse_arguments(["serve", *words]))


def test_upstreams_and_their_names(tmp_path: Path) -> None:
    found = upstreams(ONE, f"main={TWO}", str(tmp_path), "--no-labels")
    assert [each.name for each in found] == ["one-example", "main", found[2].name]
    assert found[2].is_folder
    assert [each.options["labels"] for each in found] == [False] * 3


def test_credentials_are_for_one_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    (one, folder) = upstreams(ONE, str(tmp_path), "--bearer-env", "TOKEN")
    assert one.options["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert "headers" not in folder.options
    with pytest.raises(UsageError, match="several servers"):
        upstreams(ONE, TWO, "--bearer-env", "TOKEN")
    (one, two) = upstreams(ONE, f"second={TWO}", "--auth", "second=env:TOKEN")
    assert "auth" not in one.options
    assert two.options["auth"] == "env:TOKEN"
    assert SECRET not in repr(one)


@pytest.mark.parametrize(
    "words",
    [
        [f"{ONE}/studies/1.2"],
        [ONE, "--auth", "other=env:X"],
        [ONE, "--auth", "one-example=what ever"],
        [ONE, "--port", "70000"],
        ["nowhere-at-all"],
        [ONE, "--host", "192.168.1.1"],
        [ONE, "--token", "NO_SUCH_VARIABLE"],
        [],
    ],
)
def test_what_cannot_be_meant_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *words]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("dicomzarr: error: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((".", "--writable"), "--writable would have no effect without --dicomweb"),
        ((".", "--name", "x"), "--name would have no effect without --dicomweb"),
        ((".", "--public-url", "https://a.example/dicom-web"), "--public-url would have no effect without --dicomweb"),
        (("--dicomweb", ".", "--workers", "2"), "--workers would have no effect with --dicomweb"),
        (("--dicomweb", ".", "--phi", "--user", "x"), "--phi, --user would have no effect with --dicomweb"),
        (("--dicomweb", ".", "--cache-dir", "x"), "--cache-dir would have no effect with --dicomweb"),
        (("--dicomweb", ".", "--allow-origin", "*"), "no pages of all sites"),
        ((".", "--allow-origin", "foo"), "SCHEME://HOST"),
        ((".", "--allow-origin", "https://a.example/page"), "SCHEME://HOST"),
        ((".", "--allow-origin", "https://u:p@a.example"), "SCHEME://HOST"),
        ((".", "--query", "a"), "NAME=VALUE"),
    ],
)
def test_an_option_without_effect_or_meaning_is_refused(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://vizarr.org", "https://vizarr.org"),
        ("HTTPS://Vizarr.org:443/", "https://vizarr.org"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://localhost:80", "http://localhost"),
        ("https://localhost:80", "https://localhost:80"),
        ("chrome-extension://abc", "chrome-extension://abc"),
        ("*", "*"),
    ],
)
def test_an_origin_is_taken_as_browsers_send_it(text: str, origin: str) -> None:
    """By RFC 6454 section 6.2, and the default ports of RFC 9110 section 4.2."""
    assert settings_of(parse_arguments(["serve", ONE, "--allow-origin", text])).origins == {origin}


def test_a_token_is_new_or_that_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    assert settings_of(parse_arguments(["serve", ONE, "--token", "TOKEN"])).token == SECRET
    assert settings_of(parse_arguments(["serve", ONE])).token == ""
    tokens = {settings_of(parse_arguments(["serve", ONE, "--token"])).token for _ in range(3)}
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
    assert "--port" in capsys.readouterr().err


def test_errors_never_show_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", f"https://me:{SECRET}@one.example/studies/1.2/x"])
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize("ended_by", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_process_serves_until_it_is_ended(tmp_path: Path, ended_by: signal.Signals) -> None:
    slide = sparse_brightfield()
    write(tmp_path, slide.datasets)
    script = "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "serve", f"mine={tmp_path}", "--port", "0", "--token"]
    with piped(*command) as process:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        url, _, token = first.partition("/?token=")
        path = f"{url}/0.5/mine/studies/{slide.study_uid}/series/{slide.series_uid}.zarr/zarr.json"
        assert ask(path).status == 401
        assert ask(f"{path}?token={token}").status == 200
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any("GET document 200" in line for line in said)  # written once it is sent
        process.send_signal(ended_by)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert token not in errors
    assert slide.series_uid not in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_gateway_needs_no_dask() -> None:
    loaded = run_python(
        "import json, sys, dicomzarr.faces.gateway.server\n"
        "print(json.dumps(sorted({'dask', 'xarray', 'pandas'} & set(sys.modules))))"
    )
    assert loaded == []


def test_impossible_options_are_told_before_it_listens() -> None:
    with pytest.raises(DicomZarrError):
        upstreams(ONE, "--timeout", "-1")


def test_a_folder_that_is_not_there_is_said_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["serve", str(tmp_path / "nowhere")]) != 0
    assert "There is no file or folder" in capsys.readouterr().err


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that listen beside the first; Python's own helpers do not."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    children = [each for task in tasks for each in (task / "children").read_text().split()]
    return [int(each) for each in children if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()]


def until(holds: Callable[[], bool]) -> None:
    """Wait for something. A process that is ending takes the connections with it that the kernel has handed to it."""
    pause = threading.Event()
    for _ in range(int(SECONDS * 20)):
        with suppress(ConnectionError):
            if holds():
                return
        pause.wait(0.05)
    raise TimeoutError


def workers_told(url: str) -> set[int]:
    """The processes that say of themselves that they serve."""
    found = re.findall(r'^dicomzarr_worker\{worker="(\d+)"\} 1$', ask(f"{url}/metrics").text, re.MULTILINE)
    return set(map(int, found))


def documents_sent(url: str) -> int:
    """By all processes together, whichever is asked."""
    sample = r'^dicomzarr_requests_total\{kind="document",status="200"\} (\d+)$'
    found = re.search(sample, ask(f"{url}/metrics").text, re.MULTILINE)
    return int(found[1]) if found else 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are told by /proc")
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_workers_share_a_port_are_replaced_and_end_with_the_first(tmp_path: Path, ended_by: signal.Signals) -> None:
    slide = sparse_brightfield()
    write(tmp_path, slide.datasets)
    script = "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "serve", f"mine={tmp_path}", "--port", "0", "--workers", "3", "--quiet"]
    with piped(*command) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().rstrip("/")
        until(lambda: len(workers_told(url)) == 3)
        path = f"{url}/0.5/mine/studies/{slide.study_uid}/series/{slide.series_uid}.zarr/zarr.json"
        assert len({ask(path).body for _ in range(12)}) == 1
        until(lambda: documents_sent(url) == 12)
        first, *_ = before = workers_of(process)
        assert len(before) == 2
        os.kill(first, signal.SIGKILL)
        until(lambda: len(workers_of(process)) == 2 and first not in workers_of(process))
        until(lambda: len(workers_told(url)) == 3 and first not in workers_told(url))
        assert documents_sent(url) == 12  # those of the one that ended too
        after = workers_of(process)
        process.send_signal(ended_by)
        process.communicate(timeout=SECONDS)
    until(lambda: not any(Path(f"/proc/{each}").exists() for each in after))


def test_a_port_of_another_gateway_is_not_shared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", str(tmp_path), "--port", str(taken.getsockname()[1]), "--workers", "2"]) == 2
    assert "--port" in capsys.readouterr().err

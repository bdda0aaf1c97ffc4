"""``dicomzarr serve --dicomweb``: from the first line to the end."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests
from dicomweb_replies import get
from processes import piped
from waiting import SECONDS

from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.cli import main
from dicomzarr.faces.dicomweb_server import DICOMwebServer

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = demo_files()[0].parent
COMMAND = [sys.executable, "-c", "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_ended(number: signal.Signals) -> None:
    words = ["serve", "--dicomweb", str(FOLDER), "--port", "0"]
    with piped(*COMMAND, *words) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert urlsplit(url).hostname == "127.0.0.1"
        assert len(get(f"{url}/studies/{STUDY}/series/{SERIES}/metadata").json()) == 5
        idle = requests.Session()
        assert idle.get(f"{url}/studies", timeout=SECONDS).ok
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
        idle.close()
    assert (process.returncode, out) == (0, "")
    assert err == "1 file was left out (no DICOM): README.md.\nCtrl-C ends it.\n"


def test_links_begin_as_others_reach_it_through_a_proxy() -> None:
    public = "https://pacs.example.org/dicom-web"
    words = ["serve", "--dicomweb", str(FOLDER), "--port", "0", "--name", "pacs", "--public-url", public]
    with piped(*COMMAND, *words) as process:
        assert process.stdout is not None
        (study,) = get(f"{process.stdout.readline().strip()}/studies").json()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
    assert study["00081190"]["Value"] == [f"{public}/studies/{STUDY}"]


def test_what_it_cannot_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: object) -> tuple[int, str]:
        code = main(["serve", *map(str, words)])
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    assert said("--dicomweb", tmp_path / "missing")[0] == 1
    assert said() == (2, said()[1])
    assert "--dicomweb" in said()[1]
    code, error = said("--dicomweb", demo_files()[0], "--writable")
    assert (code, "into a folder alone" in error) == (2, True)
    with DICOMwebServer(FOLDER) as server:
        code, error = said("--dicomweb", FOLDER, "--port", urlsplit(server.url).port)
    assert code == 2
    assert "Choose another one with --port." in error
    code, error = said("--dicomweb", FOLDER, "--host", "192.0.2.1")
    assert code == 2
    assert said("--dicomweb", FOLDER, "--port", "65536")[0] == 2

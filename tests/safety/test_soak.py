"""A few seconds of the soak: ``python tests/soak/run.py`` is the whole of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from waiting import SECONDS

SOAK = Path(__file__).parents[1] / "soak" / "run.py"


@pytest.mark.slow
def test_every_pixel_is_right_while_the_server_fails() -> None:
    command = [
        sys.executable,
        str(SOAK),
        "--minutes",
        "0.06",
        "--restarts",
        "1",
        "--down",
        "0.5",
        "--outage",
        "0.5",
        "--seed",
        "3",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603  # ours
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'reset'" in done.stdout
    assert "the server was away" in done.stdout
    assert "held in the end" in done.stdout
    assert "RequestTimeoutError" in done.stdout
    assert done.stdout.endswith("All is well.\n")

"""Other processes of tests: scripts that must not say a word, and forks."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
THEIR_OWN_CHOICE = "ignore:This process (pid:DeprecationWarning"
"""Python 3.12 and later warn whoever forks a process with threads, which is the user's to decide."""


def run_strictly(*command: str) -> str:
    """Run Python where every warning is an error and not a word may be said; gives what it prints."""
    done = subprocess.run(  # noqa: S603  # our own scripts
        [sys.executable, "-X", "faulthandler", "-W", "error", "-W", THEIR_OWN_CHOICE, *command],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@contextmanager
def piped(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command whose words are pipes. It ends with the block: by itself, or killed where the block fails."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | options
    with subprocess.Popen(command, text=True, **pipes) as process:  # noqa: S603  # our own
        try:
            yield process
        except BaseException:
            process.kill()
            raise

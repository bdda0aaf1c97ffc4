"""A little of the fuzzing, and that it would notice: ``python tests/fuzz/run.py`` is the whole of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import SECONDS

RUN = Path(__file__).parents[1] / "fuzz" / "run.py"


def fuzz(folder: Path, *options: str, hang: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run it; what goes wrong is written to the folder. An input may take as long as a busy machine needs for it."""
    command = [sys.executable, str(RUN), "--seed", "3", "--folder", str(folder), "--hang", str(hang), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603  # ours


def cases(said: str) -> dict[str, int]:
    """How many inputs of each target were tried."""
    return {name: int(count) for name, count in re.findall(r"(\w+): (\d+) cases", said)}


@pytest.mark.slow
def test_bad_replies_are_an_error_or_read_right(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--cases", "100", "--only", "multipart", "frames", "instances")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cases(done.stdout) == {"multipart": 100, "frames": 100, "instances": 100}
    assert done.stdout.endswith("All is well.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "count", "met"),
    # So many, not so long: everywhere the same inputs are tried, some twenty seconds of them.
    [
        ("metadata", 400, "MetadataError"),
        ("multipart", 20_000, "MultipartError"),
        ("replies", 500, "TruncatedReplyError"),
        ("frames", 15_000, "FrameDecodeError"),
        ("headers", 1000, "FrameDecodeError"),
        ("instances", 20_000, "TruncatedReplyError"),
    ],
)
def test_bad_input_of_all_kinds_is_an_error_or_read_right(tmp_path: Path, target: str, count: int, met: str) -> None:
    done = fuzz(tmp_path, "--only", target, "--cases", str(count))
    assert done.returncode == 0, done.stdout + done.stderr
    assert cases(done.stdout) == {target: count}
    assert met in done.stdout


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("check_fault", "KeyError, check_harness.py line"),
        pytest.param("check_warning", "RuntimeWarning, check_harness.py line", marks=pytest.mark.slow),
        pytest.param("check_memory", "MemoryError, check_harness.py line", marks=pytest.mark.slow),
        pytest.param("check_crash", "crash: exit status -11", marks=pytest.mark.slow),
        pytest.param("check_hang", "hang: longer than 0.4 s", marks=pytest.mark.slow),
    ],
)
def test_what_must_not_be_is_noticed_and_can_be_repeated(tmp_path: Path, target: str, what: str) -> None:
    hang = 0.4 if target == "check_hang" else SECONDS
    done = fuzz(tmp_path, "--only", target, "--cases", "8", hang=hang)
    assert done.returncode == 1, done.stdout + done.stderr
    assert cases(done.stdout) == {target: 8}
    found = re.search(rf"WRONG: \d+ times {what}.*\n *(\S+\.bin), (--only .*)", done.stdout)
    assert found is not None, done.stdout
    assert Path(found[1]).read_bytes() == b"input"
    assert what in Path(found[1]).with_suffix(".txt").read_text()
    again = fuzz(tmp_path, *found[2].split(), hang=hang)
    assert f"WRONG: 1 times {what}" in again.stdout


@pytest.mark.slow
def test_the_same_seed_makes_the_same_inputs(tmp_path: Path) -> None:
    said = [fuzz(tmp_path, "--only", "multipart", "--cases", "200").stdout for _ in range(2)]
    outcomes = [sorted(re.findall(r"multipart: +(\d+ \w[\w ]*)", each)) for each in said]
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) > 3

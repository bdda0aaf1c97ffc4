"""The benchmarks run, in a tiny size: they cannot rot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent / "benchmarks"


def test_readers_agree_and_are_measured(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--tiny", "--latency", "0", "5", "--json", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr
    assert "limit" in done.stdout
    measured = json.loads(rows.read_text())
    assert {row["reader"] for row in measured} == {"limit", "dicomzarr", "wsidicom", "wsidicom, 4 threads"}
    assert {row["milliseconds"] for row in measured} == {0, 5}
    assert all(row["seconds"] > 0 for row in measured)

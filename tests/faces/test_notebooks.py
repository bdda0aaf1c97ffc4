"""The notebooks of the documentation run, and show what their scripts give."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))

sys.path.insert(0, str(ROOT / "tools"))
import notebooks  # noqa: E402  # a tool, no package


def shown(notebook: dict[str, object]) -> list[object]:
    """Sources, and in what kinds of output they end: ports and pictures differ."""
    cells = notebook["cells"]
    assert isinstance(cells, list)
    return [
        (cell["cell_type"], cell["source"], [sorted(output.get("data", {})) for output in cell.get("outputs", [])])
        for cell in cells
    ]


def test_there_are_some() -> None:
    assert SCRIPTS


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_is_its_script_executed(script: Path) -> None:
    """``python tools/notebooks.py`` writes them anew."""
    written = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert shown(notebooks.executed(script.read_text(encoding="utf-8"))) == shown(written)

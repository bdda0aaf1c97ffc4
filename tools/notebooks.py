"""Executed notebooks out of scripts: ``python tools/notebooks.py`` writes an ``.ipynb`` for each in ``docs/notebooks``.

A line ``# %%`` begins a cell of code, ``# %% [markdown]`` one of text. What a cell prints, and what its last expression
shows, is its output.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
MARK = "# %%"


def cells_of(script: str) -> list[tuple[str, str]]:
    """(kind, source) of each cell: ``code`` or ``markdown``."""
    found = []
    for part in script.split(f"\n{MARK}")[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            lines = (line.removeprefix("#").removeprefix(" ") for line in body.strip().split("\n"))
            found.append(("markdown", "\n".join(lines)))
        else:
            found.append(("code", body.strip()))
    return found


def run_cell(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the code of a cell; gives its outputs, as a notebook holds them."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)  # noqa: S102  # our own scripts
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307  # as above
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
    if value is not None:
        shown = {"text/plain": repr(value)}
        if hasattr(value, "_repr_html_"):
            shown["text/html"] = value._repr_html_()
        if hasattr(value, "_repr_jpeg_"):
            shown = {"text/plain": f"<picture of {value.width} x {value.height}>"}  # else an address in memory
            shown["image/jpeg"] = base64.b64encode(value._repr_jpeg_()).decode()
        outputs.append({"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": shown})
    return outputs


def executed(script: str) -> dict[str, Any]:
    """The notebook of a script, run in this process."""
    names: dict[str, Any] = {"__name__": "notebook"}
    cells: list[dict[str, Any]] = []
    for number, (kind, source) in enumerate(cells_of(script)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
        if kind == "code":
            cell |= {"execution_count": 1, "outputs": run_cell(source, names)}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Run all scripts, or those that are named, and write their notebooks."""
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(FOLDER.glob("*.py")):
        notebook = executed(path.read_text(encoding="utf-8"))
        path.with_suffix(".ipynb").write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

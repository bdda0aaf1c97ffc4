"""Writes the tables of the documentation that say what the code says: run it after changing either.

A page holds a table between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. With ``--check`` nothing is
written, and the exit code is 1 where a page differs from the code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomzarr import errors
from dicomzarr.dicom.pixels.syntax import TRANSFER_SYNTAXES
from dicomzarr.options.limits import Limits
from dicomzarr.options.storage_options import StorageOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TABLE = re.compile(r"(?P<begin><!-- table: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end of table -->)", re.DOTALL)


def transfer_syntaxes() -> Iterator[str]:
    """What can be decoded, by what, and what the tests compare it with."""
    yield "| Transfer syntax | UID | Decoded by | Checked against | Difference |"
    yield "|---|---|---|---|---|"
    checks = _encoding_checks()
    for row in TRANSFER_SYNTAXES.values():
        check = checks.CHECKS[row.uid]
        name = f"{row.name} (lossy)" if row.lossy else row.name
        oracles = ", ".join(checks.ORACLES[oracle] for oracle in check.oracles)
        decoder = checks.DECODERS[row.codec]
        yield f"| {name} | `{row.uid}` | {decoder} | {oracles} | {_difference(check, checks.ORACLES)} |"


def _encoding_checks() -> ModuleType:
    """The table that the tests go by."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    try:
        return importlib.import_module("encoding_checks")
    finally:
        sys.path.pop(0)


def _difference(check: Any, names: Mapping[str, str]) -> str:
    """What is allowed between our values and theirs."""
    within = {oracle: check.allowed(oracle) for oracle in check.oracles}
    if len(set(within.values())) == 1:
        return _at_most(*set(within.values()))
    return "; ".join(f"{names[oracle]}: {_at_most(allowed)}" for oracle, allowed in within.items())


def _at_most(allowed: int) -> str:
    return f"at most {allowed}" if allowed else "none"


def storage_options() -> Iterator[str]:
    """Every option with its default, in the words of its docstring."""
    yield "| Option | Default | Meaning |"
    yield "|---|---|---|"
    yield from _fields(StorageOptions)


def _fields(kind: type) -> Iterator[str]:
    """A row for each field of a class."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]  # a class has one
    for item, text in pairwise(body):
        match item, text:
            case (
                ast.AnnAssign(target=ast.Name(name), value=ast.expr() as default),
                ast.Expr(ast.Constant(str() as meaning)),
            ):
                yield f"| `{name}` | {_default(default)} | {_one_line(meaning)} |"


def limits() -> Iterator[str]:
    """Every bound with its default, in the words of its docstring."""
    yield "| Bound | Default | Meaning |"
    yield "|---|---|---|"
    yield from _fields(Limits)


def error_tree() -> Iterator[str]:
    """Every error, indented under the more general one."""
    return _errors_below(errors.DicomZarrError, 0)


def _errors_below(kind: type[Exception], depth: int) -> Iterator[str]:
    summary = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    yield f"{'    ' * depth}- `{kind.__name__}`: {_one_line(summary)}"
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _errors_below(below, depth + 1)


def _default(expression: ast.expr) -> str:
    if isinstance(expression, ast.Constant):
        return "" if expression.value is None else f"`{expression.value!r}`"
    text = ast.unparse(expression)
    return "" if text.startswith("field(") else f"`{text}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "transfer-syntaxes": transfer_syntaxes,
    "storage-options": storage_options,
    "limits": limits,
    "errors": error_tree,
}


def filled(page: str) -> str:
    """The text of a page with its tables as the code has them."""
    return TABLE.sub(lambda table: "\n".join([table["begin"], *TABLES[table["name"]](), "", table["end"]]), page)


def main() -> int:
    """Write the tables, or compare them."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        wanted = filled(page)
        if wanted != page:
            stale += 1
            print(f"{path.name} {'differs from the code: run tools/doc_tables.py' if check else 'written'}")
            if not check:
                path.write_text(wanted, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

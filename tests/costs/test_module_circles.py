"""No module needs itself to be imported or typed, by any way round: what is below can be read without what is above."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import dicomzarr

ROOT = Path(dicomzarr.__file__).parent


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """The modules that are imported anywhere: at the top, in functions, and for types alone."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            assert not node.level
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= parts & modules or {node.module}
    return found & modules


def module_graph(root: Path) -> dict[str, set[str]]:
    paths = {module_name(path): path for path in root.rglob("*.py")}
    return {
        name: imported(ast.parse(path.read_text(encoding="utf-8")), paths.keys() | set()) - {name}
        for name, path in paths.items()
    }


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_circles_are_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circle({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a"}})


def test_imports_for_types_and_in_functions_count() -> None:
    code = "if TYPE_CHECKING:\n    from x.a import A\ndef f():\n    from x import b, other\n    import x.c"
    assert imported(ast.parse(code), {"x.a", "x.b", "x.c", "x"}) == {"x.a", "x.b", "x.c"}


def test_no_circle_of_modules() -> None:
    graph = module_graph(ROOT)
    assert len(graph) > 100
    found = circle(graph)
    assert not found, " -> ".join(found)

"""The source files of the three packages, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "ffbridge": ROOT / "bridge/ffbridge",
    "ffbridge_backends": ROOT / "backends/ffbridge_backends",
    "ffbridge_spec": ROOT / "spec/ffbridge_spec",
}


@dataclass(frozen=True)
class Source:
    """One module: its package, dotted name, path and syntax tree."""

    package: str
    module: str
    path: Path
    tree: ast.Module

    @property
    def where(self) -> str:
        """The path from the repository's root."""
        return self.path.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Import:
    """One imported module, with its line and whether it is imported as soon as the importing module is."""

    module: str
    line: int
    at_once: bool

    @property
    def top(self) -> str:
        """The first part of the name: `jax` of `jax.numpy`."""
        return self.module.partition(".")[0]


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the three packages."""
    return tuple(_read(package, folder, path) for package, folder in PACKAGES.items() for path in folder.rglob("*.py"))


def _read(package: str, folder: Path, path: Path) -> Source:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(package, module, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def imports(source: Source) -> Iterator[Import]:
    """What a module imports at run time; imports for type checkers alone are left out."""
    yield from _imports(source.tree, at_once=True)


def _imports(node: ast.AST, *, at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, at_once)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield Import(node.module or "", node.lineno, at_once)
    elif isinstance(node, ast.Call) and (name := _imported_by_call(node)):
        yield Import(name, node.lineno, at_once)
    below = at_once and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    children: list[ast.AST] = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children = list(node.orelse)
    for child in children:
        yield from _imports(child, at_once=below)


def _imported_by_call(node: ast.Call) -> str | None:
    """The module of `importlib.import_module("jax")` and `__import__("jax")`."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if called not in {"import_module", "__import__"} or not node.args:
        return None
    return str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else None

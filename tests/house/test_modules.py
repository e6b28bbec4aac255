"""Each module names what is public; files stay short enough to read."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import is_dataclass

import pytest

import ffbridge

from .sources import PACKAGES, ROOT, Source, sources

LONGEST_FILE = 450
LONGEST_BODY = 60
FOLDERS = [*PACKAGES.values(), *(ROOT / name for name in ("tests", "benchmarks", "examples"))]


def declared(source: Source) -> list[str] | None:
    """The literal value of `__all__`, or None where there is none."""
    for node in source.tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return ast.literal_eval(node.value)
    return None


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that ruff's RUF022 writes."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.where)
def test_all_is_sorted_and_exists(source):
    names = declared(source)
    assert names is not None, f"{source.where} has no literal __all__"
    assert names == sorted(set(names), key=order)
    module = importlib.import_module(source.module)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.where)
def test_data_are_frozen(source):
    """A dataclass may change if it is no data: private, and compared by identity."""
    module = importlib.import_module(source.module)
    own = [value for value in vars(module).values() if is_dataclass(value) and value.__module__ == source.module]
    changing = [each for each in own if not each.__dataclass_params__.frozen]
    assert [each for each in changing if each.__dataclass_params__.eq or not each.__name__.startswith("_")] == []


def test_the_public_interface_is_documented():
    public = {name: getattr(ffbridge, name) for name in ffbridge.__all__}
    described = {name: value for name, value in public.items() if inspect.isclass(value) or callable(value)}
    assert described, "ffbridge exports nothing"
    assert [name for name, value in described.items() if not inspect.getdoc(value)] == []


def test_files_are_short():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for folder in FOLDERS
        for path in folder.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_fit_a_screen():
    long = {
        f"{source.where}:{node.lineno} {node.name}": length
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := lines_of_body(node)) > LONGEST_BODY
    }
    assert long == {}


def lines_of_body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, its signature and docstring left out."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return 1 + (node.end_lineno or 0) - body[0].lineno if body else 0

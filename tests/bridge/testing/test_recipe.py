"""CONTRIBUTING's "Add a backend" is short, complete, and what the example plug-in does."""

from __future__ import annotations

import ast
import re
import textwrap

import pytest

import ffbridge_strict
from ffbridge.backend import Backend


@pytest.fixture
def recipe(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.partition("## Add a backend\n")[2].partition("\n## ")[0]


def block(recipe, language):
    (code,) = re.findall(rf"```{language}\n(.*?)```", recipe, re.DOTALL)
    return textwrap.dedent(code).strip()


def test_it_takes_under_thirty_lines_of_reading(recipe):
    lines = [line for line in recipe.splitlines() if line.strip()]
    assert 20 < len(lines) < 30


def test_it_names_all_that_must_be_written(recipe):
    needed = {*Backend.__abstractmethods__, "name", "package", "install"}
    assert {word for word in needed if f"`{word}`" not in recipe} == set()


def test_it_shows_what_the_example_plug_in_has(recipe, root):
    folder = root / "tests/example_plugin"
    assert block(recipe, "toml") in (folder / "pyproject.toml").read_text(encoding="utf-8")
    shown, written = (
        ast.parse(code).body
        for code in (block(recipe, "python"), (folder / "test_conformance.py").read_text(encoding="utf-8"))
    )
    unparsed = [ast.unparse(node) for node in written]
    assert ast.unparse(shown[-1]) in unparsed


def test_the_example_plug_in_defines_no_more_than_it_names(recipe):
    own = {name for name in vars(ffbridge_strict.StrictBackend) if not name.startswith("_")}
    assert {name for name in own if f"`{name}`" not in recipe} == set()

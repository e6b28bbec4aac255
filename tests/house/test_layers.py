"""Who may import whom: the core knows no framework, and each framework has one place."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from .sources import Source, imports, sources

FRAMEWORKS = {
    "ase",
    "cupy",
    "dgl",
    "espaloma",
    "h5py",
    "jax",
    "jaxlib",
    "jraph",
    "matplotlib",
    "mdtraj",
    "numba",
    "openff",
    "openmm",
    "optax",
    "pint",
    "pyarrow",
    "qcportal",
    "rdkit",
    "timemachine",
    "torch",
    "torch_geometric",
}
# Where the core may import a framework, inside a function: what reads or writes that framework's own objects.
ADAPTERS = ("building", "graph", "producers", "exporters", "targets", "demo", "fitting")
BELOW = {
    "ffbridge": {"ffbridge_backends"},
    "ffbridge_backends": set(),
    "ffbridge_spec": {"ffbridge", "ffbridge_backends"},
}
# A backend's framework is named like its module; these come with it, or with the modules of a package.
COMPANIONS = {"jax": {"jaxlib"}, "native": {"numba"}, "timemachine": {"jax", "jaxlib"}}
# Modules that define subclasses of a framework's own classes, or that it compiles, import it as soon as they are
# imported themselves.
EAGER = ("ffbridge_backends.hosts.", "ffbridge_backends.recomputed.", "ffbridge_backends.engines.native.")

LAZY = [source for source in sources() if not source.module.startswith(EAGER)]

by_source = pytest.mark.parametrize("source", sources(), ids=lambda source: source.where)


@by_source
def test_no_layer_imports_one_above_it(source):
    above = BELOW[source.package]
    assert [f"{source.where}:{each.line}" for each in imports(source) if each.top in above] == []


@pytest.mark.parametrize("source", LAZY, ids=lambda source: source.where)
def test_frameworks_are_imported_lazily(source):
    early = [f"{source.where}:{each.line}" for each in imports(source) if each.at_once and each.top in FRAMEWORKS]
    assert early == []


def test_no_lazy_module_loads_a_framework():
    names = ", ".join(source.module for source in LAZY)
    code = f"import {names}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & FRAMEWORKS == set()


@by_source
def test_frameworks_are_imported_in_their_own_place(source):
    strays = [
        f"{source.where}:{each.line} {each.module}"
        for each in imports(source)
        if each.top in FRAMEWORKS - allowed(source)
    ]
    assert strays == []


def allowed(source: Source) -> set[str]:
    """The frameworks that a module may import."""
    parts = source.module.split(".")
    if source.package == "ffbridge_backends" and len(parts) > 1:
        return {parts[-1]}.union(*(COMPANIONS.get(part, set()) for part in parts))
    if source.package == "ffbridge" and len(parts) > 1 and parts[1] in ADAPTERS:
        return FRAMEWORKS
    return set()


def test_arrays_are_imported_in_one_place():
    calls = [
        f"{source.where}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) == "from_dlpack"
    ]
    assert len(calls) == 1, calls
    assert calls[0].startswith("bridge/ffbridge/exchange")


def test_the_rules_see_what_they_forbid():
    text = """
import torch
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import dgl
def later():
    from jax import numpy
    importlib.import_module("openmm.app")
"""
    source = Source("ffbridge", "ffbridge.example", sources()[0].path, ast.parse(text))
    seen = {(each.top, each.at_once) for each in imports(source) if each.top in FRAMEWORKS}
    assert seen == {("torch", True), ("jax", False), ("openmm", False)}
    assert allowed(source) == set()

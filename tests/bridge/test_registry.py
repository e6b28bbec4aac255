"""Plug-ins are found lazily, by name; one that fails does not hide the others."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from ffbridge.backend import Backend
from ffbridge.engine import Engine
from ffbridge.errors import MissingDependencyError, RegistrationError, UnknownNameError
from ffbridge.plugin import Plugin
from ffbridge.registry import (
    BackendInfo,
    Registry,
    backend_of,
    backends,
    engines,
    get_backend,
    get_engine,
    register_backend,
    register_engine,
)


class Toy(Plugin):
    """A plug-in of a framework that is always there."""

    name = "toy"
    package = "json"
    install = "pip install toy"

    def version(self):
        return "1.0"

    def abilities(self):
        return ("plays",)


class Absent(Toy):
    """A plug-in of a framework that is not installed."""

    name = "absent"
    package = "no_such_framework"


class Failing(Toy):
    """A plug-in that cannot even tell its version."""

    name = "failing"

    def version(self):
        raise RuntimeError("out of order")


NOT_A_PLUGIN = "toys"
misnamed = Toy()
toy, absent, failing = Toy(), Absent(), Failing()


@pytest.fixture
def registry(monkeypatch):
    """An empty registry, and a way to give it entry points."""
    points = {}

    def entry_points(*, group):
        assert group == "toys"
        return [
            importlib.metadata.EntryPoint(name, f"{__name__}:{value}" if ":" not in value else value, group)
            for name, values in points.items()
            for value in values
        ]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    made = Registry("toy", Plugin, group="toys", install='pip install "ffbridge[toys]"')
    made.points = points
    return made


def test_register_and_get(registry):
    registry.register(toy)
    assert registry.get("toy") is toy
    assert registry.names() == ("toy",)


def test_a_duplicate_is_refused_unless_meant(registry):
    registry.register(toy)
    other = Toy()
    with pytest.raises(RegistrationError, match="a toy named 'toy' is registered already; .*override=True"):
        registry.register(other)
    registry.register(other, override=True)
    assert registry.get("toy") is other


def test_a_duplicate_of_an_entry_point_is_refused_unless_meant(registry):
    registry.points["toy"] = ["toy"]
    with pytest.raises(RegistrationError, match="registered already"):
        registry.register(Toy())
    other = Toy()
    registry.register(other, override=True)
    assert registry.get("toy") is other


@pytest.mark.parametrize("thing", [Toy, "toy", None, object()])
def test_what_is_no_plugin_is_refused(registry, thing):
    with pytest.raises(
        RegistrationError, match=r"cannot be registered as toy: expected an instance of ffbridge.plugin.Plugin, got "
    ):
        registry.register(thing)


def test_entry_points_are_loaded_when_asked_for(registry):
    registry.points.update(toy=["toy"], broken=["no_such_module:plugin"])
    assert registry.names() == ("broken", "toy")
    assert registry.get("toy") is toy


def test_an_unknown_name_lists_the_known(registry):
    registry.points.update(toy=["toy"], absent=["absent"])
    message = (
        r"no toy is named 'tot'; known: absent, toy. .*pip install \"ffbridge\[toys\]\".*'toys', or register_toy\(\)"
    )
    with pytest.raises(UnknownNameError, match=message):
        registry.get("tot")
    with pytest.raises(LookupError, match="no toy is named 3"):
        registry.get(3)


def test_a_missing_framework_names_the_command(registry):
    registry.points["absent"] = ["absent"]
    with pytest.raises(
        MissingDependencyError, match="'no_such_framework', which is not installed. Install it: pip install"
    ):
        registry.get("absent")


def test_a_framework_that_fails_on_import(monkeypatch, tmp_path):
    (tmp_path / "half_a_framework.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    half = type("Half", (Toy,), {"package": "half_a_framework"})()
    with pytest.raises(
        MissingDependencyError, match=r"fails on import: No module named 'no_such_library'. Reinstall it"
    ):
        _ = half.framework


def test_a_plugin_that_cannot_be_loaded(registry):
    registry.points.update(broken=["no_such_module:plugin"], toy=["toy"], words=["NOT_A_PLUGIN"], other=["misnamed"])
    with pytest.raises(
        RegistrationError, match="'broken' cannot be loaded from 'no_such_module:plugin': ModuleNotFound"
    ):
        registry.get("broken")
    with pytest.raises(RegistrationError, match="gives 'toys': expected an instance of ffbridge.plugin.Plugin"):
        registry.get("words")
    with pytest.raises(RegistrationError, match="with that name"):
        registry.get("other")
    with pytest.warns(RuntimeWarning) as caught:
        assert registry.loadable() == (toy,)
    told = "\n".join(str(each.message) for each in caught)
    assert len(caught) == 3
    assert all(name in told for name in ("'broken'", "'words'", "'other'"))
    assert registry.loadable() == (toy,)  # and warns no more: a warning is an error here


def test_two_packages_with_one_name(registry):
    registry.points["toy"] = ["toy", "absent"]
    with pytest.warns(RuntimeWarning, match=r"two packages give a toy named 'toy': .*toy' is used"):
        assert registry.get("toy") is toy


def test_info_tells_of_all(registry):
    for plugin in (toy, absent, failing):
        registry.register(plugin)
    with pytest.warns(RuntimeWarning, match="the toy 'failing' fails: RuntimeError: out of order"):
        found = {info.name: info for info in registry.info()}
    assert list(found) == ["absent", "failing", "toy"]
    assert found["toy"] == BackendInfo(
        name="toy",
        available=True,
        version="1.0",
        devices=("cpu",),
        abilities=("plays",),
        install="pip install toy",
        problem=None,
    )
    assert (found["absent"].available, found["absent"].install) == (False, "pip install toy")
    assert "not installed" in found["absent"].problem
    assert (found["failing"].available, found["failing"].problem) == (False, "RuntimeError: out of order")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found["toy"].name = "other"


def test_the_backends_of_ffbridge():
    found = {info.name: info for info in backends()}
    assert {"cupy", "jax", "numpy", "torch"} <= set(found)
    assert found["numpy"].available
    assert found["numpy"].version == np.__version__
    assert found["numpy"].devices == ("cpu",)
    for info in found.values():
        assert info.available is (info.problem is None)
        assert info.install.startswith("pip install")
        assert info.available is bool(info.devices)
        if info.available:
            assert isinstance(get_backend(info.name), Backend)
            assert info.version


def test_the_engines_of_ffbridge():
    found = {info.name for info in engines() if info.available}
    assert "numpy" in found
    assert all(isinstance(get_engine(name), Engine) for name in found)


def test_only_backends_and_engines_are_registered_as_such():
    with pytest.raises(RegistrationError, match="cannot be registered as backend: expected"):
        register_backend(toy)
    with pytest.raises(RegistrationError, match="cannot be registered as engine: expected"):
        register_engine(toy)
    with pytest.raises(RegistrationError, match="a backend named 'numpy' is registered already"):
        register_backend(type(get_backend("numpy"))())


def test_the_owner_of_an_array():
    class Matrix(np.ndarray):
        pass

    assert backend_of(np.ones(3)) is get_backend("numpy")
    assert backend_of(np.ones(3).view(Matrix)) is get_backend("numpy")
    for name in {info.name for info in backends() if info.available} - {"cupy"}:
        backend = get_backend(name)
        assert backend_of(backend.namespace.ones(3)) is backend


def test_asking_for_an_owner_imports_nothing():
    for name in ("torch", "jax"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    code = (
        "import sys, numpy, ffbridge.registry as r\n"
        "r.backend_of(numpy.ones(3)); r.get_backend('torch'); r.get_backend('jax')\n"
        "print(sorted({'torch', 'jax', 'cupy', 'array_api_strict'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

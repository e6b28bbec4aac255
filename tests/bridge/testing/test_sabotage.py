"""Backends and engines broken on purpose: the kit fails each of them, by the check that is about it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import pytest

from ffbridge import registry
from ffbridge.backend import Backend
from ffbridge.engine import Engine
from ffbridge.testing import check_apart, check_backend, check_engine
from ffbridge_strict import CAPABILITIES
from tests.bridge.testing import broken_backends, broken_engines


@pytest.fixture
def registered(monkeypatch):
    """Registers a plug-in in the place of the sound one, for one test."""
    backends = registry.Registry("backend", Backend, group="ffbridge.backends", install="")
    engines = registry.Registry("engine", Engine, group="ffbridge.engines", install="")
    monkeypatch.setattr(registry, "_BACKENDS", backends)
    monkeypatch.setattr(registry, "_ENGINES", engines)
    monkeypatch.setattr(registry, "_OWNERS", WeakKeyDictionary())

    def register(plugin):
        (backends if isinstance(plugin, Backend) else engines).register(plugin, override=True)
        return plugin

    return register


def failures(results):
    return [each for each in results if each.status == "FAIL"]


def assert_failed(results, check, reason):
    failed = failures(results)
    assert check in {each.check for each in failed}, [f"{each.check} {each.case}: {each.reason}" for each in failed]
    assert any(each.check == check and re.search(reason, each.reason) for each in failed), [
        each.reason for each in failed if each.check == check
    ]


def by_name(classes):
    """One case for each class; the first two run always, the others among the slow tests."""
    return [
        pytest.param(broken, id=broken.__name__, marks=[pytest.mark.slow] if number > 1 else [])
        for number, broken in enumerate(classes)
    ]


@pytest.mark.parametrize("broken", by_name(broken_backends.BROKEN))
def test_a_broken_backend_fails(registered, broken):
    registered(broken())
    assert_failed(check_backend("strict"), *broken_backends.BROKEN[broken])


@pytest.mark.parametrize("broken", by_name(broken_engines.BROKEN))
def test_a_broken_engine_fails(registered, broken):
    engine = registered(broken())
    assert_failed(check_engine(engine.name), *broken_engines.BROKEN[broken])


def test_a_host_that_lets_gradients_go_fails(registered):
    registered(broken_engines.LetsGradientsGo())
    assert_failed(check_backend("torch"), "host/gradient", "left the framework without it")


def test_the_sound_ones_do_not(registered):
    """What is broken in the others is not broken by the way in which they are registered."""
    registered(broken_backends.StrictBackend())
    registered(broken_engines.Broken())
    assert failures([*check_backend("strict"), *check_engine("numpy")]) == []


class Far(broken_backends.StrictBackend):
    """Sound, and without arrays in host memory: all of its are on a device that stands for no real one."""

    capabilities = replace(CAPABILITIES, devices=frozenset({"device1"}))

    def devices(self):
        return ("device1",)

    def check(self, array):
        pass

    def to_host(self, array):
        return np.from_dlpack(array.to_device(self.framework.Device("CPU_DEVICE"))).copy()

    def from_host(self, array, device):
        return self.framework.asarray(array.copy(), device=self.framework.Device(device))

    def copy(self, array, *, dtype=None, device=None):
        wanted = array.dtype if dtype is None else getattr(self.framework, dtype)
        return self.framework.astype(array, wanted, copy=True)

    def segment_sum(self, values, segments, n_segments):
        sums = np.zeros((n_segments, *values.shape[1:]))
        np.add.at(sums, self.to_host(segments), self.to_host(values))
        return self.from_host(sums.astype(self.dtype(values)), self.device(values))

    def has_nan(self, array):
        return bool(np.isnan(self.to_host(array)).any())


def test_a_sound_one_on_a_device_of_its_own_does_not(registered):
    registered(Far())
    # Functions that make arrays of nothing make them on the CPU here, where real frameworks make them on their device.
    results = [each for each in check_backend("strict") if not each.check.startswith(("functions/", "mapping"))]
    assert failures(results) == []
    assert {"exchange/from-numpy", "exchange/to-numpy", "bundle/valid", "graph/round-trip"} <= {
        each.check for each in results if each.status == "pass"
    }


DEADLY = """
import os
from ffbridge_strict import StrictBackend


class Deadly(StrictBackend):
    name = "deadly"

    def segment_sum(self, values, segments, n_segments):
        os.write(2, b"terminate called without an active exception")
        os.abort()


backend = Deadly()
"""


def installed(tmp_path, monkeypatch, code):
    """Install a module with a backend `deadly`, for the processes that this one starts."""
    (tmp_path / "ffbridge_deadly.py").write_text(code)
    info = tmp_path / "ffbridge_deadly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ffbridge-deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ffbridge.backends]\ndeadly = ffbridge_deadly:backend\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))


@pytest.mark.slow
def test_a_plug_in_that_waits_for_itself_fails(tmp_path, monkeypatch):
    code = DEADLY.replace("import os", "import threading").partition("        os.write")[0]
    installed(tmp_path, monkeypatch, code + "        threading.Event().wait()\n\n\nbackend = Deadly()\n")
    results = list(check_apart("backend", "deadly", patience=30))
    (failed,) = failures(results)
    assert (failed.check, failed.case) == ("functions/segment_sum", "sorted")
    assert failed.reason.startswith("it did not end within 30 s")


def test_a_plug_in_that_kills_its_process_fails(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, DEADLY)
    results = list(check_apart("backend", "deadly"))
    (failed,) = failures(results)
    assert (failed.check, failed.case) == ("functions/segment_sum", "sorted")
    assert "was killed by SIGABRT in or after this case: terminate called" in failed.reason
    assert sum(each.status == "pass" for each in results) > 100

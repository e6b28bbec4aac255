"""Backends and engines broken on purpose: the kit fails each of them, by the check that is about it."""

from __future__ import annotations

import os
import re
import sys
from weakref import WeakKeyDictionary

import pytest

from ffbridge import registry
from ffbridge.backend import Backend
from ffbridge.engine import Engine
from ffbridge.testing import check_apart, check_backend, check_engine
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


@pytest.mark.parametrize("broken", broken_backends.BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_backend_fails(registered, broken):
    registered(broken())
    assert_failed(check_backend("strict"), *broken_backends.BROKEN[broken])


@pytest.mark.parametrize("broken", broken_engines.BROKEN, ids=lambda broken: broken.__name__)
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


def test_a_plug_in_that_kills_its_process_fails(tmp_path, monkeypatch):
    (tmp_path / "ffbridge_deadly.py").write_text(DEADLY)
    info = tmp_path / "ffbridge_deadly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ffbridge-deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ffbridge.backends]\ndeadly = ffbridge_deadly:backend\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    results = list(check_apart("backend", "deadly"))
    (failed,) = failures(results)
    assert (failed.check, failed.case) == ("functions/segment_sum", "sorted")
    assert "was killed by SIGABRT in or after this case: terminate called" in failed.reason
    assert sum(each.status == "pass" for each in results) > 100

"""The backends and engines of this repository go through the kit.

The example plug-in has a test of its own, and JAX goes through it in a process of its own (`test_command`), where its
x64 is on for all threads.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from ffbridge.errors import ConformanceError
from ffbridge.testing import BackendConformance, EngineConformance


@pytest.fixture
def x64():
    """The scope in which JAX, as a host, holds float64."""
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with jax.enable_x64(True):
        yield


class TestNumpy(BackendConformance):
    backend = "numpy"


class TestTorch(BackendConformance):
    backend = "torch"


class TestJaxWithoutX64(BackendConformance):
    """Refuses 64-bit numbers as it declares."""

    backend = "jax"


@pytest.mark.usefixtures("x64")
class TestNumpyEngine(EngineConformance):
    engine = "numpy"


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
class TestTorchEngine(EngineConformance):
    engine = "torch"


class CompiledConformance(EngineConformance):
    """The checks `needed`, of what depends on what a potential compiles for itself: others would compile it again."""

    needed: ClassVar[tuple[str, ...]]

    def _cases(self):
        return (each for each in super()._cases() if each[0].name in self.needed)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
class TestCompiledTorchEngine(CompiledConformance):
    engine = "torch"
    options: ClassVar = {"compile": True}
    needed = ("vectors/derivatives", "threads/calls")


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
class TestExactJaxEngine(CompiledConformance):
    engine = "jax"
    options: ClassVar = {"shapes": "exact"}
    needed = ("vectors/derivatives", "reference", "calls/tables", "calls/dtype", "threads/calls")


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
class TestOpenMMEngine(EngineConformance):
    engine = "openmm"

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("openmm", reason="OpenMM is not installed")


def test_a_class_that_names_nothing_is_told():
    class TestNothing(EngineConformance):
        pass

    with pytest.raises(ConformanceError, match="TestNothing names no engine: set engine = its name"):
        list(TestNothing()._cases())

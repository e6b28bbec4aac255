"""All the tests that a backend and an engine need: those of ffbridge's conformance kit."""

import pytest

from ffbridge.testing import BackendConformance, EngineConformance

pytest.importorskip("mlx.core", reason="MLX is not installed: pip install mlx[cpu]")


class TestBackend(BackendConformance):
    """MLX exchanges arrays."""

    backend = "mlx"


class TestEngine(EngineConformance):
    """MLX evaluates the standard's energies."""

    engine = "mlx"

"""All the tests that a backend and an engine need: those of ffbridge's conformance kit."""

import pytest

from ffbridge.testing import BackendConformance, EngineConformance

pytest.importorskip("paddle", reason="PaddlePaddle is not installed: pip install paddlepaddle (700 MB)")


class TestBackend(BackendConformance):
    """Paddle exchanges arrays, and is a host."""

    backend = "paddle"


class TestEngine(EngineConformance):
    """Paddle evaluates the standard's energies."""

    engine = "paddle"

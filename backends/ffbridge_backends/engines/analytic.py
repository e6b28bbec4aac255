"""The engines ``numpy`` and ``cupy``: the standard's energies with their analytic derivatives."""

from __future__ import annotations

from ffbridge.analytic_engine import AnalyticEngine

__all__ = ["CupyEngine", "NumpyEngine", "cupy", "numpy"]


class NumpyEngine(AnalyticEngine):
    """NumPy, on the CPU."""

    name = backend = package = "numpy"
    install = "pip install ffbridge"


class CupyEngine(AnalyticEngine):
    """CuPy, on a CUDA device."""

    name = backend = package = "cupy"
    install = 'pip install "ffbridge[cupy]"'


numpy = NumpyEngine()
cupy = CupyEngine()

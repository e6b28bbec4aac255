"""The engines ``numpy`` and ``cupy``: the standard's energies with their analytic derivatives."""

from __future__ import annotations

from dataclasses import dataclass

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import analytic_value_and_grad, by_term, total
from ffbridge.energy.plan import Structure
from ffbridge.engine import ArrayEngine, Arrays, Evaluation, Evaluator

__all__ = ["AnalyticEngine", "CupyEngine", "NumpyEngine", "cupy", "numpy"]


@dataclass(frozen=True, eq=False)
class _AnalyticEvaluator(Evaluator):
    backend: Backend
    structure: Structure
    arrays: dict[str, Array]
    tables: dict[str, Array]

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        return by_term(self.backend, self.structure, self.arrays, x, tables)

    def energy(self, x: Array, tables: Arrays) -> Array:
        return total(self.backend, self.structure, self.arrays, x, tables)

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        return analytic_value_and_grad(self.backend, self.structure, self.arrays, x, tables)


class AnalyticEngine(ArrayEngine):
    """An engine for a framework without automatic differentiation."""

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> Evaluator:
        """Return an evaluator that computes derivatives by analytic formulas."""
        return _AnalyticEvaluator(backend, structure, arrays, tables)


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

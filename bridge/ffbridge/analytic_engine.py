"""Engines with analytic derivatives: the standard's energies for array frameworks without automatic differentiation."""

from __future__ import annotations

from dataclasses import dataclass

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import packed_energies, packed_pullback, value_and_grad_by_chunks
from ffbridge.energy.evaluator import ArrayEvaluator
from ffbridge.energy.plan import Structure
from ffbridge.engine import ArrayEngine, Arrays, EngineEvaluator, Evaluation
from ffbridge.exchange import share
from ffbridge.first_order import FirstOrderSource
from ffbridge.function import FunctionSource
from ffbridge.packing import Packing

__all__ = ["AnalyticEngine"]


@dataclass(frozen=True, eq=False)
class _AnalyticEvaluator(ArrayEvaluator):
    engine: str

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        given = {name: share(table, self.backend).array for name, table in tables.items()}
        x = share(x, self.backend).array
        return value_and_grad_by_chunks(self.backend, self.structure, self.arrays, x, {**self.tables, **given})

    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        prepared = (self.backend, self.structure, self.arrays, self.tables)
        return FirstOrderSource(
            engine=self.engine,
            backend=self.backend,
            packing=packing,
            n_energies=self.n_energies(each_term=each_term),
            energies=lambda packed: packed_energies(*prepared, packed, packing=packing, each_term=each_term),
            pullback=lambda packed, weights: packed_pullback(
                *prepared, packed, weights, packing=packing, each_term=each_term
            ),
        )


class AnalyticEngine(ArrayEngine):
    """An engine for a framework of which no automatic differentiation is needed.

    A subclass names its backend, as `name` and `backend`, its `package` and the command to `install` it.
    """

    by_formulas = True

    def abilities(self) -> tuple[str, ...]:
        """What it can do."""
        return ("energies and first derivatives, by formulas",)

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> EngineEvaluator:
        """Return an evaluator that computes derivatives by analytic formulas."""
        return _AnalyticEvaluator(backend, structure, arrays, tables, self.name)

"""A plan with its arrays in one framework, evaluated there: what engines in array frameworks have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import by_term, total
from ffbridge.energy.plan import Structure
from ffbridge.engine import Arrays, EngineEvaluator, Evaluation

__all__ = ["ArrayEvaluator"]


@dataclass(frozen=True, eq=False)
class ArrayEvaluator(EngineEvaluator):
    """The standard's energies on the arrays of one bundle.

    Attributes:
        backend: the framework of all arrays.
        structure: the plan's structure.
        arrays: the plan's arrays.
        tables: the bundle's own tables, which given ones replace.
    """

    backend: Backend
    structure: Structure
    arrays: dict[str, Array]
    tables: dict[str, Array]

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        """Return the energy of each term, ``(..., n_systems)`` [kJ/mol]."""
        return by_term(self.backend, self.structure, self.arrays, x, {**self.tables, **tables})

    def energy(self, x: Array, tables: Arrays) -> Array:
        """Return the energy, ``(..., n_systems)`` [kJ/mol]."""
        return total(self.backend, self.structure, self.arrays, x, {**self.tables, **tables})

    @abstractmethod
    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Return the energy, the forces and the derivatives with respect to the tables."""

    def n_energies(self, *, each_term: bool) -> int:
        """Return the energies of each conformer: one for each system, or for each system and term."""
        return self.structure.n_systems * (len(self.structure.terms) if each_term else 1)

"""Energies in the shapes that callers use: positions ``(..., n_atoms, 3)``, energies ``(..., n_systems)``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

from ffbridge.backend import Array, Backend
from ffbridge.energy.conformers import conformers_first, conformers_last
from ffbridge.energy.plan import Structure
from ffbridge.energy.total import derivatives, energies
from ffbridge.engine import Evaluation

__all__ = ["analytic_value_and_grad", "by_term", "total"]

Arrays = Mapping[str, Array]


def by_term(backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays) -> dict[str, Array]:
    """Return the energy of every term, ``(..., n_systems)`` [kJ/mol], for inputs as an Evaluator takes them."""
    xp = backend.namespace
    inner = energies(backend, structure, arrays, conformers_last(xp, x), tables)
    return {name: conformers_first(xp, energy, x.shape[:-2]) for name, energy in inner.items()}


def total(backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays) -> Array:
    """Return the sum of all terms, ``(..., n_systems)`` [kJ/mol]."""
    return _sum(backend, structure, x, by_term(backend, structure, arrays, x, tables))


def analytic_value_and_grad(
    backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays
) -> Evaluation:
    """Return energy, forces and dU/d tables by analytic formulas, without automatic differentiation."""
    xp, batch = backend.namespace, x.shape[:-2]
    inner, du_dx, du_dtables = derivatives(backend, structure, arrays, conformers_last(xp, x), tables)
    outer = {name: conformers_first(xp, energy, batch) for name, energy in inner.items()}
    return Evaluation(_sum(backend, structure, x, outer), -conformers_first(xp, du_dx, batch), du_dtables)


def _sum(backend: Backend, structure: Structure, x: Array, terms: Mapping[str, Array]) -> Array:
    if not terms:
        # Still a function of x, so that it can be differentiated like any other energy.
        xp = backend.namespace
        return xp.broadcast_to(0.0 * xp.sum(x, axis=(-2, -1))[..., None], (*x.shape[:-2], structure.n_systems))
    return reduce(add, terms.values())

"""The engine ``jax``: the standard's energies in JAX, compiled once for each structure and set of shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import by_term, total
from ffbridge.energy.plan import Structure
from ffbridge.engine import ArrayEngine, Arrays, Evaluation, Evaluator

__all__ = ["JaxEngine", "engine"]


@dataclass(frozen=True, eq=False)
class _Compiled:
    """The jitted functions of one structure. Index arrays are arguments, so bundles of equal shapes share the code."""

    by_term: Callable[..., dict[str, Array]]
    energy: Callable[..., Array]
    value_and_grad: Callable[..., Any]


@cache
def _compile(backend: Backend, structure: Structure) -> _Compiled:
    import jax

    def energy_sum(x: Array, tables: Arrays, arrays: Arrays) -> tuple[Array, Array]:
        energy = total(backend, structure, arrays, x, tables)
        return energy.sum(), energy

    def value_and_grad(x: Array, tables: Arrays, arrays: Arrays) -> Evaluation:
        (_, energy), (du_dx, du_dtables) = jax.value_and_grad(energy_sum, argnums=(0, 1), has_aux=True)(
            x, tables, arrays
        )
        return Evaluation(energy, -du_dx, du_dtables)

    return _Compiled(
        by_term=jax.jit(lambda x, tables, arrays: by_term(backend, structure, arrays, x, tables)),
        energy=jax.jit(lambda x, tables, arrays: total(backend, structure, arrays, x, tables)),
        value_and_grad=jax.jit(value_and_grad),
    )


@dataclass(frozen=True, eq=False)
class _JaxEvaluator(Evaluator):
    compiled: _Compiled
    arrays: dict[str, Array]
    tables: dict[str, Array]

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        return self.compiled.by_term(x, tables, self.arrays)

    def energy(self, x: Array, tables: Arrays) -> Array:
        return self.compiled.energy(x, tables, self.arrays)

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        return self.compiled.value_and_grad(x, tables, self.arrays)  # type: ignore[no-any-return]


class JaxEngine(ArrayEngine):
    """JAX, on any of its devices. Works inside jit, grad and vmap."""

    name = backend = package = "jax"
    install = 'pip install "ffbridge[jax]"'

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> Evaluator:
        """Return an evaluator of compiled functions."""
        return _JaxEvaluator(_compile(backend, structure), arrays, tables)


engine = JaxEngine()

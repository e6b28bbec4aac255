"""Lambda modules: a potential that runs in one framework and is a differentiable function of another's arrays.

The host packs positions and those tables that are inputs into one array, which crosses to the engine; energies cross
back. The host's automatic differentiation calls the engine's derivatives in the same way. A lambda module holds no
trainable
state: tables of the bundle that carry a gradient of the host are inputs, all others are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ffbridge.backend import Array, Backend
from ffbridge.engine import Arrays, Engine, Evaluation, Evaluator
from ffbridge.exchange import share
from ffbridge.function import EngineFunction
from ffbridge.missing_gradients import MissingGradients
from ffbridge.packing import Packing
from ffbridge.registry import backend_of

if TYPE_CHECKING:
    from ffbridge.bundle import Bundle

__all__ = ["LambdaModule"]


class _Crossing(NamedTuple):
    """An engine's function, and the same as a differentiable function of the host's arrays."""

    function: EngineFunction
    hosted: Callable[..., tuple[Array, ...]]


class LambdaModule(Evaluator):
    """An engine's evaluator, as a differentiable function of the host's arrays.

    Args:
        bundle: a valid bundle.
        engine: the engine that evaluates it.
        host: the framework of the arrays that come and go.
    """

    def __init__(self, bundle: Bundle, engine: Engine, host: Backend) -> None:
        self._host = host
        self._at_home = host.name == engine.backend
        self._bundle = bundle
        self._names = tuple(bundle.energy_terms)
        values = {name: table.values for name, table in bundle.tables.items()}
        # A gradient of another framework than the host is refused here, with the ways out, instead of being lost.
        self._inputs = {
            name: share(array, host).array for name, array in values.items() if backend_of(array).is_tracked(array)
        }
        self._evaluator = engine.prepare(bundle.snapshot(), hosted=True)
        self._split = host.fused(self._split_rows)
        self._positions_alone = Packing(bundle.n_atoms)
        # Kept, so that compiled code is found again: one function for each set of tables that are inputs.
        self._crossings: dict[tuple[Packing, frozenset[str], bool], _Crossing] = {}

    def energy(self, x: Array, tables: Arrays) -> Array:
        """Return the energy, ``(..., n_systems)`` [kJ/mol]."""
        energies = self._call(x, tables, each_term=False)
        return self._host.namespace.reshape(energies, (*x.shape[:-2], self._bundle.n_systems))

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        """Return the energy of each term, ``(..., n_systems)`` [kJ/mol]."""
        if not self._names:
            return {}
        energies = self._call(x, tables, each_term=True)
        split = self._host.namespace.reshape(energies, (*x.shape[:-2], self._bundle.n_systems, len(self._names)))
        return {name: split[..., number] for number, name in enumerate(self._names)}

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Return the energy, the forces and the derivatives with respect to the tables, as plain values."""
        detach = self._host.detach
        given = {name: detach(table) for name, table in {**self._inputs, **tables}.items()}
        energy, forces, gradients = self._evaluator.value_and_grad(detach(x), given)
        back = gradients
        if not isinstance(gradients, MissingGradients):
            back = {name: share(gradient, self._host).array for name, gradient in gradients.items()}
        return Evaluation(share(energy, self._host).array, share(forces, self._host).array, back)

    def energy_and_forces(self, x: Array, tables: Arrays) -> tuple[Array, Array]:
        """Return the energy and the forces as plain values, by one crossing if the engine works elsewhere."""
        detach = self._host.detach
        given = {name: detach(table) for name, table in {**self._inputs, **tables}.items()}
        if self._at_home:
            return self._evaluator.energy_and_forces(detach(x), given)
        crossing, packed = self._crossing(detach(x), given, each_term=False)
        rows = share(crossing.function.slope(packed)[0], self._host).array
        energy, forces = self._split(rows, x)
        return energy, forces

    def _split_rows(self, rows: Array, x: Array) -> tuple[Array, Array]:
        xp, n_systems = self._host.namespace, self._bundle.n_systems
        energy = xp.reshape(rows[:, :n_systems], (*x.shape[:-2], n_systems))
        return energy, -xp.reshape(rows[:, n_systems:], tuple(x.shape))

    def _call(self, x: Array, tables: Arrays, *, each_term: bool) -> Array:
        crossing, packed = self._crossing(x, {**self._inputs, **tables}, each_term=each_term)
        return crossing.hosted(packed)[0]

    def _crossing(self, x: Array, tables: Arrays, *, each_term: bool) -> tuple[_Crossing, Array]:
        """Return what evaluates the energies with these tables as inputs, and its packed input."""
        packing = self._packing(tables) if tables else self._positions_alone
        key = packing, packing.constants, each_term
        crossing = self._crossings.get(key)
        if crossing is None:
            function = EngineFunction(self._evaluator.source(packing, each_term=each_term))
            crossing = self._crossings[key] = _Crossing(function, self._host.differentiable(function))
        return crossing, packing.pack(self._host.namespace, x, tables)

    def _packing(self, tables: Arrays) -> Packing:
        return Packing(
            self._bundle.n_atoms,
            tuple((name, tuple(table.shape)) for name, table in sorted(tables.items())),
            frozenset(name for name, table in tables.items() if not self._host.is_tracked(table)),
        )

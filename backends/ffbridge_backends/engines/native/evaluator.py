"""A bundle made ready for the compiled loops, in the shapes that callers use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array, Backend
from ffbridge.energy.conformers import conformers_first, conformers_last
from ffbridge.energy.placement import place, pull_back_sites
from ffbridge.energy.plan import Structure
from ffbridge.engine import Arrays, EngineEvaluator, Evaluation
from ffbridge.exchange import share
from ffbridge.first_order import FirstOrderSource
from ffbridge.function import FunctionSource
from ffbridge.packing import Packing
from ffbridge_backends.engines.native.evaluation import ENERGIES, EVERYTHING, FORCES, Found, evaluate
from ffbridge_backends.engines.native.terms import Pairs, Parameters, prepare_terms

__all__ = ["NativeEvaluator"]

Floats = NDArray[np.float64]
_DOUBLE = np.dtype(np.float64)


class NativeEvaluator(EngineEvaluator):
    """The compiled loops on the arrays of one bundle.

    Args:
        backend: that of NumPy.
        structure: the plan's structure.
        arrays: the plan's arrays, and ``system_offsets``.
        tables: the bundle's own tables, which given ones replace.
        threads: how many threads an evaluation may use.
    """

    def __init__(
        self,
        backend: Backend,
        structure: Structure,
        arrays: dict[str, Array],
        tables: dict[str, Array],
        threads: int,
    ) -> None:
        self._backend = backend
        self._structure = structure
        self._arrays = arrays
        self._tables = {name: _in_double(table) for name, table in tables.items()}
        self._threads = threads
        self._terms = prepare_terms(structure, arrays)
        self._each = [each for term in self._terms for each in (term.terms if isinstance(term, Pairs) else (term,))]

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        """Return the energy of each term, ``(..., n_systems)`` [kJ/mol]."""
        found = self._evaluate(_flat(x), tables, ENERGIES)[0]
        shape = (*x.shape[:-2], self._structure.n_systems)
        energies = found.energies.astype(x.dtype, copy=False)
        return {term.name: energies[place].reshape(shape) for place, term in enumerate(self._structure.terms)}

    def energy(self, x: Array, tables: Arrays) -> Array:
        """Return the energy, ``(..., n_systems)`` [kJ/mol]."""
        return self._total(self._evaluate(_flat(x), tables, ENERGIES)[0], x)

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Return the energy, the forces and the derivatives with respect to the tables."""
        x = self._taken(x)
        found, du_dtables = self._evaluate(_flat(x), tables, EVERYTHING)
        back = {name: _as(x.dtype, table) for name, table in du_dtables.items()}
        return Evaluation(self._total(found, x), _forces(found, x), back)

    def energy_and_forces(self, x: Array, tables: Arrays) -> tuple[Array, Array]:
        """Return the energy and the forces alone."""
        found = self._evaluate(_flat(x), tables, FORCES)[0]
        return self._total(found, x), _forces(found, x)

    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        """Return energies and their pullback for the automatic differentiation of another framework."""
        n_each = len(self._structure.terms) if each_term else 1
        n_energies = self._structure.n_systems * n_each

        def energies(packed: Array) -> Array:
            x, tables = packing.unpack(np, packed)
            found = self._evaluate(_in_double(x), tables, ENERGIES)[0].energies
            by_conformer = np.moveaxis(found, 0, -1) if each_term else found.sum(axis=0)
            return by_conformer.reshape(len(x), n_energies).astype(packed.dtype, copy=False)

        def pullback(packed: Array, cotangents: Array) -> Array:
            x, tables = packing.unpack(np, packed)
            split = _in_double(cotangents).reshape(len(x), self._structure.n_systems, n_each)
            found, dl_dtables = self._evaluate(_in_double(x), tables, EVERYTHING, np.moveaxis(split, -1, 0))
            return packing.pack(np, found.gradient, dl_dtables).astype(packed.dtype, copy=False)

        return FirstOrderSource(
            engine="native",
            backend=self._backend,
            packing=packing,
            n_energies=n_energies,
            energies=energies,
            pullback=pullback,
        )

    @cached_property
    def _own(self) -> dict[int, Parameters]:
        """Parameters of the bundle's own tables, by the place of a term."""
        return {each.place: each.parameters(self._tables) for each in self._each}

    def _evaluate(
        self, x: Floats, given: Arrays, wanted: int, weights: Floats | None = None
    ) -> tuple[Found, dict[str, Floats]]:
        """Return what is found at ``(n_conformers, n_atoms, 3)``, and dL/d table by name; weights as for `evaluate`."""
        tables, parameters = self._tables, self._own
        if given:
            replaced = {name: _in_double(self._taken(table)) for name, table in given.items()}
            tables = {**tables, **replaced}
            parameters = {
                each.place: parameters[each.place]
                if replaced.keys().isdisjoint(each.tables)
                else each.parameters(tables)
                for each in self._each
            }
        sites = self._structure.virtual_sites
        inner = conformers_last(np, x) if sites else x
        if sites:
            x = conformers_first(np, place(self._backend, sites, self._arrays, inner, tables), x.shape[:1])
        found = evaluate(
            self._terms,
            len(self._each),
            self._arrays["system_offsets"],
            x,
            parameters,
            weights,
            wanted=wanted,
            threads=self._threads,
        )
        if sites and wanted > ENERGIES:
            return self._without_sites(found, inner, tables, parameters, wanted)
        return found, self._table_gradients(found, tables, parameters) if wanted == EVERYTHING else {}

    def _without_sites(
        self, found: Found, x: Floats, tables: Mapping[str, Floats], parameters: Mapping[int, Parameters], wanted: int
    ) -> tuple[Found, dict[str, Floats]]:
        """Return derivatives as functions of positions without virtual sites."""
        sites, moved = self._structure.virtual_sites, conformers_last(np, found.gradient)
        dl_dx, of_sites = pull_back_sites(self._backend, sites, self._arrays, x, tables, moved)
        gradient = np.ascontiguousarray(conformers_first(np, dl_dx, found.gradient.shape[:1]))
        back = self._table_gradients(found, tables, parameters) if wanted == EVERYTHING else {}
        return Found(found.energies, gradient, found.slopes), {
            name: table + of_sites[name] if name in of_sites else table for name, table in back.items()
        }

    def _table_gradients(
        self, found: Found, tables: Mapping[str, Floats], parameters: Mapping[int, Parameters]
    ) -> dict[str, Floats]:
        result: dict[str, Floats] = {}
        for each in self._each:
            for name, back in each.pull_back(parameters[each.place], found.slopes[each.place], tables):
                result[name] = result[name] + back if name in result else back
        return {name: result[name] if name in result else np.zeros_like(table) for name, table in tables.items()}

    def _total(self, found: Found, x: Array) -> Array:
        total = _as(x.dtype, found.energies.sum(axis=0))
        return total.reshape(*x.shape[:-2], self._structure.n_systems)

    def _taken(self, array: Array) -> Any:
        return array if type(array) is np.ndarray else share(array, self._backend).array


def _forces(found: Found, x: Array) -> Any:
    forces = np.negative(found.gradient, out=found.gradient)
    return _as(x.dtype, forces.reshape(x.shape))


def _in_double(array: Array) -> Any:
    return _as(_DOUBLE, array)


def _as(dtype: np.dtype[Any], array: Array) -> Any:
    return array if array.dtype == dtype else array.astype(dtype)


def _flat(x: Array) -> Floats:
    """Return positions ``(n_conformers, n_atoms, 3)`` in double precision."""
    flat: Floats = _in_double(x.reshape(-1, *x.shape[-2:]))
    return flat

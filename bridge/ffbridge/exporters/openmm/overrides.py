"""Overrides of a nonbonded term as functions of the types of two particles, which custom forces take from tables.

A type is a row of the term's table that an override lists, numbered from 1; all other rows have the type 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.energy.overrides import overriding_rows
from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.mapping import Select
from ffbridge.term import Overrides, Term

__all__ = ["OWN", "TypeTables", "overridable", "own_name"]

OWN = "own"
"""Name of the function that is 1 for types that an override lists, and 0 for others."""


def overridable(parameter: str, mean: str) -> str:
    """Return the parameter of a pair, in OpenMM's syntax: that of an override, or the mean of its particles'."""
    return f"select({OWN}(type1,type2), {own_name(parameter)}(type1,type2), {mean})"


def own_name(parameter: str) -> str:
    """Return the name of the function that is a parameter of the pairs of types that an override lists."""
    return f"{OWN}_{parameter}"


class TypeTables:
    """The overrides of a term, for a ``CustomNonbondedForce``.

    Args:
        term: the term, of NumPy arrays.
        overrides: its overrides.
        parameters: names of the parameters of a pair, as the force's expression has them.
        n_atoms: number of particles.

    Attributes:
        types: the type of each particle, ``(n_atoms,)``.
    """

    def __init__(self, term: Term, overrides: Overrides, parameters: tuple[str, ...], n_atoms: int) -> None:
        self._term, self._parameters = term, parameters
        rows, types = np.unique(np.asarray(overrides.pairs), return_inverse=True)
        self._pairs = types.reshape(-1, 2) + 1
        self._size = len(rows) + 1
        row_of = np.asarray(term.mapping.index) if isinstance(term.mapping, Select) else np.arange(len(term))
        self._interaction = np.full(n_atoms, -1)
        self._interaction[term.indices[:, 0]] = np.arange(len(term))
        self.types = np.zeros(n_atoms)
        self.types[term.indices[:, 0]] = np.where(np.isin(row_of, rows), np.searchsorted(rows, row_of) + 1, 0)

    def add_to(self, force: Any, values: Floats) -> None:
        """Add the functions to a force whose expression names them; `values` are those of :meth:`set_in`."""
        import openmm

        for name, table in self._tables(values).items():
            force.addTabulatedFunction(name, openmm.Discrete2DFunction(self._size, self._size, table))

    def set_in(self, force: Any, values: Floats) -> None:
        """Set the functions that were added, by the overrides' parameters ``(n_overrides, n_columns)``."""
        for number, table in enumerate(self._tables(values).values()):
            force.getTabulatedFunction(number).setFunctionParameters(self._size, self._size, table)

    def replace(self, mixed: Floats, pairs: NDArray[Any], values: Floats) -> Floats:
        """Return the parameters of pairs of atoms, ``(n_pairs, n_columns)``: the mixed ones, or those of an override.

        Args:
            mixed: the mixed ones.
            pairs: atoms, ``(n_pairs, 2)``.
            values: the overrides' parameters.
        """
        places = self._interaction[pairs]
        inside = np.flatnonzero((places >= 0).all(axis=1))
        own = np.full(len(pairs), -1)
        own[inside] = overriding_rows(self._term, places[inside])
        result = mixed.copy()
        result[own >= 0] = values[own[own >= 0]]
        return result

    def _tables(self, values: Floats) -> dict[str, list[float]]:
        """Return the functions' values; the first type runs fastest, and the second may as well."""
        listed = dict(zip(map(own_name, self._parameters), values.T, strict=True))
        listed[OWN] = np.ones(len(self._pairs))
        first, second = self._pairs.T
        tables = {}
        for name, of_pairs in listed.items():
            table = np.zeros((self._size, self._size))
            table[first, second] = table[second, first] = of_pairs
            tables[name] = table.reshape(-1).tolist()
        return tables

"""Correction maps as OpenMM's ``CMAPTorsionForce``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.mapping import Select
from ffbridge.term import Term

__all__ = ["MapForce"]


class MapForce:
    """A term of correction maps as one ``openmm.CMAPTorsionForce``: interactions that share a row share a map.

    Args:
        name: the term's name.
        term: the term, of NumPy arrays.
        parameters: maps of the interactions, ``(n_terms, size²)`` [kJ/mol].

    Attributes:
        forces: the ``openmm.Force``, in a tuple.
    """

    def __init__(self, name: str, term: Term, parameters: Floats) -> None:
        import openmm

        self._name, self._size, self._parameters = name, int(term.settings["size"]), parameters
        shared = term.mapping.index if isinstance(term.mapping, Select) else np.arange(len(term))
        # Of each map the first interaction that has it, and of each interaction its map.
        _, self._first, place = np.unique(shared, return_index=True, return_inverse=True)
        self._force = openmm.CMAPTorsionForce()
        self.forces = (self._force,)
        for values in parameters[self._first]:
            self._force.addMap(*self._map(values))
        for number, atoms in zip(place.reshape(-1).tolist(), term.indices.tolist(), strict=True):
            self._force.addTorsion(number, *atoms)

    def update(self, context: Any, parameters: dict[str, Floats]) -> None:
        """Set maps by name of the term, and those that changed in a Context of the System."""
        new = parameters[self._name]
        changed = np.flatnonzero((new[self._first] != self._parameters[self._first]).any(axis=1))
        for number in changed.tolist():
            self._force.setMapParameters(number, *self._map(new[self._first[number]]))
        if len(changed):
            self._force.updateParametersInContext(context)
        self._parameters = new

    def _map(self, values: Floats) -> tuple[int, list[float]]:
        """Return the size and the energies in OpenMM's order: the index of the first dihedral runs fastest."""
        return self._size, values.reshape(self._size, self._size).T.reshape(-1).tolist()

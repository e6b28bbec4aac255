"""Improper torsions as OpenMM takes them from the file that Garnet writes.

Garnet states an improper torsion by the types of its center and of the three neighbors, in the order of their indices,
with the XML attribute ``ordering="default"``. OpenMM (``openmm/app/forcefield.py``, ``_matchImproper``) then

- gives each center the *last* entry whose types match in any order of the neighbors;
- assigns the neighbors to the entry's places: the first of their permutations, by ascending index, that fits;
- lists the atoms as (first, second, center, third), after it has put the first two in the order of their indices if
  they are of one element, and otherwise carbon, or else the heavier one, before the other.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["atom_types", "entries", "quartets"]

Indices = NDArray[np.int64]

_PERMUTATIONS = np.array(list(permutations(range(3))))
_CARBON = 6


def atom_types(garnet: Any, data: Any, parameters: Any) -> Indices:
    """Return a number for Garnet's type of each atom of a graph, ``(n_atoms,)``.

    Args:
        garnet: the module ``garnetff.garnetff``.
        data: Garnet's object for the graph.
        parameters: ``(n_atoms, 3)`` tensor: charge, sigma, epsilon.
    """
    names = garnet.get_equivalent_atom_types(data, parameters)
    return np.unique(names, return_inverse=True)[1]


def entries(types: Indices) -> Indices:
    """Return for each improper torsion that Garnet states the one whose entry OpenMM takes, ``(n,)``.

    Args:
        types: ``(n, 4)``, the types of center and neighbors, in Garnet's order. It writes the first of equal rows.
    """
    _, first, place = np.unique(types, axis=0, return_index=True, return_inverse=True)
    alike = np.concatenate([types[:, :1], np.sort(types[:, 1:], axis=1)], axis=1)
    _, group = np.unique(alike, axis=0, return_inverse=True)
    last = np.zeros(len(types), dtype=np.int64)
    np.maximum.at(last, group.reshape(-1), first[place.reshape(-1)])
    return last[group.reshape(-1)]


def quartets(
    atoms: Indices, types: Indices, wanted: Indices, elements: Indices, masses: NDArray[np.float64]
) -> Indices:
    """Return the atoms of improper torsions in the order in which OpenMM lists them, ``(n, 4)``, the center third.

    Args:
        atoms: ``(n, 4)``, center and neighbors, in any order.
        types: ``(n_atoms,)``, the type of each atom.
        wanted: ``(n, 3)``, the types of the neighbors in the entry that each takes.
        elements: ``(n_atoms,)``, atomic numbers.
        masses: ``(n_atoms,)`` of the elements [Da].
    """
    neighbors = np.sort(atoms[:, 1:], axis=1)
    candidates = neighbors[:, _PERMUTATIONS]
    fits = (types[candidates] == wanted[:, None, :]).all(axis=2)
    chosen = np.take_along_axis(candidates, fits.argmax(axis=1)[:, None, None], axis=1)[:, 0]
    first, second = chosen[:, 0], chosen[:, 1]
    exchanged = _exchanged(first, second, elements, masses)
    left, right = np.where(exchanged, second, first), np.where(exchanged, first, second)
    return np.stack([left, right, atoms[:, 0], chosen[:, 2]], axis=1)


def _exchanged(first: Indices, second: Indices, elements: Indices, masses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where OpenMM exchanges the first two."""
    same = elements[first] == elements[second]
    lighter = (elements[second] == _CARBON) | (masses[first] < masses[second])
    return np.where(same, first > second, (elements[first] != _CARBON) & lighter)

"""Interactions of all molecules of a topology, from those of the distinct molecules that Garnet's graphs hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .graphs import Graphs

__all__ = ["Copies", "read_copies"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Copies:
    """Which atoms of the bundle are copies of a graph's.

    Attributes:
        starts: ``(n_units,)``, the first of the graphs' atoms of each distinct molecule, ascending.
        unit: ``(n_molecules,)``, the distinct molecule that each molecule of the bundle is a copy of.
        atoms: for each molecule of the bundle, the bundle's atoms in the order of the distinct one.
    """

    starts: Indices
    unit: Indices
    atoms: tuple[Indices, ...]

    def spread(self, paths: Indices) -> tuple[Indices, Indices]:
        """Return the interactions of the bundle, (atoms, rows): ``atoms (n, arity)``, and the row of `paths` of each.

        Args:
            paths: ``(n_rows, arity)`` of the graphs' atoms, distinct molecule by distinct molecule.
        """
        units = np.searchsorted(self.starts, paths[:, 0], side="right") - 1
        bounds = np.searchsorted(units, np.arange(len(self.starts) + 1))
        rows = [np.arange(bounds[unit], bounds[unit + 1]) for unit in self.unit]
        atoms = [
            own[paths[part] - self.starts[unit]] for own, part, unit in zip(self.atoms, rows, self.unit, strict=True)
        ]
        return np.concatenate(atoms), np.concatenate(rows)


def read_copies(graphs: Graphs, sizes: Sequence[Sequence[int]]) -> Copies:
    """Return which atoms are copies of the graphs' atoms.

    Args:
        graphs: the graphs of the systems.
        sizes: number of atoms of each molecule of each system.
    """
    originals = np.concatenate(graphs.atoms)
    ends = np.cumsum([size for system in sizes for size in system])
    pieces = np.split(originals, ends[:-1])
    first = np.array([piece.min() for piece in pieces])
    starts, unit = np.unique(first, return_inverse=True)
    begins = np.concatenate([[0], ends[:-1]])
    atoms = tuple(begin + np.argsort(piece) for begin, piece in zip(begins, pieces, strict=True))
    return Copies(starts=starts, unit=unit, atoms=atoms)

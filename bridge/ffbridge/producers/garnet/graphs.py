"""What Garnet's network reads of molecules, for several systems at once, with atoms numbered over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import UnsupportedError

__all__ = ["PATHS", "Graphs", "read_graphs"]

Indices = NDArray[np.int64]

PATHS = {"bond": "ij", "angle": "ijk", "proper": "ijkl", "improper": "ijkl"}
"""Interactions by Garnet's names, with its letters for their atoms."""


@dataclass(frozen=True, eq=False)
class Graphs:
    """The distinct molecules of each system as graphs, as Garnet makes them. What is alike within a system stands once.

    Attributes:
        data: Garnet's own objects, one for each system.
        starts: ``(n_systems + 1,)``, the first atom of each system among the graphs' atoms.
        paths: atoms of bonds, angles, proper and improper torsions by Garnet's names, ``(n, arity)``; the center of an
            improper torsion is first.
        molecule: ``(n_atoms,)``, the molecule of each atom, numbered from 0.
        charges: ``(n_molecules,)``, the total charge of each [e].
        atoms: for each system, ``(n,)``: the graphs' atom that each atom of the system is a copy of.
    """

    data: tuple[Any, ...]
    starts: Indices
    paths: dict[str, Indices]
    molecule: Indices
    charges: NDArray[np.float64]
    atoms: tuple[Indices, ...]

    def edges(self) -> tuple[list[Any], Indices]:
        """Return the atom features of each system, tensors ``(n, 27)``, and the edges ``(2, n_edges)`` of all."""
        edges = [data.edge_index.numpy() + start for data, start in zip(self.data, self.starts[:-1], strict=True)]
        return [data.x for data in self.data], np.concatenate(edges, axis=1)


def read_graphs(model: Any, topologies: Sequence[Any]) -> Graphs:
    """Return the graphs of OpenFF topologies, one for each system, by the model's own ``topology_to_data``.

    Raises:
        UnsupportedError: a topology has no atoms, or an element or a formal charge that Garnet does not know.
    """
    try:
        data = tuple(model.topology_to_data(topology) for topology in topologies)
    except ValueError as error:
        raise UnsupportedError(f"from_garnet: Garnet does not take this molecule: {error}") from error
    sizes = [len(each.elements) for each in data]
    starts = np.cumsum([0, *sizes])
    n_molecules = np.cumsum([0, *(max(each.molecule_inds) + 1 for each in data)])
    molecule = np.concatenate(
        [np.array(each.molecule_inds) + first for each, first in zip(data, n_molecules[:-1], strict=True)]
    )
    formal = np.concatenate([np.array(each.formal_charges, dtype=float) for each in data])
    paths = {
        name: np.concatenate(
            [_path(each, name, letters) + start for each, start in zip(data, starts[:-1], strict=True)], dtype=np.int64
        )
        for name, letters in PATHS.items()
    }
    copies = (np.array(each.topology_atom_template_inds) + start for each, start in zip(data, starts[:-1], strict=True))
    return Graphs(
        data=data,
        starts=starts,
        paths=paths,
        molecule=molecule,
        charges=np.asarray(np.bincount(molecule, formal), dtype=np.float64),
        atoms=tuple(copies),
    )


def _path(data: Any, name: str, letters: str) -> Indices:
    return np.array([getattr(data, f"{name}_{letter}s") for letter in letters], dtype=np.int64).T

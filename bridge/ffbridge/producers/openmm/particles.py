"""Particles of a System: elements and bonds of its topology, masses, box, constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ffbridge.errors import BundleError
from ffbridge.producers.connectivity import Neighbors
from ffbridge.producers.openmm.found import Floats, Ints, plain_getter, read_rows
from ffbridge.term import Constraints

__all__ = ["Particles", "read_box", "read_constraints", "read_masses", "read_particles"]


@dataclass(frozen=True, eq=False)
class Particles:
    """What a topology says of the particles.

    Attributes:
        atomic_numbers: ``(n_atoms,) int32``, 0 where no element is known.
        bonds: ``(n_bonds, 2) int32``; None without a topology.
    """

    atomic_numbers: Ints
    bonds: Ints | None

    @property
    def n_atoms(self) -> int:
        """Number of particles."""
        return len(self.atomic_numbers)

    def bonded(self, pairs: Ints) -> Any:
        """Return which pairs ``(n, 2)`` are bonds, ``(n,) bool``."""
        bonds = np.zeros((0, 2), dtype=np.int32) if self.bonds is None else self.bonds
        return np.isin(self._rank(pairs), self._rank(bonds))

    def one_three(self, pairs: Ints) -> Any:
        """Return which pairs ``(n, 2)`` have a neighbor in common and are no bonds, ``(n,) bool``."""
        if self.bonds is None:
            return np.zeros(len(pairs), dtype=bool)
        neighbors = Neighbors.from_bonds(self.bonds.astype(np.int64), self.n_atoms)
        row, middle = neighbors.extend(pairs[:, 0].astype(np.int64))
        reached = self.bonded(np.stack([middle, pairs[row, 1]], axis=1))
        return (np.bincount(row[reached], minlength=len(pairs)) > 0) & ~self.bonded(pairs)

    def _rank(self, pairs: Any) -> Any:
        ordered = np.sort(pairs.astype(np.int64), axis=1)
        return ordered[:, 0] * self.n_atoms + ordered[:, 1]


def read_particles(system: Any, topology: Any) -> Particles:
    """Return the elements and bonds.

    Raises:
        BundleError: the topology has another number of atoms than the System has particles.
    """
    n_atoms = system.getNumParticles()
    if topology is None:
        return Particles(np.zeros(n_atoms, dtype=np.int32), None)
    atoms = list(topology.atoms())
    if len(atoms) != n_atoms:
        raise BundleError(
            f"the topology has {len(atoms)} atoms and the System {n_atoms} particles; give the topology that the "
            "System was made from, with its virtual sites"
        )
    numbers = [0 if atom.element is None else atom.element.atomic_number for atom in atoms]
    bonds = [(bond[0].index, bond[1].index) for bond in topology.bonds()]
    pairs = np.sort(np.array(bonds, dtype=np.int32).reshape(-1, 2), axis=1)
    return Particles(np.array(numbers, dtype=np.int32), np.unique(pairs, axis=0))


def read_masses(system: Any) -> Floats:
    """Return the masses ``(n_atoms,)`` [Da]."""
    get = plain_getter(system.getParticleMass)
    _, masses = read_rows(system.getNumParticles(), lambda row: [get(row)], 0)
    return masses.reshape(-1)


def read_box(system: Any) -> Floats | None:
    """Return the box vectors ``(1, 3, 3)`` [nm] if a force is periodic."""
    from openmm.unit import nanometer

    if not system.usesPeriodicBoundaryConditions():
        return None
    vectors = [list(vector.value_in_unit(nanometer)) for vector in system.getDefaultPeriodicBoxVectors()]
    return np.array(vectors, dtype=np.float64)[None]


def read_constraints(system: Any) -> Constraints | None:
    """Return the constraints, or None."""
    if not system.getNumConstraints():
        return None
    pairs, lengths = read_rows(system.getNumConstraints(), system.getConstraintParameters, 2)
    return Constraints(pairs=pairs, lengths=lengths[:, 0])

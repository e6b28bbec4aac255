"""Bonded paths and pairs of molecules, enumerated from a list of bonds by array operations.

Atoms of several molecules may be numbered consecutively; ``molecule_of_atom`` then says which atom belongs to which
molecule. Every cost is linear in the size of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Neighbors",
    "angles",
    "cyclic_impropers",
    "impropers",
    "one_four_and_farther_pairs",
    "pairs_by_separation",
    "pairs_within",
    "particle_pairs",
    "proper_torsions",
]

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The bonded neighbors of every atom, in the order of the bonds.

    Attributes:
        offsets: ``(n_atoms + 1,) int64``: atom i has the neighbors ``atoms[offsets[i]:offsets[i + 1]]``.
        atoms: ``(2 n_bonds,) int64``.
    """

    offsets: Indices
    atoms: Indices

    @classmethod
    def from_bonds(cls, bonds: Indices, n_atoms: int) -> Neighbors:
        """Return the neighbors that a list of bonds ``(n_bonds, 2)`` describes."""
        # Both ends of a bond stand next to each other, so that a stable sort by atom keeps the order of the bonds.
        ends = bonds.reshape(-1)
        others = bonds[:, ::-1].reshape(-1)
        return cls(offsets=_offsets(ends, n_atoms), atoms=others[ends.argsort(kind="stable")])

    @classmethod
    def from_members(cls, groups: Indices, n_groups: int) -> Neighbors:
        """Return, in place of neighbors, the members of every group; `groups` has the group of each member."""
        return cls(offsets=_offsets(groups, n_groups), atoms=groups.argsort(kind="stable"))

    @cached_property
    def degree(self) -> Indices:
        """Number of neighbors of every atom, ``(n_atoms,)``."""
        return self.offsets[1:] - self.offsets[:-1]

    @cached_property
    def steps(self) -> tuple[Indices, Indices]:
        """Every step from an atom to a neighbor: two atoms each, in the order of the first, then of its bonds."""
        return np.arange(len(self.degree)).repeat(self.degree), self.atoms

    @cached_property
    def ascending(self) -> Neighbors:
        """The same neighbors of every atom, in ascending order."""
        first, second = self.steps
        n_atoms = len(self.degree)
        keys = first * n_atoms + second
        keys.sort()
        return Neighbors(offsets=self.offsets, atoms=keys % n_atoms)

    @cached_property
    def paths(self) -> tuple[Indices, Indices, Indices]:
        """Every path of two bonds over three atoms, in both directions: three atoms each, sorted."""
        first, second = self.ascending.steps
        row, third = self.ascending.extend(second)
        first = first[row]
        onward = first != third
        return first[onward], second[row[onward]], third[onward]

    @cached_property
    def long_paths(self) -> tuple[Indices, Indices, Indices, Indices]:
        """Every path of three bonds, in both directions, that ends on a fourth atom or on its first: sorted."""
        first, second, third = self.paths
        row, fourth = self.ascending.extend(third)
        onward = second[row] != fourth
        row = row[onward]
        return first[row], second[row], third[row], fourth[onward]

    def extend(self, atoms: Indices) -> tuple[Indices, Indices]:
        """Return every step from ``atoms[i]`` to a neighbor, as (i, neighbor), in order of i, then of the bonds."""
        counts = self.degree[atoms]
        rows = np.arange(len(atoms)).repeat(counts)
        # The step to the first neighbor of atoms[i] stands at the end of the counts before.
        shifts = self.offsets[atoms] + counts - counts.cumsum()
        return rows, self.atoms[shifts[rows] + np.arange(len(rows))]


def angles(neighbors: Neighbors) -> Indices:
    """Return every path i-j-k of two bonds once, with i < k: ``(n_angles, 3)``, sorted."""
    i, j, k = neighbors.paths
    return _rows((i, j, k), i < k)


def proper_torsions(neighbors: Neighbors) -> Indices:
    """Return every path i-j-k-l of three bonds over four atoms once, with i < l: ``(n_torsions, 4)``, sorted."""
    i, j, k, last = neighbors.long_paths
    # i < l also excludes three-membered rings, where the path returns to i.
    return _rows((i, j, k, last), i < last)


def impropers(neighbors: Neighbors) -> Indices:
    """Return every ordering (first, center, third, fourth) of an atom that has three neighbors and those neighbors.

    Six orderings per center, ``(6 n_centers, 4)``. They follow each other as a substructure search lists them: by the
    first atom, then by its bonds (which lead to the center), then by the bonds of the center.
    """
    first, center = neighbors.steps
    trivalent = neighbors.degree[center] == 3
    first, center = first[trivalent], center[trivalent]
    around = neighbors.atoms[neighbors.offsets[center, None] + np.arange(3)]
    third, fourth = around[around != first[:, None]].reshape(-1, 2).T
    return np.array([first, center, third, fourth, first, center, fourth, third]).T.reshape(-1, 4)


def cyclic_impropers(neighbors: Neighbors) -> Indices:
    """Return (center, neighbor, neighbor, neighbor) for the three cyclic orders of every center with three neighbors.

    ``(3 n_centers, 4)``. The centers, and the direction around each, are those that :func:`impropers` lists first.
    """
    orderings = impropers(neighbors)
    _, rows = np.unique(orderings[:, 1], return_index=True)
    stars = orderings[np.sort(rows)]
    rotations = np.array([[1, 0, 2, 3], [1, 2, 3, 0], [1, 3, 0, 2]])
    rotated: Indices = stars[:, rotations]
    return rotated.reshape(-1, 4)


def pairs_by_separation(bonds: Indices, n_atoms: int) -> tuple[Indices, Indices]:
    """Return the pairs of atoms that are at most three bonds apart, and by how many bonds: 1, 2 or 3.

    A pair counts by its shortest path: the ends of a path of three bonds around a ring of four atoms are 1-2 or 1-3
    neighbors.

    Args:
        bonds: ``(n_bonds, 2)``.
        n_atoms: number of atoms.

    Returns:
        ``pairs (n_pairs, 2)``, sorted, first < second, and ``separations (n_pairs,)``.
    """
    neighbors = Neighbors.from_bonds(bonds, n_atoms)
    paths = (bonds, angles(neighbors)[:, [0, 2]], proper_torsions(neighbors)[:, [0, 3]])
    pairs = np.concatenate([np.sort(ends, axis=1) for ends in paths])
    separations = np.repeat([1, 2, 3], [len(ends) for ends in paths])
    # np.unique keeps the first of equal pairs, and shorter paths come first.
    ranks, first = np.unique(pairs[:, 0] * n_atoms + pairs[:, 1], return_index=True)
    return np.stack([ranks // n_atoms, ranks % n_atoms], axis=1), separations[first]


def particle_pairs(bonds: Indices, parents: Indices) -> tuple[Indices, Indices]:
    """Return :func:`pairs_by_separation` of particles that count as atoms: virtual sites, as the atom they belong to.

    Args:
        bonds: of atoms, ``(n_bonds, 2)``.
        parents: the atom that each particle counts as, ``(n_particles,)``; itself for an atom.

    Returns:
        ``pairs (n_pairs, 2)``, sorted, first < second, and ``separations (n_pairs,)``; 0 for two particles of one atom.
    """
    n_particles = len(parents)
    pairs, separations = pairs_by_separation(bonds, n_particles)
    if (parents == np.arange(n_particles)).all():
        return pairs, separations
    members = Neighbors.from_members(parents, n_particles)
    atoms = np.unique(parents)
    pairs = np.concatenate([pairs, np.stack([atoms, atoms], axis=1)])
    separations = np.concatenate([separations, np.zeros(len(atoms), dtype=separations.dtype)])
    row, first = members.extend(pairs[:, 0])
    step, second = members.extend(pairs[row, 1])
    found = np.stack([first[step], second], axis=1)
    separations = separations[row[step]]
    # A pair of particles of one atom is met in both orders, and each particle with itself.
    keep = (separations > 0) | (found[:, 0] < found[:, 1])
    ranks = np.sort(found[keep], axis=1) @ [n_particles, 1]
    order = np.argsort(ranks, kind="stable")
    return np.stack([ranks[order] // n_particles, ranks[order] % n_particles], axis=1), separations[keep][order]


def pairs_within(molecule_of_atom: Indices) -> tuple[Indices, Indices]:
    """Return all ordered pairs of atoms of one molecule, an atom with itself included, as (pairs, first).

    Args:
        molecule_of_atom: ``(n_atoms,)``, ascending.

    Returns:
        ``pairs (n_pairs, 2)``, sorted, and ``first (n_atoms,)``: pair (i, j) stands at ``first[i] + j``.
    """
    sizes = np.bincount(molecule_of_atom)
    starts = sizes.cumsum() - sizes
    partners = sizes[molecule_of_atom]
    first = partners.cumsum() - partners - starts[molecule_of_atom]
    pairs = np.empty((partners.sum(), 2), dtype=np.int64)
    pairs[:, 0] = np.arange(len(molecule_of_atom)).repeat(partners)
    pairs[:, 1] = np.arange(len(pairs)) - first.repeat(partners)
    return pairs, first


def one_four_and_farther_pairs(neighbors: Neighbors, molecule_of_atom: Indices) -> tuple[Indices, Indices]:
    """Return the ordered pairs of a molecule that are three bonds apart, and those farther apart or not linked.

    The distance is that of the shortest path: the diagonal of a four-membered ring is two bonds long, and no 1-4 pair.

    Args:
        neighbors: the bonded neighbors.
        molecule_of_atom: ``(n_atoms,)``, ascending.

    Returns:
        Two arrays ``(n_pairs, 2)``, sorted, both directions listed, without pairs of an atom with itself.
    """
    pairs, first = pairs_within(molecule_of_atom)
    far = np.iinfo(np.int8).max
    separation = np.full(len(pairs), far, dtype=np.int8)
    # Shorter paths are written last.
    ends = [(3, neighbors.long_paths), (2, neighbors.paths), (1, neighbors.steps), (0, (np.arange(len(first)),))]
    for n_bonds, path in ends:
        separation[first[path[0]] + path[-1]] = n_bonds
    return pairs.compress(separation == 3, axis=0), pairs.compress(separation == far, axis=0)


def _offsets(groups: Indices, n_groups: int) -> Indices:
    """Return where the members of each group begin, if sorted by group, and where the last end."""
    offsets = np.zeros(n_groups + 1, dtype=np.int64)
    np.bincount(groups, minlength=n_groups).cumsum(out=offsets[1:])
    return offsets


def _rows(columns: tuple[Indices, ...], chosen: NDArray[np.bool_]) -> Indices:
    """Return the chosen rows of a table that is given by its columns, ``(n_chosen, n_columns)``."""
    return np.ascontiguousarray(np.array(columns).compress(chosen, axis=1).T)

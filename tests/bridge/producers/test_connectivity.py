"""Paths and pairs against OpenFF's and RDKit's own lists, and shortest paths by networkx."""

from __future__ import annotations

from itertools import permutations

import networkx
import numpy as np
import pytest

from ffbridge.producers import connectivity
from ffbridge.producers.connectivity import Neighbors, one_four_and_farther_pairs

toolkit = pytest.importorskip("openff.toolkit", reason="OpenFF is the independent program")

SMILES = {
    "methane": "C",
    "water": "O",
    "sodium ion": "[Na+]",
    "hydrogen": "[H][H]",
    "ethyne": "C#C",
    "cyclopropane": "C1CC1",
    "cyclobutane": "C1CCC1",
    "bicyclobutane": "C1C2C1C2",
    "cubane": "C12C3C4C1C5C2C3C45",
    "phosphorus": "P12P3P1P23",
    "boron trifluoride": "FB(F)F",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "norbornadiene": "C1C2C=CC1C=C2",
}


@pytest.fixture(params=sorted(SMILES))
def molecule(request):
    return toolkit.Molecule.from_smiles(SMILES[request.param], allow_undefined_stereo=True)


@pytest.fixture
def neighbors(molecule):
    bonds = np.array([(b.atom1_index, b.atom2_index) for b in molecule.bonds], dtype=np.int64).reshape(-1, 2)
    return Neighbors.from_bonds(bonds, molecule.n_atoms)


def rows(found):
    return list(map(tuple, np.asarray(found).tolist()))


def atoms(paths):
    return sorted(tuple(atom.molecule_atom_index for atom in path) for path in paths)


def test_angles(molecule, neighbors):
    assert rows(connectivity.angles(neighbors)) == atoms(molecule.angles)


def test_proper_torsions(molecule, neighbors):
    assert rows(connectivity.proper_torsions(neighbors)) == atoms(molecule.propers)


def test_impropers_in_the_order_of_a_substructure_search(molecule, neighbors):
    expected = molecule.chemical_environment_matches("[*:1]~[X3:2](~[*:3])~[*:4]")
    assert rows(connectivity.impropers(neighbors)) == expected


def test_cyclic_impropers(molecule, neighbors):
    found = rows(connectivity.cyclic_impropers(neighbors))
    matches = molecule.chemical_environment_matches("[*:2]~[X3:1](~[*:3])~[*:4]", unique=True)
    # A unique match is a set of atoms: of centers with the same four atoms (the cage P4) it lists the first only.
    of_set = {frozenset(row): row[0] for row in reversed(found)}
    listed = [row for row in found if of_set[frozenset(row)] == row[0]]
    assert listed == [(c, *around) for c, i, j, k in matches for around in ((i, j, k), (j, k, i), (k, i, j))]
    assert sorted(row[0] for row in found) == sorted(np.repeat(np.flatnonzero(neighbors.degree == 3), 3).tolist())


@pytest.mark.parametrize("n_copies", [1, 3])
def test_pairs_by_their_shortest_path(molecule, n_copies):
    n_atoms = molecule.n_atoms
    bonds = np.array([(b.atom1_index, b.atom2_index) for b in molecule.bonds], dtype=np.int64).reshape(-1, 2)
    copies = np.concatenate([bonds + copy * n_atoms for copy in range(n_copies)])
    molecule_of_atom = np.repeat(np.arange(n_copies), n_atoms)
    one_four, farther = one_four_and_farther_pairs(
        Neighbors.from_bonds(copies, len(molecule_of_atom)), molecule_of_atom
    )
    graph = networkx.Graph(copies.tolist())
    graph.add_nodes_from(range(n_copies * n_atoms))
    lengths = dict(networkx.all_pairs_shortest_path_length(graph))
    pairs = [pair for pair in permutations(range(n_copies * n_atoms), 2) if pair[0] // n_atoms == pair[1] // n_atoms]
    assert rows(one_four) == [(i, j) for i, j in pairs if lengths[i].get(j) == 3]
    assert rows(farther) == [(i, j) for i, j in pairs if lengths[i].get(j, 4) > 3]


def test_atoms_that_no_bond_links_are_farther_apart():
    neighbors = Neighbors.from_bonds(np.array([[0, 1]]), 3)
    one_four, farther = one_four_and_farther_pairs(neighbors, np.zeros(3, dtype=np.int64))
    assert rows(one_four) == []
    assert rows(farther) == [(0, 2), (1, 2), (2, 0), (2, 1)]


def test_paths_do_not_depend_on_the_order_of_the_bonds(molecule, neighbors):
    bonds = np.array([(b.atom2_index, b.atom1_index) for b in reversed(molecule.bonds)], dtype=np.int64).reshape(-1, 2)
    other = Neighbors.from_bonds(bonds, molecule.n_atoms)
    for paths in (connectivity.angles, connectivity.proper_torsions):
        assert rows(paths(other)) == rows(paths(neighbors))
    for found in (neighbors.paths, neighbors.long_paths):
        listed = rows(np.stack(found, axis=1))
        assert listed == sorted(listed)
        assert all(path[0] != path[2] and path[-3] != path[-1] for path in listed)


def test_no_atom_has_no_path():
    neighbors = Neighbors.from_bonds(np.zeros((0, 2), dtype=np.int64), 0)
    assert [len(paths(neighbors)) for paths in (connectivity.angles, connectivity.proper_torsions)] == [0, 0]
    assert connectivity.impropers(neighbors).shape == (0, 4)
    assert [len(found) for found in one_four_and_farther_pairs(neighbors, np.zeros(0, dtype=np.int64))] == [0, 0]

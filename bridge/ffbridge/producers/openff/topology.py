"""The topology of an Interchange as arrays: elements, masses, covalent bonds, a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Atoms", "read_topology"]

_MAP_NUMBER = re.compile(r":(\d+)\]")


@dataclass(frozen=True, eq=False)
class Atoms:
    """Atoms of a topology, in its order.

    Attributes:
        atomic_numbers: ``(n_atoms,) int32``.
        masses: ``(n_atoms,)`` [Da].
        bonds: ``(n_bonds, 2) int32``, the covalent bonds.
        molecule_offsets: ``(n_molecules + 1,)``: molecule m has the atoms ``offsets[m]:offsets[m + 1]``.
        name: mapped SMILES of its molecules joined by dots, the map numbers being the atoms' numbers in the topology
            from 1; None if the molecules have no chemistry (those that come from an OpenMM system).
    """

    atomic_numbers: NDArray[np.int32]
    masses: NDArray[np.float64]
    bonds: NDArray[np.int32]
    molecule_offsets: NDArray[np.int64]
    name: str | None


def read_topology(topology: Any) -> Atoms:
    """Return the atoms of an ``openff.toolkit.Topology``."""
    molecules = list(topology.molecules)
    offsets = np.cumsum([0, *(molecule.n_atoms for molecule in molecules)])
    numbers = np.fromiter(
        (atom.atomic_number for molecule in molecules for atom in molecule.atoms),
        dtype=np.int32,
        count=int(offsets[-1]),
    )
    ends = chain.from_iterable(
        (start + bond.atom1_index, start + bond.atom2_index)
        for start, molecule in zip(offsets[:-1].tolist(), molecules, strict=True)
        for bond in molecule.bonds
    )
    return Atoms(
        atomic_numbers=numbers,
        masses=_masses(molecules, numbers),
        bonds=np.fromiter(ends, dtype=np.int32).reshape(-1, 2),
        molecule_offsets=offsets,
        name=_name(molecules, offsets.tolist()),
    )


def _masses(molecules: list[Any], numbers: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the atoms' masses. OpenFF's mass is a function of the element, so it is asked once for each."""
    elements, first = np.unique(numbers, return_index=True)
    atoms = list(chain.from_iterable(molecule.atoms for molecule in molecules))
    of_element = np.array([atoms[position].mass.m_as("dalton") for position in first])
    return of_element[np.searchsorted(elements, numbers)]


def _name(molecules: list[Any], offsets: list[int]) -> str | None:
    from openff.toolkit import Molecule

    if not all(isinstance(molecule, Molecule) for molecule in molecules):
        return None
    return ".".join(_mapped_smiles(molecules, offsets))


def _mapped_smiles(molecules: list[Any], offsets: list[int]) -> Iterator[str]:
    """Yield each molecule's SMILES, mapped to the topology; written once for equal molecules, since that is slow."""
    written: dict[tuple[Any, ...], str] = {}
    for molecule, start in zip(molecules, offsets[:-1], strict=True):
        signature = _signature(molecule)
        if signature not in written:
            written[signature] = _own_smiles(molecule)
        smiles = written[signature]
        yield smiles if start == 0 else _shift(smiles, start)


def _own_smiles(molecule: Any) -> str:
    # A molecule read from a mapped SMILES may keep map numbers of its own, which `to_smiles` would write instead.
    if "atom_map" in molecule.properties:
        molecule = type(molecule)(molecule)
        del molecule.properties["atom_map"]
    smiles: str = molecule.to_smiles(mapped=True)
    return smiles


def _shift(smiles: str, start: int) -> str:
    return _MAP_NUMBER.sub(lambda match: f":{int(match[1]) + start}]", smiles)


def _signature(molecule: Any) -> tuple[Any, ...]:
    """Return everything that a molecule's SMILES depends on, in the order of its atoms."""
    atoms = tuple(
        (atom.atomic_number, atom.formal_charge.m, atom.is_aromatic, atom.stereochemistry) for atom in molecule.atoms
    )
    bonds = tuple(
        (bond.atom1_index, bond.atom2_index, bond.bond_order, bond.is_aromatic, bond.stereochemistry)
        for bond in molecule.bonds
    )
    return atoms, bonds

"""Mapped SMILES, by RDKit: which atom has which number, which are bonded, and whether a geometry is that molecule's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import MissingDependencyError, TargetError
from ffbridge.units import NM_PER_ANGSTROM

__all__ = [
    "MappedMolecule",
    "atomic_numbers_of",
    "check_geometry",
    "mapped_molecule",
    "mapped_smiles_of_file",
    "part_of_smiles",
    "unmapped_smiles",
]

LONGEST_BOND = 1.5
"""A bond is no longer than this many times the sum of its atoms' covalent radii, in any geometry worth fitting."""


@dataclass(frozen=True, eq=False)
class MappedMolecule:
    """What a mapped SMILES says, atoms in the order of their map numbers.

    Attributes:
        smiles: in RDKit's canonical form, so that equal molecules with equal numbers have equal text.
        atomic_numbers: ``(n_atoms,) int32``.
        bonds: ``(n_bonds, 2) int64``.
        longest: ``(n_bonds,)`` [nm], what no bond exceeds.
        fragments: ``(n_atoms,) int32``, which of the SMILES's molecules each atom belongs to, in order of its atoms.
    """

    smiles: str
    atomic_numbers: NDArray[np.int32]
    bonds: NDArray[np.int64]
    longest: NDArray[np.float64]
    fragments: NDArray[np.int32]


def _rdkit() -> Any:
    try:
        from rdkit import Chem
    except ImportError as error:
        raise MissingDependencyError(
            'reading SMILES of targets needs RDKit: pip install "ffbridge[targets]"'
        ) from error
    return Chem


@lru_cache(maxsize=4096)
def mapped_molecule(smiles: str) -> MappedMolecule:
    """Return what a mapped SMILES says.

    Raises:
        TargetError: it is no SMILES, or its atoms, hydrogens included, are not numbered 1 … n.
        MissingDependencyError: RDKit is not installed.
    """
    Chem = _rdkit()
    molecule = _parsed(smiles)
    numbers = [atom.GetAtomMapNum() for atom in molecule.GetAtoms()]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise TargetError(
            f"smiles: the map numbers of {smiles!r} are {sorted(numbers)}, expected 1 … {len(numbers)}, one for each "
            "atom"
        )
    if any(atom.GetTotalNumHs() for atom in molecule.GetAtoms()):
        raise TargetError(f"smiles: {smiles!r} has hydrogens without a map number")
    table, order = Chem.GetPeriodicTable(), np.argsort(numbers)
    elements = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int32)[order]
    place = np.argsort(order)
    bonds = [(int(place[bond.GetBeginAtomIdx()]), int(place[bond.GetEndAtomIdx()])) for bond in molecule.GetBonds()]
    radii = np.array([table.GetRcovalent(int(element)) for element in elements]) * NM_PER_ANGSTROM
    pairs = np.sort(np.array(bonds, dtype=np.int64).reshape(-1, 2), axis=1)
    fragments = np.empty(len(numbers), dtype=np.int32)
    for number, atoms in enumerate(sorted(sorted(place[list(each)]) for each in Chem.GetMolFrags(molecule))):
        fragments[atoms] = number
    return MappedMolecule(
        smiles=Chem.MolToSmiles(molecule),
        atomic_numbers=elements,
        bonds=pairs,
        longest=LONGEST_BOND * radii[pairs].sum(axis=1),
        fragments=fragments,
    )


def _parsed(smiles: str) -> Any:
    """Return RDKit's molecule of a SMILES, its hydrogens kept."""
    Chem = _rdkit()
    from rdkit.rdBase import BlockLogs

    keep = Chem.SmilesParserParams()
    keep.removeHs = False
    with BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, keep)
    if molecule is None:
        raise TargetError(f"smiles: {smiles!r} is not understood by RDKit")
    # Map numbers tell apart what chemistry does not: without them, only true stereocenters are left.
    numbers = [atom.GetAtomMapNum() for atom in molecule.GetAtoms()]
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    Chem.AssignStereochemistry(molecule, cleanIt=True, force=True)
    for atom, number in zip(molecule.GetAtoms(), numbers, strict=True):
        atom.SetAtomMapNum(number)
    return molecule


@lru_cache(maxsize=65536)
def unmapped_smiles(smiles: str) -> str:
    """Return RDKit's canonical SMILES without map numbers and hydrogens: equal for equal molecules.

    Raises:
        TargetError: it is no SMILES.
    """
    Chem = _rdkit()
    molecule = _parsed(smiles)
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    return str(Chem.MolToSmiles(Chem.RemoveHs(molecule)))


def part_of_smiles(smiles: str, atoms: tuple[int, ...]) -> str:
    """Return the mapped SMILES of some of the molecules that a mapped SMILES holds, numbered in the same order.

    Args:
        smiles: of several molecules.
        atoms: map numbers less 1 of the atoms to keep, ascending: whole molecules.

    Raises:
        TargetError: bonds lead from these atoms to others.
    """
    Chem = _rdkit()
    whole = mapped_molecule(smiles)
    inside = np.isin(whole.bonds, atoms)
    if (inside.any(axis=1) != inside.all(axis=1)).any():
        raise TargetError(f"monomers: a bond of {smiles!r} leads from one monomer to the other")
    molecule = Chem.RWMol(_parsed(smiles))
    for atom in list(molecule.GetAtoms())[::-1]:
        if atom.GetAtomMapNum() - 1 not in atoms:
            molecule.RemoveAtom(atom.GetIdx())
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(atoms.index(atom.GetAtomMapNum() - 1) + 1)
    return str(Chem.MolToSmiles(molecule))


def check_geometry(molecule: MappedMolecule, atomic_numbers: NDArray[Any], positions: NDArray[np.float64]) -> None:
    """Raise TargetError unless conformers ``(n_conformers, n_atoms, 3)`` [nm] have the molecule's atoms in its order.

    Elements must be the SMILES's, and no bond longer than a bond can be: atoms of one element that were exchanged
    are seen by that, where they are not equivalent.
    """
    if atomic_numbers.shape != molecule.atomic_numbers.shape:
        raise TargetError(
            f"atomic_numbers: got {len(atomic_numbers)} atoms, expected {len(molecule.atomic_numbers)} as in smiles"
        )
    wrong = atomic_numbers != molecule.atomic_numbers
    if wrong.any():
        atom = int(np.argmax(wrong))
        raise TargetError(
            f"atomic_numbers: atom {atom} is element {atomic_numbers[atom]}, and map number {atom + 1} of smiles is "
            f"element {molecule.atomic_numbers[atom]}: the atoms are in another order"
        )
    if not len(molecule.bonds) or not np.isfinite(positions).all():
        return
    first, second = molecule.bonds.T
    stretch = np.linalg.norm(positions[:, first] - positions[:, second], axis=-1) / molecule.longest
    if stretch.max() > 1:
        conformer, bond = np.unravel_index(np.argmax(stretch), stretch.shape)
        pair = molecule.bonds[bond].tolist()
        length = stretch[conformer, bond] * molecule.longest[bond]
        raise TargetError(
            f"positions: conformer {conformer} has the bonded atoms {pair} {length:.3f} nm apart: the atoms are in "
            "another order than in smiles, or the unit is another"
        )


def atomic_numbers_of(symbols: list[str]) -> NDArray[np.int32]:
    """Return the atomic numbers of element symbols.

    Raises:
        TargetError: there is no such element.
    """
    table = _rdkit().GetPeriodicTable()
    try:
        return np.array([table.GetAtomicNumber(symbol.capitalize()) for symbol in symbols], dtype=np.int32)
    except (RuntimeError, AttributeError) as error:
        raise TargetError(f"symbols: {symbols} are not all elements") from error


def mapped_smiles_of_file(path: str) -> str:
    """Return the mapped SMILES of the first molecule in an SDF file, map numbers in the order of its atoms.

    Raises:
        TargetError: RDKit reads no molecule with explicit hydrogens from it.
    """
    Chem = _rdkit()
    try:
        molecule = next(iter(Chem.SDMolSupplier(path, removeHs=False)), None)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error}") from error
    if molecule is None:
        raise TargetError(f"{path}: RDKit reads no molecule from it")
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return str(Chem.MolToSmiles(molecule))

"""The fragments: which molecules, which dihedrals are driven, and which of them a fit must not see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.rdBase import BlockLogs

__all__ = ["FRAGMENTS", "Fragment", "atomic_numbers", "driven", "fragment", "initial_positions", "mapped_smiles"]

Role = Literal["training", "held_out"]

SEED = 2026
"""Of RDKit's distance geometry: where optimizations begin."""


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """A molecule whose torsions are driven.

    Attributes:
        name: names its targets.
        smiles: without hydrogens; atoms are numbered in its order, then the hydrogens by the atoms that bear them.
        family: fragments of one family have the same driven bond.
        role: whether a fit may see it.
        drives: SMARTS of each driven dihedral, four atoms with the map numbers 1 … 4; the first match is driven.
    """

    name: str
    smiles: str
    family: str
    role: Role
    drives: tuple[str, ...]


_DRIVES = {
    "aryl ether": ("[CX4:1][OX2:2][c:3]:[c:4]",),
    "aryl thioether": ("[CX4:1][SX2:2][c:3]:[c:4]",),
    "biaryl": ("[c:1]:[c:2]-!@[c:3]:[c:4]",),
    "benzamide": ("[O:1]=[C:2]-!@[c:3]:[c:4]",),
    "anilide": ("[C:1][NX3:2]-!@[c:3]:[c:4]",),
    "aryl ester": ("[O:1]=[C:2]-!@[c:3]:[c:4]",),
    "aryl urea": ("[C:1][NX3:2]-!@[c:3]:[c:4]",),
    "alkane": ("[CH3:1][CH2:2]-[CH2:3][#6:4]",),
}
"""What is driven in each family."""


def _of(family: str, role: Role, molecules: dict[str, str]) -> tuple[Fragment, ...]:
    return tuple(
        Fragment(name=name, smiles=smiles, family=family, role=role, drives=_DRIVES[family])
        for name, smiles in molecules.items()
    )


FRAGMENTS: tuple[Fragment, ...] = (
    *_of("aryl ether", "training", {"anisole": "COc1ccccc1"}),
    *_of("aryl ether", "held_out", {"ethoxybenzene": "CCOc1ccccc1"}),
    *_of("anilide", "training", {"acetanilide": "CC(=O)Nc1ccccc1"}),
    *_of("anilide", "held_out", {"propionanilide": "CCC(=O)Nc1ccccc1"}),
    *_of("biaryl", "training", {"biphenyl": "c1ccccc1-c1ccccc1", "2-phenylpyridine": "c1ccccc1-c1ccccn1"}),
    *_of("biaryl", "held_out", {"4-phenylpyridine": "c1ccccc1-c1ccncc1"}),
    *_of("benzamide", "training", {"N-methylbenzamide": "CNC(=O)c1ccccc1"}),
    *_of("benzamide", "held_out", {"N-ethylbenzamide": "CCNC(=O)c1ccccc1"}),
    *_of("aryl thioether", "training", {"thioanisole": "CSc1ccccc1"}),
    *_of("aryl thioether", "held_out", {"4-methylthioanisole": "CSc1ccc(C)cc1"}),
    *_of("aryl ester", "training", {"methyl-benzoate": "COC(=O)c1ccccc1"}),
    *_of("aryl ester", "held_out", {"ethyl-benzoate": "CCOC(=O)c1ccccc1"}),
    *_of("aryl urea", "training", {"phenylurea": "NC(=O)Nc1ccccc1"}),
    *_of("aryl urea", "held_out", {"N-methyl-N'-phenylurea": "CNC(=O)Nc1ccccc1"}),
    *_of("alkane", "training", {"butane": "CCCC"}),
    *_of("alkane", "held_out", {"pentane": "CCCCC"}),
)
"""All fragments, family by family."""


def fragment(name: str) -> Fragment:
    """Return the fragment of a name."""
    return next(each for each in FRAGMENTS if each.name == name)


@lru_cache(maxsize=64)
def _molecule(smiles: str) -> Any:
    return Chem.AddHs(Chem.MolFromSmiles(smiles))


def mapped_smiles(each: Fragment) -> str:
    """Return the fragment's SMILES with hydrogens, map number i for atom i - 1."""
    molecule = Chem.Mol(_molecule(each.smiles))
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return str(Chem.MolToSmiles(molecule))


def atomic_numbers(each: Fragment) -> NDArray[np.int32]:
    """Return ``(n_atoms,)``."""
    return np.array([atom.GetAtomicNum() for atom in _molecule(each.smiles).GetAtoms()], dtype=np.int32)


def driven(each: Fragment, drive: str) -> tuple[int, int, int, int]:
    """Return the atoms of a driven dihedral."""
    pattern = Chem.MolFromSmarts(drive)
    place = {atom.GetAtomMapNum(): atom.GetIdx() for atom in pattern.GetAtoms()}
    match = _molecule(each.smiles).GetSubstructMatch(pattern)
    if not match:
        raise ValueError(f"{each.name}: {each.smiles} has no dihedral {drive}")
    i, j, k, l = (match[place[number]] for number in (1, 2, 3, 4))  # noqa: E741
    return i, j, k, l


def initial_positions(each: Fragment, count: int = 4) -> NDArray[np.float64]:
    """Return ``(count, n_atoms, 3)`` [Å] by RDKit's distance geometry (ETKDG), the same at every call."""
    molecule = Chem.Mol(_molecule(each.smiles))
    options = AllChem.ETKDGv3()
    options.randomSeed = SEED
    with BlockLogs():
        found = AllChem.EmbedMultipleConfs(molecule, count, options)
    return np.stack([molecule.GetConformer(number).GetPositions() for number in found])

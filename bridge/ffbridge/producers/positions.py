"""Positions from files: NumPy arrays, SDF and PDB."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import BundleError, BundleFileError, MissingDependencyError, UnsupportedError
from ffbridge.units import NM_PER_ANGSTROM

__all__ = ["read_positions"]

Floats = NDArray[np.float64]
Records = list[tuple[list[int], Floats]]


def read_positions(path: Path, atomic_numbers: NDArray[np.integer[Any]]) -> Floats:
    """Return positions ``(..., n_atoms, 3)`` [nm].

    A ``.npy`` file holds such an array. In an SDF file, each record with all atoms is a conformer; several records that
    have all atoms together are one conformer. Each model of a PDB file is a conformer. The elements must be those of
    the bundle, in its order.

    Args:
        path: the file.
        atomic_numbers: ``(n_atoms,)``, of the bundle.

    Raises:
        BundleFileError: the file cannot be read.
        BundleError: its atoms are not those of the bundle.
        UnsupportedError: the ending is none of ``.npy``, ``.sdf``, ``.pdb``.
    """
    readers = {".npy": _read_npy, ".sdf": _read_sdf, ".pdb": _read_pdb}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UnsupportedError(f"{path}: positions are read from {', '.join(readers)}, not from {path.suffix!r}")
    if not path.is_file():
        raise BundleFileError(f"{path}: there is no such file")
    try:
        return reader(path, atomic_numbers.tolist())
    except (OSError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleFileError(f"{path}: cannot be read as positions: {error}") from error


def _read_npy(path: Path, elements: list[int]) -> Floats:
    positions: Floats = np.load(path, allow_pickle=False)
    if positions.ndim < 2 or positions.shape[-2:] != (len(elements), 3):
        raise BundleError(f"{path}: got shape {positions.shape}, expected (..., {len(elements)}, 3) in nm")
    return positions


def _read_sdf(path: Path, elements: list[int]) -> Floats:
    try:
        from rdkit import Chem
    except ImportError as error:
        raise MissingDependencyError("SDF files need RDKit: pip install 'ffbridge[openff]'") from error
    records: Records = []
    for number, molecule in enumerate(Chem.SDMolSupplier(str(path), removeHs=False, sanitize=False)):
        if molecule is None or not molecule.GetNumConformers():
            raise BundleFileError(f"{path}: record {number} is no molecule with positions")
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        records.append((numbers, np.array(molecule.GetConformer().GetPositions()) * NM_PER_ANGSTROM))
    if records and all(len(found) < len(elements) for found, _ in records):
        together = list(chain.from_iterable(found for found, _ in records))
        records = [(together, np.concatenate([x for _, x in records]))]
    return _conformers(path, records, elements)


def _read_pdb(path: Path, elements: list[int]) -> Floats:
    try:
        from openmm import unit
        from openmm.app import PDBFile
    except ImportError as error:
        raise MissingDependencyError("PDB files need OpenMM: pip install 'ffbridge[openmm]'") from error
    file = PDBFile(str(path))
    numbers = [0 if atom.element is None else atom.element.atomic_number for atom in file.topology.atoms()]
    frames = [file.getPositions(asNumpy=True, frame=frame) for frame in range(file.getNumFrames())]
    records = [(numbers, np.array(frame.value_in_unit(unit.nanometer))) for frame in frames]
    return _conformers(path, records, elements)


def _conformers(path: Path, records: Records, elements: list[int]) -> Floats:
    """Return one conformer ``(n_atoms, 3)``, or several ``(n_conformers, n_atoms, 3)``."""
    if not records:
        raise BundleFileError(f"{path}: holds no molecule")
    for number, (found, _) in enumerate(records):
        if len(found) != len(elements):
            raise BundleError(f"{path}: record {number} has {len(found)} atoms, the bundle has {len(elements)}")
        wrong = [atom for atom, pair in enumerate(zip(found, elements, strict=True)) if pair[0] != pair[1]]
        if wrong:
            atom = wrong[0]
            raise BundleError(
                f"{path}: atom {atom} of record {number} has atomic number {found[atom]}, the bundle has "
                f"{elements[atom]}; atoms must stand in the bundle's order"
            )
    positions = np.stack([x for _, x in records])
    return positions[0] if len(records) == 1 else positions

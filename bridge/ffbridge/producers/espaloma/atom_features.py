"""The atom features that espaloma's models read, in its order: the field ``h0`` of its graphs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import UnsupportedError

__all__ = ["N_ELEMENTS", "N_FEATURES", "RING_SIZES", "AtomFeatures", "atom_features"]

N_ELEMENTS = 100
"""Columns that tell the element: column Z is 1 for atomic number Z."""

RING_SIZES = (3, 4, 5, 6, 7, 8)
"""One column for each: 1 for an atom in a ring of that size."""

_HYBRIDIZATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
"""One column for each; RDKit's hybridization "S" (hydrogen, ions) has none."""

N_FEATURES = N_ELEMENTS + 3 + len(RING_SIZES) + len(_HYBRIDIZATIONS)
"""Element, number of bonds, aromaticity, mass [Da], ring sizes, hybridization."""


@dataclass(frozen=True, eq=False)
class AtomFeatures:
    """What espaloma's models know of the atoms of a molecule.

    Attributes:
        rows: ``(n_atoms, 114)``.
        total_charge: sum of the formal charges [e].
    """

    rows: NDArray[Any]
    total_charge: int


def atom_features(molecule: Any, *, dtype: str = "float32") -> AtomFeatures:
    """Return the features of the atoms of a molecule.

    Args:
        molecule: an OpenFF ``Molecule`` with all hydrogens as atoms. The features are RDKit's, so it is converted.
        dtype: floating-point type of the features.

    Raises:
        UnsupportedError: an atom has a hybridization or an atomic number that the features have no column for.
    """
    from rdkit import Chem

    converted = _as_rdkit(molecule)
    atoms = [*map(converted.GetAtomWithIdx, range(converted.GetNumAtoms()))]
    numbers = [*map(Chem.Atom.GetAtomicNum, atoms)]
    if max(numbers) >= N_ELEMENTS:
        raise UnsupportedError(
            f"atom {numbers.index(max(numbers))} has atomic number {max(numbers)}; espaloma's features stop at "
            f"{N_ELEMENTS - 1}"
        )
    rows = np.zeros((len(numbers), N_FEATURES), dtype=dtype)
    rows[np.arange(len(numbers)), numbers] = 1
    for column, property_of in enumerate((Chem.Atom.GetTotalDegree, Chem.Atom.GetIsAromatic, Chem.Atom.GetMass)):
        rows[:, N_ELEMENTS + column] = [*map(property_of, atoms)]
    for ring in converted.GetRingInfo().AtomRings():
        if len(ring) in RING_SIZES:
            rows[list(ring), N_ELEMENTS + 3 + RING_SIZES.index(len(ring))] = 1
    hybridizations = [*map(Chem.Atom.GetHybridization, atoms)]
    first = N_FEATURES - len(_HYBRIDIZATIONS)
    for found in set(hybridizations):
        name = str(found)
        if name == "S":
            continue
        having = [atom for atom, each in enumerate(hybridizations) if each == found]
        if name not in _HYBRIDIZATIONS:
            raise UnsupportedError(
                f"atom {having[0]} (atomic number {numbers[having[0]]}) has the hybridization {name}, for which "
                f"espaloma's features have no column; they know S, {', '.join(_HYBRIDIZATIONS)}"
            )
        rows[having, first + _HYBRIDIZATIONS.index(name)] = 1
    return AtomFeatures(rows=rows, total_charge=Chem.GetFormalCharge(converted))


def _as_rdkit(molecule: Any) -> Any:
    """Return what RDKit knows of the atoms and bonds of a molecule, to be read only.

    The toolkit keeps its conversions of atoms and bonds in memory. ``to_rdkit`` copies one, and then takes most of its
    time for names, conformers and partial charges, which the features do not depend on.
    """
    toolkit = sys.modules.get("openff.toolkit")
    kept = getattr(getattr(toolkit, "RDKitToolkitWrapper", None), "_connection_table_to_rdkit", None)
    if toolkit is None or kept is None or not isinstance(molecule, toolkit.Molecule):
        return molecule.to_rdkit()
    return kept(_wrapper(), molecule)


@cache
def _wrapper() -> Any:
    from openff.toolkit import RDKitToolkitWrapper

    return RDKitToolkitWrapper()

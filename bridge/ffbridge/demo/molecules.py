"""The demo's molecules: drugs with charges, sulfur, halogens, and rings of four to six atoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.producers.openff import from_interchange, load_force_field, parametrize, read_molecules

from .reference import OpenMMReference

__all__ = ["DRUGS", "Drug", "load_drugs"]

DRUGS = {
    "acetaminophen": "CC(=O)Nc1ccc(O)cc1",
    "ibuprofen": "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "sulfanilamide": "Nc1ccc(S(N)(=O)=O)cc1",
    "fluorouracil": "O=C1NC=C(F)C(=O)N1",
    "chloramphenicol": "OC[C@@H](NC(=O)C(Cl)Cl)[C@H](O)c1ccc([N+](=O)[O-])cc1",
    "benzylpenicillin": "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)[O-]",
    "dopamine": "[NH3+]CCc1ccc(O)c(O)c1",
}
"""SMILES by name."""


@dataclass(frozen=True, eq=False)
class Drug:
    """A molecule through the OpenFF stack.

    Attributes:
        name: its name.
        molecule: the ``openff.toolkit.Molecule``.
        bundle: its parameters.
        positions: ``(n_atoms, 3)`` [nm], a conformer with seeded noise, so that no force vanishes.
        reference: OpenMM's view of it.
    """

    name: str
    molecule: Any
    bundle: Bundle
    positions: NDArray[np.float64]
    reference: OpenMMReference


def load_drugs() -> list[Drug]:
    """Return the molecules of `DRUGS` with the parameters of OpenFF 2.3.0 and NAGL charges."""
    force_field = load_force_field()
    rng = np.random.default_rng(2020)
    drugs = []
    for name, smiles in DRUGS.items():
        (molecule,) = read_molecules(smiles)
        molecule.generate_conformers(n_conformers=1)
        interchange = parametrize([molecule], force_field=force_field)
        positions = molecule.conformers[0].m_as("nm")
        drugs.append(
            Drug(
                name=name,
                molecule=molecule,
                bundle=from_interchange(interchange, force_field=force_field),
                positions=positions + rng.normal(scale=0.005, size=positions.shape),
                reference=OpenMMReference.from_interchange(interchange),
            )
        )
    return drugs

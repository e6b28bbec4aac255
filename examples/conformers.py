"""What the examples learn from: small real molecules with OpenFF 2.3.0 parameters, noisy conformers, and a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ffbridge as fb
from ffbridge.producers.openff import load_force_field, parametrize, read_molecules

__all__ = ["Batch", "Data", "load_batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Molecules, all atoms one after another.

    Attributes:
        molecules: OpenFF molecules.
        bundle: their OpenFF 2.3.0 parameters, one system each; parameters that molecules share are one row.
        positions: ``(n_conformers, n_atoms, 3)`` [nm].
    """

    molecules: tuple[Any, ...]
    bundle: fb.Bundle
    positions: NDArray[np.float64]


def load_batch(smiles: Sequence[str], *, n_conformers: int, noise: float = 0.01, seed: int = 0) -> Batch:
    """Return molecules with conformers made by RDKit, to which Gaussian noise [nm] is added.

    A molecule that has fewer conformers than asked for shows them several times, each with noise of its own.
    """
    rng = np.random.default_rng(seed)
    force_field = load_force_field()
    molecules, bundles, positions = [], [], []
    for text in smiles:
        (molecule,) = read_molecules(text)
        molecule.generate_conformers(n_conformers=n_conformers)
        found = np.array([conformer.m_as("nm") for conformer in molecule.conformers])
        shape = (n_conformers, molecule.n_atoms, 3)
        positions.append(np.resize(found, shape) + rng.normal(scale=noise, size=shape))
        bundles.append(fb.from_interchange(parametrize([molecule], force_field=force_field), force_field=force_field))
        molecules.append(molecule)
    return Batch(tuple(molecules), fb.concatenate(bundles), np.concatenate(positions, axis=1))


@dataclass(frozen=True, eq=False)
class Data:
    """Energies and forces that a fit is to reach, in one framework.

    Attributes:
        x: positions ``(n_conformers, n_atoms, 3)`` [nm].
        energies: less their mean over conformers, ``(n_conformers, n_systems)`` [kJ/mol].
        forces: ``(n_conformers, n_atoms, 3)`` [kJ/mol/nm].
    """

    x: Any
    energies: Any
    forces: Any

    @classmethod
    def of(cls, bundle: fb.Bundle, x: Any, tables: dict[str, Any] | None = None) -> Data:
        """Return the energies and forces of a bundle at positions, with other values in some tables if given."""
        made = fb.potential(bundle, "numpy").value_and_grad(x, tables)
        return cls(x, made.energy - made.energy.mean(0), made.forces)

    def to(self, backend: str) -> Data:
        """Return the data in another framework."""
        return Data(*(fb.to(array, backend) for array in (self.x, self.energies, self.forces)))

    def residuals(self, energies: Any, forces: Any) -> tuple[Any, Any]:
        """Return the residuals of energies and of forces, each in units of the data's root mean square."""
        energy = (energies - energies.mean(0) - self.energies) / (self.energies**2).mean() ** 0.5
        return energy, (forces - self.forces) / (self.forces**2).mean() ** 0.5

    def loss(self, energies: Any, forces: Any) -> Any:
        """Return the mean square of the residuals of energies plus that of forces."""
        energy, force = self.residuals(energies, forces)
        return (energy**2).mean() + (force**2).mean()

"""The kinds of targets, one class each. What is compared, and how, is in :mod:`ffbridge.targets.losses`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import TargetError
from ffbridge.targets.internal import dihedral_angles, wrapped
from ffbridge.targets.target import MoleculeTarget, Target

__all__ = [
    "KINDS",
    "ConformerTarget",
    "DimerTarget",
    "HessianTarget",
    "ObservableTarget",
    "OptimizedGeometry",
    "TorsionDrive",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

LARGEST_DEVIATION = 0.05
"""By how much a conformer's dihedral may differ from its grid angle [rad]; optimizers hold a constraint far better."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ConformerTarget(MoleculeTarget):
    """Energies, and forces, of conformers of one molecule.

    Attributes:
        energies: ``(n_conformers,)`` [kJ/mol], to a constant that is the same for all.
        positions: ``(n_conformers, n_atoms, 3)`` [nm].
        forces: ``(n_conformers, n_atoms, 3)`` [kJ/mol/nm].
        conformer_weights: ``(n_conformers,)``, 0 or more.
    """

    kind: ClassVar[str] = "conformers"
    energies: Floats
    positions: Floats
    forces: Floats | None = None
    conformer_weights: Floats | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TorsionDrive(MoleculeTarget):
    """Energies along one or several dihedral angles, with all else relaxed.

    Attributes:
        dihedrals: ``(n_dihedrals, 4) int32``, atoms of each driven dihedral.
        energies: ``(n_conformers,)`` [kJ/mol], to a constant that is the same for all.
        angles: ``(n_conformers, n_dihedrals)`` [rad], the grid.
        positions: ``(n_conformers, n_atoms, 3)`` [nm].
        conformer_weights: ``(n_conformers,)``, 0 or more.
    """

    kind: ClassVar[str] = "torsion_drive"
    dihedrals: Ints
    energies: Floats
    angles: Floats
    positions: Floats
    conformer_weights: Floats | None = None

    def _check(self) -> None:
        super()._check()
        for row in self.dihedrals:
            if row.min() < 0 or row.max() >= self.n_atoms or len(set(row.tolist())) < 4:
                raise TargetError(
                    f"dihedrals: got atoms {row.tolist()}, expected four different atoms of 0 … {self.n_atoms - 1}"
                )
        found = dihedral_angles(self.positions, self.dihedrals)
        off = np.abs(wrapped(found - self.angles))
        if off.max() > LARGEST_DEVIATION:
            conformer, number = np.unravel_index(np.argmax(off), off.shape)
            raise TargetError(
                f"positions: conformer {conformer} has dihedral {self.dihedrals[number].tolist()} at "
                f"{np.degrees(found[conformer, number]):.1f}°, and angles says "
                f"{np.degrees(self.angles[conformer, number]):.1f}°: the atoms are in another order, or the grid is "
                "another dihedral's"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class HessianTarget(MoleculeTarget):
    """Second derivatives of the energy at a stationary point.

    Attributes:
        positions: ``(n_atoms, 3)`` [nm].
        hessian: ``(n_atoms, 3, n_atoms, 3)`` [kJ/mol/nm²].
    """

    kind: ClassVar[str] = "hessian"
    positions: Floats
    hessian: Floats

    def _check(self) -> None:
        super()._check()
        off = np.abs(self.hessian - self.hessian.transpose(2, 3, 0, 1))
        if off.max() > 1e-3 * np.abs(self.hessian).max():
            place = tuple(int(i) for i in np.unravel_index(np.argmax(off), off.shape))
            raise TargetError(f"hessian: differs from its transpose by {off.max():.3g} at {place}, expected symmetry")


@dataclass(frozen=True, eq=False, kw_only=True)
class OptimizedGeometry(MoleculeTarget):
    """A minimum of the energy.

    Attributes:
        positions: ``(n_atoms, 3)`` [nm].
    """

    kind: ClassVar[str] = "optimized_geometry"
    positions: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class DimerTarget(MoleculeTarget):
    """Interaction energies of two molecules at fixed geometries.

    Attributes:
        monomers: ``(n_atoms,) int32``, which of the two each atom belongs to: 0 or 1.
        energies: ``(n_conformers,)`` [kJ/mol]: E(dimer) - E(monomer 0) - E(monomer 1), each as it is in the dimer.
        positions: ``(n_conformers, n_atoms, 3)`` [nm].
        conformer_weights: ``(n_conformers,)``, 0 or more.
    """

    kind: ClassVar[str] = "dimer"
    monomers: Ints
    energies: Floats
    positions: Floats
    conformer_weights: Floats | None = None

    def _check(self) -> None:
        super()._check()
        if set(self.monomers.tolist()) != {0, 1}:
            raise TargetError(f"monomers: got the numbers {sorted(set(self.monomers.tolist()))}, expected 0 and 1")


@dataclass(frozen=True, eq=False, kw_only=True)
class ObservableTarget(Target):
    """A measured or computed average over an ensemble; with a trajectory, it can be reweighted.

    Attributes:
        quantity: such as ``density`` or ``enthalpy_of_vaporization``.
        value: the average, in `unit`.
        uncertainty: its standard uncertainty, in `unit`.
        unit: ``1`` if it has none.
        temperature: [K].
        pressure: [bar]; None for a constant volume.
        phase: such as ``liquid`` or ``liquid+gas``.
        components: SMILES of each component.
        mole_fractions: ``(n_components,)``.
        atomic_numbers: ``(n_atoms,) int32`` of the trajectory.
        potential_energies: ``(n_frames,)`` [kJ/mol], with the parameters that made the trajectory.
        positions: ``(n_frames, n_atoms, 3)`` [nm].
        values: ``(n_frames,)``, the observable in each frame, in `unit`.
    """

    kind: ClassVar[str] = "observable"
    quantity: str
    value: float
    unit: str
    temperature: float
    uncertainty: float | None = None
    pressure: float | None = None
    phase: str | None = None
    components: tuple[str, ...] | None = None
    mole_fractions: Floats | None = None
    atomic_numbers: Ints | None = None
    potential_energies: Floats | None = None
    positions: Floats | None = None
    values: Floats | None = None

    def _check(self) -> None:
        if self.uncertainty is not None and self.uncertainty <= 0:
            raise TargetError(f"uncertainty: got {self.uncertainty}, expected more than 0, or none")
        if self.temperature <= 0:
            raise TargetError(f"temperature: got {self.temperature} K, expected more than 0 K")
        parts = {name: getattr(self, name) for name in _TRAJECTORY}
        if missing := [name for name, part in parts.items() if part is None]:
            given = [name for name in parts if name not in missing]
            if given:
                raise TargetError(f"{missing[0]}: missing; a trajectory has all of {', '.join(_TRAJECTORY)}")

    @property
    def has_trajectory(self) -> bool:
        """Whether frames are there, so that the average can be reweighted."""
        return self.positions is not None


_TRAJECTORY = ("atomic_numbers", "potential_energies", "positions", "values")

KINDS: dict[str, type[Target]] = {
    each.kind: each
    for each in (ConformerTarget, TorsionDrive, HessianTarget, OptimizedGeometry, DimerTarget, ObservableTarget)
}
"""The classes by the kind that files state."""

"""Energies and forces of an OpenFF Interchange by OpenMM's Reference platform: the independent program of the demo.

The System is the one that ``Interchange.to_openmm`` makes; no code of ffbridge takes part in it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ffbridge.errors import UnsupportedError

__all__ = ["GROUPS", "OpenMMReference", "split_nonbonded"]

Floats = NDArray[np.float64]

GROUPS = {
    "bonds": ("bonds",),
    "angles": ("angles",),
    "torsions": ("proper_torsions", "improper_torsions"),
    "vdw": ("vdw",),
    "electrostatics": ("electrostatics",),
}
"""OpenMM's forces, by name, and the terms of a bundle that each corresponds to."""

_FORCES = {"HarmonicBondForce": "bonds", "HarmonicAngleForce": "angles", "PeriodicTorsionForce": "torsions"}


@dataclass(frozen=True, eq=False)
class OpenMMReference:
    """An OpenMM context in which each kind of force has a force group of its own.

    Attributes:
        context: the ``openmm.Context``, Reference platform.
        group_of: force group of each name in `GROUPS` that occurs.
    """

    context: Any
    group_of: dict[str, int]

    @classmethod
    def from_interchange(cls, interchange: Any) -> OpenMMReference:
        """Return the reference of an Interchange; constrained bonds and angles keep their energy."""
        # Split nonbonded forces would use a rounded Coulomb constant for 1-4 pairs; a combined one uses OpenMM's.
        system = interchange.to_openmm_system(combine_nonbonded_forces=True, add_constrained_forces=True)
        return cls.from_system(system)

    @classmethod
    def from_system(cls, system: Any) -> OpenMMReference:
        """Return the reference of an OpenMM System, which is changed: its nonbonded force is split in two."""
        import openmm

        for index, force in reversed(list(enumerate(system.getForces()))):
            if isinstance(force, openmm.NonbondedForce):
                for part in split_nonbonded(force).values():
                    system.addForce(part)
            if isinstance(force, openmm.NonbondedForce | openmm.CMMotionRemover):
                system.removeForce(index)
        group_of: dict[str, int] = {}
        for group, force in enumerate(system.getForces()):
            name = _FORCES.get(type(force).__name__, force.getName())
            if name not in GROUPS or name in group_of:
                raise UnsupportedError(
                    f"OpenMM force {group}, {type(force).__name__} {force.getName()!r}: not expected here"
                )
            force.setForceGroup(group)
            group_of[name] = group
        platform = openmm.Platform.getPlatformByName("Reference")
        # The step size is never used; a Context wants an integrator.
        return cls(openmm.Context(system, openmm.VerletIntegrator(1e-3), platform), group_of)

    def evaluate(self, positions: ArrayLike) -> dict[str, tuple[float, Floats]]:
        """Return energy [kJ/mol] and forces ``(n_atoms, 3)`` [kJ/mol/nm] of each kind of force.

        Args:
            positions: ``(n_atoms, 3)`` [nm].
        """
        from openmm import unit

        self.context.setPositions(np.asarray(positions, dtype=float))
        result: dict[str, tuple[float, Floats]] = {}
        for name, group in self.group_of.items():
            state = self.context.getState(getEnergy=True, getForces=True, groups={group})
            energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
            result[name] = energy, np.array(forces)
        return result


def split_nonbonded(force: Any) -> dict[str, Any]:
    """Return a NonbondedForce as one with the van der Waals part alone and one with the Coulomb part alone."""
    parts = {"vdw": deepcopy(force), "electrostatics": deepcopy(force)}
    for name, part in parts.items():
        part.setName(name)
        charges, depths = (0.0, 1.0) if name == "vdw" else (1.0, 0.0)
        for atom in range(part.getNumParticles()):
            charge, sigma, epsilon = part.getParticleParameters(atom)
            part.setParticleParameters(atom, charges * charge, sigma, depths * epsilon)
        for exception in range(part.getNumExceptions()):
            first, second, product, sigma, epsilon = part.getExceptionParameters(exception)
            part.setExceptionParameters(exception, first, second, charges * product, sigma, depths * epsilon)
    return parts

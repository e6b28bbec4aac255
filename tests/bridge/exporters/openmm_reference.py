"""Energies and forces of an ``openmm.System`` on the Reference platform."""

from __future__ import annotations

import numpy as np
from openmm import Context, Platform, VerletIntegrator, unit


class Reference:
    """A System in a Context."""

    def __init__(self, system):
        self.context = Context(system, VerletIntegrator(1e-3), Platform.getPlatformByName("Reference"))

    def __call__(self, x, groups=-1):
        """Energy [kJ/mol] and forces [kJ/mol/nm] of some force groups."""
        self.context.setPositions(np.asarray(x, dtype=float))
        state = self.context.getState(energy=True, forces=True, groups=groups)
        energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        return energy, np.array(forces)


def relative(found, expected):
    return np.linalg.norm(np.asarray(found) - np.asarray(expected)) / np.linalg.norm(expected)

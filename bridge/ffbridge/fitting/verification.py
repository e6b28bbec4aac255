"""The written force field through OpenFF and OpenMM, beside what ffbridge reports."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.potential import potential
from ffbridge.snapshot import snapshot
from ffbridge.targets.objective import Objective

__all__ = ["largest_difference"]

CONFORMERS = 5
"""Conformers of each target that are looked at, spread over all that it has."""


def largest_difference(file: Path, objective: Objective, bundle: Bundle) -> float | None:
    """Return the largest difference of energies at conformers of the targets [kJ/mol]; None without OpenMM.

    Args:
        file: the force field, read anew by the OpenFF toolkit.
        objective: of the targets.
        bundle: the same parameters as ffbridge has them, systems as in the objective.
    """
    if find_spec("openmm") is None:
        return None
    from openff.toolkit import ForceField

    offsets = snapshot(bundle.system_offsets)
    U = potential(bundle, "numpy")
    worst = 0.0
    force_field = ForceField(str(file))
    contexts: dict[int, Any] = {}
    rest = np.random.default_rng(0).normal(size=(bundle.n_atoms, 3))
    for target, systems in zip(objective.targets, objective.systems, strict=True):
        positions, system = getattr(target, "positions", None), systems[0]
        if positions is None or target.smiles is None:
            continue
        contexts[system] = contexts.get(system) or _context(force_field, target.smiles)
        conformers = positions.reshape(-1, *positions.shape[-2:])
        for number in np.unique(np.linspace(0, len(conformers) - 1, CONFORMERS).astype(int)):
            x = rest.copy()
            x[offsets[system] : offsets[system + 1]] = conformers[number]
            worst = max(worst, abs(float(U(x)[system]) - _energy(contexts[system], conformers[number])))
    return worst


def _context(force_field: Any, smiles: str) -> Any:
    import openmm
    from openff.toolkit import Molecule

    from ffbridge.producers.openff import parametrize

    molecule = Molecule.from_mapped_smiles(smiles, allow_undefined_stereo=True)
    made = parametrize([molecule], force_field=force_field)
    # Bonds that are constrained keep their energy, as ffbridge has it.
    system = made.to_openmm_system(add_constrained_forces=True)
    platform = openmm.Platform.getPlatformByName("Reference")
    return openmm.Context(system, openmm.VerletIntegrator(0.001), platform)


def _energy(context: Any, positions: NDArray[np.float64]) -> float:
    from openmm.unit import kilojoule_per_mole

    context.setPositions(positions)
    return float(context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(kilojoule_per_mole))

"""Minima, with or without held dihedrals, by geomeTRIC (L.-P. Wang, C. Song, J. Chem. Phys. 144, 214108 (2016))."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from data.qc.programs import Program
from ffbridge.units import NM_PER_ANGSTROM, NM_PER_BOHR

__all__ = ["ANGSTROM_PER_BOHR", "CONVERGENCE", "LARGEST_TRUST", "TRUST", "minimum"]

Floats = NDArray[np.float64]

CONVERGENCE = {"energy": 1e-7, "grms": 3e-5, "gmax": 5e-5, "drms": 4e-4, "dmax": 6e-4}
"""At which geomeTRIC ends [hartree, hartree/bohr, Å]: energies are then minima to about 1e-2 kJ/mol."""

TRUST, LARGEST_TRUST = 0.3, 0.5
"""How far a step may go, at first and at most [Å]."""

MAX_STEPS = 300
ANGSTROM_PER_BOHR = NM_PER_BOHR / NM_PER_ANGSTROM


def _engine(molecule: Any, program: Program) -> Any:
    """Return geomeTRIC's view of a program."""
    from geometric.engine import Engine

    class _Engine(Engine):  # type: ignore[misc]
        def calc_new(self, coords: Floats, dirname: str) -> dict[str, Any]:
            energy, gradient = program.energy_and_gradient(coords.reshape(-1, 3))
            return {"energy": energy, "gradient": gradient.ravel()}

    return _Engine(molecule)


def minimum(
    program: Program,
    atomic_numbers: NDArray[np.int32],
    positions: Floats,
    held: Sequence[tuple[Sequence[int], float]] = (),
) -> Floats:
    """Return the minimum ``(n_atoms, 3)`` [bohr] that an optimization from `positions` [bohr] comes to.

    Held angles are kept to about 1e-3 degrees.

    Args:
        program: what computes energies and gradients.
        atomic_numbers: ``(n_atoms,)``.
        positions: where it begins.
        held: dihedrals by their atoms, each with its angle [degrees].

    Raises:
        geometric.errors.GeomOptNotConvergedError: it takes more than `MAX_STEPS`.
    """
    from geometric.internal import DelocalizedInternalCoordinates
    from geometric.molecule import Molecule
    from geometric.optimize import Optimize, OptParams
    from geometric.prepare import parse_constraints

    logging.getLogger("geometric").setLevel(logging.CRITICAL)
    molecule = Molecule()
    table = Chem.GetPeriodicTable()
    molecule.elem = [table.GetElementSymbol(int(number)) for number in atomic_numbers]
    molecule.xyzs = [positions * ANGSTROM_PER_BOHR]
    molecule.build_topology()
    constraints, values = None, None
    if held:
        lines = [f"dihedral {' '.join(str(atom + 1) for atom in atoms)} {angle}" for atoms, angle in held]
        constraints, (values, *_) = parse_constraints(molecule, "\n".join(["$set", *lines]))
    coordinates = DelocalizedInternalCoordinates(
        molecule, build=True, connect=False, addcart=False, constraints=constraints, cvals=values
    )
    criteria = {f"convergence_{name}": value for name, value in CONVERGENCE.items()}
    options = OptParams(trust=TRUST, tmax=LARGEST_TRUST, epsilon=0.0, maxiter=MAX_STEPS, **criteria)
    engine = _engine(molecule, program)
    with tempfile.TemporaryDirectory() as folder:
        found = Optimize(positions.ravel(), molecule, coordinates, engine, folder, options, print_info=False)
    return np.array(found.xyzs[-1]) / ANGSTROM_PER_BOHR

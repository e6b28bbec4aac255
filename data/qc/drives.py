"""Torsion drives by wavefront propagation (Y. Qiu et al., J. Chem. Phys. 152, 244116 (2020)), as torsiondrive does it.

Every optimum at a grid point starts optimizations at its two neighbors, until none finds a lower energy: so the profile
does not depend on the direction of the scan. The fragments are their own mirror images, so E(φ) = E(-φ): where the
search found less at -φ, the mirror image is taken.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from data.qc.optimization import minimum
from data.qc.programs import Program

__all__ = ["SPACING", "Drive", "drive", "lowest_of_mirror_images"]

Floats = NDArray[np.float64]

SPACING = 15
"""Of the grid [degrees]."""

SAME_ENERGY = 1e-6
"""Energies closer than this are one [hartree]."""


@dataclass(frozen=True, eq=False)
class Drive:
    """The lowest optimum at every grid point.

    Attributes:
        angles: ``(n_points,)`` [degrees], ascending.
        positions: ``(n_points, n_atoms, 3)`` [bohr].
        optimizations: how many it took.
    """

    angles: NDArray[np.int64]
    positions: Floats
    optimizations: int


def drive(
    program: Program, atomic_numbers: NDArray[np.int32], starts: Floats, dihedral: tuple[int, int, int, int]
) -> Drive:
    """Return the profile of a dihedral, of a molecule without stereocenters, from ``(n_starts, n_atoms, 3)`` [bohr]."""
    from torsiondrive.td_api import create_initial_state, update_state

    table = Chem.GetPeriodicTable()
    state = create_initial_state(
        dihedrals=[list(dihedral)],
        grid_spacing=[SPACING],
        elements=[table.GetElementSymbol(int(number)) for number in atomic_numbers],
        init_coords=[start.ravel().tolist() for start in starts],
    )
    while jobs := _next_jobs(state):
        done = {
            point: [_optimized(program, atomic_numbers, start, dihedral, int(point)) for start in beginnings]
            for point, beginnings in jobs.items()
        }
        update_state(state, done)
    found = {int(point): min(tried, key=lambda each: each[2]) for point, tried in state["grid_status"].items()}
    angles = np.array(sorted(found))
    return Drive(
        angles=angles,
        positions=lowest_of_mirror_images(
            angles,
            np.array([found[angle][1] for angle in sorted(found)]).reshape(len(angles), -1, 3),
            np.array([found[angle][2] for angle in sorted(found)]),
        ),
        optimizations=sum(map(len, state["grid_status"].values())),
    )


def lowest_of_mirror_images(angles: NDArray[np.int64], positions: Floats, energies: Floats) -> Floats:
    """Return positions, each replaced by the mirror image of those at the opposite angle where these are lower."""
    opposite = np.array([int(np.flatnonzero((angles + angle) % 360 == 0)[0]) for angle in angles])
    lower = energies[opposite] < energies - SAME_ENERGY
    images = positions[opposite] * np.array([-1.0, 1.0, 1.0])
    return np.where(lower[:, None, None], images, positions)


def _optimized(
    program: Program,
    atomic_numbers: NDArray[np.int32],
    start: list[float],
    dihedral: tuple[int, int, int, int],
    angle: int,
) -> tuple[list[float], list[float], float]:
    """Return what torsiondrive asks of an optimization: where it began, where it ended, the energy there."""
    end = minimum(program, atomic_numbers, np.reshape(start, (-1, 3)), [(dihedral, float(angle))])
    return start, end.ravel().tolist(), program.energy_and_gradient(end)[0]


def _next_jobs(state: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Return where to begin which optimizations; torsiondrive prints, and leaves files where it stands."""
    from torsiondrive.td_api import next_jobs_from_state

    with tempfile.TemporaryDirectory() as folder, _within(folder), redirect_stdout(io.StringIO()):
        found: dict[str, list[list[float]]] = next_jobs_from_state(state)
    return found


@contextmanager
def _within(folder: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

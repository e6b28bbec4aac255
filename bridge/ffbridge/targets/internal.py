"""Internal coordinates of molecules: distances, angles and dihedrals of whole geometries, and their derivatives.

The coordinates themselves are those of the energy, :mod:`ffbridge.energy.geometry`, in whichever framework the
positions are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.energy.geometry import COORDINATES
from ffbridge.producers.connectivity import Neighbors, angles, proper_torsions
from ffbridge.registry import backend_of
from ffbridge.targets.arrays import beside

__all__ = [
    "InternalCoordinates",
    "dihedral_angles",
    "dihedral_gradients",
    "internal_coordinates",
    "measured",
    "values",
    "wilson",
    "wrapped",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS = ("distance", "angle", "dihedral")


@dataclass(frozen=True, eq=False)
class InternalCoordinates:
    """The bonds, angles and proper dihedrals of a molecule.

    Attributes:
        distance: ``(n_bonds, 2)``, atoms.
        angle: ``(n_angles, 3)``.
        dihedral: ``(n_dihedrals, 4)``.
    """

    distance: Ints
    angle: Ints
    dihedral: Ints

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.distance) + len(self.angle) + len(self.dihedral)

    def each(self, *, distance: Any, angle: Any, dihedral: Any) -> Floats:
        """Return one number for each coordinate, ``(n,)``, by its kind."""
        return np.repeat(
            np.asarray([distance, angle, dihedral], dtype=np.float64),
            [len(self.distance), len(self.angle), len(self.dihedral)],
        )


def internal_coordinates(bonds: Ints, n_atoms: int, positions: Floats) -> InternalCoordinates:
    """Return the coordinates that bonds ``(n_bonds, 2)`` define, those left out that are not defined at a geometry.

    An angle within 5° of straight has no smooth derivative, and a dihedral that holds one is not defined.
    """
    neighbors = Neighbors.from_bonds(np.asarray(bonds, dtype=np.int64), n_atoms)
    triples, quads = angles(neighbors), proper_torsions(neighbors)
    bent = np.abs(np.pi - measured(positions, triples, "angle")) > np.radians(5)
    ends = [np.abs(np.pi - measured(positions, quads[:, part], "angle")) > np.radians(5) for part in _ARMS]
    return InternalCoordinates(np.asarray(bonds, dtype=np.int64), triples[bent], quads[ends[0] & ends[1]])


_ARMS = (slice(0, 3), slice(1, 4))


def measured(positions: Floats, atoms: Ints, kind: str) -> Floats:
    """Return coordinates of one kind at one geometry ``(n_atoms, 3)``, ``(n,)`` [nm or rad], in NumPy."""
    found: Floats = _of_kind(np, positions, atoms, kind)
    return found


def values(positions: Array, coordinates: InternalCoordinates) -> Array:
    """Return all coordinates of one geometry ``(n_atoms, 3)``, ``(n,)`` [nm, rad]; derivatives flow through them."""
    xp = backend_of(positions).namespace
    parts = [_of_kind(xp, positions, getattr(coordinates, kind), kind) for kind in KINDS]
    return xp.concat(parts)


def _of_kind(xp: Any, positions: Array, atoms: Ints, kind: str) -> Array:
    corners = [_corner(xp, positions, column) for column in atoms.T]
    q, _ = COORDINATES[kind].forward(xp, corners)
    found = xp.atan2(q[1], q[0]) if kind == "dihedral" else q
    return found[:, 0]


def _corner(xp: Any, positions: Array, atoms: Ints) -> Array:
    """Return the positions of one corner of each coordinate, ``(3, n, 1)``."""
    return xp.permute_dims(xp.take(positions, beside(positions, atoms), axis=0), (1, 0))[..., None]


def wilson(positions: Floats, coordinates: InternalCoordinates) -> Floats:
    """Return Wilson's B = dq/dx at one geometry, ``(n, n_atoms, 3)``."""
    rows = np.zeros((len(coordinates), *positions.shape))
    start = 0
    for kind in KINDS:
        atoms: Ints = getattr(coordinates, kind)
        corners = [_corner(np, positions, column) for column in atoms.T]
        _, state = COORDINATES[kind].forward(np, corners)
        parts = COORDINATES[kind].pullback(np, state, np.ones((len(atoms), 1)))
        here = np.arange(start, start + len(atoms))
        for column, part in zip(atoms.T, parts, strict=True):
            np.add.at(rows, (here, column), part[..., 0].T)
        start += len(atoms)
    return rows


def dihedral_angles(positions: Floats, dihedrals: NDArray[Any]) -> Floats:
    """Return the angles of dihedrals ``(n, 4)`` in conformers ``(..., n_atoms, 3)``, ``(..., n)`` [rad]."""
    cosine_and_sine, _ = COORDINATES["dihedral"].forward(np, _corners(positions, dihedrals))
    found: Floats = np.arctan2(cosine_and_sine[1], cosine_and_sine[0])
    return found.reshape(*positions.shape[:-2], len(dihedrals))


def dihedral_gradients(positions: Floats, dihedrals: NDArray[Any]) -> Floats:
    """Return dφ/dx of the four atoms of dihedrals ``(n, 4)`` in conformers, ``(..., n, 4, 3)`` [rad/nm]."""
    _, state = COORDINATES["dihedral"].forward(np, _corners(positions, dihedrals))
    count = int(np.prod(positions.shape[:-2], dtype=int)) * len(dihedrals)
    parts = COORDINATES["dihedral"].pullback(np, state, np.ones((count, 1)))
    return np.stack([part[..., 0].T for part in parts], axis=1).reshape(*positions.shape[:-2], len(dihedrals), 4, 3)


def _corners(positions: Floats, dihedrals: NDArray[Any]) -> list[Floats]:
    return [positions[..., column, :].reshape(-1, 3).T[..., None] for column in dihedrals.T]


def wrapped(angle: Any) -> Any:
    """Return differences of angles, in NumPy, as those nearest to zero, in [-π, π)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi

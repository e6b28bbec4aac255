"""Many conformers of many systems in one array of positions, so that one call of a potential evaluates all of them.

A potential takes ``(n_rows, n_atoms, 3)``: in each row, one conformer of every system. Conformers are put into rows one
after another, for each system by itself. Where a system has fewer than others, its last one stands again; systems
without any get positions that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.potential import Potential
from ffbridge.snapshot import snapshot
from ffbridge.targets.arrays import constant

__all__ = ["Frames", "Placed", "pack"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the conformers of one target are.

    Attributes:
        rows: ``(n_conformers,)``.
        system: the system's number.
        atoms: of the system, in the bundle.
    """

    rows: Ints
    system: int
    atoms: slice

    def energies(self, n_systems: int) -> Ints:
        """Return the places in the flattened ``(n_rows, n_systems)`` of energies, ``(n_conformers,)``."""
        return self.rows * n_systems + self.system

    def atoms_flat(self, n_atoms: int) -> Ints:
        """Return the places in the flattened ``(n_rows, n_atoms)``, ``(n_conformers * n_atoms of the system,)``."""
        here = np.arange(self.atoms.start, self.atoms.stop)
        return (self.rows[:, None] * n_atoms + here).reshape(-1)


@dataclass(frozen=True, eq=False)
class Frames:
    """Conformers of many targets.

    Attributes:
        x: ``(n_rows, n_atoms, 3)`` [nm], of the host.
        placed: where those of each target are.
    """

    x: Array
    placed: tuple[Placed, ...]


def pack(U: Potential, parts: Sequence[tuple[int, Floats]]) -> Frames:
    """Return conformers in rows.

    Args:
        U: the potential that is to evaluate them.
        parts: a system's number and its conformers, ``(n_conformers, n_atoms of the system, 3)`` [nm], for each target;
            a system may occur several times.
    """
    offsets = snapshot(U.bundle.system_offsets).astype(np.int64)
    used = np.zeros(len(offsets) - 1, dtype=np.int64)
    placed = []
    for system, positions in parts:
        rows = np.arange(used[system], used[system] + len(positions))
        placed.append(Placed(rows, system, slice(int(offsets[system]), int(offsets[system + 1]))))
        used[system] += len(positions)
    x = np.broadcast_to(_helix(int(offsets[-1])), (max(int(used.max(initial=0)), 1), int(offsets[-1]), 3)).copy()
    for each, (_, positions) in zip(placed, parts, strict=True):
        x[each.rows, each.atoms] = positions
    for system, count in enumerate(used):
        if count:
            atoms = slice(int(offsets[system]), int(offsets[system + 1]))
            x[count:, atoms] = x[count - 1, atoms]
    return Frames(constant(U, x), tuple(placed))


def _helix(n_atoms: int) -> Floats:
    """Return positions without coincident atoms or straight angles."""
    number = np.arange(n_atoms)
    return np.stack([0.1 * number, 0.15 * np.cos(1.7 * number), 0.15 * np.sin(1.7 * number)], axis=1)

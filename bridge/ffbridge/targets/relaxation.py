"""Torsion drives and optimized geometries, relaxed by a potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import TargetError
from ffbridge.potential import Potential
from ffbridge.snapshot import snapshot
from ffbridge.targets.frames import Frames, pack
from ffbridge.targets.kinds import OptimizedGeometry, TorsionDrive
from ffbridge.targets.relax import HeldDihedrals, Relaxed, relax
from ffbridge.targets.target import Target

__all__ = ["relax_drives", "relax_geometries"]

Floats = NDArray[np.float64]
Tables = Mapping[str, Array]


def relax_drives(
    U: Potential,
    targets: Sequence[tuple[int, int, TorsionDrive]],
    start: Mapping[int, Floats],
    tables: Tables | None,
    *,
    tolerance: float,
    max_iterations: int,
) -> dict[int, Floats]:
    """Return the conformers of torsion drives at minima with their angles, ``(n_conformers, n_atoms, 3)`` by number.

    Args:
        U: the potential.
        targets: each with its number and its system's.
        start: positions to start from, by number; the target's own where there are none.
        tables: as the potential takes them.
        tolerance: the largest component of the gradient that is left [kJ/mol/nm].
        max_iterations: calls of the potential.

    Raises:
        TargetError: a minimization does not converge.
    """
    if not targets:
        return {}
    frames = pack(U, [(system, start.get(number, target.positions)) for number, system, target in targets])
    rows, atoms, angles = [], [], []
    for (_, _, target), placed in zip(targets, frames.placed, strict=True):
        count, n = target.angles.shape
        rows.append(np.repeat(placed.rows, n))
        atoms.append(np.tile(target.dihedrals + placed.atoms.start, (count, 1)))
        angles.append(target.angles.reshape(-1))
    held = HeldDihedrals(np.concatenate(rows), np.concatenate(atoms), np.concatenate(angles))
    found = relax(U, frames.x, tables, held=held, tolerance=tolerance, max_iterations=max_iterations)
    return _taken(found, frames, targets, tolerance)


def relax_geometries(
    U: Potential,
    targets: Sequence[tuple[int, int, OptimizedGeometry]],
    start: Mapping[int, Floats],
    tables: Tables | None,
    *,
    tolerance: float,
    max_iterations: int,
) -> dict[int, Floats]:
    """Return minima near optimized geometries, ``(n_atoms, 3)`` by number; arguments as for :func:`relax_drives`."""
    if not targets:
        return {}
    frames = pack(U, [(system, start.get(number, target.positions)[None]) for number, system, target in targets])
    found = relax(U, frames.x, tables, tolerance=tolerance, max_iterations=max_iterations)
    return {number: each[0] for number, each in _taken(found, frames, targets, tolerance).items()}


def _taken(
    found: Relaxed, frames: Frames, targets: Sequence[tuple[int, int, Target]], tolerance: float
) -> dict[int, Floats]:
    taken = {}
    for (number, _, target), placed in zip(targets, frames.placed, strict=True):
        left = found.largest_gradient[placed.rows, placed.system]
        if (left > tolerance).any():
            worst = int(np.argmax(left))
            raise TargetError(
                f"target {target.name!r}: conformer {worst} is not at a minimum after {found.iterations} iterations: "
                f"a gradient of {left[worst]:.3g} kJ/mol/nm is left, expected {tolerance}. Allow more iterations "
                "(max_iterations), or a larger rest (tolerance)"
            )
        taken[number] = snapshot(found.positions)[placed.rows, placed.atoms]
    return taken

"""Optimized geometries: internal coordinates at the potential's own minimum, beside those of the reference.

The minimum x*(θ) moves with the tables by dx*/dθ = -H⁻¹ ∂²U/∂x∂θ (implicit function theorem). With x* and H⁺ as
constants, x* - H⁺ ∂U/∂x(x*; θ) has the value x*, since the gradient vanishes there, and that derivative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.potential import Potential
from ffbridge.snapshot import snapshot
from ffbridge.targets.arrays import constant
from ffbridge.targets.derivatives import energies_and_forces, hessian_values
from ffbridge.targets.frames import pack
from ffbridge.targets.internal import InternalCoordinates, values
from ffbridge.targets.kinds import OptimizedGeometry
from ffbridge.targets.losses.part import Part, Scales

__all__ = ["GeometryLoss"]

Floats = NDArray[np.float64]


class GeometryLoss:
    """Internal coordinates of several targets at minima.

    Args:
        U: the potential, with an engine that has second derivatives.
        targets: each with its number and its system's.
        minima: positions of each at the potential's minimum near it, ``(n_atoms, 3)`` [nm].
        internal: the internal coordinates of each target.
        tables: at which the minima are, values without gradient.
        scales: of residuals.
    """

    def __init__(
        self,
        U: Potential,
        targets: Sequence[tuple[int, int, OptimizedGeometry]],
        minima: Sequence[Floats],
        internal: Sequence[InternalCoordinates],
        tables: Mapping[str, Array] | None,
        *,
        scales: Scales,
    ) -> None:
        self._U, self._internal = U, tuple(internal)
        self._frames = pack(
            U, [(system, minimum[None]) for (_, system, _), minimum in zip(targets, minima, strict=True)]
        )
        rows = snapshot(hessian_values(U, self._frames.x, tables))
        self.moving = {"x": self._frames.x}
        for number, placed in enumerate(self._frames.placed):
            n = 3 * (placed.atoms.stop - placed.atoms.start)
            H = rows[int(placed.rows[0]), :n, placed.atoms].reshape(n, n)
            self.moving[f"inverse/{number}"] = constant(U, _inverse(H))
        reference = [
            values(target.positions, each) for (_, _, target), each in zip(targets, self._internal, strict=True)
        ]
        sizes = [len(each) for each in self._internal]
        self._reference = constant(U, np.concatenate(reference))
        self._owner = np.repeat([number for number, _, _ in targets], sizes)
        self._weights = constant(
            U, np.repeat([target.weight / n for (_, _, target), n in zip(targets, sizes, strict=True)], sizes)
        )
        widths = {"distance": scales.distance, "angle": scales.angle, "dihedral": scales.dihedral}
        self._scale = constant(U, np.concatenate([each.each(**widths) for each in self._internal]))
        turning = np.concatenate([each.each(distance=0, angle=0, dihedral=1) for each in self._internal])
        self._periodic = constant(U, turning) > 0.5

    def parts(self, tables: Mapping[str, Array] | None, moving: Mapping[str, Array]) -> list[Part]:
        """Return the internal coordinates at the minima, with their derivatives by the given tables."""
        xp = self._U.host.namespace
        _, forces = energies_and_forces(self._U, moving["x"], tables)
        found = []
        for number, (placed, coordinates) in enumerate(zip(self._frames.placed, self._internal, strict=True)):
            row = int(placed.rows[0])
            step = moving[f"inverse/{number}"] @ xp.reshape(forces[row, placed.atoms, :], (-1,))
            found.append(values(moving["x"][row, placed.atoms, :] + xp.reshape(step, (-1, 3)), coordinates))
        return [
            Part(
                quantity="internal coordinate",
                unit="nm, rad",
                predicted=xp.concat(found),
                reference=self._reference,
                scale=self._scale,
                weights=self._weights,
                owner=self._owner,
                periodic=self._periodic,
            )
        ]


def _inverse(H: Floats) -> Floats:
    """Return the pseudo-inverse of a Hessian at a minimum: translations and rotations have no curvature there."""
    return np.asarray(np.linalg.pinv((H + H.T) / 2, rcond=1e-8, hermitian=True), dtype=np.float64)

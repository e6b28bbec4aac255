"""Hessians, in Cartesian coordinates, or projected on internal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.potential import Potential
from ffbridge.targets.arrays import constant
from ffbridge.targets.derivatives import hessian_rows
from ffbridge.targets.frames import pack
from ffbridge.targets.internal import InternalCoordinates, wilson
from ffbridge.targets.kinds import HessianTarget
from ffbridge.targets.losses.part import Part, Scales

__all__ = ["HessianCoordinates", "HessianLoss", "projection"]

Floats = NDArray[np.float64]

HessianCoordinates = Literal["cartesian", "internal"]


def projection(positions: Floats, coordinates: InternalCoordinates, scales: Scales) -> Floats:
    """Return P, ``(3 n_atoms, n)``, by which Pᵀ H P is a Hessian in internal coordinates, an energy [kJ/mol].

    P = (S⁻¹ B)⁺, with Wilson's B and the scale of each coordinate on the diagonal of S, so that an element is twice the
    energy of a displacement by the scales. At a stationary point this is the Hessian of the energy as a function of
    internal coordinates (with the least displacement that makes them, where they are redundant); elsewhere the
    curvature of the coordinates themselves, times the gradient, is left out, of both Hessians that are compared.
    """
    B = wilson(positions, coordinates).reshape(len(coordinates), -1)
    size = coordinates.each(distance=scales.distance, angle=scales.angle, dihedral=scales.dihedral)
    # Columns in units of their scales, so that the cut-off of the pseudo-inverse does not compare nm with rad.
    return np.asarray(np.linalg.pinv(B / size[:, None], rcond=1e-8), dtype=np.float64)


class HessianLoss:
    """Hessians of several targets, by one evaluation.

    Args:
        U: the potential, with an engine that has second derivatives.
        targets: each with its number and its system's.
        scales: of residuals.
        coordinates: which Hessians are compared in.
        internal: the internal coordinates of each target, where they are.
    """

    def __init__(
        self,
        U: Potential,
        targets: Sequence[tuple[int, int, HessianTarget]],
        *,
        scales: Scales,
        coordinates: HessianCoordinates,
        internal: Sequence[InternalCoordinates] = (),
    ) -> None:
        self._U = U
        self._cartesian = coordinates == "cartesian"
        self._frames = pack(U, [(system, target.positions[None]) for _, system, target in targets])
        self.moving = {"x": self._frames.x}
        hessians = [target.hessian.reshape(3 * target.n_atoms, -1) for _, _, target in targets]
        self._projections: list[Array | None] = [None] * len(targets)
        if not self._cartesian:
            found = [
                projection(target.positions, each, scales)
                for (_, _, target), each in zip(targets, internal, strict=True)
            ]
            hessians = [P.T @ H @ P for P, H in zip(found, hessians, strict=True)]
            self._projections = [constant(U, P) for P in found]
        sizes = [each.size for each in hessians]
        self._reference = constant(U, np.concatenate([each.reshape(-1) for each in hessians]))
        self._weights = constant(
            U, np.repeat([t.weight / n for (_, _, t), n in zip(targets, sizes, strict=True)], sizes)
        )
        self._owner = np.repeat([number for number, _, _ in targets], sizes)
        scale = scales.hessian if self._cartesian else scales.energy
        self._scale = constant(U, np.full(len(self._owner), scale))

    def parts(self, tables: Mapping[str, Array] | None, moving: Mapping[str, Array]) -> list[Part]:
        """Return the elements of all Hessians with the given tables."""
        xp = self._U.host.namespace
        rows = hessian_rows(self._U, moving["x"], tables)
        each = [
            xp.reshape(self._one(xp, rows, placed, P), (-1,))
            for placed, P in zip(self._frames.placed, self._projections, strict=True)
        ]
        return [
            Part(
                quantity="hessian" if self._cartesian else "internal hessian",
                unit="kJ/mol/nm^2" if self._cartesian else "kJ/mol",
                predicted=xp.concat(each),
                reference=self._reference,
                scale=self._scale,
                weights=self._weights,
                owner=self._owner,
            )
        ]

    @staticmethod
    def _one(xp: Any, rows: Array, placed: Any, P: Array | None) -> Array:
        n = 3 * (placed.atoms.stop - placed.atoms.start)
        square = xp.reshape(rows[int(placed.rows[0]), :n, placed.atoms, :], (n, n))
        return square if P is None else P.T @ square @ P

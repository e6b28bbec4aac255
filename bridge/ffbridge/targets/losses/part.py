"""What a loss is made of: predictions beside references, with weights and a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array

__all__ = ["Part", "Scales", "normalized"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Scales:
    """How much of a deviation counts as one, by quantity: a residual is a deviation divided by its scale.

    Attributes:
        energy: relative energies and interaction energies [kJ/mol]; 1 kcal/mol.
        force: [kJ/mol/nm]; 10 kcal/mol/Å.
        hessian: Cartesian [kJ/mol/nm²]; 100 kcal/mol/Å².
        distance: bonds of optimized geometries [nm]; 0.05 Å.
        angle: angles of optimized geometries [rad]; 8°.
        dihedral: dihedrals of optimized geometries [rad]; 20°. These three also make Hessians in internal coordinates
            energies, whose scale is `energy`.
        observable: averages, as a fraction of the reference, for targets without an uncertainty.
    """

    energy: float = 4.184
    force: float = 418.4
    hessian: float = 41840.0
    distance: float = 0.005
    angle: float = float(np.radians(8))
    dihedral: float = float(np.radians(20))
    observable: float = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """One quantity of several targets.

    Attributes:
        quantity: its name.
        unit: of predictions and references.
        predicted: ``(n,)``, of the host; derivatives flow through it.
        reference: ``(n,)``, of the host.
        scale: ``(n,)``, of the host, in the unit.
        weights: ``(n,)``, of the host; those of one target sum to 1, times its own weight.
        owner: ``(n,)``, the target that each number belongs to.
        periodic: numbers are angles [rad], whose differences are taken within half a turn.
    """

    quantity: str
    unit: str
    predicted: Array
    reference: Array
    scale: Array
    weights: Array
    owner: Ints
    periodic: Array | None = None

    def residuals(self, xp: Any) -> Array:
        """Return ``(n,)`` without unit, whose squares sum to the loss."""
        deviation = self.predicted - self.reference
        if self.periodic is not None:
            turned = xp.atan2(xp.sin(deviation), xp.cos(deviation))
            deviation = xp.where(self.periodic, turned, deviation)
        return xp.sqrt(self.weights) * deviation / self.scale


def normalized(weights: Floats | None, count: int) -> Floats:
    """Return weights of a target's numbers that sum to 1; all alike if None."""
    found: Floats = np.ones(count) if weights is None else weights
    share: Floats = found / found.sum()
    return share

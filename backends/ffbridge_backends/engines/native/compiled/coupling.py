"""Couplings of class II force fields, compiled; the formulas are those of :mod:`ffbridge.energy.coupling`."""

from __future__ import annotations

from typing import Any, NamedTuple

from ffbridge_backends.engines.native.compiled.bonded_form import fold, value
from ffbridge_backends.engines.native.compiled.lanes import case

__all__ = ["COUPLINGS"]


class TwoDeviations(NamedTuple):
    """U = k (q1 - rest1) (q2 - rest2)."""

    n_slopes: int = 3


@case(fold, TwoDeviations)
def _two_deviations_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2]


@case(value, TwoDeviations)
def _two_deviations(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k, rest1, rest2 = constants
    d1, d2 = q[0] - rest1, q[1] - rest2
    out[c], out[c + w], out[c + 2 * w] = d1 * d2, -k * d2, -k * d1
    return k * d1 * d2, (k * d2, k * d1)


class DeviationTorsion(NamedTuple):
    """U = (q - rest) (k1 cos φ + k2 cos 2φ + k3 cos 3φ)."""

    n_slopes: int = 4


@case(fold, DeviationTorsion)
def _deviation_torsion_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2], p[3]


@case(value, DeviationTorsion)
def _deviation_torsion(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k1, k2, k3, rest = constants
    (cosine, sine), deviation = q[1], q[0] - rest
    square = cosine * cosine
    twice, thrice = 2.0 * square - 1.0, (4.0 * square - 3.0) * cosine
    torsion = k1 * cosine + k2 * twice + k3 * thrice
    # sin 2φ = 2 sin φ cos φ and sin 3φ = sin φ (4 cos²φ - 1).
    slope = -sine * (k1 + 4.0 * k2 * cosine + 3.0 * k3 * (4.0 * square - 1.0))
    out[c], out[c + w] = deviation * cosine, deviation * twice
    out[c + 2 * w], out[c + 3 * w] = deviation * thrice, -torsion
    return deviation * torsion, (torsion, deviation * slope)


class AngleAngleTorsion(NamedTuple):
    """U = k (θ1 - angle1) (θ2 - angle2) cos φ."""

    n_slopes: int = 3


@case(fold, AngleAngleTorsion)
def _angle_angle_torsion_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2]


@case(value, AngleAngleTorsion)
def _angle_angle_torsion(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k, angle1, angle2 = constants
    theta1, (theta2, (cosine, sine)) = q
    d1, d2 = theta1 - angle1, theta2 - angle2
    slope1, slope2 = k * d2 * cosine, k * d1 * cosine
    out[c], out[c + w], out[c + 2 * w] = d1 * d2 * cosine, -slope1, -slope2
    return k * d1 * d2 * cosine, (slope1, (slope2, -k * d1 * d2 * sine))


COUPLINGS: dict[str, type[Any]] = {
    "bond_bond": TwoDeviations,
    "bond_bond_13": TwoDeviations,
    "bond_angle": TwoDeviations,
    "angle_angle": TwoDeviations,
    "middle_bond_torsion": DeviationTorsion,
    "end_bond_torsion": DeviationTorsion,
    "angle_torsion": DeviationTorsion,
    "angle_angle_torsion": AngleAngleTorsion,
}
"""The forms by their name in the standard."""

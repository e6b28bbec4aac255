"""Coupling terms of class II force fields: products of deviations from reference values, and of these with torsions.

References: J. R. Maple et al., J. Comput. Chem. 15, 162 (1994); H. Sun, J. Phys. Chem. B 102, 7338 (1998). Prefactors
are those of the LAMMPS manual ("angle_style class2", "dihedral_style class2", "improper_style class2").
"""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array
from ffbridge.energy.bonded_form import BondedForm, Derivatives

__all__ = ["COUPLINGS", "angle_angle_torsion", "deviation_torsion", "two_deviations"]

Dihedral = tuple[Array, Array]


def two_deviations(xp: Any, q1: Array, q2: Array, k: Array, rest1: Array, rest2: Array) -> Array:
    """Return U = k (q1 - rest1) (q2 - rest2), of two distances, two angles, or a distance and an angle."""
    return k * (q1 - rest1) * (q2 - rest2)


def _two_deviations_derivatives(xp: Any, q1: Array, q2: Array, k: Array, rest1: Array, rest2: Array) -> Derivatives:
    d1, d2 = q1 - rest1, q2 - rest2
    slopes, product = (k * d2, k * d1), d1 * d2
    return k * product, slopes, (product, -slopes[0], -slopes[1])


def deviation_torsion(xp: Any, q: Array, phi: Dihedral, k1: Array, k2: Array, k3: Array, rest: Array) -> Array:
    """Return U = (q - rest) (k1 cos φ + k2 cos 2φ + k3 cos 3φ), of a distance or an angle and a dihedral."""
    once, twice, thrice = _cosines(phi)
    return (q - rest) * (k1 * once + k2 * twice + k3 * thrice)


def _deviation_torsion_derivatives(
    xp: Any, q: Array, phi: Dihedral, k1: Array, k2: Array, k3: Array, rest: Array
) -> Derivatives:
    cosine, sine = phi
    once, twice, thrice = _cosines(phi)
    deviation = q - rest
    torsion = k1 * once + k2 * twice + k3 * thrice
    # sin 2φ = 2 sin φ cos φ and sin 3φ = sin φ (4 cos²φ - 1).
    slope = -sine * (k1 + 4.0 * k2 * cosine + 3.0 * k3 * (4.0 * cosine**2 - 1.0))
    u = deviation * torsion
    return u, (torsion, deviation * slope), (deviation * once, deviation * twice, deviation * thrice, -torsion)


def angle_angle_torsion(
    xp: Any, theta1: Array, theta2: Array, phi: Dihedral, k: Array, angle1: Array, angle2: Array
) -> Array:
    """Return U = k (θ1 - angle1) (θ2 - angle2) cos φ."""
    return k * (theta1 - angle1) * (theta2 - angle2) * phi[0]


def _angle_angle_torsion_derivatives(
    xp: Any, theta1: Array, theta2: Array, phi: Dihedral, k: Array, angle1: Array, angle2: Array
) -> Derivatives:
    cosine, sine = phi
    d1, d2 = theta1 - angle1, theta2 - angle2
    slopes = (k * d2 * cosine, k * d1 * cosine)
    product = d1 * d2 * cosine
    return k * product, (*slopes, -k * d1 * d2 * sine), (product, -slopes[0], -slopes[1])


def _cosines(phi: Dihedral) -> tuple[Array, Array, Array]:
    """Return cos φ, cos 2φ and cos 3φ."""
    cosine = phi[0]
    return cosine, 2.0 * cosine**2 - 1.0, (4.0 * cosine**2 - 3.0) * cosine


_TWO_DEVIATIONS = BondedForm(two_deviations, _two_deviations_derivatives)
_DEVIATION_TORSION = BondedForm(deviation_torsion, _deviation_torsion_derivatives)

COUPLINGS = {
    "bond_bond": _TWO_DEVIATIONS,
    "bond_bond_13": _TWO_DEVIATIONS,
    "bond_angle": _TWO_DEVIATIONS,
    "angle_angle": _TWO_DEVIATIONS,
    "middle_bond_torsion": _DEVIATION_TORSION,
    "end_bond_torsion": _DEVIATION_TORSION,
    "angle_torsion": _DEVIATION_TORSION,
    "angle_angle_torsion": BondedForm(angle_angle_torsion, _angle_angle_torsion_derivatives),
}
"""The couplings by their name in the standard."""

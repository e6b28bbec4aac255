"""Bonded forms: those of one internal coordinate, with their derivatives to it and to parameters, and the list of all.

A formula works for any coordinate values. A new form is one entry of :data:`BONDED` and its declaration in the
standard's ``forms-1.json``, which says of which atoms its coordinates are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ffbridge.backend import Array
from ffbridge.energy.bonded_form import BondedForm, Derivatives
from ffbridge.energy.cmap import CMAP
from ffbridge.energy.coupling import COUPLINGS
from ffbridge.energy.nonbonded import NONBONDED, coulomb, lennard_jones
from ffbridge.energy.vectors import safe_distances

__all__ = [
    "BONDED",
    "HIGHEST_PERIODICITY",
    "coulomb_pair",
    "harmonic",
    "harmonic_improper",
    "lennard_jones_pair",
    "morse",
    "periodic_torsion",
    "quartic",
    "ryckaert_bellemans",
]


def harmonic(xp: Any, q: Array, k: Array, rest: Array) -> Array:
    """Return U = k/2 (q - rest)² (OpenMM User Guide, "HarmonicBondForce", "HarmonicAngleForce")."""
    return 0.5 * k * (q - rest) ** 2


def _harmonic_derivatives(xp: Any, q: Array, k: Array, rest: Array) -> Derivatives:
    stretch = q - rest
    slope, half_square = k * stretch, 0.5 * stretch**2
    return k * half_square, (slope,), (half_square, -slope)


def morse(xp: Any, q: Array, depth: Array, steepness: Array, length: Array) -> Array:
    """Return U = depth (1 - exp(-steepness (q - length)))² (P. M. Morse, Phys. Rev. 34, 57 (1929)), ≥ 0."""
    return depth * (1.0 - xp.exp(-steepness * (q - length))) ** 2


def _morse_derivatives(xp: Any, q: Array, depth: Array, steepness: Array, length: Array) -> Derivatives:
    stretch = q - length
    decay = xp.exp(-steepness * stretch)
    # dU/d(steepness · stretch).
    slope, shape = 2.0 * depth * (1.0 - decay) * decay, (1.0 - decay) ** 2
    return depth * shape, (slope * steepness,), (shape, slope * stretch, -slope * steepness)


def lennard_jones_pair(xp: Any, r: Array, sigma: Array, epsilon: Array) -> Array:
    """Return U = 4ε ((σ/r)¹² - (σ/r)⁶) of a pair with parameters of its own; +∞ at r = 0 (the standard's E-4)."""
    apart, safe = safe_distances(xp, r)
    return xp.where(apart, lennard_jones(xp, {}, safe, sigma, epsilon), xp.inf)


def _lennard_jones_pair_derivatives(xp: Any, r: Array, sigma: Array, epsilon: Array) -> Derivatives:
    apart, safe = safe_distances(xp, r)
    u, du_dr, du_dp = NONBONDED["lennard_jones"].derivatives(xp, {}, safe, sigma, epsilon)
    return xp.where(apart, u, xp.inf), (xp.where(apart, du_dr, 0.0),), tuple(xp.where(apart, du, 0.0) for du in du_dp)


def coulomb_pair(xp: Any, r: Array, charge_product: Array, *, coulomb_constant: float) -> Array:
    """Return U = coulomb_constant · charge_product / r; +∞ at r = 0 (the standard's E-4)."""
    apart, safe = safe_distances(xp, r)
    return xp.where(apart, coulomb(xp, {}, safe, coulomb_constant * charge_product), xp.inf)


def _coulomb_pair_derivatives(xp: Any, r: Array, charge_product: Array, *, coulomb_constant: float) -> Derivatives:
    apart, safe = safe_distances(xp, r)
    u, du_dr, (du_dstrength,) = NONBONDED["coulomb"].derivatives(xp, {}, safe, coulomb_constant * charge_product)
    of_product = xp.where(apart, coulomb_constant * du_dstrength, 0.0)
    return xp.where(apart, u, xp.inf), (xp.where(apart, du_dr, 0.0),), (of_product,)


def quartic(xp: Any, q: Array, k2: Array, k3: Array, k4: Array, rest: Array) -> Array:
    """Return U = k2 d² + k3 d³ + k4 d⁴, d = q - rest (LAMMPS manual, "bond_style class2", "angle_style class2")."""
    d = q - rest
    return d**2 * (k2 + d * (k3 + d * k4))


def _quartic_derivatives(xp: Any, q: Array, k2: Array, k3: Array, k4: Array, rest: Array) -> Derivatives:
    d = q - rest
    slope = d * (2.0 * k2 + d * (3.0 * k3 + d * 4.0 * k4))
    return quartic(xp, q, k2, k3, k4, rest), (slope,), (d**2, d**3, d**4, -slope)


def harmonic_improper(xp: Any, q: tuple[Array, Array], k: Array, angle: Array) -> Array:
    """Return U = k/2 d², d = φ - angle between -π and π: the harmonic improper torsion of CHARMM, with a factor 1/2."""
    return 0.5 * k * _turn(xp, q, angle) ** 2


def _harmonic_improper_derivatives(xp: Any, q: tuple[Array, Array], k: Array, angle: Array) -> Derivatives:
    turn = _turn(xp, q, angle)
    slope, half_square = k * turn, 0.5 * turn**2
    return k * half_square, (slope,), (half_square, -slope)


def _turn(xp: Any, q: tuple[Array, Array], angle: Array) -> Array:
    """Return φ - angle between -π and π, from its cosine and sine."""
    cosine, sine = xp.cos(angle), xp.sin(angle)
    return xp.atan2(q[1] * cosine - q[0] * sine, q[0] * cosine + q[1] * sine)


def periodic_torsion(xp: Any, q: tuple[Array, Array], k: Array, phase: Array, periodicity: Array) -> Array:
    """Return U = k (1 + cos(nφ - phase)), n the periodicity (OpenMM User Guide, "PeriodicTorsionForce")."""
    cos_n, sin_n = _multiple_angle(xp, q, periodicity)
    return k * (1.0 + cos_n * xp.cos(phase) + sin_n * xp.sin(phase))


def _periodic_torsion_derivatives(
    xp: Any, q: tuple[Array, Array], k: Array, phase: Array, periodicity: Array
) -> Derivatives:
    cos_n, sin_n = _multiple_angle(xp, q, periodicity)
    cos_phase, sin_phase = xp.cos(phase), xp.sin(phase)
    rise = 1.0 + cos_n * cos_phase + sin_n * sin_phase
    slope = k * (sin_n * cos_phase - cos_n * sin_phase)
    return k * rise, (-periodicity * slope,), (rise, slope, xp.zeros_like(slope))


_PERIODICITY_BITS = 4
HIGHEST_PERIODICITY = 2**_PERIODICITY_BITS - 1
"""The highest periodicity that the array engines evaluate; a potential of a bundle with a higher one is refused."""


def _multiple_angle(xp: Any, q: tuple[Array, Array], n: Array) -> tuple[Array, Array]:
    """Return (cos nφ, sin nφ) from (cos φ, sin φ): the n-th power of the complex number, by repeated squaring.

    NaN where n is not a whole number from 0 to :data:`HIGHEST_PERIODICITY`: values that come in through a traced
    table cannot be checked beforehand.
    """
    known = (n == xp.floor(n)) & (n >= 0) & (n <= HIGHEST_PERIODICITY)
    n = xp.where(known, n, xp.nan)
    a, b = q
    power: tuple[Array, Array] | None = None
    for bit in range(_PERIODICITY_BITS):
        if bit:
            a, b = a * a - b * b, 2.0 * a * b
        # 1 where the binary digit of n is set, else 0: the factor is the square, or 1.
        digit = xp.floor(n / 2**bit) - 2.0 * xp.floor(n / 2 ** (bit + 1))
        real, imaginary = digit * a + (1.0 - digit), digit * b
        if power is not None:
            real, imaginary = power[0] * real - power[1] * imaginary, power[0] * imaginary + power[1] * real
        power = real, imaginary
    return real, imaginary


def ryckaert_bellemans(xp: Any, q: tuple[Array, Array], *coefficients: Array) -> Array:
    """Return U = Σ c_n cosⁿψ, ψ = φ - π, n from 0 to 5 (OpenMM User Guide, "RBTorsionForce")."""
    return _polynomial(-q[0], coefficients)


def _ryckaert_bellemans_derivatives(xp: Any, q: tuple[Array, Array], *coefficients: Array) -> Derivatives:
    cosine, sine = q
    powers = [xp.ones_like(cosine)]
    for _ in coefficients[1:]:
        powers.append(-cosine * powers[-1])
    slope = _polynomial(-cosine, [n * c for n, c in enumerate(coefficients)][1:])
    # cos ψ = -cos φ, so its derivative to φ is sin φ.
    return _polynomial(-cosine, coefficients), (slope * sine,), tuple(powers)


def _polynomial(x: Array, coefficients: Sequence[Array]) -> Array:
    """Return Σ c_n xⁿ, by Horner's rule."""
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


BONDED = {
    "harmonic_bond": BondedForm(harmonic, _harmonic_derivatives),
    "morse": BondedForm(morse, _morse_derivatives),
    "urey_bradley": BondedForm(harmonic, _harmonic_derivatives),
    "lennard_jones_pair": BondedForm(lennard_jones_pair, _lennard_jones_pair_derivatives),
    "coulomb_pair": BondedForm(coulomb_pair, _coulomb_pair_derivatives),
    "quartic_bond": BondedForm(quartic, _quartic_derivatives),
    "harmonic_angle": BondedForm(harmonic, _harmonic_derivatives),
    "quartic_angle": BondedForm(quartic, _quartic_derivatives),
    "periodic_torsion": BondedForm(periodic_torsion, _periodic_torsion_derivatives),
    "ryckaert_bellemans": BondedForm(ryckaert_bellemans, _ryckaert_bellemans_derivatives),
    "harmonic_improper": BondedForm(harmonic_improper, _harmonic_improper_derivatives),
    "cmap": CMAP,
    **COUPLINGS,
}
"""The bonded forms by their name in the standard."""
